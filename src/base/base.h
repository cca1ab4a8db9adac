/*
 * base.h
 *	  Settings, and pause points for tests; used by every room.
 *
 *	  settings.c  every setting (GUC) of contime
 *	  pause.c     places where a test can make a process wait
 *	  compat.h    what differs between versions of PostgreSQL; included by name
 *
 * Not here: anything about tables, events or shared memory.
 */
#ifndef CONTIME_BASE_H
#define CONTIME_BASE_H

#include "postgres.h"

#include "datatype/timestamp.h"

#define CONTIME_MAX_WORKERS 32

/* The attribute of a function that does not return. */
#define CONTIME_NORETURN __attribute__((noreturn))

/* ---- settings.c -------------------------------------------------------------- */

extern int contime_memory_mb; /* contime.memory, in MB */
extern int contime_workers;   /* contime.workers, the number of partitions */

extern char *contime_at_setting;       /* the text of contime.at */
extern bool contime_at_is_set;         /* false: contime.at is empty */
extern TimestampTz contime_at_instant; /* if contime.at is set */
extern bool contime_require_instant;   /* contime.require_instant */

/* contime.role_memory and contime.database_memory, in kB; -1: no limit. */
extern int contime_role_memory_kb;
extern int contime_database_memory_kb;

/*
 * The postmaster calls this, if it is set, when one of these two settings gets another
 * value.  Set when shared memory has been created (shared/accounts.c).
 */
extern void (*contime_publish_memory_limit)(bool of_database, int kb);

#ifdef USE_ASSERT_CHECKING
/* contime.debug_visibility makes snapshots see too much, which tests must notice. */
enum
{
	CONTIME_VISIBILITY_EXACT,
	CONTIME_VISIBILITY_NO_SNAPSHOT, /* readers see transactions that commit while they read */
	CONTIME_VISIBILITY_ENTER_EARLY, /* workers enter events that are not committed */
	CONTIME_VISIBILITY_FREEZE_EARLY /* workers freeze events that some snapshots do not see */
};
extern int contime_debug_visibility;

/* contime.debug_unprotected: the planner accepts queries that it must refuse. */
extern bool contime_debug_unprotected;

/* contime.debug_partial: no cache has all keys, and keys are evicted all the time. */
extern bool contime_debug_partial;

/*
 * contime.debug_validate: workers check the engine's invariants after each pass that
 * changed something.  Use it with small tables: a worker holds the partition lock
 * during the check.
 */
extern bool contime_debug_validate;

/*
 * contime.debug_skip_flush: captured rows are lost, which the notes of
 * durable/unflushed.c must reveal.
 */
extern bool contime_debug_skip_flush;
#else
#define contime_debug_skip_flush false
#endif

/* Define all settings.  Called by _PG_init, while libraries are preloaded. */
extern void contime_define_settings(void);

/* ---- pause.c ----------------------------------------------------------------- */

#ifdef USE_ASSERT_CHECKING
/*
 * Wait while a test holds the advisory lock of this name in this database (pause.c).
 * ERROR only if cancelled.
 */
extern void contime_pause(const char *name, Oid database);
#else
#define contime_pause(name, database) ((void) 0)
#endif

#endif /* CONTIME_BASE_H */
