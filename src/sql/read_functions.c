/*
 * read_functions.c
 *	  The SQL functions that read: at, history, series, since, latest, events.
 *
 *	  begin:  check the arguments and privileges, bind a scan
 *	  next:   return a row of the scan
 *	  end:    when there are no more rows, or the query ends
 *
 * In FROM the rows go into a tuplestore, which spills to disk.  In a select list they are
 * returned one by one, so that rows beyond a LIMIT are not read.  Then the read outlives
 * the call and belongs to the query's resource owner: a callback ends it with the query.
 *
 * The arguments are checked in args.c.
 *
 * Not here: what the planner knows of these functions (plan/estimate.c).
 */
#include "postgres.h"

#include "base/compat.h"
#include "sql/sql.h"
#include "read/read.h"
#include "table/table.h"

#include "access/relation.h"
#include "common/int.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rangetypes.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(contime_at);
PG_FUNCTION_INFO_V1(contime_history);
PG_FUNCTION_INFO_V1(contime_series);
PG_FUNCTION_INFO_V1(contime_since);
PG_FUNCTION_INFO_V1(contime_latest);
PG_FUNCTION_INFO_V1(contime_latest_tick);
PG_FUNCTION_INFO_V1(contime_events);
/*
 * How many instants of a series are bound at a time. The number grows, since
 * each binding of a durable table may take a query.
 */
#define FIRST_INSTANTS 1024
#define MOST_INSTANTS (1024 * 1024)

/* ---- the instants of a series ------------------------------------------------ */

typedef struct Steps
{
	bool ticks;
	int64 at;
	int64 to;
	int64 step;        /* of a logical clock */
	Interval interval; /* else */
	bool forward;
	bool ended;
} Steps;

static void CONTIME_NORETURN
report_step(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("step of a series must not be %s", what),
					errhint("Give a step that leads from the first instant to the last.")));
}

static Steps
steps_begin(FunctionCallInfo fcinfo, bool ticks)
{
	Steps steps = {.ticks = ticks, .at = PG_GETARG_INT64(2), .to = PG_GETARG_INT64(3)};
	Interval zero = {0};
	int sign;

	if (ticks)
	{
		steps.step = PG_GETARG_INT64(4);
		sign = (steps.step > 0) - (steps.step < 0);
	}
	else
	{
		steps.interval = *PG_GETARG_INTERVAL_P(4);
		sign = DatumGetInt32(DirectFunctionCall2(interval_cmp, IntervalPGetDatum(&steps.interval),
												 IntervalPGetDatum(&zero)));
		if (TIMESTAMP_NOT_FINITE(steps.at) || TIMESTAMP_NOT_FINITE(steps.to))
			ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
							errmsg("a series must not be infinite")));
	}
	if (sign == 0)
		report_step("zero");
	Assert(sign == 1 || sign == -1);
	steps.forward = sign > 0;
	return steps;
}

/* The next instant, as generate_series() gives it. Returns false at the end. */
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
															IntervalPGetDatum(&steps->interval)));
		if (steps->forward ? steps->at <= *instant : steps->at >= *instant)
			report_step("of changing direction");
	}
	return true;
}

/* ---- a read ------------------------------------------------------------------ */

/*
 * The table, and perhaps the key, with which the arguments of all these
 * functions begin.
 */
typedef struct Subject
{
	Relation rel;
	const ContimeTable *table;
	bool ticks;     /* it has a logical clock */
	uint64 columns; /* to read */
	Datum key;
	bool exists; /* can there be such a key? */
} Subject;

typedef struct Read Read;

struct Read
{
	Subject subject;
	Snapshot snapshot;
	ResourceOwner owner;
	ContimeScan *scan;        /* NULL: there are no rows */
	TupleTableSlot *row;      /* of the table */
	TupleTableSlot *result;   /* NULL: rows of the table are the result */
	MemoryContext values;     /* of the result */
	bool (*next)(Read *read); /* false: no more rows */

	TypeCacheEntry *during; /* the range type of a history */
	Steps steps;            /* of a series */
	int64 *instants;
	int room;
	bool last; /* the last of them are bound */
};

static Oid
argument_type(FunctionCallInfo fcinfo, int argno)
{
	return get_fn_expr_argtype(fcinfo->flinfo, argno);
}

/*
 * Open the table of the first argument.  key: number of the key's argument, or -1;
 * columns: of the argument with the columns to read, or -1 for all columns.  clock: the
 * type of the function's instants.  ERROR if the table's clock is of the other type; the
 * hint names `of_instants` or `of_ticks`.
 */
static Subject
open_columns(FunctionCallInfo fcinfo, int key, int columns, Oid clock, const char *of_instants,
			 const char *of_ticks)
{
	Subject subject = {.exists = true};

	contime_check_argument(fcinfo);
	subject.ticks = clock == INT8OID;
	subject.rel = contime_open_argument(fcinfo, AccessShareLock);
	subject.table = contime_table(subject.rel);
	subject.columns = columns >= 0 ? contime_columns_argument(fcinfo, columns, subject.table)
								   : contime_all_columns(subject.table);
	contime_check_privilege(subject.rel, ACL_SELECT, subject.columns);
	contime_check_clock(subject.table, subject.ticks ? INT8OID : TIMESTAMPTZOID,
						subject.ticks ? of_instants : of_ticks);
	if (key >= 0)
		subject.exists =
			!PG_ARGISNULL(key) && contime_key_argument(fcinfo, key, subject.table, &subject.key);
	return subject;
}

/* Likewise, to read all columns. */
static Subject
open_subject(FunctionCallInfo fcinfo, int key, Oid clock, const char *of_instants,
			 const char *of_ticks)
{
	return open_columns(fcinfo, key, -1, clock, of_instants, of_ticks);
}

/* Begin a scan: there may be rows. */
static void
begin_function_scan(Read *read)
{
	Assert(read->scan == NULL && ActiveSnapshotSet());
	read->owner = CurrentResourceOwner;
	read->snapshot = RegisterSnapshotOnOwner(GetActiveSnapshot(), read->owner);
	read->scan = contime_scan_begin(read->subject.rel, read->snapshot, NULL);
	read->row = MakeSingleTupleTableSlot(RelationGetDescr(read->subject.rel), &TTSOpsVirtual);
}

/* The result is not a row of the table, but has columns of its own. */
static void
begin_result(FunctionCallInfo fcinfo, Read *read)
{
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	read->result = MakeSingleTupleTableSlot(BlessTupleDesc(desc), &TTSOpsVirtual);
	read->values =
		AllocSetContextCreate(CurrentMemoryContext, "contime result", ALLOCSET_SMALL_SIZES);
}

static void
end_read(Datum arg)
{
	Read *read = (Read *) DatumGetPointer(arg);

	if (read->scan)
	{
		contime_scan_end(read->scan);
		ExecDropSingleTupleTableSlot(read->row);
		if (read->result)
			ExecDropSingleTupleTableSlot(read->result);
		UnregisterSnapshotFromOwner(read->snapshot, read->owner);
	}
	relation_close(read->subject.rel, NoLock);
}

/* The slot with the next row; NULL: there are no more. */
static TupleTableSlot *
next_result(Read *read)
{
	if (read->scan == NULL || !read->next(read))
		return NULL;
	return read->result ? read->result : read->row;
}

typedef void (*Begin)(FunctionCallInfo fcinfo, Read *read);

static void
return_all(FunctionCallInfo fcinfo, Begin begin)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Read read = {0};
	TupleTableSlot *slot;

	InitMaterializedSRF(fcinfo, 0);
	begin(fcinfo, &read);
	while ((slot = next_result(&read)) != NULL)
		tuplestore_puttupleslot(rsinfo->setResult, slot);
	end_read(PointerGetDatum(&read));
}

static Datum
return_one(FunctionCallInfo fcinfo, Begin begin)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FuncCallContext *call;
	Read *read;
	TupleTableSlot *slot;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext caller;

		call = SRF_FIRSTCALL_INIT();
		caller = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		call->user_fctx = read = palloc0(sizeof(Read));
		begin(fcinfo, read);
		MemoryContextSwitchTo(caller);

		/* This callback runs before the one that frees the memory. */
		RegisterExprContextCallback(rsinfo->econtext, end_read, PointerGetDatum(read));
	}
	call = SRF_PERCALL_SETUP();
	read = call->user_fctx;
	slot = next_result(read);
	if (slot != NULL)
		SRF_RETURN_NEXT(call, ExecFetchSlotHeapTupleDatum(slot));
	UnregisterExprContextCallback(rsinfo->econtext, end_read, PointerGetDatum(read));
	end_read(PointerGetDatum(read));
	SRF_RETURN_DONE(call);
}

/* All rows if the caller prefers them materialised, else one row a call. */
static Datum
return_rows(FunctionCallInfo fcinfo, Begin begin)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	/* Check the type first: there is no set of rows of another type. */
	contime_check_argument(fcinfo);
	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) ||
		(rsinfo->allowedModes & SFRM_Materialize_Preferred) == 0)
		return return_one(fcinfo, begin);
	return_all(fcinfo, begin);
	return (Datum) 0;
}

/* Keys that are bound are not NULL. */
static const bool nokey = false;

/* ---- at ---------------------------------------------------------------------- */

static bool
next_at(Read *read)
{
	return contime_scan_next(read->scan, read->row);
}

static void
begin_at(FunctionCallInfo fcinfo, Read *read)
{
	bool by_key = PG_NARGS() > 2;
	int64 instant;

	read->subject = open_subject(fcinfo, by_key ? 2 : -1, argument_type(fcinfo, 1), "contime.at()", "contime.at_tick()");
	if (!read->subject.exists || PG_ARGISNULL(1))
		return;
	instant = PG_GETARG_INT64(1);
	begin_function_scan(read);
	contime_scan_bind(read->scan, &instant, 1, by_key ? &read->subject.key : NULL, &nokey);
	read->next = next_at;
}

/* contime.at and contime.at_tick, of one key or all */
Datum
contime_at(PG_FUNCTION_ARGS)
{
	return return_rows(fcinfo, begin_at);
}

/* ---- history ----------------------------------------------------------------- */

static Datum
make_during(const Read *read, const ContimeRange *during)
{
	RangeBound lower = {.val = Int64GetDatum(during->from),
						.infinite = during->open_start,
						.inclusive = true,
						.lower = true};
	RangeBound upper = {.infinite = during->open_end, .inclusive = false, .lower = false};

	Assert(during->from <= during->last);
	Assert(during->open_end || during->last < PG_INT64_MAX);
	if (!during->open_end)
		upper.val = Int64GetDatum(during->last + 1);
	return RangeTypePGetDatum(make_range(read->during, &lower, &upper, false, NULL));
}

static bool
next_history(Read *read)
{
	MemoryContext caller;
	ContimeRange during;

	if (!contime_scan_next_state(read->scan, read->row, &during))
		return false;
	ExecClearTuple(read->result);
	MemoryContextReset(read->values);
	caller = MemoryContextSwitchTo(read->values);
	read->result->tts_values[0] = make_during(read, &during);
	read->result->tts_values[1] = ExecFetchSlotHeapTupleDatum(read->row);
	read->result->tts_isnull[0] = read->result->tts_isnull[1] = false;
	ExecStoreVirtualTuple(read->result);
	MemoryContextSwitchTo(caller);
	return true;
}

/* The options of a history by key are arguments 4 and 5. */
static void
begin_history(FunctionCallInfo fcinfo, Read *read)
{
	bool by_key = PG_NARGS() > 3;
	bool options = PG_NARGS() > 5;
	int start = by_key ? 2 : 1;
	ContimeRange range;

	read->subject = open_columns(fcinfo, by_key ? 1 : -1, options ? 4 : -1,
								 argument_type(fcinfo, start), "contime.history()",
								 "contime.history_tick()");
	if (!read->subject.exists ||
		!contime_range_arguments(fcinfo, start, read->subject.ticks, &range))
		return;
	begin_function_scan(read);
	begin_result(fcinfo, read);
	read->during =
		lookup_type_cache(read->subject.ticks ? INT8RANGEOID : TSTZRANGEOID, TYPECACHE_RANGE_INFO);
	contime_scan_show(read->scan, read->subject.columns);
	if (options && !PG_ARGISNULL(5) && PG_GETARG_BOOL(5))
		contime_scan_backward(read->scan);
	contime_scan_bind_history(read->scan, by_key ? &read->subject.key : NULL, &nokey, &range);
	read->next = next_history;
}

/* contime.history and contime.history_tick, of one key or all */
Datum
contime_history(PG_FUNCTION_ARGS)
{
	return return_rows(fcinfo, begin_history);
}

/* ---- series ------------------------------------------------------------------ */

static void
bind_series(Read *read)
{
	int n = 0;

	while (n < read->room && steps_next(&read->steps, &read->instants[n]))
		n++;
	Assert(n <= read->room && read->room <= MOST_INSTANTS);
	read->last = n < read->room;
	contime_scan_bind(read->scan, read->instants, n, &read->subject.key, &nokey);
	if (read->room < MOST_INSTANTS)
	{
		read->room *= 2;
		read->instants = repalloc_huge(read->instants, read->room * sizeof(int64));
	}
}

static bool
next_series(Read *read)
{
	while (!contime_scan_next(read->scan, read->row))
	{
		CHECK_FOR_INTERRUPTS();
		if (read->last)
			return false;
		bind_series(read);
	}
	return true;
}

static void
begin_series(FunctionCallInfo fcinfo, Read *read)
{
	read->subject = open_subject(fcinfo, 1, argument_type(fcinfo, 2), "contime.series()", "contime.series_tick()");
	if (!read->subject.exists || PG_ARGISNULL(2) || PG_ARGISNULL(3) || PG_ARGISNULL(4))
		return;
	read->steps = steps_begin(fcinfo, read->subject.ticks);
	begin_function_scan(read);
	if (!read->steps.forward)
		contime_scan_backward(read->scan);
	read->room = FIRST_INSTANTS;
	read->instants = palloc(read->room * sizeof(int64));
	bind_series(read);
	read->next = next_series;
}

/* contime.series and contime.series_tick: the row at each instant, where there is one */
Datum
contime_series(PG_FUNCTION_ARGS)
{
	return return_rows(fcinfo, begin_series);
}

/* ---- since ------------------------------------------------------------------- */

/* contime.since and contime.since_tick: NULL when there is no row at the instant */
Datum
contime_since(PG_FUNCTION_ARGS)
{
	Read read = {.subject = open_subject(fcinfo, 1, argument_type(fcinfo, 2), "contime.since()", "contime.since_tick()")};
	int64 instant = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);
	bool found = false;

	if (read.subject.exists && !PG_ARGISNULL(2))
	{
		begin_function_scan(&read);
		found = contime_scan_since(read.scan, &read.subject.key, &nokey, &instant);
	}
	end_read(PointerGetDatum(&read));
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_INT64(instant);
}

/* ---- latest ------------------------------------------------------------------ */

static Datum
return_latest(FunctionCallInfo fcinfo, Oid clock)
{
	bool by_key = PG_NARGS() > 1;
	Read read = {.subject = open_subject(fcinfo, by_key ? 1 : -1, clock, "contime.latest()",
										 "contime.latest_tick()")};
	int64 instant = 0;
	bool found = false;

	if (read.subject.exists)
	{
		begin_function_scan(&read);
		found = contime_scan_latest(read.scan, by_key ? &read.subject.key : NULL, &nokey, &instant);
	}
	end_read(PointerGetDatum(&read));
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_INT64(instant);
}

/* contime.latest, of one key or all: the instant of the latest event; NULL if there is none */
Datum
contime_latest(PG_FUNCTION_ARGS)
{
	return return_latest(fcinfo, TIMESTAMPTZOID);
}

Datum
contime_latest_tick(PG_FUNCTION_ARGS)
{
	return return_latest(fcinfo, INT8OID);
}

/* ---- events ------------------------------------------------------------------ */

/* The names of attributes, as a name[]. */
static Datum
names_of(const Subject *subject, uint64 columns)
{
	TupleDesc desc = RelationGetDescr(subject->rel);
	Datum names[CT_MAX_ATTRS];
	int n = 0;

	Assert(desc->natts <= CT_MAX_ATTRS);
	for (int i = 0; i < desc->natts; i++)
		if ((columns >> i & 1) && !TupleDescAttr(desc, i)->attisdropped)
			names[n++] = NameGetDatum(&TupleDescAttr(desc, i)->attname);
	return PointerGetDatum(construct_array(names, n, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR));
}

static bool
next_event(Read *read)
{
	static const char *const kinds[] =
		{[CT_FINISH] = "finish", [CT_EVENT] = "event", [CT_SNAPSHOT] = "snapshot"};
	TupleTableSlot *result = read->result;
	MemoryContext caller;
	ContimeRawEvent raw;

	if (!contime_scan_next_event(read->scan, read->row, &raw))
		return false;
	StaticAssertStmt(lengthof(kinds) == CT_SNAPSHOT + 1, "each kind has a name");
	Assert(raw.kind < lengthof(kinds));
	ExecClearTuple(result);
	MemoryContextReset(read->values);
	caller = MemoryContextSwitchTo(read->values);
	result->tts_values[0] = CStringGetTextDatum(kinds[raw.kind]);
	result->tts_values[1] = ExecFetchSlotHeapTupleDatum(read->row);
	result->tts_values[2] = names_of(&read->subject, raw.set);
	result->tts_values[3] = BoolGetDatum(raw.late);
	memset(result->tts_isnull, false, 3 * sizeof(bool));

	/* An event table does not say when its rows came. */
	result->tts_isnull[3] = read->subject.table->source != NULL;
	ExecStoreVirtualTuple(result);
	MemoryContextSwitchTo(caller);
	return true;
}

static void
begin_events(FunctionCallInfo fcinfo, Read *read)
{
	ContimeRange range;

	read->subject = open_subject(fcinfo, 1, argument_type(fcinfo, 2), "contime.events()",
								 "contime.events_tick()");
	if (!read->subject.exists || !contime_range_arguments(fcinfo, 2, read->subject.ticks, &range))
		return;
	begin_function_scan(read);
	begin_result(fcinfo, read);
	contime_scan_bind_events(read->scan, &read->subject.key, &nokey, &range);
	read->next = next_event;
}

/* contime.events and contime.events_tick: in order, in a range */
Datum
contime_events(PG_FUNCTION_ARGS)
{
	return return_rows(fcinfo, begin_events);
}
