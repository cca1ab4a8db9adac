/*
 * key_loader.c
 *	  Wanted keys are loaded into partial caches.
 *
 *	  hold ─► snapshot ─► events it sees enter ─► rows are loaded ─► marked loaded
 *
 * The loader takes the wanted keys of one cache together.  While it holds the batches,
 * no worker enters any.  Of a key's events, those that entered before are seen by the
 * loader's snapshot, so they are among the rows it loads (the engine drops events of
 * keys that are not loaded); those that the snapshot does not see are still recent, or
 * are written later.  A key is complete for snapshots that see as much as the loader's:
 * all newer ones do, and of the others those that see every transaction below its xmax
 * (shared/loaded.c, engine/partial.c).
 *
 *	  state of a key   from where to where
 *	  unknown          ─ contime_want_key() ─► wanted
 *	  wanted           ─ take_wanted() ─► loading
 *	  loading          ─ mark_key_loaded() ─► loaded, or put off
 *	  put off          a time passes ─► unknown: there was no memory, or an error
 *	  loaded           ─ ct_store_evict() ─► unknown
 *
 * Called by the loader (worker/loader.c).
 *
 * Not here: how readers note keys (wanted.c), tables that are loaded whole.
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

/* Keys that are loaded together. */
#define MOST_KEYS 64

/* What a key may need that nothing is known of; events forgotten under one hold of a lock. */
#define LEAST_BYTES ((Size) 64 * 1024)

/* How often the hand goes round for keys: a large one does not have others go that are read. */
#define ROUNDS 3
#define ROUNDS_FOR_LARGE 1

/*
 * When to try again: there was no memory; none for a large key; the key is too
 * large, or an error occurred.
 */
#define RETRY_ROOM_MS 1000
#define RETRY_LARGE_MS 10000
#define RETRY_ERROR_MS 600000

/* ---- what is wanted ---------------------------------------------------------- */

/* The keys at hand, of one cache. */
static struct
{
	ContimeGeneration *g;
	bool held; /* its batches, by us */
	int nkeys;
	int at; /* the one that is being loaded, or -1 */
	ContimeKey key[MOST_KEYS];
	bool loaded[MOST_KEYS];
} hand;

/*
 * Take what is wanted of one cache; false: nothing is, in this database.  It
 * begins where it ended, since more may be wanted than can be taken.
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
			ContimeKey *key = &hand.key[hand.nkeys++];

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

/* By their hash: what they need at least, as it turned out; and when to try next. */
#define HARD_KEYS 256

static struct
{
	uint64 hash;
	Size bytes;
	TimestampTz until;
} hard[HARD_KEYS];

static bool
is_hard(const ContimeKey *key)
{
	return hard[key->hash % HARD_KEYS].hash == key->hash;
}

static bool
is_put_off(const ContimeKey *key)
{
	return is_hard(key) && GetCurrentTimestamp() < hard[key->hash % HARD_KEYS].until;
}

static Size
needs(const ContimeKey *key)
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

/* There was no room for more of it than that: the next time there is to be, if it is worth it. */
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

static void
hold(ContimeGeneration *g)
{
	Assert(g == hand.g && !hand.held);
	Assert(!contime_is_held(pg_atomic_read_u32(&g->partial.hold)));
	pg_atomic_fetch_add_u32(&g->partial.hold, 1);
	hand.held = true;
}

static void
release(void)
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
	release();
}

/* True if the key is loaded, for snapshots that are new enough. */
static bool
is_there(const ContimeGeneration *g, const ContimeKey *key)
{
	int p = contime_partition_of(key->hash);
	CtArena arena = contime_arena(p);
	CtRef timeline = 0;
	bool known;

	contime_lock(p, LW_SHARED);
	if (g->store[p] != 0)
		timeline = ct_store_find(&arena, g->store[p], key->hash, key->data.data, key->data.len);
	known = timeline != 0 && ct_timeline_is_loaded(&arena, g->store[p], timeline, NULL);
	contime_unlock(p);
	return known;
}

/* Forget what there is of a key that is not known. */
static void
unload_key(ContimeGeneration *g, const ContimeKey *key)
{
	int p = contime_partition_of(key->hash);
	CtArena arena = contime_arena(p);
	CtStatus status = g->store[p] == 0 ? CT_OK : CT_MORE;

	Assert(hand.held && hand.g == g); /* or a worker might enter events */
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

/* From here on it is read. */
static void
mark_key_loaded(const ContimeTable *table, ContimeGeneration *g, const ContimeKey *key, uint64 xmax)
{
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
}

/* Whatever the snapshot sees enters: of these keys it is among what is loaded. */
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

/* A key's rows of one source; false: there is no room for them. */
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

		/* (One that has not had what it was granted is not to blame.) */
		if (bytes >= LEAST_BYTES)
			note_large(g, key, bytes);
		return false;
	}
	return true;
}

/* All of the keys at hand that there is room for, under one snapshot. */
static void
load_hand(Relation rel, const ContimeTable *table, ContimeGeneration *g)
{
	ContimeView *view;

	Assert(hand.nkeys > 0 && hand.nkeys <= MOST_KEYS);
	Assert(g->relation == table->relid);
	hold(g);
	contime_pause("held keys", MyDatabaseId);
	PushActiveSnapshot(GetLatestSnapshot());
	view = contime_view_begin(GetActiveSnapshot());
	enter_seen(g, view);
	contime_pause("loading keys", MyDatabaseId);
	for (int i = 0; i < hand.nkeys; i++)
	{
		unload_key(g, &hand.key[i]);
		hand.loaded[i] = true;
	}
	for (const ContimeSource *source = table->source; source; source = source->next)
	{
		ContimeHeapLoad *load;

		/* (Preparing an expression evaluates what is constant in it.) */
		if (contime_source_is_limited(table))
			contime_guard_begin(table->relid, table->owner);
		load = contime_heap_load_begin(rel, table, source);
		for (int i = 0; i < hand.nkeys; i++)
		{
			hand.at = i;
			if (hand.loaded[i])
				hand.loaded[i] = load_key_rows(load, table, g, &hand.key[i], GetActiveSnapshot());
			if (!hand.loaded[i])
				unload_key(g, &hand.key[i]);
		}
		contime_heap_load_end(load);
		contime_guard_end();
	}
	hand.at = -1;

	/*
	 * The engine keeps one of two duplicates: if that one is retracted, the
	 * other is missing.
	 */
	if (!contime_cache_break_if_duplicates(g))
	{
		contime_note_key_load(g, &view->plain);
		for (int i = 0; i < hand.nkeys; i++)
			if (hand.loaded[i])
				mark_key_loaded(table, g, &hand.key[i], view->plain.xmax);
	}
	contime_pause("loaded keys", MyDatabaseId);
	release();
	PopActiveSnapshot();
	contime_view_end(view);
}

static void
put_first(int *n, int i)
{
	ContimeKey key = hand.key[i];

	Assert(*n <= i && i < hand.nkeys);
	hand.key[i] = hand.key[*n];
	hand.key[(*n)++] = key;
}

/*
 * Leave of the keys at hand those that are to be loaded now: all that are not
 * hard to load, or one that is.  (Others come when they are missed again.)  What
 * they need.
 */
static Size
choose(const ContimeGeneration *g)
{
	Size bytes = 0;
	int n = 0;

	for (int i = 0; i < hand.nkeys; i++)
		if (!is_hard(&hand.key[i]) && !is_there(g, &hand.key[i]))
			put_first(&n, i);
	for (int i = 0; i < hand.nkeys && n == 0; i++)
		if (is_hard(&hand.key[i]) && !is_put_off(&hand.key[i]) && !is_there(g, &hand.key[i]))
			put_first(&n, i);
	hand.nkeys = n;
	for (int i = 0; i < n; i++)
		bytes += needs(&hand.key[i]);
	return bytes;
}

/* What is at hand, as far as it is still to be loaded, and there is room. */
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

	/* (Where little is allowed, keys that turn out to be small fit nevertheless.) */
	bytes = Min(choose(g), contime_budget_key(g));
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
		load_hand(rel, table, g);
	else if (alone)
		note_hard(&hand.key[0], bytes, RETRY_LARGE_MS);
	else
		g->cache.load_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_ROOM_MS);
	relation_close(rel, NoLock);
}

/*
 * What stood in the way passes; or a key has a row that is no event, say.  Locks
 * are still held: the cache is what it was.
 */
static void
put_off_keys(void)
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
		unload_key(hand.g, &hand.key[i]);
	release();
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
		put_off_keys();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	return true;
}
