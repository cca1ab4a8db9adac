/*
 * binding.c
 *	  Choose the condition that binds the time column of each table.
 *
 * A continuous table has a row for every instant, so a scan must know the
 * instants that it reads.  The query's own conditions on the time column give
 * them.  The result must be the same as if a row were stored for every instant;
 * a query for which that cannot be done is refused before it runs.
 *
 *	  conditions ──► classify ──► propagate ──► inject ──► paths ──► plan
 *	                 each table   along joins   LATERAL              binding
 *
 *	  verdict        the instants come from
 *	  READ_NOW       "now", as no condition mentions the time column
 *	  READ_TRAVEL    contime.at, without which the time column would escape
 *	  BOUND_VALUE    time = constant, parameter, initplan, stable expression
 *	  BOUND_JOIN     time = expression over other relations of this level
 *	  BOUND_SEMI     the same, from the right side of a semijoin
 *	  REFUSED        nothing: an ERROR as soon as the planner asks for the table
 *	  DEFERRED       nothing: a plan too expensive to be chosen, an ERROR if it runs
 *
 * The planner calls path.c, which makes the paths and the plan.  The first such
 * call of a query level makes contime_analyse() handle all continuous tables of
 * that level together.  Its result is the fdw_private of their RelOptInfos.
 * There is no state outside the planner's, so planning may nest and may end in
 * an ERROR.
 *
 * Invariants:
 *	1. The condition that binds a table is a conjunct that the query's rows must
 *	   satisfy in any case; it is only applied earlier, in the scan.  So binding
 *	   never loses a row, and all other conditions on the time column are
 *	   ordinary filters on the rows read.
 *	2. A table is bound by another continuous table only after that table has
 *	   got a verdict other than REFUSED.
 *	3. A BOUND_JOIN table depends laterally on its source: every path of the
 *	   table has the source's relations as required outer relations.
 *	4. The instants of a plan are taken from the clauses of its path, never from
 *	   a choice of our own among equivalent expressions.
 *	5. The time column of an unbound table is not visible where a condition
 *	   could be meant for the table but cannot reach its scan.
 *
 * Not here: costs and paths (path.c), execution of the binding (sql/fdw_scan.c).
 */
#include "postgres.h"

#include "plan/plan.h"
#include "plan/planner.h"
#include "read/read.h"
#include "table/table.h"

#include "access/table.h"
#include "foreign/fdwapi.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "storage/lmgr.h"
#include "parser/analyze.h"
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

	Assert(CheckRelationLockedByMe(relation, AccessShareLock, true));
	Assert(table->nkeys <= lengthof(crel->key_attno));
	/* An invalidation may free the description before planning ends: copy the fields. */
	crel->rel = crel->top = rel;
	crel->relid = rte->relid;
	crel->present = contime_is_present(rte);
	crel->name = pstrdup(RelationGetRelationName(relation));
	crel->time_attno = table->time_attno;
	for (int i = 0; i < table->natts; i++)
		if (table->attr[i].time || table->schema->attr[i].rate_attr >= 0)
			crel->moving =
				bms_add_member(crel->moving, i + 1 - FirstLowInvalidHeapAttributeNumber);
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
	contime_estimate_table(table, crel);
	table_close(relation, NoLock);

	while (crel->top->reloptkind == RELOPT_OTHER_MEMBER_REL)
	{
		AppendRelInfo *appinfo = root->append_rel_array[crel->top->relid];

		Assert(appinfo != NULL);
		crel->translation = lcons(appinfo, crel->translation);
		crel->top = root->simple_rel_array[appinfo->parent_relid];
	}
	return crel;
}

/* Make a ContimeRel for each continuous table, and store it in the rel's fdw_private. */
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
		Assert(rel->fdw_private == NULL);
		rel->fdw_private = make_contime_rel(root, rel);
		rels = lappend(rels, rel->fdw_private);
	}
	return rels;
}

/* Return the table's own conditions and its join conditions, as expressions over it. */
static List *
collect_conditions(PlannerInfo *root, const ContimeRel *crel)
{
	List *result = NIL;
	ListCell *lc;

	foreach(lc, crel->rel->baserestrictinfo)
		result = lappend(result, lfirst_node(RestrictInfo, lc)->clause);
	foreach(lc, crel->top->joininfo)
	{
		Node *clause = (Node *) lfirst_node(RestrictInfo, lc)->clause;

		result = lappend(result, contime_translate(root, crel, clause));
	}
	return result;
}

/*
 * True if the query level uses the whole row of a relation only as a junk
 * column, by which the executor finds or locks rows.
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
 * Return the relations whose joins need the table's time column above its scan.
 * Relation 0 stands for the query's result, as in attr_needed.
 */
static Relids
find_time_uses(PlannerInfo *root, const ContimeRel *crel)
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
		if (contime_mentions_time(crel, contime_translate(root, crel, (Node *) var)) &&
			!(var->varattno == InvalidAttrNumber && bms_membership(needed) == BMS_SINGLETON &&
			  bms_is_member(0, needed) && is_row_mark(root, top->relid)))
			result = bms_add_members(result, needed);
	}
	foreach(lc, root->placeholder_list)
	{
		PlaceHolderInfo *phinfo = lfirst_node(PlaceHolderInfo, lc);

		if (phinfo->ph_needed != NULL &&
			contime_mentions_time(crel,
								  contime_translate(root, crel, (Node *) phinfo->ph_var->phexpr)))
			result = bms_add_members(result, phinfo->ph_needed);
	}
	return result;
}

/* ---- unbound tables whose time column escapes -------------------------------- */

/*
 * True if the client sent the statement that is being planned: its rows go to
 * the client or into a table, and not into another query.
 *
 * A statement that arrives by the protocol is planned before its portal runs.
 * Within a running portal, EXPLAIN, EXECUTE, COPY (query), CREATE TABLE AS and
 * REFRESH MATERIALIZED VIEW plan their query in the portal's own memory context;
 * a function body is never planned in that context.  A cursor counts as another
 * query: postgres_fdw reads through cursors, and applies conditions to the rows.
 */
static bool
is_clients_own(void)
{
	MemoryContext context = CurrentMemoryContext;
	PlannedStmt *stmt;

	/* A parallel worker plans only statements in functions. */
	if (IsParallelWorker())
		return false;

	if (ActivePortal == NULL)
	{
		/*
		 * Functions that run at commit or during planning have no portal either,
		 * but their memory context is not a child of MessageContext.
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
		return !tle->resjunk; /* only the rewritten EXISTS leaves columns without a name */
	return root->parent_root->parse->hasAggs && !root->parse->hasAggs &&
		   root->parse->limitCount != NULL && list_length(root->processed_tlist) == 1 &&
		   strcmp(tle->resname, "agg_target") == 0;
}

/*
 * True if this query level is the only source of an INSERT's rows.  No condition
 * outside of such a subquery could be meant for a table in it.
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
 * Refuse an unbound table whose time column escapes (invariant 5).  While contime.at
 * gives the instant, there is nothing to refuse, unless an outer query level has a
 * condition on the time column.  The plan then depends on the setting.
 */
static void
check_escape(PlannerInfo *root, ContimeRel *crel)
{
	int64 instant;

	Assert(crel->verdict == READ_NOW);
	if (find_time_uses(root, crel) == NULL || crel->top->relid == root->parse->resultRelation)
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
	if (crel->verdict == REFUSED && contime_travels(crel->time_type, crel->present, &instant) &&
		!contime_outer_condition(root, crel))
		crel->verdict = READ_TRAVEL;
}

/* ---- classify ---------------------------------------------------------------- */

static bool
equivalence_is_time(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec, EquivalenceMember *em,
					void *arg)
{
	ContimeRel *crel = arg;

	return !em->em_is_child &&
		   contime_is_column(crel, contime_translate(root, crel, (Node *) em->em_expr),
							 crel->time_attno);
}

/* Return the join clauses over crel->top that could bind the table's instants. */
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

		if (contime_match_time(root, crel, contime_translate(root, crel, clause), &match))
			result = lappend(result, lfirst(lc));
	}
	return result;
}

/*
 * True if a query level looks for the latest row, as is usual with tables that
 * have a row for each change: ORDER BY time DESC, with LIMIT or DISTINCT ON.
 */
static bool
seeks_latest(PlannerInfo *root, const ContimeRel *crel)
{
	Query *query = root->parse;
	ListCell *lc;

	if (query->limitCount == NULL && !query->hasDistinctOn)
		return false;
	foreach(lc, query->sortClause)
	{
		SortGroupClause *sort = lfirst_node(SortGroupClause, lc);
		Node *by = get_sortgroupclause_expr(sort, query->targetList);

		if (contime_is_column(crel, contime_translate(root, crel, by), crel->time_attno) &&
			get_op_opfamily_strategy(sort->sortop, crel->time_family) == BTGreaterStrategyNumber)
			return true;
	}
	return false;
}

/*
 * Refuse a table with conditions on its time column none of which binds it, and
 * set the reason.
 */
static void
refuse_conditions(PlannerInfo *root, ContimeRel *crel)
{
	ContimeTimeRange range = {.crel = crel};
	bool generic = false;
	ListCell *lc;

	Assert(crel->verdict == PENDING);
	crel->verdict = REFUSED;
	crel->reason = crel->candidates ? REASON_JOIN : REASON_CONDITION;
	foreach(lc, collect_conditions(root, crel))
	{
		if (!contime_mentions_time(crel, lfirst(lc)))
			continue;
		(void) contime_find_range(lfirst(lc), &range);
		if (contime_has_external_param(lfirst(lc), NULL))
			generic = true;
	}
	if (range.until && !range.from && seeks_latest(root, crel))
		crel->reason = REASON_LATEST;
	else if (range.from || range.until)
		crel->reason = range.from && range.until ? REASON_BETWEEN : REASON_RANGE;

	/*
	 * In a custom plan the parameter values may simplify the condition to one
	 * that binds.  The generic plan gets a prohibitive cost, so that the plan
	 * cache keeps to custom plans.
	 */
	if (generic && root->glob->boundParams == NULL)
		crel->verdict = DEFERRED;
}

/*
 * Set the verdict of a table from its own conditions.  It stays PENDING if only a
 * join can bind the table.
 */
static void
classify_rel(PlannerInfo *root, ContimeRel *crel)
{
	Relids above;
	ListCell *lc;

	Assert(crel->verdict == PENDING);
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

	above = bms_del_member(find_time_uses(root, crel), 0);
	if (!bms_is_empty(above))
	{
		refuse_conditions(root, crel);
		return;
	}
	foreach(lc, collect_conditions(root, crel))
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
 * Complete lateral_relids and lateral_referencers after a dependency was added.
 * This repeats the last steps of core's create_lateral_join_info().
 */
static void
complete_laterals(PlannerInfo *root)
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
		{
			/* NULL if it is an outer join, by whose id PostgreSQL 16 and later mark null values */
			if (rels[source] != NULL)
				rels[source]->lateral_referencers =
					bms_add_member(rels[source]->lateral_referencers, i);
		}
	}
}

/*
 * Parameterise the paths that a rel already has by its new lateral dependencies.
 * A subquery may have got its paths before the dependencies were added.
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

/* Copy the new dependencies to partitions and UNION ALL arms, and to existing paths. */
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
 * The planner orders joins freely only within a joinlist.  At a collapse limit or
 * a FULL JOIN, a whole joinlist becomes one member of an outer joinlist.  The
 * functions below repeat how core's deconstruct_jointree() builds joinlists.  Here
 * a joinlist is a List with one Relids for each member.
 */

/*
 * End a joinlist: add it to *joinlists if it has an order to choose, and return
 * the relations of all its members.
 */
static Relids
end_joinlist(List *members, List **joinlists)
{
	Relids all = NULL;
	ListCell *lc;

	foreach(lc, members)
		all = bms_union(all, lfirst(lc));
	if (list_length(members) > 1)
		*joinlists = lappend(*joinlists, members);
	return all;
}

/*
 * Return the joinlist of a jointree's node, which its parent may still extend.
 * Joinlists that have ended below the node are added to *joinlists.
 */
static List *
build_joinlists(Node *node, List **joinlists)
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
			List *members = build_joinlists(lfirst(lc), joinlists);

			remaining--;
			if (list_length(members) <= 1 ||
				list_length(result) + list_length(members) + remaining <= from_collapse_limit)
				result = list_concat(result, members);
			else
				result = lappend(result, end_joinlist(members, joinlists));
		}
	}
	else
	{
		JoinExpr *join = castNode(JoinExpr, node);
		List *left = build_joinlists(join->larg, joinlists);
		List *right = build_joinlists(join->rarg, joinlists);

		if (join->jointype != JOIN_FULL &&
			list_length(left) + list_length(right) <= join_collapse_limit)
			return list_concat(left, right);
		result = list_make2(end_joinlist(left, joinlists), end_joinlist(right, joinlists));
		if (join->jointype == JOIN_FULL)
			result = list_make1(end_joinlist(result, joinlists));
	}
	return result;
}

/* Return the relations of all members of a joinlist that contain one of `relids`. */
static Relids
find_members(List *joinlist, Relids relids)
{
	Relids result = NULL;
	ListCell *lc;

	foreach(lc, joinlist)
	{
		if (bms_overlap(lfirst(lc), relids))
			result = bms_add_members(result, lfirst(lc));
	}
	return result;
}

/*
 * Return all relations of a joinlist that have to be joined before `self` can be
 * joined to `sources`: the sources, their lateral dependencies, and the other
 * relations of the outer joins that may null them.  Sets *semi to true if a source
 * is on the right side of a semijoin: a lateral reference to it would stop the
 * planner from making that side unique.
 */
static Relids
find_prerequisites(PlannerInfo *root, List *joinlist, Relids self, Relids sources, bool *semi)
{
	Relids result = find_members(joinlist, sources);
	int known = 0;
	ListCell *lc;

	while (known != bms_num_members(result))
	{
		Relids more = NULL;
		int i = -1;

		known = bms_num_members(result);
		while ((i = bms_next_member(result, i)) >= 0)
		{
			/* NULL if the relation's join was removed, or it is an outer join */
			if (root->simple_rel_array[i] != NULL)
				more = bms_add_members(more, root->simple_rel_array[i]->lateral_relids);
		}
		more = bms_del_members(more, result);

		foreach(lc, root->join_info_list)
		{
			SpecialJoinInfo *sj = lfirst_node(SpecialJoinInfo, lc);
			bool full = sj->jointype == JOIN_FULL;

			/* Skip a join that may null the table itself: it applies above the table's scan. */
			if (bms_overlap(self, sj->syn_righthand) ||
				(full && bms_overlap(self, sj->syn_lefthand)))
				continue;
			if (!bms_overlap(result, sj->min_righthand) &&
				!(full && bms_overlap(result, sj->min_lefthand)))
				continue;
			more = bms_add_members(more, sj->min_righthand);
			if (sj->jointype == JOIN_SEMI)
				*semi = true;
			else
				more = bms_add_members(more, sj->min_lefthand);
		}
		result = bms_add_members(result, find_members(joinlist, more));
	}
	return result;
}

/*
 * Return how many relations have to be joined before a table can be joined to
 * these sources, or -1 if no join order allows it.  Fewer are better.  Sources on
 * the right side of a semijoin (*semi is set to true) rank after all others.
 */
static int
rank_sources(PlannerInfo *root, List *joinlists, int relid, Relids sources, bool *semi)
{
	Relids table = bms_make_singleton(relid);
	int rank = 0;
	ListCell *lc;

	*semi = false;
	foreach(lc, joinlists)
	{
		Relids self = find_members(lfirst(lc), table);
		Relids outside = bms_difference(sources, self);
		Relids before;

		if (self == NULL || bms_is_empty(outside))
			continue;
		before = find_prerequisites(root, lfirst(lc), self, outside, semi);
		if (bms_overlap(before, self))
			return -1;
		rank += bms_num_members(before);
	}
	return *semi ? rank + root->simple_rel_array_size : rank;
}

/* True if none of these relations is a continuous table that is pending or refused. */
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
 * Choose the best source for a pending table.  Returns false if no candidate can
 * be used, or none yet.
 */
static bool
choose_source(PlannerInfo *root, List *rels, List *joinlists, ContimeRel *crel)
{
	RelOptInfo *top = crel->top;
	int best = INT_MAX;
	bool best_semi = false;
	ListCell *lc;

	Assert(crel->verdict == PENDING && crel->candidates != NIL);
	foreach(lc, crel->candidates)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);
		Relids sources = bms_difference(rinfo->clause_relids, top->relids);
		bool semi;
		int rank;

		if (bms_is_empty(sources) || !is_settled(rels, sources))
			continue;
		rank = rank_sources(root, joinlists, top->relid, sources, &semi);
		if (rank < 0 || rank >= best)
			continue;
		best = rank;
		best_semi = semi;
		crel->source = sources;
	}
	if (best == INT_MAX)
		return false;

	Assert(is_settled(rels, crel->source)); /* 2 */
	Assert(!bms_overlap(crel->source, top->relids));
	crel->verdict = best_semi ? BOUND_SEMI : BOUND_JOIN;
	if (!best_semi)
	{
		top->direct_lateral_relids = bms_union(top->direct_lateral_relids, crel->source);
		top->lateral_relids = bms_union(top->lateral_relids, crel->source);
		complete_laterals(root);
	}
	Assert(best_semi || bms_is_subset(crel->source, top->lateral_relids)); /* 3 */
	return true;
}

/* ---- the analysis of a query level ------------------------------------------- */

/*
 * A round of the loop may bind tables that other tables depend on.  A table that
 * is pending after the last round is part of a cycle, or has no usable source.
 */
void
contime_analyse(PlannerInfo *root, const FdwRoutine *ours)
{
	List *rels = collect_rels(root, ours);
	List *joinlists = NIL;
	bool injected = false;
	bool progress;
	ListCell *lc;

	foreach(lc, rels)
	{
		ContimeRel *crel = lfirst(lc);

		classify_rel(root, crel);
		if (crel->verdict == PENDING && joinlists == NIL)
			end_joinlist(build_joinlists((Node *) root->parse->jointree, &joinlists), &joinlists);
	}
	do
	{
		progress = false;
		foreach(lc, rels)
		{
			ContimeRel *crel = lfirst(lc);

			if (crel->verdict == PENDING && choose_source(root, rels, joinlists, crel))
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
		Assert(crel->verdict != PENDING);
		if (crel->verdict == REFUSED && is_trial(root))
			crel->verdict = DEFERRED;
#ifdef USE_ASSERT_CHECKING
		if (crel->verdict == REFUSED && contime_debug_unprotected)
			crel->verdict = READ_NOW;
#endif
	}
}

static void CONTIME_NORETURN
refuse_range(const ContimeRel *crel, bool clock)
{
	const char *tick = clock ? "" : "_tick";
	const char *column = quote_identifier(crel->time_name);

	Assert(crel->verdict == REFUSED || crel->verdict == DEFERRED);
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("continuous table \"%s\" cannot be read over a range of \"%s\"", crel->name,
					crel->time_name),
			 errdetail("It has a row for every instant."),
			 crel->reason == REASON_LATEST
				 ? errhint("Write WHERE %s = T for the state as of T, without ORDER BY %s and LIMIT or DISTINCT ON.",
						   column, column)
			 : crel->reason == REASON_BETWEEN
				 ? errhint("Use contime.history%s() for the changes within a range, contime.series%s() for the states at regular steps in it, or join \"%s\" with the instants you need.",
						   tick, tick, crel->time_name)
				 : errhint("Use contime.history%s() for the changes within a range, or join \"%s\" with the instants you need.",
						   tick, crel->time_name)));
}

void
contime_refuse(const ContimeRel *crel)
{
	bool clock = crel->time_type == TIMESTAMPTZOID;

	/* With --inserts, pg_dump reads through a cursor. */
	if (crel->reason == REASON_NESTED && contime_is_dump())
		contime_refuse_dump(crel->name, crel->durable);
	Assert(crel->verdict != PENDING);
	/* (Keys may have to be bound though the instant need not be.) */
	Assert(crel->verdict != READ_NOW || crel->reason == REASON_LOCK);
	switch (crel->reason)
	{
		case REASON_RANGE:
		case REASON_BETWEEN:
		case REASON_LATEST:
			refuse_range(crel, clock);
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
		case REASON_LOCK:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s cannot be applied to continuous table \"%s\" without a condition on its key",
							LCS_asString(crel->lock_strength), crel->name),
					 errdetail("Keys are locked before they are read."),
					 errhint("Compare each key column by = with a value or a column of another table, or name other tables after %s OF.",
							 LCS_asString(crel->lock_strength))));
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
