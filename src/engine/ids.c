/*
 * ids.c
 *	  Event id -> entered event of a timeline, in stores with id_of_key.
 *
 *	  timeline.ids ─► node ─► node ─► list of entries: instant, tag
 *				(up to CT_ID_LIST ids: a list without a node)
 *
 * A trie over a hash of the id.  It grows and shrinks by single entries and nodes,
 * so no call takes long.  An entry does not have the id itself: the caller finds the
 * event at the entry's instant, and compares.
 *
 * Called by timeline.c and retain.c when events enter, leave or are folded; by
 * timeline.c to find the duplicate of an event.
 *
 * Concurrency: the caller of a function that takes a CtWriter holds the partition's
 * lock, and the timeline is being changed.  ct_ids_first() and ct_ids_next() work
 * without the lock: what they find may be torn, and their loops are bounded.
 *
 * Invariants:
 *	 I1  A timeline has an entry for each of its entered events that has an id, and
 *		 no other entry.  (Folded events have none: their ids are forgotten.)
 *	 I2  An entry is in the list that its tag leads to.  No node is empty.
 *
 * Not here: which of the events with one id counts (store.c, merge.c).
 */
#include "engine/ids.h"

#include <string.h>
#include <xxhash.h>

/* Return the hash of the event's id, and its kind.  The event has an id. */
uint32_t
ct_id_tag(const CtReadContext *context, const CtItem *item)
{
	int id = context->schema->id_attr;
	const CtAttr *attr = &context->schema->attr[id];
	const uint8_t *cell = item->record + ct_layout_offset(item->layout, id);
	uint32_t bytes = ct_cell_bytes(attr);
	uint32_t hash;
	CtRef ref;

	CT_ASSERT(item->layout->has_id != 0);
	if (ct_is_apart(attr))
	{
		memcpy(&ref, cell, sizeof(ref));
		cell = ((const CtApart *) ct_ptr(context->arena, ref))->data;
		bytes = ref == 0 ? 0 : ct_apart_bytes(context->arena, ct_ptr(context->arena, ref));
	}
	hash = (uint32_t) (XXH3_64bits(cell, bytes) >> 32);
	return (hash & ~CT_ID_KIND) | (item->layout->kind & CT_ID_KIND);
}

/* ---- places ------------------------------------------------------------------ */

/* A child of a node, or the root. */
typedef struct Place
{
	CtTimeline *timeline;
	CtIdNode *node; /* NULL: the root */
	uint32_t child;
	int level; /* of the node that is, or would be, at this place */
} Place;

static CtRef *
get_ref(const Place *place)
{
	return place->node == NULL ? &place->timeline->ids : &place->node->child[place->child];
}

static bool
holds_node(const Place *place)
{
	return place->node == NULL ? place->timeline->ids_node != 0
							   : (place->node->nodes >> place->child & 1) != 0;
}

/* Go to the child of the node at a place. */
static void
go_down(const CtWriter *writer, Place *place, uint32_t tag)
{
	CT_ASSERT(holds_node(place) && place->level < CT_ID_LEVELS); /* I2 */
	place->node = ct_ptr(writer->arena, *get_ref(place));
	place->child = ct_id_digit(tag, place->level++);
}

/* Go from the root to the list that a tag leads to.  path[] gets the places before it. */
static int
find_list(const CtWriter *writer, CtTimeline *timeline, uint32_t tag, Place *path)
{
	int depth = 0;

	path[0] = (Place){.timeline = timeline};
	for (; holds_node(&path[depth]); depth++)
	{
		path[depth + 1] = path[depth];
		go_down(writer, &path[depth + 1], tag);
	}
	return depth;
}

/* ---- finding ----------------------------------------------------------------- */

static const CtIdEntry *
skip_others(const CtArena *arena, CtRef ref, uint32_t tag)
{
	for (uint32_t steps = 0; ref != 0 && steps < CT_ID_MOST; steps++)
	{
		const CtIdEntry *entry = ct_ptr(arena, ref);

		if (((entry->tag ^ tag) & ~CT_ID_KIND) == 0)
			return entry;
		ref = entry->next;
	}
	return NULL;
}

/* Return the first entry with the same hash, of any kind; ct_ids_next() returns others. */
const CtIdEntry *
ct_ids_first(const CtArena *arena, const CtTimeline *timeline, uint32_t tag)
{
	CtRef ref = timeline->ids;
	bool is_node = timeline->ids_node != 0;

	for (int level = 0; is_node && level < CT_ID_LEVELS; level++)
	{
		const CtIdNode *node = ct_ptr(arena, ref);
		uint32_t child = ct_id_digit(tag, level);

		is_node = (node->nodes >> child & 1) != 0;
		ref = node->child[child];
	}
	return is_node ? NULL : skip_others(arena, ref, tag); /* a node here: it is torn */
}

const CtIdEntry *
ct_ids_next(const CtArena *arena, const CtIdEntry *entry, uint32_t tag)
{
	return skip_others(arena, entry->next, tag);
}

/* ---- changing ---------------------------------------------------------------- */

/* True if the list has room for another entry before it should become a node. */
static bool
is_short(const CtArena *arena, CtRef ref)
{
	int n = 0;

	for (; ref != 0 && n < CT_ID_LIST; n++)
		ref = ((const CtIdEntry *) ct_ptr(arena, ref))->next;
	return n < CT_ID_LIST;
}

/* Replace the list at a place by a node.  False: no memory, and nothing was changed. */
static bool
split_list(CtWriter *writer, const Place *place)
{
	CtRef ref = ct_take(writer, sizeof(CtIdNode), true);
	CtIdNode *node = ct_ptr(writer->arena, ref);
	CtRef entry_ref = *get_ref(place);

	if (ref == 0)
		return false;
	memset(node, 0, sizeof(*node));
	while (entry_ref != 0)
	{
		CtIdEntry *entry = ct_ptr(writer->arena, entry_ref);
		CtRef *child = &node->child[ct_id_digit(entry->tag, place->level)];
		CtRef next = entry->next;

		node->count += *child == 0;
		entry->next = *child;
		*child = entry_ref;
		entry_ref = next;
	}
	*get_ref(place) = ref;
	if (place->node == NULL)
		place->timeline->ids_node = true;
	else
		place->node->nodes |= (uint16_t) (1U << place->child);
	return true;
}

/* Add an entry.  False: no memory.  Without memory for a node, a list is longer. */
bool
ct_ids_put(CtWriter *writer, CtTimeline *timeline, uint32_t tag, int64_t time)
{
	Place path[CT_ID_LEVELS + 1];
	Place place = path[find_list(writer, timeline, tag, path)];
	CtRef ref = ct_take(writer, sizeof(CtIdEntry), true);
	CtRef *list;

	CT_ASSERT(ct_is_changing(timeline));
	if (ref == 0)
		return false;
	while (place.level < CT_ID_LEVELS && !is_short(writer->arena, *get_ref(&place)) &&
		   split_list(writer, &place))
		go_down(writer, &place, tag);
	list = get_ref(&place);
	if (place.node != NULL)
		place.node->count += *list == 0;
	*(CtIdEntry *) ct_ptr(writer->arena, ref) = (CtIdEntry){time, tag, *list};
	*list = ref;
	return true;
}

/* Return where the reference of the entry is, in the list at a place. */
static CtRef *
find_entry(const CtWriter *writer, const Place *place, uint32_t tag, int64_t time)
{
	CtRef *at = get_ref(place);

	for (;;)
	{
		CtIdEntry *entry = ct_ptr(writer->arena, *at);

		CT_ASSERT(*at != 0); /* I1 */
		if (entry->tag == tag && entry->time == time)
			return at;
		at = &entry->next;
	}
}

/* Remove the entry of an event, and the nodes that become empty. */
void
ct_ids_remove(CtWriter *writer, CtTimeline *timeline, uint32_t tag, int64_t time)
{
	Place path[CT_ID_LEVELS + 1];
	int depth = find_list(writer, timeline, tag, path);
	CtRef *at = find_entry(writer, &path[depth], tag, time);
	CtRef ref = *at;

	CT_ASSERT(timeline->ids != 0); /* I1 */
	*at = ((const CtIdEntry *) ct_ptr(writer->arena, ref))->next;
	ct_give(writer, ref, sizeof(CtIdEntry));
	for (; depth > 0 && *get_ref(&path[depth]) == 0; depth--)
	{
		const Place *above = &path[depth - 1];

		if (--path[depth].node->count > 0)
			return;
		ct_give(writer, *get_ref(above), sizeof(CtIdNode));
		*get_ref(above) = 0;
		if (above->node == NULL)
			timeline->ids_node = false;
		else
			above->node->nodes &= (uint16_t) ~(1U << above->child);
	}
}

/* An id is another event's from now on. */
void
ct_ids_move(const CtWriter *writer, const CtTimeline *timeline, uint32_t tag, int64_t time,
			uint32_t to_tag, int64_t to_time)
{
	Place path[CT_ID_LEVELS + 1];
	int depth = find_list(writer, (CtTimeline *) timeline, tag, path);
	CtIdEntry *entry = ct_ptr(writer->arena, *find_entry(writer, &path[depth], tag, time));

	CT_ASSERT(((tag ^ to_tag) & ~CT_ID_KIND) == 0 && ct_is_changing(timeline));
	entry->tag = to_tag;
	entry->time = to_time;
}
