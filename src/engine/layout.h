/*
 * layout.h
 *	  The layouts of a store, and the records of its events.
 *
 * Shared by layout.c (layouts), record.c (records), and the files that add events
 * (store.c) or free them (store.c, timeline.c).
 */
#ifndef CT_FORM_H
#define CT_FORM_H

#include "engine/writer.h"

/* layout.c */
CtStatus ct_change_layout(CtWriter *writer, const CtChange *change, const CtLayout **layout,
						  CtLayout *scratch, uint32_t *number) CT_MUST_CHECK;
void ct_layouts_free(CtWriter *writer);
void ct_layouts_renew(CtWriter *writer);

/* record.c */
CtStatus ct_record_write(CtWriter *writer, const CtChange *change, const CtLayout *layout,
						 bool explicit, uint8_t *record) CT_MUST_CHECK;
void ct_record_free(CtWriter *writer, const CtLayout *layout, const uint8_t *record);

#endif /* CT_FORM_H */
