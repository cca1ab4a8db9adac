/*
 * cache.c
 *	  The states of a durable table's cache: its events in shared memory.
 *
 * The event tables hold the events of a durable table.  A generation of the table
 * (shared/registry.c) holds the same events in memory, where reads are fast.  A query
 * gives the same answer from either.
 *
 *	  NONE ─ mark_wanted ──► WANTED ─ load_table ──► LOADING ─ publish_cache ───► READY
 *	   ▲                       │ refuse_load           │ publish_partial           │ make_partial
 *	   │                       ▼                       ▼                           ▼
 *	   │                     REFUSED ─ mark_wanted ► TRIMMING ─ publish_partial ► PARTIAL
 *	   │                                               │                           │
 *	   └── a new generation ─────── BROKEN ◄───────────┴──────── break_cache ──────┘
 *	                                                      (from LOADING and READY, too)
 *
 *	  state      what holds
 *	  NONE       no backend has read the table; tables in memory stay here
 *	  WANTED     a backend has read it, and a loader is to load it
 *	  LOADING    rows that are written are captured; the loader adds all others
 *	  TRIMMING   not all rows fit: the loader removes what it loaded
 *	  READY      snapshots that see what was loaded find all their events
 *	  PARTIAL    likewise, for the keys that are loaded (partial.c)
 *	  BROKEN     an event may be missing; the event tables are read until the
 *	             loader has loaded a new generation
 *	  REFUSED    the table is not loaded before `load_after`
 *
 * contime_cache_change_state() makes every change.  Loading itself, and the
 * functions `refuse_load`, `publish_cache` and `publish_partial`, are in
 * worker/loader.c; `mark_wanted` and `break_cache` are here, and `make_partial` is in
 * eviction.c.
 *
 * A cache breaks when a row was not captured; when a transaction has committed
 * captured rows that the cache lacks (unflushed.c); when two events have one
 * identity, of which the engine keeps only one, so that the other would be missing
 * if that one is retracted; when a retraction has found no event; and when bad rows
 * that were left out are gone.  TRUNCATE and ALTER open a new generation in
 * their own transaction instead.
 *
 * Locks: a generation is replaced by a process that holds AccessExclusiveLock on the
 * continuous table or on one of its event tables.  A backend that reads the cache has
 * locks on all of these, and one that adds rows to it on the event table and the
 * continuous table, until the end of the transaction.  Neither locks partitions of an
 * event table separately, since there may be many.  So a command that needs an
 * exclusive lock on a partition locks the event table first (ddl/hooks.c): it must wait
 * for the event table's readers, and every process locks a parent before its partitions.
 * A command without AccessExclusiveLock (ATTACH PARTITION, DETACH PARTITION
 * CONCURRENTLY, DISABLE TRIGGER) must not replace a generation: it breaks the cache, and
 * holds a lock that the loader waits for.
 *
 * Not here: how a cache is loaded (worker/loader.c).
 */
#include "postgres.h"

#include "durable/durable.h"
#include "base/base.h"
#include "base/compat.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "pgstat.h"
#include "utils/lsyscache.h"

/* If there is no slot for a table's cache, the backend tries again after this time. */
#define RETRY_SLOT_MS 1000

/* A reason for breaking a cache. */
static const char rows_lost[] = "a transaction has committed rows that did not reach it";

bool
contime_cache_is_ready(Oid relid)
{
	ContimeGeneration *g = RecoveryInProgress() ? NULL : contime_generation(relid);

	return g && contime_cache_state(g) == CONTIME_CACHE_READY;
}

#define TO(state) (1 << CONTIME_CACHE_##state)

bool
contime_cache_change_state(ContimeGeneration *g, ContimeCacheState from, ContimeCacheState to)
{
	static const char *const name[CONTIME_CACHE_STATES] = {
		"none", "wanted", "loading", "trimming", "ready", "partial", "broken", "refused"};
	static const uint16 allowed[CONTIME_CACHE_STATES] PG_USED_FOR_ASSERTS_ONLY = {
		[CONTIME_CACHE_NONE] = TO(WANTED) | TO(LOADING) | TO(REFUSED),
		[CONTIME_CACHE_WANTED] = TO(LOADING) | TO(REFUSED),
		[CONTIME_CACHE_LOADING] = TO(TRIMMING) | TO(READY) | TO(BROKEN),
		[CONTIME_CACHE_TRIMMING] = TO(PARTIAL) | TO(BROKEN),
		[CONTIME_CACHE_READY] = TO(PARTIAL) | TO(BROKEN),
		[CONTIME_CACHE_PARTIAL] = TO(BROKEN),
		[CONTIME_CACHE_REFUSED] = TO(WANTED),
	};
	uint32 expected = from;

	Assert(from < CONTIME_CACHE_STATES && to < CONTIME_CACHE_STATES);
	Assert(allowed[from] & 1 << to);
	if (!pg_atomic_compare_exchange_u32(&g->cache.state, &expected, to))
		return false;
	elog(DEBUG2, "cache of relation %u: %s -> %s", g->relation, name[from], name[to]);
	return true;
}

ContimeGeneration *
contime_cache_capturing(Oid relid)
{
	ContimeGeneration *g = contime_generation(relid);

	return g && contime_cache_is_captured(contime_cache_state(g)) ? g : NULL;
}

const char *
contime_cache_name(Oid relid)
{
	const char *name = get_rel_name(relid);

	return name ? psprintf("\"%s\"", name) : psprintf("with OID %u", relid);
}

/* Break a cache to which rows are captured.  Return false if its state is another one. */
static bool
break_cache(ContimeGeneration *g)
{
	ContimeCacheState state;

	do
		state = contime_cache_state(g);
	while (contime_cache_is_captured(state) &&
		   !contime_cache_change_state(g, state, CONTIME_CACHE_BROKEN));
	return contime_cache_is_captured(state);
}

void
contime_cache_break(Oid relid, const char *reason)
{
	ContimeGeneration *g = contime_generation(relid);

	Assert(contime_holds_no_lock());
	if (g == NULL || !break_cache(g))
		return;
	ereport(LOG, (errmsg("cache of continuous table %s is invalidated: %s", contime_cache_name(relid),
						 reason),
				  errdetail("Its event tables are read until it is loaded again.")));
	contime_agent_wake(MyDatabaseId);
}

void
contime_cache_check(ContimeGeneration *g, int partition)
{
	CtArena arena = contime_arena(partition);
	CtStats stats;

	const char *reason;

	Assert(g->store[partition] != 0);
	Assert(contime_holds_no_lock());
	ct_store_stats(&arena, g->store[partition], &stats);
	if (stats.unmatched > 0)
		reason = "a retraction found no event";
	else if (stats.duplicates + stats.conflicts > 0)
		reason = "two events have one identity";
	else if (contime_unflushed_found(g, NULL))
		reason = rows_lost;
	else
		return;
	contime_pause("giving up", g->database);
	if (!break_cache(g))
		return;
	ereport(LOG, (errmsg("cache of relation %u of database %u is invalidated: %s", g->relation,
						 g->database, reason),
				  errdetail("Its event tables are read.")));
	contime_agent_wake(g->database);
}

void
contime_cache_renew(Oid relid)
{
	ContimeGeneration *g = contime_generation(relid);

	/*
	 * If there is no slot for a new generation, break the cache: then the event tables
	 * are read, whether this transaction commits or not.  No loader can begin before
	 * this transaction ends, because it needs a lock that this backend holds.
	 */
	if (g && contime_cache_state(g) != CONTIME_CACHE_NONE &&
		contime_generation_try(relid, U64FromFullTransactionId(GetCurrentFullTransactionId())) ==
			NULL)
		contime_cache_break(relid, "its owner has too many continuous tables with data");
}

void
contime_cache_change(Oid relid, Oid events)
{
	ContimeGeneration *g = contime_generation(relid);
	LOCKTAG tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, events);
	if (LockHeldByMe(&tag, AccessExclusiveLock, false))
		contime_cache_renew(relid);
	else
		contime_cache_break(relid, "a part of an event table has changed");

	/* The change may have removed the reason of the refusal: allow a load at once. */
	if (g && contime_cache_state(g) == CONTIME_CACHE_REFUSED)
		g->cache.load_after = 0;
}

/* Request a loader to load the cache, unless it was refused lately. */
static void
mark_wanted(ContimeGeneration *g)
{
	ContimeCacheState state = contime_cache_state(g);

	if (state == CONTIME_CACHE_REFUSED && GetCurrentTimestamp() < g->cache.load_after)
		return;
	if ((state == CONTIME_CACHE_NONE || state == CONTIME_CACHE_REFUSED) &&
		contime_cache_change_state(g, state, CONTIME_CACHE_WANTED))
		contime_agent_wake(MyDatabaseId);
}

/* True if the table was created by this transaction, so that it may be rolled back. */
static bool
is_new_table(Oid relid)
{
	Relation rel = RelationIdGetRelation(relid);
	bool new = rel && rel->rd_createSubid != InvalidSubTransactionId;

	if (rel)
		RelationClose(rel);
	return new;
}

/*
 * Open a generation for a table that has none.  Return NULL if it must not be cached now:
 * in a parallel worker, for a new table, or if there is no slot.
 */
static ContimeGeneration *
open_first_generation(Oid relid)
{
	static TimestampTz retry = 0;
	ContimeGeneration *g;

	if (IsParallelWorker() || is_new_table(relid) || (retry != 0 && GetCurrentTimestamp() < retry))
		return NULL;
	g = contime_generation_try(relid, 0);
	retry = g ? 0 : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_SLOT_MS);
	return g;
}

ContimeGeneration *
contime_cache_watched(const ContimeTable *table, bool *partial)
{
	ContimeGeneration *g;
	ContimeCacheState state;

	Assert(table->source != NULL);
	if (RecoveryInProgress())
		return NULL;
	g = contime_generation(table->relid);
	if (g == NULL)
		g = open_first_generation(table->relid);
	if (g == NULL)
		return NULL;
	state = contime_cache_state(g);
	if (!contime_cache_is_readable(state))
	{
		mark_wanted(g);
		return NULL;
	}
	*partial = state == CONTIME_CACHE_PARTIAL;
	pg_read_barrier();
	contime_limits_note(table, g, false);
	return g;
}

void
contime_cache_note_read(ContimeGeneration *g)
{
	TimestampTz now = GetCurrentTimestamp();

	if (now > (TimestampTz) pg_atomic_read_u64(&g->cache.last_read) + USECS_PER_SEC)
		pg_atomic_write_u64(&g->cache.last_read, (uint64) now);
}

bool
contime_cache_lost_rows(ContimeGeneration *g, const ContimeView *view)
{
	Assert(g->database == MyDatabaseId);
	if (!contime_unflushed_found(g, &view->plain))
		return false;
	contime_cache_break(g->relation, rows_lost);
	return true;
}

bool
contime_cache_has_duplicates(ContimeGeneration *g)
{
	bool found = false;

	for (int p = 0; p < contime_shared->partitions; p++)
	{
		CtArena arena = contime_arena(p);
		CtStats stats;

		if (g->store[p] == 0)
			continue;
		contime_lock(p, LW_SHARED);
		ct_store_stats(&arena, g->store[p], &stats);
		contime_unlock(p);
		found |= stats.duplicates + stats.conflicts > 0;
	}
	return found;
}

/* This loader's notes of refusals, by the generation's slot. */
static struct
{
	uint64 serial; /* of the generation; 0: no note */
	ContimeRefusal reason;
	const char *obstacle; /* the reason's text, or NULL */
} refusal[CONTIME_MAX_GENERATIONS];

void
contime_refusal_note(const ContimeGeneration *g, ContimeRefusal reason, const char *obstacle)
{
	int index = g - contime_shared->generation;

	Assert(index >= 0 && index < contime_shared->slots);
	Assert(reason != CONTIME_REFUSAL_NONE);
	refusal[index].serial = g->serial;
	refusal[index].reason = reason;
	refusal[index].obstacle = obstacle;
}

ContimeRefusal
contime_refusal_of(const ContimeGeneration *g, const char **obstacle)
{
	int index = g - contime_shared->generation;

	Assert(index >= 0 && index < contime_shared->slots);
	*obstacle = refusal[index].obstacle;
	return refusal[index].serial == g->serial ? refusal[index].reason : CONTIME_REFUSAL_NONE;
}

void
contime_refusal_clear(const ContimeGeneration *slot)
{
	refusal[slot - contime_shared->generation].serial = 0;
}

bool
contime_cache_break_if_duplicates(ContimeGeneration *g)
{
	if (!contime_cache_has_duplicates(g))
		return false;
	contime_refusal_note(g, CONTIME_REFUSAL_DUPLICATES, NULL);
	(void) break_cache(g);
	return true;
}

void
contime_oversize_regain(ContimeGeneration *g)
{
	if (!contime_oversize_any(g) || contime_cache_state(g) != CONTIME_CACHE_READY ||
		GetCurrentTimestamp() < (TimestampTz) pg_atomic_read_u64(&g->cache.oversize.regain_after))
		return;
	contime_cache_break(g->relation, "rows that could not be events are no more");
}
