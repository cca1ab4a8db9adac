/*
 * unit_directory.c
 *	  Many keys: each is found while it exists, and visited once by every walk.
 */
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "table.h"

static uint64_t seed;

static CtRef
batch_of(const Table *table, uint64_t xid)
{
	CtRef ref;

	for (const CtBatch *batch = ct_store_first_batch(&table->arena, table->store, &ref); batch != NULL;
		 batch = ct_store_next_batch(&table->arena, &ref))
	{
		if (batch->xid == xid)
			return ref;
	}
	return 0;
}

/* 70,000 keys: two levels of pages for buckets, two for slots. */
static void
grow(void **state)
{
	const uint64_t keys = 70000;
	Table table = table_make(400);
	Event event = event_at(1, CT_EVENT);
	uint32_t position = 0;
	uint64_t met = 0;

	(void) state;
	event_int(&event, SUM_ATTR, 5);
	for (uint64_t key = 0; key < keys; key++)
		assert_int_equal(table_add(&table, key, &event, 3), CT_OK);
	assert_int_equal(table_stats(&table).keys, keys);
	table_validate(&table);
	for (uint64_t key = 0; key < keys; key++)
		assert_int_not_equal(table_find(&table, key), 0);
	assert_int_equal(table_find(&table, keys), 0);
	while (ct_store_next(&table.arena, table.store, &position) != 0)
		met++;
	assert_int_equal(met, keys);

	/* after a rollback no key is left */
	while (ct_store_drop(&table.arena, table.store, batch_of(&table, 3), 777) == CT_MORE)
		;
	assert_int_equal(table_stats(&table).keys, 0);
	assert_int_equal(table_find(&table, 1), 0);
	table_validate(&table);
	table_free(&table);
}

/*
 * Timelines are created and freed during a walk: one that exists throughout is
 * visited once, others at most once.
 */
static void
walk(void **state)
{
	enum
	{
		KEYS = 3000
	};
	static uint8_t alive[KEYS];
	static uint8_t steady[KEYS];
	static uint8_t met[KEYS];
	OracleSource source = oracle_random(seed);
	Table table = table_make(200);
	Event event = event_at(1, CT_EVENT);

	(void) state;
	memset(alive, 0, sizeof(alive));
	for (int round = 0; round < 20; round++)
	{
		uint32_t position = 0;
		CtRef timeline;

		memcpy(steady, alive, sizeof(alive));
		memset(met, 0, sizeof(met));
		do
		{
			for (int i = 0; i < 3; i++)
			{
				uint64_t key = oracle_below(&source, KEYS);

				if (alive[key])
				{
					assert_int_equal(ct_store_drop(&table.arena, table.store, batch_of(&table, key + 3), 1), CT_OK);
					steady[key] = false;
				}
				else
					assert_int_equal(table_add(&table, key, &event, key + 3), CT_OK);
				alive[key] ^= true;
			}
			timeline = ct_store_next(&table.arena, table.store, &position);
			if (timeline != 0)
			{
				uint32_t key_bytes;
				uint64_t key;

				memcpy(&key, ct_timeline_key(&table.arena, timeline, &key_bytes), sizeof(key));
				assert_int_equal(key_bytes, sizeof(key));
				assert_true(alive[key]);
				met[key]++;
			}
		} while (timeline != 0);
		for (uint64_t key = 0; key < KEYS; key++)
		{
			assert_true(!steady[key] || met[key] == 1);
			assert_int_equal(table_find(&table, key) != 0, alive[key]);
		}
		table_validate(&table);
	}
	table_free(&table);
}

/* A full region refuses new keys, keeps the others, and accepts keys again when memory is freed. */
static void
full(void **state)
{
	Table table = table_make(30);
	Event event = event_at(1, CT_EVENT);
	uint64_t key = 0;
	CtStats before;

	(void) state;
	while (table_add(&table, key, &event, 3 + key % 100) == CT_OK)
		key++;
	before = table_stats(&table);
	assert_int_equal(before.keys, key);
	assert_int_equal(table_add(&table, key, &event, 3 + key % 100), CT_NO_MEMORY);
	assert_int_equal(table_add(&table, key, &event, 9999), CT_NO_MEMORY);
	assert_int_equal(table_stats(&table).recent, before.recent);
	table_validate(&table);
	for (uint64_t i = 0; i < key; i++)
		assert_int_not_equal(table_find(&table, i), 0);

	for (int i = 0; i < 500; i++)
		assert_int_equal(ct_store_drop(&table.arena, table.store, batch_of(&table, 3 + (uint64_t) i % 100), 1), CT_OK);
	for (int i = 0; i < 300; i++)
		assert_int_equal(table_add(&table, key + (uint64_t) i, &event, 3), CT_OK);
	table_validate(&table);
	table_free(&table);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grow),
		cmocka_unit_test(walk),
		cmocka_unit_test(full),
	};

	seed = oracle_seed(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
