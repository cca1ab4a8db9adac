/*
 * shared.c
 *	  Shared memory: one region of events, a lock per partition, and the
 *	  registry of generations.
 *
 *	  ContimeShared ─ generation[]: one table's events since CREATE or TRUNCATE
 *	  │                 └ store[p]: its share of partition p, in the region
 *	  ├ partition[]: lock, worker
 *	  └ agent[]: one per database that has one
 *	  contime_region: what the engine allocates from, an arena per partition
 *	  rings: notices, one for each partition (reconcile.c)
 *	  registry hash: (database, relation) -> newest generation
 *
 * Locks, in the order in which they may be taken; nobody holds two partitions:
 *	  registry lock: the hash, the chains, and generation[].used
 *	  partition lock p: arena p and everything in it, generation[].store[p]
 *
 * Invariants:
 *	  1. generation[].store[p] is set by an inserting backend that holds
 *	     partition p exclusively, and cleared only by worker p.
 *	  2. A generation's slot is reused only when it is dead and all its stores
 *	     are 0, so a worker may look at a store without the registry lock.
 *	  3. The generation in force is the newest whose transaction is the
 *	     reader's own or committed.  Everybody who uses one holds a lock on
 *	     the relation until the end of the transaction, so no other
 *	     transaction's TRUNCATE or DROP is pending meanwhile.
 *
 * Not here: what is in the region (engine/), who frees dead generations
 * (worker.c), what a table looks like (table.c).
 */
#include "contime.h"
#include "shared/budget.h"

#include <sys/mman.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#define REGION_ALIGN CT_PAGE_BYTES

/* How long somebody waits for a partition before giving up. */
#define LOCK_TIMEOUT_US 10000000

/* How long somebody steps back for who waits, at most. */
#define YIELD_US 400

typedef struct RegistryKey
{
	Oid			database;
	Oid			relation;
} RegistryKey;

typedef struct RegistryEntry
{
	RegistryKey key;
	int			newest;			/* index of the newest generation */
} RegistryEntry;

ContimeShared *contime_shared = NULL;
char	   *contime_region = NULL;

static HTAB *registry = NULL;
static LWLockPadded *partition_locks = NULL;
static LWLock *registry_lock = NULL;

static Size
region_bytes(void)
{
	return (Size) contime_memory_mb * 1024 * 1024;
}

static Size
shared_bytes(void)
{
	return add_size(offsetof(ContimeShared, stamp), mul_size(MaxBackends, sizeof(ContimeStamp)));
}

void
contime_shared_request(void)
{
	RequestAddinShmemSpace(add_size(MAXALIGN(shared_bytes()),
									add_size(region_bytes(), REGION_ALIGN + CT_GUARD_BYTES)));
	RequestAddinShmemSpace(contime_rings_bytes());
	RequestAddinShmemSpace(contime_accounts_bytes());
	RequestAddinShmemSpace(hash_estimate_size(CONTIME_MAX_GENERATIONS, sizeof(RegistryEntry)));
	RequestNamedLWLockTranche("contime_partition", contime_workers);
	RequestNamedLWLockTranche("contime_registry", 1);
}

/* ---- what outlives a crash ------------------------------------------------------------- */

/* A table that was being changed at the death of so many workers is left alone. */
#define DEATHS_TO_QUARANTINE 2

/* The postmaster's own: shared memory is made anew after a crash. */
static ContimeSuspect suspects[CONTIME_MAX_SUSPECTS];
static int	nsuspects = 0;

/* In the postmaster, before shared memory goes: what were those doing who crashed? */
static void
remember_suspects(int code, Datum arg)
{
	for (int p = 0; p < contime_shared->partitions; p++)
	{
		const ContimePartition *part = &contime_shared->partition[p];
		int			i = 0;

		if (!OidIsValid(part->changing_relation))
			continue;
		while (i < nsuspects && (suspects[i].relation != part->changing_relation ||
								 suspects[i].database != part->changing_database))
			i++;
		if (i >= CONTIME_MAX_SUSPECTS)
			continue;
		if (i == nsuspects)
			suspects[nsuspects++] = (ContimeSuspect) {
				.database = part->changing_database,
				.relation = part->changing_relation
			};
		if (++suspects[i].deaths == DEATHS_TO_QUARANTINE)
			ereport(WARNING,
					(errmsg("workers of contime leave relation %u of database %u alone", suspects[i].relation,
							suspects[i].database),
					 errdetail("%d of them have crashed while they changed its events.", suspects[i].deaths),
					 errhint("It is read and written as before, but slower, and its memory does not come back; "
							 "a restart of the server has the workers try again.")));
	}
}

bool
contime_is_quarantined(const ContimeGeneration *g)
{
	for (int i = 0; i < contime_shared->nsuspects; i++)
	{
		const ContimeSuspect *suspect = &contime_shared->suspect[i];

		if (suspect->relation == g->relation && suspect->database == g->database &&
			suspect->deaths >= DEATHS_TO_QUARANTINE)
			return true;
	}
	return false;
}

/* ---- making shared memory ---------------------------------------------------------------- */

/*
 * Take all memory now, in huge pages where the system gives them: later each
 * first touch of a page would cost somebody's insert a microsecond, and a
 * system without so much memory should say so at the start.
 */
static void
region_populate(void)
{
	volatile char *at = contime_region;

#ifdef MADV_HUGEPAGE
	(void) madvise(contime_region, region_bytes(), MADV_HUGEPAGE);
#endif
#ifdef MADV_POPULATE_WRITE
	if (madvise(contime_region, region_bytes(), MADV_POPULATE_WRITE) == 0)
		return;
	if (errno == ENOMEM)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not take %d MB of memory for continuous tables", contime_memory_mb),
				 errhint("Decrease contime.memory.")));
#endif
	for (Size i = 0; i < region_bytes(); i += 4096)
		at[i] = at[i];
}

/* First process here: format everything. */
static void
shared_format(void)
{
	CtStatus	status;

	memset(contime_shared, 0, shared_bytes());
	contime_shared->partitions = contime_workers;
	contime_shared->nsuspects = nsuspects;
	memcpy(contime_shared->suspect, suspects, sizeof(suspects));
	on_shmem_exit(remember_suspects, (Datum) 0);
	for (int i = 0; i < CONTIME_MAX_GENERATIONS; i++)
	{
		SpinLockInit(&contime_shared->generation[i].notice_mutex);
		SpinLockInit(&contime_shared->generation[i].retain_mutex);
		pg_atomic_init_u64(&contime_shared->generation[i].served, 0);
		pg_atomic_init_u32(&contime_shared->generation[i].cache, CONTIME_CACHE_NONE);
		pg_atomic_init_u32(&contime_shared->generation[i].hold, 0);
		pg_atomic_init_u32(&contime_shared->generation[i].key_loads, 0);
		pg_atomic_init_u64(&contime_shared->generation[i].last_read, 0);
		pg_atomic_init_u64(&contime_shared->generation[i].lost, 0);
		pg_atomic_init_u64(&contime_shared->generation[i].retained, 0);
		pg_atomic_init_u64(&contime_shared->generation[i].newest, 0);
		pg_atomic_init_u64(&contime_shared->generation[i].too_late, 0);
	}
	for (int i = 0; i < CONTIME_MAX_WORKERS; i++)
	{
		pg_atomic_init_u32(&contime_shared->partition[i].hibernating, 0);
		pg_atomic_init_u64(&contime_shared->partition[i].writer_waits, 0);
		pg_atomic_init_u64(&contime_shared->partition[i].reader_waits, 0);
	}

	for (int i = 0; i < CONTIME_WANTED; i++)
		SpinLockInit(&contime_shared->wanted[i].mutex);

	region_populate();
	status = ct_region_format(contime_region, region_bytes(), contime_workers);
	if (status != CT_OK)
		ereport(FATAL,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("contime.memory is too small for %d workers", contime_workers),
				 errhint("Increase contime.memory or decrease contime.workers.")));
}

void
contime_shared_startup(void)
{
	bool		found;
	HASHCTL		info;
	char	   *area;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);

	contime_shared = ShmemInitStruct("contime", shared_bytes(), &found);
	area = ShmemInitStruct("contime region", add_size(region_bytes(), REGION_ALIGN + CT_GUARD_BYTES), &found);
	contime_region = (char *) TYPEALIGN(REGION_ALIGN, area);
	contime_rings_attach(ShmemInitStruct("contime notices", contime_rings_bytes(), &found));
	partition_locks = GetNamedLWLockTranche("contime_partition");
	registry_lock = &GetNamedLWLockTranche("contime_registry")[0].lock;

	info.keysize = sizeof(RegistryKey);
	info.entrysize = sizeof(RegistryEntry);
	registry = ShmemInitHash("contime registry", CONTIME_MAX_GENERATIONS,
							 CONTIME_MAX_GENERATIONS, &info, HASH_ELEM | HASH_BLOBS);
	contime_accounts_startup(!found);
	if (!found)
		shared_format();

	LWLockRelease(AddinShmemInitLock);
}

void
contime_require_loaded(void)
{
	if (contime_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("contime must be loaded via shared_preload_libraries"),
				 errhint("Add contime to shared_preload_libraries in postgresql.conf and restart the server.")));
}

void
contime_require_running(void)
{
	contime_require_loaded();
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("continuous tables in memory cannot be used during recovery"),
				 errhint("Connect to the primary server.")));
}

/* ---- locks -------------------------------------------------------------------- */

/*
 * Wait for a lock in short cancellable sleeps, since LWLockAcquire() cannot be
 * interrupted and a stopped holder would hang everyone.  False: it was not to
 * be had for some seconds.
 *
 * Such a wait has no place in a queue, so who waits asks the others to step
 * back: readers for writers, the worker for everybody.  A request lapses by
 * itself, should this process be terminated.
 */
static bool
poll_lock(LWLock *lock, LWLockMode mode, pg_atomic_uint64 *waits)
{
	TimestampTz give_up = 0;
	long		sleep_us = 10;

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

	if (!poll_lock(&partition_locks[partition].lock, mode,
				   mode == LW_EXCLUSIVE ? &part->writer_waits : &part->reader_waits))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("partition %d of the continuous tables does not answer", partition),
				 errdetail("Another process has held its lock for %d seconds.",
						   LOCK_TIMEOUT_US / 1000000),
				 errhint("Look for a stopped process among pg_stat_activity and contime.workers.")));
}

/* Is there a request that has not lapsed? */
static bool
somebody_waits(pg_atomic_uint64 *waits)
{
	uint64		until = pg_atomic_read_u64(waits);

	return until != 0 && until > (uint64) GetCurrentTimestamp();
}

void
contime_step_back(int partition, bool for_readers)
{
	ContimePartition *part = &contime_shared->partition[partition];

	for (int us = 0; us < YIELD_US; us += 20)
	{
		if (!somebody_waits(&part->writer_waits) &&
			!(for_readers && somebody_waits(&part->reader_waits)))
			break;
		pg_usleep(20);
	}
}

void
contime_lock(int partition, LWLockMode mode)
{
	if (mode == LW_SHARED)
		contime_step_back(partition, false);
	if (!LWLockConditionalAcquire(&partition_locks[partition].lock, mode))
		poll_partition(partition, mode);
}

void
contime_unlock(int partition)
{
	LWLockRelease(&partition_locks[partition].lock);
}

void
contime_registry_lock(LWLockMode mode)
{
	if (!poll_lock(registry_lock, mode, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("the registry of continuous tables does not answer"),
				 errdetail("Another process has held its lock for %d seconds.",
						   LOCK_TIMEOUT_US / 1000000),
				 errhint("Look for a stopped process among pg_stat_activity and contime.workers.")));
}

void
contime_registry_unlock(void)
{
	LWLockRelease(registry_lock);
}

CtArena
contime_arena(int partition)
{
	return ct_arena_attach(contime_region, partition);
}

/* ---- waking -------------------------------------------------------------------------- */

/* Set a latch that its owner may take away at any time. */
void
contime_set_latch(Latch *volatile *where)
{
	Latch	   *latch = *where;

	if (latch)
		SetLatch(latch);
}

/* Wake a worker that went to sleep for long; on the common path it polls. */
void
contime_wake_worker(int partition)
{
	ContimePartition *part = &contime_shared->partition[partition];

	if (pg_atomic_read_u32(&part->hibernating) != 0 &&
		pg_atomic_exchange_u32(&part->hibernating, 0) != 0)
		contime_set_latch(&part->latch);
}

static void
wake_workers(void)
{
	for (int p = 0; p < contime_shared->partitions; p++)
		contime_wake_worker(p);
}

/* ---- fates of transactions ------------------------------------------------------------ */

uint64
contime_widen(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();

	return U64FromFullTransactionId(next) - (uint32) (XidFromFullTransactionId(next) - xid);
}

/*
 * Keep clog from being truncated, and say whether it still reaches back to a
 * transaction; as pg_xact_status() does.
 */
static bool
clog_hold(uint64 xid)
{
	LWLockAcquire(XactTruncationLock, LW_SHARED);
	return xid >= contime_widen(ShmemVariableCache->oldestClogXid);
}

static void
clog_release(void)
{
	LWLockRelease(XactTruncationLock);
}

ContimeFate
contime_fate(uint64 top, uint64 xid)
{
	ContimeFate fate = CONTIME_IN_PROGRESS;

	if (!clog_hold(xid))
		fate = CONTIME_FORGOTTEN;
	else if (TransactionIdIsInProgress((TransactionId) top))
	{
		/* A subtransaction may have been rolled back already. */
		if (xid != top && TransactionIdDidAbort((TransactionId) xid))
			fate = CONTIME_ABORTED;
	}
	else if (TransactionIdDidCommit((TransactionId) xid))
		fate = CONTIME_COMMITTED;
	else if (TransactionIdDidAbort((TransactionId) xid))
		fate = CONTIME_ABORTED;
	clog_release();
	return fate;
}

static void pg_attribute_noreturn()
report_forgotten(uint64 xid)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("fate of transaction %llu is no longer known", (unsigned long long) xid),
			 errdetail("A worker of contime was stopped for so long that the commit log does not reach back to it."),
			 errhint("TRUNCATE the continuous table, or restart the server.")));
}

bool
contime_committed(uint64 xid)
{
	bool		known = clog_hold(xid);
	bool		committed = known && TransactionIdDidCommit((TransactionId) xid);

	clog_release();
	if (!known)
		report_forgotten(xid);
	return committed;
}

/* ---- generations ---------------------------------------------------------------- */

/* The hash's entry of a table of this database. */
static RegistryEntry *
registry_find(Oid database, Oid relation, HASHACTION action)
{
	RegistryKey key;

	key.database = database;
	key.relation = relation;
	return hash_search(registry, &key, action, NULL);
}

bool
contime_known(Oid relation)
{
	bool		known;

	contime_registry_lock(LW_SHARED);
	known = registry_find(MyDatabaseId, relation, HASH_FIND) != NULL;
	contime_registry_unlock();
	return known;
}

/*
 * Walk a chain for the generation in force.  One whose fate is not known yet
 * is handed back through *undecided, to be looked up without a lock.
 */
static ContimeGeneration *
chain_walk(Oid relation, const uint64 *skip, int nskip, ContimeGeneration **undecided)
{
	RegistryEntry *entry = registry_find(MyDatabaseId, relation, HASH_FIND);

	*undecided = NULL;
	for (int i = entry ? entry->newest : -1; i >= 0; i = contime_shared->generation[i].older)
	{
		ContimeGeneration *g = &contime_shared->generation[i];
		bool		skipped = false;

		if (g->dead)
			continue;
		for (int j = 0; j < nskip && !skipped; j++)
			skipped = skip[j] == g->serial;
		if (skipped)
			continue;
		if (g->agreed || TransactionIdIsCurrentTransactionId((TransactionId) g->xid))
			return g;
		*undecided = g;
		return NULL;
	}
	return NULL;
}

ContimeGeneration *
contime_generation(Oid relation)
{
	uint64		skip[64];
	int			nskip = 0;

	for (;;)
	{
		ContimeGeneration *undecided;
		ContimeGeneration *g;
		uint64		xid = 0;
		uint64		serial = 0;
		ContimeFate fate;

		contime_registry_lock(LW_SHARED);
		g = chain_walk(relation, skip, nskip, &undecided);
		if (undecided)
		{
			xid = undecided->xid;
			serial = undecided->serial;
		}
		contime_registry_unlock();

		if (g)
			return g->tombstone ? NULL : g;
		if (!undecided)
			return NULL;

		/* Clog is read without the lock; then the answer is noted. */
		fate = contime_fate(xid, xid);
		if (fate == CONTIME_FORGOTTEN)
			report_forgotten(xid);
		if (fate != CONTIME_IN_PROGRESS)
		{
			contime_registry_lock(LW_EXCLUSIVE);
			if (undecided->used && undecided->serial == serial)
			{
				undecided->agreed |= fate == CONTIME_COMMITTED;
				undecided->dead |= fate == CONTIME_ABORTED;
			}
			contime_registry_unlock();
		}
		else if (nskip < lengthof(skip))
			skip[nskip++] = serial;
		else
			elog(ERROR, "relation %u has too many generations of unknown fate", relation);
	}
}

bool
contime_has_data(Oid relation)
{
	ContimeGeneration *g = contime_generation(relation);

	/* What a cache holds is the event tables'. */
	if (g && contime_cache_state(g) != CONTIME_CACHE_NONE)
		return false;
	for (int p = 0; g && p < contime_shared->partitions; p++)
		if (g->store[p] != 0)
			return true;
	return false;
}

/* Is there an older generation, in force or about to be? */
static bool
had_generation(int index)
{
	for (; index >= 0; index = contime_shared->generation[index].older)
		if (!contime_shared->generation[index].dead)
			return !contime_shared->generation[index].tombstone;
	return false;
}

/*
 * Fill a free slot; NULL when there is none.  Half of them are kept for
 * tombstones, so that a table can always be dropped.
 */
static ContimeGeneration *
generation_new(Oid database, Oid relation, uint64 xid, bool tombstone)
{
	ContimeGeneration *g = NULL;
	RegistryEntry *entry;
	bool		found;
	RegistryKey key;

	for (int i = 0; i < (tombstone ? CONTIME_MAX_GENERATIONS : CONTIME_MAX_TABLES) && g == NULL; i++)
		if (!contime_shared->generation[i].used)
			g = &contime_shared->generation[i];
	if (g == NULL)
		return NULL;

	key.database = database;
	key.relation = relation;
	entry = hash_search(registry, &key, HASH_ENTER_NULL, &found);
	if (entry == NULL)
		return NULL;

	g->used = true;
	g->tombstone = tombstone;
	g->agreed = xid == 0;
	g->dead = false;
	g->wants_agent = false;
	g->forgotten = false;
	g->database = database;
	g->relation = relation;
	g->xid = xid;
	g->serial = ++contime_shared->next_serial;
	g->older = found ? entry->newest : -1;
	g->since = GetCurrentTimestamp();
	memset(g->store, 0, sizeof(g->store));
	g->account = -1;
	pg_atomic_write_u64(&g->served, (uint64) PG_INT64_MIN);

	/* One that nobody opened is of a table from before the server's start. */
	g->forgot = !tombstone && (xid == 0 || had_generation(g->older));
	g->opened = Max((uint64) g->since, g->older < 0 ? 0 : contime_shared->generation[g->older].seq + 1);
	g->seq = g->told = g->opened;
	pg_atomic_write_u64(&g->lost, g->forgot ? g->opened : 0);
	memset(&g->due, 0, sizeof(g->due));
	memset(&g->sending, 0, sizeof(g->sending));
	pg_atomic_write_u64(&g->retained, (uint64) PG_INT64_MIN);
	pg_atomic_write_u64(&g->newest, (uint64) PG_INT64_MIN);
	pg_atomic_write_u64(&g->too_late, 0);
	g->retain = 0;
	g->retain_xid = 0;
	g->retain_due = 0;
	pg_atomic_write_u32(&g->cache, CONTIME_CACHE_NONE);
	g->load_after = 0;
	g->partial = false;
	for (int i = 0; i < CONTIME_UNFLUSHED; i++)
		pg_atomic_write_u64(&g->unflushed[i], 0);
	pg_atomic_write_u64(&g->last_read, (uint64) g->since);
	g->newest_row = PG_INT64_MIN;
	pg_atomic_write_u32(&g->hold, 0);
	pg_atomic_write_u32(&g->key_loads, 0);
	contime_oversize_init(&g->oversize);
	entry->newest = g - contime_shared->generation;
	contime_shared->highest = Max(contime_shared->highest, entry->newest + 1);
	return g;
}

/* One try of contime_generation_create(). */
static ContimeGeneration *
generation_open(Oid relation, uint64 xid, bool tombstone)
{
	ContimeGeneration *g = NULL;
	RegistryEntry *entry;

	contime_registry_lock(LW_EXCLUSIVE);
	entry = registry_find(MyDatabaseId, relation, HASH_FIND);
	if (entry)
	{
		ContimeGeneration *newest = &contime_shared->generation[entry->newest];

		/* Two sessions may be the first to write to a table at the same time. */
		if (xid == 0 && !newest->dead && !newest->tombstone && newest->xid == 0)
			g = newest;

		/* What this (sub)transaction opened before can no longer be seen. */
		if (xid != 0 && newest->xid == xid && !newest->tombstone)
			newest->dead = true;
	}
	if (g == NULL)
		g = generation_new(MyDatabaseId, relation, xid, tombstone);
	contime_registry_unlock();
	return g;
}

ContimeGeneration *
contime_generation_create(Oid relation, uint64 xid, bool tombstone)
{
	ContimeGeneration *g;

	/* Slots may be on their way back: hurry the workers, and wait a little. */
	for (int tries = 0; (g = generation_open(relation, xid, tombstone)) == NULL; tries++)
	{
		CHECK_FOR_INTERRUPTS();
		if (tries >= 300)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("too many continuous tables"),
					 errdetail("At most %d can hold data at a time, counting truncated ones that are still being freed.",
							   CONTIME_MAX_TABLES),
					 errhint("Drop continuous tables that are not needed.")));
		wake_workers();
		pg_usleep(10000);
	}

	/* What this transaction opens, its end will have to be noticed; so is a reset. */
	if (xid != 0 || g->forgot)
		wake_workers();
	return g;
}

ContimeGeneration *
contime_generation_replace(Oid relation)
{
	ContimeGeneration *g = contime_generation(relation);

	if (g)
	{
		contime_registry_lock(LW_EXCLUSIVE);
		g->dead = true;
		contime_registry_unlock();
	}
	return contime_generation_create(relation, 0, false);
}

bool
contime_generation_end(ContimeGeneration *g)
{
	RegistryEntry *entry;
	bool		ended;

	/* What follows it is in force already, or may be: a tombstone, say. */
	contime_registry_lock(LW_EXCLUSIVE);
	entry = registry_find(g->database, g->relation, HASH_FIND);
	ended = entry && &contime_shared->generation[entry->newest] == g &&
		generation_new(g->database, g->relation, 0, false) != NULL;
	g->dead |= ended;
	contime_registry_unlock();
	if (ended)
		wake_workers();
	return ended;
}

CtStats
contime_generation_stats(const ContimeGeneration *g)
{
	CtStats		sum = {0};

	for (int p = 0; p < contime_shared->partitions; p++)
	{
		CtArena		arena = contime_arena(p);
		CtStats		stats;

		if (g->store[p] == 0)
			continue;
		pg_read_barrier();
		ct_store_stats(&arena, g->store[p], &stats);
		sum.keys += stats.keys;
		sum.recent += stats.recent;
		sum.young += stats.young;
		sum.frozen += stats.frozen;
		sum.net += stats.net;
		sum.bytes += stats.bytes;
	}
	return sum;
}

Size
contime_generation_bytes(const ContimeGeneration *g)
{
	return contime_generation_stats(g).bytes;
}

/* All tables of a database go with the transaction that drops it. */
void
contime_generation_drop_database(Oid database, uint64 xid)
{
	bool		full = false;

	contime_registry_lock(LW_EXCLUSIVE);
	for (int i = 0, n = contime_shared->highest; i < n && !full; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];
		RegistryEntry *entry;

		if (!g->used || g->database != database)
			continue;
		entry = registry_find(database, g->relation, HASH_FIND);
		if (entry && entry->newest == i && !(g->tombstone && g->xid == xid))
			full = generation_new(database, g->relation, xid, true) == NULL;
	}
	contime_registry_unlock();

	if (full)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many continuous tables to drop at once"),
				 errhint("Drop the continuous tables of the database first.")));
}

/* Take a dead generation whose stores are freed out of its chain. */
static void
generation_remove(int index)
{
	ContimeGeneration *g = &contime_shared->generation[index];
	RegistryEntry *entry = registry_find(g->database, g->relation, HASH_FIND);

	if (entry == NULL)
		return;
	if (entry->newest == index && g->older >= 0)
		entry->newest = g->older;
	else if (entry->newest == index)
		registry_find(g->database, g->relation, HASH_REMOVE);
	else
	{
		int			i = entry->newest;

		while (i >= 0 && contime_shared->generation[i].older != index)
			i = contime_shared->generation[i].older;
		if (i < 0)
			return;
		contime_shared->generation[i].older = g->older;
	}
	contime_account_release(g);
	g->used = false;
	while (contime_shared->highest > 0 &&
		   !contime_shared->generation[contime_shared->highest - 1].used)
		contime_shared->highest--;
}

/* Is nothing of the generation left in any partition? */
static bool
generation_is_empty(const ContimeGeneration *g)
{
	for (int p = 0; p < contime_shared->partitions; p++)
		if (g->store[p] != 0)
			return false;
	return true;
}

/*
 * Decide which generations are dead (aborted, or older than one that has
 * committed, or a committed tombstone with nothing below it) and remove those
 * that the workers have emptied.  Called by one worker on every pass; true
 * when there are some to come back for.
 */
bool
contime_generations_sweep(void)
{
	int			highest = contime_shared->highest;
	bool		pending = false;

	for (int i = 0; i < highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];
		ContimeFate fate = CONTIME_IN_PROGRESS;
		bool		committed = g->agreed;
		bool		aborted = false;

		if (!g->used)
			continue;
		pending |= contime_retention_resolve(g);
		if (!committed && !g->dead)
		{
			/* One that is forgotten stays until its table is truncated or dropped. */
			fate = contime_fate(g->xid, g->xid);
			committed = fate == CONTIME_COMMITTED;
			aborted = fate == CONTIME_ABORTED;
		}
		if (!committed && !aborted && !g->dead)
		{
			pending = true;
			continue;
		}
		if (committed && !g->dead && g->forgot)
		{
			g->forgot = false;
			contime_notice_reset(g, false);
		}
		if (g->agreed && !g->dead && g->older < 0 && !g->tombstone)
			continue;

		contime_registry_lock(LW_EXCLUSIVE);
		if (committed)
			g->agreed = true;
		if (aborted)
			g->dead = true;
		if (g->agreed && !g->dead)
		{
			for (int j = g->older; j >= 0; j = contime_shared->generation[j].older)
				contime_shared->generation[j].dead = true;
			if (g->tombstone && g->older < 0)
				g->dead = true;
		}
		if (g->dead && generation_is_empty(g))
			generation_remove(i);
		pending |= g->used && (g->dead || g->older >= 0);
		contime_registry_unlock();
	}
	if (pending)
		wake_workers();
	return pending;
}
