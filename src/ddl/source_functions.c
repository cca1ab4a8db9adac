/*
 * source_functions.c
 *	  contime.add_source(), drop_source() and repair(), and changes of contime.source.
 *
 * Called as SQL functions and triggers.
 *
 * Not here: how sources are stored and parsed (table/), what CREATE, ALTER and RENAME
 * do to them (source_bind.c, rename.c).
 */
#include "postgres.h"

#include "base/compat.h"
#include "ddl/ddl.h"
#include "ddl/sources.h"
#include "durable/durable.h"
#include "shared/shared.h"
#include "table/table.h"

#include "access/relation.h"
#include "catalog/indexing.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(contime_add_source);
PG_FUNCTION_INFO_V1(contime_drop_source);
PG_FUNCTION_INFO_V1(contime_repair);
PG_FUNCTION_INFO_V1(contime_source_changed);

/* ---- adding and dropping ----------------------------------------------------- */

/*
 * Check a table after its rows of contime.source have changed, and replace its cache.
 * In a session that restores a dump, objects that its sources need may come later;
 * then the description is derived at the first use.
 */
static void
apply_changed_sources(Oid relid)
{
	Assert(OidIsValid(relid));
	LockRelationOid(relid, AccessExclusiveLock);
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
	(void) contime_source_bind(relid);
	if (!contime_source_is_qualified())
		contime_table_check(relid);
	contime_cache_renew(relid);
}

/*
 * Return the expression that the caller gives for a column, or NULL.  Set *silent if
 * there is no entry, not even null.
 */
static char *
get_given_mapping(const Jsonb *given, const char *column, bool *silent)
{
	JsonbValue value;

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

/* ERROR unless every entry belongs to a column. */
static void
check_mapping(Relation rel, Jsonb *given)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;

	if (!JB_ROOT_IS_OBJECT(given))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("columns of a source are not a JSON object"),
						errhint("Write, for example, '{\"balance\": \"-amount\"}'.")));
	it = JsonbIteratorInit(&given->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char *name = token == WJB_KEY ? pnstrdup(value.val.string.val, value.val.string.len) : NULL;

		if (name && get_attnum(RelationGetRelid(rel), name) <= 0)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("column \"%s\" of continuous table \"%s\" does not exist", name,
								   RelationGetRelationName(rel))));
	}
}

/*
 * Return the columns that a source sets, each with its expression: the given one, or
 * the event table's column of that name.
 */
static Jsonb *
complete_mapping(Relation rel, Relation events, CtKind kind, Jsonb *given)
{
	const ContimeTable *table = contime_table(rel);
	JsonbParseState *state = NULL;

	Assert(kind <= CT_SNAPSHOT);
	Assert(CheckRelationLockedByMe(rel, AccessExclusiveLock, false));
	check_mapping(rel, given);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < table->natts; i++)
	{
		const ContimeAttr *attr = &table->attr[i];
		char *name = attr->dropped ? NULL : get_attname(table->relid, i + 1, false);
		bool silent;
		char *text = name ? get_given_mapping(given, name, &silent) : NULL;
		char *safe;

		if (name == NULL)
			continue;
		if (text && kind == CT_FINISH && attr->state && !attr->event_id)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("a finish has no column \"%s\"", name),
							errhint("It has a key, a time, and an event id.")));
		if (silent && get_attnum(RelationGetRelid(events), name) > 0 &&
			(kind != CT_FINISH || !attr->state || attr->event_id))
			text = pstrdup(quote_identifier(name));
		if (text == NULL)
			continue;
		safe = contime_qualified_source(rel, name, events, text);
		contime_push_text(&state, WJB_KEY, name);
		contime_push_text(&state, WJB_VALUE, safe ? safe : text);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * Open a continuous table of the caller in AccessExclusiveLock.  ERROR if this session
 * reads it, too, or if it holds data.
 */
static Relation
open_own_table(Oid relid, const char *command)
{
	Relation rel;

	contime_require_running();
	(void) contime_require_member(CONTIME_MEMBER_SOURCES);
	contime_require_table(relid);
	if (!object_ownercheck(RelationRelationId, relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_FOREIGN_TABLE, get_rel_name(relid));
	rel = contime_open_relation(relid, AccessExclusiveLock);
	CheckTableNotInUse(rel, command);
	contime_check_empty(relid);
	return rel;
}

/* contime.add_source(state regclass, events regclass, columns jsonb, kind text) */
Datum
contime_add_source(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	char *kind_name = text_to_cstring(PG_GETARG_TEXT_PP(3));
	int kind = contime_kind_of(kind_name);
	Relation rel = open_own_table(relid, "add a source to");
	Relation events = contime_open_relation(PG_GETARG_OID(1), AccessShareLock);
	Jsonb *columns;
	ListCell *lc;

	if (kind < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown kind \"%s\"", kind_name),
				 errhint("Valid kinds are: event, snapshot, finish")));
	contime_check_event_table(contime_table(rel), events);
	contime_check_may_bind(RelationGetRelid(events));
	columns = complete_mapping(rel, events, kind, PG_GETARG_JSONB_P(2));
	foreach(lc, contime_added_sources(relid))
	{
		Added *added = lfirst(lc);

		if (added->events == RelationGetRelid(events) && added->kind == kind &&
			compareJsonbContainers(&added->columns->root, &columns->root) == 0)
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
							errmsg("continuous table \"%s\" has this source already",
								   RelationGetRelationName(rel)),
							errdetail("Each row of table \"%s\" would count twice.",
									  RelationGetRelationName(events))));
	}
	contime_write_source(relid, RelationGetRelid(events), kind, columns, NULL);
	relation_close(events, NoLock);
	relation_close(rel, NoLock);
	apply_changed_sources(relid);
	contime_source_index(relid);
	PG_RETURN_VOID();
}

/* contime.drop_source(state regclass, events regclass) */
Datum
contime_drop_source(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	Oid events = PG_GETARG_OID(1);
	Relation rel = open_own_table(relid, "drop a source of");
	Relation sources = contime_open_sources(RowExclusiveLock);
	bool found = false;
	ListCell *lc;

	Assert(sources != NULL); /* checked by open_own_table() */
	foreach(lc, contime_added_sources(relid))
	{
		Added *added = lfirst(lc);

		if (added->events != events)
			continue;
		CatalogTupleDelete(sources, &added->tid);
		found = true;
	}
	if (!found && get_rel_name(events) == NULL)
		contime_report_no_relation(events);
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no source \"%s\" was added to continuous table \"%s\"",
						get_rel_name(events), RelationGetRelationName(rel)),
				 errhint(
					 "contime.source shows the added ones. To drop the option events, use ALTER FOREIGN TABLE.")));
	relation_close(sources, NoLock);
	apply_changed_sources(relid);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/* ---- after a server upgrade -------------------------------------------------- */

/* contime.repair(state regclass): what agents do by themselves (worker/repair.c). */
Datum
contime_repair(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	Relation rel;
	bool repaired = false;

	contime_require_running();
	(void) contime_require_member(CONTIME_MEMBER_SOURCES);
	PreventCommandIfReadOnly("contime.repair()");
	contime_require_table(relid);
	if (!object_ownercheck(RelationRelationId, relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_FOREIGN_TABLE, get_rel_name(relid));
	rel = contime_open_relation(relid, ShareUpdateExclusiveLock);
	if (contime_table_option(relid, "events") == NULL && contime_added_sources(relid) == NIL)
		ereport(NOTICE,
				(errmsg("continuous table \"%s\" is in memory: it has no event tables, and so nothing to repair",
						RelationGetRelationName(rel))));
	else
		repaired = contime_bindings_repair(rel);
	relation_close(rel, NoLock);
	PG_RETURN_BOOL(repaired);
}

/* ---- changes of contime.source ----------------------------------------------- */

/* ERROR 39P01 unless this is a row trigger after a write to contime.source. */
static const TriggerData *
check_trigger(FunctionCallInfo fcinfo)
{
	const TriggerData *trigger = CALLED_AS_TRIGGER(fcinfo) ? (TriggerData *) fcinfo->context : NULL;

	if (trigger == NULL || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		RelationGetRelid(trigger->tg_relation) != contime_member(CONTIME_MEMBER_SOURCES))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("contime.source_changed() is a trigger of table contime.source"),
						errhint("The extension creates it; do not create another trigger of it.")));
	return trigger;
}

/* Check the continuous table of a row of contime.source that was written. */
static void
check_changed_row(HeapTuple tuple, TupleDesc desc)
{
	bool isnull;
	Datum state = heap_getattr(tuple, Anum_source_state, desc, &isnull);

	Relation rel;

	if (isnull || !contime_is_table(DatumGetObjectId(state)))
		return;
	rel = contime_open_relation(DatumGetObjectId(state), AccessExclusiveLock);
	CheckTableNotInUse(rel, "change the sources of");
	relation_close(rel, NoLock);
	apply_changed_sources(DatumGetObjectId(state));
}

/*
 * contime.source_changed(): trigger after rows of contime.source were restored from a
 * dump or changed by hand.
 */
Datum
contime_source_changed(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = check_trigger(fcinfo);
	Relation sources;

	contime_require_running();

	/* Opened again, to check that it has the expected columns. */
	sources = contime_open_sources(NoLock);
	Assert(sources != NULL && RelationGetRelid(sources) == RelationGetRelid(trigger->tg_relation));
	check_changed_row(trigger->tg_trigtuple, RelationGetDescr(sources));
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		check_changed_row(trigger->tg_newtuple, RelationGetDescr(sources));
	relation_close(sources, NoLock);
	return PointerGetDatum(NULL);
}
