/*
 * table.h
 *	  Continuous tables as they are defined: descriptions, encoding, sources, owner's rights.
 *
 *	  conflict.c        compares a table's description with that of its data
 *	  members.c         finds the extension's own objects, by membership
 *	  source_catalog.c  sources as stored in the catalogs
 *	  dependents.c      which tables depend on an event table
 *	  encode.c          converts values of rows to bytes of keys and events, and back
 *	  owner.c           runs user-made code as the owner of the table
 *	  limits.c          the memory limits of a table, its owner and its database
 *	  options.c         the options of tables and columns
 *	  retain.c          options retain, too_late and max_ahead
 *	  rules.c           the types that each rule accepts
 *	  source.c          parses sources, and checks privileges on event tables
 *	  derive.c          makes a description from columns and options
 *	  guard.c           the time limit of user-made code in background processes
 *	  rows.c            checks rows and encodes them as events
 *	  table.c           the cache of descriptions, one per backend
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

#define CONTIME_MAX_DIGITS 36    /* of a numeric that the engine computes with */
#define CONTIME_NARROW_DIGITS 18 /* of a float with a scale, a column with a rate, and a rate */
#define CONTIME_MAX_SCALE 15     /* option scale: decimal digits of a double precision */

StaticAssertDecl(CONTIME_MAX_SCALE <= CONTIME_NARROW_DIGITS &&
					 CONTIME_NARROW_DIGITS <= CONTIME_MAX_DIGITS,
				 "a scale is a part of the digits");

/* An attribute of a table, and how it is encoded. */
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
	bool state;    /* the column has a rule; an event id has one, too */
	int precision; /* of a numeric; 0: not limited */
	int scale;     /* decimal digits of a numeric, or of a float with option scale */
} ContimeAttr;

/* The role of a column, stored in CtAttr.role. */
typedef enum ContimeRole
{
	CONTIME_STATE = 0,
	CONTIME_KEY,
	CONTIME_TIME,
	CONTIME_EVENT_ID
} ContimeRole;

StaticAssertDecl(CONTIME_EVENT_ID <= UINT8_MAX, "a role fits into CtAttr.role");
StaticAssertDecl(INDEX_MAX_KEYS <= CT_MAX_ATTRS, "every column may be one of the key");

/* A source of a durable table: an event table, and how its rows become events. */
typedef struct ContimeSource
{
	struct ContimeSource *next;
	Oid events; /* the event table */
	char *name; /* for messages */
	CtKind kind;
	uint64 columns;                    /* mask of the state attributes that it sets */
	struct _SPI_plan *plan[4][2];      /* by ContimeRowOrder, bounded or not (heap_read.c) */
	Node *expr[FLEXIBLE_ARRAY_MEMBER]; /* by attribute number - 1, over its row; NULL: not set */
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
	int64 max_ahead;       /* option max_ahead, in ticks; 0: not given */
	bool ignores_bad_rows; /* option bad_rows 'ignore' */
	uint64 options_xid;    /* this transaction, if it changed the options; or 0 */
	Oid owner;             /* reads event tables; memory is charged to it */
	int64 memory_limit;    /* option memory_limit, in bytes; -1: not given */
	bool calls;            /* its sources, or values of options, run user-made code */
	ContimeSource *source; /* of a durable table; NULL: it is written to directly */
	CtSchema *schema;
	ContimeAttr attr[FLEXIBLE_ARRAY_MEMBER];
} ContimeTable;

/* The notices of a table, by its option notify. */
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

/* An encoded row.  Its key and payload are at these offsets in ContimeRows.buffer. */
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
	MemoryContext context; /* holds everything below */
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
	bool long_keys;   /* a row was left out because its key is too long */
	uint64 *left_out; /* hashes of the keys of the other rows */
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

/* The objects of the extension that the library must recognise. */
typedef enum ContimeMember
{
	CONTIME_MEMBER_WRAPPER, /* the foreign data wrapper */
	CONTIME_MEMBER_SOURCES, /* table contime.source */
	CONTIME_MEMBER_CAPTURE, /* trigger function contime.capture() */
	CONTIME_MEMBERS
} ContimeMember;

/* The code that runs between contime_switch_to_owner() and contime_switch_back(). */
typedef enum ContimeOwnerCode
{
	CONTIME_CODE_OF_CORE,      /* no user-made code: only the privileges matter */
	CONTIME_CODE_OF_USERS,     /* user-made functions, casts, domains' checks, operators */
	CONTIME_CODE_BEING_DEFINED /* the same, and the session's search_path resolves names */
} ContimeOwnerCode;

/* The identity and settings that were in force before a switch. */
typedef struct ContimeIdentity
{
	Oid user;
	int context;   /* security context, for SetUserIdAndSecContext() */
	int settings;  /* GUC nest level; 0: no new one */
	bool snapshot; /* the switch pushed a snapshot */
} ContimeIdentity;

/* The time limit of user-made code of a table: a constant, plus a part per row. */
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
 * Return the description of a continuous table, cached until its definition changes.
 * ERROR if the relation is not a continuous table, if its definition is refused, or on
 * a standby if the table is in memory.
 */
extern const ContimeTable *contime_table(Relation rel);

/* Return the owner of a relation, or InvalidOid if it was dropped. */
extern Oid contime_owner_of(Oid relid);

/*
 * For OIDs that a user gave.  contime_require_table(): ERROR 42809 unless it is a
 * continuous table.  contime_open_relation(): lock and open the relation.  Both, and
 * contime_report_no_relation(): ERROR 42P01 if there is no relation.
 */
extern void contime_require_table(Oid relid);
extern Relation contime_open_relation(Oid relid, LOCKMODE mode);
extern void contime_report_no_relation(Oid relid) CONTIME_NORETURN;

/* Return the current option notify of a table; OFF if the table was dropped. */
extern ContimeNotify contime_table_notify(Oid relid);

/* ---- members.c --------------------------------------------------------------- */

/* True if the relation is a continuous table: a foreign table of contime's wrapper. */
extern bool contime_is_table(Oid relid);

/*
 * Return the OID of a member of the extension in this database.  InvalidOid: the
 * extension does not exist, or is being created or dropped.
 */
extern Oid contime_member(ContimeMember member);

/* Likewise, but raise ERROR 55000 instead of returning InvalidOid. */
extern Oid contime_require_member(ContimeMember member);

/* ---- conflict.c -------------------------------------------------------------- */

/* Conflicts of two descriptions whose attributes agree: the order or the identity of events. */
#define CONTIME_TIES_CONFLICT CT_MAX_ATTRS
#define CONTIME_IDENTITY_CONFLICT (CT_MAX_ATTRS + 1)

/*
 * Return the first attribute (number - 1) in which the description differs from the
 * schema that the data was written with, one of the conflicts above, or -1.  Attributes in
 * the mask `aborted` were rolled back and do not count.
 */
extern int contime_schema_conflict(const ContimeTable *table, const CtSchema *stored,
								   uint64 aborted);

/* Raise ERROR 55000: the attribute cannot be changed while the table holds data. */
extern void contime_report_conflict(const ContimeTable *table, int index) CONTIME_NORETURN;

/* ERROR if columns of a relation were dropped while the table's description is derived. */
extern void contime_check_unchanged(const ContimeTable *table, Relation rel, TupleDesc before);

/* ---- encode.c ---------------------------------------------------------------- */

/*
 * Encode key values, in the order of key_attno, into key->data (initialised by the
 * caller, overwritten here), and set key->hash.  Return false if a value is NULL.
 */
extern bool contime_encode_key(const ContimeTable *table, const Datum *values, const bool *isnull,
							   ContimeKey *key);

/* Set the hash of a key from its bytes. */
extern void contime_hash_key(ContimeKey *key);

/*
 * Decode a key into values[attno - 1], in the current memory context.  ERROR XX001 if
 * the bytes are not a key of the table.
 */
extern void contime_decode_key(const ContimeTable *table, const char *key, uint32 bytes,
							   Datum *values, bool *isnull);

/* Likewise, into keys[], in the order of key_attno.  keys[] has room for INDEX_MAX_KEYS. */
extern void contime_decode_keys(const ContimeTable *table, const ContimeKey *key, Datum *keys);

/*
 * Append a value's image; with_length: after its length, for a CT_IMAGE_VAR.  Return
 * false, with something appended, for a float that its scale cannot hold: NaN, an
 * infinity, or more than 18 digits.
 */
extern bool contime_encode_image(const ContimeAttr *attr, const CtAttr *ct, Datum value,
								 StringInfo buf, bool with_length);

/*
 * True for smallint, integer and bigint.  contime_convert_integer(): convert *value
 * from one of these types to another; return false if it is out of range.
 */
extern bool contime_is_integer(Oid type);
extern bool contime_convert_integer(Datum *value, Oid from, Oid to);

/* True if a value of a computed column is neither NaN nor infinite. */
extern bool contime_is_finite(const CtAttr *ct, const ContimeAttr *attr, Datum value);

/*
 * Return a value of a computed column as a number; infinite if a float has too many
 * digits.
 */
extern CtWide contime_number(const CtAttr *ct, const ContimeAttr *attr, Datum value);

/* Return the microseconds of an interval; set *extra to its days and months. */
extern CtWide contime_interval(Datum value, CtWide *extra);

/*
 * Decode a state into values[] and isnull[], except those of key and time.  Images
 * must be aligned, and those of varlenas preceded by their header; the values point
 * there.  ERROR 22003 (22008 for an interval) if a number is out of its type's range.
 */
extern void contime_decode_state(const ContimeTable *table, const CtValue *state, int nstate,
								 Datum *values, bool *isnull);

/* ---- rows.c ------------------------------------------------------------------ */

/* Create an empty set of rows; free it with everything that it holds. */
extern ContimeRows *contime_rows_begin(const ContimeTable *table);
extern void contime_rows_end(ContimeRows *rows);

/*
 * Encode a row as an event, a snapshot or a finish.  set_null: columns that the event
 * sets to NULL.  columns: those that a snapshot sets, 0 for the whole state.  Both are
 * masks by attribute number - 1.  stamp: a NULL time means now.  ERROR 23502 for a
 * NULL key or time, 22003, 22008 and 23514 for values out of range.
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

/* Raise ERROR 54000: an event of the table exceeds the engine's limits. */
extern void contime_report_too_large(const ContimeTable *table) CONTIME_NORETURN;

/*
 * Return row number i, from 0, in the form that the engine takes; NULL if there are
 * fewer rows.
 */
extern const CtLoad *contime_rows_load(ContimeRows *rows, int i);

/*
 * Remove the last two rows if they have the same content: an update that leaves the
 * event as it was retracts it and adds it again.
 */
extern void contime_rows_cancel(ContimeRows *rows);

/* Forget which rows were left out: the caller has noted them. */
extern void contime_rows_forget_bad(ContimeRows *rows);

/* Remove all rows. */
extern void contime_rows_reset(ContimeRows *rows);

/* ---- source.c ---------------------------------------------------------------- */

/*
 * Derive the sources of a table: the event table of its option events (NULL: it has
 * none), and those in contime.source.
 */
extern void contime_source_derive(ContimeTable *table, Relation rel, const char *events_name);

/*
 * Switch to the owner of the continuous table, to read event tables and evaluate
 * sources (owner.c).
 */
extern struct ContimeIdentity contime_source_switch(const ContimeTable *table);

/*
 * True if loads of the table need a time limit.  They do not if its sources are just
 * columns of event tables.
 */
extern bool contime_source_is_limited(const ContimeTable *table);

/*
 * Lock the event tables.  ERROR if the owner of the continuous table may not read all
 * of them.
 */
extern void contime_source_check(const ContimeTable *table);

/* ERROR 55000 if the table has an event table: rows must be written to that. */
extern void contime_source_refuse(const ContimeTable *table);

/* ERROR if a relation cannot be an event table of the table. */
extern void contime_check_event_table(const ContimeTable *table, Relation events);

/*
 * True if the owner of a continuous table has the privileges that an event table of it
 * requires: SELECT and TRIGGER.
 */
extern bool contime_source_may_bind(Oid events, Oid owner);

/*
 * Parse a text as an expression over the event table's row.  Called after
 * contime_switch_to_owner(owner).
 */
extern Node *contime_transform_source(Oid owner, Relation events, const char *text);

/* Return such an expression as text, with names that do not depend on a search_path. */
extern char *contime_deparse_qualified(Relation events, Node *expr);

/* True if a source names its event table in front of a column. */
extern bool contime_source_names_table(const char *text);

/*
 * Return the text of a column's source in that form if the given text depends on a
 * search_path, or NULL if it does not.
 */
extern char *contime_qualified_source(Relation rel, const char *column, Relation events,
									  const char *text);

/* ---- source_catalog.c -------------------------------------------------------- */

/*
 * Delete the rows of contime.source that belong to a table, which is being dropped.
 * stale: the table is being created, and a former table with its OID was dropped while
 * the server ran without contime; rows that this transaction wrote are kept.
 */
extern void contime_source_delete_rows(Oid relid, bool stale);

/*
 * Return the event table that a value of the option events names.  An unqualified name
 * means a table in the schema of the continuous table.
 */
extern RangeVar *contime_event_table_name(Relation rel, const char *name);

/* Return the option source of a column, or NULL. */
extern char *contime_source_option(Oid relid, AttrNumber attno);

/* Return the CtKind with this name, or -1. */
extern int contime_kind_of(const char *name);

/*
 * Open contime.source, with RowExclusiveLock to write to it.  Return NULL if the extension
 * is being created or dropped.
 */
extern Relation contime_open_sources(LOCKMODE mode);

/* Return the rows of contime.source of a continuous table, as a list of Added. */
extern List *contime_added_sources(Oid relid);

/*
 * Return the expression of a column in such a row, or NULL if the source does not set
 * it.
 */
extern char *contime_mapping_of(const Jsonb *columns, const char *column);

/* Insert a row into contime.source, or (tid) update one. */
extern void contime_write_source(Oid relid, Oid events, CtKind kind, Jsonb *columns,
								 ItemPointer tid);

/* ---- owner.c ----------------------------------------------------------------- */

/*
 * Between these, names in a query are resolved without the session's search_path.
 * Queries that are kept are prepared and planned in between.  The first returns the
 * argument of the second.
 */
extern int contime_source_path_begin(void);
extern void contime_source_path_end(int path);

/* Switch to the owner of a continuous table, and back (owner.c).  An abort switches back, too. */
extern ContimeIdentity contime_switch_to_owner(Oid owner, ContimeOwnerCode code);
extern void contime_switch_back(const ContimeIdentity *before);

/* True if an object was not made by initdb. */
extern bool contime_is_user_made(Oid object);

/* True if an expression may run user-made code, also by the types of its values. */
extern bool contime_runs_user_code(Node *expr);

/*
 * Calls of user-made code.  ERROR 42501 outside contime_switch_to_owner() and
 * contime_switch_back() for the same owner.
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
 * A time limit for code in a background process, in milliseconds.  Code that exceeds
 * it gets ERROR 57014; if it goes on for some seconds more, the process ends.
 */
extern void contime_limit_begin(int ms);
extern void contime_limit_extend(int ms);
extern void contime_limit_end(void);
extern bool contime_limit_is_exceeded(void);

/* ---- dependents.c ------------------------------------------------------------ */

/* Lock the event tables of a table, even if it has no valid description. */
extern void contime_source_lock(Oid relid);

/*
 * True if a continuous table has event tables.  Only then are its dependencies on
 * relations that it does not inherit from its event tables.
 */
extern bool contime_has_events(Oid relid);

/* Return the continuous tables of which this is an event table. */
extern List *contime_source_dependents(Oid events);

/* Return the event tables that a continuous table depends on. */
extern List *contime_source_bound(Oid relid);

/* Return the value of an option of a table, or NULL. */
extern char *contime_table_option(Oid relid, const char *name);

/* ---- retain.c ---------------------------------------------------------------- */

/*
 * Set the fields of a description that the options retain, too_late and max_ahead (or
 * NULL) give.  Its time type must be set.
 */
extern void contime_retention_derive(ContimeTable *table, char *retain, const char *too_late,
									 char *max_ahead);

/*
 * Return the 64-bit id of the transaction that wrote the options of a table if it is
 * the current one, or 0.
 */
extern uint64 contime_options_xid(Oid relid);

/* ---- limits.c ---------------------------------------------------------------- */

/* Return a value of the option memory_limit in bytes, or -1 if it is not valid. */
extern int64 contime_limits_parse(const char *value);

/*
 * Charge a generation to the table's owner, and note the limits as they are now.
 * must: ERROR 54000 if it cannot be charged.  In a transaction, not under a lock.
 */
extern void contime_limits_note(const ContimeTable *table, ContimeGeneration *g, bool must);

/* ---- guard.c ----------------------------------------------------------------- */

/*
 * Call contime_guard_begin() before user-made code of a table runs,
 * contime_guard_extend() when so many rows of the table have been read since then, and
 * contime_guard_end() when the code has ended or failed (no harm if none was running).
 * contime_guard_trusts() returns false if the code must not run: for some minutes
 * after it exceeded its time.
 */
extern void contime_guard_begin(Oid relid, Oid owner);
extern void contime_guard_extend(uint64 rows);
extern void contime_guard_end(void);
extern bool contime_guard_trusts(Oid relid, Oid owner);

/* ---- options.c --------------------------------------------------------------- */

/* Return the value of an option, or NULL. */
extern char *contime_option_value(List *list, const char *name);

#endif /* CONTIME_TABLE_H */
