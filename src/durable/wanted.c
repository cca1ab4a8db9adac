/*
 * wanted.c
 *	  The keys that readers missed in partial caches.
 *
 * Concurrency: a place in the table is chosen by the key's hash; what is in it is
 * protected by its spinlock, but for looks at `serial`, which only save locking.
 *
 * Called by readers (noting), and by the loader (key_loader.c).
 */
#include "postgres.h"

#include "durable/durable.h"
#include "durable/keys.h"
#include "shared/shared.h"
#include "table/table.h"

#include "utils/timestamp.h"

ContimeGeneration *
contime_wanted_generation(const ContimeWanted *wanted)
{
	ContimeGeneration *g = &contime_shared->generation[wanted->generation];

	Assert(wanted->generation >= 0 && wanted->generation < contime_shared->slots);
	return contime_generation_is_live(g) && g->serial == wanted->serial ? g : NULL;
}

void
contime_want_key(ContimeGeneration *g, const ContimeKey *key)
{
	ContimeWanted *wanted = &contime_shared->wanted[(key->hash >> 32) % CONTIME_WANTED];
	bool noted;

	/* (Looked at without the lock: there will be other readers.) */
	if (contime_cache_state(g) != CONTIME_CACHE_PARTIAL || key->data.len > CONTIME_WANTED_BYTES ||
		wanted->serial != 0 || GetCurrentTimestamp() < g->cache.load_after)
		return;
	SpinLockAcquire(&wanted->mutex);
	noted = wanted->serial == 0;
	if (noted)
	{
		wanted->generation = g - contime_shared->generation;
		wanted->database = g->database;
		wanted->key_bytes = key->data.len;
		memcpy(wanted->key, key->data.data, key->data.len);
		wanted->serial = g->serial;
	}
	SpinLockRelease(&wanted->mutex);
	if (noted)
		contime_agent_wake(g->database);
}

bool
contime_keys_are_wanted(Oid database)
{
	for (int i = 0; i < CONTIME_WANTED; i++)
		if (contime_shared->wanted[i].serial != 0 && contime_shared->wanted[i].database == database)
			return true;
	return false;
}
