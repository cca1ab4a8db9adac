/*
 * stamps.c
 *	  Time stamps of events that give no time, increasing within a session.
 *
 * A session's newest stamp is in shared memory, where its parallel workers find it.
 * An entry belongs to a backend id, and is valid for the pid in it.
 */
#include "postgres.h"

#include "shared/shared.h"
#include "shared/registry.h"

#include <sys/mman.h>

#include "miscadmin.h"
#include "storage/proc.h"

static TimestampTz last_stamp = 0;

int64
contime_stamp(void)
{
	ContimeStamp *newest = &contime_stamps[MyBackendId - 1];

	Assert(MyBackendId >= 1 && MyBackendId <= MaxBackends);
	last_stamp = Max(GetCurrentTimestamp(), last_stamp + 1);
	newest->stamp = last_stamp;
	newest->pid = MyProcPid;
	return last_stamp;
}

TimestampTz
contime_newest_stamp(void)
{
	PGPROC *leader = MyProc->lockGroupLeader ? MyProc->lockGroupLeader : MyProc;
	const ContimeStamp *newest = &contime_stamps[leader->backendId - 1];

	Assert(leader->backendId >= 1 && leader->backendId <= MaxBackends);
	return newest->pid == leader->pid ? newest->stamp : DT_NOBEGIN;
}

ContimeStamp *contime_stamps = NULL;

Size
contime_stamps_bytes(void)
{
	return mul_size(MaxBackends, sizeof(ContimeStamp));
}
