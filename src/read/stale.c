/*
 * stale.c
 *	  Notices by readers: what was read is not the state that new snapshots see.
 *
 * A reader with an old snapshot may read an instant after the worker has entered
 * an event that the snapshot does not see.  When the event entered, nobody had
 * read that instant, so no notice was due.  The reader then gives the notice.
 *
 * Called by scans, after a timeline was read and before its rows are returned.
 *
 * Concurrency: noting is safe under a partition's lock or while a timeline is
 * observed; notices are given without a lock, once what was read is known to be
 * whole.
 */
#include "postgres.h"

#include "read/read.h"
#include "read/scan.h"

#include "mvcc/mvcc.h"
#include "notify/notify.h"
#include "shared/shared.h"

#include "common/hashfn.h"
#include "storage/proc.h"

/* Notices that this transaction has given, by a hash of key and range. */
#define TOLD 64

static uint64 told[TOLD];
static LocalTransactionId told_lxid;

/* Has something entered that this snapshot does not see?  (After gathering.) */
bool
contime_scan_is_overtaken(const ContimeScan *scan, const CtArena *arena, CtRef timeline)
{
	return scan->view->overtaken || !ct_timeline_seen(arena, timeline, &scan->view->plain);
}

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

/* The state at an instant was read: do new snapshots see another one? */
void
contime_scan_compare_with_fresh(ContimeScan *scan, const CtArena *arena, CtRef store,
								CtRef timeline, int64 instant, const void *key, uint32 key_bytes)
{
	CtSnapshot all = {.xmin = PG_UINT64_MAX,
					  .xmax = PG_UINT64_MAX,
					  .until = scan->view->plain.until};

	Assert(scan->stale != NULL);
	/* What is after everything known says nothing about instants. */
	if (instant == PG_INT64_MAX)
		return;
	ct_timeline_fold(arena, store, timeline, instant, &all, &scan->view->runs, &scan->stale->fresh);
	if (scan->view->overtaken ||
		!ct_state_equal(ct_store_schema(arena, store), scan->state, &scan->stale->fresh))
		note_stale(scan->stale, key, key_bytes, instant, instant);
}

/*
 * All there is of the bound key at [from, last] is read: may new snapshots see
 * something else?  False: contime_scan_resolve() first.
 */
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
 * Give a notice, unless this transaction has given it already. key_bytes 0, or
 * too many: for all keys.
 */
static void
notify_once(ContimeScan *scan, const void *key, uint32 key_bytes, int64 from, int64 last)
{
	int64 to = last == PG_INT64_MAX ? PG_INT64_MAX : last + 1;
	uint64 what = hash_bytes_extended(key, key_bytes, scan->watched->serial);

	Assert(from <= last);
	Assert(contime_holds_no_lock());
	what = hash_combine64(hash_combine64(what, from), last);
	if (told_lxid != MyProc->lxid)
		memset(told, 0, sizeof(told));
	told_lxid = MyProc->lxid;
	if (told[what % TOLD] == what)
		return;
	if (key_bytes > 0 && key_bytes <= CT_MAX_KEY_BYTES)
		contime_notice_overtaken(scan->partition, scan->watched, key, key_bytes, from, to);
	else
		contime_notice_overtaken_all(scan->watched, from, to);
	told[what % TOLD] = what;
}

/* Without a lock, when what was looked at is known to be whole. */
void
contime_scan_notify_stale(ContimeScan *scan)
{
	Stale *stale = scan->stale;

	if (stale == NULL || !stale->any)
		return;
	stale->any = false;
	notify_once(scan, stale->key, stale->key_bytes, stale->from, stale->last);
}

/* Has something gone from a partition, untold, that this snapshot does not see? */
static bool
has_missed(const ContimeScan *scan, int partition)
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

/*
 * What is bound is read from the event tables, as the cache lacks keys.
 * Whether new snapshots see another state is not known, so a notice is given.
 */
void
contime_scan_notify_missed(ContimeScan *scan)
{
	bool missed = false;

	if (scan->watched == NULL || !scan->partial ||
		contime_scan_earliest(scan) == PG_INT64_MAX)
		return;
	pg_memory_barrier(); /* what is read has been noted */
	if (scan->by_key)
		missed = has_missed(scan, scan->partition);
	for (int p = 0; !scan->by_key && !missed && p < contime_shared->partitions; p++)
		missed = has_missed(scan, p);
	if (missed)
		notify_once(scan, scan->key.data.data, scan->by_key ? scan->key.data.len : 0,
					contime_scan_earliest(scan), scan->until);
}
