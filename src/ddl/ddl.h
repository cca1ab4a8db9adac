/*
 * ddl.h
 *	  Commands on continuous tables and their event tables.
 *
 *	  apart.c             runs a step in a subtransaction
 *	  check.c             checks a definition
 *	  source_bind.c       binds sources to event tables, and qualifies their texts
 *	  rename.c            lets sources follow new names
 *	  source_index.c      finds or creates indexes on event tables
 *	  hooks.c             hooks that check, open and drop with DDL commands
 *	  source_functions.c  add_source(), drop_source()
 *	  truncate.c          TRUNCATE
 *
 * A file calls those above it in this list, and rooms on lower floors.
 */
#ifndef CONTIME_DDL_H
#define CONTIME_DDL_H

#include "postgres.h"

#include "utils/rel.h"

/* ---- check.c ----------------------------------------------------------------- */

/* True if no column has an option yet. */
extern bool contime_table_is_bare(Oid relid);

/* After a column was renamed: let the options rate of its siblings follow. */
extern void contime_table_rename_rate(Oid relid, const char *from, const char *to);

/*
 * Derive a table's description, and check it against the data in memory.  ERROR if it
 * is refused.
 */
extern void contime_table_check(Oid relid);

/* ---- source_bind.c ----------------------------------------------------------- */

/*
 * After a definition was given or changed: note in pg_depend which event tables it
 * names.  Return true if one is new.
 */
extern bool contime_source_bind(Oid relid);

/*
 * True if the owner of a continuous table may bind all of its event tables.  If not
 * (privileges were revoked, or the table has a new owner), uses of the table are
 * refused, but other commands are not.
 */
extern bool contime_source_is_usable(Oid relid);

/*
 * Return those continuous tables of an event table whose description cannot be
 * derived.  A command on the event table must keep the others valid, but may go on in
 * spite of these.
 */
extern List *contime_source_unsound(Oid relid);

/*
 * True if a source that is given now does not depend on the search_path, because that
 * is empty, as in a session that restores a dump.
 */
extern bool contime_source_is_qualified(void);

/* Rewrite the options source of a table so that they do not depend on a search_path. */
extern void contime_source_qualify(Oid relid);

/* ---- source_index.c ---------------------------------------------------------- */

/* Find indexes on the event tables for the queries of a durable table, or create them. */
extern void contime_source_index(Oid relid);

/* ---- rename.c ---------------------------------------------------------------- */

/*
 * Before and after a command that renames a relation, one of its columns or a schema:
 * note the options of sources, and let them follow the new name.
 */
extern List *contime_source_note_names(Oid relid);
extern List *contime_source_note_schema(Oid schema);
extern void contime_source_follow(List *noted);

/* ---- hooks.c ----------------------------------------------------------------- */

/* Install the hooks.  Called by module.c. */
extern void contime_install_ddl_hooks(void);

/* ---- truncate.c -------------------------------------------------------------- */

/* TRUNCATE: open a new, empty generation. */
extern void contime_truncate(Relation rel);

#endif /* CONTIME_DDL_H */
