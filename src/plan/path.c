/*
 * path.c
 *	  Make the paths and the plan of a continuous table.
 *
 *	  rows:   instants times keys, after the filters
 *	  paths:  at the instants that binding.c found; the same with the key from a
 *	          join; all keys by several processes, a partition of the keys at a time
 *	  plan:   instants and key values as expressions, for the scan (sql/fdw_scan.c)
 *
 * Estimates do not depend on whether a parameter's value is known.  So a generic
 * plan costs the same as a custom plan that does the same.
 *
 * The callbacks are at the end; sql/fdw.c registers them.
 */
#include "postgres.h"

#include "base/compat.h"
#include "plan/plan.h"
#include "plan/planner.h"
#include "shared/shared.h"

#include <math.h>

#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/prep.h"
#include "optimizer/restrictinfo.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"

/*
 * Cost of a path that must not be executed.  Such a path is added where the
 * planner needs some path to go on.
 */
#define FORBIDDEN_COST 1.0e20

/*
 * Such a path counts as this many disabled nodes.  That is more than an enable_ setting
 * disables in a query that is not refused; the sum over a query's relations is an int.
 */
#define FORBIDDEN_NODES (1 << 16)

/* ---- estimates --------------------------------------------------------------- */

/* True if the bindings make all rows satisfy the clause, so that it is no filter. */
static bool
is_bound(const ContimeRel *crel, const Match *match, RestrictInfo *rinfo)
{
	if (rinfo == match->time_clause)
		return match->exact;
	for (int i = 0; match->by_key && i < crel->nkeys; i++)
	{
		if (rinfo == match->key_clause[i])
			return true;
	}
	return false;
}

/* Argument of equivalence_is_key(): the index'th key column of a table. */
typedef struct KeyColumn
{
	ContimeRel *crel;
	int index;
} KeyColumn;

/* Callback of core: true if an equivalence member is the key column. */
static bool
equivalence_is_key(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec, EquivalenceMember *em,
				   void *arg)
{
	KeyColumn *key = arg;
	Node *node = (Node *) em->em_expr;

	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return contime_is_column(key->crel, node, key->crel->key_attno[key->index]);
}

/* Return the join clauses over crel->rel that could bind a key column. */
static List *
find_key_clauses(PlannerInfo *root, ContimeRel *crel)
{
	RelOptInfo *rel = crel->rel;
	List *clauses = NIL;
	List *result = NIL;
	ListCell *lc;

	foreach(lc, rel->joininfo)
	{
		if (join_clause_is_movable_to(lfirst_node(RestrictInfo, lc), rel))
			clauses = lappend(clauses, lfirst(lc));
	}
	for (int i = 0; i < crel->nkeys; i++)
	{
		KeyColumn key = {crel, i};

		if (rel->has_eclass_joins)
			clauses =
				list_concat(clauses,
							generate_implied_equalities_for_column(root, rel, equivalence_is_key,
																   &key, rel->lateral_referencers));
	}
	foreach(lc, clauses)
	{
		Node *clause = (Node *) lfirst_node(RestrictInfo, lc)->clause;
		bool usable = false;
		bool array;

		for (int i = 0; i < crel->nkeys; i++)
			usable |= contime_match_key(root, crel, i, clause, &array) != NULL;
		if (usable)
			result = lappend(result, lfirst(lc));
	}
	return result;
}

/* Estimate the number of instants of a match; without a binding it is one, "now". */
static double
count_instants(PlannerInfo *root, const Match *match)
{
	double result = 0;
	ListCell *lc;
	ListCell *lc2;

	Assert(list_length(match->instants) == list_length(match->arrays));
	forboth(lc, match->instants, lc2, match->arrays)
		result += lfirst_int(lc2) ? estimate_array_length(root, lfirst(lc)) : 1;
	return match->time_clause ? Max(result, 1) : 1;
}

/* Estimate the number of keys of a match that binds all key columns. */
static double
count_keys(PlannerInfo *root, const ContimeRel *crel, const Match *match)
{
	double result = 1;

	for (int i = 0; i < crel->nkeys; i++)
	{
		if (match->key_array[i])
			result *= Max(estimate_array_length(root, match->key[i]), 1);
	}
	return result;
}

/*
 * Estimate a path with these clauses: returns its rows, sets *cost to the total
 * cost, and *by_key to whether the clauses bind all key columns.
 */
static double
estimate_path(PlannerInfo *root, ContimeRel *crel, List *clauses, Cost *cost, bool *by_key)
{
	Match match;
	List *filters = NIL;
	QualCost filter_cost;
	double keys;
	double rows;
	ListCell *lc;

	Assert(crel->keys >= 1); /* contime_estimate_table() */
	contime_match_clauses(root, crel, clauses, &match);
	foreach(lc, clauses)
	{
		if (!is_bound(crel, &match, lfirst(lc)))
			filters = lappend(filters, lfirst(lc));
	}
	keys = match.by_key ? count_keys(root, crel, &match) : crel->keys;
	rows = keys * count_instants(root, &match);
	cost_qual_eval(&filter_cost, filters, root);
	*cost = contime_access_cost(crel, match.by_key, keys, rows) + filter_cost.startup +
			rows * filter_cost.per_tuple;
	*by_key = match.by_key;
	return clamp_row_est(rows *
						 clauselist_selectivity(root, filters, crel->rel->relid, JOIN_INNER, NULL));
}

/* Return the selectivity of a join clause with crel->source, whose size is not final yet. */
static Selectivity
estimate_selectivity(PlannerInfo *root, const ContimeRel *crel, RestrictInfo *rinfo)
{
	SpecialJoinInfo sj = {0};

	Assert(crel->source != NULL);
	sj.type = T_SpecialJoinInfo;
	sj.min_lefthand = sj.syn_lefthand = crel->source;
	sj.min_righthand = sj.syn_righthand = crel->top->relids;
	sj.jointype = JOIN_INNER;
	/* Given the clause without its RestrictInfo, core caches no result. */
	return clause_selectivity(root, (Node *) rinfo->clause, 0, JOIN_INNER, &sj);
}

/*
 * Return rel->rows for a table that a join binds.  The join multiplies rel->rows
 * by the selectivity of its clauses; the result has to be the rows of one path.
 * So divide these by that selectivity.
 */
static double
estimate_unjoined(PlannerInfo *root, ContimeRel *crel)
{
	Relids joined = bms_union(crel->top->relids, crel->source);
	List *clauses = list_copy(crel->rel->baserestrictinfo);
	double rows = crel->slice;
	Selectivity selectivity = 1;
	Match match;
	Cost cost;
	bool by_key;
	ListCell *lc;

	Assert(crel->verdict == BOUND_JOIN || crel->verdict == BOUND_SEMI);
	foreach(lc, crel->candidates)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (bms_is_subset(rinfo->clause_relids, joined))
		{
			selectivity = estimate_selectivity(root, crel, rinfo);
			break;
		}
	}

	/* (Core adds up the partitions' rows, so each of them has its full slice.) */
	foreach(lc, crel->rel == crel->top ? find_key_clauses(root, crel) : NIL)
	{
		if (bms_is_subset(lfirst_node(RestrictInfo, lc)->clause_relids, joined))
			clauses = lappend(clauses, lfirst(lc));
	}
	contime_match_clauses(root, crel, clauses, &match);
	if (match.by_key)
		rows = estimate_path(root, crel, clauses, &cost, &by_key);
	for (int i = 0; match.by_key && i < crel->nkeys; i++)
	{
		if (!list_member_ptr(crel->rel->baserestrictinfo, match.key_clause[i]))
			selectivity *= estimate_selectivity(root, crel, match.key_clause[i]);
	}
	return clamp_row_est(rows / Max(selectivity, 1.0e-9));
}

/* ---- paths ------------------------------------------------------------------- */

/* Return the fdw_private of a path that must not be executed. */
static List *
make_forbidden_mark(void)
{
	return list_make1(makeInteger(1));
}

/*
 * Add a path that is parameterised by the relations `outer`.  If `forbidden`, its
 * cost is prohibitive and its plan raises an ERROR.
 */
static void
add_scan_path(PlannerInfo *root, ContimeRel *crel, Relids outer, bool forbidden)
{
	RelOptInfo *rel = crel->rel;
	ParamPathInfo *param_info = get_baserel_parampathinfo(root, rel, outer);
	List *clauses = rel->baserestrictinfo;
	double rows;
	Cost cost;
	bool by_key;

	Assert(bms_is_subset(rel->lateral_relids, outer)); /* binding.c, 3 */
	if (param_info != NULL)
		clauses = list_concat_copy(clauses, param_info->ppi_clauses);
	rows = estimate_path(root, crel, clauses, &cost, &by_key);
	if (forbidden)
		cost += FORBIDDEN_COST;
	cost += rel->reltarget->cost.startup + rel->reltarget->cost.per_tuple * rows;
	add_path(rel, (Path *) contime_make_scan_path(root, rel, rows, forbidden ? FORBIDDEN_NODES : 0,
												  forbidden ? FORBIDDEN_COST : 0, cost, outer,
												  forbidden ? make_forbidden_mark() : NIL));
}

/*
 * Add a path on which several processes read all keys.  A process that has read a
 * partition of the keys takes the next one.
 */
static void
add_parallel_path(PlannerInfo *root, ContimeRel *crel)
{
	RelOptInfo *rel = crel->rel;
	double rows;
	double share;
	Cost cost;
	bool by_key;
	int workers;
	ForeignPath *path;

	Assert(!crel->leader_only && bms_is_empty(rel->lateral_relids));
	rows = estimate_path(root, crel, rel->baserestrictinfo, &cost, &by_key);
	workers = compute_parallel_worker(rel, crel->keys * rel->reltarget->width / BLCKSZ, -1,
									  max_parallel_workers_per_gather);
	workers = Min(workers, contime_shared->partitions);
	if (by_key || workers <= 0)
		return;

	Assert(workers <= contime_shared->partitions);
	/* As in core's get_parallel_divisor(): the leader reads less if it has more workers. */
	share = workers;
	if (parallel_leader_participation)
		share += Max(1.0 - 0.3 * workers, 0);
	share = Min(share, contime_shared->partitions);
	rows = clamp_row_est(rows / share);
	cost = cost / share + rel->reltarget->cost.startup + rel->reltarget->cost.per_tuple * rows;
	path = contime_make_scan_path(root, rel, rows, 0, 0, cost, NULL, NIL);
	path->path.parallel_aware = true;
	path->path.parallel_workers = workers;
	add_partial_path(rel, (Path *) path);
}

/* Add a set of relations to a list of such sets, unless it is there. */
static List *
add_outer(List *outers, Relids outer)
{
	ListCell *lc;

	foreach(lc, outers)
	{
		if (bms_equal(lfirst(lc), outer))
			return outers;
	}
	return lappend(outers, outer);
}

/* Return the sets of relations that give key values: one for each clause, and their union. */
static List *
find_key_sources(PlannerInfo *root, ContimeRel *crel)
{
	List *result = NIL;
	Relids all = NULL;
	ListCell *lc;

	foreach(lc, find_key_clauses(root, crel))
		result =
			add_outer(result, bms_del_member(bms_copy(lfirst_node(RestrictInfo, lc)->clause_relids),
											 crel->rel->relid));

	/* Each key column may come from another relation. */
	foreach(lc, result)
		all = bms_add_members(all, lfirst(lc));
	return all ? add_outer(result, all) : NIL;
}

/* True if a path that is parameterised by `outer` binds all key columns. */
static bool
binds_key(PlannerInfo *root, ContimeRel *crel, Relids outer)
{
	ParamPathInfo *param_info = get_baserel_parampathinfo(root, crel->rel, outer);
	List *clauses = crel->rel->baserestrictinfo;
	Match match;

	if (param_info != NULL)
		clauses = list_concat_copy(clauses, param_info->ppi_clauses);
	contime_match_clauses(root, crel, clauses, &match);
	return match.by_key;
}

/*
 * Set the lock that FOR UPDATE or the like asks for.  As in postgres_fdw the scan takes
 * it: the row that core would lock later has no identity of its own.
 */
static void
set_lock(PlannerInfo *root, ContimeRel *crel)
{
	const PlanRowMark *mark = get_plan_rowmark(root->rowMarks, crel->rel->relid);

	crel->lock_strength = mark ? mark->strength : LCS_NONE;
	crel->lock_policy = mark ? mark->waitPolicy : LockWaitBlock;
}

/* ---- the callbacks ----------------------------------------------------------- */

/*
 * True if parallel workers may read the table.  They must not if the read needs a
 * query on an event table or calls users' functions.  If parallel plans are
 * considered, this is the first callback for a table.
 */
bool
contimeIsForeignScanParallelSafe(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte)
{
	ContimeRel *crel;

	if (rel->fdw_private == NULL)
		contime_analyse(root, rel->fdwroutine);
	crel = rel->fdw_private;
	Assert(crel != NULL && crel->verdict != PENDING);
	return !crel->leader_only;
}

void
contimeGetForeignRelSize(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	ContimeRel *crel;
	Cost cost;
	bool by_key;

	if (rel->fdw_private == NULL)
		contime_analyse(root, rel->fdwroutine);
	crel = rel->fdw_private;
	Assert(crel != NULL && crel->rel == rel && crel->verdict != PENDING);
	if (crel->verdict == REFUSED)
		contime_refuse(crel);

	rel->tuples = crel->keys;
	rel->rows = crel->slice = estimate_path(root, crel, rel->baserestrictinfo, &cost, &by_key);
	if (crel->verdict == BOUND_JOIN || crel->verdict == BOUND_SEMI)
		rel->rows = estimate_unjoined(root, crel);
}

void
contimeGetForeignPaths(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	ContimeRel *crel = rel->fdw_private;
	Relids outer = rel->lateral_relids;
	bool forbidden = crel->verdict == DEFERRED;
	double surplus = rel->tuples - crel->keys;
	ListCell *lc;

	Assert(crel->rel == rel && crel->verdict != PENDING && crel->verdict != REFUSED);
	/*
	 * Core raised rel->tuples to the rel->rows that contimeGetForeignRelSize() set
	 * for joins, and added it to the parent's.  Restore the number of keys.
	 */
	rel->tuples -= surplus;
	if (crel->top != rel)
		crel->top->tuples = Max(crel->top->tuples - surplus, 1);

	set_lock(root, crel);
	add_scan_path(root, crel, outer,
				  forbidden || crel->verdict == BOUND_SEMI ||
					  (crel->lock_strength != LCS_NONE && !binds_key(root, crel, outer)));
	if (forbidden)
		return;

	if (rel->consider_parallel && bms_is_empty(outer) && crel->verdict != BOUND_SEMI)
		add_parallel_path(root, crel);
	if (crel->verdict == BOUND_SEMI)
	{
		outer = bms_union(outer, crel->source);
		add_scan_path(root, crel, outer,
					  crel->lock_strength != LCS_NONE && !binds_key(root, crel, outer));
	}
	foreach(lc, find_key_sources(root, crel))
	{
		Relids with_key = bms_union(outer, lfirst(lc));

		if (!bms_equal(with_key, outer) && binds_key(root, crel, with_key))
			add_scan_path(root, crel, with_key, false);
	}
}

/* Coerce the expression of an instant, or of an array of instants, to the time column's type. */
static Node *
coerce_instant(PlannerInfo *root, const ContimeRel *crel, Node *value, bool array)
{
	Oid type = array ? get_array_type(crel->time_type) : crel->time_type;
	Node *result = coerce_to_target_type(NULL, value, exprType(value), type, -1, COERCION_EXPLICIT,
										 COERCE_EXPLICIT_CAST, -1);

	if (result == NULL)
		elog(ERROR, "no cast from %s to %s", format_type_be(exprType(value)), format_type_be(type));
	return result == value ? value : eval_const_expressions(root, result);
}

/* Flags of a plan: see ContimeBinding. */
#define PLAN_FORBIDDEN 1
#define PLAN_PRESENT 2
#define PLAN_TRAVELS 4
#define PLAN_SHOWS_INSTANT 8

/*
 * True if the scan returns, or its conditions use, the time or a column with a rate.  All
 * other columns of a state are the same at each instant from the last event on.
 */
static bool
shows_instant(const ContimeRel *crel, List *clauses)
{
	Bitmapset *used = NULL;
	ListCell *lc;

	pull_varattnos((Node *) crel->rel->reltarget->exprs, crel->rel->relid, &used);
	foreach(lc, clauses)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, lc)->clause, crel->rel->relid, &used);
	return bms_overlap(used, crel->moving) ||
		   bms_is_member(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber, used);
}

/*
 * Make the plan.  Its fdw_exprs are the instants, then the key values.  Its
 * fdw_private is a list of: which instants are arrays, which key values are arrays,
 * the types of the key values, and three integers: the flags PLAN_, the strength of the
 * lock on the keys, the policy of waiting for it.  contime_read_binding() reads it.
 */
ForeignScan *
contimeGetForeignPlan(PlannerInfo *root, RelOptInfo *rel, Oid relid, ForeignPath *path, List *tlist,
					  List *clauses, Plan *outer_plan)
{
	ContimeRel *crel = rel->fdw_private;
	bool bound = crel->verdict == BOUND_VALUE || crel->verdict == BOUND_JOIN ||
				 crel->verdict == BOUND_SEMI;
	bool forbidden = path->fdw_private != NIL;
	int flags = (forbidden ? PLAN_FORBIDDEN : 0) | (crel->present ? PLAN_PRESENT : 0) |
				(crel->verdict == READ_TRAVEL ? PLAN_TRAVELS : 0) |
				(shows_instant(crel, clauses) ? PLAN_SHOWS_INSTANT : 0);
	Match match;
	List *exprs = NIL;
	List *key_arrays = NIL;
	List *key_types = NIL;
	List *filters = NIL;
	List *checked = NIL;
	List *options;
	ListCell *lc;
	ListCell *lc2;

	Assert(crel->rel == rel && crel->verdict != PENDING && crel->verdict != REFUSED);
	contime_match_clauses(root, crel, clauses, &match);
	if (crel->lock_strength != LCS_NONE && !match.by_key)
	{
		crel->verdict = REFUSED;
		crel->reason = REASON_LOCK;
		contime_refuse(crel);
	}
	if (bound && (match.time_clause == NULL || forbidden))
	{
		crel->reason = REASON_JOIN;
		contime_refuse(crel);
	}

	forboth(lc, match.instants, lc2, match.arrays)
		exprs = lappend(exprs, coerce_instant(root, crel, lfirst(lc), lfirst_int(lc2)));
	for (int i = 0; match.by_key && i < crel->nkeys; i++)
	{
		Oid type = exprType(match.key[i]);

		exprs = lappend(exprs, match.key[i]);
		key_arrays = lappend_int(key_arrays, match.key_array[i]);
		key_types =
			lappend_oid(key_types,
						getBaseType(match.key_array[i] ? get_base_element_type(type) : type));
	}
	foreach(lc, clauses)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (is_bound(crel, &match, rinfo))
			checked = lappend(checked, rinfo);
		else
			filters = lappend(filters, rinfo);
	}

	Assert(list_length(exprs) == list_length(match.arrays) + list_length(key_arrays));
	Assert(key_types == NIL || list_length(key_types) == crel->nkeys);
	options = list_make3_int(flags, crel->lock_strength, crel->lock_policy);
	return make_foreignscan(tlist, extract_actual_clauses(filters, false), rel->relid, exprs,
							list_make4(match.arrays, key_arrays, key_types, options), NIL,
							extract_actual_clauses(checked, false), outer_plan);
}

void
contime_read_binding(const ForeignScan *plan, ContimeBinding *binding)
{
	List *arrays = linitial(plan->fdw_private);
	List *key_arrays = lsecond(plan->fdw_private);
	List *options = lfourth(plan->fdw_private);
	int flags = linitial_int(options);

	Assert(list_length(plan->fdw_private) == 4 && list_length(options) == 3);
	Assert(list_length(plan->fdw_exprs) == list_length(arrays) + list_length(key_arrays));
	binding->ninstants = list_length(arrays);
	binding->arrays = list_concat_copy(arrays, key_arrays);
	binding->key_types = lthird(plan->fdw_private);
	binding->forbidden = flags & PLAN_FORBIDDEN;
	binding->present = flags & PLAN_PRESENT;
	binding->travels = flags & PLAN_TRAVELS;
	binding->shows_instant = flags & PLAN_SHOWS_INSTANT;
	binding->lock_strength = lsecond_int(options);
	binding->lock_policy = lthird_int(options);
}
