/*
 * source_bind.c
 *	  CREATE and ALTER of a durable table: bind its sources, and qualify their texts.
 *
 *	  bind     an event table that the definition names gets a pg_depend entry
 *	  qualify  texts are rewritten so that they do not depend on a search_path
 *
 * Called by hooks.c and by the commands on sources.
 */
#include "postgres.h"

#include "ddl/ddl.h"
#include "ddl/sources.h"
#include "durable/durable.h"
#include "shared/shared.h"
#include "table/table.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

bool
contime_source_is_usable(Oid relid)
{
	Oid owner = contime_owner_of(relid);
	ListCell *lc;

	foreach(lc, contime_source_bound(relid))
		if (!contime_source_may_bind(lfirst_oid(lc), owner))
			return false;
	return true;
}

void
contime_check_may_bind(Oid events)
{
	AclResult result = pg_class_aclcheck(events, GetUserId(), ACL_SELECT);

	if (result == ACLCHECK_OK)
		result = pg_class_aclcheck(events, GetUserId(), ACL_TRIGGER);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, get_rel_name(events));
}

void
contime_check_empty(Oid relid)
{
	if (contime_has_data(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("event tables of continuous table \"%s\" cannot be changed while the table holds data",
						get_rel_name(relid)),
				 errhint("TRUNCATE the table first, or create a new one.")));
}

/*
 * ERROR if a continuous table inherits from its event table: it would find its own
 * rows there.
 */
static void
check_no_parent(Oid relid, Oid events)
{
	if (list_member_oid(find_all_inheritors(events, NoLock, NULL), relid))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("\"%s\" cannot be the event table of continuous table \"%s\"",
						get_rel_name(events), get_rel_name(relid)),
				 errdetail("The continuous table inherits from it, or is a partition of it."),
				 errhint("Name a table that the continuous table does not inherit from.")));
}

bool
contime_source_bind(Oid relid)
{
	Relation rel = relation_open(relid, AccessShareLock);
	List *named = contime_bindings_named(rel, AccessShareLock, false);
	List *bound = contime_source_bound(relid);
	List *gone = list_difference_oid(bound, named);
	List *new = list_difference_oid(named, bound);
	ListCell *lc;

	relation_close(rel, NoLock);
	foreach(lc, named)
		check_no_parent(relid, lfirst_oid(lc));
	Assert(!list_member_oid(named, relid));
	if (gone != NIL || new != NIL)
		contime_check_empty(relid);
	foreach(lc, gone)
		deleteDependencyRecordsForSpecific(RelationRelationId, relid, DEPENDENCY_NORMAL,
										   RelationRelationId, lfirst_oid(lc));
	foreach(lc, new)
	{
		contime_check_may_bind(lfirst_oid(lc));
		contime_bindings_depend(relid, lfirst_oid(lc));
	}
	CommandCounterIncrement();
	foreach(lc, list_concat(gone, new))
		contime_capture_fit_all(lfirst_oid(lc));
	return new != NIL;
}

AlterTableCmd *
contime_set_option(const char *column, const char *option, const char *value, DefElemAction action)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);

	Assert(option != NULL && value != NULL);
	cmd->subtype = column ? AT_AlterColumnGenericOptions : AT_GenericOptions;
	cmd->name = column ? pstrdup(column) : NULL;
	cmd->def =
		(Node *) list_make1(makeDefElemExtended(NULL, pstrdup(option),
												(Node *) makeString(pstrdup(value)), action, -1));
	return cmd;
}

bool
contime_source_is_qualified(void)
{
	return fetch_search_path(false) == NIL;
}

void
contime_source_qualify(Oid relid)
{
	Relation rel = relation_open(relid, AccessShareLock);
	char *name = contime_source_is_qualified() ? NULL : contime_table_option(relid, "events");
	Relation events =
		name ? relation_openrv(contime_event_table_name(rel, name), AccessShareLock) : NULL;
	List *cmds = NIL;

	for (int i = 0; events && i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), i);
		char *text = column->attisdropped ? NULL : contime_source_option(relid, i + 1);

		if (text && (text = contime_qualified_source(rel, NameStr(column->attname), events, text)))
			cmds = lappend(cmds, contime_set_option(NameStr(column->attname), "source", text,
													DEFELEM_SET));
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

static void
derive_table(TableNotes *notes)
{
	contime_table_check(notes->relid);
}

List *
contime_source_unsound(Oid relid)
{
	List *unsound = NIL;
	ListCell *lc;

	foreach(lc, contime_source_dependents(relid))
	{
		TableNotes notes = {.relid = lfirst_oid(lc)};

		if (!contime_source_is_usable(notes.relid) ||
			contime_run_apart(derive_table, &notes) != NULL)
			unsound = lappend_oid(unsound, notes.relid);
	}
	return unsound;
}
