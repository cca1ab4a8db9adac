-- Without shared_preload_libraries: a plain error and a hint, never a crash.
-- (Tables whose server is started without it: test/t/001_start.pl, test/t/028_without_preload.pl.)
SELECT current_setting('shared_preload_libraries') ~ 'contime' AS preloaded;
LOAD 'contime';
\set SHOW_CONTEXT never
CREATE EXTENSION contime;
\set SHOW_CONTEXT errors
\echo :SQLSTATE
SELECT count(*) FROM pg_extension WHERE extname = 'contime';
SELECT count(*) FROM pg_namespace WHERE nspname = 'contime';

-- The hooks are not installed: other commands work as usual.
CREATE FOREIGN DATA WRAPPER plain;
CREATE SERVER plain FOREIGN DATA WRAPPER plain;
CREATE FOREIGN TABLE remote (id int) SERVER plain;
ALTER FOREIGN TABLE remote RENAME TO remotes;
DROP FOREIGN TABLE remotes;

-- All C functions, created by hand because the extension's script cannot be run.
CREATE FUNCTION event(anyelement, name[] DEFAULT '{}') RETURNS void AS 'contime', 'contime_event' LANGUAGE C;
CREATE FUNCTION snapshot(anyelement, name[] DEFAULT NULL) RETURNS void AS 'contime', 'contime_snapshot' LANGUAGE C;
CREATE FUNCTION finish(anyelement) RETURNS void AS 'contime', 'contime_finish' LANGUAGE C;
CREATE FUNCTION at_support(internal) RETURNS internal AS 'contime', 'contime_at_support' LANGUAGE C STRICT;
CREATE FUNCTION range_support(internal) RETURNS internal AS 'contime', 'contime_range_support' LANGUAGE C STRICT;
CREATE FUNCTION series_support(internal) RETURNS internal AS 'contime', 'contime_series_support' LANGUAGE C STRICT;
CREATE FUNCTION at_all(anyelement, timestamptz) RETURNS SETOF anyelement AS 'contime', 'contime_at' LANGUAGE C STABLE SUPPORT at_support;
CREATE FUNCTION at_key(anyelement, timestamptz, anycompatible) RETURNS SETOF anyelement AS 'contime', 'contime_at' LANGUAGE C STABLE SUPPORT at_support;
CREATE FUNCTION history(anyelement, anycompatible, timestamptz, timestamptz) RETURNS TABLE (during tstzrange, state anyelement)
AS 'contime', 'contime_history' LANGUAGE C STABLE SUPPORT range_support;
CREATE FUNCTION series(anyelement, anycompatible, timestamptz, timestamptz, interval) RETURNS SETOF anyelement
AS 'contime', 'contime_series' LANGUAGE C STABLE SUPPORT series_support;
CREATE FUNCTION since(anyelement, anycompatible, timestamptz) RETURNS timestamptz AS 'contime', 'contime_since' LANGUAGE C STABLE SUPPORT at_support;
CREATE FUNCTION events(anyelement, anycompatible, timestamptz, timestamptz) RETURNS TABLE (kind text, event anyelement, columns name[], late boolean)
AS 'contime', 'contime_events' LANGUAGE C STABLE SUPPORT range_support;
CREATE FUNCTION reconciliations(anyelement, bigint) RETURNS TABLE (seq bigint, key anyelement, during tstzrange, events bigint, reset boolean)
AS 'contime', 'contime_reconciliations' LANGUAGE C;
CREATE FUNCTION add_source(regclass, regclass, jsonb, text) RETURNS void AS 'contime', 'contime_add_source' LANGUAGE C STRICT;
CREATE FUNCTION drop_source(regclass, regclass) RETURNS void AS 'contime', 'contime_drop_source' LANGUAGE C STRICT;
CREATE FUNCTION verify(regclass, OUT text, OUT bigint, OUT boolean) AS 'contime', 'contime_verify' LANGUAGE C STRICT;
CREATE FUNCTION table_stats(OUT "table" regclass, OUT keys bigint) RETURNS SETOF record AS 'contime', 'contime_table_stats' LANGUAGE C;
CREATE FUNCTION worker_stats(OUT worker int, OUT pid int) RETURNS SETOF record AS 'contime', 'contime_worker_stats' LANGUAGE C;
CREATE FUNCTION source_changed() RETURNS trigger AS 'contime', 'contime_source_changed' LANGUAGE C;
CREATE FUNCTION capture() RETURNS trigger AS 'contime', 'contime_capture' LANGUAGE C;
CREATE FUNCTION fdw_handler() RETURNS fdw_handler AS 'contime', 'contime_fdw_handler' LANGUAGE C;
CREATE FUNCTION fdw_validator(text[], oid) RETURNS void AS 'contime', 'contime_fdw_validator' LANGUAGE C STRICT;

-- A table whose foreign data wrapper has the handler, and one that could be its event table.
CREATE FOREIGN DATA WRAPPER like_contime HANDLER fdw_handler;
CREATE SERVER like_contime FOREIGN DATA WRAPPER like_contime;
CREATE FOREIGN TABLE account (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), balance int) SERVER like_contime;
CREATE TABLE movement (id int, at timestamptz, balance int);
CREATE TYPE pair AS (a int, b int);
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' ', SQLSTATE, SQLERRM, nullif(hint, ''));
END $$;
SELECT statement, try(statement) FROM (VALUES
    ($$SELECT event(ROW(1, now(), 1)::account)$$),
    ($$SELECT snapshot(ROW(1, now(), 1)::account)$$),
    ($$SELECT finish(ROW(1, now(), 1)::account)$$),
    ($$SELECT event(1)$$),
    ($$SELECT event(ROW(1, 2)::pair)$$),
    ($$SELECT * FROM at_all(NULL::account, now())$$),
    ($$SELECT at_all(NULL::account, now())$$),
    ($$SELECT at_all(NULL::int, now())$$),
    ($$SELECT * FROM at_key(NULL::account, now(), 1)$$),
    ($$SELECT * FROM history(NULL::account, 1, now(), now())$$),
    ($$SELECT history(NULL::pair, 1, now(), now())$$),
    ($$SELECT * FROM series(NULL::account, 1, now(), now(), '1 day')$$),
    ($$SELECT since(NULL::account, 1, now())$$),
    ($$SELECT * FROM events(NULL::account, 1, now(), now())$$),
    ($$SELECT * FROM reconciliations(NULL::account, 0)$$),
    ($$SELECT add_source('account', 'movement', '{}', 'event')$$),
    ($$SELECT drop_source('account', 'movement')$$),
    ($$SELECT * FROM verify('account')$$),
    ($$SELECT * FROM verify(0)$$),
    ($$SELECT * FROM table_stats()$$),
    ($$SELECT * FROM worker_stats()$$),
    ($$SELECT source_changed()$$),
    ($$SELECT capture()$$),
    ($$SELECT fdw_validator('{rule=sum}', 'pg_attribute'::regclass)$$),
    ($$SELECT at_support(NULL)$$),
    ($$EXPLAIN SELECT * FROM at_all(NULL::account, now())$$),
    ($$EXPLAIN SELECT * FROM series(NULL::account, 1, now(), now(), '1 day')$$),
    ($$SELECT * FROM account$$),
    ($$SELECT FROM account$$),
    ($$SELECT * FROM account WHERE id = 1 AND at = now()$$),
    ($$SELECT * FROM movement JOIN account USING (id, at)$$),
    ($$EXPLAIN SELECT * FROM account$$),
    ($$EXPLAIN ANALYZE SELECT * FROM account WHERE at = now()$$),
    ($$PREPARE p (timestamptz) AS SELECT * FROM account WHERE at = $1$$),
    ($$EXECUTE p (now())$$),
    ($$INSERT INTO account VALUES (1, now(), 1)$$),
    ($$INSERT INTO account SELECT 1, now(), 1 WHERE false$$),
    ($$EXPLAIN INSERT INTO account VALUES (1, now(), 1)$$),
    ($$UPDATE account SET balance = 1$$),
    ($$DELETE FROM account$$),
    ($$TRUNCATE account$$),
    ($$ANALYZE account$$),
    ($$IMPORT FOREIGN SCHEMA public FROM SERVER like_contime INTO public$$),
    ($$ALTER FOREIGN TABLE account OPTIONS (events 'movement')$$),
    ($$ALTER FOREIGN TABLE account ADD COLUMN note text$$),
    ($$ALTER FOREIGN TABLE account RENAME COLUMN note TO notes$$),
    ($$ALTER TABLE movement RENAME COLUMN balance TO amount$$),
    ($$SET contime.at = 'now'$$)) v (statement);
COPY account FROM stdin;
\.
COPY account TO stdout;
CREATE TRIGGER row AFTER INSERT OR UPDATE OR DELETE ON movement FOR EACH ROW EXECUTE FUNCTION capture();
INSERT INTO movement VALUES (1, now(), 1);
DROP TRIGGER row ON movement;
CREATE TRIGGER row AFTER INSERT OR UPDATE OR DELETE ON movement FOR EACH ROW EXECUTE FUNCTION source_changed();
INSERT INTO movement VALUES (1, now(), 1);
DROP FOREIGN TABLE account;
DROP TABLE movement;
