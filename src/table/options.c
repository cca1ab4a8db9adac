/*
 * options.c
 *	  The options of tables and columns, and the form of their values.
 *
 * The validator gets one list of options at a time, so it checks only names and the
 * form of values.  What needs types or other columns is checked when the table's
 * description is derived (derive.c).
 */
#include "postgres.h"

#include "table/table.h"
#include "table/derive.h"
#include "base/base.h"
#include "shared/shared.h"

#include "access/reloptions.h"
#include "catalog/pg_foreign_table.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(contime_fdw_validator);
static const Option options[] = {
	{"key", AttributeRelationId, FORM_BOOL},
	{"time", AttributeRelationId, FORM_BOOL},
	{"rule", AttributeRelationId, FORM_RULE},
	{"initial", AttributeRelationId, FORM_ANY},
	{"lower", AttributeRelationId, FORM_ANY},
	{"upper", AttributeRelationId, FORM_ANY},
	{"scale", AttributeRelationId, FORM_SCALE},
	{"interpolate", AttributeRelationId, FORM_INTERPOLATE},
	{"rate", AttributeRelationId, FORM_ANY},
	{"event_id", AttributeRelationId, FORM_BOOL},
	{"notify", ForeignTableRelationId, FORM_NOTIFY},
	{"retain", ForeignTableRelationId, FORM_ANY},
	{"too_late", ForeignTableRelationId, FORM_ERROR_OR_IGNORE},
	{"max_ahead", ForeignTableRelationId, FORM_ANY},
	{"bad_rows", ForeignTableRelationId, FORM_ERROR_OR_IGNORE},
	{"ties", ForeignTableRelationId, FORM_TIES},
	{"identity", ForeignTableRelationId, FORM_IDENTITY},
	{"memory_limit", ForeignTableRelationId, FORM_MEMORY},
	{"events", ForeignTableRelationId, FORM_ANY},
	{"source", AttributeRelationId, FORM_ANY},
};

/* Return the names of all rules, for a hint. */
static char *
list_rule_names(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int rule = CT_RULE_LAST; rule < CT_RULES; rule++)
		appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", ct_rule_name(rule));
	return names.data;
}

static void CONTIME_NORETURN
report_unknown_option(const char *name, Oid catalog)
{
	StringInfoData valid;

	initStringInfo(&valid);
	for (int i = 0; i < lengthof(options); i++)
		if (options[i].catalog == catalog)
			appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "", options[i].name);
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME), errmsg("invalid option \"%s\"", name),
					valid.len > 0 ? errhint("Valid options in this context are: %s", valid.data)
								  : errhint("There are no valid options in this context.")));
}

int
contime_scale_of(const char *value)
{
	if (strspn(value, "0123456789") != strlen(value) || value[0] == '\0' || strlen(value) > 2)
		return -1;
	return atoi(value) <= CONTIME_MAX_SCALE ? atoi(value) : -1;
}

static void CONTIME_NORETURN
report_invalid_value(const DefElem *def, const char *value, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
					errmsg("invalid value for option \"%s\": \"%s\"", def->defname, value),
					errhint("%s", hint)));
}

static void
check_option(const DefElem *def, Oid catalog)
{
	const Option *option = NULL;
	char *value = defGetString(unconstify(DefElem *, def));
	bool flag;

	for (int i = 0; i < lengthof(options) && option == NULL; i++)
		if (options[i].catalog == catalog && strcmp(options[i].name, def->defname) == 0)
			option = &options[i];
	if (option == NULL)
		report_unknown_option(def->defname, catalog);

	switch (option->form)
	{
		case FORM_BOOL:
			if (!parse_bool(value, &flag))
				report_invalid_value(def, value, "Write 'true' or leave the option out.");
			break;
		case FORM_RULE:
			if (ct_rule_named(value) == CT_RULE_NONE)
				ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
								errmsg("unknown rule \"%s\"", value),
								errhint("Valid rules are: %s", list_rule_names())));
			break;
		case FORM_NOTIFY:
			if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0 && strcmp(value, "key") != 0)
				report_invalid_value(def, value, "Valid values are: on, off, key");
			break;
		case FORM_INTERPOLATE:
			if (strcmp(value, "step") != 0 && strcmp(value, "linear") != 0)
				report_invalid_value(def, value, "Valid values are: step, linear");
			break;
		case FORM_SCALE:
			if (contime_scale_of(value) < 0)
				report_invalid_value(def, value,
									 "Give the number of decimal digits to keep, from 0 to 15.");
			break;
		case FORM_ERROR_OR_IGNORE:
			if (strcmp(value, "error") != 0 && strcmp(value, "ignore") != 0)
				ereport(ERROR,
						(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						 errmsg("invalid value for option \"%s\": \"%s\"", def->defname, value),
						 errhint("Valid values are: error, ignore")));
			break;
		case FORM_TIES:
			if (strcmp(value, "kind") != 0 && strcmp(value, "event_id") != 0)
				report_invalid_value(def, value, "Valid values are: kind, event_id");
			break;
		case FORM_IDENTITY:
			if (strcmp(value, "instant") != 0 && strcmp(value, "key") != 0)
				report_invalid_value(def, value, "Valid values are: instant, key");
			break;
		case FORM_MEMORY:
			if (contime_limits_parse(value) < 0)
				report_invalid_value(def, value,
									 "Give an amount of memory, for example '64MB'; leave the option out for no limit.");
			break;
		case FORM_ANY:
			break;
	}
}

/*
 * contime.fdw_validator(options text[], catalog oid)
 */
Datum
contime_fdw_validator(PG_FUNCTION_ARGS)
{
	List *list = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid catalog = PG_GETARG_OID(1);
	ListCell *lc;

	/* pg_upgrade restores definitions into a server without settings. */
	if (IsBinaryUpgrade)
		contime_upgrade_set_mark();
	else
		contime_require_running();
	foreach(lc, list)
		check_option(lfirst_node(DefElem, lc), catalog);
	PG_RETURN_VOID();
}

char *
contime_option_value(List *list, const char *name)
{
	ListCell *lc;

	foreach(lc, list)
	{
		DefElem *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, name) == 0)
			return defGetString(def);
	}
	return NULL;
}

bool
contime_option_flag(List *list, const char *name)
{
	char *value = contime_option_value(list, name);
	bool flag = false;

	if (value)
		(void) parse_bool(value, &flag);
	return flag;
}
