/*
 * store.c
 *	  A store: the states of its events (recent, waiting, young, frozen).
 *
 *	  ct_store_add ── batch (recent) ─┬─ ct_store_drop       aborted
 *									  └─ ct_store_enter      committed
 *											 │
 *											 ├─ waiting: a retraction, or its
 *											 │  duplicate has entered
 *											 ▼
 *										   young ── ct_store_settle ── frozen
 *
 * A store is one table generation's share of one partition.  Batches are
 * queued in the order in which they began.  A batch holds events that one
 * (sub)transaction added one after the other; it ends when another transaction
 * adds an event.
 *
 * Called through engine.h by src/store and src/durable.
 *
 * Concurrency: the caller holds the partition's lock, exclusively if the
 * function changes anything.  A timeline is changed between ct_change_begin()
 * and ct_change_end(), so that readers without the lock notice it (read.c).
 *
 * Invariants:
 *	 S1  The recent list of a timeline holds its recent and waiting events,
 *		 doubly linked; there are `recents` of them.
 *	 S2  Every recent event is in one batch, which has the event's top and xid.
 *		 Every waiting event is in the store's waiting queue: it is a
 *		 retraction, or its duplicate has entered (and may have been retracted
 *		 since).  Every timeline with young events is in the list of those.
 *	 S3  The counters equal the lengths of these lists.
 *	 S4  `bytes` is the sum of ct_alloc_size() of everything allocated.
 *	 S5  A timeline in the directory has an event or a base, or is in the list
 *		 of timelines to be settled, or records that its key has no events
 *		 (partial.c).
 *	 S6  No batch is empty.
 *	 S7  Layouts are numbered from 1, and no two are equal.  The layout of a
 *		 record describes its contents.
 *	 S8  Schemas, layouts and lists of layouts never move and live as long as
 *		 the store.  They exist before the first event that needs them.
 *
 * Not here: order and summaries (timeline.c), memory (arena.c), stores that
 * lack keys (partial.c).
 */
#include "engine/effect.h"

#include <string.h>

#include "engine/base.h"
#include "engine/layout.h"
#include "engine/timeline.h"

/* ---- access ------------------------------------------------------------------ */

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
ct_store_newest(const CtArena *arena, CtRef ref, bool other, CtNewest *newest)
{
	const CtStore *store = ct_ptr(arena, ref);

	*newest = other ? store->other : store->entered;
}

const void *
ct_store_key_of_hash(const CtArena *arena, CtRef ref, uint64_t hash, uint32_t *key_bytes)
{
	const CtStore *store = ct_ptr(arena, ref);
	const CtRef *head = ct_directory_head(arena, &store->directory, hash);
	CtRef timeline = head == NULL ? 0 : *head;

	while (timeline != 0 && ((const CtTimeline *) ct_ptr(arena, timeline))->hash != hash)
		timeline = ((const CtTimeline *) ct_ptr(arena, timeline))->chain;
	return timeline == 0 ? NULL : ct_timeline_key(arena, timeline, key_bytes);
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
	stats->retracted = store->retracted;
	stats->unmatched = store->unmatched;
	stats->late = store->late;
	stats->net = store->net;
	stats->folded = store->folded;
	stats->bytes = store->bytes;
	stats->newest_entered = store->entered.time;
	stats->retained = store->retained;
}

/* ---- lists ------------------------------------------------------------------- */

static void
enqueue_event(const CtWriter *writer, CtQueue *queue, CtRef ref, CtEvent *event)
{
	event->queue = 0;
	if (queue->last != 0)
		((CtEvent *) ct_ptr(writer->arena, queue->last))->queue = ref;
	else
		queue->first = ref;
	queue->last = ref;
}

static void
dequeue_event(const CtWriter *writer, CtQueue *queue)
{
	CT_ASSERT(queue->first != 0 && queue->last != 0);
	queue->first = ((CtEvent *) ct_ptr(writer->arena, queue->first))->queue;
	if (queue->first == 0)
		queue->last = 0;
}

/* Remove an event from the queue.  It is usually near the front. */
static void
remove_queued(const CtWriter *writer, CtQueue *queue, CtRef ref)
{
	CtRef before = 0;

	CT_ASSERT(queue->first != 0); /* S2 */
	for (CtRef at = queue->first; at != ref; at = ((CtEvent *) ct_ptr(writer->arena, at))->queue)
		before = at;
	if (before == 0)
	{
		dequeue_event(writer, queue);
		return;
	}
	((CtEvent *) ct_ptr(writer->arena, before))->queue =
		((CtEvent *) ct_ptr(writer->arena, ref))->queue;
	if (queue->last == ref)
		queue->last = before;
}

static CtTimeline *
pop_young(CtWriter *writer)
{
	CtStore *store = writer->store;
	CtTimeline *timeline = ct_ptr(writer->arena, store->young.first);

	CT_ASSERT(store->nyoung_timelines > 0 && timeline->in_young); /* S2 */
	store->young.first = timeline->young_next;
	if (store->young.first == 0)
		store->young.last = 0;
	store->nyoung_timelines--;
	timeline->in_young = false;
	return timeline;
}

static void
link_recent(const CtWriter *writer, CtTimeline *timeline, CtRef ref, CtEvent *event)
{
	CT_ASSERT(ct_is_changing(timeline));
	CT_ASSERT((timeline->recent == 0) == (timeline->recents == 0)); /* S1 */
	event->prev = 0;
	event->next = timeline->recent;
	if (timeline->recent != 0)
		((CtEvent *) ct_ptr(writer->arena, timeline->recent))->prev = ref;
	timeline->recent = ref;
	timeline->recents++;
}

static void
unlink_recent(const CtWriter *writer, CtTimeline *timeline, CtEvent *event)
{
	CT_ASSERT(timeline->recents > 0);                                                /* S1 */
	CT_ASSERT(event->prev != 0 || ct_ptr(writer->arena, timeline->recent) == event); /* S1 */
	if (event->prev != 0)
		((CtEvent *) ct_ptr(writer->arena, event->prev))->next = event->next;
	else
		timeline->recent = event->next;
	if (event->next != 0)
		((CtEvent *) ct_ptr(writer->arena, event->next))->prev = event->prev;
	event->prev = event->next = 0;
	timeline->recents--;
}

static const CtLayout *
get_event_layout(const CtWriter *writer, const CtEvent *event, CtLayout *scratch)
{
	return ct_layout_of(&writer->context, event->layout, event->record, scratch);
}

/* Free an event that is in no list.  `owns`: free its out-of-line values, too. */
static void
free_event(CtWriter *writer, CtRef ref, bool owns)
{
	CtEvent *event = ct_ptr(writer->arena, ref);
	CtLayout scratch;
	const CtLayout *layout = get_event_layout(writer, event, &scratch);

	CT_ASSERT(writer->store->nretractions >= event->retracts); /* S3 */
	if (owns)
		ct_record_free(writer, layout, event->record);
	writer->store->nretractions -= event->retracts;
	ct_give(writer, ref, offsetof(CtEvent, record) + layout->bytes);
}

/* Remove a recent or waiting event that is no longer in a queue from its timeline. */
static void
remove_recent(CtWriter *writer, CtRef ref)
{
	CtEvent *event = ct_ptr(writer->arena, ref);
	CtRef timeline_ref = event->timeline;
	CtTimeline *timeline = ct_ptr(writer->arena, timeline_ref);

	ct_change_begin(timeline);
	unlink_recent(writer, timeline, event);
	free_event(writer, ref, true);
	if (ct_timeline_is_over(writer->store, timeline))
		ct_directory_remove(writer, timeline_ref); /* S5 */
	ct_change_end(timeline);
}

/* ---- creating and widening --------------------------------------------------- */

/*
 * Copy the schema into the store, and set the masks that derive from it.  False: no
 * memory.
 */
static bool
copy_schema(CtWriter *writer, const CtSchema *schema)
{
	CtRef copy = ct_take(writer, schema->size, false);

	CT_ASSERT(schema->nattrs <= CT_MAX_ATTRS && schema->size >= sizeof(CtSchema));
	if (copy == 0)
		return false;
	memcpy(ct_ptr(writer->arena, copy), schema, schema->size);
	writer->store->schema = copy;
	writer->store->lasts = writer->store->hidden = 0;
	writer->store->linear = writer->store->moving = 0;
	writer->store->sums = writer->store->initial = 0;
	writer->store->plain = true;
	for (int i = 0; i < schema->nattrs; i++)
	{
		const CtAttr *attr = &schema->attr[i];

		if (ct_is_last(attr))
			writer->store->lasts |= UINT64_C(1) << i;
		if (attr->rule != CT_RULE_NONE && ct_may_be_nan(attr))
			writer->store->hidden |= UINT64_C(1) << i;
		if (attr->linear && attr->rule != CT_RULE_NONE)
			writer->store->linear |= UINT64_C(1) << i;
		if (ct_moves(attr))
			writer->store->moving |= UINT64_C(1) << i;
		if (attr->has_initial && attr->rule != CT_RULE_NONE)
			writer->store->initial |= UINT64_C(1) << i;
		if (ct_only_adds(attr))
			writer->store->sums |= UINT64_C(1) << i;
		else if (attr->rule != CT_RULE_NONE && (!ct_is_last(attr) || ct_is_number(attr)))
			writer->store->plain = false;
	}
	return true;
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
	writer.store->entered.time = writer.store->other.time = INT64_MIN;
	writer.store->retained = INT64_MIN;
	writer.store->nlayouts = 1; /* number 0: the record describes itself */
	if (!copy_schema(&writer, schema))
	{
		ct_free(arena, *ref, sizeof(CtStore));
		*ref = 0;
		return CT_NO_MEMORY;
	}
	return CT_OK;
}

void
ct_store_keep(CtArena *arena, CtRef ref)
{
	((CtStore *) ct_ptr(arena, ref))->keeps = true;
}

/* Replace the schema.  Retire the old one, as readers without the lock may still use it. */
static CtStatus
replace_schema(CtWriter *writer, const CtSchema *schema)
{
	if (!ct_retire(writer, writer->store->schema, writer->context.schema->size))
		return CT_NO_MEMORY;
	if (copy_schema(writer, schema))
		return CT_OK;
	ct_unretire(writer);
	return CT_NO_MEMORY;
}

CtStatus
ct_store_widen(CtArena *arena, CtRef ref, const CtSchema *schema)
{
	CtWriter writer = ct_writer(arena, ref);
	CtStatus status = ct_schema_check(schema);

	if (status != CT_OK)
		return status;
	if (schema->nattrs < writer.context.schema->nattrs ||
		schema->id_first != writer.context.schema->id_first ||
		schema->id_of_key != writer.context.schema->id_of_key)
		return CT_BROKEN;
	for (int i = writer.context.schema->nattrs; i < schema->nattrs; i++)
	{
		if (ct_moves(&schema->attr[i]))
			return CT_BROKEN; /* rates before the column existed are not known */
	}
	return replace_schema(&writer, schema);
}

CtStatus
ct_store_redefine(CtArena *arena, CtRef ref, const CtSchema *schema)
{
	CtWriter writer = ct_writer(arena, ref);
	CtStatus status = ct_schema_check(schema);

	if (status != CT_OK)
		return status;
	if (schema->nattrs < writer.context.schema->nattrs)
		return CT_BROKEN;
	if ((schema->id_first != writer.context.schema->id_first ||
		 schema->id_of_key != writer.context.schema->id_of_key) &&
		writer.store->directory.count > 0)
		return CT_BROKEN; /* the events are in the other order, or have another identity */
	for (int i = 0; i < schema->nattrs && writer.store->directory.count > 0; i++)
	{
		if (ct_moves(&schema->attr[i]) &&
			(i >= writer.context.schema->nattrs || !ct_moves(&writer.context.schema->attr[i])))
			return CT_BROKEN;
	}
	status = replace_schema(&writer, schema);
	if (status == CT_OK)
		ct_layouts_renew(&writer);
	return status;
}

/* ---- adding ------------------------------------------------------------------ */

/*
 * Return the last batch if it belongs to the same (sub)transaction, else a new one,
 * which is empty and not yet in the queue.  0: no memory.
 */
static CtRef
get_batch(CtWriter *writer, const CtLabel *label)
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
add_to_batch(CtWriter *writer, CtRef ref, CtRef event, uint64_t hash)
{
	CtBatch *batch = ct_ptr(writer->arena, ref);
	CtStore *store = writer->store;
	int64_t time = ((CtEvent *) ct_ptr(writer->arena, event))->time;

	CT_ASSERT(batch->count == 0 || (batch->first != 0 && batch->last != 0)); /* S6 */
	CT_ASSERT(event != 0);
	if (batch->count == 0 || time < batch->oldest)
		batch->oldest = time;
	if (batch->count == 0 || time > batch->newest)
	{
		batch->newest = time;
		batch->newest_hash = hash;
	}
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

/*
 * Remove the first event of the batch.  Free the batch if it is then empty, and
 * return true.
 */
static bool
pop_from_batch(CtWriter *writer, CtRef ref)
{
	CtBatch *batch = ct_ptr(writer->arena, ref);
	CtStore *store = writer->store;

	CT_ASSERT(batch->count > 0); /* S6 */
	batch->first = ((CtEvent *) ct_ptr(writer->arena, batch->first))->queue;
	CT_ASSERT(batch->first != 0 || batch->count == 1); /* S6 */
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

static CtStatus
make_event(CtWriter *writer, const CtChange *change, const CtLabel *label, CtRef *ref)
{
	CtLayout scratch;
	const CtLayout *layout = writer->last;
	uint32_t number = writer->last_number;
	bool verbatim = ct_is_verbatim(writer, change);
	CtStatus status = CT_OK;
	size_t bytes;
	CtEvent *event;

	if (!verbatim)
		status = ct_change_layout(writer, change, &layout, &scratch, &number);
	if (status != CT_OK)
		return status;
	bytes = offsetof(CtEvent, record) + layout->bytes;
	*ref = ct_take(writer, bytes, false);
	if (*ref == 0)
		return CT_NO_MEMORY;
	event = ct_ptr(writer->arena, *ref);
	event->time = change->time;
	event->top = label->top;
	event->xid = label->xid;
	event->cid = label->cid;
	event->span = label->top - label->ended < UINT32_MAX ? (uint32_t) (label->top - label->ended)
														 : UINT32_MAX;
	event->timeline = event->prev = event->next = event->queue = 0;
	event->layout = (uint16_t) number;
	event->state = CT_RECENT;
	event->late = false;
	event->retracts = change->retracts;
	if (verbatim)
		memcpy(event->record, change->payload, change->payload_bytes);
	else
		status = ct_record_write(writer, change, layout, number == 0, event->record);
	if (status != CT_OK)
		ct_give(writer, *ref, bytes);
	else
		writer->store->nretractions += event->retracts;
	return status;
}

/* Note an event that enters, for ct_store_newest(). */
static inline void
note_newest(CtStore *store, int64_t time, uint64_t hash, uint64_t top)
{
	if (time > store->entered.time)
	{
		if (top != store->entered.top)
		{
			store->other = store->entered;
			store->entered.top = top;
		}
		store->entered.time = time;
		store->entered.hash = hash;
	}
	else if (time > store->other.time && top != store->entered.top)
		store->other = (CtNewest){time, hash, top};
	CT_ASSERT(store->other.time <= store->entered.time);
}

static CtStatus
link_event(CtWriter *writer, uint64_t hash, const void *key, uint32_t key_bytes,
		   const CtChange *change, const CtLabel *label)
{
	CtArena *arena = writer->arena;
	CtStatus status;
	CtRef event;
	CtRef batch;
	CtRef timeline;

	if (key_bytes > CT_MAX_KEY_BYTES)
		return CT_LIMIT;
	if ((uint32_t) label->top == 0)
		return CT_BROKEN;
	if (change->time < writer->store->retained)
		return CT_TOO_LATE;
	status = make_event(writer, change, label, &event);
	if (status != CT_OK)
		return status;
	batch = get_batch(writer, label);
	timeline = batch == 0 ? 0 : ct_writer_timeline(writer, hash, key, key_bytes);
	if (timeline == 0)
	{
		if (batch != 0 && ((CtBatch *) ct_ptr(arena, batch))->count == 0)
			ct_give(writer, batch, sizeof(CtBatch));
		free_event(writer, event, true);
		return CT_NO_MEMORY;
	}

	((CtEvent *) ct_ptr(arena, event))->timeline = timeline;
	ct_change_begin(ct_ptr(arena, timeline));
	link_recent(writer, ct_ptr(arena, timeline), event, ct_ptr(arena, event));
	ct_change_end(ct_ptr(arena, timeline));
	add_to_batch(writer, batch, event, hash);
	writer->store->recents++;
	return CT_OK;
}

CtStatus
ct_store_add(CtArena *arena, CtRef ref, uint64_t hash, const void *key, uint32_t key_bytes,
			 const CtChange *change, const CtLabel *label)
{
	CtWriter writer = ct_writer(arena, ref);

	return link_event(&writer, hash, key, key_bytes, change, label);
}

/* ---- prefetching ------------------------------------------------------------- */

/* The number of events that are prefetched together. */
#define AHEAD 16

static inline void
fetch_line(const void *at)
{
	(void) *(const volatile char *) at;
}

static inline void
prefetch_timeline(const CtTimeline *timeline)
{
	__builtin_prefetch(timeline);
	__builtin_prefetch((const char *) timeline + sizeof(CtTimeline) - 1);
}

static void
prefetch_rows(const void *from, size_t bytes)
{
	for (size_t at = 0; at < bytes && at < CT_TAIL_BYTES; at += 64)
		__builtin_prefetch((const char *) from + at);
}

/*
 * Prefetch the timelines of the next keys, and store them in timeline[].  Each step
 * is done for all keys before the next step, so that the cache misses overlap: the
 * bucket, the first timeline of its chain, and the second one if the hash differs.
 * Later ones are not prefetched.
 */
static void
prefetch_timelines(const CtWriter *writer, const CtLoad *load, uint32_t count,
				   const CtTimeline **timeline)
{
	const CtArena *arena = writer->arena;
	const CtRef *head[AHEAD];

	for (uint32_t i = 0; i < count; i++)
		head[i] = ct_directory_head(arena, &writer->store->directory, load[i].hash);
	for (uint32_t i = 0; i < count; i++)
	{
		timeline[i] = head[i] == NULL || *head[i] == 0 ? NULL : ct_ptr(arena, *head[i]);
		if (timeline[i] != NULL)
			prefetch_timeline(timeline[i]);
	}
	for (uint32_t i = 0; i < count; i++)
	{
		if (timeline[i] != NULL && timeline[i]->hash != load[i].hash && timeline[i]->chain != 0)
		{
			timeline[i] = ct_ptr(arena, timeline[i]->chain);
			prefetch_timeline(timeline[i]);
		}
	}
}

/*
 * Prefetch the end of each tail, where most events are appended.  The last row is
 * really read, because a processor may drop a prefetch that misses the TLB.
 */
static void
prefetch_tail_ends(const CtWriter *writer, const CtTimeline *const *timeline, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
	{
		if (timeline[i] == NULL || timeline[i]->tail_count == 0)
			continue;
		fetch_line(ct_tail_row(writer->arena, timeline[i], timeline[i]->tail_count - 1U));
		__builtin_prefetch(ct_tail_row(writer->arena, timeline[i], timeline[i]->tail_count), 1);
	}
}

/*
 * Prefetch the whole tail if the event is not the newest: its place must be
 * searched for.
 */
static void
prefetch_late_tail(const CtWriter *writer, const CtTimeline *timeline, int64_t time)
{
	if (timeline != NULL && timeline->tail_count > 0 &&
		time < ct_tail_row(writer->arena, timeline, timeline->tail_count - 1U)->time)
		prefetch_rows(ct_tail_row(writer->arena, timeline, 0),
					  (size_t) timeline->tail_count * timeline->tail_stride);
}

CtStatus
ct_store_add_all(CtArena *arena, CtRef ref, const CtLoad *load, uint32_t count,
				 const CtLabel *label, uint32_t *done)
{
	CtWriter writer = ct_writer(arena, ref);
	const CtTimeline *timeline[AHEAD];

	CT_ASSERT(count == 0 || load != NULL);
	for (*done = 0; *done < count; ++*done)
	{
		const CtLoad *l = &load[*done];
		CtStatus status;

		if (*done % AHEAD == 0)
			prefetch_timelines(&writer, l, count - *done < AHEAD ? count - *done : AHEAD, timeline);
		status = link_event(&writer, l->hash, l->key, l->key_bytes, &l->change, label);
		if (status != CT_OK)
			return status;
	}
	return CT_OK;
}

CtRef
ct_writer_timeline(CtWriter *writer, uint64_t hash, const void *key, uint32_t key_bytes)
{
	CtRef ref = ct_directory_find(writer->arena, &writer->store->directory, hash, key, key_bytes);

	return ref != 0 ? ref : ct_directory_add(writer, hash, key, key_bytes);
}

/* ---- entering and dropping --------------------------------------------------- */

/* True if the instant is before the newest event that has entered. */
static bool
is_late(const CtWriter *writer, const CtTimeline *timeline, int64_t time)
{
	CtLayout scratch;
	CtItem newest;

	return ct_timeline_last(&writer->context, timeline, &newest, &scratch) && time < newest.time;
}

/*
 * Return the read watermark.  A reader raises it before reading, with a full
 * barrier.  So either that reader sees that the timeline is being changed, or this
 * load sees its watermark.
 */
static int64_t
get_read_watermark(const int64_t *served)
{
	if (served == NULL)
		return INT64_MIN;
	atomic_thread_fence(memory_order_seq_cst);
	return __atomic_load_n(served, __ATOMIC_RELAXED);
}

/* True if an event of this layout may change interpolated values before its instant. */
static inline bool
may_change_earlier(const CtReadContext *context, const CtLayout *layout)
{
	return context->linear != 0 &&
		   (layout->kind == CT_FINISH || (layout->set & context->linear) != 0);
}

static void
add_changed(CtChanged *changed, CtRef timeline, const CtEffect *effect)
{
	CT_ASSERT(effect->from < effect->to);
	if (changed->keys != NULL)
		changed->keys[changed->events] = (CtKeyChanged){timeline, effect->from, effect->to};
	if (changed->events == 0 || effect->from < changed->from)
		changed->from = effect->from;
	if (changed->events == 0 || effect->to > changed->to)
		changed->to = effect->to;
	changed->events++;
}

static CtEntry
make_entry(const CtEvent *event, const CtLayout *layout, uint64_t top)
{
	return (CtEntry){.time = event->time,
					 .top = top,
					 .layout = event->layout,
					 .bytes = layout->bytes,
					 .waited = event->state == CT_WAITING,
					 .late = event->late,
					 .record = event->record};
}

/* True if the transaction had ended when the event was written. */
static inline bool
had_ended(uint64_t top, const CtEvent *event)
{
	return event->span < UINT32_MAX && top < event->top - event->span;
}

/*
 * The events of a timeline that have not entered, as far as they matter to the one
 * that enters.  Events do not enter in commit order, so a snapshot may have seen
 * other events without this one.  Then it is not enough to compare the entered
 * states before and after.
 */
typedef struct Others
{
	CtRef timeline;
	bool unordered; /* one of another transaction may have committed earlier */
	bool waiting;   /* one waits: the visible state differs from the entered one */
	int64_t newest; /* latest instant of the unordered ones */
} Others;

/* Cached by timeline, as other transactions' events do not change within a call. */
#define OTHERS_KEPT 128

/*
 * Bounds the cost: comparing with every waiting event would be quadratic in
 * the backlog.
 */
#define MOST_OTHERS 4096

/*
 * The number of other events examined in one call.  The lock is held meanwhile, and
 * each of them is a cache miss, so examining one costs as much as entering one.
 */
#define MOST_LOOKS 2048

static inline Others *
find_cached_others(Others *kept, CtRef timeline)
{
	return &kept[(timeline * UINT32_C(2654435769)) >> 25]; /* Fibonacci hashing */
}

_Static_assert(OTHERS_KEPT == 1 << (32 - 25), "find_cached_others() gives an index");

static const Others *
collect_others(const CtWriter *writer, const CtEvent *event, Others *kept, uint32_t *looks)
{
	const CtTimeline *timeline = ct_ptr(writer->arena, event->timeline);
	Others *others = find_cached_others(kept, event->timeline);

	if (others->timeline == event->timeline)
		return others;
	*others = (Others){.timeline = event->timeline, .newest = INT64_MIN};
	if (timeline->recents > MOST_OTHERS)
	{
		others->unordered = true;
		others->waiting = writer->store->nwaiting > 0;
		others->newest = INT64_MAX;
		return others;
	}
	*looks += timeline->recents;
	for (CtRef ref = timeline->recent; ref != 0;)
	{
		const CtEvent *other = ct_ptr(writer->arena, ref);

		ref = other->next;
		if (other->state == CT_WAITING)
			others->waiting = true;
		else if (other->top != event->top && !had_ended(event->top, other))
		{
			others->unordered = true;
			if (other->time > others->newest)
				others->newest = other->time;
		}
	}
	return others;
}

/*
 * Set *effect to the instants that change when the event enters.  False: none
 * change.  If another event waits, the visible state is not known here: everything
 * that the event can change is returned.
 */
static bool
find_effect(const CtWriter *writer, const CtTimeline *timeline, const CtItem *item, bool instead,
			bool widely, const Others *others, CtEffect *effect)
{
	if (!others->waiting)
		return ct_timeline_effect(&writer->context, timeline, item, instead, widely, effect);
	effect->from = writer->context.linear != 0 ? INT64_MIN : item->time;
	effect->to = INT64_MAX;
	return true;
}

/*
 * True if an event of the same instant, kind and content has entered.  *spot is set
 * behind it.
 */
static bool
find_equal(const CtWriter *writer, const CtTimeline *timeline, const CtItem *item, CtSpot *spot)
{
	CtLayout scratch;
	CtItem found;
	CtRun run;

	(void) ct_timeline_locate(&writer->context, timeline, item, spot);
	if (spot->position == 0)
		return false;
	ct_spot_run(&writer->context, timeline, spot, &run);
	found = ct_run_item(&run, spot->position - 1, &scratch);
	return ct_item_cmp(&writer->context, &found, item) == 0;
}

/*
 * Set *effect to the instants that change when the event counts in place of its
 * duplicate, or (`first` is false) perhaps no longer does, because the duplicate
 * counts.  The two may be at different instants.
 */
static bool
find_apart_effect(const CtWriter *writer, const CtTimeline *timeline, const CtItem *item,
				  const CtItem *duplicate, bool first, const Others *others, CtEffect *effect)
{
	CtEffect other;
	bool differs = find_effect(writer, timeline, item, false, true, others, effect);

	if (!first || !find_effect(writer, timeline, duplicate, true, true, others, &other))
		return differs;
	if (!differs)
		*effect = other;
	effect->from = other.from < effect->from ? other.from : effect->from;
	effect->to = other.to > effect->to ? other.to : effect->to;
	return true;
}

/*
 * A committed event is about to wait, since its duplicate, right before the spot,
 * has entered.  From now on new snapshots see the one of the two that sorts first
 * by content.  Set *effect to the instants that change by that.  False: none
 * change.
 */
static bool
find_duplicate_effect(const CtWriter *writer, const CtEvent *event, const CtItem *item,
					  const CtSpot *spot, const Others *others, CtEffect *effect)
{
	const CtTimeline *timeline = ct_ptr(writer->arena, event->timeline);
	CtLayout scratch;
	CtRun run;
	CtItem duplicate;
	uint32_t label;
	int order;

	ct_spot_run(&writer->context, timeline, spot, &run);
	duplicate = ct_run_item(&run, spot->position - 1, &scratch);
	order = ct_item_cmp(&writer->context, item, &duplicate);
	label = ct_run_label(&run, spot->position - 1);

	/*
	 * The duplicate goes on being seen.  If both are equal, or if it had committed
	 * before this event was written, no state changes.  That is not certain while
	 * an event waits, as the duplicate may be retracted.
	 */
	if (!others->waiting && order >= 0 &&
		(order == 0 || label == 0 ||
		 had_ended(ct_label_top(writer->store->newest_top, label), event)))
		return false;
	if (ct_item_cmp_identity(&writer->context, item, &duplicate) != 0)
		return find_apart_effect(writer, timeline, item, &duplicate, order < 0, others, effect);
	return find_effect(writer, timeline, item, true, order > 0 || others->unordered, others,
					   effect);
}

/*
 * Report what a committed retraction changes: new snapshots see the state without
 * the retracted event.  Interpolated values before its instant depend on the
 * neighbours without that event.
 */
static void
report_retraction(const CtWriter *writer, const CtEvent *event, const Others *others,
				  const int64_t *served, CtChanged *changed)
{
	const CtTimeline *timeline = ct_ptr(writer->arena, event->timeline);
	CtLayout scratch;
	CtItem item = ct_event_item(&writer->context, event, &scratch);
	CtSpot spot;
	bool there = find_equal(writer, timeline, &item, &spot);
	int64_t latest = is_late(writer, timeline, event->time) || event->time < others->newest
						 ? INT64_MAX
						 : get_read_watermark(served);
	CtEffect effect;

	if ((event->time <= latest || may_change_earlier(&writer->context, item.layout)) &&
		find_effect(writer, timeline, &item, there, true, others, &effect) && effect.from <= latest)
		add_changed(changed, event->timeline, &effect);
}

/*
 * Enter a committed event, and report what changes.  CT_DUPLICATE: its duplicate
 * has entered.
 */
static CtStatus
enter_event(CtWriter *writer, CtRef ref, const Others *others, const int64_t *served,
			CtChanged *changed)
{
	CtStore *store = writer->store;
	CtEvent *event = ct_ptr(writer->arena, ref);
	CtTimeline *timeline = ct_ptr(writer->arena, event->timeline);
	CtLayout scratch;
	const CtLayout *layout = get_event_layout(writer, event, &scratch);
	CtEntry entry = make_entry(event, layout, event->top);
	bool late = is_late(writer, timeline, event->time);
	int64_t latest = late || event->time < others->newest ? INT64_MAX : get_read_watermark(served);
	bool news = false;
	CtEffect effect;
	CtStatus status;

	/*
	 * A duplicate with other content may change earlier values even if this event
	 * does not.
	 */
	if (event->time <= latest || may_change_earlier(&writer->context, layout) ||
		((writer->context.linear != 0 || writer->context.schema->id_of_key) && layout->has_id))
	{
		CtItem item = {event->time, layout, event->record};
		CtSpot spot;

		if (ct_timeline_find_duplicate(&writer->context, timeline, &item, &spot))
		{
			if (find_duplicate_effect(writer, event, &item, &spot, others, &effect) &&
				effect.from <= latest)
				add_changed(changed, event->timeline, &effect);
			return CT_DUPLICATE;
		}
		news = find_effect(writer, timeline, &item, false, others->unordered, others, &effect) &&
			   effect.from <= latest;
	}
	if (event->top > store->newest_top)
		store->newest_top = event->top;
	status = ct_timeline_insert(writer, timeline, &entry);
	if (status != CT_OK)
		return status;
	store->late += late;
	note_newest(store, event->time, timeline->hash, event->top);
	if (news)
		add_changed(changed, event->timeline, &effect);
	return CT_OK;
}

/*
 * A committed event of a key that is not loaded: report it, and free it.  The
 * instants that it changes are not known; if interpolated values exist, earlier
 * ones may change.  The event is certainly in order only if it is not before any
 * that the store has had; then it need only be reported if its instant was read.
 * If the timeline has no recent events left, it is put into the list of timelines
 * to be settled, which removes it later.
 */
static void
report_unloaded(CtWriter *writer, CtRef ref, const int64_t *served, CtChanged *changed)
{
	CtStore *store = writer->store;
	CtEvent *event = ct_ptr(writer->arena, ref);
	CtTimeline *timeline = ct_ptr(writer->arena, event->timeline);
	CtEffect effect = {writer->context.linear != 0 ? INT64_MIN : event->time, INT64_MAX};
	bool behind = event->time >= store->entered.time && writer->context.linear == 0;

	CT_ASSERT(timeline->partial && timeline->base == 0); /* K2 */
	/* Before the watermark is read: a reader raises the watermark, and then looks here. */
	if (behind && event->top > store->newest_unnotified)
		__atomic_store_n(&store->newest_unnotified, event->top, __ATOMIC_RELAXED);
	if (!behind || event->time <= get_read_watermark(served))
		add_changed(changed, event->timeline, &effect);
	if (event->top > store->newest_top)
		store->newest_top = event->top;
	note_newest(store, event->time, timeline->hash, event->top);
	unlink_recent(writer, timeline, event);
	free_event(writer, ref, true);
	if (timeline->recents == 0 && !timeline->in_young)
		ct_young_push(writer, timeline);
	store->round = store->nyoung_timelines;
}

/*
 * Make a committed event wait.  Whether it is late is decided now, not when it is
 * settled.
 */
static void
make_waiting(const CtWriter *writer, const CtTimeline *timeline, CtEvent *event)
{
	CtLayout scratch;
	CtItem item = ct_event_item(&writer->context, event, &scratch);

	CT_ASSERT(event->state == CT_RECENT && timeline->recents > 0); /* S2 */
	event->state = CT_WAITING;
	event->late = ct_timeline_has_later(&writer->context, timeline, &item);
	note_newest(writer->store, event->time, timeline->hash, event->top);
}

/* Prefetch the next events of a batch, their timelines, and the ends of the tails. */
static void
prefetch_batch(const CtWriter *writer, CtRef batch, uint32_t count)
{
	const CtTimeline *timeline[AHEAD];
	const CtEvent *event[AHEAD];
	CtRef ref = ((const CtBatch *) ct_ptr(writer->arena, batch))->first;
	uint32_t n;

	for (n = 0; n < count && ref != 0; n++)
	{
		event[n] = ct_ptr(writer->arena, ref);
		timeline[n] = ct_ptr(writer->arena, event[n]->timeline);
		prefetch_timeline(timeline[n]);
		ref = event[n]->queue;
	}
	prefetch_tail_ends(writer, timeline, n);
	for (uint32_t i = 0; i < n; i++)
		prefetch_late_tail(writer, timeline[i], event[i]->time);
}

CtStatus
ct_store_enter(CtArena *arena, CtRef ref, CtRef batch, int limit, const int64_t *served,
			   CtChanged *changed)
{
	static const Others nothing = {.newest = INT64_MIN};
	CtWriter writer = ct_writer(arena, ref);
	CtStore *store = writer.store;
	Others kept[OTHERS_KEPT] = {{0}};
	uint32_t looks = 0;

	CT_ASSERT(batch != 0 && limit >= 0 && changed != NULL);
	CT_ASSERT(store->first_batch != 0); /* S6 */
	for (int i = 0; i < limit && looks < MOST_LOOKS; i++)
	{
		bool alone = store->first_batch == store->last_batch && store->nwaiting == 0;
		CtRef event_ref = ((CtBatch *) ct_ptr(arena, batch))->first;
		CtEvent *event = ct_ptr(arena, event_ref);
		CtTimeline *timeline = ct_ptr(arena, event->timeline);
		const Others *others;
		CtStatus status;
		bool done;

		if (i % AHEAD == 0)
			prefetch_batch(&writer, batch, limit - i < AHEAD ? (uint32_t) (limit - i) : AHEAD);
		ct_change_begin(timeline);
		others = alone || timeline->recents == 1 || timeline->partial
					 ? &nothing
					 : collect_others(&writer, event, kept, &looks);
		if (timeline->partial)
			status = CT_OK;
		else if (event->retracts)
		{
			report_retraction(&writer, event, others, served, changed);
			status = CT_NOT_YET;
		}
		else
			status = enter_event(&writer, event_ref, others, served, changed);
		if (status == CT_NO_MEMORY)
		{
			ct_change_end(timeline);
			return status;
		}
		done = pop_from_batch(&writer, batch);
		store->recents--;
		store->net += event->retracts ? -1 : 1;
		if (status == CT_DUPLICATE || status == CT_NOT_YET)
		{
			make_waiting(&writer, timeline, event);
			find_cached_others(kept, event->timeline)->timeline = 0;
			enqueue_event(&writer, &store->waiting, event_ref, event);
			store->nwaiting++;
		}
		else if (timeline->partial)
			report_unloaded(&writer, event_ref, served, changed);
		else
		{
			unlink_recent(&writer, timeline, event);
			free_event(&writer, event_ref, false);
		}
		ct_change_end(timeline);
		if (done)
			return CT_OK;
	}
	return CT_MORE;
}

CtStatus
ct_store_drop(CtArena *arena, CtRef ref, CtRef batch, int limit)
{
	CtWriter writer = ct_writer(arena, ref);

	CT_ASSERT(batch != 0 && limit > 0);
	for (int i = 0; i < limit; i++)
	{
		CtRef event = ((CtBatch *) ct_ptr(arena, batch))->first;
		bool done = pop_from_batch(&writer, batch);

		writer.store->recents--;
		remove_recent(&writer, event);
		if (done)
			return CT_OK;
	}
	return CT_MORE;
}

/* ---- settling ---------------------------------------------------------------- */

/*
 * Freeze what is possible in the first timeline with young events.  Return the work
 * done.
 */
static int
freeze_first(CtWriter *writer)
{
	CtStore *store = writer->store;
	CtTimeline *timeline = pop_young(writer);
	uint32_t frozen;

	CT_ASSERT(!timeline->in_young); /* S2 */
	if (timeline->lo >= store->horizon && timeline->hi != 0)
	{
		ct_young_push(writer, timeline);
		return 1;
	}
	ct_change_begin(timeline);
	frozen = ct_timeline_freeze(writer, timeline, store->horizon);
	CT_ASSERT(frozen <= store->nyoung); /* S3 */
	store->nyoung -= frozen;
	store->nfrozen += frozen;
	if (store->partial && timeline->seen != 0 &&
		store->horizon >= ct_label_top(store->newest_top, timeline->seen))
		timeline->seen = 0;
	if (timeline->hi != 0 || (store->partial && timeline->seen != 0))
		ct_young_push(writer, timeline);
	else if (ct_timeline_is_over(writer->store, timeline))
		ct_directory_remove(writer, ct_ref_of(writer, timeline)); /* S5 */
	ct_change_end(timeline);
	return 1 + (int) frozen;
}

/*
 * Move *spot back to right behind a frozen event of this content.  The candidates
 * lie right before the spot.  False: none of them, within this block, is frozen.
 */
static bool
find_frozen(const CtWriter *writer, const CtTimeline *timeline, const CtItem *item, CtSpot *spot)
{
	CtRun run;

	ct_spot_run(&writer->context, timeline, spot, &run);
	for (; spot->position > 0; spot->position--)
	{
		CtLayout scratch;
		CtItem found = ct_run_item(&run, spot->position - 1, &scratch);

		if (ct_item_cmp(&writer->context, &found, item) != 0)
			return false;
		if (ct_run_label(&run, spot->position - 1) == 0)
			return true;
	}
	return false;
}

/*
 * Every snapshot sees a waiting event and its duplicate, right before the spot.
 * Keep the one that sorts first by content.  No visible state changes: snapshots
 * have seen that one since both had committed, and ct_store_enter() reported the
 * change.  CT_OK: the event has replaced its duplicate.  CT_DUPLICATE: the
 * duplicate stays.  CT_NO_MEMORY: nothing was changed.
 */
static CtStatus
resolve_duplicate(CtWriter *writer, CtTimeline *timeline, const CtEntry *entry, const CtSpot *spot)
{
	CtLayout scratch;
	CtLayout other;
	CtItem item = {entry->time,
				   ct_layout_of(&writer->context, entry->layout, entry->record, &scratch),
				   entry->record};
	CtRun run;
	CtItem duplicate;
	CtStatus status = CT_DUPLICATE;
	bool same; /* but for the instant, which may differ with id_of_key */
	int order;

	CT_ASSERT(spot->position > 0 && entry->top == 0);
	ct_spot_run(&writer->context, timeline, spot, &run);
	duplicate = ct_run_item(&run, spot->position - 1, &other);
	order = ct_item_cmp(&writer->context, &item, &duplicate);
	same = order == 0 || ct_item_same_content(&writer->context, &item, &duplicate);
	if (order < 0)
		status = ct_timeline_replace(writer, timeline, entry, spot);
	if (order < 0 && status != CT_OK)
		return status;
	writer->store->conflicts += !same;
	writer->store->duplicates += same;
	return status;
}

/* True if the event waits and every snapshot sees it. */
static inline bool
can_settle(const CtWriter *writer, const CtEvent *event)
{
	return event->state == CT_WAITING && event->top < writer->store->horizon;
}

/*
 * Remove a waiting event.  `owns`: the timeline has not taken over its out-of-line
 * values.
 */
static void
remove_waiting(CtWriter *writer, CtTimeline *timeline, CtRef ref, bool owns)
{
	CT_ASSERT(writer->store->nwaiting > 0); /* S3 */
	remove_queued(writer, &writer->store->waiting, ref);
	writer->store->nwaiting--;
	unlink_recent(writer, timeline, ct_ptr(writer->arena, ref));
	free_event(writer, ref, owns);
}

/*
 * Return a recent or waiting event of the same content that is a retraction
 * (`retracts`) or is none; if possible one that waits and that every snapshot sees.
 * 0: there is none.
 */
static CtRef
find_recent(const CtWriter *writer, const CtTimeline *timeline, const CtItem *item, bool retracts)
{
	CtRef found = 0;

	for (CtRef ref = timeline->recent; ref != 0;)
	{
		const CtEvent *event = ct_ptr(writer->arena, ref);
		CtLayout scratch;
		CtItem other = ct_event_item(&writer->context, event, &scratch);

		if (event->retracts == retracts && ct_item_cmp(&writer->context, item, &other) == 0)
		{
			found = ref;
			if (can_settle(writer, event))
				break;
		}
		ref = event->next;
	}
	return found;
}

/*
 * Settle an event that every snapshot sees and whose frozen duplicate is right
 * before the spot.  As events do not enter in commit order, one of the two may have
 * been retracted before the other was written.  Then that retraction is still in
 * the recent list, and is applied first.
 */
static CtStatus
settle_duplicates(CtWriter *writer, CtTimeline *timeline, CtRef ref, const CtEntry *entry,
				  CtSpot *spot)
{
	CtLayout scratch;
	CtLayout other;
	CtItem item = {entry->time,
				   ct_layout_of(&writer->context, entry->layout, entry->record, &scratch),
				   entry->record};
	CtRef own = 0;
	CtRef its = 0;
	CtStatus status;

	CT_ASSERT(spot->position > 0); /* T7 */
	if (writer->store->nretractions > 0)
	{
		CtRun run;
		CtItem duplicate;

		ct_spot_run(&writer->context, timeline, spot, &run);
		duplicate = ct_run_item(&run, spot->position - 1, &other);
		own = find_recent(writer, timeline, &item, true);
		its = find_recent(writer, timeline, &duplicate, true);
	}
	if (own != 0 && can_settle(writer, ct_ptr(writer->arena, own)))
	{
		remove_waiting(writer, timeline, own, true);
		remove_waiting(writer, timeline, ref, true);
		writer->store->retracted++;
		return CT_OK;
	}
	if (its != 0 && can_settle(writer, ct_ptr(writer->arena, its)))
	{
		ct_timeline_remove(writer, timeline, spot);
		remove_waiting(writer, timeline, its, true);
		writer->store->retracted++;
		return CT_OK;
	}
	if (own != 0 || its != 0)
		return CT_NOT_YET;
	if (writer->store->keeps)
	{
		writer->store->conflicts++;
		return CT_NOT_YET;
	}
	status = resolve_duplicate(writer, timeline, entry, spot);
	if (status != CT_OK && status != CT_DUPLICATE)
		return status;
	remove_waiting(writer, timeline, ref, status == CT_DUPLICATE);
	return CT_OK;
}

/*
 * Settle a waiting event that every snapshot sees.  CT_NOT_YET: its duplicate is
 * not frozen.  An entered event is only replaced by a duplicate or removed by a
 * retraction.  If it was removed, there is no duplicate left (T7), and the event
 * enters.
 */
static CtStatus
settle_event(CtWriter *writer, CtTimeline *timeline, CtRef ref)
{
	const CtEvent *event = ct_ptr(writer->arena, ref);
	CtLayout scratch;
	CtItem item = ct_event_item(&writer->context, event, &scratch);
	CtEntry entry = make_entry(event, item.layout, 0);
	CtSpot spot;
	CtRun run;
	CtStatus status;

	if (ct_timeline_find_duplicate(&writer->context, timeline, &item, &spot))
	{
		ct_spot_run(&writer->context, timeline, &spot, &run);
		if (ct_run_label(&run, spot.position - 1) != 0)
			return CT_NOT_YET;
		return settle_duplicates(writer, timeline, ref, &entry, &spot);
	}
	status = ct_timeline_insert(writer, timeline, &entry);
	if (status == CT_OK)
		remove_waiting(writer, timeline, ref, false);
	return status;
}

/*
 * Apply a retraction that every snapshot sees, once the retracted event is frozen
 * or waits.  The retracting transaction saw that event, so a snapshot that sees the
 * retraction sees both.  CT_NOT_YET: the event is young, or has not entered.
 */
static CtStatus
settle_retraction(CtWriter *writer, CtTimeline *timeline, CtRef ref)
{
	CtLayout scratch;
	CtItem item = ct_event_item(&writer->context, ct_ptr(writer->arena, ref), &scratch);
	CtSpot spot;

	if (find_equal(writer, timeline, &item, &spot))
	{
		if (!find_frozen(writer, timeline, &item, &spot))
			return CT_NOT_YET;
		ct_timeline_remove(writer, timeline, &spot);
		writer->store->retracted++;
	}
	else
	{
		CtRef recent = find_recent(writer, timeline, &item, false);

		if (recent != 0 && !can_settle(writer, ct_ptr(writer->arena, recent)))
			return CT_NOT_YET;
		if (recent != 0)
		{
			remove_waiting(writer, timeline, recent, true);
			writer->store->retracted++;
		}
		else
		{
			writer->store->unmatched++;
			if (writer->store->keeps)
				return CT_NOT_YET;
		}
	}
	remove_waiting(writer, timeline, ref, true);
	return CT_OK;
}

/*
 * Settle the first waiting event.  CT_NOT_YET: there is none, or it cannot be
 * settled yet.
 */
static CtStatus
settle_first(CtWriter *writer)
{
	CtRef ref = writer->store->waiting.first;
	const CtEvent *event = ct_ptr(writer->arena, ref);
	CtRef timeline_ref;
	CtTimeline *timeline;
	CtStatus status;

	CT_ASSERT((ref == 0) == (writer->store->nwaiting == 0)); /* S3 */
	if (ref == 0 || !can_settle(writer, event))
		return CT_NOT_YET;
	timeline_ref = event->timeline;
	timeline = ct_ptr(writer->arena, timeline_ref);
	ct_change_begin(timeline);
	status = event->retracts ? settle_retraction(writer, timeline, ref)
							 : settle_event(writer, timeline, ref);
	if (status == CT_OK && ct_timeline_is_over(writer->store, timeline))
		ct_directory_remove(writer, timeline_ref); /* S5 */
	ct_change_end(timeline);
	return status;
}

CtStatus
ct_store_settle(CtArena *arena, CtRef ref, uint64_t horizon, int limit)
{
	CtWriter writer = ct_writer(arena, ref);
	CtStore *store = writer.store;
	int looked = 0;

	CT_ASSERT(limit > 0);
	if (horizon > store->horizon)
	{
		store->horizon = horizon;
		store->round = store->nyoung_timelines;
	}
	for (; store->round > 0 && store->young.first != 0 && looked < limit; store->round--)
		looked += freeze_first(&writer);
	while (looked < limit)
	{
		CtStatus status = settle_first(&writer);

		if (status != CT_OK)
			return status == CT_NOT_YET ? CT_OK : status;
		looked++;
	}
	return CT_MORE;
}

/* ---- loading ----------------------------------------------------------------- */

/* Load a change whose duplicate has entered. */
static CtStatus
load_duplicate(CtWriter *writer, CtTimeline *timeline, CtEntry *entry)
{
	CtLayout scratch;
	CtItem item = {entry->time,
				   ct_layout_of(&writer->context, entry->layout, entry->record, &scratch),
				   entry->record};
	CtSpot spot;
	CtRun run;
	CtStatus status;

	CT_ASSERT(entry->layout <= CT_MAX_FORMS);
	(void) ct_timeline_find_duplicate(&writer->context, timeline, &item, &spot);
	ct_spot_run(&writer->context, timeline, &spot, &run);
	if (entry->top != 0 || ct_run_label(&run, spot.position - 1) != 0)
	{
		ct_record_free(writer, item.layout, entry->record);
		return CT_NOT_YET;
	}
	entry->waited = true;
	entry->late = ct_timeline_has_later(&writer->context, timeline, &item);
	status = resolve_duplicate(writer, timeline, entry, &spot);
	if (status != CT_OK)
		ct_record_free(writer, item.layout, entry->record);
	return status == CT_DUPLICATE ? CT_OK : status;
}

/*
 * After a failed load: remove a timeline that was made for it and is empty.  Return
 * `status`.
 */
static CtStatus
fail_load(CtWriter *writer, CtTimeline *timeline, CtStatus status)
{
	if (ct_timeline_is_over(writer->store, timeline))
		ct_directory_remove(writer, ct_ref_of(writer, timeline)); /* S5 */
	return status;
}

/* Raise newest_top.  Labels are only unambiguous for ids at most 2^31 below it. */
static inline void
note_top(CtStore *store, uint64_t top)
{
	if (top > store->newest_top)
		store->newest_top = top;
}

/*
 * The usual case: the change has the layout of the change before and is appended to
 * a tail.  False: load_slowly() has to load it.
 */
static inline bool
load_quickly(CtWriter *writer, CtTimeline *timeline, const CtChange *change, uint64_t top)
{
	CtEntry entry = {.time = change->time,
					 .top = top,
					 .layout = writer->last_number,
					 .bytes = change->payload_bytes,
					 .record = change->payload};

	if (!ct_is_verbatim(writer, change) || writer->context.schema->id_of_key)
		return false;
	note_top(writer->store, top);
	if (!ct_tail_append(writer, timeline, &entry))
		return false;
	note_newest(writer->store, entry.time, timeline->hash, entry.top);
	return true;
}

/* Load a change in all other cases. */
static CtStatus __attribute__((noinline))
load_slowly(CtWriter *writer, CtTimeline *timeline, const CtChange *change, uint64_t top)
{
	CtLayout scratch;
	const CtLayout *layout;
	uint8_t record[CT_MAX_RECORD_BYTES];
	CtEntry entry = {.time = change->time, .top = top, .record = record};
	CtStatus status = CT_OK;

	if (ct_is_verbatim(writer, change))
	{
		layout = writer->last;
		entry.layout = writer->last_number;
		entry.record = change->payload;
	}
	else
	{
		status = ct_change_layout(writer, change, &layout, &scratch, &entry.layout);
		if (status == CT_OK)
			status = ct_record_write(writer, change, layout, entry.layout == 0, record);
	}
	if (status != CT_OK)
		return fail_load(writer, timeline, status);
	entry.bytes = layout->bytes;
	note_top(writer->store, top);
	status = ct_timeline_insert(writer, timeline, &entry);
	if (status == CT_DUPLICATE)
		status = load_duplicate(writer, timeline, &entry);
	else if (status != CT_OK)
	{
		ct_record_free(writer, layout, entry.record);
		status = fail_load(writer, timeline, status);
	}
	if (status == CT_OK)
		note_newest(writer->store, entry.time, timeline->hash, entry.top);
	return status;
}

CtStatus
ct_timeline_load(CtWriter *writer, CtRef ref, const CtChange *change, uint64_t top)
{
	CtTimeline *timeline = ct_ptr(writer->arena, ref);
	CtStatus status = CT_OK;

	CT_ASSERT(ref != 0 && timeline->taken);
	CT_ASSERT(top == 0 || (uint32_t) top != 0);
	ct_change_begin(timeline);
	if (change->time < writer->store->retained)
		status = fail_load(writer, timeline, CT_TOO_LATE);
	else if (!load_quickly(writer, timeline, change, top))
		status = load_slowly(writer, timeline, change, top);
	ct_change_end(timeline);
	return status;
}

/* True if a recent event waits until its entered duplicate can be decided on. */
static bool
has_waiting_duplicate(const CtWriter *writer, const CtTimeline *timeline, const CtItem *item)
{
	CtLayout scratch;

	for (CtRef ref = timeline->recent; item->layout->has_id && ref != 0;)
	{
		const CtEvent *event = ct_ptr(writer->arena, ref);
		CtItem other = ct_event_item(&writer->context, event, &scratch);

		if (event->state == CT_WAITING && ct_item_is_duplicate(&writer->context, item, &other))
			return true;
		ref = event->next;
	}
	return false;
}

static CtStatus
unload_item(CtWriter *writer, CtTimeline *timeline, const CtItem *item)
{
	CtSpot spot;

	if (!find_equal(writer, timeline, item, &spot))
		return CT_GONE;
	if (!find_frozen(writer, timeline, item, &spot) ||
		has_waiting_duplicate(writer, timeline, item))
		return CT_NOT_YET;
	ct_change_begin(timeline);
	ct_timeline_remove(writer, timeline, &spot);
	if (ct_timeline_is_over(writer->store, timeline))
		ct_directory_remove(writer, ct_ref_of(writer, timeline)); /* S5 */
	ct_change_end(timeline);
	return CT_OK;
}

CtStatus
ct_timeline_unload(CtWriter *writer, CtRef ref, const CtChange *change)
{
	CtLayout scratch;
	const CtLayout *layout;
	uint8_t record[CT_MAX_RECORD_BYTES];
	uint32_t number;
	CtStatus status = ct_change_layout(writer, change, &layout, &scratch, &number);
	CtItem item;

	if (status == CT_OK)
		status = ct_record_write(writer, change, layout, number == 0, record);
	if (status != CT_OK)
		return status;
	item = (CtItem){change->time, layout, record};
	status = unload_item(writer, ct_ptr(writer->arena, ref), &item);
	ct_record_free(writer, layout, record);
	return status;
}

/* Prefetch the memory that the next loads touch. */
static void
prefetch_load(const CtWriter *writer, const CtLoad *load, uint32_t count)
{
	const CtTimeline *timeline[AHEAD];

	prefetch_timelines(writer, load, count, timeline);
	prefetch_tail_ends(writer, timeline, count);
	for (uint32_t i = 0; i < count; i++)
		prefetch_late_tail(writer, timeline[i], load[i].change.time);
}

CtStatus
ct_store_load(CtWriter *writer, const CtLoad *load, uint32_t count, uint32_t *done)
{
	CT_ASSERT(count == 0 || load != NULL);
	for (*done = 0; *done < count; ++*done)
	{
		const CtLoad *l = &load[*done];
		CtRef timeline;
		CtStatus status;

		if (l->key_bytes > CT_MAX_KEY_BYTES)
			return CT_LIMIT;
		if (*done % AHEAD == 0)
			prefetch_load(writer, l, count - *done < AHEAD ? count - *done : AHEAD);
		timeline = ct_writer_timeline(writer, l->hash, l->key, l->key_bytes);
		if (timeline == 0)
			return CT_NO_MEMORY;
		status = ct_timeline_load(writer, timeline, &l->change, l->top);
		if (status != CT_OK)
			return status;
	}
	return CT_OK;
}

/* ---- freeing ----------------------------------------------------------------- */

/* Free recent and waiting events of a timeline, at most `limit`.  Return their number. */
static int
free_recents(CtWriter *writer, CtTimeline *timeline, int limit)
{
	int freed = 0;

	while (timeline->recent != 0 && freed < limit)
	{
		CtRef ref = timeline->recent;

		unlink_recent(writer, timeline, ct_ptr(writer->arena, ref));
		free_event(writer, ref, true);
		freed++;
	}
	return freed;
}

/* Free timelines, with up to `limit` events.  Return the work done. */
static int
free_timelines(CtWriter *writer, int limit)
{
	CtDirectory *directory = &writer->store->directory;
	int freed = 0;

	while (writer->store->freeing < directory->nslots && freed < limit)
	{
		CtRef ref = ct_directory_slot(writer->arena, directory, writer->store->freeing);
		CtTimeline *timeline = ct_ptr(writer->arena, ref);

		if (ref != 0)
		{
			freed += free_recents(writer, timeline, limit - freed);
			freed += ct_timeline_free(writer, timeline, limit - freed);
			if (timeline->recent != 0 || timeline->root != 0 || timeline->tail != 0)
				break;
			ct_base_free(writer, timeline);
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
 * Free batches, then timelines, then the directory; each piece counts as an event.
 * Once begun, only this function and ct_store_stats() may be called.
 */
CtStatus
ct_store_free(CtArena *arena, CtRef ref, int limit)
{
	CtWriter writer = ct_writer(arena, ref);
	CtStore *store = writer.store;
	int freed = 0;

	CT_ASSERT(limit > 0);
	store->waiting = store->young = (CtQueue){0, 0};
	store->nyoung_timelines = 0;
	store->recents = store->nwaiting = store->nyoung = store->nfrozen = 0;
	for (; store->first_batch != 0 && freed < limit; freed++)
	{
		CtRef batch = store->first_batch;

		store->first_batch = ((CtBatch *) ct_ptr(arena, batch))->next;
		ct_give(&writer, batch, sizeof(CtBatch));
	}
	if (freed < limit)
		freed += free_timelines(&writer, limit - freed);
	while (freed < limit && ct_directory_free_page(&writer))
		freed++;
	if (freed >= limit)
		return CT_MORE;

	ct_layouts_free(&writer);
	while (store->retired != 0)
	{
		const CtRetired *retired = ct_ptr(arena, store->retired);

		ct_give(&writer, retired->ref, retired->bytes);
		ct_unretire(&writer);
	}
	ct_give(&writer, store->schema, writer.context.schema->size);
	CT_ASSERT(store->bytes == ct_alloc_size(sizeof(CtStore))); /* S4 */
	ct_free(arena, ref, sizeof(CtStore));
	return CT_OK;
}
