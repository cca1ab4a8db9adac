/*
 * ingest.c
 *	  Write the rows of INSERT, COPY, event(), snapshot() and finish().
 *
 *	  row ─► ContimeRows (table/rows.c) ─ flush ─► recent events (store/link.c)
 *
 * The backend collects rows in its own memory.  A flush opens the table's
 * generation if these are its first rows, and links the rows with the label of the
 * transaction and command.  So later commands of the transaction see them.
 *
 * Called by fdw_modify.c and event_functions.c (sql/).
 */
#include "postgres.h"

#include "write/write.h"
#include "mvcc/mvcc.h"
#include "shared/shared.h"
#include "store/store.h"
#include "table/table.h"

#include "access/xact.h"
#include "storage/lmgr.h"

/* Limits of the rows and bytes that are collected before a flush. */
#define MOST_ROWS 4096
#define MOST_BYTES (1024 * 1024)

struct ContimeIngest
{
	Relation rel;
	ContimeRows *rows;
};

ContimeIngest *
contime_ingest_begin(Relation rel)
{
	ContimeIngest *ingest = palloc(sizeof(ContimeIngest));

	Assert(CheckRelationLockedByMe(rel, RowExclusiveLock, true)); /* registry.c, 3 */
	ingest->rel = rel;
	ingest->rows = contime_rows_begin(contime_table(rel));
	return ingest;
}

void
contime_ingest_end(ContimeIngest *ingest)
{
	contime_ingest_flush(ingest);
	contime_rows_end(ingest->rows);
	pfree(ingest);
}

void
contime_ingest_row(ContimeIngest *ingest, CtKind kind, const Datum *values, const bool *isnull,
				   uint64 set_null, uint64 columns, bool stamp)
{
	contime_rows_encode(ingest->rows, kind, values, isnull, set_null, columns, stamp, false);
	if (ingest->rows->buffer.len > MOST_BYTES || ingest->rows->count >= MOST_ROWS)
		contime_ingest_flush(ingest);
}

/* Return the generation to write to.  Open it if this is the table's first event. */
static ContimeGeneration *
open_generation(ContimeIngest *ingest)
{
	Oid relid = RelationGetRelid(ingest->rel);
	ContimeGeneration *g = contime_generation(relid);
	uint64 xid = 0;

	if (g)
		return g;
	if (ingest->rel->rd_createSubid != InvalidSubTransactionId)
		xid = U64FromFullTransactionId(GetCurrentFullTransactionId());
	return contime_generation_create(relid, xid);
}

void
contime_ingest_flush(ContimeIngest *ingest)
{
	ContimeRows *rows = ingest->rows;
	ContimeGeneration *g;
	CtLabel label;

	if (rows->count == 0)
		return;

	Assert(rows->table->source == NULL); /* event tables have the events of others */
	Assert(rows->count <= MOST_ROWS);
	label.top = U64FromFullTransactionId(GetTopFullTransactionId());
	label.xid = U64FromFullTransactionId(GetCurrentFullTransactionId());
	label.cid = GetCurrentCommandId(true);
	label.ended = contime_ended(label.top);
	g = open_generation(ingest);
	contime_limits_note(rows->table, g, true);
	contime_retention_note(rows->table, g);
	contime_ahead_check(rows->table, g, rows);
	contime_link(rows, g, &label);
	contime_ahead_note(rows->table, g, rows, &label);

	/* After linking: a reader that locks later meets the events (mvcc/serializable.c). */
	for (int i = 0; i < rows->count && IsolationIsSerializable(); i++)
		contime_serializable_write(ingest->rel, rows->row[i].load.hash);
	contime_rows_reset(rows);
}
