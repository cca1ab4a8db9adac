/*
 * encode.c
 *	  Values of rows <-> bytes of keys, events and states.
 *
 * An *image* is what record_image_cmp() compares: the word of a by-value type, the
 * bytes of a fixed-length type, the data part of a detoasted varlena.  A key is the
 * images of its columns one after the other, with bpchar trimmed.  Equal values of a
 * key type have equal images, so equal keys have equal bytes.  A float with a scale is
 * stored as a count of units of 10^-scale, as sign and magnitude, so that these words
 * have the same order as the images of floats.
 *
 * Computed values are returned as numbers.  They are checked against the range of
 * their type here, when they are read.
 */
#include "postgres.h"

#include "table/table.h"
#include "base/base.h"
#include "base/compat.h"

#include <math.h>
#include <xxhash.h>

#include "common/shortest_dec.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* ---- floats with a scale ----------------------------------------------------- */

#define SIGN_BIT (UINT64CONST(1) << 63)

static const int64 powers_of_ten[] = {1,
									  10,
									  100,
									  1000,
									  10000,
									  100000,
									  1000000,
									  10000000,
									  100000000,
									  1000000000,
									  INT64CONST(10000000000),
									  INT64CONST(100000000000),
									  INT64CONST(1000000000000),
									  INT64CONST(10000000000000),
									  INT64CONST(100000000000000),
									  INT64CONST(1000000000000000),
									  INT64CONST(10000000000000000),
									  INT64CONST(100000000000000000),
									  INT64CONST(1000000000000000000)};

StaticAssertDecl(lengthof(powers_of_ten) == CONTIME_NARROW_DIGITS + 1,
				 "narrow numbers have so many digits");

static double
get_float(const ContimeAttr *attr, Datum value)
{
	Assert(attr->type == FLOAT4OID || attr->type == FLOAT8OID);
	return attr->type == FLOAT4OID ? DatumGetFloat4(value) : DatumGetFloat8(value);
}

/*
 * Set *units to digits * 10^exponent, rounded to a whole number, half away from zero.
 * Return false if it has more than 18 digits.
 */
static bool
round_decimal(uint64 digits, int exponent, uint64 *units)
{
	const uint64 limit = powers_of_ten[CONTIME_NARROW_DIGITS];

	if (exponent < -CONTIME_NARROW_DIGITS)
		digits = 0;
	else if (exponent < 0)
		digits = digits / powers_of_ten[-exponent] +
				 (digits % powers_of_ten[-exponent] >= (uint64) powers_of_ten[-exponent] / 2);
	for (; exponent > 0 && digits != 0 && digits < limit; exponent--)
		digits *= 10;
	*units = digits;
	return digits < limit;
}

/*
 * Convert a float to units of 10^-scale, as sign and magnitude.  Use the shortest
 * decimal that reads back as this float, which is also what PostgreSQL prints: so 0.1
 * is exactly a tenth.  Return false if that is not possible.
 */
static bool
scale_float(const ContimeAttr *attr, Datum value, uint64 *units)
{
	char text[DOUBLE_SHORTEST_DECIMAL_LEN];
	const char *p = text;
	uint64 digits = 0;
	int exponent = attr->scale;
	bool point = false;

	Assert(attr->scale >= 0 && attr->scale <= CONTIME_MAX_SCALE);
	if (!isfinite(get_float(attr, value)))
		return false;
	if (attr->type == FLOAT4OID)
		float_to_shortest_decimal_buf(DatumGetFloat4(value), text);
	else
		double_to_shortest_decimal_buf(DatumGetFloat8(value), text);

	/* [-]d[.d][e(+|-)d] with at most 17 significant digits */
	p += *p == '-';
	for (; *p == '.' || (*p >= '0' && *p <= '9'); p++)
	{
		if (*p == '.')
			point = true;
		else
			digits = digits * 10 + (*p - '0');
		exponent -= point && *p != '.';
	}
	if (*p == 'e')
		exponent += atoi(p + 1);
	if (!round_decimal(digits, exponent, units))
		return false;
	if (*text == '-' && *units != 0)
		*units |= SIGN_BIT;
	return true;
}

/* ---- images ------------------------------------------------------------------ */

/*
 * Return a by-value datum as tuple deforming would give it: its upper bits may be
 * anything.
 */
static uint64
normalise_word(Datum value, int16 typlen)
{
	Assert(typlen == 1 || typlen == 2 || typlen == 4 || typlen == 8);
	switch (typlen)
	{
		case 1:
			return (uint64) CharGetDatum(DatumGetChar(value));
		case 2:
			return (uint64) Int16GetDatum(DatumGetInt16(value));
		case 4:
			return (uint64) Int32GetDatum(DatumGetInt32(value));
		default:
			return (uint64) value;
	}
}

static void
append_var(StringInfo buf, const void *data, uint32 bytes, bool with_length)
{
	if (with_length)
		appendBinaryStringInfo(buf, (const char *) &bytes, sizeof(bytes));
	appendBinaryStringInfo(buf, data, bytes);
}

bool
contime_encode_image(const ContimeAttr *attr, const CtAttr *ct, Datum value, StringInfo buf,
					 bool with_length)
{
	bool fits = true;

	Assert(attr->typbyval == (ct->image == CT_IMAGE_WORD));
	Assert(ct->number != CT_NUMBER_SCALED || attr->typbyval);
	if (attr->typbyval)
	{
		uint64 word = 0;

		if (ct->number == CT_NUMBER_SCALED)
			fits = scale_float(attr, value, &word);
		else
			word = normalise_word(value, attr->typlen);
		appendBinaryStringInfo(buf, (const char *) &word, sizeof(word));
	}
	else if (attr->typlen > 0)
		appendBinaryStringInfo(buf, DatumGetPointer(value), attr->typlen);
	else
	{
		struct varlena *flat = PG_DETOAST_DATUM_PACKED(value);

		append_var(buf, VARDATA_ANY(flat), VARSIZE_ANY_EXHDR(flat), with_length);
		if ((Pointer) flat != DatumGetPointer(value))
			pfree(flat);
	}
	return fits;
}

bool
contime_is_finite(const CtAttr *ct, const ContimeAttr *attr, Datum value)
{
	switch (ct->number)
	{
		case CT_NUMBER_NUMERIC:
			return !numeric_is_nan(DatumGetNumeric(value)) &&
				   !numeric_is_inf(DatumGetNumeric(value));
		case CT_NUMBER_SCALED:
			return isfinite(get_float(attr, value));
		case CT_NUMBER_INTERVAL:
			return !INTERVAL_NOT_FINITE(DatumGetIntervalP(value));
		default:
			return true;
	}
}

static CtWide
convert_scaled(const ContimeAttr *attr, Datum value)
{
	double v = get_float(attr, value);
	uint64 units;

	if (isnan(v))
		return CT_WIDE_NAN;
	if (!scale_float(attr, value, &units))
		return v < 0 ? CT_WIDE_MINUS_INFINITY : CT_WIDE_PLUS_INFINITY;
	return ct_wide_from_int64((units & SIGN_BIT) ? -(int64) (units & ~SIGN_BIT) : (int64) units);
}

CtWide
contime_number(const CtAttr *ct, const ContimeAttr *attr, Datum value)
{
	struct varlena *flat;

	switch (ct->number)
	{
		case CT_NUMBER_INT:
			return ct_wide_from_int64((int64) normalise_word(value, attr->typlen));
		case CT_NUMBER_SCALED:
			return convert_scaled(attr, value);
		default:
			Assert(ct->number == CT_NUMBER_NUMERIC);
			flat = PG_DETOAST_DATUM_PACKED(value);
			return ct_wide_from_numeric(VARDATA_ANY(flat), VARSIZE_ANY_EXHDR(flat), ct->scale);
	}
}

CtWide
contime_interval(Datum value, CtWide *extra)
{
	const Interval *interval = DatumGetIntervalP(value);

	*extra = CT_WIDE_ZERO;
	extra->word[0] = (uint64) (int64) interval->day;
	extra->word[1] = (uint64) (int64) interval->month;
	return ct_wide_from_int64(interval->time);
}

/* ---- keys -------------------------------------------------------------------- */

void
contime_hash_key(ContimeKey *key)
{
	key->hash = XXH3_64bits(key->data.data, key->data.len);
}

bool
contime_encode_key(const ContimeTable *table, const Datum *values, const bool *isnull,
				   ContimeKey *key)
{
	Assert(table->nkeys >= 1 && table->nkeys <= INDEX_MAX_KEYS);
	resetStringInfo(&key->data);
	for (int i = 0; i < table->nkeys; i++)
	{
		const ContimeAttr *attr = &table->attr[table->key_attno[i] - 1];
		const CtAttr *ct = &table->schema->attr[table->key_attno[i] - 1];

		if (isnull[i])
			return false;
		if (attr->type == BPCHAROID)
		{
			BpChar *flat = DatumGetBpCharPP(values[i]);
			char *data = VARDATA_ANY(flat);

			append_var(&key->data, data, bpchartruelen(data, VARSIZE_ANY_EXHDR(flat)), true);
		}
		else
			(void) contime_encode_image(attr, ct, values[i], &key->data, true);
	}
	contime_hash_key(key);
	return true;
}

static void CONTIME_NORETURN
report_damaged_key(const ContimeTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a stored key of continuous table \"%s\" does not match its definition", table->name)));
}

/*
 * Return the next `bytes` of a key that ends at `end`, and advance *p.  ERROR if there
 * are fewer.
 */
static const char *
take_bytes(const ContimeTable *table, const char **p, const char *end, uint32 bytes)
{
	const char *taken = *p;

	if (bytes > end - taken)
		report_damaged_key(table);
	*p += bytes;
	return taken;
}

/* Return the datum of a key column from its image, and advance *p. */
static Datum
decode_key_column(const ContimeTable *table, const ContimeAttr *attr, const char **p,
				  const char *end)
{
	struct varlena *value;
	uint32 bytes;

	if (attr->typbyval)
	{
		uint64 word;

		memcpy(&word, take_bytes(table, p, end, sizeof(word)), sizeof(word));
		return (Datum) word;
	}
	if (attr->typlen > 0)
	{
		const char *image = take_bytes(table, p, end, attr->typlen);
		char *fixed = palloc(attr->typlen);

		memcpy(fixed, image, attr->typlen);
		return PointerGetDatum(fixed);
	}
	memcpy(&bytes, take_bytes(table, p, end, sizeof(bytes)), sizeof(bytes));
	(void) take_bytes(table, p, end, bytes);
	value = palloc(bytes + VARHDRSZ);
	SET_VARSIZE(value, bytes + VARHDRSZ);
	memcpy(VARDATA(value), *p - bytes, bytes);
	if (attr->type == BPCHAROID && attr->typmod >= (int32) VARHDRSZ)
		return DirectFunctionCall3(bpchar, PointerGetDatum(value), Int32GetDatum(attr->typmod),
								   BoolGetDatum(false));
	return PointerGetDatum(value);
}

void
contime_decode_key(const ContimeTable *table, const char *key, uint32 bytes, Datum *values,
				   bool *isnull)
{
	const char *p = key;

	for (int i = 0; i < table->nkeys; i++)
	{
		int index = table->key_attno[i] - 1;

		values[index] = decode_key_column(table, &table->attr[index], &p, key + bytes);
		isnull[index] = false;
	}
	if (p != key + bytes)
		report_damaged_key(table);
}

void
contime_decode_keys(const ContimeTable *table, const ContimeKey *key, Datum *keys)
{
	Datum values[CT_MAX_ATTRS];
	bool isnull[CT_MAX_ATTRS];

	contime_decode_key(table, key->data.data, key->data.len, values, isnull);
	for (int i = 0; i < table->nkeys; i++)
		keys[i] = values[table->key_attno[i] - 1];
}

/* ---- integers ---------------------------------------------------------------- */

bool
contime_is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* Convert a number to an integer of this length.  Return false if it is out of range. */
static bool
make_integer(int64 number, int16 typlen, Datum *value)
{
	Assert(typlen == 2 || typlen == 4 || typlen == 8);
	switch (typlen)
	{
		case 2:
			*value = Int16GetDatum((int16) number);
			return number >= PG_INT16_MIN && number <= PG_INT16_MAX;
		case 4:
			*value = Int32GetDatum((int32) number);
			return number >= PG_INT32_MIN && number <= PG_INT32_MAX;
		default:
			*value = Int64GetDatum(number);
			return true;
	}
}

bool
contime_convert_integer(Datum *value, Oid from, Oid to)
{
	return make_integer((int64) normalise_word(*value, get_typlen(from)), get_typlen(to), value);
}

/* ---- states ------------------------------------------------------------------ */

static void CONTIME_NORETURN
report_out_of_range(const ContimeTable *table, const ContimeAttr *attr)
{
	ereport(ERROR,
			(errcode(attr->type == INTERVALOID ? ERRCODE_DATETIME_VALUE_OUT_OF_RANGE
											   : ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("value of column \"%s\" of continuous table \"%s\" is out of range for type %s",
					get_attname(table->relid, attr->attno, false), table->name,
					format_type_with_typemod(attr->type, attr->typmod)),
			 errhint(
				 "The events are kept; record corrections, or a snapshot with a value in range.")));
}

/*
 * Convert a fixed-point number to numeric(precision, scale).  Return false if it is
 * out of range.
 */
static bool
decode_numeric(CtWide number, const ContimeAttr *attr, Datum *value)
{
	static const char ZEROS[] = "000000000000000000000000000000000000";
	char digits[80];
	char text[160];
	bool negative;
	char *p = digits;
	int len;
	int whole;

	StaticAssertStmt(sizeof(ZEROS) == CONTIME_MAX_DIGITS + 1, "a scale may need so many zeros");
	Assert(attr->scale >= 0 && attr->scale <= CONTIME_MAX_DIGITS);
	if (ct_wide_cmp(number, CT_WIDE_NAN) == 0)
	{
		*value = DirectFunctionCall3(numeric_in, CStringGetDatum("NaN"),
									 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		return true;
	}
	ct_wide_to_decimal(number, digits);
	negative = *p == '-';
	p += negative;
	len = strlen(p);
	if (len > attr->precision)
		return false;

	/* Insert the decimal point; pad with zeros after it if there are too few digits. */
	whole = Max(len - attr->scale, 0);
	snprintf(text, sizeof(text), "%s%.*s.%.*s%s", negative ? "-" : "", whole, p,
			 attr->scale - (len - whole), ZEROS, p + whole);
	*value = DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
								 Int32GetDatum(attr->typmod));
	return true;
}

/* Convert units of 10^-scale to the nearest float.  Return false if it is out of range. */
static bool
decode_scaled(CtWide number, const ContimeAttr *attr, Datum *value)
{
	char text[80];
	int64 narrow;

	Assert(attr->scale >= 0 && attr->scale <= CONTIME_MAX_SCALE);
	/* Both operands are exact in a double, so the division rounds once. */
	if (attr->type == FLOAT8OID && ct_wide_to_int64(number, &narrow) &&
		narrow > -(INT64CONST(1) << 53) && narrow < INT64CONST(1) << 53)
	{
		*value = Float8GetDatum((double) narrow / (double) powers_of_ten[attr->scale]);
		return true;
	}
	ct_wide_to_decimal(number, text);
	snprintf(text + strlen(text), 8, "e-%d", attr->scale);
	if (attr->type == FLOAT4OID)
	{
		float f = strtof(text, NULL);

		*value = Float4GetDatum(f);
		return isfinite(f);
	}
	*value = Float8GetDatum(strtod(text, NULL));
	return true;
}

static bool
decode_interval(const CtValue *state, Datum *value)
{
	int64 days = (int64) state->extra.word[0];
	int64 months = (int64) state->extra.word[1];
	Interval *interval = palloc(sizeof(Interval));

	*value = IntervalPGetDatum(interval);
	if (!ct_wide_to_int64(state->number, &interval->time) || days < PG_INT32_MIN ||
		days > PG_INT32_MAX || months < PG_INT32_MIN || months > PG_INT32_MAX)
		return false;
	interval->day = (int32) days;
	interval->month = (int32) months;
	if (INTERVAL_NOT_FINITE(interval))
		return false;
	return true;
}

/*
 * Convert by the column's type, not its CtAttr.number: a former rate is still stored
 * as a number, even if the description says otherwise.
 */
static bool
decode_number(const CtValue *state, const ContimeAttr *attr, Datum *value)
{
	int64 narrow;

	switch (attr->type)
	{
		case NUMERICOID:
			/* A faster way for numbers that fit into 64 bits. */
			if (attr->precision > CONTIME_NARROW_DIGITS ||
				!ct_wide_to_int64(state->number, &narrow))
				return decode_numeric(state->number, attr, value);
			*value = NumericGetDatum(int64_div_fast_to_numeric(narrow, attr->scale));
			return narrow > -powers_of_ten[attr->precision] &&
				   narrow < powers_of_ten[attr->precision];
		case FLOAT4OID:
		case FLOAT8OID:
			return decode_scaled(state->number, attr, value);
		case INTERVALOID:
			return decode_interval(state, value);
		default:
			return ct_wide_to_int64(state->number, &narrow) &&
				   make_integer(narrow, attr->typlen, value);
	}
}

static Datum
decode_image(const CtValue *value, const ContimeAttr *attr)
{
	if (attr->typbyval)
	{
		uint64 word;

		memcpy(&word, value->image, sizeof(word));
		return (Datum) word;
	}
	if (attr->typlen > 0)
		return PointerGetDatum(value->image);
	return PointerGetDatum((const char *) value->image - VARHDRSZ);
}

void
contime_decode_state(const ContimeTable *table, const CtValue *state, int nstate, Datum *values,
					 bool *isnull)
{
	Assert(nstate <= table->natts);
	for (int i = 0; i < table->natts; i++)
	{
		const ContimeAttr *attr = &table->attr[i];

		if (attr->key || attr->time)
			continue;
		isnull[i] = attr->dropped || i >= nstate || state[i].kind == CT_VALUE_NULL;
		if (isnull[i])
			values[i] = (Datum) 0;
		else if (state[i].kind == CT_VALUE_IMAGE)
			values[i] = decode_image(&state[i], attr);
		else if (!decode_number(&state[i], attr, &values[i]))
			report_out_of_range(table, attr);
	}
}
