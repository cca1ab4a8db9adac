/*
 * retention.c
 *	  How far back a continuous table can be read and written.
 *
 *	  option retain ──► generation: period ──► retained: the earliest instant
 *	                    (seconds, or ticks)    that is answered, never lowered
 *	                                             └► each partition folds up to it
 *
 * `retained` follows the clock, or on a logical clock the newest event that has
 * committed, at a distance of the period.  A worker raises it, at most once a second
 * and by the clock once in a hundredth of the period, before any partition folds
 * older events.  So a reader that compares its instant with `retained` after it has
 * the answer knows whether the answer is right; it needs no lock for that.
 *
 * The period is an option in the catalogs, which workers cannot read.  Each backend
 * that uses the table notes it in the generation: the backend holds a lock on the
 * relation, so no other transaction's ALTER is pending.  An ALTER notes it with its
 * transaction id; nothing more is folded until a worker finds that it has committed,
 * or a backend uses the table.
 *
 * Called by readers and writers, by DDL through ddl/check.c, and by workers.
 *
 * Not here: how old events are folded (engine/retain.c).
 */
#include "postgres.h"

#include "store/store.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "table/table.h"

#include "access/xact.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

/* An ALTER was rolled back, or is forgotten: the next use says what holds. */
#define UNTIL_USED PG_UINT64_MAX

/* ---- raising it -------------------------------------------------------------- */

static void
raise_instant(pg_atomic_uint64 *instant, int64 to)
{
	uint64 now = pg_atomic_read_u64(instant);

	while (to > (int64) now && !pg_atomic_compare_exchange_u64(instant, &now, (uint64) to))
		;
}

/* Raise it to where it may be, if it is time to. */
static void
advance(ContimeGeneration *g)
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
			/* Ticks may come to an end: the last step may be a small one. */
			raise_instant(&g->retained, from);
			g->retain.raise_after =
				now +
				(g->retain.ticks ? USECS_PER_SEC : Max(g->retain.period / 100, USECS_PER_SEC));
		}
	}
	SpinLockRelease(&g->retain.mutex);
}

/* The transaction whose ALTER it is, while it is under way; or 0. */
static uint64
altering_xid(const ContimeTable *table)
{
	/* A description outlives the transaction in which it was derived. */
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
	/* Known, if not yet begun: a worker may have been first to find that an ALTER committed. */
	if (g->retain.xid == 0 && g->retain.period == table->retain)
	{
		if (g->retain.period != 0 && g->retain.raise_after == 0)
			advance(g);
		return;
	}
	xid = altering_xid(table);
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
		advance(g);
	for (int p = 0; p < contime_shared->partitions; p++)
		contime_wake_worker(p);
}

/* Has the ALTER whose period was noted ended?  True: look again. */
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
	advance(g);
	*from = contime_read_instant(&g->retained);
	return *from > PG_INT64_MIN;
}

/*
 * ---- reading and writing what is older
 * ----------------------------------------
 */

static char *
show_instant(const ContimeTable *table, int64 instant)
{
	if (table->time_type == INT8OID)
		return psprintf(INT64_FORMAT, instant);
	return DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(instant)));
}

static int
sqlstate_of(const ContimeTable *table)
{
	return table->time_type == INT8OID ? ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE
									   : ERRCODE_DATETIME_VALUE_OUT_OF_RANGE;
}

/* A table that has no generation yet would retain as much if it had one. */
static int64
retained_of(const ContimeTable *table, ContimeGeneration *g)
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
	int64 retained = retained_of(table, g);

	Assert(g == NULL || g->relation == table->relid);
	Assert(contime_holds_no_lock());
	if (instant >= retained)
		return;
	ereport(ERROR, (errcode(sqlstate_of(table)),
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
			(errcode(sqlstate_of(table)),
			 errmsg("event at %s is older than what continuous table \"%s\" retains",
					show_instant(table, instant), table->name),
			 errdetail("The earliest instant an event can still have is %s.",
					   show_instant(table, contime_retained(g))),
			 errhint(
				 "Give the table the option too_late 'ignore' to have such events dropped and counted, or a longer retain.")));
}
