/*
 * capture.c
 *	  Rows of event tables become recent events when they are written.
 *
 *	  INSERT, UPDATE, DELETE ─► row triggers ─► captured rows
 *	  end of the statement   ─► events and retractions, with the labels of the
 *	                            rows in the heap ─► the cache (cache.c)
 *
 * A durable table has triggers on each event table and its partitions: BEFORE and
 * AFTER STATEMENT, and AFTER ROW on relations that hold rows.  The triggers are
 * internal: pg_dump and psql do not show them, and DROP TRIGGER and DISABLE TRIGGER
 * USER skip them.  They fire ALWAYS, so also for replicated rows.  A statement fires
 * the statement triggers of the relation that it names, and each row the row triggers
 * of its partition.  The arguments of all these triggers name the event table.
 *
 * A captured row has the label of the row in the heap: the transaction and command
 * that inserted or deleted it.  So a snapshot sees the event if it sees the row.
 *
 * Captured rows that are not in the cache yet lie in a buffer.  There is one for each
 * pair of a continuous table and an event table, in the order of capture, for all
 * statements together.  While a statement runs, the event table may also have rows
 * that are not captured yet.  Until the statement ends, its backend reads the
 * continuous table from its event tables.
 *
 * A statement is identified by its query level, as in PostgreSQL's queue of AFTER
 * triggers.  A statement in a function or trigger has a level of its own.  A query of
 * a foreign key's trigger has none: its triggers are queued with those of the outer
 * statement.  Neither the number of BEFORE and AFTER triggers that have fired nor
 * their depth identifies a statement: it may fire BEFORE STATEMENT triggers of several
 * kinds, none, or one for many cascaded deletes, and a function in its plan runs at
 * the trigger depth of the statement itself.
 *
 *	  BEFORE STATEMENT ─► enter_level ──────┐
 *	  AFTER ROW ────────► capture_row       ├─ rows ─► flush_capture ─► the cache
 *	  AFTER STATEMENT ──► flush_capture     │
 *	  end of the level ─► leave_level ──────┘
 *
 * The states of a capture, changed by set_capture_state():
 *
 *	  begin_capture ─► EMPTY ─ keep_row ─► BUFFERED ─ flush_capture ─► EMPTY
 *	                     │                    │
 *	                     │ keep_row, of a row that every snapshot sees (COPY FREEZE)
 *	                     └────────┬───────────┘
 *	                              ▼
 *	                           FROZEN ─ flush_capture ─► UNCACHED
 *
 *	  EMPTY, BUFFERED ─ give_up, or begin_capture without a cache ─► UNCACHED
 *	  any state ─ end of the last level ─► deleted
 *
 * Invariants:
 *
 * C1. `level` is the number of calls on the C stack that run the plan of a statement
 *     or fire its AFTER triggers, of statements that write and have a queue of AFTER
 *     triggers of their own.  (ExecutorRun, ExecutorFinish and COPY FROM; an error
 *     removes its calls from the stack.)
 * C2. A capture exists exactly while one of its levels is running.  levels[] are the
 *     levels at which its event table has fired a BEFORE STATEMENT trigger, ascending.
 *     That trigger adds the entry, once for a level, and the end of the level removes
 *     it.  Nothing else leaves an entry behind or removes one of another level.
 * C3. From the write of a row to the end of its level there is a capture, so this
 *     backend reads the event tables: a statement fires its BEFORE STATEMENT triggers
 *     before it writes, and its AFTER ROW triggers at its own level, before
 *     ExecutorFinish or COPY returns.
 * C4. A capture that ends normally has no rows left: leave_level flushes them.  If it
 *     ends by an error, its rows are rolled back: the code that catches the error
 *     rolls back a subtransaction that began outside the level.
 * C5. While a buffer has rows, the top-level transaction is noted in the cache's
 *     generation (durable/unflushed.c).  If other code breaks C1 to C4 and the
 *     transaction commits, the next reader finds the note and breaks the cache.
 *
 * Rows of a subtransaction that was rolled back may stay in the buffer of an outer
 * statement: flush_capture() skips them.  A row for which no BEFORE STATEMENT trigger
 * has fired, for example one that a subscription applies, is flushed at once.
 *
 * If an error occurs while rows become events, the cache is broken, readers read the
 * event tables, and the writer continues.
 *
 * Not here: the meaning of a row (table/source.c, durable/heap_read.c), the states of a
 * cache (cache.c), the notes of C5 (durable/unflushed.c).
 */
#include "postgres.h"

#include "base/compat.h"
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

/* Limits of a buffer. */
#define MOST_ROWS 4096
#define MOST_BYTES ((Size) 1024 * 1024)

/* Limit of the wait for a lock: longer than a loader waits for one (cache.c). */
#define MOST_WAITED_MS 150

/* ---- captured rows ----------------------------------------------------------- */

/* A partition that rows came from. */
typedef struct Part
{
	Oid relid;
	TupleConversionMap *map; /* to rows of the event table, or NULL: the same columns */
} Part;

/* A row that was inserted, or (retracts) deleted. */
typedef struct Captured
{
	HeapTuple tuple;
	CtLabel label;
	bool retracts;
	bool updated; /* the new version of the row before it in the buffer */
} Captured;

/* The buffer: captured rows that are not in the cache, in the order of capture. */
typedef struct Rows
{
	MemoryContext context; /* of the rows, or NULL: there are none */
	Captured *row;
	int count;
	int capacity;
	Size bytes;
} Rows;

typedef enum CaptureState
{
	CAPTURE_EMPTY,    /* no row is in the buffer */
	CAPTURE_BUFFERED, /* rows are in the buffer */
	CAPTURE_FROZEN,   /* a row was written that every snapshot sees: no label says so */
	CAPTURE_UNCACHED, /* there is no cache, or it was broken: rows are not kept */
	CAPTURE_STATES
} CaptureState;

/* The running statements that write to an event table, for one continuous table (C2). */
typedef struct Capture
{
	struct Capture *next;
	CaptureState state;
	Oid relid; /* the continuous table */
	Oid events;
	List *levels;             /* ascending */
	ContimeGeneration *cache; /* NULL in the state UNCACHED only */
	MemoryContext context;
	Rows rows;
	pg_atomic_uint64 *note; /* of C5, or NULL */
	List *parts;            /* of Part */
} Capture;

static Capture *captures = NULL;
static int level = 0;

#define TO(state) (1 << CAPTURE_##state)

/* Change the state of a capture. */
static void
set_capture_state(Capture *capture, CaptureState to)
{
	static const char *const name[CAPTURE_STATES] = {"empty", "buffered", "frozen", "uncached"};
	static const uint8 allowed[CAPTURE_STATES] PG_USED_FOR_ASSERTS_ONLY = {
		[CAPTURE_EMPTY] = TO(BUFFERED) | TO(FROZEN) | TO(UNCACHED),
		[CAPTURE_BUFFERED] = TO(EMPTY) | TO(FROZEN) | TO(UNCACHED),
		[CAPTURE_FROZEN] = TO(UNCACHED),
	};

	Assert(allowed[capture->state] & 1 << to);
	Assert((capture->cache == NULL) == (to == CAPTURE_UNCACHED));
	elog(DEBUG2, "capture of relation %u for relation %u: %s -> %s", capture->events,
		 capture->relid, name[capture->state], name[to]);
	capture->state = to;
}

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

/* Return the level of the innermost statement. */
static int
get_capture_level(const Capture *capture)
{
	Assert(capture->levels != NIL); /* C2 */
	return llast_int(capture->levels);
}

static void
enter_level(Capture *capture)
{
	MemoryContext caller = MemoryContextSwitchTo(capture->context);

	/* An error between ExecutorRun and ExecutorFinish may have left a higher level. */
	while (capture->levels != NIL && get_capture_level(capture) > level)
		capture->levels = list_delete_last(capture->levels);
	if (capture->levels == NIL || get_capture_level(capture) < level)
		capture->levels = lappend_int(capture->levels, level);
	Assert(get_capture_level(capture) == level); /* C2 */
	MemoryContextSwitchTo(caller);
}

/* Clear the note, since the rows have been flushed or rolled back. */
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

/* Remove the levels >= from, which have ended.  Delete the capture if none is left. */
static void
cut_levels(Capture *capture, int from)
{
	while (capture->levels != NIL && get_capture_level(capture) >= from)
		capture->levels = list_delete_last(capture->levels);
	if (capture->levels == NIL)
		delete_capture(capture);
}

/* Remove the levels >= from, which have ended by an error (C4). */
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

/*
 * Forget all captures.  If one has rows at COMMIT or PREPARE, C1 to C4 did not hold, and
 * its note stays (C5).
 */
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

/* Handle an error between ExecutorRun and ExecutorFinish, which neither of them sees. */
static void
on_subxact_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		abandon_levels(level + 1);
}

/*
 * Lock a relation against DDL, or return false after MOST_WAITED_MS, since the DDL may
 * wait for this writer.  A loader that holds the lock releases it soon.
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
 * Return the cache that captures rows, or NULL if there is none.  Lock the continuous
 * table, so that the cache stays, and the event table if the statement names a
 * partition of it.  Break the cache if a lock cannot be had in time.
 */
static ContimeGeneration *
lock_capturing_cache(Oid relid, Oid events, Oid named)
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

/* Make a capture.  named: the relation that the statement names, events or a partition of it. */
static Capture *
begin_capture(Oid relid, Oid events, Oid named)
{
	ContimeGeneration *cache = lock_capturing_cache(relid, events, named);
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
	if (cache == NULL)
		set_capture_state(capture, CAPTURE_UNCACHED);
	return capture;
}

/* ---- rows become events ------------------------------------------------------ */

static bool
same_label(const CtLabel *a, const CtLabel *b)
{
	return a->xid == b->xid && a->cid == b->cid;
}

/* Link encoded events with the label of the rows that they were made of. */
static void
link_encoded(ContimeRows *encoded, ContimeGeneration *cache, const CtLabel *label)
{
	contime_link(encoded, cache, label);
	contime_rows_reset(encoded);
}

/* Link the events that a source makes of the rows, in the order of capture. */
static void
link_source(ContimeGeneration *cache, const Rows *rows, const ContimeTable *table,
			const ContimeSource *source, TupleTableSlot *slot)
{
	ContimeEvents *events = contime_events_begin(table, source);
	ContimeRows *encoded = contime_rows_begin(table);
	ContimeIdentity before = contime_source_switch(table);
	const CtLabel *label = NULL; /* of the encoded events */
	bool current = false;        /* rows of this label are not rolled back */
	int last = -1;               /* the last row that gave an event */

	encoded->leaves_out = true;
	for (int i = 0; i < rows->count; i++)
	{
		const Captured *row = &rows->row[i];
		Datum *values;
		bool *isnull;

		if (label == NULL || !same_label(&row->label, label))
		{
			if (label)
				link_encoded(encoded, cache, label);
			label = &row->label;
			current = TransactionIdIsCurrentTransactionId((TransactionId) label->xid);
		}
		if (!current)
			continue;
		ExecStoreHeapTuple(row->tuple, slot, false);
		encoded->slot = slot;
		if (!contime_events_row(events, slot, &values, &isnull))
			continue;
		if (!contime_rows_encode_source(encoded, source->kind, source->columns, values, isnull,
										row->retracts))
			continue;
		if (row->updated && last == i - 1)
			contime_rows_cancel(encoded);
		last = i;
	}
	link_encoded(encoded, cache, label);
	contime_switch_back(&before);
	contime_events_end(events);
}

/* Link the events that the sources of one event table make of the rows. */
static void
link_rows(const Capture *capture, ContimeGeneration *cache, const Rows *rows)
{
	Relation rel = relation_open(capture->relid, NoLock);
	Relation events = relation_open(capture->events, NoLock);
	const ContimeTable *table = contime_table(rel);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(events), &TTSOpsHeapTuple);

	for (const ContimeSource *source = table->source; source; source = source->next)
		if (source->events == capture->events)
			link_source(cache, rows, table, source, slot);
	ExecDropSingleTupleTableSlot(slot);
	relation_close(events, NoLock);
	relation_close(rel, NoLock);
}

/* Break the cache, and keep no more rows. */
static void
give_up(Capture *capture, const char *reason)
{
	contime_cache_break(capture->relid, reason);
	if (capture->state == CAPTURE_UNCACHED)
		return;
	capture->cache = NULL;
	set_capture_state(capture, CAPTURE_UNCACHED);
}

/*
 * Link the rows in a subtransaction.  If that raises an error, the cache is broken and
 * the writer continues; readers of the event table get the same error.
 *
 * A function that a source calls may itself write to the event table, so the capture
 * may change its state meanwhile, and even lose its cache.
 */
static void
try_link_rows(Capture *capture, const Rows *rows)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ContimeGeneration *cache = capture->cache;

	Assert(cache != NULL && rows->count > 0);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(rows->context);
	PG_TRY();
	{
		link_rows(capture, cache, rows);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(capture->context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		give_up(capture, error->message);
		if (contime_is_interrupt(error))
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
}

/*
 * Move the rows of the buffer to the cache.  They are taken out of the buffer first,
 * because a function that a source calls may write to the event table itself.
 */
static void
flush_capture(Capture *capture)
{
	Rows rows = capture->rows;

	if (contime_debug_skip_flush)
		return;
	memset(&capture->rows, 0, sizeof(Rows));
	if (capture->state == CAPTURE_FROZEN)
		give_up(capture, "rows were frozen as they were written");
	else if (capture->state == CAPTURE_BUFFERED)
	{
		Assert(rows.count > 0);
		set_capture_state(capture, CAPTURE_EMPTY);
		if (contime_budget_grows(capture->cache))
			try_link_rows(capture, &rows);
		else
			give_up(capture, "it has outgrown its part of contime.memory");
	}
	if (rows.context)
		MemoryContextDelete(rows.context);
	drop_note(capture);
}

/* ---- query levels ------------------------------------------------------------ */

static ExecutorRun_hook_type prev_ExecutorRun = NULL;
static ExecutorFinish_hook_type prev_ExecutorFinish = NULL;
static ProcessUtility_hook_type prev_ProcessUtility = NULL;

/*
 * True if a query has a level.  One that only reads needs none, since it fires no
 * triggers itself.  A query of a foreign key's trigger has none of its own: PostgreSQL
 * queues its AFTER triggers with those of the outer statement.
 */
static bool
has_level(const QueryDesc *query)
{
	return (query->operation != CMD_SELECT || query->plannedstmt->hasModifyingCTE) &&
		   (query->estate->es_top_eflags & EXEC_FLAG_SKIP_TRIGGERS) == 0;
}

/* End the current level: all AFTER triggers of its statement have fired. */
static void
leave_level(void)
{
	Capture *capture = captures;

	Assert(level > 0); /* C1 */
	while (capture)
	{
		if (get_capture_level(capture) < level)
		{
			capture = capture->next;
			continue;
		}
		if (capture->rows.count > 0)
			flush_capture(capture);
		cut_levels(capture, level);
		capture = captures;
	}
}

static void
call_run(CONTIME_RUN_PARAMETERS)
{
	if (prev_ExecutorRun)
		prev_ExecutorRun(CONTIME_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(CONTIME_RUN_ARGUMENTS);
}

static void
run_in_level(CONTIME_RUN_PARAMETERS)
{
	if (!has_level(query))
	{
		call_run(CONTIME_RUN_ARGUMENTS);
		return;
	}
	level++;
	PG_TRY();
	{
		call_run(CONTIME_RUN_ARGUMENTS);
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

/* Return the map from rows of a partition to rows of the event table, or NULL. */
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

		/* Move it to the front: the next row is probably of the same partition. */
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
		/* The map outlives the descriptors in the relation cache. */
		found->map->indesc = CreateTupleDescCopyConstr(RelationGetDescr(part));
		found->map->outdesc = CreateTupleDescCopyConstr(RelationGetDescr(events));
	}
	relation_close(events, NoLock);
	capture->parts = lappend(capture->parts, found);
	MemoryContextSwitchTo(caller);
	return found->map;
}

/* Return the place for the next row in the buffer.  The caller counts the row. */
static Captured *
make_row_place(Capture *capture)
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

/* Copy a row into the buffer. */
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
		if (capture->state != CAPTURE_FROZEN)
			set_capture_state(capture, CAPTURE_FROZEN);
		return;
	}
	Assert(TransactionIdIsCurrentTransactionId(xid));
	if (capture->note == NULL)
		capture->note = contime_unflushed_note(capture->cache);
	row = make_row_place(capture);
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
	row->tuple->t_self = tuple->t_self;
	row->tuple->t_tableOid = RelationGetRelid(rel);
	capture->rows.count++;
	capture->rows.bytes += row->tuple->t_len;
	if (capture->state == CAPTURE_EMPTY)
		set_capture_state(capture, CAPTURE_BUFFERED);
	MemoryContextSwitchTo(caller);
}

/* True if the rows must be flushed before the statement ends.  Rows without a note (C5) must. */
static bool
is_full(const Capture *capture)
{
	return capture->state == CAPTURE_FROZEN || capture->note == NULL ||
		   capture->rows.count >= MOST_ROWS - 1 ||
		   capture->rows.bytes >= MOST_BYTES;
}

/*
 * Capture a row, at an AFTER ROW trigger.  A row that moves to another partition is
 * deleted in one and inserted in the other.
 */
static void
capture_row(const TriggerData *trigger, Oid relid, Oid events)
{
	Relation rel = trigger->tg_relation;
	Capture *capture = find_capture(relid, events);
	bool alone = capture == NULL; /* no BEFORE STATEMENT trigger has fired */

	if (alone && contime_cache_capturing(relid) == NULL)
		return;
	if (alone)
	{
		capture = begin_capture(relid, events, RelationGetRelid(rel));
		enter_level(capture);
	}
	if (capture->state != CAPTURE_UNCACHED)
	{
		if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
			keep_row(capture, rel, trigger->tg_trigtuple, false, false);
		else
			keep_row(capture, rel, trigger->tg_trigtuple, true, false);
		if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
			keep_row(capture, rel, trigger->tg_newtuple, false, true);
		if (alone || is_full(capture))
			flush_capture(capture);
	}
	if (alone)
		cut_levels(capture, level);
}

/* Begin a level, at a BEFORE STATEMENT trigger. */
static void
begin_statement(Oid relid, Oid events, Oid named)
{
	Capture *capture = find_capture(relid, events);

	if (capture == NULL)
		capture = begin_capture(relid, events, named);
	enter_level(capture);
}

/*
 * Flush the rows, at an AFTER STATEMENT trigger.  The level continues: its statement
 * may fire more triggers, also AFTER STATEMENT triggers of another kind.  At level 0,
 * where a subscription copies a table, no hook sees the end of the level, so it ends
 * here.
 */
static void
end_statement(Oid relid, Oid events)
{
	Capture *capture = find_capture(relid, events);

	if (capture == NULL)
		return;
	if (capture->rows.count > 0)
		flush_capture(capture);
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

/*
 * contime.capture() RETURNS trigger
 *	  The trigger function of event tables.  Its arguments are the OIDs of the
 *	  continuous table and of the event table.  ERROR 39P01 if it is called otherwise.
 */
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
