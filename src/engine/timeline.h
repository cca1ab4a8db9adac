/*
 * timeline.h
 *	  The inside of a timeline: its header, and the tree of entered events.
 *
 *	  CtTimeline ── recent events, newest first (doubly linked)
 *		 │ root: an entry
 *	  CtInner: entries (first event, count, lo/hi, summary) ── CtInner ── CtLeaf
 *
 * A leaf has references to events in order.  What is known about a node is
 * kept in its parent's entry, and about the root in the timeline: the present
 * state of a key is one summary away.
 */
#ifndef CT_TIMELINE_H
#define CT_TIMELINE_H

#include "rule.h"
#include "store.h"

/*
 * How many events a leaf and how many entries an inner node has.  Tests set
 * them low, for trees that are high while they are small.
 *
 * Inner nodes off the right spine have at least 16 entries, leaves 32 events;
 * a region has room for fewer than 2^30 events.
 */
#ifndef CT_FANOUT
#define CT_LEAF_EVENTS 64
#define CT_FANOUT 32
#define CT_MAX_HEIGHT 10
#endif
#define CT_LEAF_SMALLEST 4 /* a leaf that grew beyond has a summary */

_Static_assert(CT_LEAF_SMALLEST < CT_LEAF_EVENTS, "a full leaf has a summary");

/* What is known about a subtree. */
typedef struct CtEntry
{
	int64_t time; /* of `first` */
	uint64_t lo;  /* range of the top-level ids of its young events; */
	uint64_t hi;  /* UINT64_MAX and 0 when it has none */
	CtRef child;
	CtRef first;         /* its first event */
	CtRef summary;       /* composition of its events; a root that is a
						  * small leaf has none, 0 */
	uint32_t count : 31; /* its events */
	uint32_t frozen : 1; /* some of them are visible to everyone */
} CtEntry;

_Static_assert(sizeof(CtEntry) == 40, "entries are packed");

#define CT_KEY_INLINE 22

typedef struct CtTimeline
{
	uint64_t hash;
	CtRef chain; /* next in its bucket, or next free slot */
	uint32_t slot;
	uint32_t key_bytes;
	CtRef recent;     /* newest recent or waiting event */
	uint32_t recents; /* how many */
	CtRef newest;     /* last entered event in the order */
	CtEntry root;     /* child 0: nothing has entered */
	uint8_t height;   /* inner levels above the leaves */
	bool taken;       /* the slot is in use */
	union
	{
		uint8_t bytes[CT_KEY_INLINE];
		uint8_t ref[sizeof(CtRef)]; /* longer than CT_KEY_INLINE */
	} key;
} CtTimeline;

_Static_assert(sizeof(CtTimeline) == 96, "a timeline is small");

typedef struct CtInner
{
	uint32_t count;
	uint32_t unused;
	CtEntry entry[CT_FANOUT];
} CtInner;

/* Then `capacity` times and `capacity` references. */
typedef struct CtLeaf
{
	uint32_t count;
	uint32_t capacity;
	int64_t time[];
} CtLeaf;

static inline CtRef *
ct_leaf_events(const CtLeaf *leaf)
{
	return (CtRef *) &leaf->time[leaf->capacity];
}

/*
 * Ask for the events of a leaf, which lie anywhere, before they are read one
 * by one: the waits for memory overlap.
 */
static inline void
ct_leaf_prefetch(const CtArena *arena, const CtLeaf *leaf, uint32_t from, uint32_t to)
{
	const CtRef *event = ct_leaf_events(leaf);

	for (uint32_t i = from; i < to; i++)
	{
		const char *at = ct_ptr(arena, event[i]);

		__builtin_prefetch(at);
		__builtin_prefetch(at + 64);
	}
}

static inline size_t
ct_leaf_bytes(uint32_t capacity)
{
	return sizeof(CtLeaf) + capacity * (sizeof(int64_t) + sizeof(CtRef));
}

/* timeline.c */
CtStatus ct_timeline_insert(CtWriter *writer, CtTimeline *timeline, CtRef event) CT_MUST_CHECK;
CtStatus
ct_timeline_replace(CtWriter *writer, CtTimeline *timeline, CtRef twin, CtRef event) CT_MUST_CHECK;
CtRef ct_timeline_twin(const CtShape *shape, const CtTimeline *timeline, const CtEvent *event);
int ct_timeline_free(CtWriter *writer, CtTimeline *timeline, int limit);
void ct_entry_compute(const CtShape *shape, CtEntry *entry, bool is_leaf);

/* fold.c */
bool ct_timeline_effect(const CtShape *shape, const CtTimeline *timeline, const CtEvent *event,
						const CtEvent *instead, int64_t *end);

#endif /* CT_TIMELINE_H */
