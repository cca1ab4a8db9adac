/*
 * fdw.h
 *	  The callbacks of the foreign data wrapper, and a scan's state.
 *
 * Private to the room sql.
 */
#ifndef CONTIME_SQL_FDW_H
#define CONTIME_SQL_FDW_H

#include "postgres.h"

#include "durable/durable.h"
#include "plan/plan.h"
#include "read/read.h"

#include "commands/explain.h"
#include "foreign/fdwapi.h"

/* ---- fdw_modify.c ------------------------------------------------------------ */

extern void contimeAddForeignUpdateTargets(PlannerInfo *root, Index rtindex,
										   RangeTblEntry *target_rte, Relation target_relation);

extern void contimeBeginForeignModify(ModifyTableState *mtstate, ResultRelInfo *rinfo,
									  List *fdw_private, int subplan_index, int eflags);

/* COPY, and rows routed to a partition. */
extern void contimeBeginForeignInsert(ModifyTableState *mtstate, ResultRelInfo *rinfo);

extern TupleTableSlot *contimeExecForeignInsert(EState *estate, ResultRelInfo *rinfo,
												TupleTableSlot *slot, TupleTableSlot *planSlot);

extern TupleTableSlot **contimeExecForeignBatchInsert(EState *estate, ResultRelInfo *rinfo,
													  TupleTableSlot **slots,
													  TupleTableSlot **planSlots, int *numSlots);

extern int contimeGetForeignModifyBatchSize(ResultRelInfo *rinfo);

extern void contimeEndForeignModify(EState *estate, ResultRelInfo *rinfo);

extern int contimeIsForeignRelUpdatable(Relation rel);

extern void contimeExecForeignTruncate(List *rels, DropBehavior behavior, bool restart_seqs);

/* ---- fdw_scan.c -------------------------------------------------------------- */

/*
 * What "now" is for a snapshot, so that all scans of a statement, and of the
 * stable functions it calls, agree.  Lives in the memory of the first
 * executor that asks.
 */
typedef struct Now
{
	struct Now *next;
	Snapshot snapshot;
	Oid time_type;
	int64 instant;
} Now;

/* The values a key column is bound to: one, unless an array was given. */
typedef struct KeyValues
{
	Oid type; /* of the column, no domain */
	Oid collation;
	Datum *values; /* no NULLs, no doubles */
	int n;
	int at; /* the one being read */
} KeyValues;

/* What the processes of a parallel scan share. */
typedef struct FdwShare
{
	pg_atomic_uint32 next; /* see contime_scan_share() */
	int64 now;             /* when no instant is bound */
} FdwShare;

typedef struct FdwScan
{
	FdwShare *share;         /* NULL: all keys are ours */
	ContimeReferences *held; /* to the event tables, until there is: */
	ContimeScan *scan;       /* NULL until the first row is asked for */
	MemoryContext context;   /* of the values that are bound */
	bool bound;              /* the instants and the key are evaluated */
	ContimeBinding binding;
	List *exprs; /* ExprStates: instants, then the key */
	int nkeys;   /* 0: all keys are read */
	KeyValues *keys;
	Oid time_type;
	bool travels; /* no instant is bound, and contime.at is set */
	int64 now;    /* when no instant is bound */
	int64 *instants;
	int ninstants;
	int capacity; /* of instants */
} FdwScan;

extern void contimeBeginForeignScan(ForeignScanState *node, int eflags);

extern TupleTableSlot *contimeIterateForeignScan(ForeignScanState *node);

extern void contimeReScanForeignScan(ForeignScanState *node);

extern void contimeEndForeignScan(ForeignScanState *node);

extern Size contimeEstimateDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt);

extern void contimeInitializeDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt,
											void *coordinate);

extern void contimeReInitializeDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt,
											  void *coordinate);

extern void contimeInitializeWorkerForeignScan(ForeignScanState *node, shm_toc *toc,
											   void *coordinate);

/* ---- fdw_analyze.c ----------------------------------------------------------- */

extern bool contimeAnalyzeForeignTable(Relation rel, AcquireSampleRowsFunc *func,
									   BlockNumber *totalpages);

/* ---- fdw_explain.c ----------------------------------------------------------- */

extern void contimeExplainForeignScan(ForeignScanState *node, ExplainState *es);

#endif /* CONTIME_SQL_FDW_H */
