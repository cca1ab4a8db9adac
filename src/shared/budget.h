/*
 * budget.h
 *	  How much of contime.memory a table, a role and a database use, and may use.
 *
 *	  accounts.c  what each uses, counted as it changes; their quotas
 *	  budget.c    the formula: who may take how much of what is left
 */
#ifndef CONTIME_BUDGET_H
#define CONTIME_BUDGET_H

#include "contime.h"

/* ---- accounts.c ------------------------------------------------------------ */

/* Whose use is counted, and limited. */
typedef enum ContimeLevel
{
	CONTIME_OF_TABLE,
	CONTIME_OF_ROLE,			/* all tables that a role owns, in all databases */
	CONTIME_OF_DATABASE,		/* all tables of a database */
	CONTIME_UNLIMITED			/* none of these */
} ContimeLevel;

#define CONTIME_LEVELS CONTIME_UNLIMITED

/* Limits in bytes, by level; -1: there is none. */
typedef struct ContimeQuota
{
	int64		bytes[CONTIME_LEVELS];
} ContimeQuota;

extern Size contime_accounts_bytes(void);

/* Called with AddinShmemInitLock held; format: by the first process. */
extern void contime_accounts_startup(bool format);

/*
 * Charge a generation to its table, the table's owner and its database, and
 * note the table's quotas.  Cheap when nothing has changed.  False: there are
 * too many accounts; the generation may not take memory then.  ERROR 55P03 as
 * contime_registry_lock().  Not under a lock.
 */
extern bool contime_account_note(ContimeGeneration *g, Oid owner, const ContimeQuota *quota);

/* A generation without memory leaves its account.  Under the registry lock. */
extern void contime_account_release(ContimeGeneration *g);

/*
 * Under a partition's lock and in a critical section: what a change of a
 * generation's store there does to its accounts.
 *
 *	before = contime_charge_begin(g, partition);
 *	... change g->store[partition] ...
 *	contime_charge_end(g, partition, before);
 */
extern Size contime_charge_begin(const ContimeGeneration *g, int partition);
extern void contime_charge_end(ContimeGeneration *g, int partition, Size before);

/*
 * Set bytes aside before they are taken: they count as used until
 * contime_charge_end(), which then charges what was taken instead.
 * CONTIME_UNLIMITED, or the level whose quota would be exceeded: nothing is set
 * aside then.
 */
extern ContimeLevel contime_charge_ahead(ContimeGeneration *g, Size bytes, Size *before);

/* The bytes used by all tables that share the generation's account of a level, and the quota or -1. */
extern Size contime_account_used(const ContimeGeneration *g, ContimeLevel level);
extern int64 contime_account_quota(const ContimeGeneration *g, ContimeLevel level);

/* Are both charged to the same account at this level? */
extern bool contime_account_is_shared(const ContimeGeneration *a, const ContimeGeneration *b,
									  ContimeLevel level);

/* Owners whose tables have memory, and tables of this one's owner that have. */
extern uint32 contime_account_owners(void);
extern uint32 contime_account_tables(const ContimeGeneration *g);

/* The quotas that hold unless a role or database has another: the postmaster's settings, in kB. */
extern void contime_account_set_default(ContimeLevel level, int kb);
extern int	contime_account_default(ContimeLevel level);

/* ---- budget.c ----------------------------------------------------------------- */

/* Pages of the region that a table's inserts leave to others: for CtArena.keep. */
extern uint32 contime_budget_keep(const ContimeGeneration *g);
extern Size contime_budget_share(const ContimeGeneration *g, ContimeLevel level);

/*
 * May a cache (NULL: some cache) load so many bytes?  by_keys: key by key, so
 * that holes in pages that are taken serve, too.  May it take what is written?
 */
extern bool contime_budget_loads(const ContimeGeneration *g, Size more, bool by_keys);
extern bool contime_budget_grows(const ContimeGeneration *g);

/* contime_budget_loads() by the region alone. */
extern bool contime_budget_region_loads(Size more, bool by_keys);

/* The same once pages have been tidied. */
extern bool contime_budget_region_holds(Size more);

/* The level of a quota of which a cache that loads so much would have three quarters. */
extern ContimeLevel contime_budget_tight(const ContimeGeneration *g, Size more);

/* Bytes until the first of its quotas is reached, 0 beyond that; without quotas, PG_INT64_MAX. */
extern Size contime_budget_left(const ContimeGeneration *g);

/* The most that one key may take of a cache. */
extern Size contime_budget_key(const ContimeGeneration *g);

#endif							/* CONTIME_BUDGET_H */
