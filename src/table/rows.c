/*
 * rows.c
 *	  Rows of a continuous table are checked and encoded as events.
 *
 *	  row ─ check, encode ─► ContimeRows: events in this process's memory
 *
 * A row's key and payload are appended to one buffer; nothing is allocated for
 * a single row.
 *
 * A *bad row* is a row of an event table that cannot be an event: its time is
 * -infinity, a value is NaN or outside the bounds of a snapshot, or its key or
 * values exceed the engine's limits.  It is an error that says which row it is.
 * Where a caller asks for it, as for a cache, such rows are left out instead,
 * and the hashes of their keys are kept.  If the table has the option
 * bad_rows 'ignore', they are always left out.
 *
 * Called by writers (write/ingest.c), and to read and load event tables (durable/).
 *
 * Not here: how the images of values are made (encode.c), how events are added to
 * shared memory (store/link.c).
 */
#include "postgres.h"

#include "table/table.h"
#include "base/base.h"
#include "shared/shared.h"

#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "mb/pg_wchar.h"
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

/* ---- rows that cannot be events ---------------------------------------------- */

/* Why a row cannot be an event. */
typedef enum Fault
{
	FAULT_NONE,
	FAULT_TIME,       /* its time is infinite */
	FAULT_NOT_FINITE, /* a value is NaN or infinite */
	FAULT_DIGITS,     /* a value has too many digits */
	FAULT_BOUNDS,     /* a snapshot is outside the bounds */
	FAULT_SIZE        /* the key or the values are too large */
} Fault;

/* Characters of a key or a time that an error shows. */
#define MOST_SHOWN 64

static int
fault_code(Fault fault)
{
	static const int codes[] = {
		[FAULT_NONE] = 0,
		[FAULT_TIME] = ERRCODE_DATETIME_VALUE_OUT_OF_RANGE,
		[FAULT_NOT_FINITE] = ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
		[FAULT_DIGITS] = ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
		[FAULT_BOUNDS] = ERRCODE_CHECK_VIOLATION,
		[FAULT_SIZE] = ERRCODE_PROGRAM_LIMIT_EXCEEDED,
	};

	Assert(fault > FAULT_NONE && fault < lengthof(codes));
	return codes[fault];
}

/* The message of the error; index: the attribute, where there is one. */
static char *
format_fault(const ContimeTable *table, Fault fault, int index)
{
	const char *name = fault == FAULT_TIME || fault == FAULT_SIZE
						   ? NULL
						   : get_attname(table->relid, index + 1, false);

	switch (fault)
	{
		case FAULT_TIME:
			return psprintf(_("time of an event cannot be infinite"));
		case FAULT_NOT_FINITE:
			return table->schema->attr[index].rule == CT_RULE_SUM
					   ? psprintf(
							 _("column \"%s\" of continuous table \"%s\" cannot sum NaN or infinity"),
							 name, table->name)
					   : psprintf(
							 _("column \"%s\" of continuous table \"%s\" cannot hold NaN or infinity"),
							 name, table->name);
		case FAULT_DIGITS:
			return psprintf(
				_("value for column \"%s\" of continuous table \"%s\" has more than %d digits"), name,
				table->name, CONTIME_NARROW_DIGITS);
		case FAULT_BOUNDS:
			return psprintf(
				_("snapshot of column \"%s\" of continuous table \"%s\" is outside its bounds"), name,
				table->name);
		default:
			Assert(fault == FAULT_SIZE);
			return psprintf(_("event is too large for continuous table \"%s\""), table->name);
	}
}

/* What the limit is, or NULL. */
static char *
format_limit(const ContimeTable *table, Fault fault, int index)
{
	if (fault == FAULT_SIZE)
		return psprintf(_("A key takes at most %d bytes, the values of an event at most %d."),
						CT_MAX_KEY_BYTES, CT_MAX_PAYLOAD_BYTES);
	if (fault == FAULT_DIGITS)
		return psprintf(_("The column's scale keeps %d of them after the point."),
						table->attr[index].scale);
	return NULL;
}

/* What a writer can do. */
static char *
format_hint(Fault fault)
{
	switch (fault)
	{
		case FAULT_TIME:
			return pstrdup(_("Give the instant from which the event holds, or NULL for now."));
		case FAULT_NOT_FINITE:
			return pstrdup(_("Use NULL for a value that is not known."));
		case FAULT_DIGITS:
			return psprintf(_("Use a smaller scale, or numeric(p,s) with up to %d digits."),
							CONTIME_MAX_DIGITS);
		default:
			Assert(fault == FAULT_BOUNDS); /* FAULT_SIZE: contime_report_too_large() */
			return pstrdup(_("Give a value between the column's lower and upper."));
	}
}

static void CONTIME_NORETURN
report_fault(const ContimeTable *table, Fault fault, int index)
{
	char *limit = format_limit(table, fault, index);

	ereport(ERROR,
			(errcode(fault_code(fault)), errmsg_internal("%s", format_fault(table, fault, index)),
			 limit ? errdetail_internal("%s", limit) : 0,
			 errhint("%s", format_hint(fault))));
}

/* "(0,1) of table ..." */
static char *
format_place(const ContimeRows *rows)
{
	TupleTableSlot *slot = rows->slot;
	ItemPointerData tid = slot->tts_tid;
	Oid relation = slot->tts_tableOid;
	const char *name;

	if (rows->located)
	{
		int natts = slot->tts_tupleDescriptor->natts;
		bool isnull;

		Assert(TupleDescAttr(slot->tts_tupleDescriptor, natts - 2)->atttypid == TIDOID);
		tid = *(ItemPointer) DatumGetPointer(slot_getattr(slot, natts - 1, &isnull));
		relation = DatumGetObjectId(slot_getattr(slot, natts, &isnull));
	}
	name = get_rel_name(relation);
	return psprintf(_("(%u,%u) of table \"%s\""), ItemPointerGetBlockNumberNoCheck(&tid),
					ItemPointerGetOffsetNumberNoCheck(&tid), name ? name : "?");
}

/* Append a value, of which a long one is cut. */
static void
append_clipped(StringInfo text, const ContimeTable *table, AttrNumber attno, const Datum *values)
{
	char *value =
		contime_owner_output(table->owner, table->attr[attno - 1].type, values[attno - 1]);
	int len = strlen(value);
	int shown = pg_mbcliplen(value, len, MOST_SHOWN);

	appendBinaryStringInfo(text, value, shown);
	if (shown < len)
		appendStringInfoString(text, "...");
}

/* "Key (...)=(...), time ..." */
static char *
format_event(const ContimeTable *table, const Datum *values)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, _("Key ("));
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&text, "%s%s", i > 0 ? ", " : "",
						 get_attname(table->relid, table->key_attno[i], false));
	appendStringInfoString(&text, ")=(");
	for (int i = 0; i < table->nkeys; i++)
	{
		if (i > 0)
			appendStringInfoString(&text, ", ");
		append_clipped(&text, table, table->key_attno[i], values);
	}
	appendStringInfoString(&text, _("), time "));
	append_clipped(&text, table, table->time_attno, values);
	appendStringInfoChar(&text, '.');
	return text.data;
}

static void CONTIME_NORETURN
report_bad_row(const ContimeRows *rows, Fault fault, int index, const Datum *values)
{
	const ContimeTable *table = rows->table;
	char *limit = format_limit(table, fault, index);
	char *place = format_place(rows);
	char *event = rows->hides_values ? "" : format_event(table, values);

	ereport(ERROR,
			(errcode(fault_code(fault)), errmsg_internal("%s", format_fault(table, fault, index)),
			 errdetail("%s%sRow %s cannot be an event.%s%s", limit ? limit : "", limit ? " " : "",
					   place, *event ? " " : "", event),
			 errhint(
				 "Correct the row in the event table or delete it, or give the continuous table the option bad_rows 'ignore'. Reads of other keys, one by one, do not meet it.")));
}

/* Keep a description of a bad row, if there are not many yet. */
static void
show_bad_row(ContimeRows *rows, Fault fault, int index, const Datum *values)
{
	MemoryContext caller;
	ContimeBadRow *bad;

	if (rows->nshown >= CONTIME_BAD_ROWS_SHOWN)
		return;
	caller = MemoryContextSwitchTo(rows->context);
	bad = palloc(sizeof(ContimeBadRow));
	bad->what = format_place(rows);
	bad->reason = format_fault(rows->table, fault, index);
	bad->detail = rows->hides_values ? NULL : format_event(rows->table, values);
	rows->shown = lappend(rows->shown, bad);
	rows->nshown++;
	MemoryContextSwitchTo(caller);
}

/* ---- one row ----------------------------------------------------------------- */

static int64
get_row_instant(const ContimeTable *table, const Datum *values, const bool *isnull, bool stamp,
				Fault *fault)
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
					 : errhint("COPY does not fill in the current time: give every event its time.")));
	}
	instant = DatumGetInt64(values[index]);
	if (table->time_type == TIMESTAMPTZOID && TIMESTAMP_NOT_FINITE(instant))
		*fault = FAULT_TIME;
	return instant;
}

static void
encode_row_key(ContimeRows *rows, const Datum *values, const bool *isnull)
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

/*
 * Check a value: ERROR 22003 for NaN or infinity in a computed column, 23514 for a
 * value of a snapshot that is outside the bounds.
 */
static Fault
check_value(const ContimeTable *table, int index, CtKind kind, Datum value)
{
	const ContimeAttr *attr = &table->attr[index];
	const CtAttr *ct = &table->schema->attr[index];
	bool ordered =
		ct->number == CT_NUMBER_NUMERIC && (ct->rule == CT_RULE_MIN || ct->rule == CT_RULE_MAX);
	CtWide number;

	Assert(attr->state && !attr->dropped);
	if (!ordered && !contime_is_finite(ct, attr, value))
		return FAULT_NOT_FINITE;
	if (kind != CT_SNAPSHOT || !(ct->has_lower || ct->has_upper))
		return FAULT_NONE;
	number = contime_number(ct, attr, value);
	if (ct_wide_cmp(number, ct->lower) < 0 || ct_wide_cmp(number, ct->upper) > 0)
		return FAULT_BOUNDS;
	return FAULT_NONE;
}

/*
 * Set the masks of the attributes that a row sets, and of those that it sets to NULL.
 * An event sets those that are not NULL or in set_null, a snapshot all or those in
 * `columns`, a finish none.  Each kind also sets the event id, if there is one.
 */
static void
set_row_masks(const ContimeTable *table, CtKind kind, const bool *isnull, uint64 set_null,
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

/*
 * Append the values of the attributes that the row touches.  If one cannot be
 * one of an event, stop, and set *index to its attribute.
 */
static Fault
append_payload(ContimeRows *rows, const CtChange *change, const Datum *values, int *index)
{
	const ContimeTable *table = rows->table;

	for (int i = 0; i < table->natts; i++)
	{
		Fault fault;

		if ((change->set & ~change->null & UINT64CONST(1) << i) == 0)
			continue;
		*index = i;
		fault = check_value(table, i, change->kind, values[i]);
		if (fault != FAULT_NONE)
			return fault;
		if (!contime_encode_image(&table->attr[i], &table->schema->attr[i], values[i],
								  &rows->buffer, true))
			return FAULT_DIGITS;
	}
	return FAULT_NONE;
}

/* Append a row, even if it cannot be an event; then its key is right, at least. */
static Fault
encode_row(ContimeRows *rows, CtKind kind, const Datum *values, const bool *isnull, uint64 set_null,
		   uint64 columns, bool stamp, bool retracts, int *index)
{
	const ContimeTable *table = rows->table;
	MemoryContext caller;
	CtChange *change;
	ContimeRow *row;
	Fault fault = FAULT_NONE;

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
	change->time = get_row_instant(table, values, isnull, stamp, &fault);
	encode_row_key(rows, values, isnull);
	row->load.hash = rows->key.hash;
	row->load.key_bytes = rows->key.data.len;
	row->key_offset = rows->buffer.len;
	appendBinaryStringInfo(&rows->buffer, rows->key.data.data, rows->key.data.len);

	set_row_masks(table, kind, isnull, set_null, columns, change);
	Assert((change->null & ~change->set) == 0);
	row->payload_offset = rows->buffer.len;
	if (fault == FAULT_NONE)
		fault = append_payload(rows, change, values, index);
	change->payload_bytes = rows->buffer.len - row->payload_offset;
	MemoryContextSwitchTo(caller);
	MemoryContextReset(rows->scratch);

	rows->count++;
	return fault;
}

void
contime_rows_encode(ContimeRows *rows, CtKind kind, const Datum *values, const bool *isnull,
					uint64 set_null, uint64 columns, bool stamp, bool retracts)
{
	int index = 0;
	Fault fault =
		encode_row(rows, kind, values, isnull, set_null, columns, stamp, retracts, &index);

	if (fault == FAULT_NONE)
		return;
	rows->count--;
	report_fault(rows->table, fault, index);
}

/* ---- rows of event tables ---------------------------------------------------- */

/* Remove the row that was encoded last, and keep the hash of its key for a cache. */
static void
leave_out_last(ContimeRows *rows)
{
	const ContimeRow *row = &rows->row[--rows->count];

	Assert(rows->count >= 0 && row->key_offset <= rows->buffer.len);
	rows->buffer.len = row->key_offset;
	if (!rows->leaves_out)
		return;
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
	int index = 0;
	Fault fault = encode_row(rows, kind, values, isnull, 0, columns, false, retracts, &index);
	const CtLoad *load = &rows->row[rows->count - 1].load;

	if (fault == FAULT_NONE && ct_is_too_large(load->key_bytes, load->change.payload_bytes))
		fault = FAULT_SIZE;
	if (fault == FAULT_NONE)
		return true;
	if (!rows->leaves_out && !rows->table->ignores_bad_rows)
		report_bad_row(rows, fault, index, values);
	if (rows->leaves_out && !retracts)
	{
		rows->bad++;
		show_bad_row(rows, fault, index, values);
	}
	leave_out_last(rows);
	return false;
}

void
contime_rows_forget_bad(ContimeRows *rows)
{
	ListCell *lc;

	foreach(lc, rows->shown)
	{
		ContimeBadRow *bad = lfirst(lc);

		pfree(bad->what);
		pfree(bad->reason);
		if (bad->detail)
			pfree(bad->detail);
		pfree(bad);
	}
	list_free(rows->shown);
	rows->shown = NIL;
	rows->bad = 0;
	rows->long_keys = false;
	rows->nleft_out = 0;
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
