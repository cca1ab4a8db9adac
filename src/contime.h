/*
 * contime.h
 *	  The PostgreSQL side's declarations, grouped by the file that defines them.
 *
 *	  contime.c    _PG_init, settings, hooks          ddl.c     DDL on continuous tables
 *	  shared.c     shared memory, locks, generations  table.c   a table's description
 *	  store/shape.c  and the one that its events were written with
 *	  encode.c     rows <-> events and states         ingest.c  rows become recent events
 *	  visible.c    which events a snapshot sees       worker.c  entering and freezing
 *	  agent.c      launcher, agents, NOTIFY           scan.c    slices as tuples
 *	  history.c    and what is read of a key along its time
 *	  held.c       rows on the way there: see scan.h
 *	  reconcile.c  notices: what changed of the past
 *	  plan.c       conditions on the time column become bindings
 *	  path.c       their costs, paths and plans       estimate.c  estimates for functions
 *	  serializable.c  reads and writes as predicate locks
 *	  pause.c      places to wait, for tests
 *	  instant.c    what a read without such a condition may be of
 *	  retention.c  how far back a table goes
 *	  source.c     the event tables of a durable table, and what their rows mean
 *	  sourcecmds.c commands that give, change and drop them
 *	  heapread.c   events from there, as a snapshot sees them
 *	  durable/references.c  references that keep them as they are while they are read
 *	  cache.c      those events in memory: loaded, given up
 *	  keys.c       one key after the other, where not all are there
 *	  room.c       and the memory they take
 *	  durable/oversize.c  rows that are too large for it
 *	  shared/accounts.c  what tables, roles and databases use, and their quotas
 *	  shared/budget.c    the formula: who may take how much of what is left
 *	  table/limits.c     where quotas come from
 *	  capture.c    and added as rows are written
 *	  durable/unflushed.c  transactions with captured rows that are not added yet
 *	  verify.c     the comparison of both
 *	  fdw.c functions.c reads.c   the faces                error.c   CtStatus -> SQLSTATE
 *	  table/members.c  the extension's own objects, by membership (table/members.h)
 *
 * The direction of dependency: faces -> scan, ingest -> visible, table ->
 * shared -> engine.  Nothing includes a face.
 */
#ifndef CONTIME_H
#define CONTIME_H

#include "postgres.h"

#include "access/attnum.h"
#include "access/tupdesc.h"
#include "access/transam.h"
#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "nodes/execnodes.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/latch.h"
#include "storage/spin.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#include "engine/engine.h"

#define CONTIME_MAX_WORKERS 32
#define CONTIME_MAX_GENERATIONS 65536	/* slots for tables with data, in all databases */
#define CONTIME_EARLY 1024
#define CONTIME_MAX_AGENTS 64	/* databases with an agent at a time */
#define CONTIME_UNFLUSHED 8	/* notes of transactions with captured rows, of a table */
#define CONTIME_LOAD_XIDS 32	/* transactions under way while a cache is loaded that are noted */
#define CONTIME_MAX_SUSPECTS 16	/* tables that are remembered to have killed a worker */
#define CONTIME_MAX_DIGITS 36	/* of a numeric that is computed with */
#define CONTIME_NARROW_DIGITS 18	/* of a float with a scale, of what moves, and of rates */
#define CONTIME_MAX_SCALE 15	/* option scale: what a double precision can tell */

/* ---- contime.c ----------------------------------------------------------- */

extern int	contime_memory_mb;	/* contime.memory, in MB */
extern int	contime_workers;	/* contime.workers: partitions */

/* ---- shared.c ------------------------------------------------------------- */

/* A durable table's events in memory; of other tables, none. */
typedef enum ContimeCacheState
{
	CONTIME_CACHE_NONE = 0,
	CONTIME_CACHE_WANTED,		/* somebody has read */
	CONTIME_CACHE_LOADING,		/* who writes has rows captured */
	CONTIME_CACHE_READY,		/* it may be read */
	CONTIME_CACHE_BROKEN,		/* a row may be missing: to be replaced */
	CONTIME_CACHE_REFUSED		/* it cannot be loaded for now */
} ContimeCacheState;

/* What is due to be told of a table; seq = 0: nothing. */
typedef struct ContimeDue
{
	uint64		seq;			/* of the newest notice in it */
	uint64		events;
	int64		from;
	int64		to;
	bool		reset;			/* what was known before is no more */
} ContimeDue;

/* A snapshot by which events were loaded; nxip is more than there is room for: its xip is not known. */
typedef struct ContimeLoaded
{
	uint64		xmax;
	uint32		nxip;
	uint64		xip[CONTIME_LOAD_XIDS];
} ContimeLoaded;

/* Of a cache: are there rows too large for memory, and of which keys (durable/oversize.c)? */
#define CONTIME_OVERSIZE_WORDS 8

typedef struct ContimeOversize
{
	pg_atomic_uint32 any;
	pg_atomic_uint64 regain_after;
	pg_atomic_uint64 bit[CONTIME_OVERSIZE_WORDS];	/* by the key's hash */
} ContimeOversize;

/*
 * The events of one table from its first use or a TRUNCATE on.  The newest
 * whose transaction is the reader's own or committed is in force, unless such
 * a transaction has dropped it.
 */
typedef struct ContimeGeneration
{
	bool		used;
	bool		agreed;			/* xid is known to have committed */
	bool		dead;			/* in no chain any more: to be freed by the workers */
	bool		wants_agent;	/* first data came: start the database's agent */
	bool		forgotten;		/* it was logged that some fate is not known any more */
	Oid			database;
	Oid			relation;
	Oid			owner;			/* of the table, when this was opened */
	uint64		xid;			/* the transaction that opened it; 0: always in force */
	uint64		dropped;		/* the transaction that drops its table; 0: none */
	uint64		database_dropped;	/* likewise, its database */
	uint64		serial;			/* order among the generations of a table */
	int			older;			/* index of the one before it, or -1 */
	TimestampTz since;			/* remembers from here */
	CtRef		store[CONTIME_MAX_WORKERS];	/* by partition; 0 until needed */
	int			account;		/* that its bytes are charged to, or -1 (accounts.c) */
	pg_atomic_uint64 served;	/* latest instant read (as int64) */
	bool		forgot;			/* an earlier life of the table: a reset is due */
	uint64		opened;			/* its notices have greater numbers */
	pg_atomic_uint64 lost;		/* those up to here cannot be replayed */
	slock_t		notice_mutex;	/* of what follows: reconcile.c */
	uint64		seq;			/* number of the last notice */
	ContimeDue	due;
	ContimeDue	sending;		/* what the agent is about to commit */
	uint64		told;			/* the agent has committed up to this number */
	pg_atomic_uint64 retained;	/* earliest instant answered (as int64), */
	pg_atomic_uint64 newest;	/* newest that committed, on a logical clock */
	pg_atomic_uint64 too_late;	/* events ignored */
	slock_t		retain_mutex;	/* of what follows: retention.c */
	bool		ticks;			/* is its clock a logical one? */
	int64		retain;			/* instants to be answered; 0: all of them */
	int64		retain_next;	/* the same, once this has committed: */
	uint64		retain_xid;		/* 0: no ALTER is under way */
	TimestampTz retain_due;		/* raise `retained` not before */
	pg_atomic_uint32 cache;		/* ContimeCacheState, and of a cache (cache.c): */
	TimestampTz load_after;		/* refused until then */
	pg_atomic_uint64 last_read; /* when, to the second (as TimestampTz) */
	ContimeLoaded loaded;		/* the snapshot that was loaded */
	pg_atomic_uint64 unflushed[CONTIME_UNFLUSHED];	/* transactions: unflushed.c; 0: free */
	bool		partial;		/* not all keys are in it (keys.c), */
	uint64		whole_rows;		/* which were so many events when it lost some, */
	Size		whole_bytes;	/* and took so much; */
	int64		whole_net;		/* so many more have come by then; */
	int64		newest_row;		/* it has no event after this instant */
	TimestampTz whole_after;	/* that is not tried again until then */
	pg_atomic_uint32 hold;		/* odd: a loader has the batches, no worker */
	pg_atomic_uint32 key_loads;	/* odd: this is being changed: */
	ContimeLoaded key_loaded;	/* the snapshot that keys were loaded by last */
	ContimeOversize oversize;	/* rows that are left out of it */
} ContimeGeneration;

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
	slock_t		mutex;			/* of what follows: */
	uint64		serial;			/* of the generation, 0: free; */
	int			generation;		/* its index, */
	Oid			database;		/* and database */
	uint32		key_bytes;
	char		key[CONTIME_WANTED_BYTES];
} ContimeWanted;

typedef struct ContimePartition
{
	pg_atomic_uint32 hibernating;	/* worker sleeps long: wake it */
	pg_atomic_uint64 writer_waits;	/* for the lock, until: step back */
	pg_atomic_uint64 reader_waits;
	Latch	   *volatile latch; /* of the worker; NULL while there is none */
	int			pid;
	Oid			changing_database;	/* whose events the worker is changing now: */
	volatile Oid changing_relation; /* InvalidOid: none */
	uint64		entered;		/* events since the start */
	uint64		dropped;
	TimestampTz last_pass;
	uint64		ring_from;		/* its notices: reconcile.c */
	uint64		ring_to;
} ContimePartition;

/* A table whose events were being changed when a worker crashed. */
typedef struct ContimeSuspect
{
	Oid			database;
	Oid			relation;
	int			deaths;
} ContimeSuspect;

/* A table whose user-made code a background process runs, or runs no more: worker/background.c. */
typedef struct ContimeSuspectCode
{
	Oid			relid;			/* InvalidOid: none */
	Oid			owner;
	TimestampTz until;			/* it is not run until then */
} ContimeSuspectCode;

/* A database's agent; under the registry lock. */
typedef struct ContimeAgent
{
	Oid			database;		/* InvalidOid: free */
	int			pid;			/* 0: not running */
	int			loader_pid;		/* likewise, of the loader */
	Latch	   *latch;
	TimestampTz not_before;		/* do not start another until then */
	TimestampTz stopped_until;	/* none may connect until then */

	/* Written by these two alone: */
	ContimeSuspectCode agent_runs;
	ContimeSuspectCode loader_runs;
	uint32		ndistrusted;	/* so many have been, the last of them in */
	ContimeSuspectCode distrusted[16];
} ContimeAgent;

/* A session's newest stamp, and whose it is. */
typedef struct ContimeStamp
{
	int			pid;
	TimestampTz stamp;
} ContimeStamp;

typedef struct ContimeShared
{
	int			partitions;
	int			slots;			/* of generations */
	int			slots_used;
	uint64		slot_map[CONTIME_MAX_GENERATIONS / 64]; /* a bit for each slot: used */
	uint64		next_serial;
	int			highest;		/* generations in use are below: 0 .. highest - 1 */
	uint64		first_xid;		/* transactions since the server's start have this or a later id; 0: not known yet */
	Latch	   *volatile launcher_latch;
	int			nsuspects;		/* constant between crashes */
	ContimeSuspect suspect[CONTIME_MAX_SUSPECTS];
	ContimeAgent agent[CONTIME_MAX_AGENTS];
	ContimePartition partition[CONTIME_MAX_WORKERS];
	ContimeWanted wanted[CONTIME_WANTED];	/* by a hash of the key */
	pg_atomic_uint64 early[CONTIME_EARLY];	/* of tables without a generation, by a hash: latest instant read */
	ContimeGeneration generation[FLEXIBLE_ARRAY_MEMBER];	/* slots of them */
} ContimeShared;

extern ContimeShared *contime_shared;
extern ContimeStamp *contime_stamps;	/* by backend id - 1 */
extern char *contime_region;

extern void contime_shared_request(void);
extern void contime_shared_startup(void);

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
extern bool contime_step_back(int partition, bool for_readers);

/* Likewise the registry's lock. */
extern void contime_registry_lock(LWLockMode mode);
extern void contime_registry_unlock(void);

/* What became of a transaction. */
typedef enum ContimeFate
{
	CONTIME_IN_PROGRESS,
	CONTIME_COMMITTED,
	CONTIME_ABORTED,
	CONTIME_FORGOTTEN			/* so old that the commit log has been truncated */
} ContimeFate;

/*
 * The fate of a (sub)transaction by its 64-bit id and that of its top-level
 * transaction.  Not under a lock.
 */
extern ContimeFate contime_fate(uint64 top, uint64 xid);

/* Did it commit, of one that has ended?  ERROR when that is forgotten. */
extern bool contime_committed(uint64 xid);

/* A transaction id of the last 2^32 in 64 bits. */
extern uint64 contime_widen(TransactionId xid);
extern CtArena contime_arena(int partition);

/* Does a relation of this database have a generation that is not dead? */
extern bool contime_known(Oid relation);

/* The generation in force, or NULL when nothing was ever written. */
extern ContimeGeneration *contime_generation(Oid relation);
extern bool contime_has_data(Oid relation);

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
extern void contime_generation_forget(Oid relation);

/*
 * The latest instant read of a relation of this database while it has no
 * generation (as int64), or of another one: the first generation begins with it.
 */
extern pg_atomic_uint64 *contime_early(Oid relation);

/* May the relation be older than the server's start?  Then it may have lost what it knew. */
extern bool contime_is_old(Oid relation);

/* The next slot in use after this one, or -1; begin with -1.  Without a lock: about. */
extern int	contime_next_slot(int after);

/* What it takes of the memory, and other counts, about: without the locks. */
extern CtStats contime_generation_stats(const ContimeGeneration *g);
extern Size contime_generation_bytes(const ContimeGeneration *g);
extern void contime_wake_worker(int partition);

/* Has a table killed workers, so that they leave it alone? */
extern bool contime_is_quarantined(const ContimeGeneration *g);
extern void contime_set_latch(Latch *volatile *where);
extern bool contime_generations_sweep(void);

static inline int
contime_partition_of(uint64 hash)
{
	return (int) ((hash >> 32) % contime_shared->partitions);
}

/* ---- table.c --------------------------------------------------------------- */

/* How one attribute is encoded. */
typedef struct ContimeAttr
{
	AttrNumber	attno;
	Oid			type;
	int32		typmod;
	Oid			collation;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	bool		dropped;
	bool		key;
	bool		time;
	bool		event_id;
	bool		state;			/* has a rule; the event id has one, too */
	int			precision;		/* of a numeric; 0: as many digits as it takes */
	int			scale;			/* of a numeric, or the option of a float */
} ContimeAttr;

/* What a column is, as kept in CtAttr.role. */
typedef enum ContimeRole
{
	CONTIME_STATE = 0,
	CONTIME_KEY,
	CONTIME_TIME,
	CONTIME_EVENT_ID
} ContimeRole;

/* An event table of a durable table, and what its rows are. */
typedef struct ContimeSource
{
	struct ContimeSource *next;
	Oid			events;			/* the event table */
	char	   *name;			/* for messages */
	CtKind		kind;
	uint64		columns;		/* state attributes that it feeds, for snapshots */
	struct _SPI_plan *plan[3][2];	/* of heapread.c: ContimeRows; up to an instant? */
	Node	   *expr[FLEXIBLE_ARRAY_MEMBER];	/* by attribute - 1, over its rows; NULL: not fed */
} ContimeSource;

/* A continuous table's description, derived from the catalogs. */
typedef struct ContimeTable
{
	Oid			relid;
	char	   *name;			/* for messages */
	int			natts;
	AttrNumber	time_attno;
	Oid			time_type;		/* timestamptz or int8 */
	int			nkeys;
	AttrNumber	key_attno[INDEX_MAX_KEYS];
	int64		retain;			/* option retain, in instants; 0: not given */
	bool		ignores_late;	/* option too_late 'ignore' */
	uint64		options_xid;	/* who gave the options, if it has not ended */
	Oid			owner;			/* reads event tables; memory is charged to it */
	int64		memory_limit;	/* option memory_limit, in bytes; -1: not given */
	bool		calls;			/* its sources, or what options say of its columns, run user-made code */
	ContimeSource *source;		/* a durable table's, in a list; NULL: it is written to directly */
	CtSchema   *schema;
	ContimeAttr attr[FLEXIBLE_ARRAY_MEMBER];
} ContimeTable;

/*
 * The description of a continuous table, cached until its definition
 * changes.  ERROR when it is none or its definition is refused, and on a
 * standby when it is in memory.
 */
extern const ContimeTable *contime_table(Relation rel);

/* The owner of a relation, or InvalidOid: it was dropped. */
extern Oid	contime_owner_of(Oid relid);

/* Is it a foreign table of contime's? */
extern bool contime_is_table(Oid relid);

/*
 * For OIDs that a user gave: ERROR 42809 unless it is that of a continuous
 * table; the relation, locked, or ERROR 42P01 when there is none, as its caller
 * can say, too.
 */
extern void contime_require_table(Oid relid);
extern Relation contime_open_relation(Oid relid, LOCKMODE mode);
extern void contime_report_no_relation(Oid relid) pg_attribute_noreturn();

/* What notices of the table are sent, by its option as it is now. */
typedef enum ContimeNotify
{
	CONTIME_NOTIFY_OFF,
	CONTIME_NOTIFY_ON,
	CONTIME_NOTIFY_KEY			/* with the key */
} ContimeNotify;

extern ContimeNotify contime_table_notify(Oid relid);

/* Has no column any option yet? */
extern bool contime_table_is_bare(Oid relid);

/* A column was renamed: have the options rate of its siblings follow. */
extern void contime_table_rename_rate(Oid relid, const char *from, const char *to);

/* Check a definition; with the data there is, too. */
extern void contime_table_check(Oid relid);

/*
 * The first attribute (number - 1) that differs from what data was written
 * with, or -1; but for those in the mask `aborted`, which were rolled back.
 */
extern int	contime_schema_conflict(const ContimeTable *table, const CtSchema *stored, uint64 aborted);
extern void contime_report_conflict(const ContimeTable *table, int index) pg_attribute_noreturn();

/* ERROR if columns of a relation were dropped while the table's description is derived. */
extern void contime_check_unchanged(const ContimeTable *table, Relation rel, TupleDesc before);

/* ---- store/shape.c ----------------------------------------------------------- */

/* May the table's rows be written to a store of this shape, as it is?  Under the partition's lock. */
extern bool contime_shape_is_ready(const ContimeTable *table, const CtSchema *stored);

/*
 * Make a partition's store ready for rows of the table's present shape, or make
 * one (*first); the caller looks again whether it is.  *conflict: the attribute
 * that keeps it from that, or -1.  Not under a lock.
 */
extern CtStatus contime_shape_prepare(const ContimeTable *table, ContimeGeneration *g, int partition,
									  bool *first, int *conflict);

/* Are there events of transactions that were rolled back, which the worker has still to drop? */
extern bool contime_shape_has_aborted(const ContimeGeneration *g, int partition);

/* For DDL: the attribute that conflicts with the data there is, or -1. */
extern int	contime_shape_check(const ContimeTable *table, const ContimeGeneration *g, int partition);

/* For readers: likewise.  Attributes from *usable on have no value in memory. */
extern int	contime_shape_usable(const ContimeTable *table, const ContimeGeneration *g, int partition,
								 int *usable);

/* ---- encode.c --------------------------------------------------------------- */

typedef struct ContimeKey
{
	uint64		hash;
	StringInfoData data;
} ContimeKey;

/*
 * Encode key values, in the order of key_attno, into key->data (initialised
 * by the caller, overwritten here); false if one is NULL.
 */
extern bool contime_encode_key(const ContimeTable *table, const Datum *values,
							   const bool *isnull, ContimeKey *key);

/* What follows from the bytes of a key. */
extern void contime_hash_key(ContimeKey *key);

/* The values of an encoded key into values[attno - 1], in current memory; ERROR if it is none. */
extern void contime_decode_key(const ContimeTable *table, const char *key, uint32 bytes,
							   Datum *values, bool *isnull);

/* Those of the key's columns, in their order; there is room for INDEX_MAX_KEYS. */
extern void contime_decode_keys(const ContimeTable *table, const ContimeKey *key, Datum *keys);

/*
 * Append a value's image, for a VAR with or without its length; false, with
 * something appended, for a float that its scale cannot hold: NaN, an
 * infinity, or more than 18 digits.
 */
extern bool contime_encode_image(const ContimeAttr *attr, const CtAttr *ct, Datum value,
								 StringInfo buf, bool with_length);

/* smallint, integer or bigint, and one as another; false: out of range. */
extern bool contime_is_integer(Oid type);
extern bool contime_convert_integer(Datum *value, Oid from, Oid to);

/* Is a value of a computed column neither NaN nor infinite? */
extern bool contime_is_finite(const CtAttr *ct, const ContimeAttr *attr, Datum value);

/* A value of a computed column as a number; infinite when a float has too many digits. */
extern CtWide contime_number(const CtAttr *ct, const ContimeAttr *attr, Datum value);

/* An interval's microseconds, and its days and months. */
extern CtWide contime_interval(Datum value, CtWide *extra);

/*
 * A state's values into values[] and isnull[], key and time left alone.
 * Images must be aligned, and varlenas have their header before the image; the
 * values point there.
 * ERROR 22003 (22008 for an interval) when a number is out of its type's range.
 */
extern void contime_decode_state(const ContimeTable *table, const CtValue *state, int nstate,
								 Datum *values, bool *isnull);

/* The instant of a non-null time value. */
static inline int64
contime_instant(Datum value)
{
	return DatumGetInt64(value);
}

/* ---- visible.c ---------------------------------------------------------------- */

/* A snapshot made ready for the engine. */
typedef struct ContimeView
{
	Snapshot	snapshot;
	uint64		own_top;		/* own top-level transaction, or 0 */
	CtSnapshot	plain;
	CtRuns		runs;			/* visible recent events of the timeline at hand */
	uint32		capacity;		/* of the runs and of unknown[] */
	uint32		wanted;
	bool		overtaken;		/* a hidden one waits for its twin: others see it */
	uint32		nunknown;
	uint64	   *unknown;		/* transactions to look up */
	bool		tracks;			/* of a serializable transaction: */
	uint32		nunseen;		/* who wrote what was met and not seen, at */
	uint32		unseen_capacity;	/* most so many of them in unseen[] */
	uint64	   *unseen;
} ContimeView;

/* ERROR for snapshots that are not MVCC. */
extern ContimeView *contime_view_begin(Snapshot snapshot);
extern void contime_view_end(ContimeView *view);

/*
 * Under the partition's lock: gather a timeline's visible recent events into
 * view->runs.  False: release the lock, call contime_view_resolve(), retry.
 */
extern bool contime_view_gather(ContimeView *view, const CtArena *arena,
								CtRef store, CtRef timeline);
extern void contime_view_resolve(ContimeView *view);

/*
 * Not under a lock: have core judge what was not seen since the last time.
 * ERROR 40001 when this transaction cannot be serialized.
 */
extern void contime_view_report(ContimeView *view, Relation rel);

/* Does the snapshot see what this (sub)transaction wrote?  Not under a lock. */
extern bool contime_view_sees(ContimeView *view, uint64 top, uint64 xid);

#ifdef USE_ASSERT_CHECKING
/* Setting contime.debug_visibility: what a test must notice. */
enum
{
	CONTIME_VISIBILITY_EXACT,
	CONTIME_VISIBILITY_NO_SNAPSHOT, /* readers see what commits while they read */
	CONTIME_VISIBILITY_ENTER_EARLY, /* workers enter what has not committed */
	CONTIME_VISIBILITY_FREEZE_EARLY /* and freeze what not everyone sees */
};
extern int	contime_debug_visibility;
extern void contime_visible_settings(void);
#endif

/* ---- serializable.c --------------------------------------------------------------- */

/*
 * A key, or all of them (NULL), will be read.  True: whoever wrote an event
 * that the snapshot does not see is to be told of.
 */
extern bool contime_serializable_read(Relation rel, Snapshot snapshot, const uint64 *hash);
extern void contime_serializable_unseen(Relation rel, Snapshot snapshot,
										const uint64 *xid, uint32 count);

/* An event of the key has been linked by a serializable transaction. */
extern void contime_serializable_write(Relation rel, uint64 hash);

/* All of a table is about to go: TRUNCATE, DROP. */
extern void contime_serializable_clear(Oid relid);

/* ---- scan.c --------------------------------------------------------------------- */

/*
 * A scan of one continuous table under one snapshot: either one key or all,
 * at a set of instants.
 *
 *	begin -> (bind -> next*)* -> end
 *
 * Result tuples hold the key, the instant and the state, as virtual tuples
 * whose values live until the next call.
 */
typedef struct ContimeScan ContimeScan;
struct ContimeReferences;

/*
 * held: the references to its event tables, which the scan is to end, if the
 * caller began them before; or NULL.
 */
extern ContimeScan *contime_scan_begin(Relation rel, Snapshot snapshot,
									   struct ContimeReferences *held);

/* Of a durable table: read event tables only.  Where has it read?  NULL: it is no such table. */
extern void contime_scan_use_heap(ContimeScan *scan);
extern const char *contime_scan_where(const ContimeScan *scan);

/* Interpolate with nothing after this instant: "now" does not know what is to come. */
extern void contime_scan_look_until(ContimeScan *scan, int64 instant);

/* Rows of a key come the latest instant first; before anything is bound. */
extern void contime_scan_backward(ContimeScan *scan);

/*
 * Start over for these instants (any order, doubles allowed; the scan sorts
 * and removes doubles; copied).  keys: nkeys values in the order of
 * table->key_attno, or NULL for all keys.  A NULL key or zero instants give
 * no rows.
 */
extern void contime_scan_bind(ContimeScan *scan, const int64 *instants, int ninstants,
							  const Datum *keys, const bool *keynulls);

/*
 * Share the keys with scans of other processes: each gets whole partitions,
 * the next one from this counter.
 */
extern void contime_scan_share(ContimeScan *scan, pg_atomic_uint32 *next);
extern bool contime_scan_next(ContimeScan *scan, TupleTableSlot *slot);
extern void contime_scan_end(ContimeScan *scan);

/* Keys and events in memory, for estimates; cheap. */
extern void contime_count(Oid relid, double *keys, double *events);

/* ---- history.c ------------------------------------------------------------------- */

/*
 * The states in [from, to) of one key, or of all keys one after the other
 * (keys NULL), each key's in order of time.  next: one of them, and the part of
 * [from, to) in which it held.
 */
extern void contime_scan_bind_history(ContimeScan *scan, const Datum *keys, const bool *keynulls,
									  int64 from, int64 to);
extern bool contime_scan_next_state(ContimeScan *scan, TupleTableSlot *slot,
									int64 *from, int64 *to);

/*
 * The instant at or before *instant since which one key's row is what it is
 * then; false: it has none.
 */
extern bool contime_scan_since(ContimeScan *scan, const Datum *keys, const bool *keynulls,
							   int64 *instant);

/* Beside an event's columns: those it sets, NULL or not, as a mask; when it came. */
typedef struct ContimeTold
{
	CtKind		kind;
	uint64		set;
	bool		late;			/* a newer one of its key had entered before */
} ContimeTold;

/* Events of one key, or (keys NULL) of all, at the instants [from, to], as they were told. */
extern void contime_scan_bind_events(ContimeScan *scan, const Datum *keys, const bool *keynulls,
									 int64 from, int64 to);
extern bool contime_scan_next_event(ContimeScan *scan, TupleTableSlot *slot,
									ContimeTold *told);

/* ---- instant.c ----------------------------------------------------------------------- */

extern void contime_instant_settings(void);

/*
 * Is a read that names no instant of another one than now?  present: it is in
 * a policy.
 */
extern bool contime_travels(const ContimeTable *table, bool present, int64 *instant);

/* What EXPLAIN says of such a read. */
extern const char *contime_unbound_instant(const ContimeTable *table, bool present);

/* ERROR when a read without a condition on the time is not allowed. */
extern void contime_check_unbound(const ContimeTable *table);

/* ERROR when the session looks at the past, where nothing is written. */
extern void contime_check_present(const ContimeTable *table);

/* ---- ingest.c ---------------------------------------------------------------------- */

/*
 * Rows on their way into memory: checked and encoded at once, linked in
 * batches of one lock per partition.
 */
typedef struct ContimeIngest ContimeIngest;

extern ContimeIngest *contime_ingest_begin(Relation rel);

/*
 * An event, snapshot or finish.  set_null/columns are masks by attribute
 * number - 1 (columns = 0 with all = true: the whole state).  stamp: may a
 * NULL time take the clock?
 */
extern void contime_ingest_row(ContimeIngest *ingest, CtKind kind,
							   const Datum *values, const bool *isnull,
							   uint64 set_null, uint64 columns, bool stamp);
extern void contime_ingest_flush(ContimeIngest *ingest);	/* rows become visible to later commands */
extern void contime_ingest_end(ContimeIngest *ingest);

/*
 * Rows that do not go into memory: an event is encoded and kept, event number i
 * is got (NULL: there are not so many), and all are forgotten.  A row that is
 * too large is an ERROR, or (false) left out if contime_ingest_leave_out() was
 * called before.
 */
extern bool contime_ingest_encode(ContimeIngest *ingest, CtKind kind, uint64 columns,
								  const Datum *values, const bool *isnull, bool retracts);

extern void contime_ingest_leave_out(ContimeIngest *ingest);

/* If the last two are the same, one taken back and the other put in its place: forget them. */
extern void contime_ingest_cancel(ContimeIngest *ingest);

/*
 * Those kept go into a generation that caches their table, with a label, or
 * (NULL) as events that everyone sees.
 */
extern void contime_ingest_link(ContimeIngest *ingest, ContimeGeneration *g, const CtLabel *label);

/* Have a store in a partition that rows can be added to. */
extern void contime_ingest_prepare(const ContimeTable *table, ContimeGeneration *g, int partition);

/* Which transactions had ended, for the label of a top-level transaction. */
extern uint64 contime_ended(uint64 top);
extern const CtLoad *contime_ingest_load(ContimeIngest *ingest, int i);
extern void contime_ingest_reset(ContimeIngest *ingest);

/*
 * The instant of "now" for an unbound read: statement_timestamp(), or the
 * transaction's start under REPEATABLE READ and above, or the session's own
 * newest stamp if later; the greatest bigint for logical
 * clocks.
 */
extern int64 contime_now(const ContimeTable *table);

/* A stamp for an event without a time: the clock, increasing in a session. */
extern int64 contime_stamp(void);

/* ---- source.c --------------------------------------------------------------------- */

/*
 * The sources of a table: the event table of its option events (NULL: it has
 * none), and those in contime.source.
 */
extern void contime_source_derive(ContimeTable *table, Relation rel, const char *events_name);

/*
 * Delete the rows that contime.source has of a table, which is dropped.  Or
 * (stale) of one that is created: a table that had its OID was dropped while
 * the server ran without contime.  Its own rows this transaction has written.
 */
extern void contime_source_forget(Oid relid, bool stale);

/* The text of a query for its rows: $1 ... are keys, then the latest instant. */
typedef enum ContimeRows
{
	CONTIME_OF_KEY,				/* of one key */
	CONTIME_BY_KEY,				/* in the order of keys */
	CONTIME_ANY_ORDER
} ContimeRows;

extern char *contime_source_query(const ContimeTable *table, const ContimeSource *source,
								  ContimeRows rows, bool bounded);

/*
 * What names mean in such a query depends on nobody's search_path: it is
 * prepared, and planned, between these.
 */
extern void contime_source_path_begin(void);
extern void contime_source_path_end(void);

/* Read event tables, and evaluate sources, as the owner of the continuous table: owner.c. */
extern struct ContimeIdentity contime_source_switch(const ContimeTable *table);

/* Does a state depend on events behind its instant, too? */
extern bool contime_source_looks_ahead(const ContimeTable *table);

/* Are loads of the table limited in time?  Not if its sources are just columns of event tables. */
extern bool contime_source_is_limited(const ContimeTable *table);

/* Lock the event tables; ERROR when the owner may not read all of them. */
extern void contime_source_check(const ContimeTable *table);

/* ERROR when the table has an event table to write to. */
extern void contime_source_refuse(const ContimeTable *table);

/* ---- sourcecmds.c ----------------------------------------------------------------- */

/* Lock those that a table is bound to, though it may have no valid description. */
extern void contime_source_lock(Oid relid);

/*
 * A definition has been given, or changed: note which event tables it names.
 * True: there is a new one.
 */
extern bool contime_source_bind(Oid relid);

/*
 * May the owner of a continuous table read all of its event tables?  If not
 * (privileges were revoked, or the owner is another one now), the table is
 * refused when it is used, and is not in the way of a command.
 */
extern bool contime_source_is_usable(Oid relid);

/*
 * Those of the continuous tables of an event table whose description cannot be
 * derived.  A command on the event table must leave the others sound; these are
 * not in its way.
 */
extern List *contime_source_unsound(Oid relid);

/* Does a source that is given now say the same whatever the search_path is? */
extern bool contime_source_is_qualified(void);

/* Have the options source do that. */
extern void contime_source_settle(Oid relid);

/* Find indexes on the event tables for what they are asked, or create them. */
extern void contime_source_index(Oid relid);

/* Continuous tables of which this is an event table. */
extern List *contime_source_dependents(Oid events);

/*
 * Before and after a command that gives a relation, one of its columns, or a
 * schema another name: have options follow.
 */
extern List *contime_source_note_names(Oid relid);
extern List *contime_source_note_schema(Oid schema);
extern void contime_source_follow(List *noted);

/* ---- durable/references.c --------------------------------------------------------- */

/*
 * References to a durable table's event tables, so that core refuses DDL on
 * them beneath an open read of the same session.  begin: under the resource
 * owner that the read belongs to; NULL for a table in memory.  end: under any.
 */
typedef struct ContimeReferences ContimeReferences;

extern ContimeReferences *contime_references_begin(const ContimeTable *table);
extern void contime_references_end(ContimeReferences *held);

/* The event tables that scans of this session read; NIL, as a rule. */
extern List *contime_references_read(void);

/* ---- heapread.c ------------------------------------------------------------------- */

/* Rows got from a query at a time. */
#define CONTIME_FETCH_ROWS 1000

/* Rows of an event table as rows of the continuous table. */
typedef struct ContimeEvents ContimeEvents;

extern ContimeEvents *contime_events_begin(const ContimeTable *table,
										   const ContimeSource *source);
extern bool contime_events_row(ContimeEvents *events, TupleTableSlot *slot,
							   Datum **values, bool **isnull);
extern void contime_events_end(ContimeEvents *events);

/*
 * Keys with their events, from the event tables:
 *
 *	begin -> (bind -> next*)* -> end
 *
 * bind: keys NULL for all keys; events behind `until` may be left out.  next:
 * a store that holds the next key's timeline, until next is called again.
 */
typedef struct ContimeHeapRead ContimeHeapRead;

extern ContimeHeapRead *contime_heap_begin(Relation rel, const ContimeTable *table,
										   Snapshot snapshot);
extern void contime_heap_bind(ContimeHeapRead *read, const Datum *keys, int64 until);
extern bool contime_heap_next(ContimeHeapRead *read, CtArena *arena, CtRef *store,
							  CtRef *timeline);
extern void contime_heap_end(ContimeHeapRead *read);

/*
 * Rows of a source that a snapshot sees, into a generation: bind a key, or NULL
 * for every row; then load some, or (skip) only count them and see how late
 * they are.  False: there are no more.
 */
typedef struct ContimeHeapLoad ContimeHeapLoad;

extern ContimeHeapLoad *contime_heap_load_begin(Relation rel, const ContimeTable *table,
												const ContimeSource *source);
extern void contime_heap_load_bind(ContimeHeapLoad *load, Snapshot snapshot, const Datum *keys);
extern bool contime_heap_load_next(ContimeHeapLoad *load, ContimeGeneration *g);
extern bool contime_heap_load_skip(ContimeHeapLoad *load, uint64 *rows, int64 *newest);
extern void contime_heap_load_end(ContimeHeapLoad *load);

/* ---- capture.c -------------------------------------------------------------------- */

/*
 * Have on a relation the triggers of the durable tables whose events its rows
 * are, and no others of theirs; false: some do not fire, as somebody wants it.
 * On an event table and all of its partitions.
 */
extern bool contime_capture_fit(Oid relation);
extern void contime_capture_fit_all(Oid events);

/*
 * Why rows of an event table are not captured for a continuous table, or NULL.
 * Its relations are locked, and added to a list.
 */
extern const char *contime_capture_obstacle(Oid relid, Oid events, List **relations);

/* Is a statement of this backend under way that writes to one of its event tables? */
extern bool contime_capture_pending(Oid relid);

extern void contime_capture_install_hooks(void);
#ifdef USE_ASSERT_CHECKING
extern void contime_capture_settings(void);
#endif

/* ---- durable/unflushed.c ------------------------------------------------------------ */

/*
 * Note that this transaction has captured rows that are not in a cache yet.
 * NULL: there is no room for a note, so the caller adds them at once.  The
 * writer clears its note when they have been added, or are rolled back.
 */
extern pg_atomic_uint64 *contime_unflushed_note(ContimeGeneration *g);
extern void contime_unflushed_clear(pg_atomic_uint64 *note);

/*
 * True if a cache lacks rows of a transaction that has committed, and that the
 * snapshot (unless NULL) sees as ended.  Not under a lock.
 */
extern bool contime_unflushed_found(ContimeGeneration *g, const CtSnapshot *snapshot);

/* ---- cache.c ---------------------------------------------------------------------- */

extern ContimeCacheState contime_cache_state(ContimeGeneration *g);

/* Will most snapshots find what they see of a table in its cache? */
extern bool contime_cache_is_ready(Oid relid);

/*
 * The cache of a table whose sources are locked, or NULL: there is none, and it
 * will be loaded.  Does it hold what a snapshot sees?  If not, the event tables
 * are to be read.
 */
extern ContimeGeneration *contime_cache_watched(const ContimeTable *table);
extern bool contime_cache_serves(ContimeGeneration *g, const ContimeTable *table,
								 const ContimeView *view);

/* By a loader: do two of its events have one identity?  Then it is given up, and refused. */
extern bool contime_cache_has_twins(ContimeGeneration *g);

/* Note a snapshot that is loaded; does another one see all that it saw? */
extern void contime_note_loaded(ContimeLoaded *loaded, const CtSnapshot *snapshot);
extern bool contime_sees_loaded(const CtSnapshot *snapshot, const ContimeLoaded *loaded);

/* The one that rows are to be added to, or NULL. */
extern ContimeGeneration *contime_cache_capturing(Oid relid);

/* It may lack a row, for the reason given in the log. */
extern void contime_cache_break(Oid relid, const char *reason);

/* By the worker: has the engine lost anything? */
extern void contime_cache_check(ContimeGeneration *g, int partition);

/*
 * What rows are, or mean, changes in this transaction: of a table of which
 * nobody else uses the cache (there is an AccessExclusiveLock on it, or on an
 * event table); or as others may read and write.
 */
extern void contime_cache_renew(Oid relid);
extern void contime_cache_change(Oid relid, Oid events);

/* Is it to be loaded, or tidied?  And is there such a one in a database? */
extern bool contime_cache_is_wanted(ContimeGeneration *g);
extern bool contime_cache_is_due(void);
extern PGDLLEXPORT void contime_loader_main(Datum database);

/* ---- keys.c ------------------------------------------------------------------------ */

/*
 * From now on a cache need not have all keys, as whoever has it to himself
 * says; all of them have so many events, which would take so many bytes, none
 * after an instant but those that are captured.  And of one that was loaded in
 * vain, forget all that was.  What would all keys take by now?
 */
extern void contime_keys_part(ContimeGeneration *g, uint64 rows, Size bytes, int64 newest);
extern void contime_keys_forget(ContimeGeneration *g);
extern Size contime_keys_whole_bytes(ContimeGeneration *g);

/* The next of those it has, from partition and position 0 on; false: there are no more. */
extern bool contime_keys_next(ContimeGeneration *g, int *partition, uint32 *position, ContimeKey *key);

/* Does a snapshot see all that was loaded of any key of a cache until now? */
extern bool contime_keys_are_seen(ContimeGeneration *g, const CtSnapshot *snapshot);

/* A reader has missed a key, and wants it to come.  Is there such a one in a database? */
extern void contime_keys_want(ContimeGeneration *g, const ContimeKey *key);
extern bool contime_keys_are_wanted(Oid database);

/* By the loader: at first, and to load some that are wanted; false: none are. */
extern void contime_keys_begin(void);
extern bool contime_keys_load(void);

/* ---- durable/oversize.c ------------------------------------------------------------ */

extern void contime_oversize_init(ContimeOversize *oversize);

/* A row is left out of a cache: of the key with this hash, or (NULL) of one that is too long. */
extern void contime_oversize_note(ContimeGeneration *g, const uint64 *hash);

/* Does memory lack rows that are too large: of any key; of this one, perhaps? */
extern bool contime_oversize_any(const ContimeGeneration *g);
extern bool contime_oversize_key(const ContimeGeneration *g, const ContimeKey *key);

/* A read of all keys has met no such row. */
extern void contime_oversize_regain(ContimeGeneration *g);

/* ---- room.c ------------------------------------------------------------------------ */

/* Is memory on its way back, from generations that are in force no more, that helps a cache that needs more? */
extern bool contime_room_is_freeing(const ContimeGeneration *g, Size more);

/*
 * Make room to load into a cache (NULL: for whatever may come) at the cost of
 * caches that nobody reads, and of keys: in so many rounds, of which the first
 * spares what was read since the one before.  False: there is none.
 */
extern bool contime_room_make(const ContimeGeneration *g, Size more, int rounds);

/* Could it be, but for a cache, without keys that are read? */
extern bool contime_room_can_be_made(const ContimeGeneration *but, Size more);

#ifdef USE_ASSERT_CHECKING
extern void contime_room_settings(void);
#endif

/* A database whose loader is to make room; InvalidOid: there is enough, or nothing to be done. */
extern Oid	contime_room_is_wanted(void);

/*
 * Has a cache without all keys so much of one of its quotas that keys are to
 * go?  And such a one in a database (InvalidOid: in any), or NULL.
 */
extern bool contime_room_is_tight(ContimeGeneration *g);
extern ContimeGeneration *contime_room_tight(Oid database);

/* ---- worker.c, agent.c ------------------------------------------------------------- */

extern void contime_register_workers(void);

/*
 * The next batch after *batch (0: the first), under a short shared lock; end
 * one, of a transaction that has committed or not.  False: there is none, there
 * is no memory; or the batches are not held as they were.
 */
extern bool contime_next_batch(int partition, const ContimeGeneration *g, uint32 hold,
							   CtRef *batch, CtBatch *copy);
extern bool contime_end_batch(int partition, ContimeGeneration *g, uint32 hold, CtRef batch,
							  bool committed);
#ifdef USE_ASSERT_CHECKING
extern void contime_worker_settings(void);
#endif
extern PGDLLEXPORT void contime_worker_main(Datum partition);
extern PGDLLEXPORT void contime_launcher_main(Datum unused);
extern PGDLLEXPORT void contime_agent_main(Datum database);

/* Be the loader of a database; false: there is one, or none is wanted. */
extern bool contime_loader_attach(Oid database);

/* Have a database's agent look for notices, starting it if need be. */
extern void contime_agent_wake(Oid database);

/* This process is in the way of a command on its database: end it, and keep its successors away for some seconds. */
extern void contime_agent_leave(void) pg_attribute_noreturn();

/* ---- reconcile.c ------------------------------------------------------------------------ */

/* The past of a key changed: as kept in a partition's ring. */
typedef struct ContimeNotice
{
	uint32		bytes;			/* of all of it */
	uint32		key_bytes;
	int			generation;		/* index and serial */
	uint64		serial;
	uint64		seq;
	uint64		events;			/* 0: an old snapshot was read beside newer ones */
	int64		from;
	int64		to;
	char		key[FLEXIBLE_ARRAY_MEMBER];
} ContimeNotice;

extern Size contime_rings_bytes(void);
extern void contime_rings_attach(char *area);

extern void contime_due_add(ContimeDue *sum, const ContimeDue *due);

/* A table remembers nothing of what was before: tell it.  lost: nor what there was to tell. */
extern void contime_notice_reset(ContimeGeneration *g, bool lost);

extern bool contime_notices_add(int partition, ContimeGeneration *g, CtChanged *changed);
extern void contime_notice_overtaken(int partition, ContimeGeneration *g, const void *key,
									 uint32 key_bytes, int64 from, int64 to);
extern void contime_notice_overtaken_all(ContimeGeneration *g, int64 from, int64 to);

/* The notices that are left with numbers in (since, until], in order; copies. */
extern ContimeNotice **contime_notices_between(ContimeGeneration *g, uint64 since, uint64 until,
											   int *count);
extern uint64 contime_notices_newest(ContimeGeneration *g);

/* ---- retention.c ------------------------------------------------------------------------- */

/* The options retain and too_late (or NULL) of a table whose time is known. */
extern void contime_retention_derive(ContimeTable *table, char *retain, const char *too_late);

/* Who uses a table says what its options are.  Not under a lock. */
extern void contime_retention_note(const ContimeTable *table, ContimeGeneration *g);

/* Has an ALTER that was noted ended?  True: look again. */
extern bool contime_retention_resolve(ContimeGeneration *g);

/*
 * Before which instant may a partition whose newest committed event is this
 * one fold?  False: nothing.
 */
extern bool contime_retention_from(ContimeGeneration *g, int64 newest, int64 *from);

/* The earliest instant that can be answered, or written to. */
extern int64 contime_retained(ContimeGeneration *g);

/* ERROR when an instant cannot be answered, or could not while it was read. */
extern void contime_retention_check(const ContimeTable *table, ContimeGeneration *g, int64 instant);
extern void contime_report_too_late(const ContimeTable *table, ContimeGeneration *g,
									int64 instant) pg_attribute_noreturn();

/* ---- plan.c, path.c ---------------------------------------------------------------------------- */

struct PlannerInfo;
struct RelOptInfo;
struct ForeignPath;
struct RangeTblEntry;

/* The planner's callbacks. */
extern void contimeGetForeignRelSize(struct PlannerInfo *root, struct RelOptInfo *rel,
									 Oid relid);
extern bool contimeIsForeignScanParallelSafe(struct PlannerInfo *root, struct RelOptInfo *rel,
											 struct RangeTblEntry *rte);
extern void contimeGetForeignPaths(struct PlannerInfo *root, struct RelOptInfo *rel,
								   Oid relid);
extern ForeignScan *contimeGetForeignPlan(struct PlannerInfo *root, struct RelOptInfo *rel,
										  Oid relid, struct ForeignPath *path,
										  List *tlist, List *clauses, Plan *outer_plan);

/*
 * What a plan binds: its fdw_exprs are `ninstants` instants (none: "now"),
 * in the time column's type, then values of all key columns (none: all keys).
 */
typedef struct ContimeBinding
{
	int			ninstants;
	List	   *arrays;			/* IntList: is this expression an array? */
	List	   *key_types;		/* OidList: key values come in these types */
	bool		forbidden;		/* must not be run */
	bool		present;		/* contime.at does not apply: it is in a policy */
} ContimeBinding;

extern void contime_binding_of(const ForeignScan *plan, ContimeBinding *binding);

/* ---- present.c --------------------------------------------------------------------------------- */

extern void contime_install_present_hooks(void);

#ifdef USE_ASSERT_CHECKING
/* Setting contime.debug_unprotected, for the planner's test. */
extern void contime_plan_settings(void);
#endif

/* ---- ddl.c ------------------------------------------------------------------------------- */

extern void contime_install_ddl_hooks(void);

/* TRUNCATE: open a new, empty generation. */
extern void contime_truncate(Relation rel);

/* ---- pause.c ------------------------------------------------------------------------------ */

#ifdef USE_ASSERT_CHECKING
/* Wait while somebody has asked for it.  ERROR only when cancelled. */
extern void contime_pause(const char *name, Oid database);
#else
#define contime_pause(name, database) ((void) 0)
#endif

/* ---- functions.c -------------------------------------------------------------------------- */

/*
 * The continuous table whose row type the first argument has.  Where rows of
 * that type are to be returned, ERROR unless it is the row type itself.
 */
extern void contime_check_argument(FunctionCallInfo fcinfo);
extern Relation contime_open_argument(FunctionCallInfo fcinfo, LOCKMODE mode);

/* ERROR without the privilege on the table, or on every column of the mask. */
extern void contime_check_privilege(Relation rel, AclMode mode, uint64 columns);
extern uint64 contime_all_columns(const ContimeTable *table);

/* An argument as a value of the single key column; false: there is no such key. */
extern bool contime_key_argument(FunctionCallInfo fcinfo, int argno, const ContimeTable *table,
								 Datum *key);

/* ERROR when the table's time is of another type; `other` is the function for that. */
extern void contime_check_clock(const ContimeTable *table, Oid type, const char *other);

/* ---- error.c ------------------------------------------------------------------------------ */

/* Report an engine status as an ERROR; `what` was being done. */
extern void contime_report(CtStatus status, const ContimeTable *table) pg_attribute_noreturn();

/* Did PostgreSQL cancel the statement, by itself or on request?  Then a caught error is thrown again. */
extern bool contime_is_interrupt(const ErrorData *error);

#endif							/* CONTIME_H */
