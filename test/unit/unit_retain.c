/*
 * unit_retain.c
 *	  Retention in small histories: which events are folded, what delays it, and
 *	  which memory it frees.
 *
 * Random histories with retention are in unit_random.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "engine/writer.h"
#include "table.h"

static uint64_t seed;

/* Longer than fits into a cell. */
static const char *const long_name = "a name that is kept apart from its record";

static void
retain(Table *table, int64_t from)
{
	CtStatus status;

	do
		status = ct_store_retain(&table->arena, table->store, from, 3);
	while (status == CT_MORE);
	assert_int_equal(status, CT_OK);
}

static void
enter_sum(Table *table, uint64_t key, int64_t time, int64_t sum)
{
	Event event = event_at(time, CT_EVENT);

	event_int(&event, SUM_ATTR, sum);
	table_enter(table, key, &event, 3, INT64_MIN);
}

static void
enter_kind(Table *table, uint64_t key, int64_t time, CtKind kind)
{
	Event event = event_at(time, kind);

	table_enter(table, key, &event, 3, INT64_MIN);
}

static bool
is_text(const CtValue *value, const char *text)
{
	return value->kind == CT_VALUE_IMAGE && value->bytes == strlen(text) &&
		   memcmp(value->image, text, value->bytes) == 0;
}

/* ---- folded events ---------------------------------------------------------- */

/* A hundred thousand events at the instants from 0 on, each adding 1. */
static void
long_timeline(void **state)
{
	enum
	{
		LONG = 100000
	};
	Table table = table_make(600);
	uint64_t full;

	(void) state;
	for (int64_t i = 0; i < LONG; i++)
		enter_sum(&table, 1, i, 1);
	table_settle_all(&table);
	full = table_stats(&table).bytes;
	for (int64_t from = 10000; from <= LONG; from += 10000)
	{
		CtStats stats;

		retain(&table, from);
		table_validate(&table);
		stats = table_stats(&table);
		assert_int_equal(stats.retained, from);
		assert_int_equal(stats.frozen + stats.folded, LONG);
		assert_true(stats.frozen <= (uint64_t) (LONG - from) + 2 * 96);
		assert_true(stats.bytes < full * (uint64_t) (LONG - from) / LONG + 16384);
		for (int64_t time = from; time < LONG + 10; time += 1 + time % 997)
		{
			CtState now = table_state(&table, 1, time);

			assert_int_equal(state_int(&now, SUM_ATTR), time < LONG ? time + 1 : LONG);
		}
	}
	retain(&table, INT64_MAX);
	assert_int_equal(table_stats(&table).frozen, 0);
	assert_int_equal(table_stats(&table).keys, 1);
	table_validate(&table);
	table_free(&table);
}

/* A key with few events does not keep a tail of old ones. */
static void
slow_keys(void **state)
{
	Table table = table_make(60);

	(void) state;
	for (int64_t hour = 0; hour < 500; hour++)
	{
		for (uint64_t key = 1; key <= 3; key++)
			enter_sum(&table, key, hour * 60 + (int64_t) key, 1);
		table_settle_all(&table);
		retain(&table, hour * 60 - 59);
		assert_true(table_stats(&table).frozen <= 3 * 10);
	}
	for (uint64_t key = 1; key <= 3; key++)
	{
		CtState now = table_state(&table, key, 500 * 60);

		assert_int_equal(state_int(&now, SUM_ATTR), 500);
	}
	table_validate(&table);

	/* After a burst the records are freed, and their memory with them. */
	for (int64_t i = 0; i < 70; i++)
		enter_sum(&table, 1, 40000 + i, 1);
	table_settle_all(&table);
	retain(&table, 40068);
	assert_int_equal(table_stats(&table).frozen, 2);
	table_validate(&table);
	table_free(&table);
}

/* Values of every kind are kept: sums, NULL, texts inside and outside of records. */
static void
values(void **state)
{
	Table table = table_make(60);
	Event event = event_at(1, CT_EVENT);
	CtState now;
	uint64_t bytes;

	(void) state;
	event_int(&event, SUM_ATTR, 5);
	event_int(&event, BOUNDED_ATTR, 95);
	event_text(&event, NAME_ATTR, "first");
	event_int(&event, ID_ATTR, 1);
	table_enter(&table, 1, &event, 3, INT64_MIN);
	event = event_at(2, CT_EVENT);
	event_int(&event, BOUNDED_ATTR, -3);
	event_text(&event, NAME_ATTR, long_name);
	table_enter(&table, 1, &event, 3, INT64_MIN);
	table_settle_all(&table);
	retain(&table, 3);
	assert_int_equal(table_stats(&table).folded, 2);
	table_validate(&table);
	now = table_state(&table, 1, 3);
	assert_true(now.present);
	assert_int_equal(state_int(&now, SUM_ATTR), 5);
	assert_int_equal(state_int(&now, BOUNDED_ATTR), 97);
	assert_true(is_text(&now.value[NAME_ATTR], long_name));

	/* NULL in an attribute with an initial value, which is there again after a finish. */
	event = event_at(4, CT_EVENT);
	event_null(&event, BOUNDED_ATTR);
	event_null(&event, NAME_ATTR);
	table_enter(&table, 1, &event, 3, INT64_MIN);
	table_settle_all(&table);
	bytes = table_stats(&table).bytes;
	retain(&table, 5);
	assert_int_equal(table_stats(&table).folded, 3);
	assert_true(table_stats(&table).bytes + strlen(long_name) < bytes);
	now = table_state(&table, 1, 5);
	assert_int_equal(now.value[BOUNDED_ATTR].kind, CT_VALUE_NULL);
	assert_int_equal(now.value[NAME_ATTR].kind, CT_VALUE_NULL);
	assert_int_equal(state_int(&now, SUM_ATTR), 5);
	table_validate(&table);

	/* Events add to the base; NULL starts from the initial value. */
	event = event_at(6, CT_EVENT);
	event_int(&event, SUM_ATTR, 2);
	event_int(&event, BOUNDED_ATTR, 1);
	table_enter(&table, 1, &event, 3, INT64_MIN);
	now = table_state(&table, 1, 6);
	assert_int_equal(state_int(&now, SUM_ATTR), 7);
	assert_int_equal(state_int(&now, BOUNDED_ATTR), 11);

	enter_kind(&table, 1, 8, CT_FINISH);
	enter_sum(&table, 1, 9, 1);
	now = table_state(&table, 1, 9);
	assert_int_equal(state_int(&now, SUM_ATTR), 1);
	assert_true(is_text(&now.value[NAME_ATTR], "none"));
	table_settle_all(&table);
	retain(&table, 100);
	now = table_state(&table, 1, 100);
	assert_int_equal(state_int(&now, BOUNDED_ATTR), 10);
	assert_int_equal(state_int(&now, SUM_ATTR), 1);
	table_validate(&table);
	table_free(&table);
}

/* An attribute that was added later has its initial value, and can be set. */
static void
added_attribute(void **state)
{
	Table table = table_make(60);
	Event event = event_at(20, CT_EVENT);
	CtState now;

	(void) state;
	for (int64_t i = 0; i < 10; i++)
		enter_sum(&table, 1, i, 1);
	table_settle_all(&table);
	retain(&table, 10);
	assert_int_equal(table_widen(&table), CT_OK);
	now = table_state(&table, 1, 10);
	assert_int_equal(state_int(&now, SUM_ATTR), 10);
	assert_int_equal(state_int(&now, ADDED_ATTR), 7);
	event_int(&event, ADDED_ATTR, 3);
	for (int i = 0; i < 9; i++)
		table_enter(&table, 1, &event, 3, INT64_MIN);
	table_settle_all(&table);
	retain(&table, 30);
	assert_int_equal(table_stats(&table).folded, 19);
	now = table_state(&table, 1, 30);
	assert_int_equal(state_int(&now, SUM_ATTR), 10);
	assert_int_equal(state_int(&now, ADDED_ATTR), 7 + 9 * 3);
	table_validate(&table);
	table_free(&table);
}

/* An attribute whose events were rolled back is redefined; the others keep their values. */
static void
redefined(void **state)
{
	Table table = table_make(60);
	Event event = event_at(20, CT_EVENT);
	Event named = event_at(20, CT_EVENT);
	CtSchema *schema;
	CtState now;
	CtRef batch = 0;

	(void) state;
	for (int64_t i = 0; i < 10; i++)
		enter_sum(&table, 1, i, 1);
	table_settle_all(&table);
	assert_int_equal(table_widen(&table), CT_OK);
	event_int(&event, SUM_ATTR, 100);
	event_int(&event, ADDED_ATTR, 3);
	for (int i = 0; i < 5; i++)
		assert_int_equal(table_add(&table, 1, &event, 7), CT_OK);
	while (ct_store_first_batch(&table.arena, table.store, &batch))
		while (ct_store_drop(&table.arena, table.store, batch, 2) == CT_MORE)
			;

	/* In the place of the name: the layout of the events that were rolled back is computed again. */
	schema = calloc(1, ct_store_schema(&table.arena, table.store)->size);
	memcpy(schema, ct_store_schema(&table.arena, table.store), ct_store_schema(&table.arena, table.store)->size);
	schema->attr[ADDED_ATTR] = schema->attr[NAME_ATTR];
	schema->nattrs--;
	assert_int_equal(ct_store_redefine(&table.arena, table.store, schema), CT_BROKEN);
	schema->nattrs++;
	assert_int_equal(ct_store_redefine(&table.arena, table.store, schema), CT_OK);
	event_int(&named, SUM_ATTR, 100);
	event_text(&named, ADDED_ATTR, "a name that is long enough to be kept apart from its record");
	for (int i = 0; i < 5; i++)
		table_enter(&table, 1, &named, 8, INT64_MIN);
	table_settle_all(&table);
	now = table_state(&table, 1, 15);
	assert_int_equal(state_int(&now, SUM_ATTR), 10);
	assert_int_equal(now.value[ADDED_ATTR].kind, CT_VALUE_IMAGE);
	assert_int_equal(now.value[ADDED_ATTR].bytes, strlen("none"));
	now = table_state(&table, 1, 30);
	assert_int_equal(state_int(&now, SUM_ATTR), 510);
	assert_int_equal(now.value[ADDED_ATTR].bytes, 59);
	table_validate(&table);
	free(schema);
	table_free(&table);
}

/* A finished life leaves no key, unless the key has a recent event. */
static void
finished(void **state)
{
	Table table = table_make(60);
	Event event = event_at(50, CT_EVENT);

	(void) state;
	for (uint64_t key = 1; key <= 40; key++)
	{
		enter_sum(&table, key, 1, 1);
		enter_kind(&table, key, 2, key % 2 == 0 ? CT_FINISH : CT_EVENT);
	}
	table_settle_all(&table);
	event_int(&event, SUM_ATTR, 9);
	assert_int_equal(table_add(&table, 2, &event, 5), CT_OK);
	retain(&table, 2);
	assert_int_equal(table_stats(&table).keys, 40);
	retain(&table, 10);
	table_validate(&table);
	assert_int_equal(table_stats(&table).keys, 21);
	assert_int_equal(table_find(&table, 4), 0);
	assert_false(table_state(&table, 2, 49).present);
	assert_int_equal(table_enter_all(&table), CT_OK);
	assert_true(table_state(&table, 2, 50).present);
	assert_false(table_state(&table, 2, 49).present);

	/* A new life that is finished before it has frozen. */
	enter_sum(&table, 4, 60, 1);
	enter_kind(&table, 4, 61, CT_FINISH);
	retain(&table, 70);
	assert_int_not_equal(table_find(&table, 4), 0);
	table_settle_all(&table);
	retain(&table, 70);
	assert_int_equal(table_find(&table, 4), 0);
	table_validate(&table);
	table_free(&table);
}

/* The range of instants that an event changes depends on the base of the key. */
static void
changed_ranges(void **state)
{
	Table table = table_make(60);
	Event event = event_at(0, CT_EVENT);
	CtChanged changed;

	(void) state;
	event_int(&event, BOUNDED_ATTR, 90);
	event_text(&event, NAME_ATTR, "x");
	for (int i = 0; i < 8; i++)
		table_enter(&table, 1, &event, 3, INT64_MIN);
	table_settle_all(&table);
	retain(&table, 10);
	assert_int_equal(table_stats(&table).frozen, 0);

	event = event_at(20, CT_EVENT); /* it is at its upper bound, not at 10 */
	event_int(&event, BOUNDED_ATTR, 5);
	changed = table_enter(&table, 1, &event, 4, 1000);
	assert_int_equal(changed.events, 0);
	event = event_at(30, CT_EVENT); /* the name is 'x', not 'none' */
	event_text(&event, NAME_ATTR, "none");
	changed = table_enter(&table, 1, &event, 4, 1000);
	assert_int_equal(changed.events, 1);
	event = event_at(15, CT_FINISH); /* the row exists */
	changed = table_enter(&table, 1, &event, 4, 1000);
	assert_int_equal(changed.events, 1);
	assert_int_equal(changed.from, 15);
	table_free(&table);
}

/* ---- what delays folding ------------------------------------------------------ */

static void
too_late(void **state)
{
	Table table = table_make(60);
	Event event = event_at(9, CT_EVENT);
	CtWriter writer;

	(void) state;
	enter_sum(&table, 1, 5, 1);
	retain(&table, 10);
	assert_int_equal(table_add(&table, 1, &event, 5), CT_TOO_LATE);
	assert_int_equal(table_add(&table, 2, &event, 5), CT_TOO_LATE);
	writer = ct_writer(&table.arena, table.store);
	assert_int_equal(ct_timeline_load(&writer, ct_writer_timeline(&writer, 7, "key", 3), &event.change, 0),
					 CT_TOO_LATE);
	assert_int_equal(table_stats(&table).keys, 1);
	event.change.time = 10;
	assert_int_equal(table_add(&table, 1, &event, 5), CT_OK);
	retain(&table, 9); /* `retained` never goes back */
	assert_int_equal(table_stats(&table).retained, 10);
	table_validate(&table);
	table_free(&table);
}

/* Recent events, and committed ones that wait for their duplicate to freeze. */
static void
delayed(void **state)
{
	Table table = table_make(60);
	Event event = event_at(20, CT_EVENT);
	CtChanged changed = {0};
	CtRef batch;
	CtState now;

	(void) state;
	for (int64_t i = 0; i < 20; i++)
		enter_sum(&table, 1, i, 1);
	event_int(&event, SUM_ATTR, 100);
	event_int(&event, ID_ATTR, 1);
	table_enter(&table, 1, &event, 50, INT64_MIN);
	event.change.time = 30;
	assert_int_equal(table_add(&table, 2, &event, 60), CT_OK);
	event.change.time = 20;
	assert_int_equal(table_add(&table, 1, &event, 60), CT_OK);
	event.change.time = 30;
	assert_int_equal(table_add(&table, 2, &event, 60), CT_OK);
	assert_int_equal(ct_store_settle(&table.arena, table.store, 40, 100), CT_OK);
	retain(&table, 1000);
	assert_int_equal(table_stats(&table).retained, 20);

	/* Now the duplicate waits. */
	assert_non_null(ct_store_first_batch(&table.arena, table.store, &batch));
	assert_int_equal(ct_store_enter(&table.arena, table.store, batch, 10, NULL, &changed), CT_OK);
	retain(&table, 1000);
	assert_int_equal(table_stats(&table).retained, 20);
	table_validate(&table);

	/* Decided; young events stay, but do not hold `retained` back. */
	assert_int_equal(ct_store_settle(&table.arena, table.store, 61, 100), CT_OK);
	assert_int_equal(table_stats(&table).duplicates, 2);
	enter_sum(&table, 1, 50, 1);
	enter_sum(&table, 1, 51, 1);
	retain(&table, 1000);
	assert_int_equal(table_stats(&table).retained, 1000);
	now = table_state(&table, 1, 1000);
	assert_int_equal(state_int(&now, SUM_ATTR), 122);
	assert_int_equal(table_stats(&table).young, 2);
	table_validate(&table);
	table_free(&table);
}

/* A pass skips events that some snapshot does not see; a later pass folds them. */
static void
young(void **state)
{
	Table table = table_make(60);
	uint64_t folded;

	(void) state;
	for (int64_t i = 0; i < 1000; i++)
	{
		Event event = event_at(i, CT_EVENT);

		event_int(&event, SUM_ATTR, 1);
		table_enter(&table, 1, &event, 10 + (uint64_t) i, INT64_MIN);
	}
	assert_int_equal(ct_store_settle(&table.arena, table.store, 510, 2000), CT_OK);
	retain(&table, 900);
	folded = table_stats(&table).folded;
	assert_true(folded > 300 && folded <= 500);
	retain(&table, 900); /* no event has frozen since */
	assert_int_equal(table_stats(&table).folded, folded);
	table_settle_all(&table);
	retain(&table, 900);
	assert_true(table_stats(&table).folded > 700);
	table_validate(&table);
	table_free(&table);
}

/* No event is folded before an older one that cannot be folded yet. */
static void
in_order(void **state)
{
	Table table = table_make(60);
	Event event = event_at(-1, CT_SNAPSHOT);
	CtState now;

	(void) state;
	for (int64_t i = 0; i < 200; i++)
		enter_sum(&table, 1, i, 1);
	event_int(&event, SUM_ATTR, 1000);
	table_enter(&table, 1, &event, 50, INT64_MIN);
	assert_int_equal(ct_store_settle(&table.arena, table.store, 50, 1000), CT_OK);
	assert_int_equal(table_stats(&table).young, 1);
	retain(&table, 300);
	assert_int_equal(table_stats(&table).folded, 0);
	table_settle_all(&table);
	retain(&table, 300);
	assert_int_equal(table_stats(&table).folded, 201);
	now = table_state(&table, 1, 300);
	assert_int_equal(state_int(&now, SUM_ATTR), 1200);
	table_validate(&table);
	table_free(&table);
}

/* Without memory for a base no event is lost, and other keys are folded. */
static void
no_memory(void **state)
{
	Table table = table_make(60);

	(void) state;
	for (int64_t i = 0; i < 1000; i++)
	{
		Event event = event_at(i, CT_EVENT);

		event_text(&event, NAME_ATTR, i % 3 == 0 ? long_name : "x");
		table_enter(&table, 1 + (uint64_t) i % 2, &event, 10, INT64_MIN);
	}
	table_settle_all(&table);
	for (uint32_t after = 0; after < 6; after++)
	{
		oracle_fail_allocations(after, 1000);
		retain(&table, 100 + 100 * after);
		oracle_fail_allocations(0, 0);
		table_validate(&table);
		for (uint64_t key = 1; key <= 2; key++)
		{
			CtState now = table_state(&table, key, 600);
			int64_t last = key == 1 ? 600 : 599;

			assert_true(is_text(&now.value[NAME_ATTR], last % 3 == 0 ? long_name : "x"));
		}
	}
	retain(&table, 2000);
	assert_int_equal(table_stats(&table).frozen, 0);
	table_validate(&table);
	table_free(&table);
}

/* ---- long runs -------------------------------------------------------------- */

enum
{
	KEYS = 3000,
	WINDOW = 20000, /* number of instants retained */
	ROUNDS = 60     /* of half a window */
};

static Event
churn_event(OracleSource *source, int64_t time)
{
	uint32_t what = oracle_below(source, 100);
	Event event = event_at(time, what < 3 ? CT_FINISH : what < 6 ? CT_SNAPSHOT
																 : CT_EVENT);
	char name[120];

	if (event.change.kind == CT_FINISH)
		return event;
	if (what % 2 == 0)
		event_int(&event, SUM_ATTR, (int64_t) what - 50);
	if (what % 3 == 0)
		event_int(&event, BOUNDED_ATTR, (int64_t) what - 50);
	if (what % 5 == 0)
	{
		snprintf(name, sizeof(name), "%0*u", 1 + (int) oracle_below(source, 100), what);
		event_text(&event, NAME_ATTR, name);
	}
	return event;
}

/*
 * Keys appear and finish, with many or few events, in order and late: the memory
 * used after a long time is that used after two windows.
 */
static void
churn(void **state)
{
	OracleSource source = oracle_random(seed);
	Table table = table_make(4000);
	size_t steady_used = 0;
	uint64_t steady_bytes = 0;
	double worst = 0;
	uint64_t top = 3;

	(void) state;
	for (int64_t round = 0; round < ROUNDS; round++)
	{
		int64_t begin = WINDOW + round * WINDOW / 2;
		size_t used;
		uint64_t bytes;

		for (int64_t i = 0; i < WINDOW / 2; i++)
		{
			uint32_t spread = oracle_below(&source, 3) == 0 ? KEYS : 60;
			uint64_t key = (uint64_t) (round / 4 * 500) + oracle_below(&source, spread);
			int64_t late = oracle_below(&source, 10) == 0 ? oracle_below(&source, WINDOW / 2) : 0;
			Event event = churn_event(&source, begin + i - late);

			assert_int_equal(table_add(&table, key, &event, top++), CT_OK);
			if (i % 100 == 99)
				assert_int_equal(table_enter_all(&table), CT_OK);
			if (i % 1000 == 999)
			{
				table_settle_all(&table);
				retain(&table, begin + i - WINDOW);
			}
		}
		table_validate(&table);
		used = ct_region_used(table.base);
		bytes = table_stats(&table).bytes;
		if (round == ROUNDS / 3)
		{
			steady_used = used;
			steady_bytes = bytes;
		}
		if (round >= ROUNDS / 3)
			worst = (double) used / (double) bytes > worst ? (double) used / (double) bytes : worst;
	}
	printf("# churn: after %d events %zu KiB of the region for %zu KiB in use (%zu for %zu after "
		   "a third), at worst %.2f times\n",
		   ROUNDS * WINDOW / 2, ct_region_used(table.base) / 1024, (size_t) table_stats(&table).bytes / 1024,
		   steady_used / 1024, (size_t) steady_bytes / 1024, worst);

	/* Keys that never finish stay: with one base each. */
	assert_true(table_stats(&table).frozen < WINDOW * 2);
	assert_true(worst < 2);

	/* Every life is finished: only slots for new keys are left. */
	for (uint32_t position = 0;;)
	{
		CtRef timeline = ct_store_next(&table.arena, table.store, &position);
		uint32_t bytes;
		uint64_t key;

		if (timeline == 0)
			break;
		memcpy(&key, ct_timeline_key(&table.arena, timeline, &bytes), sizeof(key));
		enter_kind(&table, key, 10 * WINDOW + ROUNDS * WINDOW, CT_FINISH);
	}
	table_settle_all(&table);
	retain(&table, INT64_MAX);
	table_validate(&table);
	assert_int_equal(table_stats(&table).keys, 0);
	printf("# churn: without a key %zu KiB of the region for %zu KiB in use\n", ct_region_used(table.base) / 1024,
		   (size_t) table_stats(&table).bytes / 1024);
	assert_true(ct_region_used(table.base) < steady_used);
	table_free(&table);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(long_timeline),
		cmocka_unit_test(slow_keys),
		cmocka_unit_test(values),
		cmocka_unit_test(added_attribute),
		cmocka_unit_test(redefined),
		cmocka_unit_test(finished),
		cmocka_unit_test(changed_ranges),
		cmocka_unit_test(too_late),
		cmocka_unit_test(delayed),
		cmocka_unit_test(young),
		cmocka_unit_test(in_order),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(churn),
	};

	seed = oracle_seed(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
