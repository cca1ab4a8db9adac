/*
 * shortage.h
 *	  Which caches can be evicted, for shortage.c and eviction.c.
 *
 * Private to the room durable.
 */
#ifndef CONTIME_DURABLE_SHORTAGE_H
#define CONTIME_DURABLE_SHORTAGE_H

#include "postgres.h"

#include "shared/shared.h"

/* ---- eviction.c -------------------------------------------------------------- */

/* A cache that was not read for this time may be evicted. */
#define COLD_MS 5000

/* ---- shortage.c -------------------------------------------------------------- */

/*
 * True if freeing memory of `other` helps a cache g (NULL: any cache) to load `more`
 * bytes: the region is short of memory, or `other` is charged to the account of g whose
 * quota prevents the load.
 */
extern bool contime_would_help(const ContimeGeneration *g, const ContimeGeneration *other,
							   Size more);

/* True if the generation is a readable cache. */
extern bool contime_is_cache(ContimeGeneration *g);

/*
 * Return the cache that was read least recently, but not within the last `ms`
 * milliseconds, or NULL.  whole: only caches that are READY.  Its eviction must help
 * `but` (NULL: any cache) to load `more` bytes.  Skip caches that were last read at or
 * before *last_read (0 at first), and set *last_read to the result's last read, so that
 * the next call returns the next cache.
 */
extern ContimeGeneration *contime_coldest_cache(const ContimeGeneration *but, Size more, bool whole,
												int ms, uint64 *last_read);

#endif /* CONTIME_DURABLE_SHORTAGE_H */
