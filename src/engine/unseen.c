/*
 * unseen.c
 *	  Whose entered events of a timeline a snapshot does not see.
 *
 * A serializable reader has to know which transactions wrote what it was not
 * to see.  They are all still young: an event keeps its transaction's id until
 * every snapshot sees it.  Subtrees are passed over by the ranges of ids that
 * folds use.
 *
 * Called by visible.c through engine.h.
 *
 * Concurrency: under the partition's lock, shared, or without it (read.c).
 *
 * Not here: events that have not entered; what a conflict is.
 */
#include "timeline.h"

typedef struct CtUnseen
{
	const CtArena *arena;
	const CtTimeline *timeline;
	const CtSnapshot *snapshot;
	uint64_t newest_top;
	uint32_t sequence; /* of the timeline, at the start */
	uint64_t last;     /* found last */
	uint64_t *top;
	uint32_t room;
	uint32_t count;
} CtUnseen;

static void
note_label(CtUnseen *unseen, uint32_t label)
{
	uint64_t top = ct_label_top(unseen->newest_top, label);

	if (label == 0 || top == unseen->last || ct_snapshot_sees(unseen->snapshot, top))
		return;
	unseen->last = top;
	if (unseen->count < unseen->room)
		unseen->top[unseen->count] = top;
	unseen->count++;
}

static void
walk_leaf(CtUnseen *unseen, const CtLeaf *leaf)
{
	const uint32_t *label = ct_ptr(unseen->arena, leaf->labels);

	for (uint32_t i = 0; leaf->labels != 0 && i < leaf->count && i < CT_LEAF_EVENTS; i++)
		note_label(unseen, label[i]);
}

/* (A torn tree has no end: the walk stops when the timeline has changed.) */
static void
walk_node(CtUnseen *unseen, CtRef ref, int height)
{
	const CtInner *inner = ct_ptr(unseen->arena, ref);

	for (uint32_t i = 0; i < inner->count && i < ct_node_capacity(inner); i++)
	{
		CtRef child = ct_node_child(inner)[i];

		if (ct_snapshot_sees_all(unseen->snapshot, ct_node_lo(inner)[i], ct_node_hi(inner)[i]))
			continue;
		if (atomic_load_explicit(&unseen->timeline->sequence, memory_order_relaxed) !=
			unseen->sequence)
			return;
		if (height > 1)
			walk_node(unseen, child, height - 1);
		else
			walk_leaf(unseen, ct_ptr(unseen->arena, child));
	}
}

static void
walk_tail(CtUnseen *unseen, const CtShape *shape)
{
	CtRun run;

	ct_tail_run(shape, unseen->timeline, &run);
	for (uint32_t i = 0; i < run.count; i++)
		note_label(unseen, ct_run_label(&run, i));
}

uint32_t
ct_timeline_unseen(const CtArena *arena, CtRef store, CtRef timeline, const CtSnapshot *snapshot,
				   uint64_t *top, uint32_t room)
{
	const CtTimeline *t = ct_ptr(arena, timeline);
	CtUnseen unseen = {.arena = arena,
					   .timeline = t,
					   .snapshot = snapshot,
					   .newest_top = ((const CtStore *) ct_ptr(arena, store))->newest_top,
					   .sequence = atomic_load(&((CtTimeline *) ct_ptr(arena, timeline))->sequence),
					   .top = top,
					   .room = room};
	CtShape shape = ct_store_shape(arena, ct_ptr(arena, store));
	int height = t->height < CT_MAX_HEIGHT ? t->height : CT_MAX_HEIGHT;

	if (ct_snapshot_sees_all(snapshot, t->lo, t->hi))
		return 0;
	if (t->root != 0 && height > 0)
		walk_node(&unseen, t->root, height);
	walk_tail(&unseen, &shape);
	return unseen.count;
}
