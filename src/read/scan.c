/*
 * scan.c
 *	  Scans: what is bound of a continuous table, and where it is read.
 *
 *	  begin ─► bind: instants, one key or all ─► slice.c, history.c
 *
 * A durable table is read from its cache if that holds what the snapshot sees
 * (durable/cache.c), except for keys of which it does not: those, or all, are
 * loaded from the event tables one after the other (durable/heap_read.c), and
 * folded likewise.
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

/* True if the cache holds what the view's snapshot sees; if not, the event tables are read. */
static bool
cache_serves(ContimeGeneration *g, const ContimeTable *table, const ContimeView *view)
{
	contime_cache_note_read(g);

	/*
	 * What serializable transactions read of event tables, core must know.  A
	 * parallel worker does not know of its leader's pending statements.  A
	 * snapshot from before a standby was promoted does not tell transactions
	 * from their subtransactions.
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
		if (scan->watched && cache_serves(scan->watched, scan->table, scan->view))
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
contime_scan_share(ContimeScan *scan, pg_atomic_uint32 *next)
{
	Assert(scan->ninstants == 0); /* nothing is bound */
	scan->next = next;
}

/* The partition of the keys to be read after this one (-1: the first one). */
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
latest_bound(const ContimeScan *scan)
{
	return scan->instants[scan->backward ? 0 : scan->ninstants - 1];
}

/* Note the latest instant read: an event at or before it is then news. */
static void
raise_watermark(pg_atomic_uint64 *served, int64 instant)
{
	uint64 latest = pg_atomic_read_u64(served);

	/* "After everything known" says nothing about instants to come. */
	if (instant == PG_INT64_MAX)
		return;
	while (instant > (int64) latest &&
		   !pg_atomic_compare_exchange_u64(served, &latest, (uint64) instant))
		;
}

/*
 * Likewise of a table that has no generation.  If a writer opens one meanwhile,
 * either it finds what is noted here, or it is found.
 */
static void
note_early(ContimeScan *scan, const int64 *instants, int ninstants, int64 until)
{
	pg_atomic_uint64 *early = contime_early(scan->table->relid);

	raise_watermark(early, until);
	for (int i = 0; i < ninstants; i++)
		raise_watermark(early, instants[i]);
	pg_memory_barrier();
	find_generation(scan);
}

/* Encode the key; false: it is NULL, so there is none. */
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
		scan->heap = contime_heap_begin(scan->rel, scan->table, scan->view->snapshot);
	MemoryContextSwitchTo(caller);
	return scan->heap;
}

/*
 * Before anything is looked at: what a serializable transaction reads.  That
 * there was nothing at all is to be found out after it, too.  (What a durable
 * table reads of its event table is core's.)
 */
static void
announce(ContimeScan *scan)
{
	ContimeView *view = scan->view;

	Assert(scan->table->source == NULL);
	contime_pause("bound", MyDatabaseId);
	view->tracks =
		contime_serializable_read(scan->rel, view->snapshot, scan->by_key ? &scan->key.hash : NULL);
	if (view->tracks && scan->generation == NULL)
		find_generation(scan);
}

/* Is all that is bound in memory, as far as can be known before it is looked at? */
static bool
is_in_memory(const ContimeScan *scan)
{
	const ContimeGeneration *g = scan->generation;

	if (g == NULL)
		return false;
	return scan->by_key ? !contime_oversize_key(g, &scan->key)
						: !scan->partial && !contime_oversize_any(g);
}

/* Start over, for these instants and perhaps others that are not after `until`. */
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
		announce(scan);
	if (!scan->table->source && scan->generation == NULL)
		note_early(scan, instants, ninstants, until);
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
	if (!scan->from_heap)
		contime_retention_check(scan->table, scan->generation, contime_scan_earliest(scan));
	scan->done = !scan->memory && !scan->from_heap;
	if (scan->done)
		return;
	if (scan->watched)
	{
		raise_watermark(&scan->watched->read_watermark, latest_bound(scan));
		raise_watermark(&scan->watched->read_watermark, until);
	}
	if (scan->memory && !keys)
	{
		scan->partition = contime_scan_next_partition(scan, -1);
		scan->done = scan->partition >= contime_shared->partitions;
	}
	Assert(!scan->memory || scan->generation != NULL);
	scan->until = Max(until, latest_bound(scan));
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

/*
 * Without the locks: a planner must not wait, and an approximate number is
 * enough.
 */
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
