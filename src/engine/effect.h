/*
 * effect.h
 *	  What changes when an event enters, and for how long.
 *
 * Shared by effect.c, override.c and between.c (attributes that change between
 * events), for store.c.
 */
#ifndef CT_EFFECT_H
#define CT_EFFECT_H

#include "engine/timeline.h"

/* The instants at which something changes: [from, to), INT64_MAX if open. */
typedef struct CtEffect
{
	int64_t from;
	int64_t to;
} CtEffect;

/* An event that enters, and the state before and after it with and without it. */
typedef struct CtEntering
{
	const CtItem *item;
	const CtItem *duplicate; /* in whose place it enters, or NULL */
	const CtSpot *spot;      /* behind both */
	bool widely;             /* whatever the states: some may not be known yet */
	const CtState *before;
	const CtState *with;
	const CtState *without; /* with the duplicate */
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
