/*
 * partial.c
 *	  Partial caches, which lack keys: how a cache becomes one, and which keys it has.
 *
 * A table that does not fit into memory has a partial cache, and so has one whose cache
 * was turned into a partial one by eviction.c.  A backend reads a key that the cache
 * lacks from the event tables, and likewise all keys if its query needs all.
 *
 * A key is unknown, wanted, loading or loaded; key_loader.c has the diagram.  Its
 * timeline says whether it is loaded (engine/partial.c).
 *
 * Not here: which keys are wanted (wanted.c) and how they are loaded (key_loader.c).
 */
#include "postgres.h"

#include "durable/durable.h"
#include "durable/keys.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "table/table.h"

#include "miscadmin.h"

void
contime_make_partial(ContimeGeneration *g, uint64 rows, Size bytes, int64 newest)
{
	g->partial.rows = rows;
	g->partial.bytes = bytes;
	g->partial.net = contime_generation_stats(g).net;
	g->partial.retry_after = 0;
	g->partial.newest_row = newest;
	Assert(contime_cache_state(g) == CONTIME_CACHE_TRIMMING ||
		   contime_cache_state(g) == CONTIME_CACHE_PARTIAL ||
		   contime_cache_state(g) == CONTIME_CACHE_BROKEN); /* by a writer, meanwhile */
	for (int p = 0; p < contime_shared->partitions; p++)
	{
		CtArena arena = contime_arena(p);
		Size before;

		/* A store that is created later is marked by means of g->partial.newest_row. */
		contime_lock(p, LW_EXCLUSIVE);
		START_CRIT_SECTION();
		before = contime_charge_begin(g, p);
		if (g->store[p] != 0)
			ct_store_make_partial(&arena, g->store[p], newest);
		contime_charge_end(g, p, before);
		END_CRIT_SECTION();
		contime_unlock(p);
	}
}

void
contime_unload_keys(ContimeGeneration *g)
{
	Assert(contime_cache_state(g) == CONTIME_CACHE_TRIMMING ||
		   contime_cache_state(g) == CONTIME_CACHE_BROKEN); /* by a writer, meanwhile */
	for (int p = 0; p < contime_shared->partitions; p++)
	{
		CtArena arena = contime_arena(p);
		uint32 position = 0;
		CtStatus status = g->store[p] == 0 ? CT_OK : CT_MORE;

		while (status == CT_MORE)
		{
			Size before;

			contime_lock(p, LW_EXCLUSIVE);
			START_CRIT_SECTION();
			before = contime_charge_begin(g, p);
			status = ct_store_unload_all(&arena, g->store[p], &position, WORK_PER_LOCK);
			contime_charge_end(g, p, before);
			END_CRIT_SECTION();
			contime_unlock(p);
		}
	}
}

/*
 * Writers have changed the number of rows since the cache became partial.  Assume that
 * the mean size of a row is still the same.
 */
Size
contime_keys_whole_bytes(ContimeGeneration *g)
{
	double rows = (double) g->partial.rows + contime_generation_stats(g).net - g->partial.net;

	return (Size) (g->partial.bytes / (double) Max(g->partial.rows, 1) * Max(rows, 0));
}

/*
 * Copy the next loaded key of a partition, from *position on, to *key.  Return CT_MORE if
 * none was found so far, and CT_OK with *found false if there is none.
 */
static CtStatus
find_loaded_key(ContimeGeneration *g, int partition, uint32 *position, ContimeKey *key, bool *found)
{
	CtArena arena = contime_arena(partition);
	CtRef timeline = 0;
	CtStatus status = CT_OK;

	contime_lock(partition, LW_SHARED);
	if (g->store[partition] != 0)
		status = ct_store_next_loaded(&arena, g->store[partition], position, WORK_PER_LOCK,
									  &timeline);
	if (timeline != 0)
	{
		uint32 bytes;
		const void *its = ct_timeline_key(&arena, timeline, &bytes);

		Assert(bytes <= CT_MAX_KEY_BYTES);
		memcpy(key->data.data, its, bytes);
		key->data.len = bytes;
	}
	contime_unlock(partition);
	*found = timeline != 0;
	return status;
}

bool
contime_next_loaded_key(ContimeGeneration *g, int *partition, uint32 *position, ContimeKey *key)
{
	bool found = false;

	Assert(contime_holds_no_lock());
	resetStringInfo(&key->data);
	enlargeStringInfo(&key->data, CT_MAX_KEY_BYTES);
	for (; *partition < contime_shared->partitions; ++*partition, *position = 0)
	{
		while (find_loaded_key(g, *partition, position, key, &found) == CT_MORE)
			CHECK_FOR_INTERRUPTS();
		if (found)
		{
			contime_hash_key(key);
			return true;
		}
	}
	return false;
}
