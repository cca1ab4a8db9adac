-- Limits of memory, by table, role and database: who may set them and when they apply; accepted events stay.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never
\set VERBOSITY terse
\getenv abs_srcdir PG_ABS_SRCDIR
\set until :abs_srcdir '/sql/until.sql'
\i :until
-- filled(table, rows): insert so many rows at a time until an insert is refused; shows its SQLSTATE.
CREATE PROCEDURE filled(name text, rows int, INOUT state text) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 10000 LOOP
        BEGIN
            EXECUTE format('INSERT INTO %I SELECT j %% 7, timestamptz ''2020-01-01'' + (%s * %s + j) * interval ''1 s'', 1 FROM generate_series(1, %s) j', name, i, rows, rows);
        EXCEPTION WHEN out_of_memory THEN
            state := format('%s: %s', SQLSTATE, SQLERRM);
        END;
        COMMIT;
        EXIT WHEN state IS NOT NULL;
    END LOOP;
END $$;
CREATE ROLE contime_greedy;
CREATE ROLE contime_meek;
GRANT USAGE ON FOREIGN SERVER contime TO contime_greedy, contime_meek;
GRANT CREATE ON SCHEMA public TO contime_greedy, contime_meek;
-- ---- the option of a table ------------------------------------------------------
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime OPTIONS (memory_limit 'much');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime OPTIONS (memory_limit '-1');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime OPTIONS (memory_limit '99999999999TB');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime OPTIONS (memory_limit '');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true', memory_limit '1MB'), at timestamptz OPTIONS (time 'true')) SERVER contime;
\echo :SQLSTATE
SET ROLE contime_greedy;
CREATE FOREIGN TABLE a (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n bigint OPTIONS (rule 'sum')) SERVER contime OPTIONS (memory_limit '1MB');
INSERT INTO a VALUES (1000, '2019-01-01', 5);
INSERT INTO a SELECT i % 7, timestamptz '2020-01-01' + i * interval '1 s', 1 FROM generate_series(1, 100000) i;
\echo :SQLSTATE
SELECT count(*), sum(n) FROM a WHERE at = 'infinity';
CALL until('(SELECT bytes < 200000 FROM contime.tables)');
CALL filled('a', 100, NULL);
SELECT count(*), sum(n) > 10000 FROM a WHERE at = 'infinity';
SELECT bytes <= 1024 * 1024 + 65536 FROM contime.tables;
-- it can be changed at any time, with effect at once
ALTER FOREIGN TABLE a OPTIONS (SET memory_limit '2MB');
INSERT INTO a VALUES (1000, '2019-01-02', 5);
ALTER FOREIGN TABLE a OPTIONS (SET memory_limit '1000kB');
CALL filled('a', 100, NULL);
-- below what the table uses: the table can be read, but not written to
ALTER FOREIGN TABLE a OPTIONS (SET memory_limit '0');
INSERT INTO a VALUES (1000, '2019-01-02', 5);
SELECT n FROM a WHERE id = 1000 AND at = 'infinity';
BEGIN;
ALTER FOREIGN TABLE a OPTIONS (DROP memory_limit);
INSERT INTO a VALUES (1000, '2019-01-03', 5);
SELECT n FROM a WHERE id = 1000 AND at = 'infinity';
ROLLBACK;
INSERT INTO a VALUES (1000, '2019-01-02', 5);
SELECT n FROM a WHERE id = 1000 AND at = 'infinity';
-- an insert waits for memory that is being freed
ALTER FOREIGN TABLE a OPTIONS (SET memory_limit '1MB');
TRUNCATE a;
INSERT INTO a SELECT i % 10, timestamptz '2020-01-01' + i * interval '1 s', 1 FROM generate_series(1, 6000) i;
TRUNCATE a;
INSERT INTO a SELECT i % 10, timestamptz '2020-01-01' + i * interval '1 s', 1 FROM generate_series(1, 6000) i;
TRUNCATE a;
INSERT INTO a SELECT i % 10, timestamptz '2020-01-01' + i * interval '1 s', 1 FROM generate_series(1, 6000) i;
-- but not for memory that a rollback of this transaction would need
BEGIN;
TRUNCATE a;
SAVEPOINT s;
INSERT INTO a SELECT i, '2020-01-01', 1 FROM generate_series(1, 6000) i;
\echo :SQLSTATE
ROLLBACK;
SELECT count(*), sum(n) FROM a WHERE at = 'infinity';
ALTER FOREIGN TABLE a OPTIONS (DROP memory_limit);
-- ---- the limit of the owner, whoever inserts --------------------------------------
-- the role itself may not set it
ALTER ROLE contime_greedy SET contime.role_memory = '1GB';
\echo :SQLSTATE
SET contime.role_memory = '1GB';
\echo :SQLSTATE
ALTER ROLE contime_greedy SET contime.database_memory = -1;
\echo :SQLSTATE
RESET ROLE;
ALTER ROLE contime_greedy SET contime.role_memory = 'much';
\set VERBOSITY sqlstate
ALTER ROLE contime_greedy SET contime.role_memory = -2;
\set VERBOSITY terse
-- a session's own setting has no effect
SET contime.role_memory = 0;
INSERT INTO a VALUES (1000, '2019-01-04', 5);
RESET contime.role_memory;
ALTER ROLE contime_greedy SET contime.role_memory = '2MB';
CREATE FOREIGN TABLE b (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n bigint OPTIONS (rule 'sum')) SERVER contime;
ALTER FOREIGN TABLE b OWNER TO contime_greedy;
SELECT pg_sleep(1.1);
CALL filled('b', 100, NULL);
SELECT sum(bytes) <= 2048 * 1024 + 65536 FROM contime.tables;
CALL filled('a', 100, NULL);
SET ROLE contime_greedy;
CALL filled('a', 100, NULL);
-- other roles can write
SET ROLE contime_meek;
CREATE FOREIGN TABLE c (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n bigint OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO c SELECT i, '2020-01-01', 1 FROM generate_series(1, 10000) i;
SELECT count(*), sum(n) FROM c;
-- a table with a new owner is charged to the new owner
RESET ROLE;
ALTER FOREIGN TABLE b OWNER TO contime_meek;
INSERT INTO a VALUES (1000, '2019-01-05', 5);
ALTER ROLE contime_meek SET contime.role_memory = '1MB';
SELECT pg_sleep(1.1);
INSERT INTO c VALUES (1, '2020-01-02', 1);
\echo :SQLSTATE
-- in this database only; the most specific setting applies, as for any parameter
SELECT current_database() AS db \gset
ALTER ROLE contime_meek IN DATABASE :"db" SET contime.role_memory = '16MB';
SELECT pg_sleep(1.1);
INSERT INTO c VALUES (1, '2020-01-02', 1);
ALTER ROLE contime_meek IN DATABASE :"db" RESET contime.role_memory;
ALTER ROLE contime_meek RESET contime.role_memory;
ALTER DATABASE :"db" SET contime.role_memory = '1MB';
SELECT pg_sleep(1.1);
INSERT INTO c VALUES (1, '2020-01-03', 1);
\echo :SQLSTATE
ALTER DATABASE :"db" RESET contime.role_memory;
-- the catalog may contain invalid settings
UPDATE pg_db_role_setting SET setconfig = '{contime.role_memory=,contime.role_memory,"",NULL,contime.role_memory=12 apples}'
    WHERE setrole = 'contime_greedy'::regrole;
SELECT pg_sleep(1.1);
INSERT INTO a VALUES (1000, '2019-01-06', 5);
ALTER ROLE contime_greedy RESET ALL;
-- ---- the limit of the database ------------------------------------------------------
ALTER DATABASE :"db" SET contime.database_memory = '1MB';
SELECT pg_sleep(1.1);
INSERT INTO c VALUES (1, '2020-01-04', 1);
\echo :SQLSTATE
INSERT INTO a VALUES (1, '2020-01-04', 1);
\echo :SQLSTATE
SELECT count(*) FROM c;
DROP FOREIGN TABLE a, b;
CALL until('(SELECT sum(memory_bytes) FROM contime.workers) < 8 * 1024 * 1024');
ALTER DATABASE :"db" SET contime.database_memory = '8MB';
SELECT pg_sleep(1.1);
INSERT INTO c VALUES (1, '2020-01-05', 1);
ALTER DATABASE :"db" RESET contime.database_memory;
-- a role with SET on the parameter may set it
GRANT SET ON PARAMETER contime.role_memory TO contime_greedy;
SET ROLE contime_greedy;
ALTER ROLE contime_greedy SET contime.role_memory = '3MB';
RESET ROLE;
DROP FOREIGN TABLE c;
DROP PROCEDURE filled;
DROP PROCEDURE until;
DROP OWNED BY contime_greedy, contime_meek;
DROP ROLE contime_greedy, contime_meek;
