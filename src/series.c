/*
 * series.c
 *	  The SQL functions about one key over time: series, since, events.
 *
 * Beside functions.c, which has what they share: whose table it is, who may
 * read it, and what an argument means as a key.
 */
#include "contime.h"

#include "access/relation.h"
#include "catalog/pg_type_d.h"
#include "common/int.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(contime_series);
PG_FUNCTION_INFO_V1(contime_since);
PG_FUNCTION_INFO_V1(contime_events);

/* Instants of a series that are read at a time. */
#define SERIES_INSTANTS 1024

/* What the arguments of all of them begin with: the table, and one of its keys. */
typedef struct Subject
{
	Relation	rel;
	const ContimeTable *table;
	Datum		key;
	bool		exists;			/* can there be such a key? */
} Subject;

static Subject
open_subject(FunctionCallInfo fcinfo, Oid clock, const char *other)
{
	Subject		subject;

	subject.rel = contime_open_argument(fcinfo, AccessShareLock);
	subject.table = contime_table(subject.rel);
	contime_check_privilege(subject.rel, ACL_SELECT, contime_all_columns(subject.table));
	contime_check_clock(subject.table, clock, other);
	subject.exists = !PG_ARGISNULL(1) &&
		contime_key_argument(fcinfo, 1, subject.table, &subject.key);
	return subject;
}

/* ---- series ------------------------------------------------------------------------------ */

typedef struct Steps
{
	bool		ticks;
	int64		at;
	int64		to;
	int64		step;			/* of a logical clock */
	Interval   *interval;		/* else */
	bool		forward;
	bool		ended;
} Steps;

static void pg_attribute_noreturn()
report_step(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("step of a series must not be %s", what),
			 errhint("Give a step that leads from the first instant to the last.")));
}

static Steps
steps_begin(FunctionCallInfo fcinfo, bool ticks)
{
	Steps		steps = {.ticks = ticks, .at = PG_GETARG_INT64(2), .to = PG_GETARG_INT64(3)};
	Interval	zero = {0};
	int			sign;

	if (ticks)
	{
		steps.step = PG_GETARG_INT64(4);
		sign = (steps.step > 0) - (steps.step < 0);
	}
	else
	{
		steps.interval = PG_GETARG_INTERVAL_P(4);
		sign = DatumGetInt32(DirectFunctionCall2(interval_cmp, IntervalPGetDatum(steps.interval),
												 IntervalPGetDatum(&zero)));
		if (TIMESTAMP_NOT_FINITE(steps.at) || TIMESTAMP_NOT_FINITE(steps.to))
			ereport(ERROR,
					(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
					 errmsg("a series must not be infinite")));
	}
	if (sign == 0)
		report_step("zero");
	steps.forward = sign > 0;
	return steps;
}

/* The next instant, as generate_series() would have it; false: it is over. */
static bool
steps_next(Steps *steps, int64 *instant)
{
	if (steps->ended || (steps->forward ? steps->at > steps->to : steps->at < steps->to))
		return false;
	*instant = steps->at;
	if (steps->ticks)
		steps->ended = pg_add_s64_overflow(steps->at, steps->step, &steps->at);
	else
	{
		steps->at = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
															TimestampTzGetDatum(*instant),
															IntervalPGetDatum(steps->interval)));
		if (steps->forward ? steps->at <= *instant : steps->at >= *instant)
			report_step("of changing direction");
	}
	return true;
}

/* contime.series and contime.series_tick: the row at each instant, where there is one */
Datum
contime_series(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		ticks = get_fn_expr_argtype(fcinfo->flinfo, 2) == INT8OID;
	Subject		subject = open_subject(fcinfo, ticks ? INT8OID : TIMESTAMPTZOID,
									   ticks ? "contime.series()" : "contime.series_tick()");

	InitMaterializedSRF(fcinfo, 0);
	if (subject.exists && !PG_ARGISNULL(2) && !PG_ARGISNULL(3) && !PG_ARGISNULL(4))
	{
		Steps		steps = steps_begin(fcinfo, ticks);
		int64	   *instants = palloc(SERIES_INSTANTS * sizeof(int64));
		TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(subject.rel),
														&TTSOpsVirtual);
		ContimeScan *scan = contime_scan_begin(subject.rel, GetActiveSnapshot());
		bool		nokey = false;
		int			n;

		do
		{
			for (n = 0; n < SERIES_INSTANTS && steps_next(&steps, &instants[n]); n++)
				;
			CHECK_FOR_INTERRUPTS();
			contime_scan_bind(scan, instants, n, &subject.key, &nokey);
			while (contime_scan_next(scan, slot))
				tuplestore_puttupleslot(rsinfo->setResult, slot);
		} while (n == SERIES_INSTANTS);
		contime_scan_end(scan);
		ExecDropSingleTupleTableSlot(slot);
	}
	relation_close(subject.rel, NoLock);
	return (Datum) 0;
}

/* ---- since ---------------------------------------------------------------------------------- */

/* contime.since and contime.since_tick: NULL when there is no row at the instant */
Datum
contime_since(PG_FUNCTION_ARGS)
{
	bool		ticks = get_fn_expr_argtype(fcinfo->flinfo, 2) == INT8OID;
	Subject		subject = open_subject(fcinfo, ticks ? INT8OID : TIMESTAMPTZOID,
									   ticks ? "contime.since()" : "contime.since_tick()");
	int64		instant = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);
	bool		nokey = false;
	bool		found = false;

	if (subject.exists && !PG_ARGISNULL(2))
	{
		ContimeScan *scan = contime_scan_begin(subject.rel, GetActiveSnapshot());

		found = contime_scan_since(scan, &subject.key, &nokey, &instant);
		contime_scan_end(scan);
	}
	relation_close(subject.rel, NoLock);
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_INT64(instant);
}

/* ---- events ----------------------------------------------------------------------------------- */

typedef struct EventResult
{
	ReturnSetInfo *rsinfo;
	Subject    *subject;
} EventResult;

/* The names of attributes, as a name[]. */
static Datum
names_of(const Subject *subject, uint64 columns)
{
	TupleDesc	desc = RelationGetDescr(subject->rel);
	Datum		names[CT_MAX_ATTRS];
	int			n = 0;

	for (int i = 0; i < desc->natts; i++)
		if ((columns >> i & 1) && !TupleDescAttr(desc, i)->attisdropped)
			names[n++] = NameGetDatum(&TupleDescAttr(desc, i)->attname);
	return PointerGetDatum(construct_array(names, n, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR));
}

static void
put_event(void *arg, CtKind kind, uint64 set, Datum *values, bool *isnull)
{
	static const char *const kinds[] = {
		[CT_FINISH] = "finish", [CT_EVENT] = "event", [CT_SNAPSHOT] = "snapshot"
	};
	EventResult *result = arg;
	TupleDesc	desc = RelationGetDescr(result->subject->rel);
	Datum		out[3];
	bool		nulls[3] = {false, false, false};

	out[0] = CStringGetTextDatum(kinds[kind]);
	out[1] = heap_copy_tuple_as_datum(heap_form_tuple(desc, values, isnull), desc);
	out[2] = names_of(result->subject, set);
	tuplestore_putvalues(result->rsinfo->setResult, result->rsinfo->setDesc, out, nulls);
}

/* contime.events and contime.events_tick: in order, at the instants [from, to) */
Datum
contime_events(PG_FUNCTION_ARGS)
{
	bool		ticks = get_fn_expr_argtype(fcinfo->flinfo, 2) == INT8OID;
	Subject		subject = open_subject(fcinfo, ticks ? INT8OID : TIMESTAMPTZOID,
									   ticks ? "contime.events()" : "contime.events_tick()");
	EventResult result = {(ReturnSetInfo *) fcinfo->resultinfo, &subject};

	InitMaterializedSRF(fcinfo, 0);
	if (subject.exists && !PG_ARGISNULL(2) && !PG_ARGISNULL(3))
	{
		int64		from = PG_GETARG_INT64(2);
		int64		to = PG_GETARG_INT64(3);
		bool		nokey = false;
		ContimeScan *scan;

		if (from > to)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("start of a range of events must not be after its end")));
		scan = contime_scan_begin(subject.rel, GetActiveSnapshot());
		if (from < to)
			contime_scan_events(scan, &subject.key, &nokey, from,
								to == PG_INT64_MAX ? to : to - 1, put_event, &result);
		contime_scan_end(scan);
	}
	relation_close(subject.rel, NoLock);
	return (Datum) 0;
}
