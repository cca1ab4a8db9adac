/*
 * arena.c
 *	  Memory: one fixed region, whose pages are distributed to arenas.
 *
 * An arena takes 64 KiB pages from the region, and divides each into objects of
 * one size class.  Larger allocations take a run of contiguous pages.  A page
 * whose objects are all free is returned to the region at once.
 *
 * Called by all files of the engine that allocate memory.
 *
 * Concurrency: an arena has one writer at a time, which holds its partition's
 * lock.  Arenas share the region without a lock.  An arena owns a page once it
 * has set the page's owner word by compare-and-swap.  `used` is raised before
 * the search for pages, so it never allows more pages than there are.
 *
 * Invariants:
 *	 A1  An owner word is 0, or 1 + the number of an arena of the region.  An
 *		 arena counts exactly the pages whose words name it.
 *	 A2  A page with room is once in the list of its class; no other page is.
 *	 A3  A page has at least one object in use.
 *	 A4  The freed objects of a page form a list without a cycle, aligned to
 *		 the class, below `fresh`; used + freed = fresh <= capacity.
 *	 A5  The first page of a run has its length, the others are marked as the
 *		 rest, and all belong to the same arena.
 *	 A6  `used` is the number of owned pages (when no arena is changing).
 *
 * Not here: on which account memory is allocated (writer.c).
 */
#include "engine/arena.h"

#include <string.h>

/*
 * CT_POISON makes the use of freed memory visible to tests: ct_free() overwrites
 * it, and AddressSanitizer reports accesses.  Do not define it for shared memory,
 * where another process may allocate what this process has freed.
 */
#if defined(CT_POISON) && defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CT_POISON_ASAN 1
#endif
#endif
#if defined(CT_POISON) && defined(__SANITIZE_ADDRESS__)
#define CT_POISON_ASAN 1
#endif
#ifdef CT_POISON_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(at, bytes) __asan_poison_memory_region(at, bytes)
#define UNPOISON(at, bytes) __asan_unpoison_memory_region(at, bytes)
#else
#define POISON(at, bytes) ((void) (at), (void) (bytes))
#define UNPOISON(at, bytes) ((void) (at), (void) (bytes))
#endif

/* The size classes.  Above 2 KiB they divide a page with little waste. */
static const uint16_t class_bytes[] = {16, 32, 48, 64, 80, 96, 112, 128, 144,
									   160, 176, 192, 208, 224, 240, 256, 288, 320,
									   352, 400, 448, 512, 576, 640, 720, 800, 896,
									   1008, 1136, 1280, 1440, 1616, 1808, 2032, 2256, 2512,
									   2848, 3264, 3632, 4096, 4672, 5456, 6544, 8192, 9360,
									   10912, 13104, 16384, 21840, 32768};

#define NCLASSES (sizeof(class_bytes) / sizeof(class_bytes[0]))
#define SMALL_CLASSES 16
#define SMALL_BYTES 256
#define LARGEST_CLASS 32768
#define RESERVE_PER_ARENA 8

_Static_assert(NCLASSES <= CT_MAX_CLASSES, "arena heads have room for every class");

uint32_t
ct_class_count(void)
{
	return NCLASSES;
}

uint32_t
ct_class_bytes(uint32_t class)
{
	CT_ASSERT(class < NCLASSES);
	return class_bytes[class];
}

static uint32_t
choose_class(size_t bytes)
{
	uint32_t low = SMALL_CLASSES;
	uint32_t high = NCLASSES - 1;

	CT_ASSERT(bytes <= LARGEST_CLASS);
	if (bytes <= SMALL_BYTES)
		return bytes == 0 ? 0 : (uint32_t) ((bytes - 1) / CT_GRANULE);
	while (low < high)
	{
		uint32_t middle = (low + high) / 2;

		if (class_bytes[middle] < bytes)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static inline CtRegion *
get_region(const CtArena *arena)
{
	return (CtRegion *) arena->base;
}

static inline uint32_t
get_capacity(uint32_t class)
{
	return CT_PAGE_BYTES / class_bytes[class];
}

size_t
ct_alloc_size(size_t bytes)
{
	if (bytes <= LARGEST_CLASS)
		return class_bytes[choose_class(bytes)];
	return (bytes + CT_PAGE_BYTES - 1) / CT_PAGE_BYTES * CT_PAGE_BYTES;
}

/*
 * Return how many pages plain inserts must leave: 1/64, but several for each arena,
 * since entering an event allocates blocks of several classes before it frees
 * others.
 */
static uint32_t
compute_reserve(size_t pages, uint32_t arenas)
{
	size_t several = (size_t) arenas * RESERVE_PER_ARENA;
	size_t reserve = several < pages / 8 ? several : pages / 8;

	reserve = reserve > pages / 64 ? reserve : pages / 64;
	return reserve > 0 ? (uint32_t) reserve : 1;
}

CtStatus
ct_region_format(void *base, size_t bytes, uint32_t arenas)
{
	CtRegion *region = base;
	const size_t per_page = CT_PAGE_BYTES + sizeof(CtPage) + sizeof(uint32_t);
	const size_t limit = (size_t) UINT32_MAX * CT_GRANULE; /* offsets in granules have 32 bits */
	size_t pages;
	size_t first_page;

	CT_ASSERT(base != NULL && (uintptr_t) base % CT_REGION_ALIGN == 0);
	if (arenas == 0 || arenas > CT_MAX_ARENAS || bytes > limit ||
		bytes < sizeof(CtRegion) + per_page)
		return CT_LIMIT;

	/* Pages start at a multiple of their size, so the head may need one more. */
	for (pages = (bytes - sizeof(CtRegion)) / per_page;; pages--)
	{
		size_t head = sizeof(CtRegion) + pages * (per_page - CT_PAGE_BYTES);

		first_page = (head + CT_PAGE_BYTES - 1) / CT_PAGE_BYTES * CT_PAGE_BYTES;
		if (pages < arenas)
			return CT_LIMIT;
		if (first_page + pages * CT_PAGE_BYTES <= bytes)
			break;
	}

	memset(base, 0, sizeof(CtRegion) + pages * (per_page - CT_PAGE_BYTES));
	region->magic = CT_REGION_MAGIC;
	region->arenas = arenas;
	region->pages = (uint32_t) pages;
	region->reserve = compute_reserve(pages, arenas);
	region->first_page = first_page;
	region->limit = (CtRef) ((first_page + pages * CT_PAGE_BYTES) / CT_GRANULE);
	CT_ASSERT(region->reserve < region->pages || region->pages == 1);
	region->page_offset = sizeof(CtRegion);
	region->owner_offset = sizeof(CtRegion) + pages * sizeof(CtPage);
	atomic_init(&region->used, 0);
	for (uint32_t i = 0; i < arenas; i++)
		region->arena[i].hint = (uint32_t) (pages * i / arenas);
	return CT_OK;
}

CtArena
ct_arena_attach(void *base, uint32_t index)
{
	CtArena arena = {.base = base, .index = index, .limit = ((CtRegion *) base)->limit};

	CT_ASSERT(((CtRegion *) base)->magic == CT_REGION_MAGIC);
	CT_ASSERT(index < ((CtRegion *) base)->arenas);
	return arena;
}

size_t
ct_region_used(const void *base)
{
	const CtRegion *region = base;

	return (size_t) atomic_load_explicit(&region->used, memory_order_relaxed) * CT_PAGE_BYTES;
}

size_t
ct_arena_used(const CtArena *arena)
{
	const CtRegion *region = (const CtRegion *) arena->base;

	CT_ASSERT(arena->index < region->arenas);
	return (size_t) region->arena[arena->index].pages * CT_PAGE_BYTES;
}

size_t
ct_region_allocated(const void *base)
{
	const CtRegion *region = base;
	size_t bytes = 0;

	for (uint32_t i = 0; i < region->arenas; i++)
		bytes += __atomic_load_n(&region->arena[i].bytes, __ATOMIC_RELAXED);
	return bytes;
}

size_t
ct_region_total(const void *base)
{
	const CtRegion *region = base;

	return (size_t) region->pages * CT_PAGE_BYTES;
}

size_t
ct_region_plain(const void *base)
{
	const CtRegion *region = base;

	return (size_t) (region->pages - region->reserve) * CT_PAGE_BYTES;
}

/*
 * Become the owner of `count` pages from `from` on, if all are free.  Return
 * `count`, or the number of free pages before the first that is not.
 */
static uint32_t
claim_run(CtArena *arena, uint32_t from, uint32_t count)
{
	_Atomic uint32_t *owner = ct_region_owners(get_region(arena));
	uint32_t got;

	CT_ASSERT(count > 0 && from + count <= get_region(arena)->pages);
	for (got = 0; got < count; got++)
	{
		uint32_t expected = 0;

		if (!atomic_compare_exchange_strong(&owner[from + got], &expected, arena->index + 1))
			break;
	}
	if (got < count)
	{
		for (uint32_t i = 0; i < got; i++)
			atomic_store(&owner[from + i], 0);
	}
	return got;
}

/*
 * Take `count` contiguous pages.  Return the number of the first + 1.  0: there are
 * none.  Search at most twice round the region, as other arenas take and free pages
 * meanwhile.
 */
static uint32_t
take_pages(CtArena *arena, uint32_t count, bool upkeep)
{
	CtRegion *region = get_region(arena);
	CtArenaHead *head = &region->arena[arena->index];
	uint32_t plain = region->pages - region->reserve;
	uint32_t limit = upkeep ? region->pages : plain - (arena->keep < plain ? arena->keep : plain);
	uint32_t used = atomic_load(&region->used);
	uint32_t at = head->hint;
	uint64_t looked = 0;

	CT_ASSERT(count > 0 && head->hint < region->pages);
	do
	{
		if (count > limit || used > limit - count)
			return 0;
	} while (!atomic_compare_exchange_weak(&region->used, &used, used + count));

	while (looked < 2 * (uint64_t) region->pages)
	{
		uint32_t got;

		if (at + count > region->pages)
		{
			looked += region->pages - at;
			at = 0;
			continue;
		}
		got = claim_run(arena, at, count);
		if (got == count)
		{
			head->hint = at + count < region->pages ? at + count : 0;
			head->pages += count;
			return at + 1;
		}
		looked += got + 1;
		at += got + 1;
	}
	atomic_fetch_sub(&region->used, count);
	return 0;
}

static void
return_pages(CtArena *arena, uint32_t first, uint32_t count)
{
	CtRegion *region = get_region(arena);
	_Atomic uint32_t *owner = ct_region_owners(region);

	CT_ASSERT(count > 0 && first + count <= region->pages);
	CT_ASSERT(region->arena[arena->index].pages >= count);
	CT_ASSERT(atomic_load(&region->used) >= count);
	UNPOISON(ct_region_page_bytes(region, first), (size_t) count * CT_PAGE_BYTES);
	for (uint32_t i = 0; i < count; i++)
	{
		CT_ASSERT(atomic_load(&owner[first + i]) == arena->index + 1); /* A1 */
		atomic_store(&owner[first + i], 0);
	}
	region->arena[arena->index].pages -= count;
	atomic_fetch_sub(&region->used, count);
}

/* Add to the bytes that are allocated.  Other processes read them without a lock. */
static inline void
count_allocated(CtArenaHead *head, uint64_t bytes)
{
	__atomic_store_n(&head->bytes, head->bytes + bytes, __ATOMIC_RELAXED);
}

static void
list_page(CtRegion *region, CtArenaHead *head, uint32_t page)
{
	CtPage *p = ct_region_page(region, page);
	uint32_t *first = &head->first[p->class];

	CT_ASSERT(p->class < NCLASSES && *first != page + 1); /* A2 */
	p->prev = 0;
	p->next = *first;
	if (*first != 0)
		ct_region_page(region, *first - 1)->prev = page + 1;
	*first = page + 1;
}

static void
unlist_page(CtRegion *region, CtArenaHead *head, uint32_t page)
{
	CtPage *p = ct_region_page(region, page);

	CT_ASSERT(p->class < NCLASSES && (p->prev != 0 || head->first[p->class] == page + 1)); /* A2 */
	if (p->prev != 0)
		ct_region_page(region, p->prev - 1)->next = p->next;
	else
		head->first[p->class] = p->next;
	if (p->next != 0)
		ct_region_page(region, p->next - 1)->prev = p->prev;
}

static CtRef
alloc_run(CtArena *arena, size_t bytes, bool upkeep)
{
	CtRegion *region = get_region(arena);
	size_t count = (bytes + CT_PAGE_BYTES - 1) / CT_PAGE_BYTES;
	uint32_t page;

	CT_ASSERT(bytes > LARGEST_CLASS);
	if (count > region->pages)
		return 0;
	page = take_pages(arena, (uint32_t) count, upkeep);
	if (page-- == 0)
		return 0;
	count_allocated(&region->arena[arena->index], count * CT_PAGE_BYTES);
	for (uint32_t i = 0; i < count; i++)
		*ct_region_page(region, page + i) = (CtPage){.class = CT_CLASS_REST};
	ct_region_page(region, page)->class = CT_CLASS_RUN;
	ct_region_page(region, page)->next = (uint32_t) count;
	return (CtRef) ((region->first_page + (size_t) page * CT_PAGE_BYTES) / CT_GRANULE);
}

uint16_t
ct_free_link(const char *page_bytes, uint16_t granule)
{
	const char *object = page_bytes + (size_t) granule * CT_GRANULE;
	uint16_t link;

	CT_ASSERT(granule < CT_PAGE_GRANULES);
	UNPOISON(object, CT_GRANULE);
	memcpy(&link, object, sizeof(link));
	POISON(object, CT_GRANULE);
	return link;
}

CtRef
ct_alloc(CtArena *arena, size_t bytes, bool upkeep)
{
	CtRegion *region = get_region(arena);
	CtArenaHead *head = &region->arena[arena->index];
	uint32_t class;
	uint32_t page;
	CtPage *p;
	uint32_t granule;

	if (bytes > LARGEST_CLASS)
		return alloc_run(arena, bytes, upkeep);

	class = choose_class(bytes);
	if (head->first[class] == 0)
	{
		page = take_pages(arena, 1, upkeep);
		if (page-- == 0)
			return 0;
		*ct_region_page(region, page) = (CtPage){.class = (uint16_t) class, .free = CT_NO_OBJECT};
		list_page(region, head, page);
	}
	page = head->first[class] - 1;
	p = ct_region_page(region, page);
	if (p->free != CT_NO_OBJECT)
	{
		granule = p->free;
		p->free = ct_free_link(ct_region_page_bytes(region, page), p->free);
	}
	else
		granule = p->fresh++ * (class_bytes[class] / CT_GRANULE);
	p->used++;
	CT_ASSERT(p->used <= get_capacity(class) && p->used <= p->fresh);
	count_allocated(head, class_bytes[class]);
	if (p->used == get_capacity(class))
		unlist_page(region, head, page); /* A2 */
	UNPOISON(ct_region_page_bytes(region, page) + granule * CT_GRANULE, class_bytes[class]);
	return (CtRef) ((region->first_page + (size_t) page * CT_PAGE_BYTES) / CT_GRANULE + granule);
}

void
ct_free(CtArena *arena, CtRef ref, size_t bytes)
{
	CtRegion *region = get_region(arena);
	CtArenaHead *head = &region->arena[arena->index];
	size_t offset = (size_t) ref * CT_GRANULE - region->first_page;
	uint32_t page = (uint32_t) (offset / CT_PAGE_BYTES);
	uint16_t granule = (uint16_t) (offset % CT_PAGE_BYTES / CT_GRANULE);
	CtPage *p = ct_region_page(region, page);

	CT_ASSERT(ref != 0 && page < region->pages);
	if (bytes > LARGEST_CLASS)
	{
		CT_ASSERT(p->class == CT_CLASS_RUN && granule == 0); /* A5 */
		count_allocated(head, -((uint64_t) p->next * CT_PAGE_BYTES));
		return_pages(arena, page, p->next);
		return;
	}
	CT_ASSERT(p->class == choose_class(bytes) && p->used > 0);
	CT_ASSERT(granule % (class_bytes[p->class] / CT_GRANULE) == 0);
	CT_ASSERT(head->bytes >= class_bytes[p->class]);
#ifdef CT_POISON
	memset(ct_ptr(arena, ref), 0x5A, class_bytes[p->class]);
#endif
	memcpy(ct_ptr(arena, ref), &p->free, sizeof(p->free));
	POISON(ct_ptr(arena, ref), class_bytes[p->class]);
	p->free = granule;
	count_allocated(head, -(uint64_t) class_bytes[p->class]);
	if (p->used-- == get_capacity(p->class))
		list_page(region, head, page);
	if (p->used == 0)
	{
		unlist_page(region, head, page); /* A3 */
		return_pages(arena, page, 1);
	}
}
