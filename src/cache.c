/*
 * cache.c
 *	  The life of a durable table's cache: its events in memory.
 *
 *	  none ─ read ─► wanted ─ loader ─► loading ─► ready ──┬─► broken ─► wanted
 *	    ▲                       └─ it does not fit ────────┴─► refused ─ later ─┘
 *	    └── not read for a while, and another one wants its memory ── ready
 *
 * The heap is the truth.  A generation (shared.c) of a durable table holds the
 * same events in memory, where reads are fast, and nobody can tell from an
 * answer where it came from.
 *
 * Loading is like CREATE INDEX CONCURRENTLY: from `loading` on whoever writes
 * has his rows captured (capture.c).  Then everyone who may have written
 * before is waited for, a snapshot is taken, what it sees is loaded, and what
 * was captured and it sees is dropped.  Until then the worker leaves the
 * generation alone.  Who has an older snapshot than that reads the heap.
 *
 * A cache is given up (broken) when a row was not captured, when a transaction
 * has committed captured rows that the cache lacks (durable/unflushed.c), when
 * two events have one identity (of which only one is kept: should it be
 * retracted, the other is missing), or when a retraction has found nothing.
 * What changes rows otherwise, TRUNCATE and ALTER, opens a new generation in
 * its own transaction.
 *
 * Locks: a generation is replaced by who holds AccessExclusiveLock on the
 * continuous table or on one of its event tables.  Who reads it has locks on
 * all of them, who adds to it on the event table and the continuous table, to
 * the end of the transaction.  Neither locks partitions for its own sake: there
 * may be many.  So what needs a partition for itself (ddl.c) takes the event
 * table before, as its readers would otherwise not be waited for; before, since
 * everybody locks downwards.  What does not keep others out (a partition is
 * attached, or detached concurrently, a trigger disabled) must not replace
 * anything: then the cache is given up, as long as there is a lock that the
 * loader waits for.
 *
 * One loader works in a database at a time; the agent starts it (agent.c).
 */
#include "contime.h"
#include "shared/budget.h"
#include "table/limits.h"

#include "table/owner.h"
#include "worker/background.h"

#include "access/parallel.h"
#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* How long a loader waits for a lock, as DDL goes first; how often for one that all others wait behind; for who writes. */
#define LOADER_LOCK_MS 100
#define QUEUE_MS 5000
#define WRITERS_MS 10000

/* It looks around so often, and leaves when there was nothing for so long. */
#define LOADER_NAP_MS 20
#define LOADER_IDLE_MS 2000

/* How often it looks whether somebody waits for it. */
#define GIVE_WAY_LOADS 64

/* It makes so much room when it is short, as a share of all, and so often; or when there was none to be made. */
#define SPARE_SHARE 64
#define ROUNDS_TO_SPARE 3
#define ROOM_INTERVAL_MS 100
#define NO_ROOM_INTERVAL_MS 2000

/* Wanted keys are loaded so many times before it looks at tables again. */
#define LOADS_OF_KEYS 16

/* A cache without all keys that was read so lately keeps it from leaving; how often it tries to load it whole. */
#define READ_LATELY_MS 5000
#define WHOLE_INTERVAL_MS 10000

/* After a failure to load: when to try again, if that is dear and unlikely to help, or cheap. */
#define RETRY_MS 30000
#define RETRY_DEAR_MS 600000
#define RETRY_GIVEN_UP_MS 2000
#define RETRY_LOCKED_MS 200

/* How long a backend does without when there is no slot for a table's cache. */
#define RETRY_SLOT_MS 1000

/* Events of ended transactions dropped under one hold of a lock. */
#define DROPS_PER_LOCK 256

/* Why a cache is given up. */
static const char rows_lost[] = "a transaction has committed rows that did not reach it";

/* Why a table is not cached. */
static const char twins[] = "two events have one identity";
static const char failed[] = "it could not be loaded";
static const char given_up[] = "it was given up meanwhile";
static const char no_memory[] = "memory was used up meanwhile";
static const char slow_code[] = "user-made code that it uses took too long";

/* ---- states --------------------------------------------------------------------------------- */

ContimeCacheState
contime_cache_state(ContimeGeneration *g)
{
	return (ContimeCacheState) pg_atomic_read_u32(&g->cache);
}

bool
contime_cache_is_ready(Oid relid)
{
	ContimeGeneration *g = RecoveryInProgress() ? NULL : contime_generation(relid);

	return g && contime_cache_state(g) == CONTIME_CACHE_READY && !g->partial;
}

static bool
change_state(ContimeGeneration *g, ContimeCacheState from, ContimeCacheState to)
{
	uint32		expected = from;

	return pg_atomic_compare_exchange_u32(&g->cache, &expected, to);
}

static bool
is_captured(ContimeCacheState state)
{
	return state == CONTIME_CACHE_LOADING || state == CONTIME_CACHE_READY;
}

ContimeGeneration *
contime_cache_capturing(Oid relid)
{
	ContimeGeneration *g = contime_generation(relid);

	return g && is_captured(contime_cache_state(g)) ? g : NULL;
}

/* A continuous table in messages: its name, if it still has one. */
static const char *
name_of(Oid relid)
{
	const char *name = get_rel_name(relid);

	return name ? psprintf("\"%s\"", name) : psprintf("with OID %u", relid);
}

void
contime_cache_break(Oid relid, const char *reason)
{
	ContimeGeneration *g = contime_generation(relid);

	if (g == NULL ||
		!(change_state(g, CONTIME_CACHE_READY, CONTIME_CACHE_BROKEN) ||
		  change_state(g, CONTIME_CACHE_LOADING, CONTIME_CACHE_BROKEN)))
		return;
	ereport(LOG,
			(errmsg("cache of continuous table %s is given up: %s", name_of(relid), reason),
			 errdetail("Its event tables are read until it is loaded again.")));
	contime_agent_wake(MyDatabaseId);
}

void
contime_cache_check(ContimeGeneration *g, int partition)
{
	CtArena		arena = contime_arena(partition);
	CtStats		stats;

	const char *reason;

	ct_store_stats(&arena, g->store[partition], &stats);
	if (stats.astray > 0)
		reason = "a retraction found no event";
	else if (stats.duplicates + stats.conflicts > 0)
		reason = twins;
	else if (contime_unflushed_found(g, NULL))
		reason = rows_lost;
	else
		return;
	contime_pause("giving up", g->database);
	if (!change_state(g, CONTIME_CACHE_READY, CONTIME_CACHE_BROKEN))
		return;
	ereport(LOG,
			(errmsg("cache of relation %u of database %u is given up: %s", g->relation, g->database,
					reason),
			 errdetail("Its event tables are read.")));
	contime_agent_wake(g->database);
}

void
contime_cache_renew(Oid relid)
{
	ContimeGeneration *g = contime_generation(relid);

	/*
	 * Without a slot the cache is given up: then the event tables answer,
	 * whether this transaction commits or not.  No loader begins before it
	 * has ended, as it needs the lock that is held here.
	 */
	if (g && contime_cache_state(g) != CONTIME_CACHE_NONE &&
		contime_generation_try(relid, U64FromFullTransactionId(GetCurrentFullTransactionId())) == NULL)
		contime_cache_break(relid, "its owner has too many continuous tables with data");
}

void
contime_cache_change(Oid relid, Oid events)
{
	ContimeGeneration *g = contime_generation(relid);
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, events);
	if (LockHeldByMe(&tag, AccessExclusiveLock))
		contime_cache_renew(relid);
	else
		contime_cache_break(relid, "a part of an event table has changed");

	/* What stood in its way may be gone. */
	if (g && contime_cache_state(g) == CONTIME_CACHE_REFUSED)
		g->load_after = 0;
}

/* ---- reading ----------------------------------------------------------------------------------- */

void
contime_note_loaded(ContimeLoaded *loaded, const CtSnapshot *snapshot)
{
	loaded->xmax = snapshot->xmax;
	loaded->nxip = snapshot->nxip;
	if (snapshot->nxip <= CONTIME_LOAD_XIDS)
		memcpy(loaded->xip, snapshot->xip, snapshot->nxip * sizeof(uint64));
}

bool
contime_sees_loaded(const CtSnapshot *snapshot, const ContimeLoaded *loaded)
{
	CtSnapshot	load = {.xmax = loaded->xmax,.nxip = loaded->nxip,.xip = loaded->xip};

	if (snapshot->xmin >= load.xmax)
		return true;
	if (snapshot->xmax < load.xmax || load.nxip > CONTIME_LOAD_XIDS)
		return false;
	for (uint32 i = 0; i < snapshot->nxip; i++)
		if (ct_snapshot_sees(&load, snapshot->xip[i]))
			return false;
	return true;
}

/* Have it loaded, unless that has just been tried in vain. */
static void
want(ContimeGeneration *g)
{
	ContimeCacheState state = contime_cache_state(g);

	if (state == CONTIME_CACHE_REFUSED && GetCurrentTimestamp() < g->load_after)
		return;
	if ((state == CONTIME_CACHE_NONE || state == CONTIME_CACHE_REFUSED) &&
		change_state(g, state, CONTIME_CACHE_WANTED))
		contime_agent_wake(MyDatabaseId);
}

/* Was the table created by this transaction?  Then it may never have been. */
static bool
is_new(Oid relid)
{
	Relation	rel = RelationIdGetRelation(relid);
	bool		new = rel && rel->rd_createSubid != InvalidSubTransactionId;

	if (rel)
		RelationClose(rel);
	return new;
}

/* A generation for a table that is read for the first time; NULL: it is not to be cached now. */
static ContimeGeneration *
first_generation(Oid relid)
{
	static TimestampTz retry = 0;
	ContimeGeneration *g;

	if (IsParallelWorker() || is_new(relid) || (retry != 0 && GetCurrentTimestamp() < retry))
		return NULL;
	g = contime_generation_try(relid, 0);
	retry = g ? 0 : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_SLOT_MS);
	return g;
}

ContimeGeneration *
contime_cache_watched(const ContimeTable *table)
{
	ContimeGeneration *g;

	if (RecoveryInProgress())
		return NULL;
	g = contime_generation(table->relid);
	if (g == NULL)
		g = first_generation(table->relid);
	if (g == NULL)
		return NULL;
	if (contime_cache_state(g) != CONTIME_CACHE_READY)
	{
		want(g);
		return NULL;
	}
	pg_read_barrier();
	contime_limits_note(table, g, false);
	return g;
}

/* (Not each time, lest those who read meet at this.) */
static void
note_read(ContimeGeneration *g)
{
	TimestampTz now = GetCurrentTimestamp();

	if (now > (TimestampTz) pg_atomic_read_u64(&g->last_read) + USECS_PER_SEC)
		pg_atomic_write_u64(&g->last_read, (uint64) now);
}

/* True if the cache lacks rows of a transaction that the snapshot sees as committed. */
static bool
break_if_rows_lost(ContimeGeneration *g, const ContimeView *view)
{
	if (!contime_unflushed_found(g, &view->plain))
		return false;
	contime_cache_break(g->relation, rows_lost);
	return true;
}

bool
contime_cache_serves(ContimeGeneration *g, const ContimeTable *table, const ContimeView *view)
{
	note_read(g);

	/*
	 * What serializable transactions read of event tables, core must know.  A
	 * parallel worker does not know of its leader's pending statements.  A
	 * snapshot from before a standby was promoted does not tell transactions
	 * from their subtransactions.
	 */
	return !IsolationIsSerializable() && !IsParallelWorker() &&
		!contime_capture_pending(table->relid) &&
		!view->snapshot->takenDuringRecovery && contime_sees_loaded(&view->plain, &g->loaded) &&
		!break_if_rows_lost(g, view);
}

/* ---- loading ------------------------------------------------------------------------------------ */

/*
 * Who waits for us may be who we wait for: let him go first.  (Locks of the
 * mode asked for here are refused if somebody waits for an exclusive one.)
 */
static void
give_way(List *relations)
{
	ListCell   *lc;

	if (contime_background_is_in_the_way())
		contime_agent_leave();
	foreach(lc, relations)
	{
		if (!ConditionalLockRelationOid(lfirst_oid(lc), RowShareLock))
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("others wait for relation %u, which is to be cached", lfirst_oid(lc))));
		UnlockRelationOid(lfirst_oid(lc), RowShareLock);
	}
}

/*
 * Everyone who writes to these relations now and may not capture, or changes
 * what they are.  (Not for ever: other tables are to be loaded, too.)
 */
static void
wait_for_writers(List *relations)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WRITERS_MS);
	ListCell   *lc;

	foreach(lc, relations)
	{
		VirtualTransactionId *writers;
		LOCKTAG		tag;

		SET_LOCKTAG_RELATION(tag, MyDatabaseId, lfirst_oid(lc));
		writers = GetLockConflicts(&tag, ShareLock, NULL);
		for (; VirtualTransactionIdIsValid(*writers); writers++)
			while (!VirtualXactLock(*writers, false))
			{
				CHECK_FOR_INTERRUPTS();
				if (GetCurrentTimestamp() > until)
					ereport(ERROR,
							(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
							 errmsg("transactions that write to the event tables take long")));
				give_way(relations);
				(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 5,
								 PG_WAIT_EXTENSION);
				ResetLatch(MyLatch);
			}
	}
}

/* Why a table cannot be cached, or NULL; and it with the relations that have its rows, locked. */
static const char *
find_obstacle(const ContimeTable *table, List **relations)
{
	const char *obstacle = table->source ? NULL : "it has no event table";

	*relations = list_make1_oid(table->relid);
	for (const ContimeSource *source = table->source; source && obstacle == NULL; source = source->next)
		obstacle = contime_capture_obstacle(table->relid, source->events, relations);
	return obstacle;
}

/* Drop what was captured and the snapshot sees: it is among what was loaded. */
static void
drop_loaded(ContimeGeneration *g, int partition, ContimeView *view)
{
	CtArena		arena = contime_arena(partition);
	CtRef		previous = 0;
	CtRef		batch = 0;
	CtBatch		copy;

	while (g->store[partition] != 0 && contime_next_batch(partition, g, 0, &batch, &copy))
	{
		CtStatus	status = CT_AGAIN;

		if (!contime_view_sees(view, copy.top, copy.xid))
		{
			previous = batch;
			continue;
		}
		while (status == CT_AGAIN)
		{
			Size		before;

			contime_lock(partition, LW_EXCLUSIVE);
			START_CRIT_SECTION();
			before = contime_charge_begin(g, partition);
			status = ct_store_drop(&arena, g->store[partition], batch, DROPS_PER_LOCK);
			contime_charge_end(g, partition, before);
			END_CRIT_SECTION();
			contime_unlock(partition);
		}
		batch = previous;
	}
}

/* Two events of one identity: of one of them nothing is known any more. */
static bool
has_twins(ContimeGeneration *g)
{
	bool		found = false;

	for (int p = 0; p < contime_shared->partitions; p++)
	{
		CtArena		arena = contime_arena(p);
		CtStats		stats;

		if (g->store[p] == 0)
			continue;
		contime_lock(p, LW_SHARED);
		ct_store_stats(&arena, g->store[p], &stats);
		contime_unlock(p);
		found |= stats.duplicates + stats.conflicts > 0;
	}
	return found;
}

/* What has come of loading. */
typedef struct Filling
{
	bool		room;			/* there still is; else the rest is only counted */
	uint64		skipped;		/* so many, */
	int64		newest;			/* and the latest of them */
} Filling;

/* Every row of an event table that the snapshot sees. */
static void
load_source(Relation rel, const ContimeTable *table, const ContimeSource *source,
			Snapshot snapshot, ContimeGeneration *g, List *relations, Filling *filling)
{
	ContimeHeapLoad *load;
	bool		more = true;

	/* (Preparing an expression evaluates what is constant in it.) */
	if (contime_source_is_limited(table))
		contime_guard_begin(table->relid, table->owner);
	load = contime_heap_load_begin(rel, table, source);
	contime_heap_load_bind(load, snapshot, NULL);
	for (int n = 1; more && contime_cache_state(g) == CONTIME_CACHE_LOADING; n++)
	{
		CHECK_FOR_INTERRUPTS();
		if (n % GIVE_WAY_LOADS == 0)
			give_way(relations);
		more = filling->room ? contime_heap_load_next(load, g)
			: contime_heap_load_skip(load, &filling->skipped, &filling->newest);
		if (contime_source_is_limited(table))
			contime_guard_extend((uint64) n * CONTIME_FETCH_ROWS);
		filling->room = filling->room && contime_room_make(g, 0, 0);
	}
	contime_heap_load_end(load);
	contime_guard_end();
}

/*
 * From here on it can be read.  The snapshot is the one that was loaded.  Who
 * wanted it has read the event tables: it is not one that nobody reads.
 */
static bool
publish(ContimeGeneration *g, const CtSnapshot *snapshot)
{
	contime_note_loaded(&g->loaded, snapshot);
	pg_atomic_write_u64(&g->last_read, (uint64) GetCurrentTimestamp());
	pg_write_barrier();
	return change_state(g, CONTIME_CACHE_LOADING, CONTIME_CACHE_READY);
}

/*
 * Not all of it can be: so nothing is known of any key yet.  What was loaded
 * goes, and those come that are wanted.
 */
static bool
publish_partial(ContimeGeneration *g, const Filling *filling)
{
	CtStats		stats = contime_generation_stats(g);
	uint64		rows = stats.frozen + filling->skipped;
	double		row_bytes = stats.bytes / (double) Max(stats.frozen + stats.recent, 1);

	/* (From few rows little is known: twice the room that there was is worth another try.) */
	contime_keys_part(g, rows, Min((Size) (row_bytes * rows), 2 * stats.bytes), filling->newest);
	contime_keys_forget(g);
	g->whole_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
	return publish(g, &(CtSnapshot) {0});
}

/* What is known of the rows now: NULL, or why it cannot be. */
static const char *
fill(Relation rel, const ContimeTable *table, ContimeGeneration *g, List *relations)
{
	Filling		filling = {.room = true,.newest = PG_INT64_MIN};
	ContimeView *view;
	const char *reason = NULL;

	PushActiveSnapshot(GetLatestSnapshot());
	view = contime_view_begin(GetActiveSnapshot());
	for (const ContimeSource *source = table->source; source; source = source->next)
		load_source(rel, table, source, GetActiveSnapshot(), g, relations, &filling);
	for (int p = 0; p < contime_shared->partitions && filling.room; p++)
		drop_loaded(g, p, view);
	if (has_twins(g))
		reason = twins;
	else if (!(filling.room ? publish(g, &view->plain) : publish_partial(g, &filling)))
		reason = given_up;
	else if (!filling.room)
		ereport(LOG,
				(contime_budget_left(g) == PG_INT64_MAX
				 ? errmsg("continuous table \"%s\" is cached in part: it does not fit into contime.memory",
						  table->name)
				 : errmsg("continuous table \"%s\" is cached in part: it does not fit into its memory limits",
						  table->name),
				 errdetail("Keys that are not there, and reads of all keys, are answered from its event tables.")));
	PopActiveSnapshot();
	contime_view_end(view);
	return reason;
}

/*
 * Have a continuous table to oneself.  Who queues for that has all others wait
 * behind him, so it is done rarely.
 */
static void
lock_alone(Oid relid)
{
	static TimestampTz queued = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (ConditionalLockRelationOid(relid, AccessExclusiveLock))
		return;
	if (now < TimestampTzPlusMilliseconds(queued, QUEUE_MS))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("continuous table with OID %u is in use", relid)));
	queued = now;
	LockRelationOid(relid, AccessExclusiveLock);
}

/* A table's generation to be loaded into; one that holds something is replaced.  NULL: there is no slot. */
static ContimeGeneration *
generation_to_load(const ContimeTable *table)
{
	ContimeGeneration *g = contime_generation(table->relid);
	bool		empty = g != NULL && contime_cache_state(g) == CONTIME_CACHE_WANTED;

	for (int p = 0; empty && p < contime_shared->partitions; p++)
		empty = g->store[p] == 0;
	if (empty)
		return g;
	lock_alone(table->relid);
	g = contime_generation_replace(table->relid);
	UnlockRelationOid(table->relid, AccessExclusiveLock);
	return g;
}

/* Generations that this loader could not fill, and has yet to refuse, by their slots: serials, and why. */
static struct
{
	uint64		serial;
	const char *reason;
}			unfit[CONTIME_MAX_GENERATIONS];

/* The error that the last of these ended with. */
static struct
{
	uint64		serial;
	char		message[256];
}			last_error;

/* Say once why a table is not cached. */
static void
log_refused(Oid relid, uint64 serial, const char *reason)
{
	if (reason == slow_code)
		return;					/* it was logged when that was noticed */
	if (reason == failed && last_error.serial == serial)
		reason = last_error.message;
	ereport(LOG,
			(errmsg("continuous table %s is not cached: %s", name_of(relid), reason),
			 errdetail("Its event tables are read.")));
}

/* Free what there is of it, and leave it for a while. */
static void
refuse(Oid relid, ContimeGeneration *g, const char *reason)
{
	int			retry_ms = reason == twins || reason == failed || reason == slow_code ? RETRY_DEAR_MS
		: reason == given_up ? RETRY_GIVEN_UP_MS : RETRY_MS;
	int			index = g - contime_shared->generation;
	uint64		serial = g->serial;

	/* Should the lock not be had now. */
	unfit[index].serial = g->serial;
	unfit[index].reason = reason;
	if (contime_cache_state(g) != CONTIME_CACHE_WANTED)
	{
		lock_alone(relid);
		g = contime_generation_replace(relid);
	}
	if (g == NULL)
		return;
	g->load_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), retry_ms);
	pg_write_barrier();
	pg_atomic_write_u32(&g->cache, CONTIME_CACHE_REFUSED);
	unfit[index].serial = 0;
	log_refused(relid, serial, reason);
}

bool
contime_cache_has_twins(ContimeGeneration *g)
{
	int			index = g - contime_shared->generation;

	if (!has_twins(g))
		return false;
	unfit[index].serial = g->serial;
	unfit[index].reason = twins;
	(void) change_state(g, CONTIME_CACHE_READY, CONTIME_CACHE_BROKEN);
	return true;
}

/* The one that is being loaded. */
static ContimeGeneration *at_hand;

static void
load(Oid relid)
{
	Relation	rel;
	const ContimeTable *table;
	const char *reason;
	List	   *relations;
	ContimeGeneration *g;
	int			index;

	LockRelationOid(relid, AccessShareLock);
	if (!contime_is_table(relid))
		return;
	contime_source_lock(relid);
	g = contime_generation(relid);
	if (g == NULL)
		return;
	index = g - contime_shared->generation;

	/* Looked at before anything that may have been the reason. */
	if (unfit[index].serial == g->serial)
	{
		refuse(relid, g, unfit[index].reason);
		return;
	}
	rel = relation_open(relid, NoLock);
	if (!contime_guard_trusts(relid, rel->rd_rel->relowner))
	{
		refuse(relid, g, slow_code);
		relation_close(rel, NoLock);
		return;
	}
	contime_guard_begin(relid, rel->rd_rel->relowner);
	table = contime_table(rel);
	contime_guard_end();
	contime_source_check(table);
	reason = find_obstacle(table, &relations);
	if (reason == NULL)
	{
		g = generation_to_load(table);
		if (g == NULL)
		{
			relation_close(rel, NoLock);
			return;
		}
		at_hand = g;
		contime_limits_note(table, g, true);
		pg_atomic_write_u32(&g->cache, CONTIME_CACHE_LOADING);
		pg_memory_barrier();
		wait_for_writers(relations);

		/* Those who were waited for may have changed what there is; others give the cache up. */
		AcceptInvalidationMessages();
		reason = find_obstacle(table, &relations);
	}
	if (reason == NULL)
		reason = fill(rel, table, g, relations);
	if (reason)
		refuse(relid, g, reason);
	else
		contime_notice_reset(g, true);
	relation_close(rel, NoLock);
}

/* ---- the loader ----------------------------------------------------------------------------------- */

/* Its last failure, by the slot of a generation: not again at once. */
static TimestampTz not_before[CONTIME_MAX_GENERATIONS];

/* Would it fit by now if it had all keys? */
static bool
would_fit(ContimeGeneration *g)
{
	Size		whole = contime_keys_whole_bytes(g);
	Size		bytes = contime_generation_bytes(g);

	return GetCurrentTimestamp() >= g->whole_after &&
		contime_room_can_be_made(g, (whole > bytes ? whole - bytes : 0) / 4 * 5);
}

static bool
is_to_load(ContimeGeneration *g)
{
	ContimeCacheState state = contime_cache_state(g);

	return state == CONTIME_CACHE_WANTED || state == CONTIME_CACHE_LOADING ||
		state == CONTIME_CACHE_BROKEN;
}

bool
contime_cache_is_wanted(ContimeGeneration *g)
{
	return is_to_load(g) || (g->partial && contime_keys_are_wanted(g->database)) ||
		contime_room_is_tight(g) || contime_room_is_wanted() == g->database;
}

static bool
is_due(ContimeGeneration *g)
{
	return g->used && !g->dead && g->database == MyDatabaseId && is_to_load(g);
}

bool
contime_cache_is_due(void)
{
	if (contime_keys_are_wanted(MyDatabaseId) || contime_room_is_wanted() == MyDatabaseId)
		return true;
	for (int i = 0; i < contime_shared->highest; i++)
		if (is_due(&contime_shared->generation[i]))
			return true;
	return contime_room_tight(MyDatabaseId) != NULL;
}

/*
 * What stood in the way passes; another error is not worth trying again soon.
 * Its locks are still held: the generation is what it was.
 */
static void
put_off(void)
{
	int			index = at_hand - contime_shared->generation;
	ErrorData  *error = CopyErrorData();
	bool		passes = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
		contime_is_interrupt(error);

	/* What the cache before this one took is still charged until it is freed. */
	passes |= error->sqlerrcode == ERRCODE_OUT_OF_MEMORY && contime_room_is_freeing(at_hand, 0);
	if (!passes)
	{
		last_error.serial = at_hand->serial;
		strlcpy(last_error.message, error->message, sizeof(last_error.message));
		unfit[index].serial = at_hand->serial;
		unfit[index].reason = error->sqlerrcode == ERRCODE_OUT_OF_MEMORY ? no_memory : failed;
	}
	(void) change_state(at_hand, CONTIME_CACHE_LOADING, CONTIME_CACHE_BROKEN);
	FlushErrorState();
	AbortCurrentTransaction();
	not_before[index] = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_LOCKED_MS);
}

/* In a transaction of its own. */
static void
try_load(ContimeGeneration *g)
{
	MemoryContext caller = CurrentMemoryContext;

	at_hand = g;
	SetCurrentStatementStartTimestamp();
	PG_TRY();
	{
		StartTransactionCommand();

		/* An older one is not in force, or its replacement is not committed yet. */
		if (contime_generation(g->relation) == g)
			load(g->relation);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		contime_guard_end();
		put_off();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	pgstat_report_stat(true);
}

/* Each of these: false if there was nothing to do. */

static bool
load_tables(MemoryContext context)
{
	bool		busy = false;

	for (int i = 0; i < contime_shared->highest; i++)
	{
		if (!is_due(&contime_shared->generation[i]))
			continue;
		busy = true;
		if (not_before[i] <= GetCurrentTimestamp())
			try_load(&contime_shared->generation[i]);
		MemoryContextReset(context);
	}
	return busy;
}

/* (Some at a time: others are to be loaded, too.) */
static bool
load_keys(void)
{
	bool		busy = false;

	for (int i = 0; i < LOADS_OF_KEYS && contime_keys_load(); i++)
	{
		CHECK_FOR_INTERRUPTS();
		busy = true;
	}
	return busy;
}

static bool
make_room(void)
{
	static TimestampTz next = 0;
	ContimeGeneration *tight = NULL;
	Size		spare = ct_region_total(contime_region) / SPARE_SHARE;
	bool		made;

	if (contime_room_is_wanted() != MyDatabaseId &&
		(tight = contime_room_tight(MyDatabaseId)) == NULL)
		return false;
	if (GetCurrentTimestamp() < next)
		return true;
	if (tight)
		spare = contime_account_quota(tight, contime_budget_tight(tight, 0)) / SPARE_SHARE;
	StartTransactionCommand();
	made = contime_room_make(tight, spare, ROUNDS_TO_SPARE);
	CommitTransactionCommand();
	next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									   made ? ROOM_INTERVAL_MS : NO_ROOM_INTERVAL_MS);
	return true;
}

/*
 * Caches that are read and have not all keys: as soon as they would fit, they
 * are loaded whole.  Until somebody who uses one lets go of it, it is of use as
 * it is.
 */
static bool
prefer_whole(void)
{
	bool		busy = false;

	for (int i = 0; i < contime_shared->highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];
		TimestampTz last_read = (TimestampTz) pg_atomic_read_u64(&g->last_read);
		bool		read_lately;

		if (!g->used || g->dead || g->database != MyDatabaseId || !g->partial ||
			contime_cache_state(g) != CONTIME_CACHE_READY)
			continue;
		read_lately = GetCurrentTimestamp() < TimestampTzPlusMilliseconds(last_read, READ_LATELY_MS);
		busy |= read_lately;
		if (!read_lately || !would_fit(g))
			continue;
		g->whole_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WHOLE_INTERVAL_MS);
		try_load(g);
	}
	return busy;
}

void
contime_loader_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);
	TimestampTz until = 0;		/* there may be something to load again */
	MemoryContext context;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	if (!contime_loader_attach(database))
		proc_exit(0);
	contime_background_connect(database);
	LockTimeout = LOADER_LOCK_MS;

	/* Serializable, it could have transactions fail that write what it reads. */
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	context = AllocSetContextCreate(TopMemoryContext, "contime loader", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);

	contime_keys_begin();
	do
	{
		if (contime_background_is_in_the_way())
			contime_agent_leave();
		if (load_tables(context) | load_keys() | make_room() | prefer_whole())
			until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOADER_IDLE_MS);
		MemoryContextReset(context);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOADER_NAP_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	} while (GetCurrentTimestamp() < until);
	proc_exit(0);
}
