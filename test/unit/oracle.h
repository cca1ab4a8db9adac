/*
 * oracle.h
 *	  A store and a naive model of it: run a random operation on both, compare.
 *
 * The model is an array of events and a fold that applies them one by one; it
 * shares no code with the engine.  The operations are chosen by a source of
 * choices: a seeded generator in the unit tests, a fuzzer's bytes in the fuzz
 * target.  A difference is printed, and aborts the process.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include "engine/engine.h"

/* A source of choices: bytes until they end, or, without bytes, an endless generator. */
typedef struct OracleSource
{
	const uint8_t *data;
	size_t size;
	size_t at;
	uint64_t random;
	bool ended;
} OracleSource;

/* The parameters of one run. */
typedef struct OracleSettings
{
	size_t region_bytes;
	uint32_t keys;
	uint32_t instants;       /* number of different instants */
	uint32_t ids;            /* number of different event ids */
	uint32_t validate_every; /* steps between validations of the store */
	bool retain;             /* old events are folded as time goes on */
	bool retract;            /* events are retracted, and there are no duplicates */
} OracleSettings;

typedef struct Oracle Oracle;

uint32_t oracle_below(OracleSource *source, uint32_t n); /* 0 .. n - 1 */
OracleSource oracle_random(uint64_t seed);
OracleSource oracle_bytes(const uint8_t *data, size_t size);

/* After `after` more successful allocations, let `count` of them fail. */
void oracle_fail_allocations(uint32_t after, uint32_t count);

/* Seed of a randomised test: CT_SEED, the first argument, or the clock. */
uint64_t oracle_seed(int argc, char **argv);

Oracle *oracle_create(OracleSource *source, const OracleSettings *settings);
void oracle_step(Oracle *oracle);

/* End and commit all transactions, enter and freeze all events; then compare all keys. */
void oracle_finish(Oracle *oracle);

/* The number of calls of the engine that change or read something. */
uint64_t oracle_operations(void);

/* Free the store in steps; the region must be as it was before the store was created. */
void oracle_destroy(Oracle *oracle);

/* The value of a numeric with `scale` decimals as PostgreSQL stores it. */
uint32_t oracle_numeric(__int128 value, int scale, uint8_t *image);

/* A call that may not fail. */
#define ORACLE_REQUIRE(condition) ((condition) ? (void) 0 : oracle_fail(__FILE__, __LINE__, #condition))

_Noreturn void oracle_fail(const char *file, int line, const char *what);

#endif /* ORACLE_H */
