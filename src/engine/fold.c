/*
 * fold.c
 *	  Read a timeline: fold at an instant, step onward, visit raw events.
 *
 * A fold applies whole subtrees, from left to right, by their summaries where
 * possible.  It applies single events where necessary: where the snapshot sees
 * only part of a subtree, where a recent event lies between entered ones or
 * replaces one, and at the ends of the fold.
 *
 * As long as none of that applies, a node takes one step, as the composition of
 * everything before a child is stored.  So a fold without recent events looks at
 * one child a level; with m visible recent events it takes O((m + 1) log n).
 *
 * Most tables are plain: they have sums without bounds, and last values.  While
 * no event sets a sum or ends a life, sums do not depend on the order of events.
 * Then they are added up on the way down, and many recent events are added up
 * separately from the entered ones.
 *
 * The same walk (walk.h) visits raw events.
 *
 * Called through engine.h by src/fold and src/read; by effect.c for
 * ct_children_apply().
 *
 * Concurrency: the caller holds the partition's lock in shared mode, or reads
 * without it (read.c).
 *
 * Not here: which recent events are visible (src/mvcc/visible.c), how they are
 * sorted (merge.c), what is shown between events (between.c).
 */
#include "engine/fold.h"

#include <string.h>

#include "engine/base.h"
#include "engine/between.h"

/* A visit of raw events.  `ended`: the visitor has ended it. */
typedef struct CtRawWalk
{
	CtVisitor visitor;
	void *arg;
	bool ended;
	CtPosition *position;
	uint32_t skip; /* events ahead that an earlier visit has visited */
	CtRawEvent raw;
} CtRawWalk;

typedef struct CtFold
{
	CtSight sight;
	CtState *state;
	int64_t from; /* instants [from, to] */
	int64_t to;
	const CtRef *extra; /* the next ones to be folded */
	const CtRef *cancelled;
	uint32_t nextra;
	uint32_t ncancelled;
	CtRawWalk *event_walk; /* visit events instead of folding them; or NULL */
} CtFold;

/* The first event behind a subtree.  `ref` 0: there is none. */
typedef struct CtBound
{
	int64_t time;
	CtRef ref;
	int height; /* -1: the tail */
} CtBound;

static const CtBound OPEN_BOUND = {INT64_MAX, 0, 0};

static inline const CtEvent *
get_recent(const CtFold *fold, CtRef ref)
{
	return ct_sight_event(&fold->sight, ref);
}

static CtItem
get_bound_item(const CtFold *fold, const CtBound *bound, CtLayout *scratch)
{
	CtRun run;

	if (bound->height >= 0)
		return ct_first_item(fold->sight.context, bound->ref, bound->height, scratch);
	ct_tail_run(fold->sight.context, fold->sight.timeline, &run);
	return ct_run_item(&run, 0, scratch);
}

/* True if a recent event comes before an entered one. */
static bool
precedes_item(const CtFold *fold, CtRef ref, const CtItem *item)
{
	const CtEvent *event = get_recent(fold, ref);
	CtLayout scratch;
	CtItem recent;

	if (event->time != item->time)
		return event->time < item->time;
	recent = ct_event_item(fold->sight.context, event, &scratch);
	return ct_item_cmp(fold->sight.context, &recent, item) < 0;
}

/* Compare a recent event with the first event behind a subtree, at the same instant. */
static bool
precedes_at_bound(const CtFold *fold, const CtEvent *event, const CtBound *bound)
{
	CtLayout scratch;
	CtLayout other;
	CtItem recent = ct_event_item(fold->sight.context, event, &scratch);
	CtItem item = get_bound_item(fold, bound, &other);

	return recent.layout->has_id
			   ? ct_item_cmp_identity(fold->sight.context, &recent, &item) < 0
			   : ct_item_cmp(fold->sight.context, &recent, &item) < (event->retracts != 0);
}

/*
 * True if a recent event comes before the first event behind a subtree.  An event
 * whose duplicate has entered belongs where the duplicate is.  Equal events may lie
 * on both sides of the bound; a retraction of them counts as before it, so that the
 * subtree is searched.
 */
static inline bool
precedes_bound(const CtFold *fold, CtRef ref, const CtBound *bound)
{
	const CtEvent *event = get_recent(fold, ref);

	if (bound->ref == 0)
		return true;
	return event->time != bound->time ? event->time < bound->time
									  : precedes_at_bound(fold, event, bound);
}

/* True if the next event that is left out comes before the first event behind a subtree. */
static bool
cancels_before(const CtFold *fold, const CtBound *bound)
{
	const CtSight *sight = &fold->sight;
	CtLayout scratch;
	CtLayout other;
	CtItem cancelled;
	CtItem item;

	if (!sight->context->schema->id_of_key || bound->ref == 0)
		return precedes_bound(fold, *fold->cancelled, bound);
	cancelled = ct_cancelled_item(sight->context, sight->timeline, *fold->cancelled, &scratch);
	if (cancelled.time != bound->time)
		return cancelled.time < bound->time;
	item = get_bound_item(fold, bound, &other);
	return ct_item_cmp(sight->context, &cancelled, &item) < 0;
}

/* ---- whole subtrees ---------------------------------------------------------- */

static inline void
apply_cell(const CtReadContext *context, const CtInner *inner, const CtColumn *column,
		   CtWhich which, uint32_t i, int attr, CtState *state)
{
	const CtAttr *a = &context->schema->attr[attr];
	CtValue *value = &state->value[attr];
	uint32_t capacity = ct_node_capacity(inner);
	uint8_t tag = *ct_column_tag(column, capacity, which, i);
	const void *payload = ct_column_payload(a, column, capacity, which, i);
	CtWide broad;

	if (tag == CT_KEEP)
		return;
	if (column->narrow && ct_may_be_narrow(a))
	{
		broad = wide_from_int64(ct_column_narrow(column, capacity)[which * capacity + i]);
		payload = &broad;
	}
	if (tag == CT_CHANGE && a->rule == CT_RULE_SUM && a->number != CT_NUMBER_INTERVAL)
	{
		ct_value_begin_sum(a, value);
		value->number = ct_clamp(a, wide_add(value->number, *(const CtWide *) payload),
								 (const CtWide *) payload + 1);
	}
	else
		ct_value_apply(context, attr, value, tag, payload);
}

static inline const CtColumn *
get_column(const CtReadContext *context, const CtInner *inner, int attr)
{
	return ct_ptr(context->arena, ct_node_column(inner)[attr]);
}

/* Reset attributes without a column to their initial values. */
static void
apply_finish(const CtReadContext *context, const CtInner *inner, CtState *state)
{
	for (int i = 0; i < context->schema->nattrs; i++)
	{
		if ((inner->columns >> i & 1) == 0)
			ct_value_initial(context->schema, i, &state->value[i]);
	}
}

/* Return the columns that a node may have, even if it is torn. */
static inline uint64_t
get_columns(const CtReadContext *context, const CtInner *inner)
{
	uint32_t nattrs = context->schema->nattrs;

	return nattrs < 64 ? inner->columns & ((UINT64_C(1) << nattrs) - 1) : inner->columns;
}

/* Apply everything in child i. */
static void
apply_child(const CtReadContext *context, const CtInner *inner, uint32_t i, CtState *state)
{
	for (uint64_t rest = get_columns(context, inner); rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);

		apply_cell(context, inner, get_column(context, inner, attr), CT_TOTAL, i, attr, state);
	}
	if (inner->finish >> i & 1)
		apply_finish(context, inner, state);
	state->present = (inner->absent >> i & 1) == 0;
}

/* Apply the first n children, n > 0, except attributes of the rule last. */
static void
apply_numbers(const CtReadContext *context, const CtInner *inner, uint32_t n, CtState *state)
{
	uint32_t i = n < inner->count ? n : n - 1;

	CT_ASSERT(n > 0);
	if (inner->finish & ct_bits_below(n))
		apply_finish(context, inner, state);
	for (uint64_t rest = get_columns(context, inner) & ~context->lasts; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		const CtColumn *column = get_column(context, inner, attr);

		apply_cell(context, inner, column, CT_GROUPS, i / CT_GROUP, attr, state);
		apply_cell(context, inner, column, CT_BEFORE, i, attr, state);
		if (i < n)
			apply_cell(context, inner, column, CT_TOTAL, i, attr, state);
	}
	state->present = (inner->absent >> (n - 1) & 1) == 0;
}

/*
 * Of the wanted attributes, apply the last value that the first n children set.
 * Return the attributes that are still wanted.
 */
static uint64_t
apply_lasts(const CtReadContext *context, const CtInner *inner, uint32_t n, uint64_t wanted,
			CtState *state)
{
	for (uint64_t rest = get_columns(context, inner) & wanted; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		const CtColumn *column = get_column(context, inner, attr);
		uint32_t sets = column->sets & ct_bits_below(n);

		if (sets == 0)
			continue;
		apply_cell(context, inner, column, CT_TOTAL, 31 - (uint32_t) __builtin_clz(sets), attr,
				   state);
		wanted &= ~(rest & -rest);
	}
	if (inner->finish & ct_bits_below(n))
	{
		for (; wanted != 0; wanted &= wanted - 1)
			ct_value_initial(context->schema, __builtin_ctzll(wanted),
							 &state->value[__builtin_ctzll(wanted)]);
	}
	return wanted;
}

/* Apply everything in the first n children, n > 0. */
static void
apply_first(const CtReadContext *context, const CtInner *inner, uint32_t n, CtState *state)
{
	apply_numbers(context, inner, n, state);
	(void) apply_lasts(context, inner, n, context->lasts, state);
}

void
ct_children_apply(const CtReadContext *context, const CtInner *inner, uint32_t n, CtState *state)
{
	apply_first(context, inner, n, state);
}

/* ---- folds of what is wholly visible ----------------------------------------- */

/*
 * Fold a tree that is wholly visible.  Sums are applied on the way down.  Last
 * values are looked for backward, from the leaf up, as they are usually found soon.
 */
static void
fold_clean_tree(const CtReadContext *context, const CtTimeline *timeline, int64_t time,
				uint64_t wanted, CtState *state)
{
	CtRef ref = timeline->root;
	int height = ct_timeline_height(timeline);
	const CtInner *inner[CT_MAX_HEIGHT];
	uint32_t n[CT_MAX_HEIGHT];
	uint32_t from;
	uint32_t to;
	bool finish;
	CtRun run;

	for (int depth = 0; depth < height; depth++)
	{
		inner[depth] = ct_ptr(context->arena, ref);
		n[depth] = ct_node_until(inner[depth], time);
		if (n[depth] == 0)
			return;
		ref = ct_node_child(inner[depth])[--n[depth]];
		ct_prefetch_block(ct_ptr(context->arena, ref));
		if (n[depth] > 0)
			apply_numbers(context, inner[depth], n[depth], state);
	}
	ct_leaf_run(context, ct_ptr(context->arena, ref), &run);
	to = ct_run_until(&run, time);
	from = ct_run_numbers(&run, 0, to, state, &finish);
	wanted = ct_run_lasts(&run, from, to, wanted, state);
	for (int depth = height - 1; depth >= 0 && wanted != 0 && !finish; depth--)
	{
		if (n[depth] > 0)
			wanted = apply_lasts(context, inner[depth], n[depth], wanted, state);
	}
}

/*
 * Prefetch the rows of a tail.  A search for an instant within it jumps, and then a
 * fold reads all rows up to there.
 */
static inline void
prefetch_tail(const CtRun *run, int64_t time)
{
	const char *rows = (const char *) run->base;
	size_t bytes = (size_t) run->count * run->stride;

	if (run->count <= 8 || ct_run_time(run, run->count - 1) <= time)
		return;
	for (size_t at = 64; at < bytes && at < CT_TAIL_BYTES; at += 64)
		__builtin_prefetch(rows + at);
}

/* Fold a timeline that is wholly visible, without recent events. */
static void
fold_clean(const CtReadContext *context, const CtTimeline *timeline, int64_t time, CtState *state)
{
	uint64_t lasts = context->lasts;
	const CtInner *root;
	uint32_t from;
	uint32_t to;
	bool finish;
	CtRun run;

	ct_tail_run(context, timeline, &run);
	if (timeline->root != 0 && (run.count == 0 || ct_run_time(&run, 0) > time))
	{
		fold_clean_tree(context, timeline, time, lasts, state);
		return;
	}
	prefetch_tail(&run, time);
	root = timeline->root == 0 ? NULL : ct_ptr(context->arena, timeline->root);
	if (root != NULL && ct_node_count(root) > 0)
		apply_numbers(context, root, ct_node_count(root), state);
	to = ct_run_until(&run, time);
	from = ct_run_numbers(&run, 0, to, state, &finish);
	lasts = ct_run_lasts(&run, from, to, lasts, state);
	if (root != NULL && ct_node_count(root) > 0 && lasts != 0 && !finish)
		(void) apply_lasts(context, root, ct_node_count(root), lasts, state);
}

/* ---- folds of what adds up --------------------------------------------------- */

/*
 * The path to an instant: for each node how many of its children precede the
 * instant, and for the leaf or tail how many of its events.  For the tail the whole
 * root precedes it.
 */
typedef struct Way
{
	int depth;
	const CtInner *inner[CT_MAX_HEIGHT];
	uint32_t n[CT_MAX_HEIGHT];
	bool in_tail;
	CtRun run;
	uint32_t until;
} Way;

/* True if a timeline of a plain table has no finish and no event that sets a sum. */
static bool
adds_up(const CtReadContext *context, const CtTimeline *timeline)
{
	const CtInner *root = ct_ptr(context->arena, timeline->root);
	uint32_t number = timeline->tail_layout;

	if (timeline->tail_count != 0)
	{
		const CtLayout *layout = number == 0 ? NULL : ct_layout_of(context, number, NULL, NULL);

		if (layout == NULL || layout->kind != CT_EVENT || (layout->null & context->sums) != 0)
			return false;
	}
	if (timeline->root == 0)
		return true;
	if (root->finish != 0)
		return false;
	for (uint64_t rest = root->columns & context->sums; rest != 0; rest &= rest - 1)
	{
		const CtColumn *column =
			ct_ptr(context->arena, ct_node_column(root)[__builtin_ctzll(rest)]);

		if (column->overrides != 0)
			return false;
	}
	return true;
}

/*
 * Add a cell of a sum to *sum.  True if the cell is not to keep.  An unused narrow
 * cell is 0, so it is added without a branch that would be mispredicted.
 */
static inline bool
add_cell(const CtColumn *column, uint32_t capacity, CtWhich which, uint32_t i, CtWide *sum)
{
	const int64_t *payload = ct_column_narrow(column, capacity);

	i += which * capacity;
	if (column->narrow)
		*sum = wide_add(*sum, wide_from_int64(payload[i]));
	else if (column->tag[i] == CT_CHANGE)
		*sum = wide_add(*sum, ((const CtWide *) payload)[i]);
	return column->tag[i] != CT_KEEP;
}

static inline void
add_to_value(const CtReadContext *context, int attr, CtState *state, CtWide sum)
{
	CtValue *value = &state->value[attr];

	ct_value_begin_sum(&context->schema->attr[attr], value);
	value->number = wide_add(value->number, sum);
}

/* Add the sums of the first n children. */
static inline void
add_children(const CtReadContext *context, const CtInner *inner, uint32_t n, CtState *state)
{
	uint32_t capacity = ct_node_capacity(inner);
	uint32_t i = n < inner->count ? n : n - 1;

	for (uint64_t rest = inner->columns & context->sums; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		const CtColumn *column = ct_ptr(context->arena, ct_node_column(inner)[attr]);
		CtWide sum = CT_WIDE_ZERO;
		bool any = add_cell(column, capacity, CT_GROUPS, i / CT_GROUP, &sum);

		any |= add_cell(column, capacity, CT_BEFORE, i, &sum);
		if (i < n)
			any |= add_cell(column, capacity, CT_TOTAL, i, &sum);
		if (any)
			add_to_value(context, attr, state, sum);
	}
}

/*
 * Set *way to the path to the instant, and add the sums of everything before it but
 * the last block.  A node's columns are read while the next node is being
 * prefetched.
 */
static void
add_path(const CtReadContext *context, const CtTimeline *timeline, int64_t time, Way *way,
		 CtState *state)
{
	int height = ct_timeline_height(timeline);
	CtRef ref = timeline->root;

	way->depth = 0;
	way->until = 0;
	way->in_tail = ref == 0 || (timeline->tail_count != 0 &&
								ct_tail_row(context->arena, timeline, 0)->time <= time);
	if (way->in_tail)
	{
		const CtInner *root = ct_ptr(context->arena, ref);

		ct_tail_run(context, timeline, &way->run);
		prefetch_tail(&way->run, time);
		if (ref != 0 && ct_node_count(root) > 0)
		{
			way->inner[0] = root;
			way->n[0] = ct_node_count(root);
			way->depth = 1;
			add_children(context, root, way->n[0], state);
		}
	}
	else
	{
		for (; way->depth < height; way->depth++)
		{
			const CtInner *inner = ct_ptr(context->arena, ref);
			uint32_t n = ct_node_until(inner, time);

			if (n == 0)
				return; /* below the root: it is torn */
			ref = ct_node_child(inner)[--n];
			ct_prefetch_block(ct_ptr(context->arena, ref));
			way->inner[way->depth] = inner;
			way->n[way->depth] = n;
			if (n > 0)
				add_children(context, inner, n, state);
		}
		ct_leaf_run(context, ct_ptr(context->arena, ref), &way->run);
	}
	way->until = ct_run_until(&way->run, time);
}

/*
 * Set *sum to the sum of the events of the last block up to the instant.  False:
 * there is none.  If that is most of a leaf, subtract the other events from the
 * total of the leaf.
 */
static inline bool
sum_events(const Way *way, int attr, CtWide *sum)
{
	const CtRun *run = &way->run;
	const CtInner *parent = way->in_tail || way->depth == 0 ? NULL : way->inner[way->depth - 1];
	const CtLayout *layout;
	__int128 events;
	uint32_t from;
	uint32_t to;
	bool backward;
	CtCell cell;

	if (run->layout == 0 || run->context->schema->attr[attr].wide)
	{
		ct_run_compose(run, 0, way->until, attr, &cell);
		*sum = cell.w[0];
		return cell.tag == CT_CHANGE;
	}
	layout = ct_layout_of(run->context, run->layout, NULL, NULL);
	if (!ct_layout_sets(layout, attr))
		return false;
	*sum = CT_WIDE_ZERO;
	backward = parent != NULL && (parent->columns >> attr & 1) != 0 && way->until > run->count / 2;
	from = backward ? way->until : 0;
	to = backward ? run->count : way->until;
	events = ct_run_add_up(run, from, to, ct_layout_offset(layout, attr));
	if (backward)
		(void) add_cell(ct_ptr(run->context->arena, ct_node_column(parent)[attr]),
						ct_node_capacity(parent), CT_TOTAL, way->n[way->depth - 1], sum);
	*sum = wide_add(*sum, wide_from_int128(backward ? -events : events));
	return true;
}

/*
 * Set the state before the first event.  Faster than ct_timeline_begin(), for plain
 * tables.
 */
static inline void
begin_plain(const CtReadContext *context, const CtTimeline *timeline, CtState *state)
{
	if (timeline->base != 0)
	{
		ct_timeline_begin(context, timeline, state);
		return;
	}
	state->present = false;
	state->nattrs = context->schema->nattrs;
	for (int i = 0; i < context->schema->nattrs; i++)
		state->value[i].kind = CT_VALUE_NULL;
	for (uint64_t rest = context->sums; rest != 0; rest &= rest - 1)
		state->value[__builtin_ctzll(rest)].extra = CT_WIDE_ZERO;
	for (uint64_t rest = context->initial; rest != 0; rest &= rest - 1)
		ct_value_initial(context->schema, __builtin_ctzll(rest),
						 &state->value[__builtin_ctzll(rest)]);
}

/*
 * Fold a timeline of a plain table that is wholly visible and adds up.  False: it
 * does not add up, and the state is unchanged.
 */
static bool
fold_plain(const CtReadContext *context, const CtTimeline *timeline, int64_t time, CtState *state)
{
	uint64_t lasts;
	Way way;

	if (!adds_up(context, timeline))
		return false;
	add_path(context, timeline, time, &way, state);
	if (way.until == 0)
		return true; /* no event is before the instant */
	for (uint64_t rest = way.run.set & context->sums; rest != 0; rest &= rest - 1)
	{
		CtWide sum;

		if (sum_events(&way, __builtin_ctzll(rest), &sum))
			add_to_value(context, __builtin_ctzll(rest), state, sum);
	}
	lasts = ct_run_lasts(&way.run, 0, way.until, context->lasts, state);
	for (int depth = way.depth - 1; depth >= 0 && lasts != 0; depth--)
		lasts = apply_lasts(context, way.inner[depth], way.n[depth], lasts, state);
	state->present = true;
	return true;
}

/* ---- folds of what is partly visible, and visits ----------------------------- */

static void
move_behind(CtPosition *position, int64_t time)
{
	CT_ASSERT(position->before <= position->visited);
	if (time != position->time)
		position->visited = position->before = 0;
	position->time = time;
	position->visited++;
}

static void
visit_item(const CtFold *fold, const CtItem *item, bool entered, bool late)
{
	CtRawWalk *event_walk = fold->event_walk;
	CtRawEvent *raw = &event_walk->raw;

	if (event_walk->ended)
		return;
	CT_ASSERT(event_walk->skip == 0);
	raw->time = item->time;
	raw->kind = item->layout->kind;
	raw->entered = entered;
	raw->late = late;
	raw->set = item->layout->set;
	raw->null = item->layout->null;
	for (uint64_t rest = raw->set & ~raw->null; rest != 0; rest &= rest - 1)
		ct_value_raw(fold->sight.context, item, __builtin_ctzll(rest),
					 &raw->value[__builtin_ctzll(rest)]);
	event_walk->ended = !event_walk->visitor(event_walk->arg, raw);
	if (!event_walk->ended)
		move_behind(event_walk->position, item->time);
}

/* Skip up to `count` events that an earlier visit has visited.  Return how many. */
static uint32_t
skip_visited(CtRawWalk *event_walk, uint32_t count)
{
	uint32_t n = event_walk->skip < count ? event_walk->skip : count;

	event_walk->skip -= n;
	return n;
}

/* Apply events [from, to) of a block, or visit them. */
static void
take_events(const CtFold *fold, const CtRun *run, uint32_t from, uint32_t to)
{
	CtLayout scratch;

	if (fold->event_walk == NULL)
	{
		ct_run_apply(run, from, to, fold->state);
		return;
	}
	from += skip_visited(fold->event_walk, to - from);
	for (; from < to && !fold->event_walk->ended; from++)
	{
		CtItem item = ct_run_item(run, from, &scratch);

		visit_item(fold, &item, true, ct_run_late(run, from));
	}
}

static void
take_extra(CtFold *fold)
{
	CtLayout scratch;
	const CtEvent *event = get_recent(fold, *fold->extra);
	CtItem item = ct_event_item(fold->sight.context, event, &scratch);

	CT_ASSERT(fold->nextra > 0);
	if (fold->event_walk != NULL && skip_visited(fold->event_walk, 1) == 0)
		visit_item(fold, &item, false,
				   event->state == CT_WAITING
					   ? event->late
					   : ct_timeline_has_later(fold->sight.context, fold->sight.timeline, &item));
	else if (fold->event_walk == NULL)
		ct_state_add_item(fold->sight.context, fold->state, &item);
	fold->extra++;
	fold->nextra--;
}

/*
 * True if the entered event is left out because of a recent event, which is then
 * consumed.
 */
static bool
is_cancelled(CtFold *fold, const CtItem *item)
{
	CtLayout scratch;
	CtItem recent;

	if (fold->ncancelled == 0 || ct_cancelled_time(&fold->sight, *fold->cancelled) != item->time)
		return false;
	recent = ct_event_item(fold->sight.context, get_recent(fold, *fold->cancelled), &scratch);
	if (get_recent(fold, *fold->cancelled)->retracts
			? ct_item_cmp(fold->sight.context, &recent, item) != 0
			: !ct_item_is_duplicate(fold->sight.context, &recent, item))
		return false;
	fold->cancelled++;
	fold->ncancelled--;
	return true;
}

/* True if the fold is a visit that the visitor has ended. */
static inline bool
is_ended(const CtFold *fold)
{
	return fold->event_walk != NULL && fold->event_walk->ended;
}

/* Return the first event of a block from i on that is not visible, or `end`. */
static inline uint32_t
find_hidden(const CtSight *sight, const CtRun *run, uint32_t i, uint32_t end)
{
	if (run->slot != NULL && run->label == NULL)
		return end;
	while (i < end && ct_sight_sees(sight, ct_run_label(run, i)))
		i++;
	return i;
}

/* Fold the visible events of a block, [i, end): no recent and no cancelled ones are left. */
static void
fold_visible(const CtFold *fold, const CtRun *run, uint32_t i, uint32_t end)
{
	while (i < end && !is_ended(fold))
	{
		uint32_t hidden = find_hidden(&fold->sight, run, i, end);

		if (i < hidden)
			take_events(fold, run, i, hidden);
		i = hidden + 1;
	}
}

/*
 * Fold the events of a block, in stretches between those that are left out and
 * recent ones.
 */
static void
fold_run(CtFold *fold, const CtRun *run)
{
	uint32_t start = fold->from > INT64_MIN ? ct_run_until(run, fold->from - 1) : 0;
	uint32_t end = ct_run_until(run, fold->to);
	uint32_t i = start;
	bool frozen = run->slot != NULL && run->label == NULL;

	for (; i < end && (fold->nextra > 0 || fold->ncancelled > 0) && !is_ended(fold); i++)
	{
		CtLayout scratch;
		CtItem item = ct_run_item(run, i, &scratch);

		while (fold->nextra > 0 && precedes_item(fold, *fold->extra, &item))
		{
			take_events(fold, run, start, i);
			start = i;
			take_extra(fold);
		}
		if ((!frozen && !ct_sight_sees(&fold->sight, ct_run_label(run, i))) ||
			is_cancelled(fold, &item))
		{
			take_events(fold, run, start, i);
			start = i + 1;
		}
	}
	if (start < i)
		take_events(fold, run, start, i);
	fold_visible(fold, run, i, end);
}

static uint32_t
count_clean_prefix(const CtFold *fold, const CtWalk *walk)
{
	const CtInner *inner = ct_walk_node(walk);
	uint32_t children = walk->children[walk->depth - 1];
	uint32_t n = children == 0 ? 0 : 31 - (uint32_t) __builtin_clz(children);
	uint32_t seen = 0;

	if (fold->from > INT64_MIN)
		return 0;
	if (fold->nextra > 0)
	{
		int64_t time = get_recent(fold, *fold->extra)->time;
		uint32_t before = time > INT64_MIN ? ct_node_until(inner, time - 1) : 0;

		n = before == 0 ? 0 : before - 1 < n ? before - 1
											 : n;
	}
	if (fold->ncancelled > 0)
	{
		int64_t time = ct_cancelled_time(&fold->sight, *fold->cancelled);
		uint32_t before = time > INT64_MIN ? ct_node_until(inner, time - 1) : 0;

		n = before == 0 ? 0 : before - 1 < n ? before - 1
											 : n;
	}
	while (seen < n && ct_snapshot_sees_all(fold->sight.snapshot, ct_node_lo(inner)[seen],
											ct_node_hi(inner)[seen]))
		seen++;
	return seen;
}

static void
take_prefix(const CtFold *fold, CtWalk *walk)
{
	uint32_t n = count_clean_prefix(fold, walk);

	if (n == 0)
		return;
	apply_first(fold->sight.context, ct_walk_node(walk), n, fold->state);
	walk->children[walk->depth - 1] &= ~ct_bits_below(n);
}

/* Return the bound behind child i, given the bound behind the node. */
static inline CtBound
get_bound(const CtInner *inner, uint32_t i, int height, const CtBound *bound)
{
	if (i + 1 >= ct_node_count(inner))
		return *bound;
	return (CtBound){inner->time[i + 1], ct_node_child(inner)[i + 1], height - 1};
}

/*
 * Add the recent events before child i.  Then apply the child, or skip it if it is
 * invisible.  False: the caller has to descend into the child.
 */
static bool
take_child(CtFold *fold, const CtInner *inner, uint32_t i, int height, const CtBound *bound)
{
	CtBound own = {inner->time[i], ct_node_child(inner)[i], height - 1};

	while (own.time >= fold->from && fold->nextra > 0 && precedes_bound(fold, *fold->extra, &own))
		take_extra(fold);
	if ((fold->nextra > 0 && precedes_bound(fold, *fold->extra, bound)) ||
		(fold->ncancelled > 0 && cancels_before(fold, bound)))
		return false;
	if (ct_sight_hides(&fold->sight, inner, i))
		return true;
	if (own.time < fold->from ||
		(bound->ref != 0 ? bound->time > fold->to : fold->to < INT64_MAX) ||
		!ct_snapshot_sees_all(fold->sight.snapshot, ct_node_lo(inner)[i], ct_node_hi(inner)[i]))
		return false;
	apply_child(fold->sight.context, inner, i, fold->state);
	return true;
}

/* Return the bound behind the tree: the first row of the tail, if any. */
static CtBound
get_tail_bound(const CtReadContext *context, const CtTimeline *timeline)
{
	if (timeline->tail_count == 0)
		return OPEN_BOUND;
	return (CtBound){ct_tail_row(context->arena, timeline, 0)->time, timeline->tail, -1};
}

/* Fold the tree: by subtrees where possible, else leaf by leaf. */
static void
fold_tree(CtFold *fold)
{
	const CtReadContext *context = fold->sight.context;
	CtBound behind[CT_MAX_HEIGHT]; /* of each node on the path */
	CtWalk walk;
	uint32_t i;

	ct_walk_begin(&walk, &fold->sight, fold->from, fold->to, -1);
	behind[0] = get_tail_bound(context, fold->sight.timeline);
	take_prefix(fold, &walk);
	while (ct_walk_child(&walk, false, &i))
	{
		const CtInner *inner = ct_walk_node(&walk);
		CtRef child = ct_node_child(inner)[i];
		int height = walk.height - walk.depth + 1;
		CtBound bound = get_bound(inner, i, height, &behind[walk.depth - 1]);
		CtRun run;

		if (take_child(fold, inner, i, height, &bound))
			continue;
		if (ct_walk_above_leaves(&walk))
		{
			ct_leaf_run(context, ct_ptr(context->arena, child), &run);
			fold_run(fold, &run);
			continue;
		}
		behind[walk.depth] = bound;
		ct_walk_enter(&walk, child);
		take_prefix(fold, &walk);
	}
}

/* ---- folds ------------------------------------------------------------------- */

static void
fold_all(CtFold *fold)
{
	const CtReadContext *context = fold->sight.context;
	const CtTimeline *timeline = fold->sight.timeline;

	if (fold->from == INT64_MIN && fold->nextra == 0 && fold->ncancelled == 0 &&
		ct_snapshot_sees_all(fold->sight.snapshot, timeline->lo, timeline->hi))
	{
		if (!context->plain || !fold_plain(context, timeline, fold->to, fold->state))
			fold_clean(context, timeline, fold->to, fold->state);
		return;
	}
	if (timeline->root != 0)
		fold_tree(fold);
	if (timeline->tail_count != 0)
	{
		CtRun run;

		ct_tail_run(context, timeline, &run);
		fold_run(fold, &run);
	}
	while (fold->nextra > 0)
		take_extra(fold);
}

/* Restrict a run of recent events to the instants of the fold. */
static void
clip_run(const CtFold *fold, const CtRef **run, uint32_t *count)
{
	uint32_t first = ct_sight_before(&fold->sight, *run, *count, fold->from);
	uint32_t end = *count;

	CT_ASSERT(*count == 0 || *run != NULL);
	if (fold->to < INT64_MAX)
		end = ct_sight_before(&fold->sight, *run, *count, fold->to + 1);
	*run += first;
	*count = end - first;
}

/* Restrict the cancelling events to those for entered ones at the instants of the fold. */
static void
clip_cancelled(CtFold *fold)
{
	uint32_t end = fold->ncancelled;
	uint32_t first;

	if (end == 0)
		return;
	first = ct_cancelled_before(&fold->sight, fold->cancelled, end, fold->from);
	if (fold->to < INT64_MAX)
		end = ct_cancelled_before(&fold->sight, fold->cancelled, end, fold->to + 1);
	fold->cancelled += first;
	fold->ncancelled = end - first;
}

/* Set the instants of a fold, and the recent events at them. */
static void
set_instants(CtFold *fold, int64_t from, int64_t to)
{
	const CtRuns *runs = fold->sight.runs;

	CT_ASSERT(fold->extra == NULL && fold->nextra == 0);
	fold->from = from;
	fold->to = to;
	if (runs == NULL)
		return;
	fold->extra = runs->extra;
	fold->nextra = runs->nextra;
	fold->cancelled = runs->cancelled;
	fold->ncancelled = runs->ncancelled;
	clip_run(fold, &fold->extra, &fold->nextra);
	clip_cancelled(fold);
}

/* With more recent events than this, sums are folded apart from the order, if possible. */
#define MANY_EXTRA 4

/*
 * True if recent events can be added up separately: none of them sets a sum, ends a
 * life or replaces another event.  *set: the attributes that they set.
 */
static bool
may_fold_apart(const CtFold *fold, uint64_t *set)
{
	if (!fold->sight.context->plain || fold->nextra <= MANY_EXTRA || fold->ncancelled > 0 ||
		fold->from > INT64_MIN || !adds_up(fold->sight.context, fold->sight.timeline))
		return false;
	*set = 0;
	for (uint32_t i = 0; i < fold->nextra; i++)
	{
		CtLayout scratch;
		const CtLayout *layout =
			ct_event_item(fold->sight.context, get_recent(fold, fold->extra[i]), &scratch).layout;

		if (layout->kind != CT_EVENT || (layout->null & fold->sight.context->sums) != 0)
			return false;
		*set |= layout->set;
	}
	return true;
}

/*
 * Return the index of a recent event such that it and the later ones set all wanted
 * attributes, or 0.
 */
static uint32_t
find_last_setters(const CtFold *fold, uint64_t wanted)
{
	uint32_t i = fold->nextra;

	while (i > 0 && wanted != 0)
	{
		CtLayout scratch;

		i--;
		wanted &= ~ct_event_item(fold->sight.context, get_recent(fold, fold->extra[i]), &scratch)
					   .layout->set;
	}
	return i;
}

/*
 * True if the last entered event up to the end of the fold is visible, is after the
 * instant, and sets all these attributes.  False also if that is not known.
 */
static bool
entered_sets_last(const CtFold *fold, uint64_t set, int64_t after)
{
	const CtReadContext *context = fold->sight.context;
	const CtTimeline *timeline = fold->sight.timeline;
	int height = ct_timeline_height(timeline);
	CtRef ref = timeline->root;
	CtRun run;
	uint32_t n;

	ct_tail_run(context, timeline, &run);
	if (ref != 0 && (run.count == 0 || ct_run_time(&run, 0) > fold->to))
	{
		for (; height > 0; height--)
		{
			const CtInner *inner = ct_ptr(context->arena, ref);

			n = ct_node_until(inner, fold->to);
			if (n == 0)
				return false;
			ref = ct_node_child(inner)[n - 1];
		}
		ct_leaf_run(context, ct_ptr(context->arena, ref), &run);
	}
	n = ct_run_until(&run, fold->to);
	return n > 0 && run.layout != 0 && ct_run_time(&run, n - 1) > after &&
		   (set & ~ct_layout_of(context, run.layout, NULL, NULL)->set) == 0 &&
		   ct_sight_sees(&fold->sight, ct_run_label(&run, n - 1));
}

/*
 * Add up sums of entered and of recent events separately, as sums do not depend on
 * the order.  That avoids a step for each stretch between two recent events.  For
 * last values, only the events from the last recent ones that set them on are
 * folded in order.
 */
static void
fold_apart(const CtFold *fold, uint64_t set)
{
	const CtReadContext *context = fold->sight.context;
	CtFold part = *fold;
	uint32_t first = find_last_setters(fold, set & context->lasts);
	CtState lasts;

	part.nextra = 0;
	fold_all(&part);
	for (uint32_t i = 0; i < fold->nextra; i++)
	{
		CtLayout scratch;
		CtItem item = ct_event_item(context, get_recent(fold, fold->extra[i]), &scratch);

		for (uint64_t rest = item.layout->set & context->sums; rest != 0; rest &= rest - 1)
		{
			int attr = __builtin_ctzll(rest);

			add_to_value(context, attr, fold->state,
						 ct_cell_number(&context->schema->attr[attr],
										item.record + ct_layout_offset(item.layout, attr)));
		}
	}
	fold->state->present = true;
	if (first == fold->nextra ||
		entered_sets_last(fold, set & context->lasts,
						  get_recent(fold, fold->extra[fold->nextra - 1])->time))
		return;

	ct_state_initial(context->schema, &lasts);
	part = *fold;
	part.state = &lasts;
	part.extra += first;
	part.nextra -= first;
	part.from = get_recent(fold, fold->extra[first])->time;
	fold_all(&part);
	for (uint64_t rest = set & context->lasts; rest != 0; rest &= rest - 1)
		fold->state->value[__builtin_ctzll(rest)] = lasts.value[__builtin_ctzll(rest)];
}

static void
fold_between(CtFold *fold, int64_t from, int64_t to)
{
	uint64_t set;

	set_instants(fold, from, to);
	if (may_fold_apart(fold, &set))
		fold_apart(fold, set);
	else
		fold_all(fold);
}

static void
show_state(const CtFold *fold, int64_t time)
{
	const CtReadContext *context = fold->sight.context;

	ct_state_show(context, fold->state);
	if ((context->linear | context->moving) != 0)
		ct_state_show_between(&fold->sight, time, fold->state);
}

void
ct_timeline_fold(const CtArena *arena, CtRef store, CtRef timeline, int64_t time,
				 const CtSnapshot *snapshot, const CtRuns *runs, CtState *state)
{
	CtReadContext context = ct_store_read_context(arena, ct_ptr(arena, store));
	const CtTimeline *t = ct_ptr(arena, timeline);
	CtFold fold;

	CT_ASSERT(snapshot == NULL || ct_snapshot_is_sound(snapshot));
	if (context.plain && (runs == NULL || (runs->nextra == 0 && runs->ncancelled == 0)) &&
		ct_snapshot_sees_all(snapshot, t->lo, t->hi))
	{
		begin_plain(&context, t, state);
		if (fold_plain(&context, t, time, state))
			return;
	}
	ct_timeline_begin(&context, t, state);
	fold = (CtFold){.sight = ct_sight(&context, store, timeline, snapshot, runs), .state = state};
	fold_between(&fold, INT64_MIN, time);
	show_state(&fold, time);
}

/* ---- stepping ---------------------------------------------------------------- */

bool
ct_timeline_step(const CtArena *arena, CtRef store, CtRef timeline, int64_t *time, int64_t until,
				 const CtSnapshot *snapshot, const CtRuns *runs, CtState *state)
{
	CtReadContext context = ct_store_read_context(arena, ct_ptr(arena, store));
	CtFold fold = {.sight = ct_sight(&context, store, timeline, snapshot, runs), .state = state};
	int64_t next;

	CT_ASSERT(snapshot == NULL || ct_snapshot_is_sound(snapshot));
	if (*time >= until || !ct_sight_next(&fold.sight, *time + 1, until, &next))
		return false;
	*time = next;
	ct_state_resume(&context, state);
	fold_between(&fold, next, next);
	show_state(&fold, next);
	return true;
}

bool
ct_timeline_latest(const CtArena *arena, CtRef store, CtRef timeline, int64_t *time,
				   const CtSnapshot *snapshot, const CtRuns *runs)
{
	CtReadContext context = ct_store_read_context(arena, ct_ptr(arena, store));
	CtSight sight = ct_sight(&context, store, timeline, snapshot, runs);

	return ct_sight_latest(&sight, *time, time);
}

/* ---- raw events -------------------------------------------------------------- */

/* Note that the next events are in the block `path`, or are recent ones before it. */
static void
note_block(const CtFold *fold, uint64_t path)
{
	CtPosition *position = fold->event_walk->position;

	CT_ASSERT(fold->event_walk->skip <= position->visited);
	position->before = position->visited - fold->event_walk->skip;
	position->timeline = fold->sight.timeline;
	position->sequence = fold->sight.sequence;
	position->path = path;
	position->nextra = fold->nextra;
	position->ncancelled = fold->ncancelled;
}

/* Drop all but the last `left` recent events of a run. */
static void
drop_recent(const CtRef **run, uint32_t *count, uint32_t left)
{
	if (left >= *count)
		return;
	*run += *count - left;
	*count = left;
}

/* Begin a visit at its position. */
static void
begin_visit(CtFold *fold, CtWalk *walk)
{
	const CtPosition *position = fold->event_walk->position;

	ct_walk_begin(walk, &fold->sight, fold->from, fold->to, -1);
	fold->event_walk->skip = position->visited;
	if (position->timeline != fold->sight.timeline || position->sequence != fold->sight.sequence)
		return;
	ct_walk_resume(walk, position->path);
	drop_recent(&fold->extra, &fold->nextra, position->nextra);
	drop_recent(&fold->cancelled, &fold->ncancelled, position->ncancelled);
	fold->event_walk->skip -= position->before;
}

bool
ct_timeline_visit(const CtArena *arena, CtRef store, CtRef timeline, CtPosition *position,
				  int64_t to, const CtSnapshot *snapshot, const CtRuns *runs, CtVisitor visitor,
				  void *arg)
{
	CtReadContext context = ct_store_read_context(arena, ct_ptr(arena, store));
	CtRawWalk event_walk = {.visitor = visitor, .arg = arg, .position = position};
	CtFold fold = {.sight = ct_sight(&context, store, timeline, snapshot, runs),
				   .event_walk = &event_walk};
	CtWalk walk;
	CtRun run;

	CT_ASSERT(snapshot == NULL || ct_snapshot_is_sound(snapshot));
	CT_ASSERT(visitor != NULL && position->before <= position->visited);
	set_instants(&fold, position->time, to);
	begin_visit(&fold, &walk);
	while (!event_walk.ended && ct_walk_block(&walk, &run))
	{
		note_block(&fold, ct_walk_path(&walk));
		fold_run(&fold, &run);
	}
	while (!event_walk.ended && fold.nextra > 0)
	{
		note_block(&fold, CT_PATH_END);
		take_extra(&fold);
	}
	return !event_walk.ended;
}
