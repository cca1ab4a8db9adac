/*
 * source_catalog.c
 *	  Sources of durable tables as stored: table contime.source, and options.
 *
 * contime.source is an ordinary table, which its owner may have altered: its columns
 * are checked before it is read, and its indexes before it is read by one or written.
 *
 * Not here: what the texts mean (source.c).
 */
#include "postgres.h"

#include "base/compat.h"
#include "table/table.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_opfamily_d.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "optimizer/optimizer.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/varlena.h"

RangeVar *
contime_event_table_name(Relation rel, const char *name)
{
	List *names = textToQualifiedNameList(cstring_to_text(name));
	RangeVar *range = makeRangeVarFromNameList(names);

	if (range->schemaname == NULL)
		range->schemaname = get_namespace_name(RelationGetNamespace(rel));
	return range;
}

char *
contime_source_option(Oid relid, AttrNumber attno)
{
	ListCell *lc;

	foreach(lc, GetForeignColumnOptions(relid, attno))
	{
		DefElem *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "source") == 0)
			return defGetString(def);
	}
	return NULL;
}

static const struct
{
	const char *name;
	CtKind kind;
} kinds[] = {
	{"event", CT_EVENT},
	{"snapshot", CT_SNAPSHOT},
	{"finish", CT_FINISH},
};

StaticAssertDecl(lengthof(kinds) == CT_SNAPSHOT + 1, "each kind has a name");

int
contime_kind_of(const char *name)
{
	for (int i = 0; i < lengthof(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return kinds[i].kind;
	return -1;
}

/* True if contime.source has the columns that this library reads and writes. */
static bool
has_source_columns(TupleDesc desc)
{
	static const Oid types[Natts_source] = {REGCLASSOID, REGCLASSOID, TEXTOID, JSONBOID};

	if (desc->natts != Natts_source)
		return false;
	for (int i = 0; i < Natts_source; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (column->attisdropped || !column->attnotnull || column->atttypid != types[i])
			return false;
	}
	return true;
}

/*
 * ERROR if contime.source has an index that CatalogTupleInsert() cannot maintain.  The
 * extension's own index is a plain one.
 */
static void
check_source_indexes(Relation rel)
{
	ListCell *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);
		bool plain = index->rd_index->indimmediate && !index->rd_index->indisexclusion &&
					 RelationGetIndexExpressions(index) == NIL &&
					 RelationGetIndexPredicate(index) == NIL;
		char *name = pstrdup(RelationGetRelationName(index));

		index_close(index, AccessShareLock);
		if (!plain)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table contime.source has an index that contime cannot maintain: \"%s\"",
							name),
					 errdetail(
						 "It has an expression, a predicate, or an exclusion or deferrable constraint."),
					 errhint("Drop the index.")));
	}
}

/*
 * Return an index by which the rows of one continuous table are found, or InvalidOid.  An
 * extension that was not updated yet has none.
 */
static Oid
find_source_index(Relation rel)
{
	ListCell *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);
		Oid relid = RelationGetRelid(index);
		bool fits = index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indisvalid &&
					!index->rd_index->indcheckxmin &&
					index->rd_index->indkey.values[0] == Anum_source_state &&
					index->rd_opfamily[0] == OID_BTREE_FAM_OID &&
					RelationGetIndexPredicate(index) == NIL;

		index_close(index, AccessShareLock);
		if (fits)
			return relid;
	}
	return InvalidOid;
}

Relation
contime_open_sources(LOCKMODE mode)
{
	Oid relid = contime_member(CONTIME_MEMBER_SOURCES);
	Relation rel = OidIsValid(relid) ? try_relation_open(relid, mode) : NULL;

	if (rel && !has_source_columns(RelationGetDescr(rel)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg(
					 "table contime.source does not have the columns that this version of contime needs"),
				 errhint("Run ALTER EXTENSION contime UPDATE.")));
	if (rel && mode == RowExclusiveLock)
		check_source_indexes(rel);
	return rel;
}

List *
contime_added_sources(Oid relid)
{
	Relation rel = contime_open_sources(AccessShareLock);
	List *found = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	Oid index;

	if (rel == NULL)
		return NIL;
	index = find_source_index(rel);
	ScanKeyInit(&key, Anum_source_state, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, index, OidIsValid(index), NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Added *added = palloc(sizeof(Added));
		Datum values[Natts_source];
		bool isnull[Natts_source];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, isnull);
		added->tid = tuple->t_self;
		added->fresh = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
		added->events = DatumGetObjectId(values[Anum_source_events - 1]);
		added->kind = contime_kind_of(TextDatumGetCString(values[Anum_source_kind - 1]));
		added->columns = DatumGetJsonbPCopy(values[Anum_source_columns - 1]);
		found = lappend(found, added);
	}
	systable_endscan(scan);
	relation_close(rel, AccessShareLock);
	return found;
}

void
contime_write_source(Oid relid, Oid events, CtKind kind, Jsonb *columns, ItemPointer tid)
{
	Relation rel;
	Datum values[Natts_source];
	bool isnull[Natts_source] = {0};
	HeapTuple tuple;

	Assert(kind <= CT_SNAPSHOT);
	(void) contime_require_member(CONTIME_MEMBER_SOURCES);
	rel = contime_open_sources(RowExclusiveLock);
	for (int i = 0; i < lengthof(kinds); i++)
		if (kinds[i].kind == kind)
			values[Anum_source_kind - 1] = CStringGetTextDatum(kinds[i].name);
	values[Anum_source_state - 1] = ObjectIdGetDatum(relid);
	values[Anum_source_events - 1] = ObjectIdGetDatum(events);
	values[Anum_source_columns - 1] = JsonbPGetDatum(columns);
	tuple = heap_form_tuple(RelationGetDescr(rel), values, isnull);
	if (tid)
		CatalogTupleUpdate(rel, tid, tuple);
	else
		CatalogTupleInsert(rel, tuple);
	relation_close(rel, NoLock);
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
}

void
contime_source_delete_rows(Oid relid, bool stale)
{
	List *added = contime_added_sources(relid);
	Relation rel;
	ListCell *lc;

	if (added == NIL)
		return;
	rel = contime_open_sources(RowExclusiveLock);
	Assert(rel != NULL); /* it has rows */
	foreach(lc, added)
	{
		Added *row = lfirst(lc);

		if (!stale || !row->fresh)
			CatalogTupleDelete(rel, &row->tid);
	}
	relation_close(rel, NoLock);
	if (stale)
		CommandCounterIncrement();
}

char *
contime_mapping_of(const Jsonb *columns, const char *column)
{
	JsonbValue value;

	if (getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &columns->root), column,
									 strlen(column), &value) == NULL ||
		value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}
