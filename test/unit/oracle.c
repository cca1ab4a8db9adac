/*
 * oracle.c
 *	  The naive model, and random transactions on it.
 *
 * The model keeps every event and has no summaries.  The state of a key at T
 * under a snapshot is computed from all events ever added: those whose
 * transaction has committed and is visible, one of each identity, are sorted and
 * applied.  Columns that change between events are computed with numbers of 144
 * decimal digits.  With retention, instants that are no longer retained are not
 * read.  With retractions, transactions behave as for rows of a table: they
 * retract events that they see and that no other transaction has retracted, and no
 * two events that exist have one identity.
 */
#include "oracle.h"

#include "engine/writer.h"
#include "engine/timeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_ATTRS 16
#define MAX_IMAGE 48
#define MAX_TRANSACTIONS 6
#define MAX_SNAPSHOTS 5
#define MAX_READINGS 64
#define MOST_ENTERED 100
#define NUMBER_NAN ((__int128) (((unsigned __int128) 1 << 127) - 1))

/* Sign and magnitude, in base 10^9, least significant first. */
#define BIG_LIMBS 16
#define BIG_BASE 1000000000U

typedef struct Big
{
	bool minus;
	uint32_t limb[BIG_LIMBS];
} Big;

/* Calls of the engine that do or read something. */
static uint64_t operations;

#define ct_store_add(...) (operations++, ct_store_add(__VA_ARGS__))
#define ct_store_enter(...) (operations++, ct_store_enter(__VA_ARGS__))
#define ct_store_drop(...) (operations++, ct_store_drop(__VA_ARGS__))
#define ct_store_settle(...) (operations++, ct_store_settle(__VA_ARGS__))
#define ct_store_retain(...) (operations++, ct_store_retain(__VA_ARGS__))
#define ct_timeline_fold(...) (operations++, ct_timeline_fold(__VA_ARGS__))
#define ct_timeline_visit(...) (operations++, ct_timeline_visit(__VA_ARGS__))
#define ct_timeline_latest(...) (operations++, ct_timeline_latest(__VA_ARGS__))
#define ct_timeline_step(...) (operations++, ct_timeline_step(__VA_ARGS__))
#define ct_timeline_unload(...) (operations++, ct_timeline_unload(__VA_ARGS__))

uint64_t
oracle_operations(void)
{
	return operations;
}

typedef struct ModelValue
{
	bool set; /* in an event: touched */
	bool null;
	__int128 number; /* of what has one */
	int64_t days;    /* of an interval */
	int64_t months;
	uint32_t bytes;
	uint8_t image[MAX_IMAGE];
} ModelValue;

typedef struct ModelEvent
{
	uint32_t key;
	int64_t time;
	uint8_t kind;
	uint64_t top;
	uint64_t xid;
	uint32_t cid;       /* no other event has it */
	bool entered;       /* or waits, since its duplicate has */
	uint8_t late;       /* when it entered; or UNKNOWN */
	uint64_t taken_top; /* who took it back last, perhaps in vain; 0: nobody */
	uint64_t taken_xid;
	uint64_t set;
	uint64_t null;
	ModelValue value[MAX_ATTRS];
} ModelEvent;

#define UNKNOWN 2

typedef struct ModelState
{
	bool present;
	ModelValue value[MAX_ATTRS];
	int64_t time;           /* of the last event */
	Big place[MAX_ATTRS];   /* where what moves was then, in the finest units */
	bool is_set[MAX_ATTRS]; /* in this life, to a value */
	int64_t since[MAX_ATTRS];
} ModelState;

typedef struct ModelAttr
{
	uint8_t rule;
	uint8_t image;
	uint8_t number;
	int scale;
	int length;
	bool wide;
	bool has_lower;
	bool has_upper;
	int lower;
	int upper;
	bool linear;
	int rate; /* attribute by which it moves, or 0 */
	bool is_rate;
	ModelValue initial; /* null: none */
} ModelAttr;

typedef enum KnownStatus
{
	RUNNING,
	COMMITTED,
	ABORTED
} KnownStatus;

typedef struct Transaction
{
	uint64_t top;
	uint64_t xid; /* the current (sub)transaction */
	uint64_t subxid[8];
	int nsubxids;
	uint64_t wrote;   /* the one that wrote last, */
	bool wrote_once;  /* and had not before others did */
	uint32_t writers; /* that have written: bits of `subxid`, and the top one's */
} Transaction;

typedef struct HeldSnapshot
{
	CtSnapshot snapshot;
	uint64_t xip[MAX_TRANSACTIONS];
} HeldSnapshot;

/* An answer that was given, and whether its change was reported since. */
typedef struct Reading
{
	uint32_t key;
	int64_t time;
	int nattrs;
	uint64_t hash;
	bool told;
} Reading;

struct Oracle
{
	OracleSource *source;
	OracleSettings settings;
	void *base;
	CtArena arena;
	CtRef store;
	CtSchema *schema;
	int nattrs;    /* of the description in force */
	int all_attrs; /* when every ALTER is done */
	int id_attr;
	bool id_first;
	bool id_of_key;
	int clock_digits;
	bool sparse;    /* events set little */
	bool plain;     /* sums and lasts; what sets a sum, or ends a life, is rare */
	bool alike;     /* and most events set everything */
	int64_t origin; /* instants are stride apart */
	int64_t stride;
	ModelAttr attr[MAX_ATTRS];
	ModelEvent *event;
	uint32_t nevents;
	uint32_t room;
	uint8_t *xact_status; /* by transaction id */
	uint64_t next_xid;
	uint64_t status_slot;
	Transaction transaction[MAX_TRANSACTIONS];
	int ntransactions;
	HeldSnapshot held[MAX_SNAPSHOTS];
	int nheld;
	Reading reading[MAX_READINGS];
	uint32_t nreadings; /* ever: they go in circles */
	uint64_t horizon;
	int64_t served;
	int64_t start;    /* events fall on instants from this number on, */
	int64_t retained; /* and reads on those from here on */
	uint64_t steps;
	uint32_t walk;   /* position of a walk over timelines */
	uint64_t walked; /* keys met by it, and */
	uint64_t due;    /* keys it must meet: below 64 */
};

_Noreturn void
oracle_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
	abort();
}

/* ---- memory that runs out ---------------------------------------------------- */

/*
 * The linker sends the engine's allocations here (-Wl,--wrap=ct_alloc): after
 * `fail_after` more of them, `fail_count` fail.
 */
CtRef __real_ct_alloc(CtArena *arena, size_t bytes, bool upkeep);
CtRef __wrap_ct_alloc(CtArena *arena, size_t bytes, bool upkeep);

static uint32_t fail_after;
static uint32_t fail_count;

void
oracle_fail_allocations(uint32_t after, uint32_t count)
{
	fail_after = after;
	fail_count = count;
}

CtRef
__wrap_ct_alloc(CtArena *arena, size_t bytes, bool upkeep)
{
	if (fail_count > 0 && fail_after-- == 0)
	{
		fail_after = 0;
		fail_count--;
		return 0;
	}
	return __real_ct_alloc(arena, bytes, upkeep);
}

/* ---- choices ----------------------------------------------------------------- */

static uint64_t
next_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

uint32_t
oracle_below(OracleSource *source, uint32_t n)
{
	uint32_t choice = 0;

	if (source->data == NULL)
		return (uint32_t) (next_random(&source->random) % n);
	for (uint32_t span = n - 1;; span >>= 8)
	{
		if (source->at == source->size)
		{
			source->ended = true;
			return choice % n;
		}
		choice = choice << 8 | source->data[source->at++];
		if (span < 256)
			return choice % n;
	}
}

OracleSource
oracle_random(uint64_t seed)
{
	OracleSource source = {.random = seed};

	return source;
}

OracleSource
oracle_bytes(const uint8_t *data, size_t size)
{
	OracleSource source = {.data = data, .size = size};

	return source;
}

uint64_t
oracle_seed(int argc, char **argv)
{
	const char *given = argc > 1 ? argv[1] : getenv("CT_SEED");
	uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t) time(NULL);

	printf("CT_SEED=%llu\n", (unsigned long long) seed);
	fflush(stdout);
	return seed;
}

static uint32_t
pick(Oracle *o, uint32_t n)
{
	return oracle_below(o->source, n);
}

static bool
one_in(Oracle *o, uint32_t n)
{
	return pick(o, n) == 0;
}

/* Instant number n; below the first and above the last number, the first and last instant. */
static int64_t
instant(const Oracle *o, int64_t n)
{
	__int128 time = o->origin + (__int128) n * o->stride;

	time = time > INT64_MIN ? time : INT64_MIN;
	return time < INT64_MAX ? (int64_t) time : INT64_MAX - 1;
}

/* ---- big numbers ------------------------------------------------------------- */

static Big
big_of(__int128 number)
{
	Big big = {.minus = number < 0};
	unsigned __int128 rest = number < 0 ? -(unsigned __int128) number : (unsigned __int128) number;

	for (int i = 0; i < BIG_LIMBS; i++, rest /= BIG_BASE)
		big.limb[i] = (uint32_t) (rest % BIG_BASE);
	return big;
}

static int
big_cmp_magnitude(const Big *a, const Big *b)
{
	for (int i = BIG_LIMBS - 1; i >= 0; i--)
	{
		if (a->limb[i] != b->limb[i])
			return a->limb[i] < b->limb[i] ? -1 : 1;
	}
	return 0;
}

static Big
big_add(Big a, Big b)
{
	int64_t carry = 0;

	if (a.minus != b.minus && big_cmp_magnitude(&a, &b) < 0)
		return big_add(b, a);
	for (int i = 0; i < BIG_LIMBS; i++)
	{
		carry += a.limb[i] + (a.minus == b.minus ? (int64_t) b.limb[i] : -(int64_t) b.limb[i]);
		a.limb[i] = (uint32_t) ((carry + BIG_BASE) % BIG_BASE);
		carry = carry < 0 ? -1 : carry / BIG_BASE;
	}
	ORACLE_REQUIRE(carry == 0);
	return a;
}

static Big
big_times(Big a, Big b)
{
	Big product = {.minus = a.minus != b.minus};

	for (int i = 0; i < BIG_LIMBS; i++)
	{
		uint64_t carry = 0;

		for (int j = 0; a.limb[i] != 0 && i + j < BIG_LIMBS; j++)
		{
			carry += product.limb[i + j] + (uint64_t) a.limb[i] * b.limb[j];
			product.limb[i + j] = (uint32_t) (carry % BIG_BASE);
			carry /= BIG_BASE;
		}
		ORACLE_REQUIRE(carry == 0);
	}
	return product;
}

static Big
big_shift(Big a, int digits)
{
	while (digits-- > 0)
		a = big_times(a, big_of(10));
	return a;
}

/* Half away from zero. */
static Big
big_over(Big a, unsigned __int128 divisor)
{
	unsigned __int128 rest = 0;

	for (int i = BIG_LIMBS - 1; i >= 0; i--)
	{
		rest = rest * BIG_BASE + a.limb[i];
		a.limb[i] = (uint32_t) (rest / divisor);
		rest %= divisor;
	}
	return 2 * rest >= divisor ? big_add(a, big_of(a.minus ? -1 : 1)) : a;
}

static Big
big_round(Big a, int digits)
{
	unsigned __int128 power = 1;

	while (digits-- > 0)
		power *= 10;
	return big_over(a, power);
}

static CtWide
big_wide(const Big *a)
{
	CtWide wide = {{0, 0, 0}};

	for (int i = BIG_LIMBS - 1; i >= 0; i--)
	{
		unsigned __int128 carry = a->limb[i];

		for (int j = 0; j < 3; j++)
		{
			carry += (unsigned __int128) wide.word[j] * BIG_BASE;
			wide.word[j] = (uint64_t) carry;
			carry >>= 64;
		}
		ORACLE_REQUIRE(carry == 0);
	}
	ORACLE_REQUIRE(wide.word[2] >> 63 == 0);
	for (int j = 0, carry = 1; j < 3 && a->minus; j++)
	{
		wide.word[j] = ~wide.word[j] + (uint64_t) carry;
		carry = carry && wide.word[j] == 0;
	}
	return wide;
}

/* ---- values ------------------------------------------------------------------ */

uint32_t
oracle_numeric(__int128 value, int scale, uint8_t *image)
{
	bool negative = value < 0;
	unsigned __int128 rest = negative ? -(unsigned __int128) value : (unsigned __int128) value;
	int16_t digit[24];
	int ndigits = 0;
	int weight;
	int first = 0;
	uint16_t header;

	/* align to groups of four decimals, then cut from the right */
	for (int i = scale; i % 4 != 0; i++)
		rest *= 10;
	for (; rest != 0; rest /= 10000)
		digit[ndigits++] = (int16_t) (rest % 10000);
	weight = ndigits - (scale + 3) / 4 - 1;
	while (first < ndigits && digit[first] == 0)
		first++;
	if (ndigits == 0)
		weight = 0;
	header = (uint16_t) (0x8000 | (negative ? 0x2000 : 0) | scale << 7 | (weight < 0 ? 0x40 : 0) | (weight & 0x3F));
	memcpy(image, &header, 2);
	for (int i = ndigits - 1; i >= first; i--)
		memcpy(image + 2 + 2 * (ndigits - 1 - i), &digit[i], 2);
	return (uint32_t) (2 + 2 * (ndigits - first));
}

static __int128
random_number(Oracle *o, const ModelAttr *attr)
{
	__int128 small = (int) pick(o, 41) - 20;

	if (!one_in(o, o->plain ? 400 : 8))
		return small;
	if (attr->number == CT_NUMBER_NUMERIC && attr->rule == CT_RULE_LAST && one_in(o, 3) && !attr->linear &&
		!attr->is_rate && attr->rate == 0)
		return NUMBER_NAN;
	if (attr->number == CT_NUMBER_INT || attr->number == CT_NUMBER_INTERVAL)
		return (one_in(o, 2) ? INT64_MAX - pick(o, 3) : INT64_MIN + pick(o, 3)) >> pick(o, 4);
	if (attr->number == CT_NUMBER_NUMERIC && attr->rule >= CT_RULE_MIN && one_in(o, 3))
		return NUMBER_NAN;
	for (uint32_t i = pick(o, 9); i > 0; i--)
		small *= 10;
	if (!attr->wide)
		return small * 10000000;
	return small * 1000000000000000000 * (one_in(o, 2) ? 1 : 100000000);
}

static void
interval_image(Oracle *o, ModelValue *value)
{
	int64_t microseconds = (int64_t) value->number;
	int32_t days = one_in(o, 5) ? INT32_MIN : (int) pick(o, 9) - 4;
	int32_t months = one_in(o, 5) ? INT32_MAX : (int) pick(o, 9) - 4;

	memcpy(value->image, &microseconds, 8);
	memcpy(value->image + 8, &days, 4);
	memcpy(value->image + 12, &months, 4);
	value->bytes = 16;
	value->days = days;
	value->months = months;
}

/* The image of a number as it is passed to the engine. */
static void
number_image(Oracle *o, const ModelAttr *attr, ModelValue *value)
{
	int64_t word = (int64_t) value->number;
	uint64_t magnitude = word < 0 ? 0 - (uint64_t) word : (uint64_t) word;
	uint64_t scaled = (word < 0 ? UINT64_C(1) << 63 : 0) | magnitude;

	switch (attr->number)
	{
		case CT_NUMBER_INT:
			memcpy(value->image, &word, value->bytes = 8);
			break;
		case CT_NUMBER_SCALED:
			memcpy(value->image, &scaled, value->bytes = 8);
			break;
		case CT_NUMBER_INTERVAL:
			interval_image(o, value);
			break;
		default:
			if (value->number == NUMBER_NAN)
				memcpy(value->image, "\0\xC0", value->bytes = 2);
			else
				value->bytes = oracle_numeric(value->number, attr->scale, value->image);
			break;
	}
}

static void
random_value(Oracle *o, const ModelAttr *attr, ModelValue *value)
{
	memset(value, 0, sizeof(*value));
	value->set = true;
	if (attr->number != CT_NUMBER_NONE)
	{
		value->number = random_number(o, attr);
		number_image(o, attr, value);
		return;
	}
	value->bytes = attr->image == CT_IMAGE_WORD    ? 8
				   : attr->image == CT_IMAGE_FIXED ? (uint32_t) attr->length
												   : pick(o, 4);
	for (uint32_t i = 0; i < value->bytes && i < 3; i++)
		value->image[i] = (uint8_t) (pick(o, 3) * 127);
}

/* ---- descriptions ------------------------------------------------------------ */

static CtSchema *make_schema(const Oracle *o, int nattrs);

static void
random_initial(Oracle *o, ModelAttr *attr)
{
	attr->initial = (ModelValue){.null = true};
	if (one_in(o, 2))
		return;
	random_value(o, attr, &attr->initial);
	if (attr->number != CT_NUMBER_NONE)
		attr->initial.number = (int) pick(o, 4);
}

static void
random_attr(Oracle *o, ModelAttr *attr)
{
	memset(attr, 0, sizeof(*attr));
	attr->rule = (uint8_t) (CT_RULE_LAST + pick(o, 5));
	attr->image = (uint8_t) pick(o, 3);
	attr->length = one_in(o, 2) ? 5 : 33;
	attr->initial.null = true;
	if (attr->rule == CT_RULE_SUM)
		attr->number = (uint8_t) (CT_NUMBER_INT + pick(o, 4));
	else if (one_in(o, 2))
		attr->number = (uint8_t) (CT_NUMBER_INT + pick(o, 3));
	else if (attr->rule == CT_RULE_MIN || attr->rule == CT_RULE_MAX)
		attr->image = CT_IMAGE_VAR;
	if (attr->number != CT_NUMBER_NONE)
	{
		attr->image = attr->number == CT_NUMBER_NUMERIC    ? CT_IMAGE_VAR
					  : attr->number == CT_NUMBER_INTERVAL ? CT_IMAGE_FIXED
														   : CT_IMAGE_WORD;
		attr->length = 16;
		attr->scale = attr->number == CT_NUMBER_NUMERIC ? (int) pick(o, 6) : 0;
		attr->wide = attr->number == CT_NUMBER_NUMERIC && one_in(o, 2);
	}
	if (attr->rule == CT_RULE_SUM && attr->number != CT_NUMBER_INTERVAL)
	{
		attr->has_lower = one_in(o, 2);
		attr->has_upper = one_in(o, 2);
		attr->lower = -(int) pick(o, 30);
		attr->upper = 3 + (int) pick(o, 30);
	}
	attr->linear = attr->rule == CT_RULE_LAST && attr->number != CT_NUMBER_NONE && one_in(o, 2);
	random_initial(o, attr);
	if (attr->rule == CT_RULE_FIRST)
		attr->initial.null = true;
}

/* An attribute with the rule sum, or last. */
static void
random_plain_attr(Oracle *o, ModelAttr *attr)
{
	memset(attr, 0, sizeof(*attr));
	attr->rule = one_in(o, 2) ? CT_RULE_LAST : CT_RULE_SUM;
	attr->image = attr->rule == CT_RULE_LAST ? (uint8_t) pick(o, 3) : CT_IMAGE_WORD;
	attr->length = one_in(o, 2) ? 5 : 33;
	if (attr->rule == CT_RULE_SUM && one_in(o, 4))
	{
		attr->number = CT_NUMBER_NUMERIC;
		attr->image = CT_IMAGE_VAR;
		attr->wide = one_in(o, 2);
	}
	else if (attr->rule == CT_RULE_SUM)
		attr->number = CT_NUMBER_INT;
	random_initial(o, attr);
}

/* A number that can have a rate, or be one. */
static void
random_mover(Oracle *o, ModelAttr *attr)
{
	memset(attr, 0, sizeof(*attr));
	attr->rule = one_in(o, 2) ? CT_RULE_LAST : CT_RULE_SUM;
	attr->number = (uint8_t) (CT_NUMBER_INT + pick(o, 3));
	attr->image = attr->number == CT_NUMBER_NUMERIC ? CT_IMAGE_VAR : CT_IMAGE_WORD;
	if (attr->number != CT_NUMBER_INT)
		attr->scale = one_in(o, 3) ? (int) pick(o, 19) : (int) pick(o, 4);
	random_initial(o, attr);
}

/* A position and its rate; the engine checks whether it is allowed. */
static void
random_motion(Oracle *o, int position, int rate)
{
	CtSchema *schema;

	if (position == rate || o->attr[position].is_rate || o->attr[rate].rate != 0)
		return;
	if (!o->attr[rate].is_rate)
		random_mover(o, &o->attr[rate]);
	o->attr[rate].is_rate = true;
	random_mover(o, &o->attr[position]);
	o->attr[position].rate = rate;
	schema = make_schema(o, o->nattrs);
	while (ct_rate_digits(schema, position) < 19)
		schema->attr[position].scale = (uint8_t) --o->attr[position].scale;
	free(schema);
}

static CtWide
wide_of(__int128 number)
{
	CtWide wide = {{(uint64_t) number, (uint64_t) (number >> 64), number < 0 ? UINT64_MAX : 0}};

	return number == NUMBER_NAN ? CT_WIDE_NAN : wide;
}

static CtWide
lanes_of(const ModelValue *value)
{
	return (CtWide){{(uint64_t) value->days, (uint64_t) value->months, 0}};
}

static CtSchema *
make_schema(const Oracle *o, int nattrs)
{
	size_t size = sizeof(CtSchema) + (size_t) nattrs * sizeof(CtAttr);
	CtSchema *schema = calloc(1, size + MAX_ATTRS * MAX_IMAGE);

	schema->nattrs = (uint16_t) nattrs;
	schema->id_attr = (int8_t) o->id_attr;
	schema->id_first = o->id_first;
	schema->id_of_key = o->id_of_key;
	schema->clock_digits = (uint8_t) o->clock_digits;
	for (int i = 0; i < nattrs; i++)
	{
		const ModelAttr *from = &o->attr[i];
		CtAttr *to = &schema->attr[i];

		to->rule = from->rule;
		to->image = from->image;
		to->number = from->number;
		to->scale = (uint8_t) from->scale;
		to->length = (int16_t) from->length;
		to->wide = from->wide;
		to->linear = from->linear;
		to->rate_attr = (int8_t) (from->rate > 0 ? from->rate : -1);
		schema->has_rates |= from->rate > 0;
		to->has_lower = from->has_lower;
		to->has_upper = from->has_upper;
		to->lower = wide_of(from->lower);
		to->upper = wide_of(from->upper);
		to->initial_extra = lanes_of(&from->initial);
		to->has_initial = !from->initial.null && from->rule != CT_RULE_NONE;
		to->initial = wide_of(from->initial.number);
		to->initial_offset = (uint32_t) size;
		to->initial_bytes = from->initial.bytes;
		memcpy((char *) schema + size, from->initial.image, from->initial.bytes);
		size += from->initial.bytes;
	}
	schema->size = (uint32_t) size;
	if (o->id_attr >= 0)
		schema->id_order = o->attr[o->id_attr].image != CT_IMAGE_WORD ? CT_ORDER_BYTES
						   : o->attr[o->id_attr].length == 1          ? CT_ORDER_UNSIGNED
																	  : CT_ORDER_SIGNED;
	return schema;
}

static void
random_schema(Oracle *o)
{
	o->nattrs = 3 + (int) pick(o, 6);
	o->all_attrs = o->nattrs + (int) pick(o, 4);
	o->id_attr = one_in(o, 4) ? -1 : 2;
	o->id_first = o->id_attr >= 0 && one_in(o, 2);
	o->id_of_key = o->id_attr >= 0 && !o->settings.retract && one_in(o, 3);
	for (int i = 0; i < o->all_attrs; i++)
	{
		if (o->plain)
			random_plain_attr(o, &o->attr[i]);
		else
			random_attr(o, &o->attr[i]);
	}
	for (int i = 0; i < 2; i++)
		o->attr[i] = (ModelAttr){.rule = CT_RULE_NONE, .initial.null = true};
	if (o->id_attr >= 0)
		o->attr[2] = (ModelAttr){.rule = CT_RULE_LAST,
								 .image = (uint8_t) pick(o, 3),
								 .length = 1 + (int) pick(o, 2),
								 .initial.null = true};
	for (uint32_t i = !o->plain && one_in(o, 2) ? 1 + pick(o, 4) : 0; i > 0 && o->nattrs > 4; i--)
		random_motion(o, 3 + (int) pick(o, (uint32_t) o->nattrs - 3), 3 + (int) pick(o, (uint32_t) o->nattrs - 3));
	o->schema = make_schema(o, o->nattrs);
}

/* Ticks, timestamps far apart, or from one end of time to the other. */
static void
random_clock(Oracle *o)
{
	static const int64_t stride[] = {1, 1000003, 60000000};
	uint32_t kind = pick(o, 4);

	o->clock_digits = one_in(o, 2) ? 6 : 0;
	o->stride = kind < 3 ? stride[kind] : 2 * (INT64_MAX / (o->settings.instants + 4));
	o->origin = kind < 3 ? (int64_t) pick(o, 3) * -10 * o->stride : INT64_MIN;
}

/* ---- the naive fold ---------------------------------------------------------- */

static int
cmp_values(const ModelAttr *attr, const ModelValue *a, const ModelValue *b)
{
	uint32_t common = a->bytes < b->bytes ? a->bytes : b->bytes;
	int order;

	if (attr->image == CT_IMAGE_WORD)
	{
		uint64_t x, y;

		memcpy(&x, a->image, 8);
		memcpy(&y, b->image, 8);
		return x < y ? -1 : x > y;
	}
	order = memcmp(a->image, b->image, common);
	return order != 0 ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static bool
has_id(const Oracle *o, const ModelEvent *event)
{
	return o->id_attr >= 0 && event->value[o->id_attr].set && !event->value[o->id_attr].null;
}

static int
cmp_ids(const Oracle *o, const ModelEvent *a, const ModelEvent *b)
{
	const ModelValue *x = &a->value[o->id_attr < 0 ? 0 : o->id_attr];
	const ModelValue *y = &b->value[o->id_attr < 0 ? 0 : o->id_attr];

	if (!has_id(o, a) || !has_id(o, b))
		return has_id(o, b) - has_id(o, a);
	if (o->schema->id_order == CT_ORDER_SIGNED)
	{
		int64_t i, j;

		memcpy(&i, x->image, 8);
		memcpy(&j, y->image, 8);
		return i < j ? -1 : i > j;
	}
	return cmp_values(&o->attr[o->id_attr], x, y);
}

/* Of one identity, at one instant. */
static bool
is_at_place(const Oracle *o, const ModelEvent *a, const ModelEvent *b)
{
	return has_id(o, a) && a->time == b->time && a->kind == b->kind && cmp_ids(o, a, b) == 0;
}

static bool
is_duplicate(const Oracle *o, const ModelEvent *a, const ModelEvent *b)
{
	return o->id_of_key ? has_id(o, a) && cmp_ids(o, a, b) == 0 : is_at_place(o, a, b);
}

static const Oracle *sorting;

static int
cmp_events(const void *a_ref, const void *b_ref)
{
	const ModelEvent *a = *(ModelEvent *const *) a_ref;
	const ModelEvent *b = *(ModelEvent *const *) b_ref;
	int order;

	if (a->time != b->time)
		return a->time < b->time ? -1 : 1;
	order = cmp_ids(sorting, a, b);
	if (sorting->id_first && has_id(sorting, a) != has_id(sorting, b))
		return has_id(sorting, a) ? 1 : -1;
	if (a->kind != b->kind && (!sorting->id_first || order == 0))
		return a->kind - b->kind;
	for (int i = 0; i < sorting->all_attrs && order == 0; i++)
	{
		bool a_has = a->value[i].set && !a->value[i].null;
		bool b_has = b->value[i].set && !b->value[i].null;

		order = a_has && b_has ? cmp_values(&sorting->attr[i], &a->value[i], &b->value[i]) : b_has - a_has;
	}
	if (order == 0)
		order = (a->null > b->null) - (a->null < b->null);
	if (order == 0)
		order = (a->set > b->set) - (a->set < b->set);
	return order;
}

static bool
has_committed(const Oracle *o, uint64_t top, uint64_t xid)
{
	return o->xact_status[top] == COMMITTED && o->xact_status[xid] == COMMITTED;
}

static bool
sees_writer(const Oracle *o, const CtSnapshot *snapshot, uint64_t top, uint64_t xid)
{
	if (!has_committed(o, top, xid))
		return false;
	for (uint32_t i = 0; i < snapshot->nxip; i++)
	{
		if (snapshot->xip[i] == top)
			return false;
	}
	return top < snapshot->xmax;
}

static bool
sees(const Oracle *o, const CtSnapshot *snapshot, const ModelEvent *event)
{
	return sees_writer(o, snapshot, event->top, event->xid) &&
		   (event->taken_top == 0 || !sees_writer(o, snapshot, event->taken_top, event->taken_xid));
}

/* Digits of a position, its hidden ones included. */
static int
fine_digits(const Oracle *o, const ModelAttr *attr)
{
	int moves = o->attr[attr->rate].scale + o->clock_digits;

	return attr->scale > moves ? attr->scale : moves;
}

static Big
fine_place(const Oracle *o, const ModelAttr *attr, __int128 number)
{
	return big_shift(big_of(number), fine_digits(o, attr) - attr->scale);
}

static void
start_state(const Oracle *o, ModelState *state)
{
	state->present = false;
	for (int i = 0; i < o->nattrs; i++)
	{
		state->value[i] = o->attr[i].initial;
		state->is_set[i] = false;
		if (o->attr[i].rate > 0)
			state->place[i] = fine_place(o, &o->attr[i], o->attr[i].initial.number);
	}
}

/* Move attributes with a rate to an instant. */
static void
move_state(const Oracle *o, ModelState *state, int64_t time)
{
	Big span = big_add(big_of(time), big_of(-(__int128) state->time));

	for (int i = 0; i < o->nattrs && state->present; i++)
	{
		const ModelAttr *attr = &o->attr[i];
		const ModelValue *rate = &state->value[attr->rate];
		int digits = fine_digits(o, attr) - o->attr[attr->rate].scale - o->clock_digits;

		if (attr->rate == 0 || state->value[i].null || rate->null)
			continue;
		state->place[i] = big_add(state->place[i], big_shift(big_times(big_of(rate->number), span), digits));
	}
	state->time = time;
}

static int cmp_values(const ModelAttr *attr, const ModelValue *a, const ModelValue *b);

/* A sum, min or max that is not NULL. */
static void
apply_operand(const ModelAttr *attr, ModelValue *value, const ModelValue *operand)
{
	int order = attr->number == CT_NUMBER_NONE ? cmp_values(attr, operand, value)
											   : (operand->number > value->number) - (operand->number < value->number);

	if (attr->rule == CT_RULE_MIN ? order < 0 : attr->rule == CT_RULE_MAX && order > 0)
		*value = *operand;
	if (attr->rule != CT_RULE_SUM)
		return;
	value->number += operand->number;
	value->days += operand->days;
	value->months += operand->months;
	if (attr->has_lower && value->number < attr->lower)
		value->number = attr->lower;
	if (attr->has_upper && value->number > attr->upper)
		value->number = attr->upper;
}

static void
apply_value(const ModelAttr *attr, ModelValue *value, const ModelValue *operand)
{
	if (value->null && attr->initial.null && attr->rule != CT_RULE_SUM)
	{
		*value = *operand;
		return;
	}
	if (value->null)
	{
		*value = attr->initial;
		if (attr->initial.null)
			*value = (ModelValue){.number = 0};
	}
	apply_operand(attr, value, operand);
	value->null = false;
}

/* Set a position, or add to it. */
static void
apply_place(const Oracle *o, ModelState *state, const ModelEvent *event, int i)
{
	const ModelAttr *attr = &o->attr[i];
	Big operand = fine_place(o, attr, event->value[i].number);
	bool was_null = state->value[i].null;

	state->value[i].null = event->value[i].null;
	if (event->value[i].null)
		return;
	if (event->kind == CT_SNAPSHOT || attr->rule == CT_RULE_LAST)
		state->place[i] = operand;
	else if (was_null)
		state->place[i] = big_add(operand, fine_place(o, attr, attr->initial.null ? 0 : attr->initial.number));
	else
		state->place[i] = big_add(state->place[i], operand);
}

static void
apply_event(const Oracle *o, ModelState *state, const ModelEvent *event)
{
	move_state(o, state, event->time);
	if (event->kind == CT_FINISH)
	{
		start_state(o, state);
		return;
	}
	state->present = true;
	for (int i = 0; i < o->nattrs; i++)
	{
		if (!event->value[i].set)
			continue;
		state->is_set[i] = !event->value[i].null;
		state->since[i] = event->time;
		if (o->attr[i].rate > 0)
			apply_place(o, state, event, i);
		else if (event->value[i].null || event->kind == CT_SNAPSHOT || o->attr[i].rule == CT_RULE_LAST)
			state->value[i] = event->value[i];
		else
			apply_value(&o->attr[i], &state->value[i], &event->value[i]);
	}
}

/* The visible events of a key, sorted, one of each identity. */
static uint32_t
visible_events(const Oracle *o, uint32_t key, const CtSnapshot *snapshot, ModelEvent **found)
{
	uint32_t n = 0;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < o->nevents; i++)
	{
		if (o->event[i].key == key && sees(o, snapshot, &o->event[i]))
			found[n++] = &o->event[i];
	}
	sorting = o;
	qsort(found, n, sizeof(ModelEvent *), cmp_events);
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t first = o->id_of_key && has_id(o, found[i]) ? 0 : kept == 0 ? 0
																			 : kept - 1;

		while (first < kept && !is_duplicate(o, found[first], found[i]))
			first++;
		if (first == kept)
			found[kept++] = found[i];
	}
	ORACLE_REQUIRE(kept == n || !o->settings.retract);
	return kept;
}

/* ---- what changes between events --------------------------------------------- */

/* A state after its last event at or before an instant, and the later events. */
typedef struct Sight
{
	const ModelState *state;
	int64_t time;
	int64_t until; /* what is behind that is not looked at */
	ModelEvent **next;
	uint32_t nnext;
} Sight;

/* The value on the line to the next event that sets it. */
static CtWide
linear_at(const Sight *sight, int i)
{
	const ModelState *state = sight->state;
	Big here = big_of(state->value[i].number);

	for (uint32_t j = 0; state->is_set[i] && j < sight->nnext; j++)
	{
		const ModelEvent *event = sight->next[j];
		__int128 whole = (__int128) event->time - state->since[i];
		__int128 part = (__int128) sight->time - state->since[i];

		if (event->time > sight->until)
			break;
		if (event->kind != CT_FINISH && !event->value[i].set)
			continue;
		if (event->kind != CT_FINISH && !event->value[i].null)
			here = big_over(big_add(big_times(here, big_of(whole - part)),
									big_times(big_of(event->value[i].number), big_of(part))),
							(unsigned __int128) whole);
		break;
	}
	return big_wide(&here);
}

/* At infinity the value at the last event. */
static CtWide
place_at(const Oracle *o, const Sight *sight, int i)
{
	ModelState there = *sight->state;
	Big place;

	if (sight->time != INT64_MAX)
		move_state(o, &there, sight->time);
	place = big_round(there.place[i], fine_digits(o, &o->attr[i]) - o->attr[i].scale);
	return big_wide(&place);
}

/* ---- comparing --------------------------------------------------------------- */

static void
compare_number(const Oracle *o, const Sight *sight, int i, const CtValue *value)
{
	const ModelAttr *attr = &o->attr[i];
	CtWide number = attr->rate > 0 ? place_at(o, sight, i)
					: attr->linear ? linear_at(sight, i)
								   : wide_of(sight->state->value[i].number);

	ORACLE_REQUIRE(value->kind == CT_VALUE_NUMBER);
	ORACLE_REQUIRE(memcmp(&value->number, &number, sizeof(CtWide)) == 0);
}

static void
compare_value(const Oracle *o, const Sight *sight, int i, const CtValue *value)
{
	const ModelAttr *attr = &o->attr[i];
	const ModelValue *expected = &sight->state->value[i];

	if (attr->rule == CT_RULE_NONE || expected->null)
		ORACLE_REQUIRE(value->kind == CT_VALUE_NULL);
	else if (attr->number != CT_NUMBER_NONE)
	{
		CtWide lanes = lanes_of(expected);

		compare_number(o, sight, i, value);
		if (attr->number == CT_NUMBER_INTERVAL)
			ORACLE_REQUIRE(memcmp(&value->extra, &lanes, sizeof(CtWide)) == 0);
	}
	else
	{
		ORACLE_REQUIRE(value->kind == CT_VALUE_IMAGE);
		ORACLE_REQUIRE(value->bytes == expected->bytes);
		ORACLE_REQUIRE(memcmp(value->image, expected->image, value->bytes) == 0);
	}
}

static void
compare_state(const Oracle *o, const Sight *sight, const CtState *state)
{
	ORACLE_REQUIRE(state->present == sight->state->present);
	ORACLE_REQUIRE(state->nattrs == o->nattrs);
	for (int i = 0; i < o->nattrs && sight->state->present; i++)
		compare_value(o, sight, i, &state->value[i]);
}

static uint32_t
key_bytes_of(uint32_t key, uint8_t *bytes)
{
	static const uint32_t length[] = {8, 12, 20, 21, CT_MAX_KEY_BYTES, 4, 300};
	uint32_t n = key == 1 ? 0 : length[key % 7]; /* one key is empty */

	memset(bytes, 'k', n);
	if (n >= sizeof(key))
		memcpy(bytes + n - sizeof(key), &key, sizeof(key));
	return n;
}

/* In a partition often only some bits of hashes differ; and hashes may collide. */
static uint64_t
hash_of(const Oracle *o, uint32_t key)
{
	uint64_t state = key;

	return o->settings.keys % 2 == 0 ? next_random(&state) << 4 : key / 3;
}

static CtRef
find_timeline(const Oracle *o, uint32_t key)
{
	uint8_t bytes[CT_MAX_KEY_BYTES];
	uint32_t n = key_bytes_of(key, bytes);

	return ct_store_find(&o->arena, o->store, hash_of(o, key), bytes, n);
}

/*
 * The recent events of a timeline that the snapshot sees, merged.  False: there
 * is a retraction among them, and the state is not to be found here.
 */
static bool
make_runs(const Oracle *o, CtRef timeline, const CtSnapshot *snapshot, CtRuns *made)
{
	CtRuns runs = {0};
	uint32_t count;
	CtRef ref = ct_timeline_recent(&o->arena, timeline, &count);

	runs.extra = malloc((count + 1) * sizeof(CtRef));
	runs.cancelled = malloc((count + 1) * sizeof(CtRef));
	while (ref != 0)
	{
		const CtEvent *event = ct_ptr(&o->arena, ref);

		ORACLE_REQUIRE(count-- > 0);
		if (has_committed(o, event->top, event->xid) && ct_snapshot_sees(snapshot, event->top))
		{
			runs.retracts |= event->retracts;
			runs.extra[runs.nextra++] = ref;
		}
		ref = event->next;
	}
	ORACLE_REQUIRE(count == 0);
	ORACLE_REQUIRE(!runs.retracts || o->settings.retract);
	ct_timeline_merge(&o->arena, o->store, timeline, snapshot, &runs);
	*made = runs;
	return !runs.retracts || ct_store_cancels(&o->arena, o->store);
}

/* Instants between two events: in the middle, and right before the second. */
static void
compare_between(const Oracle *o, CtRef timeline, Sight sight, int64_t end, const CtSnapshot *snapshot,
				const CtRuns *runs)
{
	int64_t middle = sight.time + (int64_t) (((uint64_t) end - (uint64_t) sight.time) / 2);
	int64_t instants[] = {middle, end > sight.time ? end - 1 : end};
	CtState state;

	for (int i = 0; i < 2; i++)
	{
		sight.time = instants[i];
		ct_timeline_fold(&o->arena, o->store, timeline, sight.time, snapshot, runs, &state);
		compare_state(o, &sight, &state);
	}
}

/* ---- late events ------------------------------------------------------------ */

/* True if b, which is not a duplicate of a, comes after a. */
static bool
comes_later(const Oracle *o, const ModelEvent *a, const ModelEvent *b)
{
	sorting = o;
	return a->key == b->key && !is_at_place(o, a, b) && cmp_events(&b, &a) > 0;
}

/* True if an event that comes later has entered. */
static bool
has_later(const Oracle *o, const ModelEvent *event)
{
	for (uint32_t i = 0; i < o->nevents; i++)
	{
		if (o->event[i].entered && comes_later(o, event, &o->event[i]))
			return true;
	}
	return false;
}

/* Equal events have no order; if one of them was late, any may be reported as late. */
static bool
may_be_visited(const Oracle *o, const ModelEvent *event, const CtRawEvent *told)
{
	sorting = o;
	if (o->settings.retract || o->id_of_key)
		return true; /* it is not known what is gone, or which duplicates wait elsewhere */
	for (uint32_t i = 0; i < o->nevents; i++)
	{
		const ModelEvent *other = &o->event[i];

		if (other->key != event->key || cmp_events(&other, &event) != 0)
			continue;
		if (other->late == UNKNOWN || told->late == (other->entered ? other->late != 0 : has_later(o, other)))
			return true;
	}
	return false;
}

static ModelEvent *
model_event(const Oracle *o, uint32_t cid)
{
	for (uint32_t i = 0; i < o->nevents; i++)
	{
		if (o->event[i].cid == cid)
			return &o->event[i];
	}
	oracle_fail(__FILE__, __LINE__, "an event is not the model's");
}

/* Enter up to `limit` events of a batch in the engine, and the same ones in the model. */
static CtStatus
enter_both(Oracle *o, CtRef batch, int limit, CtChanged *changed)
{
	const CtBatch *b = ct_ptr(&o->arena, batch);
	uint32_t count = b->count < (uint32_t) limit ? b->count : (uint32_t) limit;
	uint32_t *cid = malloc(count * sizeof(uint32_t));
	uint32_t before = b->count;
	CtRef ref = b->first;
	CtStatus status;

	for (uint32_t i = 0; i < count; i++)
	{
		const CtEvent *event = ct_ptr(&o->arena, ref);

		cid[i] = event->retracts ? 0 : event->cid;
		ref = event->queue;
	}
	status = ct_store_enter(&o->arena, o->store, batch, limit, &o->served, changed);
	if (status == CT_NO_MEMORY)
		count = before - b->count;
	for (uint32_t i = 0; i < count; i++)
	{
		ModelEvent *event;

		if (cid[i] == 0)
			continue; /* a retraction */
		event = model_event(o, cid[i]);
		event->late = has_later(o, event);
		event->entered = true;
	}
	free(cid);
	return status;
}

/* ---- raw events ------------------------------------------------ */

/* The raw events that are expected, and after how many the visit ends. */
typedef struct Listener
{
	const Oracle *oracle;
	ModelEvent **event;
	uint32_t n;
	uint32_t heard;
	uint32_t enough; /* of them in one visit */
} Listener;

static void
compare_raw_events(const Oracle *o, const ModelEvent *event, int i, const CtValue *value)
{
	const ModelAttr *attr = &o->attr[i];
	const ModelValue *expected = &event->value[i];
	CtWide number = wide_of(expected->number);
	CtWide lanes = lanes_of(expected);

	if (attr->number == CT_NUMBER_NONE)
	{
		ORACLE_REQUIRE(value->kind == CT_VALUE_IMAGE && value->bytes == expected->bytes);
		ORACLE_REQUIRE(memcmp(value->image, expected->image, value->bytes) == 0);
		return;
	}
	ORACLE_REQUIRE(value->kind == CT_VALUE_NUMBER);
	ORACLE_REQUIRE(memcmp(&value->number, &number, sizeof(CtWide)) == 0);
	if (attr->number == CT_NUMBER_INTERVAL)
		ORACLE_REQUIRE(memcmp(&value->extra, &lanes, sizeof(CtWide)) == 0);
}

static bool
hear(void *arg, const CtRawEvent *told)
{
	Listener *listener = arg;
	const ModelEvent *event;

	ORACLE_REQUIRE(listener->heard < listener->n);
	if (listener->enough-- == 0)
		return false;
	event = listener->event[listener->heard++];
	ORACLE_REQUIRE(told->time == event->time && told->kind == event->kind);
	ORACLE_REQUIRE(told->set == event->set && told->null == event->null);
	ORACLE_REQUIRE(may_be_visited(listener->oracle, event, told));
	for (int i = 0; i < MAX_ATTRS; i++)
	{
		if ((told->set & ~told->null) >> i & 1)
			compare_raw_events(listener->oracle, event, i, &told->value[i]);
	}
	return true;
}

/* Visit the raw events of a key in [from, to]; and the latest one before `from`. */
static void
compare_events(const Oracle *o, CtRef timeline, ModelEvent **event, uint32_t n, int64_t from, int64_t to,
			   const CtSnapshot *snapshot, const CtRuns *runs)
{
	Listener listener = {.oracle = o, .enough = UINT32_MAX};
	CtPosition position = {.time = from};
	uint32_t before = 0;
	uint32_t end;
	int64_t latest = from;
	bool found;

	while (before < n && event[before]->time < from)
		before++;
	for (end = before; end < n && event[end]->time <= to;)
		end++;
	listener.event = event + before;
	listener.n = end - before;
	ORACLE_REQUIRE(ct_timeline_visit(&o->arena, o->store, timeline, &position, to, snapshot, runs, hear, &listener));
	ORACLE_REQUIRE(listener.heard == listener.n);

	/* The same in several visits; every other one has no hint where it begins. */
	listener.heard = 0;
	position = (CtPosition){.time = from};
	for (uint32_t visits = 0;; visits++)
	{
		listener.enough = 1 + (listener.n + visits) % 5;
		if (visits % 2 == 1)
			position = (CtPosition){.time = position.time, .visited = position.visited};
		if (ct_timeline_visit(&o->arena, o->store, timeline, &position, to, snapshot, runs, hear, &listener))
			break;
		ORACLE_REQUIRE(listener.enough == UINT32_MAX);
	}
	ORACLE_REQUIRE(listener.heard == listener.n);

	found = ct_timeline_latest(&o->arena, o->store, timeline, &latest, snapshot, runs);
	while (before < n && event[before]->time == from)
		before++;
	if (runs->retracts)
		ORACLE_REQUIRE(!found || latest <= from); /* what is retracted may count */
	if (before > 0 && event[before - 1]->time >= o->retained)
		ORACLE_REQUIRE(found &&
					   (latest == event[before - 1]->time || (runs->retracts && latest > event[before - 1]->time)));
	else
		ORACLE_REQUIRE(!found || latest < o->retained || runs->retracts);
}

/*
 * Step to the next instant that has a visible event.  A step may also end at an instant
 * where all events are retracted: the state does not change there.
 */
static bool
step(const Oracle *o, CtRef timeline, int64_t *time, int64_t next, int64_t until, const CtSnapshot *snapshot,
	 const CtRuns *runs, const ModelState *before, CtState *state)
{
	while (ct_timeline_step(&o->arena, o->store, timeline, time, until, snapshot, runs, state))
	{
		if (!runs->retracts || *time >= next)
			return true;
		compare_state(o, &(Sight){before, *time, *time, NULL, 0}, state);
	}
	return false;
}

/* Compare `steps` instants of a key, from instant `first` on, under a snapshot. */
static void
compare_key(const Oracle *o, uint32_t key, int64_t first, int steps, const CtSnapshot *snapshot)
{
	ModelEvent **event = malloc((o->nevents + 1) * sizeof(ModelEvent *));
	uint32_t n = visible_events(o, key, snapshot, event);
	uint32_t i = 0;
	CtRef timeline = find_timeline(o, key);
	int64_t time = instant(o, first);
	int64_t until = instant(o, first + steps);
	ModelState expected;
	CtState state;
	CtRuns runs;

	start_state(o, &expected);
	if (timeline == 0)
	{
		/* Nothing, or nothing but the past of a row that is gone. */
		for (; i < n; i++)
		{
			ORACLE_REQUIRE(event[i]->time < o->retained);
			apply_event(o, &expected, event[i]);
		}
		ORACLE_REQUIRE(!expected.present);
		free(event);
		return;
	}
	if (!make_runs(o, timeline, snapshot, &runs))
	{
		free(runs.extra);
		free(runs.cancelled);
		free(event);
		return;
	}
	compare_events(o, timeline, event, n, time, until, snapshot, &runs);
	for (; i < n && event[i]->time <= time; i++)
		apply_event(o, &expected, event[i]);
	ct_timeline_fold(&o->arena, o->store, timeline, time, snapshot, &runs, &state);
	compare_state(o, &(Sight){&expected, time, snapshot->until, event + i, n - i}, &state);

	while (i < n && event[i]->time <= until)
	{
		int64_t next = event[i]->time;
		Sight sight;

		ORACLE_REQUIRE(step(o, timeline, &time, next, until, snapshot, &runs, &expected, &state));
		ORACLE_REQUIRE(time == next);
		for (; i < n && event[i]->time == next; i++)
			apply_event(o, &expected, event[i]);
		sight = (Sight){&expected, time, snapshot->until, event + i, n - i};
		compare_state(o, &sight, &state);
		if (o->stride > 1)
			compare_between(o, timeline, sight, i < n ? event[i]->time : instant(o, first + steps + 1), snapshot,
							&runs);
	}
	ORACLE_REQUIRE(!step(o, timeline, &time, INT64_MAX, until, snapshot, &runs, &expected, &state));
	for (; i < n; i++)
		apply_event(o, &expected, event[i]);
	ct_timeline_fold(&o->arena, o->store, timeline, INT64_MAX, snapshot, &runs, &state);
	compare_state(o, &(Sight){&expected, INT64_MAX, INT64_MAX, NULL, 0}, &state);
	free(runs.extra);
	free(runs.cancelled);
	free(event);
}

static void
validate(const Oracle *o)
{
	const char *reason = NULL;

	if (ct_store_validate(&o->arena, o->store, &reason) != CT_OK)
		oracle_fail(__FILE__, __LINE__, reason);
	if (ct_region_validate(o->base, &reason) != CT_OK)
		oracle_fail(__FILE__, __LINE__, reason);
}

/* ---- transactions and snapshots ---------------------------------------------------------------
 */

static uint64_t
assign_xid(Oracle *o)
{
	uint64_t xid = o->next_xid++;

	if (o->next_xid >= o->status_slot)
	{
		o->xact_status = realloc(o->xact_status, o->status_slot * 2);
		memset(o->xact_status + o->status_slot, RUNNING, o->status_slot);
		o->status_slot *= 2;
	}
	return xid;
}

static Transaction *
some_transaction(Oracle *o)
{
	Transaction *transaction;

	if (o->ntransactions > 0 && (o->ntransactions == MAX_TRANSACTIONS || !one_in(o, 4)))
		return &o->transaction[pick(o, (uint32_t) o->ntransactions)];
	transaction = &o->transaction[o->ntransactions++];
	*transaction = (Transaction){.top = assign_xid(o)};
	transaction->xid = transaction->top;
	return transaction;
}

/* Begin a subtransaction, or continue one. */
static void
change_subtransaction(Oracle *o, Transaction *transaction)
{
	if (transaction->nsubxids < 8 && one_in(o, 2))
		transaction->xid = transaction->subxid[transaction->nsubxids++] = assign_xid(o);
	else if (transaction->nsubxids > 0 && one_in(o, 2))
	{
		uint64_t xid = transaction->subxid[pick(o, (uint32_t) transaction->nsubxids)];

		if (o->xact_status[xid] == RUNNING)
			transaction->xid = xid;
	}
	else
		transaction->xid = transaction->top;
}

/* The bit of the current subtransaction in `writers`. */
static uint32_t
writer_bit(const Transaction *transaction)
{
	int i = 0;

	while (i < transaction->nsubxids && transaction->subxid[i] != transaction->xid)
		i++;
	return UINT32_C(1) << (transaction->xid == transaction->top ? 31 : i);
}

static void
note_write(Transaction *transaction)
{
	uint32_t bit = writer_bit(transaction);

	if (transaction->wrote != transaction->xid)
		transaction->wrote_once = (transaction->writers & bit) == 0;
	transaction->wrote = transaction->xid;
	transaction->writers |= bit;
}

/* (Later events may depend on those that are rolled back: then all of them are, or none.) */
static void
rollback_subtransaction(Oracle *o, Transaction *transaction)
{
	if (transaction->xid == transaction->top)
		return;
	if (o->settings.retract && (transaction->writers & writer_bit(transaction)) != 0 &&
		(transaction->wrote != transaction->xid || !transaction->wrote_once))
		return;
	transaction->wrote = 0;
	o->xact_status[transaction->xid] = ABORTED;
	transaction->xid = transaction->top;
}

static void
end_transaction(Oracle *o, int i, KnownStatus xact_status)
{
	Transaction *transaction = &o->transaction[i];

	o->xact_status[transaction->top] = (uint8_t) xact_status;
	for (int j = 0; j < transaction->nsubxids; j++)
	{
		if (o->xact_status[transaction->subxid[j]] == RUNNING)
			o->xact_status[transaction->subxid[j]] = (uint8_t) xact_status;
	}
	*transaction = o->transaction[--o->ntransactions];
}

static int
cmp_xids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a;
	uint64_t y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

static void
take_snapshot(const Oracle *o, HeldSnapshot *held)
{
	held->snapshot.xmax = o->next_xid;
	held->snapshot.nxip = (uint32_t) o->ntransactions;
	for (int i = 0; i < o->ntransactions; i++)
		held->xip[i] = o->transaction[i].top;
	qsort(held->xip, held->snapshot.nxip, sizeof(uint64_t), cmp_xids);
	held->snapshot.xmin = o->ntransactions > 0 ? held->xip[0] : o->next_xid;
	held->snapshot.xip = held->xip;
	held->snapshot.until = INT64_MAX;
}

static void
hold_snapshot(Oracle *o)
{
	int i = o->nheld < MAX_SNAPSHOTS && one_in(o, 2) ? o->nheld++ : (int) pick(o, MAX_SNAPSHOTS);

	if (i >= o->nheld)
		o->nheld = i = o->nheld == 0 ? 0 : o->nheld - 1;
	else
		take_snapshot(o, &o->held[i]);
}

/* ---- doing
 * ----------------------------------------------------------------------------------------- */

static uint32_t
payload_of(const Oracle *o, const ModelEvent *event, uint8_t *payload)
{
	uint32_t n = 0;

	for (int i = 0; i < o->nattrs; i++)
	{
		const ModelValue *value = &event->value[i];

		if (!value->set || value->null)
			continue;
		if (o->attr[i].image == CT_IMAGE_VAR)
		{
			memcpy(payload + n, &value->bytes, sizeof(value->bytes));
			n += sizeof(value->bytes);
		}
		memcpy(payload + n, value->image, value->bytes);
		n += value->bytes;
	}
	return n;
}

static void
random_event(Oracle *o, ModelEvent *event)
{
	uint32_t density = o->alike ? 1 : o->sparse ? 10 + pick(o, 20)
												: 1 + pick(o, 3);
	bool usual = o->plain && !one_in(o, 200);

	memset(event, 0, sizeof(*event));
	event->key = pick(o, o->settings.keys);
	event->time = instant(o, o->start + pick(o, o->settings.instants));
	event->kind = one_in(o, 12) ? CT_FINISH : one_in(o, 6) ? CT_SNAPSHOT
														   : CT_EVENT;
	if (usual)
		event->kind = CT_EVENT;
	for (int i = 2; i < o->nattrs; i++)
	{
		ModelValue *value = &event->value[i];

		if (i == o->id_attr)
		{
			memset(value, 0, sizeof(*value));
			value->set = !one_in(o, 6) || o->alike;
			value->null = one_in(o, 6) && !o->alike;
			value->bytes = o->attr[i].image == CT_IMAGE_WORD    ? 8
						   : o->attr[i].image == CT_IMAGE_FIXED ? (uint32_t) o->attr[i].length
																: 1;
			value->image[0] = (uint8_t) pick(o, o->settings.ids);
			if (o->attr[i].image == CT_IMAGE_WORD)
				value->image[7] = one_in(o, 2) ? 0x80 : 0;
		}
		else if (event->kind != CT_FINISH && one_in(o, density))
		{
			random_value(o, &o->attr[i], value);
			value->null = one_in(o, 6) && !usual;
		}
		event->set |= (uint64_t) value->set << i;
		event->null |= (uint64_t) (value->set && value->null) << i;
	}
}

/* Write an event, or its retraction; CT_OK, CT_NO_MEMORY or CT_TOO_LATE. */
static CtStatus
write_event(Oracle *o, Transaction *transaction, const ModelEvent *event, bool retracts)
{
	uint8_t payload[MAX_ATTRS * (MAX_IMAGE + 4)];
	uint8_t key[CT_MAX_KEY_BYTES];
	HeldSnapshot now;
	CtChange change;
	CtLabel label;
	CtStatus status;

	take_snapshot(o, &now);
	label = (CtLabel){.top = transaction->top,
					  .xid = transaction->xid,
					  .cid = (uint32_t) o->steps,
					  .ended = now.snapshot.xmin};
	change = (CtChange){.time = event->time,
						.set = event->set,
						.null = event->null,
						.payload = payload,
						.kind = event->kind,
						.retracts = retracts};
	change.payload_bytes = payload_of(o, event, payload);
	status =
		ct_store_add(&o->arena, o->store, hash_of(o, event->key), key, key_bytes_of(event->key, key), &change, &label);
	ORACLE_REQUIRE((status == CT_TOO_LATE) == (event->time < o->retained));
	ORACLE_REQUIRE(status == CT_OK || status == CT_NO_MEMORY || status == CT_TOO_LATE);
	if (status == CT_OK)
		note_write(transaction);
	if (status == CT_OK && event->key < 64 && o->walk == 0)
		o->due |= UINT64_C(1) << event->key;
	return status;
}

/* True if the event is retracted by a transaction that this one sees or has to wait for. */
static bool
is_taken(const Oracle *o, const ModelEvent *event)
{
	return event->taken_top != 0 && o->xact_status[event->taken_top] != ABORTED &&
		   o->xact_status[event->taken_xid] != ABORTED;
}

/* True if a unique index would refuse the event, or let its writer wait. */
static bool
is_refused(const Oracle *o, const Transaction *transaction, const ModelEvent *event)
{
	for (uint32_t i = 0; i < o->nevents; i++)
	{
		const ModelEvent *other = &o->event[i];

		if (other->key != event->key || !is_duplicate(o, event, other) || o->xact_status[other->top] == ABORTED ||
			o->xact_status[other->xid] == ABORTED)
			continue;
		if (!is_taken(o, other) ||
			(!has_committed(o, other->taken_top, other->taken_xid) && other->taken_top != transaction->top))
			return true;
	}
	return false;
}

/* Has the id of an event that may be folded by now, and so forgotten? */
static bool
may_be_forgotten(const Oracle *o, const ModelEvent *event)
{
	for (uint32_t i = 0; o->id_of_key && i < o->nevents; i++)
	{
		const ModelEvent *other = &o->event[i];

		if (other->key == event->key && other->time < o->retained && is_duplicate(o, event, other))
			return true;
	}
	return false;
}

static void
add_event(Oracle *o, Transaction *transaction, ModelEvent event)
{
	event.top = transaction->top;
	event.xid = transaction->xid;
	event.cid = (uint32_t) o->steps;
	event.entered = false;
	event.late = false;
	event.taken_top = event.taken_xid = 0;
	if (o->settings.retract && is_refused(o, transaction, &event))
		return;
	if (may_be_forgotten(o, &event))
		return;
	if (write_event(o, transaction, &event, false) != CT_OK)
		return;
	if (o->nevents == o->room)
	{
		o->room = o->room * 2 + 64;
		o->event = realloc(o->event, o->room * sizeof(ModelEvent));
	}
	o->event[o->nevents++] = event;
}

/* The event again: with other content, the same, or at another instant or key. */
static ModelEvent
new_version(Oracle *o, const ModelEvent *old)
{
	ModelEvent event = *old;
	ModelEvent other;

	random_event(o, &other);
	if (one_in(o, 4))
		event.time = other.time;
	if (one_in(o, 4))
		event.key = other.key;
	if (one_in(o, 4))
		return event;
	if (one_in(o, 3))
	{
		other = o->event[pick(o, o->nevents)]; /* as it may have been before */
		if (other.kind != event.kind)
			return event;
	}
	else if (other.kind != event.kind)
		return other;
	if (o->id_attr >= 0)
	{
		uint64_t id = UINT64_C(1) << o->id_attr;

		other.value[o->id_attr] = event.value[o->id_attr];
		other.set = (other.set & ~id) | (event.set & id);
		other.null = (other.null & ~id) | (event.null & id);
	}
	other.key = event.key;
	other.time = event.time;
	return other;
}

/* An event that the transaction sees and that no other has retracted; NULL: none found. */
static ModelEvent *
some_live_event(Oracle *o, const Transaction *transaction)
{
	for (int tries = 0; tries < 8 && o->nevents > 0; tries++)
	{
		uint32_t recent = o->nevents < 8 ? o->nevents : 8;
		uint32_t i = one_in(o, 2) ? pick(o, o->nevents) : o->nevents - 1 - pick(o, recent);
		ModelEvent *event = &o->event[i];

		if (!is_taken(o, event) && (has_committed(o, event->top, event->xid) ||
									(event->top == transaction->top && o->xact_status[event->xid] == RUNNING)))
			return event;
	}
	return NULL;
}

/* Delete or update a row. */
static void
do_retract(Oracle *o)
{
	Transaction *transaction = some_transaction(o);
	ModelEvent *event;

	if (one_in(o, 6))
		change_subtransaction(o, transaction);
	event = some_live_event(o, transaction);
	if (event == NULL || write_event(o, transaction, event, true) != CT_OK)
		return;
	event->taken_top = transaction->top;
	event->taken_xid = transaction->xid;
	if (!one_in(o, 3))
		add_event(o, transaction, new_version(o, event));
}

static void
do_add(Oracle *o)
{
	Transaction *transaction = some_transaction(o);
	ModelEvent event;

	if (one_in(o, 6))
		change_subtransaction(o, transaction);
	if (o->nevents > 0 && one_in(o, 5))
		event = o->event[pick(o, o->nevents)]; /* the same again */
	else
		random_event(o, &event);
	add_event(o, transaction, event);
}

/* A batch whose transaction has this status; 0 if there is none. */
static CtRef
some_batch(Oracle *o, KnownStatus xact_status)
{
	uint32_t skip = pick(o, 4);
	CtRef found = 0;
	CtRef ref;

	for (const CtBatch *batch = ct_store_first_batch(&o->arena, o->store, &ref); batch != NULL;
		 batch = ct_store_next_batch(&o->arena, &ref))
	{
		bool aborted = o->xact_status[batch->xid] == ABORTED || o->xact_status[batch->top] == ABORTED;

		if (xact_status == ABORTED ? aborted : !aborted && o->xact_status[batch->top] == COMMITTED)
		{
			found = ref;
			if (skip-- == 0)
				break;
		}
	}
	return found;
}

/* The number of the earliest instant that can be read. */
static int64_t
first_instant(const Oracle *o)
{
	int64_t n = o->start;

	while (instant(o, n) < o->retained)
		n++;
	return n;
}

/* Instants at which changes are checked: those of events, and some between. */
static uint32_t
samples(const Oracle *o)
{
	return 2 * o->settings.instants + 2;
}

/* A little after an instant. */
static int64_t
behind(const Oracle *o, int64_t time)
{
	__int128 later = (__int128) time + o->stride / 3;

	return later < INT64_MAX ? (int64_t) later : INT64_MAX - 1;
}

static int64_t
sample(const Oracle *o, uint32_t i)
{
	int64_t time = instant(o, first_instant(o) + i / 2);

	return i % 2 == 0 ? time : behind(o, time);
}

/* The state of a key, folded from all entered events only. */
static void
entered_states(const Oracle *o, CtRef timeline, CtState *states)
{
	CtSnapshot everything = {.xmin = UINT64_MAX, .xmax = UINT64_MAX, .until = INT64_MAX};

	for (uint32_t i = 0; i < samples(o); i++)
		ct_timeline_fold(&o->arena, o->store, timeline, sample(o, i), &everything, NULL, &states[i]);
}

/*
 * Images point into events, and that of a replaced duplicate may be freed: compare
 * hashes.
 */
static uint64_t
state_hash(const Oracle *o, const CtState *state)
{
	uint64_t hash = state->present;

	for (int i = 0; i < o->nattrs && state->present; i++)
	{
		const CtValue *value = &state->value[i];

		hash = next_random(&hash) + value->kind;
		hash = next_random(&hash) + value->extra.word[0] * (value->kind == CT_VALUE_NUMBER);
		for (int j = 0; j < 3 && value->kind == CT_VALUE_NUMBER; j++)
			hash = next_random(&hash) + value->number.word[j];
		for (uint32_t j = 0; j < value->bytes && value->kind == CT_VALUE_IMAGE; j++)
			hash = next_random(&hash) + ((const uint8_t *) value->image)[j];
	}
	return hash;
}

static uint64_t *
state_hashes(const Oracle *o, CtRef timeline)
{
	uint32_t n = samples(o);
	CtState *states = malloc(n * sizeof(CtState));
	uint64_t *hashes = malloc(n * sizeof(uint64_t));

	entered_states(o, timeline, states);
	for (uint32_t i = 0; i < n; i++)
		hashes[i] = state_hash(o, &states[i]);
	free(states);
	return hashes;
}

/* True if the event is before the newest one that has entered. */
static bool
is_before_newest(const Oracle *o, const CtEvent *event)
{
	CtReadContext context = ct_store_read_context(&o->arena, ct_ptr(&o->arena, o->store));
	CtLayout scratch;
	CtItem newest;

	return ct_timeline_last(&context, ct_ptr(&o->arena, event->timeline), &newest, &scratch) &&
		   event->time < newest.time;
}

/* True if a later event may have committed before this one. */
static bool
is_overtaken(const Oracle *o, const CtEvent *event)
{
	const CtTimeline *timeline = ct_ptr(&o->arena, event->timeline);
	bool overtaken = false;

	for (CtRef ref = timeline->recent; ref != 0;)
	{
		const CtEvent *other = ct_ptr(&o->arena, ref);

		overtaken |= other->state == CT_RECENT && other->time > event->time && other->top != event->top &&
					 event->top >= other->top - other->span;
		ref = other->next;
	}
	return overtaken;
}

/* ---- answers that were given ------------------------------------------------------------------
 */

/* The values of the first attributes of a key, as one number. */
static uint64_t
answer_hash(const Oracle *o, uint32_t key, int64_t time, int nattrs, const CtSnapshot *snapshot)
{
	ModelEvent **event = malloc((o->nevents + 1) * sizeof(ModelEvent *));
	uint32_t n = visible_events(o, key, snapshot, event);
	uint32_t i = 0;
	ModelState state;
	Sight sight;
	uint64_t hash;

	start_state(o, &state);
	for (; i < n && event[i]->time <= time; i++)
		apply_event(o, &state, event[i]);
	sight = (Sight){&state, time, INT64_MAX, event + i, n - i};
	hash = state.present;
	for (int j = 0; j < nattrs && state.present; j++)
	{
		const ModelAttr *attr = &o->attr[j];
		const ModelValue *value = &state.value[j];
		CtWide number;

		hash = next_random(&hash) + value->null;
		if (value->null || attr->rule == CT_RULE_NONE)
			continue;
		if (attr->number == CT_NUMBER_NONE)
		{
			for (uint32_t k = 0; k < value->bytes; k++)
				hash = next_random(&hash) + value->image[k];
			continue;
		}
		number = attr->rate > 0 ? place_at(o, &sight, j) : attr->linear ? linear_at(&sight, j)
																		: wide_of(value->number);
		for (int k = 0; k < 3; k++)
			hash = next_random(&hash) + number.word[k];
		hash = next_random(&hash) + (uint64_t) value->days;
		hash = next_random(&hash) + (uint64_t) value->months;
	}
	free(event);
	return hash;
}

/* True if all committed events of a key have entered. */
static bool
has_entered(const Oracle *o, uint32_t key)
{
	CtRef timeline = find_timeline(o, key);
	uint32_t count;

	if (timeline == 0)
		return true;
	for (CtRef ref = ct_timeline_recent(&o->arena, timeline, &count); ref != 0;)
	{
		const CtEvent *event = ct_ptr(&o->arena, ref);

		if (event->state == CT_RECENT && has_committed(o, event->top, event->xid))
			return false;
		ref = event->next;
	}
	return true;
}

/* Check that every change of a given answer was reported. */
static void
compare_reading(const Oracle *o, const Reading *reading)
{
	HeldSnapshot now;

	if (reading->told || reading->time < o->retained || !has_entered(o, reading->key))
		return;
	take_snapshot(o, &now);
	ORACLE_REQUIRE(answer_hash(o, reading->key, reading->time, reading->nattrs, &now.snapshot) == reading->hash);
}

/* Read, after raising the read watermark, and record the answer; the oldest records are overwritten. */
static void
note_reading(Oracle *o, uint32_t key, int64_t time)
{
	Reading *reading = &o->reading[o->nreadings % MAX_READINGS];
	HeldSnapshot now;

	if (o->nreadings++ >= MAX_READINGS)
		compare_reading(o, reading);
	take_snapshot(o, &now);
	*reading = (Reading){.key = key,
						 .time = time,
						 .nattrs = o->nattrs,
						 .hash = answer_hash(o, key, time, o->nattrs, &now.snapshot)};
}

/* Record the reported changes. */
static void
hear_changes(Oracle *o, const CtChanged *changed)
{
	for (uint64_t i = 0; i < changed->events; i++)
	{
		const CtKeyChanged *key = &changed->keys[i];

		ORACLE_REQUIRE(changed->from <= key->from && key->to <= changed->to);
		for (uint32_t j = 0; j < o->nreadings && j < MAX_READINGS; j++)
		{
			Reading *reading = &o->reading[j];

			reading->told |= find_timeline(o, reading->key) == key->timeline && key->from <= reading->time &&
							 reading->time < key->to;
		}
	}
}

/*
 * Enter one event, and compare the reported change with the actual change of
 * states.
 */
static void
enter_one(Oracle *o, CtRef batch)
{
	CtRef ref = ((const CtBatch *) ct_ptr(&o->arena, batch))->first;
	const CtEvent *event = ct_ptr(&o->arena, ref);
	CtRef timeline = event->timeline;
	int64_t time = event->time;
	CtKeyChanged key;
	CtChanged changed = {.keys = &key};
	CtStats before, after;
	uint64_t *old = state_hashes(o, timeline);
	uint64_t *new;
	bool before_newest = is_before_newest(o, event);
	bool overtaken = is_overtaken(o, event);
	bool looks_back = false;
	CtStatus status;
	bool late;
	bool due;

	for (int i = 0; i < o->nattrs; i++)
		looks_back |= o->attr[i].linear;
	ct_store_stats(&o->arena, o->store, &before);
	status = enter_both(o, batch, 1, &changed);
	ct_store_stats(&o->arena, o->store, &after);
	hear_changes(o, &changed);
	new = state_hashes(o, timeline);
	ORACLE_REQUIRE(status == CT_OK || status == CT_MORE || status == CT_NO_MEMORY);
	ORACLE_REQUIRE(changed.events <= 1);
	late = after.late > before.late || before_newest || overtaken;
	due = late || time <= o->served;
	ORACLE_REQUIRE(changed.events == 0 || late || changed.from <= o->served);
	ORACLE_REQUIRE(changed.events == 0 || changed.from < changed.to);
	ORACLE_REQUIRE(changed.events == 0 || changed.from == time || (looks_back && changed.from < time) ||
				   (o->id_of_key && changed.from > time));
	for (uint32_t i = 0; i < samples(o); i++)
	{
		int64_t at = sample(o, i);
		bool told = changed.events > 0 && changed.from <= at && at < changed.to;

		due |= old[i] != new[i] && at <= o->served;
		ORACLE_REQUIRE(old[i] == new[i] || told || !due);
		ORACLE_REQUIRE(old[i] == new[i] || at >= time || looks_back);
	}
	free(old);
	free(new);
}

static void
do_enter(Oracle *o)
{
	CtRef batch = some_batch(o, COMMITTED);
	CtKeyChanged keys[MOST_ENTERED];
	CtChanged changed = {.keys = keys};
	CtStatus status;

	if (batch == 0)
		return;
	if (o->settings.instants < 100 && one_in(o, 3))
		enter_one(o, batch);
	else
	{
		status = enter_both(o, batch, 1 + (int) pick(o, 20), &changed);
		hear_changes(o, &changed);
		ORACLE_REQUIRE(status == CT_OK || status == CT_MORE || status == CT_NO_MEMORY);
	}
}

static void
do_drop(Oracle *o)
{
	CtRef batch = some_batch(o, ABORTED);
	CtStatus status;

	if (batch == 0)
		return;
	o->due = 0; /* timelines may go */
	status = ct_store_drop(&o->arena, o->store, batch, 1 + (int) pick(o, 20));
	ORACLE_REQUIRE(status == CT_OK || status == CT_MORE);
}

static CtStatus
do_settle(Oracle *o, uint64_t horizon, int limit)
{
	CtStatus status;

	if (horizon > o->horizon)
		o->horizon = horizon;
	if (o->settings.retract)
		o->due = 0; /* timelines may go */
	status = ct_store_settle(&o->arena, o->store, o->horizon, limit);
	ORACLE_REQUIRE(status == CT_OK || status == CT_MORE || status == CT_NO_MEMORY);
	return status;
}

/* The horizon: the oldest transaction id that some snapshot in use may not see. */
static uint64_t
current_horizon(const Oracle *o)
{
	HeldSnapshot now;
	uint64_t horizon;

	take_snapshot(o, &now);
	horizon = now.snapshot.xmin;
	for (int i = 0; i < o->nheld; i++)
	{
		if (o->held[i].snapshot.xmin < horizon)
			horizon = o->held[i].snapshot.xmin;
	}
	return horizon;
}

static void
do_read(Oracle *o)
{
	HeldSnapshot now;
	uint32_t which = pick(o, (uint32_t) o->nheld + 1);
	int64_t first = o->start + (int64_t) pick(o, o->settings.instants + 2) - 1;
	uint32_t key = pick(o, o->settings.keys);

	if (instant(o, first) < o->retained)
		first = first_instant(o);
	take_snapshot(o, &now);
	if (which < (uint32_t) o->nheld)
		now = o->held[which];
	now.snapshot.xip = now.xip;
	if (one_in(o, 4))
		now.snapshot.until = instant(o, first + pick(o, 3));
	compare_key(o, key, first, (int) pick(o, o->settings.instants), &now.snapshot);
	if (instant(o, first) > o->served && one_in(o, 8))
		o->served = instant(o, first);
	if (instant(o, first) <= o->served)
		note_reading(o, key, instant(o, first));
	if (behind(o, instant(o, first)) <= o->served)
		note_reading(o, key, behind(o, instant(o, first)));
}

/* True if the model has no duplicate of the event, and no equal one that may be retracted. */
static bool
is_single(const Oracle *o, const ModelEvent *event)
{
	sorting = o;
	for (uint32_t i = 0; i < o->nevents; i++)
	{
		const ModelEvent *other = &o->event[i];

		if (other != event && other->key == event->key &&
			(is_duplicate(o, event, other) || (o->settings.retract && cmp_events(&other, &event) == 0)))
			return false;
	}
	return true;
}

/* Remove a frozen one of the equal events; which one does not matter. */
static void
forget_one(Oracle *o, const ModelEvent *event)
{
	ModelEvent *gone = NULL;

	sorting = o;
	for (uint32_t i = 0; i < o->nevents; i++)
	{
		const ModelEvent *other = &o->event[i];

		if (!other->entered || other->key != event->key || cmp_events(&other, &event) != 0)
			continue;
		o->event[i].late = UNKNOWN;
		if (other->top < current_horizon(o))
			gone = &o->event[i];
	}
	ORACLE_REQUIRE(gone != NULL);
	*gone = o->event[--o->nevents];
}

/* Remove an event that every snapshot sees from its timeline, if it has entered. */
static void
do_unload(Oracle *o)
{
	CtWriter writer = ct_writer(&o->arena, o->store);
	uint8_t payload[MAX_ATTRS * (MAX_IMAGE + 4)];
	ModelEvent *event;
	CtChange change;
	CtRef timeline;
	CtStatus status;

	if (o->nevents == 0)
		return;
	event = &o->event[pick(o, o->nevents)];
	timeline = find_timeline(o, event->key);
	if (!has_committed(o, event->top, event->xid) || is_taken(o, event) || timeline == 0 ||
		event->top >= current_horizon(o) || !is_single(o, event))
		return;
	change = (CtChange){.time = event->time,
						.set = event->set,
						.null = event->null,
						.payload = payload,
						.payload_bytes = payload_of(o, event, payload),
						.kind = event->kind};
	status = ct_timeline_unload(&writer, timeline, &change);
	ORACLE_REQUIRE(status == CT_OK || status == CT_GONE || status == CT_NOT_YET || status == CT_NO_MEMORY);
	if (status != CT_OK)
		return;
	if (event->key < 64 && find_timeline(o, event->key) == 0)
		o->due &= ~(UINT64_C(1) << event->key);
	for (uint32_t i = 0; i < MAX_READINGS; i++)
		o->reading[i].told |= o->reading[i].key == event->key; /* no change is reported for this */
	forget_one(o, event);
}

/* Older instants are not read again; events are written a little before that. */
static void
retain_from(Oracle *o, int64_t from, int limit)
{
	CtStatus status = ct_store_retain(&o->arena, o->store, from, limit);
	CtStats stats;

	ORACLE_REQUIRE(status == CT_OK || status == CT_MORE);
	ct_store_stats(&o->arena, o->store, &stats);
	ORACLE_REQUIRE(stats.retained >= o->retained);
	ORACLE_REQUIRE(stats.retained == o->retained || stats.retained <= from);
	o->due = 0; /* timelines may go */
	o->retained = stats.retained;
	while (instant(o, o->start + 2) < o->retained)
		o->start++;
}

static void
do_retain(Oracle *o)
{
	retain_from(o, instant(o, o->start + pick(o, 2 + o->settings.instants / 3)), 1 + (int) pick(o, 100));
}

/* Continue a walk over all timelines; each must be visited once. */
static void
do_walk(Oracle *o)
{
	for (int i = 1 + (int) pick(o, 4); i > 0; i--)
	{
		CtRef timeline = ct_store_next(&o->arena, o->store, &o->walk);
		uint32_t key_bytes;
		const void *key;
		uint8_t bytes[CT_MAX_KEY_BYTES];

		if (timeline == 0)
		{
			ORACLE_REQUIRE((o->due & ~o->walked) == 0);
			o->walk = 0;
			o->walked = o->due = 0;
			return;
		}
		key = ct_timeline_key(&o->arena, timeline, &key_bytes);
		for (uint32_t k = 0; k < o->settings.keys && k < 64; k++)
		{
			if (key_bytes != key_bytes_of(k, bytes) || memcmp(key, bytes, key_bytes) != 0)
				continue;
			o->walked |= UINT64_C(1) << k;
			break;
		}
	}
}

static void
do_widen(Oracle *o)
{
	CtSchema *schema;
	CtStatus status;

	if (o->nattrs == o->all_attrs || !one_in(o, 30))
		return;
	schema = make_schema(o, o->nattrs + 1);
	status = ct_store_widen(&o->arena, o->store, schema);
	ORACLE_REQUIRE(status == CT_OK || status == CT_NO_MEMORY);
	free(status == CT_OK ? o->schema : schema);
	if (status == CT_OK)
	{
		o->schema = schema;
		o->nattrs++;
	}
}

void
oracle_step(Oracle *o)
{
	uint32_t what = pick(o, 42);

	o->steps++;
	if (o->settings.retain && one_in(o, 12))
		do_retain(o);
	if (one_in(o, 30))
		oracle_fail_allocations(pick(o, 8), 1 + pick(o, 5));
	if (what < 16 && o->settings.retract && one_in(o, 2))
		do_retract(o);
	else if (what < 16)
		do_add(o);
	else if (what < 21)
		do_read(o);
	else if (what < 28)
		do_enter(o);
	else if (what < 30)
		do_drop(o);
	else if (what < 32)
		(void) do_settle(o, current_horizon(o), 1 + (int) pick(o, 20));
	else if (what < 35 && o->ntransactions > 0)
		end_transaction(o, (int) pick(o, (uint32_t) o->ntransactions), one_in(o, 4) ? ABORTED : COMMITTED);
	else if (what == 35 && o->ntransactions > 0)
		rollback_subtransaction(o, &o->transaction[pick(o, (uint32_t) o->ntransactions)]);
	else if (what == 36)
		hold_snapshot(o);
	else if (what == 37)
		do_widen(o);
	else if (what >= 40)
		do_unload(o);
	else
		do_walk(o);
	if (o->steps % o->settings.validate_every == 0)
		validate(o);
}

/* ---- beginning and end
 * ---------------------------------------------------------------------------------- */

Oracle *
oracle_create(OracleSource *source, const OracleSettings *settings)
{
	Oracle *o = calloc(1, sizeof(Oracle));

	o->source = source;
	o->settings = *settings;
	o->next_xid = 3;
	o->status_slot = 1024;
	o->xact_status = calloc(1, o->status_slot);
	o->served = o->retained = INT64_MIN;
	o->sparse = one_in(o, 4);
	o->plain = one_in(o, 3);
	o->alike = o->plain && one_in(o, 2);
	random_clock(o);
	random_schema(o);
	o->base = aligned_alloc(CT_PAGE_BYTES, settings->region_bytes);
	ORACLE_REQUIRE(ct_region_format(o->base, settings->region_bytes, 2) == CT_OK);
	o->arena = ct_arena_attach(o->base, 1);
	ORACLE_REQUIRE(ct_store_create(&o->arena, o->schema, &o->store) == CT_OK);
	return o;
}

/* Compare every instant that can be read, of every key. */
static void
compare_all(const Oracle *o, const CtSnapshot *snapshot)
{
	int64_t first = first_instant(o);

	first -= instant(o, first - 1) >= o->retained;
	for (uint32_t key = 0; key < o->settings.keys; key++)
		compare_key(o, key, first, (int) o->settings.instants, snapshot);
}

void
oracle_finish(Oracle *o)
{
	CtKeyChanged keys[MOST_ENTERED];
	HeldSnapshot now;
	CtRef batch;
	CtStats stats;
	uint64_t settled = 0;
	bool entered = true;
	CtStatus settling;

	oracle_fail_allocations(0, 0);
	while (o->ntransactions > 0)
		end_transaction(o, 0, one_in(o, 2) ? ABORTED : COMMITTED);
	o->nheld = 0;
	while (some_batch(o, ABORTED) != 0)
		do_drop(o);
	while ((batch = some_batch(o, COMMITTED)) != 0)
	{
		CtChanged changed = {.keys = keys};

		entered = enter_both(o, batch, MOST_ENTERED, &changed) != CT_NO_MEMORY;
		hear_changes(o, &changed);
		if (!entered)
			break;
	}
	for (uint32_t i = 0; i < o->nreadings && i < MAX_READINGS; i++)
		compare_reading(o, &o->reading[i]);
	take_snapshot(o, &now);
	compare_all(o, &now.snapshot);
	settling = do_settle(o, o->next_xid, 1000000);
	validate(o);
	compare_all(o, &now.snapshot);
	for (int i = 0; o->settings.retain && i < 3; i++)
	{
		retain_from(o, instant(o, first_instant(o) + i * o->settings.instants), INT32_MAX);
		validate(o);
		compare_all(o, &now.snapshot);
	}

	ct_store_stats(&o->arena, o->store, &stats);
	ORACLE_REQUIRE(stats.unmatched == 0);
	ORACLE_REQUIRE(stats.duplicates + stats.conflicts == 0 || !o->settings.retract);
	ORACLE_REQUIRE(stats.recent == 0 || !entered || settling != CT_OK);
	for (uint32_t key = 0; key < o->settings.keys; key++)
	{
		ModelEvent **event = malloc((o->nevents + 1) * sizeof(ModelEvent *));

		settled += visible_events(o, key, &now.snapshot, event);
		free(event);
	}
	if (stats.recent == 0)
		ORACLE_REQUIRE(stats.frozen + stats.folded == settled && stats.young == 0);
}

void
oracle_destroy(Oracle *o)
{
	CtStatus status;
	const char *reason;

	do
		status = ct_store_free(&o->arena, o->store, 1 + (int) pick(o, 50));
	while (status == CT_MORE);
	ORACLE_REQUIRE(status == CT_OK);
	ORACLE_REQUIRE(ct_region_used(o->base) == 0);
	ORACLE_REQUIRE(ct_region_validate(o->base, &reason) == CT_OK);
	free(o->base);
	free(o->schema);
	free(o->event);
	free(o->xact_status);
	free(o);
}
