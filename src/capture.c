/*
 * capture.c
 *	  Rows of event tables become recent events as they are written.
 *
 *	  INSERT, UPDATE, DELETE ─► row triggers ─► rows of the statement
 *	  end of the statement   ─► events and retractions, labelled as the rows
 *	                            are in the heap ─► the cache (cache.c)
 *
 * A durable table has three triggers on each event table that can be cached:
 * before and after a statement, and after a row.  They are internal ones: not
 * dumped, not shown, and nobody drops or disables them by accident.  They fire
 * always, for what is replicated, too.
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

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

PG_FUNCTION_INFO_V1(contime_capture);

/* Rows of a statement that are kept before they become events. */
#define MOST_ROWS 4096
#define MOST_BYTES ((Size) 1024 * 1024)

/* Sorts before the triggers of users, who may read what was captured. */
#define TRIGGER_NAME "!contime_%s"

/* ---- the triggers ------------------------------------------------------------------------ */

/*
 * Statements name the relations whose statement triggers are fired.  Rows of a
 * partition, or of a child, are written by statements that name its parent.
 */
bool
contime_can_capture(Relation events)
{
	return events->rd_rel->relkind == RELKIND_RELATION &&
		!events->rd_rel->relispartition && !events->rd_rel->relhassubclass &&
		!has_superclass(RelationGetRelid(events));
}

/* Is it one of those that a continuous table has on a relation? */
static bool
is_ours(const Trigger *trigger, Oid function, Oid relid)
{
	return trigger->tgisinternal && trigger->tgfoid == function && trigger->tgnargs == 1 &&
		atooid(trigger->tgargs[0]) == relid;
}

static Oid
capture_function(void)
{
	return LookupFuncName(list_make2(makeString("contime"), makeString("capture")), 0, NULL, false);
}

static void
create_trigger(const char *name, Oid relid, Relation events, bool row, int16 timing, int16 on)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);
	ObjectAddress trigger;
	ObjectAddress table;

	stmt->trigname = psprintf(TRIGGER_NAME, name);
	stmt->funcname = list_make2(makeString("contime"), makeString("capture"));
	stmt->args = list_make1(makeString(psprintf("%u", relid)));
	stmt->row = row;
	stmt->timing = timing;
	stmt->events = on;
	trigger = CreateTriggerFiringOn(stmt, NULL, RelationGetRelid(events), InvalidOid, InvalidOid,
									InvalidOid, capture_function(), InvalidOid, NULL, true, false,
									TRIGGER_FIRES_ALWAYS);
	ObjectAddressSet(table, RelationRelationId, relid);
	recordDependencyOn(&trigger, &table, DEPENDENCY_INTERNAL);
}

/* How many triggers a continuous table has on it; firing: that fire always. */
static int
count_triggers(Relation events, Oid relid, bool firing)
{
	Oid			function = capture_function();
	int			count = 0;

	for (int i = 0; events->trigdesc && i < events->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &events->trigdesc->triggers[i];

		count += is_ours(trigger, function, relid) &&
			(!firing || trigger->tgenabled == TRIGGER_FIRES_ALWAYS);
	}
	return count;
}

bool
contime_captures(Relation events, Oid relid)
{
	return contime_can_capture(events) && count_triggers(events, relid, true) == 3;
}

/* Where ENABLE TRIGGER ALL has left them firing but not always. */
static void
have_fire_always(Relation events, Oid relid)
{
	Oid			function = capture_function();
	List	   *names = NIL;
	ListCell   *lc;

	for (int i = 0; events->trigdesc && i < events->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &events->trigdesc->triggers[i];

		if (is_ours(trigger, function, relid) && trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN)
			names = lappend(names, pstrdup(trigger->tgname));
	}
	foreach(lc, names)
		EnableDisableTrigger(events, lfirst(lc), TRIGGER_FIRES_ALWAYS, false, ShareRowExclusiveLock);
	if (names)
		CommandCounterIncrement();
}

void
contime_capture_provide(Oid relid, Oid event_table)
{
	Relation	events = relation_open(event_table, AccessShareLock);

	if (contime_can_capture(events) && count_triggers(events, relid, false) == 0)
	{
		LockRelationOid(event_table, ShareRowExclusiveLock);
		create_trigger("before", relid, events, false, TRIGGER_TYPE_BEFORE,
					   TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE |
					   TRIGGER_TYPE_TRUNCATE);
		create_trigger("row", relid, events, true, TRIGGER_TYPE_AFTER,
					   TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE);
		create_trigger("after", relid, events, false, TRIGGER_TYPE_AFTER,
					   TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE);
		CommandCounterIncrement();
	}
	else
		have_fire_always(events, relid);
	relation_close(events, NoLock);
}

void
contime_capture_withdraw(Oid relid, Oid events)
{
	Relation	rel = relation_open(events, ShareRowExclusiveLock);
	Oid			function = capture_function();
	ObjectAddresses *triggers = new_object_addresses();

	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];
		ObjectAddress address;

		if (!is_ours(trigger, function, relid))
			continue;
		ObjectAddressSet(address, TriggerRelationId, trigger->tgoid);
		deleteDependencyRecordsForSpecific(TriggerRelationId, trigger->tgoid, DEPENDENCY_INTERNAL,
										   RelationRelationId, relid);
		add_exact_object_address(&address, triggers);
	}
	relation_close(rel, NoLock);
	CommandCounterIncrement();
	performMultipleDeletions(triggers, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	free_object_addresses(triggers);
}

/* ---- the rows of a statement --------------------------------------------------------------- */

/* A row that came, or (retracts) went. */
typedef struct Captured
{
	HeapTuple	tuple;
	CtLabel		label;
	bool		retracts;
	bool		updated;		/* it takes the place of the one before */
} Captured;

/* A statement under way on an event table, as one continuous table sees it. */
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
 * The cache that rows go to, locked so that it stays.  Nobody is waited for:
 * DDL on the continuous table may wait for who writes.
 */
static ContimeGeneration *
cache_of(Oid relid)
{
	if (contime_cache_capturing(relid) == NULL)
		return NULL;
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
	{
		contime_cache_break(relid, "it was locked as rows were written");
		return NULL;
	}
	return contime_cache_capturing(relid);
}

static Pending *
pending_begin(Oid relid, Oid events)
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
	p->cache = cache_of(relid);
	p->frozen = false;
	p->context = context;
	p->tuples = AllocSetContextCreate(context, "contime captured rows", ALLOCSET_DEFAULT_SIZES);
	p->nrows = 0;
	p->capacity = 8;
	p->row = MemoryContextAlloc(context, p->capacity * sizeof(Captured));
	p->bytes = 0;
	p->outer = pending;
	pending = p;
	return p;
}

static Pending *
pending_find(Oid relid, Oid events)
{
	Pending    *p = pending;

	while (p && (p->relid != relid || p->events != events))
		p = p->outer;
	return p;
}

bool
contime_capture_pending(Oid relid)
{
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
	ContimeIdentity before = contime_become_owner(table->owner);
	int			last = -1;		/* row that gave an event last */

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
		contime_ingest_encode(ingest, source->kind, source->columns, values, isnull, row->retracts);
		if (row->updated && last == i - 1)
			contime_ingest_cancel(ingest);
		last = i;
	}
	contime_ingest_link(ingest, p->cache, &p->row[p->nrows - 1].label);
	contime_become(&before);
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
	if (p->cache && p->nrows > 0)
		try_link_rows(p);
	MemoryContextReset(p->tuples);
	p->nrows = 0;
	p->bytes = 0;
}

/* ---- the trigger ---------------------------------------------------------------------------------- */

static void
keep(Pending *p, HeapTuple tuple, bool retracts, bool updated)
{
	TransactionId xid = retracts ? HeapTupleHeaderGetUpdateXid(tuple->t_data)
		: HeapTupleHeaderGetXmin(tuple->t_data);
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
	row->tuple = heap_copytuple(tuple);
	p->nrows++;
	p->bytes += tuple->t_len;
	MemoryContextSwitchTo(caller);
}

static void
capture_row(const TriggerData *trigger, Oid relid)
{
	Oid			events = RelationGetRelid(trigger->tg_relation);
	Pending    *p = pending_find(relid, events);
	bool		alone = p == NULL;	/* as when changes are replicated */

	if (alone)
		p = pending_begin(relid, events);
	if (p->cache)
	{
		if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
			keep(p, trigger->tg_trigtuple, false, false);
		else
			keep(p, trigger->tg_trigtuple, true, false);
		if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
			keep(p, trigger->tg_newtuple, false, true);
		if (alone || p->frozen || p->nrows >= MOST_ROWS - 1 || p->bytes >= MOST_BYTES)
			pending_flush(p);
	}
	if (alone)
		pending_remove(p);
}

/* contime.capture(): see above */
Datum
contime_capture(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = (const TriggerData *) fcinfo->context;
	Oid			relid;
	Oid			events;

	if (!CALLED_AS_TRIGGER(fcinfo) || !trigger->tg_trigger->tgisinternal ||
		trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("contime.capture() is a trigger of continuous tables"),
				 errhint("It is created with a continuous table that has option events.")));
	relid = atooid(trigger->tg_trigger->tgargs[0]);
	events = RelationGetRelid(trigger->tg_relation);
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		capture_row(trigger, relid);
	else if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		contime_cache_renew(relid);
	else if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
		(void) pending_begin(relid, events);
	else
	{
		Pending    *p = pending_find(relid, events);

		if (p)
		{
			pending_flush(p);
			pending_remove(p);
		}
	}
	return PointerGetDatum(NULL);
}
