/*
 * limits.h
 *	  The memory limits of a table, its owner and its database.
 */
#ifndef CONTIME_LIMITS_H
#define CONTIME_LIMITS_H

#include "shared/budget.h"

/* Settings contime.role_memory and contime.database_memory; called by _PG_init. */
extern void contime_limits_settings(void);

/* In the postmaster, once there is shared memory: the settings' values. */
extern void contime_limits_publish(void);

/* A value of the option memory_limit in bytes; -1: it is none. */
extern int64 contime_limits_parse(const char *value);

/*
 * Charge a generation to the table's owner, and note the limits as they are
 * now; must: ERROR 54000 if it cannot be charged.  In a transaction, not under a lock.
 */
extern void contime_limits_note(const ContimeTable *table, ContimeGeneration *g, bool must);

/*
 * Is memory on its way back to the account whose limit was hit?  Then wait a
 * moment, as long as *waited_ms (0 at first) allows.
 */
extern bool contime_limits_wait(const ContimeGeneration *g, ContimeLevel level, int *waited_ms);

/* ERROR 53200: the limit of this level, or (CONTIME_UNLIMITED) the memory there is. */
extern void contime_limits_report(const ContimeTable *table, ContimeGeneration *g,
								  ContimeLevel level) pg_attribute_noreturn();

#endif							/* CONTIME_LIMITS_H */
