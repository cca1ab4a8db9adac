/*
 * scan.c
 *	  Slices and histories of a continuous table as tuples, for both faces.
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
 * from the event tables one after the other (heapread.c), and folded likewise.
 *
 * Not here: which conditions become instants and keys (plan.c), privileges
 * (core for the FDW, functions.c for the functions).
 */
#include "contime.h"

#include "common/hashfn.h"
#include "lib/qunique.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/memutils.h"

/* Memory for held states; doubles when a single row does not fit. */
#define CHUNK_BYTES 65536

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

/* A state copied out of shared memory. */
typedef struct HeldRow
{
	struct HeldRow *next;
	int64		instant;
	bool		present;
	uint32		key_bytes;
	char	   *key;
	int			nstate;
	CtValue    *state;
	ContimeTold told;			/* of an event */
} HeldRow;

/* A bump allocator over memory got beforehand: under a lock nothing may fail. */
typedef struct Chunk
{
	char	   *data;
	Size		size;
	Size		used;
	bool		full;			/* something did not fit */
	HeldRow    *first;
	HeldRow    *last;
} Chunk;

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

/* Where the walk along one key's changes stands. */
typedef struct Walk
{
	int64		at;				/* every change up to here is held */
	int64		to;				/* exclusive */
	bool		started;		/* the state at the start is held */
	CtState    *previous;
} Walk;

/* Where the telling of one key's events stands. */
typedef struct Telling
{
	int64		at;				/* events up to here are held, */
	int			taken;			/* so many of this instant */
	int64		to;
	ContimeScan *scan;
	int			skip;			/* of those told now */
	int			left;			/* before it is enough for one visit */
} Telling;

struct ContimeScan
{
	Relation	rel;
	const ContimeTable *table;
	ContimeGeneration *generation;	/* NULL: nothing is in memory */
	ContimeGeneration *watched; /* where what is read is noted; or NULL */
	ContimeHeapRead *heap;		/* of a durable table, once it is needed */
	bool		from_heap;		/* what is bound is read from there, */
	int64		until;			/* up to this instant */
	ContimeKey *aside;			/* a key that is, among those in memory; NULL until needed */
	ContimeView *view;
	Chunk		chunk;
	HeldRow    *row;			/* next to be returned */
	CtState    *state;			/* where folds go */
	MemoryContext context;		/* of the scan */
	MemoryContext values;		/* of the tuple returned last */

	/* what is bound */
	bool		backward;
	int64	   *instants;		/* sorted, the latest first if backward; no doubles */
	int			ninstants;
	int			instant_capacity;
	bool		by_key;
	ContimeKey	key;
	bool		done;

	pg_atomic_uint32 *next;		/* partition nobody reads yet, or NULL: all are ours */
	uint32		checked;		/* partitions whose data fits the description */

	/* where it stands: before instants[instant] of the timeline at position */
	int			partition;
	uint32		position;
	CtRef		begun;			/* whose instants these are */
	int			instant;
	CtArena		arena;			/* where a timeline from the heap is, */
	CtRef		store;
	CtRef		timeline;		/* 0: there is none at hand */
	int			folds;			/* under this hold of the lock, or look */
	int			most_folds;		/* allowed under it */

	Stale	   *stale;			/* NULL until it is needed */

	/* histories and events: of the key at hand, */
	int64		from;
	Walk		walk;
	Telling		telling;
	bool		ended;			/* all of it is held */
	HeldRow    *pending;		/* until when this state held is not known yet; */
	Chunk		other;			/* it is here while more is held */
};

/* ---- holding states -------------------------------------------------------------- */

static void *
chunk_take(Chunk *chunk, Size bytes)
{
	void	   *taken = chunk->data + chunk->used;

	bytes = MAXALIGN(bytes);
	if (chunk->used + bytes > chunk->size)
	{
		chunk->full = true;
		return NULL;
	}
	chunk->used += bytes;
	return taken;
}

static void
chunk_reset(Chunk *chunk)
{
	chunk->used = 0;
	chunk->full = false;
	chunk->first = chunk->last = NULL;
}

static void
chunk_grow(Chunk *chunk)
{
	MemoryContext context = GetMemoryChunkContext(chunk->data);

	/* Not the caller's context, which may be that of a tuple. */
	chunk->size *= 2;
	pfree(chunk->data);
	chunk->data = MemoryContextAllocHuge(context, chunk->size);
	chunk_reset(chunk);
}

/* Copy an image; a varlena gets its header, and starts aligned. */
static bool
hold_image(Chunk *chunk, CtValue *value, const ContimeAttr *attr)
{
	Size		header = attr->typlen == -1 ? VARHDRSZ : 0;
	char	   *copy = chunk_take(chunk, header + value->bytes);

	if (copy == NULL)
		return false;
	if (header > 0)
		SET_VARSIZE(copy, header + value->bytes);
	memcpy(copy + header, value->image, value->bytes);
	value->image = copy + header;
	return true;
}

/* The value of an attribute that was added after the store's last event. */
static CtValue
initial_value(const CtSchema *schema, int index)
{
	const CtAttr *attr = &schema->attr[index];
	CtValue		value = {.kind = CT_VALUE_NULL};

	if (!attr->has_initial)
		return value;
	value.kind = attr->number == CT_NUMBER_NONE ? CT_VALUE_IMAGE : CT_VALUE_NUMBER;
	value.number = attr->initial;
	value.extra = attr->initial_extra;
	value.image = (const char *) schema + attr->initial_offset;
	value.bytes = attr->initial_bytes;
	return value;
}

/* What was taken since the mark is a row's, unless it did not fit. */
static bool
chunk_keep(Chunk *chunk, HeldRow *row, Size mark)
{
	if (chunk->full)
	{
		chunk->used = mark;
		return false;
	}
	if (chunk->last)
		chunk->last->next = row;
	else
		chunk->first = row;
	chunk->last = row;
	return true;
}

/* Copy a state into the chunk; false when it does not fit. */
static bool
hold_state(Chunk *chunk, const ContimeTable *table, const CtState *state, int64 instant,
		   const void *key, uint32 key_bytes)
{
	Size		mark = chunk->used;
	HeldRow    *row = chunk_take(chunk, sizeof(HeldRow));
	int			n = state->present ? table->natts : 0;

	if (row == NULL)
		return false;
	row->next = NULL;
	row->instant = instant;
	row->present = state->present;
	row->nstate = n;
	row->key_bytes = key_bytes;
	row->key = chunk_take(chunk, key_bytes);
	row->state = chunk_take(chunk, n * sizeof(CtValue));
	if (row->key && row->state)
	{
		memcpy(row->key, key, key_bytes);
		for (int i = 0; i < n && !chunk->full; i++)
		{
			row->state[i] = i < state->nattrs ? state->value[i]
				: initial_value(table->schema, i);
			if (row->state[i].kind == CT_VALUE_IMAGE && !table->attr[i].dropped)
				(void) hold_image(chunk, &row->state[i], &table->attr[i]);
		}
	}
	return chunk_keep(chunk, row, mark);
}

/* ---- begin, bind, end ----------------------------------------------------------------- */

static void
find_generation(ContimeScan *scan)
{
	scan->generation = scan->watched = contime_generation(scan->table->relid);
	if (scan->generation)
		contime_retention_note(scan->table, scan->generation);
}

ContimeScan *
contime_scan_begin(Relation rel, Snapshot snapshot)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "contime scan",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	ContimeScan *scan = palloc0(sizeof(ContimeScan));

	scan->context = context;
	scan->rel = rel;
	scan->table = contime_table(rel);
	scan->view = contime_view_begin(snapshot);
	if (scan->table->source)
	{
		contime_source_check(scan->table);
		scan->watched = contime_cache_watched(scan->table);
		if (scan->watched && contime_cache_serves(scan->watched, scan->table, scan->view))
			scan->generation = scan->watched;
	}
	else
		find_generation(scan);
	scan->state = palloc(sizeof(CtState));
	scan->chunk.size = CHUNK_BYTES;
	scan->chunk.data = palloc(CHUNK_BYTES);
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
	return scan->generation == NULL ? "event tables" : scan->heap ? "memory, event tables" : "memory";
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
note_served(ContimeScan *scan, int64 instant)
{
	uint64		served;

	/* "After everything known" says nothing about instants to come. */
	if (instant == PG_INT64_MAX)
		return;
	served = pg_atomic_read_u64(&scan->watched->served);
	while (instant > (int64) served &&
		   !pg_atomic_compare_exchange_u64(&scan->watched->served, &served, (uint64) instant))
		;
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

/* Start over, for these instants and perhaps others that are not after `until`. */
static void
bind(ContimeScan *scan, const int64 *instants, int ninstants, int64 until,
	 const Datum *keys, const bool *keynulls)
{
	int			(*cmp) (const void *, const void *) = scan->backward ? cmp_int64_backward : cmp_int64;

	chunk_reset(&scan->chunk);
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
	scan->from_heap = scan->table->source && scan->generation == NULL;
	scan->done = scan->generation == NULL && !scan->from_heap;
	if (scan->done)
		return;

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
	if (scan->generation)
		contime_retention_check(scan->table, scan->generation, earliest(scan));
	if (scan->watched)
	{
		note_served(scan, latest(scan));
		note_served(scan, until);
	}
	if (scan->generation && !keys)
	{
		scan->partition = next_partition(scan, -1);
		scan->done = scan->partition >= contime_shared->partitions;
	}
	scan->until = Max(until, latest(scan));
	if (scan->from_heap)
		contime_heap_bind(heap_of(scan), keys, scan->until);
}

void
contime_scan_bind(ContimeScan *scan, const int64 *instants, int ninstants,
				  const Datum *keys, const bool *keynulls)
{
	bind(scan, instants, ninstants, PG_INT64_MIN, keys, keynulls);
}

/* ---- estimates ------------------------------------------------------------------------- */

/* Without the locks: a planner waits for nobody, and a number that is just changing will do. */
void
contime_count(Oid relid, double *keys, double *events)
{
	ContimeGeneration *g = contime_generation(relid);

	*keys = *events = 0;
	for (int p = 0; g && p < contime_shared->partitions; p++)
	{
		CtArena		arena = contime_arena(p);
		CtRef		store = g->store[p];
		CtStats		stats;

		if (store == 0)
			continue;
		pg_read_barrier();
		ct_store_stats(&arena, store, &stats);
		*keys += stats.keys;
		*events += stats.recent + stats.young + stats.frozen;
	}
}

/* ---- filling a chunk ------------------------------------------------------------------- */

typedef enum Fill
{
	FILL_DONE,					/* nothing is left in this partition */
	FILL_MORE,					/* call again */
	FILL_RESOLVE,				/* the view must be resolved first */
	FILL_FROM_HEAP				/* the cache does not hold what is seen of this key */
} Fill;

/*
 * Does the data of a partition fit the table's description?  Hooks check that
 * when a definition changes; this is the net below them.
 */
static void
check_conflict(ContimeScan *scan, const CtArena *arena, CtRef store)
{
	uint32		bit = UINT32_C(1) << scan->partition;
	int			conflict;

	if (scan->checked & bit)
		return;
	scan->checked |= bit;
	conflict = contime_schema_conflict(scan->table, ct_store_schema(arena, store));
	if (conflict >= 0)
		contime_report_conflict(scan->table, conflict);
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
static bool
note_range(ContimeScan *scan, const CtArena *arena, CtRef timeline, int64 from, int64 last)
{
	if (!is_overtaken(scan, arena, timeline))
		return true;
	if (scan->stale == NULL)
		return false;
	note_stale(scan->stale, scan->key.data.data, scan->key.data.len, from, last);
	return true;
}

/* Without a lock, when what was looked at is known to be whole. */
static void
tell_stale(ContimeScan *scan)
{
	Stale	   *stale = scan->stale;
	uint64		what;

	if (stale == NULL || !stale->any)
		return;
	stale->any = false;
	what = hash_bytes_extended((unsigned char *) stale->key, stale->key_bytes,
							   scan->generation->serial);
	what = hash_combine64(hash_combine64(what, stale->from), stale->last);
	if (told_lxid != MyProc->lxid)
		memset(told, 0, sizeof(told));
	told_lxid = MyProc->lxid;
	if (told[what % TOLD] == what)
		return;
	contime_notice_overtaken(scan->partition, scan->generation, stale->key, stale->key_bytes,
							 stale->from,
							 stale->last == PG_INT64_MAX ? PG_INT64_MAX : stale->last + 1);
	told[what % TOLD] = what;
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

/*
 * The recent events that are seen of a timeline.  FILL_FROM_HEAP: one of them
 * retracts, and folds do not know of that.  (So it was when the snapshot was taken: nothing of the timeline
 * has been held.)
 */
static Fill
gather(ContimeScan *scan, const CtArena *arena, CtRef store, CtRef timeline)
{
	uint32		key_bytes;
	const void *key;

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

/* ---- filling a chunk, continued ---------------------------------------------------------- */

/*
 * Fold one timeline at the instants that are left; hold what is present.
 *
 * Where the scan stood there may be no timeline any more, or another one: what
 * the snapshot sees of a key keeps it where it is, but the key of what was
 * rolled back goes.  Its instants say nothing about the next one's.
 */
static Fill
fill_timeline(ContimeScan *scan, const CtArena *arena, CtRef store, CtRef timeline)
{
	uint32		key_bytes;
	const void *key = ct_timeline_key(arena, timeline, &key_bytes);
	bool		overtaken;
	Fill		fill;

	if (scan->begun != timeline)
	{
		scan->begun = timeline;
		scan->instant = 0;
	}
	fill = gather(scan, arena, store, timeline);
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
			!hold_state(&scan->chunk, scan->table, scan->state, instant, key, key_bytes))
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

/*
 * Looks at the bound key's timeline, at most `steps` steps long, and keeps in
 * `arg` how far it has come: first of all an int64, the instant.
 */
typedef Fill (*Visit) (ContimeScan *scan, void *arg, const CtArena *arena, CtRef store,
					   CtRef timeline, int steps);

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
		*fill = FILL_DONE;
		if (read.timeline == 0)
			return true;
		*fill = visit(scan, arg, arena, store, read.timeline, FOLDS_PER_LOOK);
		if (ct_read_valid(&read))
		{
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
	Fill		fill = FILL_DONE;

	if (store == 0)
		return FILL_DONE;
	pg_read_barrier();
	check_conflict(scan, &arena, store);
	if (!visit_looking(scan, &arena, store, visit, arg, arg_bytes, &fill))
	{
		contime_lock(scan->partition, LW_SHARED);
		timeline = ct_store_find(&arena, store, scan->key.hash,
								 scan->key.data.data, scan->key.data.len);
		if (timeline != 0)
			fill = visit(scan, arg, &arena, store, timeline, FOLDS_PER_LOCK);
		contime_unlock(scan->partition);
		tell_stale(scan);
	}
	contime_view_report(scan->view, scan->rel);
	contime_retention_check(scan->table, scan->generation, Min(from, *(int64 *) arg));
	return fill;
}

static Fill
visit_from_heap(ContimeScan *scan, Visit visit, void *arg)
{
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
	if (fill != FILL_DONE || scan->timeline == 0)
		return fill;
	scan->timeline = 0;
	return FILL_MORE;
}

/* Read the key at hand from the heap. */
static void
turn_to_heap(ContimeScan *scan)
{
	const ContimeTable *table = scan->table;
	const ContimeKey *key = scan->by_key ? &scan->key : scan->aside;
	Datum		values[CT_MAX_ATTRS];
	bool		isnull[CT_MAX_ATTRS];
	Datum		keys[INDEX_MAX_KEYS];
	MemoryContext caller = MemoryContextSwitchTo(scan->values);

	MemoryContextReset(scan->values);
	contime_decode_key(table, key->data.data, key->data.len, values, isnull);
	for (int i = 0; i < table->nkeys; i++)
		keys[i] = values[table->key_attno[i] - 1];
	MemoryContextSwitchTo(caller);
	contime_heap_bind(heap_of(scan), keys, scan->until);
	scan->from_heap = true;
	scan->timeline = 0;
}

/* Nothing is left where the scan is: go to where there may be more. */
static void
turn_on(ContimeScan *scan)
{
	if (scan->from_heap && scan->generation && !scan->by_key)
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
	chunk_reset(&scan->chunk);
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
					chunk_grow(&scan->chunk);
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

/* A held state as a virtual tuple. */
static void
store_row(ContimeScan *scan, const HeldRow *row, TupleTableSlot *slot)
{
	const ContimeTable *table = scan->table;
	Datum	   *values = slot->tts_values;
	bool	   *isnull = slot->tts_isnull;
	MemoryContext caller;

	MemoryContextReset(scan->values);
	caller = MemoryContextSwitchTo(scan->values);
	contime_decode_state(table, row->state, row->nstate, values, isnull);
	contime_decode_key(table, row->key, row->key_bytes, values, isnull);
	values[table->time_attno - 1] = Int64GetDatum(row->instant);
	isnull[table->time_attno - 1] = false;
	MemoryContextSwitchTo(caller);
	ExecStoreVirtualTuple(slot);
}

bool
contime_scan_next(ContimeScan *scan, TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	if (scan->row == NULL && !fill_chunk(scan))
		return false;
	store_row(scan, scan->row, slot);
	scan->row = scan->row->next;
	return true;
}

/*
 * The bound key's timeline is visited until the chunk holds something, or the
 * visit is done: false.
 */
static bool
visit_key(ContimeScan *scan, Visit visit, void *arg, Size arg_bytes)
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
			chunk_grow(&scan->chunk);
		scan->chunk.full = false;
	} while (fill != FILL_DONE && scan->chunk.first == NULL);
	return fill != FILL_DONE;
}

/* ---- the keys whose timelines are visited ------------------------------------------------- */

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

/* Go on to the next of the keys that are bound; false: that was the last. */
static bool
next_key(ContimeScan *scan)
{
	bool		found;

	if (scan->done)
		return false;
	if (scan->by_key)
	{
		scan->done = true;
		return true;
	}
	if (scan->generation)
	{
		scan->from_heap = false;	/* that was the last key, perhaps */
		found = next_key_in_memory(scan);
	}
	else
		found = next_key_in_heap(scan);
	scan->done = !found;
	return found;
}

/* Bind keys and what will be read of them: instants [from, to]. */
static bool
bind_range(ContimeScan *scan, const Datum *keys, const bool *keynulls, int64 from, int64 to)
{
	bind(scan, &from, from <= to, to, keys, keynulls);
	return !scan->done;
}

/* ---- histories --------------------------------------------------------------------------- */

/* States that differ only in columns that are no more are the same. */
static bool
is_change(const ContimeTable *table, const CtSchema *schema, CtState *before, CtState *after)
{
	for (int i = 0; i < Min(after->nattrs, table->natts); i++)
		if (table->attr[i].dropped)
			before->value[i].kind = after->value[i].kind = CT_VALUE_NULL;
	return !ct_state_equal(schema, before, after);
}

/*
 * Hold the state at the start, then each one that differs from the one before.
 * What did not fit is found again, from the last change that did.
 */
static Fill
fill_history(ContimeScan *scan, void *arg, const CtArena *arena, CtRef store, CtRef timeline,
			 int steps)
{
	Walk	   *walk = arg;
	const CtSnapshot *plain = &scan->view->plain;
	const CtRuns *runs = &scan->view->runs;
	const CtSchema *schema = ct_store_schema(arena, store);
	const StringInfo key = &scan->key.data;
	int64		time = walk->at;
	Fill		fill = gather(scan, arena, store, timeline);

	if (fill != FILL_DONE)
		return fill;
	if (!note_range(scan, arena, timeline, walk->at,
					walk->to == PG_INT64_MAX ? walk->to : walk->to - 1))
		return FILL_RESOLVE;
	ct_timeline_fold(arena, store, timeline, time, plain, runs, scan->state);
	if (!walk->started &&
		!hold_state(&scan->chunk, scan->table, scan->state, time, key->data, key->len))
		return FILL_MORE;
	walk->started = true;

	for (int n = 0; n < steps; n++)
	{
		ct_state_copy(walk->previous, scan->state);
		if (!ct_timeline_step(arena, store, timeline, &time, walk->to - 1, plain, runs, scan->state))
			return FILL_DONE;
		if (is_change(scan->table, schema, walk->previous, scan->state) &&
			!hold_state(&scan->chunk, scan->table, scan->state, time, key->data, key->len))
			return FILL_MORE;
		walk->at = time;
	}
	return FILL_MORE;
}

void
contime_scan_bind_history(ContimeScan *scan, const Datum *keys, const bool *keynulls,
						  int64 from, int64 to)
{
	if (scan->other.data == NULL)
	{
		scan->other.size = CHUNK_BYTES;
		scan->other.data = MemoryContextAlloc(scan->context, CHUNK_BYTES);
		scan->walk.previous = MemoryContextAlloc(scan->context, sizeof(CtState));
	}
	scan->from = from;
	scan->walk.to = to;
	scan->ended = true;
	scan->pending = NULL;
	if (from < to)
		(void) bind_range(scan, keys, keynulls, from, to == PG_INT64_MAX ? to : to - 1);
	else
		scan->done = true;
}

/* The next state of the key at hand, which may be that there is no row; NULL: no more. */
static HeldRow *
next_state(ContimeScan *scan)
{
	HeldRow    *row;

	if (scan->row == NULL && !scan->ended)
	{
		Chunk		held = scan->chunk;

		scan->chunk = scan->other;
		scan->other = held;
		chunk_reset(&scan->chunk);
		scan->ended = !visit_key(scan, fill_history, &scan->walk, sizeof(scan->walk));
		scan->row = scan->chunk.first;
	}
	row = scan->row;
	if (row)
		scan->row = row->next;
	return row;
}

bool
contime_scan_next_state(ContimeScan *scan, TupleTableSlot *slot, int64 *from, int64 *to)
{
	HeldRow    *row;

	ExecClearTuple(slot);
	do
	{
		row = scan->pending;
		scan->pending = next_state(scan);
		if (row == NULL && scan->pending == NULL)
		{
			if (!next_key(scan))
				return false;
			scan->walk.at = scan->from;
			scan->walk.started = false;
			scan->ended = false;
		}
	} while (row == NULL || !row->present);
	*from = row->instant;
	*to = scan->pending ? scan->pending->instant : scan->walk.to;
	store_row(scan, row, slot);
	return true;
}

/* ---- since when a state holds -------------------------------------------------------------- */

typedef struct Since
{
	int64		at;				/* nothing has changed from here on */
	bool		present;		/* there is a row at the start, */
	bool		found;			/* and it is known since when: `at` */
	bool		looked;			/* `present` is known */
	CtState    *previous;
} Since;

/* Go back from event to event, until one has changed something. */
static Fill
find_since(ContimeScan *scan, void *arg, const CtArena *arena, CtRef store, CtRef timeline,
		   int steps)
{
	Since	   *since = arg;
	const CtSnapshot *plain = &scan->view->plain;
	const CtRuns *runs = &scan->view->runs;
	const CtSchema *schema = ct_store_schema(arena, store);
	Fill		fill = gather(scan, arena, store, timeline);

	if (fill != FILL_DONE)
		return fill;
	if (!since->looked)
	{
		if (!note_range(scan, arena, timeline, since->at, since->at))
			return FILL_RESOLVE;
		ct_timeline_fold(arena, store, timeline, since->at, plain, runs, scan->state);
		since->present = scan->state->present;
		since->looked = true;
	}
	for (int n = 0; n < steps && since->present; n++)
	{
		int64		time = since->at;

		if (!ct_timeline_latest(arena, store, timeline, &time, plain, runs))
			return FILL_DONE;
		since->at = time;
		ct_timeline_fold(arena, store, timeline, time, plain, runs, scan->state);
		if (time > PG_INT64_MIN)
			ct_timeline_fold(arena, store, timeline, time - 1, plain, runs, since->previous);
		if (time == PG_INT64_MIN || is_change(scan->table, schema, since->previous, scan->state))
		{
			since->found = true;
			return FILL_DONE;
		}
		since->at = time - 1;
	}
	return since->present ? FILL_MORE : FILL_DONE;
}

bool
contime_scan_since(ContimeScan *scan, const Datum *keys, const bool *keynulls, int64 *instant)
{
	Since		since = {.at = *instant};

	if (!bind_range(scan, keys, keynulls, *instant, *instant))
		return false;
	since.previous = MemoryContextAlloc(scan->context, sizeof(CtState));
	while (visit_key(scan, find_since, &since, sizeof(since)))
		;
	if (!since.present)
		return false;

	/* What it has been since before the table retains is not known. */
	if (!since.found && scan->generation)
		contime_retention_check(scan->table, scan->generation, PG_INT64_MIN);
	*instant = since.at;
	return since.found;
}

/* ---- events as they were told ----------------------------------------------------------------- */

/* Copy an event into the chunk; false when it does not fit. */
static bool
hold_told(Chunk *chunk, const ContimeTable *table, const StringInfo key, const CtTold *told)
{
	Size		mark = chunk->used;
	HeldRow    *row = chunk_take(chunk, sizeof(HeldRow));

	if (row == NULL)
		return false;
	*row = (HeldRow) {.instant = told->time, .present = true, .nstate = table->natts,
		.key_bytes = key->len, .told = {told->kind, told->set, told->late}};
	row->key = chunk_take(chunk, key->len);
	row->state = chunk_take(chunk, table->natts * sizeof(CtValue));
	if (row->key && row->state)
	{
		memcpy(row->key, key->data, key->len);
		for (int i = 0; i < table->natts && !chunk->full; i++)
		{
			row->state[i] = (CtValue) {.kind = CT_VALUE_NULL};
			if (((told->set & ~told->null) >> i & 1) == 0 || table->attr[i].dropped)
				continue;
			row->state[i] = told->value[i];
			if (row->state[i].kind == CT_VALUE_IMAGE)
				(void) hold_image(chunk, &row->state[i], &table->attr[i]);
		}
	}
	return chunk_keep(chunk, row, mark);
}

static bool
take_told(void *arg, const CtTold *told)
{
	Telling    *telling = arg;
	ContimeScan *scan = telling->scan;

	if (told->time == telling->at && telling->skip > 0)
	{
		telling->skip--;
		return true;
	}
	if (telling->left-- == 0 || !hold_told(&scan->chunk, scan->table, &scan->key.data, told))
		return false;
	telling->taken = told->time == telling->at ? telling->taken + 1 : 1;
	telling->at = told->time;
	return true;
}

static Fill
fill_told(ContimeScan *scan, void *arg, const CtArena *arena, CtRef store, CtRef timeline,
		  int steps)
{
	Telling    *telling = arg;
	Fill		fill = gather(scan, arena, store, timeline);

	if (fill != FILL_DONE)
		return fill;
	if (!note_range(scan, arena, timeline, telling->at, telling->to))
		return FILL_RESOLVE;
	telling->skip = telling->taken;
	telling->left = steps;
	return ct_timeline_tell(arena, store, timeline, telling->at, telling->to, &scan->view->plain,
							&scan->view->runs, take_told, telling) ? FILL_DONE : FILL_MORE;
}

void
contime_scan_bind_events(ContimeScan *scan, const Datum *keys, const bool *keynulls,
						 int64 from, int64 to)
{
	scan->from = from;
	scan->telling.to = to;
	scan->ended = true;
	(void) bind_range(scan, keys, keynulls, from, to);
}

bool
contime_scan_next_event(ContimeScan *scan, TupleTableSlot *slot, ContimeTold *event)
{
	HeldRow    *row;

	ExecClearTuple(slot);
	while (scan->row == NULL)
	{
		if (scan->ended && !next_key(scan))
			return false;
		if (scan->ended)
			scan->telling = (Telling) {.at = scan->from, .to = scan->telling.to, .scan = scan};
		chunk_reset(&scan->chunk);
		scan->ended = !visit_key(scan, fill_told, &scan->telling, sizeof(scan->telling));
		scan->row = scan->chunk.first;
	}
	row = scan->row;
	scan->row = row->next;
	*event = row->told;
	store_row(scan, row, slot);
	return true;
}
