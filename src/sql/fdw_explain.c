/*
 * fdw_explain.c
 *	  What EXPLAIN says of a scan: the instants and the key that are bound.
 */
#include "postgres.h"

#include "sql/sql.h"
#include "sql/fdw.h"
#include "plan/plan.h"
#include "read/read.h"
#include "table/table.h"

#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

/*
 * A parameter that comes from a nested loop or a subplan's caller is shown as
 * a number, unless the plan nodes above are known.  Core keeps that chain and
 * does not hand it over, so it is found again here.
 */
static List *
plan_children(const Plan *plan)
{
	List *children = NIL;

	if (plan->lefttree)
		children = lappend(children, plan->lefttree);
	if (plan->righttree)
		children = lappend(children, plan->righttree);
	if (IsA(plan, Append))
		children = list_concat(children, ((const Append *) plan)->appendplans);
	else if (IsA(plan, MergeAppend))
		children = list_concat(children, ((const MergeAppend *) plan)->mergeplans);
	else if (IsA(plan, SubqueryScan))
		children = lappend(children, ((const SubqueryScan *) plan)->subplan);
	return children;
}

typedef struct Caller
{
	int plan_id; /* of the subplan called */
	SubPlan *subplan;
	Plan *plan; /* the node whose expressions call it */
} Caller;

static bool
calls_subplan(Node *node, void *context)
{
	Caller *caller = context;

	if (node == NULL)
		return false;
	if (IsA(node, SubPlan) && ((SubPlan *) node)->plan_id == caller->plan_id)
	{
		caller->subplan = (SubPlan *) node;
		return true;
	}
	return expression_tree_walker(node, calls_subplan, context);
}

static bool
find_caller(Plan *plan, Caller *caller)
{
	ListCell *lc;

	if (calls_subplan((Node *) plan->targetlist, caller) ||
		calls_subplan((Node *) plan->qual, caller))
	{
		caller->plan = plan;
		return true;
	}
	foreach(lc, plan_children(plan))
	{
		if (find_caller(lfirst(lc), caller))
			return true;
	}
	return false;
}

/* Find the chain from `plan`, nearest first, to `root`, where it ends. */
static bool
find_chain(Plan *root, const Plan *plan, List **chain)
{
	ListCell *lc;

	if (root == plan)
		return true;
	foreach(lc, plan_children(root))
	{
		if (find_chain(lfirst(lc), plan, chain))
		{
			*chain = lappend(*chain, root);
			return true;
		}
	}
	return false;
}

static List *
find_ancestors(PlannedStmt *stmt, const Plan *plan)
{
	List *chain = NIL;
	ListCell *lc;

	if (find_chain(stmt->planTree, plan, &chain))
		return chain;
	foreach(lc, stmt->subplans)
	{
		Caller caller = {foreach_current_index(lc) + 1, NULL, NULL};
		bool found;
		ListCell *lc2;

		if (lfirst(lc) == NULL || !find_chain(lfirst(lc), plan, &chain))
			continue;
		found = find_caller(stmt->planTree, &caller);
		foreach(lc2, stmt->subplans)
			found = found || (lfirst(lc2) != NULL && find_caller(lfirst(lc2), &caller));
		if (found)
		{
			chain = lappend(lappend(chain, caller.subplan), caller.plan);
			chain = list_concat(chain, find_ancestors(stmt, caller.plan));
		}
		break;
	}
	return chain;
}

void
contimeExplainForeignScan(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	const FdwScan *state = node->fdw_state;
	const ContimeTable *table = contime_table(node->ss.ss_currentRelation);
	ContimeBinding binding;
	List *context;
	bool prefix = list_length(es->rtable) > 1 || es->verbose;
	StringInfoData instants;
	StringInfoData keys;
	ListCell *lc;

	contime_binding_of(plan, &binding);
	context = set_deparse_context_plan(es->deparse_cxt, &plan->scan.plan,
									   find_ancestors(es->pstmt, &plan->scan.plan));
	initStringInfo(&instants);
	initStringInfo(&keys);
	foreach(lc, plan->fdw_exprs)
	{
		int i = foreach_current_index(lc);
		int key = i - binding.ninstants;
		char *text = deparse_expression(lfirst(lc), context, prefix, false);

		if (list_nth_int(binding.arrays, i))
			text = psprintf("ANY (%s)", text);
		if (key >= 0)
			appendStringInfo(&keys, "%s%s = %s", key > 0 ? " AND " : "",
							 quote_identifier(
								 get_attname(table->relid, table->key_attno[key], false)),
							 text);
		else
			appendStringInfo(&instants, "%s%s", i > 0 ? ", " : "", text);
	}
	if (keys.len > 0)
		ExplainPropertyText("Key", keys.data, es);
	ExplainPropertyText("Instant",
						instants.len > 0    ? instants.data
						: binding.forbidden ? "unknown"
											: contime_unbound_instant(table, binding.present),
						es);
	if (state && state->scan && contime_scan_where(state->scan))
		ExplainPropertyText("Events", contime_scan_where(state->scan), es);
}
