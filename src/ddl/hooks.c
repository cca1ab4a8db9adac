/*
 * hooks.c
 *	  Hooks on DDL commands that concern continuous tables and event tables.
 *
 * The validator sees neither types nor other columns, and ProcessUtility alone misses
 * cascades.  So the object access hook collects the relations that a command touches.
 * When the command is done, their descriptions are derived and checked, also against
 * the data.
 *
 *	  CREATE    ends generations of a former table with the same OID
 *	  TRUNCATE  opens a generation, if there is one; the old one is freed after the
 *	            commit
 *	  DROP      is noted in the generations; a rollback clears the note
 *	  RENAME    of a column: options rate that name it follow
 *	  ENABLE, DISABLE TRIGGER ALL  by an owner: capture triggers are not changed
 *	  ALTER     of a durable table or its event table: its cache is loaded again
 *
 * Partitions of event tables get triggers (capture.c) when they are attached, and lose
 * them when they are detached.  A command that would change rows which a scan of this
 * session reads is refused.
 *
 * Notes have the (sub)transaction's id, so nothing has to be done at commit or abort.
 */
#include "postgres.h"

#include "base/compat.h"
#include "ddl/ddl.h"
#include "durable/durable.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "table/table.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/partition.h"
#include "catalog/pg_database.h"
#include "catalog/pg_inherits.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

static ProcessUtility_hook_type prev_process_utility = NULL;
static object_access_hook_type prev_object_access = NULL;

/* Relations that the current outermost command has created and altered. */
static List *created = NIL;
static List *altered = NIL;

/* The nesting depth of commands that may touch a table.  0: nothing is collected. */
static int collecting = 0;

/* True if the outermost command drops objects. */
static bool dropping = false;

/* ---- collecting -------------------------------------------------------------- */

/*
 * Add a relation to a list.  The lists live longer than a transaction, since a command
 * may consist of several.
 */
static void
collect_relation(List **relations, Oid relid)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	Assert(collecting > 0);
	if (OidIsValid(relid))
		*relations = list_append_unique_oid(*relations, relid);
	MemoryContextSwitchTo(caller);
}

/* Collect a relation and all that inherit from it. */
static void
collect_family(Oid relid)
{
	ListCell *lc;

	if (!OidIsValid(relid))
		return;
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
		collect_relation(&altered, lfirst_oid(lc));
}

static void
clear_collected(void)
{
	Assert(collecting == 0);
	list_free(created);
	list_free(altered);
	created = altered = NIL;
}

/* ---- event tables, their partitions and children ------------------------------ */

/* Return the relations of which a relation is a partition, or from which it inherits. */
static List *
find_parents(Oid relid)
{
	Relation catalog = table_open(InheritsRelationId, AccessShareLock);
	List *parents = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		parents = lappend_oid(parents, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return parents;
}

/* Return the event tables among a relation and its ancestors. */
static List *
find_event_tables(Oid relid)
{
	List *relations = list_make1_oid(relid);
	List *found = NIL;
	ListCell *lc;

	Assert(OidIsValid(relid));
	foreach(lc, relations)
	{
		if (contime_source_dependents(lfirst_oid(lc)) != NIL)
			found = lappend_oid(found, lfirst_oid(lc));
		relations = list_concat_unique_oid(relations, find_parents(lfirst_oid(lc)));
	}
	return found;
}

/* Renew or break the caches over an event table, since its rows change. */
static void
change_rows(Oid events)
{
	ListCell *lc;

	Assert(OidIsValid(events));
	foreach(lc, contime_source_dependents(events))
		contime_cache_change(lfirst_oid(lc), events);
}

/* ---- commands during an open read in the same session ------------------------- */

static void CONTIME_NORETURN
report_in_use(Oid relid, const char *command)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("cannot %s \"%s\" because it is being used by active queries in this session",
					command, get_rel_name(relid))));
}

/*
 * ERROR 55006 if a scan of this session reads the rows of a relation.  Core checks
 * event tables themselves; their partitions are checked only here, since scans do not
 * open them.
 */
static void
check_not_read(Oid relid, const char *command)
{
	List *read = contime_references_read();
	List *relations;
	ListCell *lc;

	if (read == NIL || !OidIsValid(relid))
		return;
	if (get_rel_relkind(relid) == RELKIND_INDEX ||
		get_rel_relkind(relid) == RELKIND_PARTITIONED_INDEX)
	{
		relid = IndexGetRelation(relid, true);
		command = "DROP INDEX";
	}
	relations = list_make1_oid(relid);
	foreach(lc, relations)
	{
		if (list_member_oid(read, lfirst_oid(lc)))
			report_in_use(relid, command);
		relations = list_concat_unique_oid(relations, find_parents(lfirst_oid(lc)));
	}
}

/* Likewise, by name.  Skip relations of other owners: core refuses the command on these. */
static void
check_not_read_name(const RangeVar *name, const char *command)
{
	Oid relid = name ? RangeVarGetRelid(name, NoLock, true) : InvalidOid;

	if (OidIsValid(relid) && object_ownercheck(RelationRelationId, relid, GetUserId()))
		check_not_read(relid, command);
}

/* Return the table of a trigger, rule or policy that a command drops. */
static RangeVar *
get_table_of_dropped(List *object)
{
	return list_length(object) < 2 ? NULL
								   : makeRangeVarFromNameList(
										 list_truncate(list_copy(object), list_length(object) - 1));
}

/*
 * Before a command: ERROR 55006 if it changes an event table that an open scan of this
 * session reads.  TRUNCATE, and relations that are dropped (also by a cascade), are
 * checked in the object access hook.
 */
static void
check_open_reads(Node *stmt)
{
	ObjectType what;
	ListCell *lc;

	if (contime_references_read() == NIL)
		return;
	switch (nodeTag(stmt))
	{
		case T_AlterTableStmt:
			check_not_read_name(((AlterTableStmt *) stmt)->relation, "ALTER TABLE");
			break;
		case T_ClusterStmt:
			check_not_read_name(((ClusterStmt *) stmt)->relation, "CLUSTER");
			break;
		case T_IndexStmt:
			check_not_read_name(((IndexStmt *) stmt)->relation, "CREATE INDEX");
			break;
		case T_CreateStmt:
			foreach(lc, ((CreateStmt *) stmt)->inhRelations)
				check_not_read_name(lfirst_node(RangeVar, lc), "CREATE TABLE .. PARTITION OF");
			break;
		case T_DropStmt:
			what = ((DropStmt *) stmt)->removeType;
			if (what == OBJECT_TRIGGER || what == OBJECT_RULE || what == OBJECT_POLICY)
				foreach(lc, ((DropStmt *) stmt)->objects)
					check_not_read_name(get_table_of_dropped(lfirst_node(List, lc)),
										what == OBJECT_TRIGGER ? "DROP TRIGGER"
										: what == OBJECT_RULE  ? "DROP RULE"
															   : "DROP POLICY");
			break;
		default:
			break;
	}
}

/*
 * After a command that renamed a relation: ERROR 55006 if this session reads it.  Core
 * lets open queries go on, because they know their tables by OID.  But a read of a
 * durable table names its event tables in queries, so it cannot go on.
 */
static void
check_renamed(Node *stmt, Oid relid)
{
	ListCell *lc;

	foreach(lc, contime_references_read())
	{
		Oid events = lfirst_oid(lc);
		bool renamed = events == relid;

		if (IsA(stmt, RenameStmt) && ((RenameStmt *) stmt)->renameType == OBJECT_SCHEMA)
			renamed = get_rel_namespace(events) ==
					  get_namespace_oid(((RenameStmt *) stmt)->newname, true);
		else if (IsA(stmt, RenameStmt) && OidIsValid(relid) &&
				 ((RenameStmt *) stmt)->renameType == OBJECT_COLUMN)
			renamed = list_member_oid(find_all_inheritors(relid, NoLock, NULL), events);
		if (renamed)
			report_in_use(events, "rename");
	}
}

/*
 * Before a command that locks a partition exclusively: lock its event table
 * exclusively.  A backend that reads a cache locks only the event table.
 */
static void
lock_event_table(Oid relid)
{
	List *ancestors = NIL;

	if (OidIsValid(relid) && get_rel_relispartition(relid))
		ancestors = get_partition_ancestors(relid);

	/* (A partition that is being detached has no parent.) */
	if (ancestors != NIL && contime_source_dependents(llast_oid(ancestors)) != NIL)
		LockRelationOid(llast_oid(ancestors), AccessExclusiveLock);
}

/*
 * Before an ALTER TABLE: lock the event table.  Do not lock the partition: it is not
 * known yet whether the user may do that.
 */
static void
lock_for_alter(const AlterTableStmt *stmt, Oid relid)
{
	ListCell *lc;
	ListCell *lc2;

	if (!OidIsValid(relid) || !object_ownercheck(RelationRelationId, relid, GetUserId()))
		return;
	if (AlterTableGetLockLevel(stmt->cmds) == AccessExclusiveLock)
		lock_event_table(relid);

	/*
	 * DETACH CONCURRENTLY: new snapshots stop to see the partition before the command
	 * has ended, so break the caches now (durable/cache.c).
	 */
	foreach(lc, stmt->cmds)
	{
		const AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype != AT_DetachPartition || !((PartitionCmd *) cmd->def)->concurrent ||
			find_event_tables(relid) == NIL)
			continue;
		LockRelationOid(relid, ShareUpdateExclusiveLock);
		foreach(lc2, find_event_tables(relid))
			change_rows(lfirst_oid(lc2));
	}
}

static void
lock_for_truncate(const TruncateStmt *stmt)
{
	ListCell *lc;

	foreach(lc, stmt->relations)
	{
		Oid relid = RangeVarGetRelid(lfirst_node(RangeVar, lc), NoLock, true);

		if (OidIsValid(relid) && pg_class_aclcheck(relid, GetUserId(), ACL_TRUNCATE) == ACLCHECK_OK)
			lock_event_table(relid);
	}
}

static void
lock_for_drop(const DropStmt *stmt)
{
	ListCell *lc;

	if (stmt->removeType != OBJECT_TABLE)
		return;
	foreach(lc, stmt->objects)
	{
		Oid relid = RangeVarGetRelid(makeRangeVarFromNameList(lfirst_node(List, lc)), NoLock, true);

		if (OidIsValid(relid) &&
			(object_ownercheck(RelationRelationId, relid, GetUserId()) ||
			 object_ownercheck(NamespaceRelationId, get_rel_namespace(relid), GetUserId())))
			lock_event_table(relid);
	}
}

/*
 * After a command: make the triggers of a relation agree with the event tables that it
 * belongs to, if any.  Renew or break the caches if rows changed or cannot be
 * captured.
 */
static void
check_rows(Oid relid, bool changed)
{
	bool captured = contime_capture_fit(relid);
	ListCell *lc;

	foreach(lc, find_event_tables(relid))
		if (changed || !captured)
			change_rows(lfirst_oid(lc));
}

/* ---- dropped objects ---------------------------------------------------------- */

static void
change_rows_of_parents(Oid relid)
{
	ListCell *lc;

	if (get_rel_relispartition(relid) || has_superclass(relid))
		foreach(lc, find_event_tables(relid))
			if (lfirst_oid(lc) != relid)
				change_rows(lfirst_oid(lc));
}

static void
handle_drop(Oid class, Oid object, int sub)
{
	uint64 xid;

	Assert(IsTransactionState());
	Assert(OidIsValid(object));
	if (class == RelationRelationId && sub == 0)
		change_rows_of_parents(object);

	if (class == RelationRelationId && sub == 0 && contime_is_table(object))
		contime_source_delete_rows(object, false);
	if (class == RelationRelationId && sub != 0)
	{
		if (collecting > 0)
			collect_relation(&altered, object);
	}
	else if (class == RelationRelationId && get_rel_relkind(object) == RELKIND_FOREIGN_TABLE &&
			 contime_has_generation(object))
	{
		contime_serializable_clear(object);
		xid = U64FromFullTransactionId(GetCurrentFullTransactionId());
		contime_generation_drop(object, xid);
	}
	else if (class == DatabaseRelationId)
	{
		xid = U64FromFullTransactionId(GetCurrentFullTransactionId());
		contime_generation_drop_database(object, xid);
	}
}

static void
handle_object_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (prev_object_access)
		prev_object_access(access, class, object, sub, arg);

	if (access == OAT_POST_CREATE && class == RelationRelationId && sub == 0)
		contime_generation_end_stale(object);
	if (access == OAT_DROP && class == RelationRelationId && sub == 0)
		check_not_read(object, "DROP TABLE");
	if (access == OAT_TRUNCATE)
		check_not_read(object, "TRUNCATE");
	if (access == OAT_DROP)
		handle_drop(class, object, sub);
	else if (collecting > 0 && class == RelationRelationId &&
			 (access == OAT_POST_CREATE || access == OAT_POST_ALTER))
		collect_relation(access == OAT_POST_CREATE && sub == 0 ? &created : &altered, object);
}

/* ---- after a command --------------------------------------------------------- */

static void
check_created(Oid relid)
{
	char relkind = get_rel_relkind(relid);

	Assert(collecting == 0 && OidIsValid(relid));
	/*
	 * A new partition is empty, so rows do not change.  A foreign partition, or a
	 * child by inheritance, cannot be captured.
	 */
	if (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE ||
		relkind == RELKIND_FOREIGN_TABLE)
		check_rows(relid, relkind == RELKIND_FOREIGN_TABLE || !get_rel_relispartition(relid));
	if (!contime_is_table(relid))
		return;

	contime_source_delete_rows(relid, true);

	/* In a dump of pg_dump, CREATE has no column options; ALTER COLUMN sets them. */
	(void) contime_source_bind(relid);
	if (!contime_table_is_bare(relid))
	{
		contime_source_qualify(relid);
		contime_table_check(relid);
		contime_source_index(relid);
	}
	else if (!contime_source_is_qualified())
		ereport(NOTICE, (errmsg("continuous table \"%s\" cannot be used yet", get_rel_name(relid)),
						 errdetail("It has no key and no time column."),
						 errhint("Give columns the options key 'true' and time 'true', by ALTER FOREIGN TABLE.")));
}

/*
 * True if a command may leave a table incomplete.  A command that sets options of
 * columns may, since pg_dump has one for each column.  One that changes the owner may,
 * since the new owner need not have all privileges yet.
 *
 * So may all commands of a dump, which begins with an empty search_path.  A table that
 * is being restored belongs to the restoring user, often a superuser, before it
 * belongs to its owner.  Code that the owner has put into it must not run before that,
 * as it would if the description were derived.
 */
static bool
may_leave_incomplete(Node *stmt)
{
	ListCell *lc;

	if (!IsA(stmt, AlterTableStmt))
		return false;
	if (contime_source_is_qualified())
		return true;
	foreach(lc, ((AlterTableStmt *) stmt)->cmds)
	{
		AlterTableType type = lfirst_node(AlterTableCmd, lc)->subtype;

		if (type != AT_AlterColumnGenericOptions && type != AT_ChangeOwner)
			return false;
	}
	return true;
}

/*
 * True if a command may change which rows an event table has, or whether they can be
 * captured.  Commands with a weak lock do not, except those that attach or detach
 * partitions or enable all triggers.
 */
static bool
changes_rows(Node *stmt)
{
	ListCell *lc;

	if (!IsA(stmt, AlterTableStmt) ||
		AlterTableGetLockLevel(((AlterTableStmt *) stmt)->cmds) == AccessExclusiveLock)
		return true;
	foreach(lc, ((AlterTableStmt *) stmt)->cmds)
	{
		AlterTableType type = lfirst_node(AlterTableCmd, lc)->subtype;

		if (type == AT_AttachPartition || type == AT_DetachPartition ||
			type == AT_DetachPartitionFinalize || type == AT_EnableTrigAll)
			return true;
	}
	return false;
}

/*
 * True if a command may be refused because it would leave a continuous table without a
 * valid description.  Not so for a DROP by a role that is not a member of the table's
 * owner: otherwise a role could use another role's type, and thereby prevent that it
 * is dropped.
 */
static bool
may_refuse(Oid relid)
{
	return !dropping || is_member_of_role_nosuper(GetUserId(), contime_owner_of(relid));
}

/*
 * Check a relation that was altered: a continuous table, an event table, or a
 * partition or child of one.
 */
static void
check_altered(Oid relid, bool lenient, bool changed, const List *unsound)
{
	ListCell *lc;

	Assert(collecting == 0 && OidIsValid(relid));
	if (contime_is_table(relid))
	{
		bool bound = contime_source_bind(relid);
		bool usable = contime_source_is_usable(relid);

		if (usable)
			contime_source_qualify(relid);
		if (usable && may_refuse(relid) && (!lenient || contime_has_data(relid)))
			contime_table_check(relid);
		if (bound && !lenient)
			contime_source_index(relid);
		if (changed)
			contime_cache_change(relid, relid);
	}
	foreach(lc, contime_source_dependents(relid))
		if (!lenient && !list_member_oid(unsound, lfirst_oid(lc)) && may_refuse(lfirst_oid(lc)) &&
			contime_source_is_usable(lfirst_oid(lc)))
			contime_table_check(lfirst_oid(lc));
	check_rows(relid, changed);
}

/*
 * Check the relations that the command touched.  A table without data may be left
 * incomplete (may_leave_incomplete()); its description is derived again at the first
 * use.
 */
static void
check_collected(bool lenient, bool changed, const List *unsound)
{
	List *new = list_copy(created);
	List *old = list_difference_oid(altered, created);
	ListCell *lc;

	clear_collected();
	if (new == NIL && old == NIL)
		return;
	CommandCounterIncrement();
	foreach(lc, new)
		check_created(lfirst_oid(lc));
	foreach(lc, old)
		check_altered(lfirst_oid(lc), lenient, changed, unsound);
}

/* ---- RENAME COLUMN ----------------------------------------------------------- */

static void
follow_rename(const RenameStmt *stmt)
{
	Oid relid = InvalidOid;
	ListCell *lc;

	if (stmt->renameType == OBJECT_COLUMN && stmt->relation)
		relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (!OidIsValid(relid))
		return;
	CommandCounterIncrement();
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
		if (contime_is_table(lfirst_oid(lc)))
			contime_table_rename_rate(lfirst_oid(lc), stmt->subname, stmt->newname);
}

/*
 * Return the relation whose name, schema or column name a command changes, or
 * InvalidOid.
 */
static Oid
find_renamed_relation(Node *stmt)
{
	if (IsA(stmt, RenameStmt) && ((RenameStmt *) stmt)->relation)
		return RangeVarGetRelid(((RenameStmt *) stmt)->relation, NoLock, true);
	if (IsA(stmt, AlterObjectSchemaStmt) && ((AlterObjectSchemaStmt *) stmt)->relation)
		return RangeVarGetRelid(((AlterObjectSchemaStmt *) stmt)->relation, NoLock, true);
	return InvalidOid;
}

/*
 * Before a command that changes names: note the texts that name event tables.  If the
 * user has no right to the command, nothing is locked or parsed.
 */
static List *
note_names(Node *stmt)
{
	Oid object;

	if (IsA(stmt, RenameStmt) && ((RenameStmt *) stmt)->renameType == OBJECT_SCHEMA)
	{
		object = get_namespace_oid(((RenameStmt *) stmt)->subname, true);
		return OidIsValid(object) && object_ownercheck(NamespaceRelationId, object, GetUserId())
				   ? contime_source_note_schema(object)
				   : NIL;
	}
	object = find_renamed_relation(stmt);
	return OidIsValid(object) && object_ownercheck(RelationRelationId, object, GetUserId())
			   ? contime_source_note_names(object)
			   : NIL;
}

/* ---- the hook ---------------------------------------------------------------- */

/*
 * True for commands that can create or alter a table.  Commands that run user-made
 * code for a long time are not among them.
 */
static bool
is_of_interest(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_CreateStmt:
			return ((CreateStmt *) stmt)->inhRelations != NIL;
		case T_CreateForeignTableStmt:
		case T_AlterTableStmt:
		case T_DropStmt: /* a cascade may drop columns */
		case T_DropOwnedStmt:
		case T_CreateSchemaStmt:
		case T_ImportForeignSchemaStmt:
			return true;
		default:
			return false;
	}
}

/*
 * Before an ALTER of an event table: return its continuous tables that have no valid
 * description even now.
 */
static List *
find_unsound(Node *stmt)
{
	Oid relid = IsA(stmt, AlterTableStmt)
					? RangeVarGetRelid(((AlterTableStmt *) stmt)->relation, NoLock, true)
					: InvalidOid;

	return OidIsValid(relid) && object_ownercheck(RelationRelationId, relid, GetUserId())
			   ? contime_source_unsound(relid)
			   : NIL;
}

/*
 * Before an ALTER TABLE: resolve its names now, since they may refer to other
 * relations when it is done.
 */
static void
prepare_alter(const AlterTableStmt *stmt)
{
	Oid relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	ListCell *lc;

	lock_for_alter(stmt, relid);

	/* The hook does not report the table of a constraint or default: collect it here. */
	collect_family(relid);
	foreach(lc, stmt->cmds)
	{
		const AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->def && IsA(cmd->def, PartitionCmd))
			collect_family(RangeVarGetRelid(((PartitionCmd *) cmd->def)->name, NoLock, true));
	}
}

/* ---- all triggers of an event table ------------------------------------------ */

/* True if a command enables and disables triggers, all at once among others, and nothing else. */
static bool
is_about_all_triggers(const AlterTableStmt *stmt)
{
	bool all = false;
	ListCell *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableType type = lfirst_node(AlterTableCmd, lc)->subtype;

		if (type < AT_EnableTrig || type > AT_DisableTrigUser)
			return false;
		all |= type == AT_EnableTrigAll || type == AT_DisableTrigAll;
	}
	return all;
}

StaticAssertDecl(AT_DisableTrigUser - AT_EnableTrig == 7, "all between are about triggers");

/*
 * The owner of a table may enable and disable all of its triggers as long as
 * none is a system trigger, unless the owner is a superuser. The capture
 * triggers of an event table must not take this from the owner. So if these are
 * its only system triggers, the command leaves them out, and rows are captured
 * as before. *enabled: the table, if the command is to enable all triggers.
 *
 * Locks the table as core does, which makes the same checks of the user.
 */
static PlannedStmt *
spare_capture(PlannedStmt *pstmt, Oid *enabled)
{
	AlterTableStmt *stmt = (AlterTableStmt *) pstmt->utilityStmt;
	Oid relid;
	ListCell *lc;

	if (!is_about_all_triggers(stmt) || superuser() || XactReadOnly)
		return pstmt;
	relid = AlterTableLookupRelation(stmt, AlterTableGetLockLevel(stmt->cmds));
	if (!OidIsValid(relid) || !contime_capture_is_alone(relid))
		return pstmt;
	pstmt = copyObject(pstmt);
	foreach(lc, ((AlterTableStmt *) pstmt->utilityStmt)->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_EnableTrigAll)
		{
			cmd->subtype = AT_EnableTrigUser;
			*enabled = relid;
		}
		else if (cmd->subtype == AT_DisableTrigAll)
			cmd->subtype = AT_DisableTrigUser;
	}
	return pstmt;
}

static void
run_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
			ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *queryEnv,
			DestReceiver *dest, QueryCompletion *qc)
{
	if (prev_process_utility)
		prev_process_utility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest,
								qc);
}

/* Run a command that is_of_interest(), with the checks and locks that come before it. */
static void
run_of_interest(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *queryEnv,
				DestReceiver *dest, QueryCompletion *qc)
{
	Node *stmt = pstmt->utilityStmt;
	Oid enabled = InvalidOid;

	Assert(collecting > 0);
	check_open_reads(stmt);
	if (IsA(stmt, AlterTableStmt))
	{
		prepare_alter((AlterTableStmt *) stmt);
		pstmt = spare_capture(pstmt, &enabled);
	}
	if (IsA(stmt, DropStmt))
		lock_for_drop((DropStmt *) stmt);
	run_utility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	if (OidIsValid(enabled))
		contime_capture_enable(enabled);
}

static void
process_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	Node *stmt = pstmt->utilityStmt;
	bool lenient;
	bool changed;
	List *volatile unsound = NIL;

	if (!is_of_interest(stmt))
	{
		List *noted = note_names(stmt);
		Oid renamed = find_renamed_relation(stmt);

		check_open_reads(stmt);
		if (IsA(stmt, TruncateStmt))
			lock_for_truncate((TruncateStmt *) stmt);
		run_utility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
		if (IsA(stmt, RenameStmt))
			follow_rename((RenameStmt *) stmt);
		if (IsA(stmt, RenameStmt) || IsA(stmt, AlterObjectSchemaStmt))
			check_renamed(stmt, renamed);
		contime_source_follow(noted);
		return;
	}

	/*
	 * A command may run others (column options are set by an ALTER TABLE of their
	 * own), so definitions are complete only when the outermost one is done.
	 */
	if (collecting == 0)
	{
		clear_collected();
		dropping = IsA(stmt, DropStmt) || IsA(stmt, DropOwnedStmt);
	}
	lenient = may_leave_incomplete(stmt);
	changed = changes_rows(stmt);
	Assert(collecting > 0 || (created == NIL && altered == NIL));
	if (collecting == 0 && !lenient)
		unsound = find_unsound(stmt);
	collecting++;
	PG_TRY();
	{
		run_of_interest(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	}
	PG_FINALLY();
	{
		collecting--;
	}
	PG_END_TRY();

	Assert(collecting >= 0);
	if (collecting == 0)
		check_collected(lenient, changed, unsound);
}

/* ---- installation ------------------------------------------------------------- */

void
contime_install_ddl_hooks(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	prev_object_access = object_access_hook;
	object_access_hook = handle_object_access;
}
