/*
 * registry.h
 *	  The registry of generations, and slots.
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

/* Workers no longer change a table if so many of them crashed while they changed it. */
#define DEATHS_TO_QUARANTINE 2

/* Return the index of a table's newest generation, or -1.  Under the registry lock. */
extern int contime_chain_newest(Oid database, Oid relation);

/* True if the generation has no store in any partition. */
extern bool contime_generation_is_empty(const ContimeGeneration *g);

/*
 * Take a generation that will not be in force again out of its chain, and make it
 * DEAD.  Free its slot at once if it has no stores; otherwise the workers free them
 * first.  Do not use this for the generation in force: the next older one would then
 * be in force, so end it by contime_chain_end().  Under the registry lock in exclusive
 * mode.
 */
extern void contime_chain_kill(int index);

/*
 * Kill a generation and all older ones of its chain.  Under the registry lock in
 * exclusive mode.
 */
extern void contime_chain_end(int index);

/*
 * True if the generation is known to be opened: its transaction has committed, or is
 * this backend's own.
 */
extern bool contime_generation_is_opened(const ContimeGeneration *g);

/* The transactions of a generation as read at one time, and their statuses. */
typedef struct Settled
{
	int index;
	uint64 serial;
	uint64 xid;              /* the transaction that opened it; 0: it is known to be opened */
	uint64 dropped;          /* the transaction that drops its table, or 0 */
	uint64 database_dropped; /* the transaction that drops its database, or 0 */
	ContimeXactStatus opener;
	ContimeXactStatus dropper;
	ContimeXactStatus database_dropper;
} Settled;

/* Copy the transactions of a generation to *settled. */
extern void contime_settled_note(Settled *settled, int index);

/* Look up the statuses of the transactions.  Not under a lock. */
extern void contime_settled_find(Settled *settled);

/* True if the table or its database was dropped. */
extern bool contime_settled_is_gone(const Settled *settled);

/*
 * Apply the statuses to the generation, if it is still the same one: open or kill it,
 * or clear a drop that was rolled back.  Under the registry lock in exclusive mode.
 */
extern void contime_settled_enter(const Settled *settled);

/* Like contime_early(), for a relation of any database. */
extern pg_atomic_uint64 *contime_early_of(Oid database, Oid relation);

/* Raise a read watermark to an instant, unless it is later already. */
extern void contime_early_raise(pg_atomic_uint64 *early, int64 instant);

/* ---- stamps.c ---------------------------------------------------------------- */

/* Return the shared memory that stamps need, in bytes. */
extern Size contime_stamps_bytes(void);

/* ---- partition.c ------------------------------------------------------------- */

extern LWLockPadded *contime_partition_locks;

extern LWLock *contime_registry_lwlock;

/* ---- slots.c ----------------------------------------------------------------- */

/* Return the number of slots, which grows with contime.memory.  A slot takes 1 kB. */
extern int contime_slots(void);

/*
 * Return the lowest free slot, or -1.  This and the next functions run under the
 * registry lock; those that change something need exclusive mode.
 */
extern int contime_slot_find(void);

/* Mark a slot as used. */
extern void contime_slot_take(int index);

/*
 * Change the state of the generation in a slot, as the diagram in registry.c
 * allows.  Under the registry lock in exclusive mode.
 */
extern void contime_generation_change_state(int index, ContimeGenerationState to);

/* Free the slot of a DEAD generation without stores, and detach it from its account. */
extern void contime_slot_return(int index);

/* Return the number of slots that the tables of an owner take. */
extern int contime_slots_of(Oid owner);

/*
 * True if an owner may take one more slot.  A role may own at most as many slots as
 * are free.
 */
extern bool contime_slots_allow(Oid owner);

#endif /* CONTIME_SHARED_REGISTRY_H */
