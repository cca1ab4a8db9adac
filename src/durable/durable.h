/*
 * durable.h
 *	  Durable tables: event tables hold the events, and shared memory caches them.
 *
 *	  unflushed.c     notes transactions whose captured rows are not in a cache yet
 *	  cache.c         the states of a cache
 *	  source_query.c  builds the queries that read event tables
 *	  heap_read.c     reads the events that a snapshot sees from event tables
 *	  capture.c       adds rows to a cache as they are written to an event table
 *	  shortage.c      finds whether memory is short, and what could be freed
 *	  wanted.c        the list of keys that readers missed in partial caches
 *	  partial.c       caches that lack keys
 *	  demand.c        finds whether a loader has work
 *	  eviction.c      removes caches and keys from memory
 *	  key_loader.c    loads wanted keys into partial caches
 *	  references.c    keeps event tables open while they are read
 *	  triggers.c      creates and drops the capture triggers on event tables
 *	  bindings.c      restores what binds a durable table to its event tables
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_DURABLE_H
#define CONTIME_DURABLE_H

#include "postgres.h"

#include "mvcc/mvcc.h"
#include "table/table.h"

/* Which rows of an event table a query returns, and in which order. */
typedef enum ContimeRowOrder
{
	CONTIME_OF_KEY,    /* the rows of one key, in any order */
	CONTIME_BY_KEY,    /* all rows, ordered by key */
	CONTIME_ANY_ORDER, /* all rows, in any order */
	CONTIME_LATEST     /* the CONTIME_LATEST_ROWS rows with the latest times, the latest first */
} ContimeRowOrder;

StaticAssertDecl(CONTIME_LATEST + 1 == lengthof(((ContimeSource *) NULL)->plan),
				 "a plan for each order");

/* Relation cache references to the event tables of a durable table (references.c). */
typedef struct ContimeReferences ContimeReferences;

/* The number of rows fetched from a query in one call. */
#define CONTIME_FETCH_ROWS 1000

/* The number of rows among which the latest event is looked for: rows may be no events. */
#define CONTIME_LATEST_ROWS 16

/* Converts rows of an event table to rows of the continuous table (heap_read.c). */
typedef struct ContimeEvents ContimeEvents;

/*
 * A read of keys from the event tables (heap_read.c):
 *
 *	begin -> (bind -> next*)* -> end
 */
typedef struct ContimeHeapRead ContimeHeapRead;

/*
 * A load of rows from one source into a cache (heap_read.c):
 *
 *	begin -> (bind -> (next | skip)*)* -> end
 */
typedef struct ContimeHeapLoad ContimeHeapLoad;

/* Why a table is not cached. */
typedef enum ContimeRefusal
{
	CONTIME_REFUSAL_NONE,
	CONTIME_REFUSAL_OBSTACLE,    /* its rows cannot be captured; the obstacle's text says why */
	CONTIME_REFUSAL_DUPLICATES,  /* two events have the same identity */
	CONTIME_REFUSAL_FAILED,      /* the loader got an error */
	CONTIME_REFUSAL_INVALIDATED, /* the cache was broken while it was loaded */
	CONTIME_REFUSAL_NO_MEMORY,   /* memory was exhausted while it was loaded */
	CONTIME_REFUSAL_SLOW_CODE,   /* user-made code took too long */
	CONTIME_REFUSAL_UNBOUND      /* dependencies or triggers are missing; an agent restores them */
} ContimeRefusal;

/* ---- source_query.c ---------------------------------------------------------- */

/*
 * Return the text of a query for rows of an event table.  bounded: only rows at or
 * before an instant.  Its parameters are the key's columns (CONTIME_OF_KEY only), then
 * the instant (bounded only).
 */
extern char *contime_source_query(const ContimeTable *table, const ContimeSource *source,
								  ContimeRowOrder order, bool bounded);

/* True if a state may depend on events after its instant: a column is linear. */
extern bool contime_source_looks_ahead(const ContimeTable *table);

/* ---- references.c ------------------------------------------------------------ */

/*
 * Lock (AccessShareLock) and open the event tables of a durable table, so that core
 * refuses DDL on them in the same session while they are read.  The references belong
 * to the current resource owner.  Return NULL if the table has no event tables.
 */
extern ContimeReferences *contime_references_begin(const ContimeTable *table);

/*
 * Close the event tables (NULL: do nothing).  Any resource owner may be current.  The
 * locks are kept to the end of the transaction.
 */
extern void contime_references_end(ContimeReferences *held);

/* Return the OIDs of the event tables that open scans of this session read. */
extern List *contime_references_read(void);

/* ---- heap_read.c ------------------------------------------------------------- */

/*
 * Convert rows of an event table to rows of the continuous table.
 * contime_events_begin() switches to the table's owner itself; the caller of
 * contime_events_row() must have done so (contime_source_switch()).
 */
extern ContimeEvents *contime_events_begin(const ContimeTable *table, const ContimeSource *source);

/*
 * Convert one row: set *values and *isnull to arrays that are valid until the next
 * call.  Return false if the row is not an event: a key column or the time is NULL, or
 * its time is 'infinity'.
 */
extern bool contime_events_row(ContimeEvents *events, TupleTableSlot *slot, Datum **values,
							   bool **isnull);
extern void contime_events_end(ContimeEvents *events);

/* Begin to read, from event tables, the keys and events that a snapshot sees. */
extern ContimeHeapRead *contime_heap_begin(const ContimeTable *table, Snapshot snapshot);

/* Leave bad rows out (table/rows.c): they are no error of this read.  Before binding. */
extern void contime_heap_leave_out(ContimeHeapRead *read);

/*
 * Start the queries for one key (keys: the values of its columns) or, if keys is NULL,
 * for all keys.  The read may omit events after `until`.
 */
extern void contime_heap_bind(ContimeHeapRead *read, const Datum *keys, int64 until);

/*
 * Load the next key into a store in this process's memory.  Set *arena, *store and
 * *timeline, which are valid until the next call for this read.  Return false if there
 * are no more keys.  ERROR 53200 if the key's events do not fit, 54000 if the key or
 * an event exceeds the engine's limits.
 */
extern bool contime_heap_next(ContimeHeapRead *read, CtArena *arena, CtRef *store, CtRef *timeline);
extern void contime_heap_end(ContimeHeapRead *read);

/* Begin to load rows of one source into a cache.  Called by a loader. */
extern ContimeHeapLoad *contime_heap_load_begin(const ContimeTable *table,
												const ContimeSource *source);

/* Start the query for the rows of one key or, if keys is NULL, for all rows. */
extern void contime_heap_load_bind(ContimeHeapLoad *load, Snapshot snapshot, const Datum *keys);

/*
 * Fetch some rows and add them to a generation, as events that every snapshot sees.
 * Bad rows (table/rows.c) are left out, which is noted in the generation.  Return
 * false if there are no more rows.
 */
extern bool contime_heap_load_next(ContimeHeapLoad *load, ContimeGeneration *g);

/*
 * Fetch some rows, but only add their number to *rows and raise *newest to their
 * latest instant.  Bad rows are noted in the generation.  Return false if there are no
 * more rows.
 */
extern bool contime_heap_load_skip(ContimeHeapLoad *load, ContimeGeneration *g, uint64 *rows,
								   int64 *newest);

/* The number of rows of the event table that the load has read so far. */
extern uint64 contime_heap_load_fetched(const ContimeHeapLoad *load);
extern void contime_heap_load_end(ContimeHeapLoad *load);

/*
 * Set *instant to the latest instant of an event in the event tables, and *found if there
 * is one.  Rows that cannot be events do not count.  Return false if the latest rows of a
 * source are no events, so that the answer is not known.
 */
extern bool contime_heap_newest(const ContimeTable *table, Snapshot snapshot, int64 *instant,
								bool *found);

/*
 * Count the bad rows of the event tables, whatever the option bad_rows says, and set
 * *shown to descriptions of the first ones of each source (ContimeBadRow).
 */
extern uint64 contime_heap_bad_rows(const ContimeTable *table, Snapshot snapshot, List **shown);

/* ---- triggers.c -------------------------------------------------------------- */

/*
 * Create the missing capture triggers of a relation, which is an event table or a
 * partition of one, and drop those that are not needed any more.  Do nothing for a
 * relation that is neither a table nor a partitioned table.  Return false if a user
 * has disabled one of the triggers.
 */
extern bool contime_capture_fit(Oid relation);

/* Do the same for an event table and all its partitions, in ShareRowExclusiveLock. */
extern void contime_capture_fit_all(Oid events);

/*
 * True if a relation has capture triggers, and no other system triggers.
 */
extern bool contime_capture_is_alone(Oid relation);

/* Let the capture triggers of a relation fire always, also those that were disabled. */
extern void contime_capture_enable(Oid relation);

/*
 * Return the reason why rows of an event table cannot be captured for a continuous
 * table, or NULL if they can.  Lock the event table and its partitions in
 * AccessShareLock and, if there is no reason, add them to *relations.
 */
extern const char *contime_capture_obstacle(Oid relid, Oid events, List **relations);

/*
 * True if an event table and its partitions have all capture triggers for a
 * continuous table, enabled or not.
 */
extern bool contime_capture_is_there(Oid relid, Oid events);

/* ---- bindings.c -------------------------------------------------------------- */

/*
 * The event tables that a definition names, by OID. mode: the lock on the one
 * that the option events names. missing_ok: InvalidOid is in the list if that one
 * does not exist; otherwise that is an error.
 */
extern List *contime_bindings_named(Relation rel, LOCKMODE mode, bool missing_ok);

/* Record that a continuous table depends on an event table. */
extern void contime_bindings_depend(Oid relid, Oid events);

/*
 * True if a continuous table depends on all event tables that its definition
 * names, and these have their capture triggers. An event table that does not
 * exist is not bound.
 */
extern bool contime_bindings_are_complete(Oid relid);

/*
 * Restore dependencies and triggers that are missing, as the owner of the table.
 * The caller holds ShareUpdateExclusiveLock on it. Returns false if none was
 * missing. ERROR 42501 if the owner may not bind the table to an event table,
 * 42P01 if an event table does not exist.
 */
extern bool contime_bindings_repair(Relation rel);

/* ---- capture.c --------------------------------------------------------------- */

/*
 * True if this backend is executing a statement that writes to an event table of the
 * continuous table.
 */
extern bool contime_capture_pending(Oid relid);

/* Install the hooks that detect the end of a statement.  Called by module.c. */
extern void contime_capture_install_hooks(void);

/* ---- unflushed.c ------------------------------------------------------------- */

/*
 * Note in a generation that this transaction has captured rows that are not in the
 * cache yet.  Return the note.  Return NULL if all slots for notes are in use: then
 * the caller must add each captured row at once.
 */
extern pg_atomic_uint64 *contime_unflushed_note(ContimeGeneration *g);

/* Clear a note of this transaction: its rows were added, or are rolled back. */
extern void contime_unflushed_clear(pg_atomic_uint64 *note);

/*
 * True if a cache lacks captured rows of a transaction that has committed and whose
 * end the snapshot sees (NULL: of any transaction that has committed).  Clears notes
 * of aborted transactions.  Not under a lock.
 */
extern bool contime_unflushed_found(ContimeGeneration *g, const CtSnapshot *snapshot);

/* ---- cache.c ----------------------------------------------------------------- */

/* True if the table's cache is READY: most scans can be answered from memory. */
extern bool contime_cache_is_ready(Oid relid);

/*
 * Return the cache of a durable table if it is readable, and set *partial to whether it
 * may lack keys.  Otherwise return NULL and, unless the cache was refused lately,
 * request a loader to load it.  The caller holds locks on the event tables.
 */
extern ContimeGeneration *contime_cache_watched(const ContimeTable *table, bool *partial);

/*
 * If two events of a cache have the same identity, note the refusal, break the cache
 * and return true.  Called by a loader.
 */
extern bool contime_cache_break_if_duplicates(ContimeGeneration *g);

/* Return the table's cache if captured rows must be added to it, else NULL. */
extern ContimeGeneration *contime_cache_capturing(Oid relid);

/*
 * Break the cache of a table, because it may lack a row, and log the reason.  Do
 * nothing if there is no cache to which rows are captured.  Not under a lock.
 */
extern void contime_cache_break(Oid relid, const char *reason);

/*
 * Break a cache if the engine has found duplicates or an unmatched retraction in this
 * partition, or if the cache lacks captured rows of a committed transaction.  Called
 * by the partition's worker, not under a lock.
 */
extern void contime_cache_check(ContimeGeneration *g, int partition);

/*
 * Replace the cache of a table by an empty one, which is in force if this transaction
 * commits: the meaning of the table's rows changes.  The caller holds
 * AccessExclusiveLock on the table or on one of its event tables.
 */
extern void contime_cache_renew(Oid relid);

/*
 * Renew the cache of a table if this backend holds AccessExclusiveLock on `events`;
 * otherwise break it.  Called by DDL that changes the rows of an event table.
 */
extern void contime_cache_change(Oid relid, Oid events);

/*
 * Break a READY cache from which bad rows were left out, so that it is loaded
 * again, but not too often.  Called after a read of all keys from the event tables,
 * which found no such row.
 */
extern void contime_oversize_regain(ContimeGeneration *g);

/*
 * Change the state of a cache as the diagram in cache.c allows.  Return false, and
 * change nothing, if its state is not `from` any more.
 */
extern bool contime_cache_change_state(ContimeGeneration *g, ContimeCacheState from,
									   ContimeCacheState to);

/* Return the quoted name of a table for a message, or "with OID ..." if it has none. */
extern const char *contime_cache_name(Oid relid);

/*
 * Set the time when the cache was last read, at most once a second: otherwise all
 * readers would write to the same cache line.
 */
extern void contime_cache_note_read(ContimeGeneration *g);

/*
 * If a cache of this database lacks captured rows of a transaction that the view sees
 * as committed, break the cache and return true.
 */
extern bool contime_cache_lost_rows(ContimeGeneration *g, const ContimeView *view);

/* True if two events of a cache have the same identity.  Not under a lock. */
extern bool contime_cache_has_duplicates(ContimeGeneration *g);

/*
 * Note, in the loader's own memory, why it could not load a generation.  A refusal needs
 * a lock that the loader may not have at that time, so it refuses the table at a later
 * attempt.  contime_refusal_of(): return the noted reason, or CONTIME_REFUSAL_NONE, and
 * set *obstacle.
 */
extern void contime_refusal_note(const ContimeGeneration *g, ContimeRefusal reason,
								 const char *obstacle);
extern ContimeRefusal contime_refusal_of(const ContimeGeneration *g, const char **obstacle);
extern void contime_refusal_clear(const ContimeGeneration *slot);

/* ---- partial.c --------------------------------------------------------------- */

/*
 * Note that a cache may lack keys from now on.  rows, bytes: the number of events of all
 * keys, and the memory they would take.  All events after `newest` were captured.  The
 * cache is TRIMMING or PARTIAL, unless a writer has broken it.  Not under a lock.
 */
extern void contime_make_partial(ContimeGeneration *g, uint64 rows, Size bytes, int64 newest);

/* Remove all loaded events of a cache that is TRIMMING.  Not under a lock. */
extern void contime_unload_keys(ContimeGeneration *g);

/* Estimate the bytes that a partial cache would take if it had all keys. */
extern Size contime_keys_whole_bytes(ContimeGeneration *g);

/*
 * Copy the next loaded key of a cache to *key.  Start with *partition = 0 and
 * *position = 0.  Return false if there are no more.  Not under a lock.
 */
extern bool contime_next_loaded_key(ContimeGeneration *g, int *partition, uint32 *position,
									ContimeKey *key);

/* ---- demand.c ---------------------------------------------------------------- */

/* True if a loader has work for this cache, or is to evict in its database. */
extern bool contime_cache_is_wanted(ContimeGeneration *g);

/* True if a loader has work in this database. */
extern bool contime_cache_is_due(void);

/* True if the generation is a cache of this database that is to be loaded. */
extern bool contime_cache_load_is_due(ContimeGeneration *g);

/* True if a cache is partial and a backend has read it lately. */
extern bool contime_partial_is_read(ContimeGeneration *g);

/* True if all keys of a partial cache would fit into memory now, and a try is due. */
extern bool contime_partial_fits(ContimeGeneration *g);

/* ---- wanted.c ---------------------------------------------------------------- */

/*
 * Request that a loader loads a key, which a reader missed in a partial cache.  The
 * request is dropped if the key is too long, if its slot is in use, or if loads of
 * the cache are put off; a later reader repeats it.
 */
extern void contime_want_key(ContimeGeneration *g, const ContimeKey *key);

/* True if keys of a cache in this database are wanted. */
extern bool contime_keys_are_wanted(Oid database);

/* ---- key_loader.c ------------------------------------------------------------ */

/* Prepare a loader for loading keys.  Called when it starts. */
extern void contime_keys_begin(void);

/*
 * Load some wanted keys of one cache of this database, in a transaction of its own.
 * Return false if no key is wanted.
 */
extern bool contime_keys_load(void);

/* ---- shortage.c -------------------------------------------------------------- */

/*
 * True if workers still have to free memory of dead generations that would help a cache
 * (NULL: any cache) to load `more` bytes.
 */
extern bool contime_memory_is_freeing(const ContimeGeneration *g, Size more);

/*
 * True if the cache `but` could load `more` bytes if all other caches that no backend
 * has read lately were ended.
 */
extern bool contime_eviction_would_do(const ContimeGeneration *but, Size more);

/*
 * Return the database whose loader must evict because the region is short of memory:
 * that of the cache that was read least recently.  InvalidOid: none.
 */
extern Oid contime_eviction_is_wanted(void);

/*
 * True if the generation is a partial cache that must unload keys because three
 * quarters of a quota that it is charged to are in use.
 */
extern bool contime_cache_is_tight(ContimeGeneration *g);

/*
 * Return a cache of a database (InvalidOid: of any) for which contime_cache_is_tight()
 * is true, or NULL.
 */
extern ContimeGeneration *contime_tight_cache(Oid database);

/* ---- eviction.c -------------------------------------------------------------- */

/*
 * Evict until a cache (NULL: any cache) can load `more` bytes.  Evict caches that no
 * backend has read lately; if rounds > 0, also keys of partial caches, in at most so
 * many rounds.  Each round spares the keys that were read since the round before.
 * Return false if that does not free enough.  In a transaction, not under a lock.
 */
extern bool contime_evict(const ContimeGeneration *g, Size more, int rounds);

#endif /* CONTIME_DURABLE_H */
