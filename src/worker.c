/*
 * worker.c
 *	  A partition's worker: entering, dropping, freezing, folding, freeing.
 *
 *	  recent ── transaction ended ──┬─ committed ─► entered: young ─► frozen
 *	                                └─ aborted ───► dropped     │
 *	                           older than what is retained ◄────┘ folded
 *
 * One background worker owns each partition: it alone changes timelines and
 * summaries there.  It is connected to no database, but to shared catalogs,
 * which gives it a place in the ProcArray: without one the answers of
 * TransactionIdIsInProgress() and GetReplicationHorizons() would be wrong.
 *
 * An event is entered when its top-level transaction is no longer in progress
 * and its own committed.  (Committed alone is not visible: it may be waiting
 * for a synchronous standby.)  It is dropped once its own transaction is
 * known to have aborted, never just because it did not commit.
 *
 * Concurrency: the lock is held for a limited number of events at a time, and
 * changes run in a critical section, so that a termination never leaves a
 * timeline half changed.  Without a worker everything still works, from
 * recent events, slower.
 *
 * The worker polls: waking a sleeping process is dear, and nobody waits for
 * it.  After a quiet while it hibernates and leaves word to be woken.
 *
 * Not here: what entering means (engine/), notices (reconcile.c, agent.c).
 */
#include "contime.h"
#include "shared/budget.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/*
 * Events changed under one hold of the lock, which keeps others from
 * inserting: one takes 0.1 to 1 us.
 */
#define EVENTS_PER_LOCK 128

/*
 * While others wait it is fewer, and a worker rests after each hold: it then
 * rarely loses its processor in the middle of one, which would have them wait
 * until the machine has had time for everybody else.
 */
#define EVENTS_PER_SHORT_LOCK 32
#define SHORT_LOCKS_US 5000
#define REST_US 50

/*
 * Near a quota it is fewer, so that entering does not exceed the quota by much:
 * an event that enters among frozen ones has its whole block keep ids of
 * transactions again, which takes so many bytes, until it is frozen, too.
 */
#define LEAST_PER_LOCK 16
#define GROWTH_PER_EVENT 2048

/* Work of retention: looking at a timeline is little of it. */
#define RETENTION_PER_LOCK 64

/* Sleep between passes: short after work, doubling up to hibernation. */
#define SHORTEST_NAP_MS 10
#define LONGEST_NAP_MS 80
#define HIBERNATION_MS 10000

/* How often a loader is told that memory is short. */
#define ROOM_INTERVAL_MS 100

/* What a pass over a partition found. */
typedef enum Activity
{
	IDLE,						/* nothing until somebody writes */
	PENDING,					/* waiting for transactions and snapshots to end */
	WORKED
} Activity;

/* The oldest id that some snapshot may not see, in 64 bits. */
static uint64
horizon(void)
{
	TransactionId xmin;
	TransactionId catalog_xmin;

	/*
	 * Not GetOldestNonRemovableTransactionId(): a forgotten logical slot
	 * would hold that for ever.
	 */
	GetReplicationHorizons(&xmin, &catalog_xmin);
#ifdef USE_ASSERT_CHECKING
	if (contime_debug_visibility == CONTIME_VISIBILITY_FREEZE_EARLY)
		return U64FromFullTransactionId(ReadNextFullTransactionId());
#endif
	return contime_widen(xmin);
}

/* This worker's partition. */
static ContimePartition *mine = NULL;

/* ---- one generation -------------------------------------------------------------------- */

/* What one call into the engine does, under the lock. */
typedef enum Chore
{
	ENTER,
	DROP,
	SETTLE,
	RETAIN,
	FREE
} Chore;

/* A chore, and on what. */
typedef struct Task
{
	Chore		chore;
	CtRef		batch;			/* entered or dropped, */
	uint32		hold;			/* while this is what it was */
	uint64		before;			/* settled: what is of transactions before */
} Task;

/* Should this be the last that is heard of this worker (shared.c).  (A loader is none.) */
static void
note_changing(const ContimeGeneration *g)
{
	if (mine == NULL)
		return;
	mine->changing_database = g ? g->database : InvalidOid;
	mine->changing_relation = g ? g->relation : InvalidOid;
}

/*
 * Is it still ours to take batches from?  Under the lock.  A loader that holds
 * them enters some itself; what was known of batches before is nothing then.
 */
static inline bool
may_take(const ContimeGeneration *g, uint32 hold)
{
	return pg_atomic_read_u32(&unconstify(ContimeGeneration *, g)->hold) == hold;
}

/*
 * May recent events enter, though a quota of theirs is reached?  Not as long as
 * there are some to be frozen, which gives memory back.  Under the lock.
 */
static bool
may_enter(const ContimeGeneration *g, int partition, Size left)
{
	CtArena		arena = contime_arena(partition);
	CtStats		stats;

	if (left > 0)
		return true;
	ct_store_stats(&arena, g->store[partition], &stats);
	return stats.young == 0;
}

/* How many events to change under this hold of the lock. */
static uint32
events_per_lock(Size left, uint32 most)
{
	return Max(Min(left / GROWTH_PER_EVENT, most), LEAST_PER_LOCK);
}

/*
 * Before a hold: let others go first, and rest a little if some have waited
 * lately.  How many events the hold is for, at most.
 */
static uint32
give_way(int partition)
{
	static TimestampTz waited = 0;
	bool		waits = contime_step_back(partition, true);

	if (waits)
		waited = GetCurrentTimestamp();
	else if (waited == 0)
		return EVENTS_PER_LOCK;
	else if (GetCurrentTimestamp() - waited > SHORT_LOCKS_US)
	{
		waited = 0;
		return EVENTS_PER_LOCK;
	}
	else
		pg_usleep(REST_US);
	return EVENTS_PER_SHORT_LOCK;
}

/*
 * Do a chore for a limited number of events.  CT_AGAIN: there is more.
 * CT_NO_MEMORY: the rest stays as it is, slower, never wrong.
 */
static CtStatus
do_some(const Task *task, int partition, ContimeGeneration *g)
{
	ContimePartition *part = &contime_shared->partition[partition];
	CtArena		arena = contime_arena(partition);
	CtRef		store = g->store[partition];
	const CtBatch *batch = ct_ptr(&arena, task->batch);
	uint32		count;
	const int64_t *served = (const int64_t *) &g->served.value;
	CtKeyChanged keys[EVENTS_PER_LOCK];
	CtChanged	changed = {.keys = keys};
	CtStatus	status = CT_OK;
	uint32		most;
	Size		left;
	Size		before;
	bool		wake;

	most = give_way(partition);
	contime_lock(partition, LW_EXCLUSIVE);
	left = contime_budget_left(g);
	if (task->batch != 0 && (!may_take(g, task->hold) ||
							 (task->chore == ENTER && mine && !may_enter(g, partition, left))))
	{
		contime_unlock(partition);
		return CT_NO_MEMORY;
	}
	note_changing(g);
	count = task->batch != 0 ? batch->count : 0;

	START_CRIT_SECTION();
	before = contime_charge_begin(g, partition);
	switch (task->chore)
	{
		case ENTER:
			status = ct_store_enter(&arena, store, task->batch, events_per_lock(left, most), served,
									&changed);
			break;
		case DROP:
			status = ct_store_drop(&arena, store, task->batch, most);
			break;
		case SETTLE:
			status = ct_store_settle(&arena, store, task->before, most);
			break;
		case RETAIN:
			status = ct_store_retain(&arena, store, contime_retained(g), RETENTION_PER_LOCK);
			break;
		case FREE:
			status = ct_store_free(&arena, store, most);
			if (status == CT_OK)
				g->store[partition] = 0;
			break;
	}
	contime_charge_end(g, partition, before);
	if (task->batch != 0)
		*(task->chore == ENTER ? &part->entered : &part->dropped) +=
			count - (status == CT_OK ? 0 : batch->count);
	wake = contime_notices_add(partition, g, &changed);
	END_CRIT_SECTION();
	note_changing(NULL);
	contime_unlock(partition);

	/* Tell the agent, or whoever starts it. */
	if (wake)
		contime_agent_wake(g->database);
	CHECK_FOR_INTERRUPTS();
	if (task->chore == ENTER && status == CT_AGAIN)
		contime_pause("entering", g->database);
	return status;
}

/* Do a task to its end; false when memory did not suffice, or it is not ours any more. */
static bool
do_all(const Task *task, int partition, ContimeGeneration *g)
{
	CtStatus	status;

	do
		status = do_some(task, partition, g);
	while (status == CT_AGAIN);
	return status == CT_OK;
}

bool
contime_next_batch(int partition, const ContimeGeneration *g, uint32 hold, CtRef *batch,
				   CtBatch *copy)
{
	CtArena		arena = contime_arena(partition);
	const CtBatch *found = NULL;

	contime_lock(partition, LW_SHARED);
	if (may_take(g, hold))
		found = *batch == 0 ? ct_store_first_batch(&arena, g->store[partition], batch)
			: ct_store_next_batch(&arena, batch);
	if (found)
		*copy = *found;
	contime_unlock(partition);
	return found != NULL;
}

bool
contime_end_batch(int partition, ContimeGeneration *g, uint32 hold, CtRef batch, bool committed)
{
	Task		task = {committed ? ENTER : DROP, .batch = batch, .hold = hold};

	return do_all(&task, partition, g);
}

/*
 * Events whose fate cannot be known stay recent for ever: whoever needs them
 * gets an error, everything else goes on.
 */
static void
log_forgotten(int partition, ContimeGeneration *g, uint64 xid)
{
	if (g->forgotten)
		return;
	g->forgotten = true;
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("fate of transaction %llu is no longer known", (unsigned long long) xid),
			 errdetail("It wrote to relation %u of database %u, and the worker of partition %d was stopped for too long since.",
					   g->relation, g->database, partition),
			 errhint("TRUNCATE the continuous table, or restart the server.")));
}

/*
 * Enter or drop every batch whose transaction has ended.  As long as they are
 * not held, only this worker removes batches, and one whose transaction ended
 * grows no more, so a copy of its label is good without the lock.
 */
static bool
process_batches(int partition, ContimeGeneration *g)
{
	uint32		hold = pg_atomic_read_u32(&g->hold);
	CtRef		previous = 0;
	CtRef		batch = 0;
	CtBatch		copy;
	bool		worked = false;

	if (contime_is_held(hold))
		return false;
	while (contime_next_batch(partition, g, hold, &batch, &copy))
	{
		ContimeFate fate = contime_fate(copy.top, copy.xid);

#ifdef USE_ASSERT_CHECKING
		if (fate == CONTIME_IN_PROGRESS && contime_debug_visibility == CONTIME_VISIBILITY_ENTER_EARLY)
			fate = CONTIME_COMMITTED;
#endif
		if (fate == CONTIME_FORGOTTEN)
			log_forgotten(partition, g, copy.xid);
		if (fate == CONTIME_FORGOTTEN || fate == CONTIME_IN_PROGRESS ||
			!contime_end_batch(partition, g, hold, batch, fate == CONTIME_COMMITTED))
		{
			previous = batch;
			continue;
		}
		worked = true;
		batch = previous;
	}
	return worked;
}

/* Fold what the table does not retain. */
static void
process_retention(int partition, ContimeGeneration *g)
{
	CtArena		arena = contime_arena(partition);
	CtStats		stats;
	int64		from;

	if (g->retain == 0)
		return;
	contime_lock(partition, LW_SHARED);
	ct_store_stats(&arena, g->store[partition], &stats);
	contime_unlock(partition);
	if (contime_retention_from(g, stats.newest_entered, &from))
		(void) do_all(&(Task) {RETAIN}, partition, g);
}

#ifdef USE_ASSERT_CHECKING
/* Setting contime.debug_validate: for tests of small tables, since it holds the lock for as long as it takes. */
static bool debug_validate = false;

void
contime_worker_settings(void)
{
	DefineCustomBoolVariable("contime.debug_validate",
							 "Checks the engine's invariants after each pass that changed something.",
							 NULL,
							 &debug_validate,
							 false,
							 PGC_SIGHUP, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
}

static void
validate(int partition, CtRef store)
{
	CtArena		arena = contime_arena(partition);
	const char *reason = NULL;
	CtStatus	status;

	contime_lock(partition, LW_SHARED);
	status = ct_store_validate(&arena, store, &reason);
	contime_unlock(partition);
	if (status != CT_OK)
		elog(PANIC, "contime: invariant broken: %s", reason);
}
#endif

/* Is anything not entered or not frozen yet? */
static bool
is_pending(int partition, CtRef store)
{
	CtArena		arena = contime_arena(partition);
	CtStats		stats;

	contime_lock(partition, LW_SHARED);
	ct_store_stats(&arena, store, &stats);
	contime_unlock(partition);
	return stats.recent > 0 || stats.young > 0;
}

static Activity
process_generation(int partition, ContimeGeneration *g, uint64 before)
{
	bool		worked;

	if (g->dead)
	{
		(void) do_all(&(Task) {FREE}, partition, g);
		return WORKED;
	}
	worked = process_batches(partition, g);
	(void) do_all(&(Task) {SETTLE, .before = before}, partition, g);
	process_retention(partition, g);
	if (contime_cache_state(g) == CONTIME_CACHE_READY)
		contime_cache_check(g, partition);
#ifdef USE_ASSERT_CHECKING
	if (debug_validate && worked)
		validate(partition, g->store[partition]);
#endif
	if (worked)
		return WORKED;
	return is_pending(partition, g->store[partition]) ? PENDING : IDLE;
}

/* ---- the worker's life ------------------------------------------------------------------ */

/* A cache that is being loaded, or was given up, is nobody's business but the loader's. */
static bool
is_in_use(ContimeGeneration *g)
{
	ContimeCacheState state = contime_cache_state(g);

	return g->dead || state == CONTIME_CACHE_NONE || state == CONTIME_CACHE_READY;
}

/* If memory is short, somebody's loader is to make room; not too often. */
static void
have_room_made(void)
{
	static TimestampTz not_before = 0;
	Oid			database = contime_room_is_wanted();
	ContimeGeneration *tight = OidIsValid(database) ? NULL : contime_room_tight(InvalidOid);

	if (tight)
		database = tight->database;
	if (!OidIsValid(database) || GetCurrentTimestamp() < not_before)
		return;
	contime_agent_wake(database);
	not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ROOM_INTERVAL_MS);
}

/* Look at every generation once. */
static Activity
pass(int partition)
{
	uint64		before = horizon();
	Activity	activity = IDLE;

	if (partition == 0)
	{
		if (contime_generations_sweep())
			activity = PENDING;
		have_room_made();
	}
	for (int i = contime_next_slot(-1); i >= 0; i = contime_next_slot(i))
	{
		ContimeGeneration *g = &contime_shared->generation[i];

		if (g->store[partition] != 0 && is_in_use(g) && !contime_is_quarantined(g))
		{
			Activity	found = process_generation(partition, g, before);

			activity = Max(activity, found);
		}
	}
	contime_shared->partition[partition].last_pass = GetCurrentTimestamp();
	return activity;
}

static void
worker_exit(int code, Datum arg)
{
	mine->latch = NULL;
	mine->pid = 0;
}

/* Another process has crashed: this one dies for it, and not for what it is doing. */
static void
worker_quickdie(SIGNAL_ARGS)
{
	mine->changing_relation = InvalidOid;
	SignalHandlerForCrashExit(postgres_signal_arg);
}

static void
nap(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/*
 * Sleep until woken by an insert.  Word to be woken is left before a last
 * look, so that nothing slips in between.
 */
static void
hibernate(int partition)
{
	ContimePartition *part = &contime_shared->partition[partition];

	pg_atomic_write_u32(&part->hibernating, 1);
	pg_memory_barrier();
	if (pass(partition) == IDLE)
		nap(HIBERNATION_MS);
	pg_atomic_write_u32(&part->hibernating, 0);
}

void
contime_worker_main(Datum arg)
{
	int			partition = DatumGetInt32(arg);
	long		nap_ms = SHORTEST_NAP_MS;

	mine = &contime_shared->partition[partition];
	mine->changing_relation = InvalidOid;
	pqsignal(SIGQUIT, worker_quickdie);
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	before_shmem_exit(worker_exit, arg);
	mine->pid = MyProcPid;
	mine->latch = MyLatch;
	if (partition == 0 && contime_shared->first_xid == 0)
		contime_shared->first_xid = U64FromFullTransactionId(ReadNextFullTransactionId());

	for (;;)
	{
		Activity	activity = pass(partition);

		if (activity == WORKED)
			nap_ms = SHORTEST_NAP_MS;
		else if (activity == IDLE && nap_ms >= LONGEST_NAP_MS)
			hibernate(partition);
		else
		{
			nap(nap_ms);
			nap_ms = Min(nap_ms * 2, LONGEST_NAP_MS);
		}
	}
}

void
contime_register_workers(void)
{
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = 1,
		.bgw_library_name = "contime",
	};

	for (int p = 0; p < contime_workers; p++)
	{
		strlcpy(worker.bgw_function_name, "contime_worker_main", BGW_MAXLEN);
		snprintf(worker.bgw_name, BGW_MAXLEN, "contime worker %d", p);
		strlcpy(worker.bgw_type, "contime worker", BGW_MAXLEN);
		worker.bgw_main_arg = Int32GetDatum(p);
		RegisterBackgroundWorker(&worker);
	}
	strlcpy(worker.bgw_function_name, "contime_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "contime launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "contime launcher", BGW_MAXLEN);
	worker.bgw_main_arg = (Datum) 0;
	RegisterBackgroundWorker(&worker);
}
