/*
 * fold.c
 *	  Reading a timeline: fold at an instant, step onward, visit raw events.
 *
 * A fold applies, from left to right, what is known of whole subtrees where it
 * may, and single events where it must: where the snapshot sees only some of
 * a subtree, where a recent event falls between or takes an entered one's
 * place, and at the ends of the fold.
 *
 * As long as nothing of that is in the way, a node takes one step: what comes
 * before the child that has the instant is known.  So without recent events a
 * fold looks at one child a level; with m visible ones at O((m + 1) log n).
 *
 * Most tables are plain: sums without bounds, and last values.  Where nothing
 * sets a sum or ends a life, the order does not matter to sums.  They are added
 * up on the way down, and many recent events apart from what has entered.
 *
 * The same walk (walk.h) visits raw events.
 *
 * Called by scan.c, history.c and visible.c (all in ../) through engine.h; by
 * effect.c for ct_children_apply().
 *
 * Concurrency: under the partition's lock, shared, or without it (read.c).
 *
 * Not here: which recent events are visible (visible.c in ../) and how they lie
 * beside the entered ones (merge.c), what is shown between events (between.c).
 */
#include "engine/fold.h"

#include <string.h>

#include "engine/base.h"
#include "engine/between.h"

/* A visitor of raw events, and whether it has ended the visit. */
typedef struct CtRawWalk
{
	CtVisitor teller;
	void *arg;
	bool enough;
	CtRawEvent told;
} CtRawWalk;

typedef struct CtFold
{
	CtSight sight;
	CtState *state;
	int64_t from; /* instants [from, to] */
	int64_t to;
	const CtRef *extra; /* the next ones */
	const CtRef *cancelled;
	uint32_t nextra;
	uint32_t ncancelled;
	CtRawWalk *event_walk; /* tell the events, instead of folding them; or NULL */
} CtFold;

/* The first event behind a subtree; `ref` 0: nothing is. */
typedef struct CtBound
{
	int64_t time;
	CtRef ref;
	int height; /* -1: the tail */
} CtBound;

static const CtBound OPEN_BOUND = {INT64_MAX, 0, 0};

static inline const CtEvent *
event_at(const CtFold *fold, CtRef ref)
{
	return ct_sight_event(&fold->sight, ref);
}

static CtItem
bound_item(const CtFold *fold, const CtBound *bound, CtLayout *scratch)
{
	CtRun run;

	if (bound->height >= 0)
		return ct_first_item(fold->sight.context, bound->ref, bound->height, scratch);
	ct_tail_run(fold->sight.context, fold->sight.timeline, &run);
	return ct_run_item(&run, 0, scratch);
}

/* Does a recent event come before an entered one? */
static bool
precedes_item(const CtFold *fold, CtRef ref, const CtItem *item)
{
	const CtEvent *event = event_at(fold, ref);
	CtLayout scratch;
	CtItem recent;

	if (event->time != item->time)
		return event->time < item->time;
	recent = ct_event_item(fold->sight.context, event, &scratch);
	return ct_item_cmp(fold->sight.context, &recent, item) < 0;
}

/*
 * The same of what ends a subtree.  An event whose duplicate has entered counts as
 * being where the duplicate is.  What is retracted may be any of those alike, which
 * may lie on both sides.
 */
static bool
precedes(const CtFold *fold, CtRef ref, const CtBound *bound)
{
	const CtEvent *event = event_at(fold, ref);
	CtLayout scratch;
	CtLayout other;
	CtItem recent;
	CtItem item;

	if (bound->ref == 0)
		return true;
	if (event->time != bound->time)
		return event->time < bound->time;
	recent = ct_event_item(fold->sight.context, event, &scratch);
	item = bound_item(fold, bound, &other);
	return recent.layout->has_id
			   ? ct_item_cmp_identity(fold->sight.context, &recent, &item) < 0
			   : ct_item_cmp(fold->sight.context, &recent, &item) < (event->retracts != 0);
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
column_of(const CtReadContext *context, const CtInner *inner, int attr)
{
	return ct_ptr(context->arena, ct_node_column(inner)[attr]);
}

/* Attributes without a column go back to what they are initially. */
static void
apply_finish(const CtReadContext *context, const CtInner *inner, CtState *state)
{
	for (int i = 0; i < context->schema->nattrs; i++)
	{
		if ((inner->columns >> i & 1) == 0)
			ct_value_initial(context->schema, i, &state->value[i]);
	}
}

/* The columns a node may have, whatever is in it. */
static inline uint64_t
columns_of(const CtReadContext *context, const CtInner *inner)
{
	uint32_t nattrs = context->schema->nattrs;

	return nattrs < 64 ? inner->columns & ((UINT64_C(1) << nattrs) - 1) : inner->columns;
}

/* Everything in child i. */
static void
apply_child(const CtReadContext *context, const CtInner *inner, uint32_t i, CtState *state)
{
	for (uint64_t rest = columns_of(context, inner); rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);

		apply_cell(context, inner, column_of(context, inner, attr), CT_TOTAL, i, attr, state);
	}
	if (inner->finish >> i & 1)
		apply_finish(context, inner, state);
	state->present = (inner->absent >> i & 1) == 0;
}

/* The first n children, n > 0, but for attributes that are the last value set. */
static void
apply_numbers(const CtReadContext *context, const CtInner *inner, uint32_t n, CtState *state)
{
	uint32_t i = n < inner->count ? n : n - 1;

	CT_ASSERT(n > 0);
	if (inner->finish & ct_bits_below(n))
		apply_finish(context, inner, state);
	for (uint64_t rest = columns_of(context, inner) & ~context->lasts; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		const CtColumn *column = column_of(context, inner, attr);

		apply_cell(context, inner, column, CT_GROUPS, i / CT_GROUP, attr, state);
		apply_cell(context, inner, column, CT_BEFORE, i, attr, state);
		if (i < n)
			apply_cell(context, inner, column, CT_TOTAL, i, attr, state);
	}
	state->present = (inner->absent >> (n - 1) & 1) == 0;
}

/*
 * Of those that are wanted, the last values set in the first n children; which
 * ones still are.
 */
static uint64_t
apply_lasts(const CtReadContext *context, const CtInner *inner, uint32_t n, uint64_t wanted,
			CtState *state)
{
	for (uint64_t rest = columns_of(context, inner) & wanted; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		const CtColumn *column = column_of(context, inner, attr);
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

/* Everything in the first n children, n > 0. */
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

/* ---- when nothing is in the way ---------------------------------------------- */

/*
 * What is added up, on the way down; what was set last, from the end back on
 * the way up, where it is found soon.
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
 * Who looks for an instant within a tail will jump about in it, and then read
 * it up to there: ask for all of it at once.
 */
static inline void
tail_lies_ahead(const CtRun *run, int64_t time)
{
	const char *rows = (const char *) run->base;
	size_t bytes = (size_t) run->count * run->stride;

	if (run->count <= 8 || ct_run_time(run, run->count - 1) <= time)
		return;
	for (size_t at = 64; at < bytes && at < CT_TAIL_BYTES; at += 64)
		__builtin_prefetch(rows + at);
}

/* With nothing to leave out and nothing to add. */
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
	tail_lies_ahead(&run, time);
	root = timeline->root == 0 ? NULL : ct_ptr(context->arena, timeline->root);
	if (root != NULL && ct_node_count(root) > 0)
		apply_numbers(context, root, ct_node_count(root), state);
	to = ct_run_until(&run, time);
	from = ct_run_numbers(&run, 0, to, state, &finish);
	lasts = ct_run_lasts(&run, from, to, lasts, state);
	if (root != NULL && ct_node_count(root) > 0 && lasts != 0 && !finish)
		(void) apply_lasts(context, root, ct_node_count(root), lasts, state);
}

/* ---- when everything adds up ------------------------------------------------- */

/*
 * The way to an instant: how many children of each node are before it, and how
 * many events of a leaf or the tail.  In front of the tail is all of the root.
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

/*
 * Does all that is known of a timeline with sums and lasts add up?  No finish,
 * and nothing that sets a sum.
 */
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
 * A cell of a sum is added; true if there is anything in it.  A narrow one is 0
 * otherwise, so nothing depends on that, which would be guessed wrong.
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
value_add(const CtReadContext *context, int attr, CtState *state, CtWide sum)
{
	CtValue *value = &state->value[attr];

	ct_value_begin_sum(&context->schema->attr[attr], value);
	value->number = wide_add(value->number, sum);
}

/* Sums of the first n children. */
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
			value_add(context, attr, state, sum);
	}
}

/*
 * The way to the instant, and the sums of what it passes.  What is known of
 * children is read while the next one is on its way from memory.
 */
static void
add_way(const CtReadContext *context, const CtTimeline *timeline, int64_t time, Way *way,
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
		tail_lies_ahead(&way->run, time);
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
				return; /* (further down: it is torn) */
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
 * The sum of the first events of the run.  With most of a leaf it is less work
 * to take the others from what is known of all of it.
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

/* The state before the first event: as ct_timeline_begin(), but knowing what there is. */
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
 * The usual fold: nothing in the way, and everything adds up.  False: it is
 * another one, and the state is as it was.
 */
static bool
fold_plain(const CtReadContext *context, const CtTimeline *timeline, int64_t time, CtState *state)
{
	uint64_t lasts;
	Way way;

	if (!adds_up(context, timeline))
		return false;
	add_way(context, timeline, time, &way, state);
	if (way.until == 0)
		return true; /* nothing is before the instant */
	for (uint64_t rest = way.run.set & context->sums; rest != 0; rest &= rest - 1)
	{
		CtWide sum;

		if (sum_events(&way, __builtin_ctzll(rest), &sum))
			value_add(context, __builtin_ctzll(rest), state, sum);
	}
	lasts = ct_run_lasts(&way.run, 0, way.until, context->lasts, state);
	for (int depth = way.depth - 1; depth >= 0 && lasts != 0; depth--)
		lasts = apply_lasts(context, way.inner[depth], way.n[depth], lasts, state);
	state->present = true;
	return true;
}

/* ---- when something is ------------------------------------------------------- */

static void
tell(const CtFold *fold, const CtItem *item, bool entered, bool late)
{
	CtRawWalk *event_walk = fold->event_walk;
	CtRawEvent *told = &event_walk->told;

	if (event_walk->enough)
		return;
	told->time = item->time;
	told->kind = item->layout->kind;
	told->entered = entered;
	told->late = late;
	told->set = item->layout->set;
	told->null = item->layout->null;
	for (uint64_t rest = told->set & ~told->null; rest != 0; rest &= rest - 1)
		ct_value_raw(fold->sight.context, item, __builtin_ctzll(rest),
					 &told->value[__builtin_ctzll(rest)]);
	event_walk->enough = !event_walk->teller(event_walk->arg, told);
}

/* Events [from, to) of a block. */
static void
take(const CtFold *fold, const CtRun *run, uint32_t from, uint32_t to)
{
	CtLayout scratch;

	if (fold->event_walk == NULL)
	{
		ct_run_apply(run, from, to, fold->state);
		return;
	}
	for (; from < to; from++)
	{
		CtItem item = ct_run_item(run, from, &scratch);

		tell(fold, &item, true, ct_run_late(run, from));
	}
}

static void
add_extra(CtFold *fold)
{
	CtLayout scratch;
	const CtEvent *event = event_at(fold, *fold->extra);
	CtItem item = ct_event_item(fold->sight.context, event, &scratch);

	CT_ASSERT(fold->nextra > 0);
	if (fold->event_walk != NULL)
		tell(fold, &item, false,
			 event->state == CT_WAITING
				 ? event->late
				 : ct_timeline_has_later(fold->sight.context, fold->sight.timeline, &item));
	else
		ct_state_add_item(fold->sight.context, fold->state, &item);
	fold->extra++;
	fold->nextra--;
}

/* Is the entered event to be left out? */
static bool
is_cancelled(CtFold *fold, const CtItem *item)
{
	CtLayout scratch;
	CtItem recent;

	if (fold->ncancelled == 0 || event_at(fold, *fold->cancelled)->time != item->time)
		return false;
	recent = ct_event_item(fold->sight.context, event_at(fold, *fold->cancelled), &scratch);
	if (event_at(fold, *fold->cancelled)->retracts
			? ct_item_cmp(fold->sight.context, &recent, item) != 0
			: ct_item_cmp_identity(fold->sight.context, &recent, item) != 0)
		return false;
	fold->cancelled++;
	fold->ncancelled--;
	return true;
}

/* Events of a block, in stretches. */
static void
fold_run(CtFold *fold, const CtRun *run)
{
	uint32_t first = fold->from > INT64_MIN ? ct_run_until(run, fold->from - 1) : 0;
	uint32_t end = ct_run_until(run, fold->to);
	uint32_t start = first;

	for (uint32_t i = first; i < end; i++)
	{
		CtLayout scratch;
		bool seen = ct_sight_sees(&fold->sight, ct_run_label(run, i));

		if (fold->nextra > 0 || fold->ncancelled > 0)
		{
			CtItem item = ct_run_item(run, i, &scratch);

			while (fold->nextra > 0 && precedes_item(fold, *fold->extra, &item))
			{
				take(fold, run, start, i);
				start = i;
				add_extra(fold);
			}
			if (seen && is_cancelled(fold, &item))
				seen = false;
		}
		if (!seen)
		{
			take(fold, run, start, i);
			start = i + 1;
		}
	}
	if (start < end)
		take(fold, run, start, end);
}

/* How many children of the node from the first on can be taken in one step. */
static uint32_t
clean_prefix(const CtFold *fold, const CtWalk *walk)
{
	const CtInner *inner = ct_walk_node(walk);
	uint32_t children = walk->children[walk->depth - 1];
	uint32_t n = children == 0 ? 0 : 31 - (uint32_t) __builtin_clz(children);
	uint32_t seen = 0;

	if (fold->from > INT64_MIN)
		return 0;
	if (fold->nextra > 0)
	{
		int64_t time = event_at(fold, *fold->extra)->time;
		uint32_t before = time > INT64_MIN ? ct_node_until(inner, time - 1) : 0;

		n = before == 0 ? 0 : before - 1 < n ? before - 1
											 : n;
	}
	if (fold->ncancelled > 0)
	{
		int64_t time = event_at(fold, *fold->cancelled)->time;
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
	uint32_t n = clean_prefix(fold, walk);

	if (n == 0)
		return;
	apply_first(fold->sight.context, ct_walk_node(walk), n, fold->state);
	walk->children[walk->depth - 1] &= ~ct_bits_below(n);
}

/* What lies behind child i, given what lies behind the node. */
static inline CtBound
bound_of(const CtInner *inner, uint32_t i, int height, const CtBound *bound)
{
	if (i + 1 >= ct_node_count(inner))
		return *bound;
	return (CtBound){inner->time[i + 1], ct_node_child(inner)[i + 1], height - 1};
}

/* Recent events before child i are added; false: what is in it has to be looked at. */
static bool
take_child(CtFold *fold, const CtInner *inner, uint32_t i, int height, const CtBound *bound)
{
	CtBound own = {inner->time[i], ct_node_child(inner)[i], height - 1};

	while (own.time >= fold->from && fold->nextra > 0 && precedes(fold, *fold->extra, &own))
		add_extra(fold);
	if ((fold->nextra > 0 && precedes(fold, *fold->extra, bound)) ||
		(fold->ncancelled > 0 && precedes(fold, *fold->cancelled, bound)))
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

/* Behind the tree: the first row of the tail, or nothing. */
static CtBound
tail_bound(const CtReadContext *context, const CtTimeline *timeline)
{
	if (timeline->tail_count == 0)
		return OPEN_BOUND;
	return (CtBound){ct_tail_row(context->arena, timeline, 0)->time, timeline->tail, -1};
}

/* What is in the tree: by subtrees where that may be, else leaf by leaf. */
static void
fold_tree(CtFold *fold)
{
	const CtReadContext *context = fold->sight.context;
	CtBound behind[CT_MAX_HEIGHT]; /* each node on the way */
	CtWalk walk;
	uint32_t i;

	ct_walk_begin(&walk, &fold->sight, fold->from, fold->to, -1);
	behind[0] = tail_bound(context, fold->sight.timeline);
	take_prefix(fold, &walk);
	while (ct_walk_child(&walk, false, &i))
	{
		const CtInner *inner = ct_walk_node(&walk);
		CtRef child = ct_node_child(inner)[i];
		int height = walk.height - walk.depth + 1;
		CtBound bound = bound_of(inner, i, height, &behind[walk.depth - 1]);
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
		add_extra(fold);
}

/* Restrict a run to the instants of the fold. */
static void
run_clip(const CtFold *fold, const CtRef **run, uint32_t *count)
{
	uint32_t first = ct_sight_before(&fold->sight, *run, *count, fold->from);
	uint32_t end = *count;

	CT_ASSERT(*count == 0 || *run != NULL);
	if (fold->to < INT64_MAX)
		end = ct_sight_before(&fold->sight, *run, *count, fold->to + 1);
	*run += first;
	*count = end - first;
}

/* The instants of a fold, and the recent events at them. */
static void
fold_clip(CtFold *fold, int64_t from, int64_t to)
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
	run_clip(fold, &fold->extra, &fold->nextra);
	run_clip(fold, &fold->cancelled, &fold->ncancelled);
}

/*
 * Beside more recent events than this, sums are added up apart from the order
 * if they may.
 */
#define MANY_EXTRA 4

/*
 * May what is recent be added up apart?  Nothing in it sets a sum, ends a life,
 * or takes another's place.  *set: what is set in it.
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
			ct_event_item(fold->sight.context, event_at(fold, fold->extra[i]), &scratch).layout;

		if (layout->kind != CT_EVENT || (layout->null & fold->sight.context->sums) != 0)
			return false;
		*set |= layout->set;
	}
	return true;
}

/* Recent events from the end back until all that they set has been. */
static uint32_t
last_setters(const CtFold *fold, uint64_t wanted)
{
	uint32_t i = fold->nextra;

	while (i > 0 && wanted != 0)
	{
		CtLayout scratch;

		i--;
		wanted &= ~ct_event_item(fold->sight.context, event_at(fold, fold->extra[i]), &scratch)
					   .layout->set;
	}
	return i;
}

/*
 * Does the last entered event set all of these, and is it after the instant and
 * seen?  If not, it is not known who does.
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
 * Sums do not depend on the order of events: those of entered and of recent ones
 * are added up apart, instead of one stretch between two recent events after the
 * other.  Of what is set last only the end is looked at in order.
 */
static void
fold_apart(const CtFold *fold, uint64_t set)
{
	const CtReadContext *context = fold->sight.context;
	CtFold part = *fold;
	uint32_t first = last_setters(fold, set & context->lasts);
	CtState lasts;

	part.nextra = 0;
	fold_all(&part);
	for (uint32_t i = 0; i < fold->nextra; i++)
	{
		CtLayout scratch;
		CtItem item = ct_event_item(context, event_at(fold, fold->extra[i]), &scratch);

		for (uint64_t rest = item.layout->set & context->sums; rest != 0; rest &= rest - 1)
		{
			int attr = __builtin_ctzll(rest);

			value_add(context, attr, fold->state,
					  ct_cell_number(&context->schema->attr[attr],
									 item.record + ct_layout_offset(item.layout, attr)));
		}
	}
	fold->state->present = true;
	if (first == fold->nextra ||
		entered_sets_last(fold, set & context->lasts,
						  event_at(fold, fold->extra[fold->nextra - 1])->time))
		return;

	ct_state_initial(context->schema, &lasts);
	part = *fold;
	part.state = &lasts;
	part.extra += first;
	part.nextra -= first;
	part.from = event_at(fold, fold->extra[first])->time;
	fold_all(&part);
	for (uint64_t rest = set & context->lasts; rest != 0; rest &= rest - 1)
		fold->state->value[__builtin_ctzll(rest)] = lasts.value[__builtin_ctzll(rest)];
}

static void
fold_between(CtFold *fold, int64_t from, int64_t to)
{
	uint64_t set;

	fold_clip(fold, from, to);
	if (may_fold_apart(fold, &set))
		fold_apart(fold, set);
	else
		fold_all(fold);
}

static void
show(const CtFold *fold, int64_t time)
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
	show(&fold, time);
}

/* ---- going on ---------------------------------------------------------------- */

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
	show(&fold, next);
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

bool
ct_timeline_visit(const CtArena *arena, CtRef store, CtRef timeline, int64_t from, int64_t to,
				  const CtSnapshot *snapshot, const CtRuns *runs, CtVisitor teller, void *arg)
{
	CtReadContext context = ct_store_read_context(arena, ct_ptr(arena, store));
	CtRawWalk event_walk = {.teller = teller, .arg = arg};
	CtFold fold = {.sight = ct_sight(&context, store, timeline, snapshot, runs),
				   .event_walk = &event_walk};
	CtWalk walk;
	CtRun run;

	CT_ASSERT(snapshot == NULL || ct_snapshot_is_sound(snapshot));
	CT_ASSERT(teller != NULL);
	fold_clip(&fold, from, to);
	ct_walk_begin(&walk, &fold.sight, from, to, -1);
	while (!event_walk.enough && ct_walk_block(&walk, &run))
		fold_run(&fold, &run);
	while (!event_walk.enough && fold.nextra > 0)
		add_extra(&fold);
	return !event_walk.enough;
}
