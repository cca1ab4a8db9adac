/*
 * wanted.c
 *	  Requests for keys that readers missed in partial caches.
 *
 * A table in shared memory has CONTIME_WANTED slots.  The hash of a key selects its slot,
 * and a slot holds one key.  A request whose slot is in use is dropped; the next reader
 * of the key repeats it.
 *
 * Concurrency: the spinlock of a slot protects its fields.  `serial` and `database` are
 * also read without it, as a hint only.
 *
 * Called by readers (requests), by the loader (key_loader.c), and by demand.c.
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

	/* Read without the lock: if the value is outdated, a later reader repeats the request. */
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
