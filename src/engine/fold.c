/*
 * fold.c
 *	  Reading a timeline: fold at an instant, step onward, find effects.
 *
 * A fold applies, from left to right, what is known of whole subtrees where it
 * may, and single events where it must: where the snapshot sees only some of
 * a subtree, where a recent event falls between or takes an entered one's
 * place, and at the ends of the fold.
 *
 *	 sees all	hi < xmin, or hi < xmax and nobody in progress in [lo, hi]
 *	 sees none	no event is frozen, and lo >= xmax
 *
 * As long as nothing of that is in the way, a node takes one step: what comes
 * before the child that has the instant is known.  So without recent events a
 * fold looks at one child a level; with m visible ones at O((m + 1) log n).
 *
 * Most tables are plain: sums without bounds, and last values.  Where nothing
 * sets a sum or ends a life, the order does not matter to sums.  They are added
 * up on the way down, and many recent events apart from what has entered.
 *
 * The same walk tells the events themselves, as they were told to us.
 *
 * Called by scan.c, history.c and visible.c through engine.h, by store.c for effects.
 *
 * Concurrency: under the partition's lock, shared, or without it (read.c).
 *
 * Not here: which recent events are visible (visible.c in ../).
 */
#include "timeline.h"

#include <string.h>

/* Who is told events, and whether he had enough. */
typedef struct CtTelling
{
	CtTeller teller;
	void *arg;
	bool enough;
	CtTold told;
} CtTelling;

typedef struct CtFold
{
	const CtShape *shape;
	const CtTimeline *timeline;
	const CtSnapshot *snapshot; /* NULL: everything is seen */
	CtState *state;
	int64_t from; /* instants [from, to] */
	int64_t to;
	const CtRef *extra; /* the next ones */
	const CtRef *cancelled;
	uint32_t nextra;
	uint32_t ncancelled;
	uint64_t newest_top;
	uint32_t sequence; /* of the timeline, at the start */
	CtTelling *telling; /* tell the events, instead of folding them; or NULL */
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
	return ct_ptr(fold->shape->arena, ref);
}

static CtItem
bound_item(const CtFold *fold, const CtBound *bound, CtForm *scratch)
{
	CtRun run;

	if (bound->height >= 0)
		return ct_first_item(fold->shape, bound->ref, bound->height, scratch);
	ct_tail_run(fold->shape, fold->timeline, &run);
	return ct_run_item(&run, 0, scratch);
}

/* Does a recent event come before an entered one? */
static bool
precedes_item(const CtFold *fold, CtRef ref, const CtItem *item)
{
	const CtEvent *event = event_at(fold, ref);
	CtForm scratch;
	CtItem recent;

	if (event->time != item->time)
		return event->time < item->time;
	recent = ct_event_item(fold->shape, event, &scratch);
	return ct_item_cmp(fold->shape, &recent, item) < 0;
}

/*
 * The same of what ends a subtree.  An event whose twin has entered counts as
 * being where the twin is.  What is retracted may be any of those alike, which
 * may lie on both sides.
 */
static bool
precedes(const CtFold *fold, CtRef ref, const CtBound *bound)
{
	const CtEvent *event = event_at(fold, ref);
	CtForm scratch;
	CtForm other;
	CtItem recent;
	CtItem item;

	if (bound->ref == 0)
		return true;
	if (event->time != bound->time)
		return event->time < bound->time;
	recent = ct_event_item(fold->shape, event, &scratch);
	item = bound_item(fold, bound, &other);
	return recent.form->has_id ? ct_item_cmp_identity(fold->shape, &recent, &item) < 0
							   : ct_item_cmp(fold->shape, &recent, &item) <
									 (event->retracts != 0);
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
sees_all(const CtSnapshot *snapshot, uint64_t lo, uint64_t hi)
{
	if (snapshot == NULL || hi == 0 || hi < snapshot->xmin)
		return true;
	return hi < snapshot->xmax && !any_in_progress(snapshot, lo, hi);
}

bool
ct_snapshot_sees_all(const CtSnapshot *snapshot, uint64_t lo, uint64_t hi)
{
	return sees_all(snapshot, lo, hi);
}

static inline bool
sees_label(const CtFold *fold, uint32_t label)
{
	return label == 0 || fold->snapshot == NULL ||
		   ct_snapshot_sees(fold->snapshot, ct_label_top(fold->newest_top, label));
}

/* ---- whole subtrees --------------------------------------------------------------- */

static inline void
apply_cell(const CtFold *fold, const CtInner *inner, const CtColumn *column, CtWhich which,
		   uint32_t i, int attr)
{
	const CtAttr *a = &fold->shape->schema->attr[attr];
	CtValue *value = &fold->state->value[attr];
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
		ct_value_apply(fold->shape, attr, value, tag, payload);
}

static inline const CtColumn *
column_of(const CtFold *fold, const CtInner *inner, int attr)
{
	return ct_ptr(fold->shape->arena, ct_node_column(inner)[attr]);
}

/* Attributes without a column go back to what they are initially. */
static void
apply_finish(const CtFold *fold, const CtInner *inner)
{
	for (int i = 0; i < fold->shape->schema->nattrs; i++)
	{
		if ((inner->columns >> i & 1) == 0)
			ct_value_initial(fold->shape->schema, i, &fold->state->value[i]);
	}
}

/* The columns a node may have, whatever is in it. */
static inline uint64_t
columns_of(const CtFold *fold, const CtInner *inner)
{
	uint32_t nattrs = fold->shape->schema->nattrs;

	return nattrs < 64 ? inner->columns & ((UINT64_C(1) << nattrs) - 1) : inner->columns;
}

/* Everything in child i. */
static void
apply_child(const CtFold *fold, const CtInner *inner, uint32_t i)
{
	for (uint64_t rest = columns_of(fold, inner); rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);

		apply_cell(fold, inner, column_of(fold, inner, attr), CT_TOTAL, i, attr);
	}
	if (inner->finish >> i & 1)
		apply_finish(fold, inner);
	fold->state->present = (inner->absent >> i & 1) == 0;
}

/* The first n children, n > 0, but for attributes that are the last value set. */
static void
apply_numbers(const CtFold *fold, const CtInner *inner, uint32_t n)
{
	uint32_t i = n < inner->count ? n : n - 1;

	if (inner->finish & ct_bits_below(n))
		apply_finish(fold, inner);
	for (uint64_t rest = columns_of(fold, inner) & ~fold->shape->lasts; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		const CtColumn *column = column_of(fold, inner, attr);

		apply_cell(fold, inner, column, CT_GROUPS, i / CT_GROUP, attr);
		apply_cell(fold, inner, column, CT_BEFORE, i, attr);
		if (i < n)
			apply_cell(fold, inner, column, CT_TOTAL, i, attr);
	}
	fold->state->present = (inner->absent >> (n - 1) & 1) == 0;
}

/*
 * Of those that are wanted, the last values set in the first n children; which
 * ones still are.
 */
static uint64_t
apply_lasts(const CtFold *fold, const CtInner *inner, uint32_t n, uint64_t wanted)
{
	for (uint64_t rest = columns_of(fold, inner) & wanted; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		const CtColumn *column = column_of(fold, inner, attr);
		uint32_t sets = column->sets & ct_bits_below(n);

		if (sets == 0)
			continue;
		apply_cell(fold, inner, column, CT_TOTAL, 31 - (uint32_t) __builtin_clz(sets), attr);
		wanted &= ~(rest & -rest);
	}
	if (inner->finish & ct_bits_below(n))
	{
		for (; wanted != 0; wanted &= wanted - 1)
			ct_value_initial(fold->shape->schema, __builtin_ctzll(wanted),
							 &fold->state->value[__builtin_ctzll(wanted)]);
	}
	return wanted;
}

/* Everything in the first n children, n > 0. */
static void
apply_first(const CtFold *fold, const CtInner *inner, uint32_t n)
{
	apply_numbers(fold, inner, n);
	(void) apply_lasts(fold, inner, n, fold->shape->lasts);
}

/* ---- when nothing is in the way ------------------------------------------------------ */

static inline uint32_t
inner_count(const CtInner *inner)
{
	return inner->count < CT_FANOUT ? inner->count : CT_FANOUT;
}

/*
 * What is added up, on the way down; what was set last, from the end back on
 * the way up, where it is found soon.
 */
static void
fold_clean_tree(const CtFold *fold, uint64_t wanted)
{
	CtRef ref = fold->timeline->root;
	int height = fold->timeline->height < CT_MAX_HEIGHT ? fold->timeline->height : CT_MAX_HEIGHT;
	const CtInner *inner[CT_MAX_HEIGHT];
	uint32_t n[CT_MAX_HEIGHT];
	uint32_t from;
	uint32_t to;
	bool finish;
	CtRun run;

	for (int depth = 0; depth < height; depth++)
	{
		inner[depth] = ct_ptr(fold->shape->arena, ref);
		n[depth] = ct_node_until(inner[depth], fold->to);
		if (n[depth] == 0)
			return;
		ref = ct_node_child(inner[depth])[--n[depth]];
		ct_prefetch_block(ct_ptr(fold->shape->arena, ref));
		if (n[depth] > 0)
			apply_numbers(fold, inner[depth], n[depth]);
	}
	ct_leaf_run(fold->shape, ct_ptr(fold->shape->arena, ref), &run);
	to = ct_run_until(&run, fold->to);
	from = ct_run_numbers(&run, 0, to, fold->state, &finish);
	wanted = ct_run_lasts(&run, from, to, wanted, fold->state);
	for (int depth = height - 1; depth >= 0 && wanted != 0 && !finish; depth--)
	{
		if (n[depth] > 0)
			wanted = apply_lasts(fold, inner[depth], n[depth], wanted);
	}
}

/*
 * Who looks for an instant within a tail will jump about in it, and then read
 * it up to there: ask for all of it at once.
 */
static inline void
tail_ahead(const CtRun *run, int64_t time)
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
fold_clean(const CtFold *fold)
{
	const CtTimeline *timeline = fold->timeline;
	uint64_t lasts = fold->shape->lasts;
	const CtInner *root;
	uint32_t from;
	uint32_t to;
	bool finish;
	CtRun run;

	ct_tail_run(fold->shape, timeline, &run);
	if (timeline->root != 0 && (run.count == 0 || ct_run_time(&run, 0) > fold->to))
	{
		fold_clean_tree(fold, lasts);
		return;
	}
	tail_ahead(&run, fold->to);
	root = timeline->root == 0 ? NULL : ct_ptr(fold->shape->arena, timeline->root);
	if (root != NULL && inner_count(root) > 0)
		apply_numbers(fold, root, inner_count(root));
	to = ct_run_until(&run, fold->to);
	from = ct_run_numbers(&run, 0, to, fold->state, &finish);
	lasts = ct_run_lasts(&run, from, to, lasts, fold->state);
	if (root != NULL && inner_count(root) > 0 && lasts != 0 && !finish)
		(void) apply_lasts(fold, root, inner_count(root), lasts);
}

/* ---- when everything adds up ----------------------------------------------------------- */

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
adds_up(const CtShape *shape, const CtTimeline *timeline)
{
	const CtInner *root = ct_ptr(shape->arena, timeline->root);
	uint32_t number = timeline->tail_form;

	if (timeline->tail_count != 0)
	{
		const CtForm *form = number == 0 ? NULL : ct_form_of(shape, number, NULL, NULL);

		if (form == NULL || form->kind != CT_EVENT || (form->null & shape->sums) != 0)
			return false;
	}
	if (timeline->root == 0)
		return true;
	if (root->finish != 0)
		return false;
	for (uint64_t rest = root->columns & shape->sums; rest != 0; rest &= rest - 1)
	{
		const CtColumn *column =
			ct_ptr(shape->arena, ct_node_column(root)[__builtin_ctzll(rest)]);

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
value_add(const CtShape *shape, int attr, CtState *state, CtWide sum)
{
	CtValue *value = &state->value[attr];

	ct_value_begin_sum(&shape->schema->attr[attr], value);
	value->number = wide_add(value->number, sum);
}

/* Sums of the first n children. */
static inline void
add_children(const CtShape *shape, const CtInner *inner, uint32_t n, CtState *state)
{
	uint32_t capacity = ct_node_capacity(inner);
	uint32_t i = n < inner->count ? n : n - 1;

	for (uint64_t rest = inner->columns & shape->sums; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		const CtColumn *column = ct_ptr(shape->arena, ct_node_column(inner)[attr]);
		CtWide sum = CT_WIDE_ZERO;
		bool any = add_cell(column, capacity, CT_GROUPS, i / CT_GROUP, &sum);

		any |= add_cell(column, capacity, CT_BEFORE, i, &sum);
		if (i < n)
			any |= add_cell(column, capacity, CT_TOTAL, i, &sum);
		if (any)
			value_add(shape, attr, state, sum);
	}
}

/*
 * The way to the instant, and the sums of what it passes.  What is known of
 * children is read while the next one is on its way from memory.
 */
static void
add_way(const CtShape *shape, const CtTimeline *timeline, int64_t time, Way *way, CtState *state)
{
	int height = timeline->height < CT_MAX_HEIGHT ? timeline->height : CT_MAX_HEIGHT;
	CtRef ref = timeline->root;

	way->depth = 0;
	way->until = 0;
	way->in_tail = ref == 0 || (timeline->tail_count != 0 &&
								ct_tail_row(shape->arena, timeline, 0)->time <= time);
	if (way->in_tail)
	{
		const CtInner *root = ct_ptr(shape->arena, ref);

		ct_tail_run(shape, timeline, &way->run);
		tail_ahead(&way->run, time);
		if (ref != 0 && inner_count(root) > 0)
		{
			way->inner[0] = root;
			way->n[0] = inner_count(root);
			way->depth = 1;
			add_children(shape, root, way->n[0], state);
		}
	}
	else
	{
		for (; way->depth < height; way->depth++)
		{
			const CtInner *inner = ct_ptr(shape->arena, ref);
			uint32_t n = ct_node_until(inner, time);

			if (n == 0)
				return; /* (further down: it is torn) */
			ref = ct_node_child(inner)[--n];
			ct_prefetch_block(ct_ptr(shape->arena, ref));
			way->inner[way->depth] = inner;
			way->n[way->depth] = n;
			if (n > 0)
				add_children(shape, inner, n, state);
		}
		ct_leaf_run(shape, ct_ptr(shape->arena, ref), &way->run);
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
	const CtForm *form;
	__int128 events;
	uint32_t from;
	uint32_t to;
	bool backward;
	CtCell cell;

	if (run->form == 0 || run->shape->schema->attr[attr].wide)
	{
		ct_run_compose(run, 0, way->until, attr, &cell);
		*sum = cell.w[0];
		return cell.tag == CT_CHANGE;
	}
	form = ct_form_of(run->shape, run->form, NULL, NULL);
	if (!ct_form_sets(form, attr))
		return false;
	*sum = CT_WIDE_ZERO;
	backward = parent != NULL && (parent->columns >> attr & 1) != 0 && way->until > run->count / 2;
	from = backward ? way->until : 0;
	to = backward ? run->count : way->until;
	events = ct_run_add_up(run, from, to, ct_form_offset(form, attr));
	if (backward)
		(void) add_cell(ct_ptr(run->shape->arena, ct_node_column(parent)[attr]),
						ct_node_capacity(parent), CT_TOTAL, way->n[way->depth - 1], sum);
	*sum = wide_add(*sum, wide_from_int128(backward ? -events : events));
	return true;
}

/* The state before the first event: as ct_timeline_begin(), but knowing what there is. */
static inline void
begin_plain(const CtShape *shape, const CtTimeline *timeline, CtState *state)
{
	if (timeline->base != 0)
	{
		ct_timeline_begin(shape, timeline, state);
		return;
	}
	state->present = false;
	state->nattrs = shape->schema->nattrs;
	for (int i = 0; i < shape->schema->nattrs; i++)
		state->value[i].kind = CT_VALUE_NULL;
	for (uint64_t rest = shape->sums; rest != 0; rest &= rest - 1)
		state->value[__builtin_ctzll(rest)].extra = CT_WIDE_ZERO;
	for (uint64_t rest = shape->initial; rest != 0; rest &= rest - 1)
		ct_value_initial(shape->schema, __builtin_ctzll(rest),
						 &state->value[__builtin_ctzll(rest)]);
}

/*
 * The usual fold: nothing in the way, and everything adds up.  False: it is
 * another one, and the state is as it was.
 */
static bool
fold_plain(const CtShape *shape, const CtTimeline *timeline, int64_t time, CtState *state)
{
	uint64_t lasts;
	Way way;

	if (!adds_up(shape, timeline))
		return false;
	add_way(shape, timeline, time, &way, state);
	if (way.until == 0)
		return true; /* nothing is before the instant */
	for (uint64_t rest = way.run.set & shape->sums; rest != 0; rest &= rest - 1)
	{
		CtWide sum;

		if (sum_events(&way, __builtin_ctzll(rest), &sum))
			value_add(shape, __builtin_ctzll(rest), state, sum);
	}
	lasts = ct_run_lasts(&way.run, 0, way.until, shape->lasts, state);
	for (int depth = way.depth - 1; depth >= 0 && lasts != 0; depth--)
	{
		CtFold fold = {.shape = shape, .timeline = timeline, .state = state};

		lasts = apply_lasts(&fold, way.inner[depth], way.n[depth], lasts);
	}
	state->present = true;
	return true;
}

/* ---- when something is -------------------------------------------------------------- */

static void
tell(const CtFold *fold, const CtItem *item, bool entered, bool late)
{
	CtTelling *telling = fold->telling;
	CtTold *told = &telling->told;

	if (telling->enough)
		return;
	told->time = item->time;
	told->kind = item->form->kind;
	told->entered = entered;
	told->late = late;
	told->set = item->form->set;
	told->null = item->form->null;
	for (uint64_t rest = told->set & ~told->null; rest != 0; rest &= rest - 1)
		ct_value_told(fold->shape, item, __builtin_ctzll(rest),
					  &told->value[__builtin_ctzll(rest)]);
	telling->enough = !telling->teller(telling->arg, told);
}

/* Events [from, to) of a block. */
static void
take(const CtFold *fold, const CtRun *run, uint32_t from, uint32_t to)
{
	CtForm scratch;

	if (fold->telling == NULL)
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
	CtForm scratch;
	const CtEvent *event = event_at(fold, *fold->extra);
	CtItem item = ct_event_item(fold->shape, event, &scratch);

	if (fold->telling != NULL)
		tell(fold, &item, false,
			 event->state == CT_WAITING
				 ? event->late
				 : ct_timeline_has_later(fold->shape, fold->timeline, &item));
	else
		ct_state_add_item(fold->shape, fold->state, &item);
	fold->extra++;
	fold->nextra--;
}

/* Is the entered event to be left out? */
static bool
is_cancelled(CtFold *fold, const CtItem *item)
{
	CtForm scratch;
	CtItem recent;

	if (fold->ncancelled == 0 || event_at(fold, *fold->cancelled)->time != item->time)
		return false;
	recent = ct_event_item(fold->shape, event_at(fold, *fold->cancelled), &scratch);
	if (event_at(fold, *fold->cancelled)->retracts
			? ct_item_cmp(fold->shape, &recent, item) != 0
			: ct_item_cmp_identity(fold->shape, &recent, item) != 0)
		return false;
	fold->cancelled++;
	fold->ncancelled--;
	return true;
}

/* Events of a block, in stretches.  True: the end of the fold was reached. */
static bool
fold_run(CtFold *fold, const CtRun *run)
{
	uint32_t first = fold->from > INT64_MIN ? ct_run_until(run, fold->from - 1) : 0;
	uint32_t end = ct_run_until(run, fold->to);
	uint32_t start = first;

	for (uint32_t i = first; i < end; i++)
	{
		CtForm scratch;
		bool seen = sees_label(fold, ct_run_label(run, i));

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
	return end < run->count;
}

/* How many children from the first on can be taken in one step. */
static uint32_t
clean_prefix(const CtFold *fold, const CtInner *inner)
{
	uint32_t n = ct_node_until(inner, fold->to);
	uint32_t seen = 0;

	if (fold->from > INT64_MIN || n <= 1 || fold->telling != NULL)
		return 0;
	n--;
	if (fold->nextra > 0)
	{
		int64_t time = event_at(fold, *fold->extra)->time;
		uint32_t before = time > INT64_MIN ? ct_node_until(inner, time - 1) : 0;

		n = before == 0 ? 0 : before - 1 < n ? before - 1 : n;
	}
	if (fold->ncancelled > 0)
	{
		int64_t time = event_at(fold, *fold->cancelled)->time;
		uint32_t before = time > INT64_MIN ? ct_node_until(inner, time - 1) : 0;

		n = before == 0 ? 0 : before - 1 < n ? before - 1 : n;
	}
	while (seen < n && sees_all(fold->snapshot, ct_node_lo(inner)[seen], ct_node_hi(inner)[seen]))
		seen++;
	return seen;
}

/* What lies behind child i, given what lies behind the node. */
static CtBound
bound_of(const CtInner *inner, uint32_t i, int height, const CtBound *bound)
{
	if (i + 1 >= inner_count(inner))
		return *bound;
	return (CtBound){inner->time[i + 1], ct_node_child(inner)[i + 1], height - 1};
}

/* (The height of a timeline that is being changed may be 0 beside a root: no walk goes below 1.) */
static bool fold_node(CtFold *fold, CtRef ref, int height, const CtBound *bound);

/* One child.  True: the end of the fold was reached. */
static bool
fold_child(CtFold *fold, const CtInner *inner, uint32_t i, int height, const CtBound *bound)
{
	CtRef child = ct_node_child(inner)[i];
	CtBound own = {inner->time[i], child, height - 1};
	uint64_t lo = ct_node_lo(inner)[i];
	uint64_t hi = ct_node_hi(inner)[i];
	bool split;

	if (bound->ref != 0 && bound->time < fold->from)
		return false;
	if (own.time > fold->to)
		return true;
	while (own.time >= fold->from && fold->nextra > 0 && precedes(fold, *fold->extra, &own))
		add_extra(fold);
	split = (fold->nextra > 0 && precedes(fold, *fold->extra, bound)) ||
			(fold->ncancelled > 0 && precedes(fold, *fold->cancelled, bound));
	if (!split)
	{
		if (fold->snapshot != NULL && (inner->frozen >> i & 1) == 0 && lo >= fold->snapshot->xmax)
			return false;
		if (fold->telling == NULL && own.time >= fold->from &&
			(bound->ref != 0 ? bound->time <= fold->to : fold->to == INT64_MAX) &&
			sees_all(fold->snapshot, lo, hi))
		{
			apply_child(fold, inner, i);
			return false;
		}
	}
	if (height <= 1)
	{
		CtRun run;

		ct_leaf_run(fold->shape, ct_ptr(fold->shape->arena, child), &run);
		return fold_run(fold, &run);
	}
	return fold_node(fold, child, height - 1, bound);
}

/*
 * A torn tree has no end: who reads without the lock stops when the timeline
 * has changed, whatever he has found by then.
 */
static inline bool
is_torn(const CtFold *fold)
{
	return atomic_load_explicit(&fold->timeline->sequence, memory_order_relaxed) !=
		   fold->sequence;
}

static bool
fold_node(CtFold *fold, CtRef ref, int height, const CtBound *bound)
{
	const CtInner *inner = ct_ptr(fold->shape->arena, ref);
	uint32_t count = inner_count(inner);
	uint32_t i = clean_prefix(fold, inner);

	if (i > 0)
		apply_first(fold, inner, i);
	for (; i < count && !is_torn(fold); i++)
	{
		CtBound next = bound_of(inner, i, height, bound);

		if (fold->telling != NULL && fold->telling->enough)
			return true;
		if (fold_child(fold, inner, i, height, &next))
			return true;
	}
	return false;
}

/* Behind the tree: the first row of the tail, or nothing. */
static CtBound
tail_bound(const CtShape *shape, const CtTimeline *timeline)
{
	if (timeline->tail_count == 0)
		return OPEN_BOUND;
	return (CtBound){ct_tail_row(shape->arena, timeline, 0)->time, timeline->tail, -1};
}

/* ---- folds ---------------------------------------------------------------------------- */

static void
fold_all(CtFold *fold)
{
	const CtTimeline *timeline = fold->timeline;
	bool ended = false;

	if (fold->from == INT64_MIN && fold->nextra == 0 && fold->ncancelled == 0 &&
		fold->telling == NULL && sees_all(fold->snapshot, timeline->lo, timeline->hi))
	{
		if (!fold->shape->plain || !fold_plain(fold->shape, timeline, fold->to, fold->state))
			fold_clean(fold);
		return;
	}
	if (timeline->root != 0)
	{
		CtBound bound = tail_bound(fold->shape, timeline);
		int height = timeline->height < CT_MAX_HEIGHT ? timeline->height : CT_MAX_HEIGHT;

		ended = fold_node(fold, timeline->root, height, &bound);
	}
	if (!ended && timeline->tail_count != 0)
	{
		CtRun run;

		ct_tail_run(fold->shape, timeline, &run);
		(void) fold_run(fold, &run);
	}
	while (fold->nextra > 0)
		add_extra(fold);
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
	if (!fold->shape->plain || fold->nextra <= MANY_EXTRA || fold->ncancelled > 0 ||
		fold->from > INT64_MIN || fold->telling != NULL || !adds_up(fold->shape, fold->timeline))
		return false;
	*set = 0;
	for (uint32_t i = 0; i < fold->nextra; i++)
	{
		CtForm scratch;
		const CtForm *form =
			ct_event_item(fold->shape, event_at(fold, fold->extra[i]), &scratch).form;

		if (form->kind != CT_EVENT || (form->null & fold->shape->sums) != 0)
			return false;
		*set |= form->set;
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
		CtForm scratch;

		i--;
		wanted &= ~ct_event_item(fold->shape, event_at(fold, fold->extra[i]), &scratch).form->set;
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
	const CtShape *shape = fold->shape;
	const CtTimeline *timeline = fold->timeline;
	int height = timeline->height < CT_MAX_HEIGHT ? timeline->height : CT_MAX_HEIGHT;
	CtRef ref = timeline->root;
	CtRun run;
	uint32_t n;

	ct_tail_run(shape, timeline, &run);
	if (ref != 0 && (run.count == 0 || ct_run_time(&run, 0) > fold->to))
	{
		for (; height > 0; height--)
		{
			const CtInner *inner = ct_ptr(shape->arena, ref);

			n = ct_node_until(inner, fold->to);
			if (n == 0)
				return false;
			ref = ct_node_child(inner)[n - 1];
		}
		ct_leaf_run(shape, ct_ptr(shape->arena, ref), &run);
	}
	n = ct_run_until(&run, fold->to);
	return n > 0 && run.form != 0 && ct_run_time(&run, n - 1) > after &&
		   (set & ~ct_form_of(shape, run.form, NULL, NULL)->set) == 0 &&
		   sees_label(fold, ct_run_label(&run, n - 1));
}

/*
 * Sums do not depend on the order of events: those of entered and of recent ones
 * are added up apart, instead of one stretch between two recent events after the
 * other.  Of what is set last only the end is looked at in order.
 */
static void
fold_apart(const CtFold *fold, uint64_t set)
{
	const CtShape *shape = fold->shape;
	CtFold part = *fold;
	uint32_t first = last_setters(fold, set & shape->lasts);
	CtState lasts;

	part.nextra = 0;
	fold_all(&part);
	for (uint32_t i = 0; i < fold->nextra; i++)
	{
		CtForm scratch;
		CtItem item = ct_event_item(shape, event_at(fold, fold->extra[i]), &scratch);

		for (uint64_t rest = item.form->set & shape->sums; rest != 0; rest &= rest - 1)
		{
			int attr = __builtin_ctzll(rest);

			value_add(shape, attr, fold->state,
					  ct_cell_number(&shape->schema->attr[attr],
									 item.record + ct_form_offset(item.form, attr)));
		}
	}
	fold->state->present = true;
	if (first == fold->nextra ||
		entered_sets_last(fold, set & shape->lasts,
						  event_at(fold, fold->extra[fold->nextra - 1])->time))
		return;

	ct_state_initial(shape->schema, &lasts);
	part = *fold;
	part.state = &lasts;
	part.extra += first;
	part.nextra -= first;
	part.from = event_at(fold, fold->extra[first])->time;
	fold_all(&part);
	for (uint64_t rest = set & shape->lasts; rest != 0; rest &= rest - 1)
		fold->state->value[__builtin_ctzll(rest)] = lasts.value[__builtin_ctzll(rest)];
}

static void
fold_between(CtFold *fold, const CtRuns *runs, int64_t from, int64_t to)
{
	uint64_t set;

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
	if (may_fold_apart(fold, &set))
		fold_apart(fold, set);
	else
		fold_all(fold);
}

static CtFold
fold_begin(const CtArena *arena, CtRef store, CtRef timeline, const CtSnapshot *snapshot,
		   const CtShape *shape, CtState *state)
{
	return (CtFold){.shape = shape,
					.timeline = ct_ptr(arena, timeline),
					.snapshot = snapshot,
					.state = state,
					.newest_top = ((const CtStore *) ct_ptr(arena, store))->newest_top,
					.sequence = atomic_load(&((CtTimeline *) ct_ptr(arena, timeline))->sequence)};
}

static void
show(const CtFold *fold, const CtRuns *runs, int64_t time)
{
	const CtShape *shape = fold->shape;

	ct_state_show(shape, fold->state);
	if ((shape->linear | shape->moving) != 0)
	{
		CtSight sight = {shape, fold->timeline, fold->snapshot,
						 runs,  fold->newest_top, fold->sequence};

		ct_state_show_between(&sight, time, fold->state);
	}
}

void
ct_timeline_fold(const CtArena *arena, CtRef store, CtRef timeline, int64_t time,
				 const CtSnapshot *snapshot, const CtRuns *runs, CtState *state)
{
	CtShape shape = ct_store_shape(arena, ct_ptr(arena, store));
	const CtTimeline *t = ct_ptr(arena, timeline);
	CtFold fold;

	if (shape.plain && (runs == NULL || (runs->nextra == 0 && runs->ncancelled == 0)) &&
		sees_all(snapshot, t->lo, t->hi))
	{
		begin_plain(&shape, t, state);
		if (fold_plain(&shape, t, time, state))
			return;
	}
	ct_timeline_begin(&shape, t, state);
	fold = fold_begin(arena, store, timeline, snapshot, &shape, state);
	fold_between(&fold, runs, INT64_MIN, time);
	show(&fold, runs, time);
}

/* ---- going on ---------------------------------------------------------------------- */

/* The first instant of a block from fold->from on that has a visible event. */
static bool
run_next(const CtFold *fold, const CtRun *run, int64_t *time)
{
	uint32_t i = fold->from > INT64_MIN ? ct_run_until(run, fold->from - 1) : 0;

	for (; i < run->count; i++)
	{
		if (sees_label(fold, ct_run_label(run, i)))
		{
			*time = ct_run_time(run, i);
			return true;
		}
	}
	return false;
}

/* A cancelled event will do, for its twin is an extra of the same instant. */
static bool
node_next(const CtFold *fold, CtRef ref, int height, const CtBound *bound, int64_t *time)
{
	const CtInner *inner = ct_ptr(fold->shape->arena, ref);
	uint32_t count = inner_count(inner);
	uint32_t first = ct_node_until(inner, fold->from);

	/* An event of this instant may be in a child that begins before it. */
	while (first > 0 && inner->time[first - 1] == fold->from)
		first--;
	for (uint32_t i = first > 0 ? first - 1 : 0; i < count && !is_torn(fold); i++)
	{
		CtBound next = bound_of(inner, i, height, bound);
		CtRef child = ct_node_child(inner)[i];
		bool found;

		if (next.ref != 0 && next.time < fold->from)
			continue;
		if (fold->snapshot != NULL && (inner->frozen >> i & 1) == 0 &&
			ct_node_lo(inner)[i] >= fold->snapshot->xmax)
			continue;
		if (height <= 1)
		{
			CtRun run;

			ct_leaf_run(fold->shape, ct_ptr(fold->shape->arena, child), &run);
			found = run_next(fold, &run, time);
		}
		else
			found = node_next(fold, child, height - 1, &next, time);
		if (found)
			return true;
	}
	return false;
}

static bool
timeline_next(const CtFold *fold, int64_t *time)
{
	const CtTimeline *timeline = fold->timeline;

	if (timeline->root != 0)
	{
		CtBound bound = tail_bound(fold->shape, timeline);
		int height = timeline->height < CT_MAX_HEIGHT ? timeline->height : CT_MAX_HEIGHT;

		if ((bound.ref == 0 || bound.time >= fold->from) &&
			node_next(fold, timeline->root, height, &bound, time))
			return true;
	}
	if (timeline->tail_count != 0)
	{
		CtRun run;

		ct_tail_run(fold->shape, timeline, &run);
		return run_next(fold, &run, time);
	}
	return false;
}

bool
ct_timeline_step(const CtArena *arena, CtRef store, CtRef timeline, int64_t *time, int64_t until,
				 const CtSnapshot *snapshot, const CtRuns *runs, CtState *state)
{
	CtShape shape = ct_store_shape(arena, ct_ptr(arena, store));
	CtFold fold = fold_begin(arena, store, timeline, snapshot, &shape, state);
	int64_t next = 0;
	bool found;

	if (*time >= until)
		return false;
	fold.from = *time + 1;
	found = timeline_next(&fold, &next);
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
	ct_state_resume(&shape, state);
	fold_between(&fold, runs, next, next);
	show(&fold, runs, next);
	return true;
}

/* ---- events as they were told ---------------------------------------------------------- */

bool
ct_timeline_tell(const CtArena *arena, CtRef store, CtRef timeline, int64_t from, int64_t to,
				 const CtSnapshot *snapshot, const CtRuns *runs, CtTeller teller, void *arg)
{
	CtShape shape = ct_store_shape(arena, ct_ptr(arena, store));
	CtFold fold = fold_begin(arena, store, timeline, snapshot, &shape, NULL);
	CtTelling telling;

	telling.teller = teller;
	telling.arg = arg;
	telling.enough = false;
	fold.telling = &telling;
	fold_between(&fold, runs, from, to);
	return !telling.enough;
}

/* The last instant of a block, not after fold->to, that has a visible event. */
static bool
run_latest(const CtFold *fold, const CtRun *run, int64_t *time)
{
	for (uint32_t i = ct_run_until(run, fold->to); i > 0; i--)
	{
		if (sees_label(fold, ct_run_label(run, i - 1)))
		{
			*time = ct_run_time(run, i - 1);
			return true;
		}
	}
	return false;
}

static bool
node_latest(const CtFold *fold, CtRef ref, int height, int64_t *time)
{
	const CtInner *inner = ct_ptr(fold->shape->arena, ref);

	for (uint32_t i = ct_node_until(inner, fold->to); i > 0 && !is_torn(fold); i--)
	{
		CtRef child = ct_node_child(inner)[i - 1];
		bool found;

		if (fold->snapshot != NULL && (inner->frozen >> (i - 1) & 1) == 0 &&
			ct_node_lo(inner)[i - 1] >= fold->snapshot->xmax)
			continue;
		if (height <= 1)
		{
			CtRun run;

			ct_leaf_run(fold->shape, ct_ptr(fold->shape->arena, child), &run);
			found = run_latest(fold, &run, time);
		}
		else
			found = node_latest(fold, child, height - 1, time);
		if (found)
			return true;
	}
	return false;
}

bool
ct_timeline_latest(const CtArena *arena, CtRef store, CtRef timeline, int64_t *time,
				   const CtSnapshot *snapshot, const CtRuns *runs)
{
	CtShape shape = ct_store_shape(arena, ct_ptr(arena, store));
	CtFold fold = fold_begin(arena, store, timeline, snapshot, &shape, NULL);
	const CtTimeline *t = fold.timeline;
	int height = t->height < CT_MAX_HEIGHT ? t->height : CT_MAX_HEIGHT;
	int64_t latest = INT64_MIN;
	bool found = false;

	fold.to = *time;
	if (t->tail_count != 0)
	{
		CtRun run;

		ct_tail_run(&shape, t, &run);
		found = run_latest(&fold, &run, &latest);
	}
	/* (A cancelled event will do, for its twin is an extra of the same instant.) */
	if (!found && t->root != 0 && height > 0)
		found = node_latest(&fold, t->root, height, &latest);
	if (runs != NULL)
	{
		uint32_t before = fold.to < INT64_MAX
			? run_before(&fold, runs->extra, runs->nextra, fold.to + 1) : runs->nextra;

		if (before > 0)
		{
			int64_t extra = event_at(&fold, runs->extra[before - 1])->time;

			latest = found && latest > extra ? latest : extra;
			found = true;
		}
	}
	*time = latest;
	return found;
}

/* ---- runs --------------------------------------------------------------------------- */

static int
recent_cmp(const CtShape *shape, CtRef a, CtRef b)
{
	CtForm a_scratch;
	CtForm b_scratch;
	CtItem x = ct_event_item(shape, ct_ptr(shape->arena, a), &a_scratch);
	CtItem y = ct_event_item(shape, ct_ptr(shape->arena, b), &b_scratch);

	return ct_item_cmp(shape, &x, &y);
}

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
				bool from_b =
					a == middle || (b < end && recent_cmp(shape, run[b], run[a]) < 0);

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
	CtForm scratch;
	CtForm other;

	for (uint32_t i = 0; i < count; i++)
	{
		CtItem item = ct_event_item(shape, ct_ptr(shape->arena, run[i]), &scratch);

		if (kept > 0 && item.form->has_id)
		{
			CtItem last = ct_event_item(shape, ct_ptr(shape->arena, run[kept - 1]), &other);

			if (ct_item_cmp_identity(shape, &last, &item) == 0)
				continue;
		}
		run[kept++] = run[i];
	}
	return kept;
}

static inline bool
retracts(const CtShape *shape, CtRef ref)
{
	return ((const CtEvent *) ct_ptr(shape->arena, ref))->retracts != 0;
}

/*
 * Events that are alike are as good as each other.  As many of them as are
 * retracted go; if there are not so many, the others have entered.
 */
static void
run_retract(const CtShape *shape, CtRuns *runs)
{
	CtRef *run = runs->extra;
	uint32_t kept = 0;
	uint32_t end;

	for (uint32_t start = 0; start < runs->nextra; start = end)
	{
		uint32_t backward = 0;
		uint32_t forward = 0;

		for (end = start; end < runs->nextra; end++)
		{
			if (end > start && recent_cmp(shape, run[start], run[end]) != 0)
				break;
			if (retracts(shape, run[end]))
				backward++;
			else
				forward++;
		}
		for (uint32_t i = start; i < end; i++)
		{
			CtRef ref = run[i];

			if (retracts(shape, ref) && backward > forward)
			{
				runs->cancelled[runs->ncancelled++] = ref;
				backward--;
			}
			else if (!retracts(shape, ref) && forward > backward)
			{
				run[kept++] = ref;
				forward--;
			}
		}
	}
	runs->nextra = kept;
}

/* A cancelled twin finds its place among the retractions, which are few if there are twins. */
static void
run_insert(const CtShape *shape, CtRef *run, uint32_t count, CtRef ref)
{
	while (count > 0 && recent_cmp(shape, run[count - 1], ref) > 0)
	{
		run[count] = run[count - 1];
		count--;
	}
	run[count] = ref;
}

/* Is the entered event retracted?  *next: the first retraction that may be of it, or of a later one. */
static bool
is_retracted(const CtShape *shape, const CtRuns *runs, const CtItem *item, uint32_t *next)
{
	for (; *next < runs->ncancelled; ++*next)
	{
		CtForm scratch;
		CtItem other =
			ct_event_item(shape, ct_ptr(shape->arena, runs->cancelled[*next]), &scratch);
		int order = ct_item_cmp(shape, &other, item);

		if (order >= 0)
			return order == 0 && retracts(shape, runs->cancelled[*next]);
	}
	return false;
}

void
ct_timeline_merge(const CtArena *arena, CtRef store, CtRef timeline, const CtSnapshot *snapshot,
				  CtRuns *runs)
{
	const CtStore *s = ct_ptr(arena, store);
	const CtTimeline *t = ct_ptr(arena, timeline);
	CtShape shape = ct_store_shape(arena, s);
	uint32_t kept = 0;
	uint32_t next = 0;

	run_sort(&shape, runs->extra, runs->cancelled, runs->nextra);
	runs->ncancelled = 0;
	if (runs->retracts)
		run_retract(&shape, runs);
	runs->nextra = run_unique(&shape, runs->extra, runs->nextra);
	for (uint32_t i = 0; i < runs->nextra; i++)
	{
		CtForm scratch;
		CtForm other;
		CtItem item = ct_event_item(&shape, ct_ptr(arena, runs->extra[i]), &scratch);
		CtSpot spot;

		if (item.form->has_id && ct_timeline_locate(&shape, t, &item, &spot))
		{
			CtRun run;
			CtItem twin;
			uint32_t label;

			ct_spot_run(&shape, t, &spot, &run);
			twin = ct_run_item(&run, spot.position - 1, &other);
			label = ct_run_label(&run, spot.position - 1);
			if ((label == 0 || ct_snapshot_sees(snapshot, ct_label_top(s->newest_top, label))) &&
				!is_retracted(&shape, runs, &twin, &next))
			{
				if (ct_item_cmp(&shape, &item, &twin) >= 0)
					continue;
				run_insert(&shape, runs->cancelled, runs->ncancelled++, runs->extra[i]);
			}
		}
		runs->extra[kept++] = runs->extra[i];
	}
	runs->nextra = kept;
}

bool
ct_store_cancels(const CtArena *arena, CtRef store)
{
	const CtStore *s = ct_ptr(arena, store);

	return (s->linear | s->moving) == 0;
}

bool
ct_timeline_seen(const CtArena *arena, CtRef timeline, const CtSnapshot *snapshot)
{
	const CtTimeline *t = ct_ptr(arena, timeline);

	return sees_all(snapshot, t->lo, t->hi);
}

/* ---- effects ------------------------------------------------------------------------ */

/* Does it make the attribute independent of what was before? */
static bool
overrides(const CtShape *shape, const CtItem *item, int attr)
{
	if (item->form->kind == CT_FINISH)
		return true;
	return ct_form_sets(item->form, attr) &&
		   (item->form->kind == CT_SNAPSHOT || ct_form_nulls(item->form, attr) ||
			shape->schema->attr[attr].rule == CT_RULE_LAST);
}

/*
 * The first event from position `from` of a block on that overrides the
 * attribute; -1 is the row's presence, which every event decides.
 */
static bool
run_override(const CtRun *run, uint32_t from, int attr, CtItem *item, CtForm *scratch)
{
	if (attr >= 0 && !run->finish && (run->set >> attr & 1) == 0)
		return false;
	for (uint32_t i = from; i < run->count; i++)
	{
		*item = ct_run_item(run, i, scratch);
		if (attr < 0 || overrides(run->shape, item, attr))
			return true;
	}
	return false;
}

/* The children in which there is one. */
static uint32_t
overriding_children(const CtShape *shape, const CtInner *inner, int attr)
{
	const CtColumn *column;

	if (attr < 0)
		return ct_bits_below(inner->count);
	if ((inner->columns >> attr & 1) == 0)
		return inner->finish;
	column = ct_ptr(shape->arena, ct_node_column(inner)[attr]);
	return column->overrides;
}

static bool
node_override(const CtShape *shape, CtRef ref, int height, int attr, CtItem *item,
			  CtForm *scratch)
{
	CtRun run;

	for (; height > 0; height--)
	{
		const CtInner *inner = ct_ptr(shape->arena, ref);
		uint32_t children = overriding_children(shape, inner, attr);

		if (children == 0)
			return false;
		ref = ct_node_child(inner)[__builtin_ctz(children)];
	}
	ct_leaf_run(shape, ct_ptr(shape->arena, ref), &run);
	return run_override(&run, 0, attr, item, scratch);
}

/* The first event from the spot on that overrides it. */
bool
ct_next_override(const CtShape *shape, const CtTimeline *timeline, const CtSpot *spot, int attr,
				 CtItem *item, CtForm *scratch)
{
	CtRun run;

	ct_spot_run(shape, timeline, spot, &run);
	if (run_override(&run, spot->position, attr, item, scratch))
		return true;
	if (spot->depth == 0)
		return false;
	for (int depth = spot->depth - 1; depth >= 0; depth--)
	{
		const CtInner *inner = spot->inner[depth];
		uint32_t children =
			overriding_children(shape, inner, attr) & ~ct_bits_below(spot->index[depth] + 1);

		if (children != 0)
			return node_override(shape, ct_node_child(inner)[__builtin_ctz(children)],
								 timeline->height - depth - 1, attr, item, scratch);
	}
	ct_tail_run(shape, timeline, &run);
	return run_override(&run, 0, attr, item, scratch);
}

/* The state of all events before the spot, seen by everyone or not. */
static void
fold_before(const CtShape *shape, const CtTimeline *timeline, const CtSpot *spot, CtState *state)
{
	CtFold fold = {.shape = shape, .timeline = timeline, .state = state};
	CtRun run;

	ct_spot_run(shape, timeline, spot, &run);
	ct_timeline_begin(shape, timeline, state);
	for (int depth = 0; depth < spot->depth; depth++)
	{
		if (spot->index[depth] > 0)
			apply_first(&fold, spot->inner[depth], spot->index[depth]);
	}
	if (spot->depth == 0 && timeline->root != 0)
	{
		const CtInner *root = ct_ptr(shape->arena, timeline->root);

		apply_first(&fold, root, root->count);
	}
	ct_run_apply(&run, 0, spot->position, state);
}

static inline bool
touches(const CtShape *shape, const CtItem *item, int attr)
{
	return ct_form_sets(item->form, attr) ||
		   (item->form->kind == CT_FINISH && shape->schema->attr[attr].rule != CT_RULE_NONE);
}

/*
 * What would change if the event, which has not entered, entered now,
 * `instead` of its twin or beside all: nothing (false), or states at the
 * instants of the effect, which begins before the event only for what is
 * interpolated.  `widely`: or could change, if more events were there than
 * have entered.
 *
 * Attributes do not depend on each other (R3): where two states differ they
 * differ until the attributes that do are overridden.
 */
bool
ct_timeline_effect(const CtShape *shape, const CtTimeline *timeline, const CtItem *item,
				   bool instead, bool widely, CtEffect *effect)
{
	uint64_t between = shape->linear | shape->moving;
	CtSpot spot;
	CtSpot before;
	CtState base;
	CtState without;
	CtState with;
	CtItem twin;
	CtForm scratch;

	(void) ct_timeline_locate(shape, timeline, item, &spot);
	before = spot;
	before.position -= instead;
	fold_before(shape, timeline, &before, &without);
	ct_state_copy(&with, &without);
	if (between != 0)
		ct_state_copy(&base, &without);
	ct_state_add_item(shape, &with, item);
	if (instead)
	{
		CtRun run;

		ct_spot_run(shape, timeline, &spot, &run);
		twin = ct_run_item(&run, before.position, &scratch);
		ct_state_add_item(shape, &without, &twin);
	}

	effect->from = effect->to = item->time;
	for (int i = -1; i < shape->schema->nattrs; i++)
	{
		CtItem next = {.time = INT64_MAX};
		CtForm other;
		bool differs;

		if (i >= 0 && (between >> i & 1) != 0)
			continue;
		if (widely)
			differs = i < 0 || touches(shape, item, i) || (instead && touches(shape, &twin, i));
		else
			differs = i < 0 ? with.present != without.present
							: !ct_value_equal(&with.value[i], &without.value[i]);
		if (!differs)
			continue;
		if (!ct_next_override(shape, timeline, &spot, i, &next, &other))
			next.time = INT64_MAX;
		effect->to = next.time > effect->to ? next.time : effect->to;
	}
	if (between != 0)
	{
		CtEntering entering = {item, instead ? &twin : NULL, &spot, widely, &base, &with, &without};

		ct_effect_between(shape, timeline, &entering, effect);
	}
	return effect->to > effect->from;
}
