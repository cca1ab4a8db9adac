/*
 * generations.c
 *	  Generations of a table's events: opened, replaced, ended, dropped.
 *
 *	  first use, TRUNCATE ──► opened by a transaction, or in force at once
 *	  a newer one commits, DROP, eviction ──► ended, in no chain ──► slot freed
 *
 * Called by writers (first use), DDL, and loaders of caches.
 *
 * Concurrency: chains change under the registry lock (registry.c).  A backend keeps a
 * list of the generations that it has opened, and wakes a worker, which finds the end
 * of its transaction.
 */
#include "postgres.h"

#include "shared/shared.h"
#include "shared/registry.h"
#include "base/base.h"
#include "base/compat.h"

#include <sys/mman.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

static void
init_oversize(ContimeOversize *oversize)
{
	pg_atomic_init_u32(&oversize->any, 0);
	pg_atomic_init_u64(&oversize->regain_after, 0);
	for (int i = 0; i < CONTIME_OVERSIZE_WORDS; i++)
		pg_atomic_init_u64(&oversize->bit[i], 0);
}

/* At most so many slots of tables without events are reclaimed at a time. */
#define MOST_RECLAIMED 256

/* The properties of a generation that is to be opened. */
typedef struct Opening
{
	Oid database;
	Oid relation;
	Oid owner;
	uint64 xid;
	bool reset_due; /* the table is older than the server's start */
} Opening;

static Oid
get_relation_owner(Oid relation)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/*
 * True if a generation of this chain, from `index` on, is in force or may be in force
 * again.
 */
static bool
has_opened_generation(int index)
{
	for (; index >= 0; index = contime_shared->generation[index].older)
		if (contime_generation_is_opened(&contime_shared->generation[index]))
			return true;
	return false;
}

/* Initialise a slot, which another table may have used before. */
static void
reset_generation(ContimeGeneration *g)
{
	g->wants_agent = false;
	g->truncation_logged = false;
	g->dropped = g->database_dropped = 0;
	memset(g->store, 0, sizeof(g->store));
	g->account = -1;
	pg_atomic_write_u64(&g->read_watermark, (uint64) PG_INT64_MIN);
	memset(&g->notice.due, 0, sizeof(g->notice.due));
	memset(&g->notice.sending, 0, sizeof(g->notice.sending));
	pg_atomic_write_u64(&g->retained, (uint64) PG_INT64_MIN);
	pg_atomic_write_u64(&g->newest, (uint64) PG_INT64_MIN);
	pg_atomic_write_u64(&g->too_late, 0);
	g->retain.period = 0;
	g->retain.xid = 0;
	g->retain.raise_after = 0;
	g->retain.guarded = false;
	g->retain.settled = g->retain.pending = PG_INT64_MIN;
	pg_atomic_write_u32(&g->cache.state, CONTIME_CACHE_NONE);
	g->cache.load_after = 0;
	g->cache.unbound = false;
	for (int i = 0; i < CONTIME_UNFLUSHED; i++)
		pg_atomic_write_u64(&g->cache.unflushed[i], 0);
	g->partial.newest_row = PG_INT64_MIN;
	pg_atomic_write_u32(&g->partial.hold, 0);
	pg_atomic_write_u32(&g->partial.loads, 0);
	init_oversize(&g->cache.oversize);
	pg_atomic_write_u64(&g->cache.bad_rows, 0);
	pg_atomic_write_u64(&g->cache.progress.began, 0);
}

#ifdef USE_ASSERT_CHECKING
static bool
is_locked_exclusively(Oid database, Oid relation)
{
	LOCKTAG tag;

	SET_LOCKTAG_RELATION(tag, database, relation);
	return LockHeldByMe(&tag, AccessExclusiveLock, false);
}
#endif

/*
 * Fill a free slot, and make it the newest generation of the table's chain.  Return
 * NULL if there is no slot for this owner.
 */
static ContimeGeneration *
make_generation(const Opening *opening)
{
	int index = contime_slots_allow(opening->owner) ? contime_slot_find() : -1;
	RegistryKey key = {opening->database, opening->relation};
	RegistryEntry *entry;
	ContimeGeneration *g;
	bool found;

	Assert(contime_holds_registry(LW_EXCLUSIVE));
	Assert(OidIsValid(opening->database) && OidIsValid(opening->relation));
	if (index < 0)
		return NULL;
	entry = hash_search(contime_registry, &key, HASH_ENTER_NULL, &found);
	if (entry == NULL)
		return NULL;
	g = &contime_shared->generation[index];
	Assert(contime_generation_state(g) == CONTIME_GENERATION_FREE);
	Assert(contime_generation_is_empty(g)); /* invariant 2 of registry.c */
	reset_generation(g);
	g->database = opening->database;
	g->relation = opening->relation;
	g->owner = opening->owner;
	g->xid = opening->xid;
	g->serial = ++contime_shared->next_serial;
	g->older = found ? entry->newest : -1;
	g->since = GetCurrentTimestamp();
	if (!found)
		pg_atomic_write_u64(&g->read_watermark,
							pg_atomic_read_u64(contime_early_of(g->database, g->relation)));
	pg_atomic_write_u64(&g->cache.last_read, (uint64) g->since);
	g->reset_due = opening->reset_due || has_opened_generation(g->older);
	g->notice.opened = Max((uint64) g->since,
						   g->older < 0 ? 0 : contime_shared->generation[g->older].notice.seq + 1);
	g->notice.seq = g->notice.sent = g->notice.opened;
	pg_atomic_write_u64(&g->notice.lost, g->reset_due ? g->notice.opened : 0);
	Assert(g->older < 0 || contime_shared->generation[g->older].notice.seq < g->notice.opened);
	entry->newest = index;
	contime_slot_take(index);
	contime_generation_change_state(index, opening->xid == 0 ? CONTIME_GENERATION_OPEN
															 : CONTIME_GENERATION_OPENING);
	return g;
}

/*
 * The generations that this transaction has opened, oldest first.  subid is the
 * subtransaction whose end decides on it: the one that opened it or, after that one
 * has committed, its parent.
 */
typedef struct Own
{
	Oid relation;
	uint64 serial;
	SubTransactionId subid;
} Own;

static Own *own = NULL; /* in TopTransactionContext */
static int nown = 0;
static int own_capacity = 0;

static void
forget_own_at_xact(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		own = NULL;
		nown = own_capacity = 0;
	}
}

static void
update_own_at_subxact(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (nown > 0 && own[nown - 1].subid >= mine)
			nown--;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (int i = nown - 1; i >= 0 && own[i].subid == mine; i--)
			own[i].subid = parent;
}

/* Allocate room for one more entry, before anything is changed that must be noted. */
static void
prepare_own(void)
{
	static bool registered = false;

	Assert(IsTransactionState());
	if (!registered)
	{
		RegisterXactCallback(forget_own_at_xact, NULL);
		RegisterSubXactCallback(update_own_at_subxact, NULL);
		registered = true;
	}
	if (nown < own_capacity)
		return;
	own_capacity = Max(16, own_capacity * 2);
	own = own ? repalloc(own, own_capacity * sizeof(Own))
			  : MemoryContextAlloc(TopTransactionContext, own_capacity * sizeof(Own));
}

static void
note_own(const ContimeGeneration *g)
{
	Assert(nown < own_capacity); /* prepare_own() was called */
	own[nown++] = (Own){g->relation, g->serial, GetCurrentSubTransactionId()};
}

/*
 * Return the serial of the generation of a table that this subtransaction opened last,
 * or 0.
 */
static uint64
find_own_serial(Oid relation)
{
	for (int i = nown - 1; i >= 0 && own[i].subid == GetCurrentSubTransactionId(); i--)
		if (own[i].relation == relation)
			return own[i].serial;
	return 0;
}

/*
 * True if the newest generation can be used instead of a new one: two backends may be
 * the first to write to a table at the same time.
 */
static bool
serves_as_new(const ContimeGeneration *newest, uint64 xid)
{
	if (newest->dropped != 0)
		return false;
	if (xid == 0)
		return newest->xid == 0;
	return contime_generation_is_opened(newest) && contime_generation_is_empty(newest) &&
		   pg_atomic_read_u32(&unconstify(ContimeGeneration *, newest)->cache.state) ==
			   CONTIME_CACHE_NONE;
}

/*
 * Use the newest generation if it serves, or open a new one.  Return NULL if there is
 * no slot.
 */
static ContimeGeneration *
use_or_open_generation(const Opening *opening)
{
	uint64 superseded = opening->xid == 0 ? 0 : find_own_serial(opening->relation);
	ContimeGeneration *g = NULL;
	int newest;

	contime_registry_lock(LW_EXCLUSIVE);
	newest = contime_chain_newest(opening->database, opening->relation);
	if (newest >= 0 && serves_as_new(&contime_shared->generation[newest], opening->xid))
		g = &contime_shared->generation[newest];

	/* A generation that the same subtransaction has opened will not be in force again. */
	else if (newest >= 0 && superseded != 0 &&
			 contime_shared->generation[newest].serial == superseded)
		contime_chain_kill(newest);
	if (g == NULL)
		g = make_generation(opening);
	contime_registry_unlock();
	return g;
}

static Opening
make_opening(Oid relation, uint64 xid)
{
	Opening opening = {.database = MyDatabaseId,
					   .relation = relation,
					   .owner = get_relation_owner(relation),
					   .xid = xid,
					   .reset_due = xid == 0 && contime_is_old(relation)};

	Assert(xid == 0 || TransactionIdIsCurrentTransactionId((TransactionId) xid));
	return opening;
}

/*
 * True if a generation has no events, and nothing else that the table's next
 * generation would have to know.
 */
static bool
is_idle(ContimeGeneration *g)
{
	CtStats stats;
	bool due;

	if (contime_generation_state(g) != CONTIME_GENERATION_OPEN || g->dropped != 0 ||
		contime_cache_state(g) == CONTIME_CACHE_LOADING ||
		contime_cache_state(g) == CONTIME_CACHE_TRIMMING ||
		(g->retain.ticks && contime_retained(g) != PG_INT64_MIN))
		return false;
	SpinLockAcquire(&g->notice.mutex);
	due = g->notice.due.seq != 0 || g->notice.sending.seq != 0;
	SpinLockRelease(&g->notice.mutex);
	stats = contime_generation_stats(g);
	return !due && stats.keys == 0 && stats.recent == 0;
}

/*
 * True if this backend has a lock on the relation: its own lock request would not wait
 * for that.
 */
static bool
is_locked_by_me(const LOCKTAG *tag)
{
	for (LOCKMODE mode = AccessShareLock; mode <= AccessExclusiveLock; mode++)
		if (LockHeldByMe(tag, mode, false))
			return true;
	return false;
}

/*
 * End a generation that no transaction uses and that has no events.  Return false if
 * it is in use.
 */
static bool
end_idle(ContimeGeneration *g)
{
	uint64 serial = g->serial;
	LOCKTAG tag;
	bool idle;

	Assert(TransactionIdIsValid(GetTopTransactionIdIfAny())); /* locking needs one */
	SET_LOCKTAG_RELATION(tag, g->database, g->relation);
	if (is_locked_by_me(&tag) || LockAcquireExtended(&tag, AccessExclusiveLock, false, true, false,
													 NULL, false) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	contime_registry_lock(LW_EXCLUSIVE);
	idle = g->serial == serial && is_idle(g);
	if (idle)
	{
		contime_early_raise(contime_early_of(g->database, g->relation),
							(int64) pg_atomic_read_u64(&g->read_watermark));
		contime_chain_end(g - contime_shared->generation);
	}
	contime_registry_unlock();
	LockRelease(&tag, AccessExclusiveLock, false);
	return idle;
}

/*
 * Free slots: those of transactions that were rolled back, and some of tables that
 * have no events any more.  (A backend without a transaction id skips the latter,
 * because the lock on the relation would assign one.)
 */
static void
reclaim_slots(void)
{
	int ended = 0;

	Assert(contime_holds_no_lock());
	(void) contime_generations_sweep();
	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()) || IsInParallelMode())
		return;
	for (int i = contime_next_slot(-1); i >= 0 && ended < MOST_RECLAIMED; i = contime_next_slot(i))
	{
		CHECK_FOR_INTERRUPTS();
		if (is_idle(&contime_shared->generation[i]))
			ended += end_idle(&contime_shared->generation[i]);
	}
	contime_wake_workers();
}

static ContimeGeneration *
try_open(const Opening *opening)
{
	ContimeGeneration *g;

	if (opening->xid != 0)
		prepare_own();
	g = use_or_open_generation(opening);
	if (g == NULL)
	{
		reclaim_slots();
		g = use_or_open_generation(opening);
	}
	if (g == NULL)
		return NULL;
	if (opening->xid != 0 && g->xid == opening->xid)
		note_own(g);

	/* A worker must find the end of the transaction, or send the reset. */
	if (opening->xid != 0 || g->reset_due)
		contime_wake_workers();
	return g;
}

ContimeGeneration *
contime_generation_try(Oid relation, uint64 xid)
{
	Opening opening = make_opening(relation, xid);

	return try_open(&opening);
}

static void CONTIME_NORETURN
report_no_slot(const Opening *opening)
{
	char *role = GetUserNameFromId(opening->owner, true);

	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("too many continuous tables with data"),
			 errdetail("Role \"%s\" owns %d of the %d that there is room for, and %d are free. "
					   "A role may own as many as are free.",
					   role ? role : "", contime_slots_of(opening->owner), contime_shared->slots,
					   contime_shared->slots - contime_shared->slots_used),
			 errhint(
				 "End the transaction, drop continuous tables that are not needed, or increase contime.memory.")));
}

/* True if there is a DEAD generation, whose slot the workers are about to free. */
static bool
has_dead_generation(void)
{
	for (int i = contime_next_slot(-1); i >= 0; i = contime_next_slot(i))
		if (contime_generation_state(&contime_shared->generation[i]) == CONTIME_GENERATION_DEAD)
			return true;
	return false;
}

ContimeGeneration *
contime_generation_create(Oid relation, uint64 xid)
{
	Opening opening = make_opening(relation, xid);
	ContimeGeneration *g;

	/* If slots are about to be freed, wake the workers and wait for at most three seconds. */
	for (int tries = 0; (g = try_open(&opening)) == NULL; tries++)
	{
		CHECK_FOR_INTERRUPTS();
		if (tries >= 300 || !has_dead_generation())
			report_no_slot(&opening);
		contime_wake_workers();
		pg_usleep(10000);
	}
	return g;
}

ContimeGeneration *
contime_generation_replace(Oid relation)
{
	ContimeGeneration *g = contime_generation(relation);

	Assert(is_locked_exclusively(MyDatabaseId, relation));
	if (g)
	{
		contime_registry_lock(LW_EXCLUSIVE);
		if (contime_generation_is_live(g))
			contime_chain_end(g - contime_shared->generation);
		contime_registry_unlock();
	}
	return contime_generation_try(relation, 0);
}

bool
contime_generation_end(ContimeGeneration *g)
{
	Opening opening = {g->database, g->relation, g->owner, 0, true};
	int index = g - contime_shared->generation;
	bool ended;

	Assert(is_locked_exclusively(opening.database, opening.relation));
	/* If there is a newer generation, that one is in force, or may be. */
	contime_registry_lock(LW_EXCLUSIVE);
	ended = contime_generation_is_live(g) && g->dropped == 0 &&
			contime_chain_newest(opening.database, opening.relation) == index;
	if (ended)
	{
		(void) make_generation(&opening);
		contime_chain_end(index);
	}
	contime_registry_unlock();
	if (ended)
		contime_wake_workers();
	return ended;
}

void
contime_generation_drop(Oid relation, uint64 xid)
{
	Assert(TransactionIdIsCurrentTransactionId((TransactionId) xid));
	contime_registry_lock(LW_EXCLUSIVE);
	for (int i = contime_chain_newest(MyDatabaseId, relation); i >= 0;
		 i = contime_shared->generation[i].older)
		contime_shared->generation[i].dropped = xid;
	contime_registry_unlock();
	contime_wake_workers();
}

/*
 * This does not use `dropped`, because it is called before core has checked the
 * command, and must not overwrite the note of a DROP TABLE that is in progress.
 */
void
contime_generation_drop_database(Oid database, uint64 xid)
{
	Assert(TransactionIdIsCurrentTransactionId((TransactionId) xid));
	contime_registry_lock(LW_EXCLUSIVE);
	for (int i = contime_next_slot(-1); i >= 0; i = contime_next_slot(i))
		if (contime_shared->generation[i].database == database)
			contime_shared->generation[i].database_dropped = xid;
	contime_registry_unlock();
	contime_wake_workers();
}

void
contime_generation_end_stale(Oid relation)
{
	if (contime_shared == NULL || !contime_has_generation(relation))
		return;
	contime_registry_lock(LW_EXCLUSIVE);
	contime_chain_end(contime_chain_newest(MyDatabaseId, relation));
	contime_registry_unlock();
	contime_wake_workers();
}
