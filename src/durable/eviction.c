/*
 * eviction.c
 *	  Eviction: caches and keys that are not read make way for others.
 *
 * In this order: memory that is being freed anyway; a cache that no backend has read
 * lately, whose table is loaded again when it is read; keys of partial caches that
 * were not read.  If partial caches use a small share of the memory, another cache is
 * turned into a partial one first, while no backend uses it: a walk over all keys must
 * not miss one.
 *
 * If the region has room and a quota is in the way, only caches that are charged to the
 * same account are evicted.
 *
 * Memory is shared by all databases, and so is what can be evicted: nothing here needs
 * a catalog.  Allocated bytes count.  Keys that are unloaded leave holes in pages that
 * they share with others; these are filled again.
 *
 * Called by loaders.
 *
 * Not here: whether memory is short (shortage.c), how much a cache may take
 * (shared/budget.c).
 */
#include "postgres.h"

#include "durable/durable.h"
#include "durable/shortage.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lock.h"

#define MAKE_MS 5000
#define MAKE_FOR_KEYS_MS 100

/* Timelines looked at, or events freed, under one hold of a lock. */
#define WORK_PER_LOCK 512

/* ---- whole caches ------------------------------------------------------------ */

/* Have a cache to oneself, in whatever database; false: it is in use, or gone. */
static bool
lock_cache(ContimeGeneration *g, uint64 serial, LOCKTAG *tag)
{
	SET_LOCKTAG_RELATION(*tag, g->database, g->relation);
	if (LockAcquire(tag, AccessExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	if (g->serial == serial && contime_is_cache(g) && g->database == tag->locktag_field1 &&
		g->relation == tag->locktag_field2)
		return true;
	LockRelease(tag, AccessExclusiveLock, false);
	return false;
}

/* False: there is none that is not read, or those are in use after all. */
static bool
evict_cache(const ContimeGeneration *but, Size more)
{
	uint64 last_read = 0;
	bool ended = false;
	ContimeGeneration *g;
	LOCKTAG tag;

	while (!ended && (g = contime_coldest_cache(but, more, false, COLD_MS, &last_read)) != NULL)
		if (lock_cache(g, g->serial, &tag))
		{
			ended = contime_generation_end(g);
			LockRelease(&tag, AccessExclusiveLock, false);
		}
	return ended;
}

/* Do caches that have not all keys have little, beside those that have? */
static bool
is_partial_little(void)
{
	Size bytes[2] = {0, 0};

	for (int i = 0; i < contime_shared->highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];

		if (contime_is_cache(g))
			bytes[contime_cache_state(g) == CONTIME_CACHE_PARTIAL] += contime_generation_bytes(g);
	}
	return bytes[true] < bytes[false] / 4;
}

/*
 * Turn the coldest cache into a partial one; caches that are in use are passed
 * over.
 */
static void
part_cache(const ContimeGeneration *but, Size more)
{
	uint64 cold = (uint64) TimestampTzPlusMilliseconds(GetCurrentTimestamp(), -COLD_MS);
	uint64 last_read = 0;
	bool locked;
	ContimeGeneration *g;
	LOCKTAG tag;
	CtStats stats;

	do
	{
		g = contime_coldest_cache(but, more, true, 0, &last_read);
		locked = g && lock_cache(g, g->serial, &tag);
	} while (g && !locked && last_read < cold);
	if (!locked)
		return;
	Assert(LockHeldByMe(&tag, AccessExclusiveLock)); /* nobody reads it */
	stats = contime_generation_stats(g);
	if (contime_cache_change_state(g, CONTIME_CACHE_READY, CONTIME_CACHE_PARTIAL))
		contime_make_partial(g, stats.young + stats.frozen, stats.bytes, PG_INT64_MIN);
	LockRelease(&tag, AccessExclusiveLock, false);
}

/* ---- keys -------------------------------------------------------------------- */

/*
 * Unload some keys. CT_MORE: there are more to look at, or (*half) a key was
 * unloaded in part.
 */
static CtStatus
evict_some(ContimeGeneration *g, int partition, bool *half)
{
	CtArena arena = contime_arena(partition);
	CtStatus status = CT_OK;
	Size before;

	(void) contime_yield_lock(partition, true);
	contime_lock(partition, LW_EXCLUSIVE);
	if (contime_is_cache(g) && contime_cache_state(g) == CONTIME_CACHE_PARTIAL &&
		!contime_is_held(pg_atomic_read_u32(&g->partial.hold)) && g->store[partition] != 0)
	{
		/*
		 * (The process that made it partial may have been interrupted before
		 * it had marked this store.)
		 */
		START_CRIT_SECTION();
		before = contime_charge_begin(g, partition);
		ct_store_make_partial(&arena, g->store[partition], g->partial.newest_row);
		status = ct_store_evict(&arena, g->store[partition], WORK_PER_LOCK, half);
		contime_charge_end(g, partition, before);
		END_CRIT_SECTION();
	}
	contime_unlock(partition);
	return status;
}

/* Until there is room for more of a cache, or the hand has been round so often: false. */
static bool
evict_keys(const ContimeGeneration *but, Size more, int rounds)
{
	static uint32 hand = 0; /* of stores, where it went on last */
	uint32 stores = contime_shared->highest * contime_shared->partitions;

	Assert(rounds > 0);
	for (uint32 n = 0; n < rounds * stores; n++)
	{
		uint32 at = hand % stores;
		ContimeGeneration *g = &contime_shared->generation[at / contime_shared->partitions];
		CtStatus status;
		bool half = false;

		do
		{
			CHECK_FOR_INTERRUPTS();
			if (!half && contime_budget_loads(but, more, true))
				return true;
			half = false;
			status = contime_is_cache(g) && contime_cache_state(g) == CONTIME_CACHE_PARTIAL &&
							 contime_would_help(but, g, more)
						 ? evict_some(g, at % contime_shared->partitions, &half)
						 : CT_OK;
		} while (status == CT_MORE);
		hand++;
	}
	return contime_budget_loads(but, more, true);
}

/* ---- both -------------------------------------------------------------------- */

bool
contime_evict(const ContimeGeneration *g, Size more, int rounds)
{
	bool by_keys = rounds > 0;

	Assert(IsTransactionState()); /* for locks */
	Assert(contime_holds_no_lock());
#ifdef USE_ASSERT_CHECKING
	if (contime_debug_partial)
	{
		(void) evict_keys(NULL, PG_INT64_MAX / 2, 1);
		return by_keys;
	}
#endif
	for (int waited_ms = 0; !contime_budget_loads(g, more, by_keys); waited_ms += 10)
	{
		CHECK_FOR_INTERRUPTS();
		if (waited_ms >= (by_keys ? MAKE_FOR_KEYS_MS : MAKE_MS) ||
			(!contime_memory_is_freeing(g, more) && !evict_cache(g, more)))
			break;
		pg_usleep(10000);
	}
	if (contime_budget_loads(g, more, by_keys))
		return true;
	if (!by_keys)
		return false;
	if (is_partial_little())
		part_cache(g, more);
	return evict_keys(g, more, rounds);
}
