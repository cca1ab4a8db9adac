/*
 * table.h
 *	  A small table for tests with fixed events and results.
 */
#ifndef TABLE_H
#define TABLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/engine.h"

/* Its attributes. */
enum
{
	KEY_ATTR,
	TIME_ATTR,
	SUM_ATTR,     /* bigint, sum */
	BOUNDED_ATTR, /* bigint, sum within 0 .. 100, initial 10 */
	NAME_ATTR,    /* text, last, initial 'none' */
	ID_ATTR,      /* bigint, event id */
	ADDED_ATTR,   /* bigint, sum, initial 7: by table_widen() */
	ATTRS = ADDED_ATTR
};

typedef struct Table
{
	void *base;
	CtArena arena;
	CtRef store;
} Table;

/* An event under construction; attributes must be added in order. */
typedef struct Event
{
	CtChange change;
	uint8_t payload[256];
} Event;

Table table_make(size_t pages);
Table table_make_of(const CtSchema *schema, size_t pages); /* of another one */
CtStatus table_widen(Table *table);

/* Free the store, and check that all its memory is freed. */
void table_free(Table *table);

Event event_at(int64_t time, CtKind kind);
void event_int(Event *event, int attr, int64_t value);
void event_text(Event *event, int attr, const char *value);
void event_null(Event *event, int attr);

/* Add an event to key number `key` in transaction `top`. */
CtStatus table_add(Table *table, uint64_t key, const Event *event, uint64_t top);

/* The same, then commit and enter it; return what it changed. */
CtChanged table_enter(Table *table, uint64_t key, const Event *event, uint64_t top, int64_t served);

/* Enter all events; CT_NO_MEMORY if memory is exhausted. */
CtStatus table_enter_all(Table *table);
void table_settle_all(Table *table);

CtRef table_find(const Table *table, uint64_t key);

/* The state of a key, folded from all entered events. */
CtState table_state(const Table *table, uint64_t key, int64_t time);
int64_t state_int(const CtState *state, int attr);
void table_validate(const Table *table);
CtStats table_stats(const Table *table);

#endif /* TABLE_H */
