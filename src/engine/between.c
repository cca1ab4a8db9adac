/*
 * between.c
 *	  Attributes that change between events: interpolated ones, and those that move.
 *
 *	  linear   ·──·      A fold gives the value set last, and when that was.
 *				  ╱      The value that is shown is on the line to the next
 *				·╱       visible event that sets the attribute.  If there is
 *						 none, or if it is a finish or sets NULL, the value is
 *						 held.
 *	  moving             A fold gives position and rate (motion.c).
 *
 * A fold cannot continue from shown values, so the folded ones are kept in
 * CtState.folded, for ct_timeline_step().
 *
 * A walk (walk.h) finds the next event by the columns' masks, in O(log n) plus
 * the number of events that set the attribute and are not visible.
 *
 * Called by fold.c for states, by effect.c for what an event changes.
 *
 * Concurrency: as for fold.c.  Folded values may be torn; nothing is assumed
 * about them that is not checked here.
 *
 * Not here: the fold itself, and effects on other columns (effect.c).
 */
#include "engine/between.h"

#include "engine/base.h"
#include "engine/effect.h"

/*
 * Limit a mask to the attributes of the schema.  While a store is being widened,
 * masks may have more.
 */
static inline uint64_t
limit_attrs(const CtReadContext *context, uint64_t mask)
{
	uint32_t nattrs = context->schema->nattrs;

	return nattrs < 64 ? mask & ((UINT64_C(1) << nattrs) - 1) : mask;
}

/* ---- the next event that touches an attribute -------------------------------- */

static inline bool
touches_attribute(const CtItem *item, int attr)
{
	return item->layout->kind == CT_FINISH || ct_layout_sets(item->layout, attr);
}

/*
 * Set *item to the first visible entered event after `time`, up to `until`, that
 * touches the attribute.  False: there is none.
 */
static bool
find_entered_touch(const CtSight *sight, int attr, int64_t time, int64_t until, CtItem *item,
				   CtLayout *scratch)
{
	CtWalk walk;
	CtRun run;

	ct_walk_begin(&walk, sight, time + 1, until, attr);
	while (ct_walk_block(&walk, &run))
	{
		if (!run.finish && (run.set >> attr & 1) == 0)
			continue;
		for (uint32_t i = ct_run_until(&run, time); i < run.count; i++)
		{
			*item = ct_run_item(&run, i, scratch);
			if (item->time > until)
				return false;
			if (touches_attribute(item, attr) && ct_sight_sees(sight, ct_run_label(&run, i)) &&
				!ct_sight_replaces(sight, item))
				return true;
		}
	}
	return false;
}

/*
 * Set *item to the first such recent event, if it comes before *item (`found`).
 * False: it does not.
 */
static bool
find_recent_touch(const CtSight *sight, int attr, int64_t time, int64_t until, bool found,
				  CtItem *item, CtLayout *scratch)
{
	const CtRuns *runs = sight->runs;
	uint32_t i;

	if (runs == NULL)
		return false;
	i = ct_sight_before(sight, runs->extra, runs->nextra, time + 1);
	for (; i < runs->nextra; i++)
	{
		CtItem recent =
			ct_event_item(sight->context, ct_sight_event(sight, runs->extra[i]), scratch);

		if (recent.time > until || (found && ct_item_cmp(sight->context, &recent, item) > 0))
			return false;
		if (touches_attribute(&recent, attr))
		{
			*item = recent;
			return true;
		}
	}
	return false;
}

/* ---- showing ----------------------------------------------------------------- */

static inline bool
gives_value(const CtItem *item, int attr)
{
	return item->layout->kind != CT_FINISH && ct_layout_sets(item->layout, attr) &&
		   !ct_layout_nulls(item->layout, attr);
}

static inline CtWide
get_given_value(const CtReadContext *context, const CtItem *item, int attr)
{
	return ct_cell_number(&context->schema->attr[attr],
						  item->record + ct_layout_offset(item->layout, attr));
}

static void
show_linear(const CtSight *sight, int attr, int64_t time, CtValue *value)
{
	int64_t until = sight->snapshot == NULL ? INT64_MAX : sight->snapshot->until;
	CtLayout scratch;
	CtLayout other;
	CtItem next;
	bool found;

	if (value->kind != CT_VALUE_NUMBER || !value->was_set || value->time >= time ||
		time == INT64_MAX)
		return;
	found = find_entered_touch(sight, attr, time, until, &next, &scratch);
	found |= find_recent_touch(sight, attr, time, until, found, &next, &other);
	if (found && next.time > time && gives_value(&next, attr))
		value->number = ct_wide_between(value->number, get_given_value(sight->context, &next, attr),
										(uint64_t) time - (uint64_t) value->time,
										(uint64_t) next.time - (uint64_t) value->time);
}

/* Return the instant of the last visible event. */
static int64_t
find_latest(const CtSight *sight)
{
	const CtTimeline *timeline = sight->timeline;
	const CtBase *base = ct_ptr(sight->context->arena, timeline->base);
	int64_t time;

	if (!ct_sight_latest(sight, INT64_MAX, &time))
		time = INT64_MIN;
	return timeline->base != 0 && base->time > time ? base->time : time;
}

/*
 * Replace folded values by those that are shown at the instant.  INT64_MAX is after
 * everything known: an attribute that moves is then shown at the instant of the
 * last event.
 */
void
ct_state_show_between(const CtSight *sight, int64_t time, CtState *state)
{
	const CtSchema *schema = sight->context->schema;
	uint64_t linear = limit_attrs(sight->context, sight->context->linear);
	uint64_t moving = limit_attrs(sight->context, sight->context->moving);

	for (uint64_t rest = linear | moving; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);

		state->folded[i] = state->value[i];
	}
	if (!state->present)
		return;
	for (uint64_t rest = linear; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);

		show_linear(sight, i, time, &state->value[i]);
	}
	if (moving != 0 && time == INT64_MAX)
		time = find_latest(sight);
	for (uint64_t rest = moving; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);

		ct_motion_show(schema, &schema->attr[i], &state->value[i], time);
	}
}

/* Restore the folded values of a shown state, so that a fold can continue. */
void
ct_state_resume(const CtReadContext *context, CtState *state)
{
	for (uint64_t rest = context->linear | context->moving; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);

		if (i >= state->nattrs)
			break;
		state->value[i] = state->folded[i];
	}
}

/* ---- effects ----------------------------------------------------------------- */

static inline void
extend_effect(CtEffect *effect, int64_t from, int64_t to)
{
	effect->from = from < effect->from ? from : effect->from;
	effect->to = to > effect->to ? to : effect->to;
}

/* The end of a line.  `goes` false: there is none, and the value is held. */
typedef struct CtLine
{
	bool goes;
	int64_t time;
	CtWide number;
} CtLine;

static CtLine
get_line(const CtReadContext *context, const CtItem *item, int attr)
{
	if (item == NULL || !gives_value(item, attr))
		return (CtLine){.goes = false};
	return (CtLine){true, item->time, get_given_value(context, item, attr)};
}

/* Return the rise of a line, multiplied by the span [since, until) of another one. */
static inline CtWide
scale_rise(CtWide from, CtWide to, int64_t since, int64_t until)
{
	uint64_t span = (uint64_t) until - (uint64_t) since;

	return ct_wide_times(wide_subtract(to, from), (CtWide){{span, 0, 0}});
}

/* True if two lines from one point have the same slope. */
static bool
same_slopes(const CtValue *from, const CtLine *a, const CtLine *b)
{
	bool a_flat = !a->goes || wide_same(a->number, from->number);
	bool b_flat = !b->goes || wide_same(b->number, from->number);

	if (a_flat || b_flat)
		return a_flat && b_flat;
	return wide_same(scale_rise(from->number, a->number, from->time, b->time),
					 scale_rise(from->number, b->number, from->time, a->time));
}

/* True if two lines with the same end are the same. */
static bool
same_lines(const CtValue *a, const CtValue *b, const CtLine *to)
{
	bool a_flat;
	bool b_flat;

	if (a->kind != CT_VALUE_NUMBER || b->kind != CT_VALUE_NUMBER)
		return a->kind == b->kind;
	a_flat = !to->goes || !a->was_set || wide_same(to->number, a->number);
	b_flat = !to->goes || !b->was_set || wide_same(to->number, b->number);
	if (a_flat || b_flat)
		return a_flat && b_flat && wide_same(a->number, b->number);
	return wide_same(scale_rise(a->number, to->number, b->time, to->time),
					 scale_rise(b->number, to->number, a->time, to->time));
}

/*
 * Return the end of the line from before the event: the event, or `next` if it does
 * not touch.
 */
static CtLine
get_line_before(const CtReadContext *context, const CtItem *item, const CtLine *next, int attr)
{
	return item != NULL && touches_attribute(item, attr) ? get_line(context, item, attr) : *next;
}

/*
 * The effect on an interpolated attribute: on the line to the event, which begins
 * where the attribute was set last in this life, and on the line from it.
 */
static void
add_linear(const CtReadContext *context, const CtTimeline *timeline, const CtEntering *entering,
		   int attr, CtEffect *effect)
{
	const CtValue *before = &entering->before->value[attr];
	int64_t time = entering->item->time;
	CtLayout scratch;
	CtItem item;
	bool found = ct_next_override(context, timeline, entering->spot, attr, &item, &scratch);
	CtLine next = get_line(context, found ? &item : NULL, attr);
	bool touched = touches_attribute(entering->item, attr) ||
				   (entering->duplicate != NULL && touches_attribute(entering->duplicate, attr));
	bool widely = entering->widely && touched;

	CT_ASSERT(context->schema->attr[attr].linear);
	if (entering->before->present && before->kind == CT_VALUE_NUMBER && before->was_set)
	{
		CtLine with = get_line_before(context, entering->item, &next, attr);
		CtLine without = get_line_before(context, entering->duplicate, &next, attr);

		if (widely || !same_slopes(before, &with, &without))
			extend_effect(effect, before->time, time);
	}
	if (widely || !same_lines(&entering->with->value[attr], &entering->without->value[attr], &next))
		extend_effect(effect, time, found ? item.time : INT64_MAX);
}

/* Return the spot before all events at or after the instant. */
static CtSpot
find_spot(const CtReadContext *context, const CtTimeline *timeline, int64_t time)
{
	CtRef *at = (CtRef *) &timeline->root;
	CtSpot spot = {.depth = 0};
	CtRun run;

	if (timeline->root != 0 &&
		(timeline->tail_count == 0 || ct_tail_row(context->arena, timeline, 0)->time >= time))
	{
		for (; spot.depth < timeline->height; spot.depth++)
		{
			CtInner *inner = ct_ptr(context->arena, *at);
			uint32_t i = ct_node_until(inner, time - 1);

			i -= i > 0;
			spot.inner[spot.depth] = inner;
			spot.index[spot.depth] = i;
			at = &ct_node_child(inner)[i];
		}
		spot.leaf = at;
	}
	ct_spot_run(context, timeline, &spot, &run);
	spot.position = ct_run_until(&run, time - 1);
	return spot;
}

/*
 * True if the position is the same with and without the event, after the events
 * behind it at the same instant.  Only events of the same block are considered.
 */
static bool
ends_same(const CtReadContext *context, const CtTimeline *timeline,
		  const CtEntering *entering, int attr)
{
	CtLayout scratch;
	CtState with;
	CtState without;
	CtRun run;
	bool same_rate;

	ct_state_copy(&with, entering->with);
	ct_state_copy(&without, entering->without);
	ct_spot_run(context, timeline, entering->spot, &run);
	for (uint32_t i = entering->spot->position; i < run.count; i++)
	{
		CtItem item = ct_run_item(&run, i, &scratch);

		if (item.time != entering->item->time)
			break;
		ct_state_add_item(context, &with, &item);
		ct_state_add_item(context, &without, &item);
	}
	return ct_motion_equal(&with.value[attr], &without.value[attr], &same_rate);
}

/*
 * The effect on an attribute that moves lasts until the attribute is overridden.
 * If its rate differs, the attribute must be overridden when, or after, the rate
 * has been.
 */
static void
add_motion(const CtReadContext *context, const CtTimeline *timeline, const CtEntering *entering,
		   int attr, CtEffect *effect)
{
	int64_t time = entering->item->time;
	CtSpot spot = *entering->spot;
	CtLayout scratch;
	CtItem item;
	bool same_rate;
	bool found = true;

	CT_ASSERT(ct_moves(&context->schema->attr[attr]));
	if (ct_motion_equal(&entering->with->value[attr], &entering->without->value[attr],
						&same_rate) &&
		!entering->widely)
		return;
	if (!same_rate || entering->widely)
	{
		found = ct_next_override(context, timeline, &spot, context->schema->attr[attr].rate_attr,
								 &item, &scratch);
		if (found && item.time > time)
			spot = find_spot(context, timeline, item.time);
		else if (found && !entering->widely && ends_same(context, timeline, entering, attr))
			return;
	}
	if (found)
		found = ct_next_override(context, timeline, &spot, attr, &item, &scratch);
	extend_effect(effect, time, found ? item.time : INT64_MAX);
}

/* Extend *effect by the effect of an event on attributes that change between events. */
void
ct_effect_between(const CtReadContext *context, const CtTimeline *timeline,
				  const CtEntering *entering, CtEffect *effect)
{
	for (uint64_t rest = context->linear; rest != 0; rest &= rest - 1)
		add_linear(context, timeline, entering, __builtin_ctzll(rest), effect);
	for (uint64_t rest = context->moving; rest != 0; rest &= rest - 1)
		add_motion(context, timeline, entering, __builtin_ctzll(rest), effect);
}
