/*
 * link.c
 *	  Add encoded rows to a table's stores, as recent or frozen events.
 *
 *	  rows ─ by partition, in short holds of its lock ─► recent events, with a label
 *	                                                     or frozen events, without a label
 *
 * The backend takes a partition's lock once for up to ROWS_PER_LOCK rows.  Once
 * linked, the events follow the visibility rules of heap tuples, so commit and
 * rollback have nothing to do.  If memory is exhausted after some rows, the ERROR
 * aborts the (sub)transaction, and the partition's worker drops the linked events.
 *
 * Called by writers (write/ingest.c), and for caches by capture and by loaders
 * (durable/).
 */
#include "postgres.h"

#include "store/store.h"
#include "base/base.h"
#include "shared/shared.h"
#include "table/table.h"

#include "miscadmin.h"
#include "utils/memutils.h"

/* Limit of the rows linked under one hold of a lock. */
#define ROWS_PER_LOCK 256

/* How often a store is prepared for rows before an error is raised. */
#define MOST_PREPARED 100

/* The result of one hold of the lock. */
typedef enum LinkResult
{
	LINK_DONE,       /* these rows are linked, or ignored as too late */
	LINK_NOT_READY,  /* the store cannot take rows of this description yet; none is linked */
	LINK_TOO_LATE,   /* row next - 1 is older than the table retains; none is linked */
	LINK_OVER_LIMIT, /* a memory limit would be exceeded; none is linked */
	LINK_FAILED      /* the engine could not link all of them */
} LinkResult;

/* The rows of one partition. */
typedef struct Run
{
	ContimeRows *rows;
	ContimeGeneration *g;
	int partition;
	const CtLabel *label;
	int next;           /* the first row that is not linked or ignored yet */
	ContimeLevel limit; /* of LINK_OVER_LIMIT */
	CtStatus status;    /* of LINK_FAILED */
} Run;

static void CONTIME_NORETURN
report_failure(const Run *run)
{
	Assert(run->status != CT_OK && contime_holds_no_lock());
	if (run->status == CT_NO_MEMORY)
		contime_limits_report(run->rows->table, run->g, CONTIME_UNLIMITED);
	contime_report(run->status, run->rows->table);
}

/*
 * Create the store for the first rows (set *first), or change its schema because a
 * column was added.  ERROR if that is not possible.
 */
static void
prepare_store(Run *run, bool *first)
{
	int conflict = -1;

	run->status =
		contime_stored_prepare(run->rows->table, run->g, run->partition, first, &conflict);
	if (conflict >= 0)
		contime_report_conflict(run->rows->table, conflict);
	if (run->status == CT_OK)
		return;
	contime_wake_worker(run->partition);
	report_failure(run);
}

void
contime_link_prepare(const ContimeTable *table, ContimeGeneration *g, int partition)
{
	ContimeRows rows = {.table = table};
	Run run = {.rows = &rows, .g = g, .partition = partition};
	bool first;

	if (g->store[partition] == 0)
		prepare_store(&run, &first);
}

/*
 * Add rows as recent events, or (label NULL) as frozen events, which every snapshot
 * sees.  Under the partition's lock.
 */
static CtStatus
add_rows(CtArena *arena, CtRef store, const CtLoad *load, uint32 count, const CtLabel *label)
{
	CtWriter writer;
	uint32 done;

	if (label)
		return ct_store_add_all(arena, store, load, count, label, &done);
	writer = ct_writer(arena, store);
	return ct_store_load(&writer, load, count, &done);
}

/* Return the bytes that rows take in the store at least. */
static Size
estimate_rows_bytes(const CtLoad *load, uint32 count, const CtLabel *label)
{
	Size head = label ? offsetof(CtEvent, record) : 0;
	Size bytes = 0;

	for (uint32 k = 0; k < count; k++)
		bytes += ct_alloc_size(head + load[k].change.payload_bytes);
	return bytes;
}

/* Add rows, and charge their memory to the table's accounts. */
static LinkResult
add_charged_rows(Run *run, const CtLoad *load, uint32 count)
{
	ContimeGeneration *g = run->g;
	CtArena arena = contime_arena(run->partition);
	Size before = contime_charge_begin(g, run->partition);

	Assert(count <= ROWS_PER_LOCK && g->store[run->partition] != 0);
	/* (The budget of a cache is checked elsewhere, before its rows are loaded.) */
	arena.keep = contime_cache_state(g) == CONTIME_CACHE_NONE ? contime_budget_keep(g) : 0;
	run->limit = contime_charge_ahead(g, estimate_rows_bytes(load, count, run->label), &before);
	if (run->limit == CONTIME_UNLIMITED)
		run->status = add_rows(&arena, g->store[run->partition], load, count, run->label);
	contime_charge_end(g, run->partition, before);
	if (run->limit != CONTIME_UNLIMITED)
		return LINK_OVER_LIMIT;
	return run->status == CT_OK ? LINK_DONE : LINK_FAILED;
}

/* Link up to ROWS_PER_LOCK rows of the partition, from run->next on, and advance it. */
static LinkResult
link_some(Run *run)
{
	const ContimeTable *table = run->rows->table;
	ContimeGeneration *g = run->g;
	CtArena arena = contime_arena(run->partition);
	CtLoad load[ROWS_PER_LOCK];
	int place[ROWS_PER_LOCK]; /* their indexes in run->rows */
	uint32 count = 0;
	uint32 kept = 0;
	LinkResult result = LINK_DONE;
	int64 retained;
	int i;

	for (i = run->next; i < run->rows->count && count < ROWS_PER_LOCK; i++)
	{
		if (contime_partition_of(run->rows->row[i].load.hash) != run->partition)
			continue;
		load[count] = *contime_rows_load(run->rows, i);
		place[count++] = i;
	}

	contime_lock(run->partition, LW_EXCLUSIVE);
	retained = contime_retained(g);
	if (g->store[run->partition] == 0 ||
		!contime_stored_is_ready(table, ct_store_schema(&arena, g->store[run->partition])))
		result = LINK_NOT_READY;
	START_CRIT_SECTION();
	for (uint32 k = 0; k < count && result == LINK_DONE; k++)
	{
		if (load[k].change.time >= retained)
			load[kept++] = load[k];
		else if (!table->ignores_late)
		{
			result = LINK_TOO_LATE;
			i = place[k] + 1;
		}
	}
	if (result == LINK_DONE)
		result = add_charged_rows(run, load, kept);
	END_CRIT_SECTION();
	contime_unlock(run->partition);
	if (result == LINK_NOT_READY || result == LINK_OVER_LIMIT)
		return result;
	run->next = i;
	if (kept < count && result != LINK_TOO_LATE)
		pg_atomic_fetch_add_u64(&g->too_late, count - kept);
	return result;
}

/* Request an agent for the table's database, as the table now holds data. */
static void
request_agent(ContimeGeneration *g)
{
	g->wants_agent = true;
	contime_set_latch(&contime_shared->launcher_latch);
}

/* Link all rows of one partition, then wake its worker. */
static void
link_partition(Run *run)
{
	const ContimeTable *table = run->rows->table;
	int prepared = 0;
	int waited_ms = 0;

	while (run->next < run->rows->count)
	{
		bool first = false;

		CHECK_FOR_INTERRUPTS();
		switch (link_some(run))
		{
			case LINK_DONE:
				break;
			case LINK_NOT_READY:
				if (prepared++ > MOST_PREPARED)
					elog(ERROR, "continuous table \"%s\" does not get ready", table->name);
				prepare_store(run, &first);
				if (first)
					request_agent(run->g);
				break;
			case LINK_TOO_LATE:
				Assert(run->next > 0 && !table->ignores_late);
				contime_wake_worker(run->partition);
				contime_report_too_late(table, run->g,
										run->rows->row[run->next - 1].load.change.time);
			case LINK_OVER_LIMIT:
				Assert(run->limit < CONTIME_UNLIMITED);
				if (table->source == NULL && contime_limits_wait(run->g, run->limit, &waited_ms))
					break;
				contime_wake_worker(run->partition);
				contime_limits_report(table, run->g, run->limit);
			case LINK_FAILED:
				contime_wake_worker(run->partition);
				report_failure(run);
		}
	}
	contime_wake_worker(run->partition);
}

/* Count bad rows, and log the first ones of a cache. */
static void
count_bad_rows(const ContimeRows *rows, ContimeGeneration *g)
{
	uint64 before = pg_atomic_fetch_add_u64(&g->cache.bad_rows, rows->bad);
	ListCell *lc;

	foreach(lc, rows->shown)
	{
		const ContimeBadRow *bad = lfirst(lc);

		if (before++ >= CONTIME_BAD_ROWS_SHOWN)
			return;
		ereport(LOG_SERVER_ONLY,
				(errmsg("row %s cannot be an event of continuous table \"%s\": %s", bad->what,
						rows->table->name, bad->reason),
				 bad->detail ? errdetail_internal("%s", bad->detail) : 0,
				 rows->table->ignores_bad_rows
					 ? errhint("It is ignored.")
					 : errhint("Reads that meet it raise an error; other keys are read from memory.")));
	}
}

void
contime_link_note_bad(ContimeRows *rows, ContimeGeneration *g)
{
	Assert(contime_holds_no_lock());
	if (rows->bad == 0 && rows->nleft_out == 0 && !rows->long_keys)
		return;
	if (rows->bad > 0 && !rows->uncounted)
		count_bad_rows(rows, g);
	if (rows->long_keys)
		contime_oversize_note(g, NULL);
	for (int i = 0; i < rows->nleft_out; i++)
		contime_oversize_note(g, &rows->left_out[i]);
	contime_rows_forget_bad(rows);
}

void
contime_link(ContimeRows *rows, ContimeGeneration *g, const CtLabel *label)
{
	bool present[CONTIME_MAX_WORKERS] = {0};
	MemoryContext caller;

	Assert(contime_holds_no_lock());
	Assert(g->relation == rows->table->relid && g->database == MyDatabaseId);
	Assert(label ? label->xid >= label->top : rows->table->source != NULL);
	contime_link_note_bad(rows, g);
	caller = MemoryContextSwitchTo(rows->scratch);
	for (int i = 0; i < rows->count; i++)
		present[contime_partition_of(rows->row[i].load.hash)] = true;
	for (int p = 0; p < contime_shared->partitions; p++)
	{
		Run run = {.rows = rows, .g = g, .partition = p, .label = label};

		if (!present[p])
			continue;
		link_partition(&run);
		contime_pause("linked", MyDatabaseId);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(rows->scratch);
}
