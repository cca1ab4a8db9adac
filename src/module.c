/*
 * module.c
 *	  Module load: settings, shared memory, background workers, hooks.
 *
 * contime must be in shared_preload_libraries.  If a session loads the library
 * otherwise, by a call of one of its functions, nothing is set up, and functions raise
 * ERROR 55000 (contime_require_loaded()).
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
request_shared_memory(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	contime_shared_request();
	contime_rings_request();
}

static void
start_shared_memory(void)
{
	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	contime_rings_startup();
	contime_shared_startup();
}

void
_PG_init(void)
{
	/* Without preloading there is no shared memory for contime, so set up nothing. */
	if (!process_shared_preload_libraries_in_progress)
		return;

	contime_define_settings();

	/* A server that pg_upgrade starts must run no processes and hooks of contime. */
	if (IsBinaryUpgrade)
		return;

	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;

	contime_install_ddl_hooks();
	contime_capture_install_hooks();
	contime_install_present_hooks();
	contime_register_workers();
}
