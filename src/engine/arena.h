/*
 * arena.h
 *	  The contents of a region: page map, arenas, size classes.
 *
 * Included by arena.c, and by validate.c, which checks it.
 *
 *	  base                                              first_page
 *	  | CtRegion (arena heads) | owner words | CtPage[] | page 0 | page 1 | ...
 *
 * The description of a page is outside of it, so that pages can be used wholly,
 * and runs of pages are contiguous memory.
 */
#ifndef CT_ARENA_H
#define CT_ARENA_H

#include <stdatomic.h>

#include "engine/check.h"
#include "engine/engine.h"

#define CT_REGION_MAGIC 0x636f6e74U
#define CT_MAX_CLASSES 56
#define CT_PAGE_GRANULES (CT_PAGE_BYTES / CT_GRANULE)

#define CT_CLASS_RUN 0xFFFE  /* first page of a run; `next` is its length */
#define CT_CLASS_REST 0xFFFF /* any other page of a run */
#define CT_NO_OBJECT 0xFFFF  /* end of a page's free list */

/* The description of a page that an arena owns. */
typedef struct CtPage
{
	uint32_t next; /* neighbours among the pages of its class that */
	uint32_t prev; /* have room: page number + 1, or 0 */
	uint16_t class;
	uint16_t used;  /* objects handed out */
	uint16_t fresh; /* objects ever handed out: the rest is untouched */
	uint16_t free;  /* granule of the first freed object */
} CtPage;

_Static_assert(sizeof(CtPage) == 16, "page descriptors are packed");

/* On its own cache lines, so that arenas do not slow down each other. */
typedef struct CtArenaHead
{
	_Alignas(64) uint32_t hint;     /* where to search for the next free page */
	uint32_t pages;                 /* pages owned */
	uint64_t bytes;                 /* allocated in them */
	uint32_t first[CT_MAX_CLASSES]; /* page with room, + 1 */
} CtArenaHead;

struct CtRegion
{
	uint32_t magic;
	uint32_t arenas;
	uint32_t pages;
	uint32_t reserve;    /* pages that only upkeep may take */
	CtRef limit;         /* the first granule behind the last page */
	uint64_t first_page; /* offset of page 0 from the base */
	uint64_t owner_offset;
	uint64_t page_offset;
	_Alignas(64) _Atomic uint32_t used; /* pages taken or being taken */
	CtArenaHead arena[CT_MAX_ARENAS];
};

static inline _Atomic uint32_t *
ct_region_owners(const CtRegion *region)
{
	return (_Atomic uint32_t *) ((char *) region + region->owner_offset);
}

static inline CtPage *
ct_region_page(const CtRegion *region, uint32_t page)
{
	return (CtPage *) ((char *) region + region->page_offset) + page;
}

/* Return the bytes of a page. */
static inline char *
ct_region_page_bytes(const CtRegion *region, uint32_t page)
{
	return (char *) region + region->first_page + (size_t) page * CT_PAGE_BYTES;
}

uint32_t ct_class_count(void);
uint32_t ct_class_bytes(uint32_t class);

/* Return the granule of the object that follows a freed one in its page's free list. */
uint16_t ct_free_link(const char *page_bytes, uint16_t granule);

#endif /* CT_ARENA_H */
