/*
 * rules.h
 *	  The rules as a table of operations, indexed by CtRule.
 *
 * Shared by rule.c, which composes and applies by them, and motion.c.
 */
#ifndef CT_RULES_H
#define CT_RULES_H

#include "engine/cell.h"

/* A value that is not a number. */
typedef struct CtBytes
{
	const void *data;
	uint32_t bytes;
} CtBytes;

/*
 * A rule.  An event with a value v is a function on the value before.  The
 * functions of one rule compose to one of the same size (R1 in rule.c).
 */
typedef struct CtRuleOps
{
	const char *name; /* as in the option "rule" */

	bool sets;       /* an event sets the value, whatever the value before */
	bool null_is_0;  /* NULL without an initial value begins with 0, not with the operand */
	bool numbers;    /* the rule allows numbers, */
	bool intervals;  /* intervals, */
	bool texts;      /* values of variable length, ordered by their bytes, */
	bool images;     /* values of any type, which are only stored */
	bool no_initial; /* an initial value is not allowed, as it would never change */
	bool bounds;     /* bounds are allowed, */
	bool linear;     /* interpolation, */
	bool moves;      /* moving by a rate, or being a rate */

	/* Numbers: change x by an operand; make f "g after f". */
	void (*change)(const CtAttr *attr, CtWide *x, const CtWide *by);
	void (*compose)(const CtAttr *attr, CtWide *f, const CtWide *g);

	/* Other values: true if `value` replaces the one in place. */
	bool (*takes)(CtBytes in_place, CtBytes value);
} CtRuleOps;

extern const CtRuleOps ct_rule_ops[CT_RULES];

/* Add days and months of two intervals, each separately. */
static inline CtWide
ct_add_lanes(CtWide a, CtWide b)
{
	a.word[0] += b.word[0];
	a.word[1] += b.word[1];
	return a;
}

/* Apply a change to a sum.  Inline, as it is the most frequent one in folds. */
static inline void
ct_sum_change(const CtAttr *attr, CtWide *x, const CtWide *by)
{
	x[0] = ct_clamp(attr, wide_add(x[0], by[0]), &by[1]);
	if (attr->number == CT_NUMBER_INTERVAL)
		x[1] = ct_add_lanes(x[1], by[1]);
}

/* Make f "g after f", both changes of a sum. */
static inline void
ct_sum_compose(const CtAttr *attr, CtWide *f, const CtWide *g)
{
	if (attr->number == CT_NUMBER_INTERVAL)
	{
		ct_sum_change(attr, f, g);
		return;
	}
	f[0] = wide_add(f[0], g[0]);
	for (int i = 1; i <= attr->has_lower + attr->has_upper; i++)
		f[i] = ct_clamp(attr, wide_add(f[i], g[0]), &g[1]);
	if (attr->has_lower && attr->has_upper && wide_same(f[1], f[2]))
		f[0] = CT_WIDE_ZERO; /* R4 */
}

#endif /* CT_RULES_H */
