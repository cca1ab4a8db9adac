/*
 * notices.c
 *	  Notices: the past of a key changed.  A ring replays them.
 *
 *	  worker, or reader ─► notice ─┬─► generation[].due   one range, cannot overflow ─► agent.c
 *	  with an old snapshot         └─► ring of its partition: key and range
 *	                                    └─► contime.reconciliations(), and the agent for keys
 *
 * Workers give notice when an event enters, which is when new snapshots see
 * it.  A reader gives notice when what it read with an old snapshot is another
 * state for new ones: when that event entered, no reader had read its instant.
 *
 * A notice's number is the next of its table.  Numbers begin with the clock (in
 * us, like a timestamptz), above those of the generation before: so they grow,
 * over TRUNCATE and restarts of the server, too, and one of an earlier life is
 * known as such.
 *
 * Concurrency: a partition's ring, and its ends, are protected by the
 * partition's lock.  `due`, `sending` and `seq` of a generation are protected by
 * its spinlock, under which a notice gets its number and is added to what is
 * due; so what is due up to a number is all there is up to it.
 *
 * Invariants:
 *	  1. ring_from and ring_to only grow; ring_to - ring_from <= RING_BYTES.
 *	     Notices lie between, whole, one behind the other, and none goes over the
 *	     edge of the memory.
 *	  2. Notices of a generation that have a number above `lost` are in a ring.
 *
 * Not here: which instants changed (engine/), sending (agent.c).
 *
 */
#include "postgres.h"

#include "notify/notify.h"
#include "base/base.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"

#include "miscadmin.h"
#include "storage/shmem.h"

/* Of a partition: at least 460 notices with the longest keys, 16000 with short ones. */
#define RING_BYTES (1024 * 1024)

StaticAssertDecl(RING_BYTES % MAXIMUM_ALIGNOF == 0, "what fills a ring is aligned");

/* The key_bytes of what only fills the memory up to its edge. */
#define FILLER PG_UINT32_MAX

static char *rings;

static Size
rings_bytes(void)
{
	return mul_size(RING_BYTES, contime_workers);
}

void
contime_rings_request(void)
{
	RequestAddinShmemSpace(rings_bytes());
}

void
contime_rings_startup(void)
{
	bool found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	rings = ShmemInitStruct("contime notices", rings_bytes(), &found);
	LWLockRelease(AddinShmemInitLock);
}

/* ---- the ring ---------------------------------------------------------------- */

static char *
ring_at(int partition, uint64 position)
{
	return rings + (Size) partition * RING_BYTES + position % RING_BYTES;
}

/* Forget the oldest notice, and say so to its table. */
static void
ring_forget(int partition)
{
	ContimePartition *part = &contime_shared->partition[partition];
	const ContimeNotice *oldest = (ContimeNotice *) ring_at(partition, part->ring_from);

	Assert(part->ring_from < part->ring_to && oldest->bytes > 0); /* 1 */
	if (oldest->key_bytes != FILLER)
	{
		ContimeGeneration *g = &contime_shared->generation[oldest->generation];
		uint64 lost = pg_atomic_read_u64(&g->notice.lost);

		while (g->serial == oldest->serial && lost < oldest->seq &&
			   !pg_atomic_compare_exchange_u64(&g->notice.lost, &lost, oldest->seq))
			;
	}
	part->ring_from += oldest->bytes;
}

/* Room for a notice at the ring's end, which is raised when it is written. */
static ContimeNotice *
ring_room(int partition, uint32 bytes)
{
	ContimePartition *part = &contime_shared->partition[partition];
	uint32 edge = RING_BYTES - part->ring_to % RING_BYTES;
	uint32 filler = edge < bytes ? edge : 0;

	Assert(bytes == MAXALIGN(bytes) && bytes <= RING_BYTES / 2);
	while (part->ring_to + filler + bytes - part->ring_from > RING_BYTES)
		ring_forget(partition);
	if (filler > 0)
	{
		ContimeNotice *notice = (ContimeNotice *) ring_at(partition, part->ring_to);

		notice->bytes = filler;
		notice->key_bytes = FILLER;
		part->ring_to += filler;
	}
	return (ContimeNotice *) ring_at(partition, part->ring_to);
}

/* True: nothing was due of the table. */
static bool
ring_add(int partition, ContimeGeneration *g, const void *key, uint32 key_bytes, ContimeDue *due)
{
	uint32 bytes = MAXALIGN(offsetof(ContimeNotice, key) + key_bytes);
	ContimeNotice *notice = ring_room(partition, bytes);
	bool was_empty = contime_make_due(g, due);

	Assert(key_bytes <= CT_MAX_KEY_BYTES);
	notice->bytes = bytes;
	notice->key_bytes = key_bytes;
	notice->generation = g - contime_shared->generation;
	notice->serial = g->serial;
	notice->seq = due->seq;
	notice->events = due->events;
	notice->from = due->from;
	notice->to = due->to;
	memcpy(notice->key, key, key_bytes);
	contime_shared->partition[partition].ring_to += bytes;
	Assert(contime_shared->partition[partition].ring_to -
			   contime_shared->partition[partition].ring_from <=
		   RING_BYTES); /* 1 */
	return was_empty;
}

/*
 * Under the partition's lock: notices of what changed, ranges of one key that
 * touch as one.  True: nothing was due before, so the agent is to be woken.
 */
bool
contime_notices_add(int partition, ContimeGeneration *g, CtChanged *changed)
{
	CtArena arena = contime_arena(partition);
	CtKeyChanged *key = changed->keys;
	bool wake = false;

	Assert(contime_holds_lock(partition, LW_EXCLUSIVE));
	for (int n = changed->events; n > 0;)
	{
		ContimeDue due = {.events = 1, .from = key->from, .to = key->to};
		CtRef timeline = key->timeline;
		const void *bytes;
		uint32 count;
		int left = 0;

		/* Take along what touches, and keep the rest. */
		for (int i = 1; i < n; i++)
		{
			if (key[i].timeline == timeline && key[i].from <= due.to && key[i].to >= due.from)
			{
				due.from = Min(due.from, key[i].from);
				due.to = Max(due.to, key[i].to);
				due.events++;
			}
			else
				key[left++] = key[i];
		}
		bytes = ct_timeline_key(&arena, timeline, &count);
		wake |= ring_add(partition, g, bytes, count, &due);
		n = left;
	}
	return wake;
}

/*
 * What was read of a key in [from, to) is not what new snapshots see.  Not
 * under a lock.
 */
void
contime_notice_overtaken(int partition, ContimeGeneration *g, const void *key, uint32 key_bytes,
						 int64 from, int64 to)
{
	ContimeDue due = {.from = from, .to = to};
	bool wake;

	contime_lock(partition, LW_EXCLUSIVE);
	wake = ring_add(partition, g, key, key_bytes, &due);
	contime_unlock(partition);
	if (wake)
		contime_agent_wake(g->database);
}

/* Likewise, of whatever keys: that cannot be replayed.  Not under a lock. */
void
contime_notice_overtaken_all(ContimeGeneration *g, int64 from, int64 to)
{
	ContimeDue due = {.from = from, .to = to};
	bool was_empty = contime_make_due(g, &due);
	uint64 lost = pg_atomic_read_u64(&g->notice.lost);

	while (lost < due.seq && !pg_atomic_compare_exchange_u64(&g->notice.lost, &lost, due.seq))
		;
	if (was_empty)
		contime_agent_wake(g->database);
}

/* ---- replaying --------------------------------------------------------------- */

static int
cmp_notices(const void *a, const void *b)
{
	uint64 x = (*(ContimeNotice *const *) a)->seq;
	uint64 y = (*(ContimeNotice *const *) b)->seq;

	return (x > y) - (x < y);
}

/* A copy of a partition's ring; *bytes of it. */
static char *
ring_copy(int partition, Size *bytes)
{
	ContimePartition *part = &contime_shared->partition[partition];
	char *copy = palloc(RING_BYTES);
	Size edge;

	contime_lock(partition, LW_SHARED);
	*bytes = part->ring_to - part->ring_from;
	edge = RING_BYTES - part->ring_from % RING_BYTES;
	memcpy(copy, ring_at(partition, part->ring_from), Min(*bytes, edge));
	if (*bytes > edge)
		memcpy(copy + edge, ring_at(partition, 0), *bytes - edge);
	contime_unlock(partition);
	return copy;
}

ContimeNotice **
contime_notices_between(ContimeGeneration *g, uint64 since, uint64 until, int *count)
{
	int capacity = 64;
	ContimeNotice **found = palloc(capacity * sizeof(ContimeNotice *));

	*count = 0;
	for (int p = 0; p < contime_shared->partitions; p++)
	{
		Size bytes;
		char *copy = ring_copy(p, &bytes);
		uint32 length;

		CHECK_FOR_INTERRUPTS();
		for (Size at = 0; at < bytes; at += length)
		{
			ContimeNotice *notice = (ContimeNotice *) (copy + at);

			length = notice->bytes;
			Assert(length > 0 && at + length <= bytes); /* 1 */
			if (notice->key_bytes == FILLER || notice->serial != g->serial ||
				notice->seq <= since || notice->seq > until)
				continue;
			if (*count == capacity)
			{
				capacity *= 2;
				found = repalloc_huge(found, capacity * sizeof(ContimeNotice *));
			}
			found[(*count)++] = notice;
		}
	}
	qsort(found, *count, sizeof(ContimeNotice *), cmp_notices);
	return found;
}

uint64
contime_notices_newest(ContimeGeneration *g)
{
	uint64 seq;

	SpinLockAcquire(&g->notice.mutex);
	seq = g->notice.seq;
	SpinLockRelease(&g->notice.mutex);
	return seq;
}
