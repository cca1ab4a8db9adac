/*
 * settings.c
 *	  The settings of contime, which SET, postgresql.conf and ALTER ROLE change.
 *
 * Settings whose names begin with contime.debug_ exist only in builds with assertions.
 * Tests use them to switch a protection off, and check that the test then fails.
 *
 * Called by _PG_init in the postmaster.  PostgreSQL calls the check and assign
 * functions in every process.
 */
#include "postgres.h"

#include "base/base.h"
#include "base/compat.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/datetime.h"
#include "utils/guc.h"

int contime_memory_mb = 256;
int contime_workers = 2;

char *contime_at_setting = NULL;
bool contime_at_is_set = false;
TimestampTz contime_at_instant = 0;
bool contime_require_instant = false;

int contime_role_memory_kb = -1;
int contime_database_memory_kb = -1;
void (*contime_publish_memory_limit)(bool of_database, int kb) = NULL;

#ifdef USE_ASSERT_CHECKING
int contime_debug_visibility = CONTIME_VISIBILITY_EXACT;
bool contime_debug_unprotected = false;
bool contime_debug_partial = false;
bool contime_debug_validate = false;
bool contime_debug_skip_flush = false;
#endif

/* ---- contime.at -------------------------------------------------------------- */

/* Like timestamptz_in(), but return false instead of raising an error. */
static bool
parse_instant(const char *text, TimestampTz *instant)
{
	struct pg_tm tm;
	fsec_t fsec;
	int tz;
	int type;
	int nfields;
	char *field[MAXDATEFIELDS];
	int ftype[MAXDATEFIELDS];
	char buffer[MAXDATELEN + MAXDATEFIELDS];
	DateTimeErrorExtra extra;

	if (ParseDateTime(text, buffer, sizeof(buffer), field, ftype, MAXDATEFIELDS, &nfields) != 0 ||
		DecodeDateTime(field, ftype, nfields, &type, &tm, &fsec, &tz, &extra) != 0)
		return false;
	switch (type)
	{
		case DTK_DATE:
			return tm2timestamp(&tm, fsec, &tz, instant) == 0;
		case DTK_EPOCH:
			*instant = SetEpochTimestamp();
			return true;
		case DTK_LATE:
			TIMESTAMP_NOEND(*instant);
			return true;
		case DTK_EARLY:
			TIMESTAMP_NOBEGIN(*instant);
			return true;
		default:
			return false;
	}
}

static void
print_instant(TimestampTz instant, char *buffer)
{
	struct pg_tm tm;
	fsec_t fsec;
	int tz;

	if (TIMESTAMP_NOT_FINITE(instant))
		EncodeSpecialTimestamp(instant, buffer);
	else if (timestamp2tm(instant, &tz, &tm, &fsec, NULL, NULL) == 0)
		EncodeDateTime(&tm, fsec, true, tz, NULL, USE_ISO_DATES, buffer);
	else
		elog(ERROR, "timestamp out of range");
	Assert(strlen(buffer) <= MAXDATELEN);
}

static bool
check_at(char **newval, void **extra, GucSource source)
{
	char buffer[MAXDATELEN + 1];
	TimestampTz instant;
	char *text;

	if (**newval == '\0')
		return true;
	if (!parse_instant(*newval, &instant))
	{
		GUC_check_errhint("Set it to a timestamp with time zone, or to '' to read what is now.");
		return false;
	}
	print_instant(instant, buffer);
	text = guc_strdup(LOG, buffer);
	*extra = guc_malloc(LOG, sizeof(TimestampTz));
	if (text == NULL || *extra == NULL)
	{
		guc_free(text);
		return false;
	}
	*(TimestampTz *) *extra = instant;
	guc_free(*newval);
	*newval = text;
	return true;
}

static void
assign_at(const char *newval, void *extra)
{
	Assert((extra != NULL) == (*newval != '\0')); /* by check_at() */
	contime_at_is_set = extra != NULL;
	if (contime_at_is_set)
		contime_at_instant = *(TimestampTz *) extra;
}

/* ---- memory limits ----------------------------------------------------------- */

/* Publish the value in postgresql.conf: only the postmaster is sure to have it. */
static void
publish_limit(bool of_database, int kb)
{
	Assert(kb >= -1 && kb <= MAX_KILOBYTES);
	if (!IsUnderPostmaster && contime_publish_memory_limit)
		contime_publish_memory_limit(of_database, kb);
}

static void
assign_role_memory(int value, void *extra)
{
	publish_limit(false, value);
}

static void
assign_database_memory(int value, void *extra)
{
	publish_limit(true, value);
}

/* ---- definitions -------------------------------------------------------------- */

static void
define_memory_settings(void)
{
	DefineCustomIntVariable("contime.memory",
							"Memory for the events and states of all continuous tables.",
							"It is taken at server start and never grows.", &contime_memory_mb, 256,
							8, 65000, PGC_POSTMASTER, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("contime.workers",
							"Background workers, each of which owns a partition of the keys.", NULL,
							&contime_workers, 2, 1, CONTIME_MAX_WORKERS, PGC_POSTMASTER, 0, NULL,
							NULL, NULL);
	DefineCustomIntVariable("contime.role_memory",
							"Memory that the continuous tables of one owner may use, in all databases together.",
							"-1 means no limit. The value that a new session of the owner would have is in force.",
							&contime_role_memory_kb, -1, -1, MAX_KILOBYTES, PGC_SUSET, GUC_UNIT_KB,
							NULL, assign_role_memory, NULL);
	DefineCustomIntVariable("contime.database_memory",
							"Memory that the continuous tables of one database may use.",
							"-1 means no limit. The value that a new session of a table's owner would have is in force.",
							&contime_database_memory_kb, -1, -1, MAX_KILOBYTES, PGC_SUSET,
							GUC_UNIT_KB, NULL, assign_database_memory, NULL);
}

static void
define_instant_settings(void)
{
	DefineCustomStringVariable("contime.at",
							   "The instant of which continuous tables are read when a query names none.",
							   "Empty: now. While it is set, continuous tables cannot be written.",
							   &contime_at_setting, "", PGC_USERSET, 0, check_at, assign_at, NULL);
	DefineCustomBoolVariable("contime.require_instant",
							 "Refuses to read continuous tables without a condition that names the instants.",
							 NULL, &contime_require_instant, false, PGC_USERSET, 0, NULL, NULL,
							 NULL);
}

#ifdef USE_ASSERT_CHECKING
static void
define_debug_setting(const char *name, const char *description, bool *variable, GucContext context)
{
	DefineCustomBoolVariable(name, description, NULL, variable, false, context, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
}

static void
define_debug_settings(void)
{
	static const struct config_enum_entry broken[] =
		{{"exact", CONTIME_VISIBILITY_EXACT, false},
		 {"no_snapshot", CONTIME_VISIBILITY_NO_SNAPSHOT, false},
		 {"enter_early", CONTIME_VISIBILITY_ENTER_EARLY, false},
		 {"freeze_early", CONTIME_VISIBILITY_FREEZE_EARLY, false},
		 {NULL, 0, false}};

	StaticAssertStmt(lengthof(broken) == CONTIME_VISIBILITY_FREEZE_EARLY + 2,
					 "each kind of visibility has a name");
	DefineCustomEnumVariable("contime.debug_visibility",
							 "Breaks, on purpose, what a snapshot sees.", NULL,
							 &contime_debug_visibility, CONTIME_VISIBILITY_EXACT, broken,
							 PGC_SIGHUP, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	define_debug_setting("contime.debug_unprotected", "Answers, wrongly, what ought to be refused.",
						 &contime_debug_unprotected, PGC_USERSET);
	define_debug_setting("contime.debug_partial",
						 "Lets no cache have all keys, and has keys go all the time.",
						 &contime_debug_partial, PGC_SIGHUP);
	define_debug_setting("contime.debug_validate",
						 "Checks the engine's invariants after each pass that changed something.",
						 &contime_debug_validate, PGC_SIGHUP);
	define_debug_setting("contime.debug_skip_flush", "Loses, on purpose, captured rows.",
						 &contime_debug_skip_flush, PGC_SUSET);
}
#endif

void
contime_define_settings(void)
{
	Assert(process_shared_preload_libraries_in_progress);
	define_memory_settings();
	define_instant_settings();
#ifdef USE_ASSERT_CHECKING
	define_debug_settings();
#endif
	MarkGUCPrefixReserved("contime");
}
