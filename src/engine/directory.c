/*
 * directory.c
 *	  Key -> timeline: linear hashing over arrays that never move.
 *
 * For every new key two buckets are added: for each, one bucket is split in two.
 * So there is no pause in which everything is hashed again.  Timelines are in
 * slots, apart from buckets.  A slot is always a timeline, in use or free, and a
 * walk over the slots meets each timeline once, whatever happens to buckets.
 *
 * Called by store.c and read.c; validate.c checks it.
 *
 * Concurrency: the caller holds the partition's lock; lookups also work without
 * it (read.c).  Slots and buckets never move, and live as long as the store.  A
 * reader that finds a timeline only has to check its key.  That there is none is
 * certain only if `sequence` has not changed meanwhile.  (It is one for the
 * directory, and changes when keys are added or removed, not when events are.)
 *
 * Invariants:
 *	 D1  A timeline in use is once in the chain of the bucket of its hash.
 *	 D2  `count` is the number of slots in use.  Every other slot below `nslots`
 *		 is in the list of free ones.
 *	 D3  Keys are unique.
 *	 D4  Both arrays have the pages that `nbuckets` and `nslots` need.
 *
 * Not here: what a timeline contains (timeline.c), hashing of keys (the caller).
 */
#include "engine/directory.h"

#include <string.h>

#include "engine/slot.h"

#define NODE_BYTES (CT_PAGES_FANOUT * sizeof(CtRef))
#define BUCKET_PAGE_BYTES (CT_BUCKETS_PER_PAGE * sizeof(CtRef))
#define SLOT_PAGE_BYTES (CT_SLOTS_PER_PAGE * sizeof(CtTimeline))

_Static_assert(sizeof(CtTimeline) % CT_GRANULE == 0, "a slot can be referred to");

/* ---- arrays in pages --------------------------------------------------------- */

/* Return which child of a node leads to the page.  `level` 1 is just above the pages. */
static inline uint32_t
get_digit(uint32_t page, uint32_t level)
{
	return page >> (CT_PAGES_SHIFT * (level - 1)) & (CT_PAGES_FANOUT - 1);
}

/* True if the page is the first one below its node at `level`. */
static inline bool
is_first_below(uint32_t page, uint32_t level)
{
	return ((uint64_t) page & ((UINT64_C(1) << (CT_PAGES_SHIFT * level)) - 1)) == 0;
}

CtRef
ct_pages_get(const CtArena *arena, const CtPages *pages, uint32_t page)
{
	CtRef ref = pages->root;

	for (uint32_t level = pages->height; level > 0; level--)
		ref = ((const CtRef *) ct_ptr(arena, ref))[get_digit(page, level)];
	return ref;
}

/*
 * Append a page.  `spare`: the nodes that are needed for it; `higher`: one of them
 * is a new root.
 */
static void
link_page(CtWriter *writer, CtPages *pages, CtRef page, const CtRef *spare, bool higher)
{
	uint32_t n = pages->npages++;
	CtRef *at = &pages->root;

	CT_ASSERT(page != 0 && n < UINT32_MAX);
	if (higher)
	{
		CtRef *node = ct_ptr(writer->arena, *spare);

		node[0] = pages->root;
		pages->root = *spare++;
		pages->height++;
	}
	for (uint32_t level = pages->height; level > 0; level--)
	{
		if (level < pages->height && is_first_below(n, level))
			*at = *spare++;
		at = (CtRef *) ct_ptr(writer->arena, *at) + get_digit(n, level);
	}
	*at = page;
}

/* Append a zeroed page.  False: no memory. */
static bool
append_page(CtWriter *writer, CtPages *pages, size_t bytes)
{
	uint32_t n = pages->npages;
	CtRef spare[CT_PAGES_MAX_HEIGHT + 1] = {0};
	bool higher = n > 0 && n == UINT64_C(1) << (CT_PAGES_SHIFT * pages->height);
	uint32_t height = pages->height + higher;
	uint32_t needed = higher;
	uint32_t got;
	CtRef page;

	CT_ASSERT(pages->height <= CT_PAGES_MAX_HEIGHT);
	for (uint32_t level = 1; level < height; level++)
		needed += is_first_below(n, level);
	if (height > CT_PAGES_MAX_HEIGHT)
		return false;

	page = ct_take(writer, bytes, false);
	if (page == 0)
		return false;
	for (got = 0; got < needed; got++)
	{
		spare[got] = ct_take(writer, NODE_BYTES, false);
		if (spare[got] == 0)
			break;
		memset(ct_ptr(writer->arena, spare[got]), 0, NODE_BYTES);
	}
	if (got < needed)
	{
		while (got > 0)
			ct_give(writer, spare[--got], NODE_BYTES);
		ct_give(writer, page, bytes);
		return false;
	}
	memset(ct_ptr(writer->arena, page), 0, bytes);
	link_page(writer, pages, page, spare, higher);
	return true;
}

/* Free the last page, and the nodes that become empty. */
static void
free_last_page(CtWriter *writer, CtPages *pages, size_t bytes)
{
	uint32_t n = --pages->npages;
	CtRef ref = pages->root;

	for (uint32_t level = pages->height; level > 0; level--)
	{
		CtRef child = ((CtRef *) ct_ptr(writer->arena, ref))[get_digit(n, level)];

		if (is_first_below(n, level))
			ct_give(writer, ref, NODE_BYTES);
		ref = child;
	}
	ct_give(writer, ref, bytes);
}

/* Begin to change chains; end_chains() ends it. */
static inline void
begin_chains(CtDirectory *directory)
{
	uint32_t sequence = atomic_load_explicit(&directory->sequence, memory_order_relaxed);

	CT_ASSERT((sequence & 1) == 0); /* one writer */
	atomic_store_explicit(&directory->sequence, sequence + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static inline void
end_chains(CtDirectory *directory)
{
	uint32_t sequence = atomic_load_explicit(&directory->sequence, memory_order_relaxed);

	CT_ASSERT((sequence & 1) == 1);
	atomic_store_explicit(&directory->sequence, sequence + 1, memory_order_release);
}

/* ---- buckets ----------------------------------------------------------------- */

/*
 * Mix the bits of a hash.  Partitions may be chosen by its last bits, so buckets
 * must not depend on the same ones.
 */
static inline uint32_t
mix_hash(uint64_t hash)
{
	hash ^= hash >> 32;
	hash *= UINT64_C(0x9E3779B97F4A7C15);
	return (uint32_t) (hash >> 32);
}

/* Return the bucket of a hash by linear hashing: by as many bits as `nbuckets` has. */
static inline uint32_t
choose_bucket(uint64_t hash, uint32_t nbuckets)
{
	uint32_t mask = UINT32_MAX >> (nbuckets > 1 ? __builtin_clz(nbuckets - 1) : 31);
	uint32_t bucket = mix_hash(hash) & mask;

	CT_ASSERT(nbuckets > 0);
	return bucket < nbuckets ? bucket : bucket & mask >> 1;
}

static CtRef *
find_bucket(const CtArena *arena, const CtDirectory *directory, uint32_t bucket)
{
	CtRef page = ct_pages_get(arena, &directory->buckets, bucket / CT_BUCKETS_PER_PAGE);

	return (CtRef *) ct_ptr(arena, page) + bucket % CT_BUCKETS_PER_PAGE;
}

/* Split the next bucket.  Without memory nothing is split, and chains are longer. */
static void
split_bucket(CtWriter *writer)
{
	CtDirectory *directory = &writer->store->directory;
	uint32_t from;
	CtRef *old;
	CtRef *new;

	if (directory->nbuckets == directory->buckets.npages * CT_BUCKETS_PER_PAGE &&
		!append_page(writer, &directory->buckets, BUCKET_PAGE_BYTES))
		return;
	if (directory->nbuckets++ == 0)
		return;

	/* The new bucket takes keys from the one that lacks its highest bit. */
	from = directory->nbuckets - 1;
	from ^= UINT32_C(1) << (31 - __builtin_clz(from));
	CT_ASSERT(from < directory->nbuckets - 1);
	CT_ASSERT(directory->nbuckets <= directory->buckets.npages * CT_BUCKETS_PER_PAGE); /* D4 */
	old = find_bucket(writer->arena, directory, from);
	new = find_bucket(writer->arena, directory, directory->nbuckets - 1);
	while (*old != 0)
	{
		CtRef ref = *old;
		CtTimeline *timeline = ct_ptr(writer->arena, ref);

		if (choose_bucket(timeline->hash, directory->nbuckets) == from)
		{
			old = &timeline->chain;
			continue;
		}
		*old = timeline->chain;
		timeline->chain = *new;
		*new = ref;
	}
}

/* ---- slots ------------------------------------------------------------------- */

/* Return a slot, in use or not. */
CtRef
ct_directory_at(const CtArena *arena, const CtDirectory *directory, uint32_t slot)
{
	CtRef page = ct_pages_get(arena, &directory->slots, slot / CT_SLOTS_PER_PAGE);

	return page + slot % CT_SLOTS_PER_PAGE * (uint32_t) (sizeof(CtTimeline) / CT_GRANULE);
}

/* Return the timeline in a slot.  0: the slot is free. */
CtRef
ct_directory_slot(const CtArena *arena, const CtDirectory *directory, uint32_t slot)
{
	CtRef ref = ct_directory_at(arena, directory, slot);

	CT_ASSERT(slot < directory->nslots);
	return ((CtTimeline *) ct_ptr(arena, ref))->taken ? ref : 0;
}

/*
 * Return a free slot, which is in the list of free ones until its timeline is
 * linked.  0: no memory.
 */
static CtRef
find_free_slot(CtWriter *writer)
{
	CtDirectory *directory = &writer->store->directory;
	CtTimeline *timeline;
	CtRef ref;

	if (directory->free_slot != 0)
		return directory->free_slot;
	if (directory->nslots == directory->slots.npages * CT_SLOTS_PER_PAGE &&
		!append_page(writer, &directory->slots, SLOT_PAGE_BYTES))
		return 0;
	ref = ct_directory_at(writer->arena, directory, directory->nslots);
	timeline = ct_ptr(writer->arena, ref);
	timeline->slot = directory->nslots;
	CT_ASSERT(!timeline->taken); /* D2 */
	timeline->chain = 0;
	directory->free_slot = ref;
	__atomic_store_n(&directory->nslots, directory->nslots + 1, __ATOMIC_RELEASE);
	return ref;
}

/* ---- keys -------------------------------------------------------------------- */

static CtRef
get_key_ref(const CtTimeline *timeline)
{
	CtRef ref;

	memcpy(&ref, timeline->key.ref, sizeof(ref));
	return ref;
}

static const void *
get_key(const CtArena *arena, const CtTimeline *timeline)
{
	if (timeline->key_bytes <= CT_KEY_INLINE)
		return timeline->key.bytes;
	return ct_ptr(arena, get_key_ref(timeline));
}

const void *
ct_timeline_key(const CtArena *arena, CtRef timeline, uint32_t *key_bytes)
{
	const CtTimeline *t = ct_ptr(arena, timeline);
	uint16_t bytes = __atomic_load_n(&t->key_bytes, __ATOMIC_RELAXED); /* may change: read once */

	*key_bytes = bytes < CT_MAX_KEY_BYTES ? bytes : CT_MAX_KEY_BYTES;
	return bytes <= CT_KEY_INLINE ? (const void *) t->key.bytes : ct_ptr(arena, get_key_ref(t));
}

static bool
copy_key(CtWriter *writer, CtTimeline *timeline, const void *key, uint32_t key_bytes)
{
	CT_ASSERT(key_bytes <= CT_MAX_KEY_BYTES && (key != NULL || key_bytes == 0));
	if (key_bytes > CT_KEY_INLINE)
	{
		CtRef ref = ct_take(writer, key_bytes, false);

		if (ref == 0)
			return false;
		memcpy(ct_ptr(writer->arena, ref), key, key_bytes);
		memcpy(timeline->key.ref, &ref, sizeof(ref));
	}
	else if (key_bytes > 0)
		memcpy(timeline->key.bytes, key, key_bytes);
	timeline->key_bytes = (uint16_t) key_bytes;
	return true;
}

void
ct_directory_forget_key(CtWriter *writer, CtTimeline *timeline)
{
	if (timeline->key_bytes > CT_KEY_INLINE)
		ct_give(writer, get_key_ref(timeline), timeline->key_bytes);
	timeline->key_bytes = 0;
}

/* Compare two keys of `bytes`.  Most keys are 8 bytes long. */
static inline bool
same_key(const void *a, const void *b, uint32_t bytes)
{
	uint64_t x;
	uint64_t y;

	if (bytes != sizeof(x))
		return memcmp(a, b, bytes) == 0;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x == y;
}

/* ---- the directory ----------------------------------------------------------- */

bool
ct_directory_is_key(const CtArena *arena, const CtTimeline *timeline, uint64_t hash,
					const void *key, uint32_t key_bytes)
{
	return timeline->hash == hash && timeline->key_bytes == key_bytes &&
		   same_key(get_key(arena, timeline), key, key_bytes);
}

CtRef
ct_directory_find(const CtArena *arena, const CtDirectory *directory, uint64_t hash,
				  const void *key, uint32_t key_bytes)
{
	CtRef ref;

	if (directory->nbuckets == 0)
		return 0;
	ref = *find_bucket(arena, directory, choose_bucket(hash, directory->nbuckets));
	while (ref != 0)
	{
		const CtTimeline *timeline = ct_ptr(arena, ref);

		if (ct_directory_is_key(arena, timeline, hash, key, key_bytes))
			break;
		ref = timeline->chain;
	}
	return ref;
}

/* Return where a key's chain begins, and prefetch it.  NULL: there are no buckets. */
const CtRef *
ct_directory_head(const CtArena *arena, const CtDirectory *directory, uint64_t hash)
{
	const CtRef *head;

	if (directory->nbuckets == 0)
		return NULL;
	head = find_bucket(arena, directory, choose_bucket(hash, directory->nbuckets));
	__builtin_prefetch(head);
	return head;
}

static CtRef
add_timeline(CtWriter *writer, uint64_t hash, const void *key, uint32_t key_bytes)
{
	CtDirectory *directory = &writer->store->directory;
	CtTimeline *timeline;
	CtTimeline fresh = {.hash = hash,
						.taken = true,
						.partial = writer->store->partial,
						.lo = UINT64_MAX};
	CtRef ref;
	CtRef *head;

	for (int i = 0; i < 2 && directory->count >= directory->nbuckets / 2; i++)
		split_bucket(writer);
	if (directory->nbuckets == 0)
		return 0;
	ref = find_free_slot(writer);
	if (ref == 0)
		return 0;
	timeline = ct_ptr(writer->arena, ref);
	fresh.slot = timeline->slot;
	CT_ASSERT(!timeline->taken && directory->free_slot == ref); /* D2 */
	if (!copy_key(writer, &fresh, key, key_bytes))
		return 0;

	directory->free_slot = timeline->chain;
	head = find_bucket(writer->arena, directory, choose_bucket(hash, directory->nbuckets));
	ct_change_begin(timeline);
	atomic_init(&fresh.sequence, atomic_load(&timeline->sequence));
	*timeline = fresh;
	timeline->chain = *head;
	ct_change_end(timeline);
	*head = ref;
	directory->count++;
	return ref;
}

/*
 * Add a timeline without events for a key that has none.  0: no memory, or the key
 * is too long.
 */
CtRef
ct_directory_add(CtWriter *writer, uint64_t hash, const void *key, uint32_t key_bytes)
{
	CtRef ref;

	if (key_bytes > CT_MAX_KEY_BYTES)
		return 0;

	begin_chains(&writer->store->directory);
	ref = add_timeline(writer, hash, key, key_bytes);
	end_chains(&writer->store->directory);
	return ref;
}

/*
 * Remove a timeline that has no event left, and free its slot.  The timeline is
 * being changed.
 */
void
ct_directory_remove(CtWriter *writer, CtRef ref)
{
	CtDirectory *directory = &writer->store->directory;
	CtTimeline *timeline = ct_ptr(writer->arena, ref);
	CtRef *at =
		find_bucket(writer->arena, directory, choose_bucket(timeline->hash, directory->nbuckets));

	CT_ASSERT(directory->count > 0 && timeline->slot < directory->nslots); /* D2 */
	CT_ASSERT(ct_is_changing(timeline));
	CT_ASSERT(timeline->taken && ct_timeline_is_over(writer->store, timeline));
	while (*at != ref)
	{
		CT_ASSERT(*at != 0); /* D1 */
		at = &((CtTimeline *) ct_ptr(writer->arena, *at))->chain;
	}
	begin_chains(directory);
	*at = timeline->chain;
	ct_directory_forget_key(writer, timeline);
	timeline->taken = false;
	timeline->chain = directory->free_slot;
	end_chains(directory);
	directory->free_slot = ref;
	directory->count--;
}

bool
ct_directory_free_page(CtWriter *writer)
{
	CtDirectory *directory = &writer->store->directory;

	CT_ASSERT(directory->count == 0);
	if (directory->slots.npages > 0)
	{
		directory->nslots = 0;
		free_last_page(writer, &directory->slots, SLOT_PAGE_BYTES);
	}
	else if (directory->buckets.npages > 0)
	{
		directory->nbuckets = 0;
		free_last_page(writer, &directory->buckets, BUCKET_PAGE_BYTES);
	}
	else
		return false;
	return true;
}
