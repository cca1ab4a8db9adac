/*
 * notices.c
 *	  Notices that the past of a key changed, and a ring that replays them.
 *
 *	  worker, or reader ─► notice ─┬─► generation[].due   one range, cannot overflow ─► agent.c
 *	  with an old snapshot         └─► ring of its partition: key and range
 *	                                    └─► contime.reconciliations(), and the agent for keys
 *
 * A worker makes a notice when an event enters at an instant that was read before.
 * A reader makes one if it reads, with an old snapshot, another state than new
 * snapshots see: no reader had read that instant when the event entered.
 *
 * The notices of a table are numbered one by one.  The first number of a generation
 * is the clock (in us, as in a timestamptz), and above those of the generation
 * before.  So numbers grow over TRUNCATE and restarts of the server, and a number
 * of an earlier generation can be recognised.
 *
 * Concurrency: the partition's lock protects its ring and the ring's ends.  The
 * generation's spinlock protects `due`, `sending` and `seq`.  Under the spinlock a
 * notice gets its number and is added to `due`, so `due` covers every notice up to
 * its number.
 *
 * Invariants:
 *	  1. ring_from and ring_to only grow; ring_to - ring_from <= RING_BYTES.
 *	     Whole notices lie between them without gaps, and none crosses the end of
 *	     the ring's memory.
 *	  2. Notices of a generation that have a number above `lost` are in a ring.
 *
 * Not here: which instants changed (engine/), sending (worker/agent.c).
 */
#include "postgres.h"

#include "notify/notify.h"
#include "base/base.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"

#include "miscadmin.h"
#include "storage/shmem.h"

/* Size of a partition's ring: at least 460 notices with the longest keys, 16000 with short ones. */
#define RING_BYTES (1024 * 1024)

StaticAssertDecl(RING_BYTES % MAXIMUM_ALIGNOF == 0, "records of a ring are aligned");

/* The key_bytes of a record that only fills the ring's memory up to its end. */
#define FILLER PG_UINT32_MAX

static char *rings;

static Size
get_rings_bytes(void)
{
	return mul_size(RING_BYTES, contime_workers);
}

void
contime_rings_request(void)
{
	RequestAddinShmemSpace(get_rings_bytes());
}

void
contime_rings_startup(void)
{
	bool found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	rings = ShmemInitStruct("contime notices", get_rings_bytes(), &found);
	LWLockRelease(AddinShmemInitLock);
}

/* ---- the ring ---------------------------------------------------------------- */

static char *
get_ring_address(int partition, uint64 position)
{
	return rings + (Size) partition * RING_BYTES + position % RING_BYTES;
}

/* Remove the oldest notice, and raise `lost` of its generation to its number. */
static void
remove_oldest_notice(int partition)
{
	ContimePartition *part = &contime_shared->partition[partition];
	const ContimeNotice *oldest = (ContimeNotice *) get_ring_address(partition, part->ring_from);

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

/*
 * Make room for a notice at the end of the ring, and return its address.  The caller
 * advances ring_to when it has written the notice.
 */
static ContimeNotice *
make_ring_room(int partition, uint32 bytes)
{
	ContimePartition *part = &contime_shared->partition[partition];
	uint32 edge = RING_BYTES - part->ring_to % RING_BYTES;
	uint32 filler = edge < bytes ? edge : 0;

	Assert(bytes == MAXALIGN(bytes) && bytes <= RING_BYTES / 2);
	while (part->ring_to + filler + bytes - part->ring_from > RING_BYTES)
		remove_oldest_notice(partition);
	if (filler > 0)
	{
		ContimeNotice *notice = (ContimeNotice *) get_ring_address(partition, part->ring_to);

		notice->bytes = filler;
		notice->key_bytes = FILLER;
		part->ring_to += filler;
	}
	return (ContimeNotice *) get_ring_address(partition, part->ring_to);
}

/*
 * Number a notice of a key, add it to what is due and to the ring.  Return true if
 * nothing was due for the table before.  Under the partition's lock.
 */
static bool
add_to_ring(int partition, ContimeGeneration *g, const void *key, uint32 key_bytes, ContimeDue *due)
{
	uint32 bytes = MAXALIGN(offsetof(ContimeNotice, key) + key_bytes);
	ContimeNotice *notice = make_ring_room(partition, bytes);
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

		/* Join the ranges of this key that touch, and keep the others for later. */
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
		wake |= add_to_ring(partition, g, bytes, count, &due);
		n = left;
	}
	return wake;
}

void
contime_notice_overtaken(int partition, ContimeGeneration *g, const void *key, uint32 key_bytes,
						 int64 from, int64 to)
{
	ContimeDue due = {.from = from, .to = to};
	bool wake;

	contime_lock(partition, LW_EXCLUSIVE);
	wake = add_to_ring(partition, g, key, key_bytes, &due);
	contime_unlock(partition);
	if (wake)
		contime_agent_wake(g->database);
}

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

/* Return a copy of a partition's ring, and set *bytes to its length. */
static char *
copy_ring(int partition, Size *bytes)
{
	ContimePartition *part = &contime_shared->partition[partition];
	char *copy = palloc(RING_BYTES);
	Size edge;

	contime_lock(partition, LW_SHARED);
	*bytes = part->ring_to - part->ring_from;
	edge = RING_BYTES - part->ring_from % RING_BYTES;
	memcpy(copy, get_ring_address(partition, part->ring_from), Min(*bytes, edge));
	if (*bytes > edge)
		memcpy(copy + edge, get_ring_address(partition, 0), *bytes - edge);
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
		char *copy = copy_ring(p, &bytes);
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
