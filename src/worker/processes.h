/*
 * processes.h
 *	  Start, begin and sleep of background processes.
 *
 * Private to the room worker.
 */
#ifndef CONTIME_WORKER_PROCESSES_H
#define CONTIME_WORKER_PROCESSES_H

#include "postgres.h"

/* ---- process.c --------------------------------------------------------------- */

/*
 * Register a process that the postmaster starts: what is "worker" or "launcher", name
 * is shown in pg_stat_activity.  Called while libraries are preloaded.
 */
extern void contime_register_process(const char *what, const char *name, Datum argument);

/*
 * Start the "agent" or the "loader" of a database.  Log it if there is no slot for the
 * process.
 */
extern void contime_start_process(const char *what, Oid database);

/*
 * Set up signals at the start of a background process: SIGTERM ends it.  With
 * `reloads`, SIGHUP makes it read the configuration in its next nap; otherwise SIGHUP
 * is ignored.
 */
extern void contime_process_begin(bool reloads);

/*
 * Sleep for some milliseconds, or (until_woken) at most until the latch is set.  Then
 * handle interrupts, and read the configuration if that was requested.
 */
extern void contime_process_nap(long ms, bool until_woken);

/* ---- repair.c ---------------------------------------------------------------- */

/*
 * Called by an agent: repair the tables of its database that a loader has found
 * unbound, and all of them if the database is being visited. Returns true if that
 * visit has ended.
 */
extern bool contime_repairs_run(void);

/*
 * Called by the launcher: after a server upgrade, the database whose agent is to
 * visit it now; InvalidOid: none, or no more.
 */
extern Oid contime_visit_next(void);

#endif /* CONTIME_WORKER_PROCESSES_H */
