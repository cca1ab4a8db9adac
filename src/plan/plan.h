/*
 * plan.h
 *	  The planner: from conditions on the time to paths and plans.
 *
 *	  match.c     which clauses bind time and key
 *	  present.c   reads that stay in the present
 *	  size.c      how much there is, and what reading costs
 *	  binding.c   how a condition on the time becomes a binding
 *	  estimate.c  estimates for functions
 *	  path.c      paths and plans
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
 * The binding of a plan: its fdw_exprs are `ninstants` instants (0: "now") of
 * the time column's type, then values of all key columns (none: all keys).
 */
typedef struct ContimeBinding
{
	int ninstants;
	List *arrays;    /* IntList: is this expression an array? */
	List *key_types; /* OidList: key values come in these types */
	bool forbidden;  /* must not be run */
	bool present;    /* contime.at does not apply: it is in a policy */
} ContimeBinding;

/* ---- path.c ------------------------------------------------------------------ */

/* The planner's callbacks. */
extern void contimeGetForeignRelSize(struct PlannerInfo *root, struct RelOptInfo *rel, Oid relid);
extern bool contimeIsForeignScanParallelSafe(struct PlannerInfo *root, struct RelOptInfo *rel,
											 struct RangeTblEntry *rte);
extern void contimeGetForeignPaths(struct PlannerInfo *root, struct RelOptInfo *rel, Oid relid);
extern ForeignScan *contimeGetForeignPlan(struct PlannerInfo *root, struct RelOptInfo *rel,
										  Oid relid, struct ForeignPath *path, List *tlist,
										  List *clauses, Plan *outer_plan);

extern void contime_binding_of(const ForeignScan *plan, ContimeBinding *binding);

/* ---- present.c --------------------------------------------------------------- */

extern void contime_install_present_hooks(void);

#endif /* CONTIME_PLAN_H */
