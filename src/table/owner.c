/*
 * owner.c
 *	  User-made code runs as the owner of the continuous table.
 *
 *	  switch_to_owner ─► input, output, cast, transform, coerce, prepare, evaluate ─► switch_back
 *
 * User-made code may run when contime derives a description, reads an event table,
 * captures its rows or sends a notice: a domain's check in an input function, a cast,
 * a function or an operator in a source.  The process may belong to any role: a
 * superuser who reads the table, a writer of an event table, an agent or a loader.  So
 * such code runs as the owner of the continuous table, as an index expression runs as
 * the owner of its table.  Code that core runs for the statement itself, such as the
 * defaults and the input of an INSERT, runs as the caller.
 *
 * All such calls in contime go through this file.
 *
 * Invariants, between contime_switch_to_owner() and contime_switch_back(), with
 * CONTIME_CODE_OF_USERS:
 *   1. The current user is the owner, in a security-restricted operation: the
 *      code cannot take another role, make temporary objects, or defer a
 *      trigger to a time when another user is current.
 *   2. The search_path is "pg_catalog, pg_temp".  Settings that the code makes
 *      end with the switch.
 *   3. A snapshot is active.  One is pushed only if there is none, so that a
 *      statement that takes no snapshot, such as LOCK, takes none.
 *   4. In a background process a time limit is in force.
 * The calls below check invariant 1 in every build.
 *
 * If a transaction or subtransaction fails, its abort undoes all of this.
 *
 * Operator classes and base types need no switch: only superusers can create them.
 *
 * Not here: the privileges that the owner must have (source.c).
 */
#include "postgres.h"

#include "base/compat.h"
#include "table/table.h"

#include "catalog/namespace.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parser.h"
#include "postmaster/bgworker.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

int
contime_source_path_begin(void)
{
	return contime_enter_catalog_path();
}

void
contime_source_path_end(int path)
{
	contime_leave_catalog_path(path);
}

/* ---- the switch -------------------------------------------------------------- */

ContimeIdentity
contime_switch_to_owner(Oid owner, ContimeOwnerCode code)
{
	ContimeIdentity before = {0};

	Assert(OidIsValid(owner));
	Assert(contime_holds_no_lock());
	GetUserIdAndSecContext(&before.user, &before.context);
	SetUserIdAndSecContext(owner, before.context | SECURITY_LOCAL_USERID_CHANGE |
									  SECURITY_RESTRICTED_OPERATION);
	if (code == CONTIME_CODE_OF_CORE)
		return before;

	before.settings = NewGUCNestLevel();
	if (code == CONTIME_CODE_OF_USERS)
		(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	before.snapshot = !ActiveSnapshotSet();
	if (before.snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	Assert(ActiveSnapshotSet()); /* invariant 3 */
	return before;
}

void
contime_switch_back(const ContimeIdentity *before)
{
	Assert(InSecurityRestrictedOperation() && InLocalUserIdChange()); /* invariant 1 */
	Assert(!before->snapshot || before->settings > 0);
	if (before->snapshot)
		PopActiveSnapshot();
	if (before->settings > 0)
		AtEOXact_GUC(false, before->settings);
	SetUserIdAndSecContext(before->user, before->context);
}

static void
check_switched(Oid owner)
{
	Assert(contime_holds_no_lock());
	if (GetUserId() != owner || !InSecurityRestrictedOperation() || !InLocalUserIdChange())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("user-made code cannot run with these privileges"),
						errdetail("It runs as the owner of its continuous table only.")));
}

/* ---- user-made code ---------------------------------------------------------- */

bool
contime_is_user_made(Oid object)
{
	return object >= FirstNormalObjectId;
}

static bool
is_user_made_function(Oid function, void *context)
{
	return contime_is_user_made(function);
}

/*
 * True if an expression contains user-made code.  Types count, too: array_in() of an
 * array of a domain runs the domain's check, and a function of core may call a
 * function that a user made for a type.
 */
static bool
find_user_code(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_user_made_function, context))
		return true;
	switch (nodeTag(node))
	{
		case T_List:
			break;
		default:
			if (contime_is_user_made(exprType(node)))
				return true;
	}
	return expression_tree_walker(node, find_user_code, context);
}

bool
contime_runs_user_code(Node *expr)
{
	return find_user_code(expr, NULL);
}

/* ---- the calls --------------------------------------------------------------- */

Datum
contime_owner_input(Oid owner, Oid type, int32 typmod, const char *text)
{
	Oid input;
	Oid param;

	check_switched(owner);
	getTypeInputInfo(type, &input, &param);
	return OidInputFunctionCall(input, unconstify(char *, text), param, typmod);
}

char *
contime_owner_output(Oid owner, Oid type, Datum value)
{
	Oid output;
	bool varlena;

	check_switched(owner);
	getTypeOutputInfo(type, &output, &varlena);
	return OidOutputFunctionCall(output, value);
}

Datum
contime_owner_cast(Oid owner, Oid function, Datum value)
{
	check_switched(owner);
	return OidFunctionCall1(function, value);
}

/* (This calls the input functions of literals' types.) */
Node *
contime_owner_transform(Oid owner, ParseState *pstate, Node *raw)
{
	Node *expr;

	check_switched(owner);
	expr = transformExpr(pstate, raw, EXPR_KIND_GENERATED_COLUMN);
	assign_expr_collations(pstate, expr);
	return expr;
}

/* Coerce as for an assignment.  Return NULL if there is no such cast. */
Node *
contime_owner_coerce(Oid owner, Node *expr, Oid type, int32 typmod)
{
	Node *coerced;

	check_switched(owner);
	coerced = coerce_to_target_type(NULL, expr, exprType(expr), type, typmod, COERCION_ASSIGNMENT,
									COERCE_IMPLICIT_CAST, -1);
	if (coerced)
		assign_expr_collations(NULL, coerced);
	return coerced;
}

/* (This evaluates immutable functions of constants.) */
ExprState *
contime_owner_prepare(Oid owner, Node *expr, EState *estate)
{
	check_switched(owner);
	return ExecPrepareExpr((Expr *) expr, estate);
}

Datum
contime_owner_evaluate(Oid owner, ExprState *state, ExprContext *econtext, bool *isnull)
{
	check_switched(owner);
	return ExecEvalExprSwitchContext(state, econtext, isnull);
}

/* ---- the time limit ---------------------------------------------------------- */

/*
 * Code that catches the cancellation is cancelled again after LIMIT_REPEAT_MS, at most
 * MOST_CANCELS times; then the process ends.
 */
#define LIMIT_REPEAT_MS 1000
#define MOST_CANCELS 3

static TimeoutId limit = MAX_TIMEOUTS; /* not registered yet */
static volatile sig_atomic_t cancels = 0;

static void
enforce_limit(void)
{
	if (++cancels > MOST_CANCELS)
		ProcDiePending = true;
	else
		QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

void
contime_limit_extend(int ms)
{
	Assert(limit != MAX_TIMEOUTS && ms > 0);
	enable_timeout_every(limit, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms),
						 LIMIT_REPEAT_MS);
}

void
contime_limit_begin(int ms)
{
	Assert(MyBgworkerEntry != NULL); /* a background process */
	if (limit == MAX_TIMEOUTS)
		limit = RegisterTimeout(USER_TIMEOUT, enforce_limit);
	cancels = 0;
	contime_limit_extend(ms);
}

void
contime_limit_end(void)
{
	if (limit == MAX_TIMEOUTS)
		return;
	disable_timeout(limit, false);
	QueryCancelPending = false;
}

bool
contime_limit_is_exceeded(void)
{
	return cancels > 0;
}
