/*
 * fold.h
 *	  Folds, for the rest of the engine.
 *
 * Of fold.c, for effect.c, which folds what is before an event.
 */
#ifndef CT_FOLD_H
#define CT_FOLD_H

#include "engine/node.h"

/* Apply everything in the first n children of a node, n > 0. */
void ct_children_apply(const CtReadContext *context, const CtInner *inner, uint32_t n,
					   CtState *state);

#endif /* CT_FOLD_H */
