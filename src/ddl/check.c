/*
 * check.c
 *	  Checks of a definition after a command that gave or changed it.
 *
 * Called by hooks.c, and by the commands on sources.
 */
#include "postgres.h"

#include "ddl/ddl.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "access/relation.h"
#include "commands/tablecmds.h"
#include "foreign/foreign.h"
#include "nodes/makefuncs.h"

/*
 * ERROR 55000 if a definition does not fit the data in memory.  Note the options of
 * retention.
 */
static void
check_against_data(const ContimeTable *table)
{
	ContimeGeneration *g = table->source ? NULL : contime_generation(table->relid);

	if (g)
		contime_retention_note(table, g);
	for (int p = 0; g && p < contime_shared->partitions; p++)
	{
		int conflict = contime_stored_check(table, g, p);

		if (conflict >= 0)
			contime_report_conflict(table, conflict);
	}
}

bool
contime_table_is_bare(Oid relid)
{
	Relation rel = RelationIdGetRelation(relid);
	bool bare = true;

	for (int i = 0; rel && bare && i < RelationGetDescr(rel)->natts; i++)
		bare = TupleDescAttr(RelationGetDescr(rel), i)->attisdropped ||
			   GetForeignColumnOptions(relid, i + 1) == NIL;
	if (rel)
		RelationClose(rel);
	return bare;
}

void
contime_table_rename_rate(Oid relid, const char *from, const char *to)
{
	Relation rel = relation_open(relid, NoLock); /* the RENAME holds a lock */
	List *cmds = NIL;

	for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute form = TupleDescAttr(RelationGetDescr(rel), i);
		char *rate =
			form->attisdropped
				? NULL
				: contime_option_value(GetForeignColumnOptions(relid, form->attnum), "rate");
		AlterTableCmd *cmd;

		if (rate == NULL || strcmp(rate, from) != 0)
			continue;
		cmd = makeNode(AlterTableCmd);
		cmd->subtype = AT_AlterColumnGenericOptions;
		cmd->name = pstrdup(NameStr(form->attname));
		cmd->def = (Node *) list_make1(
			makeDefElemExtended(NULL, "rate", (Node *) makeString(pstrdup(to)), DEFELEM_SET, -1));
		cmds = lappend(cmds, cmd);
	}
	relation_close(rel, NoLock);
	if (cmds)
		AlterTableInternal(relid, cmds, false);
}

/* Note the limits again: the table's owner or memory_limit may have changed. */
static void
note_limits(const ContimeTable *table)
{
	ContimeGeneration *g = RecoveryInProgress() ? NULL : contime_generation(table->relid);

	if (g && g->account >= 0)
		contime_limits_note(table, g, false);
}

void
contime_table_check(Oid relid)
{
	Relation rel = try_relation_open(relid, AccessShareLock);

	if (rel == NULL)
		return;
	if (contime_is_table(relid))
	{
		const ContimeTable *table = contime_table(rel);

		check_against_data(table);
		note_limits(table);
	}
	relation_close(rel, NoLock);
}
