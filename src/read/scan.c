/*
 * scan.c
 *	  Begin and end scans, bind instants and keys, choose memory or event tables.
 *
 *	  begin ─► bind: instants, one key or all ─► slice.c, history.c
 *
 * A durable table is read from its cache if the cache holds what the snapshot
 * sees (durable/cache.c).  Otherwise all keys, or only those that the cache lacks,
 * are loaded from the event tables one by one (durable/heap_read.c), and folded in
 * the same way.
 *
 * Not here: which conditions become instants and keys (plan/binding.c),
 * privileges (core for the FDW, sql/args.c for the functions), how timelines are
 * read (visit.c), how rows are copied and become tuples (row_buffer.c).
 */
#include "postgres.h"

#include "read/read.h"
#include "read/scan.h"
#include "base/base.h"
#include "durable/durable.h"
#include "mvcc/mvcc.h"
#include "notify/notify.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "lib/qunique.h"
#include "pgstat.h"
#include "storage/lmgr.h"

/* ---- begin, bind, end -------------------------------------------------------- */

static void
find_generation(ContimeScan *scan)
{
	scan->generation = scan->watched = contime_generation(scan->table->relid);
	if (scan->generation)
		contime_retention_note(scan->table, scan->generation);
}

/* True if the cache holds what the view's snapshot sees.  If not, read the event tables. */
static bool
can_use_cache(ContimeGeneration *g, const ContimeTable *table, const ContimeView *view)
{
	contime_cache_note_read(g);

	/*
	 * A SERIALIZABLE transaction must read the event tables, so that core takes
	 * predicate locks on them.  A parallel worker does not know the pending
	 * statements of its leader.  A snapshot taken on a standby, before its
	 * promotion, does not distinguish transactions from subtransactions.
	 */
	return !IsolationIsSerializable() && !IsParallelWorker() &&
		   !contime_capture_pending(table->relid) && !view->snapshot->takenDuringRecovery &&
		   contime_sees_loaded(&view->plain, &g->cache.loaded) && !contime_cache_lost_rows(g, view);
}

ContimeScan *
contime_scan_begin(Relation rel, Snapshot snapshot, ContimeReferences *held)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "contime scan", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	ContimeScan *scan = palloc0(sizeof(ContimeScan));

	Assert(CheckRelationLockedByMe(rel, AccessShareLock, true)); /* registry.c, 3 */
	scan->context = context;
	scan->rel = rel;
	scan->table = contime_table(rel);
	scan->view = contime_view_begin(snapshot);
	scan->held = held ? held : contime_references_begin(scan->table);
	if (scan->table->source)
	{
		contime_source_check(scan->table);
		scan->watched = contime_cache_watched(scan->table, &scan->partial);
		if (scan->watched && can_use_cache(scan->watched, scan->table, scan->view))
			scan->generation = scan->watched;
	}
	else
		find_generation(scan);
	scan->state = palloc(sizeof(CtState));
	contime_chunk_init(&scan->chunk, context);
	scan->instant_capacity = 1;
	scan->instants = palloc(sizeof(int64));
	initStringInfo(&scan->key.data);
	scan->values = AllocSetContextCreate(context, "contime tuple", ALLOCSET_SMALL_SIZES);
	scan->done = true;
	MemoryContextSwitchTo(caller);
	return scan;
}

void
contime_scan_end(ContimeScan *scan)
{
	if (scan->heap)
		contime_heap_end(scan->heap);
	contime_references_end(scan->held);
	MemoryContextDelete(scan->context);
}

void
contime_scan_use_heap(ContimeScan *scan)
{
	Assert(scan->table->source);
	scan->generation = NULL;
}

void
contime_scan_leave_out(ContimeScan *scan)
{
	Assert(scan->table->source && scan->heap == NULL);
	scan->leaves_out = true;
}

const char *
contime_scan_where(const ContimeScan *scan)
{
	if (!scan->table->source)
		return NULL;
	if (scan->heap == NULL && scan->generation)
		return "memory";
	return scan->remembered ? "memory, event tables" : "event tables";
}

void
contime_scan_look_until(ContimeScan *scan, int64 instant)
{
	scan->view->plain.until = instant;
}

void
contime_scan_refuse_unseen(ContimeScan *scan)
{
	scan->view->refuses = true;
}

void
contime_scan_backward(ContimeScan *scan)
{
	Assert(scan->ninstants == 0); /* nothing is bound */
	scan->backward = true;
}

void
contime_scan_show(ContimeScan *scan, uint64 attrs)
{
	Assert(scan->ninstants == 0); /* nothing is bound */
	scan->chunk.shown = attrs;
}

void
contime_scan_share(ContimeScan *scan, pg_atomic_uint32 *next)
{
	Assert(scan->ninstants == 0); /* nothing is bound */
	scan->next = next;
}

int
contime_scan_next_partition(ContimeScan *scan, int partition)
{
	Assert(partition >= -1 && partition < contime_shared->partitions);
	return scan->next ? (int) pg_atomic_fetch_add_u32(scan->next, 1) : partition + 1;
}

static int
cmp_int64(const void *a, const void *b)
{
	int64 x = *(const int64 *) a;
	int64 y = *(const int64 *) b;

	return (x > y) - (x < y);
}

static int
cmp_int64_backward(const void *a, const void *b)
{
	return cmp_int64(b, a);
}

static int64
get_latest_bound(const ContimeScan *scan)
{
	return scan->instants[scan->backward ? 0 : scan->ninstants - 1];
}

/*
 * Raise a read watermark to an instant that is read.  A worker makes a notice when
 * an event at or before the watermark enters.
 */
static void
raise_watermark(pg_atomic_uint64 *served, int64 instant)
{
	uint64 latest = pg_atomic_read_u64(served);

	/* The greatest instant stands for "latest state"; no real instant is read. */
	if (instant == PG_INT64_MAX)
		return;
	while (instant > (int64) latest &&
		   !pg_atomic_compare_exchange_u64(served, &latest, (uint64) instant))
		;
}

/*
 * Raise the read watermark of a table that has no generation.  If a writer opens
 * one at the same time, either the writer finds this watermark, or this reader
 * finds the generation.
 */
static void
raise_early_watermark(ContimeScan *scan, const int64 *instants, int ninstants, int64 until)
{
	pg_atomic_uint64 *early = contime_early(scan->table->relid);

	raise_watermark(early, until);
	for (int i = 0; i < ninstants; i++)
		raise_watermark(early, instants[i]);
	pg_memory_barrier();
	find_generation(scan);
}

/* Encode the key into scan->key.  Return false if a value is NULL: there is no such key. */
static bool
bind_key(ContimeScan *scan, const Datum *keys, const bool *keynulls)
{
	MemoryContext caller = MemoryContextSwitchTo(scan->values);
	bool exists;

	MemoryContextReset(scan->values);
	exists = contime_encode_key(scan->table, keys, keynulls, &scan->key);
	if (exists)
		scan->partition = contime_partition_of(scan->key.hash);
	MemoryContextSwitchTo(caller);
	return exists;
}

ContimeHeapRead *
contime_scan_heap(ContimeScan *scan)
{
	MemoryContext caller = MemoryContextSwitchTo(scan->context);

	Assert(scan->table->source != NULL);
	if (scan->heap == NULL)
	{
		scan->heap = contime_heap_begin(scan->table, scan->view->snapshot);
		if (scan->leaves_out)
			contime_heap_leave_out(scan->heap);
	}
	MemoryContextSwitchTo(caller);
	return scan->heap;
}

/*
 * Take the predicate lock of a SERIALIZABLE transaction, before anything is read.
 * If the table had no generation, look for one again: a writer may have opened it
 * before the lock was taken.  (For a durable table core locks the event tables.)
 */
static void
take_predicate_lock(ContimeScan *scan)
{
	ContimeView *view = scan->view;

	Assert(scan->table->source == NULL);
	contime_pause("bound", MyDatabaseId);
	view->tracks =
		contime_serializable_read(scan->rel, view->snapshot, scan->by_key ? &scan->key.hash : NULL);
	if (view->tracks && scan->generation == NULL)
		find_generation(scan);
}

/* True if all bound keys are in memory, as far as is known before they are read. */
static bool
is_in_memory(const ContimeScan *scan)
{
	const ContimeGeneration *g = scan->generation;

	if (g == NULL)
		return false;
	if (!scan->by_key && scan->partial)
		return false;
	if (scan->table->ignores_bad_rows)
		return !scan->by_key || scan->key.data.len <= CT_MAX_KEY_BYTES;
	return scan->by_key ? !contime_oversize_key(g, &scan->key) : !contime_oversize_any(g);
}

/*
 * Bind and start over: for these instants, and for others that the caller will
 * read, none of them after `until`.
 */
static void
bind_instants(ContimeScan *scan, const int64 *instants, int ninstants, int64 until,
			  const Datum *keys, const bool *keynulls)
{
	int (*cmp)(const void *, const void *) = scan->backward ? cmp_int64_backward : cmp_int64;

	Assert(ninstants >= 0);
	Assert(contime_holds_no_lock());
	contime_chunk_reset(&scan->chunk);
	scan->row = NULL;
	scan->partition = 0;
	scan->position = 0;
	scan->begun = 0;
	scan->instant = 0;
	scan->timeline = 0;
	scan->by_key = keys != NULL;
	scan->done = ninstants == 0 || (keys && !bind_key(scan, keys, keynulls));
	if (scan->done)
		return;
	if (!scan->table->source)
		take_predicate_lock(scan);
	if (!scan->table->source && scan->generation == NULL)
		raise_early_watermark(scan, instants, ninstants, until);
	scan->memory = is_in_memory(scan);
	scan->from_heap = scan->table->source && !scan->memory;
	if (ninstants > scan->instant_capacity)
	{
		scan->instants = repalloc_huge(scan->instants, ninstants * sizeof(int64));
		scan->instant_capacity = ninstants;
	}
	memcpy(scan->instants, instants, ninstants * sizeof(int64));
	if (ninstants > 1)
	{
		qsort(scan->instants, ninstants, sizeof(int64), cmp);
		ninstants = qunique(scan->instants, ninstants, sizeof(int64), cmp);
	}
	Assert(ninstants == 1 || cmp(&scan->instants[0], &scan->instants[ninstants - 1]) < 0);
	scan->ninstants = ninstants;
	if (!scan->from_heap && !scan->range.open_start)
		contime_retention_check(scan->table, scan->generation, contime_scan_earliest(scan));
	scan->done = !scan->memory && !scan->from_heap;
	if (scan->done)
		return;
	if (scan->watched)
	{
		raise_watermark(&scan->watched->read_watermark, get_latest_bound(scan));
		raise_watermark(&scan->watched->read_watermark, until);
	}
	if (scan->memory && !keys)
	{
		scan->partition = contime_scan_next_partition(scan, -1);
		scan->done = scan->partition >= contime_shared->partitions;
	}
	Assert(!scan->memory || scan->generation != NULL);
	scan->until = Max(until, get_latest_bound(scan));
	if (!scan->from_heap)
		return;
	contime_scan_notify_missed(scan);
	contime_heap_bind(contime_scan_heap(scan), keys, scan->until);
}

void
contime_scan_bind(ContimeScan *scan, const int64 *instants, int ninstants, const Datum *keys,
				  const bool *keynulls)
{
	bind_instants(scan, instants, ninstants, PG_INT64_MIN, keys, keynulls);
}

/* ---- estimates --------------------------------------------------------------- */

/* Take no lock: the planner must not wait, and an approximate number is enough. */
void
contime_count(Oid relid, double *keys, double *events)
{
	ContimeGeneration *g = contime_generation(relid);
	CtStats stats = g ? contime_generation_stats(g) : (CtStats){0};

	*keys = stats.keys;
	*events = stats.recent + stats.young + stats.frozen;
}

bool
contime_scan_bind_range(ContimeScan *scan, const Datum *keys, const bool *keynulls, int64 from,
						int64 to)
{
	bind_instants(scan, &from, from <= to, to, keys, keynulls);
	return !scan->done;
}
