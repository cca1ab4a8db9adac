/*
 * process.c
 *	  The skeleton of a background process: how it starts, its signals, its sleep.
 *
 *	  begin ─► (one round of work ─► nap)* ─► exit
 *
 * The postmaster starts partition workers and the launcher, and starts them again one
 * second after they exit.  Agents and loaders are started by other processes and are
 * not restarted.
 *
 * A process that exits with 0 is not restarted.  An exit code other than 0 and
 * 1 restarts the whole server.  Each process handles interrupts in every nap, because
 * other backends may wait for it to absorb a barrier.
 *
 * Not here: the work of a round (worker.c, launcher.c, agent.c, loader.c), the rules
 * for agents and loaders (background.c).
 */
#include "postgres.h"

#include "worker/worker.h"
#include "worker/processes.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

static emit_log_hook_type prev_emit_log = NULL;

static void
describe_process(BackgroundWorker *worker, const char *what, int restart_s)
{
	Assert(strlen("contime__main") + strlen(what) < BGW_MAXLEN);
	memset(worker, 0, sizeof(BackgroundWorker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = restart_s;
	strlcpy(worker->bgw_library_name, "contime", BGW_MAXLEN);
	snprintf(worker->bgw_function_name, BGW_MAXLEN, "contime_%s_main", what);
	snprintf(worker->bgw_type, BGW_MAXLEN, "contime %s", what);
}

void
contime_register_process(const char *what, const char *name, Datum argument)
{
	BackgroundWorker worker;

	Assert(process_shared_preload_libraries_in_progress);
	describe_process(&worker, what, 1);
	strlcpy(worker.bgw_name, name, BGW_MAXLEN);
	worker.bgw_main_arg = argument;
	RegisterBackgroundWorker(&worker);
}

void
contime_start_process(const char *what, Oid database)
{
	BackgroundWorker worker;

	Assert(OidIsValid(database));
	describe_process(&worker, what, BGW_NEVER_RESTART);
	snprintf(worker.bgw_name, BGW_MAXLEN, "contime %s of database %u", what, database);
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	if (!RegisterDynamicBackgroundWorker(&worker, NULL))
		ereport(LOG,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start the contime %s of database %u", what, database),
				 errdetail(
					 "Notices of continuous tables are held back, and those with event tables are not cached."),
				 errhint("You may need to increase max_worker_processes.")));
}

/*
 * Core logs a FATAL error for a background worker that is asked to end, as it is whenever
 * the server stops. That is no fault, and the postmaster logs that the process has ended.
 */
static void
hide_request_to_end(ErrorData *error)
{
	if (prev_emit_log)
		prev_emit_log(error);
	if (error->elevel == FATAL && error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
		error->output_to_server = false;
}

void
contime_process_begin(bool reloads)
{
	Assert(MyBgworkerEntry != NULL);
	prev_emit_log = emit_log_hook;
	emit_log_hook = hide_request_to_end;
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, reloads ? SignalHandlerForConfigReload : SIG_IGN);
	BackgroundWorkerUnblockSignals();
}

void
contime_process_nap(long ms, bool until_woken)
{
	int events = WL_TIMEOUT | WL_EXIT_ON_PM_DEATH | (until_woken ? WL_LATCH_SET : 0);

	Assert(ms > 0);
	Assert(InterruptHoldoffCount == 0); /* no LWLock is held */
	(void) WaitLatch(MyLatch, events, ms, PG_WAIT_EXTENSION);
	if (until_woken)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}
