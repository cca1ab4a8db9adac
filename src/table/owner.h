/*
 * owner.h
 *	  User-made code runs as the owner of the continuous table: owner.c.
 */
#ifndef CONTIME_OWNER_H
#define CONTIME_OWNER_H

#include "postgres.h"

#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "parser/parse_node.h"

/* What may run between contime_switch_to_owner() and contime_switch_back(). */
typedef enum ContimeOwnerCode
{
	CONTIME_CODE_OF_CORE,		/* nothing that a user made: only the privileges matter */
	CONTIME_CODE_OF_USERS,		/* functions, casts, domains' checks, operators of users */
	CONTIME_CODE_BEING_DEFINED	/* the same, while the session's search_path resolves names */
} ContimeOwnerCode;

/* The identity and settings that were in force before a switch. */
typedef struct ContimeIdentity
{
	Oid			user;
	int			context;		/* as SetUserIdAndSecContext() takes it */
	int			settings;		/* nest level of settings; 0: there is none */
	bool		snapshot;		/* a snapshot was pushed */
} ContimeIdentity;

extern ContimeIdentity contime_switch_to_owner(Oid owner, ContimeOwnerCode code);
extern void contime_switch_back(const ContimeIdentity *before);

/* Is an object's OID one that initdb does not assign? */
extern bool contime_is_user_made(Oid object);

/* Can an expression run user-made code, be it by the types of its values? */
extern bool contime_runs_user_code(Node *expr);

/*
 * The calls of user-made code.  Each must be between the two functions above,
 * for the same owner; outside of them it is an error.
 */
extern Datum contime_owner_input(Oid owner, Oid type, int32 typmod, const char *text);
extern char *contime_owner_output(Oid owner, Oid type, Datum value);
extern Datum contime_owner_cast(Oid owner, Oid function, Datum value);
extern Node *contime_owner_transform(Oid owner, ParseState *pstate, Node *raw);
extern Node *contime_owner_coerce(Oid owner, Node *expr, Oid type, int32 typmod);
extern ExprState *contime_owner_prepare(Oid owner, Node *expr, EState *estate);
extern Datum contime_owner_evaluate(Oid owner, ExprState *state, ExprContext *econtext, bool *isnull);

/*
 * In a background process: a time limit for what is between begin and end, in
 * milliseconds.  An error 57014 ends what exceeds it, and FATAL what goes on
 * for some seconds after that.
 */
extern void contime_limit_begin(int ms);
extern void contime_limit_extend(int ms);
extern void contime_limit_end(void);
extern bool contime_limit_is_exceeded(void);

#endif							/* CONTIME_OWNER_H */
