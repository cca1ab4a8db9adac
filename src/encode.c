/*
 * encode.c
 *	  Values of rows <-> bytes of keys, events and states.
 *
 * An *image* is what record_image_cmp() compares: the word of a by-value
 * type, the bytes of a fixed-length one, the data part of a detoasted
 * varlena.  Keys are the images of their columns one after the other, bpchar
 * trimmed; since every key type has bitwise equality, equal keys have equal
 * bytes.  Sums, minima and maxima come back as numbers and are checked
 * against their type's range here, when they are read.
 */
#include "contime.h"

#include <xxhash.h>

#include "access/detoast.h"
#include "access/tupmacs.h"
#include "catalog/pg_type_d.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

/* ---- images ----------------------------------------------------------------------- */

/* A by-value datum as tuple deforming would give it, whatever its upper bits. */
static uint64
word_of(Datum value, int16 typlen)
{
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

void
contime_encode_image(const ContimeAttr *attr, const CtAttr *ct, Datum value,
					 StringInfo buf, bool with_length)
{
	if (attr->typbyval)
	{
		uint64		word = word_of(value, attr->typlen);

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
}

CtWide
contime_number(const CtAttr *ct, const ContimeAttr *attr, Datum value)
{
	struct varlena *flat;

	if (ct->number == CT_NUMBER_INT)
		return ct_wide_from_int64((int64) word_of(value, attr->typlen));
	flat = PG_DETOAST_DATUM_PACKED(value);
	return ct_wide_from_numeric(VARDATA_ANY(flat), VARSIZE_ANY_EXHDR(flat), ct->scale);
}

/* ---- keys --------------------------------------------------------------------------- */

bool
contime_encode_key(const ContimeTable *table, const Datum *values,
				   const bool *isnull, ContimeKey *key)
{
	resetStringInfo(&key->data);
	for (int i = 0; i < table->nkeys; i++)
	{
		const ContimeAttr *attr = &table->attr[table->key_attno[i] - 1];
		const CtAttr *ct = &table->schema->attr[table->key_attno[i] - 1];

		if (isnull[i])
			return false;
		if (attr->type == BPCHAROID)
		{
			BpChar	   *flat = DatumGetBpCharPP(values[i]);
			char	   *data = VARDATA_ANY(flat);

			append_var(&key->data, data, bpchartruelen(data, VARSIZE_ANY_EXHDR(flat)), true);
		}
		else
			contime_encode_image(attr, ct, values[i], &key->data, true);
	}
	key->hash = XXH3_64bits(key->data.data, key->data.len);
	return true;
}

/* A datum of a key column from its image; advances *p. */
static Datum
decode_key_column(const ContimeAttr *attr, const char **p)
{
	struct varlena *value;
	uint32		bytes;

	if (attr->typbyval)
	{
		uint64		word;

		memcpy(&word, *p, sizeof(word));
		*p += sizeof(word);
		return (Datum) word;
	}
	if (attr->typlen > 0)
	{
		char	   *fixed = palloc(attr->typlen);

		memcpy(fixed, *p, attr->typlen);
		*p += attr->typlen;
		return PointerGetDatum(fixed);
	}
	memcpy(&bytes, *p, sizeof(bytes));
	value = palloc(bytes + VARHDRSZ);
	SET_VARSIZE(value, bytes + VARHDRSZ);
	memcpy(VARDATA(value), *p + sizeof(bytes), bytes);
	*p += sizeof(bytes) + bytes;
	if (attr->type == BPCHAROID && attr->typmod >= (int32) VARHDRSZ)
		return DirectFunctionCall3(bpchar, PointerGetDatum(value),
								   Int32GetDatum(attr->typmod), BoolGetDatum(false));
	return PointerGetDatum(value);
}

void
contime_decode_key(const ContimeTable *table, const char *key, uint32 bytes,
				   Datum *values, bool *isnull)
{
	const char *p = key;

	for (int i = 0; i < table->nkeys; i++)
	{
		int			index = table->key_attno[i] - 1;

		values[index] = decode_key_column(&table->attr[index], &p);
		isnull[index] = false;
	}
	Assert(p == key + bytes);
}

/* ---- integers -------------------------------------------------------------------------- */

bool
contime_is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* A number as an integer of a length; false: out of range. */
static bool
integer_datum(int64 number, int16 typlen, Datum *value)
{
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
	return integer_datum((int64) word_of(*value, get_typlen(from)), get_typlen(to), value);
}

/* ---- states ------------------------------------------------------------------------- */

static void pg_attribute_noreturn()
report_out_of_range(const ContimeTable *table, const ContimeAttr *attr)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("value of column \"%s\" of continuous table \"%s\" is out of range for type %s",
					get_attname(table->relid, attr->attno, false), table->name,
					format_type_with_typemod(attr->type, attr->typmod)),
			 errhint("The events are kept; record corrections, or a snapshot with a value in range.")));
}

/* A fixed-point number as numeric(precision, scale); false: out of range. */
static bool
decode_numeric(CtWide number, const ContimeAttr *attr, Datum *value)
{
	static const char ZEROS[] = "000000000000000000000000000000000000";
	char		digits[80];
	char		text[160];
	bool		negative;
	char	   *p = digits;
	int			len;
	int			whole;

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

	/* Insert the point, with zeros before it where there are too few digits. */
	whole = Max(len - attr->scale, 0);
	snprintf(text, sizeof(text), "%s%.*s.%.*s%s", negative ? "-" : "",
			 whole, p, attr->scale - (len - whole), ZEROS, p + whole);
	*value = DirectFunctionCall3(numeric_in, CStringGetDatum(text),
								 ObjectIdGetDatum(InvalidOid), Int32GetDatum(attr->typmod));
	return true;
}

static const int64 powers_of_ten[] = {
	1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000,
	INT64CONST(10000000000), INT64CONST(100000000000), INT64CONST(1000000000000),
	INT64CONST(10000000000000), INT64CONST(100000000000000), INT64CONST(1000000000000000),
	INT64CONST(10000000000000000), INT64CONST(100000000000000000),
	INT64CONST(1000000000000000000)
};

static bool
decode_number(CtWide number, const ContimeAttr *attr, const CtAttr *ct, Datum *value)
{
	int64		narrow;

	if (ct->number == CT_NUMBER_NUMERIC)
	{
		/* What fits in 64 bits goes the short way. */
		if (attr->precision > 18 || !ct_wide_to_int64(number, &narrow))
			return decode_numeric(number, attr, value);
		*value = NumericGetDatum(int64_div_fast_to_numeric(narrow, attr->scale));
		return narrow > -powers_of_ten[attr->precision] && narrow < powers_of_ten[attr->precision];
	}
	if (!ct_wide_to_int64(number, &narrow))
		return false;
	return integer_datum(narrow, attr->typlen, value);
}

static Datum
decode_image(const CtValue *value, const ContimeAttr *attr)
{
	if (attr->typbyval)
	{
		uint64		word;

		memcpy(&word, value->image, sizeof(word));
		return (Datum) word;
	}
	if (attr->typlen > 0)
		return PointerGetDatum(value->image);
	return PointerGetDatum((const char *) value->image - VARHDRSZ);
}

void
contime_decode_state(const ContimeTable *table, const CtValue *state, int nstate,
					 Datum *values, bool *isnull)
{
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
		else if (!decode_number(state[i].number, attr, &table->schema->attr[i], &values[i]))
			report_out_of_range(table, attr);
	}
}
