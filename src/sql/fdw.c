/*
 * fdw.c
 *	  The foreign data wrapper: its table of callbacks.
 *
 * Not here: the callbacks (fdw_*.c, plan/path.c).
 */
#include "postgres.h"

#include "sql/sql.h"
#include "sql/fdw.h"
#include "plan/plan.h"

#include "executor/executor.h"

PG_FUNCTION_INFO_V1(contime_fdw_handler);

Datum
contime_fdw_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	contime_check_objects();
	routine->GetForeignRelSize = contimeGetForeignRelSize;
	routine->GetForeignPaths = contimeGetForeignPaths;
	routine->GetForeignPlan = contimeGetForeignPlan;
	routine->BeginForeignScan = contimeBeginForeignScan;
	routine->IterateForeignScan = contimeIterateForeignScan;
	routine->ReScanForeignScan = contimeReScanForeignScan;
	routine->EndForeignScan = contimeEndForeignScan;
	routine->IsForeignScanParallelSafe = contimeIsForeignScanParallelSafe;
	routine->EstimateDSMForeignScan = contimeEstimateDSMForeignScan;
	routine->InitializeDSMForeignScan = contimeInitializeDSMForeignScan;
	routine->ReInitializeDSMForeignScan = contimeReInitializeDSMForeignScan;
	routine->InitializeWorkerForeignScan = contimeInitializeWorkerForeignScan;
	routine->AnalyzeForeignTable = contimeAnalyzeForeignTable;
	routine->ExplainForeignScan = contimeExplainForeignScan;

	routine->AddForeignUpdateTargets = contimeAddForeignUpdateTargets;
	routine->BeginForeignModify = contimeBeginForeignModify;
	routine->ExecForeignInsert = contimeExecForeignInsert;
	routine->ExecForeignBatchInsert = contimeExecForeignBatchInsert;
	routine->GetForeignModifyBatchSize = contimeGetForeignModifyBatchSize;
	routine->EndForeignModify = contimeEndForeignModify;
	routine->BeginForeignInsert = contimeBeginForeignInsert;
	routine->EndForeignInsert = contimeEndForeignModify;
	routine->IsForeignRelUpdatable = contimeIsForeignRelUpdatable;
	routine->ExecForeignTruncate = contimeExecForeignTruncate;

	PG_RETURN_POINTER(routine);
}
