/*
 * mvcc.h
 *	  Transaction status, visibility of events to a snapshot, locks on keys.
 *
 *	  serializable.c  predicate locks of SERIALIZABLE transactions
 *	  xact.c          the status of transactions
 *	  visible.c       the recent events that a snapshot sees
 *	  key_lock.c      locks on keys, for SELECT FOR UPDATE
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_MVCC_H
#define CONTIME_MVCC_H

#include "postgres.h"

#include "base/base.h"
#include "engine/engine.h"

#include "nodes/lockoptions.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

/* The status of a transaction. */
typedef enum ContimeXactStatus
{
	CONTIME_XACT_IN_PROGRESS,
	CONTIME_XACT_COMMITTED,
	CONTIME_XACT_ABORTED,
	CONTIME_XACT_TRUNCATED /* so old that the commit log has been truncated */
} ContimeXactStatus;

/* A PostgreSQL snapshot, prepared for the engine. */
typedef struct ContimeView
{
	Snapshot snapshot;
	uint64 own_top;   /* own top-level transaction, or 0 */
	CtSnapshot plain; /* the snapshot with 64-bit ids */
	CtRuns runs;      /* visible recent events of the current timeline */
	uint32 capacity;  /* of the runs and of unknown[] */
	uint32 wanted;    /* capacity that the current timeline needs */
	bool overtaken;   /* an invisible event waits for its duplicate: newer snapshots see it */
	uint32 nunknown;
	uint64 *unknown; /* transactions to look up in the commit log */

	/* Transactions whose events were met and the snapshot does not see. */
	bool tracks;            /* collect them: the transaction is SERIALIZABLE */
	bool refuses;           /* collect them: the keys are locked, ERROR 40001 if one committed */
	uint32 nunseen;         /* their number, which may exceed the capacity */
	uint32 unseen_capacity; /* of unseen[] */
	uint64 *unseen;
} ContimeView;

/* ---- xact.c ------------------------------------------------------------------ */

/*
 * Return the status of a (sub)transaction.  top, xid: the 64-bit ids of its top-level
 * transaction and of itself.  Not under a lock.
 */
extern ContimeXactStatus contime_xact_status(uint64 top, uint64 xid);

/*
 * True if a transaction that has ended has committed.  ERROR XX001 if the commit log
 * is truncated.  Not under a lock.
 */
extern bool contime_committed(uint64 xid);

/* Return the 64-bit id of a transaction of the last 2^32. */
extern uint64 contime_full_xid(TransactionId xid);

/*
 * Return a 64-bit id below which all transactions have ended, for the label of events
 * of this top-level transaction of the current process.
 */
extern uint64 contime_ended(uint64 top);

/* Raise ERROR XX001: the commit log no longer has the transaction's status. */
extern void contime_report_truncated(uint64 xid) CONTIME_NORETURN;

/* ---- visible.c --------------------------------------------------------------- */

/* Prepare a snapshot.  ERROR 0A000 if it is not an MVCC snapshot. */
extern ContimeView *contime_view_begin(Snapshot snapshot);
extern void contime_view_end(ContimeView *view);

/*
 * Gather the visible recent events of a timeline into view->runs.  Under the
 * partition's lock, or while the timeline is observed.  If it returns false, the
 * caller releases the lock, calls contime_view_report() and contime_view_resolve(),
 * and tries again.
 */
extern bool contime_view_gather(ContimeView *view, const CtArena *arena, CtRef store,
								CtRef timeline);

/* Allocate memory and look up transactions for the next try.  Not under a lock. */
extern void contime_view_resolve(ContimeView *view);

/*
 * Report to core the transactions whose events were met but not seen since the last
 * call.  ERROR 40001 if this transaction cannot be serialized.  Not under a lock.
 */
extern void contime_view_report(ContimeView *view, Relation rel);

/* True if the snapshot sees what a (sub)transaction wrote.  Not under a lock. */
extern bool contime_view_sees(ContimeView *view, uint64 top, uint64 xid);

/* ---- key_lock.c -------------------------------------------------------------- */

/* The lanes of a table: keys of one lane are locked together. */
#define CONTIME_KEY_LANES 1024

/* The lane of a key, by its hash: 0 .. CONTIME_KEY_LANES - 1. */
extern int contime_key_lane(uint64 hash);

/*
 * Lock the keys of a lane until the transaction ends.  Returns false if the policy is
 * SKIP LOCKED and another transaction has a conflicting lock.  ERROR 55P03 if it is
 * NOWAIT.
 */
extern bool contime_lock_lane(Oid relid, int lane, LockClauseStrength strength,
							  LockWaitPolicy policy);

/* ---- serializable.c ---------------------------------------------------------- */

/*
 * Take core's predicate lock for a read of the key with this hash, or (NULL) of all
 * keys.  Return true if the caller must report transactions whose events the snapshot
 * does not see by contime_serializable_unseen().  Does nothing unless the transaction
 * is SERIALIZABLE.  Not under a lock.
 */
extern bool contime_serializable_read(Relation rel, Snapshot snapshot, const uint64 *hash);
extern void contime_serializable_unseen(Relation rel, Snapshot snapshot, const uint64 *xid,
										uint32 count);

/*
 * Check for conflicts after a SERIALIZABLE transaction has linked an event of a key.
 * ERROR 40001 if it cannot be serialized.  Not under a lock.
 */
extern void contime_serializable_write(Relation rel, uint64 hash);

/* Likewise, before TRUNCATE or DROP of a table. */
extern void contime_serializable_clear(Oid relid);

#endif /* CONTIME_MVCC_H */
