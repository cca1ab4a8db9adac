/*
 * table.c
 *	  A small table for tests: see table.h.
 */
#include "table.h"

#include <stdlib.h>
#include <string.h>

static CtSchema *
schema_make(uint16_t nattrs)
{
	size_t size = sizeof(CtSchema) + nattrs * sizeof(CtAttr);
	CtSchema *schema = calloc(1, size + 8);

	schema->size = (uint32_t) size + 4;
	schema->nattrs = nattrs;
	schema->id_attr = ID_ATTR;
	schema->id_order = CT_ORDER_SIGNED;
	for (int i = SUM_ATTR; i < nattrs; i++)
	{
		CtAttr *attr = &schema->attr[i];

		attr->rule = i == NAME_ATTR || i == ID_ATTR ? CT_RULE_LAST : CT_RULE_SUM;
		attr->image = i == NAME_ATTR ? CT_IMAGE_VAR : CT_IMAGE_WORD;
		attr->number = attr->rule == CT_RULE_SUM ? CT_NUMBER_INT : CT_NUMBER_NONE;
		attr->rate_attr = -1;
	}
	schema->attr[BOUNDED_ATTR].has_lower = schema->attr[BOUNDED_ATTR].has_upper = true;
	schema->attr[BOUNDED_ATTR].lower = CT_WIDE_ZERO;
	schema->attr[BOUNDED_ATTR].upper = ct_wide_from_int64(100);
	schema->attr[BOUNDED_ATTR].has_initial = true;
	schema->attr[BOUNDED_ATTR].initial = ct_wide_from_int64(10);
	schema->attr[NAME_ATTR].has_initial = true;
	schema->attr[NAME_ATTR].initial_offset = (uint32_t) size;
	schema->attr[NAME_ATTR].initial_bytes = 4;
	memcpy((char *) schema + size, "none", 4);
	if (nattrs > ADDED_ATTR)
	{
		schema->attr[ADDED_ATTR].has_initial = true;
		schema->attr[ADDED_ATTR].initial = ct_wide_from_int64(7);
	}
	return schema;
}

Table
table_make(size_t pages)
{
	CtSchema *schema = schema_make(ATTRS);
	Table table = table_make_of(schema, pages);

	free(schema);
	return table;
}

Table
table_make_of(const CtSchema *schema, size_t pages)
{
	Table table;
	size_t bytes = (pages + 2) * CT_PAGE_BYTES;

	table.base = aligned_alloc(CT_PAGE_BYTES, bytes);
	assert_int_equal(ct_region_format(table.base, bytes, 1), CT_OK);
	table.arena = ct_arena_attach(table.base, 0);
	assert_int_equal(ct_store_create(&table.arena, schema, &table.store), CT_OK);
	return table;
}

CtStatus
table_widen(Table *table)
{
	CtSchema *schema = schema_make(ATTRS + 1);
	CtStatus status = ct_store_widen(&table->arena, table->store, schema);

	free(schema);
	return status;
}

void
table_free(Table *table)
{
	const char *reason;
	CtStatus status;

	do
		status = ct_store_free(&table->arena, table->store, 1000);
	while (status == CT_MORE);
	assert_int_equal(status, CT_OK);
	assert_int_equal(ct_region_used(table->base), 0);
	assert_int_equal(ct_region_validate(table->base, &reason), CT_OK);
	free(table->base);
}

Event
event_at(int64_t time, CtKind kind)
{
	Event event = {.change = {.time = time, .kind = (uint8_t) kind}};

	return event;
}

static void
append(Event *event, const void *bytes, uint32_t count)
{
	memcpy(event->payload + event->change.payload_bytes, bytes, count);
	event->change.payload_bytes += count;
}

void
event_int(Event *event, int attr, int64_t value)
{
	event->change.set |= UINT64_C(1) << attr;
	append(event, &value, sizeof(value));
}

void
event_text(Event *event, int attr, const char *value)
{
	uint32_t bytes = (uint32_t) strlen(value);

	event->change.set |= UINT64_C(1) << attr;
	append(event, &bytes, sizeof(bytes));
	append(event, value, bytes);
}

void
event_null(Event *event, int attr)
{
	event->change.set |= UINT64_C(1) << attr;
	event->change.null |= UINT64_C(1) << attr;
}

static uint64_t
hash_of(uint64_t key)
{
	return key * UINT64_C(0x9E3779B97F4A7C15);
}

CtStatus
table_add(Table *table, uint64_t key, const Event *event, uint64_t top)
{
	CtChange change = event->change;
	CtLabel label = {.top = top, .xid = top};

	change.payload = event->payload;
	return ct_store_add(&table->arena, table->store, hash_of(key), &key, sizeof(key), &change, &label);
}

CtChanged
table_enter(Table *table, uint64_t key, const Event *event, uint64_t top, int64_t served)
{
	CtChanged changed = {0};
	CtRef batch;

	assert_int_equal(table_add(table, key, event, top), CT_OK);
	assert_non_null(ct_store_first_batch(&table->arena, table->store, &batch));
	assert_int_equal(ct_store_enter(&table->arena, table->store, batch, 10, &served, &changed), CT_OK);
	return changed;
}

CtStatus
table_enter_all(Table *table)
{
	CtChanged changed = {0};
	CtRef batch;

	while (ct_store_first_batch(&table->arena, table->store, &batch) != NULL)
	{
		CtStatus status = ct_store_enter(&table->arena, table->store, batch, 1000, NULL, &changed);

		if (status == CT_NO_MEMORY)
			return status;
	}
	return CT_OK;
}

void
table_settle_all(Table *table)
{
	CtStatus status;

	do
		status = ct_store_settle(&table->arena, table->store, UINT64_MAX, 1000);
	while (status == CT_MORE);
	assert_int_equal(status, CT_OK);
}

CtRef
table_find(const Table *table, uint64_t key)
{
	return ct_store_find(&table->arena, table->store, hash_of(key), &key, sizeof(key));
}

CtState
table_state(const Table *table, uint64_t key, int64_t time)
{
	CtSnapshot everything = {.xmin = UINT64_MAX, .xmax = UINT64_MAX, .until = INT64_MAX};
	CtState state;

	ct_timeline_fold(&table->arena, table->store, table_find(table, key), time, &everything, NULL, &state);
	return state;
}

int64_t
state_int(const CtState *state, int attr)
{
	int64_t value = 0;

	assert_int_equal(state->value[attr].kind, CT_VALUE_NUMBER);
	assert_true(ct_wide_to_int64(state->value[attr].number, &value));
	return value;
}

void
table_validate(const Table *table)
{
	const char *reason = NULL;

	if (ct_store_validate(&table->arena, table->store, &reason) != CT_OK ||
		ct_region_validate(table->base, &reason) != CT_OK)
		fail_msg("%s", reason);
}

CtStats
table_stats(const Table *table)
{
	CtStats stats;

	ct_store_stats(&table->arena, table->store, &stats);
	return stats;
}
