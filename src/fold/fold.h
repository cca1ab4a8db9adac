/*
 * fold.h
 *	  One key folded for a view: what reading and accepting share.
 *
 *	  fold.c  a key's timeline is visited: observed, or under the lock
 */
#ifndef CONTIME_FOLD_H
#define CONTIME_FOLD_H

#include "postgres.h"

#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "table/table.h"

/*
 * Folds, or steps along a history, under one hold of a partition's lock: some
 * 500 us.  Without the lock they are fewer, and after so many tries the lock is
 * taken: on the hottest timeline a writer is at work all the time.
 */
#define CONTIME_FOLDS_PER_LOCK 256
#define CONTIME_FOLDS_PER_LOOK 16
#define CONTIME_LOOKS 8

StaticAssertDecl(CONTIME_FOLDS_PER_LOOK <= CONTIME_FOLDS_PER_LOCK, "a look is shorter than a hold");

typedef enum ContimeFoldResult
{
	CONTIME_FOLD_DONE,       /* nothing is left of this key, or in this partition */
	CONTIME_FOLD_MORE,       /* call again */
	CONTIME_FOLD_RESOLVE,    /* contime_view_resolve() first, then again */
	CONTIME_FOLD_INCOMPLETE, /* memory does not hold all that the snapshot sees of the key */
	CONTIME_FOLD_ABSENT      /* there is no such key */
} ContimeFoldResult;

/*
 * A visitor folds a timeline, at most `steps` times, and copies what it finds;
 * it raises no error, waits for nothing and calls no type's function.  undo:
 * what it has found since the start of the call may be torn, so it is to be
 * forgotten.
 */
typedef struct ContimeFoldVisitor
{
	ContimeFoldResult (*visit)(void *arg, const CtArena *arena, CtRef store, CtRef timeline,
							   int steps);
	void (*undo)(void *arg);
	void *arg;
} ContimeFoldVisitor;

/* ---- fold.c ------------------------------------------------------------------ */

/*
 * By a visitor: gather the recent events of a timeline that the snapshot sees
 * into view->runs.  g: the generation that the timeline belongs to, NULL for a
 * private store.  CONTIME_FOLD_DONE, _RESOLVE or _INCOMPLETE.
 */
extern ContimeFoldResult contime_fold_gather(ContimeView *view, ContimeGeneration *g,
											 const CtArena *arena, CtRef store, CtRef timeline);

/*
 * Have a visitor visit a key's timeline: without the partition's lock, and if
 * that fails repeatedly, under it.  note_use: a partial cache keeps the key for
 * longer.  The visitor's result, or CONTIME_FOLD_ABSENT.  ERROR 55P03 if the lock
 * cannot be had.  Not under a lock.
 */
extern ContimeFoldResult contime_fold_key(const CtArena *arena, CtRef store, int partition,
										  const ContimeKey *key, bool note_use,
										  const ContimeFoldVisitor *visitor);

#endif /* CONTIME_FOLD_H */
