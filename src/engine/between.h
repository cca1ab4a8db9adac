/*
 * between.h
 *	  What attributes show between events: the part that folds use.
 *
 * Of between.c, for fold.c.  (What an event changes of them: effect.h.)
 */
#ifndef CT_BETWEEN_H
#define CT_BETWEEN_H

#include "engine/walk.h"

void ct_state_show_between(const CtSight *sight, int64_t time, CtState *state);
void ct_state_resume(const CtReadContext *context, CtState *state);

#endif /* CT_BETWEEN_H */
