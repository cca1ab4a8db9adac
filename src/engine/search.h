/*
 * search.h
 *	  How many of some sorted instants are at or before another one.
 *
 * Of contiguous ones all are compared at once, as many as a register holds:
 * a search that branches would be wrong every other time.
 */
#ifndef CT_SEARCH_H
#define CT_SEARCH_H

#include <stdint.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define CT_SEARCH_AVX2 1

__attribute__((target("avx2"))) static uint32_t
ct_count_until_avx2(const int64_t *time, uint32_t n, int64_t until)
{
	__m256i limit = _mm256_set1_epi64x(until);
	__m256i greater = _mm256_setzero_si256();
	uint32_t i = 0;
	uint32_t count;

	for (; i + 4 <= n; i += 4)
		greater = _mm256_sub_epi64(
			greater, _mm256_cmpgt_epi64(_mm256_loadu_si256((const __m256i *) &time[i]), limit));
	count = i - (uint32_t) (_mm256_extract_epi64(greater, 0) + _mm256_extract_epi64(greater, 1) +
							_mm256_extract_epi64(greater, 2) + _mm256_extract_epi64(greater, 3));
	for (; i < n; i++)
		count += time[i] <= until;
	return count;
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
