/*
 * eviction.c
 *	  Evict caches and keys from memory, so that other ones can be loaded.
 *
 * A loader gets memory for a load by these steps, until there is enough:
 *
 *	  1. Wait for memory that workers are freeing anyway.
 *	  2. End caches that no backend has read lately.  A loader loads such a table again
 *	     when it is read.
 *	  3. For a load of keys: if partial caches use a small share of the memory, turn
 *	     another cache into a partial one.  No backend may use it meanwhile, because a
 *	     scan of all keys must not miss one that is unloaded.
 *	  4. For a load of keys: unload keys of partial caches that were not read.
 *
 * If the region has room but a quota prevents the load, only caches that are charged to
 * the same account are evicted.
 *
 * Memory is shared by all databases, so a loader evicts caches of any database; nothing
 * here reads a catalog.  Allocated bytes are counted, not pages: an unloaded key leaves
 * holes in pages that it shares with other keys, and these are used again.
 *
 * Called by loaders.
 *
 * Not here: whether memory is short (shortage.c), how much a cache may take
 * (shared/budget.c).
 */
#include "postgres.h"

#include "base/compat.h"
#include "durable/durable.h"
#include "durable/keys.h"
#include "durable/shortage.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lock.h"

/* How long contime_evict() tries steps 1 and 2, alone and before steps 3 and 4. */
#define MAKE_MS 5000
#define MAKE_FOR_KEYS_MS 100

/* ---- whole caches ------------------------------------------------------------ */

/*
 * Lock the table of a cache, of any database, in AccessExclusiveLock without waiting.
 * Return false, without the lock, if the table is in use or the cache was replaced.
 */
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

/*
 * End the cache that was read least recently, if no backend has read it for COLD_MS.  Skip
 * caches in use, and those whose memory would not help `but` to load `more` bytes.  Return
 * false if no cache could be ended.
 */
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

/*
 * True if partial caches use a small share of the memory that complete caches use: less
 * than a quarter.
 */
static bool
are_partial_caches_small(void)
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
 * Turn the READY cache that was read least recently into a partial one.  If it is in use,
 * try the next one; give up after the first that was read in the last COLD_MS.
 */
static void
make_partial(const ContimeGeneration *but, Size more)
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
	Assert(LockHeldByMe(&tag, AccessExclusiveLock, false)); /* no backend reads it */
	stats = contime_generation_stats(g);
	if (contime_cache_change_state(g, CONTIME_CACHE_READY, CONTIME_CACHE_PARTIAL))
		contime_make_partial(g, stats.young + stats.frozen, stats.bytes, PG_INT64_MIN);
	LockRelease(&tag, AccessExclusiveLock, false);
}

/* ---- keys -------------------------------------------------------------------- */

/*
 * Unload some keys of a partition that were not read since the last round.  Return CT_MORE
 * if the round is not over; then *half is true if the last key was unloaded in part.
 */
static CtStatus
evict_some_keys(ContimeGeneration *g, int partition, bool *half)
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
		 * Mark the store as partial again: the process that made the cache partial may
		 * have been interrupted before it marked this store.
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

/*
 * Unload keys until a cache (NULL: any cache) can load `more` bytes.  Return false if that
 * is not reached after so many rounds over all stores.
 */
static bool
evict_keys(const ContimeGeneration *but, Size more, int rounds)
{
	static uint32 hand = 0; /* the store to continue with, also in the next call */
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
						 ? evict_some_keys(g, at % contime_shared->partitions, &half)
						 : CT_OK;
		} while (status == CT_MORE);
		hand++;
	}
	return contime_budget_loads(but, more, true);
}

/* ---- caches and keys --------------------------------------------------------- */

bool
contime_evict(const ContimeGeneration *g, Size more, int rounds)
{
	bool by_keys = rounds > 0;

	Assert(IsTransactionState()); /* locks belong to it */
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
	if (are_partial_caches_small())
		make_partial(g, more);
	return evict_keys(g, more, rounds);
}
