/*
 * cell.h
 *	  A cell: what an event, or a run of events, does to one attribute.
 *
 * A cell has a tag and a payload.  Cells are stored in columns (node.h): the tags
 * in one array, and the payloads, all of one size, in another.
 *
 * Shared by rule.c and motion.c, which make and compose cells, and by the files
 * that store them: block.c, node.c, base.c.  It has only types and inline
 * functions.
 */
#ifndef CT_CELL_H
#define CT_CELL_H

#include "engine/motion.h"

typedef enum CtTag
{
	CT_KEEP = 0,
	CT_CHANGE,      /* a function of the value before */
	CT_SET,         /* to a value */
	CT_SET_NULL,    /* from CT_SET on, the value before does not matter */
	CT_SET_INITIAL, /* only of images and moving attributes */
} CtTag;            /* or CT_MOTION_TAG() */

/*
 * The payload of a number: ct_cell_wides() numbers, or a motion.  Of an out-of-line
 * value: its reference.  Else the bytes of the value.
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

/* True if the last event that sets the attribute alone decides its value. */
static inline bool
ct_is_last(const CtAttr *attr)
{
	return attr->rule == CT_RULE_LAST && !ct_moves(attr);
}

/* True if the attribute only adds up, so that the order of additions does not matter. */
static inline bool
ct_only_adds(const CtAttr *attr)
{
	return attr->rule == CT_RULE_SUM && !ct_moves(attr) && !attr->has_lower && !attr->has_upper &&
		   attr->number != CT_NUMBER_INTERVAL;
}

/*
 * Return how many numbers a cell has:
 *
 *	 last        the value; if it is linear, also when it was set
 *	 sum         the addend, then the bounds that exist; or the value
 *	 min, max    the bound, or the value
 *	 interval    microseconds; days and months (two words)
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

/* Return x within the bounds of a sum's cell. */
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
