/*
 * error.c
 *	  Report engine statuses as PostgreSQL errors, with SQLSTATE and hint.
 *
 * Also: recognise a caught error that cancels the statement.
 *
 * Nothing here is called under a lock or in a critical section.
 */
#include "postgres.h"

#include "store/store.h"
#include "base/base.h"
#include "table/table.h"

void
contime_report(CtStatus status, const ContimeTable *table)
{
	Assert(status != CT_OK && status != CT_MORE);
	Assert(contime_holds_no_lock());
	switch (status)
	{
		case CT_NO_MEMORY:
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory for continuous table \"%s\"", table->name),
					 errdetail("The %d MB of contime.memory are in use. Rows that were accepted before are kept.",
							   contime_memory_mb),
					 errhint(
						 "Increase contime.memory and restart, or TRUNCATE or DROP continuous tables that are not needed.")));
			break;
		case CT_LIMIT:
			contime_report_too_large(table);
			break;
		default:
			elog(ERROR, "unexpected engine status %d for continuous table \"%s\"", (int) status,
				 table->name);
	}
	pg_unreachable();
}

/*
 * User-made code may raise the SQLSTATE of a cancellation, too.  So the error's
 * function, ProcessInterrupts() of core, is compared as well.
 */
bool
contime_is_interrupt(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED && error->funcname != NULL &&
		   strcmp(error->funcname, "ProcessInterrupts") == 0;
}
