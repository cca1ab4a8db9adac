/*
 * fdw_explain.c
 *	  EXPLAIN of a scan: its instants, its key values, and where it reads events.
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
 * An instant may be a parameter set by a nested loop or by the caller of a subplan.
 * Core's deparser shows the parameter's expression if it knows the plan nodes above
 * the scan; otherwise it shows a number.  Core's EXPLAIN has the list of these nodes
 * but does not pass it to the wrapper, so find_ancestors() finds them again.
 */

/* Return the child plans of a node. */
static List *
list_plan_children(const Plan *plan)
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

/* The plan node that calls a subplan. */
typedef struct Caller
{
	int plan_id;      /* of the subplan */
	SubPlan *subplan; /* the expression that calls it */
	Plan *plan;       /* the node with that expression */
} Caller;

/* Tree walker: true if an expression calls the subplan; sets caller->subplan. */
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

/* Find the node in a plan tree that calls the subplan. Returns false if there is none. */
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
	foreach(lc, list_plan_children(plan))
	{
		if (find_caller(lfirst(lc), caller))
			return true;
	}
	return false;
}

/* Set *chain to the nodes above `plan` up to `root`, nearest first. False: plan is not in root. */
static bool
find_chain(Plan *root, const Plan *plan, List **chain)
{
	ListCell *lc;

	if (root == plan)
		return true;
	foreach(lc, list_plan_children(root))
	{
		if (find_chain(lfirst(lc), plan, chain))
		{
			*chain = lappend(*chain, root);
			return true;
		}
	}
	return false;
}

/*
 * Return the ancestors of a plan node, nearest first, as EXPLAIN has them: plan nodes,
 * and the SubPlan expressions between a subplan and its caller.
 */
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

	contime_read_binding(plan, &binding);
	context = set_deparse_context_plan(es->deparse_cxt, &plan->scan.plan,
									   find_ancestors(es->pstmt, &plan->scan.plan));
	initStringInfo(&instants);
	initStringInfo(&keys);
	foreach(lc, plan->fdw_exprs)
	{
		int i = foreach_current_index(lc);
		int key = i - binding.ninstants;
		char *text = deparse_expression(lfirst(lc), context, prefix, false);

		Assert(key < table->nkeys);
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
	if (binding.forbidden && instants.len == 0)
		appendStringInfoString(&instants, "unknown");
	if (instants.len == 0)
		appendStringInfoString(&instants, contime_unbound_instant(table, binding.present,
																  binding.travels));
	ExplainPropertyText("Instant", instants.data, es);
	if (state && state->scan && contime_scan_where(state->scan))
		ExplainPropertyText("Events", contime_scan_where(state->scan), es);
}
