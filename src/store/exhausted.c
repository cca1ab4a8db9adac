/*
 * exhausted.c
 *	  Memory is exhausted: wait while workers free some, or report which limit was reached.
 *
 * Called by writers whose rows could not be added for lack of memory.
 */
#include "postgres.h"

#include "store/store.h"
#include "base/base.h"
#include "shared/shared.h"
#include "table/table.h"

#include <limits.h>

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* How long a writer waits for memory that is being freed, in all and at a time. */
#define MOST_WAITED_MS 1000
#define WAIT_MS 5

/*
 * True if a generation that workers free is still charged to the account: a dead one,
 * or an older one of the same table, if the transaction that opened g has committed.
 */
static bool
is_being_freed(const ContimeGeneration *g, ContimeLevel level)
{
	for (int i = 0; i < contime_shared->highest; i++)
	{
		const ContimeGeneration *other = &contime_shared->generation[i];

		if (other != g && contime_generation_state(other) != CONTIME_GENERATION_FREE &&
			contime_account_is_shared(g, other, level) &&
			(contime_generation_state(other) == CONTIME_GENERATION_DEAD ||
			 (contime_generation_state(g) == CONTIME_GENERATION_OPEN &&
			  other->relation == g->relation && other->database == g->database &&
			  other->serial < g->serial)))
			return true;
	}
	return false;
}

/* True if a generation charged to the account has events that were rolled back. */
static bool
is_being_dropped(const ContimeGeneration *g, ContimeLevel level)
{
	for (int i = 0; i < contime_shared->highest; i++)
	{
		const ContimeGeneration *other = &contime_shared->generation[i];

		if (contime_generation_state(other) == CONTIME_GENERATION_FREE ||
			!contime_account_is_shared(g, other, level))
			continue;
		for (int p = 0; p < contime_shared->partitions; p++)
			if (contime_stored_has_aborted(other, p))
				return true;
	}
	return false;
}

bool
contime_limits_wait(const ContimeGeneration *g, ContimeLevel level, int *waited_ms)
{
	Assert(level < CONTIME_UNLIMITED);
	Assert(contime_holds_no_lock());
	if (*waited_ms >= MOST_WAITED_MS || !(is_being_freed(g, level) || is_being_dropped(g, level)))
		return false;
	for (int p = 0; p < contime_shared->partitions; p++)
		contime_wake_worker(p);
	CHECK_FOR_INTERRUPTS();
	pg_usleep(WAIT_MS * 1000);
	*waited_ms += WAIT_MS;
	return true;
}

/* Format a number of bytes as pg_size_pretty() does. */
static char *
format_bytes(Size bytes)
{
	return text_to_cstring(
		DatumGetTextPP(DirectFunctionCall1(pg_size_pretty, Int64GetDatum((int64) bytes))));
}

/* What the memory of the region is used for, at this moment. */
typedef struct Usage
{
	Size total;   /* contime.memory */
	Size own;     /* this table, */
	Size role;    /* other tables of its owner, */
	Size others;  /* and tables of other owners */
	Size caches;  /* of all these, events of durable tables, */
	Size freeing; /* and what workers are about to free */
	Size holes;   /* free pieces of pages that are not free as a whole */
	Size kept;    /* free pages, and what describes pages */
} Usage;

/* The smaller of two numbers that were not read at the same time may have grown. */
static Size
subtract_bytes(Size from, Size bytes)
{
	return from > bytes ? from - bytes : 0;
}

static Usage
measure_usage(const ContimeGeneration *g)
{
	Size allocated = ct_region_allocated(contime_region);
	Size used = ct_region_used(contime_region);
	Usage usage = {.total = (Size) contime_memory_mb * 1024 * 1024};

	usage.own = contime_account_used(g, CONTIME_OF_TABLE);
	usage.role = subtract_bytes(contime_account_used(g, CONTIME_OF_ROLE), usage.own);
	usage.others = subtract_bytes(allocated, usage.own + usage.role);
	usage.holes = subtract_bytes(used, allocated);
	usage.kept = subtract_bytes(usage.total, used);
	for (int i = 0; i < contime_shared->highest; i++)
	{
		ContimeGeneration *other = &contime_shared->generation[i];

		if (contime_generation_state(other) == CONTIME_GENERATION_FREE)
			continue;
		if (contime_cache_state(other) != CONTIME_CACHE_NONE)
			usage.caches += contime_generation_bytes(other);
		if (contime_generation_state(other) == CONTIME_GENERATION_DEAD)
			usage.freeing += contime_generation_bytes(other);
	}
	Assert(usage.kept <= usage.total);
	return usage;
}

/* Say what the memory is used for. */
static char *
format_usage(const ContimeGeneration *g)
{
	Usage usage = measure_usage(g);
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(
		&text, _("This table uses %s, other tables of its owner %s, tables of other owners %s."),
		format_bytes(usage.own), format_bytes(usage.role), format_bytes(usage.others));
	if (usage.caches > 0)
		appendStringInfo(&text, _(" Caches of event tables are %s of it."),
						 format_bytes(usage.caches));
	if (usage.freeing > 0)
		appendStringInfo(&text, _(" Dropped and truncated tables are %s of it, which become free."),
						 format_bytes(usage.freeing));
	appendStringInfo(
		&text,
		_(" %s are free in pages with pieces of other sizes, and %s are kept for workers and for tables that have used little."),
		format_bytes(usage.holes), format_bytes(usage.kept));
	return text.data;
}

static void CONTIME_NORETURN
report_table(const ContimeTable *table, ContimeGeneration *g)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("memory limit of continuous table \"%s\" reached", table->name),
			 errdetail("It uses %s of its memory_limit of %s. Rows that were accepted before are kept.",
					   format_bytes(contime_account_used(g, CONTIME_OF_TABLE)),
					   format_bytes(table->memory_limit)),
			 table->retain != 0
				 ? errhint(
					   "TRUNCATE the table, let it retain less, or raise its option memory_limit.")
				 : errhint(
					   "TRUNCATE the table, give it the option retain, or raise its option memory_limit.")));
}

static void CONTIME_NORETURN
report_role(const ContimeTable *table, ContimeGeneration *g)
{
	const char *owner = GetUserNameFromId(table->owner, true);

	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("memory limit of role \"%s\" reached for continuous table \"%s\"",
					owner ? owner : "?", table->name),
			 errdetail("The continuous tables that the role owns use %s of its contime.role_memory of %s, this one %s. Rows that were accepted before are kept.",
					   format_bytes(contime_account_used(g, CONTIME_OF_ROLE)),
					   format_bytes(contime_account_quota(g, CONTIME_OF_ROLE)),
					   format_bytes(contime_account_used(g, CONTIME_OF_TABLE))),
			 errhint(
				 "TRUNCATE or DROP continuous tables of the role, give them the option retain, or have a superuser raise the limit with ALTER ROLE.")));
}

static void CONTIME_NORETURN
report_database(const ContimeTable *table, ContimeGeneration *g)
{
	const char *database = get_database_name(MyDatabaseId);

	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("memory limit of database \"%s\" reached for continuous table \"%s\"",
					database ? database : "?", table->name),
			 errdetail("The continuous tables of the database use %s of its contime.database_memory of %s, this one %s. Rows that were accepted before are kept.",
					   format_bytes(contime_account_used(g, CONTIME_OF_DATABASE)),
					   format_bytes(contime_account_quota(g, CONTIME_OF_DATABASE)),
					   format_bytes(contime_account_used(g, CONTIME_OF_TABLE))),
			 errhint(
				 "TRUNCATE or DROP continuous tables of the database, give them the option retain, or have a superuser raise the limit with ALTER DATABASE.")));
}

/* Report that only the reserve is free, of which this table gets no more. */
static void CONTIME_NORETURN
report_share(const ContimeTable *table, ContimeGeneration *g)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of memory for continuous table \"%s\"", table->name),
			 errdetail("Of the %d MB of contime.memory only the reserve is free, and this table has had its share. %s Rows that were accepted before are kept.",
					   contime_memory_mb, format_usage(g)),
			 errhint(
				 "Increase contime.memory and restart, or TRUNCATE or DROP continuous tables that are not needed.")));
}

/* Report that no page is free that this table could get. */
static void CONTIME_NORETURN
report_region(const ContimeTable *table, ContimeGeneration *g)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of memory for continuous table \"%s\"", table->name),
			 errdetail("The %d MB of contime.memory are in use. %s Rows that were accepted before are kept.",
					   contime_memory_mb, format_usage(g)),
			 errhint(
				 "Increase contime.memory and restart, or TRUNCATE or DROP continuous tables that are not needed.")));
}

void
contime_limits_report(const ContimeTable *table, ContimeGeneration *g, ContimeLevel level)
{
	Assert(contime_holds_no_lock());
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
			report_region(table, g);
	}
	pg_unreachable();
}
