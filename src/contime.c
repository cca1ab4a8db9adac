/*
 * contime.c
 *	  Module load: settings, shared memory, background workers, hooks.
 *
 * Everything needs shared_preload_libraries.  A session that loads the
 * library by calling one of its functions without that gets the settings'
 * names and otherwise an ERROR 55000 from contime_require_running().
 */
#include "contime.h"
#include "table/limits.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

int			contime_memory_mb = 256;
int			contime_workers = 2;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static void
contime_shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	contime_shared_request();
}

static void
contime_shmem_startup(void)
{
	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	contime_shared_startup();
	if (!IsUnderPostmaster)
		contime_limits_publish();
}

void
_PG_init(void)
{
	/* Both are sizes of shared memory, so they are fixed at server start. */
	if (!process_shared_preload_libraries_in_progress)
		return;

	DefineCustomIntVariable("contime.memory",
							"Memory for the events and states of all continuous tables.",
							"It is taken at server start and never grows.",
							&contime_memory_mb,
							256, 8, 65000,
							PGC_POSTMASTER, GUC_UNIT_MB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("contime.workers",
							"Background workers, each of which owns a partition of the keys.",
							NULL,
							&contime_workers,
							2, 1, CONTIME_MAX_WORKERS,
							PGC_POSTMASTER, 0,
							NULL, NULL, NULL);
	contime_instant_settings();
	contime_limits_settings();
#ifdef USE_ASSERT_CHECKING
	contime_plan_settings();
	contime_visible_settings();
	contime_worker_settings();
	contime_room_settings();
	contime_capture_settings();
#endif
	MarkGUCPrefixReserved("contime");

	/* pg_upgrade starts servers that must not do anything of their own. */
	if (IsBinaryUpgrade)
		return;

	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = contime_shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = contime_shmem_startup;

	contime_install_ddl_hooks();
	contime_capture_install_hooks();
	contime_install_present_hooks();
	contime_register_workers();
}
