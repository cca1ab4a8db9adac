/*
 * budget.c
 *	  The formula: how much of the free part of contime.memory a table may take.
 *
 *	  0 ............. 3/4 ........ 7/8 ...... 9/10 ...... 39/40 ...... all
 *	   caches load     | caches grow | any table | tables     | tables of
 *	   (of a quota:    | (of a quota:|           | below      | owners below
 *	   3/4 of it)      | all of it)  |           | their share| their share
 *
 * The last tenth of the pages is the reserve.  It is kept for tables and owners that
 * use less than their share:
 *
 *   share(owner) = 9/10 of all pages / owners whose tables use memory
 *   share(table) = share(owner) / tables of the owner that use memory
 *
 * A table may take pages of the reserve as long as its owner uses less than the
 * owner's share.  A table that uses less than its own share may take them in any case,
 * except for the last quarter of the reserve.  So an owner with one large table has
 * memory left for other tables, and an owner with large tables, however many, leaves
 * memory to other owners.  Free space in pages that are in use serves any table.
 *
 * Shares are counted in pages, because pages are what runs out.  The bytes of an
 * account are converted to pages by the present average of bytes per page.
 *
 * Caches can be evicted, so they get less.  A cache loads while less than three
 * quarters of the region, and of each quota that it is charged to, are allocated;
 * above that a loader evicts first (durable/eviction.c).  A cache takes rows that are
 * being written while less than seven eighths of the region are allocated, and up to
 * its quotas.  Caches also leave the reserve free, except for a few pages: in a small
 * region caches mostly take half-empty pages, since each page has pieces of one size
 * only.
 *
 * The engine leaves 1/64 of the pages to workers; "all" does not include these.
 *
 * Concurrency: no locks; a result is true only for the moment.
 */
#include "postgres.h"

#include "shared/shared.h"

/* Bytes, as a part of the region or of a quota. */
#define LOAD_MOST(whole) ((whole) / 4 * 3)
#define GROW_MOST(whole) ((whole) / 8 * 7)
#define RESERVE(whole) ((whole) / 10)

/* A key takes at most this part; otherwise all other keys would have to be evicted. */
#define KEY_MOST(whole) ((whole) / 4)

/* Pages that caches may take in addition, for pieces of sizes that no other table uses. */
#define HALF_EMPTY ((Size) 16 * CT_PAGE_BYTES)

static Size
get_plain_bytes(void)
{
	Assert(ct_region_plain(contime_region) <= ct_region_total(contime_region));
	return ct_region_plain(contime_region);
}

Size
contime_budget_share(const ContimeGeneration *g, ContimeLevel level)
{
	Size share = (get_plain_bytes() - RESERVE(get_plain_bytes())) / contime_account_owners();

	Assert(level == CONTIME_OF_ROLE || level == CONTIME_OF_TABLE);
	return level == CONTIME_OF_ROLE ? share : share / contime_account_tables(g);
}

/* Return the unused part of the share at a level, in bytes of pages. */
static Size
get_share_left(const ContimeGeneration *g, ContimeLevel level)
{
	double allocated = ct_region_allocated(contime_region);
	double pages_per_byte = ct_region_used(contime_region) / Max(allocated, 1);
	Size has = (Size) (contime_account_used(g, level) * pages_per_byte);
	Size share = contime_budget_share(g, level);

	return share > has ? share - has : 0;
}

uint32
contime_budget_keep(const ContimeGeneration *g)
{
	Size used = ct_region_used(contime_region);
	Size left = get_plain_bytes() > used ? get_plain_bytes() - used : 0;
	Size reserve = RESERVE(get_plain_bytes());
	Size of_role;
	Size of_table;
	Size keep;

	/* The common case: memory is not short. */
	if (left > 2 * reserve)
		return reserve / CT_PAGE_BYTES;
	of_role = get_share_left(g, CONTIME_OF_ROLE);
	of_table = get_share_left(g, CONTIME_OF_TABLE);
	keep = Max(left > of_table ? left - of_table : 0, reserve / 4);
	keep = Min(keep, left > of_role ? left - of_role : 0);
	return Min(keep, reserve) / CT_PAGE_BYTES;
}

/* Return the bytes of pages that caches leave free. */
static Size
get_left_by_caches(void)
{
	Size reserve = RESERVE(get_plain_bytes());

	return Max(ct_region_total(contime_region) / 32,
			   reserve > HALF_EMPTY ? reserve - HALF_EMPTY : 0);
}

bool
contime_budget_region_holds(Size more)
{
	return ct_region_allocated(contime_region) + more < LOAD_MOST(ct_region_total(contime_region));
}

bool
contime_budget_region_loads(Size more, bool by_keys)
{
	Size total = ct_region_total(contime_region);

	/*
	 * If nearly all pages are in use, a load may fail, since each page has pieces of
	 * one size.  Single keys are tried nevertheless while less than half of the region
	 * is allocated.
	 */
	return contime_budget_region_holds(more) &&
		   (ct_region_used(contime_region) + get_left_by_caches() < get_plain_bytes() ||
			(by_keys && ct_region_allocated(contime_region) < total / 2));
}

ContimeLevel
contime_budget_tight(const ContimeGeneration *g, Size more)
{
	for (ContimeLevel level = 0; level < CONTIME_LEVELS; level++)
	{
		int64 quota = contime_account_quota(g, level);

		if (quota >= 0 && contime_account_used(g, level) + more >= LOAD_MOST((Size) quota))
			return level;
	}
	return CONTIME_UNLIMITED;
}

bool
contime_budget_loads(const ContimeGeneration *g, Size more, bool by_keys)
{
	return contime_budget_region_loads(more, by_keys) &&
		   (g == NULL || contime_budget_tight(g, more) == CONTIME_UNLIMITED);
}

Size
contime_budget_left(const ContimeGeneration *g)
{
	Size left = PG_INT64_MAX;

	for (ContimeLevel level = 0; level < CONTIME_LEVELS; level++)
	{
		int64 quota = contime_account_quota(g, level);
		Size used = contime_account_used(g, level);

		if (quota >= 0)
			left = Min(left, (Size) quota > used ? quota - used : 0);
	}
	return left;
}

bool
contime_budget_grows(const ContimeGeneration *g)
{
	Size total = ct_region_total(contime_region);
	Size keep = Min((Size) contime_budget_keep(g) * CT_PAGE_BYTES, get_left_by_caches());

	return contime_budget_left(g) > 0 && ct_region_allocated(contime_region) < GROW_MOST(total) &&
		   ct_region_used(contime_region) + Max(keep, total / 64) < get_plain_bytes();
}

Size
contime_budget_key(const ContimeGeneration *g)
{
	Size most = KEY_MOST(ct_region_total(contime_region));

	for (ContimeLevel level = 0; level < CONTIME_LEVELS; level++)
		if (contime_account_quota(g, level) >= 0)
			most = Min(most, KEY_MOST((Size) contime_account_quota(g, level)));
	return most;
}
