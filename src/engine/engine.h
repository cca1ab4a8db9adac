/*
 * engine.h
 *	  The public header of the engine: events of keys, folded to states.
 *
 * The engine stores, in one fixed region of memory, the events of many keys and
 * the summaries that answer "what is the state of this key at T" without
 * replaying events.  It is pure C11: no PostgreSQL header, no I/O, no logging,
 * no jumps.  Every function that can fail returns a CtStatus.
 *
 *	  region ── arenas (one per partition) ── stores (one table's share of a
 *	  partition) ── directory: key -> timeline ── recent events + a tree of
 *	  entered ones
 *
 * The life of an event: ct_store_add() links it as *recent*, with the label of
 * its transaction.  After the transaction has committed, the partition's worker
 * calls ct_store_enter(): the event moves into the timeline, still labelled
 * (*young*).  When every snapshot sees it, ct_store_settle() makes it *frozen*.
 * ct_store_drop() removes the events of aborted transactions.
 *
 * Concurrency: the caller holds the partition's lock exclusively around every
 * call that changes an arena or store (one that takes a non-const CtArena or a
 * CtWriter).  So there is one writer at a time.  Readers hold the lock in shared
 * mode, or read without it between ct_read_key() or ct_read_slot() and
 * ct_read_valid().  What they read without it may be torn, and must be discarded
 * if ct_read_valid() returns false.  Reads survive torn data: references stay
 * within the region, counts and loops within their limits.  A reader copies what
 * a read returns by pointer before it calls ct_read_valid().
 *
 * The files, from the bottom to the top.  A file calls only those before it in
 * this list.  Headers say which files share them:
 *
 *	  arena      memory: pages and size classes
 *	  number     192-bit numbers
 *	  snapshot   which transactions a snapshot sees
 *	  event      events as bytes, their order           event.h
 *	  motion     the algebra of attributes that move    motion.h, cell.h
 *	  rules      each rule: a row of operations         rules.h, cell.h
 *	  rule       the algebra of cells and values        rule.h, cell.h
 *	  writer     a store that is being changed          writer.h, slot.h
 *	  layout, record   layouts of a store's events, and their records   layout.h
 *	  directory  key -> timeline                        directory.h, slot.h
 *	  base       what retention has folded              base.h
 *	  ids        event id -> entered event              ids.h
 *	  block      blocks of events: leaves and tails     block.h
 *	  node       inner nodes: summaries of subtrees     node.h
 *	  timeline   entered events: find and change        timeline.h
 *	  walk       the walk over what a reader sees       walk.h
 *	  override   until when a change lasts              effect.h
 *	  between    what is shown between events           between.h, effect.h
 *	  fold       states and raw events                  fold.h
 *	  effect     what changes when an event enters      effect.h
 *	  read, unseen, merge   for readers: without the lock; labels; recent events
 *	  retain     folding of old events into bases
 *	  store      the states of events
 *	  partial    stores that lack keys
 *	  validate   checks of every invariant
 *
 * Other folders include only this header.
 *
 * Not here: which transactions committed, which recent events a snapshot sees
 * (src/mvcc), what a key or a value means (src/table).
 */
#ifndef CT_ENGINE_H
#define CT_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CT_MUST_CHECK __attribute__((warn_unused_result))

/*
 * What a status promises.  Unless it is CT_OK or CT_MORE, or the function says
 * otherwise, no event, state or counter has changed.  A function for many events
 * returns how many were done before.
 *
 * CT_OK          everything is done
 * CT_MORE        the limit of steps was reached: a part is done, and the same
 *				  call does the next steps
 * CT_NOT_YET     something must happen before: a duplicate must be frozen, or
 *				  every snapshot must see a transaction
 * CT_DUPLICATE   an event of that identity has entered, and stays
 * CT_RETRY       of a read without the lock: the writer was changing the data;
 *				  a retry may succeed
 * CT_GONE        there is no such event
 * CT_NO_MEMORY   no memory, and nothing else: it may succeed when some is freed
 * CT_LIMIT       larger than the engine's limits: it never succeeds
 * CT_TOO_LATE    before what is retained: it never succeeds
 * CT_BROKEN      an invariant does not hold, or an argument contradicts the
 *				  schema: a bug, or damage
 */
typedef enum CtStatus
{
	CT_OK = 0,
	CT_MORE,
	CT_NOT_YET,
	CT_DUPLICATE,
	CT_RETRY,
	CT_GONE,
	CT_NO_MEMORY,
	CT_LIMIT,
	CT_TOO_LATE,
	CT_BROKEN
} CtStatus;

/* ---- memory (arena.c) -------------------------------------------------------- */

/* A reference: an offset from the region's base in granules; 0 is none. */
typedef uint32_t CtRef;

#define CT_GRANULE 16       /* bytes; a region is less than 64 GiB */
#define CT_PAGE_BYTES 65536 /* the unit in which an arena takes memory from the region */
#define CT_MAX_ARENAS 64

typedef struct CtRegion CtRegion;

/* A process's handle on one arena of a region. */
typedef struct CtArena
{
	char *base; /* the region's address in this process */
	uint32_t index;
	CtRef limit;   /* valid references are below */
	uint32_t keep; /* pages that plain inserts of this process leave, in addition to the reserve */
} CtArena;

/*
 * Return the address of a reference.  One read without the lock may be anything:
 * limit it.
 */
static inline void *
ct_ptr(const CtArena *arena, CtRef ref)
{
	return arena->base + (size_t) (ref < arena->limit ? ref : 0) * CT_GRANULE;
}

/* How far a reader without the lock may look beyond the end of a region. */
#define CT_GUARD_BYTES (256 * 1024)

#define CT_REGION_ALIGN 64

/*
 * Format a region of `bytes` at `base` for `arenas` arenas.  The base must be
 * aligned to CT_REGION_ALIGN bytes, or to a page if the region is shared.
 * CT_LIMIT: it is too small for one page per arena, or too large.  If readers
 * without the lock are to exist, CT_GUARD_BYTES behind the region must be readable.
 */
CtStatus ct_region_format(void *base, size_t bytes, uint32_t arenas) CT_MUST_CHECK;
CtArena ct_arena_attach(void *base, uint32_t index);

/*
 * Return the bytes of the pages taken by all arenas (used), of the objects
 * allocated in them (allocated), of the pages taken by one arena, and of all pages
 * (total).
 */
size_t ct_region_used(const void *base);
size_t ct_region_allocated(const void *base);
size_t ct_arena_used(const CtArena *arena);
size_t ct_region_total(const void *base);
size_t ct_region_plain(const void *base); /* without the reserve, see below */

/*
 * Allocate `bytes`. 0: no memory.  With `upkeep` the reserve may be used, which
 * plain inserts must leave: 1/64 of the pages, more if they are few.  So a full
 * region can still be cleaned up.
 */
CtRef ct_alloc(CtArena *arena, size_t bytes, bool upkeep) CT_MUST_CHECK;
void ct_free(CtArena *arena, CtRef ref, size_t bytes);

/* Return the bytes that an allocation of `bytes` takes. */
size_t ct_alloc_size(size_t bytes);

/* ---- numbers (number.c) ------------------------------------------------------ */

/*
 * A 192-bit two's complement fixed-point number, least significant word
 * first.  The extremes are minus and plus infinity, the number below plus
 * infinity is NaN (it sorts above every number, as in PostgreSQL).
 */
typedef struct CtWide
{
	uint64_t word[3];
} CtWide;

extern const CtWide CT_WIDE_ZERO, CT_WIDE_MINUS_INFINITY, CT_WIDE_PLUS_INFINITY, CT_WIDE_NAN;

CtWide ct_wide_from_int64(int64_t value);
bool ct_wide_to_int64(CtWide value, int64_t *result); /* false: out of range */
CtWide ct_wide_from_numeric(const void *image, uint32_t bytes, int scale);
int ct_wide_cmp(CtWide a, CtWide b);

/* Write the decimal digits with a sign to buf (at least 64 bytes), without a point. */
void ct_wide_to_decimal(CtWide value, char *buf);

/* ---- descriptions (rule.c; rates: motion.c) ---------------------------------- */

#define CT_MAX_ATTRS 64 /* attributes of a table: masks are one word */
#define CT_MAX_KEY_BYTES 2048
#define CT_MAX_PAYLOAD_BYTES (1024 * 1024)

/*
 * True if the engine does not accept an event with a key and payload of this size
 * (CT_LIMIT).
 */
static inline bool
ct_is_too_large(uint32_t key_bytes, uint32_t payload_bytes)
{
	return key_bytes > CT_MAX_KEY_BYTES || payload_bytes > CT_MAX_PAYLOAD_BYTES;
}

typedef enum CtRule
{
	CT_RULE_NONE = 0, /* key, time, or a dropped column */
	CT_RULE_LAST,
	CT_RULE_SUM,
	CT_RULE_MIN,
	CT_RULE_MAX,
	CT_RULE_FIRST
} CtRule;
#define CT_RULES (CT_RULE_FIRST + 1)

/* Return the rule of a name, or CT_RULE_NONE; return the name of a rule. */
CtRule ct_rule_named(const char *name);
const char *ct_rule_name(CtRule rule);

/* How the bytes of a value are stored; they are compared as by record_image_cmp(). */
typedef enum CtImage
{
	CT_IMAGE_WORD = 0, /* by value: a Datum, 8 bytes, compared unsigned */
	CT_IMAGE_FIXED,    /* `length` bytes, compared by memcmp */
	CT_IMAGE_VAR       /* 4 bytes of length, then the bytes; memcmp of
								 * the common part, then the shorter first */
} CtImage;

/*
 * How an image is read as a number: for every sum, for min and max except of text,
 * and for last if the attribute is interpolated, moves, or is a rate.
 */
typedef enum CtNumber
{
	CT_NUMBER_NONE = 0,
	CT_NUMBER_INT,     /* a word, signed */
	CT_NUMBER_NUMERIC, /* the data part of a PostgreSQL numeric, read
								 * with `scale` decimal digits */
	CT_NUMBER_SCALED,  /* a word, sign and magnitude, in units of the
								 * scale: a float of so many digits */
	CT_NUMBER_INTERVAL /* a PostgreSQL interval: microseconds, days,
								 * months, each for itself */
} CtNumber;

/* How event ids are ordered. */
typedef enum CtOrder
{
	CT_ORDER_NONE = 0,
	CT_ORDER_SIGNED,   /* a word, signed */
	CT_ORDER_UNSIGNED, /* a word, unsigned */
	CT_ORDER_BYTES     /* FIXED or VAR by memcmp, shorter first */
} CtOrder;

/* One attribute of a table, by attribute number - 1. */
typedef struct CtAttr
{
	uint8_t rule;   /* CtRule */
	uint8_t image;  /* CtImage */
	uint8_t number; /* CtNumber */
	uint8_t scale;  /* decimal digits of a CT_NUMBER_NUMERIC */
	int16_t length; /* of a CT_IMAGE_FIXED */
	bool has_initial;
	bool has_lower; /* a sum with bounds */
	bool has_upper;
	bool wide;          /* a numeric of more than 18 digits */
	bool linear;        /* interpolated between the events that set it */
	int8_t rate_attr;   /* moves by that attribute's value, or -1 */
	uint8_t role;       /* this and the next four: the caller's own, */
	uint32_t type;      /* kept here so that it can tell whether a */
	int32_t typmod;     /* definition has changed; not used by the */
	uint32_t collation; /* engine */
	uint64_t added;     /* the transaction that defined it; 0: known to have committed */
	CtWide lower;       /* of a sum, when given */
	CtWide upper;
	CtWide initial;          /* of a number; of an interval microseconds */
	CtWide initial_extra;    /* of an interval: days, months */
	uint32_t initial_offset; /* of what is no number: its image (without the
								 * length word of a VAR), from the schema's start */
	uint32_t initial_bytes;
} CtAttr;

/* A table's description for the engine; `size` contiguous bytes. */
typedef struct CtSchema
{
	uint32_t size;
	uint16_t nattrs;
	int8_t id_attr;         /* attribute of the event id, or -1 */
	uint8_t id_order;       /* CtOrder */
	uint8_t clock_digits;   /* a rate is per 10^this instants: 6 where they
								 * are microseconds, 0 for a logical clock */
	bool has_rates;         /* an attribute has a rate_attr */
	bool id_first;          /* at one instant the event id decides before the kind; events
								 * without an id then come first, otherwise last of their kind */
	bool id_of_key;         /* an event id is unique for its key, whatever instant and kind: of
								 * the events that have it the first in order counts */
	uint64_t options_added; /* the caller's own: the transaction that set id_first */
	CtAttr attr[];          /* nattrs of them, then the initial images */
} CtSchema;

/*
 * Return how many decimal digits the rate of an attribute that moves may have, so
 * that no position can overflow.
 */
int ct_rate_digits(const CtSchema *schema, int attr);

/* ---- states (rule.c) --------------------------------------------------------- */

typedef enum CtValueKind
{
	CT_VALUE_NULL = 0,
	CT_VALUE_NUMBER, /* of an attribute that has a CtNumber */
	CT_VALUE_IMAGE   /* of others: word, fixed or var bytes */
} CtValueKind;

typedef struct CtValue
{
	uint8_t kind;      /* CtValueKind */
	bool was_set;      /* of a linear attribute: an event of this life set it, at `time` */
	uint32_t bytes;    /* of the image, without a VAR's length word */
	const void *image; /* unaligned, in shared memory */
	int64_t time;
	CtWide number;
	CtWide extra; /* of an interval: days, months */
} CtValue;

/* The state of a key at an instant; value[] by attribute. */
typedef struct CtState
{
	bool present;
	uint16_t nattrs;
	CtValue value[CT_MAX_ATTRS];
	CtValue folded[CT_MAX_ATTRS]; /* what ct_timeline_step() goes on from,
										 * of attributes that change between
										 * events */
} CtState;

/* Copy a state to look at it; ct_timeline_step() cannot continue from a copy. */
static inline void
ct_state_copy(CtState *to, const CtState *from)
{
	__builtin_memcpy(to, from, offsetof(CtState, value) + from->nattrs * sizeof(CtValue));
}

/* True if two states of one table are both absent, or agree in these attributes. */
bool ct_state_agrees(const CtState *a, const CtState *b, uint64_t attrs);

/* True if two states of one table are the same row. */
bool ct_state_equal(const CtSchema *schema, const CtState *a, const CtState *b);

/* ---- events (event.c) -------------------------------------------------------- */

/* The order of kinds at one instant, unless event ids decide first. */
typedef enum CtKind
{
	CT_FINISH = 0,
	CT_EVENT,
	CT_SNAPSHOT
} CtKind;

/*
 * An event as its writer passes it.  `set`: the attributes it touches; `null`:
 * those of them it makes NULL.  The payload has the images of the others (set &
 * ~null), packed, in attribute order.  They include the event id, if there is one.
 */
typedef struct CtChange
{
	int64_t time;
	uint64_t set;
	uint64_t null;
	const void *payload;
	uint32_t payload_bytes;
	uint8_t kind;  /* CtKind */
	bool retracts; /* it retracts such an event */
} CtChange;

/* The transaction and command that wrote an event. */
typedef struct CtLabel
{
	uint64_t top;   /* top-level transaction, 64 bits */
	uint64_t xid;   /* its own (sub)transaction */
	uint32_t cid;   /* command */
	uint64_t ended; /* transactions below had ended when it wrote; 0: not known */
} CtLabel;

/*
 * An event that has not entered.  Its record (event.h) is copied into the timeline
 * later.
 */
typedef struct CtEvent
{
	int64_t time;
	uint64_t top;
	uint64_t xid;
	uint32_t cid;
	uint32_t span; /* from the label's `ended` to top, at most UINT32_MAX */
	CtRef timeline;
	CtRef prev; /* neighbours in its timeline */
	CtRef next;
	CtRef queue;       /* next in its batch, or in the waiting queue */
	uint16_t layout;   /* what it sets: describes its record */
	uint8_t state : 7; /* CtEventState */
	uint8_t late : 1;  /* of a waiting event: when it began to wait */
	uint8_t retracts;  /* a bool, but readers may find anything */
	uint8_t record[];
} CtEvent;

typedef enum CtEventState
{
	CT_RECENT = 0,
	CT_WAITING /* committed; a retraction, or its duplicate has entered */
} CtEventState;

/* Events of one (sub)transaction, in the order they were added. */
typedef struct CtBatch
{
	uint64_t top;
	uint64_t xid;
	uint32_t count;
	CtRef first;
	CtRef last;
	CtRef prev; /* neighbours in the store's queue */
	CtRef next;
	int64_t oldest;       /* no event of the batch is before this instant, */
	int64_t newest;       /* or after this one */
	uint64_t newest_hash; /* of the key of an event at `newest` */
} CtBatch;

/* ---- snapshots (snapshot.c) -------------------------------------------------- */

/* A PostgreSQL snapshot as plain data: top-level ids, 64 bits, xip sorted. */
typedef struct CtSnapshot
{
	uint64_t xmin;
	uint64_t xmax;
	uint32_t nxip;
	const uint64_t *xip;
	int64_t until; /* what a linear column goes to next is looked
								 * for up to here; INT64_MAX: to the end */
} CtSnapshot;

/* True if the snapshot sees a transaction that is known to have committed. */
bool ct_snapshot_sees(const CtSnapshot *snapshot, uint64_t top);

/* ---- writers (writer.c) ------------------------------------------------------ */

typedef struct CtLayout CtLayout;
typedef struct CtStore CtStore;

/* Everything that is needed to read the events and summaries of one table. */
typedef struct CtReadContext
{
	const CtArena *arena;
	const CtSchema *schema;
	const CtRef *layout; /* by number; [0] is unused */
	uint32_t nlayouts;
	uint64_t lasts;   /* attributes for which ct_is_last(), */
	uint64_t hidden;  /* that are folded in another form than shown, */
	uint64_t linear;  /* that are interpolated, */
	uint64_t moving;  /* that have a rate */
	uint64_t sums;    /* sums of numbers without bounds */
	uint64_t initial; /* that have an initial value */
	bool plain;       /* there are only those, and lasts that are shown as folded */
} CtReadContext;

/*
 * A store prepared for many calls by its one writer, which holds the lock from
 * ct_writer() to the last of them.  Its fields are private to the engine.
 */
typedef struct CtWriter
{
	CtArena *arena;
	CtStore *store;
	CtReadContext context;
	const CtLayout *last; /* layout looked up last */
	uint32_t last_number;
} CtWriter;

CtWriter ct_writer(CtArena *arena, CtRef store);

/* ---- stores (store.c) -------------------------------------------------------- */

CtStatus ct_store_create(CtArena *arena, const CtSchema *schema, CtRef *store) CT_MUST_CHECK;

/*
 * Make a store keep every event that it was given.  If ct_store_settle() finds
 * duplicates, or a retraction of an event that does not exist, it counts that
 * (conflicts, unmatched) and settles nothing more.  Reads stay right.
 */
void ct_store_keep(CtArena *arena, CtRef store);

/* Replace the schema by one with attributes appended.  The order of events stays. */
CtStatus ct_store_widen(CtArena *arena, CtRef store, const CtSchema *schema) CT_MUST_CHECK;

/*
 * Replace the schema by one that has at least as many attributes.  Attributes that
 * an event of the store sets must be the same.  If the store has events, it must
 * not have other attributes that move, or another order of events.
 */
CtStatus ct_store_redefine(CtArena *arena, CtRef store, const CtSchema *schema) CT_MUST_CHECK;

/* Free a store, at most `limit` events in a call.  CT_MORE: call again. */
CtStatus ct_store_free(CtArena *arena, CtRef store, int limit) CT_MUST_CHECK;

const CtSchema *ct_store_schema(const CtArena *arena, CtRef store);

typedef struct CtStats
{
	uint64_t keys;
	uint64_t recent; /* with waiting ones */
	uint64_t young;
	uint64_t frozen;
	uint64_t duplicates;
	uint64_t conflicts;
	uint64_t retracted; /* events removed by retractions */
	uint64_t unmatched; /* retractions that found no event */
	uint64_t late;      /* entered before the newest of their key */
	int64_t net;        /* events that came to ct_store_enter(), less retractions */
	uint64_t folded;    /* frozen events that are in bases now */
	uint64_t bytes;
	int64_t newest_entered; /* instant of the newest event that has entered */
	int64_t retained;       /* earliest instant that can be read */
} CtStats;

void ct_store_stats(const CtArena *arena, CtRef store, CtStats *stats);

/*
 * An event that may be the newest one of a store.  top: its transaction's top-level id,
 * or 0 if every snapshot sees it.
 */
typedef struct CtNewest
{
	int64_t time;  /* INT64_MIN: there is none */
	uint64_t hash; /* of its key */
	uint64_t top;
} CtNewest;

/*
 * Set *newest to the newest event that has entered, or (other) to the newest one of
 * all transactions but that one's.  All such events are at its instant or before it.
 * The event itself may have been removed since.  Under the lock.
 */
void ct_store_newest(const CtArena *arena, CtRef store, bool other, CtNewest *newest);

/*
 * Return the key with this hash, and set *key_bytes; NULL: there is none.  If several
 * keys have it, one of them.  Under the lock.
 */
const void *ct_store_key_of_hash(const CtArena *arena, CtRef store, uint64_t hash,
								 uint32_t *key_bytes);

/* ---- stores: keys (store.c, directory.c) ------------------------------------- */

const CtBatch *ct_store_first_batch(const CtArena *arena, CtRef store, CtRef *batch);
const CtBatch *ct_store_next_batch(const CtArena *arena, CtRef *batch);

/* Return the timeline of a key. 0: there is none. */
CtRef ct_store_find(const CtArena *arena, CtRef store, uint64_t hash, const void *key,
					uint32_t key_bytes);

/*
 * Walk over all timelines, each once.  Start with *position = 0.  Returns 0 at the
 * end.  The lock may be released between calls.  A timeline that is added during
 * the walk may be missed.
 */
CtRef ct_store_next(const CtArena *arena, CtRef store, uint32_t *position);

const void *ct_timeline_key(const CtArena *arena, CtRef timeline, uint32_t *key_bytes);

/* ---- stores: the life of events (store.c) ------------------------------------ */

/*
 * Link one recent event of a key (hash: XXH3 of the key's bytes).  On CT_NO_MEMORY,
 * CT_LIMIT or CT_TOO_LATE nothing has changed.  A retraction is linked in the same
 * way.  It removes an event of the same instant, kind and content, whose
 * transaction had committed when the retraction was written, or is the same.  Both
 * are removed once every snapshot sees them.  Until then a fold leaves out
 * retracted events, unless ct_store_cancels() is false.
 */
CtStatus ct_store_add(CtArena *arena, CtRef store, uint64_t hash, const void *key,
					  uint32_t key_bytes, const CtChange *change, const CtLabel *label)
	CT_MUST_CHECK;

/* An event and its key, for calls with many events. */
typedef struct CtLoad
{
	uint64_t hash;
	const void *key;
	uint32_t key_bytes;
	uint64_t top; /* for ct_store_load() */
	CtChange change;
} CtLoad;

/*
 * Link many recent events of one transaction.  *done is set to the number linked,
 * also on failure.
 */
CtStatus ct_store_add_all(CtArena *arena, CtRef store, const CtLoad *load, uint32_t count,
						  const CtLabel *label, uint32_t *done) CT_MUST_CHECK;

/* The instants [from, to) of a key whose state an event changed. */
typedef struct CtKeyChanged
{
	CtRef timeline;
	int64_t from; /* INT64_MIN: open */
	int64_t to;   /* INT64_MAX: open */
} CtKeyChanged;

/* The past changed: in [from, to) states that may have been read differ. */
typedef struct CtChanged
{
	uint64_t events;    /* 0: there is nothing to notify */
	int64_t from;       /* INT64_MIN: open */
	int64_t to;         /* INT64_MAX: open */
	CtKeyChanged *keys; /* room for one for each event, or NULL */
} CtChanged;

/*
 * Enter up to `limit` events of a committed batch.  An event whose duplicate
 * (same instant, kind and id) has entered waits for ct_store_settle(), and so
 * does a retraction.  CT_OK: the batch is done and freed.  CT_NO_MEMORY: the
 * events that were not entered stay recent.  *served is the latest instant that
 * was read (NULL: none); readers raise it before they begin, with a full
 * barrier.  The changes of the past are added to `changed`: a reader that read
 * before an event was entered finds every instant whose state has changed
 * since in the ranges reported since.  The ranges are exact, unless the order
 * of commits is not known.
 */
CtStatus ct_store_enter(CtArena *arena, CtRef store, CtRef batch, int limit, const int64_t *served,
						CtChanged *changed) CT_MUST_CHECK;

/* Remove up to `limit` events of an aborted batch; CT_OK when it is freed. */
CtStatus ct_store_drop(CtArena *arena, CtRef store, CtRef batch, int limit) CT_MUST_CHECK;

/*
 * Freeze young events whose transaction precedes `horizon`, so that every
 * snapshot sees it; decide between duplicates, and remove retracted events
 * with their retractions, where every snapshot sees both.  CT_MORE: `limit`
 * events were looked at, and more may be ready.
 */
CtStatus ct_store_settle(CtArena *arena, CtRef store, uint64_t horizon, int limit) CT_MUST_CHECK;

/*
 * Return the newest recent or waiting event; CtEvent.next leads to older ones.
 * *count is their number.
 */
CtRef ct_timeline_recent(const CtArena *arena, CtRef timeline, uint32_t *count);

/* ---- stores: events that need not be recent first (store.c) ------------------ */

/*
 * Return the timeline of a key, which is added if there is none. 0: no memory, or
 * the key is longer than CT_MAX_KEY_BYTES.
 */
CtRef ct_writer_timeline(CtWriter *writer, uint64_t hash, const void *key, uint32_t key_bytes)
	CT_MUST_CHECK;

/*
 * Enter a committed event at once.  `top` as in a label; 0: every snapshot sees it.
 * A duplicate that every snapshot sees is settled.  CT_NOT_YET: its duplicate has
 * entered, but cannot be settled yet.  After a failure, a timeline without events
 * is removed.
 */
CtStatus ct_timeline_load(CtWriter *writer, CtRef timeline, const CtChange *change, uint64_t top)
	CT_MUST_CHECK;

/*
 * Remove a frozen event of that instant, kind and content, in O(log n).
 * CT_GONE: there is none.  CT_NOT_YET: it is not frozen, or a duplicate of it
 * waits.  A timeline without events is removed.
 */
CtStatus ct_timeline_unload(CtWriter *writer, CtRef timeline, const CtChange *change) CT_MUST_CHECK;

/*
 * Enter many events, and prefetch memory.  *done is set to the number entered, also
 * on failure.
 */
CtStatus ct_store_load(CtWriter *writer, const CtLoad *load, uint32_t count, uint32_t *done)
	CT_MUST_CHECK;

/* ---- what is old (retain.c) -------------------------------------------------- */

/*
 * Give up the instants before `from`: fold older events that every snapshot sees
 * into the bases of their keys.  No state at or after `from` changes.  Less is
 * given up while an older event has not entered.  From then on, adding an event
 * before that is CT_TOO_LATE.  CT_MORE: about `limit` pieces of work were done, and
 * there are more.
 */
CtStatus ct_store_retain(CtArena *arena, CtRef store, int64_t from, int limit) CT_MUST_CHECK;

/* ---- reading without the lock (read.c) --------------------------------------- */

/* A timeline that is being read without the lock. */
typedef struct CtRead
{
	const CtArena *arena;
	CtRef timeline; /* 0: there is none */
	uint32_t sequence;
} CtRead;

/*
 * Begin to read the timeline of a key.  CT_OK with read->timeline 0: there is
 * certainly none.  CT_RETRY: it is being changed; after some tries the reader
 * should take the lock.
 */
CtStatus ct_read_key(const CtArena *arena, CtRef store, uint64_t hash, const void *key,
					 uint32_t key_bytes, CtRead *read) CT_MUST_CHECK;

/*
 * Begin to read the next timeline from *position on, which is moved to it; the
 * caller adds one to go on.  CT_OK with read->timeline 0: there are no more.
 * CT_RETRY: the timeline at *position is being changed.
 */
CtStatus ct_read_slot(const CtArena *arena, CtRef store, uint32_t *position, CtRead *read)
	CT_MUST_CHECK;

/* Prefetch the timeline at a position, which will be read soon. */
void ct_read_ahead(const CtArena *arena, CtRef store, uint32_t position);

/* True if the timeline has not changed since: what was read is whole. */
bool ct_read_valid(const CtRead *read);

/* ---- keys that are elsewhere (partial.c) ------------------------------------- */

/*
 * From now on the store may lack keys: ct_timeline_is_loaded() says whether it
 * has all events of one.  Events of other keys are not kept when they enter;
 * they are reported to change everything that was read from their instant on,
 * unless they are later than `newest` and than all entered events.
 * ct_store_unload_all() removes all events, of a store into which events were
 * only loaded.  CT_MORE: call again; *position is 0 at first.
 */
void ct_store_make_partial(CtArena *arena, CtRef store, int64_t newest);
CtStatus ct_store_unload_all(CtArena *arena, CtRef store, uint32_t *position, int limit)
	CT_MUST_CHECK;

/*
 * The highest id of a transaction whose events were not kept and perhaps not
 * reported; 0: there is none.  A reader that reads an instant elsewhere raises
 * the watermark first, then looks here: if its snapshot does not see that
 * transaction, the reader reports the change.
 */
uint64_t ct_store_unnotified(const CtArena *arena, CtRef store);

/*
 * Unload keys that were not read since the last round; about `limit` pieces of
 * work.  CT_MORE: the round is not over, or (*half) a key was unloaded in part.
 */
CtStatus ct_store_evict(CtArena *arena, CtRef store, int limit, bool *half) CT_MUST_CHECK;

/*
 * Load a key: first ct_store_unload_key() removes what an earlier attempt may
 * have left (CT_MORE: call again); then all its events that a snapshot sees
 * are loaded; then ct_store_mark_key_loaded() makes it complete for snapshots
 * that see every transaction below `xmax`, which is the snapshot's.  Between
 * the first and the last call the events that the snapshot sees enter, and no
 * others, and nothing is evicted.
 */
CtStatus ct_store_unload_key(CtArena *arena, CtRef store, uint64_t hash, const void *key,
							 uint32_t key_bytes, int limit) CT_MUST_CHECK;
CtStatus ct_store_mark_key_loaded(CtArena *arena, CtRef store, uint64_t hash, const void *key,
								  uint32_t key_bytes, uint64_t xmax) CT_MUST_CHECK;

/* Note that a timeline was read, so that it is not evicted soon. */
void ct_read_note(const CtRead *read);

/*
 * Walk over the timelines of loaded keys, as ct_store_next() does over all; *timeline
 * is 0 at the end.  CT_MORE: `limit` places were looked at and none of them was one;
 * call again.
 */
CtStatus ct_store_next_loaded(const CtArena *arena, CtRef store, uint32_t *position, int limit,
							  CtRef *timeline) CT_MUST_CHECK;

/*
 * True if the timeline has all events that the snapshot sees (NULL: that a
 * snapshot which is new enough sees).  If not, neither folds nor raw events are
 * right.
 */
bool ct_timeline_is_loaded(const CtArena *arena, CtRef store, CtRef timeline,
						   const CtSnapshot *snapshot);

/* ---- recent events beside entered ones (merge.c) ----------------------------- */

/* True if folds leave out retracted events by themselves. */
bool ct_store_cancels(const CtArena *arena, CtRef store);

/*
 * Sorted runs of recent events: those that the caller found visible, to be
 * folded beside the entered ones; and those whose entered duplicates are to be
 * left out, or which retract an entered event.
 */
typedef struct CtRuns
{
	CtRef *extra;
	CtRef *cancelled; /* room for as many as extra */
	uint32_t nextra;
	uint32_t ncancelled;
	bool retracts; /* some of what was found visible retract */
} CtRuns;

/*
 * Given visible recent events in runs->extra, in any order: sort them, remove
 * retracted ones with their retractions, keep one of each identity, and decide
 * between a recent event and its entered duplicate, if the snapshot sees that.
 */
void ct_timeline_merge(const CtArena *arena, CtRef store, CtRef timeline,
					   const CtSnapshot *snapshot, CtRuns *runs);

/* ---- reading (fold.c) -------------------------------------------------------- */

/*
 * Set *state to the state at `time`: the fold of every visible event at or before
 * it.  `time` must not be before what ct_store_retain() has given up.
 */
void ct_timeline_fold(const CtArena *arena, CtRef store, CtRef timeline, int64_t time,
					  const CtSnapshot *snapshot, const CtRuns *runs, CtState *state);

/*
 * Go from the state at *time, which ct_timeline_fold() or this function returned,
 * to the next instant up to `until` that has a visible event (or a retracted one).
 * False: there is none.
 */
bool ct_timeline_step(const CtArena *arena, CtRef store, CtRef timeline, int64_t *time,
					  int64_t until, const CtSnapshot *snapshot, const CtRuns *runs,
					  CtState *state);

/* A raw event: the values that it sets and that are not NULL. */
typedef struct CtRawEvent
{
	int64_t time;
	uint8_t kind; /* CtKind */
	bool entered;
	bool late; /* a later event had entered before it; or has by now, if it has not entered */
	uint64_t set;
	uint64_t null;
	CtValue value[CT_MAX_ATTRS];
} CtRawEvent;

/*
 * A visitor of raw events.  False ends the visit: the visitor has not taken this
 * event, and the next visit begins with it.
 */
typedef bool (*CtVisitor)(void *arg, const CtRawEvent *event);

/*
 * A position among the events that a snapshot sees: behind all events before `time`
 * and behind the first `visited` ones at `time`.  The other fields are a hint where
 * that is in the timeline.  It holds as long as the timeline does not change; without
 * it the events at `time` are counted again.
 */
typedef struct CtPosition
{
	int64_t time;
	uint32_t visited;
	uint32_t before;      /* of the visited events, those before the block `path` */
	const void *timeline; /* NULL: there is no hint */
	uint64_t path;        /* the block that holds the next event */
	uint32_t sequence;    /* of the timeline */
	uint32_t nextra;      /* recent events that were left before the block */
	uint32_t ncancelled;
} CtPosition;

/*
 * Visit every visible event from a position up to the instant `to`, in order, and move
 * the position behind each event that the visitor takes.  A visit from an instant on
 * begins with {.time = instant}.  The next one must have the same `to` and the same
 * snapshot; events may have entered in between.  False: the visitor ended the visit.
 */
bool ct_timeline_visit(const CtArena *arena, CtRef store, CtRef timeline, CtPosition *position,
					   int64_t to, const CtSnapshot *snapshot, const CtRuns *runs,
					   CtVisitor visitor, void *arg);

/*
 * Set *time to the latest instant at or before it that has a visible event (or a
 * retracted one).  False: there is none.
 */
bool ct_timeline_latest(const CtArena *arena, CtRef store, CtRef timeline, int64_t *time,
						const CtSnapshot *snapshot, const CtRuns *runs);

/* ---- what is not seen (unseen.c) --------------------------------------------- */

/* True if the snapshot sees all events that have entered. */
bool ct_timeline_seen(const CtArena *arena, CtRef timeline, const CtSnapshot *snapshot);

/*
 * Find the transactions whose entered events the snapshot does not see.  Store the
 * first `room` ids in top[]; an id may occur more than once.  Return how many there
 * are.
 */
uint32_t ct_timeline_unseen(const CtArena *arena, CtRef store, CtRef timeline,
							const CtSnapshot *snapshot, uint64_t *top, uint32_t room);

/* ---- invariants (validate.c) ------------------------------------------------- */

/* Check every invariant.  CT_BROKEN: *reason names the first that does not hold. */
CtStatus ct_store_validate(const CtArena *arena, CtRef store, const char **reason) CT_MUST_CHECK;
CtStatus ct_region_validate(const void *base, const char **reason) CT_MUST_CHECK;

#endif /* CT_ENGINE_H */
