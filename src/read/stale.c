/*
 * stale.c
 *	  Notices made by readers whose result differs from what new snapshots see.
 *
 * A reader with an old snapshot may read an instant after the worker has entered
 * an event that the snapshot does not see.  If no reader had read that instant
 * when the event entered, the worker made no notice.  The reader then makes it.
 *
 * Called by scans, after a timeline was read and before its rows are returned.
 *
 * Concurrency: a range may be noted under a partition's lock, or while a timeline
 * is observed without it.  The notice is made without a lock, once ct_read_valid()
 * has confirmed what was read.
 */
#include "postgres.h"

#include "base/compat.h"
#include "read/read.h"
#include "read/scan.h"

#include "mvcc/mvcc.h"
#include "notify/notify.h"
#include "shared/shared.h"

#include "common/hashfn.h"
#include "storage/proc.h"

/* Hashes of key and range of notices that this transaction has made. */
#define NOTICED 64

static uint64 noticed[NOTICED];
static LocalTransactionId told_lxid;

bool
contime_scan_is_overtaken(const ContimeScan *scan, const CtArena *arena, CtRef timeline)
{
	return scan->view->overtaken || !ct_timeline_seen(arena, timeline, &scan->view->plain);
}

/* Extend the noted range by [from, last]. */
static void
note_stale(Stale *stale, const void *key, uint32 key_bytes, int64 from, int64 last)
{
	Assert(from <= last);
	if (!stale->any)
	{
		stale->from = from;
		stale->last = last;
		stale->key_bytes = Min(key_bytes, CT_MAX_KEY_BYTES);
		memcpy(stale->key, key, stale->key_bytes);
	}
	stale->any = true;
	stale->from = Min(stale->from, from);
	stale->last = Max(stale->last, last);
}

void
contime_scan_compare_with_fresh(ContimeScan *scan, const CtArena *arena, CtRef store,
								CtRef timeline, int64 instant, const void *key, uint32 key_bytes)
{
	CtSnapshot all = {.xmin = PG_UINT64_MAX,
					  .xmax = PG_UINT64_MAX,
					  .until = scan->view->plain.until};

	Assert(scan->stale != NULL);
	/* The greatest instant stands for "latest state"; no real instant was read. */
	if (instant == PG_INT64_MAX)
		return;
	ct_timeline_fold(arena, store, timeline, instant, &all, &scan->view->runs, &scan->stale->fresh);
	if (scan->view->overtaken ||
		!ct_state_equal(ct_store_schema(arena, store), scan->state, &scan->stale->fresh))
		note_stale(scan->stale, key, key_bytes, instant, instant);
}

bool
contime_scan_note_range(ContimeScan *scan, const CtArena *arena, CtRef timeline, int64 from,
						int64 last)
{
	if (!contime_scan_is_overtaken(scan, arena, timeline))
		return true;
	if (scan->stale == NULL)
		return false;
	note_stale(scan->stale, scan->key.data.data, scan->key.data.len, from, last);
	return true;
}

/*
 * Make a notice of [from, last] of a key, unless this transaction has made the same
 * one.  If key_bytes is 0 or above the limit, it is for all keys.
 */
static void
notify_once(ContimeScan *scan, const void *key, uint32 key_bytes, int64 from, int64 last)
{
	int64 to = last == PG_INT64_MAX ? PG_INT64_MAX : last + 1;
	uint64 what = hash_bytes_extended(key, key_bytes, scan->watched->serial);

	Assert(from <= last);
	Assert(contime_holds_no_lock());
	what = hash_combine64(hash_combine64(what, from), last);
	if (told_lxid != contime_proc_lxid(MyProc))
		memset(noticed, 0, sizeof(noticed));
	told_lxid = contime_proc_lxid(MyProc);
	if (noticed[what % NOTICED] == what)
		return;
	if (key_bytes > 0 && key_bytes <= CT_MAX_KEY_BYTES)
		contime_notice_overtaken(scan->partition, scan->watched, key, key_bytes, from, to);
	else
		contime_notice_overtaken_all(scan->watched, from, to);
	noticed[what % NOTICED] = what;
}

void
contime_scan_notify_stale(ContimeScan *scan)
{
	Stale *stale = scan->stale;

	if (stale == NULL || !stale->any)
		return;
	stale->any = false;
	notify_once(scan, stale->key, stale->key_bytes, stale->from, stale->last);
}

/*
 * True if a partition of the cache has dropped, without a notice, an event of a
 * transaction that has committed and that the snapshot does not see.
 */
static bool
has_dropped_unseen(const ContimeScan *scan, int partition)
{
	const CtSnapshot *plain = &scan->view->plain;
	CtArena arena = contime_arena(partition);
	CtRef store = scan->watched->store[partition];
	uint64 untold = store == 0 ? 0 : ct_store_unnotified(&arena, store);

	if (plain->xmin > untold)
		return false;
	for (uint32 i = 0; i < plain->nxip; i++)
		if (plain->xip[i] <= untold &&
			contime_xact_status(plain->xip[i], plain->xip[i]) == CONTIME_XACT_COMMITTED)
			return true;
	return plain->xmax <= untold;
}

/* (Without the events it is not known whether new snapshots see another state.) */
void
contime_scan_notify_missed(ContimeScan *scan)
{
	bool missed = false;

	if (scan->watched == NULL || !scan->partial ||
		contime_scan_earliest(scan) == PG_INT64_MAX)
		return;
	pg_memory_barrier(); /* the read watermark was raised before */
	if (scan->by_key)
		missed = has_dropped_unseen(scan, scan->partition);
	for (int p = 0; !scan->by_key && !missed && p < contime_shared->partitions; p++)
		missed = has_dropped_unseen(scan, p);
	if (missed)
		notify_once(scan, scan->key.data.data, scan->by_key ? scan->key.data.len : 0,
					contime_scan_earliest(scan), scan->until);
}
