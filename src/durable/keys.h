/*
 * keys.h
 *	  Wanted keys, their loading and unloading, for wanted.c, key_loader.c, partial.c and
 *	  eviction.c.
 *
 * Private to the room durable.
 */
#ifndef CONTIME_DURABLE_KEYS_H
#define CONTIME_DURABLE_KEYS_H

#include "postgres.h"

#include "shared/shared.h"

/* The limit of timelines visited and events freed under one hold of a partition lock. */
#define WORK_PER_LOCK 512

/* ---- wanted.c ---------------------------------------------------------------- */

/*
 * Return the generation of a wanted key, or NULL if it is not in use any more.  Under the
 * spinlock of the slot.
 */
extern ContimeGeneration *contime_wanted_generation(const ContimeWanted *wanted);

#endif /* CONTIME_DURABLE_KEYS_H */
