/*
 * stored.c
 *	  The stored schema: the table description with which a store's events were written.
 *
 *	  table's description ─┬─ fits ───────────────► the store can be written and read
 *	                       ├─ has more columns ───► they are appended to the stored schema
 *	                       ├─ differs in an attribute whose definition was rolled back
 *	                       │                     ─► the attribute is redefined
 *	                       └─ differs otherwise ──► error: the table holds data
 *
 * A transaction may add a column, or change one of a table without events, write
 * events, and be rolled back.  The store still has the transaction's schema.  So each
 * attribute of it has the id of the transaction that defined it (`added`), until that
 * transaction is known to have committed; so have the order and the identity of events
 * (`options_added`), which only a store without events can change.
 *
 * Invariants:
 *	  1. Before a writer writes, every attribute of its table is resolved: `added` is
 *	     0 or a transaction of the writer's own.
 *	  2. So if the transaction `added` was rolled back, only events of transactions
 *	     that were rolled back set the attribute.  Once the worker has dropped them,
 *	     the attribute can be redefined.
 *	  3. A transaction defines attributes only while it holds the table exclusively,
 *	     so none does while a writer or a reader examines the schema.
 *
 * A reader takes no value of an attribute that was rolled back from memory, and does
 * not wait until it is redefined.
 *
 * Called by link.c (writers), ddl/check.c (DDL), read/visit.c (readers) and
 * exhausted.c (events that were rolled back).
 *
 * Not here: the comparison of a description with a schema (table/conflict.c), the
 * engine's copy of a schema (engine/store.c).
 */
#include "postgres.h"

#include "store/store.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "table/table.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* How long a writer waits for the worker to drop events that were rolled back. */
#define DROPPED_TIMEOUT_MS 10000

StaticAssertDecl(CT_MAX_ATTRS <= 64, "a mask of attributes is one word");

static inline uint64
get_attr_bit(int attr)
{
	Assert(attr >= 0 && attr < CT_MAX_ATTRS);
	return UINT64CONST(1) << attr;
}

static bool
is_own(uint64 xid)
{
	return TransactionIdIsCurrentTransactionId((TransactionId) xid);
}

/* True if an attribute affects the store even if no event sets it: no state, or with a rate. */
static bool
is_active(const CtAttr *attr)
{
	return attr->role != CONTIME_STATE || attr->rate_attr >= 0;
}

bool
contime_stored_is_ready(const ContimeTable *table, const CtSchema *stored)
{
	if (stored->nattrs < table->schema->nattrs || contime_schema_conflict(table, stored, 0) >= 0)
		return false;
	if (stored->options_added != 0 && !is_own(stored->options_added))
		return false;
	for (int i = 0; i < stored->nattrs; i++)
		if (stored->attr[i].added != 0 && !is_own(stored->attr[i].added) &&
			(i < table->schema->nattrs || is_active(&stored->attr[i])))
			return false;
	return true;
}

/* ---- the schema of a store --------------------------------------------------- */

/* The schema of a store, as it was when it was copied. */
typedef struct Shape
{
	CtSchema *stored;     /* a private copy; NULL: there is no store */
	bool empty;           /* the store has no event */
	uint64 aborted;       /* a bit for each attribute whose definition was rolled back */
	bool options_aborted; /* so was the order or the identity of events */
} Shape;

static bool
store_is_empty(const CtArena *arena, CtRef store)
{
	CtStats stats;

	ct_store_stats(arena, store, &stats);
	return stats.keys == 0 && stats.recent == 0;
}

static void
copy_stored(Shape *shape, const ContimeGeneration *g, int partition)
{
	CtArena arena = contime_arena(partition);
	uint32 capacity = 0;
	uint32 size;

	shape->stored = NULL;
	shape->empty = false;
	do
	{
		if (capacity > 0)
			shape->stored = palloc(capacity);
		size = 0;
		contime_lock(partition, LW_SHARED);
		if (g->store[partition] != 0)
		{
			const CtSchema *stored = ct_store_schema(&arena, g->store[partition]);

			size = stored->size;
			if (size <= capacity)
				memcpy(shape->stored, stored, size);
			shape->empty = store_is_empty(&arena, g->store[partition]);
		}
		contime_unlock(partition);
	} while (size > capacity && (capacity = size));
}

/*
 * True if the transaction `*added`, which defined something of a store, was rolled back.
 * Clear `*added` if it has committed.  If the commit log no longer reaches back to the
 * transaction, treat it as rolled back: had it committed, the table's description would
 * agree with the store.
 */
static bool
resolve_definer(uint64 *added)
{
	ContimeXactStatus xact_status;

	if (*added == 0 || is_own(*added))
		return false;
	xact_status = contime_xact_status(*added, *added);
	if (xact_status == CONTIME_XACT_COMMITTED)
		*added = 0;
	return xact_status == CONTIME_XACT_ABORTED || xact_status == CONTIME_XACT_TRUNCATED;
}

/*
 * Set shape->aborted to the attributes whose definition was rolled back, and
 * shape->options_aborted; forget the transactions of definitions that have committed.
 */
static void
resolve_stored(Shape *shape)
{
	shape->aborted = 0;
	shape->options_aborted = shape->stored && resolve_definer(&shape->stored->options_added);
	for (int i = 0; shape->stored && i < shape->stored->nattrs; i++)
		if (resolve_definer(&shape->stored->attr[i].added))
			shape->aborted |= get_attr_bit(i);
}

/* Return the first attribute that prevents the table from using the store, or -1. */
static int
find_stored_conflict(const ContimeTable *table, const Shape *shape)
{
	const CtSchema *schema = table->schema;
	int n;

	if (shape->stored == NULL || shape->empty)
		return -1;

	/* For a moving attribute the store's events lack the values that they would have had. */
	n = Min(schema->nattrs, shape->stored->nattrs);
	for (int i = 0; i < n; i++)
		if ((shape->aborted & get_attr_bit(i)) != 0 && !table->attr[i].dropped &&
			is_active(&schema->attr[i]))
			return i;
	return contime_schema_conflict(table, shape->stored, shape->aborted);
}

/* ---- events that were rolled back -------------------------------------------- */

typedef struct Labels
{
	CtLabel *label;
	int n;
	int capacity;
} Labels;

/* Copy the labels of all batches.  If they exceed the capacity, return false; n is their number. */
static bool
copy_labels(Labels *labels, const ContimeGeneration *g, int partition)
{
	CtArena arena = contime_arena(partition);
	CtRef ref = 0;

	labels->n = 0;
	contime_lock(partition, LW_SHARED);
	if (g->store[partition] != 0)
		for (const CtBatch *batch = ct_store_first_batch(&arena, g->store[partition], &ref); batch;
			 batch = ct_store_next_batch(&arena, &ref), labels->n++)
			if (labels->n < labels->capacity)
				labels->label[labels->n] = (CtLabel){.top = batch->top, .xid = batch->xid};
	contime_unlock(partition);
	return labels->n <= labels->capacity;
}

bool
contime_stored_has_aborted(const ContimeGeneration *g, int partition)
{
	Labels labels = {.capacity = 64};
	bool found = false;

	labels.label = palloc(labels.capacity * sizeof(CtLabel));
	while (!copy_labels(&labels, g, partition))
	{
		labels.capacity = labels.n * 2;
		labels.label = repalloc_huge(labels.label, labels.capacity * sizeof(CtLabel));
	}
	for (int i = 0; i < labels.n && !found; i++)
		found =
			contime_xact_status(labels.label[i].top, labels.label[i].xid) == CONTIME_XACT_ABORTED;
	pfree(labels.label);
	return found;
}

/*
 * Wait until the worker has dropped all events that were rolled back.  Return false if
 * there were none.  ERROR 55P03 after DROPPED_TIMEOUT_MS.
 */
static bool
wait_for_drops(const ContimeTable *table, const ContimeGeneration *g, int partition)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), DROPPED_TIMEOUT_MS);
	bool waited = false;

	for (; contime_stored_has_aborted(g, partition); waited = true)
	{
		CHECK_FOR_INTERRUPTS();
		if (GetCurrentTimestamp() > until)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("events of a transaction that was rolled back are still in continuous table \"%s\"",
							table->name),
					 errdetail("The worker of partition %d has not dropped them for %d seconds.",
							   partition, DROPPED_TIMEOUT_MS / 1000),
					 errhint("Look for a stopped process among contime.workers, and try again.")));
		contime_wake_worker(partition);
		pg_usleep(1000);
	}
	return waited;
}

/*
 * Copy a store's schema and return the attribute that conflicts, or -1.  If events that
 * were rolled back may be the cause, wait for their drop and look again.
 */
static int
examine_stored(Shape *shape, const ContimeTable *table, const ContimeGeneration *g, int partition)
{
	int conflict;

	Assert(g->relation == table->relid && contime_holds_no_lock());
	copy_stored(shape, g, partition);
	resolve_stored(shape);
	conflict = find_stored_conflict(table, shape);
	if ((conflict >= 0 || shape->aborted != 0) && wait_for_drops(table, g, partition))
	{
		copy_stored(shape, g, partition);
		resolve_stored(shape);
		conflict = find_stored_conflict(table, shape);
	}
	return conflict;
}

int
contime_stored_check(const ContimeTable *table, const ContimeGeneration *g, int partition)
{
	CtArena arena = contime_arena(partition);
	Shape shape;
	bool fits;

	contime_lock(partition, LW_SHARED);
	fits = g->store[partition] == 0 ||
		   contime_schema_conflict(table, ct_store_schema(&arena, g->store[partition]), 0) < 0;
	contime_unlock(partition);
	return fits ? -1 : examine_stored(&shape, table, g, partition);
}

int
contime_stored_usable(const ContimeTable *table, const ContimeGeneration *g, int partition,
					  int *usable)
{
	Shape shape;
	int conflict;

	copy_stored(&shape, g, partition);
	resolve_stored(&shape);
	*usable = shape.stored ? contime_schema_conflict(table, shape.stored, 0) : -1;
	if (*usable < 0 || *usable > CT_MAX_ATTRS)
		*usable = CT_MAX_ATTRS;
	conflict = find_stored_conflict(table, &shape);
	return conflict >= CT_MAX_ATTRS && shape.options_aborted ? -1 : conflict;
}

/* ---- a new schema ------------------------------------------------------------ */

/* Return the own transaction that defined an attribute of a table, or 0 if another one did. */
static uint64
find_definer(const ContimeTable *table, int attr)
{
	HeapTuple tuple =
		SearchSysCache2(ATTNUM, ObjectIdGetDatum(table->relid), Int16GetDatum(attr + 1));
	TransactionId xmin = InvalidTransactionId;

	Assert(IsTransactionState());
	if (HeapTupleIsValid(tuple))
	{
		xmin = HeapTupleHeaderGetXmin(tuple->t_data);
		ReleaseSysCache(tuple);
	}
	return TransactionIdIsNormal(xmin) && TransactionIdIsCurrentTransactionId(xmin)
			   ? contime_full_xid(xmin)
			   : 0;
}

/* True if an attribute of the table agrees with the stored one. */
static bool
attr_fits_stored(const ContimeTable *table, const CtSchema *stored, int attr)
{
	return contime_schema_conflict(table, stored, ~get_attr_bit(attr)) != attr;
}

/* Set attribute `index` of a schema to that of another one, and append its initial value. */
static void
append_attr(CtSchema *schema, int index, const CtSchema *from, uint64 added)
{
	CtAttr *attr = &schema->attr[index];

	Assert(index < schema->nattrs && index < from->nattrs);
	*attr = from->attr[index];
	attr->added = added;
	memcpy((char *) schema + schema->size, (const char *) from + attr->initial_offset,
		   attr->initial_bytes);
	attr->initial_offset = schema->size;
	schema->size += attr->initial_bytes;
	schema->has_rates |= attr->rate_attr >= 0;
}

/*
 * Return the new schema of a store: the stored one and the attributes that the table
 * has in addition.  Attributes that were rolled back, or all of them if the store has
 * no event, are taken from the table.  (The others are not, because the table's
 * description lacks the rules of dropped columns.)
 */
static CtSchema *
merge_stored(const ContimeTable *table, const Shape *shape)
{
	const CtSchema *stored = shape->stored;
	const CtSchema *wide = table->schema;
	int nstored = stored ? stored->nattrs : 0;
	int nattrs = Max(wide->nattrs, nstored);
	Size head = offsetof(CtSchema, attr) + nattrs * sizeof(CtAttr);
	CtSchema *merged = palloc0(head + wide->size + (stored ? stored->size : 0));

	Assert(nattrs <= CT_MAX_ATTRS);
	*merged = *wide;
	merged->nattrs = nattrs;
	merged->size = head;
	merged->has_rates = false;
	merged->options_added = stored && !shape->empty && !shape->options_aborted
								? stored->options_added
								: contime_options_xid(table->relid);
	for (int i = 0; i < nattrs; i++)
	{
		bool anew = i >= nstored || shape->empty || (shape->aborted & get_attr_bit(i)) != 0;

		if (i < wide->nattrs && anew && i < nstored && !shape->empty &&
			attr_fits_stored(table, stored, i))
			append_attr(merged, i, stored, find_definer(table, i));
		else if (i < wide->nattrs && anew)
			append_attr(merged, i, wide, find_definer(table, i));
		else if (i >= wide->nattrs && anew && is_active(&stored->attr[i]))
			merged->attr[i] = (CtAttr){.rate_attr = -1, .added = stored->attr[i].added};
		else
			append_attr(merged, i, stored, stored->attr[i].added);
	}
	Assert(merged->size <= head + wide->size + (stored ? stored->size : 0));
	return merged;
}

/*
 * Set the schema of a store, unless the store has changed since it was examined: then
 * the caller tries again.  Under the partition's lock.
 */
static CtStatus
redefine_store(ContimeGeneration *g, int partition, const Shape *shape, const CtSchema *merged)
{
	CtArena arena = contime_arena(partition);
	const CtSchema *stored = ct_store_schema(&arena, g->store[partition]);

	Assert(contime_holds_lock(partition, LW_EXCLUSIVE));
	if (shape->stored == NULL || shape->empty != store_is_empty(&arena, g->store[partition]) ||
		stored->nattrs != shape->stored->nattrs || stored->size != shape->stored->size)
		return CT_OK;
	return ct_store_redefine(&arena, g->store[partition], merged);
}

/*
 * True if a new store must be marked as one that may lack keys.  (A broken cache may
 * have been a partial one, and some scans may still read it.)
 */
static bool
may_lack_keys(ContimeGeneration *g)
{
	ContimeCacheState state = contime_cache_state(g);

	return state == CONTIME_CACHE_TRIMMING || state == CONTIME_CACHE_PARTIAL ||
		   state == CONTIME_CACHE_BROKEN;
}

CtStatus
contime_stored_prepare(const ContimeTable *table, ContimeGeneration *g, int partition, bool *first,
					   int *conflict)
{
	CtArena arena = contime_arena(partition);
	CtStatus status = CT_OK;
	CtSchema *merged;
	Shape shape;
	Size before;

	*first = false;
	*conflict = examine_stored(&shape, table, g, partition);
	if (*conflict >= 0)
		return CT_OK;
	merged = merge_stored(table, &shape);

	contime_lock(partition, LW_EXCLUSIVE);
	START_CRIT_SECTION();
	before = contime_charge_begin(g, partition);
	if (g->store[partition] != 0)
		status = redefine_store(g, partition, &shape, merged);
	else if (shape.stored == NULL)
	{
		CtRef store;

		*first = true;
		status = ct_store_create(&arena, merged, &store);
		if (status == CT_OK && table->source)
			ct_store_keep(&arena, store);
		if (status == CT_OK && may_lack_keys(g))
			ct_store_make_partial(&arena, store, g->partial.newest_row);
		if (status == CT_OK)
			g->store[partition] = store;
	}
	contime_charge_end(g, partition, before);
	END_CRIT_SECTION();
	contime_unlock(partition);
	return status;
}
