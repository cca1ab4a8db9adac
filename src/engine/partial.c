/*
 * partial.c
 *	  Stores that lack keys: keys that were not read are evicted to free memory.
 *
 *	  loaded ── ct_store_evict() ──► missing ── an event is added ──► partial
 *		▲                                │         its events are freed instead
 *		└── ct_store_mark_key_loaded() ──┴──────── of entering
 *
 * The caller has the events of missing keys elsewhere, and loads a key again
 * when it is needed.  It loads all events of the key that a snapshot sees
 * (ct_store_load()), while no event enters that the snapshot does not see.  From
 * ct_store_mark_key_loaded() on, the key is complete for snapshots that see as
 * much.
 *
 * Keys are evicted by the clock algorithm: a hand goes round the slots, and
 * evicts keys that were not read since it last passed.
 *
 * Invariants:
 *	 K1  In a store that is not partial, no timeline is partial, and none has
 *		 `seen`.
 *	 K2  A partial timeline has neither young events nor a base.  Entered
 *		 events in it are a remainder, being loaded or unloaded, and its
 *		 summaries need not be right.
 *	 K3  A timeline with `seen` is in the list of timelines to be settled.
 *
 * Called through engine.h by src/durable and src/store, and by readers (src/fold,
 * src/read).
 *
 * Not here: what happens when events enter (store.c), which keys are needed.
 */
#include "engine/timeline.h"

void
ct_store_make_partial(CtArena *arena, CtRef ref, int64_t newest)
{
	CtStore *store = ct_ptr(arena, ref);

	CT_ASSERT(!ct_store_schema(arena, ref)->id_of_key); /* its timelines have `ids` for `seen` */
	store->partial = true;
	/* The keys of these events are not known, so that no reader finds them by `entered`. */
	if (newest > store->entered.time)
		store->entered = (CtNewest){.time = newest};
	if (newest > store->other.time)
		store->other = (CtNewest){.time = newest};
}

uint64_t
ct_store_unnotified(const CtArena *arena, CtRef ref)
{
	return __atomic_load_n(&((const CtStore *) ct_ptr(arena, ref))->newest_unnotified,
						   __ATOMIC_RELAXED);
}

bool
ct_timeline_is_loaded(const CtArena *arena, CtRef ref, CtRef timeline, const CtSnapshot *snapshot)
{
	const CtTimeline *t = ct_ptr(arena, timeline);
	const CtStore *store = ct_ptr(arena, ref);

	return !t->partial && (!store->partial || t->seen == 0 || snapshot == NULL ||
						   snapshot->xmin >= ct_label_top(store->newest_top, t->seen));
}

CtStatus
ct_store_next_loaded(const CtArena *arena, CtRef ref, uint32_t *position, int limit,
					 CtRef *timeline)
{
	const CtDirectory *directory = &((const CtStore *) ct_ptr(arena, ref))->directory;

	CT_ASSERT(limit > 0);
	for (int looks = 0; looks < limit && *position < directory->nslots; looks++)
	{
		*timeline = ct_directory_slot(arena, directory, (*position)++);
		if (*timeline != 0 && ct_timeline_is_loaded(arena, ref, *timeline, NULL))
			return CT_OK;
	}
	*timeline = 0;
	return *position < directory->nslots ? CT_MORE : CT_OK;
}

void
ct_read_note(const CtRead *read)
{
	CtTimeline *t = ct_ptr(read->arena, read->timeline);

	if (read->timeline != 0 && !__atomic_load_n(&t->used, __ATOMIC_RELAXED))
		__atomic_store_n(&t->used, 1, __ATOMIC_RELAXED);
}

/* ---- unloading --------------------------------------------------------------- */

/*
 * Free the entered events of a key, which are all frozen, and the timeline if it
 * has no recent ones.  CT_MORE: `limit` was reached.  *freed grows by the number of
 * events.
 */
static CtStatus
clear_key(CtWriter *writer, CtRef ref, int limit, int *freed)
{
	CtTimeline *timeline = ct_ptr(writer->arena, ref);
	CtStatus status;
	int n;

	CT_ASSERT(timeline->taken && timeline->base == 0); /* K2 */
	ct_change_begin(timeline);
	timeline->partial = true;
	timeline->seen = 0;
	n = ct_timeline_free(writer, timeline, limit);
	writer->store->nfrozen -= (uint64_t) n;
	*freed += n;
	status = timeline->root != 0 || timeline->tail != 0 ? CT_MORE : CT_OK;
	if (ct_timeline_is_over(writer->store, timeline))
		ct_directory_remove(writer, ref); /* S5 */
	ct_change_end(timeline);
	return status;
}

/*
 * True if a timeline is kept: it was read since the last look, or it has recent or
 * young events or a base; a partial one, if it has no entered events.  Clears the mark
 * of a read.  (That it has `seen` does not keep it: while an old transaction runs, all
 * keys that are loaded meanwhile have that.)
 */
static bool
keep_in_store(CtTimeline *timeline)
{
	bool used = __atomic_load_n(&timeline->used, __ATOMIC_RELAXED) != 0;

	if (timeline->partial)
		return !ct_timeline_entered(timeline);
	if (used)
		__atomic_store_n(&timeline->used, 0, __ATOMIC_RELAXED);
	return used || timeline->recents > 0 || timeline->hi != 0 || timeline->base != 0;
}

CtStatus
ct_store_evict(CtArena *arena, CtRef ref, int limit, bool *half)
{
	CtWriter writer = ct_writer(arena, ref);
	CtStore *store = writer.store;
	CtStatus status;

	CT_ASSERT(store->partial && limit > 0);
	*half = false;
	for (int work = 0; work < limit && store->evict_slot < store->directory.nslots; work++)
	{
		CtRef timeline = ct_directory_slot(arena, &store->directory, store->evict_slot);

		if (timeline != 0 && !keep_in_store(ct_ptr(arena, timeline)))
		{
			status = clear_key(&writer, timeline, limit - work, &work);
			*half = status != CT_OK;
			if (*half)
				return status;
		}
		store->evict_slot++;
	}
	if (store->evict_slot < store->directory.nslots)
		return CT_MORE;
	store->evict_slot = 0;
	return CT_OK;
}

CtStatus
ct_store_unload_all(CtArena *arena, CtRef ref, uint32_t *position, int limit)
{
	CtWriter writer = ct_writer(arena, ref);
	const CtDirectory *directory = &writer.store->directory;
	CtStatus status = CT_OK;

	for (int work = 0; work < limit && *position < directory->nslots; work++)
	{
		CtRef timeline = ct_directory_slot(arena, directory, *position);

		if (timeline != 0)
			status = clear_key(&writer, timeline, limit - work, &work);
		if (status != CT_OK)
			return status;
		++*position;
	}
	return *position < directory->nslots ? CT_MORE : CT_OK;
}

CtStatus
ct_store_unload_key(CtArena *arena, CtRef ref, uint64_t hash, const void *key, uint32_t key_bytes,
					int limit)
{
	CtWriter writer = ct_writer(arena, ref);
	CtRef timeline = ct_store_find(arena, ref, hash, key, key_bytes);
	int freed = 0;

	if (timeline == 0 || !((const CtTimeline *) ct_ptr(arena, timeline))->partial)
		return CT_OK;
	return clear_key(&writer, timeline, limit, &freed);
}

/* ---- loading ----------------------------------------------------------------- */

CtStatus
ct_store_mark_key_loaded(CtArena *arena, CtRef ref, uint64_t hash, const void *key,
						 uint32_t key_bytes, uint64_t xmax)
{
	CtWriter writer = ct_writer(arena, ref);
	CtStore *store = writer.store;
	CtRef timeline_ref = ct_writer_timeline(&writer, hash, key, key_bytes);
	CtTimeline *timeline = ct_ptr(arena, timeline_ref);
	uint32_t label = (uint32_t) xmax;

	CT_ASSERT(store->partial || timeline_ref == 0 || !timeline->partial); /* K1 */
	if (timeline_ref == 0)
		return key_bytes > CT_MAX_KEY_BYTES ? CT_LIMIT : CT_NO_MEMORY;
	if (label == 0)
		return CT_BROKEN; /* no transaction has such an id */
	if (xmax > store->newest_top)
		store->newest_top = xmax;
	ct_change_begin(timeline);
	timeline->partial = false;
	timeline->used = 1;
	timeline->seen = xmax > store->horizon ? label : 0;
	CT_ASSERT(timeline->seen == 0 || store->partial); /* K1 */
	if (timeline->seen != 0 && !timeline->in_young)
		ct_young_push(&writer, timeline);
	ct_change_end(timeline);
	return CT_OK;
}
