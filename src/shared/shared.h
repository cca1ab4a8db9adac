/*
 * shared.h
 *	  Shared memory: partitions, generations of tables, processes, memory accounts.
 *
 *	  partition.c    locks and memory of partitions; how workers are woken
 *	  accounts.c     memory that tables, roles and databases use, and their quotas
 *	  agents.c       the table of processes: an agent and a loader for each database
 *	  budget.c       the formula: how much of the free memory a table may take
 *	  due.c          notices that were not sent to a table's listeners yet
 *	  slots.c        slots for generations
 *	  registry.c     which generation of a table is in force
 *	  sweep.c        ends generations whose table or transaction is gone, frees slots
 *	  generations.c  opens, ends and drops generations of a table's events
 *	  loaded.c       the snapshots by which caches were loaded
 *	  stamps.c       time stamps of events that give no time
 *	  upgrade.c      the mark of an upgrade
 *	  startup.c      requests and initialises shared memory
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
#define CONTIME_EARLY 1024            /* read watermarks of tables without a generation */
#define CONTIME_MAX_AGENTS 64         /* databases with an agent at a time */
#define CONTIME_UNFLUSHED 8           /* notes, per table, of transactions with captured rows */
#define CONTIME_LOAD_XIDS 32          /* transactions noted as in progress when a cache is loaded */
#define CONTIME_MAX_SUSPECTS 16       /* tables whose worker crashed while it changed them */

/*
 * The state of a durable table's cache (durable/cache.c has the diagram).  Tables in
 * memory stay in the first state.
 */
typedef enum ContimeCacheState
{
	CONTIME_CACHE_NONE = 0,
	CONTIME_CACHE_WANTED,   /* a backend has read the table, and a loader is to load it */
	CONTIME_CACHE_LOADING,  /* writers capture rows, and the loader loads the others */
	CONTIME_CACHE_TRIMMING, /* not all rows fit: the loader unloads, writers capture */
	CONTIME_CACHE_READY,    /* readable; it has all keys */
	CONTIME_CACHE_PARTIAL,  /* readable; keys that it lacks are read from the event tables */
	CONTIME_CACHE_BROKEN,   /* a row may be missing; the loader replaces the cache */
	CONTIME_CACHE_REFUSED   /* the table is not loaded before load_after */
} ContimeCacheState;
#define CONTIME_CACHE_STATES (CONTIME_CACHE_REFUSED + 1)

StaticAssertDecl(CONTIME_CACHE_TRIMMING == CONTIME_CACHE_LOADING + 1 &&
					 CONTIME_CACHE_READY == CONTIME_CACHE_LOADING + 2 &&
					 CONTIME_CACHE_PARTIAL == CONTIME_CACHE_LOADING + 3,
				 "the states with capture are neighbours");

/* True if readers may use the cache. */
static inline bool
contime_cache_is_readable(ContimeCacheState state)
{
	return state == CONTIME_CACHE_READY || state == CONTIME_CACHE_PARTIAL;
}

/* True if writers add the rows that they write to the event tables to the cache. */
static inline bool
contime_cache_is_captured(ContimeCacheState state)
{
	return state >= CONTIME_CACHE_LOADING && state <= CONTIME_CACHE_PARTIAL;
}

/* The coalesced notice that is due to listeners of a table.  seq = 0: nothing is due. */
typedef struct ContimeDue
{
	uint64 seq; /* number of the newest notice in it */
	uint64 events;
	int64 from;
	int64 to;
	bool reset; /* listeners must read the whole table again */
} ContimeDue;

/*
 * A snapshot by which events were loaded.  If nxip is greater than CONTIME_LOAD_XIDS,
 * xip is not set.
 */
typedef struct ContimeLoaded
{
	uint64 xmax;
	uint32 nxip;
	uint64 xip[CONTIME_LOAD_XIDS];
} ContimeLoaded;

/* Bad rows of a cache that were left out, and a filter of their keys (store/oversize.c). */
#define CONTIME_OVERSIZE_WORDS 8

typedef struct ContimeOversize
{
	pg_atomic_uint32 any;                         /* 1: at least one row was left out */
	pg_atomic_uint64 regain_after;                /* the cache is kept at least until then */
	pg_atomic_uint64 bit[CONTIME_OVERSIZE_WORDS]; /* indexed by the key's hash */
} ContimeOversize;

/* The progress of the load of a cache.  The loader writes it, contime.tables reads it. */
typedef struct ContimeProgress
{
	pg_atomic_uint64 began; /* a TimestampTz, or 0: no load is running */
	pg_atomic_uint64 done;  /* rows of event tables that were read */
	pg_atomic_uint64 total; /* the planner's estimate of all rows */
} ContimeProgress;

/* The state of a generation (shared/registry.c has the diagram). */
typedef enum ContimeGenerationState
{
	CONTIME_GENERATION_FREE = 0, /* the slot is free */
	CONTIME_GENERATION_OPENING,  /* its transaction is not known to have committed */
	CONTIME_GENERATION_OPEN,     /* that transaction has committed, or there was none */
	CONTIME_GENERATION_DEAD      /* in no chain; workers free its stores, then the slot */
} ContimeGenerationState;

/*
 * The events of one table, from its first use or a TRUNCATE on.  In force is the
 * newest generation whose transaction is the reader's own or has committed, unless
 * such a transaction has dropped the table.
 */
typedef struct ContimeGeneration
{
	/*
	 * Changed under the registry lock.  A process that reads them without it may see
	 * old values.
	 */
	pg_atomic_uint32 state; /* ContimeGenerationState */
	Oid database;
	Oid relation;
	Oid owner;               /* the table's owner when this generation was opened */
	uint64 xid;              /* the transaction that opened it; 0: none, it was in force at once */
	uint64 dropped;          /* the transaction that drops its table; 0: none */
	uint64 database_dropped; /* the transaction that drops its database; 0: none */
	uint64 serial;           /* a unique number; newer generations have greater ones */
	int older;               /* index of the next older one in the chain, or -1 */
	int account;             /* the account that its bytes are charged to, or -1 (accounts.c) */
	bool reset_due;          /* listeners must get a reset, as the table had earlier events */
	TimestampTz since;       /* when it was opened */

	/* Changed under the partition's lock. */
	CtRef store[CONTIME_MAX_WORKERS]; /* by partition; 0: no store */

	/* Changed without a lock: hints, and (as int64) instants that only grow. */
	bool wants_agent;                /* the table has its first data: start the database's agent */
	bool truncation_logged;          /* it was logged that a transaction's status is truncated */
	pg_atomic_uint64 read_watermark; /* the latest instant that was read */
	pg_atomic_uint64 retained;       /* the earliest instant that can be read */
	pg_atomic_uint64 newest;         /* logical clock: the instant of the newest committed event */
	pg_atomic_uint64 too_late;       /* events that were ignored as too late */

	/* Notices for listeners of the table (due.c). */
	struct
	{
		slock_t mutex;         /* protects all but `lost` */
		uint64 opened;         /* notices of this generation have greater numbers */
		uint64 seq;            /* number of the last notice */
		ContimeDue due;        /* notices that the agent has not taken yet */
		ContimeDue sending;    /* notices that the agent is sending */
		uint64 sent;           /* notices up to this number were sent */
		pg_atomic_uint64 lost; /* notices up to this number cannot be replayed */
	} notice;

	/* How far back the table can be read (store/retention.c). */
	struct
	{
		slock_t mutex;
		bool ticks;              /* a logical clock */
		int64 period;            /* in microseconds or ticks; 0: all events are retained */
		int64 next_period;       /* the new period, once `xid` has committed */
		uint64 xid;              /* the transaction that alters the period; 0: none */
		TimestampTz raise_after; /* `retained` is not raised before */

		/* With the option max_ahead: ticks that were written, and `newest` may not show yet. */
		bool guarded;       /* events were checked, so workers keep `newest` up to date */
		int64 settled;      /* the newest tick whose transaction is known to have committed */
		int64 pending;      /* a newer tick, or PG_INT64_MIN */
		uint64 pending_top; /* the top-level transaction that wrote `pending` */
		uint64 pending_xid; /* and its subtransaction */
	} retain;

	/* The cache of a durable table (durable/cache.c). */
	struct
	{
		pg_atomic_uint32 state;     /* ContimeCacheState: changed by compare-and-exchange */
		TimestampTz load_after;     /* REFUSED: the table is not loaded before */
		pg_atomic_uint64 last_read; /* time of the last read, to the second (TimestampTz) */
		ContimeLoaded loaded;       /* the snapshot of the load; set before publishing */
		ContimeOversize oversize;   /* rows that were left out */
		pg_atomic_uint64 bad_rows;  /* number of rows that the load and writers left out */
		ContimeProgress progress;   /* of the load */

		/*
		 * Transactions with captured rows that were not added yet
		 * (durable/unflushed.c).  0: free.
		 */
		pg_atomic_uint64 unflushed[CONTIME_UNFLUSHED];

		/* Refused as dependencies or triggers lack; the loader sets it, the agent clears it. */
		bool unbound;
	} cache;

	/* A cache that lacks keys (durable/partial.c).  Changed by the database's loader. */
	struct
	{
		uint64 rows;             /* rows of all keys when it became partial */
		Size bytes;              /* memory that these would take */
		int64 net;               /* CtStats.net at that time */
		int64 newest_row;        /* no event is later, unless it was captured */
		TimestampTz retry_after; /* not all keys are loaded before */
		pg_atomic_uint32 hold;   /* odd: the loader holds the batches, and no worker takes any */
		pg_atomic_uint32 loads;  /* odd: the loader is changing `loaded` */
		ContimeLoaded loaded;    /* the snapshot of the last load of keys */
	} partial;
} ContimeGeneration;

static inline ContimeGenerationState
contime_generation_state(const ContimeGeneration *g)
{
	return (ContimeGenerationState) pg_atomic_read_u32(&unconstify(ContimeGeneration *, g)->state);
}

/*
 * True if the generation is in a chain: it is, or may become, in force for some
 * transaction.
 */
static inline bool
contime_generation_is_live(const ContimeGeneration *g)
{
	ContimeGenerationState state = contime_generation_state(g);

	return state == CONTIME_GENERATION_OPENING || state == CONTIME_GENERATION_OPEN;
}

/* True if the loader holds the batches of a partial cache; hold: g->partial.hold. */
static inline bool
contime_is_held(uint32 hold)
{
	return hold % 2 == 1;
}

/* Keys longer than CONTIME_WANTED_BYTES are not loaded into a partial cache. */
#define CONTIME_WANTED_BYTES 128
#define CONTIME_WANTED 1024

StaticAssertDecl(CONTIME_WANTED_BYTES <= CT_MAX_KEY_BYTES, "a wanted key is a key");

/* A key that a reader did not find in a partial cache. */
typedef struct ContimeWanted
{
	slock_t mutex;  /* protects the other fields */
	uint64 serial;  /* of the generation; 0: this entry is free */
	int generation; /* index of the generation */
	Oid database;   /* of the generation */
	uint32 key_bytes;
	char key[CONTIME_WANTED_BYTES];
} ContimeWanted;

typedef struct ContimePartition
{
	pg_atomic_uint32 hibernating;  /* the worker sleeps for long, and writers must wake it */
	pg_atomic_uint64 writer_waits; /* a writer waits for the lock; the request expires then */
	pg_atomic_uint64 reader_waits; /* likewise, a reader */
	Latch *volatile latch;         /* the worker's; NULL: no worker runs */
	int pid;
	Oid changing_database;          /* database of the table that the worker is changing */
	volatile Oid changing_relation; /* InvalidOid: none */
	uint64 entered;                 /* events entered since the server's start */
	uint64 dropped;
	TimestampTz last_pass;
	uint64 ring_from; /* bounds of its ring of notices (notify/notices.c) */
	uint64 ring_to;
} ContimePartition;

/* A table whose events a worker was changing when it crashed. */
typedef struct ContimeSuspect
{
	Oid database;
	Oid relation;
	int deaths;
} ContimeSuspect;

/*
 * A table whose user-made code a background process is running, or must not run for a
 * while (table/guard.c).
 */
typedef struct ContimeSuspectCode
{
	Oid relid; /* InvalidOid: none */
	Oid owner;
	TimestampTz until; /* the code is not run before */
} ContimeSuspectCode;

/* The agent and the loader of a database.  Protected by the registry lock. */
typedef struct ContimeAgent
{
	Oid database;   /* InvalidOid: free */
	int pid;        /* 0: not running */
	int loader_pid; /* of the loader; 0: not running */
	Latch *latch;
	TimestampTz not_before;    /* no agent is started before */
	TimestampTz stopped_until; /* no agent or loader may attach before */

	/* Written by the agent and the loader only, without a lock. */
	ContimeSuspectCode agent_runs;
	ContimeSuspectCode loader_runs;
	uint32 ndistrusted; /* tables distrusted so far; the last 16 are below */
	ContimeSuspectCode distrusted[16];
} ContimeAgent;

/* The newest stamp of a session, valid if pid is that of the session. */
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
	int slots; /* length of generation[] */
	int slots_used;
	uint64 slot_map[CONTIME_MAX_GENERATIONS / 64]; /* one bit per slot; 1: in use */
	uint64 next_serial;
	int highest; /* slots in use have lower indexes */
	/*
	 * Transactions since the server's start have this 64-bit id or a later one; 0:
	 * not known yet.
	 */
	uint64 first_xid;
	Latch *volatile launcher_latch;
	int nsuspects; /* does not change until the next crash */
	ContimeSuspect suspect[CONTIME_MAX_SUSPECTS];
	ContimeAgent agent[CONTIME_MAX_AGENTS];
	Oid visited; /* a database that an agent is to look at after an upgrade (upgrade.c) */
	ContimePartition partition[CONTIME_MAX_WORKERS];
	ContimeWanted wanted[CONTIME_WANTED]; /* indexed by the key's hash */
	/*
	 * By a hash of the table: the latest instant that was read of tables without a
	 * generation.
	 */
	pg_atomic_uint64 early[CONTIME_EARLY];
	ContimeGeneration generation[FLEXIBLE_ARRAY_MEMBER]; /* [slots] */
} ContimeShared;

/* The levels at which memory is counted and limited. */
typedef enum ContimeLevel
{
	CONTIME_OF_TABLE,
	CONTIME_OF_ROLE,     /* all tables that a role owns, in all databases */
	CONTIME_OF_DATABASE, /* all tables of a database */
	CONTIME_UNLIMITED    /* no limit */
} ContimeLevel;

#define CONTIME_LEVELS CONTIME_UNLIMITED

/* Limits in bytes, by level; -1: no limit. */
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
 * ERROR 55000 unless the library was preloaded.  contime_require_running() raises it
 * during recovery, too.
 */
extern void contime_require_loaded(void);
extern void contime_require_running(void);

/*
 * Take the lock of a partition.  The wait can be cancelled; ERROR 55P03 after 10 s.
 * While the caller holds the lock, it must not raise an error or wait.
 */
extern void contime_lock(int partition, LWLockMode mode);
extern void contime_unlock(int partition);

/*
 * Wait at most 400 us while a writer (for_readers: or a reader) waits for a
 * partition's lock.  Return true if it waited.  Not under the lock.
 */
extern bool contime_yield_lock(int partition, bool for_readers);

/* Take and release the registry lock; errors as contime_lock(). */
extern void contime_registry_lock(LWLockMode mode);
extern void contime_registry_unlock(void);

#ifdef USE_ASSERT_CHECKING
/*
 * For assertions.  True if this process holds the lock of a partition, or the registry
 * lock, in this mode or a stronger one; contime_holds_no_lock(): true if it holds none
 * of them.
 */
extern bool contime_holds_lock(int partition, LWLockMode mode);
extern bool contime_holds_registry(LWLockMode mode);
extern bool contime_holds_no_lock(void);
#endif

/* Return this process's handle on the arena of a partition. */
extern CtArena contime_arena(int partition);

/*
 * Wake the worker of a partition if it hibernates; wake all such workers; set a latch,
 * whose owner may set *where to NULL at any time, unless it is NULL.
 */
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

/* Request shared memory, and create or attach it.  Called by module.c. */
extern void contime_shared_request(void);
extern void contime_shared_startup(void);

/* ---- registry.c -------------------------------------------------------------- */

/* True if a relation of this database has a generation that is OPENING or OPEN. */
extern bool contime_has_generation(Oid relation);

/*
 * Return the generation of a relation of this database that is in force for this
 * transaction, or NULL if there is none.  Not under a lock.
 */
extern ContimeGeneration *contime_generation(Oid relation);

/* True if the table's generation in force has events that no event table has. */
extern bool contime_has_data(Oid relation);

/*
 * Return the read watermark (as int64) of a relation that has no generation.
 * Relations with the same hash share it.  The first generation of a relation starts
 * with it.
 */
extern pg_atomic_uint64 *contime_early(Oid relation);

/*
 * True if the relation may be older than the server's start.  Then events of it may
 * have been lost.
 */
extern bool contime_is_old(Oid relation);

/*
 * Return the engine's counts of a generation over all partitions, and its bytes.  They
 * are read without locks, so they are approximate.
 */
extern CtStats contime_generation_stats(const ContimeGeneration *g);
extern Size contime_generation_bytes(const ContimeGeneration *g);

/*
 * True if workers crashed repeatedly while they changed this table.  Then workers do
 * not touch it.
 */
extern bool contime_is_quarantined(const ContimeGeneration *g);

/* Return the state of a table's cache, which may change at any time. */
extern ContimeCacheState contime_cache_state(ContimeGeneration *g);

/* Return the earliest instant that can be read and written. */
extern int64 contime_retained(ContimeGeneration *g);

/* Return the instant that an atomic holds. */
extern int64 contime_read_instant(pg_atomic_uint64 *instant);

/* ---- generations.c ----------------------------------------------------------- */

/*
 * Open a generation of a table for a (sub)transaction; with xid 0 it is in force at
 * once.  Wait a few seconds for a slot.  ERROR 54000 if the table's owner has too many
 * slots.  contime_generation_try() does not wait, and returns NULL instead.  Not under
 * a lock.
 */
extern ContimeGeneration *contime_generation_create(Oid relation, uint64 xid);
extern ContimeGeneration *contime_generation_try(Oid relation, uint64 xid);

/*
 * Replace the table's generations by a new one that is in force at once.  The caller
 * holds AccessExclusiveLock on the table.  Return NULL if there is no slot; the old
 * generations are ended even then.
 */
extern ContimeGeneration *contime_generation_replace(Oid relation);

/*
 * End the generation of a cache that no backend uses, in any database, and open an
 * empty one.  The caller holds AccessExclusiveLock on the table.  Return false if the
 * generation is not the table's newest one, or the table is being dropped.
 */
extern bool contime_generation_end(ContimeGeneration *g);

/*
 * Note that a (sub)transaction drops a table, or a database with all its
 * tables.
 */
extern void contime_generation_drop(Oid relation, uint64 xid);
extern void contime_generation_drop_database(Oid database, uint64 xid);

/*
 * End the generations of a former relation that had the same OID.  Called when a
 * relation of this database is created.
 */
extern void contime_generation_end_stale(Oid relation);

/* ---- slots.c ----------------------------------------------------------------- */

/*
 * Return the next slot in use after this one, or -1.  Begin with -1.  Without the
 * registry lock the walk may miss changes.
 */
extern int contime_next_slot(int after);

/* ---- stamps.c ---------------------------------------------------------------- */

/*
 * Return the time stamp for an event that gives no time: the clock, but strictly
 * increasing within a session.
 */
extern int64 contime_stamp(void);

/*
 * Return the newest stamp of this session, or -infinity.  A stamp may be later than
 * the clock, and a session must see what it wrote.  A parallel worker gets its
 * leader's stamp.
 */
extern TimestampTz contime_newest_stamp(void);

/* ---- agents.c ---------------------------------------------------------------- */

/*
 * Register this process as the loader of a database.  Return false if there is one
 * already, or if a command waits for all sessions to leave the database.
 */
extern bool contime_loader_attach(Oid database);

/* Wake the agent of a database, or the launcher, which starts one. */
extern void contime_agent_wake(Oid database);

/*
 * End this process, because a command waits for all sessions to leave its database.
 * No agent or loader attaches to the database for 10 seconds.
 */
extern void contime_agent_leave(void) CONTIME_NORETURN;

/* Return the pid of the agent or the loader of a database; 0 if there is none. */
extern int contime_agent_pid(Oid database, bool loader);

/*
 * Return true if the launcher may start an agent now; then no other one is started for
 * 5 seconds.
 */
extern bool contime_agent_claim_start(Oid database);

/*
 * Register this process as the agent of a database.  Return false as
 * contime_loader_attach().
 */
extern bool contime_agent_attach(Oid database);

/* ---- due.c ------------------------------------------------------------------- */

/* Add a notice to a sum: the union of the ranges, and the count of events. */
extern void contime_due_add(ContimeDue *sum, const ContimeDue *due);

/*
 * Make a notice due that tells listeners to read the whole table again.  lost: earlier
 * notices cannot be replayed either.  Wakes the agent.  Not under a lock.
 */
extern void contime_notice_reset(ContimeGeneration *g, bool lost);

/*
 * Give a notice the table's next number, and add it to the due notices.  Return true
 * if none was due before: then the caller must wake the agent.
 */
extern bool contime_make_due(ContimeGeneration *g, ContimeDue *due);

/* ---- sweep.c ----------------------------------------------------------------- */

/*
 * Check all generations: end those whose table was dropped or whose transaction was
 * rolled back, and free slots.  Return true if another sweep is needed later.  Not
 * under a lock.
 */
extern bool contime_generations_sweep(void);

/* ---- loaded.c ---------------------------------------------------------------- */

/* Note the snapshot by which a whole cache was loaded, before it is published. */
extern void contime_note_loaded(ContimeLoaded *loaded, const CtSnapshot *snapshot);

/* True if a snapshot sees every transaction that the noted snapshot sees. */
extern bool contime_sees_loaded(const CtSnapshot *snapshot, const ContimeLoaded *loaded);

/*
 * Likewise, for the keys of a partial cache.  A later load sees all that earlier ones
 * saw, so only the snapshot of the last one is kept.
 */
extern void contime_note_key_load(ContimeGeneration *g, const CtSnapshot *snapshot);
extern bool contime_keys_are_seen(ContimeGeneration *g, const CtSnapshot *snapshot);

/* ---- accounts.c -------------------------------------------------------------- */

/* Return the shared memory that accounts need, in bytes. */
extern Size contime_accounts_bytes(void);

/*
 * Create or attach the accounts; with `format`, initialise them.  Under
 * AddinShmemInitLock.
 */
extern void contime_accounts_startup(bool format);

/*
 * Charge a generation to its table, the table's owner and its database, and note the
 * table's quotas.  Return false if there are too many accounts: then the generation
 * must not take memory.  ERROR 55P03 as contime_registry_lock().  Not under a lock.
 */
extern bool contime_account_note(ContimeGeneration *g, Oid owner, const ContimeQuota *quota);

/* Detach a generation that has no memory from its account.  Under the registry lock. */
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
 * Reserve bytes before they are taken: they count as used until contime_charge_end(),
 * and are added to *before.  Return CONTIME_UNLIMITED, or the level whose quota would
 * be exceeded; then nothing is reserved.
 */
extern ContimeLevel contime_charge_ahead(ContimeGeneration *g, Size bytes, Size *before);

/*
 * Return the bytes used by all tables that share the generation's account at a level;
 * contime_account_quota() returns its quota, or -1.
 */
extern Size contime_account_used(const ContimeGeneration *g, ContimeLevel level);
extern int64 contime_account_quota(const ContimeGeneration *g, ContimeLevel level);

/* True if both generations are charged to the same account at this level. */
extern bool contime_account_is_shared(const ContimeGeneration *a, const ContimeGeneration *b,
									  ContimeLevel level);

/*
 * Return the number of owners whose tables use memory; contime_account_tables(): the
 * number of tables of this generation's owner that do.  At least 1.
 */
extern uint32 contime_account_owners(void);
extern uint32 contime_account_tables(const ContimeGeneration *g);

/*
 * Return the quota in kB of roles or databases that have no setting of their own: the
 * value in postgresql.conf, or -1.
 */
extern int contime_account_default(ContimeLevel level);

/* ---- budget.c ---------------------------------------------------------------- */

/*
 * Return the number of pages of the region that an insert into a table must leave free
 * for other tables.  The caller sets CtArena.keep to it.
 */
extern uint32 contime_budget_keep(const ContimeGeneration *g);

/*
 * Return the bytes that a table, or all tables of its owner, may take when memory is
 * short.
 */
extern Size contime_budget_share(const ContimeGeneration *g, ContimeLevel level);

/*
 * True if a cache (NULL: any cache) may load so many more bytes.  by_keys: single keys
 * are loaded, which also fit into free space of pages in use.
 */
extern bool contime_budget_loads(const ContimeGeneration *g, Size more, bool by_keys);

/* True if a cache may take rows that are being written. */
extern bool contime_budget_grows(const ContimeGeneration *g);

/* Like contime_budget_loads(), but regard only the region, not the quotas. */
extern bool contime_budget_region_loads(Size more, bool by_keys);

/* True if the region had room for so many more bytes once its pages have been compacted. */
extern bool contime_budget_region_holds(Size more);

/*
 * Return the first level at which a cache would use three quarters of its quota if it
 * loaded so many bytes, or CONTIME_UNLIMITED.
 */
extern ContimeLevel contime_budget_tight(const ContimeGeneration *g, Size more);

/*
 * Return the bytes until a quota of the generation is reached; PG_INT64_MAX without
 * quotas.
 */
extern Size contime_budget_left(const ContimeGeneration *g);

/* Return the most bytes that a single key of a cache may take. */
extern Size contime_budget_key(const ContimeGeneration *g);

#endif /* CONTIME_SHARED_H */
