/*
 * validate.c
 *	  Every numbered invariant, checked; the first that is broken is named.
 *
 * Called by tests, fuzzers and whoever wants to be sure.  Its time is that of
 * reading everything, O(n log n) in a store's events.
 *
 * Concurrency: under the partition's lock, shared, for a store; with no arena
 * changing, for a region.  Nothing is written.
 *
 * The invariants are stated at the head of arena.c (A), event.c (E), rule.c
 * (R), timeline.c (T), directory.c (D) and store.c (S).
 *
 * Not here: the law itself, which tests prove against a naive fold.
 */
#include <string.h>

#include "arena.h"
#include "timeline.h"

#define MAX_SUMMARY_BYTES (sizeof(CtSummary) + CT_MAX_ATTRS * sizeof(CtNumberCell))

typedef struct CtCheck
{
	CtShape shape;
	const CtStore *store;
	const char *reason; /* the first invariant found broken */
	uint64_t bytes;     /* found so far */
	uint64_t young;
	uint64_t frozen;
	uint64_t waiting;
	uint64_t recents;
	uint64_t timelines;
	CtRef timeline; /* the one being checked */
	CtRef previous; /* event before, in its tree */
} CtCheck;

typedef union CtSummaryBuffer
{
	CtSummary summary;
	uint64_t words[MAX_SUMMARY_BYTES / sizeof(uint64_t)];
} CtSummaryBuffer;

/* Remember the first reason; true as long as there is none. */
static bool
require(CtCheck *check, bool holds, const char *reason)
{
	if (!holds && check->reason == NULL)
		check->reason = reason;
	return check->reason == NULL;
}

static inline const void *
at(const CtCheck *check, CtRef ref)
{
	return ct_ptr(check->shape.arena, ref);
}

static void
count_bytes(CtCheck *check, size_t bytes)
{
	check->bytes += ct_alloc_size(bytes);
}

/* ---- trees ---------------------------------------------------------------------- */

static bool
cell_equal(const CtShape *shape, const CtSummary *a, const CtSummary *b, int i)
{
	const char *a_cell = (const char *) a + shape->cell[i];
	const char *b_cell = (const char *) b + shape->cell[i];

	if (shape->schema->attr[i].rule >= CT_RULE_SUM)
	{
		const CtNumberCell *f = (const CtNumberCell *) a_cell;
		const CtNumberCell *g = (const CtNumberCell *) b_cell;

		if (f->action != g->action)
			return false;
		if (f->action == CT_SET)
			return ct_wide_cmp(f->a, g->a) == 0;
		return f->action != CT_CLAMP ||
			   (ct_wide_cmp(f->a, g->a) == 0 && ct_wide_cmp(f->lo, g->lo) == 0 &&
				ct_wide_cmp(f->hi, g->hi) == 0);
	}
	if (shape->schema->attr[i].rule == CT_RULE_LAST)
	{
		const CtLastCell *f = (const CtLastCell *) a_cell;
		const CtLastCell *g = (const CtLastCell *) b_cell;

		return f->action == g->action && (f->action != CT_SET || f->event == g->event);
	}
	return true;
}

/* Add every event below a node to the summary, the old way. */
static void
compose_events(const CtCheck *check, CtRef ref, int height, CtSummary *summary)
{
	const CtInner *inner = at(check, ref);
	const CtLeaf *leaf = at(check, ref);

	for (uint32_t i = 0; height == 0 && i < leaf->count; i++)
		ct_summary_add_event(&check->shape, summary, ct_leaf_events(leaf)[i]);
	for (uint32_t i = 0; height > 0 && i < inner->count; i++)
		compose_events(check, inner->entry[i].child, height - 1, summary);
}

static void
check_summary(CtCheck *check, const CtEntry *entry, int height)
{
	const CtSummary *kept = at(check, entry->summary);
	const CtShape *shape = &check->shape;
	CtSummaryBuffer wide;
	CtSummaryBuffer fresh;

	if (!require(check, kept->nattrs <= shape->schema->nattrs, "R4: a summary is too wide"))
		return;
	count_bytes(check, shape->cell[kept->nattrs]);
	ct_summary_widen(shape, kept, &wide.summary);
	ct_summary_clear(shape, &fresh.summary);
	compose_events(check, entry->child, height, &fresh.summary);
	require(check,
			wide.summary.row == fresh.summary.row && wide.summary.finish == fresh.summary.finish,
			"T3: a summary's row is not its events'");
	for (int i = 0; i < shape->schema->nattrs; i++)
		require(check, cell_equal(shape, &wide.summary, &fresh.summary, i),
				"T3: a summary is not the composition of its events");
}

/* The event, and that every entry on the way down to it accounts for it. */
static void
check_entered(CtCheck *check, CtRef ref, const CtEntry *const *path, int depth)
{
	const CtEvent *event = at(check, ref);
	const CtSchema *schema = check->shape.schema;
	uint64_t horizon = check->store->horizon;

	count_bytes(check, ct_event_bytes(event));
	require(check, event->timeline == check->timeline, "T1: an event is in another's tree");
	require(check, event->state == (event->top == 0 ? CT_FROZEN : CT_YOUNG),
			"S2: an entered event is neither young nor frozen");
	check->frozen += event->top == 0;
	check->young += event->top != 0;
	if (check->previous != 0)
	{
		require(check, ct_event_cmp(schema, at(check, check->previous), event) <= 0,
				"T1: events are out of order");
		require(check,
				!ct_event_has_id(schema, event) ||
					ct_event_cmp_identity(schema, at(check, check->previous), event) != 0,
				"T8: twins have entered");
	}
	for (int i = 0; i < depth; i++)
	{
		if (event->top >= horizon && event->top != 0)
			require(check, path[i]->lo <= event->top && event->top <= path[i]->hi,
					"T4: a young event is outside lo/hi");
		else
			require(check, path[i]->frozen || path[i]->lo < horizon,
					"T5: a subtree with a frozen event may be skipped");
	}
	check->previous = ref;
}

static uint32_t check_node(CtCheck *check, CtRef ref, int height, const CtEntry **path, int depth);

static uint32_t
check_leaf(CtCheck *check, const CtLeaf *leaf, const CtEntry **path, int depth)
{
	count_bytes(check, ct_leaf_bytes(leaf->capacity));
	if (!require(check, leaf->count > 0, "T6: a leaf is empty") ||
		!require(check, leaf->count <= leaf->capacity && leaf->capacity <= CT_LEAF_EVENTS,
				 "T6: a leaf is too full"))
		return 0;
	for (uint32_t i = 0; i < leaf->count; i++)
	{
		CtRef ref = ct_leaf_events(leaf)[i];

		require(check, leaf->time[i] == ((const CtEvent *) at(check, ref))->time,
				"T1: a leaf's time is not its event's");
		check_entered(check, ref, path, depth);
	}
	return leaf->count;
}

/* The first event below a node. */
static CtRef
first_of(const CtCheck *check, CtRef ref, int height)
{
	for (; height > 0; height--)
		ref = ((const CtInner *) at(check, ref))->entry[0].child;
	return ct_leaf_events(at(check, ref))[0];
}

static void
check_entry(CtCheck *check, const CtEntry *entry, int height, const CtEntry **path, int depth)
{
	uint32_t count;

	path[depth] = entry;
	require(check, entry->summary != 0 || (depth == 0 && height == 0),
			"T3: an entry has no summary");
	count = check_node(check, entry->child, height, path, depth + 1);
	if (check->reason != NULL)
		return;
	require(check, entry->count == count, "T2: an entry's count is wrong");
	require(check, entry->first == first_of(check, entry->child, height),
			"T2: an entry's first event is another's");
	require(check, entry->time == ((const CtEvent *) at(check, entry->first))->time,
			"T2: an entry's time is not its first event's");
	if (entry->summary != 0)
		check_summary(check, entry, height);
}

/* How many events are below. */
static uint32_t
check_node(CtCheck *check, CtRef ref, int height, const CtEntry **path, int depth)
{
	const CtInner *inner = at(check, ref);
	uint32_t count = 0;

	if (height == 0)
		return check_leaf(check, at(check, ref), path, depth);
	count_bytes(check, sizeof(CtInner));
	if (!require(check, inner->count > 0 && inner->count <= CT_FANOUT,
				 "T6: an inner node is empty or too full"))
		return 0;
	for (uint32_t i = 0; i < inner->count && check->reason == NULL; i++)
	{
		check_entry(check, &inner->entry[i], height - 1, path, depth);
		count += inner->entry[i].count;
	}
	return count;
}

static void
check_tree(CtCheck *check, const CtTimeline *timeline)
{
	const CtEntry *path[CT_MAX_HEIGHT + 1];

	check->previous = 0;
	if (!require(check, timeline->height <= CT_MAX_HEIGHT, "T6: a tree is too high"))
		return;
	if (timeline->root.child != 0)
		check_entry(check, &timeline->root, timeline->height, path, 0);
	require(check, timeline->newest == check->previous, "T7: newest is not the last event");
}

/* ---- timelines ------------------------------------------------------------------- */

static void
check_recents(CtCheck *check, const CtTimeline *timeline)
{
	CtRef previous = 0;
	CtRef ref = timeline->recent;
	uint32_t count = 0;

	for (; ref != 0 && check->reason == NULL; count++)
	{
		const CtEvent *event = at(check, ref);

		require(check, count < timeline->recents, "S1: more recent events than counted");
		require(check, event->prev == previous, "S1: a recent event's link back is wrong");
		require(check, event->timeline == check->timeline, "S1: a recent event is another's");
		require(check, event->state == CT_RECENT || event->state == CT_WAITING,
				"S1: an entered event is in the recent list");
		require(check, event->top != 0, "S2: a recent event has no transaction");
		count_bytes(check, ct_event_bytes(event));
		check->recents += event->state == CT_RECENT;
		check->waiting += event->state == CT_WAITING;
		previous = ref;
		ref = event->next;
	}
	require(check, count == timeline->recents, "S1: fewer recent events than counted");
}

static void
check_timeline(CtCheck *check, CtRef ref)
{
	const CtTimeline *timeline = at(check, ref);
	const CtStore *store = check->store;
	uint32_t key_bytes;
	const void *key = ct_timeline_key(check->shape.arena, ref, &key_bytes);

	check->timeline = ref;
	check->timelines++;
	if (key_bytes > CT_KEY_INLINE)
		count_bytes(check, key_bytes);
	require(check,
			ct_directory_find(check->shape.arena, &store->directory, timeline->hash, key,
							  key_bytes) == ref,
			"D1, D3: a timeline is not found by its key");
	require(check, timeline->recents > 0 || timeline->root.child != 0,
			"S5: a timeline has no event");
	check_recents(check, timeline);
	if (check->reason == NULL)
		check_tree(check, timeline);
}

/* ---- queues ----------------------------------------------------------------------- */

static void
check_batch(CtCheck *check, const CtBatch *batch, uint64_t *events)
{
	CtRef ref = batch->first;
	uint32_t count = 0;

	require(check, batch->count > 0, "S6: a batch is empty");
	for (; ref != 0 && count < batch->count && check->reason == NULL; count++)
	{
		const CtEvent *event = at(check, ref);

		require(check, event->state == CT_RECENT, "S2: an event in a batch is not recent");
		require(check, event->top == batch->top && event->xid == batch->xid,
				"S2: an event is in another transaction's batch");
		require(check, (event->queue == 0) == (ref == batch->last), "S2: a batch ends elsewhere");
		ref = event->queue;
	}
	require(check, ref == 0 && count == batch->count, "S3: a batch's count is wrong");
	*events += count;
}

static void
check_batches(CtCheck *check)
{
	const CtStore *store = check->store;
	CtRef previous = 0;
	uint64_t events = 0;

	for (CtRef ref = store->first_batch; ref != 0 && check->reason == NULL;)
	{
		const CtBatch *batch = at(check, ref);

		count_bytes(check, sizeof(CtBatch));
		require(check, batch->prev == previous, "S2: a batch's link back is wrong");
		check_batch(check, batch, &events);
		require(check, events <= store->recents, "S3: batches hold more than is counted");
		previous = ref;
		ref = batch->next;
	}
	require(check, store->last_batch == previous, "S2: the last batch is not the last");
	require(check, events == store->recents, "S3: recent events are miscounted");
}

static void
check_queue(CtCheck *check, const CtQueue *queue, CtEventState state, uint64_t count,
			const char *reason)
{
	CtRef last = 0;
	uint64_t found = 0;

	for (CtRef ref = queue->first; ref != 0 && found <= count && check->reason == NULL; found++)
	{
		const CtEvent *event = at(check, ref);

		require(check, event->state == state, reason);
		require(check,
				state != CT_WAITING ||
					ct_timeline_twin(&check->shape, at(check, event->timeline), event) != 0,
				"S2: a waiting event has no twin");
		last = ref;
		ref = event->queue;
	}
	require(check, found == count && queue->last == last, reason);
}

/* ---- the directory ------------------------------------------------------------------- */

/* Pages of `bytes` and the nodes above them. */
static void
check_pages(CtCheck *check, const CtPages *pages, uint32_t needed, size_t bytes)
{
	require(check, pages->npages >= needed, "D4: a directory lacks pages");
	check->bytes += pages->npages * ct_alloc_size(bytes);
	for (uint32_t level = 1; level <= pages->height; level++)
	{
		uint64_t span = UINT64_C(1) << (CT_PAGES_SHIFT * level);

		check->bytes +=
			(pages->npages + span - 1) / span * ct_alloc_size(CT_PAGES_FANOUT * sizeof(CtRef));
	}
}

static void
check_directory(CtCheck *check)
{
	const CtDirectory *directory = &check->store->directory;
	uint32_t nfree = 0;

	check_pages(check, &directory->buckets,
				(directory->nbuckets + CT_BUCKETS_PER_PAGE - 1) / CT_BUCKETS_PER_PAGE,
				CT_BUCKETS_PER_PAGE * sizeof(CtRef));
	check_pages(check, &directory->slots,
				(directory->nslots + CT_SLOTS_PER_PAGE - 1) / CT_SLOTS_PER_PAGE,
				CT_SLOTS_PER_PAGE * sizeof(CtTimeline));
	for (CtRef ref = directory->free_slot; ref != 0 && nfree <= directory->nslots; nfree++)
	{
		const CtTimeline *timeline = at(check, ref);

		require(check, !timeline->taken, "D2: a slot in use is in the free list");
		ref = timeline->chain;
	}
	require(check, nfree + directory->count == directory->nslots, "D2: slots are miscounted");
	for (uint32_t slot = 0; slot < directory->nslots && check->reason == NULL; slot++)
	{
		CtRef ref = ct_directory_slot(check->shape.arena, directory, slot);

		if (ref != 0)
		{
			require(check, ((const CtTimeline *) at(check, ref))->slot == slot,
					"D2: a timeline is in another slot");
			check_timeline(check, ref);
		}
	}
	require(check, check->timelines == directory->count, "D2: timelines are miscounted");
}

CtStatus
ct_store_validate(const CtArena *arena, CtRef ref, const char **reason)
{
	const CtStore *store = ct_ptr(arena, ref);
	CtCheck check = {.shape = ct_store_shape(arena, store), .store = store};
	uint32_t cell[CT_MAX_ATTRS + 1];

	count_bytes(&check, sizeof(CtStore));
	count_bytes(&check, check.shape.schema->size);
	count_bytes(&check, ct_layout_bytes(check.shape.schema->nattrs));
	ct_shape_layout(check.shape.schema, cell);
	require(&check,
			memcmp(cell, check.shape.cell, ct_layout_bytes(check.shape.schema->nattrs)) == 0,
			"R4: the layout is not the description's");
	check_batches(&check);
	check_queue(&check, &store->waiting, CT_WAITING, store->nwaiting,
				"S2: the waiting queue is wrong");
	check_queue(&check, &store->young, CT_YOUNG, store->nyoung, "S2: the young queue is wrong");
	if (check.reason == NULL)
		check_directory(&check);
	require(&check, check.recents == store->recents && check.waiting == store->nwaiting,
			"S3: timelines hold other recent events than the queues");
	require(&check, check.young == store->nyoung && check.frozen == store->nfrozen,
			"S3: entered events are miscounted");
	require(&check, check.bytes == store->bytes, "S4: bytes are miscounted");
	*reason = check.reason;
	return check.reason == NULL ? CT_OK : CT_BROKEN;
}

/* ---- regions --------------------------------------------------------------------------- */

/* A4: the freed objects of a page. */
static const char *
check_page_objects(const CtRegion *region, uint32_t number, const CtPage *page)
{
	uint32_t size = ct_class_bytes(page->class) / CT_GRANULE;
	uint32_t capacity = CT_PAGE_GRANULES / size;
	uint32_t nfree = 0;

	if (page->used == 0)
		return "A3: an empty page is kept";
	if (page->fresh > capacity)
		return "A4: a page has more objects than fit";
	for (uint16_t granule = page->free; granule != CT_NO_OBJECT; nfree++)
	{
		if (granule % size != 0 || granule / size >= page->fresh)
			return "A4: a freed object is where none can be";
		if (nfree > capacity)
			return "A4: a free list is circular";
		granule = ct_free_link(ct_region_page_bytes(region, number), granule);
	}
	return page->used + nfree == page->fresh ? NULL : "A4: a page's objects are miscounted";
}

/* A2: the pages of a class that have room. */
static const char *
check_class_list(const CtRegion *region, uint32_t arena, uint32_t class, uint64_t *listed)
{
	uint32_t previous = 0;

	for (uint32_t next = region->arena[arena].first[class]; next != 0;)
	{
		const CtPage *page = ct_region_page(region, next - 1);

		if (next > region->pages || ct_region_owners(region)[next - 1] != arena + 1 ||
			page->class != class || page->prev != previous || ++*listed > region->pages)
			return "A2: a class's list is damaged";
		if (page->used >= CT_PAGE_BYTES / ct_class_bytes(class))
			return "A2: a full page is listed";
		previous = next;
		next = page->next;
	}
	return NULL;
}

/* A5: the run that begins here; its pages must not be looked at again. */
static const char *
check_run(const CtRegion *region, uint32_t first, uint32_t owner)
{
	uint32_t count = ct_region_page(region, first)->next;

	if (count == 0 || count > region->pages - first)
		return "A5: a run's length is wrong";
	for (uint32_t i = 1; i < count; i++)
	{
		if (ct_region_owners(region)[first + i] != owner ||
			ct_region_page(region, first + i)->class != CT_CLASS_REST)
			return "A5: a run is broken";
	}
	return NULL;
}

static const char *
check_pages_owned(const CtRegion *region, uint64_t *owned, uint64_t *with_room)
{
	const char *reason = NULL;

	for (uint32_t i = 0; i < region->pages && reason == NULL; i++)
	{
		uint32_t owner = ct_region_owners(region)[i];
		const CtPage *page = ct_region_page(region, i);

		if (owner > region->arenas)
			return "A1: a page has an owner that is not there";
		if (owner == 0)
			continue;
		owned[owner - 1]++;
		if (page->class == CT_CLASS_RUN)
		{
			reason = check_run(region, i, owner);
			owned[owner - 1] += page->next - 1;
			i += page->next - 1;
		}
		else if (page->class >= ct_class_count())
			reason = "A5: a page is the rest of no run";
		else
		{
			reason = check_page_objects(region, i, page);
			*with_room += page->used < CT_PAGE_BYTES / ct_class_bytes(page->class);
		}
	}
	return reason;
}

CtStatus
ct_region_validate(const void *base, const char **reason)
{
	const CtRegion *region = base;
	uint64_t owned[CT_MAX_ARENAS] = {0};
	uint64_t with_room = 0;
	uint64_t listed = 0;
	uint64_t used = 0;

	*reason = region->magic == CT_REGION_MAGIC ? NULL : "A1: not a region";
	if (*reason == NULL)
		*reason = check_pages_owned(region, owned, &with_room);
	for (uint32_t i = 0; i < region->arenas && *reason == NULL; i++)
	{
		used += owned[i];
		if (owned[i] != region->arena[i].pages)
			*reason = "A1: an arena's pages are miscounted";
		for (uint32_t class = 0; class < ct_class_count() && *reason == NULL; class ++)
			*reason = check_class_list(region, i, class, &listed);
	}
	if (*reason == NULL && listed != with_room)
		*reason = "A2: a page with room is not listed";
	if (*reason == NULL && used != region->used)
		*reason = "A6: used pages are miscounted";
	return *reason == NULL ? CT_OK : CT_BROKEN;
}
