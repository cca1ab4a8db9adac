/*
 * store.c
 *	  The life of events: recent, waiting, young, frozen; and of their store.
 *
 *	  ct_store_add ── batch (recent) ─┬─ ct_store_drop		aborted
 *									  └─ ct_store_enter		committed
 *											 │ its duplicate has entered, or it is a
 *											 │ retraction: waiting
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
 * reads.  A timeline is changed between ct_change_begin() and ct_change_end(),
 * for readers without the lock (read.c).
 *
 * Invariants:
 *	 S1  The recent list of a timeline holds its recent and waiting events,
 *		 linked both ways, `recents` of them.
 *	 S2  Every recent event is in one batch of its own top and xid, every
 *		 waiting one in the store's waiting queue: a retraction, or one whose
 *		 duplicate has entered, perhaps to be taken back; every timeline with young
 *		 events is in the list of those.
 *	 S3  The counters are the lengths of these.
 *	 S4  `bytes` is the sum of ct_alloc_size() of everything allocated.
 *	 S5  A timeline in the directory has an event or a base, or is to be settled;
 *		 or it is known that there is none (partial.c).
 *	 S6  No batch is empty.
 *	 S7  Layouts are numbered from 1, each once; a record's layout says what is in it.
 *	 S8  Descriptions, layouts and lists of them stay where they are as long as the
 *		 store, and are there before an event needs them.
 *
 * Not here: order and summaries (timeline.c), memory (arena.c), keys whose events
 * are elsewhere (partial.c).
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
	stats->newest = store->newest;
	stats->newest_entered = store->newest_entered;
	stats->retained = store->retained;
}

/* ---- lists ------------------------------------------------------------------- */

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
	CT_ASSERT(queue->first != 0 && queue->last != 0);
	queue->first = ((CtEvent *) ct_ptr(writer->arena, queue->first))->queue;
	if (queue->first == 0)
		queue->last = 0;
}

/* Take one out; it is near the front, as a rule. */
static void
queue_remove(const CtWriter *writer, CtQueue *queue, CtRef ref)
{
	CtRef before = 0;

	CT_ASSERT(queue->first != 0); /* S2 */
	for (CtRef at = queue->first; at != ref; at = ((CtEvent *) ct_ptr(writer->arena, at))->queue)
		before = at;
	if (before == 0)
	{
		queue_pop(writer, queue);
		return;
	}
	((CtEvent *) ct_ptr(writer->arena, before))->queue =
		((CtEvent *) ct_ptr(writer->arena, ref))->queue;
	if (queue->last == ref)
		queue->last = before;
}

static CtTimeline *
young_pop(CtWriter *writer)
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
recent_link(const CtWriter *writer, CtTimeline *timeline, CtRef ref, CtEvent *event)
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
recent_unlink(const CtWriter *writer, CtTimeline *timeline, CtEvent *event)
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
event_layout(const CtWriter *writer, const CtEvent *event, CtLayout *scratch)
{
	return ct_layout_of(&writer->context, event->layout, event->record, scratch);
}

/* Free an event that is in no list; also what its record owns, if it still does. */
static void
event_free(CtWriter *writer, CtRef ref, bool owns)
{
	CtEvent *event = ct_ptr(writer->arena, ref);
	CtLayout scratch;
	const CtLayout *layout = event_layout(writer, event, &scratch);

	CT_ASSERT(writer->store->nretractions >= event->retracts); /* S3 */
	if (owns)
		ct_record_free(writer, layout, event->record);
	writer->store->nretractions -= event->retracts;
	ct_give(writer, ref, offsetof(CtEvent, record) + layout->bytes);
}

/* Forget a recent or waiting event that is in no queue any more. */
static void
event_forget(CtWriter *writer, CtRef ref)
{
	CtEvent *event = ct_ptr(writer->arena, ref);
	CtRef timeline_ref = event->timeline;
	CtTimeline *timeline = ct_ptr(writer->arena, timeline_ref);

	ct_change_begin(timeline);
	recent_unlink(writer, timeline, event);
	event_free(writer, ref, true);
	if (ct_timeline_is_over(writer->store, timeline))
		ct_directory_remove(writer, timeline_ref); /* S5 */
	ct_change_end(timeline);
}

/* ---- creating and widening --------------------------------------------------- */

/* A copy of the description; false: no room. */
static bool
schema_keep(CtWriter *writer, const CtSchema *schema)
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
	writer.store->newest = writer.store->newest_entered = INT64_MIN;
	writer.store->retained = INT64_MIN;
	writer.store->nlayouts = 1; /* number 0 is for those that say it themselves */
	if (!schema_keep(&writer, schema))
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

/* Readers may still look at the old one. */
static CtStatus
schema_replace(CtWriter *writer, const CtSchema *schema)
{
	if (!ct_retire(writer, writer->store->schema, writer->context.schema->size))
		return CT_NO_MEMORY;
	if (schema_keep(writer, schema))
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
	if (schema->nattrs < writer.context.schema->nattrs)
		return CT_BROKEN;
	for (int i = writer.context.schema->nattrs; i < schema->nattrs; i++)
	{
		if (ct_moves(&schema->attr[i]))
			return CT_BROKEN; /* what was not known to move it cannot be made good */
	}
	return schema_replace(&writer, schema);
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
	for (int i = 0; i < schema->nattrs && writer.store->directory.count > 0; i++)
	{
		if (ct_moves(&schema->attr[i]) &&
			(i >= writer.context.schema->nattrs || !ct_moves(&writer.context.schema->attr[i])))
			return CT_BROKEN;
	}
	status = schema_replace(&writer, schema);
	if (status == CT_OK)
		ct_layouts_renew(&writer);
	return status;
}

/* ---- adding ------------------------------------------------------------------ */

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
	int64_t time = ((CtEvent *) ct_ptr(writer->arena, event))->time;

	CT_ASSERT(batch->count == 0 || (batch->first != 0 && batch->last != 0)); /* S6 */
	CT_ASSERT(event != 0);
	if (batch->count == 0 || time < batch->oldest)
		batch->oldest = time;
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
event_make(CtWriter *writer, const CtChange *change, const CtLabel *label, CtRef *ref)
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
	status = event_make(writer, change, label, &event);
	if (status != CT_OK)
		return status;
	batch = batch_for(writer, label);
	timeline = batch == 0 ? 0 : ct_writer_timeline(writer, hash, key, key_bytes);
	if (timeline == 0)
	{
		if (batch != 0 && ((CtBatch *) ct_ptr(arena, batch))->count == 0)
			ct_give(writer, batch, sizeof(CtBatch));
		event_free(writer, event, true);
		return CT_NO_MEMORY;
	}

	((CtEvent *) ct_ptr(arena, event))->timeline = timeline;
	ct_change_begin(ct_ptr(arena, timeline));
	recent_link(writer, ct_ptr(arena, timeline), event, ct_ptr(arena, event));
	ct_change_end(ct_ptr(arena, timeline));
	batch_add(writer, batch, event);
	writer->store->recents++;
	if (change->time > writer->store->newest)
		writer->store->newest = change->time;
	return CT_OK;
}

CtStatus
ct_store_add(CtArena *arena, CtRef ref, uint64_t hash, const void *key, uint32_t key_bytes,
			 const CtChange *change, const CtLabel *label)
{
	CtWriter writer = ct_writer(arena, ref);

	return link_event(&writer, hash, key, key_bytes, change, label);
}

/* ---- asking for memory ahead ------------------------------------------------- */

/* How many events' memory is asked for ahead. */
#define AHEAD 16

static inline void
touch(const void *at)
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
 * The timelines of the next keys, one step for all of them before the next
 * one: the bucket, its first timeline, the second if that is not it.  What
 * comes further back in a chain is not waited for.
 */
static void
timelines_ahead(const CtWriter *writer, const CtLoad *load, uint32_t count,
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
 * The end of a tail, where most events go.  The last row is read: a processor
 * may forget what it was asked for ahead where it has no address translation
 * at hand.
 */
static void
tails_ahead(const CtWriter *writer, const CtTimeline *const *timeline, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
	{
		if (timeline[i] == NULL || timeline[i]->tail_count == 0)
			continue;
		touch(ct_tail_row(writer->arena, timeline[i], timeline[i]->tail_count - 1U));
		__builtin_prefetch(ct_tail_row(writer->arena, timeline[i], timeline[i]->tail_count), 1);
	}
}

/* All of a tail, for who comes late and has to look for his place. */
static void
tail_ahead(const CtWriter *writer, const CtTimeline *timeline, int64_t time)
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
			timelines_ahead(&writer, l, count - *done < AHEAD ? count - *done : AHEAD, timeline);
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

/* Is the instant before the newest event that has entered? */
static bool
is_late(const CtWriter *writer, const CtTimeline *timeline, int64_t time)
{
	CtLayout scratch;
	CtItem newest;

	return ct_timeline_last(&writer->context, timeline, &newest, &scratch) && time < newest.time;
}

/*
 * The latest instant that was read.  Either a reader sees that the timeline is
 * being changed, or we see what he has noted before.
 */
static int64_t
latest_read(const int64_t *served)
{
	if (served == NULL)
		return INT64_MIN;
	atomic_thread_fence(memory_order_seq_cst);
	return __atomic_load_n(served, __ATOMIC_RELAXED);
}

/* May it change what is shown before its instant? */
static inline bool
looks_back(const CtReadContext *context, const CtLayout *layout)
{
	return context->linear != 0 &&
		   (layout->kind == CT_FINISH || (layout->set & context->linear) != 0);
}

static void
changed_add(CtChanged *changed, CtRef timeline, const CtEffect *effect)
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
entry_of(const CtEvent *event, const CtLayout *layout, uint64_t top)
{
	return (CtEntry){.time = event->time,
					 .top = top,
					 .layout = event->layout,
					 .bytes = layout->bytes,
					 .waited = event->state == CT_WAITING,
					 .late = event->late,
					 .record = event->record};
}

/* Had the transaction ended when the event was written? */
static inline bool
ended_before(uint64_t top, const CtEvent *event)
{
	return event->span < UINT32_MAX && top < event->top - event->span;
}

/*
 * What else of a timeline has not entered.  Events enter in another order than
 * they commit in, so somebody may have seen those without the one that enters;
 * then it is not enough to compare states before and after.
 */
typedef struct Others
{
	CtRef timeline;
	bool unordered; /* there is one that may have committed before */
	bool waiting;   /* there is one that waits: what is shown is not what has entered */
	int64_t newest; /* of the unordered */
} Others;

/* By timeline: within a call the events of others stay as they are. */
#define OTHERS_KEPT 128

/*
 * Bounds the cost: comparing with every waiting event would be quadratic in
 * the backlog.
 */
#define MOST_OTHERS 4096

/*
 * So many are looked at in one call: the lock is held meanwhile, and each is
 * somewhere else in memory, so that a look takes as long as entering an event.
 */
#define MOST_LOOKS 2048

static inline Others *
kept_of(Others *kept, CtRef timeline)
{
	return &kept[(timeline * UINT32_C(2654435769)) >> 25]; /* Fibonacci hashing */
}

_Static_assert(OTHERS_KEPT == 1 << (32 - 25), "kept_of() gives an index");

static const Others *
others_of(const CtWriter *writer, const CtEvent *event, Others *kept, uint32_t *looks)
{
	const CtTimeline *timeline = ct_ptr(writer->arena, event->timeline);
	Others *others = kept_of(kept, event->timeline);

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
		else if (other->top != event->top && !ended_before(event->top, other))
		{
			others->unordered = true;
			if (other->time > others->newest)
				others->newest = other->time;
		}
	}
	return others;
}

/*
 * The instants that change as an event enters; false: none.  While another one
 * waits, the state that is shown is not at hand: everything it can change.
 */
static bool
effect_of(const CtWriter *writer, const CtTimeline *timeline, const CtItem *item, bool instead,
		  bool widely, const Others *others, CtEffect *effect)
{
	if (!others->waiting)
		return ct_timeline_effect(&writer->context, timeline, item, instead, widely, effect);
	effect->from = writer->context.linear != 0 ? INT64_MIN : item->time;
	effect->to = INT64_MAX;
	return true;
}

/*
 * Is an event of that instant, kind and content among those that have entered?
 * The spot is behind it.
 */
static bool
find_alike(const CtWriter *writer, const CtTimeline *timeline, const CtItem *item, CtSpot *spot)
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
 * A committed event will wait, since its duplicate, before the spot, has entered.
 * New snapshots see whichever comes first by content, from now on.
 */
static bool
duplicate_news(const CtWriter *writer, const CtEvent *event, const CtItem *item, const CtSpot *spot,
			   const Others *others, CtEffect *effect)
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
	 * Alike, they make no difference, and the one that yields was seen if it
	 * committed first; but not while the duplicate may be taken back.
	 */
	if (!others->waiting && order >= 0 &&
		(order == 0 || label == 0 ||
		 ended_before(ct_label_top(writer->store->newest_top, label), event)))
		return false;
	return effect_of(writer, timeline, item, true, order > 0 || others->unordered, others, effect);
}

/*
 * A committed event will be taken back; new snapshots see the state without it.
 * What is before its instant depends on what is there but for itself.
 */
static void
retraction_news(const CtWriter *writer, const CtEvent *event, const Others *others,
				const int64_t *served, CtChanged *changed)
{
	const CtTimeline *timeline = ct_ptr(writer->arena, event->timeline);
	CtLayout scratch;
	CtItem item = ct_event_item(&writer->context, event, &scratch);
	CtSpot spot;
	bool there = find_alike(writer, timeline, &item, &spot);
	int64_t latest = is_late(writer, timeline, event->time) || event->time < others->newest
						 ? INT64_MAX
						 : latest_read(served);
	CtEffect effect;

	if ((event->time <= latest || looks_back(&writer->context, item.layout)) &&
		effect_of(writer, timeline, &item, there, true, others, &effect) && effect.from <= latest)
		changed_add(changed, event->timeline, &effect);
}

/*
 * A committed event enters, and is a recent one no more.  CT_DUPLICATE: its duplicate
 * has.
 */
static CtStatus
event_enter(CtWriter *writer, CtRef ref, const Others *others, const int64_t *served,
			CtChanged *changed)
{
	CtStore *store = writer->store;
	CtEvent *event = ct_ptr(writer->arena, ref);
	CtTimeline *timeline = ct_ptr(writer->arena, event->timeline);
	CtLayout scratch;
	const CtLayout *layout = event_layout(writer, event, &scratch);
	CtEntry entry = entry_of(event, layout, event->top);
	bool late = is_late(writer, timeline, event->time);
	int64_t latest = late || event->time < others->newest ? INT64_MAX : latest_read(served);
	bool news = false;
	CtEffect effect;
	CtStatus status;

	/* (A duplicate may look back, too.) */
	if (event->time <= latest || looks_back(&writer->context, layout) ||
		(writer->context.linear != 0 && layout->has_id))
	{
		CtItem item = {event->time, layout, event->record};
		CtSpot spot;

		if (layout->has_id && ct_timeline_locate(&writer->context, timeline, &item, &spot))
		{
			if (duplicate_news(writer, event, &item, &spot, others, &effect) &&
				effect.from <= latest)
				changed_add(changed, event->timeline, &effect);
			return CT_DUPLICATE;
		}
		news = effect_of(writer, timeline, &item, false, others->unordered, others, &effect) &&
			   effect.from <= latest;
	}
	if (event->top > store->newest_top)
		store->newest_top = event->top;
	status = ct_timeline_insert(writer, timeline, &entry);
	if (status != CT_OK)
		return status;
	store->late += late;
	if (event->time > store->newest_entered)
		store->newest_entered = event->time;
	if (news)
		changed_add(changed, event->timeline, &effect);
	return CT_OK;
}

/*
 * A committed event of a timeline that has not all of them goes.  What it
 * changes is not known, nor whether it is late, but that it is not if it comes
 * after all that the store has ever had.  The timeline may be told about, and
 * is left to be settled.
 */
static void
event_pass(CtWriter *writer, CtRef ref, const int64_t *served, CtChanged *changed)
{
	CtStore *store = writer->store;
	CtEvent *event = ct_ptr(writer->arena, ref);
	CtTimeline *timeline = ct_ptr(writer->arena, event->timeline);
	CtEffect effect = {writer->context.linear != 0 ? INT64_MIN : event->time, INT64_MAX};
	bool behind = event->time >= store->newest_entered && writer->context.linear == 0;

	CT_ASSERT(timeline->partial && timeline->base == 0); /* K2 */
	/* (Before what was read is looked at: who reads does so the other way round.) */
	if (behind && event->top > store->newest_unnotified)
		__atomic_store_n(&store->newest_unnotified, event->top, __ATOMIC_RELAXED);
	if (!behind || event->time <= latest_read(served))
		changed_add(changed, event->timeline, &effect);
	if (event->top > store->newest_top)
		store->newest_top = event->top;
	if (event->time > store->newest_entered)
		store->newest_entered = event->time;
	recent_unlink(writer, timeline, event);
	event_free(writer, ref, true);
	if (timeline->recents == 0 && !timeline->in_young)
		ct_young_push(writer, timeline);
	store->round = store->nyoung_timelines;
}

/* Its duplicate has entered; whether it was late is decided now, not when it takes its place. */
static void
event_wait(const CtWriter *writer, const CtTimeline *timeline, CtEvent *event)
{
	CtLayout scratch;
	CtItem item = ct_event_item(&writer->context, event, &scratch);

	CT_ASSERT(event->state == CT_RECENT && timeline->recents > 0); /* S2 */
	event->state = CT_WAITING;
	event->late = ct_timeline_has_later(&writer->context, timeline, &item);
}

/* The next events of a batch, their timelines and the ends of their tails. */
static void
enter_ahead(const CtWriter *writer, CtRef batch, uint32_t count)
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
	tails_ahead(writer, timeline, n);
	for (uint32_t i = 0; i < n; i++)
		tail_ahead(writer, timeline[i], event[i]->time);
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
			enter_ahead(&writer, batch, limit - i < AHEAD ? (uint32_t) (limit - i) : AHEAD);
		ct_change_begin(timeline);
		others = alone || timeline->recents == 1 || timeline->partial
					 ? &nothing
					 : others_of(&writer, event, kept, &looks);
		if (timeline->partial)
			status = CT_OK;
		else if (event->retracts)
		{
			retraction_news(&writer, event, others, served, changed);
			status = CT_NOT_YET;
		}
		else
			status = event_enter(&writer, event_ref, others, served, changed);
		if (status == CT_NO_MEMORY)
		{
			ct_change_end(timeline);
			return status;
		}
		done = batch_pop(&writer, batch);
		store->recents--;
		store->net += event->retracts ? -1 : 1;
		if (status == CT_DUPLICATE || status == CT_NOT_YET)
		{
			event_wait(&writer, timeline, event);
			kept_of(kept, event->timeline)->timeline = 0;
			queue_push(&writer, &store->waiting, event_ref, event);
			store->nwaiting++;
		}
		else if (timeline->partial)
			event_pass(&writer, event_ref, served, changed);
		else
		{
			recent_unlink(&writer, timeline, event);
			event_free(&writer, event_ref, false);
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
		bool done = batch_pop(&writer, batch);

		writer.store->recents--;
		event_forget(&writer, event);
		if (done)
			return CT_OK;
	}
	return CT_MORE;
}

/* ---- settling ---------------------------------------------------------------- */

/* Look at the first timeline with young events; what it took. */
static int
freeze_one(CtWriter *writer)
{
	CtStore *store = writer->store;
	CtTimeline *timeline = young_pop(writer);
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
	if (timeline->seen != 0 && store->horizon >= ct_label_top(store->newest_top, timeline->seen))
		timeline->seen = 0;
	if (timeline->hi != 0 || timeline->seen != 0)
		ct_young_push(writer, timeline);
	else if (ct_timeline_is_over(writer->store, timeline))
		ct_directory_remove(writer, ct_ref_of(writer, timeline)); /* S5 */
	ct_change_end(timeline);
	return 1 + (int) frozen;
}

/*
 * Move the spot behind the last frozen one of events that are alike, which lie
 * before it, or there is none (in this block).
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
 * A waiting event everyone sees, and its duplicate, which everyone sees too: the
 * one that comes first by content stays.  New snapshots have seen it so since
 * both had committed, and it was told then.  CT_DUPLICATE: the duplicate stays.
 */
static CtStatus
decide(CtWriter *writer, CtTimeline *timeline, const CtEntry *entry, const CtSpot *spot)
{
	CtLayout scratch;
	CtLayout other;
	CtItem item = {entry->time,
				   ct_layout_of(&writer->context, entry->layout, entry->record, &scratch),
				   entry->record};
	CtRun run;
	CtItem duplicate;
	CtStatus status = CT_DUPLICATE;
	int order;

	CT_ASSERT(spot->position > 0 && entry->top == 0);
	ct_spot_run(&writer->context, timeline, spot, &run);
	duplicate = ct_run_item(&run, spot->position - 1, &other);
	order = ct_item_cmp(&writer->context, &item, &duplicate);
	if (order < 0)
		status = ct_timeline_replace(writer, timeline, entry);
	if (order < 0 && status != CT_OK)
		return status;
	writer->store->conflicts += order != 0;
	writer->store->duplicates += order == 0;
	return status;
}

/* Does the event wait, and does everyone see it? */
static inline bool
is_ripe(const CtWriter *writer, const CtEvent *event)
{
	return event->state == CT_WAITING && event->top < writer->store->horizon;
}

/* A waiting event is done with; `owns`: its record is not in the timeline. */
static void
waiting_end(CtWriter *writer, CtTimeline *timeline, CtRef ref, bool owns)
{
	CT_ASSERT(writer->store->nwaiting > 0); /* S3 */
	queue_remove(writer, &writer->store->waiting, ref);
	writer->store->nwaiting--;
	recent_unlink(writer, timeline, ct_ptr(writer->arena, ref));
	event_free(writer, ref, owns);
}

/*
 * Among the recent events of a timeline that are alike, those that retract, or
 * those that do not: one that waits and is seen by everyone, else any of them;
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
			if (is_ripe(writer, event))
				break;
		}
		ref = event->next;
	}
	return found;
}

/*
 * Decide about an event everyone sees, and its duplicate, which is frozen.  Events
 * may have entered in another order than they committed in, so that one of the
 * two may have made room for the other: then what retracts it is here, and
 * comes first.
 */
static CtStatus
decide_duplicates(CtWriter *writer, CtTimeline *timeline, CtRef ref, const CtEntry *entry,
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
	if (own != 0 && is_ripe(writer, ct_ptr(writer->arena, own)))
	{
		waiting_end(writer, timeline, own, true);
		waiting_end(writer, timeline, ref, true);
		writer->store->retracted++;
		return CT_OK;
	}
	if (its != 0 && is_ripe(writer, ct_ptr(writer->arena, its)))
	{
		ct_timeline_remove(writer, timeline, spot);
		waiting_end(writer, timeline, its, true);
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
	status = decide(writer, timeline, entry, spot);
	if (status != CT_OK && status != CT_DUPLICATE)
		return status;
	waiting_end(writer, timeline, ref, status == CT_DUPLICATE);
	return CT_OK;
}

/*
 * Decide about an event everyone sees, once its duplicate is frozen.  What has
 * entered is only ever replaced by its duplicate, or taken back: then there is none
 * (T7).
 */
static CtStatus
decide_one(CtWriter *writer, CtTimeline *timeline, CtRef ref)
{
	const CtEvent *event = ct_ptr(writer->arena, ref);
	CtLayout scratch;
	CtItem item = ct_event_item(&writer->context, event, &scratch);
	CtEntry entry = entry_of(event, item.layout, 0);
	CtSpot spot;
	CtRun run;
	CtStatus status;

	if (ct_timeline_locate(&writer->context, timeline, &item, &spot))
	{
		ct_spot_run(&writer->context, timeline, &spot, &run);
		if (ct_run_label(&run, spot.position - 1) != 0)
			return CT_NOT_YET;
		return decide_duplicates(writer, timeline, ref, &entry, &spot);
	}
	status = ct_timeline_insert(writer, timeline, &entry);
	if (status == CT_OK)
		waiting_end(writer, timeline, ref, false);
	return status;
}

/*
 * Take back what an event retracts, once that is frozen, or waits.  The
 * transaction that retracts saw it: who sees the one sees the other.  It may
 * not have entered yet; whether it will is not known here.
 */
static CtStatus
retract_one(CtWriter *writer, CtTimeline *timeline, CtRef ref)
{
	CtLayout scratch;
	CtItem item = ct_event_item(&writer->context, ct_ptr(writer->arena, ref), &scratch);
	CtSpot spot;

	if (find_alike(writer, timeline, &item, &spot))
	{
		if (!find_frozen(writer, timeline, &item, &spot))
			return CT_NOT_YET;
		ct_timeline_remove(writer, timeline, &spot);
		writer->store->retracted++;
	}
	else
	{
		CtRef recent = find_recent(writer, timeline, &item, false);

		if (recent != 0 && !is_ripe(writer, ct_ptr(writer->arena, recent)))
			return CT_NOT_YET;
		if (recent != 0)
		{
			waiting_end(writer, timeline, recent, true);
			writer->store->retracted++;
		}
		else
		{
			writer->store->unmatched++;
			if (writer->store->keeps)
				return CT_NOT_YET;
		}
	}
	waiting_end(writer, timeline, ref, true);
	return CT_OK;
}

/* Settle the first waiting event. */
static CtStatus
settle_one(CtWriter *writer)
{
	CtRef ref = writer->store->waiting.first;
	const CtEvent *event = ct_ptr(writer->arena, ref);
	CtRef timeline_ref;
	CtTimeline *timeline;
	CtStatus status;

	CT_ASSERT((ref == 0) == (writer->store->nwaiting == 0)); /* S3 */
	if (ref == 0 || !is_ripe(writer, event))
		return CT_NOT_YET;
	timeline_ref = event->timeline;
	timeline = ct_ptr(writer->arena, timeline_ref);
	ct_change_begin(timeline);
	status =
		event->retracts ? retract_one(writer, timeline, ref) : decide_one(writer, timeline, ref);
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
		looked += freeze_one(&writer);
	while (looked < limit)
	{
		CtStatus status = settle_one(&writer);

		if (status != CT_OK)
			return status == CT_NOT_YET ? CT_OK : status;
		looked++;
	}
	return CT_MORE;
}

/* ---- loading ----------------------------------------------------------------- */

/* A change that has a duplicate among what has entered. */
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
	(void) ct_timeline_locate(&writer->context, timeline, &item, &spot);
	ct_spot_run(&writer->context, timeline, &spot, &run);
	if (entry->top != 0 || ct_run_label(&run, spot.position - 1) != 0)
	{
		ct_record_free(writer, item.layout, entry->record);
		return CT_NOT_YET;
	}
	entry->waited = true;
	entry->late = ct_timeline_has_later(&writer->context, timeline, &item);
	status = decide(writer, timeline, entry, &spot);
	if (status != CT_OK)
		ct_record_free(writer, item.layout, entry->record);
	return status == CT_DUPLICATE ? CT_OK : status;
}

/* A timeline that was made for what could not be loaded is no more. */
static CtStatus
load_failed(CtWriter *writer, CtTimeline *timeline, CtStatus status)
{
	if (ct_timeline_is_over(writer->store, timeline))
		ct_directory_remove(writer, ct_ref_of(writer, timeline)); /* S5 */
	return status;
}

/* Labels stand for ids at most 2^31 below this one. */
static inline void
note_top(CtStore *store, uint64_t top)
{
	if (top > store->newest_top)
		store->newest_top = top;
}

static inline void
note_loaded(CtStore *store, const CtEntry *entry)
{
	if (entry->time > store->newest)
		store->newest = entry->time;
	if (entry->time > store->newest_entered)
		store->newest_entered = entry->time;
}

/* The usual case: it is like the change before, and goes to the end of a tail. */
static inline bool
load_quickly(CtWriter *writer, CtTimeline *timeline, const CtChange *change, uint64_t top)
{
	CtEntry entry = {.time = change->time,
					 .top = top,
					 .layout = writer->last_number,
					 .bytes = change->payload_bytes,
					 .record = change->payload};

	if (!ct_is_verbatim(writer, change))
		return false;
	note_top(writer->store, top);
	if (!ct_tail_append(writer, timeline, &entry))
		return false;
	note_loaded(writer->store, &entry);
	return true;
}

/* Every other case. */
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
		return load_failed(writer, timeline, status);
	entry.bytes = layout->bytes;
	note_top(writer->store, top);
	status = ct_timeline_insert(writer, timeline, &entry);
	if (status == CT_DUPLICATE)
		status = load_duplicate(writer, timeline, &entry);
	else if (status != CT_OK)
	{
		ct_record_free(writer, layout, entry.record);
		status = load_failed(writer, timeline, status);
	}
	if (status == CT_OK)
		note_loaded(writer->store, &entry);
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
		status = load_failed(writer, timeline, CT_TOO_LATE);
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

		if (event->state == CT_WAITING && ct_item_cmp_identity(&writer->context, item, &other) == 0)
			return true;
		ref = event->next;
	}
	return false;
}

static CtStatus
unload(CtWriter *writer, CtTimeline *timeline, const CtItem *item)
{
	CtSpot spot;

	if (!find_alike(writer, timeline, item, &spot))
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
	status = unload(writer, ct_ptr(writer->arena, ref), &item);
	ct_record_free(writer, layout, record);
	return status;
}

/* Ask for what the next events will touch. */
static void
load_ahead(const CtWriter *writer, const CtLoad *load, uint32_t count)
{
	const CtTimeline *timeline[AHEAD];

	timelines_ahead(writer, load, count, timeline);
	tails_ahead(writer, timeline, count);
	for (uint32_t i = 0; i < count; i++)
		tail_ahead(writer, timeline[i], load[i].change.time);
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
			load_ahead(writer, l, count - *done < AHEAD ? count - *done : AHEAD);
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

/* Free recent and waiting events of a timeline; how many were. */
static int
recents_free(CtWriter *writer, CtTimeline *timeline, int limit)
{
	int freed = 0;

	while (timeline->recent != 0 && freed < limit)
	{
		CtRef ref = timeline->recent;

		recent_unlink(writer, timeline, ct_ptr(writer->arena, ref));
		event_free(writer, ref, true);
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
 * Batches first, then timelines, then the directory, each piece counted as an
 * event.  Once begun, nothing but this may be called, and ct_store_stats().
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
		freed += timelines_free(&writer, limit - freed);
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
