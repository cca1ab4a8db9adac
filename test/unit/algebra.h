/*
 * algebra.h
 *	  Runs of events and their compositions, for tests of the rules by brute force.
 */
#ifndef ALGEBRA_H
#define ALGEBRA_H

#include "oracle.h"
#include "engine/rule.h"

#define MADE_ATTRS 20

/* An event as the engine sees it, whose values are all of 64 bits. */
typedef struct Made
{
	CtLayout layout;
	uint8_t record[MADE_ATTRS * sizeof(int64_t)];
	CtItem item;
} Made;

/* value has one for each attribute; those that are not set, or NULL, do not count. */
void made_of(const CtSchema *schema, const CtChange *change, int64_t time, const int64_t *value, Made *made);

/* The composition of a run in one attribute, associated at random. */
void made_compose(const CtReadContext *context, OracleSource *source, const Made *event, uint32_t count, int attr,
				  CtCell *cell);

CtWide wide_of(__int128 number);

#endif /* ALGEBRA_H */
