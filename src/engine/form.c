/*
 * form.c
 *	  Forms of a store, and changes as records.
 *
 * A change comes with the images of its values.  Its form (event.h) is looked
 * up, or kept if it is new and there is room for one more, and the images
 * become the cells of its record; those that are kept apart are allocated.
 *
 * Called by store.c.
 *
 * Concurrency: as store.c.
 *
 * Not here: what forms and records mean (event.c).
 */
#include <string.h>

#include "store.h"
#include "timeline.h"

static uint32_t
form_bucket(const CtChange *change)
{
	uint64_t hash = (change->set * 31 + change->null) * 31 + change->kind;

	return (uint32_t) (hash * UINT64_C(0x9E3779B97F4A7C15) >> 58) % CT_FORM_BUCKETS;
}

static CtRef *
form_at(const CtWriter *writer, uint32_t number)
{
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

/* A value kept apart; false: no room. */
static bool
apart_keep(CtWriter *writer, const uint8_t *image, uint32_t bytes, uint8_t *cell)
{
	CtRef ref = 0;

	if (bytes > 0)
	{
		CtApart *apart;

		ref = ct_take(writer, sizeof(CtApart) + bytes, false);
		if (ref == 0)
			return false;
		apart = ct_ptr(writer->arena, ref);
		apart->bytes = bytes;
		memcpy(apart->data, image, bytes);
	}
	memcpy(cell, &ref, sizeof(ref));
	return true;
}

/* Write the record of a change that has been checked. */
CtStatus
ct_record_write(CtWriter *writer, const CtChange *change, const CtForm *form, bool explicit,
			 uint8_t *record)
{
	const CtSchema *schema = writer->shape.schema;
	const uint8_t *at = change->payload;
	uint64_t written = 0; /* what is owned so far */
	CtStatus status = CT_OK;

	if (explicit)
	{
		memset(record, 0, CT_EXPLICIT_BYTES);
		memcpy(record, &change->set, sizeof(change->set));
		memcpy(record + 8, &change->null, sizeof(change->null));
		record[16] = change->kind;
	}
	for (uint64_t rest = form->set & ~form->null; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);
		const CtAttr *attr = &schema->attr[i];
		uint8_t *cell = record + ct_form_offset(form, i);
		uint32_t bytes;
		const uint8_t *image = ct_image_next(attr, &at, &bytes);

		if (attr->number != CT_NUMBER_NONE)
			status = ct_number_read(attr, image, bytes, cell) ? CT_OK : CT_LIMIT;
		else if (!ct_is_apart(attr))
			memcpy(cell, image, bytes);
		else if (apart_keep(writer, image, bytes, cell))
			written |= rest & -rest;
		else
			status = CT_NO_MEMORY;
		if (status != CT_OK)
		{
			CtForm partly;

			memcpy(&partly, form, ct_form_bytes(form));
			partly.apart = written;
			ct_record_free(writer, &partly, record);
			return status;
		}
	}
	return CT_OK;
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
