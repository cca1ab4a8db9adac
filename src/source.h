/*
 * source.h
 *	  Sources as text and as trees: what source.c gives to sourcecmds.c.
 *
 * Included by these two alone.
 */
#ifndef CONTIME_SOURCE_H
#define CONTIME_SOURCE_H

#include "contime.h"

#include "nodes/primnodes.h"
#include "storage/itemptr.h"
#include "utils/jsonb.h"

/* The event table of the option events, and ERROR when a relation cannot be one. */
extern RangeVar *contime_event_table_name(Relation rel, const char *name);
extern void contime_check_event_table(const ContimeTable *table, Relation events);

/* The event tables that a continuous table depends on. */
extern List *contime_source_bound(Oid relid);

/* May the owner of a continuous table bind it to an event table? */
extern bool contime_source_may_bind(Oid events, Oid owner);

/* A text as an expression over the event table's row; within contime_switch_to_owner(owner). */
extern Node *contime_transform_source(Oid owner, Relation events, const char *text);

/* Such an expression as text, by names that mean the same to everyone. */
extern char *contime_deparse_safely(Relation events, Node *expr);

/*
 * The text of a column's source in that form, if in the one given a search_path
 * matters to it, or NULL.
 */
extern char *contime_settled(Relation rel, const char *column, Relation events, const char *text);

/* The option source of a column, or NULL. */
extern char *contime_source_option(Oid relid, AttrNumber attno);

/* ---- contime.source --------------------------------------------------------------- */

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
	bool		fresh;			/* this transaction wrote it */
	Oid			events;
	CtKind		kind;
	Jsonb	   *columns;
} Added;

/* The kind of a name, or -1. */
extern int	contime_kind_of(const char *name);

/* contime.source, or NULL: the extension is just being created or dropped. */
extern Relation contime_open_sources(LOCKMODE mode);

/* The sources that were added to a continuous table, as committed or our own. */
extern List *contime_added_sources(Oid relid);

/* What one of them says of a column, or NULL: it is not fed. */
extern char *contime_mapping_of(const Jsonb *columns, const char *column);

/* Add a row, or (tid) write one anew. */
extern void contime_write_source(Oid relid, Oid events, CtKind kind, Jsonb *columns,
								 ItemPointer tid);

#endif							/* CONTIME_SOURCE_H */
