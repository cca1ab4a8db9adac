/*
 * between.h
 *	  Attributes that change between events: the functions that folds use.
 *
 * Shared by between.c and fold.c.  (effect.h has the functions for effects.)
 */
#ifndef CT_BETWEEN_H
#define CT_BETWEEN_H

#include "engine/walk.h"

void ct_state_show_between(const CtSight *sight, int64_t time, CtState *state);
void ct_state_resume(const CtReadContext *context, CtState *state);

#endif /* CT_BETWEEN_H */
