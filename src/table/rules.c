/*
 * rules.c
 *	  The rules of columns: which types each accepts.
 *
 * There is an entry for each rule of the engine (engine/rules.c).  The value of a
 * column is read as a number, unless its rule accepts any type: then its values are
 * only stored.
 *
 * Called when a table's description is derived (derive.c).
 */
#include "postgres.h"

#include "table/table.h"
#include "table/derive.h"

static const ContimeRule rules[CT_RULES] = {
	[CT_RULE_LAST] = {.any_type = true},
	[CT_RULE_SUM] = {.intervals = true,
					 .hint = "sum takes smallint, integer, bigint, numeric(p,s), real and double precision with a scale, and interval; rule 'last' takes any type."},
	[CT_RULE_MIN] = {.datetimes = true,
					 .texts = true,
					 .hint = "min takes smallint, integer, bigint, numeric(p,s), real and double precision with a scale, date, timestamp, timestamptz, and text with collation \"C\"; rule 'last' takes any type."},
	[CT_RULE_MAX] = {.datetimes = true,
					 .texts = true,
					 .hint = "max takes smallint, integer, bigint, numeric(p,s), real and double precision with a scale, date, timestamp, timestamptz, and text with collation \"C\"; rule 'last' takes any type."},
	[CT_RULE_FIRST] = {.any_type = true, .no_initial = true},
};

const ContimeRule *
contime_rule(CtRule rule)
{
	Assert(rule < CT_RULES);
	return &rules[rule];
}
