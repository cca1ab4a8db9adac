/*
 * compat.h
 *	  PostgreSQL's interface as its newest version has it, for 15 and later.
 *
 * This is the only file that tests PG_VERSION_NUM (test/lint.sh).  The rest of contime
 * calls the functions of PostgreSQL 18.  For an older version this file defines them
 * from what that version has.  What cannot be defined so has a name of contime.
 *
 * Included, after PostgreSQL's headers, by the files that call what is defined here.
 */
#ifndef CONTIME_COMPAT_H
#define CONTIME_COMPAT_H

#include "postgres.h"

#include "access/heapam.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_namespace_d.h"
#include "commands/explain.h"
#include "commands/vacuum.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "optimizer/pathnode.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/rangetypes.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"
/* This header would include ICU's, of which contime needs nothing. */
#pragma push_macro("USE_ICU")
#undef USE_ICU
#include "utils/pg_locale.h"
#pragma pop_macro("USE_ICU")
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

#if PG_VERSION_NUM < 150000
#error "contime needs PostgreSQL 15 or later"
#endif

/* ---- before PostgreSQL 16 ------------------------------------------------------ */

#if PG_VERSION_NUM < 160000

typedef struct DateTimeErrorExtra
{
	char unused;
} DateTimeErrorExtra;

#define DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tzp, extra) \
	((void) (extra), DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tzp))

#define make_range(cache, lower, upper, empty, escontext) make_range(cache, lower, upper, empty)

/* The memory of a setting's value and of what its check hook makes. */
#define guc_malloc(elevel, size) malloc(size)
#define guc_strdup(elevel, text) strdup(text)
#define guc_free(pointer) free(pointer)

/* Of the classes that contime asks about. */
static inline bool
object_ownercheck(Oid class, Oid object, Oid role)
{
	Assert(class == RelationRelationId || class == NamespaceRelationId);
	return class == NamespaceRelationId ? pg_namespace_ownercheck(object, role)
										: pg_class_ownercheck(object, role);
}

#endif

/* Set the database in the file name of a relation. */
static inline void
contime_set_database(RelationData *rel, Oid database)
{
#if PG_VERSION_NUM >= 160000
	rel->rd_locator.dbOid = database;
#else
	rel->rd_node.dbNode = database;
#endif
}

/* ---- before PostgreSQL 17 ------------------------------------------------------ */

#if PG_VERSION_NUM < 170000

#define TransamVariables ShmemVariableCache

/* The number of a process: below MaxBackends, or negative if it has none. */
#define MyProcNumber (MyBackendId - 1)
#define contime_proc_number(proc) ((proc)->backendId - 1)
#define contime_proc_lxid(proc) ((proc)->lxid)

#define LockHeldByMe(tag, mode, orstronger) \
	(AssertMacro(!(orstronger)), LockHeldByMe(tag, mode))

#define estimate_array_length(root, expr) estimate_array_length(expr)

#define INTERVAL_NOT_FINITE(interval) false

#else

#define contime_proc_number(proc) ((proc)->vxid.procNumber)
#define contime_proc_lxid(proc) ((proc)->vxid.lxid)

#endif

/*
 * Between these, names are resolved in pg_catalog only; since PostgreSQL 17 then in the
 * session's temporary schema, too.  The first returns the argument of the second.
 */
static inline int
contime_enter_catalog_path(void)
{
#if PG_VERSION_NUM >= 170000
	int level = NewGUCNestLevel();

	RestrictSearchPath();
	return level;
#else
	OverrideSearchPath path = {.addCatalog = true};

	PushOverrideSearchPath(&path);
	return 0;
#endif
}

static inline void
contime_leave_catalog_path(int level)
{
#if PG_VERSION_NUM >= 170000
	AtEOXact_GUC(false, level);
#else
	Assert(level == 0);
	PopOverrideSearchPath();
#endif
}

/* ---- before PostgreSQL 18 ------------------------------------------------------ */

/*
 * The parameters and arguments of a function that stands for ExecutorRun.  They are
 * named query, direction and count.
 */
#if PG_VERSION_NUM >= 180000
#define CONTIME_RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count
#define CONTIME_RUN_ARGUMENTS query, direction, count
#else
#define CONTIME_RUN_PARAMETERS \
	QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once
#define CONTIME_RUN_ARGUMENTS query, direction, count, execute_once
#endif

#if PG_VERSION_NUM < 180000

#define ExecutorRun(query, direction, count) ExecutorRun(query, direction, count, false)

#define LockAcquireExtended(tag, mode, session, dontwait, report, lock, logfailure) \
	LockAcquireExtended(tag, mode, session, dontwait, report, lock)

/* No column has this kind. */
#define ATTRIBUTE_GENERATED_VIRTUAL 'v'

#define vacuum_delay_point(is_analyze) vacuum_delay_point()

#endif

/* True if texts of a collation are compared by their bytes. */
static inline bool
contime_compares_bytes(Oid collation)
{
#if PG_VERSION_NUM >= 180000
	return pg_newlocale_from_collation(collation)->collate_is_c;
#else
	return lc_collate_is_c(collation);
#endif
}

/*
 * Return a path that scans a relation.  Since PostgreSQL 18 the planner compares the
 * number of disabled nodes before it compares costs; before, `disabled` has no effect.
 */
static inline ForeignPath *
contime_make_scan_path(PlannerInfo *root, RelOptInfo *rel, double rows, int disabled, Cost startup,
					   Cost total, Relids outer, List *private)
{
#if PG_VERSION_NUM >= 180000
	return create_foreignscan_path(root, rel, NULL, rows, disabled, startup, total, NIL, outer,
								   NULL, NIL, private);
#elif PG_VERSION_NUM >= 170000
	return create_foreignscan_path(root, rel, NULL, rows, startup, total, NIL, outer, NULL, NIL,
								   private);
#else
	return create_foreignscan_path(root, rel, NULL, rows, startup, total, NIL, outer, NULL,
								   private);
#endif
}

#endif
