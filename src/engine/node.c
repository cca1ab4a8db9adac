/*
 * node.c
 *	  Inner nodes: their memory, and the columns with the summaries of children.
 *
 * Called by timeline.c, fold.c (reading), validate.c.
 *
 * Concurrency: as for timeline.c.
 *
 * Invariants:
 *	 N1  The total of a child is the composition of its events, for one
 *		 attribute.  `before`, where it exists, is the composition of the
 *		 children before it in its group; `group` is the composition of all
 *		 children before the group.
 *	 N2  If a node has no column for an attribute, none of its events touches
 *		 it, except that a finish makes it initial.
 *	 N3  `overrides` and `sets` agree with the tags of the totals.
 *	 N4  Payloads of a narrow column are within CT_NARROW_LIMIT, and 0 where
 *		 the tag says that there is none.
 *
 * Not here: the structure of the tree (timeline.c), composition (rule.c).
 */
#include "engine/node.h"

#include <string.h>

static CtColumn *
find_column(const CtReadContext *context, const CtInner *inner, int attr)
{
	return ct_ptr(context->arena, ct_node_column(inner)[attr]);
}

static inline bool
has_column(const CtInner *inner, int attr)
{
	return (inner->columns >> attr & 1) != 0;
}

/* ---- cells ------------------------------------------------------------------- */

static void
load_cell(const CtAttr *attr, const CtColumn *column, uint32_t capacity, CtWhich which, uint32_t i,
		  CtCell *cell)
{
	cell->tag = *ct_column_tag(column, capacity, which, i);
	if (!ct_tag_has_payload(cell->tag))
		return;
	if (column->narrow)
		cell->w[0] = wide_from_int64(ct_column_narrow(column, capacity)[which * capacity + i]);
	else
		memcpy(cell->w, ct_column_payload(attr, column, capacity, which, i),
			   ct_payload_bytes(attr));
}

/* Widen payloads from one word to three, backward, as both use the same memory. */
static void
widen_column(const CtAttr *attr, CtColumn *column, uint32_t capacity)
{
	int64_t *narrow = ct_column_narrow(column, capacity);
	CtWide *broad = ct_column_payload(attr, column, capacity, CT_TOTAL, 0);

	CT_ASSERT(column->narrow && ct_may_be_narrow(attr)); /* N4 */
	for (uint32_t i = ct_column_cells(attr, capacity); i > 0; i--)
		broad[i - 1] = wide_from_int64(narrow[i - 1]);
	column->narrow = false;
}

static inline bool
is_narrow(int64_t number)
{
	return number >= -CT_NARROW_LIMIT && number < CT_NARROW_LIMIT;
}

static void
store_cell(const CtAttr *attr, CtColumn *column, uint32_t capacity, CtWhich which, uint32_t i,
		   const CtCell *cell)
{
	bool has_payload = ct_tag_has_payload(cell->tag);

	CT_ASSERT(which != CT_TOTAL || i < capacity);
	CT_ASSERT(!column->narrow || ct_may_be_narrow(attr)); /* N4 */
	*ct_column_tag(column, capacity, which, i) = (uint8_t) cell->tag;
	if (column->narrow)
	{
		int64_t number = 0;

		if (!has_payload || (ct_wide_to_int64(cell->w[0], &number) && is_narrow(number)))
		{
			ct_column_narrow(column, capacity)[which * capacity + i] = number;
			return;
		}
		widen_column(attr, column, capacity);
	}
	if (has_payload)
		memcpy(ct_column_payload(attr, column, capacity, which, i), cell->w,
			   ct_payload_bytes(attr));
}

void
ct_node_get(const CtReadContext *context, const CtInner *inner, CtWhich which, uint32_t i, int attr,
			CtCell *cell)
{
	CT_ASSERT(has_column(inner, attr)); /* N2 */
	load_cell(&context->schema->attr[attr], find_column(context, inner, attr), inner->capacity,
			  which, i, cell);
}

static inline uint32_t
set_child_bit(uint32_t mask, uint32_t i, bool value)
{
	return (mask & ~(UINT32_C(1) << i)) | (uint32_t) value << i;
}

/* Store the total of a child.  The caller has to call ct_node_refresh() then. */
void
ct_node_put(const CtReadContext *context, CtInner *inner, uint32_t i, int attr, const CtCell *cell)
{
	CtColumn *column = find_column(context, inner, attr);

	CT_ASSERT(i < inner->capacity && has_column(inner, attr)); /* N2 */
	store_cell(&context->schema->attr[attr], column, inner->capacity, CT_TOTAL, i, cell);
	column->overrides = set_child_bit(column->overrides, i, ct_tag_overrides(cell->tag));
	column->sets = set_child_bit(column->sets, i, cell->tag != CT_KEEP);
}

/* Set *cell to the composition of the children of a group. */
static void
compose_group(const CtReadContext *context, const CtInner *inner, const CtAttr *attr,
			  const CtColumn *column, uint32_t group, CtCell *cell)
{
	uint32_t end = (group + 1) * CT_GROUP;
	uint32_t last = (end < inner->count ? end : inner->count) - 1U;
	CtCell total;

	CT_ASSERT(group * CT_GROUP < inner->count);
	load_cell(attr, column, inner->capacity, CT_BEFORE, last, cell);
	load_cell(attr, column, inner->capacity, CT_TOTAL, last, &total);
	ct_cell_then(context, attr, cell, &total);
}

/* Store a derived cell.  False: it was the same. */
static bool
update_cell(const CtAttr *attr, CtColumn *column, uint32_t capacity, CtWhich which, uint32_t i,
			const CtCell *cell)
{
	CtCell old;

	load_cell(attr, column, capacity, which, i, &old);
	if (ct_cell_same(attr, cell, &old))
		return false;
	store_cell(attr, column, capacity, which, i, cell);
	return true;
}

/*
 * ct_node_refresh() with `all`, for a narrow column that has only additions.
 * False: a number is too large for a narrow column.
 */
static bool
refresh_narrow(const CtInner *inner, uint32_t i, CtColumn *column)
{
	uint32_t capacity = inner->capacity;
	int64_t *total = ct_column_narrow(column, capacity);
	int64_t *before = total + capacity;
	int64_t *group = before + capacity;
	uint32_t first = i / CT_GROUP * CT_GROUP;
	int64_t earlier = first == 0 ? 0 : group[i / CT_GROUP];

	for (uint32_t j = first; j < inner->count; first = j)
	{
		uint32_t end = first + CT_GROUP < inner->count ? first + CT_GROUP : inner->count;
		int64_t sum = 0;

		group[first / CT_GROUP] = earlier;
		column->tag[2 * capacity + first / CT_GROUP] =
			(column->sets & ct_bits_below(first)) != 0 ? CT_CHANGE : CT_KEEP;
		for (; j < end; j++)
		{
			uint32_t sets = column->sets & ct_bits_below(j) & ~ct_bits_below(first);

			if (!is_narrow(sum))
				return false;
			before[j] = sum;
			column->tag[capacity + j] = sets != 0 ? CT_CHANGE : CT_KEEP;
			sum += total[j];
		}
		if (!is_narrow(sum) || !is_narrow(earlier + sum))
			return false;
		earlier += sum;
	}
	return true;
}

/*
 * Compute the cells that follow from the totals of children from i on.  If only the
 * total of child i has changed, `all` may be false: then stop at the first cell
 * that stays the same.
 */
void
ct_node_refresh(const CtReadContext *context, CtInner *inner, uint32_t i, int attr_number, bool all)
{
	static const CtCell keep = {.tag = CT_KEEP};
	const CtAttr *attr = &context->schema->attr[attr_number];
	CtColumn *column = find_column(context, inner, attr_number);
	uint32_t capacity = inner->capacity;
	uint32_t first = i / CT_GROUP;
	CtCell sum;

	CT_ASSERT(has_column(inner, attr_number)); /* N2 */
	CT_ASSERT(inner->count == 0 || i < inner->count);
	if (ct_is_last(attr) || inner->count == 0)
		return;
	if (all && column->narrow && column->overrides == 0 && refresh_narrow(inner, i, column))
		return;
	if (i == 0)
		store_cell(attr, column, capacity, CT_GROUPS, 0, &keep);
	for (uint32_t group = first; group < ct_group_count(inner->count); group++)
	{
		uint32_t j = group == first ? i : group * CT_GROUP;
		uint32_t end = (group + 1) * CT_GROUP;
		CtCell total;

		if (j % CT_GROUP == 0)
			store_cell(attr, column, capacity, CT_BEFORE, j, &keep);
		load_cell(attr, column, capacity, CT_BEFORE, j, &sum);
		for (; j + 1 < end && j + 1 < inner->count && (all || group == first); j++)
		{
			load_cell(attr, column, capacity, CT_TOTAL, j, &total);
			ct_cell_then(context, attr, &sum, &total);
			if (!update_cell(attr, column, capacity, CT_BEFORE, j + 1, &sum) && !all)
				return;
		}
		if (end >= inner->count)
			return;
		load_cell(attr, column, capacity, CT_GROUPS, group, &sum);
		compose_group(context, inner, attr, column, group, &total);
		ct_cell_then(context, attr, &sum, &total);
		if (!update_cell(attr, column, capacity, CT_GROUPS, group + 1, &sum) && !all)
			return;
	}
}

/* Add to cells [from, end) of a narrow column.  True if one is beyond the limit then. */
static inline bool
add_to_narrow_cells(uint8_t *tag, int64_t *cell, uint32_t from, uint32_t end, int64_t delta)
{
	uint64_t beyond = 0;

	for (; from < end; from++)
	{
		tag[from] = CT_CHANGE;
		cell[from] += delta;
		beyond |= (uint64_t) cell[from] + (uint64_t) CT_NARROW_LIMIT;
	}
	return beyond >> 63 != 0;
}

/* Add to child i of a narrow column.  False: the addend is too large. */
static bool
add_narrow(const CtAttr *attr, const CtInner *inner, uint32_t i, CtColumn *column,
		   const CtWide *delta)
{
	uint32_t capacity = inner->capacity;
	int64_t *total = ct_column_narrow(column, capacity);
	uint32_t group = i / CT_GROUP + 1;
	uint32_t end = group * CT_GROUP < inner->count ? group * CT_GROUP : inner->count;
	int64_t by = (int64_t) delta->word[0];
	bool beyond;

	CT_ASSERT(i < inner->count && column->narrow); /* N4 */
	if (!is_narrow(by))
		return false;
	beyond = add_to_narrow_cells(column->tag, total, i, i + 1, by);
	beyond |= add_to_narrow_cells(&column->tag[capacity], total + capacity, i + 1, end, by);
	beyond |= add_to_narrow_cells(&column->tag[2 * capacity], total + (size_t) 2 * capacity, group,
								  ct_group_count(inner->count), by);
	if (beyond)
		widen_column(attr, column, capacity);
	return true;
}

/* Add to child i of a column that is not narrow. */
static void __attribute__((noinline)) add_broad(const CtReadContext *context, CtInner *inner,
												uint32_t i, int attr_number, const CtWide *delta)
{
	const CtAttr *attr = &context->schema->attr[attr_number];
	CtColumn *column = find_column(context, inner, attr_number);
	CtCell total;

	load_cell(attr, column, inner->capacity, CT_TOTAL, i, &total);
	total.w[0] = total.tag == CT_KEEP ? *delta : wide_add(total.w[0], *delta);
	total.tag = CT_CHANGE;
	store_cell(attr, column, inner->capacity, CT_TOTAL, i, &total);
	ct_node_refresh(context, inner, i, attr_number, false);
}

/* Add to child i, in a column that has only additions. */
void
ct_node_add(const CtReadContext *context, CtInner *inner, uint32_t i, int attr, const CtWide *delta)
{
	CtColumn *column = find_column(context, inner, attr);

	CT_ASSERT(i < inner->count && column->overrides == 0);
	CT_ASSERT(ct_only_adds(&context->schema->attr[attr]));
	column->sets |= UINT32_C(1) << i;
	if (!column->narrow || !add_narrow(&context->schema->attr[attr], inner, i, column, delta))
		add_broad(context, inner, i, attr, delta);
}

/* Set *cell to the composition of all children. */
void
ct_node_total(const CtReadContext *context, const CtInner *inner, int attr_number, CtCell *cell)
{
	const CtAttr *attr = &context->schema->attr[attr_number];
	const CtColumn *column;
	uint32_t group = (inner->count - 1U) / CT_GROUP;
	CtCell total;

	CT_ASSERT(inner->count > 0); /* T6 */
	cell->tag = CT_KEEP;
	if (!has_column(inner, attr_number))
	{
		if (inner->finish != 0)
			ct_cell_reset(attr, cell);
		return;
	}
	column = find_column(context, inner, attr_number);
	if (ct_is_last(attr))
	{
		uint32_t sets = column->sets & ct_bits_below(inner->count);

		if (sets != 0)
			load_cell(attr, column, inner->capacity, CT_TOTAL, 31 - (uint32_t) __builtin_clz(sets),
					  cell);
		return;
	}
	load_cell(attr, column, inner->capacity, CT_GROUPS, group, cell);
	compose_group(context, inner, attr, column, group, &total);
	ct_cell_then(context, attr, cell, &total);
}

/* ---- memory ------------------------------------------------------------------ */

static CtRef
alloc_node(CtWriter *writer, uint32_t capacity, uint32_t nattrs)
{
	CtRef ref = ct_take(writer, ct_node_bytes(capacity, nattrs), true);

	CT_ASSERT(capacity > 0 && capacity <= CT_FANOUT && nattrs <= CT_MAX_ATTRS);
	if (ref != 0)
	{
		CtInner *inner = ct_ptr(writer->arena, ref);

		memset(inner, 0, sizeof(CtInner));
		inner->capacity = (uint16_t) capacity;
		inner->nattrs = (uint16_t) nattrs;
		memset(ct_node_column(inner), 0, nattrs * sizeof(CtRef));
	}
	return ref;
}

CtRef
ct_node_make(CtWriter *writer, uint32_t capacity)
{
	return alloc_node(writer, capacity, writer->context.schema->nattrs);
}

static void
free_column(CtWriter *writer, CtInner *inner, int attr)
{
	CT_ASSERT(has_column(inner, attr) && ct_node_column(inner)[attr] != 0); /* N2 */
	ct_give(writer, ct_node_column(inner)[attr],
			ct_column_bytes(&writer->context.schema->attr[attr], inner->capacity));
	inner->columns &= ~(UINT64_C(1) << attr);
}

void
ct_node_free(CtWriter *writer, CtRef ref)
{
	CtInner *inner = ct_ptr(writer->arena, ref);

	while (inner->columns != 0)
		free_column(writer, inner, __builtin_ctzll(inner->columns));
	ct_give(writer, ref, ct_node_bytes(inner->capacity, inner->nattrs));
}

/* Make a column for an attribute that no event of the node sets yet.  False: no memory. */
static bool
make_column(CtWriter *writer, CtInner *inner, int attr_number)
{
	const CtReadContext *context = &writer->context;
	const CtAttr *attr = &context->schema->attr[attr_number];
	size_t bytes = ct_column_bytes(attr, inner->capacity);
	CtRef ref = ct_take(writer, bytes, true);
	CtCell reset;

	CT_ASSERT(!has_column(inner, attr_number) && attr_number < inner->nattrs); /* N2 */
	if (ref == 0)
		return false;
	memset(ct_ptr(writer->arena, ref), 0, bytes);
	((CtColumn *) ct_ptr(writer->arena, ref))->narrow = ct_may_be_narrow(attr);
	ct_node_column(inner)[attr_number] = ref;
	inner->columns |= UINT64_C(1) << attr_number;
	ct_cell_reset(attr, &reset);
	for (uint32_t rest = inner->finish; rest != 0; rest &= rest - 1)
		ct_node_put(context, inner, (uint32_t) __builtin_ctz(rest), attr_number, &reset);
	ct_node_refresh(context, inner, 0, attr_number, true);
	return true;
}

/*
 * Copy the totals of children [first, first + n) of one column to those from `at`
 * on of another.  The caller has to call ct_node_refresh() then.
 */
static void
copy_column(const CtAttr *attr, CtColumn *to, uint32_t to_capacity, uint32_t at,
			const CtColumn *from, uint32_t from_capacity, uint32_t first, uint32_t n)
{
	size_t bytes = from->narrow ? sizeof(int64_t) : ct_payload_bytes(attr);
	CtCell cell;

	CT_ASSERT(at + n <= to_capacity && first + n <= from_capacity);
	if (to->narrow == from->narrow)
	{
		memmove(&to->tag[at], &from->tag[first], n);
		memmove(&to->tag[ct_column_tags(to_capacity) + at * bytes],
				&from->tag[ct_column_tags(from_capacity) + first * bytes], n * bytes);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
	{
		load_cell(attr, from, from_capacity, CT_TOTAL, first + i, &cell);
		store_cell(attr, to, to_capacity, CT_TOTAL, at + i, &cell);
	}
}

static void
copy_children(CtInner *to, uint32_t at, const CtInner *from, uint32_t first, uint32_t n)
{
	CT_ASSERT(at + n <= to->capacity && first + n <= from->capacity);
	memmove(&to->time[at], &from->time[first], n * sizeof(int64_t));
	memmove(&ct_node_lo(to)[at], &ct_node_lo(from)[first], n * sizeof(uint64_t));
	memmove(&ct_node_hi(to)[at], &ct_node_hi(from)[first], n * sizeof(uint64_t));
	memmove(&ct_node_child(to)[at], &ct_node_child(from)[first], n * sizeof(CtRef));
}

/*
 * Replace a node by one with more room, or with columns for new attributes.  False:
 * no memory.
 */
static bool
enlarge_node(CtWriter *writer, CtRef *at, uint32_t capacity)
{
	const CtSchema *schema = writer->context.schema;
	CtInner *old = ct_ptr(writer->arena, *at);
	CtRef ref = alloc_node(writer, capacity, schema->nattrs);
	CtInner *inner;

	CT_ASSERT(capacity >= old->count && capacity <= CT_FANOUT);
	if (ref == 0)
		return false;
	inner = ct_ptr(writer->arena, ref);
	for (uint64_t rest = old->columns; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);
		size_t bytes = ct_column_bytes(&schema->attr[i], capacity);
		CtRef wide = ct_take(writer, bytes, true);
		CtColumn *column;

		if (wide == 0)
		{
			ct_node_free(writer, ref);
			return false;
		}
		column = ct_ptr(writer->arena, wide);
		memset(column, 0, bytes);
		*column = *find_column(&writer->context, old, i);
		copy_column(&schema->attr[i], column, capacity, 0, find_column(&writer->context, old, i),
					old->capacity, 0, old->count);
		ct_node_column(inner)[i] = wide;
		inner->columns |= rest & -rest;
		inner->count = old->count;
		ct_node_refresh(&writer->context, inner, 0, i, true);
	}
	copy_children(inner, 0, old, 0, old->count);
	inner->count = old->count;
	inner->finish = old->finish;
	inner->absent = old->absent;
	inner->frozen = old->frozen;
	ct_node_free(writer, *at);
	*at = ref;
	return true;
}

/* Enlarge a node, and make the columns that it lacks: see ct_node_prepare(). */
bool
ct_node_widen(CtWriter *writer, CtRef *at, uint32_t children, uint64_t attrs)
{
	CtInner *inner = ct_ptr(writer->arena, *at);
	uint32_t capacity = inner->capacity;

	CT_ASSERT(children <= CT_FANOUT && children >= inner->count);
	while (capacity < children)
		capacity = capacity * 2 < CT_FANOUT ? capacity * 2 : CT_FANOUT;
	if ((capacity > inner->capacity || (inner->nattrs < 64 && attrs >> inner->nattrs != 0)) &&
		!enlarge_node(writer, at, capacity))
		return false;
	inner = ct_ptr(writer->arena, *at);
	for (uint64_t rest = attrs & ~inner->columns; rest != 0; rest &= rest - 1)
	{
		if (!make_column(writer, inner, __builtin_ctzll(rest)))
			return false;
	}
	return true;
}

/* ---- children ---------------------------------------------------------------- */

/* Insert n zero bits before bit i. */
static uint32_t
open_bits(uint32_t mask, uint32_t i, uint32_t n)
{
	uint32_t below = mask & ct_bits_below(i);
	uint64_t above = (uint64_t) (mask & ~ct_bits_below(i)) << n;

	return below | (uint32_t) above;
}

static uint32_t
close_bits(uint32_t mask, uint32_t i, uint32_t n)
{
	uint32_t below = mask & ct_bits_below(i);
	uint64_t above = (uint64_t) mask >> (i + n) << i;

	return below | (uint32_t) above;
}

/*
 * Insert n children before child i, without contents.  The caller has to fill them
 * in, and to call ct_node_refresh() from i on.
 */
void
ct_node_open(const CtReadContext *context, CtInner *inner, uint32_t i, uint32_t n)
{
	uint32_t behind = inner->count - i;

	CT_ASSERT(inner->count + n <= inner->capacity);
	copy_children(inner, i + n, inner, i, behind);
	inner->finish = open_bits(inner->finish, i, n);
	inner->absent = open_bits(inner->absent, i, n);
	inner->frozen = open_bits(inner->frozen, i, n);
	for (uint64_t rest = inner->columns; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		CtColumn *column = find_column(context, inner, attr);

		copy_column(&context->schema->attr[attr], column, inner->capacity, i + n, column,
					inner->capacity, i, behind);
		memset(ct_column_tag(column, inner->capacity, CT_TOTAL, i), CT_KEEP, n);
		if (column->narrow)
			memset(ct_column_narrow(column, inner->capacity) + i, 0, n * sizeof(int64_t));
		column->overrides = open_bits(column->overrides, i, n);
		column->sets = open_bits(column->sets, i, n);
	}
	inner->count = (uint16_t) (inner->count + n);
}

/* Remove children [i, i + n).  The caller has to call ct_node_refresh() from i on. */
void
ct_node_close(const CtReadContext *context, CtInner *inner, uint32_t i, uint32_t n)
{
	uint32_t behind = inner->count - i - n;

	CT_ASSERT(i + n <= inner->count);
	copy_children(inner, i, inner, i + n, behind);
	inner->finish = close_bits(inner->finish, i, n);
	inner->absent = close_bits(inner->absent, i, n);
	inner->frozen = close_bits(inner->frozen, i, n);
	for (uint64_t rest = inner->columns; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		CtColumn *column = find_column(context, inner, attr);

		copy_column(&context->schema->attr[attr], column, inner->capacity, i, column,
					inner->capacity, i + n, behind);
		column->overrides = close_bits(column->overrides, i, n);
		column->sets = close_bits(column->sets, i, n);
	}
	inner->count = (uint16_t) (inner->count - n);
}

/* Move the children from `first` on to an empty node that has the same columns. */
void
ct_node_move(const CtReadContext *context, CtInner *to, CtInner *from, uint32_t first)
{
	uint32_t n = from->count - first;

	CT_ASSERT(to->count == 0 && first < from->count && to->columns == from->columns); /* T3 */
	copy_children(to, 0, from, first, n);
	to->finish = close_bits(from->finish, 0, first);
	to->absent = close_bits(from->absent, 0, first);
	to->frozen = close_bits(from->frozen, 0, first);
	to->count = (uint16_t) n;
	for (uint64_t rest = to->columns; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		CtColumn *column = find_column(context, to, attr);
		const CtColumn *old = find_column(context, from, attr);

		copy_column(&context->schema->attr[attr], column, to->capacity, 0, old, from->capacity,
					first, n);
		column->overrides = close_bits(old->overrides, 0, first);
		column->sets = close_bits(old->sets, 0, first);
		ct_node_refresh(context, to, 0, attr, true);
	}
	ct_node_close(context, from, first, n);
}
