/*
 * row_buffer.c
 *	  States and raw events copied out of shared memory, and turned into tuples.
 *
 *	  timeline ──► fold, or raw event ──► chunk of held rows ──► tuples, one by one
 *	               under a lock, or of memory that may          in a context that is
 *	               be torn: no error can occur                  reset for each
 *
 * A chunk's memory is allocated before anything is copied.  If it does not suffice, the
 * row is left out, and the caller comes again with an empty chunk, or, if a single row
 * does not fit, with a larger one.
 *
 * Called by slice.c and history.c.
 *
 * Not here: whether what was copied is whole (visit.c), what values mean (table/encode.c).
 */
#include "postgres.h"

#include "read/read.h"
#include "read/scan.h"
#include "table/table.h"

/* Memory for held states; doubles when a single row does not fit. */
#define CHUNK_BYTES 65536

/* ---- chunks ------------------------------------------------------------------ */

void
contime_chunk_init(Chunk *chunk, MemoryContext context)
{
	chunk->size = CHUNK_BYTES;
	chunk->data = MemoryContextAlloc(context, CHUNK_BYTES);
	chunk->usable = CT_MAX_ATTRS;
	contime_chunk_reset(chunk);
}

void
contime_chunk_reset(Chunk *chunk)
{
	chunk->used = 0;
	chunk->full = false;
	chunk->first = chunk->last = NULL;
}

void
contime_chunk_grow(Chunk *chunk)
{
	MemoryContext context = GetMemoryChunkContext(chunk->data);

	Assert(chunk->first == NULL);
	/* Not the caller's context, which may be that of a tuple. */
	chunk->size *= 2;
	pfree(chunk->data);
	chunk->data = MemoryContextAllocHuge(context, chunk->size);
	contime_chunk_reset(chunk);
}

static void *
chunk_take(Chunk *chunk, Size bytes)
{
	void *taken = chunk->data + chunk->used;

	Assert(chunk->used <= chunk->size);
	bytes = MAXALIGN(bytes);
	if (chunk->used + bytes > chunk->size)
	{
		chunk->full = true;
		return NULL;
	}
	chunk->used += bytes;
	return taken;
}

/* What was taken since the mark is a row's, unless it did not fit. */
static bool
chunk_keep(Chunk *chunk, HeldRow *row, Size mark)
{
	Assert(mark <= chunk->used);
	if (chunk->full)
	{
		chunk->used = mark;
		return false;
	}
	if (chunk->last)
		chunk->last->next = row;
	else
		chunk->first = row;
	chunk->last = row;
	return true;
}

/* ---- copying ----------------------------------------------------------------- */

/* Copy an image; a varlena gets its header, and starts aligned. */
static bool
hold_image(Chunk *chunk, CtValue *value, const ContimeAttr *attr)
{
	Size header = attr->typlen == -1 ? VARHDRSZ : 0;
	char *copy = chunk_take(chunk, header + value->bytes);

	if (copy == NULL)
		return false;
	if (header > 0)
		SET_VARSIZE(copy, header + value->bytes);
	memcpy(copy + header, value->image, value->bytes);
	value->image = copy + header;
	return true;
}

/* The value of an attribute that was added after the store's last event. */
static CtValue
initial_value(const CtSchema *schema, int index)
{
	const CtAttr *attr = &schema->attr[index];
	CtValue value = {.kind = CT_VALUE_NULL};

	if (!attr->has_initial)
		return value;
	value.kind = attr->number == CT_NUMBER_NONE ? CT_VALUE_IMAGE : CT_VALUE_NUMBER;
	value.number = attr->initial;
	value.extra = attr->initial_extra;
	value.image = (const char *) schema + attr->initial_offset;
	value.bytes = attr->initial_bytes;
	Assert(value.kind == CT_VALUE_NUMBER ||
		   attr->initial_offset + attr->initial_bytes <= schema->size);
	return value;
}

bool
contime_hold_state(Chunk *chunk, const ContimeTable *table, const CtState *state, int64 instant,
				   const void *key, uint32 key_bytes)
{
	Size mark = chunk->used;
	HeldRow *row = chunk_take(chunk, sizeof(HeldRow));
	int n = state->present ? table->natts : 0;

	if (row == NULL)
		return false;
	row->next = NULL;
	row->instant = instant;
	row->present = state->present;
	row->nstate = n;
	row->key_bytes = key_bytes;
	row->key = chunk_take(chunk, key_bytes);
	row->state = chunk_take(chunk, n * sizeof(CtValue));
	if (row->key && row->state)
	{
		memcpy(row->key, key, key_bytes);
		for (int i = 0; i < n && !chunk->full; i++)
		{
			row->state[i] = i < Min(state->nattrs, chunk->usable) ? state->value[i]
																  : initial_value(table->schema, i);
			if (row->state[i].kind == CT_VALUE_IMAGE && !table->attr[i].dropped)
				(void) hold_image(chunk, &row->state[i], &table->attr[i]);
		}
	}
	return chunk_keep(chunk, row, mark);
}

bool
contime_hold_raw_event(Chunk *chunk, const ContimeTable *table, const StringInfo key,
					   const CtRawEvent *told)
{
	Size mark = chunk->used;
	HeldRow *row = chunk_take(chunk, sizeof(HeldRow));

	if (row == NULL)
		return false;
	*row = (HeldRow){.instant = told->time,
					 .present = true,
					 .nstate = table->natts,
					 .key_bytes = key->len,
					 .raw = {told->kind, told->set, told->late}};
	row->key = chunk_take(chunk, key->len);
	row->state = chunk_take(chunk, table->natts * sizeof(CtValue));
	if (row->key && row->state)
	{
		memcpy(row->key, key->data, key->len);
		for (int i = 0; i < table->natts && !chunk->full; i++)
		{
			row->state[i] = (CtValue){.kind = CT_VALUE_NULL};
			if (((told->set & ~told->null) >> i & 1) == 0 || table->attr[i].dropped)
				continue;
			row->state[i] = told->value[i];
			if (row->state[i].kind == CT_VALUE_IMAGE)
				(void) hold_image(chunk, &row->state[i], &table->attr[i]);
		}
	}
	return chunk_keep(chunk, row, mark);
}

/* ---- returning --------------------------------------------------------------- */

void
contime_held_store(const ContimeTable *table, const HeldRow *row, MemoryContext context,
				   TupleTableSlot *slot)
{
	Datum *values = slot->tts_values;
	bool *isnull = slot->tts_isnull;
	MemoryContext caller;

	Assert(row->nstate <= table->natts);
	Assert(table->natts <= slot->tts_tupleDescriptor->natts);
	MemoryContextReset(context);
	caller = MemoryContextSwitchTo(context);
	contime_decode_state(table, row->state, row->nstate, values, isnull);
	contime_decode_key(table, row->key, row->key_bytes, values, isnull);
	values[table->time_attno - 1] = Int64GetDatum(row->instant);
	isnull[table->time_attno - 1] = false;
	MemoryContextSwitchTo(caller);
	ExecStoreVirtualTuple(slot);
}
