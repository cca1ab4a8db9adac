/*
 * derive.h
 *	  Options, rules, and the derivation of descriptions.
 *
 * Private to the room table.
 */
#ifndef CONTIME_TABLE_DERIVE_H
#define CONTIME_TABLE_DERIVE_H

#include "postgres.h"

#include "table/table.h"

/* ---- rules.c ----------------------------------------------------------------- */

/* The types that a rule accepts, besides integers, numeric(p,s) and floats with a scale. */
typedef struct ContimeRule
{
	bool any_type;  /* every type; a value is only stored */
	bool datetimes; /* date, timestamp, timestamptz */
	bool texts;     /* text and varchar, ordered by their bytes */
	bool intervals;
	bool no_initial;  /* not allowed, as events would never change the initial value */
	const char *hint; /* the error hint for other types */
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
	FORM_TIES,
	FORM_IDENTITY,
	FORM_MEMORY,
	FORM_ANY
} OptionForm;

typedef struct Option
{
	const char *name;
	Oid catalog; /* the catalog of the objects that may have it */
	OptionForm form;
} Option;

/*
 * Return the number of decimal digits that a value of option scale gives, or -1 if it
 * is not valid.
 */
extern int contime_scale_of(const char *value);

/* True if a boolean option is given and true. */
extern bool contime_option_flag(List *list, const char *name);

/* ---- derive.c ---------------------------------------------------------------- */

/* Derive the description of a table, in the current memory context. */
extern ContimeTable *contime_table_derive(Relation rel);

#endif /* CONTIME_TABLE_DERIVE_H */
