/*
 * guard.c
 *	  User-made code in background processes: its time limit, and distrust.
 *
 * User-made code has a time limit, which grows with the number of rows it runs for.  A
 * process notes in shared memory for which table it runs code.  If the code exceeds
 * its time, or the process ends while it runs, the code of that table is distrusted:
 * for some minutes neither this process nor its successor runs it.  Meanwhile notices
 * of the table have no keys, and a durable table is read from its event tables.  If
 * three tables of one owner are distrusted, all tables of that owner are.
 *
 * Concurrency: an entry of the table of agents belongs to one database.  Only its
 * agent and its loader write the fields used here, and their successors read them.
 *
 * Not here: the privileges of the code (owner.c).
 */
#include "postgres.h"

#include "table/table.h"
#include "base/base.h"
#include "shared/shared.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/*
 * How long the code of a table is distrusted, and after how many tables of one owner
 * all code of that owner is.
 */
#define DISTRUST_MS 600000
#define MOST_DISTRUSTED 3

/* Code that has read no rows and takes longer than this is distrusted, too. */
#define SLOW_MS 3000

/* Return the entry of this database.  It does not move while this process is attached. */
static ContimeAgent *
find_own_agent(void)
{
	for (int i = 0; i < CONTIME_MAX_AGENTS; i++)
		if (contime_shared->agent[i].database == MyDatabaseId)
			return &contime_shared->agent[i];
	return NULL;
}

/*
 * Return the note of the table whose code this process is running; or, after a start,
 * whose code its predecessor was running when it ended.
 */
static ContimeSuspectCode *
get_running_code(ContimeAgent *agent)
{
	Assert(agent->database == MyDatabaseId);
	Assert(agent->loader_pid == MyProcPid || agent->pid == MyProcPid);
	return agent->loader_pid == MyProcPid ? &agent->loader_runs : &agent->agent_runs;
}

/*
 * Distrust the code of a table.  This overwrites the oldest entry, so that table's
 * code may run again.
 */
static void
distrust_code(ContimeAgent *agent, const ContimeSuspectCode *code)
{
	int i = agent->ndistrusted++ % lengthof(agent->distrusted);
	const char *name = IsTransactionState() ? get_rel_name(code->relid) : NULL;

	Assert(OidIsValid(code->relid));
	agent->distrusted[i] = *code;
	agent->distrusted[i].until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), DISTRUST_MS);
	ereport(LOG,
			(errmsg("user-made code of continuous table \"%s\" took too long in a background process",
					name ? name : psprintf("%u", code->relid)),
			 errdetail("It is not run there for %d minutes: notices of the table name no keys, and it is not cached.",
					   DISTRUST_MS / 60000),
			 errhint("Look at the domains, casts and functions that the table uses.")));
}

bool
contime_guard_trusts(Oid relid, Oid owner)
{
	ContimeAgent *agent = find_own_agent();
	int of_owner = 0;

	if (agent == NULL)
		return true;
	if (OidIsValid(get_running_code(agent)->relid))
	{
		ContimeSuspectCode died = *get_running_code(agent);

		get_running_code(agent)->relid = InvalidOid;
		distrust_code(agent, &died);
	}
	for (int i = 0; i < lengthof(agent->distrusted); i++)
	{
		const ContimeSuspectCode *code = &agent->distrusted[i];

		if (code->until <= GetCurrentTimestamp())
			continue;
		if (code->relid == relid)
			return false;
		of_owner += code->owner == owner;
	}
	return of_owner < MOST_DISTRUSTED;
}

static TimestampTz guard_start;
static bool guard_read_rows; /* rows were read since then */

void
contime_guard_begin(Oid relid, Oid owner)
{
	ContimeAgent *agent = find_own_agent();

	Assert(OidIsValid(relid) && OidIsValid(owner));
	if (agent)
		*get_running_code(agent) = (ContimeSuspectCode){.relid = relid, .owner = owner};
	guard_start = GetCurrentTimestamp();
	guard_read_rows = false;
	contime_limit_begin(CONTIME_GUARD_MS);
}

void
contime_guard_extend(uint64 rows)
{
	TimestampTz until =
		guard_start + CONTIME_GUARD_MS * INT64CONST(1000) + rows * CONTIME_GUARD_ROW_US;

	guard_read_rows = true;
	contime_limit_extend(Max((until - GetCurrentTimestamp()) / 1000, 1));
}

/*
 * True if the code took so long that it must not run again.  Code that has read no
 * rows gets a lower limit: otherwise code of several tables, each just within the
 * limit, could take all the time.
 */
static bool
was_too_slow(void)
{
	return contime_limit_is_exceeded() ||
		   (!guard_read_rows &&
			GetCurrentTimestamp() > TimestampTzPlusMilliseconds(guard_start, SLOW_MS));
}

/* An error in the code is no reason for distrust: the table is tried again. */
void
contime_guard_end(void)
{
	ContimeAgent *agent = find_own_agent();
	ContimeSuspectCode code = {0};

	contime_limit_end();
	if (agent)
	{
		code = *get_running_code(agent);
		get_running_code(agent)->relid = InvalidOid;
	}
	if (OidIsValid(code.relid) && was_too_slow())
		distrust_code(agent, &code);
}
