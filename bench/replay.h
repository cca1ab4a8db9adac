/*
 * replay.h
 *	  The baseline: events in sorted arrays, checkpoints, replay.
 *
 * What anyone would write first, with care: a key's events in one array in
 * order of (time, id), the state after about every hundredth kept beside it.
 * A late event moves what is behind it and replays from the checkpoint before
 * it, until a checkpoint comes out as it was.
 *
 *	  ReplayTimeline ── event: | time id value.. | time id value.. | ...
 *					 └─ checkpoint: | upto, state | upto, state | ...
 *
 * Used by engine_bench.c alone.  One thread; nothing is ever freed but with
 * the memory it was given.
 */
#ifndef REPLAY_H
#define REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "history.h"

#define REPLAY_EVERY 100 /* events between checkpoints; after late ones up to twice that */
#define REPLAY_SIZES 40

/* The state after the first `upto` events, the last of which is at `time`. */
typedef struct ReplayCheckpoint
{
	int64_t time;
	uint32_t upto;
	int64_t id;
	int64_t value[MAX_COLUMNS];
} ReplayCheckpoint;

typedef struct ReplayTimeline
{
	int64_t key;
	int64_t *event; /* `stride` words each */
	ReplayCheckpoint *checkpoint;
	uint32_t count;
	uint32_t capacity;
	uint32_t ncheckpoints;
	uint32_t checkpoint_capacity;
	State latest; /* after all events */
} ReplayTimeline;

typedef struct ReplaySlot
{
	uint64_t hash;
	ReplayTimeline *timeline; /* NULL: free */
} ReplaySlot;

typedef struct ReplayStore
{
	char *at; /* memory not used yet */
	char *end;
	void *free[REPLAY_SIZES]; /* pieces of 64 << i bytes to be used again */
	size_t bytes;             /* in use */
	Rule rule;
	uint32_t columns;
	uint32_t stride;  /* words of an event */
	ReplaySlot *slot; /* open addressing, at most half full */
	uint32_t nslots;
	uint32_t ntimelines;
} ReplayStore;

/* An empty store of events with so many columns, in the memory given. */
void replay_create(ReplayStore *store, void *memory, size_t bytes, Rule rule, uint32_t columns);

/* The timeline of a key, made if there is none. */
ReplayTimeline *replay_timeline(ReplayStore *store, int64_t key);

/* Add an event; false: it was there. */
bool replay_add(ReplayStore *store, ReplayTimeline *timeline, const Event *event);

/* The state at an instant. */
void replay_at(const ReplayStore *store, const ReplayTimeline *timeline, int64_t time,
			   State *state);

#endif /* REPLAY_H */
