/*
 * algebra.c
 *	  Runs of events and their compositions, for tests of the rules by brute force.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "algebra.h"

void
made_of(const CtSchema *schema, const CtChange *change, int64_t time, const int64_t *value, Made *made)
{
	uint32_t bytes = 0;

	for (uint64_t rest = change->set & ~change->null; rest != 0; rest &= rest - 1)
	{
		memcpy(made->record + bytes, &value[__builtin_ctzll(rest)], sizeof(int64_t));
		bytes += sizeof(int64_t);
	}
	ct_layout_make(schema, change, 0, &made->layout);
	assert_int_equal(made->layout.bytes, bytes);
	made->item = (CtItem){time, &made->layout, made->record};
}

void
made_compose(const CtReadContext *context, OracleSource *source, const Made *event, uint32_t count, int attr,
			 CtCell *cell)
{
	uint32_t left = count > 1 ? 1 + oracle_below(source, count - 1) : 0;
	CtCell right;

	cell->tag = CT_KEEP;
	if (count == 1 && event->layout.kind == CT_FINISH)
		ct_cell_reset(&context->schema->attr[attr], cell);
	else if (count == 1 && ct_layout_touches(&event->layout, attr))
		ct_cell_of(context, &event->item, attr, cell);
	if (count <= 1)
		return;
	made_compose(context, source, event, left, attr, cell);
	made_compose(context, source, event + left, count - left, attr, &right);
	ct_cell_then(context, &context->schema->attr[attr], cell, &right);
}

CtWide
wide_of(__int128 number)
{
	return (CtWide){{(uint64_t) number, (uint64_t) (number >> 64), number < 0 ? UINT64_MAX : 0}};
}
