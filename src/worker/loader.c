/*
 * loader.c
 *	  A database's loader: it loads the caches of durable tables.
 *
 *	  lock ─► LOADING: writers capture ─► wait for writers that do not capture
 *	       ─► snapshot ─► load all rows it sees ─► drop captured rows it sees ─► READY
 *
 * This works like CREATE INDEX CONCURRENTLY.  Until the cache is readable, the
 * partition's worker does not touch the generation.  A backend whose snapshot is older
 * than the loader's reads the event tables.
 *
 * One loader runs in a database at a time; the agent starts it (agent.c).  It also
 * loads wanted keys, evicts if memory is short, and loads all keys of a partial cache
 * when they fit.
 *
 * Locks: a loader waits for a lock for at most 100 ms, so that it does not delay DDL.
 *
 * Not here: the states of a cache (durable/cache.c), keys of partial caches
 * (durable/key_loader.c), which caches and keys are evicted (durable/eviction.c).
 */
#include "postgres.h"

#include "worker/worker.h"
#include "worker/processes.h"
#include "base/base.h"
#include "durable/durable.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "optimizer/plancat.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/*
 * LOADER_LOCK_MS: a loader waits for a lock no longer, so that it does not delay DDL.
 * QUEUE_MS: the least time between two waits for a lock that blocks other backends.
 * WRITERS_MS: a load waits no longer for transactions that do not capture.
 */
#define LOADER_LOCK_MS 100
#define QUEUE_MS 5000
#define WRITERS_MS 10000

/* A loader checks for work this often, and exits after this time without work. */
#define LOADER_NAP_MS 20
#define LOADER_IDLE_MS 2000

/* A load checks after so many steps whether a backend waits for the loader. */
#define GIVE_WAY_LOADS 64

/*
 * An eviction frees at least this share (1/64) of the region or quota, in so many
 * rounds.  The next one follows after ROOM_INTERVAL_MS, or after NO_ROOM_INTERVAL_MS
 * if too little could be evicted.
 */
#define SPARE_SHARE 64
#define ROUNDS_TO_SPARE 3
#define ROOM_INTERVAL_MS 100
#define NO_ROOM_INTERVAL_MS 2000

/*
 * In each round wanted keys are loaded at most so many times before tables are checked
 * again.
 */
#define LOADS_OF_KEYS 16

/* The least time between two tries to load all keys of a partial cache. */
#define WHOLE_INTERVAL_MS 10000

/*
 * Delays before a table is loaded again after a failure.  DEAR: another try costs much
 * and is likely to fail, too.  GIVEN_UP: the cache was invalidated during the load.
 * LOCKED: the load ended with an error, for example because a lock was not available.
 */
#define RETRY_MS 30000
#define RETRY_DEAR_MS 600000
#define RETRY_GIVEN_UP_MS 2000
#define RETRY_LOCKED_MS 200

/* Captured events dropped under one hold of a partition lock. */
#define DROPS_PER_LOCK 256

/* ---- loading ----------------------------------------------------------------- */

/*
 * Avoid deadlock with queued DDL: if a backend waits for an exclusive lock on one of
 * these relations, raise ERROR 55P03, so that the load is tried again later.  Exit if
 * a command waits for all sessions to leave the database.
 */
static void
yield_to_ddl(List *relations)
{
	ListCell *lc;

	if (contime_background_is_in_the_way())
		contime_agent_leave();
	foreach(lc, relations)
	{
		if (!ConditionalLockRelationOid(lfirst_oid(lc), RowShareLock))
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("other sessions wait for relation %u, which is to be cached", lfirst_oid(lc))));
		UnlockRelationOid(lfirst_oid(lc), RowShareLock);
	}
}

/*
 * Wait for all transactions that write to these relations, and may not capture, or
 * that change them.  ERROR 55P03 after WRITERS_MS, so that other tables can be loaded.
 */
static void
wait_for_writers(List *relations)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WRITERS_MS);
	ListCell *lc;

	foreach(lc, relations)
	{
		VirtualTransactionId *writers;
		LOCKTAG tag;

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
				yield_to_ddl(relations);
				(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 5,
								 PG_WAIT_EXTENSION);
				ResetLatch(MyLatch);
			}
	}
}

/*
 * Return the reason why a table cannot be cached, or NULL.  Lock the relations that
 * have its rows, and set *relations to them and the table.
 */
static const char *
find_obstacle(const ContimeTable *table, List **relations)
{
	const char *obstacle = table->source ? NULL : "it has no event table";

	Assert(IsTransactionState());
	*relations = list_make1_oid(table->relid);
	for (const ContimeSource *source = table->source; source && obstacle == NULL;
		 source = source->next)
		obstacle = contime_capture_obstacle(table->relid, source->events, relations);
	return obstacle;
}

/*
 * Drop the captured events of transactions that the snapshot sees, since they were
 * also loaded.
 */
static void
drop_loaded(ContimeGeneration *g, int partition, ContimeView *view)
{
	CtArena arena = contime_arena(partition);
	CtRef previous = 0;
	CtRef batch = 0;
	CtBatch copy;

	Assert(pg_atomic_read_u32(&g->partial.hold) == 0); /* the cache has never been partial */
	while (g->store[partition] != 0 && contime_next_batch(partition, g, 0, &batch, &copy))
	{
		CtStatus status = CT_MORE;

		if (!contime_view_sees(view, copy.top, copy.xid))
		{
			previous = batch;
			continue;
		}
		while (status == CT_MORE)
		{
			Size before;

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

/* ---- progress ---------------------------------------------------------------- */

/* Estimate the rows of an event table and its partitions, as the planner does. */
static double
estimate_rows(Oid events)
{
	double rows = 0;
	ListCell *lc;

	foreach(lc, find_all_inheritors(events, AccessShareLock, NULL))
	{
		Relation rel = relation_open(lfirst_oid(lc), NoLock);
		BlockNumber pages;
		double tuples = 0;
		double visible;

		if (rel->rd_rel->relkind == RELKIND_RELATION)
			estimate_rel_size(rel, NULL, &pages, &tuples, &visible);
		rows += tuples;
		relation_close(rel, NoLock);
	}
	return rows;
}

/* The name of the table that is being loaded, since no catalog can be read after an error. */
static char loaded_table[NAMEDATALEN];

/* Note and log that the load of a cache begins. */
static void
begin_progress(const ContimeTable *table, ContimeGeneration *g)
{
	ContimeProgress *progress = &g->cache.progress;
	double total = 0;

	for (const ContimeSource *source = table->source; source; source = source->next)
		total += estimate_rows(source->events);
	strlcpy(loaded_table, table->name, sizeof(loaded_table));
	pg_atomic_write_u64(&progress->done, 0);
	pg_atomic_write_u64(&progress->total, (uint64) total);
	pg_atomic_write_u64(&progress->began, (uint64) GetCurrentTimestamp());
	ereport(LOG, (errmsg("load of continuous table \"%s\" begins: about %.0f rows", table->name,
						 total)));
}

/* Log how the load has ended.  Do nothing if it had not begun. */
static void
end_progress(ContimeGeneration *g, const char *outcome)
{
	ContimeProgress *progress = &g->cache.progress;
	TimestampTz began = (TimestampTz) pg_atomic_read_u64(&progress->began);
	double seconds = (GetCurrentTimestamp() - began) / (double) USECS_PER_SEC;

	Assert(outcome != NULL);
	if (began == 0)
		return;
	ereport(LOG, (errmsg("load of continuous table \"%s\" has ended: %s", loaded_table, outcome),
				  errdetail("It has read %llu rows in %.3f s.",
							(unsigned long long) pg_atomic_read_u64(&progress->done), seconds)));
	pg_atomic_write_u64(&progress->began, 0);
}

/* ---- rows -------------------------------------------------------------------- */

/* What a load has done so far. */
typedef struct Filling
{
	bool room;      /* there is room for more; false: the rest is only counted */
	uint64 skipped; /* rows that did not fit */
	int64 newest;   /* the latest instant of these */
} Filling;

/*
 * Load every row of an event table that the snapshot sees; when memory runs out, count
 * the rest.
 */
static void
load_source(const ContimeTable *table, const ContimeSource *source, Snapshot snapshot,
			ContimeGeneration *g, List *relations, Filling *filling)
{
	ContimeHeapLoad *load;
	uint64 before = pg_atomic_read_u64(&g->cache.progress.done);
	bool more = true;

	Assert(ActiveSnapshotSet());
	/* (Preparing an expression evaluates its constant parts, which may call user-made code.) */
	if (contime_source_is_limited(table))
		contime_guard_begin(table->relid, table->owner);
	load = contime_heap_load_begin(table, source);
	contime_heap_load_bind(load, snapshot, NULL);
	for (int n = 1; more && contime_cache_state(g) == CONTIME_CACHE_LOADING; n++)
	{
		CHECK_FOR_INTERRUPTS();
		if (n % GIVE_WAY_LOADS == 0)
			yield_to_ddl(relations);
		more = filling->room ? contime_heap_load_next(load, g)
							 : contime_heap_load_skip(load, g, &filling->skipped, &filling->newest);
		pg_atomic_write_u64(&g->cache.progress.done, before + contime_heap_load_fetched(load));
		if (contime_source_is_limited(table))
			contime_guard_extend((uint64) n * CONTIME_FETCH_ROWS);
		filling->room = filling->room && contime_evict(g, 0, 0);
	}
	contime_heap_load_end(load);
	contime_guard_end();
}

/*
 * Note the snapshot by which the cache was loaded, and make the cache readable.  Count
 * it as read now, because the backend that wanted it has read the event tables.
 * Return false if the state is not `from` any more.
 */
static bool
publish_cache(ContimeGeneration *g, const CtSnapshot *snapshot, ContimeCacheState from,
			  ContimeCacheState to)
{
	Assert(contime_cache_is_readable(to));
	contime_note_loaded(&g->cache.loaded, snapshot);
	pg_atomic_write_u64(&g->cache.last_read, (uint64) GetCurrentTimestamp());
	pg_write_barrier();
	return contime_cache_change_state(g, from, to);
}

/*
 * Not all rows fit: remove the loaded events, and publish the cache as a partial one
 * without any key.  Return false if the cache was broken meanwhile.
 */
static bool
publish_partial(ContimeGeneration *g, const Filling *filling)
{
	CtStats stats = contime_generation_stats(g);
	uint64 rows = stats.frozen + filling->skipped;
	double row_bytes = stats.bytes / (double) Max(stats.frozen + stats.recent, 1);

	if (!contime_cache_change_state(g, CONTIME_CACHE_LOADING, CONTIME_CACHE_TRIMMING))
		return false;

	/* (An estimate from few rows is poor: cap it at twice the memory that was used.) */
	contime_make_partial(g, rows, Min((Size) (row_bytes * rows), 2 * stats.bytes), filling->newest);
	contime_unload_keys(g);
	g->partial.retry_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
	return publish_cache(g, &(CtSnapshot){0}, CONTIME_CACHE_TRIMMING, CONTIME_CACHE_PARTIAL);
}

/*
 * Load the rows that a new snapshot sees, and publish the cache.  Return why that
 * failed, or CONTIME_REFUSAL_NONE.
 */
static ContimeRefusal
load_visible_rows(const ContimeTable *table, ContimeGeneration *g, List *relations)
{
	Filling filling = {.room = true, .newest = PG_INT64_MIN};
	ContimeView *view;
	ContimeRefusal reason = CONTIME_REFUSAL_NONE;

	Assert(g->relation == table->relid && g->database == MyDatabaseId);
	PushActiveSnapshot(GetLatestSnapshot());
	view = contime_view_begin(GetActiveSnapshot());
	begin_progress(table, g);
	for (const ContimeSource *source = table->source; source; source = source->next)
		load_source(table, source, GetActiveSnapshot(), g, relations, &filling);
	for (int p = 0; p < contime_shared->partitions && filling.room; p++)
		drop_loaded(g, p, view);
	if (contime_cache_has_duplicates(g))
		reason = CONTIME_REFUSAL_DUPLICATES;
	else if (!(filling.room ? publish_cache(g, &view->plain, CONTIME_CACHE_LOADING,
											CONTIME_CACHE_READY)
							: publish_partial(g, &filling)))
		reason = CONTIME_REFUSAL_INVALIDATED;
	else if (!filling.room)
		ereport(LOG,
				(contime_budget_left(g) == PG_INT64_MAX
					 ? errmsg("continuous table \"%s\" is cached in part: it does not fit into contime.memory",
							  table->name)
					 : errmsg("continuous table \"%s\" is cached in part: it does not fit into its memory limits",
							  table->name),
				 errdetail(
					 "Reads of other keys, and of all keys, use its event tables.")));
	PopActiveSnapshot();
	contime_view_end(view);
	return reason;
}

/*
 * Take AccessExclusiveLock on a continuous table.  A queued request blocks all other
 * users of the table, so wait for the lock at most once in QUEUE_MS; otherwise raise
 * ERROR 55P03.
 */
static void
lock_exclusively(Oid relid)
{
	static TimestampTz queued = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (ConditionalLockRelationOid(relid, AccessExclusiveLock))
		return;
	if (now < TimestampTzPlusMilliseconds(queued, QUEUE_MS))
		ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						errmsg("continuous table with OID %u is in use", relid)));
	queued = now;
	LockRelationOid(relid, AccessExclusiveLock);
}

/*
 * Return an empty generation to load a table into; replace the current one if it has
 * events.  Return NULL if there is no slot.
 */
static ContimeGeneration *
prepare_generation(const ContimeTable *table)
{
	ContimeGeneration *g = contime_generation(table->relid);
	bool empty = g != NULL && contime_cache_state(g) == CONTIME_CACHE_WANTED;

	for (int p = 0; empty && p < contime_shared->partitions; p++)
		empty = g->store[p] == 0;
	if (empty)
		return g;
	lock_exclusively(table->relid);
	g = contime_generation_replace(table->relid);
	UnlockRelationOid(table->relid, AccessExclusiveLock);
	return g;
}

/* The error of the last load that failed, and the serial of its generation. */
static struct
{
	uint64 serial;
	char message[256];
} last_error;

/*
 * For each reason of a refusal: the text that is logged, and the delay before the next
 * try.
 */
static const struct
{
	const char *text;
	int retry_ms;
} refusals[] = {
	[CONTIME_REFUSAL_OBSTACLE] = {NULL, RETRY_MS},
	[CONTIME_REFUSAL_DUPLICATES] = {"two events have one identity", RETRY_DEAR_MS},
	[CONTIME_REFUSAL_FAILED] = {"it could not be loaded", RETRY_DEAR_MS},
	[CONTIME_REFUSAL_INVALIDATED] = {"it was invalidated while it was loaded", RETRY_GIVEN_UP_MS},
	[CONTIME_REFUSAL_NO_MEMORY] = {"memory was exhausted while it was loaded", RETRY_MS},
	[CONTIME_REFUSAL_SLOW_CODE] = {"user-made code that it uses took too long", RETRY_DEAR_MS},
	[CONTIME_REFUSAL_UNBOUND] = {"it is not bound to its event tables", RETRY_MS},
};

StaticAssertDecl(lengthof(refusals) == CONTIME_REFUSAL_UNBOUND + 1, "each refusal has its time");

/* Log once why a table is not cached. */
static void
log_refused(Oid relid, uint64 serial, ContimeRefusal reason, const char *obstacle)
{
	const char *text = reason == CONTIME_REFUSAL_OBSTACLE ? obstacle : refusals[reason].text;

	/* Already logged by guard.c, or the agent logs the result. */
	if (reason == CONTIME_REFUSAL_SLOW_CODE || reason == CONTIME_REFUSAL_UNBOUND)
		return;
	if (reason == CONTIME_REFUSAL_FAILED && last_error.serial == serial)
		text = last_error.message;
	Assert(text != NULL);
	ereport(LOG, (errmsg("continuous table %s is not cached: %s", contime_cache_name(relid), text),
				  errdetail("Its event tables are read.")));
}

/* Change the state of a cache that other processes change only from NONE to WANTED. */
static void
enter_state(ContimeGeneration *g, ContimeCacheState to)
{
	while (!contime_cache_change_state(g, contime_cache_state(g), to))
		;
}

/*
 * Mark a table's cache REFUSED for a while, and log the reason.  If the cache holds
 * events, replace its generation first, which needs the exclusive lock on the table.
 */
static void
refuse_load(Oid relid, ContimeGeneration *g, ContimeRefusal reason, const char *obstacle)
{
	const ContimeGeneration *slot = g;
	uint64 serial = g->serial;

	Assert(reason != CONTIME_REFUSAL_NONE);
	/* If the lock is not available now, the next try finds this note. */
	contime_refusal_note(g, reason, obstacle);
	if (contime_cache_state(g) != CONTIME_CACHE_WANTED)
	{
		lock_exclusively(relid);
		g = contime_generation_replace(relid);
	}
	if (g == NULL)
		return;
	g->cache.load_after =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), refusals[reason].retry_ms);
	g->cache.unbound = reason == CONTIME_REFUSAL_UNBOUND;
	pg_write_barrier();
	enter_state(g, CONTIME_CACHE_REFUSED);
	if (reason == CONTIME_REFUSAL_UNBOUND)
		contime_agent_wake(MyDatabaseId);
	contime_refusal_clear(slot);
	log_refused(relid, serial, reason, obstacle);
}

/* The generation that is being loaded. */
static ContimeGeneration *at_hand;

static void
load_table(Oid relid)
{
	Relation rel;
	const ContimeTable *table;
	ContimeRefusal reason;
	const char *obstacle;
	List *relations;
	ContimeGeneration *g;

	LockRelationOid(relid, AccessShareLock);
	if (!contime_is_table(relid))
		return;
	contime_source_lock(relid);
	g = contime_generation(relid);
	if (g == NULL)
		return;

	/* Check this first: anything after it may be what failed before. */
	reason = contime_refusal_of(g, &obstacle);
	if (reason != CONTIME_REFUSAL_NONE)
	{
		refuse_load(relid, g, reason, obstacle);
		return;
	}
	if (!contime_bindings_are_complete(relid))
	{
		refuse_load(relid, g, CONTIME_REFUSAL_UNBOUND, NULL);
		return;
	}
	rel = relation_open(relid, NoLock);
	if (!contime_guard_trusts(relid, rel->rd_rel->relowner))
	{
		refuse_load(relid, g, CONTIME_REFUSAL_SLOW_CODE, NULL);
		relation_close(rel, NoLock);
		return;
	}
	contime_guard_begin(relid, rel->rd_rel->relowner);
	table = contime_table(rel);
	contime_guard_end();
	contime_source_check(table);
	obstacle = find_obstacle(table, &relations);
	if (obstacle == NULL)
	{
		g = prepare_generation(table);
		if (g == NULL)
		{
			relation_close(rel, NoLock);
			return;
		}
		at_hand = g;
		contime_limits_note(table, g, true);
		enter_state(g, CONTIME_CACHE_LOADING);
		pg_memory_barrier();
		wait_for_writers(relations);

		/*
		 * The transactions waited for may have changed the relations, so check again.
		 * A later change breaks the cache.
		 */
		AcceptInvalidationMessages();
		obstacle = find_obstacle(table, &relations);
	}
	reason = obstacle ? CONTIME_REFUSAL_OBSTACLE : load_visible_rows(table, g, relations);
	if (obstacle == NULL)
		end_progress(g, reason != CONTIME_REFUSAL_NONE ? refusals[reason].text
						: contime_cache_state(g) == CONTIME_CACHE_PARTIAL
							? "keys are cached as they are read"
							: "all keys are cached");
	if (reason != CONTIME_REFUSAL_NONE)
		refuse_load(relid, g, reason, obstacle);
	else
		contime_notice_reset(g, true);
	relation_close(rel, NoLock);
}

/* ---- the loader -------------------------------------------------------------- */

/* After a failed load: the time of the next try, for each slot of a generation. */
static TimestampTz not_before[CONTIME_MAX_GENERATIONS];

/*
 * Handle an error of a load: break the cache, abort the transaction, and put off the
 * next try.  Unless the cause is temporary (a lock, a cancellation, memory that is
 * still being freed), note the refusal.  The transaction's locks are held until it is
 * aborted, so at_hand is still the same generation.
 */
static void
handle_load_error(void)
{
	int index = at_hand - contime_shared->generation;
	ErrorData *error = CopyErrorData();
	bool passes = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
				  error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED || contime_is_interrupt(error);

	Assert(index >= 0 && index < contime_shared->slots);
	end_progress(at_hand, error->message);

	/* The memory of the generation before this one is charged until a worker has freed it. */
	passes |= error->sqlerrcode == ERRCODE_OUT_OF_MEMORY && contime_memory_is_freeing(at_hand, 0);
	if (!passes)
	{
		last_error.serial = at_hand->serial;
		strlcpy(last_error.message, error->message, sizeof(last_error.message));
		contime_refusal_note(at_hand,
							 error->sqlerrcode == ERRCODE_OUT_OF_MEMORY ? CONTIME_REFUSAL_NO_MEMORY
																		: CONTIME_REFUSAL_FAILED,
							 NULL);
	}
	if (!contime_cache_change_state(at_hand, CONTIME_CACHE_LOADING, CONTIME_CACHE_BROKEN))
		(void) contime_cache_change_state(at_hand, CONTIME_CACHE_TRIMMING, CONTIME_CACHE_BROKEN);
	FlushErrorState();
	AbortCurrentTransaction();
	not_before[index] = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_LOCKED_MS);
}

/* Load the table of a generation in a transaction of its own, and handle an error. */
static void
try_load(ContimeGeneration *g)
{
	MemoryContext caller = CurrentMemoryContext;

	at_hand = g;
	SetCurrentStatementStartTimestamp();
	PG_TRY();
	{
		Assert(!IsTransactionState());
		StartTransactionCommand();

		/*
		 * Skip a generation that is not in force: a newer one is, or its replacement
		 * is not committed.
		 */
		if (contime_generation(g->relation) == g)
			load_table(g->relation);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		contime_guard_end();
		handle_load_error();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	pgstat_report_stat(true);
}

static bool
load_tables(MemoryContext context)
{
	bool busy = false;

	for (int i = 0; i < contime_shared->highest; i++)
	{
		if (!contime_cache_load_is_due(&contime_shared->generation[i]))
			continue;
		busy = true;
		if (not_before[i] <= GetCurrentTimestamp())
			try_load(&contime_shared->generation[i]);
		MemoryContextReset(context);
	}
	return busy;
}

/* Load wanted keys, at most LOADS_OF_KEYS times, so that tables are not delayed. */
static bool
load_wanted_keys(void)
{
	bool busy = false;

	for (int i = 0; i < LOADS_OF_KEYS && contime_keys_load(); i++)
	{
		CHECK_FOR_INTERRUPTS();
		busy = true;
	}
	return busy;
}

static bool
run_eviction(void)
{
	static TimestampTz next = 0;
	ContimeGeneration *tight = NULL;
	Size spare = ct_region_total(contime_region) / SPARE_SHARE;
	bool made;

	if (contime_eviction_is_wanted() != MyDatabaseId &&
		(tight = contime_tight_cache(MyDatabaseId)) == NULL)
		return false;
	if (GetCurrentTimestamp() < next)
		return true;
	Assert(!IsTransactionState());
	if (tight)
		spare = contime_account_quota(tight, contime_budget_tight(tight, 0)) / SPARE_SHARE;
	StartTransactionCommand();
	made = contime_evict(tight, spare, ROUNDS_TO_SPARE);
	CommitTransactionCommand();
	next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									   made ? ROOM_INTERVAL_MS : NO_ROOM_INTERVAL_MS);
	return true;
}

/*
 * Load all keys of a partial cache if they fit now and it was read lately.  Return
 * true if one was read lately: then the loader must not exit.
 */
static bool
complete_partial_caches(void)
{
	bool busy = false;

	for (int i = 0; i < contime_shared->highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];

		if (!contime_generation_is_live(g) || g->database != MyDatabaseId ||
			!contime_partial_is_read(g))
			continue;
		busy = true;
		if (!contime_partial_fits(g))
			continue;
		g->partial.retry_after =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WHOLE_INTERVAL_MS);
		try_load(g);
	}
	return busy;
}

void
contime_loader_main(Datum arg)
{
	Oid database = DatumGetObjectId(arg);
	TimestampTz until = 0; /* the loader runs until then */
	MemoryContext context;

	contime_process_begin(true);
	if (!contime_loader_attach(database))
		proc_exit(0);
	contime_background_connect(database);
	Assert(MyDatabaseId == database);
	LockTimeout = LOADER_LOCK_MS;

	/* A serializable loader could make transactions fail that write the rows it reads. */
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	context = AllocSetContextCreate(TopMemoryContext, "contime loader", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);

	contime_keys_begin();
	do
	{
		bool busy;

		if (contime_background_is_in_the_way())
			contime_agent_leave();
		busy = load_tables(context);
		busy |= load_wanted_keys();
		busy |= run_eviction();
		busy |= complete_partial_caches();
		if (busy)
			until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOADER_IDLE_MS);
		MemoryContextReset(context);
		contime_process_nap(LOADER_NAP_MS, true);
	} while (GetCurrentTimestamp() < until);
	proc_exit(0);
}
