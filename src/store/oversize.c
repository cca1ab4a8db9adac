/*
 * oversize.c
 *	  Rows of event tables that are too large for memory.
 *
 * A key takes at most CT_MAX_KEY_BYTES in memory, the values of an event at
 * most CT_MAX_PAYLOAD_BYTES.  An event table may hold larger ones.  The loader
 * and the capture leave such rows out of the cache, so that one of them does not
 * keep all others from it, and note their keys in the generation:
 *
 *	  read of one key	from memory, unless it is too long, or its values were noted
 *	  read of all keys	from memory, unless anything was noted
 *
 * Everything else reads the event tables, where a row that is too large is an
 * error (54000) for the read that meets it.
 *
 * A key that is too long is known by its length.  Keys with values that are too
 * large are noted in a filter by their hash: a key that shares the bit of another
 * one is read from the event tables, too, which is slower and right.  A bit is
 * never taken back: whether the transaction that wrote or deleted the row will
 * commit is not known here.  A cache that needs its filter no longer is given up
 * and loaded again, but not often.
 *
 * Concurrency: bits are set before the transaction that wrote the row commits,
 * or the cache is published.  A reader looks at them after it has taken its
 * snapshot, so it finds the bits of every row that it sees.
 *
 * Called by ingest.c (noting), scan.c and verify.c (asking).
 */
#include "postgres.h"

#include "store/store.h"
#include "shared/shared.h"
#include "table/table.h"

#include "utils/timestamp.h"

/* How long a cache keeps a filter that a read of all keys found nothing for. */
#define REGAIN_MS 600000

static inline uint32
bit_number(uint64 hash)
{
	return (uint32) (hash >> 16) % (64 * CONTIME_OVERSIZE_WORDS);
}

/*
 * From now on a row is in an event table and not in memory: of a key with this
 * hash, or (NULL) of one that is too long.
 */
void
contime_oversize_note(ContimeGeneration *g, const uint64 *hash)
{
	ContimeOversize *oversize = &g->cache.oversize;
	uint32 bit = hash ? bit_number(*hash) : 0;

	if (hash)
		pg_atomic_fetch_or_u64(&oversize->bit[bit / 64], UINT64CONST(1) << (bit % 64));
	if (pg_atomic_read_u32(&oversize->any) == 0)
		pg_atomic_write_u64(&oversize->regain_after,
							(uint64) TimestampTzPlusMilliseconds(GetCurrentTimestamp(), REGAIN_MS));

	/* (A full barrier: a reader that finds this finds the bit, too.) */
	(void) pg_atomic_fetch_or_u32(&oversize->any, 1);
}

/* Are there rows that memory does not have; of this key, perhaps? */
bool
contime_oversize_any(const ContimeGeneration *g)
{
	return pg_atomic_read_u32(&unconstify(ContimeGeneration *, g)->cache.oversize.any) != 0;
}

bool
contime_oversize_key(const ContimeGeneration *g, const ContimeKey *key)
{
	uint32 bit = bit_number(key->hash);

	if (key->data.len > CT_MAX_KEY_BYTES)
		return true;
	if (!contime_oversize_any(g))
		return false;
	pg_read_barrier();
	return (pg_atomic_read_u64(&unconstify(ContimeGeneration *, g)->cache.oversize.bit[bit / 64]) >>
				(bit % 64) &
			1) != 0;
}
