/*
 * pause.c
 *	  Named places where a process can be made to wait: for tests of races.
 *
 * Who holds the advisory lock hashtext(name) in a database stops everybody else
 * who comes to the place of that name on behalf of that database, until it is
 * released:
 *
 *	  SELECT pg_advisory_lock(hashtext('gathered'));
 *
 *	  bound      a reader is about to announce what it reads
 *	  gathered   a reader knows the visible recent events, and folds next
 *	  batch      a reader has some of what it reads, and goes on
 *	  linked     a writer has linked its events of one partition
 *	  entering   a worker has entered a part of a batch
 *	  giving up  a worker knows that a cache cannot be relied on any more
 *	  held keys, loading keys, loaded keys
 *				 a loader holds the batches of a cache; it has a snapshot, and what
 *				 that sees has entered; it has made the keys known
 *
 * Only in builds with assertions; in others contime_pause() is nothing.  Who
 * holds a partition's lock does not stop; and lock_timeout, which a loader has,
 * is not for this.
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

	if (InterruptHoldoffCount > 0 || CritSectionCount > 0)
		return;

	/* As pg_advisory_lock(bigint) has it of an integer. */
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
