/*
 * source_index.c
 *	  Indexes on event tables for the queries of durable tables.
 *
 * An index is created as the owner of the continuous table, if that role owns the
 * event table, too.
 */
#include "postgres.h"

#include "base/compat.h"
#include "ddl/ddl.h"
#include "table/table.h"

#include "access/genam.h"
#include "access/relation.h"
#include "catalog/pg_am_d.h"
#include "executor/spi.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"

/* True if an index's column holds the expression. */
static bool
holds_expression(Relation index, List *exprs, int column, Node *expr)
{
	AttrNumber attno = index->rd_index->indkey.values[column];
	int i = 0;

	Assert(column >= 0 && column < index->rd_index->indnkeyatts);
	Assert(expr != NULL);
	/* Queries show no implicit casts (show_casts()), and neither does the index. */
	expr = strip_implicit_coercions(expr);
	if (attno != 0)
		return IsA(expr, Var) && ((Var *) expr)->varattno == attno;
	for (int c = 0; c < column; c++)
		i += index->rd_index->indkey.values[c] == 0;
	return equal(list_nth(exprs, i), expr);
}

/* True if an index has the key columns, in any order, and then the time. */
static bool
is_suitable_index(const ContimeTable *table, const ContimeSource *source, Relation index)
{
	List *exprs = RelationGetIndexExpressions(index);
	int nkeys = table->nkeys;

	if (index->rd_rel->relam != BTREE_AM_OID || !index->rd_index->indisvalid ||
		index->rd_index->indnkeyatts < nkeys + 1 || RelationGetIndexPredicate(index) != NIL)
		return false;
	for (int k = 0; k < nkeys; k++)
	{
		bool found = false;

		for (int c = 0; c < nkeys && !found; c++)
			found = holds_expression(index, exprs, c, source->expr[table->key_attno[k] - 1]);
		if (!found)
			return false;
	}
	return holds_expression(index, exprs, nkeys, source->expr[table->time_attno - 1]);
}

/* Return the CREATE INDEX command for such an index. */
static char *
make_index_command(const ContimeTable *table, const ContimeSource *source)
{
	List *context = deparse_context_for(source->name, source->events);
	StringInfoData sql;

	Assert(source->expr[table->time_attno - 1] != NULL); /* each source sets it */
	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE INDEX ON %s (",
					 quote_qualified_identifier(get_namespace_name(
													get_rel_namespace(source->events)),
												get_rel_name(source->events)));
	for (int i = 0; i <= table->nkeys; i++)
	{
		AttrNumber attno = i < table->nkeys ? table->key_attno[i] : table->time_attno;
		Node *expr = strip_implicit_coercions(source->expr[attno - 1]);

		appendStringInfo(&sql, IsA(expr, Var) ? "%s%s" : "%s(%s)", i > 0 ? ", " : "",
						 deparse_expression(expr, context, false, false));
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/*
 * Find an index on an event table, or create it.  Its expressions will run in every
 * process that writes to the event table, as the owner of the event table.  So it is
 * created only if that role owns the continuous table, too, and as that role: the role
 * that runs the command may be a superuser.
 */
static void
provide_index(const ContimeTable *table, const ContimeSource *source)
{
	Relation events = relation_open(source->events, AccessShareLock);
	ContimeIdentity before;
	bool served = false;
	char *command;
	int path;
	ListCell *lc;

	foreach(lc, RelationGetIndexList(events))
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);

		served = served || is_suitable_index(table, source, index);
		index_close(index, AccessShareLock);
	}
	relation_close(events, NoLock);
	if (served)
		return;
	path = contime_source_path_begin();
	command = make_index_command(table, source);
	contime_source_path_end(path);
	if (!object_ownercheck(RelationRelationId, source->events, table->owner))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("event table \"%s\" has no index on the key and time of continuous table \"%s\"",
						source->name, table->name),
				 errhint("Have its owner run: %s;", command)));
	before = contime_switch_to_owner(table->owner, CONTIME_CODE_OF_USERS);
	Assert(GetUserId() == table->owner && ActiveSnapshotSet());
	SPI_connect();
	if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not create an index on event table \"%s\"", source->name);
	SPI_finish();
	contime_switch_back(&before);
}

void
contime_source_index(Oid relid)
{
	Relation rel = relation_open(relid, AccessShareLock);
	const ContimeTable *table = contime_table(rel);

	for (const ContimeSource *source = table->source; source; source = source->next)
		provide_index(table, source);
	relation_close(rel, NoLock);
}
