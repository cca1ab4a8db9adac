/* contime--0.1.0--0.2.0.sql: the schema becomes the extension's own */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION contime UPDATE TO '0.2.0'" to load this file. \quit

-- Version 0.1.0 could be installed into an existing schema, whose owner may have put
-- objects there that shadow contime's. This script looks up no name in that schema.
SET LOCAL search_path TO pg_catalog, pg_temp;

DO $check$
DECLARE
    extension pg_catalog.pg_extension;
    owner pg_catalog.pg_roles;
    objects text;
BEGIN
    SELECT * INTO STRICT extension FROM pg_catalog.pg_extension WHERE extname = 'contime';
    IF extension.extnamespace IS DISTINCT FROM pg_catalog.to_regnamespace('contime')::oid THEN
        RAISE EXCEPTION 'extension contime is not in the schema contime'
        USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Drop the extension and create it again.';
    END IF;

    SELECT r.* INTO STRICT owner
    FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner WHERE n.oid = extension.extnamespace;
    IF owner.oid <> extension.extowner AND NOT owner.rolsuper THEN
        RAISE EXCEPTION 'schema contime belongs to role %, who does not own extension contime', pg_catalog.quote_ident(owner.rolname)
        USING ERRCODE = 'insufficient_privilege',
            DETAIL = 'This role may replace functions that other roles call.',
            HINT = pg_catalog.format('Look for objects in it that are not contime''s, and run ALTER SCHEMA contime OWNER TO %I.',
                pg_catalog.pg_get_userbyid(extension.extowner));
    END IF;

    -- Every object in a schema depends on it, except types that belong to a table or to another type.
    SELECT pg_catalog.string_agg(d.object, ', ' ORDER BY d.object) INTO objects
    FROM (SELECT DISTINCT classid, objid, pg_catalog.pg_describe_object(classid, objid, 0) COLLATE "C" AS object FROM pg_catalog.pg_depend
        WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND refobjid = extension.extnamespace) d
    WHERE (d.classid <> 'pg_catalog.pg_extension'::pg_catalog.regclass OR d.objid <> extension.oid)
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid
            AND e.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND e.refobjid = extension.oid AND e.deptype = 'e');
    IF objects IS NOT NULL THEN
        RAISE EXCEPTION 'schema contime contains objects that are not members of extension contime'
        USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = pg_catalog.format('They are: %s.', objects),
            HINT = 'Move them to another schema, or drop them.';
    END IF;

    SELECT pg_catalog.string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END, ', ')
    INTO objects
    FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) a
    WHERE n.oid = extension.extnamespace AND a.privilege_type = 'CREATE' AND a.grantee NOT IN (n.nspowner, extension.extowner)
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = a.grantee AND r.rolsuper);
    IF objects IS NOT NULL THEN
        RAISE EXCEPTION 'roles other than the owner may create objects in schema contime'
        USING ERRCODE = 'insufficient_privilege',
            DETAIL = pg_catalog.format('They are: %s.', objects),
            HINT = pg_catalog.format('Run REVOKE CREATE ON SCHEMA contime FROM %s.', objects);
    END IF;

    -- An extension cannot contain the schema that it is installed in. It has no relocatable
    -- objects, so its schema only tells pg_dump where to create it, as the control file does.
    UPDATE pg_catalog.pg_extension SET extnamespace = 'pg_catalog'::pg_catalog.regnamespace WHERE oid = extension.oid;
    DELETE FROM pg_catalog.pg_depend
    WHERE classid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND objid = extension.oid
        AND refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND refobjid = extension.extnamespace;
END
$check$;

ALTER EXTENSION contime ADD SCHEMA contime;
COMMENT ON SCHEMA contime IS
'functions and views of contime: tables with a row for every instant';

-- ---- privileges -------------------------------------------------------------------

REVOKE ALL ON FUNCTION contime.fdw_handler() FROM PUBLIC;
REVOKE ALL ON FUNCTION contime.fdw_validator(text[], oid) FROM PUBLIC;
REVOKE ALL ON FUNCTION contime.at_support(internal) FROM PUBLIC;
REVOKE ALL ON FUNCTION contime.range_support(internal) FROM PUBLIC;
REVOKE ALL ON FUNCTION contime.series_support(internal) FROM PUBLIC;
REVOKE ALL ON FUNCTION contime.source_changed() FROM PUBLIC;

-- ---- reading ----------------------------------------------------------------------

CREATE FUNCTION contime.latest("table" anyelement)
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'contime_latest'
LANGUAGE C STABLE PARALLEL RESTRICTED SUPPORT contime.at_support;
COMMENT ON FUNCTION contime.latest(anyelement) IS
'the instant of the latest event of all keys, which may be in the future; NULL if no event is retained; reads every key; needs SELECT';

CREATE FUNCTION contime.latest("table" anyelement, key anycompatible)
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'contime_latest'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION contime.latest(anyelement, anycompatible) IS
'the instant of one key''s latest event, which may be in the future; NULL if no event is retained; needs SELECT';

CREATE FUNCTION contime.latest_tick("table" anyelement)
RETURNS bigint
AS 'MODULE_PATHNAME', 'contime_latest_tick'
LANGUAGE C STABLE PARALLEL RESTRICTED SUPPORT contime.at_support;
COMMENT ON FUNCTION contime.latest_tick(anyelement) IS
'the tick of the latest event of all keys; NULL if no event is retained; reads every key; needs SELECT';

CREATE FUNCTION contime.latest_tick("table" anyelement, key anycompatible)
RETURNS bigint
AS 'MODULE_PATHNAME', 'contime_latest_tick'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION contime.latest_tick(anyelement, anycompatible) IS
'the tick of one key''s latest event; NULL if no event is retained; needs SELECT';

-- ---- durable tables -----------------------------------------------------------------

-- pg_dump leaves out rows of tables that were dropped while the server ran without contime.
SELECT pg_catalog.pg_extension_config_dump('contime.source',
    'WHERE EXISTS (SELECT FROM pg_catalog.pg_foreign_table WHERE ftrelid OPERATOR(pg_catalog.=) state)');
COMMENT ON TABLE contime.source IS
'event tables that contime.add_source added to durable tables: a row of events is an event, a snapshot or a finish of state, and columns maps columns of state to expressions over that row; written by contime.add_source and contime.drop_source only; readable by everybody, because pg_dump needs it, like the options of tables and columns';

CREATE FUNCTION contime.repair(state regclass)
RETURNS boolean
AS 'MODULE_PATHNAME', 'contime_repair'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION contime.repair(regclass) IS
'binds a durable table to its event tables again: a server upgrade by pg_upgrade leaves its dependencies and capture triggers behind. Background processes do that by themselves. False when nothing was missing, as of a table in memory. Needs to own the table; its owner needs SELECT and TRIGGER on the event tables';

-- ---- watching -----------------------------------------------------------------------

-- (They have more columns.)
DROP VIEW contime.tables;
DROP FUNCTION contime.table_stats();
CREATE FUNCTION contime.table_stats(
    OUT "table" regclass, OUT keys bigint, OUT recent bigint, OUT young bigint,
    OUT frozen bigint, OUT duplicates bigint, OUT conflicts bigint, OUT late bigint,
    OUT too_late bigint, OUT folded bigint, OUT bytes bigint, OUT since timestamptz,
    OUT retained_since timestamptz, OUT retained_tick bigint, OUT cache text, OUT bad_rows bigint,
    OUT rows_loaded bigint, OUT rows_to_load bigint, OUT rows_per_second bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'contime_table_stats'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION contime.table_stats() IS
'counters of the continuous tables of this database that hold data and that the caller may read: by SELECT on the table or one of its columns, or as a member of pg_read_all_stats';

CREATE VIEW contime.tables AS SELECT * FROM contime.table_stats();
COMMENT ON VIEW contime.tables IS
'counters of the continuous tables of this database that hold data and that the caller may read (members of pg_read_all_stats: all). keys; recent, young, frozen: events that are visible but not processed yet, that are processed but not yet visible to every snapshot, that are visible to every snapshot; duplicates, conflicts: copies of events that were dropped, with the same or other content; late: events processed after a newer one of their key; too_late, folded: with the option retain, events ignored because they are older, and events that became part of the key''s first state; bytes: memory used; since: when the table''s contents in memory begin; retained_since, retained_tick: the earliest instant or tick that can be read (NULL: all can); cache: state of a durable table''s events in memory: wanted, loading, ready (reads are answered from memory), partial (reads of the loaded keys are), broken or refused (the event tables are read; the server log says why); bad_rows: rows that cannot be events, such as NaN for a sum, met while the cache was loaded and in later writes (the log shows the first ten); rows_loaded, rows_to_load, rows_per_second: while the cache is loaded, the rows read so far, the estimate of all, and the rate';
GRANT SELECT ON contime.tables TO PUBLIC;
COMMENT ON FUNCTION contime.worker_stats() IS
'the partition workers: process id, events entered into timelines and dropped (rolled back) since the server started, memory used by the partition; no rows unless the caller is a member of pg_read_all_stats';
COMMENT ON VIEW contime.workers IS
'the background workers that own the partitions; rows for members of pg_read_all_stats only';

-- ---- other comments that changed -----------------------------------------------

COMMENT ON SERVER contime IS
'server of continuous tables; a role with USAGE on it may create them';
COMMENT ON FUNCTION contime.event(anyelement, name[]) IS
'write an event, as INSERT does: state is a row of a continuous table, in which NULL means unchanged; the columns named in set_null become NULL; needs INSERT';
COMMENT ON FUNCTION contime.snapshot(anyelement, name[]) IS
'write an authoritative state: from its instant on the key''s row has exactly these values, NULLs included, in all columns or in the named ones; needs UPDATE';
COMMENT ON FUNCTION contime.finish(anyelement) IS
'end the life of a key: it has no row from this instant on, until a later event; needs DELETE';
COMMENT ON FUNCTION contime.at_support(internal) IS
'planner support for contime.at, contime.since and contime.latest: estimates rows and costs from the number of keys';
COMMENT ON FUNCTION contime.range_support(internal) IS
'planner support for contime.history and contime.events: estimates rows and costs from the number of events';
COMMENT ON FUNCTION contime.series_support(internal) IS
'planner support for contime.series: estimates rows and costs from the number of instants';
COMMENT ON FUNCTION contime.history(anyelement, timestamptz, timestamptz) IS
'every key''s states in [from, to), as contime.history with a key returns them; the rows of a key are together, keys are in no particular order; needs SELECT';
COMMENT ON FUNCTION contime.history_tick(anyelement, bigint, bigint) IS
'every key''s states in the ticks [from, to); the rows of a key are together; needs SELECT';
COMMENT ON FUNCTION contime.series(anyelement, anycompatible, timestamptz, timestamptz, interval) IS
'one key''s row at each instant of generate_series("from", "to", step), in that order; instants at which the key has no row are left out; needs SELECT';
COMMENT ON FUNCTION contime.series_tick(anyelement, anycompatible, bigint, bigint, bigint) IS
'one key''s row at each tick of generate_series("from", "to", step), in that order; ticks at which the key has no row are left out; needs SELECT';
COMMENT ON FUNCTION contime.since(anyelement, anycompatible, timestamptz) IS
'the instant of the last change of one key''s row at or before the given instant, NULL if the key has no row then; for a column that changes between events: of the last event that changed its course; needs SELECT';
COMMENT ON FUNCTION contime.since_tick(anyelement, anycompatible, bigint) IS
'the tick of the last change of one key''s row at or before the given tick, NULL if the key has no row then; for a column that changes between events: of the last event that changed its course; needs SELECT';
COMMENT ON FUNCTION contime.events(anyelement, anycompatible, timestamptz, timestamptz) IS
'one key''s events in [from, to) (NULL and infinity as in contime.history), in the order in which they are applied. kind: event, snapshot or finish; event: the values that it sets; columns: the columns that it sets, also those set to NULL; late: true if a newer event of the key was processed first (for an event not processed yet: if one has been processed by now; NULL for a durable table, where it is not known); needs SELECT';
COMMENT ON FUNCTION contime.events_tick(anyelement, anycompatible, bigint, bigint) IS
'one key''s events in the ticks [from, to) (NULL as in contime.history_tick), in the order in which they are applied; see contime.events; needs SELECT';
COMMENT ON FUNCTION contime.reconciliations(anyelement, bigint) IS
'the changes of the past that were noticed after the notice numbered since (0 or NULL: all that are kept), in order. key: a row with the key columns; during: the instants at which the key''s states may have changed; events: how many events caused it, 0 if a reader with an old snapshot has read what was changing; reset: notices were lost, so that all keys and instants may have changed; needs SELECT';
COMMENT ON FUNCTION contime.reconciliations_tick(anyelement, bigint) IS
'the changes of the past of a table with a logical clock that were noticed after the notice numbered since; see contime.reconciliations; needs SELECT';
COMMENT ON FUNCTION contime.source_changed() IS
'record the dependencies of a durable table on its event tables after a dump was restored';
COMMENT ON FUNCTION contime.capture() IS
'copy written rows of event tables to the memory of durable tables; called by internal triggers only';
COMMENT ON FUNCTION contime.add_source(regclass, regclass, jsonb, text) IS
'make the rows of an ordinary table events (or snapshots, or finishes) of a continuous table: columns maps columns of the continuous table to expressions over such a row, and to null if the rows do not set them; a column without an entry gets the column of the same name, if there is one. Needs ownership of the continuous table, and SELECT and TRIGGER on the event table';
COMMENT ON FUNCTION contime.drop_source(regclass, regclass) IS
'remove the sources that contime.add_source added for these two tables; without any source the continuous table holds its events in memory only';
COMMENT ON FUNCTION contime.verify(regclass) IS
'compare a durable table''s events in memory with its event tables. answered_from: where reads are answered (memory or event tables); events: the number of events compared; equal: false if they differ; the contents of memory are then discarded. Warnings show the first ten rows that cannot be events, with key and time, and how many more there are. Needs SELECT on the continuous table';
COMMENT ON FUNCTION contime.history(anyelement, anycompatible, timestamptz, timestamptz, name[], boolean) IS
'one key''s states in [from, to), one row for each change: during is the range in which the state held, cut to [from, to); the time column of state is the start of that range. from: NULL and -infinity mean the earliest instant that the table retains; to: NULL and infinity mean without an end. columns: only these columns are shown and compared (NULL: all; key and time are always shown); newest_first: from the latest to the earliest; needs SELECT, with columns on these only';
