/*
 * replay.c
 *	  The baseline: events in sorted arrays, checkpoints, replay.
 *
 * Invariants:
 *	 B1  The events of a timeline ascend by (time, id), strictly.
 *	 B2  Checkpoints ascend by `upto`; a checkpoint has the state after so many
 *		 events and the time of the last of them.  It stays behind that event
 *		 when earlier ones come in, so that one which comes out as it was ends
 *		 a replay.
 *	 B3  Between two of them are REPLAY_EVERY events up to twice as many, after
 *		 the last one fewer than REPLAY_EVERY.
 *
 * Not here: visibility, finish, snapshots, overflow: the baseline is spared them.
 */
#include "replay.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- memory ------------------------------------------------------------------ */

#define SMALLEST 64

static uint32_t
size_class(size_t bytes)
{
	return bytes <= SMALLEST ? 0 : 58 - (uint32_t) __builtin_clzll(bytes - 1);
}

static void *
take(ReplayStore *store, size_t bytes)
{
	uint32_t class = size_class(bytes);
	size_t size = (size_t) SMALLEST << class;
	void *piece = store->free[class];

	store->bytes += size;
	if (piece != NULL)
	{
		memcpy(&store->free[class], piece, sizeof(void *));
		return piece;
	}
	if ((size_t) (store->end - store->at) < size)
	{
		fprintf(stderr, "the baseline is out of memory\n");
		exit(1);
	}
	piece = store->at;
	store->at += size;
	return piece;
}

static void
give(ReplayStore *store, void *piece, size_t bytes)
{
	uint32_t class = size_class(bytes);

	if (piece == NULL)
		return;
	store->bytes -= (size_t) SMALLEST << class;
	memcpy(piece, &store->free[class], sizeof(void *));
	store->free[class] = piece;
}

/* Twice the room for an array of `*capacity` elements. */
static void *
grow(ReplayStore *store, void *array, uint32_t *capacity, size_t element)
{
	size_t bytes = *capacity * element;
	size_t larger = bytes == 0 ? SMALLEST : (size_t) SMALLEST << (size_class(bytes) + 1);
	void *copy = take(store, larger);

	if (array != NULL)
		memcpy(copy, array, bytes);
	give(store, array, bytes);
	*capacity = (uint32_t) (larger / element);
	return copy;
}

/* ---- keys -------------------------------------------------------------------- */

void
replay_create(ReplayStore *store, void *memory, size_t bytes, Rule rule, uint32_t columns)
{
	*store = (ReplayStore){.at = memory,
						   .end = (char *) memory + bytes,
						   .rule = rule,
						   .columns = columns,
						   .stride = 2 + columns,
						   .nslots = 64};
	store->slot = take(store, store->nslots * sizeof(ReplaySlot));
	memset(store->slot, 0, store->nslots * sizeof(ReplaySlot));
}

static ReplaySlot *
find_slot(const ReplayStore *store, uint64_t hash, int64_t key)
{
	for (uint64_t i = hash;; i++)
	{
		ReplaySlot *slot = &store->slot[i & (store->nslots - 1)];

		if (slot->timeline == NULL || (slot->hash == hash && slot->timeline->key == key))
			return slot;
	}
}

static void
slots_double(ReplayStore *store)
{
	ReplaySlot *old = store->slot;
	uint32_t nold = store->nslots;

	store->nslots *= 2;
	store->slot = take(store, store->nslots * sizeof(ReplaySlot));
	memset(store->slot, 0, store->nslots * sizeof(ReplaySlot));
	for (uint32_t i = 0; i < nold; i++)
	{
		if (old[i].timeline != NULL)
			*find_slot(store, old[i].hash, old[i].timeline->key) = old[i];
	}
	give(store, old, nold * sizeof(ReplaySlot));
}

ReplayTimeline *
replay_timeline(ReplayStore *store, int64_t key)
{
	uint64_t hash = XXH3_64bits(&key, sizeof(key));
	ReplaySlot *slot = find_slot(store, hash, key);

	if (slot->timeline != NULL)
		return slot->timeline;
	if (++store->ntimelines * 2 > store->nslots)
	{
		slots_double(store);
		slot = find_slot(store, hash, key);
	}
	slot->hash = hash;
	slot->timeline = take(store, sizeof(ReplayTimeline));
	*slot->timeline = (ReplayTimeline){.key = key};
	return slot->timeline;
}

/* ---- replay ------------------------------------------------------------------ */

static inline __attribute__((always_inline)) void
run(Rule rule, uint32_t columns, const int64_t *event, uint32_t count, State *state)
{
	for (uint32_t i = 0; i < count; i++, event += 2 + columns)
	{
		for (uint32_t c = 0; c < columns; c++)
		{
			int64_t value = rule == RULE_LAST ? event[2 + c] : state->value[c] + event[2 + c];

			if (rule == RULE_CLAMP)
			{
				value = value < LOWER ? LOWER : value;
				value = value > UPPER ? UPPER : value;
			}
			state->value[c] = value;
		}
		state->id = event[1];
	}
	state->present = true;
}

/* Apply the events from number `from` up to, not with, number `to`. */
static void
replay(const ReplayStore *store, const ReplayTimeline *timeline, uint32_t from, uint32_t to,
	   State *state)
{
	const int64_t *event = timeline->event + (size_t) from * store->stride;

	if (to == from)
		return;
	if (store->columns > 1)
		run(store->rule, store->columns, event, to - from, state);
	else if (store->rule == RULE_SUM)
		run(RULE_SUM, 1, event, to - from, state);
	else if (store->rule == RULE_CLAMP)
		run(RULE_CLAMP, 1, event, to - from, state);
	else
		run(RULE_LAST, 1, event, to - from, state);
}

static State
state_of(const ReplayTimeline *timeline, uint32_t checkpoints)
{
	State state = {0};

	if (checkpoints > 0)
	{
		const ReplayCheckpoint *checkpoint = &timeline->checkpoint[checkpoints - 1];

		state.present = true;
		state.id = checkpoint->id;
		memcpy(state.value, checkpoint->value, sizeof(state.value));
	}
	return state;
}

/* Events before the first that the checkpoints leave. */
static uint32_t
upto(const ReplayTimeline *timeline, uint32_t checkpoints)
{
	return checkpoints == 0 ? 0 : timeline->checkpoint[checkpoints - 1].upto;
}

static void
checkpoint_set(const ReplayStore *store, ReplayTimeline *timeline, uint32_t number, uint32_t events,
			   const State *state)
{
	ReplayCheckpoint *checkpoint = &timeline->checkpoint[number];

	checkpoint->time = timeline->event[(size_t) (events - 1) * store->stride];
	checkpoint->upto = events;
	checkpoint->id = state->id;
	memcpy(checkpoint->value, state->value, sizeof(checkpoint->value));
}

static void
checkpoint_insert(ReplayStore *store, ReplayTimeline *timeline, uint32_t number, uint32_t events,
				  const State *state)
{
	ReplayCheckpoint *at;

	if (timeline->ncheckpoints == timeline->checkpoint_capacity)
		timeline->checkpoint =
			grow(store, timeline->checkpoint, &timeline->checkpoint_capacity, sizeof(*at));
	at = &timeline->checkpoint[number];
	memmove(at + 1, at, (timeline->ncheckpoints - number) * sizeof(*at));
	timeline->ncheckpoints++;
	checkpoint_set(store, timeline, number, events, state);
}

/* How many checkpoints have no more than so many events. */
static uint32_t
checkpoints_upto(const ReplayTimeline *timeline, uint32_t events)
{
	uint32_t low = 0;
	uint32_t high = timeline->ncheckpoints;

	while (low < high)
	{
		uint32_t middle = (low + high) / 2;

		if (timeline->checkpoint[middle].upto <= events)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* An event came in at `at`: put the checkpoints behind it right. */
static void
replay_from(ReplayStore *store, ReplayTimeline *timeline, uint32_t at)
{
	uint32_t first = checkpoints_upto(timeline, at);
	uint32_t from = upto(timeline, first);
	State state = state_of(timeline, first);

	for (uint32_t i = first; i < timeline->ncheckpoints; i++)
		timeline->checkpoint[i].upto++;
	for (uint32_t i = first; i < timeline->ncheckpoints; i++)
	{
		ReplayCheckpoint *checkpoint = &timeline->checkpoint[i];

		replay(store, timeline, from, checkpoint->upto, &state);
		from = checkpoint->upto;
		if (checkpoint->id == state.id &&
			memcmp(checkpoint->value, state.value, sizeof(state.value)) == 0)
			return;
		checkpoint_set(store, timeline, i, from, &state);
	}
	replay(store, timeline, from, timeline->count, &state);
	timeline->latest = state;
}

/* An event came in among those of a checkpoint: are they too many? (B3) */
static void
checkpoint_split(ReplayStore *store, ReplayTimeline *timeline, uint32_t at)
{
	uint32_t number = checkpoints_upto(timeline, at);
	uint32_t from = upto(timeline, number);
	State state;

	if (number == timeline->ncheckpoints ||
		timeline->checkpoint[number].upto - from < 2 * REPLAY_EVERY)
		return;
	state = state_of(timeline, number);
	replay(store, timeline, from, from + REPLAY_EVERY, &state);
	checkpoint_insert(store, timeline, number, from + REPLAY_EVERY, &state);
}

/* Are there enough events behind the last checkpoint for another? (B3) */
static inline void
checkpoint_append(ReplayStore *store, ReplayTimeline *timeline)
{
	if (timeline->count - upto(timeline, timeline->ncheckpoints) == REPLAY_EVERY)
		checkpoint_insert(store, timeline, timeline->ncheckpoints, timeline->count,
						  &timeline->latest);
}

/* ---- events ------------------------------------------------------------------ */

static inline int
compare(const int64_t *event, int64_t time, int64_t id)
{
	if (event[0] != time)
		return event[0] < time ? -1 : 1;
	return event[1] == id ? 0 : event[1] < id ? -1
											  : 1;
}

/* How many events of [low, high), which are in order, come before. */
static uint32_t
events_before(const ReplayStore *store, const ReplayTimeline *timeline, uint32_t low, uint32_t high,
			  int64_t time, int64_t id)
{
	while (low < high)
	{
		uint32_t middle = (low + high) / 2;

		if (compare(timeline->event + (size_t) middle * store->stride, time, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static inline void
event_put(const ReplayStore *store, int64_t *at, const Event *event)
{
	at[0] = event->time;
	at[1] = event->id;
	for (uint32_t c = 0; c < store->columns; c++)
		at[2 + c] = event->value + c;
}

/* Not the newest; there is room. */
static __attribute__((noinline)) bool
add_late(ReplayStore *store, ReplayTimeline *timeline, const Event *event)
{
	size_t bytes = store->stride * sizeof(int64_t);
	uint32_t at = events_before(store, timeline, 0, timeline->count, event->time, event->id);
	int64_t *place = timeline->event + (size_t) at * store->stride;

	if (compare(place, event->time, event->id) == 0)
		return false;
	memmove(place + store->stride, place, (timeline->count - at) * bytes);
	event_put(store, place, event);
	timeline->count++;
	replay_from(store, timeline, at);
	checkpoint_split(store, timeline, at);
	checkpoint_append(store, timeline);
	return true;
}

bool
replay_add(ReplayStore *store, ReplayTimeline *timeline, const Event *event)
{
	int64_t *place;

	if (timeline->count == timeline->capacity)
		timeline->event =
			grow(store, timeline->event, &timeline->capacity, store->stride * sizeof(int64_t));
	place = timeline->event + (size_t) timeline->count * store->stride;
	if (timeline->count > 0 && compare(place - store->stride, event->time, event->id) >= 0)
		return add_late(store, timeline, event);
	event_put(store, place, event);
	replay(store, timeline, timeline->count, timeline->count + 1, &timeline->latest);
	timeline->count++;
	checkpoint_append(store, timeline);
	return true;
}

void
replay_at(const ReplayStore *store, const ReplayTimeline *timeline, int64_t time, State *state)
{
	uint32_t low = 0;
	uint32_t high = timeline->ncheckpoints;
	uint32_t end;

	if (timeline->count == 0 ||
		time >= timeline->event[(size_t) (timeline->count - 1) * store->stride])
	{
		*state = timeline->latest;
		return;
	}
	while (low < high)
	{
		uint32_t middle = (low + high) / 2;

		if (timeline->checkpoint[middle].time <= time)
			low = middle + 1;
		else
			high = middle;
	}
	end = low < timeline->ncheckpoints ? timeline->checkpoint[low].upto : timeline->count;
	*state = state_of(timeline, low);
	end = events_before(store, timeline, upto(timeline, low), end, time, INT64_MAX);
	replay(store, timeline, upto(timeline, low), end, state);
}
