-- Keys and values of event tables that are too large for memory: an error in reads that meet them, and in no others.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET client_min_messages = error;
\getenv abs_srcdir PG_ABS_SRCDIR
\set until :abs_srcdir '/sql/until.sql'
\i :until

-- The SQLSTATE and first row of a query; and where it is answered from.
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

-- ---- a table in memory refuses them ---------------------------------------------------------

CREATE FOREIGN TABLE mem (k text OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v text) SERVER contime;
INSERT INTO mem VALUES ('a', '2026-01-01', 'x');
INSERT INTO mem VALUES (repeat('k', 2044), '2026-01-01', 'longest');
INSERT INTO mem VALUES (repeat('k', 2045), '2026-01-01', 'x');
\echo :SQLSTATE
SELECT n, ask(format('SELECT v FROM mem WHERE k = repeat(%L, %s)', 'k', n)) FROM unnest(ARRAY[2044, 2045, 3000, 100000, 10000000]) n;
SELECT ask('SELECT count(*) FROM contime.at(NULL::mem, ''2026-02-01'', repeat(''k'', 100000))');
SELECT length(k), v FROM mem ORDER BY k;
DROP FOREIGN TABLE mem;

-- ---- keys: text, bytea, and two columns -------------------------------------------------------

CREATE TABLE ev (i serial, k text, b bytea, at timestamptz DEFAULT '2026-01-01', v int DEFAULT 1, note text);
CREATE FOREIGN TABLE bytext (k text OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum'), note text) SERVER contime OPTIONS (events 'ev');
CREATE FOREIGN TABLE bybytea (b bytea OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'ev');
CREATE FOREIGN TABLE byboth (k text OPTIONS (key 'true'), b bytea OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'ev');
INSERT INTO ev (k, b) SELECT 'k' || i % 10, convert_to('b' || i % 10, 'UTF8') FROM generate_series(1, 100) i;
CREATE TABLE size (n int);
INSERT INTO size VALUES (2047), (2048), (2049), (2060), (3000), (65536 + 2), (100000);
CREATE PROCEDURE report() LANGUAGE plpgsql AS $$
BEGIN
    CALL loaded('bytext');
    CALL loaded('bybytea');
    CALL loaded('byboth');
END $$;
CREATE VIEW answers AS SELECT ask('SELECT sum(v) FROM bytext') AS "all", ask('SELECT v FROM bytext WHERE k = ''k3''') AS one,
    (SELECT string_agg(n || ': ' || ask(format('SELECT v FROM bytext WHERE k = repeat(''k'', %s)', n)), ', ' ORDER BY n) FROM size) AS long;
CREATE VIEW others AS SELECT ask('SELECT sum(v) FROM bybytea') AS all_b, ask('SELECT v FROM bybytea WHERE b = ''b3''') AS one_b,
    ask('SELECT sum(v) FROM byboth') AS all_both, ask('SELECT v FROM byboth WHERE k = ''k3'' AND b = ''b3''') AS one_both,
    (SELECT string_agg(n || ': ' || ask(format('SELECT v FROM bybytea WHERE b = convert_to(repeat(''b'', %s), ''UTF8'')', n)) || ' ' ||
                       ask(format('SELECT v FROM byboth WHERE k = repeat(''k'', %s) AND b = ''b3''', n)), ', ' ORDER BY n) FROM size) AS long;
-- From the event tables, before any key is too long.
SELECT * FROM answers;
-- Long keys written before the cache is loaded.
INSERT INTO ev (k, b) SELECT repeat('k', n), 'b3' FROM size;
INSERT INTO ev (k, b) SELECT 'k3', convert_to(repeat('b', n), 'UTF8') FROM size;
SELECT * FROM answers;
CALL report();
CREATE VIEW places AS SELECT asked('SELECT v FROM bytext WHERE k = ''k3''') AS text, asked('SELECT v FROM bybytea WHERE b = ''b3''') AS bytea, asked('SELECT v FROM byboth WHERE k = ''k3'' AND b = ''b3''') AS both;
SELECT * FROM answers;
SELECT * FROM others;
SELECT * FROM places;
SELECT "table", cache, keys FROM contime.tables WHERE "table"::text LIKE 'by%' ORDER BY "table"::text;
SELECT sum(v) FROM bytext;
SELECT v FROM bytext WHERE k = repeat('k', 3000);
-- Long keys written after it is loaded, in every way; all other rows are visible.
INSERT INTO ev (k) SELECT repeat('k', n) FROM size;
INSERT INTO ev (k) VALUES ('k3'), (NULL), (repeat('k', 200000));
UPDATE ev SET v = 5 WHERE k = repeat('k', 2044) OR k = repeat('k', 3000);
SELECT * FROM answers;
SELECT * FROM others;
SELECT * FROM places;
SELECT answered_from, events, equal FROM contime.verify('bytext');
-- All keys at an instant before the first long key: no error.
SELECT ask('SELECT count(*) FROM bytext WHERE at = ''2025-01-01'''), ask('SELECT count(*) FROM contime.history(NULL::bytext, ''2025-01-01'', ''2025-02-01'')');
SELECT ask('SELECT count(*) FROM contime.at(NULL::bytext, ''2026-01-01'')'), ask('SELECT count(*) FROM contime.history(NULL::bytext, ''2026-01-01'', ''2026-02-01'')'),
    ask('SELECT count(*) FROM contime.events(NULL::bytext, repeat(''k'', 3000), ''2026-01-01'', ''2026-02-01'')'), ask('SELECT contime.since(NULL::bytext, repeat(''k'', 3000), ''2026-02-01'')'),
    ask('SELECT count(*) FROM contime.series(NULL::bytext, repeat(''k'', 3000), ''2026-01-01'', ''2026-01-02'', ''1 hour'')');
-- Keys one by one and in an array, one of them too long; a key without rows has no state, however long it is.
SELECT ask('SELECT sum(v) FROM bytext WHERE k IN (''k1'', ''k2'')'), ask('SELECT sum(v) FROM bytext WHERE k IN (''k1'', repeat(''k'', 3000))'),
    ask('SELECT sum(v) FROM bytext WHERE k IN (''k1'', repeat(''z'', 3000), repeat(''z'', 1000000))'), ask('SELECT v FROM bytext WHERE k = repeat(''z'', 20000000)');
-- A key becomes long, and short again; and the same rolled back.
UPDATE ev SET k = repeat('k', 4000) WHERE k = 'k5';
SELECT ask('SELECT v FROM bytext WHERE k = ''k5'''), ask('SELECT v FROM bytext WHERE k = repeat(''k'', 4000)');
UPDATE ev SET k = 'k5' WHERE k = repeat('k', 4000);
SELECT ask('SELECT v FROM bytext WHERE k = ''k5'''), ask('SELECT v FROM bytext WHERE k = repeat(''k'', 4000)');
BEGIN;
UPDATE ev SET k = repeat('k', 4000) WHERE k IN ('k5', 'k6');
SELECT ask('SELECT v FROM bytext WHERE k = ''k5'''), ask('SELECT v FROM bytext WHERE k = repeat(''k'', 4000)');
ROLLBACK;
SELECT ask('SELECT v FROM bytext WHERE k = ''k5'''), ask('SELECT v FROM bytext WHERE k = repeat(''k'', 4000)'), asked('SELECT v FROM bytext WHERE k = ''k5''');
SELECT answered_from, equal FROM contime.verify('bytext');
-- The long keys are deleted: no read is an error.
DELETE FROM ev WHERE length(k) > 2044 OR length(b) > 2044;
SELECT ask('SELECT sum(v) FROM bytext') AS "all", (SELECT sum(v) FROM ev WHERE k IS NOT NULL) AS rows, ask('SELECT v FROM bytext WHERE k = repeat(''k'', 3000)') AS long, ask('SELECT sum(v) FROM bybytea'), ask('SELECT sum(v) FROM byboth');
-- A new cache contains all keys.
ALTER TABLE ev ADD unused int;
CALL report();
SELECT * FROM answers;
SELECT asked('SELECT * FROM bytext');
DELETE FROM ev WHERE length(k) > 100 OR length(b) > 100;

-- ---- the values of an event ------------------------------------------------------------------

-- (With the length of each, 1048576 bytes in all.)
INSERT INTO ev (k, note) VALUES ('n1', repeat('n', 1048576 - 12)), ('n2', repeat('n', 1048576 - 11)), ('n3', repeat('n', 20000000)), ('n4', 'short'), ('n5', 'short');
CALL report();
CREATE VIEW notes AS SELECT k, ask(format('SELECT length(note) FROM bytext WHERE k = %L', k)) AS length, ask(format('SELECT v FROM bytext WHERE k = %L', k)) AS v,
    CASE k WHEN 'n5' THEN asked(format('SELECT v FROM bytext WHERE k = %L', k)) END AS "from" FROM (VALUES ('n1'), ('n2'), ('n3'), ('n4'), ('n5')) n(k);
SELECT * FROM notes;
SELECT ask('SELECT count(*) FROM bytext');
ALTER TABLE ev ADD unused2 int;
CALL report();
SELECT * FROM notes;
SELECT ask('SELECT count(*) FROM bytext'), ask('SELECT v FROM bytext WHERE k = ''k3'''), asked('SELECT v FROM bytext WHERE k = ''k3''');
UPDATE ev SET note = 'less' WHERE k IN ('n2', 'n3');
SELECT * FROM notes;
UPDATE ev SET note = repeat('n', 2000000) WHERE k = 'n4';
SELECT * FROM notes;
DELETE FROM ev WHERE k = 'n4';
SELECT * FROM notes;
SELECT answered_from, equal FROM contime.verify('bytext');

-- ---- two sources, one of which has a long key; long rows that the snapshot does not see ---------

CREATE TABLE other (k text, at timestamptz, v int);
CREATE FOREIGN TABLE two (k text OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'ev');
SELECT contime.add_source('two', 'other', '{"v": "v"}');
INSERT INTO other VALUES ('k1', '2026-01-02', 100), (repeat('o', 5000), '2026-06-01', 1);
CALL loaded('two');
SELECT ask('SELECT v FROM two WHERE k = ''k1'''), ask('SELECT v FROM two WHERE k = repeat(''o'', 5000)'), ask('SELECT sum(v) - 100 FROM two WHERE at = ''2026-03-01''') = (SELECT sum(v)::text FROM ev WHERE k IS NOT NULL) AS before, ask('SELECT sum(v) FROM two');
-- In the order of keys a long key may be read ahead: a cursor that stops before it may get the error, or not.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT ask('SELECT v FROM two WHERE k = ''k1'''), ask('SELECT v FROM two WHERE k = repeat(''o'', 5000)'), ask('SELECT sum(v) FROM two');
COMMIT;
DROP VIEW answers, others, notes, places;
DROP FOREIGN TABLE bytext, bybytea, byboth, two;
DROP TABLE ev, other, size;
DROP FUNCTION ask, asked;
DROP PROCEDURE report, loaded, until;
