/*
 * derive.h
 *	  Options and the deriving of descriptions, within the room.
 *
 * Private to the room table.
 */
#ifndef CONTIME_TABLE_DERIVE_H
#define CONTIME_TABLE_DERIVE_H

#include "postgres.h"

#include "table/table.h"

/* ---- options.c --------------------------------------------------------------- */

typedef enum OptionForm
{
	FORM_BOOL,
	FORM_RULE,
	FORM_NOTIFY,
	FORM_INTERPOLATE,
	FORM_SCALE,
	FORM_TOO_LATE,
	FORM_MEMORY,
	FORM_ANY
} OptionForm;

typedef struct Option
{
	const char *name;
	Oid catalog; /* where it may stand */
	OptionForm form;
} Option;

/* The rule of a name, or CT_RULE_NONE. */
extern CtRule contime_rule_of(const char *name);

/* The decimal digits that an option scale asks for, or -1. */
extern int contime_scale_of(const char *value);

extern bool contime_option_flag(List *list, const char *name);

/* ---- derive.c ---------------------------------------------------------------- */

extern ContimeTable *contime_table_derive(Relation rel);

#endif /* CONTIME_TABLE_DERIVE_H */
