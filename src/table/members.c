/*
 * members.c
 *	  The extension's own objects: found by membership, never by name alone.
 *
 *	  pg_extension ──► pg_depend (deptype 'e') ──► OIDs, cached by backend
 *
 * Any role may create a schema, a table or a function with a name that contime uses.
 * Only a superuser can make an object a member of the extension.  So contime
 * recognises its objects by membership; names only distinguish the members.
 *
 * Called by table.c, source.c, ddl/source_functions.c and capture.c.
 *
 * Concurrency: the cache belongs to the backend.  Invalidation callbacks only mark it
 * as out of date; the next call, in a transaction, scans again.  CREATE EXTENSION and
 * DROP EXTENSION create and drop the wrapper, which sends every backend an
 * invalidation message.
 *
 * Invariants:
 *   1. The cache has either all members or none: a scan in the middle of
 *      CREATE EXTENSION or DROP EXTENSION is not cached.
 *   2. A callback reads no catalog.
 *
 * Not here: which tables use the wrapper (table.c).
 */
#include "postgres.h"

#include "table/table.h"

#include "access/reloptions.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_language_d.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "commands/tablecmds.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/*
 * Return the foreign data wrapper of a foreign table, or InvalidOid if there is no
 * such table.
 */
static Oid
get_wrapper(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(FOREIGNTABLEREL, ObjectIdGetDatum(relid));
	Oid server;
	Oid wrapper = InvalidOid;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	server = ((Form_pg_foreign_table) GETSTRUCT(tuple))->ftserver;
	ReleaseSysCache(tuple);
	tuple = SearchSysCache1(FOREIGNSERVEROID, ObjectIdGetDatum(server));
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	wrapper = ((Form_pg_foreign_server) GETSTRUCT(tuple))->srvfdw;
	ReleaseSysCache(tuple);
	return wrapper;
}

bool
contime_is_table(Oid relid)
{
	Oid wrapper;

	if (get_rel_relkind(relid) != RELKIND_FOREIGN_TABLE)
		return false;
	wrapper = get_wrapper(relid);
	return OidIsValid(wrapper) && wrapper == contime_member(CONTIME_MEMBER_WRAPPER);
}

#define EXTENSION_NAME "contime"

static Oid cached[CONTIME_MEMBERS];
static bool cache_valid = false;
static uint32 capture_hash; /* syscache hash of the capture function */
static uint64 invalidations = 0;

/* ---- invalidation ------------------------------------------------------------ */

static void
forget_members(void)
{
	cache_valid = false;
	invalidations++;
}

static void
forget_on_wrapper_change(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_members();
}

static void
forget_on_function_change(Datum arg, int cacheid, uint32 hashvalue)
{
	if (!cache_valid || hashvalue == 0 || hashvalue == capture_hash)
		forget_members();
}

static void
forget_on_relation_change(Datum arg, Oid relid)
{
	if (!cache_valid || !OidIsValid(relid) || relid == cached[CONTIME_MEMBER_SOURCES])
		forget_members();
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	CacheRegisterSyscacheCallback(FOREIGNDATAWRAPPEROID, forget_on_wrapper_change, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, forget_on_function_change, (Datum) 0);
	CacheRegisterRelcacheCallback(forget_on_relation_change, (Datum) 0);
	registered = true;
}

/* ---- the scan ---------------------------------------------------------------- */

/* True if a function has this C symbol as its body. */
static bool
is_function(Oid function, const char *symbol)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Datum source;
	bool isnull;
	bool is = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
	if (!isnull && ((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId)
		is = strcmp(TextDatumGetCString(source), symbol) == 0;
	ReleaseSysCache(tuple);
	return is;
}

static bool
is_table(Oid relation, const char *name)
{
	char *its = get_rel_name(relation);

	return its && strcmp(its, name) == 0 && get_rel_relkind(relation) == RELKIND_RELATION;
}

static void
note_member(const FormData_pg_depend *row, Oid found[])
{
	if (row->objsubid != 0 || row->deptype != DEPENDENCY_EXTENSION)
		return;
	if (row->classid == ForeignDataWrapperRelationId)
		found[CONTIME_MEMBER_WRAPPER] = row->objid;
	else if (row->classid == RelationRelationId && is_table(row->objid, "source"))
		found[CONTIME_MEMBER_SOURCES] = row->objid;
	else if (row->classid == ProcedureRelationId && is_function(row->objid, "contime_capture"))
		found[CONTIME_MEMBER_CAPTURE] = row->objid;
}

static void
scan_members(Oid extension, Oid found[])
{
	Relation depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ExtensionRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		note_member((Form_pg_depend) GETSTRUCT(tuple), found);
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
}

Oid
contime_member(ContimeMember member)
{
	Oid found[CONTIME_MEMBERS] = {InvalidOid};
	uint64 before;
	Oid extension;
	int n = 0;

	Assert(member < CONTIME_MEMBERS);
	if (cache_valid)
		return cached[member];
	Assert(IsTransactionState()); /* invariant 2 */
	register_callbacks();
	before = invalidations;
	extension = get_extension_oid(EXTENSION_NAME, true);
	if (OidIsValid(extension))
		scan_members(extension, found);
	for (int i = 0; i < CONTIME_MEMBERS; i++)
		n += OidIsValid(found[i]);

	/* Invariant 1.  An invalidation message may have arrived during the scan, too. */
	if ((n == CONTIME_MEMBERS || (n == 0 && !OidIsValid(extension))) && invalidations == before)
	{
		memcpy(cached, found, sizeof(cached));
		capture_hash =
			GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(found[CONTIME_MEMBER_CAPTURE]));
		cache_valid = true;
	}
	return found[member];
}

Oid
contime_require_member(ContimeMember member)
{
	Oid object = contime_member(member);

	if (!OidIsValid(object))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension contime lacks an object that the library needs"),
				 errhint("Run ALTER EXTENSION contime UPDATE, or create the extension again.")));
	return object;
}
