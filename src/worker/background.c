/*
 * background.c
 *	  Agents and loaders as guests of a database.
 *
 * Agents (agent.c) and loaders (loader.c) connect to the databases of users, and
 * run code that users made.  Three rules keep that harmless:
 *
 *	  1. The process is the bootstrap superuser only while it connects.  Then it
 *	     is pg_monitor, and for the code of a table its owner (table/owner.c).
 *	     A worker cannot connect as a role without LOGIN before PostgreSQL 17,
 *	     and the owner may have none.
 *	  2. User-made code has a time limit (table/guard.c).
 *	  3. The process leaves when a command needs the database without sessions:
 *	     DROP DATABASE and its like hold a lock on the database while they wait
 *	     for the sessions to leave.  Commands that core refuses hold it no longer
 *	     than their transaction takes to fail, and no process leaves for those.
 *	     (A hook on such commands would have to decide before core has checked
 *	     privileges and arguments.)
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
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/proc.h"

/* A command that holds the lock for so long is waiting for us. */
#define IN_THE_WAY_MS 100

void
contime_background_connect(Oid database)
{
	Assert(OidIsValid(database) && MyBgworkerEntry != NULL);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);

	/* Outside of a transaction, so that each one begins with it. */
	Assert(!IsTransactionState());
	SetUserIdAndSecContext(ROLE_PG_MONITOR, 0);
}

/* ---- rule 3 ------------------------------------------------------------------ */

bool
contime_background_is_in_the_way(void)
{
	static VirtualTransactionId holder = {.backendId = InvalidBackendId};
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
