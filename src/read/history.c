/*
 * history.c
 *	  Histories, "since", and raw events of a key.
 *
 *	  history  the states in a range, each with the part of it in which it holds, from the
 *	           earliest to the latest or, in a scan backward, from the latest to the earliest
 *	  since    the instant from which on the state has been that at a given instant
 *	  events   the raw events in a range
 *
 * Each is a visit (scan.h): it walks along a timeline for a limited number of steps, holds
 * the rows that it finds (row_buffer.c), and keeps its position in its argument.  The rows
 * may be torn; then they are discarded and the argument is restored.  So a visit changes
 * nothing else, raises no error and allocates nothing.
 *
 * Called by sql/read_functions.c.
 *
 * Not here: how a timeline is observed (visit.c), privileges and argument types (sql/).
 */
#include "postgres.h"

#include "read/read.h"
#include "read/scan.h"
#include "store/store.h"
#include "table/table.h"

StaticAssertDecl(sizeof(Walk) <= MAX_VISIT_BYTES && offsetof(Walk, at) == 0, "Walk fits a visit");
StaticAssertDecl(sizeof(EventWalk) <= MAX_VISIT_BYTES && offsetof(EventWalk, position.time) == 0,
				 "EventWalk fits a visit");

/* ---- ranges ------------------------------------------------------------------ */

/* Bind scan->range of one key or all keys. */
static void
bind_range(ContimeScan *scan, const Datum *keys, const bool *keynulls, const ContimeRange *range)
{
	int64 last = range->last;

	Assert(range->from <= range->last);
	Assert(!range->open_start || range->from == PG_INT64_MIN);
	Assert(!range->open_end || range->last == PG_INT64_MAX);

	/* A range to the end of time reads no instant in particular: see raise_watermark(). */
	if (last == PG_INT64_MAX - 1)
		last = PG_INT64_MAX;
	scan->range = *range;
	scan->ended = true;
	scan->pending = NULL;
	(void) contime_scan_bind_range(scan, keys, keynulls, range->from, last);
}

/* Go to the next key, and set scan->start.  Return false if there is none. */
static bool
begin_next_key(ContimeScan *scan)
{
	if (!contime_scan_next_key(scan))
		return false;
	scan->start = scan->range.from;
	if (scan->range.open_start && scan->memory)
		scan->start = Max(scan->start, contime_retained(scan->generation));
	scan->ended = false;
	return true;
}

/* ---- histories --------------------------------------------------------------- */

/* True if two states differ in a column that is shown. */
static bool
is_change(const ContimeScan *scan, const CtState *before, const CtState *after)
{
	int n = Min(scan->table->natts, scan->chunk.usable);
	uint64 attrs = 0;

	for (int i = 0; i < n; i++)
		if (!scan->table->attr[i].dropped)
			attrs |= UINT64CONST(1) << i;
	return !ct_state_agrees(before, after, attrs & scan->chunk.shown);
}

static bool
hold_state(ContimeScan *scan, const CtState *state, int64 time)
{
	Assert(time >= scan->start && time <= scan->range.last);
	return contime_hold_state(&scan->chunk, scan->table, state, time, scan->key.data.data,
							  scan->key.data.len);
}

/*
 * Hold the state at the start, then each state that differs from the one before.  A
 * state that does not fit is found again by the next visit, which starts at the last
 * change that is held.
 */
static ContimeFoldResult
fill_forward(ContimeScan *scan, Walk *walk, const CtArena *arena, CtRef store, CtRef timeline,
			 int steps)
{
	const CtSnapshot *plain = &scan->view->plain;
	const CtRuns *runs = &scan->view->runs;
	int64 time = walk->at;

	ct_timeline_fold(arena, store, timeline, time, plain, runs, scan->state);
	if (!walk->started && !hold_state(scan, scan->state, time))
		return CONTIME_FOLD_MORE;
	walk->started = true;
	for (int n = 0; n < steps; n++)
	{
		ct_state_copy(walk->previous, scan->state);
		if (!ct_timeline_step(arena, store, timeline, &time, scan->range.last, plain, runs,
							  scan->state))
			return CONTIME_FOLD_DONE;
		if (is_change(scan, walk->previous, scan->state) && !hold_state(scan, scan->state, time))
			return CONTIME_FOLD_MORE;
		walk->at = time;
	}
	return CONTIME_FOLD_MORE;
}

/* Return the latest instant up to `time` that has an event, but not one before the start. */
static int64
find_previous(const ContimeScan *scan, const CtArena *arena, CtRef store, CtRef timeline,
			  int64 time)
{
	bool found = ct_timeline_latest(arena, store, timeline, &time, &scan->view->plain,
									&scan->view->runs);

	return found ? Max(time, scan->start) : scan->start;
}

/*
 * Go back from event to event, and hold each state that differs from the one before;
 * at last the state at the start.
 */
static ContimeFoldResult
fill_backward(ContimeScan *scan, Walk *walk, const CtArena *arena, CtRef store, CtRef timeline,
			  int steps)
{
	const CtSnapshot *plain = &scan->view->plain;
	const CtRuns *runs = &scan->view->runs;

	if (!walk->started)
		walk->at = find_previous(scan, arena, store, timeline, scan->range.last);
	walk->started = true;
	ct_timeline_fold(arena, store, timeline, walk->at, plain, runs, scan->state);
	for (int n = 0; n < steps && walk->at > scan->start; n++)
	{
		int64 before = find_previous(scan, arena, store, timeline, walk->at - 1);

		ct_state_copy(walk->previous, scan->state);
		ct_timeline_fold(arena, store, timeline, before, plain, runs, scan->state);
		if (is_change(scan, scan->state, walk->previous) &&
			!hold_state(scan, walk->previous, walk->at))
			return CONTIME_FOLD_MORE;
		walk->at = before;
	}
	if (walk->at > scan->start)
		return CONTIME_FOLD_MORE;
	return hold_state(scan, scan->state, walk->at) ? CONTIME_FOLD_DONE : CONTIME_FOLD_MORE;
}

/* A visit: hold the next states of the range. */
static ContimeFoldResult
fill_history(ContimeScan *scan, void *arg, const CtArena *arena, CtRef store, CtRef timeline,
			 int steps)
{
	Walk *walk = arg;
	int64 from = scan->backward ? scan->start : walk->at;
	ContimeFoldResult fill;

	if (from > scan->range.last)
		return CONTIME_FOLD_DONE;
	fill = contime_scan_gather(scan, arena, store, timeline);
	if (fill != CONTIME_FOLD_DONE)
		return fill;
	if (!contime_scan_note_range(scan, arena, timeline, from, scan->range.last))
		return CONTIME_FOLD_RESOLVE;
	return (scan->backward ? fill_backward : fill_forward)(scan, walk, arena, store, timeline,
														   steps);
}

void
contime_scan_bind_history(ContimeScan *scan, const Datum *keys, const bool *keynulls,
						  const ContimeRange *range)
{
	if (scan->other.data == NULL)
	{
		contime_chunk_init(&scan->other, scan->context);
		scan->other.shown = scan->chunk.shown;
		scan->walk.previous = MemoryContextAlloc(scan->context, sizeof(CtState));
	}
	bind_range(scan, keys, keynulls, range);
}

/*
 * Return the next held state of the current key, or NULL if none is left.  It may say
 * that the key has no row from its instant on.
 */
static HeldRow *
read_next_state(ContimeScan *scan)
{
	HeldRow *row;

	if (scan->row == NULL && !scan->ended)
	{
		Chunk held = scan->chunk;

		scan->chunk = scan->other;
		scan->other = held;
		contime_chunk_reset(&scan->chunk);
		scan->may_clamp = scan->range.open_start && (scan->backward || !scan->walk.started);
		scan->ended = !contime_scan_visit(scan, fill_history, &scan->walk, sizeof(scan->walk));
		scan->row = scan->chunk.first;
	}
	row = scan->row;
	if (row)
		scan->row = row->next;
	return row;
}

/* Go to the next key of a history.  Return false if there is none. */
static bool
begin_next_history(ContimeScan *scan)
{
	if (!begin_next_key(scan))
		return false;
	scan->walk.at = scan->backward ? scan->range.last : scan->start;
	scan->walk.started = false;
	scan->during = scan->range;
	return true;
}

/* Set *during to the range of a held state.  The states are given in the scan's order. */
static void
set_during(ContimeScan *scan, const HeldRow *row, ContimeRange *during)
{
	*during = scan->range;
	during->from = row->instant;
	during->open_start = scan->range.open_start && row->instant == PG_INT64_MIN;
	if (scan->pending)
	{
		during->last = scan->pending->instant - 1;
		during->open_end = false;
	}
	else if (scan->backward)
	{
		during->last = scan->during.last;
		during->open_end = scan->during.open_end;
		scan->during.last = row->instant - (row->instant > PG_INT64_MIN);
		scan->during.open_end = false;
	}
	Assert(scan->start <= during->from && during->from <= during->last);
}

bool
contime_scan_next_state(ContimeScan *scan, TupleTableSlot *slot, ContimeRange *during)
{
	HeldRow *row;

	ExecClearTuple(slot);
	do
	{
		row = scan->backward ? NULL : scan->pending;
		if (scan->backward)
			row = read_next_state(scan);
		else
			scan->pending = read_next_state(scan);
		if (row)
			set_during(scan, row, during);
		else if (scan->pending == NULL && !begin_next_history(scan))
			return false;
	} while (row == NULL || !row->present);
	contime_held_store(scan->table, row, scan->values, slot);
	return true;
}

/* ---- since ------------------------------------------------------------------- */

typedef struct Since
{
	int64 at;          /* the state is the same from here to the given instant */
	bool present;      /* there is a row at the given instant */
	bool found;        /* the state changed at `at` */
	bool looked;       /* `present` is set */
	CtState *previous; /* scratch: the state before `at` */
} Since;

StaticAssertDecl(sizeof(Since) <= MAX_VISIT_BYTES && offsetof(Since, at) == 0, "Since fits a visit");

/* A visit: go back from event to event, until one has changed the state. */
static ContimeFoldResult
find_since(ContimeScan *scan, void *arg, const CtArena *arena, CtRef store, CtRef timeline,
		   int steps)
{
	Since *since = arg;
	const CtSnapshot *plain = &scan->view->plain;
	const CtRuns *runs = &scan->view->runs;
	ContimeFoldResult fill = contime_scan_gather(scan, arena, store, timeline);

	if (fill != CONTIME_FOLD_DONE)
		return fill;
	if (!since->looked)
	{
		if (!contime_scan_note_range(scan, arena, timeline, since->at, since->at))
			return CONTIME_FOLD_RESOLVE;
		ct_timeline_fold(arena, store, timeline, since->at, plain, runs, scan->state);
		since->present = scan->state->present;
		since->looked = true;
	}
	for (int n = 0; n < steps && since->present; n++)
	{
		int64 time = since->at;

		if (!ct_timeline_latest(arena, store, timeline, &time, plain, runs))
			return CONTIME_FOLD_DONE;
		since->at = time;
		ct_timeline_fold(arena, store, timeline, time, plain, runs, scan->state);
		if (time > PG_INT64_MIN)
			ct_timeline_fold(arena, store, timeline, time - 1, plain, runs, since->previous);
		if (time == PG_INT64_MIN || is_change(scan, since->previous, scan->state))
		{
			since->found = true;
			return CONTIME_FOLD_DONE;
		}
		since->at = time - 1;
	}
	return since->present ? CONTIME_FOLD_MORE : CONTIME_FOLD_DONE;
}

bool
contime_scan_since(ContimeScan *scan, const Datum *keys, const bool *keynulls, int64 *instant)
{
	Since since = {.at = *instant};

	if (!contime_scan_bind_range(scan, keys, keynulls, *instant, *instant))
		return false;
	since.previous = MemoryContextAlloc(scan->context, sizeof(CtState));
	while (contime_scan_visit(scan, find_since, &since, sizeof(since)))
		;
	if (!since.present)
		return false;

	/* No change was found, so the last one is older than what the table retains. */
	if (!since.found && scan->generation)
		contime_retention_check(scan->table, scan->generation, PG_INT64_MIN);
	*instant = since.at;
	return since.found;
}

/* ---- raw events -------------------------------------------------------------- */

/* Hold a raw event.  Return false to end the visit: it has enough, or the event does not fit. */
static bool
take_raw_event(void *arg, const CtRawEvent *raw)
{
	EventWalk *event_walk = arg;
	ContimeScan *scan = event_walk->scan;

	return event_walk->left-- > 0 &&
		   contime_hold_raw_event(&scan->chunk, scan->table, &scan->key.data, raw);
}

/*
 * A visit: hold the raw events of the range that are not held yet.  It has looked at
 * each recent event before, so it may take as many: else reading them would take the
 * square of their number.
 */
static ContimeFoldResult
fill_raw_events(ContimeScan *scan, void *arg, const CtArena *arena, CtRef store, CtRef timeline,
				int steps)
{
	EventWalk *event_walk = arg;
	int64 last = scan->range.last;
	ContimeFoldResult fill;

	if (event_walk->position.time > last)
		return CONTIME_FOLD_DONE;
	fill = contime_scan_gather(scan, arena, store, timeline);
	if (fill != CONTIME_FOLD_DONE)
		return fill;
	if (!contime_scan_note_range(scan, arena, timeline, event_walk->position.time, last))
		return CONTIME_FOLD_RESOLVE;
	event_walk->left = Max((uint32) steps, scan->view->runs.nextra);
	return ct_timeline_visit(arena, store, timeline, &event_walk->position, last,
							 &scan->view->plain, &scan->view->runs, take_raw_event, event_walk)
			   ? CONTIME_FOLD_DONE
			   : CONTIME_FOLD_MORE;
}

void
contime_scan_bind_events(ContimeScan *scan, const Datum *keys, const bool *keynulls,
						 const ContimeRange *range)
{
	bind_range(scan, keys, keynulls, range);
}

bool
contime_scan_next_event(ContimeScan *scan, TupleTableSlot *slot, ContimeRawEvent *event)
{
	HeldRow *row;

	ExecClearTuple(slot);
	while (scan->row == NULL)
	{
		EventWalk *event_walk = &scan->event_walk;

		if (scan->ended)
		{
			if (!begin_next_key(scan))
				return false;
			*event_walk = (EventWalk){.position = {.time = scan->start}, .scan = scan};
		}
		contime_chunk_reset(&scan->chunk);
		scan->may_clamp = scan->range.open_start && event_walk->position.visited == 0;
		scan->ended = !contime_scan_visit(scan, fill_raw_events, event_walk, sizeof(EventWalk));
		scan->row = scan->chunk.first;
	}
	row = scan->row;
	scan->row = row->next;
	*event = row->raw;
	contime_held_store(scan->table, row, scan->values, slot);
	return true;
}
