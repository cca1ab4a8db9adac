/*
 * snapshot.h
 *	  What a PostgreSQL snapshot sees of a range of transactions.
 *
 *	 sees all    hi < xmin, or hi < xmax and no transaction in progress in [lo, hi]
 *	 sees none   no event is frozen, and lo >= xmax
 *
 * Inline, since a read calls it for each child of the nodes on its path.  For
 * the files that read timelines (walk.h, fold.c, merge.c, unseen.c).
 */
#ifndef CT_SNAPSHOT_H
#define CT_SNAPSHOT_H

#include "engine/check.h"
#include "engine/engine.h"

/* True if a transaction within [lo, hi] is in progress. */
static inline bool
ct_any_in_progress(const CtSnapshot *snapshot, uint64_t lo, uint64_t hi)
{
	uint32_t low = 0;
	uint32_t high = snapshot->nxip;

	while (low < high)
	{
		uint32_t middle = low + (high - low) / 2;

		if (snapshot->xip[middle] < lo)
			low = middle + 1;
		else
			high = middle;
	}
	return low < snapshot->nxip && snapshot->xip[low] <= hi;
}

/* True if the snapshot sees every transaction in [lo, hi].  `hi` 0: there is none. */
static inline bool
ct_snapshot_sees_all(const CtSnapshot *snapshot, uint64_t lo, uint64_t hi)
{
	if (snapshot == NULL || hi == 0 || hi < snapshot->xmin)
		return true;
	return hi < snapshot->xmax && !ct_any_in_progress(snapshot, lo, hi);
}

/* True if the snapshot is valid.  For assertions. */
static inline bool
ct_snapshot_is_sound(const CtSnapshot *snapshot)
{
	for (uint32_t i = 1; i < snapshot->nxip; i++)
	{
		if (snapshot->xip[i - 1] > snapshot->xip[i])
			return false;
	}
	return snapshot->xmin <= snapshot->xmax;
}

#endif /* CT_SNAPSHOT_H */
