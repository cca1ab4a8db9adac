/*
 * unflushed.c
 *	  A net below capture.c: transactions with captured rows that a cache does
 *	  not have yet.
 *
 *	  first row in a buffer ─► contime_unflushed_note ─► slot = transaction
 *	  rows are in the cache, or rolled back ─► contime_unflushed_clear ─► 0
 *
 * Captured rows reach the cache before the statement that wrote them ends.
 * Nothing is done for that at COMMIT, so a fault in capture.c could commit rows
 * that the cache lacks.  A writer therefore notes its top-level transaction in
 * the cache's generation before it keeps the first row.  Readers, when a scan
 * begins, and the worker look at the notes.  A note of a transaction that has
 * committed says that rows are missing, and the cache is given up.
 *
 * No lock is needed.  Only a writer that finds a slot 0 sets it, by compare
 * and exchange, and only to its own transaction.  It clears the slot before it
 * commits.  A reader whose snapshot sees a transaction as ended took that
 * snapshot after the commit, and so finds the slot cleared.  The worker takes
 * no snapshot: it reads the slot again once it knows of the commit.
 *
 * A reader or worker that finds the note of an aborted transaction (one that
 * had been prepared) clears it.
 */
#include "postgres.h"

#include "durable/durable.h"
#include "base/base.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"

#include "access/xact.h"

pg_atomic_uint64 *
contime_unflushed_note(ContimeGeneration *g)
{
	uint64 xid = U64FromFullTransactionId(GetTopFullTransactionId());

	for (int i = 0; i < CONTIME_UNFLUSHED; i++)
	{
		pg_atomic_uint64 *note =
			&g->cache.unflushed[(uint32) (MyBackendId + i) % CONTIME_UNFLUSHED];
		uint64 expected = 0;

		if (pg_atomic_read_u64(note) == 0 && pg_atomic_compare_exchange_u64(note, &expected, xid))
			return note;
	}
	return NULL;
}

/* (If the generation has been replaced meanwhile, the note is gone.) */
void
contime_unflushed_clear(pg_atomic_uint64 *note)
{
	uint64 xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());

	(void) pg_atomic_compare_exchange_u64(note, &xid, 0);
}

/* Has the transaction of a note committed, while the note stands? */
static bool
check_note(pg_atomic_uint64 *note, uint64 xid)
{
	ContimeXactStatus xact_status = contime_xact_status(xid, xid);

	if (xact_status == CONTIME_XACT_ABORTED)
		(void) pg_atomic_compare_exchange_u64(note, &xid, 0);
	return xact_status != CONTIME_XACT_ABORTED && xact_status != CONTIME_XACT_IN_PROGRESS &&
		   pg_atomic_read_u64(note) == xid;
}

bool
contime_unflushed_found(ContimeGeneration *g, const CtSnapshot *snapshot)
{
	Assert(contime_holds_no_lock());
	for (int i = 0; i < CONTIME_UNFLUSHED; i++)
	{
		uint64 xid = pg_atomic_read_u64(&g->cache.unflushed[i]);

		if (xid != 0 && (snapshot == NULL || ct_snapshot_sees(snapshot, xid)) &&
			check_note(&g->cache.unflushed[i], xid))
			return true;
	}
	return false;
}
