/*
 * retain.c
 *	  Retention: fold events that are too old to be read into a base.
 *
 *	  before    | leaf | leaf | leaf | tail |      ▲ retained: instants from
 *	  after   base     | leaf | leaf | tail |      ▲ here on can be read
 *
 * Events before `retained` that every snapshot sees are composed, oldest first,
 * into the *base* of their timeline: the values of its row after them.  Every
 * state at or after `retained` includes them, so no such state changes.  A
 * closed leaf is folded when all of its events may be.  Rows of a tail are
 * folded several at a time, or if that saves memory.  A key whose last folded
 * event is a finish needs no base, and no timeline if no event is left.
 *
 * `retained` never passes a recent or waiting event.  So every event that enters
 * later comes after the base.  The duplicate of a folded event is before
 * `retained`, too, and is refused; so no event is counted twice.
 *
 * A walk over all timelines is continued from call to call.
 *
 * Called by store/batch.c through engine.h.
 *
 * Concurrency: the caller holds the partition's lock exclusively.
 *
 * Invariants:
 *	 P2  No recent or waiting event is before `retained`.
 *
 * Not here: how old is too old (store/retention.c), the format of bases (base.c;
 * P1, P3).
 */
#include "engine/base.h"
#include "engine/timeline.h"

#include <string.h>

/* Rows of a tail that are folded at once even if that saves no memory. */
#define ROWS_TO_FOLD (CT_TAIL_EVENTS >= 20 ? CT_TAIL_EVENTS / 10U : 2U)

/* The work of folding one block, if looking at a timeline is 1. */
#define FOLD_WORK 8

/* The most recent events of a key with id_of_key whose duplicates are looked for. */
#define MOST_HOLDERS 256

/* The most batches and waiting events that are examined before a walk begins. */
#define MOST_PENDING 16384

/* ---- folding ----------------------------------------------------------------- */

/* Events at the front of a timeline that are being folded into its base. */
typedef struct Fold
{
	CtCell before[CT_MAX_ATTRS];
	CtCell after[CT_MAX_ATTRS];
	CtBase head;
	bool present; /* whether the row exists after them */
} Fold;

static void
compose_fold(const CtReadContext *context, const CtTimeline *timeline, const CtRun *run, uint32_t n,
			 Fold *fold)
{
	const CtSchema *schema = context->schema;
	CtLayout scratch;

	ct_base_cells(context, timeline->base, fold->before);
	fold->present = ct_run_item(run, n - 1, &scratch).layout->kind != CT_FINISH;
	memcpy(fold->after, fold->before, schema->nattrs * sizeof(CtCell));
	for (int i = 0; i < schema->nattrs; i++)
	{
		CtCell total;

		if (schema->attr[i].rule == CT_RULE_NONE)
			continue;
		ct_run_compose(run, 0, n, i, &total);
		ct_cell_then(context, &schema->attr[i], &fold->after[i], &total);
	}
	fold->head = ct_base_head(schema, fold->after);
	fold->head.time = ct_run_time(run, n - 1);
}

/* Free the out-of-line values of events that the new base does not take over. */
static void
release_events(CtWriter *writer, const CtRun *run, uint32_t n, const CtCell *now)
{
	CtLayout scratch;

	if (run->layout != 0 && ct_layout_of(run->context, run->layout, NULL, NULL)->apart == 0)
		return;
	for (uint32_t j = 0; j < n; j++)
	{
		CtItem item = ct_run_item(run, j, &scratch);

		for (uint64_t rest = item.layout->apart; rest != 0; rest &= rest - 1)
		{
			int i = __builtin_ctzll(rest);
			CtRef ref;

			memcpy(&ref, item.record + ct_layout_offset(item.layout, i), sizeof(ref));
			ct_apart_release(writer, ref, &now[i]);
		}
	}
}

/*
 * Replace the base by one that includes the events; the caller then removes them.
 * False: no memory, and nothing was changed.
 */
static bool
apply_fold(CtWriter *writer, CtTimeline *timeline, const CtRun *run, uint32_t n, const Fold *fold)
{
	const CtBase *head = fold->present ? &fold->head : NULL;

	CT_ASSERT(n > 0 && n <= run->count && ct_is_changing(timeline));
	CT_ASSERT(writer->store->nfrozen >= n); /* S3 */
	if (!ct_base_replace(writer, timeline, head, fold->before, fold->after))
		return false;
	ct_timeline_forget(writer, timeline, run, n);
	release_events(writer, run, n, fold->after);
	writer->store->nfrozen -= n;
	writer->store->folded += n;
	return true;
}

/*
 * Return the instant of the earliest entered event whose id a recent or waiting event
 * has, too.  As long as that has not been settled, the entered one must not be
 * forgotten.  INT64_MIN: there are too many to examine.
 */
static int64_t
find_first_held(const CtWriter *writer, const CtTimeline *timeline)
{
	int64_t first = INT64_MAX;

	if (timeline->recents > MOST_HOLDERS)
		return INT64_MIN;
	for (CtRef ref = timeline->recent; ref != 0;)
	{
		const CtEvent *event = ct_ptr(writer->arena, ref);
		CtLayout scratch;
		CtItem item = ct_event_item(&writer->context, event, &scratch);
		CtSpot spot;
		CtRun run;

		ref = event->next;
		if (!ct_timeline_find_duplicate(&writer->context, timeline, &item, &spot))
			continue;
		ct_spot_run(&writer->context, timeline, &spot, &run);
		if (ct_run_time(&run, spot.position - 1) < first)
			first = ct_run_time(&run, spot.position - 1);
	}
	return first;
}

/*
 * Return how many events at the front may be folded.  If others are old enough, but
 * not yet seen by every snapshot, set retain_left, so that another walk follows.
 */
static uint32_t
count_foldable(const CtWriter *writer, const CtTimeline *timeline, const CtRun *run)
{
	CtStore *store = writer->store;
	uint32_t n = ct_run_until(run, store->retained - 1);

	if (writer->context.schema->id_of_key && n > 0 && timeline->recents > 0)
	{
		int64_t held = find_first_held(writer, timeline);

		if (held < store->retained)
		{
			n = held == INT64_MIN ? 0 : ct_run_until(run, held - 1);
			store->retain_left = true;
		}
	}
	for (uint32_t i = 0; i < n; i++)
	{
		if (ct_run_label(run, i) == 0)
			continue;
		store->retain_left = true;
		return i;
	}
	return n;
}

/* Set *spot to the first leaf. */
static void
find_first_leaf(const CtReadContext *context, CtTimeline *timeline, CtSpot *spot)
{
	CtRef *at = &timeline->root;

	for (spot->depth = 0; spot->depth < timeline->height; spot->depth++)
	{
		spot->inner[spot->depth] = ct_ptr(context->arena, *at);
		spot->index[spot->depth] = 0;
		at = &ct_node_child(spot->inner[spot->depth])[0];
	}
	spot->leaf = at;
	spot->position = 0;
}

/* Fold the first leaf.  False: not all of it may be folded, or no memory. */
static bool
fold_leaf(CtWriter *writer, CtTimeline *timeline)
{
	CtStore *store = writer->store;
	const CtInner *root = ct_ptr(writer->arena, timeline->root);
	CtSpot spot;
	CtRun run;
	Fold fold;
	bool folded;

	CT_ASSERT(timeline->root != 0);
	if (root->time[0] >= store->retained)
		return false;
	find_first_leaf(&writer->context, timeline, &spot);
	ct_leaf_run(&writer->context, ct_ptr(writer->arena, *spot.leaf), &run);
	if (count_foldable(writer, timeline, &run) < run.count)
		return false;
	compose_fold(&writer->context, timeline, &run, run.count, &fold);
	ct_change_begin(timeline);
	folded = apply_fold(writer, timeline, &run, run.count, &fold);
	if (folded)
		ct_leaf_vanish(writer, timeline, &spot);
	else
		store->retain_left = true;
	ct_change_end(timeline);
	return folded;
}

/* Return the capacity that a tail should have when `left` rows are left. */
static uint32_t
choose_capacity(const CtTimeline *timeline, uint32_t left)
{
	uint32_t room = left + left / 2 + 2;

	if (left == 0)
		return 0;
	return room < timeline->tail_capacity / 2U ? room : timeline->tail_capacity;
}

static size_t
get_alloc_size(size_t bytes)
{
	return bytes == 0 ? 0 : ct_alloc_size(bytes);
}

/*
 * True if folding the first n rows saves memory, or if it leaves no row and takes
 * no more memory.
 */
static bool
saves_memory(const CtWriter *writer, const CtTimeline *timeline, uint32_t n, const Fold *fold)
{
	const CtSchema *schema = writer->context.schema;
	uint32_t room = choose_capacity(timeline, timeline->tail_count - n);
	size_t before = get_alloc_size((size_t) timeline->tail_capacity * timeline->tail_stride);
	size_t after = get_alloc_size((size_t) room * timeline->tail_stride);

	if (timeline->base != 0)
		before += get_alloc_size(ct_base_bytes(schema, ct_ptr(writer->arena, timeline->base)));
	if (fold->present)
		after += get_alloc_size(ct_base_bytes(schema, &fold->head));
	return room == 0 ? after <= before : after < before;
}

/* Adapt a tail to the rows that are left.  Without memory for a smaller one it stays. */
static void
shrink_tail(CtWriter *writer, CtTimeline *timeline, uint32_t room)
{
	ct_tail_note(&writer->context, timeline);
	if (room < timeline->tail_capacity)
		(void) ct_tail_resize(writer, timeline, room, timeline->tail_stride);
}

/* Remove the first n rows of a tail, and give it a capacity of `room`. */
static void
drop_rows(CtWriter *writer, CtTimeline *timeline, uint32_t n, uint32_t room)
{
	uint32_t left = timeline->tail_count - n;

	CT_ASSERT(n > 0 && n <= timeline->tail_count);
	memmove(ct_tail_row(writer->arena, timeline, 0), ct_tail_row(writer->arena, timeline, n),
			(size_t) left * timeline->tail_stride);
	timeline->tail_count = (uint8_t) left;
	timeline->tail_frozen = timeline->tail_frozen > n ? (uint8_t) (timeline->tail_frozen - n) : 0;
	if (room == 0)
		ct_tail_free(writer, timeline);
	else
		shrink_tail(writer, timeline, room);
}

/* Fold rows at the front of a tail that has no tree before it.  False: none were folded. */
static bool
fold_tail(CtWriter *writer, CtTimeline *timeline)
{
	CtStore *store = writer->store;
	uint32_t left;
	uint32_t room;
	uint32_t n;
	CtRun run;
	Fold fold;
	bool folded;

	if (timeline->tail_count == 0 ||
		ct_tail_row(writer->arena, timeline, 0)->time >= store->retained)
		return false;
	ct_tail_run(&writer->context, timeline, &run);
	n = count_foldable(writer, timeline, &run);
	if (n == 0)
		return false;
	left = timeline->tail_count - n;
	room = choose_capacity(timeline, left);
	if (n < ROWS_TO_FOLD && room == timeline->tail_capacity)
		return false;
	compose_fold(&writer->context, timeline, &run, n, &fold);
	if (n < ROWS_TO_FOLD && !saves_memory(writer, timeline, n, &fold))
		return false;
	ct_change_begin(timeline);
	folded = apply_fold(writer, timeline, &run, n, &fold);
	if (folded)
		drop_rows(writer, timeline, n, room);
	else
		store->retain_left = true;
	ct_change_end(timeline);
	return folded;
}

/* ---- walks ------------------------------------------------------------------- */

/*
 * Return the earliest instant of an event that has not entered.  INT64_MIN: there
 * are too many to examine.
 */
static int64_t
find_oldest_pending(const CtWriter *writer)
{
	const CtArena *arena = writer->arena;
	int64_t oldest = INT64_MAX;
	uint32_t looked = 0;

	for (CtRef ref = writer->store->first_batch; ref != 0;)
	{
		const CtBatch *batch = ct_ptr(arena, ref);

		if (looked++ == MOST_PENDING)
			return INT64_MIN;
		oldest = batch->oldest < oldest ? batch->oldest : oldest;
		ref = batch->next;
	}
	for (CtRef ref = writer->store->waiting.first; ref != 0;)
	{
		const CtEvent *event = ct_ptr(arena, ref);

		if (looked++ == MOST_PENDING)
			return INT64_MIN;
		oldest = event->time < oldest ? event->time : oldest;
		ref = event->queue;
	}
	return oldest;
}

/* Return a number that changes when events are frozen, folded or settled. */
static inline uint64_t
count_progress(const CtStore *store)
{
	return store->nfrozen + store->folded + store->duplicates + store->conflicts;
}

/*
 * Begin another walk if there is a reason for one: `retained` can advance, or the
 * last walk left something and events have been frozen, folded or settled since.  False:
 * there is none.
 */
static bool
begin_walk(CtWriter *writer, int64_t from)
{
	CtStore *store = writer->store;

	if (from > store->retained)
	{
		int64_t oldest = find_oldest_pending(writer);

		from = oldest < from ? oldest : from;
	}
	if (from <= store->retained &&
		!(store->retain_left && count_progress(store) != store->retain_frozen))
		return false;
	store->retained = from > store->retained ? from : store->retained;
	store->retaining = true;
	store->retain_left = false;
	store->retain_frozen = count_progress(store);
	store->retain_slot = 0;
	return true;
}

CtStatus
ct_store_retain(CtArena *arena, CtRef ref, int64_t from, int limit)
{
	CtWriter writer = ct_writer(arena, ref);
	CtStore *store = writer.store;
	const CtDirectory *directory = &store->directory;
	int work = 0;

	CT_ASSERT(limit > 0);
	if (!store->retaining && !begin_walk(&writer, from))
		return CT_OK;
	for (; store->retain_slot < directory->nslots; store->retain_slot++)
	{
		CtRef slot = ct_directory_slot(arena, directory, store->retain_slot);
		CtTimeline *timeline = ct_ptr(arena, slot);

		if (work++ >= limit)
			return CT_MORE;
		if (slot == 0)
			continue;
		while (timeline->root != 0 && fold_leaf(&writer, timeline))
		{
			if ((work += FOLD_WORK) >= limit)
				return CT_MORE;
		}
		if (timeline->root == 0 && fold_tail(&writer, timeline))
			work += FOLD_WORK;
		if (ct_timeline_is_over(writer.store, timeline))
		{
			ct_change_begin(timeline);
			ct_directory_remove(&writer, slot); /* S5 */
			ct_change_end(timeline);
		}
	}
	store->retaining = false;
	return CT_OK;
}
