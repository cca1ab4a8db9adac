/*
 * unit_readers.c
 *	  Readers without the lock, beside a writer that never pauses.
 *
 * Processes (threads with CT_THREADS, for ThreadSanitizer) share a mapping.
 * The writer adds, enters, drops and freezes events of a few keys; each event
 * moves an amount from one column to another, and sets a text made from its
 * time.  Readers take snapshots and read random instants: the columns must
 * cancel out, also those with these as rates and those that are interpolated,
 * the text must be complete and not from the future, and reading again must give
 * the same.  In the second half of the time old events are folded, too
 * (ct_store_retain()).  Then the same with a partial store, whose keys are
 * evicted, and loaded again from a copy of the raw events, and then with
 * event ids that are unique for their key, which often come again at other instants.
 *
 * CT_SECONDS sets how long (1), CT_SEED the choices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "oracle.h"
#include "engine/writer.h"

enum
{
	FROM_ATTR = 2, /* bigint, sum */
	TO_ATTR,       /* bigint, sum */
	UP_ATTR,       /* bigint, linear */
	DOWN_ATTR,     /* bigint, linear */
	TEXT_ATTR,     /* text */
	ID_ATTR,       /* bigint, event id */
	FORTH_ATTR,    /* bigint, its rate is FROM_ATTR */
	BACK_ATTR,     /* bigint, its rate is TO_ATTR */
	NATTRS
};

#define EVENT_SET 0xFC /* all attributes but those with a rate */

#define READERS 3
#define HOT_KEYS 4
#define KEYS 6000 /* the others are added one by one, so that the directory grows */
#define TRANSACTIONS (1 << 22)
#define REGION_BYTES ((size_t) 192 << 20)
#define MOST_RECENTS 4096
#define INSTANTS 100000

typedef struct Shared
{
	_Atomic uint64_t next;             /* transactions below have ended */
	_Atomic uint64_t horizon;          /* events below may be frozen */
	_Atomic uint64_t reading[READERS]; /* the snapshots in use */
	_Atomic int64_t retained;          /* earlier instants cannot be read */
	_Atomic int stop;
	_Atomic uint64_t reads;
	_Atomic uint64_t missed; /* reads of keys that were not loaded */
	_Atomic uint64_t retries;
	_Atomic uint64_t longest; /* tries of one read */
	CtRef store;
	bool partial;                /* keys are evicted and loaded */
	bool keyed;                  /* event ids are unique for their key */
	_Atomic uint64_t born[KEYS]; /* the first transaction that committed an event */
	_Atomic uint8_t aborted[TRANSACTIONS];
} Shared;

static uint64_t seed;
static Shared *shared;
static void *base;

/* ---- the writer -------------------------------------------------------------- */

static CtSchema *
make_schema(bool keyed)
{
	size_t size = sizeof(CtSchema) + NATTRS * sizeof(CtAttr);
	CtSchema *schema = calloc(1, size);

	schema->size = (uint32_t) size;
	schema->nattrs = NATTRS;
	schema->id_attr = ID_ATTR;
	schema->id_order = CT_ORDER_SIGNED;
	schema->has_rates = true;
	schema->id_of_key = keyed;
	for (int i = FROM_ATTR; i < NATTRS; i++)
	{
		bool moves = i >= FORTH_ATTR;

		schema->attr[i].rule = i <= TO_ATTR || moves ? CT_RULE_SUM : CT_RULE_LAST;
		schema->attr[i].number = i == TEXT_ATTR || i == ID_ATTR ? CT_NUMBER_NONE : CT_NUMBER_INT;
		schema->attr[i].image = i == TEXT_ATTR ? CT_IMAGE_VAR : CT_IMAGE_WORD;
		schema->attr[i].linear = i == UP_ATTR || i == DOWN_ATTR;
		schema->attr[i].has_initial = moves;
		schema->attr[i].rate_attr = (int8_t) (moves ? i - FORTH_ATTR + FROM_ATTR : -1);
	}
	return schema;
}

static void
put(uint8_t **at, const void *bytes, size_t n)
{
	memcpy(*at, bytes, n);
	*at += n;
}

static uint64_t
some_key(OracleSource *source)
{
	return oracle_below(source, oracle_below(source, 4) == 0 ? KEYS : HOT_KEYS);
}

/* The raw events of a key, if keys are evicted and loaded; used by the writer only. */
typedef struct Told
{
	uint64_t top;
	CtChange change;
	uint8_t payload[128];
} Told;

static struct
{
	Told *told;
	uint32_t count;
	uint32_t capacity;
} elsewhere[KEYS];

static CtStatus
add_change(CtArena *arena, uint64_t key, const CtChange *change, uint64_t top)
{
	CtLabel label = {.top = top, .xid = top};
	uint32_t n = elsewhere[key].count;
	Told *told;

	if (shared->partial)
	{
		if (n == elsewhere[key].capacity)
		{
			elsewhere[key].capacity = n == 0 ? 16 : 2 * n;
			elsewhere[key].told = realloc(elsewhere[key].told, elsewhere[key].capacity * sizeof(Told));
		}
		told = &elsewhere[key].told[elsewhere[key].count++];
		*told = (Told){.top = top, .change = *change};
		if (change->payload_bytes > 0)
			memcpy(told->payload, change->payload, change->payload_bytes);
	}
	return ct_store_add(arena, shared->store, key * 77, &key, sizeof(key), change, &label);
}

static CtStatus
add_event(CtArena *arena, OracleSource *source, uint64_t key, uint64_t top, int64_t id)
{
	int64_t time = oracle_below(source, 4) == 0 ? (int64_t) oracle_below(source, INSTANTS) : (int64_t) (top % INSTANTS);
	int64_t amount = (int64_t) oracle_below(source, 1000) - 500;
	int64_t back = -amount;
	uint32_t length = (uint32_t) (time % 60) + 8;
	uint8_t payload[128];
	uint8_t *at = payload;
	CtChange change = {.time = time, .set = EVENT_SET, .payload = payload, .kind = CT_EVENT};

	if (oracle_below(source, 50) == 0)
	{
		change.set = 0;
		change.kind = CT_FINISH;
		return add_change(arena, key, &change, top);
	}
	put(&at, &amount, sizeof(amount));
	put(&at, &back, sizeof(back));
	put(&at, &amount, sizeof(amount));
	put(&at, &back, sizeof(back));
	put(&at, &length, sizeof(length));
	memset(at, 'a' + (int) (time % 26), length);
	memcpy(at, &time, sizeof(time));
	at += length;
	put(&at, &id, sizeof(id));
	change.payload_bytes = (uint32_t) (at - payload);
	return add_change(arena, key, &change, top);
}

/* Return a new event id, or one of the last ones again. */
static int64_t
some_id(OracleSource *source, int64_t *id)
{
	if (shared->keyed && *id > 1000 && oracle_below(source, 3) == 0)
		return *id - 1 - (int64_t) oracle_below(source, oracle_below(source, 2) == 0 ? 10 : 1000);
	return (*id)++;
}

/* No reader has a snapshot below it any more. */
static uint64_t
advance_horizon(uint64_t next)
{
	uint64_t horizon = next;

	atomic_store(&shared->horizon, next);
	for (int i = 0; i < READERS; i++)
	{
		uint64_t reading = atomic_load(&shared->reading[i]);

		horizon = reading < horizon ? reading : horizon;
	}
	return horizon;
}

/* A transaction from its first event to its end; its events enter at once or later. */
static void
transaction(CtArena *arena, OracleSource *source, uint64_t top, int64_t *id)
{
	uint32_t count = 1 + oracle_below(source, 4);
	bool aborts = false;
	uint64_t key[4];

	for (uint32_t i = 0; i < count && !aborts; i++)
	{
		key[i] = some_key(source);
		aborts = add_event(arena, source, key[i], top, some_id(source, id)) != CT_OK;
	}
	aborts = aborts || oracle_below(source, 6) == 0;
	atomic_store(&shared->aborted[top], aborts);
	for (uint32_t i = 0; i < count && !aborts; i++)
	{
		if (atomic_load(&shared->born[key[i]]) == 0)
			atomic_store(&shared->born[key[i]], top);
	}
}

static void
end_some(CtArena *arena, uint32_t most)
{
	CtRef batch = 0;
	const CtBatch *found = ct_store_first_batch(arena, shared->store, &batch);
	CtChanged changed = {0};

	for (uint32_t n = most; n > 0 && found != NULL; n--)
	{
		bool aborts = atomic_load(&shared->aborted[found->top]);
		CtStatus status = aborts ? ct_store_drop(arena, shared->store, batch, 100)
								 : ct_store_enter(arena, shared->store, batch, 100, NULL, &changed);

		if (status == CT_NO_MEMORY)
			return;
		found = ct_store_first_batch(arena, shared->store, &batch);
	}
}

/* Fold events up to an instant that moves slowly to the middle. */
static void
fold_past(CtArena *arena)
{
	int64_t from = atomic_load(&shared->retained);

	from = from < 0 ? 0 : from < INSTANTS / 2 ? from + 7
											  : from;
	atomic_store(&shared->retained, from);
	ORACLE_REQUIRE(ct_store_retain(arena, shared->store, from, 200) != CT_BROKEN);
}

/* Evict some keys that are not read, and load one; all transactions have ended, so all events enter. */
static void
go_and_come(CtArena *arena, OracleSource *source, uint64_t next)
{
	CtWriter writer = ct_writer(arena, shared->store);
	uint64_t key = some_key(source);
	CtRef timeline;
	bool half;

	(void) !ct_store_evict(arena, shared->store, 1 + (int) oracle_below(source, 40), &half);
	timeline = ct_store_find(arena, shared->store, key * 77, &key, sizeof(key));
	if (timeline != 0 && ct_timeline_is_loaded(arena, shared->store, timeline, NULL))
		return;
	end_some(arena, UINT32_MAX);
	while (ct_store_unload_key(arena, shared->store, key * 77, &key, sizeof(key), 16) == CT_MORE)
		;
	for (uint32_t i = 0; i < elsewhere[key].count; i++)
	{
		Told *told = &elsewhere[key].told[i];
		CtLoad load = {key * 77, &key, sizeof(key), 0, told->change};
		uint32_t done;

		if (atomic_load(&shared->aborted[told->top]))
			continue;
		load.change.payload = told->payload;
		if (ct_store_load(&writer, &load, 1, &done) != CT_OK)
			return;
	}
	ORACLE_REQUIRE(ct_store_mark_key_loaded(arena, shared->store, key * 77, &key, sizeof(key), next) != CT_BROKEN);
}

static double
since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) (now.tv_sec - start->tv_sec) + (double) (now.tv_nsec - start->tv_nsec) / 1e9;
}

static void
write_until(double seconds)
{
	CtArena arena = ct_arena_attach(base, 0);
	OracleSource source = oracle_random(seed);
	struct timespec start;
	int64_t id = 0;
	uint64_t top = 3;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do
	{
		for (int i = 0; i < 64 && top < TRANSACTIONS; i++, top++)
		{
			transaction(&arena, &source, top, &id);
			atomic_store(&shared->next, top + 1);
			end_some(&arena, oracle_below(&source, 4));
			if (oracle_below(&source, 8) == 0)
				ORACLE_REQUIRE(ct_store_settle(&arena, shared->store, advance_horizon(top + 1), 50) != CT_BROKEN);
		}
		if (shared->partial)
			go_and_come(&arena, &source, top);
		else if (since(&start) > seconds / 2)
			fold_past(&arena);
	} while (since(&start) < seconds && top < TRANSACTIONS);
	atomic_store(&shared->stop, 1);
}

/* ---- readers ----------------------------------------------------------------- */

typedef struct Seen
{
	bool missed;
	bool found;
	bool present;
	int64_t number[NATTRS];
	uint32_t bytes;
	uint8_t text[80];
} Seen;

/* Try to read once; false: the read was torn. */
static bool
look(const CtArena *arena, uint64_t key, int64_t time, const CtSnapshot *snapshot, Seen *seen)
{
	static _Thread_local CtRef extra[MOST_RECENTS];
	static _Thread_local CtRef cancelled[MOST_RECENTS];
	CtRuns runs = {.extra = extra, .cancelled = cancelled};
	CtState state;
	CtRead read;
	uint32_t count;
	CtRef ref;

	memset(seen, 0, sizeof(*seen));
	if (ct_read_key(arena, shared->store, key * 77, &key, sizeof(key), &read) != CT_OK)
		return false;
	seen->missed =
		read.timeline == 0 ? shared->partial : !ct_timeline_is_loaded(arena, shared->store, read.timeline, snapshot);
	if (read.timeline == 0 || seen->missed)
		return ct_read_valid(&read);
	ref = ct_timeline_recent(arena, read.timeline, &count);
	for (uint32_t i = 0; i < count && i < MOST_RECENTS && ref != 0; i++)
	{
		const CtEvent *event = ct_ptr(arena, ref);

		if (event->top < snapshot->xmax && !atomic_load(&shared->aborted[event->top % TRANSACTIONS]))
			extra[runs.nextra++] = ref;
		ref = event->next;
	}
	ct_timeline_merge(arena, shared->store, read.timeline, snapshot, &runs);
	ct_timeline_fold(arena, shared->store, read.timeline, time, snapshot, &runs, &state);
	seen->found = true;
	seen->present = state.present;
	for (int i = FROM_ATTR; i < NATTRS; i++)
	{
		if (state.value[i].kind == CT_VALUE_NUMBER)
			(void) ct_wide_to_int64(state.value[i].number, &seen->number[i]);
	}
	if (state.value[TEXT_ATTR].kind == CT_VALUE_IMAGE)
	{
		seen->bytes = state.value[TEXT_ATTR].bytes;
		memcpy(seen->text, state.value[TEXT_ATTR].image, seen->bytes < sizeof(seen->text) ? seen->bytes : 0);
	}
	if (!ct_read_valid(&read) || count > MOST_RECENTS)
		return false;
	if (key % 2 == 0)
		ct_read_note(&read);
	return true;
}

static void
look_until_valid(const CtArena *arena, uint64_t key, int64_t time, const CtSnapshot *snapshot, Seen *seen)
{
	uint64_t tries = 1;
	uint64_t longest = atomic_load(&shared->longest);

	for (; !look(arena, key, time, snapshot, seen); tries++)
	{
		if (tries % 64 == 0)
			sched_yield();
	}
	atomic_fetch_add(&shared->reads, 1);
	atomic_fetch_add(&shared->missed, seen->missed);
	atomic_fetch_add(&shared->retries, tries - 1);
	while (tries > longest && !atomic_compare_exchange_weak(&shared->longest, &longest, tries))
		;
}

static void
check(const Seen *seen, uint64_t key, int64_t time, const CtSnapshot *snapshot)
{
	uint64_t born = atomic_load(&shared->born[key]);
	int64_t set;

	ORACLE_REQUIRE(seen->found || born == 0 || born >= snapshot->xmax || atomic_load(&shared->retained) >= 0);

	if (!seen->present)
		return;
	for (int i = FROM_ATTR; i < NATTRS; i += 2)
		ORACLE_REQUIRE(seen->number[i] == -seen->number[i + 1]);
	ORACLE_REQUIRE(seen->bytes >= 8 && seen->bytes < sizeof(seen->text));
	memcpy(&set, seen->text, sizeof(set));
	ORACLE_REQUIRE(set >= 0 && set <= time && seen->bytes == (uint32_t) (set % 60) + 8);
	for (uint32_t i = sizeof(set); i < seen->bytes; i++)
		ORACLE_REQUIRE(seen->text[i] == 'a' + (int) (set % 26));
}

/* A snapshot of all that has ended, protected from freezing. */
static CtSnapshot
take_snapshot(int reader)
{
	CtSnapshot snapshot = {.until = INT64_MAX};

	do
	{
		snapshot.xmin = snapshot.xmax = atomic_load(&shared->next);
		atomic_store(&shared->reading[reader], snapshot.xmax);
	} while (atomic_load(&shared->horizon) > snapshot.xmax);
	return snapshot;
}

static void
read_until_stopped(int reader)
{
	CtArena arena = ct_arena_attach(base, 0);
	OracleSource source = oracle_random(seed + 1 + (uint64_t) reader);

	while (!atomic_load(&shared->stop))
	{
		CtSnapshot snapshot = take_snapshot(reader);

		for (int i = 0; i < 20; i++)
		{
			uint64_t key = some_key(&source);
			int64_t time = oracle_below(&source, INSTANTS);
			Seen first;
			Seen again;

			look_until_valid(&arena, key, time, &snapshot, &first);
			look_until_valid(&arena, key, time, &snapshot, &again);
			if (time < atomic_load(&shared->retained) || first.missed || again.missed)
				continue;
			check(&first, key, time, &snapshot);
			ORACLE_REQUIRE(first.present == again.present);
			if (first.present)
				ORACLE_REQUIRE(memcmp(first.number, again.number, sizeof(first.number)) == 0 &&
							   first.bytes == again.bytes && memcmp(first.text, again.text, first.bytes) == 0);
		}
		atomic_store(&shared->reading[reader], UINT64_MAX);
	}
}

/* ---- both -------------------------------------------------------------------- */

static void
set_up(bool partial, bool keyed)
{
	CtSchema *schema = make_schema(keyed);
	CtArena arena;

	base = mmap(NULL, REGION_BYTES + CT_GUARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(base != MAP_FAILED && shared != MAP_FAILED);
	assert_int_equal(ct_region_format(base, REGION_BYTES, 1), CT_OK);
	arena = ct_arena_attach(base, 0);
	assert_int_equal(ct_store_create(&arena, schema, &shared->store), CT_OK);
	shared->partial = partial;
	shared->keyed = keyed;
	if (partial)
		ct_store_make_partial(&arena, shared->store, INT64_MIN);
	atomic_store(&shared->next, 3);
	atomic_store(&shared->retained, INT64_MIN);
	for (int i = 0; i < READERS; i++)
		atomic_store(&shared->reading[i], UINT64_MAX);
	free(schema);
}

#ifdef CT_THREADS
static void *
reader_thread(void *arg)
{
	read_until_stopped((int) (intptr_t) arg);
	return NULL;
}

static void
run_together(double seconds)
{
	pthread_t thread[READERS];

	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, reader_thread, (void *) (intptr_t) i), 0);
	write_until(seconds);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
}
#else
static void
run_together(double seconds)
{
	pid_t reader[READERS];

	fflush(NULL);
	for (int i = 0; i < READERS; i++)
	{
		reader[i] = fork();
		assert_true(reader[i] >= 0);
		if (reader[i] == 0)
		{
			read_until_stopped(i);
			_exit(0);
		}
	}
	write_until(seconds);
	for (int i = 0; i < READERS; i++)
	{
		int status;

		assert_int_equal(waitpid(reader[i], &status, 0), reader[i]);
		assert_int_equal(status, 0);
	}
}
#endif

static void
beside_a_writer(bool partial, bool keyed)
{
	const char *seconds = getenv("CT_SECONDS");
	CtArena arena;
	CtStats stats;
	const char *reason;

	set_up(partial, keyed);
	run_together(seconds == NULL ? 1 : atof(seconds));
	arena = ct_arena_attach(base, 0);
	assert_int_equal(ct_store_validate(&arena, shared->store, &reason), CT_OK);
	ct_store_stats(&arena, shared->store, &stats);
	printf("# %llu reads, %llu retries (at most %llu), %llu missed, %llu events\n", (unsigned long long) shared->reads,
		   (unsigned long long) shared->retries, (unsigned long long) shared->longest,
		   (unsigned long long) shared->missed, (unsigned long long) (stats.young + stats.frozen));
	assert_true(shared->reads > shared->missed + 100 && partial == (shared->missed > 0));
	assert_true(keyed == (stats.duplicates + stats.conflicts > 0));
}

static void
all_keys(void **state)
{
	(void) state;
	beside_a_writer(false, false);
}

static void
evicted_and_loaded_keys(void **state)
{
	(void) state;
	beside_a_writer(true, false);
	for (int i = 0; i < KEYS; i++)
		free(elsewhere[i].told);
}

static void
ids_of_keys(void **state)
{
	(void) state;
	beside_a_writer(false, true);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_keys),
		cmocka_unit_test(evicted_and_loaded_keys),
		cmocka_unit_test(ids_of_keys),
	};

	seed = oracle_seed(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
