/*
 * present.c
 *	  Mark the relations that are read in the present, whatever contime.at says.
 *
 * Any role may set contime.at.  Code that protects rows from that role must
 * not follow it.  So contime.at does not apply
 *
 *	  1. while a SECURITY DEFINER function runs: a scan tests
 *	     InLocalUserIdChange() when it begins (read/instant.c);
 *	  2. in sub-selects of policies, of a CHECK OPTION, and of the condition of a
 *	     security_barrier view through which rows are written: the planner hook
 *	     here marks the relations, and binding.c passes the mark to the scan.
 *
 *	  planner hook ──► visit_query() ──► visit_entry() ──► mark of a relation
 *	                        ▲                  │
 *	                        └── body ── inline_function()
 *
 * At every level of a query the rewriter leaves policies in two places: in the
 * securityQuals of range table entries, and in withCheckOptions.  The planner
 * adds levels only when it inlines SQL functions in FROM, whose bodies may read
 * tables with policies.  The hook inlines these functions first, by core's own
 * function and from the same arguments, so that it sees the policies.  It makes
 * the plan depend on the functions, on the role and on the functions' parallel
 * safety, as the planner does.  The planner could decide otherwise later, when
 * it has replaced variables by constants.  In such a case the hook prevents it
 * from inlining.
 *
 * The mark is a field of the range table entry that core uses only for entries
 * of another kind.  Core copies the field when it pulls up a sub-select, plans a
 * copy of it, or expands partitions.  The mark does not depend on the value of
 * contime.at, so a cached plan is right for every value.
 *
 * The hook modifies the Query that the planner is given.  That is safe, as the
 * planner modifies it, too: plancache.c plans a copy, and every other caller in
 * core plans a Query that it does not use again.
 *
 * Concurrency: the hook keeps no state in a backend, so planning may nest and may
 * end in an ERROR.  The hook may visit the same Query twice.
 *
 * Invariants:
 *	1. A relation in a sub-select of a policy is marked.
 *	2. Only relations in such a sub-select are marked: all others follow contime.at.
 *	3. The planner inlines no function in FROM that was not inlined here.
 *
 * Not here: functions that a policy calls, inlined or not.  They follow
 * contime.at like any invoker function unless they are SECURITY DEFINER.  So a
 * function that protects rows has to be SECURITY DEFINER or to read "at = now()".
 */
#include "postgres.h"

#include "plan/plan.h"
#include "plan/planner.h"
#include "table/table.h"

#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* The mark: the enrname of a marked relation. Other relations have no enrname. */
#define PRESENT_RELATION "contime: present"

typedef struct Visit
{
	PlannerInfo *root; /* a temporary one: core's functions note the plan's dependencies in it */
	bool policy;       /* the visited node is in a policy */
	List *inlining;    /* OidList: the inlined functions whose bodies enclose the visited node */
} Visit;

static planner_hook_type prev_planner = NULL;

static void visit_query(Query *query, Visit *visit);

bool
contime_is_present(const RangeTblEntry *rte)
{
	return rte->rtekind == RTE_RELATION && rte->enrname != NULL &&
		   strcmp(rte->enrname, PRESENT_RELATION) == 0;
}

/* ---- functions in FROM ------------------------------------------------------- */

/* Return the call of a function in FROM if the planner may inline such a function; else NULL. */
static FuncExpr *
inlinable_call(const RangeTblEntry *rte)
{
	FuncExpr *call = (FuncExpr *) linitial_node(RangeTblFunction, rte->functions)->funcexpr;
	HeapTuple tuple;
	Form_pg_proc form;
	bool inlinable;

	Assert(rte->rtekind == RTE_FUNCTION);
	if (rte->funcordinality || list_length(rte->functions) != 1 || !IsA(call, FuncExpr) ||
		!call->funcretset)
		return NULL;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->funcid));
	if (!HeapTupleIsValid(tuple))
		return NULL;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	inlinable = form->prolang == SQLlanguageId && !form->prosecdef && !form->proisstrict &&
				form->provolatile != PROVOLATILE_VOLATILE;
	ReleaseSysCache(tuple);
	return inlinable ? call : NULL;
}

static bool
has_variable(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, has_variable, context, 0);
	return expression_tree_walker(node, has_variable, context);
}

/*
 * True if the arguments prevent inlining now, but contain variables, so that the
 * planner may simplify them later and then inline the call.
 */
static bool
may_become_inlinable(const FuncExpr *call)
{
	Node *args = (Node *) call->args;

	return has_variable(args, NULL) && (contain_volatile_functions(args) || contain_subplans(args));
}

/*
 * Prevent the planner from inlining a call.  The planner inlines no call with a
 * sub-select in its arguments, so turn the first argument into a sub-select.
 */
static void
forbid_inlining(Query *query, FuncExpr *call)
{
	SubLink *sublink = makeNode(SubLink);
	Query *select = makeNode(Query);
	Expr *arg;

	if (call->args == NIL)
		return;
	arg = linitial(call->args);
	IncrementVarSublevelsUp((Node *) arg, 1, 0);
	select->commandType = CMD_SELECT;
	select->canSetTag = true;
	select->hasSubLinks = checkExprHasSubLink((Node *) arg);
	select->targetList = list_make1(makeTargetEntry(arg, 1, pstrdup("argument"), false));
	select->jointree = makeFromExpr(NIL, NULL);
	sublink->subLinkType = EXPR_SUBLINK;
	sublink->subselect = (Node *) select;
	sublink->location = -1;
	linitial(call->args) = sublink;
	query->hasSubLinks = true;
}

/* Replace a call in FROM by its body, and visit the body. */
static void
put_body(RangeTblEntry *rte, Oid funcid, Query *body, const Visit *visit)
{
	Visit inside = {visit->root, false, lcons_oid(funcid, list_copy(visit->inlining))};

	Assert(body->commandType == CMD_SELECT);
	/* As in core, rte->functions stays for whole-row references; the planner clears it later. */
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = body;
	rte->security_barrier = false;
	rte->funcordinality = false;

	/* The planner tests a query's parallel safety before it inlines functions. */
	if (func_parallel(funcid) == PROPARALLEL_UNSAFE)
		visit->root->glob->parallelModeOK = false;
	visit_query(body, &inside);
}

/*
 * Inline an SQL function in FROM if the planner would.  Returns true if it was
 * inlined.  Like the planner, simplify the arguments first: the decision depends on
 * them.
 *
 * A function that calls itself is inlined once.  The planner would end the
 * recursion where a condition turns out to be constant; the hook does not evaluate
 * conditions.
 */
static bool
inline_function(Query *query, RangeTblEntry *rte, const Visit *visit)
{
	FuncExpr *call = inlinable_call(rte);
	Oid funcid;
	Query *body = NULL;

	if (call == NULL)
		return false;
	funcid = call->funcid;
	rte->functions = (List *) eval_const_expressions(visit->root, (Node *) rte->functions);
	call = (FuncExpr *) linitial_node(RangeTblFunction, rte->functions)->funcexpr;
	if (!IsA(call, FuncExpr))
		return false;
	if (call->args == NIL || !list_member_oid(visit->inlining, funcid))
		body = inline_set_returning_function(visit->root, rte);
	else
		forbid_inlining(query, call);
	if (body != NULL)
		put_body(rte, funcid, body, visit);
	else if (may_become_inlinable(call))
		forbid_inlining(query, call);
	return body != NULL;
}

/* ---- queries ----------------------------------------------------------------- */

/* Visit the queries in a node. Returns false: the tree walker goes on. */
static bool
visit_node(Node *node, Visit *visit)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		visit_query((Query *) node, visit);
		return false;
	}
	if (IsA(node, WithCheckOption))
	{
		Visit inside = {visit->root, true, visit->inlining};

		return expression_tree_walker(node, visit_node, &inside);
	}
	return expression_tree_walker(node, visit_node, visit);
}

/* Mark or inline a range table entry, and visit its sub-selects and policies. */
static void
visit_entry(Query *query, RangeTblEntry *rte, Visit *visit)
{
	List *policies = rte->securityQuals;

	if (rte->rtekind == RTE_FUNCTION && inline_function(query, rte, visit))
		return;
	if (rte->rtekind == RTE_RELATION && visit->policy)
		rte->enrname = PRESENT_RELATION;

	/* Skip an entry that is no sub-select and contains none. */
	if (rte->rtekind == RTE_SUBQUERY || query->hasSubLinks)
	{
		rte->securityQuals = NIL;
		(void) range_table_entry_walker(rte, visit_node, visit, 0);
		rte->securityQuals = policies;
	}
	if (policies != NIL)
	{
		Visit inside = {visit->root, true, visit->inlining};

		(void) visit_node((Node *) policies, &inside);
	}
}

/* Visit all range table entries and sub-selects of a query. */
static void
visit_query(Query *query, Visit *visit)
{
	ListCell *lc;

	check_stack_depth();
	foreach(lc, query->rtable)
		visit_entry(query, lfirst_node(RangeTblEntry, lc), visit);
	if (query->hasSubLinks || query->cteList != NIL || query->withCheckOptions != NIL)
		(void) query_tree_walker(query, visit_node, visit, QTW_IGNORE_RANGE_TABLE);
}

/* ---- the hook ---------------------------------------------------------------- */

static PlannedStmt *
call_planner(Query *parse, const char *query_string, int cursor_options, ParamListInfo bound_params)
{
	if (prev_planner)
		return prev_planner(parse, query_string, cursor_options, bound_params);
	return standard_planner(parse, query_string, cursor_options, bound_params);
}

/* The planner hook. Does nothing in a database without the extension's wrapper. */
static PlannedStmt *
contime_planner(Query *parse, const char *query_string, int cursor_options,
				ParamListInfo bound_params)
{
	PlannerGlobal glob = {.type = T_PlannerGlobal,
						  .boundParams = bound_params,
						  .parallelModeOK = true};
	PlannerInfo root = {.type = T_PlannerInfo, .parse = parse, .glob = &glob, .query_level = 1};
	Visit visit = {.root = &root};
	PlannedStmt *result;

	if (!OidIsValid(contime_member(CONTIME_MEMBER_WRAPPER)))
		return call_planner(parse, query_string, cursor_options, bound_params);

	root.planner_cxt = CurrentMemoryContext;
	visit_query(parse, &visit);
	if (!glob.parallelModeOK)
		cursor_options &= ~CURSOR_OPT_PARALLEL_OK;
	result = call_planner(parse, query_string, cursor_options, bound_params);
	result->invalItems = list_concat(result->invalItems, glob.invalItems);
	result->dependsOnRole |= glob.dependsOnRole;
	return result;
}

void
contime_install_present_hooks(void)
{
	prev_planner = planner_hook;
	planner_hook = contime_planner;
}
