/*
 * timeline.c
 *	  The tree of a timeline's entered events: insert, replace, find a twin.
 *
 * A B+tree in the order of events.  The entry of a subtree has the
 * composition of its events, so that a read applies it at once, and the range
 * of their transactions, so that a read knows whether it may.
 *
 *	  append		composes the event onto the entries of the right spine
 *	  late event	changes one leaf, and computes the entries above it again
 *
 * Full nodes are split on the way down, and narrow summaries widened.  Each
 * such step leaves a tree that means the same, so running out of memory after
 * some of them needs no undoing; when the last step is done, nothing can fail.
 * Events are replaced but never removed, so nodes never empty.
 *
 * Called by store.c.
 *
 * Concurrency: under the partition's lock, exclusively.
 *
 * Invariants:
 *	 T1  Events are in order within a leaf, and from leaf to leaf; leaf times
 *		 are their events' times.
 *	 T2  An entry's `first`, `time` and `count` are its subtree's.
 *	 T3  An entry's summary is the composition of its events (R4: as far as it
 *		 is wide).  Only a root that is a leaf may do without.
 *	 T4  Young events not below the store's horizon have ids within [lo, hi]
 *		 of every entry above them.
 *	 T5  Where one event is frozen or below the horizon, `frozen` is set or lo
 *		 is below the horizon, so that nobody skips it.
 *	 T6  All leaves have the timeline's height; no node is empty.
 *	 T7  `newest` is the last event of the last leaf.
 *	 T8  No two entered events have the same identity.
 *
 * Not here: reads (fold.c), the life of events (store.c).
 */
#include "timeline.h"

#include <assert.h>
#include <string.h>

/* The way from the root to a leaf. */
typedef struct CtPath
{
	int depth;                         /* of the leaf */
	CtEntry *entry[CT_MAX_HEIGHT + 1]; /* the root's, ..., the leaf's */
	CtLeaf *leaf;
} CtPath;

/* What a descent looks for. */
typedef struct CtProbe
{
	const CtEvent *event;
	bool identity; /* without regard to content */
	bool append;   /* known to come after everything */
} CtProbe;

static int
probe_cmp(const CtShape *shape, const CtProbe *probe, int64_t time, CtRef ref)
{
	const CtEvent *other;

	if (probe->event->time != time)
		return probe->event->time < time ? -1 : 1;
	other = ct_ptr(shape->arena, ref);
	return probe->identity ? ct_event_cmp_identity(shape->schema, probe->event, other)
						   : ct_event_cmp(shape->schema, probe->event, other);
}

/* The last entry that begins at or before it, or the first. */
static uint32_t
entry_find(const CtShape *shape, const CtInner *inner, const CtProbe *probe)
{
	uint32_t low = 1;
	uint32_t high = inner->count;

	if (probe->append)
		return inner->count - 1;
	while (low < high)
	{
		uint32_t middle = (low + high) / 2;

		if (probe_cmp(shape, probe, inner->entry[middle].time, inner->entry[middle].first) >= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low - 1;
}

/* How many events of the leaf are at or before it. */
static uint32_t
leaf_find(const CtShape *shape, const CtLeaf *leaf, const CtProbe *probe)
{
	uint32_t low = 0;
	uint32_t high = leaf->count;

	if (probe->append)
		return leaf->count;
	while (low < high)
	{
		uint32_t middle = (low + high) / 2;

		if (probe_cmp(shape, probe, leaf->time[middle], ct_leaf_events(leaf)[middle]) >= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- entries ---------------------------------------------------------------- */

static void
entry_add_label(CtEntry *entry, uint64_t top)
{
	if (top == 0)
		entry->frozen = true;
	else
	{
		entry->lo = top < entry->lo ? top : entry->lo;
		entry->hi = top > entry->hi ? top : entry->hi;
	}
}

static void
entry_compute_leaf(const CtShape *shape, CtEntry *entry, CtSummary *summary)
{
	const CtLeaf *leaf = ct_ptr(shape->arena, entry->child);
	const CtRef *event = ct_leaf_events(leaf);

	ct_leaf_prefetch(shape->arena, leaf, 0, leaf->count);
	for (uint32_t i = 0; i < leaf->count; i++)
	{
		entry_add_label(entry, ((const CtEvent *) ct_ptr(shape->arena, event[i]))->top);
		if (summary != NULL)
			ct_summary_add_event(shape, summary, event[i]);
	}
	entry->count = leaf->count & INT32_MAX;
	entry->first = event[0];
	entry->time = leaf->time[0];
}

static void
entry_compute_inner(const CtShape *shape, CtEntry *entry, CtSummary *summary)
{
	const CtInner *inner = ct_ptr(shape->arena, entry->child);
	uint32_t count = 0;

	for (uint32_t i = 0; i < inner->count; i++)
		__builtin_prefetch(ct_ptr(shape->arena, inner->entry[i].summary));
	for (uint32_t i = 0; i < inner->count; i++)
	{
		const CtEntry *below = &inner->entry[i];

		entry->lo = below->lo < entry->lo ? below->lo : entry->lo;
		entry->hi = below->hi > entry->hi ? below->hi : entry->hi;
		entry->frozen |= below->frozen;
		count += below->count;
		ct_summary_add(shape, summary, ct_ptr(shape->arena, below->summary));
	}
	entry->count = count & INT32_MAX;
	entry->first = inner->entry[0].first;
	entry->time = inner->entry[0].time;
}

/* All of an entry from its child; its summary, if it has one, must be wide. */
void
ct_entry_compute(const CtShape *shape, CtEntry *entry, bool is_leaf)
{
	CtSummary *summary = entry->summary == 0 ? NULL : ct_ptr(shape->arena, entry->summary);

	entry->lo = UINT64_MAX;
	entry->hi = 0;
	entry->frozen = false;
	if (summary != NULL)
		ct_summary_clear(shape, summary);
	if (is_leaf)
		entry_compute_leaf(shape, entry, summary);
	else
		entry_compute_inner(shape, entry, summary);
}

/* One event more at the end of the entry's subtree. */
static void
entry_append(CtWriter *writer, CtEntry *entry, CtRef ref, const CtEvent *event)
{
	/* Ids everyone sees by now are forgotten, or one old id would widen all. */
	if (entry->count > 0 && entry->hi < writer->store->horizon)
	{
		entry->frozen = true;
		entry->lo = UINT64_MAX;
		entry->hi = 0;
	}
	entry_add_label(entry, event->top);
	if (entry->count++ == 0)
	{
		entry->first = ref;
		entry->time = event->time;
	}
	if (entry->summary != 0)
		ct_summary_add_event(&writer->shape, ct_ptr(writer->arena, entry->summary), ref);
}

static inline size_t
summary_bytes(const CtShape *shape)
{
	return shape->cell[shape->schema->nattrs];
}

/* Give the entry a summary for the attributes of today; false: no room. */
static bool
entry_widen(CtWriter *writer, CtEntry *entry)
{
	const CtShape *shape = &writer->shape;
	const CtSummary *old = ct_ptr(writer->arena, entry->summary);
	CtRef wide;

	if (entry->summary == 0 || old->nattrs == shape->schema->nattrs)
		return true;
	wide = ct_take(writer, summary_bytes(shape), true);
	if (wide == 0)
		return false;
	ct_summary_widen(shape, old, ct_ptr(writer->arena, wide));
	ct_give(writer, entry->summary, shape->cell[old->nattrs]);
	entry->summary = wide;
	return true;
}

/* Give the root, a leaf, the summary it did without while it was small. */
static bool
entry_summarise(CtWriter *writer, CtEntry *entry)
{
	if (entry->summary == 0)
	{
		entry->summary = ct_take(writer, summary_bytes(&writer->shape), true);
		if (entry->summary != 0)
			ct_entry_compute(&writer->shape, entry, true);
	}
	return entry->summary != 0;
}

/* ---- growing ---------------------------------------------------------------- */

/* Twice the room for the leaf at *at. */
static bool
leaf_grow(CtWriter *writer, CtRef *at)
{
	CtLeaf *old = ct_ptr(writer->arena, *at);
	uint32_t capacity = old->capacity * 2;
	CtRef ref = ct_take(writer, ct_leaf_bytes(capacity), true);
	CtLeaf *leaf;

	if (ref == 0)
		return false;
	leaf = ct_ptr(writer->arena, ref);
	leaf->count = old->count;
	leaf->capacity = capacity;
	memcpy(leaf->time, old->time, old->count * sizeof(int64_t));
	memcpy(ct_leaf_events(leaf), ct_leaf_events(old), old->count * sizeof(CtRef));
	ct_give(writer, *at, ct_leaf_bytes(old->capacity));
	*at = ref;
	return true;
}

static CtRef
leaf_make(CtWriter *writer, uint32_t capacity)
{
	CtRef ref = ct_take(writer, ct_leaf_bytes(capacity), true);

	if (ref != 0)
	{
		CtLeaf *leaf = ct_ptr(writer->arena, ref);

		leaf->count = 0;
		leaf->capacity = capacity;
	}
	return ref;
}

static CtRef
inner_make(CtWriter *writer)
{
	CtRef ref = ct_take(writer, sizeof(CtInner), true);

	if (ref != 0)
		memset(ct_ptr(writer->arena, ref), 0, offsetof(CtInner, entry));
	return ref;
}

static bool
node_full(const CtWriter *writer, CtRef ref, bool is_leaf)
{
	if (is_leaf)
		return ((CtLeaf *) ct_ptr(writer->arena, ref))->count == CT_LEAF_EVENTS;
	return ((CtInner *) ct_ptr(writer->arena, ref))->count == CT_FANOUT;
}

/* A new root above the old one. */
static bool
root_raise(CtWriter *writer, CtTimeline *timeline)
{
	CtRef ref = inner_make(writer);
	CtRef summary = ct_take(writer, summary_bytes(&writer->shape), true);
	CtInner *inner;

	if (ref == 0 || summary == 0)
	{
		if (ref != 0)
			ct_give(writer, ref, sizeof(CtInner));
		if (summary != 0)
			ct_give(writer, summary, summary_bytes(&writer->shape));
		return false;
	}
	assert(timeline->height < CT_MAX_HEIGHT && timeline->root.summary != 0); /* T3 */
	inner = ct_ptr(writer->arena, ref);
	inner->count = 1;
	inner->entry[0] = timeline->root;
	timeline->root.child = ref;
	timeline->root.summary = summary;
	timeline->height++;
	ct_entry_compute(&writer->shape, &timeline->root, false);
	return true;
}

/* The upper part of a full leaf, from `keep` on, moves to an empty one. */
static void
leaf_divide(CtLeaf *from, CtLeaf *to, uint32_t keep)
{
	to->count = from->count - keep;
	memcpy(to->time, &from->time[keep], to->count * sizeof(int64_t));
	memcpy(ct_leaf_events(to), &ct_leaf_events(from)[keep], to->count * sizeof(CtRef));
	from->count = keep;
}

static void
inner_divide(CtInner *from, CtInner *to, uint32_t keep)
{
	to->count = from->count - keep;
	memcpy(to->entry, &from->entry[keep], to->count * sizeof(CtEntry));
	from->count = keep;
}

/*
 * Split the full child of entry i of a node that is not full.  When events
 * come in order the left part gets most, for it will not grow again.
 */
static bool
child_split(CtWriter *writer, CtInner *inner, uint32_t i, bool is_leaf, bool append)
{
	CtRef child = inner->entry[i].child;
	CtRef right = is_leaf ? leaf_make(writer, CT_LEAF_EVENTS) : inner_make(writer);
	CtRef summary = ct_take(writer, summary_bytes(&writer->shape), true);
	uint32_t size = is_leaf ? CT_LEAF_EVENTS : CT_FANOUT;
	uint32_t keep = append ? size * 7 / 8 : size / 2;

	if (right == 0 || summary == 0 || !entry_widen(writer, &inner->entry[i]))
	{
		if (right != 0)
			ct_give(writer, right, is_leaf ? ct_leaf_bytes(CT_LEAF_EVENTS) : sizeof(CtInner));
		if (summary != 0)
			ct_give(writer, summary, summary_bytes(&writer->shape));
		return false;
	}
	if (is_leaf)
		leaf_divide(ct_ptr(writer->arena, child), ct_ptr(writer->arena, right), keep);
	else
		inner_divide(ct_ptr(writer->arena, child), ct_ptr(writer->arena, right), keep);

	memmove(&inner->entry[i + 2], &inner->entry[i + 1], (inner->count - i - 1) * sizeof(CtEntry));
	inner->count++;
	inner->entry[i + 1].child = right;
	inner->entry[i + 1].summary = summary;
	ct_entry_compute(&writer->shape, &inner->entry[i], is_leaf);
	ct_entry_compute(&writer->shape, &inner->entry[i + 1], is_leaf);
	return true;
}

/* ---- descending -------------------------------------------------------------- */

/*
 * The path to where the probe is or belongs, ready to be changed: summaries
 * wide and, if there is something to insert, room in the leaf.
 */
static CtStatus
path_prepare(CtWriter *writer, CtTimeline *timeline, const CtProbe *probe, bool insert,
			 CtPath *path)
{
	CtEntry *entry = &timeline->root;

	if (insert && node_full(writer, entry->child, timeline->height == 0) &&
		!root_raise(writer, timeline))
		return CT_NO_MEMORY;

	for (int depth = 0;; depth++)
	{
		CtInner *inner = ct_ptr(writer->arena, entry->child);
		bool is_leaf = depth == timeline->height - 1;
		uint32_t i;

		if (!entry_widen(writer, entry))
			return CT_NO_MEMORY;
		path->entry[depth] = entry;
		path->depth = depth;
		if (depth == timeline->height)
			break;
		i = entry_find(&writer->shape, inner, probe);
		if (insert && node_full(writer, inner->entry[i].child, is_leaf))
		{
			if (!child_split(writer, inner, i, is_leaf, probe->append))
				return CT_NO_MEMORY;
			i = entry_find(&writer->shape, inner, probe);
		}
		entry = &inner->entry[i];
	}
	path->leaf = ct_ptr(writer->arena, entry->child);
	if (insert && path->leaf->count == path->leaf->capacity)
	{
		if (!entry_summarise(writer, entry) || !leaf_grow(writer, &entry->child))
			return CT_NO_MEMORY;
		path->leaf = ct_ptr(writer->arena, entry->child);
	}
	return CT_OK;
}

static void
path_compute(const CtShape *shape, CtPath *path)
{
	for (int depth = path->depth; depth >= 0; depth--)
		ct_entry_compute(shape, path->entry[depth], depth == path->depth);
}

/* ---- what store.c calls ------------------------------------------------------- */

CtStatus
ct_timeline_insert(CtWriter *writer, CtTimeline *timeline, CtRef ref)
{
	const CtEvent *event = ct_ptr(writer->arena, ref);
	const CtEvent *newest = ct_ptr(writer->arena, timeline->newest);
	CtProbe probe = {.event = event};
	CtPath path;
	uint32_t position;
	uint32_t behind;

	if (timeline->root.child == 0)
	{
		timeline->root = (CtEntry){.lo = UINT64_MAX, .child = leaf_make(writer, CT_LEAF_SMALLEST)};
		if (timeline->root.child == 0)
			return CT_NO_MEMORY;
		probe.append = true;
	}
	else
		probe.append = ct_event_cmp(writer->shape.schema, event, newest) >= 0;
	if (path_prepare(writer, timeline, &probe, true, &path) != CT_OK)
		return CT_NO_MEMORY;

	position = leaf_find(&writer->shape, path.leaf, &probe);
	behind = path.leaf->count - position;
	memmove(&path.leaf->time[position + 1], &path.leaf->time[position], behind * sizeof(int64_t));
	memmove(&ct_leaf_events(path.leaf)[position + 1], &ct_leaf_events(path.leaf)[position],
			behind * sizeof(CtRef));
	path.leaf->time[position] = event->time;
	ct_leaf_events(path.leaf)[position] = ref;
	path.leaf->count++;

	if (!probe.append)
	{
		path_compute(&writer->shape, &path);
		return CT_OK;
	}
	timeline->newest = ref;
	for (int depth = 0; depth <= path.depth; depth++)
		entry_append(writer, path.entry[depth], ref, event);
	return CT_OK;
}

/* Put an event in the place of its entered twin. */
CtStatus
ct_timeline_replace(CtWriter *writer, CtTimeline *timeline, CtRef twin, CtRef event)
{
	CtProbe probe = {.event = ct_ptr(writer->arena, twin), .identity = true};
	CtPath path;
	uint32_t position;

	if (path_prepare(writer, timeline, &probe, false, &path) != CT_OK)
		return CT_NO_MEMORY;
	position = leaf_find(&writer->shape, path.leaf, &probe) - 1;
	assert(ct_leaf_events(path.leaf)[position] == twin); /* T8 */
	ct_leaf_events(path.leaf)[position] = event;
	if (timeline->newest == twin)
		timeline->newest = event;
	path_compute(&writer->shape, &path);
	return CT_OK;
}

/* The entered event of the same identity, or 0. */
CtRef
ct_timeline_twin(const CtShape *shape, const CtTimeline *timeline, const CtEvent *event)
{
	CtProbe probe = {.event = event, .identity = true};
	CtRef ref = timeline->root.child;
	const CtLeaf *leaf;
	uint32_t position;
	int order;

	if (ref == 0 || !ct_event_has_id(shape->schema, event))
		return 0;
	order = ct_event_cmp_identity(shape->schema, event, ct_ptr(shape->arena, timeline->newest));
	if (order >= 0)
		return order == 0 ? timeline->newest : 0;

	for (int depth = 0; depth < timeline->height; depth++)
	{
		const CtInner *inner = ct_ptr(shape->arena, ref);

		ref = inner->entry[entry_find(shape, inner, &probe)].child;
	}
	leaf = ct_ptr(shape->arena, ref);
	position = leaf_find(shape, leaf, &probe);
	if (position == 0)
		return 0;
	ref = ct_leaf_events(leaf)[position - 1];
	return ct_event_cmp_identity(shape->schema, event, ct_ptr(shape->arena, ref)) == 0 ? ref : 0;
}

/* ---- freeing ------------------------------------------------------------------ */

/* The last leaf is empty: free it, and what is above and only held it. */
static void
last_leaf_free(CtWriter *writer, CtTimeline *timeline, CtEntry *const *entry)
{
	int depth = timeline->height;
	CtLeaf *leaf = ct_ptr(writer->arena, entry[depth]->child);

	ct_give(writer, entry[depth]->child, ct_leaf_bytes(leaf->capacity));
	for (;; depth--)
	{
		const CtSummary *summary = ct_ptr(writer->arena, entry[depth]->summary);

		if (entry[depth]->summary != 0)
			ct_give(writer, entry[depth]->summary, writer->shape.cell[summary->nattrs]);
		entry[depth]->child = 0;
		if (depth == 0 || --((CtInner *) ct_ptr(writer->arena, entry[depth - 1]->child))->count > 0)
			return;
		ct_give(writer, entry[depth - 1]->child, sizeof(CtInner));
	}
}

/*
 * Free up to `limit` entered events, the last ones first; how many were.  The
 * timeline is not to be read any more: what its entries say gets wrong.
 */
int
ct_timeline_free(CtWriter *writer, CtTimeline *timeline, int limit)
{
	int freed = 0;

	while (timeline->root.child != 0 && freed < limit)
	{
		CtEntry *entry[CT_MAX_HEIGHT + 1] = {&timeline->root};
		CtLeaf *leaf;

		for (int depth = 0; depth < timeline->height; depth++)
		{
			CtInner *inner = ct_ptr(writer->arena, entry[depth]->child);

			entry[depth + 1] = &inner->entry[inner->count - 1];
		}
		leaf = ct_ptr(writer->arena, entry[timeline->height]->child);
		while (leaf->count > 0 && freed < limit)
		{
			CtRef event = ct_leaf_events(leaf)[--leaf->count];

			ct_give(writer, event, ct_event_bytes(ct_ptr(writer->arena, event)));
			freed++;
		}
		if (leaf->count == 0)
			last_leaf_free(writer, timeline, entry);
	}
	return freed;
}
