/* contime--0.1.0--0.2.0.sql: the schema becomes the extension's own */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION contime UPDATE TO '0.2.0'" to load this file. \quit

-- Version 0.1.0 took a schema that was there: whoever owned it may have put into
-- it what calls of contime's functions find first. Nothing in it is looked up here.
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

    -- Whatever is in a schema depends on it, but for types that belong to a table or to another type.
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

    -- An extension cannot own the schema that it is in. It has no relocatable objects,
    -- so that this only says where pg_dump is to create it, as the control file does.
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
'the instant of the latest event of any key, also one in the future; NULL when there is none that is retained; reads every key; needs SELECT';

CREATE FUNCTION contime.latest("table" anyelement, key anycompatible)
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'contime_latest'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION contime.latest(anyelement, anycompatible) IS
'the instant of one key''s latest event, also one in the future; NULL when there is none that is retained; needs SELECT';

CREATE FUNCTION contime.latest_tick("table" anyelement)
RETURNS bigint
AS 'MODULE_PATHNAME', 'contime_latest_tick'
LANGUAGE C STABLE PARALLEL RESTRICTED SUPPORT contime.at_support;
COMMENT ON FUNCTION contime.latest_tick(anyelement) IS
'the tick of the latest event of any key; NULL when there is none that is retained; reads every key; needs SELECT';

CREATE FUNCTION contime.latest_tick("table" anyelement, key anycompatible)
RETURNS bigint
AS 'MODULE_PATHNAME', 'contime_latest_tick'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION contime.latest_tick(anyelement, anycompatible) IS
'the tick of one key''s latest event; NULL when there is none that is retained; needs SELECT';

-- ---- durable tables -----------------------------------------------------------------

-- (Rows of tables that were dropped while the server ran without contime are left out.)
SELECT pg_catalog.pg_extension_config_dump('contime.source',
    'WHERE EXISTS (SELECT FROM pg_catalog.pg_foreign_table WHERE ftrelid OPERATOR(pg_catalog.=) state)');
COMMENT ON TABLE contime.source IS
'event tables of durable tables beside their option events: the rows of events are events, snapshots or finishes of state, and columns says for each column what it is of such a row; written by contime.add_source and contime.drop_source; readable by everybody, as the options of tables and columns are in the catalogs, which pg_dump relies on';

COMMENT ON FUNCTION contime.verify(regclass) IS
'reads all events of a durable table, once from where reads are answered (memory, event tables) and once from its event tables: how many there are, and whether they are the same. Where they are not, what is in memory is given up. Warnings show the first ten rows that cannot be events, with key and time, and how many more there are. Needs SELECT on the continuous table';

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
'counters of the continuous tables of this database that hold data, of those that the caller may read: SELECT on the table or a column of it, or membership in pg_read_all_stats';

CREATE VIEW contime.tables AS SELECT * FROM contime.table_stats();
COMMENT ON VIEW contime.tables IS
'the continuous tables of this database that hold data, of those that the caller may read (members of pg_read_all_stats: all): keys, events by their stage (recent: visible but not yet entered), duplicates and conflicts dropped, late ones; by the option retain: those too late and ignored, those folded into what a key begins with, and the earliest instant or tick that can be answered (NULL: all can); bytes of memory, and since when the table remembers; cache: of a durable table, what its events in memory are: wanted, loading, ready (reads are answered from there), partial (those of keys that are there), broken or refused (its event tables are read; the log says why); bad_rows: rows that cannot be events, such as NaN for a sum, met while the cache was loaded and in what was written since (the log shows the first ten); while the cache is loaded: the rows read so far, of about how many, and how many a second since the load began';
GRANT SELECT ON contime.tables TO PUBLIC;
COMMENT ON FUNCTION contime.worker_stats() IS
'the partition workers: process, events entered and dropped since the start, memory taken by the partition; no rows unless the caller is a member of pg_read_all_stats';
COMMENT ON VIEW contime.workers IS
'the background workers that own the partitions, for members of pg_read_all_stats';
