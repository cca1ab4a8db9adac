/*
 * conflict.c
 *	  Do two descriptions of a table's columns agree?
 *
 * Data is written with a description that is kept beside it.  Attributes may be
 * added, dropped, or given other options as long as no event sets them; what
 * differs otherwise is a conflict.
 */
#include "postgres.h"

#include "table/table.h"

#include "foreign/foreign.h"
#include "utils/lsyscache.h"

/*
 * ERROR if user-made code that runs while a description is derived has dropped
 * columns, by dropping a type CASCADE: core does not ask which backends use
 * these. The relation that is open then has a new descriptor; the old one is
 * kept until the transaction ends.
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
values_equal(const CtSchema *a, const CtSchema *b, const CtAttr *x, const CtAttr *y)
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
attr_equal(const CtAttr *x, const CtAttr *y)
{
	return x->rule == y->rule && x->image == y->image && x->number == y->number &&
		   x->scale == y->scale && x->length == y->length && x->wide == y->wide &&
		   x->linear == y->linear && x->rate_attr == y->rate_attr && x->role == y->role &&
		   x->type == y->type && x->typmod == y->typmod && x->collation == y->collation;
}

/*
 * The attribute of a description in which no column moves by it, as if one
 * did. A rate of rule last is kept as a number for the column that moves by
 * it, and stays one in memory when that column is dropped.
 */
static CtAttr
attr_as_rate(const CtSchema *schema, const CtAttr *attr, const CtAttr *stored)
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
attr_fits(const CtSchema *schema, const CtSchema *stored, int i)
{
	const CtAttr *y = &stored->attr[i];
	CtAttr x = schema->attr[i];

	if (x.rule == CT_RULE_LAST && x.number == CT_NUMBER_NONE && !y->linear &&
		(y->number == CT_NUMBER_INT || y->number == CT_NUMBER_NUMERIC))
		x = attr_as_rate(schema, &x, y);
	return attr_equal(&x, y) && values_equal(schema, stored, &x, y);
}

/*
 * The first attribute in which a table's description differs from the one its
 * data was written with; -1: none. Dropped state columns, and attributes in
 * the mask `aborted`, are passed over. An attribute that was added since must
 * be a plain state column: the position of one that moves is not known for
 * earlier instants.
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
									: !attr_fits(schema, stored, i)))
			return i;
	return -1;
}

void
contime_report_conflict(const ContimeTable *table, int index)
{
	const char *name =
		table->attr[index].dropped ? NULL : get_attname(table->relid, index + 1, true);

	Assert(index >= 0 && index < table->natts);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 name
				 ? errmsg("column \"%s\" of continuous table \"%s\" cannot be changed while the table holds data",
						  name, table->name)
				 : errmsg("a key, time or event id column of continuous table \"%s\" cannot be dropped while the table holds data",
						  table->name),
			 errhint("TRUNCATE the table first, or create a new one and copy the events.")));
}
