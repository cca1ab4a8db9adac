/*
 * snapshot.c
 *	  Which transactions a PostgreSQL snapshot sees.
 *
 * Called by the engine, and through engine.h by src/mvcc and src/shared.
 *
 * These are pure functions of a snapshot.
 *
 * Not here: whether a transaction has committed, the ids of events.
 */
#include "engine/snapshot.h"

bool
ct_snapshot_sees(const CtSnapshot *snapshot, uint64_t top)
{
	uint32_t low = 0;
	uint32_t high = snapshot->nxip;

	if (top == 0 || top < snapshot->xmin)
		return true;
	if (top >= snapshot->xmax)
		return false;
	while (low < high)
	{
		uint32_t middle = low + (high - low) / 2;

		if (snapshot->xip[middle] < top)
			low = middle + 1;
		else
			high = middle;
	}
	return low == snapshot->nxip || snapshot->xip[low] != top;
}
