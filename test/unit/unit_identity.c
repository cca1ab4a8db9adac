/*
 * unit_identity.c
 *	  Unit tests: an event id that is unique for its key (id_of_key).
 */
#include <stdlib.h>
#include <string.h>

#include "table.h"

#define KEY 1
#define OPEN INT64_MAX
#define NEVER INT64_MIN

static Table
keyed_table(void)
{
	Table plain = table_make(60);
	const CtSchema *is = ct_store_schema(&plain.arena, plain.store);
	CtSchema *schema = malloc(is->size);
	Table table;

	memcpy(schema, is, is->size);
	schema->id_of_key = true;
	table = table_make_of(schema, 200);
	free(schema);
	table_free(&plain);
	return table;
}

/* An event that adds; an id of 0 is none. */
static Event
addition(int64_t time, int64_t sum, int64_t id)
{
	Event event = event_at(time, CT_EVENT);

	event_int(&event, SUM_ATTR, sum);
	if (id != 0)
		event_int(&event, ID_ATTR, id);
	return event;
}

static Event
of_kind(int64_t time, CtKind kind, int64_t sum, int64_t id)
{
	Event event = event_at(time, kind);

	if (kind != CT_FINISH)
		event_int(&event, SUM_ATTR, sum);
	event_int(&event, ID_ATTR, id);
	return event;
}

/* What a snapshot that sees all transactions below xmax reads; *instants: how many have an event. */
static CtState
seen_state(const Table *table, int64_t time, uint64_t xmax, int *instants, int64_t *latest)
{
	CtSnapshot snapshot = {.xmin = xmax, .xmax = xmax, .until = INT64_MAX};
	CtRef timeline = table_find(table, KEY);
	CtRef extra[64];
	CtRef cancelled[64];
	CtRuns runs = {.extra = extra, .cancelled = cancelled};
	uint32_t count;
	CtState state;
	int64_t at = -100;

	for (CtRef ref = ct_timeline_recent(&table->arena, timeline, &count); ref != 0;)
	{
		const CtEvent *event = ct_ptr(&table->arena, ref);

		assert_true(count <= 64);
		if (event->top < xmax)
			extra[runs.nextra++] = ref;
		ref = event->next;
	}
	ct_timeline_merge(&table->arena, table->store, timeline, &snapshot, &runs);
	ct_timeline_fold(&table->arena, table->store, timeline, at, &snapshot, &runs, &state);
	*instants = 0;
	*latest = 1000000;
	while (ct_timeline_step(&table->arena, table->store, timeline, &at, *latest, &snapshot, &runs, &state))
		++*instants;
	if (!ct_timeline_latest(&table->arena, table->store, timeline, latest, &snapshot, &runs))
		*latest = -1;
	ct_timeline_fold(&table->arena, table->store, timeline, time, &snapshot, &runs, &state);
	return state;
}

static void
assert_seen(const Table *table, int64_t time, uint64_t xmax, int64_t sum, int instants, int64_t latest)
{
	int found;
	int64_t last;
	CtState state = seen_state(table, time, xmax, &found, &last);

	assert_true(state.present);
	assert_int_equal(state_int(&state, SUM_ATTR), sum);
	assert_int_equal(found, instants);
	assert_int_equal(last, latest);
}

/* Copies at three instants, in every order of arrival, beside 200 other events: the first counts. */
static void
copies(void **state)
{
	static const int order[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	(void) state;
	for (int n = 0; n < 12; n++)
	{
		Table table = keyed_table();
		Event copy[3] = {addition(20, 5000, 7), addition(120, 5000, 7), of_kind(180, CT_SNAPSHOT, 70000, 7)};
		int64_t least = OPEN;
		CtState now;

		for (int64_t i = 0; i < 200 && n >= 6; i++)
		{
			Event other = addition(i, 1, i % 2 == 0 ? i + 1000 : 0);

			table_enter(&table, KEY, &other, 3, NEVER);
		}
		if (n < 6)
		{
			Event other = addition(0, 200, 0);

			table_enter(&table, KEY, &other, 3, NEVER);
		}
		for (int i = 0; i < 3; i++)
		{
			const Event *event = &copy[order[n % 6][i]];
			int64_t expected;

			least = event->change.time < least ? event->change.time : least;
			expected = least == 180 ? 70000 + (n < 6 ? 0 : 19) : 5200;
			assert_int_equal(table_add(&table, KEY, event, 10 + (uint64_t) i), CT_OK);
			assert_seen(&table, 500, 11 + (uint64_t) i, expected, n < 6 ? 2 : 200, n < 6 ? least : 199);
			assert_int_equal(table_enter_all(&table), CT_OK);
			assert_seen(&table, 500, 11 + (uint64_t) i, expected, n < 6 ? 2 : 200, n < 6 ? least : 199);
			if (i > 0)
				assert_int_equal(table_stats(&table).recent, i);
			table_validate(&table);
		}

		/* Each snapshot decides by what it sees. */
		for (int i = 0; i < 3; i++)
		{
			least = copy[order[n % 6][0]].change.time;
			for (int j = 1; j <= i; j++)
				least = copy[order[n % 6][j]].change.time < least ? copy[order[n % 6][j]].change.time : least;
			assert_seen(&table, 500, 11 + (uint64_t) i, least == 180 ? 70000 + (n < 6 ? 0 : 19) : 5200,
						n < 6 ? 2 : 200, n < 6 ? least : 199);
		}
		table_settle_all(&table);
		table_validate(&table);
		assert_int_equal(table_stats(&table).recent, 0);
		assert_int_equal(table_stats(&table).duplicates + table_stats(&table).conflicts, 2);
		assert_true(table_stats(&table).duplicates >= (order[n % 6][0] != 2));
		now = table_state(&table, KEY, 20);
		assert_int_equal(state_int(&now, SUM_ATTR), 5000 + (n < 6 ? 200 : 21));
		now = table_state(&table, KEY, 500);
		assert_int_equal(state_int(&now, SUM_ATTR), 5200);
		table_free(&table);
	}
}

/* Two copies of one transaction; and an instant, kind or content that decides. */
static void
first_in_order(void **state)
{
	Table table = keyed_table();
	Event late = addition(30, 10, 1);
	Event early = addition(10, 10, 1);
	Event event = addition(50, 3, 2);
	Event finish = of_kind(50, CT_FINISH, 0, 2);
	Event more = addition(70, 9, 3);
	Event less = addition(70, 4, 3);
	CtState now;

	(void) state;
	assert_int_equal(table_add(&table, KEY, &late, 5), CT_OK);
	assert_int_equal(table_add(&table, KEY, &early, 5), CT_OK);
	assert_seen(&table, 40, 6, 10, 1, 10);
	assert_int_equal(table_enter_all(&table), CT_OK);
	assert_seen(&table, 40, 6, 10, 1, 10);
	table_settle_all(&table);
	assert_seen(&table, 40, 6, 10, 1, 10);

	/* A finish comes before an event of its instant. */
	table_enter(&table, KEY, &event, 6, NEVER);
	table_enter(&table, KEY, &finish, 7, NEVER);
	assert_seen(&table, 60, 7, 13, 2, 50);
	assert_false(seen_state(&table, 60, 8, &(int){0}, &(int64_t){0}).present);
	table_settle_all(&table);
	table_validate(&table);
	assert_false(table_state(&table, KEY, 60).present);
	assert_int_equal(table_stats(&table).conflicts, 1);
	assert_int_equal(table_stats(&table).duplicates, 1);

	table_enter(&table, KEY, &more, 8, NEVER);
	table_enter(&table, KEY, &less, 9, NEVER);
	assert_seen(&table, 80, 9, 9, 3, 70);
	assert_seen(&table, 80, 10, 4, 3, 70);
	table_settle_all(&table);
	now = table_state(&table, KEY, 80);
	assert_int_equal(state_int(&now, SUM_ATTR), 4);
	table_validate(&table);
	table_free(&table);
}

/* What was read where the copies are differs afterwards: it is reported. */
static void
notices(void **state)
{
	Table table = keyed_table();
	Event base = addition(0, 1, 0);
	Event fixed = of_kind(50, CT_SNAPSHOT, 100, 9);
	Event end = of_kind(80, CT_SNAPSHOT, 7, 0x100);
	Event early = addition(20, 10, 9);
	Event late = addition(90, 10, 9);
	CtChanged changed;

	(void) state;
	table_enter(&table, KEY, &base, 3, NEVER);
	table_enter(&table, KEY, &fixed, 4, NEVER);
	table_enter(&table, KEY, &end, 5, NEVER);
	table_settle_all(&table);

	/* A later copy changes nothing; an earlier one what it does, and what the entered one did. */
	changed = table_enter(&table, KEY, &late, 6, OPEN);
	assert_int_equal(changed.events, 0);
	table_settle_all(&table);
	changed = table_enter(&table, KEY, &early, 7, OPEN);
	assert_int_equal(changed.events, 1);
	assert_int_equal(changed.from, 20);
	assert_int_equal(changed.to, 80); /* the one at 50 no longer counts */
	assert_seen(&table, 60, 7, 100, 3, 80);
	assert_seen(&table, 60, 8, 11, 3, 80);
	table_settle_all(&table);
	table_validate(&table);
	table_free(&table);
}

/* A copy that was read, before an earlier one committed that entered before it: it no longer counts. */
static void
overtaken(void **state)
{
	Table table = keyed_table();
	Event base = of_kind(30, CT_SNAPSHOT, 100, 0x100);
	Event first = addition(20, 10, 9);
	Event named = event_at(50, CT_EVENT);
	int64_t served = OPEN;
	CtChanged changed = {0};
	CtRef batch;

	(void) state;
	event_text(&named, NAME_ATTR, "read");
	event_int(&named, ID_ATTR, 9);
	table_enter(&table, KEY, &base, 3, NEVER);
	table_settle_all(&table);
	assert_int_equal(table_add(&table, KEY, &named, 10), CT_OK);
	assert_int_equal(table_add(&table, KEY, &first, 9), CT_OK);
	assert_non_null(ct_store_first_batch(&table.arena, table.store, &batch));
	assert_non_null(ct_store_next_batch(&table.arena, &batch));
	assert_int_equal(ct_store_enter(&table.arena, table.store, batch, 10, &served, &changed), CT_OK);
	assert_int_equal(changed.events, 1);
	assert_int_equal(changed.from, 20);
	assert_int_equal(changed.to, 30);
	changed = (CtChanged){0};
	assert_non_null(ct_store_first_batch(&table.arena, table.store, &batch));
	assert_int_equal(ct_store_enter(&table.arena, table.store, batch, 10, &served, &changed), CT_OK);
	assert_int_equal(changed.events, 1);
	assert_int_equal(changed.from, 50);
	assert_int_equal(changed.to, OPEN);
	table_settle_all(&table);
	table_validate(&table);
	assert_int_equal(table_state(&table, KEY, 60).value[NAME_ATTR].bytes, strlen("none"));
	table_free(&table);
}

static void
retain(Table *table, int64_t from)
{
	CtStatus status;

	do
		status = ct_store_retain(&table->arena, table->store, from, 1000);
	while (status == CT_MORE);
	assert_int_equal(status, CT_OK);
	table_validate(table);
}

/* An id is known as long as its event is retained, or a copy has not been settled. */
static void
forgotten(void **state)
{
	for (int pending = 0; pending < 3; pending++)
	{
		Table table = keyed_table();
		Event copy = addition(600, 1000, 1);
		uint64_t young = 20;
		CtState now;

		(void) state;
		for (int64_t i = 0; i < 500; i++)
		{
			Event event = addition(i, 1, i + 1);

			table_enter(&table, KEY, &event, 3, NEVER);
		}
		table_settle_all(&table);
		assert_int_equal(table_stats(&table).frozen, 500);
		if (pending > 0)
			assert_int_equal(table_add(&table, KEY, &copy, young), CT_OK);
		if (pending > 1)
			assert_int_equal(table_enter_all(&table), CT_OK);
		retain(&table, 400);
		if (pending == 0)
		{
			assert_true(table_stats(&table).folded > 200);
			table_enter(&table, KEY, &copy, young, NEVER);
			table_settle_all(&table);
			now = table_state(&table, KEY, 700);
			assert_int_equal(state_int(&now, SUM_ATTR), 1500); /* it is another event by now */
		}
		else
		{
			assert_int_equal(table_stats(&table).folded, 0);
			assert_seen(&table, 700, young, 500, 500, 499);
			assert_seen(&table, 700, young + 1, 500, 500, 499);
			assert_int_equal(table_enter_all(&table), CT_OK);
			table_settle_all(&table);
			now = table_state(&table, KEY, 700);
			assert_int_equal(state_int(&now, SUM_ATTR), 500);
			retain(&table, 400); /* it goes on, as the copy has been settled */
			assert_true(table_stats(&table).folded > 200);
		}
		table_free(&table);
	}
}

/* Many ids: all are found, and what they take is given back. */
static void
many_ids(void **state)
{
	Table table = keyed_table();
	uint64_t before = 0;

	(void) state;
	for (int round = 0; round < 2; round++)
	{
		for (int64_t i = 0; i < 20000; i++)
		{
			Event event = addition(i, 1, (i * 7919) % 20011 + 1);

			table_enter(&table, KEY, &event, 3, NEVER);
		}
		if (round == 0)
			table_settle_all(&table);
		if (round == 0)
			before = table_stats(&table).bytes;
	}
	table_validate(&table);
	assert_int_equal(table_stats(&table).frozen, 20000);
	assert_int_equal(table_stats(&table).recent, 20000);
	table_settle_all(&table);
	table_validate(&table);
	assert_int_equal(table_stats(&table).duplicates, 20000);
	assert_int_equal(table_stats(&table).bytes, before);
	retain(&table, 30000);
	assert_true(table_stats(&table).bytes < before / 10);
	table_free(&table);
}

/* The identity of events stays as long as there are any. */
static void
redefined(void **state)
{
	Table table = keyed_table();
	const CtSchema *is = ct_store_schema(&table.arena, table.store);
	CtSchema *schema = malloc(is->size);
	Event event = addition(1, 1, 1);

	(void) state;
	memcpy(schema, is, is->size);
	schema->id_of_key = false;
	assert_int_equal(ct_store_widen(&table.arena, table.store, schema), CT_BROKEN);
	assert_int_equal(ct_store_redefine(&table.arena, table.store, schema), CT_OK);
	schema->id_of_key = true;
	assert_int_equal(ct_store_redefine(&table.arena, table.store, schema), CT_OK);
	table_enter(&table, KEY, &event, 3, NEVER);
	schema->id_of_key = false;
	assert_int_equal(ct_store_redefine(&table.arena, table.store, schema), CT_BROKEN);
	free(schema);
	table_free(&table);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies),
		cmocka_unit_test(first_in_order),
		cmocka_unit_test(notices),
		cmocka_unit_test(overtaken),
		cmocka_unit_test(forgotten),
		cmocka_unit_test(many_ids),
		cmocka_unit_test(redefined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
