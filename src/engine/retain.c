/*
 * retain.c
 *	  What is older than must be answered: folded into what a key begins with.
 *
 *	  before    | leaf | leaf | leaf | tail |      ▲ retained: instants from
 *	  after   base     | leaf | leaf | tail |      ▲ here on are answered
 *
 * Events before `retained` that everyone sees are composed, oldest first, into
 * the *base* of their timeline: the values of its row after them.  Every state
 * at or after `retained` has them in it whatever it is, so none changes.  A
 * closed leaf goes when all of it may; rows of a tail go several at a time,
 * and only if that saves memory.  A key that ends with a finish needs no base,
 * and with nothing behind the finish no timeline.
 *
 * What has not entered holds the walk back: `retained` never passes a recent
 * or waiting event, so whatever enters later is behind the base.  An event
 * whose duplicate has been folded is before `retained`, too, and refused; so that
 * nothing is counted twice.
 *
 * A walk over all timelines goes on from call to call.
 *
 * Called by worker.c through engine.h.
 *
 * Concurrency: under the partition's lock, exclusively.
 *
 * Invariants:
 *	 P2  No recent or waiting event is before `retained`.
 *
 * Not here: how old is too old (../retention.c), bases themselves (base.c; P1,
 * P3).
 */
#include "engine/base.h"
#include "engine/timeline.h"

#include <string.h>

/* Rows of a tail that go at once, if memory alone is no reason. */
#define ROWS_TO_FOLD (CT_TAIL_EVENTS >= 20 ? CT_TAIL_EVENTS / 10U : 2U)

/* What folding one block counts for, beside a look at a timeline. */
#define FOLD_WORK 8

/* Batches and waiting events that a walk looks through before it begins. */
#define MOST_PENDING 16384

/* ---- folding ----------------------------------------------------------------- */

/* Events at the front of a timeline, about to go into its base. */
typedef struct Fold
{
	CtCell before[CT_MAX_ATTRS];
	CtCell after[CT_MAX_ATTRS];
	CtBase head;
	bool present; /* the row, after them */
} Fold;

static void
fold_compute(const CtReadContext *context, const CtTimeline *timeline, const CtRun *run, uint32_t n,
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

/* What events owned and the new base does not take over. */
static void
run_release(CtWriter *writer, const CtRun *run, uint32_t n, const CtCell *now)
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
 * The events' effect is now the base's; the caller takes them out.  False: no
 * memory, nothing was changed.
 */
static bool
fold_apply(CtWriter *writer, CtTimeline *timeline, const CtRun *run, uint32_t n, const Fold *fold)
{
	const CtBase *head = fold->present ? &fold->head : NULL;

	CT_ASSERT(n > 0 && n <= run->count && ct_is_changing(timeline));
	CT_ASSERT(writer->store->nfrozen >= n); /* S3 */
	if (!ct_base_replace(writer, timeline, head, fold->before, fold->after))
		return false;
	run_release(writer, run, n, fold->after);
	writer->store->nfrozen -= n;
	writer->store->folded += n;
	return true;
}

/*
 * How many events at the front may be folded; those that are old enough and
 * not seen by everyone yet are for another walk.
 */
static uint32_t
foldable(CtStore *store, const CtRun *run)
{
	uint32_t n = ct_run_until(run, store->retained - 1);

	for (uint32_t i = 0; i < n; i++)
	{
		if (ct_run_label(run, i) == 0)
			continue;
		store->retain_left = true;
		return i;
	}
	return n;
}

/* The way to the first leaf. */
static void
first_leaf(const CtReadContext *context, CtTimeline *timeline, CtSpot *spot)
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

/* The first leaf goes, if all of it may. */
static bool
leaf_fold(CtWriter *writer, CtTimeline *timeline)
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
	first_leaf(&writer->context, timeline, &spot);
	ct_leaf_run(&writer->context, ct_ptr(writer->arena, *spot.leaf), &run);
	if (foldable(store, &run) < run.count)
		return false;
	fold_compute(&writer->context, timeline, &run, run.count, &fold);
	ct_change_begin(timeline);
	folded = fold_apply(writer, timeline, &run, run.count, &fold);
	if (folded)
		ct_leaf_vanish(writer, timeline, &spot);
	else
		store->retain_left = true;
	ct_change_end(timeline);
	return folded;
}

/* For how many rows a tail is to have room when so many are left. */
static uint32_t
tail_room(const CtTimeline *timeline, uint32_t left)
{
	uint32_t room = left + left / 2 + 2;

	if (left == 0)
		return 0;
	return room < timeline->tail_capacity / 2U ? room : timeline->tail_capacity;
}

static size_t
size_of(size_t bytes)
{
	return bytes == 0 ? 0 : ct_alloc_size(bytes);
}

/* Does it take less memory without the first n rows, or no more without any? */
static bool
fold_saves(const CtWriter *writer, const CtTimeline *timeline, uint32_t n, const Fold *fold)
{
	const CtSchema *schema = writer->context.schema;
	uint32_t room = tail_room(timeline, timeline->tail_count - n);
	size_t before = size_of((size_t) timeline->tail_capacity * timeline->tail_stride);
	size_t after = size_of((size_t) room * timeline->tail_stride);

	if (timeline->base != 0)
		before += size_of(ct_base_bytes(schema, ct_ptr(writer->arena, timeline->base)));
	if (fold->present)
		after += size_of(ct_base_bytes(schema, &fold->head));
	return room == 0 ? after <= before : after < before;
}

/* Rows have gone from a tail; without memory for less room, it stays. */
static void
tail_shrink(CtWriter *writer, CtTimeline *timeline, uint32_t room)
{
	ct_tail_note(&writer->context, timeline);
	if (room < timeline->tail_capacity)
		(void) ct_tail_resize(writer, timeline, room, timeline->tail_stride);
}

/* The first n rows of a tail are no more; it is to have room for so many. */
static void
rows_drop(CtWriter *writer, CtTimeline *timeline, uint32_t n, uint32_t room)
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
		tail_shrink(writer, timeline, room);
}

/* Rows at the front of a tail with nothing before it go. */
static bool
tail_fold(CtWriter *writer, CtTimeline *timeline)
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
	n = foldable(store, &run);
	if (n == 0)
		return false;
	left = timeline->tail_count - n;
	room = tail_room(timeline, left);
	if (n < ROWS_TO_FOLD && room == timeline->tail_capacity)
		return false;
	fold_compute(&writer->context, timeline, &run, n, &fold);
	if (n < ROWS_TO_FOLD && !fold_saves(writer, timeline, n, &fold))
		return false;
	ct_change_begin(timeline);
	folded = fold_apply(writer, timeline, &run, n, &fold);
	if (folded)
		rows_drop(writer, timeline, n, room);
	else
		store->retain_left = true;
	ct_change_end(timeline);
	return folded;
}

/* ---- walks ------------------------------------------------------------------- */

/*
 * The earliest instant of what has not entered; INT64_MIN when there is so
 * much of it that it would take too long to tell.
 */
static int64_t
oldest_pending(const CtWriter *writer)
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

/* Is there a reason for another walk?  Then it begins. */
static bool
walk_begin(CtWriter *writer, int64_t from)
{
	CtStore *store = writer->store;

	if (from > store->retained)
	{
		int64_t oldest = oldest_pending(writer);

		from = oldest < from ? oldest : from;
	}
	if (from <= store->retained &&
		!(store->retain_left && store->nfrozen + store->folded != store->retain_frozen))
		return false;
	store->retained = from > store->retained ? from : store->retained;
	store->retaining = true;
	store->retain_left = false;
	store->retain_frozen = store->nfrozen + store->folded;
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
	if (!store->retaining && !walk_begin(&writer, from))
		return CT_OK;
	for (; store->retain_slot < directory->nslots; store->retain_slot++)
	{
		CtRef slot = ct_directory_slot(arena, directory, store->retain_slot);
		CtTimeline *timeline = ct_ptr(arena, slot);

		if (work++ >= limit)
			return CT_MORE;
		if (slot == 0)
			continue;
		while (timeline->root != 0 && leaf_fold(&writer, timeline))
		{
			if ((work += FOLD_WORK) >= limit)
				return CT_MORE;
		}
		if (timeline->root == 0 && tail_fold(&writer, timeline))
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
