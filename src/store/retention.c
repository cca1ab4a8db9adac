/*
 * retention.c
 *	  How far back a continuous table can be read and written.
 *
 *	  option retain ──► generation: period ──► retained: the earliest instant
 *	                    (seconds, or ticks)    that is answered, never lowered
 *	                                             └► each partition folds up to it
 *
 * `retained` is the clock, or on a logical clock the newest committed event, minus the
 * period.  A worker raises it before any partition folds older events: at most once a
 * second, and by the clock at most once in a hundredth of the period.  So a reader
 * compares its instant with `retained` after it has read the answer: if the instant is
 * not older, the answer is right.  It needs no lock for that.
 *
 * The period is an option in the catalogs, which workers cannot read.  Each backend
 * that uses the table notes it in the generation; the backend holds a lock on the
 * relation, so no other transaction's ALTER is pending.  A transaction that alters the
 * option notes it with its id.  `retained` is not raised then until a worker finds that
 * the transaction has committed, or until another backend uses the table.
 *
 * Called by readers and writers, by DDL through ddl/check.c, and by workers.
 *
 * Option max_ahead limits by how much one event may advance a logical clock.
 *
 * Not here: how old events are folded (engine/retain.c).
 */
#include "postgres.h"

#include "store/store.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "table/table.h"

#include "access/xact.h"
#include "common/int.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

/*
 * The value of retain.xid if the ALTER was rolled back, or its status is truncated: the
 * next backend that uses the table notes the period.
 */
#define UNTIL_USED PG_UINT64_MAX

/* ---- raising `retained` ------------------------------------------------------ */

static void
raise_instant(pg_atomic_uint64 *instant, int64 to)
{
	uint64 now = pg_atomic_read_u64(instant);

	while (to > (int64) now && !pg_atomic_compare_exchange_u64(instant, &now, (uint64) to))
		;
}

/* Raise `retained` of a generation, if it is due. */
static void
advance_retained(ContimeGeneration *g)
{
	TimestampTz now = GetCurrentTimestamp();

	SpinLockAcquire(&g->retain.mutex);
	if (g->retain.xid == 0 && g->retain.period != 0 && now >= g->retain.raise_after)
	{
		int64 edge = g->retain.ticks ? contime_read_instant(&g->newest) : now;
		int64 from;

		if (!pg_sub_s64_overflow(edge, g->retain.period, &from) &&
			(g->retain.ticks || from >= MIN_TIMESTAMP))
		{
			/* (A logical clock may stop, so its steps must not wait for a part of the period.) */
			raise_instant(&g->retained, from);
			g->retain.raise_after =
				now +
				(g->retain.ticks ? USECS_PER_SEC : Max(g->retain.period / 100, USECS_PER_SEC));
		}
	}
	SpinLockRelease(&g->retain.mutex);
}

/* Return the current transaction's id if it has altered the table's options, or 0. */
static uint64
get_altering_xid(const ContimeTable *table)
{
	/* A cached description may be older than the current transaction. */
	if (table->options_xid == 0 ||
		table->options_xid < U64FromFullTransactionId(GetTopFullTransactionIdIfAny()) ||
		!TransactionIdIsCurrentTransactionId((TransactionId) table->options_xid))
		return 0;
	return table->options_xid;
}

void
contime_retention_note(const ContimeTable *table, ContimeGeneration *g)
{
	uint64 xid;

	Assert(g->relation == table->relid);
	/*
	 * The period is noted already.  But if a worker found that the ALTER committed,
	 * `retained` has not been raised yet.
	 */
	if (g->retain.xid == 0 && g->retain.period == table->retain)
	{
		if (g->retain.period != 0 && g->retain.raise_after == 0)
			advance_retained(g);
		return;
	}
	xid = get_altering_xid(table);
	if (xid != 0 && g->retain.xid == xid && g->retain.next_period == table->retain)
		return;
	SpinLockAcquire(&g->retain.mutex);
	g->retain.ticks = table->time_type == INT8OID;
	g->retain.xid = xid;
	g->retain.raise_after = 0;
	if (xid == 0)
		g->retain.period = table->retain;
	else
		g->retain.next_period = table->retain;
	SpinLockRelease(&g->retain.mutex);
	if (xid == 0)
		advance_retained(g);
	for (int p = 0; p < contime_shared->partitions; p++)
		contime_wake_worker(p);
}

/*
 * If the transaction whose ALTER is noted has committed, set the period.  Return true
 * if it is still in progress.
 */
static bool
resolve_retention(ContimeGeneration *g)
{
	uint64 xid = g->retain.xid;
	ContimeXactStatus xact_status;
	bool committed;

	Assert(contime_holds_no_lock());
	if (xid == 0 || xid == UNTIL_USED)
		return false;
	xact_status = contime_xact_status(xid, xid);
	if (xact_status == CONTIME_XACT_IN_PROGRESS)
		return true;
	committed = xact_status == CONTIME_XACT_COMMITTED;
	SpinLockAcquire(&g->retain.mutex);
	if (g->retain.xid == xid)
	{
		g->retain.xid = committed ? 0 : UNTIL_USED;
		if (committed)
			g->retain.period = g->retain.next_period;
	}
	SpinLockRelease(&g->retain.mutex);
	return false;
}

bool
contime_retention_resolve_all(void)
{
	bool pending = false;

	for (int i = contime_next_slot(-1); i >= 0; i = contime_next_slot(i))
		pending |= resolve_retention(&contime_shared->generation[i]);
	if (pending)
		contime_wake_workers();
	return pending;
}

bool
contime_retention_from(ContimeGeneration *g, int64 newest, int64 *from)
{
	Assert(contime_holds_no_lock());
	raise_instant(&g->newest, newest);
	if (g->retain.period == 0)
		return false;
	advance_retained(g);
	*from = contime_read_instant(&g->retained);
	return *from > PG_INT64_MIN;
}

/* ---- instants that are too old ----------------------------------------------- */

static char *
show_instant(const ContimeTable *table, int64 instant)
{
	if (table->time_type == INT8OID)
		return psprintf(INT64_FORMAT, instant);
	return DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(instant)));
}

static int
choose_sqlstate(const ContimeTable *table)
{
	return table->time_type == INT8OID ? ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE
									   : ERRCODE_DATETIME_VALUE_OUT_OF_RANGE;
}

/* Return the earliest instant that is answered.  (Without a generation the option gives it.) */
static int64
get_retained(const ContimeTable *table, ContimeGeneration *g)
{
	int64 from;

	if (g)
		return contime_retained(g);
	if (table->retain == 0 || table->time_type == INT8OID ||
		pg_sub_s64_overflow(GetCurrentTimestamp(), table->retain, &from) || from < MIN_TIMESTAMP)
		return PG_INT64_MIN;
	return from;
}

void
contime_retention_check(const ContimeTable *table, ContimeGeneration *g, int64 instant)
{
	int64 retained = get_retained(table, g);

	Assert(g == NULL || g->relation == table->relid);
	Assert(contime_holds_no_lock());
	if (instant >= retained)
		return;
	ereport(ERROR, (errcode(choose_sqlstate(table)),
					errmsg("instant %s is older than what continuous table \"%s\" retains",
						   show_instant(table, instant), table->name),
					errdetail("The earliest instant that can be answered is %s.",
							  show_instant(table, retained)),
					errhint("Ask for that instant or a later one.")));
}

void
contime_report_too_late(const ContimeTable *table, ContimeGeneration *g, int64 instant)
{
	ereport(ERROR,
			(errcode(choose_sqlstate(table)),
			 errmsg("event at %s is older than what continuous table \"%s\" retains",
					show_instant(table, instant), table->name),
			 errdetail("The earliest instant an event can still have is %s.",
					   show_instant(table, contime_retained(g))),
			 errhint(
				 "Give the table the option too_late 'ignore' to have such events dropped and counted, or a longer retain.")));
}

/* ---- events that are too far ahead ------------------------------------------- */

/*
 * `newest` lags behind what has committed, until workers have entered it.  So the newest
 * tick that was written is noted with its transaction, and counts unless that was rolled
 * back.  One note suffices: if a lower tick is not noted and the higher one is rolled
 * back, `newest` catches up.
 */
static int64
find_newest(ContimeGeneration *g)
{
	int64 newest = contime_read_instant(&g->newest);
	int64 pending;
	uint64 top;
	uint64 xid;
	ContimeXactStatus xact_status;

	SpinLockAcquire(&g->retain.mutex);
	g->retain.guarded = true;
	newest = Max(newest, g->retain.settled);
	pending = g->retain.pending;
	top = g->retain.pending_top;
	xid = g->retain.pending_xid;
	SpinLockRelease(&g->retain.mutex);
	if (pending <= newest)
		return newest;

	xact_status = contime_xact_status(top, xid);
	SpinLockAcquire(&g->retain.mutex);
	if (g->retain.pending == pending && g->retain.pending_xid == xid)
	{
		if (xact_status == CONTIME_XACT_COMMITTED)
			g->retain.settled = Max(g->retain.settled, pending);
		if (xact_status != CONTIME_XACT_IN_PROGRESS)
			g->retain.pending = PG_INT64_MIN;
	}
	SpinLockRelease(&g->retain.mutex);
	return xact_status == CONTIME_XACT_COMMITTED || xact_status == CONTIME_XACT_IN_PROGRESS
			   ? pending
			   : newest;
}

void
contime_ahead_check(const ContimeTable *table, ContimeGeneration *g, const ContimeRows *rows)
{
	int64 newest;

	Assert(contime_holds_no_lock());
	if (table->max_ahead == 0)
		return;
	Assert(table->time_type == INT8OID && table->source == NULL);
	newest = find_newest(g);
	for (int i = 0; i < rows->count; i++)
	{
		int64 tick = rows->row[i].load.change.time;
		int64 limit;

		if (newest != PG_INT64_MIN && !pg_add_s64_overflow(newest, table->max_ahead, &limit) &&
			tick > limit)
			ereport(ERROR,
					(errcode(choose_sqlstate(table)),
					 errmsg("event at %s is too far ahead of the newest event of continuous table \"%s\"",
							show_instant(table, tick), table->name),
					 errdetail("The newest event is at %s, and option max_ahead is %s.",
							   show_instant(table, newest),
							   show_instant(table, table->max_ahead)),
					 errhint(
						 "Check the tick. If the clock has to move so far, set a larger max_ahead first.")));
		newest = Max(newest, tick);
	}
}

void
contime_ahead_note(const ContimeTable *table, ContimeGeneration *g, const ContimeRows *rows,
				   const CtLabel *label)
{
	int64 newest = PG_INT64_MIN;

	Assert(label != NULL && label->xid >= label->top);
	/* (Without the option, too: it may be added before workers have entered the rows.) */
	if (table->time_type != INT8OID)
		return;
	for (int i = 0; i < rows->count; i++)
		newest = Max(newest, rows->row[i].load.change.time);
	SpinLockAcquire(&g->retain.mutex);
	if (newest > g->retain.pending)
	{
		g->retain.pending = newest;
		g->retain.pending_top = label->top;
		g->retain.pending_xid = label->xid;
	}
	SpinLockRelease(&g->retain.mutex);
}
