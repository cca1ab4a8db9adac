/*
 * rules.c
 *	  The rules: a row of operations for each, and their functions.
 *
 *	 last        set to v
 *	 sum         f(x) = min(max(x + a, lo), hi)
 *	 min, max    f(x) = min(x, v), max(x, v)
 *	 first       f(x) = x, and v where x is NULL
 *
 * A new rule needs a value of CtRule, a row here with its functions, and a row
 * in table/rules.c with the types that it takes.
 *
 * Called by rule.c, for cells and values.  These are pure functions.
 *
 * Not here: NULL, initial values, snapshots and finishes, which are the same
 * for all rules (rule.c); values that move (motion.c).
 */
#include "engine/rules.h"

#include <string.h>

static void
change_min(const CtAttr *attr, CtWide *x, const CtWide *by)
{
	(void) attr;
	if (wide_less(by[0], x[0]))
		x[0] = by[0];
}

static void
change_max(const CtAttr *attr, CtWide *x, const CtWide *by)
{
	(void) attr;
	if (wide_less(x[0], by[0]))
		x[0] = by[0];
}

static void
keep_value(const CtAttr *attr, CtWide *x, const CtWide *by)
{
	(void) attr;
	(void) x;
	(void) by;
}

/* Compare as memcmp() does; of values with a common prefix the shorter is first. */
static int
compare_bytes(CtBytes a, CtBytes b)
{
	int order = memcmp(a.data, b.data, a.bytes < b.bytes ? a.bytes : b.bytes);

	return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static bool
takes_less(CtBytes in_place, CtBytes value)
{
	return compare_bytes(in_place, value) > 0;
}

static bool
takes_greater(CtBytes in_place, CtBytes value)
{
	return compare_bytes(in_place, value) < 0;
}

static bool
takes_none(CtBytes in_place, CtBytes value)
{
	(void) in_place;
	(void) value;
	return false;
}

/*
 * For rules by which an event does not change a value that is not NULL.  Every rule
 * has all three functions, as a reader without the lock may find any tag.
 */
#define NO_CHANGE .change = keep_value, .compose = keep_value, .takes = takes_none

const CtRuleOps ct_rule_ops[CT_RULES] = {
	[CT_RULE_NONE] = {.name = "", NO_CHANGE},
	[CT_RULE_LAST] = {.name = "last",
					  .sets = true,
					  .numbers = true,
					  .images = true,
					  .linear = true,
					  .moves = true,
					  NO_CHANGE},
	[CT_RULE_SUM] = {.name = "sum",
					 .null_is_0 = true,
					 .numbers = true,
					 .intervals = true,
					 .bounds = true,
					 .moves = true,
					 .change = ct_sum_change,
					 .compose = ct_sum_compose,
					 .takes = takes_none},
	[CT_RULE_MIN] = {.name = "min",
					 .numbers = true,
					 .texts = true,
					 .change = change_min,
					 .compose = change_min,
					 .takes = takes_less},
	[CT_RULE_MAX] = {.name = "max",
					 .numbers = true,
					 .texts = true,
					 .change = change_max,
					 .compose = change_max,
					 .takes = takes_greater},
	[CT_RULE_FIRST] = {.name = "first",
					   .numbers = true,
					   .images = true,
					   .no_initial = true,
					   NO_CHANGE},
};

CtRule
ct_rule_named(const char *name)
{
	for (int i = CT_RULE_LAST; i < CT_RULES; i++)
		if (strcmp(ct_rule_ops[i].name, name) == 0)
			return (CtRule) i;
	return CT_RULE_NONE;
}

const char *
ct_rule_name(CtRule rule)
{
	return ct_rule_ops[rule].name;
}
