/*
 * agent.c
 *	  The agent of a database: it sends the notices of its tables.
 *
 *	  worker: the past changed ─► generation[].notice.due (coalesced) ─► agent ─► NOTIFY
 *	                                                 launcher ── starts ───┘
 *
 * A notice is due when a committed event changed states that a reader may have read,
 * and when a table has lost its events (reset).  The due notices of a table are
 * coalesced into one range and a count, so they cannot overflow.  NOTIFY needs a
 * transaction in the database.  So the agent connects to it and sends all due notices
 * in one commit, at most ten times a second.  The launcher starts the agent when a
 * table of the database first holds data or a notice is due.  The agent exits after a
 * time without work.
 *
 * If a table has the option notify 'key', the agent sends one notice for each key
 * instead, from the ring.  If there are too many keys, or the ring has lost some
 * notices, it sends the one for all keys.
 *
 * A notice stays in generation[].notice.sending until the transaction that sends it
 * has committed.  If an agent ends before that, the next one finds the notice there
 * and sends it again.
 *
 * For notices with keys the agent needs the description of the table, and runs code of
 * the table's owner, which may fail or take long.  So these tables are handled in
 * rounds of their own, each in its own subtransaction.  If that fails, the agent sends
 * the table's notice without keys, and other tables are not affected.
 *
 * The agent also starts the loader of the database (loader.c) if there is something to
 * load, and after a server upgrade it binds durable tables again (repair.c).  Agent and
 * loader exit when DROP DATABASE or a similar command waits for them (background.c).
 *
 * Concurrency: the table of agents is protected by the registry lock, a generation's
 * due notices and those being sent by its notice.mutex.
 *
 * Not here: how notices become due, and the ring (notify/notices.c).
 */
#include "postgres.h"

#include "worker/worker.h"
#include "worker/processes.h"
#include "base/base.h"
#include "durable/durable.h"
#include "mvcc/mvcc.h"
#include "notify/notify.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_authid_d.h"
#include "commands/async.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#define CHANNEL "contime"

/* At most ten commits a second. */
#define SEND_INTERVAL_MS 100

/*
 * At most so many keys are named per table and commit; otherwise one notice for all
 * keys is sent.
 */
#define MOST_KEYS 100

/* A payload must be shorter than NOTIFY_PAYLOAD_MAX_LENGTH (async.c). */
#define MOST_BYTES (BLCKSZ - NAMEDATALEN - 128)

/* An agent that has no work for so long exits. */
#define AGENT_IDLE_MS 60000

/* The least time between two starts of the loader. */
#define LOADER_INTERVAL_MS 500

/* If sending a table's notices failed, wait for so long before the next try. */
#define FAILED_INTERVAL_MS 5000

/* ---- an agent ---------------------------------------------------------------- */

/*
 * Add a table's due notices to those being sent, and copy the sum to *taken.  Return
 * false if there are none.
 */
static bool
take_due(ContimeGeneration *g, ContimeDue *taken)
{
	SpinLockAcquire(&g->notice.mutex);
	contime_due_add(&g->notice.sending, &g->notice.due);
	g->notice.due.seq = 0;
	*taken = g->notice.sending;
	SpinLockRelease(&g->notice.mutex);
	return taken->seq != 0;
}

static void
append_instant(StringInfo json, const char *name, int64 instant, Oid type)
{
	char buf[MAXDATELEN + 1];

	appendStringInfo(json, ", \"%s\": ", name);
	if (instant == PG_INT64_MIN || instant == PG_INT64_MAX)
		appendStringInfoString(json, "null");
	else if (type == INT8OID)
		appendStringInfo(json, INT64_FORMAT, instant);
	else
	{
		Datum value = TimestampTzGetDatum(instant);

		JsonEncodeDateTime(buf, value, TIMESTAMPTZOID, NULL);
		appendStringInfo(json, "\"%s\"", buf);
	}
}

/* Return the type of the table's time column as it was when the data was written. */
static Oid
find_time_type(ContimeGeneration *g)
{
	Oid type = InvalidOid;

	for (int p = 0; p < contime_shared->partitions && !OidIsValid(type); p++)
	{
		CtArena arena = contime_arena(p);

		contime_lock(p, LW_SHARED);
		if (g->store[p] != 0)
		{
			const CtSchema *schema = ct_store_schema(&arena, g->store[p]);

			for (int i = 0; i < schema->nattrs; i++)
				if (schema->attr[i].role == CONTIME_TIME)
					type = schema->attr[i].type;
		}
		contime_unlock(p);
	}
	return type;
}

/*
 * Append the value of a key column.  Casts to json are not used, because they could be
 * functions of users.
 */
static void
append_value(StringInfo json, Oid owner, Datum value, Oid type)
{
	char buf[MAXDATELEN + 1];

	switch (type)
	{
		case BOOLOID:
			appendStringInfoString(json, DatumGetBool(value) ? "true" : "false");
			return;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			JsonEncodeDateTime(buf, value, type, NULL);
			escape_json(json, buf);
			return;
		default:
			if (contime_is_integer(type))
				appendStringInfoString(json, contime_owner_output(owner, type, value));
			else
				escape_json(json, contime_owner_output(owner, type, value));
	}
}

/* Append the key columns as a JSON object. */
static void
append_key(StringInfo json, const ContimeTable *table, const ContimeNotice *notice)
{
	Datum *values = palloc(table->natts * sizeof(Datum));
	bool *isnull = palloc(table->natts * sizeof(bool));
	ContimeIdentity before = contime_switch_to_owner(table->owner, CONTIME_CODE_OF_USERS);

	Assert(GetUserId() == table->owner); /* the types' output functions run as the owner */
	contime_decode_key(table, notice->key, notice->key_bytes, values, isnull);
	for (int i = 0; i < table->nkeys; i++)
	{
		AttrNumber attno = table->key_attno[i];

		appendStringInfoString(json, i == 0 ? ", \"key\": {" : ", ");
		escape_json(json, get_attname(table->relid, attno, false));
		appendStringInfoString(json, ": ");
		append_value(json, table->owner, values[attno - 1], table->attr[attno - 1].type);
	}
	appendStringInfoChar(json, '}');
	contime_switch_back(&before);
}

/* Return the payload of a notice: for the key of `of`, or for all keys if `of` is NULL. */
static char *
make_payload(const char *name, Oid time_type, const ContimeDue *due, const ContimeTable *table,
			 const ContimeNotice *of)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"table\": ");
	escape_json(&json, name);
	if (of)
		append_key(&json, table, of);
	append_instant(&json, "from", due->from, time_type);
	append_instant(&json, "to", due->to, time_type);
	appendStringInfo(&json, ", \"events\": " UINT64_FORMAT ", \"seq\": " UINT64_FORMAT, due->events,
					 due->seq);
	if (due->reset)
		appendStringInfoString(&json, ", \"reset\": true");
	appendStringInfoChar(&json, '}');
	return json.data;
}

/* The coalesced notice of one key. */
typedef struct DueKey
{
	const ContimeNotice *notice;
	ContimeDue due;
} DueKey;

/* Group notices by key.  Return false if they have more than MOST_KEYS keys. */
static bool
gather_keys(ContimeNotice **notices, int count, uint64 seq, DueKey *keys, int *nkeys)
{
	*nkeys = 0;
	for (int i = 0; i < count; i++)
	{
		const ContimeNotice *notice = notices[i];
		ContimeDue due = {seq, notice->events, notice->from, notice->to, false};
		int k = 0;

		while (k < *nkeys && (keys[k].notice->key_bytes != notice->key_bytes ||
							  memcmp(keys[k].notice->key, notice->key, notice->key_bytes) != 0))
			k++;
		if (k == MOST_KEYS)
			return false;
		Assert(k <= *nkeys && k < MOST_KEYS);
		if (k == *nkeys)
		{
			keys[k].notice = notice;
			keys[k].due.seq = 0;
			++*nkeys;
		}
		contime_due_add(&keys[k].due, &due);
	}
	return true;
}

/*
 * Send a notice for each key.  Return false, with nothing sent, if that is not
 * possible.  Wait for no lock, so that the notices of other tables are not delayed.
 */
static bool
send_by_key(ContimeGeneration *g, const char *name, Oid time_type, const ContimeDue *due)
{
	DueKey keys[MOST_KEYS];
	char *payloads[MOST_KEYS];
	int nkeys;
	int count;
	ContimeNotice **notices;
	Relation rel;
	bool sent;

	Assert(IsTransactionState());
	if (due->reset || !ConditionalLockRelationOid(g->relation, AccessShareLock))
		return false;
	rel = try_relation_open(g->relation, NoLock);
	if (rel == NULL)
		return false;
	notices = contime_notices_between(g, g->notice.sent, due->seq, &count);
	sent = contime_generation(g->relation) == g &&
		   pg_atomic_read_u64(&g->notice.lost) <= g->notice.sent &&
		   gather_keys(notices, count, due->seq, keys, &nkeys);
	for (int k = 0; sent && k < nkeys; k++)
	{
		payloads[k] =
			make_payload(name, time_type, &keys[k].due, contime_table(rel), keys[k].notice);
		sent = strlen(payloads[k]) < MOST_BYTES;
	}
	for (int k = 0; sent && k < nkeys; k++)
		Async_Notify(CHANNEL, payloads[k]);
	relation_close(rel, NoLock);
	return sent;
}

/* Send a table's due notices, with keys if that is wanted and possible. */
static void
send_due(ContimeGeneration *g, const ContimeDue *due, bool by_key)
{
	char *name = get_rel_name(g->relation);
	Oid type;

	/* There is nothing to send if the table was dropped or sends no notices any more. */
	if (name == NULL || contime_table_notify(g->relation) == CONTIME_NOTIFY_OFF)
		return;
	type = find_time_type(g);
	name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(g->relation)), name);
	if (!by_key || !send_by_key(g, name, type, due))
		Async_Notify(CHANNEL, make_payload(name, type, due, NULL, NULL));
}

/* For each slot of a generation: the error that was logged last, and when to try again. */
static struct
{
	uint64 serial;
	int sqlerrcode;
	TimestampTz until;
} failed[CONTIME_MAX_GENERATIONS];

/* Log an error, unless it is the one that was logged last for this generation. */
static void
log_failure(ContimeGeneration *g, ErrorData *error, bool by_key)
{
	int index = g - contime_shared->generation;
	const char *name = get_rel_name(g->relation);

	Assert(index >= 0 && index < contime_shared->slots);
	if (failed[index].serial == g->serial && failed[index].sqlerrcode == error->sqlerrcode)
		return;
	failed[index].serial = g->serial;
	failed[index].sqlerrcode = error->sqlerrcode;
	ereport(LOG, (errcode(error->sqlerrcode),
				  errmsg("%s of continuous table \"%s\" cannot be sent: %s",
						 by_key ? "notices with keys" : "notices",
						 name ? name : psprintf("%u", g->relation), error->message),
				  by_key ? errdetail("Notices without keys are sent in their place.")
						 : errdetail("They are kept, and tried again.")));
}

/*
 * Send a table's due notices in a subtransaction, with keys if `owner` is valid.
 * Return false if that failed: then nothing was sent.
 */
static bool
try_send(ContimeGeneration *g, const ContimeDue *due, Oid owner)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner resources = CurrentResourceOwner;
	bool by_key = OidIsValid(owner);
	volatile bool sent = false;

	Assert(IsTransactionState());
	Assert(contime_holds_no_lock());
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		if (by_key)
			contime_guard_begin(g->relation, owner);
		send_due(g, due, by_key);
		ReleaseCurrentSubTransaction();
		sent = true;
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (!by_key || !contime_limit_is_exceeded())
			log_failure(g, error, by_key);
		FreeErrorData(error);
	}
	PG_END_TRY();
	if (by_key)
		contime_guard_end();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = resources;
	return sent;
}

/*
 * Return the owner of a table if its notices name keys and the owner's code may run;
 * otherwise InvalidOid.
 */
static Oid
find_trusted_owner(const ContimeGeneration *g)
{
	Oid owner;

	if (contime_table_notify(g->relation) != CONTIME_NOTIFY_KEY)
		return InvalidOid;
	owner = contime_owner_of(g->relation);
	return contime_guard_trusts(g->relation, owner) ? owner : InvalidOid;
}

/* Reset a generation's request for an agent: this process is the agent. */
static void
accept_request(ContimeGeneration *g)
{
	Assert(g->database == MyDatabaseId);
	SpinLockAcquire(&g->notice.mutex);
	g->wants_agent = false;
	SpinLockRelease(&g->notice.mutex);
}

/* True if a table has notices that are due or were being sent, and no failure puts them off. */
static bool
is_due(ContimeGeneration *g)
{
	int index = g - contime_shared->generation;
	bool due;

	if (failed[index].until > GetCurrentTimestamp())
		return false;
	SpinLockAcquire(&g->notice.mutex);
	due = g->notice.due.seq != 0 || g->notice.sending.seq != 0;
	SpinLockRelease(&g->notice.mutex);
	return due;
}

/*
 * Send a table's notices and set *taken to them.  Return false if none were due or if
 * that failed.
 */
static bool
send_table(ContimeGeneration *g, Oid owner, ContimeDue *taken)
{
	if (!take_due(g, taken))
		return false;
	if (OidIsValid(owner) && try_send(g, taken, owner))
		return true;
	if (try_send(g, taken, InvalidOid))
		return true;
	failed[g - contime_shared->generation].until =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), FAILED_INTERVAL_MS);
	return false;
}

/*
 * Send the due notices in one transaction: of the tables whose notices name keys
 * (by_key), or of all others.  Return true if any table of the database had due
 * notices.
 */
static bool
send_notices(bool by_key)
{
	static ContimeDue taken[CONTIME_MAX_GENERATIONS];
	int highest = contime_shared->highest;
	bool any = false;

	Assert(highest <= contime_shared->slots);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	Assert(GetUserId() == ROLE_PG_MONITOR); /* rule 1 of background.c */
	for (int i = 0; i < highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];
		Oid owner;

		taken[i].seq = 0;
		if (!contime_generation_is_live(g) || g->database != MyDatabaseId)
			continue;
		accept_request(g);
		if (!is_due(g))
			continue;
		any = true;
		owner = find_trusted_owner(g);
		if (OidIsValid(owner) == by_key && !send_table(g, owner, &taken[i]))
			taken[i].seq = 0;
	}
	CommitTransactionCommand();

	for (int i = 0; i < highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];

		if (taken[i].seq == 0)
			continue;
		SpinLockAcquire(&g->notice.mutex);
		g->notice.sending.seq = 0;
		g->notice.sent = taken[i].seq;
		SpinLockRelease(&g->notice.mutex);
	}
	return any;
}

/* Start the loader if there is work for it, at most once in LOADER_INTERVAL_MS. */
static void
start_loader(void)
{
	static TimestampTz started = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (!contime_cache_is_due() || contime_agent_pid(MyDatabaseId, true) != 0 ||
		now < TimestampTzPlusMilliseconds(started, LOADER_INTERVAL_MS))
		return;
	started = now;
	contime_start_process("loader", MyDatabaseId);
}

void
contime_agent_main(Datum arg)
{
	Oid database = DatumGetObjectId(arg);
	bool by_key = false;
	MemoryContext context;

	contime_process_begin(false);

	/* Register before connecting, so that a database has one agent at a time. */
	if (!contime_agent_attach(database))
		proc_exit(0);
	contime_background_connect(database);
	Assert(MyDatabaseId == database);
	context = AllocSetContextCreate(TopMemoryContext, "contime agent", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);

	for (int idle_ms = 0; idle_ms < AGENT_IDLE_MS;)
	{
		bool busy = send_notices(by_key);
		bool visited;

		by_key = !by_key;
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		if (contime_background_is_in_the_way())
			contime_agent_leave();
		visited = contime_repairs_run();
		start_loader();
		busy |= contime_cache_is_due();
		idle_ms = busy ? 0 : idle_ms + SEND_INTERVAL_MS;
		if (visited && !busy)
			idle_ms = AGENT_IDLE_MS; /* others are to be visited, too */
		contime_process_nap(SEND_INTERVAL_MS, !busy);
	}
	proc_exit(0);
}
