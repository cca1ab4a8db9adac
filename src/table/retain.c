/*
 * retain.c
 *	  The options retain, too_late and max_ahead: how far back a table can be read, and
 *	  how far its clock can be set ahead.
 *
 * Not here: the earliest instant as the clock advances (store/retention.c).
 */
#include "postgres.h"

#include "table/table.h"
#include "mvcc/mvcc.h"

#include "access/xact.h"
#include "utils/fmgrprotos.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/*
 * Return an interval in microseconds, never shorter than on a calendar: a month has 31
 * days, a year 366.  Return -1 if it is negative.
 */
static int64
convert_interval(const Interval *interval)
{
	int128 days =
		(int128) interval->day + interval->month % 12 * 31 + (int128) (interval->month / 12) * 366;
	int128 us = interval->time + days * USECS_PER_DAY;

	if (us < 0)
		return -1;
	return us < PG_INT64_MAX ? (int64) us : PG_INT64_MAX;
}

/* Return the period as a number of instants.  ERROR HV024 unless it is positive. */
static int64
parse_retain(const ContimeTable *table, char *value)
{
	int64 retain;

	if (table->time_type == INT8OID)
		retain = DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(value)));
	else
		retain = convert_interval(DatumGetIntervalP(
			DirectFunctionCall3(interval_in, CStringGetDatum(value), ObjectIdGetDatum(InvalidOid),
								Int32GetDatum(-1))));
	if (retain <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", "retain", value),
				 table->time_type == INT8OID
					 ? errhint(
						   "Give the number of ticks to retain, more than 0; without the option everything is retained.")
					 : errhint(
						   "Give an interval to retain, longer than 0; without the option everything is retained.")));
	return retain;
}

/* The ticks by which an event may be ahead of the newest. */
static int64
parse_max_ahead(const ContimeTable *table, char *value)
{
	int64 ticks;

	if (table->time_type != INT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("continuous table \"%s\" cannot have option max_ahead", table->name),
				 errdetail("Its time is not a logical clock, so events do not advance it."),
				 errhint("Leave the option out.")));
	ticks = DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(value)));
	if (ticks <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", "max_ahead", value),
				 errhint(
					 "Give a number of ticks, more than 0; without the option there is no limit.")));
	return ticks;
}

uint64
contime_options_xid(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(FOREIGNTABLEREL, ObjectIdGetDatum(relid));
	TransactionId xid;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for foreign table %u", relid);
	xid = HeapTupleHeaderGetXmin(tuple->t_data);
	ReleaseSysCache(tuple);
	if (!TransactionIdIsCurrentTransactionId(xid))
		return 0;
	return contime_full_xid(xid);
}

void
contime_retention_derive(ContimeTable *table, char *retain, const char *too_late, char *max_ahead)
{
	Assert(table->time_type == INT8OID || table->time_type == TIMESTAMPTZOID);
	table->retain = retain ? parse_retain(table, retain) : 0;
	table->max_ahead = max_ahead ? parse_max_ahead(table, max_ahead) : 0;
	table->ignores_late = too_late && strcmp(too_late, "ignore") == 0;
	table->options_xid = contime_options_xid(table->relid);
}
