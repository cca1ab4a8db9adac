/*
 * args.c
 *	  Check the arguments of SQL functions that take a continuous table.
 *
 * Core checks the privileges of a statement on a foreign table.  It checks none of
 * a function's table, so the functions here do, for the current user.  As in a
 * statement, the lock on the relation is kept until the transaction ends.
 */
#include "postgres.h"

#include "sql/sql.h"
#include "read/read.h"
#include "shared/shared.h"
#include "table/table.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* ---- the table and the privileges -------------------------------------------- */

/*
 * Return the continuous table whose row type, or a domain over it, the first
 * argument has.
 */
static Oid
find_argument_table(FunctionCallInfo fcinfo)
{
	Oid type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid relid = OidIsValid(type) ? get_typ_typrelid(getBaseType(type)) : InvalidOid;

	contime_require_loaded();
	if (!OidIsValid(relid) || !contime_is_table(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not the row type of a continuous table",
						OidIsValid(type) ? format_type_be(type) : "the first argument"),
				 errhint(
					 "Cast the first argument to the table's row type, as in ROW(...)::account or NULL::account.")));
	return relid;
}

void
contime_check_argument(FunctionCallInfo fcinfo)
{
	Oid relid = find_argument_table(fcinfo);
	Oid type = get_fn_expr_argtype(fcinfo->flinfo, 0);

	if (get_typtype(type) == TYPTYPE_DOMAIN)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not the row type of a continuous table", format_type_be(type)),
				 errdetail(
					 "It is a domain over a row type, and rows of the table need not satisfy its constraints."),
				 errhint("Write NULL::%s.", get_rel_name(relid))));
}

Relation
contime_open_argument(FunctionCallInfo fcinfo, LOCKMODE mode)
{
	return contime_open_relation(find_argument_table(fcinfo), mode);
}

void
contime_check_privilege(Relation rel, AclMode mode, uint64 columns)
{
	Oid relid = RelationGetRelid(rel);

	if (pg_class_aclcheck(relid, GetUserId(), mode) == ACLCHECK_OK)
		return;
	if (columns != 0)
	{
		for (int i = 0; columns != 0; i++, columns >>= 1)
			if ((columns & 1) &&
				pg_attribute_aclcheck(relid, i + 1, GetUserId(), mode) != ACLCHECK_OK)
				break;
		if (columns == 0)
			return;
	}
	aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_TABLE, RelationGetRelationName(rel));
}

uint64
contime_bit_of(AttrNumber attno)
{
	Assert(attno >= 1 && attno <= CT_MAX_ATTRS);
	return UINT64CONST(1) << (attno - 1);
}

uint64
contime_all_columns(const ContimeTable *table)
{
	uint64 mask = 0;

	for (int i = 0; i < table->natts; i++)
		if (!table->attr[i].dropped)
			mask |= contime_bit_of(i + 1);
	return mask;
}

/* ---- columns ----------------------------------------------------------------- */

uint64
contime_address_columns(const ContimeTable *table)
{
	uint64 mask = contime_bit_of(table->time_attno);

	Assert(table->nkeys >= 1 && table->nkeys <= INDEX_MAX_KEYS);
	for (int i = 0; i < table->nkeys; i++)
		mask |= contime_bit_of(table->key_attno[i]);
	return mask;
}

AttrNumber
contime_named_column(const ContimeTable *table, const char *name, const char *argument)
{
	AttrNumber attno = name ? get_attnum(table->relid, name) : InvalidAttrNumber;

	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("%s must not contain nulls", argument)));
	if (attno <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of continuous table \"%s\" does not exist", name,
							   table->name)));
	return attno;
}

uint64
contime_columns_argument(FunctionCallInfo fcinfo, int argno, const ContimeTable *table)
{
	uint64 mask = contime_address_columns(table);
	Datum *elements;
	bool *nulls;
	int n;

	if (PG_ARGISNULL(argno))
		return contime_all_columns(table);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argno), NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
					  &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		const char *name = nulls[i] ? NULL : NameStr(*DatumGetName(elements[i]));

		mask |= contime_bit_of(contime_named_column(table, name, "columns"));
	}
	Assert((mask & ~contime_all_columns(table)) == 0);
	return mask;
}

/* ---- arguments of functions that read ---------------------------------------- */

bool
contime_key_argument(FunctionCallInfo fcinfo, int argno, const ContimeTable *table, Datum *key)
{
	const ContimeAttr *attr = &table->attr[table->key_attno[0] - 1];
	Oid type = getBaseType(get_fn_expr_argtype(fcinfo->flinfo, argno));
	ContimeIdentity before;
	CoercionPathType path;
	Oid function;

	Assert(argno < PG_NARGS() && !PG_ARGISNULL(argno));
	if (table->nkeys != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("continuous table \"%s\" has %d key columns", table->name, table->nkeys),
				 errhint(
					 "Read it by SELECT with conditions on each of them, or by contime.at or contime.history without a key.")));
	*key = PG_GETARG_DATUM(argno);
	if (type == attr->type)
		return true;
	if (contime_is_integer(type) && contime_is_integer(attr->type))
		return contime_convert_integer(key, type, attr->type);
	path = find_coercion_pathway(attr->type, type, COERCION_IMPLICIT, &function);
	if (path == COERCION_PATH_RELABELTYPE)
		return true;
	if (path == COERCION_PATH_FUNC && get_func_nargs(function) == 1)
	{
		before = contime_switch_to_owner(table->owner, CONTIME_CODE_OF_USERS);
		*key = contime_owner_cast(table->owner, function, *key);
		contime_switch_back(&before);
		return true;
	}

	/* A literal without a type has the type text here. */
	if (type == TEXTOID)
	{
		before = contime_switch_to_owner(table->owner, contime_is_user_made(attr->type)
														   ? CONTIME_CODE_OF_USERS
														   : CONTIME_CODE_OF_CORE);
		*key = contime_owner_input(table->owner, attr->type, -1, TextDatumGetCString(*key));
		contime_switch_back(&before);
		return true;
	}
	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("key of continuous table \"%s\" is of type %s, not %s", table->name,
						   format_type_be(attr->type), format_type_be(type)),
					errhint("Cast the key to %s.", format_type_be(attr->type))));
}

void
contime_check_clock(const ContimeTable *table, Oid type, const char *other)
{
	Assert(type == INT8OID || type == TIMESTAMPTZOID);
	if (table->time_type != type)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("time of continuous table \"%s\" is of type %s", table->name,
							   format_type_be(table->time_type)),
						errhint("Use %s.", other)));
}

bool
contime_range_arguments(FunctionCallInfo fcinfo, int argno, bool ticks, ContimeRange *range)
{
	int64 from = PG_ARGISNULL(argno) ? PG_INT64_MIN : PG_GETARG_INT64(argno);
	int64 to = PG_ARGISNULL(argno + 1) ? PG_INT64_MAX : PG_GETARG_INT64(argno + 1);

	StaticAssertStmt(DT_NOBEGIN == PG_INT64_MIN && DT_NOEND == PG_INT64_MAX,
					 "infinite timestamps are the least and the greatest");
	range->from = from;
	range->last = to;
	range->open_start = PG_ARGISNULL(argno) || (!ticks && TIMESTAMP_IS_NOBEGIN(from));
	range->open_end = PG_ARGISNULL(argno + 1) || (!ticks && TIMESTAMP_IS_NOEND(to));
	if (!ticks && TIMESTAMP_IS_NOEND(from))
		return false;
	if (range->open_end)
		return true;
	range->last = to - (to > PG_INT64_MIN);
	return from < to;
}
