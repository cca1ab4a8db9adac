/*
 * verify.c
 *	  contime.verify(): compare a durable table's cache with its event tables.
 *
 * Every event that the caller's snapshot sees is read twice: once as any read does,
 * and once from the event tables.  The sums of the events (event_sum.c) are compared.
 * If the cache is partial, or lacks bad rows (store/oversize.c), only the keys that it
 * has completely are compared.  Bad rows are no error: it warns of them.
 */
#include "postgres.h"

#include "sql/sql.h"
#include "durable/durable.h"
#include "read/read.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "access/relation.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(contime_verify);

/* Set *memory and *heap to the sums over all keys that the cache has completely. */
static void
sum_both_reads(Relation rel, ContimeEventSum *memory, ContimeEventSum *heap)
{
	ContimeGeneration *g = contime_generation(RelationGetRelid(rel));
	ContimeEventReader one = contime_sum_begin(rel, GetActiveSnapshot(), false);
	ContimeEventReader other = contime_sum_begin(rel, GetActiveSnapshot(), true);
	Datum keys[INDEX_MAX_KEYS];
	ContimeKey key;
	int partition = 0;
	uint32 position = 0;

	initStringInfo(&key.data);
	contime_scan_leave_out(one.scan);
	contime_scan_leave_out(other.scan);
	if (g && (contime_cache_state(g) == CONTIME_CACHE_PARTIAL ||
			  (contime_cache_state(g) == CONTIME_CACHE_READY && contime_oversize_any(g) &&
			   !one.table->ignores_bad_rows)))
		while (contime_next_loaded_key(g, &partition, &position, &key))
		{
			if (contime_oversize_key(g, &key) && !one.table->ignores_bad_rows)
				continue;
			contime_decode_keys(one.table, &key, keys);
			contime_sum_add(&one, keys);
			contime_sum_add(&other, keys);
		}
	else
	{
		contime_sum_add(&one, NULL);
		contime_sum_add(&other, NULL);
	}
	*memory = contime_sum_end(&one);
	*heap = contime_sum_end(&other);
}

/* Warn of the first bad rows, each with its key and time, and of how many others there are. */
static void
warn_of_bad_rows(const ContimeTable *table)
{
	List *shown;
	uint64 bad = contime_heap_bad_rows(table, GetActiveSnapshot(), &shown);
	int n = Min(list_length(shown), CONTIME_BAD_ROWS_SHOWN);

	Assert(bad >= (uint64) n);
	for (int i = 0; i < n; i++)
	{
		const ContimeBadRow *row = list_nth(shown, i);

		ereport(WARNING,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("row %s cannot be an event of continuous table \"%s\": %s", row->what,
						table->name, row->reason),
				 errdetail_internal("%s", row->detail)));
	}
	if (bad > (uint64) n)
		ereport(WARNING,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("%llu more rows cannot be events of continuous table \"%s\"",
						(unsigned long long) (bad - n), table->name)));
}

/* contime.verify(state regclass, OUT answered_from text, OUT events bigint, OUT equal boolean) */
Datum
contime_verify(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	Relation rel;
	const ContimeTable *table;
	TupleDesc desc;
	Datum values[3];
	bool isnull[3] = {0};
	ContimeEventSum heap;
	ContimeEventSum memory;

	contime_require_table(relid);
	rel = contime_open_relation(relid, AccessShareLock);
	table = contime_table(rel);
	contime_check_privilege(rel, ACL_SELECT, contime_all_columns(table));
	if (table->source == NULL)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("continuous table \"%s\" has no event tables to be compared with",
							   table->name),
						errhint("Its events are in memory only.")));
	contime_source_check(table);
	sum_both_reads(rel, &memory, &heap);
	values[0] = CStringGetTextDatum(memory.where);
	values[1] = Int64GetDatum((int64) heap.events);
	values[2] = BoolGetDatum(contime_sum_equal(&memory, &heap));
	if (!DatumGetBool(values[2]))
	{
		contime_cache_break(relid, "contime.verify() found a difference");
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("memory of continuous table \"%s\" differs from its event tables",
						table->name),
				 errdetail("Memory held %llu events, the event tables hold %llu.",
						   (unsigned long long) memory.events, (unsigned long long) heap.events),
				 errhint(
					 "The cache is discarded and loaded again. Check whether an event table was changed without firing triggers.")));
	}
	warn_of_bad_rows(table);
	relation_close(rel, AccessShareLock);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(desc, values, isnull));
}
