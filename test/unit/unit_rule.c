/*
 * unit_rule.c
 *	  Numbers, and the algebra of rules by brute force.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "algebra.h"

static uint64_t seed;

static __int128
random_wide(OracleSource *source)
{
	__int128 number = 0;

	for (int i = 0; i < 4; i++)
		number = number << 30 | oracle_below(source, 1 << 30);
	number >>= oracle_below(source, 120);
	return oracle_below(source, 2) == 0 ? number : -number;
}

static void
decimal_of(__int128 number, char *buf)
{
	char digits[64];
	int n = 0;
	unsigned __int128 rest = number < 0 ? -(unsigned __int128) number : (unsigned __int128) number;

	if (number < 0)
		*buf++ = '-';
	do
		digits[n++] = (char) ('0' + (int) (rest % 10));
	while ((rest /= 10) != 0);
	while (n > 0)
		*buf++ = digits[--n];
	*buf = '\0';
}

static void
wides(void **state)
{
	OracleSource source = oracle_random(seed);
	char expected[64];
	char got[64];
	int64_t word;

	(void) state;
	for (int i = 0; i < 100000; i++)
	{
		__int128 a = random_wide(&source);
		__int128 b = random_wide(&source);

		assert_int_equal(ct_wide_cmp(wide_of(a), wide_of(b)), (a > b) - (a < b));
		assert_int_equal(ct_wide_cmp(wide_add(wide_of(a), wide_of(b)), wide_of(a + b)), 0);
		decimal_of(a, expected);
		ct_wide_to_decimal(wide_of(a), got);
		assert_string_equal(got, expected);
		assert_int_equal(ct_wide_to_int64(wide_of(a), &word), a >= INT64_MIN && a <= INT64_MAX);
		assert_int_equal(ct_wide_cmp(ct_wide_from_int64((int64_t) a), wide_of((int64_t) a)), 0);
	}
	assert_true(ct_wide_to_int64(ct_wide_from_int64(INT64_MIN), &word) && word == INT64_MIN);
}

static void
infinities(void **state)
{
	const CtWide ordered[] = {CT_WIDE_MINUS_INFINITY, wide_of(-1), CT_WIDE_ZERO, wide_of(1), CT_WIDE_NAN,
							  CT_WIDE_PLUS_INFINITY};
	char buf[64];

	(void) state;
	for (int i = 0; i < 6; i++)
	{
		for (int j = 0; j < 6; j++)
			assert_int_equal(ct_wide_cmp(ordered[i], ordered[j]), (i > j) - (i < j));
	}
	ct_wide_to_decimal(CT_WIDE_NAN, buf);
	assert_string_equal(buf, "NaN");
	ct_wide_to_decimal(CT_WIDE_MINUS_INFINITY, buf);
	assert_string_equal(buf, "-Infinity");
}

typedef struct NumericCase
{
	const char *image;
	uint32_t bytes;
	int scale;
	int64_t expected;
} NumericCase;

/* Images as PostgreSQL 15 writes them (little-endian). */
static void
numerics(void **state)
{
	static const NumericCase cases[] = {
		{"\x00\x80", 2, 2, 0},
		{"\x00\x81\x01\x00\x64\x19", 6, 2, 165},             /* 1.65 */
		{"\x01\x81\x01\x00\x29\x09\x2c\x1a", 8, 2, 1234567}, /* 12345.67 */
		{"\x00\xA1\x01\x00\x64\x19", 6, 2, -165},
		{"\x7F\x81\x64\x00", 4, 2, 1},                    /* 0.01 */
		{"\x02\x80\x01\x00", 4, 2, INT64_C(10000000000)}, /* 100000000 */
		{"\x00\x80\x07\x00", 4, 0, 7},
		{"\x02\x00\x00\x00\x01\x00\x64\x19", 8, 2, 165}, /* long layout */
		{"\x02\x40\x00\x00\x01\x00\x64\x19", 8, 2, -165},
		{"\x02\x00\xFF\xFF\x64\x00", 6, 2, 1},
		{"\x00\x81\x01\x00\x64\x19", 6, 1, 16},
		{"\x40\x00\x38\xFF\x01\x00", 6, 2, 0}, /* 1e-800 */
	};
	const CtWide above = wide_of((__int128) 1 << 126);

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		CtWide got = ct_wide_from_numeric(cases[i].image, cases[i].bytes, cases[i].scale);

		assert_int_equal(ct_wide_cmp(got, ct_wide_from_int64(cases[i].expected)), 0);
	}
	assert_int_equal(ct_wide_cmp(ct_wide_from_numeric("\x00\xC0", 2, 2), CT_WIDE_NAN), 0);
	assert_int_equal(ct_wide_cmp(ct_wide_from_numeric("\x00\xD0", 2, 2), CT_WIDE_PLUS_INFINITY), 0);
	assert_int_equal(ct_wide_cmp(ct_wide_from_numeric("\x00\xF0", 2, 2), CT_WIDE_MINUS_INFINITY), 0);
	/* too large for any column: saturated, not wrapped */
	assert_true(ct_wide_cmp(ct_wide_from_numeric("\x00\x00\xFF\x7F\x01\x00", 6, 2), above) > 0);
	assert_true(ct_wide_cmp(ct_wide_from_numeric("\x00\x40\x30\x00\x01\x00", 6, 2), CT_WIDE_ZERO) < 0);
}

static void
random_numerics(void **state)
{
	OracleSource source = oracle_random(seed);
	uint8_t again[CT_NUMERIC_BYTES];

	(void) state;
	for (int i = 0; i < 200000; i++)
	{
		__int128 number = random_wide(&source);
		int scale = (int) oracle_below(&source, 12);
		uint8_t image[64];
		uint32_t bytes;

		number %= (__int128) 1000000000000000000 * 10000000000000000;
		bytes = oracle_numeric(number, scale, image);
		assert_int_equal(ct_wide_cmp(ct_wide_from_numeric(image, bytes, scale), wide_of(number)), 0);
		assert_int_equal(ct_wide_to_numeric(wide_of(number), scale, again), bytes);
		assert_memory_equal(again, image, bytes);
	}
	assert_int_equal(ct_wide_to_numeric(CT_WIDE_NAN, 3, again), 2);
	assert_memory_equal(again, "\x00\xC0", 2);
}

/* Rounding half away from zero, checked with 128 bits. */
static void
between(void **state)
{
	OracleSource source = oracle_random(seed);

	(void) state;
	for (int i = 0; i < 200000; i++)
	{
		int64_t a = (int64_t) oracle_below(&source, 2000) - 1000;
		int64_t b = (int64_t) oracle_below(&source, 2000) - 1000;
		uint64_t whole = 1 + oracle_below(&source, 40);
		uint64_t part = oracle_below(&source, (uint32_t) whole);
		__int128 exact = (__int128) a * whole + (__int128) (b - a) * part; /* times whole */
		__int128 rounded =
			exact < 0 ? -((-2 * exact + whole) / (2 * (__int128) whole)) : (2 * exact + whole) / (2 * (__int128) whole);

		assert_int_equal(ct_wide_cmp(ct_wide_between(wide_of(a), wide_of(b), part, whole), wide_of(rounded)), 0);
	}
	assert_int_equal(ct_wide_cmp(ct_wide_between(wide_of(INT64_MIN), wide_of(INT64_MAX), UINT64_MAX - 1, UINT64_MAX),
								 wide_of(INT64_MAX - 1)),
					 0);
}

/* Products and powers of ten, checked with 128 bits and by the inverse operation. */
static void
products(void **state)
{
	OracleSource source = oracle_random(seed);

	(void) state;
	for (int i = 0; i < 200000; i++)
	{
		__int128 a = random_wide(&source);
		int64_t b = (int64_t) oracle_below(&source, UINT32_MAX) - INT32_MAX;
		int digits = (int) oracle_below(&source, 19);
		__int128 power = 1;
		__int128 small = a >> 60;

		for (int j = 0; j < digits; j++)
			power *= 10;
		assert_int_equal(ct_wide_cmp(ct_wide_times(wide_of(small), wide_of(b)), wide_of(small * b)), 0);
		assert_int_equal(ct_wide_cmp(ct_wide_times(wide_of(b), wide_of(small)), wide_of(small * b)), 0);
		assert_int_equal(ct_wide_cmp(ct_wide_shift(wide_of(small), digits), wide_of(small * power)), 0);
		assert_int_equal(ct_wide_cmp(ct_wide_round(wide_of(a), digits),
									 wide_of(a < 0 ? -((-a + power / 2) / power) : (a + power / 2) / power)),
						 0);
		/* 10^36 does not fit into 128 bits: multiplied and divided again, exactly and with half a unit added. */
		small >>= 6;
		assert_int_equal(ct_wide_cmp(ct_wide_round(ct_wide_shift(wide_of(small), 36), 36), wide_of(small)), 0);
		assert_int_equal(ct_wide_cmp(ct_wide_round(ct_wide_shift(wide_of(10 * small + 5), 35), 36),
									 wide_of(small + (small >= 0))),
						 0);
	}
	/* a product that needs all 192 bits */
	assert_int_equal(ct_wide_cmp(ct_wide_times(wide_of(INT64_MIN), wide_of((__int128) 1 << 100)),
								 (CtWide){{0, 0, UINT64_C(0xFFFFFFF800000000)}}),
					 0);
}

/* ---- the algebra ------------------------------------------------------------- */

enum
{
	PLAIN,    /* sum */
	BOUNDED,  /* sum within -20 .. 20, initial 3 */
	LEAST,    /* min */
	GREATEST, /* max, initial -2 */
	LATEST,   /* last, initial */
	NATTRS
};

#define NONE INT64_MIN /* NULL */

typedef struct Step
{
	uint8_t kind;
	uint64_t set;
	int64_t value[NATTRS];
} Step;

typedef struct Row
{
	bool present;
	int64_t value[NATTRS];
} Row;

static const Row start = {false, {NONE, 3, NONE, -2, 9}};

static void
apply(Row *row, const Step *step)
{
	if (step->kind == CT_FINISH)
	{
		*row = start;
		return;
	}
	row->present = true;
	for (int i = 0; i < NATTRS; i++)
	{
		int64_t *value = &row->value[i];
		int64_t operand = step->value[i];

		if ((step->set >> i & 1) == 0)
			continue;
		if (operand == NONE || step->kind == CT_SNAPSHOT || i == LATEST)
			*value = operand;
		else if (i == PLAIN)
			*value = (*value == NONE ? 0 : *value) + operand;
		else if (i == BOUNDED)
		{
			*value = (*value == NONE ? 3 : *value) + operand;
			*value = *value < -20 ? -20 : *value > 20 ? 20
													  : *value;
		}
		else if (i == LEAST)
			*value = *value == NONE || operand < *value ? operand : *value;
		else
		{
			*value = *value == NONE ? -2 : *value;
			*value = operand > *value ? operand : *value;
		}
	}
}

static Step
random_step(OracleSource *source)
{
	Step step = {.kind = CT_EVENT};
	uint32_t kind = oracle_below(source, 24);

	step.kind = kind == 0 ? CT_FINISH : kind < 4 ? CT_SNAPSHOT
												 : CT_EVENT;
	for (int i = 0; i < NATTRS && step.kind != CT_FINISH; i++)
	{
		if (oracle_below(source, 2) == 0)
			continue;
		step.set |= UINT64_C(1) << i;
		step.value[i] = oracle_below(source, 8) == 0 ? NONE : (int64_t) oracle_below(source, 31) - 15;
	}
	return step;
}

static CtSchema *
algebra_schema(void)
{
	static const uint8_t rule[] = {CT_RULE_SUM, CT_RULE_SUM, CT_RULE_MIN, CT_RULE_MAX, CT_RULE_LAST};
	size_t size = sizeof(CtSchema) + NATTRS * sizeof(CtAttr);
	CtSchema *schema = calloc(1, size + sizeof(int64_t));

	schema->size = (uint32_t) (size + sizeof(int64_t));
	schema->nattrs = NATTRS;
	schema->id_attr = -1;
	for (int i = 0; i < NATTRS; i++)
	{
		CtAttr *attr = &schema->attr[i];

		attr->rule = rule[i];
		attr->number = i == LATEST ? CT_NUMBER_NONE : CT_NUMBER_INT;
		attr->rate_attr = -1;
		attr->has_lower = attr->has_upper = i == BOUNDED;
		attr->lower = wide_of(-20);
		attr->upper = wide_of(20);
		attr->has_initial = start.value[i] != NONE;
		attr->initial = i == LATEST ? CT_WIDE_ZERO : wide_of(start.value[i]);
		attr->initial_offset = (uint32_t) size;
		attr->initial_bytes = sizeof(int64_t);
	}
	memcpy((char *) schema + size, &start.value[LATEST], sizeof(int64_t));
	return schema;
}

static void
event_make(const CtSchema *schema, const Step *step, Made *made)
{
	CtChange change = {.kind = step->kind, .set = step->set};

	for (int i = 0; i < NATTRS; i++)
	{
		if ((step->set >> i & 1) != 0 && step->value[i] == NONE)
			change.null |= UINT64_C(1) << i;
	}
	made_of(schema, &change, 0, step->value, made);
}

static void
compare(const Row *row, const CtState *state)
{
	assert_int_equal(row->present, state->present);
	for (int i = 0; i < NATTRS; i++)
	{
		const CtValue *value = &state->value[i];

		if (row->value[i] == NONE)
			assert_int_equal(value->kind, CT_VALUE_NULL);
		else if (i == LATEST)
		{
			assert_int_equal(value->kind, CT_VALUE_IMAGE);
			assert_memory_equal(value->image, &row->value[i], sizeof(int64_t));
		}
		else
		{
			assert_int_equal(value->kind, CT_VALUE_NUMBER);
			assert_int_equal(ct_wide_cmp(value->number, wide_of(row->value[i])), 0);
		}
	}
}

/* 100,000 runs, more than 600,000 compositions of five columns. */
static void
algebra(void **state)
{
	enum
	{
		LONGEST = 14
	};
	OracleSource source = oracle_random(seed);
	CtSchema *schema = algebra_schema();
	CtReadContext context = {.schema = schema};

	(void) state;
	for (int n = 0; n < 100000; n++)
	{
		Step step[LONGEST];
		Made event[LONGEST];
		uint32_t count = oracle_below(&source, LONGEST + 1);
		uint32_t begin = count > 0 ? oracle_below(&source, count) : 0;
		Row row = start;
		CtState got;

		ct_state_initial(schema, &got);
		for (uint32_t i = 0; i < count; i++)
		{
			step[i] = random_step(&source);
			event_make(schema, &step[i], &event[i]);
			apply(&row, &step[i]);
			if (i < begin)
				ct_state_add_item(&context, &got, &event[i].item);
			got.present = event[i].layout.kind != CT_FINISH;
		}
		for (int i = 0; i < NATTRS; i++)
		{
			CtCell cell;
			CtCell again;

			made_compose(&context, &source, event + begin, count - begin, i, &cell);
			made_compose(&context, &source, event + begin, count - begin, i, &again);
			assert_true(ct_cell_same(&schema->attr[i], &cell, &again)); /* R4 */
			ct_value_apply(&context, i, &got.value[i], cell.tag, cell.w);
			if (i == LATEST && cell.tag == CT_SET) /* the cell is freed below */
				got.value[i].image = memcpy(&got.value[i].number, cell.bytes, sizeof(int64_t));
		}
		compare(&row, &got);
	}
	free(schema);
}

/* Descriptions that contradict themselves are refused. */
static void
descriptions(void **state)
{
	CtSchema *good = algebra_schema();
	CtSchema *bad = malloc(good->size);

	(void) state;
	assert_int_equal(ct_schema_check(good), CT_OK);
#define REFUSED(status, change)                         \
	do                                                  \
	{                                                   \
		memcpy(bad, good, good->size);                  \
		change;                                         \
		assert_int_equal(ct_schema_check(bad), status); \
	} while (0)
	REFUSED(CT_LIMIT, bad->nattrs = CT_MAX_ATTRS + 1);
	REFUSED(CT_BROKEN, bad->size = sizeof(CtSchema));
	REFUSED(CT_BROKEN, bad->attr[PLAIN].rule = CT_RULES);
	REFUSED(CT_BROKEN, bad->attr[PLAIN].number = CT_NUMBER_NONE);
	REFUSED(CT_BROKEN, bad->attr[PLAIN].image = CT_IMAGE_VAR);
	REFUSED(CT_BROKEN, bad->attr[PLAIN].number = CT_NUMBER_NUMERIC);
	REFUSED(CT_BROKEN, (bad->attr[LATEST].image = CT_IMAGE_FIXED, bad->attr[LATEST].length = 0));
	REFUSED(CT_BROKEN, bad->attr[LATEST].initial_offset = bad->size);
	REFUSED(CT_BROKEN, bad->attr[LATEST].initial_bytes = 7);
	REFUSED(CT_BROKEN, bad->id_attr = NATTRS);
	REFUSED(CT_BROKEN, bad->id_attr = LATEST);
	REFUSED(CT_BROKEN, bad->id_first = true);
	REFUSED(CT_BROKEN, (bad->id_attr = LATEST, bad->id_order = CT_ORDER_BYTES));
	REFUSED(CT_OK, (bad->id_attr = LATEST, bad->id_order = CT_ORDER_SIGNED));
#undef REFUSED
	free(good);
	free(bad);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wides),
		cmocka_unit_test(infinities),
		cmocka_unit_test(numerics),
		cmocka_unit_test(random_numerics),
		cmocka_unit_test(between),
		cmocka_unit_test(products),
		cmocka_unit_test(algebra),
		cmocka_unit_test(descriptions),
	};

	seed = oracle_seed(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
