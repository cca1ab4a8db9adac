/*
 * engine_bench.c
 *	  How fast the engine is, beside a straightforward baseline (replay.c).
 *
 *	  engine_bench [--quick | --count] [NAME...]
 *
 * Prints a line for each row of README.md, or for those whose name begins with
 * one of the arguments: name,value,unit,replay_value,replay_ratio.  With --count
 * it does one short batch of the engine's side of each, for instructions.sh,
 * which counts the instructions between clock_start() and clock_stop().
 *
 *	  a row ── puts its history (history.c) into the engine and the baseline,
 *			   timing batches of calls; the figure is the median batch
 *			└─ compares both with the truth, outside of the timed parts
 *
 * The engine has one bigint column `value` and the event's id, key and time;
 * everything is in memory that was touched before.  Events have ids, so each
 * insert looks for a duplicate.
 *
 * Started by engine.sh.  One thread.
 *
 * Not here: what is put in and must come out (history.c), the baseline.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "history.h"
#include "replay.h"
#include "engine/engine.h"

#define MILLION 1000000
#define KEYS 100000
#define READS 10000         /* in a batch */
#define COUNT_EVENTS 104000 /* with --count: at most so many in a row, */
#define COUNT_KEYS 5000     /* and so many keys */
#define LOAD_BATCH 256      /* events handed to ct_store_load() at once */
#define LIFE_BATCH 1000     /* events of a transaction */
#define RECENT 100          /* recent events beside a timeline */
#define CHECKED_KEYS 16     /* of a stream */
#define MAX_BATCHES 101
#define LIMIT 2e9 /* nanoseconds for the batches of one side of a row */
#define QUICK_LIMIT 4e8

#define SEED 20261120

/* Memory for an event, more than it takes. */
#define ENGINE_ROOM 160
#define REPLAY_ROOM (4 * (2 + columns) * sizeof(int64_t))
#define ROOM_BESIDE ((size_t) 32 << 20)

/* Attributes: 0 the key, 1 the time, then the columns, then the id. */
#define FIRST_COLUMN 2
#define MAX_ATTRS (FIRST_COLUMN + MAX_COLUMNS + 1)

typedef struct Row Row;

typedef struct Figure
{
	double value;
	double replay; /* 0: the baseline has nothing of the kind */
} Figure;

struct Row
{
	const char *name;
	Figure (*measure)(const Row *row);
	const char *unit;
	uint32_t events;  /* in the timeline, or of the stream */
	uint32_t batches; /* timed; fewer when quick */
	uint32_t ops;     /* in a batch */
	uint32_t replays; /* in a batch of the baseline */
	Rule rule;
	Place place;       /* of late events */
	uint32_t distance; /* and behind how many */
	uint32_t columns;
	double zipf;
	bool linear; /* columns are interpolated */
};

static bool quick;
static bool count_only;
static uint32_t counted; /* calls that were timed, of the row, */
static uint32_t stops;   /* in so many parts */

/* The data of the row being measured. */
static Event *ordered; /* a million */
static Event *others;  /* a million */
static Arrival *stream;
static int64_t instant[READS];

/* The engine, and the baseline. */
static CtArena arena;
static CtRef store;
static CtWriter writer;
static CtSnapshot snapshot;
static uint32_t columns;
static ReplayStore baseline;

static volatile uint64_t sink; /* what was read, so that it must be read */

/* ---- tools ------------------------------------------------------------------- */

static double
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec * 1e9 + (double) now.tv_nsec;
}

/* The timed part begins; instructions.sh knows these two by name. */
static __attribute__((noinline)) double
clock_start(void)
{
	__asm__ volatile("");
	return now_ns();
}

/* It ends: nanoseconds for each of so many calls. */
static __attribute__((noinline)) double
clock_stop(double begin, uint32_t calls)
{
	__asm__ volatile("");
	counted += calls;
	stops++;
	return (now_ns() - begin) / calls;
}

static int
compare_doubles(const void *left, const void *right)
{
	double a = *(const double *) left;
	double b = *(const double *) right;

	return (a > b) - (a < b);
}

static double
median(double *sample, uint32_t count)
{
	qsort(sample, count, sizeof(double), compare_doubles);
	return sample[count / 2];
}

static inline void
must(CtStatus status)
{
	if (status == CT_OK)
		return;
	fprintf(stderr, "the engine answers with status %d%s\n", (int) status,
			status == CT_NO_MEMORY ? ", no memory" : "");
	exit(1);
}

/* Batches in this run. */
static uint32_t
batches(const Row *row)
{
	if (count_only)
		return 1;
	return quick ? row->batches / 2 | 1 : row->batches;
}

/* Another batch, after so many since `begun`?  One is enough of what takes long. */
static bool
another(const Row *row, uint32_t done, double begun)
{
	return done == 0 || (done < batches(row) && now_ns() - begun < (quick ? QUICK_LIMIT : LIMIT));
}

/* ---- the engine -------------------------------------------------------------- */

static void
column_describe(CtAttr *attr, Rule rule)
{
	attr->rule = rule == RULE_LAST ? CT_RULE_LAST : CT_RULE_SUM;
	attr->image = CT_IMAGE_WORD;
	attr->number = CT_NUMBER_INT;
	attr->lower = CT_WIDE_MINUS_INFINITY;
	attr->upper = CT_WIDE_PLUS_INFINITY;
	attr->has_lower = attr->has_upper = rule == RULE_CLAMP;
	if (rule == RULE_CLAMP)
	{
		attr->lower = ct_wide_from_int64(LOWER);
		attr->upper = ct_wide_from_int64(UPPER);
	}
}

static const CtSchema *
schema_make(Rule rule, uint32_t ncolumns, bool linear)
{
	static _Alignas(CtSchema) char room[sizeof(CtSchema) + MAX_ATTRS * sizeof(CtAttr)];
	CtSchema *schema = (CtSchema *) room;
	CtAttr *id = &schema->attr[FIRST_COLUMN + ncolumns];

	memset(room, 0, sizeof(room));
	schema->nattrs = (uint16_t) (FIRST_COLUMN + ncolumns + 1);
	schema->size = (uint32_t) (sizeof(CtSchema) + schema->nattrs * sizeof(CtAttr));
	schema->id_attr = (int8_t) (FIRST_COLUMN + ncolumns);
	schema->id_order = CT_ORDER_SIGNED;
	for (uint32_t i = 0; i < schema->nattrs; i++)
		schema->attr[i].rate_attr = -1;
	for (uint32_t c = 0; c < ncolumns; c++)
	{
		column_describe(&schema->attr[FIRST_COLUMN + c], rule);
		schema->attr[FIRST_COLUMN + c].linear = linear;
	}
	id->rule = CT_RULE_LAST;
	id->image = CT_IMAGE_WORD;
	return schema;
}

/* Both sides empty, with room for so many events. */
static void
start(const Row *row, size_t events)
{
	static Memory engine;
	static Memory replay;
	size_t bytes;

	columns = row->columns > 0 ? row->columns : 1;
	bytes = ROOM_BESIDE + events * ENGINE_ROOM;
	must(ct_region_format(memory_touch(&engine, bytes), bytes, 1));
	arena = ct_arena_attach(engine.base, 0);
	must(ct_store_create(&arena, schema_make(row->rule, columns, row->linear), &store));
	writer = ct_writer(&arena, store);
	snapshot = (CtSnapshot){.xmin = UINT64_MAX - 1, .xmax = UINT64_MAX - 1};
	bytes = ROOM_BESIDE + events * REPLAY_ROOM;
	replay_create(&baseline, memory_touch(&replay, bytes), bytes, row->rule, columns);
}

static CtRef
engine_timeline(int64_t key)
{
	CtRef timeline = ct_writer_timeline(&writer, XXH3_64bits(&key, sizeof(key)), &key, sizeof(key));

	must(timeline == 0 ? CT_NO_MEMORY : CT_OK);
	return timeline;
}

/* What an event of the table's columns sets, without time and payload. */
static CtChange
change_template(void)
{
	return (CtChange){.set = ((UINT64_C(2) << columns) - 1) << FIRST_COLUMN,
					  .payload_bytes = (columns + 1) * (uint32_t) sizeof(int64_t),
					  .kind = CT_EVENT};
}

/* Events of one column, one by one. */
static void
engine_load(CtRef timeline, const Event *event, uint32_t count)
{
	CtChange change = change_template();

	for (uint32_t i = 0; i < count; i++)
	{
		change.time = event[i].time;
		change.payload = &event[i].value;
		must(ct_timeline_load(&writer, timeline, &change, 0));
	}
}

static inline void
replay_must(bool added)
{
	if (added)
		return;
	fprintf(stderr, "the baseline takes an event for a duplicate\n");
	exit(1);
}

static void
replay_load(ReplayTimeline *timeline, const Event *event, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		replay_must(replay_add(&baseline, timeline, &event[i]));
}

/* Freeze what precedes the horizon. */
static void
engine_settle(uint64_t horizon)
{
	CtStatus status;

	do
		status = ct_store_settle(&arena, store, horizon, 1 << 20);
	while (status == CT_MORE);
	must(status);
}

static double
engine_bytes(void)
{
	CtStats stats;

	ct_store_stats(&arena, store, &stats);
	return (double) stats.bytes;
}

/* ---- comparing with the truth ------------------------------------------------ */

typedef struct Subject
{
	CtRef timeline; /* of the engine */
	const CtRuns *runs;
	const ReplayTimeline *replay; /* of the baseline */
} Subject;

static int64_t
value_of(const CtValue *value)
{
	int64_t number = 0;

	if (value->kind == CT_VALUE_IMAGE)
		memcpy(&number, value->image, sizeof(number));
	else if (value->kind == CT_VALUE_NULL || !ct_wide_to_int64(value->number, &number))
	{
		fprintf(stderr, "the engine has a value of kind %d that is none\n", value->kind);
		exit(1);
	}
	return number;
}

static void
read_engine(const void *subject, int64_t time, State *state)
{
	const Subject *engine = subject;
	CtState is;

	ct_timeline_fold(&arena, store, engine->timeline, time, &snapshot, engine->runs, &is);
	state->present = is.present;
	if (!is.present)
		return;
	for (uint32_t c = 0; c < columns; c++)
		state->value[c] = value_of(&is.value[FIRST_COLUMN + c]);
	state->id = value_of(&is.value[FIRST_COLUMN + columns]);
}

static void
read_replay(const void *subject, int64_t time, State *state)
{
	replay_at(&baseline, ((const Subject *) subject)->replay, time, state);
}

static Truth
truth_of(const Row *row, uint32_t nordered, uint32_t nothers)
{
	return (Truth){.name = row->name,
				   .rule = row->rule,
				   .columns = columns,
				   .ordered = ordered,
				   .nordered = nordered,
				   .others = others,
				   .nothers = nothers};
}

static void
check_engine(const Row *row, CtRef timeline, const CtRuns *runs, uint32_t nordered,
			 uint32_t nothers)
{
	Truth truth = truth_of(row, nordered, nothers);
	Subject subject = {.timeline = timeline, .runs = runs};

	truth_check(&truth, "the engine", read_engine, &subject);
}

static void
check_replay(const Row *row, const ReplayTimeline *timeline, uint32_t nordered, uint32_t nothers)
{
	Truth truth = truth_of(row, nordered, nothers);
	Subject subject = {.replay = timeline};

	truth_check(&truth, "the baseline", read_replay, &subject);
}

/* ---- appending --------------------------------------------------------------- */

typedef struct Plain
{
	Event *event;
	uint32_t count;
	uint32_t capacity;
} Plain;

static __attribute__((noinline)) bool
plain_append(Plain *plain, const Event *event)
{
	if (plain->count == plain->capacity)
		return false;
	plain->event[plain->count++] = *event;
	return true;
}

/* The floor of both: neither is faster. */
static Figure
measure_floor(const Row *row)
{
	double sample[MAX_BATCHES];
	double floor;

	events_in_order(ordered, row->events);
	for (uint32_t b = 0; b < batches(row); b++)
	{
		Plain plain = {.event = others, .capacity = row->events};
		double begin = now_ns();

		for (uint32_t i = 0; i < row->events; i++)
			must(plain_append(&plain, &ordered[i]) ? CT_OK : CT_NO_MEMORY);
		sample[b] = (now_ns() - begin) / row->events;
	}
	floor = median(sample, batches(row));
	return (Figure){floor, floor};
}

/* Each batch fills the timeline of another key. */
static Figure
measure_append(const Row *row)
{
	double sample[2][MAX_BATCHES];
	CtRef timeline = 0;
	ReplayTimeline *replay = NULL;

	start(row, (size_t) row->events * batches(row));
	events_in_order(ordered, row->events);
	for (uint32_t b = 0; b < batches(row); b++)
	{
		double begin;

		timeline = engine_timeline(b);
		begin = clock_start();
		engine_load(timeline, ordered, row->events);
		sample[0][b] = clock_stop(begin, row->events);
	}
	check_engine(row, timeline, NULL, row->events, 0);
	if (count_only)
		return (Figure){.value = median(sample[0], batches(row))};
	for (uint32_t b = 0; b < batches(row); b++)
	{
		double begin;

		replay = replay_timeline(&baseline, b);
		begin = now_ns();
		replay_load(replay, ordered, row->events);
		sample[1][b] = (now_ns() - begin) / row->events;
	}
	check_replay(row, replay, row->events, 0);
	return (Figure){median(sample[0], batches(row)), median(sample[1], batches(row))};
}

/* ---- late events ------------------------------------------------------------- */

/*
 * Small timelines would soon be larger ones: each batch has its own.  Large
 * ones take all batches.
 */
static inline bool
is_small(const Row *row)
{
	return row->events <= 1000;
}

static double
late_engine(const Row *row)
{
	double sample[MAX_BATCHES];
	double begun = now_ns();
	uint32_t b;
	CtRef timeline = 0;
	uint32_t done = 0;

	for (b = 0; another(row, b, begun); b++)
	{
		double begin;

		if (b == 0 || is_small(row))
		{
			timeline = engine_timeline(b);
			engine_load(timeline, ordered, row->events);
			done = 0;
		}
		begin = clock_start();
		engine_load(timeline, others + done, row->ops);
		sample[b] = clock_stop(begin, row->ops);
		done += row->ops;
	}
	check_engine(row, timeline, NULL, row->events, done);
	return median(sample, b);
}

static double
late_replay(const Row *row)
{
	double sample[MAX_BATCHES];
	double begun = now_ns();
	uint32_t b;
	ReplayTimeline *timeline = NULL;
	uint32_t done = 0;

	for (b = 0; another(row, b, begun); b++)
	{
		double begin;

		if (b == 0 || is_small(row))
		{
			timeline = replay_timeline(&baseline, b);
			replay_load(timeline, ordered, row->events);
			done = 0;
		}
		begin = now_ns();
		replay_load(timeline, others + done, row->replays);
		sample[b] = (now_ns() - begin) / row->replays;
		done += row->replays;
	}
	check_replay(row, timeline, row->events, done);
	return median(sample, b);
}

static Figure
measure_late(const Row *row)
{
	uint32_t needed = row->ops * (is_small(row) ? 1 : row->batches);
	Figure figure;

	start(row, row->events);
	events_in_order(ordered, row->events);
	events_late(others, needed, row->events, row->place, row->distance);
	figure.value = late_engine(row);
	figure.replay = count_only ? 0 : late_replay(row);
	return figure;
}

/* ---- reading ----------------------------------------------------------------- */

static double
reads_engine(const Row *row, CtRef timeline, const CtRuns *runs)
{
	double sample[MAX_BATCHES];
	double begun = now_ns();
	uint32_t b;

	for (b = 0; another(row, b, begun); b++)
	{
		double begin = clock_start();
		CtState state;

		for (uint32_t i = 0; i < READS; i++)
		{
			ct_timeline_fold(&arena, store, timeline, instant[i], &snapshot, runs, &state);
			sink += state.value[FIRST_COLUMN].number.word[0];
		}
		sample[b] = clock_stop(begin, READS);
	}
	return median(sample, b);
}

static double
reads_replay(const Row *row, const ReplayTimeline *timeline)
{
	double sample[MAX_BATCHES];
	double begun = now_ns();
	uint32_t b;

	for (b = 0; another(row, b, begun); b++)
	{
		double begin = now_ns();
		State state;

		for (uint32_t i = 0; i < READS; i++)
		{
			replay_at(&baseline, timeline, instant[i], &state);
			sink += (uint64_t) state.value[0];
		}
		sample[b] = (now_ns() - begin) / READS;
	}
	return median(sample, b);
}

/* The baseline's timeline of the events in order and so many others. */
static ReplayTimeline *
replay_filled(const Row *row, uint32_t nothers)
{
	ReplayTimeline *timeline = replay_timeline(&baseline, 0);

	replay_load(timeline, ordered, row->events);
	replay_load(timeline, others, nothers);
	check_replay(row, timeline, row->events, nothers);
	return timeline;
}

/* At the instants drawn, of frozen events in order. */
static Figure
reads(const Row *row)
{
	CtRef timeline;
	Figure figure;

	start(row, row->events);
	events_in_order(ordered, row->events);
	timeline = engine_timeline(0);
	engine_load(timeline, ordered, row->events);
	check_engine(row, timeline, NULL, row->events, 0);
	figure.value = reads_engine(row, timeline, NULL);
	figure.replay = count_only ? 0 : reads_replay(row, replay_filled(row, 0));
	return figure;
}

static Figure
measure_read(const Row *row)
{
	instants_between(instant, READS, 0, row->events * TICKS);
	return reads(row);
}

static Figure
measure_read_latest(const Row *row)
{
	for (uint32_t i = 0; i < READS; i++)
		instant[i] = INT64_MAX;
	return reads(row);
}

/* ---- reading beside recent events -------------------------------------------- */

/* `others` as recent events of the key, which the snapshot sees. */
static void
recent_add(int64_t key)
{
	CtChange change = change_template();
	CtLabel label = {.top = 1000, .xid = 1000, .cid = 0};

	for (uint32_t i = 0; i < RECENT; i++)
	{
		change.time = others[i].time;
		change.payload = &others[i].value;
		must(ct_store_add(&arena, store, XXH3_64bits(&key, sizeof(key)), &key, sizeof(key), &change,
						  &label));
	}
}

static void
recent_collect(CtRef timeline, CtRuns *runs)
{
	uint32_t count;

	runs->nextra = runs->ncancelled = 0;
	for (CtRef ref = ct_timeline_recent(&arena, timeline, &count); ref != 0;
		 ref = ((CtEvent *) ct_ptr(&arena, ref))->next)
		runs->extra[runs->nextra++] = ref;
	ct_timeline_merge(&arena, store, timeline, &snapshot, runs);
}

static CtRef
recent_start(const Row *row, CtRuns *runs)
{
	static CtRef extra[RECENT];
	static CtRef cancelled[RECENT];
	CtRef timeline;

	start(row, row->events);
	events_in_order(ordered, row->events);
	events_late(others, RECENT, row->events, ANYWHERE, 0);
	timeline = engine_timeline(0);
	engine_load(timeline, ordered, row->events);
	recent_add(0);
	*runs = (CtRuns){.extra = extra, .cancelled = cancelled};
	return timeline;
}

static Figure
measure_read_recent(const Row *row)
{
	CtRuns runs;
	CtRef timeline = recent_start(row, &runs);
	Figure figure;

	recent_collect(timeline, &runs);
	check_engine(row, timeline, &runs, row->events, RECENT);
	instants_between(instant, READS, 0, row->events * TICKS);
	figure.value = reads_engine(row, timeline, &runs);
	figure.replay = count_only ? 0 : reads_replay(row, replay_filled(row, RECENT));
	return figure;
}

/* What comes before such a read, once for a key: an event of the hundred. */
static Figure
measure_merge(const Row *row)
{
	double sample[MAX_BATCHES];
	CtRuns runs;
	CtRef timeline = recent_start(row, &runs);
	double begun = now_ns();
	uint32_t b;

	for (b = 0; another(row, b, begun); b++)
	{
		double begin = clock_start();

		for (uint32_t i = 0; i < row->ops; i++)
			recent_collect(timeline, &runs);
		sample[b] = clock_stop(begin, row->ops) / RECENT;
	}
	check_engine(row, timeline, &runs, row->events, RECENT);
	return (Figure){.value = median(sample, b)};
}

/* ---- reading young events ---------------------------------------------------- */

/*
 * Eight writers at a time, a hundred events each in turns without order: their
 * transactions have even ids.  The newest tenth of the events is young, since
 * eight transactions with odd ids, begun all along, have not ended.
 */
#define WRITERS 8
#define EVENTS_EACH 100
#define FIRST_TOP 1000

static uint64_t
top_of(uint32_t event)
{
	return FIRST_TOP + 2 * (event / (WRITERS * EVENTS_EACH) * WRITERS + random_below(WRITERS));
}

static void
engine_load_labelled(CtRef timeline, const Event *event, uint32_t count)
{
	CtChange change = change_template();

	for (uint32_t i = 0; i < count; i++)
	{
		change.time = event[i].time;
		change.payload = &event[i].value;
		must(ct_timeline_load(&writer, timeline, &change, top_of(i)));
	}
}

/* All but the newest tenth is frozen; the snapshot sees everything. */
static CtRef
young_start(const Row *row)
{
	static uint64_t xip[WRITERS];
	uint32_t frozen = row->events / 10 * 9 / (WRITERS * EVENTS_EACH);
	uint32_t all = row->events / (WRITERS * EVENTS_EACH);
	uint64_t horizon = FIRST_TOP + 2 * frozen * WRITERS;
	uint64_t end = FIRST_TOP + 2 * all * WRITERS;
	CtRef timeline;

	start(row, row->events);
	events_in_order(ordered, row->events);
	timeline = engine_timeline(0);
	engine_load_labelled(timeline, ordered, row->events);
	engine_settle(horizon);
	for (uint32_t i = 0; i < WRITERS; i++)
		xip[i] = (horizon + (end - horizon) * i / WRITERS) | 1;
	snapshot = (CtSnapshot){.xmin = xip[0],
							.xmax = end + 1,
							.nxip = WRITERS,
							.xip = xip,
							.until = INT64_MAX};
	if (!row->linear)
		check_engine(row, timeline, NULL, row->events, 0);
	return timeline;
}

/* `distance`: how many of the newest events the instants are among. */
static Figure
measure_read_young(const Row *row)
{
	CtRef timeline = young_start(row);
	CtStats stats;
	Figure figure;

	ct_store_stats(&arena, store, &stats);
	if (stats.young != row->events / 10)
	{
		fprintf(stderr, "%s: %llu events are young\n", row->name, (unsigned long long) stats.young);
		exit(1);
	}
	instants_between(instant, READS, (row->events - row->distance) * TICKS, row->events * TICKS);
	figure.value = reads_engine(row, timeline, NULL);
	figure.replay = count_only ? 0 : reads_replay(row, replay_filled(row, 0));
	return figure;
}

/* ---- many keys --------------------------------------------------------------- */

/* Room for a stream of so many. */
static void
stream_touch(uint32_t events)
{
	static Memory memory;

	stream = memory_touch(&memory, events * sizeof(Arrival));
}

typedef struct Batch
{
	CtLoad load[LOAD_BATCH];
	int64_t key[LOAD_BATCH];
	int64_t payload[LOAD_BATCH][MAX_COLUMNS + 1];
} Batch;

static inline void
batch_put(Batch *batch, uint32_t i, const CtChange *template, const Arrival *arrival,
		  uint32_t number)
{
	CtLoad *load = &batch->load[i];

	batch->key[i] = arrival->key;
	for (uint32_t c = 0; c < columns; c++)
		batch->payload[i][c] = arrival->value + (int64_t) c;
	batch->payload[i][columns] = (int64_t) number + 1;
	load->hash = XXH3_64bits(&batch->key[i], sizeof(int64_t));
	load->key = &batch->key[i];
	load->key_bytes = sizeof(int64_t);
	load->top = 0;
	load->change = *template;
	load->change.time = arrival->time;
	load->change.payload = batch->payload[i];
}

static void
engine_stream(uint32_t count)
{
	static Batch batch;
	CtChange template = change_template();

	for (uint32_t at = 0; at < count; at += LOAD_BATCH)
	{
		uint32_t size = count - at < LOAD_BATCH ? count - at : LOAD_BATCH;
		uint32_t done;

		for (uint32_t i = 0; i < size; i++)
			batch_put(&batch, i, &template, &stream[at + i], at + i);
		must(ct_store_load(&writer, batch.load, size, &done));
	}
}

static void
replay_stream(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
	{
		Event event = arrival_event(&stream[i], i);

		replay_must(replay_add(&baseline, replay_timeline(&baseline, stream[i].key), &event));
	}
}

static void
check_total(const Row *row, const char *side, int64_t total, uint32_t events)
{
	int64_t want = 0;

	for (uint32_t i = 0; i < events; i++)
		want += stream[i].value;
	if (total == want)
		return;
	fprintf(stderr, "%s: %s adds %u events up to %lld, and it is %lld\n", row->name, side, events,
			(long long) total, (long long) want);
	exit(1);
}

/* The sum over all keys, for no event to be lost or there twice. */
static void
check_totals(const Row *row, uint32_t engine_events, uint32_t replay_events)
{
	uint32_t position = 0;
	int64_t total = 0;
	Subject subject = {0};
	State state;

	while ((subject.timeline = ct_store_next(&arena, store, &position)) != 0)
	{
		read_engine(&subject, INT64_MAX, &state);
		total += state.value[0];
	}
	check_total(row, "the engine", total, engine_events);
	total = 0;
	for (uint32_t i = 0; i < baseline.nslots; i++)
	{
		if (baseline.slot[i].timeline != NULL)
			total += baseline.slot[i].timeline->latest.value[0];
	}
	check_total(row, "the baseline", total, replay_events);
}

/* Some keys, the first of which has the most events under zipf. */
static void
check_stream(const Row *row, uint32_t engine_events, uint32_t replay_events)
{
	check_totals(row, engine_events, replay_events);
	for (int64_t i = 0; i < CHECKED_KEYS; i++)
	{
		int64_t key = i * i * i * 29;
		uint64_t hash = XXH3_64bits(&key, sizeof(key));
		CtRef timeline = ct_store_find(&arena, store, hash, &key, sizeof(key));
		uint32_t found = stream_of_key(stream, engine_events, (uint32_t) key, others);

		if (found > 0)
			check_engine(row, timeline, NULL, 0, found);
		found = stream_of_key(stream, replay_events, (uint32_t) key, others);
		if (found > 0)
			check_replay(row, replay_timeline(&baseline, key), 0, found);
	}
}

/* The whole stream, hashing of keys and all; the baseline goes through it once. */
static Figure
measure_keys(const Row *row)
{
	double sample[MAX_BATCHES];
	uint32_t b;
	uint32_t events = quick ? row->events / 10 : row->events;
	uint32_t replays = quick ? row->replays / 10 : row->replays;
	double begun;
	double begin;
	double replay;

	stream_touch(events);
	stream_make(stream, events, count_only ? COUNT_KEYS : KEYS, row->zipf);
	begun = now_ns();
	for (b = 0; another(row, b, begun); b++)
	{
		start(row, events);
		begin = clock_start();
		engine_stream(events);
		sample[b] = clock_stop(begin, events);
	}
	if (count_only)
		return (Figure){.value = median(sample, b)};
	begin = now_ns();
	replay_stream(replays);
	replay = (now_ns() - begin) / replays;
	check_stream(row, events, replays);
	return (Figure){median(sample, b), replay};
}

/* As many events of a key as in the other streams, of fewer keys. */
static Figure
measure_keys_bytes(const Row *row)
{
	stream_touch(row->events);
	stream_make(stream, row->events, KEYS / 10, row->zipf);
	start(row, row->events);
	engine_stream(row->events);
	replay_stream(row->events);
	check_totals(row, row->events, row->events);
	return (Figure){engine_bytes() / row->events, (double) baseline.bytes / row->events};
}

/* ---- bytes ------------------------------------------------------------------- */

static Figure
measure_bytes(const Row *row)
{
	start(row, row->events);
	events_in_order(ordered, row->events);
	engine_load(engine_timeline(0), ordered, row->events);
	(void) replay_filled(row, 0);
	return (Figure){engine_bytes() / row->events, (double) baseline.bytes / row->events};
}

/*
 * One event in ten late.  The baseline would move its whole array for each of
 * them; it gets the same events in order, since what it takes is the same.
 */
static Figure
measure_bytes_late(const Row *row)
{
	CtRef timeline;

	start(row, row->events);
	stream_touch(row->events);
	stream_make(stream, row->events, 1, 0);
	(void) stream_of_key(stream, row->events, 0, others);
	timeline = engine_timeline(0);
	engine_load(timeline, others, row->events);
	check_engine(row, timeline, NULL, 0, row->events);
	events_sort(others, row->events);
	replay_load(replay_timeline(&baseline, 0), others, row->events);
	return (Figure){engine_bytes() / row->events, (double) baseline.bytes / row->events};
}

/* ---- the whole life of events ------------------------------------------------ */

/* Added by one transaction, entered when it has committed, and frozen. */
static void
live(const Arrival *arrival, uint32_t first, uint32_t count, uint64_t top)
{
	static CtLoad load[LIFE_BATCH];
	static int64_t key[LIFE_BATCH];
	static int64_t payload[LIFE_BATCH][2];
	CtLabel label = {.top = top, .xid = top};
	CtChanged changed = {0};
	uint32_t done;
	CtRef batch;

	for (uint32_t i = 0; i < count; i++)
	{
		key[i] = arrival[i].key;
		payload[i][0] = arrival[i].value;
		payload[i][1] = (int64_t) first + i + 1;
		load[i] = (CtLoad){.hash = XXH3_64bits(&key[i], sizeof(key[i])),
						   .key = &key[i],
						   .key_bytes = sizeof(key[i]),
						   .change = change_template()};
		load[i].change.time = arrival[i].time;
		load[i].change.payload = payload[i];
	}
	must(ct_store_add_all(&arena, store, load, count, &label, &done));
	(void) ct_store_first_batch(&arena, store, &batch);
	must(ct_store_enter(&arena, store, batch, (int) count, NULL, &changed));
	engine_settle(top + 1);
}

static Figure
lives(const Row *row)
{
	double sample[2][MAX_BATCHES];

	for (uint32_t b = 0; b < batches(row); b++)
	{
		double begin;

		start(row, row->events);
		begin = clock_start();
		for (uint32_t at = 0; at < row->events; at += LIFE_BATCH)
			live(stream + at, at, LIFE_BATCH, FIRST_TOP + at);
		sample[0][b] = clock_stop(begin, row->events);
		if (count_only)
			return (Figure){.value = sample[0][b]};
		begin = now_ns();
		replay_stream(row->events);
		sample[1][b] = (now_ns() - begin) / row->events;
	}
	check_stream(row, row->events, row->events);
	return (Figure){median(sample[0], batches(row)), median(sample[1], batches(row))};
}

static Figure
measure_life_append(const Row *row)
{
	stream_touch(row->events);
	events_in_order(ordered, row->events);
	for (uint32_t i = 0; i < row->events; i++)
		stream[i] = (Arrival){ordered[i].time, 0, (int32_t) ordered[i].value};
	return lives(row);
}

static Figure
measure_life_keys(const Row *row)
{
	stream_touch(row->events);
	stream_make(stream, row->events, count_only ? COUNT_KEYS : KEYS, 0);
	return lives(row);
}

/* ---- walks ------------------------------------------------------------------- */

/* Where keys are found without the lock, and read at an instant: what a lookup does. */
static Figure
measure_lookup(const Row *row)
{
	double sample[MAX_BATCHES];
	uint32_t keys = count_only ? COUNT_KEYS : KEYS;
	double begun;
	uint32_t b;

	stream_touch(row->events);
	stream_make(stream, row->events, keys, 0);
	start(row, row->events);
	engine_stream(row->events);
	instants_between(instant, READS, 0, row->events * TICKS);
	begun = now_ns();
	for (b = 0; another(row, b, begun); b++)
	{
		double begin = clock_start();
		CtState state;
		CtRead read;

		for (uint32_t i = 0; i < READS; i++)
		{
			int64_t key = stream[i].key;

			must(ct_read_key(&arena, store, XXH3_64bits(&key, sizeof(key)), &key, sizeof(key),
							 &read));
			ct_timeline_fold(&arena, store, read.timeline, instant[i], &snapshot, NULL, &state);
			must(ct_read_valid(&read) ? CT_OK : CT_BROKEN);
			sink += state.value[FIRST_COLUMN].number.word[0];
		}
		sample[b] = clock_stop(begin, READS);
	}
	return (Figure){.value = median(sample, b)};
}

/* The history of a key: from each instant that has an event to the next one. */
static Figure
measure_step(const Row *row)
{
	double sample[MAX_BATCHES];
	CtRef timeline = young_start(row);
	double begun = now_ns();
	uint32_t b;

	for (b = 0; another(row, b, begun); b++)
	{
		double begin = clock_start();
		int64_t time = (row->events - READS) * TICKS;
		uint32_t steps = 0;
		CtState state;

		ct_timeline_fold(&arena, store, timeline, time, &snapshot, NULL, &state);
		while (ct_timeline_step(&arena, store, timeline, &time, INT64_MAX, &snapshot, NULL, &state))
			steps++;
		sample[b] = clock_stop(begin, steps);
	}
	return (Figure){.value = median(sample, b)};
}

/* The instant of the newest event at or before another one. */
static Figure
measure_latest(const Row *row)
{
	double sample[MAX_BATCHES];
	CtRef timeline = young_start(row);
	double begun;
	uint32_t b;

	instants_between(instant, READS, 0, row->events * TICKS);
	begun = now_ns();
	for (b = 0; another(row, b, begun); b++)
	{
		double begin = clock_start();

		for (uint32_t i = 0; i < READS; i++)
		{
			int64_t time = instant[i];

			sink += ct_timeline_latest(&arena, store, timeline, &time, &snapshot, NULL);
			sink += (uint64_t) time;
		}
		sample[b] = clock_stop(begin, READS);
	}
	return (Figure){.value = median(sample, b)};
}

static bool
count_raw_events(void *arg, const CtRawEvent *told)
{
	++*(uint32_t *) arg;
	sink += (uint64_t) told->time;
	return true;
}

/* The events themselves, of the whole timeline. */
static Figure
measure_tell(const Row *row)
{
	double sample[MAX_BATCHES];
	CtRef timeline = young_start(row);
	double begun = now_ns();
	uint32_t b;

	for (b = 0; another(row, b, begun); b++)
	{
		double begin = clock_start();
		uint32_t told = 0;
		CtPosition position = {.time = INT64_MIN};

		(void) ct_timeline_visit(&arena, store, timeline, &position, INT64_MAX, &snapshot, NULL,
								 count_raw_events, &told);
		sample[b] = clock_stop(begin, told);
	}
	return (Figure){.value = median(sample, b)};
}

/* A state of a column that is interpolated: a fold, and the next event that sets it. */
static Figure
measure_linear(const Row *row)
{
	Figure figure = {0};
	CtRef timeline = young_start(row);

	instants_between(instant, READS, 0, row->events * TICKS);
	figure.value = reads_engine(row, timeline, NULL);
	return figure;
}

/* Retention folds nearly all events of a timeline into its base. */
static Figure
measure_retain(const Row *row)
{
	double sample[MAX_BATCHES];
	double begun = now_ns();
	uint32_t b;

	events_in_order(ordered, row->events);
	for (b = 0; another(row, b, begun); b++)
	{
		double begin;
		CtStats stats;

		start(row, row->events);
		engine_load(engine_timeline(0), ordered, row->events);
		begin = clock_start();
		must(ct_store_retain(&arena, store, (row->events - 100) * TICKS, INT32_MAX));
		ct_store_stats(&arena, store, &stats);
		sample[b] = clock_stop(begin, (uint32_t) stats.folded);
	}
	return (Figure){.value = median(sample, b)};
}

/* ---- the rows ---------------------------------------------------------------- */

#define APPEND(NAME, EVENTS, BATCHES)                                            \
	{                                                                            \
		.name = NAME, .measure = measure_append, .unit = "ns", .events = EVENTS, \
		.batches = BATCHES                                                       \
	}

/* With so many operations in a batch, and so many of the baseline. */
#define LATE(NAME, EVENTS, RULE, PLACE, DISTANCE, OPS, REPLAYS)                               \
	{                                                                                         \
		.name = NAME, .measure = measure_late, .unit = "ns", .events = EVENTS, .batches = 15, \
		.ops = OPS, .replays = REPLAYS, .rule = RULE, .place = PLACE, .distance = DISTANCE    \
	}
#define READ(NAME, MEASURE, EVENTS, DISTANCE)                                            \
	{                                                                                    \
		.name = NAME, .measure = MEASURE, .unit = "ns", .events = EVENTS, .batches = 15, \
		.distance = DISTANCE                                                             \
	}
#define LINEAR(NAME, MEASURE, EVENTS)                                                    \
	{                                                                                    \
		.name = NAME, .measure = MEASURE, .unit = "ns", .events = EVENTS, .batches = 15, \
		.rule = RULE_LAST, .linear = true                                                \
	}
#define STREAM(NAME, REPLAYS, ZIPF, COLUMNS)                                                       \
	{                                                                                              \
		.name = NAME, .measure = measure_keys, .unit = "ns", .events = 10 * MILLION, .batches = 3, \
		.replays = REPLAYS, .zipf = ZIPF, .columns = COLUMNS                                       \
	}
#define BYTES(NAME, MEASURE)                                                 \
	{                                                                        \
		.name = NAME, .measure = MEASURE, .unit = "bytes", .events = MILLION \
	}

static const Row rows[] = {
	{.name = "floor_append",
	 .measure = measure_floor,
	 .unit = "ns",
	 .events = MILLION,
	 .batches = 15},
	APPEND("append_1k", 1000, 101),
	APPEND("append_100k", 100000, 15),
	APPEND("append_1m", MILLION, 7),
	LATE("late_start_1k_sum", 1000, RULE_SUM, AT_START, 0, 100, 100),
	LATE("late_start_100k_sum", 100000, RULE_SUM, AT_START, 0, 200, 10),
	LATE("late_start_1m_sum", MILLION, RULE_SUM, AT_START, 0, 1000, 1),
	LATE("late_start_1k_clamp", 1000, RULE_CLAMP, AT_START, 0, 100, 100),
	LATE("late_start_1m_clamp", MILLION, RULE_CLAMP, AT_START, 0, 1000, 1),
	LATE("late_start_1m_last", MILLION, RULE_LAST, AT_START, 0, 1000, 1),
	LATE("late_d1_1m", MILLION, RULE_SUM, BEHIND, 1, 1000, 1000),
	LATE("late_d16_1m", MILLION, RULE_SUM, BEHIND, 16, 1000, 1000),
	LATE("late_d1k_1m", MILLION, RULE_SUM, BEHIND, 1000, 1000, 200),
	LATE("late_random_1m", MILLION, RULE_SUM, ANYWHERE, 0, 1000, 1),
	READ("read_random_1k", measure_read, 1000, 0),
	READ("read_random_1m", measure_read, MILLION, 0),
	READ("read_latest", measure_read_latest, MILLION, 0),
	READ("read_random_1m_100_recent", measure_read_recent, MILLION, 0),
	STREAM("keys_uniform", 10 * MILLION, 0, 1),
	STREAM("keys_zipf", MILLION, 0.99, 1),
	STREAM("keys_uniform_4col", 10 * MILLION, 0, 4),
	BYTES("bytes_per_event", measure_bytes),
	BYTES("bytes_per_event_late10", measure_bytes_late),
	READ("read_random_1m_young", measure_read_young, MILLION, MILLION),
	/* what is not asked for, but tells more */
	READ("read_newest_tenth_1m_young", measure_read_young, MILLION, MILLION / 10),
	{.name = "merge_100_recent",
	 .measure = measure_merge,
	 .unit = "ns",
	 .events = MILLION,
	 .batches = 15,
	 .ops = 20},
	{.name = "life_append",
	 .measure = measure_life_append,
	 .unit = "ns",
	 .events = 100000,
	 .batches = 7},
	{.name = "life_keys_uniform",
	 .measure = measure_life_keys,
	 .unit = "ns",
	 .events = MILLION,
	 .batches = 3},
	BYTES("keys_bytes_per_event", measure_keys_bytes),
	READ("lookup_keys", measure_lookup, MILLION, 0),
	READ("step_1m_young", measure_step, MILLION, 0),
	READ("latest_1m_young", measure_latest, MILLION, 0),
	READ("events_1m_young", measure_tell, MILLION, 0),
	{.name = "read_clamp_1m_100_recent",
	 .measure = measure_read_recent,
	 .unit = "ns",
	 .events = MILLION,
	 .batches = 15,
	 .rule = RULE_CLAMP},
	LINEAR("read_linear_1m_young", measure_linear, MILLION),
	READ("retain_1m", measure_retain, MILLION, 0),
};

static bool
is_wanted(const Row *row, char **names)
{
	if (*names == NULL)
		return true;
	for (; *names != NULL; names++)
	{
		if (strncmp(row->name, *names, strlen(*names)) == 0)
			return true;
	}
	return false;
}

/* A short batch of a row whose work callgrind counts; false: there is nothing to count. */
static bool
row_shorten(Row *row)
{
	row->events = row->events < COUNT_EVENTS ? row->events : COUNT_EVENTS;
	row->distance = row->distance == MILLION ? row->events : row->distance;
	row->distance = row->distance == MILLION / 10 ? row->events / 10 : row->distance;
	row->batches = 1;
	counted = stops = 0;
	return strcmp(row->unit, "ns") == 0 && row->measure != measure_floor;
}

int
main(int argc, char **argv)
{
	static Memory memory[2];

	(void) argc;
	argv++;
	if (*argv != NULL && strcmp(*argv, "--quick") == 0)
	{
		quick = true;
		argv++;
	}
	else if (*argv != NULL && strcmp(*argv, "--count") == 0)
	{
		count_only = true;
		argv++;
	}
	ordered = memory_touch(&memory[0], (count_only ? COUNT_EVENTS : MILLION) * sizeof(Event));
	others = memory_touch(&memory[1], (count_only ? COUNT_EVENTS : MILLION) * sizeof(Event));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		Row row = rows[i];
		Figure figure;

		if (!is_wanted(&row, argv) || (count_only && !row_shorten(&row)))
			continue;
		random_seed(SEED);
		figure = row.measure(&row);
		if (count_only)
		{
			printf("%s,%u,%u\n", row.name, counted, stops);
			continue;
		}
		printf("%s,%.2f,%s,", row.name, figure.value, row.unit);
		if (figure.replay > 0)
			printf("%.2f,%.2f\n", figure.replay, figure.replay / figure.value);
		else
			printf(",\n");
		fflush(stdout);
	}
	return 0;
}
