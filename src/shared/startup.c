/*
 * startup.c
 *	  Shared memory: how much is requested, and how it is initialised at the start.
 *
 * Called by module.c, in the postmaster.  After a crash the postmaster creates shared
 * memory anew.  It remembers here which tables crashed workers were changing.
 */
#include "postgres.h"

#include "shared/shared.h"
#include "shared/registry.h"
#include "base/base.h"

#include <sys/mman.h>

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#define REGION_ALIGN CT_PAGE_BYTES

static Size
get_region_bytes(void)
{
	return (Size) contime_memory_mb * 1024 * 1024;
}

static Size
get_shared_bytes(void)
{
	return add_size(offsetof(ContimeShared, generation),
					mul_size(contime_slots(), sizeof(ContimeGeneration)));
}

void
contime_shared_request(void)
{
	RequestAddinShmemSpace(add_size(MAXALIGN(get_shared_bytes()),
									add_size(get_region_bytes(), REGION_ALIGN + CT_GUARD_BYTES)));
	RequestAddinShmemSpace(contime_accounts_bytes());
	RequestAddinShmemSpace(contime_stamps_bytes());
	RequestAddinShmemSpace(hash_estimate_size(contime_slots(), sizeof(RegistryEntry)));
	RequestNamedLWLockTranche("contime_partition", contime_workers);
	RequestNamedLWLockTranche("contime_registry", 1);
}

/* In the postmaster's own memory, since shared memory is created anew after a crash. */
static ContimeSuspect suspects[CONTIME_MAX_SUSPECTS];
static int nsuspects = 0;

/*
 * Count the tables that crashed workers were changing.  Called in the postmaster,
 * before shared memory is created anew.
 */
static void
remember_suspects(int code, Datum arg)
{
	Assert(!IsUnderPostmaster);
	for (int p = 0; p < contime_shared->partitions; p++)
	{
		const ContimePartition *part = &contime_shared->partition[p];
		int i = 0;

		if (!OidIsValid(part->changing_relation))
			continue;
		while (i < nsuspects && (suspects[i].relation != part->changing_relation ||
								 suspects[i].database != part->changing_database))
			i++;
		if (i >= CONTIME_MAX_SUSPECTS)
			continue;
		if (i == nsuspects)
			suspects[nsuspects++] = (ContimeSuspect){.database = part->changing_database,
													 .relation = part->changing_relation};
		if (++suspects[i].deaths == DEATHS_TO_QUARANTINE)
			ereport(WARNING,
					(errmsg("workers of contime no longer change relation %u of database %u",
							suspects[i].relation, suspects[i].database),
					 errdetail("%d of them have crashed while they changed its events.",
							   suspects[i].deaths),
					 errhint(
						 "It can be read and written, but more slowly, and its memory is not freed. "
						 "After a restart of the server the workers try again.")));
	}
}

/*
 * Allocate all pages of the region now, as huge pages if the system has them.
 * Otherwise the first access to each page would cost an insert a microsecond; and a
 * system without enough memory should fail at the start.
 */
static void
populate_region(void)
{
	volatile char *at = contime_region;

#ifdef MADV_HUGEPAGE
	(void) madvise(contime_region, get_region_bytes(), MADV_HUGEPAGE);
#endif
#ifdef MADV_POPULATE_WRITE
	if (madvise(contime_region, get_region_bytes(), MADV_POPULATE_WRITE) == 0)
		return;
	if (errno == ENOMEM)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not take %d MB of memory for continuous tables", contime_memory_mb),
				 errhint("Decrease contime.memory.")));
#endif
	for (Size i = 0; i < get_region_bytes(); i += 4096)
		at[i] = at[i];
}

/* Initialise all shared memory.  Called by the first process. */
static void
format_shared(void)
{
	CtStatus status;

	Assert(LWLockHeldByMe(AddinShmemInitLock));
	Assert(contime_workers >= 1 && contime_workers <= CONTIME_MAX_WORKERS);
	Assert(contime_slots() <= CONTIME_MAX_GENERATIONS);
	memset(contime_shared, 0, get_shared_bytes());
	memset(contime_stamps, 0, contime_stamps_bytes());
	contime_shared->partitions = contime_workers;
	contime_shared->slots = contime_slots();
	contime_shared->nsuspects = nsuspects;
	memcpy(contime_shared->suspect, suspects, sizeof(suspects));
	on_shmem_exit(remember_suspects, (Datum) 0);
	for (int i = 0; i < contime_shared->slots; i++)
	{
		pg_atomic_init_u32(&contime_shared->generation[i].state, CONTIME_GENERATION_FREE);
		SpinLockInit(&contime_shared->generation[i].notice.mutex);
		SpinLockInit(&contime_shared->generation[i].retain.mutex);
		pg_atomic_init_u64(&contime_shared->generation[i].read_watermark, 0);
		pg_atomic_init_u32(&contime_shared->generation[i].cache.state, CONTIME_CACHE_NONE);
		pg_atomic_init_u32(&contime_shared->generation[i].partial.hold, 0);
		pg_atomic_init_u32(&contime_shared->generation[i].partial.loads, 0);
		pg_atomic_init_u64(&contime_shared->generation[i].cache.last_read, 0);
		pg_atomic_init_u64(&contime_shared->generation[i].cache.bad_rows, 0);
		pg_atomic_init_u64(&contime_shared->generation[i].cache.progress.began, 0);
		pg_atomic_init_u64(&contime_shared->generation[i].cache.progress.done, 0);
		pg_atomic_init_u64(&contime_shared->generation[i].cache.progress.total, 0);
		pg_atomic_init_u64(&contime_shared->generation[i].notice.lost, 0);
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

	populate_region();
	status = ct_region_format(contime_region, get_region_bytes(), contime_workers);
	if (status != CT_OK)
		ereport(FATAL, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("contime.memory is too small for %d workers", contime_workers),
						errhint("Increase contime.memory or decrease contime.workers.")));
}

void
contime_shared_startup(void)
{
	bool found;
	HASHCTL info;
	char *area;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);

	contime_shared = ShmemInitStruct("contime", get_shared_bytes(), &found);
	area = ShmemInitStruct("contime region",
						   add_size(get_region_bytes(), REGION_ALIGN + CT_GUARD_BYTES), &found);
	contime_region = (char *) TYPEALIGN(REGION_ALIGN, area);
	Assert(contime_region + get_region_bytes() + CT_GUARD_BYTES <=
		   area + get_region_bytes() + REGION_ALIGN + CT_GUARD_BYTES);
	contime_stamps = ShmemInitStruct("contime stamps", contime_stamps_bytes(), &found);
	contime_partition_locks = GetNamedLWLockTranche("contime_partition");
	contime_registry_lwlock = &GetNamedLWLockTranche("contime_registry")[0].lock;

	info.keysize = sizeof(RegistryKey);
	info.entrysize = sizeof(RegistryEntry);
	contime_registry = ShmemInitHash("contime registry", contime_slots(), contime_slots(), &info,
									 HASH_ELEM | HASH_BLOBS);
	contime_accounts_startup(!found);
	if (!found)
		format_shared();

	LWLockRelease(AddinShmemInitLock);
}
