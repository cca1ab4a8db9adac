/*
 * read.h
 *	  Scans of continuous tables: slices, histories, events.
 *
 *	  row_buffer.c  states and events copied out of shared memory
 *	  stale.c       notices for reads with an old snapshot
 *	  scan.c        what is bound, and where it is read
 *	  visit.c       visits to one key, in memory or from event tables
 *	  history.c     what is read of a key along its time
 *	  instant.c     which instant a read that names none is of
 *	  slice.c       states at instants, of one key or all
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_READ_H
#define CONTIME_READ_H

#include "postgres.h"

#include "table/table.h"

/*
 * A scan of one continuous table under one snapshot: either one key or all,
 * at a set of instants.
 *
 *	begin -> (bind -> next*)* -> end
 *
 * Result tuples hold the key, the instant and the state, as virtual tuples
 * whose values live until the next call.
 */
typedef struct ContimeScan ContimeScan;
struct ContimeReferences;

/* Beside an event's columns: those it sets, NULL or not, as a mask; when it came. */
typedef struct ContimeRawEvent
{
	CtKind kind;
	uint64 set;
	bool late; /* a newer one of its key had entered before */
} ContimeRawEvent;

/* ---- scan.c ------------------------------------------------------------------ */

/*
 * Begin a scan of a table under a snapshot. held: references to the event
 * tables that the caller began and the scan is to end, or NULL. ERROR 42501 if
 * the owner may not read an event table.
 */
extern ContimeScan *contime_scan_begin(Relation rel, Snapshot snapshot,
									   struct ContimeReferences *held);

/* Have a scan of a durable table read its event tables only. */
extern void contime_scan_use_heap(ContimeScan *scan);

/*
 * Where a scan of a durable table has read, for EXPLAIN; NULL for a table in
 * memory.
 */
extern const char *contime_scan_where(const ContimeScan *scan);

/*
 * Interpolate with no event after this instant: "now" does not know later
 * ones.
 */
extern void contime_scan_look_until(ContimeScan *scan, int64 instant);

/*
 * Have a scan raise ERROR 40001 if a key that it reads has events that its snapshot does
 * not see although their transaction has committed.  Only of what is in memory.
 */
extern void contime_scan_refuse_unseen(ContimeScan *scan);

/*
 * Return the rows of a key from the latest instant to the earliest. Before
 * anything is bound.
 */
extern void contime_scan_backward(ContimeScan *scan);

/*
 * Bind instants (any order; duplicates are removed; copied) and a key: nkeys
 * values in the order of table->key_attno, or NULL for all keys. A NULL in the
 * key, or no instant, gives no rows.
 */
extern void contime_scan_bind(ContimeScan *scan, const int64 *instants, int ninstants,
							  const Datum *keys, const bool *keynulls);

/*
 * Share the keys with scans of other processes: each takes whole partitions,
 * the next one from this counter.
 */
extern void contime_scan_share(ContimeScan *scan, pg_atomic_uint32 *next);
extern void contime_scan_end(ContimeScan *scan);

/* The number of keys and of events in memory, for estimates; approximate. */
extern void contime_count(Oid relid, double *keys, double *events);

/* ---- slice.c ----------------------------------------------------------------- */

/* Return the next row of what is bound in a slot; false: there are no more. */
extern bool contime_scan_next(ContimeScan *scan, TupleTableSlot *slot);

/* ---- history.c --------------------------------------------------------------- */

/*
 * Bind the range [from, to) of one key, or (NULL) of all keys, one after the
 * other. contime_scan_next_state() returns a state in the order of time, and
 * the part of the range in which it holds.
 */
extern void contime_scan_bind_history(ContimeScan *scan, const Datum *keys, const bool *keynulls,
									  int64 from, int64 to);
extern bool contime_scan_next_state(ContimeScan *scan, TupleTableSlot *slot, int64 *from,
									int64 *to);

/*
 * Set *instant to the instant since which the row of a key has been what it is
 * at *instant. Returns false if there is no row.
 */
extern bool contime_scan_since(ContimeScan *scan, const Datum *keys, const bool *keynulls,
							   int64 *instant);

/*
 * Set *instant to the latest instant of an event that the snapshot sees, of one key or
 * (NULL) of all keys.  Returns false if there is none, or none that the table retains.
 */
extern bool contime_scan_latest(ContimeScan *scan, const Datum *keys, const bool *keynulls,
								int64 *instant);

/*
 * Bind raw events of one key, or (NULL) of all keys, at the instants [from,
 * to].
 */
extern void contime_scan_bind_events(ContimeScan *scan, const Datum *keys, const bool *keynulls,
									 int64 from, int64 to);
extern bool contime_scan_next_event(ContimeScan *scan, TupleTableSlot *slot, ContimeRawEvent *told);

/* ---- instant.c --------------------------------------------------------------- */

/*
 * True if a read that names no instant is of the instant of contime.at, which
 * is set in *instant. present: the read is in a policy, to which contime.at
 * does not apply.
 */
extern bool contime_travels(Oid time_type, bool present, int64 *instant);

/*
 * Return what EXPLAIN shows as the instant of a read that names none.  must_travel:
 * the plan was made under contime.at and needs it.
 */
extern const char *contime_unbound_instant(const ContimeTable *table, bool present,
										   bool must_travel);

/*
 * ERROR 55000 if contime.require_instant forbids a read without a condition on
 * the time.
 */
extern void contime_check_unbound(const ContimeTable *table);

/* True if pg_dump has sent the statement, as far as can be known. */
extern bool contime_is_dump(void);

/* ERROR 0A000: pg_dump would dump states as if they were events. */
extern void contime_refuse_dump(const char *name, bool durable) CONTIME_NORETURN;

/* ERROR 55000 if contime.at is set: nothing is written then. */
extern void contime_check_present(const ContimeTable *table);

/*
 * The instant of "now" for an unbound read: the statement's start, or the
 * transaction's under REPEATABLE READ and above, or the session's newest stamp
 * if that is later; the greatest bigint for a logical clock.
 */
extern int64 contime_now(const ContimeTable *table);

/* Likewise after a lock was waited for: the clock counts, not the statement's start. */
extern int64 contime_now_after_wait(const ContimeTable *table);

#endif /* CONTIME_READ_H */
