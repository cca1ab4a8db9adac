/*
 * timeline.h
 *	  The entered events of a timeline: its tail, and paths into its tree.
 *
 * Shared by timeline.c and the files that read or change entered events.
 */
#ifndef CT_TIMELINE_H
#define CT_TIMELINE_H

#include <string.h>

#include "engine/node.h"
#include "engine/slot.h"

/* A place in a timeline: before event `position` of a leaf or of the tail. */
typedef struct CtSpot
{
	int depth; /* inner nodes on the path to the leaf; 0: the tail */
	CtInner *inner[CT_MAX_HEIGHT];
	uint32_t index[CT_MAX_HEIGHT];
	CtRef *leaf; /* the leaf's reference in its node */
	uint32_t position;
} CtSpot;

/* Return the number of levels of inner nodes; it may be torn. */
static inline int
ct_timeline_height(const CtTimeline *timeline)
{
	return timeline->height < CT_MAX_HEIGHT ? timeline->height : CT_MAX_HEIGHT;
}

static inline CtRow *
ct_tail_row(const CtArena *arena, const CtTimeline *timeline, uint32_t i)
{
	return (CtRow *) ((char *) ct_ptr(arena, timeline->tail) + (size_t) i * timeline->tail_stride);
}

static inline void
ct_tail_run(const CtReadContext *context, const CtTimeline *timeline, CtRun *run)
{
	/*
	 * Load each once.  While a slot is being recycled, there may be rows and a
	 * stride of 0.
	 */
	uint8_t count = __atomic_load_n(&timeline->tail_count, __ATOMIC_RELAXED);
	uint16_t stride = __atomic_load_n(&timeline->tail_stride, __ATOMIC_RELAXED);

	run->context = context;
	run->count = count < CT_TAIL_EVENTS ? count : CT_TAIL_EVENTS;
	run->layout = timeline->tail_layout;
	run->finish = timeline->tail_finish != 0;
	run->set =
		run->layout != 0 ? ct_layout_of(context, run->layout, NULL, NULL)->touched : UINT64_MAX;
	run->time = NULL;
	run->slot = NULL;
	run->base = ct_ptr(context->arena, timeline->tail);
	run->stride = stride < CT_MAX_ROW_BYTES ? stride : CT_MAX_ROW_BYTES;
	if (stride == 0)
		run->stride = sizeof(CtRow);
	run->label = NULL;
}

/* Write a row.  Clear the rest of it, so that nothing undefined is copied later. */
static inline void
ct_row_write(CtRow *row, const CtEntry *entry, uint32_t stride)
{
	row->time = entry->time;
	CT_ASSERT(sizeof(CtRow) + entry->bytes <= stride);
	row->label = (uint32_t) entry->top;
	row->layout = (uint16_t) entry->layout;
	row->late = entry->late;
	if (entry->bytes == 16)
		memcpy(row->record, entry->record, 16);
	else
		memcpy(row->record, entry->record, entry->bytes);
	if (sizeof(CtRow) + entry->bytes < stride)
		memset(row->record + entry->bytes, 0, stride - sizeof(CtRow) - entry->bytes);
}

/* timeline.c */
void ct_entered_young(CtWriter *writer, CtTimeline *timeline, uint64_t top);

/* Count an event that has entered, in the store and in the timeline. */
static inline void
ct_entered(CtWriter *writer, CtTimeline *timeline, uint64_t top)
{
	if (top == 0)
		writer->store->nfrozen++;
	else
		ct_entered_young(writer, timeline, top);
}

/*
 * The usual case of ct_timeline_insert(): append an event to a tail that has room
 * and whose rows all have the event's layout.  False: it is another case.
 */
static inline bool
ct_tail_append(CtWriter *writer, CtTimeline *timeline, const CtEntry *entry)
{
	uint32_t count = timeline->tail_count;
	CtRow *row = ct_tail_row(writer->arena, timeline, count);

	if (count == 0 || count == timeline->tail_capacity || timeline->tail_layout != entry->layout ||
		entry->layout == 0 ||
		((const CtRow *) ((const char *) row - timeline->tail_stride))->time >= entry->time)
		return false;
	ct_row_write(row, entry, timeline->tail_stride);
	timeline->tail_count++;
	CT_ASSERT(timeline->tail_count <= timeline->tail_capacity && ct_is_changing(timeline));
	ct_entered(writer, timeline, entry->top);
	return true;
}

/* Return how many children begin at or before the instant. */
static inline uint32_t
ct_node_until(const CtInner *inner, int64_t time)
{
	return ct_count_until(inner->time, inner->count < CT_FANOUT ? inner->count : CT_FANOUT, time);
}

void ct_spot_run(const CtReadContext *context, const CtTimeline *timeline, const CtSpot *spot,
				 CtRun *run);
CtItem ct_first_item(const CtReadContext *context, CtRef ref, int height, CtLayout *scratch);
bool ct_timeline_last(const CtReadContext *context, const CtTimeline *timeline, CtItem *item,
					  CtLayout *scratch);
bool ct_timeline_has_later(const CtReadContext *context, const CtTimeline *timeline,
						   const CtItem *item);
bool ct_timeline_locate(const CtReadContext *context, const CtTimeline *timeline,
						const CtItem *item, CtSpot *spot);
CtStatus ct_timeline_insert(CtWriter *writer, CtTimeline *timeline, const CtEntry *entry)
	CT_MUST_CHECK;
bool ct_timeline_find_duplicate(const CtReadContext *context, const CtTimeline *timeline,
								const CtItem *item, CtSpot *spot);
void ct_timeline_forget(CtWriter *writer, CtTimeline *timeline, const CtRun *run, uint32_t n);
CtStatus ct_timeline_replace(CtWriter *writer, CtTimeline *timeline, const CtEntry *entry,
							 const CtSpot *duplicate)
	CT_MUST_CHECK;
void ct_timeline_remove(CtWriter *writer, CtTimeline *timeline, CtSpot *spot);
uint32_t ct_timeline_freeze(CtWriter *writer, CtTimeline *timeline, uint64_t horizon);
int ct_timeline_free(CtWriter *writer, CtTimeline *timeline, int limit);

void ct_leaf_vanish(CtWriter *writer, CtTimeline *timeline, const CtSpot *spot);
bool ct_tail_resize(CtWriter *writer, CtTimeline *timeline, uint32_t capacity, uint32_t stride);
void ct_tail_note(const CtReadContext *context, CtTimeline *timeline);
void ct_tail_free(CtWriter *writer, CtTimeline *timeline);

#endif /* CT_TIMELINE_H */
