/*
 * write.h
 *	  A row becomes a recent event.
 *
 *	  ingest.c  rows are encoded, and linked as recent events
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_WRITE_H
#define CONTIME_WRITE_H

#include "postgres.h"

#include "table/table.h"

/*
 * Rows on their way into memory: checked and encoded at once, linked in
 * batches of one lock per partition.
 */
typedef struct ContimeIngest ContimeIngest;

/* ---- ingest.c -------------------------------------------------------------------- */

extern ContimeIngest *contime_ingest_begin(Relation rel);

/*
 * An event, snapshot or finish.  set_null/columns are masks by attribute
 * number - 1 (columns = 0 with all = true: the whole state).  stamp: may a
 * NULL time take the clock?
 */
extern void contime_ingest_row(ContimeIngest *ingest, CtKind kind,
							   const Datum *values, const bool *isnull,
							   uint64 set_null, uint64 columns, bool stamp);
extern void contime_ingest_flush(ContimeIngest *ingest);	/* rows become visible to later commands */
extern void contime_ingest_end(ContimeIngest *ingest);

/*
 * Rows that do not go into memory: an event is encoded and kept, event number i
 * is got (NULL: there are not so many), and all are forgotten.  A row that is
 * too large is an ERROR, or (false) left out if contime_ingest_leave_out() was
 * called before.
 */
extern bool contime_ingest_encode(ContimeIngest *ingest, CtKind kind, uint64 columns,
								  const Datum *values, const bool *isnull, bool retracts);

extern void contime_ingest_leave_out(ContimeIngest *ingest);

/* If the last two are the same, one taken back and the other put in its place: forget them. */
extern void contime_ingest_cancel(ContimeIngest *ingest);

/*
 * Those kept go into a generation that caches their table, with a label, or
 * (NULL) as events that everyone sees.
 */
extern void contime_ingest_link(ContimeIngest *ingest, ContimeGeneration *g, const CtLabel *label);

extern const CtLoad *contime_ingest_load(ContimeIngest *ingest, int i);
extern void contime_ingest_reset(ContimeIngest *ingest);

/* Have a store in a partition that rows can be added to. */
extern void contime_ingest_prepare(const ContimeTable *table, ContimeGeneration *g, int partition);

#endif							/* CONTIME_WRITE_H */
