/*
 * cell.h
 *	  A cell: what an event, or a run of events, does to one attribute.
 *
 * A tag and a payload.  In memory cells lie in columns (node.h), the tags in one
 * array and the payloads, all of one size, in another.
 *
 * Shared by rule.c and motion.c, which make and compose them, and by what keeps
 * them: block.c, node.c, base.c.  Only types and what must be inlined.
 */
#ifndef CT_CELL_H
#define CT_CELL_H

#include "engine/motion.h"

typedef enum CtTag
{
	CT_KEEP = 0,
	CT_CHANGE,      /* a function of what was before */
	CT_SET,         /* to a value */
	CT_SET_NULL,    /* these three make independent of what was before */
	CT_SET_INITIAL, /* of what is no number, or moves; other numbers say which
					 * value it is */
} CtTag;            /* or CT_MOTION_TAG() */

/*
 * The payload: of a number, what ct_cell_wides() says, as many as it says, or
 * a motion; of a value kept apart its reference; else the bytes of the value.
 */
typedef struct CtCell
{
	uint64_t tag;
	union
	{
		CtWide w[3];
		CtMotion motion;
		CtRef ref;
		uint8_t bytes[CT_CELL_INLINE];
	};
} CtCell;

static inline bool
ct_is_number(const CtAttr *attr)
{
	return attr->number != CT_NUMBER_NONE;
}

/* What sets it decides alone: there is nothing to add up. */
static inline bool
ct_is_last(const CtAttr *attr)
{
	return attr->rule == CT_RULE_LAST && !ct_moves(attr);
}

/* Does it only add up, so that the order of what is added does not matter? */
static inline bool
ct_only_adds(const CtAttr *attr)
{
	return attr->rule == CT_RULE_SUM && !ct_moves(attr) && !attr->has_lower && !attr->has_upper &&
		   attr->number != CT_NUMBER_INTERVAL;
}

/*
 * How many numbers a cell has.
 *
 *	 last		the value; of a linear one also when it was set
 *	 sum		what is added, then the bounds there are; or the value
 *	 min, max	the bound, or the value
 *	 interval	microseconds; days and months (two words)
 */
static inline uint32_t
ct_cell_wides(const CtAttr *attr)
{
	if (attr->number == CT_NUMBER_INTERVAL)
		return 2;
	return 1U + attr->has_lower + attr->has_upper + attr->linear;
}

static inline uint32_t
ct_payload_bytes(const CtAttr *attr)
{
	if (ct_moves(attr))
		return ct_motion_bytes(attr);
	if (ct_is_number(attr))
		return ct_cell_wides(attr) * (uint32_t) sizeof(CtWide);
	return (ct_cell_bytes(attr) + 3) / 4 * 4;
}

static inline bool
ct_tag_overrides(uint64_t tag)
{
	return (tag & 7) >= CT_SET;
}

static inline bool
ct_tag_has_payload(uint64_t tag)
{
	return tag == CT_SET || tag == CT_CHANGE || tag >= CT_MOTION;
}

/* x between the bounds of a cell of a sum. */
static inline CtWide
ct_clamp(const CtAttr *attr, CtWide x, const CtWide *bound)
{
	if (attr->has_lower && wide_less(x, bound[0]))
		x = bound[0];
	if (attr->has_upper && wide_less(bound[attr->has_lower], x))
		x = bound[attr->has_lower];
	return x;
}

#endif /* CT_CELL_H */
