/*
 * agents.c
 *	  The table of processes: one agent and one loader for each database.
 *
 * Called by the launcher, agents and loaders, and by every process that has work for
 * an agent.
 *
 * Concurrency: entries are protected by the registry lock, except that a process
 * clears its own entry without it when it exits.
 *
 * Not here: the work of agents, loaders and the launcher (worker/).
 */
#include "postgres.h"

#include "shared/shared.h"
#include "base/base.h"

#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

/*
 * RESTART_INTERVAL_MS: the least time between two starts of an agent.  STOPPED_MS: how
 * long agents and loaders stay away from a database that is dropped or copied.
 */
#define RESTART_INTERVAL_MS 5000
#define STOPPED_MS 10000

/*
 * Return the entry of a database, or NULL.  create: if there is none, take a free or
 * unused entry.  Under the registry lock, with `create` in exclusive mode.
 */
static ContimeAgent *
find_agent_entry(Oid database, bool create)
{
	ContimeAgent *unused = NULL;

	Assert(OidIsValid(database));
	Assert(contime_holds_registry(create ? LW_EXCLUSIVE : LW_SHARED));
	for (int i = 0; i < CONTIME_MAX_AGENTS; i++)
	{
		ContimeAgent *agent = &contime_shared->agent[i];

		if (agent->database == database)
			return agent;
		if (unused == NULL &&
			(agent->database == InvalidOid || (agent->pid == 0 && agent->loader_pid == 0 &&
											   agent->not_before < GetCurrentTimestamp() &&
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
	Latch *latch;

	contime_registry_lock(LW_SHARED);
	agent = find_agent_entry(database, false);
	latch = agent && agent->pid != 0 ? agent->latch : contime_shared->launcher_latch;
	if (latch)
		SetLatch(latch);
	contime_registry_unlock();
}

int
contime_agent_pid(Oid database, bool loader)
{
	ContimeAgent *agent;
	int pid = 0;

	contime_registry_lock(LW_SHARED);
	agent = find_agent_entry(database, false);
	if (agent)
		pid = loader ? agent->loader_pid : agent->pid;
	contime_registry_unlock();
	return pid;
}

void
contime_agent_leave(void)
{
	ContimeAgent *agent;

	contime_registry_lock(LW_EXCLUSIVE);
	agent = find_agent_entry(MyDatabaseId, false);
	if (agent)
		agent->stopped_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STOPPED_MS);
	contime_registry_unlock();
	proc_exit(0);
}

bool
contime_agent_claim_start(Oid database)
{
	ContimeAgent *agent;
	TimestampTz now = GetCurrentTimestamp();
	bool start;

	contime_registry_lock(LW_EXCLUSIVE);
	agent = find_agent_entry(database, true);
	start = agent && agent->pid == 0 && agent->not_before <= now && agent->stopped_until <= now;
	if (start)
		agent->not_before = TimestampTzPlusMilliseconds(now, RESTART_INTERVAL_MS);
	contime_registry_unlock();
	return start;
}

static void
clear_agent_entry(int code, Datum arg)
{
	for (int i = 0; i < CONTIME_MAX_AGENTS; i++)
	{
		ContimeAgent *agent = &contime_shared->agent[i];

		if (agent->loader_pid == MyProcPid)
			agent->loader_pid = 0;
		if (agent->pid != MyProcPid)
			continue;
		agent->latch = NULL;
		/* After a regular exit a new agent may start at once. */
		if (code == 0)
			agent->not_before = 0;
		pg_write_barrier();
		agent->pid = 0;
	}
}

bool
contime_loader_attach(Oid database)
{
	ContimeAgent *agent;
	bool attached;

	contime_registry_lock(LW_EXCLUSIVE);
	agent = find_agent_entry(database, true);
	attached = agent && agent->loader_pid == 0 && agent->stopped_until <= GetCurrentTimestamp();
	if (attached)
		agent->loader_pid = MyProcPid;
	contime_registry_unlock();
	if (attached)
		before_shmem_exit(clear_agent_entry, ObjectIdGetDatum(database));
	return attached;
}

bool
contime_agent_attach(Oid database)
{
	ContimeAgent *agent;
	bool attached;

	contime_registry_lock(LW_EXCLUSIVE);
	agent = find_agent_entry(database, true);
	attached = agent && agent->pid == 0 && agent->stopped_until <= GetCurrentTimestamp();
	if (attached)
	{
		agent->pid = MyProcPid;
		agent->latch = MyLatch;
	}
	contime_registry_unlock();
	if (attached)
		before_shmem_exit(clear_agent_entry, ObjectIdGetDatum(database));
	return attached;
}
