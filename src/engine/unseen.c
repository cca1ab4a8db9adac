/*
 * unseen.c
 *	  Find the transactions whose entered events a snapshot does not see.
 *
 * A serializable reader has to know which transactions wrote events that its
 * snapshot does not see.  These events are all young: an event keeps its
 * transaction's id until every snapshot sees it.  Subtrees are skipped by the
 * ranges of ids that folds use, too.
 *
 * Called by mvcc/visible.c through engine.h.
 *
 * Concurrency: the caller holds the partition's lock in shared mode, or reads
 * without it (read.c).
 *
 * Not here: events that have not entered, what a conflict is.
 */
#include "engine/walk.h"

typedef struct CtUnseen
{
	CtSight sight;
	uint64_t last; /* the last id that was found */
	uint64_t *top;
	uint32_t room;
	uint32_t count;
} CtUnseen;

static void
note_labels(CtUnseen *unseen, const CtRun *run)
{
	for (uint32_t i = 0; i < run->count; i++)
	{
		uint32_t label = ct_run_label(run, i);
		uint64_t top = ct_label_top(unseen->sight.newest_top, label);

		if (label == 0 || top == unseen->last || ct_snapshot_sees(unseen->sight.snapshot, top))
			continue;
		unseen->last = top;
		if (unseen->count < unseen->room)
			unseen->top[unseen->count] = top;
		unseen->count++;
	}
}

static void
walk_tree(CtUnseen *unseen)
{
	const CtSight *sight = &unseen->sight;
	CtWalk walk;
	uint32_t i;

	ct_walk_begin(&walk, sight, INT64_MIN, INT64_MAX, -1);
	while (ct_walk_child(&walk, false, &i))
	{
		const CtInner *inner = ct_walk_node(&walk);
		CtRef child = ct_node_child(inner)[i];
		CtRun run;

		if (ct_snapshot_sees_all(sight->snapshot, ct_node_lo(inner)[i], ct_node_hi(inner)[i]))
			continue;
		if (!ct_walk_above_leaves(&walk))
		{
			ct_walk_enter(&walk, child);
			continue;
		}
		ct_leaf_run(sight->context, ct_ptr(sight->context->arena, child), &run);
		note_labels(unseen, &run);
	}
}

bool
ct_timeline_seen(const CtArena *arena, CtRef timeline, const CtSnapshot *snapshot)
{
	const CtTimeline *t = ct_ptr(arena, timeline);

	return ct_snapshot_sees_all(snapshot, t->lo, t->hi);
}

uint32_t
ct_timeline_unseen(const CtArena *arena, CtRef store, CtRef timeline, const CtSnapshot *snapshot,
				   uint64_t *top, uint32_t room)
{
	CtReadContext context = ct_store_read_context(arena, ct_ptr(arena, store));
	CtUnseen unseen = {.sight = ct_sight(&context, store, timeline, snapshot, NULL),
					   .top = top,
					   .room = room};
	CtRun run;

	CT_ASSERT(ct_snapshot_is_sound(snapshot));
	CT_ASSERT(room == 0 || top != NULL);
	if (ct_timeline_seen(arena, timeline, snapshot))
		return 0;
	walk_tree(&unseen);
	ct_tail_run(&context, unseen.sight.timeline, &run);
	note_labels(&unseen, &run);
	return unseen.count;
}
