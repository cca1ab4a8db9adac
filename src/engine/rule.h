/*
 * rule.h
 *	  What events do to a state, and how that composes.
 *
 * Shared by rule.c and the rest of the engine.
 */
#ifndef CT_RULE_H
#define CT_RULE_H

#include "engine/cell.h"

/* Begin a sum of numbers that is NULL with its initial value, or 0. */
static inline void
ct_value_begin_sum(const CtAttr *attr, CtValue *value)
{
	if (value->kind == CT_VALUE_NUMBER)
		return;
	value->kind = CT_VALUE_NUMBER;
	value->number = attr->has_initial ? attr->initial : CT_WIDE_ZERO;
}

CtStatus ct_schema_check(const CtSchema *schema);

void ct_cell_of(const CtReadContext *context, const CtItem *item, int attr, CtCell *cell);
void ct_cell_reset(const CtAttr *attr, CtCell *cell);
void ct_cell_then(const CtReadContext *context, const CtAttr *attr, CtCell *f, const CtCell *g);
bool ct_cell_same(const CtAttr *attr, const CtCell *a, const CtCell *b);

void ct_state_initial(const CtSchema *schema, CtState *state);
void ct_value_initial(const CtSchema *schema, int attr, CtValue *value);
void ct_value_apply(const CtReadContext *context, int attr, CtValue *value, uint64_t tag,
					const void *payload);
void ct_value_set_cell(const CtReadContext *context, int attr, CtValue *value, const uint8_t *cell,
					   int64_t time);
void ct_value_raw(const CtReadContext *context, const CtItem *item, int attr, CtValue *value);
/*
 * Apply an event that is not a finish to one value.  An image is not copied: it
 * stays in the event's record.
 */
void ct_value_add_item(const CtReadContext *context, const CtItem *item, int attr, CtValue *value);
void ct_state_add_item(const CtReadContext *context, CtState *state, const CtItem *item);
void ct_state_show(const CtReadContext *context, CtState *state);
bool ct_value_equal(const CtValue *a, const CtValue *b);

#endif /* CT_RULE_H */
