/*
 * due.c
 *	  Notices that were not sent to a table's listeners yet.
 *
 *	  notice ─► due (one range, coalesced) ─► sending ─► sent: the agent committed it
 *
 * Concurrency: the generation's notice.mutex protects all of it, and a notice gets its
 * number under it.  So the coalesced notice with number n covers all notices up to n
 * that were not sent.
 *
 * Not here: the ring that replays notices (notify/notices.c), how the agent sends them
 * (worker/agent.c).
 */
#include "postgres.h"

#include "shared/shared.h"

void
contime_due_add(ContimeDue *sum, const ContimeDue *due)
{
	if (due->seq == 0)
		return;
	if (sum->seq == 0)
	{
		*sum = *due;
		return;
	}
	sum->seq = Max(sum->seq, due->seq);
	sum->events += due->events;
	sum->from = Min(sum->from, due->from);
	sum->to = Max(sum->to, due->to);
	sum->reset |= due->reset;
}

bool
contime_make_due(ContimeGeneration *g, ContimeDue *due)
{
	bool was_empty;

	Assert(due->seq == 0); /* the notice has no number yet */
	Assert(due->from <= due->to);
	SpinLockAcquire(&g->notice.mutex);
	was_empty = g->notice.due.seq == 0;
	due->seq = ++g->notice.seq;
	contime_due_add(&g->notice.due, due);
	SpinLockRelease(&g->notice.mutex);
	return was_empty;
}

void
contime_notice_reset(ContimeGeneration *g, bool lost)
{
	ContimeDue due = {.from = PG_INT64_MIN, .to = PG_INT64_MAX, .reset = true};

	bool was_empty = contime_make_due(g, &due);

	if (lost)
		pg_atomic_write_u64(&g->notice.lost, due.seq);
	if (was_empty)
		contime_agent_wake(g->database);
}
