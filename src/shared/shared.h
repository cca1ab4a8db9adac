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

/* What is due to be told of a table; seq = 0: nothing. */
typedef struct ContimeDue
{
	uint64 seq; /* of the newest notice in it */
	uint64 events;
	int64 from;
	int64 to;
	bool reset; /* what was known before is no more */
} ContimeDue;

/* A snapshot by which events were loaded; nxip is more than there is room for: its xip is not known. */
typedef struct ContimeLoaded
{
	uint64 xmax;
	uint32 nxip;
	uint64 xip[CONTIME_LOAD_XIDS];
} ContimeLoaded;

/* Of a cache: are there rows too large for memory, and of which keys (durable/oversize.c)? */
#define CONTIME_OVERSIZE_WORDS 8

typedef struct ContimeOversize
{
	pg_atomic_uint32 any;
	pg_atomic_uint64 regain_after;
	pg_atomic_uint64 bit[CONTIME_OVERSIZE_WORDS]; /* by the key's hash */
} ContimeOversize;

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

		/* Transactions with captured rows that are not added yet (durable/unflushed.c); 0: free. */
		pg_atomic_uint64 unflushed[CONTIME_UNFLUSHED];
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

/* In a chain: it is in force for somebody, or may be. */
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

/* A key that somebody missed in a cache. */
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
	pg_atomic_uint64 writer_waits; /* for the lock, until: step back */
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

/* A table whose user-made code a background process runs, or runs no more: worker/background.c. */
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

	/* Written by these two alone: */
	ContimeSuspectCode agent_runs;
	ContimeSuspectCode loader_runs;
	uint32 ndistrusted; /* so many have been, the last of them in */
	ContimeSuspectCode distrusted[16];
} ContimeAgent;

/* A session's newest stamp, and whose it is. */
typedef struct ContimeStamp
{
	int pid;
	TimestampTz stamp;
} ContimeStamp;

typedef struct ContimeShared
{
	int partitions;
	int slots; /* of generations */
	int slots_used;
	uint64 slot_map[CONTIME_MAX_GENERATIONS / 64]; /* a bit for each slot: used */
	uint64 next_serial;
	int highest; /* generations in use are below: 0 .. highest - 1 */
	uint64
		first_xid; /* transactions since the server's start have this or a later id; 0: not known yet */
	Latch *volatile launcher_latch;
	int nsuspects; /* constant between crashes */
	ContimeSuspect suspect[CONTIME_MAX_SUSPECTS];
	ContimeAgent agent[CONTIME_MAX_AGENTS];
	ContimePartition partition[CONTIME_MAX_WORKERS];
	ContimeWanted wanted[CONTIME_WANTED]; /* by a hash of the key */
	pg_atomic_uint64
		early[CONTIME_EARLY];                            /* of tables without a generation, by a hash: latest instant read */
	ContimeGeneration generation[FLEXIBLE_ARRAY_MEMBER]; /* slots of them */
} ContimeShared;

/* Whose use is counted, and limited. */
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

/* ERROR 55000 unless the library was preloaded; and unless this is no standby, too. */
extern void contime_require_loaded(void);
extern void contime_require_running(void);

/*
 * Take a partition's lock, cancellably; 55P03 after some seconds.  While it
 * is held nothing is raised and nothing waited for.
 */
extern void contime_lock(int partition, LWLockMode mode);
extern void contime_unlock(int partition);

/* Wait a moment if a writer, or even a reader, waits for the lock.  True: one did. */
extern bool contime_yield_lock(int partition, bool for_readers);

/* Likewise the registry's lock. */
extern void contime_registry_lock(LWLockMode mode);
extern void contime_registry_unlock(void);

/* The arena of a partition, as this process sees it. */
extern CtArena contime_arena(int partition);

/* Wake a hibernating worker; all of them; the process whose latch this is, if there is one. */
extern void contime_wake_worker(int partition);
extern void contime_wake_workers(void);
extern void contime_set_latch(Latch *volatile *where);

/* ---- startup.c --------------------------------------------------------------- */

extern void contime_shared_request(void);
extern void contime_shared_startup(void);

/* ---- registry.c -------------------------------------------------------------- */

/* Does a relation of this database have a generation that is not dead? */
extern bool contime_has_generation(Oid relation);

/* The generation in force, or NULL when nothing was ever written. */
extern ContimeGeneration *contime_generation(Oid relation);
extern bool contime_has_data(Oid relation);

/*
 * The latest instant read of a relation of this database while it has no
 * generation (as int64), or of another one: the first generation begins with it.
 */
extern pg_atomic_uint64 *contime_early(Oid relation);

/* May the relation be older than the server's start?  Then it may have lost what it knew. */
extern bool contime_is_old(Oid relation);

/* What it takes of the memory, and other counts, about: without the locks. */
extern CtStats contime_generation_stats(const ContimeGeneration *g);
extern Size contime_generation_bytes(const ContimeGeneration *g);

/* Has a table killed workers, so that they leave it alone? */
extern bool contime_is_quarantined(const ContimeGeneration *g);

extern ContimeCacheState contime_cache_state(ContimeGeneration *g);

/* The earliest instant that can be answered, or written to. */
extern int64 contime_retained(ContimeGeneration *g);

extern int64 contime_read_instant(pg_atomic_uint64 *instant);

/* ---- generations.c ----------------------------------------------------------- */

/*
 * Open a generation for a (sub)transaction, or (xid 0) one that is in force at
 * once.  ERROR 54000 when the table's owner has as many as it may have; the
 * other function returns NULL then, and waits for nothing.
 */
extern ContimeGeneration *contime_generation_create(Oid relation, uint64 xid);
extern ContimeGeneration *contime_generation_try(Oid relation, uint64 xid);

/*
 * Replace what there is, which no other backend uses, by a generation that is
 * in force at once.  NULL: what there was is gone, and there is no slot.
 */
extern ContimeGeneration *contime_generation_replace(Oid relation);

/*
 * Free one in favour of another, which is empty: of a cache that no other
 * backend uses, in any database.  False: there is a newer one already.
 */
extern bool contime_generation_end(ContimeGeneration *g);

/* The table, or each table of a database, goes with the (sub)transaction that drops it. */
extern void contime_generation_drop(Oid relation, uint64 xid);
extern void contime_generation_drop_database(Oid database, uint64 xid);

/* A relation of this database is being created: what had its OID before is no more. */
extern void contime_generation_end_stale(Oid relation);

/* ---- slots.c ----------------------------------------------------------------- */

/* The next slot in use after this one, or -1; begin with -1.  Without a lock: about. */
extern int contime_next_slot(int after);

/* ---- stamps.c ---------------------------------------------------------------- */

/* A stamp for an event without a time: the clock, increasing in a session. */
extern int64 contime_stamp(void);

/*
 * The newest stamp of this session, or the beginning of time: stamps may run
 * ahead of the clock, and what was written is not to be in the future.  A
 * parallel worker looks at its leader's, which takes none meanwhile.
 */
extern TimestampTz contime_newest_stamp(void);

/* ---- agents.c ---------------------------------------------------------------- */

/* Be the loader of a database; false: there is one, or none is wanted. */
extern bool contime_loader_attach(Oid database);

/* Have a database's agent look for notices, starting it if need be. */
extern void contime_agent_wake(Oid database);

/* This process is in the way of a command on its database: end it, and keep its successors away for some seconds. */
extern void contime_agent_leave(void) CONTIME_NORETURN;

/* Is somebody there?  The agent, or (loader) the loader. */
extern int contime_agent_pid(Oid database, bool loader);

/* May one be started now?  If so, note that it was. */
extern bool contime_agent_claim_start(Oid database);

/* Announce this agent; false when there is one, or none is wanted. */
extern bool contime_agent_attach(Oid database);

/* ---- due.c ------------------------------------------------------------------- */

extern void contime_due_add(ContimeDue *sum, const ContimeDue *due);

/* A table remembers nothing of what was before: tell it.  lost: nor what there was to tell. */
extern void contime_notice_reset(ContimeGeneration *g, bool lost);

/* Number a notice, and add it to what is due of the table; true: nothing was. */
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

extern Size contime_accounts_bytes(void);

/* Called with AddinShmemInitLock held; format: by the first process. */
extern void contime_accounts_startup(bool format);

/*
 * Charge a generation to its table, the table's owner and its database, and
 * note the table's quotas.  Cheap when nothing has changed.  False: there are
 * too many accounts; the generation may not take memory then.  ERROR 55P03 as
 * contime_registry_lock().  Not under a lock.
 */
extern bool contime_account_note(ContimeGeneration *g, Oid owner, const ContimeQuota *quota);

/* A generation without memory leaves its account.  Under the registry lock. */
extern void contime_account_release(ContimeGeneration *g);

/*
 * Under a partition's lock and in a critical section: what a change of a
 * generation's store there does to its accounts.
 *
 *	before = contime_charge_begin(g, partition);
 *	... change g->store[partition] ...
 *	contime_charge_end(g, partition, before);
 */
extern Size contime_charge_begin(const ContimeGeneration *g, int partition);
extern void contime_charge_end(ContimeGeneration *g, int partition, Size before);

/*
 * Set bytes aside before they are taken: they count as used until
 * contime_charge_end(), which then charges what was taken instead.
 * CONTIME_UNLIMITED, or the level whose quota would be exceeded: nothing is set
 * aside then.
 */
extern ContimeLevel contime_charge_ahead(ContimeGeneration *g, Size bytes, Size *before);

/* The bytes used by all tables that share the generation's account of a level, and the quota or -1. */
extern Size contime_account_used(const ContimeGeneration *g, ContimeLevel level);
extern int64 contime_account_quota(const ContimeGeneration *g, ContimeLevel level);

/* Are both charged to the same account at this level? */
extern bool contime_account_is_shared(const ContimeGeneration *a, const ContimeGeneration *b,
									  ContimeLevel level);

/* Owners whose tables have memory, and tables of this one's owner that have. */
extern uint32 contime_account_owners(void);
extern uint32 contime_account_tables(const ContimeGeneration *g);

/* The quotas that hold unless a role or database has another: the postmaster's settings, in kB. */
extern int contime_account_default(ContimeLevel level);

/* ---- budget.c ---------------------------------------------------------------- */

/* Pages of the region that a table's inserts leave to others: for CtArena.keep. */
extern uint32 contime_budget_keep(const ContimeGeneration *g);
extern Size contime_budget_share(const ContimeGeneration *g, ContimeLevel level);

/*
 * May a cache (NULL: some cache) load so many bytes?  by_keys: key by key, so
 * that holes in pages that are taken serve, too.  May it take what is written?
 */
extern bool contime_budget_loads(const ContimeGeneration *g, Size more, bool by_keys);
extern bool contime_budget_grows(const ContimeGeneration *g);

/* contime_budget_loads() by the region alone. */
extern bool contime_budget_region_loads(Size more, bool by_keys);

/* The same once pages have been tidied. */
extern bool contime_budget_region_holds(Size more);

/* The level of a quota of which a cache that loads so much would have three quarters. */
extern ContimeLevel contime_budget_tight(const ContimeGeneration *g, Size more);

/* Bytes until the first of its quotas is reached, 0 beyond that; without quotas, PG_INT64_MAX. */
extern Size contime_budget_left(const ContimeGeneration *g);

/* The most that one key may take of a cache. */
extern Size contime_budget_key(const ContimeGeneration *g);

#endif /* CONTIME_SHARED_H */
