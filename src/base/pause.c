/*
 * pause.c
 *	  Named places where a test can make a process wait.
 *
 * A test takes the advisory lock hashtext(name) in a database.  Then every other
 * process that reaches the place of that name, for that database, waits until the test
 * releases the lock:
 *
 *	  SELECT pg_advisory_lock(hashtext('gathered'));
 *
 *	  bound      a reader is about to take its predicate lock
 *	  gathered   a reader has collected the visible recent events, and folds next
 *	  batch      a reader has some of its rows, and continues
 *	  linked     a writer has linked its events of one partition
 *	  entering   a worker has entered a part of a batch
 *	  giving up  a worker is about to break a cache
 *	  held keys, loading keys, loaded keys
 *				 a loader holds the batches of a cache; it has a snapshot, and the
 *				 events that the snapshot sees have been entered; it has marked the
 *				 keys loaded
 *
 * These places exist only in builds with assertions.  A process that holds a
 * partition's lock does not wait.  lock_timeout, which a loader sets, does not apply.
 */
#include "postgres.h"

#include "base/base.h"

#ifdef USE_ASSERT_CHECKING

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/proc.h"

void
contime_pause(const char *name, Oid database)
{
	uint32 hash = hash_bytes((const unsigned char *) name, strlen(name));
	int lock_timeout = LockTimeout;
	LOCKTAG tag;

	Assert(OidIsValid(database));
	if (InterruptHoldoffCount > 0 || CritSectionCount > 0)
		return;

	/* The same tag that pg_advisory_lock(bigint) makes of an int4. */
	SET_LOCKTAG_ADVISORY(tag, database, (int32) hash < 0 ? UINT32_MAX : 0, hash, 1);
	LockTimeout = 0;
	PG_TRY();
	{
		(void) LockAcquire(&tag, ShareLock, true, false);
	}
	PG_FINALLY();
	{
		LockTimeout = lock_timeout;
	}
	PG_END_TRY();
	LockRelease(&tag, ShareLock, true);
}

#endif /* USE_ASSERT_CHECKING */
