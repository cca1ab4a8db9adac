/*
 * serializable.c
 *	  Predicate locks of core for SERIALIZABLE transactions that read and write.
 *
 *	  read of a key    ─► lock a page, whose number is the key's hash
 *	  read of all keys ─► lock the relation
 *	  event met that the snapshot does not see ─► conflict out
 *	  event written    ─► conflict in, with readers that locked the key's page or
 *	                      the relation
 *
 * Core decides what follows from a conflict, as for ordinary tables (predicate.c
 * of core); it uses the page only as a number.  An event conflicts with every
 * read of its key, at any instant, because the event may be late.
 *
 * A reader takes the lock before it reads; a writer checks for locks after it has
 * linked its events.  So either the reader meets the event, or the writer finds
 * the lock.
 *
 * Nothing here is called under a partition's lock, because it may raise 40001.
 */
#include "postgres.h"

#include "base/compat.h"
#include "mvcc/mvcc.h"

#include "access/relation.h"
#include "access/subtrans.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"

/*
 * Return a copy of the relation that names the database, for predicate locks.  A
 * relation without storage names none, and tables of two databases may have the same
 * OID, if one database is a copy of the other.
 */
static RelationData
copy_with_database(Relation rel)
{
	RelationData copy = *rel;

	Assert(OidIsValid(MyDatabaseId));
	contime_set_database(&copy, MyDatabaseId);
	return copy;
}

static BlockNumber
get_lock_page(uint64 hash)
{
	return (BlockNumber) hash & MaxBlockNumber;
}

bool
contime_serializable_read(Relation rel, Snapshot snapshot, const uint64 *hash)
{
	RelationData copy;

	if (!IsolationIsSerializable())
		return false;
	copy = copy_with_database(rel);
	if (hash)
		PredicateLockPage(&copy, get_lock_page(*hash), snapshot);
	else
		PredicateLockRelation(&copy, snapshot);
	return CheckForSerializableConflictOutNeeded(&copy, snapshot);
}

void
contime_serializable_unseen(Relation rel, Snapshot snapshot, const uint64 *xid, uint32 count)
{
	RelationData copy = copy_with_database(rel);

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
	RelationData copy = copy_with_database(rel);

	Assert(InterruptHoldoffCount == 0); /* no LWLock is held */
	CheckForSerializableConflictIn(&copy, NULL, get_lock_page(hash));
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
	copy = copy_with_database(rel);
	CheckTableForSerializableConflictIn(&copy);
	relation_close(rel, NoLock);
}
