/*
 * unit_newest.c
 *	  The newest event that a store and its batches note, compared with naive maxima.
 */
#include <stdlib.h>

#include "oracle.h"
#include "table.h"

enum
{
	EVENTS = 3000,
	KEYS = 50,
	TOPS = 40
};

static uint64_t seed;

/* The latest instants of the events of each transaction; INT64_MIN: none. */
static int64_t entered[TOPS];
static int64_t in_batches[TOPS];

/* The latest instant of the transactions, without one of them (-1: of all). */
static int64_t
latest(int without)
{
	int64_t time = INT64_MIN;

	for (int i = 0; i < TOPS; i++)
	{
		if (i != without && entered[i] > time)
			time = entered[i];
	}
	return time;
}

/* The noted event is at the latest instant, of a transaction that has one there, and its key is found. */
static void
check(const Table *table)
{
	CtNewest newest;
	CtNewest other;
	uint32_t bytes;
	CtRef ref;

	ct_store_newest(&table->arena, table->store, false, &newest);
	ct_store_newest(&table->arena, table->store, true, &other);
	assert_true(newest.time == latest(-1));
	if (newest.time == INT64_MIN)
		return;
	assert_true(entered[newest.top - 3] == newest.time);
	assert_true(other.time == latest((int) newest.top - 3));
	assert_non_null(ct_store_key_of_hash(&table->arena, table->store, newest.hash, &bytes));
	assert_int_equal(bytes, sizeof(uint64_t));
	for (const CtBatch *batch = ct_store_first_batch(&table->arena, table->store, &ref); batch;
		 batch = ct_store_next_batch(&table->arena, &ref))
	{
		assert_true(batch->newest <= in_batches[batch->top - 3]);
		assert_true(batch->oldest <= batch->newest);
		assert_non_null(ct_store_key_of_hash(&table->arena, table->store, batch->newest_hash, &bytes));
	}
}

static void
noted(void **state)
{
	OracleSource source = oracle_random(seed);
	Table table = table_make(600);

	(void) state;
	for (int i = 0; i < TOPS; i++)
		entered[i] = in_batches[i] = INT64_MIN;
	check(&table);
	for (int i = 0; i < EVENTS; i++)
	{
		int64_t time = (int64_t) oracle_below(&source, 1000) + i / 2;
		Event event = event_at(time, CT_EVENT);
		int top = (int) oracle_below(&source, TOPS);

		event_int(&event, SUM_ATTR, 1);
		assert_int_equal(table_add(&table, oracle_below(&source, KEYS), &event, 3 + (uint64_t) top), CT_OK);
		if (time > in_batches[top])
			in_batches[top] = time;
		check(&table);
		if (oracle_below(&source, 30) == 0)
		{
			assert_int_equal(table_enter_all(&table), CT_OK);
			for (int t = 0; t < TOPS; t++)
			{
				entered[t] = in_batches[t] > entered[t] ? in_batches[t] : entered[t];
				in_batches[t] = INT64_MIN;
			}
			check(&table);
		}
	}
	table_free(&table);
}

/* A batch that several events of one transaction share notes the latest one; dropped, nothing of it is noted. */
static void
dropped(void **state)
{
	Table table = table_make(100);
	CtRef ref;
	const CtBatch *batch;
	CtNewest newest;

	(void) state;
	for (int i = 0; i < 5; i++)
	{
		Event event = event_at(i == 2 ? 100 : i, CT_EVENT);

		event_int(&event, SUM_ATTR, 1);
		assert_int_equal(table_add(&table, (uint64_t) i, &event, 3), CT_OK);
	}
	batch = ct_store_first_batch(&table.arena, table.store, &ref);
	assert_non_null(batch);
	assert_int_equal(batch->newest, 100);
	assert_int_equal(batch->oldest, 0);
	while (ct_store_drop(&table.arena, table.store, ref, 1) == CT_MORE)
		;
	ct_store_newest(&table.arena, table.store, false, &newest);
	assert_true(newest.time == INT64_MIN);
	assert_null(ct_store_first_batch(&table.arena, table.store, &ref));
	table_free(&table);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(noted),
		cmocka_unit_test(dropped),
	};

	seed = oracle_seed(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
