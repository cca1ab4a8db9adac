/*
 * key_loader.c
 *	  Loading of wanted keys into partial caches.
 *
 *	  hold ─► snapshot ─► events it sees enter ─► rows are loaded ─► marked loaded
 *
 * The loader takes the wanted keys of one cache together.  While it holds the batches,
 * no worker enters any.  The loader's snapshot sees the events of a key that entered
 * before, so they are among the rows that it loads (the engine drops events of keys that
 * are not loaded).  Events that the snapshot does not see are still recent, or are
 * written later.  A key is complete for snapshots that see as much as the loader's: for
 * all newer ones, and for those older ones that see every transaction below its xmax
 * (shared/loaded.c, engine/partial.c).
 *
 * The states of a key.  Between UNKNOWN and LOADED the key is in the table of wanted
 * keys (wanted.c), and then in `hand`, where set_key_state() changes its state:
 *
 *	  unknown ─ contime_want_key() ─► wanted ─ take_wanted() ─► TAKEN
 *
 *	  TAKEN ─ load_hand() ─► LOADING ─ mark_key_loaded() ─► LOADED
 *	    │                      │
 *	    │                      └─ no memory, or an error ─► FAILED
 *	    └─ choose_keys(): loaded already, or others come first: dropped from the hand
 *
 *	  loaded ─ ct_store_evict() ─► unknown
 *	  FAILED ─► unknown; hard[] says when the next try may begin
 *
 * Called by the loader (worker/loader.c).
 *
 * Not here: how readers request keys (wanted.c), loading of whole tables (worker/loader.c).
 */
#include "postgres.h"

#include "durable/durable.h"
#include "durable/keys.h"
#include "base/base.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "access/relation.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

/* Limit of the keys that are loaded together. */
#define MOST_KEYS 64

/* The memory that a key needs, if nothing is known about it. */
#define LEAST_BYTES ((Size) 64 * 1024)

/*
 * Rounds of the eviction's clock hand to make room for keys.  A large key does not evict
 * keys that are being read.
 */
#define ROUNDS 3
#define ROUNDS_FOR_LARGE 1

/* Time to the next try, if there was no memory; none for a large key; or an error occurred. */
#define RETRY_ROOM_MS 1000
#define RETRY_LARGE_MS 10000
#define RETRY_ERROR_MS 600000

/* ---- wanted keys ------------------------------------------------------------- */

typedef enum KeyState
{
	KEY_TAKEN,   /* removed from the table of wanted keys */
	KEY_LOADING, /* events of its rows are being linked; readers do not see them */
	KEY_LOADED,  /* readers read it in memory */
	KEY_FAILED,  /* unknown again */
	KEY_STATES
} KeyState;

/* The keys that are loaded together, of one cache. */
static struct
{
	ContimeGeneration *g;
	bool held; /* this loader holds the cache's batches */
	int nkeys;
	int at; /* the key whose rows are being read, or -1 */
	ContimeKey key[MOST_KEYS];
	KeyState state[MOST_KEYS];
} hand;

#define TO(state) (1 << KEY_##state)

/* Change the state of a key in the hand. */
static void
set_key_state(int i, KeyState to)
{
	static const char *const name[KEY_STATES] = {"taken", "loading", "loaded", "failed"};
	static const uint8 allowed[KEY_STATES] PG_USED_FOR_ASSERTS_ONLY = {
		[KEY_TAKEN] = TO(LOADING),
		[KEY_LOADING] = TO(LOADED) | TO(FAILED),
	};

	Assert(i >= 0 && i < hand.nkeys);
	Assert(allowed[hand.state[i]] & 1 << to);
	elog(DEBUG2, "key with hash " UINT64_FORMAT " of relation %u: %s -> %s", hand.key[i].hash,
		 hand.g->relation, name[hand.state[i]], name[to]);
	hand.state[i] = to;
}

/*
 * Take wanted keys of one cache of this database into the hand.  Return false if there
 * are none.  The search begins where the last one ended, since there may be more wanted
 * keys than the hand takes.
 */
static bool
take_wanted(void)
{
	static uint32 at = 0;

	Assert(!hand.held);
	hand.g = NULL;
	hand.nkeys = 0;
	hand.at = -1;
	for (int n = 0; n < CONTIME_WANTED && hand.nkeys < MOST_KEYS; n++)
	{
		ContimeWanted *wanted = &contime_shared->wanted[at++ % CONTIME_WANTED];
		ContimeGeneration *g;

		if (wanted->serial == 0)
			continue;
		SpinLockAcquire(&wanted->mutex);
		g = wanted->serial == 0 ? NULL : contime_wanted_generation(wanted);
		if (g && g->database == MyDatabaseId && (hand.g == NULL || g == hand.g))
		{
			ContimeKey *key = &hand.key[hand.nkeys];

			hand.state[hand.nkeys++] = KEY_TAKEN;
			hand.g = g;
			key->data.len = Min(wanted->key_bytes, CONTIME_WANTED_BYTES);
			memcpy(key->data.data, wanted->key, key->data.len);
			wanted->serial = 0;
		}
		else if (g == NULL)
			wanted->serial = 0;
		SpinLockRelease(&wanted->mutex);
	}
	for (int i = 0; i < hand.nkeys; i++)
		contime_hash_key(&hand.key[i]);
	return hand.nkeys > 0;
}

/* ---- keys that are hard to load ---------------------------------------------- */

#define HARD_KEYS 256

/* Keys that could not be loaded, by their hash. */
static struct
{
	uint64 hash;
	Size bytes;        /* the memory that it needs at least */
	TimestampTz until; /* when the next try may begin */
} hard[HARD_KEYS];

static bool
is_hard(const ContimeKey *key)
{
	return hard[key->hash % HARD_KEYS].hash == key->hash;
}

static bool
is_deferred(const ContimeKey *key)
{
	return is_hard(key) && GetCurrentTimestamp() < hard[key->hash % HARD_KEYS].until;
}

static Size
get_needed_bytes(const ContimeKey *key)
{
	return is_hard(key) ? hard[key->hash % HARD_KEYS].bytes : LEAST_BYTES;
}

static void
note_hard(const ContimeKey *key, Size bytes, int after_ms)
{
	hard[key->hash % HARD_KEYS].hash = key->hash;
	hard[key->hash % HARD_KEYS].bytes = bytes;
	hard[key->hash % HARD_KEYS].until =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), after_ms);
}

/*
 * Note that this much memory was not enough for a key.  The next try gets twice as much,
 * unless that would be more than half of what a key may take.
 */
static void
note_large(const ContimeGeneration *g, const ContimeKey *key, Size bytes)
{
	Size most = contime_budget_key(g);

	if (bytes < most / 2)
		note_hard(key, 2 * bytes, 0);
	else
		note_hard(key, most, RETRY_ERROR_MS);
}

/* ---- loading ----------------------------------------------------------------- */

/* Stop workers from entering batches of the cache, until release_batches(). */
static void
hold_batches(ContimeGeneration *g)
{
	Assert(g == hand.g && !hand.held);
	Assert(!contime_is_held(pg_atomic_read_u32(&g->partial.hold)));
	pg_atomic_fetch_add_u32(&g->partial.hold, 1);
	hand.held = true;
}

static void
release_batches(void)
{
	if (!hand.held)
		return;
	Assert(contime_is_held(pg_atomic_read_u32(&hand.g->partial.hold)));
	pg_atomic_fetch_add_u32(&hand.g->partial.hold, 1);
	hand.held = false;
	for (int p = 0; p < contime_shared->partitions; p++)
		contime_wake_worker(p);
}

static void
release_at_exit(int code, Datum arg)
{
	release_batches();
}

/* True if the key is loaded, for snapshots that are new enough. */
static bool
is_loaded(const ContimeGeneration *g, const ContimeKey *key)
{
	int p = contime_partition_of(key->hash);
	CtArena arena = contime_arena(p);
	CtRef timeline = 0;
	bool loaded;

	contime_lock(p, LW_SHARED);
	if (g->store[p] != 0)
		timeline = ct_store_find(&arena, g->store[p], key->hash, key->data.data, key->data.len);
	loaded = timeline != 0 && ct_timeline_is_loaded(&arena, g->store[p], timeline, NULL);
	contime_unlock(p);
	return loaded;
}

/* Remove the events of a key that is not loaded. */
static void
unload_key(ContimeGeneration *g, const ContimeKey *key)
{
	int p = contime_partition_of(key->hash);
	CtArena arena = contime_arena(p);
	CtStatus status = g->store[p] == 0 ? CT_OK : CT_MORE;

	Assert(hand.held && hand.g == g); /* else a worker might enter events of the key */
	while (status == CT_MORE)
	{
		Size before;

		contime_lock(p, LW_EXCLUSIVE);
		START_CRIT_SECTION();
		before = contime_charge_begin(g, p);
		status = ct_store_unload_key(&arena, g->store[p], key->hash, key->data.data, key->data.len,
									 WORK_PER_LOCK);
		contime_charge_end(g, p, before);
		END_CRIT_SECTION();
		contime_unlock(p);
	}
}

/*
 * Mark a key of the hand as loaded: readers whose snapshot sees all transactions below
 * xmax read it in memory from now on.
 */
static void
mark_key_loaded(const ContimeTable *table, ContimeGeneration *g, int i, uint64 xmax)
{
	const ContimeKey *key = &hand.key[i];
	int p = contime_partition_of(key->hash);
	CtArena arena = contime_arena(p);
	CtStatus status = CT_OK;
	Size before;

	Assert(hand.held && hand.g == g);
	contime_link_prepare(table, g, p);
	contime_lock(p, LW_EXCLUSIVE);
	START_CRIT_SECTION();
	before = contime_charge_begin(g, p);
	status = ct_store_mark_key_loaded(&arena, g->store[p], key->hash, key->data.data, key->data.len,
									  xmax);
	contime_charge_end(g, p, before);
	END_CRIT_SECTION();
	contime_unlock(p);
	if (status != CT_OK)
		contime_report(status, table);
	set_key_state(i, KEY_LOADED);
}

/*
 * Enter the events that the snapshot sees.  The engine drops those of keys that are not
 * loaded, which are among the rows that the loader reads.
 */
static void
enter_seen(ContimeGeneration *g, ContimeView *view)
{
	uint32 held = pg_atomic_read_u32(&g->partial.hold);

	Assert(contime_is_held(held));
	for (int p = 0; p < contime_shared->partitions; p++)
	{
		CtRef previous = 0;
		CtRef batch = 0;
		CtBatch copy;

		while (g->store[p] != 0 && contime_next_batch(p, g, held, &batch, &copy))
		{
			if (!contime_view_sees(view, copy.top, copy.xid))
				previous = batch;
			else if (!contime_end_batch(p, g, held, batch, true))
				ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
								errmsg("there is no room for events to enter")));
			batch = previous;
		}
	}
}

/* Link the events of a key's rows of one source.  Return false if there is no memory for them. */
static bool
load_key_rows(ContimeHeapLoad *load, const ContimeTable *table, ContimeGeneration *g,
			  const ContimeKey *key, Snapshot snapshot)
{
	Size before = contime_generation_bytes(g);
	Size bytes;
	Datum keys[INDEX_MAX_KEYS];
	uint64 rows = 0;

	Assert(hand.held && hand.g == g);
	contime_decode_keys(table, key, keys);
	contime_heap_load_bind(load, snapshot, keys);
	while (contime_heap_load_next(load, g))
	{
		CHECK_FOR_INTERRUPTS();
		if (contime_source_is_limited(table))
			contime_guard_extend(rows += CONTIME_FETCH_ROWS);
		bytes = contime_generation_bytes(g);
		bytes -= Min(bytes, before);
		if (contime_budget_loads(g, 0, true) && bytes < contime_budget_key(g))
			continue;

		/* A key that did not get the least is not noted: other keys took the memory. */
		if (bytes >= LEAST_BYTES)
			note_large(g, key, bytes);
		return false;
	}
	return true;
}

/* Load the keys in the hand, as far as there is memory, under one snapshot. */
static void
load_hand(const ContimeTable *table, ContimeGeneration *g)
{
	ContimeView *view;

	Assert(hand.nkeys > 0 && hand.nkeys <= MOST_KEYS);
	Assert(g->relation == table->relid);
	hold_batches(g);
	contime_pause("held keys", MyDatabaseId);
	PushActiveSnapshot(GetLatestSnapshot());
	view = contime_view_begin(GetActiveSnapshot());
	enter_seen(g, view);
	contime_pause("loading keys", MyDatabaseId);
	for (int i = 0; i < hand.nkeys; i++)
	{
		unload_key(g, &hand.key[i]);
		set_key_state(i, KEY_LOADING);
	}
	for (const ContimeSource *source = table->source; source; source = source->next)
	{
		ContimeHeapLoad *load;

		/* Preparation of an expression evaluates its constant parts. */
		if (contime_source_is_limited(table))
			contime_guard_begin(table->relid, table->owner);
		load = contime_heap_load_begin(table, source);
		for (int i = 0; i < hand.nkeys; i++)
		{
			hand.at = i;
			if (hand.state[i] == KEY_LOADING &&
				!load_key_rows(load, table, g, &hand.key[i], GetActiveSnapshot()))
			{
				unload_key(g, &hand.key[i]);
				set_key_state(i, KEY_FAILED);
			}
		}
		contime_heap_load_end(load);
		contime_guard_end();
	}
	hand.at = -1;

	/* The engine keeps one of two duplicates.  If that one is retracted, the other is missing. */
	if (!contime_cache_break_if_duplicates(g))
	{
		contime_note_key_load(g, &view->plain);
		for (int i = 0; i < hand.nkeys; i++)
			if (hand.state[i] == KEY_LOADING)
				mark_key_loaded(table, g, i, view->plain.xmax);
	}
	contime_pause("loaded keys", MyDatabaseId);
	release_batches();
	PopActiveSnapshot();
	contime_view_end(view);
}

/* Move a key of the hand to the end of the first *n, and count it. */
static void
put_first(int *n, int i)
{
	ContimeKey key = hand.key[i];

	Assert(hand.state[i] == KEY_TAKEN);
	Assert(*n <= i && i < hand.nkeys);
	hand.key[i] = hand.key[*n];
	hand.key[(*n)++] = key;
}

/*
 * Reduce the hand to the keys to load now: all that are not hard to load, or else one
 * that is.  The others are requested again when a reader misses them.  Return the memory
 * that the chosen keys need.
 */
static Size
choose_keys(const ContimeGeneration *g)
{
	Size bytes = 0;
	int n = 0;

	for (int i = 0; i < hand.nkeys; i++)
		if (!is_hard(&hand.key[i]) && !is_loaded(g, &hand.key[i]))
			put_first(&n, i);
	for (int i = 0; i < hand.nkeys && n == 0; i++)
		if (is_hard(&hand.key[i]) && !is_deferred(&hand.key[i]) && !is_loaded(g, &hand.key[i]))
			put_first(&n, i);
	hand.nkeys = n;
	for (int i = 0; i < n; i++)
		bytes += get_needed_bytes(&hand.key[i]);
	return bytes;
}

/* Lock the table, choose keys of the hand, make room for them and load them. */
static void
load_wanted(void)
{
	ContimeGeneration *g = hand.g;
	Oid relid = g->relation;
	Size bytes;
	bool alone;
	Relation rel;
	const ContimeTable *table;

	Assert(IsTransactionState());
	LockRelationOid(relid, AccessShareLock);
	if (!contime_is_table(relid))
		return;
	contime_source_lock(relid);
	if (contime_generation(relid) != g || contime_cache_state(g) != CONTIME_CACHE_PARTIAL ||
		contime_is_quarantined(g))
		return;

	/* Under a small limit, keys that turn out to be small fit nevertheless. */
	bytes = Min(choose_keys(g), contime_budget_key(g));
	if (hand.nkeys == 0)
		return;
	rel = relation_open(relid, NoLock);
	if (!contime_guard_trusts(relid, rel->rd_rel->relowner))
	{
		g->cache.load_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_ERROR_MS);
		relation_close(rel, NoLock);
		return;
	}
	contime_guard_begin(relid, rel->rd_rel->relowner);
	table = contime_table(rel);
	contime_guard_end();
	contime_source_check(table);
	alone = is_hard(&hand.key[0]);
	if (contime_evict(g, bytes, alone ? ROUNDS_FOR_LARGE : ROUNDS))
		load_hand(table, g);
	else if (alone)
		note_hard(&hand.key[0], bytes, RETRY_LARGE_MS);
	else
		g->cache.load_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_ROOM_MS);
	relation_close(rel, NoLock);
}

/*
 * Handle an error: remove the events of keys that are not loaded, and defer the next
 * try.  A key whose row or source raised the error is deferred for longer.  An error
 * that passes by itself, as of a lock that another process holds, is not logged.  The
 * relation's locks are still held, so the cache is the same as before.
 */
static void
defer_keys(void)
{
	ErrorData *error = CopyErrorData();
	bool passes = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
				  error->sqlerrcode == ERRCODE_OUT_OF_MEMORY ||
				  error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED || contime_is_interrupt(error);

	if (!passes)
		ereport(LOG, (errcode(error->sqlerrcode),
					  errmsg("keys of continuous table \"%s\" cannot be loaded: %s",
							 get_rel_name(hand.g->relation), error->message),
					  errdetail("They are read from its event tables.")));
	if (!passes && hand.at >= 0)
		note_hard(&hand.key[hand.at], LEAST_BYTES, RETRY_ERROR_MS);
	for (int i = 0; hand.held && i < hand.nkeys; i++)
	{
		unload_key(hand.g, &hand.key[i]);
		if (hand.state[i] == KEY_LOADING)
			set_key_state(i, KEY_FAILED);
	}
	release_batches();
	hand.g->cache.load_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_ROOM_MS);
	FlushErrorState();
	AbortCurrentTransaction();
}

void
contime_keys_begin(void)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	for (int i = 0; i < MOST_KEYS; i++)
	{
		initStringInfo(&hand.key[i].data);
		enlargeStringInfo(&hand.key[i].data, CONTIME_WANTED_BYTES);
	}
	MemoryContextSwitchTo(caller);
	before_shmem_exit(release_at_exit, (Datum) 0);
}

bool
contime_keys_load(void)
{
	MemoryContext caller = CurrentMemoryContext;

	if (!take_wanted())
		return false;
	SetCurrentStatementStartTimestamp();
	PG_TRY();
	{
		Assert(!IsTransactionState());
		StartTransactionCommand();
		load_wanted();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		contime_guard_end();
		defer_keys();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	return true;
}
