/*
 * record.c
 *	  Records of events: written from images, and freed.
 *
 * A change has the images of its values, from which the cells of its record are
 * written.  Values that do not fit in a cell are stored out of line; the event
 * owns them.
 *
 * Called by store.c (writing, freeing) and timeline.c (freeing).
 *
 * Concurrency: as for store.c.
 *
 * Not here: which layout a change has (layout.c), what records mean (event.c),
 * the values of bases (base.c).
 */
#include <string.h>

#include "engine/layout.h"

/* Store a value out of line, and its reference in the cell.  False: no memory. */
static bool
store_apart(CtWriter *writer, const uint8_t *image, uint32_t bytes, uint8_t *cell)
{
	CtRef ref = 0;

	CT_ASSERT(bytes <= CT_MAX_PAYLOAD_BYTES);
	if (bytes > 0)
	{
		CtApart *apart;

		ref = ct_take(writer, sizeof(CtApart) + bytes, false);
		if (ref == 0)
			return false;
		apart = ct_ptr(writer->arena, ref);
		apart->bytes = bytes;
		memcpy(apart->data, image, bytes);
	}
	memcpy(cell, &ref, sizeof(ref));
	return true;
}

/*
 * Write the record of a change that has been checked.  CT_LIMIT: a number is larger
 * than its type allows.  CT_NO_MEMORY: no memory for an out-of-line value.
 */
CtStatus
ct_record_write(CtWriter *writer, const CtChange *change, const CtLayout *layout, bool explicit,
				uint8_t *record)
{
	const CtSchema *schema = writer->context.schema;
	const uint8_t *at = change->payload;
	uint64_t written = 0; /* attributes whose out-of-line values are written */
	CtStatus status = CT_OK;

	CT_ASSERT(layout->bytes <= CT_MAX_RECORD_BYTES); /* E1 */
	CT_ASSERT(!explicit || layout->bytes >= CT_EXPLICIT_BYTES);
	CT_ASSERT(change->set == layout->set && change->null == layout->null); /* E1 */
	if (explicit)
	{
		memset(record, 0, CT_EXPLICIT_BYTES);
		memcpy(record, &change->set, sizeof(change->set));
		memcpy(record + 8, &change->null, sizeof(change->null));
		record[16] = change->kind;
	}
	for (uint64_t rest = layout->set & ~layout->null; rest != 0; rest &= rest - 1)
	{
		int i = __builtin_ctzll(rest);
		const CtAttr *attr = &schema->attr[i];
		uint8_t *cell = record + ct_layout_offset(layout, i);
		uint32_t bytes;
		const uint8_t *image = ct_image_next(attr, &at, &bytes);

		if (attr->number != CT_NUMBER_NONE)
			status = ct_number_read(attr, image, bytes, cell) ? CT_OK : CT_LIMIT;
		else if (!ct_is_apart(attr))
			memcpy(cell, image, bytes);
		else if (store_apart(writer, image, bytes, cell))
			written |= rest & -rest;
		else
			status = CT_NO_MEMORY;
		if (status != CT_OK)
		{
			CtLayout partly;

			memcpy(&partly, layout, ct_layout_bytes(layout));
			partly.apart = written;
			ct_record_free(writer, &partly, record);
			return status;
		}
	}
	return CT_OK;
}

/* Free the out-of-line values of a record. */
void
ct_record_free(CtWriter *writer, const CtLayout *layout, const uint8_t *record)
{
	for (uint64_t rest = layout->apart; rest != 0; rest &= rest - 1)
	{
		CtRef ref;

		CT_ASSERT((layout->set & ~layout->null & rest & -rest) != 0); /* E1 */
		memcpy(&ref, record + ct_layout_offset(layout, __builtin_ctzll(rest)), sizeof(ref));
		if (ref != 0)
			ct_give(writer, ref, sizeof(CtApart) + ((CtApart *) ct_ptr(writer->arena, ref))->bytes);
	}
}
