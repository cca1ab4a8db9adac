/*
 * shortage.c
 *	  Find whether memory for caches is short, and which caches could be evicted.
 *
 * Allocated bytes are counted, not pages.  The formula in shared/budget.c says how much
 * memory caches may take.  If the region has room but a quota prevents a load, only
 * the eviction of caches that are charged to the same account helps.
 *
 * Called by workers, the launcher, agents, loaders and eviction.c.  Nothing here changes
 * anything or reads a catalog: memory is shared by all databases.
 */
#include "postgres.h"

#include "durable/durable.h"
#include "durable/shortage.h"
#include "shared/shared.h"

#include "utils/timestamp.h"

/* A cache that takes less memory than this is not evicted. */
#define LEAST_BYTES ((Size) 256 * 1024)

bool
contime_would_help(const ContimeGeneration *g, const ContimeGeneration *other, Size more)
{
	ContimeLevel level;

	if (g == NULL || !contime_budget_region_loads(more, true))
		return true;
	level = contime_budget_tight(g, more);
	return level != CONTIME_UNLIMITED && contime_account_is_shared(g, other, level);
}

bool
contime_is_cache(ContimeGeneration *g)
{
	return contime_generation_is_live(g) && contime_cache_is_readable(contime_cache_state(g));
}

ContimeGeneration *
contime_coldest_cache(const ContimeGeneration *but, Size more, bool whole, int ms,
					  uint64 *last_read)
{
	uint64 before = (uint64) TimestampTzPlusMilliseconds(GetCurrentTimestamp(), -ms);
	ContimeGeneration *found = NULL;

	for (int i = 0; i < contime_shared->highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];
		uint64 read = pg_atomic_read_u64(&g->cache.last_read);

		if (g != but && contime_is_cache(g) && read < before && read > *last_read &&
			(!whole || contime_cache_state(g) == CONTIME_CACHE_READY) &&
			contime_generation_bytes(g) >= LEAST_BYTES && contime_would_help(but, g, more))
		{
			before = read;
			found = g;
		}
	}
	*last_read = before;
	return found;
}

bool
contime_memory_is_freeing(const ContimeGeneration *but, Size more)
{
	for (int i = 0; i < contime_shared->highest; i++)
	{
		const ContimeGeneration *g = &contime_shared->generation[i];

		for (int p = 0; contime_generation_state(g) == CONTIME_GENERATION_DEAD &&
						p < contime_shared->partitions;
			 p++)
			if (g->store[p] != 0 && contime_would_help(but, g, more))
				return true;
	}
	return false;
}

/*
 * Return the bytes of all caches, except `but`, that no backend has read lately and that
 * are charged to the same account as `but` at a level (CONTIME_UNLIMITED: to any).
 */
static Size
sum_cold_bytes(const ContimeGeneration *but, ContimeLevel level)
{
	uint64 before = (uint64) TimestampTzPlusMilliseconds(GetCurrentTimestamp(), -COLD_MS);
	Size cold = 0;

	Assert(level == CONTIME_UNLIMITED || but != NULL);
	for (int i = 0; i < contime_shared->highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];

		if (g != but && contime_is_cache(g) && pg_atomic_read_u64(&g->cache.last_read) < before &&
			(level == CONTIME_UNLIMITED || contime_account_is_shared(but, g, level)) &&
			contime_generation_bytes(g) >= LEAST_BYTES)
			cold += contime_generation_bytes(g);
	}
	return cold;
}

bool
contime_eviction_would_do(const ContimeGeneration *but, Size more)
{
	Size cold = sum_cold_bytes(but, CONTIME_UNLIMITED);
	ContimeLevel level;

	if (!contime_budget_region_holds(more > cold ? more - cold : 0))
		return false;
	level = contime_budget_tight(but, more);
	if (level == CONTIME_UNLIMITED)
		return true;
	cold = sum_cold_bytes(but, level);
	return contime_budget_tight(but, more > cold ? more - cold : 0) == CONTIME_UNLIMITED;
}

Oid
contime_eviction_is_wanted(void)
{
	uint64 last_read = 0;
	ContimeGeneration *g = contime_budget_region_loads(0, true)
							   ? NULL
							   : contime_coldest_cache(NULL, 0, false, 0, &last_read);

	return g ? g->database : InvalidOid;
}

bool
contime_cache_is_tight(ContimeGeneration *g)
{
	return contime_is_cache(g) && contime_cache_state(g) == CONTIME_CACHE_PARTIAL &&
		   contime_budget_tight(g, 0) != CONTIME_UNLIMITED;
}

ContimeGeneration *
contime_tight_cache(Oid database)
{
	for (int i = 0; i < contime_shared->highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];

		if ((!OidIsValid(database) || g->database == database) && contime_cache_is_tight(g))
			return g;
	}
	return NULL;
}
