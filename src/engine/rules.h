/*
 * rules.h
 *	  The rules as a table of operations, indexed by CtRule.
 *
 * Shared by rule.c, which composes and applies by these, and motion.c.
 */
#ifndef CT_RULES_H
#define CT_RULES_H

#include "engine/cell.h"

/* A value that is no number. */
typedef struct CtBytes
{
	const void *data;
	uint32_t bytes;
} CtBytes;

/*
 * A rule.  An event that gives a value v is a function on the value before; the
 * functions of one rule compose to one of the same size (R1 in rule.c).
 */
typedef struct CtRuleOps
{
	const char *name; /* as in the option rule */

	bool sets;       /* an event sets the value, whatever it was before */
	bool null_is_0;  /* a NULL value without an initial one begins with 0, not with the operand */
	bool numbers;    /* it takes numbers, */
	bool intervals;  /* intervals, */
	bool texts;      /* values of variable length, ordered by their bytes, */
	bool images;     /* values of any type, which are only kept */
	bool no_initial; /* an initial value would never be left */
	bool bounds;     /* it may have bounds, */
	bool linear;     /* be interpolated, */
	bool moves;      /* move by a rate, or be a rate */

	/* Numbers: what x becomes by an operand; what f becomes when g follows it. */
	void (*change)(const CtAttr *attr, CtWide *x, const CtWide *by);
	void (*compose)(const CtAttr *attr, CtWide *f, const CtWide *g);

	/* Other values: true if a value in place becomes `value` by it. */
	bool (*takes)(CtBytes in_place, CtBytes value);
} CtRuleOps;

extern const CtRuleOps ct_rule_ops[CT_RULES];

/* Days and months of an interval, added apart. */
static inline CtWide
ct_add_lanes(CtWide a, CtWide b)
{
	a.word[0] += b.word[0];
	a.word[1] += b.word[1];
	return a;
}

/* The change of a sum, which is the most frequent one: inlined where values are folded. */
static inline void
ct_sum_change(const CtAttr *attr, CtWide *x, const CtWide *by)
{
	x[0] = ct_clamp(attr, wide_add(x[0], by[0]), &by[1]);
	if (attr->number == CT_NUMBER_INTERVAL)
		x[1] = ct_add_lanes(x[1], by[1]);
}

/* A change of a sum after a change of it. */
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
