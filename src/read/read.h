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
 * held: the references to its event tables, which the scan is to end, if the
 * caller began them before; or NULL.
 */
extern ContimeScan *contime_scan_begin(Relation rel, Snapshot snapshot,
									   struct ContimeReferences *held);

/* Of a durable table: read event tables only.  Where has it read?  NULL: it is no such table. */
extern void contime_scan_use_heap(ContimeScan *scan);
extern const char *contime_scan_where(const ContimeScan *scan);

/* Interpolate with nothing after this instant: "now" does not know what is to come. */
extern void contime_scan_look_until(ContimeScan *scan, int64 instant);

/* Rows of a key come the latest instant first; before anything is bound. */
extern void contime_scan_backward(ContimeScan *scan);

/*
 * Start over for these instants (any order, doubles allowed; the scan sorts
 * and removes doubles; copied).  keys: nkeys values in the order of
 * table->key_attno, or NULL for all keys.  A NULL key or zero instants give
 * no rows.
 */
extern void contime_scan_bind(ContimeScan *scan, const int64 *instants, int ninstants,
							  const Datum *keys, const bool *keynulls);

/*
 * Share the keys with scans of other processes: each gets whole partitions,
 * the next one from this counter.
 */
extern void contime_scan_share(ContimeScan *scan, pg_atomic_uint32 *next);
extern void contime_scan_end(ContimeScan *scan);

/* Keys and events in memory, for estimates; cheap. */
extern void contime_count(Oid relid, double *keys, double *events);

/* ---- slice.c ----------------------------------------------------------------- */

/* The next row of what is bound; false: there are no more. */
extern bool contime_scan_next(ContimeScan *scan, TupleTableSlot *slot);

/* ---- history.c --------------------------------------------------------------- */

/*
 * The states in [from, to) of one key, or of all keys one after the other
 * (keys NULL), each key's in order of time.  next: one of them, and the part of
 * [from, to) in which it held.
 */
extern void contime_scan_bind_history(ContimeScan *scan, const Datum *keys, const bool *keynulls,
									  int64 from, int64 to);
extern bool contime_scan_next_state(ContimeScan *scan, TupleTableSlot *slot, int64 *from,
									int64 *to);

/*
 * The instant at or before *instant since which one key's row is what it is
 * then; false: it has none.
 */
extern bool contime_scan_since(ContimeScan *scan, const Datum *keys, const bool *keynulls,
							   int64 *instant);

/* Events of one key, or (keys NULL) of all, at the instants [from, to], as they were told. */
extern void contime_scan_bind_events(ContimeScan *scan, const Datum *keys, const bool *keynulls,
									 int64 from, int64 to);
extern bool contime_scan_next_event(ContimeScan *scan, TupleTableSlot *slot, ContimeRawEvent *told);

/* ---- instant.c --------------------------------------------------------------- */

/*
 * Is a read that names no instant of another one than now?  present: it is in
 * a policy.
 */
extern bool contime_travels(const ContimeTable *table, bool present, int64 *instant);

/* What EXPLAIN says of such a read. */
extern const char *contime_unbound_instant(const ContimeTable *table, bool present);

/* ERROR when a read without a condition on the time is not allowed. */
extern void contime_check_unbound(const ContimeTable *table);

/* ERROR when the session looks at the past, where nothing is written. */
extern void contime_check_present(const ContimeTable *table);

/*
 * The instant of "now" for an unbound read: statement_timestamp(), or the
 * transaction's start under REPEATABLE READ and above, or the session's own
 * newest stamp if later; the greatest bigint for logical
 * clocks.
 */
extern int64 contime_now(const ContimeTable *table);

#endif /* CONTIME_READ_H */
