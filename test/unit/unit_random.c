/*
 * unit_random.c
 *	  Compare the engine with the naive model in random histories (oracle.c).
 *
 * Prints its seed and takes one: CT_SEED, or the first argument.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "oracle.h"

static uint64_t seed;

static void
run(uint64_t run_seed, const OracleSettings *settings, int steps)
{
	OracleSource source = oracle_random(run_seed);
	Oracle *oracle = oracle_create(&source, settings);

	for (int i = 0; i < steps; i++)
		oracle_step(oracle);
	oracle_finish(oracle);
	oracle_destroy(oracle);
}

/* Many ties, duplicates and conflicts. */
static void
crowded(void **state)
{
	OracleSettings settings = {.region_bytes = 200 * CT_PAGE_BYTES,
							   .keys = 2,
							   .instants = 5,
							   .ids = 3,
							   .validate_every = 16};

	(void) state;
	for (uint64_t i = 0; i < 80; i++)
	{
		settings.retain = i % 2 == 1;
		settings.retract = i % 4 >= 2;
		run(seed + i, &settings, 1000);
	}
}

static void
spread(void **state)
{
	OracleSettings settings = {.region_bytes = 200 * CT_PAGE_BYTES,
							   .keys = 1,
							   .instants = 60,
							   .ids = 100,
							   .validate_every = 32};

	(void) state;
	for (uint64_t i = 0; i < 30; i++)
	{
		settings.retain = i % 2 == 1;
		settings.retract = i % 4 >= 2;
		run(seed + 1000 + i, &settings, 3000);
	}
}

static void
many_keys(void **state)
{
	OracleSettings settings = {.region_bytes = 400 * CT_PAGE_BYTES,
							   .keys = 901,
							   .instants = 10,
							   .ids = 5,
							   .validate_every = 256};

	(void) state;
	for (uint64_t i = 0; i < 6; i++)
	{
		settings.keys = 900 + i % 2;
		settings.retain = i / 2 % 2 == 1;
		settings.retract = i % 3 == 1;
		run(seed + 2000 + i, &settings, 4000);
	}
}

/* Memory is sometimes exhausted; no accepted event is lost. */
static void
little_memory(void **state)
{
	OracleSettings settings = {.keys = 7, .instants = 20, .ids = 30, .validate_every = 32};

	(void) state;
	for (uint64_t i = 0; i < 80; i++)
	{
		settings.region_bytes = (8 + i % 24) * CT_PAGE_BYTES;
		settings.retain = i % 3 != 0;
		settings.retract = i % 4 >= 2;
		run(seed + 3000 + i, &settings, 1500);
	}
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crowded),
		cmocka_unit_test(spread),
		cmocka_unit_test(many_keys),
		cmocka_unit_test(little_memory),
	};

	int failed;

	seed = oracle_seed(argc, argv);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	printf("# %llu operations\n", (unsigned long long) oracle_operations());
	return failed;
}
