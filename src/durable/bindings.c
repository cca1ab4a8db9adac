/*
 * bindings.c
 *	  Restores the dependencies and triggers that bind a durable table to its event tables.
 *
 *	  the definition          names event tables: the option events, rows of contime.source
 *	  pg_depend               the continuous table depends on each of them
 *	  triggers (triggers.c)   each of them, and its partitions, have the capture triggers
 *
 * The last two follow from the first; DDL keeps them so (ddl/source_bind.c).  A
 * server upgrade by pg_upgrade does not: it restores definitions on a server
 * without contime's hooks, and internal triggers are not part of a dump.  Then
 * contime_bindings_repair() restores them from the definition.  Until then the
 * cache is refused (worker/loader.c), so the event tables answer.
 *
 * Called by DDL, by loaders, by agents after an upgrade (worker/repair.c), and by
 * contime.repair().
 *
 * Concurrency: a repair holds ShareUpdateExclusiveLock on the continuous table,
 * so that there is one at a time, and ShareRowExclusiveLock on its event tables
 * until the end of the transaction, so that no transaction writes to them between
 * the dependency and the triggers.
 *
 * A repair runs no user-made code: names are resolved, but no source is parsed.
 */
#include "postgres.h"

#include "durable/durable.h"
#include "table/table.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class_d.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

List *
contime_bindings_named(Relation rel, LOCKMODE mode, bool missing_ok)
{
	char *name = contime_table_option(RelationGetRelid(rel), "events");
	List *named = NIL;
	ListCell *lc;

	if (name)
		named = list_make1_oid(
			RangeVarGetRelid(contime_event_table_name(rel, name), mode, missing_ok));
	foreach(lc, contime_added_sources(RelationGetRelid(rel)))
		named = list_append_unique_oid(named, ((Added *) lfirst(lc))->events);
	return named;
}

void
contime_bindings_depend(Oid relid, Oid events)
{
	ObjectAddress depender;
	ObjectAddress referenced;

	Assert(OidIsValid(relid) && OidIsValid(events) && relid != events);
	ObjectAddressSet(depender, RelationRelationId, relid);
	ObjectAddressSet(referenced, RelationRelationId, events);
	recordDependencyOn(&depender, &referenced, DEPENDENCY_NORMAL);
}

/* Return the event tables among `named` to which a table is not fully bound. */
static List *
select_unbound(Oid relid, List *named)
{
	List *bound = contime_source_bound(relid);
	List *unbound = NIL;
	ListCell *lc;

	foreach(lc, named)
		if (!list_member_oid(bound, lfirst_oid(lc)) ||
			!contime_capture_is_there(relid, lfirst_oid(lc)))
			unbound = lappend_oid(unbound, lfirst_oid(lc));
	return unbound;
}

bool
contime_bindings_are_complete(Oid relid)
{
	Relation rel = relation_open(relid, AccessShareLock);
	ContimeIdentity before = contime_switch_to_owner(rel->rd_rel->relowner, CONTIME_CODE_OF_CORE);
	bool complete = select_unbound(relid, contime_bindings_named(rel, NoLock, true)) == NIL;

	contime_switch_back(&before);
	relation_close(rel, NoLock);
	return complete;
}

/* ERROR if the current user, who owns a continuous table, may not bind it. */
static void
check_owner_may_bind(Oid relid, Oid events)
{
	if (!contime_source_may_bind(events, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s", get_rel_name(events)),
				 errdetail("Continuous table \"%s\" is bound to its event table by its owner, who needs SELECT and TRIGGER on it.",
						   get_rel_name(relid)),
				 errhint("Grant these privileges, and read the table or call contime.repair().")));
}

/* Bind a table to an event table. Called as the owner of the continuous table. */
static void
bind_again(Oid relid, Oid events)
{
	char relkind;

	check_owner_may_bind(relid, events);
	LockRelationOid(events, ShareRowExclusiveLock);
	relkind = get_rel_relkind(events);
	if (relkind == '\0')
		contime_report_no_relation(events);
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not an ordinary or partitioned table", get_rel_name(events)),
						errhint("Have the definition of continuous table \"%s\" name its event table.",
								get_rel_name(relid))));
	if (!list_member_oid(contime_source_bound(relid), events))
		contime_bindings_depend(relid, events);
	CommandCounterIncrement();
	contime_capture_fit_all(events);
	Assert(contime_capture_is_there(relid, events));
}

bool
contime_bindings_repair(Relation rel)
{
	Oid relid = RelationGetRelid(rel);
	ContimeIdentity before =
		contime_switch_to_owner(rel->rd_rel->relowner, CONTIME_CODE_OF_CORE);
	List *unbound;
	ListCell *lc;

	Assert(CheckRelationLockedByMe(rel, ShareUpdateExclusiveLock, true));
	unbound = select_unbound(relid, contime_bindings_named(rel, AccessShareLock, false));
	foreach(lc, unbound)
		bind_again(relid, lfirst_oid(lc));
	foreach(lc, unbound)
		contime_cache_change(relid, lfirst_oid(lc));
	contime_switch_back(&before);
	return unbound != NIL;
}
