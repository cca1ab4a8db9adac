/*
 * notify.h
 *	  What changed of the past: notices, and a ring to replay them.
 *
 *	  notices.c  notices, and the ring
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_NOTIFY_H
#define CONTIME_NOTIFY_H

#include "postgres.h"

#include "shared/shared.h"

/* The past of a key changed: as kept in a partition's ring. */
typedef struct ContimeNotice
{
	uint32 bytes; /* of all of it */
	uint32 key_bytes;
	int generation; /* index and serial */
	uint64 serial;
	uint64 seq;
	uint64 events; /* 0: an old snapshot was read beside newer ones */
	int64 from;
	int64 to;
	char key[FLEXIBLE_ARRAY_MEMBER];
} ContimeNotice;

/* ---- notices.c --------------------------------------------------------------- */

/* Called by module.c, in the postmaster and by processes that do not inherit its memory. */
extern void contime_rings_request(void);
extern void contime_rings_startup(void);

extern bool contime_notices_add(int partition, ContimeGeneration *g, CtChanged *changed);
extern void contime_notice_overtaken(int partition, ContimeGeneration *g, const void *key,
									 uint32 key_bytes, int64 from, int64 to);
extern void contime_notice_overtaken_all(ContimeGeneration *g, int64 from, int64 to);

/* The notices that are left with numbers in (since, until], in order; copies. */
extern ContimeNotice **contime_notices_between(ContimeGeneration *g, uint64 since, uint64 until,
											   int *count);
extern uint64 contime_notices_newest(ContimeGeneration *g);

#endif /* CONTIME_NOTIFY_H */
