/*
 * unit_motion.c
 *	  Attributes with a rate: the algebra by brute force, and the largest values.
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

/*
 * Every kind of rate, and every kind of position for each: last or sum, with
 * an initial value or without.
 */
enum
{
	RATES = 4,
	PER_RATE = 4,
	NATTRS = RATES * (1 + PER_RATE)
};

static bool
is_rate(int i)
{
	return i < RATES;
}

static int
rate_of(int i)
{
	return i % RATES;
}

static int
number_of_kind(int i)
{
	return is_rate(i) ? i : i / RATES - 1;
}

static bool
is_sum(int i)
{
	return (number_of_kind(i) & 1) != 0;
}

static bool
has_initial(int i)
{
	return (number_of_kind(i) & 2) != 0;
}

static const int initial[2] = {7, -3}; /* of a position, of a rate */

static CtSchema *
schema_make(int position_scale, int rate_scale, int clock_digits)
{
	size_t size = sizeof(CtSchema) + NATTRS * sizeof(CtAttr);
	CtSchema *schema = calloc(1, size);

	schema->size = (uint32_t) size;
	schema->nattrs = NATTRS;
	schema->id_attr = -1;
	schema->clock_digits = (uint8_t) clock_digits;
	schema->has_rates = true;
	for (int i = 0; i < NATTRS; i++)
	{
		CtAttr *attr = &schema->attr[i];

		attr->rule = is_sum(i) ? CT_RULE_SUM : CT_RULE_LAST;
		attr->number = CT_NUMBER_INT;
		attr->scale = (uint8_t) (is_rate(i) ? rate_scale : position_scale);
		attr->rate_attr = (int8_t) (is_rate(i) ? -1 : rate_of(i));
		attr->has_initial = has_initial(i);
		if (has_initial(i))
			attr->initial = ct_wide_from_int64(initial[is_rate(i)]);
	}
	return schema;
}

/* ---- a naive row ------------------------------------------------------------- */

typedef struct Step
{
	uint8_t kind;
	int64_t time;
	uint32_t set;
	uint32_t null;
	int64_t value[NATTRS];
} Step;

typedef struct Row
{
	bool present;
	int64_t time;
	bool null[NATTRS];
	__int128 value[NATTRS]; /* of positions with 10^hidden as many units */
} Row;

typedef struct Units
{
	int64_t hidden; /* internal units of a position per unit of its column */
	int64_t moves;  /* and by how many a rate of 1 changes it in an instant */
} Units;

static int64_t
power(int digits)
{
	int64_t ten = 1;

	while (digits-- > 0)
		ten *= 10;
	return ten;
}

static Units
units_of(const CtSchema *schema)
{
	int digits = schema->attr[RATES].scale - schema->attr[0].scale - schema->clock_digits;

	return (Units){power(-digits), power(digits)};
}

static void
start(Row *row, Units units)
{
	row->present = false;
	for (int i = 0; i < NATTRS; i++)
	{
		row->null[i] = !has_initial(i);
		row->value[i] = initial[is_rate(i)] * (is_rate(i) ? 1 : units.hidden);
	}
}

static void
move(Row *row, Units units, int64_t time)
{
	for (int i = RATES; i < NATTRS && row->present; i++)
	{
		if (!row->null[i] && !row->null[rate_of(i)])
			row->value[i] += row->value[rate_of(i)] * (time - row->time) * units.moves;
	}
	row->time = time;
}

static void
apply(Row *row, Units units, const Step *step)
{
	move(row, units, step->time);
	if (step->kind == CT_FINISH)
	{
		start(row, units);
		return;
	}
	row->present = true;
	for (int i = 0; i < NATTRS; i++)
	{
		int64_t unit = is_rate(i) ? 1 : units.hidden;

		if ((step->set >> i & 1) == 0)
			continue;
		if (row->null[i] || step->kind == CT_SNAPSHOT || !is_sum(i))
			row->value[i] = step->kind == CT_SNAPSHOT || !is_sum(i) || !has_initial(i) ? 0 : initial[is_rate(i)] * unit;
		row->value[i] += step->value[i] * unit;
		row->null[i] = (step->null >> i & 1) != 0;
	}
}

static __int128
half_away(__int128 value, int64_t unit)
{
	return value < 0 ? -((2 * -value + unit) / (2 * unit)) : (2 * value + unit) / (2 * unit);
}

static void
compare(const CtSchema *schema, Row row, Units units, const CtState *state, int64_t time)
{
	move(&row, units, time);
	for (int i = RATES; i < NATTRS; i++)
	{
		CtValue value = state->value[i];

		ct_motion_show(schema, &schema->attr[i], &value, time);
		assert_int_equal(value.kind == CT_VALUE_NULL, row.null[i]);
		if (!row.null[i])
			assert_int_equal(ct_wide_cmp(value.number, wide_of(half_away(row.value[i], units.hidden))), 0);
	}
}

/* ---- the engine's ------------------------------------------------------------ */

static Step
random_step(OracleSource *source, int64_t time, uint32_t density)
{
	Step step = {.kind = CT_EVENT, .time = time};
	uint32_t kind = oracle_below(source, 24);

	step.kind = kind == 0 ? CT_FINISH : kind < 4 ? CT_SNAPSHOT
												 : CT_EVENT;
	for (int i = 0; i < NATTRS && step.kind != CT_FINISH; i++)
	{
		if (oracle_below(source, density) != 0)
			continue;
		step.set |= UINT32_C(1) << i;
		if (oracle_below(source, 6) == 0)
			step.null |= UINT32_C(1) << i;
		step.value[i] = (int64_t) oracle_below(source, 31) - 15;
	}
	return step;
}

static void
event_make(const CtSchema *schema, const Step *step, Made *made)
{
	CtChange change = {.kind = step->kind, .set = step->set, .null = step->null};

	made_of(schema, &change, step->time, step->value, made);
}

/* Apply the first events one by one, the rest as a composition. */
static void
algebra_run(const CtSchema *schema, OracleSource *source)
{
	enum
	{
		LONGEST = 12
	};
	CtReadContext context = {.schema = schema};
	Units units = units_of(schema);
	Step step[LONGEST];
	Made event[LONGEST];
	uint32_t count = oracle_below(source, LONGEST + 1);
	uint32_t begin = count > 0 ? oracle_below(source, count) : 0;
	uint32_t density = 1 + oracle_below(source, 20);
	int64_t time = (int64_t) oracle_below(source, 2000) - 1000;
	Row row = {.time = time};
	CtState got;

	start(&row, units);
	ct_state_initial(schema, &got);
	for (uint32_t i = 0; i < count; i++)
	{
		time += oracle_below(source, 3) * oracle_below(source, 50);
		step[i] = random_step(source, time, density);
		event_make(schema, &step[i], &event[i]);
		apply(&row, units, &step[i]);
		if (i < begin)
			ct_state_add_item(&context, &got, &event[i].item);
	}
	for (int i = RATES; i < NATTRS; i++)
	{
		CtCell cell;
		CtCell again;

		made_compose(&context, source, event + begin, count - begin, i, &cell);
		made_compose(&context, source, event + begin, count - begin, i, &again);
		assert_true(ct_cell_same(&schema->attr[i], &cell, &again)); /* R4 */
		ct_value_apply(&context, i, &got.value[i], cell.tag, &cell.motion);
	}
	if (row.present)
		compare(schema, row, units, &got, time + oracle_below(source, 100));
}

/* 20,000 runs, some 1,700,000 compositions of sixteen positions. */
static void
algebra(void **state)
{
	OracleSource source = oracle_random(seed);

	(void) state;
	for (int n = 0; n < 20000; n++)
	{
		CtSchema *schema = schema_make((int) oracle_below(&source, 4), (int) oracle_below(&source, 3),
									   oracle_below(&source, 2) == 0 ? 0 : 3);

		assert_int_equal(ct_schema_check(schema), CT_OK);
		algebra_run(schema, &source);
		free(schema);
	}
}

/* ---- how far it reaches ------------------------------------------------------ */

/* The composition of 2^33 equal events at the earliest instant. */
static void
pile_up(const CtReadContext *context, int attr, const Step *step, CtValue *value)
{
	const CtAttr *a = &context->schema->attr[attr];
	Made event;
	CtCell cell;

	event_make(context->schema, step, &event);
	ct_cell_of(context, &event.item, attr, &cell);
	for (int i = 0; i < 33; i++)
	{
		CtCell twice = cell;

		ct_cell_then(context, a, &twice, &cell);
		cell = twice;
	}
	ct_value_initial(context->schema, attr, value);
	ct_value_apply(context, attr, value, cell.tag, &cell.motion);
}

/* The largest sum of rates over the longest time must not wrap. */
static void
farthest(void **state)
{
	int rate = 1;  /* a sum without initial value */
	int attr = 17; /* a sum with an initial value, moved by that rate */
	CtSchema *schema = schema_make(9, 0, 0);
	CtReadContext context = {.schema = schema};
	Step step = {.kind = CT_EVENT, .time = INT64_MIN, .set = 1U << rate};
	unsigned __int128 expected = ((unsigned __int128) UINT64_MAX << 33); /* times 10^18 * 10^9 */
	char digits[64];
	char got[64];
	int n = sizeof(digits);
	CtValue value;

	(void) state;
	assert_true(is_sum(attr) && has_initial(attr) && rate_of(attr) == rate && is_sum(rate) && !has_initial(rate));
	schema->attr[attr].initial = CT_WIDE_ZERO;
	assert_int_equal(ct_schema_check(schema), CT_OK);
	assert_int_equal(ct_rate_digits(schema, attr), 18);
	step.value[rate] = INT64_C(1000000000000000000);
	pile_up(&context, attr, &step, &value);
	ct_motion_show(schema, &schema->attr[attr], &value, INT64_MAX);
	ct_wide_to_decimal(value.number, got);
	digits[--n] = '\0';
	for (int i = 0; i < 27; i++)
		digits[--n] = '0';
	for (; expected != 0; expected /= 10)
		digits[--n] = (char) ('0' + (int) (expected % 10));
	assert_string_equal(got, digits + n);
	free(schema);
}

/* The same for operands, with the largest number of hidden digits. */
static void
finest(void **state)
{
	int attr = 17;
	CtSchema *schema = schema_make(0, 18, 9);
	CtReadContext context = {.schema = schema};
	Step step = {.kind = CT_EVENT, .time = INT64_MIN, .set = 1U << attr};
	CtValue value;

	(void) state;
	assert_int_equal(ct_schema_check(schema), CT_OK);
	schema->attr[attr].initial = CT_WIDE_ZERO;
	step.value[attr] = INT64_MIN;
	pile_up(&context, attr, &step, &value);
	ct_motion_show(schema, &schema->attr[attr], &value, INT64_MAX);
	assert_int_equal(ct_wide_cmp(value.number, wide_of(INT64_MIN * ((__int128) 1 << 33))), 0);
	free(schema);
}

/* ---- descriptions ------------------------------------------------------------ */

static void
descriptions(void **state)
{
	CtSchema *good = schema_make(2, 3, 6);
	CtSchema *bad = malloc(good->size);
	const int moves = RATES;

	(void) state;
	assert_int_equal(ct_schema_check(good), CT_OK);
#define REFUSED(status, change)                         \
	do                                                  \
	{                                                   \
		memcpy(bad, good, good->size);                  \
		change;                                         \
		assert_int_equal(ct_schema_check(bad), status); \
	} while (0)
	REFUSED(CT_BROKEN, bad->has_rates = false);
	REFUSED(CT_BROKEN, bad->clock_digits = 10);
	REFUSED(CT_BROKEN, bad->attr[moves].rate_attr = NATTRS);
	REFUSED(CT_BROKEN, bad->attr[moves].rate_attr = moves);
	REFUSED(CT_BROKEN, bad->attr[moves].rate_attr = moves + 1);
	REFUSED(CT_BROKEN, bad->attr[moves].rule = CT_RULE_MAX);
	REFUSED(CT_BROKEN, bad->attr[moves].linear = true);
	REFUSED(CT_BROKEN, bad->attr[moves].scale = 19);
	REFUSED(CT_BROKEN, bad->attr[moves + RATES].has_lower = true);
	REFUSED(CT_BROKEN, bad->attr[0].rule = CT_RULE_MIN);
	REFUSED(CT_BROKEN, bad->attr[0].linear = true);
	REFUSED(CT_BROKEN, bad->attr[0].number = CT_NUMBER_NONE);
	REFUSED(CT_BROKEN,
			(bad->attr[0].number = CT_NUMBER_NUMERIC, bad->attr[0].wide = true, bad->attr[0].image = CT_IMAGE_VAR));
	REFUSED(CT_OK, bad->attr[0].number = CT_NUMBER_SCALED);
	REFUSED(CT_OK, bad->attr[moves].rule = CT_RULE_NONE);
#undef REFUSED
	free(good);
	free(bad);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(algebra),
		cmocka_unit_test(farthest),
		cmocka_unit_test(finest),
		cmocka_unit_test(descriptions),
	};

	seed = oracle_seed(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
