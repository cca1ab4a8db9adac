-- Memory is limited: a write that does not fit is refused; accepted events stay and can be read.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never
CREATE FOREIGN TABLE full_ (
    id int         OPTIONS (key 'true'),
    at timestamptz OPTIONS (time 'true'),
    n  bigint      OPTIONS (rule 'sum'),
    t  text
) SERVER contime;
INSERT INTO full_ SELECT i % 100, timestamptz '2020-01-01' + i * interval '1 second', 1, repeat('x', 100) FROM generate_series(1, 10000) i;
-- Write far more than fits. (How much of it other tables are left differs.)
\set VERBOSITY terse
INSERT INTO full_ SELECT i, '2020-01-02', 1, repeat('y', 1000) FROM generate_series(1, 10000000) i;
\echo :SQLSTATE
COPY full_ FROM PROGRAM 'yes "1	2020-01-02 00:00:00+00	1	z" | head -n 10000000';
\echo :SQLSTATE
\set VERBOSITY default
SELECT count(*), sum(n) FROM full_ WHERE at = '2020-01-03';
-- A statement that failed gives its memory back.
\getenv abs_srcdir PG_ABS_SRCDIR
\set until :abs_srcdir '/sql/until.sql'
\i :until
CALL until('(SELECT sum(memory_bytes) FROM contime.workers) < 32 * 1024 * 1024');
INSERT INTO full_ SELECT i % 100, timestamptz '2020-01-02' + i * interval '1 second', 1, repeat('x', 100) FROM generate_series(1, 10000) i;
SELECT count(*), sum(n) FROM full_ WHERE at = '2020-01-03';
-- TRUNCATE, too.
TRUNCATE full_;
SELECT count(*) FROM full_;
CALL until('(SELECT sum(memory_bytes) FROM contime.workers) < 8 * 1024 * 1024');
-- One value that is larger than all memory.
INSERT INTO full_ SELECT 1, '2020-01-01', 1, string_agg(md5(i::text), '') FROM generate_series(1, 40000) i;
\echo :SQLSTATE
INSERT INTO full_ VALUES (1, '2020-01-01', 1, repeat('a', 1000000));
SELECT n, length(t) FROM full_ WHERE at = '2020-01-01';
DROP FOREIGN TABLE full_;
DROP PROCEDURE until;
