/*
 * rename.c
 *	  New names of event tables, columns and schemas: sources follow them.
 *
 *	  RENAME, SET SCHEMA   note before, follow after: texts keep their meaning
 *
 * Called by hooks.c, before and after core's own part.
 */
#include "postgres.h"

#include "ddl/ddl.h"
#include "ddl/sources.h"
#include "table/table.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_foreign_table.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/*
 * A text of a source, noted before a command that renames something.  The parsed tree
 * does not change, so afterwards it gives the new text.
 *
 * Texts are parsed as the owner of the continuous table.  An error in one of them must
 * not prevent the owner of an event table from renaming it.  So all work for one
 * continuous table is done in a subtransaction.  If that fails, the table keeps its
 * texts, and is refused when it is used.
 */
typedef struct Noted
{
	Oid relid; /* the continuous table */
	Oid events;
	AttrNumber attno; /* the column; 0: this is the option events of the table */
	bool given;       /* the text is an option; false: the column was found by its name */
	bool names_table; /* the text names the event table in front of a column */
	Node *expr;
	char *text;   /* the text of `expr` before the command */
	Added *added; /* the row of contime.source that has the text; NULL: an option */
} Noted;

/*
 * Run a step that lets texts follow a new name.  If it fails, give a warning and
 * return false.
 */
static bool
try_to_follow(void (*step)(TableNotes *), TableNotes *notes)
{
	ErrorData *error = contime_run_apart(step, notes);

	if (error)
		ereport(WARNING,
				(errmsg("sources of continuous table \"%s\" do not follow the new name",
						get_rel_name(notes->relid)),
				 errdetail("%s", error->message),
				 errhint(
					 "Its owner can set the options events and source again, by ALTER FOREIGN TABLE.")));
	return error == NULL;
}

static Noted *
note_text(Oid relid, Relation events, AttrNumber attno, const char *text)
{
	Noted *note = palloc0(sizeof(Noted));

	Assert(OidIsValid(relid) && (attno == 0) == (text == NULL));
	note->relid = relid;
	note->events = RelationGetRelid(events);
	note->attno = attno;
	if (text)
	{
		int path = contime_source_path_begin();

		note->expr = contime_transform_source(contime_owner_of(relid), events, text);
		contime_source_path_end(path);
		note->text = contime_deparse_qualified(events, note->expr);
		note->names_table = contime_source_names_table(text);
	}
	return note;
}

/* Note the options events and source of a table. */
static List *
note_options(List *noted, Relation rel)
{
	Oid relid = RelationGetRelid(rel);
	char *name = contime_table_option(relid, "events");
	Relation events =
		name ? relation_openrv_extended(contime_event_table_name(rel, name), AccessShareLock, true)
			 : NULL;

	if (events == NULL)
		return noted;
	noted = lappend(noted, note_text(relid, events, 0, NULL));
	for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), i);
		char *text = column->attisdropped ? NULL : contime_source_option(relid, i + 1);
		Noted *note;

		if (column->attisdropped ||
			(text == NULL && get_attnum(RelationGetRelid(events), NameStr(column->attname)) <= 0))
			continue;
		note = note_text(relid, events, i + 1,
						 text ? text : quote_identifier(NameStr(column->attname)));
		note->given = text != NULL;
		noted = lappend(noted, note);
	}
	relation_close(events, NoLock);
	return noted;
}

/* Note the rows of contime.source of a table. */
static List *
note_added(List *noted, Relation rel)
{
	ListCell *lc;

	foreach(lc, contime_added_sources(RelationGetRelid(rel)))
	{
		Added *added = lfirst(lc);
		Relation events = relation_open(added->events, AccessShareLock);

		for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
		{
			Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), i);
			char *text = column->attisdropped
							 ? NULL
							 : contime_mapping_of(added->columns, NameStr(column->attname));
			Noted *note;

			if (text == NULL)
				continue;
			note = note_text(RelationGetRelid(rel), events, i + 1, text);
			note->added = added;
			noted = lappend(noted, note);
		}
		relation_close(events, NoLock);
	}
	return noted;
}

static void
note_table(TableNotes *notes)
{
	Relation rel = relation_open(notes->relid, AccessShareLock);
	ContimeIdentity before = contime_switch_to_owner(rel->rd_rel->relowner, CONTIME_CODE_OF_USERS);

	notes->noted = note_added(note_options(NIL, rel), rel);
	contime_switch_back(&before);
	relation_close(rel, NoLock);
}

/*
 * Note a table, if its owner may still bind it to its event tables.  Otherwise the
 * owner must not have code run when these are renamed.
 */
static void
note_usable_table(TableNotes *notes)
{
	if (!contime_source_is_usable(notes->relid))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("its owner lacks SELECT or TRIGGER on an event table")));
	note_table(notes);
}

static List *
note_tables(List *tables)
{
	List *all = NIL;
	ListCell *lc;

	foreach(lc, tables)
	{
		TableNotes *notes = palloc0(sizeof(TableNotes));

		notes->relid = lfirst_oid(lc);
		if (try_to_follow(note_usable_table, notes))
			all = lappend(all, notes);
	}
	return all;
}

List *
contime_source_note_names(Oid relid)
{
	List *tables = OidIsValid(relid) ? contime_source_dependents(relid) : NIL;

	if (OidIsValid(relid) && contime_is_table(relid))
		tables = lappend_oid(tables, relid);
	return note_tables(tables);
}

List *
contime_source_note_schema(Oid schema)
{
	Relation catalog = table_open(ForeignTableRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	List *tables = NIL;
	HeapTuple tuple;
	ListCell *lc;

	Assert(OidIsValid(schema));
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid relid = ((Form_pg_foreign_table) GETSTRUCT(tuple))->ftrelid;

		if (contime_is_table(relid))
			foreach(lc, contime_source_bound(relid))
				if (get_rel_namespace(lfirst_oid(lc)) == schema)
					tables = list_append_unique_oid(tables, relid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return note_tables(tables);
}

/*
 * Return the new text of the option events if the old one no longer names the event
 * table, or NULL.
 */
static char *
make_renamed_events(const Noted *note)
{
	Relation rel = relation_open(note->relid, AccessShareLock);
	Oid schema = get_rel_namespace(note->events);
	char *name = contime_table_option(note->relid, "events");
	char *followed = NULL;

	Assert(note->attno == 0 && note->added == NULL);
	if (RangeVarGetRelid(contime_event_table_name(rel, name), NoLock, true) != note->events)
		followed = schema == RelationGetNamespace(rel)
					   ? pstrdup(quote_identifier(get_rel_name(note->events)))
					   : quote_qualified_identifier(get_namespace_name(schema),
													get_rel_name(note->events));
	relation_close(rel, NoLock);
	return followed;
}

/* Return the new text of a source if it must change, or NULL. */
static char *
make_renamed_source(const Noted *note)
{
	Relation events = relation_open(note->events, AccessShareLock);
	char *text = contime_deparse_qualified(events, note->expr);
	bool same = strcmp(text, note->text) == 0 && !note->names_table;

	Assert(note->attno > 0 && note->added == NULL);
	/*
	 * The new text has no name of a table, so it does not depend on the next rename.
	 * Without an option, the column of the continuous table may be the one that was
	 * renamed.
	 */
	if (!note->given)
		same = strcmp(text, quote_identifier(get_attname(note->relid, note->attno, false))) == 0;
	relation_close(events, NoLock);
	return same ? NULL : text;
}

static void
follow_option(const Noted *note)
{
	char *value = note->attno == 0 ? make_renamed_events(note) : make_renamed_source(note);
	char *column = note->attno == 0 ? NULL : get_attname(note->relid, note->attno, false);

	if (value == NULL)
		return;
	AlterTableInternal(note->relid,
					   list_make1(
						   contime_set_option(column, column ? "source" : "events", value,
											  column && !note->given ? DEFELEM_ADD : DEFELEM_SET)),
					   false);
	CommandCounterIncrement();
}

void
contime_push_text(JsonbParseState **state, JsonbIteratorToken token, char *text)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = text;
	value.val.string.len = strlen(text);
	pushJsonbValue(state, token, &value);
}

/* Return the new columns of a row of contime.source. */
static Jsonb *
make_renamed_columns(const Added *added, List *noted)
{
	JsonbParseState *state = NULL;
	ListCell *lc;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	foreach(lc, noted)
	{
		const Noted *note = lfirst(lc);
		Relation events;

		if (note->added != added)
			continue;
		events = relation_open(note->events, AccessShareLock);
		contime_push_text(&state, WJB_KEY, get_attname(note->relid, note->attno, false));
		contime_push_text(&state, WJB_VALUE, contime_deparse_qualified(events, note->expr));
		relation_close(events, NoLock);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static void
follow_added(const Noted *note, List *noted)
{
	Added *added = note->added;
	Jsonb *columns = make_renamed_columns(added, noted);

	Assert(note->added != NULL && list_member_ptr(noted, note));
	if (compareJsonbContainers(&columns->root, &added->columns->root) == 0)
		return;
	contime_write_source(note->relid, added->events, added->kind, columns, &added->tid);
	added->columns = columns;
}

static void
follow_table(TableNotes *notes)
{
	const Added *last = NULL;
	ListCell *lc;

	foreach(lc, notes->noted)
	{
		const Noted *note = lfirst(lc);

		if (note->added == NULL)
			follow_option(note);
		else if (note->added != last)
			follow_added(note, notes->noted);
		last = note->added;
	}
	contime_table_check(notes->relid);
}

void
contime_source_follow(List *noted)
{
	ListCell *lc;

	if (noted == NIL)
		return;
	CommandCounterIncrement();
	foreach(lc, noted)
		(void) try_to_follow(follow_table, lfirst(lc));
}
