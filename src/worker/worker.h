/*
 * worker.h
 *	  Background processes: partition workers, launcher, agents, loaders.
 *
 *	  background.c  rules for agents and loaders in the databases of users
 *	  process.c     the skeleton of a background process
 *	  repair.c      durable tables are bound again after an upgrade
 *	  agent.c       sends notices
 *	  launcher.c    starts agents
 *	  loader.c      loads caches
 *	  worker.c      a partition's worker
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_WORKER_H
#define CONTIME_WORKER_H

#include "postgres.h"

extern PGDLLEXPORT void contime_worker_main(Datum partition);
extern PGDLLEXPORT void contime_launcher_main(Datum unused);
extern PGDLLEXPORT void contime_agent_main(Datum database);
extern PGDLLEXPORT void contime_loader_main(Datum database);

/* ---- worker.c ---------------------------------------------------------------- */

/* Register the partition workers and the launcher.  Called by module.c. */
extern void contime_register_workers(void);

/* ---- background.c ------------------------------------------------------------ */

/* Connect this process to a database, and make it pg_monitor. */
extern void contime_background_connect(Oid database);

/*
 * True if a command has waited for all sessions to leave this database since an
 * earlier call, for at least 100 ms.  Called repeatedly.
 */
extern bool contime_background_is_in_the_way(void);

#endif /* CONTIME_WORKER_H */
