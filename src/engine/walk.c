/*
 * walk.c
 *	  The walk over the events of a timeline that a reader sees.
 *
 * Called by fold.c and between.c.
 *
 * Concurrency: see walk.h.
 *
 * It relies on the invariants T1, T2, T4, T5 (timeline.c) and N3 (node.c).
 *
 * Not here: what is done with the events (fold.c, between.c), snapshots
 * (snapshot.c).
 */
#include "engine/walk.h"

/* Go to the next block.  Inlined, as each caller has one direction. */
static inline __attribute__((always_inline)) bool
next_block(CtWalk *walk, bool backward, CtRun *run)
{
	const CtSight *sight = walk->sight;
	uint32_t i;

	if (backward && walk->tail_left)
	{
		walk->tail_left = false;
		ct_tail_run(sight->context, sight->timeline, run);
		if (run->count > 0)
			return true;
	}
	while (ct_walk_child(walk, backward, &i))
	{
		const CtInner *inner = ct_walk_node(walk);
		CtRef child = ct_node_child(inner)[i];

		if (ct_sight_hides(sight, inner, i))
			continue;
		if (ct_walk_above_leaves(walk))
		{
			ct_leaf_run(sight->context, ct_ptr(sight->context->arena, child), run);
			return true;
		}
		ct_walk_enter(walk, child);
	}
	if (!walk->tail_left)
		return false;
	walk->tail_left = false;
	ct_tail_run(sight->context, sight->timeline, run);
	return run->count > 0;
}

/*
 * Set *run to the next leaf that may have a visible event, or to the tail.  False:
 * there is none.
 */
bool
ct_walk_block(CtWalk *walk, CtRun *run)
{
	return next_block(walk, false, run);
}

/* Return the path to the block that ct_walk_block() has returned. */
uint64_t
ct_walk_path(const CtWalk *walk)
{
	uint64_t path = 0;

	if (!walk->tail_left)
		return CT_PATH_TAIL;
	CT_ASSERT(walk->depth > 0);
	for (int depth = 0; depth < walk->depth; depth++)
		path |= (uint64_t) walk->child[depth] << depth * CT_PATH_BITS;
	return path;
}

/*
 * Let a walk that has just begun go on at a block.  The path is of a walk with the same
 * end and the same snapshot, and the timeline has not changed since, or it is torn.
 */
void
ct_walk_resume(CtWalk *walk, uint64_t path)
{
	if (path >= CT_PATH_TAIL)
	{
		walk->depth = 0;
		walk->tail_left = path == CT_PATH_TAIL;
		return;
	}
	while (walk->depth > 0)
	{
		uint32_t *children = &walk->children[walk->depth - 1];
		uint32_t i = path >> (walk->depth - 1) * CT_PATH_BITS & ((1 << CT_PATH_BITS) - 1);

		*children &= ~ct_bits_below(i);
		if (ct_walk_above_leaves(walk) || (*children >> i & 1) == 0)
			return;
		*children &= ~(UINT32_C(1) << i);
		walk->child[walk->depth - 1] = (uint8_t) i;
		ct_walk_enter(walk, ct_node_child(ct_walk_node(walk))[i]);
	}
}

/* Return how many of a sorted run of recent events are before the instant. */
uint32_t
ct_sight_before(const CtSight *sight, const CtRef *recent, uint32_t count, int64_t time)
{
	uint32_t low = 0;

	while (low < count)
	{
		uint32_t middle = low + (count - low) / 2;

		if (ct_sight_event(sight, recent[middle])->time < time)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

/*
 * Return the entered event that a cancelling recent one replaces: it has the same
 * instant and kind, but not always with id_of_key.  (If it is not found, it is torn.)
 */
CtItem
ct_cancelled_item(const CtReadContext *context, const CtTimeline *timeline, CtRef ref,
				  CtLayout *scratch)
{
	CtItem item = ct_event_item(context, ct_ptr(context->arena, ref), scratch);
	CtSpot spot;
	CtRun run;

	if (!context->schema->id_of_key ||
		!ct_timeline_find_duplicate(context, timeline, &item, &spot))
		return item;
	ct_spot_run(context, timeline, &spot, &run);
	return ct_run_item(&run, spot.position - 1, scratch);
}

/* Return the instant of the entered event that a cancelling one replaces or retracts. */
int64_t
ct_cancelled_time(const CtSight *sight, CtRef ref)
{
	CtLayout scratch;

	if (!sight->context->schema->id_of_key)
		return ct_sight_event(sight, ref)->time;
	return ct_cancelled_item(sight->context, sight->timeline, ref, &scratch).time;
}

/* Return how many of a sorted run of cancelling events are for entered ones before the instant. */
uint32_t
ct_cancelled_before(const CtSight *sight, const CtRef *cancelled, uint32_t count, int64_t time)
{
	uint32_t low = 0;

	if (!sight->context->schema->id_of_key)
		return ct_sight_before(sight, cancelled, count, time);
	while (low < count)
	{
		uint32_t middle = low + (count - low) / 2;

		if (ct_cancelled_time(sight, cancelled[middle]) < time)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

/* True if a recent event replaces the entered one, as its duplicate. */
bool
ct_sight_replaces(const CtSight *sight, const CtItem *item)
{
	const CtRuns *runs = sight->runs;
	uint32_t i;

	if (runs == NULL || runs->ncancelled == 0)
		return false;
	i = ct_cancelled_before(sight, runs->cancelled, runs->ncancelled, item->time);
	for (; i < runs->ncancelled; i++)
	{
		CtLayout scratch;
		CtItem recent =
			ct_event_item(sight->context, ct_sight_event(sight, runs->cancelled[i]), &scratch);

		if (ct_cancelled_time(sight, runs->cancelled[i]) != item->time)
			return false;
		if (ct_item_is_duplicate(sight->context, &recent, item))
			return true;
	}
	return false;
}

/* True if a visible entered event may be replaced by one at another instant. */
static inline bool
may_be_elsewhere(const CtSight *sight)
{
	return sight->context->schema->id_of_key && sight->runs != NULL &&
		   sight->runs->ncancelled > 0;
}

/* True if it is. */
static bool
is_elsewhere(const CtSight *sight, const CtRun *run, uint32_t i)
{
	CtLayout scratch;
	CtItem item = ct_run_item(run, i, &scratch);

	return ct_sight_replaces(sight, &item);
}

/*
 * Set *time to the first instant in [from, until] that has a visible event.  False:
 * there is none.  A cancelled event counts, as its duplicate is among the extra
 * ones, at the same instant.
 */
bool
ct_sight_next(const CtSight *sight, int64_t from, int64_t until, int64_t *time)
{
	const CtRuns *runs = sight->runs;
	bool elsewhere = may_be_elsewhere(sight);
	bool found = false;
	CtWalk walk;
	CtRun run;

	CT_ASSERT(runs == NULL || runs->nextra == 0 || runs->extra != NULL);
	ct_walk_begin(&walk, sight, from, until, -1);
	while (!found && next_block(&walk, false, &run))
	{
		uint32_t i = from > INT64_MIN ? ct_run_until(&run, from - 1) : 0;

		for (; i < run.count && !found; i++)
		{
			*time = ct_run_time(&run, i);
			found = ct_sight_sees(sight, ct_run_label(&run, i)) &&
					!(elsewhere && is_elsewhere(sight, &run, i));
		}
	}
	if (runs != NULL)
	{
		uint32_t i = ct_sight_before(sight, runs->extra, runs->nextra, from);

		if (i < runs->nextra)
		{
			int64_t extra = ct_sight_event(sight, runs->extra[i])->time;

			*time = found && *time < extra ? *time : extra;
			found = true;
		}
	}
	return found && *time <= until;
}

/*
 * Set *time to the last instant up to `until` that has a visible event; a cancelled
 * event counts, too.  False: there is none.
 */
bool
ct_sight_latest(const CtSight *sight, int64_t until, int64_t *time)
{
	const CtRuns *runs = sight->runs;
	uint32_t extras = runs == NULL ? 0 : runs->nextra;
	bool elsewhere = may_be_elsewhere(sight);
	bool found = false;
	CtWalk walk;
	CtRun run;

	ct_walk_begin(&walk, sight, INT64_MIN, until, -1);
	while (!found && next_block(&walk, true, &run))
	{
		for (uint32_t i = ct_run_until(&run, until); i > 0 && !found; i--)
		{
			*time = ct_run_time(&run, i - 1);
			found = ct_sight_sees(sight, ct_run_label(&run, i - 1)) &&
					!(elsewhere && is_elsewhere(sight, &run, i - 1));
		}
	}
	if (extras > 0 && until < INT64_MAX)
		extras = ct_sight_before(sight, runs->extra, extras, until + 1);
	if (extras > 0)
	{
		int64_t extra = ct_sight_event(sight, runs->extra[extras - 1])->time;

		*time = found && *time > extra ? *time : extra;
		found = true;
	}
	return found;
}
