/*
 * block.h
 *	  Blocks of events: the tail of a timeline, and closed leaves.
 *
 *	  tail   | time label layout late record | time label ... |   rows of one
 *			 size: an event in order touches one cache line
 *	  leaf   | time ... | slot ... | records |   and labels elsewhere, while an
 *			 event is young: arrays that are searched are contiguous
 *
 * `late` tells that a later event, in the order of events, had entered before
 * this one.  It is not part of the event's content.
 *
 * A fold sees both as a CtRun.
 */
#ifndef CT_BLOCK_H
#define CT_BLOCK_H

#include "engine/rule.h"
#include "engine/search.h"
#include "engine/writer.h"

/*
 * When a tail is full, all but its newest rows are closed, so that events that are
 * a little late still find the rows they belong to.  Tests lower these, for high
 * trees of few events.
 */
#ifndef CT_TAIL_EVENTS
#define CT_TAIL_EVENTS 96
#define CT_CLOSE_EVENTS 64 /* at least; more, if they fit in the allocated memory */
#define CT_CLOSE_MOST 72
#define CT_LEAF_EVENTS 96 /* a leaf with more is split */
#endif
#define CT_TAIL_BYTES 8192 /* a tail with long records is closed earlier */
#define CT_LEAF_ROOM 16384 /* bytes of records; a leaf with more is split */

_Static_assert(CT_CLOSE_MOST < CT_TAIL_EVENTS && CT_CLOSE_MOST <= CT_LEAF_EVENTS,
			   "a closed tail leaves something, and fits in a leaf");
_Static_assert(CT_LEAF_ROOM <= UINT16_MAX, "slots have 16 bits");
_Static_assert(CT_TAIL_EVENTS <= UINT8_MAX, "rows of a tail are counted in 8 bits");

typedef struct CtRow
{
	int64_t time;
	uint32_t label; /* the last 32 bits of its top-level id; 0: frozen */
	uint16_t layout;
	uint16_t late;
	uint8_t record[];
} CtRow;

_Static_assert(sizeof(CtRow) == 16, "rows are packed");

#define CT_MAX_ROW_BYTES (sizeof(CtRow) + CT_MAX_RECORD_BYTES + 8)

/* A torn leaf or tail leads to addresses within the guard. */
_Static_assert(sizeof(CtRow) + CT_TAIL_EVENTS * CT_MAX_ROW_BYTES + UINT16_MAX < CT_GUARD_BYTES &&
				   CT_LEAF_EVENTS * 12 + 3 * UINT16_MAX < CT_GUARD_BYTES,
			   "torn blocks end within the guard");

typedef struct CtSlot
{
	uint16_t offset; /* of the record */
	uint16_t layout : 15;
	uint16_t late : 1;
} CtSlot;

_Static_assert(sizeof(CtSlot) == 4 && CT_MAX_FORMS < 1 << 15, "slots are packed");

/* `capacity` times and slots, and `room` bytes for records follow. */
typedef struct CtLeaf
{
	uint16_t count;
	uint16_t capacity;
	uint16_t room;
	uint16_t used;   /* of the room, holes included */
	uint16_t holes;  /* left by removed records */
	uint16_t layout; /* of all events; 0: there are several */
	CtRef labels;    /* of each event, or 0: all are frozen */
	uint64_t set;    /* includes all attributes that events touch */
	uint8_t finish;  /* there may be a finish */
	uint8_t packed;  /* records are in the order of events, without holes */
	uint8_t unused[6];
	int64_t time[];
} CtLeaf;

/* Events in order, in a leaf or a tail. */
typedef struct CtRun
{
	const CtReadContext *context;
	uint32_t count;
	uint32_t layout; /* of all of them, or 0 */
	bool finish;     /* there may be one */
	uint64_t set;
	const int64_t *time;   /* of a leaf */
	const CtSlot *slot;    /* NULL: it is a tail */
	const uint8_t *base;   /* of the records, or rows */
	uint32_t stride;       /* of rows, and of records that are packed; or 0 */
	const uint32_t *label; /* NULL: all are frozen */
} CtRun;

/* Return the id of a label.  The id must be at most 2^31 below `newest`. */
static inline uint64_t
ct_label_top(uint64_t newest, uint32_t label)
{
	return newest - (uint32_t) ((uint32_t) newest - label);
}

/* Return the capacity, limited, as it may be torn. */
static inline uint32_t
ct_leaf_capacity(const CtLeaf *leaf)
{
	return leaf->capacity < CT_LEAF_EVENTS ? leaf->capacity : CT_LEAF_EVENTS;
}

static inline CtSlot *
ct_leaf_slots(const CtLeaf *leaf)
{
	return (CtSlot *) &leaf->time[ct_leaf_capacity(leaf)];
}

static inline uint8_t *
ct_leaf_records(const CtLeaf *leaf)
{
	return (uint8_t *) (ct_leaf_slots(leaf) + ct_leaf_capacity(leaf));
}

static inline size_t
ct_leaf_bytes(uint32_t capacity, uint32_t room)
{
	return sizeof(CtLeaf) + capacity * (sizeof(int64_t) + sizeof(CtSlot)) + room;
}

static inline const CtRow *
ct_run_row(const CtRun *run, uint32_t i)
{
	CT_ASSERT(run->slot == NULL && i <= CT_TAIL_EVENTS);
	return (const CtRow *) (run->base + (size_t) i * run->stride);
}

static inline int64_t
ct_run_time(const CtRun *run, uint32_t i)
{
	return run->slot != NULL ? run->time[i] : ct_run_row(run, i)->time;
}

static inline uint32_t
ct_run_layout(const CtRun *run, uint32_t i)
{
	return run->slot != NULL ? run->slot[i].layout : ct_run_row(run, i)->layout;
}

static inline const uint8_t *
ct_run_record(const CtRun *run, uint32_t i)
{
	return run->slot != NULL ? run->base + run->slot[i].offset : ct_run_row(run, i)->record;
}

static inline uint32_t
ct_run_label(const CtRun *run, uint32_t i)
{
	if (run->slot == NULL)
		return ct_run_row(run, i)->label;
	return run->label == NULL ? 0 : run->label[i];
}

static inline CtItem
ct_run_item(const CtRun *run, uint32_t i, CtLayout *scratch)
{
	const uint8_t *record = ct_run_record(run, i);

	return (CtItem){ct_run_time(run, i),
					ct_layout_of(run->context, ct_run_layout(run, i), record, scratch), record};
}

static inline bool
ct_run_late(const CtRun *run, uint32_t i)
{
	return run->slot != NULL ? run->slot[i].late : ct_run_row(run, i)->late != 0;
}

/*
 * Return the bytes from record to record, if all have one layout and are packed.  0:
 * they are not.
 */
static inline uint32_t
ct_leaf_stride(const CtReadContext *context, const CtLeaf *leaf)
{
	uint32_t bytes;

	if (!leaf->packed || leaf->layout == 0)
		return 0;
	bytes = ct_layout_of(context, leaf->layout, NULL, NULL)->bytes;
	return bytes < CT_MAX_RECORD_BYTES ? bytes : CT_MAX_RECORD_BYTES;
}

/* Fill in *run.  (It is not returned by value, as copying one costs more than a fold.) */
static inline void
ct_leaf_run(const CtReadContext *context, const CtLeaf *leaf, CtRun *run)
{
	run->context = context;
	run->count = leaf->count < CT_LEAF_EVENTS ? leaf->count : CT_LEAF_EVENTS;
	run->layout = leaf->layout;
	run->finish = leaf->finish != 0;
	run->set = leaf->set;
	run->time = leaf->time;
	run->slot = ct_leaf_slots(leaf);
	run->base = ct_leaf_records(leaf);
	run->stride = ct_leaf_stride(context, leaf);
	run->label = leaf->labels == 0 ? NULL : ct_ptr(context->arena, leaf->labels);
}

uint32_t ct_tail_until(const CtRun *run, int64_t time);

/* Return how many events are at or before the instant. */
static inline uint32_t
ct_run_until(const CtRun *run, int64_t time)
{
	return run->slot != NULL ? ct_count_until(run->time, run->count, time)
							 : ct_tail_until(run, time);
}

__int128 ct_run_add_up(const CtRun *run, uint32_t from, uint32_t to, uint32_t offset);
void ct_run_compose(const CtRun *run, uint32_t from, uint32_t to, int attr, CtCell *cell);
uint32_t ct_run_numbers(const CtRun *run, uint32_t from, uint32_t to, CtState *state, bool *finish);
uint64_t ct_run_lasts(const CtRun *run, uint32_t from, uint32_t to, uint64_t wanted,
					  CtState *state);
void ct_run_apply(const CtRun *run, uint32_t from, uint32_t to, CtState *state);

/* An event that is being inserted into a block. */
typedef struct CtEntry
{
	int64_t time;
	uint64_t top; /* 0: frozen */
	uint32_t layout;
	uint32_t bytes; /* of the record */
	bool waited;    /* it had to wait because of its duplicate: `late` is set already */
	bool late;
	const uint8_t *record;
} CtEntry;

CtRef ct_leaf_make(CtWriter *writer, uint32_t events, uint32_t record_bytes) CT_MUST_CHECK;
bool ct_leaf_is_full(const CtLeaf *leaf, uint32_t record_bytes);
bool ct_leaf_prepare(CtWriter *writer, CtRef *at, const CtEntry *entry) CT_MUST_CHECK;
void ct_leaf_insert(const CtWriter *writer, CtLeaf *leaf, uint32_t i, const CtEntry *entry);
void ct_leaf_remove(const CtWriter *writer, CtLeaf *leaf, uint32_t i);
void ct_leaf_copy(const CtWriter *writer, CtLeaf *to, const CtRun *from, uint32_t first,
				  uint32_t end);
bool ct_leaf_label(CtWriter *writer, CtLeaf *leaf) CT_MUST_CHECK;
void ct_leaf_free(CtWriter *writer, CtRef ref);

#endif /* CT_BLOCK_H */
