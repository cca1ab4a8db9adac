/*
 * rule.c
 *	  The algebra: what an event does to a state, and how that composes.
 *
 * An event is a function on the state of its key; so is a run of events, and
 * the functions of one rule compose to one of the same size:
 *
 *	 row		keep | absent | present
 *	 last		keep | set to an event's image | NULL | initial
 *	 sum, min,	keep | set to v | NULL | f(x) = min(max(x + a, lo), hi)
 *	 max
 *
 *	 g after f, both f(x): a = a1 + a2, lo = g(lo1), hi = g(hi1), where g(x)
 *	 adds a2 and clamps.  f of NULL is f(start): the initial value, or without
 *	 one 0 for a sum, and for min and max the infinity that leaves the operand.
 *
 * Called by timeline.c (composing), fold.c (applying), validate.c.
 *
 * Pure functions: they read events and write only what they are given.
 *
 * Invariants:
 *	 R1  Applying a summary equals applying its events one by one, in order.
 *	 R2  A row that is absent has every column at its initial value; so an
 *		 event needs not know whether the row was there.
 *	 R3  What a column becomes depends on that column alone.
 *	 R4  A summary narrower than the description holds no event that touches
 *		 the attributes it lacks: they are kept, or initial after a finish.
 *
 * Not here: numbers (number.c), the order of events (event.c).
 */
#include "rule.h"

#include <assert.h>
#include <string.h>

static inline bool
is_number(const CtAttr *attr)
{
	return attr->rule >= CT_RULE_SUM;
}

/* ---- descriptions --------------------------------------------------------- */

static bool
attr_sound(const CtSchema *schema, const CtAttr *attr)
{
	if (attr->rule > CT_RULE_MAX || attr->image > CT_IMAGE_VAR || attr->number > CT_NUMBER_NUMERIC)
		return false;
	if (attr->rule == CT_RULE_NONE)
		return true;
	if (attr->image == CT_IMAGE_FIXED && attr->length <= 0)
		return false;
	if (!is_number(attr))
		return !attr->has_initial ||
			   ((uint64_t) attr->initial_offset + attr->initial_bytes <= schema->size &&
				(attr->image != CT_IMAGE_WORD || attr->initial_bytes == sizeof(uint64_t)));
	if (attr->number == CT_NUMBER_INT)
		return attr->image == CT_IMAGE_WORD;
	return attr->number == CT_NUMBER_NUMERIC && attr->image != CT_IMAGE_WORD;
}

/* CT_LIMIT: too many attributes.  CT_BROKEN: it contradicts itself. */
CtStatus
ct_schema_check(const CtSchema *schema)
{
	if (schema->nattrs > CT_MAX_ATTRS)
		return CT_LIMIT;
	if (schema->size < sizeof(CtSchema) + schema->nattrs * sizeof(CtAttr))
		return CT_BROKEN;
	for (int i = 0; i < schema->nattrs; i++)
	{
		if (!attr_sound(schema, &schema->attr[i]))
			return CT_BROKEN;
	}
	if (schema->id_attr >= 0)
	{
		const CtAttr *id;

		if (schema->id_attr >= schema->nattrs)
			return CT_BROKEN;
		id = &schema->attr[schema->id_attr];
		if (id->rule != CT_RULE_LAST || schema->id_order == CT_ORDER_NONE ||
			(schema->id_order == CT_ORDER_BYTES) != (id->image != CT_IMAGE_WORD))
			return CT_BROKEN;
	}
	return CT_OK;
}

/* Where the cells of a summary lie: nattrs + 1 offsets. */
void
ct_shape_layout(const CtSchema *schema, uint32_t *cell)
{
	uint32_t offset = sizeof(CtSummary);

	for (int i = 0; i < schema->nattrs; i++)
	{
		cell[i] = offset;
		if (is_number(&schema->attr[i]))
			offset += sizeof(CtNumberCell);
		else if (schema->attr[i].rule == CT_RULE_LAST)
			offset += sizeof(CtLastCell);
	}
	cell[schema->nattrs] = offset;
}

static inline void *
cell_of(const CtShape *shape, const CtSummary *summary, int attr)
{
	return (char *) summary + shape->cell[attr];
}

/* ---- numbers -------------------------------------------------------------- */

static CtWide
read_number(const CtAttr *attr, const uint8_t *image, uint32_t bytes)
{
	int64_t word;

	if (attr->number == CT_NUMBER_NUMERIC)
		return ct_wide_from_numeric(image, bytes, attr->scale);
	memcpy(&word, image, sizeof(word));
	return ct_wide_from_int64(word);
}

/* What a rule that meets NULL starts from. */
static CtWide
start_of(const CtAttr *attr)
{
	if (attr->has_initial)
		return attr->initial;
	if (attr->rule == CT_RULE_MIN)
		return CT_WIDE_PLUS_INFINITY;
	if (attr->rule == CT_RULE_MAX)
		return CT_WIDE_MINUS_INFINITY;
	return CT_WIDE_ZERO;
}

/* f(x), f being a CT_CLAMP. */
static inline CtWide
clamp(CtWide x, const CtNumberCell *f)
{
	x = ct_wide_add(x, f->a);
	if (ct_wide_cmp(x, f->lo) < 0)
		x = f->lo;
	if (ct_wide_cmp(x, f->hi) > 0)
		x = f->hi;
	return x;
}

/* The function an event's operand stands for. */
static CtNumberCell
operand(const CtAttr *attr, uint8_t kind, CtWide v)
{
	CtNumberCell f = {.action = CT_CLAMP,
					  .a = CT_WIDE_ZERO,
					  .lo = CT_WIDE_MINUS_INFINITY,
					  .hi = CT_WIDE_PLUS_INFINITY};

	if (kind == CT_SNAPSHOT)
	{
		f.action = CT_SET;
		f.a = v;
	}
	else if (attr->rule == CT_RULE_SUM)
	{
		f.a = v;
		f.lo = attr->lower;
		f.hi = attr->upper;
	}
	else if (attr->rule == CT_RULE_MIN)
		f.hi = v;
	else
		f.lo = v;
	return f;
}

/* f becomes "g after f". */
static void
number_then(const CtAttr *attr, CtNumberCell *f, const CtNumberCell *g)
{
	if (g->action == CT_KEEP)
		return;
	if (g->action != CT_CLAMP || f->action == CT_KEEP)
		*f = *g;
	else if (f->action == CT_CLAMP)
	{
		f->a = ct_wide_add(f->a, g->a);
		f->lo = clamp(f->lo, g);
		f->hi = clamp(f->hi, g);
	}
	else
	{
		f->a = clamp(f->action == CT_SET ? f->a : start_of(attr), g);
		f->action = CT_SET;
	}
}

static void
number_reset(const CtAttr *attr, CtNumberCell *f)
{
	f->action = attr->has_initial ? CT_SET : CT_SET_NULL;
	f->a = attr->initial;
}

/* ---- summaries ------------------------------------------------------------ */

void
ct_summary_clear(const CtShape *shape, CtSummary *summary)
{
	memset(summary, 0, shape->cell[shape->schema->nattrs]);
	summary->nattrs = shape->schema->nattrs;
}

/* Every column back to initial, from attribute `from` on (R4). */
static void
summary_reset(const CtShape *shape, CtSummary *summary, int from)
{
	for (int i = from; i < shape->schema->nattrs; i++)
	{
		const CtAttr *attr = &shape->schema->attr[i];

		if (is_number(attr))
			number_reset(attr, cell_of(shape, summary, i));
		else if (attr->rule == CT_RULE_LAST)
			((CtLastCell *) cell_of(shape, summary, i))->action = CT_SET_INITIAL;
	}
}

/* The same function with a cell for every attribute of today. */
void
ct_summary_widen(const CtShape *shape, const CtSummary *from, CtSummary *to)
{
	ct_summary_clear(shape, to);
	memcpy((char *) to + sizeof(CtSummary), (const char *) from + sizeof(CtSummary),
		   shape->cell[from->nattrs] - sizeof(CtSummary));
	to->row = from->row;
	to->finish = from->finish;
	if (from->finish)
		summary_reset(shape, to, from->nattrs);
}

/* One attribute of an event that is not a finish. */
static void
cell_add_event(const CtShape *shape, CtSummary *summary, CtRef ref, const CtEvent *event, int i)
{
	const CtAttr *attr = &shape->schema->attr[i];
	bool is_null = (event->null >> i & 1) != 0;

	if (is_number(attr))
	{
		CtNumberCell *f = cell_of(shape, summary, i);
		CtNumberCell g = {.action = CT_SET_NULL};

		if (!is_null)
		{
			uint32_t bytes;
			const uint8_t *image = ct_event_image(shape->schema, event, i, &bytes);

			g = operand(attr, event->kind, read_number(attr, image, bytes));
		}
		number_then(attr, f, &g);
	}
	else
	{
		CtLastCell *f = cell_of(shape, summary, i);

		f->action = is_null ? CT_SET_NULL : CT_SET;
		f->event = is_null ? 0 : ref;
	}
}

void
ct_summary_add_event(const CtShape *shape, CtSummary *summary, CtRef ref)
{
	const CtEvent *event = ct_ptr(shape->arena, ref);

	assert(summary->nattrs == shape->schema->nattrs);
	if (event->kind == CT_FINISH)
	{
		summary_reset(shape, summary, 0);
		summary->row = CT_ROW_ABSENT;
		summary->finish = true;
		return;
	}
	for (uint64_t rest = event->set; rest != 0; rest &= rest - 1)
		cell_add_event(shape, summary, ref, event, __builtin_ctzll(rest));
	summary->row = CT_ROW_PRESENT;
}

void
ct_summary_add(const CtShape *shape, CtSummary *summary, const CtSummary *later)
{
	assert(summary->nattrs == shape->schema->nattrs);
	for (int i = 0; i < later->nattrs; i++)
	{
		const CtAttr *attr = &shape->schema->attr[i];

		if (is_number(attr))
			number_then(attr, cell_of(shape, summary, i), cell_of(shape, later, i));
		else if (attr->rule == CT_RULE_LAST)
		{
			const CtLastCell *g = cell_of(shape, later, i);

			if (g->action != CT_KEEP)
				*(CtLastCell *) cell_of(shape, summary, i) = *g;
		}
	}
	if (later->finish)
		summary_reset(shape, summary, later->nattrs);
	if (later->row != CT_ROW_KEEP)
		summary->row = later->row;
	summary->finish |= later->finish;
}

/* ---- effects --------------------------------------------------------------- */

/*
 * Does it make the attribute independent of what was before?  Attribute -1 is
 * the row's presence, which every event decides.
 */
bool
ct_event_overrides(const CtShape *shape, const CtEvent *event, int attr)
{
	if (attr < 0 || event->kind == CT_FINISH)
		return true;
	if ((event->set >> attr & 1) == 0)
		return false;
	return event->kind == CT_SNAPSHOT || (event->null >> attr & 1) != 0 ||
		   !is_number(&shape->schema->attr[attr]);
}

bool
ct_summary_overrides(const CtShape *shape, const CtSummary *summary, int attr)
{
	if (attr < 0 || summary->finish)
		return true;
	if (attr >= summary->nattrs)
		return false;
	if (is_number(&shape->schema->attr[attr]))
	{
		uint64_t action = ((CtNumberCell *) cell_of(shape, summary, attr))->action;

		return action == CT_SET || action == CT_SET_NULL;
	}
	return ((CtLastCell *) cell_of(shape, summary, attr))->action != CT_KEEP;
}

/* ---- states ---------------------------------------------------------------- */

static void
value_initial(const CtSchema *schema, int i, CtValue *value)
{
	const CtAttr *attr = &schema->attr[i];

	memset(value, 0, sizeof(*value));
	if (!attr->has_initial || attr->rule == CT_RULE_NONE)
		return;
	if (is_number(attr))
	{
		value->kind = CT_VALUE_NUMBER;
		value->number = attr->initial;
	}
	else
	{
		value->kind = CT_VALUE_IMAGE;
		value->bytes = attr->initial_bytes;
		value->image = (const char *) schema + attr->initial_offset;
	}
}

/* The state of a key before its first event. */
void
ct_state_initial(const CtSchema *schema, CtState *state)
{
	state->present = false;
	state->nattrs = schema->nattrs;
	for (int i = 0; i < schema->nattrs; i++)
		value_initial(schema, i, &state->value[i]);
}

static void
value_add_number(const CtAttr *attr, CtValue *value, const CtNumberCell *f)
{
	switch (f->action)
	{
		case CT_KEEP:
			break;
		case CT_SET_NULL:
			value->kind = CT_VALUE_NULL;
			break;
		case CT_SET:
			value->kind = CT_VALUE_NUMBER;
			value->number = f->a;
			break;
		default:
			value->number =
				clamp(value->kind == CT_VALUE_NUMBER ? value->number : start_of(attr), f);
			value->kind = CT_VALUE_NUMBER;
			break;
	}
}

/* One image of an event that is not a finish, the next in its payload. */
static void
value_add_image(const CtAttr *attr, CtValue *value, const CtEvent *event, const uint8_t *image,
				uint32_t bytes)
{
	if (is_number(attr))
	{
		CtNumberCell f = operand(attr, event->kind, read_number(attr, image, bytes));

		value_add_number(attr, value, &f);
	}
	else
	{
		value->kind = CT_VALUE_EVENT;
		value->image = event;
	}
}

void
ct_state_add_event(const CtShape *shape, CtState *state, const CtEvent *event)
{
	if (event->kind == CT_FINISH)
	{
		ct_state_initial(shape->schema, state);
		return;
	}
	for (uint64_t rest = event->set; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);
		uint32_t bytes = 0;
		const uint8_t *image = NULL;

		if (event->null >> i & 1)
		{
			state->value[i].kind = CT_VALUE_NULL;
			continue;
		}
		if (is_number(&shape->schema->attr[i]))
			image = ct_event_image(shape->schema, event, i, &bytes);
		value_add_image(&shape->schema->attr[i], &state->value[i], event, image, bytes);
	}
	state->present = true;
}

static void
value_add_last(const CtShape *shape, CtValue *value, const CtLastCell *f, int i)
{
	switch (f->action)
	{
		case CT_KEEP:
			break;
		case CT_SET:
			value->kind = CT_VALUE_EVENT;
			value->image = ct_ptr(shape->arena, f->event);
			break;
		case CT_SET_NULL:
			value->kind = CT_VALUE_NULL;
			break;
		default:
			value_initial(shape->schema, i, value);
			break;
	}
}

void
ct_state_add(const CtShape *shape, CtState *state, const CtSummary *summary)
{
	for (int i = 0; i < summary->nattrs; i++)
	{
		const CtAttr *attr = &shape->schema->attr[i];

		if (is_number(attr))
			value_add_number(attr, &state->value[i], cell_of(shape, summary, i));
		else if (attr->rule == CT_RULE_LAST)
			value_add_last(shape, &state->value[i], cell_of(shape, summary, i), i);
	}
	if (summary->finish)
	{
		for (int i = summary->nattrs; i < shape->schema->nattrs; i++)
			value_initial(shape->schema, i, &state->value[i]);
	}
	if (summary->row != CT_ROW_KEEP)
		state->present = summary->row == CT_ROW_PRESENT;
}

/* Look up the images that were only remembered by their event. */
void
ct_state_resolve(const CtSchema *schema, CtState *state)
{
	for (int i = 0; i < state->nattrs; i++)
	{
		CtValue *value = &state->value[i];

		if (value->kind != CT_VALUE_EVENT)
			continue;
		value->image = ct_event_image(schema, value->image, i, &value->bytes);
		value->kind = CT_VALUE_IMAGE;
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
			return ct_wide_cmp(a->number, b->number) == 0;
		case CT_VALUE_IMAGE:
			return a->bytes == b->bytes && memcmp(a->image, b->image, a->bytes) == 0;
		default:
			return true;
	}
}

bool
ct_state_equal(const CtSchema *schema, const CtState *a, const CtState *b)
{
	if (!a->present || !b->present)
		return a->present == b->present;
	for (int i = 0; i < schema->nattrs; i++)
	{
		if (!ct_value_equal(&a->value[i], &b->value[i]))
			return false;
	}
	return true;
}
