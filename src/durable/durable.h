/*
 * durable.h
 *	  Event tables as the truth, and memory as their cache.
 *
 *	  unflushed.c     transactions with captured rows that are not in a cache yet
 *	  cache.c         the life of a cache: its states
 *	  source_query.c  queries by which event tables are read
 *	  heap_read.c     events from event tables, as a snapshot sees them
 *	  capture.c       rows become recent events as they are written
 *	  shortage.c      is memory short, and what could be freed?
 *	  wanted.c        keys that readers missed
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

StaticAssertDecl(CONTIME_ANY_ORDER + 1 == lengthof(((ContimeSource *) NULL)->plan),
				 "a plan for each order");

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

/*
 * The text of the query for rows of an event table, in this order; bounded: up
 * to an instant. Parameters are the keys, then the latest instant.
 */
extern char *contime_source_query(const ContimeTable *table, const ContimeSource *source,
								  ContimeRowOrder order, bool bounded);

/* True if a state depends on events after its instant, too (interpolation). */
extern bool contime_source_looks_ahead(const ContimeTable *table);

/* ---- references.c ------------------------------------------------------------ */

/*
 * Keep the event tables of a durable table open, under the current resource
 * owner, so that core refuses DDL on them in the same session while they are
 * read. NULL for a table in memory. They may be ended under any resource
 * owner.
 */
extern ContimeReferences *contime_references_begin(const ContimeTable *table);
extern void contime_references_end(ContimeReferences *held);

/* The event tables that open scans of this session read; usually NIL. */
extern List *contime_references_read(void);

/* ---- heap_read.c ------------------------------------------------------------- */

/*
 * Evaluate the rows of an event table as rows of the continuous table.
 * contime_events_row() returns false for a row that is no event (its key or
 * time is NULL).
 */
extern ContimeEvents *contime_events_begin(const ContimeTable *table, const ContimeSource *source);
extern bool contime_events_row(ContimeEvents *events, TupleTableSlot *slot, Datum **values,
							   bool **isnull);
extern void contime_events_end(ContimeEvents *events);

/* Read keys from the event tables of a durable table, as a snapshot sees them. */
extern ContimeHeapRead *contime_heap_begin(Relation rel, const ContimeTable *table,
										   Snapshot snapshot);

/* Bind a key, or (NULL) all keys. Events after `until` may be left out. */
extern void contime_heap_bind(ContimeHeapRead *read, const Datum *keys, int64 until);

/*
 * Load the next key into a private store, which lives until the next call.
 * Returns false if there are no more keys.
 */
extern bool contime_heap_next(ContimeHeapRead *read, CtArena *arena, CtRef *store, CtRef *timeline);
extern void contime_heap_end(ContimeHeapRead *read);

/*
 * Load the rows of a source into a cache: begin, bind a snapshot and a key
 * (NULL: all rows), then load some rows at a time, or skip them: then they are
 * only counted, and *newest is raised to the latest. Both return false when
 * there are no more.
 */
extern ContimeHeapLoad *contime_heap_load_begin(Relation rel, const ContimeTable *table,
												const ContimeSource *source);
extern void contime_heap_load_bind(ContimeHeapLoad *load, Snapshot snapshot, const Datum *keys);
extern bool contime_heap_load_next(ContimeHeapLoad *load, ContimeGeneration *g);
extern bool contime_heap_load_skip(ContimeHeapLoad *load, uint64 *rows, int64 *newest);
extern void contime_heap_load_end(ContimeHeapLoad *load);

/* ---- triggers.c -------------------------------------------------------------- */

/*
 * Make the capture triggers of a relation agree with the durable tables whose
 * event table it is (part of). Returns false if a user has disabled some.
 * contime_capture_fit_all(): on an event table and all its partitions.
 */
extern bool contime_capture_fit(Oid relation);
extern void contime_capture_fit_all(Oid events);

/*
 * Why rows of an event table cannot be captured for a continuous table, or
 * NULL. Locks the relations that have its rows, and adds them to *relations.
 */
extern const char *contime_capture_obstacle(Oid relid, Oid events, List **relations);

/* ---- capture.c --------------------------------------------------------------- */

/*
 * True if a statement of this backend that writes to an event table of the
 * table is under way.
 */
extern bool contime_capture_pending(Oid relid);

/*
 * Install the executor's hooks that find the end of statements. Called by
 * module.c.
 */
extern void contime_capture_install_hooks(void);

/* ---- unflushed.c ------------------------------------------------------------- */

/*
 * Note that this transaction has captured rows that are not in a cache yet.
 * NULL: there is no room for a note, so the caller must add them at once.
 */
extern pg_atomic_uint64 *contime_unflushed_note(ContimeGeneration *g);

/* Clear a note: its rows were added, or are rolled back. */
extern void contime_unflushed_clear(pg_atomic_uint64 *note);

/*
 * True if a cache lacks rows of a transaction that has committed and that the
 * snapshot (unless NULL) sees as ended. Not under a lock.
 */
extern bool contime_unflushed_found(ContimeGeneration *g, const CtSnapshot *snapshot);

/* ---- cache.c ----------------------------------------------------------------- */

/*
 * True if most snapshots find what they see of the table in its cache, with
 * all keys.
 */
extern bool contime_cache_is_ready(Oid relid);

/*
 * The readable cache of a durable table whose event tables are locked;
 * *partial says whether it lacks keys. NULL: there is none, and a loader has
 * been asked for it unless it was refused lately.
 */
extern ContimeGeneration *contime_cache_watched(const ContimeTable *table, bool *partial);

/*
 * Break a cache in which two events have one identity, and note the refusal.
 * Called by a loader. Returns true if it did.
 */
extern bool contime_cache_break_if_duplicates(ContimeGeneration *g);

/* The generation of a cache to which captured rows are added, or NULL. */
extern ContimeGeneration *contime_cache_capturing(Oid relid);

/* Break the cache of a table, as it may lack a row; the log gives the reason. */
extern void contime_cache_break(Oid relid, const char *reason);

/*
 * Break a cache in which the engine has met duplicates or unmatched
 * retractions, or that has lost rows. Called by workers.
 */
extern void contime_cache_check(ContimeGeneration *g, int partition);

/*
 * Replace the cache of a table by an empty one in this transaction: the
 * meaning of its rows changes, and the caller holds AccessExclusiveLock on the
 * table or an event table.
 */
extern void contime_cache_renew(Oid relid);

/*
 * Renew the cache of a table if the event table is locked in
 * AccessExclusiveLock; otherwise break it.
 */
extern void contime_cache_change(Oid relid, Oid events);

/*
 * Break a cache that lacks rows which were too large, as a read of all keys
 * has met none.
 */
extern void contime_oversize_regain(ContimeGeneration *g);

/*
 * Change the state of a cache, as the diagram in cache.c allows. Returns false
 * if it is not `from` any more.
 */
extern bool contime_cache_change_state(ContimeGeneration *g, ContimeCacheState from,
									   ContimeCacheState to);

/* The name of a continuous table for a message, or its OID. */
extern const char *contime_cache_name(Oid relid);

/*
 * Note that a cache is read, at most once a second, since all readers would
 * write to the same line of memory.
 */
extern void contime_cache_note_read(ContimeGeneration *g);

/*
 * Break the cache if it lacks rows of a transaction that the view sees as
 * committed. Returns true if it does.
 */
extern bool contime_cache_lost_rows(ContimeGeneration *g, const ContimeView *view);

/* True if two events of a cache have one identity. */
extern bool contime_cache_has_duplicates(ContimeGeneration *g);

/*
 * Notes of this loader: why it could not load a generation. It refuses the
 * table as soon as it has the lock that this needs.
 */
extern void contime_refusal_note(const ContimeGeneration *g, ContimeRefusal reason,
								 const char *obstacle);
extern ContimeRefusal contime_refusal_of(const ContimeGeneration *g, const char **obstacle);
extern void contime_refusal_clear(const ContimeGeneration *slot);

/* ---- demand.c ---------------------------------------------------------------- */

/* True if a loader has work for this cache. */
extern bool contime_cache_is_wanted(ContimeGeneration *g);

/* True if a loader has work in this database. */
extern bool contime_cache_is_due(void);

/* True if this cache of this database is to be loaded. */
extern bool contime_cache_load_is_due(ContimeGeneration *g);

/* ---- partial.c --------------------------------------------------------------- */

/*
 * Note that a cache may lack keys from now on. All keys together have so many
 * events, would take so many bytes, and have no event after `newest` that was
 * not captured. The cache is TRIMMING or PARTIAL.
 */
extern void contime_make_partial(ContimeGeneration *g, uint64 rows, Size bytes, int64 newest);

/* Remove all events that were loaded, of a cache that is being trimmed. */
extern void contime_unload_keys(ContimeGeneration *g);

/* An estimate of the bytes that all keys would take by now. */
extern Size contime_keys_whole_bytes(ContimeGeneration *g);

/*
 * The next key that a cache has; begin with partition 0 and position 0.
 * Returns false if there are no more.
 */
extern bool contime_next_loaded_key(ContimeGeneration *g, int *partition, uint32 *position,
									ContimeKey *key);

/* ---- wanted.c ---------------------------------------------------------------- */

/* A reader has missed a key in a partial cache: have a loader load it. */
extern void contime_want_key(ContimeGeneration *g, const ContimeKey *key);

/* True if a key of a cache in this database is wanted. */
extern bool contime_keys_are_wanted(Oid database);

/* ---- key_loader.c ------------------------------------------------------------ */

/* Called by a loader when it starts. */
extern void contime_keys_begin(void);

/* Load some wanted keys of one cache. Returns false if no key is wanted. */
extern bool contime_keys_load(void);

/* ---- shortage.c -------------------------------------------------------------- */

/*
 * True if memory of ended generations is still being freed that a cache which
 * needs so much more could use.
 */
extern bool contime_memory_is_freeing(const ContimeGeneration *g, Size more);

/*
 * True if a cache could load so much more if caches that nobody reads were
 * ended.
 */
extern bool contime_eviction_would_do(const ContimeGeneration *but, Size more);

/* A database whose loader is to evict, or InvalidOid. */
extern Oid contime_eviction_is_wanted(void);

/*
 * True if a partial cache uses so much of a quota that keys are to be
 * unloaded.
 */
extern bool contime_cache_is_tight(ContimeGeneration *g);

/*
 * A cache for which contime_cache_is_tight(), in a database (InvalidOid: in
 * any), or NULL.
 */
extern ContimeGeneration *contime_tight_cache(Oid database);

/* ---- eviction.c -------------------------------------------------------------- */

/*
 * Evict until a cache (NULL: any cache) can load so many bytes: caches that
 * nobody reads, and with rounds > 0 keys, of which the first round spares
 * those that were read since the round before. Returns false if that did not
 * suffice.
 */
extern bool contime_evict(const ContimeGeneration *g, Size more, int rounds);

#endif /* CONTIME_DURABLE_H */
