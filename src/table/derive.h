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

/* ---- rules.c ----------------------------------------------------------------- */

/* The types that a rule takes, besides integers, numeric(p,s) and floats with a scale. */
typedef struct ContimeRule
{
	bool any_type;  /* every type; a value is only kept */
	bool datetimes; /* date, timestamp, timestamptz */
	bool texts;     /* text and varchar, ordered by their bytes */
	bool intervals;
	bool no_initial;  /* an initial value would never be left */
	const char *hint; /* for a type that it does not take */
} ContimeRule;

extern const ContimeRule *contime_rule(CtRule rule);

/* ---- options.c --------------------------------------------------------------- */

typedef enum OptionForm
{
	FORM_BOOL,
	FORM_RULE,
	FORM_NOTIFY,
	FORM_INTERPOLATE,
	FORM_SCALE,
	FORM_ERROR_OR_IGNORE,
	FORM_MEMORY,
	FORM_ANY
} OptionForm;

typedef struct Option
{
	const char *name;
	Oid catalog; /* where it may stand */
	OptionForm form;
} Option;

/* The decimal digits that an option scale asks for, or -1. */
extern int contime_scale_of(const char *value);

extern bool contime_option_flag(List *list, const char *name);

/* ---- derive.c ---------------------------------------------------------------- */

extern ContimeTable *contime_table_derive(Relation rel);

#endif /* CONTIME_TABLE_DERIVE_H */
