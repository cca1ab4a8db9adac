/*
 * ingest.c
 *	  A row becomes a recent event.
 *
 *	  row ─ check, encode ─► buffer of this process ─ flush ─► recent events
 *
 * A row is checked and encoded when it comes, in this process's memory.  A
 * flush takes each partition's lock once for a run of rows and links them,
 * labelled with the transaction and command.  From then on they follow the
 * visibility rules of heap tuples, so commit and abort have nothing to do.
 *
 * When memory runs out in the middle of a flush, the ERROR aborts the
 * (sub)transaction, and the worker drops what had been linked.
 *
 * Used by both faces: INSERT and COPY (fdw.c), event(), snapshot() and
 * finish() (sql/args.c).
 */
#include "postgres.h"

#include "write/write.h"
#include "base/base.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"

/* Rows linked under one hold of a lock. */
#define ROWS_PER_LOCK 256

/* A row encoded; its key and payload are in the buffer. */
typedef struct Row
{
	CtLoad		load;
	Size		key_offset;
	Size		payload_offset;
} Row;

struct ContimeIngest
{
	Relation	rel;
	const ContimeTable *table;
	MemoryContext context;		/* everything below */
	MemoryContext scratch;		/* of one row */
	ContimeKey	key;
	StringInfoData buffer;
	Row		   *rows;
	int			nrows;
	int			capacity;
	bool		leaves_out;		/* rows that are too large: */
	bool		long_keys;		/* there were some whose keys are, */
	uint64	   *left_out;		/* and of the others the keys' hashes */
	int			nleft_out;
};

ContimeIngest *
contime_ingest_begin(Relation rel)
{
	MemoryContext context;
	MemoryContext caller;
	ContimeIngest *ingest;

	context = AllocSetContextCreate(CurrentMemoryContext, "contime ingest", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	ingest = palloc0(sizeof(ContimeIngest));
	ingest->rel = rel;
	ingest->table = contime_table(rel);
	ingest->context = context;
	ingest->scratch = AllocSetContextCreate(context, "contime row", ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&ingest->key.data);
	initStringInfo(&ingest->buffer);
	ingest->capacity = 64;
	ingest->rows = palloc(ingest->capacity * sizeof(Row));
	MemoryContextSwitchTo(caller);
	return ingest;
}

void
contime_ingest_end(ContimeIngest *ingest)
{
	contime_ingest_flush(ingest);
	MemoryContextDelete(ingest->context);
}

/* ---- one row --------------------------------------------------------------------------- */

static int64
row_instant(const ContimeTable *table, const Datum *values, const bool *isnull, bool stamp)
{
	int			index = table->time_attno - 1;
	int64		instant;

	if (isnull[index])
	{
		if (table->time_type == TIMESTAMPTZOID && stamp)
			return contime_stamp();
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("null value in time column \"%s\" of continuous table \"%s\"",
						get_attname(table->relid, table->time_attno, false), table->name),
				 table->time_type == INT8OID
				 ? errhint("A logical clock does not advance by itself: give the event's tick.")
				 : errhint("COPY takes no clock reading: give every event its time.")));
	}
	instant = DatumGetInt64(values[index]);
	if (table->time_type == TIMESTAMPTZOID && TIMESTAMP_NOT_FINITE(instant))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("time of an event cannot be infinite"),
				 errhint("Give the instant from which the event holds, or NULL for now.")));
	return instant;
}

static void
row_key(ContimeIngest *ingest, const Datum *values, const bool *isnull)
{
	const ContimeTable *table = ingest->table;
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	for (int i = 0; i < table->nkeys; i++)
	{
		int			index = table->key_attno[i] - 1;

		keys[i] = values[index];
		nulls[i] = isnull[index];
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("null value in key column \"%s\" of continuous table \"%s\"",
							get_attname(table->relid, index + 1, false), table->name),
					 errhint("Every event belongs to a key.")));
	}
	(void) contime_encode_key(table, keys, nulls, &ingest->key);
}

static void pg_attribute_noreturn()
report_not_finite(const ContimeTable *table, const ContimeAttr *attr, CtRule rule)
{
	char	   *name = get_attname(table->relid, attr->attno, false);

	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 rule == CT_RULE_SUM
			 ? errmsg("column \"%s\" of continuous table \"%s\" cannot sum NaN or infinity", name, table->name)
			 : errmsg("column \"%s\" of continuous table \"%s\" cannot hold NaN or infinity", name, table->name),
			 errhint("Use NULL for a value that is not known.")));
}

static void pg_attribute_noreturn()
report_too_long(const ContimeTable *table, const ContimeAttr *attr)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("value for column \"%s\" of continuous table \"%s\" has more than %d digits",
					get_attname(table->relid, attr->attno, false), table->name, CONTIME_NARROW_DIGITS),
			 errdetail("The column's scale keeps %d of them after the point.", attr->scale),
			 errhint("Use a smaller scale, or numeric(p,s) with up to %d digits.", CONTIME_MAX_DIGITS)));
}

/* What computed columns refuse, and what a snapshot must respect. */
static void
check_value(const ContimeTable *table, int index, CtKind kind, Datum value)
{
	const ContimeAttr *attr = &table->attr[index];
	const CtAttr *ct = &table->schema->attr[index];
	bool		ordered = ct->number == CT_NUMBER_NUMERIC &&
		(ct->rule == CT_RULE_MIN || ct->rule == CT_RULE_MAX);
	CtWide		number;

	if (!ordered && !contime_is_finite(ct, attr, value))
		report_not_finite(table, attr, ct->rule);
	if (kind != CT_SNAPSHOT || !(ct->has_lower || ct->has_upper))
		return;
	number = contime_number(ct, attr, value);
	if (ct_wide_cmp(number, ct->lower) < 0 || ct_wide_cmp(number, ct->upper) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("snapshot of column \"%s\" of continuous table \"%s\" is outside its bounds",
						get_attname(table->relid, attr->attno, false), table->name),
				 errhint("Give a value between the column's lower and upper.")));
}

/*
 * Which attributes a row touches: an event its non-null ones and those it
 * makes NULL, a snapshot all or those named, a finish none; the event id goes
 * with each.
 */
static void
row_masks(const ContimeTable *table, CtKind kind, const bool *isnull,
		  uint64 set_null, uint64 columns, CtChange *change)
{
	for (int i = 0; i < table->natts; i++)
	{
		uint64		bit = UINT64CONST(1) << i;
		bool		touched;

		if (!table->attr[i].state || table->attr[i].dropped)
			continue;
		if (kind == CT_SNAPSHOT)
			touched = columns == 0 || (columns & bit) != 0;
		else
			touched = kind == CT_EVENT && (!isnull[i] || (set_null & bit) != 0);
		if (touched || (table->attr[i].event_id && !isnull[i]))
		{
			change->set |= bit;
			if (isnull[i])
				change->null |= bit;
		}
	}
}

/* Append a row's event to the buffer. */
static void
encode_row(ContimeIngest *ingest, CtKind kind, const Datum *values, const bool *isnull,
		   uint64 set_null, uint64 columns, bool stamp, bool retracts)
{
	const ContimeTable *table = ingest->table;
	MemoryContext caller;
	CtChange   *change;
	Row		   *row;

	if (ingest->nrows >= ingest->capacity)
	{
		ingest->capacity *= 2;
		ingest->rows = repalloc_huge(ingest->rows, ingest->capacity * sizeof(Row));
	}
	row = &ingest->rows[ingest->nrows];
	memset(row, 0, sizeof(Row));

	caller = MemoryContextSwitchTo(ingest->scratch);
	change = &row->load.change;
	change->kind = kind;
	change->retracts = retracts;
	change->time = row_instant(table, values, isnull, stamp);
	row_key(ingest, values, isnull);
	row->load.hash = ingest->key.hash;
	row->load.key_bytes = ingest->key.data.len;
	row->key_offset = ingest->buffer.len;
	appendBinaryStringInfo(&ingest->buffer, ingest->key.data.data, ingest->key.data.len);

	row_masks(table, kind, isnull, set_null, columns, change);
	row->payload_offset = ingest->buffer.len;
	for (int i = 0; i < table->natts; i++)
	{
		uint64		bit = UINT64CONST(1) << i;

		if ((change->set & ~change->null & bit) == 0)
			continue;
		check_value(table, i, kind, values[i]);
		if (!contime_encode_image(&table->attr[i], &table->schema->attr[i], values[i],
								  &ingest->buffer, true))
			report_too_long(table, &table->attr[i]);
	}
	change->payload_bytes = ingest->buffer.len - row->payload_offset;
	MemoryContextSwitchTo(caller);
	MemoryContextReset(ingest->scratch);

	ingest->nrows++;
}

void
contime_ingest_row(ContimeIngest *ingest, CtKind kind,
				   const Datum *values, const bool *isnull,
				   uint64 set_null, uint64 columns, bool stamp)
{
	encode_row(ingest, kind, values, isnull, set_null, columns, stamp, false);
	if (ingest->buffer.len > 1024 * 1024 || ingest->nrows >= 4096)
		contime_ingest_flush(ingest);
}

/* ---- rows that go elsewhere ---------------------------------------------------------------- */

void
contime_ingest_leave_out(ContimeIngest *ingest)
{
	ingest->leaves_out = true;
}

/* Forget the row encoded last, but for its key's hash. */
static void
leave_out(ContimeIngest *ingest)
{
	const Row  *row = &ingest->rows[--ingest->nrows];

	ingest->buffer.len = row->key_offset;
	if (row->load.key_bytes > CT_MAX_KEY_BYTES)
	{
		ingest->long_keys = true;
		return;
	}
	if (ingest->nleft_out > 0 && ingest->left_out[ingest->nleft_out - 1] == row->load.hash)
		return;
	if (ingest->nleft_out % 64 == 0)
	{
		Size		bytes = (ingest->nleft_out + 64) * sizeof(uint64);

		ingest->left_out = ingest->left_out ? repalloc_huge(ingest->left_out, bytes)
			: MemoryContextAlloc(ingest->context, bytes);
	}
	ingest->left_out[ingest->nleft_out++] = row->load.hash;
}

bool
contime_ingest_encode(ContimeIngest *ingest, CtKind kind, uint64 columns,
					  const Datum *values, const bool *isnull, bool retracts)
{
	const CtLoad *load;

	encode_row(ingest, kind, values, isnull, 0, columns, false, retracts);
	load = &ingest->rows[ingest->nrows - 1].load;
	if (!ct_is_too_large(load->key_bytes, load->change.payload_bytes))
		return true;
	if (!ingest->leaves_out)
		contime_report(CT_LIMIT, ingest->table);
	leave_out(ingest);
	return false;
}

void
contime_ingest_cancel(ContimeIngest *ingest)
{
	const CtLoad *a;
	const CtLoad *b;

	if (ingest->nrows < 2)
		return;
	a = contime_ingest_load(ingest, ingest->nrows - 2);
	b = contime_ingest_load(ingest, ingest->nrows - 1);
	if (a->hash == b->hash && a->key_bytes == b->key_bytes &&
		memcmp(a->key, b->key, a->key_bytes) == 0 &&
		a->change.time == b->change.time && a->change.kind == b->change.kind &&
		a->change.set == b->change.set && a->change.null == b->change.null &&
		a->change.payload_bytes == b->change.payload_bytes &&
		memcmp(a->change.payload, b->change.payload, a->change.payload_bytes) == 0)
		ingest->nrows -= 2;
}

const CtLoad *
contime_ingest_load(ContimeIngest *ingest, int i)
{
	Row		   *row = &ingest->rows[i];

	if (i >= ingest->nrows)
		return NULL;
	row->load.key = ingest->buffer.data + row->key_offset;
	row->load.change.payload = ingest->buffer.data + row->payload_offset;
	return &row->load;
}

void
contime_ingest_reset(ContimeIngest *ingest)
{
	ingest->nrows = 0;
	resetStringInfo(&ingest->buffer);
}

/* ---- flushing --------------------------------------------------------------------------- */

/* The table's generation to write to, made when this is its first event. */
static ContimeGeneration *
ingest_generation(ContimeIngest *ingest)
{
	ContimeGeneration *g = contime_generation(ingest->table->relid);
	uint64		xid = 0;

	if (g)
		return g;
	if (ingest->rel->rd_createSubid != InvalidSubTransactionId)
		xid = U64FromFullTransactionId(GetCurrentFullTransactionId());
	return contime_generation_create(ingest->table->relid, xid);
}

/* Rows could not be linked; CT_NO_MEMORY: for want of memory, or by the limit of a level. */
static void pg_attribute_noreturn()
report_failure(const ContimeTable *table, ContimeGeneration *g, CtStatus status, ContimeLevel level)
{
	if (status == CT_NO_MEMORY)
		contime_limits_report(table, g, level);
	contime_report(status, table);
}

void
contime_ingest_prepare(const ContimeTable *table, ContimeGeneration *g, int partition)
{
	bool		first;
	int			conflict = -1;
	CtStatus	status = CT_OK;

	if (g->store[partition] == 0)
		status = contime_shape_prepare(table, g, partition, &first, &conflict);
	if (conflict >= 0)
		contime_report_conflict(table, conflict);
	if (status != CT_OK)
		report_failure(table, g, status, CONTIME_UNLIMITED);
}

/* As recent events or (label NULL) at once as events that everyone sees.  Under the lock. */
static CtStatus
add_rows(CtArena *arena, CtRef store, const CtLoad *load, uint32 count, const CtLabel *label)
{
	CtWriter	writer;
	uint32		done;

	if (label)
		return ct_store_add_all(arena, store, load, count, label, &done);
	writer = ct_writer(arena, store);
	return ct_store_load(&writer, load, count, &done);
}

/* What rows take in the store, at least. */
static Size
rows_bytes(const CtLoad *load, uint32 count, const CtLabel *label)
{
	Size		head = label ? offsetof(CtEvent, record) : 0;
	Size		bytes = 0;

	for (uint32 k = 0; k < count; k++)
		bytes += ct_alloc_size(head + load[k].change.payload_bytes);
	return bytes;
}

/*
 * add_rows(), charged to the table's accounts.  CT_NO_MEMORY with a level in
 * *refused: its limit is in the way, and nothing has been added.
 */
static CtStatus
add_charged_rows(ContimeGeneration *g, int partition, const CtLoad *load, uint32 count,
				 const CtLabel *label, ContimeLevel *refused)
{
	CtArena		arena = contime_arena(partition);
	Size		before = contime_charge_begin(g, partition);
	CtStatus	status = CT_NO_MEMORY;

	/* What a cache may take has been decided before. */
	arena.keep = contime_cache_state(g) == CONTIME_CACHE_NONE ? contime_budget_keep(g) : 0;
	*refused = contime_charge_ahead(g, rows_bytes(load, count, label), &before);
	if (*refused == CONTIME_UNLIMITED)
		status = add_rows(&arena, g->store[partition], load, count, label);
	contime_charge_end(g, partition, before);
	return status;
}

/*
 * Link up to ROWS_PER_LOCK rows of a partition from *next on; *ready says
 * whether the store could take them.  CT_TOO_LATE: the one before *next is.
 * CT_NO_MEMORY with a level in *refused: none has been linked.
 */
static CtStatus
link_rows(ContimeIngest *ingest, ContimeGeneration *g, int partition,
		  const CtLabel *label, int *next, bool *ready, ContimeLevel *refused)
{
	CtArena		arena = contime_arena(partition);
	CtLoad		load[ROWS_PER_LOCK];
	int			place[ROWS_PER_LOCK];	/* among the rows */
	uint32		count = 0;
	uint32		kept = 0;
	CtStatus	status = CT_OK;
	int64		retained;
	int			i;

	*refused = CONTIME_UNLIMITED;
	for (i = *next; i < ingest->nrows && count < ROWS_PER_LOCK; i++)
	{
		const Row  *row = &ingest->rows[i];

		if (contime_partition_of(row->load.hash) != partition)
			continue;
		load[count] = row->load;
		load[count].key = ingest->buffer.data + row->key_offset;
		load[count].change.payload = ingest->buffer.data + row->payload_offset;
		place[count++] = i;
	}

	contime_lock(partition, LW_EXCLUSIVE);
	retained = contime_retained(g);
	*ready = g->store[partition] != 0 &&
		contime_shape_is_ready(ingest->table, ct_store_schema(&arena, g->store[partition]));
	START_CRIT_SECTION();
	for (uint32 k = 0; k < count && status == CT_OK; k++)
	{
		if (load[k].change.time >= retained)
			load[kept++] = load[k];
		else if (!ingest->table->ignores_late)
		{
			status = CT_TOO_LATE;
			i = place[k] + 1;
		}
	}
	if (*ready && status == CT_OK)
		status = add_charged_rows(g, partition, load, kept, label, refused);
	END_CRIT_SECTION();
	contime_unlock(partition);
	if (*ready && *refused == CONTIME_UNLIMITED)
	{
		*next = i;
		if (kept < count && status != CT_TOO_LATE)
			pg_atomic_fetch_add_u64(&g->too_late, count - kept);
	}
	return status;
}

/* A table holds data: its database wants an agent. */
static void
want_agent(ContimeGeneration *g)
{
	g->wants_agent = true;
	contime_set_latch(&contime_shared->launcher_latch);
}

static void
flush_partition(ContimeIngest *ingest, ContimeGeneration *g, int partition, const CtLabel *label)
{
	CtStatus	status = CT_OK;
	ContimeLevel refused = CONTIME_UNLIMITED;
	int			next = 0;
	int			prepared = 0;
	int			waited_ms = 0;

	while (status == CT_OK && next < ingest->nrows)
	{
		bool		ready;
		bool		first = false;
		int			conflict = -1;

		CHECK_FOR_INTERRUPTS();
		status = link_rows(ingest, g, partition, label, &next, &ready, &refused);
		if (refused != CONTIME_UNLIMITED && ingest->table->source == NULL &&
			contime_limits_wait(g, refused, &waited_ms))
			status = CT_OK;
		if (ready)
			continue;

		/* The first rows ever, or the first since a column was added. */
		if (prepared++ > 100)
			elog(ERROR, "continuous table \"%s\" does not get ready", ingest->table->name);
		status = contime_shape_prepare(ingest->table, g, partition, &first, &conflict);
		if (conflict >= 0)
			contime_report_conflict(ingest->table, conflict);
		if (first)
			want_agent(g);
	}
	contime_wake_worker(partition);
	if (status == CT_TOO_LATE)
		contime_report_too_late(ingest->table, g, ingest->rows[next - 1].load.change.time);
	if (status != CT_OK)
		report_failure(ingest->table, g, status, refused);
}

/* The rows of each partition, one partition after the other. */
static void
flush_to(ContimeIngest *ingest, ContimeGeneration *g, const CtLabel *label)
{
	bool		present[CONTIME_MAX_WORKERS] = {0};
	MemoryContext caller;

	caller = MemoryContextSwitchTo(ingest->scratch);
	for (int i = 0; i < ingest->nrows; i++)
		present[contime_partition_of(ingest->rows[i].load.hash)] = true;
	for (int p = 0; p < contime_shared->partitions; p++)
	{
		if (!present[p])
			continue;
		flush_partition(ingest, g, p, label);
		contime_pause("linked", MyDatabaseId);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(ingest->scratch);
}

void
contime_ingest_flush(ContimeIngest *ingest)
{
	ContimeGeneration *g;
	CtLabel		label;

	if (ingest->nrows == 0)
		return;

	label.top = U64FromFullTransactionId(GetTopFullTransactionId());
	label.xid = U64FromFullTransactionId(GetCurrentFullTransactionId());
	label.cid = GetCurrentCommandId(true);
	label.ended = contime_ended(label.top);
	g = ingest_generation(ingest);
	contime_limits_note(ingest->table, g, true);
	contime_retention_note(ingest->table, g);
	flush_to(ingest, g, &label);

	/* Only now that readers meet them. */
	for (int i = 0; i < ingest->nrows && IsolationIsSerializable(); i++)
		contime_serializable_write(ingest->rel, ingest->rows[i].load.hash);

	ingest->nrows = 0;
	resetStringInfo(&ingest->buffer);
}

void
contime_ingest_link(ContimeIngest *ingest, ContimeGeneration *g, const CtLabel *label)
{
	/* First: whoever sees such a row is to find that it is not there. */
	if (ingest->long_keys)
		contime_oversize_note(g, NULL);
	for (int i = 0; i < ingest->nleft_out; i++)
		contime_oversize_note(g, &ingest->left_out[i]);
	ingest->long_keys = false;
	ingest->nleft_out = 0;
	if (ingest->nrows > 0)
		flush_to(ingest, g, label);
	contime_ingest_reset(ingest);
}
