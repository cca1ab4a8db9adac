/*
 * unit_unseen.c
 *	  Transactions whose entered events a snapshot does not see, compared with a
 *	  naive list.
 *
 * Transactions with random ids enter events of one key at random instants, most
 * of them late; events that all snapshots see are frozen from time to time.  For
 * random snapshots ct_timeline_unseen() must return the ids of the list.
 */
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "table.h"

enum
{
	EVENTS = 20000, /* enough for a tree of two levels */
	IDS = 300,      /* transactions in progress at a time */
	ROUNDS = 40
};

/* Labels keep the low 32 bits of ids, which wrap around during the test. */
#define TURN (UINT64_C(8) << 32)
#define FIRST_ID (TURN - 2000)

static uint64_t seed;

/* Entered events, by transaction id from FIRST_ID on. */
static bool entered[EVENTS + IDS];

static CtSnapshot
some_snapshot(OracleSource *source, uint64_t horizon, uint64_t next, uint64_t *xip)
{
	CtSnapshot snapshot = {.xip = xip, .until = INT64_MAX};

	snapshot.xmin = snapshot.xmax = horizon + oracle_below(source, (uint32_t) (next - horizon) + 1);
	for (uint64_t id = horizon; id < snapshot.xmax; id++)
	{
		if (oracle_below(source, 20) == 0)
			xip[snapshot.nxip++] = id;
	}
	if (snapshot.nxip > 0)
		snapshot.xmin = xip[0];
	return snapshot;
}

static bool
sees(const CtSnapshot *snapshot, uint64_t id)
{
	for (uint32_t i = 0; i < snapshot->nxip; i++)
	{
		if (snapshot->xip[i] == id)
			return false;
	}
	return id < snapshot->xmax;
}

static void
compare(const Table *table, const CtSnapshot *snapshot, uint64_t next)
{
	static uint64_t top[EVENTS];
	static bool found[EVENTS + IDS];
	CtRef timeline = table_find(table, 1);
	uint32_t count = ct_timeline_unseen(&table->arena, table->store, timeline, snapshot, top, EVENTS);
	uint64_t few[3] = {0, 0, 77};

	assert_true(count <= EVENTS);
	memset(found, 0, sizeof(found));
	for (uint32_t i = 0; i < count; i++)
	{
		assert_true(top[i] >= FIRST_ID && top[i] < next);
		found[top[i] - FIRST_ID] = true;
	}
	for (uint64_t id = FIRST_ID; id < next; id++)
		assert_int_equal(found[id - FIRST_ID], entered[id - FIRST_ID] && !sees(snapshot, id));

	/* If the array is too small, the function returns the number needed, and writes no more than fits. */
	assert_int_equal(ct_timeline_unseen(&table->arena, table->store, timeline, snapshot, few, 2), count);
	assert_int_equal(few[2], 77);
	for (uint32_t i = 0; i < 2 && i < count; i++)
		assert_true(few[i] == top[i]);
}

static void
snapshots(void **state)
{
	OracleSource source = oracle_random(seed);
	Table table = table_make(600);
	uint64_t horizon = FIRST_ID;
	uint64_t next = FIRST_ID;
	static uint64_t xip[EVENTS + IDS];
	CtStatus status;

	(void) state;
	for (int round = 0; round < ROUNDS; round++)
	{
		for (int i = 0; i < EVENTS / ROUNDS; i++)
		{
			Event event = event_at((int64_t) oracle_below(&source, 1000000), CT_EVENT);
			uint64_t id = next - oracle_below(&source, IDS);

			event_int(&event, SUM_ATTR, 1);
			id = id < horizon || id == TURN ? next : id;
			(void) table_enter(&table, 1, &event, id, INT64_MIN);
			entered[id - FIRST_ID] = true;
			next = id == next ? next + 1 : next;
			next = next == TURN ? next + 1 : next;
		}
		for (int i = 0; i < 20; i++)
		{
			CtSnapshot snapshot = some_snapshot(&source, horizon, next, xip);

			compare(&table, &snapshot, next);
		}
		if (oracle_below(&source, 3) == 0)
		{
			horizon += oracle_below(&source, (uint32_t) (next - horizon) + 1);
			do
				status = ct_store_settle(&table.arena, table.store, horizon, 1000);
			while (status == CT_MORE);
			assert_int_equal(status, CT_OK);
		}
	}
	table_validate(&table);
	table_free(&table);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(snapshots)};

	seed = oracle_seed(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
