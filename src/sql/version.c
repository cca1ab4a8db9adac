/*
 * version.c
 *	  The versions of the library and of the extension's SQL objects.
 *
 *	  make install ─► new library and scripts on disk
 *	  restart      ─► the server loads the new library; SQL objects are still the old ones
 *	  CREATE EXTENSION, ALTER EXTENSION UPDATE ─► new SQL objects, of one database
 *
 * A library works with the SQL objects of its version and of all earlier ones, since no
 * C function is removed and none changes its arguments.  It does not work with those of a
 * later version: installing them fails (contime.check_library()), and so does the use of
 * a continuous table (contime_check_objects()).
 */
#include "postgres.h"

#include "sql/sql.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

PG_FUNCTION_INFO_V1(contime_version);
PG_FUNCTION_INFO_V1(contime_check_library);

/* True if the library is older than version `version`, of the form 1.2.3. */
static bool
is_older_than(const char *version)
{
	int library[3] = {0};
	int objects[3] = {0};

	(void) sscanf(CONTIME_VERSION, "%d.%d.%d", &library[0], &library[1], &library[2]);
	(void) sscanf(version, "%d.%d.%d", &objects[0], &objects[1], &objects[2]);
	for (int i = 0; i < 3; i++)
	{
		if (library[i] != objects[i])
			return library[i] < objects[i];
	}
	return false;
}

static void
require_library(const char *version)
{
	if (is_older_than(version))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the loaded library of contime is older than its SQL objects"),
				 errdetail("The library has version %s, the SQL objects have version %s.",
						   CONTIME_VERSION, version),
				 errhint("Restart the server, so that it loads the library that is installed. If its version stays the same, install the library of version %s or a later one.",
						 version)));
}

/* contime.version(): the version of the library */
Datum
contime_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(CONTIME_VERSION));
}

/* contime.check_library(version): scripts call it, with their version, before all else */
Datum
contime_check_library(PG_FUNCTION_ARGS)
{
	require_library(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

void
contime_check_objects(void)
{
	Relation catalog = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("contime"));
	scan = systable_beginscan(catalog, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;
		Datum version =
			heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(catalog), &isnull);

		Assert(!isnull);
		require_library(TextDatumGetCString(version));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
}
