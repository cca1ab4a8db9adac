/*
 * launcher.c
 *	  The launcher: it starts an agent in each database that needs one.
 *
 * One process for the server, without a database.  It looks around when it is
 * woken, and every few seconds.
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

/* The launcher looks around at least this often. */
#define LAUNCHER_NAP_MS 5000

/* While an agent is to be started it looks again after this. */
#define RETRY_NAP_MS 1000

/* Does a generation want an agent in its database? */
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
launcher_exit(int code, Datum arg)
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
	before_shmem_exit(launcher_exit, (Datum) 0);
	contime_shared->launcher_latch = MyLatch;

	for (;;)
	{
		bool waiting = false;

		for (int i = 0; i < contime_shared->highest; i++)
		{
			ContimeGeneration *g = &contime_shared->generation[i];

			if (!wants_agent(g) || contime_agent_pid(g->database, false) != 0)
				continue;
			if (contime_agent_claim_start(g->database))
				contime_start_process("agent", g->database);
			waiting = true;
		}
		contime_process_nap(waiting ? RETRY_NAP_MS : LAUNCHER_NAP_MS, true);
	}
}
