/*
 * module.c
 *	  Module load: settings, shared memory, background workers, hooks.
 *
 * Everything needs shared_preload_libraries.  A session that loads the
 * library by calling one of its functions without that gets the settings'
 * names and otherwise an ERROR 55000 from contime_require_running().
 */
#include "postgres.h"

#include "base/base.h"
#include "ddl/ddl.h"
#include "durable/durable.h"
#include "notify/notify.h"
#include "plan/plan.h"
#include "shared/shared.h"
#include "store/store.h"
#include "worker/worker.h"

#include "miscadmin.h"
#include "storage/ipc.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static void
contime_shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	contime_shared_request();
	contime_rings_request();
}

static void
contime_shmem_startup(void)
{
	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	contime_rings_startup();
	contime_shared_startup();
}

void
_PG_init(void)
{
	/* Both are sizes of shared memory, so they are fixed at server start. */
	if (!process_shared_preload_libraries_in_progress)
		return;

	contime_define_settings();

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
