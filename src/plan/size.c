/*
 * size.c
 *	  Count the keys and events of a continuous table, and price a read.
 *
 * Keys and events in memory are counted.  For a durable table without a usable
 * cache they are estimated from the size and the statistics of its event tables.
 */
#include "postgres.h"

#include "plan/plan.h"
#include "plan/planner.h"
#include "durable/durable.h"
#include "read/read.h"
#include "table/table.h"

#include <math.h>

#include "access/relation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_statistic.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/plancat.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"

/* Costs of looking up one key, and of each row of a slice. */
#define LOOKUP_COST (3 * cpu_tuple_cost)
#define ROW_COST (2 * cpu_tuple_cost)

/* Costs of a query on an event table, and of each event that it returns. */
#define QUERY_COST (60 * cpu_tuple_cost)
#define EVENT_COST (2 * cpu_tuple_cost)

/* Keys assumed for an empty table: a cached plan is still used when the table has rows. */
#define ASSUMED_KEYS 1000

/* Estimate the rows of an event table and its partitions. The caller has locked it. */
static double
count_rows(Oid relid)
{
	double rows = 0;
	ListCell *lc;

	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		Relation rel = relation_open(lfirst_oid(lc), NoLock);
		BlockNumber pages;
		double tuples = 0;
		double visible;

		Assert(CheckRelationLockedByMe(rel, AccessShareLock, true));
		/* An unlogged table has no file on a standby; reading it raises an ERROR there. */
		if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind) &&
			(RelationIsPermanent(rel) || !RecoveryInProgress()))
			estimate_rel_size(rel, NULL, &pages, &tuples, &visible);
		rows += tuples;
		relation_close(rel, NoLock);
	}
	return rows;
}

/* Estimate the distinct values of an expression over an event table with `rows` rows. */
static double
count_distinct(Oid relid, Node *expr, double rows)
{
	double distinct = DEFAULT_NUM_DISTINCT;
	HeapTuple tuple;

	expr = strip_implicit_coercions(expr);
	if (!IsA(expr, Var))
		return distinct;
	tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relid),
							Int16GetDatum(((Var *) expr)->varattno),
							BoolGetDatum(get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE));
	if (HeapTupleIsValid(tuple))
	{
		float4 stored = ((Form_pg_statistic) GETSTRUCT(tuple))->stadistinct;

		if (stored != 0)
			distinct = stored > 0 ? stored : -stored * rows;
		ReleaseSysCache(tuple);
	}
	Assert(distinct >= 0);
	return distinct;
}

void
contime_estimate_table(const ContimeTable *table, ContimeRel *crel)
{
	double events;

	/*
	 * count_rows() needs these locks.  While they are held, no process replaces the
	 * generation whose state is tested below.
	 */
	for (const ContimeSource *source = table->source; source; source = source->next)
		LockRelationOid(source->events, AccessShareLock);
	crel->durable = table->source != NULL;
	crel->leader_only = crel->durable || table->calls;
	crel->from_heap = crel->durable && !contime_cache_is_ready(table->relid);
	if (crel->from_heap)
	{
		crel->keys = events = 0;
		for (const ContimeSource *source = table->source; source; source = source->next)
		{
			double rows = count_rows(source->events);
			double keys = 1;

			for (int i = 0; i < table->nkeys; i++)
				keys *= count_distinct(source->events, source->expr[table->key_attno[i] - 1], rows);
			crel->keys = Max(crel->keys, Min(keys, rows));
			events += rows;
		}
	}
	else
		contime_count(table->relid, &crel->keys, &events);
	if (crel->keys < 1)
		crel->keys = events = ASSUMED_KEYS;
	crel->events = Max(events / crel->keys, 1);
	Assert(crel->keys >= 1 && crel->events >= 1);
}

Cost
contime_access_cost(const ContimeRel *crel, bool by_key, double keys, double rows)
{
	Cost cost = LOOKUP_COST + rows * (by_key ? LOOKUP_COST : ROW_COST);
	double events = keys * crel->events;

	Assert(keys >= 0 && rows >= 0 && crel->events >= 1);
	if (crel->from_heap)
		cost += (by_key ? keys : 1) * QUERY_COST + events * EVENT_COST;
	if (crel->from_heap && !by_key)
		cost += 2 * cpu_operator_cost * events * log2(Max(events, 2));
	return cost;
}
