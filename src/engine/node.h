/*
 * node.h
 *	  Inner nodes: what is known about each of their children.
 *
 *	  CtInner   | times | lo | hi | children | columns ... |
 *	  CtColumn  of one attribute: for each child the composition of its events
 *				(total) and, unless the attribute's rule is last, of the
 *				children before it in its group (before); for each group that
 *				of the groups before it (group)
 *
 * With groups a reader takes two steps instead of one, but a late event changes
 * only `before` in the rest of its group, and `group` of the groups behind it.
 *
 * The numbers of a column have three words each, as sums may get that large.
 * While the numbers of a sum are small, they have one word each, in the same
 * memory, so that adding to many of them is cheap: the column is narrow.
 *
 * A node has a column for an attribute if one of its events touches it.  So the
 * cost of a late event and the size of summaries depend on what events set, not
 * on how wide the table is.
 */
#ifndef CT_NODE_H
#define CT_NODE_H

#include "engine/block.h"

#ifndef CT_FANOUT
#define CT_FANOUT 32
#define CT_MAX_HEIGHT 10
#endif
#define CT_NODE_SMALLEST 4 /* the initial capacity, which is doubled */
#define CT_GROUP (CT_FANOUT >= 16 ? 8U : 2U)

_Static_assert(CT_FANOUT <= 32, "masks of children are 32 bits");

/* `capacity` times, lo, hi and children, and `nattrs` references to columns follow. */
typedef struct CtInner
{
	uint16_t count;
	uint16_t capacity;
	uint16_t nattrs;
	uint16_t unused;
	uint32_t finish; /* children with a finish, */
	uint32_t absent; /* whose last event is a finish, */
	uint32_t frozen; /* with a frozen event */
	uint32_t unused_too;
	uint64_t columns; /* attributes that have a column */
	int64_t time[];
} CtInner;

/* Tags follow (totals, befores, groups), and then payloads in the same order. */
typedef struct CtColumn
{
	uint32_t overrides; /* children whose total overrides */
	uint32_t sets;      /* children whose total is not to keep */
	uint64_t narrow;    /* payloads are single words */
	uint8_t tag[];
} CtColumn;

/*
 * Narrow payloads are from minus this up to below it, so that adding two cannot
 * overflow.
 */
#define CT_NARROW_LIMIT (INT64_C(1) << 62)

typedef enum CtWhich
{
	CT_TOTAL = 0,
	CT_BEFORE,
	CT_GROUPS
} CtWhich;

static inline uint32_t
ct_group_count(uint32_t children)
{
	return (children + CT_GROUP - 1) / CT_GROUP;
}

/* Return the capacity, limited, as it may be torn. */
static inline uint32_t
ct_node_capacity(const CtInner *inner)
{
	return inner->capacity < CT_FANOUT ? inner->capacity : CT_FANOUT;
}

static inline uint64_t *
ct_node_lo(const CtInner *inner)
{
	return (uint64_t *) &inner->time[ct_node_capacity(inner)];
}

static inline uint64_t *
ct_node_hi(const CtInner *inner)
{
	return ct_node_lo(inner) + ct_node_capacity(inner);
}

static inline CtRef *
ct_node_child(const CtInner *inner)
{
	return (CtRef *) (ct_node_hi(inner) + ct_node_capacity(inner));
}

static inline CtRef *
ct_node_column(const CtInner *inner)
{
	return ct_node_child(inner) + ct_node_capacity(inner);
}

static inline size_t
ct_node_bytes(uint32_t capacity, uint32_t nattrs)
{
	return sizeof(CtInner) + capacity * (3 * sizeof(uint64_t) + sizeof(CtRef)) +
		   nattrs * sizeof(CtRef);
}

/* Return how many cells a column has; and how many tags, rounded up to words. */
static inline uint32_t
ct_column_cells(const CtAttr *attr, uint32_t capacity)
{
	return ct_is_last(attr) ? capacity : 2 * capacity + ct_group_count(capacity);
}

static inline uint32_t
ct_column_tags(uint32_t capacity)
{
	return (2 * capacity + ct_group_count(capacity) + 7) / 8 * 8;
}

static inline size_t
ct_column_bytes(const CtAttr *attr, uint32_t capacity)
{
	return sizeof(CtColumn) + ct_column_tags(capacity) +
		   (size_t) ct_column_cells(attr, capacity) * ct_payload_bytes(attr);
}

static inline uint8_t *
ct_column_tag(const CtColumn *column, uint32_t capacity, CtWhich which, uint32_t i)
{
	return (uint8_t *) &column->tag[which * capacity + i];
}

static inline void *
ct_column_payload(const CtAttr *attr, const CtColumn *column, uint32_t capacity, CtWhich which,
				  uint32_t i)
{
	return (uint8_t *) &column->tag[ct_column_tags(capacity)] +
		   (size_t) (which * capacity + i) * ct_payload_bytes(attr);
}

/* True if columns of the attribute may be narrow. */
static inline bool
ct_may_be_narrow(const CtAttr *attr)
{
	return ct_only_adds(attr) && !attr->wide;
}

/* Return the payloads of a narrow column, in the order of tags. */
static inline int64_t *
ct_column_narrow(const CtColumn *column, uint32_t capacity)
{
	return (int64_t *) &column->tag[ct_column_tags(capacity)];
}

/* Prefetch the head and the instants of a node or leaf, all lines at once. */
static inline void
ct_prefetch_block(const char *at)
{
#pragma GCC unroll 8
	for (int line = 0; line < 8; line++)
		__builtin_prefetch(at + (size_t) line * 64);
}

/* Return a mask of the first n children. */
static inline uint32_t
ct_bits_below(uint32_t n)
{
	return n >= 32 ? UINT32_MAX : (UINT32_C(1) << n) - 1;
}

CtRef ct_node_make(CtWriter *writer, uint32_t capacity) CT_MUST_CHECK;
bool ct_node_widen(CtWriter *writer, CtRef *at, uint32_t children, uint64_t attrs) CT_MUST_CHECK;
void ct_node_free(CtWriter *writer, CtRef ref);
void ct_node_open(const CtReadContext *context, CtInner *inner, uint32_t i, uint32_t n);
void ct_node_close(const CtReadContext *context, CtInner *inner, uint32_t i, uint32_t n);
void ct_node_move(const CtReadContext *context, CtInner *to, CtInner *from, uint32_t first);

void ct_node_total(const CtReadContext *context, const CtInner *inner, int attr, CtCell *cell);
void ct_node_get(const CtReadContext *context, const CtInner *inner, CtWhich which, uint32_t i,
				 int attr, CtCell *cell);
void ct_node_put(const CtReadContext *context, CtInner *inner, uint32_t i, int attr,
				 const CtCell *cell);
void ct_node_refresh(const CtReadContext *context, CtInner *inner, uint32_t i, int attr, bool all);
/*
 * Make room for `children` children, and columns for these attributes.  *at changes
 * if the node moves.  False: no memory, but the node is valid.
 */
static inline bool
ct_node_prepare(CtWriter *writer, CtRef *at, uint32_t children, uint64_t attrs)
{
	const CtInner *inner = ct_ptr(writer->arena, *at);

	return (inner->capacity >= children && (attrs & ~inner->columns) == 0) ||
		   ct_node_widen(writer, at, children, attrs);
}

void ct_node_add(const CtReadContext *context, CtInner *inner, uint32_t i, int attr,
				 const CtWide *delta);

#endif /* CT_NODE_H */
