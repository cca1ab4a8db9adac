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
#include "executor/executor.h"
#include "foreign/fdwapi.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"

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

typedef struct FdwScan
{
	ContimeScan *scan;			/* NULL until the first row is asked for */
	bool		bound;			/* the instants and the key are evaluated */
	ContimeBinding binding;
	List	   *exprs;			/* ExprStates: instants, then the key */
	int			nkeys;
	int64	   *instants;
	int			ninstants;
	int			capacity;		/* of instants */
} FdwScan;

static void
contimeBeginForeignScan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	FdwScan  *state;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;

	state = palloc0(sizeof(FdwScan));
	contime_binding_of(plan, &state->binding);
	if (state->binding.forbidden)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("continuous table \"%s\" cannot be read by a generic plan of this statement",
						RelationGetRelationName(node->ss.ss_currentRelation)),
				 errdetail("Whether its instants are known depends on the parameters' values."),
				 errhint("Set plan_cache_mode to auto, or read it by contime.at().")));
	state->nkeys = list_length(state->binding.key_types);
	state->exprs = ExecInitExprList(plan->fdw_exprs, (PlanState *) node);
	state->capacity = 4;
	state->instants = palloc(state->capacity * sizeof(int64));
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

static int64
get_integer(Datum value, Oid type)
{
	return type == INT2OID ? DatumGetInt16(value) :
		type == INT4OID ? DatumGetInt32(value) : DatumGetInt64(value);
}

/* An integer in another integer type, or NULL, which no key equals. */
static Datum
convert_key(Datum value, Oid from, Oid to, bool *isnull)
{
	int64		number;

	if (from == to || *isnull ||
		(to != INT2OID && to != INT4OID && to != INT8OID))
		return value;
	number = get_integer(value, from);
	if (to == INT8OID)
		return Int64GetDatum(number);
	if (to == INT4OID)
	{
		*isnull = number < PG_INT32_MIN || number > PG_INT32_MAX;
		return Int32GetDatum((int32) number);
	}
	*isnull = number < PG_INT16_MIN || number > PG_INT16_MAX;
	return Int16GetDatum((int16) number);
}

/* Evaluate what is bound and start the scan over with it. */
static void
bind_scan(ForeignScanState *node, FdwScan *state)
{
	ExprContext *econtext = node->ss.ps.ps_ExprContext;
	const ContimeTable *table = contime_table(node->ss.ss_currentRelation);
	MemoryContext caller;
	Datum		keys[INDEX_MAX_KEYS];
	bool		keynulls[INDEX_MAX_KEYS];
	ListCell   *lc;

	ResetExprContext(econtext);
	caller = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	state->ninstants = 0;
	if (state->binding.ninstants == 0)
		add_instant(state, latched_now(node->ss.ps.state, table));
	foreach(lc, state->exprs)
	{
		int			i = foreach_current_index(lc);
		int			key = i - state->binding.ninstants;
		bool		isnull;
		Datum		value = ExecEvalExpr((ExprState *) lfirst(lc), econtext, &isnull);

		if (key >= 0)
		{
			keys[key] = convert_key(value, list_nth_oid(state->binding.key_types, key),
									getBaseType(table->attr[table->key_attno[key] - 1].type),
									&isnull);
			keynulls[key] = isnull;
		}
		else if (isnull)
			continue;
		else if (list_nth_int(state->binding.arrays, i))
			add_instants(state, DatumGetArrayTypeP(value), table->time_type);
		else
			add_instant(state, contime_instant(value));
	}
	contime_scan_bind(state->scan, state->instants, state->ninstants,
					  state->nkeys > 0 ? keys : NULL, keynulls);
	state->bound = true;
	MemoryContextSwitchTo(caller);
}

/* The scan begins only when a row is asked for: many never are. */
static ContimeScan *
begin_scan(ForeignScanState *node)
{
	EState	   *estate = node->ss.ps.state;
	MemoryContext caller = MemoryContextSwitchTo(estate->es_query_cxt);
	ContimeScan *scan = contime_scan_begin(node->ss.ss_currentRelation, estate->es_snapshot);

	MemoryContextSwitchTo(caller);
	return scan;
}

static TupleTableSlot *
contimeIterateForeignScan(ForeignScanState *node)
{
	FdwScan  *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	if (state->scan == NULL)
		state->scan = begin_scan(node);
	if (!state->bound)
		bind_scan(node, state);
	if (!contime_scan_next(state->scan, slot))
		ExecClearTuple(slot);
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

	if (state != NULL && state->scan != NULL)
		contime_scan_end(state->scan);
}

/* ---- EXPLAIN ---------------------------------------------------------------------- */

/*
 * The chain of plan nodes above `plan`, nearest first; NIL if it is not below
 * `root`.  Core has one but does not tell it, and without it a parameter that
 * a nested loop passes down would be shown as a number.
 */
static List *
find_ancestors(Plan *root, const Plan *plan)
{
	List	   *children;
	ListCell   *lc;

	if (root == NULL)
		return NIL;
	children = list_make2(root->lefttree, root->righttree);
	if (IsA(root, Append))
		children = list_concat(children, ((Append *) root)->appendplans);
	else if (IsA(root, MergeAppend))
		children = list_concat(children, ((MergeAppend *) root)->mergeplans);
	else if (IsA(root, SubqueryScan))
		children = lappend(children, ((SubqueryScan *) root)->subplan);

	foreach(lc, children)
	{
		List	   *below;

		if (lfirst(lc) == plan)
			return list_make1(root);
		below = find_ancestors(lfirst(lc), plan);
		if (below != NIL)
			return lappend(below, root);
	}
	return NIL;
}

static void
contimeExplainForeignScan(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	const ContimeTable *table = contime_table(node->ss.ss_currentRelation);
	List	   *ancestors = find_ancestors(es->pstmt->planTree, &plan->scan.plan);
	ContimeBinding binding;
	List	   *context;
	bool		prefix = list_length(es->rtable) > 1 || es->verbose;
	StringInfoData instants;
	StringInfoData keys;
	ListCell   *lc;

	foreach(lc, es->pstmt->subplans)
	{
		if (ancestors == NIL)
			ancestors = find_ancestors(lfirst(lc), &plan->scan.plan);
	}
	contime_binding_of(plan, &binding);
	context = set_deparse_context_plan(es->deparse_cxt, &plan->scan.plan, ancestors);
	initStringInfo(&instants);
	initStringInfo(&keys);
	foreach(lc, plan->fdw_exprs)
	{
		int			i = foreach_current_index(lc);
		int			key = i - binding.ninstants;
		char	   *text = deparse_expression(lfirst(lc), context, prefix, false);

		if (key >= 0)
			appendStringInfo(&keys, "%s%s = %s", key > 0 ? " AND " : "",
							 quote_identifier(get_attname(table->relid, table->key_attno[key], false)),
							 text);
		else
			appendStringInfo(&instants, list_nth_int(binding.arrays, i) ? "%sANY (%s)" : "%s%s",
							 i > 0 ? ", " : "", text);
	}
	if (keys.len > 0)
		ExplainPropertyText("Key", keys.data, es);
	ExplainPropertyText("Instant", instants.len > 0 ? instants.data : "now", es);
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

/* Stamp a row here when RETURNING or a trigger is going to look at it. */
static void
stamp_row(FdwModify *state, ResultRelInfo *rinfo, TupleTableSlot *slot)
{
	AttrNumber	attno = state->time_attno;
	HeapTuple	tuple;

	if (!slot->tts_isnull[attno - 1] || !state->stamp || !state->clock ||
		(rinfo->ri_projectReturning == NULL && rinfo->ri_TrigDesc == NULL))
		return;

	slot->tts_values[attno - 1] = TimestampTzGetDatum(contime_stamp());
	slot->tts_isnull[attno - 1] = false;
	tuple = heap_form_tuple(slot->tts_tupleDescriptor, slot->tts_values, slot->tts_isnull);
	ExecForceStoreHeapTuple(tuple, slot, false);
	slot_getallattrs(slot);
}

static void
ingest_slot(FdwModify *state, ResultRelInfo *rinfo, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	stamp_row(state, rinfo, slot);
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

	ingest_slot(state, rinfo, slot);
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
		ingest_slot(state, rinfo, slots[i]);
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
