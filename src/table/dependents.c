/*
 * dependents.c
 *	  Which continuous tables depend on an event table, and the reverse.
 *
 * A continuous table depends on its event tables in pg_depend.  Partitions and
 * children of an event table are event tables, too.
 *
 * Called when event tables are written to or altered, and by loaders.
 */
#include "postgres.h"

#include "table/table.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "foreign/foreign.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"

/* Return the relations that `relid` depends on, or (dependents) that depend on it. */
static List *
find_related(Oid relid, bool dependents)
{
	Relation depend = table_open(DependRelationId, AccessShareLock);
	List *found = NIL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;

	Assert(OidIsValid(relid));
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

char *
contime_table_option(Oid relid, const char *name)
{
	ListCell *lc;

	foreach(lc, GetForeignTable(relid)->options)
	{
		DefElem *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, name) == 0)
			return defGetString(def);
	}
	return NULL;
}

/* True if a relation inherits from another one, by pg_inherits. */
static bool
inherits_from(Oid relid, Oid parent)
{
	Relation catalog = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool inherits = false;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (!inherits && HeapTupleIsValid(tuple = systable_getnext(scan)))
		inherits = ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent == parent;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return inherits;
}

bool
contime_has_events(Oid relid)
{
	return contime_table_option(relid, "events") != NULL || contime_added_sources(relid) != NIL;
}

List *
contime_source_dependents(Oid events)
{
	List *tables = NIL;
	ListCell *lc;

	foreach(lc, find_related(events, true))
	{
		Oid relid = lfirst_oid(lc);

		if (contime_is_table(relid) && !inherits_from(relid, events) && contime_has_events(relid))
			tables = list_append_unique_oid(tables, relid);
	}
	return tables;
}

List *
contime_source_bound(Oid relid)
{
	List *bound = NIL;
	ListCell *lc;

	foreach(lc, find_related(relid, false))
		if (!inherits_from(relid, lfirst_oid(lc)))
			bound = list_append_unique_oid(bound, lfirst_oid(lc));
	return bound;
}

void
contime_source_lock(Oid relid)
{
	ListCell *lc;

	foreach(lc, contime_source_bound(relid))
		LockRelationOid(lfirst_oid(lc), AccessShareLock);
}
