/*
 * xact.c
 *	  The status of transactions, by ids of 64 bits.
 *
 *	  in progress ──► committed | aborted ──► truncated: the commit log no
 *	                                          longer knows which of the two
 *
 * Core compares 32-bit ids and may have truncated the commit log before an event's
 * transaction is looked up, after a partition's worker was stopped for long.
 * XactTruncationLock is held while the log is read, as pg_xact_status() does.
 *
 * Concurrency: none of these may be called under a partition's lock.
 *
 * Not here: what a snapshot sees (visible.c).
 */
#include "postgres.h"

#include "mvcc/mvcc.h"

#include <sys/mman.h>

#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

/* Our own id is not below the oldest that the latest snapshot found running. */
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
 * Keep clog from being truncated, and say whether it still reaches back to a
 * transaction; as pg_xact_status() does.
 */
static bool
clog_hold(uint64 xid)
{
	Assert(InterruptHoldoffCount == 0); /* no other LWLock is held */
	LWLockAcquire(XactTruncationLock, LW_SHARED);
	return xid >= contime_full_xid(ShmemVariableCache->oldestClogXid);
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
	if (!clog_hold(xid))
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
	bool known = clog_hold(xid);
	bool committed = known && TransactionIdDidCommit((TransactionId) xid);

	clog_release();
	if (!known)
		contime_report_truncated(xid);
	return committed;
}
