/*
 * verify.c
 *	  contime.verify(): compare a durable table's cache with its event tables.
 *
 * Every event that the caller's snapshot sees is read twice: once as any read does,
 * and once from the event tables.  The sums of the events' hashes are compared.  A
 * sum does not depend on the order of the events, but on how often each occurs.
 * If the cache is partial, or lacks rows that are too large (store/oversize.c), only
 * the keys that it has completely are compared.
 */
#include "postgres.h"

#include "sql/sql.h"
#include "durable/durable.h"
#include "read/read.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include <xxhash.h>

#include "access/relation.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(contime_verify);

/* A sum over events, in any order. */
typedef struct Sum
{
	uint64 events;
	uint64 hash[2];
	const char *where;
} Sum;

/* Add an event to a sum. `image` is working memory. */
static void
add_event(Sum *sum, const ContimeTable *table, const TupleTableSlot *slot,
		  const ContimeRawEvent *told, StringInfo image)
{
	XXH128_hash_t hash;

	resetStringInfo(image);
	appendBinaryStringInfo(image, (const char *) &told->kind, sizeof(told->kind));
	appendBinaryStringInfo(image, (const char *) &told->set, sizeof(told->set));
	for (int i = 0; i < table->natts; i++)
		if (!slot->tts_isnull[i] && !table->attr[i].dropped)
		{
			appendStringInfoChar(image, (char) i);
			(void) contime_encode_image(&table->attr[i], &table->schema->attr[i],
										slot->tts_values[i], image, true);
		}
	hash = XXH3_128bits(image->data, image->len);
	sum->events++;
	sum->hash[0] += hash.low64;
	sum->hash[1] += hash.high64;
}

/* One of the two reads. */
typedef struct Side
{
	const ContimeTable *table;
	ContimeScan *scan;
	TupleTableSlot *slot;
	MemoryContext context; /* reset after each event */
	StringInfoData image;
	Sum sum;
} Side;

static Side
begin_side(Relation rel, bool from_heap)
{
	Side side = {.table = contime_table(rel)};

	side.scan = contime_scan_begin(rel, GetActiveSnapshot(), NULL);
	side.slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	side.context =
		AllocSetContextCreate(CurrentMemoryContext, "contime verify", ALLOCSET_SMALL_SIZES);
	initStringInfo(&side.image);
	if (from_heap)
		contime_scan_use_heap(side.scan);
	return side;
}

/* Add the events of a key, or of all keys if `keys` is NULL. */
static void
add_to_side(Side *side, const Datum *keys)
{
	static const bool notnull[INDEX_MAX_KEYS] = {0};
	MemoryContext caller;
	ContimeRawEvent told;

	contime_scan_bind_events(side->scan, keys, keys ? notnull : NULL, PG_INT64_MIN, PG_INT64_MAX);
	while (contime_scan_next_event(side->scan, side->slot, &told))
	{
		CHECK_FOR_INTERRUPTS();
		caller = MemoryContextSwitchTo(side->context);
		add_event(&side->sum, side->table, side->slot, &told, &side->image);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(side->context);
	}
}

static Sum
end_side(Side *side)
{
	side->sum.where = contime_scan_where(side->scan);
	contime_scan_end(side->scan);
	ExecDropSingleTupleTableSlot(side->slot);
	pfree(side->image.data);
	return side->sum;
}

/* Set *memory and *heap to the sums over all keys that the cache has completely. */
static void
sum_event_values(Relation rel, Sum *memory, Sum *heap)
{
	ContimeGeneration *g = contime_generation(RelationGetRelid(rel));
	Side one = begin_side(rel, false);
	Side other = begin_side(rel, true);
	Datum keys[INDEX_MAX_KEYS];
	ContimeKey key;
	int partition = 0;
	uint32 position = 0;

	initStringInfo(&key.data);
	if (g && (contime_cache_state(g) == CONTIME_CACHE_PARTIAL ||
			  (contime_cache_state(g) == CONTIME_CACHE_READY && contime_oversize_any(g))))
		while (contime_next_loaded_key(g, &partition, &position, &key))
		{
			if (contime_oversize_key(g, &key))
				continue;
			contime_decode_keys(one.table, &key, keys);
			add_to_side(&one, keys);
			add_to_side(&other, keys);
		}
	else
	{
		add_to_side(&one, NULL);
		add_to_side(&other, NULL);
	}
	*memory = end_side(&one);
	*heap = end_side(&other);
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
	Sum heap;
	Sum memory;

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
	sum_event_values(rel, &memory, &heap);
	values[0] = CStringGetTextDatum(memory.where);
	values[1] = Int64GetDatum((int64) heap.events);
	values[2] = BoolGetDatum(memory.events == heap.events && memory.hash[0] == heap.hash[0] &&
							 memory.hash[1] == heap.hash[1]);
	if (!DatumGetBool(values[2]))
	{
		contime_cache_break(relid, "contime.verify() found a difference");
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("memory of continuous table \"%s\" does not hold what its event tables do",
						table->name),
				 errdetail("It held %llu events, they hold %llu.",
						   (unsigned long long) memory.events, (unsigned long long) heap.events),
				 errhint(
					 "It is given up, and loaded again. Was the event table changed in a way that fires no trigger?")));
	}
	relation_close(rel, AccessShareLock);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(desc, values, isnull));
}
