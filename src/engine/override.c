/*
 * override.c
 *	  Find the next event that makes an attribute independent of earlier events.
 *
 * It is found by descent through the columns' masks, in O(log n).
 *
 * Called by effect.c and between.c: the effect of an event lasts until then.
 *
 * Concurrency: the caller holds the partition's lock.
 *
 * Not here: what an event changes (effect.c).
 */
#include "engine/effect.h"

/* True if the event makes the attribute independent of earlier events. */
static bool
overrides_attr(const CtReadContext *context, const CtItem *item, int attr)
{
	if (item->layout->kind == CT_FINISH)
		return true;
	return ct_layout_sets(item->layout, attr) &&
		   (item->layout->kind == CT_SNAPSHOT || ct_layout_nulls(item->layout, attr) ||
			context->schema->attr[attr].rule == CT_RULE_LAST);
}

/*
 * Set *item to the first event from position `from` of a block on that overrides
 * the attribute. -1 stands for whether the row exists, which every event overrides.
 * False: there is none.
 */
static bool
find_in_block(const CtRun *run, uint32_t from, int attr, CtItem *item, CtLayout *scratch)
{
	CT_ASSERT(attr < run->context->schema->nattrs);
	if (attr >= 0 && !run->finish && (run->set >> attr & 1) == 0)
		return false;
	for (uint32_t i = from; i < run->count; i++)
	{
		*item = ct_run_item(run, i, scratch);
		if (attr < 0 || overrides_attr(run->context, item, attr))
			return true;
	}
	return false;
}

/* Return the children that have an overriding event. */
static uint32_t
find_overriding(const CtReadContext *context, const CtInner *inner, int attr)
{
	const CtColumn *column;

	if (attr < 0)
		return ct_bits_below(inner->count);
	if ((inner->columns >> attr & 1) == 0)
		return inner->finish;
	column = ct_ptr(context->arena, ct_node_column(inner)[attr]);
	return column->overrides;
}

static bool
find_in_subtree(const CtReadContext *context, CtRef ref, int height, int attr, CtItem *item,
				CtLayout *scratch)
{
	CtRun run;

	for (; height > 0; height--)
	{
		const CtInner *inner = ct_ptr(context->arena, ref);
		uint32_t children = find_overriding(context, inner, attr);

		if (children == 0)
			return false;
		ref = ct_node_child(inner)[__builtin_ctz(children)];
	}
	ct_leaf_run(context, ct_ptr(context->arena, ref), &run);
	return find_in_block(&run, 0, attr, item, scratch);
}

/*
 * Set *item to the first event from the spot on that overrides the attribute.
 * False: there is none.
 */
bool
ct_next_override(const CtReadContext *context, const CtTimeline *timeline, const CtSpot *spot,
				 int attr, CtItem *item, CtLayout *scratch)
{
	CtRun run;

	CT_ASSERT(spot->depth <= timeline->height);
	ct_spot_run(context, timeline, spot, &run);
	if (find_in_block(&run, spot->position, attr, item, scratch))
		return true;
	if (spot->depth == 0)
		return false;
	for (int depth = spot->depth - 1; depth >= 0; depth--)
	{
		const CtInner *inner = spot->inner[depth];
		uint32_t children =
			find_overriding(context, inner, attr) & ~ct_bits_below(spot->index[depth] + 1);

		if (children != 0)
			return find_in_subtree(context, ct_node_child(inner)[__builtin_ctz(children)],
								   timeline->height - depth - 1, attr, item, scratch);
	}
	ct_tail_run(context, timeline, &run);
	return find_in_block(&run, 0, attr, item, scratch);
}
