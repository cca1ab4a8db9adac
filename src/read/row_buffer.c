/*
 * row_buffer.c
 *	  States and raw events copied out of shared memory, and turned into tuples.
 *
 *	  timeline ──► fold, or raw event ──► chunk of held rows ──► tuples, one by one
 *	               under a lock, or of memory that may          in a context that is
 *	               be torn: no error can occur                  reset for each
 *
 * The memory of a chunk is allocated before rows are copied.  If a row does not fit, it
 * is left out; the caller reads it again with an empty chunk, or with a larger one if
 * the chunk was empty already.
 *
 * Called by slice.c and history.c.
 *
 * Not here: the check that what was copied is not torn (visit.c), the encoding of
 * values (table/encode.c).
 */
#include "postgres.h"

#include "read/read.h"
#include "read/scan.h"
#include "table/table.h"

/* Initial size of a chunk; it is doubled if a single row does not fit. */
#define CHUNK_BYTES 65536

/* ---- chunks ------------------------------------------------------------------ */

void
contime_chunk_init(Chunk *chunk, MemoryContext context)
{
	chunk->size = CHUNK_BYTES;
	chunk->data = MemoryContextAlloc(context, CHUNK_BYTES);
	chunk->usable = CT_MAX_ATTRS;
	chunk->shown = PG_UINT64_MAX;
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
	/* Stay in the chunk's context; the current one may be reset for each tuple. */
	chunk->size *= 2;
	pfree(chunk->data);
	chunk->data = MemoryContextAllocHuge(context, chunk->size);
	contime_chunk_reset(chunk);
}

/* Allocate from the chunk.  If it does not fit, return NULL and set chunk->full. */
static void *
take_from_chunk(Chunk *chunk, Size bytes)
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

/*
 * Append a row, whose memory was allocated since the mark, to the chunk's list.  If
 * part of it did not fit, free that memory and return false.
 */
static bool
append_to_chunk(Chunk *chunk, HeldRow *row, Size mark)
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

/*
 * Copy the image of a value into the chunk, aligned; a varlena gets its header.
 * Return false if it does not fit.
 */
static bool
hold_image(Chunk *chunk, CtValue *value, const ContimeAttr *attr)
{
	Size header = attr->typlen == -1 ? VARHDRSZ : 0;
	char *copy = take_from_chunk(chunk, header + value->bytes);

	if (copy == NULL)
		return false;
	if (header > 0)
		SET_VARSIZE(copy, header + value->bytes);
	memcpy(copy + header, value->image, value->bytes);
	value->image = copy + header;
	return true;
}

/* Return the initial value of an attribute that was added after the store's last event. */
static CtValue
get_initial_value(const CtSchema *schema, int index)
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
	HeldRow *row = take_from_chunk(chunk, sizeof(HeldRow));
	int n = state->present ? table->natts : 0;

	if (row == NULL)
		return false;
	row->next = NULL;
	row->instant = instant;
	row->present = state->present;
	row->nstate = n;
	row->key_bytes = key_bytes;
	row->key = take_from_chunk(chunk, key_bytes);
	row->state = take_from_chunk(chunk, n * sizeof(CtValue));
	if (row->key && row->state)
	{
		memcpy(row->key, key, key_bytes);
		for (int i = 0; i < n && !chunk->full; i++)
		{
			row->state[i] = (CtValue){.kind = CT_VALUE_NULL};
			if ((chunk->shown >> i & 1) != 0)
				row->state[i] = i < Min(state->nattrs, chunk->usable)
									? state->value[i]
									: get_initial_value(table->schema, i);
			if (row->state[i].kind == CT_VALUE_IMAGE && !table->attr[i].dropped)
				(void) hold_image(chunk, &row->state[i], &table->attr[i]);
		}
	}
	return append_to_chunk(chunk, row, mark);
}

bool
contime_hold_raw_event(Chunk *chunk, const ContimeTable *table, const StringInfo key,
					   const CtRawEvent *raw)
{
	Size mark = chunk->used;
	HeldRow *row = take_from_chunk(chunk, sizeof(HeldRow));

	if (row == NULL)
		return false;
	*row = (HeldRow){.instant = raw->time,
					 .present = true,
					 .nstate = table->natts,
					 .key_bytes = key->len,
					 .raw = {raw->kind, raw->set, raw->late}};
	row->key = take_from_chunk(chunk, key->len);
	row->state = take_from_chunk(chunk, table->natts * sizeof(CtValue));
	if (row->key && row->state)
	{
		memcpy(row->key, key->data, key->len);
		for (int i = 0; i < table->natts && !chunk->full; i++)
		{
			row->state[i] = (CtValue){.kind = CT_VALUE_NULL};
			if (((raw->set & ~raw->null) >> i & 1) == 0 || table->attr[i].dropped)
				continue;
			row->state[i] = raw->value[i];
			if (row->state[i].kind == CT_VALUE_IMAGE)
				(void) hold_image(chunk, &row->state[i], &table->attr[i]);
		}
	}
	return append_to_chunk(chunk, row, mark);
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
