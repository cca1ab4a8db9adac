/*
 * base.c
 *	  Bases: the state that retention has folded the oldest events of a key into.
 *
 * A base is the key's row before the first event of its timeline, if there was a
 * row.  It consists of a head and the payloads of the cells that are neither
 * initial nor NULL.  Without a base, a timeline begins with the initial state.
 *
 * Called by fold.c and effect.c (a fold begins with a base), retain.c (which
 * makes bases), store.c and validate.c.
 *
 * Concurrency: ct_timeline_begin() and ct_base_cells() only read.  For the
 * others the caller holds the partition's lock exclusively; the timeline is
 * being changed (ct_change_begin()).
 *
 * Invariants:
 *	 P1  A base belongs to a row that exists.  It has exactly the attributes
 *		 with a rule whose value is not the initial one.  A value has only one
 *		 representation.
 *	 P3  A base owns the out-of-line values that it refers to.
 *
 * Not here: which events are folded, and when (retain.c; P2).
 */
#include "engine/base.h"

#include <string.h>

/* Payloads are in the order of attributes, aligned to this. */
#define PAYLOAD_ALIGN 8

/*
 * Return the bytes of a value: a cell without bounds, as it is not added to; a
 * motion with its tag.
 */
static inline size_t
get_value_bytes(const CtAttr *attr)
{
	uint32_t bounds = ct_is_number(attr) ? 0U + attr->has_lower + attr->has_upper : 0;

	if (ct_moves(attr))
		return sizeof(uint64_t) + ct_motion_bytes(attr);
	return ct_payload_bytes(attr) - bounds * sizeof(CtWide);
}

static inline size_t
get_payload_bytes(const CtAttr *attr)
{
	return (get_value_bytes(attr) + PAYLOAD_ALIGN - 1) / PAYLOAD_ALIGN * PAYLOAD_ALIGN;
}

size_t
ct_base_bytes(const CtSchema *schema, const CtBase *base)
{
	size_t bytes = sizeof(CtBase);

	for (uint64_t rest = base->set & ~base->null; rest != 0; rest &= rest - 1)
		bytes += get_payload_bytes(&schema->attr[__builtin_ctzll(rest)]);
	return bytes;
}

/* ---- reading ----------------------------------------------------------------- */

/* Set a value from its payload in a base.  An image is not copied. */
static void
read_value(const CtReadContext *context, int i, CtValue *value, const uint8_t *payload)
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
	memcpy(cell.w, payload, get_value_bytes(&context->schema->attr[i]));
	ct_value_apply(context, i, value, CT_SET, cell.w);
}

static void
apply_base(const CtReadContext *context, const CtBase *base, CtState *state)
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
		read_value(context, i, &state->value[i], at);
		at += get_payload_bytes(&context->schema->attr[i]);
	}
}

/* Set the state of a key before the first event of its timeline. */
void
ct_timeline_begin(const CtReadContext *context, const CtTimeline *timeline, CtState *state)
{
	ct_state_initial(context->schema, state);
	if (timeline->base != 0)
		apply_base(context, ct_ptr(context->arena, timeline->base), state);
}

/* Set cells[] to what the base (0: none) has.  No cell depends on an earlier value. */
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
			memcpy(cells[i].w, at, get_value_bytes(&schema->attr[i]));
		at += get_payload_bytes(&schema->attr[i]);
	}
}

/* True if a cell of a base equals what a finish leaves. */
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

/* Return the head of a base that is made from these cells. */
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
write_base(const CtReadContext *context, CtBase *base, CtBase head, const CtCell *cells)
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
			memcpy(at, cells[i].w, get_value_bytes(&context->schema->attr[i]));
		at += get_payload_bytes(&context->schema->attr[i]);
	}
}

/* Free an out-of-line value, unless the attribute still refers to it. */
void
ct_apart_release(CtWriter *writer, CtRef ref, const CtCell *now)
{
	CT_ASSERT(ref == 0 || ((CtApart *) ct_ptr(writer->arena, ref))->bytes > 0); /* P3 */
	if (ref == 0 || (now->tag == CT_SET && now->ref == ref))
		return;
	ct_give(writer, ref, sizeof(CtApart) + ((CtApart *) ct_ptr(writer->arena, ref))->bytes);
}

/* Free the out-of-line values of `before` that `now` does not refer to. */
static void
release_cells(CtWriter *writer, const CtCell *before, const CtCell *now)
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
drop_base(CtWriter *writer, CtTimeline *timeline)
{
	if (timeline->base != 0)
		ct_give(writer, timeline->base,
				ct_base_bytes(writer->context.schema, ct_ptr(writer->arena, timeline->base)));
	timeline->base = 0;
}

/*
 * Replace the timeline's base, whose cells are `before`, by one with the cells
 * `after`; head NULL: by none.  False: no memory, and nothing was changed.
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
	release_cells(writer, before, after);
	if (ref != timeline->base)
		drop_base(writer, timeline);
	if (ref != 0)
		write_base(&writer->context, ct_ptr(writer->arena, ref), *head, after);
	timeline->base = ref;
	return true;
}

/* Free a timeline's base and its out-of-line values. */
void
ct_base_free(CtWriter *writer, CtTimeline *timeline)
{
	CtCell before[CT_MAX_ATTRS];
	CtCell none[CT_MAX_ATTRS];

	CT_ASSERT(timeline->recent == 0 && timeline->root == 0 && timeline->tail == 0);
	ct_base_cells(&writer->context, timeline->base, before);
	ct_base_cells(&writer->context, 0, none);
	release_cells(writer, before, none);
	drop_base(writer, timeline);
}
