-- Rows of event tables that cannot be events: what they are an error for, where they are named, and the option bad_rows.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\getenv abs_srcdir PG_ABS_SRCDIR
\set until :abs_srcdir '/sql/until.sql'
\i :until
\set SHOW_CONTEXT never

-- The SQLSTATE and first row of a query; and where it is answered.
CREATE FUNCTION ask(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    EXECUTE query INTO answer;
    RETURN coalesce(answer, 'NULL');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
CREATE FUNCTION asked(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; result text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
        result := coalesce(substring(line FROM 'Events: (.*)'), result);
    END LOOP;
    RETURN result;
END $$;
CREATE PROCEDURE loaded(state regclass) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ask(format('SELECT count(*) FROM %s', state));
    COMMIT;
    CALL until(format($c$ (SELECT cache IN ('ready', 'partial', 'refused') FROM contime.tables WHERE "table" = %L::regclass) $c$, state));
END $$;

-- ---- each kind of bad row: only its key is in error ----------------------------------------

CREATE TABLE ev (k int, at timestamptz DEFAULT '2026-01-01', v numeric DEFAULT 1, f float8, note text);
CREATE TABLE checks (k int, at timestamptz DEFAULT '2026-01-01', b int);
CREATE FOREIGN TABLE t (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v numeric(10,2) OPTIONS (rule 'sum'),
    f float8 OPTIONS (rule 'sum', scale '2'), b int OPTIONS (rule 'sum', lower '0', upper '10', source 'NULL'), note text) SERVER contime OPTIONS (events 'ev');
SELECT contime.add_source('t', 'checks', '{"b": "b"}', 'snapshot');
INSERT INTO ev SELECT i % 10, '2026-01-01', 1 FROM generate_series(0, 99) i;
INSERT INTO ev (k, v, f) VALUES (1, 'NaN', 0), (2, 1, 'NaN'), (3, 1, '-infinity'), (4, 1, 1e18);
INSERT INTO ev VALUES (5, '-infinity');
INSERT INTO ev (k, note) VALUES (6, repeat('x', 1100000));
INSERT INTO checks VALUES (7, '2026-01-01', 11), (8, '2026-01-01', 10);
-- Of these each is no event, and nothing is wrong with it.
INSERT INTO ev VALUES (9, 'infinity', 5), (9, NULL, 5), (NULL, '2026-01-01', 5);
CREATE VIEW answers AS SELECT k, ask(format('SELECT v FROM t WHERE k = %s', k)) AS now, ask(format('SELECT v FROM t WHERE k = %s AND at = ''2025-01-01''', k)) AS before FROM generate_series(0, 9) k;
CREATE VIEW together AS SELECT ask('SELECT sum(v) FROM t') AS now, ask('SELECT sum(v) FROM t WHERE at = ''2025-01-01''') AS before,
    ask('SELECT sum(v) FROM t WHERE k IN (0, 8, 9)') AS three, ask('SELECT sum((state).v) FROM contime.history(NULL::t, ''2026-01-01'', ''2027-01-01'')') AS histories;
SELECT * FROM answers;
SELECT * FROM together;
-- The error says which row it is.
SELECT v FROM t WHERE k = 1;
SELECT v FROM t WHERE k = 2;
SELECT v FROM t WHERE k = 3;
SELECT v FROM t WHERE k = 4;
SELECT v FROM t WHERE k = 5;
SELECT v FROM t WHERE k = 6;
SELECT v FROM t WHERE k = 7;
SELECT sum(v) FROM t;
-- From memory, the same.
CALL loaded('t');
SELECT cache, bad_rows FROM contime.tables WHERE "table" = 't'::regclass;
SELECT * FROM answers;
SELECT * FROM together;
SELECT asked('SELECT v FROM t WHERE k = 0') AS good, asked('SELECT v FROM t WHERE k = 8') AS also, asked('SELECT v FROM t WHERE k = 9') AS infinite;
SELECT * FROM contime.verify('t');
-- Written while there is a cache: a row that becomes bad, one that was and is not any more, one that is rolled back.
UPDATE ev SET v = 'NaN' WHERE ctid = (SELECT min(ctid) FROM ev WHERE k = 0);
UPDATE ev SET v = 3 WHERE k = 1 AND v = 'NaN';
BEGIN;
INSERT INTO ev VALUES (8, '2026-01-01', 'NaN');
SELECT ask('SELECT v FROM t WHERE k = 8');
ROLLBACK;
DELETE FROM ev WHERE k = 5 AND at = '-infinity';
UPDATE ev SET at = 'infinity' WHERE ctid = (SELECT min(ctid) FROM ev WHERE k = 9 AND at = '2026-01-01');
SELECT * FROM answers;
SELECT cache, bad_rows FROM contime.tables WHERE "table" = 't'::regclass;
SELECT answered_from, equal FROM contime.verify('t');

-- ---- bad_rows 'ignore': they count nowhere -------------------------------------------------

ALTER FOREIGN TABLE t OPTIONS (ADD bad_rows 'perhaps');
ALTER FOREIGN TABLE t OPTIONS (ADD bad_rows 'ignore');
CALL loaded('t');
SELECT * FROM answers;
SELECT * FROM together;
SELECT asked('SELECT v FROM t WHERE k = 1') AS bad, asked('SELECT v FROM t') AS "all";
SELECT answered_from, events, equal FROM contime.verify('t');
-- From the event tables.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT asked('SELECT v FROM t');
SELECT * FROM answers;
SELECT * FROM together;
COMMIT;
-- A new cache counts them.
ALTER TABLE ev ADD unused int;
CALL loaded('t');
SELECT cache, bad_rows FROM contime.tables WHERE "table" = 't'::regclass;
INSERT INTO ev SELECT 1, '2026-01-01', 'NaN' FROM generate_series(1, 20);
SELECT cache, bad_rows FROM contime.tables WHERE "table" = 't'::regclass;
SELECT * FROM together;
SELECT * FROM contime.verify('t');
-- And back: what was left out is an error again.
ALTER FOREIGN TABLE t OPTIONS (SET bad_rows 'error');
CALL loaded('t');
SELECT * FROM answers;
SELECT * FROM together;
ALTER FOREIGN TABLE t OPTIONS (DROP bad_rows);
SELECT * FROM answers WHERE k < 2;

-- ---- nothing of the key for who may not read it ---------------------------------------------

CREATE ROLE contime_curious;
GRANT SELECT (at, v) ON t TO contime_curious;
SET ROLE contime_curious;
SELECT sum(v) FROM t;
RESET ROLE;
REVOKE ALL ON t FROM contime_curious;
DROP ROLE contime_curious;

-- ---- keys of several columns, long ones, partitions -----------------------------------------

CREATE TABLE parted (part int, name text, hall int, tick bigint, v float8) PARTITION BY LIST (part);
CREATE TABLE parted_1 (v float8, gone int, tick bigint, hall int, name text, part int);
ALTER TABLE parted_1 DROP COLUMN gone;
ALTER TABLE parted ATTACH PARTITION parted_1 FOR VALUES IN (1);
CREATE TABLE parted_2 PARTITION OF parted DEFAULT;
CREATE FOREIGN TABLE p (hall int OPTIONS (key 'true'), name text OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), v float8 OPTIONS (scale '3', rule 'max')) SERVER contime OPTIONS (events 'parted');
INSERT INTO parted VALUES (1, 'a', 1, 5, 1), (2, 'b', 1, 5, 2);
CALL loaded('p');
INSERT INTO parted VALUES (1, repeat('ä', 100), 1, 6, 'infinity'), (2, 'b', 1, 7, 'NaN');
SELECT v FROM p WHERE hall = 1 AND name = 'a';
SELECT v FROM p WHERE hall = 1 AND name = repeat('ä', 100);
SELECT v FROM p WHERE hall = 1 AND name = 'b';
SELECT v FROM p WHERE hall = 1 AND name = 'b' AND tick = 6;
SELECT * FROM contime.verify('p');

-- ---- a table in memory refuses them when they are written -----------------------------------

CREATE FOREIGN TABLE mem (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), f float8 OPTIONS (rule 'sum', scale '2')) SERVER contime OPTIONS (bad_rows 'ignore');
INSERT INTO mem VALUES (1, '2026-01-01', 'NaN');
INSERT INTO mem VALUES (1, '2026-01-01', 1e18);
INSERT INTO mem VALUES (1, 'infinity', 1);

DROP VIEW answers, together;
DROP FOREIGN TABLE t, p, mem;
DROP TABLE ev, checks, parted;
DROP FUNCTION ask, asked;
DROP PROCEDURE loaded, until;

-- The newest tick is that of the latest row that is an event, also behind many that are none.
CREATE TABLE step (id int, t bigint, v float8);
CREATE FOREIGN TABLE walk (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true', source 't'), v float8 OPTIONS (scale '1')) SERVER contime OPTIONS (events 'step', bad_rows 'ignore');
INSERT INTO step VALUES (1, 5, 1), (2, 7, 2), (2, 8, 'NaN');
BEGIN;
SELECT * FROM walk ORDER BY id;
INSERT INTO step SELECT 3, 10 + i, 'NaN' FROM generate_series(1, 40) i;
SELECT * FROM walk ORDER BY id;
SELECT contime.latest_tick(NULL::walk);
COMMIT;
DROP FOREIGN TABLE walk;
DROP TABLE step;
