/*
 * outer.c
 *	  Conditions of outer query levels on a table's time column.
 *
 * The setting contime.at binds a table in a subquery whose time column escapes.  It must
 * not do so if an outer query level has a condition on that column: then the query says
 * itself which instants it means, and only cannot bring them to the scan.
 *
 * The planner plans a copy of a subquery, so the range table entry of the subquery at
 * hand cannot be identified.  Every output column that shows the time column of the same
 * relation counts, and so does a column that cannot be traced: refusing too much is safe.
 *
 * Not here: conditions of the table's own query level (match.c).
 */
#include "postgres.h"

#include "plan/planner.h"

#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"

typedef struct Outer
{
	PlannerInfo *root; /* the outer query level */
	const ContimeRel *crel;
	Oid top;       /* the relation that the subquery names: the table, or a parent of it */
	int sublevels; /* nested queries between the outer level and the current node */
} Outer;

static bool shows_time(const Outer *outer, Query *query, Node *expr);

/* True if a relation's column is the table's time column. */
static bool
is_time_of_relation(const Outer *outer, Oid relid, AttrNumber attno)
{
	char *name;

	if (relid != outer->crel->relid && relid != outer->top)
		return false;
	if (attno <= 0)
		return attno == 0; /* the whole row */
	name = get_attname(relid, attno, true);
	return name != NULL && strcmp(name, outer->crel->time_name) == 0;
}

/* True if an output column of a query, or (0) any of them, shows the time column. */
static bool
output_shows_time(const Outer *outer, Query *query, AttrNumber resno)
{
	ListCell *lc;

	check_stack_depth();
	Assert(resno >= 0);
	if (query->setOperations)
	{
		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

			if (rte->rtekind == RTE_SUBQUERY && output_shows_time(outer, rte->subquery, resno))
				return true;
		}
		return false;
	}
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk && (resno == 0 || tle->resno == resno) &&
			shows_time(outer, query, (Node *) tle->expr))
			return true;
	}
	return false;
}

/* True if a column of a query level shows the time column. */
static bool
var_shows_time(const Outer *outer, Query *query, const Var *var)
{
	bool same_type = var->vartype == outer->crel->time_type || var->varattno == 0;
	RangeTblEntry *rte;
	ListCell *lc;

	if (var->varlevelsup > 0 || var->varno <= 0 || var->varno > list_length(query->rtable))
		return same_type;
	rte = rt_fetch(var->varno, query->rtable);
	switch (rte->rtekind)
	{
		case RTE_RELATION:
			return is_time_of_relation(outer, rte->relid, var->varattno);
		case RTE_SUBQUERY:
			return output_shows_time(outer, rte->subquery, Max(var->varattno, 0));
		case RTE_JOIN:
			if (var->varattno <= 0)
				return same_type;
			return shows_time(outer, query, list_nth(rte->joinaliasvars, var->varattno - 1));
		case RTE_CTE:
			foreach(lc, rte->ctelevelsup == 0 ? query->cteList : NIL)
			{
				CommonTableExpr *cte = lfirst_node(CommonTableExpr, lc);

				if (strcmp(cte->ctename, rte->ctename) == 0 && !cte->cterecursive)
					return output_shows_time(outer, castNode(Query, cte->ctequery),
											 Max(var->varattno, 0));
			}
			return same_type;
		default:
			return false;
	}
}

typedef struct Shown
{
	const Outer *outer;
	Query *query;
} Shown;

static bool
shown_walker(Node *node, Shown *shown)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return var_shows_time(shown->outer, shown->query, castNode(Var, node));
	if (IsA(node, SubLink) || IsA(node, SubPlan))
		return true;
	return expression_tree_walker(node, shown_walker, shown);
}

/* True if an expression of a query level depends on the time column, or has a subquery. */
static bool
shows_time(const Outer *outer, Query *query, Node *expr)
{
	Shown shown = {.outer = outer, .query = query};

	return shown_walker(expr, &shown);
}

/* True if a condition of the outer level, or a query in it, depends on the time column. */
static bool
condition_walker(Node *node, Outer *outer)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var var = *castNode(Var, node);

		if (var.varlevelsup < outer->sublevels)
			return false;
		var.varlevelsup -= outer->sublevels;
		return var_shows_time(outer, outer->root->parse, &var);
	}
	if (IsA(node, SubLink))
	{
		SubLink *sublink = castNode(SubLink, node);

		if (sublink->subLinkType != EXISTS_SUBLINK &&
			output_shows_time(outer, castNode(Query, sublink->subselect), 0))
			return true;
	}
	if (IsA(node, SubPlan))
	{
		SubPlan *subplan = castNode(SubPlan, node);

		if (subplan->subLinkType != EXISTS_SUBLINK &&
			subplan->firstColType == outer->crel->time_type)
			return true;
	}
	if (IsA(node, Query))
	{
		bool result;

		outer->sublevels++;
		result = query_tree_walker(castNode(Query, node), condition_walker, outer, 0);
		outer->sublevels--;
		return result;
	}
	return expression_tree_walker(node, condition_walker, outer);
}

bool
contime_outer_condition(PlannerInfo *root, const ContimeRel *crel)
{
	Oid top = root->simple_rte_array[crel->top->relid]->relid;

	Assert(crel->time_name != NULL);
	for (PlannerInfo *level = root->parent_root; level; level = level->parent_root)
	{
		Outer outer = {.root = level, .crel = crel, .top = top};
		ListCell *lc;

		if (condition_walker((Node *) level->parse->jointree, &outer) ||
			condition_walker(level->parse->havingQual, &outer))
			return true;

		/* LATERAL subqueries, whose conditions may name columns of this level. */
		foreach(lc, level->parse->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

			if (rte->rtekind == RTE_SUBQUERY && rte->lateral &&
				condition_walker((Node *) rte->subquery, &outer))
				return true;
		}
	}
	return false;
}
