/*
 * timeline.h
 *	  The inside of a timeline: its header, and the ways into it.
 *
 *	  CtTimeline ── recent events, newest first (doubly linked)
 *		 │ base: what came before all others, folded (retain.c)
 *		 │ root: CtInner ── CtInner ── CtLeaf	closed: all before the tail
 *		 └ tail: rows							what comes in order goes here
 */
#ifndef CT_TIMELINE_H
#define CT_TIMELINE_H

#include <stdatomic.h>
#include <string.h>

#include "node.h"

#define CT_KEY_INLINE 16

typedef struct CtTimeline
{
	uint64_t hash;
	CtRef chain; /* next in its bucket, or next free slot */
	uint32_t slot;
	CtRef recent;     /* newest recent or waiting event */
	uint32_t recents; /* how many */
	CtRef root;       /* 0: nothing is closed */
	CtRef tail;       /* 0: nothing has entered since */
	uint16_t tail_stride; /* bytes of a row */
	uint16_t tail_form;   /* of all its rows, or 0 */
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
	CtRef base;  /* what was folded of it; 0: it begins as initial */
	uint32_t seen; /* label: nothing is missing for who sees all ids below; 0: all do */
	uint64_t lo; /* covers the ids of all its young events; */
	uint64_t hi; /* UINT64_MAX and 0 when there are none */
	union
	{
		uint8_t bytes[CT_KEY_INLINE];
		uint8_t ref[sizeof(CtRef)]; /* longer than CT_KEY_INLINE */
	} key;
} CtTimeline;

_Static_assert(sizeof(CtTimeline) == 96, "a timeline is small");

/*
 * What a key's row is before the first event of its timeline, if it is there.
 * Then the payloads of the cells (rule.h) of what is not NULL.
 */
typedef struct CtBase
{
	uint64_t set;  /* attributes that are not as they are initially; */
	uint64_t null; /* of them, those that are NULL */
	int64_t time; /* of the last event that was folded */
} CtBase;

/* A place in a timeline: before event `position` of a leaf or of the tail. */
typedef struct CtSpot
{
	int depth; /* inner nodes on the way to the leaf; 0: the tail */
	CtInner *inner[CT_MAX_HEIGHT];
	uint32_t index[CT_MAX_HEIGHT];
	CtRef *leaf; /* where the leaf's reference is */
	uint32_t position;
} CtSpot;

/*
 * Between these two a timeline is changed, by the one writer there is.  Who
 * reads without the lock sees that it was.
 */
static inline void
ct_change_begin(CtTimeline *timeline)
{
	uint32_t sequence = atomic_load_explicit(&timeline->sequence, memory_order_relaxed);

	atomic_store_explicit(&timeline->sequence, sequence + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static inline void
ct_change_end(CtTimeline *timeline)
{
	uint32_t sequence = atomic_load_explicit(&timeline->sequence, memory_order_relaxed);

	atomic_store_explicit(&timeline->sequence, sequence + 1, memory_order_release);
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

static inline CtRow *
ct_tail_row(const CtArena *arena, const CtTimeline *timeline, uint32_t i)
{
	return (CtRow *) ((char *) ct_ptr(arena, timeline->tail) + (size_t) i * timeline->tail_stride);
}

static inline void
ct_tail_run(const CtShape *shape, const CtTimeline *timeline, CtRun *run)
{
	/* Each is looked at once; of a slot that is just recycled the stride may be 0 beside rows. */
	uint8_t count = __atomic_load_n(&timeline->tail_count, __ATOMIC_RELAXED);
	uint16_t stride = __atomic_load_n(&timeline->tail_stride, __ATOMIC_RELAXED);

	run->shape = shape;
	run->count = count < CT_TAIL_EVENTS ? count : CT_TAIL_EVENTS;
	run->form = timeline->tail_form;
	run->finish = timeline->tail_finish != 0;
	run->set = run->form != 0 ? ct_form_of(shape, run->form, NULL, NULL)->touched : UINT64_MAX;
	run->time = NULL;
	run->slot = NULL;
	run->base = ct_ptr(shape->arena, timeline->tail);
	run->stride = stride < CT_MAX_ROW_BYTES ? stride : CT_MAX_ROW_BYTES;
	if (stride == 0)
		run->stride = sizeof(CtRow);
	run->label = NULL;
}

/* (What is left of a row is cleared, so that nothing undefined is copied on.) */
static inline void
ct_row_write(CtRow *row, const CtEntry *entry, uint32_t stride)
{
	row->time = entry->time;
	row->label = (uint32_t) entry->top;
	row->form = (uint16_t) entry->form;
	row->late = entry->late;
	if (entry->bytes == 16)
		memcpy(row->record, entry->record, 16);
	else
		memcpy(row->record, entry->record, entry->bytes);
	if (sizeof(CtRow) + entry->bytes < stride)
		memset(row->record + entry->bytes, 0, stride - sizeof(CtRow) - entry->bytes);
}

void ct_entered_young(CtWriter *writer, CtTimeline *timeline, uint64_t top);

/* The store and the timeline hear of an event that has entered. */
static inline void
ct_entered(CtWriter *writer, CtTimeline *timeline, uint64_t top)
{
	if (top == 0)
		writer->store->nfrozen++;
	else
		ct_entered_young(writer, timeline, top);
}

/*
 * The usual case of ct_timeline_insert(): an event goes behind all others, to
 * the end of a tail that has room and whose events are like it.  False: it is
 * another case.
 */
static inline bool
ct_tail_append(CtWriter *writer, CtTimeline *timeline, const CtEntry *entry)
{
	uint32_t count = timeline->tail_count;
	CtRow *row = ct_tail_row(writer->arena, timeline, count);

	if (count == 0 || count == timeline->tail_capacity || timeline->tail_form != entry->form ||
		entry->form == 0 ||
		((const CtRow *) ((const char *) row - timeline->tail_stride))->time >= entry->time)
		return false;
	ct_row_write(row, entry, timeline->tail_stride);
	timeline->tail_count++;
	ct_entered(writer, timeline, entry->top);
	return true;
}

/* How many children begin at or before the instant. */
static inline uint32_t
ct_node_until(const CtInner *inner, int64_t time)
{
	return ct_count_until(inner->time, inner->count < CT_FANOUT ? inner->count : CT_FANOUT, time);
}

/* timeline.c */
void ct_spot_run(const CtShape *shape, const CtTimeline *timeline, const CtSpot *spot, CtRun *run);
CtItem ct_first_item(const CtShape *shape, CtRef ref, int height, CtForm *scratch);
bool ct_timeline_last(const CtShape *shape, const CtTimeline *timeline, CtItem *item,
					  CtForm *scratch);
bool ct_timeline_has_later(const CtShape *shape, const CtTimeline *timeline, const CtItem *item);
bool ct_timeline_locate(const CtShape *shape, const CtTimeline *timeline, const CtItem *item,
						CtSpot *spot);
CtStatus
ct_timeline_insert(CtWriter *writer, CtTimeline *timeline, const CtEntry *entry) CT_MUST_CHECK;
CtStatus
ct_timeline_replace(CtWriter *writer, CtTimeline *timeline, const CtEntry *entry) CT_MUST_CHECK;
void ct_timeline_remove(CtWriter *writer, CtTimeline *timeline, CtSpot *spot);
uint32_t ct_timeline_freeze(CtWriter *writer, CtTimeline *timeline, uint64_t horizon);
int ct_timeline_free(CtWriter *writer, CtTimeline *timeline, int limit);

/* The instants at which something changes: [from, to), INT64_MAX if open. */
typedef struct CtEffect
{
	int64_t from;
	int64_t to;
} CtEffect;
void ct_leaf_vanish(CtWriter *writer, CtTimeline *timeline, const CtSpot *spot);
bool ct_tail_resize(CtWriter *writer, CtTimeline *timeline, uint32_t capacity, uint32_t stride);
void ct_tail_note(const CtShape *shape, CtTimeline *timeline);
void ct_tail_free(CtWriter *writer, CtTimeline *timeline);

/* retain.c */
void ct_timeline_begin(const CtShape *shape, const CtTimeline *timeline, CtState *state);
size_t ct_base_bytes(const CtSchema *schema, const CtBase *base);
void ct_base_cells(const CtShape *shape, CtRef base, CtCell *cells);
bool ct_base_is_initial(const CtAttr *attr, const CtCell *cell);
void ct_base_free(CtWriter *writer, CtTimeline *timeline);

/* fold.c */
bool ct_snapshot_sees_all(const CtSnapshot *snapshot, uint64_t lo, uint64_t hi);
bool ct_timeline_effect(const CtShape *shape, const CtTimeline *timeline, const CtItem *item,
						bool instead, bool widely, CtEffect *effect);
bool ct_next_override(const CtShape *shape, const CtTimeline *timeline, const CtSpot *spot,
					  int attr, CtItem *item, CtForm *scratch);

/* What a reader sees of a timeline. */
typedef struct CtSight
{
	const CtShape *shape;
	const CtTimeline *timeline;
	const CtSnapshot *snapshot; /* NULL: everything */
	const CtRuns *runs;
	uint64_t newest_top;
	uint32_t sequence; /* of the timeline, at the start */
} CtSight;

/* An event that enters, and the state before and after it with and without it. */
typedef struct CtEntering
{
	const CtItem *item;
	const CtItem *twin; /* in whose place it enters, or NULL */
	const CtSpot *spot; /* behind both */
	bool widely; /* whatever the states: some may not be known yet */
	const CtState *before;
	const CtState *with;
	const CtState *without; /* with the twin */
} CtEntering;

/* between.c */
void ct_state_show_between(const CtSight *sight, int64_t time, CtState *state);
void ct_state_resume(const CtShape *shape, CtState *state);
void ct_effect_between(const CtShape *shape, const CtTimeline *timeline,
					   const CtEntering *entering, CtEffect *effect);

#endif /* CT_TIMELINE_H */
