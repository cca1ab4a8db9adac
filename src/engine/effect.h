/*
 * effect.h
 *	  The instants that change when an event enters.
 *
 * Shared by effect.c, override.c and between.c (attributes that change between
 * events), for store.c.
 */
#ifndef CT_EFFECT_H
#define CT_EFFECT_H

#include "engine/timeline.h"

/* The instants at which something changes: [from, to).  INT64_MIN, INT64_MAX: open. */
typedef struct CtEffect
{
	int64_t from;
	int64_t to;
} CtEffect;

/*
 * An event that enters, the state before it, and the states after it with and
 * without it.
 */
typedef struct CtEntering
{
	const CtItem *item;
	const CtItem *duplicate; /* that it replaces, or NULL */
	const CtSpot *spot;      /* behind both */
	bool widely;             /* include what could change with other events */
	const CtState *before;
	const CtState *with;
	const CtState *without; /* with the duplicate, if there is one */
} CtEntering;

/* override.c */
bool ct_next_override(const CtReadContext *context, const CtTimeline *timeline, const CtSpot *spot,
					  int attr, CtItem *item, CtLayout *scratch);

/* between.c */
void ct_effect_between(const CtReadContext *context, const CtTimeline *timeline,
					   const CtEntering *entering, CtEffect *effect);

/* effect.c */
bool ct_timeline_effect(const CtReadContext *context, const CtTimeline *timeline,
						const CtItem *item, bool instead, bool widely, CtEffect *effect);

#endif /* CT_EFFECT_H */
