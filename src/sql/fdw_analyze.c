/*
 * fdw_analyze.c
 *	  ANALYZE of a continuous table: a sample of its rows at "now".
 */
#include "postgres.h"

#include "base/compat.h"
#include "sql/sql.h"
#include "sql/fdw.h"
#include "read/read.h"
#include "table/table.h"

#include "commands/vacuum.h"
#include "executor/executor.h"
#include "utils/sampling.h"
#include "utils/snapmgr.h"

/*
 * The callback of ANALYZE that takes a random sample of at most targrows rows.
 *
 * All rows are at the same instant, but a table has rows at every instant.  So each
 * sampled row gets a time of its own, and the statistics say that the time column
 * is unique.
 */
static int
acquire_sample_rows(Relation rel, int elevel, HeapTuple *rows, int targrows, double *totalrows,
					double *totaldeadrows)
{
	const ContimeTable *table = contime_table(rel);
	ContimeScan *scan = contime_scan_begin(rel, GetActiveSnapshot(), NULL);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	int64 now = contime_now(table);
	ReservoirStateData sampler;
	double skip = -1; /* rows to skip before the next sampled one; below 0: to be drawn */
	double seen = 0;
	int sampled = 0;

	Assert(targrows > 0 && ActiveSnapshotSet());
	contime_scan_look_until(scan, now);
	contime_scan_bind(scan, &now, 1, NULL, NULL);
	reservoir_init_selection_state(&sampler, targrows);
	while (contime_scan_next(scan, slot))
	{
		int place = sampled;

		vacuum_delay_point(true);
		if (sampled == targrows)
		{
			if (skip < 0)
				skip = reservoir_get_next_S(&sampler, seen, targrows);
			place = skip > 0 ? -1 : (int) (targrows * sampler_random_fract(&sampler.randstate));
			skip--;
		}
		else
			sampled++;
		if (place >= 0)
		{
			Assert(place < targrows);
			slot->tts_values[table->time_attno - 1] = Int64GetDatum(now - (int64) seen);
			if (seen >= targrows)
				heap_freetuple(rows[place]);
			rows[place] = ExecCopySlotHeapTuple(slot);
		}
		seen++;
	}
	ExecDropSingleTupleTableSlot(slot);
	contime_scan_end(scan);
	ereport(elevel, (errmsg("\"%s\": %.0f keys live now; %d rows in sample",
							RelationGetRelationName(rel), seen, sampled)));
	Assert(sampled <= targrows && sampled <= seen);
	*totalrows = seen;
	*totaldeadrows = 0;
	return sampled;
}

bool
contimeAnalyzeForeignTable(Relation rel, AcquireSampleRowsFunc *func, BlockNumber *totalpages)
{
	double keys;
	double events;

	contime_source_check(contime_table(rel));
	contime_count(RelationGetRelid(rel), &keys, &events);
	*func = acquire_sample_rows;
	*totalpages =
		(BlockNumber) (keys * sizeof(Datum) * RelationGetNumberOfAttributes(rel) / BLCKSZ) + 1;
	return true;
}
