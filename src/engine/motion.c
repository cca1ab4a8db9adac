/*
 * motion.c
 *	  The algebra of positions: attributes that move by the value of another one.
 *
 * While its rate is v, a position is at p + v * t.  An event at t that changes
 * the rate to w leaves the position where it is: p' = p + (v - w) * t.  One that
 * sets the position to y: p' = y - v * t.  So every event, and every run of
 * events, is an affine map of p and v, with coefficient 0 or 1 of p:
 *
 *	 p' = p + times * v + place      the position is kept or added to
 *	 p' =     times * v + place      it is set
 *	 v' = v | v + d | w | NULL
 *
 * and such maps compose to such maps.  NULL requires more of them:
 *
 *	* A rate that is NULL moves nothing.  When it is added to, it starts from its
 *	  initial value v0.  So there is another coefficient, of v0 (`begun`).
 *	* A sum that is NULL stays NULL until it is added to, and then starts from
 *	  its initial value x0, wherever the map would have moved it.  So there is
 *	  another map from then on (`restart`).
 *	* A row that is absent does not move, although its rate may be v0.  The first
 *	  event of its life starts it, so that event's instant is kept (`birth`).
 *
 * A finish is CT_SET_INITIAL.
 *
 * The cells of a position include the effect on the rate, and the folded value
 * includes the rate, so that attributes do not depend on each other (R3).
 *
 * Called by rule.c; by between.c to show folded positions.
 *
 * These are pure functions.
 *
 * Invariants:
 *	 R5  Everything is exact: the unit of p is so small that v * t is a whole
 *		 number, and a position is rounded only when it is shown.
 *	 R6  Coefficients are computed modulo 2^192.  The order of composition does
 *		 not matter, and shown values are always below 2^191: see
 *		 ct_rate_digits().
 *	 R7  Unused parts of a motion are 0: `begun` if v0 is 0, `restart` if
 *		 nothing is added, `birth` if the position is set (R4).
 *
 * Not here: which events touch a position (event.c, ct_layout_make()).
 */
#include "engine/motion.h"
#include "engine/rules.h"

#include <string.h>

#include "engine/cell.h"

#define MOST_SCALE 18
#define MOST_CLOCK_DIGITS 9

/* ---- units ------------------------------------------------------------------- */

/* Return the decimal digits of the distance that a rate moves in one instant. */
static inline int
get_move_scale(const CtSchema *schema, const CtAttr *attr)
{
	CT_ASSERT(attr->rate_attr >= 0 && attr->rate_attr < schema->nattrs);
	return schema->attr[attr->rate_attr].scale + schema->clock_digits;
}

/* Return the digits that a position has beyond those it shows. */
static inline int
get_hidden_digits(const CtSchema *schema, const CtAttr *attr)
{
	int digits = get_move_scale(schema, attr) - attr->scale;

	return digits > 0 ? digits : 0;
}

/* Return the digits that a position has beyond those of its moves. */
static inline int
get_move_digits(const CtSchema *schema, const CtAttr *attr)
{
	int digits = attr->scale - get_move_scale(schema, attr);

	return digits > 0 ? digits : 0;
}

/*
 * A shown position is the sum of two numbers.  At most 2^33 operands of less than
 * 2^63, with at most 27 hidden digits, are below 2^186.  The move in less than 2^64
 * instants may be up to 2^190, with the digits that moves lack.  A rate that is a
 * sum has up to 2^33 operands.
 *
 *	 last	10^digits		 * 2^64 <= 2^190: 37 digits
 *	 sum	10^digits * 2^33 * 2^64 <= 2^190: 27 digits
 */
int
ct_rate_digits(const CtSchema *schema, int i)
{
	const CtAttr *attr = &schema->attr[i];
	int digits = schema->attr[attr->rate_attr].rule == CT_RULE_SUM ? 27 : 37;

	CT_ASSERT(i >= 0 && i < schema->nattrs && attr->rate_attr >= 0);
	return digits - get_move_digits(schema, attr);
}

static bool
is_plain_number(const CtAttr *attr)
{
	return ct_rule_ops[attr->rule].moves && ct_is_number(attr) &&
		   attr->number != CT_NUMBER_INTERVAL && !attr->wide && !attr->linear && !attr->has_lower &&
		   !attr->has_upper && attr->scale <= MOST_SCALE;
}

bool
ct_motion_sound(const CtSchema *schema, const CtAttr *attr)
{
	const CtAttr *rate = &schema->attr[attr->rate_attr];

	return schema->has_rates && attr->rate_attr < schema->nattrs &&
		   schema->clock_digits <= MOST_CLOCK_DIGITS && is_plain_number(attr) &&
		   is_plain_number(rate) && !ct_moves(rate);
}

static inline CtInt128
get_initial_rate(const CtSchema *schema, const CtAttr *attr)
{
	const CtAttr *rate = &schema->attr[attr->rate_attr];

	return rate->has_initial ? (CtInt128) wide_low(rate->initial) : 0;
}

/* Return the initial position, or 0. */
static inline CtWide
get_initial_place(const CtSchema *schema, const CtAttr *attr)
{
	return attr->has_initial ? ct_wide_shift(attr->initial, get_hidden_digits(schema, attr))
							 : CT_WIDE_ZERO;
}

/* Add modulo 2^128, as a torn rate may be anything. */
static inline CtInt128
add_rates(CtInt128 a, CtInt128 b)
{
	return (CtInt128) ((unsigned __int128) a + (unsigned __int128) b);
}

static inline CtInt128
subtract_rates(CtInt128 a, CtInt128 b)
{
	return (CtInt128) ((unsigned __int128) a - (unsigned __int128) b);
}

/* Return how far a rate moves in `times` instants. */
static inline CtWide
move_by(const CtSchema *schema, const CtAttr *attr, CtInt128 rate, CtInt128 times)
{
	if (rate == 0 || times == 0)
		return CT_WIDE_ZERO;
	return ct_wide_shift(ct_wide_times(wide_from_int128(rate), wide_from_int128(times)),
						 get_move_digits(schema, attr));
}

/* ---- paths ------------------------------------------------------------------- */

static inline uint64_t
get_position_tag(uint64_t tag)
{
	return tag & 7;
}

static inline uint64_t
get_rate_tag(uint64_t tag)
{
	return tag >> 4 & 7;
}

static inline void
add_to_path(CtPath *path, const CtPath *other)
{
	path->place = wide_add(path->place, other->place);
	path->times += other->times;
	path->begun += other->begun;
}

/*
 * Return a path that begins after the rate has changed, as a function of the rate
 * before.
 */
static CtPath
delay_path(const CtSchema *schema, const CtAttr *attr, const CtPath *path, uint64_t tag,
		   CtInt128 rate)
{
	CtPath after = *path;

	switch (get_rate_tag(tag))
	{
		case CT_KEEP:
			return after;
		case CT_CHANGE:
			after.place = wide_add(path->place, move_by(schema, attr, rate, path->times));
			after.begun = get_initial_rate(schema, attr) == 0 ? 0 : path->times;
			return after;
		case CT_SET:
			after.place = wide_add(path->place, move_by(schema, attr, rate, path->times));
			break;
		default:
			after.place =
				wide_add(path->place,
						 move_by(schema, attr, get_initial_rate(schema, attr), path->begun));
			break;
	}
	after.times = after.begun = 0;
	return after;
}

/* ---- cells ------------------------------------------------------------------- */

/* Return what an event does to an attribute: a tag, and in *number its operand. */
static uint64_t
get_operation(const CtSchema *schema, int i, const CtItem *item, CtWide *number)
{
	const CtLayout *layout = item->layout;
	const CtAttr *attr = &schema->attr[i];

	*number = CT_WIDE_ZERO;
	if (!ct_layout_sets(layout, i))
		return CT_KEEP;
	if (ct_layout_nulls(layout, i))
		return CT_SET_NULL;
	*number = ct_cell_number(attr, item->record + ct_layout_offset(layout, i));
	return layout->kind == CT_SNAPSHOT || attr->rule == CT_RULE_LAST ? CT_SET : CT_CHANGE;
}

/* Set what an event does to the rate, and to p by that.  Return the rate's tag. */
static uint64_t
change_rate(const CtSchema *schema, const CtAttr *attr, const CtItem *item, CtMotion *motion)
{
	CtInt128 time = item->time;
	CtWide number;
	uint64_t tag = get_operation(schema, attr->rate_attr, item, &number);

	motion->rate = (CtInt128) wide_low(number);
	motion->path.place = move_by(schema, attr, motion->rate, -time);
	if (ct_tag_overrides(tag))
		motion->path.times = time;
	else if (tag == CT_CHANGE && get_initial_rate(schema, attr) != 0)
		motion->path.begun = -time;
	return tag;
}

/*
 * Set what an event does to the position itself.  motion->rate is set already.  Return
 * the tag.
 */
static uint64_t
change_position(const CtSchema *schema, int i, const CtItem *item, uint64_t cell_tag,
				CtMotion *motion)
{
	const CtAttr *attr = &schema->attr[i];
	CtPath to = {.times = -(CtInt128) item->time};
	CtWide number;
	uint64_t tag = get_operation(schema, i, item, &number);

	number = ct_wide_shift(number, get_hidden_digits(schema, attr));
	switch (tag)
	{
		case CT_KEEP:
			break;
		case CT_CHANGE:
			to.place = wide_add(get_initial_place(schema, attr), number);
			motion->path.place = wide_add(motion->path.place, number);
			motion->restart = delay_path(schema, attr, &to, cell_tag, motion->rate);
			break;
		case CT_SET:
			to.place = number;
			motion->path = delay_path(schema, attr, &to, cell_tag, motion->rate);
			break;
		default:
			motion->path = (CtPath){.times = 0};
			break;
	}
	return tag;
}

/* Set *cell to what an event does that is not a finish. */
void
ct_motion_of(const CtSchema *schema, int i, const CtItem *item, CtCell *cell)
{
	const CtAttr *attr = &schema->attr[i];
	CtMotion *motion = &cell->motion;
	uint64_t position;

	CT_ASSERT(ct_moves(attr));
	*motion = (CtMotion){.rate = 0};
	cell->tag = CT_MOTION_TAG(CT_KEEP, change_rate(schema, attr, item, motion));
	position = change_position(schema, i, item, cell->tag, motion);
	cell->tag |= position;
	if (!ct_tag_overrides(position) && ct_begins_moving(schema, attr))
		motion->birth = item->time;
}

/*
 * Make f "g after f" after a reset: the result is constant, as the value before g
 * is known.
 */
static void
compose_after_reset(const CtSchema *schema, const CtAttr *attr, CtCell *f, const CtCell *g)
{
	CtValue value;
	CtInt128 rate;

	ct_motion_initial(schema, attr, &value);
	ct_motion_apply(schema, attr, &value, g->tag, &g->motion);
	rate = (CtInt128) wide_low(value.extra);
	f->motion = (CtMotion){.rate = rate};
	if (value.kind == CT_VALUE_NUMBER)
		f->motion.path.place = value.number;
	f->tag = CT_MOTION_TAG(value.kind == CT_VALUE_NUMBER ? CT_SET : CT_SET_NULL,
						   value.extra.word[2] == CT_RATE_NUMBER ? CT_SET : CT_SET_NULL);
}

/* Compose the position's part of "g after f".  The rates are still those of f and g. */
static uint64_t
compose_position(const CtSchema *schema, const CtAttr *attr, CtCell *f, const CtCell *g)
{
	uint64_t before = get_position_tag(f->tag);
	uint64_t after = get_position_tag(g->tag);
	bool sum = attr->rule == CT_RULE_SUM;
	CtPath path = delay_path(schema, attr, &g->motion.path, f->tag, f->motion.rate);
	CtPath restart = {.times = 0};

	if (after == CT_CHANGE && (before == CT_KEEP || before == CT_SET_NULL))
		restart = delay_path(schema, attr, &g->motion.restart, f->tag, f->motion.rate);
	if (ct_tag_overrides(after))
	{
		f->motion.path = path;
		if (sum)
			f->motion.restart = (CtPath){.times = 0};
		return after;
	}
	if (before == CT_SET_NULL)
	{
		if (after == CT_KEEP)
			return before;
		f->motion.path = restart;
		return CT_SET;
	}
	add_to_path(&f->motion.path, &path);
	if (before == CT_CHANGE)
		add_to_path(&f->motion.restart, &path);
	if (before != CT_KEEP)
		return before;
	if (sum)
		f->motion.restart = restart;
	return after;
}

static uint64_t
compose_rate(const CtSchema *schema, const CtAttr *attr, CtCell *f, const CtCell *g)
{
	uint64_t before = get_rate_tag(f->tag);
	uint64_t after = get_rate_tag(g->tag);

	if (after == CT_KEEP)
		return before;
	if (after == CT_CHANGE && before == CT_SET_NULL)
		f->motion.rate = get_initial_rate(schema, attr) + g->motion.rate;
	else if (after == CT_CHANGE)
		f->motion.rate += g->motion.rate;
	else
		f->motion.rate = g->motion.rate;
	return after == CT_CHANGE && before != CT_KEEP
			   ? (before == CT_SET_NULL ? (uint64_t) CT_SET : before)
			   : after;
}

/* Make f "g after f", where g is a motion and f is not CT_KEEP. */
void
ct_motion_then(const CtSchema *schema, const CtAttr *attr, CtCell *f, const CtCell *g)
{
	uint64_t position;
	uint64_t rate;

	CT_ASSERT(g->tag >= CT_MOTION && f->tag != CT_KEEP);
	if (f->tag == CT_SET_INITIAL)
	{
		compose_after_reset(schema, attr, f, g);
		return;
	}
	position = compose_position(schema, attr, f, g);
	rate = compose_rate(schema, attr, f, g);
	f->tag = CT_MOTION_TAG(position, rate);
	if (ct_tag_overrides(position))
		f->motion.birth = 0;
}

bool
ct_motion_same(const CtAttr *attr, const CtCell *a, const CtCell *b)
{
	CT_ASSERT(ct_moves(attr) && a->tag == b->tag);
	return memcmp(&a->motion, &b->motion, ct_motion_bytes(attr)) == 0;
}

/* ---- values ------------------------------------------------------------------ */

void
ct_motion_initial(const CtSchema *schema, const CtAttr *attr, CtValue *value)
{
	bool has_rate = schema->attr[attr->rate_attr].has_initial;

	CT_ASSERT(ct_moves(attr));
	value->kind = attr->has_initial ? CT_VALUE_NUMBER : CT_VALUE_NULL;
	value->number = get_initial_place(schema, attr);
	value->extra = wide_from_int128(get_initial_rate(schema, attr));
	value->extra.word[2] = ct_begins_moving(schema, attr) ? CT_RATE_ABSENT
						   : has_rate                     ? CT_RATE_NUMBER
														  : CT_RATE_NULL;
}

static inline CtWide
get_path_end(const CtSchema *schema, const CtAttr *attr, const CtPath *path, const CtValue *value)
{
	CtInt128 rate = (CtInt128) wide_low(value->extra);
	CtWide way = value->extra.word[2] == CT_RATE_NUMBER
					 ? move_by(schema, attr, rate, path->times)
					 : move_by(schema, attr, get_initial_rate(schema, attr), path->begun);

	return wide_add(path->place, way);
}

static void
apply_rate(const CtSchema *schema, const CtAttr *attr, CtValue *value, uint64_t tag, CtInt128 rate)
{
	if (tag == CT_KEEP)
		return;
	if (tag == CT_CHANGE)
		rate = add_rates(rate, value->extra.word[2] == CT_RATE_NUMBER
								   ? (CtInt128) wide_low(value->extra)
								   : get_initial_rate(schema, attr));
	value->extra = wide_from_int128(tag == CT_SET_NULL ? 0 : rate);
	value->extra.word[2] = tag == CT_SET_NULL ? CT_RATE_NULL : CT_RATE_NUMBER;
}

/* Start a row at the first event of its life, at the instant `birth`. */
static inline void
start_moving(const CtSchema *schema, const CtAttr *attr, CtValue *value, int64_t birth)
{
	if (value->extra.word[2] != CT_RATE_ABSENT)
		return;
	value->extra.word[2] = CT_RATE_NUMBER;
	value->number =
		wide_subtract(value->number,
					  move_by(schema, attr, (CtInt128) wide_low(value->extra), birth));
}

void
ct_motion_apply(const CtSchema *schema, const CtAttr *attr, CtValue *value, uint64_t tag,
				const CtMotion *motion)
{
	start_moving(schema, attr, value, motion->birth);
	switch (get_position_tag(tag))
	{
		case CT_SET_NULL:
			value->kind = CT_VALUE_NULL;
			break;
		case CT_SET:
			value->number = get_path_end(schema, attr, &motion->path, value);
			value->kind = CT_VALUE_NUMBER;
			break;
		default:
			if (value->kind == CT_VALUE_NUMBER)
				value->number =
					wide_add(value->number, get_path_end(schema, attr, &motion->path, value));
			else if (get_position_tag(tag) == CT_CHANGE)
			{
				value->number = get_path_end(schema, attr, &motion->restart, value);
				value->kind = CT_VALUE_NUMBER;
			}
			break;
	}
	apply_rate(schema, attr, value, get_rate_tag(tag), motion->rate);
}

/* Return how fast a position moves; 0 without a rate. */
static inline CtInt128
get_speed(const CtValue *value)
{
	return value->extra.word[2] == CT_RATE_NUMBER ? (CtInt128) wide_low(value->extra) : 0;
}

/* Apply an event that is not a finish to a value, without making a cell. */
void
ct_motion_add(const CtSchema *schema, int i, const CtItem *item, CtValue *value)
{
	const CtAttr *attr = &schema->attr[i];
	CtWide number;
	uint64_t tag;
	CtInt128 before;
	CtInt128 after;

	CT_ASSERT(ct_moves(attr));
	start_moving(schema, attr, value, item->time);
	before = get_speed(value);
	tag = get_operation(schema, attr->rate_attr, item, &number);
	apply_rate(schema, attr, value, tag, (CtInt128) wide_low(number));
	after = get_speed(value);
	tag = get_operation(schema, i, item, &number);
	if (tag == CT_SET_NULL)
		value->kind = CT_VALUE_NULL;
	else if (tag == CT_SET || (tag == CT_CHANGE && value->kind == CT_VALUE_NULL))
	{
		value->kind = CT_VALUE_NUMBER;
		value->number = tag == CT_SET ? CT_WIDE_ZERO : get_initial_place(schema, attr);
		before = 0;
	}
	if (value->kind == CT_VALUE_NULL)
		return;
	if (tag != CT_KEEP)
		value->number =
			wide_add(value->number, ct_wide_shift(number, get_hidden_digits(schema, attr)));
	if (before != after)
		value->number =
			wide_add(value->number,
					 move_by(schema, attr, subtract_rates(before, after), item->time));
}

/* Replace a folded position by the one at the instant. */
void
ct_motion_show(const CtSchema *schema, const CtAttr *attr, CtValue *value, int64_t time)
{
	if (value->kind == CT_VALUE_NUMBER)
	{
		if (value->extra.word[2] == CT_RATE_NUMBER)
			value->number =
				wide_add(value->number,
						 move_by(schema, attr, (CtInt128) wide_low(value->extra), time));
		value->number = ct_wide_round(value->number, get_hidden_digits(schema, attr));
	}
	value->extra = CT_WIDE_ZERO;
}

/* True if two folded positions and their rates are the same.  *same_rate: the rates are. */
bool
ct_motion_equal(const CtValue *a, const CtValue *b, bool *same_rate)
{
	*same_rate = a->extra.word[2] == b->extra.word[2] &&
				 (a->extra.word[2] == CT_RATE_NULL || wide_same(a->extra, b->extra));
	return *same_rate && a->kind == b->kind &&
		   (a->kind == CT_VALUE_NULL || wide_same(a->number, b->number));
}
