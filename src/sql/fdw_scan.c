/*
 * fdw_scan.c
 *	  The wrapper's callbacks for SELECT.
 *
 *	  SELECT	plan/ ──► ForeignScan ──► instants and key ──► read/scan.c
 *	                                  (fdw_bind.c)
 *
 * Not here: the choice of a binding (plan/), visibility (mvcc/visible.c).
 */
#include "postgres.h"

#include "sql/sql.h"
#include "sql/fdw.h"
#include "durable/durable.h"
#include "plan/plan.h"
#include "read/read.h"
#include "table/table.h"

#include "executor/executor.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* ---- "now" ------------------------------------------------------------------- */

static Now *nows = NULL;

/* Remove a Now from the list, when the executor's memory is freed. */
static void
forget_now(void *arg)
{
	Now **link = &nows;

	while (*link != NULL && *link != arg)
		link = &(*link)->next;
	if (*link != NULL)
		*link = (*link)->next;
}

/*
 * Return "now" for the executor's snapshot.  The first call for a snapshot reads the
 * clock; later calls return the same instant.  The logical clock of a table is at its
 * newest tick, which is not looked for if no column shows it.
 */
static int64
get_now(ForeignScanState *node, const FdwScan *state)
{
	EState *estate = node->ss.ps.state;
	const ContimeTable *table = contime_table(node->ss.ss_currentRelation);
	Oid clock = table->time_type == INT8OID ? table->relid : InvalidOid;
	MemoryContextCallback *callback;
	Now *now;

	if (OidIsValid(clock) && !state->binding.shows_instant)
		return PG_INT64_MAX;
	for (now = nows; now != NULL; now = now->next)
	{
		if (now->snapshot == estate->es_snapshot && now->clock == clock)
			return now->instant;
	}

	now = MemoryContextAlloc(estate->es_query_cxt, sizeof(Now));
	callback = MemoryContextAlloc(estate->es_query_cxt, sizeof(MemoryContextCallback));
	now->snapshot = estate->es_snapshot;
	now->clock = clock;
	now->instant = OidIsValid(clock)
					   ? contime_newest_tick(node->ss.ss_currentRelation, estate->es_snapshot)
					   : contime_now(table);
	now->next = nows;
	nows = now;
	callback->func = forget_now;
	callback->arg = now;
	MemoryContextRegisterResetCallback(estate->es_query_cxt, callback);
	return now->instant;
}

/* ---- SELECT ------------------------------------------------------------------ */

/* True if the statement is COPY (query) TO, by which pg_dump reads foreign tables. */
static bool
is_copy_of_query(void)
{
	PlannedStmt *stmt;

	if (ActivePortal == NULL || list_length(ActivePortal->stmts) != 1)
		return false;
	stmt = linitial_node(PlannedStmt, ActivePortal->stmts);
	return stmt->commandType == CMD_UTILITY && IsA(stmt->utilityStmt, CopyStmt) &&
		   castNode(CopyStmt, stmt->utilityStmt)->query != NULL;
}

/* A plan that depends on contime.at is executed without it. */
static void
refuse_present(const ContimeTable *table)
{
	const char *time = get_attname(table->relid, table->time_attno, false);

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("\"%s\" of continuous table \"%s\" is read in a subquery, function or cursor without a condition on it",
					time, table->name),
			 errdetail("The statement was planned while contime.at was set, which does not apply now."),
			 errhint("SET contime.at, add a condition such as %s = now(), or name the columns you need.",
					 quote_identifier(time))));
}

void
contimeBeginForeignScan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	const ContimeTable *table;
	FdwScan *state;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;

	state = palloc0(sizeof(FdwScan));
	contime_read_binding(plan, &state->binding);
	table = contime_table(node->ss.ss_currentRelation);
	if (state->binding.forbidden)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a generic plan of this statement cannot read continuous table \"%s\"",
						RelationGetRelationName(node->ss.ss_currentRelation)),
				 errdetail(
					 "Whether its instants are known depends on the values of the parameters."),
				 errhint("Set plan_cache_mode to auto, or use contime.%s().",
						 table->time_type == TIMESTAMPTZOID ? "at" : "at_tick")));
	if (state->binding.ninstants == 0)
	{
		contime_check_unbound(table);
		if (!state->binding.present && is_copy_of_query() && contime_is_dump())
			contime_refuse_dump(table->name, table->source != NULL);
		state->travels =
			contime_travels(table->time_type, state->binding.present, &state->now);
		if (state->binding.travels && !state->travels)
			refuse_present(table);
	}
	state->nkeys = list_length(state->binding.key_types);
	state->exprs = ExecInitExprList(plan->fdw_exprs, (PlanState *) node);
	Assert(state->nkeys <= INDEX_MAX_KEYS);
	Assert(list_length(state->exprs) == state->binding.ninstants + state->nkeys);
	state->capacity = 4;
	state->instants = palloc(state->capacity * sizeof(int64));

	/* Core locks a table from here on, too, although the first row may be read much later. */
	state->held = contime_references_begin(table);
	node->fdw_state = state;
}

/* Restart the scan with the current combination of key values. */
static void
bind_key_values(ForeignScanState *node, FdwScan *state)
{
	Datum values[INDEX_MAX_KEYS];
	bool nulls[INDEX_MAX_KEYS] = {0};
	int ninstants = contime_current_key(state, values) ? state->ninstants : 0;

	if (ninstants > 0 && state->binding.lock_strength != LCS_NONE &&
		!contime_key_is_locked(state, contime_table(node->ss.ss_currentRelation), values, nulls))
		ninstants = 0;
	contime_scan_bind(state->scan, state->instants, ninstants,
					  state->nkeys > 0 && ninstants > 0 ? values : NULL, nulls);
}

/* Evaluate the bound expressions, and restart the scan with their values. */
static void
bind_scan(ForeignScanState *node, FdwScan *state)
{
	MemoryContext caller;

	MemoryContextReset(state->context);
	caller = MemoryContextSwitchTo(state->context);
	state->ninstants = 0;
	for (int i = 0; i < list_length(state->exprs); i++)
		contime_evaluate_binding(state, i, node->ss.ps.ps_ExprContext);
	if (state->binding.lock_strength != LCS_NONE)
		contime_lock_bound_keys(node, state);
	if (state->binding.ninstants == 0)
		contime_add_instant(state, state->now);
	bind_key_values(node, state);
	state->bound = true;
	MemoryContextSwitchTo(caller);
}

/* Begin the scan. Called for the first row: the executor never reads some scans. */
static void
begin_scan(ForeignScanState *node, FdwScan *state)
{
	EState *estate = node->ss.ps.state;
	const ContimeTable *table = contime_table(node->ss.ss_currentRelation);
	MemoryContext caller = MemoryContextSwitchTo(estate->es_query_cxt);

	Assert(state->scan == NULL);
	Assert(state->nkeys == 0 || state->nkeys == table->nkeys);
	state->scan = contime_scan_begin(node->ss.ss_currentRelation, estate->es_snapshot, state->held);
	state->held = NULL; /* the scan owns them now */
	if (state->share)
		contime_scan_share(state->scan, &state->share->next);
	state->context =
		AllocSetContextCreate(estate->es_query_cxt, "contime binding", ALLOCSET_SMALL_SIZES);
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
		state->now = state->share ? state->share->now : get_now(node, state);
		contime_scan_look_until(state->scan, state->now);
	}
	MemoryContextSwitchTo(caller);
}

TupleTableSlot *
contimeIterateForeignScan(ForeignScanState *node)
{
	FdwScan *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	if (state->scan == NULL)
		begin_scan(node, state);
	if (!state->bound)
		bind_scan(node, state);
	while (!contime_scan_next(state->scan, slot))
	{
		if (!contime_next_key(state))
			return ExecClearTuple(slot);
		bind_key_values(node, state);
	}
	return slot;
}

void
contimeReScanForeignScan(ForeignScanState *node)
{
	FdwScan *state = node->fdw_state;

	state->bound = false;
}

void
contimeEndForeignScan(ForeignScanState *node)
{
	FdwScan *state = node->fdw_state;

	if (state == NULL)
		return;
	if (state->scan != NULL)
		contime_scan_end(state->scan);
	else
		contime_references_end(state->held);
	contime_lock_end(state);
}

/* ---- parallel scans ---------------------------------------------------------------
 *
 * Several processes read all keys at the same instants.  They share the number of the
 * partition to read next, and the instant that is "now".
 */

Size
contimeEstimateDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt)
{
	return sizeof(FdwShare);
}

void
contimeInitializeDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt, void *coordinate)
{
	FdwScan *state = node->fdw_state;

	Assert(state->nkeys == 0 && state->scan == NULL);
	state->share = coordinate;
	pg_atomic_init_u32(&state->share->next, 0);
	if (state->binding.ninstants == 0)
		state->share->now = get_now(node, state);
}

void
contimeReInitializeDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt, void *coordinate)
{
	pg_atomic_write_u32(&((FdwShare *) coordinate)->next, 0);
}

void
contimeInitializeWorkerForeignScan(ForeignScanState *node, shm_toc *toc, void *coordinate)
{
	FdwScan *state = node->fdw_state;

	state->share = coordinate;
}
