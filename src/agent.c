/*
 * agent.c
 *	  Notices: the launcher, and one agent per database that sends them.
 *
 *	  worker: the past changed ─► generation[].notice (coalesced) ─► agent ─► NOTIFY
 *	                                                   launcher ─ starts ─┘
 *
 * A notice is due when a committed event changed states that may have been
 * read.  What is due for a table is one range and a count, to which workers
 * add, so it cannot overflow.  NOTIFY needs a transaction in the database, so
 * an agent connected there sends all that is due in one commit, at most ten a
 * second.  The launcher starts it when a table there first holds data or a
 * notice is due; an agent leaves when it has nothing to do for a while.
 *
 * What is being sent is kept in generation[].sending until it is committed; an
 * agent that finds some there sends it again, since its predecessor died.
 *
 * An agent would be in the way of DROP DATABASE and its like, so ddl.c stops
 * it first.
 *
 * Concurrency: the agent table is protected by the registry lock, a
 * generation's notice and sending by its spinlock.
 */
#include "contime.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "commands/async.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define CHANNEL "contime"

/* At most ten commits a second. */
#define SEND_INTERVAL_MS 100

/* An agent without notices leaves after this. */
#define AGENT_IDLE_MS 60000

/* The launcher looks around at least this often. */
#define LAUNCHER_NAP_MS 5000

/* From one start to the next; and while a database is dropped or copied. */
#define RESTART_INTERVAL_MS 5000
#define STOPPED_MS 10000

/* How long to wait for an agent to leave. */
#define STOP_TIMEOUT_MS 3000

/* ---- the agent table -------------------------------------------------------------------- */

/* The entry of a database, or a free one; under the registry lock. */
static ContimeAgent *
agent_entry(Oid database, bool create)
{
	ContimeAgent *unused = NULL;

	for (int i = 0; i < CONTIME_MAX_AGENTS; i++)
	{
		ContimeAgent *agent = &contime_shared->agent[i];

		if (agent->database == database)
			return agent;
		if (unused == NULL && (agent->database == InvalidOid ||
							   (agent->pid == 0 && agent->not_before < GetCurrentTimestamp() &&
								agent->stopped_until < GetCurrentTimestamp())))
			unused = agent;
	}
	if (!create || unused == NULL)
		return NULL;
	memset(unused, 0, sizeof(ContimeAgent));
	unused->database = database;
	return unused;
}

void
contime_agent_wake(Oid database)
{
	ContimeAgent *agent;
	Latch	   *latch;

	contime_registry_lock(LW_SHARED);
	agent = agent_entry(database, false);
	latch = agent && agent->pid != 0 ? agent->latch : contime_shared->launcher_latch;
	if (latch)
		SetLatch(latch);
	contime_registry_unlock();
}

/* Is somebody there? */
static int
agent_pid(Oid database)
{
	ContimeAgent *agent;
	int			pid;

	contime_registry_lock(LW_SHARED);
	agent = agent_entry(database, false);
	pid = agent ? agent->pid : 0;
	contime_registry_unlock();
	return pid;
}

void
contime_agent_stop(Oid database)
{
	ContimeAgent *agent;
	int			pid;

	contime_registry_lock(LW_EXCLUSIVE);
	agent = agent_entry(database, true);
	if (agent)
		agent->stopped_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STOPPED_MS);
	contime_registry_unlock();

	/*
	 * One that is being started will see that and leave.  One that is stopped
	 * will not: then the command itself says who is in the way.
	 */
	for (int waited_ms = 0; waited_ms < STOP_TIMEOUT_MS && (pid = agent_pid(database)) != 0; waited_ms++)
	{
		if (kill(pid, SIGTERM) != 0)
			break;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(1000);
	}
}

/* ---- the launcher ------------------------------------------------------------------------- */

/* Does a generation want an agent in its database? */
static bool
wants_agent(ContimeGeneration *g)
{
	bool		wants;

	if (!g->used || g->dead || g->tombstone)
		return false;
	SpinLockAcquire(&g->notice_mutex);
	wants = g->wants_agent || g->notice.events > 0 || g->sending.events > 0;
	SpinLockRelease(&g->notice_mutex);
	return wants;
}

/* May one be started now?  If so, note that it was. */
static bool
claim_start(Oid database)
{
	ContimeAgent *agent;
	TimestampTz now = GetCurrentTimestamp();
	bool		start;

	contime_registry_lock(LW_EXCLUSIVE);
	agent = agent_entry(database, true);
	start = agent && agent->pid == 0 && agent->not_before <= now && agent->stopped_until <= now;
	if (start)
		agent->not_before = TimestampTzPlusMilliseconds(now, RESTART_INTERVAL_MS);
	contime_registry_unlock();
	return start;
}

static void
start_agent(Oid database)
{
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = BGW_NEVER_RESTART,
		.bgw_library_name = "contime",
		.bgw_function_name = "contime_agent_main",
		.bgw_type = "contime agent",
	};

	snprintf(worker.bgw_name, BGW_MAXLEN, "contime agent of database %u", database);
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	if (!RegisterDynamicBackgroundWorker(&worker, NULL))
		ereport(LOG,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start the contime agent of database %u", database),
				 errdetail("Notices of continuous tables are held back."),
				 errhint("You may need to increase max_worker_processes.")));
}

static void
launcher_exit(int code, Datum arg)
{
	contime_shared->launcher_latch = NULL;
}

void
contime_launcher_main(Datum unused)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SIG_IGN);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	before_shmem_exit(launcher_exit, (Datum) 0);
	contime_shared->launcher_latch = MyLatch;

	for (;;)
	{
		bool		waiting = false;

		for (int i = 0; i < contime_shared->highest; i++)
		{
			ContimeGeneration *g = &contime_shared->generation[i];

			if (!wants_agent(g) || agent_pid(g->database) != 0)
				continue;
			if (claim_start(g->database))
				start_agent(g->database);
			waiting = true;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 waiting ? 1000 : LAUNCHER_NAP_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* ---- an agent -------------------------------------------------------------------------------- */

/* Move what is due of a table to what is being sent; false: nothing. */
static bool
take_notice(ContimeGeneration *g, CtChanged *taken, uint64 *seq)
{
	SpinLockAcquire(&g->notice_mutex);
	g->wants_agent = false;
	contime_changed_add(&g->sending, &g->notice);
	g->notice.events = 0;
	*taken = g->sending;
	if (taken->events > 0)
		*seq = ++g->notice_seq;
	SpinLockRelease(&g->notice_mutex);
	return taken->events > 0;
}

static void
append_instant(StringInfo json, const char *name, int64 instant, Oid type)
{
	char		buf[MAXDATELEN + 1];

	appendStringInfo(json, ", \"%s\": ", name);
	if (instant == PG_INT64_MAX)
		appendStringInfoString(json, "null");
	else if (type == INT8OID)
		appendStringInfo(json, INT64_FORMAT, instant);
	else
	{
		Datum		value = TimestampTzGetDatum(instant);

		JsonEncodeDateTime(buf, value, TIMESTAMPTZOID, NULL);
		appendStringInfo(json, "\"%s\"", buf);
	}
}

/* The type of a table's time column, as its data was written. */
static Oid
time_type_of(ContimeGeneration *g)
{
	Oid			type = InvalidOid;

	for (int p = 0; p < contime_shared->partitions && !OidIsValid(type); p++)
	{
		CtArena		arena = contime_arena(p);

		contime_lock(p, LW_SHARED);
		if (g->store[p] != 0)
		{
			const CtSchema *schema = ct_store_schema(&arena, g->store[p]);

			for (int i = 0; i < schema->nattrs; i++)
				if (schema->attr[i].role == CONTIME_TIME)
					type = schema->attr[i].type;
		}
		contime_unlock(p);
	}
	return type;
}

static void
send_notice(ContimeGeneration *g, const CtChanged *changed, uint64 seq)
{
	char	   *name = get_rel_name(g->relation);
	Oid			type = time_type_of(g);
	StringInfoData json;

	/* Dropped meanwhile: nobody to tell. */
	if (name == NULL || !OidIsValid(type) || !contime_table_notifies(g->relation))
		return;
	initStringInfo(&json);
	appendStringInfoString(&json, "{\"table\": ");
	escape_json(&json, quote_qualified_identifier(get_namespace_name(get_rel_namespace(g->relation)),
												  name));
	append_instant(&json, "from", changed->from, type);
	append_instant(&json, "to", changed->to, type);
	appendStringInfo(&json, ", \"events\": " UINT64_FORMAT ", \"seq\": " UINT64_FORMAT "}",
					 changed->events, seq);
	Async_Notify(CHANNEL, json.data);
}

/* Send what is due in one transaction; true when there was something. */
static bool
send_notices(void)
{
	static bool taken[CONTIME_MAX_GENERATIONS];
	int			highest = contime_shared->highest;
	bool		any = false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	for (int i = 0; i < highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];
		CtChanged	changed;
		uint64		seq;

		taken[i] = g->used && !g->dead && g->database == MyDatabaseId &&
			take_notice(g, &changed, &seq);
		if (taken[i])
			send_notice(g, &changed, seq);
		any |= taken[i];
	}
	CommitTransactionCommand();

	for (int i = 0; i < highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];

		if (!taken[i])
			continue;
		SpinLockAcquire(&g->notice_mutex);
		g->sending.events = 0;
		SpinLockRelease(&g->notice_mutex);
	}
	return any;
}

/* Nobody else changes the entry of an agent that is there, so no lock has to be waited for. */
static void
agent_exit(int code, Datum arg)
{
	for (int i = 0; i < CONTIME_MAX_AGENTS; i++)
	{
		ContimeAgent *agent = &contime_shared->agent[i];

		if (agent->pid != MyProcPid)
			continue;
		agent->latch = NULL;
		/* One that left by itself may come back at once. */
		if (code == 0)
			agent->not_before = 0;
		pg_write_barrier();
		agent->pid = 0;
	}
}

/* Announce this agent; false when there is one, or none is wanted. */
static bool
agent_attach(Oid database)
{
	ContimeAgent *agent;
	bool		attached;

	contime_registry_lock(LW_EXCLUSIVE);
	agent = agent_entry(database, true);
	attached = agent && agent->pid == 0 && agent->stopped_until <= GetCurrentTimestamp();
	if (attached)
	{
		agent->pid = MyProcPid;
		agent->latch = MyLatch;
	}
	contime_registry_unlock();
	return attached;
}

void
contime_agent_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SIG_IGN);
	BackgroundWorkerUnblockSignals();

	/* Announced before connecting, so that DROP DATABASE knows of it. */
	if (!agent_attach(database))
		proc_exit(0);
	before_shmem_exit(agent_exit, arg);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);

	for (;;)
	{
		bool		sent = send_notices();
		int			events;

		CHECK_FOR_INTERRUPTS();
		events = WaitLatch(MyLatch,
						   WL_TIMEOUT | WL_EXIT_ON_PM_DEATH | (sent ? 0 : WL_LATCH_SET),
						   sent ? SEND_INTERVAL_MS : AGENT_IDLE_MS, PG_WAIT_EXTENSION);
		if (!sent)
			ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (!sent && (events & WL_TIMEOUT))
			proc_exit(0);
	}
}
