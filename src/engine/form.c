/*
 * form.c
 *	  Forms of a store.
 *
 * The form (event.h) of a change is looked up, or kept if it is new and there is
 * room for one more.
 *
 * Called by store.c.
 *
 * Concurrency: as store.c.
 *
 * Not here: the records that have them (record.c), what both mean (event.c).
 */
#include <string.h>

#include "engine/form.h"

static uint32_t
form_bucket(const CtChange *change)
{
	uint64_t hash = (change->set * 31 + change->null) * 31 + change->kind;

	return (uint32_t) (hash * UINT64_C(0x9E3779B97F4A7C15) >> 58) % CT_FORM_BUCKETS;
}

static CtRef *
form_at(const CtWriter *writer, uint32_t number)
{
	CT_ASSERT(number < writer->store->forms_capacity && number <= writer->store->nforms); /* S7 */
	return (CtRef *) ct_ptr(writer->arena, writer->store->forms) + number;
}

/* Room for the number of one form more. */
static bool
forms_grow(CtWriter *writer)
{
	CtStore *store = writer->store;
	uint32_t capacity = store->forms_capacity == 0 ? 8 : store->forms_capacity * 2;
	CtRef ref;

	if (store->nforms < store->forms_capacity)
		return true;
	ref = ct_take(writer, capacity * sizeof(CtRef), false);
	if (ref == 0)
		return false;
	memset(ct_ptr(writer->arena, ref), 0, capacity * sizeof(CtRef));
	if (store->forms != 0)
	{
		if (!ct_retire(writer, store->forms, store->forms_capacity * sizeof(CtRef)))
		{
			ct_give(writer, ref, capacity * sizeof(CtRef));
			return false;
		}
		memcpy(ct_ptr(writer->arena, ref), form_at(writer, 0), store->nforms * sizeof(CtRef));
	}
	__atomic_store_n(&store->forms, ref, __ATOMIC_RELEASE);
	store->forms_capacity = capacity;
	return true;
}

static CtStatus
form_add(CtWriter *writer, const CtChange *change, uint32_t *number)
{
	CtStore *store = writer->store;
	CtForm form;
	CtRef ref;

	CT_ASSERT(store->nforms > 0); /* S7 */
	*number = 0;
	if (store->nforms >= CT_MAX_FORMS)
		return CT_OK;
	ct_form_make(writer->shape.schema, change, 0, &form);
	if (!forms_grow(writer))
		return CT_NO_MEMORY;
	ref = ct_take(writer, ct_form_bytes(&form), false);
	if (ref == 0)
		return CT_NO_MEMORY;
	form.next = store->bucket[form_bucket(change)];
	memcpy(ct_ptr(writer->arena, ref), &form, ct_form_bytes(&form));
	*number = store->nforms;
	CT_ASSERT(*number < store->forms_capacity && *number < CT_MAX_FORMS); /* S7 */
	*form_at(writer, *number) = ref;
	__atomic_store_n(&store->nforms, *number + 1, __ATOMIC_RELEASE);
	store->bucket[form_bucket(change)] = (uint16_t) *number;
	writer->shape = ct_store_shape(writer->arena, store);
	return CT_OK;
}

/* The number of a change's form, which is kept if it is new; 0: too many. */
static CtStatus
form_find(CtWriter *writer, const CtChange *change, uint32_t *number)
{
	for (*number = writer->store->bucket[form_bucket(change)]; *number != 0;)
	{
		const CtForm *form = ct_ptr(writer->arena, *form_at(writer, *number));

		if (ct_is_form_of(form, change))
			return CT_OK;
		*number = form->next;
	}
	return form_add(writer, change, number);
}

/*
 * The description has changed, but not for attributes of events that there are:
 * their forms come out as they were.  A form of others is laid out anew in place;
 * its size says how many attributes it has, which are the same.
 */
void
ct_forms_renew(CtWriter *writer)
{
	CtStore *store = writer->store;
	const CtSchema *schema = ct_ptr(writer->arena, store->schema);

	for (uint32_t i = 1; i < store->nforms; i++)
	{
		CtForm *form = ct_ptr(writer->arena, *form_at(writer, i));
		CtChange change = {.set = form->set, .null = form->null, .kind = form->kind};
		CtForm renewed;

		ct_form_make(schema, &change, 0, &renewed);
		CT_ASSERT(renewed.nattrs == form->nattrs); /* S8 */
		renewed.next = form->next;
		memcpy(form, &renewed, ct_form_bytes(&renewed));
	}
}

void
ct_forms_free(CtWriter *writer)
{
	CtStore *store = writer->store;

	for (uint32_t i = 1; i < store->nforms; i++)
	{
		const CtForm *form = ct_ptr(writer->arena, *form_at(writer, i));

		ct_give(writer, *form_at(writer, i), ct_form_bytes(form));
	}
	if (store->forms != 0)
		ct_give(writer, store->forms, store->forms_capacity * sizeof(CtRef));
	store->forms = 0;
	store->nforms = 1;
}

/*
 * Check a change and find its form; one put together for it is in *scratch.
 */
CtStatus
ct_change_form(CtWriter *writer, const CtChange *change, const CtForm **form, CtForm *scratch,
			uint32_t *number)
{
	CtStatus status;

	if (change->payload_bytes > CT_MAX_PAYLOAD_BYTES)
		return CT_LIMIT;
	if (ct_change_check(writer->shape.schema, change) != CT_OK)
		return CT_BROKEN;
	status = form_find(writer, change, number);
	if (status != CT_OK)
		return status;
	*form = scratch;
	if (*number != 0)
		writer->last = *form = ct_ptr(writer->arena, *form_at(writer, *number));
	else
		ct_form_make(writer->shape.schema, change, CT_EXPLICIT_BYTES, scratch);
	writer->last_number = *number;
	if (*number == 0)
		writer->last = NULL;
	return CT_OK;
}
