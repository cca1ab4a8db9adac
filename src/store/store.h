/*
 * store.h
 *	  The events of a table, kept by the engine: schemas, batches, retention, errors.
 *
 *	  batch.c      change events of a store in short holds of the lock
 *	  error.c      report engine statuses as errors
 *	  stored.c     the stored schema of a table's events
 *	  exhausted.c  without memory: wait, or report which limit was reached
 *	  oversize.c   rows of event tables that cannot be in memory
 *	  retention.c  how far back a table can be read and written
 *	  link.c       add encoded rows to stores
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_STORE_H
#define CONTIME_STORE_H

#include "postgres.h"

#include "table/table.h"

/* ---- stored.c ---------------------------------------------------------------- */

/*
 * True if rows of the table's description can be added to a store that has this
 * schema.  Under the partition's lock.
 */
extern bool contime_stored_is_ready(const ContimeTable *table, const CtSchema *stored);

/*
 * Change the schema of a partition's store so that rows of the table's description
 * can be added.  If there is no store, create it and set *first.  The caller must
 * check again, under the lock, whether the store is ready.  Set *conflict to the
 * attribute that prevents it, or -1.  ERROR 55P03 if events that were rolled back
 * are not dropped within 10 s.  Not under a lock.
 */
extern CtStatus contime_stored_prepare(const ContimeTable *table, ContimeGeneration *g,
									   int partition, bool *first, int *conflict);

/*
 * True if a partition has events of a transaction that was rolled back, which its
 * worker has not dropped yet.  Not under a lock.
 */
extern bool contime_stored_has_aborted(const ContimeGeneration *g, int partition);

/*
 * Return the attribute of the description that conflicts with the data of a
 * partition, or -1.  Called by DDL, not under a lock.
 */
extern int contime_stored_check(const ContimeTable *table, const ContimeGeneration *g,
								int partition);

/*
 * Likewise, called by readers.  Set *usable to the first attribute of which readers
 * must not take values from memory; it and those after it have their initial value.
 */
extern int contime_stored_usable(const ContimeTable *table, const ContimeGeneration *g,
								 int partition, int *usable);

/* ---- oversize.c -------------------------------------------------------------- */

/*
 * Note that a bad row (table/rows.c) was left out of a cache.  hash: of its key, or
 * NULL if the key itself is too long.
 */
extern void contime_oversize_note(ContimeGeneration *g, const uint64 *hash);

/*
 * True if rows were left out of the cache.  contime_oversize_key(): true if rows of
 * this key may have been left out.
 */
extern bool contime_oversize_any(const ContimeGeneration *g);
extern bool contime_oversize_key(const ContimeGeneration *g, const ContimeKey *key);

/* ---- link.c ------------------------------------------------------------------ */

/*
 * Add rows to a generation: with a label, as recent events; with label NULL, as
 * events that every snapshot sees.  The rows stay in *rows.  ERROR 53200 if memory
 * is exhausted or a limit is reached, 22008 or (logical clock) 22003 if a row is
 * older than the table retains.  Not under a lock.
 */
extern void contime_link(ContimeRows *rows, ContimeGeneration *g, const CtLabel *label);

/*
 * Note in the cache which rows were left out, count them, and log the first ones.
 * contime_link() does it before it links, so that a reader whose snapshot sees such a
 * row finds the note.  Not under a lock.
 */
extern void contime_link_note_bad(ContimeRows *rows, ContimeGeneration *g);

/* Create the store of a partition, if there is none, so that rows can be added. */
extern void contime_link_prepare(const ContimeTable *table, ContimeGeneration *g, int partition);

/* ---- batch.c ----------------------------------------------------------------- */

/*
 * Copy the batch after *batch (0: the first one) to *copy, and set *batch to it.
 * Return false if there is none, or if a loader has taken or released the batches
 * since the caller read `hold` from g->partial.hold.
 */
extern bool contime_next_batch(int partition, const ContimeGeneration *g, uint32 hold, CtRef *batch,
							   CtBatch *copy);

/*
 * Enter (committed) or drop the events of a batch.  Return false if memory is
 * exhausted, if a quota is reached, or if a loader has taken or released the batches.
 */
extern bool contime_end_batch(int partition, ContimeGeneration *g, uint32 hold, CtRef batch,
							  bool committed);

/*
 * Declare that this process is the worker of a partition (NULL: no longer).  While it
 * changes a table's events, it notes the table in the partition, so that the table is
 * known if the worker crashes.
 */
extern void contime_batch_attach(ContimePartition *partition);

/* Operations on a store. */
typedef enum ContimeStoreOp
{
	CONTIME_STORE_ENTER,
	CONTIME_STORE_DROP,
	CONTIME_STORE_SETTLE,
	CONTIME_STORE_RETAIN,
	CONTIME_STORE_FREE
} ContimeStoreOp;

/* An operation and its arguments. */
typedef struct ContimeStoreTask
{
	ContimeStoreOp op;
	CtRef batch;   /* ENTER, DROP: the batch, */
	uint32 hold;   /* if g->partial.hold still has this value */
	uint64 before; /* SETTLE: every snapshot sees transactions with lower ids */
} ContimeStoreTask;

/*
 * Run an operation to its end, in several holds of the lock.  Return false as
 * contime_end_batch().  Not under a lock.
 */
extern bool contime_store_run_to_end(const ContimeStoreTask *task, int partition,
									 ContimeGeneration *g);

/* ---- retention.c ------------------------------------------------------------- */

/*
 * Copy the retention options of a table to its generation.  Called by every backend
 * that uses the table.  Not under a lock.
 */
extern void contime_retention_note(const ContimeTable *table, ContimeGeneration *g);

/*
 * Apply the retention options that transactions have altered, if these have
 * committed.  Return true if some of them are still in progress.
 */
extern bool contime_retention_resolve_all(void);

/*
 * Raise `retained` of a generation, where `newest` is the instant of the newest
 * committed event of a partition.  Set *from to the instant before which events
 * may be folded into their keys' bases.  Return false if none may be.
 */
extern bool contime_retention_from(ContimeGeneration *g, int64 newest, int64 *from);

/*
 * Raise ERROR 22008, or 22003 on a logical clock, if an instant is older than the
 * table retains.  g: NULL if the table has no generation.  Readers call this again
 * after they have read, because `retained` may have been raised meanwhile.
 */
extern void contime_retention_check(const ContimeTable *table, ContimeGeneration *g, int64 instant);

/* Raise the same SQLSTATE for an event whose instant is older than the table retains. */
extern void contime_report_too_late(const ContimeTable *table, ContimeGeneration *g, int64 instant)
	CONTIME_NORETURN;

/*
 * The option max_ahead: check the ticks of rows before they are linked, and note them
 * when they are.  ERROR 22003 for an event that is farther ahead of the newest one than
 * the table allows.  The newest is among all events that committed and those of
 * transactions in progress, and the rows before it.  An empty table takes any tick.
 */
extern void contime_ahead_check(const ContimeTable *table, ContimeGeneration *g,
								const ContimeRows *rows);
extern void contime_ahead_note(const ContimeTable *table, ContimeGeneration *g,
							   const ContimeRows *rows, const CtLabel *label);

/* ---- error.c ----------------------------------------------------------------- */

/* Report an engine status as an ERROR: CT_NO_MEMORY as 53200, CT_LIMIT as 54000. */
extern void contime_report(CtStatus status, const ContimeTable *table) CONTIME_NORETURN;

/*
 * True if a caught error means that the statement was cancelled, by a user or by a
 * timeout.  Then the caller must throw it again.
 */
extern bool contime_is_interrupt(const ErrorData *error);

/* ---- exhausted.c ------------------------------------------------------------- */

/*
 * Wait a few milliseconds if workers are freeing memory of the account of this level,
 * whose limit was reached.  *waited_ms, 0 at first, sums the waits.  Return false if
 * no memory is being freed, or if *waited_ms has reached its limit.  Not under a lock.
 */
extern bool contime_limits_wait(const ContimeGeneration *g, ContimeLevel level, int *waited_ms);

/*
 * Raise ERROR 53200: the limit of this level, or (CONTIME_UNLIMITED) contime.memory,
 * is reached.
 */
extern void contime_limits_report(const ContimeTable *table, ContimeGeneration *g,
								  ContimeLevel level) CONTIME_NORETURN;

#endif /* CONTIME_STORE_H */
