/*
 * store.h
 *	  A table's events over the engine: shapes, batches, retention, errors.
 *
 *	  batch.c      events change in short holds of the lock
 *	  error.c      engine statuses become errors
 *	  shape.c      the stored schema of a table's events
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

/* ---- shape.c ----------------------------------------------------------------- */

/* May the table's rows be written to a store of this shape, as it is?  Under the partition's lock. */
extern bool contime_stored_is_ready(const ContimeTable *table, const CtSchema *stored);

/*
 * Make a partition's store ready for rows of the table's present shape, or make
 * one (*first); the caller looks again whether it is.  *conflict: the attribute
 * that keeps it from that, or -1.  Not under a lock.
 */
extern CtStatus contime_stored_prepare(const ContimeTable *table, ContimeGeneration *g,
									   int partition, bool *first, int *conflict);

/* Are there events of transactions that were rolled back, which the worker has still to drop? */
extern bool contime_stored_has_aborted(const ContimeGeneration *g, int partition);

/* For DDL: the attribute that conflicts with the data there is, or -1. */
extern int contime_stored_check(const ContimeTable *table, const ContimeGeneration *g,
								int partition);

/* For readers: likewise.  Attributes from *usable on have no value in memory. */
extern int contime_stored_usable(const ContimeTable *table, const ContimeGeneration *g,
								 int partition, int *usable);

/* ---- oversize.c -------------------------------------------------------------- */

/* A row is left out of a cache: of the key with this hash, or (NULL) of one that is too long. */
extern void contime_oversize_note(ContimeGeneration *g, const uint64 *hash);

/* Does memory lack rows that are too large: of any key; of this one, perhaps? */
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
 * The next batch after *batch (0: the first), under a short shared lock; end
 * one, of a transaction that has committed or not.  False: there is none, there
 * is no memory; or the batches are not held as they were.
 */
extern bool contime_next_batch(int partition, const ContimeGeneration *g, uint32 hold, CtRef *batch,
							   CtBatch *copy);
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

/* Do a task to its end; false when memory did not suffice, or it is not ours any more. */
extern bool contime_store_run_to_end(const ContimeStoreTask *task, int partition,
									 ContimeGeneration *g);

/* ---- retention.c ------------------------------------------------------------- */

/* Who uses a table says what its options are.  Not under a lock. */
extern void contime_retention_note(const ContimeTable *table, ContimeGeneration *g);

/* Has an ALTER that was noted, of any table, ended?  True: look again. */
extern bool contime_retention_resolve_all(void);

/*
 * Before which instant may a partition whose newest committed event is this
 * one fold?  False: nothing.
 */
extern bool contime_retention_from(ContimeGeneration *g, int64 newest, int64 *from);

/* ERROR when an instant cannot be answered, or could not while it was read. */
extern void contime_retention_check(const ContimeTable *table, ContimeGeneration *g, int64 instant);
extern void contime_report_too_late(const ContimeTable *table, ContimeGeneration *g, int64 instant)
	CONTIME_NORETURN;

/* ---- error.c ----------------------------------------------------------------- */

/* Report an engine status as an ERROR; `what` was being done. */
extern void contime_report(CtStatus status, const ContimeTable *table) CONTIME_NORETURN;

/* Did PostgreSQL cancel the statement, by itself or on request?  Then a caught error is thrown again. */
extern bool contime_is_interrupt(const ErrorData *error);

/* ---- exhausted.c ------------------------------------------------------------- */

/*
 * Is memory on its way back to the account whose limit was hit?  Then wait a
 * moment, as long as *waited_ms (0 at first) allows.
 */
extern bool contime_limits_wait(const ContimeGeneration *g, ContimeLevel level, int *waited_ms);

/* ERROR 53200: the limit of this level, or (CONTIME_UNLIMITED) the memory there is. */
extern void contime_limits_report(const ContimeTable *table, ContimeGeneration *g,
								  ContimeLevel level) CONTIME_NORETURN;

#endif /* CONTIME_STORE_H */
