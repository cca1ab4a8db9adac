/*
 * registry.c
 *	  Which generation of a table is in force.
 *
 * A generation holds a table's events from its first use or a TRUNCATE on.  The
 * generations of one table form a chain, the newest first; a hash table in shared
 * memory finds it by database and relation.
 *
 *	  FREE ── make_generation ──► OPENING ── contime_settled_enter ──► OPEN
 *	    ▲           └─ without a transaction ────────────────────────► OPEN
 *	    │                            │ rolled back       replaced, dropped │
 *	    └── contime_slot_return ─── DEAD ◄────── contime_chain_kill ───────┘
 *
 *	  state     what holds
 *	  FREE      the slot is in no chain, and its stores are 0
 *	  OPENING   in a chain; in force only for the transaction that opened it
 *	  OPEN      in a chain; in force unless a newer one is, or the table is dropped
 *	  DEAD      in no chain; the workers free its stores
 *
 * contime_generation_change_state() (slots.c) makes every change.
 *
 * A table takes a slot when it first gets an event; a durable table, when it is first
 * read; and any table that has a generation, when it is truncated.  CREATE and DROP
 * take none.  A role may own as many tables with a slot as there are free slots: one
 * role can take half of all slots, two roles a third each, and some are always left
 * for another role.
 *
 * Invariants:
 *   1. generation[].store[p] is set by a writer that holds the lock of partition p
 *      in exclusive mode, and cleared by worker p alone.
 *   2. A slot is reused only when its generation is DEAD and all its stores are 0,
 *      so a worker may read a store without the registry lock.  A process that
 *      decides on a generation without the lock compares its serial under the lock
 *      before it acts.
 *   3. The generation in force is the newest whose transaction is the reader's own
 *      or has committed.  Every process that uses one holds a lock on the relation
 *      until the end of its transaction, so no other transaction's TRUNCATE or DROP
 *      is pending meanwhile.
 *   4. A chain has no DEAD generation.
 *
 * Concurrency: chains, states and the map of slots change under the registry lock.
 *
 * Not here: how generations are opened and ended (generations.c), how DEAD ones are
 * freed (sweep.c, worker/worker.c), the description of a table (table/).
 */
#include "postgres.h"

#include "shared/shared.h"
#include "shared/registry.h"
#include "base/base.h"
#include "mvcc/mvcc.h"

#include <sys/mman.h>

#include "access/xact.h"
#include "common/hashfn.h"
#include "pgstat.h"
#include "utils/guc.h"
#include "utils/syscache.h"

ContimeCacheState
contime_cache_state(ContimeGeneration *g)
{
	return (ContimeCacheState) pg_atomic_read_u32(&g->cache.state);
}

int64
contime_read_instant(pg_atomic_uint64 *instant)
{
	return (int64) pg_atomic_read_u64(instant);
}

int64
contime_retained(ContimeGeneration *g)
{
	return contime_read_instant(&g->retained);
}

HTAB *contime_registry = NULL;

/* ---- tables that crash workers ------------------------------------------------ */

bool
contime_is_quarantined(const ContimeGeneration *g)
{
	for (int i = 0; i < contime_shared->nsuspects; i++)
	{
		const ContimeSuspect *suspect = &contime_shared->suspect[i];

		if (suspect->relation == g->relation && suspect->database == g->database &&
			suspect->deaths >= DEATHS_TO_QUARANTINE)
			return true;
	}
	return false;
}

/* ---- generations ------------------------------------------------------------- */

/* Search the hash table for a table, with an action of hash_search(). */
static RegistryEntry *
search_registry(Oid database, Oid relation, HASHACTION action)
{
	RegistryKey key;

	key.database = database;
	key.relation = relation;
	return hash_search(contime_registry, &key, action, NULL);
}

int
contime_chain_newest(Oid database, Oid relation)
{
	RegistryEntry *entry = search_registry(database, relation, HASH_FIND);

	Assert(contime_holds_registry(LW_SHARED));
	Assert(entry == NULL ||
		   contime_generation_is_live(&contime_shared->generation[entry->newest])); /* 4 */

	return entry ? entry->newest : -1;
}

bool
contime_has_generation(Oid relation)
{
	bool known;

	contime_registry_lock(LW_SHARED);
	known = contime_chain_newest(MyDatabaseId, relation) >= 0;
	contime_registry_unlock();
	return known;
}

bool
contime_generation_is_empty(const ContimeGeneration *g)
{
	for (int p = 0; p < contime_shared->partitions; p++)
		if (g->store[p] != 0)
			return false;
	return true;
}

/* Take a generation out of its chain. */
static void
remove_from_chain(int index)
{
	const ContimeGeneration *g = &contime_shared->generation[index];
	RegistryEntry *entry = search_registry(g->database, g->relation, HASH_FIND);
	int newer = entry->newest;

	Assert(contime_holds_registry(LW_EXCLUSIVE));
	if (newer != index)
	{
		while (contime_shared->generation[newer].older != index)
		{
			newer = contime_shared->generation[newer].older;
			Assert(newer >= 0); /* it is live, so the chain has it */
		}
		contime_shared->generation[newer].older = g->older;
	}
	else if (g->older >= 0)
		entry->newest = g->older;
	else
		search_registry(g->database, g->relation, HASH_REMOVE);
}

void
contime_chain_kill(int index)
{
	ContimeGeneration *g = &contime_shared->generation[index];

	Assert(index >= 0 && index < contime_shared->slots);
	Assert(contime_holds_registry(LW_EXCLUSIVE));
	if (contime_generation_is_live(g))
		remove_from_chain(index);
	g->older = -1;
	if (contime_generation_state(g) != CONTIME_GENERATION_DEAD)
		contime_generation_change_state(index, CONTIME_GENERATION_DEAD);
	if (contime_generation_is_empty(g))
		contime_slot_return(index);
}

void
contime_chain_end(int index)
{
	while (index >= 0)
	{
		int older = contime_shared->generation[index].older;

		contime_chain_kill(index);
		index = older;
	}
}

bool
contime_generation_is_opened(const ContimeGeneration *g)
{
	return contime_generation_state(g) == CONTIME_GENERATION_OPEN ||
		   TransactionIdIsCurrentTransactionId((TransactionId) g->xid);
}

void
contime_settled_note(Settled *settled, int index)
{
	const ContimeGeneration *g = &contime_shared->generation[index];

	Assert(index >= 0 && index < contime_shared->slots);
	settled->index = index;
	settled->serial = g->serial;
	settled->xid = contime_generation_is_opened(g) ? 0 : g->xid;
	settled->dropped = g->dropped;
	settled->database_dropped = g->database_dropped;
	settled->opener = settled->xid == 0 ? CONTIME_XACT_COMMITTED : CONTIME_XACT_IN_PROGRESS;
	settled->dropper = settled->database_dropper = CONTIME_XACT_IN_PROGRESS;
}

void
contime_settled_find(Settled *settled)
{
	Assert(contime_holds_no_lock());
	if (settled->xid != 0)
		settled->opener = contime_xact_status(settled->xid, settled->xid);
	if (settled->dropped != 0)
		settled->dropper = contime_xact_status(settled->dropped, settled->dropped);
	if (settled->database_dropped != 0)
		settled->database_dropper =
			contime_xact_status(settled->database_dropped, settled->database_dropped);
}

bool
contime_settled_is_gone(const Settled *settled)
{
	return settled->dropper == CONTIME_XACT_COMMITTED ||
		   settled->database_dropper == CONTIME_XACT_COMMITTED;
}

void
contime_settled_enter(const Settled *settled)
{
	ContimeGeneration *g = &contime_shared->generation[settled->index];

	Assert(contime_holds_registry(LW_EXCLUSIVE));
	if (g->serial != settled->serial || !contime_generation_is_live(g))
		return;
	if (settled->xid != 0 && settled->opener == CONTIME_XACT_COMMITTED &&
		contime_generation_state(g) == CONTIME_GENERATION_OPENING)
		contime_generation_change_state(settled->index, CONTIME_GENERATION_OPEN);
	if (settled->dropped == g->dropped && settled->dropper == CONTIME_XACT_ABORTED)
		g->dropped = 0;
	if (settled->database_dropped == g->database_dropped &&
		settled->database_dropper == CONTIME_XACT_ABORTED)
		g->database_dropped = 0;
	if (settled->opener == CONTIME_XACT_ABORTED ||
		(settled->dropped == g->dropped && settled->dropper == CONTIME_XACT_COMMITTED) ||
		settled->database_dropper == CONTIME_XACT_COMMITTED)
		contime_chain_kill(settled->index);
}

static void
store_settled(const Settled *settled)
{
	contime_registry_lock(LW_EXCLUSIVE);
	contime_settled_enter(settled);
	contime_registry_unlock();
}

/*
 * Find the generation in force, from the newest one on, without the commit log.  If
 * that is possible, set *found to it, or to NULL, and return true.  Otherwise copy the
 * generations that may be in force to undecided[], set *n to their number, which may
 * exceed the capacity, and return false.  Under the registry lock.
 */
static bool
walk_chain(Oid relation, Settled *undecided, int capacity, int *n, ContimeGeneration **found)
{
	*n = 0;
	*found = NULL;
	for (int i = contime_chain_newest(MyDatabaseId, relation); i >= 0;
		 i = contime_shared->generation[i].older)
	{
		ContimeGeneration *g = &contime_shared->generation[i];
		bool certain = contime_generation_is_opened(g) && g->dropped == 0;

		Assert(contime_generation_is_live(g)); /* invariant 4 */
		if (certain && *n == 0)
		{
			*found = g;
			return true;
		}
		if (*n < capacity)
			contime_settled_note(&undecided[*n], i);
		++*n;
		if (certain)
			break;
	}
	return *n == 0;
}

/* Return the generation in force among these, newest first, or NULL. */
static ContimeGeneration *
choose_generation(Settled *undecided, int n)
{
	for (int i = 0; i < n; i++)
	{
		Settled *settled = &undecided[i];

		if (settled->xid == 0 && settled->dropped != 0 &&
			TransactionIdIsCurrentTransactionId((TransactionId) settled->dropped))
			return NULL;
		contime_settled_find(settled);
		if (settled->opener == CONTIME_XACT_TRUNCATED)
			contime_report_truncated(settled->xid);
		if (settled->opener != CONTIME_XACT_IN_PROGRESS &&
			(settled->xid != 0 || settled->dropper != CONTIME_XACT_IN_PROGRESS))
			store_settled(settled);
		if (settled->opener == CONTIME_XACT_COMMITTED && settled->dropper != CONTIME_XACT_COMMITTED)
			return &contime_shared->generation[settled->index];
	}
	return NULL;
}

ContimeGeneration *
contime_generation(Oid relation)
{
	Settled some[8];
	Settled *undecided = some;
	int capacity = lengthof(some);
	ContimeGeneration *g;

	Assert(OidIsValid(MyDatabaseId));
	for (;;)
	{
		bool done;
		int n;

		contime_registry_lock(LW_SHARED);
		done = walk_chain(relation, undecided, capacity, &n, &g);
		contime_registry_unlock();
		if (done)
			break;
		if (n <= capacity)
		{
			g = choose_generation(undecided, n);
			break;
		}
		capacity = n * 2;
		undecided = palloc(capacity * sizeof(Settled));
	}
	if (undecided != some)
		pfree(undecided);
	return g;
}

bool
contime_has_data(Oid relation)
{
	ContimeGeneration *g = contime_generation(relation);

	/* The events of a cache are those of the event tables. */
	if (g && contime_cache_state(g) != CONTIME_CACHE_NONE)
		return false;
	for (int p = 0; g && p < contime_shared->partitions; p++)
		if (g->store[p] != 0)
			return true;
	return false;
}

/* ---- read watermarks, and age of a table -------------------------------------- */

/*
 * No command changes the catalog row of a system column, so its xmin is the
 * transaction that created the table, unless it is frozen.
 */
bool
contime_is_old(Oid relation)
{
	HeapTuple tuple =
		SearchSysCache2(ATTNUM, ObjectIdGetDatum(relation), Int16GetDatum(TableOidAttributeNumber));
	TransactionId xmin = FrozenTransactionId;

	Assert(IsTransactionState());
	if (HeapTupleIsValid(tuple))
	{
		xmin = HeapTupleHeaderGetXmin(tuple->t_data);
		ReleaseSysCache(tuple);
	}
	return contime_shared->first_xid == 0 || !TransactionIdIsNormal(xmin) ||
		   contime_full_xid(xmin) < contime_shared->first_xid;
}

pg_atomic_uint64 *
contime_early_of(Oid database, Oid relation)
{
	return &contime_shared->early[hash_combine(database, murmurhash32(relation)) % CONTIME_EARLY];
}

void
contime_early_raise(pg_atomic_uint64 *early, int64 instant)
{
	uint64 latest = pg_atomic_read_u64(early);

	while (instant > (int64) latest &&
		   !pg_atomic_compare_exchange_u64(early, &latest, (uint64) instant))
		;
}

pg_atomic_uint64 *
contime_early(Oid relation)
{
	return contime_early_of(MyDatabaseId, relation);
}

/* ---- statistics --------------------------------------------------------------- */

CtStats
contime_generation_stats(const ContimeGeneration *g)
{
	CtStats sum = {0};

	for (int p = 0; p < contime_shared->partitions; p++)
	{
		CtArena arena = contime_arena(p);
		CtStats stats;

		if (g->store[p] == 0)
			continue;
		pg_read_barrier();
		ct_store_stats(&arena, g->store[p], &stats);
		sum.keys += stats.keys;
		sum.recent += stats.recent;
		sum.young += stats.young;
		sum.frozen += stats.frozen;
		sum.net += stats.net;
		sum.bytes += stats.bytes;
	}
	return sum;
}

Size
contime_generation_bytes(const ContimeGeneration *g)
{
	return contime_generation_stats(g).bytes;
}
