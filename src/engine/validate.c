/*
 * validate.c
 *	  Check every numbered invariant, and name the first that is broken.
 *
 * Called by tests and fuzzers, and by workers if contime.debug_validate is on.
 * It reads everything, and takes O(n log n) for n events of a store.
 *
 * Concurrency: for a store, the caller holds the partition's lock in shared
 * mode.  For a region, no arena may be changing.  Nothing is written.
 *
 * The invariants are stated in the headers of arena.c (A), event.c (E), rule.c
 * (R), block.c (B), node.c (N), timeline.c (T), base.c and retain.c (P),
 * directory.c (D), store.c (S), partial.c (K).
 *
 * Not here: that folds are right, which tests check against a naive fold.
 */
#include <string.h>

#include "engine/arena.h"
#include "engine/base.h"
#include "engine/ids.h"
#include "engine/timeline.h"

typedef struct CtCheck
{
	CtReadContext context;
	const CtStore *store;
	const char *reason; /* the first invariant found broken */
	uint64_t bytes;     /* found so far */
	uint64_t young;
	uint64_t frozen;
	uint64_t waiting;
	uint64_t recents;
	uint64_t retractions;
	uint64_t timelines;
	uint64_t young_timelines;
	uint64_t holders; /* entered events of the timeline that have an id, with id_of_key */
	CtRef timeline;   /* the timeline being checked */
	bool remainder;   /* its sums need not be right (K2) */
	bool has_previous;
	CtItem previous; /* the event before, in the same timeline */
	CtLayout previous_layout;
} CtCheck;

/* Note the first reason.  True as long as there is none. */
static bool
check_rule(CtCheck *check, bool holds, const char *reason)
{
	if (!holds && check->reason == NULL)
		check->reason = reason;
	return check->reason == NULL;
}

static inline const void *
get_ptr(const CtCheck *check, CtRef ref)
{
	return ct_ptr(check->context.arena, ref);
}

static void
count_bytes(CtCheck *check, size_t bytes)
{
	check->bytes += ct_alloc_size(bytes);
}

/* ---- records ----------------------------------------------------------------- */

/* Check a record, and count its out-of-line values. */
static void
check_record(CtCheck *check, const CtLayout *layout, const uint8_t *record)
{
	uint32_t bytes = 0;

	for (uint64_t rest = layout->set & ~layout->null; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);
		CtRef ref;

		if (!check_rule(check, i < check->context.schema->nattrs,
						"E1: a record sets what is not there"))
			return;
		bytes += ct_cell_bytes(&check->context.schema->attr[i]);
		if ((layout->apart >> i & 1) == 0)
			continue;
		memcpy(&ref, record + ct_layout_offset(layout, i), sizeof(ref));
		if (ref != 0)
			count_bytes(check, sizeof(CtApart) + ((const CtApart *) get_ptr(check, ref))->bytes);
	}
	check_rule(check, layout->bytes == bytes || layout->bytes == bytes + CT_EXPLICIT_BYTES,
			   "E1: a record's size is not that of its cells");
}

static void
check_layouts(CtCheck *check)
{
	const CtStore *store = check->store;
	const CtRef *layouts = get_ptr(check, store->layouts);

	check_rule(check, store->nlayouts <= CT_MAX_FORMS, "S7: too many layouts");
	if (store->layouts != 0)
		count_bytes(check, store->layouts_capacity * sizeof(CtRef));
	for (uint32_t i = 1; i < store->nlayouts; i++)
	{
		const CtLayout *layout = get_ptr(check, layouts[i]);

		count_bytes(check, ct_layout_bytes(layout));
		check_rule(check, layout->nattrs <= check->context.schema->nattrs,
				   "S7: a layout sets what is not there");
		for (uint32_t j = 1; j < i; j++)
		{
			const CtLayout *other = get_ptr(check, layouts[j]);

			check_rule(check,
					   layout->set != other->set || layout->null != other->null ||
						   layout->kind != other->kind,
					   "S7: a layout is kept twice");
		}
	}
}

/* ---- trees ------------------------------------------------------------------- */

/* The path to a block. */
typedef struct CtWay
{
	int depth;
	const CtInner *inner[CT_MAX_HEIGHT];
	uint32_t index[CT_MAX_HEIGHT];
} CtWay;

/* Add the events of a subtree to *cell, one by one. */
static void
compose_events(const CtCheck *check, CtRef ref, int height, int attr, CtCell *cell)
{
	const CtAttr *a = &check->context.schema->attr[attr];
	const CtInner *inner = get_ptr(check, ref);
	CtLayout scratch;
	CtRun run;

	for (uint32_t i = 0; height > 0 && i < inner->count; i++)
		compose_events(check, ct_node_child(inner)[i], height - 1, attr, cell);
	if (height > 0)
		return;
	ct_leaf_run(&check->context, get_ptr(check, ref), &run);
	for (uint32_t i = 0; i < run.count; i++)
	{
		CtItem item = ct_run_item(&run, i, &scratch);
		CtCell g;

		if (item.layout->kind == CT_FINISH)
			ct_cell_reset(a, cell);
		else if (ct_layout_touches(item.layout, attr))
		{
			ct_cell_of(&check->context, &item, attr, &g);
			ct_cell_then(&check->context, a, cell, &g);
		}
	}
}

/* True if an event of a subtree touches the attribute, finishes excepted. */
static bool
touches_below(const CtCheck *check, CtRef ref, int height, int attr)
{
	const CtInner *inner = get_ptr(check, ref);
	CtLayout scratch;
	CtRun run;

	for (uint32_t i = 0; height > 0 && i < inner->count; i++)
	{
		if (touches_below(check, ct_node_child(inner)[i], height - 1, attr))
			return true;
	}
	if (height > 0)
		return false;
	ct_leaf_run(&check->context, get_ptr(check, ref), &run);
	for (uint32_t i = 0; i < run.count; i++)
	{
		const CtLayout *layout = ct_run_item(&run, i, &scratch).layout;

		if (layout->kind != CT_FINISH && ct_layout_touches(layout, attr))
			return true;
	}
	return false;
}

static void
check_narrow(CtCheck *check, const CtAttr *attr, const CtInner *inner, const CtColumn *column)
{
	const int64_t *payload = ct_column_narrow(column, inner->capacity);

	if (!column->narrow)
		return;
	check_rule(check, ct_may_be_narrow(attr), "N4: a column is narrow that may not be");
	for (uint32_t i = 0; i < 2U * inner->capacity + ct_group_count(inner->count); i++)
	{
		bool used = i >= 2U * inner->capacity || i % inner->capacity < inner->count;

		check_rule(check,
				   !used || (ct_tag_has_payload(column->tag[i])
								 ? payload[i] >= -CT_NARROW_LIMIT && payload[i] < CT_NARROW_LIMIT
								 : payload[i] == 0),
				   "N4: a payload of a narrow column is wrong");
	}
}

static void
check_column(CtCheck *check, CtRef ref, int height, int attr)
{
	const CtReadContext *context = &check->context;
	const CtAttr *a = &context->schema->attr[attr];
	const CtInner *inner = get_ptr(check, ref);
	const CtColumn *column;
	CtCell sum = {.tag = CT_KEEP};
	CtCell group = {.tag = CT_KEEP};

	if ((inner->columns >> attr & 1) == 0)
	{
		check_rule(check, !touches_below(check, ref, height, attr), "N2: a column is missing");
		return;
	}
	column = get_ptr(check, ct_node_column(inner)[attr]);
	count_bytes(check, ct_column_bytes(a, inner->capacity));
	check_narrow(check, a, inner, column);
	for (uint32_t i = 0; i < inner->count; i++)
	{
		CtCell total;
		CtCell kept;
		CtCell fresh = {.tag = CT_KEEP};

		if (!ct_is_last(a))
		{
			if (i % CT_GROUP == 0)
			{
				ct_cell_then(context, a, &group, &sum);
				ct_node_get(context, inner, CT_GROUPS, i / CT_GROUP, attr, &kept);
				check_rule(check, check->remainder || ct_cell_same(a, &kept, &group),
						   "N1: what is before a group is wrong");
				sum.tag = CT_KEEP;
			}
			ct_node_get(context, inner, CT_BEFORE, i, attr, &kept);
			check_rule(check, check->remainder || ct_cell_same(a, &kept, &sum),
					   "N1: what is before a child is wrong");
		}
		ct_node_get(context, inner, CT_TOTAL, i, attr, &total);
		compose_events(check, ct_node_child(inner)[i], height - 1, attr, &fresh);
		check_rule(check, check->remainder || ct_cell_same(a, &total, &fresh),
				   "N1: a total is not the composition of its events");
		ct_cell_then(context, a, &sum, &total);
		check_rule(check,
				   (column->overrides >> i & 1) == ct_tag_overrides(total.tag) &&
					   (column->sets >> i & 1) == (total.tag != CT_KEEP),
				   "N3: a column's masks are wrong");
	}
}

/* Check what every node on the path knows of an event. */
static void
check_way(CtCheck *check, const CtWay *way, uint64_t top, bool finish)
{
	for (int depth = 0; depth < way->depth; depth++)
	{
		const CtInner *inner = way->inner[depth];
		uint32_t i = way->index[depth];

		if (top != 0)
			check_rule(check, ct_node_lo(inner)[i] <= top && top <= ct_node_hi(inner)[i],
					   "T4: a young event is outside lo/hi");
		else
			check_rule(check, inner->frozen >> i & 1, "T5: a frozen event may be skipped");
		check_rule(check, !finish || (inner->finish >> i & 1), "T5: a finish is not known");
	}
}

/* T7, I1: the event is found by its id. */
static void
check_holder(CtCheck *check, const CtTimeline *timeline, const CtItem *item)
{
	CtSpot spot;
	CtRun run;
	CtLayout scratch;
	CtItem holder;

	check->holders++;
	if (!check_rule(check,
					ct_timeline_find_duplicate(&check->context, timeline, item, &spot) &&
						spot.position > 0,
					"I1: an event is not found by its id"))
		return;
	ct_spot_run(&check->context, timeline, &spot, &run);
	holder = ct_run_item(&run, spot.position - 1, &scratch);
	check_rule(check, holder.record == item->record, "T7: two entered events have the same id");
}

static void
check_entered(CtCheck *check, const CtRun *run, uint32_t i, const CtWay *way)
{
	const CtTimeline *timeline = get_ptr(check, check->timeline);
	uint32_t label = ct_run_label(run, i);
	uint64_t top = label == 0 ? 0 : ct_label_top(check->store->newest_top, label);
	CtLayout scratch;
	CtItem item = ct_run_item(run, i, &scratch);

	check_record(check, item.layout, item.record);
	check_rule(check, run->layout == 0 || run->layout == ct_run_layout(run, i),
			   "B2: a layout is another's");
	check_rule(check, run->finish || item.layout->kind != CT_FINISH, "B2: a finish is not known");
	check_rule(check, (item.layout->touched & ~run->set) == 0, "B2: what is touched is not known");
	check->frozen += top == 0;
	check->young += top != 0;
	check_rule(check, top == 0 || (timeline->lo <= top && top <= timeline->hi),
			   "T4: a young event is outside its timeline's lo/hi");
	if (check->has_previous)
	{
		check_rule(check, ct_item_cmp(&check->context, &check->previous, &item) <= 0,
				   "T1: events are out of order");
		check_rule(check,
				   !item.layout->has_id ||
					   ct_item_cmp_identity(&check->context, &check->previous, &item) != 0,
				   "T7: duplicates have entered");
	}
	if (check->context.schema->id_of_key && item.layout->has_id)
		check_holder(check, timeline, &item);
	check_way(check, way, top, item.layout->kind == CT_FINISH);
	check->has_previous = true;
	memcpy(&check->previous_layout, item.layout, ct_layout_bytes(item.layout));
	check->previous = (CtItem){item.time, &check->previous_layout, item.record};
}

static bool
has_finish(const CtRun *run)
{
	CtLayout scratch;

	for (uint32_t i = 0; i < run->count; i++)
	{
		if (ct_run_item(run, i, &scratch).layout->kind == CT_FINISH)
			return true;
	}
	return false;
}

static void
check_leaf(CtCheck *check, const CtLeaf *leaf, const CtWay *way)
{
	CtRun run;

	ct_leaf_run(&check->context, leaf, &run);
	count_bytes(check, ct_leaf_bytes(leaf->capacity, leaf->room));
	if (leaf->labels != 0)
		count_bytes(check, leaf->capacity * sizeof(uint32_t));
	if (!check_rule(check, leaf->count > 0, "T6: a leaf is empty") ||
		!check_rule(check, leaf->count <= leaf->capacity && leaf->count <= CT_LEAF_EVENTS,
					"T6: a leaf is too full") ||
		!check_rule(check, leaf->used <= leaf->room, "B1: records lie outside their leaf"))
		return;
	check_rule(check, leaf->finish == has_finish(&run), "B2: a finish is known that is not there");
	for (uint32_t i = 0; i < leaf->count && check->reason == NULL; i++)
	{
		check_rule(check, run.stride == 0 || run.slot[i].offset == i * run.stride,
				   "B2: records of a packed leaf are scattered");
		check_entered(check, &run, i, way);
	}
}

static bool
ends_with_finish(const CtCheck *check, CtRef ref, int height)
{
	CtLayout scratch;
	CtRun run;

	for (; height > 0; height--)
	{
		const CtInner *inner = get_ptr(check, ref);

		ref = ct_node_child(inner)[inner->count - 1];
	}
	ct_leaf_run(&check->context, get_ptr(check, ref), &run);
	return ct_run_item(&run, run.count - 1, &scratch).layout->kind == CT_FINISH;
}

static void
check_node(CtCheck *check, CtRef ref, int height, CtWay *way)
{
	const CtInner *inner = get_ptr(check, ref);
	CtLayout scratch;

	if (height == 0)
	{
		check_leaf(check, get_ptr(check, ref), way);
		return;
	}
	count_bytes(check, ct_node_bytes(inner->capacity, inner->nattrs));
	if (!check_rule(check,
					inner->count > 0 && inner->count <= CT_FANOUT &&
						inner->count <= inner->capacity,
					"T6: an inner node is empty or too full"))
		return;
	way->depth++;
	for (uint32_t i = 0; i < inner->count && check->reason == NULL; i++)
	{
		CtRef child = ct_node_child(inner)[i];

		way->inner[way->depth - 1] = inner;
		way->index[way->depth - 1] = i;
		check_node(check, child, height - 1, way);
		if (check->reason != NULL)
			break;
		check_rule(check,
				   inner->time[i] ==
					   ct_first_item(&check->context, child, height - 1, &scratch).time,
				   "T2: a node's time is not its first event's");
		check_rule(check,
				   (inner->finish >> i & 1) ==
					   (height == 1 ? ((const CtLeaf *) get_ptr(check, child))->finish != 0
									: ((const CtInner *) get_ptr(check, child))->finish != 0),
				   "T5: a finish is known that is not there");
		check_rule(check, (inner->absent >> i & 1) == ends_with_finish(check, child, height - 1),
				   "T5: a row is present or absent and not known to be");
		check_rule(check,
				   height == 1 ||
					   (((const CtInner *) get_ptr(check, child))->columns & ~inner->columns) == 0,
				   "T3: a node lacks a column of a child");
	}
	way->depth--;
	for (int i = 0; i < check->context.schema->nattrs && check->reason == NULL; i++)
	{
		if (check->context.schema->attr[i].rule != CT_RULE_NONE)
			check_column(check, ref, height, i);
	}
}

static void
check_tree(CtCheck *check, const CtTimeline *timeline)
{
	CtWay way = {.depth = 0};
	CtRun run;

	ct_tail_run(&check->context, timeline, &run);
	check->has_previous = false;
	if (!check_rule(check, timeline->height <= CT_MAX_HEIGHT, "T6: a tree is too high") ||
		!check_rule(check, (timeline->root == 0) == (timeline->height == 0), "T6: a height is wrong"))
		return;
	if (timeline->root != 0)
		check_node(check, timeline->root, timeline->height, &way);
	way.depth = 0;
	if (timeline->tail != 0)
		count_bytes(check, (size_t) timeline->tail_capacity * timeline->tail_stride);
	check_rule(check, timeline->tail_count <= timeline->tail_capacity, "T6: a tail is too full");
	for (uint32_t i = 0; i < timeline->tail_count && check->reason == NULL; i++)
	{
		check_rule(check, i >= timeline->tail_frozen || ct_run_label(&run, i) == 0,
				   "T4: a young row is taken for frozen");
		check_rule(check, ct_run_row(&run, i)->late <= 1, "B4: a row is neither late nor not");
		check_entered(check, &run, i, &way);
	}
}

/* ---- timelines --------------------------------------------------------------- */

static void
check_recents(CtCheck *check, const CtTimeline *timeline)
{
	CtRef previous = 0;
	CtRef ref = timeline->recent;
	uint32_t count = 0;

	for (; ref != 0 && check->reason == NULL; count++)
	{
		const CtEvent *event = get_ptr(check, ref);
		CtLayout scratch;
		const CtLayout *layout =
			ct_layout_of(&check->context, event->layout, event->record, &scratch);

		check_rule(check, count < timeline->recents, "S1: more recent events than counted");
		check_rule(check, event->prev == previous, "S1: a recent event's link back is wrong");
		check_rule(check, event->timeline == check->timeline, "S1: a recent event is another's");
		check_rule(check, event->state == CT_RECENT || event->state == CT_WAITING,
				   "S1: an event is neither recent nor waiting");
		check_rule(check, event->top != 0, "S2: a recent event has no transaction");
		check_rule(check, event->time >= check->store->retained,
				   "P2: what has not entered is before what is retained");
		check_record(check, layout, event->record);
		count_bytes(check, offsetof(CtEvent, record) + layout->bytes);
		check->recents += event->state == CT_RECENT;
		check->waiting += event->state == CT_WAITING;
		check->retractions += event->retracts;
		previous = ref;
		ref = event->next;
	}
	check_rule(check, count == timeline->recents, "S1: fewer recent events than counted");
}

/* Check a base, and count its out-of-line values. */
static void
check_base(CtCheck *check, const CtTimeline *timeline)
{
	const CtSchema *schema = check->context.schema;
	const CtBase *base = get_ptr(check, timeline->base);
	CtCell cells[CT_MAX_ATTRS];

	if (timeline->base == 0)
		return;
	if (!check_rule(check,
					(base->null & ~base->set) == 0 &&
						(schema->nattrs == 64 || base->set >> schema->nattrs == 0),
					"P1: a base sets what is not there"))
		return;
	count_bytes(check, ct_base_bytes(schema, base));
	ct_base_cells(&check->context, timeline->base, cells);
	for (uint64_t rest = base->set; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);

		check_rule(check, !ct_base_is_initial(&schema->attr[i], &cells[i]),
				   "P1: a base says what is so without it");
		if (schema->attr[i].rule != CT_RULE_NONE && ct_is_apart(&schema->attr[i]) &&
			cells[i].tag == CT_SET && cells[i].ref != 0)
			count_bytes(check,
						sizeof(CtApart) + ((const CtApart *) get_ptr(check, cells[i].ref))->bytes);
	}
}

/* Check a node, or a list, of event ids, and all below.  Return the number of entries. */
static uint64_t
check_ids(CtCheck *check, CtRef ref, bool is_node, int level, uint32_t tag)
{
	uint32_t shift = 32 - CT_ID_BITS * (uint32_t) level;
	uint64_t found = 0;

	if (is_node)
	{
		const CtIdNode *node = get_ptr(check, ref);
		uint32_t children = 0;

		count_bytes(check, sizeof(CtIdNode));
		check_rule(check, level < CT_ID_LEVELS, "I2: there are too many levels of nodes");
		for (uint32_t i = 0; i < CT_ID_FANOUT && check->reason == NULL; i++)
		{
			children += node->child[i] != 0;
			found += check_ids(check, node->child[i], (node->nodes >> i & 1) != 0, level + 1,
							   tag | i << (shift - CT_ID_BITS));
		}
		check_rule(check, children == node->count && children > 0, "I2: children are miscounted");
		return found;
	}
	for (; ref != 0 && check->reason == NULL; found++)
	{
		const CtIdEntry *entry = get_ptr(check, ref);

		count_bytes(check, sizeof(CtIdEntry));
		check_rule(check, level == 0 || entry->tag >> shift == tag >> shift,
				   "I2: an entry is not where its tag leads to");
		ref = entry->next;
	}
	return found;
}

static void
check_timeline(CtCheck *check, CtRef ref)
{
	const CtTimeline *timeline = get_ptr(check, ref);
	const CtStore *store = check->store;
	bool keyed = check->context.schema->id_of_key;
	uint32_t key_bytes;
	const void *key = ct_timeline_key(check->context.arena, ref, &key_bytes);

	check->timeline = ref;
	check->remainder = timeline->partial;
	check->timelines++;
	if (key_bytes > CT_KEY_INLINE)
		count_bytes(check, key_bytes);
	check_rule(check,
			   ct_directory_find(check->context.arena, &store->directory, timeline->hash, key,
								 key_bytes) == ref,
			   "D1, D3: a timeline is not found by its key");
	check_rule(check, !ct_timeline_is_over(store, timeline),
			   "S5: a timeline has neither event nor base");
	check_rule(check, store->partial || (!timeline->partial && (keyed || timeline->seen == 0)),
			   "K1: events of a timeline are missing, and none may");
	check_rule(check, !timeline->partial || (timeline->hi == 0 && timeline->base == 0),
			   "K2: what is left of a timeline is not frozen");
	check_rule(check, keyed || timeline->seen == 0 || timeline->in_young,
			   "K3: nobody will find that all see what a timeline has");
	check->young_timelines += timeline->in_young;
	check_rule(check, timeline->hi == 0 || timeline->in_young,
			   "S2: a timeline with young events is not in their list");
	check_recents(check, timeline);
	check_base(check, timeline);
	check->holders = 0;
	if (check->reason == NULL)
		check_tree(check, timeline);
	if (check->reason == NULL && keyed)
	{
		uint64_t ids = check_ids(check, timeline->ids, timeline->ids_node != 0, 0, 0);

		check_rule(check, ids == check->holders || check->reason != NULL,
				   "I1: an id of no entered event is known");
	}
}

/* ---- queues ------------------------------------------------------------------ */

static void
check_batch(CtCheck *check, const CtBatch *batch, uint64_t *events)
{
	CtRef ref = batch->first;
	uint32_t count = 0;

	check_rule(check, batch->count > 0, "S6: a batch is empty");
	for (; ref != 0 && count < batch->count && check->reason == NULL; count++)
	{
		const CtEvent *event = get_ptr(check, ref);

		check_rule(check, event->state == CT_RECENT, "S2: an event in a batch is not recent");
		check_rule(check, event->top == batch->top && event->xid == batch->xid,
				   "S2: an event is in another transaction's batch");
		check_rule(check, (event->queue == 0) == (ref == batch->last), "S2: a batch ends elsewhere");
		ref = event->queue;
	}
	check_rule(check, ref == 0 && count == batch->count, "S3: a batch's count is wrong");
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
		const CtBatch *batch = get_ptr(check, ref);

		count_bytes(check, sizeof(CtBatch));
		check_rule(check, batch->prev == previous, "S2: a batch's link back is wrong");
		check_batch(check, batch, &events);
		check_rule(check, events <= store->recents, "S3: batches hold more than is counted");
		previous = ref;
		ref = batch->next;
	}
	check_rule(check, store->last_batch == previous, "S2: the last batch is not the last");
	check_rule(check, events == store->recents, "S3: recent events are miscounted");
}

static void
check_waiting(CtCheck *check)
{
	const CtQueue *queue = &check->store->waiting;
	uint64_t count = check->store->nwaiting;
	CtRef last = 0;
	uint64_t found = 0;
	bool retracted = check->store->retracted > 0;

	for (CtRef ref = queue->first; ref != 0 && found <= count && check->reason == NULL; found++)
	{
		const CtEvent *event = get_ptr(check, ref);
		CtLayout scratch;
		CtSpot spot;
		CtItem item = ct_event_item(&check->context, event, &scratch);

		check_rule(check, event->state == CT_WAITING, "S2: an event waits that does not");
		check_rule(check, event->retracts || item.layout->has_id, "S2: an event waits that has no id");
		check_rule(check,
				   event->retracts || retracted ||
					   ct_timeline_find_duplicate(&check->context, get_ptr(check, event->timeline),
												  &item, &spot),
				   "S2: a waiting event has no duplicate, and none was taken back");
		last = ref;
		ref = event->queue;
	}
	check_rule(check, found == count && queue->last == last, "S2: the waiting queue is wrong");
}

static void
check_young(CtCheck *check)
{
	const CtStore *store = check->store;
	uint64_t found = 0;
	CtRef last = 0;

	for (CtRef ref = store->young.first; ref != 0 && found <= store->nyoung_timelines; found++)
	{
		const CtTimeline *timeline = get_ptr(check, ref);

		check_rule(check, timeline->taken && timeline->in_young,
				   "S2: a timeline is listed as young and is not");
		last = ref;
		ref = timeline->young_next;
	}
	check_rule(check, found == store->nyoung_timelines && store->young.last == last,
			   "S2: the list of young timelines is wrong");
}

/* ---- the directory ----------------------------------------------------------- */

/* Check and count pages of `bytes`, and the nodes above them. */
static void
check_pages(CtCheck *check, const CtPages *pages, uint32_t needed, size_t bytes)
{
	check_rule(check, pages->npages >= needed, "D4: a directory lacks pages");
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
		const CtTimeline *timeline = get_ptr(check, ref);

		check_rule(check, !timeline->taken, "D2: a slot in use is in the free list");
		ref = timeline->chain;
	}
	check_rule(check, nfree + directory->count == directory->nslots, "D2: slots are miscounted");
	for (uint32_t slot = 0; slot < directory->nslots && check->reason == NULL; slot++)
	{
		CtRef ref = ct_directory_slot(check->context.arena, directory, slot);

		if (ref != 0)
		{
			check_rule(check, ((const CtTimeline *) get_ptr(check, ref))->slot == slot,
					   "D2: a timeline is in another slot");
			check_timeline(check, ref);
		}
	}
	check_rule(check, check->timelines == directory->count, "D2: timelines are miscounted");
}

CtStatus
ct_store_validate(const CtArena *arena, CtRef ref, const char **reason)
{
	const CtStore *store = ct_ptr(arena, ref);
	CtCheck check = {.context = ct_store_read_context(arena, store), .store = store};

	count_bytes(&check, sizeof(CtStore));
	count_bytes(&check, check.context.schema->size);
	for (CtRef at_ref = store->retired; at_ref != 0;)
	{
		const CtRetired *retired = get_ptr(&check, at_ref);

		count_bytes(&check, sizeof(CtRetired));
		count_bytes(&check, retired->bytes);
		at_ref = retired->next;
	}
	check_layouts(&check);
	check_batches(&check);
	check_waiting(&check);
	check_young(&check);
	if (check.reason == NULL)
		check_directory(&check);
	check_rule(&check, check.recents == store->recents && check.waiting == store->nwaiting,
			   "S3: timelines hold other recent events than the queues");
	check_rule(&check, check.retractions == store->nretractions, "S3: retractions are miscounted");
	check_rule(&check, check.young == store->nyoung && check.frozen == store->nfrozen,
			   "S3: entered events are miscounted");
	check_rule(&check, check.young_timelines == store->nyoung_timelines,
			   "S3: timelines with young events are miscounted");
	check_rule(&check, check.bytes == store->bytes, "S4: bytes are miscounted");
	*reason = check.reason;
	return check.reason == NULL ? CT_OK : CT_BROKEN;
}

/* ---- regions ----------------------------------------------------------------- */

/* A4: check the freed objects of a page. */
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

/* A2: check the list of a class's pages with room. */
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

/* A5: check the run that begins here.  The caller skips its other pages. */
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
