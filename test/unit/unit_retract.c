/*
 * unit_retract.c
 *	  Retractions in small histories: every order in which events and retractions
 *	  enter, and the ranges of instants that change.
 */
#include <stdlib.h>
#include <string.h>

#include "table.h"

#define OPEN INT64_MAX
#define NEVER INT64_MIN /* no instant was read */

/* The events of transactions that have committed one after the other. */
typedef struct Write
{
	uint64_t top;
	int64_t value;
	bool retracts;
} Write;

static void
add(Table *table, const Write *write)
{
	Event event = event_at(5, CT_EVENT);

	event_int(&event, SUM_ATTR, write->value);
	event_int(&event, ID_ATTR, 1);
	event.change.retracts = write->retracts;
	assert_int_equal(table_add(table, 1, &event, write->top), CT_OK);
}

/* The batch at a position in the queue; 0 is the first. */
static CtRef
batch_at(const Table *table, uint32_t i)
{
	CtRef batch;

	assert_non_null(ct_store_first_batch(&table->arena, table->store, &batch));
	while (i-- > 0)
		assert_non_null(ct_store_next_batch(&table->arena, &batch));
	return batch;
}

static CtChanged
enter(Table *table, uint32_t i, int64_t served)
{
	CtChanged changed = {0};

	assert_int_equal(ct_store_enter(&table->arena, table->store, batch_at(table, i), 10, &served, &changed), CT_OK);
	return changed;
}

/*
 * A row is written, deleted, written again, and updated.  The digits of
 * `order`, in factorial base, say which batch is the next to enter.
 */
static void
live(const Write *write, uint32_t count, uint32_t order, bool eagerly)
{
	Table table = table_make(50);
	Event other = event_at(0, CT_EVENT);
	CtStats stats;
	CtState state;

	for (uint32_t i = 0; i < count; i++)
	{
		add(&table, &write[i]);
		assert_int_equal(table_add(&table, 2, &other, 1000 + i), CT_OK); /* ends the batch */
	}
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(ct_store_drop(&table.arena, table.store, batch_at(&table, i + 1), 1), CT_OK);
	for (uint32_t left = count; left > 0; left--)
	{
		(void) enter(&table, order % left, NEVER);
		order /= left;
		table_validate(&table);
		if (eagerly)
			table_settle_all(&table);
		table_validate(&table);
	}
	table_settle_all(&table);
	table_validate(&table);
	state = table_state(&table, 1, 5);
	assert_int_equal(state_int(&state, SUM_ATTR), write[count - 1].value);
	stats = table_stats(&table);
	assert_int_equal(stats.retracted, 2);
	assert_int_equal(stats.unmatched + stats.conflicts + stats.duplicates, 0);
	assert_int_equal(stats.frozen, 1);
	assert_int_equal(stats.recent + stats.young, 0);
	table_free(&table);
}

static void
any_order(void **state)
{
	static const int64_t values[][3] = {
		{10, 20, 30}, {30, 20, 10}, {10, 30, 20}, {10, 20, 10}, {10, 10, 20}, {10, 10, 10}};

	(void) state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
	{
		Write write[] = {{10, values[i][0], false},
						 {11, values[i][0], true},
						 {12, values[i][1], false},
						 {13, values[i][1], true},
						 {13, values[i][2], false}};

		for (uint32_t order = 0; order < 120; order++)
		{
			live(write, 5, order, false);
			live(write, 5, order, true);
		}
	}
}

/* A retraction waits while its event may still enter; if the event never does, it is counted as unmatched. */
static void
unmatched(void **state)
{
	Table table = table_make(50);

	(void) state;
	add(&table, &(Write){11, 7, false});
	add(&table, &(Write){12, 7, true});
	(void) enter(&table, 1, NEVER);
	table_settle_all(&table);
	assert_int_equal(table_stats(&table).unmatched, 0);
	assert_int_equal(table_stats(&table).recent, 2);
	assert_int_equal(ct_store_drop(&table.arena, table.store, batch_at(&table, 0), 1), CT_OK);
	table_settle_all(&table);
	table_validate(&table);
	assert_int_equal(table_stats(&table).unmatched, 1);
	assert_int_equal(table_stats(&table).keys, 0);
	table_free(&table);
}

/* In a store that keeps duplicates, a duplicate stays until one of the two is retracted. */
static void
kept(void **state)
{
	Table table = table_make(50);
	CtState found;

	(void) state;
	ct_store_keep(&table.arena, table.store);
	add(&table, &(Write){11, 10, false});
	add(&table, &(Write){12, 20, false});
	(void) enter(&table, 0, NEVER);
	(void) enter(&table, 0, NEVER);
	table_settle_all(&table);
	table_validate(&table);
	assert_int_equal(table_stats(&table).conflicts, 1);
	assert_int_equal(table_stats(&table).recent, 1);
	add(&table, &(Write){13, 10, true});
	(void) enter(&table, 0, NEVER);
	table_settle_all(&table);
	table_validate(&table);
	assert_int_equal(table_stats(&table).recent, 0);
	found = table_state(&table, 1, 5);
	assert_int_equal(state_int(&found, SUM_ATTR), 20);
	add(&table, &(Write){14, 10, true});
	(void) enter(&table, 0, NEVER);
	table_settle_all(&table);
	table_validate(&table);
	assert_int_equal(table_stats(&table).unmatched, 1);
	assert_int_equal(table_stats(&table).recent, 1);
	table_free(&table);
}

/* ---- changed ranges ------------------------------------------------------------ */

enum
{
	LINE_ATTR = 2, /* bigint, last, linear */
	EVENT_ATTR,    /* bigint, event id */
	NATTRS
};

static Table
line_table(void)
{
	size_t size = sizeof(CtSchema) + NATTRS * sizeof(CtAttr);
	CtSchema *schema = calloc(1, size);
	Table table;

	schema->size = (uint32_t) size;
	schema->nattrs = NATTRS;
	schema->id_attr = EVENT_ATTR;
	schema->id_order = CT_ORDER_SIGNED;
	for (int i = LINE_ATTR; i < NATTRS; i++)
	{
		schema->attr[i].rule = CT_RULE_LAST;
		schema->attr[i].rate_attr = -1;
	}
	schema->attr[LINE_ATTR].number = CT_NUMBER_INT;
	schema->attr[LINE_ATTR].linear = true;
	table = table_make_of(schema, 50);
	free(schema);
	return table;
}

/* Enter an event that sets the value at an instant, with an id or without; or its retraction. */
static CtChanged
line(Table *table, int64_t time, int64_t value, bool has_id, bool retracts, int64_t served)
{
	Event event = event_at(time, CT_EVENT);

	event_int(&event, LINE_ATTR, value);
	if (has_id)
		event_int(&event, EVENT_ATTR, 1);
	event.change.retracts = retracts;
	return table_enter(table, 1, &event, 10, served);
}

#define assert_changed(changed_, from_, to_) \
	do                                       \
	{                                        \
		CtChanged c_ = (changed_);           \
		assert_int_equal(c_.events, 1);      \
		assert_int_equal(c_.from, from_);    \
		assert_int_equal(c_.to, to_);        \
	} while (0)

/* A retraction changes the line from the event before it to the event after it. */
static void
lines(void **state)
{
	(void) state;
	for (int has_id = 0; has_id < 2; has_id++)
	{
		for (int64_t served = 5; served <= 20; served += 15)
		{
			Table table = line_table();

			(void) line(&table, 0, 0, has_id, false, NEVER);
			(void) line(&table, 10, 10, has_id, false, NEVER);
			(void) line(&table, 30, 40, has_id, false, NEVER);
			assert_changed(line(&table, 10, 10, has_id, true, served), 0, 30);
			table_settle_all(&table);
			assert_changed(line(&table, 30, 40, has_id, true, served), 0, OPEN);
			table_settle_all(&table);
			assert_int_equal(line(&table, 0, 0, has_id, true, -1).events, 0);
			table_free(&table);
		}
	}
}

/* A retracted event is written again, before its retraction is settled. */
static void
written_again(void **state)
{
	Table table = line_table();

	(void) state;
	(void) line(&table, 10, 10, true, false, 20);
	assert_changed(line(&table, 10, 10, true, true, 20), 10, OPEN);
	assert_changed(line(&table, 10, 10, true, false, 20), INT64_MIN, OPEN);
	table_settle_all(&table);
	assert_int_equal(table_stats(&table).retracted, 1);
	assert_int_equal(table_stats(&table).duplicates, 0);
	assert_int_equal(table_stats(&table).frozen, 1);
	table_free(&table);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order),
		cmocka_unit_test(unmatched),
		cmocka_unit_test(kept),
		cmocka_unit_test(lines),
		cmocka_unit_test(written_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
