/*
 * capture.c
 *	  Rows of event tables become recent events as they are written.
 *
 *	  INSERT, UPDATE, DELETE ─► row triggers ─► rows of the statement
 *	  end of the statement   ─► events and retractions, labelled as the rows
 *	                            are in the heap ─► the cache (cache.c)
 *
 * A durable table has triggers on each event table and its partitions: before
 * and after a statement, and after a row where there are rows.  They are
 * internal ones: not dumped, not shown, and nobody drops or disables them by
 * accident.  They fire always, for what is replicated, too.  A statement fires
 * those of the relation that it names, and its rows those of the partition
 * they are in; both say what event table it is about.
 *
 * A label is the row's: the transaction and command that wrote or deleted it.
 * So a snapshot sees the event when it sees the row.  Between the two there
 * may be functions that look: while a statement is under way this backend
 * reads the tables it writes to from the heap.
 *
 * Nothing that goes wrong here is the writer's fault or business: the cache is
 * given up then, and the heap answers.
 *
 * Not here: what a row means (source.c, heapread.c), the life of a cache
 * (cache.c).
 */
#include "contime.h"

#include "table/members.h"
#include "table/owner.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_class_d.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

PG_FUNCTION_INFO_V1(contime_capture);

/* Rows of a statement that are kept before they become events. */
#define MOST_ROWS 4096
#define MOST_BYTES ((Size) 1024 * 1024)

/* How long a lock is waited for: longer than a loader waits (cache.c). */
#define MOST_WAITED_MS 150

/* Sorts before the triggers of users, who may read what was captured. */
#define TRIGGER_NAME "!contime_%s"

/* ---- the triggers ------------------------------------------------------------------------ */

/* One that a relation has: whose it is, and about which event table. */
typedef struct Capturer
{
	Oid			oid;
	char	   *name;
	Oid			relid;			/* the continuous table */
	Oid			events;
	char		enabled;		/* as tgenabled */
} Capturer;

static void
read_capturer(Capturer *capturer, Relation catalog, HeapTuple tuple)
{
	Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
	bool		isnull;
	bytea	   *args = DatumGetByteaPP(heap_getattr(tuple, Anum_pg_trigger_tgargs,
													RelationGetDescr(catalog), &isnull));
	const char *first = VARDATA_ANY(args);

	capturer->oid = form->oid;
	capturer->name = pstrdup(NameStr(form->tgname));
	capturer->relid = atooid(first);
	capturer->events = atooid(first + strlen(first) + 1);
	capturer->enabled = form->tgenabled;
}

/* Those that a relation has, as the catalog has them now: it need not be locked. */
static List *
capturers(Oid relation)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	Oid			function = contime_member(CONTIME_MEMBER_CAPTURE);
	List	   *found = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relation));
	scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
		Capturer   *capturer;

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

/* It goes with the continuous table as well as with its relation, and not alone. */
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
									contime_require_member(CONTIME_MEMBER_CAPTURE), InvalidOid, NULL,
									true, false,
									TRIGGER_FIRES_ALWAYS);
	ObjectAddressSet(owner, RelationRelationId, relid);
	recordDependencyOn(&trigger, &owner, DEPENDENCY_PARTITION_PRI);
	ObjectAddressSet(owner, RelationRelationId, relation);
	recordDependencyOn(&trigger, &owner, DEPENDENCY_PARTITION_SEC);
}

static void
create_triggers(Oid relid, Oid events, Oid relation)
{
	int16		changes = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE;

	create_trigger("before", relid, events, relation, false, TRIGGER_TYPE_BEFORE,
				   changes | TRIGGER_TYPE_TRUNCATE);
	if (get_rel_relkind(relation) == RELKIND_RELATION)
		create_trigger("row", relid, events, relation, true, TRIGGER_TYPE_AFTER, changes);
	create_trigger("after", relid, events, relation, false, TRIGGER_TYPE_AFTER, changes);
}

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

/* Where ENABLE TRIGGER ALL has left it firing but not always. */
static void
have_fire_always(Oid relation, const Capturer *capturer)
{
	Relation	rel = relation_open(relation, ShareRowExclusiveLock);

	EnableDisableTrigger(rel, capturer->name, TRIGGER_FIRES_ALWAYS, false, ShareRowExclusiveLock);
	relation_close(rel, NoLock);
}

/* A member of a list for a continuous table and an event table of it, or NULL. */
static Capturer *
find_capturer(List *list, Oid relid, Oid events)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		Capturer   *capturer = lfirst(lc);

		if (capturer->relid == relid && capturer->events == events)
			return capturer;
	}
	return NULL;
}

/* What there is to be: for each event table that a relation is, or is a partition of. */
static List *
wanted_capturers(Oid relation)
{
	List	   *tables = list_make1_oid(relation);
	List	   *wanted = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	if (get_rel_relispartition(relation))
		tables = list_concat(tables, get_partition_ancestors(relation));
	foreach(lc, tables)
		foreach(lc2, contime_source_dependents(lfirst_oid(lc)))
		{
			Capturer   *capturer = palloc0(sizeof(Capturer));

			capturer->relid = lfirst_oid(lc2);
			capturer->events = lfirst_oid(lc);
			wanted = lappend(wanted, capturer);
		}
	return wanted;
}

bool
contime_capture_fit(Oid relation)
{
	char		relkind = get_rel_relkind(relation);
	List	   *wanted;
	List	   *there;
	bool		complete = true;
	ListCell   *lc;

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		return true;
	wanted = wanted_capturers(relation);
	there = capturers(relation);
	foreach(lc, there)
	{
		const Capturer *capturer = lfirst(lc);

		if (find_capturer(wanted, capturer->relid, capturer->events) == NULL)
		{
			LockRelationOid(relation, ShareRowExclusiveLock);
			drop_trigger(capturer->oid);
		}
		else if (capturer->enabled == TRIGGER_FIRES_ON_ORIGIN)
			have_fire_always(relation, capturer);
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
	ListCell   *lc;

	/* Nobody attaches anything meanwhile. */
	LockRelationOid(events, ShareRowExclusiveLock);
	foreach(lc, find_all_inheritors(events, ShareRowExclusiveLock, NULL))
		(void) contime_capture_fit(lfirst_oid(lc));
}

/* Why the rows of one relation of an event table are not captured, or NULL. */
static const char *
relation_obstacle(Oid relid, Oid events, Oid relation)
{
	char		relkind = get_rel_relkind(relation);
	int			firing = 0;
	ListCell   *lc;

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		return "a partition is a foreign table";
	if (relation == events && has_superclass(relation))
		return "an event table is a partition or a child of another";
	foreach(lc, capturers(relation))
	{
		const Capturer *capturer = lfirst(lc);

		firing += capturer->relid == relid && capturer->events == events &&
			capturer->enabled == TRIGGER_FIRES_ALWAYS;
	}
	return firing == (relkind == RELKIND_RELATION ? 3 : 2) ? NULL
		: "a trigger of it is not there or disabled";
}

const char *
contime_capture_obstacle(Oid relid, Oid events, List **relations)
{
	List	   *tree = list_make1_oid(events);
	bool		detached = false;
	ListCell   *lc;

	LockRelationOid(events, AccessShareLock);
	foreach(lc, tree)
	{
		const char *obstacle = relation_obstacle(relid, events, lfirst_oid(lc));
		List	   *children = find_inheritance_children_extended(lfirst_oid(lc), false, AccessShareLock,
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

/* ---- the rows of a statement --------------------------------------------------------------- */

/* A partition, and how its rows become rows of the event table; NULL: as they are. */
typedef struct Part
{
	Oid			relid;
	TupleConversionMap *map;
} Part;

/* A row that came, or (retracts) went. */
typedef struct Captured
{
	HeapTuple	tuple;
	CtLabel		label;
	bool		retracts;
	bool		updated;		/* it takes the place of the one before */
} Captured;

/* A statement under way on an event table or a part of it, as one continuous table sees it. */
typedef struct Pending
{
	struct Pending *outer;
	Oid			relid;			/* the continuous table */
	Oid			events;
	SubTransactionId subid;
	ContimeGeneration *cache;	/* NULL: there is none */
	bool		frozen;			/* a row is that everyone sees at once */
	MemoryContext context;
	MemoryContext tuples;		/* reset with the rows */
	Captured   *row;
	int			nrows;
	int			capacity;
	Size		bytes;
	List	   *parts;			/* that rows came from */
	int			over;			/* when triggers of this depth are; 0: it goes on */
} Pending;

static Pending *pending = NULL;

static void
pending_remove(Pending *gone)
{
	Pending   **p = &pending;

	while (*p != gone)
		p = &(*p)->outer;
	*p = gone->outer;
	MemoryContextDelete(gone->context);
}

/* How many triggers are under way, each fired by what the one before does. */
static int
trigger_depth(void)
{
	return DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0));
}

/* Forget those that are over. */
static void
pending_tidy(void)
{
	int			depth = pending ? trigger_depth() : 0;
	Pending    *outer;

	for (Pending *p = pending; p; p = outer)
	{
		outer = p->outer;
		if (p->over > depth)
			pending_remove(p);
	}
}

/* Statements of a transaction that has ended, or of a part of it, are over. */
static void
on_xact_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		pending = NULL;
}

static void
on_subxact_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (pending && pending->subid >= mine)
			pending_remove(pending);
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (Pending *p = pending; p; p = p->outer)
			if (p->subid == mine)
				p->subid = parent;
}

/*
 * Not for long: DDL may wait for who writes.  But a loader that wants a table
 * for itself soon lets go again.
 */
static bool
lock_briefly(Oid relid)
{
	for (int waited_ms = 0; !ConditionalLockRelationOid(relid, AccessShareLock); waited_ms += 5)
	{
		if (waited_ms >= MOST_WAITED_MS)
			return false;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(5000);
	}
	return true;
}

/*
 * The cache that rows go to, locked so that it stays, and the event table if
 * the statement is one on a partition.
 */
static ContimeGeneration *
cache_of(Oid relid, Oid events, Oid named)
{
	if (contime_cache_capturing(relid) == NULL)
		return NULL;
	if (!lock_briefly(relid) || (named != events && !lock_briefly(events)))
	{
		contime_cache_break(relid, "it was locked as rows were written");
		return NULL;
	}
	return contime_cache_capturing(relid);
}

/* A statement that names an event table, or a partition of it. */
static Pending *
pending_begin(Oid relid, Oid events, Oid named)
{
	static bool registered = false;
	MemoryContext context = AllocSetContextCreate(TopTransactionContext, "contime capture",
												  ALLOCSET_DEFAULT_SIZES);
	Pending    *p = MemoryContextAlloc(context, sizeof(Pending));

	if (!registered)
	{
		RegisterXactCallback(on_xact_end, NULL);
		RegisterSubXactCallback(on_subxact_end, NULL);
		registered = true;
	}
	p->relid = relid;
	p->events = events;
	p->subid = GetCurrentSubTransactionId();
	p->cache = cache_of(relid, events, named);
	p->frozen = false;
	p->context = context;
	p->tuples = AllocSetContextCreate(context, "contime captured rows", ALLOCSET_DEFAULT_SIZES);
	p->nrows = 0;
	p->capacity = 8;
	p->row = MemoryContextAlloc(context, p->capacity * sizeof(Captured));
	p->bytes = 0;
	p->parts = NIL;
	p->over = 0;
	p->outer = pending;
	pending = p;
	return p;
}

static Pending *
pending_find(Oid relid, Oid events)
{
	Pending    *p;

	pending_tidy();
	p = pending;
	while (p && (p->relid != relid || p->events != events))
		p = p->outer;
	return p;
}

bool
contime_capture_pending(Oid relid)
{
	pending_tidy();
	for (Pending *p = pending; p; p = p->outer)
		if (p->relid == relid)
			return true;
	return false;
}

/* ---- rows become events ----------------------------------------------------------------------- */

static bool
same_label(const CtLabel *a, const CtLabel *b)
{
	return a->xid == b->xid && a->cid == b->cid;
}

/* What a source makes of the rows, in the order in which they came. */
static void
link_source(const Pending *p, Relation rel, const ContimeTable *table,
			const ContimeSource *source, TupleTableSlot *slot)
{
	ContimeEvents *events = contime_events_begin(table, source);
	ContimeIngest *ingest = contime_ingest_begin(rel);
	ContimeIdentity before = contime_source_switch(table);
	int			last = -1;		/* row that gave an event last */

	contime_ingest_leave_out(ingest);
	for (int i = 0; i < p->nrows; i++)
	{
		const Captured *row = &p->row[i];
		Datum	   *values;
		bool	   *isnull;

		if (i > 0 && !same_label(&row->label, &row[-1].label))
			contime_ingest_link(ingest, p->cache, &row[-1].label);
		ExecStoreHeapTuple(row->tuple, slot, false);
		if (!contime_events_row(events, slot, &values, &isnull))
			continue;
		if (!contime_ingest_encode(ingest, source->kind, source->columns, values, isnull,
								   row->retracts))
			continue;
		if (row->updated && last == i - 1)
			contime_ingest_cancel(ingest);
		last = i;
	}
	contime_ingest_link(ingest, p->cache, &p->row[p->nrows - 1].label);
	contime_switch_back(&before);
	contime_events_end(events);
}

static void
link_rows(const Pending *p)
{
	Relation	rel = relation_open(p->relid, NoLock);
	Relation	events = relation_open(p->events, NoLock);
	const ContimeTable *table = contime_table(rel);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(events), &TTSOpsHeapTuple);

	for (const ContimeSource *source = table->source; source; source = source->next)
		if (source->events == p->events)
			link_source(p, rel, table, source, slot);
	ExecDropSingleTupleTableSlot(slot);
	relation_close(events, NoLock);
	relation_close(rel, NoLock);
}

/*
 * Try it in a subtransaction.  An error gives the cache up and is nobody
 * else's: who reads the heap will meet it.
 */
static void
try_link_rows(Pending *p)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(p->tuples);
	PG_TRY();
	{
		link_rows(p);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(p->context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		contime_cache_break(p->relid, error->message);
		p->cache = NULL;
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
}

static void
pending_flush(Pending *p)
{
	if (p->cache && p->frozen)
	{
		contime_cache_break(p->relid, "rows were frozen as they were written");
		p->cache = NULL;
	}
	if (p->cache && p->nrows > 0 && !contime_room_to_grow())
	{
		contime_cache_break(p->relid, "it has outgrown its part of contime.memory");
		p->cache = NULL;
	}
	if (p->cache && p->nrows > 0)
		try_link_rows(p);
	MemoryContextReset(p->tuples);
	p->nrows = 0;
	p->bytes = 0;
}

/* ---- the trigger ---------------------------------------------------------------------------------- */

/* How rows of a partition become rows of the event table. */
static TupleConversionMap *
conversion(Pending *p, Relation part)
{
	MemoryContext caller;
	Relation	events;
	Part	   *found;

	for (int i = 0; i < list_length(p->parts); i++)
	{
		found = list_nth(p->parts, i);
		if (found->relid != RelationGetRelid(part))
			continue;

		/* The next row is probably one of the same. */
		lfirst(list_nth_cell(p->parts, i)) = linitial(p->parts);
		linitial(p->parts) = found;
		return found->map;
	}

	caller = MemoryContextSwitchTo(p->context);
	events = relation_open(p->events, NoLock);
	found = palloc(sizeof(Part));
	found->relid = RelationGetRelid(part);
	found->map = convert_tuples_by_name(RelationGetDescr(part), RelationGetDescr(events));
	if (found->map)
	{
		/* It outlives what the relation cache has. */
		found->map->indesc = CreateTupleDescCopyConstr(RelationGetDescr(part));
		found->map->outdesc = CreateTupleDescCopyConstr(RelationGetDescr(events));
	}
	relation_close(events, NoLock);
	p->parts = lappend(p->parts, found);
	MemoryContextSwitchTo(caller);
	return found->map;
}

static void
keep(Pending *p, Relation rel, HeapTuple tuple, bool retracts, bool updated)
{
	TransactionId xid = retracts ? HeapTupleHeaderGetUpdateXid(tuple->t_data)
		: HeapTupleHeaderGetXmin(tuple->t_data);
	TupleConversionMap *map = RelationGetRelid(rel) == p->events ? NULL : conversion(p, rel);
	MemoryContext caller;
	Captured   *row;

	if (!TransactionIdIsNormal(xid))
	{
		p->frozen = true;
		return;
	}
	if (p->nrows == p->capacity)
	{
		p->capacity *= 2;
		p->row = repalloc(p->row, p->capacity * sizeof(Captured));
	}
	row = &p->row[p->nrows];
	caller = MemoryContextSwitchTo(p->tuples);
	row->label.top = U64FromFullTransactionId(GetTopFullTransactionId());
	row->label.xid = contime_widen(xid);
	row->label.cid = retracts ? HeapTupleHeaderGetCmax(tuple->t_data)
		: HeapTupleHeaderGetCmin(tuple->t_data);
	row->label.ended = contime_ended(row->label.top);
	row->retracts = retracts;
	row->updated = updated;
	row->tuple = map ? execute_attr_map_tuple(tuple, map) : heap_copytuple(tuple);
	p->nrows++;
	p->bytes += row->tuple->t_len;
	MemoryContextSwitchTo(caller);
}

/* (A row that moves to another partition is deleted in the one and inserted in the other.) */
static void
capture_row(const TriggerData *trigger, Oid relid, Oid events)
{
	Relation	rel = trigger->tg_relation;
	Pending    *p = pending_find(relid, events);
	bool		alone = p == NULL;	/* as when changes are replicated */

	if (alone && contime_cache_capturing(relid) == NULL)
		return;
	if (alone)
		p = pending_begin(relid, events, RelationGetRelid(rel));
	if (p->cache)
	{
		if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
			keep(p, rel, trigger->tg_trigtuple, false, false);
		else
			keep(p, rel, trigger->tg_trigtuple, true, false);
		if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
			keep(p, rel, trigger->tg_newtuple, false, true);
		if (alone || p->over > 0 || p->frozen || p->nrows >= MOST_ROWS - 1 || p->bytes >= MOST_BYTES)
			pending_flush(p);
	}
	if (alone)
		pending_remove(p);
}

/*
 * A statement's rows are captured.  But a foreign key may have more written in
 * its name, which is not said before, as long as triggers of this depth are
 * fired.
 */
static void
statement_captured(Pending *p)
{
	pending_flush(p);
	for (const Pending *other = pending; other && p->over == 0; other = other->outer)
		if (other->relid == p->relid && other->over > 0)
		{
			pending_remove(p);
			return;
		}
	p->over = trigger_depth();
}

static void
capture_statement(const TriggerData *trigger, Oid relid, Oid events)
{
	Pending    *p;

	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		contime_cache_change(relid, events);
	else if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
		(void) pending_begin(relid, events, RelationGetRelid(trigger->tg_relation));
	else if ((p = pending_find(relid, events)) != NULL)
		statement_captured(p);
}

/* contime.capture(): see above */
Datum
contime_capture(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = (const TriggerData *) fcinfo->context;
	Oid			relid;
	Oid			events;

	if (!CALLED_AS_TRIGGER(fcinfo) || !trigger->tg_trigger->tgisinternal ||
		trigger->tg_trigger->tgnargs != 2)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("contime.capture() is a trigger of continuous tables"),
				 errhint("It is created with a continuous table that has option events.")));

	/* Without shared memory there is no cache that could miss the row. */
	if (contime_shared == NULL)
		return PointerGetDatum(NULL);
	relid = atooid(trigger->tg_trigger->tgargs[0]);
	events = atooid(trigger->tg_trigger->tgargs[1]);
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		capture_row(trigger, relid, events);
	else
		capture_statement(trigger, relid, events);
	return PointerGetDatum(NULL);
}
