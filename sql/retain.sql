-- Retention: older events are folded, and older instants refused or counted; states that are retained stay as they were.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\getenv abs_srcdir PG_ABS_SRCDIR
\set until :abs_srcdir '/sql/until.sql'
\i :until

-- ---- the options ----------------------------------------------------------------

-- not a period
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime OPTIONS (retain 'soon');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime OPTIONS (retain '0');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime OPTIONS (retain '1 day -25 hours');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), v int) SERVER contime OPTIONS (retain '7 days');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), v int) SERVER contime OPTIONS (retain '-5');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime OPTIONS (too_late 'perhaps');
\echo :SQLSTATE
-- not an option of a column
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (retain '1 day')) SERVER contime;
\echo :SQLSTATE
-- longer than the range of time: nothing is ever folded
CREATE FOREIGN TABLE forever (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime OPTIONS (retain '170000000 years', too_late 'error');
INSERT INTO forever VALUES (1, '4713-01-01 BC', 1);
SELECT v FROM forever WHERE at = '-infinity';
SELECT v FROM forever WHERE at = '2000-01-01';
SELECT retained_since, retained_tick FROM contime.tables;
DROP FOREIGN TABLE forever;

-- ---- a logical clock: beside the same table that retains all ------------------------

CREATE FOREIGN TABLE game (
    unit  int    OPTIONS (key 'true'),
    tick  bigint OPTIONS (time 'true'),
    hp    int    OPTIONS (rule 'sum', initial '100', lower '0', upper '100'),
    score bigint OPTIONS (rule 'sum'),
    best  int    OPTIONS (rule 'max'),
    name  text   OPTIONS (initial 'nobody'),
    move  int    OPTIONS (event_id 'true')
) SERVER contime OPTIONS (retain '100');
CREATE FOREIGN TABLE whole (
    unit  int    OPTIONS (key 'true'),
    tick  bigint OPTIONS (time 'true'),
    hp    int    OPTIONS (rule 'sum', initial '100', lower '0', upper '100'),
    score bigint OPTIONS (rule 'sum'),
    best  int    OPTIONS (rule 'max'),
    name  text   OPTIONS (initial 'nobody'),
    move  int    OPTIONS (event_id 'true')
) SERVER contime;
CREATE VIEW retained AS SELECT retained_tick, too_late, folded FROM contime.tables WHERE "table" = 'game'::regclass;
-- Of 20 units, unit 1 has many events, 2 to 9 fewer, 10 to 19 only early ones; the even ones of these are finished later, and one of them continues.
CREATE VIEW moves AS
    SELECT unit, tick, (unit * tick) % 60 - 30 AS hp, tick AS score, (unit * tick * 7) % 1000 AS best,
           CASE WHEN tick % 3 = 0 THEN repeat(chr(97 + unit), 1 + tick % 40) END AS name, (1000 * unit + tick)::int AS move
    FROM generate_series(1, 19) unit, generate_series(1, 1000) tick
    WHERE unit = 1 OR (unit < 10 AND tick % unit = 0) OR tick < 20 * unit;
CREATE PROCEDURE play(first int, last int) LANGUAGE sql AS $$
    INSERT INTO whole SELECT * FROM moves WHERE tick BETWEEN first AND last;
    INSERT INTO game SELECT * FROM moves WHERE tick BETWEEN first AND last;
    SELECT contime.finish(ROW(unit, 20 * unit, NULL, NULL, NULL, NULL, NULL)::whole) FROM generate_series(10, 19, 2) unit WHERE 20 * unit BETWEEN first AND last;
    SELECT contime.finish(ROW(unit, 20 * unit, NULL, NULL, NULL, NULL, NULL)::game) FROM generate_series(10, 19, 2) unit WHERE 20 * unit BETWEEN first AND last;
$$;
-- How many rows differ at these ticks, whether there are any, and how many rows of the units' histories differ.
CREATE FUNCTION differences(first int, last int) RETURNS TABLE (rows_differ bigint, histories_differ bigint, any_rows boolean) LANGUAGE sql AS $$
    WITH a AS (SELECT g.t, w.* FROM generate_series(first, last) g(t) JOIN whole w ON w.tick = g.t),
         b AS (SELECT g.t, w.* FROM generate_series(first, last) g(t) JOIN game w ON w.tick = g.t),
         c AS (SELECT u, h.during, (h.state).hp, (h.state).score, (h.state).best, (h.state).name, (h.state).move
               FROM generate_series(1, 19) u, contime.history_tick(NULL::whole, u, first, last) h),
         d AS (SELECT u, h.during, (h.state).hp, (h.state).score, (h.state).best, (h.state).name, (h.state).move
               FROM generate_series(1, 19) u, contime.history_tick(NULL::game, u, first, last) h)
    SELECT (SELECT count(*) FROM ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) x),
           (SELECT count(*) FROM ((TABLE c EXCEPT ALL TABLE d) UNION ALL (TABLE d EXCEPT ALL TABLE c)) x),
           EXISTS (TABLE a)
$$;
CALL play(1, 300);
CALL until('(SELECT retained_tick = 200 AND folded > 0 FROM retained)');
SELECT * FROM differences(200, 320);
CALL play(301, 1000);
CALL until('(SELECT retained_tick = 900 AND folded > 5000 FROM retained)');
SELECT * FROM differences(900, 1020);
-- Keys whose life ended earlier are removed, keys whose life began long ago are not.
SELECT "table", keys FROM contime.tables ORDER BY "table"::text;
-- A late event that is in time.
INSERT INTO whole VALUES (3, 900, -50, 1, 5000, 'late', 1);
INSERT INTO game VALUES (3, 900, -50, 1, 5000, 'late', 1);
INSERT INTO whole VALUES (12, 950, -50, 1, 5000, NULL, 1);
INSERT INTO game VALUES (12, 950, -50, 1, 5000, NULL, 1);
SELECT * FROM differences(900, 1020);
SELECT contime.snapshot(ROW(4, 940, 50, NULL, 1, 'snap', 7)::whole), contime.snapshot(ROW(4, 940, 50, NULL, 1, 'snap', 7)::game) \g /dev/null
SELECT * FROM differences(900, 1020);

-- Reads of older instants are refused, in every form.
SELECT * FROM game WHERE tick = 899;
\echo :SQLSTATE
SELECT * FROM game WHERE tick IN (950, 10) AND unit = 1;
\echo :SQLSTATE
SELECT * FROM contime.at_tick(NULL::game, 899);
\echo :SQLSTATE
SELECT * FROM contime.at_tick(NULL::game, 899, 1);
\echo :SQLSTATE
SELECT contime.latest_tick(NULL::game), contime.latest_tick(NULL::game, 1);
SELECT * FROM contime.history_tick(NULL::game, 1, 899, 2000);
\echo :SQLSTATE
SELECT * FROM contime.history_tick(NULL::game, 1, -9223372036854775808, NULL);
\echo :SQLSTATE
SELECT count(*) FROM contime.events_tick(NULL::game, 1, 899, NULL);
\echo :SQLSTATE
-- An open start is what is retained, for each key; before it there is nothing.
SELECT u, (SELECT count(*) FROM (SELECT * FROM contime.history_tick(NULL::game, u, NULL, NULL) EXCEPT ALL SELECT * FROM contime.history_tick(NULL::game, u, 900, NULL)) x) AS more,
    (SELECT count(*) FROM (SELECT * FROM contime.history_tick(NULL::game, u, 900, NULL) EXCEPT ALL SELECT * FROM contime.history_tick(NULL::game, u, NULL, NULL, newest_first => true)) x) AS missing,
    (SELECT count(*) FROM contime.history_tick(NULL::game, u, NULL, NULL)) > 0 AS some
FROM generate_series(1, 19, 6) u;
SELECT min(lower(during)), bool_or(lower_inf(during)) AS unbounded FROM contime.history_tick(NULL::game, NULL, NULL);
SELECT (SELECT count(*) FROM contime.history_tick(NULL::game, NULL, NULL)) = (SELECT count(*) FROM contime.history_tick(NULL::game, 900, NULL)) AS same;
SELECT (SELECT count(*) FROM contime.events_tick(NULL::game, 1, NULL, NULL)) = (SELECT count(*) FROM contime.events_tick(NULL::game, 1, 900, NULL)) AS same;
SELECT count(*) FROM contime.history_tick(NULL::game, 1, NULL, 900);
SELECT count(*) FROM contime.history_tick(NULL::game, 1, NULL, 900, newest_first => true);
SELECT count(*) FROM contime.events_tick(NULL::game, 1, NULL, 900);
SELECT g.t, game.hp FROM generate_series(890, 910) g(t) JOIN game ON game.tick = g.t AND game.unit = 1;
\echo :SQLSTATE
SELECT count(*) FROM contime.at_tick(NULL::game, 900);
SELECT count(*) > 0 AS some FROM contime.history_tick(NULL::game, 1, 900, 2000);

-- Writes at older instants: an error, and no row of the statement is kept.
INSERT INTO game (unit, tick, score) VALUES (1, 899, 1);
\echo :SQLSTATE
INSERT INTO game (unit, tick, score) VALUES (1, 990, 1000000), (1, 899, 1);
SELECT contime.event(ROW(1, -5, 1, 1, 1, 'x', 1)::game);
\echo :SQLSTATE
SELECT contime.finish(ROW(1, 899, NULL, NULL, NULL, NULL, NULL)::game);
\echo :SQLSTATE
\set SHOW_CONTEXT never
COPY game (unit, tick, score) FROM stdin;
1	1000	1
1	5	1
\.
\set SHOW_CONTEXT errors
\echo :SQLSTATE
SELECT * FROM differences(900, 1020);
SELECT too_late FROM retained;
-- With too_late 'ignore' they are counted.
ALTER FOREIGN TABLE game OPTIONS (ADD too_late 'ignore');
INSERT INTO game (unit, tick, score) VALUES (1, 899, 1), (1, 1, 5);
SELECT contime.snapshot(ROW(1, 899, 1, 1, 1, 'x', 1)::game) \g /dev/null
COPY game (unit, tick, score) FROM stdin;
1	5	1
\.
SELECT * FROM differences(900, 1020);
SELECT too_late FROM retained;
-- A copy of an event that was folded is too late, so the event counts once.
INSERT INTO game SELECT * FROM moves WHERE tick = 300;
SELECT too_late FROM retained;
SELECT * FROM differences(900, 1020);
ALTER FOREIGN TABLE game OPTIONS (SET too_late 'error');
INSERT INTO game (unit, tick, score) VALUES (1, 899, 1);

-- ---- ALTER ---------------------------------------------------------------------------

-- An ALTER that is rolled back has no effect.
BEGIN;
ALTER FOREIGN TABLE game OPTIONS (SET retain '10');
INSERT INTO game (unit, tick) VALUES (1, 900);
SELECT count(*) > 0 AS some FROM game WHERE tick = 900;
SELECT retained_tick FROM retained;
ROLLBACK;
SELECT count(*) > 0 AS some FROM game WHERE tick = 900;
BEGIN;
SAVEPOINT s;
ALTER FOREIGN TABLE game OPTIONS (SET retain '10');
ROLLBACK TO s;
SELECT count(*) > 0 AS some FROM game WHERE tick = 900;
COMMIT;
CALL play(1001, 1100);
INSERT INTO whole (unit, tick, score) VALUES (1, 1010, 1);
INSERT INTO game (unit, tick, score) VALUES (1, 1010, 1);
CALL until('(SELECT retained_tick = 910 FROM retained)');
SELECT * FROM differences(910, 1020);
-- A shorter period: events are folded; a longer one does not bring them back, but keeps more from now on.
ALTER FOREIGN TABLE game OPTIONS (SET retain '50');
CALL until('(SELECT retained_tick = 960 FROM retained)');
SELECT * FROM differences(960, 1020);
ALTER FOREIGN TABLE game OPTIONS (SET retain '1000');
SELECT * FROM game WHERE tick = 950;
INSERT INTO whole (unit, tick, score) VALUES (1, 1500, 1), (2, 1700, 1);
INSERT INTO game (unit, tick, score) VALUES (1, 1500, 1), (2, 1700, 1);
SELECT retained_tick FROM retained;
SELECT * FROM differences(960, 1720);
-- Without the option no more events are folded.
ALTER FOREIGN TABLE game OPTIONS (DROP retain);
INSERT INTO whole (unit, tick, score) VALUES (1, 100000, 1);
INSERT INTO game (unit, tick, score) VALUES (1, 100000, 1);
CALL until('(SELECT recent = 0 AND young = 0 FROM contime.tables WHERE "table" = ''game''::regclass)');
SELECT retained_tick FROM retained;
SELECT * FROM differences(960, 1720);
ALTER FOREIGN TABLE game ADD COLUMN extra int OPTIONS (rule 'sum', initial '7');
SELECT unit, extra FROM game WHERE tick = 960 AND unit IN (1, 11, 13) ORDER BY unit;
-- An event that is rolled back, however new, has no effect either.
ALTER FOREIGN TABLE game OPTIONS (ADD retain '99000');
CALL until('(SELECT retained_tick = 1000 FROM retained)');
BEGIN;
INSERT INTO game (unit, tick) VALUES (1, 9000000);
ROLLBACK;
INSERT INTO game (unit, tick) VALUES (1, 100001);
CALL until('(SELECT retained_tick = 1001 FROM retained)');
-- After TRUNCATE retention starts again.
TRUNCATE game;
INSERT INTO game (unit, tick, score) VALUES (1, -100, 3);
SELECT score FROM game WHERE tick = -100;
SELECT too_late, folded FROM retained;
DROP FOREIGN TABLE game, whole CASCADE;

-- ---- a logical clock that no event may set far ahead ---------------------------------------

CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime OPTIONS (max_ahead '1000');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), v int) SERVER contime OPTIONS (max_ahead '0');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), v int) SERVER contime OPTIONS (max_ahead '1 day');
\echo :SQLSTATE
CREATE TABLE ticked (id int, tick bigint, v int);
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), v int) SERVER contime OPTIONS (events 'ticked', max_ahead '5');
\echo :SQLSTATE
DROP TABLE ticked;
CREATE FOREIGN TABLE guarded (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), n int OPTIONS (rule 'sum')) SERVER contime OPTIONS (retain '100', max_ahead '1000');
-- The first event begins the clock; what is rolled back does not.
BEGIN;
INSERT INTO guarded VALUES (1, 9000000, 1);
ROLLBACK;
INSERT INTO guarded VALUES (1, 5000, 1);
INSERT INTO guarded VALUES (2, 6001, 1);
\echo :SQLSTATE
SELECT contime.snapshot(ROW(2, 6001, 1)::guarded);
\echo :SQLSTATE
\set SHOW_CONTEXT never
COPY guarded FROM STDIN;
2	6001	1
\.
\set SHOW_CONTEXT errors
\echo :SQLSTATE
INSERT INTO guarded VALUES (2, 9223372036854775807, 1);
\echo :SQLSTATE
INSERT INTO guarded VALUES (2, 6000, 1), (2, 7000, 1), (2, 8001, 1);
\echo :SQLSTATE
SELECT id, n FROM guarded;
-- Of each event the rows before it count, also of the same statement, and of transactions that have not entered yet.
INSERT INTO guarded SELECT 1, 5000 + i * 1000, 1 FROM generate_series(1, 10000) i;
BEGIN;
SAVEPOINT a;
INSERT INTO guarded VALUES (1, 10006000, 1);
ROLLBACK TO a;
INSERT INTO guarded VALUES (1, 10006001, 1);
\echo :SQLSTATE
ROLLBACK;
BEGIN;
INSERT INTO guarded VALUES (1, 10006000, 1);
INSERT INTO guarded VALUES (1, 10007000, 1);
COMMIT;
INSERT INTO guarded VALUES (1, 10008001, 1);
\echo :SQLSTATE
SELECT contime.latest_tick(NULL::guarded);
CALL until('(SELECT retained_tick = 10006900 FROM contime.tables)');
INSERT INTO guarded VALUES (1, 10008001, 1);
\echo :SQLSTATE
ALTER FOREIGN TABLE guarded OPTIONS (SET max_ahead '1001');
INSERT INTO guarded VALUES (1, 10008001, 1);
ALTER FOREIGN TABLE guarded OPTIONS (DROP max_ahead);
INSERT INTO guarded VALUES (1, 9000000000, 1);
ALTER FOREIGN TABLE guarded OPTIONS (ADD max_ahead '10');
INSERT INTO guarded VALUES (1, 9000000010, 1);
INSERT INTO guarded VALUES (1, 9000000021, 1);
\echo :SQLSTATE
TRUNCATE guarded;
INSERT INTO guarded VALUES (1, -9223372036854775807, 1);
INSERT INTO guarded VALUES (1, 9223372036854775807, 1);
\echo :SQLSTATE
DROP FOREIGN TABLE guarded;

-- ---- the clock -----------------------------------------------------------------------

CREATE FOREIGN TABLE account (
    id      int         OPTIONS (key 'true'),
    at      timestamptz OPTIONS (time 'true'),
    balance bigint      OPTIONS (rule 'sum', initial '0')
) SERVER contime OPTIONS (retain '1 hour');
-- Messages without their instants.
CREATE FUNCTION refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint   text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN regexp_replace(concat_ws(E'\n', SQLSTATE, SQLERRM, detail, hint), '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+00', '<instant>', 'g');
END $$;
-- Also for an empty table: what it retains is determined when it is first used, even after a worker has looked at it.
CREATE FOREIGN TABLE other (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime;
INSERT INTO other SELECT id, now(), 1 FROM generate_series(1, 100) id;
CALL until('(SELECT recent = 0 AND young = 0 FROM contime.tables)');
DROP FOREIGN TABLE other;
\pset format unaligned
\t on
SELECT refusal('SELECT * FROM account WHERE at = now() - interval ''2 hours''');
SELECT refusal('INSERT INTO account VALUES (1, now() - interval ''2 hours'', 1)');
INSERT INTO account SELECT id, now() - interval '50 minutes' + i * interval '1 second', 1 FROM generate_series(1, 5) id, generate_series(1, 1000) i;
SELECT refusal('SELECT * FROM contime.at(NULL::account, ''-infinity'')');
SELECT refusal('SELECT * FROM contime.history(NULL::account, 1, ''0001-01-01'', ''infinity'')');
SELECT refusal('SELECT * FROM contime.history(NULL::account, 1, ''-infinity'', ''infinity'')'), (SELECT count(*) FROM contime.history(NULL::account, 1, NULL, NULL));
SELECT refusal('SELECT a.* FROM (VALUES (now()), (now() - interval ''1 day'')) v(t) JOIN account a ON a.at = v.t');
\t off
\pset format aligned
SELECT id, balance FROM account ORDER BY id;
SELECT id, balance FROM account WHERE at = now() - interval '40 minutes' ORDER BY id;
SELECT count(*) FROM contime.history(NULL::account, 1, now() - interval '55 minutes', 'infinity');
SELECT now() - retained_since BETWEEN interval '59 minutes' AND interval '62 minutes' AS hour, retained_tick, too_late, folded FROM contime.tables;
-- A shorter period; a month and a year are never shorter than on a calendar.
ALTER FOREIGN TABLE account OPTIONS (SET retain '20 minutes');
CALL until('(SELECT folded > 4500 FROM contime.tables)');
SELECT id, balance FROM account WHERE at = now() - interval '10 minutes' ORDER BY id;
SELECT now() - retained_since BETWEEN interval '19 minutes' AND interval '22 minutes' AS twenty, frozen < 500 AS folded, keys FROM contime.tables;
TRUNCATE account;
ALTER FOREIGN TABLE account OPTIONS (SET retain '1 year 1 month');
INSERT INTO account VALUES (1, now() - interval '396 days', 1);
SELECT balance FROM account WHERE at = now() - interval '396 days';
SELECT left(refusal('INSERT INTO account VALUES (1, now() - interval ''398 days'', 1)'), 5);
-- A transaction that creates a table can load older events: they are part of its first states.
BEGIN;
CREATE FOREIGN TABLE loaded (
    id      int         OPTIONS (key 'true'),
    at      timestamptz OPTIONS (time 'true'),
    balance bigint      OPTIONS (rule 'sum', initial '0')
) SERVER contime OPTIONS (retain '1 hour', too_late 'ignore');
INSERT INTO loaded SELECT id, '2020-01-01', 1 FROM generate_series(1, 10) id, generate_series(1, 100) i;
SELECT sum(balance) FROM loaded WHERE at = '2020-01-01';
COMMIT;
CALL until('(SELECT folded = 1000 FROM contime.tables WHERE "table" = ''loaded''::regclass)');
INSERT INTO loaded VALUES (1, '2020-01-01', 1), (2, now(), 10);
SELECT sum(balance) FROM loaded;
SELECT too_late, frozen + young + recent AS kept, keys FROM contime.tables WHERE "table" = 'loaded'::regclass;
DROP FOREIGN TABLE account, loaded;
DROP FUNCTION refusal;
DROP PROCEDURE until;
