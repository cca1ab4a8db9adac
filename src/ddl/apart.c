/*
 * apart.c
 *	  Run a step of DDL in a subtransaction, so that its failure does not fail the command.
 */
#include "postgres.h"

#include "ddl/ddl.h"
#include "ddl/sources.h"
#include "store/store.h"

#include "executor/spi.h"
#include "foreign/foreign.h"

ErrorData *
contime_run_apart(void (*step)(TableNotes *), TableNotes *notes)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	Assert(IsTransactionState());
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		step(notes);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (contime_is_interrupt(error))
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return error;
}
