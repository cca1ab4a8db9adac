/*
 * batch.c
 *	  Change a table's events in a partition, in short holds of the partition's lock.
 *
 *	  operation: enter or drop a batch, settle, retain, free
 *	  step:      one hold of the lock, for a limited number of events
 *
 * Each change runs in a critical section, so that the termination of a process
 * never leaves a timeline half changed.
 *
 * Called by the partition's worker, and by a loader that has taken the batches of
 * a cache.
 *
 * Not here: the choice of operations (worker/worker.c), their work (engine/).
 */
#include "postgres.h"

#include "store/store.h"
#include "base/base.h"
#include "mvcc/mvcc.h"
#include "notify/notify.h"
#include "shared/shared.h"

#include "pgstat.h"
#include "utils/timestamp.h"

/*
 * Limit of the events changed under one hold of the lock, during which writers
 * wait.  An event takes 0.1 to 1 us.
 */
#define EVENTS_PER_LOCK 128

/*
 * The limit while other processes wait for the lock, or have waited in the last
 * SHORT_LOCKS_US.  The worker then also sleeps before each hold.  So the kernel
 * rarely preempts it while it holds the lock, which would make the waiting
 * processes wait for all other processes of the machine.
 */
#define EVENTS_PER_SHORT_LOCK 32
#define SHORT_LOCKS_US 5000
#define REST_US 50

/*
 * Near a quota fewer events enter per hold, but no fewer than LEAST_PER_LOCK, so
 * that they do not exceed the quota by much.  An event may take GROWTH_PER_EVENT
 * bytes: if it enters a block of frozen events, the block stores transaction ids
 * again until the event is frozen, too.
 */
#define LEAST_PER_LOCK 16
#define GROWTH_PER_EVENT 2048

/* Limit of the timelines and events that retention works on under one hold of the lock. */
#define RETENTION_PER_LOCK 64

StaticAssertDecl(LEAST_PER_LOCK <= EVENTS_PER_SHORT_LOCK &&
					 EVENTS_PER_SHORT_LOCK <= EVENTS_PER_LOCK,
				 "what is done under one hold gets less");
StaticAssertDecl(sizeof(pg_atomic_uint64) == sizeof(int64_t), "the engine reads it as an integer");

/* The partition whose worker this process is, or NULL. */
static ContimePartition *own_partition = NULL;

void
contime_batch_attach(ContimePartition *partition)
{
	Assert(partition == NULL || own_partition == NULL);
	own_partition = partition;
}

/*
 * Note the table whose events this worker changes (NULL: none), for the case that
 * the worker crashes (shared/startup.c).  A loader notes nothing.
 */
static void
note_changing(const ContimeGeneration *g)
{
	if (own_partition == NULL)
		return;
	own_partition->changing_database = g ? g->database : InvalidOid;
	own_partition->changing_relation = g ? g->relation : InvalidOid;
}

/*
 * True if no loader has taken or released the batches since the caller read `hold`.
 * A loader that has taken them enters some itself, so references to batches that
 * were read before are invalid then.  Under the partition's lock.
 */
static inline bool
may_take(const ContimeGeneration *g, uint32 hold)
{
	return pg_atomic_read_u32(&unconstify(ContimeGeneration *, g)->partial.hold) == hold;
}

/*
 * True if recent events may enter.  If a quota is reached (left is 0), they wait
 * until no young event is left to be frozen, because freezing releases memory.
 * Under the partition's lock.
 */
static bool
may_enter(const ContimeGeneration *g, int partition, Size left)
{
	CtArena arena = contime_arena(partition);
	CtStats stats;

	Assert(contime_holds_lock(partition, LW_SHARED));
	if (left > 0)
		return true;
	ct_store_stats(&arena, g->store[partition], &stats);
	return stats.young == 0;
}

/* Return the limit of events that enter under one hold; left: bytes to the nearest quota. */
static uint32
limit_events_per_lock(Size left, uint32 most)
{
	return Max(Min(left / GROWTH_PER_EVENT, most), LEAST_PER_LOCK);
}

/*
 * Before a hold of the lock, let waiting processes go first, and sleep if some have
 * waited lately.  Return the limit of events for the hold.
 */
static uint32
yield_to_others(int partition)
{
	static TimestampTz waited = 0;
	bool waits = contime_yield_lock(partition, true);

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

/* The result of a step. */
typedef enum StepResult
{
	STEP_DONE,    /* the operation is done */
	STEP_MORE,    /* it has more steps */
	STEP_REFUSED, /* a loader has the batches, or a quota is reached: nothing was done */
	STEP_FAILED   /* no memory: the other events stay as they are; reads are slower, not wrong */
} StepResult;

/* Run an operation for a limited number of events, under one hold of the lock. */
static StepResult
run_step(const ContimeStoreTask *task, int partition, ContimeGeneration *g)
{
	ContimePartition *part = &contime_shared->partition[partition];
	CtArena arena = contime_arena(partition);
	CtRef store = g->store[partition];
	const CtBatch *batch = ct_ptr(&arena, task->batch);
	uint32 count;
	const int64_t *read_watermark = (const int64_t *) &g->read_watermark.value;
	CtKeyChanged keys[EVENTS_PER_LOCK];
	CtChanged changed = {.keys = keys};
	CtStatus status = CT_OK;
	uint32 most;
	Size left;
	Size before;
	bool wake;

	Assert(own_partition == NULL || own_partition == part);
	Assert(task->op != CONTIME_STORE_FREE || own_partition == part); /* registry.c, 1 */
	Assert((task->batch != 0) == (task->op <= CONTIME_STORE_DROP));
	Assert(store != 0);
	most = yield_to_others(partition);
	contime_lock(partition, LW_EXCLUSIVE);
	left = contime_budget_left(g);
	if (task->batch != 0 &&
		(!may_take(g, task->hold) ||
		 (task->op == CONTIME_STORE_ENTER && own_partition && !may_enter(g, partition, left))))
	{
		contime_unlock(partition);
		return STEP_REFUSED;
	}
	note_changing(g);
	count = task->batch != 0 ? batch->count : 0;

	START_CRIT_SECTION();
	before = contime_charge_begin(g, partition);
	switch (task->op)
	{
		case CONTIME_STORE_ENTER:
			status = ct_store_enter(&arena, store, task->batch, limit_events_per_lock(left, most),
									read_watermark,
									&changed);
			break;
		case CONTIME_STORE_DROP:
			status = ct_store_drop(&arena, store, task->batch, most);
			break;
		case CONTIME_STORE_SETTLE:
			status = ct_store_settle(&arena, store, task->before, most);
			break;
		case CONTIME_STORE_RETAIN:
			status = ct_store_retain(&arena, store, contime_retained(g), RETENTION_PER_LOCK);
			break;
		case CONTIME_STORE_FREE:
			status = ct_store_free(&arena, store, most);
			if (status == CT_OK)
				g->store[partition] = 0;
			break;
	}
	contime_charge_end(g, partition, before);
	if (task->batch != 0)
		*(task->op == CONTIME_STORE_ENTER ? &part->entered : &part->dropped) +=
			count - (status == CT_OK ? 0 : batch->count);
	Assert(changed.events <= EVENTS_PER_LOCK); /* keys[] holds them */
	wake = contime_notices_add(partition, g, &changed);
	END_CRIT_SECTION();
	note_changing(NULL);
	contime_unlock(partition);

	/* Wake the agent, or the launcher that starts it. */
	if (wake)
		contime_agent_wake(g->database);
	CHECK_FOR_INTERRUPTS();
	if (task->op == CONTIME_STORE_ENTER && status == CT_MORE)
		contime_pause("entering", g->database);
	return status == CT_OK ? STEP_DONE : status == CT_MORE ? STEP_MORE
														   : STEP_FAILED;
}

bool
contime_store_run_to_end(const ContimeStoreTask *task, int partition, ContimeGeneration *g)
{
	StepResult result;

	do
		result = run_step(task, partition, g);
	while (result == STEP_MORE);
	return result == STEP_DONE;
}

bool
contime_next_batch(int partition, const ContimeGeneration *g, uint32 hold, CtRef *batch,
				   CtBatch *copy)
{
	CtArena arena = contime_arena(partition);
	const CtBatch *found = NULL;

	Assert(g->store[partition] != 0);
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
	ContimeStoreTask task = {committed ? CONTIME_STORE_ENTER : CONTIME_STORE_DROP, .batch = batch,
							 .hold = hold};

	return contime_store_run_to_end(&task, partition, g);
}
