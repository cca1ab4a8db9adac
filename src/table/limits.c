/*
 * limits.c
 *	  The memory limits of a table, its owner and its database.
 *
 *	  option memory_limit ─────────────────────────┐
 *	  contime.role_memory, contime.database_memory │
 *	    pg_db_role_setting  ─ else postgresql.conf ┴──► quotas of the table's
 *	                                                    account (accounts.c)
 *
 * The limits are those of the table's owner, not of the inserting role: both settings
 * have the value that a new session of the owner in this database would have.  The
 * first of these counts: ALTER ROLE owner IN DATABASE, ALTER ROLE owner, ALTER
 * DATABASE, ALTER ROLE ALL, postgresql.conf.  The postmaster has no role and no
 * database, so it knows the value in postgresql.conf, and puts it into shared memory.
 * A session's own SET has no effect.
 *
 * Changes of pg_db_role_setting send no invalidation messages.  So a backend that uses
 * a table reads it again if its last read is more than a second ago.
 *
 * Called before a process writes to a store (ingest.c) or loads one (cache.c), and
 * after a backend has read from a cache.
 */
#include "postgres.h"

#include "table/table.h"
#include "shared/shared.h"

#include <limits.h>

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_db_role_setting.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

/* A backend reads the limits again after this time. */
#define FRESH_MS 1000

/* ---- settings ---------------------------------------------------------------- */

static const struct
{
	ContimeLevel level;
	const char *name;
} setting[] = {
	{CONTIME_OF_ROLE, "contime.role_memory"},
	{CONTIME_OF_DATABASE, "contime.database_memory"},
};

StaticAssertDecl(lengthof(setting) == CONTIME_LEVELS - 1, "all but the table's own limit");

int64
contime_limits_parse(const char *value)
{
	int kb;

	if (!parse_int(value, &kb, GUC_UNIT_KB, NULL) || kb < 0 || kb > MAX_KILOBYTES)
		return -1;
	return (int64) kb * 1024;
}

/* ---- pg_db_role_setting ------------------------------------------------------ */

/* The limits of an owner as last read by this backend, in kB. */
typedef struct Known
{
	Oid owner;
	TimestampTz fresh_until;
	int kb[CONTIME_LEVELS];
} Known;

/*
 * Set *kb from an element "name=value".  Return false if it is another setting, or not
 * valid.
 */
static bool
read_element(const char *element, const char *name, int *kb)
{
	Size length = strlen(name);
	int value;

	if (pg_strncasecmp(element, name, length) != 0 || element[length] != '=')
		return false;
	if (!parse_int(element + length + 1, &value, GUC_UNIT_KB, NULL) || value < -1 ||
		value > MAX_KILOBYTES)
		return false;
	*kb = value;
	return true;
}

/* Read the settings in a row of pg_db_role_setting, except those found before. */
static void
read_settings(ArrayType *array, int *kb, bool *found)
{
	Datum *elements;
	bool *nulls;
	int count;

	if (ARR_ELEMTYPE(array) != TEXTOID || ARR_NDIM(array) > 1)
		return;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int s = 0; s < lengthof(setting); s++)
	{
		ContimeLevel level = setting[s].level;
		bool here = false;

		for (int i = 0; i < count && !found[level]; i++)
			if (!nulls[i])
				here |= read_element(TextDatumGetCString(elements[i]), setting[s].name, &kb[level]);
		found[level] |= here;
	}
}

static void
read_row(Relation catalog, Oid database, Oid role, int *kb, bool *found)
{
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(database));
	ScanKeyInit(&key[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(role));
	scan = systable_beginscan(catalog, DbRoleSettingDatidRolidIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool isnull;
		Datum config = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig,
									RelationGetDescr(catalog), &isnull);

		if (!isnull)
			read_settings(DatumGetArrayTypeP(config), kb, found);
	}
	systable_endscan(scan);
}

/*
 * Read the limits of an owner, in the order in which core applies settings to a new
 * session: the first one found counts.
 */
static void
read_limits(Known *known)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "contime limits", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Relation catalog = table_open(DbRoleSettingRelationId, AccessShareLock);
	bool found[CONTIME_LEVELS] = {false};
	int kb[CONTIME_LEVELS] = {-1};

	Assert(IsTransactionState());
	for (int s = 0; s < lengthof(setting); s++)
		kb[setting[s].level] = contime_account_default(setting[s].level);
	read_row(catalog, MyDatabaseId, known->owner, kb, found);
	read_row(catalog, InvalidOid, known->owner, kb, found);
	read_row(catalog, MyDatabaseId, InvalidOid, kb, found);
	read_row(catalog, InvalidOid, InvalidOid, kb, found);
	table_close(catalog, AccessShareLock);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);

	Assert(kb[CONTIME_OF_ROLE] >= -1 && kb[CONTIME_OF_DATABASE] >= -1);
	memcpy(known->kb, kb, sizeof(kb));
	known->fresh_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), FRESH_MS);
}

static const Known *
get_limits(Oid owner)
{
	static HTAB *owners = NULL;
	static Known *last = NULL;
	TimestampTz now = GetCurrentTimestamp();
	bool found;

	if (owners == NULL)
	{
		HASHCTL info;

		info.keysize = sizeof(Oid);
		info.entrysize = sizeof(Known);
		info.hcxt = CacheMemoryContext;
		owners = hash_create("contime limits", 16, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	if (last == NULL || last->owner != owner)
	{
		last = hash_search(owners, &owner, HASH_ENTER, &found);
		if (!found)
			last->fresh_until = 0;
	}

	/* If the clock was set back, read again. */
	if (now >= last->fresh_until || last->fresh_until > TimestampTzPlusMilliseconds(now, FRESH_MS))
		read_limits(last);
	return last;
}

static int64
convert_limit(int kb)
{
	return kb < 0 ? -1 : (int64) kb * 1024;
}

void
contime_limits_note(const ContimeTable *table, ContimeGeneration *g, bool must)
{
	const Known *known = get_limits(table->owner);
	ContimeQuota quota;

	Assert(g->relation == table->relid);
	Assert(contime_holds_no_lock());
	quota.bytes[CONTIME_OF_TABLE] = table->memory_limit;
	quota.bytes[CONTIME_OF_ROLE] = convert_limit(known->kb[CONTIME_OF_ROLE]);
	quota.bytes[CONTIME_OF_DATABASE] = convert_limit(known->kb[CONTIME_OF_DATABASE]);
	if (!contime_account_note(g, table->owner, &quota) && must)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("too many continuous tables, owners and databases to account for"),
						errhint("Drop continuous tables that are not needed.")));
}
