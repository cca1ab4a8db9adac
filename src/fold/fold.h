/*
 * fold.h
 *	  Visit and fold the timeline of one key for a view.
 *
 *	  fold.c  visits without the partition's lock, or under it
 */
#ifndef CONTIME_FOLD_H
#define CONTIME_FOLD_H

#include "postgres.h"

#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "table/table.h"

/*
 * Limits of the folds, or steps along a history, in one visit: under the partition's
 * lock (about 500 us), and without it.  After CONTIME_LOOKS tries without the lock it
 * is taken, because a writer may be changing a busy timeline all the time.
 */
#define CONTIME_FOLDS_PER_LOCK 256
#define CONTIME_FOLDS_PER_LOOK 16
#define CONTIME_LOOKS 8

StaticAssertDecl(CONTIME_FOLDS_PER_LOOK <= CONTIME_FOLDS_PER_LOCK, "a look is shorter than a hold");

typedef enum ContimeFoldResult
{
	CONTIME_FOLD_DONE,       /* the key, or the partition, is read to its end */
	CONTIME_FOLD_MORE,       /* call again */
	CONTIME_FOLD_RESOLVE,    /* call contime_view_resolve(), then call again */
	CONTIME_FOLD_INCOMPLETE, /* memory lacks events of the key that the snapshot may see */
	CONTIME_FOLD_ABSENT      /* there is no such key */
} ContimeFoldResult;

/*
 * A visitor.  visit() folds a timeline at most `steps` times and copies what it finds.
 * It raises no error, does not wait, and calls no function of a data type.  undo()
 * discards what visit() has found in this call, as it may be torn.
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
 * Gather the recent events of a timeline that the snapshot sees into view->runs.
 * Called by a visitor before it folds.  g: the timeline's generation, or NULL for a
 * private store.  Return CONTIME_FOLD_DONE, _RESOLVE or _INCOMPLETE.
 */
extern ContimeFoldResult contime_fold_gather(ContimeView *view, ContimeGeneration *g,
											 const CtArena *arena, CtRef store, CtRef timeline);

/*
 * Let a visitor visit a key's timeline: without the partition's lock, or under it if
 * that fails CONTIME_LOOKS times.  note_use: note that the key was read, so that a
 * partial cache keeps it longer.  Return the visitor's result, or
 * CONTIME_FOLD_ABSENT.  ERROR 55P03 if the lock is not granted in 10 s.  Not under a
 * lock.
 */
extern ContimeFoldResult contime_fold_key(const CtArena *arena, CtRef store, int partition,
										  const ContimeKey *key, bool note_use,
										  const ContimeFoldVisitor *visitor);

#endif /* CONTIME_FOLD_H */
