/*
 * history.c
 *	  Histories, "since", and raw events of a key.
 *
 *	  history  the states in [from, to), each with the range in which it holds
 *	  since    the instant from which on the state has been that at a given instant
 *	  events   the raw events at [from, to]
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

/* ---- histories --------------------------------------------------------------- */

/* True if two states differ in a column that has not been dropped. */
static bool
is_change(const ContimeTable *table, const CtSchema *schema, CtState *before, CtState *after)
{
	for (int i = 0; i < Min(after->nattrs, table->natts); i++)
		if (table->attr[i].dropped)
			before->value[i].kind = after->value[i].kind = CT_VALUE_NULL;
	return !ct_state_equal(schema, before, after);
}

/*
 * A visit: hold the state at the start, then each state that differs from the one
 * before.  A state that does not fit is found again by the next visit, which starts
 * at the last change that is held.
 */
static ContimeFoldResult
fill_history(ContimeScan *scan, void *arg, const CtArena *arena, CtRef store, CtRef timeline,
			 int steps)
{
	Walk *walk = arg;
	const CtSnapshot *plain = &scan->view->plain;
	const CtRuns *runs = &scan->view->runs;
	const CtSchema *schema = ct_store_schema(arena, store);
	const StringInfo key = &scan->key.data;
	int64 time = walk->at;
	ContimeFoldResult fill = contime_scan_gather(scan, arena, store, timeline);

	if (fill != CONTIME_FOLD_DONE)
		return fill;
	if (!contime_scan_note_range(scan, arena, timeline, walk->at,
								 walk->to == PG_INT64_MAX ? walk->to : walk->to - 1))
		return CONTIME_FOLD_RESOLVE;
	ct_timeline_fold(arena, store, timeline, time, plain, runs, scan->state);
	if (!walk->started &&
		!contime_hold_state(&scan->chunk, scan->table, scan->state, time, key->data, key->len))
		return CONTIME_FOLD_MORE;
	walk->started = true;

	for (int n = 0; n < steps; n++)
	{
		ct_state_copy(walk->previous, scan->state);
		if (!ct_timeline_step(arena, store, timeline, &time, walk->to - 1, plain, runs,
							  scan->state))
			return CONTIME_FOLD_DONE;
		if (is_change(scan->table, schema, walk->previous, scan->state) &&
			!contime_hold_state(&scan->chunk, scan->table, scan->state, time, key->data, key->len))
			return CONTIME_FOLD_MORE;
		walk->at = time;
	}
	return CONTIME_FOLD_MORE;
}

void
contime_scan_bind_history(ContimeScan *scan, const Datum *keys, const bool *keynulls, int64 from,
						  int64 to)
{
	if (scan->other.data == NULL)
	{
		contime_chunk_init(&scan->other, scan->context);
		scan->walk.previous = MemoryContextAlloc(scan->context, sizeof(CtState));
	}
	scan->from = from;
	scan->walk.to = to;
	scan->ended = true;
	scan->pending = NULL;
	if (from < to)
		(void) contime_scan_bind_range(scan, keys, keynulls, from,
									   to == PG_INT64_MAX ? to : to - 1);
	else
		scan->done = true;
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
		scan->ended = !contime_scan_visit(scan, fill_history, &scan->walk, sizeof(scan->walk));
		scan->row = scan->chunk.first;
	}
	row = scan->row;
	if (row)
		scan->row = row->next;
	return row;
}

bool
contime_scan_next_state(ContimeScan *scan, TupleTableSlot *slot, int64 *from, int64 *to)
{
	HeldRow *row;

	ExecClearTuple(slot);
	do
	{
		row = scan->pending;
		scan->pending = read_next_state(scan);
		if (row == NULL && scan->pending == NULL)
		{
			if (!contime_scan_next_key(scan))
				return false;
			scan->walk.at = scan->from;
			scan->walk.started = false;
			scan->ended = false;
		}
	} while (row == NULL || !row->present);
	Assert(scan->from <= row->instant);
	*from = row->instant;
	*to = scan->pending ? scan->pending->instant : scan->walk.to;
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
	const CtSchema *schema = ct_store_schema(arena, store);
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
		if (time == PG_INT64_MIN || is_change(scan->table, schema, since->previous, scan->state))
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

/* ---- the latest event -------------------------------------------------------- */

typedef struct Latest
{
	int64 until; /* the visit's position for contime_scan_visit(): no instant is retained later */
	int64 at;    /* no event is later */
	bool found;  /* there is an event at `at` */
} Latest;

/* Called for a visible event: one is enough. */
static bool
end_visit(void *arg, const CtRawEvent *event)
{
	return false;
}

/* Go back to the latest instant with a visible event that is not retracted. */
static ContimeFoldResult
find_latest_event(ContimeScan *scan, void *arg, const CtArena *arena, CtRef store, CtRef timeline,
				  int steps)
{
	Latest *latest = arg;
	const CtSnapshot *plain = &scan->view->plain;
	const CtRuns *runs = &scan->view->runs;
	ContimeFoldResult fill = contime_scan_gather(scan, arena, store, timeline);

	if (fill != CONTIME_FOLD_DONE)
		return fill;
	for (int n = 0; n < steps; n++)
	{
		int64 time = latest->at;
		CtPosition position;

		if (!ct_timeline_latest(arena, store, timeline, &time, plain, runs))
			return CONTIME_FOLD_DONE;
		latest->at = time;
		position = (CtPosition){.time = time};
		latest->found = !ct_timeline_visit(arena, store, timeline, &position, time, plain, runs,
										   end_visit, NULL);
		if (latest->found || time == PG_INT64_MIN)
			return CONTIME_FOLD_DONE;
		latest->at = time - 1;
	}
	return CONTIME_FOLD_MORE;
}

bool
contime_scan_latest(ContimeScan *scan, const Datum *keys, const bool *keynulls, int64 *instant)
{
	bool found = false;

	if (!contime_scan_bind_range(scan, keys, keynulls, PG_INT64_MAX, PG_INT64_MAX))
		return false;
	while (contime_scan_next_key(scan))
	{
		Latest latest = {.until = PG_INT64_MAX, .at = PG_INT64_MAX};

		while (contime_scan_visit(scan, find_latest_event, &latest, sizeof(latest)))
			;
		if (latest.found && (!found || latest.at > *instant))
			*instant = latest.at;
		found |= latest.found;
	}

	/* Older events may have been folded already, or not. */
	return found && (scan->generation == NULL || *instant >= contime_retained(scan->generation));
}

/* ---- raw events -------------------------------------------------------------- */

/* Hold a raw event.  Return false to end the visit: it has enough, or the event does not fit. */
static bool
take_raw_event(void *arg, const CtRawEvent *told)
{
	EventWalk *event_walk = arg;
	ContimeScan *scan = event_walk->scan;

	return event_walk->left-- > 0 &&
		   contime_hold_raw_event(&scan->chunk, scan->table, &scan->key.data, told);
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
	ContimeFoldResult fill = contime_scan_gather(scan, arena, store, timeline);

	if (fill != CONTIME_FOLD_DONE)
		return fill;
	if (!contime_scan_note_range(scan, arena, timeline, event_walk->position.time, event_walk->to))
		return CONTIME_FOLD_RESOLVE;
	event_walk->left = Max((uint32) steps, scan->view->runs.nextra);
	return ct_timeline_visit(arena, store, timeline, &event_walk->position, event_walk->to,
							 &scan->view->plain, &scan->view->runs, take_raw_event, event_walk)
			   ? CONTIME_FOLD_DONE
			   : CONTIME_FOLD_MORE;
}

void
contime_scan_bind_events(ContimeScan *scan, const Datum *keys, const bool *keynulls, int64 from,
						 int64 to)
{
	scan->from = from;
	scan->event_walk.to = to;
	scan->ended = true;
	(void) contime_scan_bind_range(scan, keys, keynulls, from, to);
}

bool
contime_scan_next_event(ContimeScan *scan, TupleTableSlot *slot, ContimeRawEvent *event)
{
	HeldRow *row;

	ExecClearTuple(slot);
	while (scan->row == NULL)
	{
		if (scan->ended && !contime_scan_next_key(scan))
			return false;
		if (scan->ended)
			scan->event_walk = (EventWalk){
				.position = {.time = scan->from}, .to = scan->event_walk.to, .scan = scan};
		contime_chunk_reset(&scan->chunk);
		scan->ended =
			!contime_scan_visit(scan, fill_raw_events, &scan->event_walk, sizeof(scan->event_walk));
		scan->row = scan->chunk.first;
	}
	row = scan->row;
	scan->row = row->next;
	*event = row->raw;
	contime_held_store(scan->table, row, scan->values, slot);
	return true;
}
