/*
 * instant.c
 *	  What a read that names no instant may be of.
 *
 *	  contime.at				that instant, as if "AND time = ..." were there
 *	  contime.require_instant	nothing: it is refused
 *
 * By default it is of "now" (ingest.c).  A session that has contime.at set
 * looks at the past of tables with timestamps, where nothing can be written;
 * what "now" means on a logical clock it does not change.
 *
 * The setting is kept as PostgreSQL shows it with an offset, so that it means
 * the same in a parallel worker, whatever its timezone and datestyle.  A
 * statement looks at it when it starts (fdw.c), not when it is planned: plans
 * that are cached follow it.
 *
 * contime.at does not apply in a SECURITY DEFINER function, where
 * InLocalUserIdChange(), nor in a sub-select of a policy (plan/present.c).  Its
 * owner relies on what is now; the caller must not choose another instant.
 * Parallel workers have the security context of their leader.
 *
 * contime.require_instant applies everywhere: it only makes reads fail.
 *
 * Not here: the functions, which are given their instants.
 */
#include "contime.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

static char *at_setting = NULL;
static bool travels = false;
static TimestampTz travel_instant = 0;
static bool require_instant = false;

/* What timestamptz_in() does, without its errors. */
static bool
parse_instant(const char *text, TimestampTz *instant)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	int			type;
	int			nfields;
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	char		buffer[MAXDATELEN + MAXDATEFIELDS];

	if (ParseDateTime(text, buffer, sizeof(buffer), field, ftype, MAXDATEFIELDS, &nfields) != 0 ||
		DecodeDateTime(field, ftype, nfields, &type, &tm, &fsec, &tz) != 0)
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
	fsec_t		fsec;
	int			tz;

	if (TIMESTAMP_NOT_FINITE(instant))
		EncodeSpecialTimestamp(instant, buffer);
	else if (timestamp2tm(instant, &tz, &tm, &fsec, NULL, NULL) == 0)
		EncodeDateTime(&tm, fsec, true, tz, NULL, USE_ISO_DATES, buffer);
	else
		elog(ERROR, "timestamp out of range");
}

static bool
check_at(char **newval, void **extra, GucSource source)
{
	char		buffer[MAXDATELEN + 1];
	TimestampTz instant;
	char	   *text;

	if (**newval == '\0')
		return true;
	if (!parse_instant(*newval, &instant))
	{
		GUC_check_errhint("Set it to a timestamp with time zone, or to '' to read what is now.");
		return false;
	}
	print_instant(instant, buffer);
	text = strdup(buffer);
	*extra = malloc(sizeof(TimestampTz));
	if (text == NULL || *extra == NULL)
	{
		free(text);
		return false;
	}
	*(TimestampTz *) *extra = instant;
	free(*newval);
	*newval = text;
	return true;
}

static void
assign_at(const char *newval, void *extra)
{
	travels = extra != NULL;
	if (travels)
		travel_instant = *(TimestampTz *) extra;
}

void
contime_instant_settings(void)
{
	DefineCustomStringVariable("contime.at",
							   "The instant of which continuous tables are read when a query names none.",
							   "Empty: now. While it is set, continuous tables cannot be written.",
							   &at_setting,
							   "",
							   PGC_USERSET, 0,
							   check_at, assign_at, NULL);
	DefineCustomBoolVariable("contime.require_instant",
							 "Refuses to read continuous tables without a condition that names the instants.",
							 NULL,
							 &require_instant,
							 false,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);
}

bool
contime_travels(const ContimeTable *table, bool present, int64 *instant)
{
	if (!travels || present || InLocalUserIdChange() || table->time_type != TIMESTAMPTZOID)
		return false;
	*instant = travel_instant;
	return true;
}

const char *
contime_unbound_instant(const ContimeTable *table, bool present)
{
	int64		instant;

	if (contime_travels(table, present, &instant))
		return "contime.at";
	return travels && table->time_type == TIMESTAMPTZOID ?
		"now (contime.at does not apply here)" : "now";
}

void
contime_check_unbound(const ContimeTable *table)
{
	const char *name;

	if (!require_instant)
		return;
	name = get_attname(table->relid, table->time_attno, false);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("continuous table \"%s\" is read without a condition on \"%s\"",
					table->name, name),
			 errdetail("The setting contime.require_instant is on."),
			 table->time_type == TIMESTAMPTZOID ?
			 errhint("Add AND %s = now(), or RESET contime.require_instant.", quote_identifier(name)) :
			 errhint("Add a condition such as AND %s = 1000, or RESET contime.require_instant.",
					 quote_identifier(name))));
}

void
contime_check_present(const ContimeTable *table)
{
	if (travels && !InLocalUserIdChange())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot change continuous table \"%s\" while contime.at is set", table->name),
				 errdetail("This session looks at what was at %s.", at_setting),
				 errhint("RESET contime.at first.")));
}
