/*
 * heapread.c
 *	  Keys with their events from an event table, as a snapshot sees them.
 *
 *	  bind: a query over the event table, for one key or in the order of keys
 *	  next: the rows of the next key are encoded, and loaded into a store of
 *	        this process; that is folded like one in shared memory
 *
 * This is the truth about a durable table, whatever else is known of it.  The
 * event table is read as the continuous table's owner, through SPI, with the
 * reader's snapshot.
 *
 * Used by scan.c.  Not here: what the query says (source.c).
 */
#include "contime.h"

#include "engine/store.h"

#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "catalog/pg_inherits.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/portal.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Rows got from the cursor at a time. */
#define FETCH_ROWS 1000

/*
 * Room for a key's events.  They take less than their rows do, unless values
 * of those are compressed; each size of blocks has pages of its own.
 */
#define LEAST_REGION ((Size) 16 * 1024 * 1024)
#define MOST_REGION ((Size) 60 * 1024 * 1024 * 1024)
#define ROOM_FACTOR 8

struct ContimeHeapRead
{
	const ContimeTable *table;
	MemoryContext context;
	Snapshot	snapshot;
	ContimeIngest *ingest;		/* encodes */
	ContimeEvents *events;		/* evaluates */
	bool		open;			/* there is a cursor of this name */
	char		portal_name[NAMEDATALEN];

	int			next;			/* row that was fetched and is not loaded yet */

	/* the store of the key at hand */
	ContimeKey	key;
	char	   *region;
	CtArena		arena;
	CtRef		store;
};

/* ---- a row's event ---------------------------------------------------------------------- */

struct ContimeEvents
{
	const ContimeTable *table;
	EState	   *estate;
	ExprContext *econtext;
	ExprState **state;			/* by attribute - 1; NULL: dropped */
	Datum	   *values;
	bool	   *isnull;
};

ContimeEvents *
contime_events_begin(const ContimeTable *table)
{
	ContimeEvents *events = palloc0(sizeof(ContimeEvents));
	MemoryContext caller;

	events->table = table;
	events->estate = CreateExecutorState();
	events->econtext = GetPerTupleExprContext(events->estate);
	events->state = palloc0(table->natts * sizeof(ExprState *));
	events->values = palloc0(table->natts * sizeof(Datum));
	events->isnull = palloc0(table->natts * sizeof(bool));
	caller = MemoryContextSwitchTo(events->estate->es_query_cxt);
	for (int i = 0; i < table->natts; i++)
		if (table->source->expr[i])
			events->state[i] = ExecPrepareExpr((Expr *) table->source->expr[i], events->estate);
	MemoryContextSwitchTo(caller);
	return events;
}

/*
 * The continuous table's columns of an event table's row, valid until the next
 * one; false: it has no key or no time, and is no event.
 */
bool
contime_events_row(ContimeEvents *events, TupleTableSlot *slot, Datum **values, bool **isnull)
{
	const ContimeTable *table = events->table;
	bool		is_event = true;

	ResetExprContext(events->econtext);
	events->econtext->ecxt_scantuple = slot;
	for (int i = 0; i < table->natts; i++)
	{
		events->isnull[i] = true;
		if (events->state[i])
			events->values[i] = ExecEvalExprSwitchContext(events->state[i], events->econtext,
														  &events->isnull[i]);
		if ((table->attr[i].key || table->attr[i].time) && events->isnull[i])
			is_event = false;
	}
	*values = events->values;
	*isnull = events->isnull;
	return is_event;
}

void
contime_events_end(ContimeEvents *events)
{
	FreeExecutorState(events->estate);
}

/* ---- as the owner ------------------------------------------------------------------------ */

typedef struct Identity
{
	Oid			user;
	int			context;
} Identity;

/* What runs in a transaction that fails is undone by its abort, this too. */
static Identity
become_owner(const ContimeTable *table)
{
	Identity	before;

	GetUserIdAndSecContext(&before.user, &before.context);
	SetUserIdAndSecContext(table->source->owner,
						   before.context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	return before;
}

static void
become(const Identity *before)
{
	SetUserIdAndSecContext(before->user, before->context);
}

/* ---- begin, bind, end ---------------------------------------------------------------------- */

/* Bytes of the event table with its partitions. */
static Size
event_table_bytes(Oid relid)
{
	Size		bytes = 0;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
		bytes += DatumGetInt64(DirectFunctionCall1(pg_table_size, ObjectIdGetDatum(lfirst_oid(lc))));
	return bytes;
}

/* A store for one key; memory that is not used is never touched. */
static void
store_create(ContimeHeapRead *read)
{
	CtStatus	status = CT_OK;

	if (read->region == NULL)
	{
		Size		bytes = Min(LEAST_REGION + ROOM_FACTOR * event_table_bytes(read->table->source->events),
								MOST_REGION);

		read->region = MemoryContextAllocHuge(read->context, bytes);
		status = ct_region_format(read->region, bytes, 1);
		read->arena = ct_arena_attach(read->region, 0);
	}
	if (status == CT_OK)
		status = ct_store_create(&read->arena, read->table->schema, &read->store);
	if (status != CT_OK)
		contime_report(status, read->table);
}

static void
store_free(ContimeHeapRead *read)
{
	while (read->store != 0 && ct_store_free(&read->arena, read->store, 4096) == CT_AGAIN)
		CHECK_FOR_INTERRUPTS();
	read->store = 0;
}

ContimeHeapRead *
contime_heap_begin(Relation rel, const ContimeTable *table, Snapshot snapshot)
{
	ContimeHeapRead *read = palloc0(sizeof(ContimeHeapRead));

	contime_source_check(table);
	read->table = table;
	read->context = CurrentMemoryContext;
	read->snapshot = snapshot;
	read->ingest = contime_ingest_begin(rel);
	read->events = contime_events_begin(table);
	initStringInfo(&read->key.data);
	return read;
}

/* The query for this kind of read, planned once for each description. */
static SPIPlanPtr
prepared_query(const ContimeTable *table, bool by_key, bool bounded)
{
	SPIPlanPtr *plan = &table->source->plan[by_key][bounded];
	Oid			types[INDEX_MAX_KEYS + 1];
	int			n = 0;

	if (*plan)
		return *plan;
	for (int i = 0; by_key && i < table->nkeys; i++)
		types[n++] = table->attr[table->key_attno[i] - 1].type;
	if (bounded)
		types[n++] = table->time_type;
	*plan = SPI_prepare(contime_source_query(table, by_key, bounded), n, types);
	if (*plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(*plan);
	return *plan;
}

static void
portal_close(ContimeHeapRead *read)
{
	Portal		portal = read->open ? GetPortalByName(read->portal_name) : NULL;

	if (PortalIsValid(portal))
		SPI_cursor_close(portal);
	read->open = false;
}

void
contime_heap_bind(ContimeHeapRead *read, const Datum *keys, int64 until)
{
	const ContimeTable *table = read->table;
	bool		bounded = until < PG_INT64_MAX && !contime_source_looks_ahead(table);
	Datum		values[INDEX_MAX_KEYS + 1];
	int			n = 0;
	Identity	before;
	Portal		portal;

	portal_close(read);
	store_free(read);
	contime_ingest_reset(read->ingest);
	read->next = 0;
	for (int i = 0; keys && i < table->nkeys; i++)
		values[n++] = keys[i];
	if (bounded)
		values[n++] = Int64GetDatum(until);

	before = become_owner(table);
	PushActiveSnapshot(read->snapshot);
	SPI_connect();
	portal = SPI_cursor_open(NULL, prepared_query(table, keys != NULL, bounded), values, NULL, true);
	strlcpy(read->portal_name, portal->name, NAMEDATALEN);
	read->open = true;
	SPI_finish();
	PopActiveSnapshot();
	become(&before);
}

void
contime_heap_end(ContimeHeapRead *read)
{
	portal_close(read);
	contime_events_end(read->events);
}

/* ---- the next key ---------------------------------------------------------------------------- */

/* Encode the rows that were fetched. */
static void
encode_rows(ContimeHeapRead *read)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(SPI_tuptable->tupdesc, &TTSOpsHeapTuple);

	contime_ingest_reset(read->ingest);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum	   *values;
		bool	   *isnull;

		ExecStoreHeapTuple(SPI_tuptable->vals[i], slot, false);
		if (contime_events_row(read->events, slot, &values, &isnull))
			contime_ingest_encode(read->ingest, CT_EVENT, values, isnull);
	}
	ExecDropSingleTupleTableSlot(slot);
	read->next = 0;
}

/* The next row that is an event; NULL: there is none. */
static const CtLoad *
next_load(ContimeHeapRead *read)
{
	const CtLoad *load;

	while ((load = contime_ingest_load(read->ingest, read->next)) == NULL && read->open)
	{
		Portal		portal = GetPortalByName(read->portal_name);
		Identity	before = become_owner(read->table);
		uint64		fetched;

		CHECK_FOR_INTERRUPTS();
		SPI_connect();
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		fetched = SPI_processed;
		encode_rows(read);
		if (fetched < FETCH_ROWS)
			portal_close(read);
		SPI_finish();
		become(&before);
	}
	return load;
}

/* A key of which there are events; later ones are compared with it. */
static void
note_key(ContimeHeapRead *read, const CtLoad *load)
{
	read->key.hash = load->hash;
	resetStringInfo(&read->key.data);
	appendBinaryStringInfo(&read->key.data, load->key, load->key_bytes);
}

static bool
is_key(const CtLoad *load, const ContimeKey *key)
{
	return load->hash == key->hash && load->key_bytes == key->data.len &&
		memcmp(load->key, key->data.data, load->key_bytes) == 0;
}

static void
report_status(const ContimeHeapRead *read, CtStatus status)
{
	if (status == CT_NO_MEMORY)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory for the events of one key of continuous table \"%s\"",
						read->table->name)));
	contime_report(status, read->table);
}

bool
contime_heap_next(ContimeHeapRead *read, CtArena *arena, CtRef *store, CtRef *timeline)
{
	const CtLoad *load;
	CtWriter	writer;

	store_free(read);
	load = next_load(read);
	if (load == NULL)
		return false;
	store_create(read);
	writer = ct_writer(&read->arena, read->store);
	note_key(read, load);
	do
	{
		CtStatus	status = CT_NO_MEMORY;

		*timeline = ct_writer_timeline(&writer, load->hash, load->key, load->key_bytes);
		if (*timeline != 0)
			status = ct_timeline_load(&writer, *timeline, &load->change, 0);
		if (status != CT_OK)
			report_status(read, status);
		read->next++;
		load = next_load(read);
	} while (load && is_key(load, &read->key));
	*arena = read->arena;
	*store = read->store;
	return true;
}
