/*
 * references.c
 *	  Keep event tables open from the begin of a scan to its end.
 *
 *	  begin:  open the event tables of a durable table, and add them to `reads`
 *	  end:    close them, and remove them from `reads`
 *	  abort:  the resource owner closes them; release_reads() removes them from `reads`
 *
 * Core refuses DDL on a table that an open query of the same session reads: the
 * query holds a reference in the relation cache, and CheckTableNotInUse() counts
 * those.  A scan of a durable table that is answered from memory opens no event
 * table by itself, so it takes such references here.
 *
 * Partitions are not opened: there may be thousands, which would be too slow for a
 * lookup of 10 us.  Instead each read is noted in a list of this backend (`reads`), and
 * ddl/hooks.c checks the list before a command changes a partition.
 *
 * The references belong to the resource owner that is current at begin, and are
 * released from it at end, whichever owner is current then.  An entry of the list
 * belongs to the same owner, so the list has no entry without a reference.
 *
 * Called by sql/fdw_scan.c and read/scan.c (begin, end) and by ddl/hooks.c (the list).
 */
#include "postgres.h"

#include "durable/durable.h"
#include "table/table.h"

#include "access/relation.h"
#include "utils/resowner.h"

struct ContimeReferences
{
	ResourceOwner owner;
	int nevents;
	Relation events[FLEXIBLE_ARRAY_MEMBER];
};

/* An event table that is being read.  There is one entry for each reference to it. */
typedef struct ReadOf
{
	ResourceOwner owner;
	Oid events;
} ReadOf;

static ReadOf *reads = NULL;
static int nreads = 0;
static int reads_capacity = 0;

/*
 * A resource release callback: remove the entries of the current owner, which is being
 * released, before its locks are.
 */
static void
release_reads(ResourceReleasePhase phase, bool commit, bool top_level, void *arg)
{
	int kept = 0;

	if (phase != RESOURCE_RELEASE_BEFORE_LOCKS || nreads == 0)
		return;
	for (int i = 0; i < nreads; i++)
		if (reads[i].owner != CurrentResourceOwner)
			reads[kept++] = reads[i];
	nreads = kept;
}

/* Make room for one more entry, so that note_read() cannot fail. */
static void
enlarge_reads(void)
{
	if (nreads < reads_capacity)
		return;
	if (reads == NULL)
	{
		reads = MemoryContextAlloc(TopMemoryContext, 16 * sizeof(ReadOf));
		reads_capacity = 16;
		RegisterResourceReleaseCallback(release_reads, NULL);
		return;
	}
	reads = repalloc_huge(reads, 2 * (Size) reads_capacity * sizeof(ReadOf));
	reads_capacity *= 2;
}

static void
note_read(ResourceOwner owner, Oid events)
{
	Assert(nreads < reads_capacity);
	reads[nreads++] = (ReadOf){owner, events};
}

/* Remove the newest entry of an event table: scans mostly end in reverse order. */
static void
remove_read(ResourceOwner owner, Oid events)
{
	for (int i = nreads - 1; i >= 0; i--)
		if (reads[i].events == events && reads[i].owner == owner)
		{
			memmove(&reads[i], &reads[i + 1], (nreads - i - 1) * sizeof(ReadOf));
			nreads--;
			return;
		}
}

/* A table in memory needs no references: its scans have the table itself open. */
ContimeReferences *
contime_references_begin(const ContimeTable *table)
{
	ContimeReferences *held;
	int n = 0;

	for (const ContimeSource *source = table->source; source; source = source->next)
		n++;
	if (n == 0)
		return NULL;
	held = palloc(offsetof(ContimeReferences, events) + n * sizeof(Relation));
	held->owner = CurrentResourceOwner;
	held->nevents = 0;
	for (const ContimeSource *source = table->source; source; source = source->next)
	{
		enlarge_reads();
		held->events[held->nevents++] = relation_open(source->events, AccessShareLock);
		note_read(held->owner, source->events);
	}
	Assert(held->nevents == n);
	return held;
}

void
contime_references_end(ContimeReferences *held)
{
	ResourceOwner caller = CurrentResourceOwner;

	if (held == NULL)
		return;
	Assert(held->nevents > 0);
	CurrentResourceOwner = held->owner;
	for (int i = held->nevents - 1; i >= 0; i--)
	{
		remove_read(held->owner, RelationGetRelid(held->events[i]));
		relation_close(held->events[i], NoLock);
	}
	CurrentResourceOwner = caller;
	pfree(held);
}

List *
contime_references_read(void)
{
	List *read = NIL;

	for (int i = 0; i < nreads; i++)
		read = list_append_unique_oid(read, reads[i].events);
	return read;
}
