/*
 * serializable.c
 *	  SERIALIZABLE transactions: reads and writes as core's predicate locks.
 *
 *	  read of a key    ─► locks a page: the number is the key's hash
 *	  read of all keys ─► locks the relation
 *	  event met, but not seen by the snapshot ─► conflict out
 *	  event written    ─► conflict in: who locked the key's page, or the relation?
 *
 * Core decides what follows from conflicts, as for ordinary tables (predicate.c
 * there); pages are only numbers to it.  An event conflicts with every read of
 * its key, at whatever instant: it may well be late.
 *
 * A reader locks before it looks, a writer checks after it linked its events.
 * So either the reader meets the event, or the writer the lock.
 *
 * Nothing here is called under a partition's lock: all of it may raise 40001.
 */
#include "postgres.h"

#include "mvcc/mvcc.h"

#include "access/relation.h"
#include "access/subtrans.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"

/*
 * A relation as predicate locks are to know it.  Without storage it names no
 * database, and copies of a database have tables with the same OIDs.
 */
static RelationData
located(Relation rel)
{
	RelationData copy = *rel;

	Assert(OidIsValid(MyDatabaseId));
	copy.rd_node.dbNode = MyDatabaseId;
	return copy;
}

static BlockNumber
page_of(uint64 hash)
{
	return (BlockNumber) hash & MaxBlockNumber;
}

bool
contime_serializable_read(Relation rel, Snapshot snapshot, const uint64 *hash)
{
	RelationData copy;

	if (!IsolationIsSerializable())
		return false;
	copy = located(rel);
	if (hash)
		PredicateLockPage(&copy, page_of(*hash), snapshot);
	else
		PredicateLockRelation(&copy, snapshot);
	return CheckForSerializableConflictOutNeeded(&copy, snapshot);
}

void
contime_serializable_unseen(Relation rel, Snapshot snapshot, const uint64 *xid, uint32 count)
{
	RelationData copy = located(rel);

	Assert(IsolationIsSerializable());
	Assert(InterruptHoldoffCount == 0); /* no LWLock is held */
	for (uint32 i = 0; i < count; i++)
	{
		/* Events that were rolled back are no writes. */
		if (!TransactionIdDidAbort((TransactionId) xid[i]))
			CheckForSerializableConflictOut(&copy,
											SubTransGetTopmostTransaction((TransactionId) xid[i]),
											snapshot);
	}
}

void
contime_serializable_write(Relation rel, uint64 hash)
{
	RelationData copy = located(rel);

	Assert(InterruptHoldoffCount == 0); /* no LWLock is held */
	CheckForSerializableConflictIn(&copy, NULL, page_of(hash));
}

void
contime_serializable_clear(Oid relid)
{
	Relation rel;
	RelationData copy;

	if (!IsolationIsSerializable())
		return;
	rel = relation_open(relid, NoLock);
	Assert(CheckRelationLockedByMe(rel, AccessExclusiveLock, false));
	copy = located(rel);
	CheckTableForSerializableConflictIn(&copy);
	relation_close(rel, NoLock);
}
