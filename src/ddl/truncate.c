/*
 * truncate.c
 *	  TRUNCATE of a continuous table in memory.
 */
#include "postgres.h"

#include "ddl/ddl.h"
#include "mvcc/mvcc.h"
#include "read/read.h"
#include "shared/shared.h"
#include "table/table.h"

#include "access/xact.h"
#include "storage/lmgr.h"

void
contime_truncate(Relation rel)
{
	const ContimeTable *table = contime_table(rel);

	Assert(CheckRelationLockedByMe(rel, AccessExclusiveLock, false));
	contime_source_refuse(table);
	contime_check_present(table);
	contime_serializable_clear(table->relid);

	/*
	 * (Not contime_generation(): TRUNCATE must work if the status of a
	 * transaction is truncated.)
	 */
	if (contime_has_generation(table->relid))
		(void) contime_generation_create(table->relid,
										 U64FromFullTransactionId(GetCurrentFullTransactionId()));
}
