/*
 * sql.h
 *	  What SQL calls: the foreign data wrapper, and functions.
 *
 *	  args.c             arguments of functions that take a continuous table
 *	  event_functions.c  event(), snapshot(), finish()
 *	  fdw_modify.c       INSERT, COPY, TRUNCATE
 *	  fdw_analyze.c      ANALYZE
 *	  fdw_scan.c         SELECT
 *	  fdw_explain.c      EXPLAIN
 *	  fdw.c              the table of callbacks
 *	  read_functions.c   at(), history(), series(), since(), events()
 *	  reconciliations.c  reconciliations()
 *	  statistics.c       counters of tables and workers
 *	  verify.c           verify()
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_SQL_H
#define CONTIME_SQL_H

#include "postgres.h"

#include "table/table.h"

/* ---- args.c ------------------------------------------------------------------ */

/*
 * The continuous table whose row type the first argument has.  Where rows of
 * that type are to be returned, ERROR unless it is the row type itself.
 */
extern void contime_check_argument(FunctionCallInfo fcinfo);
extern Relation contime_open_argument(FunctionCallInfo fcinfo, LOCKMODE mode);

/* ERROR without the privilege on the table, or on every column of the mask. */
extern void contime_check_privilege(Relation rel, AclMode mode, uint64 columns);
extern uint64 contime_all_columns(const ContimeTable *table);

/* An argument as a value of the single key column; false: there is no such key. */
extern bool contime_key_argument(FunctionCallInfo fcinfo, int argno, const ContimeTable *table,
								 Datum *key);

/* ERROR when the table's time is of another type; `other` is the function for that. */
extern void contime_check_clock(const ContimeTable *table, Oid type, const char *other);

extern uint64 contime_bit_of(AttrNumber attno);

#endif /* CONTIME_SQL_H */
