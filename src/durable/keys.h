/*
 * keys.h
 *	  Wanted keys, as wanted.c and key_loader.c see them.
 *
 * Private to the room durable.
 */
#ifndef CONTIME_DURABLE_KEYS_H
#define CONTIME_DURABLE_KEYS_H

#include "postgres.h"

#include "shared/shared.h"

/* ---- key_loader.c ------------------------------------------------------------ */

#define WORK_PER_LOCK 512

/* ---- wanted.c ---------------------------------------------------------------- */

/* The cache that a noted key is of; NULL: it is no more. */
extern ContimeGeneration *contime_wanted_generation(const ContimeWanted *wanted);

#endif /* CONTIME_DURABLE_KEYS_H */
