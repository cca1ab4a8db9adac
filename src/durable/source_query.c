/*
 * source_query.c
 *	  Build the queries that read event tables.
 *
 * Called by heap_read.c, which prepares and runs them as the owner of the
 * continuous table.
 */
#include "postgres.h"

#include "durable/durable.h"
#include "table/table.h"

#include "access/relation.h"
#include "foreign/foreign.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

/* Make the condition: the source's expression for an attribute <operator> parameter. */
static Node *
make_comparison(const ContimeTable *table, const ContimeSource *source, AttrNumber attno,
				int strategy, int param)
{
	const ContimeAttr *attr = &table->attr[attno - 1];
	TypeCacheEntry *type = lookup_type_cache(attr->type, TYPECACHE_BTREE_OPFAMILY);
	Oid operator=
		get_opfamily_member(type->btree_opf, type->btree_opintype, type->btree_opintype, strategy);
	Param *value = makeNode(Param);

	Assert(source->expr[attno - 1] != NULL); /* each source gives the keys and the time */
	Assert(OidIsValid(operator));
	value->paramkind = PARAM_EXTERN;
	value->paramid = param;
	value->paramtype = attr->type;
	value->paramtypmod = -1;
	value->paramcollid = get_typcollation(attr->type);
	value->location = -1;
	return (Node *) make_opclause(operator, BOOLOID, false, (Expr *) source->expr[attno - 1],
								  (Expr *) value, InvalidOid, attr->collation);
}

/*
 * Append the columns of the event table.  Those that the source does not use become NULL,
 * so that attribute numbers stay the same.
 */
static void
append_columns(StringInfo sql, const ContimeTable *table, const ContimeSource *source)
{
	Relation events = relation_open(source->events, AccessShareLock);
	TupleDesc desc = RelationGetDescr(events);
	Bitmapset *used = NULL;

	for (int i = 0; i < table->natts; i++)
		pull_varattnos(source->expr[i], 1, &used);
	for (int i = 0; i < desc->natts; i++)
		appendStringInfo(sql, "%s%s", i > 0 ? ", " : "",
						 bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, used)
							 ? quote_identifier(NameStr(TupleDescAttr(desc, i)->attname))
							 : "NULL");
	appendStringInfo(sql, "%sctid, tableoid", desc->natts > 0 ? ", " : "");
	relation_close(events, NoLock);
}

char *
contime_source_query(const ContimeTable *table, const ContimeSource *source, ContimeRowOrder order,
					 bool bounded)
{
	List *context = deparse_context_for(source->name, source->events);
	StringInfoData sql;
	List *conditions = NIL;
	int param = 1;

	Assert(order <= CONTIME_LATEST);
	for (int i = 0; order == CONTIME_OF_KEY && i < table->nkeys; i++)
		conditions = lappend(conditions, make_comparison(table, source, table->key_attno[i],
														 BTEqualStrategyNumber, param++));
	if (bounded)
		conditions = lappend(conditions, make_comparison(table, source, table->time_attno,
														 BTLessEqualStrategyNumber, param));

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	append_columns(&sql, table, source);
	appendStringInfo(&sql, " FROM %s",
					 quote_qualified_identifier(get_namespace_name(
													get_rel_namespace(source->events)),
												get_rel_name(source->events)));
	for (int i = 0; i < list_length(conditions); i++)
		appendStringInfo(&sql, "%s %s", i == 0 ? " WHERE" : " AND",
						 deparse_expression(list_nth(conditions, i), context, false, false));
	for (int i = 0; order == CONTIME_BY_KEY && i < table->nkeys; i++)
		appendStringInfo(&sql, "%s %s", i == 0 ? " ORDER BY" : ",",
						 deparse_expression(source->expr[table->key_attno[i] - 1], context, false,
											false));
	if (order == CONTIME_LATEST)
	{
		char *time =
			deparse_expression(source->expr[table->time_attno - 1], context, false, false);

		/* An index on the time is read backward: it has NULLs first then. */
		appendStringInfo(&sql, " WHERE %s IS NOT NULL ORDER BY %s DESC LIMIT %d", time, time,
						 CONTIME_LATEST_ROWS);
	}
	return sql.data;
}

bool
contime_source_looks_ahead(const ContimeTable *table)
{
	for (int i = 0; i < table->schema->nattrs; i++)
		if (table->schema->attr[i].linear)
			return true;
	return false;
}
