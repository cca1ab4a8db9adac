/*
 * unit_timeline.c
 *	  One key's events in small histories: order, late events, duplicates, changed
 *	  ranges, limits.
 *
 * Random histories are in unit_random.c.
 */
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "engine/writer.h"
#include "table.h"

static uint64_t seed;

static Event
sum_event(int64_t time, int64_t sum)
{
	Event event = event_at(time, CT_EVENT);

	event_int(&event, SUM_ATTR, sum);
	return event;
}

static Event
identified(int64_t time, int64_t sum, int64_t id)
{
	Event event = sum_event(time, sum);

	event_int(&event, ID_ATTR, id);
	return event;
}

static void
shuffle(OracleSource *source, uint32_t *order, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		order[i] = i;
	for (uint32_t i = count; i > 1; i--)
	{
		uint32_t j = oracle_below(source, i);
		uint32_t other = order[i - 1];

		order[i - 1] = order[j];
		order[j] = other;
	}
}

/* ---- long timelines ---------------------------------------------------------- */

enum
{
	LONG = 100000
};

/* Event i is at instant i and adds i + 1. */
static void
check_long(const Table *table, OracleSource *source)
{
	for (int i = 0; i < 2000; i++)
	{
		int64_t time = (int64_t) oracle_below(source, LONG);
		CtState state = table_state(table, 1, time);

		assert_true(state.present);
		assert_int_equal(state_int(&state, SUM_ATTR), (time + 1) * (time + 2) / 2);
	}
}

static void
in_order(void **state)
{
	OracleSource source = oracle_random(seed);
	Table table = table_make(600);

	(void) state;
	for (int64_t i = 0; i < LONG; i++)
	{
		Event event = sum_event(i, i + 1);

		assert_int_equal(table_add(&table, 1, &event, 3 + (uint64_t) i / 1000), CT_OK);
		if (i % 1000 == 999)
			assert_int_equal(table_enter_all(&table), CT_OK);
	}
	check_long(&table, &source);
	table_settle_all(&table);
	assert_int_equal(table_stats(&table).late, 0);
	assert_int_equal(table_stats(&table).frozen, LONG);
	assert_int_equal(table_stats(&table).newest_entered, LONG - 1);
	check_long(&table, &source);
	table_validate(&table);
	table_free(&table);
}

static void
in_no_order(void **state)
{
	OracleSource source = oracle_random(seed);
	uint32_t *order = malloc(LONG * sizeof(uint32_t));
	Table table = table_make(600);

	(void) state;
	shuffle(&source, order, LONG);
	for (int i = 0; i < LONG; i++)
	{
		Event event = sum_event(order[i], order[i] + 1);

		assert_int_equal(table_add(&table, 1, &event, 3), CT_OK);
	}
	assert_int_equal(table_enter_all(&table), CT_OK);
	check_long(&table, &source);
	table_validate(&table);
	table_free(&table);
	free(order);
}

/* ---- arrival does not matter ------------------------------------------------- */

static Event
some_event(OracleSource *source)
{
	Event event = event_at((int64_t) oracle_below(source, 12), oracle_below(source, 12) == 0  ? CT_FINISH
															   : oracle_below(source, 5) == 0 ? CT_SNAPSHOT
																							  : CT_EVENT);

	if (event.change.kind != CT_FINISH)
	{
		event_int(&event, SUM_ATTR, (int64_t) oracle_below(source, 9) - 4);
		if (oracle_below(source, 4) == 0)
			event_null(&event, BOUNDED_ATTR);
		else if (oracle_below(source, 2) == 0)
			event_int(&event, BOUNDED_ATTR, (int64_t) oracle_below(source, 150) - 70);
		if (oracle_below(source, 2) == 0)
			event_text(&event, NAME_ATTR, oracle_below(source, 2) == 0 ? "a" : "bc");
	}
	if (oracle_below(source, 3) != 0)
		event_int(&event, ID_ATTR, (int64_t) oracle_below(source, 4));
	return event;
}

/* Added, entered and settled in one random order. */
static Table
replay(const Event *event, const uint32_t *order, uint32_t count, OracleSource *source)
{
	Table table = table_make(60);

	for (uint32_t i = 0; i < count; i++)
	{
		assert_int_equal(table_add(&table, 1, &event[order[i]], 3 + i), CT_OK);
		if (oracle_below(source, 3) == 0)
			assert_int_equal(table_enter_all(&table), CT_OK);
		if (oracle_below(source, 9) == 0)
			table_settle_all(&table);
	}
	assert_int_equal(table_enter_all(&table), CT_OK);
	table_settle_all(&table);
	table_validate(&table);
	return table;
}

static void
permutations(void **state)
{
	enum
	{
		EVENTS = 60
	};
	OracleSource source = oracle_random(seed);
	Event event[EVENTS];
	uint32_t order[EVENTS];

	(void) state;
	for (int history = 0; history < 30; history++)
	{
		Table first;

		for (int i = 0; i < EVENTS; i++)
		{
			event[i] = some_event(&source);
			order[i] = (uint32_t) i;
		}
		first = replay(event, order, EVENTS, &source);
		for (int n = 0; n < 10; n++)
		{
			Table other;

			shuffle(&source, order, EVENTS);
			other = replay(event, order, EVENTS, &source);
			for (int64_t time = -1; time < 13; time++)
			{
				CtState a = table_state(&first, 1, time);
				CtState b = table_state(&other, 1, time);

				assert_true(ct_state_equal(ct_store_schema(&first.arena, first.store), &a, &b));
			}
			assert_int_equal(table_stats(&first).frozen, table_stats(&other).frozen);
			table_free(&other);
		}
		table_free(&first);
	}
}

/* ---- changed ranges ------------------------------------------------------------ */

static Event
named(int64_t time, const char *name)
{
	Event event = event_at(time, CT_EVENT);

	event_text(&event, NAME_ATTR, name);
	return event;
}

/*
 * An event that changes no state is not reported.  If a late event before it enters
 * after it, however, the first one does change the state after the late one.
 */
static void
reported_in_any_order(void **state)
{
	Table table = table_make(60);
	CtKeyChanged keys[2];
	CtChanged changed = {.keys = keys};
	Event first = named(1, "none");
	Event late = named(4, "x");
	Event none = named(7, "none");
	int64_t served = 20;
	CtRef batch;

	(void) state;
	table_enter(&table, 1, &first, 10, INT64_MIN);
	assert_int_equal(table_enter(&table, 1, &none, 11, served).events, 0);
	none.change.time = 8;
	assert_int_equal(table_add(&table, 1, &none, 12), CT_OK);
	assert_int_equal(table_add(&table, 1, &late, 13), CT_OK);
	for (int i = 0; i < 2; i++)
	{
		assert_non_null(ct_store_first_batch(&table.arena, table.store, &batch));
		assert_int_equal(ct_store_enter(&table.arena, table.store, batch, 1, &served, &changed), CT_OK);
	}
	assert_int_equal(changed.events, 2);
	assert_int_equal(keys[0].from, 8);
	assert_int_equal(keys[0].to, INT64_MAX);
	assert_int_equal(keys[1].timeline, table_find(&table, 1));
	assert_int_equal(keys[1].from, 4);
	assert_int_equal(keys[1].to, 7);
	table_validate(&table);
	table_free(&table);
}

/*
 * An event is compared with the recent ones of its key: a call ends after a number of
 * comparisons, even if it entered few events.  (The lock is held meanwhile.)
 */
static void
work_is_bounded(void **state)
{
	Table table = table_make(60);
	CtKeyChanged keys[100];
	CtStatus status;
	CtRef batch;
	int calls = 0;

	(void) state;
	for (uint64_t i = 0; i < 100 * 100; i++)
	{
		Event event = event_at((int64_t) i, CT_EVENT);

		event_int(&event, SUM_ATTR, 1);
		assert_int_equal(table_add(&table, i % 100, &event, i < 100 ? 10 : 11), CT_OK);
	}
	assert_non_null(ct_store_first_batch(&table.arena, table.store, &batch));
	do
	{
		CtChanged changed = {.keys = keys};

		status = ct_store_enter(&table.arena, table.store, batch, 100, NULL, &changed);
		calls++;
	} while (status == CT_MORE);
	assert_int_equal(status, CT_OK);
	assert_int_equal(calls, 5); /* each call makes 2048 of 100 * 100 comparisons */
	assert_int_equal(table_enter_all(&table), CT_OK);
	assert_int_equal(table_stats(&table).recent, 0);
	table_validate(&table);
	table_free(&table);
}

/* ---- duplicates ------------------------------------------------------------------- */

static void
duplicates(void **state)
{
	Table table = table_make(60);
	Event five = identified(10, 5, 1);
	Event four = identified(10, 4, 1);
	Event six = identified(10, 6, 1);
	CtChanged changed;
	CtState now;

	(void) state;
	table_enter(&table, 1, &five, 10, INT64_MIN);
	table_enter(&table, 1, &five, 11, INT64_MIN);    /* a duplicate */
	changed = table_enter(&table, 1, &four, 12, 10); /* a conflict that it wins */
	assert_int_equal(changed.events, 1);
	assert_int_equal(changed.from, 10);
	assert_int_equal(changed.to, INT64_MAX);
	table_enter(&table, 1, &six, 13, INT64_MIN); /* a conflict that it loses */
	assert_int_equal(table_stats(&table).recent, 3);
	assert_int_equal(table_stats(&table).young, 1);
	now = table_state(&table, 1, 10);
	assert_int_equal(state_int(&now, SUM_ATTR), 5);

	/* no decision before every snapshot sees both */
	assert_int_equal(ct_store_settle(&table.arena, table.store, 11, 100), CT_OK);
	assert_int_equal(table_stats(&table).recent, 3);
	assert_int_equal(ct_store_settle(&table.arena, table.store, 12, 100), CT_OK);
	assert_int_equal(table_stats(&table).duplicates, 1);
	assert_int_equal(ct_store_settle(&table.arena, table.store, 14, 100), CT_OK);
	assert_int_equal(table_stats(&table).conflicts, 2);
	assert_int_equal(table_stats(&table).recent, 0);
	assert_int_equal(table_stats(&table).frozen, 1);
	now = table_state(&table, 1, 10);
	assert_int_equal(state_int(&now, SUM_ATTR), 4);

	/* without an id both count */
	table_validate(&table);
	five = sum_event(10, 5);
	table_enter(&table, 1, &five, 20, INT64_MIN);
	table_enter(&table, 1, &five, 21, INT64_MIN);
	now = table_state(&table, 1, 10);
	assert_int_equal(state_int(&now, SUM_ATTR), 14);
	table_free(&table);
}

/* ---- visits in pieces -------------------------------------------------------- */

enum
{
	VISITED = 2000, /* events at most */
	SNAPSHOT = 1000 /* it sees the transactions before */
};

typedef struct Visited
{
	uint32_t count;
	uint32_t kinds[CT_SNAPSHOT + 1];
	uint32_t enough; /* in one visit */
	struct
	{
		int64_t time;
		uint8_t kind;
		uint64_t set;
		int64_t sum;
		int64_t id;
	} event[VISITED];
} Visited;

static int64_t
raw_int(const CtRawEvent *raw, int attr)
{
	int64_t value = -1;

	if ((raw->set >> attr & 1) == 0)
		return -1;
	if (raw->value[attr].kind == CT_VALUE_IMAGE)
		memcpy(&value, raw->value[attr].image, sizeof(value));
	else
		assert_true(ct_wide_to_int64(raw->value[attr].number, &value));
	return value;
}

static bool
note_event(void *arg, const CtRawEvent *raw)
{
	Visited *visited = arg;

	if (visited->enough-- == 0)
		return false;
	assert_true(visited->count < VISITED);
	visited->kinds[raw->kind]++;
	visited->event[visited->count].time = raw->time;
	visited->event[visited->count].kind = raw->kind;
	visited->event[visited->count].set = raw->set;
	visited->event[visited->count].sum = raw_int(raw, SUM_ATTR);
	visited->event[visited->count++].id = raw_int(raw, ID_ATTR);
	return true;
}

/* Some at other instants; most at instant 5, many of them equal. */
static Event
event_at_five(OracleSource *source)
{
	int64_t time = oracle_below(source, 40) == 0 ? 3 + oracle_below(source, 5) : 5;
	uint32_t kind = oracle_below(source, 20);
	Event event = event_at(time, kind == 0 ? CT_FINISH : kind == 1 ? CT_SNAPSHOT
																   : CT_EVENT);

	if (kind == 0)
		return event;
	event_int(&event, SUM_ATTR, oracle_below(source, 4) == 0 ? oracle_below(source, 1000) : 7);
	if (oracle_below(source, 3) == 0)
		event_int(&event, ID_ATTR, oracle_below(source, 1000));
	return event;
}

/* Fill the stack, so that a visit finds nothing there that an earlier one has left. */
static void __attribute__((noinline))
scribble(void)
{
	volatile char bytes[8192];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char) 0xa5;
}

/* One more visit, of what the snapshot sees now. */
static bool
visit_on(const Table *table, CtPosition *position, uint32_t enough, Visited *visited)
{
	static CtRef extra[VISITED];
	static CtRef cancelled[VISITED];
	CtSnapshot snapshot = {.xmin = SNAPSHOT, .xmax = SNAPSHOT, .until = INT64_MAX};
	CtRuns runs = {.extra = extra, .cancelled = cancelled};
	CtRef timeline = table_find(table, 1);
	uint32_t count;
	bool ended;

	for (CtRef ref = ct_timeline_recent(&table->arena, timeline, &count); ref != 0;
		 ref = ((const CtEvent *) ct_ptr(&table->arena, ref))->next)
	{
		const CtEvent *event = ct_ptr(&table->arena, ref);

		if (event->top < SNAPSHOT)
		{
			runs.retracts |= event->retracts;
			extra[runs.nextra++] = ref;
		}
	}
	if (runs.nextra > 0)
		ct_timeline_merge(&table->arena, table->store, timeline, &snapshot, &runs);
	scribble();
	visited->enough = enough;
	ended = !ct_timeline_visit(&table->arena, table->store, timeline, position, INT64_MAX, &snapshot, &runs, note_event,
							   visited);
	if (ended)
		assert_in_range(position->visited - position->before, 0, 100 + runs.nextra);
	return ended;
}

/* Enter some recent events, freeze what is old, or add events that the snapshot does not see. */
static void
change_meanwhile(Table *table, OracleSource *source)
{
	CtChanged changed = {0};
	CtRef batch;
	Event event = event_at_five(source);
	int few = 1 + (int) oracle_below(source, 20);
	CtStatus status = CT_OK;

	switch (oracle_below(source, 6))
	{
		case 0:
			if (ct_store_first_batch(&table->arena, table->store, &batch) != NULL)
				status = ct_store_enter(&table->arena, table->store, batch, few, NULL, &changed);
			break;
		case 1:
			status = ct_store_settle(&table->arena, table->store, SNAPSHOT, 1000);
			break;
		case 2:
			assert_int_equal(table_add(table, 1, &event, SNAPSHOT + 5), CT_OK);
			break;
		default:
			break;
	}
	assert_true(status == CT_OK || status == CT_MORE);
}

/* Whatever happens between two visits, the second goes on where the first has ended. */
static void
visits_in_pieces(void **state)
{
	static Visited whole;
	static Visited pieces;
	static Event event[VISITED];
	OracleSource source = oracle_random(seed);

	(void) state;
	for (uint32_t enough = 1; enough <= 64; enough *= 2)
	{
		Table table = table_make(100);
		CtPosition position = {.time = INT64_MIN};
		uint32_t entered = 200 + oracle_below(&source, 800);

		for (uint32_t i = 0; i < entered + 300; i++)
		{
			uint32_t old = i < entered ? i : i - entered; /* entered, or entered and retracted */

			event[i] = event_at_five(&source);
			assert_int_equal(table_add(&table, 1, &event[i], 10 + i / 100), CT_OK);
			if (i == entered)
				assert_int_equal(table_enter_all(&table), CT_OK);
			if (event[old].change.retracts || oracle_below(&source, 8) != 0)
				continue;
			event[old].change.retracts = true;
			assert_int_equal(table_add(&table, 1, &event[old], 500 + i / 100), CT_OK);
		}
		memset(&whole, 0, sizeof(whole));
		memset(&pieces, 0, sizeof(pieces));
		assert_false(visit_on(&table, &position, UINT32_MAX, &whole));
		assert_true(whole.kinds[CT_FINISH] > 0 && whole.kinds[CT_EVENT] > 0 && whole.kinds[CT_SNAPSHOT] > 0);
		position = (CtPosition){.time = INT64_MIN};
		while (visit_on(&table, &position, enough, &pieces))
			change_meanwhile(&table, &source);
		assert_int_equal(pieces.count, whole.count);
		for (uint32_t i = 0; i < whole.count; i++)
			assert_memory_equal(&pieces.event[i], &whole.event[i], sizeof(whole.event[i]));
		table_validate(&table);
		table_free(&table);
	}
}

/* The argument of take_in_order(). */
typedef struct InOrder
{
	int64_t next; /* the instant of the next event */
	int left;     /* events that this visit takes */
} InOrder;

static bool
take_in_order(void *arg, const CtRawEvent *raw)
{
	InOrder *order = arg;

	if (order->left-- == 0)
		return false;
	assert_int_equal(raw->time, order->next++);
	return true;
}

/* Each visit goes on in a block below several inner nodes: none is missed, and none is seen twice. */
static void
visits_of_a_high_tree(void **state)
{
	enum
	{
		EVENTS = 60000
	};
	Table table = table_make(600);
	CtPosition position = {.time = INT64_MIN};
	InOrder order = {0};
	CtRuns runs = {0};
	CtRef timeline;

	(void) state;
	for (int i = 0; i < EVENTS; i++)
	{
		Event event = sum_event(i, 1);

		assert_int_equal(table_add(&table, 1, &event, 3), CT_OK);
		if (i % 1000 == 999)
			assert_int_equal(table_enter_all(&table), CT_OK);
	}
	timeline = table_find(&table, 1);
	do
	{
		scribble();
		order.left = 100;
	} while (!ct_timeline_visit(&table.arena, table.store, timeline, &position, INT64_MAX, NULL, &runs, take_in_order,
								&order));
	assert_int_equal(order.next, EVENTS);
	table_free(&table);
}

/* ---- late events ------------------------------------------------------------ */

#define TOLD 3000

typedef struct Told
{
	uint32_t count;
	int64_t time[TOLD];
	bool entered[TOLD];
	bool late[TOLD];
} Told;

static bool
hear(void *arg, const CtRawEvent *told)
{
	Told *heard = arg;

	assert_true(heard->count < TOLD);
	heard->time[heard->count] = told->time;
	heard->entered[heard->count] = told->entered;
	heard->late[heard->count++] = told->late;
	return true;
}

/* Fold all events of the key that have entered, and the given ones. */
static Told
tell(const Table *table, CtRef *extra, uint32_t nextra)
{
	static CtRef cancelled[2];
	CtSnapshot all = {.xmin = UINT64_MAX, .xmax = UINT64_MAX};
	CtRuns runs = {.extra = extra, .cancelled = cancelled, .nextra = nextra};
	CtRef timeline = table_find(table, 1);
	CtPosition position = {.time = INT64_MIN};
	Told told = {0};

	ct_timeline_merge(&table->arena, table->store, timeline, &all, &runs);
	assert_true(
		ct_timeline_visit(&table->arena, table->store, timeline, &position, INT64_MAX, &all, &runs, hear, &told));
	return told;
}

/* Whether an event was late is kept when leaves are closed, split, frozen and merged. */
static void
lateness(void **state)
{
	Table table = table_make(60);
	CtWriter writer;
	OracleSource source = oracle_random(seed);
	uint32_t order[TOLD];
	bool late[TOLD];
	uint32_t newest = 0;
	Told told;

	(void) state;
	for (uint32_t i = 0; i < TOLD; i++)
		order[i] = i;
	for (uint32_t i = 0; i < TOLD; i += 1 + oracle_below(&source, 5))
	{
		uint32_t j = oracle_below(&source, i + 1);
		uint32_t swap = order[i];

		order[i] = order[j];
		order[j] = swap;
	}
	for (uint32_t i = 0; i < TOLD; i++)
	{
		Event event = sum_event(order[i], 1);

		table_enter(&table, 1, &event, 10 + i / 100, INT64_MIN);
		late[order[i]] = order[i] < newest;
		newest = order[i] > newest ? order[i] : newest;
		if (i % 700 == 0)
			table_settle_all(&table);
	}
	for (int pass = 0; pass < 2; pass++)
	{
		told = tell(&table, NULL, 0);
		assert_int_equal(told.count, pass == 0 ? TOLD : TOLD / 4);
		for (uint32_t i = 0; i < told.count; i++)
		{
			assert_true(told.entered[i]);
			assert_int_equal(told.late[i], late[told.time[i]]);
		}
		table_settle_all(&table);
		writer = ct_writer(&table.arena, table.store);
		for (uint32_t i = 0; i < TOLD && pass == 0; i++)
		{
			Event event = sum_event(i, 1);

			event.change.payload = event.payload;
			if (i % 4 != 0)
				assert_int_equal(ct_timeline_unload(&writer, table_find(&table, 1), &event.change), CT_OK);
		}
		table_validate(&table);
	}
	table_free(&table);
}

/*
 * An event that waits and then takes its duplicate's place is late if it was late when it
 * began to wait; an event that has not entered is late if a later one has.
 */
static void
lateness_of_duplicates(void **state)
{
	Event five = identified(10, 5, 1);
	Event four = identified(10, 4, 1);
	Event behind = identified(20, 1, 2);

	(void) state;
	for (int waits_first = 0; waits_first < 2; waits_first++)
	{
		Table table = table_make(60);
		CtRef extra[1];
		uint32_t count;
		Told told;

		table_enter(&table, 1, &five, 10, INT64_MIN);
		assert_int_equal(table_add(&table, 1, waits_first ? &four : &behind, 11), CT_OK);
		extra[0] = ct_timeline_recent(&table.arena, table_find(&table, 1), &count);
		told = tell(&table, extra, 1);
		assert_int_equal(told.count, waits_first ? 1 : 2);
		assert_false(told.entered[told.count - 1] || told.late[0] || told.late[told.count - 1]);

		assert_int_equal(table_enter_all(&table), CT_OK);
		assert_int_equal(table_add(&table, 1, waits_first ? &behind : &four, 12), CT_OK);
		if (!waits_first)
		{
			extra[0] = ct_timeline_recent(&table.arena, table_find(&table, 1), &count);
			told = tell(&table, extra, 1);
			assert_true(!told.entered[0] && told.late[0] && told.entered[1] && !told.late[1]);
		}
		assert_int_equal(table_enter_all(&table), CT_OK);
		table_settle_all(&table);
		assert_int_equal(table_stats(&table).conflicts, 1);
		told = tell(&table, NULL, 0);
		assert_int_equal(told.count, 2);
		assert_int_equal(told.late[0], !waits_first);
		assert_false(told.late[1]);
		table_validate(&table);
		table_free(&table);
	}
}

/* Duplicates, of which one has entered and others are recent, as a snapshot sees them. */
static void
duplicates_seen(void **state)
{
	Table table = table_make(60);
	Event five = identified(10, 5, 1);
	Event four = identified(10, 4, 1);
	uint64_t xip[] = {10};
	CtSnapshot all = {.xmin = 20, .xmax = 20};
	CtSnapshot not_first = {.xmin = 10, .xmax = 20, .nxip = 1, .xip = xip};
	CtSnapshot only_first = {.xmin = 11, .xmax = 11};
	CtRef extra[2];
	CtRef cancelled[2];
	CtRuns runs = {.extra = extra, .cancelled = cancelled, .nextra = 1};
	uint32_t count;
	CtRef timeline;
	CtState got;

	(void) state;
	table_enter(&table, 1, &five, 10, INT64_MIN);
	assert_int_equal(table_add(&table, 1, &four, 11), CT_OK);
	timeline = table_find(&table, 1);
	extra[0] = ct_timeline_recent(&table.arena, timeline, &count);
	assert_int_equal(count, 1);
	ct_timeline_merge(&table.arena, table.store, timeline, &all, &runs);
	assert_int_equal(runs.nextra, 1);
	assert_int_equal(runs.ncancelled, 1);
	ct_timeline_fold(&table.arena, table.store, timeline, 10, &all, &runs, &got);
	assert_int_equal(state_int(&got, SUM_ATTR), 4);

	ct_timeline_merge(&table.arena, table.store, timeline, &not_first, &runs);
	assert_int_equal(runs.ncancelled, 0);
	ct_timeline_fold(&table.arena, table.store, timeline, 10, &not_first, &runs, &got);
	assert_int_equal(state_int(&got, SUM_ATTR), 4);

	ct_timeline_fold(&table.arena, table.store, timeline, 10, &only_first, NULL, &got);
	assert_int_equal(state_int(&got, SUM_ATTR), 5);
	ct_timeline_fold(&table.arena, table.store, timeline, 9, &all, NULL, &got);
	assert_false(got.present);
	table_free(&table);
}

static void
snapshots(void **state)
{
	uint64_t xip[] = {10, 13};
	CtSnapshot snapshot = {.xmin = 10, .xmax = 15, .nxip = 2, .xip = xip};

	(void) state;
	assert_true(ct_snapshot_sees(&snapshot, 0));
	assert_true(ct_snapshot_sees(&snapshot, 9));
	assert_false(ct_snapshot_sees(&snapshot, 10));
	assert_true(ct_snapshot_sees(&snapshot, 11));
	assert_false(ct_snapshot_sees(&snapshot, 13));
	assert_true(ct_snapshot_sees(&snapshot, 14));
	assert_false(ct_snapshot_sees(&snapshot, 15));
}

static void
equality(void **state)
{
	Table table = table_make(60);
	const CtSchema *schema = ct_store_schema(&table.arena, table.store);
	Event event;
	CtState at[5];

	(void) state;
	event = sum_event(1, 5);
	table_enter(&table, 1, &event, 3, INT64_MIN);
	event = sum_event(2, 0);
	table_enter(&table, 1, &event, 3, INT64_MIN);
	event = event_at(3, CT_EVENT);
	event_text(&event, NAME_ATTR, "nope");
	table_enter(&table, 1, &event, 3, INT64_MIN);
	event = event_at(4, CT_FINISH);
	table_enter(&table, 1, &event, 3, INT64_MIN);
	for (int i = 0; i < 5; i++)
		at[i] = table_state(&table, 1, i);
	assert_true(ct_state_equal(schema, &at[1], &at[2]));
	assert_false(ct_state_equal(schema, &at[2], &at[3]));
	assert_false(ct_state_equal(schema, &at[0], &at[1]));
	assert_true(ct_state_equal(schema, &at[0], &at[4]));
	table_free(&table);
}

/* ---- notices ----------------------------------------------------------------- */

static void
expect_changed(CtChanged changed, uint64_t events, int64_t from, int64_t to)
{
	assert_int_equal(changed.events, events);
	if (events > 0)
	{
		assert_int_equal(changed.from, from);
		assert_int_equal(changed.to, to);
	}
}

static void
notices(void **state)
{
	Table table = table_make(60);
	Event event = event_at(100, CT_EVENT);

	(void) state;
	event_int(&event, SUM_ATTR, 1);
	event_text(&event, NAME_ATTR, "x");
	expect_changed(table_enter(&table, 1, &event, 3, INT64_MIN), 0, 0, 0);
	event = sum_event(200, 1);
	expect_changed(table_enter(&table, 1, &event, 3, 199), 0, 0, 0);

	/* an addition changes a sum for ever */
	event = sum_event(150, 1);
	expect_changed(table_enter(&table, 1, &event, 3, INT64_MIN), 1, 150, INT64_MAX);
	/* but adding 0 changes nothing */
	event = sum_event(150, 0);
	expect_changed(table_enter(&table, 1, &event, 3, INT64_MIN), 0, 0, 0);
	/* a first event makes the row exist, and changes the sum for ever */
	event = event_at(50, CT_EVENT);
	event_int(&event, SUM_ATTR, 2);
	event_text(&event, NAME_ATTR, "y");
	expect_changed(table_enter(&table, 1, &event, 3, INT64_MIN), 1, 50, INT64_MAX);
	/* the rule last: until the next event that sets it */
	event = event_at(70, CT_EVENT);
	event_text(&event, NAME_ATTR, "z");
	expect_changed(table_enter(&table, 1, &event, 3, INT64_MIN), 1, 70, 100);
	event = event_at(60, CT_EVENT);
	event_text(&event, NAME_ATTR, "y");
	expect_changed(table_enter(&table, 1, &event, 3, INT64_MIN), 0, 0, 0);
	/* overridden by another event at the same instant */
	event = event_at(100, CT_EVENT);
	event_int(&event, SUM_ATTR, 0);
	event_text(&event, NAME_ATTR, "a");
	expect_changed(table_enter(&table, 1, &event, 3, INT64_MIN), 0, 0, 0);
	/* a snapshot sets a sum: the effect of a late event before it ends there */
	event = event_at(120, CT_SNAPSHOT);
	event_int(&event, SUM_ATTR, 50);
	expect_changed(table_enter(&table, 1, &event, 3, INT64_MIN), 1, 120, INT64_MAX);
	event = sum_event(110, 7);
	expect_changed(table_enter(&table, 1, &event, 3, INT64_MIN), 1, 110, 120);
	/* an instant that was read, though the event is the newest */
	event = sum_event(300, 1);
	expect_changed(table_enter(&table, 1, &event, 3, 300), 1, 300, INT64_MAX);
	/* after a finish the key starts from its initial values, so the sum differs for ever */
	event = event_at(40, CT_FINISH);
	expect_changed(table_enter(&table, 1, &event, 3, INT64_MIN), 0, 0, 0);
	event = event_at(250, CT_FINISH);
	expect_changed(table_enter(&table, 1, &event, 3, INT64_MIN), 1, 250, INT64_MAX);
	event = sum_event(240, 1);
	expect_changed(table_enter(&table, 1, &event, 3, INT64_MIN), 1, 240, 250);
	assert_int_equal(table_stats(&table).late, 11);
	table_validate(&table);
	table_free(&table);
}

/* ---- memory and limits ------------------------------------------------------- */

/* Accepted events stay, can be read, and enter when memory is free again. */
static void
out_of_memory(void **state)
{
	Table table = table_make(24);
	Event event;
	CtState got;
	int64_t n = 0;

	(void) state;
	for (;; n++)
	{
		event = sum_event(n * 7919 % 10007, 1);
		if (table_add(&table, 1, &event, 3 + (uint64_t) n) != CT_OK)
			break;
		if (n % 3 == 0 && table_enter_all(&table) != CT_OK)
			break;
	}
	table_validate(&table);

	/* fill the rest to the last page, as upkeep may */
	while (ct_alloc(&table.arena, 40000, true) != 0)
		;
	while (ct_alloc(&table.arena, 1300, true) != 0 || ct_alloc(&table.arena, 720, true) != 0 ||
		   ct_alloc(&table.arena, 500, true) != 0 || ct_alloc(&table.arena, 1600, true) != 0 ||
		   ct_alloc(&table.arena, 96, true) != 0 || ct_alloc(&table.arena, 80, true) != 0)
		;
	for (int i = 0; i < 3000; i++)
	{
		event = sum_event(i, 1);
		if (table_add(&table, 1, &event, 3) != CT_NO_MEMORY)
			n++;
	}
	table_validate(&table);
	(void) table_enter_all(&table);
	table_validate(&table);
	got = table_state(&table, 1, INT64_MAX);
	assert_int_equal(state_int(&got, SUM_ATTR), table_stats(&table).young);
	free(table.base);
}

/* Creating a store and adding attributes fail without any effect, wherever memory runs out. */
static void
no_memory_for_schema(void **state)
{
	Table table = table_make(60);
	const CtSchema *schema = ct_store_schema(&table.arena, table.store);
	size_t used = ct_region_used(table.base);
	uint64_t bytes = table_stats(&table).bytes;
	CtRef other;

	(void) state;
	for (uint32_t after = 0; after < 2; after++)
	{
		oracle_fail_allocations(after, 1);
		assert_int_equal(ct_store_create(&table.arena, schema, &other), CT_NO_MEMORY);
		assert_int_equal(ct_region_used(table.base), used);
	}
	oracle_fail_allocations(0, 1);
	assert_int_equal(table_widen(&table), CT_NO_MEMORY);
	assert_int_equal(table_stats(&table).bytes, bytes);
	oracle_fail_allocations(0, 0);
	assert_int_equal(table_widen(&table), CT_OK);
	table_validate(&table);
	table_free(&table);
}

static void
too_much(void **state)
{
	Table table = table_make(60);
	char *big = calloc(1, CT_MAX_PAYLOAD_BYTES + 64);
	uint32_t bytes = CT_MAX_PAYLOAD_BYTES - 4;
	CtLabel label = {.top = 3, .xid = 3};
	CtChange change = {.time = 1,
					   .set = 1 << NAME_ATTR,
					   .payload = big,
					   .payload_bytes = CT_MAX_PAYLOAD_BYTES,
					   .kind = CT_EVENT};
	CtState got;

	(void) state;
	memcpy(big, &bytes, sizeof(bytes));
	assert_int_equal(ct_store_add(&table.arena, table.store, 1, big, CT_MAX_KEY_BYTES + 1, &change, &label), CT_LIMIT);
	change.payload_bytes++;
	assert_int_equal(ct_store_add(&table.arena, table.store, 1, big, 1, &change, &label), CT_LIMIT);
	change.payload_bytes -= 2;
	assert_int_equal(ct_store_add(&table.arena, table.store, 1, big, 1, &change, &label), CT_BROKEN);
	change.payload_bytes++;
	change.set |= 1 << KEY_ATTR;
	assert_int_equal(ct_store_add(&table.arena, table.store, 1, big, 1, &change, &label), CT_BROKEN);
	change.set = 1 << NAME_ATTR | 1 << ADDED_ATTR;
	assert_int_equal(ct_store_add(&table.arena, table.store, 1, big, 1, &change, &label), CT_BROKEN);
	change.set = 1 << NAME_ATTR;
	change.null = 1 << SUM_ATTR;
	assert_int_equal(ct_store_add(&table.arena, table.store, 1, big, 1, &change, &label), CT_BROKEN);
	change.null = 0;
	assert_int_equal(table_stats(&table).keys, 0);

	assert_int_equal(ct_store_add(&table.arena, table.store, UINT64_C(0x9E3779B97F4A7C15), "\1\0\0\0\0\0\0", 8, &change,
								  &label),
					 CT_OK);
	assert_int_equal(table_enter_all(&table), CT_OK);
	got = table_state(&table, 1, 1);
	assert_int_equal(got.value[NAME_ATTR].bytes, bytes);
	table_validate(&table);
	table_free(&table);
	free(big);
}

/* ---- ALTER TABLE ADD COLUMN --------------------------------------------------------------------
 */

static void
add_attribute(void **state)
{
	Table table = table_make(300);
	Event event;
	CtState got;

	(void) state;
	for (int64_t i = 0; i < 5000; i++)
	{
		event = i == 2500 ? event_at(i, CT_FINISH) : sum_event(i, 1);
		table_enter(&table, 1, &event, 3, INT64_MIN);
	}
	assert_int_equal(table_widen(&table), CT_OK);
	table_validate(&table);
	got = table_state(&table, 1, 2000);
	assert_int_equal(state_int(&got, ADDED_ATTR), 7);

	/* late, before the old finish: added until then, initial afterwards */
	event = event_at(100, CT_EVENT);
	event_int(&event, ADDED_ATTR, 5);
	expect_changed(table_enter(&table, 1, &event, 4, INT64_MIN), 1, 100, 2500);
	got = table_state(&table, 1, 99);
	assert_int_equal(state_int(&got, ADDED_ATTR), 7);
	got = table_state(&table, 1, 2499);
	assert_int_equal(state_int(&got, ADDED_ATTR), 12);
	got = table_state(&table, 1, 4999);
	assert_int_equal(state_int(&got, ADDED_ATTR), 7);
	assert_int_equal(state_int(&got, SUM_ATTR), 2499);
	for (int64_t i = 5000; i < 10000; i++)
	{
		event = event_at(i, CT_EVENT);
		event_int(&event, ADDED_ATTR, 1);
		table_enter(&table, 1, &event, 3, INT64_MIN);
	}
	got = table_state(&table, 1, 10000);
	assert_int_equal(state_int(&got, ADDED_ATTR), 5007);
	table_validate(&table);
	table_free(&table);
}

/* ---- plain sums ------------------------------------------------ */

/* A store with a key, a time and a sum only: with retractions, and with many recent events. */
static void
plain_sums(void **state)
{
	CtSchema *schema = calloc(1, sizeof(CtSchema) + 3 * sizeof(CtAttr));
	CtSnapshot all = {.xmin = UINT64_MAX, .xmax = UINT64_MAX};
	CtRef extra[20];
	CtRef cancelled[20];
	CtRuns runs = {.extra = extra, .cancelled = cancelled};
	Table table;
	Event event;
	CtRef timeline;
	CtState got;
	uint32_t count;

	(void) state;
	*schema = (CtSchema){.size = sizeof(CtSchema) + 3 * sizeof(CtAttr), .nattrs = 3, .id_attr = -1};
	for (int i = 0; i < 3; i++)
		schema->attr[i] = (CtAttr){.rate_attr = -1};
	schema->attr[SUM_ATTR].rule = CT_RULE_SUM;
	schema->attr[SUM_ATTR].number = CT_NUMBER_INT;
	table = table_make_of(schema, 60);
	for (int64_t i = 0; i < 500; i++)
	{
		event = sum_event(i, 1);
		table_enter(&table, 1, &event, 3, INT64_MIN);
	}
	table_settle_all(&table);
	timeline = table_find(&table, 1);

	event = sum_event(17, 1);
	event.change.retracts = true;
	assert_int_equal(table_add(&table, 1, &event, 4), CT_OK);
	runs.extra[runs.nextra++] = ct_timeline_recent(&table.arena, timeline, &count);
	runs.retracts = true;
	ct_timeline_merge(&table.arena, table.store, timeline, &all, &runs);
	for (int64_t time = 0; time < 500; time++)
	{
		ct_timeline_fold(&table.arena, table.store, timeline, time, &all, &runs, &got);
		assert_int_equal(state_int(&got, SUM_ATTR), time + (time < 17));
		ct_timeline_fold(&table.arena, table.store, timeline, time, &all, NULL, &got);
		assert_int_equal(state_int(&got, SUM_ATTR), time + 1);
	}

	for (int64_t i = 0; i < 10; i++)
	{
		event = sum_event(50 * i, 1000);
		assert_int_equal(table_add(&table, 1, &event, 5), CT_OK);
	}
	for (int64_t retracted = 0; retracted < 2; retracted++)
	{
		CtRef ref = ct_timeline_recent(&table.arena, timeline, &count);

		runs.nextra = 0;
		for (; ref != 0; ref = ((const CtEvent *) ct_ptr(&table.arena, ref))->next)
		{
			if (retracted || !((const CtEvent *) ct_ptr(&table.arena, ref))->retracts)
				runs.extra[runs.nextra++] = ref;
		}
		ct_timeline_merge(&table.arena, table.store, timeline, &all, &runs);
		for (int64_t time = 0; time < 500; time++)
		{
			ct_timeline_fold(&table.arena, table.store, timeline, time, &all, &runs, &got);
			assert_int_equal(state_int(&got, SUM_ATTR), time + 1 - (retracted && time >= 17) + 1000 * (1 + time / 50));
		}
	}
	table_free(&table);
	free(schema);
}

/*
 * Events of one instant in every order of arrival, among those of other instants: by kind, or by event id.  The event
 * without an id is an addition of 100: with the ids first it is before the others, and the snapshot hides it.
 */
static void
ties(void **state)
{
	enum
	{
		TIED = 4
	};

	(void) state;
	for (int id_first = 0; id_first < 2; id_first++)
	{
		for (int n = 0; n < 24 * 2; n++)
		{
			CtSchema *schema = malloc(4096);
			Table plain = table_make(60);
			Table table;
			Event event[TIED];
			int left[TIED] = {0, 1, 2, 3};
			CtState got;
			const CtSchema *is = ct_store_schema(&plain.arena, plain.store);

			memcpy(schema, is, is->size);
			schema->id_first = id_first;
			table = table_make_of(schema, 60);
			event[0] = event_at(50, CT_SNAPSHOT);
			event_int(&event[0], SUM_ATTR, 7);
			event_int(&event[0], ID_ATTR, 1);
			event[1] = event_at(50, CT_EVENT);
			event_int(&event[1], SUM_ATTR, 5);
			event_int(&event[1], ID_ATTR, 2);
			event[2] = event_at(50, CT_FINISH);
			event_int(&event[2], ID_ATTR, 3);
			event[3] = event_at(50, CT_EVENT);
			event_int(&event[3], SUM_ATTR, 100);
			for (int64_t i = 0; i < 200; i++)
			{
				Event other = sum_event(i == 50 ? 51 : i, 1);

				if (n < 24 || i < 50)
					table_enter(&table, 1, &other, 3, INT64_MIN);
			}
			for (int i = 0, rest = n % 24; i < TIED; i++)
			{
				int which = rest % (TIED - i);

				rest /= TIED - i;
				table_enter(&table, 1, &event[left[which]], 3, INT64_MIN);
				left[which] = left[TIED - 1 - i];
			}
			table_validate(&table);
			got = table_state(&table, 1, 50);
			assert_int_equal(got.present, !id_first);
			if (!id_first)
				assert_int_equal(state_int(&got, SUM_ATTR), 7);

			/* Without the finish: the additions are undone by the snapshot, or one of them is not. */
			event[2].change.retracts = true;
			table_enter(&table, 1, &event[2], 4, INT64_MIN);
			table_settle_all(&table);
			table_validate(&table);
			got = table_state(&table, 1, 50);
			assert_true(got.present);
			assert_int_equal(state_int(&got, SUM_ATTR), id_first ? 12 : 7);

			schema->id_first = !id_first;
			assert_int_equal(ct_store_redefine(&table.arena, table.store, schema), CT_BROKEN);
			assert_int_equal(ct_store_redefine(&plain.arena, plain.store, schema), CT_OK);
			assert_int_equal(ct_store_widen(&plain.arena, plain.store,
											ct_store_schema(&table.arena, table.store)),
							 CT_BROKEN);
			table_free(&table);
			table_free(&plain);
			free(schema);
		}
	}
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order),
		cmocka_unit_test(in_no_order),
		cmocka_unit_test(work_is_bounded),
		cmocka_unit_test(permutations),
		cmocka_unit_test(reported_in_any_order),
		cmocka_unit_test(duplicates),
		cmocka_unit_test(visits_in_pieces),
		cmocka_unit_test(visits_of_a_high_tree),
		cmocka_unit_test(lateness),
		cmocka_unit_test(lateness_of_duplicates),
		cmocka_unit_test(duplicates_seen),
		cmocka_unit_test(snapshots),
		cmocka_unit_test(equality),
		cmocka_unit_test(notices),
		cmocka_unit_test(out_of_memory),
		cmocka_unit_test(no_memory_for_schema),
		cmocka_unit_test(too_much),
		cmocka_unit_test(add_attribute),
		cmocka_unit_test(plain_sums),
		cmocka_unit_test(ties),
	};

	seed = oracle_seed(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
