/*
 * xact.c
 *	  The status of transactions, by 64-bit ids.
 *
 *	  in progress ──► committed | aborted ──► truncated: the commit log no longer
 *	                                          has the status
 *
 * Core compares 32-bit ids.  It may truncate the commit log before the transaction
 * of an event is looked up, if the partition's worker was stopped for a long time.
 * So XactTruncationLock is held while the log is read, as in pg_xact_status().
 *
 * Concurrency: no function here may be called under a partition's lock.
 *
 * Not here: visibility to a snapshot (visible.c).
 */
#include "postgres.h"

#include "base/compat.h"
#include "mvcc/mvcc.h"

#include <sys/mman.h>

#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

/* (The own id is not below RecentXmin, the oldest that the latest snapshot found running.) */
uint64
contime_ended(uint64 top)
{
	Assert(TransactionIdIsNormal((TransactionId) top));
	Assert(TransactionIdPrecedesOrEquals(RecentXmin, (TransactionId) top));
	return top - (uint32) ((TransactionId) top - RecentXmin);
}

uint64
contime_full_xid(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();

	Assert(TransactionIdIsNormal(xid));
	return U64FromFullTransactionId(next) - (uint32) (XidFromFullTransactionId(next) - xid);
}

/*
 * Take XactTruncationLock, so that the commit log is not truncated.  Return true if
 * the log reaches back to the transaction.  The caller calls release_clog() in any case.
 */
static bool
hold_clog(uint64 xid)
{
	Assert(InterruptHoldoffCount == 0); /* no other LWLock is held */
	LWLockAcquire(XactTruncationLock, LW_SHARED);
	return xid >= contime_full_xid(TransamVariables->oldestClogXid);
}

static void
clog_release(void)
{
	LWLockRelease(XactTruncationLock);
}

ContimeXactStatus
contime_xact_status(uint64 top, uint64 xid)
{
	ContimeXactStatus xact_status = CONTIME_XACT_IN_PROGRESS;

	Assert(xid >= top); /* a subtransaction begins after its parent */
	if (!hold_clog(xid))
		xact_status = CONTIME_XACT_TRUNCATED;
	else if (TransactionIdIsInProgress((TransactionId) top))
	{
		/* A subtransaction may have been rolled back already. */
		if (xid != top && TransactionIdDidAbort((TransactionId) xid))
			xact_status = CONTIME_XACT_ABORTED;
	}
	else if (TransactionIdDidCommit((TransactionId) xid))
		xact_status = CONTIME_XACT_COMMITTED;
	else if (TransactionIdDidAbort((TransactionId) xid))
		xact_status = CONTIME_XACT_ABORTED;
	clog_release();
	return xact_status;
}

void CONTIME_NORETURN
contime_report_truncated(uint64 xid)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("status of transaction %llu is no longer known", (unsigned long long) xid),
			 errdetail(
				 "A worker of contime was stopped for so long that the commit log does not reach back to it."),
			 errhint("TRUNCATE the continuous table, or restart the server.")));
}

bool
contime_committed(uint64 xid)
{
	bool known = hold_clog(xid);
	bool committed = known && TransactionIdDidCommit((TransactionId) xid);

	clog_release();
	if (!known)
		contime_report_truncated(xid);
	return committed;
}
