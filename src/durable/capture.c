/*
 * capture.c
 *	  Rows of event tables become recent events as they are written.
 *
 *	  INSERT, UPDATE, DELETE ─► row triggers ─► captured rows
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
 * So a snapshot sees the event when it sees the row.
 *
 * Two things are kept apart.  Rows that are captured and not in the cache yet
 * lie in one buffer for each continuous table and event table, in the order in
 * which they were captured, whatever statement wrote them.  And while a
 * statement is under way, the event table may have rows that are not captured
 * yet: until it ends, this backend reads the continuous table from its event
 * tables.
 *
 * A statement is identified by its query level, as in PostgreSQL's queue of
 * AFTER triggers.  A statement that runs inside a function or a trigger has a
 * level of its own.  A query of a foreign key's trigger has none: its triggers
 * are queued with those of the statement outside.  Counting BEFORE and AFTER
 * triggers, or their depth, would not do: a statement may fire BEFORE
 * STATEMENT triggers of several kinds, or none at all, or one for many
 * cascaded deletes, and a function in its plan runs at the same trigger depth.
 *
 *	  BEFORE STATEMENT ─► enter_level ──────┐
 *	  AFTER ROW ────────► capture_row       ├─ rows ─► flush ─► the cache
 *	  AFTER STATEMENT ──► flush             │
 *	  end of the level ─► leave_level ──────┘
 *
 * Invariants:
 *
 * C1. `level` is the number of calls on the C stack that run the plan of a
 *     statement or fire its AFTER triggers, of statements that write and have a
 *     queue of AFTER triggers of their own.  (ExecutorRun, ExecutorFinish and
 *     COPY FROM; an error takes its calls off the stack.)
 * C2. A capture exists exactly while one of its levels is under way, and
 *     levels[] are those at which its event table has fired a BEFORE STATEMENT
 *     trigger, in ascending order.  An entry is made by that trigger, once for
 *     a level, and removed by the end of that level: nothing else can leave it
 *     there, or take another one's.
 * C3. From the write of a row to the end of its level there is a capture, so
 *     this backend reads the event tables: a statement fires its BEFORE
 *     STATEMENT triggers before it writes, and its AFTER ROW triggers at its
 *     own level, before ExecutorFinish or COPY returns.
 * C4. A capture that ends normally has no rows left: leave_level flushes them.
 *     If it ends by an error, its rows are rolled back: the code that catches
 *     the error rolls back a subtransaction that began outside the level.
 * C5. While a buffer has rows, the top-level transaction is noted in the
 *     cache's generation (durable/unflushed.c).  If other code breaks C1 to C4
 *     and the transaction commits, the next reader finds the note and gives
 *     the cache up.
 *
 * Rows of a subtransaction that was rolled back may stay in the buffer of an
 * outer statement: flush leaves them out.  A row for which no BEFORE STATEMENT
 * trigger has fired, as when a subscription applies changes, is flushed at
 * once.
 *
 * If an error occurs while rows become events, the cache is given up and the
 * event tables are read; the writer goes on.
 *
 * Not here: what a row means (source.c, durable/heap_read.c), the life of a cache
 * (cache.c), the notes of C5 (durable/unflushed.c).
 */
#include "postgres.h"

#include "durable/durable.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "access/relation.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/resowner.h"

PG_FUNCTION_INFO_V1(contime_capture);
/* Rows that are kept before they become events. */
#define MOST_ROWS 4096
#define MOST_BYTES ((Size) 1024 * 1024)

/* How long a lock is waited for: longer than a loader waits (cache.c). */
#define MOST_WAITED_MS 150

/* ---- captured rows ----------------------------------------------------------- */

/* A partition, and how its rows become rows of the event table; NULL: as they are. */
typedef struct Part
{
	Oid relid;
	TupleConversionMap *map;
} Part;

/* A row that came, or (retracts) went. */
typedef struct Captured
{
	HeapTuple tuple;
	CtLabel label;
	bool retracts;
	bool updated; /* it takes the place of the one before */
} Captured;

/* Captured rows that are not in the cache, in the order in which they were captured. */
typedef struct Rows
{
	MemoryContext context; /* of all that follows; NULL: there are none */
	Captured *row;
	int count;
	int capacity;
	Size bytes;
} Rows;

/* The statements under way that write to an event table, for one continuous table (C2). */
typedef struct Capture
{
	struct Capture *next;
	Oid relid; /* the continuous table */
	Oid events;
	List *levels;             /* ascending */
	ContimeGeneration *cache; /* NULL: there is none */
	bool frozen;              /* a row was written frozen: every snapshot sees it */
	MemoryContext context;
	Rows rows;
	pg_atomic_uint64 *note; /* of C5, or NULL */
	List *parts;            /* that rows came from */
} Capture;

static Capture *captures = NULL;
static int level = 0;

static Capture *
find_capture(Oid relid, Oid events)
{
	Capture *capture = captures;

	while (capture && (capture->relid != relid || capture->events != events))
		capture = capture->next;
	return capture;
}

bool
contime_capture_pending(Oid relid)
{
	for (const Capture *capture = captures; capture; capture = capture->next)
		if (capture->relid == relid)
			return true;
	return false;
}

/* The level of the innermost statement. */
static int
capture_level(const Capture *capture)
{
	Assert(capture->levels != NIL); /* C2 */
	return llast_int(capture->levels);
}

static void
enter_level(Capture *capture)
{
	MemoryContext caller = MemoryContextSwitchTo(capture->context);

	/* (An error between ExecutorRun and ExecutorFinish may have left a higher one.) */
	while (capture->levels != NIL && capture_level(capture) > level)
		capture->levels = list_delete_last(capture->levels);
	if (capture->levels == NIL || capture_level(capture) < level)
		capture->levels = lappend_int(capture->levels, level);
	Assert(capture_level(capture) == level); /* C2 */
	MemoryContextSwitchTo(caller);
}

/* Clear the note: the rows have been flushed, or are rolled back. */
static void
drop_note(Capture *capture)
{
	if (capture->note)
		contime_unflushed_clear(capture->note);
	capture->note = NULL;
}

static void
delete_capture(Capture *gone)
{
	Capture **p = &captures;

	Assert(gone->levels == NIL); /* C2 */
	while (*p != gone)
		p = &(*p)->next;
	*p = gone->next;
	if (gone->rows.count == 0)
		drop_note(gone);
	MemoryContextDelete(gone->context);
}

/* Remove the levels >= from, which are over, and with its last level the capture. */
static void
cut_levels(Capture *capture, int from)
{
	while (capture->levels != NIL && capture_level(capture) >= from)
		capture->levels = list_delete_last(capture->levels);
	if (capture->levels == NIL)
		delete_capture(capture);
}

/* The levels >= from have ended by an error (C4). */
static void
abandon_levels(int from)
{
	Capture *next;

	Assert(from > 0); /* at 0 there is no statement */
	for (Capture *capture = captures; capture; capture = next)
	{
		next = capture->next;
		if (linitial_int(capture->levels) >= from)
			drop_note(capture);
		cut_levels(capture, from);
	}
}

/* If rows are left at COMMIT or PREPARE, C1 to C4 did not hold, and their note stays (C5). */
static void
on_xact_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		for (Capture *capture = captures; capture; capture = capture->next)
			drop_note(capture);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		for (Capture *capture = captures; capture; capture = capture->next)
			Assert(capture->rows.count == 0 || contime_debug_skip_flush);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		captures = NULL;
}

/* (An error between ExecutorRun and ExecutorFinish passes neither of them.) */
static void
on_subxact_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		abandon_levels(level + 1);
}

/*
 * Wait a short time only, since DDL may wait for this writer. A loader that
 * holds the lock releases it soon.
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

/* `named` is the table that the statement names: the event table, or a partition of it. */
static Capture *
begin_capture(Oid relid, Oid events, Oid named)
{
	ContimeGeneration *cache = cache_of(relid, events, named);
	MemoryContext context =
		AllocSetContextCreate(TopTransactionContext, "contime capture", ALLOCSET_DEFAULT_SIZES);
	Capture *capture = MemoryContextAllocZero(context, sizeof(Capture));

	Assert(find_capture(relid, events) == NULL); /* C2 */
	capture->relid = relid;
	capture->events = events;
	capture->cache = cache;
	capture->context = context;
	capture->next = captures;
	captures = capture;
	return capture;
}

/* ---- rows become events ------------------------------------------------------ */

static bool
same_label(const CtLabel *a, const CtLabel *b)
{
	return a->xid == b->xid && a->cid == b->cid;
}

/* Link what is encoded, with the label of the rows that it was made of. */
static void
link_encoded(ContimeRows *encoded, const Capture *capture, const CtLabel *label)
{
	contime_link(encoded, capture->cache, label);
	contime_rows_reset(encoded);
}

/* Link the events that a source makes of the rows, in the order in which they were captured. */
static void
link_source(const Capture *capture, const Rows *rows, const ContimeTable *table,
			const ContimeSource *source, TupleTableSlot *slot)
{
	ContimeEvents *events = contime_events_begin(table, source);
	ContimeRows *encoded = contime_rows_begin(table);
	ContimeIdentity before = contime_source_switch(table);
	const CtLabel *label = NULL; /* of the rows at hand */
	bool current = false;        /* are these not rolled back? */
	int last = -1;               /* row that gave an event last */

	encoded->leaves_out = true;
	for (int i = 0; i < rows->count; i++)
	{
		const Captured *row = &rows->row[i];
		Datum *values;
		bool *isnull;

		if (label == NULL || !same_label(&row->label, label))
		{
			if (label)
				link_encoded(encoded, capture, label);
			label = &row->label;
			current = TransactionIdIsCurrentTransactionId((TransactionId) label->xid);
		}
		if (!current)
			continue;
		ExecStoreHeapTuple(row->tuple, slot, false);
		if (!contime_events_row(events, slot, &values, &isnull))
			continue;
		if (!contime_rows_encode_source(encoded, source->kind, source->columns, values, isnull,
										row->retracts))
			continue;
		if (row->updated && last == i - 1)
			contime_rows_cancel(encoded);
		last = i;
	}
	link_encoded(encoded, capture, label);
	contime_switch_back(&before);
	contime_events_end(events);
}

static void
link_rows(const Capture *capture, const Rows *rows)
{
	Relation rel = relation_open(capture->relid, NoLock);
	Relation events = relation_open(capture->events, NoLock);
	const ContimeTable *table = contime_table(rel);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(events), &TTSOpsHeapTuple);

	for (const ContimeSource *source = table->source; source; source = source->next)
		if (source->events == capture->events)
			link_source(capture, rows, table, source, slot);
	ExecDropSingleTupleTableSlot(slot);
	relation_close(events, NoLock);
	relation_close(rel, NoLock);
}

/*
 * Link the rows in a subtransaction. If that raises an error, the cache is
 * broken and the writer goes on; a reader of the event table meets the same
 * error.
 */
static void
try_link_rows(Capture *capture, const Rows *rows)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	Assert(capture->cache != NULL && rows->count > 0);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(rows->context);
	PG_TRY();
	{
		link_rows(capture, rows);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(capture->context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		contime_cache_break(capture->relid, error->message);
		capture->cache = NULL;
		if (contime_is_interrupt(error))
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
}

static void
give_up(Capture *capture, const char *reason)
{
	contime_cache_break(capture->relid, reason);
	capture->cache = NULL;
}

/*
 * Take the rows out of the buffer first: a function that a source calls might
 * write to the event table itself.
 */
static void
flush(Capture *capture)
{
	Rows rows = capture->rows;

	if (contime_debug_skip_flush)
		return;
	memset(&capture->rows, 0, sizeof(Rows));
	if (capture->cache && capture->frozen)
		give_up(capture, "rows were frozen as they were written");
	if (capture->cache && rows.count > 0 && !contime_budget_grows(capture->cache))
		give_up(capture, "it has outgrown its part of contime.memory");
	if (capture->cache && rows.count > 0)
		try_link_rows(capture, &rows);
	if (rows.context)
		MemoryContextDelete(rows.context);
	drop_note(capture);
}

/* ---- query levels ------------------------------------------------------------ */

static ExecutorRun_hook_type prev_ExecutorRun = NULL;
static ExecutorFinish_hook_type prev_ExecutorFinish = NULL;
static ProcessUtility_hook_type prev_ProcessUtility = NULL;

/*
 * A query that only reads needs no level, as it fires no triggers itself.  One
 * that a foreign key's trigger runs has none of its own: PostgreSQL queues its
 * AFTER triggers with those of the statement outside.
 */
static bool
has_level(const QueryDesc *query)
{
	return (query->operation != CMD_SELECT || query->plannedstmt->hasModifyingCTE) &&
		   (query->estate->es_top_eflags & EXEC_FLAG_SKIP_TRIGGERS) == 0;
}

/* The level at hand ends: all AFTER triggers of its statement have fired. */
static void
leave_level(void)
{
	Capture *capture = captures;

	Assert(level > 0); /* C1 */
	while (capture)
	{
		if (capture_level(capture) < level)
		{
			capture = capture->next;
			continue;
		}
		if (capture->rows.count > 0)
			flush(capture);
		cut_levels(capture, level);
		capture = captures;
	}
}

static void
call_run(QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once)
{
	if (prev_ExecutorRun)
		prev_ExecutorRun(query, direction, count, execute_once);
	else
		standard_ExecutorRun(query, direction, count, execute_once);
}

static void
run_in_level(QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once)
{
	if (!has_level(query))
	{
		call_run(query, direction, count, execute_once);
		return;
	}
	level++;
	PG_TRY();
	{
		call_run(query, direction, count, execute_once);
	}
	PG_CATCH();
	{
		abandon_levels(level--);
		PG_RE_THROW();
	}
	PG_END_TRY();
	level--;
}

static void
call_finish(QueryDesc *query)
{
	if (prev_ExecutorFinish)
		prev_ExecutorFinish(query);
	else
		standard_ExecutorFinish(query);
}

static void
finish_in_level(QueryDesc *query)
{
	if (!has_level(query))
	{
		call_finish(query);
		return;
	}
	level++;
	PG_TRY();
	{
		call_finish(query);
		leave_level();
	}
	PG_CATCH();
	{
		abandon_levels(level--);
		PG_RE_THROW();
	}
	PG_END_TRY();
	level--;
}

static void
call_utility(PlannedStmt *stmt, const char *text, bool read_only, ProcessUtilityContext context,
			 ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
			 QueryCompletion *completion)
{
	if (prev_ProcessUtility)
		prev_ProcessUtility(stmt, text, read_only, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(stmt, text, read_only, context, params, environment, dest,
								completion);
}

/* COPY FROM is the only utility command that fires triggers for rows outside the executor. */
static void
copy_in_level(PlannedStmt *stmt, const char *text, bool read_only, ProcessUtilityContext context,
			  ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
			  QueryCompletion *completion)
{
	if (!IsA(stmt->utilityStmt, CopyStmt) || !((CopyStmt *) stmt->utilityStmt)->is_from)
	{
		call_utility(stmt, text, read_only, context, params, environment, dest, completion);
		return;
	}
	level++;
	PG_TRY();
	{
		call_utility(stmt, text, read_only, context, params, environment, dest, completion);
		leave_level();
	}
	PG_CATCH();
	{
		abandon_levels(level--);
		PG_RE_THROW();
	}
	PG_END_TRY();
	level--;
}

void
contime_capture_install_hooks(void)
{
	prev_ExecutorRun = ExecutorRun_hook;
	ExecutorRun_hook = run_in_level;
	prev_ExecutorFinish = ExecutorFinish_hook;
	ExecutorFinish_hook = finish_in_level;
	prev_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = copy_in_level;
	RegisterXactCallback(on_xact_end, NULL);
	RegisterSubXactCallback(on_subxact_end, NULL);
}

/* ---- the trigger ------------------------------------------------------------- */

/* How rows of a partition become rows of the event table. */
static TupleConversionMap *
find_conversion(Capture *capture, Relation part)
{
	MemoryContext caller;
	Relation events;
	Part *found;

	for (int i = 0; i < list_length(capture->parts); i++)
	{
		found = list_nth(capture->parts, i);
		if (found->relid != RelationGetRelid(part))
			continue;

		/* The next row is probably one of the same. */
		lfirst(list_nth_cell(capture->parts, i)) = linitial(capture->parts);
		linitial(capture->parts) = found;
		return found->map;
	}

	caller = MemoryContextSwitchTo(capture->context);
	events = relation_open(capture->events, NoLock);
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
	capture->parts = lappend(capture->parts, found);
	MemoryContextSwitchTo(caller);
	return found->map;
}

/* The next place in the buffer. */
static Captured *
next_row(Capture *capture)
{
	Rows *rows = &capture->rows;

	if (rows->context == NULL)
	{
		rows->context = AllocSetContextCreate(capture->context, "contime captured rows",
											  ALLOCSET_DEFAULT_SIZES);
		rows->capacity = 8;
		rows->row = MemoryContextAlloc(rows->context, rows->capacity * sizeof(Captured));
	}
	Assert(rows->count <= rows->capacity);
	if (rows->count == rows->capacity)
	{
		rows->capacity *= 2;
		rows->row = repalloc(rows->row, rows->capacity * sizeof(Captured));
	}
	return &rows->row[rows->count];
}

static void
keep_row(Capture *capture, Relation rel, HeapTuple tuple, bool retracts, bool updated)
{
	TransactionId xid = retracts ? HeapTupleHeaderGetUpdateXid(tuple->t_data)
								 : HeapTupleHeaderGetXmin(tuple->t_data);
	TupleConversionMap *map =
		RelationGetRelid(rel) == capture->events ? NULL : find_conversion(capture, rel);
	MemoryContext caller;
	Captured *row;

	Assert(capture->cache != NULL && capture->levels != NIL); /* C3 */
	if (!TransactionIdIsNormal(xid))
	{
		capture->frozen = true;
		return;
	}
	Assert(TransactionIdIsCurrentTransactionId(xid));
	if (capture->note == NULL)
		capture->note = contime_unflushed_note(capture->cache);
	row = next_row(capture);
	caller = MemoryContextSwitchTo(capture->rows.context);
	row->label.top = U64FromFullTransactionId(GetTopFullTransactionId());
	row->label.xid = contime_full_xid(xid);
	row->label.cid =
		retracts ? HeapTupleHeaderGetCmax(tuple->t_data) : HeapTupleHeaderGetCmin(tuple->t_data);
	row->label.ended = contime_ended(row->label.top);
	Assert(row->label.xid >= row->label.top);
	row->retracts = retracts;
	row->updated = updated;
	row->tuple = map ? execute_attr_map_tuple(tuple, map) : heap_copytuple(tuple);
	capture->rows.count++;
	capture->rows.bytes += row->tuple->t_len;
	MemoryContextSwitchTo(caller);
}

/* Must the rows be flushed before the statement ends?  Without a note (C5) they must. */
static bool
is_full(const Capture *capture)
{
	return capture->frozen || capture->note == NULL || capture->rows.count >= MOST_ROWS - 1 ||
		   capture->rows.bytes >= MOST_BYTES;
}

/* (A row that moves to another partition is deleted in the one and inserted in the other.) */
static void
capture_row(const TriggerData *trigger, Oid relid, Oid events)
{
	Relation rel = trigger->tg_relation;
	Capture *capture = find_capture(relid, events);
	bool alone = capture == NULL; /* as when changes are replicated */

	if (alone && contime_cache_capturing(relid) == NULL)
		return;
	if (alone)
	{
		capture = begin_capture(relid, events, RelationGetRelid(rel));
		enter_level(capture);
	}
	if (capture->cache)
	{
		if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
			keep_row(capture, rel, trigger->tg_trigtuple, false, false);
		else
			keep_row(capture, rel, trigger->tg_trigtuple, true, false);
		if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
			keep_row(capture, rel, trigger->tg_newtuple, false, true);
		if (alone || is_full(capture))
			flush(capture);
	}
	if (alone)
		cut_levels(capture, level);
}

static void
begin_statement(Oid relid, Oid events, Oid named)
{
	Capture *capture = find_capture(relid, events);

	if (capture == NULL)
		capture = begin_capture(relid, events, named);
	enter_level(capture);
}

/*
 * The level goes on: its statement may fire more triggers, also AFTER STATEMENT
 * triggers of another kind.  At level 0, where a subscription copies a table,
 * no hook sees the end of the level, so it ends here.
 */
static void
end_statement(Oid relid, Oid events)
{
	Capture *capture = find_capture(relid, events);

	if (capture == NULL)
		return;
	if (capture->rows.count > 0)
		flush(capture);
	if (level == 0)
		cut_levels(capture, 0);
}

static void
capture_statement(const TriggerData *trigger, Oid relid, Oid events)
{
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		contime_cache_change(relid, events);
	else if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
		begin_statement(relid, events, RelationGetRelid(trigger->tg_relation));
	else
		end_statement(relid, events);
}

/* contime.capture(): see above */
Datum
contime_capture(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = (const TriggerData *) fcinfo->context;
	Oid relid;
	Oid events;

	if (!CALLED_AS_TRIGGER(fcinfo) || !trigger->tg_trigger->tgisinternal ||
		trigger->tg_trigger->tgnargs != 2)
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
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
