/*
 * number.c
 *	  192-bit fixed-point numbers, for sums, minima and maxima.
 *
 * Called by rule.c, and to convert a state to values.
 *
 * Overflow: a value has at most 36 decimal digits, and is below 2^120.  A region
 * of at most 2^36 bytes has fewer than 2^33 events.  So every sum of them, and of
 * a bound, is below 2^154, and far from the three reserved patterns at the ends.
 *
 * These are pure functions.
 *
 * Not here: rules, bounds (rule.c).
 */
#include "engine/number.h"

#include <string.h>

#define SIGN_BIT (UINT64_C(1) << 63)

const CtWide CT_WIDE_ZERO = {{0, 0, 0}};
const CtWide CT_WIDE_MINUS_INFINITY = {{0, 0, SIGN_BIT}};
const CtWide CT_WIDE_PLUS_INFINITY = {{UINT64_MAX, UINT64_MAX, SIGN_BIT - 1}};
const CtWide CT_WIDE_NAN = {{UINT64_MAX - 1, UINT64_MAX, SIGN_BIT - 1}};

static inline bool
is_same(CtWide a, CtWide b)
{
	return a.word[0] == b.word[0] && a.word[1] == b.word[1] && a.word[2] == b.word[2];
}

static CtWide
negate_wide(CtWide a)
{
	CtWide one = {{1, 0, 0}};

	for (int i = 0; i < 3; i++)
		a.word[i] = ~a.word[i];
	return wide_add(a, one);
}

CtWide
ct_wide_from_int64(int64_t value)
{
	uint64_t sign = value < 0 ? UINT64_MAX : 0;
	CtWide wide = {{(uint64_t) value, sign, sign}};

	return wide;
}

bool
ct_wide_to_int64(CtWide value, int64_t *result)
{
	uint64_t sign = (value.word[0] & SIGN_BIT) ? UINT64_MAX : 0;

	if (value.word[1] != sign || value.word[2] != sign)
		return false;
	*result = (int64_t) value.word[0];
	return true;
}

int
ct_wide_cmp(CtWide a, CtWide b)
{
	return (int) wide_less(b, a) - (int) wide_less(a, b);
}

/* Multiply *value by `factor`, and add `more`.  False: the result is not below 2^184. */
static bool
multiply_wide(CtWide *value, uint32_t factor, uint32_t more)
{
	unsigned __int128 carry = more;

	for (int i = 0; i < 3; i++)
	{
		carry += (unsigned __int128) value->word[i] * factor;
		value->word[i] = (uint64_t) carry;
		carry >>= 64;
	}
	return carry == 0 && value->word[2] >> 56 == 0;
}

/* Divide *value, which is not negative.  Return the remainder. */
static uint32_t
divide_wide(CtWide *value, uint32_t divisor)
{
	unsigned __int128 rest = 0;

	CT_ASSERT(divisor != 0);
	for (int i = 2; i >= 0; i--)
	{
		rest = rest << 64 | value->word[i];
		value->word[i] = (uint64_t) (rest / divisor);
		rest %= divisor;
	}
	return (uint32_t) rest;
}

/*
 * The parts of a numeric as PostgreSQL stores it: a 16-bit header, in the long
 * form a 16-bit weight, then digits of base 10000.  The first digit counts
 * 10000^weight.
 *
 *	 11xx............     special: NaN, +infinity (01), -infinity (11)
 *	 10s ddddddd wwwwwww  short: sign, display scale, weight (signed, 7 bits)
 *	 0s dddddddddddddd    long: sign, display scale; the weight follows
 */
typedef struct CtNumeric
{
	bool negative;
	int weight;
	uint32_t ndigits;
	const unsigned char *digits;
} CtNumeric;

static uint16_t
load_word(const unsigned char *at)
{
	uint16_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* Split a numeric into its parts.  False: it is a special value or damaged. */
static bool
split_numeric(const unsigned char *image, uint32_t bytes, CtNumeric *number)
{
	uint16_t header = bytes >= 2 ? load_word(image) : 0xC000;
	uint32_t start = 2;

	if ((header & 0xC000) == 0xC000)
		return false;
	if (header & 0x8000)
	{
		number->negative = (header & 0x2000) != 0;
		number->weight = header & 0x3F;
		if (header & 0x40)
			number->weight -= 64;
	}
	else
	{
		if (bytes < 4)
			return false;
		number->negative = (header & 0x4000) != 0;
		number->weight = (int16_t) load_word(image + 2);
		start = 4;
	}
	number->digits = image + start;
	number->ndigits = (bytes - start) / 2;
	return true;
}

static CtWide
read_special(const unsigned char *image, uint32_t bytes)
{
	uint16_t header = bytes >= 2 ? load_word(image) : 0xC000;

	if ((header & 0xF000) == 0xD000)
		return CT_WIDE_PLUS_INFINITY;
	if ((header & 0xF000) == 0xF000)
		return CT_WIDE_MINUS_INFINITY;
	return CT_WIDE_NAN;
}

/*
 * Convert a numeric.  Digits beyond `scale` are cut off; a column of that scale has
 * none.  A number that is too large for any column becomes an infinity.
 */
CtWide
ct_wide_from_numeric(const void *image, uint32_t bytes, int scale)
{
	CtNumeric number;
	CtWide value = CT_WIDE_ZERO;
	bool fits = true;
	int64_t shift;

	CT_ASSERT(scale >= 0);
	if (!split_numeric(image, bytes, &number))
		return read_special(image, bytes);

	for (uint32_t i = 0; i < number.ndigits && fits; i++)
		fits = multiply_wide(&value, 10000, load_word(number.digits + (size_t) i * 2));
	shift = 4 * ((int64_t) number.weight - number.ndigits + 1) + scale;
	if (!is_same(value, CT_WIDE_ZERO))
	{
		for (; shift > 0 && fits; shift--)
			fits = multiply_wide(&value, 10, 0);
	}
	for (; shift < 0 && !is_same(value, CT_WIDE_ZERO) && fits; shift++)
		divide_wide(&value, 10);
	if (!fits)
		return number.negative ? CT_WIDE_MINUS_INFINITY : CT_WIDE_PLUS_INFINITY;
	return number.negative ? negate_wide(value) : value;
}

void
ct_wide_to_decimal(CtWide value, char *buf)
{
	char digits[64];
	int n = 0;

	if (is_same(value, CT_WIDE_NAN))
		strcpy(buf, "NaN");
	else if (is_same(value, CT_WIDE_PLUS_INFINITY))
		strcpy(buf, "Infinity");
	else if (is_same(value, CT_WIDE_MINUS_INFINITY))
		strcpy(buf, "-Infinity");
	else
	{
		if (value.word[2] & SIGN_BIT)
		{
			*buf++ = '-';
			value = negate_wide(value);
		}
		do
			digits[n++] = (char) ('0' + divide_wide(&value, 10));
		while (!is_same(value, CT_WIDE_ZERO));
		while (n > 0)
			*buf++ = digits[--n];
		*buf = '\0';
	}
}

/* ---- conversion to an image -------------------------------------------------- */

/*
 * Write the image of a numeric of that scale, as PostgreSQL stores it, to `image`,
 * which has CT_NUMERIC_BYTES.  Return its length.  A numeric(p,s) has one image for
 * each value, so comparing these images orders numbers as their original images
 * would.
 */
uint32_t
ct_wide_to_numeric(CtWide value, int scale, uint8_t *image)
{
	uint16_t digit[CT_NUMERIC_BYTES / 2];
	bool negative = (value.word[2] & SIGN_BIT) != 0;
	uint32_t ndigits = 0;
	uint32_t first = 0;
	int weight = -((scale + 3) / 4);
	uint16_t header = (uint16_t) (0x8000 | (negative ? 0x2000 : 0) | (scale & 0x3F) << 7);

	CT_ASSERT(scale >= 0 && scale <= 0x3F);
	if (is_same(value, CT_WIDE_NAN))
	{
		header = 0xC000;
		memcpy(image, &header, sizeof(header));
		return sizeof(header);
	}
	if (negative)
		value = negate_wide(value);
	for (int i = scale; i % 4 != 0; i++)
		(void) multiply_wide(&value, 10, 0);
	for (; !is_same(value, CT_WIDE_ZERO); weight++)
	{
		uint16_t d = (uint16_t) divide_wide(&value, 10000);

		if (ndigits > 0 || d != 0) /* trailing zeros are not stored */
			digit[ndigits++] = d;
	}
	weight = ndigits == 0 ? 0 : weight - 1;
	if (ndigits == 0)
		header &= (uint16_t) ~0x2000;
	header |= (uint16_t) (weight & 0x7F);
	memcpy(image, &header, sizeof(header));
	for (first = 0; first < ndigits; first++)
		memcpy(image + 2 + 2 * first, &digit[ndigits - 1 - first], sizeof(uint16_t));
	return 2 + 2 * ndigits;
}

/* ---- products ---------------------------------------------------------------- */

static const uint64_t power_of_ten[] = {
	1,
	10,
	100,
	1000,
	10000,
	100000,
	1000000,
	10000000,
	100000000,
	1000000000,
	UINT64_C(10000000000),
	UINT64_C(100000000000),
	UINT64_C(1000000000000),
	UINT64_C(10000000000000),
	UINT64_C(100000000000000),
	UINT64_C(1000000000000000),
	UINT64_C(10000000000000000),
	UINT64_C(100000000000000000),
	UINT64_C(1000000000000000000),
};

#define MOST_DIGITS 18

/* Return a * b modulo 2^192, which is exact if it fits. */
CtWide
ct_wide_times(CtWide a, CtWide b)
{
	unsigned __int128 low = (unsigned __int128) a.word[0] * b.word[0];
	unsigned __int128 cross = (unsigned __int128) a.word[0] * b.word[1];
	unsigned __int128 other = (unsigned __int128) a.word[1] * b.word[0];
	unsigned __int128 middle = (low >> 64) + (uint64_t) cross + (uint64_t) other;
	uint64_t high = (uint64_t) (middle >> 64) + (uint64_t) (cross >> 64) +
					(uint64_t) (other >> 64) + a.word[0] * b.word[2] + a.word[1] * b.word[1] +
					a.word[2] * b.word[0];

	return (CtWide){{(uint64_t) low, (uint64_t) middle, high}};
}

/* Return a * 10^digits. */
CtWide
ct_wide_shift(CtWide a, int digits)
{
	CT_ASSERT(digits <= 3 * MOST_DIGITS);
	for (; digits > 0; digits -= MOST_DIGITS)
		a = ct_wide_times(a, (CtWide){{power_of_ten[digits < MOST_DIGITS ? digits : MOST_DIGITS], 0,
									   0}});
	return a;
}

/* Return a / 10^digits, rounded half away from zero.  At most 36 digits. */
CtWide
ct_wide_round(CtWide a, int digits)
{
	bool negative = wide_negative(a);
	unsigned __int128 part = 0;  /* remainder so far, */
	unsigned __int128 whole = 1; /* of this divisor */

	CT_ASSERT(digits >= 0 && digits <= 2 * MOST_DIGITS);
	if (digits == 0)
		return a;
	if (negative)
		a = negate_wide(a);
	for (; digits > 0; digits -= MOST_DIGITS)
	{
		uint64_t power = power_of_ten[digits < MOST_DIGITS ? digits : MOST_DIGITS];
		unsigned __int128 rest = 0;

		for (int i = 2; i >= 0; i--)
		{
			rest = rest << 64 | a.word[i];
			a.word[i] = (uint64_t) (rest / power);
			rest %= power;
		}
		part += rest * whole;
		whole *= power;
	}
	if (part >= whole - part)
		a = wide_add(a, wide_from_int64(1));
	return negative ? negate_wide(a) : a;
}

/* Return floor + part / whole, 0 <= part < whole, rounded half away from zero. */
static CtWide
round_half(CtWide floor, uint64_t part, uint64_t whole)
{
	bool negative = (floor.word[2] & SIGN_BIT) != 0;
	bool up = part > whole - part || (part == whole - part && !negative);

	return up ? wide_add(floor, wide_from_int64(1)) : floor;
}

/* Return a + (b - a) * part / whole, part < whole, rounded half away from zero. */
CtWide
ct_wide_between(CtWide a, CtWide b, uint64_t part, uint64_t whole)
{
	CtWide way = wide_subtract(b, a);
	bool back = (way.word[2] & SIGN_BIT) != 0;
	unsigned __int128 carry = 0;
	unsigned __int128 rest = 0;

	if (back)
		way = negate_wide(way);
	for (int i = 0; i < 3; i++)
	{
		carry += (unsigned __int128) way.word[i] * part;
		way.word[i] = (uint64_t) carry;
		carry >>= 64;
	}
	for (int i = 2; i >= 0; i--)
	{
		rest = rest << 64 | way.word[i];
		way.word[i] = (uint64_t) (rest / whole);
		rest %= whole;
	}
	if (!back)
		return round_half(wide_add(a, way), (uint64_t) rest, whole);
	a = wide_subtract(a, way);
	if (rest != 0)
		a = wide_subtract(a, wide_from_int64(1));
	return round_half(a, rest == 0 ? 0 : whole - (uint64_t) rest, whole);
}
