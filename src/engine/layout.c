/*
 * layout.c
 *	  The layouts of a store: look one up, or add it.
 *
 * If the layout (event.h) of a change is new, it is added, unless there are too
 * many.
 *
 * Called by store.c.
 *
 * Concurrency: as for store.c.
 *
 * Not here: records (record.c), what layouts and records mean (event.c).
 */
#include <string.h>

#include "engine/layout.h"

static uint32_t
hash_layout(const CtChange *change)
{
	uint64_t hash = (change->set * 31 + change->null) * 31 + change->kind;

	return (uint32_t) (hash * UINT64_C(0x9E3779B97F4A7C15) >> 58) % CT_FORM_BUCKETS;
}

static CtRef *
find_layout_ref(const CtWriter *writer, uint32_t number)
{
	/* S7 */
	CT_ASSERT(number < writer->store->layouts_capacity && number <= writer->store->nlayouts);
	return (CtRef *) ct_ptr(writer->arena, writer->store->layouts) + number;
}

/* Make room for another layout in the list.  False: no memory. */
static bool
grow_layouts(CtWriter *writer)
{
	CtStore *store = writer->store;
	uint32_t capacity = store->layouts_capacity == 0 ? 8 : store->layouts_capacity * 2;
	CtRef ref;

	if (store->nlayouts < store->layouts_capacity)
		return true;
	ref = ct_take(writer, capacity * sizeof(CtRef), false);
	if (ref == 0)
		return false;
	memset(ct_ptr(writer->arena, ref), 0, capacity * sizeof(CtRef));
	if (store->layouts != 0)
	{
		if (!ct_retire(writer, store->layouts, store->layouts_capacity * sizeof(CtRef)))
		{
			ct_give(writer, ref, capacity * sizeof(CtRef));
			return false;
		}
		memcpy(ct_ptr(writer->arena, ref), find_layout_ref(writer, 0),
			   store->nlayouts * sizeof(CtRef));
	}
	__atomic_store_n(&store->layouts, ref, __ATOMIC_RELEASE);
	store->layouts_capacity = capacity;
	return true;
}

static CtStatus
add_layout(CtWriter *writer, const CtChange *change, uint32_t *number)
{
	CtStore *store = writer->store;
	CtLayout layout;
	CtRef ref;

	CT_ASSERT(store->nlayouts > 0); /* S7 */
	*number = 0;
	if (store->nlayouts >= CT_MAX_FORMS)
		return CT_OK;
	ct_layout_make(writer->context.schema, change, 0, &layout);
	if (!grow_layouts(writer))
		return CT_NO_MEMORY;
	ref = ct_take(writer, ct_layout_bytes(&layout), false);
	if (ref == 0)
		return CT_NO_MEMORY;
	layout.next = store->bucket[hash_layout(change)];
	memcpy(ct_ptr(writer->arena, ref), &layout, ct_layout_bytes(&layout));
	*number = store->nlayouts;
	CT_ASSERT(*number < store->layouts_capacity && *number < CT_MAX_FORMS); /* S7 */
	*find_layout_ref(writer, *number) = ref;
	__atomic_store_n(&store->nlayouts, *number + 1, __ATOMIC_RELEASE);
	store->bucket[hash_layout(change)] = (uint16_t) *number;
	writer->context = ct_store_read_context(writer->arena, store);
	return CT_OK;
}

/*
 * Set *number to the layout of a change, which is added if it is new.  0: there are
 * too many.
 */
static CtStatus
find_layout(CtWriter *writer, const CtChange *change, uint32_t *number)
{
	for (*number = writer->store->bucket[hash_layout(change)]; *number != 0;)
	{
		const CtLayout *layout = ct_ptr(writer->arena, *find_layout_ref(writer, *number));

		if (ct_is_layout_of(layout, change))
			return CT_OK;
		*number = layout->next;
	}
	return add_layout(writer, change, number);
}

/*
 * Compute all layouts again after the schema has changed.  Attributes that events
 * set have not changed, so the layouts of events stay the same.  The others are
 * overwritten in place: their size depends only on the attributes they set, which
 * do not change.
 */
void
ct_layouts_renew(CtWriter *writer)
{
	CtStore *store = writer->store;
	const CtSchema *schema = ct_ptr(writer->arena, store->schema);

	for (uint32_t i = 1; i < store->nlayouts; i++)
	{
		CtLayout *layout = ct_ptr(writer->arena, *find_layout_ref(writer, i));
		CtChange change = {.set = layout->set, .null = layout->null, .kind = layout->kind};
		CtLayout renewed;

		ct_layout_make(schema, &change, 0, &renewed);
		CT_ASSERT(renewed.nattrs == layout->nattrs); /* S8 */
		renewed.next = layout->next;
		memcpy(layout, &renewed, ct_layout_bytes(&renewed));
	}
}

void
ct_layouts_free(CtWriter *writer)
{
	CtStore *store = writer->store;

	for (uint32_t i = 1; i < store->nlayouts; i++)
	{
		const CtLayout *layout = ct_ptr(writer->arena, *find_layout_ref(writer, i));

		ct_give(writer, *find_layout_ref(writer, i), ct_layout_bytes(layout));
	}
	if (store->layouts != 0)
		ct_give(writer, store->layouts, store->layouts_capacity * sizeof(CtRef));
	store->layouts = 0;
	store->nlayouts = 1;
}

/*
 * Check a change and find its layout.  If it has none (*number 0), *layout is made
 * in *scratch.  CT_BROKEN: the change is not valid.  CT_LIMIT: its payload is too
 * large.  CT_NO_MEMORY: no memory for a new layout.
 */
CtStatus
ct_change_layout(CtWriter *writer, const CtChange *change, const CtLayout **layout,
				 CtLayout *scratch, uint32_t *number)
{
	CtStatus status;

	if (change->payload_bytes > CT_MAX_PAYLOAD_BYTES)
		return CT_LIMIT;
	if (ct_change_check(writer->context.schema, change) != CT_OK)
		return CT_BROKEN;
	status = find_layout(writer, change, number);
	if (status != CT_OK)
		return status;
	*layout = scratch;
	if (*number != 0)
		writer->last = *layout = ct_ptr(writer->arena, *find_layout_ref(writer, *number));
	else
		ct_layout_make(writer->context.schema, change, CT_EXPLICIT_BYTES, scratch);
	writer->last_number = *number;
	if (*number == 0)
		writer->last = NULL;
	return CT_OK;
}
