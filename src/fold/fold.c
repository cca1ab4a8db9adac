/*
 * fold.c
 *	  Visit a key's timeline, without the partition's lock or under it.
 *
 *	  observe ─ visit ─ valid? ─► done
 *	     ▲                └ no ─► undo, try again; after CONTIME_LOOKS tries visit
 *	     └──────────────────────  under the partition's lock, in shared mode
 *
 * Called by scans (read/).
 *
 * Concurrency: without the lock, what is read may be torn until ct_read_valid()
 * confirms it.  A visitor keeps references and counts within bounds (engine.h).
 * When its undo() is called, it discards what it has found.
 *
 * Invariants:
 *	  1. A visitor's result is returned only if the timeline did not change while
 *	     it was visited.
 *	  2. A fold needs the recent events that the snapshot sees, so a visit gathers
 *	     them before it folds.
 */
#include "postgres.h"

#include "fold/fold.h"
#include "base/base.h"

#include "miscadmin.h"

/*
 * True if memory holds all events of a timeline that the snapshot sees.  If a key was
 * loaded while other transactions were in progress, the engine does not know this;
 * contime_keys_are_seen() compares the snapshot with that of the load.
 */
static bool
is_complete(ContimeGeneration *g, const CtSnapshot *snapshot, const CtArena *arena, CtRef store,
			CtRef timeline)
{
	Assert(g || ct_timeline_is_loaded(arena, store, timeline, snapshot)); /* a private store */
	return ct_timeline_is_loaded(arena, store, timeline, snapshot) ||
		   (ct_timeline_is_loaded(arena, store, timeline, NULL) &&
			contime_keys_are_seen(g, snapshot));
}

ContimeFoldResult
contime_fold_gather(ContimeView *view, ContimeGeneration *g, const CtArena *arena, CtRef store,
					CtRef timeline)
{
	view->runs.retracts = false;
	if (!is_complete(g, &view->plain, arena, store, timeline))
		return CONTIME_FOLD_INCOMPLETE;
	if (!contime_view_gather(view, arena, store, timeline))
		return CONTIME_FOLD_RESOLVE;
	contime_pause("gathered", MyDatabaseId);

	/* Without ct_store_cancels() a fold would not leave out retracted events. */
	if (view->runs.retracts && !ct_store_cancels(arena, store))
		return CONTIME_FOLD_INCOMPLETE;
	return CONTIME_FOLD_DONE;
}

/*
 * Visit a key's timeline without the lock.  Return false if a writer changed it
 * meanwhile; then the visit was undone.
 */
static bool
observe_key(const CtArena *arena, CtRef store, const ContimeKey *key, bool note_use,
			const ContimeFoldVisitor *visitor, ContimeFoldResult *result)
{
	CtRead read;

	if (ct_read_key(arena, store, key->hash, key->data.data, key->data.len, &read) != CT_OK)
		return false;
	*result = CONTIME_FOLD_ABSENT;
	if (read.timeline == 0)
		return true;
	*result = visitor->visit(visitor->arg, arena, store, read.timeline, CONTIME_FOLDS_PER_LOOK);
	if (!ct_read_valid(&read))
	{
		visitor->undo(visitor->arg);
		return false;
	}
	if (note_use)
		ct_read_note(&read);
	return true;
}

ContimeFoldResult
contime_fold_key(const CtArena *arena, CtRef store, int partition, const ContimeKey *key,
				 bool note_use, const ContimeFoldVisitor *visitor)
{
	ContimeFoldResult result;
	CtRef timeline;

	Assert(contime_holds_no_lock());
	Assert(contime_partition_of(key->hash) == partition);
	for (int looks = 0; looks < CONTIME_LOOKS; looks++)
		if (observe_key(arena, store, key, note_use, visitor, &result))
			return result;
	contime_lock(partition, LW_SHARED);
	timeline = ct_store_find(arena, store, key->hash, key->data.data, key->data.len);
	result = timeline == 0
				 ? CONTIME_FOLD_ABSENT
				 : visitor->visit(visitor->arg, arena, store, timeline, CONTIME_FOLDS_PER_LOCK);
	contime_unlock(partition);
	return result;
}
