/*
 * newest.c
 *	  The latest event of a key, or of all keys.
 *
 *	  candidate ─► its key is read ─► its latest event is the candidate: it is the table's
 *	                             └─► otherwise all keys are read, or the event tables
 *
 * The latest event of all keys is needed by each read of a logical clock that names no
 * tick, so it must not cost a visit to every key.  A store notes which event that entered
 * is the newest, and which one among other transactions than that one's; a batch notes
 * its newest event (engine/store.c).  Under the partition's lock, a reader takes the
 * latest of those that its snapshot may see.
 *
 * Invariants:
 *   1. Every event that the snapshot sees is at the candidate's instant or before it:
 *      it has entered or waits, so that it is not later than what the store notes (of the
 *      transactions that the snapshot sees), or it is in a batch that the snapshot may see.
 *   2. The candidate itself may be invisible (the transaction was rolled back, or the
 *      command is the current one) or removed (retracted).  So its key is read: what the
 *      snapshot sees there is the answer only if it is at that instant.
 *
 * In a SERIALIZABLE transaction all keys are read, since the answer depends on all.
 *
 * Called by sql/read_functions.c and the wrapper's scans.
 */
#include "postgres.h"

#include "read/read.h"
#include "read/scan.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "access/xact.h"

/* Limit of the batches that are looked at under a partition's lock. */
#define MOST_BATCHES 1024

/* ---- the latest event of a key ----------------------------------------------- */

typedef struct Latest
{
	int64 until; /* the visit's position for contime_scan_visit(): no instant is retained later */
	int64 at;    /* no event is later */
	bool found;  /* there is an event at `at` */
} Latest;

/* Called for a visible event: one is enough. */
static bool
end_visit(void *arg, const CtRawEvent *event)
{
	return false;
}

/* Go back to the latest instant with a visible event that is not retracted. */
static ContimeFoldResult
find_latest_event(ContimeScan *scan, void *arg, const CtArena *arena, CtRef store, CtRef timeline,
				  int steps)
{
	Latest *latest = arg;
	const CtSnapshot *plain = &scan->view->plain;
	const CtRuns *runs = &scan->view->runs;
	ContimeFoldResult fill = contime_scan_gather(scan, arena, store, timeline);

	if (fill != CONTIME_FOLD_DONE)
		return fill;
	for (int n = 0; n < steps; n++)
	{
		int64 time = latest->at;
		CtPosition position;

		if (!ct_timeline_latest(arena, store, timeline, &time, plain, runs))
			return CONTIME_FOLD_DONE;
		latest->at = time;
		position = (CtPosition){.time = time};
		latest->found = !ct_timeline_visit(arena, store, timeline, &position, time, plain, runs,
										   end_visit, NULL);
		if (latest->found || time == PG_INT64_MIN)
			return CONTIME_FOLD_DONE;
		latest->at = time - 1;
	}
	return CONTIME_FOLD_MORE;
}

/* Set *instant to the latest instant of a key, or of all keys; read each.  False: no event. */
static bool
find_latest_of_bound(ContimeScan *scan, const Datum *keys, const bool *keynulls, int64 *instant)
{
	bool found = false;

	if (!contime_scan_bind_range(scan, keys, keynulls, PG_INT64_MAX, PG_INT64_MAX))
		return false;
	while (contime_scan_next_key(scan))
	{
		Latest latest = {.until = PG_INT64_MAX, .at = PG_INT64_MAX};

		while (contime_scan_visit(scan, find_latest_event, &latest, sizeof(latest)))
			;
		if (latest.found && (!found || latest.at > *instant))
			*instant = latest.at;
		found |= latest.found;
	}
	return found;
}

/* ---- candidates -------------------------------------------------------------- */

/* The newest event of some partitions that the snapshot may see. */
typedef struct Candidate
{
	int64 time; /* PG_INT64_MIN: none was found yet */
	uint64 hash;
	ContimeKey key;
} Candidate;

/* True if the snapshot may see events of a batch.  Looks up no transaction. */
static bool
may_see_batch(const ContimeView *view, const CtBatch *batch)
{
	return batch->top == view->own_top
			   ? TransactionIdIsCurrentTransactionId((TransactionId) batch->xid)
			   : ct_snapshot_sees(&view->plain, batch->top);
}

/*
 * Make an event of a store the candidate if it is later.  Return false if the snapshot
 * may see a later event than those that are noted.  Under the lock.
 */
static bool
compare_store(const ContimeView *view, const CtArena *arena, CtRef store, Candidate *candidate)
{
	CtNewest newest;
	CtRef ref;
	int looks = 0;

	ct_store_newest(arena, store, false, &newest);
	if (!ct_snapshot_sees(&view->plain, newest.top))
		ct_store_newest(arena, store, true, &newest);
	if (!ct_snapshot_sees(&view->plain, newest.top))
		return false;
	for (const CtBatch *batch = ct_store_first_batch(arena, store, &ref); batch;
		 batch = ct_store_next_batch(arena, &ref))
	{
		if (++looks > MOST_BATCHES)
			return false;
		if (batch->newest > newest.time && may_see_batch(view, batch))
			newest = (CtNewest){batch->newest, batch->newest_hash, batch->top};
	}
	if (newest.time > candidate->time)
	{
		uint32 bytes;
		const void *key = ct_store_key_of_hash(arena, store, newest.hash, &bytes);

		if (key == NULL)
			return false;
		Assert(bytes <= CT_MAX_KEY_BYTES);
		candidate->time = newest.time;
		candidate->hash = newest.hash;
		memcpy(candidate->key.data.data, key, bytes);
		candidate->key.data.len = bytes;
	}
	return true;
}

/* Set *candidate, whose time is PG_INT64_MIN if there is no event.  False: it is not known. */
static bool
find_candidate(const ContimeScan *scan, Candidate *candidate)
{
	bool known = true;

	Assert(contime_holds_no_lock());
	candidate->time = PG_INT64_MIN;
	for (int p = 0; p < contime_shared->partitions && known; p++)
	{
		CtArena arena = contime_arena(p);
		CtRef store;

		contime_lock(p, LW_SHARED);
		store = scan->generation->store[p];
		known = store == 0 || compare_store(scan->view, &arena, store, candidate);
		contime_unlock(p);
	}
	return known;
}

/*
 * Set *instant to the latest instant of all keys, and *found if there is an event.
 * Return false if the candidate is not the answer.
 */
static bool
try_candidate(ContimeScan *scan, int64 *instant, bool *found)
{
	bool nulls[INDEX_MAX_KEYS] = {0};
	Datum keys[INDEX_MAX_KEYS];
	Candidate candidate;
	bool known;

	if (scan->generation == NULL || IsolationIsSerializable())
		return false;
	initStringInfo(&candidate.key.data);
	enlargeStringInfo(&candidate.key.data, CT_MAX_KEY_BYTES);
	known = find_candidate(scan, &candidate);
	*found = false;
	if (known && candidate.time > PG_INT64_MIN)
	{
		contime_decode_keys(scan->table, &candidate.key, keys);
		*found = find_latest_of_bound(scan, keys, nulls, instant);
		known = *found && *instant == candidate.time;
	}
	pfree(candidate.key.data.data);
	return known;
}

/* ---- the latest event -------------------------------------------------------- */

bool
contime_scan_latest(ContimeScan *scan, const Datum *keys, const bool *keynulls, int64 *instant)
{
	bool found = false;
	bool known = keys == NULL && try_candidate(scan, instant, &found);
	bool from_heap = scan->table->source && (scan->generation == NULL || scan->partial);

	if (!known && keys == NULL && from_heap)
		known = contime_heap_newest(scan->table, scan->view->snapshot, instant, &found);
	if (!known)
		found = find_latest_of_bound(scan, keys, keynulls, instant);

	/* Older events may have been folded already, or not. */
	return found && (scan->generation == NULL || *instant >= contime_retained(scan->generation));
}

int64
contime_newest_tick(Relation rel, Snapshot snapshot)
{
	ContimeScan *scan = contime_scan_begin(rel, snapshot, NULL);
	int64 tick;

	Assert(scan->table->time_type == INT8OID);
	if (scan->table->source)
		contime_scan_leave_out(scan);
	if (!contime_scan_latest(scan, NULL, NULL, &tick))
		tick = PG_INT64_MAX;
	contime_scan_end(scan);
	return tick;
}
