/*
 * repair.c
 *	  Agents restore what binds durable tables to their event tables after a server upgrade.
 *
 *	  a loader has refused a table as it is not bound ──┐
 *	  the launcher has the database visited ────────────┴─► repair, as the owner ─► WANTED
 *
 * A backend that is the first to read such a table only asks for its cache; it
 * changes no catalog.  The loader that is to load it finds that dependencies and
 * triggers are missing (durable/bindings.c) and refuses it; then the agent repairs
 * it.  After pg_upgrade each database is visited once besides, so that tables are
 * bound before they are read.
 *
 * Each table is repaired in a transaction of its own, so one table's error is
 * that table's.  It waits for a lock for 100 ms only, since writers of the event
 * table queue behind it, and notices of other tables are sent by the same process.
 *
 * Called by agent.c; the launcher calls contime_visit_next().
 *
 * Not here: what is missing, and how it is restored (durable/bindings.c).
 */
#include "postgres.h"

#include "worker/worker.h"
#include "worker/processes.h"
#include "durable/durable.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_database.h"
#include "catalog/pg_foreign_table.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define REPAIR_LOCK_MS 100

/* When to try again if a lock could not be had, or if there was another error. */
#define RETRY_LOCKED_MS 2000
#define RETRY_FAILED_MS 30000

/* How long an agent's visit takes at a time. */
#define VISIT_STEP_MS 500

/*
 * How long the launcher waits for an agent's visit before it goes on to the next
 * database: at first, and, twice as long each round, at last.
 */
#define VISIT_MS 10000
#define MOST_VISIT_MS 640000

typedef enum Repair
{
	REPAIR_DONE,   /* the table is bound, or is no more */
	REPAIR_LOCKED, /* a lock could not be had */
	REPAIR_FAILED  /* another error, which was logged */
} Repair;

/* The errors that were logged last. */
#define MOST_LOGGED 64

static struct
{
	Oid relid;
	int sqlerrcode;
} logged[MOST_LOGGED];

/* Log each error of a table once, unless others have come between. */
static void
log_error(Oid relid, const char *name, const ErrorData *error)
{
	static int next = 0;

	Assert(OidIsValid(relid) && error != NULL);
	for (int i = 0; i < MOST_LOGGED; i++)
		if (logged[i].relid == relid && logged[i].sqlerrcode == error->sqlerrcode)
			return;
	logged[next].relid = relid;
	logged[next].sqlerrcode = error->sqlerrcode;
	next = (next + 1) % MOST_LOGGED;
	ereport(LOG, (errcode(error->sqlerrcode),
				  errmsg("continuous table %s cannot be bound to its event tables again: %s", name,
						 error->message),
				  errdetail("It is answered from its event tables, and is tried again."),
				  errhint("Its owner may call contime.repair().")));
}

/* In a transaction; returns true if something was missing. */
static bool
repair_table(Oid relid)
{
	Relation rel;
	bool repaired;

	Assert(IsTransactionState());
	Assert(GetUserId() == ROLE_PG_MONITOR); /* background.c, 1 */
	LockRelationOid(relid, ShareUpdateExclusiveLock);
	if (!contime_is_table(relid))
		return false;
	rel = relation_open(relid, NoLock);
	repaired = contime_bindings_repair(rel);
	relation_close(rel, NoLock);
	return repaired;
}

/* In a transaction of its own. */
static Repair
try_repair(Oid relid)
{
	MemoryContext caller = CurrentMemoryContext;
	char *volatile name = NULL;
	volatile Repair result = REPAIR_DONE;

	Assert(!IsTransactionState());
	LockTimeout = REPAIR_LOCK_MS;
	SetCurrentStatementStartTimestamp();
	PG_TRY();
	{
		StartTransactionCommand();
		name = MemoryContextStrdup(caller, contime_cache_name(relid));
		if (repair_table(relid))
			ereport(LOG, (errmsg("continuous table %s is bound to its event tables again", name),
						  errdetail("Dependencies or capture triggers were missing, as after a server upgrade.")));
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		result = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
						 error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
						 contime_is_interrupt(error)
					 ? REPAIR_LOCKED
					 : REPAIR_FAILED;
		log_error(relid, name ? name : psprintf("with OID %u", relid), error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	LockTimeout = 0;
	MemoryContextSwitchTo(caller);
	return result;
}

/* ---- tables that a loader has refused ---------------------------------------- */

/* Of generations, by their slots: when to try again. */
static struct
{
	uint64 serial;
	TimestampTz until;
} put_off[CONTIME_MAX_GENERATIONS];

/* The table is bound: have its cache loaded. */
static void
want_again(ContimeGeneration *g)
{
	g->cache.unbound = false;
	g->cache.load_after = 0;
	pg_write_barrier();
	if (contime_cache_state(g) == CONTIME_CACHE_REFUSED)
		(void) contime_cache_change_state(g, CONTIME_CACHE_REFUSED, CONTIME_CACHE_WANTED);
}

/* Returns REPAIR_DONE, too, if it is not to be tried again yet. */
static Repair
repair_refused(ContimeGeneration *g)
{
	int index = g - contime_shared->generation;
	TimestampTz now = GetCurrentTimestamp();
	Repair result;

	Assert(index >= 0 && index < contime_shared->slots);
	if (put_off[index].serial == g->serial && now < put_off[index].until)
		return REPAIR_DONE;
	result = try_repair(g->relation);
	put_off[index].serial = g->serial;
	put_off[index].until = TimestampTzPlusMilliseconds(
		now, result == REPAIR_LOCKED ? RETRY_LOCKED_MS : RETRY_FAILED_MS);
	if (result == REPAIR_DONE)
		want_again(g);
	return result;
}

/* ---- a visit ------------------------------------------------------------------ */

/* No round of a visit begins before. */
static TimestampTz visit_after = 0;

/* The continuous tables of this database, in the current memory context. */
static List *
list_tables(void)
{
	MemoryContext caller = CurrentMemoryContext;
	List *tables = NIL;
	Relation catalog;
	SysScanDesc scan;
	HeapTuple tuple;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	catalog = table_open(ForeignTableRelationId, AccessShareLock);
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid relid = ((Form_pg_foreign_table) GETSTRUCT(tuple))->ftrelid;
		bool ours = contime_is_table(relid);
		MemoryContext working = MemoryContextSwitchTo(caller);

		CHECK_FOR_INTERRUPTS();
		if (ours)
			tables = lappend_oid(tables, relid);
		MemoryContextSwitchTo(working);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	return tables;
}

/*
 * Repair the tables of this database, for a limited time: then the agent sends
 * notices, and the next call goes on behind the last table. Those in memory have
 * nothing to repair, but whether a table is one is looked at in its own
 * transaction: that may fail, too. Returns true at the end of a round in which no
 * lock was missed.
 */
static bool
visit_tables(void)
{
	static Oid last = InvalidOid;
	static bool locked = false;
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), VISIT_STEP_MS);
	List *tables = list_tables();
	bool done;
	ListCell *lc;

	list_sort(tables, list_oid_cmp);
	foreach(lc, tables)
	{
		if (lfirst_oid(lc) <= last)
			continue;
		CHECK_FOR_INTERRUPTS();
		last = lfirst_oid(lc);
		locked |= try_repair(last) == REPAIR_LOCKED;
		if (contime_background_is_in_the_way())
			contime_agent_leave();
		if (GetCurrentTimestamp() > until)
			return false;
	}
	done = !locked;
	last = InvalidOid;
	locked = false;
	visit_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_LOCKED_MS);
	return done;
}

bool
contime_repairs_run(void)
{
	for (int i = 0; i < contime_shared->highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];

		/* One wait for a lock at a time. */
		if (g->cache.unbound && contime_generation_is_live(g) && g->database == MyDatabaseId &&
			repair_refused(g) == REPAIR_LOCKED)
			break;
	}
	if (contime_visited() != MyDatabaseId || GetCurrentTimestamp() < visit_after ||
		!visit_tables())
		return false;
	contime_visit_end(MyDatabaseId);
	return true;
}

/* ---- the launcher ------------------------------------------------------------- */

/* The database with the next OID that agents may connect to; InvalidOid: there are no more. */
static Oid
find_next_database(Oid last)
{
	Oid next = InvalidOid;
	Relation catalog;
	SysScanDesc scan;
	HeapTuple tuple;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	catalog = table_open(DatabaseRelationId, AccessShareLock);
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		/* (A limit of -2 marks what an interrupted DROP DATABASE has left.) */
		if (!form->datallowconn || form->datconnlimit == -2 || form->oid <= last)
			continue;
		if (!OidIsValid(next) || form->oid < next)
			next = form->oid;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	CommitTransactionCommand();
	return next;
}

Oid
contime_visit_next(void)
{
	static bool first = true;
	static bool marked;
	static Oid last = InvalidOid;
	static TimestampTz until = 0;
	static bool again = false; /* a database of this round is not done */
	static int wait_ms = VISIT_MS;

	if (first)
		marked = contime_upgrade_is_marked();
	first = false;
	if (!marked)
		return InvalidOid;
	if (OidIsValid(contime_visited()))
	{
		if (GetCurrentTimestamp() < until)
			return last;
		again = true; /* (if it was dropped, the next round does not find it) */
	}
	last = find_next_database(last);
	if (!OidIsValid(last) && again)
	{
		last = find_next_database(last);
		again = false;
		wait_ms = Min(wait_ms * 2, MOST_VISIT_MS);
	}
	until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_ms);
	contime_visit_begin(last);
	if (!OidIsValid(last))
	{
		contime_upgrade_remove_mark();
		marked = false;
	}
	return last;
}
