/*
 * mvcc.h
 *	  Transactions and snapshots: which events a reader sees.
 *
 *	  serializable.c  predicate locks of SERIALIZABLE transactions
 *	  xact.c          the status of transactions
 *	  visible.c       which recent events a snapshot sees
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

/* What became of a transaction. */
typedef enum ContimeXactStatus
{
	CONTIME_XACT_IN_PROGRESS,
	CONTIME_XACT_COMMITTED,
	CONTIME_XACT_ABORTED,
	CONTIME_XACT_TRUNCATED /* so old that the commit log has been truncated */
} ContimeXactStatus;

/* A snapshot made ready for the engine. */
typedef struct ContimeView
{
	Snapshot snapshot;
	uint64 own_top; /* own top-level transaction, or 0 */
	CtSnapshot plain;
	CtRuns runs;     /* visible recent events of the timeline at hand */
	uint32 capacity; /* of the runs and of unknown[] */
	uint32 wanted;
	bool overtaken; /* an invisible event waits for its duplicate: newer snapshots see it */
	uint32 nunknown;
	uint64 *unknown;        /* transactions to look up */
	bool tracks;            /* serializable: report unseen[] to core */
	bool refuses;           /* the keys are locked: ERROR 40001 if one of unseen[] committed */
	uint32 nunseen;         /* transactions whose events were met and not seen, in unseen[]; */
	uint32 unseen_capacity; /* those beyond its capacity are only counted */
	uint64 *unseen;
} ContimeView;

/* ---- xact.c ------------------------------------------------------------------ */

/*
 * The status of a (sub)transaction by its 64-bit id and that of its top-level
 * transaction. Not under a lock.
 */
extern ContimeXactStatus contime_xact_status(uint64 top, uint64 xid);

/* Did it commit, of one that has ended?  ERROR when that is forgotten. */
extern bool contime_committed(uint64 xid);

/* A transaction id of the last 2^32 in 64 bits. */
extern uint64 contime_full_xid(TransactionId xid);

/* Which transactions had ended, for the label of a top-level transaction. */
extern uint64 contime_ended(uint64 top);

extern void contime_report_truncated(uint64 xid) CONTIME_NORETURN;

/* ---- visible.c --------------------------------------------------------------- */

/* ERROR for snapshots that are not MVCC. */
extern ContimeView *contime_view_begin(Snapshot snapshot);
extern void contime_view_end(ContimeView *view);

/*
 * Under the partition's lock: gather a timeline's visible recent events into
 * view->runs.  False: release the lock, call contime_view_resolve(), retry.
 */
extern bool contime_view_gather(ContimeView *view, const CtArena *arena, CtRef store,
								CtRef timeline);
extern void contime_view_resolve(ContimeView *view);

/*
 * Not under a lock: have core judge what was not seen since the last time.
 * ERROR 40001 when this transaction cannot be serialized.
 */
extern void contime_view_report(ContimeView *view, Relation rel);

/* Does the snapshot see what this (sub)transaction wrote?  Not under a lock. */
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
 * A key, or (NULL) all keys will be read: take core's predicate lock. Returns
 * true if the transactions whose events the snapshot does not see must be
 * reported by contime_serializable_unseen().
 */
extern bool contime_serializable_read(Relation rel, Snapshot snapshot, const uint64 *hash);
extern void contime_serializable_unseen(Relation rel, Snapshot snapshot, const uint64 *xid,
										uint32 count);

/* An event of the key has been linked by a serializable transaction. */
extern void contime_serializable_write(Relation rel, uint64 hash);

/* All of a table is about to go: TRUNCATE, DROP. */
extern void contime_serializable_clear(Oid relid);

#endif /* CONTIME_MVCC_H */
