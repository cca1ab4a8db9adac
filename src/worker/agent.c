/*
 * agent.c
 *	  Notices: the launcher, and one agent per database that sends them.
 *
 *	  worker: the past changed ─► generation[].due (coalesced) ─► agent ─► NOTIFY
 *	                                                launcher ─ starts ─┘
 *
 * A notice is due when a committed event changed states that may have been
 * read, and when a table has lost what it knew (reset).  What is due for a
 * table is one range and a count, so it cannot overflow.  NOTIFY needs a
 * transaction in the database, so an agent connected there sends all that is
 * due in one commit, at most ten a second.  The launcher starts it when a table
 * there first holds data or a notice is due; an agent leaves when it has
 * nothing to do for a while.
 *
 * Under notify 'key' there is one notice for each key instead, from the ring;
 * if there are too many, or the ring has lost some, the one for all keys goes.
 *
 * What is being sent is kept in generation[].sending until it is committed; an
 * agent that finds some there sends it again, since its predecessor died.
 *
 * Tables whose notices name keys need their description, and so code of their
 * owner, which may fail, or take its time.  They have rounds of their own, and
 * each table a subtransaction of its own: if that fails, its notice names no
 * keys.  So one table's error is that table's.
 *
 * An agent also starts the database's loader (cache.c) where there is something
 * to load, and after a server upgrade it binds durable tables again (repair.c).
 * Both leave when they are in the way of DROP DATABASE and its like
 * (worker/background.c).
 *
 * Concurrency: the agent table is protected by the registry lock, what is due
 * of a generation and being sent by its spinlock.
 *
 * Not here: what is due, and the ring (notify/notices.c).
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

/* Keys of a table named at a time; more: one notice for all keys. */
#define MOST_KEYS 100

/* A payload must be shorter than NOTIFY_PAYLOAD_MAX_LENGTH (async.c). */
#define MOST_BYTES (BLCKSZ - NAMEDATALEN - 128)

/* An agent without notices leaves after this. */
#define AGENT_IDLE_MS 60000

/* From one start of the loader to the next. */
#define LOADER_INTERVAL_MS 500

/* A table of which nothing could be sent is left alone for so long. */
#define FAILED_INTERVAL_MS 5000

/* ---- an agent ---------------------------------------------------------------- */

/* Move what is due of a table to what is being sent; false: nothing. */
static bool
take_due(ContimeGeneration *g, ContimeDue *taken)
{
	SpinLockAcquire(&g->notice.mutex);
	g->wants_agent = false;
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

/* The type of a table's time column, as its data was written. */
static Oid
time_type_of(ContimeGeneration *g)
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

/* A key's value.  No cast to json is looked for, which might be a user's function. */
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

/* The key columns as an object. */
static void
append_key(StringInfo json, const ContimeTable *table, const ContimeNotice *notice)
{
	Datum *values = palloc(table->natts * sizeof(Datum));
	bool *isnull = palloc(table->natts * sizeof(bool));
	ContimeIdentity before = contime_switch_to_owner(table->owner, CONTIME_CODE_OF_USERS);

	Assert(GetUserId() == table->owner); /* whose code writes values */
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

/* One notice's payload: of all keys, or of the one that `of` names. */
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

/* What is due of one key. */
typedef struct DueKey
{
	const ContimeNotice *notice;
	ContimeDue due;
} DueKey;

/* Notices by key, at most MOST_KEYS of them; false: there are more. */
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
 * Send a notice for each key. Returns false, with nothing sent, if that is not
 * possible. It waits for no lock, so that notices of other tables are not
 * delayed.
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

/* Send what is due of a table. */
static void
send_due(ContimeGeneration *g, const ContimeDue *due, bool by_key)
{
	char *name = get_rel_name(g->relation);
	Oid type;

	/* The table was dropped meanwhile: there is nothing to send. */
	if (name == NULL || contime_table_notify(g->relation) == CONTIME_NOTIFY_OFF)
		return;
	type = time_type_of(g);
	name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(g->relation)), name);
	if (!by_key || !send_by_key(g, name, type, due))
		Async_Notify(CHANNEL, make_payload(name, type, due, NULL, NULL));
}

/* Of generations, by their slots: which error of theirs was logged, and when to try again. */
static struct
{
	uint64 serial;
	int sqlerrcode;
	TimestampTz until;
} failed[CONTIME_MAX_GENERATIONS];

/* Each error once. */
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

/* In a subtransaction; false: it failed, and nothing was sent. */
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

/* The owner of a table whose notices are to name keys, and may do so; or InvalidOid. */
static Oid
owner_by_key(const ContimeGeneration *g)
{
	Oid owner;

	if (contime_table_notify(g->relation) != CONTIME_NOTIFY_KEY)
		return InvalidOid;
	owner = contime_owner_of(g->relation);
	return contime_guard_trusts(g->relation, owner) ? owner : InvalidOid;
}

/* Is there something due of a table, or was something being sent? */
static bool
is_due(ContimeGeneration *g)
{
	int index = g - contime_shared->generation;
	bool due;

	if (!contime_generation_is_live(g) || g->database != MyDatabaseId ||
		failed[index].until > GetCurrentTimestamp())
		return false;
	SpinLockAcquire(&g->notice.mutex);
	g->wants_agent = false;
	due = g->notice.due.seq != 0 || g->notice.sending.seq != 0;
	SpinLockRelease(&g->notice.mutex);
	return due;
}

/* Send a table's notices; false: nothing was due, or could be sent. */
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
 * Send in one transaction what is due of tables whose notices name keys, or of
 * all others.  True when something was due of any.
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
	Assert(GetUserId() == ROLE_PG_MONITOR); /* background.c, 1 */
	for (int i = 0; i < highest; i++)
	{
		ContimeGeneration *g = &contime_shared->generation[i];
		Oid owner;

		taken[i].seq = 0;
		if (!is_due(g))
			continue;
		any = true;
		owner = owner_by_key(g);
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

/* Start the loader, if there is something to do for one; not too often. */
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

	/* Announced before connecting, so that there is one at a time. */
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
