/*
 * base.c
 *	  What a key begins with: the state that retention has folded events into.
 *
 * A base holds the values of a key's row before the first event of its
 * timeline, if there was a row: a head, and payloads of the cells of what is not
 * as it is initially and not NULL.  A timeline without one begins as initial.
 *
 * Called by fold.c and effect.c (a fold begins with it), retain.c (which makes
 * them), store.c, partial.c and validate.c.
 *
 * Concurrency: ct_timeline_begin() and ct_base_cells() only read; the rest is
 * under the partition's lock, exclusively, between ct_change_begin() and
 * ct_change_end().
 *
 * Invariants:
 *	 P1  A base is of a row that is present, and has the attributes, with a
 *		 rule, that are not as they are initially; each in the only way to say
 *		 so.
 *	 P3  A base owns the values kept apart that it refers to.
 *
 * Not here: which events are folded, and when (retain.c; P2).
 */
#include "engine/base.h"

#include <string.h>

/* The payloads of what is set and not NULL, in the order of attributes. */
#define PAYLOAD_ALIGN 8

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

/* ---- reading ----------------------------------------------------------------- */

/* Set a value to what a base has for it; an image stays where it is. */
static void
value_begin(const CtReadContext *context, int i, CtValue *value, const uint8_t *payload)
{
	CtCell cell;

	if (ct_moves(&context->schema->attr[i]))
	{
		memcpy(&cell.tag, payload, sizeof(cell.tag));
		ct_value_apply(context, i, value, cell.tag, payload + sizeof(cell.tag));
		return;
	}
	if (!ct_is_number(&context->schema->attr[i]))
	{
		ct_value_apply(context, i, value, CT_SET, payload);
		return;
	}
	memset(cell.w, 0, sizeof(cell.w));
	memcpy(cell.w, payload, value_bytes(&context->schema->attr[i]));
	ct_value_apply(context, i, value, CT_SET, cell.w);
}

static void
base_apply(const CtReadContext *context, const CtBase *base, CtState *state)
{
	const uint8_t *at;

	state->present = true;
	at = (const uint8_t *) (base + 1);
	for (uint64_t rest = base->set; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);

		if (i >= context->schema->nattrs)
			break;
		if (base->null >> i & 1)
		{
			state->value[i].kind = CT_VALUE_NULL;
			continue;
		}
		value_begin(context, i, &state->value[i], at);
		at += payload_bytes(&context->schema->attr[i]);
	}
}

/* The state of a key before the first event of its timeline. */
void
ct_timeline_begin(const CtReadContext *context, const CtTimeline *timeline, CtState *state)
{
	ct_state_initial(context->schema, state);
	if (timeline->base != 0)
		base_apply(context, ct_ptr(context->arena, timeline->base), state);
}

/* The same as cells, none of which depends on what was before. */
void
ct_base_cells(const CtReadContext *context, CtRef ref, CtCell *cells)
{
	const CtSchema *schema = context->schema;
	const CtBase *base = ct_ptr(context->arena, ref);
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

/* ---- changing ---------------------------------------------------------------- */

/* What a base says, without its payloads. */
CtBase
ct_base_head(const CtSchema *schema, const CtCell *cells)
{
	CtBase head = {.set = 0};

	CT_ASSERT(schema->nattrs <= CT_MAX_ATTRS);
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
base_write(const CtReadContext *context, CtBase *base, CtBase head, const CtCell *cells)
{
	uint8_t *at = (uint8_t *) (base + 1);

	CT_ASSERT((head.null & ~head.set) == 0); /* P1 */
	*base = head;
	for (uint64_t rest = head.set & ~head.null; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);

		if (ct_moves(&context->schema->attr[i]))
		{
			memcpy(at, &cells[i].tag, sizeof(cells[i].tag));
			memcpy(at + sizeof(cells[i].tag), &cells[i].motion,
				   ct_motion_bytes(&context->schema->attr[i]));
		}
		else
			memcpy(at, cells[i].w, value_bytes(&context->schema->attr[i]));
		at += payload_bytes(&context->schema->attr[i]);
	}
}

/* Free a value kept apart, unless it is still that of the attribute. */
void
ct_apart_release(CtWriter *writer, CtRef ref, const CtCell *now)
{
	CT_ASSERT(ref == 0 || ((CtApart *) ct_ptr(writer->arena, ref))->bytes > 0); /* P3 */
	if (ref == 0 || (now->tag == CT_SET && now->ref == ref))
		return;
	ct_give(writer, ref, sizeof(CtApart) + ((CtApart *) ct_ptr(writer->arena, ref))->bytes);
}

/* Of a base: the same. */
static void
cells_release(CtWriter *writer, const CtCell *before, const CtCell *now)
{
	const CtSchema *schema = writer->context.schema;

	for (int i = 0; i < schema->nattrs; i++)
	{
		if (schema->attr[i].rule != CT_RULE_NONE && ct_is_apart(&schema->attr[i]) &&
			before[i].tag == CT_SET)
			ct_apart_release(writer, before[i].ref, &now[i]);
	}
}

static void
base_drop(CtWriter *writer, CtTimeline *timeline)
{
	if (timeline->base != 0)
		ct_give(writer, timeline->base,
				ct_base_bytes(writer->context.schema, ct_ptr(writer->arena, timeline->base)));
	timeline->base = 0;
}

/*
 * The base has the values of the cells `after`, and `before` those of the one
 * there was; without a head there is none.  False: no memory, nothing was changed.
 */
bool
ct_base_replace(CtWriter *writer, CtTimeline *timeline, const CtBase *head, const CtCell *before,
				const CtCell *after)
{
	const CtBase *old = ct_ptr(writer->arena, timeline->base);
	CtRef ref = 0;

	CT_ASSERT(ct_is_changing(timeline));
	CT_ASSERT(head == NULL || (head->null & ~head->set) == 0); /* P1 */
	if (head != NULL && timeline->base != 0 && old->set == head->set && old->null == head->null)
		ref = timeline->base;
	else if (head != NULL)
	{
		ref = ct_take(writer, ct_base_bytes(writer->context.schema, head), true);
		if (ref == 0)
			return false;
	}
	cells_release(writer, before, after);
	if (ref != timeline->base)
		base_drop(writer, timeline);
	if (ref != 0)
		base_write(&writer->context, ct_ptr(writer->arena, ref), *head, after);
	timeline->base = ref;
	return true;
}

/* Free a timeline's base and what it owns. */
void
ct_base_free(CtWriter *writer, CtTimeline *timeline)
{
	CtCell before[CT_MAX_ATTRS];
	CtCell none[CT_MAX_ATTRS];

	CT_ASSERT(timeline->recent == 0 && timeline->root == 0 && timeline->tail == 0);
	ct_base_cells(&writer->context, timeline->base, before);
	ct_base_cells(&writer->context, 0, none);
	cells_release(writer, before, none);
	base_drop(writer, timeline);
}
