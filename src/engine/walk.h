/*
 * walk.h
 *	  What a reader sees of a timeline, and the walk over its entered events.
 *
 * All searches in a tree use this walk.  It goes to the children that may have
 * events at the instants [from, to], in order or backward, and to the tail.  It
 * skips children without visible events and, if it is for one attribute, those
 * in which no event touches it.
 *
 *	  ct_walk_block()    the next leaf or tail, to look at single events
 *	  ct_walk_path()     the path to that block, from which ct_walk_resume() goes on
 *	  ct_walk_child()    the next child; the caller may take it as a whole, or
 *						 go into it by ct_walk_enter()
 *
 * Shared by walk.c; fold.c and unseen.c, which walk from child to child; and
 * between.c and fold.c, which walk from block to block.
 *
 * Concurrency: the caller holds the partition's lock in shared mode, or reads
 * without it (read.c).  A torn tree may be endless, so a walk ends when the
 * timeline has changed since the reader began, whatever was found by then.  A
 * torn height may be 0 although there is a root: no walk goes below 1.
 */
#ifndef CT_WALK_H
#define CT_WALK_H

#include "engine/snapshot.h"
#include "engine/timeline.h"

/* A timeline as a reader sees it. */
typedef struct CtSight
{
	const CtReadContext *context;
	const CtTimeline *timeline;
	const CtSnapshot *snapshot; /* NULL: it sees everything */
	const CtRuns *runs;         /* NULL: no recent events */
	uint64_t newest_top;
	uint32_t sequence; /* of the timeline, when the reader began */
} CtSight;

/* A walk over the events that a reader sees at the instants [from, to]. */
typedef struct CtWalk
{
	const CtSight *sight;
	int64_t from;
	int64_t to;
	int attr;       /* only events that touch it, or are a finish; -1: all */
	bool tail_left; /* the tail has not been visited */
	int height;     /* levels of nodes */
	int depth;      /* nodes on the path; the last one is the current */
	const CtInner *inner[CT_MAX_HEIGHT];
	uint32_t children[CT_MAX_HEIGHT]; /* of each node, those that are left */
	uint8_t child[CT_MAX_HEIGHT];     /* and the one that was returned last */
} CtWalk;

/*
 * The path to a block: CT_PATH_BITS for each level, the root's child first; or the
 * tail, or what is behind it.
 */
#define CT_PATH_BITS 5
#define CT_PATH_TAIL (UINT64_MAX - 1)
#define CT_PATH_END UINT64_MAX

_Static_assert(CT_FANOUT <= 1 << CT_PATH_BITS, "a child has CT_PATH_BITS");
_Static_assert(CT_PATH_BITS *CT_MAX_HEIGHT < 64, "a path is less than CT_PATH_TAIL");

static inline CtSight
ct_sight(const CtReadContext *context, CtRef store, CtRef timeline, const CtSnapshot *snapshot,
		 const CtRuns *runs)
{
	CtTimeline *t = ct_ptr(context->arena, timeline);

	return (CtSight){.context = context,
					 .timeline = t,
					 .snapshot = snapshot,
					 .runs = runs,
					 .newest_top = ((const CtStore *) ct_ptr(context->arena, store))->newest_top,
					 .sequence = atomic_load(&t->sequence)};
}

static inline const CtEvent *
ct_sight_event(const CtSight *sight, CtRef ref)
{
	return ct_ptr(sight->context->arena, ref);
}

/* True if an event with this label is visible. */
static inline bool
ct_sight_sees(const CtSight *sight, uint32_t label)
{
	return label == 0 || sight->snapshot == NULL ||
		   ct_snapshot_sees(sight->snapshot, ct_label_top(sight->newest_top, label));
}

/* True if no event in child i is visible. */
static inline bool
ct_sight_hides(const CtSight *sight, const CtInner *inner, uint32_t i)
{
	return sight->snapshot != NULL && (inner->frozen >> i & 1) == 0 &&
		   ct_node_lo(inner)[i] >= sight->snapshot->xmax;
}

/* True if the timeline has changed since the reader began. */
static inline bool
ct_sight_is_torn(const CtSight *sight)
{
	return atomic_load_explicit(&sight->timeline->sequence, memory_order_relaxed) !=
		   sight->sequence;
}

/* Return the count, limited, as it may be torn. */
static inline uint32_t
ct_node_count(const CtInner *inner)
{
	return inner->count < CT_FANOUT ? inner->count : CT_FANOUT;
}

/* Return the children in which an event touches the attribute. */
static inline uint32_t
ct_node_touching(const CtReadContext *context, const CtInner *inner, int attr)
{
	if ((inner->columns >> attr & 1) == 0)
		return inner->finish;
	return ((const CtColumn *) ct_ptr(context->arena, ct_node_column(inner)[attr]))->sets;
}

/* Go into a node: the root, or a child returned by ct_walk_child(). */
static inline __attribute__((always_inline)) void
ct_walk_enter(CtWalk *walk, CtRef ref)
{
	const CtInner *inner = ct_ptr(walk->sight->context->arena, ref);
	uint32_t first = walk->from > INT64_MIN ? ct_node_until(inner, walk->from - 1) : 0;
	uint32_t end = walk->to < INT64_MAX ? ct_node_until(inner, walk->to) : ct_node_count(inner);
	uint32_t children = ct_bits_below(end);

	CT_ASSERT(walk->depth < walk->height && walk->height <= CT_MAX_HEIGHT);
	CT_ASSERT(first <= CT_FANOUT && end <= CT_FANOUT);

	/* The child before may have events of the first instant, too. */
	if (first > 1)
		children &= ~ct_bits_below(first - 1);
	if (walk->attr >= 0)
		children &= ct_node_touching(walk->sight->context, inner, walk->attr);
	walk->inner[walk->depth] = inner;
	walk->children[walk->depth] = children;
	walk->depth++;
}

static inline __attribute__((always_inline)) void
ct_walk_begin(CtWalk *walk, const CtSight *sight, int64_t from, int64_t to, int attr)
{
	int height = ct_timeline_height(sight->timeline);

	CT_ASSERT(attr < sight->context->schema->nattrs);
	walk->sight = sight;
	walk->from = from;
	walk->to = to;
	walk->attr = attr;
	walk->tail_left = true;
	walk->height = height > 0 ? height : 1;
	walk->depth = 0;
	if (sight->timeline->root != 0)
		ct_walk_enter(walk, sight->timeline->root);
}

/* Return the current node. */
static inline const CtInner *
ct_walk_node(const CtWalk *walk)
{
	CT_ASSERT(walk->depth > 0);
	return walk->inner[walk->depth - 1];
}

/* True if the children of the current node are leaves. */
static inline bool
ct_walk_above_leaves(const CtWalk *walk)
{
	return walk->depth >= walk->height;
}

/*
 * Set *i to the next child of ct_walk_node(), in order or backward.  False: there
 * is none.
 */
static inline __attribute__((always_inline)) bool
ct_walk_child(CtWalk *walk, bool backward, uint32_t *i)
{
	while (walk->depth > 0)
	{
		uint32_t *children = &walk->children[walk->depth - 1];

		if (*children != 0)
		{
			if (ct_sight_is_torn(walk->sight))
				return false;
			*i = (uint32_t) (backward ? 31 - __builtin_clz(*children) : __builtin_ctz(*children));
			*children &= ~(UINT32_C(1) << *i);
			walk->child[walk->depth - 1] = (uint8_t) *i;
			return true;
		}
		walk->depth--;
	}
	return false;
}

/* walk.c */
bool ct_walk_block(CtWalk *walk, CtRun *run);
uint64_t ct_walk_path(const CtWalk *walk);
void ct_walk_resume(CtWalk *walk, uint64_t path);
uint32_t ct_sight_before(const CtSight *sight, const CtRef *recent, uint32_t count, int64_t time);
CtItem ct_cancelled_item(const CtReadContext *context, const CtTimeline *timeline, CtRef ref,
						 CtLayout *scratch);
int64_t ct_cancelled_time(const CtSight *sight, CtRef ref);
uint32_t ct_cancelled_before(const CtSight *sight, const CtRef *cancelled, uint32_t count,
							 int64_t time);
bool ct_sight_replaces(const CtSight *sight, const CtItem *item);
bool ct_sight_next(const CtSight *sight, int64_t from, int64_t until, int64_t *time);
bool ct_sight_latest(const CtSight *sight, int64_t until, int64_t *time);

#endif /* CT_WALK_H */
