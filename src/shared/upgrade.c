/*
 * upgrade.c
 *	  The file that marks an upgraded server, and the database that is being visited.
 *
 *	  pg_upgrade: validator ─ set_mark ─► file ─ server start ─► launcher visits each database,
 *	  one at a time; its agent binds what is unbound ─► the file is removed
 *
 * While pg_upgrade restores definitions, contime has neither hooks nor shared
 * memory.  So the first server that is started afterwards has to look for what
 * the hooks would have done.  Other servers have no mark, and visit nothing.
 * Visits that were cut short begin again: the file stays until all are done.
 *
 * Called by the validator of options (table/options.c), the launcher and agents.
 *
 * Concurrency: the visited database is protected by the registry lock.
 *
 * Not here: what an agent does when it visits (worker/repair.c).
 */
#include "postgres.h"

#include "shared/shared.h"
#include "base/base.h"

#include <fcntl.h>
#include <unistd.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"

/* In a directory that pg_upgrade does not copy from the old server. */
#define MARK PGSTAT_STAT_PERMANENT_DIRECTORY "/contime.upgraded"

void
contime_upgrade_set_mark(void)
{
	int fd;

	Assert(IsBinaryUpgrade);
	fd = OpenTransientFile(MARK, O_CREAT | O_WRONLY | PG_BINARY);
	if (fd < 0 || CloseTransientFile(fd) != 0)
		ereport(WARNING,
				(errcode_for_file_access(), errmsg("could not write file \"%s\": %m", MARK),
				 errhint("After the upgrade, call contime.repair() for each continuous table with event tables.")));
}

bool
contime_upgrade_is_marked(void)
{
	return access(MARK, F_OK) == 0;
}

void
contime_upgrade_remove_mark(void)
{
	if (unlink(MARK) != 0 && errno != ENOENT)
		ereport(LOG, (errcode_for_file_access(), errmsg("could not remove file \"%s\": %m", MARK)));
}

void
contime_visit_begin(Oid database)
{
	contime_registry_lock(LW_EXCLUSIVE);
	contime_shared->visited = database;
	contime_registry_unlock();
}

Oid
contime_visited(void)
{
	Oid database;

	contime_registry_lock(LW_SHARED);
	database = contime_shared->visited;
	contime_registry_unlock();
	return database;
}

void
contime_visit_end(Oid database)
{
	contime_registry_lock(LW_EXCLUSIVE);
	if (contime_shared->visited == database)
		contime_shared->visited = InvalidOid;
	if (contime_shared->launcher_latch)
		SetLatch(contime_shared->launcher_latch);
	contime_registry_unlock();
}
