/*
 * sources.h
 *	  Functions shared by the commands on sources.
 *
 * Private to the room ddl.
 */
#ifndef CONTIME_DDL_SOURCES_H
#define CONTIME_DDL_SOURCES_H

#include "postgres.h"

#include "utils/rel.h"
#include "utils/jsonb.h"

/* ---- source_bind.c ----------------------------------------------------------- */

/*
 * ERROR 42501 unless the current user may bind a table to an event table.  (The owner
 * must have the privileges, too, when a description is derived; a session that
 * restores a dump grants them last.)
 */
extern void contime_check_may_bind(Oid events);

/* ERROR 55000 if a continuous table holds data, so that its event tables must not change. */
extern void contime_check_empty(Oid relid);

/* Return a command that sets an option of the table (column NULL) or of a column. */
extern AlterTableCmd *contime_set_option(const char *column, const char *option, const char *value,
										 DefElemAction action);

/* ---- rename.c ---------------------------------------------------------------- */

/* The notes of one continuous table. */
typedef struct TableNotes
{
	Oid relid;
	List *noted; /* of Noted */
} TableNotes;

/* Push a string as a key or a value of a jsonb object. */
extern void contime_push_text(JsonbParseState **state, JsonbIteratorToken token, char *text);

/* ---- apart.c ----------------------------------------------------------------- */

/*
 * Run a step in a subtransaction.  Return NULL, or the error with which it failed.  A
 * cancellation is thrown again.
 */
extern ErrorData *contime_run_apart(void (*step)(TableNotes *), TableNotes *notes);

#endif /* CONTIME_DDL_SOURCES_H */
