/*
 * reconciliations.c
 *	  contime.reconciliations(): the notices of a table that are still in the ring.
 */
#include "postgres.h"

#include "base/compat.h"
#include "sql/sql.h"
#include "durable/durable.h"
#include "notify/notify.h"
#include "shared/shared.h"
#include "table/table.h"

#include "access/relation.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/rangetypes.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(contime_reconciliations);

/* The result of a call of reconciliations(). */
typedef struct Reconciliations
{
	ReturnSetInfo *rsinfo;
	TupleDesc row;         /* row type of the table */
	TypeCacheEntry *range; /* type of the second output column */
} Reconciliations;

/*
 * Add a row to the result: a notice, or without one (NULL) the mark that all notices up
 * to `seq` are lost.
 */
static void
put_reconciliation(const Reconciliations *result, const ContimeTable *table, uint64 seq,
				   const ContimeNotice *notice)
{
	Datum out[5];
	bool nulls[5] = {0};
	RangeBound lower = {.inclusive = true, .lower = true, .infinite = true};
	RangeBound upper = {.infinite = true};

	out[0] = Int64GetDatum(seq);
	nulls[1] = nulls[3] = notice == NULL;
	if (notice)
	{
		Datum *values = palloc0(table->natts * sizeof(Datum));
		bool *isnull = palloc(table->natts * sizeof(bool));

		memset(isnull, true, table->natts * sizeof(bool));
		Assert(notice->from <= notice->to);
		contime_decode_key(table, notice->key, notice->key_bytes, values, isnull);
		out[1] = HeapTupleGetDatum(heap_form_tuple(result->row, values, isnull));
		out[3] = Int64GetDatum(notice->events);
		lower.val = Int64GetDatum(notice->from);
		lower.infinite = notice->from == PG_INT64_MIN;
		upper.val = Int64GetDatum(notice->to);
		upper.infinite = notice->to == PG_INT64_MAX;
	}
	out[2] = RangeTypePGetDatum(make_range(result->range, &lower, &upper, false, NULL));
	out[4] = BoolGetDatum(notice == NULL);
	tuplestore_putvalues(result->rsinfo->setResult, result->rsinfo->setDesc, out, nulls);
}

/*
 * Add the table's notices with a number greater than `since` to the result.  If some of
 * these are lost, a row that says so is first.  Notices are lost when the ring has
 * overwritten them, and when the table was truncated or the server restarted.
 */
static void
put_reconciliations(const Reconciliations *result, const ContimeTable *table, ContimeGeneration *g,
					uint64 since)
{
	uint64 newest = contime_notices_newest(g);
	ContimeNotice **notices;
	uint64 lost;
	int count;

	notices = contime_notices_between(g, since > newest ? 0 : since, newest, &count);
	lost = pg_atomic_read_u64(&g->notice.lost);
	if (since < lost || since > newest || (since != 0 && since < g->notice.opened))
		put_reconciliation(result, table, Max(lost, g->notice.opened), NULL);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_reconciliation(result, table, notices[i]->seq, notices[i]);
	}
}

/* contime.reconciliations and contime.reconciliations_tick */
Datum
contime_reconciliations(PG_FUNCTION_ARGS)
{
	bool partial;
	Relation rel;
	const ContimeTable *table;
	Reconciliations result;
	ContimeGeneration *g;
	int64 since;
	Oid range;

	contime_check_argument(fcinfo);
	rel = contime_open_argument(fcinfo, AccessShareLock);
	table = contime_table(rel);
	contime_check_privilege(rel, ACL_SELECT, contime_all_columns(table));
	InitMaterializedSRF(fcinfo, 0);
	result.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	result.row = RelationGetDescr(rel);
	range = TupleDescAttr(result.rsinfo->setDesc, 2)->atttypid;
	contime_check_clock(table, range == INT8RANGEOID ? INT8OID : TIMESTAMPTZOID,
						range == INT8RANGEOID ? "contime.reconciliations()"
											  : "contime.reconciliations_tick()");
	result.range = lookup_type_cache(range, TYPECACHE_RANGE_INFO);

	/* A durable table has notices only while a cache is in memory. */
	contime_source_check(table);
	g = table->source ? contime_cache_watched(table, &partial) : contime_generation(table->relid);
	since = PG_ARGISNULL(1) ? 0 : Max(PG_GETARG_INT64(1), 0);
	if (g)
		put_reconciliations(&result, table, g, (uint64) since);
	else if (table->source || contime_is_old(table->relid))
		put_reconciliation(&result, table, (uint64) GetCurrentTimestamp(), NULL);
	relation_close(rel, NoLock);
	return (Datum) 0;
}
