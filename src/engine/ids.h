/*
 * ids.h
 *	  The event ids of a timeline's entered events, in stores with id_of_key.
 *
 * Shared by ids.c, timeline.c, retain.c and validate.c.
 */
#ifndef CT_IDS_H
#define CT_IDS_H

#include "engine/slot.h"

#define CT_ID_BITS 4
#define CT_ID_FANOUT (1 << CT_ID_BITS)
#define CT_ID_LEVELS 7   /* of nodes: below them lists hold what has the same 28 bits */
#define CT_ID_LIST 4     /* longer lists become a node */
#define CT_ID_KIND 3U    /* the bits of a tag that are the kind, not the hash */
#define CT_ID_MOST 65536 /* steps along a list, which may be torn */

/* An entered event that has an id.  The tag: a hash of the id, and the kind. */
typedef struct CtIdEntry
{
	int64_t time;
	uint32_t tag;
	CtRef next; /* in its list */
} CtIdEntry;

typedef struct CtIdNode
{
	uint16_t nodes; /* children that are nodes; others are lists of entries */
	uint16_t count; /* children that are not 0 */
	CtRef child[CT_ID_FANOUT];
} CtIdNode;

_Static_assert(sizeof(CtIdEntry) == CT_GRANULE, "an entry is small");
_Static_assert(CT_SNAPSHOT <= CT_ID_KIND, "a kind fits into a tag");
_Static_assert(CT_ID_LEVELS *CT_ID_BITS + 2 <= 32, "the levels use other bits than the kind");

/* Return the child of a node that a tag belongs to. */
static inline uint32_t
ct_id_digit(uint32_t tag, int level)
{
	return tag >> (32 - CT_ID_BITS * (level + 1)) & (CT_ID_FANOUT - 1);
}

uint32_t ct_id_tag(const CtReadContext *context, const CtItem *item);
const CtIdEntry *ct_ids_first(const CtArena *arena, const CtTimeline *timeline, uint32_t tag);
const CtIdEntry *ct_ids_next(const CtArena *arena, const CtIdEntry *entry, uint32_t tag);
bool ct_ids_put(CtWriter *writer, CtTimeline *timeline, uint32_t tag, int64_t time) CT_MUST_CHECK;
void ct_ids_remove(CtWriter *writer, CtTimeline *timeline, uint32_t tag, int64_t time);
void ct_ids_move(const CtWriter *writer, const CtTimeline *timeline, uint32_t tag, int64_t time,
				 uint32_t to_tag, int64_t to_time);

#endif /* CT_IDS_H */
