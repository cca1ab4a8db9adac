/*
 * scan.h
 *	  A scan, as scan.c, row_buffer.c and history.c see it.
 *
 * Private to the room read.
 */
#ifndef CONTIME_READ_SCAN_H
#define CONTIME_READ_SCAN_H

#include "postgres.h"

#include "durable/durable.h"
#include "fold/fold.h"

/* A state copied out of shared memory. */
typedef struct HeldRow
{
	struct HeldRow *next;
	int64 instant;
	bool present;
	uint32 key_bytes;
	char *key;
	int nstate;
	CtValue *state;
	ContimeRawEvent raw; /* of an event */
} HeldRow;

/* A bump allocator over memory got beforehand: under a lock nothing may fail. */
typedef struct Chunk
{
	char *data;
	Size size;
	Size used;
	bool full;  /* something did not fit */
	int usable; /* attributes from this one on are initial (shape.c) */
	HeldRow *first;
	HeldRow *last;
} Chunk;

/* Where the walk along one key's changes stands. */
typedef struct Walk
{
	int64 at;     /* every change up to here is held */
	int64 to;     /* exclusive */
	bool started; /* the state at the start is held */
	CtState *previous;
} Walk;

/* The position of a walk over the raw events of a key. */
typedef struct EventWalk
{
	int64 at;  /* events up to here are held, */
	int taken; /* so many of this instant */
	int64 to;
	ContimeScan *scan;
	int skip; /* raw events of this instant that were returned before */
	int left; /* before it is enough for one visit */
} EventWalk;

/*
 * A range of a key that was read and that new snapshots see otherwise, as an
 * event has entered that this snapshot does not see. When the event entered,
 * no reader had read there, so no notice was due: this reader gives it.
 */
typedef struct Stale
{
	bool any;
	int64 from; /* instants read, the last one included */
	int64 last;
	uint32 key_bytes;
	char key[CT_MAX_KEY_BYTES];
	CtState fresh;
} Stale;

struct ContimeScan
{
	Relation rel;
	const ContimeTable *table;
	ContimeGeneration *generation; /* NULL: nothing is in memory */
	bool partial;                  /* `watched` lacks keys */
	ContimeGeneration *watched;    /* where what is read is noted; or NULL */
	ContimeReferences *held;       /* to its event tables; NULL: it has none */
	ContimeHeapRead *heap;         /* of a durable table, once it is needed */
	bool memory;                   /* what is bound is read from memory; or (from_heap) */
	bool from_heap;                /* from there, up to this instant: */
	int64 until;                   /* that, or one key which is not what memory has of it */
	ContimeKey *aside;             /* the key, among all of them; NULL until needed */
	bool remembered;               /* memory had something to say */
	ContimeView *view;
	Chunk chunk;
	HeldRow *row;          /* next to be returned */
	CtState *state;        /* where folds go */
	MemoryContext context; /* of the scan */
	MemoryContext values;  /* of the tuple returned last */

	/* what is bound */
	bool backward;
	int64 *instants; /* sorted, the latest first if backward; no doubles */
	int ninstants;
	int instant_capacity;
	bool by_key;
	ContimeKey key;
	bool done;

	pg_atomic_uint32
		*next;      /* the next partition that no process reads yet; NULL: all are read here */
	uint32 checked; /* partitions whose data fits the description */
	uint8 usable
		[CONTIME_MAX_WORKERS]; /* by partition: attributes from this one on are initial (shape.c) */

	/* where it stands: before instants[instant] of the timeline at position */
	int partition;
	uint32 position;
	CtRef begun; /* whose instants these are */
	int instant;
	CtArena arena; /* where a timeline from the heap is, */
	CtRef store;
	CtRef timeline; /* 0: there is none at hand */
	int folds;      /* under this hold of the lock, or look */
	int most_folds; /* allowed under it */

	Stale *stale; /* of stale.c; NULL until it is needed */

	/* histories and events: of the key at hand, */
	int64 from;
	Walk walk;
	EventWalk event_walk;
	bool ended;       /* all of it is held */
	HeldRow *pending; /* until when this state held is not known yet; */
	Chunk other;      /* it is here while more is held */
};

StaticAssertDecl(CONTIME_MAX_WORKERS <= 32, "ContimeScan.checked has a bit for each partition");
StaticAssertDecl(CT_MAX_ATTRS <= UINT8_MAX, "ContimeScan.usable holds a number of attributes");

/*
 * Looks at the bound key's timeline, at most `steps` steps long, and keeps in
 * `arg` how far it has come: first of all an int64, the instant.
 */
typedef ContimeFoldResult (*Visit)(ContimeScan *scan, void *arg, const CtArena *arena, CtRef store,
								   CtRef timeline, int steps);

/* Where a scan stands, to come back to. */
typedef struct Mark
{
	Chunk chunk;
	CtRef begun;
	int instant;
	uint32 nunseen;
} Mark;

/* The most that a visit to a timeline keeps, in bytes. */
#define MAX_VISIT_BYTES 64

/* ---- row_buffer.c ------------------------------------------------------------ */

extern void contime_chunk_init(Chunk *chunk, MemoryContext context);
extern void contime_chunk_reset(Chunk *chunk);

/* Twice the size, and nothing in it: not even the first row did fit. */
extern void contime_chunk_grow(Chunk *chunk);

/* Copy a state, or an event, into the chunk; false when it does not fit. */
extern bool contime_hold_state(Chunk *chunk, const ContimeTable *table, const CtState *state,
							   int64 instant, const void *key, uint32 key_bytes);
extern bool contime_hold_raw_event(Chunk *chunk, const ContimeTable *table, const StringInfo key,
								   const CtRawEvent *told);

/* A held row as a virtual tuple, whose values live in a context that is reset for it. */
extern void contime_held_store(const ContimeTable *table, const HeldRow *row, MemoryContext context,
							   TupleTableSlot *slot);

/* ---- stale.c ----------------------------------------------------------------- */

/* True if something has entered that the snapshot does not see; after gathering. */
extern bool contime_scan_is_overtaken(const ContimeScan *scan, const CtArena *arena,
									  CtRef timeline);

/* The state at an instant was read: note it if new snapshots see another one. */
extern void contime_scan_compare_with_fresh(ContimeScan *scan, const CtArena *arena, CtRef store,
											CtRef timeline, int64 instant, const void *key,
											uint32 key_bytes);

/*
 * All instants [from, last] of the bound key are read: note them if new snapshots
 * may see something else.  False if contime_scan_resolve() must be called first.
 */
extern bool contime_scan_note_range(ContimeScan *scan, const CtArena *arena, CtRef timeline,
									int64 from, int64 last);

/* Give the notice that was noted, if any.  Not under a lock. */
extern void contime_scan_notify_stale(ContimeScan *scan);

/*
 * The bound keys are read from the event tables, since the cache does not have
 * them.  If something has left the cache unnotified that the snapshot does not
 * see, give notice of the whole range.  Not under a lock.
 */
extern void contime_scan_notify_missed(ContimeScan *scan);

/* ---- scan.c ------------------------------------------------------------------ */

/* The earliest of the bound instants. */
static inline int64
contime_scan_earliest(const ContimeScan *scan)
{
	return scan->instants[scan->backward ? scan->ninstants - 1 : 0];
}

/* The partition to be read after this one (-1: the first one); perhaps none. */
extern int contime_scan_next_partition(ContimeScan *scan, int partition);

/* The scan's reader of event tables, begun when it is first needed. */
extern ContimeHeapRead *contime_scan_heap(ContimeScan *scan);

/* Bind a range of instants: see visit.c below. */
extern bool contime_scan_bind_range(ContimeScan *scan, const Datum *keys, const bool *keynulls,
									int64 from, int64 to);

/* ---- visit.c ----------------------------------------------------------------- */

/* ERROR 55000 unless the data of the scan's partition fits the table's description. */
extern void contime_scan_check_conflict(ContimeScan *scan, const CtArena *arena, CtRef store);

/*
 * By a visit, before it folds: gather the recent events that the snapshot sees
 * of the timeline.  A visit returns the result unless it is CONTIME_FOLD_DONE.
 */
extern ContimeFoldResult contime_scan_gather(ContimeScan *scan, const CtArena *arena, CtRef store,
											 CtRef timeline);

/* After CONTIME_FOLD_RESOLVE: look up transactions, and allocate what the next try needs. */
extern void contime_scan_resolve(ContimeScan *scan);

/* After CONTIME_FOLD_INCOMPLETE: read the key at hand from the event tables. */
extern void contime_scan_turn_to_heap(ContimeScan *scan);

/* Note where the scan stands, and forget what it has held since. */
extern Mark contime_scan_mark(const ContimeScan *scan);
extern void contime_scan_go_back(ContimeScan *scan, const Mark *mark);

/* One visit to the bound key in memory, or to the key at hand in the event tables. */
extern ContimeFoldResult contime_scan_visit_memory(ContimeScan *scan, Visit visit, void *arg,
												   Size arg_bytes);
extern ContimeFoldResult contime_scan_visit_heap(ContimeScan *scan, Visit visit, void *arg);

/*
 * Visits to keys one after the other:
 *
 *	bind_range -> (next_key -> visit*)*
 *
 * bind_range: keys, or NULL for all, and the instants [from, to] that will be
 * read of them; false: there is nothing.  next_key: go on to the next key,
 * which is scan->key then; false: that was the last.  visit: until the chunk
 * holds something, or (false) the visit is done.
 */
extern bool contime_scan_next_key(ContimeScan *scan);
extern bool contime_scan_visit(ContimeScan *scan, Visit visit, void *arg, Size arg_bytes);

#endif /* CONTIME_READ_SCAN_H */
