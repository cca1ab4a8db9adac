/*
 * shared.c
 *	  Shared memory: one region of events, a lock per partition, and the
 *	  registry of generations.
 *
 *	  ContimeShared ─ generation[]: one table's events since its first use or TRUNCATE
 *	  │                 └ store[p]: its share of partition p, in the region
 *	  ├ partition[]: lock, worker
 *	  └ agent[]: one per database that has one
 *	  contime_region: what the engine allocates from, an arena per partition
 *	  rings: notices, one for each partition (reconcile.c)
 *	  registry hash: (database, relation) -> newest generation
 *
 * A slot for a generation is taken when a table first gets an event, when a
 * durable table is first read, and when a table that has a generation is
 * truncated.  CREATE and DROP take none.  An owner of tables may have as many
 * slots as are free: one role can take half of them, two a third each, and some
 * are always left for another role.
 *
 * Locks, in the order in which they may be taken; nobody holds two partitions:
 *	  registry lock: the hash, the chains, generation[].used and the map of slots
 *	  partition lock p: arena p and everything in it, generation[].store[p]
 *
 * Invariants:
 *	  1. generation[].store[p] is set by an inserting backend that holds
 *	     partition p exclusively, and cleared only by worker p.
 *	  2. A generation's slot is reused only when it is dead and all its stores
 *	     are 0, so a worker may look at a store without the registry lock.  A
 *	     process that decides on a generation without the lock compares its
 *	     serial under the lock before it acts.
 *	  3. The generation in force is the newest whose transaction is the
 *	     reader's own or committed.  Everybody who uses one holds a lock on
 *	     the relation until the end of the transaction, so no other
 *	     transaction's TRUNCATE or DROP is pending meanwhile.
 *	  4. A chain has no dead generation.
 *
 * Not here: what is in the region (engine/), who frees dead generations
 * (worker.c), what a table looks like (table.c).
 */
#include "contime.h"
#include "shared/budget.h"

#include <sys/mman.h>

#include "access/xact.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/xlog.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/acl.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define REGION_ALIGN CT_PAGE_BYTES

/* How long somebody waits for a partition before giving up. */
#define LOCK_TIMEOUT_US 10000000

/* Slots of tables without events that are reclaimed at a time. */
#define MOST_RECLAIMED 256

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
ContimeStamp *contime_stamps = NULL;
char	   *contime_region = NULL;

static HTAB *registry = NULL;
static LWLockPadded *partition_locks = NULL;
static LWLock *registry_lock = NULL;

static Size
region_bytes(void)
{
	return (Size) contime_memory_mb * 1024 * 1024;
}

/* More tables hold data where there is more memory for it; a slot takes 1 kB. */
static int
slots(void)
{
	return Min(8192 + 32 * contime_memory_mb, CONTIME_MAX_GENERATIONS);
}

static Size
shared_bytes(void)
{
	return add_size(offsetof(ContimeShared, generation), mul_size(slots(), sizeof(ContimeGeneration)));
}

static Size
stamps_bytes(void)
{
	return mul_size(MaxBackends, sizeof(ContimeStamp));
}

void
contime_shared_request(void)
{
	RequestAddinShmemSpace(add_size(MAXALIGN(shared_bytes()),
									add_size(region_bytes(), REGION_ALIGN + CT_GUARD_BYTES)));
	RequestAddinShmemSpace(contime_rings_bytes());
	RequestAddinShmemSpace(contime_accounts_bytes());
	RequestAddinShmemSpace(stamps_bytes());
	RequestAddinShmemSpace(hash_estimate_size(slots(), sizeof(RegistryEntry)));
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
	memset(contime_stamps, 0, stamps_bytes());
	contime_shared->partitions = contime_workers;
	contime_shared->slots = slots();
	contime_shared->nsuspects = nsuspects;
	memcpy(contime_shared->suspect, suspects, sizeof(suspects));
	on_shmem_exit(remember_suspects, (Datum) 0);
	for (int i = 0; i < contime_shared->slots; i++)
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

	for (int i = 0; i < CONTIME_EARLY; i++)
		pg_atomic_init_u64(&contime_shared->early[i], (uint64) PG_INT64_MIN);
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
	contime_stamps = ShmemInitStruct("contime stamps", stamps_bytes(), &found);
	contime_rings_attach(ShmemInitStruct("contime notices", contime_rings_bytes(), &found));
	partition_locks = GetNamedLWLockTranche("contime_partition");
	registry_lock = &GetNamedLWLockTranche("contime_registry")[0].lock;

	info.keysize = sizeof(RegistryKey);
	info.entrysize = sizeof(RegistryEntry);
	registry = ShmemInitHash("contime registry", slots(), slots(), &info, HASH_ELEM | HASH_BLOBS);
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

bool
contime_step_back(int partition, bool for_readers)
{
	ContimePartition *part = &contime_shared->partition[partition];
	int			us;

	for (us = 0; us < YIELD_US; us += 20)
	{
		if (!somebody_waits(&part->writer_waits) &&
			!(for_readers && somebody_waits(&part->reader_waits)))
			break;
		pg_usleep(20);
	}
	return us > 0;
}

void
contime_lock(int partition, LWLockMode mode)
{
	if (mode == LW_SHARED)
		(void) contime_step_back(partition, false);
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

/* ---- slots ------------------------------------------------------------------------ */

int
contime_next_slot(int after)
{
	for (int i = after + 1; i < contime_shared->highest; i = (i / 64 + 1) * 64)
	{
		uint64		used = contime_shared->slot_map[i / 64] & (PG_UINT64_MAX << (i % 64));

		if (used != 0)
			return i / 64 * 64 + pg_rightmost_one_pos64(used);
	}
	return -1;
}

/* The lowest free slot, or -1.  Under the lock, as is what follows. */
static int
slot_find(void)
{
	for (int i = 0; i < contime_shared->slots; i += 64)
	{
		uint64		unused = ~contime_shared->slot_map[i / 64];
		int			found = unused == 0 ? -1 : i + pg_rightmost_one_pos64(unused);

		if (unused != 0)
			return found < contime_shared->slots ? found : -1;
	}
	return -1;
}

static void
slot_take(int index)
{
	contime_shared->generation[index].used = true;
	contime_shared->slot_map[index / 64] |= UINT64CONST(1) << (index % 64);
	contime_shared->slots_used++;
	contime_shared->highest = Max(contime_shared->highest, index + 1);
}

static void
slot_return(int index)
{
	contime_account_release(&contime_shared->generation[index]);
	contime_shared->generation[index].used = false;
	contime_shared->slot_map[index / 64] &= ~(UINT64CONST(1) << (index % 64));
	contime_shared->slots_used--;
	while (contime_shared->highest > 0 &&
		   !contime_shared->generation[contime_shared->highest - 1].used)
		contime_shared->highest--;
}

/* How many slots the tables of an owner take. */
static int
slots_of(Oid owner)
{
	int			count = 0;

	for (int i = contime_next_slot(-1); i >= 0; i = contime_next_slot(i))
		count += contime_shared->generation[i].owner == owner;
	return count;
}

/* May an owner take one more?  It has as many as are free at most. */
static bool
slots_allow(Oid owner)
{
	int			unused = contime_shared->slots - contime_shared->slots_used;

	return contime_shared->slots_used < unused || slots_of(owner) < unused;
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

/* The index of a table's newest generation, or -1. */
static int
chain_newest(Oid database, Oid relation)
{
	RegistryEntry *entry = registry_find(database, relation, HASH_FIND);

	return entry ? entry->newest : -1;
}

bool
contime_known(Oid relation)
{
	bool		known;

	contime_registry_lock(LW_SHARED);
	known = chain_newest(MyDatabaseId, relation) >= 0;
	contime_registry_unlock();
	return known;
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

/* Take a generation out of its chain. */
static void
chain_remove(int index)
{
	const ContimeGeneration *g = &contime_shared->generation[index];
	RegistryEntry *entry = registry_find(g->database, g->relation, HASH_FIND);
	int			newer = entry->newest;

	if (newer != index)
	{
		while (contime_shared->generation[newer].older != index)
			newer = contime_shared->generation[newer].older;
		contime_shared->generation[newer].older = g->older;
	}
	else if (g->older >= 0)
		entry->newest = g->older;
	else
		registry_find(g->database, g->relation, HASH_REMOVE);
}

/*
 * A generation will not be in force again.  Its slot returns at once, or when
 * the workers have freed its stores.  (One that is in force ends with all that
 * are older, by chain_end(): otherwise the one below it would be in force.)
 */
static void
generation_end(int index)
{
	ContimeGeneration *g = &contime_shared->generation[index];

	if (!g->dead)
		chain_remove(index);
	g->older = -1;
	g->dead = true;
	if (generation_is_empty(g))
		slot_return(index);
}

/* End a generation and all that are older, down a chain. */
static void
chain_end(int index)
{
	while (index >= 0)
	{
		int			older = contime_shared->generation[index].older;

		generation_end(index);
		index = older;
	}
}

/* Has the generation been opened, as this backend sees it?  False: it is not known, or not yet. */
static bool
is_opened(const ContimeGeneration *g)
{
	return g->agreed || TransactionIdIsCurrentTransactionId((TransactionId) g->xid);
}

/* What became of transactions, for a generation as it was when it was looked at. */
typedef struct Settled
{
	int			index;
	uint64		serial;
	uint64		xid;			/* that opened it; 0: it has been opened */
	uint64		dropped;		/* that drops its table, or 0 */
	uint64		database_dropped;	/* likewise, its database */
	ContimeFate opener;
	ContimeFate dropper;
	ContimeFate database_dropper;
} Settled;

static void
settled_note(Settled *settled, int index)
{
	const ContimeGeneration *g = &contime_shared->generation[index];

	settled->index = index;
	settled->serial = g->serial;
	settled->xid = is_opened(g) ? 0 : g->xid;
	settled->dropped = g->dropped;
	settled->database_dropped = g->database_dropped;
	settled->opener = settled->xid == 0 ? CONTIME_COMMITTED : CONTIME_IN_PROGRESS;
	settled->dropper = settled->database_dropper = CONTIME_IN_PROGRESS;
}

/* Read the commit log, without the lock. */
static void
settled_find(Settled *settled)
{
	if (settled->xid != 0)
		settled->opener = contime_fate(settled->xid, settled->xid);
	if (settled->dropped != 0)
		settled->dropper = contime_fate(settled->dropped, settled->dropped);
	if (settled->database_dropped != 0)
		settled->database_dropper = contime_fate(settled->database_dropped, settled->database_dropped);
}

static bool
is_gone(const Settled *settled)
{
	return settled->dropper == CONTIME_COMMITTED || settled->database_dropper == CONTIME_COMMITTED;
}

/* Enter what was found in the generation, if it is still the same.  Under the lock. */
static void
settled_enter(const Settled *settled)
{
	ContimeGeneration *g = &contime_shared->generation[settled->index];

	if (!g->used || g->serial != settled->serial || g->dead)
		return;
	if (settled->xid != 0 && settled->opener == CONTIME_COMMITTED)
		g->agreed = true;
	if (settled->dropped == g->dropped && settled->dropper == CONTIME_ABORTED)
		g->dropped = 0;
	if (settled->database_dropped == g->database_dropped && settled->database_dropper == CONTIME_ABORTED)
		g->database_dropped = 0;
	if (settled->opener == CONTIME_ABORTED ||
		(settled->dropped == g->dropped && settled->dropper == CONTIME_COMMITTED) ||
		settled->database_dropper == CONTIME_COMMITTED)
		generation_end(settled->index);
}

static void
settled_store(const Settled *settled)
{
	contime_registry_lock(LW_EXCLUSIVE);
	settled_enter(settled);
	contime_registry_unlock();
}

/*
 * Walk a chain down to the generation in force, if no commit log is needed for
 * that: true.  Otherwise the generations that come into question go to
 * undecided; *n of them, which may be more than there is room for.
 */
static bool
chain_walk(Oid relation, Settled *undecided, int capacity, int *n, ContimeGeneration **found)
{
	*n = 0;
	*found = NULL;
	for (int i = chain_newest(MyDatabaseId, relation); i >= 0; i = contime_shared->generation[i].older)
	{
		ContimeGeneration *g = &contime_shared->generation[i];
		bool		certain = is_opened(g) && g->dropped == 0;

		if (certain && *n == 0)
		{
			*found = g;
			return true;
		}
		if (*n < capacity)
			settled_note(&undecided[*n], i);
		++*n;
		if (certain)
			break;
	}
	return *n == 0;
}

/* The generation in force of those, newest first. */
static ContimeGeneration *
choose_generation(Settled *undecided, int n)
{
	for (int i = 0; i < n; i++)
	{
		Settled    *settled = &undecided[i];

		if (settled->xid == 0 && settled->dropped != 0 &&
			TransactionIdIsCurrentTransactionId((TransactionId) settled->dropped))
			return NULL;
		settled_find(settled);
		if (settled->opener == CONTIME_FORGOTTEN)
			report_forgotten(settled->xid);
		if (settled->opener != CONTIME_IN_PROGRESS &&
			(settled->xid != 0 || settled->dropper != CONTIME_IN_PROGRESS))
			settled_store(settled);
		if (settled->opener == CONTIME_COMMITTED && settled->dropper != CONTIME_COMMITTED)
			return &contime_shared->generation[settled->index];
	}
	return NULL;
}

ContimeGeneration *
contime_generation(Oid relation)
{
	Settled		some[8];
	Settled    *undecided = some;
	int			capacity = lengthof(some);
	ContimeGeneration *g;

	for (;;)
	{
		bool		done;
		int			n;

		contime_registry_lock(LW_SHARED);
		done = chain_walk(relation, undecided, capacity, &n, &g);
		contime_registry_unlock();
		if (done)
			break;
		if (n <= capacity)
		{
			g = choose_generation(undecided, n);
			break;
		}
		capacity = n * 2;
		undecided = palloc(capacity * sizeof(Settled));
	}
	if (undecided != some)
		pfree(undecided);
	return g;
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

/* ---- opening generations --------------------------------------------------------- */

/* What a generation is opened for. */
typedef struct Opening
{
	Oid			database;
	Oid			relation;
	Oid			owner;
	uint64		xid;
	bool		forgot;			/* the table is older than the server's start */
} Opening;

static Oid
owner_of(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/*
 * No command changes the catalog's row of a system column: its xmin is the
 * creating transaction, as long as it is not frozen.
 */
bool
contime_is_old(Oid relation)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relation),
										Int16GetDatum(TableOidAttributeNumber));
	TransactionId xmin = FrozenTransactionId;

	if (HeapTupleIsValid(tuple))
	{
		xmin = HeapTupleHeaderGetXmin(tuple->t_data);
		ReleaseSysCache(tuple);
	}
	return contime_shared->first_xid == 0 || !TransactionIdIsNormal(xmin) ||
		contime_widen(xmin) < contime_shared->first_xid;
}

/* Is there an older generation that is in force or may be in force again? */
static bool
had_generation(int index)
{
	for (; index >= 0; index = contime_shared->generation[index].older)
		if (is_opened(&contime_shared->generation[index]))
			return true;
	return false;
}

static pg_atomic_uint64 *
early_of(Oid database, Oid relation)
{
	return &contime_shared->early[hash_combine(database, murmurhash32(relation)) % CONTIME_EARLY];
}

static void
early_raise(pg_atomic_uint64 *early, int64 instant)
{
	uint64		latest = pg_atomic_read_u64(early);

	while (instant > (int64) latest &&
		   !pg_atomic_compare_exchange_u64(early, &latest, (uint64) instant))
		;
}

pg_atomic_uint64 *
contime_early(Oid relation)
{
	return early_of(MyDatabaseId, relation);
}

/* Set all that another table may have left in a slot. */
static void
generation_reset(ContimeGeneration *g)
{
	g->agreed = false;
	g->dead = false;
	g->wants_agent = false;
	g->forgotten = false;
	g->dropped = g->database_dropped = 0;
	memset(g->store, 0, sizeof(g->store));
	g->account = -1;
	pg_atomic_write_u64(&g->served, (uint64) PG_INT64_MIN);
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
	g->newest_row = PG_INT64_MIN;
	pg_atomic_write_u32(&g->hold, 0);
	pg_atomic_write_u32(&g->key_loads, 0);
	contime_oversize_init(&g->oversize);
}

/* Fill a free slot, and put it on top of the chain; NULL: there is none for this owner. */
static ContimeGeneration *
generation_new(const Opening *opening)
{
	int			index = slots_allow(opening->owner) ? slot_find() : -1;
	RegistryKey key = {opening->database, opening->relation};
	RegistryEntry *entry;
	ContimeGeneration *g;
	bool		found;

	if (index < 0)
		return NULL;
	entry = hash_search(registry, &key, HASH_ENTER_NULL, &found);
	if (entry == NULL)
		return NULL;
	g = &contime_shared->generation[index];
	generation_reset(g);
	g->agreed = opening->xid == 0;
	g->database = opening->database;
	g->relation = opening->relation;
	g->owner = opening->owner;
	g->xid = opening->xid;
	g->serial = ++contime_shared->next_serial;
	g->older = found ? entry->newest : -1;
	g->since = GetCurrentTimestamp();
	if (!found)
		pg_atomic_write_u64(&g->served, pg_atomic_read_u64(early_of(g->database, g->relation)));
	pg_atomic_write_u64(&g->last_read, (uint64) g->since);
	g->forgot = opening->forgot || had_generation(g->older);
	g->opened = Max((uint64) g->since, g->older < 0 ? 0 : contime_shared->generation[g->older].seq + 1);
	g->seq = g->told = g->opened;
	pg_atomic_write_u64(&g->lost, g->forgot ? g->opened : 0);
	entry->newest = index;
	slot_take(index);
	return g;
}

/* ---- generations of this transaction ------------------------------------------------ */

/*
 * Those that it has opened, oldest first, and the subtransaction that decides
 * on each: the one it was opened in, or since that has ended, its parent.
 */
typedef struct Own
{
	Oid			relation;
	uint64		serial;
	SubTransactionId subid;
} Own;

static Own *own = NULL;			/* in TopTransactionContext */
static int	nown = 0;
static int	own_capacity = 0;

static void
own_on_xact_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		own = NULL;
		nown = own_capacity = 0;
	}
}

static void
own_on_subxact_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (nown > 0 && own[nown - 1].subid >= mine)
			nown--;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (int i = nown - 1; i >= 0 && own[i].subid == mine; i--)
			own[i].subid = parent;
}

/* Have room for one more, before anything is done that has to be noted. */
static void
own_prepare(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(own_on_xact_end, NULL);
		RegisterSubXactCallback(own_on_subxact_end, NULL);
		registered = true;
	}
	if (nown < own_capacity)
		return;
	own_capacity = Max(16, own_capacity * 2);
	own = own ? repalloc(own, own_capacity * sizeof(Own))
		: MemoryContextAlloc(TopTransactionContext, own_capacity * sizeof(Own));
}

static void
own_note(const ContimeGeneration *g)
{
	own[nown++] = (Own) {g->relation, g->serial, GetCurrentSubTransactionId()};
}

/* The serial of the generation of a table that this subtransaction has opened last, or 0. */
static uint64
own_serial(Oid relation)
{
	for (int i = nown - 1; i >= 0 && own[i].subid == GetCurrentSubTransactionId(); i--)
		if (own[i].relation == relation)
			return own[i].serial;
	return 0;
}

/* ---- a new generation ------------------------------------------------------------------ */

/* Will it do as the new one of a table?  (Two backends may be the first to write to a table at the same time.) */
static bool
serves_as_new(const ContimeGeneration *newest, uint64 xid)
{
	if (newest->dropped != 0)
		return false;
	if (xid == 0)
		return newest->xid == 0;
	return is_opened(newest) && generation_is_empty(newest) &&
		pg_atomic_read_u32(&unconstify(ContimeGeneration *, newest)->cache) == CONTIME_CACHE_NONE;
}

/* One try; NULL: there is no slot for it. */
static ContimeGeneration *
generation_open(const Opening *opening)
{
	uint64		superseded = opening->xid == 0 ? 0 : own_serial(opening->relation);
	ContimeGeneration *g = NULL;
	int			newest;

	contime_registry_lock(LW_EXCLUSIVE);
	newest = chain_newest(opening->database, opening->relation);
	if (newest >= 0 && serves_as_new(&contime_shared->generation[newest], opening->xid))
		g = &contime_shared->generation[newest];

	/* One that is decided on by the same subtransaction will not be in force again. */
	else if (newest >= 0 && superseded != 0 && contime_shared->generation[newest].serial == superseded)
		generation_end(newest);
	if (g == NULL)
		g = generation_new(opening);
	contime_registry_unlock();
	return g;
}

static Opening
opening_of(Oid relation, uint64 xid)
{
	Opening		opening = {
		.database = MyDatabaseId,
		.relation = relation,
		.owner = owner_of(relation),
		.xid = xid,
		.forgot = xid == 0 && contime_is_old(relation)
	};

	return opening;
}

/* Has it no event, and nothing else that the next generation of its table has to know? */
static bool
is_idle(ContimeGeneration *g)
{
	CtStats		stats;
	bool		due;

	if (!g->used || g->dead || !g->agreed || g->dropped != 0 ||
		contime_cache_state(g) == CONTIME_CACHE_LOADING ||
		(g->ticks && contime_retained(g) != PG_INT64_MIN))
		return false;
	SpinLockAcquire(&g->notice_mutex);
	due = g->due.seq != 0 || g->sending.seq != 0;
	SpinLockRelease(&g->notice_mutex);
	stats = contime_generation_stats(g);
	return !due && stats.keys == 0 && stats.recent == 0;
}

/* Does this backend, which others do not wait for, use the relation itself? */
static bool
is_locked_by_me(const LOCKTAG *tag)
{
	for (LOCKMODE mode = AccessShareLock; mode <= AccessExclusiveLock; mode++)
		if (LockHeldByMe(tag, mode))
			return true;
	return false;
}

/* End a generation that no transaction uses and that has no event; false: it is in use, or not idle. */
static bool
end_idle(ContimeGeneration *g)
{
	uint64		serial = g->serial;
	LOCKTAG		tag;
	bool		idle;

	SET_LOCKTAG_RELATION(tag, g->database, g->relation);
	if (is_locked_by_me(&tag) ||
		LockAcquireExtended(&tag, AccessExclusiveLock, false, true, false, NULL) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	contime_registry_lock(LW_EXCLUSIVE);
	idle = g->serial == serial && is_idle(g);
	if (idle)
	{
		early_raise(early_of(g->database, g->relation), (int64) pg_atomic_read_u64(&g->served));
		chain_end(g - contime_shared->generation);
	}
	contime_registry_unlock();
	LockRelease(&tag, AccessExclusiveLock, false);
	return idle;
}

/*
 * Have slots return: at once those of transactions that were rolled back, and
 * some of tables whose events all were.  (A backend without a transaction id
 * leaves those, as locking a relation would give it one.)
 */
static void
slots_reclaim(void)
{
	int			ended = 0;

	(void) contime_generations_sweep();
	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()) || IsInParallelMode())
		return;
	for (int i = contime_next_slot(-1); i >= 0 && ended < MOST_RECLAIMED; i = contime_next_slot(i))
	{
		CHECK_FOR_INTERRUPTS();
		if (is_idle(&contime_shared->generation[i]))
			ended += end_idle(&contime_shared->generation[i]);
	}
	wake_workers();
}

static ContimeGeneration *
generation_try(const Opening *opening)
{
	ContimeGeneration *g;

	if (opening->xid != 0)
		own_prepare();
	g = generation_open(opening);
	if (g == NULL)
	{
		slots_reclaim();
		g = generation_open(opening);
	}
	if (g == NULL)
		return NULL;
	if (opening->xid != 0 && g->xid == opening->xid)
		own_note(g);

	/* What this transaction opens, its end will have to be noticed; so is a reset. */
	if (opening->xid != 0 || g->forgot)
		wake_workers();
	return g;
}

ContimeGeneration *
contime_generation_try(Oid relation, uint64 xid)
{
	Opening		opening = opening_of(relation, xid);

	return generation_try(&opening);
}

static void pg_attribute_noreturn()
report_no_slot(const Opening *opening)
{
	char	   *role = GetUserNameFromId(opening->owner, true);

	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("too many continuous tables with data"),
			 errdetail("Role \"%s\" owns %d of the %d that there is room for, and %d are free. "
					   "A role may own as many as are free.",
					   role ? role : "", slots_of(opening->owner), contime_shared->slots,
					   contime_shared->slots - contime_shared->slots_used),
			 errhint("End the transaction, drop continuous tables that are not needed, or increase contime.memory.")));
}

/* Is there a slot that the workers are about to free? */
static bool
slots_return(void)
{
	for (int i = contime_next_slot(-1); i >= 0; i = contime_next_slot(i))
		if (contime_shared->generation[i].dead)
			return true;
	return false;
}

ContimeGeneration *
contime_generation_create(Oid relation, uint64 xid)
{
	Opening		opening = opening_of(relation, xid);
	ContimeGeneration *g;

	/* Slots may be on their way back: hurry the workers, and wait a little. */
	for (int tries = 0; (g = generation_try(&opening)) == NULL; tries++)
	{
		CHECK_FOR_INTERRUPTS();
		if (tries >= 300 || !slots_return())
			report_no_slot(&opening);
		wake_workers();
		pg_usleep(10000);
	}
	return g;
}

ContimeGeneration *
contime_generation_replace(Oid relation)
{
	ContimeGeneration *g = contime_generation(relation);

	if (g)
	{
		contime_registry_lock(LW_EXCLUSIVE);
		if (!g->dead)
			chain_end(g - contime_shared->generation);
		contime_registry_unlock();
	}
	return contime_generation_try(relation, 0);
}

bool
contime_generation_end(ContimeGeneration *g)
{
	Opening		opening = {g->database, g->relation, g->owner, 0, true};
	int			index = g - contime_shared->generation;
	bool		ended;

	/* What follows it is in force already, or may be. */
	contime_registry_lock(LW_EXCLUSIVE);
	ended = g->used && !g->dead && g->dropped == 0 &&
		chain_newest(opening.database, opening.relation) == index;
	if (ended)
	{
		(void) generation_new(&opening);
		chain_end(index);
	}
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

/* ---- the ends of generations ------------------------------------------------------------ */

void
contime_generation_drop(Oid relation, uint64 xid)
{
	contime_registry_lock(LW_EXCLUSIVE);
	for (int i = chain_newest(MyDatabaseId, relation); i >= 0; i = contime_shared->generation[i].older)
		contime_shared->generation[i].dropped = xid;
	contime_registry_unlock();
	wake_workers();
}

/*
 * Noted apart from who drops the tables: this is called before core refuses
 * the command, and must not take the place of a DROP TABLE that is under way.
 */
void
contime_generation_drop_database(Oid database, uint64 xid)
{
	contime_registry_lock(LW_EXCLUSIVE);
	for (int i = contime_next_slot(-1); i >= 0; i = contime_next_slot(i))
		if (contime_shared->generation[i].database == database)
			contime_shared->generation[i].database_dropped = xid;
	contime_registry_unlock();
	wake_workers();
}

void
contime_generation_forget(Oid relation)
{
	if (contime_shared == NULL || !contime_known(relation))
		return;
	contime_registry_lock(LW_EXCLUSIVE);
	chain_end(chain_newest(MyDatabaseId, relation));
	contime_registry_unlock();
	wake_workers();
}

/*
 * Settle one generation: it is dead when it was rolled back or its table is
 * dropped, and once it is known to be opened all that are older are.  True when
 * there will be more to do.
 */
static bool
settle_generation(int index)
{
	ContimeGeneration *g = &contime_shared->generation[index];
	Settled		settled;
	bool		reset = false;
	bool		pending;

	settled_note(&settled, index);
	if (!g->dead)
	{
		/* One that is forgotten stays until its table is truncated or dropped. */
		settled_find(&settled);
		if (settled.opener == CONTIME_IN_PROGRESS && !is_gone(&settled))
			return true;
		if (settled.opener == CONTIME_FORGOTTEN && !is_gone(&settled))
			return true;
		if (g->agreed && g->older < 0 && g->dropped == 0 && g->database_dropped == 0 && !g->forgot)
			return false;
	}
	else if (!generation_is_empty(g))
		return true;

	contime_registry_lock(LW_EXCLUSIVE);
	if (g->used && g->serial == settled.serial && g->dead && generation_is_empty(g))
		slot_return(index);
	settled_enter(&settled);
	if (g->used && g->serial == settled.serial && !g->dead && g->agreed)
	{
		chain_end(g->older);
		reset = g->forgot;
		g->forgot = false;
	}
	pending = g->used && (g->dead || g->dropped != 0 || g->database_dropped != 0 || !g->agreed);
	contime_registry_unlock();
	if (reset)
		contime_notice_reset(g, false);
	return pending;
}

/*
 * Look after all generations.  Called by one worker on every pass, and by a
 * backend that finds no slot; true when there are some to come back for.
 */
bool
contime_generations_sweep(void)
{
	bool		pending = false;

	for (int i = contime_next_slot(-1); i >= 0; i = contime_next_slot(i))
	{
		pending |= contime_retention_resolve(&contime_shared->generation[i]);
		pending |= settle_generation(i);
	}
	if (pending)
		wake_workers();
	return pending;
}
