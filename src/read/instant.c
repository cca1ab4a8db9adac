/*
 * instant.c
 *	  The instant of a read without a condition on the time.
 *
 *	  contime.at '' ─► now: the statement's start, or the session's newest stamp
 *	  contime.at T  ─► T: the session reads the past, and must not write
 */
#include "postgres.h"

#include "read/read.h"
#include "shared/shared.h"
#include "table/table.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

int64
contime_now(const ContimeTable *table)
{
	TimestampTz now;

	Assert(table->time_type == INT8OID || table->time_type == TIMESTAMPTZOID);
	if (table->time_type == INT8OID)
		return PG_INT64_MAX;
	now = IsolationUsesXactSnapshot() ? GetCurrentTransactionStartTimestamp()
									  : GetCurrentStatementStartTimestamp();
	return Max(now, contime_newest_stamp());
}

int64
contime_now_after_wait(void)
{
	TimestampTz now = GetCurrentTimestamp();

	return Max(now, contime_newest_stamp());
}

bool
contime_travels(Oid time_type, bool present, int64 *instant)
{
	if (!contime_at_is_set || present || InLocalUserIdChange() || time_type != TIMESTAMPTZOID)
		return false;
	*instant = contime_at_instant;
	return true;
}

const char *
contime_unbound_instant(const ContimeTable *table, bool present, bool must_travel)
{
	int64 instant;

	if (contime_travels(table->time_type, present, &instant))
		return "contime.at";
	if (must_travel)
		return "contime.at, which is not set";
	if (table->time_type == INT8OID)
		return "newest tick";
	return contime_at_is_set ? "now (contime.at does not apply here)" : "now";
}

/*
 * pg_dump names itself, and since 15.8 it restricts access to views and foreign tables.
 * Both can be overridden, so one of them is enough.
 */
bool
contime_is_dump(void)
{
	const char *restricted = GetConfigOption("restrict_nonsystem_relation_kind", true, false);

	return (application_name && strcmp(application_name, "pg_dump") == 0) ||
		   (restricted && restricted[0] != '\0');
}

void
contime_refuse_dump(const char *name, bool durable)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot dump the rows of continuous table \"%s\" as data", name),
			 errdetail("They are states at one instant. Restored, they would count as events."),
			 durable
				 ? errhint("Its events are rows of its event tables, which are dumped with their data. Dump without --include-foreign-data.")
				 : errhint("Dump without --include-foreign-data, and export the events of each key with contime.events(). For events in dumps, keep them in an ordinary table and give the continuous table the option events.")));
}

void
contime_check_unbound(const ContimeTable *table)
{
	const char *name;

	if (!contime_require_instant)
		return;
	name = get_attname(table->relid, table->time_attno, false);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("continuous table \"%s\" is read without a condition on \"%s\"", table->name,
					name),
			 errdetail("The setting contime.require_instant is on."),
			 table->time_type == TIMESTAMPTZOID
				 ? errhint("Add AND %s = now(), or RESET contime.require_instant.",
						   quote_identifier(name))
				 : errhint("Add a condition such as AND %s = 1000, or RESET contime.require_instant.",
						   quote_identifier(name))));
}

void
contime_check_present(const ContimeTable *table)
{
	if (contime_at_is_set && !InLocalUserIdChange())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("cannot change continuous table \"%s\" while contime.at is set",
							   table->name),
						errdetail("This session reads the states at %s.", contime_at_setting),
						errhint("RESET contime.at first.")));
}
