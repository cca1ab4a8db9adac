/*
 * check.h
 *	  Assertions of limits, invariants and the duties of callers.
 *
 * They are on if CT_ASSERTIONS or USE_ASSERT_CHECKING is defined: in the unit
 * tests, under the fuzzer and the sanitizers, and in an assert build of the
 * extension.  Elsewhere they generate no code.  An assertion of a numbered
 * invariant names it.
 *
 * What a reader without the lock finds may be torn.  It is only asserted after
 * it has been limited.
 *
 * Shared by the whole engine.
 */
#ifndef CT_CHECK_H
#define CT_CHECK_H

#if defined(CT_ASSERTIONS) || defined(USE_ASSERT_CHECKING)
#include <assert.h>
#define CT_ASSERT(condition) assert(condition)
#else
#define CT_ASSERT(condition) ((void) sizeof(condition))
#endif

#endif /* CT_CHECK_H */
