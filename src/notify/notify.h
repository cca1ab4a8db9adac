/*
 * notify.h
 *	  Notices that the past of a table changed, and a ring that replays them.
 *
 *	  notices.c  notices and the ring
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_NOTIFY_H
#define CONTIME_NOTIFY_H

#include "postgres.h"

#include "shared/shared.h"

/* A notice that the past of a key changed, as kept in a partition's ring. */
typedef struct ContimeNotice
{
	uint32 bytes; /* of the whole struct, with the key */
	uint32 key_bytes;
	int generation; /* the index and serial of the generation */
	uint64 serial;
	uint64 seq;    /* its number, among the table's notices */
	uint64 events; /* how many events changed the range; 0: made by a reader */
	int64 from;    /* the range of instants [from, to) */
	int64 to;
	char key[FLEXIBLE_ARRAY_MEMBER];
} ContimeNotice;

/* ---- notices.c --------------------------------------------------------------- */

/*
 * Request the rings' shared memory, and create or attach it.  Called by module.c, in the
 * postmaster and in processes that do not inherit its memory.
 */
extern void contime_rings_request(void);
extern void contime_rings_startup(void);

/*
 * Make notices of the ranges that events changed; ranges of one key that touch become
 * one notice.  *changed is overwritten.  Return true if no notice of the table was due
 * before: then the caller must wake the agent.  Under the partition's lock.
 */
extern bool contime_notices_add(int partition, ContimeGeneration *g, CtChanged *changed);

/*
 * Make a notice that new snapshots may see other states of a key in [from, to) than a
 * reader with an old snapshot.  Not under a lock.
 */
extern void contime_notice_overtaken(int partition, ContimeGeneration *g, const void *key,
									 uint32 key_bytes, int64 from, int64 to);

/*
 * Likewise, for all keys.  The ring cannot replay it, so all notices up to it count as
 * lost.  Not under a lock.
 */
extern void contime_notice_overtaken_all(ContimeGeneration *g, int64 from, int64 to);

/*
 * Return copies of the notices in the rings with numbers in (since, until], by number,
 * and set *count.  Not under a lock.
 */
extern ContimeNotice **contime_notices_between(ContimeGeneration *g, uint64 since, uint64 until,
											   int *count);

/* Return the number of the table's last notice. */
extern uint64 contime_notices_newest(ContimeGeneration *g);

#endif /* CONTIME_NOTIFY_H */
