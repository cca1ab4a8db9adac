/*
 * store.h
 *	  A table's events over the engine: stored schemas, batches, retention, errors.
 *
 *	  batch.c      events change in short holds of the lock
 *	  error.c      engine statuses become errors
 *	  stored.c     the stored schema of a table's events
 *	  exhausted.c  no memory: wait, or report which limit it was
 *	  oversize.c   rows that are too large for memory
 *	  retention.c  how far back a table can be read and written
 *	  link.c       encoded rows enter stores
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_STORE_H
#define CONTIME_STORE_H

#include "postgres.h"

#include "table/table.h"

/* ---- stored.c ---------------------------------------------------------------- */

/*
 * True if rows of the table's description can be added to a store that was
 * written with this schema. Under the partition's lock.
 */
extern bool contime_stored_is_ready(const ContimeTable *table, const CtSchema *stored);

/*
 * Make a partition's store ready for rows of the table's description, or
 * create it (*first). The caller checks again whether it is ready. *conflict:
 * the attribute that prevents it, or -1. Not under a lock.
 */
extern CtStatus contime_stored_prepare(const ContimeTable *table, ContimeGeneration *g,
									   int partition, bool *first, int *conflict);

/*
 * True if a partition has events of transactions that were rolled back, which
 * its worker has not dropped yet.
 */
extern bool contime_stored_has_aborted(const ContimeGeneration *g, int partition);

/*
 * For DDL: the attribute of the description that conflicts with the data of a
 * partition, or -1.
 */
extern int contime_stored_check(const ContimeTable *table, const ContimeGeneration *g,
								int partition);

/*
 * For readers: the attribute that conflicts, or -1. Attributes from *usable on
 * have no values in memory.
 */
extern int contime_stored_usable(const ContimeTable *table, const ContimeGeneration *g,
								 int partition, int *usable);

/* ---- oversize.c -------------------------------------------------------------- */

/*
 * A row was left out of a cache as too large: of the key with this hash, or
 * (NULL) of a key that is too long.
 */
extern void contime_oversize_note(ContimeGeneration *g, const uint64 *hash);

/*
 * True if memory lacks rows that are too large; contime_oversize_key():
 * perhaps of this key.
 */
extern bool contime_oversize_any(const ContimeGeneration *g);
extern bool contime_oversize_key(const ContimeGeneration *g, const ContimeKey *key);

/* ---- link.c ------------------------------------------------------------------ */

/*
 * Link rows into a generation with a label, or (label NULL) as events that
 * everyone sees.  The rows stay in the set.  ERROR 53200 if memory is exhausted
 * or a limit is reached, 22008 or 22003 if a row is older than the table
 * retains.  Not under a lock.
 */
extern void contime_link(ContimeRows *rows, ContimeGeneration *g, const CtLabel *label);

/* Make a store in a partition that rows can be added to, if there is none. */
extern void contime_link_prepare(const ContimeTable *table, ContimeGeneration *g, int partition);

/* ---- batch.c ----------------------------------------------------------------- */

/*
 * Copy the batch after *batch (0: the first). Returns false if there is none,
 * or if the loader has taken or released the batches since `hold` was read.
 */
extern bool contime_next_batch(int partition, const ContimeGeneration *g, uint32 hold, CtRef *batch,
							   CtBatch *copy);

/*
 * Enter (committed) or drop the events of a batch. Returns false if memory is
 * exhausted, or as contime_next_batch().
 */
extern bool contime_end_batch(int partition, ContimeGeneration *g, uint32 hold, CtRef batch,
							  bool committed);

/*
 * This process is the worker of a partition (NULL: no more).  While it changes a
 * table's events, that is noted there, should it crash in it.
 */
extern void contime_batch_attach(ContimePartition *partition);

/* What one call into the engine does, under the lock. */
typedef enum ContimeStoreOp
{
	CONTIME_STORE_ENTER,
	CONTIME_STORE_DROP,
	CONTIME_STORE_SETTLE,
	CONTIME_STORE_RETAIN,
	CONTIME_STORE_FREE
} ContimeStoreOp;

/* An operation, and on what. */
typedef struct ContimeStoreTask
{
	ContimeStoreOp op;
	CtRef batch;   /* entered or dropped, */
	uint32 hold;   /* while this is what it was */
	uint64 before; /* settled: what is of transactions before */
} ContimeStoreTask;

/*
 * Run an operation to its end. Returns false if memory is exhausted, or the
 * batches are not this process's any more.
 */
extern bool contime_store_run_to_end(const ContimeStoreTask *task, int partition,
									 ContimeGeneration *g);

/* ---- retention.c ------------------------------------------------------------- */

/*
 * Note the options of a table in its generation. Called by every backend that
 * uses the table. Not under a lock.
 */
extern void contime_retention_note(const ContimeTable *table, ContimeGeneration *g);

/*
 * Look whether transactions that altered retention have ended. Returns true if
 * some have not.
 */
extern bool contime_retention_resolve_all(void);

/*
 * Raise what is retained, given the newest event that committed in a
 * partition. Sets *from to the instant before which events may be folded;
 * false: none.
 */
extern bool contime_retention_from(ContimeGeneration *g, int64 newest, int64 *from);

/*
 * ERROR if an instant is older than what is retained, or became so while it
 * was read.
 */
extern void contime_retention_check(const ContimeTable *table, ContimeGeneration *g, int64 instant);
extern void contime_report_too_late(const ContimeTable *table, ContimeGeneration *g, int64 instant)
	CONTIME_NORETURN;

/* ---- error.c ----------------------------------------------------------------- */

/* Report an engine status as an ERROR. */
extern void contime_report(CtStatus status, const ContimeTable *table) CONTIME_NORETURN;

/*
 * True if the statement was cancelled, by the user or by a timeout: then a
 * caught error must be thrown again.
 */
extern bool contime_is_interrupt(const ErrorData *error);

/* ---- exhausted.c ------------------------------------------------------------- */

/*
 * If memory of the account whose limit was hit is being freed, wait a moment,
 * as long as *waited_ms (0 at first) allows. Returns false if it is not.
 */
extern bool contime_limits_wait(const ContimeGeneration *g, ContimeLevel level, int *waited_ms);

/*
 * ERROR 53200: the limit of this level, or (CONTIME_UNLIMITED) contime.memory,
 * is reached.
 */
extern void contime_limits_report(const ContimeTable *table, ContimeGeneration *g,
								  ContimeLevel level) CONTIME_NORETURN;

#endif /* CONTIME_STORE_H */
