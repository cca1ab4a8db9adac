/*
 * launcher.c
 *	  The launcher: it starts an agent in each database that needs one.
 *
 * One process for the server; it connects to no database.  It checks all generations
 * when it is woken, and every LAUNCHER_NAP_MS.
 * After a server upgrade it has an agent visit each database once (repair.c).
 */
#include "postgres.h"

#include "worker/worker.h"
#include "worker/processes.h"
#include "durable/durable.h"
#include "shared/shared.h"
#include "store/store.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"

/* The launcher checks at least this often. */
#define LAUNCHER_NAP_MS 5000

/* If an agent has to be started, the launcher checks again after this time. */
#define RETRY_NAP_MS 1000

/* Start the agent of a database.  Return false if it is running. */
static bool
start_agent(Oid database)
{
	if (contime_agent_pid(database, false) != 0)
		return false;
	if (contime_agent_claim_start(database))
		contime_start_process("agent", database);
	return true;
}

/* True if a generation has work for the agent of its database. */
static bool
wants_agent(ContimeGeneration *g)
{
	bool wants;

	if (!contime_generation_is_live(g))
		return false;
	SpinLockAcquire(&g->notice.mutex);
	wants = g->wants_agent || g->notice.due.seq != 0 || g->notice.sending.seq != 0;
	SpinLockRelease(&g->notice.mutex);
	return wants || contime_cache_is_wanted(g);
}

static void
detach_launcher(int code, Datum arg)
{
	contime_shared->launcher_latch = NULL;
}

void
contime_launcher_main(Datum unused)
{
	contime_process_begin(false);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	Assert(!OidIsValid(MyDatabaseId));
	Assert(contime_shared->launcher_latch == NULL); /* there is one launcher */
	before_shmem_exit(detach_launcher, (Datum) 0);
	contime_shared->launcher_latch = MyLatch;

	for (;;)
	{
		Oid visited = contime_visit_next();
		bool waiting = OidIsValid(visited);

		if (waiting)
			(void) start_agent(visited);
		for (int i = 0; i < contime_shared->highest; i++)
		{
			ContimeGeneration *g = &contime_shared->generation[i];

			if (wants_agent(g) && start_agent(g->database))
				waiting = true;
		}
		contime_process_nap(waiting ? RETRY_NAP_MS : LAUNCHER_NAP_MS, true);
	}
}
