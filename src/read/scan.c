/*
 * scan.c
 *	  Scans: what is bound of a continuous table, and visits to its timelines.
 *
 *	  bind: instants, one key or all
 *	  chunk: observe a timeline, fold it at the instants, copy the states into
 *	         this process; if it has changed meanwhile forget them and try
 *	         again, and after some tries under the partition's lock, in shared
 *	         mode  (no errors, no waiting, no type's functions)
 *	  next:  turn a held state into datums
 *
 * Between two observations timelines change; the snapshot does not, so every
 * fold gives what it would have given at the start.  A key that appears
 * meanwhile has no event that the snapshot sees.
 *
 * A durable table is read from its cache if that holds what the snapshot sees
 * (cache.c), and but for keys of which it does not: those, or all, are loaded
 * from the event tables one after the other (durable/heap_read.c), and folded likewise.
 *
 * Slices are read here; what is read of a key along its time is for history.c,
 * whose visits to timelines are observed likewise.
 *
 * Not here: which conditions become instants and keys (plan/binding.c), privileges
 * (core for the FDW, sql/args.c for the functions), how rows are copied and
 * become tuples (row_buffer.c).
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


/*
 * Folds, or steps along a history, under one hold of a lock: some 500 us.
 * Recent events make a fold dearer, but also gathering them again.
 */
#define FOLDS_PER_LOCK 256
#define RECENTS_PER_FOLD 32768

/*
 * Folds and steps under one observation, and how often one is tried before the
 * lock is taken.  On the hottest timeline a writer is at work all the time.
 */
#define FOLDS_PER_LOOK 16
#define LOOKS 8

/* How many keys ahead their memory is asked for. */
#define READ_AHEAD 4

/* What a visit to a timeline keeps. */
#define MAX_VISIT_BYTES 64

/*
 * What was read of a key and is not what new snapshots see, since something has
 * entered that this one does not see.  When that entered nobody had read here,
 * so it was not told: the reader does it.
 */
typedef struct Stale
{
	bool		any;
	int64		from;			/* instants read, the last one included */
	int64		last;
	uint32		key_bytes;
	char		key[CT_MAX_KEY_BYTES];
	CtState		fresh;
} Stale;

/* ---- begin, bind, end ----------------------------------------------------------------- */

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
		!contime_capture_pending(table->relid) &&
		!view->snapshot->takenDuringRecovery && contime_sees_loaded(&view->plain, &g->loaded) &&
		!contime_cache_lost_rows(g, view);
}

ContimeScan *
contime_scan_begin(Relation rel, Snapshot snapshot, ContimeReferences *held)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "contime scan",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	ContimeScan *scan = palloc0(sizeof(ContimeScan));

	scan->context = context;
	scan->rel = rel;
	scan->table = contime_table(rel);
	scan->view = contime_view_begin(snapshot);
	scan->held = held ? held : contime_references_begin(scan->table);
	if (scan->table->source)
	{
		contime_source_check(scan->table);
		scan->watched = contime_cache_watched(scan->table);
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
contime_scan_backward(ContimeScan *scan)
{
	scan->backward = true;
}

void
contime_scan_share(ContimeScan *scan, pg_atomic_uint32 *next)
{
	scan->next = next;
}

/* The partition of the keys to be read after this one (-1: the first one). */
static int
next_partition(ContimeScan *scan, int partition)
{
	return scan->next ? (int) pg_atomic_fetch_add_u32(scan->next, 1) : partition + 1;
}

static int
cmp_int64(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return (x > y) - (x < y);
}

static int
cmp_int64_backward(const void *a, const void *b)
{
	return cmp_int64(b, a);
}

/* The earliest and the latest of the instants. */
static int64
earliest(const ContimeScan *scan)
{
	return scan->instants[scan->backward ? scan->ninstants - 1 : 0];
}

static int64
latest(const ContimeScan *scan)
{
	return scan->instants[scan->backward ? 0 : scan->ninstants - 1];
}

/* Note the latest instant read: an event at or before it is then news. */
static void
note_served(pg_atomic_uint64 *served, int64 instant)
{
	uint64		latest = pg_atomic_read_u64(served);

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

	note_served(early, until);
	for (int i = 0; i < ninstants; i++)
		note_served(early, instants[i]);
	pg_memory_barrier();
	find_generation(scan);
}

/* Encode the key; false: it is NULL, so there is none. */
static bool
bind_key(ContimeScan *scan, const Datum *keys, const bool *keynulls)
{
	MemoryContext caller = MemoryContextSwitchTo(scan->values);
	bool		exists;

	MemoryContextReset(scan->values);
	exists = contime_encode_key(scan->table, keys, keynulls, &scan->key);
	if (exists)
		scan->partition = contime_partition_of(scan->key.hash);
	MemoryContextSwitchTo(caller);
	return exists;
}

static ContimeHeapRead *
heap_of(ContimeScan *scan)
{
	MemoryContext caller = MemoryContextSwitchTo(scan->context);

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

	contime_pause("bound", MyDatabaseId);
	view->tracks = contime_serializable_read(scan->rel, view->snapshot,
											 scan->by_key ? &scan->key.hash : NULL);
	if (view->tracks && scan->generation == NULL)
		find_generation(scan);
}

static void tell_missed(ContimeScan *scan);

/* Is all that is bound in memory, as far as can be known before it is looked at? */
static bool
is_in_memory(const ContimeScan *scan)
{
	const ContimeGeneration *g = scan->generation;

	if (g == NULL)
		return false;
	return scan->by_key ? !contime_oversize_key(g, &scan->key)
		: !g->partial && !contime_oversize_any(g);
}

/* Start over, for these instants and perhaps others that are not after `until`. */
static void
bind_instants(ContimeScan *scan, const int64 *instants, int ninstants, int64 until,
	 const Datum *keys, const bool *keynulls)
{
	int			(*cmp) (const void *, const void *) = scan->backward ? cmp_int64_backward : cmp_int64;

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
	scan->ninstants = ninstants;
	if (!scan->from_heap)
		contime_retention_check(scan->table, scan->generation, earliest(scan));
	scan->done = !scan->memory && !scan->from_heap;
	if (scan->done)
		return;
	if (scan->watched)
	{
		note_served(&scan->watched->served, latest(scan));
		note_served(&scan->watched->served, until);
	}
	if (scan->memory && !keys)
	{
		scan->partition = next_partition(scan, -1);
		scan->done = scan->partition >= contime_shared->partitions;
	}
	scan->until = Max(until, latest(scan));
	if (!scan->from_heap)
		return;
	tell_missed(scan);
	contime_heap_bind(heap_of(scan), keys, scan->until);
}

void
contime_scan_bind(ContimeScan *scan, const int64 *instants, int ninstants,
				  const Datum *keys, const bool *keynulls)
{
	bind_instants(scan, instants, ninstants, PG_INT64_MIN, keys, keynulls);
}

/* ---- estimates ------------------------------------------------------------------------- */

/* Without the locks: a planner waits for nobody, and a number that is just changing will do. */
void
contime_count(Oid relid, double *keys, double *events)
{
	ContimeGeneration *g = contime_generation(relid);
	CtStats		stats = g ? contime_generation_stats(g) : (CtStats) {0};

	*keys = stats.keys;
	*events = stats.recent + stats.young + stats.frozen;
}

/* ---- telling what is not seen ------------------------------------------------------------ */

/* Ranges of keys told in this transaction, by their hash. */
#define TOLD 64

static uint64 told[TOLD];
static LocalTransactionId told_lxid;

/* Has something entered that this snapshot does not see?  (After gathering.) */
static bool
is_overtaken(const ContimeScan *scan, const CtArena *arena, CtRef timeline)
{
	return scan->view->overtaken || !ct_timeline_seen(arena, timeline, &scan->view->plain);
}

static void
note_stale(Stale *stale, const void *key, uint32 key_bytes, int64 from, int64 last)
{
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
static void
compare_with_fresh(ContimeScan *scan, const CtArena *arena, CtRef store, CtRef timeline,
				   int64 instant, const void *key, uint32 key_bytes)
{
	CtSnapshot	all = {.xmin = PG_UINT64_MAX,.xmax = PG_UINT64_MAX,.until = scan->view->plain.until};

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
 * something else?  False: resolve() first.
 */
bool
contime_scan_note_range(ContimeScan *scan, const CtArena *arena, CtRef timeline,
						int64 from, int64 last)
{
	if (!is_overtaken(scan, arena, timeline))
		return true;
	if (scan->stale == NULL)
		return false;
	note_stale(scan->stale, scan->key.data.data, scan->key.data.len, from, last);
	return true;
}

/* Not what has been told in this transaction; key_bytes 0, or too many: of whatever keys. */
static void
tell(ContimeScan *scan, const void *key, uint32 key_bytes, int64 from, int64 last)
{
	int64		to = last == PG_INT64_MAX ? PG_INT64_MAX : last + 1;
	uint64		what = hash_bytes_extended(key, key_bytes, scan->watched->serial);

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
static void
tell_stale(ContimeScan *scan)
{
	Stale	   *stale = scan->stale;

	if (stale == NULL || !stale->any)
		return;
	stale->any = false;
	tell(scan, stale->key, stale->key_bytes, stale->from, stale->last);
}

/* Has something gone from a partition, untold, that this snapshot does not see? */
static bool
has_missed(const ContimeScan *scan, int partition)
{
	const CtSnapshot *plain = &scan->view->plain;
	CtArena		arena = contime_arena(partition);
	CtRef		store = scan->watched->store[partition];
	uint64		untold = store == 0 ? 0 : ct_store_untold(&arena, store);

	if (plain->xmin > untold)
		return false;
	for (uint32 i = 0; i < plain->nxip; i++)
		if (plain->xip[i] <= untold &&
			contime_fate(plain->xip[i], plain->xip[i]) == CONTIME_COMMITTED)
			return true;
	return plain->xmax <= untold;
}

/*
 * What is bound is read from the event tables, as the cache has not all keys.
 * What it would be to new snapshots is not known: it is told to be another one.
 */
static void
tell_missed(ContimeScan *scan)
{
	bool		missed = false;

	if (scan->watched == NULL || !scan->watched->partial || earliest(scan) == PG_INT64_MAX)
		return;
	pg_memory_barrier();		/* what is read has been noted */
	if (scan->by_key)
		missed = has_missed(scan, scan->partition);
	for (int p = 0; !scan->by_key && !missed && p < contime_shared->partitions; p++)
		missed = has_missed(scan, p);
	if (missed)
		tell(scan, scan->key.data.data, scan->by_key ? scan->key.data.len : 0, earliest(scan),
			 scan->until);
}

/* ---- before a timeline is read ----------------------------------------------------------- */

/*
 * Does the data of a partition fit the table's description?  Hooks check that
 * when a definition changes; this is the net below them.
 */
static void
check_conflict(ContimeScan *scan, const CtArena *arena, CtRef store)
{
	uint32		bit = UINT32_C(1) << scan->partition;
	int			conflict;
	int			usable = CT_MAX_ATTRS;

	if ((scan->checked & bit) == 0 &&
		contime_schema_conflict(scan->table, ct_store_schema(arena, store), 0) >= 0)
	{
		conflict = contime_shape_usable(scan->table, scan->generation, scan->partition, &usable);
		if (conflict >= 0)
			contime_report_conflict(scan->table, conflict);
	}
	if ((scan->checked & bit) == 0)
		scan->usable[scan->partition] = usable;
	scan->checked |= bit;
	scan->chunk.usable = scan->usable[scan->partition];
}

/* Learn what a view lacks, and get what the next try needs. */
static void
resolve(ContimeScan *scan)
{
	contime_view_resolve(scan->view);
	if (scan->stale == NULL)
		scan->stale = MemoryContextAllocZero(scan->context, sizeof(Stale));
	if (scan->aside == NULL && scan->table->source)
	{
		scan->aside = MemoryContextAllocZero(scan->context, sizeof(ContimeKey));
		scan->aside->data.data = MemoryContextAlloc(scan->context, CT_MAX_KEY_BYTES);
	}
}

/* Is all there that is seen of a timeline?  Of what came back while others were under way the engine cannot tell. */
static bool
is_known(const ContimeScan *scan, const CtArena *arena, CtRef store, CtRef timeline)
{
	return ct_timeline_known(arena, store, timeline, &scan->view->plain) ||
		(ct_timeline_known(arena, store, timeline, NULL) &&
		 contime_keys_are_seen(scan->generation, &scan->view->plain));
}

/*
 * The recent events that are seen of a timeline.  FILL_FROM_HEAP: not all of
 * its events are there; or one of them retracts, and folds do not know of that.
 * (So it was when the snapshot was taken; but a key may have gone since, of
 * which something is held.)
 */
Fill
contime_scan_gather(ContimeScan *scan, const CtArena *arena, CtRef store, CtRef timeline)
{
	uint32		key_bytes;
	const void *key;

	if (!is_known(scan, arena, store, timeline))
		return FILL_FROM_HEAP;
	if (!contime_view_gather(scan->view, arena, store, timeline))
		return FILL_RESOLVE;
	contime_pause("gathered", MyDatabaseId);
	if (!scan->view->runs.retracts || ct_store_cancels(arena, store))
		return FILL_DONE;
	if (!scan->by_key && scan->aside == NULL)
		return FILL_RESOLVE;
	if (!scan->by_key)
	{
		key = ct_timeline_key(arena, timeline, &key_bytes);
		scan->aside->data.len = Min(key_bytes, CT_MAX_KEY_BYTES);
		memcpy(scan->aside->data.data, key, scan->aside->data.len);
	}
	return FILL_FROM_HEAP;
}

/* ---- filling a chunk ------------------------------------------------------------------- */

/*
 * Fold one timeline at the instants that are left; hold what is present.
 *
 * Where the scan stood there may be no timeline any more, or another one: what
 * the snapshot sees of a key keeps it where it is, but the key of what was
 * rolled back goes.  Its instants say nothing about the next one's, but for the
 * key that is bound.
 */
static Fill
fill_timeline(ContimeScan *scan, const CtArena *arena, CtRef store, CtRef timeline)
{
	uint32		key_bytes;
	const void *key = ct_timeline_key(arena, timeline, &key_bytes);
	bool		overtaken;
	Fill		fill;

	if (scan->begun != timeline && !scan->by_key)
	{
		scan->begun = timeline;
		scan->instant = 0;
	}
	fill = contime_scan_gather(scan, arena, store, timeline);
	if (fill != FILL_DONE)
		return fill;
	overtaken = is_overtaken(scan, arena, timeline);
	if (overtaken && scan->stale == NULL)
		return FILL_RESOLVE;
	for (; scan->instant < scan->ninstants; scan->instant++)
	{
		int64		instant = scan->instants[scan->instant];

		if (scan->folds >= scan->most_folds)
			return FILL_MORE;
		scan->folds += 1 + scan->view->runs.nextra / RECENTS_PER_FOLD;
		ct_timeline_fold(arena, store, timeline, instant, &scan->view->plain,
						 &scan->view->runs, scan->state);
		if (overtaken)
			compare_with_fresh(scan, arena, store, timeline, instant, key, key_bytes);
		if (scan->state->present &&
			!contime_hold_state(&scan->chunk, scan->table, scan->state, instant, key, key_bytes))
			return FILL_MORE;
	}
	scan->instant = 0;
	return FILL_DONE;
}

static Fill
fill_all(ContimeScan *scan, const CtArena *arena, CtRef store)
{
	for (;;)
	{
		CtRef		timeline = ct_store_next(arena, store, &scan->position);
		Fill		fill;

		if (timeline == 0)
			return FILL_DONE;
		fill = fill_timeline(scan, arena, store, timeline);
		if (fill != FILL_DONE)
		{
			scan->position--;	/* there, not at what was free before it */
			return fill;
		}
		if (scan->stale && scan->stale->any)
			return FILL_MORE;	/* tell that first */
	}
}

/* One hold of a partition's lock. */
static Fill
fill_locked(ContimeScan *scan, const CtArena *arena, CtRef store)
{
	Fill		fill;

	scan->folds = 0;
	scan->most_folds = FOLDS_PER_LOCK;
	contime_lock(scan->partition, LW_SHARED);
	fill = fill_all(scan, arena, store);
	contime_unlock(scan->partition);
	tell_stale(scan);
	return fill;
}

/* Where a scan stands, to come back to. */
typedef struct Mark
{
	Chunk		chunk;
	CtRef		begun;
	int			instant;
	uint32		nunseen;
} Mark;

static Mark
mark_here(const ContimeScan *scan)
{
	return (Mark) {.chunk = scan->chunk, .begun = scan->begun, .instant = scan->instant, .nunseen = scan->view->nunseen};
}

/* Forget what was held since: it may be torn. */
static void
go_back(ContimeScan *scan, const Mark *mark)
{
	scan->chunk = mark->chunk;
	if (scan->chunk.last)
		scan->chunk.last->next = NULL;
	scan->begun = mark->begun;
	scan->instant = mark->instant;
	scan->view->nunseen = mark->nunseen;
	if (scan->stale)
		scan->stale->any = false;
}

/*
 * Without the lock, keys from scan->position on, as many as are folded under
 * one hold; false: it did not get on with the one there.
 */
static bool
look_at_all(ContimeScan *scan, const CtArena *arena, CtRef store, Fill *fill)
{
	int			looks = 0;

	for (int folds = 0; folds < FOLDS_PER_LOCK; folds += Max(scan->folds, 1))
	{
		Mark		mark = mark_here(scan);
		CtRead		read;

		scan->folds = 0;
		scan->most_folds = FOLDS_PER_LOOK;
		if (looks++ >= LOOKS)
			return false;
		if (ct_read_slot(arena, store, &scan->position, &read) != CT_OK)
			continue;
		*fill = FILL_DONE;
		if (read.timeline == 0)
			return true;
		ct_read_ahead(arena, store, scan->position + READ_AHEAD);
		*fill = fill_timeline(scan, arena, store, read.timeline);
		if (!ct_read_valid(&read))
		{
			go_back(scan, &mark);
			continue;
		}
		tell_stale(scan);
		if (*fill != FILL_DONE)
			return true;
		scan->position++;
		looks = 0;
	}
	*fill = FILL_MORE;
	return true;
}

/* ---- one key's timeline ------------------------------------------------------------------- */

/* The bound key is not in memory. */
static Fill
absent(const ContimeScan *scan)
{
	return scan->generation->partial ? FILL_FROM_HEAP : FILL_DONE;
}

/* Without the lock; false: it did not get on. */
static bool
visit_looking(ContimeScan *scan, const CtArena *arena, CtRef store, Visit visit, void *arg,
			  Size arg_bytes, Fill *fill)
{
	Mark		mark = mark_here(scan);
	char		start[MAX_VISIT_BYTES];
	CtRead		read;

	memcpy(start, arg, arg_bytes);
	for (int looks = 0; looks < LOOKS; looks++)
	{
		if (ct_read_key(arena, store, scan->key.hash, scan->key.data.data, scan->key.data.len,
						&read) != CT_OK)
			continue;
		*fill = absent(scan);
		if (read.timeline == 0)
			return true;
		*fill = visit(scan, arg, arena, store, read.timeline, FOLDS_PER_LOOK);
		if (ct_read_valid(&read))
		{
			if (scan->table->source)
				ct_read_note(&read);
			tell_stale(scan);
			return true;
		}
		go_back(scan, &mark);
		memcpy(arg, start, arg_bytes);
	}
	return false;
}

static Fill
visit_in_memory(ContimeScan *scan, Visit visit, void *arg, Size arg_bytes)
{
	CtArena		arena = contime_arena(scan->partition);
	CtRef		store = scan->generation->store[scan->partition];
	CtRef		timeline;
	int64		from = *(int64 *) arg;
	Fill		fill = absent(scan);

	if (store == 0)
		return fill;
	pg_read_barrier();
	check_conflict(scan, &arena, store);
	if (!visit_looking(scan, &arena, store, visit, arg, arg_bytes, &fill))
	{
		contime_lock(scan->partition, LW_SHARED);
		timeline = ct_store_find(&arena, store, scan->key.hash,
								 scan->key.data.data, scan->key.data.len);
		fill = timeline == 0 ? absent(scan)
			: visit(scan, arg, &arena, store, timeline, FOLDS_PER_LOCK);
		contime_unlock(scan->partition);
		tell_stale(scan);
	}
	scan->remembered |= fill == FILL_DONE || fill == FILL_MORE;
	contime_view_report(scan->view, scan->rel);
	contime_retention_check(scan->table, scan->generation, Min(from, *(int64 *) arg));
	return fill;
}

static Fill
visit_from_heap(ContimeScan *scan, Visit visit, void *arg)
{
	scan->chunk.usable = CT_MAX_ATTRS;
	if (scan->timeline == 0 &&
		!contime_heap_next(scan->heap, &scan->arena, &scan->store, &scan->timeline))
		return FILL_DONE;
	return visit(scan, arg, &scan->arena, scan->store, scan->timeline, FOLDS_PER_LOCK);
}

/* What is bound of the timeline at hand, at most so many instants. */
static Fill
fill_key(ContimeScan *scan, void *arg, const CtArena *arena, CtRef store, CtRef timeline,
		 int steps)
{
	scan->folds = 0;
	scan->most_folds = steps;
	return fill_timeline(scan, arena, store, timeline);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

/* Some timelines of the partition. */
static Fill
fill_partition(ContimeScan *scan)
{
	CtArena		arena = contime_arena(scan->partition);
	CtRef		store = scan->generation->store[scan->partition];
	Fill		fill = FILL_DONE;

	if (store == 0)
		return FILL_DONE;
	pg_read_barrier();
	check_conflict(scan, &arena, store);
	if (!look_at_all(scan, &arena, store, &fill))
		fill = fill_locked(scan, &arena, store);
	scan->remembered |= fill == FILL_DONE || fill == FILL_MORE;
	contime_view_report(scan->view, scan->rel);
	contime_retention_check(scan->table, scan->generation, earliest(scan));
	return fill;
}

/* The key's timeline, or the next one of all; a private one's end is not yet that of all. */
static Fill
fill_some(ContimeScan *scan)
{
	int64		from = earliest(scan);
	Fill		fill;

	if (!scan->from_heap)
		return scan->by_key ? visit_in_memory(scan, fill_key, &from, sizeof(from))
			: fill_partition(scan);
	fill = visit_from_heap(scan, fill_key, NULL);
	if (fill == FILL_DONE && scan->timeline == 0 && !scan->by_key && !scan->memory &&
		scan->generation)
		contime_oversize_regain(scan->generation);
	if (fill != FILL_DONE || scan->timeline == 0)
		return fill;
	scan->timeline = 0;
	return FILL_MORE;
}

/* Read the key at hand from the heap. */
static void
turn_to_heap(ContimeScan *scan)
{
	const ContimeKey *key = scan->by_key ? &scan->key : scan->aside;
	Datum		keys[INDEX_MAX_KEYS];
	MemoryContext caller = MemoryContextSwitchTo(scan->values);

	MemoryContextReset(scan->values);
	contime_decode_keys(scan->table, key, keys);
	MemoryContextSwitchTo(caller);
	contime_keys_want(scan->generation, key);
	tell_missed(scan);
	contime_heap_bind(heap_of(scan), keys, scan->until);
	scan->from_heap = true;
	scan->timeline = 0;
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
		scan->partition = next_partition(scan, scan->partition);
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
			case FILL_RESOLVE:
				resolve(scan);
				break;
			case FILL_FROM_HEAP:
				turn_to_heap(scan);
				break;
			case FILL_MORE:
				if (scan->chunk.full && scan->chunk.first == NULL)
					contime_chunk_grow(&scan->chunk);
				break;
			case FILL_DONE:
				turn_on(scan);
				break;
		}
		scan->chunk.full = false;
	}
	scan->row = scan->chunk.first;
	return scan->row != NULL;
}

bool
contime_scan_next(ContimeScan *scan, TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	if (scan->row == NULL && !fill_chunk(scan))
		return false;
	contime_held_store(scan->table, scan->row, scan->values, slot);
	scan->row = scan->row->next;
	return true;
}

/* ---- visits for history.c ------------------------------------------------------------------ */

bool
contime_scan_visit(ContimeScan *scan, Visit visit, void *arg, Size arg_bytes)
{
	Fill		fill;

	Assert(arg_bytes <= MAX_VISIT_BYTES);
	do
	{
		CHECK_FOR_INTERRUPTS();
		fill = scan->from_heap ? visit_from_heap(scan, visit, arg)
			: visit_in_memory(scan, visit, arg, arg_bytes);
		if (fill == FILL_RESOLVE)
			resolve(scan);
		else if (fill == FILL_FROM_HEAP)
			turn_to_heap(scan);
		else if (scan->chunk.full && scan->chunk.first == NULL)
			contime_chunk_grow(&scan->chunk);
		scan->chunk.full = false;
	} while (fill != FILL_DONE && scan->chunk.first == NULL);
	return fill != FILL_DONE;
}

/* Of one timeline after the other the key, until its own is visited. */
static void
keep_key(ContimeScan *scan, const CtArena *arena, CtRef timeline)
{
	uint32		bytes;
	const void *key = ct_timeline_key(arena, timeline, &bytes);

	/* (There is room: nothing may fail here.) */
	memcpy(scan->key.data.data, key, bytes);
	scan->key.data.len = bytes;
}

/* The key at scan->position, which moves on; false: there is none from there on. */
static bool
next_key_of(ContimeScan *scan, const CtArena *arena, CtRef store)
{
	CtRef		timeline;
	CtRead		read;

	resetStringInfo(&scan->key.data);
	enlargeStringInfo(&scan->key.data, CT_MAX_KEY_BYTES);
	for (int looks = 0; looks < LOOKS; looks++)
	{
		if (ct_read_slot(arena, store, &scan->position, &read) != CT_OK)
			continue;
		if (read.timeline == 0)
			return false;
		keep_key(scan, arena, read.timeline);
		if (ct_read_valid(&read))
		{
			scan->position++;
			return true;
		}
	}
	contime_lock(scan->partition, LW_SHARED);
	timeline = ct_store_next(arena, store, &scan->position);
	if (timeline != 0)
		keep_key(scan, arena, timeline);
	contime_unlock(scan->partition);
	return timeline != 0;
}

static bool
next_key_in_memory(ContimeScan *scan)
{
	for (; scan->partition < contime_shared->partitions;
		 scan->partition = next_partition(scan, scan->partition), scan->position = 0)
	{
		CtArena		arena = contime_arena(scan->partition);
		CtRef		store = scan->generation->store[scan->partition];

		CHECK_FOR_INTERRUPTS();
		if (store == 0)
			continue;
		pg_read_barrier();
		if (next_key_of(scan, &arena, store))
		{
			contime_hash_key(&scan->key);
			return true;
		}
	}
	return false;
}

static bool
next_key_in_heap(ContimeScan *scan)
{
	uint32		bytes;
	const void *key;

	if (!contime_heap_next(scan->heap, &scan->arena, &scan->store, &scan->timeline))
		return false;
	key = ct_timeline_key(&scan->arena, scan->timeline, &bytes);
	resetStringInfo(&scan->key.data);
	appendBinaryStringInfo(&scan->key.data, key, bytes);
	return true;
}

bool
contime_scan_next_key(ContimeScan *scan)
{
	bool		found;

	if (scan->done)
		return false;
	if (scan->by_key)
	{
		scan->done = true;
		return true;
	}
	if (scan->memory)
	{
		scan->from_heap = false;	/* that was the last key, perhaps */
		found = next_key_in_memory(scan);
	}
	else
		found = next_key_in_heap(scan);
	scan->done = !found;
	return found;
}

bool
contime_scan_bind_range(ContimeScan *scan, const Datum *keys, const bool *keynulls,
						int64 from, int64 to)
{
	bind_instants(scan, &from, from <= to, to, keys, keynulls);
	return !scan->done;
}
