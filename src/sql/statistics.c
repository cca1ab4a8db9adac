/*
 * statistics.c
 *	  The counters of tables and workers: contime.tables, contime.workers.
 */
#include "postgres.h"

#include "sql/sql.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"

#include "catalog/pg_authid_d.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(contime_table_stats);
PG_FUNCTION_INFO_V1(contime_worker_stats);

/* Copies of a store's batches of recent events. */
typedef struct Batches
{
	CtBatch *batch;
	int n;
	int capacity;
} Batches;

/*
 * Copy a store's batches and counters under the partition's lock.  Memory cannot be
 * allocated under the lock: if the batches do not fit, repeat with a larger array.
 */
static void
copy_batches(const CtArena *arena, int partition, CtRef *store, Batches *batches, CtStats *stats)
{
	bool complete;

	do
	{
		const CtBatch *found;
		CtRef ref = 0;

		complete = true;
		batches->n = 0;
		contime_lock(partition, LW_SHARED);
		if (*store != 0)
		{
			ct_store_stats(arena, *store, stats);
			for (found = ct_store_first_batch(arena, *store, &ref); found && complete;
				 found = ct_store_next_batch(arena, &ref))
			{
				complete = batches->n < batches->capacity;
				if (complete)
					batches->batch[batches->n++] = *found;
			}
		}
		contime_unlock(partition);
		Assert(batches->n <= batches->capacity);
		if (!complete)
		{
			batches->capacity *= 2;
			batches->batch = repalloc_huge(batches->batch, batches->capacity * sizeof(CtBatch));
		}
	} while (!complete);
}

/* Set *sum to the counters of all partitions. Of recent events, count those the view sees. */
static void
sum_stats(ContimeGeneration *g, ContimeView *view, CtStats *sum)
{
	Batches batches = {.capacity = 64};

	memset(sum, 0, sizeof(*sum));
	batches.batch = palloc(batches.capacity * sizeof(CtBatch));
	for (int p = 0; p < contime_shared->partitions; p++)
	{
		CtArena arena = contime_arena(p);
		CtStats stats = {0};

		copy_batches(&arena, p, &g->store[p], &batches, &stats);
		for (int i = 0; i < batches.n; i++)
		{
			Assert(stats.recent >= batches.batch[i].count);
			/*
			 * A recent event is in a batch until its transaction has ended and
			 * the worker has removed the batch.  The view sees all others.
			 */
			stats.recent -= batches.batch[i].count;
			if (contime_view_sees(view, batches.batch[i].top, batches.batch[i].xid))
				sum->recent += batches.batch[i].count;
		}
		sum->keys += stats.keys;
		sum->recent += stats.recent;
		sum->young += stats.young;
		sum->frozen += stats.frozen;
		sum->duplicates += stats.duplicates;
		sum->conflicts += stats.conflicts;
		sum->late += stats.late;
		sum->folded += stats.folded;
		sum->bytes += stats.bytes;
	}
	pfree(batches.batch);
}

/* True if the user may read the table, a column of it, or all statistics. */
static bool
may_see_counters(Oid relid)
{
	bool missing = false; /* dropped meanwhile */

	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
		   pg_class_aclcheck_ext(relid, GetUserId(), ACL_SELECT, &missing) == ACLCHECK_OK ||
		   (!missing && pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT, ACLMASK_ANY) ==
							ACLCHECK_OK);
}

/* Names of cache states in contime.tables. */
static const char *const cache_states[] = {
	[CONTIME_CACHE_WANTED] = "wanted",
	[CONTIME_CACHE_LOADING] = "loading",
	[CONTIME_CACHE_TRIMMING] = "loading",
	[CONTIME_CACHE_READY] = "ready",
	[CONTIME_CACHE_PARTIAL] = "partial",
	[CONTIME_CACHE_BROKEN] = "broken",
	[CONTIME_CACHE_REFUSED] = "refused",
};

StaticAssertDecl(lengthof(cache_states) == CONTIME_CACHE_STATES, "each state has a name");

/* Rows that the load of a cache has read, of how many, and how many a second; or NULLs. */
static void
show_progress(ContimeGeneration *g, Datum *values, bool *nulls)
{
	ContimeProgress *progress = &g->cache.progress;
	TimestampTz began = (TimestampTz) pg_atomic_read_u64(&progress->began);
	uint64 done = pg_atomic_read_u64(&progress->done);
	double seconds = (GetCurrentTimestamp() - began) / (double) USECS_PER_SEC;

	Assert(contime_holds_no_lock());
	nulls[0] = nulls[1] = nulls[2] = began == 0;
	values[0] = UInt64GetDatum(done);
	values[1] = UInt64GetDatum(pg_atomic_read_u64(&progress->total));
	values[2] = Int64GetDatum(began == 0 || seconds <= 0 ? 0 : (int64) (done / seconds));
}

Datum
contime_table_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ContimeView *view;
	List *shown = NIL;

	contime_require_running();
	InitMaterializedSRF(fcinfo, 0);
	view = contime_view_begin(GetActiveSnapshot());
	for (int i = 0; i < contime_shared->highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];
		ContimeCacheState cache = contime_cache_state(g);
		Datum values[19];
		bool nulls[19] = {0};
		CtStats stats;
		int64 retained = contime_retained(g);

		if (!contime_generation_is_live(g) || g->database != MyDatabaseId ||
			!may_see_counters(g->relation) || contime_generation(g->relation) != g)
			continue;
		sum_stats(g, view, &stats);
		if (stats.bytes == 0 && cache == CONTIME_CACHE_NONE)
			continue;

		/*
		 * If a TRUNCATE commits during this loop, the table's next generation is
		 * valid, too.  Show the table once.
		 */
		if (list_member_oid(shown, g->relation))
			continue;
		shown = lappend_oid(shown, g->relation);
		values[0] = ObjectIdGetDatum(g->relation);
		values[1] = UInt64GetDatum(stats.keys);
		values[2] = UInt64GetDatum(stats.recent);
		values[3] = UInt64GetDatum(stats.young);
		values[4] = UInt64GetDatum(stats.frozen);
		values[5] = UInt64GetDatum(stats.duplicates);
		values[6] = UInt64GetDatum(stats.conflicts);
		values[7] = UInt64GetDatum(stats.late);
		values[8] = UInt64GetDatum(pg_atomic_read_u64(&g->too_late));
		values[9] = UInt64GetDatum(stats.folded);
		values[10] = UInt64GetDatum(stats.bytes);
		values[11] = TimestampTzGetDatum(g->since);
		values[12] = TimestampTzGetDatum(retained);
		nulls[12] = g->retain.ticks || retained == PG_INT64_MIN;
		values[13] = Int64GetDatum(retained);
		nulls[13] = !g->retain.ticks || retained == PG_INT64_MIN;
		nulls[14] = cache == CONTIME_CACHE_NONE;
		if (!nulls[14])
			values[14] = CStringGetTextDatum(cache_states[cache]);
		values[15] = UInt64GetDatum(pg_atomic_read_u64(&g->cache.bad_rows));
		nulls[15] = cache == CONTIME_CACHE_NONE;
		show_progress(g, values + 16, nulls + 16);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	contime_view_end(view);
	return (Datum) 0;
}

/* contime.workers: a row for each partition; no rows unless the user may read all statistics. */
Datum
contime_worker_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	contime_require_running();
	InitMaterializedSRF(fcinfo, 0);
	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS))
		return (Datum) 0;
	for (int p = 0; p < contime_shared->partitions; p++)
	{
		ContimePartition *part = &contime_shared->partition[p];
		CtArena arena = contime_arena(p);
		Datum values[6];
		bool nulls[6] = {0};

		values[0] = Int32GetDatum(p);
		values[1] = Int32GetDatum(part->pid);
		nulls[1] = part->pid == 0;
		values[2] = UInt64GetDatum(part->entered);
		values[3] = UInt64GetDatum(part->dropped);
		values[4] = UInt64GetDatum(ct_arena_used(&arena));
		values[5] = TimestampTzGetDatum(part->last_pass);
		nulls[5] = part->last_pass == 0;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
