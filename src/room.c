/*
 * room.c
 *	  Memory for caches: who makes room for others.  How much they may take
 *	  is said by the formula in shared/budget.c.
 *
 * Room is made by what is on its way out; then by a cache that nobody reads any
 * more, whose table is loaded again when somebody does; then by keys that nobody
 * reads, of caches that have not all keys (keys.c).  Where these have little,
 * another one becomes one of them, while nobody uses it: a walk over all keys
 * must not miss one.
 *
 * Where the region has room, and a quota is in the way, only caches that are
 * charged to the same account make room.
 *
 * Memory is shared by all databases, and so is what can be evicted: nothing
 * here needs a catalog.
 *
 * What counts is what is allocated.  Keys that go leave holes in pages that
 * others have a part in: those are filled again.
 *
 * Called by loaders, but for the questions.
 */
#include "contime.h"
#include "shared/budget.h"

#include "miscadmin.h"
#include "storage/lock.h"
#ifdef USE_ASSERT_CHECKING
#include "utils/guc.h"
#endif
#include "utils/timestamp.h"

/*
 * Who has not been read for so long makes room for others; how long that may
 * take, for a whole table, and for keys, which can make room themselves.
 */
#define COLD_MS 5000
#define MAKE_MS 5000
#define MAKE_FOR_KEYS_MS 100

/* What takes less than that is not worth the trouble. */
#define LEAST_BYTES ((Size) 256 * 1024)

/* Timelines looked at, or events freed, under one hold of a lock. */
#define WORK_PER_LOCK 512

#ifdef USE_ASSERT_CHECKING
/*
 * Setting contime.debug_partial: no table fits into memory, and there is never
 * room for a key but what others make.
 */
static bool debug_partial = false;

void
contime_room_settings(void)
{
	DefineCustomBoolVariable("contime.debug_partial",
							 "Lets no cache have all keys, and has keys go all the time.",
							 NULL,
							 &debug_partial,
							 false,
							 PGC_SIGHUP, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
}
#endif

/* Would it help a cache (NULL: whatever may come) to load so much if another one had less? */
static bool
would_help(const ContimeGeneration *g, const ContimeGeneration *other, Size more)
{
	ContimeLevel level;

	if (g == NULL || !contime_budget_region_loads(more, true))
		return true;
	level = contime_budget_tight(g, more);
	return level != CONTIME_UNLIMITED && contime_account_is_shared(g, other, level);
}

/* ---- whole caches -------------------------------------------------------------------------- */

/* Is it one that is in force, and read? */
static bool
is_cache(ContimeGeneration *g)
{
	return g->used && !g->dead && contime_cache_state(g) == CONTIME_CACHE_READY;
}

/*
 * The cache, with all keys or not, that nobody has read for longest but for
 * those last read until *last_read, which moves on, and for so long, and that
 * helps another one to load so much; or NULL.
 */
static ContimeGeneration *
coldest(const ContimeGeneration *but, Size more, bool whole, int ms, uint64 *last_read)
{
	uint64		before = (uint64) TimestampTzPlusMilliseconds(GetCurrentTimestamp(), -ms);
	ContimeGeneration *found = NULL;

	for (int i = 0; i < contime_shared->highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];
		uint64		read = pg_atomic_read_u64(&g->last_read);

		if (g != but && is_cache(g) && read < before && read > *last_read &&
			(!whole || !g->partial) && contime_generation_bytes(g) >= LEAST_BYTES &&
			would_help(but, g, more))
		{
			before = read;
			found = g;
		}
	}
	*last_read = before;
	return found;
}

/* Have a cache to oneself, in whatever database; false: it is in use, or gone. */
static bool
lock_cache(ContimeGeneration *g, uint64 serial, LOCKTAG *tag)
{
	SET_LOCKTAG_RELATION(*tag, g->database, g->relation);
	if (LockAcquire(tag, AccessExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	if (g->serial == serial && is_cache(g) && g->database == tag->locktag_field1 &&
		g->relation == tag->locktag_field2)
		return true;
	LockRelease(tag, AccessExclusiveLock, false);
	return false;
}

/* False: there is none that is not read, or those are in use after all. */
static bool
evict_cache(const ContimeGeneration *but, Size more)
{
	uint64		last_read = 0;
	bool		ended = false;
	ContimeGeneration *g;
	LOCKTAG		tag;

	while (!ended && (g = coldest(but, more, false, COLD_MS, &last_read)) != NULL)
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
	Size		bytes[2] = {0, 0};

	for (int i = 0; i < contime_shared->highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];

		if (is_cache(g))
			bytes[g->partial] += contime_generation_bytes(g);
	}
	return bytes[true] < bytes[false] / 4;
}

/* Make a cache one of those: the coldest, but for those that are in use though nobody reads them. */
static void
part_cache(const ContimeGeneration *but, Size more)
{
	uint64		cold = (uint64) TimestampTzPlusMilliseconds(GetCurrentTimestamp(), -COLD_MS);
	uint64		last_read = 0;
	bool		locked;
	ContimeGeneration *g;
	LOCKTAG		tag;
	CtStats		stats;

	do
	{
		g = coldest(but, more, true, 0, &last_read);
		locked = g && lock_cache(g, g->serial, &tag);
	} while (g && !locked && last_read < cold);
	if (!locked)
		return;
	stats = contime_generation_stats(g);
	contime_keys_part(g, stats.young + stats.frozen, stats.bytes, PG_INT64_MIN);
	LockRelease(&tag, AccessExclusiveLock, false);
}

bool
contime_room_is_freeing(const ContimeGeneration *but, Size more)
{
	for (int i = 0; i < contime_shared->highest; i++)
	{
		const ContimeGeneration *g = &contime_shared->generation[i];

		for (int p = 0; g->used && g->dead && p < contime_shared->partitions; p++)
			if (g->store[p] != 0 && would_help(but, g, more))
				return true;
	}
	return false;
}

/* ---- keys --------------------------------------------------------------------------------------- */

/* Let some keys go, if there may be some; CT_AGAIN: there are more to look at, or (*half) one has gone in part. */
static CtStatus
evict_some(ContimeGeneration *g, int partition, bool *half)
{
	CtArena		arena = contime_arena(partition);
	CtStatus	status = CT_OK;
	Size		before;

	(void) contime_step_back(partition, true);
	contime_lock(partition, LW_EXCLUSIVE);
	if (is_cache(g) && g->partial && !contime_is_held(pg_atomic_read_u32(&g->hold)) &&
		g->store[partition] != 0)
	{
		/* (Who made it such a cache may have been interrupted before he said so here.) */
		START_CRIT_SECTION();
		before = contime_charge_begin(g, partition);
		ct_store_part(&arena, g->store[partition], g->newest_row);
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
	static uint32 hand = 0;		/* of stores, where it went on last */
	uint32		stores = contime_shared->highest * contime_shared->partitions;

	for (uint32 n = 0; n < rounds * stores; n++)
	{
		uint32		at = hand % stores;
		ContimeGeneration *g = &contime_shared->generation[at / contime_shared->partitions];
		CtStatus	status;
		bool		half = false;

		do
		{
			CHECK_FOR_INTERRUPTS();
			if (!half && contime_budget_loads(but, more, true))
				return true;
			half = false;
			status = is_cache(g) && g->partial && would_help(but, g, more)
				? evict_some(g, at % contime_shared->partitions, &half) : CT_OK;
		} while (status == CT_AGAIN);
		hand++;
	}
	return contime_budget_loads(but, more, true);
}

/* ---- both ----------------------------------------------------------------------------------------- */

bool
contime_room_make(const ContimeGeneration *g, Size more, int rounds)
{
	bool		by_keys = rounds > 0;

#ifdef USE_ASSERT_CHECKING
	if (debug_partial)
	{
		(void) evict_keys(NULL, PG_INT64_MAX / 2, 1);
		return by_keys;
	}
#endif
	for (int waited_ms = 0; !contime_budget_loads(g, more, by_keys); waited_ms += 10)
	{
		CHECK_FOR_INTERRUPTS();
		if (waited_ms >= (by_keys ? MAKE_FOR_KEYS_MS : MAKE_MS) || (!contime_room_is_freeing(g, more) && !evict_cache(g, more)))
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

/* Bytes of caches that nobody reads, and that are charged to a cache's account of this level. */
static Size
cold_bytes(const ContimeGeneration *but, ContimeLevel level)
{
	uint64		before = (uint64) TimestampTzPlusMilliseconds(GetCurrentTimestamp(), -COLD_MS);
	Size		cold = 0;

	for (int i = 0; i < contime_shared->highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];

		if (g != but && is_cache(g) && pg_atomic_read_u64(&g->last_read) < before &&
			(level == CONTIME_UNLIMITED || contime_account_is_shared(but, g, level)) &&
			contime_generation_bytes(g) >= LEAST_BYTES)
			cold += contime_generation_bytes(g);
	}
	return cold;
}

bool
contime_room_can_be_made(const ContimeGeneration *but, Size more)
{
	Size		cold = cold_bytes(but, CONTIME_UNLIMITED);
	ContimeLevel level;

	if (!contime_budget_region_holds(more > cold ? more - cold : 0))
		return false;
	level = contime_budget_tight(but, more);
	if (level == CONTIME_UNLIMITED)
		return true;
	cold = cold_bytes(but, level);
	return contime_budget_tight(but, more > cold ? more - cold : 0) == CONTIME_UNLIMITED;
}

Oid
contime_room_is_wanted(void)
{
	uint64		last_read = 0;
	ContimeGeneration *g = contime_budget_region_loads(0, true) ? NULL
		: coldest(NULL, 0, false, 0, &last_read);

	return g ? g->database : InvalidOid;
}

bool
contime_room_is_tight(ContimeGeneration *g)
{
	return g->partial && is_cache(g) && contime_budget_tight(g, 0) != CONTIME_UNLIMITED;
}

ContimeGeneration *
contime_room_tight(Oid database)
{
	for (int i = 0; i < contime_shared->highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];

		if ((!OidIsValid(database) || g->database == database) && contime_room_is_tight(g))
			return g;
	}
	return NULL;
}
