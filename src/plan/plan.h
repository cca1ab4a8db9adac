/*
 * plan.h
 *	  The room that plans reads of continuous tables.
 *
 *	  match.c     finds the clauses that bind the time and the key
 *	  present.c   marks the relations that contime.at does not apply to
 *	  outer.c     finds conditions of outer query levels on the time
 *	  size.c      counts keys and events, and prices a read
 *	  binding.c   chooses the condition that binds the time column
 *	  estimate.c  estimates rows and costs of SQL functions
 *	  path.c      makes paths and plans
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_PLAN_H
#define CONTIME_PLAN_H

#include "postgres.h"

#include "nodes/plannodes.h"

struct PlannerInfo;
struct RelOptInfo;
struct ForeignPath;
struct RangeTblEntry;

/*
 * The instants and keys that a plan reads.  The plan's fdw_exprs are
 * `ninstants` instants in the time column's type, then either a value for each
 * key column or nothing.  Without an instant the scan reads at "now"; without
 * key values it reads all keys.
 */
typedef struct ContimeBinding
{
	int ninstants;
	List *arrays;                     /* IntList, one for each fdw_expr: 1 if it is an array */
	List *key_types;                  /* OidList: types of the key values, or of their elements */
	bool forbidden;                   /* executing this plan raises an ERROR */
	bool present;                     /* the scan is in a policy, where contime.at does not apply */
	bool travels;                     /* the plan needs contime.at to be set */
	bool shows_instant;               /* columns are used that depend on which instant is read */
	LockClauseStrength lock_strength; /* lock the keys before they are read; LCS_NONE: do not */
	LockWaitPolicy lock_policy;
} ContimeBinding;

/* ---- path.c ------------------------------------------------------------------ */

/* Callbacks of the foreign data wrapper, called by the planner. */
extern void contimeGetForeignRelSize(struct PlannerInfo *root, struct RelOptInfo *rel, Oid relid);
extern bool contimeIsForeignScanParallelSafe(struct PlannerInfo *root, struct RelOptInfo *rel,
											 struct RangeTblEntry *rte);
extern void contimeGetForeignPaths(struct PlannerInfo *root, struct RelOptInfo *rel, Oid relid);
extern ForeignScan *contimeGetForeignPlan(struct PlannerInfo *root, struct RelOptInfo *rel,
										  Oid relid, struct ForeignPath *path, List *tlist,
										  List *clauses, Plan *outer_plan);

/* Set *binding from a plan of contimeGetForeignPlan(). Its lists are not to be modified. */
extern void contime_read_binding(const ForeignScan *plan, ContimeBinding *binding);

/* ---- present.c --------------------------------------------------------------- */

/* Install the planner hook. Called once, by _PG_init(). */
extern void contime_install_present_hooks(void);

#endif /* CONTIME_PLAN_H */
