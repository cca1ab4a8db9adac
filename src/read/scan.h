/*
 * scan.h
 *	  The struct of a scan, and functions that the files of this room share.
 *
 * Private to the room read.
 */
#ifndef CONTIME_READ_SCAN_H
#define CONTIME_READ_SCAN_H

#include "postgres.h"

#include "durable/durable.h"
#include "fold/fold.h"

/* A state or a raw event, copied out of shared memory. */
typedef struct HeldRow
{
	struct HeldRow *next;
	int64 instant;
	bool present;
	uint32 key_bytes;
	char *key;
	int nstate;
	CtValue *state;
	ContimeRawEvent raw; /* if it is a raw event */
} HeldRow;

/*
 * A bump allocator over memory that is allocated beforehand, because an
 * allocation under a lock must not fail.
 */
typedef struct Chunk
{
	char *data;
	Size size;
	Size used;
	bool full;    /* a row did not fit */
	int usable;   /* attributes from this one on have their initial value (store/stored.c) */
	uint64 shown; /* a bit for each attribute to copy; the others become NULL */
	HeldRow *first;
	HeldRow *last;
} Chunk;

/*
 * The position of a walk along the history of one key: every change up to `at` is held;
 * if the scan is backward, every change after it.
 */
typedef struct Walk
{
	int64 at;
	bool started;      /* the first state is held, or, if backward, `at` is a change */
	CtState *previous; /* scratch: the state that was folded before the current one */
} Walk;

/* The position of a walk over the raw events of one key. */
typedef struct EventWalk
{
	CtPosition position; /* every event before it is held */
	ContimeScan *scan;
	uint32 left; /* events that this visit may still take */
} EventWalk;

/*
 * A range of instants of a key that this scan has read, in which newer snapshots
 * see another state: an event has entered that this scan's snapshot does not see.
 * No reader had read there when the event entered, so the worker made no notice;
 * the scan must make it.
 */
typedef struct Stale
{
	bool any;   /* the other fields are set, and the notice is not made yet */
	int64 from; /* first and last instant read, both inclusive */
	int64 last;
	uint32 key_bytes;
	char key[CT_MAX_KEY_BYTES];
	CtState fresh; /* scratch: the state that a new snapshot sees */
} Stale;

struct ContimeScan
{
	Relation rel;
	const ContimeTable *table;
	ContimeGeneration *generation; /* the events in memory; NULL: do not read memory */
	bool partial;                  /* the cache `watched` lacks keys */
	ContimeGeneration *watched;    /* its read watermark is raised; or NULL */
	ContimeReferences *held;       /* to the event tables; NULL for a table in memory */
	ContimeHeapRead *heap;         /* reader of the event tables; NULL until needed */
	bool leaves_out;               /* bad rows of event tables are no error */
	bool memory;                   /* the bound keys are read from memory */
	bool from_heap;                /* event tables are being read: for all bound keys, or, if
									* `memory`, for one key whose events memory lacks */
	int64 until;                   /* events after this instant are not read from event tables */
	ContimeKey *aside;             /* that one key, in a scan of all keys; NULL until needed */
	bool remembered;               /* memory has answered for some keys */
	ContimeView *view;
	Chunk chunk;
	HeldRow *row;          /* next to be returned */
	CtState *state;        /* result of a fold */
	MemoryContext context; /* of the scan */
	MemoryContext values;  /* of the tuple returned last */

	/* What is bound. */
	bool backward;
	int64 *instants; /* sorted, the latest first if backward; no duplicates */
	int ninstants;
	int instant_capacity;
	bool by_key;    /* one key is bound, not all keys */
	ContimeKey key; /* the bound key, or the current one of next_key() */
	bool done;

	pg_atomic_uint32 *next;            /* shared counter of partitions taken; NULL: not shared */
	uint32 checked;                    /* a bit for each partition whose schema was checked */
	uint8 usable[CONTIME_MAX_WORKERS]; /* Chunk.usable, by partition */

	/* The position: before instants[instant] of the timeline at `position`. */
	int partition;
	uint32 position;
	CtRef begun; /* the timeline to which `instant` belongs */
	int instant;
	CtArena arena; /* the private store for a key from the event tables, */
	CtRef store;
	CtRef timeline; /* and its timeline; 0: no key is loaded */
	int folds;      /* done under this hold of the lock, or in this try without it */
	int most_folds; /* allowed under it */

	Stale *stale; /* of stale.c; NULL until needed */

	/* Histories and raw events. */
	ContimeRange range; /* all of it */
	int64 start;        /* of the current key: where its range begins */
	bool may_clamp;     /* the next visit may begin later, at what is retained by then */
	Walk walk;
	EventWalk event_walk;
	bool ended;          /* all of the key is held */
	ContimeRange during; /* if backward: its end is that of the next state */
	HeldRow *pending;    /* a state whose end is not known yet, */
	Chunk other;         /* and the chunk that holds it while `chunk` is filled again */
};

StaticAssertDecl(CONTIME_MAX_WORKERS <= 32, "ContimeScan.checked has a bit for each partition");
StaticAssertDecl(CT_MAX_ATTRS <= UINT8_MAX, "ContimeScan.usable holds a number of attributes");

/*
 * Visit the timeline of a key: at most `steps` folds or steps along it.  Rows are
 * held in scan->chunk.  The position is kept in *arg, which begins with an int64,
 * the instant reached.
 */
typedef ContimeFoldResult (*Visit)(ContimeScan *scan, void *arg, const CtArena *arena, CtRef store,
								   CtRef timeline, int steps);

/* A position of a scan, to which contime_scan_go_back() returns. */
typedef struct Mark
{
	Chunk chunk;
	CtRef begun;
	int instant;
	uint32 nunseen;
} Mark;

/* Limit for the size of a visit's argument, in bytes. */
#define MAX_VISIT_BYTES 64

/* ---- row_buffer.c ------------------------------------------------------------ */

extern void contime_chunk_init(Chunk *chunk, MemoryContext context);
extern void contime_chunk_reset(Chunk *chunk);

/* Double the size of a chunk and empty it.  Called if not even one row fits. */
extern void contime_chunk_grow(Chunk *chunk);

/* Copy a state, or a raw event, into the chunk.  Return false if it does not fit. */
extern bool contime_hold_state(Chunk *chunk, const ContimeTable *table, const CtState *state,
							   int64 instant, const void *key, uint32 key_bytes);
extern bool contime_hold_raw_event(Chunk *chunk, const ContimeTable *table, const StringInfo key,
								   const CtRawEvent *raw);

/* Store a held row in a slot as a virtual tuple.  Its values live in `context`, which is reset. */
extern void contime_held_store(const ContimeTable *table, const HeldRow *row, MemoryContext context,
							   TupleTableSlot *slot);

/* ---- stale.c ----------------------------------------------------------------- */

/*
 * True if an event of the timeline has entered that the snapshot does not see.
 * After contime_scan_gather().
 */
extern bool contime_scan_is_overtaken(const ContimeScan *scan, const CtArena *arena,
									  CtRef timeline);

/*
 * Note the instant in scan->stale if a new snapshot sees another state there than
 * scan->state, which was read.  scan->stale must be allocated.
 */
extern void contime_scan_compare_with_fresh(ContimeScan *scan, const CtArena *arena, CtRef store,
											CtRef timeline, int64 instant, const void *key,
											uint32 key_bytes);

/*
 * All instants [from, last] of the bound key are read: note them in scan->stale if
 * new snapshots may see other states.  Return false if contime_scan_resolve() must
 * be called first.
 */
extern bool contime_scan_note_range(ContimeScan *scan, const CtArena *arena, CtRef timeline,
									int64 from, int64 last);

/* Make the notice for scan->stale, if a range is noted there.  Not under a lock. */
extern void contime_scan_notify_stale(ContimeScan *scan);

/*
 * The bound keys are read from the event tables, because the cache lacks them.
 * Make a notice of the whole bound range if the cache has dropped, without a
 * notice, an event that the snapshot does not see.  Not under a lock.
 */
extern void contime_scan_notify_missed(ContimeScan *scan);

/* ---- scan.c ------------------------------------------------------------------ */

/* Return the earliest of the bound instants. */
static inline int64
contime_scan_earliest(const ContimeScan *scan)
{
	return scan->instants[scan->backward ? scan->ninstants - 1 : 0];
}

/*
 * Return the partition to read after this one (-1: the first one).  There is none
 * if the result is contime_shared->partitions or greater.
 */
extern int contime_scan_next_partition(ContimeScan *scan, int partition);

/* Return the scan's reader of event tables.  The first call begins it. */
extern ContimeHeapRead *contime_scan_heap(ContimeScan *scan);

/*
 * Bind the instants [from, to] of one key, or (keys NULL) of all keys, for visits
 * (visit.c below).  Return false if there is nothing to read.  ERROR 22008 or 22003 if
 * the table does not retain `from`, unless the start of scan->range is open.
 */
extern bool contime_scan_bind_range(ContimeScan *scan, const Datum *keys, const bool *keynulls,
									int64 from, int64 to);

/* ---- visit.c ----------------------------------------------------------------- */

/* Raise ERROR 55000 unless the data of the current partition fits the table's description. */
extern void contime_scan_check_conflict(ContimeScan *scan, const CtArena *arena, CtRef store);

/*
 * Gather the recent events of the timeline that the snapshot sees.  A visit calls
 * this before it folds; if the result is not CONTIME_FOLD_DONE, the visit returns it.
 */
extern ContimeFoldResult contime_scan_gather(ContimeScan *scan, const CtArena *arena, CtRef store,
											 CtRef timeline);

/*
 * After CONTIME_FOLD_RESOLVE: look up transactions, and allocate the memory that
 * the next try needs.  Not under a lock.
 */
extern void contime_scan_resolve(ContimeScan *scan);

/* After CONTIME_FOLD_INCOMPLETE: read the current key from the event tables. */
extern void contime_scan_turn_to_heap(ContimeScan *scan);

/* Return the position of the scan; return to it and discard the rows held since. */
extern Mark contime_scan_mark(const ContimeScan *scan);
extern void contime_scan_go_back(ContimeScan *scan, const Mark *mark);

/* Visit once the current key in memory, or the current key of the event tables. */
extern ContimeFoldResult contime_scan_visit_memory(ContimeScan *scan, Visit visit, void *arg,
												   Size arg_bytes);
extern ContimeFoldResult contime_scan_visit_heap(ContimeScan *scan, Visit visit, void *arg);

/*
 * Visit keys one after the other:
 *
 *	contime_scan_bind_range -> (next_key -> visit*)*
 *
 * contime_scan_next_key() sets scan->key to the next key; it returns false if
 * there is none.  contime_scan_visit() visits that key until the chunk holds a
 * row; it returns false if the visit is done, and the chunk may hold rows then, too.
 */
extern bool contime_scan_next_key(ContimeScan *scan);
extern bool contime_scan_visit(ContimeScan *scan, Visit visit, void *arg, Size arg_bytes);

#endif /* CONTIME_READ_SCAN_H */
