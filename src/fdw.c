/*
 * fdw.c
 *	  Continuous tables as foreign tables: the executor's side.
 *
 *	  SELECT	plan.c ──► ForeignScan ──► instants and key ──► scan.c
 *	  INSERT, COPY	rows ──► ingest.c, in batches
 *
 * A row that is inserted is an event.  It is visible to later commands, so
 * batches are flushed as soon as the executor hands them over; only COPY
 * without triggers, where nothing can look in between, collects them here.
 *
 * Not here: what may be bound (plan.c), what a row means (encode.c), what a
 * snapshot sees (visible.c).
 */
#include "contime.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "commands/explain.h"
#include "commands/vacuum.h"
#include "executor/executor.h"
#include "foreign/fdwapi.h"
#include "lib/qunique.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/ruleutils.h"
#include "utils/sampling.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(contime_fdw_handler);

/* Rows the executor collects before it hands them over, and COPY here. */
#define BATCH_ROWS 1000

/* ---- "now" ------------------------------------------------------------------ */

/*
 * What "now" is for a snapshot, so that all scans of a statement, and of the
 * stable functions it calls, agree.  Lives in the memory of the first
 * executor that asks.
 */
typedef struct Now
{
	struct Now *next;
	Snapshot	snapshot;
	Oid			time_type;
	int64		instant;
} Now;

static Now *nows = NULL;

static void
forget_now(void *arg)
{
	Now		  **link = &nows;

	while (*link != NULL && *link != arg)
		link = &(*link)->next;
	if (*link != NULL)
		*link = (*link)->next;
}

static int64
latched_now(EState *estate, const ContimeTable *table)
{
	MemoryContextCallback *callback;
	Now		   *now;

	for (now = nows; now != NULL; now = now->next)
	{
		if (now->snapshot == estate->es_snapshot && now->time_type == table->time_type)
			return now->instant;
	}

	now = MemoryContextAlloc(estate->es_query_cxt, sizeof(Now));
	callback = MemoryContextAlloc(estate->es_query_cxt, sizeof(MemoryContextCallback));
	now->snapshot = estate->es_snapshot;
	now->time_type = table->time_type;
	now->instant = contime_now(table);
	now->next = nows;
	nows = now;
	callback->func = forget_now;
	callback->arg = now;
	MemoryContextRegisterResetCallback(estate->es_query_cxt, callback);
	return now->instant;
}

/* ---- SELECT ------------------------------------------------------------------- */

/* The values a key column is bound to: one, unless an array was given. */
typedef struct KeyValues
{
	Oid			type;			/* of the column, no domain */
	Oid			collation;
	Datum	   *values;			/* no NULLs, no doubles */
	int			n;
	int			at;				/* the one being read */
} KeyValues;

/* What the processes of a parallel scan share. */
typedef struct FdwShare
{
	pg_atomic_uint32 next;		/* see contime_scan_share() */
	int64		now;			/* when no instant is bound */
} FdwShare;

typedef struct FdwScan
{
	FdwShare   *share;			/* NULL: all keys are ours */
	ContimeReferences *held;	/* to the event tables, until there is: */
	ContimeScan *scan;			/* NULL until the first row is asked for */
	MemoryContext context;		/* of the values that are bound */
	bool		bound;			/* the instants and the key are evaluated */
	ContimeBinding binding;
	List	   *exprs;			/* ExprStates: instants, then the key */
	int			nkeys;			/* 0: all keys are read */
	KeyValues  *keys;
	Oid			time_type;
	bool		travels;		/* no instant is bound, and contime.at is set */
	int64		now;			/* when no instant is bound */
	int64	   *instants;
	int			ninstants;
	int			capacity;		/* of instants */
} FdwScan;

static void
contimeBeginForeignScan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	const ContimeTable *table;
	FdwScan  *state;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;

	state = palloc0(sizeof(FdwScan));
	contime_binding_of(plan, &state->binding);
	if (state->binding.forbidden)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a generic plan of this statement cannot read continuous table \"%s\"",
						RelationGetRelationName(node->ss.ss_currentRelation)),
				 errdetail("Whether its instants are known depends on the values of the parameters."),
				 errhint("Set plan_cache_mode to auto, or use contime.at().")));
	table = contime_table(node->ss.ss_currentRelation);
	if (state->binding.ninstants == 0)
	{
		contime_check_unbound(table);
		state->travels = contime_travels(table, state->binding.present, &state->now);
	}
	state->nkeys = list_length(state->binding.key_types);
	state->exprs = ExecInitExprList(plan->fdw_exprs, (PlanState *) node);
	state->capacity = 4;
	state->instants = palloc(state->capacity * sizeof(int64));

	/* From here on, as core does for its own tables: rows may be asked for much later. */
	state->held = contime_references_begin(table);
	node->fdw_state = state;
}

static void
add_instant(FdwScan *state, int64 instant)
{
	if (state->ninstants == state->capacity)
	{
		state->capacity *= 2;
		state->instants = repalloc_huge(state->instants, (Size) state->capacity * sizeof(int64));
	}
	state->instants[state->ninstants++] = instant;
}

static void
add_instants(FdwScan *state, ArrayType *array, Oid time_type)
{
	Datum	   *values;
	bool	   *nulls;
	int			n;

	deconstruct_array(array, time_type, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			add_instant(state, contime_instant(values[i]));
	}
}

/*
 * A value of a type that plan.c accepts for a key, as the key's; false if it
 * does not fit, so that no key equals it.
 */
static bool
convert_key(Datum *value, Oid from, Oid to)
{
	if (from == to || !contime_is_integer(to))
		return true;
	return contime_convert_integer(value, from, to);
}

typedef struct KeyOrder
{
	FmgrInfo   *compare;
	Oid			collation;
} KeyOrder;

static int
compare_keys(const void *a, const void *b, void *arg)
{
	KeyOrder   *order = arg;

	return DatumGetInt32(FunctionCall2Coll(order->compare, order->collation,
										   *(const Datum *) a, *(const Datum *) b));
}

/* Take a key column's values from an array. */
static void
set_keys(KeyValues *key, ArrayType *array, Oid from)
{
	int16		typlen;
	bool		typbyval;
	char		typalign;
	bool	   *nulls;
	KeyOrder	order;
	int			n;

	get_typlenbyvalalign(ARR_ELEMTYPE(array), &typlen, &typbyval, &typalign);
	deconstruct_array(array, ARR_ELEMTYPE(array), typlen, typbyval, typalign,
					  &key->values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		Datum		value = key->values[i];

		if (!nulls[i] && convert_key(&value, from, key->type))
			key->values[key->n++] = value;
	}
	order.compare = &lookup_type_cache(key->type, TYPECACHE_CMP_PROC_FINFO)->cmp_proc_finfo;
	order.collation = key->collation;
	qsort_arg(key->values, key->n, sizeof(Datum), compare_keys, &order);
	key->n = qunique_arg(key->values, key->n, sizeof(Datum), compare_keys, &order);
}

/* Evaluate the i'th expression that is bound. */
static void
evaluate(FdwScan *state, int i, ExprContext *econtext)
{
	int			key = i - state->binding.ninstants;
	bool		array = list_nth_int(state->binding.arrays, i);
	bool		isnull;
	Datum		value = ExecEvalExpr((ExprState *) list_nth(state->exprs, i), econtext, &isnull);

	if (key < 0)
	{
		if (array && !isnull)
			add_instants(state, DatumGetArrayTypeP(value), state->time_type);
		else if (!isnull)
			add_instant(state, contime_instant(value));
	}
	else
	{
		KeyValues  *keys = &state->keys[key];
		Oid			from = list_nth_oid(state->binding.key_types, key);

		keys->n = keys->at = 0;
		if (array && !isnull)
			set_keys(keys, DatumGetArrayTypeP(value), from);
		else if (!isnull && convert_key(&value, from, keys->type))
		{
			keys->values = palloc(sizeof(Datum));
			keys->values[keys->n++] = value;
		}
	}
}

/* Start the scan over with the key that is to be read now. */
static void
bind_key(FdwScan *state)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS] = {0};
	int			ninstants = state->ninstants;

	for (int i = 0; i < state->nkeys; i++)
	{
		if (state->keys[i].n == 0)
			ninstants = 0;
		else
			values[i] = state->keys[i].values[state->keys[i].at];
	}
	contime_scan_bind(state->scan, state->instants, ninstants,
					  state->nkeys > 0 && ninstants > 0 ? values : NULL, nulls);
}

/* Step to the next combination of key values; false after the last. */
static bool
next_key(FdwScan *state)
{
	for (int i = state->nkeys - 1; i >= 0; i--)
	{
		if (++state->keys[i].at < state->keys[i].n)
			return true;
		state->keys[i].at = 0;
	}
	return false;
}

/* Evaluate what is bound and start the scan over with it. */
static void
bind_scan(ForeignScanState *node, FdwScan *state)
{
	MemoryContext caller;

	MemoryContextReset(state->context);
	caller = MemoryContextSwitchTo(state->context);
	state->ninstants = 0;
	if (state->binding.ninstants == 0)
		add_instant(state, state->now);
	for (int i = 0; i < list_length(state->exprs); i++)
		evaluate(state, i, node->ss.ps.ps_ExprContext);
	bind_key(state);
	state->bound = true;
	MemoryContextSwitchTo(caller);
}

/* The scan begins only when a row is asked for: many never are. */
static void
begin_scan(ForeignScanState *node, FdwScan *state)
{
	EState	   *estate = node->ss.ps.state;
	Relation	rel = node->ss.ss_currentRelation;
	const ContimeTable *table = contime_table(rel);
	MemoryContext caller = MemoryContextSwitchTo(estate->es_query_cxt);

	state->scan = contime_scan_begin(rel, estate->es_snapshot, state->held);
	state->held = NULL;			/* the scan's, now */
	if (state->share)
		contime_scan_share(state->scan, &state->share->next);
	state->context = AllocSetContextCreate(estate->es_query_cxt, "contime binding",
										   ALLOCSET_SMALL_SIZES);
	state->time_type = table->time_type;
	state->keys = palloc0(state->nkeys * sizeof(KeyValues));
	for (int i = 0; i < state->nkeys; i++)
	{
		const ContimeAttr *attr = &table->attr[table->key_attno[i] - 1];

		state->keys[i].type = attr->type;
		state->keys[i].collation = attr->collation;
	}
	if (state->binding.ninstants == 0 && !state->travels)
	{
		state->now = state->share ? state->share->now : latched_now(estate, table);
		contime_scan_look_until(state->scan, state->now);
	}
	MemoryContextSwitchTo(caller);
}

static TupleTableSlot *
contimeIterateForeignScan(ForeignScanState *node)
{
	FdwScan  *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	if (state->scan == NULL)
		begin_scan(node, state);
	if (!state->bound)
		bind_scan(node, state);
	while (!contime_scan_next(state->scan, slot))
	{
		if (!next_key(state))
			return ExecClearTuple(slot);
		bind_key(state);
	}
	return slot;
}

static void
contimeReScanForeignScan(ForeignScanState *node)
{
	FdwScan  *state = node->fdw_state;

	state->bound = false;
}

static void
contimeEndForeignScan(ForeignScanState *node)
{
	FdwScan  *state = node->fdw_state;

	if (state == NULL)
		return;
	if (state->scan != NULL)
		contime_scan_end(state->scan);
	else
		contime_references_end(state->held);
}

/* ---- parallel scans ---------------------------------------------------------------
 *
 * All keys at the same instants by several processes: they share the number of
 * the next partition of the keys, and what is "now".
 */

static Size
contimeEstimateDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt)
{
	return sizeof(FdwShare);
}

static void
contimeInitializeDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt, void *coordinate)
{
	FdwScan  *state = node->fdw_state;

	state->share = coordinate;
	pg_atomic_init_u32(&state->share->next, 0);
	if (state->binding.ninstants == 0)
		state->share->now = latched_now(node->ss.ps.state,
										contime_table(node->ss.ss_currentRelation));
}

static void
contimeReInitializeDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt, void *coordinate)
{
	pg_atomic_write_u32(&((FdwShare *) coordinate)->next, 0);
}

static void
contimeInitializeWorkerForeignScan(ForeignScanState *node, shm_toc *toc, void *coordinate)
{
	FdwScan  *state = node->fdw_state;

	state->share = coordinate;
}

/* ---- ANALYZE ----------------------------------------------------------------------
 *
 * A sample of what is now, for the planner to estimate filters and joins on
 * keys.  The time column has every value: no two rows of the sample show the
 * same, so that none is taken for common.
 */

static int
acquire_sample_rows(Relation rel, int elevel, HeapTuple *rows, int targrows,
					double *totalrows, double *totaldeadrows)
{
	const ContimeTable *table = contime_table(rel);
	ContimeScan *scan = contime_scan_begin(rel, GetActiveSnapshot(), NULL);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	int64		now = contime_now(table);
	ReservoirStateData sampler;
	double		skip = -1;		/* rows not to be sampled; -1: not known yet */
	double		seen = 0;
	int			sampled = 0;

	contime_scan_look_until(scan, now);
	contime_scan_bind(scan, &now, 1, NULL, NULL);
	reservoir_init_selection_state(&sampler, targrows);
	while (contime_scan_next(scan, slot))
	{
		int			place = sampled;

		vacuum_delay_point();
		if (sampled == targrows)
		{
			if (skip < 0)
				skip = reservoir_get_next_S(&sampler, seen, targrows);
			place = skip > 0 ? -1 : (int) (targrows * sampler_random_fract(&sampler.randstate));
			skip--;
		}
		else
			sampled++;
		if (place >= 0)
		{
			slot->tts_values[table->time_attno - 1] = Int64GetDatum(now - (int64) seen);
			if (seen >= targrows)
				heap_freetuple(rows[place]);
			rows[place] = ExecCopySlotHeapTuple(slot);
		}
		seen++;
	}
	ExecDropSingleTupleTableSlot(slot);
	contime_scan_end(scan);
	ereport(elevel,
			(errmsg("\"%s\": %.0f keys live now; %d rows in sample",
					RelationGetRelationName(rel), seen, sampled)));
	*totalrows = seen;
	*totaldeadrows = 0;
	return sampled;
}

static bool
contimeAnalyzeForeignTable(Relation rel, AcquireSampleRowsFunc *func, BlockNumber *totalpages)
{
	double		keys;
	double		events;

	contime_source_check(contime_table(rel));
	contime_count(RelationGetRelid(rel), &keys, &events);
	*func = acquire_sample_rows;
	*totalpages = (BlockNumber) (keys * sizeof(Datum) * RelationGetNumberOfAttributes(rel) / BLCKSZ) + 1;
	return true;
}

/* ---- EXPLAIN ---------------------------------------------------------------------- */

/*
 * A parameter that comes from a nested loop or a subplan's caller is shown as
 * a number, unless the plan nodes above are known.  Core keeps that chain and
 * does not hand it over, so it is found again here.
 */
static List *
plan_children(const Plan *plan)
{
	List	   *children = NIL;

	if (plan->lefttree)
		children = lappend(children, plan->lefttree);
	if (plan->righttree)
		children = lappend(children, plan->righttree);
	if (IsA(plan, Append))
		children = list_concat(children, ((const Append *) plan)->appendplans);
	else if (IsA(plan, MergeAppend))
		children = list_concat(children, ((const MergeAppend *) plan)->mergeplans);
	else if (IsA(plan, SubqueryScan))
		children = lappend(children, ((const SubqueryScan *) plan)->subplan);
	return children;
}

typedef struct Caller
{
	int			plan_id;		/* of the subplan called */
	SubPlan    *subplan;
	Plan	   *plan;			/* the node whose expressions call it */
} Caller;

static bool
calls_subplan(Node *node, void *context)
{
	Caller	   *caller = context;

	if (node == NULL)
		return false;
	if (IsA(node, SubPlan) && ((SubPlan *) node)->plan_id == caller->plan_id)
	{
		caller->subplan = (SubPlan *) node;
		return true;
	}
	return expression_tree_walker(node, calls_subplan, context);
}

static bool
find_caller(Plan *plan, Caller *caller)
{
	ListCell   *lc;

	if (calls_subplan((Node *) plan->targetlist, caller) ||
		calls_subplan((Node *) plan->qual, caller))
	{
		caller->plan = plan;
		return true;
	}
	foreach(lc, plan_children(plan))
	{
		if (find_caller(lfirst(lc), caller))
			return true;
	}
	return false;
}

/* Find the chain from `plan`, nearest first, to `root`, where it ends. */
static bool
find_chain(Plan *root, const Plan *plan, List **chain)
{
	ListCell   *lc;

	if (root == plan)
		return true;
	foreach(lc, plan_children(root))
	{
		if (find_chain(lfirst(lc), plan, chain))
		{
			*chain = lappend(*chain, root);
			return true;
		}
	}
	return false;
}

static List *
find_ancestors(PlannedStmt *stmt, const Plan *plan)
{
	List	   *chain = NIL;
	ListCell   *lc;

	if (find_chain(stmt->planTree, plan, &chain))
		return chain;
	foreach(lc, stmt->subplans)
	{
		Caller		caller = {foreach_current_index(lc) + 1, NULL, NULL};
		bool		found;
		ListCell   *lc2;

		if (lfirst(lc) == NULL || !find_chain(lfirst(lc), plan, &chain))
			continue;
		found = find_caller(stmt->planTree, &caller);
		foreach(lc2, stmt->subplans)
			found = found || (lfirst(lc2) != NULL && find_caller(lfirst(lc2), &caller));
		if (found)
		{
			chain = lappend(lappend(chain, caller.subplan), caller.plan);
			chain = list_concat(chain, find_ancestors(stmt, caller.plan));
		}
		break;
	}
	return chain;
}

static void
contimeExplainForeignScan(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	const FdwScan *state = node->fdw_state;
	const ContimeTable *table = contime_table(node->ss.ss_currentRelation);
	ContimeBinding binding;
	List	   *context;
	bool		prefix = list_length(es->rtable) > 1 || es->verbose;
	StringInfoData instants;
	StringInfoData keys;
	ListCell   *lc;

	contime_binding_of(plan, &binding);
	context = set_deparse_context_plan(es->deparse_cxt, &plan->scan.plan,
									   find_ancestors(es->pstmt, &plan->scan.plan));
	initStringInfo(&instants);
	initStringInfo(&keys);
	foreach(lc, plan->fdw_exprs)
	{
		int			i = foreach_current_index(lc);
		int			key = i - binding.ninstants;
		char	   *text = deparse_expression(lfirst(lc), context, prefix, false);

		if (list_nth_int(binding.arrays, i))
			text = psprintf("ANY (%s)", text);
		if (key >= 0)
			appendStringInfo(&keys, "%s%s = %s", key > 0 ? " AND " : "",
							 quote_identifier(get_attname(table->relid, table->key_attno[key], false)),
							 text);
		else
			appendStringInfo(&instants, "%s%s", i > 0 ? ", " : "", text);
	}
	if (keys.len > 0)
		ExplainPropertyText("Key", keys.data, es);
	ExplainPropertyText("Instant", instants.len > 0 ? instants.data :
						binding.forbidden ? "unknown" :
						contime_unbound_instant(table, binding.present), es);
	if (state && state->scan && contime_scan_where(state->scan))
		ExplainPropertyText("Events", contime_scan_where(state->scan), es);
}

/* ---- INSERT and COPY -------------------------------------------------------------- */

typedef struct FdwModify
{
	ContimeIngest *ingest;
	AttrNumber	time_attno;
	bool		stamp;			/* a NULL time takes the clock */
	bool		clock;			/* the time column is a timestamptz */
	bool		single;			/* at most one row comes */
	bool		collect;		/* COPY: flush every BATCH_ROWS */
	int			pending;		/* rows not flushed */
} FdwModify;

static FdwModify *
begin_modify(ResultRelInfo *rinfo)
{
	Relation	rel = rinfo->ri_RelationDesc;
	const ContimeTable *table = contime_table(rel);
	FdwModify *state = palloc0(sizeof(FdwModify));

	contime_source_refuse(table);
	contime_check_present(table);
	state->ingest = contime_ingest_begin(rel);
	state->time_attno = table->time_attno;
	state->stamp = true;
	state->clock = table->time_type == TIMESTAMPTZOID;
	rinfo->ri_FdwState = state;
	return state;
}

static void
contimeAddForeignUpdateTargets(PlannerInfo *root, Index rtindex, RangeTblEntry *target_rte,
							   Relation target_relation)
{
	const char *name = RelationGetRelationName(target_relation);

	if (root->parse->commandType == CMD_DELETE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot delete from continuous table \"%s\"", name),
				 errhint("Use contime.finish() to end the life of a key at an instant.")));
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot update continuous table \"%s\"", name),
			 errhint("Use contime.snapshot() to set the state at an instant, or INSERT to add an event.")));
}

static void
contimeBeginForeignModify(ModifyTableState *mtstate, ResultRelInfo *rinfo,
						  List *fdw_private, int subplan_index, int eflags)
{
	FdwModify *state;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	state = begin_modify(rinfo);
	state->single = IsA(outerPlan(mtstate->ps.plan), Result);
}

/* COPY, and rows routed to a partition. */
static void
contimeBeginForeignInsert(ModifyTableState *mtstate, ResultRelInfo *rinfo)
{
	FdwModify *state = begin_modify(rinfo);

	/* Only COPY has no plan.  What it loads has to say when it happened. */
	if (mtstate->ps.plan == NULL)
	{
		state->stamp = false;
		state->collect = rinfo->ri_TrigDesc == NULL;
	}
}

/* Stamp a row here when RETURNING, a trigger or a policy is going to look at it. */
static void
stamp_row(FdwModify *state, ResultRelInfo *rinfo, TupleTableSlot *slot)
{
	AttrNumber	attno = state->time_attno;
	HeapTuple	tuple;

	if (!slot->tts_isnull[attno - 1] || !state->stamp || !state->clock ||
		(rinfo->ri_projectReturning == NULL && rinfo->ri_TrigDesc == NULL &&
		 rinfo->ri_WithCheckOptions == NIL))
		return;

	slot->tts_values[attno - 1] = TimestampTzGetDatum(contime_stamp());
	slot->tts_isnull[attno - 1] = false;
	tuple = heap_form_tuple(slot->tts_tupleDescriptor, slot->tts_values, slot->tts_isnull);
	ExecForceStoreHeapTuple(tuple, slot, true);
	slot_getallattrs(slot);
}

/*
 * What core checks for tables of its own only: the policies of a parent, and
 * that a row belongs to the partition, unless it was routed there.
 */
static void
check_row(EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot)
{
	TriggerDesc *triggers = rinfo->ri_TrigDesc;

	if (rinfo->ri_WithCheckOptions != NIL)
		ExecWithCheckOptions(WCO_RLS_INSERT_CHECK, rinfo, slot, estate);
	if (rinfo->ri_RelationDesc->rd_rel->relispartition &&
		(rinfo->ri_RootResultRelInfo == NULL ||
		 (triggers != NULL && triggers->trig_insert_before_row)))
		ExecPartitionCheck(rinfo, slot, estate, true);
}

static void
ingest_slot(EState *estate, FdwModify *state, ResultRelInfo *rinfo, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	stamp_row(state, rinfo, slot);
	check_row(estate, rinfo, slot);
	contime_ingest_row(state->ingest, CT_EVENT, slot->tts_values, slot->tts_isnull,
					   0, 0, state->stamp);
	state->pending++;
}

static void
flush(FdwModify *state)
{
	contime_ingest_flush(state->ingest);
	state->pending = 0;
}

static TupleTableSlot *
contimeExecForeignInsert(EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot,
						 TupleTableSlot *planSlot)
{
	FdwModify *state = rinfo->ri_FdwState;

	ingest_slot(estate, state, rinfo, slot);
	if (!state->collect || state->pending >= BATCH_ROWS)
		flush(state);
	return slot;
}

static TupleTableSlot **
contimeExecForeignBatchInsert(EState *estate, ResultRelInfo *rinfo, TupleTableSlot **slots,
							  TupleTableSlot **planSlots, int *numSlots)
{
	FdwModify *state = rinfo->ri_FdwState;

	for (int i = 0; i < *numSlots; i++)
		ingest_slot(estate, state, rinfo, slots[i]);
	flush(state);
	return slots;
}

static int
contimeGetForeignModifyBatchSize(ResultRelInfo *rinfo)
{
	FdwModify *state = rinfo->ri_FdwState;
	TriggerDesc *triggers = rinfo->ri_TrigDesc;

	if (state == NULL || state->single ||
		rinfo->ri_projectReturning != NULL || rinfo->ri_WithCheckOptions != NIL ||
		(triggers != NULL &&
		 (triggers->trig_insert_before_row || triggers->trig_insert_after_row)))
		return 1;
	return BATCH_ROWS;
}

static void
contimeEndForeignModify(EState *estate, ResultRelInfo *rinfo)
{
	FdwModify *state = rinfo->ri_FdwState;

	if (state == NULL)
		return;
	if (state->pending > 0)
		flush(state);
	contime_ingest_end(state->ingest);
}

static int
contimeIsForeignRelUpdatable(Relation rel)
{
	return 1 << CMD_INSERT;
}

static void
contimeExecForeignTruncate(List *rels, DropBehavior behavior, bool restart_seqs)
{
	ListCell   *lc;

	foreach(lc, rels)
		contime_truncate((Relation) lfirst(lc));
}

/* ---- the handler ------------------------------------------------------------------- */

Datum
contime_fdw_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = contimeGetForeignRelSize;
	routine->GetForeignPaths = contimeGetForeignPaths;
	routine->GetForeignPlan = contimeGetForeignPlan;
	routine->BeginForeignScan = contimeBeginForeignScan;
	routine->IterateForeignScan = contimeIterateForeignScan;
	routine->ReScanForeignScan = contimeReScanForeignScan;
	routine->EndForeignScan = contimeEndForeignScan;
	routine->IsForeignScanParallelSafe = contimeIsForeignScanParallelSafe;
	routine->EstimateDSMForeignScan = contimeEstimateDSMForeignScan;
	routine->InitializeDSMForeignScan = contimeInitializeDSMForeignScan;
	routine->ReInitializeDSMForeignScan = contimeReInitializeDSMForeignScan;
	routine->InitializeWorkerForeignScan = contimeInitializeWorkerForeignScan;
	routine->AnalyzeForeignTable = contimeAnalyzeForeignTable;
	routine->ExplainForeignScan = contimeExplainForeignScan;

	routine->AddForeignUpdateTargets = contimeAddForeignUpdateTargets;
	routine->BeginForeignModify = contimeBeginForeignModify;
	routine->ExecForeignInsert = contimeExecForeignInsert;
	routine->ExecForeignBatchInsert = contimeExecForeignBatchInsert;
	routine->GetForeignModifyBatchSize = contimeGetForeignModifyBatchSize;
	routine->EndForeignModify = contimeEndForeignModify;
	routine->BeginForeignInsert = contimeBeginForeignInsert;
	routine->EndForeignInsert = contimeEndForeignModify;
	routine->IsForeignRelUpdatable = contimeIsForeignRelUpdatable;
	routine->ExecForeignTruncate = contimeExecForeignTruncate;

	PG_RETURN_POINTER(routine);
}
