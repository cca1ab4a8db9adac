-- DDL on a table while a query on it is open in the same session is refused for a durable table as for an ordinary one.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET client_min_messages = warning;
\getenv abs_srcdir PG_ABS_SRCDIR
\set until :abs_srcdir '/sql/until.sql'
\i :until

CREATE TABLE up (id int PRIMARY KEY);
CREATE TABLE ev (k int, at timestamptz, a int, up int REFERENCES up);
CREATE FOREIGN TABLE st (
    k  int         OPTIONS (key 'true'),
    at timestamptz OPTIONS (time 'true'),
    a  int         OPTIONS (rule 'sum', initial '0')
) SERVER contime OPTIONS (events 'ev');
INSERT INTO ev SELECT i % 3, '2026-01-01', 1 FROM generate_series(1, 30) i;
CREATE TABLE more (k int, at timestamptz, a int);
SELECT contime.add_source('st', 'more');
CREATE TABLE parted (k int, at timestamptz, a int) PARTITION BY RANGE (at);
CREATE TABLE old PARTITION OF parted FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE new PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY LIST (k);
CREATE TABLE new0 PARTITION OF new FOR VALUES IN (0);
CREATE TABLE new1 PARTITION OF new FOR VALUES IN (1, 2);
CREATE TABLE loose (LIKE parted);
CREATE FOREIGN TABLE pt (
    k  int         OPTIONS (key 'true'),
    at timestamptz OPTIONS (time 'true'),
    a  int         OPTIONS (rule 'sum', initial '0')
) SERVER contime OPTIONS (events 'parted');
CREATE INDEX old_a ON old (a);
INSERT INTO parted SELECT i % 3, '2025-06-01'::timestamptz + i * interval '12 days', 1 FROM generate_series(1, 30) i;
-- In memory, for comparison.
CREATE FOREIGN TABLE mem (
    k  int         OPTIONS (key 'true'),
    at timestamptz OPTIONS (time 'true'),
    a  int         OPTIONS (rule 'sum', initial '0')
) SERVER contime;
INSERT INTO mem SELECT i % 3, '2026-01-01', 1 FROM generate_series(1, 30) i;
CREATE SCHEMA side;
CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER mine AFTER INSERT ON old FOR EACH ROW EXECUTE FUNCTION noop();
CREATE TRIGGER mine AFTER INSERT ON ev FOR EACH ROW EXECUTE FUNCTION noop();

CREATE TABLE ddl (n serial, about text, command text);
INSERT INTO ddl (about, command) VALUES
    ('st', 'ALTER TABLE ev ALTER a TYPE bigint'),
    ('st', 'ALTER TABLE ev ADD b int'),
    ('st', 'ALTER TABLE ev SET (fillfactor = 90)'),
    ('st', 'ALTER TABLE ev DISABLE TRIGGER ALL'),
    ('st', 'ALTER TABLE ev RENAME TO evs'),
    ('st', 'ALTER TABLE ev RENAME a TO b'),
    ('st', 'ALTER TABLE ev SET SCHEMA side'),
    ('st', 'ALTER SCHEMA public RENAME TO privy'),
    ('st', 'TRUNCATE ev'),
    ('st', 'DROP TABLE ev CASCADE'),
    ('st', 'DROP INDEX ev_k_at_idx'),
    ('st', 'CREATE INDEX ON ev (a)'),
    ('st', 'CLUSTER ev USING ev_k_at_idx'),
    ('st', 'TRUNCATE up CASCADE'),
    ('st', 'DROP TRIGGER mine ON ev'),
    ('st', 'TRUNCATE more'),
    ('st', 'ALTER TABLE more ADD b int'),
    ('st', 'SELECT contime.drop_source(''st'', ''more'')'),
    ('st', 'SELECT contime.add_source(''st'', ''loose'')'),
    ('st', 'DELETE FROM contime.source WHERE state = ''st''::regclass'),
    ('st', 'ALTER FOREIGN TABLE st OPTIONS (ADD notify ''off'')'),
    ('st', 'DROP FOREIGN TABLE st'),
    ('st', 'DROP EXTENSION contime CASCADE'),
    ('pt', 'ALTER TABLE parted ADD b int'),
    ('pt', 'TRUNCATE parted'),
    ('pt', 'DROP TABLE parted CASCADE'),
    ('pt', 'ALTER TABLE parted ATTACH PARTITION loose FOR VALUES FROM (''2027-01-01'') TO (''2028-01-01'')'),
    ('pt', 'CREATE TABLE newer PARTITION OF parted FOR VALUES FROM (''2027-01-01'') TO (''2028-01-01'')'),
    ('pt', 'CREATE TABLE new3 PARTITION OF new FOR VALUES IN (3)'),
    ('pt', 'ALTER TABLE new ATTACH PARTITION loose FOR VALUES IN (3)'),
    ('pt', 'ALTER TABLE parted DETACH PARTITION old'),
    ('pt', 'ALTER TABLE new DETACH PARTITION new1'),
    ('pt', 'TRUNCATE old'),
    ('pt', 'TRUNCATE new1'),
    ('pt', 'TRUNCATE new'),
    ('pt', 'DROP TABLE old'),
    ('pt', 'DROP TABLE new0'),
    ('pt', 'DROP TABLE new'),
    ('pt', 'ALTER TABLE old SET (fillfactor = 90)'),
    ('pt', 'ALTER TABLE new1 ADD CHECK (a > 0)'),
    ('pt', 'DROP INDEX old_a'),
    ('pt', 'CLUSTER old USING old_a'),
    ('pt', 'CREATE INDEX ON new1 (a)'),
    ('pt', 'DROP TRIGGER mine ON old'),
    ('mem', 'ALTER FOREIGN TABLE mem ADD b int'),
    ('mem', 'TRUNCATE mem'),
    ('mem', 'DROP FOREIGN TABLE mem');

-- Run each command of a kind in a subtransaction that is rolled back, and show its SQLSTATE.
CREATE FUNCTION try(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RAISE EXCEPTION USING ERRCODE = 'ZZZZZ';
EXCEPTION WHEN OTHERS THEN
    RETURN CASE SQLSTATE WHEN 'ZZZZZ' THEN 'went through' WHEN '55006' THEN 'refused' ELSE SQLSTATE || ' ' || SQLERRM END;
END $$;
CREATE FUNCTION try_all(kind text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    c text;
    answer text;
    answers text[];
BEGIN
    FOR c IN SELECT command FROM ddl WHERE about = kind ORDER BY n LOOP
        answer := try(c);
        answers := answers || CASE WHEN answer IN ('refused', 'went through') THEN answer ELSE c || ': ' || answer END;
    END LOOP;
    RETURN (SELECT string_agg(format('%s %s', n, a), ', ' ORDER BY a) FROM (SELECT a, count(*) AS n FROM unnest(answers) a GROUP BY 1) x);
END $$;
-- No query is open: all commands work.
SELECT try_all('st') AS st, try_all('pt') AS pt, try_all('mem') AS mem;

-- ---- each reader, answered from memory and from the event tables ------------------------------

-- (A loop fetches ten rows ahead.)
CREATE TABLE reader (n serial, state text, query text, looped text, cursed text);
INSERT INTO reader (state, query)
SELECT state, format(query, state)
FROM unnest(ARRAY['st', 'pt', 'mem']) WITH ORDINALITY AS k(state, i), unnest(ARRAY[
    'SELECT a FROM %s',
    'SELECT a FROM %s WHERE at = ''2026-02-01''',
    'SELECT a FROM %s WHERE k = 1',
    'SELECT a FROM %s WHERE k = ANY (''{0,1,2}'')',
    'SELECT s.a FROM generate_series(1, 100) g JOIN %s s ON s.k = g %% 3 AND s.at = ''2026-02-01''::timestamptz + g * interval ''1 s''',
    'SELECT g FROM generate_series(1, 100) g WHERE EXISTS (SELECT 1 FROM %s s WHERE s.k = g %% 3)',
    'SELECT contime.at(NULL::%s, ''2026-02-01'') FROM generate_series(1, 100)',
    'SELECT contime.at(NULL::%s, ''2026-02-01'', g %% 3) FROM generate_series(1, 100) g',
    'SELECT contime.history(NULL::%s, 1, ''2025-01-01'', ''2026-02-01'') FROM generate_series(1, 100)',
    'SELECT contime.history(NULL::%s, ''2025-01-01'', ''2026-02-01'') FROM generate_series(1, 100)',
    'SELECT contime.series(NULL::%s, 1, ''2026-01-01'', ''2026-02-01'', ''1 day'')',
    'SELECT contime.events(NULL::%s, 1, ''2025-01-01'', ''2026-02-01'') FROM generate_series(1, 100)']) WITH ORDINALITY AS q(query, j)
ORDER BY i, j;

-- In a loop, with the first rows fetched; and by a cursor from which no row has been fetched.
CREATE FUNCTION in_loop(about text, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    r record;
    result text;
BEGIN
    FOR r IN EXECUTE query LOOP
        result := coalesce(result, try_all(about));
    END LOOP;
    RETURN result;
END $$;
CREATE FUNCTION by_cursor(about text, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    r record;
    result text;
    c refcursor;
BEGIN
    OPEN c FOR EXECUTE query;
    result := try_all(about);
    FETCH c INTO r;
    IF r IS NULL THEN result := result || ', but no row'; END IF;
    CLOSE c;
    RETURN result;
END $$;
CREATE PROCEDURE loaded(state regclass) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT count(*) FROM %s', state);
    COMMIT;
    CALL until(format($c$ (SELECT cache = 'ready' FROM contime.tables WHERE "table" = %L::regclass) $c$, state));
END $$;
CREATE FUNCTION answered_from(state text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE WHEN state = 'mem' THEN 'memory' ELSE (SELECT v.answered_from FROM contime.verify(state::regclass) v) END;
END $$;
CREATE PROCEDURE all_readers(from_memory boolean) LANGUAGE plpgsql AS $$
DECLARE
    r reader;
BEGIN
    FOR r IN SELECT * FROM reader ORDER BY n LOOP
        IF from_memory AND r.state <> 'mem' THEN
            CALL loaded(r.state::regclass);
        END IF;
        r.looped := in_loop(r.state, r.query) || ' (' || answered_from(r.state) || ')';
        r.cursed := CASE WHEN r.query NOT LIKE '%contime.%' THEN by_cursor(r.state, r.query) || ' (' || answered_from(r.state) || ')' END;
        UPDATE reader SET looped = r.looped, cursed = r.cursed WHERE n = r.n;
        COMMIT;
    END LOOP;
END $$;
CALL all_readers(true);
SELECT state, looped, cursed, count(*) AS queries FROM reader GROUP BY 1, 2, 3 ORDER BY min(n);
-- (A serializable transaction never reads from memory.)
SET default_transaction_isolation = serializable;
CALL all_readers(false);
RESET default_transaction_isolation;
SELECT state, looped, cursed, count(*) AS queries FROM reader GROUP BY 1, 2, 3 ORDER BY min(n);
-- No query is open any more.
SELECT try_all('st') AS st, try_all('pt') AS pt, try_all('mem') AS mem;

-- ---- commands work when the read is over ------------------------------------------------------

-- The two cases in which the problem was found.
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT g, f.a FROM generate_series(1, 1000) g LEFT JOIN st f ON f.k = g % 3 AND f.at = timestamptz '2026-02-01' + g * interval '1 s' LOOP
        ALTER TABLE ev ALTER a TYPE bigint;
    END LOOP;
END $$;
BEGIN;
DECLARE c CURSOR FOR SELECT a FROM st;
SAVEPOINT s;
TRUNCATE ev;
ROLLBACK TO s;
FETCH ALL c;
SELECT try('TRUNCATE ev'), try('DROP TABLE old');
CLOSE c;
SELECT try('TRUNCATE ev'), try('TRUNCATE old');
COMMIT;
-- A cursor of a subtransaction that is rolled back, and one of a subtransaction that is released.
BEGIN;
SAVEPOINT s;
DECLARE c CURSOR FOR SELECT 1 AS one FROM pt;
FETCH c;
SELECT try('TRUNCATE old');
ROLLBACK TO s;
SELECT try('TRUNCATE old'), try('TRUNCATE parted');
DECLARE d CURSOR FOR SELECT contime.at(NULL::pt, '2026-02-01') IS NULL AS none;
SAVEPOINT t;
FETCH d;
SELECT try('TRUNCATE old');
DECLARE e CURSOR FOR SELECT a FROM st;
RELEASE t;
SELECT try('TRUNCATE old'), try('TRUNCATE ev');
SAVEPOINT u;
FETCH d;
ROLLBACK TO u;
SELECT try('TRUNCATE old'), try('TRUNCATE ev');
FETCH ALL d;
SELECT try('TRUNCATE old'), try('TRUNCATE ev');
CLOSE e;
SELECT try('TRUNCATE old'), try('TRUNCATE ev');
ROLLBACK;
-- WITH HOLD: after the transaction the cursor returns rows that it has stored.
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT a FROM st;
SELECT try('TRUNCATE ev');
COMMIT;
SELECT try('TRUNCATE ev');
FETCH ALL h;
CLOSE h;
-- An error during the read, caught where the read is over.
CREATE FUNCTION fails() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 / (a - a) FROM pt;
    RETURN 'did not';
EXCEPTION WHEN division_by_zero THEN
    RETURN try('TRUNCATE old') || ', ' || try('TRUNCATE parted');
END $$;
SELECT fails();
-- Within an SQL function, whose executor's memory exists longer than the error.
CREATE FUNCTION sum_of(x int) RETURNS bigint LANGUAGE sql AS 'SELECT sum(1 / (a - a)) FROM pt WHERE k >= x LIMIT 1';
CREATE FUNCTION fails_deeply() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    n := sum_of(0);
    RETURN 'did not';
EXCEPTION WHEN division_by_zero THEN
    RETURN try('TRUNCATE old') || ', ' || try('TRUNCATE parted');
END $$;
SELECT fails_deeply();
-- Rescans, a LIMIT, a set-returning function of which one row is taken; a plan that is not run.
SELECT (SELECT a FROM st WHERE k = g % 3) AS a, try('TRUNCATE ev') FROM generate_series(1, 2) g;
SELECT try('TRUNCATE ev') FROM (SELECT 1 FROM st LIMIT 1) s;
SELECT (SELECT contime.at(NULL::st, '2026-02-01') LIMIT 1) IS NULL AS none, try('TRUNCATE ev');
SELECT try('TRUNCATE ev');
PREPARE q AS SELECT a FROM st WHERE k = $1;
EXECUTE q(1);
EXPLAIN (COSTS OFF) EXECUTE q(1);
SELECT try('TRUNCATE ev');
-- A procedure that commits within a loop has fetched all rows by then.
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$
DECLARE
    r record;
    n int := 0;
BEGIN
    FOR r IN SELECT a FROM st LOOP
        COMMIT;
        n := n + 1;
        IF n = 1 THEN RAISE NOTICE '%', try('TRUNCATE ev'); END IF;
    END LOOP;
    RAISE NOTICE '% rows', n;
END $$;
SET client_min_messages = notice;
CALL commits();
SET client_min_messages = warning;
-- Workers hold references of their own.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
-- PostgreSQL 16 renamed the setting.
SELECT name AS parallel_mode FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \gset
SET :parallel_mode = on;
SELECT count(a), sum(a) FROM st;
SELECT count(*) FROM pt WHERE at = '2026-02-01';
RESET :parallel_mode;
-- Commands on other tables are not affected.
BEGIN;
DECLARE c CURSOR FOR SELECT a FROM st;
TRUNCATE loose;
CREATE TABLE other (LIKE more);
ALTER TABLE other ADD b int;
CREATE INDEX ON other (b);
DROP TABLE other;
TRUNCATE old;
FETCH ALL c;
ROLLBACK;
-- The refused commands had no effect.
CALL loaded('st');
CALL loaded('pt');
SELECT * FROM contime.verify('st');
SELECT * FROM contime.verify('pt');
DROP FOREIGN TABLE st, pt, mem;
DROP TABLE ev, up, more, parted, loose, ddl, reader;
DROP SCHEMA side;
DROP FUNCTION try, try_all, in_loop, by_cursor, answered_from, fails, sum_of, fails_deeply, noop;
DROP PROCEDURE all_readers, commits, loaded, until;
