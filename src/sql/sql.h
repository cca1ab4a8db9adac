/*
 * sql.h
 *	  The room with the C functions that SQL calls: the wrapper's callbacks, SQL functions.
 *
 *	  args.c             arguments of functions that take a continuous table
 *	  event_sum.c        sums over events, to compare two reads
 *	  event_functions.c  event(), snapshot(), finish()
 *	  fdw_modify.c       INSERT, COPY, TRUNCATE
 *	  fdw_analyze.c      ANALYZE
 *	  fdw_bind.c         instants and key values of a scan
 *	  fdw_lock.c         SELECT FOR UPDATE
 *	  fdw_scan.c         SELECT
 *	  fdw_explain.c      EXPLAIN
 *	  version.c          version(), and the check of the SQL objects
 *	  fdw.c              the table of callbacks
 *	  read_functions.c   at(), history(), series(), since(), latest(), events()
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

struct ContimeRange;

/* ---- args.c ------------------------------------------------------------------ */

/*
 * ERROR 42809 unless the first argument has the row type of a
 * continuous table.  For functions that return rows of that type: a domain over
 * the row type is an ERROR, too.
 */
extern void contime_check_argument(FunctionCallInfo fcinfo);

/* Open the table whose row type the first argument has; the same ERROR, but for domains. */
extern Relation contime_open_argument(FunctionCallInfo fcinfo, LOCKMODE mode);

/*
 * ERROR 42501 if the current user has the privilege neither on
 * the table nor on every column of the mask.  Without columns, the privilege on the
 * table is needed.
 */
extern void contime_check_privilege(Relation rel, AclMode mode, uint64 columns);

/* The mask of all columns that are not dropped. */
extern uint64 contime_all_columns(const ContimeTable *table);

/*
 * Set *key to an argument as a value of the single key column.  Returns false if no
 * key can have that value.  ERROR 0A000 if the table has several key columns, 42804
 * if there is no implicit cast to the key's type.  A cast or an input function runs
 * as the table's owner.
 */
extern bool contime_key_argument(FunctionCallInfo fcinfo, int argno, const ContimeTable *table,
								 Datum *key);

/*
 * Return the number of the column with this name (NULL: the element is null) in an array
 * of names.  ERROR 42703 if there is none, 22004 for a null; messages name the `argument`.
 */
extern AttrNumber contime_named_column(const ContimeTable *table, const char *name,
									   const char *argument);

/* Return the mask of the key columns and the time column. */
extern uint64 contime_address_columns(const ContimeTable *table);

/*
 * Return the mask of the columns in an argument of type name[], and of those that every
 * row shows: keys and the time.  All columns if it is NULL.
 */
extern uint64 contime_columns_argument(FunctionCallInfo fcinfo, int argno,
									   const ContimeTable *table);

/*
 * Set *range to the instants of two arguments, the second one exclusive.  Returns false
 * if there are none.  NULL is an open end, as an infinite timestamp is.
 */
extern bool contime_range_arguments(FunctionCallInfo fcinfo, int argno, bool ticks,
									struct ContimeRange *range);

/*
 * ERROR 42804 if the table's time column is of another type.  The hint
 * names `other`, the function for that type.
 */
extern void contime_check_clock(const ContimeTable *table, Oid type, const char *other);

/* The bit of a column in a mask of columns. */
extern uint64 contime_bit_of(AttrNumber attno);

/* ---- event_sum.c ------------------------------------------------------------- */

/* A sum over events, in any order. */
typedef struct ContimeEventSum
{
	uint64 events;
	uint64 hash[2];
	const char *where; /* as contime_scan_where() says */
} ContimeEventSum;

/* A read of events that adds them to a sum. */
typedef struct ContimeEventReader
{
	const ContimeTable *table;
	struct ContimeScan *scan;
	struct TupleTableSlot *slot;
	MemoryContext context; /* reset after each event */
	StringInfoData image;
	ContimeEventSum sum;
} ContimeEventReader;

/* Begin a sum over the events that a snapshot sees. from_heap: read event tables only. */
extern ContimeEventReader contime_sum_begin(Relation rel, Snapshot snapshot, bool from_heap);

/* Add the events of a key, or of all keys if `keys` is NULL. */
extern void contime_sum_add(ContimeEventReader *reader, const Datum *keys);
extern ContimeEventSum contime_sum_end(ContimeEventReader *reader);

/* True if two sums are of the same events. */
extern bool contime_sum_equal(const ContimeEventSum *a, const ContimeEventSum *b);

/* ---- version.c --------------------------------------------------------------- */

/* ERROR 55000 if the SQL objects of the extension are newer than the library. */
extern void contime_check_objects(void);

#endif /* CONTIME_SQL_H */
