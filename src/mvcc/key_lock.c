/*
 * key_lock.c
 *	  Locks on keys: SELECT ... FOR UPDATE, NO KEY UPDATE, SHARE and KEY SHARE.
 *
 * A key's lock is a lock of core's lock manager, of the type that core takes on rows
 * ("tuple" in pg_locks), on the table and a lane: one of 1,024 numbers, by the key's hash.
 * A lock for each key would exhaust the server's lock table, whose size is fixed; so two
 * keys may share a lane, and then exclude each other.  The modes are those that core takes
 * for the four strengths, and so are their conflicts.
 *
 * A lock is held until the transaction, or the subtransaction that took it, ends.  Waiting
 * can be cancelled, obeys lock_timeout, and takes part in the detection of deadlocks.  A
 * statement that locks several keys at once takes their lanes in ascending order.
 *
 * Not here: which keys a scan locks, and the snapshot that it then reads with
 * (sql/fdw_lock.c).  Events are recorded without these locks.
 */
#include "postgres.h"

#include "mvcc/mvcc.h"

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/lsyscache.h"

static LOCKMODE
lock_mode(LockClauseStrength strength)
{
	switch (strength)
	{
		case LCS_FORKEYSHARE:
			return AccessShareLock;
		case LCS_FORSHARE:
			return RowShareLock;
		case LCS_FORNOKEYUPDATE:
			return ExclusiveLock;
		case LCS_FORUPDATE:
			return AccessExclusiveLock;
		case LCS_NONE:
			break;
	}
	elog(ERROR, "unexpected strength of a lock: %d", (int) strength);
}

int
contime_key_lane(uint64 hash)
{
	return (int) (hash % CONTIME_KEY_LANES);
}

bool
contime_lock_lane(Oid relid, int lane, LockClauseStrength strength, LockWaitPolicy policy)
{
	LOCKTAG tag;

	Assert(lane >= 0 && lane < CONTIME_KEY_LANES);
	SET_LOCKTAG_TUPLE(tag, MyDatabaseId, relid, (BlockNumber) lane, 1);
	if (LockAcquire(&tag, lock_mode(strength), false, policy != LockWaitBlock) !=
		LOCKACQUIRE_NOT_AVAIL)
		return true;
	if (policy == LockWaitSkip)
		return false;
	ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					errmsg("could not obtain lock on a key of continuous table \"%s\"",
						   get_rel_name(relid))));
}
