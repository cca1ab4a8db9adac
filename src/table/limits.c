/*
 * limits.c
 *	  The memory limits of a table, its owner and its database.
 *
 *	  option memory_limit ─────────────────────────┐
 *	  contime.role_memory, contime.database_memory │
 *	    pg_db_role_setting  ─ else postgresql.conf ┴──► quotas of the table's
 *	                                                    account (accounts.c)
 *
 * Limits are the table owner's, not the inserter's: both settings have the
 * value that a new session of the owner in this database would have.  That is,
 * in this order: ALTER ROLE owner IN DATABASE, ALTER ROLE owner, ALTER DATABASE,
 * ALTER ROLE ALL, and then postgresql.conf, which the postmaster knows: it has
 * neither role nor database, so it puts its values into shared memory.  A
 * session's own SET has no effect on what is charged.
 *
 * No cache of the backend is told of changes to pg_db_role_setting.  So a backend
 * reads it again when it uses a table and what it has read is a second old.
 *
 * Called by whoever is about to write to a store (ingest.c), to load one
 * (cache.c), or has read from a cache.
 */
#include "limits.h"

#include <limits.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_type_d.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* How long a backend relies on what it has read. */
#define FRESH_MS 1000

/* How long an insert waits for memory that is being freed. */
#define MOST_WAITED_MS 1000
#define WAIT_MS 5

/* ---- settings --------------------------------------------------------------------- */

static int	role_memory_kb = -1;
static int	database_memory_kb = -1;

static const struct
{
	ContimeLevel level;
	const char *name;
}			setting[] = {
	{CONTIME_OF_ROLE, "contime.role_memory"},
	{CONTIME_OF_DATABASE, "contime.database_memory"},
};

/* Only the postmaster's value is the one in postgresql.conf. */
static void
assign_role_memory(int value, void *extra)
{
	if (!IsUnderPostmaster)
		contime_account_set_default(CONTIME_OF_ROLE, value);
}

static void
assign_database_memory(int value, void *extra)
{
	if (!IsUnderPostmaster)
		contime_account_set_default(CONTIME_OF_DATABASE, value);
}

void
contime_limits_publish(void)
{
	contime_account_set_default(CONTIME_OF_ROLE, role_memory_kb);
	contime_account_set_default(CONTIME_OF_DATABASE, database_memory_kb);
}

void
contime_limits_settings(void)
{
	DefineCustomIntVariable("contime.role_memory",
							"Memory that the continuous tables of one owner may use, in all databases together.",
							"-1 means no limit. The value that a new session of the owner would have is in force.",
							&role_memory_kb,
							-1, -1, MAX_KILOBYTES,
							PGC_SUSET, GUC_UNIT_KB,
							NULL, assign_role_memory, NULL);
	DefineCustomIntVariable("contime.database_memory",
							"Memory that the continuous tables of one database may use.",
							"-1 means no limit. The value that a new session of a table's owner would have is in force.",
							&database_memory_kb,
							-1, -1, MAX_KILOBYTES,
							PGC_SUSET, GUC_UNIT_KB,
							NULL, assign_database_memory, NULL);
}

int64
contime_limits_parse(const char *value)
{
	int			kb;

	if (!parse_int(value, &kb, GUC_UNIT_KB, NULL) || kb < 0 || kb > MAX_KILOBYTES)
		return -1;
	return (int64) kb * 1024;
}

/* ---- pg_db_role_setting --------------------------------------------------------------- */

/* What a backend has read of an owner, in kB. */
typedef struct Known
{
	Oid			owner;
	TimestampTz fresh_until;
	int			kb[CONTIME_LEVELS];
} Known;

/* The value of an element "name=value"; false: it is another setting, or not valid. */
static bool
read_element(const char *element, const char *name, int *kb)
{
	Size		length = strlen(name);
	int			value;

	if (pg_strncasecmp(element, name, length) != 0 || element[length] != '=')
		return false;
	if (!parse_int(element + length + 1, &value, GUC_UNIT_KB, NULL) ||
		value < -1 || value > MAX_KILOBYTES)
		return false;
	*kb = value;
	return true;
}

/* Take from a row what is not found yet. */
static void
read_settings(ArrayType *array, int *kb, bool *found)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	if (ARR_ELEMTYPE(array) != TEXTOID || ARR_NDIM(array) > 1)
		return;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int s = 0; s < lengthof(setting); s++)
	{
		ContimeLevel level = setting[s].level;
		bool		here = false;

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
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(database));
	ScanKeyInit(&key[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(role));
	scan = systable_beginscan(catalog, DbRoleSettingDatidRolidIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		config = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig,
										  RelationGetDescr(catalog), &isnull);

		if (!isnull)
			read_settings(DatumGetArrayTypeP(config), kb, found);
	}
	systable_endscan(scan);
}

/* In the order in which core applies them to a new session: the first one counts. */
static void
read_limits(Known *known)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "contime limits",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Relation	catalog = table_open(DbRoleSettingRelationId, AccessShareLock);
	bool		found[CONTIME_LEVELS] = {false};
	int			kb[CONTIME_LEVELS] = {-1};

	for (int s = 0; s < lengthof(setting); s++)
		kb[setting[s].level] = contime_account_default(setting[s].level);
	read_row(catalog, MyDatabaseId, known->owner, kb, found);
	read_row(catalog, InvalidOid, known->owner, kb, found);
	read_row(catalog, MyDatabaseId, InvalidOid, kb, found);
	read_row(catalog, InvalidOid, InvalidOid, kb, found);
	table_close(catalog, AccessShareLock);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);

	memcpy(known->kb, kb, sizeof(kb));
	known->fresh_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), FRESH_MS);
}

static const Known *
limits_of(Oid owner)
{
	static HTAB *owners = NULL;
	static Known *last = NULL;
	TimestampTz now = GetCurrentTimestamp();
	bool		found;

	if (owners == NULL)
	{
		HASHCTL		info;

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

	/* (A clock that was set back does not keep it for ever.) */
	if (now >= last->fresh_until ||
		last->fresh_until > TimestampTzPlusMilliseconds(now, FRESH_MS))
		read_limits(last);
	return last;
}

static int64
bytes_of(int kb)
{
	return kb < 0 ? -1 : (int64) kb * 1024;
}

void
contime_limits_note(const ContimeTable *table, ContimeGeneration *g, bool must)
{
	const Known *known = limits_of(table->owner);
	ContimeQuota quota;

	quota.bytes[CONTIME_OF_TABLE] = table->memory_limit;
	quota.bytes[CONTIME_OF_ROLE] = bytes_of(known->kb[CONTIME_OF_ROLE]);
	quota.bytes[CONTIME_OF_DATABASE] = bytes_of(known->kb[CONTIME_OF_DATABASE]);
	if (!contime_account_note(g, table->owner, &quota) && must)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many continuous tables, owners and databases to account for"),
				 errhint("Drop continuous tables that are not needed.")));
}

/* ---- waiting --------------------------------------------------------------------------------- */

/*
 * Is a generation that is not in force any more still charged to the account?
 * (Older ones of the same table are on their way out once this has committed.)
 */
static bool
is_being_freed(const ContimeGeneration *g, ContimeLevel level)
{
	for (int i = 0; i < contime_shared->highest; i++)
	{
		const ContimeGeneration *other = &contime_shared->generation[i];

		if (other != g && other->used && contime_account_is_shared(g, other, level) &&
			(other->dead || (g->agreed && other->relation == g->relation &&
							 other->database == g->database && other->serial < g->serial)))
			return true;
	}
	return false;
}

/* Does a generation that is charged to the account have events that were rolled back? */
static bool
is_being_dropped(const ContimeGeneration *g, ContimeLevel level)
{
	for (int i = 0; i < contime_shared->highest; i++)
	{
		const ContimeGeneration *other = &contime_shared->generation[i];

		if (!other->used || !contime_account_is_shared(g, other, level))
			continue;
		for (int p = 0; p < contime_shared->partitions; p++)
			if (contime_shape_has_aborted(other, p))
				return true;
	}
	return false;
}

bool
contime_limits_wait(const ContimeGeneration *g, ContimeLevel level, int *waited_ms)
{
	if (*waited_ms >= MOST_WAITED_MS ||
		!(is_being_freed(g, level) || is_being_dropped(g, level)))
		return false;
	for (int p = 0; p < contime_shared->partitions; p++)
		contime_wake_worker(p);
	CHECK_FOR_INTERRUPTS();
	pg_usleep(WAIT_MS * 1000);
	*waited_ms += WAIT_MS;
	return true;
}

/* ---- errors ------------------------------------------------------------------------------- */

/* An amount as pg_size_pretty() shows it. */
static char *
pretty(Size bytes)
{
	return text_to_cstring(DatumGetTextPP(DirectFunctionCall1(pg_size_pretty,
															  Int64GetDatum((int64) bytes))));
}

static void pg_attribute_noreturn()
report_table(const ContimeTable *table, ContimeGeneration *g)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("memory limit of continuous table \"%s\" reached", table->name),
			 errdetail("It uses %s of its memory_limit of %s. What was accepted before is kept.",
					   pretty(contime_account_used(g, CONTIME_OF_TABLE)),
					   pretty(table->memory_limit)),
			 table->retain != 0
			 ? errhint("TRUNCATE the table, let it retain less, or raise its option memory_limit.")
			 : errhint("TRUNCATE the table, give it the option retain, or raise its option memory_limit.")));
}

static void pg_attribute_noreturn()
report_role(const ContimeTable *table, ContimeGeneration *g)
{
	const char *owner = GetUserNameFromId(table->owner, true);

	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("memory limit of role \"%s\" reached for continuous table \"%s\"",
					owner ? owner : "?", table->name),
			 errdetail("The continuous tables that the role owns use %s of its contime.role_memory of %s, this one %s. What was accepted before is kept.",
					   pretty(contime_account_used(g, CONTIME_OF_ROLE)),
					   pretty(contime_account_quota(g, CONTIME_OF_ROLE)),
					   pretty(contime_account_used(g, CONTIME_OF_TABLE))),
			 errhint("TRUNCATE or DROP continuous tables of the role, give them the option retain, or have a superuser raise the limit with ALTER ROLE.")));
}

static void pg_attribute_noreturn()
report_database(const ContimeTable *table, ContimeGeneration *g)
{
	const char *database = get_database_name(MyDatabaseId);

	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("memory limit of database \"%s\" reached for continuous table \"%s\"",
					database ? database : "?", table->name),
			 errdetail("The continuous tables of the database use %s of its contime.database_memory of %s, this one %s. What was accepted before is kept.",
					   pretty(contime_account_used(g, CONTIME_OF_DATABASE)),
					   pretty(contime_account_quota(g, CONTIME_OF_DATABASE)),
					   pretty(contime_account_used(g, CONTIME_OF_TABLE))),
			 errhint("TRUNCATE or DROP continuous tables of the database, give them the option retain, or have a superuser raise the limit with ALTER DATABASE.")));
}

/* Only the reserve is left, and it is for others. */
static void pg_attribute_noreturn()
report_share(const ContimeTable *table, ContimeGeneration *g)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of memory for continuous table \"%s\"", table->name),
			 errdetail("Of the %d MB of contime.memory only the reserve is free, and this table has had its share: it uses %s, the tables of its owner %s. What was accepted before is kept.",
					   contime_memory_mb,
					   pretty(contime_account_used(g, CONTIME_OF_TABLE)),
					   pretty(contime_account_used(g, CONTIME_OF_ROLE))),
			 errhint("Increase contime.memory and restart, or TRUNCATE or DROP continuous tables that are not needed.")));
}

void
contime_limits_report(const ContimeTable *table, ContimeGeneration *g, ContimeLevel level)
{
	switch (level)
	{
		case CONTIME_OF_TABLE:
			report_table(table, g);
		case CONTIME_OF_ROLE:
			report_role(table, g);
		case CONTIME_OF_DATABASE:
			report_database(table, g);
		case CONTIME_UNLIMITED:
			if (contime_budget_keep(g) > 0)
				report_share(table, g);
			contime_report(CT_NO_MEMORY, table);
	}
	pg_unreachable();
}
