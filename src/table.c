/*
 * table.c
 *	  A foreign table's columns and options become a table's description.
 *
 *	  pg_attribute, options ──► ContimeTable (how to encode)
 *	                              └ CtSchema (what the engine needs to fold)
 *
 * The validator sees one option list at a time, so it checks names and the
 * form of values; everything that needs types or sibling columns is checked
 * when the description is derived: after the DDL command (ddl.c), and again
 * at first use, since hooks can be missed.
 *
 * Descriptions are cached by backend and thrown away when the relation's
 * cache entry is.  One that is in use then lives until the transaction ends.
 */
#include "contime.h"

#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/relation.h"
#include "access/reloptions.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(contime_fdw_validator);

/* The parts of a numeric's type modifier, as numerictypmodout() shows them. */
#define NUMERIC_PRECISION(typmod) ((int) ((((typmod) - VARHDRSZ) >> 16) & 0xffff))
#define NUMERIC_SCALE(typmod) ((int) (((((typmod) - VARHDRSZ) & 0x7ff) ^ 1024) - 1024))

/* ---- options: names and forms ---------------------------------------------------- */

typedef enum OptionForm
{
	FORM_BOOL,
	FORM_RULE,
	FORM_ON_OFF,
	FORM_TOO_LATE,
	FORM_ANY,
	FORM_LATER					/* promised, not yet there */
} OptionForm;

typedef struct Option
{
	const char *name;
	Oid			catalog;		/* where it may stand */
	OptionForm	form;
} Option;

static const Option options[] = {
	{"key", AttributeRelationId, FORM_BOOL},
	{"time", AttributeRelationId, FORM_BOOL},
	{"rule", AttributeRelationId, FORM_RULE},
	{"initial", AttributeRelationId, FORM_ANY},
	{"lower", AttributeRelationId, FORM_ANY},
	{"upper", AttributeRelationId, FORM_ANY},
	{"event_id", AttributeRelationId, FORM_BOOL},
	{"notify", ForeignTableRelationId, FORM_ON_OFF},
	{"scale", AttributeRelationId, FORM_LATER},
	{"rate", AttributeRelationId, FORM_LATER},
	{"interpolate", AttributeRelationId, FORM_LATER},
	{"retain", ForeignTableRelationId, FORM_ANY},
	{"too_late", ForeignTableRelationId, FORM_TOO_LATE},
	{"events", ForeignTableRelationId, FORM_LATER},
};

static const struct
{
	const char *name;
	CtRule		rule;
}			rules[] = {
	{"last", CT_RULE_LAST},
	{"sum", CT_RULE_SUM},
	{"min", CT_RULE_MIN},
	{"max", CT_RULE_MAX},
};

/* The rule of a name, or CT_RULE_NONE. */
static CtRule
rule_of(const char *name)
{
	for (int i = 0; i < lengthof(rules); i++)
		if (strcmp(rules[i].name, name) == 0)
			return rules[i].rule;
	return CT_RULE_NONE;
}

static void pg_attribute_noreturn()
report_unknown_option(const char *name, Oid catalog)
{
	StringInfoData valid;

	initStringInfo(&valid);
	for (int i = 0; i < lengthof(options); i++)
		if (options[i].catalog == catalog && options[i].form != FORM_LATER)
			appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "", options[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 valid.len > 0
			 ? errhint("Valid options in this context are: %s", valid.data)
			 : errhint("There are no valid options in this context.")));
}

static void
check_option(const DefElem *def, Oid catalog)
{
	const Option *option = NULL;
	char	   *value = defGetString(unconstify(DefElem *, def));
	bool		flag;

	for (int i = 0; i < lengthof(options) && option == NULL; i++)
		if (options[i].catalog == catalog && strcmp(options[i].name, def->defname) == 0)
			option = &options[i];
	if (option == NULL)
		report_unknown_option(def->defname, catalog);

	switch (option->form)
	{
		case FORM_BOOL:
			if (!parse_bool(value, &flag))
				ereport(ERROR,
						(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						 errmsg("invalid value for option \"%s\": \"%s\"", def->defname, value),
						 errhint("Write 'true' or leave the option out.")));
			break;
		case FORM_RULE:
			if (rule_of(value) == CT_RULE_NONE)
				ereport(ERROR,
						(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						 errmsg("unknown rule \"%s\"", value),
						 errhint("Valid rules are: last, sum, min, max")));
			break;
		case FORM_ON_OFF:
			if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
				ereport(ERROR,
						(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						 errmsg("invalid value for option \"%s\": \"%s\"", def->defname, value),
						 errhint("Valid values are: on, off")));
			break;
		case FORM_TOO_LATE:
			if (strcmp(value, "error") != 0 && strcmp(value, "ignore") != 0)
				ereport(ERROR,
						(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						 errmsg("invalid value for option \"%s\": \"%s\"", def->defname, value),
						 errhint("Valid values are: error, ignore")));
			break;
		case FORM_LATER:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("option \"%s\" is not supported by this version of contime", def->defname),
					 errhint("Leave the option out.")));
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
	List	   *list = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	ListCell   *lc;

	/* pg_upgrade restores definitions into a server without settings. */
	if (!IsBinaryUpgrade)
		contime_require_running();
	foreach(lc, list)
		check_option(lfirst_node(DefElem, lc), catalog);
	PG_RETURN_VOID();
}

/* The value of an option, or NULL. */
static char *
option_value(List *list, const char *name)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, name) == 0)
			return defGetString(def);
	}
	return NULL;
}

static bool
option_flag(List *list, const char *name)
{
	char	   *value = option_value(list, name);
	bool		flag = false;

	if (value)
		(void) parse_bool(value, &flag);
	return flag;
}

/* ---- one column ----------------------------------------------------------------------- */

/* Everything known of a column while its table's description is derived. */
typedef struct Column
{
	const char *table;
	Form_pg_attribute form;
	List	   *options;
	Oid			base;			/* base type of a domain */
	int32		basemod;
} Column;

#define DEFINITION_ERROR(col, ...) \
	ereport(ERROR, \
			(errcode(ERRCODE_INVALID_TABLE_DEFINITION), \
			 errcolumn_name(col), \
			 __VA_ARGS__))

static void
errcolumn_name(const Column *col)
{
	(void) err_generic_string(PG_DIAG_COLUMN_NAME, NameStr(col->form->attname));
}

/* Is equality of the type bitwise, so that a key can be hashed as bytes? */
static bool
has_equalimage(Oid type, Oid collation)
{
	Oid			opclass;
	Oid			family;
	Oid			input;
	Oid			proc;

	/* Kept trimmed, bpchar is as good as text. */
	if (type == BPCHAROID)
		type = TEXTOID;
	opclass = GetDefaultOpClass(type, BTREE_AM_OID);
	if (!OidIsValid(opclass))
		return false;
	family = get_opclass_family(opclass);
	input = get_opclass_input_type(opclass);
	proc = get_opfamily_proc(family, input, input, BTEQUALIMAGE_PROC);
	return OidIsValid(proc) &&
		DatumGetBool(OidFunctionCall1Coll(proc, collation, ObjectIdGetDatum(input)));
}

static void
derive_key(const Column *col, ContimeTable *table)
{
	if (!has_equalimage(col->base, col->form->attcollation))
		DEFINITION_ERROR(col,
						 errmsg("column \"%s\" of type %s cannot be a key",
								NameStr(col->form->attname), format_type_be(col->form->atttypid)),
						 errdetail("Equal values of a key must be bitwise equal."),
						 errhint("Use an integer, text with a deterministic collation, uuid, date, timestamptz or enum."));
	if (table->nkeys >= INDEX_MAX_KEYS)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_COLUMNS),
				 errmsg("continuous table \"%s\" has more than %d key columns",
						col->table, INDEX_MAX_KEYS)));
	table->key_attno[table->nkeys++] = col->form->attnum;
}

static void
derive_time(const Column *col, ContimeTable *table)
{
	if (table->time_attno != InvalidAttrNumber)
		DEFINITION_ERROR(col,
						 errmsg("continuous table \"%s\" has two time columns", col->table),
						 errhint("Give the option time 'true' to exactly one column."));
	if (col->form->atttypid != TIMESTAMPTZOID && col->form->atttypid != INT8OID)
		DEFINITION_ERROR(col,
						 errmsg("time column \"%s\" cannot be of type %s",
								NameStr(col->form->attname), format_type_be(col->form->atttypid)),
						 errhint("Use timestamptz, or bigint for a logical clock."));
	table->time_attno = col->form->attnum;
	table->time_type = col->form->atttypid;
}

/* How event ids of a type are ordered; CT_ORDER_NONE when they cannot be. */
static CtOrder
id_order_of(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return CT_ORDER_SIGNED;
		case OIDOID:
		case BOOLOID:
			return CT_ORDER_UNSIGNED;
		case TEXTOID:
		case VARCHAROID:
		case BYTEAOID:
		case UUIDOID:
		case NAMEOID:
			return CT_ORDER_BYTES;
		default:
			return CT_ORDER_NONE;
	}
}

static void
derive_event_id(const Column *col, ContimeTable *table)
{
	CtSchema   *schema = table->schema;

	if (schema->id_attr >= 0)
		DEFINITION_ERROR(col,
						 errmsg("continuous table \"%s\" has two event id columns", col->table),
						 errhint("Give the option event_id 'true' to one column."));
	schema->id_order = id_order_of(col->base);
	if (schema->id_order == CT_ORDER_NONE)
		DEFINITION_ERROR(col,
						 errmsg("event id column \"%s\" cannot be of type %s",
								NameStr(col->form->attname), format_type_be(col->form->atttypid)),
						 errhint("Use an integer, text, varchar, bytea, uuid, oid, date or timestamptz."));
	schema->id_attr = col->form->attnum - 1;
}

/* How sum, min and max read the type: sets number and scale, or fails. */
static void
derive_number(const Column *col, const char *rule, ContimeAttr *attr, CtAttr *ct)
{
	const char *name = NameStr(col->form->attname);

	switch (col->base)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			ct->number = CT_NUMBER_INT;
			return;
		case TIMESTAMPTZOID:
			if (ct->rule == CT_RULE_SUM)
				break;
			ct->number = CT_NUMBER_INT;
			return;
		case NUMERICOID:
			if (col->basemod < (int32) VARHDRSZ)
				DEFINITION_ERROR(col,
								 errmsg("rule \"%s\" of column \"%s\" needs a numeric with precision and scale", rule, name),
								 errhint("Write numeric(p,s) with at most 36 digits, for example numeric(18,2)."));
			attr->precision = NUMERIC_PRECISION(col->basemod);
			attr->scale = NUMERIC_SCALE(col->basemod);
			if (attr->precision > CONTIME_MAX_DIGITS || attr->scale < 0 ||
				attr->scale > CONTIME_MAX_DIGITS)
				DEFINITION_ERROR(col,
								 errmsg("numeric(%d,%d) of column \"%s\" is out of the range of rule \"%s\"",
										attr->precision, attr->scale, name, rule),
								 errhint("Use at most %d digits and a scale between 0 and %d.",
										 CONTIME_MAX_DIGITS, CONTIME_MAX_DIGITS));
			ct->number = CT_NUMBER_NUMERIC;
			ct->scale = attr->scale;
			ct->wide = attr->precision > 18;
			return;
		default:
			break;
	}
	DEFINITION_ERROR(col,
					 errmsg("rule \"%s\" of column \"%s\" does not fit type %s",
							rule, name, format_type_be(col->form->atttypid)),
					 errhint("%s takes smallint, integer, bigint%s and numeric(p,s); rule 'last' takes any type.",
							 rule, ct->rule == CT_RULE_SUM ? "" : ", timestamptz"));
}

/* Literals whose value depends on when they are read. */
static bool
is_moving(const char *value)
{
	static const char *const moving[] = {"now", "today", "tomorrow", "yesterday"};

	for (int i = 0; i < lengthof(moving); i++)
		if (pg_strcasecmp(value, moving[i]) == 0)
			return true;
	return false;
}

/*
 * Read an option's text as a value of the column: the same in every session,
 * whatever its settings.
 */
static Datum
option_datum(const Column *col, const char *value)
{
	int			level = NewGUCNestLevel();
	Oid			input;
	Oid			param;
	Datum		datum;

	if (TypeCategory(col->base) == TYPCATEGORY_DATETIME && is_moving(value))
		DEFINITION_ERROR(col,
						 errmsg("initial value \"%s\" of column \"%s\" depends on when it is read",
								value, NameStr(col->form->attname)),
						 errhint("Write the value out."));
	(void) set_config_option("timezone", "UTC", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("datestyle", "ISO, YMD", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("intervalstyle", "postgres", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("search_path", "pg_catalog", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	getTypeInputInfo(col->form->atttypid, &input, &param);
	datum = OidInputFunctionCall(input, unconstify(char *, value), param, col->form->atttypmod);
	AtEOXact_GUC(true, level);
	return datum;
}

static CtWide
option_number(const Column *col, const ContimeAttr *attr, const CtAttr *ct,
			  const char *name, const char *value)
{
	CtWide		number = contime_number(ct, attr, option_datum(col, value));

	if (ct_wide_cmp(number, CT_WIDE_NAN) == 0)
		DEFINITION_ERROR(col,
						 errmsg("option \"%s\" of column \"%s\" cannot be NaN",
								name, NameStr(col->form->attname)));
	return number;
}

static void
derive_bounds(const Column *col, const ContimeAttr *attr, CtAttr *ct)
{
	const char *name = NameStr(col->form->attname);
	char	   *lower = option_value(col->options, "lower");
	char	   *upper = option_value(col->options, "upper");

	ct->lower = CT_WIDE_MINUS_INFINITY;
	ct->upper = CT_WIDE_PLUS_INFINITY;
	if ((lower || upper) && ct->rule != CT_RULE_SUM)
		DEFINITION_ERROR(col,
						 errmsg("column \"%s\" has bounds but no rule \"sum\"", name),
						 errhint("lower and upper clamp a sum; leave them out for other rules."));
	ct->has_lower = lower != NULL;
	ct->has_upper = upper != NULL;
	if (lower)
		ct->lower = option_number(col, attr, ct, "lower", lower);
	if (upper)
		ct->upper = option_number(col, attr, ct, "upper", upper);
	if (ct_wide_cmp(ct->lower, ct->upper) > 0)
		DEFINITION_ERROR(col,
						 errmsg("lower bound of column \"%s\" is above its upper bound", name));
}

/* Append an initial value's image behind the attributes. */
static CtSchema *
schema_append(CtSchema *schema, int index, const void *image, uint32 bytes)
{
	schema = repalloc(schema, schema->size + bytes);
	memcpy((char *) schema + schema->size, image, bytes);
	schema->attr[index].initial_offset = schema->size;
	schema->attr[index].initial_bytes = bytes;
	schema->size += bytes;
	return schema;
}

static void
derive_initial(const Column *col, const ContimeAttr *attr, ContimeTable *table)
{
	int			index = col->form->attnum - 1;
	CtAttr	   *ct = &table->schema->attr[index];
	char	   *value = option_value(col->options, "initial");

	ct->initial = ct->rule == CT_RULE_SUM ? CT_WIDE_ZERO : ct->initial;
	if (value == NULL)
	{
		/* A sum that starts at 0 by default must be able to. */
		if (ct->rule == CT_RULE_SUM &&
			(ct_wide_cmp(ct->lower, CT_WIDE_ZERO) > 0 || ct_wide_cmp(ct->upper, CT_WIDE_ZERO) < 0))
			DEFINITION_ERROR(col,
							 errmsg("column \"%s\" starts at 0, which is outside its bounds",
									NameStr(col->form->attname)),
							 errhint("Give an initial value between lower and upper."));
		return;
	}

	ct->has_initial = true;
	if (ct->number == CT_NUMBER_NONE)
	{
		StringInfoData image;

		initStringInfo(&image);
		contime_encode_image(attr, ct, option_datum(col, value), &image, false);
		table->schema = schema_append(table->schema, index, image.data, image.len);
		return;
	}
	ct->initial = option_number(col, attr, ct, "initial", value);
	if (ct_wide_cmp(ct->initial, ct->lower) < 0 || ct_wide_cmp(ct->initial, ct->upper) > 0)
		DEFINITION_ERROR(col,
						 errmsg("initial value of column \"%s\" is outside its bounds",
								NameStr(col->form->attname)),
						 errhint("Give an initial value between lower and upper."));
}

static void
derive_state(const Column *col, ContimeAttr *attr, ContimeTable *table)
{
	CtAttr	   *ct = &table->schema->attr[col->form->attnum - 1];
	char	   *rule = option_value(col->options, "rule");

	ct->rule = rule ? rule_of(rule) : CT_RULE_LAST;
	ct->rate_attr = -1;
	ct->lower = CT_WIDE_MINUS_INFINITY;
	ct->upper = CT_WIDE_PLUS_INFINITY;
	if (ct->rule != CT_RULE_LAST)
	{
		derive_number(col, rule, attr, ct);
		derive_bounds(col, attr, ct);
	}
	else if (option_value(col->options, "lower") || option_value(col->options, "upper"))
		derive_bounds(col, attr, ct);
	derive_initial(col, attr, table);
}

/* Is the column NOT NULL, be it through its domain? */
static bool
is_not_null(Form_pg_attribute form)
{
	bool		not_null = form->attnotnull;
	Oid			type = form->atttypid;

	while (!not_null)
	{
		HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
		Form_pg_type typ;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for type %u", type);
		typ = (Form_pg_type) GETSTRUCT(tuple);
		not_null = typ->typnotnull;
		type = typ->typtype == TYPTYPE_DOMAIN ? typ->typbasetype : InvalidOid;
		ReleaseSysCache(tuple);
		if (!OidIsValid(type))
			break;
	}
	return not_null;
}

/* Options that contradict each other on one column. */
static void
check_roles(const Column *col, const ContimeAttr *attr)
{
	const char *name = NameStr(col->form->attname);
	int			roles = (int) attr->key + (int) attr->time + (int) attr->event_id;

	if (roles > 1)
		DEFINITION_ERROR(col,
						 errmsg("column \"%s\" has more than one of the options key, time and event_id", name));
	if (roles == 1 &&
		(option_value(col->options, "rule") || option_value(col->options, "initial") ||
		 option_value(col->options, "lower") || option_value(col->options, "upper")))
		DEFINITION_ERROR(col,
						 errmsg("column \"%s\" cannot have a rule", name),
						 errhint("rule, initial, lower and upper belong to state columns."));
	if (col->form->attgenerated)
		DEFINITION_ERROR(col,
						 errmsg("column \"%s\" of a continuous table cannot be generated", name),
						 errhint("Compute it in a view over the continuous table."));
	if (roles == 0 && col->form->atthasdef)
		DEFINITION_ERROR(col,
						 errmsg("state column \"%s\" cannot have a default", name),
						 errdetail("NULL in an event means unchanged, and a default would take its place."),
						 errhint("Use the option initial for the value a key starts with."));
	if (roles == 0 && is_not_null(col->form))
		DEFINITION_ERROR(col,
						 errmsg("state column \"%s\" cannot be NOT NULL", name),
						 errdetail("NULL in an event means unchanged."),
						 errhint("Use the option initial for the value a key starts with."));
	if (attr->typlen == -2 || get_typtype(col->base) == TYPTYPE_PSEUDO)
		DEFINITION_ERROR(col,
						 errmsg("column \"%s\" cannot be of type %s",
								name, format_type_be(col->form->atttypid)));
}

static void
derive_column(Relation rel, Form_pg_attribute form, ContimeTable *table)
{
	ContimeAttr *attr = &table->attr[form->attnum - 1];
	CtAttr	   *ct = &table->schema->attr[form->attnum - 1];
	Column		col;

	attr->attno = form->attnum;
	attr->dropped = form->attisdropped;
	if (attr->dropped)
		return;

	col.table = table->name;
	col.form = form;
	col.options = GetForeignColumnOptions(RelationGetRelid(rel), form->attnum);
	col.basemod = form->atttypmod;
	col.base = getBaseTypeAndTypmod(form->atttypid, &col.basemod);

	attr->type = col.base;
	attr->typmod = col.basemod;
	attr->collation = form->attcollation;
	attr->typlen = form->attlen;
	attr->typbyval = form->attbyval;
	attr->key = option_flag(col.options, "key");
	attr->time = option_flag(col.options, "time");
	attr->event_id = option_flag(col.options, "event_id");
	attr->state = !attr->key && !attr->time;
	check_roles(&col, attr);

	ct->role = attr->key ? CONTIME_KEY : attr->time ? CONTIME_TIME
		: attr->event_id ? CONTIME_EVENT_ID : CONTIME_STATE;
	ct->type = form->atttypid;
	ct->typmod = form->atttypmod;
	ct->collation = form->attcollation;
	ct->image = attr->typbyval ? CT_IMAGE_WORD
		: attr->typlen > 0 ? CT_IMAGE_FIXED : CT_IMAGE_VAR;
	ct->length = attr->typbyval ? 0 : attr->typlen;
	if (attr->key)
		derive_key(&col, table);
	else if (attr->time)
		derive_time(&col, table);
	else
	{
		if (attr->event_id)
			derive_event_id(&col, table);
		derive_state(&col, attr, table);
	}
}

/* ---- the whole table ---------------------------------------------------------------- */

static void
check_relation(Relation rel)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;
	const char *name = RelationGetRelationName(rel);

	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("continuous table \"%s\" cannot be temporary", name),
				 errhint("Create it without TEMPORARY and drop it when it is no longer needed.")));
	if (RelationGetDescr(rel)->natts > CT_MAX_ATTRS)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_COLUMNS),
				 errmsg("continuous table \"%s\" has more than %d columns", name, CT_MAX_ATTRS),
				 errdetail("Dropped columns count.")));
	if (constr && constr->num_check > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("continuous table \"%s\" cannot have CHECK constraints", name),
				 errdetail("A constraint on events cannot hold for the states between them."),
				 errhint("Use the options lower and upper of a sum, or a BEFORE INSERT trigger on events.")));
}

static void
derive_retention(ContimeTable *table)
{
	List	   *list = GetForeignTable(table->relid)->options;

	contime_retention_derive(table, option_value(list, "retain"), option_value(list, "too_late"));
}

static ContimeTable *
table_derive(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Size		size = offsetof(CtSchema, attr) + desc->natts * sizeof(CtAttr);
	ContimeTable *table;

	check_relation(rel);
	table = palloc0(offsetof(ContimeTable, attr) + desc->natts * sizeof(ContimeAttr));
	table->relid = RelationGetRelid(rel);
	table->name = pstrdup(RelationGetRelationName(rel));
	table->natts = desc->natts;
	table->schema = palloc0(size);
	table->schema->size = size;
	table->schema->nattrs = desc->natts;
	table->schema->id_attr = -1;

	for (int i = 0; i < desc->natts; i++)
		derive_column(rel, TupleDescAttr(desc, i), table);

	if (table->nkeys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("continuous table \"%s\" has no key", table->name),
				 errhint("Give the option key 'true' to the columns that identify what changes over time.")));
	if (table->time_attno == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("continuous table \"%s\" has no time column", table->name),
				 errhint("Give the option time 'true' to one column of type timestamptz or bigint.")));
	derive_retention(table);
	return table;
}

/* ---- the cache ---------------------------------------------------------------------------- */

typedef struct CacheEntry
{
	Oid			relid;
	bool		valid;
	MemoryContext context;
	ContimeTable *table;
} CacheEntry;

static HTAB *cache = NULL;

static void
cache_invalidate(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	CacheEntry *entry;

	if (OidIsValid(relid))
	{
		entry = hash_search(cache, &relid, HASH_FIND, NULL);
		if (entry)
			entry->valid = false;
		return;
	}
	hash_seq_init(&status, cache);
	while ((entry = hash_seq_search(&status)) != NULL)
		entry->valid = false;
}

static CacheEntry *
cache_entry(Oid relid)
{
	CacheEntry *entry;
	bool		found;

	if (cache == NULL)
	{
		HASHCTL		info;

		info.keysize = sizeof(Oid);
		info.entrysize = sizeof(CacheEntry);
		info.hcxt = CacheMemoryContext;
		cache = hash_create("contime tables", 64, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		CacheRegisterRelcacheCallback(cache_invalidate, (Datum) 0);
	}
	entry = hash_search(cache, &relid, HASH_ENTER, &found);
	if (!found)
	{
		entry->valid = false;
		entry->context = NULL;
		entry->table = NULL;
	}
	return entry;
}

/*
 * Let go of descriptions that are no longer valid.  A running scan may still
 * use one: they go with the transaction.
 */
static void
cache_purge(void)
{
	HASH_SEQ_STATUS status;
	CacheEntry *entry;

	hash_seq_init(&status, cache);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->valid)
			continue;
		if (entry->context)
			MemoryContextSetParent(entry->context, TopTransactionContext);
		hash_search(cache, &entry->relid, HASH_REMOVE, NULL);
	}
}

bool
contime_is_table(Oid relid)
{
	ForeignTable *foreign;

	if (get_rel_relkind(relid) != RELKIND_FOREIGN_TABLE ||
		!SearchSysCacheExists1(FOREIGNTABLEREL, ObjectIdGetDatum(relid)))
		return false;
	foreign = GetForeignTable(relid);
	return strcmp(GetForeignDataWrapper(GetForeignServer(foreign->serverid)->fdwid)->fdwname,
				  CONTIME_WRAPPER) == 0;
}

bool
contime_table_notifies(Oid relid)
{
	char	   *notify = option_value(GetForeignTable(relid)->options, "notify");

	return notify == NULL || strcmp(notify, "on") == 0;
}

const ContimeTable *
contime_table(Relation rel)
{
	CacheEntry *entry = cache_entry(RelationGetRelid(rel));
	MemoryContext context;
	MemoryContext caller;
	ContimeTable *table;

	contime_require_running();
	if (entry->valid)
		return entry->table;
	if (!contime_is_table(RelationGetRelid(rel)))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a continuous table", RelationGetRelationName(rel)),
				 errhint("Create it as a FOREIGN TABLE on SERVER contime.")));

	/* Derived first where an error frees it, then kept. */
	context = AllocSetContextCreate(CurrentMemoryContext, "contime table", ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(context);
	table = table_derive(rel);
	MemoryContextSwitchTo(caller);

	cache_purge();
	entry = cache_entry(RelationGetRelid(rel));
	MemoryContextSetParent(context, CacheMemoryContext);
	entry->context = context;
	entry->table = table;
	entry->valid = true;
	return table;
}

/* ---- compatibility with the data there is -------------------------------------------- */

/* Does an attribute mean the same in two descriptions? */
static bool
attr_equal(const CtSchema *a, const CtSchema *b, int i)
{
	const CtAttr *x = &a->attr[i];
	const CtAttr *y = &b->attr[i];

	return x->rule == y->rule && x->image == y->image && x->number == y->number &&
		x->scale == y->scale && x->length == y->length && x->has_initial == y->has_initial &&
		x->role == y->role && x->type == y->type && x->typmod == y->typmod &&
		x->collation == y->collation &&
		ct_wide_cmp(x->lower, y->lower) == 0 &&
		ct_wide_cmp(x->upper, y->upper) == 0 &&
		ct_wide_cmp(x->initial, y->initial) == 0 &&
		x->initial_bytes == y->initial_bytes &&
		memcmp((const char *) a + x->initial_offset,
			   (const char *) b + y->initial_offset, x->initial_bytes) == 0;
}

/*
 * The first attribute in which a table's description differs from the one
 * its data was written with, dropped state columns aside; -1 when none does.
 * What was added since must be a plain state column.
 */
int
contime_schema_conflict(const ContimeTable *table, const CtSchema *stored)
{
	const CtSchema *schema = table->schema;

	for (int i = 0; i < schema->nattrs; i++)
	{
		bool		dropped = table->attr[i].dropped;

		if (i >= stored->nattrs)
		{
			if (!dropped && schema->attr[i].role != CONTIME_STATE)
				return i;
		}
		else if (dropped ? stored->attr[i].role != CONTIME_STATE
				 : !attr_equal(schema, stored, i))
			return i;
	}
	return -1;
}

/* Refuse a definition that does not fit the data in memory; note what is no such matter. */
static void
check_against_data(const ContimeTable *table)
{
	ContimeGeneration *g = contime_generation(table->relid);

	if (g)
		contime_retention_note(table, g);
	for (int p = 0; g && p < contime_shared->partitions; p++)
	{
		CtArena		arena = contime_arena(p);
		int			conflict = -1;

		contime_lock(p, LW_SHARED);
		if (g->store[p] != 0)
			conflict = contime_schema_conflict(table, ct_store_schema(&arena, g->store[p]));
		contime_unlock(p);
		if (conflict >= 0)
			contime_report_conflict(table, conflict);
	}
}

void
contime_report_conflict(const ContimeTable *table, int index)
{
	const char *name = table->attr[index].dropped ? NULL
		: get_attname(table->relid, index + 1, true);

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 name
			 ? errmsg("column \"%s\" of continuous table \"%s\" cannot be changed while the table holds data",
					  name, table->name)
			 : errmsg("a key, time or event id column of continuous table \"%s\" cannot be dropped while the table holds data",
					  table->name),
			 errhint("TRUNCATE the table first, or create a new one and copy the events.")));
}

bool
contime_table_is_bare(Oid relid)
{
	Relation	rel = RelationIdGetRelation(relid);
	bool		bare = true;

	for (int i = 0; rel && bare && i < RelationGetDescr(rel)->natts; i++)
		bare = TupleDescAttr(RelationGetDescr(rel), i)->attisdropped ||
			GetForeignColumnOptions(relid, i + 1) == NIL;
	if (rel)
		RelationClose(rel);
	return bare;
}

void
contime_table_check(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);

	if (rel == NULL)
		return;
	if (contime_is_table(relid))
		check_against_data(contime_table(rel));
	relation_close(rel, NoLock);
}
