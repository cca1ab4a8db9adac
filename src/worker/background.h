/*
 * background.h
 *	  Agents and loaders as guests of a database: background.c.
 */
#ifndef CONTIME_BACKGROUND_H
#define CONTIME_BACKGROUND_H

#include "postgres.h"

/* Connect this process to a database, with few privileges. */
extern void contime_background_connect(Oid database);

/*
 * Does a command wait for all sessions to leave this database?  Called again
 * and again; true when it has waited since an earlier call.
 */
extern bool contime_background_is_in_the_way(void);

/* How long user-made code of a table may run, before its rows count; for each row more. */
#define CONTIME_GUARD_MS 10000
#define CONTIME_GUARD_ROW_US 20

/*
 * User-made code of a table is about to run; so many of the table's rows have
 * been read meanwhile; it has ended, or failed (no harm if none was running).
 * Is the code of a table to be run at all?  It is not for some minutes after it
 * has exceeded its time.
 */
extern void contime_guard_begin(Oid relid, Oid owner);
extern void contime_guard_extend(uint64 rows);
extern void contime_guard_end(void);
extern bool contime_guard_trusts(Oid relid, Oid owner);

#endif							/* CONTIME_BACKGROUND_H */
