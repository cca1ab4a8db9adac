/*
 * store.c
 *	  The life of events: recent, waiting, young, frozen; and of their store.
 *
 *	  ct_store_add ── batch (recent) ─┬─ ct_store_drop		aborted
 *									  └─ ct_store_enter		committed
 *											 │ its twin has entered: waiting
 *											 ▼
 *										   young ── ct_store_settle ── frozen
 *
 * A store is one table generation's share of one partition.  Batches are
 * queued in the order in which they began; each holds the events of one
 * (sub)transaction that were added without another's in between.
 *
 * Called by ingest.c (adding), worker.c (the rest).
 *
 * Concurrency: under the partition's lock, exclusively, but for what only
 * reads.
 *
 * Invariants:
 *	 S1  The recent list of a timeline holds its recent and waiting events,
 *		 linked both ways, `recents` of them.
 *	 S2  Every recent event is in one batch of its own top and xid, every
 *		 waiting one in the store's waiting queue, every young one in its young
 *		 queue; frozen ones are in no queue, and have no top.
 *	 S3  The counters are the lengths of these.
 *	 S4  `bytes` is the sum of ct_alloc_size() of everything allocated.
 *	 S5  A timeline in the directory has an event.
 *	 S6  No batch is empty.
 *
 * Not here: order and summaries (timeline.c), memory (arena.c).
 */
#include "store.h"

#include <assert.h>
#include <string.h>

#include "timeline.h"

/* ---- access ------------------------------------------------------------------ */

CtShape
ct_store_shape(const CtArena *arena, const CtStore *store)
{
	CtShape shape = {.arena = arena,
					 .schema = ct_ptr(arena, store->schema),
					 .cell = ct_ptr(arena, store->layout)};

	return shape;
}

static CtWriter
writer_of(CtArena *arena, CtRef ref)
{
	CtWriter writer = {.arena = arena, .store = ct_ptr(arena, ref)};

	writer.shape = ct_store_shape(arena, writer.store);
	return writer;
}

CtRef
ct_take(CtWriter *writer, size_t bytes, bool upkeep)
{
	CtRef ref = ct_alloc(writer->arena, bytes, upkeep);

	if (ref != 0)
		writer->store->bytes += ct_alloc_size(bytes);
	return ref;
}

void
ct_give(CtWriter *writer, CtRef ref, size_t bytes)
{
	writer->store->bytes -= ct_alloc_size(bytes);
	ct_free(writer->arena, ref, bytes);
}

const CtSchema *
ct_store_schema(const CtArena *arena, CtRef store)
{
	return ct_ptr(arena, ((CtStore *) ct_ptr(arena, store))->schema);
}

const CtBatch *
ct_store_first_batch(const CtArena *arena, CtRef store, CtRef *batch)
{
	*batch = ((CtStore *) ct_ptr(arena, store))->first_batch;
	return *batch == 0 ? NULL : ct_ptr(arena, *batch);
}

const CtBatch *
ct_store_next_batch(const CtArena *arena, CtRef *batch)
{
	*batch = ((CtBatch *) ct_ptr(arena, *batch))->next;
	return *batch == 0 ? NULL : ct_ptr(arena, *batch);
}

CtRef
ct_store_find(const CtArena *arena, CtRef store, uint64_t hash, const void *key, uint32_t key_bytes)
{
	return ct_directory_find(arena, &((CtStore *) ct_ptr(arena, store))->directory, hash, key,
							 key_bytes);
}

CtRef
ct_store_next(const CtArena *arena, CtRef store, uint32_t *position)
{
	const CtDirectory *directory = &((CtStore *) ct_ptr(arena, store))->directory;

	while (*position < directory->nslots)
	{
		CtRef timeline = ct_directory_slot(arena, directory, (*position)++);

		if (timeline != 0)
			return timeline;
	}
	return 0;
}

CtRef
ct_timeline_recent(const CtArena *arena, CtRef timeline, uint32_t *count)
{
	const CtTimeline *t = ct_ptr(arena, timeline);

	*count = t->recents;
	return t->recent;
}

void
ct_store_stats(const CtArena *arena, CtRef ref, CtStats *stats)
{
	const CtStore *store = ct_ptr(arena, ref);

	stats->keys = store->directory.count;
	stats->recent = store->recents + store->nwaiting;
	stats->young = store->nyoung;
	stats->frozen = store->nfrozen;
	stats->duplicates = store->duplicates;
	stats->conflicts = store->conflicts;
	stats->late = store->late;
	stats->bytes = store->bytes;
	stats->newest = store->newest;
}

/* ---- lists -------------------------------------------------------------------- */

static void
queue_push(const CtWriter *writer, CtQueue *queue, CtRef ref, CtEvent *event)
{
	event->queue = 0;
	if (queue->last != 0)
		((CtEvent *) ct_ptr(writer->arena, queue->last))->queue = ref;
	else
		queue->first = ref;
	queue->last = ref;
}

static void
queue_pop(const CtWriter *writer, CtQueue *queue)
{
	queue->first = ((CtEvent *) ct_ptr(writer->arena, queue->first))->queue;
	if (queue->first == 0)
		queue->last = 0;
}

static void
recent_link(const CtWriter *writer, CtTimeline *timeline, CtRef ref, CtEvent *event)
{
	event->prev = 0;
	event->next = timeline->recent;
	if (timeline->recent != 0)
		((CtEvent *) ct_ptr(writer->arena, timeline->recent))->prev = ref;
	timeline->recent = ref;
	timeline->recents++;
}

static void
recent_unlink(const CtWriter *writer, CtTimeline *timeline, CtEvent *event)
{
	if (event->prev != 0)
		((CtEvent *) ct_ptr(writer->arena, event->prev))->next = event->next;
	else
		timeline->recent = event->next;
	if (event->next != 0)
		((CtEvent *) ct_ptr(writer->arena, event->next))->prev = event->prev;
	event->prev = event->next = 0;
	timeline->recents--;
}

/* Forget a recent or waiting event that is in no queue any more. */
static void
event_forget(CtWriter *writer, CtRef ref)
{
	CtEvent *event = ct_ptr(writer->arena, ref);
	CtRef timeline_ref = event->timeline;
	CtTimeline *timeline = ct_ptr(writer->arena, timeline_ref);

	recent_unlink(writer, timeline, event);
	ct_give(writer, ref, ct_event_bytes(event));
	if (timeline->recents == 0 && timeline->root.child == 0)
		ct_directory_remove(writer, timeline_ref); /* S5 */
}

/* ---- creating and widening ------------------------------------------------------ */

/* A copy of the description and its layout; false: no room. */
static bool
schema_keep(CtWriter *writer, const CtSchema *schema)
{
	CtRef copy = ct_take(writer, schema->size, false);
	CtRef layout = ct_take(writer, ct_layout_bytes(schema->nattrs), false);

	if (copy == 0 || layout == 0)
	{
		if (copy != 0)
			ct_give(writer, copy, schema->size);
		if (layout != 0)
			ct_give(writer, layout, ct_layout_bytes(schema->nattrs));
		return false;
	}
	memcpy(ct_ptr(writer->arena, copy), schema, schema->size);
	ct_shape_layout(schema, ct_ptr(writer->arena, layout));
	writer->store->schema = copy;
	writer->store->layout = layout;
	return true;
}

static void
schema_give(CtWriter *writer, CtRef schema, CtRef layout)
{
	const CtSchema *old = ct_ptr(writer->arena, schema);

	ct_give(writer, layout, ct_layout_bytes(old->nattrs));
	ct_give(writer, schema, old->size);
}

CtStatus
ct_store_create(CtArena *arena, const CtSchema *schema, CtRef *ref)
{
	CtStatus status = ct_schema_check(schema);
	CtWriter writer = {.arena = arena};

	if (status != CT_OK)
		return status;
	*ref = ct_alloc(arena, sizeof(CtStore), false);
	if (*ref == 0)
		return CT_NO_MEMORY;
	writer.store = ct_ptr(arena, *ref);
	memset(writer.store, 0, sizeof(CtStore));
	writer.store->bytes = ct_alloc_size(sizeof(CtStore));
	writer.store->newest = INT64_MIN;
	if (!schema_keep(&writer, schema))
	{
		ct_free(arena, *ref, sizeof(CtStore));
		*ref = 0;
		return CT_NO_MEMORY;
	}
	return CT_OK;
}

CtStatus
ct_store_widen(CtArena *arena, CtRef ref, const CtSchema *schema)
{
	CtWriter writer = writer_of(arena, ref);
	CtRef old_schema = writer.store->schema;
	CtRef old_layout = writer.store->layout;
	CtStatus status = ct_schema_check(schema);

	if (status != CT_OK)
		return status;
	if (schema->nattrs < writer.shape.schema->nattrs)
		return CT_BROKEN;
	if (!schema_keep(&writer, schema))
		return CT_NO_MEMORY;
	schema_give(&writer, old_schema, old_layout);
	return CT_OK;
}

/* ---- adding ---------------------------------------------------------------------- */

/* The batch to add to; a new, empty one is not in the queue yet. */
static CtRef
batch_for(CtWriter *writer, const CtLabel *label)
{
	CtRef ref = writer->store->last_batch;
	CtBatch *batch = ct_ptr(writer->arena, ref);

	if (ref != 0 && batch->top == label->top && batch->xid == label->xid)
		return ref;
	ref = ct_take(writer, sizeof(CtBatch), false);
	if (ref != 0)
	{
		batch = ct_ptr(writer->arena, ref);
		memset(batch, 0, sizeof(CtBatch));
		batch->top = label->top;
		batch->xid = label->xid;
	}
	return ref;
}

static void
batch_add(CtWriter *writer, CtRef ref, CtRef event)
{
	CtBatch *batch = ct_ptr(writer->arena, ref);
	CtStore *store = writer->store;

	if (batch->count == 0)
	{
		batch->first = event;
		batch->prev = store->last_batch;
		if (batch->prev != 0)
			((CtBatch *) ct_ptr(writer->arena, batch->prev))->next = ref;
		else
			store->first_batch = ref;
		store->last_batch = ref;
	}
	else
		((CtEvent *) ct_ptr(writer->arena, batch->last))->queue = event;
	batch->last = event;
	batch->count++;
}

/* The first event leaves the batch, which is freed with its last: true. */
static bool
batch_pop(CtWriter *writer, CtRef ref)
{
	CtBatch *batch = ct_ptr(writer->arena, ref);
	CtStore *store = writer->store;

	batch->first = ((CtEvent *) ct_ptr(writer->arena, batch->first))->queue;
	if (--batch->count > 0)
		return false;
	if (batch->prev != 0)
		((CtBatch *) ct_ptr(writer->arena, batch->prev))->next = batch->next;
	else
		store->first_batch = batch->next;
	if (batch->next != 0)
		((CtBatch *) ct_ptr(writer->arena, batch->next))->prev = batch->prev;
	else
		store->last_batch = batch->prev;
	ct_give(writer, ref, sizeof(CtBatch));
	return true;
}

_Static_assert((offsetof(CtEvent, payload) + CT_GRANULE - 1) / CT_GRANULE * CT_GRANULE >=
				   sizeof(CtEvent),
			   "an event without payload has room for the padding, too");

static CtRef
event_make(CtWriter *writer, const CtChange *change, const CtLabel *label)
{
	CtRef ref = ct_take(writer, offsetof(CtEvent, payload) + change->payload_bytes, false);
	CtEvent *event = ct_ptr(writer->arena, ref);

	if (ref == 0)
		return 0;
	*event = (CtEvent){.time = change->time,
					   .set = change->set,
					   .null = change->null,
					   .top = label->top,
					   .xid = label->xid,
					   .cid = label->cid,
					   .payload_bytes = change->payload_bytes,
					   .kind = change->kind,
					   .state = CT_RECENT};
	if (change->payload_bytes > 0)
		memcpy(event->payload, change->payload, change->payload_bytes);
	return ref;
}

CtStatus
ct_store_add(CtArena *arena, CtRef ref, uint64_t hash, const void *key, uint32_t key_bytes,
			 const CtChange *change, const CtLabel *label)
{
	CtWriter writer = writer_of(arena, ref);
	CtRef event;
	CtRef batch;
	CtRef timeline;

	if (key_bytes > CT_MAX_KEY_BYTES || change->payload_bytes > CT_MAX_PAYLOAD_BYTES)
		return CT_LIMIT;
	if (label->top == 0 || !ct_change_valid(writer.shape.schema, change))
		return CT_BROKEN;

	event = event_make(&writer, change, label);
	if (event == 0)
		return CT_NO_MEMORY;
	batch = batch_for(&writer, label);
	timeline =
		batch == 0 ? 0 : ct_directory_find(arena, &writer.store->directory, hash, key, key_bytes);
	if (batch != 0 && timeline == 0)
		timeline = ct_directory_add(&writer, hash, key, key_bytes);
	if (timeline == 0)
	{
		if (batch != 0 && ((CtBatch *) ct_ptr(arena, batch))->count == 0)
			ct_give(&writer, batch, sizeof(CtBatch));
		ct_give(&writer, event, ct_event_bytes(ct_ptr(arena, event)));
		return CT_NO_MEMORY;
	}

	((CtEvent *) ct_ptr(arena, event))->timeline = timeline;
	recent_link(&writer, ct_ptr(arena, timeline), event, ct_ptr(arena, event));
	batch_add(&writer, batch, event);
	writer.store->recents++;
	if (change->time > writer.store->newest)
		writer.store->newest = change->time;
	return CT_OK;
}

/* ---- entering and dropping --------------------------------------------------------- */

/* Where is the event in time: may a state that it changes have been read? */
static bool
may_be_news(const CtWriter *writer, const CtTimeline *timeline, int64_t time, int64_t served)
{
	const CtEvent *newest = ct_ptr(writer->arena, timeline->newest);

	return time <= served || (timeline->root.child != 0 && time < newest->time);
}

static void
changed_add(CtChanged *changed, int64_t from, int64_t to)
{
	if (changed->events == 0 || from < changed->from)
		changed->from = from;
	if (changed->events == 0 || to > changed->to)
		changed->to = to;
	changed->events++;
}

/* A committed event whose twin has not entered. */
static CtStatus
event_enter(CtWriter *writer, CtRef ref, int64_t served, CtChanged *changed)
{
	CtStore *store = writer->store;
	CtEvent *event = ct_ptr(writer->arena, ref);
	CtTimeline *timeline = ct_ptr(writer->arena, event->timeline);
	const CtEvent *newest = ct_ptr(writer->arena, timeline->newest);
	bool late = timeline->root.child != 0 && event->time < newest->time;
	bool news = false;
	int64_t end = 0;

	if (may_be_news(writer, timeline, event->time, served))
		news = ct_timeline_effect(&writer->shape, timeline, event, NULL, &end);
	if (ct_timeline_insert(writer, timeline, ref) != CT_OK)
		return CT_NO_MEMORY;
	recent_unlink(writer, timeline, event);
	store->late += late;
	if (news)
		changed_add(changed, event->time, end);
	return CT_OK;
}

CtStatus
ct_store_enter(CtArena *arena, CtRef ref, CtRef batch, int limit, int64_t served,
			   CtChanged *changed)
{
	CtWriter writer = writer_of(arena, ref);
	CtStore *store = writer.store;

	for (int i = 0; i < limit; i++)
	{
		CtRef event_ref = ((CtBatch *) ct_ptr(arena, batch))->first;
		CtEvent *event = ct_ptr(arena, event_ref);
		bool waits = ct_timeline_twin(&writer.shape, ct_ptr(arena, event->timeline), event) != 0;
		bool done;

		if (!waits && event_enter(&writer, event_ref, served, changed) != CT_OK)
			return CT_NO_MEMORY;
		done = batch_pop(&writer, batch);
		store->recents--;
		event->state = waits ? CT_WAITING : CT_YOUNG;
		queue_push(&writer, waits ? &store->waiting : &store->young, event_ref, event);
		if (waits)
			store->nwaiting++;
		else
			store->nyoung++;
		if (done)
			return CT_OK;
	}
	return CT_AGAIN;
}

CtStatus
ct_store_drop(CtArena *arena, CtRef ref, CtRef batch, int limit)
{
	CtWriter writer = writer_of(arena, ref);

	for (int i = 0; i < limit; i++)
	{
		CtRef event = ((CtBatch *) ct_ptr(arena, batch))->first;
		bool done = batch_pop(&writer, batch);

		writer.store->recents--;
		event_forget(&writer, event);
		if (done)
			return CT_OK;
	}
	return CT_AGAIN;
}

/* ---- settling ------------------------------------------------------------------------ */

/* Freeze the first young event, if everyone sees it. */
static bool
freeze_one(CtWriter *writer)
{
	CtStore *store = writer->store;
	CtEvent *event = ct_ptr(writer->arena, store->young.first);

	if (store->young.first == 0 || event->top >= store->horizon)
		return false;
	queue_pop(writer, &store->young);
	event->queue = 0;
	event->top = 0;
	event->state = CT_FROZEN;
	store->nyoung--;
	store->nfrozen++;
	return true;
}

/* A waiting event everyone sees comes first by content: its frozen twin goes. */
static CtStatus
twin_replace(CtWriter *writer, CtRef ref, CtRef twin_ref, int64_t served, CtChanged *changed)
{
	CtEvent *event = ct_ptr(writer->arena, ref);
	CtEvent *twin = ct_ptr(writer->arena, twin_ref);
	CtTimeline *timeline = ct_ptr(writer->arena, event->timeline);
	uint64_t top = event->top;
	bool news = false;
	int64_t end = 0;

	if (may_be_news(writer, timeline, event->time, served))
		news = ct_timeline_effect(&writer->shape, timeline, event, twin, &end);
	event->top = 0; /* before entries are computed from it */
	if (ct_timeline_replace(writer, timeline, twin_ref, ref) != CT_OK)
	{
		event->top = top;
		return CT_NO_MEMORY;
	}
	if (news)
		changed_add(changed, event->time, end);
	recent_unlink(writer, timeline, event);
	event->state = CT_FROZEN;
	ct_give(writer, twin_ref, ct_event_bytes(twin));
	return CT_OK;
}

/*
 * Decide about the first waiting event, once everyone sees it and its twin,
 * which is when the twin is frozen.  CT_AGAIN: not yet.  What has entered is
 * only ever replaced by its twin, so the twin is there (T8).
 */
static CtStatus
decide_one(CtWriter *writer, int64_t served, CtChanged *changed)
{
	CtStore *store = writer->store;
	CtRef ref = store->waiting.first;
	CtEvent *event = ct_ptr(writer->arena, ref);
	CtRef twin;
	int order;

	if (ref == 0 || event->top >= store->horizon)
		return CT_AGAIN;
	twin = ct_timeline_twin(&writer->shape, ct_ptr(writer->arena, event->timeline), event);
	assert(twin != 0);
	if (((CtEvent *) ct_ptr(writer->arena, twin))->state != CT_FROZEN)
		return CT_AGAIN;

	order = ct_event_cmp(writer->shape.schema, event, ct_ptr(writer->arena, twin));
	if (order < 0 && twin_replace(writer, ref, twin, served, changed) != CT_OK)
		return CT_NO_MEMORY;
	queue_pop(writer, &store->waiting);
	event->queue = 0;
	if (order >= 0)
		event_forget(writer, ref);
	store->nwaiting--;
	store->conflicts += order != 0;
	store->duplicates += order == 0;
	return CT_OK;
}

CtStatus
ct_store_settle(CtArena *arena, CtRef ref, uint64_t horizon, int limit, int64_t served,
				CtChanged *changed)
{
	CtWriter writer = writer_of(arena, ref);
	int looked = 0;

	if (horizon > writer.store->horizon)
		writer.store->horizon = horizon;
	while (looked < limit && freeze_one(&writer))
		looked++;
	while (looked < limit)
	{
		CtStatus status = decide_one(&writer, served, changed);

		if (status != CT_OK)
			return status == CT_AGAIN ? CT_OK : status;
		looked++;
	}
	return CT_AGAIN;
}

/* ---- freeing --------------------------------------------------------------------------- */

/* Free recent and waiting events of a timeline; how many were. */
static int
recents_free(CtWriter *writer, CtTimeline *timeline, int limit)
{
	int freed = 0;

	while (timeline->recent != 0 && freed < limit)
	{
		CtRef ref = timeline->recent;
		CtEvent *event = ct_ptr(writer->arena, ref);

		recent_unlink(writer, timeline, event);
		ct_give(writer, ref, ct_event_bytes(event));
		freed++;
	}
	return freed;
}

/* Free up to `limit` events of the timelines; how many were. */
static int
timelines_free(CtWriter *writer, int limit)
{
	CtDirectory *directory = &writer->store->directory;
	int freed = 0;

	while (writer->store->freeing < directory->nslots && freed < limit)
	{
		CtRef ref = ct_directory_slot(writer->arena, directory, writer->store->freeing);
		CtTimeline *timeline = ct_ptr(writer->arena, ref);

		if (ref != 0)
		{
			freed += recents_free(writer, timeline, limit - freed);
			freed += ct_timeline_free(writer, timeline, limit - freed);
			if (timeline->recent != 0 || timeline->root.child != 0)
				break;
			ct_directory_forget_key(writer, timeline);
			timeline->taken = false;
			directory->count--;
		}
		else
			freed++;
		writer->store->freeing++;
	}
	return freed;
}

/*
 * Batches first, then timelines, then the directory, each piece counted as an
 * event.  Once begun, nothing but this may be called, and ct_store_stats().
 */
CtStatus
ct_store_free(CtArena *arena, CtRef ref, int limit)
{
	CtWriter writer = writer_of(arena, ref);
	CtStore *store = writer.store;
	int freed = 0;

	store->waiting = store->young = (CtQueue){0, 0};
	store->recents = store->nwaiting = store->nyoung = store->nfrozen = 0;
	for (; store->first_batch != 0 && freed < limit; freed++)
	{
		CtRef batch = store->first_batch;

		store->first_batch = ((CtBatch *) ct_ptr(arena, batch))->next;
		ct_give(&writer, batch, sizeof(CtBatch));
	}
	if (freed < limit)
		freed += timelines_free(&writer, limit - freed);
	while (freed < limit && ct_directory_free_page(&writer))
		freed++;
	if (freed >= limit)
		return CT_AGAIN;

	schema_give(&writer, store->schema, store->layout);
	assert(store->bytes == ct_alloc_size(sizeof(CtStore))); /* S4 */
	ct_free(arena, ref, sizeof(CtStore));
	return CT_OK;
}
