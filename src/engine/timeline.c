/*
 * timeline.c
 *	  The entered events of a timeline: insert, replace, remove, freeze, find.
 *
 * A timeline is a B+tree of closed leaves, and behind it a tail: an array of
 * rows to which events in order are appended.  When the tail is full, all but
 * its newest rows become the last leaf of the tree.
 *
 *	  in order    one row is written; every 64th time a leaf is closed
 *	  late        one leaf changes, and the summaries above it, up to the first
 *				  one that stays the same
 *
 * On the way down, full nodes are split, and nodes are made large enough.  Each
 * such step leaves a tree with the same meaning, so running out of memory
 * between two steps requires no undoing.  After the last step nothing can fail.
 *
 * Called by store.c; other files use the functions that find and remove events.
 *
 * Concurrency: the caller holds the partition's lock, exclusively if the
 * function changes anything.  Functions that only read survive a torn timeline.
 *
 * Invariants:
 *	 T1  Events are in order within a block, from leaf to leaf, and from the
 *		 last leaf to the tail.
 *	 T2  The times of a node are those of the first events of its children.
 *	 T3  Columns are as node.c says.  A node has the columns of its children.
 *	 T4  The ids of young events are within [lo, hi] of every node above them,
 *		 and of the timeline.
 *	 T5  A child's bit in `finish` is set exactly if one of its events is a
 *		 finish, in `absent` exactly if its last event is one, in `frozen`
 *		 exactly if one of its events has no label.
 *	 T6  All leaves are at the timeline's height.  No node and no leaf is empty.
 *	 T7  No two entered events have the same identity; with id_of_key no two
 *		 have the same event id.
 *
 * Not here: folding (fold.c), the states of events (store.c).
 */
#include "engine/timeline.h"

#include <string.h>

#include "engine/ids.h"
#include "engine/layout.h"

/* ---- finding ----------------------------------------------------------------- */

/* Set *run to the events of the block in which the spot is. */
void
ct_spot_run(const CtReadContext *context, const CtTimeline *timeline, const CtSpot *spot,
			CtRun *run)
{
	if (spot->depth == 0)
		ct_tail_run(context, timeline, run);
	else
		ct_leaf_run(context, ct_ptr(context->arena, *spot->leaf), run);
}

/* Return the first event of a subtree. */
CtItem
ct_first_item(const CtReadContext *context, CtRef ref, int height, CtLayout *scratch)
{
	CtRun run;

	for (; height > 0; height--)
		ref = ct_node_child(ct_ptr(context->arena, ref))[0];
	ct_leaf_run(context, ct_ptr(context->arena, ref), &run);
	return ct_run_item(&run, 0, scratch);
}

/*
 * Set *item to the newest entered event.  False: there is none.  (The timeline may
 * be torn.)
 */
bool
ct_timeline_last(const CtReadContext *context, const CtTimeline *timeline, CtItem *item,
				 CtLayout *scratch)
{
	CtRun run;
	CtRef ref = timeline->root;
	int height = ct_timeline_height(timeline);

	ct_tail_run(context, timeline, &run);
	if (run.count == 0 && ref == 0)
		return false;
	if (run.count == 0)
	{
		for (; height > 0; height--)
		{
			const CtInner *inner = ct_ptr(context->arena, ref);

			if (inner->count == 0 || inner->count > CT_FANOUT)
				return false;
			ref = ct_node_child(inner)[inner->count - 1];
		}
		ct_leaf_run(context, ct_ptr(context->arena, ref), &run);
		if (run.count == 0)
			return false;
	}
	*item = ct_run_item(&run, run.count - 1, scratch);
	return true;
}

/*
 * Compare the event that a descent looks for with another one: by identity if it
 * has an event id, as that is unique (T7), else by content, too.
 */
static inline int
probe_cmp(const CtReadContext *context, const CtItem *probe, const CtItem *other)
{
	return probe->layout->has_id ? ct_item_cmp_identity(context, probe, other)
								 : ct_item_cmp(context, probe, other);
}

/*
 * True if an event has entered that comes after this one, except its
 * duplicate.
 */
bool
ct_timeline_has_later(const CtReadContext *context, const CtTimeline *timeline, const CtItem *item)
{
	CtLayout scratch;
	CtItem last;

	return ct_timeline_last(context, timeline, &last, &scratch) &&
		   probe_cmp(context, item, &last) < 0;
}

/* Return the index of the last child that begins at or before the probe, or 0. */
static uint32_t
find_child(const CtReadContext *context, const CtInner *inner, int height, const CtItem *probe)
{
	uint32_t high = ct_node_until(inner, probe->time);
	uint32_t low = high;
	CtLayout scratch;

	if (high == 0)
		return 0;
	if (inner->time[high - 1] < probe->time)
		return high - 1;
	if (probe->time > INT64_MIN)
		low = ct_node_until(inner, probe->time - 1);
	else
		low = 0;
	while (low < high)
	{
		uint32_t middle = (low + high) / 2;
		CtItem first = ct_first_item(context, ct_node_child(inner)[middle], height - 1, &scratch);

		if (probe_cmp(context, probe, &first) >= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low == 0 ? 0 : low - 1;
}

/* Return the number of events of the run that are at or before the probe. */
static uint32_t
find_in_run(const CtRun *run, const CtItem *probe)
{
	uint32_t high = ct_run_until(run, probe->time);
	uint32_t low;
	CtLayout scratch;

	if (high == 0 || ct_run_time(run, high - 1) < probe->time)
		return high;
	low = probe->time > INT64_MIN ? ct_run_until(run, probe->time - 1) : 0;
	while (low < high)
	{
		uint32_t middle = (low + high) / 2;
		CtItem item = ct_run_item(run, middle, &scratch);

		if (probe_cmp(run->context, probe, &item) >= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* True if the probe belongs into the tail. */
static bool
belongs_in_tail(const CtReadContext *context, const CtTimeline *timeline, const CtItem *probe)
{
	CtLayout scratch;
	CtRun run;
	CtItem first;

	if (timeline->root == 0)
		return true;
	if (timeline->tail_count == 0)
		return false;
	ct_tail_run(context, timeline, &run);
	if (ct_run_time(&run, 0) != probe->time)
		return ct_run_time(&run, 0) < probe->time;
	first = ct_run_item(&run, 0, &scratch);
	return probe_cmp(context, probe, &first) >= 0;
}

/* True if the event before the spot is the probe's duplicate. */
static bool
is_duplicate(const CtRun *run, uint32_t position, const CtItem *probe)
{
	CtLayout scratch;
	CtItem item;

	if (!probe->layout->has_id || position == 0 || ct_run_time(run, position - 1) != probe->time)
		return false;
	item = ct_run_item(run, position - 1, &scratch);
	return ct_item_cmp_identity(run->context, probe, &item) == 0;
}

/*
 * Set *spot behind all entered events that are at or before the event.  True: its
 * duplicate is right before the spot.
 */
bool
ct_timeline_locate(const CtReadContext *context, const CtTimeline *timeline, const CtItem *item,
				   CtSpot *spot)
{
	CtRef *at = (CtRef *) &timeline->root;
	CtRun run;

	spot->depth = 0;
	spot->position = 0;
	if (!ct_timeline_entered(timeline))
		return false;
	if (!belongs_in_tail(context, timeline, item))
	{
		int height = ct_timeline_height(timeline);

		for (; spot->depth < height; spot->depth++)
		{
			CtInner *inner = ct_ptr(context->arena, *at);
			uint32_t i = find_child(context, inner, height - spot->depth, item);

			spot->inner[spot->depth] = inner;
			spot->index[spot->depth] = i;
			at = &ct_node_child(inner)[i];
			ct_prefetch_block(ct_ptr(context->arena, *at));
		}
		spot->leaf = at;
	}
	ct_spot_run(context, timeline, spot, &run);
	spot->position = find_in_run(&run, item);
	return is_duplicate(&run, spot->position, item);
}

/*
 * Set *spot behind the entered event that has the event's id, at whatever instant.
 * False: there is none.
 */
static bool
locate_holder(const CtReadContext *context, const CtTimeline *timeline, const CtItem *item,
			  CtSpot *spot)
{
	uint32_t tag = ct_id_tag(context, item);
	const CtIdEntry *entry = ct_ids_first(context->arena, timeline, tag);

	for (uint32_t steps = 0; entry != NULL && steps < CT_ID_MOST; steps++)
	{
		uint8_t kind = entry->tag & CT_ID_KIND;
		CtLayout layout;
		CtItem probe = {entry->time, item->layout, item->record};

		if (kind != item->layout->kind)
		{
			layout = (CtLayout){.has_id = true, .nattrs = item->layout->nattrs, .kind = kind};
			layout.offset[context->schema->id_attr] =
				item->layout->offset[context->schema->id_attr];
			probe.layout = &layout;
		}
		if (ct_timeline_locate(context, timeline, &probe, spot))
			return true;
		entry = ct_ids_next(context->arena, entry, tag);
	}
	return false;
}

/*
 * Set *spot right behind the entered event that is the event's duplicate.  False:
 * there is none.
 */
bool
ct_timeline_find_duplicate(const CtReadContext *context, const CtTimeline *timeline,
						   const CtItem *item, CtSpot *spot)
{
	if (!item->layout->has_id)
		return false;
	return context->schema->id_of_key ? locate_holder(context, timeline, item, spot)
									  : ct_timeline_locate(context, timeline, item, spot);
}

/* ---- summaries of children --------------------------------------------------- */

static inline uint64_t
get_full_xid(const CtWriter *writer, uint32_t label)
{
	return ct_label_top(writer->store->newest_top, label);
}

static inline uint32_t
set_bit(uint32_t mask, uint32_t i, bool value)
{
	return (mask & ~(UINT32_C(1) << i)) | (uint32_t) value << i;
}

static void
note_leaf(const CtWriter *writer, CtInner *parent, uint32_t i, const CtLeaf *leaf)
{
	CtRun run;
	uint64_t lo = UINT64_MAX;
	uint64_t hi = 0;
	CtLayout scratch;
	bool frozen;

	CT_ASSERT(leaf->count > 0 && i < parent->count); /* T6 */
	ct_leaf_run(&writer->context, leaf, &run);
	frozen = run.label == NULL;
	for (uint32_t j = 0; run.label != NULL && j < run.count; j++)
	{
		uint64_t top = get_full_xid(writer, run.label[j]);

		if (run.label[j] == 0)
			frozen = true;
		else
		{
			lo = top < lo ? top : lo;
			hi = top > hi ? top : hi;
		}
	}
	parent->time[i] = run.time[0];
	ct_node_lo(parent)[i] = lo;
	ct_node_hi(parent)[i] = hi;
	parent->frozen = set_bit(parent->frozen, i, frozen);
	parent->finish = set_bit(parent->finish, i, run.finish);
	parent->absent = set_bit(parent->absent, i,
							 ct_run_item(&run, run.count - 1, &scratch).layout->kind == CT_FINISH);
}

/* Set *lo and *hi to the range of ids of the young events below a node. */
static void
get_xid_range(const CtInner *inner, uint64_t *lo, uint64_t *hi)
{
	*lo = UINT64_MAX;
	*hi = 0;
	for (uint32_t j = 0; j < inner->count; j++)
	{
		*lo = ct_node_lo(inner)[j] < *lo ? ct_node_lo(inner)[j] : *lo;
		*hi = ct_node_hi(inner)[j] > *hi ? ct_node_hi(inner)[j] : *hi;
	}
}

static void
note_inner(CtInner *parent, uint32_t i, const CtInner *inner)
{
	CT_ASSERT(inner->count > 0 && i < parent->count); /* T6 */
	get_xid_range(inner, &ct_node_lo(parent)[i], &ct_node_hi(parent)[i]);
	parent->time[i] = inner->time[0];
	parent->frozen = set_bit(parent->frozen, i, inner->frozen != 0);
	parent->finish = set_bit(parent->finish, i, inner->finish != 0);
	parent->absent = set_bit(parent->absent, i, inner->absent >> (inner->count - 1) & 1);
}

/* Set *cell to the composition of all events of a child, for one attribute. */
static void
compose_child(const CtReadContext *context, CtRef child, bool is_leaf, int attr, CtCell *cell)
{
	if (is_leaf)
	{
		CtRun run;

		ct_leaf_run(context, ct_ptr(context->arena, child), &run);
		ct_run_compose(&run, 0, run.count, attr, cell);
	}
	else
		ct_node_total(context, ct_ptr(context->arena, child), attr, cell);
}

/*
 * Compute all that the parent knows about child i alone.  refresh_columns() does the
 * rest: what precedes a child in its group.
 */
static void
compute_child(const CtWriter *writer, CtInner *parent, uint32_t i, bool is_leaf)
{
	const CtReadContext *context = &writer->context;
	CtRef child = ct_node_child(parent)[i];

	if (is_leaf)
		note_leaf(writer, parent, i, ct_ptr(context->arena, child));
	else
		note_inner(parent, i, ct_ptr(context->arena, child));
	for (uint64_t rest = parent->columns; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		CtCell cell;

		compose_child(context, child, is_leaf, attr, &cell);
		ct_node_put(context, parent, i, attr, &cell);
	}
}

static void
refresh_columns(const CtReadContext *context, CtInner *inner, uint32_t from)
{
	for (uint64_t rest = inner->columns; rest != 0; rest &= rest - 1)
		ct_node_refresh(context, inner, from, __builtin_ctzll(rest), true);
}

/*
 * Store a new total of the child at spot->index[depth], and update the nodes above
 * it, until one stays the same.  *total is overwritten.
 */
static void
store_total(const CtReadContext *context, const CtSpot *spot, int depth, int attr, CtCell *total)
{
	for (; depth >= 0; depth--)
	{
		CtInner *inner = spot->inner[depth];
		CtCell old;

		if ((inner->columns >> attr & 1) != 0)
		{
			ct_node_get(context, inner, CT_TOTAL, spot->index[depth], attr, &old);
			if (ct_cell_same(&context->schema->attr[attr], &old, total))
				return;
			ct_node_put(context, inner, spot->index[depth], attr, total);
			ct_node_refresh(context, inner, spot->index[depth], attr, false);
		}
		if (depth > 0)
			ct_node_total(context, inner, attr, total);
	}
}

/* Compute the total of the spot's leaf, and update the nodes above it. */
static void
store_leaf_total(const CtReadContext *context, const CtSpot *spot, int attr)
{
	CtCell total;

	compose_child(context, *spot->leaf, true, attr, &total);
	store_total(context, spot, spot->depth - 1, attr, &total);
}

/*
 * Update the nodes above a leaf after an addition.  The total of each child grows
 * by it, unless a child has an event that sets the attribute.
 */
static void
store_addition(const CtReadContext *context, const CtSpot *spot, int attr, const CtWide *delta)
{
	CT_ASSERT(ct_only_adds(&context->schema->attr[attr]));
	for (int depth = spot->depth - 1; depth >= 0; depth--)
	{
		CtInner *inner = spot->inner[depth];
		uint32_t i = spot->index[depth];
		const CtColumn *column = ct_ptr(context->arena, ct_node_column(inner)[attr]);

		if (column->overrides != 0)
		{
			CtCell total;

			compose_child(context, ct_node_child(inner)[i], depth == spot->depth - 1, attr, &total);
			store_total(context, spot, depth, attr, &total);
			return;
		}
		ct_node_add(context, inner, i, attr, delta);
	}
}

static bool
is_addition(const CtAttr *attr, const CtItem *item, int i)
{
	return ct_only_adds(attr) && item->layout->kind == CT_EVENT &&
		   !ct_layout_nulls(item->layout, i);
}

/*
 * Update times, ids and bits in the nodes above, after an event was inserted at the
 * spot.
 */
static void
note_inserted(const CtWriter *writer, const CtSpot *spot, const CtItem *item, uint64_t top)
{
	const CtLeaf *leaf = ct_ptr(writer->arena, *spot->leaf);
	bool is_last = spot->position + 1U == leaf->count;
	bool is_finish = item->layout->kind == CT_FINISH;

	CT_ASSERT(spot->depth > 0 && spot->position < leaf->count);
	CT_ASSERT(top == 0 || leaf->labels != 0); /* B3 */
	for (int depth = spot->depth - 1; depth >= 0; depth--)
	{
		CtInner *inner = spot->inner[depth];
		uint32_t i = spot->index[depth];

		if (item->time < inner->time[i])
			inner->time[i] = item->time;
		if (top == 0)
			inner->frozen |= UINT32_C(1) << i;
		else
		{
			uint64_t *lo = &ct_node_lo(inner)[i];
			uint64_t *hi = &ct_node_hi(inner)[i];

			*lo = top < *lo ? top : *lo;
			*hi = top > *hi ? top : *hi;
		}
		if (is_finish)
			inner->finish |= UINT32_C(1) << i;
		if (is_last)
			inner->absent = set_bit(inner->absent, i, is_finish);
		is_last = is_last && i + 1 == inner->count;
	}
}

/*
 * True if events follow the one inserted at the spot, and all of the leaf have one
 * layout.
 */
static inline bool
is_behind_alike(const CtReadContext *context, const CtSpot *spot)
{
	const CtLeaf *leaf = ct_ptr(context->arena, *spot->leaf);

	return leaf->layout != 0 && spot->position + 1U < leaf->count;
}

/* Update the compositions above the spot after the event was inserted or removed. */
static void
store_event(const CtReadContext *context, const CtSpot *spot, const CtItem *item, bool added)
{
	uint64_t attrs =
		item->layout->kind == CT_FINISH ? spot->inner[0]->columns : item->layout->touched;

	for (uint64_t rest = attrs; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);
		const CtAttr *attr = &context->schema->attr[i];

		if (added && ct_is_last(attr) && is_behind_alike(context, spot))
			continue; /* a later event sets the same */
		if (added && is_addition(attr, item, i))
		{
			CtWide delta = ct_cell_number(attr, item->record + ct_layout_offset(item->layout, i));

			store_addition(context, spot, i, &delta);
		}
		else
			store_leaf_total(context, spot, i);
	}
}

/* ---- growing ----------------------------------------------------------------- */

/* Put a new root above the old one.  False: no memory. */
static bool
raise_root(CtWriter *writer, CtTimeline *timeline)
{
	CtInner *old = ct_ptr(writer->arena, timeline->root);
	CtRef ref = ct_node_make(writer, CT_NODE_SMALLEST);
	CtInner *inner;

	if (ref == 0)
		return false;
	if (!ct_node_prepare(writer, &ref, 2, old->columns))
	{
		ct_node_free(writer, ref);
		return false;
	}
	CT_ASSERT(timeline->height < CT_MAX_HEIGHT);
	inner = ct_ptr(writer->arena, ref);
	inner->count = 1;
	ct_node_child(inner)[0] = timeline->root;
	compute_child(writer, inner, 0, false);
	timeline->root = ref;
	timeline->height++;
	return true;
}

/*
 * Child i was split, and `right` is its second half: insert that behind it, and
 * compute both.
 */
static void
insert_split_child(CtWriter *writer, CtInner *inner, uint32_t i, CtRef right, bool is_leaf)
{
	ct_node_open(&writer->context, inner, i + 1, 1);
	ct_node_child(inner)[i + 1] = right;
	compute_child(writer, inner, i, is_leaf);
	compute_child(writer, inner, i + 1, is_leaf);
	refresh_columns(&writer->context, inner, i);
}

/* Return a new leaf with events [first, end) of another one.  0: no memory. */
static CtRef
copy_part(CtWriter *writer, const CtLeaf *from, uint32_t first, uint32_t end)
{
	CtRun run;
	uint32_t bytes = 0;
	CtLayout scratch;
	CtRef ref;

	CT_ASSERT(first < end && end <= from->count);
	ct_leaf_run(&writer->context, from, &run);
	for (uint32_t i = first; i < end; i++)
		bytes += ct_run_item(&run, i, &scratch).layout->bytes;
	ref = ct_leaf_make(writer, end - first, bytes);
	if (ref == 0)
		return 0;
	if (from->labels != 0 && !ct_leaf_label(writer, ct_ptr(writer->arena, ref)))
	{
		ct_leaf_free(writer, ref);
		return 0;
	}
	ct_leaf_copy(writer, ct_ptr(writer->arena, ref), &run, first, end);
	return ref;
}

static bool
split_leaf(CtWriter *writer, CtInner *inner, uint32_t i)
{
	CtRef old = ct_node_child(inner)[i];
	const CtLeaf *leaf = ct_ptr(writer->arena, old);
	CtRef left = copy_part(writer, leaf, 0, leaf->count / 2U);
	CtRef right = left == 0 ? 0 : copy_part(writer, leaf, leaf->count / 2U, leaf->count);

	if (right == 0)
	{
		if (left != 0)
			ct_leaf_free(writer, left);
		return false;
	}
	ct_leaf_free(writer, old);
	ct_node_child(inner)[i] = left;
	insert_split_child(writer, inner, i, right, true);
	return true;
}

/*
 * Split inner node i.  If leaves are appended, the left half stays full, as it will
 * not grow.
 */
static bool
split_inner(CtWriter *writer, CtInner *inner, uint32_t i, bool append)
{
	CtInner *left = ct_ptr(writer->arena, ct_node_child(inner)[i]);
	uint32_t keep = append ? left->count - 1U : left->count / 2U;
	CtRef right = ct_node_make(writer, CT_NODE_SMALLEST);

	CT_ASSERT(left->count > 1 && inner->count < inner->capacity);
	if (right == 0)
		return false;
	if (!ct_node_prepare(writer, &right, left->count - keep, left->columns))
	{
		ct_node_free(writer, right);
		return false;
	}
	ct_node_move(&writer->context, ct_ptr(writer->arena, right), left, keep);
	insert_split_child(writer, inner, i, right, false);
	return true;
}

/* True if a node has no room for another child, or a leaf none for the event. */
static bool
has_full_child(const CtWriter *writer, const CtInner *inner, uint32_t i, bool is_leaf,
			   const CtEntry *entry)
{
	void *child = ct_ptr(writer->arena, ct_node_child(inner)[i]);

	if (!is_leaf)
		return ((CtInner *) child)->count == CT_FANOUT;
	return entry != NULL && ct_leaf_is_full(child, entry->bytes);
}

/*
 * Return the index of the child in which the event belongs; without an event the
 * last one.
 */
static uint32_t
choose_child(const CtWriter *writer, const CtInner *inner, int height, const CtItem *item)
{
	return item == NULL ? inner->count - 1U : find_child(&writer->context, inner, height, item);
}

/*
 * Descend to the leaf where the event belongs, and make the path ready to take it.
 * Without an event: descend to the last node above leaves, and make the path ready
 * for another leaf, which sets `attrs`.  Set *spot to the path.  False: no memory,
 * but the tree means the same as before.
 */
static bool
prepare_path(CtWriter *writer, CtTimeline *timeline, const CtItem *item, const CtEntry *entry,
			 uint64_t attrs, CtSpot *spot)
{
	CtRef *at = &timeline->root;

	CT_ASSERT(timeline->root != 0 && timeline->height > 0); /* T6 */
	CT_ASSERT(timeline->height <= CT_MAX_HEIGHT);
	if (((CtInner *) ct_ptr(writer->arena, *at))->count == CT_FANOUT &&
		!raise_root(writer, timeline))
		return false;
	for (spot->depth = 0; spot->depth < timeline->height; spot->depth++)
	{
		int height = timeline->height - spot->depth;
		CtInner *inner;
		uint32_t i;

		inner = ct_ptr(writer->arena, *at);
		if (!ct_node_prepare(writer, at, inner->count + (item == NULL && height == 1), attrs))
			return false;
		inner = ct_ptr(writer->arena, *at);
		i = choose_child(writer, inner, height, item);
		ct_prefetch_block(ct_ptr(writer->arena, ct_node_child(inner)[i]));
		if (has_full_child(writer, inner, i, height == 1, entry))
		{
			if (!ct_node_prepare(writer, at, inner->count + 1U, attrs))
				return false;
			inner = ct_ptr(writer->arena, *at);
			if (height == 1 ? !split_leaf(writer, inner, i)
							: !split_inner(writer, inner, i, item == NULL))
				return false;
			i = choose_child(writer, inner, height, item);
		}
		spot->inner[spot->depth] = inner;
		spot->index[spot->depth] = i;
		at = &ct_node_child(inner)[i];
	}
	spot->leaf = at;
	return entry == NULL || ct_leaf_prepare(writer, at, entry);
}

/* ---- the tail ---------------------------------------------------------------- */

static inline uint32_t
get_row_bytes(uint32_t record_bytes)
{
	return (uint32_t) (sizeof(CtRow) + record_bytes + 7) / 8 * 8;
}

/*
 * Child i, the last one of its node, has got another leaf, the last child of
 * `bottom`: extend what is known about the child.
 */
static void
extend_child(const CtReadContext *context, CtInner *inner, uint32_t i, const CtInner *bottom)
{
	uint32_t leaf = bottom->count - 1U;
	uint64_t *lo = &ct_node_lo(inner)[i];
	uint64_t *hi = &ct_node_hi(inner)[i];

	CT_ASSERT(bottom->count > 0 && i + 1 == inner->count);
	*lo = ct_node_lo(bottom)[leaf] < *lo ? ct_node_lo(bottom)[leaf] : *lo;
	*hi = ct_node_hi(bottom)[leaf] > *hi ? ct_node_hi(bottom)[leaf] : *hi;
	inner->frozen |= (bottom->frozen >> leaf & 1) << i;
	inner->finish |= (bottom->finish >> leaf & 1) << i;
	inner->absent = set_bit(inner->absent, i, bottom->absent >> leaf & 1);
	for (uint64_t rest = inner->columns; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		CtCell total;
		CtCell more = {.tag = CT_KEEP};

		if ((bottom->columns >> attr & 1) != 0)
			ct_node_get(context, bottom, CT_TOTAL, leaf, attr, &more);
		else if (bottom->finish >> leaf & 1)
			ct_cell_reset(&context->schema->attr[attr], &more);
		if (more.tag == CT_KEEP)
			continue;
		ct_node_get(context, inner, CT_TOTAL, i, attr, &total);
		ct_cell_then(context, &context->schema->attr[attr], &total, &more);
		ct_node_put(context, inner, i, attr, &total);
	}
}

/* Append a leaf to the tree.  False: no memory. */
static bool
append_leaf(CtWriter *writer, CtTimeline *timeline, CtRef leaf)
{
	const CtLeaf *l = ct_ptr(writer->arena, leaf);
	CtSpot spot;
	CtInner *inner;

	CT_ASSERT(l->count > 0 && (timeline->root != 0 || timeline->height == 0)); /* T6 */
	if (timeline->root == 0)
	{
		timeline->root = ct_node_make(writer, CT_NODE_SMALLEST);
		if (timeline->root == 0)
			return false;
		if (!ct_node_prepare(writer, &timeline->root, 1, l->set))
		{
			ct_node_free(writer, timeline->root);
			timeline->root = 0;
			return false;
		}
		timeline->height = 1;
		spot = (CtSpot){.depth = 1, .inner[0] = ct_ptr(writer->arena, timeline->root)};
	}
	else
	{
		if (!prepare_path(writer, timeline, NULL, NULL, l->set, &spot))
			return false;
	}
	inner = spot.inner[spot.depth - 1];
	ct_node_open(&writer->context, inner, inner->count, 1);
	ct_node_child(inner)[inner->count - 1] = leaf;
	compute_child(writer, inner, inner->count - 1U, true);
	refresh_columns(&writer->context, inner, inner->count > 1 ? inner->count - 2U : 0);
	for (int depth = spot.depth - 2; depth >= 0; depth--)
		extend_child(&writer->context, spot.inner[depth], spot.index[depth], inner);
	return true;
}

/*
 * Return how many rows of a full tail to close: as many as fill the memory that
 * their leaf gets.  *bytes is the size of their records.
 */
static uint32_t
count_rows_to_close(const CtRun *tail, uint32_t *bytes)
{
	uint32_t n = tail->count * CT_CLOSE_EVENTS / CT_TAIL_EVENTS;
	uint32_t most = tail->count * CT_CLOSE_MOST / CT_TAIL_EVENTS;
	CtLayout scratch;
	size_t size;

	*bytes = 0;
	n = n > 0 ? n : 1;
	if (tail->layout != 0)
	{
		uint32_t each = ct_layout_of(tail->context, tail->layout, NULL, NULL)->bytes;

		size = ct_alloc_size(ct_leaf_bytes(n, n * each));
		while (n < most && ct_leaf_bytes(n + 1, (n + 1) * each) <= size)
			n++;
		CT_ASSERT(n < tail->count);
		*bytes = n * each;
		return n;
	}
	for (uint32_t i = 0; i < n; i++)
		*bytes += ct_run_item(tail, i, &scratch).layout->bytes;
	size = ct_alloc_size(ct_leaf_bytes(n, *bytes));
	while (n < most)
	{
		uint32_t next = ct_run_item(tail, n, &scratch).layout->bytes;

		if (ct_leaf_bytes(n + 1, *bytes + next) > size)
			break;
		*bytes += next;
		n++;
	}
	return n;
}

/*
 * Compute tail_layout and tail_finish from the rows, unless all rows are known to
 * be alike.
 */
void
ct_tail_note(const CtReadContext *context, CtTimeline *timeline)
{
	CtLayout scratch;
	CtRun run;

	if (timeline->tail_layout != 0)
		return;
	ct_tail_run(context, timeline, &run);
	timeline->tail_finish = false;
	timeline->tail_layout = run.count > 0 ? (uint16_t) ct_run_layout(&run, 0) : 0;
	for (uint32_t i = 0; i < run.count; i++)
	{
		if (ct_run_layout(&run, i) != timeline->tail_layout)
			timeline->tail_layout = 0;
		timeline->tail_finish |= ct_run_item(&run, i, &scratch).layout->kind == CT_FINISH;
	}
}

/* Move the older rows of a full tail into a new last leaf.  False: no memory. */
static bool
close_tail(CtWriter *writer, CtTimeline *timeline)
{
	CtRun run;
	uint32_t bytes;
	uint32_t n;
	CtRef leaf;
	bool young = false;

	ct_tail_run(&writer->context, timeline, &run);
	n = count_rows_to_close(&run, &bytes);
	leaf = ct_leaf_make(writer, n, bytes);
	for (uint32_t i = timeline->hi == 0 ? n : timeline->tail_frozen; i < n && !young; i++)
		young = ct_run_label(&run, i) != 0;
	if (leaf == 0)
		return false;
	if (young && !ct_leaf_label(writer, ct_ptr(writer->arena, leaf)))
	{
		ct_leaf_free(writer, leaf);
		return false;
	}
	ct_leaf_copy(writer, ct_ptr(writer->arena, leaf), &run, 0, n);
	if (!append_leaf(writer, timeline, leaf))
	{
		ct_leaf_free(writer, leaf);
		return false;
	}
	memmove(ct_tail_row(writer->arena, timeline, 0), ct_tail_row(writer->arena, timeline, n),
			(size_t) (timeline->tail_count - n) * timeline->tail_stride);
	timeline->tail_count = (uint8_t) (timeline->tail_count - n);
	timeline->tail_frozen = timeline->tail_frozen > n ? (uint8_t) (timeline->tail_frozen - n) : 0;
	ct_tail_note(&writer->context, timeline);
	return true;
}

/* Move the rows to a tail of another capacity and row size.  False: no memory. */
bool
ct_tail_resize(CtWriter *writer, CtTimeline *timeline, uint32_t capacity, uint32_t stride)
{
	CtRef ref = ct_take(writer, (size_t) capacity * stride, true);
	char *to = ct_ptr(writer->arena, ref);

	CT_ASSERT(capacity >= timeline->tail_count && capacity <= CT_TAIL_EVENTS);
	CT_ASSERT(stride >= timeline->tail_stride && stride <= CT_MAX_ROW_BYTES);
	CT_ASSERT(ct_is_changing(timeline));
	if (ref == 0)
		return false;
	if (stride == timeline->tail_stride)
		memcpy(to, ct_tail_row(writer->arena, timeline, 0), (size_t) timeline->tail_count * stride);
	for (uint32_t i = 0; stride != timeline->tail_stride && i < timeline->tail_count; i++)
	{
		char *row = to + (size_t) i * stride;

		memcpy(row, ct_tail_row(writer->arena, timeline, i), timeline->tail_stride);
		memset(row + timeline->tail_stride, 0, stride - timeline->tail_stride);
	}
	if (timeline->tail != 0)
		ct_give(writer, timeline->tail, (size_t) timeline->tail_capacity * timeline->tail_stride);
	timeline->tail = ref;
	timeline->tail_capacity = (uint8_t) capacity;
	timeline->tail_stride = (uint16_t) stride;
	return true;
}

/* Make room for another row.  False: no memory. */
static bool
prepare_tail(CtWriter *writer, CtTimeline *timeline, uint32_t record_bytes)
{
	uint32_t stride = get_row_bytes(record_bytes);
	uint32_t capacity = timeline->tail_capacity;
	uint32_t count = timeline->tail_count;

	CT_ASSERT(timeline->tail_count <= timeline->tail_capacity);
	if (count < capacity && stride <= timeline->tail_stride)
		return true;
	stride = stride > timeline->tail_stride ? stride : timeline->tail_stride;
	if (count == CT_TAIL_EVENTS || (count > 4 && (count + 1) * stride > CT_TAIL_BYTES))
	{
		if (!close_tail(writer, timeline))
			return false;
		count = timeline->tail_count;
	}
	if (count == capacity)
		capacity = capacity < 4 ? capacity + 2 : capacity + capacity / 2;
	capacity = capacity < CT_TAIL_EVENTS ? capacity : CT_TAIL_EVENTS;
	if (capacity == timeline->tail_capacity && stride == timeline->tail_stride)
		return true;
	return ct_tail_resize(writer, timeline, capacity, stride);
}

/* Insert a row before row i.  There must be room for it. */
static void
insert_row(const CtReadContext *context, CtTimeline *timeline, uint32_t i, const CtEntry *entry)
{
	CtRow *row = ct_tail_row(context->arena, timeline, i);
	CtLayout scratch;

	CT_ASSERT(i <= timeline->tail_count && timeline->tail_count < timeline->tail_capacity);
	CT_ASSERT(i == 0 || ct_tail_row(context->arena, timeline, i - 1)->time <= entry->time); /* T1 */
	CT_ASSERT(i == timeline->tail_count || entry->time <= row->time);                       /* T1 */
	CT_ASSERT(sizeof(CtRow) + entry->bytes <= timeline->tail_stride);
	memmove((char *) row + timeline->tail_stride, row,
			(size_t) (timeline->tail_count - i) * timeline->tail_stride);
	ct_row_write(row, entry, timeline->tail_stride);
	if (i < timeline->tail_frozen)
		timeline->tail_frozen = (uint8_t) (entry->top == 0 ? timeline->tail_frozen + 1U : i);
	if (timeline->tail_count == 0)
	{
		timeline->tail_layout = (uint16_t) entry->layout;
		timeline->tail_finish = false;
	}
	else if (timeline->tail_layout != entry->layout)
		timeline->tail_layout = 0;
	timeline->tail_finish |=
		ct_layout_of(context, entry->layout, entry->record, &scratch)->kind == CT_FINISH;
	timeline->tail_count++;
}

/* ---- inserting --------------------------------------------------------------- */

/* Count a young event that has entered, in the store and in the timeline. */
void
ct_entered_young(CtWriter *writer, CtTimeline *timeline, uint64_t top)
{
	CtStore *store = writer->store;

	CT_ASSERT(top != 0 && top <= store->newest_top);
	store->nyoung++;
	timeline->lo = top < timeline->lo ? top : timeline->lo;
	timeline->hi = top > timeline->hi ? top : timeline->hi;
	if (!timeline->in_young)
		ct_young_push(writer, timeline);
	if (top < store->horizon)
		store->round = store->nyoung_timelines; /* it can be frozen at once */
}

/*
 * Insert an event into the tree.  CT_DUPLICATE: its duplicate has entered, and
 * `replace` is false.
 */
static CtStatus
insert_into_tree(CtWriter *writer, CtTimeline *timeline, const CtItem *item, const CtEntry *entry,
				 bool replace, CtSpot *spot)
{
	uint64_t attrs = item->layout->kind == CT_FINISH ? 0 : item->layout->touched;
	CtLeaf *leaf;
	CtRun run;

	CT_ASSERT(timeline->root != 0);
	if (!prepare_path(writer, timeline, item, entry, attrs, spot))
		return CT_NO_MEMORY;
	leaf = ct_ptr(writer->arena, *spot->leaf);
	ct_leaf_run(&writer->context, leaf, &run);
	spot->position = find_in_run(&run, item);
	if (is_duplicate(&run, spot->position, item) && !replace)
		return CT_DUPLICATE;
	ct_leaf_insert(writer, leaf, spot->position, entry);
	note_inserted(writer, spot, item, entry->top);
	store_event(&writer->context, spot, item, true);
	return CT_OK;
}

static CtStatus
insert_event(CtWriter *writer, CtTimeline *timeline, CtEntry entry, bool replace, CtSpot *spot)
{
	CtLayout scratch;
	CtItem item = {entry.time, ct_layout_of(&writer->context, entry.layout, entry.record, &scratch),
				   entry.record};
	CtStatus status;

	if (belongs_in_tail(&writer->context, timeline, &item))
	{
		CtRun run;

		if (!prepare_tail(writer, timeline, entry.bytes))
			return CT_NO_MEMORY;
		if (belongs_in_tail(&writer->context, timeline, &item)) /* it may be closed now */
		{
			ct_tail_run(&writer->context, timeline, &run);
			spot->depth = 0;
			spot->position = find_in_run(&run, &item);
			if (is_duplicate(&run, spot->position, &item) && !replace)
				return CT_DUPLICATE;
			if (!entry.waited)
				entry.late = spot->position < timeline->tail_count;
			insert_row(&writer->context, timeline, spot->position, &entry);
			ct_entered(writer, timeline, entry.top);
			return CT_OK;
		}
	}
	if (!entry.waited)
		entry.late =
			timeline->tail_count > 0 || ct_timeline_has_later(&writer->context, timeline, &item);
	status = insert_into_tree(writer, timeline, &item, &entry, replace, spot);
	if (status == CT_OK)
		ct_entered(writer, timeline, entry.top);
	return status;
}

static inline CtItem
get_entry_item(const CtWriter *writer, const CtEntry *entry, CtLayout *scratch)
{
	return (CtItem){entry->time,
					ct_layout_of(&writer->context, entry->layout, entry->record, scratch),
					entry->record};
}

/* Enter an event that has an id, with id_of_key. */
static CtStatus
insert_unique(CtWriter *writer, CtTimeline *timeline, const CtEntry *entry, const CtItem *item)
{
	CtSpot spot;
	uint32_t tag = ct_id_tag(&writer->context, item);
	CtStatus status;

	if (locate_holder(&writer->context, timeline, item, &spot))
		return CT_DUPLICATE;
	if (!ct_ids_put(writer, timeline, tag, entry->time))
		return CT_NO_MEMORY;
	status = ct_tail_append(writer, timeline, entry)
				 ? CT_OK
				 : insert_event(writer, timeline, *entry, false, &spot);
	CT_ASSERT(status != CT_DUPLICATE); /* T7 */
	if (status != CT_OK)
		ct_ids_remove(writer, timeline, tag, entry->time);
	return status;
}

/*
 * Enter an event; the timeline takes over its out-of-line values.  CT_DUPLICATE:
 * its duplicate has entered, and nothing was inserted.
 */
CtStatus
ct_timeline_insert(CtWriter *writer, CtTimeline *timeline, const CtEntry *entry)
{
	CtSpot spot;

	CT_ASSERT(ct_is_changing(timeline));
	CT_ASSERT(entry->bytes <= CT_MAX_RECORD_BYTES); /* E1 */
	if (writer->context.schema->id_of_key)
	{
		CtLayout scratch;
		CtItem item = get_entry_item(writer, entry, &scratch);

		if (item.layout->has_id)
			return insert_unique(writer, timeline, entry, &item);
	}
	if (ct_tail_append(writer, timeline, entry))
		return CT_OK;
	return insert_event(writer, timeline, *entry, false, &spot);
}

/* ---- removing ---------------------------------------------------------------- */

/* Compute times, ids and bits on the path again, but not the compositions. */
static void
note_path(const CtWriter *writer, const CtSpot *spot)
{
	int depth = spot->depth - 1;

	note_leaf(writer, spot->inner[depth], spot->index[depth], ct_ptr(writer->arena, *spot->leaf));
	while (depth-- > 0)
		note_inner(spot->inner[depth], spot->index[depth], spot->inner[depth + 1]);
}

/*
 * Compute all that the nodes on the path know about their children again, from
 * `depth` up.
 */
static void
compute_path(const CtWriter *writer, const CtSpot *spot, int depth)
{
	for (; depth >= 0; depth--)
	{
		compute_child(writer, spot->inner[depth], spot->index[depth], depth == spot->depth - 1);
		refresh_columns(&writer->context, spot->inner[depth], spot->index[depth]);
	}
}

/* Remove roots whose only child is an inner node. */
static void
lower_root(CtWriter *writer, CtTimeline *timeline)
{
	while (timeline->height > 1)
	{
		CtInner *inner = ct_ptr(writer->arena, timeline->root);
		CtRef child = ct_node_child(inner)[0];

		if (inner->count > 1)
			return;
		ct_node_free(writer, timeline->root);
		timeline->root = child;
		timeline->height--;
	}
}

/* Free the spot's leaf, which is empty, and the nodes that become empty. */
void
ct_leaf_vanish(CtWriter *writer, CtTimeline *timeline, const CtSpot *spot)
{
	int depth = spot->depth - 1;

	CT_ASSERT(depth >= 0 && ct_is_changing(timeline));
	ct_leaf_free(writer, *spot->leaf);
	ct_node_close(&writer->context, spot->inner[depth], spot->index[depth], 1);
	while (spot->inner[depth]->count == 0)
	{
		CtRef *at = depth == 0 ? &timeline->root
							   : &ct_node_child(spot->inner[depth - 1])[spot->index[depth - 1]];

		ct_node_free(writer, *at);
		if (depth-- == 0)
		{
			timeline->root = 0;
			timeline->height = 0;
			return;
		}
		ct_node_close(&writer->context, spot->inner[depth], spot->index[depth], 1);
	}
	refresh_columns(&writer->context, spot->inner[depth],
					spot->index[depth] > 0 ? spot->index[depth] - 1 : 0);
	compute_path(writer, spot, depth - 1);
	lower_root(writer, timeline);
}

/*
 * Merge the spot's leaf, which is nearly empty, with a neighbour if both fit in
 * half a leaf.  Without memory the leaf stays as it is.
 */
static void
merge_leaf(CtWriter *writer, const CtSpot *spot)
{
	const CtReadContext *context = &writer->context;
	CtInner *inner = spot->inner[spot->depth - 1];
	uint32_t i = spot->index[spot->depth - 1];
	const CtLeaf *leaf[2];
	uint32_t count;
	uint32_t bytes;
	CtRun run;
	CtRef ref;

	i -= i > 0;
	if (i + 1U >= inner->count)
		return;
	leaf[0] = ct_ptr(writer->arena, ct_node_child(inner)[i]);
	leaf[1] = ct_ptr(writer->arena, ct_node_child(inner)[i + 1]);
	count = leaf[0]->count + (uint32_t) leaf[1]->count;
	bytes = (uint32_t) leaf[0]->used - leaf[0]->holes + leaf[1]->used - leaf[1]->holes;
	if (count > CT_LEAF_EVENTS / 2 || bytes > CT_LEAF_ROOM / 2)
		return;
	ref = ct_leaf_make(writer, count, bytes);
	if (ref == 0)
		return;
	if ((leaf[0]->labels != 0 || leaf[1]->labels != 0) &&
		!ct_leaf_label(writer, ct_ptr(writer->arena, ref)))
	{
		ct_leaf_free(writer, ref);
		return;
	}
	for (int j = 0; j < 2; j++)
	{
		ct_leaf_run(context, leaf[j], &run);
		ct_leaf_copy(writer, ct_ptr(writer->arena, ref), &run, 0, run.count);
		ct_leaf_free(writer, ct_node_child(inner)[i + (uint32_t) j]);
	}
	ct_node_child(inner)[i] = ref;
	ct_node_close(context, inner, i + 1, 1);
	compute_child(writer, inner, i, true);
	refresh_columns(context, inner, i);
}

void
ct_tail_free(CtWriter *writer, CtTimeline *timeline)
{
	CT_ASSERT(timeline->tail != 0);
	ct_give(writer, timeline->tail, (size_t) timeline->tail_capacity * timeline->tail_stride);
	timeline->tail = 0;
	timeline->tail_count = timeline->tail_capacity = timeline->tail_stride = 0;
	timeline->tail_frozen = 0;
}

static void
remove_row(CtWriter *writer, CtTimeline *timeline, uint32_t i)
{
	CtRow *row = ct_tail_row(writer->arena, timeline, i);

	CT_ASSERT(i < timeline->tail_count);
	memmove(row, (char *) row + timeline->tail_stride,
			(size_t) (timeline->tail_count - i - 1U) * timeline->tail_stride);
	if (i < timeline->tail_frozen)
		timeline->tail_frozen--;
	if (--timeline->tail_count == 0)
		ct_tail_free(writer, timeline);
}

/* Remove the event before the spot, and free its out-of-line values.  Its id stays known. */
static void
remove_event(CtWriter *writer, CtTimeline *timeline, CtSpot *spot)
{
	const CtReadContext *context = &writer->context;
	CtRun run;
	uint32_t i = spot->position - 1;
	CtLayout scratch;
	CtLayout layout;
	uint8_t record[CT_MAX_RECORD_BYTES];
	CtItem item;

	CT_ASSERT(spot->position > 0 && ct_is_changing(timeline));
	ct_spot_run(context, timeline, spot, &run);
	item = ct_run_item(&run, i, &scratch);
	/* Copy it: its effect must be known after it is gone. */
	CT_ASSERT(i < run.count && item.layout->bytes <= CT_MAX_RECORD_BYTES);
	memcpy(&layout, item.layout, ct_layout_bytes(item.layout));
	memcpy(record, item.record, item.layout->bytes);
	item.layout = &layout;
	item.record = record;

	if (ct_run_label(&run, i) == 0)
		writer->store->nfrozen--;
	else
		writer->store->nyoung--;
	if (spot->depth == 0)
		remove_row(writer, timeline, i);
	else
	{
		ct_leaf_remove(writer, ct_ptr(writer->arena, *spot->leaf), i);
		if (((CtLeaf *) ct_ptr(writer->arena, *spot->leaf))->count == 0)
			ct_leaf_vanish(writer, timeline, spot);
		else
		{
			note_path(writer, spot);
			store_event(context, spot, &item, false);
			if (((CtLeaf *) ct_ptr(writer->arena, *spot->leaf))->count <= CT_LEAF_EVENTS / 4)
				merge_leaf(writer, spot);
		}
	}
	ct_record_free(writer, &layout, record);
}

/* Forget the ids of the first n events of a block, which leave the timeline. */
void
ct_timeline_forget(CtWriter *writer, CtTimeline *timeline, const CtRun *run, uint32_t n)
{
	CtLayout scratch;

	CT_ASSERT(n <= run->count);
	for (uint32_t i = 0; writer->context.schema->id_of_key && i < n; i++)
	{
		CtItem item = ct_run_item(run, i, &scratch);

		if (item.layout->has_id)
			ct_ids_remove(writer, timeline, ct_id_tag(&writer->context, &item), item.time);
	}
}

/* Remove the event before the spot, and free its out-of-line values. */
void
ct_timeline_remove(CtWriter *writer, CtTimeline *timeline, CtSpot *spot)
{
	if (writer->context.schema->id_of_key)
	{
		CtRun run;
		CtLayout scratch;
		CtItem item;

		ct_spot_run(&writer->context, timeline, spot, &run);
		item = ct_run_item(&run, spot->position - 1, &scratch);
		if (item.layout->has_id)
			ct_ids_remove(writer, timeline, ct_id_tag(&writer->context, &item), item.time);
	}
	remove_event(writer, timeline, spot);
}

/* ---- replacing -------------------------------------------------------------- */

/*
 * Enter an event in place of the one that has its id, right before the spot, which
 * is freed.
 */
static CtStatus
replace_holder(CtWriter *writer, CtTimeline *timeline, const CtEntry *entry, CtSpot *spot)
{
	CtLayout scratch;
	CtItem item = get_entry_item(writer, entry, &scratch);
	uint32_t tag = ct_id_tag(&writer->context, &item);
	CtItem holder;
	CtLayout other;
	CtRun run;
	uint32_t holder_tag;
	int64_t time;
	CtStatus status;

	ct_spot_run(&writer->context, timeline, spot, &run);
	holder = ct_run_item(&run, spot->position - 1, &other);
	holder_tag = ct_id_tag(&writer->context, &holder);
	time = holder.time;
	if (time == entry->time && holder_tag == tag)
	{
		status = insert_event(writer, timeline, *entry, true, spot);
		if (status == CT_OK)
			remove_event(writer, timeline, spot); /* the holder, which is before it */
		return status;
	}

	status = insert_event(writer, timeline, *entry, true, spot);
	if (status != CT_OK)
		return status;
	/* The entry still leads to the holder, which may have moved. */
	if (!locate_holder(&writer->context, timeline, &item, spot))
		return CT_BROKEN;
	remove_event(writer, timeline, spot);
	ct_ids_move(writer, timeline, holder_tag, time, tag, entry->time);
	return CT_OK;
}

/* Enter an event in place of its duplicate, right before the spot, which is freed. */
CtStatus
ct_timeline_replace(CtWriter *writer, CtTimeline *timeline, const CtEntry *entry,
					const CtSpot *duplicate)
{
	CtSpot spot = *duplicate;
	CtStatus status;

	CT_ASSERT(ct_is_changing(timeline) && spot.position > 0);
	if (writer->context.schema->id_of_key)
		return replace_holder(writer, timeline, entry, &spot);
	status = insert_event(writer, timeline, *entry, true, &spot);
	if (status == CT_OK)
		remove_event(writer, timeline, &spot); /* the duplicate */
	return status;
}

/* ---- freezing ---------------------------------------------------------------- */

/* Remove the labels below the horizon.  Return their number. */
static uint32_t
freeze_leaf(CtWriter *writer, CtLeaf *leaf, uint64_t horizon)
{
	uint32_t *label;
	uint32_t frozen = 0;
	uint32_t left = 0;

	if (leaf->labels == 0)
		return 0;
	label = ct_ptr(writer->arena, leaf->labels);
	for (uint32_t i = 0; i < leaf->count; i++)
	{
		if (label[i] == 0)
			continue;
		if (get_full_xid(writer, label[i]) < horizon)
		{
			label[i] = 0;
			frozen++;
		}
		else
			left++;
	}
	if (left == 0)
	{
		ct_give(writer, leaf->labels, leaf->capacity * sizeof(uint32_t));
		leaf->labels = 0;
	}
	return frozen;
}

static uint32_t
freeze_node(CtWriter *writer, CtRef ref, int height, uint64_t horizon)
{
	CtInner *inner = ct_ptr(writer->arena, ref);
	uint32_t frozen = 0;

	for (uint32_t i = 0; i < inner->count; i++)
	{
		CtRef child = ct_node_child(inner)[i];

		if (ct_node_lo(inner)[i] >= horizon)
			continue;
		if (height == 1)
		{
			frozen += freeze_leaf(writer, ct_ptr(writer->arena, child), horizon);
			note_leaf(writer, inner, i, ct_ptr(writer->arena, child));
		}
		else
		{
			frozen += freeze_node(writer, child, height - 1, horizon);
			note_inner(inner, i, ct_ptr(writer->arena, child));
		}
	}
	return frozen;
}

static uint32_t
freeze_tail(CtWriter *writer, CtTimeline *timeline, uint64_t horizon)
{
	uint32_t frozen = 0;

	uint32_t first = timeline->tail_count; /* the first row that stays young */

	for (uint32_t i = timeline->tail_frozen; i < timeline->tail_count; i++)
	{
		CtRow *row = ct_tail_row(writer->arena, timeline, i);
		uint64_t top = get_full_xid(writer, row->label);

		if (row->label == 0)
			continue;
		if (top < horizon)
		{
			row->label = 0;
			frozen++;
			continue;
		}
		first = i < first ? i : first;
		timeline->lo = top < timeline->lo ? top : timeline->lo;
		timeline->hi = top > timeline->hi ? top : timeline->hi;
	}
	timeline->tail_frozen = (uint8_t) first;
	CT_ASSERT(first <= timeline->tail_count);
	return frozen;
}

/* Freeze the events whose ids are below the horizon.  Return their number. */
uint32_t
ct_timeline_freeze(CtWriter *writer, CtTimeline *timeline, uint64_t horizon)
{
	uint32_t frozen = 0;

	CT_ASSERT(ct_is_changing(timeline));
	if (timeline->lo >= horizon)
		return 0;
	timeline->lo = UINT64_MAX;
	timeline->hi = 0;
	if (timeline->root != 0)
	{
		frozen = freeze_node(writer, timeline->root, timeline->height, horizon);
		get_xid_range(ct_ptr(writer->arena, timeline->root), &timeline->lo, &timeline->hi);
	}
	frozen += freeze_tail(writer, timeline, horizon);
	return frozen;
}

/* ---- freeing ----------------------------------------------------------------- */

static void
free_run(CtWriter *writer, const CtRun *run)
{
	CtLayout scratch;

	for (uint32_t i = 0; i < run->count; i++)
	{
		CtItem item = ct_run_item(run, i, &scratch);

		ct_record_free(writer, item.layout, item.record);
	}
}

/* Free the last leaf, and the nodes that become empty.  Return the number of its events. */
static uint32_t
free_last_leaf(CtWriter *writer, CtTimeline *timeline)
{
	CtRef *at[CT_MAX_HEIGHT + 1] = {&timeline->root};
	CtRun run;
	int depth;

	CT_ASSERT(timeline->root != 0 && timeline->height > 0); /* T6 */
	for (depth = 0; depth < timeline->height; depth++)
	{
		CtInner *inner = ct_ptr(writer->arena, *at[depth]);

		at[depth + 1] = &ct_node_child(inner)[inner->count - 1];
	}
	ct_leaf_run(&writer->context, ct_ptr(writer->arena, *at[depth]), &run);
	ct_timeline_forget(writer, timeline, &run, run.count);
	free_run(writer, &run);
	ct_leaf_free(writer, *at[depth]);
	while (depth-- > 0)
	{
		CtInner *inner = ct_ptr(writer->arena, *at[depth]);

		if (--inner->count > 0)
			return run.count;
		ct_node_free(writer, *at[depth]);
	}
	timeline->root = 0;
	timeline->height = 0;
	return run.count;
}

/*
 * Free about `limit` entered events.  Return their number.  The timeline can no
 * longer be read, as its summaries are wrong from then on.
 */
int
ct_timeline_free(CtWriter *writer, CtTimeline *timeline, int limit)
{
	int freed = 0;

	while (timeline->root != 0 && freed < limit)
		freed += (int) free_last_leaf(writer, timeline);
	if (timeline->root == 0 && timeline->tail != 0 && freed < limit)
	{
		CtRun run;

		ct_tail_run(&writer->context, timeline, &run);
		ct_timeline_forget(writer, timeline, &run, run.count);
		free_run(writer, &run);
		freed += (int) run.count;
		ct_tail_free(writer, timeline);
	}
	return freed;
}
