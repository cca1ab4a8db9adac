/*
 * fdw_modify.c
 *	  The wrapper's callbacks for INSERT, COPY and TRUNCATE.
 *
 *	  INSERT, COPY	rows ──► write/ingest.c, in batches
 *
 * An inserted row is an event.  Later commands of the transaction must see it, so
 * the rows that the executor passes in one call are written before the call
 * returns.  Only COPY without triggers collects rows across calls: no command can
 * run between its rows.
 */
#include "postgres.h"

#include "sql/sql.h"
#include "sql/fdw.h"
#include "ddl/ddl.h"
#include "plan/plan.h"
#include "read/read.h"
#include "shared/shared.h"
#include "table/table.h"
#include "write/write.h"

#include "executor/executor.h"
#include "utils/lsyscache.h"

/* Rows that the executor passes in a call, and rows that COPY collects, at most. */
#define BATCH_ROWS 1000

/* The state of an INSERT or COPY into one table (ri_FdwState). */
typedef struct FdwModify
{
	ContimeIngest *ingest;
	AttrNumber time_attno;
	bool stamp;   /* a NULL time is replaced by the current time */
	bool clock;   /* the time column is a timestamptz */
	bool single;  /* the INSERT has at most one row */
	bool collect; /* COPY: write rows only when BATCH_ROWS are collected */
	int pending;  /* rows that are not written yet */
} FdwModify;

static FdwModify *
begin_modify(ResultRelInfo *rinfo)
{
	Relation rel = rinfo->ri_RelationDesc;
	const ContimeTable *table = contime_table(rel);
	FdwModify *state = palloc0(sizeof(FdwModify));

	contime_source_refuse(table);
	contime_check_present(table);
	Assert(rinfo->ri_FdwState == NULL);
	state->ingest = contime_ingest_begin(rel);
	state->time_attno = table->time_attno;
	state->stamp = true;
	state->clock = table->time_type == TIMESTAMPTZOID;
	rinfo->ri_FdwState = state;
	return state;
}

/*
 * A hint for UPDATE and DELETE of a durable table. The planner has not checked
 * privileges yet, so the table's description is not derived.
 */
static int
hint_at_event_tables(List *events)
{
	StringInfoData names;
	ListCell *lc;

	initStringInfo(&names);
	foreach(lc, events)
	{
		char *name = get_rel_name(lfirst_oid(lc));

		if (name)
			appendStringInfo(&names, "%s\"%s\"", names.len > 0 ? ", " : "", name);
	}
	return names.len > 0 ? errhint("INSERT, UPDATE or DELETE rows of %s.", names.data)
						 : errhint("INSERT, UPDATE or DELETE rows of its event tables.");
}

void
contimeAddForeignUpdateTargets(PlannerInfo *root, Index rtindex, RangeTblEntry *target_rte,
							   Relation target_relation)
{
	const char *name = RelationGetRelationName(target_relation);
	Oid relid = RelationGetRelid(target_relation);

	if (contime_has_events(relid))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 root->parse->commandType == CMD_DELETE
					 ? errmsg("cannot delete from continuous table \"%s\"", name)
					 : errmsg("cannot update continuous table \"%s\"", name),
				 errdetail("Its states follow from the rows of its event tables."),
				 hint_at_event_tables(contime_source_bound(relid))));
	if (root->parse->commandType == CMD_DELETE)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("cannot delete from continuous table \"%s\"", name),
						errhint("Use contime.finish() to end the life of a key at an instant.")));
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot update continuous table \"%s\"", name),
			 errhint(
				 "Use contime.snapshot() to set the state at an instant, or INSERT to add an event.")));
}

void
contimeBeginForeignModify(ModifyTableState *mtstate, ResultRelInfo *rinfo, List *fdw_private,
						  int subplan_index, int eflags)
{
	FdwModify *state;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	state = begin_modify(rinfo);
	state->single = IsA(outerPlan(mtstate->ps.plan), Result);
}

void
contimeBeginForeignInsert(ModifyTableState *mtstate, ResultRelInfo *rinfo)
{
	FdwModify *state = begin_modify(rinfo);

	/* Only COPY has no plan.  A row of COPY must have a time: it may be old data. */
	if (mtstate->ps.plan == NULL)
	{
		state->stamp = false;
		state->collect = rinfo->ri_TrigDesc == NULL;
	}
}

/*
 * Set a NULL time to the current time now if RETURNING, a trigger or a policy will
 * read the row.  Otherwise contime_ingest_row() does it.
 */
static void
stamp_row(FdwModify *state, ResultRelInfo *rinfo, TupleTableSlot *slot)
{
	AttrNumber attno = state->time_attno;
	HeapTuple tuple;

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
 * Make the checks that core makes only for ordinary tables: the policies of a
 * partitioned parent, and that a row belongs to the partition.  A row that was
 * routed to the partition belongs to it, unless a trigger has changed the row.
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
	Assert(state->time_attno <= slot->tts_tupleDescriptor->natts);
	slot_getallattrs(slot);
	stamp_row(state, rinfo, slot);
	check_row(estate, rinfo, slot);
	contime_ingest_row(state->ingest, CT_EVENT, slot->tts_values, slot->tts_isnull, 0, 0,
					   state->stamp);
	state->pending++;
}

static void
flush_rows(FdwModify *state)
{
	contime_ingest_flush(state->ingest);
	state->pending = 0;
}

TupleTableSlot *
contimeExecForeignInsert(EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot,
						 TupleTableSlot *planSlot)
{
	FdwModify *state = rinfo->ri_FdwState;

	ingest_slot(estate, state, rinfo, slot);
	if (!state->collect || state->pending >= BATCH_ROWS)
		flush_rows(state);
	Assert(state->pending < BATCH_ROWS);
	return slot;
}

TupleTableSlot **
contimeExecForeignBatchInsert(EState *estate, ResultRelInfo *rinfo, TupleTableSlot **slots,
							  TupleTableSlot **planSlots, int *numSlots)
{
	FdwModify *state = rinfo->ri_FdwState;

	Assert(*numSlots <= BATCH_ROWS);
	for (int i = 0; i < *numSlots; i++)
		ingest_slot(estate, state, rinfo, slots[i]);
	flush_rows(state);
	return slots;
}

int
contimeGetForeignModifyBatchSize(ResultRelInfo *rinfo)
{
	FdwModify *state = rinfo->ri_FdwState;
	TriggerDesc *triggers = rinfo->ri_TrigDesc;

	if (state == NULL || state->single || rinfo->ri_projectReturning != NULL ||
		rinfo->ri_WithCheckOptions != NIL ||
		(triggers != NULL && (triggers->trig_insert_before_row || triggers->trig_insert_after_row)))
		return 1;
	return BATCH_ROWS;
}

void
contimeEndForeignModify(EState *estate, ResultRelInfo *rinfo)
{
	FdwModify *state = rinfo->ri_FdwState;

	if (state == NULL)
		return;
	if (state->pending > 0)
		flush_rows(state);
	contime_ingest_end(state->ingest);
}

int
contimeIsForeignRelUpdatable(Relation rel)
{
	return 1 << CMD_INSERT;
}

void
contimeExecForeignTruncate(List *rels, DropBehavior behavior, bool restart_seqs)
{
	ListCell *lc;

	foreach(lc, rels)
		contime_truncate((Relation) lfirst(lc));
}
