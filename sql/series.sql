-- One key over time: series, since when, and the events themselves.
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
-- More instants than are read at a time, backwards, by the calendar.
SELECT count(*), sum(balance), min(at), max(at) FROM contime.series(NULL::account, 2, '2026-01-01 11:00', '2026-01-01 13:00', '1 second');
SELECT at, balance FROM contime.series(NULL::account, 1, '2026-01-01 14:00', '2026-01-01 12:00', '-1 hour');
SELECT at FROM contime.series(NULL::account, 2, '2026-01-31', '2026-06-01', '1 month');
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
-- Many events that change nothing.
INSERT INTO unit SELECT 'b', i, CASE WHEN i = 1 THEN -10 ELSE 0 END FROM generate_series(1, 3000) i;
SELECT contime.since_tick(NULL::unit, 'b', 2999), contime.since_tick(NULL::unit, 'b', 0);

-- ---- events --------------------------------------------------------------------------------------

SELECT kind, (event).*, columns FROM contime.events(NULL::account, 1, '-infinity', 'infinity');
SELECT kind, (event).at FROM contime.events(NULL::account, 1, '2026-01-01 12:00', '2026-01-01 14:00');
SELECT count(*) FROM contime.events(NULL::account, 3, '-infinity', 'infinity');
SELECT count(*) FROM contime.events(NULL::account, 1, '2026-01-01', '2026-01-01');
SELECT count(*) FROM contime.events(NULL::account, 1, '2026-01-02', '2026-01-01');
\echo :SQLSTATE
SELECT count(*), sum((event).hp), min((event).tick), max((event).tick), count(DISTINCT (event).tick) FROM contime.events_tick(NULL::unit, 'b', 0, 5000);
-- Many at one instant.
INSERT INTO unit SELECT 'c', 7, i FROM generate_series(1, 2000) i;
SELECT count(*), count(DISTINCT (event).hp), sum((event).hp) FROM contime.events_tick(NULL::unit, 'c', 7, 8);
-- Own changes, and those of a rolled back savepoint.
BEGIN;
INSERT INTO account VALUES (2, '2026-01-01 12:00', 6, 'Cy', 11);
SAVEPOINT s;
INSERT INTO account VALUES (2, '2026-01-01 12:30', 7, 'Di', 12);
ROLLBACK TO s;
SELECT kind, (event).* FROM contime.events(NULL::account, 2, '-infinity', 'infinity');
SELECT contime.since(NULL::account, 2, '2026-01-02');
ROLLBACK;
SELECT contime.since(NULL::account, 2, '2026-01-02');
DROP FOREIGN TABLE unit;
-- Of a durable table.
CREATE TABLE movement (id bigint PRIMARY KEY, account int, at timestamptz, amount int);
CREATE FOREIGN TABLE durable (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), amount int OPTIONS (rule 'sum'), id bigint OPTIONS (event_id 'true'))
    SERVER contime OPTIONS (events 'movement');
INSERT INTO movement SELECT i, i % 3, '2026-01-01'::timestamptz + i * interval '1 minute', i % 5 FROM generate_series(1, 3000) i;
SELECT count(*), sum(amount) FROM contime.series(NULL::durable, 1, '2026-01-01', '2026-01-03', '1 minute');
SELECT contime.since(NULL::durable, 1, '2026-01-02'), contime.since(NULL::durable, 1, '2026-01-01');
SELECT count(*), sum((event).amount), min((event).at), max((event).at) FROM contime.events(NULL::durable, 1, '2026-01-01 01:00', '2026-01-02');
-- Who may.
CREATE ROLE series_reader;
GRANT SELECT (id, at, balance) ON account TO series_reader;
SET ROLE series_reader;
SELECT count(*) FROM contime.series(NULL::account, 1, '2026-01-01', '2026-01-02', '1 hour');
SELECT contime.since(NULL::account, 1, '2026-01-02');
SELECT count(*) FROM contime.events(NULL::account, 1, '2026-01-01', '2026-01-02');
\echo :SQLSTATE
RESET ROLE;
DROP FOREIGN TABLE account, durable;
DROP TABLE movement;
DROP ROLE series_reader;
