/*
 * retain.c
 *	  What is older than must be answered: folded into what a key begins with.
 *
 *	  before    | leaf | leaf | leaf | tail |      ▲ retained: instants from
 *	  after   base     | leaf | leaf | tail |      ▲ here on are answered
 *
 * Events before `retained` that everyone sees are composed, oldest first, into
 * the *base* of their timeline: the values of its row after them.  Every state
 * at or after `retained` has them in it whatever it is, so none changes.  A
 * closed leaf goes when all of it may; rows of a tail go several at a time,
 * and only if that saves memory.  A key that ends with a finish needs no base,
 * and with nothing behind the finish no timeline.
 *
 * What has not entered holds the walk back: `retained` never passes a recent
 * or waiting event, so whatever enters later is behind the base.  An event
 * whose twin has been folded is before `retained`, too, and refused; so that
 * nothing is counted twice.
 *
 * A walk over all timelines goes on from call to call.
 *
 * Called by worker.c through engine.h; fold.c begins with a base.
 *
 * Concurrency: under the partition's lock, exclusively; ct_timeline_begin()
 * only reads.
 *
 * Invariants:
 *	 P1  A base is of a row that is present, and has the attributes, with a
 *		 rule, that are not as they are initially; each in the only way to say
 *		 so.
 *	 P2  No recent or waiting event is before `retained`.
 *	 P3  A base owns the values kept apart that it refers to.
 *
 * Not here: how old is too old (../retention.c).
 */
#include "timeline.h"

#include <string.h>

/* The payloads of what is set and not NULL, in the order of attributes. */
#define PAYLOAD_ALIGN 8

/* Rows of a tail that go at once, if memory alone is no reason. */
#define ROWS_TO_FOLD (CT_TAIL_EVENTS >= 20 ? CT_TAIL_EVENTS / 10U : 2U)

/* What folding one block counts for, beside a look at a timeline. */
#define FOLD_WORK 8

/* Batches and waiting events that a walk looks through before it begins. */
#define MOST_PENDING 16384

/* ---- bases ------------------------------------------------------------------------ */

/* A value needs no bounds, as what is added to one would; a motion has its tag. */
static inline size_t
value_bytes(const CtAttr *attr)
{
	uint32_t bounds = ct_is_number(attr) ? 0U + attr->has_lower + attr->has_upper : 0;

	if (ct_moves(attr))
		return sizeof(uint64_t) + ct_motion_bytes(attr);
	return ct_payload_bytes(attr) - bounds * sizeof(CtWide);
}

static inline size_t
payload_bytes(const CtAttr *attr)
{
	return (value_bytes(attr) + PAYLOAD_ALIGN - 1) / PAYLOAD_ALIGN * PAYLOAD_ALIGN;
}

size_t
ct_base_bytes(const CtSchema *schema, const CtBase *base)
{
	size_t bytes = sizeof(CtBase);

	for (uint64_t rest = base->set & ~base->null; rest != 0; rest &= rest - 1)
		bytes += payload_bytes(&schema->attr[__builtin_ctzll(rest)]);
	return bytes;
}

/* Set a value to what a base has for it; an image stays where it is. */
static void
value_begin(const CtShape *shape, int i, CtValue *value, const uint8_t *payload)
{
	CtCell cell;

	if (ct_moves(&shape->schema->attr[i]))
	{
		memcpy(&cell.tag, payload, sizeof(cell.tag));
		ct_value_apply(shape, i, value, cell.tag, payload + sizeof(cell.tag));
		return;
	}
	if (!ct_is_number(&shape->schema->attr[i]))
	{
		ct_value_apply(shape, i, value, CT_SET, payload);
		return;
	}
	memset(cell.w, 0, sizeof(cell.w));
	memcpy(cell.w, payload, value_bytes(&shape->schema->attr[i]));
	ct_value_apply(shape, i, value, CT_SET, cell.w);
}

static void
base_apply(const CtShape *shape, const CtBase *base, CtState *state)
{
	const uint8_t *at;

	state->present = true;
	at = (const uint8_t *) (base + 1);
	for (uint64_t rest = base->set; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);

		if (i >= shape->schema->nattrs)
			break;
		if (base->null >> i & 1)
		{
			state->value[i].kind = CT_VALUE_NULL;
			continue;
		}
		value_begin(shape, i, &state->value[i], at);
		at += payload_bytes(&shape->schema->attr[i]);
	}
}

/* The state of a key before the first event of its timeline. */
void
ct_timeline_begin(const CtShape *shape, const CtTimeline *timeline, CtState *state)
{
	ct_state_initial(shape->schema, state);
	if (timeline->base != 0)
		base_apply(shape, ct_ptr(shape->arena, timeline->base), state);
}

/* The same as cells, none of which depends on what was before. */
void
ct_base_cells(const CtShape *shape, CtRef ref, CtCell *cells)
{
	const CtSchema *schema = shape->schema;
	const CtBase *base = ct_ptr(shape->arena, ref);
	const uint8_t *at = (const uint8_t *) (base + 1);

	for (int i = 0; i < schema->nattrs; i++)
	{
		cells[i].tag = CT_KEEP;
		if (schema->attr[i].rule != CT_RULE_NONE)
			ct_cell_reset(&schema->attr[i], &cells[i]);
		if (ref == 0 || (base->set >> i & 1) == 0)
			continue;
		cells[i].tag = CT_SET_NULL;
		if (base->null >> i & 1)
			continue;
		cells[i].tag = CT_SET;
		if (ct_moves(&schema->attr[i]))
		{
			memcpy(&cells[i].tag, at, sizeof(cells[i].tag));
			memcpy(&cells[i].motion, at + sizeof(cells[i].tag), ct_motion_bytes(&schema->attr[i]));
		}
		else
			memcpy(cells[i].w, at, value_bytes(&schema->attr[i]));
		at += payload_bytes(&schema->attr[i]);
	}
}

/* Is a cell, of those above, what a finish would leave? */
bool
ct_base_is_initial(const CtAttr *attr, const CtCell *cell)
{
	CtCell reset;

	if (attr->rule == CT_RULE_NONE || (cell->tag == CT_SET_NULL && !attr->has_initial))
		return true;
	ct_cell_reset(attr, &reset);
	return ct_cell_same(attr, cell, &reset);
}

/* What a base says, without its payloads. */
static CtBase
base_head(const CtSchema *schema, const CtCell *cells)
{
	CtBase head = {.set = 0};

	for (int i = 0; i < schema->nattrs; i++)
	{
		if (ct_base_is_initial(&schema->attr[i], &cells[i]))
			continue;
		head.set |= UINT64_C(1) << i;
		if (cells[i].tag == CT_SET_NULL)
			head.null |= UINT64_C(1) << i;
	}
	return head;
}

static void
base_write(const CtShape *shape, CtBase *base, CtBase head, const CtCell *cells)
{
	uint8_t *at = (uint8_t *) (base + 1);

	*base = head;
	for (uint64_t rest = head.set & ~head.null; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);

		if (ct_moves(&shape->schema->attr[i]))
		{
			memcpy(at, &cells[i].tag, sizeof(cells[i].tag));
			memcpy(at + sizeof(cells[i].tag), &cells[i].motion,
				   ct_motion_bytes(&shape->schema->attr[i]));
		}
		else
			memcpy(at, cells[i].w, value_bytes(&shape->schema->attr[i]));
		at += payload_bytes(&shape->schema->attr[i]);
	}
}

/* ---- what is kept apart -------------------------------------------------------------- */

/* Free a value kept apart, unless it is still that of the attribute. */
static void
apart_release(CtWriter *writer, CtRef ref, const CtCell *now)
{
	if (ref == 0 || (now->tag == CT_SET && now->ref == ref))
		return;
	ct_give(writer, ref, sizeof(CtApart) + ((CtApart *) ct_ptr(writer->arena, ref))->bytes);
}

/* What events owned and the new base does not take over. */
static void
run_release(CtWriter *writer, const CtRun *run, uint32_t n, const CtCell *now)
{
	CtForm scratch;

	for (uint32_t j = 0; j < n; j++)
	{
		CtItem item = ct_run_item(run, j, &scratch);

		for (uint64_t rest = item.form->apart; rest != 0; rest &= rest - 1)
		{
			int i = __builtin_ctzll(rest);
			CtRef ref;

			memcpy(&ref, item.record + ct_form_offset(item.form, i), sizeof(ref));
			apart_release(writer, ref, &now[i]);
		}
	}
}

/* Of a base: the same. */
static void
cells_release(CtWriter *writer, const CtCell *before, const CtCell *now)
{
	const CtSchema *schema = writer->shape.schema;

	for (int i = 0; i < schema->nattrs; i++)
	{
		if (schema->attr[i].rule != CT_RULE_NONE && ct_is_apart(&schema->attr[i]) &&
			before[i].tag == CT_SET)
			apart_release(writer, before[i].ref, &now[i]);
	}
}

static void
base_drop(CtWriter *writer, CtTimeline *timeline)
{
	if (timeline->base != 0)
		ct_give(writer, timeline->base,
				ct_base_bytes(writer->shape.schema, ct_ptr(writer->arena, timeline->base)));
	timeline->base = 0;
}

/* Free a timeline's base and what it owns. */
void
ct_base_free(CtWriter *writer, CtTimeline *timeline)
{
	CtCell before[CT_MAX_ATTRS];
	CtCell none[CT_MAX_ATTRS];

	ct_base_cells(&writer->shape, timeline->base, before);
	ct_base_cells(&writer->shape, 0, none);
	cells_release(writer, before, none);
	base_drop(writer, timeline);
}

/* ---- folding ---------------------------------------------------------------------------- */

/* Events at the front of a timeline, about to go into its base. */
typedef struct Fold
{
	CtCell before[CT_MAX_ATTRS];
	CtCell after[CT_MAX_ATTRS];
	CtBase head;
	bool present; /* the row, after them */
} Fold;

static void
fold_compute(const CtShape *shape, const CtTimeline *timeline, const CtRun *run, uint32_t n,
			 Fold *fold)
{
	const CtSchema *schema = shape->schema;
	CtForm scratch;

	ct_base_cells(shape, timeline->base, fold->before);
	fold->present = ct_run_item(run, n - 1, &scratch).form->kind != CT_FINISH;
	memcpy(fold->after, fold->before, schema->nattrs * sizeof(CtCell));
	for (int i = 0; i < schema->nattrs; i++)
	{
		CtCell total;

		if (schema->attr[i].rule == CT_RULE_NONE)
			continue;
		ct_run_compose(run, 0, n, i, &total);
		ct_cell_then(shape, &schema->attr[i], &fold->after[i], &total);
	}
	fold->head = base_head(schema, fold->after);
	fold->head.time = ct_run_time(run, n - 1);
}

/*
 * The events' effect is now the base's; the caller takes them out.  False: no
 * memory, nothing was changed.
 */
static bool
fold_apply(CtWriter *writer, CtTimeline *timeline, const CtRun *run, uint32_t n, const Fold *fold)
{
	const CtSchema *schema = writer->shape.schema;
	const CtBase *old = ct_ptr(writer->arena, timeline->base);
	CtRef ref = 0;

	if (fold->present && timeline->base != 0 && old->set == fold->head.set &&
		old->null == fold->head.null)
		ref = timeline->base;
	else if (fold->present)
	{
		ref = ct_take(writer, ct_base_bytes(schema, &fold->head), true);
		if (ref == 0)
			return false;
	}
	run_release(writer, run, n, fold->after);
	cells_release(writer, fold->before, fold->after);
	if (ref != timeline->base)
		base_drop(writer, timeline);
	if (ref != 0)
		base_write(&writer->shape, ct_ptr(writer->arena, ref), fold->head, fold->after);
	timeline->base = ref;
	writer->store->nfrozen -= n;
	writer->store->folded += n;
	return true;
}

/*
 * How many events at the front may be folded; those that are old enough and
 * not seen by everyone yet are for another walk.
 */
static uint32_t
foldable(CtStore *store, const CtRun *run)
{
	uint32_t n = ct_run_until(run, store->retained - 1);

	for (uint32_t i = 0; i < n; i++)
	{
		if (ct_run_label(run, i) == 0)
			continue;
		store->retain_left = true;
		return i;
	}
	return n;
}

/* The way to the first leaf. */
static void
first_leaf(const CtShape *shape, CtTimeline *timeline, CtSpot *spot)
{
	CtRef *at = &timeline->root;

	for (spot->depth = 0; spot->depth < timeline->height; spot->depth++)
	{
		spot->inner[spot->depth] = ct_ptr(shape->arena, *at);
		spot->index[spot->depth] = 0;
		at = &ct_node_child(spot->inner[spot->depth])[0];
	}
	spot->leaf = at;
	spot->position = 0;
}

/* The first leaf goes, if all of it may. */
static bool
leaf_fold(CtWriter *writer, CtTimeline *timeline)
{
	CtStore *store = writer->store;
	const CtInner *root = ct_ptr(writer->arena, timeline->root);
	CtSpot spot;
	CtRun run;
	Fold fold;
	bool folded;

	if (root->time[0] >= store->retained)
		return false;
	first_leaf(&writer->shape, timeline, &spot);
	ct_leaf_run(&writer->shape, ct_ptr(writer->arena, *spot.leaf), &run);
	if (foldable(store, &run) < run.count)
		return false;
	fold_compute(&writer->shape, timeline, &run, run.count, &fold);
	ct_change_begin(timeline);
	folded = fold_apply(writer, timeline, &run, run.count, &fold);
	if (folded)
		ct_leaf_vanish(writer, timeline, &spot);
	else
		store->retain_left = true;
	ct_change_end(timeline);
	return folded;
}

/* For how many rows a tail is to have room when so many are left. */
static uint32_t
tail_room(const CtTimeline *timeline, uint32_t left)
{
	uint32_t room = left + left / 2 + 2;

	if (left == 0)
		return 0;
	return room < timeline->tail_capacity / 2U ? room : timeline->tail_capacity;
}

static size_t
size_of(size_t bytes)
{
	return bytes == 0 ? 0 : ct_alloc_size(bytes);
}

/* Does it take less memory without the first n rows, or no more without any? */
static bool
fold_saves(const CtWriter *writer, const CtTimeline *timeline, uint32_t n, const Fold *fold)
{
	const CtSchema *schema = writer->shape.schema;
	uint32_t room = tail_room(timeline, timeline->tail_count - n);
	size_t before = size_of((size_t) timeline->tail_capacity * timeline->tail_stride);
	size_t after = size_of((size_t) room * timeline->tail_stride);

	if (timeline->base != 0)
		before += size_of(ct_base_bytes(schema, ct_ptr(writer->arena, timeline->base)));
	if (fold->present)
		after += size_of(ct_base_bytes(schema, &fold->head));
	return room == 0 ? after <= before : after < before;
}

/* Rows have gone from a tail; without memory for less room, it stays. */
static void
tail_shrink(CtWriter *writer, CtTimeline *timeline, uint32_t room)
{
	ct_tail_note(&writer->shape, timeline);
	if (room < timeline->tail_capacity)
		(void) ct_tail_resize(writer, timeline, room, timeline->tail_stride);
}

/* The first n rows of a tail are no more; it is to have room for so many. */
static void
rows_drop(CtWriter *writer, CtTimeline *timeline, uint32_t n, uint32_t room)
{
	uint32_t left = timeline->tail_count - n;

	memmove(ct_tail_row(writer->arena, timeline, 0), ct_tail_row(writer->arena, timeline, n),
			(size_t) left * timeline->tail_stride);
	timeline->tail_count = (uint8_t) left;
	timeline->tail_frozen = timeline->tail_frozen > n ? (uint8_t) (timeline->tail_frozen - n) : 0;
	if (room == 0)
		ct_tail_free(writer, timeline);
	else
		tail_shrink(writer, timeline, room);
}

/* Rows at the front of a tail with nothing before it go. */
static bool
tail_fold(CtWriter *writer, CtTimeline *timeline)
{
	CtStore *store = writer->store;
	uint32_t left;
	uint32_t room;
	uint32_t n;
	CtRun run;
	Fold fold;
	bool folded;

	if (timeline->tail_count == 0 ||
		ct_tail_row(writer->arena, timeline, 0)->time >= store->retained)
		return false;
	ct_tail_run(&writer->shape, timeline, &run);
	n = foldable(store, &run);
	if (n == 0)
		return false;
	left = timeline->tail_count - n;
	room = tail_room(timeline, left);
	if (n < ROWS_TO_FOLD && room == timeline->tail_capacity)
		return false;
	fold_compute(&writer->shape, timeline, &run, n, &fold);
	if (n < ROWS_TO_FOLD && !fold_saves(writer, timeline, n, &fold))
		return false;
	ct_change_begin(timeline);
	folded = fold_apply(writer, timeline, &run, n, &fold);
	if (folded)
		rows_drop(writer, timeline, n, room);
	else
		store->retain_left = true;
	ct_change_end(timeline);
	return folded;
}

/* ---- walks -------------------------------------------------------------------------------- */

/*
 * The earliest instant of what has not entered; INT64_MIN when there is so
 * much of it that it would take too long to tell.
 */
static int64_t
oldest_pending(const CtWriter *writer)
{
	const CtArena *arena = writer->arena;
	int64_t oldest = INT64_MAX;
	uint32_t looked = 0;

	for (CtRef ref = writer->store->first_batch; ref != 0;)
	{
		const CtBatch *batch = ct_ptr(arena, ref);

		if (looked++ == MOST_PENDING)
			return INT64_MIN;
		oldest = batch->oldest < oldest ? batch->oldest : oldest;
		ref = batch->next;
	}
	for (CtRef ref = writer->store->waiting.first; ref != 0;)
	{
		const CtEvent *event = ct_ptr(arena, ref);

		if (looked++ == MOST_PENDING)
			return INT64_MIN;
		oldest = event->time < oldest ? event->time : oldest;
		ref = event->queue;
	}
	return oldest;
}

/* Is there a reason for another walk?  Then it begins. */
static bool
walk_begin(CtWriter *writer, int64_t from)
{
	CtStore *store = writer->store;

	if (from > store->retained)
	{
		int64_t oldest = oldest_pending(writer);

		from = oldest < from ? oldest : from;
	}
	if (from <= store->retained &&
		!(store->retain_left && store->nfrozen + store->folded != store->retain_frozen))
		return false;
	store->retained = from > store->retained ? from : store->retained;
	store->retaining = true;
	store->retain_left = false;
	store->retain_frozen = store->nfrozen + store->folded;
	store->retain_slot = 0;
	return true;
}

CtStatus
ct_store_retain(CtArena *arena, CtRef ref, int64_t from, int limit)
{
	CtWriter writer = ct_writer(arena, ref);
	CtStore *store = writer.store;
	const CtDirectory *directory = &store->directory;
	int work = 0;

	if (!store->retaining && !walk_begin(&writer, from))
		return CT_OK;
	for (; store->retain_slot < directory->nslots; store->retain_slot++)
	{
		CtRef slot = ct_directory_slot(arena, directory, store->retain_slot);
		CtTimeline *timeline = ct_ptr(arena, slot);

		if (work++ >= limit)
			return CT_AGAIN;
		if (slot == 0)
			continue;
		while (timeline->root != 0 && leaf_fold(&writer, timeline))
		{
			if ((work += FOLD_WORK) >= limit)
				return CT_AGAIN;
		}
		if (timeline->root == 0 && tail_fold(&writer, timeline))
			work += FOLD_WORK;
		if (ct_timeline_is_over(writer.store, timeline))
		{
			ct_change_begin(timeline);
			ct_directory_remove(&writer, slot); /* S5 */
			ct_change_end(timeline);
		}
	}
	store->retaining = false;
	return CT_OK;
}
