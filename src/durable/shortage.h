/*
 * shortage.h
 *	  Caches that could make room, as shortage.c and eviction.c see them.
 *
 * Private to the room durable.
 */
#ifndef CONTIME_DURABLE_SHORTAGE_H
#define CONTIME_DURABLE_SHORTAGE_H

#include "postgres.h"

#include "shared/shared.h"

/* ---- eviction.c -------------------------------------------------------------- */

/* A cache that was not read for so long may be evicted. */
#define COLD_MS 5000

/* ---- shortage.c -------------------------------------------------------------- */

/*
 * True if a cache (NULL: any cache) could load so many bytes more if the other
 * one had less.
 */
extern bool contime_would_help(const ContimeGeneration *g, const ContimeGeneration *other,
							   Size more);

/* True if the generation is a readable cache. */
extern bool contime_is_cache(ContimeGeneration *g);

/*
 * The cache that was not read for longest, and not for `ms`; NULL: there is
 * none. whole: only caches with all keys. Caches read at or before *last_read
 * are passed over, which then moves on. It must help `but` to load so many
 * bytes more.
 */
extern ContimeGeneration *contime_coldest_cache(const ContimeGeneration *but, Size more, bool whole,
												int ms, uint64 *last_read);

#endif /* CONTIME_DURABLE_SHORTAGE_H */
