/*
 * heap_read.c
 *	  Keys with their events from event tables, as a snapshot sees them.
 *
 *	  bind: a query over each event table, for one key or in the order of keys
 *	  next: the rows of the next key are encoded, and loaded into a store of
 *	        this process; that is folded like one in shared memory
 *
 * This is the truth about a durable table, whatever else is known of it.
 * Event tables are read as the continuous table's owner, with the reader's
 * snapshot.  The queries belong to whom the reader belongs to, and not to the
 * subtransaction that happens to be under way: a cursor goes on when that is
 * rolled back.
 *
 * Used by scan.c.  Not here: what a query says (source.c).
 */
#include "postgres.h"

#include "durable/durable.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "catalog/pg_inherits.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

/*
 * Room for a key's events.  They take less than their rows do, unless values
 * of those are compressed; each size of blocks has pages of its own.
 */
#define LEAST_REGION ((Size) 16 * 1024 * 1024)
#define MOST_REGION ((Size) 60 * 1024 * 1024 * 1024)
#define ROOM_FACTOR 8

/* The rows of one source, on their way. */
typedef struct Feed
{
	DestReceiver receiver; /* of the query's rows */
	const ContimeTable *table;
	const ContimeSource *source;
	ContimeEvents *events; /* evaluates */
	ContimeRows *rows;     /* encoded, */
	int next;              /* row that was fetched and is not loaded yet */
	QueryDesc *query;      /* NULL: there are no more rows */
	CachedPlan *plan;      /* of the query, held by: */
	ResourceOwner holder;
} Feed;

struct ContimeHeapRead
{
	const ContimeTable *table;
	MemoryContext context;
	MemoryContext binding; /* of parameters and queries */
	Snapshot snapshot;
	int nfeeds;
	Feed *feed;

	/* the store of the key at hand */
	ContimeKey key;
	char *region;
	CtArena arena;
	CtRef store;
};

/* ---- a row's event ----------------------------------------------------------- */

struct ContimeEvents
{
	const ContimeTable *table;
	const ContimeSource *source;
	EState *estate;
	ExprContext *econtext;
	ExprState **state; /* by attribute - 1; NULL: not fed */
	Datum *values;
	bool *isnull;
};

ContimeEvents *
contime_events_begin(const ContimeTable *table, const ContimeSource *source)
{
	ContimeEvents *events = palloc0(sizeof(ContimeEvents));
	ContimeIdentity before = contime_source_switch(table);
	MemoryContext caller;

	events->table = table;
	events->source = source;
	events->estate = CreateExecutorState();
	events->econtext = GetPerTupleExprContext(events->estate);
	events->state = palloc0(table->natts * sizeof(ExprState *));
	events->values = palloc0(table->natts * sizeof(Datum));
	events->isnull = palloc0(table->natts * sizeof(bool));
	caller = MemoryContextSwitchTo(events->estate->es_query_cxt);
	for (int i = 0; i < table->natts; i++)
		if (source->expr[i])
			events->state[i] = contime_owner_prepare(table->owner, source->expr[i], events->estate);
	MemoryContextSwitchTo(caller);
	contime_switch_back(&before);
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
	bool is_event = true;

	ResetExprContext(events->econtext);
	events->econtext->ecxt_scantuple = slot;
	for (int i = 0; i < table->natts; i++)
	{
		events->isnull[i] = true;
		if (events->state[i])
			events->values[i] = contime_owner_evaluate(table->owner, events->state[i],
													   events->econtext, &events->isnull[i]);
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

/* ---- a feed ------------------------------------------------------------------ */

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	Feed *feed = (Feed *) self;
	Datum *values;
	bool *isnull;

	if (contime_events_row(feed->events, slot, &values, &isnull))
		(void) contime_rows_encode_source(feed->rows, feed->source->kind, feed->source->columns,
										  values, isnull, false);
	return true;
}

static void
receive_start(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
receive_end(DestReceiver *self)
{
}

static void
feed_begin(Feed *feed, Relation rel, const ContimeTable *table, const ContimeSource *source)
{
	feed->receiver = (DestReceiver){.receiveSlot = receive_row,
									.rStartup = receive_start,
									.rShutdown = receive_end,
									.rDestroy = receive_end,
									.mydest = DestNone};
	feed->table = table;
	feed->source = source;
	feed->events = contime_events_begin(table, source);
	feed->rows = contime_rows_begin(table);
}

static void
feed_close(Feed *feed)
{
	if (feed->query == NULL)
		return;
	ExecutorFinish(feed->query);
	ExecutorEnd(feed->query);
	FreeQueryDesc(feed->query);
	ReleaseCachedPlan(feed->plan, feed->holder);
	feed->query = NULL;
}

/* The query for this kind of read, prepared once for each description. */
static CachedPlanSource *
prepared_query(const Feed *feed, ContimeRowOrder order, bool bounded)
{
	const ContimeTable *table = feed->table;
	SPIPlanPtr *plan = &unconstify(ContimeSource *, feed->source)->plan[order][bounded];
	Oid types[INDEX_MAX_KEYS + 1];
	int n = 0;

	Assert(GetUserId() == table->owner && InSecurityRestrictedOperation());
	Assert(table->nkeys <= INDEX_MAX_KEYS);
	for (int i = 0; order == CONTIME_OF_KEY && i < table->nkeys; i++)
		types[n++] = table->attr[table->key_attno[i] - 1].type;
	if (bounded)
		types[n++] = table->time_type;
	if (*plan == NULL)
	{
		Assert(ActiveSnapshotSet());
		SPI_connect();
		*plan = SPI_prepare(contime_source_query(table, feed->source, order, bounded), n, types);
		if (*plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(*plan);
		SPI_finish();
	}
	return linitial(SPI_plan_get_plan_sources(*plan));
}

/* Start its query, with these parameters. */
static void
feed_bind(Feed *feed, Snapshot snapshot, ContimeRowOrder order, bool bounded, ParamListInfo params)
{
	CachedPlanSource *query;

	Assert(feed->query == NULL);
	contime_rows_reset(feed->rows);
	feed->next = 0;
	if (!feed->table->calls)
		contime_source_path_begin(); /* otherwise the switch has set it */
	query = prepared_query(feed, order, bounded);
	feed->holder = CurrentResourceOwner;
	feed->plan = GetCachedPlan(query, params, feed->holder, NULL);
	if (!feed->table->calls)
		contime_source_path_end();
	feed->query =
		CreateQueryDesc(linitial_node(PlannedStmt, feed->plan->stmt_list), query->query_string,
						snapshot, InvalidSnapshot, &feed->receiver, params, NULL, 0);
	ExecutorStart(feed->query, 0);
}

static void
add_feed(void *arg)
{
	const Feed *feed = arg;

	errcontext("rows of table \"%s\" as events of continuous table \"%s\"", feed->source->name,
			   feed->table->name);
}

/* The next row that is an event; NULL: there is none. */
static const CtLoad *
feed_head(Feed *feed, Snapshot snapshot)
{
	const CtLoad *load;

	while ((load = contime_rows_load(feed->rows, feed->next)) == NULL && feed->query)
	{
		ErrorContextCallback context = {error_context_stack, add_feed, feed};
		ContimeIdentity before = contime_source_switch(feed->table);

		CHECK_FOR_INTERRUPTS();
		error_context_stack = &context;
		contime_rows_reset(feed->rows);
		feed->next = 0;
		PushActiveSnapshot(snapshot);
		ExecutorRun(feed->query, ForwardScanDirection, CONTIME_FETCH_ROWS, false);
		PopActiveSnapshot();
		if (feed->query->estate->es_processed < CONTIME_FETCH_ROWS)
			feed_close(feed);
		error_context_stack = context.previous;
		contime_switch_back(&before);
	}
	return load;
}

/* ---- begin, bind, end -------------------------------------------------------- */

/* Bytes of the event tables with their partitions. */
static Size
event_bytes(const ContimeTable *table)
{
	Size bytes = 0;
	ListCell *lc;

	for (const ContimeSource *source = table->source; source; source = source->next)
		foreach(lc, find_all_inheritors(source->events, AccessShareLock, NULL))
			bytes +=
				DatumGetInt64(DirectFunctionCall1(pg_table_size, ObjectIdGetDatum(lfirst_oid(lc))));
	return bytes;
}

/* A store for one key; memory that is not used is never touched. */
static void
store_create(ContimeHeapRead *read)
{
	CtStatus status = CT_OK;

	Assert(read->store == 0);
	if (read->region == NULL)
	{
		Size bytes = Min(LEAST_REGION + ROOM_FACTOR * event_bytes(read->table), MOST_REGION);

		read->region = MemoryContextAllocHuge(read->context, bytes + CT_REGION_ALIGN);
		read->region = (char *) TYPEALIGN(CT_REGION_ALIGN, read->region);
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
	while (read->store != 0 && ct_store_free(&read->arena, read->store, 4096) == CT_MORE)
		CHECK_FOR_INTERRUPTS();
	read->store = 0;
}

ContimeHeapRead *
contime_heap_begin(Relation rel, const ContimeTable *table, Snapshot snapshot)
{
	ContimeHeapRead *read = palloc0(sizeof(ContimeHeapRead));
	int i = 0;

	Assert(table->source != NULL);
	read->table = table;
	read->context = CurrentMemoryContext;
	read->binding =
		AllocSetContextCreate(read->context, "contime heap read", ALLOCSET_DEFAULT_SIZES);
	read->snapshot = snapshot;
	for (const ContimeSource *source = table->source; source; source = source->next)
		read->nfeeds++;
	read->feed = palloc0(read->nfeeds * sizeof(Feed));
	for (const ContimeSource *source = table->source; source; source = source->next)
		feed_begin(&read->feed[i++], rel, table, source);
	initStringInfo(&read->key.data);
	return read;
}

/* Values of the key's columns, then the latest instant, as parameters. */
static ParamListInfo
parameters(const ContimeTable *table, const Datum *keys, bool bounded, int64 until)
{
	ParamListInfo params = makeParamList(INDEX_MAX_KEYS + 1);

	params->numParams = 0;
	for (int i = 0; i <= table->nkeys; i++)
	{
		ParamExternData *param = &params->params[params->numParams];
		const ContimeAttr *attr;

		if (i < table->nkeys ? keys == NULL : !bounded)
			continue;
		attr = &table->attr[(i < table->nkeys ? table->key_attno[i] : table->time_attno) - 1];
		param->value = i < table->nkeys ? datumCopy(keys[i], attr->typbyval, attr->typlen)
										: Int64GetDatum(until);
		param->isnull = false;
		param->pflags = PARAM_FLAG_CONST;
		param->ptype = attr->type;
		params->numParams++;
	}
	Assert(params->numParams <= INDEX_MAX_KEYS + 1);
	return params;
}

void
contime_heap_bind(ContimeHeapRead *read, const Datum *keys, int64 until)
{
	const ContimeTable *table = read->table;
	bool bounded = until < PG_INT64_MAX && !contime_source_looks_ahead(table);
	ParamListInfo params;
	MemoryContext caller;
	ContimeIdentity before;

	store_free(read);
	for (int i = 0; i < read->nfeeds; i++)
		feed_close(&read->feed[i]);
	MemoryContextReset(read->binding);
	caller = MemoryContextSwitchTo(read->binding);
	params = parameters(table, keys, bounded, until);
	before = contime_source_switch(table);
	PushActiveSnapshot(read->snapshot);
	for (int i = 0; i < read->nfeeds; i++)
		feed_bind(&read->feed[i], read->snapshot, keys ? CONTIME_OF_KEY : CONTIME_BY_KEY, bounded,
				  params);
	PopActiveSnapshot();
	contime_switch_back(&before);
	MemoryContextSwitchTo(caller);
}

void
contime_heap_end(ContimeHeapRead *read)
{
	for (int i = 0; i < read->nfeeds; i++)
	{
		feed_close(&read->feed[i]);
		contime_events_end(read->feed[i].events);
	}
}

/* ---- the next key ------------------------------------------------------------ */

/* In the order in which queries give keys. */
static int
compare_keys(const ContimeTable *table, const CtLoad *a, const CtLoad *b)
{
	Datum x[CT_MAX_ATTRS];
	Datum y[CT_MAX_ATTRS];
	bool isnull[CT_MAX_ATTRS];
	int order = 0;

	contime_decode_key(table, a->key, a->key_bytes, x, isnull);
	contime_decode_key(table, b->key, b->key_bytes, y, isnull);
	for (int i = 0; i < table->nkeys && order == 0; i++)
	{
		const ContimeAttr *attr = &table->attr[table->key_attno[i] - 1];
		TypeCacheEntry *type = lookup_type_cache(attr->type, TYPECACHE_CMP_PROC_FINFO);

		order = DatumGetInt32(FunctionCall2Coll(&type->cmp_proc_finfo, attr->collation,
												x[attr->attno - 1], y[attr->attno - 1]));
	}
	return order;
}

/* The row with the first key; NULL: there are no more. */
static const CtLoad *
first_head(ContimeHeapRead *read)
{
	const CtLoad *first = NULL;

	for (int i = 0; i < read->nfeeds; i++)
	{
		const CtLoad *head = feed_head(&read->feed[i], read->snapshot);

		if (first == NULL || (head && compare_keys(read->table, head, first) < 0))
			first = head;
	}
	return first;
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
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("out of memory for the events of one key of continuous table \"%s\"",
							   read->table->name)));
	contime_report(status, read->table);
}

/* The rows that a feed has of the key at hand. */
static void
load_rows(ContimeHeapRead *read, Feed *feed, CtWriter *writer, CtRef *timeline)
{
	const CtLoad *load;

	while ((load = feed_head(feed, read->snapshot)) && is_key(load, &read->key))
	{
		CtStatus status;

		if (load->key_bytes > CT_MAX_KEY_BYTES)
			report_status(read, CT_LIMIT);
		*timeline = ct_writer_timeline(writer, load->hash, load->key, load->key_bytes);
		status = *timeline == 0 ? CT_NO_MEMORY
								: ct_timeline_load(writer, *timeline, &load->change, 0);
		if (status != CT_OK)
			report_status(read, status);
		Assert(feed->next < feed->rows->count);
		feed->next++;
	}
}

bool
contime_heap_next(ContimeHeapRead *read, CtArena *arena, CtRef *store, CtRef *timeline)
{
	const CtLoad *first;
	CtWriter writer;

	store_free(read);
	first = first_head(read);
	if (first == NULL)
		return false;
	note_key(read, first);
	store_create(read);
	writer = ct_writer(&read->arena, read->store);
	for (int i = 0; i < read->nfeeds; i++)
		load_rows(read, &read->feed[i], &writer, timeline);
	Assert(*timeline != 0);
	*arena = read->arena;
	*store = read->store;
	return true;
}

/* ---- every row --------------------------------------------------------------- */

struct ContimeHeapLoad
{
	Feed feed;
	Snapshot snapshot;
	MemoryContext binding; /* of parameters and query */
};

ContimeHeapLoad *
contime_heap_load_begin(Relation rel, const ContimeTable *table, const ContimeSource *source)
{
	ContimeHeapLoad *load = palloc0(sizeof(ContimeHeapLoad));

	load->binding =
		AllocSetContextCreate(CurrentMemoryContext, "contime heap load", ALLOCSET_DEFAULT_SIZES);
	feed_begin(&load->feed, rel, table, source);
	load->feed.rows->leaves_out = true;
	return load;
}

void
contime_heap_load_bind(ContimeHeapLoad *load, Snapshot snapshot, const Datum *keys)
{
	const ContimeTable *table = load->feed.table;
	ContimeIdentity before;
	MemoryContext caller;

	feed_close(&load->feed);
	MemoryContextReset(load->binding);
	caller = MemoryContextSwitchTo(load->binding);
	load->snapshot = snapshot;
	before = contime_source_switch(table);
	feed_bind(&load->feed, snapshot, keys ? CONTIME_OF_KEY : CONTIME_ANY_ORDER, false,
			  parameters(table, keys, false, 0));
	contime_switch_back(&before);
	MemoryContextSwitchTo(caller);
}

bool
contime_heap_load_next(ContimeHeapLoad *load, ContimeGeneration *g)
{
	bool more = feed_head(&load->feed, load->snapshot) != NULL;

	Assert(load->feed.rows->leaves_out);
	/* (There may be nothing but rows that were left out.) */
	contime_link(load->feed.rows, g, NULL);
	contime_rows_reset(load->feed.rows);
	return more;
}

bool
contime_heap_load_skip(ContimeHeapLoad *load, uint64 *rows, int64 *newest)
{
	const CtLoad *row = feed_head(&load->feed, load->snapshot);

	Assert(load->snapshot != NULL);
	if (row == NULL)
		return false;
	for (; row; row = contime_rows_load(load->feed.rows, ++load->feed.next), ++*rows)
		*newest = Max(*newest, row->change.time);
	return true;
}

void
contime_heap_load_end(ContimeHeapLoad *load)
{
	feed_close(&load->feed);
	contime_events_end(load->feed.events);
	MemoryContextDelete(load->binding);
}
