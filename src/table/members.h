/*
 * members.h
 *	  The extension's own objects, found by membership: what members.c gives.
 */
#ifndef CONTIME_MEMBERS_H
#define CONTIME_MEMBERS_H

#include "postgres.h"

/* The objects of the extension that contime's code has to recognise. */
typedef enum ContimeMember
{
	CONTIME_MEMBER_WRAPPER,		/* the foreign data wrapper */
	CONTIME_MEMBER_SOURCES,		/* table contime.source */
	CONTIME_MEMBER_CAPTURE,		/* trigger function contime.capture() */
	CONTIME_MEMBERS
} ContimeMember;

/*
 * The OID of a member of the extension in this database.  InvalidOid: the
 * extension is not there, or it is being created or dropped.
 */
extern Oid	contime_member(ContimeMember member);

/* Likewise, but ERROR 55000 in place of InvalidOid. */
extern Oid	contime_require_member(ContimeMember member);

#endif							/* CONTIME_MEMBERS_H */
