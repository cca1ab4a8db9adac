/*
 * match.c
 *	  Find the clauses that bind the time and the key columns of a table.
 *
 * A clause is matched by the identity of its operator, never by a name.
 * binding.c calls this for the conditions of a query level, path.c for the
 * clauses of a path.
 */
#include "postgres.h"

#include "plan/plan.h"
#include "plan/planner.h"
#include "table/table.h"

#include "nodes/nodeFuncs.h"
#include "optimizer/appendinfo.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

bool
contime_is_column(const ContimeRel *crel, Node *node, AttrNumber attno)
{
	/* At the scan, below any outer join, a PlaceHolderVar is its expression. */
	if (IsA(node, PlaceHolderVar))
		node = (Node *) ((PlaceHolderVar *) node)->phexpr;

	return IsA(node, Var) && ((Var *) node)->varno == crel->rel->relid &&
		   ((Var *) node)->varattno == attno && ((Var *) node)->varlevelsup == 0;
}

bool
contime_mentions_time(const ContimeRel *crel, Node *node)
{
	Bitmapset *attnos = NULL;

	pull_varattnos(node, crel->rel->relid, &attnos);
	return bms_is_member(crel->time_attno - FirstLowInvalidHeapAttributeNumber, attnos) ||
		   bms_is_member(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber, attnos);
}

/* True if an expression's value may be an instant or a key value of a scan of this table. */
static bool
can_bind(PlannerInfo *root, const ContimeRel *crel, Node *node)
{
	return !bms_is_member(crel->rel->relid, pull_varnos(root, node)) &&
		   !contain_volatile_functions(node);
}

static bool
is_equality(Oid opno, Oid family)
{
	return get_op_opfamily_strategy(opno, family) == BTEqualStrategyNumber;
}

Node *
contime_translate(PlannerInfo *root, const ContimeRel *crel, Node *node)
{
	ListCell *lc;

	foreach(lc, crel->translation)
	{
		AppendRelInfo *appinfo = lfirst_node(AppendRelInfo, lc);

		node = adjust_appendrel_attrs(root, node, 1, &appinfo);
	}
	return node;
}

bool
contime_has_external_param(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN)
		return true;
	return expression_tree_walker(node, contime_has_external_param, context);
}

bool
contime_find_range(Node *node, void *context)
{
	ContimeTimeRange *range = context;

	if (node == NULL)
		return false;
	if (IsA(node, OpExpr) && list_length(((OpExpr *) node)->args) == 2)
	{
		OpExpr *op = (OpExpr *) node;
		int strategy = get_op_opfamily_strategy(op->opno, range->crel->time_family);
		bool left = contime_mentions_time(range->crel, linitial(op->args));
		bool right = contime_mentions_time(range->crel, lsecond(op->args));
		bool less = strategy == BTLessStrategyNumber || strategy == BTLessEqualStrategyNumber;

		if (strategy != InvalidStrategy && strategy != BTEqualStrategyNumber)
		{
			range->until |= (left && less) || (right && !less);
			range->from |= (left && !less) || (right && less);
		}
	}
	return expression_tree_walker(node, contime_find_range, context);
}

bool
contime_match_time(PlannerInfo *root, const ContimeRel *crel, Node *clause, Match *match)
{
	OpExpr *op = NULL;
	Node *value = NULL;
	bool array = false;
	ListCell *lc;

	/* IS NOT DISTINCT FROM is equality: the time is never NULL at the scan. */
	if (is_notclause(clause) && IsA(get_notclausearg(clause), DistinctExpr))
		op = (OpExpr *) get_notclausearg(clause);
	else if (IsA(clause, OpExpr) && list_length(((OpExpr *) clause)->args) == 2)
		op = (OpExpr *) clause;

	if (op != NULL)
	{
		if (!is_equality(op->opno, crel->time_family))
			return false;
		if (contime_is_column(crel, linitial(op->args), crel->time_attno))
			value = lsecond(op->args);
		else if (contime_is_column(crel, lsecond(op->args), crel->time_attno))
			value = linitial(op->args);
	}
	else if (IsA(clause, ScalarArrayOpExpr))
	{
		ScalarArrayOpExpr *any = (ScalarArrayOpExpr *) clause;

		if (!any->useOr || !is_equality(any->opno, crel->time_family))
			return false;
		if (contime_is_column(crel, linitial(any->args), crel->time_attno))
			value = lsecond(any->args);
		array = true;
	}
	else if (is_orclause(clause))
	{
		Match arms = {0};

		foreach(lc, ((BoolExpr *) clause)->args)
		{
			if (!contime_match_time(root, crel, lfirst(lc), &arms))
				return false;
		}
		match->instants = list_concat(match->instants, arms.instants);
		match->arrays = list_concat(match->arrays, arms.arrays);
		Assert(list_length(match->instants) == list_length(match->arrays));
		match->exact = match->scalar = false;
		return true;
	}
	else if (is_andclause(clause))
	{
		foreach(lc, ((BoolExpr *) clause)->args)
		{
			if (contime_match_time(root, crel, lfirst(lc), match))
			{
				match->exact = false;
				return true;
			}
		}
		return false;
	}

	if (value == NULL || !can_bind(root, crel, value))
		return false;
	match->instants = lappend(match->instants, value);
	match->arrays = lappend_int(match->arrays, array);
	Assert(list_length(match->instants) == list_length(match->arrays));
	match->exact = true;
	match->scalar = !array;
	return true;
}

/*
 * True if a value of this type can be looked up as a key: it has the key's type
 * or the same representation, or both are integers, which the scan converts.
 */
static bool
is_key_type(Oid key_type, Oid type)
{
	TypeCacheEntry *entry;

	key_type = getBaseType(key_type);
	type = getBaseType(type);
	if (key_type == type || (contime_is_integer(key_type) && contime_is_integer(type)))
		return true;
	entry = lookup_type_cache(key_type, TYPECACHE_BTREE_OPFAMILY);
	return !IsPolymorphicType(entry->btree_opintype) &&
		   IsBinaryCoercible(key_type, entry->btree_opintype) &&
		   IsBinaryCoercible(type, entry->btree_opintype);
}

/* True if the node is the i'th key column and the operator is the key's own equality. */
static bool
is_key_column(const ContimeRel *crel, int i, Node *node, Oid opno, Oid collation)
{
	TypeCacheEntry *entry;

	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (!contime_is_column(crel, node, crel->key_attno[i]) || collation != crel->key_collation[i])
		return false;
	entry = lookup_type_cache(getBaseType(crel->key_type[i]), TYPECACHE_BTREE_OPFAMILY);
	return is_equality(opno, entry->btree_opf);
}

Node *
contime_match_key(PlannerInfo *root, const ContimeRel *crel, int i, Node *clause, bool *array)
{
	Node *value = NULL;
	Oid type;

	Assert(i >= 0 && i < crel->nkeys);
	*array = IsA(clause, ScalarArrayOpExpr);
	if (*array)
	{
		ScalarArrayOpExpr *op = (ScalarArrayOpExpr *) clause;

		if (op->useOr && is_key_column(crel, i, linitial(op->args), op->opno, op->inputcollid))
			value = lsecond(op->args);
	}
	else if (IsA(clause, OpExpr) && list_length(((OpExpr *) clause)->args) == 2)
	{
		OpExpr *op = (OpExpr *) clause;

		if (is_key_column(crel, i, linitial(op->args), op->opno, op->inputcollid))
			value = lsecond(op->args);
		else if (is_key_column(crel, i, lsecond(op->args), op->opno, op->inputcollid))
			value = linitial(op->args);
	}
	if (value == NULL || !can_bind(root, crel, value))
		return NULL;
	type = *array ? get_base_element_type(exprType(value)) : exprType(value);
	return OidIsValid(type) && is_key_type(crel->key_type[i], type) ? value : NULL;
}

void
contime_match_clauses(PlannerInfo *root, const ContimeRel *crel, List *clauses, Match *match)
{
	ListCell *lc;

	memset(match, 0, sizeof(Match));
	foreach(lc, clauses)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);
		Match found = {0};

		/* Prefer a clause that gives one instant; otherwise the first that binds. */
		if (!match->scalar && contime_match_time(root, crel, (Node *) rinfo->clause, &found) &&
			(match->time_clause == NULL || found.scalar))
		{
			*match = found;
			match->time_clause = rinfo;
		}
	}

	Assert((match->time_clause != NULL) == (match->instants != NIL));
	match->by_key = true;
	for (int i = 0; i < crel->nkeys; i++)
	{
		foreach(lc, clauses)
		{
			RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);
			bool array;
			Node *value = contime_match_key(root, crel, i, (Node *) rinfo->clause, &array);

			if (value != NULL && (match->key[i] == NULL || match->key_array[i]))
			{
				match->key[i] = value;
				match->key_array[i] = array;
				match->key_clause[i] = rinfo;
			}
		}
		if (match->key[i] == NULL)
			match->by_key = false;
	}
}
