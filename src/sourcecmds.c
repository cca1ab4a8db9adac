/*
 * sourcecmds.c
 *	  Commands that give, change and drop the sources of durable tables.
 *
 *	  CREATE, ALTER        bind: an event table that is named is in pg_depend;
 *	                       settle: texts are written such that no search_path
 *	                       matters; index: there is one for what is asked
 *	  RENAME, SET SCHEMA   note before, follow after: texts say the same as before
 *	  add_source()         a row of contime.source, and all of that
 *
 * Called by ddl.c, before and after core's own part, and by capture.c, which
 * asks what depends on an event table.  Nothing here is needed to read or write.
 *
 * Not here: which commands these are (ddl.c), what a source means and how it is
 * kept (source.c), the triggers on event tables (capture.c).
 */
#include "source.h"

#include "table/members.h"
#include "table/owner.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

PG_FUNCTION_INFO_V1(contime_add_source);
PG_FUNCTION_INFO_V1(contime_drop_source);
PG_FUNCTION_INFO_V1(contime_source_changed);

/* ---- binding --------------------------------------------------------------------------
 *
 * That a continuous table depends on its event table is in pg_depend, so that
 * the one is not dropped without the other, pg_dump puts them in order, and a
 * table that is renamed or moved is still known.
 */

/* Relations on the other side of dependencies of `relid`. */
static List *
related(Oid relid, bool dependents)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	List	   *found = NIL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], dependents ? Anum_pg_depend_refclassid : Anum_pg_depend_classid,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], dependents ? Anum_pg_depend_refobjid : Anum_pg_depend_objid,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(depend, dependents ? DependReferenceIndexId : DependDependerIndexId,
							  true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend row = (Form_pg_depend) GETSTRUCT(tuple);

		if (row->classid == RelationRelationId && row->refclassid == RelationRelationId &&
			row->objsubid == 0 && row->refobjsubid == 0 && row->deptype == DEPENDENCY_NORMAL)
			found = lappend_oid(found, dependents ? row->objid : row->refobjid);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return found;
}

static char *
table_option(Oid relid, const char *name)
{
	ListCell   *lc;

	foreach(lc, GetForeignTable(relid)->options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, name) == 0)
			return defGetString(def);
	}
	return NULL;
}

/* Does a relation inherit from another one, as pg_inherits has it? */
static bool
inherits_from(Oid relid, Oid parent)
{
	Relation	catalog = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		inherits = false;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (!inherits && HeapTupleIsValid(tuple = systable_getnext(scan)))
		inherits = ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent == parent;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return inherits;
}

/*
 * Does a continuous table have event tables?  Only then do its dependencies on
 * relations that it does not inherit from say which they are.
 */
static bool
has_events(Oid relid)
{
	return table_option(relid, "events") != NULL || contime_added_sources(relid) != NIL;
}

List *
contime_source_dependents(Oid events)
{
	List	   *tables = NIL;
	ListCell   *lc;

	foreach(lc, related(events, true))
	{
		Oid			relid = lfirst_oid(lc);

		if (contime_is_table(relid) && !inherits_from(relid, events) && has_events(relid))
			tables = list_append_unique_oid(tables, relid);
	}
	return tables;
}

/* What a continuous table depends on and does not inherit from. */
List *
contime_source_bound(Oid relid)
{
	List	   *bound = NIL;
	ListCell   *lc;

	foreach(lc, related(relid, false))
		if (!inherits_from(relid, lfirst_oid(lc)))
			bound = list_append_unique_oid(bound, lfirst_oid(lc));
	return bound;
}

bool
contime_source_is_usable(Oid relid)
{
	Oid			owner = contime_owner_of(relid);
	ListCell   *lc;

	foreach(lc, contime_source_bound(relid))
		if (!contime_source_may_bind(lfirst_oid(lc), owner))
			return false;
	return true;
}

void
contime_source_lock(Oid relid)
{
	ListCell   *lc;

	foreach(lc, contime_source_bound(relid))
		LockRelationOid(lfirst_oid(lc), AccessShareLock);
}

/*
 * May the current user bind a table to an event table?  (The owner, too, must
 * have the privileges when a description is derived; in the session that
 * restores a dump they are granted last.)
 */
static void
check_may_bind(Oid events)
{
	AclResult	result = pg_class_aclcheck(events, GetUserId(), ACL_SELECT);

	if (result == ACLCHECK_OK)
		result = pg_class_aclcheck(events, GetUserId(), ACL_TRIGGER);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, get_rel_name(events));
}

/* The event tables that a definition names. */
static List *
named_events(Relation rel)
{
	char	   *name = table_option(RelationGetRelid(rel), "events");
	List	   *named = NIL;
	ListCell   *lc;

	if (name)
		named = list_make1_oid(RangeVarGetRelid(contime_event_table_name(rel, name), AccessShareLock, false));
	foreach(lc, contime_added_sources(RelationGetRelid(rel)))
		named = list_append_unique_oid(named, ((Added *) lfirst(lc))->events);
	return named;
}

static void
check_empty(Oid relid)
{
	if (contime_has_data(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("event tables of continuous table \"%s\" cannot be changed while the table holds data",
						get_rel_name(relid)),
				 errhint("TRUNCATE the table first, or create a new one.")));
}

/* A table would find its own rows among those of a parent. */
static void
check_no_parent(Oid relid, Oid events)
{
	if (list_member_oid(find_all_inheritors(events, NoLock, NULL), relid))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("\"%s\" cannot be the event table of continuous table \"%s\"",
						get_rel_name(events), get_rel_name(relid)),
				 errdetail("The continuous table inherits from it, or is a partition of it."),
				 errhint("Name a table that the continuous table does not inherit from.")));
}

bool
contime_source_bind(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	List	   *named = named_events(rel);
	List	   *bound = contime_source_bound(relid);
	List	   *gone = list_difference_oid(bound, named);
	List	   *new = list_difference_oid(named, bound);
	ListCell   *lc;

	relation_close(rel, NoLock);
	foreach(lc, named)
		check_no_parent(relid, lfirst_oid(lc));
	if (gone != NIL || new != NIL)
		check_empty(relid);
	foreach(lc, gone)
		deleteDependencyRecordsForSpecific(RelationRelationId, relid, DEPENDENCY_NORMAL,
										   RelationRelationId, lfirst_oid(lc));
	foreach(lc, new)
	{
		ObjectAddress depender;
		ObjectAddress referenced;

		check_may_bind(lfirst_oid(lc));
		ObjectAddressSet(depender, RelationRelationId, relid);
		ObjectAddressSet(referenced, RelationRelationId, lfirst_oid(lc));
		recordDependencyOn(&depender, &referenced, DEPENDENCY_NORMAL);
	}
	CommandCounterIncrement();
	foreach(lc, list_concat(gone, new))
		contime_capture_fit_all(lfirst_oid(lc));
	return new != NIL;
}

/* ---- texts that follow ------------------------------------------------------------------------ */

/* Set an option of the table (column NULL) or of a column. */
static AlterTableCmd *
set_option(const char *column, const char *option, const char *value, DefElemAction action)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);

	cmd->subtype = column ? AT_AlterColumnGenericOptions : AT_GenericOptions;
	cmd->name = column ? pstrdup(column) : NULL;
	cmd->def = (Node *) list_make1(makeDefElemExtended(NULL, pstrdup(option),
													   (Node *) makeString(pstrdup(value)),
													   action, -1));
	return cmd;
}

/* With an empty search_path, as in a session that restores a dump. */
bool
contime_source_is_qualified(void)
{
	return fetch_search_path(false) == NIL;
}

void
contime_source_settle(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	char	   *name = contime_source_is_qualified() ? NULL : table_option(relid, "events");
	Relation	events = name ? relation_openrv(contime_event_table_name(rel, name), AccessShareLock) : NULL;
	List	   *cmds = NIL;

	for (int i = 0; events && i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), i);
		char	   *text = column->attisdropped ? NULL : contime_source_option(relid, i + 1);

		if (text && (text = contime_settled(rel, NameStr(column->attname), events, text)))
			cmds = lappend(cmds, set_option(NameStr(column->attname), "source", text, DEFELEM_SET));
	}
	if (events)
		relation_close(events, NoLock);
	relation_close(rel, NoLock);
	if (cmds)
	{
		AlterTableInternal(relid, cmds, false);
		CommandCounterIncrement();
	}
}

/*
 * A text that names things, before a command that gives something another
 * name: the trees do not change, and say afterwards what to write.
 *
 * Texts are parsed as the owner of the continuous table.  An error in one of
 * them must not keep the owner of an event table from renaming it.  So all that
 * is done for one continuous table is done in a subtransaction; if that fails,
 * the table keeps its texts, and is refused when it is used.
 */
typedef struct Noted
{
	Oid			relid;			/* the continuous table */
	Oid			events;
	AttrNumber	attno;			/* of its column; 0: the table's option events */
	bool		given;			/* there is an option; or the name was enough */
	Node	   *expr;
	char	   *text;			/* as it would have been written before */
	Added	   *added;			/* the column's text is there and not in an option */
} Noted;

/* All of one continuous table. */
typedef struct TableNotes
{
	Oid			relid;
	List	   *noted;			/* of Noted */
} TableNotes;

/* Run a step in a subtransaction; NULL, or why it failed. */
static ErrorData *
run_apart(void (*step) (TableNotes *), TableNotes *notes)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		step(notes);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (contime_is_interrupt(error))
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return error;
}

/* Likewise, for what has to follow a name; false: a warning was given. */
static bool
try_to_follow(void (*step) (TableNotes *), TableNotes *notes)
{
	ErrorData  *error = run_apart(step, notes);

	if (error)
		ereport(WARNING,
				(errmsg("sources of continuous table \"%s\" do not follow the new name", get_rel_name(notes->relid)),
				 errdetail("%s", error->message),
				 errhint("Its owner can set the options events and source again, by ALTER FOREIGN TABLE.")));
	return error == NULL;
}

static Noted *
note_text(Oid relid, Relation events, AttrNumber attno, const char *text)
{
	Noted	   *note = palloc0(sizeof(Noted));

	note->relid = relid;
	note->events = RelationGetRelid(events);
	note->attno = attno;
	if (text)
	{
		contime_source_path_begin();
		note->expr = contime_transform_source(contime_owner_of(relid), events, text);
		contime_source_path_end();
		note->text = contime_deparse_safely(events, note->expr);
	}
	return note;
}

/* The options events and source. */
static List *
note_options(List *noted, Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	char	   *name = table_option(relid, "events");
	Relation	events = name ? relation_openrv_extended(contime_event_table_name(rel, name), AccessShareLock, true)
		: NULL;

	if (events == NULL)
		return noted;
	noted = lappend(noted, note_text(relid, events, 0, NULL));
	for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), i);
		char	   *text = column->attisdropped ? NULL : contime_source_option(relid, i + 1);
		Noted	   *note;

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

/* What is in contime.source. */
static List *
note_added(List *noted, Relation rel)
{
	ListCell   *lc;

	foreach(lc, contime_added_sources(RelationGetRelid(rel)))
	{
		Added	   *added = lfirst(lc);
		Relation	events = relation_open(added->events, AccessShareLock);

		for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
		{
			Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), i);
			char	   *text = column->attisdropped ? NULL
				: contime_mapping_of(added->columns, NameStr(column->attname));
			Noted	   *note;

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
	Relation	rel = relation_open(notes->relid, AccessShareLock);
	ContimeIdentity before = contime_switch_to_owner(rel->rd_rel->relowner, CONTIME_CODE_OF_USERS);

	notes->noted = note_added(note_options(NIL, rel), rel);
	contime_switch_back(&before);
	relation_close(rel, NoLock);
}

/*
 * An owner that may no longer bind the table to its event tables has lost the
 * right to have code run when those are renamed.
 */
static void
note_usable_table(TableNotes *notes)
{
	if (!contime_source_is_usable(notes->relid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("its owner lacks SELECT or TRIGGER on an event table")));
	note_table(notes);
}

static List *
note_tables(List *tables)
{
	List	   *all = NIL;
	ListCell   *lc;

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
	List	   *tables = OidIsValid(relid) ? contime_source_dependents(relid) : NIL;

	if (OidIsValid(relid) && contime_is_table(relid))
		tables = lappend_oid(tables, relid);
	return note_tables(tables);
}

List *
contime_source_note_schema(Oid schema)
{
	Relation	catalog = table_open(ForeignTableRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	List	   *tables = NIL;
	HeapTuple	tuple;
	ListCell   *lc;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			relid = ((Form_pg_foreign_table) GETSTRUCT(tuple))->ftrelid;

		if (contime_is_table(relid))
			foreach(lc, contime_source_bound(relid))
				if (get_rel_namespace(lfirst_oid(lc)) == schema)
					tables = list_append_unique_oid(tables, relid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return note_tables(tables);
}

/* The event table's name as the option has it, if it is no longer found by that. */
static char *
renamed_events(const Noted *note)
{
	Relation	rel = relation_open(note->relid, AccessShareLock);
	Oid			schema = get_rel_namespace(note->events);
	char	   *name = table_option(note->relid, "events");
	char	   *followed = NULL;

	if (RangeVarGetRelid(contime_event_table_name(rel, name), NoLock, true) != note->events)
		followed = schema == RelationGetNamespace(rel)
			? pstrdup(quote_identifier(get_rel_name(note->events)))
			: quote_qualified_identifier(get_namespace_name(schema), get_rel_name(note->events));
	relation_close(rel, NoLock);
	return followed;
}

/* A column's source, if it is to be written in another way now. */
static char *
renamed_source(const Noted *note)
{
	Relation	events = relation_open(note->events, AccessShareLock);
	char	   *text = contime_deparse_safely(events, note->expr);
	bool		same = strcmp(text, note->text) == 0;

	/* Without an option it may be the continuous table's column that has another name. */
	if (!note->given)
		same = strcmp(text, quote_identifier(get_attname(note->relid, note->attno, false))) == 0;
	relation_close(events, NoLock);
	return same ? NULL : text;
}

static void
follow_option(const Noted *note)
{
	char	   *value = note->attno == 0 ? renamed_events(note) : renamed_source(note);
	char	   *column = note->attno == 0 ? NULL : get_attname(note->relid, note->attno, false);

	if (value == NULL)
		return;
	AlterTableInternal(note->relid,
					   list_make1(set_option(column, column ? "source" : "events", value,
											 column && !note->given ? DEFELEM_ADD : DEFELEM_SET)),
					   false);
	CommandCounterIncrement();
}

static void
push_text(JsonbParseState **state, JsonbIteratorToken token, char *text)
{
	JsonbValue	value = {.type = jbvString};

	value.val.string.val = text;
	value.val.string.len = strlen(text);
	pushJsonbValue(state, token, &value);
}

/* The columns of a row of contime.source, as they are to be written now. */
static Jsonb *
renamed_columns(const Added *added, List *noted)
{
	JsonbParseState *state = NULL;
	ListCell   *lc;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	foreach(lc, noted)
	{
		const Noted *note = lfirst(lc);
		Relation	events;

		if (note->added != added)
			continue;
		events = relation_open(note->events, AccessShareLock);
		push_text(&state, WJB_KEY, get_attname(note->relid, note->attno, false));
		push_text(&state, WJB_VALUE, contime_deparse_safely(events, note->expr));
		relation_close(events, NoLock);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static void
follow_added(const Noted *note, List *noted)
{
	Added	   *added = note->added;
	Jsonb	   *columns = renamed_columns(added, noted);

	if (compareJsonbContainers(&columns->root, &added->columns->root) == 0)
		return;
	contime_write_source(note->relid, added->events, added->kind, columns, &added->tid);
	added->columns = columns;
}

static void
follow_table(TableNotes *notes)
{
	const Added *last = NULL;
	ListCell   *lc;

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
	ListCell   *lc;

	if (noted == NIL)
		return;
	CommandCounterIncrement();
	foreach(lc, noted)
		(void) try_to_follow(follow_table, lfirst(lc));
}

/* ---- tables that are not sound -------------------------------------------------------------- */

static void
derive_table(TableNotes *notes)
{
	contime_table_check(notes->relid);
}

List *
contime_source_unsound(Oid relid)
{
	List	   *unsound = NIL;
	ListCell   *lc;

	foreach(lc, contime_source_dependents(relid))
	{
		TableNotes	notes = {.relid = lfirst_oid(lc)};

		if (!contime_source_is_usable(notes.relid) || run_apart(derive_table, &notes) != NULL)
			unsound = lappend_oid(unsound, notes.relid);
	}
	return unsound;
}

/* ---- adding and dropping ------------------------------------------------------------------- */

/*
 * What contime.source says of a table has changed.  In a session that restores
 * a dump, what the table's code needs may come later: then the first use
 * derives the description.
 */
static void
sources_changed(Oid relid)
{
	LockRelationOid(relid, AccessExclusiveLock);
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
	(void) contime_source_bind(relid);
	if (!contime_source_is_qualified())
		contime_table_check(relid);
	contime_cache_renew(relid);
}

/* The entry that a caller gives for a column: NULL: none; *silent: not even null. */
static char *
given_mapping(const Jsonb *given, const char *column, bool *silent)
{
	JsonbValue	value;

	*silent = getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &given->root), column,
										   strlen(column), &value) == NULL;
	if (*silent || value.type == jbvNull)
		return NULL;
	if (value.type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("source of column \"%s\" is not a string", column),
				 errhint("Give an expression over the event table's columns in quotes, or null.")));
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* Every entry is that of a column. */
static void
check_mapping(Relation rel, Jsonb *given)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(given))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("columns of a source are not a JSON object"),
				 errhint("Write, for example, '{\"balance\": \"-amount\"}'.")));
	it = JsonbIteratorInit(&given->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char	   *name = token == WJB_KEY ? pnstrdup(value.val.string.val, value.val.string.len) : NULL;

		if (name && get_attnum(RelationGetRelid(rel), name) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of continuous table \"%s\" does not exist",
							name, RelationGetRelationName(rel))));
	}
}

/*
 * What a source is to feed, with each column's expression: as given, or the
 * event table's column of its name.
 */
static Jsonb *
complete_mapping(Relation rel, Relation events, CtKind kind, Jsonb *given)
{
	const ContimeTable *table = contime_table(rel);
	JsonbParseState *state = NULL;

	check_mapping(rel, given);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < table->natts; i++)
	{
		const ContimeAttr *attr = &table->attr[i];
		char	   *name = attr->dropped ? NULL : get_attname(table->relid, i + 1, false);
		bool		silent;
		char	   *text = name ? given_mapping(given, name, &silent) : NULL;
		char	   *safe;

		if (name == NULL)
			continue;
		if (text && kind == CT_FINISH && attr->state && !attr->event_id)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a finish has no column \"%s\"", name),
					 errhint("It has a key, a time, and an event id.")));
		if (silent && get_attnum(RelationGetRelid(events), name) > 0 &&
			(kind != CT_FINISH || !attr->state || attr->event_id))
			text = pstrdup(quote_identifier(name));
		if (text == NULL)
			continue;
		safe = contime_settled(rel, name, events, text);
		push_text(&state, WJB_KEY, name);
		push_text(&state, WJB_VALUE, safe ? safe : text);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* A continuous table of the caller's, locked against readers, of this session too. */
static Relation
open_own_table(Oid relid, const char *command)
{
	Relation	rel;

	contime_require_running();
	(void) contime_require_member(CONTIME_MEMBER_SOURCES);
	contime_require_table(relid);
	if (!pg_class_ownercheck(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_FOREIGN_TABLE, get_rel_name(relid));
	rel = contime_open_relation(relid, AccessExclusiveLock);
	CheckTableNotInUse(rel, command);
	check_empty(relid);
	return rel;
}

/* contime.add_source(state regclass, events regclass, columns jsonb, kind text) */
Datum
contime_add_source(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	char	   *kind_name = text_to_cstring(PG_GETARG_TEXT_PP(3));
	int			kind = contime_kind_of(kind_name);
	Relation	rel = open_own_table(relid, "add a source to");
	Relation	events = contime_open_relation(PG_GETARG_OID(1), AccessShareLock);
	Jsonb	   *columns;
	ListCell   *lc;

	if (kind < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown kind \"%s\"", kind_name),
				 errhint("Valid kinds are: event, snapshot, finish")));
	contime_check_event_table(contime_table(rel), events);
	check_may_bind(RelationGetRelid(events));
	columns = complete_mapping(rel, events, kind, PG_GETARG_JSONB_P(2));
	foreach(lc, contime_added_sources(relid))
	{
		Added	   *added = lfirst(lc);

		if (added->events == RelationGetRelid(events) && added->kind == kind &&
			compareJsonbContainers(&added->columns->root, &columns->root) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("continuous table \"%s\" has this source already", RelationGetRelationName(rel)),
					 errdetail("Each row of table \"%s\" would count twice.", RelationGetRelationName(events))));
	}
	contime_write_source(relid, RelationGetRelid(events), kind, columns, NULL);
	relation_close(events, NoLock);
	relation_close(rel, NoLock);
	sources_changed(relid);
	contime_source_index(relid);
	PG_RETURN_VOID();
}

/* contime.drop_source(state regclass, events regclass) */
Datum
contime_drop_source(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Oid			events = PG_GETARG_OID(1);
	Relation	rel = open_own_table(relid, "drop a source of");
	Relation	sources = contime_open_sources(RowExclusiveLock);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, contime_added_sources(relid))
	{
		Added	   *added = lfirst(lc);

		if (added->events != events)
			continue;
		simple_heap_delete(sources, &added->tid);
		found = true;
	}
	if (!found && get_rel_name(events) == NULL)
		contime_report_no_relation(events);
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no source \"%s\" was added to continuous table \"%s\"",
						get_rel_name(events), RelationGetRelationName(rel)),
				 errhint("contime.source shows those that were; the option events is dropped by ALTER FOREIGN TABLE.")));
	relation_close(sources, NoLock);
	sources_changed(relid);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/* ERROR unless a call is one for a row of contime.source, after it was written. */
static const TriggerData *
check_trigger(FunctionCallInfo fcinfo)
{
	const TriggerData *trigger = CALLED_AS_TRIGGER(fcinfo) ? (TriggerData *) fcinfo->context : NULL;

	if (trigger == NULL || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		RelationGetRelid(trigger->tg_relation) != contime_member(CONTIME_MEMBER_SOURCES))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("contime.source_changed() is a trigger of table contime.source"),
				 errhint("The extension creates it; do not create another trigger of it.")));
	return trigger;
}

/* The continuous table that a row of contime.source is about has other sources. */
static void
source_row_changed(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		state = heap_getattr(tuple, Anum_source_state, desc, &isnull);

	Relation	rel;

	if (isnull || !contime_is_table(DatumGetObjectId(state)))
		return;
	rel = contime_open_relation(DatumGetObjectId(state), AccessExclusiveLock);
	CheckTableNotInUse(rel, "change the sources of");
	relation_close(rel, NoLock);
	sources_changed(DatumGetObjectId(state));
}

/* After rows of contime.source came from a dump, or were changed by hand. */
Datum
contime_source_changed(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = check_trigger(fcinfo);
	Relation	sources;

	contime_require_running();

	/* Opened once more for the check that its columns are those expected. */
	sources = contime_open_sources(NoLock);
	source_row_changed(trigger->tg_trigtuple, RelationGetDescr(sources));
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		source_row_changed(trigger->tg_newtuple, RelationGetDescr(sources));
	relation_close(sources, NoLock);
	return PointerGetDatum(NULL);
}

/* ---- the index ------------------------------------------------------------------------ */

/* Does an index's column hold the expression? */
static bool
indexes(Relation index, List *exprs, int column, Node *expr)
{
	AttrNumber	attno = index->rd_index->indkey.values[column];
	int			i = 0;

	/* Queries compare what is cast without being asked, as it is in the index. */
	expr = strip_implicit_coercions(expr);
	if (attno != 0)
		return IsA(expr, Var) && ((Var *) expr)->varattno == attno;
	for (int c = 0; c < column; c++)
		i += index->rd_index->indkey.values[c] == 0;
	return equal(list_nth(exprs, i), expr);
}

/* The keys, in any order, and then the time? */
static bool
index_serves(const ContimeTable *table, const ContimeSource *source, Relation index)
{
	List	   *exprs = RelationGetIndexExpressions(index);
	int			nkeys = table->nkeys;

	if (index->rd_rel->relam != BTREE_AM_OID || !index->rd_index->indisvalid ||
		index->rd_index->indnkeyatts < nkeys + 1 || RelationGetIndexPredicate(index) != NIL)
		return false;
	for (int k = 0; k < nkeys; k++)
	{
		bool		found = false;

		for (int c = 0; c < nkeys && !found; c++)
			found = indexes(index, exprs, c, source->expr[table->key_attno[k] - 1]);
		if (!found)
			return false;
	}
	return indexes(index, exprs, nkeys, source->expr[table->time_attno - 1]);
}

/* CREATE INDEX for what the table is asked. */
static char *
index_command(const ContimeTable *table, const ContimeSource *source)
{
	List	   *context = deparse_context_for(source->name, source->events);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE INDEX ON %s (",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(source->events)),
												get_rel_name(source->events)));
	for (int i = 0; i <= table->nkeys; i++)
	{
		AttrNumber	attno = i < table->nkeys ? table->key_attno[i] : table->time_attno;
		Node	   *expr = strip_implicit_coercions(source->expr[attno - 1]);

		appendStringInfo(&sql, IsA(expr, Var) ? "%s%s" : "%s(%s)", i > 0 ? ", " : "",
						 deparse_expression(expr, context, false, false));
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/*
 * Find an index on an event table, or create it.
 *
 * Its expressions will run in whatever writes to the event table, as the owner
 * of that.  So it is created only if that is who owns the continuous table, and
 * as that role: not for whom runs the command, who may be a superuser.
 */
static void
provide_index(const ContimeTable *table, const ContimeSource *source)
{
	Relation	events = relation_open(source->events, AccessShareLock);
	ContimeIdentity before;
	bool		served = false;
	char	   *command;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(events))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		served = served || index_serves(table, source, index);
		index_close(index, AccessShareLock);
	}
	relation_close(events, NoLock);
	if (served)
		return;
	contime_source_path_begin();
	command = index_command(table, source);
	contime_source_path_end();
	if (!pg_class_ownercheck(source->events, table->owner))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("event table \"%s\" has no index on the key and time of continuous table \"%s\"",
						source->name, table->name),
				 errhint("Have its owner run: %s;", command)));
	before = contime_switch_to_owner(table->owner, CONTIME_CODE_OF_USERS);
	SPI_connect();
	if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not create an index on event table \"%s\"", source->name);
	SPI_finish();
	contime_switch_back(&before);
}

void
contime_source_index(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	const ContimeTable *table = contime_table(rel);

	for (const ContimeSource *source = table->source; source; source = source->next)
		provide_index(table, source);
	relation_close(rel, NoLock);
}

