/*
 * partial.c
 *	  Stores that do not have all keys: what was not read makes room.
 *
 *	  known ── ct_store_evict() ──► missing ── an event is added ──► partial
 *		▲								│			its events go when they
 *		└──── ct_store_mark_key_loaded() ──────────┴────────── would enter
 *
 * What a store has not, its caller has elsewhere, and brings it back when it
 * is wanted: of one key all that a snapshot sees is loaded (ct_store_load()),
 * while nothing enters that this snapshot does not see.  From ct_store_mark_key_loaded()
 * on nothing is missing for whoever sees as much.
 *
 * Keys are evicted by the clock algorithm: a hand goes round the slots, and
 * takes what was not read since it came by last.
 *
 * Invariants:
 *	 K1  In a store that is not partial no timeline is, nor is one limited to
 *		 who has `seen`.
 *	 K2  A partial timeline has neither young events nor a base; what has
 *		 entered is a remainder, on its way in or out, with sums that hold for
 *		 nothing.
 *	 K3  A timeline with `seen` is in the list of those to be settled.
 *
 * Called by durable/key_loader.c, durable/eviction.c, ingest.c and scan.c through engine.h.
 *
 * Not here: what happens as events enter (store.c), which keys are wanted.
 */
#include "engine/timeline.h"

void
ct_store_make_partial(CtArena *arena, CtRef ref, int64_t newest)
{
	CtStore *store = ct_ptr(arena, ref);

	store->partial = true;
	if (newest > store->newest_entered)
		store->newest_entered = newest;
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

	return !t->partial && (t->seen == 0 || snapshot == NULL ||
						   snapshot->xmin >= ct_label_top(store->newest_top, t->seen));
}

void
ct_read_note(const CtRead *read)
{
	CtTimeline *t = ct_ptr(read->arena, read->timeline);

	if (read->timeline != 0 && !__atomic_load_n(&t->used, __ATOMIC_RELAXED))
		__atomic_store_n(&t->used, 1, __ATOMIC_RELAXED);
}

/* ---- going ------------------------------------------------------------------- */

/*
 * Free what has entered, which is frozen, and the timeline if nothing is recent;
 * CT_MORE: there is more.
 */
static CtStatus
clear(CtWriter *writer, CtRef ref, int limit, int *freed)
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
 * What makes a timeline stay is worth more than its memory: it was read, or
 * something has happened to it just now.  (Not that it came while others were
 * under way: they may stay so for long, and all that comes meanwhile, too.)
 */
static bool
stays(CtTimeline *timeline)
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

		if (timeline != 0 && !stays(ct_ptr(arena, timeline)))
		{
			status = clear(&writer, timeline, limit - work, &work);
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
			status = clear(&writer, timeline, limit - work, &work);
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
	return clear(&writer, timeline, limit, &freed);
}

/* ---- coming back ------------------------------------------------------------- */

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
