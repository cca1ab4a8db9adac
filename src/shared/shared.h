/*
 * shared.h
 *	  Shared memory: partitions, generations of tables, processes, memory accounts.
 *
 *	  partition.c    locks and memory of partitions; how workers are woken
 *	  accounts.c     what tables, roles and databases use of the memory
 *	  agents.c       the table of processes: an agent and a loader for a database
 *	  budget.c       the formula: how much of the free memory a table may take
 *	  due.c          what listeners of a table have yet to be notified of
 *	  slots.c        slots for generations
 *	  registry.c     which generation of a table is in force
 *	  sweep.c        which generations are dead, and can be freed
 *	  generations.c  generations of a table's events: opened, ended, dropped
 *	  loaded.c       the snapshots by which caches were loaded
 *	  stamps.c       stamps of events without a time
 *	  upgrade.c      the mark of an upgrade
 *	  startup.c      shared memory is requested and made
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_SHARED_H
#define CONTIME_SHARED_H

#include "postgres.h"

#include "engine/engine.h"
#include "base/base.h"

#include "storage/lwlock.h"
#include "storage/latch.h"
#include "storage/spin.h"

#define CONTIME_MAX_GENERATIONS 65536 /* slots for tables with data, in all databases */
#define CONTIME_EARLY 1024
#define CONTIME_MAX_AGENTS 64   /* databases with an agent at a time */
#define CONTIME_UNFLUSHED 8     /* notes of transactions with captured rows, of a table */
#define CONTIME_LOAD_XIDS 32    /* transactions under way while a cache is loaded that are noted */
#define CONTIME_MAX_SUSPECTS 16 /* tables that are remembered to have killed a worker */

/*
 * The cache of a durable table (durable/cache.c has the diagram); tables in
 * memory stay in the first state.
 */
typedef enum ContimeCacheState
{
	CONTIME_CACHE_NONE = 0,
	CONTIME_CACHE_WANTED,   /* a backend has read the table: a loader is to load it */
	CONTIME_CACHE_LOADING,  /* rows that are written are captured, and the others loaded */
	CONTIME_CACHE_TRIMMING, /* not all fits: what was loaded is removed, rows are captured */
	CONTIME_CACHE_READY,    /* readable: it has all keys */
	CONTIME_CACHE_PARTIAL,  /* readable: keys that it lacks are read from the event tables */
	CONTIME_CACHE_BROKEN,   /* a row may be missing: to be replaced */
	CONTIME_CACHE_REFUSED   /* it cannot be loaded for now */
} ContimeCacheState;
#define CONTIME_CACHE_STATES (CONTIME_CACHE_REFUSED + 1)

StaticAssertDecl(CONTIME_CACHE_TRIMMING == CONTIME_CACHE_LOADING + 1 &&
					 CONTIME_CACHE_READY == CONTIME_CACHE_LOADING + 2 &&
					 CONTIME_CACHE_PARTIAL == CONTIME_CACHE_LOADING + 3,
				 "the states with capture are neighbours");

/* Readers may find in it what their snapshots see. */
static inline bool
contime_cache_is_readable(ContimeCacheState state)
{
	return state == CONTIME_CACHE_READY || state == CONTIME_CACHE_PARTIAL;
}

/* Rows that are written to the event tables are added to it. */
static inline bool
contime_cache_is_captured(ContimeCacheState state)
{
	return state >= CONTIME_CACHE_LOADING && state <= CONTIME_CACHE_PARTIAL;
}

/* What listeners of a table are to be notified of; seq = 0: nothing. */
typedef struct ContimeDue
{
	uint64 seq; /* of the newest notice in it */
	uint64 events;
	int64 from;
	int64 to;
	bool reset; /* what was known before is no more */
} ContimeDue;

/*
 * A snapshot by which events were loaded. If nxip exceeds the room in xip, its
 * transactions are not known.
 */
typedef struct ContimeLoaded
{
	uint64 xmax;
	uint32 nxip;
	uint64 xip[CONTIME_LOAD_XIDS];
} ContimeLoaded;

/* Of a cache: were bad rows left out, and of which keys (store/oversize.c)? */
#define CONTIME_OVERSIZE_WORDS 8

typedef struct ContimeOversize
{
	pg_atomic_uint32 any;
	pg_atomic_uint64 regain_after;
	pg_atomic_uint64 bit[CONTIME_OVERSIZE_WORDS]; /* by the key's hash */
} ContimeOversize;

/* How far the load of a cache is; written by the loader, read by contime.tables. */
typedef struct ContimeProgress
{
	pg_atomic_uint64 began; /* as TimestampTz; 0: no rows are being read */
	pg_atomic_uint64 done;  /* rows of event tables that were read, */
	pg_atomic_uint64 total; /* of about so many */
} ContimeProgress;

/*
 * The life of a generation (shared/registry.c has the diagram).
 */
typedef enum ContimeGenerationState
{
	CONTIME_GENERATION_FREE = 0, /* the slot is free */
	CONTIME_GENERATION_OPENING,  /* the transaction that opened it is not known to have committed */
	CONTIME_GENERATION_OPEN,     /* that transaction has committed */
	CONTIME_GENERATION_DEAD      /* in no chain: workers free its stores, then its slot */
} ContimeGenerationState;

/*
 * The events of one table from its first use or a TRUNCATE on.  In force is the
 * newest one whose transaction is the reader's own or has committed, unless
 * such a transaction has dropped the table.
 */
typedef struct ContimeGeneration
{
	/* Changed under the registry lock.  Without it, what is read may be outdated. */
	pg_atomic_uint32 state; /* ContimeGenerationState */
	Oid database;
	Oid relation;
	Oid owner;               /* of the table, when this was opened */
	uint64 xid;              /* the transaction that opened it; 0: always in force */
	uint64 dropped;          /* the transaction that drops its table; 0: none */
	uint64 database_dropped; /* likewise, its database */
	uint64 serial;           /* order among the generations of a table */
	int older;               /* index of the next older one in the chain, or -1 */
	int account;             /* that its bytes are charged to, or -1 (accounts.c) */
	bool reset_due;          /* the table had an earlier life: listeners get a reset */
	TimestampTz since;       /* when it was opened */

	/* Changed under the partition's lock. */
	CtRef store[CONTIME_MAX_WORKERS]; /* 0 until needed */

	/* Changed without a lock: hints, and instants that only grow (as int64). */
	bool wants_agent;                /* the first data came: start the database's agent */
	bool truncation_logged;          /* a transaction's status is truncated, which was logged */
	pg_atomic_uint64 read_watermark; /* the latest instant that was read */
	pg_atomic_uint64 retained;       /* the earliest instant that is answered */
	pg_atomic_uint64 newest;         /* of a logical clock: the newest event that committed */
	pg_atomic_uint64 too_late;       /* events that were ignored as too late */

	/* What listeners have yet to be notified of (due.c). */
	struct
	{
		slock_t mutex;         /* protects all but `lost` */
		uint64 opened;         /* the numbers of this generation's notices are greater */
		uint64 seq;            /* number of the last notice */
		ContimeDue due;        /* not sent yet */
		ContimeDue sending;    /* the agent is about to commit it */
		uint64 sent;           /* the agent has committed up to this number */
		pg_atomic_uint64 lost; /* notices up to this number cannot be replayed */
	} notice;

	/* How far back the table goes (store/retention.c). */
	struct
	{
		slock_t mutex;
		bool ticks;              /* a logical clock */
		int64 period;            /* in instants; 0: all of them are retained */
		int64 next_period;       /* once this transaction has committed: */
		uint64 xid;              /* 0: no ALTER is under way */
		TimestampTz raise_after; /* `retained` is raised no earlier */
	} retain;

	/* The cache of a durable table (durable/cache.c). */
	struct
	{
		pg_atomic_uint32 state;     /* ContimeCacheState: changed by compare-and-exchange */
		TimestampTz load_after;     /* refused until then */
		pg_atomic_uint64 last_read; /* when, to the second (as TimestampTz) */
		ContimeLoaded loaded;       /* written before the cache becomes readable */
		ContimeOversize oversize;   /* rows that are left out */
		pg_atomic_uint64 bad_rows;  /* how many were met, by the load and since */
		ContimeProgress progress;   /* of its load */

		/* Transactions with captured rows that are not added yet (durable/unflushed.c); 0: free. */
		pg_atomic_uint64 unflushed[CONTIME_UNFLUSHED];

		/* Refused as dependencies or triggers lack; the loader sets it, the agent clears it. */
		bool unbound;
	} cache;

	/* A cache that has not all keys (durable/partial.c); changed by its loader. */
	struct
	{
		uint64 rows;             /* of all keys, when it became partial; */
		Size bytes;              /* that they would take; */
		int64 net;               /* the engine's count of events then */
		int64 newest_row;        /* no event that was not captured is later than this */
		TimestampTz retry_after; /* it is not loaded whole before */
		pg_atomic_uint32 hold;   /* odd: the loader has the batches, no worker takes any */
		pg_atomic_uint32 loads;  /* odd: `loaded` is being changed */
		ContimeLoaded loaded;    /* the snapshot by which keys were loaded last */
	} partial;
} ContimeGeneration;

static inline ContimeGenerationState
contime_generation_state(const ContimeGeneration *g)
{
	return (ContimeGenerationState) pg_atomic_read_u32(&unconstify(ContimeGeneration *, g)->state);
}

/* In a chain: it is in force for some transaction, or may be. */
static inline bool
contime_generation_is_live(const ContimeGeneration *g)
{
	ContimeGenerationState state = contime_generation_state(g);

	return state == CONTIME_GENERATION_OPENING || state == CONTIME_GENERATION_OPEN;
}

static inline bool
contime_is_held(uint32 hold)
{
	return hold % 2 == 1;
}

/* Longer keys do not come back to a cache that does not have them. */
#define CONTIME_WANTED_BYTES 128
#define CONTIME_WANTED 1024

StaticAssertDecl(CONTIME_WANTED_BYTES <= CT_MAX_KEY_BYTES, "a wanted key is a key");

/* A key that a reader missed in a partial cache. */
typedef struct ContimeWanted
{
	slock_t mutex;  /* of what follows: */
	uint64 serial;  /* of the generation, 0: free; */
	int generation; /* its index, */
	Oid database;   /* and database */
	uint32 key_bytes;
	char key[CONTIME_WANTED_BYTES];
} ContimeWanted;

typedef struct ContimePartition
{
	pg_atomic_uint32 hibernating;  /* worker sleeps long: wake it */
	pg_atomic_uint64 writer_waits; /* a writer waits for the lock until then: holders yield it */
	pg_atomic_uint64 reader_waits;
	Latch *volatile latch; /* of the worker; NULL while there is none */
	int pid;
	Oid changing_database;          /* whose events the worker is changing now: */
	volatile Oid changing_relation; /* InvalidOid: none */
	uint64 entered;                 /* events since the start */
	uint64 dropped;
	TimestampTz last_pass;
	uint64 ring_from; /* its notices: notify/notices.c */
	uint64 ring_to;
} ContimePartition;

/* A table whose events were being changed when a worker crashed. */
typedef struct ContimeSuspect
{
	Oid database;
	Oid relation;
	int deaths;
} ContimeSuspect;

/*
 * A table whose user-made code a background process runs, or does not run for
 * a while (table/guard.c).
 */
typedef struct ContimeSuspectCode
{
	Oid relid; /* InvalidOid: none */
	Oid owner;
	TimestampTz until; /* it is not run until then */
} ContimeSuspectCode;

/* A database's agent; under the registry lock. */
typedef struct ContimeAgent
{
	Oid database;   /* InvalidOid: free */
	int pid;        /* 0: not running */
	int loader_pid; /* likewise, of the loader */
	Latch *latch;
	TimestampTz not_before;    /* do not start another until then */
	TimestampTz stopped_until; /* none may connect until then */

	/* Written by the agent and the loader alone. */
	ContimeSuspectCode agent_runs;
	ContimeSuspectCode loader_runs;
	uint32 ndistrusted; /* how many tables were distrusted; the last ones are in */
	ContimeSuspectCode distrusted[16];
} ContimeAgent;

/* A session's newest stamp, and whose it is. */
typedef struct ContimeStamp
{
	int pid;
	TimestampTz stamp;
} ContimeStamp;

StaticAssertDecl(CONTIME_MAX_GENERATIONS % 64 == 0, "the map of slots has whole words");
StaticAssertDecl(CONTIME_MAX_WORKERS <= CT_MAX_ARENAS, "each partition has an arena");

typedef struct ContimeShared
{
	int partitions;
	int slots; /* of generations */
	int slots_used;
	uint64 slot_map[CONTIME_MAX_GENERATIONS / 64]; /* a bit for each slot: used */
	uint64 next_serial;
	int highest; /* generations in use are below: 0 .. highest - 1 */
	/* Transactions since the server's start have this id or a later one; 0: not known yet. */
	uint64 first_xid;
	Latch *volatile launcher_latch;
	int nsuspects; /* constant between crashes */
	ContimeSuspect suspect[CONTIME_MAX_SUSPECTS];
	ContimeAgent agent[CONTIME_MAX_AGENTS];
	Oid visited; /* a database that an agent is to look at after an upgrade (upgrade.c) */
	ContimePartition partition[CONTIME_MAX_WORKERS];
	ContimeWanted wanted[CONTIME_WANTED]; /* by a hash of the key */
	/* Of tables without a generation, by a hash: the latest instant that was read. */
	pg_atomic_uint64 early[CONTIME_EARLY];
	ContimeGeneration generation[FLEXIBLE_ARRAY_MEMBER]; /* slots of them */
} ContimeShared;

/* The levels at which the use of memory is counted and limited. */
typedef enum ContimeLevel
{
	CONTIME_OF_TABLE,
	CONTIME_OF_ROLE,     /* all tables that a role owns, in all databases */
	CONTIME_OF_DATABASE, /* all tables of a database */
	CONTIME_UNLIMITED    /* none of these */
} ContimeLevel;

#define CONTIME_LEVELS CONTIME_UNLIMITED

/* Limits in bytes, by level; -1: there is none. */
typedef struct ContimeQuota
{
	int64 bytes[CONTIME_LEVELS];
} ContimeQuota;

/* ---- partition.c ------------------------------------------------------------- */

extern ContimeShared *contime_shared;
extern ContimeStamp *contime_stamps; /* by backend id - 1 */
extern char *contime_region;

static inline int
contime_partition_of(uint64 hash)
{
	return (int) ((hash >> 32) % contime_shared->partitions);
}

/*
 * ERROR 55000 unless the library was preloaded. contime_require_running():
 * also if the server is in recovery.
 */
extern void contime_require_loaded(void);
extern void contime_require_running(void);

/*
 * Take the lock of a partition; the wait can be cancelled. ERROR 55P03 after
 * 10 s. While the lock is held, raise no error and wait for nothing.
 */
extern void contime_lock(int partition, LWLockMode mode);
extern void contime_unlock(int partition);

/*
 * Wait a moment if a writer (for_readers: or a reader) waits for a partition's
 * lock. Returns true if one did. Not under the lock.
 */
extern bool contime_yield_lock(int partition, bool for_readers);

/* Take and release the registry lock; errors as contime_lock(). */
extern void contime_registry_lock(LWLockMode mode);
extern void contime_registry_unlock(void);

#ifdef USE_ASSERT_CHECKING
/*
 * For assertions. True if this process holds the lock of a partition, or the
 * registry lock, in this mode or a stronger one; or none of them.
 */
extern bool contime_holds_lock(int partition, LWLockMode mode);
extern bool contime_holds_registry(LWLockMode mode);
extern bool contime_holds_no_lock(void);
#endif

/* The arena of a partition, as this process sees it. */
extern CtArena contime_arena(int partition);

/* Wake a hibernating worker; all of them; the process whose latch this is, if there is one. */
extern void contime_wake_worker(int partition);
extern void contime_wake_workers(void);
extern void contime_set_latch(Latch *volatile *where);

/* ---- upgrade.c --------------------------------------------------------------- */

/* pg_upgrade restores a continuous table: have the next server look after it. */
extern void contime_upgrade_set_mark(void);
extern bool contime_upgrade_is_marked(void);
extern void contime_upgrade_remove_mark(void);

/*
 * The database that its agent is to visit; InvalidOid: none. end: its agent has
 * found all continuous tables bound; the launcher is woken.
 */
extern void contime_visit_begin(Oid database);
extern Oid contime_visited(void);
extern void contime_visit_end(Oid database);

/* ---- startup.c --------------------------------------------------------------- */

/* Request shared memory, and make or attach it. Called by module.c. */
extern void contime_shared_request(void);
extern void contime_shared_startup(void);

/* ---- registry.c -------------------------------------------------------------- */

/* True if a relation of this database has a generation that is not DEAD. */
extern bool contime_has_generation(Oid relation);

/*
 * The generation of a relation of this database that is in force for this
 * transaction. NULL: nothing was ever written.
 */
extern ContimeGeneration *contime_generation(Oid relation);

/* True if the table has a generation in force with data. */
extern bool contime_has_data(Oid relation);

/*
 * The watermark of reads (as int64) of a relation that has no generation.
 * Relations share it by a hash. The first generation of a relation begins with
 * it.
 */
extern pg_atomic_uint64 *contime_early(Oid relation);

/*
 * True if the relation may be older than the server's start, so that events of
 * it may have been lost.
 */
extern bool contime_is_old(Oid relation);

/*
 * The engine's counts of a generation over all partitions, and the bytes it
 * takes. Read without the locks, so they are approximate.
 */
extern CtStats contime_generation_stats(const ContimeGeneration *g);
extern Size contime_generation_bytes(const ContimeGeneration *g);

/*
 * True if workers crashed repeatedly while they changed this table: they leave
 * it alone.
 */
extern bool contime_is_quarantined(const ContimeGeneration *g);

/* The state of a table's cache, which may change at any time. */
extern ContimeCacheState contime_cache_state(ContimeGeneration *g);

/* The earliest instant that can be answered and written to. */
extern int64 contime_retained(ContimeGeneration *g);

/* The value of an atomic that holds an instant. */
extern int64 contime_read_instant(pg_atomic_uint64 *instant);

/* ---- generations.c ----------------------------------------------------------- */

/*
 * Open a generation of a table for a (sub)transaction; with xid 0 it is in
 * force at once. ERROR 54000 if the table's owner has as many as it may have.
 * contime_generation_try() returns NULL instead, and does not wait.
 */
extern ContimeGeneration *contime_generation_create(Oid relation, uint64 xid);
extern ContimeGeneration *contime_generation_try(Oid relation, uint64 xid);

/*
 * Replace the table's generations by a new one that is in force at once. The
 * caller holds AccessExclusiveLock on the table. Returns NULL if there is no
 * slot; the old ones are ended all the same.
 */
extern ContimeGeneration *contime_generation_replace(Oid relation);

/*
 * End the generation of a cache that no backend uses, in any database, in
 * favour of an empty one. The caller holds AccessExclusiveLock on the table.
 * Returns false if there is a newer generation already.
 */
extern bool contime_generation_end(ContimeGeneration *g);

/*
 * Note that a (sub)transaction drops a table, or a database with all its
 * tables.
 */
extern void contime_generation_drop(Oid relation, uint64 xid);
extern void contime_generation_drop_database(Oid database, uint64 xid);

/*
 * A relation of this database is being created: end the generations of a
 * former one with the same OID.
 */
extern void contime_generation_end_stale(Oid relation);

/* ---- slots.c ----------------------------------------------------------------- */

/*
 * The next slot in use after this one, or -1. Begin with -1. Without the
 * registry lock the walk may miss changes.
 */
extern int contime_next_slot(int after);

/* ---- stamps.c ---------------------------------------------------------------- */

/*
 * The time for an event that gives none: the clock, strictly increasing within
 * a session.
 */
extern int64 contime_stamp(void);

/*
 * The newest stamp of this session, or -infinity. Stamps may run ahead of the
 * clock, and a session must see what it wrote. A parallel worker takes its
 * leader's.
 */
extern TimestampTz contime_newest_stamp(void);

/* ---- agents.c ---------------------------------------------------------------- */

/*
 * Register this process as the loader of a database. Returns false if there is
 * one, or if none may be there now.
 */
extern bool contime_loader_attach(Oid database);

/* Wake the agent of a database, or the launcher, which starts it. */
extern void contime_agent_wake(Oid database);

/*
 * End this process, since a command waits for all sessions to leave its
 * database; keep agents and loaders away for some seconds.
 */
extern void contime_agent_leave(void) CONTIME_NORETURN;

/* The pid of the agent or the loader of a database; 0 if there is none. */
extern int contime_agent_pid(Oid database, bool loader);

/* True if an agent may be started now, which is noted. */
extern bool contime_agent_claim_start(Oid database);

/*
 * Register this process as the agent of a database. Returns false if there is
 * one, or if none may be there now.
 */
extern bool contime_agent_attach(Oid database);

/* ---- due.c ------------------------------------------------------------------- */

/* Add what is due to a sum: one range and a count. */
extern void contime_due_add(ContimeDue *sum, const ContimeDue *due);

/*
 * Notify listeners that what they knew of a table is void. lost: earlier
 * notices cannot be replayed either.
 */
extern void contime_notice_reset(ContimeGeneration *g, bool lost);

/*
 * Give a notice the table's next number, and add it to what is due. Returns
 * true if nothing was due before.
 */
extern bool contime_make_due(ContimeGeneration *g, ContimeDue *due);

/* ---- sweep.c ----------------------------------------------------------------- */

/*
 * Look at all generations: end those whose table was dropped or whose
 * transaction was rolled back, free slots.  True if some have to be looked at
 * again.  Not under a lock.
 */
extern bool contime_generations_sweep(void);

/* ---- loaded.c ---------------------------------------------------------------- */

/* Note the snapshot by which a whole cache was loaded, before it is published. */
extern void contime_note_loaded(ContimeLoaded *loaded, const CtSnapshot *snapshot);

/* True if a snapshot sees every transaction that the loaded one saw. */
extern bool contime_sees_loaded(const CtSnapshot *snapshot, const ContimeLoaded *loaded);

/* Likewise of the keys of a partial cache; a later load saw all that earlier ones did. */
extern void contime_note_key_load(ContimeGeneration *g, const CtSnapshot *snapshot);
extern bool contime_keys_are_seen(ContimeGeneration *g, const CtSnapshot *snapshot);

/* ---- accounts.c -------------------------------------------------------------- */

/* Shared memory that accounts take, in bytes. */
extern Size contime_accounts_bytes(void);

/* Make or attach the accounts; format: make them. Under AddinShmemInitLock. */
extern void contime_accounts_startup(bool format);

/*
 * Charge a generation to its table, the table's owner and its database, and
 * note the table's quotas. Returns false if there are too many accounts: then
 * the generation may not take memory. ERROR 55P03 as contime_registry_lock().
 * Not under a lock.
 */
extern bool contime_account_note(ContimeGeneration *g, Oid owner, const ContimeQuota *quota);

/*
 * Take a generation without memory out of its account. Under the registry
 * lock.
 */
extern void contime_account_release(ContimeGeneration *g);

/*
 * Charge a change of a generation's store in a partition to its accounts.
 * Under the partition's lock, in a critical section: before =
 * contime_charge_begin(g, partition); then the change; then
 * contime_charge_end(g, partition, before).
 */
extern Size contime_charge_begin(const ContimeGeneration *g, int partition);
extern void contime_charge_end(ContimeGeneration *g, int partition, Size before);

/*
 * Set bytes aside before they are taken: they count as used until
 * contime_charge_end(). Returns CONTIME_UNLIMITED, or the level whose quota
 * would be exceeded; then nothing is set aside.
 */
extern ContimeLevel contime_charge_ahead(ContimeGeneration *g, Size bytes, Size *before);

/*
 * The bytes used by all tables that share the generation's account at a level;
 * contime_account_quota() gives its quota, or -1.
 */
extern Size contime_account_used(const ContimeGeneration *g, ContimeLevel level);
extern int64 contime_account_quota(const ContimeGeneration *g, ContimeLevel level);

/* True if both generations are charged to the same account at this level. */
extern bool contime_account_is_shared(const ContimeGeneration *a, const ContimeGeneration *b,
									  ContimeLevel level);

/*
 * The number of owners whose tables have memory; contime_account_tables(): of
 * tables of this one's owner.
 */
extern uint32 contime_account_owners(void);
extern uint32 contime_account_tables(const ContimeGeneration *g);

/*
 * The quota in kB of roles and databases that have no other one: the
 * postmaster's settings.
 */
extern int contime_account_default(ContimeLevel level);

/* ---- budget.c ---------------------------------------------------------------- */

/*
 * Pages of the region that inserts into a table leave to others, for
 * CtArena.keep.
 */
extern uint32 contime_budget_keep(const ContimeGeneration *g);

/* The bytes that a table may take at a level when memory is short. */
extern Size contime_budget_share(const ContimeGeneration *g, ContimeLevel level);

/*
 * True if a cache (NULL: any cache) may load so many bytes. by_keys: key by
 * key, so that holes in pages in use count, too.
 */
extern bool contime_budget_loads(const ContimeGeneration *g, Size more, bool by_keys);

/* True if a cache may take the rows that are written now. */
extern bool contime_budget_grows(const ContimeGeneration *g);

/* contime_budget_loads() by the region alone, without quotas. */
extern bool contime_budget_region_loads(Size more, bool by_keys);

/* True if the region would hold so much once its pages have been tidied. */
extern bool contime_budget_region_holds(Size more);

/*
 * The level of a quota of which a cache would use three quarters if it loaded
 * so many bytes, or CONTIME_UNLIMITED.
 */
extern ContimeLevel contime_budget_tight(const ContimeGeneration *g, Size more);

/*
 * Bytes until the first quota of a generation is reached; PG_INT64_MAX without
 * quotas.
 */
extern Size contime_budget_left(const ContimeGeneration *g);

/* The most that a single key may take of a cache, in bytes. */
extern Size contime_budget_key(const ContimeGeneration *g);

#endif /* CONTIME_SHARED_H */
