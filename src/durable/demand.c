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

/* True if the state of a cache says that a loader is to load it. */
static bool
needs_loading(ContimeGeneration *g)
{
	ContimeCacheState state = contime_cache_state(g);

	return state == CONTIME_CACHE_WANTED || state == CONTIME_CACHE_LOADING ||
		   state == CONTIME_CACHE_TRIMMING || state == CONTIME_CACHE_BROKEN;
}

bool
contime_cache_is_wanted(ContimeGeneration *g)
{
	return needs_loading(g) ||
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
		if (contime_cache_load_is_due(&contime_shared->generation[i]))
			return true;
	return contime_tight_cache(MyDatabaseId) != NULL;
}
