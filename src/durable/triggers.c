/*
 * triggers.c
 *	  The capture triggers on event tables.
 *
 * For each durable table, each of its event tables and their partitions has a BEFORE
 * STATEMENT and an AFTER STATEMENT trigger and, unless it is a partitioned table, an
 * AFTER ROW trigger.  They are internal triggers: pg_dump does not dump them, psql does
 * not show them, and they cannot be dropped by DROP TRIGGER.  They fire always
 * (TRIGGER_FIRES_ALWAYS), also while replicated changes are applied.
 *
 * Called by DDL hooks (ddl/), and by the loader, which checks whether rows are captured.
 *
 * Not here: what the triggers do when they fire (capture.c).
 */
#include "postgres.h"

#include "durable/durable.h"
#include "table/table.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

/*
 * Triggers fire in the order of their names.  This name sorts before those of usual
 * triggers of users, which may read the rows that the capture triggers capture.
 */
#define TRIGGER_NAME "!contime_%s"

/* A capture trigger of a relation, as the catalog has it or (without name) as needed. */
typedef struct Capturer
{
	Oid oid;
	char *name;
	Oid relid;    /* the continuous table */
	Oid events;   /* the event table: the relation or an ancestor of it */
	char enabled; /* as tgenabled */
} Capturer;

/* Fill in a Capturer from a pg_trigger row: relid and events are the trigger's arguments. */
static void
read_capturer(Capturer *capturer, Relation catalog, HeapTuple tuple)
{
	Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
	bool isnull;
	bytea *args = DatumGetByteaPP(
		heap_getattr(tuple, Anum_pg_trigger_tgargs, RelationGetDescr(catalog), &isnull));
	const char *first = VARDATA_ANY(args);

	Assert(form->tgnargs == 2);
	capturer->oid = form->oid;
	capturer->name = pstrdup(NameStr(form->tgname));
	capturer->relid = atooid(first);
	capturer->events = atooid(first + strlen(first) + 1);
	capturer->enabled = form->tgenabled;
}

/*
 * Return the capture triggers of a relation.  They are read from the catalog, not from
 * the relation cache, so the relation need not be locked.
 */
static List *
list_capturers(Oid relation)
{
	Relation catalog = table_open(TriggerRelationId, AccessShareLock);
	Oid function = contime_member(CONTIME_MEMBER_CAPTURE);
	List *found = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relation));
	scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
		Capturer *capturer;

		if (!form->tgisinternal || form->tgfoid != function || form->tgnargs != 2)
			continue;
		capturer = palloc(sizeof(Capturer));
		read_capturer(capturer, catalog, tuple);
		found = lappend(found, capturer);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}

/* True if a trigger is in a list of capture triggers. */
static bool
is_capturer(List *list, Oid trigger)
{
	ListCell *lc;

	foreach(lc, list)
		if (((Capturer *) lfirst(lc))->oid == trigger)
			return true;
	return false;
}

/*
 * Create a capture trigger.  By its dependencies it is dropped together with the
 * continuous table or with its relation, and cannot be dropped alone.
 */
static void
create_trigger(const char *name, Oid relid, Oid events, Oid relation, bool row, int16 timing,
			   int16 on)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);
	ObjectAddress trigger;
	ObjectAddress owner;

	stmt->trigname = psprintf(TRIGGER_NAME, name);
	stmt->funcname = list_make2(makeString("contime"), makeString("capture"));
	stmt->args = list_make2(makeString(psprintf("%u", relid)), makeString(psprintf("%u", events)));
	stmt->row = row;
	stmt->timing = timing;
	stmt->events = on;
	trigger = CreateTriggerFiringOn(stmt, NULL, relation, InvalidOid, InvalidOid, InvalidOid,
									contime_require_member(CONTIME_MEMBER_CAPTURE), InvalidOid,
									NULL, true, false, TRIGGER_FIRES_ALWAYS);
	ObjectAddressSet(owner, RelationRelationId, relid);
	recordDependencyOn(&trigger, &owner, DEPENDENCY_PARTITION_PRI);
	ObjectAddressSet(owner, RelationRelationId, relation);
	recordDependencyOn(&trigger, &owner, DEPENDENCY_PARTITION_SEC);
}

/* Create the capture triggers of a relation for a continuous table and an event table. */
static void
create_triggers(Oid relid, Oid events, Oid relation)
{
	int16 changes = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE;

	create_trigger("before", relid, events, relation, false, TRIGGER_TYPE_BEFORE,
				   changes | TRIGGER_TYPE_TRUNCATE);
	if (get_rel_relkind(relation) == RELKIND_RELATION)
		create_trigger("row", relid, events, relation, true, TRIGGER_TYPE_AFTER, changes);
	create_trigger("after", relid, events, relation, false, TRIGGER_TYPE_AFTER, changes);
}

/* Drop a capture trigger, after its dependencies, which forbid dropping it alone. */
static void
drop_trigger(Oid trigger)
{
	ObjectAddress address;

	ObjectAddressSet(address, TriggerRelationId, trigger);
	deleteDependencyRecordsForClass(TriggerRelationId, trigger, RelationRelationId,
									DEPENDENCY_PARTITION_PRI);
	deleteDependencyRecordsForClass(TriggerRelationId, trigger, RelationRelationId,
									DEPENDENCY_PARTITION_SEC);
	CommandCounterIncrement();
	performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

/*
 * Let a trigger fire always.  EnableDisableTrigger() would refuse this to a user who is
 * not a superuser, but the owner of an event table must be able to alter it.
 */
static void
enable_always(Oid relation, const Capturer *capturer)
{
	Relation rel = relation_open(relation, ShareRowExclusiveLock);
	Relation catalog = table_open(TriggerRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(capturer->oid));
	scan = systable_beginscan(catalog, TriggerOidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		HeapTuple changed = heap_copytuple(tuple);

		Assert(((Form_pg_trigger) GETSTRUCT(changed))->tgrelid == relation);
		((Form_pg_trigger) GETSTRUCT(changed))->tgenabled = TRIGGER_FIRES_ALWAYS;
		CatalogTupleUpdate(catalog, &changed->t_self, changed);
	}
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
	CacheInvalidateRelcache(rel);
	relation_close(rel, NoLock);
}

bool
contime_capture_is_alone(Oid relation)
{
	Relation catalog = table_open(TriggerRelationId, AccessShareLock);
	List *ours = list_capturers(relation);
	int others = 0;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relation));
	scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		/* To core, the clone of a trigger of a parent is not a system trigger. */
		others += form->tgisinternal && !OidIsValid(form->tgparentid) &&
				  !is_capturer(ours, form->oid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return ours != NIL && others == 0;
}

void
contime_capture_enable(Oid relation)
{
	ListCell *lc;

	Assert(OidIsValid(relation));
	foreach(lc, list_capturers(relation))
		if (((Capturer *) lfirst(lc))->enabled != TRIGGER_FIRES_ALWAYS)
			enable_always(relation, lfirst(lc));
	CommandCounterIncrement();
}

/* Return the list's first capture trigger for a continuous and an event table, or NULL. */
static Capturer *
find_capturer(List *list, Oid relid, Oid events)
{
	ListCell *lc;

	foreach(lc, list)
	{
		Capturer *capturer = lfirst(lc);

		if (capturer->relid == relid && capturer->events == events)
			return capturer;
	}
	return NULL;
}

/*
 * Return a Capturer with relid and events for each pair of a continuous table and an event
 * table of it that is the relation or an ancestor of the relation.
 */
static List *
list_wanted_capturers(Oid relation)
{
	List *tables = list_make1_oid(relation);
	List *wanted = NIL;
	ListCell *lc;
	ListCell *lc2;

	if (get_rel_relispartition(relation))
		tables = list_concat(tables, get_partition_ancestors(relation));
	foreach(lc, tables)
		foreach(lc2, contime_source_dependents(lfirst_oid(lc)))
		{
			Capturer *capturer = palloc0(sizeof(Capturer));

			capturer->relid = lfirst_oid(lc2);
			capturer->events = lfirst_oid(lc);
			wanted = lappend(wanted, capturer);
		}
	return wanted;
}

bool
contime_capture_fit(Oid relation)
{
	char relkind = get_rel_relkind(relation);
	List *wanted;
	List *there;
	bool complete = true;
	ListCell *lc;

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		return true;
	wanted = list_wanted_capturers(relation);
	there = list_capturers(relation);
	foreach(lc, there)
	{
		const Capturer *capturer = lfirst(lc);

		if (find_capturer(wanted, capturer->relid, capturer->events) == NULL)
		{
			LockRelationOid(relation, ShareRowExclusiveLock);
			drop_trigger(capturer->oid);
		}
		else if (capturer->enabled == TRIGGER_FIRES_ON_ORIGIN)
			enable_always(relation, capturer);
		else if (capturer->enabled != TRIGGER_FIRES_ALWAYS)
			complete = false;
	}
	foreach(lc, wanted)
	{
		const Capturer *capturer = lfirst(lc);

		if (find_capturer(there, capturer->relid, capturer->events) == NULL)
			create_triggers(capturer->relid, capturer->events, relation);
	}
	CommandCounterIncrement();
	return complete;
}

void
contime_capture_fit_all(Oid events)
{
	ListCell *lc;

	/* This lock prevents other sessions from attaching partitions meanwhile. */
	LockRelationOid(events, ShareRowExclusiveLock);
	foreach(lc, find_all_inheritors(events, ShareRowExclusiveLock, NULL))
		(void) contime_capture_fit(lfirst_oid(lc));
}

/* Return how many triggers a relation has that is captured. */
static int
count_wanted_triggers(Oid relation)
{
	return get_rel_relkind(relation) == RELKIND_RELATION ? 3 : 2;
}

bool
contime_capture_is_there(Oid relid, Oid events)
{
	ListCell *lc;

	foreach(lc, find_all_inheritors(events, NoLock, NULL))
	{
		Oid relation = lfirst_oid(lc);
		char relkind = get_rel_relkind(relation);
		int there = 0;
		ListCell *lc2;

		/* Foreign partitions and children by inheritance have none: they are obstacles. */
		if ((relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE) ||
			(relation != events && !get_rel_relispartition(relation)))
			continue;
		foreach(lc2, list_capturers(relation))
		{
			const Capturer *capturer = lfirst(lc2);

			there += capturer->relid == relid && capturer->events == events;
		}
		if (there != count_wanted_triggers(relation))
			return false;
	}
	return true;
}

/* Return the reason why rows of one relation of an event table are not captured, or NULL. */
static const char *
find_relation_obstacle(Oid relid, Oid events, Oid relation)
{
	char relkind = get_rel_relkind(relation);
	int firing = 0;
	ListCell *lc;

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		return "a partition is a foreign table";
	if (relation == events && has_superclass(relation))
		return "an event table is a partition or a child of another";
	foreach(lc, list_capturers(relation))
	{
		const Capturer *capturer = lfirst(lc);

		firing += capturer->relid == relid && capturer->events == events &&
				  capturer->enabled == TRIGGER_FIRES_ALWAYS;
	}
	return firing == count_wanted_triggers(relation)
			   ? NULL
			   : "a trigger of it is not there or disabled";
}

const char *
contime_capture_obstacle(Oid relid, Oid events, List **relations)
{
	List *tree = list_make1_oid(events);
	bool detached = false;
	ListCell *lc;

	LockRelationOid(events, AccessShareLock);
	foreach(lc, tree)
	{
		const char *obstacle = find_relation_obstacle(relid, events, lfirst_oid(lc));
		List *children = find_inheritance_children_extended(lfirst_oid(lc), false, AccessShareLock,
															&detached, NULL);

		if (obstacle)
			return obstacle;
		if (children != NIL && get_rel_relkind(lfirst_oid(lc)) != RELKIND_PARTITIONED_TABLE)
			return "an event table has children by inheritance";
		tree = list_concat(tree, children);
	}
	*relations = list_concat_unique_oid(*relations, tree);
	return detached ? "a partition is being detached" : NULL;
}
