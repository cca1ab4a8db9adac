/*
 * read.h
 *	  Scans of continuous tables: slices, histories, events.
 *
 *	  row_buffer.c  states and events copied out of shared memory
 *	  stale.c       notices for reads with an old snapshot
 *	  scan.c        binding of keys and instants; choice of memory or event tables
 *	  visit.c       visits to one key, in memory or from event tables
 *	  history.c     histories, "since", raw events of a key
 *	  newest.c      the latest event of a key or of the table
 *	  instant.c     the instant of a read that has no condition on the time
 *	  slice.c       states at instants, of one key or all
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_READ_H
#define CONTIME_READ_H

#include "postgres.h"

#include "table/table.h"

/*
 * A scan of one continuous table under one PostgreSQL snapshot.  It reads one
 * key or all keys, at a set of instants.
 *
 *	begin -> (bind -> next*)* -> end
 *
 * A result tuple holds the key, the instant and the state.  It is a virtual
 * tuple, whose values live until the next call.
 */
typedef struct ContimeScan ContimeScan;
struct ContimeReferences;

/* Properties of a raw event that are not columns of its tuple. */
typedef struct ContimeRawEvent
{
	CtKind kind;
	uint64 set; /* a bit for each attribute that the event sets, to NULL or a value */
	bool late;  /* a newer event of its key had entered before it */
} ContimeRawEvent;

/* A range of instants, with at least one. */
typedef struct ContimeRange
{
	int64 from;
	int64 last;      /* inclusive */
	bool open_start; /* it begins with what the table retains; `from` is the least instant */
	bool open_end;   /* it has no end; `last` is the greatest instant */
} ContimeRange;

/* ---- scan.c ------------------------------------------------------------------ */

/*
 * Begin a scan of a table under a snapshot.  held: references to the event
 * tables, which the scan takes over and ends; NULL: it begins its own.  ERROR
 * 42501 if the owner may not read an event table, 0A000 if the snapshot is not
 * an MVCC snapshot.
 */
extern ContimeScan *contime_scan_begin(Relation rel, Snapshot snapshot,
									   struct ContimeReferences *held);

/* Make a scan of a durable table read only the event tables, not the cache.  Before binding. */
extern void contime_scan_use_heap(ContimeScan *scan);

/* Make a scan of a durable table leave out bad rows of event tables.  Before binding. */
extern void contime_scan_leave_out(ContimeScan *scan);

/*
 * Return where a scan of a durable table has read, as text for EXPLAIN; NULL
 * for a table in memory.
 */
extern const char *contime_scan_where(const ContimeScan *scan);

/*
 * Ignore events after this instant when interpolating.  A read of "now" must
 * not depend on later events.
 */
extern void contime_scan_look_until(ContimeScan *scan, int64 instant);

/*
 * Have a scan raise ERROR 40001 if a key that it reads has events that its snapshot does
 * not see although their transaction has committed.  Only of what is in memory.
 */
extern void contime_scan_refuse_unseen(ContimeScan *scan);

/* Return the rows of a key from the latest instant to the earliest.  Before binding. */
extern void contime_scan_backward(ContimeScan *scan);

/*
 * Show only the attributes of a mask; the others are NULL, and a history has no row for
 * their changes.  Keys and the time are always shown.  Before binding.
 */
extern void contime_scan_show(ContimeScan *scan, uint64 attrs);

/*
 * Bind instants and a key, and start over.  The instants are copied, in any
 * order; duplicates are removed.  keys: nkeys values in the order of
 * table->key_attno, or NULL for all keys.  A NULL in the key, or no instant,
 * gives no rows.  ERROR 22008 or 22003 if an instant is older than the table
 * retains.
 */
extern void contime_scan_bind(ContimeScan *scan, const int64 *instants, int ninstants,
							  const Datum *keys, const bool *keynulls);

/*
 * Divide the keys among the scans of several processes.  Each takes a whole
 * partition at a time; *next is the shared counter of partitions taken.
 */
extern void contime_scan_share(ContimeScan *scan, pg_atomic_uint32 *next);
extern void contime_scan_end(ContimeScan *scan);

/* Set *keys and *events to the approximate numbers in memory, for estimates. */
extern void contime_count(Oid relid, double *keys, double *events);

/* ---- slice.c ----------------------------------------------------------------- */

/* Store the next row of the bound keys and instants in a slot.  Return false if none is left. */
extern bool contime_scan_next(ContimeScan *scan, TupleTableSlot *slot);

/* ---- history.c --------------------------------------------------------------- */

/*
 * Bind a range of one key, or (keys NULL) of all keys, one after the other.
 * contime_scan_next_state() stores the key's next state in the order of time, or of the
 * latest to the earliest if the scan is backward, and sets *during to the part of the
 * range in which it holds.  It returns false if no state is left.
 *
 * If the start is open, a key's range begins with what the table retains when the key is
 * read.  Otherwise ERROR 22008 or 22003 if the start is older.
 */
extern void contime_scan_bind_history(ContimeScan *scan, const Datum *keys, const bool *keynulls,
									  const ContimeRange *range);
extern bool contime_scan_next_state(ContimeScan *scan, TupleTableSlot *slot, ContimeRange *during);

/*
 * Set *instant to the earliest instant from which on the key's row has been the
 * same as at *instant.  Return false if there is no row at *instant.  ERROR
 * 22008 or 22003 if that is earlier than what the table retains.
 */
extern bool contime_scan_since(ContimeScan *scan, const Datum *keys, const bool *keynulls,
							   int64 *instant);

/*
 * Bind the raw events of one key, or (keys NULL) of all keys, in a range as above.
 * contime_scan_next_event() returns false if none is left.
 */
extern void contime_scan_bind_events(ContimeScan *scan, const Datum *keys, const bool *keynulls,
									 const ContimeRange *range);
extern bool contime_scan_next_event(ContimeScan *scan, TupleTableSlot *slot, ContimeRawEvent *raw);

/* ---- newest.c ---------------------------------------------------------------- */

/*
 * Set *instant to the latest instant of an event that the snapshot sees, of one key or
 * (NULL) of all keys.  Returns false if there is none, or none that the table retains.
 */
extern bool contime_scan_latest(ContimeScan *scan, const Datum *keys, const bool *keynulls,
								int64 *instant);

/*
 * Return the instant of a read of a table with a logical clock that names none: the tick
 * of the latest event that the snapshot sees.  The greatest bigint if there is none.
 */
extern int64 contime_newest_tick(Relation rel, Snapshot snapshot);

/* ---- instant.c --------------------------------------------------------------- */

/*
 * True if a read without a condition on the time reads at the setting
 * contime.at; then *instant is set to it.  present: the read is in a row
 * security policy, to which contime.at does not apply.
 */
extern bool contime_travels(Oid time_type, bool present, int64 *instant);

/*
 * Return what EXPLAIN shows as the instant of a read that names none.  must_travel:
 * the plan was made under contime.at and needs it.
 */
extern const char *contime_unbound_instant(const ContimeTable *table, bool present,
										   bool must_travel);

/*
 * Raise ERROR 55000 if contime.require_instant forbids a read without a
 * condition on the time.
 */
extern void contime_check_unbound(const ContimeTable *table);

/* True if pg_dump has sent the statement, as far as can be known. */
extern bool contime_is_dump(void);

/* ERROR 0A000: pg_dump would dump states as if they were events. */
extern void contime_refuse_dump(const char *name, bool durable) CONTIME_NORETURN;

/* Raise ERROR 55000 if contime.at is set, because such a session must not write. */
extern void contime_check_present(const ContimeTable *table);

/*
 * Return the instant "now" for a read without a condition on the time: the
 * start of the statement, or of the transaction under REPEATABLE READ and
 * above, or the session's newest stamp if that is later.  For a logical clock
 * it is the greatest bigint (contime_newest_tick() gives an instant that can be shown).
 */
extern int64 contime_now(const ContimeTable *table);

/* Likewise after a lock was waited for: the clock counts, not the statement's start. */
extern int64 contime_now_after_wait(void);

#endif /* CONTIME_READ_H */
