/*
 * event.h
 *	  Events as bytes: layouts, records, and the order of events.
 *
 * Shared by event.c and the rest of the engine.
 *
 * What an event sets is its *layout*: kind, set mask, null mask.  A table has
 * few layouts, so each is stored once.  An event consists of its time, the
 * number of its layout and a *record*: the packed cells of its values.  A cell
 * has the same size for every value of an attribute: a word, a number of 8 or
 * 16 bytes, up to 24 bytes, or a reference to an image that is stored out of
 * line and that the event owns.
 *
 *	  layout 7: event, sets {2, 3}   ─►  record: | sum 8 bytes | id 8 bytes |
 *	  layout 0: is in the record     ─►  | set | null | kind | cells ... |
 *
 * Layout 0 is for events for whose layout no number is left.
 */
#ifndef CT_EVENT_H
#define CT_EVENT_H

#include "engine/number.h"

/* The most layouts of a store; tests lower it. */
#ifndef CT_MAX_FORMS
#define CT_MAX_FORMS 4096
#endif
#define CT_FORM_BUCKETS 64

#define CT_CELL_INLINE 24 /* bytes; longer values are stored out of line */
#define CT_EXPLICIT_BYTES 24
#define CT_MAX_RECORD_BYTES (CT_EXPLICIT_BYTES + CT_MAX_ATTRS * CT_CELL_INLINE)

struct CtLayout
{
	uint64_t set;
	uint64_t null;
	uint64_t touched; /* attributes that it sets, that move by them, or that begin to move */
	uint64_t apart;   /* attributes whose cell is a reference */
	uint16_t bytes;   /* of a record */
	uint16_t nattrs;  /* up to the last one that it sets */
	uint16_t next;    /* in its hash bucket; 0: none */
	uint8_t kind;
	bool has_id : 1;
	bool verbatim : 1;             /* the images of a change are the cells */
	uint16_t offset[CT_MAX_ATTRS]; /* of each cell; `nattrs` of them are stored */
};

/* An event, wherever it is stored. */
typedef struct CtItem
{
	int64_t time;
	const CtLayout *layout;
	const uint8_t *record;
} CtItem;

/* A value that is stored out of line. */
typedef struct CtApart
{
	uint32_t bytes;
	uint8_t data[];
} CtApart;

/* Return the length of an out-of-line value, limited to the region, as it may be torn. */
static inline uint32_t
ct_apart_bytes(const CtArena *arena, const CtApart *apart)
{
	size_t end = (size_t) arena->limit * CT_GRANULE + CT_GUARD_BYTES;
	size_t left = end - (size_t) ((const char *) apart->data - arena->base);
	uint32_t bytes = __atomic_load_n(&apart->bytes, __ATOMIC_RELAXED); /* may change: read once */

	return bytes <= CT_MAX_PAYLOAD_BYTES && bytes <= left ? bytes : 0;
}

static inline size_t
ct_layout_bytes(const CtLayout *layout)
{
	return offsetof(CtLayout, offset) + layout->nattrs * sizeof(uint16_t);
}

static inline bool
ct_layout_sets(const CtLayout *layout, int attr)
{
	return (layout->set >> attr & 1) != 0;
}

static inline bool
ct_layout_touches(const CtLayout *layout, int attr)
{
	return (layout->touched >> attr & 1) != 0;
}

static inline bool
ct_layout_nulls(const CtLayout *layout, int attr)
{
	return (layout->null >> attr & 1) != 0;
}

static inline uint32_t
ct_layout_offset(const CtLayout *layout, int attr)
{
	return layout->offset[attr];
}

void ct_layout_explicit(const CtSchema *schema, const uint8_t *record, CtLayout *layout);

/* Return the layout of a record.  Layout 0 is made in *scratch. */
static inline const CtLayout *
ct_layout_of(const CtReadContext *context, uint32_t number, const uint8_t *record,
			 CtLayout *scratch)
{
	if (number != 0)
		return ct_ptr(context->arena, context->layout[number < context->nlayouts ? number : 1]);
	ct_layout_explicit(context->schema, record, scratch);
	return scratch;
}

static inline CtItem
ct_event_item(const CtReadContext *context, const CtEvent *event, CtLayout *scratch)
{
	return (CtItem){event->time, ct_layout_of(context, event->layout, event->record, scratch),
					event->record};
}

/* True if the attribute moves by another attribute's value. */
static inline bool
ct_moves(const CtAttr *attr)
{
	return attr->rate_attr >= 0 && attr->rule != CT_RULE_NONE;
}

/*
 * True if the attribute moves from the first event of a life on, whatever that
 * sets.  An absent row does not move, even if its rate is initially not 0.
 */
static inline bool
ct_begins_moving(const CtSchema *schema, const CtAttr *attr)
{
	const CtAttr *rate = &schema->attr[attr->rate_attr];

	return attr->has_initial && rate->has_initial && !wide_same(rate->initial, CT_WIDE_ZERO);
}

uint32_t ct_cell_bytes(const CtAttr *attr);
bool ct_is_apart(const CtAttr *attr);
CtStatus ct_change_check(const CtSchema *schema, const CtChange *change);
void ct_layout_make(const CtSchema *schema, const CtChange *change, uint32_t head,
					CtLayout *layout);
bool ct_number_read(const CtAttr *attr, const uint8_t *image, uint32_t bytes, uint8_t *cell);
const uint8_t *ct_image_next(const CtAttr *attr, const uint8_t **at, uint32_t *bytes);

int ct_item_cmp_identity(const CtReadContext *context, const CtItem *a, const CtItem *b);
int ct_item_cmp(const CtReadContext *context, const CtItem *a, const CtItem *b);
int ct_item_cmp_id(const CtReadContext *context, const CtItem *a, const CtItem *b);
bool ct_item_is_duplicate(const CtReadContext *context, const CtItem *a, const CtItem *b);
bool ct_item_same_content(const CtReadContext *context, const CtItem *a, const CtItem *b);

/* Return the operand in a cell of an attribute that has a number. */
static inline CtWide
ct_cell_number(const CtAttr *attr, const uint8_t *cell)
{
	if (attr->wide)
	{
		__int128 value;

		__builtin_memcpy(&value, cell, sizeof(value));
		return wide_from_int128(value);
	}
	else
	{
		int64_t value;

		__builtin_memcpy(&value, cell, sizeof(value));
		return wide_from_int64(value);
	}
}

/* Return NaN as cells have it: the largest number. */
static inline CtWide
ct_number_nan(const CtAttr *attr)
{
	return attr->wide ? wide_from_int128((__int128) (~(unsigned __int128) 0 >> 1))
					  : wide_from_int64(INT64_MAX);
}

/*
 * True if the attribute may be NaN.  (With the rule last it may have a number only
 * because it once was a rate; then it may be NaN.)
 */
static inline bool
ct_may_be_nan(const CtAttr *attr)
{
	return attr->number == CT_NUMBER_NUMERIC && attr->rule != CT_RULE_SUM && !ct_moves(attr);
}

/* Convert a folded number to the one that is shown, and back. */
static inline CtWide
ct_number_shown(const CtAttr *attr, CtWide number)
{
	return ct_may_be_nan(attr) && wide_same(number, ct_number_nan(attr)) ? CT_WIDE_NAN : number;
}

static inline CtWide
ct_number_hidden(const CtAttr *attr, CtWide number)
{
	return wide_same(number, CT_WIDE_NAN) ? ct_number_nan(attr) : number;
}

#endif /* CT_EVENT_H */
