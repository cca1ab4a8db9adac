/*
 * rule.c
 *	  The algebra of rules: what an event does to a state, and how that composes.
 *
 * An event is a function on the state of its key, and so is a run of events.
 * The functions of one rule compose to one of the same size:
 *
 *	 keep | set to v | NULL | initial | a change by an operand (rules.c)
 *	 for attributes that move: see motion.c
 *
 *	 g after f, both sums: a = a1 + a2, lo = g(lo1), hi = g(hi1), where g(x)
 *	 adds a2 and clamps.  f of NULL is f(start): start is the initial value, or
 *	 without one 0 for a sum, and the operand for min and max.
 *
 * Called by block.c and node.c (composing), fold.c (applying), validate.c.
 *
 * These are pure functions: they read events, and write only their results.
 *
 * Invariants:
 *	 R1  Applying a composition equals applying the events one by one, in order.
 *	 R2  In a row that is absent every column has its initial value.  So an
 *		 event does not depend on whether the row existed.
 *	 R3  What a column becomes depends on that column alone.
 *	 R4  Equal functions have equal cells.  (Where both bounds are equal, the
 *		 addend has no effect and is 0.)
 *
 * Not here: numbers (number.c), the order of events (event.c), what columns
 * show between events (between.c).
 */
#include "engine/rule.h"
#include "engine/rules.h"

#include <string.h>

/* ---- descriptions ------------------------------------------------------------ */

static bool
is_sound_number(const CtAttr *attr)
{
	switch (attr->number)
	{
		case CT_NUMBER_INT:
		case CT_NUMBER_SCALED:
			return attr->image == CT_IMAGE_WORD && !attr->wide;
		case CT_NUMBER_NUMERIC:
			return attr->image == CT_IMAGE_VAR;
		case CT_NUMBER_INTERVAL:
			return attr->image == CT_IMAGE_FIXED && attr->length == 16 && !attr->wide &&
				   ct_rule_ops[attr->rule].intervals && !attr->has_lower && !attr->has_upper;
		default:
			return false;
	}
}

static bool
is_sound_attr(const CtSchema *schema, const CtAttr *attr)
{
	const CtRuleOps *rule;

	if (attr->rule >= CT_RULES || attr->image > CT_IMAGE_VAR)
		return false;
	rule = &ct_rule_ops[attr->rule];
	if (attr->rule == CT_RULE_NONE)
		return true;
	if (attr->image == CT_IMAGE_FIXED && attr->length <= 0)
		return false;
	if ((attr->has_lower || attr->has_upper) && !rule->bounds)
		return false;
	if (attr->linear && (!rule->linear || !ct_is_number(attr)))
		return false;
	if (ct_moves(attr) && !ct_motion_sound(schema, attr))
		return false;
	if (attr->has_initial && rule->no_initial)
		return false;
	if (ct_is_number(attr))
		return rule->numbers && is_sound_number(attr);
	if (!rule->images && (!rule->texts || attr->image != CT_IMAGE_VAR))
		return false;
	return !attr->has_initial ||
		   ((uint64_t) attr->initial_offset + attr->initial_bytes <= schema->size &&
			(attr->image != CT_IMAGE_WORD || attr->initial_bytes == sizeof(uint64_t)));
}

/* CT_LIMIT: too many attributes.  CT_BROKEN: the schema contradicts itself. */
CtStatus
ct_schema_check(const CtSchema *schema)
{
	if (schema->nattrs > CT_MAX_ATTRS)
		return CT_LIMIT;
	if (schema->size < sizeof(CtSchema) + schema->nattrs * sizeof(CtAttr))
		return CT_BROKEN;
	for (int i = 0; i < schema->nattrs; i++)
	{
		if (!is_sound_attr(schema, &schema->attr[i]))
			return CT_BROKEN;
	}
	if ((schema->id_first || schema->id_of_key) && schema->id_attr < 0)
		return CT_BROKEN;
	if (schema->id_attr >= 0)
	{
		const CtAttr *id;

		if (schema->id_attr >= schema->nattrs)
			return CT_BROKEN;
		id = &schema->attr[schema->id_attr];
		if (id->rule != CT_RULE_LAST || ct_is_number(id) || schema->id_order == CT_ORDER_NONE ||
			(schema->id_order == CT_ORDER_BYTES) != (id->image != CT_IMAGE_WORD))
			return CT_BROKEN;
	}
	return CT_OK;
}

/* ---- numbers ----------------------------------------------------------------- */

/* Set the bounds of a value to 0: they are stored, but not used. */
static inline void
clear_bounds(const CtAttr *attr, CtWide *w)
{
	CT_ASSERT(attr->has_lower + attr->has_upper <= 2);
	for (int i = 1; i <= attr->has_lower + attr->has_upper; i++)
		w[i] = CT_WIDE_ZERO;
}

/* Set w[] to the operand in a cell of a record, as the payload of a CT_SET. */
static void
read_operand(const CtAttr *attr, const uint8_t *cell, CtWide *w)
{
	int32_t days;
	int32_t months;

	w[0] = ct_cell_number(attr, cell);
	if (attr->number != CT_NUMBER_INTERVAL)
		return;
	memcpy(&days, cell + 8, sizeof(days));
	memcpy(&months, cell + 12, sizeof(months));
	w[1] = (CtWide){{(uint64_t) (int64_t) days, (uint64_t) (int64_t) months, 0}};
}

static void
make_number_cell(const CtAttr *attr, const CtItem *item, const uint8_t *image, CtCell *cell)
{
	cell->tag = CT_SET;
	read_operand(attr, image, cell->w);
	if (attr->linear)
		cell->w[1] = wide_from_int64(item->time);
	if (item->layout->kind == CT_SNAPSHOT || ct_rule_ops[attr->rule].sets)
	{
		clear_bounds(attr, cell->w);
		return;
	}
	cell->tag = CT_CHANGE;
	if (attr->has_lower)
		cell->w[1] = attr->lower;
	if (attr->has_upper)
		cell->w[1 + attr->has_lower] = attr->upper;
}

/* Set w[] to the attribute's initial value, as the payload of a CT_SET. */
static void
get_initial_number(const CtAttr *attr, CtWide *w)
{
	w[0] = ct_number_hidden(attr, attr->initial);
	clear_bounds(attr, w);
	if (attr->number == CT_NUMBER_INTERVAL)
		w[1] = attr->initial_extra;
	else if (attr->linear)
		w[1] = CT_WIDE_MINUS_INFINITY; /* not set by an event */
}

/* Apply the CT_CHANGE `by` to a value. */
static inline void
change_number(const CtAttr *attr, CtWide *x, const CtWide *by)
{
	if (attr->rule == CT_RULE_SUM)
		ct_sum_change(attr, x, by);
	else
		ct_rule_ops[attr->rule].change(attr, x, by);
}

/* Apply the CT_CHANGE `by` to NULL. */
static void
change_null(const CtAttr *attr, CtWide *x, const CtWide *by)
{
	if (!attr->has_initial && !ct_rule_ops[attr->rule].null_is_0)
	{
		x[0] = by[0];
		return;
	}
	x[0] = x[1] = x[2] = CT_WIDE_ZERO;
	if (attr->has_initial)
		get_initial_number(attr, x);
	change_number(attr, x, by);
}

/* ---- other values ------------------------------------------------------------ */

static CtBytes
get_apart(const CtReadContext *context, CtRef ref)
{
	const CtApart *apart;

	if (ref == 0)
		return (CtBytes){"", 0};
	apart = ct_ptr(context->arena, ref);
	return (CtBytes){apart->data, ct_apart_bytes(context->arena, apart)};
}

/* Return the bytes of the value in a cell's payload, inline or out of line. */
static inline CtBytes
get_operand_bytes(const CtReadContext *context, const CtAttr *attr, const void *payload)
{
	CtRef ref;

	if (!ct_is_apart(attr))
		return (CtBytes){payload, ct_cell_bytes(attr)};
	memcpy(&ref, payload, sizeof(ref));
	return get_apart(context, ref);
}

static CtBytes
get_initial_bytes(const CtReadContext *context, const CtAttr *attr)
{
	return (CtBytes){(const char *) context->schema + attr->initial_offset, attr->initial_bytes};
}

/* Make f "g after f", where g is a CT_CHANGE of a value that is not a number. */
static void
compose_bytes(const CtReadContext *context, const CtAttr *attr, CtCell *f, const CtCell *g)
{
	bool (*takes)(CtBytes, CtBytes) = ct_rule_ops[attr->rule].takes;
	CtBytes value = get_operand_bytes(context, attr, g->bytes);

	if (f->tag == CT_SET_INITIAL || f->tag == CT_SET_NULL)
	{
		bool initial = attr->has_initial && !takes(get_initial_bytes(context, attr), value);

		f->tag = initial ? CT_SET_INITIAL : CT_SET;
		memcpy(f->bytes, g->bytes, sizeof(f->bytes));
	}
	else if (takes(get_operand_bytes(context, attr, f->bytes), value))
		memcpy(f->bytes, g->bytes, sizeof(f->bytes));
}

/* ---- cells ------------------------------------------------------------------- */

/*
 * Set *cell to what an event does to an attribute that it touches.  The event is
 * not a finish.
 */
void
ct_cell_of(const CtReadContext *context, const CtItem *item, int i, CtCell *cell)
{
	const CtAttr *attr = &context->schema->attr[i];
	const uint8_t *at;

	CT_ASSERT(i >= 0 && i < context->schema->nattrs);
	CT_ASSERT(ct_layout_touches(item->layout, i));
	if (ct_moves(attr))
	{
		ct_motion_of(context->schema, i, item, cell);
		return;
	}
	at = item->record + ct_layout_offset(item->layout, i);
	if (ct_layout_nulls(item->layout, i))
		cell->tag = CT_SET_NULL;
	else if (ct_is_number(attr))
		make_number_cell(attr, item, at, cell);
	else
	{
		cell->tag = ct_rule_ops[attr->rule].sets || item->layout->kind == CT_SNAPSHOT ? CT_SET
																					  : CT_CHANGE;
		memset(cell->bytes, 0, sizeof(cell->bytes)); /* payloads are rounded up */
		memcpy(cell->bytes, at, ct_cell_bytes(attr));
	}
}

/* Set *cell to what a finish does. */
void
ct_cell_reset(const CtAttr *attr, CtCell *cell)
{
	if (!ct_is_number(attr) || ct_moves(attr))
		cell->tag = CT_SET_INITIAL;
	else if (attr->has_initial)
	{
		cell->tag = CT_SET;
		get_initial_number(attr, cell->w);
	}
	else
		cell->tag = CT_SET_NULL;
}

/*
 * Copy a cell.  Motions are much larger than other cells, so others are copied
 * without that part.
 */
static inline void
copy_cell(CtCell *to, const CtCell *from)
{
	to->tag = from->tag;
	if (from->tag >= CT_MOTION)
		to->motion = from->motion;
	else
		memcpy(to->w, from->w, sizeof(to->w));
}

/* Make f "g after f". */
void
ct_cell_then(const CtReadContext *context, const CtAttr *attr, CtCell *f, const CtCell *g)
{
	if (g->tag == CT_KEEP)
		return;
	if (g->tag >= CT_MOTION && f->tag != CT_KEEP)
		ct_motion_then(context->schema, attr, f, g);
	else if (g->tag != CT_CHANGE || f->tag == CT_KEEP)
		copy_cell(f, g);
	else if (!ct_is_number(attr))
		compose_bytes(context, attr, f, g);
	else if (f->tag == CT_CHANGE && attr->rule == CT_RULE_SUM)
		ct_sum_compose(attr, f->w, g->w);
	else if (f->tag == CT_CHANGE)
		ct_rule_ops[attr->rule].compose(attr, f->w, g->w);
	else if (f->tag == CT_SET)
		change_number(attr, f->w, g->w);
	else
	{
		change_null(attr, f->w, g->w);
		f->tag = CT_SET;
	}
}

bool
ct_cell_same(const CtAttr *attr, const CtCell *a, const CtCell *b)
{
	if (a->tag != b->tag)
		return false;
	if (!ct_tag_has_payload(a->tag))
		return true;
	if (a->tag >= CT_MOTION)
		return ct_motion_same(attr, a, b);
	if (!ct_is_number(attr))
		return memcmp(a->bytes, b->bytes, ct_cell_bytes(attr)) == 0;
	if (attr->rule == CT_RULE_SUM && a->tag == CT_SET && attr->number != CT_NUMBER_INTERVAL)
		return wide_same(a->w[0], b->w[0]);
	for (uint32_t i = 0; i < ct_cell_wides(attr); i++)
	{
		if (!wide_same(a->w[i], b->w[i]))
			return false;
	}
	return true;
}

/* ---- states ------------------------------------------------------------------ */

static inline void
set_initial(const CtSchema *schema, int i, CtValue *value)
{
	const CtAttr *attr = &schema->attr[i];

	value->kind = CT_VALUE_NULL;
	if (ct_is_number(attr))
		value->extra = CT_WIDE_ZERO;
	if (!attr->has_initial || attr->rule == CT_RULE_NONE)
		return;
	if (ct_is_number(attr))
	{
		value->kind = CT_VALUE_NUMBER;
		value->number = ct_number_hidden(attr, attr->initial);
		value->extra = attr->initial_extra;
		value->was_set = false;
	}
	else
	{
		value->kind = CT_VALUE_IMAGE;
		value->bytes = attr->initial_bytes;
		value->image = (const char *) schema + attr->initial_offset;
	}
}

void
ct_value_initial(const CtSchema *schema, int i, CtValue *value)
{
	CT_ASSERT(i >= 0 && i < schema->nattrs);
	if (ct_moves(&schema->attr[i]))
		ct_motion_initial(schema, &schema->attr[i], value);
	else
		set_initial(schema, i, value);
}

/* Set the state of a key before its first event. */
void
ct_state_initial(const CtSchema *schema, CtState *state)
{
	CT_ASSERT(schema->nattrs <= CT_MAX_ATTRS);
	state->present = false;
	state->nattrs = schema->nattrs;
	for (int i = 0; i < schema->nattrs; i++)
		set_initial(schema, i, &state->value[i]);
	for (int i = 0; schema->has_rates && i < schema->nattrs; i++)
	{
		if (ct_moves(&schema->attr[i]))
			ct_motion_initial(schema, &schema->attr[i], &state->value[i]);
	}
}

static void
apply_number(const CtAttr *attr, CtValue *value, uint64_t tag, const CtWide *payload)
{
	CtWide x[3] = {value->number, value->extra};

	if (tag == CT_SET)
		memcpy(x, payload, ct_cell_wides(attr) * sizeof(CtWide));
	else if (value->kind == CT_VALUE_NULL)
		change_null(attr, x, payload);
	else
		change_number(attr, x, payload);
	value->kind = CT_VALUE_NUMBER;
	value->number = x[0];
	if (attr->number == CT_NUMBER_INTERVAL)
		value->extra = x[1];
	else if (attr->linear)
	{
		value->was_set = !wide_same(x[1], CT_WIDE_MINUS_INFINITY);
		value->time = (int64_t) x[1].word[0];
	}
}

static void
set_bytes(CtValue *value, CtBytes bytes)
{
	value->kind = CT_VALUE_IMAGE;
	value->image = bytes.data;
	value->bytes = bytes.bytes;
}

static void
apply_bytes(const CtReadContext *context, int i, CtValue *value, uint64_t tag,
			const void *payload)
{
	const CtAttr *attr = &context->schema->attr[i];
	CtBytes bytes = get_operand_bytes(context, attr, payload);

	if (tag == CT_CHANGE && value->kind == CT_VALUE_NULL)
		ct_value_initial(context->schema, i, value);
	if (tag == CT_SET || value->kind == CT_VALUE_NULL ||
		ct_rule_ops[attr->rule].takes((CtBytes){value->image, value->bytes}, bytes))
		set_bytes(value, bytes);
}

/* Apply the function in a cell to a value. */
void
ct_value_apply(const CtReadContext *context, int i, CtValue *value, uint64_t tag,
			   const void *payload)
{
	switch (tag)
	{
		case CT_KEEP:
			break;
		case CT_SET_NULL:
			value->kind = CT_VALUE_NULL;
			break;
		case CT_SET_INITIAL:
			ct_value_initial(context->schema, i, value);
			break;
		default:
			if (ct_moves(&context->schema->attr[i]))
				ct_motion_apply(context->schema, &context->schema->attr[i], value, tag, payload);
			else if (ct_is_number(&context->schema->attr[i]))
				apply_number(&context->schema->attr[i], value, tag, payload);
			else
				apply_bytes(context, i, value, tag, payload);
			break;
	}
}

/* Set a value of the rule last from a cell of an event's record. */
void
ct_value_set_cell(const CtReadContext *context, int i, CtValue *value, const uint8_t *cell,
				  int64_t time)
{
	const CtAttr *attr = &context->schema->attr[i];

	if (attr->image == CT_IMAGE_WORD && !ct_is_number(attr))
		set_bytes(value, (CtBytes){cell, sizeof(uint64_t)});
	else if (!ct_is_number(attr))
		apply_bytes(context, i, value, CT_SET, cell);
	else
	{
		value->kind = CT_VALUE_NUMBER;
		value->number = ct_cell_number(attr, cell);
		value->was_set = true;
		value->time = time;
	}
}

/* Set *value to what an event itself gives an attribute, as raw events show it. */
void
ct_value_raw(const CtReadContext *context, const CtItem *item, int i, CtValue *value)
{
	const CtAttr *attr = &context->schema->attr[i];
	const uint8_t *cell = item->record + ct_layout_offset(item->layout, i);
	CtWide w[3] = {CT_WIDE_ZERO, CT_WIDE_ZERO, CT_WIDE_ZERO};

	*value = (CtValue){.kind = CT_VALUE_NULL};
	if (!ct_is_number(attr))
	{
		ct_value_set_cell(context, i, value, cell, item->time);
		return;
	}
	read_operand(attr, cell, w);
	value->kind = CT_VALUE_NUMBER;
	value->number = ct_number_shown(attr, w[0]);
	if (attr->number == CT_NUMBER_INTERVAL)
		value->extra = w[1];
}

static inline void
add_item(const CtReadContext *context, const CtItem *item, int i, CtValue *value)
{
	const CtAttr *attr = &context->schema->attr[i];
	const uint8_t *at = item->record + ct_layout_offset(item->layout, i);
	CtCell cell;

	if (ct_moves(attr))
		ct_motion_add(context->schema, i, item, value);
	else if (ct_layout_nulls(item->layout, i))
		value->kind = CT_VALUE_NULL;
	else if (ct_is_last(attr))
		ct_value_set_cell(context, i, value, at, item->time);
	else if (ct_is_number(attr))
	{
		ct_cell_of(context, item, i, &cell);
		ct_value_apply(context, i, value, cell.tag, cell.w);
	}
	else
		ct_value_apply(context, i, value, item->layout->kind == CT_SNAPSHOT ? CT_SET : CT_CHANGE,
					   at);
}

void
ct_value_add_item(const CtReadContext *context, const CtItem *item, int i, CtValue *value)
{
	add_item(context, item, i, value);
}

void
ct_state_add_item(const CtReadContext *context, CtState *state, const CtItem *item)
{
	if (item->layout->kind == CT_FINISH)
	{
		ct_state_initial(context->schema, state);
		return;
	}
	for (uint64_t rest = item->layout->touched; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);

		add_item(context, item, i, &state->value[i]);
	}
	state->present = true;
}

/* Convert a folded state to the one that is shown: NaN is folded as the largest number. */
void
ct_state_show(const CtReadContext *context, CtState *state)
{
	for (uint64_t rest = context->hidden; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);

		if (state->value[i].kind == CT_VALUE_NUMBER)
			state->value[i].number =
				ct_number_shown(&context->schema->attr[i], state->value[i].number);
	}
}

bool
ct_value_equal(const CtValue *a, const CtValue *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind)
	{
		case CT_VALUE_NUMBER:
			return wide_same(a->number, b->number) && a->extra.word[0] == b->extra.word[0] &&
				   a->extra.word[1] == b->extra.word[1];
		case CT_VALUE_IMAGE:
			return a->bytes == b->bytes && memcmp(a->image, b->image, a->bytes) == 0;
		default:
			return true;
	}
}

bool
ct_state_agrees(const CtState *a, const CtState *b, uint64_t attrs)
{
	CT_ASSERT(a->nattrs == b->nattrs && a->nattrs <= CT_MAX_ATTRS);
	if (!a->present || !b->present)
		return a->present == b->present;
	for (int i = 0; i < a->nattrs; i++)
	{
		if ((attrs >> i & 1) != 0 && !ct_value_equal(&a->value[i], &b->value[i]))
			return false;
	}
	return true;
}

bool
ct_state_equal(const CtSchema *schema, const CtState *a, const CtState *b)
{
	CT_ASSERT(a->nattrs == schema->nattrs);
	return ct_state_agrees(a, b, UINT64_MAX);
}
