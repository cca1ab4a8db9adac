/*
 * override.c
 *	  The next event that makes an attribute independent of what was before.
 *
 * Found by descent through the columns' masks, O(log n).
 *
 * Called by effect.c and between.c: what an event changes lasts until then.
 *
 * Concurrency: under the partition's lock.
 *
 * Not here: what an event changes (effect.c).
 */
#include "engine/effect.h"

/* Does it make the attribute independent of what was before? */
static bool
overrides(const CtReadContext *context, const CtItem *item, int attr)
{
	if (item->layout->kind == CT_FINISH)
		return true;
	return ct_layout_sets(item->layout, attr) &&
		   (item->layout->kind == CT_SNAPSHOT || ct_layout_nulls(item->layout, attr) ||
			context->schema->attr[attr].rule == CT_RULE_LAST);
}

/*
 * The first event from position `from` of a block on that overrides the
 * attribute; -1 is the row's presence, which every event decides.
 */
static bool
run_override(const CtRun *run, uint32_t from, int attr, CtItem *item, CtLayout *scratch)
{
	CT_ASSERT(attr < run->context->schema->nattrs);
	if (attr >= 0 && !run->finish && (run->set >> attr & 1) == 0)
		return false;
	for (uint32_t i = from; i < run->count; i++)
	{
		*item = ct_run_item(run, i, scratch);
		if (attr < 0 || overrides(run->context, item, attr))
			return true;
	}
	return false;
}

/* The children in which there is one. */
static uint32_t
overriding_children(const CtReadContext *context, const CtInner *inner, int attr)
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
node_override(const CtReadContext *context, CtRef ref, int height, int attr, CtItem *item,
			  CtLayout *scratch)
{
	CtRun run;

	for (; height > 0; height--)
	{
		const CtInner *inner = ct_ptr(context->arena, ref);
		uint32_t children = overriding_children(context, inner, attr);

		if (children == 0)
			return false;
		ref = ct_node_child(inner)[__builtin_ctz(children)];
	}
	ct_leaf_run(context, ct_ptr(context->arena, ref), &run);
	return run_override(&run, 0, attr, item, scratch);
}

/* The first event from the spot on that overrides it. */
bool
ct_next_override(const CtReadContext *context, const CtTimeline *timeline, const CtSpot *spot,
				 int attr, CtItem *item, CtLayout *scratch)
{
	CtRun run;

	CT_ASSERT(spot->depth <= timeline->height);
	ct_spot_run(context, timeline, spot, &run);
	if (run_override(&run, spot->position, attr, item, scratch))
		return true;
	if (spot->depth == 0)
		return false;
	for (int depth = spot->depth - 1; depth >= 0; depth--)
	{
		const CtInner *inner = spot->inner[depth];
		uint32_t children =
			overriding_children(context, inner, attr) & ~ct_bits_below(spot->index[depth] + 1);

		if (children != 0)
			return node_override(context, ct_node_child(inner)[__builtin_ctz(children)],
								 timeline->height - depth - 1, attr, item, scratch);
	}
	ct_tail_run(context, timeline, &run);
	return run_override(&run, 0, attr, item, scratch);
}
