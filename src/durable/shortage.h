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

/*
 * Who has not been read for so long makes room for others; how long that may
 * take, for a whole table, and for keys, which can make room themselves.
 */
#define COLD_MS 5000

/* ---- shortage.c -------------------------------------------------------------- */

/* Would it help a cache (NULL: whatever may come) to load so much if another one had less? */
extern bool contime_would_help(const ContimeGeneration *g, const ContimeGeneration *other,
							   Size more);

/* Is it one that is in force, and read? */
extern bool contime_is_cache(ContimeGeneration *g);

/*
 * The cache, with all keys or not, that nobody has read for longest but for
 * those last read until *last_read, which moves on, and for so long, and that
 * helps another one to load so much; or NULL.
 */
extern ContimeGeneration *contime_coldest_cache(const ContimeGeneration *but, Size more, bool whole,
												int ms, uint64 *last_read);

#endif /* CONTIME_DURABLE_SHORTAGE_H */
