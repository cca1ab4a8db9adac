/* contime--0.2.0.sql: the SQL interface */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION contime" to load this file. \quit

-- The extension creates and owns the schema. An existing schema of this name is an
-- error (42P06): its owner could put objects there that shadow the extension's.
CREATE SCHEMA contime;
COMMENT ON SCHEMA contime IS
'functions and views of contime: tables with a row for every instant';
GRANT USAGE ON SCHEMA contime TO PUBLIC;

-- ---- versions ----------------------------------------------------------------

CREATE FUNCTION contime.version()
RETURNS text
AS 'MODULE_PATHNAME', 'contime_version'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION contime.version() IS
'version of the library that the server has loaded; that of the SQL objects is in pg_extension';

-- Fails if the server has loaded a library that is older than this script.
CREATE FUNCTION contime.check_library(version text)
RETURNS void
AS 'MODULE_PATHNAME', 'contime_check_library'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION contime.check_library(text) FROM PUBLIC;
COMMENT ON FUNCTION contime.check_library(text) IS
'error 55000 if the loaded library is older than this version; called by installation and update scripts';
SELECT contime.check_library('0.2.0');

-- ---- the foreign data wrapper and its server ---------------------------------

CREATE FUNCTION contime.fdw_handler()
RETURNS fdw_handler
AS 'MODULE_PATHNAME', 'contime_fdw_handler'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION contime.fdw_handler() FROM PUBLIC;
COMMENT ON FUNCTION contime.fdw_handler() IS
'handler of the contime foreign data wrapper';

CREATE FUNCTION contime.fdw_validator(options text[], catalog oid)
RETURNS void
AS 'MODULE_PATHNAME', 'contime_fdw_validator'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION contime.fdw_validator(text[], oid) FROM PUBLIC;
COMMENT ON FUNCTION contime.fdw_validator(text[], oid) IS
'checks the options of continuous tables and their columns';

CREATE FOREIGN DATA WRAPPER contime_fdw
    HANDLER contime.fdw_handler
    VALIDATOR contime.fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER contime_fdw IS
'continuous tables: a row for every instant';

CREATE SERVER contime FOREIGN DATA WRAPPER contime_fdw;
COMMENT ON SERVER contime IS
'server of continuous tables; a role with USAGE on it may create them';

-- ---- writing --------------------------------------------------------------------

CREATE FUNCTION contime.event(state anyelement, set_null name[] DEFAULT '{}')
RETURNS void
AS 'MODULE_PATHNAME', 'contime_event'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION contime.event(anyelement, name[]) IS
'write an event, as INSERT does: state is a row of a continuous table, in which NULL means unchanged; the columns named in set_null become NULL; needs INSERT';

CREATE FUNCTION contime.snapshot(state anyelement, columns name[] DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'contime_snapshot'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION contime.snapshot(anyelement, name[]) IS
'write an authoritative state: from its instant on the key''s row has exactly these values, NULLs included, in all columns or in the named ones; needs UPDATE';

CREATE FUNCTION contime.finish(state anyelement)
RETURNS void
AS 'MODULE_PATHNAME', 'contime_finish'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION contime.finish(anyelement) IS
'end the life of a key: it has no row from this instant on, until a later event; needs DELETE';

-- ---- reading ----------------------------------------------------------------------

CREATE FUNCTION contime.at_support(internal)
RETURNS internal
AS 'MODULE_PATHNAME', 'contime_at_support'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION contime.at_support(internal) FROM PUBLIC;
COMMENT ON FUNCTION contime.at_support(internal) IS
'planner support for contime.at, contime.since and contime.latest: estimates rows and costs from the number of keys';

CREATE FUNCTION contime.range_support(internal)
RETURNS internal
AS 'MODULE_PATHNAME', 'contime_range_support'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION contime.range_support(internal) FROM PUBLIC;
COMMENT ON FUNCTION contime.range_support(internal) IS
'planner support for contime.history and contime.events: estimates rows and costs from the number of events';

CREATE FUNCTION contime.series_support(internal)
RETURNS internal
AS 'MODULE_PATHNAME', 'contime_series_support'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION contime.series_support(internal) FROM PUBLIC;
COMMENT ON FUNCTION contime.series_support(internal) IS
'planner support for contime.series: estimates rows and costs from the number of instants';

CREATE FUNCTION contime.at("table" anyelement, instant timestamptz)
RETURNS SETOF anyelement
AS 'MODULE_PATHNAME', 'contime_at'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1000 SUPPORT contime.at_support;
COMMENT ON FUNCTION contime.at(anyelement, timestamptz) IS
'every key''s row at an instant; the first argument is NULL::table; needs SELECT';

CREATE FUNCTION contime.at("table" anyelement, instant timestamptz, key anycompatible)
RETURNS SETOF anyelement
AS 'MODULE_PATHNAME', 'contime_at'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1 SUPPORT contime.at_support;
COMMENT ON FUNCTION contime.at(anyelement, timestamptz, anycompatible) IS
'one key''s row at an instant, of a table with a single key column; needs SELECT';

CREATE FUNCTION contime.at_tick("table" anyelement, tick bigint)
RETURNS SETOF anyelement
AS 'MODULE_PATHNAME', 'contime_at'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1000 SUPPORT contime.at_support;
COMMENT ON FUNCTION contime.at_tick(anyelement, bigint) IS
'every key''s row at a tick of a logical clock; needs SELECT';

CREATE FUNCTION contime.at_tick("table" anyelement, tick bigint, key anycompatible)
RETURNS SETOF anyelement
AS 'MODULE_PATHNAME', 'contime_at'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1 SUPPORT contime.at_support;
COMMENT ON FUNCTION contime.at_tick(anyelement, bigint, anycompatible) IS
'one key''s row at a tick of a logical clock; needs SELECT';

CREATE FUNCTION contime.history("table" anyelement, key anycompatible, "from" timestamptz, "to" timestamptz,
    columns name[] DEFAULT NULL, newest_first boolean DEFAULT false)
RETURNS TABLE (during tstzrange, state anyelement)
AS 'MODULE_PATHNAME', 'contime_history'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100 SUPPORT contime.range_support;
COMMENT ON FUNCTION contime.history(anyelement, anycompatible, timestamptz, timestamptz, name[], boolean) IS
'one key''s states in [from, to), one row for each change: during is the range in which the state held, cut to [from, to); the time column of state is the start of that range. from: NULL and -infinity mean the earliest instant that the table retains; to: NULL and infinity mean without an end. columns: only these columns are shown and compared (NULL: all; key and time are always shown); newest_first: from the latest to the earliest; needs SELECT, with columns on these only';

CREATE FUNCTION contime.history_tick("table" anyelement, key anycompatible, "from" bigint, "to" bigint,
    columns name[] DEFAULT NULL, newest_first boolean DEFAULT false)
RETURNS TABLE (during int8range, state anyelement)
AS 'MODULE_PATHNAME', 'contime_history'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100 SUPPORT contime.range_support;
COMMENT ON FUNCTION contime.history_tick(anyelement, anycompatible, bigint, bigint, name[], boolean) IS
'one key''s states in the ticks [from, to), one row for each change; NULL as from: since what the table retains, NULL as to: without an end; see contime.history; needs SELECT';

CREATE FUNCTION contime.history("table" anyelement, "from" timestamptz, "to" timestamptz)
RETURNS TABLE (during tstzrange, state anyelement)
AS 'MODULE_PATHNAME', 'contime_history'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1000 SUPPORT contime.range_support;
COMMENT ON FUNCTION contime.history(anyelement, timestamptz, timestamptz) IS
'every key''s states in [from, to), as contime.history with a key returns them; the rows of a key are together, keys are in no particular order; needs SELECT';

CREATE FUNCTION contime.history_tick("table" anyelement, "from" bigint, "to" bigint)
RETURNS TABLE (during int8range, state anyelement)
AS 'MODULE_PATHNAME', 'contime_history'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1000 SUPPORT contime.range_support;
COMMENT ON FUNCTION contime.history_tick(anyelement, bigint, bigint) IS
'every key''s states in the ticks [from, to); the rows of a key are together; needs SELECT';

CREATE FUNCTION contime.series("table" anyelement, key anycompatible, "from" timestamptz, "to" timestamptz, step interval)
RETURNS SETOF anyelement
AS 'MODULE_PATHNAME', 'contime_series'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1000 SUPPORT contime.series_support;
COMMENT ON FUNCTION contime.series(anyelement, anycompatible, timestamptz, timestamptz, interval) IS
'one key''s row at each instant of generate_series("from", "to", step), in that order; instants at which the key has no row are left out; needs SELECT';

CREATE FUNCTION contime.series_tick("table" anyelement, key anycompatible, "from" bigint, "to" bigint, step bigint)
RETURNS SETOF anyelement
AS 'MODULE_PATHNAME', 'contime_series'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1000 SUPPORT contime.series_support;
COMMENT ON FUNCTION contime.series_tick(anyelement, anycompatible, bigint, bigint, bigint) IS
'one key''s row at each tick of generate_series("from", "to", step), in that order; ticks at which the key has no row are left out; needs SELECT';

CREATE FUNCTION contime.since("table" anyelement, key anycompatible, instant timestamptz)
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'contime_since'
LANGUAGE C STABLE PARALLEL RESTRICTED SUPPORT contime.at_support;
COMMENT ON FUNCTION contime.since(anyelement, anycompatible, timestamptz) IS
'the instant of the last change of one key''s row at or before the given instant, NULL if the key has no row then; for a column that changes between events: of the last event that changed its course; needs SELECT';

CREATE FUNCTION contime.since_tick("table" anyelement, key anycompatible, tick bigint)
RETURNS bigint
AS 'MODULE_PATHNAME', 'contime_since'
LANGUAGE C STABLE PARALLEL RESTRICTED SUPPORT contime.at_support;
COMMENT ON FUNCTION contime.since_tick(anyelement, anycompatible, bigint) IS
'the tick of the last change of one key''s row at or before the given tick, NULL if the key has no row then; for a column that changes between events: of the last event that changed its course; needs SELECT';

CREATE FUNCTION contime.latest("table" anyelement)
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'contime_latest'
LANGUAGE C STABLE PARALLEL RESTRICTED SUPPORT contime.at_support;
COMMENT ON FUNCTION contime.latest(anyelement) IS
'the instant of the latest event of all keys, which may be in the future; NULL if no event is retained; needs SELECT';

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
'the tick of the latest event of all keys; NULL if no event is retained; needs SELECT';

CREATE FUNCTION contime.latest_tick("table" anyelement, key anycompatible)
RETURNS bigint
AS 'MODULE_PATHNAME', 'contime_latest_tick'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION contime.latest_tick(anyelement, anycompatible) IS
'the tick of one key''s latest event; NULL if no event is retained; needs SELECT';

CREATE FUNCTION contime.events("table" anyelement, key anycompatible, "from" timestamptz, "to" timestamptz)
RETURNS TABLE (kind text, event anyelement, columns name[], late boolean)
AS 'MODULE_PATHNAME', 'contime_events'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100 SUPPORT contime.range_support;
COMMENT ON FUNCTION contime.events(anyelement, anycompatible, timestamptz, timestamptz) IS
'one key''s events in [from, to) (NULL and infinity as in contime.history), in the order in which they are applied. kind: event, snapshot or finish; event: the values that it sets; columns: the columns that it sets, also those set to NULL; late: true if a newer event of the key was processed first (for an event not processed yet: if one has been processed by now; NULL for a durable table, where it is not known); needs SELECT';

CREATE FUNCTION contime.events_tick("table" anyelement, key anycompatible, "from" bigint, "to" bigint)
RETURNS TABLE (kind text, event anyelement, columns name[], late boolean)
AS 'MODULE_PATHNAME', 'contime_events'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100 SUPPORT contime.range_support;
COMMENT ON FUNCTION contime.events_tick(anyelement, anycompatible, bigint, bigint) IS
'one key''s events in the ticks [from, to) (NULL as in contime.history_tick), in the order in which they are applied; see contime.events; needs SELECT';

CREATE FUNCTION contime.reconciliations("table" anyelement, since bigint DEFAULT 0)
RETURNS TABLE (seq bigint, key anyelement, during tstzrange, events bigint, reset boolean)
AS 'MODULE_PATHNAME', 'contime_reconciliations'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION contime.reconciliations(anyelement, bigint) IS
'the changes of the past that were noticed after the notice numbered since (0 or NULL: all that are kept), in order. key: a row with the key columns; during: the instants at which the key''s states may have changed; events: how many events caused it, 0 if a reader with an old snapshot has read what was changing; reset: notices were lost, so that all keys and instants may have changed; needs SELECT';

CREATE FUNCTION contime.reconciliations_tick("table" anyelement, since bigint DEFAULT 0)
RETURNS TABLE (seq bigint, key anyelement, during int8range, events bigint, reset boolean)
AS 'MODULE_PATHNAME', 'contime_reconciliations'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION contime.reconciliations_tick(anyelement, bigint) IS
'the changes of the past of a table with a logical clock that were noticed after the notice numbered since; see contime.reconciliations; needs SELECT';

-- ---- durable tables ----------------------------------------------------------------

CREATE TABLE contime.source (
    state   regclass NOT NULL,
    events  regclass NOT NULL,
    kind    text     NOT NULL CHECK (kind IN ('event', 'snapshot', 'finish')),
    columns jsonb    NOT NULL CHECK (jsonb_typeof(columns) = 'object')
);
CREATE INDEX source_state ON contime.source (state);
COMMENT ON TABLE contime.source IS
'event tables that contime.add_source added to durable tables: a row of events is an event, a snapshot or a finish of state, and columns maps columns of state to expressions over that row; written by contime.add_source and contime.drop_source only; readable by everybody, because pg_dump needs it, like the options of tables and columns';
-- pg_dump leaves out rows of tables that were dropped while the server ran without contime.
SELECT pg_catalog.pg_extension_config_dump('contime.source',
    'WHERE EXISTS (SELECT FROM pg_catalog.pg_foreign_table WHERE ftrelid OPERATOR(pg_catalog.=) state)');

CREATE FUNCTION contime.source_changed()
RETURNS trigger
AS 'MODULE_PATHNAME', 'contime_source_changed'
LANGUAGE C VOLATILE;
REVOKE ALL ON FUNCTION contime.source_changed() FROM PUBLIC;
COMMENT ON FUNCTION contime.source_changed() IS
'record the dependencies of a durable table on its event tables after a dump was restored';

CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON contime.source
FOR EACH ROW EXECUTE FUNCTION contime.source_changed();

CREATE FUNCTION contime.capture()
RETURNS trigger
AS 'MODULE_PATHNAME', 'contime_capture'
LANGUAGE C VOLATILE;
REVOKE ALL ON FUNCTION contime.capture() FROM PUBLIC;
COMMENT ON FUNCTION contime.capture() IS
'copy written rows of event tables to the memory of durable tables; called by internal triggers only';

CREATE FUNCTION contime.add_source(state regclass, events regclass, columns jsonb DEFAULT '{}', kind text DEFAULT 'event')
RETURNS void
AS 'MODULE_PATHNAME', 'contime_add_source'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION contime.add_source(regclass, regclass, jsonb, text) IS
'make the rows of an ordinary table events (or snapshots, or finishes) of a continuous table: columns maps columns of the continuous table to expressions over such a row, and to null if the rows do not set them; a column without an entry gets the column of the same name, if there is one. Needs ownership of the continuous table, and SELECT and TRIGGER on the event table';

CREATE FUNCTION contime.drop_source(state regclass, events regclass)
RETURNS void
AS 'MODULE_PATHNAME', 'contime_drop_source'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION contime.drop_source(regclass, regclass) IS
'remove the sources that contime.add_source added for these two tables; without any source the continuous table holds its events in memory only';

CREATE FUNCTION contime.repair(state regclass)
RETURNS boolean
AS 'MODULE_PATHNAME', 'contime_repair'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION contime.repair(regclass) IS
'binds a durable table to its event tables again: a server upgrade by pg_upgrade leaves its dependencies and capture triggers behind. Background processes do that by themselves. False when nothing was missing, as of a table in memory. Needs to own the table; its owner needs SELECT and TRIGGER on the event tables';

CREATE FUNCTION contime.verify(state regclass, OUT answered_from text, OUT events bigint, OUT equal boolean)
AS 'MODULE_PATHNAME', 'contime_verify'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION contime.verify(regclass) IS
'compare a durable table''s events in memory with its event tables. answered_from: where reads are answered (memory or event tables); events: the number of events compared; equal: false if they differ; the contents of memory are then discarded. Warnings show the first ten rows that cannot be events, with key and time, and how many more there are. Needs SELECT on the continuous table';

-- ---- watching -----------------------------------------------------------------------

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

CREATE FUNCTION contime.worker_stats(
    OUT worker int, OUT pid int, OUT entered bigint, OUT dropped bigint,
    OUT memory_bytes bigint, OUT last_pass timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'contime_worker_stats'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 2;
COMMENT ON FUNCTION contime.worker_stats() IS
'the partition workers: process id, events entered into timelines and dropped (rolled back) since the server started, memory used by the partition; no rows unless the caller is a member of pg_read_all_stats';

CREATE VIEW contime.workers AS SELECT * FROM contime.worker_stats();
COMMENT ON VIEW contime.workers IS
'the background workers that own the partitions; rows for members of pg_read_all_stats only';

GRANT SELECT ON contime.tables, contime.workers, contime.source TO PUBLIC;
