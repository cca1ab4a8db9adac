/*
 * unit_between.c
 *	  Columns that change between events: their values in small histories, and the
 *	  exact range of instants that an event changes.
 */
#include <stdlib.h>
#include <string.h>

#include "table.h"

enum
{
	LINE_ATTR = 2, /* bigint, last, linear, initial 5 */
	PLACE_ATTR,    /* bigint, last, its rate is SPEED_ATTR */
	PUSHED_ATTR,   /* bigint, sum, its rate is SPEED_ATTR, initial 100 */
	SPEED_ATTR,    /* bigint, last */
	EVENT_ATTR,    /* bigint, event id */
	NATTRS
};

#define OPEN INT64_MAX
#define NEVER INT64_MIN /* no instant was read */

static Table
setup(void)
{
	size_t size = sizeof(CtSchema) + NATTRS * sizeof(CtAttr);
	CtSchema *schema = calloc(1, size);
	Table table;

	schema->size = (uint32_t) size;
	schema->nattrs = NATTRS;
	schema->id_attr = EVENT_ATTR;
	schema->id_order = CT_ORDER_SIGNED;
	schema->has_rates = true;
	for (int i = LINE_ATTR; i < NATTRS; i++)
	{
		CtAttr *attr = &schema->attr[i];

		attr->rule = i == PUSHED_ATTR ? CT_RULE_SUM : CT_RULE_LAST;
		attr->number = i == EVENT_ATTR ? CT_NUMBER_NONE : CT_NUMBER_INT;
		attr->linear = i == LINE_ATTR;
		attr->rate_attr = i == PLACE_ATTR || i == PUSHED_ATTR ? SPEED_ATTR : -1;
	}
	schema->attr[LINE_ATTR].has_initial = schema->attr[PUSHED_ATTR].has_initial = true;
	schema->attr[LINE_ATTR].initial = ct_wide_from_int64(5);
	schema->attr[PUSHED_ATTR].initial = ct_wide_from_int64(100);
	table = table_make_of(schema, 100);
	free(schema);
	return table;
}

/* Enter an event that sets one attribute. */
static CtChanged
enter(Table *table, int64_t time, int attr, int64_t value, int64_t served)
{
	Event event = event_at(time, CT_EVENT);

	event_int(&event, attr, value);
	return table_enter(table, 1, &event, 10, served);
}

static CtChanged
enter_kind(Table *table, int64_t time, CtKind kind, int null_attr, int64_t served)
{
	Event event = event_at(time, kind);

	if (null_attr > 0)
		event_null(&event, null_attr);
	return table_enter(table, 1, &event, 10, served);
}

static int64_t
value_at(const Table *table, int attr, int64_t time)
{
	CtState state = table_state(table, 1, time);

	return state_int(&state, attr);
}

#define assert_nothing(changed) assert_int_equal((changed).events, 0)

#define assert_changed(changed_, from_, to_) \
	do                                       \
	{                                        \
		CtChanged c_ = (changed_);           \
		assert_int_equal(c_.events, 1);      \
		assert_int_equal(c_.from, from_);    \
		assert_int_equal(c_.to, to_);        \
	} while (0)

/* ---- what is shown ----------------------------------------------------------- */

static void
lines(void **state)
{
	CtSnapshot now = {.xmin = UINT64_MAX, .xmax = UINT64_MAX, .until = 15};
	Table table = setup();
	CtState shown;

	(void) state;
	enter(&table, 0, SPEED_ATTR, 0, NEVER);
	enter(&table, 10, LINE_ATTR, 0, NEVER);
	enter(&table, 20, LINE_ATTR, 7, NEVER);
	assert_int_equal(value_at(&table, LINE_ATTR, 5), 5); /* no line from the initial value */
	assert_int_equal(value_at(&table, LINE_ATTR, 10), 0);
	assert_int_equal(value_at(&table, LINE_ATTR, 15), 4); /* 3.5 */
	assert_int_equal(value_at(&table, LINE_ATTR, 20), 7);
	assert_int_equal(value_at(&table, LINE_ATTR, 99), 7);
	ct_timeline_fold(&table.arena, table.store, table_find(&table, 1), 15, &now, NULL, &shown);
	assert_int_equal(state_int(&shown, LINE_ATTR), 0); /* a read of now does not look ahead */
	now.until = 20;
	ct_timeline_fold(&table.arena, table.store, table_find(&table, 1), 15, &now, NULL, &shown);
	assert_int_equal(state_int(&shown, LINE_ATTR), 4);

	enter_kind(&table, 30, CT_EVENT, LINE_ATTR, NEVER);
	enter(&table, 40, LINE_ATTR, 100, NEVER);
	assert_int_equal(value_at(&table, LINE_ATTR, 25), 7); /* before a NULL the value is constant */
	shown = table_state(&table, 1, 35);
	assert_int_equal(shown.value[LINE_ATTR].kind, CT_VALUE_NULL);
	enter_kind(&table, 50, CT_FINISH, 0, NEVER);
	assert_int_equal(value_at(&table, LINE_ATTR, 45), 100); /* and before a finish */
	enter(&table, 60, SPEED_ATTR, 0, NEVER);
	enter(&table, 70, LINE_ATTR, 0, NEVER);
	assert_int_equal(value_at(&table, LINE_ATTR, 65), 5); /* a new life */
	table_validate(&table);
	table_free(&table);
}

static void
motion(void **state)
{
	Table table = setup();
	CtState shown;

	(void) state;
	enter(&table, 10, SPEED_ATTR, 3, NEVER);
	shown = table_state(&table, 1, 20);
	assert_int_equal(shown.value[PLACE_ATTR].kind, CT_VALUE_NULL);
	assert_int_equal(value_at(&table, PUSHED_ATTR, 20), 130); /* from the initial value on */
	enter(&table, 20, PLACE_ATTR, 1000, NEVER);
	enter(&table, 20, PUSHED_ATTR, 5, NEVER);
	assert_int_equal(value_at(&table, PLACE_ATTR, 22), 1006);
	assert_int_equal(value_at(&table, PUSHED_ATTR, 22), 141);
	enter_kind(&table, 30, CT_EVENT, SPEED_ATTR, NEVER);
	assert_int_equal(value_at(&table, PLACE_ATTR, 99), 1030);
	enter_kind(&table, 40, CT_EVENT, PUSHED_ATTR, NEVER);
	enter(&table, 50, SPEED_ATTR, -1, NEVER);
	enter(&table, 60, PUSHED_ATTR, 7, NEVER);
	assert_int_equal(value_at(&table, PUSHED_ATTR, 61), 106);
	assert_int_equal(value_at(&table, PLACE_ATTR, OPEN), 1020); /* the value at the last event */
	enter(&table, 0, SPEED_ATTR, 1, NEVER);                     /* late */
	assert_int_equal(value_at(&table, PUSHED_ATTR, 9), 109);
	assert_int_equal(value_at(&table, PUSHED_ATTR, 20), 145);
	assert_int_equal(value_at(&table, PUSHED_ATTR, 61), 106);
	table_validate(&table);
	table_free(&table);
}

/* ---- what changes ------------------------------------------------------------ */

static void
changed_lines(void **state)
{
	Table table = setup();

	(void) state;
	enter(&table, 10, LINE_ATTR, 0, NEVER);
	assert_nothing(enter(&table, 30, LINE_ATTR, 20, 9));
	assert_changed(enter(&table, 50, LINE_ATTR, 40, 30), 30, OPEN);

	/* late events: on the line, and off the line */
	assert_nothing(enter(&table, 20, LINE_ATTR, 10, NEVER));
	assert_changed(enter(&table, 40, LINE_ATTR, 31, NEVER), 30, 50);
	enter(&table, 45, SPEED_ATTR, 0, NEVER);
	/* an event before which the value is constant */
	assert_changed(enter_kind(&table, 15, CT_EVENT, LINE_ATTR, NEVER), 10, 20);
	assert_changed(enter_kind(&table, 35, CT_FINISH, 0, NEVER), 30, 40);
	assert_nothing(enter_kind(&table, 36, CT_FINISH, 0, NEVER));
	/* a constant value, followed by an equal one */
	enter(&table, 60, LINE_ATTR, 8, NEVER);
	assert_nothing(enter(&table, 70, LINE_ATTR, 8, 65));
	/* no line goes from the initial value to the first event */
	assert_changed(enter(&table, 5, LINE_ATTR, 0, NEVER), 5, 10);
	assert_nothing(enter(&table, 8, LINE_ATTR, 0, NEVER));
	assert_changed(enter(&table, 2, SPEED_ATTR, 0, NEVER), 2, 35);
	table_validate(&table);
	table_free(&table);
}

static void
changed_motion(void **state)
{
	Table table = setup();
	Event both = event_at(80, CT_EVENT);

	(void) state;
	event_int(&both, PLACE_ATTR, 7);
	event_int(&both, SPEED_ATTR, 7);
	enter(&table, 0, SPEED_ATTR, 1, NEVER);
	enter(&table, 0, PLACE_ATTR, 0, NEVER);
	enter(&table, 0, PUSHED_ATTR, 0, NEVER);
	enter(&table, 50, PLACE_ATTR, 100, NEVER);
	table_enter(&table, 1, &both, 10, NEVER);
	enter(&table, 90, PLACE_ATTR, 7, NEVER);

	/* a position changes until the next one; an equal position changes nothing */
	assert_changed(enter(&table, 20, PLACE_ATTR, 3, NEVER), 20, 50);
	assert_nothing(enter(&table, 30, PLACE_ATTR, 13, NEVER));
	assert_changed(enter(&table, 60, PLACE_ATTR, 3, NEVER), 60, 80);
	/* an equal rate, and adding 0, change nothing */
	assert_nothing(enter(&table, 20, SPEED_ATTR, 1, NEVER));
	assert_nothing(enter(&table, 20, PUSHED_ATTR, 0, NEVER));
	assert_changed(enter(&table, 20, PUSHED_ATTR, 1, NEVER), 20, OPEN);
	/* what was added changes the sum for ever; without the sum, until both are set */
	assert_changed(enter(&table, 70, SPEED_ATTR, 2, NEVER), 70, OPEN);
	enter_kind(&table, 85, CT_EVENT, PUSHED_ATTR, NEVER);
	assert_changed(enter(&table, 65, SPEED_ATTR, 2, NEVER), 65, 85);
	table_validate(&table);
	table_free(&table);
}

/* Many blocks, most of which do not set the attribute. */
static void
changed_far(void **state)
{
	Table table = setup();

	(void) state;
	enter(&table, 0, LINE_ATTR, 0, NEVER);
	enter(&table, 0, PLACE_ATTR, 0, NEVER);
	for (int i = 1; i < 2000; i++)
		enter(&table, i, SPEED_ATTR, i % 7, NEVER);
	enter(&table, 2000, LINE_ATTR, 2000, NEVER);
	enter(&table, 2000, PLACE_ATTR, 0, NEVER);
	for (int i = 2001; i < 4000; i++)
		enter(&table, i, SPEED_ATTR, 0, NEVER);
	assert_int_equal(value_at(&table, LINE_ATTR, 1234), 1234);
	assert_int_equal(value_at(&table, PLACE_ATTR, 71), 10 * 21);
	assert_int_equal(value_at(&table, PLACE_ATTR, 3000), 1999 % 7);
	assert_int_equal(value_at(&table, PUSHED_ATTR, OPEN), 100 + 285 * 21 + 1 + 2 + 3 + 4 + 4);
	assert_changed(enter(&table, 5, PLACE_ATTR, 3, NEVER), 5, 2000);
	assert_nothing(enter(&table, 1000, LINE_ATTR, 1000, NEVER));
	assert_changed(enter(&table, 900, LINE_ATTR, 1000, NEVER), 0, 1000);
	assert_int_equal(value_at(&table, LINE_ATTR, 450), 500);
	table_validate(&table);
	table_free(&table);
}

/* Of two duplicates the first by content stays; the change is reported when both have committed. */
static void
changed_duplicates(void **state)
{
	Table table = setup();
	Event nine = event_at(20, CT_EVENT);
	Event four = event_at(20, CT_EVENT);

	(void) state;
	event_int(&nine, LINE_ATTR, 9);
	event_int(&nine, EVENT_ATTR, 1);
	event_int(&four, LINE_ATTR, 4);
	event_int(&four, EVENT_ATTR, 1);
	enter(&table, 10, LINE_ATTR, 0, NEVER);
	assert_changed(table_enter(&table, 1, &nine, 11, 12), 10, OPEN);
	assert_changed(table_enter(&table, 1, &four, 12, 12), 10, OPEN); /* it waits */
	assert_int_equal(value_at(&table, LINE_ATTR, 15), 5);
	assert_int_equal(ct_store_settle(&table.arena, table.store, 100, 100), CT_OK);
	assert_int_equal(value_at(&table, LINE_ATTR, 15), 2);
	table_validate(&table);
	table_free(&table);
}

/* An attribute with a rate cannot be added later: no event has moved it so far. */
static void
added(void **state)
{
	Table table = setup();
	const CtSchema *is = ct_store_schema(&table.arena, table.store);
	CtSchema *wider = calloc(1, is->size + sizeof(CtAttr));

	(void) state;
	memcpy(wider, is, is->size);
	wider->nattrs++;
	wider->size += (uint32_t) sizeof(CtAttr);
	wider->attr[NATTRS] = is->attr[PLACE_ATTR];
	assert_int_equal(ct_store_widen(&table.arena, table.store, wider), CT_BROKEN);
	wider->attr[NATTRS] = is->attr[LINE_ATTR];
	assert_int_equal(ct_store_widen(&table.arena, table.store, wider), CT_OK);
	enter(&table, 0, NATTRS, 0, NEVER);
	enter(&table, 10, NATTRS, 10, NEVER);
	assert_int_equal(value_at(&table, NATTRS, 3), 3);
	free(wider);
	table_free(&table);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(motion),
		cmocka_unit_test(changed_lines),
		cmocka_unit_test(changed_motion),
		cmocka_unit_test(changed_far),
		cmocka_unit_test(changed_duplicates),
		cmocka_unit_test(added),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
