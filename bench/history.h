/*
 * history.h
 *	  What the benchmark puts in, and what must come out.
 *
 * Events in order, late events, streams over many keys, instants to read at;
 * and the truth about them: the events sorted, folded one by one.  All of it
 * comes from one generator with a fixed seed, so every run sees the same.
 *
 * Used by engine_bench.c and replay.c.  Nothing here is ever timed.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_COLUMNS 4
#define TICKS (INT64_C(1) << 20) /* between the events of a timeline in order */
#define LOWER 0                  /* bounds of a clamped sum */
#define UPPER 100

typedef enum Rule
{
	RULE_SUM,
	RULE_CLAMP, /* sum within LOWER and UPPER */
	RULE_LAST
} Rule;

/* An event; column c has `value` + c. */
typedef struct Event
{
	int64_t time;
	int64_t value; /* this and the next are the payload as the engine takes it */
	int64_t id;
} Event;

/* One of a stream over many keys; its id is its number in the stream + 1. */
typedef struct Arrival
{
	int64_t time;
	uint32_t key;
	int32_t value;
} Arrival;

typedef struct State
{
	bool present;
	int64_t id; /* of the last event */
	int64_t value[MAX_COLUMNS];
} State;

/* Where late events go. */
typedef enum Place
{
	AT_START, /* each before all there are */
	BEHIND,   /* `distance` events before the newest, the same ones always */
	ANYWHERE  /* at an instant drawn from the whole timeline */
} Place;

/* Memory in huge pages, where they are to be had. */
typedef struct Memory
{
	char *base;
	size_t touched;
} Memory;

/* Its first bytes, all touched before: what is measured waits for no page. */
void *memory_touch(Memory *memory, size_t bytes);

void random_seed(uint64_t seed);
uint64_t random_below(uint64_t bound);

/* Events number 0 .. count - 1, TICKS apart; ids from 1. */
void events_in_order(Event *event, uint32_t count);

/* Late ones for a timeline of `count` events in order; ids go on. */
void events_late(Event *late, uint32_t nlate, uint32_t count, Place place, uint32_t distance);

void events_sort(Event *event, uint32_t count);

/* Instants from `from` on, before `to`. */
void instants_between(int64_t *instant, uint32_t count, int64_t from, int64_t to);

/* A stream over keys 0 .. keys - 1, one in ten late, by up to all that has passed. */
void stream_make(Arrival *arrival, uint32_t count, uint32_t keys, double zipf);

/* The events of one key of a stream, in the order of arrival; how many. */
uint32_t stream_of_key(const Arrival *arrival, uint32_t count, uint32_t key, Event *event);

static inline Event
arrival_event(const Arrival *arrival, uint32_t number)
{
	return (Event){arrival->time, arrival->value, (int64_t) number + 1};
}

/* Reads a state from what is to be verified. */
typedef void (*Reader)(const void *subject, int64_t time, State *state);

/*
 * Compare what `subject` says at a sample of instants with the fold of its
 * events: `ordered`, which are in order, and `others`.  The program ends
 * loudly when they differ.
 */
typedef struct Truth
{
	const char *name; /* to be told when they differ */
	Rule rule;
	uint32_t columns;
	const Event *ordered;
	uint32_t nordered;
	const Event *others;
	uint32_t nothers;
} Truth;

void truth_check(const Truth *truth, const char *side, Reader reader, const void *subject);

#endif /* HISTORY_H */
