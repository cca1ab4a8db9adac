/*
 * slot.h
 *	  The head of a timeline, which is a slot of its store's directory.
 *
 *	  CtTimeline ── recent events, newest first (doubly linked)
 *		│ base: the state before all other events, folded (base.h)
 *		│ root: CtInner ── CtInner ── CtLeaf    closed: all before the tail
 *		└ tail: rows                            events in order are appended
 *
 * For files that find, make or remove timelines (directory.c, read.c, store.c),
 * and files that look into them.  It has only types and inline functions.
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
	uint32_t recents;     /* their number */
	CtRef root;           /* of the tree; 0: no leaf is closed */
	CtRef tail;           /* 0: there is no row */
	uint16_t tail_stride; /* bytes of a row */
	uint16_t tail_layout; /* of all rows, or 0 */
	uint16_t key_bytes;
	uint8_t tail_count;
	uint8_t tail_capacity;
	uint8_t tail_frozen; /* the first rows, up to this, are frozen */
	uint8_t tail_finish; /* the tail may have a finish */
	uint8_t height;      /* levels of inner nodes */
	uint8_t taken;       /* the slot is in use */
	uint8_t in_young;    /* it is in the store's list of timelines to be settled */
	uint8_t partial;     /* it lacks events: partial.c */
	uint8_t used;        /* it was read since the last look; set without the lock */
	uint8_t ids_node;    /* `ids` is a node, not a list */
	CtRef young_next;
	_Atomic uint32_t sequence; /* odd: it is being changed; never decreases */
	CtRef base;                /* events folded by retention; 0: initial */
	union
	{
		uint32_t seen; /* label: complete if all ids below are seen; 0: for all */
		CtRef ids;     /* with id_of_key, which is never partial: by event id (ids.h) */
	};
	uint64_t lo; /* range of the ids of its young events; */
	uint64_t hi; /* UINT64_MAX and 0 when there are none */
	union
	{
		uint8_t bytes[CT_KEY_INLINE];
		uint8_t ref[sizeof(CtRef)]; /* of a key longer than CT_KEY_INLINE */
	} key;
} CtTimeline;

_Static_assert(sizeof(CtTimeline) == 96, "a timeline is small");

/*
 * Begin to change a timeline; ct_change_end() ends it.  There is one writer at a
 * time.  A reader without the lock sees by `sequence` that the timeline was
 * changed.
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

/* True between these two.  For assertions of the writer. */
static inline bool
ct_is_changing(const CtTimeline *timeline)
{
	return (atomic_load_explicit(&timeline->sequence, memory_order_relaxed) & 1) != 0;
}

/* True if an event has entered. */
static inline bool
ct_timeline_entered(const CtTimeline *timeline)
{
	return timeline->tail_count != 0 || timeline->root != 0;
}

/*
 * True if there is no reason to keep the timeline.  (A partial store also keeps a
 * timeline to record that its key has no events.)
 */
static inline bool
ct_timeline_is_over(const CtStore *store, const CtTimeline *timeline)
{
	return timeline->recents == 0 && !ct_timeline_entered(timeline) && timeline->base == 0 &&
		   !timeline->in_young && (!store->partial || timeline->partial);
}

#endif /* CT_SLOT_H */
