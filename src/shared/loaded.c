/*
 * loaded.c
 *	  The snapshots by which a cache, and keys of it, were loaded.
 *
 * A reader may use loaded events if its snapshot sees every transaction that the
 * loader's snapshot saw.
 *
 * Concurrency: the snapshot of a whole cache is written before the cache is published.
 * The snapshot of keys is written by the database's one loader while partial.loads is
 * odd.  A reader that finds an odd or changed number does not use the snapshot.
 */
#include "postgres.h"

#include "shared/shared.h"

void
contime_note_loaded(ContimeLoaded *loaded, const CtSnapshot *snapshot)
{
	loaded->xmax = snapshot->xmax;
	loaded->nxip = snapshot->nxip;
	if (snapshot->nxip <= CONTIME_LOAD_XIDS)
		memcpy(loaded->xip, snapshot->xip, snapshot->nxip * sizeof(uint64));
}

bool
contime_sees_loaded(const CtSnapshot *snapshot, const ContimeLoaded *loaded)
{
	CtSnapshot load = {.xmax = loaded->xmax, .nxip = loaded->nxip, .xip = loaded->xip};

	if (snapshot->xmin >= load.xmax)
		return true;
	if (snapshot->xmax < load.xmax || load.nxip > CONTIME_LOAD_XIDS)
		return false;
	for (uint32 i = 0; i < snapshot->nxip; i++)
		if (ct_snapshot_sees(&load, snapshot->xip[i]))
			return false;
	return true;
}

/* While `loads` is odd, readers ignore what they copied. */
void
contime_note_key_load(ContimeGeneration *g, const CtSnapshot *snapshot)
{
	Assert(pg_atomic_read_u32(&g->partial.loads) % 2 == 0); /* one loader at a time */
	pg_atomic_fetch_add_u32(&g->partial.loads, 1);
	contime_note_loaded(&g->partial.loaded, snapshot);
	pg_atomic_fetch_add_u32(&g->partial.loads, 1);
}

/* Only the snapshot of the last load is kept: it sees all that earlier ones saw. */
bool
contime_keys_are_seen(ContimeGeneration *g, const CtSnapshot *snapshot)
{
	uint32 loads = pg_atomic_read_u32(&g->partial.loads);
	ContimeLoaded loaded;

	pg_read_barrier();
	loaded = g->partial.loaded;
	pg_read_barrier();
	return loads % 2 == 0 && pg_atomic_read_u32(&g->partial.loads) == loads &&
		   contime_sees_loaded(snapshot, &loaded);
}
