/*
 * visible.c
 *	  The recent events that a snapshot sees, by core's rules for heap tuples.
 *
 * Visibility is decided as in HeapTupleSatisfiesMVCC(), in this order:
 *
 *	  own transaction                          visible if of an earlier command
 *	  top-level transaction in progress,
 *	  as far as the snapshot knows             not visible
 *	  else                                     visible if the commit log says that
 *	                                           its (sub)transaction has committed
 *
 * A read of the commit log may wait for the disk and may fail, so it is not done
 * under a partition's lock.  A reader gathers events under the lock with the
 * transaction statuses that it has cached.  If one is missing, the reader releases
 * the lock, looks the status up, and gathers again.  Only transactions that have
 * ended for the snapshot are looked up, so a status is final.  Their number is
 * finite, so gathering ends.
 *
 * The transactions of entered events have committed; the engine compares their
 * top-level ids with the plain snapshot.
 *
 * For a SERIALIZABLE transaction a view also collects the transactions whose events
 * it met and the snapshot does not see (serializable.c).
 */
#include "postgres.h"

#include "mvcc/mvcc.h"
#include "base/base.h"

#include "access/xact.h"
#include "lib/qunique.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* Limit of the transaction statuses that a backend caches, checked when a view begins. */
#define MAX_STATUSES 65536

/* Visibility of an event to the snapshot. */
typedef enum Sight
{
	HIDDEN, /* not visible: of a later command, or rolled back */
	UNSEEN, /* not visible: its transaction is in progress for the snapshot */
	SEEN,
	UNKNOWN /* the commit log must be read */
} Sight;

typedef struct KnownStatus
{
	uint64 xid;
	bool committed;
} KnownStatus;

/* Transaction statuses that this backend has read from the commit log. */
static HTAB *statuses = NULL;

static void
prepare_statuses(void)
{
	HASHCTL info;

	if (statuses && hash_get_num_entries(statuses) > MAX_STATUSES)
	{
		hash_destroy(statuses);
		statuses = NULL;
	}
	if (statuses)
		return;
	info.keysize = sizeof(uint64);
	info.entrysize = sizeof(KnownStatus);
	info.hcxt = TopMemoryContext;
	statuses =
		hash_create("contime transaction statuses", 256, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Return the 64-bit id of a transaction of the last 2^32 before `next`. */
static uint64
make_full_xid(TransactionId xid, FullTransactionId next)
{
	return U64FromFullTransactionId(next) - (uint32) (XidFromFullTransactionId(next) - xid);
}

static int
cmp_u64(const void *a, const void *b)
{
	uint64 x = *(const uint64 *) a;
	uint64 y = *(const uint64 *) b;

	return (x > y) - (x < y);
}

ContimeView *
contime_view_begin(Snapshot snapshot)
{
	ContimeView *view = palloc0(sizeof(ContimeView));
	FullTransactionId next = ReadNextFullTransactionId();
	uint64 *xip;

	if (snapshot->snapshot_type != SNAPSHOT_MVCC)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("continuous tables can only be read with an MVCC snapshot")));

	view->snapshot = snapshot;
	view->own_top = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	xip = palloc(Max(snapshot->xcnt, 1) * sizeof(uint64));
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		xip[i] = make_full_xid(snapshot->xip[i], next);
	qsort(xip, snapshot->xcnt, sizeof(uint64), cmp_u64);
	view->plain.xmin = make_full_xid(snapshot->xmin, next);
	view->plain.xmax = make_full_xid(snapshot->xmax, next);
	view->plain.nxip = snapshot->xcnt;
	view->plain.xip = xip;
	Assert(view->plain.xmin <= view->plain.xmax);
	Assert(snapshot->xcnt == 0 ||
		   (xip[0] >= view->plain.xmin && xip[snapshot->xcnt - 1] < view->plain.xmax));
#ifdef USE_ASSERT_CHECKING
	if (contime_debug_visibility == CONTIME_VISIBILITY_NO_SNAPSHOT)
	{
		view->plain.xmin = view->plain.xmax = U64FromFullTransactionId(next);
		view->plain.nxip = 0;
	}
#endif
	view->plain.until = PG_INT64_MAX;

	view->capacity = 64;
	view->runs.extra = palloc(view->capacity * sizeof(CtRef));
	view->runs.cancelled = palloc(view->capacity * sizeof(CtRef));
	view->unknown = palloc(view->capacity * sizeof(uint64));
	view->unseen_capacity = 64;
	view->unseen = palloc(view->unseen_capacity * sizeof(uint64));
	prepare_statuses();
	return view;
}

void
contime_view_end(ContimeView *view)
{
	pfree(unconstify(uint64 *, view->plain.xip));
	pfree(view->runs.extra);
	pfree(view->runs.cancelled);
	pfree(view->unknown);
	pfree(view->unseen);
	pfree(view);
}

/* Return the visibility of a recent event. */
static Sight
get_sight(const ContimeView *view, const CtEvent *event)
{
	KnownStatus *xact_status;

	/*
	 * Compare the 64-bit id of the top-level transaction first, so that an id of 2^32
	 * transactions ago is not taken for an own one.
	 */
	if (event->top == view->own_top &&
		TransactionIdIsCurrentTransactionId((TransactionId) event->xid))
		return event->cid < view->snapshot->curcid ? SEEN : HIDDEN;
	if (!ct_snapshot_sees(&view->plain, event->top))
		return UNSEEN;
	xact_status = hash_search(statuses, &event->xid, HASH_FIND, NULL);
	if (xact_status == NULL)
		return UNKNOWN;
	return xact_status->committed ? SEEN : HIDDEN;
}

/* Collect a transaction.  If it does not fit, count it, so that the array is enlarged. */
static void
note_unseen(ContimeView *view, uint64 xid)
{
	if (view->nunseen < view->unseen_capacity)
		view->unseen[view->nunseen] = xid;
	view->nunseen++;
}

/*
 * Collect the transactions of entered events that the snapshot does not see.  Return
 * false if they do not all fit.
 */
static bool
note_entered(ContimeView *view, const CtArena *arena, CtRef store, CtRef timeline)
{
	uint32 noted = Min(view->nunseen, view->unseen_capacity);

	view->nunseen += ct_timeline_unseen(arena, store, timeline, &view->plain, view->unseen + noted,
										view->unseen_capacity - noted);
	return view->nunseen <= view->unseen_capacity;
}

bool
contime_view_gather(ContimeView *view, const CtArena *arena, CtRef store, CtRef timeline)
{
	uint32 count;
	CtRef ref = ct_timeline_recent(arena, timeline, &count);

	view->runs.nextra = view->runs.ncancelled = 0;
	view->nunknown = 0;
	view->wanted = count;
	view->overtaken = false;
	view->runs.retracts = false;
	if (count > view->capacity)
		return false;

	for (uint32 i = 0; i < count && ref != 0; i++)
	{
		const CtEvent *event = ct_ptr(arena, ref);

		switch (get_sight(view, event))
		{
			case SEEN:
				view->runs.retracts |= event->retracts != 0;
				view->runs.extra[view->runs.nextra++] = ref;
				break;
			case UNKNOWN:
				view->unknown[view->nunknown++] = event->xid;
				break;
			case UNSEEN:
				view->overtaken |= event->state == CT_WAITING;
				if (view->tracks || view->refuses)
					note_unseen(view, event->xid);
				break;
			case HIDDEN:
				view->overtaken |= event->state == CT_WAITING;
				break;
		}
		ref = event->next;
	}
	Assert(view->runs.nextra + view->nunknown <= view->wanted); /* which the arrays hold */
	if (view->nunknown > 0 ||
		((view->tracks || view->refuses) && !note_entered(view, arena, store, timeline)))
		return false;
	if (view->runs.nextra > 0)
		ct_timeline_merge(arena, store, timeline, &view->plain, &view->runs);
	Assert(view->runs.ncancelled <= view->capacity);
	return true;
}

/* Raise ERROR 40001 if a transaction that the snapshot does not see has committed. */
static void
refuse_unseen(const ContimeView *view, uint32 count)
{
	for (uint32 i = 0; i < count; i++)
		if (contime_xact_status(view->unseen[i], view->unseen[i]) == CONTIME_XACT_COMMITTED)
			ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
							errmsg("could not serialize access due to concurrent update")));
}

void
contime_view_report(ContimeView *view, Relation rel)
{
	uint32 count = Min(view->nunseen, view->unseen_capacity);

	Assert(InterruptHoldoffCount == 0); /* no LWLock is held */
	Assert(view->nunseen == 0 || view->tracks);
	if (count == 0)
		return;
	qsort(view->unseen, count, sizeof(uint64), cmp_u64);
	count = qunique(view->unseen, count, sizeof(uint64), cmp_u64);
	if (view->refuses)
		refuse_unseen(view, count);
	if (view->tracks)
		contime_serializable_unseen(rel, view->snapshot, view->unseen, count);
	if (view->nunseen > view->unseen_capacity)
	{
		view->unseen_capacity = view->nunseen + view->nunseen / 2;
		view->unseen = repalloc_huge(view->unseen, view->unseen_capacity * sizeof(uint64));
	}
	view->nunseen = 0;
}

void
contime_view_resolve(ContimeView *view)
{
	Assert(InterruptHoldoffCount == 0); /* no LWLock is held */
	Assert(view->nunknown <= view->capacity);
	if (view->wanted > view->capacity)
	{
		uint32 capacity = view->wanted + view->wanted / 2;

		view->runs.extra = repalloc_huge(view->runs.extra, capacity * sizeof(CtRef));
		view->runs.cancelled = repalloc_huge(view->runs.cancelled, capacity * sizeof(CtRef));
		view->unknown = repalloc_huge(view->unknown, capacity * sizeof(uint64));
		view->capacity = capacity;
	}

	for (uint32 i = 0; i < view->nunknown; i++)
	{
		bool committed;
		bool found;
		KnownStatus *xact_status;

		CHECK_FOR_INTERRUPTS();
		if (hash_search(statuses, &view->unknown[i], HASH_FIND, NULL))
			continue;
		committed = contime_committed(view->unknown[i]);
		xact_status = hash_search(statuses, &view->unknown[i], HASH_ENTER, &found);
		xact_status->committed = committed;
	}
	view->nunknown = 0;
}

bool
contime_view_sees(ContimeView *view, uint64 top, uint64 xid)
{
	if (top == view->own_top && TransactionIdIsCurrentTransactionId((TransactionId) xid))
		return true;
	return ct_snapshot_sees(&view->plain, top) &&
		   contime_xact_status(top, xid) == CONTIME_XACT_COMMITTED;
}
