/*
 * writer.h
 *	  The inside of a store, one table's share of one partition, and its writer.
 *
 * Of writer.c; for everything above that changes a store or reads its head.
 */
#ifndef CT_WRITER_H
#define CT_WRITER_H

#include "engine/directory.h"
#include "engine/event.h"

/* A queue of events, linked by CtEvent.queue. */
typedef struct CtQueue
{
	CtRef first;
	CtRef last;
} CtQueue;

struct CtStore
{
	CtRef schema;
	CtRef layouts;  /* references by number */
	CtRef retired;  /* descriptions and lists of layouts before these (S8) */
	uint64_t lasts; /* masks of attributes, as in CtReadContext */
	uint64_t hidden;
	uint64_t linear;
	uint64_t moving;
	uint64_t sums;
	uint64_t initial;
	uint64_t plain;
	uint32_t nlayouts;
	uint32_t layouts_capacity;
	uint16_t bucket[CT_FORM_BUCKETS]; /* of layouts */
	CtRef first_batch;
	CtRef last_batch;
	CtQueue waiting; /* committed duplicates and retractions, in order of arrival */
	CtQueue young;   /* timelines with young events */
	uint32_t nyoung_timelines;
	uint32_t round; /* of them to look at before all are settled */
	CtDirectory directory;
	uint32_t freeing;    /* next slot ct_store_free() looks at */
	uint64_t horizon;    /* highest ever: ids below it everyone sees */
	uint64_t newest_top; /* highest id of an event that has entered */
	uint64_t bytes;      /* of all that is allocated for the store */
	uint64_t recents;
	uint64_t nwaiting;
	uint64_t nretractions; /* among those that are recent or wait */
	uint64_t nyoung;
	uint64_t nfrozen;
	uint64_t duplicates;
	uint64_t conflicts;
	uint64_t retracted;
	uint64_t unmatched; /* retractions of what was not there */
	uint64_t late;
	int64_t net; /* events that have committed, less their retractions */
	int64_t newest;
	int64_t newest_entered;
	int64_t retained;           /* what is before this instant need not be answered */
	uint64_t folded;            /* events in bases */
	uint32_t retain_slot;       /* the next one a walk of ct_store_retain() looks at */
	bool retaining;             /* such a walk is under way */
	bool retain_left;           /* it met something it had to leave */
	uint64_t retain_frozen;     /* events that had frozen when it began */
	bool keeps;                 /* duplicates are not decided about: see ct_store_keep() */
	bool partial;               /* keys may be missing: partial.c */
	uint64_t newest_unnotified; /* highest id of events neither kept nor reported (partial.c) */
	uint32_t evict_slot;        /* the next one a walk of ct_store_evict() looks at */
};

/* What a reader without the lock may still be looking at. */
typedef struct CtRetired
{
	CtRef next;
	CtRef ref;
	uint32_t bytes;
} CtRetired;

struct CtTimeline;

/* The reference of what lies somewhere in the region. */
static inline CtRef
ct_ref_of(const CtWriter *writer, const void *at)
{
	CT_ASSERT((const char *) at >= writer->arena->base);
	return (CtRef) ((size_t) ((const char *) at - writer->arena->base) / CT_GRANULE);
}

CtReadContext ct_store_read_context(const CtArena *arena, const CtStore *store);

/* Allocate and free on the store's account. */
CtRef ct_take(CtWriter *writer, size_t bytes, bool upkeep) CT_MUST_CHECK;
void ct_give(CtWriter *writer, CtRef ref, size_t bytes);

static inline bool
ct_is_layout_of(const CtLayout *layout, const CtChange *change)
{
	return layout->set == change->set && layout->null == change->null &&
		   layout->kind == change->kind;
}

/* Of the layout that the change before had, and its payload is the record? */
static inline bool
ct_is_verbatim(const CtWriter *writer, const CtChange *change)
{
	return writer->last != NULL && ct_is_layout_of(writer->last, change) &&
		   writer->last->verbatim && writer->last->bytes == change->payload_bytes;
}

/* Memory that is given back with the store; false: no room to remember it. */
bool ct_retire(CtWriter *writer, CtRef ref, size_t bytes) CT_MUST_CHECK;
void ct_unretire(CtWriter *writer);

/* A timeline has its first young event. */
void ct_young_push(CtWriter *writer, struct CtTimeline *timeline);

#endif /* CT_WRITER_H */
