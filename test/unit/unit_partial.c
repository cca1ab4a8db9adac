/*
 * unit_partial.c
 *	  A partial store: the state of a loaded key is always that of the rows that a
 *	  snapshot sees.
 *
 * Random transactions write and delete the rows of a table, and the rows are
 * captured; a worker enters, settles and drops events; keys are evicted, and
 * loaded again in steps, between which all of this continues.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/writer.h"
#include "table.h"

#define KEYS 12
#define ROWS 60000
#define XIDS 60000
#define RUNNING 6
#define SNAPSHOTS 5
#define STEPS 150000

typedef struct Row
{
	uint64_t key;
	int64_t time;
	int64_t value;
	uint64_t xmin;
	uint64_t xmax; /* 0: not deleted */
} Row;

typedef enum KnownStatus
{
	IN_PROGRESS,
	COMMITTED,
	ABORTED
} KnownStatus;

typedef struct Snapshot
{
	CtSnapshot plain;
	uint64_t xip[RUNNING];
} Snapshot;

typedef struct World
{
	Table table;
	uint64_t seed;
	Row row[ROWS];
	uint32_t nrows;
	uint8_t xact_status[XIDS];
	uint64_t next_xid;
	uint64_t running[RUNNING];
	uint32_t nrunning;
	Snapshot snapshot[SNAPSHOTS];
	uint32_t nsnapshots;

	/* a load in progress; `entered`: all that its snapshot sees has entered; `looked`: rows read so far */
	bool loading;
	bool entered;
	bool forgot;
	uint64_t key;
	Snapshot seen;
	uint32_t looked;

	uint64_t reads;
	uint64_t known;
	uint64_t loads;
	uint64_t too_old;
} World;

static uint32_t
any(World *w, uint32_t n)
{
	w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t) (w->seed >> 33) % n;
}

static uint64_t
hash_of(uint64_t key)
{
	return key * UINT64_C(0x9E3779B97F4A7C15);
}

/* ---- transactions and snapshots ---------------------------------------------- */

static bool
sees(const World *w, const CtSnapshot *snapshot, uint64_t xid)
{
	return ct_snapshot_sees(snapshot, xid) && w->xact_status[xid] == COMMITTED;
}

static bool
is_visible(const World *w, const CtSnapshot *snapshot, const Row *row)
{
	return sees(w, snapshot, row->xmin) && !(row->xmax != 0 && sees(w, snapshot, row->xmax));
}

static int
cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a;
	uint64_t y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

static void
take(const World *w, Snapshot *snapshot)
{
	memcpy(snapshot->xip, w->running, sizeof(snapshot->xip));
	qsort(snapshot->xip, w->nrunning, sizeof(uint64_t), cmp);
	snapshot->plain = (CtSnapshot){.xmax = w->next_xid, .nxip = w->nrunning, .until = INT64_MAX};
	snapshot->plain.xmin = w->nrunning > 0 ? snapshot->xip[0] : w->next_xid;
}

/* (Set the pointer first: a snapshot is kept in an array whose members move.) */
static const CtSnapshot *
plain(Snapshot *snapshot)
{
	snapshot->plain.xip = snapshot->xip;
	return &snapshot->plain;
}

static uint64_t
horizon(const World *w)
{
	uint64_t oldest = w->next_xid;

	for (uint32_t i = 0; i < w->nrunning; i++)
		oldest = w->running[i] < oldest ? w->running[i] : oldest;
	for (uint32_t i = 0; i < w->nsnapshots; i++)
		oldest = w->snapshot[i].plain.xmin < oldest ? w->snapshot[i].plain.xmin : oldest;
	if (w->loading)
		oldest = w->seen.plain.xmin < oldest ? w->seen.plain.xmin : oldest;
	return oldest;
}

/* ---- rows -------------------------------------------------------------------- */

static Event
event_of(const World *w, uint32_t i, bool retracts)
{
	Event event = event_at(w->row[i].time, CT_EVENT);

	event_int(&event, SUM_ATTR, w->row[i].value);
	event_int(&event, ID_ATTR, i);
	event.change.retracts = retracts;
	return event;
}

static void
insert(World *w, uint64_t xid)
{
	uint32_t i = w->nrows++;
	Event event;

	/* The first keys have most of the rows, and some none. */
	w->row[i] = (Row){any(w, 1 + any(w, KEYS)), any(w, 1000), 1 + any(w, 1000), xid, 0};
	event = event_of(w, i, false);
	assert_int_equal(table_add(&w->table, w->row[i].key, &event, xid), CT_OK);
}

static void delete (World *w, uint64_t xid)
{
	uint32_t i = any(w, w->nrows);
	Row *row = &w->row[i];
	Event event;

	if (w->xact_status[row->xmin] != COMMITTED && row->xmin != xid)
		return;
	if (row->xmax != 0 && w->xact_status[row->xmax] != ABORTED)
		return;
	row->xmax = xid;
	event = event_of(w, i, true);
	assert_int_equal(table_add(&w->table, row->key, &event, xid), CT_OK);
}

static void
transact(World *w)
{
	uint32_t i = any(w, RUNNING);
	uint64_t xid;

	if (i >= w->nrunning)
	{
		w->running[w->nrunning++] = w->next_xid++;
		return;
	}
	xid = w->running[i];
	if (any(w, 3) == 0)
	{
		w->xact_status[xid] = any(w, 4) > 0 ? COMMITTED : ABORTED;
		w->running[i] = w->running[--w->nrunning];
	}
	else if (w->nrows > 0 && any(w, 3) == 0)
		delete (w, xid);
	else
		insert(w, xid);
}

/* ---- the worker -------------------------------------------------------------- */

/* Enter or drop the events of ended transactions; during a load, only those that its snapshot sees. */
static bool
process(World *w, bool all)
{
	CtArena *arena = &w->table.arena;
	CtRef ref;
	const CtBatch *batch = ct_store_first_batch(arena, w->table.store, &ref);
	bool left = false;

	while (batch != NULL)
	{
		CtRef this = ref;
		uint64_t xid = batch->xid;
		bool held = w->loading && !sees(w, plain(&w->seen), xid);
		CtChanged changed = {0};
		int64_t served = any(w, 1000);
		CtStatus status = CT_MORE;

		batch = ct_store_next_batch(arena, &ref);
		if (!all && any(w, 2) == 0)
			left = true;
		else if (w->xact_status[xid] == ABORTED)
			while (status == CT_MORE)
				status = ct_store_drop(arena, w->table.store, this, 2);
		else if (w->xact_status[xid] == COMMITTED && !held)
			while (status == CT_MORE)
				status = ct_store_enter(arena, w->table.store, this, 2, &served, &changed);
		assert_true(status == CT_OK || status == CT_MORE);
	}
	return !left;
}

static void
settle(World *w)
{
	assert_true(ct_store_settle(&w->table.arena, w->table.store, horizon(w), 5) != CT_NO_MEMORY);
}

/* ---- evicting and loading keys -------------------------------------------------------- */

static bool
is_partial(const World *w)
{
	return ((const CtStore *) ct_ptr(&w->table.arena, w->table.store))->partial;
}

static void
evict(World *w)
{
	if (!w->loading && is_partial(w))
	{
		bool half;

		(void) !ct_store_evict(&w->table.arena, w->table.store, 1 + (int) any(w, 8), &half);
	}
}

static void
load_row(World *w, uint32_t i)
{
	Event event = event_of(w, i, false);
	CtWriter writer = ct_writer(&w->table.arena, w->table.store);
	uint64_t key = w->key;
	CtLoad load = {hash_of(key), &key, sizeof(key), 0, event.change};
	uint32_t done;

	load.change.payload = event.payload;
	assert_int_equal(ct_store_load(&writer, &load, 1, &done), CT_OK);
}

/* The next step of loading a key; sometimes the load is abandoned. */
static void
load(World *w)
{
	CtArena *arena = &w->table.arena;
	CtRef store = w->table.store;
	CtRef timeline;

	if (!is_partial(w))
		return;
	if (!w->loading)
	{
		w->key = any(w, KEYS);
		timeline = table_find(&w->table, w->key);
		if (timeline != 0 && ct_timeline_is_loaded(arena, store, timeline, NULL))
			return;
		take(w, &w->seen);
		w->loading = true;
		w->entered = w->forgot = false;
		w->looked = 0;
	}
	else if (!w->entered)
		w->entered = process(w, any(w, 2) == 0);
	else if (!w->forgot)
		w->forgot = ct_store_unload_key(arena, store, hash_of(w->key), &w->key, sizeof(w->key), 3) == CT_OK;
	else if (any(w, 50) == 0)
		w->loading = false;
	else if (w->looked < w->nrows)
	{
		for (uint32_t n = 0; n < 200 && w->looked < w->nrows; n++, w->looked++)
			if (w->row[w->looked].key == w->key && is_visible(w, plain(&w->seen), &w->row[w->looked]))
				load_row(w, w->looked);
	}
	else
	{
		assert_int_equal(ct_store_mark_key_loaded(arena, store, hash_of(w->key), &w->key, sizeof(w->key),
												  w->seen.plain.xmax),
						 CT_OK);
		w->loading = false;
		w->loads++;
	}
}

/* ---- reading ----------------------------------------------------------------- */

static void
compare(World *w, uint64_t key, int64_t time, const CtSnapshot *snapshot, CtRef timeline)
{
	static CtRef extra[1000];
	static CtRef cancelled[1000];
	CtRuns runs = {.extra = extra, .cancelled = cancelled};
	uint32_t count;
	CtState state;
	int64_t sum = 0;
	bool present = false;

	for (CtRef ref = timeline == 0 ? 0 : ct_timeline_recent(&w->table.arena, timeline, &count); ref != 0;)
	{
		const CtEvent *event = ct_ptr(&w->table.arena, ref);

		if (sees(w, snapshot, event->xid))
		{
			assert_in_range(runs.nextra, 0, 999);
			extra[runs.nextra++] = ref;
			runs.retracts |= event->retracts;
		}
		ref = event->next;
	}
	state.present = false;
	if (timeline != 0)
	{
		ct_timeline_merge(&w->table.arena, w->table.store, timeline, snapshot, &runs);
		ct_timeline_fold(&w->table.arena, w->table.store, timeline, time, snapshot, &runs, &state);
	}
	for (uint32_t i = 0; i < w->nrows; i++)
		if (w->row[i].key == key && w->row[i].time <= time && is_visible(w, snapshot, &w->row[i]))
		{
			present = true;
			sum += w->row[i].value;
		}
	assert_int_equal(state.present, present);
	if (present)
		assert_int_equal(state_int(&state, SUM_ATTR), sum);
}

static void
read_one(World *w)
{
	CtArena *arena = &w->table.arena;
	uint64_t key = any(w, KEYS);
	uint32_t i = any(w, SNAPSHOTS + 1);
	Snapshot fresh;
	const CtSnapshot *snapshot;
	CtRead read;

	take(w, &fresh);
	snapshot = plain(i < w->nsnapshots ? &w->snapshot[i] : &fresh);
	w->reads++;
	assert_int_equal(ct_read_key(arena, w->table.store, hash_of(key), &key, sizeof(key), &read), CT_OK);
	if (read.timeline == 0 && is_partial(w))
		return;
	if (read.timeline != 0 && !ct_timeline_is_loaded(arena, w->table.store, read.timeline, snapshot))
	{
		w->too_old += snapshot != &fresh.plain;
		return;
	}
	w->known++;
	compare(w, key, any(w, 1100), snapshot, read.timeline);
	if (any(w, 3) == 0)
		ct_read_note(&read);
}

static void
look(World *w)
{
	uint32_t i = any(w, SNAPSHOTS);

	if (i >= w->nsnapshots)
		take(w, &w->snapshot[w->nsnapshots++]);
	else if (any(w, 10) == 0)
		w->snapshot[i] = w->snapshot[--w->nsnapshots];
	read_one(w);
}

static void
live(uint64_t seed)
{
	World *w = calloc(1, sizeof(World));
	CtStats stats;

	w->table = table_make(2000);
	ct_store_keep(&w->table.arena, w->table.store);
	w->seed = seed;
	w->next_xid = 100;
	for (uint32_t step = 0; step < STEPS && w->nrows < ROWS && w->next_xid < XIDS; step++)
	{
		switch (any(w, 10))
		{
			case 0:
				transact(w);
				break;
			case 1:
				(void) process(w, any(w, 2) == 0);
				break;
			case 2:
				settle(w);
				break;
			case 3:
				evict(w);
				break;
			case 4:
			case 5:
				load(w);
				break;
			default:
				look(w);
		}
		if (step == STEPS / 10)
			ct_store_make_partial(&w->table.arena, w->table.store, INT64_MIN);
		if (any(w, 20) == 0)
			table_validate(&w->table);
	}
	stats = table_stats(&w->table);
	printf("%llu reads, of %llu everything was known, of %llu for others only; %llu loads (seed %llu)\n",
		   (unsigned long long) w->reads, (unsigned long long) w->known, (unsigned long long) w->too_old,
		   (unsigned long long) w->loads, (unsigned long long) seed);
	assert_true(w->known > w->reads / 10 && w->known < w->reads && w->loads > STEPS / 1000 && w->too_old > 0);
	assert_int_equal(stats.unmatched, 0);
	assert_int_equal(stats.duplicates + stats.conflicts, 0);
	table_free(&w->table);
	free(w);
}

static void
loaded_keys_are_right(void **unused)
{
	const char *seed = getenv("CT_SEED");

	(void) unused;
	if (seed != NULL)
		live(strtoull(seed, NULL, 10));
	else
		for (uint64_t i = 1; i <= 3; i++)
			live(i);
}

/* ---- by hand ----------------------------------------------------------------- */

/* An event of a key that is not loaded changes all instants from its own on that may have been read. */
static void
change_of_unloaded_key_is_open(void **unused)
{
	Table table = table_make(50);
	Event event = event_at(10, CT_EVENT);
	CtChanged changed;

	(void) unused;
	event_int(&event, SUM_ATTR, 1);
	event_int(&event, ID_ATTR, 1);
	ct_store_make_partial(&table.arena, table.store, 7);

	/* Other events may come later; then none does, and no later instant was read. */
	event.change.time = 6;
	changed = table_enter(&table, 1, &event, 99, INT64_MIN);
	assert_int_equal(changed.events, 1);
	event.change.time = 10;
	changed = table_enter(&table, 1, &event, 100, 9);
	assert_int_equal(changed.events, 0);
	changed = table_enter(&table, 1, &event, 101, 10);
	assert_int_equal(changed.events, 1);
	assert_int_equal(changed.from, 10);
	assert_int_equal(changed.to, INT64_MAX);
	event.change.time = 8;
	changed = table_enter(&table, 1, &event, 102, INT64_MIN);
	assert_int_equal(changed.events, 1);
	assert_int_equal(changed.from, 8);
	assert_int_equal(changed.to, INT64_MAX);
	assert_int_equal(table_stats(&table).keys, 1);
	table_validate(&table);
	table_settle_all(&table);
	assert_int_equal(table_stats(&table).keys, 0);
	table_free(&table);
}

/* A large timeline is evicted in steps, and the rest of it accepts no more events. */
static void
large_key_is_evicted_in_steps(void **unused)
{
	Table table = table_make(200);
	Event event = event_at(0, CT_EVENT);
	int calls = 0;
	bool half;

	(void) unused;
	event_int(&event, SUM_ATTR, 1);
	for (int i = 0; i < 20000; i++)
	{
		event.change.time = i;
		assert_int_equal(table_add(&table, 1, &event, 100), CT_OK);
	}
	assert_int_equal(table_enter_all(&table), CT_OK);
	table_settle_all(&table);
	ct_store_make_partial(&table.arena, table.store, INT64_MIN);
	while (ct_store_evict(&table.arena, table.store, 1000, &half) == CT_MORE)
	{
		calls++;
		assert_true(half);
		table_validate(&table);
		if (calls == 3)
			(void) table_enter(&table, 1, &event, 200, INT64_MIN);
	}
	assert_in_range(calls, 10, 30);
	table_settle_all(&table);
	table_validate(&table);
	assert_int_equal(table_stats(&table).keys, 0);
	assert_int_equal(table_stats(&table).frozen, 0);
	table_free(&table);
}

/* An abandoned load leaves only recent events, of a key that is not loaded. */
static void
abandoned_load_leaves_no_events(void **unused)
{
	Table table = table_make(50);
	Event event = event_at(0, CT_EVENT);
	CtWriter writer = ct_writer(&table.arena, table.store);
	uint32_t position = 0;
	uint32_t done;

	(void) unused;
	event_int(&event, SUM_ATTR, 1);
	for (uint64_t key = 0; key < 20; key++)
	{
		CtLoad load = {hash_of(key), &key, sizeof(key), 0, event.change};

		load.change.payload = event.payload;
		assert_int_equal(ct_store_load(&writer, &load, 1, &done), CT_OK);
	}
	assert_int_equal(table_add(&table, 5, &event, 100), CT_OK);
	ct_store_make_partial(&table.arena, table.store, INT64_MIN);
	while (ct_store_unload_all(&table.arena, table.store, &position, 3) == CT_MORE)
		table_validate(&table);
	table_validate(&table);
	assert_int_equal(table_stats(&table).keys, 1);
	assert_false(ct_timeline_is_loaded(&table.arena, table.store, table_find(&table, 5), NULL));
	assert_int_equal(table_enter_all(&table), CT_OK);
	table_settle_all(&table);
	assert_int_equal(table_stats(&table).keys, 0);
	table_free(&table);
}

/* Eviction skips a key that was read since the last pass, once. */
static void
eviction_skips_used_keys(void **unused)
{
	Table table = table_make(50);
	Event event = event_at(0, CT_EVENT);
	uint64_t key = 7;
	CtRead read;
	bool half;

	(void) unused;
	event_int(&event, SUM_ATTR, 1);
	for (uint64_t k = 0; k < 20; k++)
		assert_int_equal(table_add(&table, k, &event, 100), CT_OK);
	assert_int_equal(table_enter_all(&table), CT_OK);
	table_settle_all(&table);
	ct_store_make_partial(&table.arena, table.store, INT64_MIN);
	assert_int_equal(ct_read_key(&table.arena, table.store, hash_of(key), &key, sizeof(key), &read), CT_OK);
	ct_read_note(&read);
	assert_int_equal(ct_store_evict(&table.arena, table.store, 1000, &half), CT_OK);
	assert_int_equal(table_stats(&table).keys, 1);
	assert_int_not_equal(table_find(&table, key), 0);
	assert_false(ct_read_valid(&read) && table_find(&table, 8) != 0);
	assert_int_equal(ct_store_evict(&table.arena, table.store, 1000, &half), CT_OK);
	assert_int_equal(table_stats(&table).keys, 0);
	table_validate(&table);
	table_free(&table);
}

/* A key loaded while other transactions are in progress can be evicted before they end, and loaded again. */
static void
evicted_while_others_are_in_progress(void **unused)
{
	Table table = table_make(50);
	Event event = event_at(0, CT_EVENT);
	CtWriter writer = ct_writer(&table.arena, table.store);
	uint64_t key = 7;
	CtLoad load = {hash_of(key), &key, sizeof(key), 0, event.change};
	uint32_t done;
	bool half;

	(void) unused;
	event_int(&event, SUM_ATTR, 1);
	load.change = event.change;
	load.change.payload = event.payload;
	ct_store_make_partial(&table.arena, table.store, INT64_MIN);
	for (int i = 0; i < 2; i++)
	{
		assert_int_equal(ct_store_load(&writer, &load, 1, &done), CT_OK);
		assert_int_equal(ct_store_mark_key_loaded(&table.arena, table.store, load.hash, &key, sizeof(key), 1000),
						 CT_OK);
		assert_true(ct_timeline_is_loaded(&table.arena, table.store, table_find(&table, key), NULL));
		assert_int_equal(ct_store_evict(&table.arena, table.store, 1000, &half), CT_OK);
		assert_int_equal(ct_store_evict(&table.arena, table.store, 1000, &half), CT_OK);
		assert_int_equal(table_stats(&table).frozen, 0);
		assert_false(ct_timeline_is_loaded(&table.arena, table.store, table_find(&table, key), NULL));
		table_validate(&table);
	}
	table_settle_all(&table);
	assert_int_equal(table_stats(&table).keys, 0);
	table_validate(&table);
	table_free(&table);
}

/* A walk over loaded keys finds each of them once, and looks at a limited number of places in each step. */
static void
loaded_keys_are_found_in_steps(void **unused)
{
	enum
	{
		LOADED = 20,
		UNLOADED = 600
	};
	Table table = table_make(1000);
	Event event = event_at(0, CT_EVENT);

	(void) unused;
	event_int(&event, SUM_ATTR, 1);
	for (uint64_t k = 0; k < LOADED; k++)
		assert_int_equal(table_add(&table, k, &event, 100), CT_OK);
	assert_int_equal(table_enter_all(&table), CT_OK);
	ct_store_make_partial(&table.arena, table.store, INT64_MIN);
	for (uint64_t k = LOADED; k < LOADED + UNLOADED; k++)
		assert_int_equal(table_add(&table, k, &event, 101), CT_OK);
	assert_int_equal(table_stats(&table).keys, LOADED + UNLOADED);
	for (int limit = 1; limit <= 4096; limit *= 8)
	{
		bool found[LOADED + UNLOADED] = {false};
		uint32_t position = 0;
		int keys = 0;
		CtRef timeline;
		CtStatus status;

		do
		{
			uint32_t before = position;

			status = ct_store_next_loaded(&table.arena, table.store, &position, limit, &timeline);
			assert_in_range(position - before, 0, limit);
			if (timeline != 0)
			{
				uint32_t bytes;
				uint64_t key;

				assert_int_equal(status, CT_OK);
				memcpy(&key, ct_timeline_key(&table.arena, timeline, &bytes), sizeof(key));
				assert_int_equal(bytes, sizeof(key));
				assert_in_range(key, 0, LOADED - 1);
				assert_false(found[key]);
				found[key] = true;
				keys++;
			}
		} while (timeline != 0 || status == CT_MORE);
		assert_int_equal(keys, LOADED);
	}
	table_free(&table);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loaded_keys_are_right),
		cmocka_unit_test(change_of_unloaded_key_is_open),
		cmocka_unit_test(large_key_is_evicted_in_steps),
		cmocka_unit_test(abandoned_load_leaves_no_events),
		cmocka_unit_test(eviction_skips_used_keys),
		cmocka_unit_test(evicted_while_others_are_in_progress),
		cmocka_unit_test(loaded_keys_are_found_in_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
