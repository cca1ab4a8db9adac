/*
 * history.c
 *	  What the benchmark puts in, and what must come out.
 *
 * Values are small, of both signs, so that a clamped sum meets its bounds all
 * the time.  No two events of a timeline have the same id.
 *
 * Not here: what is measured (engine_bench.c).
 */
#include "history.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE (UINT64_C(2) << 20)
#define SMALL_PAGE 4096
/*
 * Address space, not memory.  Were it a power of two, equal places of two
 * memories would be equal in all lower bits of their addresses, which halves
 * the speed of a processor that tells lines of its cache by them.
 */
#define LARGEST_MEMORY ((UINT64_C(16) << 30) + 37 * HUGE_PAGE)
#define LARGEST_VALUE 20
#define SAMPLE 1000 /* instants at which a state is compared */

void *
memory_touch(Memory *memory, size_t bytes)
{
	if (memory->base == NULL)
	{
		void *mapped = mmap(NULL, LARGEST_MEMORY, PROT_READ | PROT_WRITE,
							MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (mapped == MAP_FAILED)
		{
			perror("mmap");
			exit(1);
		}
		memory->base = (char *) mapped + (-(uintptr_t) mapped & (HUGE_PAGE - 1));
		(void) madvise(memory->base, LARGEST_MEMORY - HUGE_PAGE, MADV_HUGEPAGE);
	}
	for (; memory->touched < bytes; memory->touched += SMALL_PAGE)
		((volatile char *) memory->base)[memory->touched] = 0;
	return memory->base;
}

/* ---- chance ------------------------------------------------------------------ */

static uint64_t random_state;

void
random_seed(uint64_t seed)
{
	random_state = seed;
}

/* splitmix64, Sebastiano Vigna. */
static uint64_t
random_bits(void)
{
	uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t
random_below(uint64_t bound)
{
	return (uint64_t) ((unsigned __int128) random_bits() * bound >> 64);
}

static int64_t
random_value(void)
{
	return (int64_t) random_below(2 * LARGEST_VALUE + 1) - LARGEST_VALUE;
}

/* ---- one timeline ------------------------------------------------------------ */

void
events_in_order(Event *event, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		event[i] = (Event){i * TICKS, random_value(), (int64_t) i + 1};
}

void
events_late(Event *late, uint32_t nlate, uint32_t count, Place place, uint32_t distance)
{
	for (uint32_t i = 0; i < nlate; i++)
	{
		int64_t time;

		if (place == AT_START)
			time = -1 - (int64_t) i;
		else if (place == BEHIND)
			time = (count - distance - 1) * TICKS + 1 + i;
		else
			time = (int64_t) random_below((uint64_t) (count * TICKS));
		late[i] = (Event){time, random_value(), (int64_t) count + 1 + i};
	}
}

void
instants_between(int64_t *instant, uint32_t count, int64_t from, int64_t to)
{
	for (uint32_t i = 0; i < count; i++)
		instant[i] = from + (int64_t) random_below((uint64_t) (to - from));
}

/* ---- streams over many keys -------------------------------------------------- */

/* Key k with probability in proportion to 1 / (k + 1) ^ zipf: the sums of them. */
static double *
zipf_sums(uint32_t keys, double zipf)
{
	double *sum = malloc(keys * sizeof(double));
	double total = 0;

	for (uint32_t k = 0; k < keys; k++)
		sum[k] = total += pow(k + 1, -zipf);
	return sum;
}

static uint32_t
zipf_key(const double *sum, uint32_t keys)
{
	double drawn = (double) (random_bits() >> 11) * 0x1p-53 * sum[keys - 1];
	uint32_t low = 0;
	uint32_t high = keys - 1;

	while (low < high)
	{
		uint32_t middle = (low + high) / 2;

		if (sum[middle] <= drawn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void
stream_make(Arrival *arrival, uint32_t count, uint32_t keys, double zipf)
{
	double *sum = zipf > 0 ? zipf_sums(keys, zipf) : NULL;

	for (uint32_t i = 0; i < count; i++)
	{
		int64_t now = ((int64_t) i + 1) * TICKS;
		bool late = random_below(10) == 0;

		arrival[i].time = late ? (int64_t) random_below((uint64_t) now) : now;
		arrival[i].key = sum != NULL ? zipf_key(sum, keys) : (uint32_t) random_below(keys);
		arrival[i].value = (int32_t) random_value();
	}
	free(sum);
}

uint32_t
stream_of_key(const Arrival *arrival, uint32_t count, uint32_t key, Event *event)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		if (arrival[i].key == key)
			event[found++] = arrival_event(&arrival[i], i);
	}
	return found;
}

/* ---- the truth --------------------------------------------------------------- */

/* By (time, id): the order of the engine, for events of one kind. */
static int
compare_events(const void *left, const void *right)
{
	const Event *a = left;
	const Event *b = right;

	if (a->time != b->time)
		return a->time < b->time ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

void
events_sort(Event *event, uint32_t count)
{
	qsort(event, count, sizeof(Event), compare_events);
}

static int
compare_instants(const void *left, const void *right)
{
	int64_t a = *(const int64_t *) left;
	int64_t b = *(const int64_t *) right;

	return (a > b) - (a < b);
}

static void
state_apply(const Truth *truth, const Event *event, State *state)
{
	for (uint32_t c = 0; c < truth->columns; c++)
	{
		int64_t value = event->value + c;

		if (truth->rule != RULE_LAST)
			value += state->value[c];
		if (truth->rule == RULE_CLAMP && value < LOWER)
			value = LOWER;
		if (truth->rule == RULE_CLAMP && value > UPPER)
			value = UPPER;
		state->value[c] = value;
	}
	state->id = event->id;
	state->present = true;
}

static void
state_print(const char *who, uint32_t columns, const State *state)
{
	fprintf(stderr, "\t%s: %s", who, state->present ? "" : "absent\n");
	if (!state->present)
		return;
	for (uint32_t c = 0; c < columns; c++)
		fprintf(stderr, "%lld, ", (long long) state->value[c]);
	fprintf(stderr, "id %lld\n", (long long) state->id);
}

static void
state_compare(const Truth *truth, const char *side, int64_t time, const State *is,
			  const State *want)
{
	bool same = is->present == want->present && is->id == want->id;

	for (uint32_t c = 0; c < truth->columns; c++)
		same = same && is->value[c] == want->value[c];
	if (same)
		return;
	fprintf(stderr, "%s: %s is wrong at %lld of %u + %u events\n", truth->name, side,
			(long long) time, truth->nordered, truth->nothers);
	state_print("it says", truth->columns, is);
	state_print("the truth", truth->columns, want);
	exit(1);
}

/* Instants of the events, beside them, before and after all. */
static void
sample_instants(const Truth *truth, const Event *others, int64_t *instant)
{
	uint64_t total = (uint64_t) truth->nordered + truth->nothers;

	instant[0] = INT64_MIN;
	instant[1] = INT64_MAX;
	for (uint32_t i = 2; i < SAMPLE; i++)
	{
		uint64_t n = random_below(total);
		const Event *event =
			n < truth->nordered ? &truth->ordered[n] : &others[n - truth->nordered];

		instant[i] = event->time + (int64_t) random_below(3) - 1;
	}
	qsort(instant, SAMPLE, sizeof(int64_t), compare_instants);
}

void
truth_check(const Truth *truth, const char *side, Reader reader, const void *subject)
{
	static int64_t instant[SAMPLE];
	Event *others = malloc((truth->nothers + 1) * sizeof(Event));
	State want = {0};
	uint32_t i = 0;
	uint32_t j = 0;

	if (truth->nothers > 0)
		memcpy(others, truth->others, truth->nothers * sizeof(Event));
	events_sort(others, truth->nothers);
	sample_instants(truth, others, instant);
	for (uint32_t s = 0; s < SAMPLE; s++)
	{
		State is = {0};

		for (;;)
		{
			const Event *a = i < truth->nordered ? &truth->ordered[i] : NULL;
			const Event *b = j < truth->nothers ? &others[j] : NULL;
			const Event *first = b == NULL || (a != NULL && compare_events(a, b) < 0) ? a : b;

			if (first == NULL || first->time > instant[s])
				break;
			state_apply(truth, first, &want);
			i += first == a;
			j += first == b;
		}
		reader(subject, instant[s], &is);
		state_compare(truth, side, instant[s], &is, &want);
	}
	free(others);
}
