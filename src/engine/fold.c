/*
 * fold.c
 *	  Reads: the state of a key at an instant, and how it goes on from there.
 *
 * A fold descends the tree once, left to right, with the caller's two runs
 * beside it: extra events (recent ones the snapshot sees) and cancelled ones
 * (entered events that yield to a twin among the extras).  A subtree's summary
 * is applied as a whole when
 *
 *	 - all its events are within the bounds of the fold,
 *	 - no extra and no cancelled event lies between them, and
 *	 - the snapshot sees all of them: hi < xmin, or hi < xmax and nothing in
 *	   progress within [lo, hi].
 *
 * It is skipped when all its ids are at or above xmax.  Otherwise the descent
 * goes on, so a fold costs O((m + 1) log n) for m events that split it.
 *
 * Called by scans through engine.h, and by store.c to tell what a late event
 * changed.
 *
 * Concurrency: under the partition's lock, shared.  Nothing here writes to the
 * region.
 *
 * Invariants:
 *	 F1  Extras at or before T are applied in the order of events, each exactly
 *		 once, between the entered events they lie between.
 *	 F2  What is skipped or applied as a whole holds no extra and no cancelled
 *		 event, so the two runs are never out of step.
 *
 * Not here: which recent events are visible (the caller), changes (timeline.c).
 */
#include "timeline.h"

#include <string.h>

typedef struct CtFold
{
	const CtShape *shape;
	const CtTimeline *timeline;
	const CtSnapshot *snapshot; /* NULL: everything that has entered */
	int64_t from;               /* instants folded, both included */
	int64_t to;
	const CtEvent *before; /* and at `to` only what precedes this event, */
	bool inclusive;        /* or is its equal */
	const CtRef *extra;
	const CtRef *cancelled;
	uint32_t nextra; /* what is left of both runs */
	uint32_t ncancelled;
	CtState *state;
} CtFold;

/* The first event behind a subtree; ref 0: there is none. */
typedef struct CtBound
{
	int64_t time;
	CtRef ref;
} CtBound;

static inline const CtEvent *
event_at(const CtFold *fold, CtRef ref)
{
	return ct_ptr(fold->shape->arena, ref);
}

/* Is the event before the bound? */
static bool
precedes(const CtFold *fold, CtRef ref, const CtBound *bound)
{
	const CtEvent *event = event_at(fold, ref);

	if (event->time != bound->time)
		return event->time < bound->time;
	return ct_event_cmp(fold->shape->schema, event, event_at(fold, bound->ref)) < 0;
}

/* Is an entered event behind the end of the fold? */
static bool
is_beyond(const CtFold *fold, int64_t time, CtRef ref)
{
	int order;

	if (time != fold->to || fold->before == NULL)
		return time > fold->to;
	order = ct_event_cmp(fold->shape->schema, event_at(fold, ref), fold->before);
	return order > 0 || (order == 0 && !fold->inclusive);
}

/* ---- the two tests on a subtree's transactions --------------------------------- */

/* Is a transaction in progress within [lo, hi]? */
static bool
any_in_progress(const CtSnapshot *snapshot, uint64_t lo, uint64_t hi)
{
	uint32_t low = 0;
	uint32_t high = snapshot->nxip;

	while (low < high)
	{
		uint32_t middle = low + (high - low) / 2;

		if (snapshot->xip[middle] < lo)
			low = middle + 1;
		else
			high = middle;
	}
	return low < snapshot->nxip && snapshot->xip[low] <= hi;
}

static inline bool
sees(const CtFold *fold, const CtEvent *event)
{
	return fold->snapshot == NULL || ct_snapshot_sees(fold->snapshot, event->top);
}

static bool
sees_all(const CtSnapshot *snapshot, const CtEntry *entry)
{
	if (snapshot == NULL || entry->hi == 0 || entry->hi < snapshot->xmin)
		return true;
	return entry->hi < snapshot->xmax && !any_in_progress(snapshot, entry->lo, entry->hi);
}

static bool
sees_none(const CtSnapshot *snapshot, const CtEntry *entry)
{
	return snapshot != NULL && !entry->frozen && entry->lo >= snapshot->xmax;
}

/* ---- folding -------------------------------------------------------------------- */

/* Apply the extras before the bound. */
static void
add_extras(CtFold *fold, const CtBound *bound)
{
	while (fold->nextra > 0 && precedes(fold, *fold->extra, bound))
	{
		ct_state_add_event(fold->shape, fold->state, event_at(fold, *fold->extra));
		fold->extra++;
		fold->nextra--;
	}
}

/* Does the next event of a run lie in the subtree that ends at the bound? */
static bool
is_split(const CtFold *fold, const CtBound *bound)
{
	CtBound newest;

	if (bound->ref != 0)
		return (fold->nextra > 0 && precedes(fold, *fold->extra, bound)) ||
			   (fold->ncancelled > 0 && precedes(fold, *fold->cancelled, bound));
	newest.ref = fold->timeline->newest;
	newest.time = event_at(fold, newest.ref)->time;
	return fold->ncancelled > 0 || (fold->nextra > 0 && precedes(fold, *fold->extra, &newest));
}

/* Are all events of the subtree within the fold, as far as is easily known? */
static bool
is_within(const CtFold *fold, const CtEntry *entry, const CtBound *bound)
{
	CtRef newest = fold->timeline->newest;

	if (entry->time < fold->from)
		return false;
	if (bound->ref != 0)
		return !is_beyond(fold, bound->time, bound->ref);
	return !is_beyond(fold, event_at(fold, newest)->time, newest);
}

/* True: the end of the fold was reached. */
static bool
fold_leaf(CtFold *fold, const CtLeaf *leaf)
{
	uint32_t count = leaf->count < CT_LEAF_EVENTS ? leaf->count : CT_LEAF_EVENTS;
	const CtRef *ref = ct_leaf_events(leaf);
	uint32_t first = 0;
	uint32_t end;

	while (first < count && leaf->time[first] < fold->from)
		first++;
	for (end = first; end < count && leaf->time[end] <= fold->to;)
		end++;
	ct_leaf_prefetch(fold->shape->arena, leaf, first, end);
	for (uint32_t i = first; i < end; i++)
	{
		CtBound here = {leaf->time[i], ref[i]};
		const CtEvent *event;

		if (is_beyond(fold, here.time, here.ref))
			return true;
		add_extras(fold, &here);
		if (fold->ncancelled > 0 && *fold->cancelled == ref[i])
		{
			fold->cancelled++;
			fold->ncancelled--;
			continue;
		}
		event = event_at(fold, ref[i]);
		if (sees(fold, event))
			ct_state_add_event(fold->shape, fold->state, event);
	}
	return end < count;
}

/* What lies behind child i, given what lies behind the node. */
static CtBound
bound_of(const CtInner *inner, uint32_t count, uint32_t i, const CtBound *bound)
{
	CtBound next;

	if (i + 1 == count)
		return *bound;
	next.time = inner->entry[i + 1].time;
	next.ref = inner->entry[i + 1].first;
	return next;
}

static inline uint32_t
inner_count(const CtInner *inner)
{
	return inner->count < CT_FANOUT ? inner->count : CT_FANOUT;
}

static bool fold_entry(CtFold *fold, const CtEntry *entry, int height, const CtBound *bound);

static bool
fold_inner(CtFold *fold, const CtInner *inner, int height, const CtBound *bound)
{
	uint32_t count = inner_count(inner);

	for (uint32_t i = 0; i < count && inner->entry[i].time <= fold->to; i++)
		__builtin_prefetch(ct_ptr(fold->shape->arena, inner->entry[i].summary));
	for (uint32_t i = 0; i < count; i++)
	{
		CtBound next = bound_of(inner, count, i, bound);

		if (fold_entry(fold, &inner->entry[i], height - 1, &next))
			return true;
	}
	return false;
}

/* One subtree.  True: the end of the fold was reached. */
static bool
fold_entry(CtFold *fold, const CtEntry *entry, int height, const CtBound *bound)
{
	CtBound here = {entry->time, entry->first};

	if (bound->ref != 0 && bound->time < fold->from)
		return false;
	if (is_beyond(fold, here.time, here.ref))
		return true;
	if (here.time >= fold->from)
		add_extras(fold, &here);
	if (!is_split(fold, bound))
	{
		if (sees_none(fold->snapshot, entry))
			return false;
		if (entry->summary != 0 && sees_all(fold->snapshot, entry) && is_within(fold, entry, bound))
		{
			ct_state_add(fold->shape, fold->state, ct_ptr(fold->shape->arena, entry->summary));
			return false;
		}
	}
	return height == 0 ? fold_leaf(fold, ct_ptr(fold->shape->arena, entry->child))
					   : fold_inner(fold, ct_ptr(fold->shape->arena, entry->child), height, bound);
}

static void
fold_run(CtFold *fold)
{
	CtBound end = {0, 0};
	int height = fold->timeline->height;

	if (fold->timeline->root.child != 0)
		fold_entry(fold, &fold->timeline->root, height < CT_MAX_HEIGHT ? height : CT_MAX_HEIGHT,
				   &end);
	for (; fold->nextra > 0; fold->nextra--, fold->extra++)
		ct_state_add_event(fold->shape, fold->state, event_at(fold, *fold->extra));
	ct_state_resolve(fold->shape->schema, fold->state);
}

/* How many of a sorted run are before the instant. */
static uint32_t
run_before(const CtFold *fold, const CtRef *run, uint32_t count, int64_t time)
{
	uint32_t low = 0;

	while (low < count)
	{
		uint32_t middle = low + (count - low) / 2;

		if (event_at(fold, run[middle])->time < time)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

/* Restrict a run to the instants of the fold. */
static void
run_clip(const CtFold *fold, const CtRef **run, uint32_t *count)
{
	uint32_t first = run_before(fold, *run, *count, fold->from);
	uint32_t end = *count;

	if (fold->to < INT64_MAX)
		end = run_before(fold, *run, *count, fold->to + 1);
	*run += first;
	*count = end - first;
}

static void
fold_between(CtFold *fold, const CtRuns *runs, int64_t from, int64_t to)
{
	fold->from = from;
	fold->to = to;
	if (runs != NULL)
	{
		fold->extra = runs->extra;
		fold->nextra = runs->nextra;
		fold->cancelled = runs->cancelled;
		fold->ncancelled = runs->ncancelled;
		run_clip(fold, &fold->extra, &fold->nextra);
		run_clip(fold, &fold->cancelled, &fold->ncancelled);
	}
	fold_run(fold);
}

void
ct_timeline_fold(const CtArena *arena, CtRef store, CtRef timeline, int64_t time,
				 const CtSnapshot *snapshot, const CtRuns *runs, CtState *state)
{
	CtShape shape = ct_store_shape(arena, ct_ptr(arena, store));
	CtFold fold = {
		.shape = &shape, .timeline = ct_ptr(arena, timeline), .snapshot = snapshot, .state = state};

	ct_state_initial(shape.schema, state);
	fold_between(&fold, runs, INT64_MIN, time);
}

/* ---- going on ---------------------------------------------------------------------- */

/*
 * The instant of the first entered event at or after fold->from that the
 * snapshot sees, if there is one.  A cancelled one will do, for its twin is an
 * extra of the same instant.
 */
static bool
next_instant(const CtFold *fold, CtRef ref, int height, const CtBound *bound, int64_t *time)
{
	const CtInner *inner = ct_ptr(fold->shape->arena, ref);
	const CtLeaf *leaf = ct_ptr(fold->shape->arena, ref);
	uint32_t count;

	if (height == 0)
	{
		count = leaf->count < CT_LEAF_EVENTS ? leaf->count : CT_LEAF_EVENTS;
		for (uint32_t i = 0; i < count; i++)
		{
			if (leaf->time[i] >= fold->from && sees(fold, event_at(fold, ct_leaf_events(leaf)[i])))
			{
				*time = leaf->time[i];
				return true;
			}
		}
		return false;
	}
	count = inner_count(inner);
	for (uint32_t i = 0; i < count; i++)
	{
		CtBound next = bound_of(inner, count, i, bound);

		if (next.ref != 0 && next.time < fold->from)
			continue;
		if (sees_none(fold->snapshot, &inner->entry[i]))
			continue;
		if (next_instant(fold, inner->entry[i].child, height - 1, &next, time))
			return true;
	}
	return false;
}

bool
ct_timeline_step(const CtArena *arena, CtRef store, CtRef timeline, int64_t *time, int64_t until,
				 const CtSnapshot *snapshot, const CtRuns *runs, CtState *state)
{
	CtShape shape = ct_store_shape(arena, ct_ptr(arena, store));
	CtFold fold = {
		.shape = &shape, .timeline = ct_ptr(arena, timeline), .snapshot = snapshot, .state = state};
	CtBound end = {0, 0};
	int64_t next = 0;
	bool found = false;

	if (*time >= until)
		return false;
	fold.from = *time + 1;
	if (fold.timeline->root.child != 0)
		found = next_instant(&fold, fold.timeline->root.child, fold.timeline->height, &end, &next);
	if (runs != NULL)
	{
		uint32_t i = run_before(&fold, runs->extra, runs->nextra, fold.from);

		if (i < runs->nextra)
		{
			int64_t extra = event_at(&fold, runs->extra[i])->time;

			next = found && next < extra ? next : extra;
			found = true;
		}
	}
	if (!found || next > until)
		return false;
	*time = next;
	fold_between(&fold, runs, next, next);
	return true;
}

/* ---- runs --------------------------------------------------------------------------- */

/* Merge sort, bottom up: `scratch` has room for as many. */
static void
run_sort(const CtShape *shape, CtRef *run, CtRef *scratch, uint32_t count)
{
	for (uint64_t width = 1; width < count; width *= 2)
	{
		for (uint64_t start = 0; start < count; start += 2 * width)
		{
			uint64_t middle = start + width < count ? start + width : count;
			uint64_t end = middle + width < count ? middle + width : count;
			uint64_t a = start;
			uint64_t b = middle;

			for (uint64_t i = start; i < end; i++)
			{
				bool from_b = a == middle ||
							  (b < end && ct_event_cmp(shape->schema, ct_ptr(shape->arena, run[b]),
													   ct_ptr(shape->arena, run[a])) < 0);

				scratch[i] = from_b ? run[b++] : run[a++];
			}
		}
		memcpy(run, scratch, count * sizeof(CtRef));
	}
}

/* Of twins, which lie side by side now, the first by content stays. */
static uint32_t
run_unique(const CtShape *shape, CtRef *run, uint32_t count)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		const CtEvent *event = ct_ptr(shape->arena, run[i]);

		if (kept > 0 && ct_event_has_id(shape->schema, event) &&
			ct_event_cmp_identity(shape->schema, ct_ptr(shape->arena, run[kept - 1]), event) == 0)
			continue;
		run[kept++] = run[i];
	}
	return kept;
}

void
ct_timeline_merge(const CtArena *arena, CtRef store, CtRef timeline, const CtSnapshot *snapshot,
				  CtRuns *runs)
{
	CtShape shape = ct_store_shape(arena, ct_ptr(arena, store));
	uint32_t kept = 0;

	run_sort(&shape, runs->extra, runs->cancelled, runs->nextra);
	runs->nextra = run_unique(&shape, runs->extra, runs->nextra);
	runs->ncancelled = 0;
	for (uint32_t i = 0; i < runs->nextra; i++)
	{
		const CtEvent *event = ct_ptr(arena, runs->extra[i]);
		CtRef ref = ct_timeline_twin(&shape, ct_ptr(arena, timeline), event);
		const CtEvent *twin = ct_ptr(arena, ref);

		if (ref != 0 && ct_snapshot_sees(snapshot, twin->top))
		{
			if (ct_event_cmp(shape.schema, event, twin) >= 0)
				continue;
			runs->cancelled[runs->ncancelled++] = ref;
		}
		runs->extra[kept++] = runs->extra[i];
	}
	runs->nextra = kept;
}

/* ---- effects ------------------------------------------------------------------------ */

/*
 * The first entered event behind `position` that overrides the attribute.
 * Summaries say which subtree has one, so only one descent follows them and
 * one the position.
 */
static CtRef
next_override(const CtFold *fold, CtRef ref, int height, const CtBound *bound,
			  const CtEvent *position, int attr)
{
	const CtShape *shape = fold->shape;
	const CtInner *inner = ct_ptr(shape->arena, ref);
	const CtLeaf *leaf = ct_ptr(shape->arena, ref);

	for (uint32_t i = 0; height == 0 && i < leaf->count; i++)
	{
		CtRef here = ct_leaf_events(leaf)[i];

		if (leaf->time[i] >= position->time &&
			ct_event_cmp(shape->schema, event_at(fold, here), position) > 0 &&
			ct_event_overrides(shape, event_at(fold, here), attr))
			return here;
	}
	for (uint32_t i = 0; height > 0 && i < inner->count; i++)
	{
		const CtEntry *entry = &inner->entry[i];
		CtBound next = bound_of(inner, inner->count, i, bound);
		CtRef found;

		if (next.ref != 0 && (next.time < position->time ||
							  ct_event_cmp(shape->schema, event_at(fold, next.ref), position) <= 0))
			continue;
		if (!ct_summary_overrides(shape, ct_ptr(shape->arena, entry->summary), attr))
			continue;
		found = next_override(fold, entry->child, height - 1, &next, position, attr);
		if (found != 0)
			return found;
	}
	return 0;
}

/* Raise *end to when the difference in one attribute ends. */
static void
effect_extend(const CtFold *fold, const CtEvent *position, int attr, int64_t *end)
{
	CtBound behind = {0, 0};
	CtRef ref = 0;
	int64_t time = INT64_MAX;

	if (fold->timeline->root.child != 0 &&
		ct_event_cmp(fold->shape->schema, event_at(fold, fold->timeline->newest), position) > 0)
		ref = next_override(fold, fold->timeline->root.child, fold->timeline->height, &behind,
							position, attr);
	if (ref != 0)
		time = event_at(fold, ref)->time;
	*end = time > *end ? time : *end;
}

/*
 * What would change if the event, which has not entered, entered now, in the
 * place of `instead` if that is given: nothing (false), or states from its
 * instant to *end, INT64_MAX if open.
 *
 * Attributes do not depend on each other (R3): where two states differ they
 * differ until the attributes that do are overridden.
 */
bool
ct_timeline_effect(const CtShape *shape, const CtTimeline *timeline, const CtEvent *event,
				   const CtEvent *instead, int64_t *end)
{
	const CtEvent *position = instead != NULL ? instead : event;
	CtState without;
	CtState with;
	CtFold fold = {.shape = shape,
				   .timeline = timeline,
				   .state = &without,
				   .before = position,
				   .inclusive = instead == NULL};

	ct_state_initial(shape->schema, &without);
	fold_between(&fold, NULL, INT64_MIN, event->time);
	with = without;
	ct_state_add_event(shape, &with, event);
	ct_state_resolve(shape->schema, &with);
	if (instead != NULL)
	{
		ct_state_add_event(shape, &without, instead);
		ct_state_resolve(shape->schema, &without);
	}

	*end = event->time;
	if (with.present != without.present)
		effect_extend(&fold, position, -1, end);
	for (int i = 0; i < shape->schema->nattrs; i++)
	{
		if (!ct_value_equal(&with.value[i], &without.value[i]))
			effect_extend(&fold, position, i, end);
	}
	return *end > event->time;
}
