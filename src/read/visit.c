/*
 * visit.c
 *	  Visits to the timeline of one key, in memory or from the event tables.
 *
 *	  memory: observed, or under the partition's lock (fold/fold.c)
 *	  event tables: the key's events are loaded into a private store first
 *
 * If memory does not hold all that the snapshot sees of a key, the visit returns
 * CONTIME_FOLD_INCOMPLETE, and the key is read from the event tables.
 *
 * Called by slice.c and history.c.
 */
#include "postgres.h"

#include "read/read.h"
#include "read/scan.h"

#include "base/base.h"
#include "durable/durable.h"
#include "fold/fold.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "miscadmin.h"

/*
 * Check each partition once in a scan.  DDL hooks check it when a definition
 * changes; this is a second line of defence.
 */
void
contime_scan_check_conflict(ContimeScan *scan, const CtArena *arena, CtRef store)
{
	uint32 bit = UINT32_C(1) << scan->partition;
	int conflict;
	int usable = CT_MAX_ATTRS;

	Assert(scan->partition >= 0 && scan->partition < contime_shared->partitions);
	Assert(contime_holds_no_lock());
	if ((scan->checked & bit) == 0 &&
		contime_schema_conflict(scan->table, ct_store_schema(arena, store), 0) >= 0)
	{
		conflict = contime_stored_usable(scan->table, scan->generation, scan->partition, &usable);
		if (conflict >= 0)
			contime_report_conflict(scan->table, conflict);
	}
	Assert(usable >= 0 && usable <= CT_MAX_ATTRS);
	if ((scan->checked & bit) == 0)
		scan->usable[scan->partition] = usable;
	scan->checked |= bit;
	scan->chunk.usable = scan->usable[scan->partition];
}

void
contime_scan_resolve(ContimeScan *scan)
{
	Assert(contime_holds_no_lock());
	contime_view_resolve(scan->view);
	if (scan->stale == NULL)
		scan->stale = MemoryContextAllocZero(scan->context, sizeof(Stale));
	if (scan->aside == NULL && scan->table->source)
	{
		scan->aside = MemoryContextAllocZero(scan->context, sizeof(ContimeKey));
		scan->aside->data.data = MemoryContextAlloc(scan->context, CT_MAX_KEY_BYTES);
	}
}

/*
 * CONTIME_FOLD_INCOMPLETE: memory lacks events of the key, or the snapshot sees a recent
 * retraction that a fold of this store cannot apply.  In the second case a scan
 * of all keys copies the key to scan->aside here, as its timeline may be removed later.
 */
ContimeFoldResult
contime_scan_gather(ContimeScan *scan, const CtArena *arena, CtRef store, CtRef timeline)
{
	uint32 key_bytes;
	const void *key;
	ContimeFoldResult result =
		contime_fold_gather(scan->view, scan->generation, arena, store, timeline);

	if (result != CONTIME_FOLD_INCOMPLETE || !scan->view->runs.retracts)
		return result;
	if (!scan->by_key && scan->aside == NULL)
		return CONTIME_FOLD_RESOLVE;
	if (!scan->by_key)
	{
		key = ct_timeline_key(arena, timeline, &key_bytes);
		scan->aside->data.len = Min(key_bytes, CT_MAX_KEY_BYTES);
		memcpy(scan->aside->data.data, key, scan->aside->data.len);
	}
	return CONTIME_FOLD_INCOMPLETE;
}

Mark
contime_scan_mark(const ContimeScan *scan)
{
	return (Mark){.chunk = scan->chunk,
				  .begun = scan->begun,
				  .instant = scan->instant,
				  .nunseen = scan->view->nunseen};
}

void
contime_scan_go_back(ContimeScan *scan, const Mark *mark)
{
	Assert(mark->nunseen <= scan->view->nunseen && mark->chunk.data == scan->chunk.data);
	scan->chunk = mark->chunk;
	if (scan->chunk.last)
		scan->chunk.last->next = NULL;
	scan->begun = mark->begun;
	scan->instant = mark->instant;
	scan->view->nunseen = mark->nunseen;
	if (scan->stale)
		scan->stale->any = false;
}

/* Return the result of a visit to a key that is not in memory. */
static ContimeFoldResult
get_absent_result(const ContimeScan *scan)
{
	return scan->partial ? CONTIME_FOLD_INCOMPLETE : CONTIME_FOLD_DONE;
}

/* The argument of the visitor that fold.c calls for the current key. */
typedef struct KeyVisit
{
	ContimeScan *scan;
	Visit visit;
	void *arg;
	Size arg_bytes;
	Mark mark;                   /* the scan's position before the visit, */
	char start[MAX_VISIT_BYTES]; /* and a copy of *arg */
} KeyVisit;

static ContimeFoldResult
visit_key(void *arg, const CtArena *arena, CtRef store, CtRef timeline, int steps)
{
	KeyVisit *key = arg;

	return key->visit(key->scan, key->arg, arena, store, timeline, steps);
}

/* Undo a visit whose result may be torn. */
static void
undo_visit(void *arg)
{
	KeyVisit *key = arg;

	contime_scan_go_back(key->scan, &key->mark);
	memcpy(key->arg, key->start, key->arg_bytes);
}

/*
 * True if retention has overtaken a visit that may begin later.  Then undo it, and let
 * the next one begin with what is retained now.
 */
static bool
clamp_visit(KeyVisit *key, int64 earliest)
{
	ContimeScan *scan = key->scan;
	int64 retained = contime_retained(scan->generation);

	if (!scan->may_clamp || earliest >= retained)
		return false;
	undo_visit(key);
	scan->start = retained;
	*(int64 *) key->arg = Max(*(int64 *) key->arg, retained);
	return true;
}

ContimeFoldResult
contime_scan_visit_memory(ContimeScan *scan, Visit visit, void *arg, Size arg_bytes)
{
	CtArena arena = contime_arena(scan->partition);
	CtRef store = scan->generation->store[scan->partition];
	int64 from = *(int64 *) arg;
	KeyVisit key = {scan, visit, arg, arg_bytes, contime_scan_mark(scan)};
	ContimeFoldResult fill = get_absent_result(scan);

	Assert(arg_bytes >= sizeof(int64) && arg_bytes <= MAX_VISIT_BYTES);
	if (store == 0)
		return fill;
	pg_read_barrier();
	contime_scan_check_conflict(scan, &arena, store);
	memcpy(key.start, arg, arg_bytes);
	fill = contime_fold_key(&arena, store, scan->partition, &scan->key, scan->table->source != NULL,
							&(ContimeFoldVisitor){visit_key, undo_visit, &key});
	if (clamp_visit(&key, Min(from, *(int64 *) arg)))
		return CONTIME_FOLD_MORE;
	if (fill == CONTIME_FOLD_ABSENT)
		fill = get_absent_result(scan);
	contime_scan_notify_stale(scan);
	scan->remembered |= fill == CONTIME_FOLD_DONE || fill == CONTIME_FOLD_MORE;
	contime_view_report(scan->view, scan->rel);
	contime_retention_check(scan->table, scan->generation, Min(from, *(int64 *) arg));
	return fill;
}

ContimeFoldResult
contime_scan_visit_heap(ContimeScan *scan, Visit visit, void *arg)
{
	scan->chunk.usable = CT_MAX_ATTRS;
	Assert(scan->from_heap && scan->heap != NULL);
	if (scan->timeline == 0 &&
		!contime_heap_next(scan->heap, &scan->arena, &scan->store, &scan->timeline))
		return CONTIME_FOLD_DONE;
	return visit(scan, arg, &scan->arena, scan->store, scan->timeline, CONTIME_FOLDS_PER_LOCK);
}

void
contime_scan_turn_to_heap(ContimeScan *scan)
{
	const ContimeKey *key = scan->by_key ? &scan->key : scan->aside;
	Datum keys[INDEX_MAX_KEYS];
	MemoryContext caller = MemoryContextSwitchTo(scan->values);

	Assert(scan->table->source != NULL && scan->generation != NULL);
	Assert(key != NULL && key->data.data != NULL);
	MemoryContextReset(scan->values);
	contime_decode_keys(scan->table, key, keys);
	MemoryContextSwitchTo(caller);
	contime_want_key(scan->generation, key);
	contime_scan_notify_missed(scan);
	contime_heap_bind(contime_scan_heap(scan), keys, scan->until);
	scan->from_heap = true;
	scan->timeline = 0;
}

bool
contime_scan_visit(ContimeScan *scan, Visit visit, void *arg, Size arg_bytes)
{
	ContimeFoldResult fill;

	Assert(arg_bytes <= MAX_VISIT_BYTES);
	do
	{
		CHECK_FOR_INTERRUPTS();
		fill = scan->from_heap ? contime_scan_visit_heap(scan, visit, arg)
							   : contime_scan_visit_memory(scan, visit, arg, arg_bytes);
		if (fill == CONTIME_FOLD_RESOLVE)
			contime_scan_resolve(scan);
		else if (fill == CONTIME_FOLD_INCOMPLETE)
			contime_scan_turn_to_heap(scan);
		else if (scan->chunk.full && scan->chunk.first == NULL)
			contime_chunk_grow(&scan->chunk);
		scan->chunk.full = false;
	} while (fill != CONTIME_FOLD_DONE && scan->chunk.first == NULL);
	return fill != CONTIME_FOLD_DONE;
}

/* ---- one key after the other ------------------------------------------------- */

/* Copy the key of a timeline into scan->key, where CT_MAX_KEY_BYTES are allocated. */
static void
copy_timeline_key(ContimeScan *scan, const CtArena *arena, CtRef timeline)
{
	uint32 bytes;
	const void *key = ct_timeline_key(arena, timeline, &bytes);

	Assert(bytes <= CT_MAX_KEY_BYTES);
	memcpy(scan->key.data.data, key, bytes);
	scan->key.data.len = bytes;
}

/*
 * Set scan->key to the first key of the partition from scan->position on, and move
 * the position behind it.  Return false if there is none.
 */
static bool
find_key_from_position(ContimeScan *scan, const CtArena *arena, CtRef store)
{
	CtRef timeline;
	CtRead read;

	resetStringInfo(&scan->key.data);
	enlargeStringInfo(&scan->key.data, CT_MAX_KEY_BYTES);
	for (int looks = 0; looks < CONTIME_LOOKS; looks++)
	{
		if (ct_read_slot(arena, store, &scan->position, &read) != CT_OK)
			continue;
		if (read.timeline == 0)
			return false;
		copy_timeline_key(scan, arena, read.timeline);
		if (ct_read_valid(&read))
		{
			scan->position++;
			return true;
		}
	}
	contime_lock(scan->partition, LW_SHARED);
	timeline = ct_store_next(arena, store, &scan->position);
	if (timeline != 0)
		copy_timeline_key(scan, arena, timeline);
	contime_unlock(scan->partition);
	return timeline != 0;
}

static bool
find_key_in_memory(ContimeScan *scan)
{
	for (; scan->partition < contime_shared->partitions;
		 scan->partition = contime_scan_next_partition(scan, scan->partition), scan->position = 0)
	{
		CtArena arena = contime_arena(scan->partition);
		CtRef store = scan->generation->store[scan->partition];

		CHECK_FOR_INTERRUPTS();
		if (store == 0)
			continue;
		pg_read_barrier();
		if (find_key_from_position(scan, &arena, store))
		{
			contime_hash_key(&scan->key);
			return true;
		}
	}
	return false;
}

static bool
read_key_from_heap(ContimeScan *scan)
{
	uint32 bytes;
	const void *key;

	if (!contime_heap_next(scan->heap, &scan->arena, &scan->store, &scan->timeline))
		return false;
	key = ct_timeline_key(&scan->arena, scan->timeline, &bytes);
	resetStringInfo(&scan->key.data);
	appendBinaryStringInfo(&scan->key.data, key, bytes);
	return true;
}

bool
contime_scan_next_key(ContimeScan *scan)
{
	bool found;

	Assert(!scan->memory || scan->generation != NULL);
	if (scan->done)
		return false;
	if (scan->by_key)
	{
		scan->done = true;
		return true;
	}
	if (scan->memory)
	{
		scan->from_heap = false; /* it may be set for the previous key */
		found = find_key_in_memory(scan);
	}
	else
		found = read_key_from_heap(scan);
	scan->done = !found;
	return found;
}
