/*
 * functions.c
 *	  The SQL functions: event, snapshot, finish; reconciliations; counters.
 *
 * The functions do by call what the foreign table does by statement, with the
 * same code underneath (ingest.c, scan.c).  Foreign tables have core to check
 * privileges; here they are checked by hand, as the current user: INSERT for
 * event, UPDATE for snapshot, DELETE for finish, SELECT for reading, by column
 * where PostgreSQL has it.  The relation's lock is kept to the end of the
 * transaction, like any statement's.
 */
#include "contime.h"

#include "table/owner.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rangetypes.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(contime_event);
PG_FUNCTION_INFO_V1(contime_snapshot);
PG_FUNCTION_INFO_V1(contime_finish);
PG_FUNCTION_INFO_V1(contime_reconciliations);
PG_FUNCTION_INFO_V1(contime_table_stats);
PG_FUNCTION_INFO_V1(contime_worker_stats);

/* ---- the table meant, and what may be done to it ------------------------------------- */

/* The continuous table whose row type the first argument has. */
static Oid
argument_table(FunctionCallInfo fcinfo)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid			relid = OidIsValid(type) ? get_typ_typrelid(getBaseType(type)) : InvalidOid;

	contime_require_loaded();
	if (!OidIsValid(relid) || !contime_is_table(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not the row type of a continuous table",
						OidIsValid(type) ? format_type_be(type) : "the first argument"),
				 errhint("Cast the first argument to the table's row type, as in ROW(...)::account or NULL::account.")));
	return relid;
}

void
contime_check_argument(FunctionCallInfo fcinfo)
{
	Oid			relid = argument_table(fcinfo);
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);

	if (get_typtype(type) == TYPTYPE_DOMAIN)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not the row type of a continuous table", format_type_be(type)),
				 errdetail("It is a domain over a row type, whose constraints a row that is read need not satisfy."),
				 errhint("Write NULL::%s.", get_rel_name(relid))));
}

Relation
contime_open_argument(FunctionCallInfo fcinfo, LOCKMODE mode)
{
	return contime_open_relation(argument_table(fcinfo), mode);
}

/* The privilege on the table, or on every column of the mask. */
void
contime_check_privilege(Relation rel, AclMode mode, uint64 columns)
{
	Oid			relid = RelationGetRelid(rel);

	if (pg_class_aclcheck(relid, GetUserId(), mode) == ACLCHECK_OK)
		return;
	if (columns != 0)
	{
		for (int i = 0; columns != 0; i++, columns >>= 1)
			if ((columns & 1) &&
				pg_attribute_aclcheck(relid, i + 1, GetUserId(), mode) != ACLCHECK_OK)
				break;
		if (columns == 0)
			return;
	}
	aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_TABLE, RelationGetRelationName(rel));
}

static uint64
bit_of(AttrNumber attno)
{
	return UINT64CONST(1) << (attno - 1);
}

/* Key and time columns. */
static uint64
address_columns(const ContimeTable *table)
{
	uint64		mask = bit_of(table->time_attno);

	for (int i = 0; i < table->nkeys; i++)
		mask |= bit_of(table->key_attno[i]);
	return mask;
}

uint64
contime_all_columns(const ContimeTable *table)
{
	uint64		mask = 0;

	for (int i = 0; i < table->natts; i++)
		if (!table->attr[i].dropped)
			mask |= bit_of(i + 1);
	return mask;
}

/* State columns named in a name[]; the argument's name is for messages. */
static uint64
named_columns(const ContimeTable *table, ArrayType *names, const char *argument)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	uint64		mask = 0;

	deconstruct_array(names, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *name = nulls[i] ? NULL : NameStr(*DatumGetName(elements[i]));
		AttrNumber	attno = name ? get_attnum(table->relid, name) : InvalidAttrNumber;

		if (name == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not contain nulls", argument)));
		if (attno <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of continuous table \"%s\" does not exist", name, table->name)));
		if (!table->attr[attno - 1].state || table->attr[attno - 1].event_id)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" of continuous table \"%s\" is not a state column", name, table->name),
					 errhint("%s takes columns that have a rule.", argument)));
		mask |= bit_of(attno);
	}
	return mask;
}

/* ---- writing ----------------------------------------------------------------------------------- */

/* A row says itself of which type it is: it has the table's columns. */
static void
check_row_type(Relation rel, HeapTupleHeader header)
{
	TupleDesc	ours = RelationGetDescr(rel);
	TupleDesc	its;
	bool		same;

	if (HeapTupleHeaderGetTypeId(header) == rel->rd_rel->reltype)
		return;
	its = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
	same = its->natts == ours->natts;
	for (int i = 0; same && i < ours->natts; i++)
		same = TupleDescAttr(ours, i)->attisdropped ||
			(!TupleDescAttr(its, i)->attisdropped &&
			 TupleDescAttr(its, i)->atttypid == TupleDescAttr(ours, i)->atttypid);
	ReleaseTupleDesc(its);
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("row does not have the columns of continuous table \"%s\"",
						RelationGetRelationName(rel)),
				 errhint("Write ROW(...)::%s.", RelationGetRelationName(rel))));
}

/* Take the row apart; ERROR when it is NULL. */
static void
deform_row(FunctionCallInfo fcinfo, Relation rel, Datum *values, bool *isnull)
{
	HeapTupleData tuple;
	HeapTupleHeader header;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
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

static uint64
non_null_columns(const ContimeTable *table, const bool *isnull)
{
	uint64		mask = 0;

	for (int i = 0; i < table->natts; i++)
		if (!isnull[i])
			mask |= bit_of(i + 1);
	return mask;
}

/* ERROR unless a partition's row belongs there; INSERT has its own check. */
static void
check_partition(Relation rel, const Datum *values, const bool *isnull)
{
	TupleDesc	desc = RelationGetDescr(rel);
	EState	   *estate;
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

static void
record(Relation rel, CtKind kind, const Datum *values, const bool *isnull,
	   uint64 set_null, uint64 columns)
{
	ContimeIngest *ingest = contime_ingest_begin(rel);

	contime_source_refuse(contime_table(rel));
	contime_check_present(contime_table(rel));
	check_partition(rel, values, isnull);
	contime_ingest_row(ingest, kind, values, isnull, set_null, columns, true);
	contime_ingest_end(ingest);
}

Datum
contime_event(PG_FUNCTION_ARGS)
{
	Datum		values[MaxTupleAttributeNumber];
	bool		isnull[MaxTupleAttributeNumber];
	Relation	rel;
	const ContimeTable *table;
	uint64		set_null;

	PreventCommandIfReadOnly("contime.event()");
	rel = contime_open_argument(fcinfo, RowExclusiveLock);
	table = contime_table(rel);
	deform_row(fcinfo, rel, values, isnull);
	set_null = PG_ARGISNULL(1) ? 0 : named_columns(table, PG_GETARG_ARRAYTYPE_P(1), "set_null");
	contime_check_privilege(rel, ACL_INSERT, non_null_columns(table, isnull) | set_null);
	for (int i = 0; i < table->natts; i++)
		if ((set_null & bit_of(i + 1)) && !isnull[i])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" is in set_null but has a value",
							get_attname(table->relid, i + 1, false)),
					 errhint("Leave it NULL in the row, or take it out of set_null.")));
	record(rel, CT_EVENT, values, isnull, set_null, 0);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

Datum
contime_snapshot(PG_FUNCTION_ARGS)
{
	Datum		values[MaxTupleAttributeNumber];
	bool		isnull[MaxTupleAttributeNumber];
	Relation	rel;
	const ContimeTable *table;
	uint64		columns = 0;
	uint64		written;

	PreventCommandIfReadOnly("contime.snapshot()");
	rel = contime_open_argument(fcinfo, RowExclusiveLock);
	table = contime_table(rel);
	deform_row(fcinfo, rel, values, isnull);
	if (!PG_ARGISNULL(1))
	{
		columns = named_columns(table, PG_GETARG_ARRAYTYPE_P(1), "columns");
		if (columns == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("columns of a snapshot must not be empty"),
					 errhint("Leave the argument out to state the whole row.")));
	}
	written = columns != 0 ? columns : contime_all_columns(table) & ~address_columns(table);
	if (table->schema->id_attr >= 0 && !isnull[table->schema->id_attr])
		written |= bit_of(table->schema->id_attr + 1);
	contime_check_privilege(rel, ACL_UPDATE, written);
	record(rel, CT_SNAPSHOT, values, isnull, 0, columns);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

Datum
contime_finish(PG_FUNCTION_ARGS)
{
	Datum		values[MaxTupleAttributeNumber];
	bool		isnull[MaxTupleAttributeNumber];
	Relation	rel;

	PreventCommandIfReadOnly("contime.finish()");
	rel = contime_open_argument(fcinfo, RowExclusiveLock);
	(void) contime_table(rel);
	deform_row(fcinfo, rel, values, isnull);
	contime_check_privilege(rel, ACL_DELETE, 0);
	record(rel, CT_FINISH, values, isnull, 0, 0);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/* ---- arguments of those that read -------------------------------------------------------------------------------------- */

/*
 * Make an argument a value of the table's single key column, without changing
 * what it means; false when there can be no such key.
 */
bool
contime_key_argument(FunctionCallInfo fcinfo, int argno, const ContimeTable *table, Datum *key)
{
	const ContimeAttr *attr = &table->attr[table->key_attno[0] - 1];
	Oid			type = getBaseType(get_fn_expr_argtype(fcinfo->flinfo, argno));
	ContimeIdentity before;
	CoercionPathType path;
	Oid			function;

	if (table->nkeys != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("continuous table \"%s\" has %d key columns", table->name, table->nkeys),
				 errhint("Read it by SELECT with conditions on each of them, or by contime.at or contime.history without a key.")));
	*key = PG_GETARG_DATUM(argno);
	if (type == attr->type)
		return true;
	if (contime_is_integer(type) && contime_is_integer(attr->type))
		return contime_convert_integer(key, type, attr->type);
	path = find_coercion_pathway(attr->type, type, COERCION_IMPLICIT, &function);
	if (path == COERCION_PATH_RELABELTYPE)
		return true;
	if (path == COERCION_PATH_FUNC && get_func_nargs(function) == 1)
	{
		before = contime_switch_to_owner(table->owner, CONTIME_CODE_OF_USERS);
		*key = contime_owner_cast(table->owner, function, *key);
		contime_switch_back(&before);
		return true;
	}

	/* A literal without a type arrives as text. */
	if (type == TEXTOID)
	{
		before = contime_switch_to_owner(table->owner, contime_is_user_made(attr->type) ? CONTIME_CODE_OF_USERS
										 : CONTIME_CODE_OF_CORE);
		*key = contime_owner_input(table->owner, attr->type, -1, TextDatumGetCString(*key));
		contime_switch_back(&before);
		return true;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("key of continuous table \"%s\" is of type %s, not %s",
					table->name, format_type_be(attr->type), format_type_be(type)),
			 errhint("Cast the key to %s.", format_type_be(attr->type))));
}

void
contime_check_clock(const ContimeTable *table, Oid type, const char *other)
{
	if (table->time_type != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("time of continuous table \"%s\" is of type %s",
						table->name, format_type_be(table->time_type)),
				 errhint("Use %s.", other)));
}

/* ---- what changed of the past ------------------------------------------------------------------------- */

/* Where rows of reconciliations() go. */
typedef struct Reconciliations
{
	ReturnSetInfo *rsinfo;
	TupleDesc	row;			/* of the table */
	TypeCacheEntry *range;
} Reconciliations;

/* A row; without a notice: what was before is lost. */
static void
put_reconciliation(const Reconciliations *result, const ContimeTable *table, uint64 seq,
				   const ContimeNotice *notice)
{
	Datum		out[5];
	bool		nulls[5] = {0};
	RangeBound	lower = {.inclusive = true,.lower = true,.infinite = true};
	RangeBound	upper = {.infinite = true};

	out[0] = Int64GetDatum(seq);
	nulls[1] = nulls[3] = notice == NULL;
	if (notice)
	{
		Datum	   *values = palloc0(table->natts * sizeof(Datum));
		bool	   *isnull = palloc(table->natts * sizeof(bool));

		memset(isnull, true, table->natts * sizeof(bool));
		contime_decode_key(table, notice->key, notice->key_bytes, values, isnull);
		out[1] = HeapTupleGetDatum(heap_form_tuple(result->row, values, isnull));
		out[3] = Int64GetDatum(notice->events);
		lower.val = Int64GetDatum(notice->from);
		lower.infinite = notice->from == PG_INT64_MIN;
		upper.val = Int64GetDatum(notice->to);
		upper.infinite = notice->to == PG_INT64_MAX;
	}
	out[2] = RangeTypePGetDatum(make_range(result->range, &lower, &upper, false));
	out[4] = BoolGetDatum(notice == NULL);
	tuplestore_putvalues(result->rsinfo->setResult, result->rsinfo->setDesc, out, nulls);
}

/*
 * The notices of a table above a number, and before them whether some are lost:
 * forgotten by the ring, or of an earlier life of the table, or of the server.
 */
static void
put_reconciliations(const Reconciliations *result, const ContimeTable *table, ContimeGeneration *g,
					uint64 since)
{
	uint64		newest = contime_notices_newest(g);
	ContimeNotice **notices;
	uint64		lost;
	int			count;

	notices = contime_notices_between(g, since > newest ? 0 : since, newest, &count);
	lost = pg_atomic_read_u64(&g->lost);
	if (since < lost || since > newest || (since != 0 && since < g->opened))
		put_reconciliation(result, table, Max(lost, g->opened), NULL);
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
	Relation	rel;
	const ContimeTable *table;
	Reconciliations result;
	ContimeGeneration *g;
	Oid			range;

	contime_check_argument(fcinfo);
	rel = contime_open_argument(fcinfo, AccessShareLock);
	table = contime_table(rel);
	contime_check_privilege(rel, ACL_SELECT, contime_all_columns(table));
	InitMaterializedSRF(fcinfo, 0);
	result.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	result.row = RelationGetDescr(rel);
	range = TupleDescAttr(result.rsinfo->setDesc, 2)->atttypid;
	contime_check_clock(table, range == INT8RANGEOID ? INT8OID : TIMESTAMPTZOID,
				range == INT8RANGEOID ? "contime.reconciliations()" : "contime.reconciliations_tick()");
	result.range = lookup_type_cache(range, TYPECACHE_RANGE_INFO);

	/* What changes of a durable table is known while it is in memory. */
	contime_source_check(table);
	g = table->source ? contime_cache_watched(table) : contime_generation(table->relid);
	if (PG_ARGISNULL(1))
		;
	else if (g)
		put_reconciliations(&result, table, g, (uint64) Max(PG_GETARG_INT64(1), 0));
	else if (table->source || contime_is_old(table->relid))
		put_reconciliation(&result, table, (uint64) GetCurrentTimestamp(), NULL);
	relation_close(rel, NoLock);
	return (Datum) 0;
}

/* ---- counters ----------------------------------------------------------------------------------------- */

/* Labels and sizes of the batches of recent events. */
typedef struct Batches
{
	CtBatch    *batch;
	int			n;
	int			capacity;
} Batches;

/* Copy a store's batches under the lock, again with more room if need be. */
static void
copy_batches(const CtArena *arena, int partition, CtRef *store, Batches *batches, CtStats *stats)
{
	bool		complete;

	do
	{
		const CtBatch *found;
		CtRef		ref = 0;

		complete = true;
		batches->n = 0;
		contime_lock(partition, LW_SHARED);
		if (*store != 0)
		{
			ct_store_stats(arena, *store, stats);
			for (found = ct_store_first_batch(arena, *store, &ref); found && complete;
				 found = ct_store_next_batch(arena, &ref))
			{
				complete = batches->n < batches->capacity;
				if (complete)
					batches->batch[batches->n++] = *found;
			}
		}
		contime_unlock(partition);
		if (!complete)
		{
			batches->capacity *= 2;
			batches->batch = repalloc_huge(batches->batch, batches->capacity * sizeof(CtBatch));
		}
	} while (!complete);
}

/* Add up a generation's partitions; recent: what the snapshot sees. */
static void
sum_stats(ContimeGeneration *g, ContimeView *view, CtStats *sum)
{
	Batches		batches = {.capacity = 64};

	memset(sum, 0, sizeof(*sum));
	batches.batch = palloc(batches.capacity * sizeof(CtBatch));
	for (int p = 0; p < contime_shared->partitions; p++)
	{
		CtArena		arena = contime_arena(p);
		CtStats		stats = {0};

		copy_batches(&arena, p, &g->store[p], &batches, &stats);
		for (int i = 0; i < batches.n; i++)
		{
			/* Batches hold what has not been decided; waiting events are seen. */
			stats.recent -= batches.batch[i].count;
			if (contime_view_sees(view, batches.batch[i].top, batches.batch[i].xid))
				sum->recent += batches.batch[i].count;
		}
		sum->keys += stats.keys;
		sum->recent += stats.recent;
		sum->young += stats.young;
		sum->frozen += stats.frozen;
		sum->duplicates += stats.duplicates;
		sum->conflicts += stats.conflicts;
		sum->late += stats.late;
		sum->folded += stats.folded;
		sum->bytes += stats.bytes;
	}
	pfree(batches.batch);
}

/* Counters are for those who may read: the table, any column of it, or all statistics. */
static bool
may_see_counters(Oid relid)
{
	bool		missing = false;

	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
		pg_class_aclcheck_ext(relid, GetUserId(), ACL_SELECT, &missing) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK;
}

static const char *const cache_states[] = {
	[CONTIME_CACHE_WANTED] = "wanted",
	[CONTIME_CACHE_LOADING] = "loading",
	[CONTIME_CACHE_READY] = "ready",
	[CONTIME_CACHE_BROKEN] = "broken",
	[CONTIME_CACHE_REFUSED] = "refused",
};

Datum
contime_table_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ContimeView *view;
	List	   *shown = NIL;

	contime_require_running();
	InitMaterializedSRF(fcinfo, 0);
	view = contime_view_begin(GetActiveSnapshot());
	for (int i = 0; i < contime_shared->highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];
		ContimeCacheState cache = contime_cache_state(g);
		Datum		values[15];
		bool		nulls[15] = {0};
		CtStats		stats;
		int64		retained = contime_retained(g);

		if (!g->used || g->dead || g->database != MyDatabaseId ||
			!may_see_counters(g->relation) || contime_generation(g->relation) != g)
			continue;
		sum_stats(g, view, &stats);
		if (stats.bytes == 0 && cache == CONTIME_CACHE_NONE)
			continue;

		/* A TRUNCATE that commits meanwhile puts another in force: once is enough. */
		if (list_member_oid(shown, g->relation))
			continue;
		shown = lappend_oid(shown, g->relation);
		values[0] = ObjectIdGetDatum(g->relation);
		values[1] = UInt64GetDatum(stats.keys);
		values[2] = UInt64GetDatum(stats.recent);
		values[3] = UInt64GetDatum(stats.young);
		values[4] = UInt64GetDatum(stats.frozen);
		values[5] = UInt64GetDatum(stats.duplicates);
		values[6] = UInt64GetDatum(stats.conflicts);
		values[7] = UInt64GetDatum(stats.late);
		values[8] = UInt64GetDatum(pg_atomic_read_u64(&g->too_late));
		values[9] = UInt64GetDatum(stats.folded);
		values[10] = UInt64GetDatum(stats.bytes);
		values[11] = TimestampTzGetDatum(g->since);
		values[12] = TimestampTzGetDatum(retained);
		nulls[12] = g->ticks || retained == PG_INT64_MIN;
		values[13] = Int64GetDatum(retained);
		nulls[13] = !g->ticks || retained == PG_INT64_MIN;
		nulls[14] = cache == CONTIME_CACHE_NONE;
		if (!nulls[14])
			values[14] = CStringGetTextDatum(cache == CONTIME_CACHE_READY && g->partial ? "partial"
											 : cache_states[cache]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	contime_view_end(view);
	return (Datum) 0;
}

/* No rows for other roles than members of pg_read_all_stats. */
Datum
contime_worker_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	contime_require_running();
	InitMaterializedSRF(fcinfo, 0);
	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS))
		return (Datum) 0;
	for (int p = 0; p < contime_shared->partitions; p++)
	{
		ContimePartition *part = &contime_shared->partition[p];
		CtArena		arena = contime_arena(p);
		Datum		values[6];
		bool		nulls[6] = {0};

		values[0] = Int32GetDatum(p);
		values[1] = Int32GetDatum(part->pid);
		nulls[1] = part->pid == 0;
		values[2] = UInt64GetDatum(part->entered);
		values[3] = UInt64GetDatum(part->dropped);
		values[4] = UInt64GetDatum(ct_arena_used(&arena));
		values[5] = TimestampTzGetDatum(part->last_pass);
		nulls[5] = part->last_pass == 0;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
