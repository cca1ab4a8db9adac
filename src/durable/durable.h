/*
 * durable.h
 *	  Event tables as the truth, and memory as their cache.
 *
 *	  unflushed.c     transactions with captured rows that are not in a cache yet
 *	  cache.c         the life of a cache: its states
 *	  source_query.c  queries by which event tables are read
 *	  heap_read.c     events from event tables, as a snapshot sees them
 *	  capture.c       rows become recent events as they are written
 *	  wanted.c        keys that readers missed
 *	  shortage.c      is memory short, and what could be freed?
 *	  demand.c        is there work for a loader?
 *	  partial.c       caches that have not all keys
 *	  eviction.c      caches and keys make room for others
 *	  key_loader.c    wanted keys are loaded into partial caches
 *	  references.c    event tables stay as they are while they are read
 *	  triggers.c      the triggers on event tables
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_DURABLE_H
#define CONTIME_DURABLE_H

#include "postgres.h"

#include "mvcc/mvcc.h"
#include "table/table.h"

/* The text of a query for its rows: $1 ... are keys, then the latest instant. */
typedef enum ContimeRowOrder
{
	CONTIME_OF_KEY, /* of one key */
	CONTIME_BY_KEY, /* in the order of keys */
	CONTIME_ANY_ORDER
} ContimeRowOrder;

/*
 * References to a durable table's event tables, so that core refuses DDL on
 * them beneath an open read of the same session.  begin: under the resource
 * owner that the read belongs to; NULL for a table in memory.  end: under any.
 */
typedef struct ContimeReferences ContimeReferences;

/* Rows got from a query at a time. */
#define CONTIME_FETCH_ROWS 1000

/* Rows of an event table as rows of the continuous table. */
typedef struct ContimeEvents ContimeEvents;

/*
 * Keys with their events, from the event tables:
 *
 *	begin -> (bind -> next*)* -> end
 *
 * bind: keys NULL for all keys; events behind `until` may be left out.  next:
 * a store that holds the next key's timeline, until next is called again.
 */
typedef struct ContimeHeapRead ContimeHeapRead;

/*
 * Rows of a source that a snapshot sees, into a generation: bind a key, or NULL
 * for every row; then load some, or (skip) only count them and see how late
 * they are.  False: there are no more.
 */
typedef struct ContimeHeapLoad ContimeHeapLoad;

/* Why a table is not cached. */
typedef enum ContimeRefusal
{
	CONTIME_REFUSAL_NONE,
	CONTIME_REFUSAL_OBSTACLE,    /* its rows cannot be captured; a text says why */
	CONTIME_REFUSAL_DUPLICATES,  /* two events have one identity */
	CONTIME_REFUSAL_FAILED,      /* an error, which was logged */
	CONTIME_REFUSAL_INVALIDATED, /* it was broken while it was loaded */
	CONTIME_REFUSAL_NO_MEMORY,   /* memory was exhausted while it was loaded */
	CONTIME_REFUSAL_SLOW_CODE    /* user-made code took too long, which was logged */
} ContimeRefusal;

/* ---- source_query.c ---------------------------------------------------------- */

extern char *contime_source_query(const ContimeTable *table, const ContimeSource *source,
								  ContimeRowOrder order, bool bounded);

/* Does a state depend on events behind its instant, too? */
extern bool contime_source_looks_ahead(const ContimeTable *table);

/* ---- references.c ------------------------------------------------------------ */

extern ContimeReferences *contime_references_begin(const ContimeTable *table);
extern void contime_references_end(ContimeReferences *held);

/* The event tables that scans of this session read; NIL, as a rule. */
extern List *contime_references_read(void);

/* ---- heap_read.c ------------------------------------------------------------- */

extern ContimeEvents *contime_events_begin(const ContimeTable *table, const ContimeSource *source);
extern bool contime_events_row(ContimeEvents *events, TupleTableSlot *slot, Datum **values,
							   bool **isnull);
extern void contime_events_end(ContimeEvents *events);

extern ContimeHeapRead *contime_heap_begin(Relation rel, const ContimeTable *table,
										   Snapshot snapshot);
extern void contime_heap_bind(ContimeHeapRead *read, const Datum *keys, int64 until);
extern bool contime_heap_next(ContimeHeapRead *read, CtArena *arena, CtRef *store, CtRef *timeline);
extern void contime_heap_end(ContimeHeapRead *read);

extern ContimeHeapLoad *contime_heap_load_begin(Relation rel, const ContimeTable *table,
												const ContimeSource *source);
extern void contime_heap_load_bind(ContimeHeapLoad *load, Snapshot snapshot, const Datum *keys);
extern bool contime_heap_load_next(ContimeHeapLoad *load, ContimeGeneration *g);
extern bool contime_heap_load_skip(ContimeHeapLoad *load, uint64 *rows, int64 *newest);
extern void contime_heap_load_end(ContimeHeapLoad *load);

/* ---- triggers.c -------------------------------------------------------------- */

/*
 * Have on a relation the triggers of the durable tables whose events its rows
 * are, and no others of theirs; false: some do not fire, as somebody wants it.
 * On an event table and all of its partitions.
 */
extern bool contime_capture_fit(Oid relation);
extern void contime_capture_fit_all(Oid events);

/*
 * Why rows of an event table are not captured for a continuous table, or NULL.
 * Its relations are locked, and added to a list.
 */
extern const char *contime_capture_obstacle(Oid relid, Oid events, List **relations);

/* ---- capture.c --------------------------------------------------------------- */

/* Is a statement of this backend under way that writes to one of its event tables? */
extern bool contime_capture_pending(Oid relid);

extern void contime_capture_install_hooks(void);

/* ---- unflushed.c ------------------------------------------------------------- */

/*
 * Note that this transaction has captured rows that are not in a cache yet.
 * NULL: there is no room for a note, so the caller adds them at once.  The
 * writer clears its note when they have been added, or are rolled back.
 */
extern pg_atomic_uint64 *contime_unflushed_note(ContimeGeneration *g);
extern void contime_unflushed_clear(pg_atomic_uint64 *note);

/*
 * True if a cache lacks rows of a transaction that has committed, and that the
 * snapshot (unless NULL) sees as ended.  Not under a lock.
 */
extern bool contime_unflushed_found(ContimeGeneration *g, const CtSnapshot *snapshot);

/* ---- cache.c ----------------------------------------------------------------- */

/* Will most snapshots find what they see of a table in its cache? */
extern bool contime_cache_is_ready(Oid relid);

/*
 * The cache of a table whose sources are locked, or NULL: there is none, and it
 * will be loaded.
 */
extern ContimeGeneration *contime_cache_watched(const ContimeTable *table, bool *partial);

/* By a loader: do two of its events have one identity?  Then it is given up, and refused. */
extern bool contime_cache_break_if_duplicates(ContimeGeneration *g);

/* The one that rows are to be added to, or NULL. */
extern ContimeGeneration *contime_cache_capturing(Oid relid);

/* It may lack a row, for the reason given in the log. */
extern void contime_cache_break(Oid relid, const char *reason);

/* By the worker: has the engine lost anything? */
extern void contime_cache_check(ContimeGeneration *g, int partition);

/*
 * What rows are, or mean, changes in this transaction: of a table of which
 * nobody else uses the cache (there is an AccessExclusiveLock on it, or on an
 * event table); or as others may read and write.
 */
extern void contime_cache_renew(Oid relid);
extern void contime_cache_change(Oid relid, Oid events);

/* A read of all keys has met no such row. */
extern void contime_oversize_regain(ContimeGeneration *g);

/*
 * Change the state of a cache, as the diagram in cache.c allows.  Returns false
 * if it is not `from` any more.
 */
extern bool contime_cache_change_state(ContimeGeneration *g, ContimeCacheState from,
									   ContimeCacheState to);

/* A continuous table in messages: its name, if it still has one. */
extern const char *contime_cache_name(Oid relid);

/* (Not each time, lest those who read meet at this.) */
extern void contime_cache_note_read(ContimeGeneration *g);

/* True if the cache lacks rows of a transaction that the snapshot sees as committed. */
extern bool contime_cache_lost_rows(ContimeGeneration *g, const ContimeView *view);

/* Two events of one identity: of one of them nothing is known any more. */
extern bool contime_cache_has_duplicates(ContimeGeneration *g);

/*
 * Notes of this loader: why it could not load a generation.  It refuses the table
 * as soon as it has the lock that this needs.
 */
extern void contime_refusal_note(const ContimeGeneration *g, ContimeRefusal reason,
								 const char *obstacle);
extern ContimeRefusal contime_refusal_of(const ContimeGeneration *g, const char **obstacle);
extern void contime_refusal_clear(const ContimeGeneration *slot);

/* ---- demand.c ---------------------------------------------------------------- */

/* Is it to be loaded, or tidied?  And is there such a one in a database? */
extern bool contime_cache_is_wanted(ContimeGeneration *g);
extern bool contime_cache_is_due(void);

extern bool contime_cache_load_is_due(ContimeGeneration *g);

/* ---- partial.c --------------------------------------------------------------- */

/*
 * From now on a cache need not have all keys, as whoever has it to himself
 * says; all of them have so many events, which would take so many bytes, none
 * after an instant but those that are captured.  And of one that was loaded in
 * vain, forget all that was.  What would all keys take by now?
 */
extern void contime_make_partial(ContimeGeneration *g, uint64 rows, Size bytes, int64 newest);
extern void contime_unload_keys(ContimeGeneration *g);
extern Size contime_keys_whole_bytes(ContimeGeneration *g);

/* The next of those it has, from partition and position 0 on; false: there are no more. */
extern bool contime_next_loaded_key(ContimeGeneration *g, int *partition, uint32 *position,
									ContimeKey *key);

/* ---- wanted.c ---------------------------------------------------------------- */

/* A reader has missed a key, and wants it to come.  Is there such a one in a database? */
extern void contime_want_key(ContimeGeneration *g, const ContimeKey *key);
extern bool contime_keys_are_wanted(Oid database);

/* ---- key_loader.c ------------------------------------------------------------ */

/* By the loader: at first, and to load some that are wanted; false: none are. */
extern void contime_keys_begin(void);
extern bool contime_keys_load(void);

/* ---- shortage.c -------------------------------------------------------------- */

/* Is memory on its way back, from generations that are in force no more, that helps a cache that needs more? */
extern bool contime_memory_is_freeing(const ContimeGeneration *g, Size more);

/* Could it be, but for a cache, without keys that are read? */
extern bool contime_eviction_would_do(const ContimeGeneration *but, Size more);

/* A database whose loader is to make room; InvalidOid: there is enough, or nothing to be done. */
extern Oid contime_eviction_is_wanted(void);

/*
 * Has a cache without all keys so much of one of its quotas that keys are to
 * go?  And such a one in a database (InvalidOid: in any), or NULL.
 */
extern bool contime_cache_is_tight(ContimeGeneration *g);
extern ContimeGeneration *contime_tight_cache(Oid database);

/* ---- eviction.c -------------------------------------------------------------- */

/*
 * Make room to load into a cache (NULL: for whatever may come) at the cost of
 * caches that nobody reads, and of keys: in so many rounds, of which the first
 * spares what was read since the one before.  False: there is none.
 */
extern bool contime_evict(const ContimeGeneration *g, Size more, int rounds);

#endif /* CONTIME_DURABLE_H */
