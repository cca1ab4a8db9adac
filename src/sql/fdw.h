/*
 * fdw.h
 *	  The callbacks of the foreign data wrapper, and a scan's state.
 *
 * Private to the room sql.
 */
#ifndef CONTIME_SQL_FDW_H
#define CONTIME_SQL_FDW_H

#include "postgres.h"

#include "base/compat.h"
#include "durable/durable.h"
#include "plan/plan.h"
#include "read/read.h"

#include "foreign/fdwapi.h"
#include "utils/resowner.h"

/* ---- fdw_modify.c ------------------------------------------------------------ */

extern void contimeAddForeignUpdateTargets(PlannerInfo *root, Index rtindex,
										   RangeTblEntry *target_rte, Relation target_relation);

extern void contimeBeginForeignModify(ModifyTableState *mtstate, ResultRelInfo *rinfo,
									  List *fdw_private, int subplan_index, int eflags);

/* For COPY, and for rows that are routed to a partition. */
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

/* ---- the state of a scan ------------------------------------------------------ */

/*
 * The instant that is "now" for a PostgreSQL snapshot.  All scans of a statement,
 * and of the stable functions that it calls, use the same snapshot and so the same
 * instant.  Allocated in the query context of the executor that first needs it.
 */
typedef struct Now
{
	struct Now *next;
	Snapshot snapshot;
	Oid clock; /* the table whose logical clock it is, or InvalidOid: the wall clock */
	int64 instant;
} Now;

/* The values that a key column is bound to; more than one if the clause has an array. */
typedef struct KeyValues
{
	Oid type; /* the column's type, or the base type of its domain */
	Oid collation;
	Datum *values; /* without NULLs and duplicates */
	int n;
	int at; /* index of the value that is being read */
} KeyValues;

/* Shared memory of a parallel scan. */
typedef struct FdwShare
{
	pg_atomic_uint32 next; /* see contime_scan_share() */
	int64 now;             /* the instant to read if none is bound */
} FdwShare;

/* A scan's state (fdw_state). */
typedef struct FdwScan
{
	FdwShare *share;         /* NULL unless the scan is parallel */
	ContimeReferences *held; /* references to the event tables; NULL once `scan` owns them */
	ContimeScan *scan;       /* NULL before the first row is requested */
	MemoryContext context;   /* of the bound values */
	bool bound;              /* the bound values are evaluated */
	ContimeBinding binding;
	List *exprs; /* ExprStates: instants, then key values */
	int nkeys;   /* bound key columns; 0 if all keys are read */
	KeyValues *keys;
	Oid time_type;
	bool travels; /* no instant is bound, and contime.at applies */
	int64 now;    /* the instant to read if none is bound */
	int64 *instants;
	int ninstants;
	int capacity; /* of `instants` */

	/* FOR UPDATE and the like (fdw_lock.c) */
	Snapshot fresh;      /* taken after the keys were locked; NULL: the executor's is used */
	ResourceOwner owner; /* of `fresh` */
	Bitmapset *lanes;    /* locked for the values that are bound */
} FdwScan;

/* ---- fdw_bind.c -------------------------------------------------------------- */

extern void contime_add_instant(FdwScan *state, int64 instant);

/* Evaluate the i'th bound expression: add its instants, or set the values of its key column. */
extern void contime_evaluate_binding(FdwScan *state, int i, ExprContext *econtext);

/*
 * Set values[] to the current combination of key values.  Returns false if a key column
 * has none.
 */
extern bool contime_current_key(const FdwScan *state, Datum *values);

/* Step to the next combination of key values. Returns false after the last one. */
extern bool contime_next_key(FdwScan *state);

/* ---- fdw_lock.c -------------------------------------------------------------- */

/*
 * Lock the keys that are bound, and prepare the scan for reading them afterwards: with a
 * new snapshot under READ COMMITTED, else with an ERROR 40001 for what the snapshot lacks.
 */
extern void contime_lock_bound_keys(ForeignScanState *node, FdwScan *state);

/* False if SKIP LOCKED left out the key. */
extern bool contime_key_is_locked(const FdwScan *state, const ContimeTable *table,
								  const Datum *values, const bool *nulls);

/* Release the snapshot that contime_lock_bound_keys() took last. */
extern void contime_lock_end(FdwScan *state);

/* ---- fdw_scan.c -------------------------------------------------------------- */

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
