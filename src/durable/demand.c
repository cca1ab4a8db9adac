/*
 * demand.c
 *	  Find whether a loader has work: caches or keys to load, or memory to free.
 *
 * Called by the launcher, which starts agents, by agents, which start loaders, and by
 * loaders.  Takes no locks, so the answers may be outdated.
 */
#include "postgres.h"

#include "durable/durable.h"
#include "shared/shared.h"

#include "pgstat.h"
#include "utils/timestamp.h"

/* A partial cache counts as read lately for this time. */
#define READ_LATELY_MS 5000

/* True if the state of a cache says that a loader is to load it. */
static bool
needs_loading(ContimeGeneration *g)
{
	ContimeCacheState state = contime_cache_state(g);

	return state == CONTIME_CACHE_WANTED || state == CONTIME_CACHE_LOADING ||
		   state == CONTIME_CACHE_TRIMMING || state == CONTIME_CACHE_BROKEN;
}

bool
contime_partial_is_read(ContimeGeneration *g)
{
	TimestampTz last_read = (TimestampTz) pg_atomic_read_u64(&g->cache.last_read);

	return contime_cache_state(g) == CONTIME_CACHE_PARTIAL &&
		   GetCurrentTimestamp() < TimestampTzPlusMilliseconds(last_read, READ_LATELY_MS);
}

bool
contime_partial_fits(ContimeGeneration *g)
{
	Size whole = contime_keys_whole_bytes(g);
	Size bytes = contime_generation_bytes(g);

	return GetCurrentTimestamp() >= g->partial.retry_after &&
		   contime_eviction_would_do(g, (whole > bytes ? whole - bytes : 0) / 4 * 5);
}

/*
 * True if a partial cache is to be loaded as a whole.  If the keys that backends read are
 * loaded, none is wanted, and only this has a loader started.
 */
static bool
needs_completion(ContimeGeneration *g)
{
	return contime_partial_is_read(g) && contime_partial_fits(g);
}

bool
contime_cache_is_wanted(ContimeGeneration *g)
{
	return needs_loading(g) || needs_completion(g) ||
		   (contime_cache_state(g) == CONTIME_CACHE_PARTIAL &&
			contime_keys_are_wanted(g->database)) ||
		   contime_cache_is_tight(g) || contime_eviction_is_wanted() == g->database;
}

bool
contime_cache_load_is_due(ContimeGeneration *g)
{
	return contime_generation_is_live(g) && g->database == MyDatabaseId && needs_loading(g);
}

bool
contime_cache_is_due(void)
{
	if (contime_keys_are_wanted(MyDatabaseId) || contime_eviction_is_wanted() == MyDatabaseId)
		return true;
	for (int i = 0; i < contime_shared->highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];

		if (contime_cache_load_is_due(g) ||
			(contime_generation_is_live(g) && g->database == MyDatabaseId && needs_completion(g)))
			return true;
	}
	return contime_tight_cache(MyDatabaseId) != NULL;
}
