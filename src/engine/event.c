/*
 * event.c
 *	  Events as bytes: from images to records, and the order of events.
 *
 * Called by store.c, layout.c and record.c for events that come in, and by most
 * files for the order.
 *
 * These are pure functions of records and their schema.
 *
 * Invariants:
 *	 E1  A record is exactly the cells of set & ~null of its layout, in attribute
 *		 order.  (ct_change_check() rejects everything else.)
 *	 E2  The order is total up to equal content: time, kind, event id (events
 *		 without one last), content, null mask, set mask.  If the schema's
 *		 id_first is set: time, event id (events without one first), kind, and
 *		 on.  It does not depend on arrival.  Duplicates have the same kind in
 *		 both orders, and are neighbours.
 *	 E3  Content is ordered as record_image_cmp() orders the images.  For a
 *		 numeric the image is made again to compare it.  That is rare, as the
 *		 events must have the same instant, kind and id.
 *
 * Not here: what an event does (rule.c), where it is kept (timeline.c).
 */
#include "engine/event.h"

#include <string.h>

/* ---- images ------------------------------------------------------------------ */

/*
 * Return the image at *at, set *bytes to its length, and move *at behind it.  The
 * length is not checked.
 */
const uint8_t *
ct_image_next(const CtAttr *attr, const uint8_t **at, uint32_t *bytes)
{
	const uint8_t *image = *at;

	if (attr->image == CT_IMAGE_WORD)
		*bytes = sizeof(uint64_t);
	else if (attr->image == CT_IMAGE_FIXED)
		*bytes = (uint32_t) attr->length;
	else
	{
		memcpy(bytes, image, sizeof(*bytes));
		image += sizeof(*bytes);
	}
	*at = image + *bytes;
	return image;
}

/*
 * Return the bytes of the image at `at`, with its length word.  SIZE_MAX: it
 * exceeds `left`.
 */
static size_t
get_image_size(const CtAttr *attr, const uint8_t *at, size_t left)
{
	uint32_t bytes;
	size_t size;

	if (attr->image == CT_IMAGE_WORD)
		size = sizeof(uint64_t);
	else if (attr->image == CT_IMAGE_FIXED)
		size = (size_t) attr->length;
	else if (left < sizeof(bytes))
		return SIZE_MAX;
	else
	{
		memcpy(&bytes, at, sizeof(bytes));
		size = sizeof(bytes) + (size_t) bytes;
	}
	return size <= left ? size : SIZE_MAX;
}

/* ---- cells ------------------------------------------------------------------- */

bool
ct_is_apart(const CtAttr *attr)
{
	return attr->number == CT_NUMBER_NONE &&
		   (attr->image == CT_IMAGE_VAR ||
			(attr->image == CT_IMAGE_FIXED && attr->length > CT_CELL_INLINE));
}

uint32_t
ct_cell_bytes(const CtAttr *attr)
{
	if (attr->number == CT_NUMBER_INTERVAL)
		return 16;
	if (attr->number != CT_NUMBER_NONE)
		return attr->wide ? 16 : 8;
	if (ct_is_apart(attr))
		return sizeof(CtRef);
	return attr->image == CT_IMAGE_WORD ? sizeof(uint64_t) : (uint32_t) attr->length;
}

/*
 * Write the cell of a numeric.  False: it is larger than the attribute's type
 * allows.  NaN becomes the largest number of the cell, which no numeric with that
 * many digits has.
 */
static bool
read_numeric(const CtAttr *attr, const uint8_t *image, uint32_t bytes, uint8_t *cell)
{
	CtWide value = ct_wide_from_numeric(image, bytes, attr->scale);
	__int128 number = (__int128) wide_low(value);
	int64_t narrow = (int64_t) number;
	bool fits;

	if (wide_same(value, CT_WIDE_NAN))
	{
		number = (__int128) (~(unsigned __int128) 0 >> 1);
		narrow = INT64_MAX;
		fits = true;
	}
	else if (attr->wide)
		fits = wide_same(value, wide_from_int128(number));
	else
		fits = wide_same(value, wide_from_int64(narrow)) && narrow != INT64_MAX;
	if (attr->wide)
		memcpy(cell, &number, sizeof(number));
	else
		memcpy(cell, &narrow, sizeof(narrow));
	return fits;
}

bool
ct_number_read(const CtAttr *attr, const uint8_t *image, uint32_t bytes, uint8_t *cell)
{
	uint64_t word;
	int64_t value;

	CT_ASSERT(attr->number != CT_NUMBER_NONE);
	switch (attr->number)
	{
		case CT_NUMBER_NUMERIC:
			return read_numeric(attr, image, bytes, cell);
		case CT_NUMBER_SCALED:
			memcpy(&word, image, sizeof(word));
			value = (int64_t) (word & INT64_MAX);
			if (word >> 63)
				value = -value;
			memcpy(cell, &value, sizeof(value));
			return true;
		default: /* integer, interval */
			memcpy(cell, image, bytes);
			return true;
	}
}

/* ---- layouts ------------------------------------------------------------------- */

/* CT_BROKEN: the change contradicts the schema, or its payload the masks. */
CtStatus
ct_change_check(const CtSchema *schema, const CtChange *change)
{
	const uint8_t *at = change->payload;
	size_t left = change->payload_bytes;

	if (change->kind > CT_SNAPSHOT || (change->null & ~change->set) != 0)
		return CT_BROKEN;
	if (schema->nattrs < 64 && change->set >> schema->nattrs != 0)
		return CT_BROKEN;
	for (uint64_t rest = change->set; rest != 0; rest &= rest - 1)
	{
		const CtAttr *attr = &schema->attr[__builtin_ctzll(rest)];
		size_t size;

		if (attr->rule == CT_RULE_NONE)
			return CT_BROKEN;
		if ((change->null & rest & -rest) != 0)
			continue;
		size = get_image_size(attr, at, left);
		if (size == SIZE_MAX)
			return CT_BROKEN;
		left -= size;
		at += size;
	}
	return left == 0 ? CT_OK : CT_BROKEN;
}

/*
 * Return the attributes that an event may change: those it sets, those that move by
 * them, and those that would begin to move if the event were the first of a life.
 */
static uint64_t
find_touched(const CtSchema *schema, const CtChange *change)
{
	uint64_t touched = change->set;

	if (!schema->has_rates || change->kind == CT_FINISH)
		return touched;
	for (int i = 0; i < schema->nattrs; i++)
	{
		const CtAttr *attr = &schema->attr[i];

		if (ct_moves(attr) &&
			((change->set >> attr->rate_attr & 1) != 0 || ct_begins_moving(schema, attr)))
			touched |= UINT64_C(1) << i;
	}
	return touched;
}

/* Set *layout to the layout of a change whose record begins with `head` bytes. */
void
ct_layout_make(const CtSchema *schema, const CtChange *change, uint32_t head, CtLayout *layout)
{
	uint32_t offset = head;

	CT_ASSERT(change->kind <= CT_SNAPSHOT || head != 0);
	CT_ASSERT(schema->nattrs <= CT_MAX_ATTRS);
	*layout = (CtLayout){.set = change->set,
						 .null = change->null,
						 .touched = find_touched(schema, change),
						 .kind = change->kind,
						 .verbatim = head == 0};
	for (uint64_t rest = change->set; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);

		layout->nattrs = (uint16_t) (i + 1);
		layout->offset[i] = (uint16_t) offset;
		if (ct_layout_nulls(layout, i))
			continue;
		offset += ct_cell_bytes(&schema->attr[i]);
		if (ct_is_apart(&schema->attr[i]))
			layout->apart |= UINT64_C(1) << i;
		layout->has_id |= i == schema->id_attr;
		layout->verbatim &= !ct_is_apart(&schema->attr[i]) &&
							schema->attr[i].number != CT_NUMBER_NUMERIC &&
							schema->attr[i].number != CT_NUMBER_SCALED;
	}
	layout->bytes = (uint16_t) offset;
	CT_ASSERT(offset <= CT_MAX_RECORD_BYTES);
	CT_ASSERT(layout->nattrs <= schema->nattrs && (layout->null & ~layout->set) == 0); /* E1 */
}

/*
 * Set *layout to the layout that a record itself describes (layout 0).  The record
 * may be torn.
 */
void
ct_layout_explicit(const CtSchema *schema, const uint8_t *record, CtLayout *layout)
{
	uint64_t all = schema->nattrs < 64 ? (UINT64_C(1) << schema->nattrs) - 1 : UINT64_MAX;
	CtChange change = {0};

	memcpy(&change.set, record, sizeof(change.set));
	memcpy(&change.null, record + 8, sizeof(change.null));
	memcpy(&change.kind, record + 16, sizeof(change.kind));
	change.set &= all;
	change.null &= change.set;
	ct_layout_make(schema, &change, CT_EXPLICIT_BYTES, layout);
}

/* ---- order ------------------------------------------------------------------- */

static inline int
cmp_unsigned(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static inline int
cmp_signed(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int
cmp_bytes(const uint8_t *a, uint32_t a_bytes, const uint8_t *b, uint32_t b_bytes)
{
	int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);

	return order != 0 ? order : cmp_unsigned(a_bytes, b_bytes);
}

static uint64_t
read_word(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static int
cmp_apart(const CtReadContext *context, const uint8_t *a_cell, const uint8_t *b_cell)
{
	static const CtApart empty = {0};
	const CtApart *a = &empty;
	const CtApart *b = &empty;
	uint32_t a_bytes = 0;
	uint32_t b_bytes = 0;
	CtRef ref;

	memcpy(&ref, a_cell, sizeof(ref));
	if (ref != 0)
	{
		a = ct_ptr(context->arena, ref);
		a_bytes = ct_apart_bytes(context->arena, a);
	}
	memcpy(&ref, b_cell, sizeof(ref));
	if (ref != 0)
	{
		b = ct_ptr(context->arena, ref);
		b_bytes = ct_apart_bytes(context->arena, b);
	}
	return cmp_bytes(a->data, a_bytes, b->data, b_bytes);
}

/* Compare two events one of which, or both, have no event id. */
static int
cmp_without_id(const CtReadContext *context, const CtItem *a, const CtItem *b)
{
	int order = (int) b->layout->has_id - (int) a->layout->has_id;

	return context->schema->id_first ? -order : order;
}

static int
cmp_id(const CtReadContext *context, const CtItem *a, const CtItem *b)
{
	int id = context->schema->id_attr;
	const uint8_t *a_cell;
	const uint8_t *b_cell;

	if (!a->layout->has_id || !b->layout->has_id)
		return cmp_without_id(context, a, b);
	a_cell = a->record + ct_layout_offset(a->layout, id);
	b_cell = b->record + ct_layout_offset(b->layout, id);
	switch (context->schema->id_order)
	{
		case CT_ORDER_SIGNED:
			return cmp_signed((int64_t) read_word(a_cell), (int64_t) read_word(b_cell));
		case CT_ORDER_UNSIGNED:
			return cmp_unsigned(read_word(a_cell), read_word(b_cell));
		default:
			if (ct_is_apart(&context->schema->attr[id]))
				return cmp_apart(context, a_cell, b_cell);
			return memcmp(a_cell, b_cell, (size_t) context->schema->attr[id].length);
	}
}

/* Compare two events of one instant and different kinds. */
static int
cmp_kind(const CtReadContext *context, const CtItem *a, const CtItem *b)
{
	int order = context->schema->id_first ? cmp_id(context, a, b) : 0;

	CT_ASSERT(a->time == b->time && a->layout->kind != b->layout->kind);
	if (order != 0)
		return order;
	return a->layout->kind < b->layout->kind ? -1 : 1;
}

/*
 * Compare by time, kind and event id, in the order of the schema.  Two events with
 * an id are duplicates if this is 0.
 */
int
ct_item_cmp_identity(const CtReadContext *context, const CtItem *a, const CtItem *b)
{
	if (a->time != b->time)
		return a->time < b->time ? -1 : 1;
	if (a->layout->kind != b->layout->kind)
		return cmp_kind(context, a, b);
	return cmp_id(context, a, b);
}

/* Return a scaled integer as it is in the image: as sign and magnitude. */
static uint64_t
to_sign_magnitude(uint64_t word)
{
	return word >> 63 ? (UINT64_C(1) << 63 | (0 - word)) : word;
}

static int
cmp_numeric(const CtAttr *attr, const uint8_t *a_cell, const uint8_t *b_cell)
{
	uint8_t a[CT_NUMERIC_BYTES];
	uint8_t b[CT_NUMERIC_BYTES];
	uint32_t a_bytes =
		ct_wide_to_numeric(ct_number_shown(attr, ct_cell_number(attr, a_cell)), attr->scale, a);
	uint32_t b_bytes =
		ct_wide_to_numeric(ct_number_shown(attr, ct_cell_number(attr, b_cell)), attr->scale, b);

	CT_ASSERT(attr->number == CT_NUMBER_NUMERIC); /* E3 */
	return cmp_bytes(a, a_bytes, b, b_bytes);
}

/* Compare two values of an attribute by their images. */
static int
cmp_cell(const CtReadContext *context, const CtAttr *attr, const uint8_t *a, const uint8_t *b)
{
	switch (attr->number)
	{
		case CT_NUMBER_INT:
			return cmp_unsigned(read_word(a), read_word(b));
		case CT_NUMBER_SCALED:
			return cmp_unsigned(to_sign_magnitude(read_word(a)), to_sign_magnitude(read_word(b)));
		case CT_NUMBER_NUMERIC:
			return cmp_numeric(attr, a, b);
		default:
			break;
	}
	if (ct_is_apart(attr))
		return cmp_apart(context, a, b);
	if (attr->image == CT_IMAGE_WORD)
		return cmp_unsigned(read_word(a), read_word(b));
	return memcmp(a, b, ct_cell_bytes(attr));
}

/* Compare attribute by attribute.  A value sorts before no value. */
static int
cmp_content(const CtReadContext *context, const CtItem *a, const CtItem *b)
{
	uint64_t a_values = a->layout->set & ~a->layout->null;
	uint64_t b_values = b->layout->set & ~b->layout->null;

	for (uint64_t rest = a_values | b_values; rest != 0; rest &= rest - 1)
	{
		uint64_t bit = rest & -rest;
		int i = __builtin_ctzll(rest);
		int order;

		if ((a_values & b_values & bit) == 0)
			return a_values & bit ? -1 : 1;
		order =
			cmp_cell(context, &context->schema->attr[i], a->record + ct_layout_offset(a->layout, i),
					 b->record + ct_layout_offset(b->layout, i));
		if (order != 0)
			return order;
	}
	if (a->layout->null != b->layout->null)
		return cmp_unsigned(a->layout->null, b->layout->null);
	return cmp_unsigned(a->layout->set, b->layout->set);
}

/* Compare two events by their order within a timeline (E2). */
int
ct_item_cmp(const CtReadContext *context, const CtItem *a, const CtItem *b)
{
	int order = ct_item_cmp_identity(context, a, b);

	return order != 0 ? order : cmp_content(context, a, b);
}

/* Compare by event id, then by the order within a timeline.  Events without one come first. */
int
ct_item_cmp_id(const CtReadContext *context, const CtItem *a, const CtItem *b)
{
	int order = a->layout->has_id && b->layout->has_id
					? cmp_id(context, a, b)
					: (int) a->layout->has_id - (int) b->layout->has_id;

	return order != 0 ? order : ct_item_cmp(context, a, b);
}

/* True if two events have the same identity; with id_of_key that is the id alone. */
bool
ct_item_is_duplicate(const CtReadContext *context, const CtItem *a, const CtItem *b)
{
	if (!context->schema->id_of_key)
		return ct_item_cmp_identity(context, a, b) == 0;
	return a->layout->has_id && b->layout->has_id && cmp_id(context, a, b) == 0;
}

/* True if two events say the same, be it at different instants. */
bool
ct_item_same_content(const CtReadContext *context, const CtItem *a, const CtItem *b)
{
	return a->layout->kind == b->layout->kind && cmp_content(context, a, b) == 0;
}
