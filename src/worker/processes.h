/*
 * processes.h
 *	  Starting background processes.
 *
 * Private to the room worker.
 */
#ifndef CONTIME_WORKER_PROCESSES_H
#define CONTIME_WORKER_PROCESSES_H

#include "postgres.h"

/* ---- background.c ------------------------------------------------------------ */

/* Start the "agent" or the "loader" of a database. */
extern void contime_start_process(const char *what, Oid database);

#endif /* CONTIME_WORKER_PROCESSES_H */
