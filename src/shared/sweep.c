/*
 * sweep.c
 *	  The sweep over all generations: ends those that are over, and frees slots.
 *
 * Called by one worker on every pass, and by a backend that finds no free slot.
 *
 * Concurrency: transactions are looked up without the registry lock; the result is
 * applied under it if the generation is still the same one.
 */
#include "postgres.h"

#include "shared/shared.h"
#include "shared/registry.h"
#include "mvcc/mvcc.h"

#include <sys/mman.h>

/*
 * Handle one generation: kill it if it was rolled back or its table was dropped; if
 * its transaction has committed, kill all older ones; if it is DEAD and empty, free
 * its slot.  Return true if it has to be checked again later.
 */
static bool
settle_generation(int index)
{
	ContimeGeneration *g = &contime_shared->generation[index];
	Settled settled;
	bool reset = false;
	bool pending;

	Assert(contime_holds_no_lock());
	contime_settled_note(&settled, index);
	if (contime_generation_is_live(g))
	{
		/*
		 * If the opener's status is truncated, the generation stays until its table is
		 * truncated or dropped.
		 */
		contime_settled_find(&settled);
		if (settled.opener == CONTIME_XACT_IN_PROGRESS && !contime_settled_is_gone(&settled))
			return true;
		if (settled.opener == CONTIME_XACT_TRUNCATED && !contime_settled_is_gone(&settled))
			return true;
		if (contime_generation_state(g) == CONTIME_GENERATION_OPEN && g->older < 0 &&
			g->dropped == 0 && g->database_dropped == 0 && !g->reset_due)
			return false;
	}
	else if (!contime_generation_is_empty(g))
		return true;

	contime_registry_lock(LW_EXCLUSIVE);
	if (g->serial == settled.serial && contime_generation_state(g) == CONTIME_GENERATION_DEAD &&
		contime_generation_is_empty(g))
		contime_slot_return(index);
	contime_settled_enter(&settled);
	if (g->serial == settled.serial && contime_generation_state(g) == CONTIME_GENERATION_OPEN)
	{
		contime_chain_end(g->older);
		reset = g->reset_due;
		g->reset_due = false;
	}
	pending = contime_generation_state(g) != CONTIME_GENERATION_FREE &&
			  (contime_generation_state(g) != CONTIME_GENERATION_OPEN || g->dropped != 0 ||
			   g->database_dropped != 0);
	contime_registry_unlock();
	if (reset)
		contime_notice_reset(g, false);
	return pending;
}

bool
contime_generations_sweep(void)
{
	bool pending = false;

	for (int i = contime_next_slot(-1); i >= 0; i = contime_next_slot(i))
		pending |= settle_generation(i);
	if (pending)
		contime_wake_workers();
	return pending;
}
