/*
 * fdw_lock.c
 *	  SELECT ... FOR UPDATE and the like: keys are locked before they are read.
 *
 *	  values of the key are bound ─► lock their lanes, in ascending order
 *	                              ─► READ COMMITTED: a new snapshot, and a new "now"
 *	                                 REPEATABLE READ and above: ERROR 40001 if a key has
 *	                                 committed events that the snapshot does not see
 *	                              ─► read the keys
 *
 * A continuous table has no stored row that could be locked, so the key is.  Locking
 * comes first, as in postgres_fdw, and the rows are read once, afterwards: they are what
 * the last transaction that had the lock left.  The locks exclude each other; they do not
 * hold up a transaction that records an event without asking for one.
 *
 * Not here: the locks themselves (mvcc/key_lock.c).  The planner sees to it that the key
 * is bound (plan/path.c).
 */
#include "postgres.h"

#include "sql/sql.h"
#include "sql/fdw.h"
#include "mvcc/mvcc.h"
#include "read/read.h"
#include "table/table.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "utils/snapmgr.h"

static int
find_lane(const ContimeTable *table, const Datum *values, const bool *nulls)
{
	ContimeKey key;
	int lane = -1;

	initStringInfo(&key.data);
	if (contime_encode_key(table, values, nulls, &key))
		lane = contime_key_lane(key.hash);
	pfree(key.data.data);
	return lane;
}

bool
contime_key_is_locked(const FdwScan *state, const ContimeTable *table, const Datum *values,
					  const bool *nulls)
{
	int lane = find_lane(table, values, nulls);

	return lane >= 0 && bms_is_member(lane, state->lanes);
}

/* Lock the lanes of all combinations of key values; those that are skipped are left out. */
static void
lock_lanes(FdwScan *state, const ContimeTable *table)
{
	Datum values[INDEX_MAX_KEYS];
	bool nulls[INDEX_MAX_KEYS] = {0};
	int lane;

	state->lanes = NULL;
	if (!contime_current_key(state, values))
		return;
	do
	{
		(void) contime_current_key(state, values);
		lane = find_lane(table, values, nulls);
		if (lane >= 0)
			state->lanes = bms_add_member(state->lanes, lane);
	} while (contime_next_key(state));
	for (lane = -1; (lane = bms_next_member(state->lanes, lane)) >= 0;)
		if (!contime_lock_lane(table->relid, lane, state->binding.lock_strength,
							   state->binding.lock_policy))
			state->lanes = bms_del_member(state->lanes, lane);
}

/* READ COMMITTED: what has been committed until the keys were locked is read. */
static void
refresh_scan(ForeignScanState *node, FdwScan *state, const ContimeTable *table)
{
	EState *estate = node->ss.ps.state;
	MemoryContext caller = MemoryContextSwitchTo(estate->es_query_cxt);

	contime_scan_end(state->scan);
	contime_lock_end(state);
	state->owner = CurrentResourceOwner;
	state->fresh = RegisterSnapshotOnOwner(GetLatestSnapshot(), state->owner);
	state->fresh->curcid = estate->es_snapshot->curcid;
	state->scan = contime_scan_begin(node->ss.ss_currentRelation, state->fresh, NULL);
	if (state->binding.ninstants == 0 && !state->travels)
	{
		if (table->time_type == TIMESTAMPTZOID)
			state->now = contime_now_after_wait();
		else if (state->binding.shows_instant)
			state->now = contime_newest_tick(node->ss.ss_currentRelation, state->fresh);
		contime_scan_look_until(state->scan, state->now);
	}
	MemoryContextSwitchTo(caller);
}

/*
 * ERROR 40001 if a locked key of a durable table has changed since the snapshot was taken.
 * Its events may be read from the event tables, so those of both snapshots are compared.
 */
static void
refuse_changed_keys(ForeignScanState *node, FdwScan *state, const ContimeTable *table)
{
	Relation rel = node->ss.ss_currentRelation;
	Datum values[INDEX_MAX_KEYS];
	bool nulls[INDEX_MAX_KEYS] = {0};
	Snapshot latest;
	ContimeEventReader before;
	ContimeEventReader after;
	ContimeEventSum sums[2];

	if (!contime_current_key(state, values))
		return;
	latest = RegisterSnapshot(GetLatestSnapshot());
	latest->curcid = node->ss.ps.state->es_snapshot->curcid;
	before = contime_sum_begin(rel, node->ss.ps.state->es_snapshot, false);
	after = contime_sum_begin(rel, latest, false);
	do
	{
		(void) contime_current_key(state, values);
		if (!contime_key_is_locked(state, table, values, nulls))
			continue;
		contime_sum_add(&before, values);
		contime_sum_add(&after, values);
	} while (contime_next_key(state));
	sums[0] = contime_sum_end(&before);
	sums[1] = contime_sum_end(&after);
	UnregisterSnapshot(latest);
	if (!contime_sum_equal(&sums[0], &sums[1]))
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("could not serialize access due to concurrent update")));
}

void
contime_lock_bound_keys(ForeignScanState *node, FdwScan *state)
{
	const ContimeTable *table = contime_table(node->ss.ss_currentRelation);

	lock_lanes(state, table);
	if (!IsolationUsesXactSnapshot())
		refresh_scan(node, state, table);
	else if (table->source)
		refuse_changed_keys(node, state, table);
	else
		contime_scan_refuse_unseen(state->scan);
}

void
contime_lock_end(FdwScan *state)
{
	if (state->fresh != NULL)
		UnregisterSnapshotFromOwner(state->fresh, state->owner);
	state->fresh = NULL;
}
