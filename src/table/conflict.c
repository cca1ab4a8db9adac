/*
 * conflict.c
 *	  Compare a table's description with the one that its data was written with.
 *
 * Each store keeps the schema that its data was written with.  Attributes may be
 * added, dropped, or given other options as long as no event sets them; any other
 * difference is a conflict.
 */
#include "postgres.h"

#include "table/table.h"

#include "foreign/foreign.h"
#include "utils/lsyscache.h"

/*
 * ERROR if user-made code, run while a description is derived, has dropped columns.
 * It can do so by dropping a type CASCADE, which core does not prevent while a backend
 * uses the columns.  The open relation then has a new descriptor; the old one is kept
 * until the transaction ends.
 */
void
contime_check_unchanged(const ContimeTable *table, Relation rel, TupleDesc before)
{
	TupleDesc now = RelationGetDescr(rel);
	bool same = now->natts == before->natts;

	for (int i = 0; same && now != before && i < now->natts; i++)
		same = TupleDescAttr(now, i)->atttypid == TupleDescAttr(before, i)->atttypid;
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("table \"%s\" was altered while the definition of continuous table \"%s\" was read",
						RelationGetRelationName(rel), table->name),
				 errdetail(
					 "Code that the definition runs, such as a domain's check, has done that."),
				 errhint("Alter the table in a statement of its own.")));
}

/* True if two attributes have the same initial values and bounds. */
static bool
has_equal_values(const CtSchema *a, const CtSchema *b, const CtAttr *x, const CtAttr *y)
{
	return x->has_initial == y->has_initial && x->has_lower == y->has_lower &&
		   x->has_upper == y->has_upper && ct_wide_cmp(x->lower, y->lower) == 0 &&
		   ct_wide_cmp(x->upper, y->upper) == 0 && ct_wide_cmp(x->initial, y->initial) == 0 &&
		   ct_wide_cmp(x->initial_extra, y->initial_extra) == 0 &&
		   x->initial_bytes == y->initial_bytes &&
		   memcmp((const char *) a + x->initial_offset, (const char *) b + y->initial_offset,
				  x->initial_bytes) == 0;
}

/* True if an attribute means the same in two descriptions. */
static bool
is_equal_attr(const CtAttr *x, const CtAttr *y)
{
	return x->rule == y->rule && x->image == y->image && x->number == y->number &&
		   x->scale == y->scale && x->length == y->length && x->wide == y->wide &&
		   x->linear == y->linear && x->rate_attr == y->rate_attr && x->role == y->role &&
		   x->type == y->type && x->typmod == y->typmod && x->collation == y->collation;
}

/*
 * Return an attribute of rule last as if another column used it as its rate.  The
 * engine stores such a rate as a number, and it stays one in memory after that other
 * column was dropped.
 */
static CtAttr
convert_to_rate(const CtSchema *schema, const CtAttr *attr, const CtAttr *stored)
{
	CtAttr rate = *attr;
	const char *image = (const char *) schema + attr->initial_offset;
	int64 word;

	Assert(attr->rule == CT_RULE_LAST);
	Assert(stored->number == CT_NUMBER_INT || stored->number == CT_NUMBER_NUMERIC);
	rate.number = stored->number;
	rate.scale = stored->scale;
	rate.initial_offset = rate.initial_bytes = 0;
	if (attr->has_initial && stored->number == CT_NUMBER_NUMERIC)
		rate.initial = ct_wide_from_numeric(image, attr->initial_bytes, stored->scale);
	else if (attr->has_initial)
	{
		memcpy(&word, image, sizeof(word));
		rate.initial = ct_wide_from_int64(word);
	}
	return rate;
}

static bool
fits_stored(const CtSchema *schema, const CtSchema *stored, int i)
{
	const CtAttr *y = &stored->attr[i];
	CtAttr x = schema->attr[i];

	if (x.rule == CT_RULE_LAST && x.number == CT_NUMBER_NONE && !y->linear &&
		(y->number == CT_NUMBER_INT || y->number == CT_NUMBER_NUMERIC))
		x = convert_to_rate(schema, &x, y);
	return is_equal_attr(&x, y) && has_equal_values(schema, stored, &x, y);
}

/*
 * Dropped state columns are ignored, too.  An attribute that was added since must be a
 * plain state column: a column with a rate would have no known value at earlier
 * instants.  If all attributes agree, an option may differ.
 */
int
contime_schema_conflict(const ContimeTable *table, const CtSchema *stored, uint64 aborted)
{
	const CtSchema *schema = table->schema;

	Assert(schema->nattrs == table->natts);
	for (int i = stored->nattrs; i < schema->nattrs; i++)
		if (!table->attr[i].dropped &&
			(schema->attr[i].role != CONTIME_STATE || schema->attr[i].rate_attr >= 0))
			return i;
	for (int i = 0; i < Min(stored->nattrs, schema->nattrs); i++)
		if ((aborted & UINT64CONST(1) << i) == 0 &&
			(table->attr[i].dropped ? stored->attr[i].role != CONTIME_STATE
									: !fits_stored(schema, stored, i)))
			return i;
	if (schema->id_first != stored->id_first)
		return CONTIME_TIES_CONFLICT;
	return schema->id_of_key != stored->id_of_key ? CONTIME_IDENTITY_CONFLICT : -1;
}

static void CONTIME_NORETURN
report_option_conflict(const ContimeTable *table, const char *option)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("option %s of continuous table \"%s\" cannot be changed while the table holds data",
					option, table->name),
			 errdetail(
				 "The events in memory have the order and the identity that the option gave them."),
			 errhint("TRUNCATE the table first, or create a new one and copy the events.")));
}

void
contime_report_conflict(const ContimeTable *table, int index)
{
	const char *name;

	if (index >= CT_MAX_ATTRS)
		report_option_conflict(table, index == CONTIME_TIES_CONFLICT ? "ties" : "identity");
	Assert(index >= 0 && index < table->natts);
	name = table->attr[index].dropped ? NULL : get_attname(table->relid, index + 1, true);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 name
				 ? errmsg("column \"%s\" of continuous table \"%s\" cannot be changed while the table holds data",
						  name, table->name)
				 : errmsg("a key, time or event id column of continuous table \"%s\" cannot be dropped while the table holds data",
						  table->name),
			 errhint("TRUNCATE the table first, or create a new one and copy the events.")));
}
