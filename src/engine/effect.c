/*
 * effect.c
 *	  Find the instants whose state changes when an event enters.
 *
 * Called by store.c when events enter or are retracted.
 *
 * Concurrency: the caller holds the partition's lock.
 *
 * Not here: what is shown between events (between.c), how long a change lasts
 * (override.c).
 */
#include "engine/effect.h"

#include "engine/base.h"
#include "engine/fold.h"

/* Fold all events before the spot, whether snapshots see them or not. */
static void
fold_before(const CtReadContext *context, const CtTimeline *timeline, const CtSpot *spot,
			CtState *state)
{
	CtRun run;

	ct_spot_run(context, timeline, spot, &run);
	ct_timeline_begin(context, timeline, state);
	for (int depth = 0; depth < spot->depth; depth++)
	{
		if (spot->index[depth] > 0)
			ct_children_apply(context, spot->inner[depth], spot->index[depth], state);
	}
	if (spot->depth == 0 && timeline->root != 0)
	{
		const CtInner *root = ct_ptr(context->arena, timeline->root);

		ct_children_apply(context, root, root->count, state);
	}
	ct_run_apply(&run, 0, spot->position, state);
}

static inline bool
touches_attr(const CtReadContext *context, const CtItem *item, int attr)
{
	return ct_layout_sets(item->layout, attr) ||
		   (item->layout->kind == CT_FINISH && context->schema->attr[attr].rule != CT_RULE_NONE);
}

/*
 * Set *effect to the instants at which the state would change if the event entered
 * now: `instead` of its duplicate, which is right before the spot, or in addition
 * to all events.  False: none change.  The effect begins before the event only for
 * interpolated attributes.  `widely`: include all instants that could change if
 * there were other events than those that have entered.
 *
 * Attributes do not depend on each other (R3).  So two states differ until the
 * attributes in which they differ are overridden.
 */
bool
ct_timeline_effect(const CtReadContext *context, const CtTimeline *timeline, const CtItem *item,
				   bool instead, bool widely, CtEffect *effect)
{
	uint64_t between = context->linear | context->moving;
	CtSpot spot;
	CtSpot before;
	CtState base;
	CtState without;
	CtState with;
	CtItem duplicate;
	CtLayout scratch;

	(void) ct_timeline_locate(context, timeline, item, &spot);
	CT_ASSERT(!instead || spot.position > 0);
	before = spot;
	before.position -= instead;
	fold_before(context, timeline, &before, &without);
	ct_state_copy(&with, &without);
	if (between != 0)
		ct_state_copy(&base, &without);
	ct_state_add_item(context, &with, item);
	if (instead)
	{
		CtRun run;

		ct_spot_run(context, timeline, &spot, &run);
		duplicate = ct_run_item(&run, before.position, &scratch);
		ct_state_add_item(context, &without, &duplicate);
	}

	effect->from = effect->to = item->time;
	for (int i = -1; i < context->schema->nattrs; i++)
	{
		CtItem next = {.time = INT64_MAX};
		CtLayout other;
		bool differs;

		if (i >= 0 && (between >> i & 1) != 0)
			continue;
		if (widely)
			differs = i < 0 || touches_attr(context, item, i) ||
					  (instead && touches_attr(context, &duplicate, i));
		else
			differs = i < 0 ? with.present != without.present
							: !ct_value_equal(&with.value[i], &without.value[i]);
		if (!differs)
			continue;
		if (!ct_next_override(context, timeline, &spot, i, &next, &other))
			next.time = INT64_MAX;
		effect->to = next.time > effect->to ? next.time : effect->to;
	}
	if (between != 0)
	{
		CtEntering entering = {item, instead ? &duplicate : NULL, &spot, widely, &base, &with,
							   &without};

		ct_effect_between(context, timeline, &entering, effect);
	}
	CT_ASSERT(effect->from <= item->time && effect->to >= item->time);
	return effect->to > effect->from;
}
