/*
 * event_functions.c
 *	  The SQL functions that write: event, snapshot, finish.
 *
 * They record events by the same code as INSERT (write/ingest.c).  event() needs
 * the privilege INSERT, snapshot() UPDATE, and finish() DELETE; INSERT and UPDATE
 * may be granted by column.
 */
#include "postgres.h"

#include "sql/sql.h"
#include "read/read.h"
#include "table/table.h"
#include "write/write.h"

#include "access/relation.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(contime_event);
PG_FUNCTION_INFO_V1(contime_snapshot);
PG_FUNCTION_INFO_V1(contime_finish);

/*
 * Return the mask of the state columns named in a name[].  Messages name the `argument`.
 * If `with_event_id`, the event id may be named, and is left out of the mask.
 */
static uint64
list_named_columns(const ContimeTable *table, ArrayType *names, const char *argument,
				   bool with_event_id)
{
	Datum *elements;
	bool *nulls;
	int n;
	uint64 mask = 0;

	deconstruct_array(names, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		const char *name = nulls[i] ? NULL : NameStr(*DatumGetName(elements[i]));
		AttrNumber attno = contime_named_column(table, name, argument);

		if (table->attr[attno - 1].event_id && with_event_id)
			continue;
		if (!table->attr[attno - 1].state || table->attr[attno - 1].event_id)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("column \"%s\" of continuous table \"%s\" is not a state column",
								   name, table->name),
							errhint("%s takes columns that have a rule.", argument)));
		mask |= contime_bit_of(attno);
	}
	return mask;
}

/*
 * ERROR unless a row has the table's columns.  The type in its header counts, which
 * may differ from the declared type of the argument.
 */
static void
check_row_type(Relation rel, HeapTupleHeader header)
{
	TupleDesc ours = RelationGetDescr(rel);
	TupleDesc its;
	bool same;

	if (HeapTupleHeaderGetTypeId(header) == rel->rd_rel->reltype)
		return;
	its =
		lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
	same = its->natts == ours->natts;
	for (int i = 0; same && i < ours->natts; i++)
		same = TupleDescAttr(ours, i)->attisdropped ||
			   (!TupleDescAttr(its, i)->attisdropped &&
				TupleDescAttr(its, i)->atttypid == TupleDescAttr(ours, i)->atttypid);
	ReleaseTupleDesc(its);
	if (!same)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("row does not have the columns of continuous table \"%s\"",
							   RelationGetRelationName(rel)),
						errhint("Write ROW(...)::%s.", RelationGetRelationName(rel))));
}

/* Set values and isnull from the first argument, a row. ERROR if it is NULL. */
static void
deform_row(FunctionCallInfo fcinfo, Relation rel, Datum *values, bool *isnull)
{
	HeapTupleData tuple;
	HeapTupleHeader header;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("row of an event must not be null"),
						errhint("Write ROW(...)::%s.", RelationGetRelationName(rel))));
	header = PG_GETARG_HEAPTUPLEHEADER(0);
	check_row_type(rel, header);
	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, RelationGetDescr(rel), values, isnull);
}

/* Return the mask of the columns that are not NULL. */
static uint64
list_non_null_columns(const ContimeTable *table, const bool *isnull)
{
	uint64 mask = 0;

	for (int i = 0; i < table->natts; i++)
		if (!isnull[i])
			mask |= contime_bit_of(i + 1);
	return mask;
}

/* ERROR if the table is a partition and the row does not belong to it, as for an INSERT. */
static void
check_partition(Relation rel, const Datum *values, const bool *isnull)
{
	TupleDesc desc = RelationGetDescr(rel);
	EState *estate;
	ResultRelInfo *rinfo;
	TupleTableSlot *slot;

	if (!rel->rd_rel->relispartition)
		return;
	estate = CreateExecutorState();
	rinfo = makeNode(ResultRelInfo);
	InitResultRelInfo(rinfo, rel, 0, NULL, 0);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	memcpy(slot->tts_values, values, desc->natts * sizeof(Datum));
	memcpy(slot->tts_isnull, isnull, desc->natts * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	ExecPartitionCheck(rinfo, slot, estate, true);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
}

/* Record one event of this kind. ERROR for a durable table, and while contime.at is set. */
static void
record_event(Relation rel, CtKind kind, const Datum *values, const bool *isnull, uint64 set_null,
			 uint64 columns)
{
	ContimeIngest *ingest = contime_ingest_begin(rel);

	Assert(set_null == 0 || kind == CT_EVENT);
	Assert(columns == 0 || kind == CT_SNAPSHOT);
	contime_source_refuse(contime_table(rel));
	contime_check_present(contime_table(rel));
	check_partition(rel, values, isnull);
	contime_ingest_row(ingest, kind, values, isnull, set_null, columns, true);
	contime_ingest_end(ingest);
}

Datum
contime_event(PG_FUNCTION_ARGS)
{
	Datum values[MaxTupleAttributeNumber];
	bool isnull[MaxTupleAttributeNumber];
	Relation rel;
	const ContimeTable *table;
	uint64 set_null;

	PreventCommandIfReadOnly("contime.event()");
	rel = contime_open_argument(fcinfo, RowExclusiveLock);
	table = contime_table(rel);
	deform_row(fcinfo, rel, values, isnull);
	set_null = PG_ARGISNULL(1) ? 0 : list_named_columns(table, PG_GETARG_ARRAYTYPE_P(1), "set_null", false);
	contime_check_privilege(rel, ACL_INSERT, list_non_null_columns(table, isnull) | set_null);
	for (int i = 0; i < table->natts; i++)
		if ((set_null & contime_bit_of(i + 1)) && !isnull[i])
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("column \"%s\" is in set_null but has a value",
								   get_attname(table->relid, i + 1, false)),
							errhint("Leave it NULL in the row, or take it out of set_null.")));
	record_event(rel, CT_EVENT, values, isnull, set_null, 0);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

Datum
contime_snapshot(PG_FUNCTION_ARGS)
{
	Datum values[MaxTupleAttributeNumber];
	bool isnull[MaxTupleAttributeNumber];
	Relation rel;
	const ContimeTable *table;
	uint64 columns = 0;
	uint64 written;

	PreventCommandIfReadOnly("contime.snapshot()");
	rel = contime_open_argument(fcinfo, RowExclusiveLock);
	table = contime_table(rel);
	deform_row(fcinfo, rel, values, isnull);
	if (!PG_ARGISNULL(1))
	{
		/* contime.events() lists the event id among the columns of a snapshot. */
		columns = list_named_columns(table, PG_GETARG_ARRAYTYPE_P(1), "columns", true);
		if (columns == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("columns of a snapshot must not be empty"),
							errhint("Leave the argument out to set the whole row.")));
	}
	written = columns != 0 ? columns : contime_all_columns(table) & ~contime_address_columns(table);
	if (table->schema->id_attr >= 0 && !isnull[table->schema->id_attr])
		written |= contime_bit_of(table->schema->id_attr + 1);
	contime_check_privilege(rel, ACL_UPDATE, written);
	record_event(rel, CT_SNAPSHOT, values, isnull, 0, columns);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

Datum
contime_finish(PG_FUNCTION_ARGS)
{
	Datum values[MaxTupleAttributeNumber];
	bool isnull[MaxTupleAttributeNumber];
	Relation rel;

	PreventCommandIfReadOnly("contime.finish()");
	rel = contime_open_argument(fcinfo, RowExclusiveLock);
	(void) contime_table(rel);
	deform_row(fcinfo, rel, values, isnull);
	contime_check_privilege(rel, ACL_DELETE, 0);
	record_event(rel, CT_FINISH, values, isnull, 0, 0);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}
