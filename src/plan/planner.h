/*
 * planner.h
 *	  The planner's description of a continuous table in a query.
 *
 * Private to the room plan.  Everything here lives in the planner's memory.
 */
#ifndef CONTIME_PLAN_PLANNER_H
#define CONTIME_PLAN_PLANNER_H

#include "postgres.h"

#include "table/table.h"

#include "nodes/pathnodes.h"

/* How the instants of a table are bound (binding.c explains each value). */
typedef enum Verdict
{
	PENDING,
	READ_NOW,
	READ_TRAVEL,
	BOUND_VALUE,
	BOUND_JOIN,
	BOUND_SEMI,
	REFUSED,
	DEFERRED
} Verdict;

/* The reason for REFUSED; each has an error message of its own. */
typedef enum Reason
{
	REASON_CONDITION, /* no condition on the time column binds it */
	REASON_RANGE,     /* a condition is a range of the time column */
	REASON_BETWEEN,   /* likewise, with both ends */
	REASON_LATEST,    /* likewise, to find the latest row up to an instant */
	REASON_JOIN,      /* a join condition could bind it, but no join order allows that */
	REASON_SUBQUERY,  /* a subquery returns the unbound time column */
	REASON_NESTED,    /* a function or cursor returns the unbound time column */
	REASON_LOCK       /* FOR UPDATE or the like, and no condition binds the key */
} Reason;

/* A continuous table in the query level being planned. */
typedef struct ContimeRel
{
	RelOptInfo *rel;
	RelOptInfo *top;   /* rel, or its topmost ancestor if rel is a partition or UNION ALL arm */
	List *translation; /* AppendRelInfos from top down to rel; empty if both are the same */
	Oid relid;
	char *name;
	char *time_name;
	AttrNumber time_attno;
	Oid time_type;
	Oid time_family;   /* btree operator family of time_type */
	bool durable;      /* its events are rows of event tables */
	bool leader_only;  /* parallel workers must not read it: they must not run users' functions */
	bool from_heap;    /* the scan will read the event tables, as the cache is not usable */
	bool present;      /* it is in a policy, where contime.at does not apply */
	Bitmapset *moving; /* as pull_varattnos() gives them: the time, and columns with a rate */
	double keys;       /* estimated number of keys */
	double events;     /* estimated number of events of each key */
	int nkeys;
	AttrNumber key_attno[INDEX_MAX_KEYS];
	Oid key_type[INDEX_MAX_KEYS];
	Oid key_collation[INDEX_MAX_KEYS];
	LockClauseStrength lock_strength; /* of FOR UPDATE and the like; LCS_NONE: without */
	LockWaitPolicy lock_policy;
	Verdict verdict;
	Reason reason;
	List *candidates; /* RestrictInfos over top: join clauses that could bind the instants */
	Relids source;    /* BOUND_JOIN, BOUND_SEMI: the relations that give the instants */
	double slice;     /* estimated rows of one path, after the table's own filters */
} ContimeRel;

/* The ends of a range of the time column. */
typedef struct ContimeTimeRange
{
	const ContimeRel *crel;
	bool from;  /* a condition excludes what is earlier */
	bool until; /* a condition excludes what is later */
} ContimeTimeRange;

/* The bindings found in a list of clauses. */
typedef struct Match
{
	RestrictInfo *time_clause; /* binds the time column; NULL if no clause does */
	bool exact;                /* the rows read satisfy time_clause: no filter is needed */
	bool scalar;               /* time_clause gives exactly one instant */
	List *instants;            /* expressions of instants, or of arrays of instants */
	List *arrays;              /* IntList parallel to instants: 1 if it is an array */
	bool by_key;               /* every key column is bound */
	RestrictInfo *key_clause[INDEX_MAX_KEYS];
	Node *key[INDEX_MAX_KEYS]; /* a value, or an array of values; NULL if not bound */
	bool key_array[INDEX_MAX_KEYS];
} Match;

/* ---- binding.c --------------------------------------------------------------- */

/*
 * Give every continuous table of a query level a verdict.  A ContimeRel is left
 * in the fdw_private of each RelOptInfo whose callbacks are those of `ours`.
 */
extern void contime_analyse(PlannerInfo *root, const struct FdwRoutine *ours);

/* Raise the ERROR for crel->reason (FEATURE_NOT_SUPPORTED). */
extern void contime_refuse(const ContimeRel *crel);

/* ---- outer.c ----------------------------------------------------------------- */

/*
 * True if an outer query level may have a condition on the time column of a table that
 * this level shows to it.
 */
extern bool contime_outer_condition(PlannerInfo *root, const ContimeRel *crel);

/* ---- present.c --------------------------------------------------------------- */

/* True if the relation is in a policy, where contime.at does not apply. */
extern bool contime_is_present(const RangeTblEntry *rte);

/* ---- match.c ----------------------------------------------------------------- */

/* True if the expression is column attno of the table. */
extern bool contime_is_column(const ContimeRel *crel, Node *node, AttrNumber attno);

/*
 * Return the other side of a clause that is an equality of the i'th key
 * column, or NULL if the clause does not bind that column.  Sets *array to true
 * if the side is an array (= ANY), of which every element is a key value.
 */
extern Node *contime_match_key(PlannerInfo *root, const ContimeRel *crel, int i, Node *clause,
							   bool *array);

/* Set *match to the bindings in a list of RestrictInfos over crel->rel. */
extern void contime_match_clauses(PlannerInfo *root, const ContimeRel *crel, List *clauses,
								  Match *match);

/* True if the expression uses the table's time column or its whole row. */
extern bool contime_mentions_time(const ContimeRel *crel, Node *node);

/* Translate an expression over crel->top to crel->rel. */
extern Node *contime_translate(PlannerInfo *root, const ContimeRel *crel, Node *node);

/* True if the expression has a parameter that the client gives. `context` is not used. */
extern bool contime_has_external_param(Node *node, void *context);

/*
 * Note in a ContimeTimeRange, the context, how the expression compares the time
 * column by <, <=, >= or >.  Always returns false.
 */
extern bool contime_find_range(Node *node, void *context);

/*
 * If the clause limits the time column to certain instants, add these to
 * *match and return true.  An OR binds if all its arms bind, an AND if one arm
 * binds.  Both remain filters: match->exact is false.
 */
extern bool contime_match_time(PlannerInfo *root, const ContimeRel *crel, Node *clause,
							   Match *match);

/* ---- size.c ------------------------------------------------------------------ */

/*
 * Estimate the table's keys and events, and find out where a scan would read
 * them.  Sets keys, events, durable, leader_only and from_heap of *crel.  Locks
 * the event tables in AccessShareLock until the transaction ends.
 */
extern void contime_estimate_table(const ContimeTable *table, ContimeRel *crel);

/*
 * The cost of reading `rows` rows (one for each key and instant) of `keys` keys.
 * With by_key the keys are given, otherwise the scan visits all keys.
 */
extern Cost contime_access_cost(const ContimeRel *crel, bool by_key, double keys, double rows);

#endif /* CONTIME_PLAN_PLANNER_H */
