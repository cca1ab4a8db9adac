-- Code of users runs with the rights of the owner of the continuous table, always.
\set VERBOSITY terse
\getenv abs_srcdir PG_ABS_SRCDIR
\set until :abs_srcdir '/sql/until.sql'
\i :until
CREATE ROLE regress_evil;
CREATE ROLE regress_bystander;
GRANT USAGE ON FOREIGN SERVER contime TO regress_evil;
CREATE SCHEMA den AUTHORIZATION regress_evil;
GRANT USAGE ON SCHEMA den TO regress_bystander;
-- What the code can see and do: its role, whether it can change the role, and the search_path.
CREATE TABLE public.seen (role name, becomes text, path text, process text, n int);
GRANT INSERT, SELECT ON seen TO PUBLIC;
CREATE VIEW public.others AS SELECT DISTINCT role, becomes, path FROM seen WHERE role <> 'regress_evil' OR becomes <> 'no' OR path <> 'pg_catalog, pg_temp';
GRANT SELECT ON others TO PUBLIC;
SET SESSION AUTHORIZATION regress_evil;
CREATE FUNCTION den.look(x int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE becomes text := 'no';
BEGIN
  BEGIN
    SET ROLE regress_bystander;
    becomes := 'another role';
  EXCEPTION WHEN OTHERS THEN
  END;
  INSERT INTO public.seen VALUES (current_user, becomes, current_setting('search_path'),
    CASE current_setting('application_name') WHEN '' THEN 'background' ELSE 'session' END, x);
  PERFORM set_config('den.leak', 'it stays', false);
  RETURN true;
END $$;
CREATE FUNCTION den.look_in_sql(x int) RETURNS boolean LANGUAGE sql AS 'SELECT den.look(x)';
CREATE FUNCTION den.keep(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM den.look(x); RETURN x; END $$;
CREATE DOMAIN den.evil AS int CHECK (den.look_in_sql(VALUE));
RESET SESSION AUTHORIZATION; SET den.leak = '';

-- In memory: initial, lower and upper are read by the input function of the column's type.
SET SESSION AUTHORIZATION regress_evil;
CREATE FOREIGN TABLE den.t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
  v den.evil OPTIONS (rule 'sum', initial '3', lower '0', upper '9')) SERVER contime OPTIONS (notify 'key');
INSERT INTO den.t VALUES (1, '2026-01-01', 1);
GRANT SELECT ON den.t TO PUBLIC;
RESET SESSION AUTHORIZATION; SET den.leak = '';
DELETE FROM seen;
-- Each of these reads the definition again, as a superuser.
CREATE PROCEDURE forget() LANGUAGE sql AS 'COMMENT ON FOREIGN TABLE den.t IS NULL; ALTER FOREIGN TABLE den.t ALTER id SET STATISTICS 10';
CALL forget(); SELECT v FROM den.t WHERE id = 1;
CALL forget(); EXPLAIN (COSTS OFF) SELECT * FROM den.t;
CALL forget(); ANALYZE den.t;
CALL forget(); SELECT v FROM contime.at(NULL::den.t, 'infinity', 1);
CALL forget(); SELECT count(*) FROM contime.history(NULL::den.t, 1, '2025-01-01', '2027-01-01');
CALL forget(); ALTER FOREIGN TABLE den.t ALTER v OPTIONS (SET upper '10');  -- refused, as there is data
CALL forget(); ALTER FOREIGN TABLE den.t RENAME v TO w;
ALTER FOREIGN TABLE den.t RENAME w TO v;
CALL forget(); SET ROLE regress_bystander; SELECT v FROM den.t; RESET ROLE;
SELECT count(*) > 8 AS looked, (SELECT count(*) FROM others) AS otherwise FROM seen;
SELECT current_setting('den.leak', true);
-- The agent, which adds keys to notices.
SET SESSION AUTHORIZATION regress_evil;
INSERT INTO den.t VALUES (1, '2025-01-01', 1);
RESET SESSION AUTHORIZATION; SET den.leak = '';
CALL until($c$ (SELECT count(*) > 0 FROM seen WHERE process = 'background') $c$);
SELECT * FROM others;

-- Durable tables: sources, and literals in them.
SET SESSION AUTHORIZATION regress_evil;
CREATE TABLE den.e (id int, at timestamptz, v int);
CREATE INDEX ON den.e (id, at);
CREATE FOREIGN TABLE den.d (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
  v int OPTIONS (rule 'sum', source 'den.keep(v) + cardinality(''{4}''::den.evil[])')) SERVER contime OPTIONS (events 'e');
RESET SESSION AUTHORIZATION; SET den.leak = '';
GRANT ALL ON den.e TO regress_bystander;
DELETE FROM seen;
SELECT v FROM den.d WHERE id = 1;
SET ROLE regress_bystander; INSERT INTO den.e VALUES (1, '2026-01-01', 5), (2, '2026-01-01', 6); RESET ROLE;
SELECT v FROM den.d WHERE id = 1;
CALL until($c$ (SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'den.d'::regclass) $c$);
SET ROLE regress_bystander; INSERT INTO den.e VALUES (1, '2026-01-02', 7); UPDATE den.e SET v = 8 WHERE v = 5; RESET ROLE;
SELECT v FROM den.d WHERE id = 1;
SELECT * FROM contime.verify('den.d');
ALTER TABLE den.e RENAME v TO w;
ALTER TABLE den.e RENAME TO f;
ALTER SCHEMA den RENAME TO lair; ALTER SCHEMA lair RENAME TO den;
ALTER FOREIGN TABLE den.d ALTER v OPTIONS (SET source 'den.keep(w)');
SELECT contime.add_source('den.d', 'den.f', '{"v": "den.keep(w) + cardinality(''{5}''::den.evil[])"}');
SELECT contime.drop_source('den.d', 'den.f');
SELECT v FROM den.d WHERE id = 1;
SELECT count(*) > 20 AS looked, array_agg(DISTINCT process ORDER BY process) AS processes FROM seen;
-- (Names in a source are resolved by the search_path of the role that defines it: it applies at that moment only.)
SELECT DISTINCT role, becomes FROM others;
SELECT current_setting('den.leak', true);

-- An error in a source affects its own table only: the owner of the event table can rename the event table.
CREATE TABLE den.h (id int, at timestamptz, v int);
CREATE INDEX ON den.h (id, at);
GRANT SELECT, TRIGGER ON den.h TO regress_evil;
SET SESSION AUTHORIZATION regress_evil;
CREATE TABLE den.switch (fails boolean); INSERT INTO den.switch VALUES (false);
CREATE FUNCTION den.fails(x int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN IF (SELECT fails FROM den.switch) THEN RAISE 'no %', x; END IF; RETURN true; END $$;
CREATE DOMAIN den.rude AS int CHECK (den.fails(VALUE));
CREATE FOREIGN TABLE den.r (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
  v int OPTIONS (source 'v + cardinality(''{4}''::den.rude[])')) SERVER contime OPTIONS (events 'h');
UPDATE den.switch SET fails = true;
RESET SESSION AUTHORIZATION; SET den.leak = '';
ALTER TABLE den.h RENAME v TO w;
SELECT attname FROM pg_attribute WHERE attrelid = 'den.h'::regclass AND attnum = 3;
SELECT count(*) FROM den.r;
UPDATE den.switch SET fails = false;
ALTER TABLE den.h RENAME w TO v;
SELECT count(*) FROM den.r;

-- An error that code of one table catches, and that code of another table raises.
CREATE FUNCTION public.never(x int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'never'; END $$;
CREATE FUNCTION public.always(x int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE DOMAIN public.picky AS int CHECK (public.always(VALUE));
CREATE FOREIGN TABLE public.other (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v picky OPTIONS (rule 'sum', initial '1')) SERVER contime;
GRANT SELECT ON public.other TO regress_evil;
CREATE OR REPLACE FUNCTION public.always(x int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT public.never(x)';
SET SESSION AUTHORIZATION regress_evil;
CREATE FUNCTION den.looks_at_other(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    PERFORM v FROM public.other WHERE at = 'infinity';
  EXCEPTION WHEN OTHERS THEN RETURN x + 100;
  END;
  RETURN x;
END $$;
CREATE TABLE den.n (id int, at timestamptz, v int); CREATE INDEX ON den.n (id, at); INSERT INTO den.n SELECT i, '2026-01-01', i FROM generate_series(1, 3) i;
CREATE FOREIGN TABLE den.m (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
  v int OPTIONS (source 'den.looks_at_other(v)')) SERVER contime OPTIONS (events 'n');
RESET SESSION AUTHORIZATION; SET den.leak = '';
\c -
SELECT sum(v) FROM den.m;
-- Nor by an error that looks like a cancellation; and code of a role that may no longer use the event table does not run.
SET SESSION AUTHORIZATION regress_evil;
CREATE OR REPLACE FUNCTION den.fails(x int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'no %', x USING ERRCODE = 'query_canceled'; END $$;
RESET SESSION AUTHORIZATION; SET den.leak = '';
ALTER TABLE den.h RENAME v TO w;
ALTER TABLE den.h ADD COLUMN more int;
ALTER TABLE den.h RENAME w TO v;
REVOKE TRIGGER ON den.h FROM regress_evil;
SET SESSION AUTHORIZATION regress_evil;
CREATE OR REPLACE FUNCTION den.fails(x int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'it runs'; RETURN true; END $$;
RESET SESSION AUTHORIZATION; SET den.leak = '';
ALTER TABLE den.h RENAME v TO w;
ALTER TABLE den.h DROP COLUMN more;
ALTER TABLE den.h RENAME w TO v;
GRANT TRIGGER ON den.h TO regress_evil;
SET SESSION AUTHORIZATION regress_evil;
CREATE OR REPLACE FUNCTION den.fails(x int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN IF (SELECT fails FROM den.switch) THEN RAISE 'no %', x; END IF; RETURN true; END $$;
RESET SESSION AUTHORIZATION; SET den.leak = '';

-- Code that drops columns of the table while its definition is read.
SET SESSION AUTHORIZATION regress_evil;
CREATE DOMAIN den.short AS int;
CREATE FUNCTION den.drops(x int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN IF (SELECT fails FROM den.switch) THEN UPDATE den.switch SET fails = false; DROP DOMAIN den.short CASCADE; END IF; RETURN true; END $$;
CREATE DOMAIN den.dropper AS int CHECK (den.drops(VALUE));
CREATE FOREIGN TABLE den.s (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
  v den.dropper OPTIONS (initial '3'), w den.short OPTIONS (initial '4')) SERVER contime;
UPDATE den.switch SET fails = true;
RESET SESSION AUTHORIZATION; SET den.leak = '';
SELECT v FROM den.s;
SELECT attname, atttypid::regtype FROM pg_attribute WHERE attrelid = 'den.s'::regclass AND attnum = 4;
UPDATE den.switch SET fails = false;
SELECT v FROM den.s;
DROP FOREIGN TABLE den.s;

-- A source is one expression over the event table's columns.
SET SESSION AUTHORIZATION regress_evil;
CREATE FUNCTION den.refuses(source text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format($q$ALTER FOREIGN TABLE den.d ALTER v OPTIONS (SET source %L)$q$, source);
  RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT left(s, 40) AS source, den.refuses(s) FROM unnest(ARRAY['*', 'f.*', '(f.*)', '(ROW(1, 2)).*', 'w, w', '', ' ', 'w AS x', 'w x', 'DISTINCT w',
  'w FROM den.f', 'w WHERE true', 'w GROUP BY w', 'w HAVING true', 'w WINDOW x AS ()', 'w ORDER BY w', 'w LIMIT 1', 'w OFFSET 1', 'w FOR UPDATE',
  'sum(w)', 'row_number() OVER ()', 'generate_series(1, w)', '(SELECT 1)', 'EXISTS (SELECT)', 'ARRAY(SELECT 1)', '$1', 'w; DROP TABLE den.f', 'w)',
  'random()::int', 'xmin::text::int', 'f', 'f IS NULL', 'GROUPING(w)', 'DEFAULT', 'nosuch', 'nosuch.w', 'WITH x AS (SELECT 1) SELECT 1', 'TABLE den.f', 'VALUES (1)',
  'w UNION SELECT 1', 'w INTO x', '''x''::int', repeat('(', 5000) || 'w' || repeat(')', 5000), 'count(*)', 'den.keep(*)', 'w COLLATE "C"', 'w::nosuch']) s;
RESET SESSION AUTHORIZATION; SET den.leak = '';
-- One that is accepted.
SELECT den.refuses('w -- comment'), den.refuses('CASE WHEN w > 3 THEN w ELSE 1 END'), den.refuses('cardinality(ARRAY[w])');

-- An index is created for the owner, and not for the role that runs the command.
CREATE TABLE den.bare (id int, at timestamptz, v int);
GRANT SELECT, TRIGGER ON den.bare TO regress_evil;
ALTER FOREIGN TABLE den.r OPTIONS (SET events 'bare');
SELECT contime.add_source('den.r', 'den.bare', '{"id": "den.keep(id)"}');
SELECT count(*) FROM pg_index WHERE indrelid = 'den.bare'::regclass;

-- The use of a type does not prevent its owner from dropping it.
CREATE SCHEMA lender AUTHORIZATION regress_bystander; GRANT USAGE ON SCHEMA lender TO PUBLIC;
SET SESSION AUTHORIZATION regress_bystander;
CREATE DOMAIN lender.lent AS int;
RESET SESSION AUTHORIZATION; SET den.leak = '';
SET SESSION AUTHORIZATION regress_evil;
CREATE FOREIGN TABLE den.borrows (id lender.lent OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime;
INSERT INTO den.borrows VALUES (1, '2026-01-01', 1);
GRANT SELECT ON den.borrows TO PUBLIC;
RESET SESSION AUTHORIZATION; SET den.leak = '';
SET SESSION AUTHORIZATION regress_bystander;
DROP DOMAIN lender.lent CASCADE;
SELECT v FROM den.borrows;
RESET SESSION AUTHORIZATION; SET den.leak = '';
DROP FOREIGN TABLE den.borrows; DROP SCHEMA lender;

-- TRIGGER is checked again.
REVOKE TRIGGER ON den.h FROM regress_evil;
SELECT count(*) FROM den.r;
ALTER TABLE den.h ADD c int;
GRANT TRIGGER ON den.h TO regress_evil;
SELECT count(*) FROM den.r;

\set VERBOSITY default
SET client_min_messages = warning;
DROP SCHEMA den CASCADE; DROP FOREIGN TABLE other; DROP DOMAIN picky; DROP FUNCTION always, never; DROP TABLE seen CASCADE; DROP PROCEDURE forget, until;
REVOKE USAGE ON FOREIGN SERVER contime FROM regress_evil;
DROP ROLE regress_evil, regress_bystander;
