/*
 * event_sum.c
 *	  Sums over the events that a snapshot sees: equal sums, equal events.
 *
 * A sum does not depend on the order of the events, but on how often each occurs.
 * Called by verify.c and fdw_lock.c.
 */
#include "postgres.h"

#include "sql/sql.h"
#include "read/read.h"
#include "table/table.h"

#include <xxhash.h>

#include "executor/tuptable.h"
#include "miscadmin.h"

/* Add an event to a sum. `image` is working memory. */
static void
add_event(ContimeEventSum *sum, const ContimeTable *table, const TupleTableSlot *slot,
		  const ContimeRawEvent *raw, StringInfo image)
{
	XXH128_hash_t hash;

	StaticAssertStmt(CT_MAX_ATTRS <= INT8_MAX, "the number of an attribute is a char");
	resetStringInfo(image);
	appendBinaryStringInfo(image, (const char *) &raw->kind, sizeof(raw->kind));
	appendBinaryStringInfo(image, (const char *) &raw->set, sizeof(raw->set));
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

ContimeEventReader
contime_sum_begin(Relation rel, Snapshot snapshot, bool from_heap)
{
	ContimeEventReader reader = {.table = contime_table(rel)};

	reader.scan = contime_scan_begin(rel, snapshot, NULL);
	reader.slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	reader.context =
		AllocSetContextCreate(CurrentMemoryContext, "contime event sum", ALLOCSET_SMALL_SIZES);
	initStringInfo(&reader.image);
	if (from_heap)
		contime_scan_use_heap(reader.scan);
	return reader;
}

void
contime_sum_add(ContimeEventReader *reader, const Datum *keys)
{
	static const bool notnull[INDEX_MAX_KEYS] = {0};
	static const ContimeRange all = {PG_INT64_MIN, PG_INT64_MAX, true, true};
	MemoryContext caller;
	ContimeRawEvent raw;

	contime_scan_bind_events(reader->scan, keys, keys ? notnull : NULL, &all);
	while (contime_scan_next_event(reader->scan, reader->slot, &raw))
	{
		CHECK_FOR_INTERRUPTS();
		caller = MemoryContextSwitchTo(reader->context);
		add_event(&reader->sum, reader->table, reader->slot, &raw, &reader->image);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(reader->context);
	}
}

ContimeEventSum
contime_sum_end(ContimeEventReader *reader)
{
	reader->sum.where = contime_scan_where(reader->scan);
	contime_scan_end(reader->scan);
	ExecDropSingleTupleTableSlot(reader->slot);
	MemoryContextDelete(reader->context);
	pfree(reader->image.data);
	return reader->sum;
}

bool
contime_sum_equal(const ContimeEventSum *a, const ContimeEventSum *b)
{
	return a->events == b->events && a->hash[0] == b->hash[0] && a->hash[1] == b->hash[1];
}
