/* contime--0.1.0.sql: the SQL interface */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION contime" to load this file. \quit

-- ---- the foreign data wrapper and its server ---------------------------------

CREATE FUNCTION contime.fdw_handler()
RETURNS fdw_handler
AS 'MODULE_PATHNAME', 'contime_fdw_handler'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION contime.fdw_handler() IS
'handler of the contime foreign data wrapper';

CREATE FUNCTION contime.fdw_validator(options text[], catalog oid)
RETURNS void
AS 'MODULE_PATHNAME', 'contime_fdw_validator'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION contime.fdw_validator(text[], oid) IS
'checks the options of continuous tables and their columns';

CREATE FOREIGN DATA WRAPPER contime_fdw
    HANDLER contime.fdw_handler
    VALIDATOR contime.fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER contime_fdw IS
'continuous tables: a row for every instant';

CREATE SERVER contime FOREIGN DATA WRAPPER contime_fdw;
COMMENT ON SERVER contime IS
'the server of continuous tables; USAGE on it allows to create them';

-- ---- writing --------------------------------------------------------------------

CREATE FUNCTION contime.event(state anyelement, set_null name[] DEFAULT '{}')
RETURNS void
AS 'MODULE_PATHNAME', 'contime_event'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION contime.event(anyelement, name[]) IS
'records an event, as INSERT does: state is a row of a continuous table whose NULLs mean unchanged, set_null names the columns it makes NULL; needs INSERT';

CREATE FUNCTION contime.snapshot(state anyelement, columns name[] DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'contime_snapshot'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION contime.snapshot(anyelement, name[]) IS
'states authoritatively what a key''s row is at an instant, NULLs included: all of it, or the columns named; needs UPDATE';

CREATE FUNCTION contime.finish(state anyelement)
RETURNS void
AS 'MODULE_PATHNAME', 'contime_finish'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION contime.finish(anyelement) IS
'ends the life of a key at an instant: no row from then on, until a later event; needs DELETE';

-- ---- reading ----------------------------------------------------------------------

CREATE FUNCTION contime.at_support(internal)
RETURNS internal
AS 'MODULE_PATHNAME', 'contime_at_support'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION contime.at_support(internal) IS
'planner support for contime.at and contime.since: the keys there are';

CREATE FUNCTION contime.range_support(internal)
RETURNS internal
AS 'MODULE_PATHNAME', 'contime_range_support'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION contime.range_support(internal) IS
'planner support for contime.history and contime.events: the events there are';

CREATE FUNCTION contime.series_support(internal)
RETURNS internal
AS 'MODULE_PATHNAME', 'contime_series_support'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION contime.series_support(internal) IS
'planner support for contime.series: its instants, if they are known';

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
'one key''s states in [from, to), one row for each change, with the range during which each held, cut to [from, to); state shows the start of its range as its instant. NULL and -infinity as from: since what the table retains; NULL and infinity as to: without an end. columns: only these are shown, and only their changes count (NULL: all; key and time are shown always); newest_first: from the latest to the earliest; needs SELECT, of columns named of these';

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
'every key''s states in [from, to), as contime.history of that key gives them: one key after the other, in no particular order of keys; needs SELECT';

CREATE FUNCTION contime.history_tick("table" anyelement, "from" bigint, "to" bigint)
RETURNS TABLE (during int8range, state anyelement)
AS 'MODULE_PATHNAME', 'contime_history'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1000 SUPPORT contime.range_support;
COMMENT ON FUNCTION contime.history_tick(anyelement, bigint, bigint) IS
'every key''s states in the ticks [from, to), one key after the other; needs SELECT';

CREATE FUNCTION contime.series("table" anyelement, key anycompatible, "from" timestamptz, "to" timestamptz, step interval)
RETURNS SETOF anyelement
AS 'MODULE_PATHNAME', 'contime_series'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1000 SUPPORT contime.series_support;
COMMENT ON FUNCTION contime.series(anyelement, anycompatible, timestamptz, timestamptz, interval) IS
'one key''s row at each of the instants that generate_series("from", "to", step) gives, in that order, where there is one; needs SELECT';

CREATE FUNCTION contime.series_tick("table" anyelement, key anycompatible, "from" bigint, "to" bigint, step bigint)
RETURNS SETOF anyelement
AS 'MODULE_PATHNAME', 'contime_series'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1000 SUPPORT contime.series_support;
COMMENT ON FUNCTION contime.series_tick(anyelement, anycompatible, bigint, bigint, bigint) IS
'one key''s row at each of the ticks that generate_series("from", "to", step) gives, where there is one; needs SELECT';

CREATE FUNCTION contime.since("table" anyelement, key anycompatible, instant timestamptz)
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'contime_since'
LANGUAGE C STABLE PARALLEL RESTRICTED SUPPORT contime.at_support;
COMMENT ON FUNCTION contime.since(anyelement, anycompatible, timestamptz) IS
'the instant since which one key''s row is what it is at an instant, NULL when there is none; of a column that changes between events: when the last of them changed its course; needs SELECT';

CREATE FUNCTION contime.since_tick("table" anyelement, key anycompatible, tick bigint)
RETURNS bigint
AS 'MODULE_PATHNAME', 'contime_since'
LANGUAGE C STABLE PARALLEL RESTRICTED SUPPORT contime.at_support;
COMMENT ON FUNCTION contime.since_tick(anyelement, anycompatible, bigint) IS
'the tick since which one key''s row is what it is at a tick, NULL when there is none; of a column that changes between events: when the last of them changed its course; needs SELECT';

CREATE FUNCTION contime.events("table" anyelement, key anycompatible, "from" timestamptz, "to" timestamptz)
RETURNS TABLE (kind text, event anyelement, columns name[], late boolean)
AS 'MODULE_PATHNAME', 'contime_events'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100 SUPPORT contime.range_support;
COMMENT ON FUNCTION contime.events(anyelement, anycompatible, timestamptz, timestamptz) IS
'one key''s events at the instants [from, to) (NULL and infinite: as in contime.history), in the order in which they count: event, snapshot or finish; what it says; the columns it sets (one that is NULL there is made NULL); and whether it came late: a newer event of its key had entered before (of one that has not entered yet: has by now; NULL for a durable table, whose rows do not tell); needs SELECT';

CREATE FUNCTION contime.events_tick("table" anyelement, key anycompatible, "from" bigint, "to" bigint)
RETURNS TABLE (kind text, event anyelement, columns name[], late boolean)
AS 'MODULE_PATHNAME', 'contime_events'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100 SUPPORT contime.range_support;
COMMENT ON FUNCTION contime.events_tick(anyelement, anycompatible, bigint, bigint) IS
'one key''s events at the ticks [from, to) (NULL: as in contime.history_tick), in the order in which they count; needs SELECT';

CREATE FUNCTION contime.reconciliations("table" anyelement, since bigint DEFAULT 0)
RETURNS TABLE (seq bigint, key anyelement, during tstzrange, events bigint, reset boolean)
AS 'MODULE_PATHNAME', 'contime_reconciliations'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION contime.reconciliations(anyelement, bigint) IS
'what changed of the past after the notice numbered since (0 or NULL: from the beginning), in order: key is a row with the key columns, during the instants at which its states may have become others; events 0: somebody read with an old snapshot what was changing. reset: notices are lost, take all keys and instants for changed; needs SELECT';

CREATE FUNCTION contime.reconciliations_tick("table" anyelement, since bigint DEFAULT 0)
RETURNS TABLE (seq bigint, key anyelement, during int8range, events bigint, reset boolean)
AS 'MODULE_PATHNAME', 'contime_reconciliations'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION contime.reconciliations_tick(anyelement, bigint) IS
'what changed of the past of a table with a logical clock after the notice numbered since; see contime.reconciliations; needs SELECT';
-- ---- durable tables ----------------------------------------------------------------

CREATE TABLE contime.source (
    state   regclass NOT NULL,
    events  regclass NOT NULL,
    kind    text     NOT NULL CHECK (kind IN ('event', 'snapshot', 'finish')),
    columns jsonb    NOT NULL CHECK (jsonb_typeof(columns) = 'object')
);
COMMENT ON TABLE contime.source IS
'event tables of durable tables beside their option events: the rows of events are events, snapshots or finishes of state, and columns says for each column what it is of such a row; written by contime.add_source and contime.drop_source';
SELECT pg_catalog.pg_extension_config_dump('contime.source', '');

CREATE FUNCTION contime.source_changed()
RETURNS trigger
AS 'MODULE_PATHNAME', 'contime_source_changed'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION contime.source_changed() IS
'notes on which tables a durable table depends, after a dump was restored';

CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON contime.source
FOR EACH ROW EXECUTE FUNCTION contime.source_changed();

CREATE FUNCTION contime.capture()
RETURNS trigger
AS 'MODULE_PATHNAME', 'contime_capture'
LANGUAGE C VOLATILE;
REVOKE ALL ON FUNCTION contime.capture() FROM PUBLIC;
COMMENT ON FUNCTION contime.capture() IS
'takes rows of event tables into the memory of durable tables as they are written; its triggers are internal ones';

CREATE FUNCTION contime.add_source(state regclass, events regclass, columns jsonb DEFAULT '{}', kind text DEFAULT 'event')
RETURNS void
AS 'MODULE_PATHNAME', 'contime_add_source'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION contime.add_source(regclass, regclass, jsonb, text) IS
'makes the rows of an ordinary table events of a continuous table (or snapshots, or finishes): columns has an expression over such a row for each column of the continuous table, and null for one that it does not feed; without an entry it is the column of its name, if there is one. Needs to own the continuous table, and SELECT and TRIGGER on the other';

CREATE FUNCTION contime.drop_source(state regclass, events regclass)
RETURNS void
AS 'MODULE_PATHNAME', 'contime_drop_source'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION contime.drop_source(regclass, regclass) IS
'undoes what contime.add_source added of these two tables; a table without any source is in memory again';

CREATE FUNCTION contime.verify(state regclass, OUT answered_from text, OUT events bigint, OUT equal boolean)
AS 'MODULE_PATHNAME', 'contime_verify'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION contime.verify(regclass) IS
'reads all events of a durable table, once from where reads are answered (memory, event tables) and once from its event tables: how many there are, and whether they are the same. Where they are not, what is in memory is given up. Needs SELECT on the continuous table';

-- ---- watching -----------------------------------------------------------------------

CREATE FUNCTION contime.table_stats(
    OUT "table" regclass, OUT keys bigint, OUT recent bigint, OUT young bigint,
    OUT frozen bigint, OUT duplicates bigint, OUT conflicts bigint, OUT late bigint,
    OUT too_late bigint, OUT folded bigint, OUT bytes bigint, OUT since timestamptz,
    OUT retained_since timestamptz, OUT retained_tick bigint, OUT cache text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'contime_table_stats'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION contime.table_stats() IS
'counters of the continuous tables of this database that hold data';

CREATE VIEW contime.tables AS SELECT * FROM contime.table_stats();
COMMENT ON VIEW contime.tables IS
'the continuous tables of this database that hold data: keys, events by their stage (recent: visible but not yet entered), duplicates and conflicts dropped, late ones; by the option retain: those too late and ignored, those folded into what a key begins with, and the earliest instant or tick that can be answered (NULL: all can); bytes of memory, and since when the table remembers; cache: of a durable table, what its events in memory are: wanted, loading, ready (reads are answered from there), partial (those of keys that are there), broken or refused (its event tables are read; the log says why)';

CREATE FUNCTION contime.worker_stats(
    OUT worker int, OUT pid int, OUT entered bigint, OUT dropped bigint,
    OUT memory_bytes bigint, OUT last_pass timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'contime_worker_stats'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 2;
COMMENT ON FUNCTION contime.worker_stats() IS
'the partition workers: process, events entered and dropped since the start, memory taken by the partition';

CREATE VIEW contime.workers AS SELECT * FROM contime.worker_stats();
COMMENT ON VIEW contime.workers IS
'the background workers that own the partitions';

GRANT USAGE ON SCHEMA contime TO PUBLIC;
GRANT SELECT ON contime.tables, contime.workers, contime.source TO PUBLIC;
