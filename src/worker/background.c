/*
 * background.c
 *	  Agents and loaders: their roles, and how they stay out of the way.
 *
 * Agents (agent.c) and loaders (loader.c) connect to the databases of users, and run
 * user-made code.  Three rules keep that harmless:
 *
 *   1. The process is the bootstrap superuser only while it connects.  Then it is
 *      pg_monitor, and for a table's code the table's owner (table/owner.c).
 *      Before PostgreSQL 17 a background worker cannot connect as a role without
 *      LOGIN, and an owner may lack LOGIN, too.
 *   2. User-made code has a time limit (table/guard.c).
 *   3. The process exits when a command needs the database without sessions.  DROP
 *      DATABASE and similar commands hold a lock on the database while they wait
 *      for other sessions to exit.  A command that core refuses holds this lock
 *      only until its transaction fails, and no process exits for it.  (A hook on
 *      such commands would have to decide before core has checked privileges and
 *      arguments.)
 *
 * The log has a context line with the database in each message of these processes:
 * core leaves %d of log_line_prefix empty for a process without a client.
 *
 * Not here: when processes start (launcher.c, agent.c).
 */
#include "postgres.h"

#include "worker/worker.h"
#include "worker/processes.h"
#include "shared/shared.h"

#include "access/xact.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_database_d.h"
#include "commands/dbcommands.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/proc.h"

/* A command that holds the lock for this time is taken to wait for this process. */
#define IN_THE_WAY_MS 100

/* The database's name, since no catalog can be read after an error. */
static char database_name[NAMEDATALEN];

static void
add_database(void *arg)
{
	errcontext("database \"%s\"", database_name);
}

/* From now on, messages have a context that names the database. */
static void
name_database_in_log(void)
{
	static ErrorContextCallback callback = {.callback = add_database};
	char *name;

	Assert(error_context_stack == NULL);
	StartTransactionCommand();
	name = get_database_name(MyDatabaseId);
	strlcpy(database_name, name ? name : "", sizeof(database_name));
	CommitTransactionCommand();
	error_context_stack = &callback;
}

void
contime_background_connect(Oid database)
{
	Assert(OidIsValid(database) && MyBgworkerEntry != NULL);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	name_database_in_log();

	/* Set it outside a transaction, so that every transaction begins with this role. */
	Assert(!IsTransactionState());
	SetUserIdAndSecContext(ROLE_PG_MONITOR, 0);
}

/* ---- rule 3: make way for DROP DATABASE --------------------------------------- */

bool
contime_background_is_in_the_way(void)
{
	static VirtualTransactionId holder = {0};
	static TimestampTz since = 0;
	VirtualTransactionId *holders;
	LOCKTAG tag;
	bool same = false;

	Assert(OidIsValid(MyDatabaseId));
	Assert(contime_holds_no_lock());
	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	holders = GetLockConflicts(&tag, RowExclusiveLock, NULL);
	for (VirtualTransactionId *v = holders; VirtualTransactionIdIsValid(*v); v++)
		same |= VirtualTransactionIdEquals(*v, holder);
	if (!same)
	{
		holder = *holders;
		since = GetCurrentTimestamp();
	}
	pfree(holders);
	return same && GetCurrentTimestamp() >= TimestampTzPlusMilliseconds(since, IN_THE_WAY_MS);
}
