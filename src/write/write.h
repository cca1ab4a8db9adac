/*
 * write.h
 *	  Write rows as recent events.
 *
 *	  ingest.c  rows that INSERT, COPY and functions write
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_WRITE_H
#define CONTIME_WRITE_H

#include "postgres.h"

#include "table/table.h"

/* Rows that a statement or a function is writing to a table in memory. */
typedef struct ContimeIngest ContimeIngest;

/* ---- ingest.c ---------------------------------------------------------------- */

/* Begin to collect rows of a table. */
extern ContimeIngest *contime_ingest_begin(Relation rel);

/*
 * Add an event, a snapshot or a finish; arguments and errors as of
 * contime_rows_encode().  Flushes if many rows are collected.
 */
extern void contime_ingest_row(ContimeIngest *ingest, CtKind kind, const Datum *values,
							   const bool *isnull, uint64 set_null, uint64 columns, bool stamp);

/*
 * Link the collected rows.  Later commands of the transaction see them.  Errors as of
 * contime_link(); 40001 if a SERIALIZABLE transaction cannot be serialized.
 */
extern void contime_ingest_flush(ContimeIngest *ingest);

/* Flush, and free the struct. */
extern void contime_ingest_end(ContimeIngest *ingest);

#endif /* CONTIME_WRITE_H */
