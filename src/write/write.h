/*
 * write.h
 *	  A row becomes a recent event.
 *
 *	  ingest.c  rows that INSERT, COPY and functions write
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_WRITE_H
#define CONTIME_WRITE_H

#include "postgres.h"

#include "table/table.h"

/* Rows that a statement or a function writes into memory. */
typedef struct ContimeIngest ContimeIngest;

/* ---- ingest.c ---------------------------------------------------------------- */

/* Collect rows of a table, to be written as events. */
extern ContimeIngest *contime_ingest_begin(Relation rel);

/* Add an event, a snapshot or a finish; arguments as contime_rows_encode(). */
extern void contime_ingest_row(ContimeIngest *ingest, CtKind kind, const Datum *values,
							   const bool *isnull, uint64 set_null, uint64 columns, bool stamp);

/*
 * Write the rows: later commands of the transaction see them. Errors as
 * contime_link().
 */
extern void contime_ingest_flush(ContimeIngest *ingest); /* rows become visible to later commands */
extern void contime_ingest_end(ContimeIngest *ingest);

#endif /* CONTIME_WRITE_H */
