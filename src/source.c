/*
 * source.c
 *	  Durable tables: the ordinary tables whose rows are their events.
 *
 *	  option events ──► an event table          \   one expression for each
 *	  options source ─► expressions on its rows /  column of the continuous table
 *	  contime.source ─► more of both (add_source), of any kind
 *
 * Every row of an event table is an event (a snapshot, a finish), but for
 * those whose key or time is NULL.  A column without a source takes the event
 * table's column of its name.  Like a view, a continuous table reads its event
 * tables as its owner.
 *
 * Here an expression is text in a catalog, a tree, and text again in queries;
 * heapread.c runs those, and evaluates the trees on the rows they bring.  What
 * is kept as text is written such that no search_path changes what it means:
 * otherwise who reads could have the owner run any function.
 */
#include "contime.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/nbtree.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class_d.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "executor/spi.h"
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
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(contime_add_source);
PG_FUNCTION_INFO_V1(contime_drop_source);
PG_FUNCTION_INFO_V1(contime_source_changed);

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
						name, table->name),
				 errhint("Name a table that outlives the session.")));
}

/* ---- expressions ------------------------------------------------------------------ */

static void pg_attribute_noreturn()
report_no_source(const ContimeTable *table, Relation events, const char *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
			 errmsg("column \"%s\" of continuous table \"%s\" has no source", column, table->name),
			 errdetail("Event table \"%s\" has no column of that name.", RelationGetRelationName(events)),
			 errhint("Give the column the option source, or in contime.add_source() an entry: an expression over the event table's columns.")));
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

/* Columns of its own are all that an expression may use of the event table. */
static void
check_columns(Relation events, Node *expr)
{
	Bitmapset  *attnos = NULL;
	int			attno = bms_next_member((pull_varattnos(expr, 1, &attnos), attnos), -1);

	if (attno >= 0 && attno + FirstLowInvalidHeapAttributeNumber <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("a source cannot use system columns or whole rows of table \"%s\"",
						RelationGetRelationName(events)),
				 errhint("Name its columns.")));
}

/* A text as an expression over the event table's row. */
static Node *
transform_source(Relation events, const char *text)
{
	ParseState *pstate = make_parsestate(NULL);
	Node	   *expr;

	addNSItemToQuery(pstate,
					 addRangeTableEntryForRelation(pstate, events, AccessShareLock, NULL, false, true),
					 false, true, true);
	expr = transformExpr(pstate, parse_source(text), EXPR_KIND_GENERATED_COLUMN);
	assign_expr_collations(pstate, expr);
	check_columns(events, expr);
	free_parsestate(pstate);
	return expr;
}

/*
 * Queries show a cast made for the column's sake, so that they compare what is
 * the key: but not those that change neither equality nor order, as then an
 * index on the event table's column serves.
 */
static void
show_casts(Node *node)
{
	for (;;)
	{
		if (IsA(node, RelabelType))
			node = (Node *) ((RelabelType *) node)->arg;
		else if (IsA(node, CoerceToDomain))
			node = (Node *) ((CoerceToDomain *) node)->arg;
		else if (IsA(node, CoerceViaIO))
		{
			((CoerceViaIO *) node)->coerceformat = COERCE_EXPLICIT_CAST;
			node = (Node *) ((CoerceViaIO *) node)->arg;
		}
		else if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcformat == COERCE_IMPLICIT_CAST)
		{
			FuncExpr   *cast = (FuncExpr *) node;

			node = linitial(cast->args);
			if (!contime_is_integer(cast->funcresulttype) ||
				!contime_is_integer(getBaseType(exprType(node))))
				cast->funcformat = COERCE_EXPLICIT_CAST;
		}
		else
			return;
	}
}

/* A column's expression over the event table's row, of the column's type. */
static Node *
cook_source(const ContimeTable *table, Relation events, Form_pg_attribute column,
			const char *text)
{
	Place		place = {table->name, NameStr(column->attname)};
	ErrorContextCallback context = {error_context_stack, add_place, &place};
	bool		key = table->attr[column->attnum - 1].key;
	Node	   *expr;
	Node	   *coerced;

	error_context_stack = &context;
	expr = transform_source(events, text);
	coerced = coerce_to_target_type(NULL, expr, exprType(expr), column->atttypid,
									column->atttypmod, COERCION_ASSIGNMENT,
									COERCE_IMPLICIT_CAST, -1);
	if (coerced == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of continuous table \"%s\" is of type %s but its source is of type %s",
						NameStr(column->attname), table->name,
						format_type_be(column->atttypid), format_type_be(exprType(expr))),
				 errhint("Cast the source.")));
	assign_expr_collations(NULL, coerced);
	if (coerced != expr)
		show_casts(coerced);
	if (key && exprCollation(coerced) != column->attcollation)
	{
		CollateExpr *collate = makeNode(CollateExpr);

		collate->arg = (Expr *) coerced;
		collate->collOid = column->attcollation;
		collate->location = -1;
		coerced = (Node *) collate;
	}
	if (contain_mutable_functions(coerced))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("source of column \"%s\" of continuous table \"%s\" is not immutable",
						NameStr(column->attname), table->name),
				 errdetail("What a row of the event table means must not change."),
				 errhint("Use immutable functions and operators only, for example AT TIME ZONE with a constant zone.")));
	error_context_stack = context.previous;
	return coerced;
}

/* ---- as the owner ------------------------------------------------------------------------ */

ContimeIdentity
contime_become_owner(const ContimeTable *table)
{
	ContimeIdentity before = {0};

	GetUserIdAndSecContext(&before.user, &before.context);
	SetUserIdAndSecContext(table->owner, before.context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	if (table->calls)
	{
		before.settings = NewGUCNestLevel();
		(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	}
	return before;
}

void
contime_become(const ContimeIdentity *before)
{
	if (before->settings > 0)
		AtEOXact_GUC(false, before->settings);
	SetUserIdAndSecContext(before->user, before->context);
}

/* ---- names ------------------------------------------------------------------------------ */

void
contime_source_path_begin(void)
{
	OverrideSearchPath path = {.addCatalog = true};

	PushOverrideSearchPath(&path);
}

void
contime_source_path_end(void)
{
	PopOverrideSearchPath();
}

/* An expression over the event table as text, by names that mean the same to everyone. */
static char *
deparse_safely(Relation events, Node *expr)
{
	List	   *context = deparse_context_for(RelationGetRelationName(events), RelationGetRelid(events));
	char	   *text;

	contime_source_path_begin();
	text = deparse_expression(expr, context, false, false);
	contime_source_path_end();
	return text;
}

/*
 * An expression's text in that form, if in the one given a search_path matters
 * to it, or NULL.
 */
static char *
settled(Relation events, const char *text)
{
	List	   *context = deparse_context_for(RelationGetRelationName(events), RelationGetRelid(events));
	Node	   *expr = transform_source(events, text);
	char	   *safe = deparse_safely(events, expr);

	return strcmp(safe, deparse_expression(expr, context, false, false)) == 0 ? NULL : safe;
}

/* ---- what is kept of sources --------------------------------------------------------------- */

static char *
table_option(Oid relid, const char *name)
{
	ListCell   *lc;

	foreach(lc, GetForeignTable(relid)->options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, name) == 0)
			return defGetString(def);
	}
	return NULL;
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

/* A row of contime.source. */
enum
{
	Anum_source_state = 1,
	Anum_source_events,
	Anum_source_kind,
	Anum_source_columns,
	Natts_source = Anum_source_columns
};

typedef struct Added
{
	ItemPointerData tid;
	Oid			events;
	CtKind		kind;
	Jsonb	   *columns;
} Added;

static const struct
{
	const char *name;
	CtKind		kind;
}			kinds[] = {
	{"event", CT_EVENT},
	{"snapshot", CT_SNAPSHOT},
	{"finish", CT_FINISH},
};

/* The kind of a name, or -1. */
static int
kind_of(const char *name)
{
	for (int i = 0; i < lengthof(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return kinds[i].kind;
	return -1;
}

/* contime.source, or NULL: the extension is just being created or dropped. */
static Relation
open_sources(LOCKMODE mode)
{
	Oid			schema = get_namespace_oid("contime", true);
	Oid			relid = OidIsValid(schema) ? get_relname_relid("source", schema) : InvalidOid;

	return OidIsValid(relid) ? try_relation_open(relid, mode) : NULL;
}

/* The sources that were added to a continuous table, as committed or our own. */
static List *
added_sources(Oid relid)
{
	Relation	rel = open_sources(AccessShareLock);
	List	   *found = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (rel == NULL)
		return NIL;
	ScanKeyInit(&key, Anum_source_state, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Added	   *added = palloc(sizeof(Added));
		Datum		values[Natts_source];
		bool		isnull[Natts_source];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, isnull);
		added->tid = tuple->t_self;
		added->events = DatumGetObjectId(values[Anum_source_events - 1]);
		added->kind = kind_of(TextDatumGetCString(values[Anum_source_kind - 1]));
		added->columns = DatumGetJsonbPCopy(values[Anum_source_columns - 1]);
		found = lappend(found, added);
	}
	systable_endscan(scan);
	relation_close(rel, AccessShareLock);
	return found;
}

/* Add a row, or (tid) write one anew. */
static void
write_source(Oid relid, Oid events, CtKind kind, Jsonb *columns, ItemPointer tid)
{
	Relation	rel = open_sources(RowExclusiveLock);
	Datum		values[Natts_source];
	bool		isnull[Natts_source] = {0};
	HeapTuple	tuple;

	for (int i = 0; i < lengthof(kinds); i++)
		if (kinds[i].kind == kind)
			values[Anum_source_kind - 1] = CStringGetTextDatum(kinds[i].name);
	values[Anum_source_state - 1] = ObjectIdGetDatum(relid);
	values[Anum_source_events - 1] = ObjectIdGetDatum(events);
	values[Anum_source_columns - 1] = JsonbPGetDatum(columns);
	tuple = heap_form_tuple(RelationGetDescr(rel), values, isnull);
	if (tid)
		simple_heap_update(rel, tid, tuple);
	else
		simple_heap_insert(rel, tuple);
	relation_close(rel, NoLock);
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
}

static void
push_text(JsonbParseState **state, JsonbIteratorToken token, char *text)
{
	JsonbValue	value = {.type = jbvString};

	value.val.string.val = text;
	value.val.string.len = strlen(text);
	pushJsonbValue(state, token, &value);
}

void
contime_source_forget(Oid relid)
{
	Relation	rel = open_sources(RowExclusiveLock);
	ListCell   *lc;

	if (rel == NULL)
		return;
	foreach(lc, added_sources(relid))
		simple_heap_delete(rel, &((Added *) lfirst(lc))->tid);
	relation_close(rel, NoLock);
}

/* ---- deriving ---------------------------------------------------------------------------------- */

/* What was added says of a column, or NULL: it is not fed. */
static char *
mapping_of(const Jsonb *columns, const char *column)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &columns->root), column,
									 strlen(column), &value) == NULL ||
		value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/*
 * A column's expression over a source's rows; NULL: it is not fed.  The table
 * of the option events feeds every column; what was added may feed some.
 */
static Node *
derive_expression(const ContimeTable *table, Relation events, const ContimeSource *source,
				  Form_pg_attribute column, const Jsonb *columns)
{
	const char *name = NameStr(column->attname);
	char	   *text = columns ? mapping_of(columns, name) : source_option(table->relid, column->attnum);

	if (text == NULL && columns == NULL && get_attnum(source->events, name) > 0)
		text = pstrdup(quote_identifier(name));
	if (text)
		return cook_source(table, events, column, text);
	if (columns == NULL || !table->attr[column->attnum - 1].state)
		report_no_source(table, events, name);
	return NULL;
}

/* The plans of a description go with it. */
static void
free_plans(void *arg)
{
	ContimeSource *source = arg;

	for (int i = 0; i < 6; i++)
		if (source->plan[i / 2][i % 2])
			SPI_freeplan(source->plan[i / 2][i % 2]);
}

static bool
is_theirs(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

/* Does an expression call what is not PostgreSQL's own? */
static bool
calls_theirs(Node *expr, void *context)
{
	if (expr == NULL)
		return false;
	return IsA(expr, CoerceToDomain) || check_functions_in_node(expr, is_theirs, context) ||
		expression_tree_walker(expr, calls_theirs, context);
}

static ContimeSource *
derive_source(ContimeTable *table, Relation rel, Relation events, CtKind kind,
			  const Jsonb *columns)
{
	TupleDesc	desc = RelationGetDescr(rel);
	ContimeSource *source = palloc0(offsetof(ContimeSource, expr) + desc->natts * sizeof(Node *));
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));

	check_event_table(table, events);
	source->events = RelationGetRelid(events);
	source->name = pstrdup(RelationGetRelationName(events));
	source->kind = kind;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!column->attisdropped)
			source->expr[i] = derive_expression(table, events, source, column, columns);
		table->calls |= calls_theirs(source->expr[i], NULL);
		if (source->expr[i] && table->attr[i].state)
			source->columns |= UINT64CONST(1) << i;
	}
	if (kind == CT_SNAPSHOT && source->columns == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("snapshots from table \"%s\" have no column of continuous table \"%s\"",
						source->name, table->name),
				 errhint("Say what columns they show.")));
	callback->func = free_plans;
	callback->arg = source;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return source;
}

void
contime_source_derive(ContimeTable *table, Relation rel, const char *events_name)
{
	TupleDesc	desc = RelationGetDescr(rel);
	ContimeSource **end = &table->source;
	ContimeIdentity before;
	Relation	events;
	ListCell   *lc;

	for (int i = 0; i < desc->natts && events_name == NULL; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && source_option(table->relid, i + 1))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
					 errmsg("column \"%s\" of continuous table \"%s\" has a source, but the table has no events",
							NameStr(TupleDescAttr(desc, i)->attname), table->name),
					 errhint("Name the event table in the option events of the table.")));
	before = contime_become_owner(table);
	contime_source_path_begin();
	if (events_name)
	{
		events = relation_openrv(event_table_name(rel, events_name), AccessShareLock);
		*end = derive_source(table, rel, events, CT_EVENT, NULL);
		end = &(*end)->next;
		relation_close(events, NoLock);
	}
	foreach(lc, added_sources(table->relid))
	{
		Added	   *added = lfirst(lc);

		events = relation_open(added->events, AccessShareLock);
		*end = derive_source(table, rel, events, added->kind, added->columns);
		end = &(*end)->next;
		relation_close(events, NoLock);
	}
	contime_source_path_end();
	contime_become(&before);
}

/* ---- binding --------------------------------------------------------------------------
 *
 * That a continuous table depends on its event table is in pg_depend, so that
 * the one is not dropped without the other, pg_dump puts them in order, and a
 * table that is renamed or moved is still known.
 */

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

/* The event tables a continuous table is bound to: what it depends on and does not inherit from. */
static List *
bound_to(Oid relid)
{
	List	   *bound = NIL;
	ListCell   *lc;

	foreach(lc, related(relid, false))
		if (!list_member_oid(find_inheritance_children(lfirst_oid(lc), NoLock), relid))
			bound = lappend_oid(bound, lfirst_oid(lc));
	return bound;
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

/* The event tables that a definition names. */
static List *
named_events(Relation rel)
{
	char	   *name = table_option(RelationGetRelid(rel), "events");
	List	   *named = NIL;
	ListCell   *lc;

	if (name)
		named = list_make1_oid(RangeVarGetRelid(event_table_name(rel, name), AccessShareLock, false));
	foreach(lc, added_sources(RelationGetRelid(rel)))
		named = list_append_unique_oid(named, ((Added *) lfirst(lc))->events);
	return named;
}

static void
check_empty(Oid relid)
{
	if (contime_has_data(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("event tables of continuous table \"%s\" cannot be changed while the table holds data",
						get_rel_name(relid)),
				 errhint("TRUNCATE the table first, or create a new one.")));
}

bool
contime_source_bind(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	List	   *named = named_events(rel);
	List	   *bound = bound_to(relid);
	List	   *gone = list_difference_oid(bound, named);
	List	   *new = list_difference_oid(named, bound);
	ListCell   *lc;

	relation_close(rel, NoLock);
	if (gone != NIL || new != NIL)
		check_empty(relid);
	foreach(lc, gone)
		deleteDependencyRecordsForSpecific(RelationRelationId, relid, DEPENDENCY_NORMAL,
										   RelationRelationId, lfirst_oid(lc));
	foreach(lc, new)
	{
		ObjectAddress depender;
		ObjectAddress referenced;

		check_may_bind(lfirst_oid(lc));
		ObjectAddressSet(depender, RelationRelationId, relid);
		ObjectAddressSet(referenced, RelationRelationId, lfirst_oid(lc));
		recordDependencyOn(&depender, &referenced, DEPENDENCY_NORMAL);
	}
	CommandCounterIncrement();
	foreach(lc, list_concat(gone, new))
		contime_capture_fit_all(lfirst_oid(lc));
	return new != NIL;
}

/* ---- texts that follow ------------------------------------------------------------------------ */

/* Set an option of the table (column NULL) or of a column. */
static AlterTableCmd *
set_option(const char *column, const char *option, const char *value, DefElemAction action)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);

	cmd->subtype = column ? AT_AlterColumnGenericOptions : AT_GenericOptions;
	cmd->name = column ? pstrdup(column) : NULL;
	cmd->def = (Node *) list_make1(makeDefElemExtended(NULL, pstrdup(option),
													   (Node *) makeString(pstrdup(value)),
													   action, -1));
	return cmd;
}

void
contime_source_settle(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	char	   *name = table_option(relid, "events");
	Relation	events = name ? relation_openrv(event_table_name(rel, name), AccessShareLock) : NULL;
	List	   *cmds = NIL;

	for (int i = 0; events && i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), i);
		char	   *text = column->attisdropped ? NULL : source_option(relid, i + 1);
		Place		place = {RelationGetRelationName(rel), NameStr(column->attname)};
		ErrorContextCallback context = {error_context_stack, add_place, &place};

		error_context_stack = &context;
		if (text && (text = settled(events, text)))
			cmds = lappend(cmds, set_option(NameStr(column->attname), "source", text, DEFELEM_SET));
		error_context_stack = context.previous;
	}
	if (events)
		relation_close(events, NoLock);
	relation_close(rel, NoLock);
	if (cmds)
	{
		AlterTableInternal(relid, cmds, false);
		CommandCounterIncrement();
	}
}

/*
 * A text that names things, before a command that gives something another
 * name: the trees do not change, and say afterwards what to write.
 */
typedef struct Noted
{
	Oid			relid;			/* the continuous table */
	Oid			events;
	AttrNumber	attno;			/* of its column; 0: the table's option events */
	bool		given;			/* there is an option; or the name was enough */
	Node	   *expr;
	char	   *text;			/* as it would have been written before */
	Added	   *added;			/* the column's text is there and not in an option */
} Noted;

static Noted *
note_text(Oid relid, Relation events, AttrNumber attno, const char *text)
{
	Noted	   *note = palloc0(sizeof(Noted));

	note->relid = relid;
	note->events = RelationGetRelid(events);
	note->attno = attno;
	if (text)
	{
		contime_source_path_begin();
		note->expr = transform_source(events, text);
		contime_source_path_end();
		note->text = deparse_safely(events, note->expr);
	}
	return note;
}

/* The options events and source. */
static List *
note_options(List *noted, Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	char	   *name = table_option(relid, "events");
	Relation	events = name ? relation_openrv_extended(event_table_name(rel, name), AccessShareLock, true)
		: NULL;

	if (events == NULL)
		return noted;
	noted = lappend(noted, note_text(relid, events, 0, NULL));
	for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), i);
		char	   *text = column->attisdropped ? NULL : source_option(relid, i + 1);
		Noted	   *note;

		if (column->attisdropped ||
			(text == NULL && get_attnum(RelationGetRelid(events), NameStr(column->attname)) <= 0))
			continue;
		note = note_text(relid, events, i + 1,
						 text ? text : quote_identifier(NameStr(column->attname)));
		note->given = text != NULL;
		noted = lappend(noted, note);
	}
	relation_close(events, NoLock);
	return noted;
}

/* What is in contime.source. */
static List *
note_added(List *noted, Relation rel)
{
	ListCell   *lc;

	foreach(lc, added_sources(RelationGetRelid(rel)))
	{
		Added	   *added = lfirst(lc);
		Relation	events = relation_open(added->events, AccessShareLock);

		for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
		{
			Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), i);
			char	   *text = column->attisdropped ? NULL
				: mapping_of(added->columns, NameStr(column->attname));
			Noted	   *note;

			if (text == NULL)
				continue;
			note = note_text(RelationGetRelid(rel), events, i + 1, text);
			note->added = added;
			noted = lappend(noted, note);
		}
		relation_close(events, NoLock);
	}
	return noted;
}

static List *
note_table(List *noted, Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);

	noted = note_added(note_options(noted, rel), rel);
	relation_close(rel, NoLock);
	return noted;
}

List *
contime_source_note_names(Oid relid)
{
	List	   *noted = NIL;
	List	   *tables = OidIsValid(relid) ? contime_source_dependents(relid) : NIL;
	ListCell   *lc;

	if (OidIsValid(relid) && contime_is_table(relid))
		tables = lappend_oid(tables, relid);
	foreach(lc, tables)
		noted = note_table(noted, lfirst_oid(lc));
	return noted;
}

List *
contime_source_note_schema(Oid schema)
{
	Relation	catalog = table_open(ForeignTableRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	List	   *tables = NIL;
	List	   *noted = NIL;
	HeapTuple	tuple;
	ListCell   *lc;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			relid = ((Form_pg_foreign_table) GETSTRUCT(tuple))->ftrelid;

		if (contime_is_table(relid))
			foreach(lc, bound_to(relid))
				if (get_rel_namespace(lfirst_oid(lc)) == schema)
					tables = list_append_unique_oid(tables, relid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	foreach(lc, tables)
		noted = note_table(noted, lfirst_oid(lc));
	return noted;
}

/* The event table's name as the option has it, if it is no longer found by that. */
static char *
renamed_events(const Noted *note)
{
	Relation	rel = relation_open(note->relid, AccessShareLock);
	Oid			schema = get_rel_namespace(note->events);
	char	   *name = table_option(note->relid, "events");
	char	   *followed = NULL;

	if (RangeVarGetRelid(event_table_name(rel, name), NoLock, true) != note->events)
		followed = schema == RelationGetNamespace(rel)
			? pstrdup(quote_identifier(get_rel_name(note->events)))
			: quote_qualified_identifier(get_namespace_name(schema), get_rel_name(note->events));
	relation_close(rel, NoLock);
	return followed;
}

/* A column's source, if it is to be written in another way now. */
static char *
renamed_source(const Noted *note)
{
	Relation	events = relation_open(note->events, AccessShareLock);
	char	   *text = deparse_safely(events, note->expr);
	bool		same = strcmp(text, note->text) == 0;

	/* Without an option it may be the continuous table's column that has another name. */
	if (!note->given)
		same = strcmp(text, quote_identifier(get_attname(note->relid, note->attno, false))) == 0;
	relation_close(events, NoLock);
	return same ? NULL : text;
}

static void
follow_option(const Noted *note)
{
	char	   *value = note->attno == 0 ? renamed_events(note) : renamed_source(note);
	char	   *column = note->attno == 0 ? NULL : get_attname(note->relid, note->attno, false);

	if (value == NULL)
		return;
	AlterTableInternal(note->relid,
					   list_make1(set_option(column, column ? "source" : "events", value,
											 column && !note->given ? DEFELEM_ADD : DEFELEM_SET)),
					   false);
	CommandCounterIncrement();
}

/* The columns of a row of contime.source, as they are to be written now. */
static Jsonb *
renamed_columns(const Added *added, List *noted)
{
	JsonbParseState *state = NULL;
	ListCell   *lc;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	foreach(lc, noted)
	{
		const Noted *note = lfirst(lc);
		Relation	events;

		if (note->added != added)
			continue;
		events = relation_open(note->events, AccessShareLock);
		push_text(&state, WJB_KEY, get_attname(note->relid, note->attno, false));
		push_text(&state, WJB_VALUE, deparse_safely(events, note->expr));
		relation_close(events, NoLock);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static void
follow_added(const Noted *note, List *noted)
{
	Added	   *added = note->added;
	Jsonb	   *columns = renamed_columns(added, noted);

	if (compareJsonbContainers(&columns->root, &added->columns->root) == 0)
		return;
	write_source(note->relid, added->events, added->kind, columns, &added->tid);
	added->columns = columns;
}

void
contime_source_follow(List *noted)
{
	const Added *last = NULL;
	ListCell   *lc;

	if (noted == NIL)
		return;
	CommandCounterIncrement();
	foreach(lc, noted)
	{
		const Noted *note = lfirst(lc);

		if (note->added == NULL)
			follow_option(note);
		else if (note->added != last)
			follow_added(note, noted);
		last = note->added;
	}
	foreach(lc, noted)
		contime_table_check(((const Noted *) lfirst(lc))->relid);
}

/* ---- adding and dropping ------------------------------------------------------------------- */

/* What contime.source says of a table has changed. */
static void
sources_changed(Oid relid)
{
	LockRelationOid(relid, AccessExclusiveLock);
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
	(void) contime_source_bind(relid);
	contime_table_check(relid);
	contime_cache_renew(relid);
}

/* The entry that a caller gives for a column: NULL: none; *silent: not even null. */
static char *
given_mapping(const Jsonb *given, const char *column, bool *silent)
{
	JsonbValue	value;

	*silent = getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &given->root), column,
										   strlen(column), &value) == NULL;
	if (*silent || value.type == jbvNull)
		return NULL;
	if (value.type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("source of column \"%s\" is not a string", column),
				 errhint("Give an expression over the event table's columns in quotes, or null.")));
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* Every entry is that of a column. */
static void
check_mapping(Relation rel, Jsonb *given)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(given))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("columns of a source are not a JSON object"),
				 errhint("Write, for example, '{\"balance\": \"-amount\"}'.")));
	it = JsonbIteratorInit(&given->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char	   *name = token == WJB_KEY ? pnstrdup(value.val.string.val, value.val.string.len) : NULL;

		if (name && get_attnum(RelationGetRelid(rel), name) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of continuous table \"%s\" does not exist",
							name, RelationGetRelationName(rel))));
	}
}

/*
 * What a source is to feed, with each column's expression: as given, or the
 * event table's column of its name.
 */
static Jsonb *
complete_mapping(Relation rel, Relation events, CtKind kind, Jsonb *given)
{
	const ContimeTable *table = contime_table(rel);
	JsonbParseState *state = NULL;

	check_mapping(rel, given);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < table->natts; i++)
	{
		const ContimeAttr *attr = &table->attr[i];
		char	   *name = attr->dropped ? NULL : get_attname(table->relid, i + 1, false);
		Place		place = {table->name, name};
		ErrorContextCallback context = {error_context_stack, add_place, &place};
		bool		silent;
		char	   *text = name ? given_mapping(given, name, &silent) : NULL;
		char	   *safe;

		if (name == NULL)
			continue;
		if (text && kind == CT_FINISH && attr->state && !attr->event_id)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a finish has no column \"%s\"", name),
					 errhint("It has a key, a time, and an event id.")));
		if (silent && get_attnum(RelationGetRelid(events), name) > 0 &&
			(kind != CT_FINISH || !attr->state || attr->event_id))
			text = pstrdup(quote_identifier(name));
		if (text == NULL)
			continue;
		error_context_stack = &context;
		safe = settled(events, text);
		error_context_stack = context.previous;
		push_text(&state, WJB_KEY, name);
		push_text(&state, WJB_VALUE, safe ? safe : text);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* A continuous table of the caller's, locked against readers. */
static Relation
open_own_table(Oid relid)
{
	Relation	rel;

	contime_require_running();
	if (!contime_is_table(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a continuous table", get_rel_name(relid)),
				 errhint("Create it as a FOREIGN TABLE on SERVER contime.")));
	if (!pg_class_ownercheck(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_FOREIGN_TABLE, get_rel_name(relid));
	rel = relation_open(relid, AccessExclusiveLock);
	check_empty(relid);
	return rel;
}

/* contime.add_source(state regclass, events regclass, columns jsonb, kind text) */
Datum
contime_add_source(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	char	   *kind_name = text_to_cstring(PG_GETARG_TEXT_PP(3));
	int			kind = kind_of(kind_name);
	Relation	rel = open_own_table(relid);
	Relation	events = relation_open(PG_GETARG_OID(1), AccessShareLock);
	Jsonb	   *columns;
	ListCell   *lc;

	if (kind < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown kind \"%s\"", kind_name),
				 errhint("Valid kinds are: event, snapshot, finish")));
	check_event_table(contime_table(rel), events);
	check_may_bind(RelationGetRelid(events));
	columns = complete_mapping(rel, events, kind, PG_GETARG_JSONB_P(2));
	foreach(lc, added_sources(relid))
	{
		Added	   *added = lfirst(lc);

		if (added->events == RelationGetRelid(events) && added->kind == kind &&
			compareJsonbContainers(&added->columns->root, &columns->root) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("continuous table \"%s\" has this source already", RelationGetRelationName(rel)),
					 errdetail("Each row of table \"%s\" would count twice.", RelationGetRelationName(events))));
	}
	write_source(relid, RelationGetRelid(events), kind, columns, NULL);
	relation_close(events, NoLock);
	relation_close(rel, NoLock);
	sources_changed(relid);
	contime_source_index(relid);
	PG_RETURN_VOID();
}

/* contime.drop_source(state regclass, events regclass) */
Datum
contime_drop_source(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Oid			events = PG_GETARG_OID(1);
	Relation	rel = open_own_table(relid);
	Relation	sources = open_sources(RowExclusiveLock);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, added_sources(relid))
	{
		Added	   *added = lfirst(lc);

		if (added->events != events)
			continue;
		simple_heap_delete(sources, &added->tid);
		found = true;
	}
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no source \"%s\" was added to continuous table \"%s\"",
						get_rel_name(events), RelationGetRelationName(rel)),
				 errhint("contime.source shows those that were; the option events is dropped by ALTER FOREIGN TABLE.")));
	relation_close(sources, NoLock);
	sources_changed(relid);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/* After rows of contime.source came from a dump, or were changed by hand. */
Datum
contime_source_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	bool		isnull;
	Oid			relid;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "contime.source_changed() is a trigger");
	relid = DatumGetObjectId(heap_getattr(trigger->tg_trigtuple, Anum_source_state,
										  RelationGetDescr(trigger->tg_relation), &isnull));
	if (contime_is_table(relid))
		sources_changed(relid);
	return PointerGetDatum(NULL);
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
index_serves(const ContimeTable *table, const ContimeSource *source, Relation index)
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
			found = indexes(index, exprs, c, source->expr[table->key_attno[k] - 1]);
		if (!found)
			return false;
	}
	return indexes(index, exprs, nkeys, source->expr[table->time_attno - 1]);
}

/* CREATE INDEX for what the table is asked. */
static char *
index_command(const ContimeTable *table, const ContimeSource *source)
{
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

/* Find an index on an event table, or create it. */
static void
provide_index(const ContimeTable *table, const ContimeSource *source)
{
	Relation	events = relation_open(source->events, AccessShareLock);
	bool		served = false;
	char	   *command;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(events))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		served = served || index_serves(table, source, index);
		index_close(index, AccessShareLock);
	}
	relation_close(events, NoLock);
	if (served)
		return;
	contime_source_path_begin();
	command = index_command(table, source);
	contime_source_path_end();
	if (!pg_class_ownercheck(source->events, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("event table \"%s\" has no index on the key and time of continuous table \"%s\"",
						source->name, table->name),
				 errhint("Have its owner run: %s;", command)));
	SPI_connect();
	if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not create an index on event table \"%s\"", source->name);
	SPI_finish();
}

void
contime_source_index(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	const ContimeTable *table = contime_table(rel);

	for (const ContimeSource *source = table->source; source; source = source->next)
		provide_index(table, source);
	relation_close(rel, NoLock);
}

/* ---- queries -------------------------------------------------------------------------- */

static Node *
comparison(const ContimeTable *table, const ContimeSource *source, AttrNumber attno,
		   int strategy, int param)
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
								  (Expr *) source->expr[attno - 1], (Expr *) value,
								  InvalidOid, attr->collation);
}

/* The event table's columns that a source uses, others as NULL: attribute numbers stay. */
static void
append_columns(StringInfo sql, const ContimeTable *table, const ContimeSource *source)
{
	Relation	events = relation_open(source->events, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(events);
	Bitmapset  *used = NULL;

	for (int i = 0; i < table->natts; i++)
		pull_varattnos(source->expr[i], 1, &used);
	for (int i = 0; i < desc->natts; i++)
		appendStringInfo(sql, "%s%s", i > 0 ? ", " : "",
						 bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, used)
						 ? quote_identifier(NameStr(TupleDescAttr(desc, i)->attname)) : "NULL");
	relation_close(events, NoLock);
}

/*
 * Rows of the event table; with bounded, of events at or before the parameter
 * behind those of the key.
 */
char *
contime_source_query(const ContimeTable *table, const ContimeSource *source,
					 ContimeRows rows, bool bounded)
{
	List	   *context = deparse_context_for(source->name, source->events);
	StringInfoData sql;
	List	   *conditions = NIL;
	int			param = 1;

	for (int i = 0; rows == CONTIME_OF_KEY && i < table->nkeys; i++)
		conditions = lappend(conditions,
							 comparison(table, source, table->key_attno[i], BTEqualStrategyNumber, param++));
	if (bounded)
		conditions = lappend(conditions,
							 comparison(table, source, table->time_attno, BTLessEqualStrategyNumber, param));

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	append_columns(&sql, table, source);
	appendStringInfo(&sql, " FROM %s",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(source->events)),
												get_rel_name(source->events)));
	for (int i = 0; i < list_length(conditions); i++)
		appendStringInfo(&sql, "%s %s", i == 0 ? " WHERE" : " AND",
						 deparse_expression(list_nth(conditions, i), context, false, false));
	for (int i = 0; rows == CONTIME_BY_KEY && i < table->nkeys; i++)
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

static void
check_source(const ContimeTable *table, const ContimeSource *source)
{
	LockRelationOid(source->events, AccessShareLock);
	if (pg_class_aclcheck(source->events, table->owner, ACL_SELECT) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s", source->name),
				 errdetail("Continuous table \"%s\" reads its event table as its owner, who needs SELECT on it.",
						   table->name)));
	if (check_enable_rls(source->events, table->owner, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("event table \"%s\" of continuous table \"%s\" has row-level security",
						source->name, table->name),
				 errdetail("A state that lacks some of its events is none."),
				 errhint("Have the continuous table belong to a role that policies do not apply to.")));
}

void
contime_source_lock(Oid relid)
{
	ListCell   *lc;

	foreach(lc, bound_to(relid))
		LockRelationOid(lfirst_oid(lc), AccessShareLock);
}

void
contime_source_check(const ContimeTable *table)
{
	for (const ContimeSource *source = table->source; source; source = source->next)
		check_source(table, source);
}

/* A direct change of a durable table. */
void
contime_source_refuse(const ContimeTable *table)
{
	StringInfoData names;

	if (table->source == NULL)
		return;
	initStringInfo(&names);
	for (const ContimeSource *source = table->source; source; source = source->next)
	{
		const ContimeSource *other = table->source;

		while (other->events != source->events)
			other = other->next;
		if (other == source)
			appendStringInfo(&names, "%s\"%s\"", names.len > 0 ? ", " : "", source->name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot change continuous table \"%s\" directly", table->name),
			 errdetail_plural("Its events are the rows of table %s.", "Its events are the rows of tables %s.",
							  strchr(names.data, ',') ? 2 : 1, names.data),
			 errhint("INSERT, UPDATE or DELETE rows of %s.", names.data)));
}
