/*
 * worker.c
 *	  A partition's worker: it enters, drops, freezes, folds and frees events.
 *
 *	  recent ── transaction ended ──┬─ committed ─► entered: young ─► frozen
 *	                                └─ aborted ───► dropped             │
 *	                          older than the table retains: folded ◄────┘
 *
 * One background worker owns each partition: it alone changes timelines and summaries
 * there.  It is connected to no database, only to shared catalogs, which gives it an
 * entry in the ProcArray.  Without one TransactionIdIsInProgress() and
 * GetReplicationHorizons() would return wrong results.
 *
 * A worker enters an event when its top-level transaction is no longer in progress and
 * its own (sub)transaction has committed.  (A commit in the log is not enough: the
 * transaction may still be waiting for a synchronous standby, and is then not
 * visible.)  It drops an event when its own transaction is known to have aborted,
 * never just because it did not commit.
 *
 * Concurrency: the worker holds the partition lock for a limited number of events at a
 * time, and changes events in a critical section, so that a termination never leaves a
 * timeline half changed.  Without a worker everything still works, but slower, since
 * readers fold recent events.
 *
 * The worker polls, because waking a sleeping process is expensive and no process
 * waits for the worker.  After some time without work it hibernates, and sets a flag
 * so that a writer wakes it.
 *
 * Not here: how the engine enters events (engine/), notices (notify/notices.c,
 * agent.c).
 */
#include "postgres.h"

#include "worker/worker.h"
#include "worker/processes.h"
#include "base/base.h"
#include "durable/durable.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "store/store.h"

#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"

/* Sleep between passes: short after work, then doubled, up to hibernation. */
#define SHORTEST_NAP_MS 10
#define LONGEST_NAP_MS 80
#define HIBERNATION_MS 10000

/* The least time between two wake-ups of a loader because memory is short. */
#define ROOM_INTERVAL_MS 100

/* The result of a pass over a partition. */
typedef enum Activity
{
	IDLE,    /* no work until a backend writes */
	PENDING, /* waiting for transactions and snapshots to end */
	WORKED
} Activity;

/* Return the oldest transaction id that some snapshot may not see, with 64 bits. */
static uint64
get_horizon(void)
{
	TransactionId xmin;
	TransactionId catalog_xmin;

	/*
	 * GetOldestNonRemovableTransactionId() is not used, because an abandoned logical
	 * slot would hold it back for ever.
	 */
	GetReplicationHorizons(&xmin, &catalog_xmin);
	Assert(TransactionIdIsNormal(xmin));
#ifdef USE_ASSERT_CHECKING
	if (contime_debug_visibility == CONTIME_VISIBILITY_FREEZE_EARLY)
		return U64FromFullTransactionId(ReadNextFullTransactionId());
#endif
	return contime_full_xid(xmin);
}

/* This worker's partition. */
static ContimePartition *mine = NULL;

/* ---- one generation ---------------------------------------------------------- */

/*
 * Log once per generation that the status of a transaction is truncated.  Its events
 * stay recent for ever, and a reader that needs them gets an error.  Other events are
 * not affected.
 */
static void
log_truncated(int partition, ContimeGeneration *g, uint64 xid)
{
	if (g->truncation_logged)
		return;
	g->truncation_logged = true;
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("status of transaction %llu is no longer known", (unsigned long long) xid),
			 errdetail("It wrote to relation %u of database %u, and the worker of partition %d was stopped for too long since.",
					   g->relation, g->database, partition),
			 errhint("TRUNCATE the continuous table, or restart the server.")));
}

/*
 * Enter or drop every batch whose transaction has ended.  Return true if any was.
 * Unless the loader holds the batches, only this worker removes them, and a batch does
 * not grow after its transaction has ended.  So a copy of its label is valid without
 * the lock.
 */
static bool
process_batches(int partition, ContimeGeneration *g)
{
	uint32 hold = pg_atomic_read_u32(&g->partial.hold);
	CtRef previous = 0;
	CtRef batch = 0;
	CtBatch copy;
	bool worked = false;

	Assert(g->store[partition] != 0); /* only this worker clears it */
	if (contime_is_held(hold))
		return false;
	while (contime_next_batch(partition, g, hold, &batch, &copy))
	{
		ContimeXactStatus xact_status = contime_xact_status(copy.top, copy.xid);

#ifdef USE_ASSERT_CHECKING
		if (xact_status == CONTIME_XACT_IN_PROGRESS &&
			contime_debug_visibility == CONTIME_VISIBILITY_ENTER_EARLY)
			xact_status = CONTIME_XACT_COMMITTED;
#endif
		if (xact_status == CONTIME_XACT_TRUNCATED)
			log_truncated(partition, g, copy.xid);
		if (xact_status == CONTIME_XACT_TRUNCATED || xact_status == CONTIME_XACT_IN_PROGRESS ||
			!contime_end_batch(partition, g, hold, batch, xact_status == CONTIME_XACT_COMMITTED))
		{
			previous = batch;
			continue;
		}
		worked = true;
		batch = previous;
	}
	return worked;
}

/* Fold the events that are older than the table retains. */
static void
process_retention(int partition, ContimeGeneration *g)
{
	CtArena arena = contime_arena(partition);
	CtStats stats;
	int64 from;

	if (g->retain.period == 0 && !g->retain.guarded)
		return;
	contime_lock(partition, LW_SHARED);
	ct_store_stats(&arena, g->store[partition], &stats);
	contime_unlock(partition);
	if (contime_retention_from(g, stats.newest_entered, &from))
		(void) contime_store_run_to_end(&(ContimeStoreTask){CONTIME_STORE_RETAIN}, partition, g);
}

/* True if a store has events that are not entered or not frozen yet. */
static bool
is_pending(int partition, CtRef store)
{
	CtArena arena = contime_arena(partition);
	CtStats stats;

	contime_lock(partition, LW_SHARED);
	ct_store_stats(&arena, store, &stats);
	contime_unlock(partition);
	return stats.recent > 0 || stats.young > 0;
}

#ifdef USE_ASSERT_CHECKING
static void
validate_store(int partition, CtRef store)
{
	CtArena arena = contime_arena(partition);
	const char *reason = NULL;
	CtStatus status;

	contime_lock(partition, LW_SHARED);
	status = ct_store_validate(&arena, store, &reason);
	contime_unlock(partition);
	if (status != CT_OK)
		elog(PANIC, "contime: invariant broken: %s", reason);
}
#endif

static Activity
process_generation(int partition, ContimeGeneration *g, uint64 before)
{
	bool worked;

	Assert(mine == &contime_shared->partition[partition]);
	Assert(contime_holds_no_lock());
	if (contime_generation_state(g) == CONTIME_GENERATION_DEAD)
	{
		(void) contime_store_run_to_end(&(ContimeStoreTask){CONTIME_STORE_FREE}, partition, g);
		return WORKED;
	}
	worked = process_batches(partition, g);
	(void) contime_store_run_to_end(&(ContimeStoreTask){CONTIME_STORE_SETTLE, .before = before},
									partition, g);
	process_retention(partition, g);
	if (contime_cache_is_readable(contime_cache_state(g)))
		contime_cache_check(g, partition);
#ifdef USE_ASSERT_CHECKING
	if (contime_debug_validate && worked)
		validate_store(partition, g->store[partition]);
#endif
	if (worked)
		return WORKED;
	return is_pending(partition, g->store[partition]) ? PENDING : IDLE;
}

/* ---- the worker --------------------------------------------------------------- */

/*
 * True if the worker may handle a generation.  A cache that is being loaded, refused
 * or broken belongs to the loader.
 */
static bool
is_in_use(ContimeGeneration *g)
{
	ContimeCacheState state = contime_cache_state(g);

	return contime_generation_state(g) == CONTIME_GENERATION_DEAD || state == CONTIME_CACHE_NONE ||
		   contime_cache_is_readable(state);
}

/* If memory is short, wake a loader that can evict, at most once in ROOM_INTERVAL_MS. */
static void
request_eviction(void)
{
	static TimestampTz not_before = 0;
	Oid database = contime_eviction_is_wanted();
	ContimeGeneration *tight = OidIsValid(database) ? NULL : contime_tight_cache(InvalidOid);

	if (tight)
		database = tight->database;
	if (!OidIsValid(database) || GetCurrentTimestamp() < not_before)
		return;
	contime_agent_wake(database);
	not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ROOM_INTERVAL_MS);
}

/*
 * Handle every generation once; partition 0 also does the work that is not per
 * partition.
 */
static Activity
run_pass(int partition)
{
	uint64 before = get_horizon();
	Activity activity = IDLE;

	Assert(mine == &contime_shared->partition[partition]);
	if (partition == 0)
	{
		bool pending = contime_generations_sweep();

		pending |= contime_retention_resolve_all();
		if (pending)
			activity = PENDING;
		request_eviction();
	}
	for (int i = contime_next_slot(-1); i >= 0; i = contime_next_slot(i))
	{
		ContimeGeneration *g = &contime_shared->generation[i];

		if (g->store[partition] != 0 && is_in_use(g) && !contime_is_quarantined(g))
		{
			Activity found = process_generation(partition, g, before);

			activity = Max(activity, found);
		}
	}
	contime_shared->partition[partition].last_pass = GetCurrentTimestamp();
	return activity;
}

static void
detach_worker(int code, Datum arg)
{
	Assert(mine->pid == MyProcPid);
	mine->latch = NULL;
	mine->pid = 0;
}

/*
 * SIGQUIT: another process has crashed.  Clear the note of the table being changed, as
 * it did not cause the crash.
 */
static void
handle_quickdie(SIGNAL_ARGS)
{
	mine->changing_relation = InvalidOid;
	SignalHandlerForCrashExit(postgres_signal_arg);
}

/*
 * Sleep until a writer wakes this worker.  The flag is set before one more pass, so
 * that no event is missed between the pass and the sleep.
 */
static void
sleep_until_woken(int partition)
{
	ContimePartition *part = &contime_shared->partition[partition];

	pg_atomic_write_u32(&part->hibernating, 1);
	pg_memory_barrier();
	if (run_pass(partition) == IDLE)
		contime_process_nap(HIBERNATION_MS, true);
	pg_atomic_write_u32(&part->hibernating, 0);
}

void
contime_worker_main(Datum arg)
{
	int partition = DatumGetInt32(arg);
	long nap_ms = SHORTEST_NAP_MS;

	Assert(partition >= 0 && partition < contime_shared->partitions);
	mine = &contime_shared->partition[partition];
	Assert(mine->pid == 0); /* a partition has one worker */
	contime_batch_attach(mine);
	mine->changing_relation = InvalidOid;
	pqsignal(SIGQUIT, handle_quickdie);
	contime_process_begin(true);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	Assert(!OidIsValid(MyDatabaseId));
	before_shmem_exit(detach_worker, arg);
	mine->pid = MyProcPid;
	mine->latch = MyLatch;
	if (partition == 0 && contime_shared->first_xid == 0)
		contime_shared->first_xid = U64FromFullTransactionId(ReadNextFullTransactionId());

	for (;;)
	{
		Activity activity = run_pass(partition);

		if (activity == WORKED)
			nap_ms = SHORTEST_NAP_MS;
		else if (activity == IDLE && nap_ms >= LONGEST_NAP_MS)
			sleep_until_woken(partition);
		else
		{
			contime_process_nap(nap_ms, true);
			nap_ms = Min(nap_ms * 2, LONGEST_NAP_MS);
		}
	}
}

void
contime_register_workers(void)
{
	Assert(contime_workers >= 1 && contime_workers <= CONTIME_MAX_WORKERS);
	for (int p = 0; p < contime_workers; p++)
	{
		char name[BGW_MAXLEN];

		snprintf(name, sizeof(name), "contime worker %d", p);
		contime_register_process("worker", name, Int32GetDatum(p));
	}
	contime_register_process("launcher", "contime launcher", (Datum) 0);
}
