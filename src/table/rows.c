/*
 * rows.c
 *	  Rows of a continuous table are checked and encoded as events.
 *
 *	  row ─ check, encode ─► ContimeRows: events in this process's memory
 *
 * A row's key and payload are appended to one buffer; nothing is allocated for
 * a single row.  Rows whose key or values exceed the engine's limits are an
 * error, or, for a cache, are left out; then the hashes of their keys are kept.
 *
 * Called by writers (write/ingest.c), and to read and load event tables
 * (durable/).
 *
 * Not here: how the images of values are made (encode.c), how events enter
 * shared memory (store/link.c).
 */
#include "postgres.h"

#include "table/table.h"
#include "base/base.h"
#include "shared/shared.h"

#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

ContimeRows *
contime_rows_begin(const ContimeTable *table)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "contime rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	ContimeRows *rows = palloc0(sizeof(ContimeRows));

	rows->table = table;
	rows->context = context;
	rows->scratch = AllocSetContextCreate(context, "contime row", ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&rows->key.data);
	initStringInfo(&rows->buffer);
	rows->capacity = 64;
	rows->row = palloc(rows->capacity * sizeof(ContimeRow));
	MemoryContextSwitchTo(caller);
	return rows;
}

void
contime_rows_end(ContimeRows *rows)
{
	MemoryContextDelete(rows->context);
}

void
contime_report_too_large(const ContimeTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("event is too large for continuous table \"%s\"", table->name),
			 errdetail("A key takes at most %d bytes, the values of an event at most %d.",
					   CT_MAX_KEY_BYTES, CT_MAX_PAYLOAD_BYTES),
			 table->source
				 ? errhint(
					   "Shorten the row in the event table, or delete it. Reads of other keys, one by one, do not meet it.")
				 : errhint(
					   "Keep large values in an ordinary table, and a reference to them here.")));
}

/* ---- one row ----------------------------------------------------------------- */

static int64
row_instant(const ContimeTable *table, const Datum *values, const bool *isnull, bool stamp)
{
	int index = table->time_attno - 1;
	int64 instant;

	Assert(table->time_attno >= 1 && table->time_attno <= table->natts);
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
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("time of an event cannot be infinite"),
						errhint("Give the instant from which the event holds, or NULL for now.")));
	return instant;
}

static void
row_key(ContimeRows *rows, const Datum *values, const bool *isnull)
{
	const ContimeTable *table = rows->table;
	Datum keys[INDEX_MAX_KEYS];
	bool nulls[INDEX_MAX_KEYS];

	Assert(table->nkeys >= 1 && table->nkeys <= INDEX_MAX_KEYS);
	for (int i = 0; i < table->nkeys; i++)
	{
		int index = table->key_attno[i] - 1;

		keys[i] = values[index];
		nulls[i] = isnull[index];
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION),
							errmsg("null value in key column \"%s\" of continuous table \"%s\"",
								   get_attname(table->relid, index + 1, false), table->name),
							errhint("Every event belongs to a key.")));
	}
	(void) contime_encode_key(table, keys, nulls, &rows->key);
}

static void CONTIME_NORETURN
report_not_finite(const ContimeTable *table, const ContimeAttr *attr, CtRule rule)
{
	char *name = get_attname(table->relid, attr->attno, false);

	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 rule == CT_RULE_SUM
				 ? errmsg("column \"%s\" of continuous table \"%s\" cannot sum NaN or infinity",
						  name, table->name)
				 : errmsg("column \"%s\" of continuous table \"%s\" cannot hold NaN or infinity",
						  name, table->name),
			 errhint("Use NULL for a value that is not known.")));
}

static void CONTIME_NORETURN
report_too_long(const ContimeTable *table, const ContimeAttr *attr)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("value for column \"%s\" of continuous table \"%s\" has more than %d digits",
					get_attname(table->relid, attr->attno, false), table->name,
					CONTIME_NARROW_DIGITS),
			 errdetail("The column's scale keeps %d of them after the point.", attr->scale),
			 errhint("Use a smaller scale, or numeric(p,s) with up to %d digits.",
					 CONTIME_MAX_DIGITS)));
}

/*
 * Check a value: computed columns refuse NaN and infinity, and a snapshot must
 * be within the bounds.
 */
static void
check_value(const ContimeTable *table, int index, CtKind kind, Datum value)
{
	const ContimeAttr *attr = &table->attr[index];
	const CtAttr *ct = &table->schema->attr[index];
	bool ordered =
		ct->number == CT_NUMBER_NUMERIC && (ct->rule == CT_RULE_MIN || ct->rule == CT_RULE_MAX);
	CtWide number;

	Assert(attr->state && !attr->dropped);
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
 * Set the masks of the attributes that a row touches: an event those that are
 * not NULL and those it makes NULL, a snapshot all or the named ones, a finish
 * none; and the event id, if there is one.
 */
static void
row_masks(const ContimeTable *table, CtKind kind, const bool *isnull, uint64 set_null,
		  uint64 columns, CtChange *change)
{
	Assert(table->natts <= CT_MAX_ATTRS);
	for (int i = 0; i < table->natts; i++)
	{
		uint64 bit = UINT64CONST(1) << i;
		bool touched;

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

void
contime_rows_encode(ContimeRows *rows, CtKind kind, const Datum *values, const bool *isnull,
					uint64 set_null, uint64 columns, bool stamp, bool retracts)
{
	const ContimeTable *table = rows->table;
	MemoryContext caller;
	CtChange *change;
	ContimeRow *row;

	Assert(kind <= CT_SNAPSHOT);
	Assert(set_null == 0 || kind == CT_EVENT);
	if (rows->count >= rows->capacity)
	{
		rows->capacity *= 2;
		rows->row = repalloc_huge(rows->row, rows->capacity * sizeof(ContimeRow));
	}
	row = &rows->row[rows->count];
	memset(row, 0, sizeof(ContimeRow));

	caller = MemoryContextSwitchTo(rows->scratch);
	change = &row->load.change;
	change->kind = kind;
	change->retracts = retracts;
	change->time = row_instant(table, values, isnull, stamp);
	row_key(rows, values, isnull);
	row->load.hash = rows->key.hash;
	row->load.key_bytes = rows->key.data.len;
	row->key_offset = rows->buffer.len;
	appendBinaryStringInfo(&rows->buffer, rows->key.data.data, rows->key.data.len);

	row_masks(table, kind, isnull, set_null, columns, change);
	Assert((change->null & ~change->set) == 0);
	row->payload_offset = rows->buffer.len;
	for (int i = 0; i < table->natts; i++)
	{
		uint64 bit = UINT64CONST(1) << i;

		if ((change->set & ~change->null & bit) == 0)
			continue;
		check_value(table, i, kind, values[i]);
		if (!contime_encode_image(&table->attr[i], &table->schema->attr[i], values[i],
								  &rows->buffer, true))
			report_too_long(table, &table->attr[i]);
	}
	change->payload_bytes = rows->buffer.len - row->payload_offset;
	MemoryContextSwitchTo(caller);
	MemoryContextReset(rows->scratch);

	rows->count++;
}

/* ---- rows of event tables ---------------------------------------------------- */

/* Remove the row that was encoded last, and keep the hash of its key. */
static void
leave_out_last(ContimeRows *rows)
{
	const ContimeRow *row = &rows->row[--rows->count];

	Assert(rows->count >= 0 && row->key_offset <= rows->buffer.len);
	rows->buffer.len = row->key_offset;
	if (row->load.key_bytes > CT_MAX_KEY_BYTES)
	{
		rows->long_keys = true;
		return;
	}
	if (rows->nleft_out > 0 && rows->left_out[rows->nleft_out - 1] == row->load.hash)
		return;
	if (rows->nleft_out % 64 == 0)
	{
		Size bytes = (rows->nleft_out + 64) * sizeof(uint64);

		rows->left_out = rows->left_out ? repalloc_huge(rows->left_out, bytes)
										: MemoryContextAlloc(rows->context, bytes);
	}
	rows->left_out[rows->nleft_out++] = row->load.hash;
}

bool
contime_rows_encode_source(ContimeRows *rows, CtKind kind, uint64 columns, const Datum *values,
						   const bool *isnull, bool retracts)
{
	const CtLoad *load;

	contime_rows_encode(rows, kind, values, isnull, 0, columns, false, retracts);
	load = &rows->row[rows->count - 1].load;
	if (!ct_is_too_large(load->key_bytes, load->change.payload_bytes))
		return true;
	if (!rows->leaves_out)
		contime_report_too_large(rows->table);
	leave_out_last(rows);
	return false;
}

void
contime_rows_cancel(ContimeRows *rows)
{
	const CtLoad *a;
	const CtLoad *b;

	if (rows->count < 2)
		return;
	a = contime_rows_load(rows, rows->count - 2);
	b = contime_rows_load(rows, rows->count - 1);
	if (a->hash == b->hash && a->key_bytes == b->key_bytes &&
		memcmp(a->key, b->key, a->key_bytes) == 0 && a->change.time == b->change.time &&
		a->change.kind == b->change.kind && a->change.set == b->change.set &&
		a->change.null == b->change.null && a->change.payload_bytes == b->change.payload_bytes &&
		memcmp(a->change.payload, b->change.payload, a->change.payload_bytes) == 0)
		rows->count -= 2;
}

const CtLoad *
contime_rows_load(ContimeRows *rows, int i)
{
	ContimeRow *row = &rows->row[i];

	Assert(i >= 0);
	if (i >= rows->count)
		return NULL;
	row->load.key = rows->buffer.data + row->key_offset;
	row->load.change.payload = rows->buffer.data + row->payload_offset;
	return &row->load;
}

void
contime_rows_reset(ContimeRows *rows)
{
	rows->count = 0;
	resetStringInfo(&rows->buffer);
}
