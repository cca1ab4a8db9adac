/*
 * stamps.c
 *	  Time stamps of events that give no time, increasing within a session.
 *
 * A session's newest stamp is in shared memory, where its parallel workers find it.
 * An entry belongs to a process number, and is valid for the pid in it.
 */
#include "postgres.h"

#include "base/compat.h"
#include "shared/shared.h"
#include "shared/registry.h"

#include <sys/mman.h>

#include "miscadmin.h"
#include "storage/proc.h"

static TimestampTz last_stamp = 0;

int64
contime_stamp(void)
{
	ContimeStamp *newest = &contime_stamps[MyProcNumber];

	Assert(MyProcNumber >= 0 && MyProcNumber < MaxBackends);
	last_stamp = Max(GetCurrentTimestamp(), last_stamp + 1);
	newest->stamp = last_stamp;
	newest->pid = MyProcPid;
	return last_stamp;
}

TimestampTz
contime_newest_stamp(void)
{
	PGPROC *leader = MyProc->lockGroupLeader ? MyProc->lockGroupLeader : MyProc;
	const ContimeStamp *newest = &contime_stamps[contime_proc_number(leader)];

	Assert(contime_proc_number(leader) >= 0 && contime_proc_number(leader) < MaxBackends);
	return newest->pid == leader->pid ? newest->stamp : DT_NOBEGIN;
}

ContimeStamp *contime_stamps = NULL;

Size
contime_stamps_bytes(void)
{
	return mul_size(MaxBackends, sizeof(ContimeStamp));
}
