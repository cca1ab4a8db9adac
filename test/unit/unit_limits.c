/*
 * unit_limits.c
 *	  Lengths at the limits, and invalid lengths in torn memory.
 *
 * First keys and payloads around the engine's limits, by every function that
 * accepts them.  Then readers without the lock read memory that another thread
 * overwrites with random values, above all lengths, counts and references: all
 * their reads must stay within the region and its guard; AddressSanitizer checks
 * that.
 *
 * CT_SECONDS sets how long (1), CT_SEED the choices.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/timeline.h"
#include "table.h"

static const uint32_t lengths[] = {0, 1, 8, 15, 16, 17, 2047, 2048, 2049,
								   2056, 3000, 65535, 65536, 65537, 65544, 67584, 100000};

#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))
#define LONGEST 100000

static uint8_t bytes[CT_MAX_PAYLOAD_BYTES + 64];

static uint64_t
hash_of_length(uint32_t n)
{
	return (n % 65536) * UINT64_C(0x9E3779B97F4A7C15); /* those that wrap meet */
}

static CtStatus
add(Table *table, uint32_t n, const CtChange *change)
{
	CtLabel label = {.top = 100, .xid = 100};

	return ct_store_add(&table->arena, table->store, hash_of_length(n), bytes, n, change, &label);
}

static CtStatus
load(Table *table, uint32_t n, const CtChange *change)
{
	CtWriter writer = ct_writer(&table->arena, table->store);
	CtLoad one = {.hash = hash_of_length(n), .key = bytes, .key_bytes = n, .change = *change};
	uint32_t done;

	return ct_store_load(&writer, &one, 1, &done);
}

static CtStatus
know(Table *table, uint32_t n, const CtChange *change __attribute__((unused)))
{
	ct_store_make_partial(&table->arena, table->store, 0);
	return ct_store_mark_key_loaded(&table->arena, table->store, hash_of_length(n), bytes, n, 100);
}

static CtStatus
open_writer(Table *table, uint32_t n, const CtChange *change)
{
	CtWriter writer = ct_writer(&table->arena, table->store);
	CtRef ref = ct_writer_timeline(&writer, hash_of_length(n), bytes, n);

	return ref != 0 ? ct_timeline_load(&writer, ref, change, 0) : CT_LIMIT;
}

typedef CtStatus (*WayIn)(Table *table, uint32_t n, const CtChange *change);

static void
check_found(const Table *table, uint32_t n)
{
	CtRef ref = ct_store_find(&table->arena, table->store, hash_of_length(n), bytes, n);
	CtRead read;
	uint32_t key_bytes;
	const void *key;

	assert_int_equal(ref != 0, n <= CT_MAX_KEY_BYTES);
	assert_int_equal(ct_read_key(&table->arena, table->store, hash_of_length(n), bytes, n, &read), CT_OK);
	assert_int_equal(read.timeline, ref);
	if (ref == 0)
		return;
	key = ct_timeline_key(&table->arena, ref, &key_bytes);
	assert_int_equal(key_bytes, n);
	assert_memory_equal(key, bytes, n);
}

static void
test_keys(void **unused __attribute__((unused)))
{
	static const WayIn ways[] = {add, load, know, open_writer};
	Event event = event_at(10, CT_EVENT);

	event_int(&event, SUM_ATTR, 1);
	event.change.payload = event.payload;
	for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++)
	{
		Table table = table_make(64);

		for (size_t i = 0; i < LENGTHS; i++)
			assert_int_equal(ways[w](&table, lengths[i], &event.change),
							 lengths[i] <= CT_MAX_KEY_BYTES ? CT_OK : CT_LIMIT);
		for (size_t i = 0; i < LENGTHS; i++)
			check_found(&table, lengths[i]);
		table_validate(&table);
		table_free(&table);
	}
}

/* Set the name so that the payload has `total` bytes. */
static CtChange
change_of(uint32_t total)
{
	uint32_t length = total - (uint32_t) sizeof(length);

	memcpy(bytes, &length, sizeof(length));
	return (CtChange){.time = 10,
					  .kind = CT_EVENT,
					  .set = UINT64_C(1) << NAME_ATTR,
					  .payload = bytes,
					  .payload_bytes = total};
}

static void
test_payloads(void **unused __attribute__((unused)))
{
	static const WayIn ways[] = {add, load, open_writer};

	for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++)
		for (int more = -2; more <= 2; more++)
		{
			Table table = table_make(64);
			CtChange change = change_of((uint32_t) (CT_MAX_PAYLOAD_BYTES + more));

			assert_int_equal(ways[w](&table, 8, &change), more <= 0 ? CT_OK : CT_LIMIT);
			assert_int_equal(ct_store_find(&table.arena, table.store, hash_of_length(8), bytes, 8) != 0, more <= 0);
			assert_int_equal(ct_is_too_large(8, change.payload_bytes), more > 0);
			table_validate(&table);
			table_free(&table);
		}
}

/* ---- memory with random contents --------------------------------------- */

#define KEYS 40
#define EVENTS 400
#define PAGES 400
#define MOST_PLACES 4096

/* A piece of memory that the vandal thread may overwrite. */
typedef struct Place
{
	uint8_t *at;
	size_t bytes;
} Place;

typedef struct World
{
	Table table;
	uint32_t key_bytes[KEYS];
	Place place[MOST_PLACES];
	int nplaces;
	atomic_bool stop;
	uint64_t seed;
	uint64_t copied;
	uint64_t reads;
} World;

static uint32_t
any(uint64_t *seed, uint32_t n)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t) (*seed >> 33) % n;
}

/* A random number as a length, count or reference might be. */
static uint64_t
any_number(uint64_t *seed)
{
	static const uint64_t numbers[] = {0,
									   1,
									   15,
									   16,
									   17,
									   95,
									   96,
									   97,
									   255,
									   2047,
									   2048,
									   2049,
									   4096,
									   16384,
									   65535,
									   65536,
									   CT_MAX_PAYLOAD_BYTES - 1,
									   CT_MAX_PAYLOAD_BYTES,
									   CT_MAX_PAYLOAD_BYTES + 1,
									   INT32_MAX,
									   UINT32_MAX - 3,
									   UINT32_MAX};
	uint64_t high = any(seed, 4) == 0 ? (uint64_t) any(seed, UINT32_MAX) << 32 : 0;

	switch (any(seed, 3))
	{
		case 0:
			return numbers[any(seed, sizeof(numbers) / sizeof(numbers[0]))] | high;
		case 1: /* a reference near the end of the region */
			return (PAGES + 2) * (CT_PAGE_BYTES / CT_GRANULE) - any(seed, 64);
		default:
			return any(seed, (PAGES + 2) * (CT_PAGE_BYTES / CT_GRANULE)) | high;
	}
}

static void
may_overwrite(World *w, const void *at, size_t count)
{
	if (w->nplaces < MOST_PLACES)
		w->place[w->nplaces++] = (Place){(uint8_t *) at, count};
}

/* The blocks below a node, and the values of a leaf, as they are now. */
static void
note_node(World *w, CtRef ref, int height)
{
	const CtInner *inner = ct_ptr(&w->table.arena, ref);

	if (ref == 0)
		return;
	if (height == 0)
	{
		const CtLeaf *leaf = ct_ptr(&w->table.arena, ref);

		may_overwrite(w, leaf, ct_leaf_bytes(leaf->capacity, leaf->room));
		return;
	}
	may_overwrite(w, inner, offsetof(CtInner, time) + inner->capacity * 28);
	for (uint32_t i = 0; i < inner->count; i++)
		note_node(w, ct_node_child(inner)[i], height - 1);
}

/*
 * Everything except what a reader finds a timeline by, its sequence, and the stride,
 * which is overwritten with multiples of 8 only.
 */
static void
note_timeline(World *w, CtTimeline *t)
{
	may_overwrite(w, &t->recent, offsetof(CtTimeline, tail_stride) - offsetof(CtTimeline, recent));
	may_overwrite(w, &t->tail_layout, offsetof(CtTimeline, taken) - offsetof(CtTimeline, tail_layout));
	may_overwrite(w, &t->partial, 2);
	may_overwrite(w, &t->base, sizeof(CtTimeline) - offsetof(CtTimeline, base));
	if (t->tail != 0)
		may_overwrite(w, ct_ptr(&w->table.arena, t->tail), (size_t) t->tail_capacity * t->tail_stride);
	note_node(w, t->root, t->height);
}

static void
make_world(World *w)
{
	uint64_t top = 10;

	w->table = (Table){.base = aligned_alloc(CT_PAGE_BYTES, (PAGES + 2) * CT_PAGE_BYTES + CT_GUARD_BYTES)};
	{
		Table schema = table_make(4);

		assert_int_equal(ct_region_format(w->table.base, (PAGES + 2) * CT_PAGE_BYTES, 1), CT_OK);
		w->table.arena = ct_arena_attach(w->table.base, 0);
		assert_int_equal(ct_store_create(&w->table.arena, ct_store_schema(&schema.arena, schema.store),
										 &w->table.store),
						 CT_OK);
		table_free(&schema);
	}
	for (int k = 0; k < KEYS; k++)
		w->key_bytes[k] = k < 20 ? (uint32_t) k : (uint32_t) (CT_MAX_KEY_BYTES - (KEYS - 1 - k));
	for (int i = 0; i < EVENTS * KEYS; i++)
	{
		int k = (int) any(&w->seed, KEYS);
		Event event = event_at(any(&w->seed, 1000), CT_EVENT);
		CtLabel label = {.top = ++top, .xid = top};

		event_int(&event, SUM_ATTR, (int64_t) any(&w->seed, 9));
		event_text(&event, NAME_ATTR, any(&w->seed, 2) ? "a name" : "a name that is somewhat longer than the other");
		event.change.payload = event.payload;
		assert_int_equal(ct_store_add(&w->table.arena, w->table.store, hash_of_length(w->key_bytes[k]), bytes,
									  w->key_bytes[k], &event.change, &label),
						 CT_OK);
		if (i % 7 != 0 || i < EVENTS * KEYS / 2)
			assert_int_equal(table_enter_all(&w->table), CT_OK);
	}
	for (int k = 0; k < KEYS; k++)
	{
		CtRef ref =
			ct_store_find(&w->table.arena, w->table.store, hash_of_length(w->key_bytes[k]), bytes, w->key_bytes[k]);

		if (ref != 0)
			note_timeline(w, ct_ptr(&w->table.arena, ref));
	}
}

/* The vandal thread: overwrite the noted memory, and mark the timelines as changed. */
static void *
vandalise(void *arg)
{
	World *w = arg;
	uint64_t seed = w->seed ^ 12345;

	for (uint32_t n = 0; !atomic_load(&w->stop); n++)
	{
		const Place *place = &w->place[any(&seed, (uint32_t) w->nplaces)];
		uint64_t number = any_number(&seed);
		size_t count = (size_t) 1 << any(&seed, 4);
		size_t at = any(&seed, (uint32_t) place->bytes) & ~(count - 1);
		uint32_t slot = any(&seed, KEYS);
		CtTimeline *t;

		if (at + count <= place->bytes)
			memcpy(place->at + at, &number, count);
		t = ct_ptr(&w->table.arena,
				   ct_directory_at(&w->table.arena, &((CtStore *) ct_ptr(&w->table.arena, w->table.store))->directory,
								   slot));
		if (n % 16 == 0)
			atomic_fetch_add(&t->sequence, 2);
		if (n % 64 == 0)
			t->tail_stride = (uint16_t) (number & ~7U);
	}
	return NULL;
}

/* Copy a value as a reader does; it must not read more than the given length. */
static void
copy(World *w, const void *from, size_t count)
{
	static uint8_t to[CT_MAX_PAYLOAD_BYTES];

	assert_true(count <= sizeof(to));
	memcpy(to, from, count);
	w->copied += count;
}

static void
copy_state(World *w, const CtState *state)
{
	for (int i = 0; i < state->nattrs && i < CT_MAX_ATTRS; i++)
		if (state->value[i].kind == CT_VALUE_IMAGE)
			copy(w, state->value[i].image, state->value[i].bytes);
}

static bool
copy_raw_event(void *arg, const CtRawEvent *told)
{
	World *w = arg;

	for (int i = 0; i < ATTRS; i++)
		if (((told->set & ~told->null) >> i & 1) != 0 && told->value[i].kind == CT_VALUE_IMAGE)
			copy(w, told->value[i].image, told->value[i].bytes);
	return true;
}

static void
read_timeline(World *w, CtRef timeline)
{
	static CtState state;
	static CtRef extra[64];
	static CtRef cancelled[64];
	const CtArena *arena = &w->table.arena;
	CtSnapshot snapshot = {.xmin = any(&w->seed, 9000), .until = INT64_MAX};
	CtRuns runs = {.extra = extra, .cancelled = cancelled};
	int64_t time = any(&w->seed, 1000);
	CtPosition position = {.time = any(&w->seed, 1000),
						   .visited = 7,
						   .timeline = ct_ptr(arena, timeline),
						   .path = (uint64_t) any(&w->seed, 1000) << 40 | any(&w->seed, 1000),
						   .sequence = any(&w->seed, 4)};
	uint64_t unseen[8];
	uint32_t count;
	const void *key = ct_timeline_key(arena, timeline, &count);
	CtRef ref;

	assert_true(count <= CT_MAX_KEY_BYTES);
	copy(w, key, count);
	snapshot.xmax = snapshot.xmin;
	ref = ct_timeline_recent(arena, timeline, &count);
	for (uint32_t i = 0; i < count && i < 64 && ref != 0; i++)
	{
		extra[runs.nextra++] = ref;
		ref = ((const CtEvent *) ct_ptr(arena, ref))->next;
	}
	ct_timeline_merge(arena, w->table.store, timeline, &snapshot, &runs);
	ct_timeline_fold(arena, w->table.store, timeline, time, &snapshot, &runs, &state);
	copy_state(w, &state);
	for (int i = 0;
		 i < 4 && ct_timeline_step(arena, w->table.store, timeline, &time, INT64_MAX, &snapshot, &runs, &state); i++)
		copy_state(w, &state);
	(void) ct_timeline_latest(arena, w->table.store, timeline, &time, &snapshot, &runs);
	(void) ct_timeline_visit(arena, w->table.store, timeline, &position, 1000, &snapshot, &runs, copy_raw_event, w);
	(void) ct_timeline_unseen(arena, w->table.store, timeline, &snapshot, unseen, 8);
	(void) ct_timeline_seen(arena, timeline, &snapshot);
	(void) ct_timeline_is_loaded(arena, w->table.store, timeline, &snapshot);
	w->reads++;
}

static void
test_torn_memory(void **unused __attribute__((unused)))
{
	static World w;
	const char *seconds = getenv("CT_SECONDS");
	const char *seed = getenv("CT_SEED");
	time_t until = time(NULL) + (seconds ? atoi(seconds) : 1) + 1;
	pthread_t vandal;

	w.seed = seed ? strtoull(seed, NULL, 10) : (uint64_t) time(NULL);
	printf("CT_SEED=%llu\n", (unsigned long long) w.seed);
	fflush(stdout);
	make_world(&w);
	assert_int_equal(pthread_create(&vandal, NULL, vandalise, &w), 0);
	while (time(NULL) < until)
		for (int n = 0; n < 100; n++)
		{
			uint32_t length = w.key_bytes[any(&w.seed, KEYS)];
			uint32_t position = any(&w.seed, KEYS);
			CtRead read;

			if (ct_read_key(&w.table.arena, w.table.store, hash_of_length(length), bytes, length, &read) == CT_OK &&
				read.timeline != 0)
				read_timeline(&w, read.timeline);
			if (ct_read_slot(&w.table.arena, w.table.store, &position, &read) == CT_OK && read.timeline != 0)
			{
				ct_read_ahead(&w.table.arena, w.table.store, position);
				read_timeline(&w, read.timeline);
			}
		}
	atomic_store(&w.stop, true);
	assert_int_equal(pthread_join(vandal, NULL), 0);
	assert_true(w.reads > 0 && w.copied > 0);
	printf("%llu reads of %d places, %llu bytes copied\n", (unsigned long long) w.reads, w.nplaces,
		   (unsigned long long) w.copied);
	free(w.table.base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_payloads),
		cmocka_unit_test(test_torn_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
