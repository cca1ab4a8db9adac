-- Keys over time: series, since, the events themselves, histories of all keys; rows computed one at a time.
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE FOREIGN TABLE account (
    id      bigint        OPTIONS (key 'true'),
    at      timestamptz   OPTIONS (time 'true'),
    balance numeric(18,2) OPTIONS (rule 'sum', initial '0'),
    owner   text,
    move    bigint        OPTIONS (event_id 'true')
) SERVER contime;
CREATE FOREIGN TABLE unit (
    name text   OPTIONS (key 'true'),
    tick bigint OPTIONS (time 'true'),
    hp   int    OPTIONS (rule 'sum', initial '100', lower '0', upper '100')
) SERVER contime;
INSERT INTO account VALUES
    (1, '2026-01-01 10:00', 100, 'Ada', 1), (1, '2026-01-01 12:00', 0, NULL, 2), (1, '2026-01-01 13:00', -30, NULL, 3),
    (1, '2026-01-01 13:00', 30, 'Ada', 4), (2, '2026-01-01 11:00', 5, 'Bob', 5);
SELECT contime.snapshot(ROW(1, '2026-01-01 14:00', 500, NULL, 6)::account);
SELECT contime.snapshot(ROW(1, '2026-01-01 15:00', 600, NULL, 7)::account, columns => '{balance}');
SELECT contime.event(ROW(1, '2026-01-01 16:00', NULL, NULL, 8)::account, set_null => '{owner}');
SELECT contime.finish(ROW(1, '2026-01-01 18:00', NULL, NULL, 9)::account);
INSERT INTO account VALUES (1, '2026-01-01 20:00', 1, NULL, 10);

-- ---- series ------------------------------------------------------------------------------

SELECT * FROM contime.series(NULL::account, 1, '2026-01-01 09:00', '2026-01-01 21:00', '1 hour');
SELECT count(*) FROM (
    (SELECT * FROM contime.series(NULL::account, 1, '2026-01-01', '2026-01-03', '7 minutes')
     EXCEPT ALL SELECT a.* FROM generate_series('2026-01-01'::timestamptz, '2026-01-03', '7 minutes') g(t) JOIN account a ON a.at = g.t AND a.id = 1)
    UNION ALL
    (SELECT a.* FROM generate_series('2026-01-01'::timestamptz, '2026-01-03', '7 minutes') g(t) JOIN account a ON a.at = g.t AND a.id = 1
     EXCEPT ALL SELECT * FROM contime.series(NULL::account, 1, '2026-01-01', '2026-01-03', '7 minutes'))) x;
-- More instants than are read at a time; backward; with steps by the calendar.
SELECT count(*), sum(balance), min(at), max(at) FROM contime.series(NULL::account, 2, '2026-01-01 11:00', '2026-01-01 13:00', '1 second');
SELECT at, balance FROM contime.series(NULL::account, 1, '2026-01-01 14:00', '2026-01-01 12:00', '-1 hour');
SELECT at FROM contime.series(NULL::account, 2, '2026-01-31', '2026-06-01', '1 month');
-- In the order of generate_series(), whatever its direction.
SELECT count(*), count(*) FILTER (WHERE at = g) FROM ROWS FROM (contime.series(NULL::account, 2, '2026-01-01 13:00', '2026-01-01 11:00', '-1 second'),
    generate_series('2026-01-01 13:00'::timestamptz, '2026-01-01 11:00', '-1 second')) x(id, at, balance, owner, move, g);
SELECT count(*) FROM contime.series(NULL::account, 3, '2026-01-01', '2026-01-02', '1 hour');
SELECT count(*) FROM contime.series(NULL::account, NULL::int, '2026-01-01', '2026-01-02', '1 hour');
SELECT count(*) FROM contime.series(NULL::account, 1, '2026-01-02', '2026-01-01', '1 hour');
SELECT count(*) FROM contime.series(NULL::account, 1, '2026-01-01', '2026-01-02', '0 hours');
\echo :SQLSTATE
SELECT count(*) FROM contime.series(NULL::account, 1, '2026-01-01', 'infinity', '1 hour');
\echo :SQLSTATE
SELECT count(*) FROM contime.series(NULL::unit, 'a', '2026-01-01', '2026-01-02', '1 hour');
\echo :SQLSTATE
SELECT count(*) FROM contime.series_tick(NULL::account, 1, 1, 2, 1);
\echo :SQLSTATE
INSERT INTO unit VALUES ('a', 10, -70), ('a', 20, -70), ('a', 30, 40), ('a', 9223372036854775806, 1);
SELECT * FROM contime.series_tick(NULL::unit, 'a', 0, 40, 10);
SELECT * FROM contime.series_tick(NULL::unit, 'a', 9223372036854775800, 9223372036854775807, 3);

-- ---- since -------------------------------------------------------------------------------------

SELECT h, contime.since(NULL::account, 1, h) FROM generate_series('2026-01-01 09:00'::timestamptz, '2026-01-01 21:00', '1 hour') h;
SELECT contime.since(NULL::account, 1, 'infinity'), contime.since(NULL::account, 1, '-infinity'), contime.since(NULL::account, 3, now());
SELECT t, contime.since_tick(NULL::unit, 'a', t) FROM unnest('{5,10,19,20,29,30,1000,9223372036854775807}'::bigint[]) t;
-- Many events that change no state.
INSERT INTO unit SELECT 'b', i, CASE WHEN i = 1 THEN -10 ELSE 0 END FROM generate_series(1, 3000) i;
SELECT contime.since_tick(NULL::unit, 'b', 2999), contime.since_tick(NULL::unit, 'b', 0);

-- ---- the latest event ----------------------------------------------------------------------------

SELECT contime.latest(NULL::account), contime.latest(NULL::account, 2), contime.latest(NULL::account, 3), contime.latest_tick(NULL::unit), contime.latest_tick(NULL::unit, 'b');
SELECT contime.latest(NULL::unit);
SELECT contime.latest_tick(NULL::account, 1);
SELECT contime.latest_tick(NULL::unit, 'x', 1);
-- Events that were rolled back do not count; those of this transaction do, and those in the future.
BEGIN;
SAVEPOINT s;
INSERT INTO unit VALUES ('b', 9000, 1);
SELECT contime.latest_tick(NULL::unit), contime.latest_tick(NULL::unit, 'b');
ROLLBACK TO s;
INSERT INTO unit VALUES ('b', 4000, 1);
SELECT contime.latest_tick(NULL::unit), contime.latest_tick(NULL::unit, 'b');
INSERT INTO account VALUES (3, '2126-01-01', 1, NULL, NULL);
SELECT contime.latest(NULL::account);
ROLLBACK;
SELECT contime.latest_tick(NULL::unit), contime.latest_tick(NULL::unit, 'b');
CREATE FOREIGN TABLE nothing (name text OPTIONS (key 'true'), tick bigint OPTIONS (time 'true')) SERVER contime;
SELECT contime.latest_tick(NULL::nothing), contime.latest_tick(NULL::nothing, 'a');
DROP FOREIGN TABLE nothing;
-- Of a durable table: rows that are deleted do not count.
CREATE TABLE hit (name text, tick bigint, hp int);
CREATE FOREIGN TABLE struck (name text OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), hp int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'hit');
INSERT INTO hit VALUES ('a', 1, 1), ('a', 7, 1), ('b', 5, 1), ('a', 9, 1), ('a', 9, 2);
SELECT contime.latest_tick(NULL::struck), contime.latest_tick(NULL::struck, 'a'), contime.latest_tick(NULL::struck, 'b');
DELETE FROM hit WHERE tick = 9 AND hp = 1;
SELECT contime.latest_tick(NULL::struck), contime.latest_tick(NULL::struck, 'a'), contime.latest_tick(NULL::struck, 'b');
DELETE FROM hit WHERE tick IN (7, 9);
SELECT contime.latest_tick(NULL::struck), contime.latest_tick(NULL::struck, 'a'), contime.latest_tick(NULL::struck, 'b');
DELETE FROM hit;
SELECT contime.latest_tick(NULL::struck), contime.latest_tick(NULL::struck, 'a');
DROP FOREIGN TABLE struck;
DROP TABLE hit;

-- ---- events --------------------------------------------------------------------------------------

SELECT kind, (event).*, columns FROM contime.events(NULL::account, 1, '-infinity', 'infinity');
SELECT kind, (event).at FROM contime.events(NULL::account, 1, '2026-01-01 12:00', '2026-01-01 14:00');
SELECT count(*) FROM contime.events(NULL::account, 3, '-infinity', 'infinity');
SELECT count(*) FROM contime.events(NULL::account, 1, '2026-01-01', '2026-01-01');
SELECT count(*) FROM contime.events(NULL::account, 1, '2026-01-02', '2026-01-01');
SELECT count(*), sum((event).hp), min((event).tick), max((event).tick), count(DISTINCT (event).tick) FROM contime.events_tick(NULL::unit, 'b', 0, 5000);
-- Many at one instant.
INSERT INTO unit SELECT 'c', 7, i FROM generate_series(1, 2000) i;
SELECT count(*), count(DISTINCT (event).hp), sum((event).hp) FROM contime.events_tick(NULL::unit, 'c', 7, 8);
-- Events are late if a newer one had entered before: in the order in which they were written, except copies. Events that have not entered may be late, too.
\getenv abs_srcdir PG_ABS_SRCDIR
\set until :abs_srcdir '/sql/until.sql'
\i :until
CREATE FOREIGN TABLE told (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), n int OPTIONS (rule 'sum'), mark int OPTIONS (event_id 'true')) SERVER contime;
INSERT INTO told VALUES (1, 10, 1, 1), (1, 30, 1, 2), (1, 20, 1, 3), (2, 5, 1, 1), (1, 30, 1, 1), (1, 30, 1, 3);
CALL until('(SELECT recent = 0 FROM contime.tables WHERE "table" = ''told''::regclass)');
SELECT kind, (event).*, late FROM contime.events_tick(NULL::told, 1, 0, 100);
SELECT kind, (event).*, late FROM contime.events_tick(NULL::told, 2, 0, 100);
BEGIN;
INSERT INTO told VALUES (1, 25, 1, 1), (1, 40, 1, 2), (1, 35, 1, 3), (1, 10, 1, 1);
SELECT contime.snapshot(ROW(1, 30, NULL, 1)::told);
SELECT contime.finish(ROW(1, 30, NULL, 1)::told);
SELECT kind, (event).*, late FROM contime.events_tick(NULL::told, 1, 0, 100);
COMMIT;
CALL until('(SELECT recent = 0 FROM contime.tables WHERE "table" = ''told''::regclass)');
SELECT kind, (event).*, late FROM contime.events_tick(NULL::told, 1, 0, 100);
DROP FOREIGN TABLE told;
-- The result of contime.events() can be passed to the functions that write events: another table gets the same history.
CREATE FOREIGN TABLE replica (id bigint OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), balance numeric(18,2) OPTIONS (rule 'sum', initial '0'),
    owner text, move bigint OPTIONS (event_id 'true')) SERVER contime;
SELECT count(CASE kind
    WHEN 'finish' THEN contime.finish(ROW((e.event).*)::replica)
    WHEN 'snapshot' THEN contime.snapshot(ROW((e.event).*)::replica, columns => e.columns)
    ELSE contime.event(ROW((e.event).*)::replica, set_null => CASE WHEN 'owner' = ANY(e.columns) AND (e.event).owner IS NULL THEN '{owner}' ELSE '{}' END::name[]) END)
FROM contime.events(NULL::account, 1, '-infinity', 'infinity') e;
SELECT count(*) FROM (SELECT kind, (event).*, columns FROM contime.events(NULL::account, 1, '-infinity', 'infinity')
    EXCEPT SELECT kind, (event).*, columns FROM contime.events(NULL::replica, 1, '-infinity', 'infinity')) missing;
SELECT contime.snapshot(ROW(1, '2026-01-01', 1, NULL, 1)::replica, columns => '{move}');
SELECT contime.event(ROW(1, '2026-01-01', 1, NULL, NULL)::replica, set_null => '{move}');
DROP FOREIGN TABLE replica;
-- A transaction's own events, and those of a savepoint that is rolled back.
BEGIN;
INSERT INTO account VALUES (2, '2026-01-01 12:00', 6, 'Cy', 11);
SAVEPOINT s;
INSERT INTO account VALUES (2, '2026-01-01 12:30', 7, 'Di', 12);
ROLLBACK TO s;
SELECT kind, (event).* FROM contime.events(NULL::account, 2, '-infinity', 'infinity');
SELECT contime.since(NULL::account, 2, '2026-01-02');
ROLLBACK;
SELECT contime.since(NULL::account, 2, '2026-01-02');
-- ---- ranges and options -----------------------------------------------------------------------------

-- NULL and infinity as an end are open: no bound, and the newest state is there.
CREATE FOREIGN TABLE era (id text OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n int OPTIONS (rule 'sum'), word text, x float8 OPTIONS (scale '1', interpolate 'linear')) SERVER contime;
INSERT INTO era VALUES ('a', '2026-01-01', 1, 'one', 0), ('a', '2026-01-02', 1, NULL, NULL), ('a', '2026-01-03', 0, 'two', 20), ('a', '2026-01-04', NULL, 'two', NULL), ('b', '2026-01-01', 5, NULL, NULL);
SELECT contime.finish(ROW('a', '2026-01-05', NULL, NULL, NULL)::era);
INSERT INTO era VALUES ('a', '2026-01-06', 7, NULL, NULL);
SELECT during, (state).n, (state).word, (state).x FROM contime.history(NULL::era, 'a', NULL, NULL);
SELECT during, (state).n, (state).word, (state).x FROM contime.history(NULL::era, 'a', '-infinity', 'infinity', newest_first => true);
SELECT (state).id, during, (state).n FROM contime.history(NULL::era, '2026-01-05', NULL) ORDER BY 1, 2;
SELECT (state).id, during, (state).n FROM contime.history(NULL::era, NULL, '2026-01-02') ORDER BY 1, 2;
SELECT kind, (event).at FROM contime.events(NULL::era, 'a', '2026-01-04', NULL);
SELECT kind, (event).at FROM contime.events(NULL::era, 'a', NULL, '2026-01-03');
SELECT count(*) FROM contime.history(NULL::era, 'a', 'infinity', NULL);
SELECT count(*) FROM contime.history(NULL::era, 'a', NULL, '-infinity');
SELECT count(*) FROM contime.history(NULL::era, NULL::text, NULL, NULL);
-- Nothing lies between a start and an earlier end.
SELECT (SELECT count(*) FROM contime.history(NULL::era, 'a', '2026-01-04', '2026-01-02')), (SELECT count(*) FROM contime.history(NULL::era, 'a', '2026-01-04', '2026-01-02', newest_first => true)),
    (SELECT count(*) FROM contime.events(NULL::era, 'a', '2026-01-04', '2026-01-02')), (SELECT count(*) FROM contime.series(NULL::era, 'a', '2026-01-04', '2026-01-02', '1 day'));
-- Some columns: only their changes count; key and time are shown always. Of none, when there was a row.
SELECT during, state FROM contime.history(NULL::era, 'a', NULL, NULL, columns => '{word}');
SELECT during, state FROM contime.history(NULL::era, 'a', NULL, NULL, '{n, id, at, n}', true);
SELECT during, state FROM contime.history(NULL::era, 'a', '2026-01-01 12:00', '2026-01-06 12:00', columns => '{}');
SELECT during, (state).x FROM contime.history(NULL::era, 'a', '2026-01-01 12:00', '2026-01-04 12:00', columns => '{x}');
SELECT during, (state).x FROM contime.history(NULL::era, 'a', '2026-01-01 12:00', '2026-01-04 12:00', columns => '{x}', newest_first => true);
-- Row by row, as far as they are wanted.
SELECT contime.history(NULL::era, 'a', NULL, NULL, newest_first => true) LIMIT 2;
-- What is moved by a column that is not asked for moves nevertheless.
CREATE FOREIGN TABLE drift (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), x int OPTIONS (rate 'v'), v int, note text) SERVER contime;
INSERT INTO drift VALUES (1, 0, 0, 2, 'a'), (1, 5, NULL, NULL, 'b'), (1, 10, NULL, 0, NULL), (1, 20, NULL, NULL, 'c');
SELECT during, state FROM contime.history_tick(NULL::drift, 1, 0, 30, columns => '{x}');
SELECT during, state FROM contime.history_tick(NULL::drift, 1, 0, 30, columns => '{x}', newest_first => true);
-- The last tick: history and events agree that an end is exclusive, and NULL has none.
INSERT INTO drift VALUES (2, 9223372036854775807, 1, 0, 'last'), (2, -9223372036854775808, 1, 0, 'first');
SELECT during, (state).note FROM contime.history_tick(NULL::drift, 2, 9223372036854775806, 9223372036854775807);
SELECT (event).note FROM contime.events_tick(NULL::drift, 2, 0, 9223372036854775807);
SELECT during, (state).note FROM contime.history_tick(NULL::drift, 2, NULL, NULL);
SELECT during, (state).note FROM contime.history_tick(NULL::drift, 2, -9223372036854775808, NULL, newest_first => true);
SELECT (event).note FROM contime.events_tick(NULL::drift, 2, NULL, NULL);
SELECT during FROM contime.history_tick(NULL::drift, 2, 9223372036854775807, NULL);
-- More than fits in one chunk: the same in both directions.
INSERT INTO era SELECT 'long', timestamptz '2026-01-01' + i * interval '1 s', i % 3 - 1, repeat(chr(97 + i % 26), 100 * (i % 50)), NULL FROM generate_series(1, 5000) i;
SELECT count(*) FROM contime.history(NULL::era, 'long', NULL, NULL);
SELECT count(*) FILTER (WHERE f.nr IS NULL OR g.nr IS NULL) AS different, count(*)
FROM (SELECT during, state, row_number() OVER (ORDER BY nr) AS nr FROM contime.history(NULL::era, 'long', '2026-01-01 00:00:10', NULL) WITH ORDINALITY h (during, state, nr)) f
FULL JOIN (SELECT during, state, row_number() OVER (ORDER BY nr DESC) AS nr FROM contime.history(NULL::era, 'long', '2026-01-01 00:00:10', NULL, newest_first => true) WITH ORDINALITY h (during, state, nr)) g
    USING (during, state, nr);
-- Columns need SELECT on themselves, the key and the time.
CREATE ROLE era_reader;
GRANT SELECT (id, at, word) ON era TO era_reader;
SET ROLE era_reader;
SELECT count(*) FROM contime.history(NULL::era, 'a', NULL, NULL, columns => '{word}');
SELECT count(*) FROM contime.history(NULL::era, 'a', NULL, NULL, columns => '{word, n}');
\echo :SQLSTATE
SELECT count(*) FROM contime.history(NULL::era, 'a', NULL, NULL);
\echo :SQLSTATE
RESET ROLE;
DROP FOREIGN TABLE era, drift;
DROP ROLE era_reader;

-- ---- histories of all keys --------------------------------------------------------------------------

SELECT during, (state).id, (state).balance, (state).owner FROM contime.history(NULL::account, '2026-01-01 11:00', '2026-01-01 19:00') ORDER BY (state).id, during;
SELECT count(*) FROM contime.history(NULL::account, '2026-01-01', '2026-01-01');
SELECT count(*) FROM contime.history(NULL::account, NULL, '2026-01-01');
SELECT count(*) FROM contime.history(NULL::account, '2026-01-02', '2026-01-01');
SELECT count(*) FROM contime.history(NULL::unit, '2026-01-01', '2026-01-02');
\echo :SQLSTATE
SELECT count(*) FROM contime.history_tick(NULL::account, 1, 2);
\echo :SQLSTATE
CREATE FOREIGN TABLE brief (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n int) SERVER contime OPTIONS (retain '1 day');
INSERT INTO brief VALUES (1, now(), 1);
SELECT count(*) FROM contime.history(NULL::brief, now() - interval '1 hour', 'infinity');
\set VERBOSITY sqlstate
SELECT count(*) FROM contime.history(NULL::brief, '2020-01-01', 'infinity');
\set VERBOSITY default
DROP FOREIGN TABLE brief;
-- A transaction's own events, those of a savepoint that is rolled back, and what cursors saw before: the same as key by key.
CREATE FUNCTION pg_temp.rest(name text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    c refcursor := name;
    n bigint;
BEGIN
    MOVE FORWARD ALL IN c;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;
BEGIN;
INSERT INTO account SELECT i, '2026-01-01'::timestamptz + i * 7919 % 86400 * interval '1 second', i, i % 3, 100 + i FROM generate_series(1, 500) i;
DECLARE all_keys CURSOR FOR SELECT during, (state).* FROM contime.history(NULL::account, '2026-01-01 06:00', '2026-01-02');
DECLARE rows CURSOR FOR SELECT contime.history(NULL::account, '2026-01-01 06:00', '2026-01-02');
MOVE 100 FROM rows;
SAVEPOINT s;
MOVE 100 FROM rows;
INSERT INTO account SELECT i % 600, '2026-01-01 12:00', i, NULL, 1000 + i FROM generate_series(1, 1000) i;
SELECT count(*), count(DISTINCT (state).id) FROM contime.history(NULL::account, '2026-01-01 06:00', '2026-01-02');
MOVE 100 FROM rows;
ROLLBACK TO s;
SELECT pg_temp.rest('rows') + 300 AS rows, pg_temp.rest('all_keys') AS all_keys;
SELECT count(*), count(DISTINCT (state).id), count(DISTINCT h) FROM contime.history(NULL::account, '2026-01-01 06:00', '2026-01-02') h;
SELECT count(*) FROM generate_series(0, 600) k, contime.history(NULL::account, k, '2026-01-01 06:00', '2026-01-02') h
    JOIN contime.history(NULL::account, '2026-01-01 06:00', '2026-01-02') a ON a IS NOT DISTINCT FROM h;
ROLLBACK;
-- Several key columns, and columns that change between events: the rows of a key are together, in order; the state is that at the
-- start of its range, and at each tick exactly one range of the key applies.
CREATE FOREIGN TABLE probe (hall int OPTIONS (key 'true'), place text OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'),
    level int OPTIONS (interpolate 'linear'), x int OPTIONS (rate 'v'), v int, n bigint OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO probe SELECT i % 7, repeat('p', i % 11), i * 7919 % 1000, CASE WHEN i % 3 = 0 THEN i END, CASE WHEN i % 13 = 0 THEN 0 END, CASE WHEN i % 5 = 0 THEN i % 17 END, i FROM generate_series(1, 1500) i;
SELECT contime.finish(ROW(3, 'ppp', 500, NULL, NULL, NULL, NULL)::probe);
CREATE VIEW probe_history AS SELECT row_number() OVER () AS nr, during, (state).* FROM contime.history_tick(NULL::probe, 100, 900);
SELECT count(*) > 1000 AS many, count(DISTINCT (hall, place)) AS keys, count(*) FILTER (WHERE tick <> lower(during)) AS wrong FROM probe_history;
SELECT count(*) FILTER (WHERE (hall, place) IS DISTINCT FROM (last_hall, last_place)) AS keys, count(*) FILTER (WHERE (hall, place) = (last_hall, last_place) AND lower(during) < last_end) AS disorder
    FROM (SELECT *, lag(hall) OVER w AS last_hall, lag(place) OVER w AS last_place, lag(upper(during)) OVER w AS last_end FROM probe_history WINDOW w AS (ORDER BY nr)) x;
SELECT count(*) FROM (SELECT hall, place, tick, level, x, v, n FROM probe_history
    EXCEPT ALL SELECT p.* FROM probe_history h JOIN probe p ON p.hall = h.hall AND p.place = h.place AND p.tick = h.tick) x;
SELECT count(*) FROM (SELECT hall, place, t, v, n FROM generate_series(100, 899) t JOIN probe_history ON during @> t::bigint) h
    FULL JOIN (SELECT p.hall, p.place, tick AS t, p.v, p.n FROM generate_series(100, 899) t JOIN probe p ON p.tick = t) p USING (hall, place, t) WHERE (h.v, h.n) IS DISTINCT FROM (p.v, p.n);
SELECT count(*) FROM contime.history_tick(NULL::probe, 3, 100, 900);
\echo :SQLSTATE
DROP VIEW probe_history;
DROP FOREIGN TABLE probe;

-- ---- a row at a time -----------------------------------------------------------------------------------

-- In a select list, rows beyond a LIMIT are not computed: here the third state is outside the range of its type.
CREATE FOREIGN TABLE small (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), n smallint OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO small VALUES (1, 10, 16000), (1, 20, 16000), (1, 30, 16000);
SELECT contime.history_tick(NULL::small, 1, 0, 100) LIMIT 2;
SELECT contime.history_tick(NULL::small, 0, 100) LIMIT 2;
SELECT contime.history_tick(NULL::small, 0, 100) LIMIT 3;
\echo :SQLSTATE
SELECT contime.series_tick(NULL::small, 1, 10, 1000000, 10) LIMIT 2;
SELECT contime.series_tick(NULL::small, 1, 10, 1000000, 10) LIMIT 3;
\echo :SQLSTATE
SELECT contime.at_tick(NULL::small, 25), contime.at_tick(NULL::small, 15, 1), contime.events_tick(NULL::small, 1, 15, 31);
SELECT t, contime.at_tick(NULL::small, t), contime.series_tick(NULL::small, 1, t, 5, -10) FROM generate_series(5, 25, 10) t;
SELECT contime.history_tick(NULL::small, 2, 0, 100), contime.at_tick(NULL::small, 5);
-- Not all rows are fetched, or the table is changed between two rows.
SELECT t FROM generate_series(1, 3) t WHERE EXISTS (SELECT FROM (SELECT contime.events_tick(NULL::small, 1, t, 31) OFFSET 1) x);
INSERT INTO small SELECT 1, 40, 0 FROM generate_series(1, 200);
DO $$
DECLARE
    r record;
    n int := 0;
BEGIN
    FOR r IN SELECT contime.events_tick(NULL::small, 1, 0, 100) AS e LOOP
        BEGIN
            n := n + 1;
            INSERT INTO small VALUES (1, 15, 1);
            PERFORM 1 / (n % 2);
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
    END LOOP;
    RAISE NOTICE '% events, then %', n, (SELECT count(*) FROM contime.events_tick(NULL::small, 1, 0, 100));
END $$;
BEGIN;
DECLARE c CURSOR FOR SELECT (contime.events_tick(NULL::small, 1, 0, 100)).event;
FETCH 2 FROM c;
DROP FOREIGN TABLE small;
\echo :SQLSTATE
ROLLBACK;
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT (contime.events_tick(NULL::small, 1, 0, 100)).event;
FETCH 1 FROM c;
COMMIT;
FETCH 1 FROM c;
CLOSE c;
DROP FOREIGN TABLE small;
DROP FOREIGN TABLE unit;
-- A durable table.
CREATE TABLE movement (id bigint PRIMARY KEY, account int, at timestamptz, amount int);
CREATE FOREIGN TABLE durable (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), amount int OPTIONS (rule 'sum'), id bigint OPTIONS (event_id 'true'))
    SERVER contime OPTIONS (events 'movement');
INSERT INTO movement SELECT i, i % 3, '2026-01-01'::timestamptz + i * interval '1 minute', i % 5 FROM generate_series(1, 3000) i;
SELECT count(*), sum(amount) FROM contime.series(NULL::durable, 1, '2026-01-01', '2026-01-03', '1 minute');
SELECT contime.since(NULL::durable, 1, '2026-01-02'), contime.since(NULL::durable, 1, '2026-01-01');
SELECT count(*), sum((event).amount), min((event).at), max((event).at), count(late) AS known FROM contime.events(NULL::durable, 1, '2026-01-01 01:00', '2026-01-02');
SELECT count(*) FROM contime.series(NULL::durable, 1, '2026-01-03', '2026-01-01', '-1 minute');
SELECT (state).account, count(*), sum((state).amount), min(lower(during)), max(upper(during)) FROM contime.history(NULL::durable, '2026-01-01 01:00', '2026-01-02') GROUP BY 1 ORDER BY 1;
SELECT contime.history(NULL::durable, 1, '2026-01-01 01:00', '2026-01-02') LIMIT 1;
SELECT count(*) FROM (SELECT contime.history(NULL::durable, '2026-01-01 01:00', '2026-01-02') LIMIT 1) one;
BEGIN;
DECLARE c CURSOR FOR SELECT contime.history(NULL::durable, '2026-01-01', '2026-01-04');
MOVE 10 FROM c;
SAVEPOINT s;
DELETE FROM movement;
MOVE 1000 FROM c;
ROLLBACK TO s;
SELECT pg_temp.rest('c') + 1010 AS rows;
COMMIT;
-- All keys of a table in memory, when a transaction or all sessions see that events were deleted; each UPDATE changes the event's id.
CREATE VIEW difference AS
WITH expected AS (SELECT account, at, sum(amount) OVER (PARTITION BY account ORDER BY at) AS amount, id FROM movement),
    got AS (SELECT (state).* FROM contime.history(NULL::durable, '-infinity', 'infinity'))
SELECT (SELECT count(*) FROM expected) AS expected, (SELECT count(*) FROM got) AS got, (SELECT count(*) FROM (SELECT * FROM expected EXCEPT ALL SELECT * FROM got) x) AS missing;
CALL until('(SELECT cache = ''ready'' FROM contime.tables WHERE "table" = ''durable''::regclass)');
SELECT * FROM difference;
BEGIN;
UPDATE movement SET account = id % 30;
SELECT * FROM difference;
DELETE FROM movement WHERE id % 7 = 0 AND account < 5;
INSERT INTO movement VALUES (4000, 31, '2026-01-01', 1);
SELECT * FROM difference;
COMMIT;
SELECT * FROM difference;
UPDATE movement SET amount = 100 WHERE account = 7 AND id > 2000;
SELECT * FROM difference;
DROP VIEW difference;
-- If a column changes between events, keys with a deleted event are read from the event table, the others from memory.
CREATE FOREIGN TABLE curve (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), amount int OPTIONS (interpolate 'linear', source 'id * id % 1000')) SERVER contime OPTIONS (events 'movement');
SELECT count(*) FROM curve WHERE at = '2026-01-02';
CALL until('(SELECT cache = ''ready'' FROM contime.tables WHERE "table" = ''curve''::regclass)');
CREATE VIEW difference AS
WITH one AS (SELECT h.* FROM (SELECT DISTINCT account FROM movement) k, contime.history(NULL::curve, account, '2026-01-01 03:10:10', '2026-01-02 17:00') h),
    every AS (SELECT * FROM contime.history(NULL::curve, '2026-01-01 03:10:10', '2026-01-02 17:00'))
SELECT (SELECT count(*) FROM one) AS one_by_one, (SELECT count(*) FROM every) AS every, (SELECT count(*) FROM (SELECT * FROM one EXCEPT ALL SELECT * FROM every) x) AS missing;
SELECT * FROM difference;
BEGIN;
DELETE FROM movement WHERE id % 4 = 1 AND account % 3 = 0;
SELECT * FROM difference;
SELECT count(*) FROM contime.history(NULL::curve, '2026-01-01 03:10:10', '2026-01-02 17:00') h LEFT JOIN curve c ON c.at = (h.state).at AND c.account = (h.state).account WHERE (h.state).amount IS DISTINCT FROM c.amount;
ROLLBACK;
DROP VIEW difference;
DROP FOREIGN TABLE curve;
-- Privileges.
CREATE ROLE series_reader;
GRANT SELECT (id, at, balance) ON account TO series_reader;
SET ROLE series_reader;
SELECT count(*) FROM contime.series(NULL::account, 1, '2026-01-01', '2026-01-02', '1 hour');
SELECT contime.since(NULL::account, 1, '2026-01-02');
SELECT count(*) FROM contime.events(NULL::account, 1, '2026-01-01', '2026-01-02');
SELECT count(*) FROM contime.history(NULL::account, '2026-01-01', '2026-01-02');
SELECT contime.history(NULL::account, '2026-01-01', '2026-01-02');
\echo :SQLSTATE
RESET ROLE;
DROP FOREIGN TABLE account, durable;
DROP PROCEDURE until;
DROP TABLE movement;
DROP ROLE series_reader;

-- Of a column that changes between events: since its course last changed, not since its value did.
CREATE FOREIGN TABLE gauge (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), level numeric(9,2) OPTIONS (interpolate 'linear'), label text) SERVER contime;
INSERT INTO gauge VALUES (1, 10, 1, 'a'), (1, 20, 2, NULL), (1, 30, 4, NULL), (1, 35, NULL, 'b');
SELECT t, g.level, g.label, contime.since_tick(NULL::gauge, 1, t) FROM unnest('{5,10,15,20,25,30,34,35,40}'::bigint[]) t LEFT JOIN gauge g ON g.id = 1 AND g.tick = t ORDER BY t;
CREATE FOREIGN TABLE cart (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), km numeric(9,2) OPTIONS (rate 'speed'), speed numeric(9,2)) SERVER contime;
INSERT INTO cart VALUES (1, '2026-01-01 00:00:00', 0, 1), (1, '2026-01-01 00:00:10', NULL, 2), (1, '2026-01-01 00:00:20', NULL, 0);
SELECT s, c.km, contime.since(NULL::cart, 1, '2026-01-01'::timestamptz + s * interval '1 s') FROM unnest('{0,5,10,15,20,99}'::int[]) s JOIN cart c ON c.id = 1 AND c.at = '2026-01-01'::timestamptz + s * interval '1 s' ORDER BY s;
DROP FOREIGN TABLE gauge, cart;
