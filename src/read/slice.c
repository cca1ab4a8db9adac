/*
 * slice.c
 *	  Slices: the states of one key, or of all keys, at the bound instants.
 *
 *	  chunk: observe a timeline, fold it at the instants, copy the states into
 *	         this process; if it has changed meanwhile, forget them and try
 *	         again; after some tries under the partition's lock, in shared mode
 *	         (no errors, no waiting, no type's functions)
 *	  next:  turn a held state into datums
 *
 * Between two observations timelines change; the snapshot does not, so every
 * fold gives what it would have given at the start.  A key that appears
 * meanwhile has no event that the snapshot sees.
 */
#include "postgres.h"

#include "read/read.h"
#include "read/scan.h"

#include "base/base.h"
#include "durable/durable.h"
#include "fold/fold.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "miscadmin.h"

/* Gathering recent events makes a fold dearer: so many of them count as one. */
#define RECENTS_PER_FOLD 32768

/* How many keys ahead their memory is asked for. */
#define READ_AHEAD 4

/*
 * Fold one timeline at the instants that are left; hold what is present.
 *
 * Where the scan stood there may be no timeline any more, or another one: what
 * the snapshot sees of a key keeps it where it is, but the key of what was
 * rolled back goes.  Its instants say nothing about the next one's, but for the
 * key that is bound.
 */
static ContimeFoldResult
fill_timeline(ContimeScan *scan, const CtArena *arena, CtRef store, CtRef timeline)
{
	uint32 key_bytes;
	const void *key = ct_timeline_key(arena, timeline, &key_bytes);
	bool overtaken;
	ContimeFoldResult fill;

	if (scan->begun != timeline && !scan->by_key)
	{
		scan->begun = timeline;
		scan->instant = 0;
	}
	Assert(scan->instant <= scan->ninstants);
	fill = contime_scan_gather(scan, arena, store, timeline);
	if (fill != CONTIME_FOLD_DONE)
		return fill;
	overtaken = contime_scan_is_overtaken(scan, arena, timeline);
	if (overtaken && scan->stale == NULL)
		return CONTIME_FOLD_RESOLVE;
	for (; scan->instant < scan->ninstants; scan->instant++)
	{
		int64 instant = scan->instants[scan->instant];

		if (scan->folds >= scan->most_folds)
			return CONTIME_FOLD_MORE;
		scan->folds += 1 + scan->view->runs.nextra / RECENTS_PER_FOLD;
		ct_timeline_fold(arena, store, timeline, instant, &scan->view->plain, &scan->view->runs,
						 scan->state);
		if (overtaken)
			contime_scan_compare_with_fresh(scan, arena, store, timeline, instant, key, key_bytes);
		if (scan->state->present &&
			!contime_hold_state(&scan->chunk, scan->table, scan->state, instant, key, key_bytes))
			return CONTIME_FOLD_MORE;
	}
	scan->instant = 0;
	return CONTIME_FOLD_DONE;
}

static ContimeFoldResult
fill_all(ContimeScan *scan, const CtArena *arena, CtRef store)
{
	for (;;)
	{
		CtRef timeline = ct_store_next(arena, store, &scan->position);
		ContimeFoldResult fill;

		if (timeline == 0)
			return CONTIME_FOLD_DONE;
		fill = fill_timeline(scan, arena, store, timeline);
		if (fill != CONTIME_FOLD_DONE)
		{
			scan->position--; /* there, not at what was free before it */
			return fill;
		}
		if (scan->stale && scan->stale->any)
			return CONTIME_FOLD_MORE; /* give the notice first */
	}
}

/* One hold of a partition's lock. */
static ContimeFoldResult
fill_locked(ContimeScan *scan, const CtArena *arena, CtRef store)
{
	ContimeFoldResult fill;

	scan->folds = 0;
	scan->most_folds = CONTIME_FOLDS_PER_LOCK;
	contime_lock(scan->partition, LW_SHARED);
	fill = fill_all(scan, arena, store);
	contime_unlock(scan->partition);
	contime_scan_notify_stale(scan);
	return fill;
}

/*
 * Without the lock, keys from scan->position on, as many as are folded under
 * one hold; false: it did not get on with the one there.
 */
static bool
look_at_all(ContimeScan *scan, const CtArena *arena, CtRef store, ContimeFoldResult *fill)
{
	int looks = 0;

	for (int folds = 0; folds < CONTIME_FOLDS_PER_LOCK; folds += Max(scan->folds, 1))
	{
		Mark mark = contime_scan_mark(scan);
		CtRead read;

		scan->folds = 0;
		scan->most_folds = CONTIME_FOLDS_PER_LOOK;
		if (looks++ >= CONTIME_LOOKS)
			return false;
		if (ct_read_slot(arena, store, &scan->position, &read) != CT_OK)
			continue;
		*fill = CONTIME_FOLD_DONE;
		if (read.timeline == 0)
			return true;
		ct_read_ahead(arena, store, scan->position + READ_AHEAD);
		*fill = fill_timeline(scan, arena, store, read.timeline);
		if (!ct_read_valid(&read))
		{
			contime_scan_go_back(scan, &mark);
			continue;
		}
		contime_scan_notify_stale(scan);
		if (*fill != CONTIME_FOLD_DONE)
			return true;
		scan->position++;
		looks = 0;
	}
	*fill = CONTIME_FOLD_MORE;
	return true;
}

/* What is bound of the timeline at hand, at most so many instants. */
static ContimeFoldResult
fill_key(ContimeScan *scan, void *arg, const CtArena *arena, CtRef store, CtRef timeline, int steps)
{
	scan->folds = 0;
	scan->most_folds = steps;
	return fill_timeline(scan, arena, store, timeline);
}

/* Some timelines of the partition. */
static ContimeFoldResult
fill_partition(ContimeScan *scan)
{
	CtArena arena = contime_arena(scan->partition);
	CtRef store = scan->generation->store[scan->partition];
	ContimeFoldResult fill = CONTIME_FOLD_DONE;

	if (store == 0)
		return CONTIME_FOLD_DONE;
	pg_read_barrier();
	contime_scan_check_conflict(scan, &arena, store);
	if (!look_at_all(scan, &arena, store, &fill))
		fill = fill_locked(scan, &arena, store);
	scan->remembered |= fill == CONTIME_FOLD_DONE || fill == CONTIME_FOLD_MORE;
	contime_view_report(scan->view, scan->rel);
	contime_retention_check(scan->table, scan->generation, contime_scan_earliest(scan));
	return fill;
}

/* The key's timeline, or the next one of all; a private one's end is not yet that of all. */
static ContimeFoldResult
fill_some(ContimeScan *scan)
{
	int64 from = contime_scan_earliest(scan);
	ContimeFoldResult fill;

	Assert(scan->from_heap ? scan->heap != NULL : scan->generation != NULL);
	if (!scan->from_heap)
		return scan->by_key ? contime_scan_visit_memory(scan, fill_key, &from, sizeof(from))
							: fill_partition(scan);
	fill = contime_scan_visit_heap(scan, fill_key, NULL);
	if (fill == CONTIME_FOLD_DONE && scan->timeline == 0 && !scan->by_key && !scan->memory &&
		scan->generation)
		contime_oversize_regain(scan->generation);
	if (fill != CONTIME_FOLD_DONE || scan->timeline == 0)
		return fill;
	scan->timeline = 0;
	return CONTIME_FOLD_MORE;
}

/* Nothing is left where the scan is: go to where there may be more. */
static void
turn_on(ContimeScan *scan)
{
	if (scan->from_heap && scan->memory && !scan->by_key)
	{
		/* That was one key beside those in memory. */
		scan->from_heap = false;
		scan->position++;
		return;
	}
	scan->position = 0;
	scan->done = scan->from_heap || scan->by_key;
	if (!scan->done)
	{
		scan->partition = contime_scan_next_partition(scan, scan->partition);
		scan->done = scan->partition >= contime_shared->partitions;
	}
}

/* Get held rows; false when there are no more. */
static bool
fill_chunk(ContimeScan *scan)
{
	contime_chunk_reset(&scan->chunk);
	while (!scan->done && scan->chunk.first == NULL)
	{
		CHECK_FOR_INTERRUPTS();
		contime_pause("batch", MyDatabaseId);
		switch (fill_some(scan))
		{
			case CONTIME_FOLD_RESOLVE:
				contime_scan_resolve(scan);
				break;
			case CONTIME_FOLD_INCOMPLETE:
				contime_scan_turn_to_heap(scan);
				break;
			case CONTIME_FOLD_MORE:
				if (scan->chunk.full && scan->chunk.first == NULL)
					contime_chunk_grow(&scan->chunk);
				break;
			case CONTIME_FOLD_DONE:
			case CONTIME_FOLD_ABSENT:
				turn_on(scan);
				break;
		}
		scan->chunk.full = false;
	}
	Assert(scan->done || scan->chunk.first != NULL);
	scan->row = scan->chunk.first;
	return scan->row != NULL;
}

bool
contime_scan_next(ContimeScan *scan, TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	if (scan->row == NULL && !fill_chunk(scan))
		return false;
	Assert(scan->row->present);
	contime_held_store(scan->table, scan->row, scan->values, slot);
	scan->row = scan->row->next;
	return true;
}
