/*
 * node.c
 *	  Inner nodes: their memory, and the columns of what is known of children.
 *
 * Called by timeline.c, fold.c (reading), validate.c.
 *
 * Concurrency: as timeline.c.
 *
 * Invariants:
 *	 N1  The total of a child is the composition of its events in that
 *		 attribute; before, where there is one, that of the children before it
 *		 in its group; of a group, that of all children before it.
 *	 N2  An attribute without a column is touched by none of the node's events:
 *		 it is kept, or initial after a child with a finish.
 *	 N3  `overrides` and `sets` are what the tags of the totals say.
 *	 N4  Payloads of a narrow column are within CT_NARROW_LIMIT, and 0 where the
 *		 tag says that there is none.
 *
 * Not here: the shape of the tree (timeline.c), composition (rule.c).
 */
#include "engine/node.h"

#include <string.h>

static CtColumn *
column_at(const CtReadContext *context, const CtInner *inner, int attr)
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
cell_load(const CtAttr *attr, const CtColumn *column, uint32_t capacity, CtWhich which, uint32_t i,
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

/* Payloads in three words each instead of one, from the last one back. */
static void
column_broaden(const CtAttr *attr, CtColumn *column, uint32_t capacity)
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
cell_store(const CtAttr *attr, CtColumn *column, uint32_t capacity, CtWhich which, uint32_t i,
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
		column_broaden(attr, column, capacity);
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
	cell_load(&context->schema->attr[attr], column_at(context, inner, attr), inner->capacity, which,
			  i, cell);
}

static inline uint32_t
with_attr(uint32_t mask, uint32_t i, bool value)
{
	return (mask & ~(UINT32_C(1) << i)) | (uint32_t) value << i;
}

/* Store a child's total; what comes before others is for ct_node_refresh(). */
void
ct_node_put(const CtReadContext *context, CtInner *inner, uint32_t i, int attr, const CtCell *cell)
{
	CtColumn *column = column_at(context, inner, attr);

	CT_ASSERT(i < inner->capacity && has_column(inner, attr)); /* N2 */
	cell_store(&context->schema->attr[attr], column, inner->capacity, CT_TOTAL, i, cell);
	column->overrides = with_attr(column->overrides, i, ct_tag_overrides(cell->tag));
	column->sets = with_attr(column->sets, i, cell->tag != CT_KEEP);
}

/* The composition of a group: up to its last child. */
static void
group_total(const CtReadContext *context, const CtInner *inner, const CtAttr *attr,
			const CtColumn *column, uint32_t group, CtCell *cell)
{
	uint32_t end = (group + 1) * CT_GROUP;
	uint32_t last = (end < inner->count ? end : inner->count) - 1U;
	CtCell total;

	CT_ASSERT(group * CT_GROUP < inner->count);
	cell_load(attr, column, inner->capacity, CT_BEFORE, last, cell);
	cell_load(attr, column, inner->capacity, CT_TOTAL, last, &total);
	ct_cell_then(context, attr, cell, &total);
}

/* Store a cell of which it follows; false: it was the same. */
static bool
cell_renew(const CtAttr *attr, CtColumn *column, uint32_t capacity, CtWhich which, uint32_t i,
		   const CtCell *cell)
{
	CtCell old;

	cell_load(attr, column, capacity, which, i, &old);
	if (ct_cell_same(attr, cell, &old))
		return false;
	cell_store(attr, column, capacity, which, i, cell);
	return true;
}

/*
 * The same for ct_node_refresh() of a narrow column whose totals are added and
 * nothing else.  False: it will not be narrow any more.
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
 * The totals of children from i on have changed, or with `all` false only that
 * of child i: compute what follows from it, until that is as it was.
 */
void
ct_node_refresh(const CtReadContext *context, CtInner *inner, uint32_t i, int attr_number, bool all)
{
	static const CtCell keep = {.tag = CT_KEEP};
	const CtAttr *attr = &context->schema->attr[attr_number];
	CtColumn *column = column_at(context, inner, attr_number);
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
		cell_store(attr, column, capacity, CT_GROUPS, 0, &keep);
	for (uint32_t group = first; group < ct_group_count(inner->count); group++)
	{
		uint32_t j = group == first ? i : group * CT_GROUP;
		uint32_t end = (group + 1) * CT_GROUP;
		CtCell total;

		if (j % CT_GROUP == 0)
			cell_store(attr, column, capacity, CT_BEFORE, j, &keep);
		cell_load(attr, column, capacity, CT_BEFORE, j, &sum);
		for (; j + 1 < end && j + 1 < inner->count && (all || group == first); j++)
		{
			cell_load(attr, column, capacity, CT_TOTAL, j, &total);
			ct_cell_then(context, attr, &sum, &total);
			if (!cell_renew(attr, column, capacity, CT_BEFORE, j + 1, &sum) && !all)
				return;
		}
		if (end >= inner->count)
			return;
		cell_load(attr, column, capacity, CT_GROUPS, group, &sum);
		group_total(context, inner, attr, column, group, &total);
		ct_cell_then(context, attr, &sum, &total);
		if (!cell_renew(attr, column, capacity, CT_GROUPS, group + 1, &sum) && !all)
			return;
	}
}

/* More in some cells of a narrow column; true if one is beyond the limit then. */
static inline bool
narrow_add(uint8_t *tag, int64_t *cell, uint32_t from, uint32_t end, int64_t delta)
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

/* An addition to child i of a narrow column; false: it is too large. */
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
	beyond = narrow_add(column->tag, total, i, i + 1, by);
	beyond |= narrow_add(&column->tag[capacity], total + capacity, i + 1, end, by);
	beyond |= narrow_add(&column->tag[2 * capacity], total + (size_t) 2 * capacity, group,
						 ct_group_count(inner->count), by);
	if (beyond)
		column_broaden(attr, column, capacity);
	return true;
}

/* The same of a column that is broad. */
static void __attribute__((noinline)) add_broad(const CtReadContext *context, CtInner *inner,
												uint32_t i, int attr_number, const CtWide *delta)
{
	const CtAttr *attr = &context->schema->attr[attr_number];
	CtColumn *column = column_at(context, inner, attr_number);
	CtCell total;

	cell_load(attr, column, inner->capacity, CT_TOTAL, i, &total);
	total.w[0] = total.tag == CT_KEEP ? *delta : wide_add(total.w[0], *delta);
	total.tag = CT_CHANGE;
	cell_store(attr, column, inner->capacity, CT_TOTAL, i, &total);
	ct_node_refresh(context, inner, i, attr_number, false);
}

/* An addition to child i, where nothing but additions is known. */
void
ct_node_add(const CtReadContext *context, CtInner *inner, uint32_t i, int attr, const CtWide *delta)
{
	CtColumn *column = column_at(context, inner, attr);

	CT_ASSERT(i < inner->count && column->overrides == 0);
	CT_ASSERT(ct_only_adds(&context->schema->attr[attr]));
	column->sets |= UINT32_C(1) << i;
	if (!column->narrow || !add_narrow(&context->schema->attr[attr], inner, i, column, delta))
		add_broad(context, inner, i, attr, delta);
}

/* The composition of all children. */
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
	column = column_at(context, inner, attr_number);
	if (ct_is_last(attr))
	{
		uint32_t sets = column->sets & ct_bits_below(inner->count);

		if (sets != 0)
			cell_load(attr, column, inner->capacity, CT_TOTAL, 31 - (uint32_t) __builtin_clz(sets),
					  cell);
		return;
	}
	cell_load(attr, column, inner->capacity, CT_GROUPS, group, cell);
	group_total(context, inner, attr, column, group, &total);
	ct_cell_then(context, attr, cell, &total);
}

/* ---- memory ------------------------------------------------------------------ */

static CtRef
node_alloc(CtWriter *writer, uint32_t capacity, uint32_t nattrs)
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
	return node_alloc(writer, capacity, writer->context.schema->nattrs);
}

static void
column_free(CtWriter *writer, CtInner *inner, int attr)
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
		column_free(writer, inner, __builtin_ctzll(inner->columns));
	ct_give(writer, ref, ct_node_bytes(inner->capacity, inner->nattrs));
}

/* A column of an attribute that none of the node's events sets yet. */
static bool
column_make(CtWriter *writer, CtInner *inner, int attr_number)
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
 * Totals of children [first, first + n) of one node become those from `at` on
 * of another; what is before them is for ct_node_refresh().
 */
static void
column_copy(const CtAttr *attr, CtColumn *to, uint32_t to_capacity, uint32_t at,
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
		cell_load(attr, from, from_capacity, CT_TOTAL, first + i, &cell);
		cell_store(attr, to, to_capacity, CT_TOTAL, at + i, &cell);
	}
}

static void
children_copy(CtInner *to, uint32_t at, const CtInner *from, uint32_t first, uint32_t n)
{
	CT_ASSERT(at + n <= to->capacity && first + n <= from->capacity);
	memmove(&to->time[at], &from->time[first], n * sizeof(int64_t));
	memmove(&ct_node_lo(to)[at], &ct_node_lo(from)[first], n * sizeof(uint64_t));
	memmove(&ct_node_hi(to)[at], &ct_node_hi(from)[first], n * sizeof(uint64_t));
	memmove(&ct_node_child(to)[at], &ct_node_child(from)[first], n * sizeof(CtRef));
}

/* The same node with more room; the old one is gone. */
static bool
node_enlarge(CtWriter *writer, CtRef *at, uint32_t capacity)
{
	const CtSchema *schema = writer->context.schema;
	CtInner *old = ct_ptr(writer->arena, *at);
	CtRef ref = node_alloc(writer, capacity, schema->nattrs);
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
		*column = *column_at(&writer->context, old, i);
		column_copy(&schema->attr[i], column, capacity, 0, column_at(&writer->context, old, i),
					old->capacity, 0, old->count);
		ct_node_column(inner)[i] = wide;
		inner->columns |= rest & -rest;
		inner->count = old->count;
		ct_node_refresh(&writer->context, inner, 0, i, true);
	}
	children_copy(inner, 0, old, 0, old->count);
	inner->count = old->count;
	inner->finish = old->finish;
	inner->absent = old->absent;
	inner->frozen = old->frozen;
	ct_node_free(writer, *at);
	*at = ref;
	return true;
}

/* What ct_node_prepare() has found to be missing. */
bool
ct_node_widen(CtWriter *writer, CtRef *at, uint32_t children, uint64_t attrs)
{
	CtInner *inner = ct_ptr(writer->arena, *at);
	uint32_t capacity = inner->capacity;

	CT_ASSERT(children <= CT_FANOUT && children >= inner->count);
	while (capacity < children)
		capacity = capacity * 2 < CT_FANOUT ? capacity * 2 : CT_FANOUT;
	if ((capacity > inner->capacity || (inner->nattrs < 64 && attrs >> inner->nattrs != 0)) &&
		!node_enlarge(writer, at, capacity))
		return false;
	inner = ct_ptr(writer->arena, *at);
	for (uint64_t rest = attrs & ~inner->columns; rest != 0; rest &= rest - 1)
	{
		if (!column_make(writer, inner, __builtin_ctzll(rest)))
			return false;
	}
	return true;
}

/* ---- children ---------------------------------------------------------------- */

/* Make n bits of room at bit i. */
static uint32_t
bits_open(uint32_t mask, uint32_t i, uint32_t n)
{
	uint32_t below = mask & ct_bits_below(i);
	uint64_t above = (uint64_t) (mask & ~ct_bits_below(i)) << n;

	return below | (uint32_t) above;
}

static uint32_t
bits_close(uint32_t mask, uint32_t i, uint32_t n)
{
	uint32_t below = mask & ct_bits_below(i);
	uint64_t above = (uint64_t) mask >> (i + n) << i;

	return below | (uint32_t) above;
}

/*
 * Make room for n children before child i: what is known of them is unset, and
 * from i on what comes before others.
 */
void
ct_node_open(const CtReadContext *context, CtInner *inner, uint32_t i, uint32_t n)
{
	uint32_t behind = inner->count - i;

	CT_ASSERT(inner->count + n <= inner->capacity);
	children_copy(inner, i + n, inner, i, behind);
	inner->finish = bits_open(inner->finish, i, n);
	inner->absent = bits_open(inner->absent, i, n);
	inner->frozen = bits_open(inner->frozen, i, n);
	for (uint64_t rest = inner->columns; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		CtColumn *column = column_at(context, inner, attr);

		column_copy(&context->schema->attr[attr], column, inner->capacity, i + n, column,
					inner->capacity, i, behind);
		memset(ct_column_tag(column, inner->capacity, CT_TOTAL, i), CT_KEEP, n);
		if (column->narrow)
			memset(ct_column_narrow(column, inner->capacity) + i, 0, n * sizeof(int64_t));
		column->overrides = bits_open(column->overrides, i, n);
		column->sets = bits_open(column->sets, i, n);
	}
	inner->count = (uint16_t) (inner->count + n);
}

/* Children [i, i + n) are no more; from i on the rest is to be refreshed. */
void
ct_node_close(const CtReadContext *context, CtInner *inner, uint32_t i, uint32_t n)
{
	uint32_t behind = inner->count - i - n;

	CT_ASSERT(i + n <= inner->count);
	children_copy(inner, i, inner, i + n, behind);
	inner->finish = bits_close(inner->finish, i, n);
	inner->absent = bits_close(inner->absent, i, n);
	inner->frozen = bits_close(inner->frozen, i, n);
	for (uint64_t rest = inner->columns; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		CtColumn *column = column_at(context, inner, attr);

		column_copy(&context->schema->attr[attr], column, inner->capacity, i, column,
					inner->capacity, i + n, behind);
		column->overrides = bits_close(column->overrides, i, n);
		column->sets = bits_close(column->sets, i, n);
	}
	inner->count = (uint16_t) (inner->count - n);
}

/*
 * Children from `first` on go to an empty node that has the same columns; what
 * is before them there is for ct_node_refresh().
 */
void
ct_node_move(const CtReadContext *context, CtInner *to, CtInner *from, uint32_t first)
{
	uint32_t n = from->count - first;

	CT_ASSERT(to->count == 0 && first < from->count && to->columns == from->columns); /* T3 */
	children_copy(to, 0, from, first, n);
	to->finish = bits_close(from->finish, 0, first);
	to->absent = bits_close(from->absent, 0, first);
	to->frozen = bits_close(from->frozen, 0, first);
	to->count = (uint16_t) n;
	for (uint64_t rest = to->columns; rest != 0; rest &= rest - 1)
	{
		int attr = __builtin_ctzll(rest);
		CtColumn *column = column_at(context, to, attr);
		const CtColumn *old = column_at(context, from, attr);

		column_copy(&context->schema->attr[attr], column, to->capacity, 0, old, from->capacity,
					first, n);
		column->overrides = bits_close(old->overrides, 0, first);
		column->sets = bits_close(old->sets, 0, first);
		ct_node_refresh(context, to, 0, attr, true);
	}
	ct_node_close(context, from, first, n);
}
