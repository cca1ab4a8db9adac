/*
 * worker.h
 *	  Background processes: partition workers, launcher, agents, loaders.
 *
 *	  background.c  agents and loaders as guests of a database
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

extern void contime_register_workers(void);

/* ---- background.c ------------------------------------------------------------ */

/* Connect this process to a database, with few privileges. */
extern void contime_background_connect(Oid database);

/*
 * Does a command wait for all sessions to leave this database?  Called again
 * and again; true when it has waited since an earlier call.
 */
extern bool contime_background_is_in_the_way(void);

#endif /* CONTIME_WORKER_H */
