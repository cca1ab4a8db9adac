/*
 * heap_read.c
 *	  Read the events that a snapshot sees from event tables.
 *
 *	  bind: start a query over each event table, for one key or ordered by key
 *	  next: encode the rows of the next key, and load them into a store in this
 *	        process's memory, which readers fold like a store in shared memory
 *
 * The event tables always have the complete answer; a cache may not.  A reader reads
 * them as the owner of the continuous table, with its own snapshot.  Each query belongs
 * to the resource owner that is current at bind, such as a portal's: a cursor continues
 * after the rollback of a subtransaction in which it was read.
 *
 * There are two kinds of reads: ContimeHeapRead returns the events of one key after the
 * other, merged from all sources, and ContimeHeapLoad copies rows of one source into a
 * cache.
 *
 * Called by scans (read/), capture.c (the conversion of rows), key_loader.c and
 * worker/loader.c (loads).
 *
 * Not here: the text of the queries (source_query.c).
 */
#include "postgres.h"

#include "base/compat.h"
#include "durable/durable.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "catalog/pg_inherits.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

/*
 * The private region for the events of one key has LEAST_REGION bytes and ROOM_FACTOR
 * times the size of the event tables, at most MOST_REGION.  Events usually take less than
 * their rows do, but values in rows may be compressed, and the engine needs separate
 * pages for each size of blocks.
 */
#define LEAST_REGION ((Size) 16 * 1024 * 1024)
#define MOST_REGION ((Size) 60 * 1024 * 1024 * 1024)
#define ROOM_FACTOR 8

/* Rows of one source, from its query to the reader. */
typedef struct Feed
{
	DestReceiver receiver; /* gets the query's rows; must be first */
	const ContimeTable *table;
	const ContimeSource *source;
	ContimeEvents *events; /* evaluates the source's expressions */
	ContimeRows *rows;     /* fetched and encoded */
	int next;              /* index in rows of the first one that is not loaded yet */
	uint64 fetched;        /* rows of the event table so far */
	QueryDesc *query;      /* NULL: not started, or it has no more rows */
	CachedPlan *plan;      /* of the query */
	ResourceOwner holder;  /* has the reference to the plan */
} Feed;

struct ContimeHeapRead
{
	const ContimeTable *table;
	MemoryContext context;
	MemoryContext binding; /* parameters and queries, until the next bind */
	Snapshot snapshot;
	int nfeeds;
	Feed *feed; /* one for each source */

	/* The current key and the private store that has its events. */
	ContimeKey key;
	char *region;
	CtArena arena;
	CtRef store;
};

/* ---- conversion of rows ------------------------------------------------------ */

struct ContimeEvents
{
	const ContimeTable *table;
	const ContimeSource *source;
	EState *estate;
	ExprContext *econtext;
	ExprState **state; /* by attribute number - 1; NULL: the source does not give it */
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
		if (table->attr[i].time && table->attr[i].type == TIMESTAMPTZOID && is_event &&
			TIMESTAMP_IS_NOEND(DatumGetTimestampTz(events->values[i])))
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

/* ---- feeds ------------------------------------------------------------------- */

/* Encode a row of the query, if it is an event. */
static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	Feed *feed = (Feed *) self;
	Datum *values;
	bool *isnull;

	feed->fetched++;
	feed->rows->slot = slot;
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
begin_feed(Feed *feed, const ContimeTable *table, const ContimeSource *source)
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
	feed->rows->located = true; /* by contime_source_query() */
}

static void
close_feed(Feed *feed)
{
	if (feed->query == NULL)
		return;
	ExecutorFinish(feed->query);
	ExecutorEnd(feed->query);
	FreeQueryDesc(feed->query);
	ReleaseCachedPlan(feed->plan, feed->holder);
	feed->query = NULL;
}

/*
 * Return the query for this kind of read.  It is prepared once for each description of
 * the table.  The caller has switched to the owner.
 */
static CachedPlanSource *
prepare_query(const Feed *feed, ContimeRowOrder order, bool bounded)
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

/*
 * Start the query of a feed.  The current resource owner keeps its plan.  The caller has
 * switched to the owner, and reset what an earlier query used.
 */
static void
bind_feed(Feed *feed, Snapshot snapshot, ContimeRowOrder order, bool bounded, ParamListInfo params)
{
	CachedPlanSource *query;
	int path = 0;

	Assert(feed->query == NULL);
	contime_rows_reset(feed->rows);
	feed->next = 0;
	if (!feed->table->calls)
		path = contime_source_path_begin(); /* otherwise contime_source_switch() has set it */
	query = prepare_query(feed, order, bounded);
	feed->holder = CurrentResourceOwner;
	feed->plan = GetCachedPlan(query, params, feed->holder, NULL);
	if (!feed->table->calls)
		contime_source_path_end(path);
	feed->query =
		CreateQueryDesc(linitial_node(PlannedStmt, feed->plan->stmt_list), query->query_string,
						snapshot, InvalidSnapshot, &feed->receiver, params, NULL, 0);
	ExecutorStart(feed->query, 0);
}

/* An error context callback. */
static void
add_feed_context(void *arg)
{
	const Feed *feed = arg;

	errcontext("rows of table \"%s\" as events of continuous table \"%s\"", feed->source->name,
			   feed->table->name);
}

/*
 * Return the next row that is an event, and fetch more rows if necessary.  The row stays
 * the next one until the caller increments feed->next.  Return NULL if there are no more.
 */
static const CtLoad *
fetch_head(Feed *feed, Snapshot snapshot)
{
	const CtLoad *load;

	while ((load = contime_rows_load(feed->rows, feed->next)) == NULL && feed->query)
	{
		ErrorContextCallback context = {error_context_stack, add_feed_context, feed};
		ContimeIdentity before = contime_source_switch(feed->table);

		CHECK_FOR_INTERRUPTS();
		error_context_stack = &context;
		contime_rows_reset(feed->rows);
		feed->next = 0;
		PushActiveSnapshot(snapshot);
		ExecutorRun(feed->query, ForwardScanDirection, CONTIME_FETCH_ROWS);
		PopActiveSnapshot();
		if (feed->query->estate->es_processed < CONTIME_FETCH_ROWS)
			close_feed(feed);
		error_context_stack = context.previous;
		contime_switch_back(&before);
	}
	return load;
}

/* ---- begin, bind, end -------------------------------------------------------- */

/* Return the size in bytes of the event tables and their partitions. */
static Size
measure_events(const ContimeTable *table)
{
	Size bytes = 0;
	ListCell *lc;

	for (const ContimeSource *source = table->source; source; source = source->next)
		foreach(lc, find_all_inheritors(source->events, AccessShareLock, NULL))
			bytes +=
				DatumGetInt64(DirectFunctionCall1(pg_table_size, ObjectIdGetDatum(lfirst_oid(lc))));
	return bytes;
}

/*
 * Create the store for one key, and with the first one the region.  Only those pages of
 * the region that are used take memory.
 */
static void
create_key_store(ContimeHeapRead *read)
{
	CtStatus status = CT_OK;

	Assert(read->store == 0);
	if (read->region == NULL)
	{
		Size bytes = Min(LEAST_REGION + ROOM_FACTOR * measure_events(read->table), MOST_REGION);

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
free_key_store(ContimeHeapRead *read)
{
	while (read->store != 0 && ct_store_free(&read->arena, read->store, 4096) == CT_MORE)
		CHECK_FOR_INTERRUPTS();
	read->store = 0;
}

ContimeHeapRead *
contime_heap_begin(const ContimeTable *table, Snapshot snapshot)
{
	ContimeHeapRead *read = palloc0(sizeof(ContimeHeapRead));
	bool shows_values = pg_class_aclcheck(table->relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
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
		begin_feed(&read->feed[i++], table, source);
	for (i = 0; i < read->nfeeds; i++)
		read->feed[i].rows->hides_values = !shows_values;
	initStringInfo(&read->key.data);
	return read;
}

void
contime_heap_leave_out(ContimeHeapRead *read)
{
	for (int i = 0; i < read->nfeeds; i++)
		read->feed[i].rows->leaves_out = true;
}

/* Make parameters of the key's columns (unless keys is NULL) and (bounded) `until`. */
static ParamListInfo
make_parameters(const ContimeTable *table, const Datum *keys, bool bounded, int64 until)
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

	free_key_store(read);
	for (int i = 0; i < read->nfeeds; i++)
		close_feed(&read->feed[i]);
	MemoryContextReset(read->binding);
	caller = MemoryContextSwitchTo(read->binding);
	params = make_parameters(table, keys, bounded, until);
	before = contime_source_switch(table);
	PushActiveSnapshot(read->snapshot);
	for (int i = 0; i < read->nfeeds; i++)
		bind_feed(&read->feed[i], read->snapshot, keys ? CONTIME_OF_KEY : CONTIME_BY_KEY, bounded,
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
		close_feed(&read->feed[i]);
		contime_events_end(read->feed[i].events);
	}
}

/* ---- the next key ------------------------------------------------------------ */

/* Compare the keys of two rows, in the order in which the queries return keys. */
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

/* Return the next row whose key sorts first among all feeds, or NULL if there is none. */
static const CtLoad *
find_first_head(ContimeHeapRead *read)
{
	const CtLoad *first = NULL;

	for (int i = 0; i < read->nfeeds; i++)
	{
		const CtLoad *head = fetch_head(&read->feed[i], read->snapshot);

		if (first == NULL || (head && compare_keys(read->table, head, first) < 0))
			first = head;
	}
	return first;
}

/* Make the key of a row the current key. */
static void
note_key(ContimeHeapRead *read, const CtLoad *load)
{
	read->key.hash = load->hash;
	resetStringInfo(&read->key.data);
	appendBinaryStringInfo(&read->key.data, load->key, load->key_bytes);
}

static bool
matches_key(const CtLoad *load, const ContimeKey *key)
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

/* Load all rows of the current key that a feed has, and set *timeline. */
static void
load_rows(ContimeHeapRead *read, Feed *feed, CtWriter *writer, CtRef *timeline)
{
	const CtLoad *load;

	while ((load = fetch_head(feed, read->snapshot)) && matches_key(load, &read->key))
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

	free_key_store(read);
	first = find_first_head(read);
	if (first == NULL)
		return false;
	note_key(read, first);
	create_key_store(read);
	writer = ct_writer(&read->arena, read->store);
	for (int i = 0; i < read->nfeeds; i++)
		load_rows(read, &read->feed[i], &writer, timeline);
	Assert(*timeline != 0);
	*arena = read->arena;
	*store = read->store;
	return true;
}

/* ---- loads of caches --------------------------------------------------------- */

struct ContimeHeapLoad
{
	Feed feed;
	Snapshot snapshot;
	MemoryContext binding; /* parameters and the query, until the next bind */
};

ContimeHeapLoad *
contime_heap_load_begin(const ContimeTable *table, const ContimeSource *source)
{
	ContimeHeapLoad *load = palloc0(sizeof(ContimeHeapLoad));

	load->binding =
		AllocSetContextCreate(CurrentMemoryContext, "contime heap load", ALLOCSET_DEFAULT_SIZES);
	begin_feed(&load->feed, table, source);
	load->feed.rows->leaves_out = true;
	return load;
}

static void
bind_load(ContimeHeapLoad *load, Snapshot snapshot, ContimeRowOrder order, const Datum *keys)
{
	const ContimeTable *table = load->feed.table;
	ContimeIdentity before;
	MemoryContext caller;

	close_feed(&load->feed);
	MemoryContextReset(load->binding);
	caller = MemoryContextSwitchTo(load->binding);
	load->snapshot = snapshot;
	load->feed.rows->uncounted = keys != NULL;
	before = contime_source_switch(table);
	bind_feed(&load->feed, snapshot, order, false, make_parameters(table, keys, false, 0));
	contime_switch_back(&before);
	MemoryContextSwitchTo(caller);
}

void
contime_heap_load_bind(ContimeHeapLoad *load, Snapshot snapshot, const Datum *keys)
{
	bind_load(load, snapshot, keys ? CONTIME_OF_KEY : CONTIME_ANY_ORDER, keys);
}

bool
contime_heap_load_next(ContimeHeapLoad *load, ContimeGeneration *g)
{
	bool more = fetch_head(&load->feed, load->snapshot) != NULL;

	Assert(load->feed.rows->leaves_out);
	/* Do this even without rows: it notes those that were left out. */
	contime_link(load->feed.rows, g, NULL);
	contime_rows_reset(load->feed.rows);
	return more;
}

bool
contime_heap_load_skip(ContimeHeapLoad *load, ContimeGeneration *g, uint64 *rows, int64 *newest)
{
	const CtLoad *row = fetch_head(&load->feed, load->snapshot);

	Assert(load->snapshot != NULL);
	contime_link_note_bad(load->feed.rows, g);
	if (row == NULL)
		return false;
	for (; row; row = contime_rows_load(load->feed.rows, ++load->feed.next), ++*rows)
		*newest = Max(*newest, row->change.time);
	return true;
}

uint64
contime_heap_load_fetched(const ContimeHeapLoad *load)
{
	return load->feed.fetched;
}

void
contime_heap_load_end(ContimeHeapLoad *load)
{
	close_feed(&load->feed);
	contime_events_end(load->feed.events);
	MemoryContextDelete(load->binding);
}

/* ---- the latest event -------------------------------------------------------- */

/* Likewise, of one source. */
static bool
find_newest_of_source(ContimeHeapLoad *load, Snapshot snapshot, int64 *instant, bool *found)
{
	const CtLoad *row;

	bind_load(load, snapshot, CONTIME_LATEST, NULL);
	row = fetch_head(&load->feed, snapshot);
	if (row == NULL)
		return load->feed.fetched < CONTIME_LATEST_ROWS;
	*instant = *found ? Max(*instant, row->change.time) : row->change.time;
	*found = true;
	return true;
}

bool
contime_heap_newest(const ContimeTable *table, Snapshot snapshot, int64 *instant, bool *found)
{
	bool known = true;

	*found = false;
	PushActiveSnapshot(snapshot);
	for (const ContimeSource *source = table->source; source && known; source = source->next)
	{
		ContimeHeapLoad *load = contime_heap_load_begin(table, source);

		known = find_newest_of_source(load, snapshot, instant, found);
		contime_heap_load_end(load);
	}
	PopActiveSnapshot();
	return known;
}

/* ---- bad rows ---------------------------------------------------------------- */

uint64
contime_heap_bad_rows(const ContimeTable *table, Snapshot snapshot, List **shown)
{
	uint64 bad = 0;

	*shown = NIL;
	for (const ContimeSource *source = table->source; source; source = source->next)
	{
		ContimeHeapLoad *load = contime_heap_load_begin(table, source);

		contime_heap_load_bind(load, snapshot, NULL);
		while (fetch_head(&load->feed, snapshot))
		{
			load->feed.next = load->feed.rows->count;
			load->feed.rows->nleft_out = 0;
		}
		bad += load->feed.rows->bad;
		*shown = list_concat(*shown, load->feed.rows->shown);
		contime_heap_load_end(load);
	}
	return bad;
}
