/*
 * processes.h
 *	  What the files of background processes share.
 *
 * Private to the room worker.
 */
#ifndef CONTIME_WORKER_PROCESSES_H
#define CONTIME_WORKER_PROCESSES_H

#include "postgres.h"

/* ---- process.c --------------------------------------------------------------- */

/*
 * Register a process that the postmaster starts: a "worker" or the "launcher",
 * by its name in pg_stat_activity.  While libraries are preloaded.
 */
extern void contime_register_process(const char *what, const char *name, Datum argument);

/* Start the "agent" or the "loader" of a database; logs if there is no slot for it. */
extern void contime_start_process(const char *what, Oid database);

/*
 * Begin a background process: SIGTERM ends it; on SIGHUP it reads the
 * configuration in its next nap (reloads), or does nothing.
 */
extern void contime_process_begin(bool reloads);

/*
 * Sleep for some milliseconds, or (until_woken) until the latch is set; then
 * answer interrupts, and read the configuration if that is due.
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
