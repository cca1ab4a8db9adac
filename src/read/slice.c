/*
 * slice.c
 *	  Slices: the states of one key, or of all keys, at the bound instants.
 *
 *	  chunk: observe a timeline, fold it at the instants, copy the states into
 *	         this process; if the timeline has changed meanwhile, discard them
 *	         and try again; after some tries take the partition's lock in shared
 *	         mode (no error, no wait, no function of a data type)
 *	  next:  turn a held state into datums
 *
 * Timelines may change between two observations.  The snapshot does not change,
 * so a fold gives the same result as at the start of the scan.  A key that is
 * added during the scan has no event that the snapshot sees.
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

/* So many recent events make a fold take as long as another fold, and are counted as one. */
#define RECENTS_PER_FOLD 32768

/* Prefetch the memory of the key so many positions ahead. */
#define READ_AHEAD 4

/*
 * Fold one timeline at the bound instants from scan->instant on, and hold the
 * states that are present.
 *
 * In a scan of all keys another timeline than before may be at the position: a
 * timeline stays there if the snapshot sees an event of it, but is removed if all
 * its events were rolled back.  Then start again at the first instant.
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

/* Fold the timelines of a partition from scan->position on. */
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
			scan->position--; /* to this timeline: ct_store_next() moved behind it */
			return fill;
		}
		if (scan->stale && scan->stale->any)
			return CONTIME_FOLD_MORE; /* the notice must be made first, without the lock */
	}
}

/* Fold some timelines of a partition under one hold of its lock. */
static ContimeFoldResult
fill_under_lock(ContimeScan *scan, const CtArena *arena, CtRef store)
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
 * Fold timelines from scan->position on without the lock, about as many as under
 * one hold of it, and set *fill to the result.  Return false if one timeline kept
 * changing; then it must be read under the lock.
 */
static bool
observe_partition(ContimeScan *scan, const CtArena *arena, CtRef store, ContimeFoldResult *fill)
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

/* A visit: fold the timeline at no more than `steps` instants. */
static ContimeFoldResult
fill_key(ContimeScan *scan, void *arg, const CtArena *arena, CtRef store, CtRef timeline, int steps)
{
	scan->folds = 0;
	scan->most_folds = steps;
	return fill_timeline(scan, arena, store, timeline);
}

/* Fold some timelines of the current partition. */
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
	if (!observe_partition(scan, &arena, store, &fill))
		fill = fill_under_lock(scan, &arena, store);
	scan->remembered |= fill == CONTIME_FOLD_DONE || fill == CONTIME_FOLD_MORE;
	contime_view_report(scan->view, scan->rel);
	contime_retention_check(scan->table, scan->generation, contime_scan_earliest(scan));
	return fill;
}

/*
 * Fold the bound key, or some of all keys, from memory or from the event tables.
 * In the event tables a key is loaded at a time; its end is not the scan's end.
 */
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

/* Go on after the end of a key from the event tables, or of a partition; or set scan->done. */
static void
advance_scan(ContimeScan *scan)
{
	if (scan->from_heap && scan->memory && !scan->by_key)
	{
		/* A single key of this scan of memory was read from the event tables. */
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

/* Fill the chunk with rows.  Return false if none is left. */
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
				advance_scan(scan);
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
