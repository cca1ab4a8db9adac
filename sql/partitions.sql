-- Durable tables whose event table is a partitioned one: their rows are captured wherever they are written.
SET timezone = 'UTC';
\getenv abs_srcdir PG_ABS_SRCDIR
\set until :abs_srcdir '/sql/until.sql'
\i :until

CREATE TABLE reading (sensor int, at timestamptz, value int, note text) PARTITION BY LIST (sensor);
CREATE TABLE reading_1 PARTITION OF reading FOR VALUES IN (1);
-- A partition with its columns in another order, and a dropped one.
CREATE TABLE reading_2 (note text, gone int, at timestamptz, value int, sensor int);
ALTER TABLE reading_2 DROP COLUMN gone;
ALTER TABLE reading ATTACH PARTITION reading_2 FOR VALUES IN (2);
-- A partition that has partitions.
CREATE TABLE reading_n PARTITION OF reading FOR VALUES IN (3, 4, 5, 6) PARTITION BY LIST (sensor);
CREATE TABLE reading_n3 PARTITION OF reading_n FOR VALUES IN (3);
INSERT INTO reading SELECT i % 3 + 1, '2026-01-01'::timestamptz + i * interval '1 minute', i, 'n' || i FROM generate_series(1, 300) i;
CREATE FOREIGN TABLE sensor (
    sensor int         OPTIONS (key 'true'),
    at     timestamptz OPTIONS (time 'true'),
    total  bigint      OPTIONS (rule 'sum', source 'value'),
    note   text,
    n      int         OPTIONS (rule 'sum', source '1')
) SERVER contime OPTIONS (events 'reading');

-- The tables that have the triggers.
CREATE VIEW captured AS
SELECT tgrelid::regclass AS relation, count(*) FROM pg_trigger WHERE tgisinternal AND tgname LIKE '!contime%' GROUP BY 1 ORDER BY 1;
SELECT * FROM captured;

CREATE PROCEDURE loaded(t regclass) LANGUAGE plpgsql AS $$ BEGIN
    EXECUTE format('SELECT FROM %s LIMIT 1', t);
    COMMIT;
    CALL until(format('(SELECT cache IN (''ready'', ''refused'') FROM contime.tables WHERE "table" = %L::regclass)', t));
END $$;
-- Differences between the states and the rows; and whether memory was read.
CREATE VIEW differences AS
SELECT sensor, at, total, b1 AS expected
FROM (SELECT DISTINCT at FROM reading) i
CROSS JOIN LATERAL (SELECT r.sensor, sum(value) AS b1, (array_agg(note ORDER BY r.at DESC, value DESC) FILTER (WHERE note IS NOT NULL))[1] AS b2, count(*) AS b3
                    FROM reading r WHERE r.at <= i.at GROUP BY r.sensor) b
FULL JOIN (SELECT s.* FROM (SELECT DISTINCT at FROM reading) i JOIN sensor s USING (at)) s USING (sensor, at)
WHERE (s.total, s.note, s.n) IS DISTINCT FROM (b1, b2, b3);
CREATE VIEW checked AS
SELECT (SELECT count(*) FROM differences) AS differences, v.* FROM contime.verify('sensor') v;
CALL loaded('sensor');
SELECT * FROM checked;

-- ---- writing --------------------------------------------------------------------------------

-- Through the parent, through the inner partitioned table, and to the partition itself.
INSERT INTO reading SELECT i % 3 + 1, '2026-01-02'::timestamptz + i * interval '1 minute', i, NULL FROM generate_series(1, 30) i;
INSERT INTO reading_2 (sensor, at, value, note) VALUES (2, '2026-01-03', 7, 'two'), (2, '2025-12-31', 8, 'first');
INSERT INTO reading_n VALUES (3, '2026-01-03', 9, 'three');
COPY reading_2 (at, sensor, value) FROM STDIN;
2026-01-03 01:00	2	11
\.
COPY reading FROM STDIN;
1	2026-01-03 01:00	12	one
2	2026-01-03 02:00	13	two
3	2026-01-03 01:00	14	three
\.
UPDATE reading SET value = value + 1, at = at - interval '1 second' WHERE value % 7 = 0;
UPDATE reading_2 SET note = 'x' WHERE value % 5 = 0;
DELETE FROM reading WHERE value % 11 = 0;
DELETE FROM reading_n WHERE value % 13 = 0;
MERGE INTO reading r USING (VALUES (1, 1), (2, 2), (2, 5), (3, 77)) v(sensor, value) ON r.sensor = v.sensor AND r.value = v.value
WHEN MATCHED AND r.sensor = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET value = -r.value WHEN NOT MATCHED THEN INSERT VALUES (v.sensor, '2026-01-01', v.value, 'merged');
SELECT * FROM checked;
-- To another partition, and errors in doing so.
UPDATE reading SET sensor = sensor % 3 + 1, note = 'moved' WHERE value % 10 = 3;
CREATE FUNCTION moves() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.sensor := 2; RETURN new; END $$;
CREATE TRIGGER moves BEFORE UPDATE ON reading_1 FOR EACH ROW EXECUTE FUNCTION moves();
CREATE FUNCTION skips() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN new.value % 2 = 0 THEN new END; END $$;
CREATE TRIGGER skips BEFORE INSERT ON reading_2 FOR EACH ROW EXECUTE FUNCTION skips();
UPDATE reading SET value = value WHERE sensor = 1 AND value % 10 > 6;
SELECT * FROM checked;
DROP TRIGGER moves ON reading_1;
DROP TRIGGER skips ON reading_2;
-- Two statements in one, of which one writes to a partition.
WITH w AS (INSERT INTO reading VALUES (1, '2026-01-04', 1, 'w'), (2, '2026-01-04', 2, 'w') RETURNING 1), x AS (UPDATE reading_n SET value = value + 1 WHERE value < 50 RETURNING 1)
INSERT INTO reading_2 (sensor, at, value) SELECT 2, '2026-01-05', count(*) FROM w, x;
BEGIN;
INSERT INTO reading_1 VALUES (1, '2026-01-06', 1, 'later');
SAVEPOINT s;
DELETE FROM reading_2;
SELECT * FROM checked;
ROLLBACK TO s;
UPDATE reading SET value = 0 WHERE sensor = 2;
SELECT * FROM checked;
COMMIT;
SELECT * FROM checked;
-- Constraint triggers write, too.
CREATE TABLE kind (id int PRIMARY KEY);
INSERT INTO kind VALUES (1), (2), (3);
ALTER TABLE reading ADD CONSTRAINT kind FOREIGN KEY (sensor) REFERENCES kind ON DELETE CASCADE ON UPDATE CASCADE;
CALL loaded('sensor');
DELETE FROM kind WHERE id = 3;
SELECT * FROM checked;
ALTER TABLE reading DROP CONSTRAINT kind;

-- ---- partitions are created, attached and detached --------------------------------------------

CALL loaded('sensor');
-- A new one is empty, so the cache stays.
CREATE TABLE reading_n4 PARTITION OF reading_n FOR VALUES IN (4);
CREATE TABLE reading_9 PARTITION OF reading FOR VALUES IN (9) PARTITION BY LIST (value);
CREATE TABLE reading_9_all PARTITION OF reading_9 DEFAULT;
INSERT INTO reading VALUES (4, '2026-01-01', 44, NULL), (9, '2026-01-01', 99, NULL);
SELECT * FROM checked;
SELECT * FROM captured;
-- One with rows is attached: the cache does not stay.
CREATE TABLE reading_5 (LIKE reading);
INSERT INTO reading_5 VALUES (5, '2026-01-01', 55, NULL);
BEGIN;
ALTER TABLE reading_n ATTACH PARTITION reading_5 FOR VALUES IN (5);
SELECT * FROM checked;
COMMIT;
CALL loaded('sensor');
INSERT INTO reading_5 VALUES (5, '2026-01-01', 5, NULL);
SELECT * FROM checked;
BEGIN;
ALTER TABLE reading_n DETACH PARTITION reading_5;
SELECT * FROM checked;
INSERT INTO reading_5 VALUES (5, '2026-01-01', 5, NULL);
ROLLBACK;
SELECT * FROM checked;
ALTER TABLE reading_n DETACH PARTITION reading_5;
SELECT * FROM checked;
CALL loaded('sensor');
INSERT INTO reading_5 VALUES (5, '2026-01-01', 5, NULL);
SELECT * FROM checked;
ALTER TABLE reading DETACH PARTITION reading_n CONCURRENTLY;
SELECT * FROM captured;
CALL loaded('sensor');
INSERT INTO reading_n VALUES (3, '2026-01-01', 5, NULL);
SELECT * FROM checked;
ALTER TABLE reading ATTACH PARTITION reading_n FOR VALUES IN (3, 4, 5, 6);
CALL loaded('sensor');
SELECT * FROM checked;
TRUNCATE reading_n4;
SELECT * FROM checked;
CALL loaded('sensor');
BEGIN;
TRUNCATE reading_1;
INSERT INTO reading_1 VALUES (1, '2026-01-06', 3, NULL);
SELECT * FROM checked;
ROLLBACK;
SELECT * FROM checked;
DROP TABLE reading_n3;
SELECT * FROM checked;
CALL loaded('sensor');
TRUNCATE reading_n;
CALL loaded('sensor');
SELECT * FROM checked;
-- Rows that are visible to all snapshots at once.
BEGIN;
CREATE TABLE reading_6 PARTITION OF reading_n FOR VALUES IN (6);
COPY reading_6 FROM STDIN (FREEZE);
6	2026-01-01	66	frozen
\.
SELECT * FROM checked;
COMMIT;
CALL loaded('sensor');
SELECT * FROM checked;
-- ALTER of a partition.
ALTER TABLE reading_6 SET (fillfactor = 90), ALTER COLUMN note SET STATISTICS 10;
SELECT * FROM checked;
ALTER TABLE reading_6 SET UNLOGGED;
SELECT * FROM checked;
CALL loaded('sensor');
ALTER TABLE reading_6 DISABLE TRIGGER ALL;
INSERT INTO reading VALUES (6, '2026-01-02', 6, NULL);
SELECT * FROM checked;
ALTER TABLE reading_6 ENABLE TRIGGER ALL;
SELECT DISTINCT tgenabled FROM pg_trigger WHERE tgrelid = 'reading_6'::regclass;
ALTER TABLE reading ADD COLUMN more int DEFAULT 5;
CALL loaded('sensor');
INSERT INTO reading VALUES (2, '2026-01-02', 6, NULL);
INSERT INTO reading VALUES (6, '2026-01-02', 6, NULL);
SELECT * FROM checked;

-- ---- what cannot be captured ------------------------------------------------------------------

CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nothing FOREIGN DATA WRAPPER nothing;
CREATE VIEW cached AS SELECT cache IS NOT DISTINCT FROM 'ready' AS cached FROM contime.tables WHERE "table" = 'sensor'::regclass;
BEGIN;
CREATE FOREIGN TABLE reading_7 PARTITION OF reading FOR VALUES IN (7) SERVER nothing;
SELECT * FROM cached;
ROLLBACK;
CALL loaded('sensor');
-- An event table that is a partition itself.
CREATE TABLE all_readings (LIKE reading) PARTITION BY LIST (sensor);
ALTER TABLE all_readings ATTACH PARTITION reading DEFAULT;
CALL loaded('sensor');
SELECT * FROM cached;
ALTER TABLE all_readings DETACH PARTITION reading;
CALL loaded('sensor');
SELECT * FROM checked;
-- A child by inheritance: before it is created, the event table can be captured.
CREATE TABLE plain (sensor int, at timestamptz, value int, note text);
CREATE FOREIGN TABLE plain_sensor (sensor int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), value int OPTIONS (rule 'sum'))
SERVER contime OPTIONS (events 'plain');
INSERT INTO plain VALUES (1, '2026-01-01', 1, NULL);
CALL loaded('plain_sensor');
SELECT * FROM contime.verify('plain_sensor');
CREATE TABLE child () INHERITS (plain);
INSERT INTO child VALUES (1, '2026-01-01', 2, NULL);
SELECT sensor, value FROM plain_sensor;
CALL loaded('plain_sensor');
SELECT * FROM contime.verify('plain_sensor');
-- When it is dropped, the event table can be captured again.
DROP TABLE child;
ALTER TABLE plain ENABLE TRIGGER ALL;
CALL loaded('plain_sensor');
SELECT * FROM contime.verify('plain_sensor');

-- ---- the end ----------------------------------------------------------------------------------

DROP VIEW differences, checked, cached;
DROP FOREIGN TABLE sensor;
SELECT * FROM captured;
DROP VIEW captured;
DROP TABLE plain CASCADE;
DROP TABLE reading, reading_5, all_readings, kind;
DROP FUNCTION moves, skips;
DROP PROCEDURE loaded, until;
DROP SERVER nothing;
DROP FOREIGN DATA WRAPPER nothing;
