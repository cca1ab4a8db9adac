/*
 * merge.c
 *	  Merge the visible recent events of a timeline with its entered ones.
 *
 * The caller has found which recent events of a timeline its snapshot sees.
 * They become two sorted runs: events to be folded beside the entered ones, and
 * events that hide an entered one, as its duplicate or as its retraction.
 *
 * Called by mvcc/visible.c through engine.h, before a timeline is folded.
 *
 * Concurrency: the caller holds the partition's lock in shared mode, or reads
 * without it (read.c).
 *
 * Not here: the fold (fold.c), which recent events are visible (mvcc/visible.c).
 */
#include <string.h>

#include "engine/snapshot.h"
#include "engine/walk.h"

static int
cmp_recent(const CtReadContext *context, CtRef a, CtRef b)
{
	CtLayout a_scratch;
	CtLayout b_scratch;
	CtItem x = ct_event_item(context, ct_ptr(context->arena, a), &a_scratch);
	CtItem y = ct_event_item(context, ct_ptr(context->arena, b), &b_scratch);

	return ct_item_cmp(context, &x, &y);
}

/* With id_of_key: events of one id are neighbours, in order. */
static int
cmp_recent_ids(const CtReadContext *context, CtRef a, CtRef b)
{
	CtLayout a_scratch;
	CtLayout b_scratch;
	CtItem x = ct_event_item(context, ct_ptr(context->arena, a), &a_scratch);
	CtItem y = ct_event_item(context, ct_ptr(context->arena, b), &b_scratch);

	return ct_item_cmp_id(context, &x, &y);
}

typedef int (*CtRecentCmp)(const CtReadContext *context, CtRef a, CtRef b);

/* Sort by a bottom-up merge sort.  `scratch` has room for `count` events. */
static inline __attribute__((always_inline)) void
sort_run(const CtReadContext *context, CtRef *run, CtRef *scratch, uint32_t count,
		 const CtRecentCmp cmp)
{
	for (uint64_t width = 1; width < count; width *= 2)
	{
		for (uint64_t start = 0; start < count; start += 2 * width)
		{
			uint64_t middle = start + width < count ? start + width : count;
			uint64_t end = middle + width < count ? middle + width : count;
			uint64_t a = start;
			uint64_t b = middle;

			for (uint64_t i = start; i < end; i++)
			{
				bool from_b = a == middle || (b < end && cmp(context, run[b], run[a]) < 0);

				scratch[i] = from_b ? run[b++] : run[a++];
			}
		}
		memcpy(run, scratch, count * sizeof(CtRef));
	}
}

/*
 * Of adjacent duplicates keep the first, which sorts first by content.  Return the
 * number kept.
 */
static uint32_t
remove_duplicates(const CtReadContext *context, CtRef *run, uint32_t count)
{
	uint32_t kept = 0;
	CtLayout scratch;
	CtLayout other;

	for (uint32_t i = 0; i < count; i++)
	{
		CtItem item = ct_event_item(context, ct_ptr(context->arena, run[i]), &scratch);

		if (kept > 0 && item.layout->has_id)
		{
			CtItem last = ct_event_item(context, ct_ptr(context->arena, run[kept - 1]), &other);

			if (ct_item_is_duplicate(context, &last, &item))
				continue;
		}
		run[kept++] = run[i];
	}
	return kept;
}

static inline bool
is_retraction(const CtReadContext *context, CtRef ref)
{
	return ((const CtEvent *) ct_ptr(context->arena, ref))->retracts != 0;
}

/*
 * Remove retractions together with as many equal events.  Events that are equal can
 * replace each other.  A retraction that is left over retracts an entered event:
 * move it to `cancelled`.
 */
static void
apply_retractions(const CtReadContext *context, CtRuns *runs)
{
	CtRef *run = runs->extra;
	uint32_t kept = 0;
	uint32_t end;

	for (uint32_t start = 0; start < runs->nextra; start = end)
	{
		uint32_t backward = 0;
		uint32_t forward = 0;

		for (end = start; end < runs->nextra; end++)
		{
			if (end > start && cmp_recent(context, run[start], run[end]) != 0)
				break;
			if (is_retraction(context, run[end]))
				backward++;
			else
				forward++;
		}
		for (uint32_t i = start; i < end; i++)
		{
			CtRef ref = run[i];

			if (is_retraction(context, ref) && backward > forward)
			{
				runs->cancelled[runs->ncancelled++] = ref;
				backward--;
			}
			else if (!is_retraction(context, ref) && forward > backward)
			{
				run[kept++] = ref;
				forward--;
			}
		}
	}
	runs->nextra = kept;
}

/*
 * Insert a duplicate into the sorted run of retractions.  Stores with retractions
 * have few of them.
 */
static void
insert_cancelled(const CtReadContext *context, CtRef *run, uint32_t count, CtRef ref)
{
	while (count > 0 && cmp_recent(context, run[count - 1], ref) > 0)
	{
		run[count] = run[count - 1];
		count--;
	}
	run[count] = ref;
}

/*
 * True if the entered event is retracted.  *next is the first retraction that may
 * be of this event or of a later one.
 */
static bool
is_retracted(const CtReadContext *context, const CtRuns *runs, const CtItem *item, uint32_t *next)
{
	for (; *next < runs->ncancelled; ++*next)
	{
		CtLayout scratch;
		CtItem other =
			ct_event_item(context, ct_ptr(context->arena, runs->cancelled[*next]), &scratch);
		int order = ct_item_cmp(context, &other, item);

		if (order >= 0)
			return order == 0 && is_retraction(context, runs->cancelled[*next]);
	}
	return false;
}

/* ---- with id_of_key ---------------------------------------------------------- */

/* Compare two cancelling events by the entered ones that they replace. */
static int
cmp_cancelled(const CtReadContext *context, const CtTimeline *timeline, CtRef a, CtRef b)
{
	CtLayout a_scratch;
	CtLayout b_scratch;
	CtItem x = ct_cancelled_item(context, timeline, a, &a_scratch);
	CtItem y = ct_cancelled_item(context, timeline, b, &b_scratch);

	return ct_item_cmp(context, &x, &y);
}

/* Move an event down a heap whose root is the last in order. */
static void
sift_down(const CtReadContext *context, const CtTimeline *timeline, CtRef *heap, uint32_t count,
		  uint32_t at)
{
	for (uint32_t child; (child = 2 * at + 1) < count; at = child)
	{
		CtRef above = heap[at];

		if (child + 1 < count && cmp_cancelled(context, timeline, heap[child], heap[child + 1]) < 0)
			child++;
		if (cmp_cancelled(context, timeline, above, heap[child]) >= 0)
			return;
		heap[at] = heap[child];
		heap[child] = above;
	}
}

/* Sort by heapsort, as there is no room for anything else. */
static void
sort_cancelled(const CtReadContext *context, const CtTimeline *timeline, CtRef *run, uint32_t count)
{
	for (uint32_t i = count / 2; i > 0; i--)
		sift_down(context, timeline, run, count, i - 1);
	for (uint32_t end = count; end > 1; end--)
	{
		CtRef last = run[0];

		run[0] = run[end - 1];
		run[end - 1] = last;
		sift_down(context, timeline, run, end - 1, 0);
	}
}

/*
 * Merge where an id is unique for its key.  Of the visible events of one id the first
 * in order counts: among the recent ones, and then beside the entered one, which may
 * be at another instant.
 */
static void
merge_by_id(const CtReadContext *context, const CtStore *s, const CtTimeline *t,
			const CtSnapshot *snapshot, CtRuns *runs)
{
	uint32_t kept = 0;

	CT_ASSERT(!runs->retracts);
	sort_run(context, runs->extra, runs->cancelled, runs->nextra, cmp_recent_ids);
	runs->nextra = remove_duplicates(context, runs->extra, runs->nextra);
	sort_run(context, runs->extra, runs->cancelled, runs->nextra, cmp_recent);
	for (uint32_t i = 0; i < runs->nextra; i++)
	{
		CtLayout scratch;
		CtLayout other;
		CtItem item = ct_event_item(context, ct_ptr(context->arena, runs->extra[i]), &scratch);
		CtSpot spot;

		if (ct_timeline_find_duplicate(context, t, &item, &spot))
		{
			CtRun run;
			CtItem duplicate;
			uint32_t label;

			ct_spot_run(context, t, &spot, &run);
			duplicate = ct_run_item(&run, spot.position - 1, &other);
			label = ct_run_label(&run, spot.position - 1);
			if (label == 0 || ct_snapshot_sees(snapshot, ct_label_top(s->newest_top, label)))
			{
				if (ct_item_cmp(context, &item, &duplicate) >= 0)
					continue;
				runs->cancelled[runs->ncancelled++] = runs->extra[i];
			}
		}
		runs->extra[kept++] = runs->extra[i];
	}
	runs->nextra = kept;
	sort_cancelled(context, t, runs->cancelled, runs->ncancelled);
}

/* ---- merging ----------------------------------------------------------------- */

void
ct_timeline_merge(const CtArena *arena, CtRef store, CtRef timeline, const CtSnapshot *snapshot,
				  CtRuns *runs)
{
	const CtStore *s = ct_ptr(arena, store);
	const CtTimeline *t = ct_ptr(arena, timeline);
	CtReadContext context = ct_store_read_context(arena, s);
	uint32_t kept = 0;
	uint32_t next = 0;

	CT_ASSERT(ct_snapshot_is_sound(snapshot));
	CT_ASSERT(runs->nextra == 0 || (runs->extra != NULL && runs->cancelled != NULL));
	runs->ncancelled = 0;
	if (context.schema->id_of_key)
	{
		merge_by_id(&context, s, t, snapshot, runs);
		return;
	}
	sort_run(&context, runs->extra, runs->cancelled, runs->nextra, cmp_recent);
	if (runs->retracts)
		apply_retractions(&context, runs);
	runs->nextra = remove_duplicates(&context, runs->extra, runs->nextra);
	for (uint32_t i = 0; i < runs->nextra; i++)
	{
		CtLayout scratch;
		CtLayout other;
		CtItem item = ct_event_item(&context, ct_ptr(arena, runs->extra[i]), &scratch);
		CtSpot spot;

		if (item.layout->has_id && ct_timeline_locate(&context, t, &item, &spot))
		{
			CtRun run;
			CtItem duplicate;
			uint32_t label;

			ct_spot_run(&context, t, &spot, &run);
			duplicate = ct_run_item(&run, spot.position - 1, &other);
			label = ct_run_label(&run, spot.position - 1);
			if ((label == 0 || ct_snapshot_sees(snapshot, ct_label_top(s->newest_top, label))) &&
				!is_retracted(&context, runs, &duplicate, &next))
			{
				if (ct_item_cmp(&context, &item, &duplicate) >= 0)
					continue;
				insert_cancelled(&context, runs->cancelled, runs->ncancelled++, runs->extra[i]);
			}
		}
		runs->extra[kept++] = runs->extra[i];
	}
	runs->nextra = kept;
}

bool
ct_store_cancels(const CtArena *arena, CtRef store)
{
	const CtStore *s = ct_ptr(arena, store);

	return (s->linear | s->moving) == 0;
}
