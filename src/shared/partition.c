/*
 * partition.c
 *	  Partitions: their locks, their memory, and how their workers are woken.
 *
 * Called by every process that reads or writes events.
 *
 * Concurrency: a wait in LWLockAcquire() cannot be cancelled, so a process polls the
 * lock in short sleeps.  It notes that it waits, and holders that work in steps yield
 * the lock.
 *
 * Not here: the contents of a partition's memory (engine/).
 */
#include "postgres.h"

#include "shared/shared.h"
#include "shared/registry.h"
#include "mvcc/mvcc.h"

#include <sys/mman.h>

#include "miscadmin.h"
#include "utils/timestamp.h"

/* A process waits so long for a partition's lock, then raises an error. */
#define LOCK_TIMEOUT_US 10000000

/* How long a holder yields to waiters, at most. */
#define YIELD_US 400

ContimeShared *contime_shared = NULL;
char *contime_region = NULL;
LWLockPadded *contime_partition_locks = NULL;
LWLock *contime_registry_lwlock = NULL;

void
contime_require_loaded(void)
{
	if (contime_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("contime must be loaded via shared_preload_libraries"),
				 errhint(
					 "Add contime to shared_preload_libraries in postgresql.conf and restart the server.")));
}

void
contime_require_running(void)
{
	contime_require_loaded();
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("continuous tables in memory cannot be used during recovery"),
						errhint("Connect to the primary server.")));
}

#ifdef USE_ASSERT_CHECKING

static bool
holds_partition(void)
{
	return contime_shared != NULL &&
		   LWLockAnyHeldByMe(&contime_partition_locks[0].lock, contime_shared->partitions,
							 sizeof(LWLockPadded));
}

static bool
holds_lwlock(LWLock *lock, LWLockMode mode)
{
	return LWLockHeldByMeInMode(lock, LW_EXCLUSIVE) ||
		   (mode == LW_SHARED && LWLockHeldByMeInMode(lock, LW_SHARED));
}

bool
contime_holds_lock(int partition, LWLockMode mode)
{
	return holds_lwlock(&contime_partition_locks[partition].lock, mode);
}

bool
contime_holds_registry(LWLockMode mode)
{
	return holds_lwlock(contime_registry_lwlock, mode);
}

bool
contime_holds_no_lock(void)
{
	return contime_shared == NULL ||
		   (!holds_partition() && !LWLockHeldByMe(contime_registry_lwlock));
}

#endif /* USE_ASSERT_CHECKING */

/*
 * Wait for a lock in short sleeps, since LWLockAcquire() cannot be cancelled, and a
 * stopped holder would block every process.  Return false after LOCK_TIMEOUT_US.  The
 * waiter is not in the lock's queue, so it requests in *waits (unless NULL) that
 * holders yield: readers yield to writers, workers to both.  A request expires by
 * itself if the waiter is terminated.
 */
static bool
poll_lock(LWLock *lock, LWLockMode mode, pg_atomic_uint64 *waits)
{
	TimestampTz give_up = 0;
	long sleep_us = 10;

	Assert(!LWLockHeldByMe(lock)); /* no deadlock with itself */
	while (!LWLockConditionalAcquire(lock, mode))
	{
		TimestampTz now = GetCurrentTimestamp();

		if (give_up == 0)
			give_up = now + LOCK_TIMEOUT_US;
		if (now >= give_up)
			return false;
		if (waits)
			pg_atomic_write_u64(waits, now + YIELD_US);
		CHECK_FOR_INTERRUPTS();
		pg_usleep(sleep_us);
		sleep_us = Min(sleep_us * 2, YIELD_US / 4);
	}
	if (waits && mode == LW_EXCLUSIVE)
		pg_atomic_write_u64(waits, 0);
	return true;
}

static void
poll_partition(int partition, LWLockMode mode)
{
	ContimePartition *part = &contime_shared->partition[partition];

	if (!poll_lock(&contime_partition_locks[partition].lock, mode,
				   mode == LW_EXCLUSIVE ? &part->writer_waits : &part->reader_waits))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("partition %d of the continuous tables does not answer", partition),
				 errdetail("Another process has held its lock for %d seconds.",
						   LOCK_TIMEOUT_US / 1000000),
				 errhint(
					 "Look for a stopped process among pg_stat_activity and contime.workers.")));
}

/* True if a process waits: there is a request that has not expired. */
static bool
is_awaited(pg_atomic_uint64 *waits)
{
	uint64 until = pg_atomic_read_u64(waits);

	return until != 0 && until > (uint64) GetCurrentTimestamp();
}

bool
contime_yield_lock(int partition, bool for_readers)
{
	ContimePartition *part = &contime_shared->partition[partition];
	int us;

	Assert(!contime_holds_lock(partition, LW_SHARED));
	for (us = 0; us < YIELD_US; us += 20)
	{
		if (!is_awaited(&part->writer_waits) &&
			!(for_readers && is_awaited(&part->reader_waits)))
			break;
		pg_usleep(20);
	}
	return us > 0;
}

void
contime_lock(int partition, LWLockMode mode)
{
	Assert(partition >= 0 && partition < contime_shared->partitions);
	Assert(!holds_partition()); /* at most one partition lock */
	Assert(CritSectionCount == 0);
	if (mode == LW_SHARED)
		(void) contime_yield_lock(partition, false);
	if (!LWLockConditionalAcquire(&contime_partition_locks[partition].lock, mode))
		poll_partition(partition, mode);
}

void
contime_unlock(int partition)
{
	LWLockRelease(&contime_partition_locks[partition].lock);
}

void
contime_registry_lock(LWLockMode mode)
{
	Assert(!holds_partition()); /* the lock order: registry, then partition */
	Assert(CritSectionCount == 0);
	if (!poll_lock(contime_registry_lwlock, mode, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("the registry of continuous tables does not answer"),
				 errdetail("Another process has held its lock for %d seconds.",
						   LOCK_TIMEOUT_US / 1000000),
				 errhint(
					 "Look for a stopped process among pg_stat_activity and contime.workers.")));
}

void
contime_registry_unlock(void)
{
	LWLockRelease(contime_registry_lwlock);
}

CtArena
contime_arena(int partition)
{
	Assert(partition >= 0 && partition < contime_shared->partitions);
	return ct_arena_attach(contime_region, partition);
}

/* The owner may set *where to NULL at any time. */
void
contime_set_latch(Latch *volatile *where)
{
	Latch *latch = *where;

	if (latch)
		SetLatch(latch);
}

/* A worker that does not hibernate polls, so it need not be woken. */
void
contime_wake_worker(int partition)
{
	ContimePartition *part = &contime_shared->partition[partition];

	if (pg_atomic_read_u32(&part->hibernating) != 0 &&
		pg_atomic_exchange_u32(&part->hibernating, 0) != 0)
		contime_set_latch(&part->latch);
}

void
contime_wake_workers(void)
{
	for (int p = 0; p < contime_shared->partitions; p++)
		contime_wake_worker(p);
}
