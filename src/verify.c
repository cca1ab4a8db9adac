/*
 * verify.c
 *	  contime.verify(): does a durable table's memory hold what its event tables do?
 *
 * Every event that the caller's snapshot sees is read twice, once wherever
 * reads find it and once from the heap, and the sums of their hashes are
 * compared: the order in which they come does not matter, how often does.
 */
#include "contime.h"

#include <xxhash.h>

#include "funcapi.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(contime_verify);

/* Events in any order. */
typedef struct Sum
{
	uint64		events;
	uint64		hash[2];
	const char *where;
} Sum;

static void
add_event(Sum *sum, const ContimeTable *table, const TupleTableSlot *slot, const ContimeTold *told,
		  StringInfo image)
{
	XXH128_hash_t hash;

	resetStringInfo(image);
	appendBinaryStringInfo(image, (const char *) &told->kind, sizeof(told->kind));
	appendBinaryStringInfo(image, (const char *) &told->set, sizeof(told->set));
	for (int i = 0; i < table->natts; i++)
		if (!slot->tts_isnull[i] && !table->attr[i].dropped)
		{
			appendStringInfoChar(image, (char) i);
			(void) contime_encode_image(&table->attr[i], &table->schema->attr[i], slot->tts_values[i],
										image, true);
		}
	hash = XXH3_128bits(image->data, image->len);
	sum->events++;
	sum->hash[0] += hash.low64;
	sum->hash[1] += hash.high64;
}

static Sum
add_up(Relation rel, const ContimeTable *table, bool from_heap)
{
	ContimeScan *scan = contime_scan_begin(rel, GetActiveSnapshot());
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "contime verify",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller;
	StringInfoData image;
	ContimeTold told;
	Sum			sum = {0};

	initStringInfo(&image);
	if (from_heap)
		contime_scan_use_heap(scan);
	contime_scan_bind_events(scan, NULL, NULL, PG_INT64_MIN, PG_INT64_MAX);
	while (contime_scan_next_event(scan, slot, &told))
	{
		CHECK_FOR_INTERRUPTS();
		caller = MemoryContextSwitchTo(context);
		add_event(&sum, table, slot, &told, &image);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(context);
	}
	sum.where = contime_scan_where(scan);
	contime_scan_end(scan);
	ExecDropSingleTupleTableSlot(slot);
	pfree(image.data);
	return sum;
}

/*
 * contime.verify(state regclass, OUT answered_from text, OUT events bigint,
 * OUT equal boolean)
 */
Datum
contime_verify(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Relation	rel = relation_open(relid, AccessShareLock);
	const ContimeTable *table;
	TupleDesc	desc;
	Datum		values[3];
	bool		isnull[3] = {0};
	Sum			heap;
	Sum			memory;

	if (!contime_is_table(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a continuous table", RelationGetRelationName(rel)),
				 errhint("Create it as a FOREIGN TABLE on SERVER contime.")));
	table = contime_table(rel);
	contime_check_privilege(rel, ACL_SELECT, contime_all_columns(table));
	if (table->source == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("continuous table \"%s\" has no event tables to be compared with", table->name),
				 errhint("What it holds is in memory only.")));
	memory = add_up(rel, table, false);
	heap = add_up(rel, table, true);
	values[0] = CStringGetTextDatum(memory.where);
	values[1] = Int64GetDatum((int64) heap.events);
	values[2] = BoolGetDatum(memory.events == heap.events && memory.hash[0] == heap.hash[0] &&
							 memory.hash[1] == heap.hash[1]);
	if (!DatumGetBool(values[2]))
	{
		contime_cache_break(relid, "contime.verify() found a difference");
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("memory of continuous table \"%s\" does not hold what its event tables do", table->name),
				 errdetail("It held %llu events, they hold %llu.", (unsigned long long) memory.events,
						   (unsigned long long) heap.events),
				 errhint("It is given up, and loaded again. Was the event table changed in a way that fires no trigger?")));
	}
	relation_close(rel, AccessShareLock);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(desc, values, isnull));
}
