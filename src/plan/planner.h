/*
 * planner.h
 *	  What is found out about a continuous table while a query is planned.
 *
 * Private to the room plan.
 */
#ifndef CONTIME_PLAN_PLANNER_H
#define CONTIME_PLAN_PLANNER_H

#include "postgres.h"

#include "table/table.h"

#include "nodes/pathnodes.h"

typedef enum Verdict
{
	PENDING,
	READ_NOW,
	BOUND_VALUE,
	BOUND_JOIN,
	BOUND_SEMI,
	REFUSED,
	DEFERRED
} Verdict;

/* Why a table is refused. */
typedef enum Reason
{
	REASON_CONDITION, /* the time column is in another condition */
	REASON_RANGE,     /* in a range condition */
	REASON_JOIN,      /* joined, but nothing can bind it first */
	REASON_SUBQUERY,  /* escapes from a subquery */
	REASON_NESTED     /* escapes from a function, a cursor, ... */
} Reason;

/* A continuous table in the query level being planned. */
typedef struct ContimeRel
{
	RelOptInfo *rel;
	RelOptInfo *top;   /* rel, or the ancestor that is joined */
	List *translation; /* AppendRelInfos from top down to rel */
	Oid relid;
	char *name;
	char *time_name;
	AttrNumber time_attno;
	Oid time_type;
	Oid time_family;  /* btree operator family of time_type */
	bool durable;     /* its events are those of event tables, */
	bool leader_only; /* parallel workers must not read it: they may not run user-made code */
	bool from_heap;   /* and are read there */
	bool present;     /* contime.at does not apply */
	double keys;      /* it has, and events of each: estimates */
	double events;
	int nkeys;
	AttrNumber key_attno[INDEX_MAX_KEYS];
	Oid key_type[INDEX_MAX_KEYS];
	Oid key_collation[INDEX_MAX_KEYS];
	Verdict verdict;
	Reason reason;
	List *candidates; /* RestrictInfos, in terms of top, that bind */
	Relids source;    /* BOUND_JOIN, BOUND_SEMI: what binds it */
	double slice;     /* keys, after local filters */
} ContimeRel;

/* The binding that a list of clauses gives. */
typedef struct Match
{
	RestrictInfo *time_clause; /* NULL: none binds the time */
	bool exact;                /* it need not be checked again */
	bool scalar;               /* one instant */
	List *instants;            /* expressions */
	List *arrays;              /* IntList beside it: is it an array? */
	bool by_key;               /* every key column is bound */
	RestrictInfo *key_clause[INDEX_MAX_KEYS];
	Node *key[INDEX_MAX_KEYS]; /* values, or arrays of them */
	bool key_array[INDEX_MAX_KEYS];
} Match;

/* ---- binding.c --------------------------------------------------------------- */

/* Analyse a query level: every table of our wrapper gets a ContimeRel as its fdw_private. */
extern void contime_analyse(PlannerInfo *root, const struct FdwRoutine *ours);

/* Raise the ERROR for crel->reason. */
extern void contime_refuse(const ContimeRel *crel);

/* ---- present.c --------------------------------------------------------------- */

/*
 * True if the entry is in a policy, to which contime.at does not apply
 * (present.c).
 */
extern bool contime_is_present(const RangeTblEntry *rte);

/* ---- match.c ----------------------------------------------------------------- */

/* True if the expression is this column of the table. */
extern bool contime_is_column(const ContimeRel *crel, Node *node, AttrNumber attno);

/*
 * If the clause is an equality of the i'th key column, its other side: a
 * value, or an array of them.
 */
extern Node *contime_match_key(PlannerInfo *root, const ContimeRel *crel, int i, Node *clause,
							   bool *array);

/* Find what these clauses, RestrictInfos in terms of the table, bind. */
extern void contime_match_clauses(PlannerInfo *root, const ContimeRel *crel, List *clauses,
								  Match *match);

/* True if an expression uses the time column or the whole row. */
extern bool contime_mentions_time(const ContimeRel *crel, Node *node);

/* An expression over the parent that is joined, in terms of the table. */
extern Node *contime_in_terms_of(PlannerInfo *root, const ContimeRel *crel, Node *node);

extern bool contime_has_external_param(Node *node, void *context);

/* True if an expression compares the time column by <, <=, >= or >. */
extern bool contime_has_range(Node *node, void *context);

/*
 * If the clause says which instants the time column may have, add them to
 * the match.  An OR does if all its arms do, an AND if one of its arms does;
 * both then stay as filters.
 */
extern bool contime_match_time(PlannerInfo *root, const ContimeRel *crel, Node *clause,
							   Match *match);

/* ---- size.c ------------------------------------------------------------------ */

/* Set the estimated numbers of keys and events of a table. */
extern void contime_measure(const ContimeTable *table, ContimeRel *crel);

/* The cost of reading so many rows of so many keys. */
extern Cost contime_access_cost(const ContimeRel *crel, bool by_key, double keys, double rows);

#endif /* CONTIME_PLAN_PLANNER_H */
