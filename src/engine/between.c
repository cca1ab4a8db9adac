/*
 * between.c
 *	  What columns show between events: interpolated ones, and those that move.
 *
 *	  linear	 ·──·		a fold gives the last value set, and when it was;
 *				╱			what is shown lies on the line to the next visible
 *			  ·╱			event in order that sets it, if there is one and it
 *							is not a finish or a NULL: then the value is held
 *	  moving				a fold gives position and rate (motion.c)
 *
 * What is shown cannot be folded on, so what was folded is kept beside it, in
 * CtState.folded, for ct_timeline_step().
 *
 * The next event is found by descent through the columns' masks: O(log n), but
 * for events that set the attribute and are not seen.
 *
 * Called by fold.c.
 *
 * Concurrency: as fold.c.  What was folded may be torn: all that is certain of
 * it is what is looked at here.
 *
 * Not here: the fold itself, and effects on other columns (fold.c).
 */
#include <string.h>

#include "timeline.h"

/* ---- what is seen --------------------------------------------------------------- */

/* As in fold.c: a torn tree has no end. */
static inline bool
is_torn(const CtSight *sight)
{
	return atomic_load_explicit(&sight->timeline->sequence, memory_order_relaxed) !=
		   sight->sequence;
}

/* (While a store is widened, masks may say more than the description.) */
static inline uint64_t
attrs_of(const CtShape *shape, uint64_t mask)
{
	uint32_t nattrs = shape->schema->nattrs;

	return nattrs < 64 ? mask & ((UINT64_C(1) << nattrs) - 1) : mask;
}

static bool
sees(const CtSight *sight, const CtRun *run, uint32_t i)
{
	uint32_t label = ct_run_label(run, i);

	return label == 0 || sight->snapshot == NULL ||
		   ct_snapshot_sees(sight->snapshot, ct_label_top(sight->newest_top, label));
}

/* Can nothing in child i be seen? */
static bool
is_hidden(const CtSight *sight, const CtInner *inner, uint32_t i)
{
	return sight->snapshot != NULL && (inner->frozen >> i & 1) == 0 &&
		   ct_node_lo(inner)[i] >= sight->snapshot->xmax;
}

static inline const CtEvent *
event_at(const CtSight *sight, CtRef ref)
{
	return ct_ptr(sight->shape->arena, ref);
}

/* The first of a sorted run of recent events that is behind the instant. */
static uint32_t
recent_behind(const CtSight *sight, const CtRef *recent, uint32_t count, int64_t time)
{
	uint32_t low = 0;

	while (low < count)
	{
		uint32_t middle = low + (count - low) / 2;

		if (event_at(sight, recent[middle])->time <= time)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

/* Does a recent twin take the place of an entered event? */
static bool
is_cancelled(const CtSight *sight, const CtItem *item)
{
	const CtRuns *runs = sight->runs;
	uint32_t i;

	if (runs == NULL || runs->ncancelled == 0)
		return false;
	i = recent_behind(sight, runs->cancelled, runs->ncancelled, item->time);
	for (; i > 0 && event_at(sight, runs->cancelled[i - 1])->time == item->time; i--)
	{
		CtForm scratch;
		CtItem recent =
			ct_event_item(sight->shape, event_at(sight, runs->cancelled[i - 1]), &scratch);

		if (ct_item_cmp_identity(sight->shape, &recent, item) == 0)
			return true;
	}
	return false;
}

static inline uint32_t
inner_count(const CtInner *inner)
{
	return inner->count < CT_FANOUT ? inner->count : CT_FANOUT;
}

static inline int
tree_height(const CtTimeline *timeline)
{
	return timeline->height < CT_MAX_HEIGHT ? timeline->height : CT_MAX_HEIGHT;
}

/* ---- the next event that touches ---------------------------------------------------- */

/* What is looked for: the first behind `time`, not behind `until`. */
typedef struct CtProbe
{
	const CtSight *sight;
	int attr;
	int64_t time;
	int64_t until;
	CtItem item; /* what was found */
	CtForm *scratch;
} CtProbe;

static inline bool
touches(const CtItem *item, int attr)
{
	return item->form->kind == CT_FINISH || ct_form_sets(item->form, attr);
}

static bool
run_next_touch(CtProbe *probe, const CtRun *run)
{
	if (!run->finish && (run->set >> probe->attr & 1) == 0)
		return false;
	for (uint32_t i = ct_run_until(run, probe->time); i < run->count; i++)
	{
		probe->item = ct_run_item(run, i, probe->scratch);
		if (probe->item.time > probe->until)
			return false;
		if (touches(&probe->item, probe->attr) && sees(probe->sight, run, i) &&
			!is_cancelled(probe->sight, &probe->item))
			return true;
	}
	return false;
}

/* The children in which there may be one. */
static uint32_t
touching_children(const CtShape *shape, const CtInner *inner, int attr)
{
	const CtColumn *column;

	if ((inner->columns >> attr & 1) == 0)
		return inner->finish;
	column = ct_ptr(shape->arena, ct_node_column(inner)[attr]);
	return column->sets;
}

static bool
node_next_touch(CtProbe *probe, CtRef ref, int height)
{
	const CtShape *shape = probe->sight->shape;
	const CtInner *inner = ct_ptr(shape->arena, ref);
	uint32_t first = ct_node_until(inner, probe->time);
	uint32_t children = touching_children(shape, inner, probe->attr) &
						ct_bits_below(inner_count(inner)) &
						~ct_bits_below(first > 0 ? first - 1 : 0);

	for (; children != 0 && !is_torn(probe->sight); children &= children - 1)
	{
		uint32_t i = (uint32_t) __builtin_ctz(children);
		CtRef child = ct_node_child(inner)[i];
		CtRun run;

		if (inner->time[i] > probe->until)
			return false;
		if (is_hidden(probe->sight, inner, i))
			continue;
		if (height > 1)
		{
			if (node_next_touch(probe, child, height - 1))
				return true;
			continue;
		}
		ct_leaf_run(shape, ct_ptr(shape->arena, child), &run);
		if (run_next_touch(probe, &run))
			return true;
	}
	return false;
}

static bool
entered_next_touch(CtProbe *probe)
{
	const CtTimeline *timeline = probe->sight->timeline;
	CtRun run;

	if (timeline->root != 0 && node_next_touch(probe, timeline->root, tree_height(timeline)))
		return true;
	if (timeline->tail_count == 0)
		return false;
	ct_tail_run(probe->sight->shape, timeline, &run);
	return run_next_touch(probe, &run);
}

/* The same of recent events, if one comes before what was found. */
static bool
recent_next_touch(CtProbe *probe, bool found, CtForm *scratch)
{
	const CtSight *sight = probe->sight;
	const CtRuns *runs = sight->runs;
	uint32_t i;

	if (runs == NULL)
		return false;
	i = recent_behind(sight, runs->extra, runs->nextra, probe->time);
	for (; i < runs->nextra; i++)
	{
		CtItem item = ct_event_item(sight->shape, event_at(sight, runs->extra[i]), scratch);

		if (item.time > probe->until ||
			(found && ct_item_cmp(sight->shape, &item, &probe->item) > 0))
			return false;
		if (touches(&item, probe->attr))
		{
			probe->item = item;
			return true;
		}
	}
	return false;
}

/* ---- showing ------------------------------------------------------------------------ */

static inline bool
gives_value(const CtItem *item, int attr)
{
	return item->form->kind != CT_FINISH && ct_form_sets(item->form, attr) &&
		   !ct_form_nulls(item->form, attr);
}

static inline CtWide
value_given(const CtShape *shape, const CtItem *item, int attr)
{
	return ct_cell_number(&shape->schema->attr[attr],
						  item->record + ct_form_offset(item->form, attr));
}

static void
linear_show(const CtSight *sight, int attr, int64_t time, CtValue *value)
{
	CtForm scratch;
	CtForm other;
	CtProbe probe = {.sight = sight,
					 .attr = attr,
					 .time = time,
					 .until = sight->snapshot == NULL ? INT64_MAX : sight->snapshot->until,
					 .scratch = &scratch};
	bool found;

	if (value->kind != CT_VALUE_NUMBER || !value->was_set || value->time >= time)
		return;
	found = entered_next_touch(&probe);
	found |= recent_next_touch(&probe, found, &other);
	if (found && probe.item.time > time && gives_value(&probe.item, attr))
		value->number = ct_wide_between(value->number, value_given(sight->shape, &probe.item, attr),
										(uint64_t) time - (uint64_t) value->time,
										(uint64_t) probe.item.time - (uint64_t) value->time);
}

/* The instant of a run's last event that is seen, if that is later. */
static bool
run_latest(const CtSight *sight, const CtRun *run, int64_t *time)
{
	for (uint32_t i = run->count; i > 0; i--)
	{
		if (sees(sight, run, i - 1))
		{
			*time = ct_run_time(run, i - 1);
			return true;
		}
	}
	return false;
}

static bool
node_latest(const CtSight *sight, CtRef ref, int height, int64_t *time)
{
	const CtShape *shape = sight->shape;
	const CtInner *inner = ct_ptr(shape->arena, ref);

	for (uint32_t i = inner_count(inner); i > 0 && !is_torn(sight); i--)
	{
		CtRef child = ct_node_child(inner)[i - 1];
		CtRun run;

		if (is_hidden(sight, inner, i - 1))
			continue;
		if (height > 1)
		{
			if (node_latest(sight, child, height - 1, time))
				return true;
			continue;
		}
		ct_leaf_run(shape, ct_ptr(shape->arena, child), &run);
		if (run_latest(sight, &run, time))
			return true;
	}
	return false;
}

/* The instant of the last event that is seen.  (A cancelled one has a twin.) */
static int64_t
latest(const CtSight *sight)
{
	const CtTimeline *timeline = sight->timeline;
	const CtRuns *runs = sight->runs;
	int64_t time = INT64_MIN;
	bool found = false;
	CtRun run;

	if (timeline->tail_count != 0)
	{
		ct_tail_run(sight->shape, timeline, &run);
		found = run_latest(sight, &run, &time);
	}
	if (!found && timeline->root != 0)
		found = node_latest(sight, timeline->root, tree_height(timeline), &time);
	if (!found && timeline->base != 0)
		time = ((const CtBase *) ct_ptr(sight->shape->arena, timeline->base))->time;
	if (runs != NULL && runs->nextra > 0)
	{
		int64_t recent = event_at(sight, runs->extra[runs->nextra - 1])->time;

		time = recent > time ? recent : time;
	}
	return time;
}

/*
 * The state at the instant is folded: show it there.  After everything known,
 * at INT64_MAX, what moves is where the last event found it.
 */
void
ct_state_show_between(const CtSight *sight, int64_t time, CtState *state)
{
	const CtSchema *schema = sight->shape->schema;
	uint64_t linear = attrs_of(sight->shape, sight->shape->linear);
	uint64_t moving = attrs_of(sight->shape, sight->shape->moving);

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

		linear_show(sight, i, time, &state->value[i]);
	}
	if (moving != 0 && time == INT64_MAX)
		time = latest(sight);
	for (uint64_t rest = moving; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);

		ct_motion_show(schema, &schema->attr[i], &state->value[i], time);
	}
}

/* A state that was shown is to be folded on. */
void
ct_state_resume(const CtShape *shape, CtState *state)
{
	for (uint64_t rest = shape->linear | shape->moving; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);

		if (i >= state->nattrs)
			break;
		state->value[i] = state->folded[i];
	}
}

/* ---- effects ------------------------------------------------------------------------- */

static inline void
effect_add(CtEffect *effect, int64_t from, int64_t to)
{
	effect->from = from < effect->from ? from : effect->from;
	effect->to = to > effect->to ? to : effect->to;
}

/* Where a line that begins somewhere goes; nowhere: the value is held. */
typedef struct CtLine
{
	bool goes;
	int64_t time;
	CtWide number;
} CtLine;

static CtLine
line_to(const CtShape *shape, const CtItem *item, int attr)
{
	if (item == NULL || !gives_value(item, attr))
		return (CtLine){.goes = false};
	return (CtLine){true, item->time, value_given(shape, item, attr)};
}

/* How far it rises in so many instants, times those of another line. */
static inline CtWide
rise(CtWide from, CtWide to, int64_t since, int64_t until)
{
	uint64_t span = (uint64_t) until - (uint64_t) since;

	return ct_wide_times(wide_subtract(to, from), (CtWide){{span, 0, 0}});
}

/* Do two lines from one place go the same way? */
static bool
same_way(const CtValue *from, const CtLine *a, const CtLine *b)
{
	bool a_flat = !a->goes || wide_same(a->number, from->number);
	bool b_flat = !b->goes || wide_same(b->number, from->number);

	if (a_flat || b_flat)
		return a_flat && b_flat;
	return wide_same(rise(from->number, a->number, from->time, b->time),
					 rise(from->number, b->number, from->time, a->time));
}

/* Are two lines that end alike the same? */
static bool
same_line(const CtValue *a, const CtValue *b, const CtLine *to)
{
	bool a_flat;
	bool b_flat;

	if (a->kind != CT_VALUE_NUMBER || b->kind != CT_VALUE_NUMBER)
		return a->kind == b->kind;
	a_flat = !to->goes || !a->was_set || wide_same(to->number, a->number);
	b_flat = !to->goes || !b->was_set || wide_same(to->number, b->number);
	if (a_flat || b_flat)
		return a_flat && b_flat && wide_same(a->number, b->number);
	return wide_same(rise(a->number, to->number, b->time, to->time),
					 rise(b->number, to->number, a->time, to->time));
}

/* Where the line from before the event goes: to it, or to what is next. */
static CtLine
line_before(const CtShape *shape, const CtItem *item, const CtLine *next, int attr)
{
	return item != NULL && touches(item, attr) ? line_to(shape, item, attr) : *next;
}

/*
 * An attribute that is interpolated: the line to the event, which begins where
 * it was last set in this life, and the line from it.
 */
static void
linear_effect(const CtShape *shape, const CtTimeline *timeline, const CtEntering *entering,
			  int attr, CtEffect *effect)
{
	const CtValue *before = &entering->before->value[attr];
	int64_t time = entering->item->time;
	CtForm scratch;
	CtItem item;
	bool found = ct_next_override(shape, timeline, entering->spot, attr, &item, &scratch);
	CtLine next = line_to(shape, found ? &item : NULL, attr);
	bool touched = touches(entering->item, attr) ||
				   (entering->twin != NULL && touches(entering->twin, attr));
	bool widely = entering->widely && touched;

	if (entering->before->present && before->kind == CT_VALUE_NUMBER && before->was_set)
	{
		CtLine with = line_before(shape, entering->item, &next, attr);
		CtLine without = line_before(shape, entering->twin, &next, attr);

		if (widely || !same_way(before, &with, &without))
			effect_add(effect, before->time, time);
	}
	if (widely ||
		!same_line(&entering->with->value[attr], &entering->without->value[attr], &next))
		effect_add(effect, time, found ? item.time : INT64_MAX);
}

/* The spot before everything at the instant or behind it. */
static CtSpot
spot_at(const CtShape *shape, const CtTimeline *timeline, int64_t time)
{
	CtRef *at = (CtRef *) &timeline->root;
	CtSpot spot = {.depth = 0};
	CtRun run;

	if (timeline->root != 0 && (timeline->tail_count == 0 ||
								ct_tail_row(shape->arena, timeline, 0)->time >= time))
	{
		for (; spot.depth < timeline->height; spot.depth++)
		{
			CtInner *inner = ct_ptr(shape->arena, *at);
			uint32_t i = ct_node_until(inner, time - 1);

			i -= i > 0;
			spot.inner[spot.depth] = inner;
			spot.index[spot.depth] = i;
			at = &ct_node_child(inner)[i];
		}
		spot.leaf = at;
	}
	ct_spot_run(shape, timeline, &spot, &run);
	spot.position = ct_run_until(&run, time - 1);
	return spot;
}

/*
 * Is a place the same, with the event and without, when all that is behind it at
 * its instant has been applied, too?  (In its block: the rest is not looked for.)
 */
static bool
same_in_the_end(const CtShape *shape, const CtTimeline *timeline, const CtEntering *entering,
				int attr)
{
	CtForm scratch;
	CtState with;
	CtState without;
	CtRun run;
	bool same_rate;

	ct_state_copy(&with, entering->with);
	ct_state_copy(&without, entering->without);
	ct_spot_run(shape, timeline, entering->spot, &run);
	for (uint32_t i = entering->spot->position; i < run.count; i++)
	{
		CtItem item = ct_run_item(&run, i, &scratch);

		if (item.time != entering->item->time)
			break;
		ct_state_add_item(shape, &with, &item);
		ct_state_add_item(shape, &without, &item);
	}
	return ct_motion_equal(&with.value[attr], &without.value[attr], &same_rate);
}

/*
 * An attribute that moves: until it is overridden, and if its rate differs,
 * too, until that happens after the rate was overridden, or with it.
 */
static void
motion_effect(const CtShape *shape, const CtTimeline *timeline, const CtEntering *entering,
			  int attr, CtEffect *effect)
{
	int64_t time = entering->item->time;
	CtSpot spot = *entering->spot;
	CtForm scratch;
	CtItem item;
	bool same_rate;
	bool found = true;

	if (ct_motion_equal(&entering->with->value[attr], &entering->without->value[attr],
						&same_rate) && !entering->widely)
		return;
	if (!same_rate || entering->widely)
	{
		found = ct_next_override(shape, timeline, &spot, shape->schema->attr[attr].rate_attr,
								 &item, &scratch);
		if (found && item.time > time)
			spot = spot_at(shape, timeline, item.time);
		else if (found && !entering->widely && same_in_the_end(shape, timeline, entering, attr))
			return;
	}
	if (found)
		found = ct_next_override(shape, timeline, &spot, attr, &item, &scratch);
	effect_add(effect, time, found ? item.time : INT64_MAX);
}

/* The effect of an event on attributes that change between events. */
void
ct_effect_between(const CtShape *shape, const CtTimeline *timeline, const CtEntering *entering,
				  CtEffect *effect)
{
	for (uint64_t rest = shape->linear; rest != 0; rest &= rest - 1)
		linear_effect(shape, timeline, entering, __builtin_ctzll(rest), effect);
	for (uint64_t rest = shape->moving; rest != 0; rest &= rest - 1)
		motion_effect(shape, timeline, entering, __builtin_ctzll(rest), effect);
}
