/*
 * read.c
 *	  Reading without the lock: a reader checks that a timeline has not changed.
 *
 * The sequence number of a timeline is odd while the writer changes it, and a
 * different one afterwards (slot.h).  A reader notes the number, reads, copies
 * what it needs, and checks that the number is still the same.  Then nothing
 * that it has read was torn.  The number survives the recycling of the slot.
 *
 *	  writer   sequence+1 | fence | change        | sequence+1 (release)
 *	  reader   sequence (acquire) | read, copy | fence | sequence
 *
 * Everything that events refer to (layouts, schemas, the newest label) is
 * published before the first event that needs it, and lives as long as the
 * store.  So a reader loads it after it has noted the number.
 *
 * Memory may be freed and reused while a reader looks at it, but it stays part
 * of the region: the reader may find any contents, but does not fault.  Every
 * read is bounded: references by ct_ptr(), counts by the size of nodes, walks by
 * checking the number now and then.
 *
 * Called by src/fold and src/read through engine.h.
 *
 * Not here: what is read (fold.c, directory.c), how often to retry (the caller).
 */
#include "engine/block.h"
#include "engine/slot.h"

/* Steps along a chain before the reader checks that chains have not changed. */
#define STEPS_PER_LOOK 64

static bool
observe_timeline(const CtArena *arena, CtRef timeline, CtRead *read)
{
	const CtTimeline *t = ct_ptr(arena, timeline);

	read->arena = arena;
	read->timeline = timeline;
	read->sequence = atomic_load_explicit(&t->sequence, memory_order_acquire);
	return (read->sequence & 1) == 0;
}

bool
ct_read_valid(const CtRead *read)
{
	const CtTimeline *t = ct_ptr(read->arena, read->timeline);

	if (read->timeline == 0)
		return true;
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&t->sequence, memory_order_relaxed) == read->sequence;
}

/* True if no chain has changed since `sequence` was read. */
static bool
has_same_chains(const CtDirectory *directory, uint32_t sequence)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&directory->sequence, memory_order_relaxed) == sequence;
}

CtStatus
ct_read_key(const CtArena *arena, CtRef store, uint64_t hash, const void *key, uint32_t key_bytes,
			CtRead *read)
{
	const CtDirectory *directory = &((const CtStore *) ct_ptr(arena, store))->directory;
	uint32_t sequence = atomic_load_explicit(&directory->sequence, memory_order_acquire);
	const CtRef *head = ct_directory_head(arena, directory, hash);
	CtRef ref = head == NULL ? 0 : *head;

	CT_ASSERT(store != 0);
	read->arena = arena;
	read->timeline = 0;
	for (uint32_t steps = 1; ref != 0; steps++)
	{
		const CtTimeline *timeline = ct_ptr(arena, ref);

		if (timeline->hash == hash)
		{
			if (!observe_timeline(arena, ref, read))
				return CT_RETRY;
			if (timeline->taken && ct_directory_is_key(arena, timeline, hash, key, key_bytes))
				return CT_OK; /* if this was torn, ct_read_valid() says so */
			read->timeline = 0;
		}
		if (steps % STEPS_PER_LOOK == 0 && !has_same_chains(directory, sequence))
			return CT_RETRY;
		ref = timeline->chain;
	}
	return (sequence & 1) == 0 && has_same_chains(directory, sequence) ? CT_OK : CT_RETRY;
}

CtStatus
ct_read_slot(const CtArena *arena, CtRef store, uint32_t *position, CtRead *read)
{
	const CtDirectory *directory = &((const CtStore *) ct_ptr(arena, store))->directory;
	uint32_t nslots =
		__atomic_load_n(&directory->nslots, __ATOMIC_ACQUIRE); /* slots exist before that */

	CT_ASSERT(store != 0);
	for (; *position < nslots; ++*position)
	{
		uint32_t sequence = atomic_load_explicit(&directory->sequence, memory_order_acquire);
		CtRef ref = ct_directory_at(arena, directory, *position);

		if ((sequence & 1) != 0 || !has_same_chains(directory, sequence) ||
			!observe_timeline(arena, ref, read))
			return CT_RETRY;
		if (((const CtTimeline *) ct_ptr(arena, ref))->taken)
			return CT_OK;
	}
	read->arena = arena;
	read->timeline = 0;
	return CT_OK;
}

void
ct_read_ahead(const CtArena *arena, CtRef store, uint32_t position)
{
	const CtDirectory *directory = &((const CtStore *) ct_ptr(arena, store))->directory;
	const CtTimeline *t;
	const char *rows;
	size_t bytes;

	if (position >= __atomic_load_n(&directory->nslots, __ATOMIC_ACQUIRE))
		return;
	t = ct_ptr(arena, ct_directory_at(arena, directory, position));
	bytes = (size_t) t->tail_count * t->tail_stride;
	rows = ct_ptr(arena, t->tail);
	(void) *(const volatile char *) rows; /* for the address translation */
	for (size_t at = 64; at < bytes && at < CT_TAIL_BYTES; at += 64)
		__builtin_prefetch(rows + at);
}
