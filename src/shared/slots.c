/*
 * slots.c
 *	  Slots of shared memory for generations: found, taken, freed, counted.
 *
 * Concurrency: the map of slots is protected by the registry lock.  A walk over the
 * slots in use by contime_next_slot() may go without it if an estimate suffices.
 */
#include "postgres.h"

#include "shared/shared.h"
#include "shared/registry.h"
#include "base/base.h"

#include <sys/mman.h>

#include "port/pg_bitutils.h"

int
contime_slots(void)
{
	return Min(8192 + 32 * contime_memory_mb, CONTIME_MAX_GENERATIONS);
}

int
contime_next_slot(int after)
{
	Assert(after >= -1);
	for (int i = after + 1; i < contime_shared->highest; i = (i / 64 + 1) * 64)
	{
		uint64 used = contime_shared->slot_map[i / 64] & (PG_UINT64_MAX << (i % 64));

		if (used != 0)
			return i / 64 * 64 + pg_rightmost_one_pos64(used);
	}
	return -1;
}

int
contime_slot_find(void)
{
	Assert(contime_holds_registry(LW_EXCLUSIVE));
	for (int i = 0; i < contime_shared->slots; i += 64)
	{
		uint64 unused = ~contime_shared->slot_map[i / 64];
		int found = unused == 0 ? -1 : i + pg_rightmost_one_pos64(unused);

		if (unused != 0)
			return found < contime_shared->slots ? found : -1;
	}
	return -1;
}

void
contime_slot_take(int index)
{
	Assert(contime_holds_registry(LW_EXCLUSIVE));
	Assert(index >= 0 && index < contime_shared->slots);
	Assert((contime_shared->slot_map[index / 64] & UINT64CONST(1) << (index % 64)) == 0);
	contime_shared->slot_map[index / 64] |= UINT64CONST(1) << (index % 64);
	contime_shared->slots_used++;
	contime_shared->highest = Max(contime_shared->highest, index + 1);
}

void
contime_generation_change_state(int index, ContimeGenerationState to)
{
	static const char *const name[] = {"free", "opening", "open", "dead"};
	static const uint8 allowed[] PG_USED_FOR_ASSERTS_ONLY = {
		[CONTIME_GENERATION_FREE] = 1 << CONTIME_GENERATION_OPENING | 1 << CONTIME_GENERATION_OPEN,
		[CONTIME_GENERATION_OPENING] = 1 << CONTIME_GENERATION_OPEN | 1 << CONTIME_GENERATION_DEAD,
		[CONTIME_GENERATION_OPEN] = 1 << CONTIME_GENERATION_DEAD,
		[CONTIME_GENERATION_DEAD] = 1 << CONTIME_GENERATION_FREE,
	};
	ContimeGeneration *g = &contime_shared->generation[index];
	ContimeGenerationState from = contime_generation_state(g);

	StaticAssertStmt(lengthof(name) == CONTIME_GENERATION_DEAD + 1 &&
						 lengthof(allowed) == lengthof(name),
					 "each state has a name and successors");
	Assert(contime_holds_registry(LW_EXCLUSIVE));
	Assert(allowed[from] & 1 << to);
	pg_atomic_write_u32(&g->state, to);
	elog(DEBUG2, "generation " UINT64_FORMAT " of relation %u: %s -> %s", g->serial, g->relation,
		 name[from], name[to]);
}

void
contime_slot_return(int index)
{
	Assert(contime_shared->slots_used > 0);
	contime_account_release(&contime_shared->generation[index]);
	contime_generation_change_state(index, CONTIME_GENERATION_FREE);
	contime_shared->slot_map[index / 64] &= ~(UINT64CONST(1) << (index % 64));
	contime_shared->slots_used--;
	while (contime_shared->highest > 0 &&
		   contime_generation_state(&contime_shared->generation[contime_shared->highest - 1]) ==
			   CONTIME_GENERATION_FREE)
		contime_shared->highest--;
}

int
contime_slots_of(Oid owner)
{
	int count = 0;

	for (int i = contime_next_slot(-1); i >= 0; i = contime_next_slot(i))
		count += contime_shared->generation[i].owner == owner;
	return count;
}

bool
contime_slots_allow(Oid owner)
{
	int unused = contime_shared->slots - contime_shared->slots_used;

	Assert(contime_holds_registry(LW_SHARED));
	return contime_shared->slots_used < unused || contime_slots_of(owner) < unused;
}
