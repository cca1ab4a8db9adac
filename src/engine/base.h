/*
 * base.h
 *	  Bases: the state that retention has folded the oldest events of a key into.
 *
 * Shared by base.c, retain.c (which makes bases), fold.c (which begins with one),
 * store.c and validate.c.
 */
#ifndef CT_BASE_H
#define CT_BASE_H

#include "engine/rule.h"
#include "engine/slot.h"

/*
 * A key's row before the first event of its timeline, if the row exists then.  The
 * payloads of the cells (cell.h) that are set and not NULL follow.
 */
typedef struct CtBase
{
	uint64_t set;  /* attributes that are not initial; */
	uint64_t null; /* of them, those that are NULL */
	int64_t time;  /* of the last folded event */
} CtBase;

void ct_timeline_begin(const CtReadContext *context, const CtTimeline *timeline, CtState *state);
size_t ct_base_bytes(const CtSchema *schema, const CtBase *base);
void ct_base_cells(const CtReadContext *context, CtRef base, CtCell *cells);
bool ct_base_is_initial(const CtAttr *attr, const CtCell *cell);
CtBase ct_base_head(const CtSchema *schema, const CtCell *cells);
bool ct_base_replace(CtWriter *writer, CtTimeline *timeline, const CtBase *head,
					 const CtCell *before, const CtCell *after) CT_MUST_CHECK;
void ct_base_free(CtWriter *writer, CtTimeline *timeline);
void ct_apart_release(CtWriter *writer, CtRef ref, const CtCell *now);

#endif /* CT_BASE_H */
