/*
 * slot.h
 *	  The head of a timeline, which lies in a slot of its store's directory.
 *
 *	  CtTimeline ── recent events, newest first (doubly linked)
 *		 │ base: what came before all others, folded (base.h)
 *		 │ root: CtInner ── CtInner ── CtLeaf	closed: all before the tail
 *		 └ tail: rows							what comes in order goes here
 *
 * For files that find, make or remove timelines (directory.c, read.c, store.c),
 * and below all that looks into them.  Only types and what must be inlined.
 */
#ifndef CT_SLOT_H
#define CT_SLOT_H

#include <stdatomic.h>

#include "engine/writer.h"

#define CT_KEY_INLINE 16

typedef struct CtTimeline
{
	uint64_t hash;
	CtRef chain; /* next in its bucket, or next free slot */
	uint32_t slot;
	CtRef recent;         /* newest recent or waiting event */
	uint32_t recents;     /* how many */
	CtRef root;           /* 0: nothing is closed */
	CtRef tail;           /* 0: nothing has entered since */
	uint16_t tail_stride; /* bytes of a row */
	uint16_t tail_layout; /* of all its rows, or 0 */
	uint16_t key_bytes;
	uint8_t tail_count;
	uint8_t tail_capacity;
	uint8_t tail_frozen; /* so many rows, from the first on, are */
	uint8_t tail_finish; /* there may be a finish in the tail */
	uint8_t height;      /* levels of inner nodes */
	uint8_t taken;       /* the slot is in use */
	uint8_t in_young;    /* it is in the store's list of those to be settled */
	uint8_t partial;     /* its events are not all here: partial.c */
	uint8_t used;        /* it was read since the last look: set without the lock */
	CtRef young_next;
	_Atomic uint32_t sequence; /* odd: it is being changed; never set back */
	CtRef base;                /* what was folded of it; 0: it begins as initial */
	uint32_t seen;             /* label: nothing is missing for who sees all ids below; 0: all do */
	uint64_t lo;               /* covers the ids of all its young events; */
	uint64_t hi;               /* UINT64_MAX and 0 when there are none */
	union
	{
		uint8_t bytes[CT_KEY_INLINE];
		uint8_t ref[sizeof(CtRef)]; /* longer than CT_KEY_INLINE */
	} key;
} CtTimeline;

_Static_assert(sizeof(CtTimeline) == 96, "a timeline is small");

/*
 * Between these two a timeline is changed, by the one writer there is.  Who
 * reads without the lock sees that it was.
 */
static inline void
ct_change_begin(CtTimeline *timeline)
{
	uint32_t sequence = atomic_load_explicit(&timeline->sequence, memory_order_relaxed);

	CT_ASSERT((sequence & 1) == 0); /* there is one writer */
	atomic_store_explicit(&timeline->sequence, sequence + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static inline void
ct_change_end(CtTimeline *timeline)
{
	uint32_t sequence = atomic_load_explicit(&timeline->sequence, memory_order_relaxed);

	CT_ASSERT((sequence & 1) == 1);
	atomic_store_explicit(&timeline->sequence, sequence + 1, memory_order_release);
}

/* Is it between the two?  Only asserts of the writer ask. */
static inline bool
ct_is_changing(const CtTimeline *timeline)
{
	return (atomic_load_explicit(&timeline->sequence, memory_order_relaxed) & 1) != 0;
}

/* Has anything entered? */
static inline bool
ct_timeline_entered(const CtTimeline *timeline)
{
	return timeline->tail_count != 0 || timeline->root != 0;
}

/* Is there no reason to keep it?  (That a key has no event may be worth knowing.) */
static inline bool
ct_timeline_is_over(const CtStore *store, const CtTimeline *timeline)
{
	return timeline->recents == 0 && !ct_timeline_entered(timeline) && timeline->base == 0 &&
		   !timeline->in_young && (!store->partial || timeline->partial);
}

#endif /* CT_SLOT_H */
