/*
 * oversize.c
 *	  Rows of event tables that cannot be in memory.
 *
 * In memory a key has at most CT_MAX_KEY_BYTES, and the values of an event at most
 * CT_MAX_PAYLOAD_BYTES.  An event table may hold larger rows, and other rows that
 * cannot be events (table/rows.c).  The loader and the capture leave such a bad row out
 * of the cache, so that it does not prevent the caching of all other rows, and note its
 * key in the generation:
 *
 *	  read of one key	from memory, unless the key is too long or was noted
 *	  read of all keys	from memory, unless any row was noted
 *
 * Otherwise the event tables are read.  If the read meets a bad row there, it fails with
 * an ERROR.  A table with the option bad_rows 'ignore' is read from memory all the same,
 * since no read has such rows.
 *
 * A key that is too long is recognised by its length.  Another key with a bad row is
 * noted in a filter, by its hash.  A key that shares its bit is
 * read from the event tables, too; that is slower, but correct.  A bit is never
 * cleared, because it is not known here whether the transaction that wrote or
 * deleted the row will commit.  If a filter is no longer needed, the cache is
 * broken and loaded again (contime_oversize_regain()), but not often.
 *
 * Concurrency: the bits are set before the transaction that wrote the row commits,
 * or before the cache becomes readable.  A reader tests them after it has taken its
 * snapshot, so it finds the bit of every row that it sees.
 *
 * Called by link.c (notes), scan.c and verify.c (test).
 */
#include "postgres.h"

#include "store/store.h"
#include "shared/shared.h"
#include "table/table.h"

#include "utils/timestamp.h"

/* A cache keeps its filter for at least this time after the first row was noted. */
#define REGAIN_MS 600000

static inline uint32
get_bit_number(uint64 hash)
{
	return (uint32) (hash >> 16) % (64 * CONTIME_OVERSIZE_WORDS);
}

void
contime_oversize_note(ContimeGeneration *g, const uint64 *hash)
{
	ContimeOversize *oversize = &g->cache.oversize;
	uint32 bit = hash ? get_bit_number(*hash) : 0;

	if (hash)
		pg_atomic_fetch_or_u64(&oversize->bit[bit / 64], UINT64CONST(1) << (bit % 64));
	if (pg_atomic_read_u32(&oversize->any) == 0)
		pg_atomic_write_u64(&oversize->regain_after,
							(uint64) TimestampTzPlusMilliseconds(GetCurrentTimestamp(), REGAIN_MS));

	/* (This is a full barrier: a reader that finds `any` set finds the bit, too.) */
	(void) pg_atomic_fetch_or_u32(&oversize->any, 1);
}

bool
contime_oversize_any(const ContimeGeneration *g)
{
	return pg_atomic_read_u32(&unconstify(ContimeGeneration *, g)->cache.oversize.any) != 0;
}

bool
contime_oversize_key(const ContimeGeneration *g, const ContimeKey *key)
{
	uint32 bit = get_bit_number(key->hash);

	if (key->data.len > CT_MAX_KEY_BYTES)
		return true;
	if (!contime_oversize_any(g))
		return false;
	pg_read_barrier();
	return (pg_atomic_read_u64(&unconstify(ContimeGeneration *, g)->cache.oversize.bit[bit / 64]) >>
				(bit % 64) &
			1) != 0;
}
