/*
 * estimate.c
 *	  Planner support functions: rows and costs of the SQL functions that read.
 *
 *	  at, since        one row, or a row for each key
 *	  history, events  the events of one key, or of all keys; of an unknown range,
 *	                   the share of them that core assumes for a range condition
 *	  series           the number of steps, if the arguments are known
 *
 * Sizes and costs are those of size.c, which path.c uses, too.  So a function
 * costs the same as the SELECT that does the same.
 */
#include "postgres.h"

#include "plan/plan.h"
#include "plan/planner.h"
#include "table/table.h"

#include <math.h>

#include "access/relation.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(contime_at_support);
PG_FUNCTION_INFO_V1(contime_range_support);
PG_FUNCTION_INFO_V1(contime_series_support);

/* Assumed instants of a series with unknown arguments; the function's ROWS says the same. */
#define ASSUMED_INSTANTS 1000

/* A function call whose rows or cost the planner asks for. */
typedef struct Call
{
	PlannerInfo *root; /* may be NULL */
	List *args;
	ContimeRel crel; /* only the fields that contime_estimate_table() sets */
	bool by_key;
	double keys; /* that the call reads */
} Call;

/* Estimates the rows that a call returns. */
typedef double (*CountRows)(const Call *call);

/* EXPLAIN must not reveal anything about a table that the user may not read. */
static bool
may_read(Oid relid)
{
	return pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
		   pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK;
}

/*
 * Measure the table whose row type the first argument has.  Returns false if that
 * is no continuous table, or not one that the user may read.
 */
static bool
measure_table(Call *call)
{
	Oid type = call->args ? getBaseType(exprType(linitial(call->args))) : InvalidOid;
	Oid relid = OidIsValid(type) ? get_typ_typrelid(type) : InvalidOid;
	Relation rel;

	if (!OidIsValid(relid) || !contime_is_table(relid) || !may_read(relid))
		return false;
	rel = try_relation_open(relid, AccessShareLock);
	if (rel == NULL)
		return false;
	contime_estimate_table(contime_table(rel), &call->crel);
	relation_close(rel, NoLock);
	call->keys = call->by_key ? 1 : call->crel.keys;
	return true;
}

/* Return an argument's value if it is a constant or can be estimated, as now() can; else NULL. */
static const Const *
estimate_argument(const Call *call, int argno)
{
	Node *arg = list_nth(call->args, argno);

	Assert(argno >= 0 && argno < list_length(call->args));
	if (call->root)
		arg = estimate_expression_value(call->root, arg);
	return IsA(arg, Const) ? (const Const *) arg : NULL;
}

static bool
is_null(const Const *known)
{
	return known && known->constisnull;
}

/*
 * Answer a request for rows or cost.  A call with nargs_by_key arguments or more has a
 * key argument, and reads only that key.  Returns NULL to leave the request to core.
 */
static Node *
answer_request(Node *request, int nargs_by_key, CountRows count_rows)
{
	SupportRequestRows *rows = (SupportRequestRows *) request;
	SupportRequestCost *cost = (SupportRequestCost *) request;
	bool is_rows = IsA(request, SupportRequestRows);
	Node *node;
	Call call = {0};
	double count;

	if (!is_rows && !IsA(request, SupportRequestCost))
		return NULL;
	node = is_rows ? rows->node : cost->node;
	if (node == NULL || !IsA(node, FuncExpr))
		return NULL;
	call.root = is_rows ? rows->root : cost->root;
	call.args = ((FuncExpr *) node)->args;
	call.by_key = list_length(call.args) >= nargs_by_key;
	if (!measure_table(&call))
		return NULL;
	count = count_rows(&call);
	if (is_rows)
		rows->rows = count;
	else
	{
		cost->startup = 0;
		cost->per_tuple = contime_access_cost(&call.crel, call.by_key, call.keys, count);
	}
	return request;
}

/* ---- at, since --------------------------------------------------------------- */

static double
count_slice(const Call *call)
{
	return call->keys;
}

Datum
contime_at_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(answer_request((Node *) PG_GETARG_POINTER(0), 3, count_slice));
}

/* ---- history, events: the range follows the table and the key ---------------- */

/* True if an argument is an open end of a range: NULL, or the instant `end`. */
static bool
is_open(const Const *known, int64 end)
{
	return is_null(known) || (known && DatumGetInt64(known->constvalue) == end);
}

static double
count_range(const Call *call)
{
	int from = call->by_key ? 2 : 1;
	const Const *lower = estimate_argument(call, from);
	const Const *upper = estimate_argument(call, from + 1);
	bool all_before = is_open(lower, PG_INT64_MIN);
	bool all_after = is_open(upper, PG_INT64_MAX);
	Selectivity share = DEFAULT_RANGE_INEQ_SEL;

	if (call->by_key && is_null(estimate_argument(call, 1)))
		return 0;
	if (lower && upper && !all_before && !all_after &&
		DatumGetInt64(lower->constvalue) >= DatumGetInt64(upper->constvalue))
		return 0;
	if (all_before && all_after)
		share = 1;
	else if (all_before || all_after)
		share = DEFAULT_INEQ_SEL;
	return call->keys * Max(call->crel.events * share, 1);
}

Datum
contime_range_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(answer_request((Node *) PG_GETARG_POINTER(0), 4, count_range));
}

/* ---- series: from, to, step -------------------------------------------------- */

/* Return an interval in microseconds; months have an average length. */
static double
count_microseconds(const Interval *interval)
{
	double days = interval->day + interval->month * DAYS_PER_YEAR / MONTHS_PER_YEAR;

	return interval->time + days * USECS_PER_DAY;
}

static double
count_steps(const Call *call)
{
	const Const *known[3];
	double span;
	double step;

	for (int i = 0; i < 3; i++)
		known[i] = estimate_argument(call, 2 + i);
	if (is_null(estimate_argument(call, 1)) || is_null(known[0]) || is_null(known[1]) ||
		is_null(known[2]))
		return 0;
	if (known[0] == NULL || known[1] == NULL || known[2] == NULL)
		return ASSUMED_INSTANTS;
	span =
		(double) DatumGetInt64(known[1]->constvalue) - (double) DatumGetInt64(known[0]->constvalue);
	step = known[2]->consttype == INTERVALOID
			   ? count_microseconds(DatumGetIntervalP(known[2]->constvalue))
			   : (double) DatumGetInt64(known[2]->constvalue);
	if (step == 0)
		return ASSUMED_INSTANTS;
	return Max(floor(span / step) + 1, 0);
}

Datum
contime_series_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(answer_request((Node *) PG_GETARG_POINTER(0), 5, count_steps));
}
