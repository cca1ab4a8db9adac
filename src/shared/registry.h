/*
 * registry.h
 *	  The registry of generations, and slots, within the room.
 *
 * Private to the room shared.
 */
#ifndef CONTIME_SHARED_REGISTRY_H
#define CONTIME_SHARED_REGISTRY_H

#include "postgres.h"

#include "mvcc/mvcc.h"
#include "shared/shared.h"

#include "utils/hsearch.h"

/* ---- registry.c -------------------------------------------------------------- */

typedef struct RegistryKey
{
	Oid database;
	Oid relation;
} RegistryKey;

typedef struct RegistryEntry
{
	RegistryKey key;
	int newest; /* index of the newest generation */
} RegistryEntry;

extern HTAB *contime_registry;

/* A table that was being changed at the death of so many workers is left alone. */
#define DEATHS_TO_QUARANTINE 2

/* The index of a table's newest generation, or -1. */
extern int contime_chain_newest(Oid database, Oid relation);

/* Is nothing of the generation left in any partition? */
extern bool contime_generation_is_empty(const ContimeGeneration *g);

/*
 * A generation will not be in force again.  Its slot returns at once, or when
 * the workers have freed its stores.  (One that is in force ends with all that
 * are older, by chain_end(): otherwise the one below it would be in force.)
 */
extern void contime_chain_kill(int index);

/* End a generation and all that are older, down a chain. */
extern void contime_chain_end(int index);

/* Has the generation been opened, as this backend sees it?  False: it is not known, or not yet. */
extern bool contime_generation_is_opened(const ContimeGeneration *g);

/* What became of transactions, for a generation as it was when it was looked at. */
typedef struct Settled
{
	int index;
	uint64 serial;
	uint64 xid;              /* that opened it; 0: it has been opened */
	uint64 dropped;          /* that drops its table, or 0 */
	uint64 database_dropped; /* likewise, its database */
	ContimeXactStatus opener;
	ContimeXactStatus dropper;
	ContimeXactStatus database_dropper;
} Settled;

extern void contime_settled_note(Settled *settled, int index);

/* Read the commit log, without the lock. */
extern void contime_settled_find(Settled *settled);

extern bool contime_settled_is_gone(const Settled *settled);

/* Enter what was found in the generation, if it is still the same.  Under the lock. */
extern void contime_settled_enter(const Settled *settled);

extern pg_atomic_uint64 *contime_early_of(Oid database, Oid relation);

extern void contime_early_raise(pg_atomic_uint64 *early, int64 instant);

/* ---- stamps.c ---------------------------------------------------------------- */

extern Size contime_stamps_bytes(void);

/* ---- partition.c ------------------------------------------------------------- */

extern LWLockPadded *contime_partition_locks;

extern LWLock *contime_registry_lwlock;

/* ---- slots.c ----------------------------------------------------------------- */

/* More tables hold data where there is more memory for it; a slot takes 1 kB. */
extern int contime_slots(void);

/* The lowest free slot, or -1.  Under the lock, as is what follows. */
extern int contime_slot_find(void);

extern void contime_slot_take(int index);

/*
 * Change the state of the generation in a slot, as the diagram in registry.c
 * allows.  Under the registry lock in exclusive mode.
 */
extern void contime_generation_change_state(int index, ContimeGenerationState to);

extern void contime_slot_return(int index);

/* How many slots the tables of an owner take. */
extern int contime_slots_of(Oid owner);

/* May an owner take one more?  It has as many as are free at most. */
extern bool contime_slots_allow(Oid owner);

#endif /* CONTIME_SHARED_REGISTRY_H */
