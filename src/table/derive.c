/*
 * derive.c
 *	  A foreign table's columns and options become a table's description.
 *
 *	  pg_attribute, options ──► ContimeTable (how to encode)
 *	                              └ CtSchema (what the engine needs to fold)
 *
 * The validator (options.c) gets one list of options at a time, so it checks only
 * names and the form of values.  What needs types or other columns is checked here:
 * after a DDL command (ddl/hooks.c), and again at the first use, since hooks can be
 * missed.
 *
 * Not here: the cache of descriptions (table.c).
 */
#include "postgres.h"

#include "table/table.h"
#include "table/derive.h"
#include "base/base.h"
#include "base/compat.h"

#include "access/nbtree.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "parser/parse_coerce.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* Precision and scale from a numeric's type modifier, as in numerictypmodout(). */
#define NUMERIC_PRECISION(typmod) ((int) ((((typmod) - (int) VARHDRSZ) >> 16) & 0xffff))
#define NUMERIC_SCALE(typmod) ((int) (((((typmod) - (int) VARHDRSZ) & 0x7ff) ^ 1024) - 1024))

StaticAssertDecl(CT_MAX_ATTRS <= INT8_MAX, "the number of an attribute is an int8 in the schema");
StaticAssertDecl(CONTIME_MAX_DIGITS <= UINT8_MAX, "a scale fits into CtAttr.scale");

/* ---- one column -------------------------------------------------------------- */

/* A column while its table's description is derived. */
typedef struct Column
{
	const char *table;
	Oid owner;   /* of the table */
	bool *calls; /* set to true if the description runs user-made code */
	Form_pg_attribute form;
	List *options;
	Oid base; /* base type of a domain */
	int32 basemod;
	CtRule rule;
	bool linear;                /* interpolate 'linear' */
	const struct Column *rate;  /* the column that its option rate names */
	const struct Column *moved; /* a column whose option rate names this one */
} Column;

#define DEFINITION_ERROR(col, ...) \
	ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION), errcolumn_name(col), __VA_ARGS__))

static void
errcolumn_name(const Column *col)
{
	(void) err_generic_string(PG_DIAG_COLUMN_NAME, NameStr(col->form->attname));
}

/*
 * True if equal values of the type have equal bytes, so that a key can be
 * hashed as bytes.
 */
static bool
has_equalimage(Oid type, Oid collation)
{
	Oid opclass;
	Oid family;
	Oid input;
	Oid proc;

	/* Keys of bpchar are stored trimmed, and then compared like text. */
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
						 errhint(
							 "Use an integer, text with a deterministic collation, uuid, date, timestamptz or enum."));
	if (table->nkeys >= INDEX_MAX_KEYS)
		ereport(ERROR, (errcode(ERRCODE_TOO_MANY_COLUMNS),
						errmsg("continuous table \"%s\" has more than %d key columns", col->table,
							   INDEX_MAX_KEYS)));
	Assert(table->nkeys < lengthof(table->key_attno));
	table->key_attno[table->nkeys++] = col->form->attnum;
}

static void
derive_time(const Column *col, ContimeTable *table)
{
	if (table->time_attno != InvalidAttrNumber)
		DEFINITION_ERROR(col, errmsg("continuous table \"%s\" has two time columns", col->table),
						 errhint("Give the option time 'true' to exactly one column."));
	if (col->form->atttypid != TIMESTAMPTZOID && col->form->atttypid != INT8OID)
		DEFINITION_ERROR(col,
						 errmsg("time column \"%s\" cannot be of type %s",
								NameStr(col->form->attname), format_type_be(col->form->atttypid)),
						 errhint("Use timestamptz, or bigint for a logical clock."));
	table->schema->clock_digits = col->form->atttypid == TIMESTAMPTZOID ? 6 : 0;
	table->time_attno = col->form->attnum;
	table->time_type = col->form->atttypid;
}

/*
 * Return the order of event ids of a type, or CT_ORDER_NONE if the type cannot be an
 * event id.
 */
static CtOrder
get_id_order(Oid type)
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
	CtSchema *schema = table->schema;

	if (schema->id_attr >= 0)
		DEFINITION_ERROR(col,
						 errmsg("continuous table \"%s\" has two event id columns", col->table),
						 errhint("Give the option event_id 'true' to one column."));
	schema->id_order = get_id_order(col->base);
	if (schema->id_order == CT_ORDER_NONE)
		DEFINITION_ERROR(col,
						 errmsg("event id column \"%s\" cannot be of type %s",
								NameStr(col->form->attname), format_type_be(col->form->atttypid)),
						 errhint(
							 "Use an integer, text, varchar, bytea, uuid, oid, date or timestamptz."));
	schema->id_attr = col->form->attnum - 1;
}

/* ---- numbers ----------------------------------------------------------------- */

/* Return the computation that needs numbers in a column, as the subject of a message. */
static char *
describe_use(const Column *col)
{
	const char *name = NameStr(col->form->attname);

	if (col->rate)
		return psprintf("rate of column \"%s\"", name);
	if (col->moved)
		return psprintf("use of column \"%s\" as the rate of column \"%s\"", name,
						NameStr(col->moved->form->attname));
	if (col->linear)
		return psprintf("linear interpolation of column \"%s\"", name);
	return psprintf("rule \"%s\" of column \"%s\"", contime_option_value(col->options, "rule"),
					name);
}

static void CONTIME_NORETURN
report_misfit(const Column *col)
{
	const char *type = format_type_be(col->form->atttypid);

	if (col->rate || col->moved || col->linear)
		DEFINITION_ERROR(col, errmsg("%s does not fit type %s", describe_use(col), type),
						 errhint(
							 "Use smallint, integer, bigint, numeric(p,s), or real or double precision with a scale."));
	DEFINITION_ERROR(col, errmsg("%s does not fit type %s", describe_use(col), type),
					 errhint("%s", contime_rule(col->rule)->hint));
}

static void
derive_numeric(const Column *col, const ContimeAttr *attr, CtAttr *ct)
{
	int digits = col->rate || col->moved ? CONTIME_NARROW_DIGITS : CONTIME_MAX_DIGITS;

	if (attr->precision == 0)
		DEFINITION_ERROR(col, errmsg("%s needs a numeric with precision and scale", describe_use(col)),
						 errhint("Write numeric(p,s) with at most %d digits, for example numeric(18,2).",
								 digits));
	if (attr->precision > digits || attr->scale < 0 || attr->scale > digits)
		DEFINITION_ERROR(col,
						 errmsg("%s does not fit type numeric(%d,%d)", describe_use(col), attr->precision,
								attr->scale),
						 errhint("Use at most %d digits and a scale between 0 and %d.", digits,
								 digits));
	ct->number = CT_NUMBER_NUMERIC;
	ct->scale = attr->scale;
	ct->wide = attr->precision > CONTIME_NARROW_DIGITS;
}

static void
derive_float(const Column *col, const ContimeAttr *attr, CtAttr *ct)
{
	if (contime_option_value(col->options, "scale") == NULL)
		DEFINITION_ERROR(col, errmsg("%s needs the option scale", describe_use(col)),
						 errdetail(
							 "Floats are computed with as decimals, so that the order of events cannot matter."),
						 errhint("Give column \"%s\" the option scale 'n': so many decimal digits are kept, from 0 to 15.",
								 NameStr(col->form->attname)));
	ct->number = CT_NUMBER_SCALED;
	ct->scale = attr->scale;
}

/* ERROR unless texts of the column are compared by their bytes. */
static void
check_bytewise(const Column *col)
{
	if (!contime_compares_bytes(col->form->attcollation))
		DEFINITION_ERROR(col, errmsg("%s needs the collation \"C\"", describe_use(col)),
						 errdetail("The least and the greatest text are found by comparing bytes."),
						 errhint("Write COLLATE \"C\" after the options of column \"%s\".",
								 NameStr(col->form->attname)));
}

/*
 * Set how values of a computed column are read as numbers; ERROR if its type
 * does not fit.
 */
static void
derive_number(const Column *col, const ContimeAttr *attr, CtAttr *ct)
{
	const ContimeRule *rule = contime_rule(col->rule);

	switch (col->base)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			ct->number = CT_NUMBER_INT;
			return;
		case NUMERICOID:
			derive_numeric(col, attr, ct);
			return;
		case FLOAT4OID:
		case FLOAT8OID:
			derive_float(col, attr, ct);
			return;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			if (!rule->datetimes)
				break;
			ct->number = CT_NUMBER_INT;
			return;
		case TEXTOID:
		case VARCHAROID:
			if (!rule->texts)
				break;
			check_bytewise(col);
			return;
		case INTERVALOID:
			if (!rule->intervals || col->moved || col->rate)
				break;
			ct->number = CT_NUMBER_INTERVAL;
			return;
		default:
			break;
	}
	report_misfit(col);
}

/* ---- interpolation and movement ---------------------------------------------- */

static bool
is_arithmetic(Oid type)
{
	return contime_is_integer(type) || type == NUMERICOID || type == FLOAT4OID || type == FLOAT8OID;
}

/* Check the options scale and interpolate, and the type that they need. */
static void
check_interpolation(const Column *col)
{
	const char *name = NameStr(col->form->attname);
	const char *type = format_type_be(col->form->atttypid);

	if (contime_option_value(col->options, "scale") && col->base != FLOAT4OID &&
		col->base != FLOAT8OID)
		DEFINITION_ERROR(col,
						 errmsg("column \"%s\" of type %s cannot have the option scale", name,
								type),
						 errhint(
							 "scale belongs to real and double precision; the scale of numeric(p,s) is part of its type."));
	if (contime_option_value(col->options, "interpolate") == NULL)
		return;
	if (col->rule != CT_RULE_LAST)
		DEFINITION_ERROR(col, errmsg("column \"%s\" interpolates but has no rule \"last\"", name),
						 errhint(
							 "interpolate belongs to rule 'last'; other rules hold their value from event to event."));
	if (col->rate)
		DEFINITION_ERROR(col, errmsg("column \"%s\" has both interpolate and rate", name),
						 errhint(
							 "A column either lies between the values that events give it, or moves on from them."));
	if (!is_arithmetic(col->base))
		DEFINITION_ERROR(col,
						 errmsg("interpolation of column \"%s\" does not fit type %s", name, type),
						 errhint(
							 "interpolate takes integers, numeric, real and double precision."));
}

/* True if a column has rule last or sum, and no bounds. */
static bool
is_unbounded(const Column *col)
{
	return (col->rule == CT_RULE_LAST || col->rule == CT_RULE_SUM) &&
		   contime_option_value(col->options, "lower") == NULL &&
		   contime_option_value(col->options, "upper") == NULL;
}

/*
 * ERROR if a column cannot be the rate of another one.  A rate must not change between
 * events.
 */
static void
check_rate(const Column *col, const Column *rate)
{
	const char *name = NameStr(col->form->attname);
	const char *rate_name = NameStr(rate->form->attname);

	if (rate == col)
		DEFINITION_ERROR(col, errmsg("column \"%s\" cannot be its own rate", name),
						 errhint("Name the column that says how fast it changes."));
	if (contime_option_flag(rate->options, "key") || contime_option_flag(rate->options, "time") ||
		contime_option_flag(rate->options, "event_id"))
		DEFINITION_ERROR(col,
						 errmsg("rate \"%s\" of column \"%s\" is not a state column", rate_name,
								name),
						 errhint("Name a column of rule 'last' or 'sum'."));
	if (!is_unbounded(rate))
		DEFINITION_ERROR(col,
						 errmsg("rate \"%s\" of column \"%s\" has a rule or bounds that do not fit",
								rate_name, name),
						 errhint(
							 "The rule of a rate is 'last', or 'sum' without lower and upper."));
	if (rate->linear || contime_option_value(rate->options, "rate"))
		DEFINITION_ERROR(col,
						 errmsg("rate \"%s\" of column \"%s\" changes between events itself",
								rate_name, name),
						 errhint(
							 "A rate holds its value from event to event: leave out its options interpolate and rate."));
	if (!is_unbounded(col))
		DEFINITION_ERROR(col,
						 errmsg("column \"%s\" has a rate, and a rule or bounds that do not fit",
								name),
						 errhint(
							 "The rule of a column with a rate is 'last', or 'sum' without lower and upper."));
}

/* Find the columns that options rate name. */
static void
resolve_rates(Column *cols, int ncols)
{
	for (int i = 0; i < ncols; i++)
	{
		Column *col = &cols[i];
		char *name = col->form->attisdropped ? NULL : contime_option_value(col->options, "rate");
		Column *rate = NULL;

		for (int j = 0; name && j < ncols; j++)
			if (!cols[j].form->attisdropped && strcmp(NameStr(cols[j].form->attname), name) == 0)
				rate = &cols[j];
		if (name == NULL)
			continue;
		if (rate == NULL)
			DEFINITION_ERROR(col,
							 errmsg("rate \"%s\" of column \"%s\" does not exist", name,
									NameStr(col->form->attname)),
							 errhint("Name a column of continuous table \"%s\"; a rate can be dropped with column \"%s\" or after it.",
									 col->table, NameStr(col->form->attname)));
		check_rate(col, rate);
		col->rate = rate;
		rate->moved = col;
	}
}

/* ---- initial values and bounds ----------------------------------------------- */

/*
 * True for literals whose value depends on the time at which they are read,
 * such as 'now'.
 */
static bool
is_moving(const char *value)
{
	static const char *const moving[] = {"now", "today", "tomorrow", "yesterday"};

	for (int i = 0; i < lengthof(moving); i++)
		if (pg_strcasecmp(value, moving[i]) == 0)
			return true;
	return false;
}

/* Set a setting for the current nest level only. */
static void
set_locally(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

/*
 * Convert the text of an option to a value of the column's type, with the same
 * settings in every session.  A domain's check runs with these settings, too.
 */
static Datum
read_option(const Column *col, const char *value)
{
	Oid type = col->form->atttypid;
	ContimeIdentity before;
	int level;
	Datum datum;

	if (TypeCategory(col->base) == TYPCATEGORY_DATETIME && is_moving(value))
		DEFINITION_ERROR(col,
						 errmsg("initial value \"%s\" of column \"%s\" depends on when it is read",
								value, NameStr(col->form->attname)),
						 errhint("Write the value out."));
	*col->calls |= contime_is_user_made(type);
	before = contime_switch_to_owner(col->owner, contime_is_user_made(type) ? CONTIME_CODE_OF_USERS
																			: CONTIME_CODE_OF_CORE);
	level = NewGUCNestLevel();
	set_locally("timezone", "UTC");
	set_locally("datestyle", "ISO, YMD");
	set_locally("intervalstyle", "postgres");
	datum = contime_owner_input(col->owner, type, col->form->atttypmod, value);
	AtEOXact_GUC(false, level);
	contime_switch_back(&before);
	return datum;
}

static void CONTIME_NORETURN
report_option_range(const Column *col, const char *name, const char *hint)
{
	DEFINITION_ERROR(col,
					 errmsg("option \"%s\" of column \"%s\" is out of range", name,
							NameStr(col->form->attname)),
					 errhint("%s", hint));
}

static CtWide
read_option_number(const Column *col, const ContimeAttr *attr, const CtAttr *ct, const char *name,
				   const char *value)
{
	CtWide number = contime_number(ct, attr, read_option(col, value));

	if (ct_wide_cmp(number, CT_WIDE_NAN) == 0)
		DEFINITION_ERROR(col,
						 errmsg("option \"%s\" of column \"%s\" cannot be NaN", name,
								NameStr(col->form->attname)),
						 errhint("Give a finite number."));
	if (ct_wide_cmp(number, CT_WIDE_MINUS_INFINITY) == 0 ||
		ct_wide_cmp(number, CT_WIDE_PLUS_INFINITY) == 0)
		report_option_range(col, name,
							psprintf("Give a value of at most %d digits, %d of them after the point.",
									 CONTIME_NARROW_DIGITS, attr->scale));
	return number;
}

static void
derive_bounds(const Column *col, const ContimeAttr *attr, CtAttr *ct)
{
	const char *name = NameStr(col->form->attname);
	char *lower = contime_option_value(col->options, "lower");
	char *upper = contime_option_value(col->options, "upper");

	ct->lower = CT_WIDE_MINUS_INFINITY;
	ct->upper = CT_WIDE_PLUS_INFINITY;
	if ((lower || upper) && ct->rule != CT_RULE_SUM)
		DEFINITION_ERROR(col, errmsg("column \"%s\" has bounds but no rule \"sum\"", name),
						 errhint("lower and upper clamp a sum; leave them out for other rules."));
	if ((lower || upper) && ct->number == CT_NUMBER_INTERVAL)
		DEFINITION_ERROR(col, errmsg("column \"%s\" of type interval cannot have bounds", name),
						 errdetail(
							 "Months, days and microseconds are added apart, so intervals have no one order."),
						 errhint("Leave out lower and upper."));
	ct->has_lower = lower != NULL;
	ct->has_upper = upper != NULL;
	if (lower)
		ct->lower = read_option_number(col, attr, ct, "lower", lower);
	if (upper)
		ct->upper = read_option_number(col, attr, ct, "upper", upper);
	if (ct_wide_cmp(ct->lower, ct->upper) > 0)
		DEFINITION_ERROR(col,
						 errmsg("lower bound of column \"%s\" is above its upper bound", name));
}

/* Append the image of an initial value after the attributes of the schema. */
static CtSchema *
append_initial(CtSchema *schema, int index, const void *image, uint32 bytes)
{
	Assert(index >= 0 && index < schema->nattrs);
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
	int index = col->form->attnum - 1;
	CtAttr *ct = &table->schema->attr[index];
	char *value = contime_option_value(col->options, "initial");

	ct->initial = ct->rule == CT_RULE_SUM ? CT_WIDE_ZERO : ct->initial;
	if (value == NULL)
	{
		/*
		 * A sum without an initial value starts at 0, so that must be within
		 * its bounds.
		 */
		if (ct->rule == CT_RULE_SUM &&
			(ct_wide_cmp(ct->lower, CT_WIDE_ZERO) > 0 || ct_wide_cmp(ct->upper, CT_WIDE_ZERO) < 0))
			DEFINITION_ERROR(col,
							 errmsg("column \"%s\" starts at 0, which is outside its bounds",
									NameStr(col->form->attname)),
							 errhint("Give an initial value between lower and upper."));
		return;
	}

	if (contime_rule(col->rule)->no_initial)
		DEFINITION_ERROR(col,
						 errmsg("column \"%s\" has rule \"%s\" and an initial value",
								NameStr(col->form->attname), ct_rule_name(col->rule)),
						 errdetail("No event would change a value that is there from the start."),
						 errhint("Leave out the option initial."));
	ct->has_initial = true;
	if (ct->number == CT_NUMBER_NONE)
	{
		StringInfoData image;

		initStringInfo(&image);
		(void) contime_encode_image(attr, ct, read_option(col, value), &image, false);
		table->schema = append_initial(table->schema, index, image.data, image.len);
		return;
	}
	if (ct->number == CT_NUMBER_INTERVAL)
	{
		Datum interval = read_option(col, value);

		if (!contime_is_finite(ct, attr, interval))
			report_option_range(col, "initial", "Give a finite interval.");
		ct->initial = contime_interval(interval, &ct->initial_extra);
		return;
	}
	ct->initial = read_option_number(col, attr, ct, "initial", value);
	if (ct_wide_cmp(ct->initial, ct->lower) < 0 || ct_wide_cmp(ct->initial, ct->upper) > 0)
		DEFINITION_ERROR(col,
						 errmsg("initial value of column \"%s\" is outside its bounds",
								NameStr(col->form->attname)),
						 errhint("Give an initial value between lower and upper."));
}

static void
derive_state(const Column *col, ContimeAttr *attr, ContimeTable *table)
{
	CtAttr *ct = &table->schema->attr[col->form->attnum - 1];

	Assert(attr->state && (ct->role == CONTIME_STATE || ct->role == CONTIME_EVENT_ID));
	ct->rule = col->rule;
	ct->linear = col->linear;
	if (col->rate)
	{
		ct->rate_attr = col->rate->form->attnum - 1;
		table->schema->has_rates = true;
	}
	check_interpolation(col);
	if (!contime_rule(col->rule)->any_type || col->linear || col->rate || col->moved ||
		contime_option_value(col->options, "scale"))
		derive_number(col, attr, ct);
	derive_bounds(col, attr, ct);
	derive_initial(col, attr, table);
}

/* True if the column is NOT NULL, by itself or by its domain. */
static bool
is_not_null(Form_pg_attribute form)
{
	bool not_null = form->attnotnull;
	Oid type = form->atttypid;

	while (!not_null)
	{
		HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
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

static bool
has_state_option(List *list)
{
	static const char *const names[] = {"rule", "initial", "lower", "upper",
										"scale", "interpolate", "rate"};

	for (int i = 0; i < lengthof(names); i++)
		if (contime_option_value(list, names[i]))
			return true;
	return false;
}

/* Return the number of decimal digits that values of a rate may have. */
static int
count_rate_digits(const Column *rate, const ContimeAttr *attr)
{
	switch (rate->base)
	{
		case INT2OID:
			return 5;
		case INT4OID:
			return 10;
		case INT8OID:
			return 19;
		case NUMERICOID:
			return attr->precision;
		default:
			return CONTIME_NARROW_DIGITS;
	}
}

/*
 * ERROR if a column with a rate could overflow the engine's numbers, however long it
 * moves.
 */
static void
check_reach(const Column *col, const ContimeTable *table)
{
	const char *name = NameStr(col->form->attname);
	const char *rate = NameStr(col->rate->form->attname);
	int digits = count_rate_digits(col->rate, &table->attr[col->rate->form->attnum - 1]);
	int most = ct_rate_digits(table->schema, col->form->attnum - 1);

	Assert(col->rate != NULL && table->schema->has_rates);
	if (digits > most)
		DEFINITION_ERROR(col,
						 errmsg("rate \"%s\" of column \"%s\" has too many digits", rate, name),
						 errdetail("Beside the decimals of column \"%s\", a sum of rates can have %d digits, and type %s has %d.",
								   name, most,
								   format_type_with_typemod(col->rate->form->atttypid,
															col->rate->form->atttypmod),
								   digits),
						 errhint("Use fewer decimals for column \"%s\", or fewer digits or rule 'last' for column \"%s\".",
								 name, rate));
}

/* ERROR if options of a column contradict each other. */
static void
check_roles(const Column *col, const ContimeAttr *attr)
{
	const char *name = NameStr(col->form->attname);
	int roles = (int) attr->key + (int) attr->time + (int) attr->event_id;

	if (roles > 1)
		DEFINITION_ERROR(col,
						 errmsg("column \"%s\" has more than one of the options key, time and event_id",
								name));
	if (roles == 1 && has_state_option(col->options))
		DEFINITION_ERROR(col, errmsg("column \"%s\" cannot have a rule", name),
						 errhint(
							 "rule, initial, lower, upper, scale, interpolate and rate belong to state columns."));
	if (col->form->attgenerated)
		DEFINITION_ERROR(col,
						 errmsg("column \"%s\" of a continuous table cannot be generated", name),
						 errhint("Compute it in a view over the continuous table."));
	if (roles == 0 && col->form->atthasdef)
		DEFINITION_ERROR(col, errmsg("state column \"%s\" cannot have a default", name),
						 errdetail(
							 "NULL in an event means unchanged, and a default would take its place."),
						 errhint("Use the option initial for the value a key starts with."));
	if (roles == 0 && is_not_null(col->form))
		DEFINITION_ERROR(col, errmsg("state column \"%s\" cannot be NOT NULL", name),
						 errdetail("NULL in an event means unchanged."),
						 errhint("Use the option initial for the value a key starts with."));
	if (attr->typlen == -2 || get_typtype(col->base) == TYPTYPE_PSEUDO)
		DEFINITION_ERROR(col, errmsg("column \"%s\" cannot be of type %s", name,
									 format_type_be(col->form->atttypid)));
}

/*
 * Set the digits with which values of the column are decoded, from its type or
 * option.
 */
static void
derive_digits(const Column *col, ContimeAttr *attr)
{
	char *scale = contime_option_value(col->options, "scale");

	if (col->base == NUMERICOID && col->basemod >= (int32) VARHDRSZ)
	{
		attr->precision = NUMERIC_PRECISION(col->basemod);
		attr->scale = NUMERIC_SCALE(col->basemod);
	}
	else if (scale)
		attr->scale = contime_scale_of(scale);
}

/* Fill in what a column's own catalog row and options give. */
static void
begin_column(Relation rel, Form_pg_attribute form, ContimeTable *table, Column *col)
{
	ContimeAttr *attr = &table->attr[form->attnum - 1];
	CtAttr *ct = &table->schema->attr[form->attnum - 1];
	char *option;

	Assert(form->attnum >= 1 && form->attnum <= table->natts);
	col->table = table->name;
	col->owner = table->owner;
	col->calls = &table->calls;
	col->form = form;
	attr->attno = form->attnum;
	attr->dropped = form->attisdropped;
	ct->rate_attr = -1;
	if (attr->dropped)
		return;

	col->options = GetForeignColumnOptions(RelationGetRelid(rel), form->attnum);
	col->basemod = form->atttypmod;
	col->base = getBaseTypeAndTypmod(form->atttypid, &col->basemod);
	option = contime_option_value(col->options, "rule");
	col->rule = option ? ct_rule_named(option) : CT_RULE_LAST;
	option = contime_option_value(col->options, "interpolate");
	col->linear = option && strcmp(option, "linear") == 0;

	attr->type = col->base;
	attr->typmod = col->basemod;
	attr->collation = form->attcollation;
	attr->typlen = form->attlen;
	attr->typbyval = form->attbyval;
	attr->key = contime_option_flag(col->options, "key");
	attr->time = contime_option_flag(col->options, "time");
	attr->event_id = contime_option_flag(col->options, "event_id");
	attr->state = !attr->key && !attr->time;
	check_roles(col, attr);
	derive_digits(col, attr);
}

static void
derive_column(const Column *col, ContimeTable *table)
{
	Form_pg_attribute form = col->form;
	ContimeAttr *attr = &table->attr[form->attnum - 1];
	CtAttr *ct = &table->schema->attr[form->attnum - 1];

	if (attr->dropped)
		return;
	ct->role = attr->key        ? CONTIME_KEY
			   : attr->time     ? CONTIME_TIME
			   : attr->event_id ? CONTIME_EVENT_ID
								: CONTIME_STATE;
	ct->type = form->atttypid;
	ct->typmod = form->atttypmod;
	ct->collation = form->attcollation;
	ct->image = attr->typbyval ? CT_IMAGE_WORD : attr->typlen > 0 ? CT_IMAGE_FIXED
																  : CT_IMAGE_VAR;
	ct->length = attr->typbyval ? 0 : attr->typlen;
	if (attr->key)
		derive_key(col, table);
	else if (attr->time)
		derive_time(col, table);
	else
	{
		if (attr->event_id)
			derive_event_id(col, table);
		derive_state(col, attr, table);
	}
}

/* ---- the whole table --------------------------------------------------------- */

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
				 errhint(
					 "Use the options lower and upper of a sum, or a BEFORE INSERT trigger on events.")));
}

static void
derive_retention(ContimeTable *table)
{
	List *list = GetForeignTable(table->relid)->options;

	contime_retention_derive(table, contime_option_value(list, "retain"),
							 contime_option_value(list, "too_late"),
							 contime_option_value(list, "max_ahead"));
}

static void
derive_memory_limit(ContimeTable *table)
{
	char *limit = contime_option_value(GetForeignTable(table->relid)->options, "memory_limit");

	table->memory_limit = limit ? contime_limits_parse(limit) : -1;
}

static void CONTIME_NORETURN
report_no_event_id(const ContimeTable *table, const char *option)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
			 errmsg("continuous table \"%s\" with option %s has no event id column", table->name,
					option),
			 errhint("Give the option event_id 'true' to one column, or leave out the option.")));
}

/* Derive the order and the identity of events, from options ties and identity. */
static void
derive_event_order(ContimeTable *table)
{
	List *list = GetForeignTable(table->relid)->options;
	char *ties = contime_option_value(list, "ties");
	char *identity = contime_option_value(list, "identity");
	CtSchema *schema = table->schema;

	schema->id_first = ties && strcmp(ties, "event_id") == 0;
	schema->id_of_key = identity && strcmp(identity, "key") == 0;
	if (schema->id_first && schema->id_attr < 0)
		report_no_event_id(table, "ties 'event_id'");
	if (schema->id_of_key && schema->id_attr < 0)
		report_no_event_id(table, "identity 'key'");
}

static const char *
get_quoted_name(Relation rel, AttrNumber attno)
{
	return quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rel), attno - 1)->attname));
}

/* Raise ERROR 42P16: a constraint of the event table decides on the identity of its events. */
static void CONTIME_NORETURN
report_durable_identity(const ContimeTable *table, Relation rel)
{
	StringInfoData names;

	Assert(table->schema->id_attr >= 0 && table->nkeys > 0);
	initStringInfo(&names);
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&names, "%s, ", get_quoted_name(rel, table->key_attno[i]));
	appendStringInfoString(&names, get_quoted_name(rel, table->schema->id_attr + 1));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
			 errmsg("continuous table \"%s\" cannot have both an event table and option identity 'key'",
					table->name),
			 errdetail("Every row of its event table is an event."),
			 errhint("Leave out the option; give the event table a constraint such as UNIQUE (%s), and write with ON CONFLICT DO NOTHING.",
					 names.data)));
}

/* Derive the sources of a table.  ERROR for an option that a durable table cannot have. */
static void
derive_source(ContimeTable *table, Relation rel)
{
	List *list = GetForeignTable(table->relid)->options;
	const char *bad_rows = contime_option_value(list, "bad_rows");

	table->ignores_bad_rows = bad_rows && strcmp(bad_rows, "ignore") == 0;
	contime_source_derive(table, rel, contime_option_value(list, "events"));
	if (table->source && table->retain != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("continuous table \"%s\" cannot have both an event table and option retain",
						table->name),
				 errdetail("Every row of its event table is an event."),
				 errhint(
					 "Leave out the option retain; what is not to be kept is deleted from the event table.")));
	if (table->source && table->max_ahead != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("continuous table \"%s\" cannot have both an event table and option max_ahead",
						table->name),
				 errdetail("Every row of its event table is an event."),
				 errhint("Leave out the option max_ahead; a constraint or a trigger of the event table can refuse rows.")));
	if (table->source && table->schema->id_of_key)
		report_durable_identity(table, rel);
}

ContimeTable *
contime_table_derive(Relation rel)
{
	TupleDesc desc = RelationGetDescr(rel);
	Size size = offsetof(CtSchema, attr) + desc->natts * sizeof(CtAttr);
	Column *cols = palloc0(desc->natts * sizeof(Column));
	ContimeTable *table;

	Assert(CheckRelationLockedByMe(rel, AccessShareLock, true));
	check_relation(rel);
	table = palloc0(offsetof(ContimeTable, attr) + desc->natts * sizeof(ContimeAttr));
	table->relid = RelationGetRelid(rel);
	table->owner = rel->rd_rel->relowner;
	table->name = pstrdup(RelationGetRelationName(rel));
	table->natts = desc->natts;
	table->schema = palloc0(size);
	table->schema->size = size;
	table->schema->nattrs = desc->natts;
	table->schema->id_attr = -1;

	for (int i = 0; i < desc->natts; i++)
		begin_column(rel, TupleDescAttr(desc, i), table, &cols[i]);
	resolve_rates(cols, desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		derive_column(&cols[i], table);
		contime_check_unchanged(table, rel, desc);
	}
	for (int i = 0; i < desc->natts; i++)
		if (cols[i].rate)
			check_reach(&cols[i], table);

	if (table->nkeys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("continuous table \"%s\" has no key", table->name),
				 errhint(
					 "Give the option key 'true' to the columns that identify what changes over time.")));
	if (table->time_attno == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("continuous table \"%s\" has no time column", table->name),
				 errhint(
					 "Give the option time 'true' to one column of type timestamptz or bigint.")));
	Assert(table->nkeys <= INDEX_MAX_KEYS);
	Assert(table->schema->nattrs == table->natts && table->natts <= CT_MAX_ATTRS);
	derive_retention(table);
	derive_memory_limit(table);
	derive_event_order(table);
	derive_source(table, rel);
	return table;
}
