/*
 * search.h
 *	  Count how many of some sorted instants are at or before another one.
 *
 * All instants are compared, as many at once as a register holds: the branches
 * of a binary search would be mispredicted half of the time.
 */
#ifndef CT_SEARCH_H
#define CT_SEARCH_H

#include <stdint.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define CT_SEARCH_AVX2 1

#define CT_GREATER(at, limit) _mm256_cmpgt_epi64(_mm256_loadu_si256((const __m256i *) (at)), limit)

static const int64_t ct_search_mask[8] = {-1, -1, -1, -1, 0, 0, 0, 0};

__attribute__((target("avx2"))) static uint32_t
ct_count_until_avx2(const int64_t *time, uint32_t n, int64_t until)
{
	__m256i limit = _mm256_set1_epi64x(until);
	__m256i greater = _mm256_setzero_si256();
	__m128i half;
	uint32_t i = 0;

	/* -1 means greater, so these are sums of at most 0. */
	for (; i + 16 <= n; i += 16)
		greater =
			_mm256_add_epi64(greater,
							 _mm256_add_epi64(_mm256_add_epi64(CT_GREATER(&time[i], limit),
															   CT_GREATER(&time[i + 4], limit)),
											  _mm256_add_epi64(CT_GREATER(&time[i + 8], limit),
															   CT_GREATER(&time[i + 12], limit))));
	for (; i + 4 <= n; i += 4)
		greater = _mm256_add_epi64(greater, CT_GREATER(&time[i], limit));
	if (i < n)
	{
		/* Compare the rest at once: a loop over it would be mispredicted. */
		__m256i left = _mm256_loadu_si256((const __m256i *) &ct_search_mask[i + 4 - n]);
		__m256i rest = _mm256_maskload_epi64((const long long *) &time[i], left);

		greater =
			_mm256_add_epi64(greater, _mm256_and_si256(left, _mm256_cmpgt_epi64(rest, limit)));
	}
	half = _mm_add_epi64(_mm256_castsi256_si128(greater), _mm256_extracti128_si256(greater, 1));
	return n + (uint32_t) _mm_cvtsi128_si32(_mm_add_epi64(half, _mm_unpackhi_epi64(half, half)));
}
#endif

static inline uint32_t
ct_count_until(const int64_t *time, uint32_t n, int64_t until)
{
	uint32_t count = 0;

#ifdef CT_SEARCH_AVX2
	if (__builtin_cpu_supports("avx2"))
		return ct_count_until_avx2(time, n, until);
#endif
	for (uint32_t i = 0; i < n; i++)
		count += time[i] <= until;
	return count;
}

#endif /* CT_SEARCH_H */
