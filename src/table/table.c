/*
 * table.c
 *	  The cache of descriptions of continuous tables, one per backend.
 *
 * A description is dropped when the relcache entry of its relation is invalidated.  If
 * it is still in use, it lives until the transaction ends.
 *
 * Not here: how a description is derived from the catalogs (derive.c).
 */
#include "postgres.h"

#include "table/table.h"
#include "table/derive.h"
#include "shared/shared.h"

#include "access/relation.h"
#include "foreign/foreign.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

typedef struct CacheEntry
{
	Oid relid;
	bool valid;
	MemoryContext context;
	ContimeTable *table;
} CacheEntry;

static HTAB *cache = NULL;

static void
invalidate_cache(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	CacheEntry *entry;

	Assert(cache != NULL); /* the callback is registered when it is created */
	if (OidIsValid(relid))
	{
		entry = hash_search(cache, &relid, HASH_FIND, NULL);
		if (entry)
			entry->valid = false;
	}

	/* A description depends on the event tables' definitions, too. */
	hash_seq_init(&status, cache);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (!OidIsValid(relid))
			entry->valid = false;
		for (ContimeSource *source = entry->valid ? entry->table->source : NULL; source;
			 source = source->next)
			if (source->events == relid)
				entry->valid = false;
	}
}

static CacheEntry *
get_cache_entry(Oid relid)
{
	CacheEntry *entry;
	bool found;

	if (cache == NULL)
	{
		HASHCTL info;

		info.keysize = sizeof(Oid);
		info.entrysize = sizeof(CacheEntry);
		info.hcxt = CacheMemoryContext;
		cache = hash_create("contime tables", 64, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		CacheRegisterRelcacheCallback(invalidate_cache, (Datum) 0);
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
 * Remove descriptions that are not valid any more.  A running scan may still use one,
 * so it is freed at the end of the transaction.
 */
static void
purge_cache(void)
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

void
contime_report_no_relation(Oid relid)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
					errmsg("relation with OID %u does not exist", relid)));
}

void
contime_require_table(Oid relid)
{
	char *name = get_rel_name(relid);

	contime_require_loaded();
	if (name == NULL)
		contime_report_no_relation(relid);
	if (!contime_is_table(relid))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a continuous table", name),
						errhint("Create it as a FOREIGN TABLE on SERVER contime.")));
}

Relation
contime_open_relation(Oid relid, LOCKMODE mode)
{
	Relation rel = OidIsValid(relid) ? try_relation_open(relid, mode) : NULL;

	if (rel == NULL)
		contime_report_no_relation(relid);
	return rel;
}

Oid
contime_owner_of(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

ContimeNotify
contime_table_notify(Oid relid)
{
	char *notify;

	/* No lock is held, so the table may be dropped meanwhile. */
	if (!SearchSysCacheExists1(FOREIGNTABLEREL, ObjectIdGetDatum(relid)))
		return CONTIME_NOTIFY_OFF;
	notify = contime_option_value(GetForeignTable(relid)->options, "notify");
	if (notify == NULL || strcmp(notify, "on") == 0)
		return CONTIME_NOTIFY_ON;
	return strcmp(notify, "key") == 0 ? CONTIME_NOTIFY_KEY : CONTIME_NOTIFY_OFF;
}

/* Derive a table's description, and add it to the cache. */
static const ContimeTable *
fill_cache(Relation rel)
{
	MemoryContext context;
	MemoryContext caller;
	ContimeTable *table;
	CacheEntry *entry;

	if (!contime_is_table(RelationGetRelid(rel)))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a continuous table", RelationGetRelationName(rel)),
						errhint("Create it as a FOREIGN TABLE on SERVER contime.")));

	/* Derive in a context that an error frees, then keep the result. */
	context = AllocSetContextCreate(CurrentMemoryContext, "contime table", ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(context);
	table = contime_table_derive(rel);
	MemoryContextSwitchTo(caller);

	purge_cache();
	entry = get_cache_entry(RelationGetRelid(rel));
	MemoryContextSetParent(context, CacheMemoryContext);
	entry->context = context;
	entry->table = table;
	entry->valid = true;
	return table;
}

const ContimeTable *
contime_table(Relation rel)
{
	const CacheEntry *entry;
	const ContimeTable *table;

	contime_require_loaded();
	entry = get_cache_entry(RelationGetRelid(rel));
	table = entry->valid ? entry->table : fill_cache(rel);
	Assert(table->relid == RelationGetRelid(rel));
	if (table->source == NULL)
		contime_require_running();
	return table;
}
