/*
 * floor.c
 *	  What it costs to be called: an empty foreign table, and an empty function.
 *
 * The foreign table emits as many rows of constants as its option `rows` says
 * and looks at no condition; the function returns as many.  What they cost is
 * PostgreSQL's part of a read, which no extension gets below.
 *
 * Used by sql.sh; loaded from where that compiled it.
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "fmgr.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(floor_handler);
PG_FUNCTION_INFO_V1(floor_series);

static int64
rows_of(Oid relid)
{
	ListCell *lc;

	foreach(lc, GetForeignTable(relid)->options)
		if (strcmp(lfirst_node(DefElem, lc)->defname, "rows") == 0)
			return atoll(defGetString(lfirst_node(DefElem, lc)));
	return 1;
}

static void
floor_size(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	rel->rows = rows_of(relid);
}

static void
floor_paths(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	add_path(rel, (Path *) create_foreignscan_path(root, rel, NULL, rel->rows, 1,
												   1 + rel->rows * 0.01, NIL, NULL, NULL, NIL));
}

static ForeignScan *
floor_plan(PlannerInfo *root, RelOptInfo *rel, Oid relid, ForeignPath *path, List *tlist,
		   List *clauses, Plan *outer)
{
	return make_foreignscan(tlist, NIL, rel->relid, NIL,
							list_make1(makeInteger((int) rows_of(relid))), NIL, NIL, outer);
}

typedef struct Emit
{
	int64 rows;
	int64 next;
} Emit;

static void
floor_begin(ForeignScanState *node, int eflags)
{
	Emit *emit = palloc0(sizeof(Emit));

	emit->rows = intVal(linitial(((ForeignScan *) node->ss.ps.plan)->fdw_private));
	node->fdw_state = emit;
}

static TupleTableSlot *
floor_iterate(ForeignScanState *node)
{
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	Emit *emit = node->fdw_state;

	ExecClearTuple(slot);
	if (emit->next >= emit->rows)
		return slot;
	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
	{
		slot->tts_values[i] = Int64GetDatum(emit->next);
		slot->tts_isnull[i] = false;
	}
	emit->next++;
	return ExecStoreVirtualTuple(slot);
}

static void
floor_rescan(ForeignScanState *node)
{
	((Emit *) node->fdw_state)->next = 0;
}

static void
floor_end(ForeignScanState *node)
{
}

Datum
floor_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = floor_size;
	routine->GetForeignPaths = floor_paths;
	routine->GetForeignPlan = floor_plan;
	routine->BeginForeignScan = floor_begin;
	routine->IterateForeignScan = floor_iterate;
	routine->ReScanForeignScan = floor_rescan;
	routine->EndForeignScan = floor_end;
	PG_RETURN_POINTER(routine);
}

/* floor_series(bigint): so many rows of its result type, all of constants */
Datum
floor_series(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum values[MaxTupleAttributeNumber];
	bool isnull[MaxTupleAttributeNumber] = {0};

	InitMaterializedSRF(fcinfo, 0);
	for (int64 row = 0; row < PG_GETARG_INT64(0); row++)
	{
		for (int i = 0; i < rsinfo->setDesc->natts; i++)
			values[i] = Int64GetDatum(row);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
	}
	return (Datum) 0;
}
