/*
 * ddl.h
 *	  Commands on continuous tables and their event tables.
 *
 *	  apart.c             a step in a subtransaction
 *	  check.c             checks of a definition
 *	  source_bind.c       sources are bound and settled
 *	  rename.c            sources follow new names
 *	  source_index.c      indexes on event tables
 *	  hooks.c             what is checked, opened and dropped with DDL
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

/* Has no column any option yet? */
extern bool contime_table_is_bare(Oid relid);

/* A column was renamed: have the options rate of its siblings follow. */
extern void contime_table_rename_rate(Oid relid, const char *from, const char *to);

/* Check a definition; with the data there is, too. */
extern void contime_table_check(Oid relid);

/* ---- source_bind.c ----------------------------------------------------------- */

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
extern void contime_source_qualify(Oid relid);

/* ---- source_index.c ---------------------------------------------------------- */

/* Find indexes on the event tables for what they are asked, or create them. */
extern void contime_source_index(Oid relid);

/* ---- rename.c ---------------------------------------------------------------- */

/*
 * Before and after a command that gives a relation, one of its columns, or a
 * schema another name: have options follow.
 */
extern List *contime_source_note_names(Oid relid);
extern List *contime_source_note_schema(Oid schema);
extern void contime_source_follow(List *noted);

/* ---- hooks.c ----------------------------------------------------------------- */

extern void contime_install_ddl_hooks(void);

/* ---- truncate.c -------------------------------------------------------------- */

/* TRUNCATE: open a new, empty generation. */
extern void contime_truncate(Relation rel);

#endif /* CONTIME_DDL_H */
