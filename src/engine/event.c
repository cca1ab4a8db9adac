/*
 * event.c
 *	  Events as bytes: where an image lies, and which event comes first.
 *
 * Called by rule.c for values, by timeline.c and fold.c for the order.
 *
 * Pure functions of events that are linked and of their description.
 *
 * Invariants:
 *	 E1  The payload of an event is exactly the images of set & ~null, in
 *		 attribute order.  (ct_change_valid() lets nothing else in.)
 *	 E2  The order is total up to equal content: time, kind, event id (none
 *		 last), content, null mask, set mask.  It never looks at arrival.
 *
 * Not here: what an event does (rule.c), where it is kept (timeline.c).
 */
#include "rule.h"

#include <string.h>

/* Bytes of the image at `at`, its length word included; SIZE_MAX: damaged. */
static inline size_t
image_size(const CtAttr *attr, const uint8_t *at, size_t left)
{
	uint32_t length;
	size_t size;

	switch (attr->image)
	{
		case CT_IMAGE_WORD:
			size = sizeof(uint64_t);
			break;
		case CT_IMAGE_FIXED:
			size = (size_t) attr->length;
			break;
		default:
			if (left < sizeof(length))
				return SIZE_MAX;
			memcpy(&length, at, sizeof(length));
			size = sizeof(length) + (size_t) length;
			break;
	}
	return size <= left ? size : SIZE_MAX;
}

bool
ct_change_valid(const CtSchema *schema, const CtChange *change)
{
	const uint8_t *at = change->payload;
	size_t left = change->payload_bytes;
	uint64_t values = change->set & ~change->null;

	if (change->kind > CT_SNAPSHOT || (change->null & ~change->set) != 0)
		return false;
	if (schema->nattrs < 64 && change->set >> schema->nattrs != 0)
		return false;
	for (uint64_t rest = change->set; rest != 0; rest &= rest - 1)
	{
		const CtAttr *attr = &schema->attr[__builtin_ctzll(rest)];
		size_t size;

		if (attr->rule == CT_RULE_NONE)
			return false;
		if ((values & (rest & -rest)) == 0)
			continue;
		size = image_size(attr, at, left);
		if (size == SIZE_MAX)
			return false;
		at += size;
		left -= size;
	}
	return left == 0;
}

/* The image of an attribute the event has a value for, without length word. */
const uint8_t *
ct_event_image(const CtSchema *schema, const CtEvent *event, int attr, uint32_t *bytes)
{
	const uint8_t *at = event->payload;
	size_t left = event->payload_bytes;
	size_t size;

	for (uint64_t rest = event->set & ~event->null; rest != 0; rest &= rest - 1)
	{
		int here = __builtin_ctzll(rest);

		size = image_size(&schema->attr[here], at, left);
		if (size == SIZE_MAX)
			break;
		if (here == attr)
		{
			uint32_t head = schema->attr[here].image == CT_IMAGE_VAR ? sizeof(uint32_t) : 0;

			*bytes = (uint32_t) size - head;
			return at + head;
		}
		at += size;
		left -= size;
	}
	*bytes = 0;
	return NULL;
}

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

/* The event id has a value. */
bool
ct_event_has_id(const CtSchema *schema, const CtEvent *event)
{
	return schema->id_attr >= 0 && ((event->set & ~event->null) >> schema->id_attr & 1) != 0;
}

static int
cmp_id(const CtSchema *schema, const CtEvent *a, const CtEvent *b)
{
	bool a_has = ct_event_has_id(schema, a);
	bool b_has = ct_event_has_id(schema, b);
	uint32_t a_bytes, b_bytes;
	const uint8_t *a_image, *b_image;

	if (!a_has || !b_has)
		return (int) b_has - (int) a_has;
	a_image = ct_event_image(schema, a, schema->id_attr, &a_bytes);
	b_image = ct_event_image(schema, b, schema->id_attr, &b_bytes);
	switch (schema->id_order)
	{
		case CT_ORDER_SIGNED:
			return cmp_signed((int64_t) read_word(a_image), (int64_t) read_word(b_image));
		case CT_ORDER_UNSIGNED:
			return cmp_unsigned(read_word(a_image), read_word(b_image));
		default:
			return cmp_bytes(a_image, a_bytes, b_image, b_bytes);
	}
}

/* Time, kind and event id: 0 for events with an id means twins. */
int
ct_event_cmp_identity(const CtSchema *schema, const CtEvent *a, const CtEvent *b)
{
	if (a->time != b->time)
		return a->time < b->time ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return cmp_id(schema, a, b);
}

/* Attribute by attribute; a value before none. */
static int
cmp_content(const CtSchema *schema, const CtEvent *a, const CtEvent *b)
{
	uint64_t a_values = a->set & ~a->null;
	uint64_t b_values = b->set & ~b->null;
	const uint8_t *a_at = a->payload;
	const uint8_t *b_at = b->payload;
	size_t a_left = a->payload_bytes;
	size_t b_left = b->payload_bytes;

	for (uint64_t rest = a_values | b_values; rest != 0; rest &= rest - 1)
	{
		uint64_t bit = rest & -rest;
		const CtAttr *attr = &schema->attr[__builtin_ctzll(rest)];
		size_t a_size, b_size;
		size_t head = attr->image == CT_IMAGE_VAR ? sizeof(uint32_t) : 0;
		int order;

		if ((a_values & b_values & bit) == 0)
			return a_values & bit ? -1 : 1;
		a_size = image_size(attr, a_at, a_left);
		b_size = image_size(attr, b_at, b_left);
		if (a_size == SIZE_MAX || b_size == SIZE_MAX)
			break;
		if (attr->image == CT_IMAGE_WORD)
			order = cmp_unsigned(read_word(a_at), read_word(b_at));
		else
			order = cmp_bytes(a_at + head, (uint32_t) (a_size - head), b_at + head,
							  (uint32_t) (b_size - head));
		if (order != 0)
			return order;
		a_at += a_size;
		a_left -= a_size;
		b_at += b_size;
		b_left -= b_size;
	}
	if (a->null != b->null)
		return cmp_unsigned(a->null, b->null);
	return cmp_unsigned(a->set, b->set);
}

/* The order of events within a timeline (E2). */
int
ct_event_cmp(const CtSchema *schema, const CtEvent *a, const CtEvent *b)
{
	int order = ct_event_cmp_identity(schema, a, b);

	return order != 0 ? order : cmp_content(schema, a, b);
}

bool
ct_snapshot_sees(const CtSnapshot *snapshot, uint64_t top)
{
	uint32_t low = 0;
	uint32_t high = snapshot->nxip;

	if (top == 0 || top < snapshot->xmin)
		return true;
	if (top >= snapshot->xmax)
		return false;
	while (low < high)
	{
		uint32_t middle = low + (high - low) / 2;

		if (snapshot->xip[middle] < top)
			low = middle + 1;
		else
			high = middle;
	}
	return low == snapshot->nxip || snapshot->xip[low] != top;
}
