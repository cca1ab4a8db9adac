/*
 * source.c
 *	  Sources: how rows of ordinary tables become events of durable tables.
 *
 *	  option events ──► an event table          \   one expression for each
 *	  options source ─► expressions on its rows /  column of the continuous table
 *	  contime.source ─► more of both (add_source), of any kind
 *
 * Every row of an event table is an event (a snapshot, a finish), unless its key or
 * time is NULL.  A column without a source takes the event table's column with its
 * name.  Like a view, a continuous table reads its event tables as its owner.
 *
 * An expression is stored as text in a catalog, parsed to a tree here, and written as
 * text again in queries.  durable/heap_read.c runs these queries, and evaluates the
 * trees on the rows that they return.  The stored text does not depend on a
 * search_path: otherwise a role that reads the table could make the owner run any
 * function.
 *
 * Not here: the commands that add, change and drop sources, and their changes of
 * catalogs (ddl/source_functions.c).
 */
#include "postgres.h"

#include "base/compat.h"
#include "table/table.h"

#include "access/relation.h"
#include "executor/spi.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/ruleutils.h"

/* ---- the event table --------------------------------------------------------- */

void
contime_check_event_table(const ContimeTable *table, Relation events)
{
	const char *name = RelationGetRelationName(events);

	if (events->rd_rel->relkind != RELKIND_RELATION &&
		events->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" cannot be the event table of continuous table \"%s\"", name,
							   table->name),
						errdetail("It is not an ordinary or partitioned table."),
						errhint("Name the table into which events are inserted.")));
	if (events->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("temporary table \"%s\" cannot be the event table of continuous table \"%s\"",
						name, table->name),
				 errhint("Name a table that outlives the session.")));
}

/* ---- expressions ------------------------------------------------------------- */

static void CONTIME_NORETURN
report_no_source(const ContimeTable *table, Relation events, const char *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
			 errmsg("column \"%s\" of continuous table \"%s\" has no source", column, table->name),
			 errdetail("Event table \"%s\" has no column of that name.",
					   RelationGetRelationName(events)),
			 errhint(
				 "Give the column the option source, or in contime.add_source() an entry: an expression over the event table's columns.")));
}

static void CONTIME_NORETURN
report_no_expression(const char *text)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
					errmsg("invalid value for option \"%s\": \"%s\"", "source", text),
					errhint("Give one expression over the event table's columns.")));
}

/* True for `*` and `t.*`, which stand for several columns. */
static bool
is_star(Node *node)
{
	List *names = NIL;

	if (IsA(node, ColumnRef))
		names = ((ColumnRef *) node)->fields;
	else if (IsA(node, A_Indirection))
		names = ((A_Indirection *) node)->indirection;
	return names != NIL && IsA(llast(names), A_Star);
}

/*
 * Parse the text of a source as a raw expression.  The parser reads it as the target
 * list of a SELECT, so every clause that may follow one must be absent.
 */
static Node *
parse_source(const char *text)
{
	List *raw = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, raw)->stmt;
	ResTarget *target;

	if (list_length(raw) != 1 || !IsA(select, SelectStmt) || list_length(select->targetList) != 1 ||
		select->distinctClause != NIL || select->intoClause != NULL || select->fromClause != NIL ||
		select->whereClause != NULL || select->groupClause != NIL || select->havingClause != NULL ||
		select->windowClause != NIL || select->valuesLists != NIL || select->sortClause != NIL ||
		select->limitCount != NULL || select->limitOffset != NULL || select->lockingClause != NIL ||
		select->withClause != NULL || select->op != SETOP_NONE)
		report_no_expression(text);
	target = linitial_node(ResTarget, select->targetList);
	if (target->name != NULL || target->indirection != NIL || is_star(target->val))
		report_no_expression(text);
	return target->val;
}

/* The table and column of a source, for error messages. */
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

/* ERROR if an expression uses more of the event table than columns whose values are stored. */
static void
check_columns(Relation events, Node *expr)
{
	TupleDesc desc = RelationGetDescr(events);
	Bitmapset *attnos = NULL;
	int attno = bms_next_member((pull_varattnos(expr, 1, &attnos), attnos), -1);

	if (attno >= 0 && attno + FirstLowInvalidHeapAttributeNumber <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
						errmsg("a source cannot use system columns or whole rows of table \"%s\"",
							   RelationGetRelationName(events)),
						errhint("Name its columns.")));
	for (; attno >= 0; attno = bms_next_member(attnos, attno))
	{
		Form_pg_attribute column =
			TupleDescAttr(desc, attno + FirstLowInvalidHeapAttributeNumber - 1);

		if (column->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a source cannot use virtual generated column \"%s\" of table \"%s\"",
							NameStr(column->attname), RelationGetRelationName(events)),
					 errdetail("Its values are not stored. It has no index, and no trigger sees them."),
					 errhint("Make it STORED, or use its expression as the source.")));
	}
}

Node *
contime_transform_source(Oid owner, Relation events, const char *text)
{
	ParseState *pstate = make_parsestate(NULL);
	Node *expr;

	Assert(GetUserId() == owner && InSecurityRestrictedOperation());
	addNSItemToQuery(pstate,
					 addRangeTableEntryForRelation(pstate, events, AccessShareLock, NULL, false,
												   true),
					 false, true, true);
	expr = contime_owner_transform(owner, pstate, parse_source(text));
	check_columns(events, expr);
	free_parsestate(pstate);
	return expr;
}

/*
 * Make implicit casts to the column's type explicit, so that queries show them and
 * compare with the key's type.  Casts that change neither equality nor order stay
 * hidden, so that an index on the event table's column can be used.
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
			FuncExpr *cast = (FuncExpr *) node;

			node = linitial(cast->args);
			if (!contime_is_integer(cast->funcresulttype) ||
				!contime_is_integer(getBaseType(exprType(node))))
				cast->funcformat = COERCE_EXPLICIT_CAST;
		}
		else
			return;
	}
}

/* Parse the source of a column, and coerce it to the column's type. */
static Node *
cook_source(const ContimeTable *table, Relation events, Form_pg_attribute column, const char *text)
{
	Place place = {table->name, NameStr(column->attname)};
	ErrorContextCallback context = {error_context_stack, add_place, &place};
	bool key = table->attr[column->attnum - 1].key;
	Node *expr;
	Node *coerced;

	error_context_stack = &context;
	expr = contime_transform_source(table->owner, events, text);
	coerced = contime_owner_coerce(table->owner, expr, column->atttypid, column->atttypmod);
	if (coerced == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of continuous table \"%s\" is of type %s but its source is of type %s",
						NameStr(column->attname), table->name, format_type_be(column->atttypid),
						format_type_be(exprType(expr))),
				 errhint("Cast the source.")));
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
				 errdetail("The meaning of a row of the event table must not change."),
				 errhint(
					 "Use immutable functions and operators only, for example AT TIME ZONE with a constant zone.")));
	error_context_stack = context.previous;
	return coerced;
}

/* ---- as the owner ------------------------------------------------------------ */

ContimeIdentity
contime_source_switch(const ContimeTable *table)
{
	Assert(table->source != NULL);
	return contime_switch_to_owner(table->owner,
								   table->calls ? CONTIME_CODE_OF_USERS : CONTIME_CODE_OF_CORE);
}

/* ---- names ------------------------------------------------------------------- */

char *
contime_deparse_qualified(Relation events, Node *expr)
{
	List *context = deparse_context_for(RelationGetRelationName(events), RelationGetRelid(events));
	int path = contime_source_path_begin();
	char *text;

	text = deparse_expression(expr, context, false, false);
	contime_source_path_end(path);
	return text;
}

static bool
names_table_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, ColumnRef))
		return list_length(((ColumnRef *) node)->fields) > 1;
	return raw_expression_tree_walker(node, names_table_walker, context);
}

bool
contime_source_names_table(const char *text)
{
	Assert(text != NULL);
	return names_table_walker(parse_source(text), NULL);
}

char *
contime_qualified_source(Relation rel, const char *column, Relation events, const char *text)
{
	Place place = {RelationGetRelationName(rel), column};
	ErrorContextCallback context = {error_context_stack, add_place, &place};
	List *names = deparse_context_for(RelationGetRelationName(events), RelationGetRelid(events));
	ContimeIdentity before;
	Node *expr;
	char *safe;
	bool same;

	error_context_stack = &context;
	before = contime_switch_to_owner(rel->rd_rel->relowner, CONTIME_CODE_BEING_DEFINED);
	expr = contime_transform_source(rel->rd_rel->relowner, events, text);
	safe = contime_deparse_qualified(events, expr);
	same = strcmp(safe, deparse_expression(expr, names, false, false)) == 0;
	contime_switch_back(&before);
	error_context_stack = context.previous;
	return same ? NULL : safe;
}

/* ---- deriving ---------------------------------------------------------------- */

/*
 * Return the expression of a column over the rows of a source, or NULL if the source
 * does not set it.  The table of the option events sets every column; added sources
 * may set some.
 */
static Node *
derive_expression(const ContimeTable *table, Relation events, const ContimeSource *source,
				  Form_pg_attribute column, const Jsonb *columns)
{
	const char *name = NameStr(column->attname);
	char *text = columns ? contime_mapping_of(columns, name)
						 : contime_source_option(table->relid, column->attnum);

	if (text == NULL && columns == NULL && get_attnum(source->events, name) > 0)
		text = pstrdup(quote_identifier(name));
	if (text)
		return cook_source(table, events, column, text);
	if (columns == NULL || !table->attr[column->attnum - 1].state)
		report_no_source(table, events, name);
	return NULL;
}

/* Free the plans of a source.  Called when its description's memory context is reset. */
static void
free_plans(void *arg)
{
	ContimeSource *source = arg;

	StaticAssertStmt(sizeof(source->plan) == 8 * sizeof(source->plan[0][0]), "all are freed");
	for (int i = 0; i < 8; i++)
		if (source->plan[i / 2][i % 2])
			SPI_freeplan(source->plan[i / 2][i % 2]);
}

/*
 * Check that the event table is the one that the table was bound to, because a name
 * may later refer to another table.  After an upgrade that restores only definitions
 * there are no dependencies to compare with.
 */
static void
check_binding(const ContimeTable *table, Relation events)
{
	Oid relid = RelationGetRelid(events);
	List *bound = contime_source_bound(table->relid);

	if (bound != NIL && !list_member_oid(bound, relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not the one that continuous table \"%s\" was bound to",
						RelationGetRelationName(events), table->name),
				 errhint(
					 "Set the option events of the continuous table again, by ALTER FOREIGN TABLE.")));
	if (!contime_source_may_bind(relid, table->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s", RelationGetRelationName(events)),
				 errdetail("Continuous table \"%s\" is bound to its event table by its owner, who needs SELECT and TRIGGER on it.",
						   table->name)));
}

static ContimeSource *
derive_one_source(ContimeTable *table, Relation rel, Relation events, CtKind kind,
				  const Jsonb *columns)
{
	TupleDesc desc = RelationGetDescr(rel);
	TupleDesc events_desc = RelationGetDescr(events);
	ContimeSource *source = palloc0(offsetof(ContimeSource, expr) + desc->natts * sizeof(Node *));
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));

	Assert(desc->natts == table->natts && desc->natts <= CT_MAX_ATTRS);
	contime_check_event_table(table, events);
	check_binding(table, events);
	source->events = RelationGetRelid(events);
	source->name = pstrdup(RelationGetRelationName(events));
	source->kind = kind;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!column->attisdropped)
			source->expr[i] = derive_expression(table, events, source, column, columns);
		contime_check_unchanged(table, rel, desc);
		contime_check_unchanged(table, events, events_desc);
		table->calls |= contime_runs_user_code(source->expr[i]);
		if (source->expr[i] && table->attr[i].state)
			source->columns |= UINT64CONST(1) << i;
	}
	if (kind == CT_SNAPSHOT && source->columns == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("snapshots from table \"%s\" have no column of continuous table \"%s\"",
						source->name, table->name),
				 errhint("Name the columns that they set.")));
	callback->func = free_plans;
	callback->arg = source;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return source;
}

void
contime_source_derive(ContimeTable *table, Relation rel, const char *events_name)
{
	TupleDesc desc = RelationGetDescr(rel);
	ContimeSource **end = &table->source;
	ContimeIdentity before;
	Relation events;
	ListCell *lc;
	int path;

	Assert(table->source == NULL);
	for (int i = 0; i < desc->natts && events_name == NULL; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && contime_source_option(table->relid, i + 1))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
					 errmsg("column \"%s\" of continuous table \"%s\" has a source, but the table has no events",
							NameStr(TupleDescAttr(desc, i)->attname), table->name),
					 errhint("Name the event table in the option events of the table.")));
	before = contime_switch_to_owner(table->owner, CONTIME_CODE_OF_USERS);
	path = contime_source_path_begin();
	if (events_name)
	{
		events = relation_openrv(contime_event_table_name(rel, events_name), AccessShareLock);
		*end = derive_one_source(table, rel, events, CT_EVENT, NULL);
		Assert((*end)->next == NULL);
		end = &(*end)->next;
		relation_close(events, NoLock);
	}
	foreach(lc, contime_added_sources(table->relid))
	{
		Added *added = lfirst(lc);

		events = relation_open(added->events, AccessShareLock);
		*end = derive_one_source(table, rel, events, added->kind, added->columns);
		end = &(*end)->next;
		relation_close(events, NoLock);
	}
	contime_source_path_end(path);
	contime_switch_back(&before);
}

/* ---- queries ----------------------------------------------------------------- */

/* (Any expression counts: a function of core may take as long as a user's function.) */
bool
contime_source_is_limited(const ContimeTable *table)
{
	if (table->calls)
		return true;
	for (const ContimeSource *source = table->source; source; source = source->next)
		for (int i = 0; i < table->natts; i++)
			if (source->expr[i] && !IsA(strip_implicit_coercions(source->expr[i]), Var))
				return true;
	return false;
}

/* ---- privileges --------------------------------------------------------------- */

bool
contime_source_may_bind(Oid events, Oid owner)
{
	return pg_class_aclcheck(events, owner, ACL_SELECT) == ACLCHECK_OK &&
		   pg_class_aclcheck(events, owner, ACL_TRIGGER) == ACLCHECK_OK;
}

static void
check_source(const ContimeTable *table, const ContimeSource *source)
{
	Assert(OidIsValid(source->events) && OidIsValid(table->owner));
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
				 errdetail("The states would lack the events that its policies hide."),
				 errhint(
					 "Give the continuous table an owner to whom the policies of the event table do not apply.")));
}

void
contime_source_check(const ContimeTable *table)
{
	for (const ContimeSource *source = table->source; source; source = source->next)
		check_source(table, source);
}

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
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("cannot change continuous table \"%s\" directly", table->name),
					errdetail_plural("Its events are the rows of table %s.",
									 "Its events are the rows of tables %s.",
									 strchr(names.data, ',') ? 2 : 1, names.data),
					errhint("INSERT, UPDATE or DELETE rows of %s.", names.data)));
}
