/*
 * directory.h
 *	  The contents of a directory: two arrays in pages, buckets and slots.
 */
#ifndef CT_DIRECTORY_H
#define CT_DIRECTORY_H

#include <stdatomic.h>

#include "engine/check.h"
#include "engine/engine.h"

struct CtWriter;
struct CtTimeline;

#define CT_BUCKETS_PER_PAGE 256
#define CT_SLOTS_PER_PAGE 32
#define CT_PAGES_FANOUT 256 /* pages per node of the tree of pages */
#define CT_PAGES_SHIFT 8
#define CT_PAGES_MAX_HEIGHT 4

/*
 * An array that grows by one page at a time and never moves: a radix tree whose
 * leaves are the pages.  At height 0 the root is the only page.
 */
typedef struct CtPages
{
	CtRef root;
	uint32_t npages;
	uint32_t height;
} CtPages;

typedef struct CtDirectory
{
	_Atomic uint32_t sequence; /* odd: chains are being changed */
	CtPages buckets;           /* of CtRef, heads of chains of timelines */
	CtPages slots;             /* of CtTimeline */
	uint32_t nbuckets;
	uint32_t nslots; /* slots ever used */
	uint32_t count;  /* timelines */
	CtRef free_slot;
} CtDirectory;

CtRef ct_pages_get(const CtArena *arena, const CtPages *pages, uint32_t page);
CtRef ct_directory_find(const CtArena *arena, const CtDirectory *directory, uint64_t hash,
						const void *key, uint32_t key_bytes);
const CtRef *ct_directory_head(const CtArena *arena, const CtDirectory *directory, uint64_t hash);
CtRef ct_directory_add(struct CtWriter *writer, uint64_t hash, const void *key, uint32_t key_bytes)
	CT_MUST_CHECK;
void ct_directory_remove(struct CtWriter *writer, CtRef timeline);
CtRef ct_directory_at(const CtArena *arena, const CtDirectory *directory, uint32_t slot);
CtRef ct_directory_slot(const CtArena *arena, const CtDirectory *directory, uint32_t slot);

/* True if it is the key of the timeline, which may be torn. */
bool ct_directory_is_key(const CtArena *arena, const struct CtTimeline *timeline, uint64_t hash,
						 const void *key, uint32_t key_bytes);

/* Free the key of a timeline that is no longer looked up. */
void ct_directory_forget_key(struct CtWriter *writer, struct CtTimeline *timeline);

/* Free one page of an empty directory.  False: there is none left. */
bool ct_directory_free_page(struct CtWriter *writer);

#endif /* CT_DIRECTORY_H */
