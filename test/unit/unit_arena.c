/*
 * unit_arena.c
 *	  Regions, pages and size classes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

static uint64_t seed;

static void *
region_make(size_t pages, uint32_t arenas)
{
	size_t bytes = (pages + 2) * CT_PAGE_BYTES;
	void *base = aligned_alloc(CT_PAGE_BYTES, bytes);

	assert_int_equal(ct_region_format(base, bytes, arenas), CT_OK);
	assert_true(ct_region_total(base) >= pages * CT_PAGE_BYTES);
	return base;
}

static void
region_check(const void *base)
{
	const char *reason = NULL;

	if (ct_region_validate(base, &reason) != CT_OK)
		fail_msg("%s", reason);
}

static void
limits(void **state)
{
	size_t bytes = 4 * CT_PAGE_BYTES;
	void *base = aligned_alloc(CT_PAGE_BYTES, bytes);

	(void) state;
	assert_int_equal(ct_region_format(base, bytes, 0), CT_LIMIT);
	assert_int_equal(ct_region_format(base, bytes, CT_MAX_ARENAS + 1), CT_LIMIT);
	assert_int_equal(ct_region_format(base, bytes, 4), CT_LIMIT);
	assert_int_equal(ct_region_format(base, 1000, 1), CT_LIMIT);
	assert_int_equal(ct_region_format(base, (size_t) 65 << 30, 1), CT_LIMIT);
	assert_int_equal(ct_region_format(base, bytes, 3), CT_OK);
	assert_int_equal(ct_region_total(base), 3 * CT_PAGE_BYTES);
	assert_int_equal(ct_region_used(base), 0);
	region_check(base);
	free(base);
}

static void
classes(void **state)
{
	size_t last = 0;

	(void) state;
	for (size_t bytes = 1; bytes < 3 * CT_PAGE_BYTES; bytes++)
	{
		size_t takes = ct_alloc_size(bytes);

		assert_true(takes >= bytes && takes >= last && takes % CT_GRANULE == 0);
		if (bytes > 256 && bytes <= 16384)
			assert_true((takes - bytes) * 4 < takes);
		last = takes;
	}
	assert_int_equal(ct_alloc_size(100000), 2 * CT_PAGE_BYTES);
}

/* Objects keep their bytes while others are allocated and freed, and all memory is freed in the end. */
static void
churn(void **state)
{
	enum
	{
		OBJECTS = 3000
	};
	static CtRef ref[OBJECTS];
	static size_t bytes[OBJECTS];
	OracleSource source = oracle_random(seed);
	void *base = region_make(300, 2);
	CtArena arena[2] = {ct_arena_attach(base, 0), ct_arena_attach(base, 1)};

	(void) state;
	memset(ref, 0, sizeof(ref));
	for (int i = 0; i < 300000; i++)
	{
		uint32_t n = oracle_below(&source, OBJECTS);
		CtArena *mine = &arena[n % 2];

		if (ref[n] != 0)
		{
			const char *at = ct_ptr(mine, ref[n]);

			assert_true(at[0] == (char) n && at[bytes[n] - 1] == (char) n);
			ct_free(mine, ref[n], bytes[n]);
			ref[n] = 0;
		}
		else
		{
			bytes[n] = 1 + oracle_below(&source, oracle_below(&source, 50) == 0 ? 200000 : 700);
			ref[n] = ct_alloc(mine, bytes[n], oracle_below(&source, 2) == 0);
			if (ref[n] != 0)
				memset(ct_ptr(mine, ref[n]), (int) n, bytes[n]);
		}
		if (i % 10000 == 0)
			region_check(base);
	}
	for (int n = 0; n < OBJECTS; n++)
	{
		if (ref[n] != 0)
			ct_free(&arena[n % 2], ref[n], bytes[n]);
	}
	assert_int_equal(ct_region_used(base), 0);
	region_check(base);
	free(base);
}

/* Inserts do not use the reserve, upkeep does; in a full region both get CT_NO_MEMORY. */
static void
reserve(void **state)
{
	void *base = region_make(127, 1);
	CtArena arena = ct_arena_attach(base, 0);
	size_t pages = ct_region_total(base) / CT_PAGE_BYTES;
	CtRef ref[256];
	size_t n = 0;

	(void) state;
	while ((ref[n] = ct_alloc(&arena, 40000, false)) != 0)
		n++;
	assert_int_equal(n, pages - 8);
	assert_int_equal(ct_region_plain(base), n * CT_PAGE_BYTES);
	assert_int_equal(ct_alloc(&arena, 16, false), 0);
	while ((ref[n] = ct_alloc(&arena, 40000, true)) != 0)
		n++;
	assert_int_equal(n, pages);
	assert_int_equal(ct_region_used(base), ct_region_total(base));
	region_check(base);

	/* only single pages are free: a run of pages fails, and changes nothing */
	for (size_t i = 0; i < n; i += 2)
		ct_free(&arena, ref[i], 40000);
	assert_int_equal(ct_alloc(&arena, 100000, true), 0);
	region_check(base);
	ct_free(&arena, ref[1], 40000);
	ref[1] = ct_alloc(&arena, 150000, true);
	assert_int_not_equal(ref[1], 0);
	region_check(base);
	assert_int_equal(ct_alloc(&arena, (size_t) 1 << 40, true), 0);
	free(base);
}

typedef struct Worker
{
	CtArena arena;
	uint64_t seed;
} Worker;

static void *
work(void *argument)
{
	Worker *worker = argument;
	OracleSource source = oracle_random(worker->seed);
	CtRef ref[64] = {0};
	size_t bytes[64];

	for (int i = 0; i < 100000; i++)
	{
		uint32_t n = oracle_below(&source, 64);

		if (ref[n] != 0)
			ct_free(&worker->arena, ref[n], bytes[n]);
		bytes[n] = 1 + oracle_below(&source, 200000);
		ref[n] = i < 99000 ? ct_alloc(&worker->arena, bytes[n], i % 2 == 0) : 0;
		if (ref[n] != 0)
			memset(ct_ptr(&worker->arena, ref[n]), (int) worker->arena.index, 16);
	}
	for (int n = 0; n < 64; n++)
	{
		if (ref[n] != 0)
			ct_free(&worker->arena, ref[n], bytes[n]);
	}
	return NULL;
}

/* Arenas share pages without a lock. */
static void
side_by_side(void **state)
{
	void *base = region_make(256, 4);
	Worker worker[4];
	pthread_t thread[4];

	(void) state;
	for (uint32_t i = 0; i < 4; i++)
	{
		worker[i].arena = ct_arena_attach(base, i);
		worker[i].seed = seed + i;
		assert_int_equal(pthread_create(&thread[i], NULL, work, &worker[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(ct_region_used(base), 0);
	region_check(base);
	free(base);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits),
		cmocka_unit_test(classes),
		cmocka_unit_test(churn),
		cmocka_unit_test(reserve),
		cmocka_unit_test(side_by_side),
	};

	seed = oracle_seed(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
