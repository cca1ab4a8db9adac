/*
 * block.c
 *	  Blocks of events (tails and leaves): their layout, and folding runs of them.
 *
 * Called by timeline.c (changing), fold.c and others (reading).
 *
 * Concurrency: as for timeline.c.  Functions that only read survive any
 * content: the caller bounds counts, and the types bound offsets.
 *
 * Invariants:
 *	 B1  The first `count` times, slots and labels of a leaf belong to its
 *		 events, in order.  Records are within `used`; `holes` bytes of that
 *		 are unused.
 *	 B2  `layout`, if not 0, is the layout of all events.  `set` includes all
 *		 attributes that they touch.  `finish` is true exactly if one of them is
 *		 a finish.  `packed` is only true if records are in the order of events,
 *		 without gaps.
 *	 B3  All events of a leaf without labels are frozen.
 *	 B4  `late` of a slot or row is as it was when the event entered, or when
 *		 it began to wait because of its duplicate.
 *
 * Not here: where an event belongs (timeline.c).
 */
#include "engine/block.h"

#include <string.h>

/*
 * Return the number of rows that are at or before the instant.  Most instants are
 * near the end, so that is searched first; then follows a binary search without
 * branches, as they would be mispredicted half of the time.
 */
uint32_t
ct_tail_until(const CtRun *run, int64_t time)
{
	uint32_t n = run->count;
	uint32_t near = n > 4 ? n - 4 : 0;
	uint32_t low = 0;

	CT_ASSERT(run->slot == NULL && run->count <= CT_TAIL_EVENTS);
	for (; n > near; n--)
	{
		if (ct_run_row(run, n - 1)->time <= time)
			return n;
	}
	while (n > 1)
	{
		uint32_t half = n / 2;

		low += half & (0U - (uint32_t) (ct_run_row(run, low + half - 1)->time <= time));
		n -= half;
	}
	return low + (n > 0 && ct_run_row(run, low)->time <= time);
}

/* ---- folding ----------------------------------------------------------------- */

/* Return the index behind the last finish in [from, to), or `from` if there is none. */
static uint32_t
skip_finish(const CtRun *run, uint32_t from, uint32_t to, bool *found)
{
	CtLayout scratch;

	*found = false;
	if (!run->finish)
		return from;
	for (uint32_t i = to; i > from; i--)
	{
		if (ct_run_item(run, i - 1, &scratch).layout->kind == CT_FINISH)
		{
			*found = true;
			return i;
		}
	}
	return from;
}

/*
 * True if all events have one layout, which adds a number to the attribute and
 * nothing else; *offset is where the operand is in the record.
 */
static bool
only_adds(const CtRun *run, int attr, uint32_t *offset)
{
	const CtLayout *layout;

	if (run->layout == 0 || run->context->schema->attr[attr].wide ||
		ct_moves(&run->context->schema->attr[attr]) ||
		run->context->schema->attr[attr].rule != CT_RULE_SUM ||
		run->context->schema->attr[attr].number == CT_NUMBER_INTERVAL)
		return false;
	layout = ct_layout_of(run->context, run->layout, NULL, NULL);
	if (layout->kind != CT_EVENT || !ct_layout_sets(layout, attr) || ct_layout_nulls(layout, attr))
		return false;
	*offset = ct_layout_offset(layout, attr);
	return true;
}

static inline int64_t
read_int64(const uint8_t *at)
{
	int64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* Execute `body` for each operand v of events [from, to). */
#define FOR_OPERANDS(run, from, to, offset, v, body)                                       \
	do                                                                                     \
	{                                                                                      \
		if ((run)->stride != 0)                                                            \
		{                                                                                  \
			const uint8_t *at_ = (run)->base + ((run)->slot == NULL ? sizeof(CtRow) : 0) + \
								 (size_t) (from) * (run)->stride + (offset);               \
			for (uint32_t i_ = (from); i_ < (to); i_++, at_ += (run)->stride)              \
			{                                                                              \
				int64_t v = read_int64(at_);                                               \
				body;                                                                      \
			}                                                                              \
		}                                                                                  \
		else                                                                               \
		{                                                                                  \
			for (uint32_t i_ = (from); i_ < (to); i_++)                                    \
			{                                                                              \
				int64_t v = read_int64((run)->base + (run)->slot[i_].offset + (offset));   \
				body;                                                                      \
			}                                                                              \
		}                                                                                  \
	} while (0)

/*
 * Add a 64-bit operand to a sum.  Its halves are added separately, so that neither
 * sum overflows.
 */
static inline void
add_halves(int64_t operand, uint64_t *low, int64_t *high)
{
	*low += (uint32_t) operand;
	*high += operand >> 32;
}

__int128
ct_run_add_up(const CtRun *run, uint32_t from, uint32_t to, uint32_t offset)
{
	const uint8_t *at = run->base + (run->slot == NULL ? sizeof(CtRow) : 0) + offset;
	uint64_t low = 0;
	int64_t high = 0;

	CT_ASSERT(run->stride != 0 || run->slot != NULL);
	CT_ASSERT(to <= CT_LEAF_EVENTS || to <= CT_TAIL_EVENTS);
	if (run->stride != 0)
	{
		size_t stride = run->stride;

		at += from * stride;
		for (; from + 4 <= to; from += 4, at += 4 * stride)
		{
			add_halves(read_int64(at), &low, &high);
			add_halves(read_int64(at + stride), &low, &high);
			add_halves(read_int64(at + 2 * stride), &low, &high);
			add_halves(read_int64(at + 3 * stride), &low, &high);
		}
		for (; from < to; from++, at += stride)
			add_halves(read_int64(at), &low, &high);
	}
	else
	{
		for (; from < to; from++)
			add_halves(read_int64(at + run->slot[from].offset), &low, &high);
	}
	return high * ((__int128) 1 << 32) + low;
}

/* Return x + v within the bounds.  A sum that overflows is beyond a bound. */
static inline int64_t
clamp_add(int64_t x, int64_t v, int64_t lo, int64_t hi)
{
	int64_t sum;

	if (__builtin_add_overflow(x, v, &sum))
		return v < 0 ? lo : hi;
	sum = sum < lo ? lo : sum;
	return sum > hi ? hi : sum;
}

/* True if the attribute has both bounds, and they fit in 64 bits, as is usual. */
static bool
bounds_fit(const CtAttr *attr, int64_t *lower, int64_t *upper)
{
	return attr->has_lower && attr->has_upper && ct_wide_to_int64(attr->lower, lower) &&
		   ct_wide_to_int64(attr->upper, upper);
}

/* Compose x -> min(max(x + a, lo), hi) event by event. */
static void
compose_fitting(const CtRun *run, uint32_t from, uint32_t to, uint32_t offset, int64_t lower,
				int64_t upper, CtCell *cell)
{
	__int128 a = 0;
	int64_t lo = lower;
	int64_t hi = upper;

	CT_ASSERT(from < to && lower <= upper); /* R4 */
	/* The first event just sets the bounds. */
	FOR_OPERANDS(run, from, from + 1, offset, v, a += v);
	FOR_OPERANDS(run, from + 1, to, offset, v, {
		a += v;
		lo = clamp_add(lo, v, lower, upper);
		hi = clamp_add(hi, v, lower, upper);
	});
	cell->tag = CT_CHANGE;
	cell->w[0] = wide_from_int128(lo == hi ? 0 : a); /* R4 */
	cell->w[1] = wide_from_int64(lo);
	cell->w[2] = wide_from_int64(hi);
}

/* Compose additions.  False: their bounds need more than 64 bits, or there is only one. */
static bool
compose_additions(const CtRun *run, uint32_t from, uint32_t to, uint32_t offset, const CtAttr *attr,
				  CtCell *cell)
{
	int64_t lower;
	int64_t upper;

	if (bounds_fit(attr, &lower, &upper))
		compose_fitting(run, from, to, offset, lower, upper, cell);
	else if (!attr->has_lower && !attr->has_upper)
	{
		cell->tag = CT_CHANGE;
		cell->w[0] = wide_from_int128(ct_run_add_up(run, from, to, offset));
	}
	else
		return false;
	return true;
}

/* Set *cell to the effect of the last event that sets the attribute, if any. */
static void
compose_last(const CtRun *run, uint32_t from, uint32_t to, int attr, CtCell *cell)
{
	CtLayout scratch;

	for (uint32_t j = to; j > from; j--)
	{
		CtItem item = ct_run_item(run, j - 1, &scratch);

		if (ct_layout_sets(item.layout, attr))
		{
			ct_cell_of(run->context, &item, attr, cell);
			return;
		}
	}
}

/* Set *cell to the composition of events [from, to) in one attribute. */
void
ct_run_compose(const CtRun *run, uint32_t from, uint32_t to, int i, CtCell *cell)
{
	const CtAttr *attr = &run->context->schema->attr[i];
	uint32_t offset;
	bool finish;
	CtLayout scratch;

	CT_ASSERT(from <= to && i >= 0 && i < run->context->schema->nattrs);
	cell->tag = CT_KEEP;
	from = skip_finish(run, from, to, &finish);
	if (finish)
		ct_cell_reset(attr, cell);
	if (from == to || (run->set >> i & 1) == 0)
		return;
	if (!finish && only_adds(run, i, &offset) &&
		compose_additions(run, from, to, offset, attr, cell))
		return;
	if (ct_is_last(attr))
	{
		compose_last(run, from, to, i, cell);
		return;
	}
	for (uint32_t j = from; j < to; j++)
	{
		CtItem item = ct_run_item(run, j, &scratch);
		CtCell g;

		if (!ct_layout_touches(item.layout, i))
			continue;
		ct_cell_of(run->context, &item, i, &g);
		ct_cell_then(run->context, attr, cell, &g);
	}
}

/*
 * Apply what one event sets of the wanted attributes.  Return the wanted ones that
 * it does not set.
 */
static inline uint64_t
set_lasts(const CtRun *run, uint32_t i, const CtLayout *layout, uint64_t wanted, CtState *state)
{
	const uint8_t *record = ct_run_record(run, i);

	for (uint64_t rest = layout->set & wanted; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);

		if (ct_layout_nulls(layout, attr))
			state->value[attr].kind = CT_VALUE_NULL;
		else
			ct_value_set_cell(run->context, attr, &state->value[attr],
							  record + ct_layout_offset(layout, attr), ct_run_time(run, i));
	}
	return wanted & ~layout->set;
}

static uint64_t __attribute__((noinline))
set_mixed_lasts(const CtRun *run, uint32_t from, uint32_t to, uint64_t wanted, CtState *state)
{
	CtLayout scratch;

	for (uint32_t j = to; j > from && wanted != 0; j--)
		wanted = set_lasts(run, j - 1, ct_run_item(run, j - 1, &scratch).layout, wanted, state);
	return wanted;
}

/*
 * Apply the last values that events [from, to) set, searching backward.  Return the
 * wanted attributes that no event sets.
 */
uint64_t
ct_run_lasts(const CtRun *run, uint32_t from, uint32_t to, uint64_t wanted, CtState *state)
{
	if ((run->set & wanted) == 0 || from >= to)
		return wanted;
	if (run->layout == 0)
		return set_mixed_lasts(run, from, to, wanted, state);
	return set_lasts(run, to - 1, ct_layout_of(run->context, run->layout, NULL, NULL), wanted,
					 state);
}

/*
 * Apply additions to a value that is not NULL.  False: bounds or value need more
 * than 64 bits.
 */
static bool
apply_additions(const CtRun *run, uint32_t from, uint32_t to, uint32_t offset, const CtAttr *attr,
				CtValue *value)
{
	int64_t lower;
	int64_t upper;
	int64_t x;

	if (!attr->has_lower && !attr->has_upper)
		value->number =
			wide_add(value->number, wide_from_int128(ct_run_add_up(run, from, to, offset)));
	else if (bounds_fit(attr, &lower, &upper) && ct_wide_to_int64(value->number, &x))
	{
		FOR_OPERANDS(run, from, to, offset, v, x = clamp_add(x, v, lower, upper));
		value->number = wide_from_int64(x);
	}
	else
		return false;
	return true;
}

static void
apply_one(const CtRun *run, uint32_t from, uint32_t to, int i, CtState *state)
{
	const CtAttr *attr = &run->context->schema->attr[i];
	CtValue *value = &state->value[i];
	uint32_t offset;
	CtLayout scratch;

	if (only_adds(run, i, &offset))
	{
		ct_value_begin_sum(attr, value);
		if (apply_additions(run, from, to, offset, attr, value))
			return;
	}
	for (uint32_t j = from; j < to; j++)
	{
		CtItem item = ct_run_item(run, j, &scratch);

		if (ct_layout_touches(item.layout, i))
			ct_value_add_item(run->context, &item, i, value);
	}
}

/*
 * Apply events [from, to) to a state, except attributes of the rule last.  Return
 * the index from which ct_run_lasts() has to apply those.  *finish: there was a
 * finish, which has reset the state.
 */
uint32_t
ct_run_numbers(const CtRun *run, uint32_t from, uint32_t to, CtState *state, bool *finish)
{
	const CtSchema *schema = run->context->schema;

	CT_ASSERT(to <= CT_LEAF_EVENTS || to <= CT_TAIL_EVENTS);
	*finish = false;
	if (from >= to)
		return to;
	from = skip_finish(run, from, to, finish);
	if (*finish)
		ct_state_initial(schema, state);
	if (from == to)
		return to;
	for (uint64_t rest = run->set & ~run->context->lasts; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);

		if (i >= schema->nattrs)
			break;
		if (schema->attr[i].rule != CT_RULE_NONE)
			apply_one(run, from, to, i, state);
	}
	state->present = true;
	return from;
}

/* Apply events [from, to) to a state. */
void
ct_run_apply(const CtRun *run, uint32_t from, uint32_t to, CtState *state)
{
	bool finish;

	from = ct_run_numbers(run, from, to, state, &finish);
	if (from < to)
		(void) ct_run_lasts(run, from, to, run->context->lasts, state);
}

/* ---- leaves ------------------------------------------------------------------ */

/*
 * Allocate a leaf for `events` events with `record_bytes` of records, or for more
 * if the allocated memory has room for them.  0: no memory.
 */
CtRef
ct_leaf_make(CtWriter *writer, uint32_t events, uint32_t record_bytes)
{
	size_t size = ct_alloc_size(ct_leaf_bytes(events, record_bytes));
	uint32_t each = record_bytes / events;
	CtRef ref;

	CT_ASSERT(events > 0 && events <= CT_LEAF_EVENTS);
	CT_ASSERT(record_bytes <= UINT16_MAX);
	while (events < CT_LEAF_EVENTS && record_bytes + each <= CT_LEAF_ROOM &&
		   ct_leaf_bytes(events + 1, record_bytes + each) <= size)
	{
		events++;
		record_bytes += each;
	}
	ref = ct_take(writer, ct_leaf_bytes(events, record_bytes), true);
	if (ref != 0)
	{
		CtLeaf *leaf = ct_ptr(writer->arena, ref);

		memset(leaf, 0, sizeof(CtLeaf));
		leaf->capacity = (uint16_t) events;
		leaf->room = (uint16_t) record_bytes;
		CT_ASSERT(record_bytes <= UINT16_MAX);
	}
	return ref;
}

/* Give a leaf labels if it has none.  False: no memory. */
bool
ct_leaf_label(CtWriter *writer, CtLeaf *leaf)
{
	if (leaf->labels != 0)
		return true;
	leaf->labels = ct_take(writer, leaf->capacity * sizeof(uint32_t), true);
	if (leaf->labels != 0)
		memset(ct_ptr(writer->arena, leaf->labels), 0, leaf->capacity * sizeof(uint32_t));
	return leaf->labels != 0;
}

void
ct_leaf_free(CtWriter *writer, CtRef ref)
{
	CtLeaf *leaf = ct_ptr(writer->arena, ref);

	CT_ASSERT(leaf->count <= leaf->capacity && leaf->used <= leaf->room); /* B1 */
	if (leaf->labels != 0)
		ct_give(writer, leaf->labels, leaf->capacity * sizeof(uint32_t));
	ct_give(writer, ref, ct_leaf_bytes(leaf->capacity, leaf->room));
}

bool
ct_leaf_is_full(const CtLeaf *leaf, uint32_t record_bytes)
{
	return leaf->count >= CT_LEAF_EVENTS ||
		   (leaf->count > 1 && (uint32_t) leaf->used - leaf->holes + record_bytes > CT_LEAF_ROOM);
}

/* Update what is known about all events of a leaf for another one. */
static void
note_event(CtLeaf *leaf, const CtLayout *layout, uint32_t number)
{
	if (leaf->count == 0)
	{
		leaf->layout = (uint16_t) number;
		leaf->packed = true;
	}
	else if (leaf->layout != number)
		leaf->layout = 0;
	leaf->set |= layout->touched;
	leaf->finish |= layout->kind == CT_FINISH;
}

/*
 * Copy a leaf without holes into a new, larger one.  If the old one has labels, so
 * must the new one.
 */
static void
enlarge_leaf(const CtWriter *writer, CtLeaf *to, const CtLeaf *from)
{
	CT_ASSERT(to->count == 0 && to->capacity >= from->count && to->room >= from->used);
	CT_ASSERT(from->holes == 0);
	memcpy(to->time, from->time, from->count * sizeof(int64_t));
	memcpy(ct_leaf_slots(to), ct_leaf_slots(from), from->count * sizeof(CtSlot));
	memcpy(ct_leaf_records(to), ct_leaf_records(from), from->used);
	if (from->labels != 0)
		memcpy(ct_ptr(writer->arena, to->labels), ct_ptr(writer->arena, from->labels),
			   from->count * sizeof(uint32_t));
	to->count = from->count;
	to->used = from->used;
	to->layout = from->layout;
	to->set = from->set;
	to->finish = from->finish;
	to->packed = from->packed;
}

/*
 * Make room for an event in a leaf that is not full.  *at changes if the leaf
 * moves.  False: no memory.
 */
bool
ct_leaf_prepare(CtWriter *writer, CtRef *at, const CtEntry *entry)
{
	CtLeaf *old = ct_ptr(writer->arena, *at);
	uint32_t live = (uint32_t) old->used - old->holes;
	uint32_t events = old->count + 1U + old->count / 8;
	uint32_t bytes = live + entry->bytes + live / 8;
	CtRef ref;
	CtLeaf *leaf;
	CtRun run;

	CT_ASSERT(!ct_leaf_is_full(old, entry->bytes));
	CT_ASSERT(old->holes <= old->used && old->used <= old->room); /* B1 */
	if (old->count < old->capacity && (uint32_t) old->used + entry->bytes <= old->room)
		return entry->top == 0 || ct_leaf_label(writer, old);

	events = events < CT_LEAF_EVENTS ? events : CT_LEAF_EVENTS;
	bytes = bytes < CT_LEAF_ROOM ? bytes : CT_LEAF_ROOM;
	if (bytes < live + entry->bytes)
		bytes = live + entry->bytes;
	ref = ct_leaf_make(writer, events, bytes);
	if (ref == 0)
		return false;
	leaf = ct_ptr(writer->arena, ref);
	if ((old->labels != 0 || entry->top != 0) && !ct_leaf_label(writer, leaf))
	{
		ct_leaf_free(writer, ref);
		return false;
	}
	if (old->holes == 0)
		enlarge_leaf(writer, leaf, old);
	else
	{
		ct_leaf_run(&writer->context, old, &run);
		ct_leaf_copy(writer, leaf, &run, 0, run.count);
	}
	ct_leaf_free(writer, *at);
	*at = ref;
	return true;
}

void
ct_leaf_insert(const CtWriter *writer, CtLeaf *leaf, uint32_t i, const CtEntry *entry)
{
	CtSlot *slot = ct_leaf_slots(leaf);
	uint32_t behind = leaf->count - i;
	CtLayout scratch;

	CT_ASSERT(i <= leaf->count && leaf->count < leaf->capacity);   /* B1 */
	CT_ASSERT((uint32_t) leaf->used + entry->bytes <= leaf->room); /* B1 */
	CT_ASSERT(i == 0 || leaf->time[i - 1] <= entry->time);         /* T1 */
	CT_ASSERT(behind == 0 || entry->time <= leaf->time[i]);        /* T1 */
	CT_ASSERT(entry->top == 0 || leaf->labels != 0);               /* B3 */
	memmove(&leaf->time[i + 1], &leaf->time[i], behind * sizeof(int64_t));
	memmove(&slot[i + 1], &slot[i], behind * sizeof(CtSlot));
	leaf->packed = leaf->packed && behind == 0;
	leaf->time[i] = entry->time;
	slot[i] = (CtSlot){leaf->used, entry->layout & 0x7FFF, entry->late};
	memcpy(ct_leaf_records(leaf) + leaf->used, entry->record, entry->bytes);
	note_event(leaf, ct_layout_of(&writer->context, entry->layout, entry->record, &scratch),
			   entry->layout);
	leaf->used = (uint16_t) (leaf->used + entry->bytes);
	if (leaf->labels != 0)
	{
		uint32_t *label = ct_ptr(writer->arena, leaf->labels);

		memmove(&label[i + 1], &label[i], behind * sizeof(uint32_t));
		label[i] = (uint32_t) entry->top;
	}
	leaf->count++;
}

/* Set leaf->finish to whether one of the events is a finish. */
static void
note_finishes(const CtWriter *writer, CtLeaf *leaf)
{
	CtLayout scratch;
	CtRun run;

	ct_leaf_run(&writer->context, leaf, &run);
	leaf->finish = false;
	for (uint32_t i = 0; i < run.count && !leaf->finish; i++)
		leaf->finish = ct_run_item(&run, i, &scratch).layout->kind == CT_FINISH;
}

/* Remove an event.  The caller then owns its out-of-line values. */
void
ct_leaf_remove(const CtWriter *writer, CtLeaf *leaf, uint32_t i)
{
	CtSlot *slot = ct_leaf_slots(leaf);
	uint32_t behind = leaf->count - i - 1U;
	CtLayout scratch;
	const CtLayout *layout = ct_layout_of(&writer->context, slot[i].layout,
										  ct_leaf_records(leaf) + slot[i].offset, &scratch);
	bool was_finish = layout->kind == CT_FINISH;

	CT_ASSERT(i < leaf->count); /* B1 */
	leaf->holes = (uint16_t) (leaf->holes + layout->bytes);
	leaf->packed = false;
	memmove(&leaf->time[i], &leaf->time[i + 1], behind * sizeof(int64_t));
	memmove(&slot[i], &slot[i + 1], behind * sizeof(CtSlot));
	if (leaf->labels != 0)
	{
		uint32_t *label = ct_ptr(writer->arena, leaf->labels);

		memmove(&label[i], &label[i + 1], behind * sizeof(uint32_t));
	}
	leaf->count--;
	if (was_finish)
		note_finishes(writer, leaf);
}

/* Where copied events go in a leaf. */
typedef struct Place
{
	int64_t *time;
	CtSlot *slot;
	uint8_t *record;
	uint32_t offset;
} Place;

/* Copy rows of a tail. */
static inline __attribute__((always_inline)) void
copy_rows(Place to, const CtRun *from, uint32_t first, uint32_t end, uint32_t bytes)
{
	const uint8_t *at = from->base + (size_t) first * from->stride;

	for (uint32_t i = first; i < end; i++, at += from->stride)
	{
		const CtRow *row = (const CtRow *) at;

		*to.time++ = row->time;
		*to.slot++ = (CtSlot){(uint16_t) to.offset, from->layout & 0x7FFF, row->late & 1};
		memcpy(to.record, row->record, bytes);
		to.record += bytes;
		to.offset += bytes;
	}
}

/* Copy events of another leaf. */
static inline __attribute__((always_inline)) void
copy_slots(Place to, const CtRun *from, uint32_t first, uint32_t end, uint32_t bytes)
{
	memcpy(to.time, &from->time[first], (end - first) * sizeof(int64_t));
	for (uint32_t i = first; i < end; i++, to.offset += bytes)
	{
		*to.slot++ = (CtSlot){(uint16_t) to.offset, from->layout & 0x7FFF, from->slot[i].late};
		memcpy(to.record, from->base + from->slot[i].offset, bytes);
		to.record += bytes;
	}
}

static inline __attribute__((always_inline)) void
copy_events(Place to, const CtRun *from, uint32_t first, uint32_t end, uint32_t bytes)
{
	if (from->slot != NULL)
		copy_slots(to, from, first, end, bytes);
	else
		copy_rows(to, from, first, end, bytes);
}

/* Copy events that have the leaf's layout; their records are `bytes` long. */
static void
copy_alike(CtLeaf *to, const CtRun *from, uint32_t first, uint32_t end, uint32_t bytes)
{
	Place place = {&to->time[to->count], &ct_leaf_slots(to)[to->count],
				   ct_leaf_records(to) + to->used, to->used};

	CT_ASSERT(to->count + end - first <= to->capacity);      /* B1 */
	CT_ASSERT(to->used + (end - first) * bytes <= to->room); /* B1 */
	if (bytes == 16)
		copy_events(place, from, first, end, 16); /* the usual size: inlined */
	else
		copy_events(place, from, first, end, bytes);
	to->used = (uint16_t) (to->used + (end - first) * bytes);
}

/*
 * Append events [first, end) of another leaf or a tail.  Labels are copied if `to`
 * has labels.
 */
void
ct_leaf_copy(const CtWriter *writer, CtLeaf *to, const CtRun *from, uint32_t first, uint32_t end)
{
	uint32_t *label = to->labels == 0 ? NULL : ct_ptr(writer->arena, to->labels);

	CT_ASSERT(first < end && end <= from->count);
	CT_ASSERT(to->count + end - first <= to->capacity);                               /* B1 */
	CT_ASSERT(to->count == 0 || to->time[to->count - 1] <= ct_run_time(from, first)); /* T1 */
	for (uint32_t i = first; label != NULL && i < end; i++)
		label[to->count + i - first] = ct_run_label(from, i);
	if (from->layout != 0 && (to->count == 0 || to->layout == from->layout))
	{
		const CtLayout *layout = ct_layout_of(&writer->context, from->layout, NULL, NULL);

		note_event(to, layout, from->layout);
		copy_alike(to, from, first, end, layout->bytes);
		to->count = (uint16_t) (to->count + end - first);
		return;
	}
	for (uint32_t i = first; i < end; i++)
	{
		const uint8_t *record = ct_run_record(from, i);
		uint32_t number = ct_run_layout(from, i);
		CtLayout scratch;
		const CtLayout *layout = ct_layout_of(&writer->context, number, record, &scratch);

		note_event(to, layout, number);
		to->time[to->count] = ct_run_time(from, i);
		ct_leaf_slots(to)[to->count] = (CtSlot){to->used, number & 0x7FFF, ct_run_late(from, i)};
		memcpy(ct_leaf_records(to) + to->used, record, layout->bytes);
		CT_ASSERT(to->used + layout->bytes <= to->room); /* B1 */
		to->used = (uint16_t) (to->used + layout->bytes);
		to->count++;
	}
}
