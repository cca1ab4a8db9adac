-- The counters: recent, young, frozen; each committed event is in exactly one of them.
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE FOREIGN TABLE stock (
    item     int         OPTIONS (key 'true'),
    at       timestamptz OPTIONS (time 'true'),
    pieces   int         OPTIONS (rule 'sum', initial '0'),
    movement int         OPTIONS (event_id 'true')
) SERVER contime;
\getenv abs_srcdir PG_ABS_SRCDIR
\set until :abs_srcdir '/sql/until.sql'
\i :until
CREATE VIEW counted AS
    SELECT keys, recent + young + frozen AS kept, duplicates, conflicts,
           recent + young + frozen + duplicates + conflicts AS inserted, bytes > 0 AS bytes, since <= now() AS since
    FROM contime.tables WHERE "table" = 'stock'::regclass;

SELECT sum(entered) AS entered, sum(dropped) AS dropped FROM contime.workers \gset

-- A table without data is not shown.
SELECT * FROM contime.tables;
INSERT INTO stock SELECT i % 10, timestamptz '2020-01-01' + i * interval '1 hour', 1, i FROM generate_series(1, 1000) i;
SELECT inserted FROM counted;
CALL until('(SELECT recent = 0 AND young = 0 FROM contime.tables)');
SELECT * FROM counted;
SELECT recent, young, frozen, late FROM contime.tables;

-- Events that were rolled back are not counted, and their memory is freed.
BEGIN;
INSERT INTO stock SELECT i % 10, timestamptz '2020-01-01' + i * interval '1 hour', 1, i FROM generate_series(1001, 1100) i;
SELECT inserted FROM counted;
ROLLBACK;
SELECT inserted FROM counted;
CALL until('(SELECT recent = 0 AND young = 0 FROM contime.tables)');
SELECT * FROM counted;

-- Copies and conflicts are dropped once every snapshot sees all of them, and counted.
INSERT INTO stock SELECT i % 10, timestamptz '2020-01-01' + i * interval '1 hour', 1, i FROM generate_series(901, 1000) i;
INSERT INTO stock SELECT i % 10, timestamptz '2020-01-01' + i * interval '1 hour', 2, i FROM generate_series(1, 10) i;
SELECT inserted FROM counted;
SELECT sum(pieces) FROM stock WHERE at = '2021-01-01';
CALL until('(SELECT recent = 0 AND young = 0 FROM contime.tables)');
SELECT * FROM counted;
SELECT sum(pieces) FROM stock WHERE at = '2021-01-01';

-- Late events are counted as they enter.
INSERT INTO stock SELECT i % 10, timestamptz '2019-01-01' + i * interval '1 hour', 1, -i FROM generate_series(1, 50) i;
CALL until('(SELECT recent = 0 AND young = 0 FROM contime.tables)');
SELECT inserted FROM counted;
SELECT late >= 50 AS late FROM contime.tables;

-- An old PostgreSQL snapshot keeps events young, not recent: tested by TAP tests and isolation tests.
SELECT worker, pid > 0 AS runs, entered > 0 AS entered, dropped >= 0 AS dropped, memory_bytes > 0 AS memory, last_pass <= clock_timestamp() AS passed
    FROM contime.workers ORDER BY worker;
CALL until('(SELECT sum(dropped) >= ' || :dropped || ' + 100 FROM contime.workers)');
SELECT sum(entered) - :entered AS entered, sum(dropped) - :dropped AS dropped FROM contime.workers;

-- Tables of other roles, and dropped tables.
TRUNCATE stock;
SELECT inserted FROM counted;
CALL until('(SELECT coalesce(sum(bytes), 0) < 100000 FROM contime.tables)');
DROP FOREIGN TABLE stock CASCADE;
SELECT * FROM contime.tables;
DROP PROCEDURE until;
