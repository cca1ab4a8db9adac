/*
 * budget.c
 *	  The formula: who may take how much of what is left of contime.memory.
 *
 *	  0 ............. 3/4 ........ 7/8 ...... 9/10 ...... 39/40 ...... all
 *	   caches load     | caches grow | tables    | tables     | tables of
 *	   (of a quota:    | (of a quota:| whatever  | below      | owners below
 *	   3/4 of it)      | all of it)  | they have | their share| their share
 *
 * The last tenth of the pages is the reserve.  It is kept for those that have
 * not had their share:
 *
 *	  share(owner) = 9/10 of all pages / owners whose tables have memory
 *	  share(table) = share(owner) / tables of the owner that have memory
 *
 * A table takes pages of the reserve as far as its owner is below his share,
 * and pages of all but its last quarter as far as the table is below its own.
 * So an owner with one greedy table has room for the others, and a greedy owner,
 * however many tables that one makes, leaves room for other owners.  Holes in
 * pages that are taken serve whoever comes.
 *
 * Shares are of pages, as pages are what runs out.  What an account has in bytes
 * is converted by what pages hold on average now.
 *
 * A cache can be given up, so it gets less: it loads while what is allocated is
 * below three quarters, of the region and of each quota that it is charged to;
 * from there on a loader makes room (durable/eviction.c).  It takes what is written while
 * the region is below seven eighths, and up to its quotas.  Of the pages caches
 * leave the reserve, too, but for a few: pages that are half empty, as each has
 * pieces of one size, are most of what caches take in a small region.
 *
 * The engine leaves a 64th of the pages to workers; "all" is without it.
 *
 * Nothing is locked here: answers are true of a moment.
 */
#include "postgres.h"

#include "shared/shared.h"

/* In bytes, of whatever the whole is. */
#define LOAD_MOST(whole) ((whole) / 4 * 3)
#define GROW_MOST(whole) ((whole) / 8 * 7)
#define RESERVE(whole) ((whole) / 10)

/* A key takes at most this part of a whole: all others would have to go. */
#define KEY_MOST(whole) ((whole) / 4)

/*
 * Pages of which caches may be the only user, for pieces of sizes that no
 * other table has.
 */
#define HALF_EMPTY ((Size) 16 * CT_PAGE_BYTES)

static Size
plain_bytes(void)
{
	Assert(ct_region_plain(contime_region) <= ct_region_total(contime_region));
	return ct_region_plain(contime_region);
}

Size
contime_budget_share(const ContimeGeneration *g, ContimeLevel level)
{
	Size share = (plain_bytes() - RESERVE(plain_bytes())) / contime_account_owners();

	Assert(level == CONTIME_OF_ROLE || level == CONTIME_OF_TABLE);
	return level == CONTIME_OF_ROLE ? share : share / contime_account_tables(g);
}

/* In pages, what the account of a level has yet to have of its share, in bytes. */
static Size
share_left(const ContimeGeneration *g, ContimeLevel level)
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
	Size left = plain_bytes() > used ? plain_bytes() - used : 0;
	Size reserve = RESERVE(plain_bytes());
	Size of_role;
	Size of_table;
	Size keep;

	/* The common case: no owner is near its share. */
	if (left > 2 * reserve)
		return reserve / CT_PAGE_BYTES;
	of_role = share_left(g, CONTIME_OF_ROLE);
	of_table = share_left(g, CONTIME_OF_TABLE);
	keep = Max(left > of_table ? left - of_table : 0, reserve / 4);
	keep = Min(keep, left > of_role ? left - of_role : 0);
	return Min(keep, reserve) / CT_PAGE_BYTES;
}

/* What caches leave of the pages. */
static Size
left_by_caches(void)
{
	Size reserve = RESERVE(plain_bytes());

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
	 * With the pages nearly all in use it is uncertain, as each has pieces of
	 * one size: keys are tried nevertheless as long as much in them is free.
	 */
	return contime_budget_region_holds(more) &&
		   (ct_region_used(contime_region) + left_by_caches() < plain_bytes() ||
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
	Size keep = Min((Size) contime_budget_keep(g) * CT_PAGE_BYTES, left_by_caches());

	return contime_budget_left(g) > 0 && ct_region_allocated(contime_region) < GROW_MOST(total) &&
		   ct_region_used(contime_region) + Max(keep, total / 64) < plain_bytes();
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
