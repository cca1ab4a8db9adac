/*
 * store.h
 *	  The inside of a store: one table's share of one partition.
 */
#ifndef CT_STORE_H
#define CT_STORE_H

#include "directory.h"
#include "rule.h"

/* A queue of events, linked by CtEvent.queue. */
typedef struct CtQueue
{
	CtRef first;
	CtRef last;
} CtQueue;

typedef struct CtStore
{
	CtRef schema;
	CtRef layout; /* CtShape.cell */
	CtRef first_batch;
	CtRef last_batch;
	CtQueue waiting; /* committed twins, in order of arrival */
	CtQueue young;   /* entered events that are not frozen */
	CtDirectory directory;
	uint32_t freeing; /* next slot ct_store_free() looks at */
	uint64_t horizon; /* highest ever: ids below it everyone sees */
	uint64_t bytes;   /* of all that is allocated for the store */
	uint64_t recents;
	uint64_t nwaiting;
	uint64_t nyoung;
	uint64_t nfrozen;
	uint64_t duplicates;
	uint64_t conflicts;
	uint64_t late;
	int64_t newest;
} CtStore;

/* A store under change, with what is needed to do so. */
typedef struct CtWriter
{
	CtArena *arena;
	CtStore *store;
	CtShape shape;
} CtWriter;

CtShape ct_store_shape(const CtArena *arena, const CtStore *store);

/* Allocate and free on the store's account. */
CtRef ct_take(CtWriter *writer, size_t bytes, bool upkeep) CT_MUST_CHECK;
void ct_give(CtWriter *writer, CtRef ref, size_t bytes);

static inline size_t
ct_event_bytes(const CtEvent *event)
{
	return offsetof(CtEvent, payload) + event->payload_bytes;
}

static inline uint32_t
ct_layout_bytes(uint32_t nattrs)
{
	return (nattrs + 1) * (uint32_t) sizeof(uint32_t);
}

#endif /* CT_STORE_H */
