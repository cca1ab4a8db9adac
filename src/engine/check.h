/*
 * check.h
 *	  Assertions: what must hold of limits, invariants and callers.
 *
 * They are on where CT_ASSERTIONS or USE_ASSERT_CHECKING is defined: in the unit
 * tests, under the fuzzer and the sanitizers, and in an assert build of the
 * extension.  Elsewhere nothing is left of them.  Those of a numbered invariant
 * name it.
 *
 * What a reader without the lock finds may be torn: of that nothing is asserted,
 * only of what has been brought within its limits.
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
