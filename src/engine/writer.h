/*
 * writer.h
 *	  The contents of a store, one table's share of one partition, and its writer.
 *
 * Shared by writer.c and the files above that change a store or read its head.
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
	CtRef retired;  /* earlier schemas and lists of layouts (S8) */
	uint64_t lasts; /* masks of attributes, as in CtReadContext */
	uint64_t hidden;
	uint64_t linear;
	uint64_t moving;
	uint64_t sums;
	uint64_t initial;
	uint64_t plain;
	uint32_t nlayouts;
	uint32_t layouts_capacity;
	uint16_t bucket[CT_FORM_BUCKETS]; /* hash buckets of layouts */
	CtRef first_batch;
	CtRef last_batch;
	CtQueue waiting; /* committed duplicates and retractions, in order of arrival */
	CtQueue young;   /* timelines with young events */
	uint32_t nyoung_timelines;
	uint32_t round; /* timelines to look at before all are settled */
	CtDirectory directory;
	uint32_t freeing;    /* next slot for ct_store_free() */
	uint64_t horizon;    /* highest ever: every snapshot sees ids below it */
	uint64_t newest_top; /* highest id of an event that has entered */
	uint64_t bytes;      /* of everything allocated for the store */
	uint64_t recents;
	uint64_t nwaiting;
	uint64_t nretractions; /* among recent and waiting events */
	uint64_t nyoung;
	uint64_t nfrozen;
	uint64_t duplicates;
	uint64_t conflicts;
	uint64_t retracted;
	uint64_t unmatched; /* retractions that found no event */
	uint64_t late;
	int64_t net;                /* committed events, less committed retractions */
	CtNewest entered;           /* the newest event that has entered, */
	CtNewest other;             /* and the newest one of other transactions than that one's */
	int64_t retained;           /* earlier instants cannot be read */
	uint64_t folded;            /* events in bases */
	uint32_t retain_slot;       /* next slot for the walk of ct_store_retain() */
	bool retaining;             /* such a walk is in progress */
	bool retain_left;           /* it left something to be folded later */
	uint64_t retain_frozen;     /* events frozen, folded or settled when it began */
	bool keeps;                 /* duplicates are not settled: see ct_store_keep() */
	bool partial;               /* keys may be missing: partial.c */
	uint64_t newest_unnotified; /* highest id of events neither kept nor reported (partial.c) */
	uint32_t evict_slot;        /* next slot for the walk of ct_store_evict() */
};

/* Memory that a reader without the lock may still use. */
typedef struct CtRetired
{
	CtRef next;
	CtRef ref;
	uint32_t bytes;
} CtRetired;

struct CtTimeline;

/* Return the reference of an address in the region. */
static inline CtRef
ct_ref_of(const CtWriter *writer, const void *at)
{
	CT_ASSERT((const char *) at >= writer->arena->base);
	return (CtRef) ((size_t) ((const char *) at - writer->arena->base) / CT_GRANULE);
}

CtReadContext ct_store_read_context(const CtArena *arena, const CtStore *store);

/*
 * Allocate and free on the store's account.  ct_take() returns 0 if there is no
 * memory; `upkeep`: it may use the reserve.
 */
CtRef ct_take(CtWriter *writer, size_t bytes, bool upkeep) CT_MUST_CHECK;
void ct_give(CtWriter *writer, CtRef ref, size_t bytes);

static inline bool
ct_is_layout_of(const CtLayout *layout, const CtChange *change)
{
	return layout->set == change->set && layout->null == change->null &&
		   layout->kind == change->kind;
}

/* True if the change has the layout of the change before, and its payload is the record. */
static inline bool
ct_is_verbatim(const CtWriter *writer, const CtChange *change)
{
	return writer->last != NULL && ct_is_layout_of(writer->last, change) &&
		   writer->last->verbatim && writer->last->bytes == change->payload_bytes;
}

/*
 * Retire memory: it is freed with the store.  False: no memory for the note.
 * ct_unretire() undoes the last call.
 */
bool ct_retire(CtWriter *writer, CtRef ref, size_t bytes) CT_MUST_CHECK;
void ct_unretire(CtWriter *writer);

/* Append a timeline to the list of timelines to be settled. */
void ct_young_push(CtWriter *writer, struct CtTimeline *timeline);

#endif /* CT_WRITER_H */
