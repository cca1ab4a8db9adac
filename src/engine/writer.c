/*
 * writer.c
 *	  A store that is being changed: its memory, what readers may still use, and
 *	  its list of young timelines.
 *
 * A writer is a store prepared for many calls.  It allocates and frees memory on
 * the store's account.  Memory that readers without the lock may still use is
 * retired: it is freed with the store.
 *
 * Called by all files above it that change a store; readers call
 * ct_store_read_context().
 *
 * Concurrency: the caller holds the partition's lock exclusively, except for
 * ct_store_read_context(), which only reads what is published before an event
 * needs it (S8).
 *
 * The invariants of a store are in the header of store.c.
 *
 * Not here: what a store contains (store.c), pages and size classes (arena.c).
 */
#include "engine/writer.h"

#include "engine/slot.h"

CtReadContext
ct_store_read_context(const CtArena *arena, const CtStore *store)
{
	uint32_t nlayouts = __atomic_load_n(&store->nlayouts, __ATOMIC_ACQUIRE);
	CtReadContext context = {.arena = arena,
							 .schema = ct_ptr(arena, store->schema),
							 .layout =
								 ct_ptr(arena, __atomic_load_n(&store->layouts, __ATOMIC_ACQUIRE)),
							 .nlayouts = nlayouts,
							 .lasts = store->lasts,
							 .hidden = store->hidden,
							 .linear = store->linear,
							 .moving = store->moving,
							 .sums = store->sums,
							 .initial = store->initial,
							 .plain = store->plain != 0};

	return context;
}

CtWriter
ct_writer(CtArena *arena, CtRef ref)
{
	CtWriter writer = {.arena = arena, .store = ct_ptr(arena, ref)};

	CT_ASSERT(ref != 0);
	writer.context = ct_store_read_context(arena, writer.store);
	return writer;
}

CtRef
ct_take(CtWriter *writer, size_t bytes, bool upkeep)
{
	CtRef ref = ct_alloc(writer->arena, bytes, upkeep);

	CT_ASSERT(bytes > 0 && writer->store != NULL);
	if (ref != 0)
		writer->store->bytes += ct_alloc_size(bytes);
	return ref;
}

void
ct_give(CtWriter *writer, CtRef ref, size_t bytes)
{
	CT_ASSERT(ref != 0 && writer->store->bytes >= ct_alloc_size(bytes)); /* S4 */
	writer->store->bytes -= ct_alloc_size(bytes);
	ct_free(writer->arena, ref, bytes);
}

/* ---- retired memory ---------------------------------------------------------- */

/* Retire memory: it is freed with the store.  False: no memory for the note. */
bool
ct_retire(CtWriter *writer, CtRef ref, size_t bytes)
{
	CtRef at = ct_take(writer, sizeof(CtRetired), false);

	CT_ASSERT(ref != 0 && bytes <= UINT32_MAX); /* S8 */
	if (at == 0)
		return false;
	*(CtRetired *) ct_ptr(writer->arena, at) =
		(CtRetired){.next = writer->store->retired, .ref = ref, .bytes = (uint32_t) bytes};
	writer->store->retired = at;
	return true;
}

/* Undo the last ct_retire(). */
void
ct_unretire(CtWriter *writer)
{
	CtRef at = writer->store->retired;

	CT_ASSERT(writer->store->retired != 0);
	writer->store->retired = ((CtRetired *) ct_ptr(writer->arena, at))->next;
	ct_give(writer, at, sizeof(CtRetired));
}

/* ---- young timelines --------------------------------------------------------- */

void
ct_young_push(CtWriter *writer, CtTimeline *timeline)
{
	CtStore *store = writer->store;
	CtRef ref = ct_ref_of(writer, timeline);

	CT_ASSERT(!timeline->in_young); /* S2 */
	timeline->in_young = true;
	timeline->young_next = 0;
	if (store->young.last != 0)
		((CtTimeline *) ct_ptr(writer->arena, store->young.last))->young_next = ref;
	else
		store->young.first = ref;
	store->young.last = ref;
	store->nyoung_timelines++;
}
