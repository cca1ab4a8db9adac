/*
 * unflushed.c
 *	  A safety net for capture.c: notes of transactions whose captured rows are
 *	  not in a cache yet.
 *
 *	  first row in a buffer ─► contime_unflushed_note ─► slot = transaction
 *	  rows are in the cache, or rolled back ─► contime_unflushed_clear ─► 0
 *
 * A writer adds captured rows to the cache before the statement that wrote them ends.
 * Nothing checks this at COMMIT, so a bug in capture.c could commit rows that the cache
 * lacks.  A writer therefore notes its top-level transaction in the cache's generation
 * before it keeps the first row.  Readers (when a scan begins) and the worker check the
 * notes.  If the transaction of a note has committed, rows are missing in the cache, and
 * the caller breaks it.
 *
 * Concurrency: no lock is needed.  A writer sets a slot from 0 to its own transaction by
 * compare-and-exchange, and clears it before it commits.  A reader whose snapshot sees
 * the end of a transaction took the snapshot after the commit, so it finds the slot
 * cleared unless rows are missing.  The worker takes no snapshot: it reads the slot again
 * after it has found that the transaction has committed.
 *
 * A reader or worker that finds the note of an aborted transaction (one that had been
 * prepared) clears it.
 *
 * Called by capture.c (notes) and cache.c (checks).
 */
#include "postgres.h"

#include "durable/durable.h"
#include "base/base.h"
#include "base/compat.h"
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
			&g->cache.unflushed[(uint32) (MyProcNumber + i) % CONTIME_UNFLUSHED];
		uint64 expected = 0;

		if (pg_atomic_read_u64(note) == 0 && pg_atomic_compare_exchange_u64(note, &expected, xid))
			return note;
	}
	return NULL;
}

/* If the generation was replaced meanwhile, the slot does not have this id any more. */
void
contime_unflushed_clear(pg_atomic_uint64 *note)
{
	uint64 xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());

	(void) pg_atomic_compare_exchange_u64(note, &xid, 0);
}

/*
 * True if the transaction of a note has committed and the note is still there.  Clears the
 * note if the transaction has aborted.
 */
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
