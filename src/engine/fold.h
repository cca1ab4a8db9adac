/*
 * fold.h
 *	  Folds, for the rest of the engine.
 *
 * Shared by fold.c and effect.c, which folds the events before an event.
 */
#ifndef CT_FOLD_H
#define CT_FOLD_H

#include "engine/node.h"

/* Apply everything in the first n children of a node, n > 0. */
void ct_children_apply(const CtReadContext *context, const CtInner *inner, uint32_t n,
					   CtState *state);

#endif /* CT_FOLD_H */
