/*
 * sources.h
 *	  What the commands on sources share.
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
 * May the current user bind a table to an event table?  (The owner, too, must
 * have the privileges when a description is derived; in the session that
 * restores a dump they are granted last.)
 */
extern void contime_check_may_bind(Oid events);

extern void contime_check_empty(Oid relid);

/* Set an option of the table (column NULL) or of a column. */
extern AlterTableCmd *contime_set_option(const char *column, const char *option, const char *value,
										 DefElemAction action);

/* ---- rename.c ---------------------------------------------------------------- */

/* All of one continuous table. */
typedef struct TableNotes
{
	Oid relid;
	List *noted; /* of Noted */
} TableNotes;

extern void contime_push_text(JsonbParseState **state, JsonbIteratorToken token, char *text);

/* ---- apart.c ----------------------------------------------------------------- */

/* Run a step in a subtransaction; NULL, or why it failed. */
extern ErrorData *contime_run_apart(void (*step)(TableNotes *), TableNotes *notes);

#endif /* CONTIME_DDL_SOURCES_H */
