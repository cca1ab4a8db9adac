/*
 * binding.c
 *	  How a condition on the time column becomes a binding.
 *
 * A continuous table has a row for every instant, so a scan must be told its
 * instants.  They come from the query's own conditions; whatever cannot be
 * answered as if every instant were there is refused before it runs.
 *
 *	  conditions ──► classify ──► propagate ──► inject ──► paths ──► plan
 *	                 each table   along joins   LATERAL              binding
 *
 *	  verdict        what binds the instants
 *	  READ_NOW       nothing mentions the time column: "now"
 *	  BOUND_VALUE    time = constant, parameter, initplan, stable expression
 *	  BOUND_JOIN     time = expression over other relations of this level
 *	  BOUND_SEMI     the same, from the right side of a semijoin
 *	  REFUSED        an ERROR as soon as the planner asks for the table
 *	  DEFERRED       a plan too dear to be chosen, and an ERROR if it is run
 *
 * The planner calls in through path.c, which does what stands to the right of
 * "inject".  Its first call of a query level has all continuous tables of that
 * level analysed at once; the result is left in their RelOptInfos' fdw_private.
 * So there is no state outside the planner's own, and nested planning and
 * errors need no care.
 *
 * Invariants:
 *	1. What a query is told to bind is one of the conjuncts it has to satisfy
 *	   anyway, applied at the scan.  So binding never loses a row, and other
 *	   conditions on the time column are ordinary filters on bound rows.
 *	2. A table is bound by another one only once that one is settled.
 *	3. A BOUND_JOIN table depends laterally on what binds it: every path of it
 *	   has those relations as required outer.
 *	4. The instants are taken from the clauses of the path at hand, never
 *	   from an own choice among equivalent expressions.
 *	5. A table that stays unbound does not let its time column escape to where
 *	   a condition could be meant for it but cannot reach it.
 *
 * Not here: costs and paths (path.c), executing what was bound (fdw.c).
 */
#include "postgres.h"

#include "plan/plan.h"
#include "plan/planner.h"
#include "table/table.h"

#include "access/table.h"
#include "foreign/fdwapi.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/* ---- the continuous tables of a query level ---------------------------------- */

static ContimeRel *
make_contime_rel(PlannerInfo *root, RelOptInfo *rel)
{
	RangeTblEntry *rte = root->simple_rte_array[rel->relid];
	Relation relation = table_open(rte->relid, NoLock);
	const ContimeTable *table = contime_table(relation);
	ContimeRel *crel = palloc0(sizeof(ContimeRel));

	/* The description may be freed before planning ends: copy what is needed. */
	crel->rel = crel->top = rel;
	crel->relid = rte->relid;
	crel->present = contime_is_present(rte);
	crel->name = pstrdup(RelationGetRelationName(relation));
	crel->time_attno = table->time_attno;
	crel->time_name = get_attname(rte->relid, table->time_attno, false);
	crel->time_type = table->time_type;
	crel->time_family = lookup_type_cache(table->time_type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	crel->nkeys = table->nkeys;
	for (int i = 0; i < table->nkeys; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(relation), table->key_attno[i] - 1);

		crel->key_attno[i] = attr->attnum;
		crel->key_type[i] = attr->atttypid;
		crel->key_collation[i] = attr->attcollation;
	}
	contime_measure(table, crel);
	table_close(relation, NoLock);

	while (crel->top->reloptkind == RELOPT_OTHER_MEMBER_REL)
	{
		AppendRelInfo *appinfo = root->append_rel_array[crel->top->relid];

		crel->translation = lcons(appinfo, crel->translation);
		crel->top = root->simple_rel_array[appinfo->parent_relid];
	}
	return crel;
}

/*
 * Find the continuous tables of a query level, and leave the ContimeRel of
 * each in its fdw_private.
 */
static List *
collect_rels(PlannerInfo *root, const FdwRoutine *ours)
{
	List *rels = NIL;

	for (int i = 1; i < root->simple_rel_array_size; i++)
	{
		RelOptInfo *rel = root->simple_rel_array[i];

		if (rel == NULL || rel->fdwroutine == NULL || !IS_SIMPLE_REL(rel) ||
			rel->fdwroutine->GetForeignRelSize != ours->GetForeignRelSize)
			continue;
		rel->fdw_private = make_contime_rel(root, rel);
		rels = lappend(rels, rel->fdw_private);
	}
	return rels;
}

/* All conditions on the table that are known to the planner, as expressions. */
static List *
conditions(PlannerInfo *root, const ContimeRel *crel)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, crel->rel->baserestrictinfo)
		result = lappend(result, lfirst_node(RestrictInfo, lc)->clause);
	foreach(lc, crel->top->joininfo)
	{
		Node *clause = (Node *) lfirst_node(RestrictInfo, lc)->clause;

		result = lappend(result, contime_in_terms_of(root, crel, clause));
	}
	return result;
}

/*
 * True if the whole row is asked for only to find or lock rows of other
 * tables.
 */
static bool
is_row_mark(PlannerInfo *root, int relid)
{
	Bitmapset *attnos = NULL;
	ListCell *lc;

	pull_varattnos(root->parse->havingQual, relid, &attnos);
	foreach(lc, root->processed_tlist)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk || tle->resname == NULL || strncmp(tle->resname, "wholerow", 8) != 0)
			pull_varattnos((Node *) tle->expr, relid, &attnos);
	}
	return !bms_is_member(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber, attnos);
}

/*
 * The relations above the scan that need the time column. Relation 0 stands
 * for the query's result, as in attr_needed.
 */
static Relids
time_needed(PlannerInfo *root, const ContimeRel *crel)
{
	RelOptInfo *top = crel->top;
	Relids result = NULL;
	Relids needed;
	ListCell *lc;

	foreach(lc, top->reltarget->exprs)
	{
		Var *var = lfirst(lc);

		if (!IsA(var, Var) || var->varno != top->relid)
			continue;
		needed = top->attr_needed[var->varattno - top->min_attr];
		if (contime_mentions_time(crel, contime_in_terms_of(root, crel, (Node *) var)) &&
			!(var->varattno == InvalidAttrNumber && bms_membership(needed) == BMS_SINGLETON &&
			  bms_is_member(0, needed) && is_row_mark(root, top->relid)))
			result = bms_add_members(result, needed);
	}
	foreach(lc, root->placeholder_list)
	{
		PlaceHolderInfo *phinfo = lfirst_node(PlaceHolderInfo, lc);

		if (phinfo->ph_needed != NULL &&
			contime_mentions_time(crel,
								  contime_in_terms_of(root, crel, (Node *) phinfo->ph_var->phexpr)))
			result = bms_add_members(result, phinfo->ph_needed);
	}
	return result;
}

/* ---- reads that nobody can bind from outside --------------------------------- */

/*
 * Is this statement the client's own, so that what it returns goes to the
 * client or into a table, rather than into another query?
 *
 * A statement that arrives by the protocol is planned before its portal runs.
 * Within a running portal, EXPLAIN, EXECUTE, COPY (query), CREATE TABLE AS and
 * materialized views plan theirs in the portal's own memory; a function body
 * never does.  Cursors are left out: postgres_fdw reads through them, and
 * applies conditions on what they return.
 */
static bool
is_clients_own(void)
{
	MemoryContext context = CurrentMemoryContext;
	PlannedStmt *stmt;

	/* A parallel worker plans only statements inside functions. */
	if (IsParallelWorker())
		return false;

	if (ActivePortal == NULL)
	{
		/*
		 * At commit, and while a query is planned, functions run outside of
		 * portals.
		 */
		while (context != NULL && MessageContext != NULL && context != MessageContext)
			context = MemoryContextGetParent(context);
		return context != NULL;
	}

	if (list_length(ActivePortal->stmts) != 1)
		return false;
	stmt = linitial_node(PlannedStmt, ActivePortal->stmts);
	if (stmt->commandType != CMD_UTILITY || IsA(stmt->utilityStmt, DeclareCursorStmt))
		return false;
	if (context != PortalContext && (strcmp(context->name, "COPY") == 0 ||
									 strcmp(context->name, "explain analyze planner context") == 0))
		context = MemoryContextGetParent(context);
	return context == PortalContext;
}

/*
 * True if the planner only tries something that it can do without: replacing
 * min() and max() by ORDER BY ... LIMIT 1, or hashing what a correlated EXISTS
 * reads without the conditions that correlate it. Then no error is raised, and
 * the path gets a prohibitive cost.
 */
static bool
is_trial(PlannerInfo *root)
{
	TargetEntry *tle;

	if (root->parent_root == NULL || root->processed_tlist == NIL)
		return false;
	tle = linitial_node(TargetEntry, root->processed_tlist);
	if (tle->resname == NULL)
		return !tle->resjunk; /* only EXISTS leaves its columns without names */
	return root->parent_root->parse->hasAggs && !root->parse->hasAggs &&
		   root->parse->limitCount != NULL && list_length(root->processed_tlist) == 1 &&
		   strcmp(tle->resname, "agg_target") == 0;
}

/*
 * True for the subquery from which an INSERT takes its rows: no condition
 * outside could be meant for it.
 */
static bool
is_insert_source(PlannerInfo *root)
{
	Query *outer;

	if (root->query_level != 2)
		return false;
	outer = root->parent_root->parse;
	return outer->commandType == CMD_INSERT && outer->cteList == NIL && !outer->hasSubLinks &&
		   outer->jointree->quals == NULL && list_length(outer->jointree->fromlist) == 1;
}

/*
 * Refuse an unbound table whose time column escapes to where a condition on it
 * could be meant but cannot reach the scan.
 */
static void
check_escape(PlannerInfo *root, ContimeRel *crel)
{
	if (time_needed(root, crel) == NULL || crel->top->relid == root->parse->resultRelation)
		return;
	if (root->query_level > 1 && !is_insert_source(root))
	{
		crel->verdict = REFUSED;
		crel->reason = REASON_SUBQUERY;
	}
	else if (!is_clients_own())
	{
		crel->verdict = REFUSED;
		crel->reason = REASON_NESTED;
	}
}

/* ---- classify ---------------------------------------------------------------- */

static bool
equivalence_is_time(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec, EquivalenceMember *em,
					void *arg)
{
	ContimeRel *crel = arg;

	return !em->em_is_child &&
		   contime_is_column(crel, contime_in_terms_of(root, crel, (Node *) em->em_expr),
							 crel->time_attno);
}

/* The join clauses that could bind the instants, in terms of crel->top. */
static List *
find_candidates(PlannerInfo *root, ContimeRel *crel)
{
	List *clauses = NIL;
	List *result = NIL;
	ListCell *lc;

	foreach(lc, crel->top->joininfo)
	{
		if (join_clause_is_movable_to(lfirst_node(RestrictInfo, lc), crel->top))
			clauses = lappend(clauses, lfirst(lc));
	}
	if (crel->top->has_eclass_joins)
		clauses =
			list_concat(clauses,
						generate_implied_equalities_for_column(root, crel->top, equivalence_is_time,
															   crel,
															   crel->top->lateral_referencers));
	foreach(lc, clauses)
	{
		Node *clause = (Node *) lfirst_node(RestrictInfo, lc)->clause;
		Match match = {0};

		if (contime_match_time(root, crel, contime_in_terms_of(root, crel, clause), &match))
			result = lappend(result, lfirst(lc));
	}
	return result;
}

/*
 * Refuse a table whose time column is in conditions that do not bind it, and
 * note the reason.
 */
static void
refuse_conditions(PlannerInfo *root, ContimeRel *crel)
{
	bool generic = false;
	ListCell *lc;

	crel->verdict = REFUSED;
	crel->reason = crel->candidates ? REASON_JOIN : REASON_CONDITION;
	foreach(lc, conditions(root, crel))
	{
		if (!contime_mentions_time(crel, lfirst(lc)))
			continue;
		if (contime_has_range(lfirst(lc), crel))
			crel->reason = REASON_RANGE;
		if (contime_has_external_param(lfirst(lc), NULL))
			generic = true;
	}

	/* Known values may simplify the condition to one that binds. */
	if (generic && root->glob->boundParams == NULL)
		crel->verdict = DEFERRED;
}

static void
classify(PlannerInfo *root, ContimeRel *crel)
{
	Relids above;
	ListCell *lc;

	foreach(lc, crel->rel->baserestrictinfo)
	{
		Match match = {0};

		if (contime_match_time(root, crel, (Node *) lfirst_node(RestrictInfo, lc)->clause, &match))
		{
			crel->verdict = BOUND_VALUE;
			return;
		}
	}

	crel->candidates = find_candidates(root, crel);
	if (crel->candidates != NIL)
		return;

	above = bms_del_member(time_needed(root, crel), 0);
	if (!bms_is_empty(above))
	{
		refuse_conditions(root, crel);
		return;
	}
	foreach(lc, conditions(root, crel))
	{
		if (contime_mentions_time(crel, lfirst(lc)))
		{
			refuse_conditions(root, crel);
			return;
		}
	}

	crel->verdict = READ_NOW;
	check_escape(root, crel);
}

/* ---- propagate and inject ---------------------------------------------------- */

/*
 * Make lateral dependencies transitive, as core's create_lateral_join_info()
 * does, after one was added.
 */
static void
close_laterals(PlannerInfo *root)
{
	int n = root->simple_rel_array_size;
	RelOptInfo **rels = root->simple_rel_array;

	for (int via = 1; via < n; via++)
	{
		if (rels[via] == NULL || rels[via]->reloptkind != RELOPT_BASEREL)
			continue;
		for (int i = 1; i < n; i++)
		{
			if (rels[i] != NULL && rels[i]->reloptkind == RELOPT_BASEREL &&
				bms_is_member(via, rels[i]->lateral_relids))
				rels[i]->lateral_relids =
					bms_union(rels[i]->lateral_relids, rels[via]->lateral_relids);
		}
		rels[via]->lateral_referencers = NULL;
	}

	for (int i = 1; i < n; i++)
	{
		int source = -1;

		if (rels[i] == NULL || rels[i]->reloptkind != RELOPT_BASEREL)
			continue;
		while ((source = bms_next_member(rels[i]->lateral_relids, source)) >= 0)
			rels[source]->lateral_referencers =
				bms_add_member(rels[source]->lateral_referencers, i);
	}
}

/*
 * Parameterise paths again that subqueries got before the dependencies were
 * known.
 */
static void
reparameterize_early_paths(PlannerInfo *root, RelOptInfo *rel)
{
	ListCell *lc;

	if (IS_DUMMY_REL(rel))
		return;
	foreach(lc, rel->pathlist)
	{
		Path *path = lfirst(lc);
		Relids outer = bms_union(PATH_REQ_OUTER(path), rel->lateral_relids);

		if (!bms_equal(outer, PATH_REQ_OUTER(path)))
		{
			path = reparameterize_path(root, path, outer, 1.0);
			if (path != NULL)
				lfirst(lc) = path;
		}
	}
}

/* Set the planner's fields that follow from the dependencies that were added. */
static void
publish_laterals(PlannerInfo *root)
{
	root->hasLateralRTEs = true;
	for (int i = 1; i < root->simple_rel_array_size; i++)
	{
		RelOptInfo *rel = root->simple_rel_array[i];
		RelOptInfo *top = rel;

		if (rel == NULL || !IS_SIMPLE_REL(rel))
			continue;
		while (top->reloptkind == RELOPT_OTHER_MEMBER_REL)
			top = root->simple_rel_array[root->append_rel_array[top->relid]->parent_relid];
		rel->direct_lateral_relids = top->direct_lateral_relids;
		rel->lateral_relids = top->lateral_relids;
		rel->lateral_referencers = top->lateral_referencers;
		reparameterize_early_paths(root, rel);
	}
}

/*
 * The planner orders joins freely only among the members of a join list;
 * collapse limits and FULL JOINs make the relations of one list a single
 * member of another. This repeats how deconstruct_jointree() builds them, in
 * Relids: a join list is a list of its members.
 */
static Relids
close_problem(List *members, List **problems)
{
	Relids all = NULL;
	ListCell *lc;

	foreach(lc, members)
		all = bms_union(all, lfirst(lc));
	if (list_length(members) > 1)
		*problems = lappend(*problems, members);
	return all;
}

static List *
build_joinlists(Node *node, List **problems)
{
	List *result = NIL;
	ListCell *lc;

	if (IsA(node, RangeTblRef))
		return list_make1(bms_make_singleton(((RangeTblRef *) node)->rtindex));
	if (IsA(node, FromExpr))
	{
		List *from = ((FromExpr *) node)->fromlist;
		int remaining = list_length(from);

		foreach(lc, from)
		{
			List *members = build_joinlists(lfirst(lc), problems);

			remaining--;
			if (list_length(members) <= 1 ||
				list_length(result) + list_length(members) + remaining <= from_collapse_limit)
				result = list_concat(result, members);
			else
				result = lappend(result, close_problem(members, problems));
		}
	}
	else
	{
		JoinExpr *join = castNode(JoinExpr, node);
		List *left = build_joinlists(join->larg, problems);
		List *right = build_joinlists(join->rarg, problems);

		if (join->jointype != JOIN_FULL &&
			list_length(left) + list_length(right) <= join_collapse_limit)
			return list_concat(left, right);
		result = list_make2(close_problem(left, problems), close_problem(right, problems));
		if (join->jointype == JOIN_FULL)
			result = list_make1(close_problem(result, problems));
	}
	return result;
}

/* Replace relations by the members of a join list that contain them. */
static Relids
members_of(List *problem, Relids relids)
{
	Relids result = NULL;
	ListCell *lc;

	foreach(lc, problem)
	{
		if (bms_overlap(lfirst(lc), relids))
			result = bms_add_members(result, lfirst(lc));
	}
	return result;
}

/*
 * All relations of a join list that must be joined before `self` can be joined
 * to these sources: those they depend on, and the outer joins that may null
 * them. Sets *semi if a source is on the right side of a semijoin, where a
 * lateral reference would prevent making that side unique.
 */
static Relids
prerequisites(PlannerInfo *root, List *problem, Relids self, Relids sources, bool *semi)
{
	Relids result = members_of(problem, sources);
	int known = 0;
	ListCell *lc;

	while (known != bms_num_members(result))
	{
		Relids more = NULL;
		int i = -1;

		known = bms_num_members(result);
		while ((i = bms_next_member(result, i)) >= 0)
		{
			/* NULL for a join that was removed */
			if (root->simple_rel_array[i] != NULL)
				more = bms_add_members(more, root->simple_rel_array[i]->lateral_relids);
		}
		more = bms_del_members(more, result);

		foreach(lc, root->join_info_list)
		{
			SpecialJoinInfo *sj = lfirst_node(SpecialJoinInfo, lc);
			bool full = sj->jointype == JOIN_FULL;

			if (bms_overlap(self, sj->syn_righthand) ||
				!(bms_overlap(result, sj->min_righthand) ||
				  (full && bms_overlap(result, sj->min_lefthand))))
				continue;
			more = bms_add_members(more, sj->min_righthand);
			if (sj->jointype == JOIN_SEMI)
				*semi = true;
			else
				more = bms_add_members(more, sj->min_lefthand);
		}
		result = bms_add_members(result, members_of(problem, more));
	}
	return result;
}

/*
 * Rank sources of a binding by the order of joins: the fewer relations must be
 * joined before, the better; -1: the table cannot be joined to them.
 */
static int
rank_sources(PlannerInfo *root, List *problems, int relid, Relids sources, bool *semi)
{
	Relids table = bms_make_singleton(relid);
	int rank = 0;
	ListCell *lc;

	*semi = false;
	foreach(lc, problems)
	{
		Relids self = members_of(lfirst(lc), table);
		Relids outside = bms_difference(sources, self);
		Relids before;

		if (self == NULL || bms_is_empty(outside))
			continue;
		before = prerequisites(root, lfirst(lc), self, outside, semi);
		if (bms_overlap(before, self))
			return -1;
		rank += bms_num_members(before);
	}
	return *semi ? rank + root->simple_rel_array_size : rank;
}

/* True if all continuous tables among these relations have a final verdict. */
static bool
is_settled(List *rels, Relids relids)
{
	ListCell *lc;

	foreach(lc, rels)
	{
		ContimeRel *crel = lfirst(lc);

		if (bms_is_member(crel->top->relid, relids) &&
			(crel->verdict == PENDING || crel->verdict == REFUSED))
			return false;
	}
	return true;
}

/*
 * Choose the relations that bind a pending table. Returns false if none can
 * yet.
 */
static bool
settle(PlannerInfo *root, List *rels, List *problems, ContimeRel *crel)
{
	RelOptInfo *top = crel->top;
	int best = INT_MAX;
	bool best_semi = false;
	ListCell *lc;

	foreach(lc, crel->candidates)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);
		Relids sources = bms_difference(rinfo->clause_relids, top->relids);
		bool semi;
		int rank;

		if (bms_is_empty(sources) || !is_settled(rels, sources))
			continue;
		rank = rank_sources(root, problems, top->relid, sources, &semi);
		if (rank < 0 || rank >= best)
			continue;
		best = rank;
		best_semi = semi;
		crel->source = sources;
	}
	if (best == INT_MAX)
		return false;

	crel->verdict = best_semi ? BOUND_SEMI : BOUND_JOIN;
	if (!best_semi)
	{
		top->direct_lateral_relids = bms_union(top->direct_lateral_relids, crel->source);
		top->lateral_relids = bms_union(top->lateral_relids, crel->source);
		close_laterals(root);
	}
	return true;
}

/* ---- the analysis of a query level ------------------------------------------- */

void
contime_analyse(PlannerInfo *root, const FdwRoutine *ours)
{
	List *rels = collect_rels(root, ours);
	List *problems = NIL;
	bool injected = false;
	bool progress;
	ListCell *lc;

	foreach(lc, rels)
	{
		ContimeRel *crel = lfirst(lc);

		classify(root, crel);
		if (crel->verdict == PENDING && problems == NIL)
			close_problem(build_joinlists((Node *) root->parse->jointree, &problems), &problems);
	}
	do
	{
		progress = false;
		foreach(lc, rels)
		{
			ContimeRel *crel = lfirst(lc);

			if (crel->verdict == PENDING && settle(root, rels, problems, crel))
			{
				progress = true;
				injected |= crel->verdict == BOUND_JOIN;
			}
		}
	} while (progress);
	if (injected)
		publish_laterals(root);

	foreach(lc, rels)
	{
		ContimeRel *crel = lfirst(lc);

		if (crel->verdict == PENDING)
			refuse_conditions(root, crel);
		if (crel->verdict == REFUSED && is_trial(root))
			crel->verdict = DEFERRED;
#ifdef USE_ASSERT_CHECKING
		if (crel->verdict == REFUSED && contime_debug_unprotected)
			crel->verdict = READ_NOW;
#endif
	}
}

void
contime_refuse(const ContimeRel *crel)
{
	bool clock = crel->time_type == TIMESTAMPTZOID;

	switch (crel->reason)
	{
		case REASON_RANGE:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("continuous table \"%s\" cannot be read over a range of \"%s\"",
							crel->name, crel->time_name),
					 errdetail("It has a row for every instant."),
					 errhint("Use contime.%s() for the changes within a range, or join \"%s\" with the instants you need.",
							 clock ? "history" : "history_tick", crel->time_name)));
			break;
		case REASON_CONDITION:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("condition on \"%s\" does not say at which instants to read continuous table \"%s\"",
							crel->time_name, crel->name),
					 errhint("Compare \"%s\" by = with a value or a column of another table, or use contime.%s().",
							 crel->time_name, clock ? "at" : "at_tick")));
			break;
		case REASON_JOIN:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("no join of this query can give the instants at which to read continuous table \"%s\"",
							crel->name),
					 errdetail("The value that \"%s\" is compared with is not known before the table is read.",
							   crel->time_name),
					 errhint("Compare \"%s\" by = with a value or a column that does not depend on the table, or use contime.%s().",
							 crel->time_name, clock ? "at" : "at_tick")));
			break;
		case REASON_SUBQUERY:
		case REASON_NESTED:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("\"%s\" of continuous table \"%s\" is read in a %s without a condition on it",
							crel->time_name, crel->name,
							crel->reason == REASON_SUBQUERY ? "subquery" : "function or cursor"),
					 errdetail("A condition outside of it could not reach the table."),
					 clock
						 ? errhint("Add a condition such as %s = now(), or name the columns you need.",
								   quote_identifier(crel->time_name))
						 : errhint("Add a condition such as %s = 1000, or name the columns you need.",
								   quote_identifier(crel->time_name))));
			break;
	}
}
