/*
 * source.c
 *	  Durable tables: the ordinary table whose rows are their events.
 *
 *	  option events ──► the event table          \   one expression for each
 *	  options source ─► expressions over its rows /  column of the continuous table
 *
 * Every row of the event table is an event, but for those whose key or time is
 * NULL.  A column without the option source takes the event
 * table's column of its name.  Like a view, a continuous table reads its event
 * table as its owner.
 *
 * Here an expression is text in an option, a tree, and text again in queries;
 * heapread.c runs those, and evaluates the trees on the rows they bring.
 */
#include "contime.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class_d.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_inherits.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"
#include "utils/varlena.h"

/* ---- the event table ------------------------------------------------------------- */

/* An unqualified name is that of a table in the continuous table's schema. */
static RangeVar *
event_table_name(Relation rel, const char *name)
{
	List	   *names = textToQualifiedNameList(cstring_to_text(name));
	RangeVar   *range = makeRangeVarFromNameList(names);

	if (range->schemaname == NULL)
		range->schemaname = get_namespace_name(RelationGetNamespace(rel));
	return range;
}

/* Which relations can be event tables. */
static void
check_event_table(const ContimeTable *table, Relation events)
{
	const char *name = RelationGetRelationName(events);

	if (events->rd_rel->relkind != RELKIND_RELATION &&
		events->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot be the event table of continuous table \"%s\"", name, table->name),
				 errdetail("It is not an ordinary or partitioned table."),
				 errhint("Name the table into which events are inserted.")));
	if (events->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("temporary table \"%s\" cannot be the event table of continuous table \"%s\"",
						name, table->name)));
}

/* ---- expressions ------------------------------------------------------------------ */

static void pg_attribute_noreturn()
report_no_source(const ContimeTable *table, Relation events, const char *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
			 errmsg("column \"%s\" of continuous table \"%s\" has no source", column, table->name),
			 errdetail("Event table \"%s\" has no column of that name.", RelationGetRelationName(events)),
			 errhint("Give the column the option source: an expression over the event table's columns.")));
}

/* The option's text as a raw expression. */
static Node *
parse_source(const char *text)
{
	List	   *raw = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, raw)->stmt;

	if (list_length(raw) != 1 || list_length(select->targetList) != 1 ||
		select->fromClause != NIL || select->whereClause != NULL || select->groupClause != NIL ||
		select->sortClause != NIL || select->limitCount != NULL || select->limitOffset != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", "source", text),
				 errhint("Give one expression over the event table's columns.")));
	return linitial_node(ResTarget, select->targetList)->val;
}

/* Whose source is it? */
typedef struct Place
{
	const char *table;
	const char *column;
} Place;

static void
add_place(void *arg)
{
	const Place *place = arg;

	errcontext("source of column \"%s\" of continuous table \"%s\"", place->column, place->table);
}

/* A column's expression over the event table's row, of the column's type. */
static Node *
cook_source(const ContimeTable *table, Relation events, Form_pg_attribute column,
			const char *text)
{
	ParseState *pstate = make_parsestate(NULL);
	Place		place = {table->name, NameStr(column->attname)};
	ErrorContextCallback context = {error_context_stack, add_place, &place};
	Node	   *expr;
	Node	   *coerced;

	error_context_stack = &context;
	addNSItemToQuery(pstate,
					 addRangeTableEntryForRelation(pstate, events, AccessShareLock, NULL, false, true),
					 false, true, true);
	if (text)
		expr = parse_source(text);
	else
	{
		ColumnRef  *ref = makeNode(ColumnRef);

		if (get_attnum(RelationGetRelid(events), NameStr(column->attname)) <= 0)
			report_no_source(table, events, NameStr(column->attname));
		ref->fields = list_make1(makeString(pstrdup(NameStr(column->attname))));
		ref->location = -1;
		expr = (Node *) ref;
	}
	expr = transformExpr(pstate, expr, EXPR_KIND_GENERATED_COLUMN);
	coerced = coerce_to_target_type(pstate, expr, exprType(expr), column->atttypid,
									column->atttypmod, COERCION_ASSIGNMENT,
									COERCE_IMPLICIT_CAST, -1);
	if (coerced == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of continuous table \"%s\" is of type %s but its source is of type %s",
						NameStr(column->attname), table->name,
						format_type_be(column->atttypid), format_type_be(exprType(expr))),
				 errhint("Cast the source.")));
	assign_expr_collations(pstate, coerced);
	if (contain_mutable_functions(coerced))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("source of column \"%s\" of continuous table \"%s\" is not immutable",
						NameStr(column->attname), table->name),
				 errdetail("What a row of the event table means must not change."),
				 errhint("Use immutable functions and operators only, for example AT TIME ZONE with a constant zone.")));
	free_parsestate(pstate);
	error_context_stack = context.previous;
	return coerced;
}

static char *
source_option(Oid relid, AttrNumber attno)
{
	ListCell   *lc;

	foreach(lc, GetForeignColumnOptions(relid, attno))
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "source") == 0)
			return defGetString(def);
	}
	return NULL;
}

void
contime_source_free(ContimeSource *source)
{
	for (int i = 0; i < 4; i++)
		if (source->plan[i / 2][i % 2])
			SPI_freeplan(source->plan[i / 2][i % 2]);
}

void
contime_source_derive(ContimeTable *table, Relation rel, const char *events_name)
{
	TupleDesc	desc = RelationGetDescr(rel);
	ContimeSource *source;
	Relation	events;

	if (events_name == NULL)
	{
		for (int i = 0; i < desc->natts; i++)
			if (!TupleDescAttr(desc, i)->attisdropped && source_option(table->relid, i + 1))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
						 errmsg("column \"%s\" of continuous table \"%s\" has a source, but the table has no events",
								NameStr(TupleDescAttr(desc, i)->attname), table->name),
						 errhint("Name the event table in the option events of the table.")));
		return;
	}
	source = palloc0(offsetof(ContimeSource, expr) + desc->natts * sizeof(Node *));
	events = relation_openrv(event_table_name(rel, events_name), AccessShareLock);
	check_event_table(table, events);
	source->events = RelationGetRelid(events);
	source->name = pstrdup(RelationGetRelationName(events));
	source->owner = rel->rd_rel->relowner;
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			source->expr[i] = cook_source(table, events, TupleDescAttr(desc, i),
										  source_option(table->relid, i + 1));
	relation_close(events, NoLock);
	table->source = source;
}

/* ---- binding --------------------------------------------------------------------------
 *
 * That a continuous table depends on its event table is in pg_depend, so that
 * the one is not dropped without the other, pg_dump puts them in order, and a
 * table that is renamed or moved is still known.
 */

static char *
events_option(Oid relid)
{
	ListCell   *lc;

	foreach(lc, GetForeignTable(relid)->options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "events") == 0)
			return defGetString(def);
	}
	return NULL;
}

/* Relations on the other side of dependencies of `relid`. */
static List *
related(Oid relid, bool dependents)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	List	   *found = NIL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], dependents ? Anum_pg_depend_refclassid : Anum_pg_depend_classid,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], dependents ? Anum_pg_depend_refobjid : Anum_pg_depend_objid,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(depend, dependents ? DependReferenceIndexId : DependDependerIndexId,
							  true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend row = (Form_pg_depend) GETSTRUCT(tuple);

		if (row->classid == RelationRelationId && row->refclassid == RelationRelationId &&
			row->objsubid == 0 && row->refobjsubid == 0 && row->deptype == DEPENDENCY_NORMAL)
			found = lappend_oid(found, dependents ? row->objid : row->refobjid);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return found;
}

List *
contime_source_dependents(Oid events)
{
	List	   *tables = NIL;
	ListCell   *lc;

	foreach(lc, related(events, true))
		if (contime_is_table(lfirst_oid(lc)))
			tables = lappend_oid(tables, lfirst_oid(lc));
	return tables;
}

/* The event table a continuous table is bound to, or InvalidOid. */
static Oid
bound_to(Oid relid)
{
	ListCell   *lc;

	foreach(lc, related(relid, false))
		if (!list_member_oid(find_inheritance_children(lfirst_oid(lc), NoLock), relid))
			return lfirst_oid(lc);
	return InvalidOid;
}

/* The event table's name was changed, or a schema: have the option follow. */
static void
follow(Relation rel, Oid events)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);
	Oid			schema = get_rel_namespace(events);
	char	   *name = schema == RelationGetNamespace(rel)
		? pstrdup(quote_identifier(get_rel_name(events)))
		: quote_qualified_identifier(get_namespace_name(schema), get_rel_name(events));

	cmd->subtype = AT_GenericOptions;
	cmd->def = (Node *) list_make1(makeDefElemExtended(NULL, "events", (Node *) makeString(name),
													   DEFELEM_SET, -1));
	AlterTableInternal(RelationGetRelid(rel), list_make1(cmd), false);
}

void
contime_source_follow(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	char	   *name = contime_is_table(relid) ? events_option(relid) : NULL;
	Oid			events = bound_to(relid);

	if (name && OidIsValid(events) &&
		RangeVarGetRelid(event_table_name(rel, name), NoLock, true) != events)
		follow(rel, events);
	relation_close(rel, NoLock);
}

static void
check_may_bind(Oid events)
{
	AclResult	result = pg_class_aclcheck(events, GetUserId(), ACL_SELECT);

	if (result == ACLCHECK_OK)
		result = pg_class_aclcheck(events, GetUserId(), ACL_TRIGGER);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, get_rel_name(events));
}

bool
contime_source_bind(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	char	   *name = events_option(relid);
	Oid			before = bound_to(relid);
	Oid			events = InvalidOid;
	ObjectAddress depender;
	ObjectAddress referenced;

	if (name)
		events = RangeVarGetRelid(event_table_name(rel, name), AccessShareLock, false);
	relation_close(rel, NoLock);
	if (events == before)
		return false;
	if (contime_has_data(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("option \"events\" of continuous table \"%s\" cannot be changed while the table holds data",
						get_rel_name(relid)),
				 errhint("TRUNCATE the table first, or create a new one.")));
	if (OidIsValid(before))
		deleteDependencyRecordsForSpecific(RelationRelationId, relid, DEPENDENCY_NORMAL,
										   RelationRelationId, before);
	if (OidIsValid(events))
	{
		check_may_bind(events);
		ObjectAddressSet(depender, RelationRelationId, relid);
		ObjectAddressSet(referenced, RelationRelationId, events);
		recordDependencyOn(&depender, &referenced, DEPENDENCY_NORMAL);
	}
	return OidIsValid(events);
}

/* ---- the index ------------------------------------------------------------------------ */

/* Does an index's column hold the expression? */
static bool
indexes(Relation index, List *exprs, int column, Node *expr)
{
	AttrNumber	attno = index->rd_index->indkey.values[column];
	int			i = 0;

	/* Queries compare what is cast without being asked, as it is in the index. */
	expr = strip_implicit_coercions(expr);
	if (attno != 0)
		return IsA(expr, Var) && ((Var *) expr)->varattno == attno;
	for (int c = 0; c < column; c++)
		i += index->rd_index->indkey.values[c] == 0;
	return equal(list_nth(exprs, i), expr);
}

/* The keys, in any order, and then the time? */
static bool
index_serves(const ContimeTable *table, Relation index)
{
	List	   *exprs = RelationGetIndexExpressions(index);
	int			nkeys = table->nkeys;

	if (index->rd_rel->relam != BTREE_AM_OID || !index->rd_index->indisvalid ||
		index->rd_index->indnkeyatts < nkeys + 1 || RelationGetIndexPredicate(index) != NIL)
		return false;
	for (int k = 0; k < nkeys; k++)
	{
		bool		found = false;

		for (int c = 0; c < nkeys && !found; c++)
			found = indexes(index, exprs, c, table->source->expr[table->key_attno[k] - 1]);
		if (!found)
			return false;
	}
	return indexes(index, exprs, nkeys, table->source->expr[table->time_attno - 1]);
}

/* CREATE INDEX for what the table is asked. */
static char *
index_command(const ContimeTable *table)
{
	const ContimeSource *source = table->source;
	List	   *context = deparse_context_for(source->name, source->events);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE INDEX ON %s (",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(source->events)),
												get_rel_name(source->events)));
	for (int i = 0; i <= table->nkeys; i++)
	{
		AttrNumber	attno = i < table->nkeys ? table->key_attno[i] : table->time_attno;
		Node	   *expr = strip_implicit_coercions(source->expr[attno - 1]);

		appendStringInfo(&sql, IsA(expr, Var) ? "%s%s" : "%s(%s)", i > 0 ? ", " : "",
						 deparse_expression(expr, context, false, false));
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

void
contime_source_index(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	const ContimeTable *table = contime_table(rel);
	Relation	events = table->source ? relation_open(table->source->events, AccessShareLock) : NULL;
	bool		served = events == NULL;
	ListCell   *lc;

	foreach(lc, events ? RelationGetIndexList(events) : NIL)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		served = served || index_serves(table, index);
		index_close(index, AccessShareLock);
	}
	if (events)
		relation_close(events, NoLock);
	relation_close(rel, NoLock);
	if (served)
		return;
	if (!pg_class_ownercheck(table->source->events, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("event table \"%s\" has no index on the key and time of continuous table \"%s\"",
						table->source->name, table->name),
				 errhint("Have its owner run: %s;", index_command(table))));
	SPI_connect();
	if (SPI_execute(index_command(table), false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not create an index on event table \"%s\"", table->source->name);
	SPI_finish();
}

/* ---- queries -------------------------------------------------------------------------- */

static Node *
comparison(const ContimeTable *table, AttrNumber attno, int strategy, int param)
{
	const ContimeAttr *attr = &table->attr[attno - 1];
	TypeCacheEntry *type = lookup_type_cache(attr->type, TYPECACHE_BTREE_OPFAMILY);
	Oid			operator = get_opfamily_member(type->btree_opf, type->btree_opintype,
											   type->btree_opintype, strategy);
	Param	   *value = makeNode(Param);

	value->paramkind = PARAM_EXTERN;
	value->paramid = param;
	value->paramtype = attr->type;
	value->paramtypmod = -1;
	value->paramcollid = get_typcollation(attr->type);
	value->location = -1;
	return (Node *) make_opclause(operator, BOOLOID, false,
								  (Expr *) table->source->expr[attno - 1], (Expr *) value,
								  InvalidOid, attr->collation);
}

/*
 * SELECT * of the event table, for one key ($1 ...) or in the order of keys;
 * with bounded, of events at or before the parameter behind those of the key.
 */
char *
contime_source_query(const ContimeTable *table, bool by_key, bool bounded)
{
	const ContimeSource *source = table->source;
	List	   *context = deparse_context_for(source->name, source->events);
	StringInfoData sql;
	List	   *conditions = NIL;
	int			param = 1;

	for (int i = 0; by_key && i < table->nkeys; i++)
		conditions = lappend(conditions,
							 comparison(table, table->key_attno[i], BTEqualStrategyNumber, param++));
	if (bounded)
		conditions = lappend(conditions,
							 comparison(table, table->time_attno, BTLessEqualStrategyNumber, param));

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT * FROM %s",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(source->events)),
												get_rel_name(source->events)));
	for (int i = 0; i < list_length(conditions); i++)
		appendStringInfo(&sql, "%s %s", i == 0 ? " WHERE" : " AND",
						 deparse_expression(list_nth(conditions, i), context, false, false));
	for (int i = 0; !by_key && i < table->nkeys; i++)
		appendStringInfo(&sql, "%s %s", i == 0 ? " ORDER BY" : ",",
						 deparse_expression(source->expr[table->key_attno[i] - 1], context, false, false));
	return sql.data;
}

/* Does a state depend on events behind its instant? */
bool
contime_source_looks_ahead(const ContimeTable *table)
{
	for (int i = 0; i < table->schema->nattrs; i++)
		if (table->schema->attr[i].linear)
			return true;
	return false;
}

/* ---- who may read it -------------------------------------------------------------------- */

/*
 * The event table, open and locked until the transaction ends, when the
 * continuous table's owner may read all of it.
 */
void
contime_source_check(const ContimeTable *table)
{
	const ContimeSource *source = table->source;

	LockRelationOid(source->events, AccessShareLock);
	if (pg_class_aclcheck(source->events, source->owner, ACL_SELECT) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s", source->name),
				 errdetail("Continuous table \"%s\" reads its event table as its owner, who needs SELECT on it.",
						   table->name)));
	if (check_enable_rls(source->events, source->owner, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("event table \"%s\" of continuous table \"%s\" has row-level security",
						source->name, table->name),
				 errdetail("A state that lacks some of its events is none."),
				 errhint("Have the continuous table belong to a role that policies do not apply to.")));
}

/* A direct change of a durable table. */
void
contime_source_refuse(const ContimeTable *table)
{
	if (table->source == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot change continuous table \"%s\" directly", table->name),
			 errdetail("Its events are the rows of table \"%s\".", table->source->name),
			 errhint("INSERT, UPDATE or DELETE rows of \"%s\".", table->source->name)));
}
