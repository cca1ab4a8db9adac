/*
 * adapter.h
 *	  The engine's calls for loading, made of those it has today.
 *
 * For as long as engine.h has no ct_store_load(): then this file goes, and with
 * it the line in engine_bench.c that includes it and what is there under
 * BENCH_ADAPTER.
 */
#ifndef ADAPTER_H
#define ADAPTER_H

#include "store.h"
#include "timeline.h"

#define BENCH_ADAPTER

typedef struct CtLoad
{
	uint64_t hash;
	const void *key;
	uint32_t key_bytes;
	uint64_t top;
	CtChange change;
} CtLoad;

static CtWriter
ct_writer(CtArena *arena, CtRef store)
{
	CtWriter writer = {.arena = arena, .store = ct_ptr(arena, store)};

	writer.shape = ct_store_shape(arena, writer.store);
	return writer;
}

static CtRef
ct_writer_timeline(CtWriter *writer, uint64_t hash, const void *key, uint32_t key_bytes)
{
	CtRef timeline =
		ct_directory_find(writer->arena, &writer->store->directory, hash, key, key_bytes);

	return timeline != 0 ? timeline : ct_directory_add(writer, hash, key, key_bytes);
}

static CtStatus
ct_timeline_load(CtWriter *writer, CtRef timeline, const CtChange *change, uint64_t top)
{
	CtArena *arena = writer->arena;
	CtRef store = (CtRef) (((char *) writer->store - arena->base) / CT_GRANULE);
	CtLabel label = {.top = top == 0 ? 1 : top, .xid = top == 0 ? 1 : top};
	CtChanged changed = {0};
	uint32_t key_bytes;
	const void *key = ct_timeline_key(arena, timeline, &key_bytes);
	uint64_t hash = ((CtTimeline *) ct_ptr(arena, timeline))->hash;
	CtStatus status = ct_store_add(arena, store, hash, key, key_bytes, change, &label);

	if (status == CT_OK)
		status = ct_store_enter(arena, store, writer->store->last_batch, 1, INT64_MIN, &changed);
	if (status == CT_OK && top == 0)
		status = ct_store_settle(arena, store, 2, 2, INT64_MIN, &changed);
	return status;
}

static CtStatus
ct_store_load(CtWriter *writer, const CtLoad *load, uint32_t count, uint32_t *done)
{
	for (*done = 0; *done < count; ++*done)
	{
		const CtLoad *one = &load[*done];
		CtRef timeline = ct_writer_timeline(writer, one->hash, one->key, one->key_bytes);
		CtStatus status = timeline == 0
							  ? CT_NO_MEMORY
							  : ct_timeline_load(writer, timeline, &one->change, one->top);

		if (status != CT_OK)
			return status;
	}
	return CT_OK;
}

#endif /* ADAPTER_H */
