/*
 * cache.c
 *	  The life of a durable table's cache: its events in memory.
 *
 *	  none ─ read ─► wanted ─ loader ─► loading ─► ready ──┬─► broken ─► wanted
 *	    ▲                       └─ it does not fit ────────┴─► refused ─ later ─┘
 *	    └── not read for a while, and another one wants its memory ── ready
 *
 * The heap is the truth.  A generation (shared/registry.c) of a durable table
 * holds the same events in memory, where reads are fast, and nobody can tell from
 * an answer where it came from.
 *
 * A cache is given up (broken) when a row was not captured, when a transaction
 * has committed captured rows that the cache lacks (unflushed.c), when
 * two events have one identity (of which only one is kept: should it be
 * retracted, the other is missing), or when a retraction has found nothing.
 * What changes rows otherwise, TRUNCATE and ALTER, opens a new generation in
 * its own transaction.
 *
 * Locks: a generation is replaced by who holds AccessExclusiveLock on the
 * continuous table or on one of its event tables.  Who reads it has locks on
 * all of them, who adds to it on the event table and the continuous table, to
 * the end of the transaction.  Neither locks partitions for its own sake: there
 * may be many.  So what needs a partition for itself (ddl/hooks.c) takes the event
 * table before, as its readers would otherwise not be waited for; before, since
 * everybody locks downwards.  What does not keep others out (a partition is
 * attached, or detached concurrently, a trigger disabled) must not replace
 * anything: then the cache is given up, as long as there is a lock that the
 * loader waits for.
 *
 * Not here: how it is loaded (worker/loader.c).
 */
#include "postgres.h"

#include "durable/durable.h"
#include "base/base.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "pgstat.h"
#include "utils/lsyscache.h"

/* How long a backend does without when there is no slot for a table's cache. */
#define RETRY_SLOT_MS 1000

/* Why a cache is given up. */
static const char rows_lost[] = "a transaction has committed rows that did not reach it";

const char contime_reason_duplicates[] = "two events have one identity";
const char contime_reason_failed[] = "it could not be loaded";
const char contime_reason_given_up[] = "it was given up meanwhile";
const char contime_reason_no_memory[] = "memory was used up meanwhile";
const char contime_reason_slow_code[] = "user-made code that it uses took too long";

bool
contime_cache_is_ready(Oid relid)
{
	ContimeGeneration *g = RecoveryInProgress() ? NULL : contime_generation(relid);

	return g && contime_cache_state(g) == CONTIME_CACHE_READY && !g->partial;
}

bool
contime_cache_change_state(ContimeGeneration *g, ContimeCacheState from, ContimeCacheState to)
{
	uint32 expected = from;

	return pg_atomic_compare_exchange_u32(&g->cache, &expected, to);
}

static bool
is_captured(ContimeCacheState state)
{
	return state == CONTIME_CACHE_LOADING || state == CONTIME_CACHE_READY;
}

ContimeGeneration *
contime_cache_capturing(Oid relid)
{
	ContimeGeneration *g = contime_generation(relid);

	return g && is_captured(contime_cache_state(g)) ? g : NULL;
}

const char *
contime_cache_name(Oid relid)
{
	const char *name = get_rel_name(relid);

	return name ? psprintf("\"%s\"", name) : psprintf("with OID %u", relid);
}

void
contime_cache_break(Oid relid, const char *reason)
{
	ContimeGeneration *g = contime_generation(relid);

	if (g == NULL || !(contime_cache_change_state(g, CONTIME_CACHE_READY, CONTIME_CACHE_BROKEN) ||
					   contime_cache_change_state(g, CONTIME_CACHE_LOADING, CONTIME_CACHE_BROKEN)))
		return;
	ereport(LOG, (errmsg("cache of continuous table %s is given up: %s", contime_cache_name(relid),
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

	ct_store_stats(&arena, g->store[partition], &stats);
	if (stats.unmatched > 0)
		reason = "a retraction found no event";
	else if (stats.duplicates + stats.conflicts > 0)
		reason = contime_reason_duplicates;
	else if (contime_unflushed_found(g, NULL))
		reason = rows_lost;
	else
		return;
	contime_pause("giving up", g->database);
	if (!contime_cache_change_state(g, CONTIME_CACHE_READY, CONTIME_CACHE_BROKEN))
		return;
	ereport(LOG, (errmsg("cache of relation %u of database %u is given up: %s", g->relation,
						 g->database, reason),
				  errdetail("Its event tables are read.")));
	contime_agent_wake(g->database);
}

void
contime_cache_renew(Oid relid)
{
	ContimeGeneration *g = contime_generation(relid);

	/*
	 * Without a slot the cache is given up: then the event tables answer,
	 * whether this transaction commits or not.  No loader begins before it
	 * has ended, as it needs the lock that is held here.
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
	if (LockHeldByMe(&tag, AccessExclusiveLock))
		contime_cache_renew(relid);
	else
		contime_cache_break(relid, "a part of an event table has changed");

	/* What stood in its way may be gone. */
	if (g && contime_cache_state(g) == CONTIME_CACHE_REFUSED)
		g->load_after = 0;
}

/* Have it loaded, unless that has just been tried in vain. */
static void
want(ContimeGeneration *g)
{
	ContimeCacheState state = contime_cache_state(g);

	if (state == CONTIME_CACHE_REFUSED && GetCurrentTimestamp() < g->load_after)
		return;
	if ((state == CONTIME_CACHE_NONE || state == CONTIME_CACHE_REFUSED) &&
		contime_cache_change_state(g, state, CONTIME_CACHE_WANTED))
		contime_agent_wake(MyDatabaseId);
}

/* Was the table created by this transaction?  Then it may never have been. */
static bool
is_new(Oid relid)
{
	Relation rel = RelationIdGetRelation(relid);
	bool new = rel && rel->rd_createSubid != InvalidSubTransactionId;

	if (rel)
		RelationClose(rel);
	return new;
}

/* A generation for a table that is read for the first time; NULL: it is not to be cached now. */
static ContimeGeneration *
first_generation(Oid relid)
{
	static TimestampTz retry = 0;
	ContimeGeneration *g;

	if (IsParallelWorker() || is_new(relid) || (retry != 0 && GetCurrentTimestamp() < retry))
		return NULL;
	g = contime_generation_try(relid, 0);
	retry = g ? 0 : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_SLOT_MS);
	return g;
}

ContimeGeneration *
contime_cache_watched(const ContimeTable *table)
{
	ContimeGeneration *g;

	if (RecoveryInProgress())
		return NULL;
	g = contime_generation(table->relid);
	if (g == NULL)
		g = first_generation(table->relid);
	if (g == NULL)
		return NULL;
	if (contime_cache_state(g) != CONTIME_CACHE_READY)
	{
		want(g);
		return NULL;
	}
	pg_read_barrier();
	contime_limits_note(table, g, false);
	return g;
}

void
contime_cache_note_read(ContimeGeneration *g)
{
	TimestampTz now = GetCurrentTimestamp();

	if (now > (TimestampTz) pg_atomic_read_u64(&g->last_read) + USECS_PER_SEC)
		pg_atomic_write_u64(&g->last_read, (uint64) now);
}

bool
contime_cache_lost_rows(ContimeGeneration *g, const ContimeView *view)
{
	if (!contime_unflushed_found(g, &view->plain))
		return false;
	contime_cache_break(g->relation, rows_lost);
	return true;
}

bool
contime_cache_find_duplicates(ContimeGeneration *g)
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

ContimeUnfit contime_unfit[CONTIME_MAX_GENERATIONS];

bool
contime_cache_has_duplicates(ContimeGeneration *g)
{
	int index = g - contime_shared->generation;

	if (!contime_cache_find_duplicates(g))
		return false;
	contime_unfit[index].serial = g->serial;
	contime_unfit[index].reason = contime_reason_duplicates;
	(void) contime_cache_change_state(g, CONTIME_CACHE_READY, CONTIME_CACHE_BROKEN);
	return true;
}

/*
 * A read of all keys found no such row in the event tables: have the cache
 * loaded again, without a filter.
 */
void
contime_oversize_regain(ContimeGeneration *g)
{
	if (!contime_oversize_any(g) || g->partial ||
		GetCurrentTimestamp() < (TimestampTz) pg_atomic_read_u64(&g->oversize.regain_after))
		return;
	contime_cache_break(g->relation, "rows that were too large are no more");
}
