/*
 * motion.h
 *	  Attributes that move by the value of another one, their rate.
 *
 * Shared by motion.c, rule.c and between.c, which shows what was folded.
 *
 *	  where
 *		│        ╱╲          A position is stored as if it had always moved as
 *		│      ╱·  ╲         it does now: p is where it would have been at
 *		│    ╱·   . ╲        instant 0, so it is at p + rate * t, and only
 *		│╱·    .             events change p.
 *	  p ┼────┴────────────── t
 */
#ifndef CT_MOTION_H
#define CT_MOTION_H

#include "engine/event.h"

/* Cells are aligned to 8 bytes. */
typedef __int128 CtInt128 __attribute__((aligned(8)));

/* The effect on p: place + times * rate, with the rate before. */
typedef struct CtPath
{
	CtWide place;
	CtInt128 times;
	CtInt128 begun; /* coefficient of the initial rate, if the rate was NULL */
} CtPath;

/*
 * What events do to a position and to its rate.  The cell's tag has a tag for each:
 * CT_KEEP, CT_CHANGE, CT_SET or CT_SET_NULL.
 */
typedef struct CtMotion
{
	CtInt128 rate;  /* is added to the rate, or is the rate */
	int64_t birth;  /* instant of the first event, if ct_begins_moving() */
	CtPath path;    /* is added to p; or is p, if the position is set */
	CtPath restart; /* of a sum that was NULL, and is added to */
} CtMotion;

/*
 * A folded position has its rate in the first two words of `extra`.  The third word
 * tells whether there is one.
 */
typedef enum CtRate
{
	CT_RATE_NUMBER = 0,
	CT_RATE_NULL,
	CT_RATE_ABSENT /* the initial rate, but only a first event starts moving */
} CtRate;

#define CT_MOTION UINT64_C(0x80) /* from this on, tags are those of motions */
#define CT_MOTION_TAG(position, rate) (CT_MOTION | (uint64_t) (rate) << 4 | (position))

_Static_assert(sizeof(CtMotion) == 136 && _Alignof(CtMotion) == 8, "motions lie in columns");

/* Return the size of a motion.  Only a sum can be added to, so others have no `restart`. */
static inline uint32_t
ct_motion_bytes(const CtAttr *attr)
{
	return attr->rule == CT_RULE_SUM ? sizeof(CtMotion) : offsetof(CtMotion, restart);
}

struct CtCell;

bool ct_motion_sound(const CtSchema *schema, const CtAttr *attr);
void ct_motion_of(const CtSchema *schema, int attr, const CtItem *item, struct CtCell *cell);
void ct_motion_then(const CtSchema *schema, const CtAttr *attr, struct CtCell *f,
					const struct CtCell *g);
bool ct_motion_same(const CtAttr *attr, const struct CtCell *a, const struct CtCell *b);

void ct_motion_initial(const CtSchema *schema, const CtAttr *attr, CtValue *value);
void ct_motion_apply(const CtSchema *schema, const CtAttr *attr, CtValue *value, uint64_t tag,
					 const CtMotion *motion);
void ct_motion_add(const CtSchema *schema, int attr, const CtItem *item, CtValue *value);
void ct_motion_show(const CtSchema *schema, const CtAttr *attr, CtValue *value, int64_t time);
bool ct_motion_equal(const CtValue *a, const CtValue *b, bool *same_rate);

#endif /* CT_MOTION_H */
