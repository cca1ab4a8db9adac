/*
 * fdw_bind.c
 *	  The instants and key values that a scan is bound to.
 *
 *	  fdw_exprs of the plan ─► evaluated ─► instants; for each key column its values
 *	  the key values ─► one combination after the other
 *
 * Called by fdw_scan.c, for each rescan, and by fdw_lock.c.
 */
#include "postgres.h"

#include "sql/fdw.h"
#include "table/table.h"

#include "executor/executor.h"
#include "lib/qunique.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

void
contime_add_instant(FdwScan *state, int64 instant)
{
	if (state->ninstants == state->capacity)
	{
		state->capacity *= 2;
		state->instants = repalloc_huge(state->instants, (Size) state->capacity * sizeof(int64));
	}
	Assert(state->ninstants < state->capacity);
	state->instants[state->ninstants++] = instant;
}

static void
add_instants(FdwScan *state, ArrayType *array, Oid time_type)
{
	Datum *values;
	bool *nulls;
	int n;

	deconstruct_array(array, time_type, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &values,
					  &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			contime_add_instant(state, contime_instant(values[i]));
	}
}

/*
 * Convert *value to the key's type; match.c accepted its type for the key.  Returns
 * false if the value is out of range, so that no key equals it.
 */
static bool
convert_key(Datum *value, Oid from, Oid to)
{
	if (from == to || !contime_is_integer(to))
		return true;
	return contime_convert_integer(value, from, to);
}

/* Argument of compare_key_values(). */
typedef struct KeyOrder
{
	FmgrInfo *compare;
	Oid collation;
} KeyOrder;

static int
compare_key_values(const void *a, const void *b, void *arg)
{
	KeyOrder *order = arg;

	return DatumGetInt32(FunctionCall2Coll(order->compare, order->collation, *(const Datum *) a,
										   *(const Datum *) b));
}

/* Set a key column's values to the distinct, non-NULL elements of an array. */
static void
set_keys(KeyValues *key, ArrayType *array, Oid from)
{
	int16 typlen;
	bool typbyval;
	char typalign;
	bool *nulls;
	KeyOrder order;
	int n;

	get_typlenbyvalalign(ARR_ELEMTYPE(array), &typlen, &typbyval, &typalign);
	deconstruct_array(array, ARR_ELEMTYPE(array), typlen, typbyval, typalign, &key->values, &nulls,
					  &n);
	for (int i = 0; i < n; i++)
	{
		Datum value = key->values[i];

		if (!nulls[i] && convert_key(&value, from, key->type))
			key->values[key->n++] = value;
	}
	Assert(key->n <= n);
	order.compare = &lookup_type_cache(key->type, TYPECACHE_CMP_PROC_FINFO)->cmp_proc_finfo;
	order.collation = key->collation;
	qsort_arg(key->values, key->n, sizeof(Datum), compare_key_values, &order);
	key->n = qunique_arg(key->values, key->n, sizeof(Datum), compare_key_values, &order);
}

void
contime_evaluate_binding(FdwScan *state, int i, ExprContext *econtext)
{
	int key = i - state->binding.ninstants;
	bool array = list_nth_int(state->binding.arrays, i);
	bool isnull;
	Datum value = ExecEvalExpr((ExprState *) list_nth(state->exprs, i), econtext, &isnull);

	Assert(key < state->nkeys);
	if (key < 0)
	{
		if (array && !isnull)
			add_instants(state, DatumGetArrayTypeP(value), state->time_type);
		else if (!isnull)
			contime_add_instant(state, contime_instant(value));
	}
	else
	{
		KeyValues *keys = &state->keys[key];
		Oid from = list_nth_oid(state->binding.key_types, key);

		keys->n = keys->at = 0;
		if (array && !isnull)
			set_keys(keys, DatumGetArrayTypeP(value), from);
		else if (!isnull && convert_key(&value, from, keys->type))
		{
			keys->values = palloc(sizeof(Datum));
			keys->values[keys->n++] = value;
		}
	}
}

bool
contime_current_key(const FdwScan *state, Datum *values)
{
	for (int i = 0; i < state->nkeys; i++)
	{
		if (state->keys[i].n == 0)
			return false;
		values[i] = state->keys[i].values[state->keys[i].at];
	}
	return true;
}

bool
contime_next_key(FdwScan *state)
{
	for (int i = state->nkeys - 1; i >= 0; i--)
	{
		if (++state->keys[i].at < state->keys[i].n)
			return true;
		state->keys[i].at = 0;
	}
	return false;
}
