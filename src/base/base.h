/*
 * base.h
 *	  What every room may use: settings, and pause points for tests.
 *
 *	  settings.c  every setting (GUC) of contime
 *	  pause.c     places where a test can have a process wait
 *
 * Not here: anything about tables, events or shared memory.
 */
#ifndef CONTIME_BASE_H
#define CONTIME_BASE_H

#include "postgres.h"

#include "datatype/timestamp.h"

#define CONTIME_MAX_WORKERS 32

/* Of a function that does not return. */
#define CONTIME_NORETURN pg_attribute_noreturn()

/* ---- settings.c -------------------------------------------------------------- */

extern int contime_memory_mb; /* contime.memory, in MB */
extern int contime_workers;   /* contime.workers: partitions */

extern char *contime_at_setting; /* contime.at as it is shown */
extern bool contime_at_is_set;   /* to an instant, which is: */
extern TimestampTz contime_at_instant;
extern bool contime_require_instant;

/* In kB, -1: no limit. */
extern int contime_role_memory_kb;
extern int contime_database_memory_kb;

/*
 * Set once shared memory is there (shared/accounts.c): the postmaster calls it
 * when one of these two settings is given another value.
 */
extern void (*contime_publish_memory_limit)(bool of_database, int kb);

#ifdef USE_ASSERT_CHECKING
/* contime.debug_visibility breaks what a snapshot sees, which tests must notice. */
enum
{
	CONTIME_VISIBILITY_EXACT,
	CONTIME_VISIBILITY_NO_SNAPSHOT, /* readers see what commits while they read */
	CONTIME_VISIBILITY_ENTER_EARLY, /* workers enter what has not committed */
	CONTIME_VISIBILITY_FREEZE_EARLY /* and freeze what not everyone sees */
};
extern int contime_debug_visibility;

/* The planner answers, wrongly, what it ought to refuse. */
extern bool contime_debug_unprotected;

/* No table fits into memory, and there is never room for a key but what others make. */
extern bool contime_debug_partial;

/* For tests of small tables: a worker holds the lock for as long as the check takes. */
extern bool contime_debug_validate;

/* Captured rows are lost, which the notes must make known (durable/unflushed.c). */
extern bool contime_debug_skip_flush;
#else
#define contime_debug_skip_flush false
#endif

/* Called by _PG_init, while libraries are preloaded. */
extern void contime_define_settings(void);

/* ---- pause.c ----------------------------------------------------------------- */

#ifdef USE_ASSERT_CHECKING
/*
 * Wait while a test holds the advisory lock of that name (pause.c). ERROR only
 * if cancelled.
 */
extern void contime_pause(const char *name, Oid database);
#else
#define contime_pause(name, database) ((void) 0)
#endif

#endif /* CONTIME_BASE_H */
