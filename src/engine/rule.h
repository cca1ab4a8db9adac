/*
 * rule.h
 *	  What events do to a state, how that composes, and how events are ordered.
 *
 * The inside of rule.c and event.c, for the rest of the engine.
 *
 * A summary is the composition of a run of events: for the row one action, for
 * each attribute a cell.  Cells lie one after another at offsets that depend
 * only on the attributes before, so a description with attributes appended
 * reads old summaries as they are: they are narrower (R4).
 */
#ifndef CT_RULE_H
#define CT_RULE_H

#include "engine.h"

/* What is needed to read events and summaries of one table. */
typedef struct CtShape
{
	const CtArena *arena;
	const CtSchema *schema;
	const uint32_t *cell; /* cell[a]: offset of attribute a in a summary;
						   * cell[nattrs]: the size of a summary */
} CtShape;

typedef enum CtAction
{
	CT_KEEP = 0,
	CT_SET, /* to a value: a number, or an event's image */
	CT_SET_NULL,
	CT_SET_INITIAL, /* of a last; numbers say which value it is */
	CT_CLAMP        /* x -> min(max(x + a, lo), hi) */
} CtAction;

/* The cell of a last. */
typedef struct CtLastCell
{
	uint32_t action;
	CtRef event; /* CT_SET: whose image it is */
} CtLastCell;

/* The cell of a sum, min or max. */
typedef struct CtNumberCell
{
	uint64_t action;
	CtWide a; /* CT_SET: the value */
	CtWide lo;
	CtWide hi;
} CtNumberCell;

typedef enum CtRowAction
{
	CT_ROW_KEEP = 0,
	CT_ROW_ABSENT,
	CT_ROW_PRESENT
} CtRowAction;

typedef struct CtSummary
{
	uint16_t nattrs; /* attributes it has cells for */
	uint8_t row;     /* CtRowAction */
	bool finish;     /* a finish is among its events */
	uint32_t unused;
	uint64_t cells[];
} CtSummary;

/*
 * While a state is folded, the image of a last is only remembered by its
 * event; ct_state_resolve() looks it up once, in the end.
 */
#define CT_VALUE_EVENT (CT_VALUE_IMAGE + 1)

/* event.c */
bool ct_change_valid(const CtSchema *schema, const CtChange *change);
const uint8_t *
ct_event_image(const CtSchema *schema, const CtEvent *event, int attr, uint32_t *bytes);
bool ct_event_has_id(const CtSchema *schema, const CtEvent *event);
int ct_event_cmp_identity(const CtSchema *schema, const CtEvent *a, const CtEvent *b);
int ct_event_cmp(const CtSchema *schema, const CtEvent *a, const CtEvent *b);

/* rule.c */
CtStatus ct_schema_check(const CtSchema *schema);
void ct_shape_layout(const CtSchema *schema, uint32_t *cell);

void ct_summary_clear(const CtShape *shape, CtSummary *summary);
void ct_summary_widen(const CtShape *shape, const CtSummary *from, CtSummary *to);
void ct_summary_add_event(const CtShape *shape, CtSummary *summary, CtRef event);
void ct_summary_add(const CtShape *shape, CtSummary *summary, const CtSummary *later);
bool ct_summary_overrides(const CtShape *shape, const CtSummary *summary, int attr);
bool ct_event_overrides(const CtShape *shape, const CtEvent *event, int attr);

void ct_state_initial(const CtSchema *schema, CtState *state);
void ct_state_add_event(const CtShape *shape, CtState *state, const CtEvent *event);
void ct_state_add(const CtShape *shape, CtState *state, const CtSummary *summary);
void ct_state_resolve(const CtSchema *schema, CtState *state);
bool ct_value_equal(const CtValue *a, const CtValue *b);

#endif /* CT_RULE_H */
