/*
 * table.h
 *	  Continuous tables as they are defined: descriptions, encoding, sources, whose rights code has.
 *
 *	  conflict.c        do two descriptions agree?
 *	  members.c         the extension's own objects, by membership
 *	  source_catalog.c  sources as they are kept
 *	  dependents.c      which tables depend on an event table
 *	  encode.c          values of rows <-> bytes of keys, events and states
 *	  owner.c           user-made code runs as the owner of the table
 *	  limits.c          the memory limits of a table, its owner and its database
 *	  options.c         which options there are
 *	  retain.c          options retain and too_late
 *	  rules.c           which types each rule takes
 *	  source.c          what sources mean
 *	  derive.c          columns and options become a description
 *	  guard.c           the time limit of user-made code in background processes
 *	  rows.c            rows are checked and encoded as events
 *	  table.c           descriptions, cached by backend
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_TABLE_H
#define CONTIME_TABLE_H

#include "postgres.h"

#include "shared/shared.h"

#include "utils/rel.h"
#include "executor/executor.h"
#include "parser/parse_node.h"
#include "utils/jsonb.h"

#define CONTIME_MAX_DIGITS 36    /* of a numeric that is computed with */
#define CONTIME_NARROW_DIGITS 18 /* of a float with a scale, of what moves, and of rates */
#define CONTIME_MAX_SCALE 15     /* option scale: decimal digits of a double precision */

StaticAssertDecl(CONTIME_MAX_SCALE <= CONTIME_NARROW_DIGITS &&
					 CONTIME_NARROW_DIGITS <= CONTIME_MAX_DIGITS,
				 "a scale is a part of the digits");

/* How one attribute is encoded. */
typedef struct ContimeAttr
{
	AttrNumber attno;
	Oid type;
	int32 typmod;
	Oid collation;
	int16 typlen;
	bool typbyval;
	char typalign;
	bool dropped;
	bool key;
	bool time;
	bool event_id;
	bool state;    /* has a rule; the event id has one, too */
	int precision; /* of a numeric; 0: as many digits as it takes */
	int scale;     /* of a numeric, or the option of a float */
} ContimeAttr;

/* What a column is, as kept in CtAttr.role. */
typedef enum ContimeRole
{
	CONTIME_STATE = 0,
	CONTIME_KEY,
	CONTIME_TIME,
	CONTIME_EVENT_ID
} ContimeRole;

StaticAssertDecl(CONTIME_EVENT_ID <= UINT8_MAX, "a role fits into CtAttr.role");
StaticAssertDecl(INDEX_MAX_KEYS <= CT_MAX_ATTRS, "every column may be one of the key");

/* An event table of a durable table, and what its rows are. */
typedef struct ContimeSource
{
	struct ContimeSource *next;
	Oid events; /* the event table */
	char *name; /* for messages */
	CtKind kind;
	uint64 columns;                    /* state attributes that it feeds, for snapshots */
	struct _SPI_plan *plan[3][2];      /* by ContimeRowOrder, bounded or not (heap_read.c) */
	Node *expr[FLEXIBLE_ARRAY_MEMBER]; /* by attribute - 1, over its rows; NULL: not fed */
} ContimeSource;

/* A continuous table's description, derived from the catalogs. */
typedef struct ContimeTable
{
	Oid relid;
	char *name; /* for messages */
	int natts;
	AttrNumber time_attno;
	Oid time_type; /* timestamptz or int8 */
	int nkeys;
	AttrNumber key_attno[INDEX_MAX_KEYS];
	int64 retain;          /* option retain, in instants; 0: not given */
	bool ignores_late;     /* option too_late 'ignore' */
	bool ignores_bad_rows; /* option bad_rows 'ignore' */
	uint64 options_xid;    /* the transaction that changed the options, if it has not ended */
	Oid owner;             /* reads event tables; memory is charged to it */
	int64 memory_limit;    /* option memory_limit, in bytes; -1: not given */
	bool calls;            /* its sources, or what options say of its columns, run user-made code */
	ContimeSource *source; /* a durable table's, in a list; NULL: it is written to directly */
	CtSchema *schema;
	ContimeAttr attr[FLEXIBLE_ARRAY_MEMBER];
} ContimeTable;

/* What notices of the table are sent, by its option as it is now. */
typedef enum ContimeNotify
{
	CONTIME_NOTIFY_OFF,
	CONTIME_NOTIFY_ON,
	CONTIME_NOTIFY_KEY /* with the key */
} ContimeNotify;

typedef struct ContimeKey
{
	uint64 hash;
	StringInfoData data;
} ContimeKey;

/* A row encoded: its key and payload are at these offsets in the buffer. */
typedef struct ContimeRow
{
	CtLoad load;
	Size key_offset;
	Size payload_offset;
} ContimeRow;

/* Rows encoded in this process's memory (rows.c). */
typedef struct ContimeRows
{
	const ContimeTable *table;
	MemoryContext context; /* of everything below */
	MemoryContext scratch; /* of one row */
	ContimeKey key;
	StringInfoData buffer;
	ContimeRow *row;
	int count;
	int capacity;

	/* The row of an event table that is being encoded: where an error says it is. */
	TupleTableSlot *slot; /* NULL: not known */
	bool located;         /* the last two columns of the slot are ctid and tableoid */
	bool hides_values;    /* errors do not show the key and the time */

	/* Rows that cannot be events: they are left out, unless they are an error. */
	bool leaves_out;
	bool long_keys;   /* the keys of some exceed the limit; */
	uint64 *left_out; /* of the others, the hashes of their keys */
	int nleft_out;
	bool uncounted; /* the cache has counted them before */
	uint64 bad;     /* their number; rows that are retracted do not count */
	List *shown;    /* ContimeBadRow: the first of them */
	int nshown;
} ContimeRows;

/* A row of an event table that cannot be an event: for the log and for contime.verify(). */
typedef struct ContimeBadRow
{
	char *what;   /* "row (0,1) of table ..." */
	char *reason; /* as the message of the error */
	char *detail; /* "Key (...)=(...), time ..."; NULL: not shown */
} ContimeBadRow;

/* So many bad rows are described: of a cache in the log, by contime.verify(), ... */
#define CONTIME_BAD_ROWS_SHOWN 10

/* The instant of a non-null time value. */
static inline int64
contime_instant(Datum value)
{
	return DatumGetInt64(value);
}

/* The objects of the extension that contime's code has to recognise. */
typedef enum ContimeMember
{
	CONTIME_MEMBER_WRAPPER, /* the foreign data wrapper */
	CONTIME_MEMBER_SOURCES, /* table contime.source */
	CONTIME_MEMBER_CAPTURE, /* trigger function contime.capture() */
	CONTIME_MEMBERS
} ContimeMember;

/* What may run between contime_switch_to_owner() and contime_switch_back(). */
typedef enum ContimeOwnerCode
{
	CONTIME_CODE_OF_CORE,      /* nothing that a user made: only the privileges matter */
	CONTIME_CODE_OF_USERS,     /* functions, casts, domains' checks, operators of users */
	CONTIME_CODE_BEING_DEFINED /* the same, while the session's search_path resolves names */
} ContimeOwnerCode;

/* The identity and settings that were in force before a switch. */
typedef struct ContimeIdentity
{
	Oid user;
	int context;   /* as SetUserIdAndSecContext() takes it */
	int settings;  /* nest level of settings; 0: there is none */
	bool snapshot; /* a snapshot was pushed */
} ContimeIdentity;

/* How long user-made code of a table may run, before its rows count; for each row more. */
#define CONTIME_GUARD_MS 10000
#define CONTIME_GUARD_ROW_US 20

/* A row of contime.source. */
enum
{
	Anum_source_state = 1,
	Anum_source_events,
	Anum_source_kind,
	Anum_source_columns,
	Natts_source = Anum_source_columns
};

typedef struct Added
{
	ItemPointerData tid;
	bool fresh; /* this transaction wrote it */
	Oid events;
	CtKind kind;
	Jsonb *columns;
} Added;

/* ---- table.c ----------------------------------------------------------------- */

/*
 * The description of a continuous table, cached until its definition
 * changes.  ERROR when it is none or its definition is refused, and on a
 * standby when it is in memory.
 */
extern const ContimeTable *contime_table(Relation rel);

/* The owner of a relation, or InvalidOid: it was dropped. */
extern Oid contime_owner_of(Oid relid);

/*
 * For OIDs that a user gave: ERROR 42809 unless it is that of a continuous
 * table; the relation, locked, or ERROR 42P01 when there is none, as its caller
 * can say, too.
 */
extern void contime_require_table(Oid relid);
extern Relation contime_open_relation(Oid relid, LOCKMODE mode);
extern void contime_report_no_relation(Oid relid) CONTIME_NORETURN;

extern ContimeNotify contime_table_notify(Oid relid);

/* ---- members.c --------------------------------------------------------------- */

/* Is it a foreign table of contime's? */
extern bool contime_is_table(Oid relid);

/*
 * The OID of a member of the extension in this database.  InvalidOid: the
 * extension is not there, or it is being created or dropped.
 */
extern Oid contime_member(ContimeMember member);

/* Likewise, but ERROR 55000 in place of InvalidOid. */
extern Oid contime_require_member(ContimeMember member);

/* ---- conflict.c -------------------------------------------------------------- */

/*
 * The first attribute (number - 1) that differs from what data was written
 * with, or -1; but for those in the mask `aborted`, which were rolled back.
 */
extern int contime_schema_conflict(const ContimeTable *table, const CtSchema *stored,
								   uint64 aborted);
extern void contime_report_conflict(const ContimeTable *table, int index) CONTIME_NORETURN;

/* ERROR if columns of a relation were dropped while the table's description is derived. */
extern void contime_check_unchanged(const ContimeTable *table, Relation rel, TupleDesc before);

/* ---- encode.c ---------------------------------------------------------------- */

/*
 * Encode key values, in the order of key_attno, into key->data (initialised
 * by the caller, overwritten here); false if one is NULL.
 */
extern bool contime_encode_key(const ContimeTable *table, const Datum *values, const bool *isnull,
							   ContimeKey *key);

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

/* ---- rows.c ------------------------------------------------------------------ */

/* Begin an empty set of rows; end it with everything that it holds. */
extern ContimeRows *contime_rows_begin(const ContimeTable *table);
extern void contime_rows_end(ContimeRows *rows);

/*
 * Encode a row as an event, a snapshot or a finish.  set_null: columns that the
 * event makes NULL.  columns: those that a snapshot sets, 0 for the whole state;
 * both are masks by attribute number - 1.  stamp: a NULL time takes the clock.
 * ERROR 23502 for a NULL key or time, 22003 and 23514 for values out of range.
 */
extern void contime_rows_encode(ContimeRows *rows, CtKind kind, const Datum *values,
								const bool *isnull, uint64 set_null, uint64 columns, bool stamp,
								bool retracts);

/*
 * Likewise, a row of an event table, which is rows->slot.  If it cannot be an event,
 * because it is too large, its time is -infinity, or a value is not one that the column
 * takes: an ERROR that names the row.  But with rows->leaves_out, or if the table ignores
 * bad rows, it is left out, and the result is false.  The caller has switched to the owner.
 */
extern bool contime_rows_encode_source(ContimeRows *rows, CtKind kind, uint64 columns,
									   const Datum *values, const bool *isnull, bool retracts);

/* ERROR 54000: an event of the table exceeds the engine's limits. */
extern void contime_report_too_large(const ContimeTable *table) CONTIME_NORETURN;

/* Row number i, from 0, as the engine takes it; NULL: there are not so many. */
extern const CtLoad *contime_rows_load(ContimeRows *rows, int i);

/*
 * Remove the last two rows if they have the same content: one retracts what the
 * other puts in its place.
 */
extern void contime_rows_cancel(ContimeRows *rows);

/* Forget which rows were left out: the caller has noted them. */
extern void contime_rows_forget_bad(ContimeRows *rows);

/* Remove all rows. */
extern void contime_rows_reset(ContimeRows *rows);

/* ---- source.c ---------------------------------------------------------------- */

/*
 * The sources of a table: the event table of its option events (NULL: it has
 * none), and those in contime.source.
 */
extern void contime_source_derive(ContimeTable *table, Relation rel, const char *events_name);

/* Read event tables, and evaluate sources, as the owner of the continuous table: owner.c. */
extern struct ContimeIdentity contime_source_switch(const ContimeTable *table);

/* Are loads of the table limited in time?  Not if its sources are just columns of event tables. */
extern bool contime_source_is_limited(const ContimeTable *table);

/* Lock the event tables; ERROR when the owner may not read all of them. */
extern void contime_source_check(const ContimeTable *table);

/* ERROR when the table has an event table to write to. */
extern void contime_source_refuse(const ContimeTable *table);

extern void contime_check_event_table(const ContimeTable *table, Relation events);

/* May the owner of a continuous table bind it to an event table? */
extern bool contime_source_may_bind(Oid events, Oid owner);

/* A text as an expression over the event table's row; within contime_switch_to_owner(owner). */
extern Node *contime_transform_source(Oid owner, Relation events, const char *text);

/* Such an expression as text, by names that mean the same to everyone. */
extern char *contime_deparse_qualified(Relation events, Node *expr);

/*
 * The text of a column's source in that form, if in the one given a search_path
 * matters to it, or NULL.
 */
extern char *contime_qualified_source(Relation rel, const char *column, Relation events,
									  const char *text);

/* ---- source_catalog.c -------------------------------------------------------- */

/*
 * Delete the rows that contime.source has of a table, which is dropped.  Or
 * (stale) of one that is created: a table that had its OID was dropped while
 * the server ran without contime.  Its own rows this transaction has written.
 */
extern void contime_source_delete_rows(Oid relid, bool stale);

/* The event table of the option events, and ERROR when a relation cannot be one. */
extern RangeVar *contime_event_table_name(Relation rel, const char *name);

/* The option source of a column, or NULL. */
extern char *contime_source_option(Oid relid, AttrNumber attno);

/* The kind of a name, or -1. */
extern int contime_kind_of(const char *name);

/* contime.source, or NULL: the extension is just being created or dropped. */
extern Relation contime_open_sources(LOCKMODE mode);

/* The sources that were added to a continuous table, as committed or our own. */
extern List *contime_added_sources(Oid relid);

/* What one of them says of a column, or NULL: it is not fed. */
extern char *contime_mapping_of(const Jsonb *columns, const char *column);

/* Add a row, or (tid) write one anew. */
extern void contime_write_source(Oid relid, Oid events, CtKind kind, Jsonb *columns,
								 ItemPointer tid);

/* ---- owner.c ----------------------------------------------------------------- */

/*
 * Between these, names in a query are resolved without the session's
 * search_path: such a query is prepared and planned here.
 */
extern void contime_source_path_begin(void);
extern void contime_source_path_end(void);

extern ContimeIdentity contime_switch_to_owner(Oid owner, ContimeOwnerCode code);
extern void contime_switch_back(const ContimeIdentity *before);

/* Is an object's OID one that initdb does not assign? */
extern bool contime_is_user_made(Oid object);

/* Can an expression run user-made code, be it by the types of its values? */
extern bool contime_runs_user_code(Node *expr);

/*
 * The calls of user-made code.  Each must be between the two functions above,
 * for the same owner; outside of them it is an error.
 */
extern Datum contime_owner_input(Oid owner, Oid type, int32 typmod, const char *text);
extern char *contime_owner_output(Oid owner, Oid type, Datum value);
extern Datum contime_owner_cast(Oid owner, Oid function, Datum value);
extern Node *contime_owner_transform(Oid owner, ParseState *pstate, Node *raw);
extern Node *contime_owner_coerce(Oid owner, Node *expr, Oid type, int32 typmod);
extern ExprState *contime_owner_prepare(Oid owner, Node *expr, EState *estate);
extern Datum contime_owner_evaluate(Oid owner, ExprState *state, ExprContext *econtext,
									bool *isnull);

/*
 * In a background process: a time limit for what is between begin and end, in
 * milliseconds.  An error 57014 ends what exceeds it, and FATAL what goes on
 * for some seconds after that.
 */
extern void contime_limit_begin(int ms);
extern void contime_limit_extend(int ms);
extern void contime_limit_end(void);
extern bool contime_limit_is_exceeded(void);

/* ---- dependents.c ------------------------------------------------------------ */

/* Lock those that a table is bound to, though it may have no valid description. */
extern void contime_source_lock(Oid relid);

/* Continuous tables of which this is an event table. */
extern List *contime_source_dependents(Oid events);

/* The event tables that a continuous table depends on. */
extern List *contime_source_bound(Oid relid);

extern char *contime_table_option(Oid relid, const char *name);

/* ---- retain.c ---------------------------------------------------------------- */

/* The options retain and too_late (or NULL) of a table whose time is known. */
extern void contime_retention_derive(ContimeTable *table, char *retain, const char *too_late);

/* The transaction that wrote the options, if it is our own; or 0. */
extern uint64 contime_options_xid(Oid relid);

/* ---- limits.c ---------------------------------------------------------------- */

/* A value of the option memory_limit in bytes; -1: it is none. */
extern int64 contime_limits_parse(const char *value);

/*
 * Charge a generation to the table's owner, and note the limits as they are
 * now; must: ERROR 54000 if it cannot be charged.  In a transaction, not under a lock.
 */
extern void contime_limits_note(const ContimeTable *table, ContimeGeneration *g, bool must);

/* ---- guard.c ----------------------------------------------------------------- */

/*
 * User-made code of a table is about to run; so many of the table's rows have
 * been read meanwhile; it has ended, or failed (no harm if none was running).
 * Is the code of a table to be run at all?  It is not for some minutes after it
 * has exceeded its time.
 */
extern void contime_guard_begin(Oid relid, Oid owner);
extern void contime_guard_extend(uint64 rows);
extern void contime_guard_end(void);
extern bool contime_guard_trusts(Oid relid, Oid owner);

/* ---- options.c --------------------------------------------------------------- */

/* The value of an option, or NULL. */
extern char *contime_option_value(List *list, const char *name);

#endif /* CONTIME_TABLE_H */
