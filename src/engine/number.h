/*
 * number.h
 *	  192-bit numbers: the inline operations.
 *
 * Included by number.c, and by the files that fold events.
 */
#ifndef CT_NUMBER_H
#define CT_NUMBER_H

#include "engine/check.h"
#include "engine/engine.h"

#define CT_NUMERIC_BYTES 64 /* the longest image of 57 decimal digits and a scale */

static inline unsigned __int128
wide_low(CtWide a)
{
	return (unsigned __int128) a.word[1] << 64 | a.word[0];
}

static inline CtWide
wide_make(unsigned __int128 low, uint64_t high)
{
	return (CtWide){{(uint64_t) low, (uint64_t) (low >> 64), high}};
}

static inline CtWide
wide_from_int128(__int128 value)
{
	return wide_make((unsigned __int128) value, value < 0 ? UINT64_MAX : 0);
}

static inline CtWide
wide_from_int64(int64_t value)
{
	return wide_from_int128(value);
}

static inline CtWide
wide_add(CtWide a, CtWide b)
{
	unsigned __int128 low = wide_low(a) + wide_low(b);

	return wide_make(low, a.word[2] + b.word[2] + (low < wide_low(a)));
}

static inline CtWide
wide_subtract(CtWide a, CtWide b)
{
	return wide_make(wide_low(a) - wide_low(b),
					 a.word[2] - b.word[2] - (wide_low(a) < wide_low(b)));
}

static inline bool
wide_less(CtWide a, CtWide b)
{
	if (a.word[2] != b.word[2])
		return (int64_t) a.word[2] < (int64_t) b.word[2];
	return wide_low(a) < wide_low(b);
}

static inline bool
wide_same(CtWide a, CtWide b)
{
	return ((a.word[0] ^ b.word[0]) | (a.word[1] ^ b.word[1]) | (a.word[2] ^ b.word[2])) == 0;
}

static inline bool
wide_negative(CtWide a)
{
	return (int64_t) a.word[2] < 0;
}

static inline CtWide
wide_negate(CtWide a)
{
	return wide_subtract((CtWide){{0, 0, 0}}, a);
}

/* number.c */
CtWide ct_wide_times(CtWide a, CtWide b);
CtWide ct_wide_shift(CtWide a, int digits);
CtWide ct_wide_round(CtWide a, int digits);
uint32_t ct_wide_to_numeric(CtWide value, int scale, uint8_t *image);
CtWide ct_wide_between(CtWide a, CtWide b, uint64_t part, uint64_t whole);

#endif /* CT_NUMBER_H */
