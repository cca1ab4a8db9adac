-- Objects are contime's if they are members of the extension: other roles can use the same names, and an OID in a call may be that of any object.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE ann;
CREATE ROLE eve;
GRANT USAGE ON FOREIGN SERVER contime TO ann;
GRANT CREATE ON SCHEMA public TO ann, eve;
SELECT current_database() AS ours \gset
GRANT CREATE ON DATABASE :ours TO eve;

-- Functions that only PostgreSQL calls cannot be called by other roles.
SELECT p.oid::regprocedure FROM pg_proc p
WHERE pronamespace = 'contime'::regnamespace AND NOT has_function_privilege('eve', p.oid, 'EXECUTE') ORDER BY 1::text;
SELECT nspname, obj_description(n.oid) IS NOT NULL AS commented, nspowner = extowner AS its_owner, has_schema_privilege('eve', n.oid, 'CREATE') AS creates
FROM pg_namespace n JOIN pg_depend d ON (classid, objid) = ('pg_namespace'::regclass, n.oid) AND deptype = 'e' JOIN pg_extension e ON e.oid = refobjid WHERE extname = 'contime';
SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'contime';

-- Triggers with these functions, on other tables than contime's.
SET ROLE eve;
CREATE TEMP TABLE mine (state regclass, events regclass, kind text, columns jsonb);
CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION contime.source_changed();
CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION contime.capture();
RESET ROLE;
CREATE TABLE ours (state regclass, events regclass, kind text, columns jsonb);
CREATE TRIGGER a AFTER INSERT ON ours FOR EACH ROW EXECUTE FUNCTION contime.source_changed();
INSERT INTO ours VALUES ('ours', 'ours', 'event', '{}');
DROP TRIGGER a ON ours;
CREATE TRIGGER a AFTER INSERT ON ours EXECUTE FUNCTION contime.source_changed();
INSERT INTO ours SELECT FROM ours WHERE false;
DROP TRIGGER a ON ours;
CREATE TRIGGER a BEFORE TRUNCATE ON ours EXECUTE FUNCTION contime.source_changed();
TRUNCATE ours;
DROP TRIGGER a ON ours;
CREATE TRIGGER a BEFORE INSERT OR UPDATE ON ours FOR EACH ROW EXECUTE FUNCTION contime.capture('1', '2');
INSERT INTO ours VALUES ('ours', 'ours', 'event', '{}');
DROP TABLE ours;

-- Nor on contime.source, except for the trigger of the extension.
BEGIN;
CREATE TRIGGER a BEFORE INSERT ON contime.source FOR EACH ROW EXECUTE FUNCTION contime.source_changed();
INSERT INTO contime.source VALUES ('pg_class', 'pg_class', 'event', '{}');
ROLLBACK;
BEGIN;
CREATE TRIGGER a AFTER INSERT OR TRUNCATE ON contime.source EXECUTE FUNCTION contime.source_changed();
TRUNCATE contime.source;
ROLLBACK;

-- A database without the extension, and a schema "contime" of another role.
CREATE DATABASE contime_none;
GRANT CREATE ON DATABASE contime_none TO eve;
\c contime_none
SET client_min_messages = warning;
CREATE FOREIGN DATA WRAPPER plain;
CREATE SERVER plain FOREIGN DATA WRAPPER plain;
GRANT USAGE ON FOREIGN SERVER plain TO eve;
GRANT CREATE ON SCHEMA public TO eve;
SET ROLE eve;
CREATE SCHEMA contime;
CREATE TABLE contime.source (state text, events int[], kind point);
INSERT INTO contime.source SELECT repeat('x', 100), '{}', '(1,1)' FROM generate_series(1, 10);
CREATE FUNCTION contime.capture() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''captured''; END';
CREATE FOREIGN TABLE remote (id int, v int) SERVER plain;
CREATE TABLE local (id int, v int);
ALTER TABLE local RENAME COLUMN v TO w;
ALTER FOREIGN TABLE remote RENAME COLUMN v TO w;
ALTER FOREIGN TABLE remote RENAME TO remotes;
CREATE FOREIGN TABLE child () INHERITS (local) SERVER plain;
DROP FOREIGN TABLE child;
DROP FOREIGN TABLE remotes;
DROP TABLE contime.source;
CREATE VIEW contime.source AS SELECT 1 AS state;
CREATE FOREIGN TABLE remote (id int, v int) SERVER plain;
DROP FOREIGN TABLE remote;
RESET ROLE;

-- CREATE EXTENSION fails there, and creates nothing.
CREATE EXTENSION contime;
\echo :SQLSTATE
SELECT count(*) FROM pg_extension WHERE extname = 'contime';
SELECT count(*) FROM pg_foreign_server WHERE srvname = 'contime';
DROP SCHEMA contime CASCADE;

CREATE EXTENSION contime;
\set VERBOSITY default
\set SHOW_CONTEXT never

-- Tables with the names of contime's have no effect: they are not looked up by name.
CREATE FOREIGN TABLE kept (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO kept VALUES (1, '2026-01-01', 7);
CREATE TABLE public.event (id int, at timestamptz, v int);
CREATE FOREIGN TABLE durable (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
SELECT contime.add_source('durable', 'event');
SELECT v FROM kept;
INSERT INTO event VALUES (1, '2026-01-01', 8);
SELECT v FROM durable;
SELECT extversion, extnamespace::regnamespace, extcondition FROM pg_extension WHERE extname = 'contime';
DROP SCHEMA contime CASCADE;
DROP EXTENSION contime CASCADE;
SELECT count(*) FROM pg_namespace WHERE nspname = 'contime';
CREATE EXTENSION contime;

-- A table contime.source without the columns that the library reads is an error that says so.
BEGIN;
ALTER TABLE contime.source ADD COLUMN note text;
CREATE FOREIGN TABLE t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime;
ROLLBACK;
BEGIN;
ALTER TABLE contime.source DROP CONSTRAINT source_columns_check, ALTER COLUMN columns TYPE text;
CREATE TABLE c () INHERITS (event);
CREATE FOREIGN TABLE t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime;
ROLLBACK;
BEGIN;
ALTER EXTENSION contime DROP TABLE contime.source;
ALTER TABLE contime.source RENAME TO not_ours;
SELECT contime.add_source('event', 'event');
ROLLBACK;

-- Nor can contime write to it if it has an index that is not plain. One that is takes part.
BEGIN;
CREATE INDEX ON contime.source ((upper(kind)));
CREATE FOREIGN TABLE t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime;
SELECT contime.add_source('t', 'event');
\echo :SQLSTATE
ROLLBACK;
BEGIN;
CREATE INDEX ON contime.source (kind) WHERE kind = 'finish';
CREATE FOREIGN TABLE t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime;
SELECT contime.add_source('t', 'event');
ROLLBACK;
BEGIN;
DROP INDEX contime.source_state;
CREATE UNIQUE INDEX ON contime.source (events);
CREATE FOREIGN TABLE t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime;
SELECT contime.add_source('t', 'event');
INSERT INTO event VALUES (1, '2026-01-01');
SELECT id FROM t;
CREATE FOREIGN TABLE u (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime;
\set VERBOSITY terse
SELECT contime.add_source('u', 'event');
\set VERBOSITY default
ROLLBACK;

-- A foreign data wrapper is contime's whatever its name, and another one is not, even with contime's handler.
ALTER FOREIGN DATA WRAPPER contime_fdw RENAME TO renamed;
CREATE FOREIGN TABLE t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO t VALUES (1, '2026-01-01', 7);
SELECT v FROM t;
CREATE FOREIGN DATA WRAPPER contime_fdw HANDLER contime.fdw_handler VALIDATOR contime.fdw_validator;
CREATE SERVER other FOREIGN DATA WRAPPER contime_fdw;
CREATE FOREIGN TABLE u (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER other;
SELECT v FROM u;
INSERT INTO u VALUES (1, '2026-01-01', 7);
SELECT * FROM contime.at(NULL::u, now());
DROP FOREIGN TABLE u;
SELECT v FROM t;
DROP EXTENSION contime CASCADE;
CREATE EXTENSION contime;
CREATE FOREIGN TABLE t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO t VALUES (1, '2026-01-01', 8);
SELECT v FROM t;
\c :ours
SET client_min_messages = warning;
DROP DATABASE contime_none WITH (FORCE);

-- A table that only inherits from another does not use that one's rows as events.
CREATE TABLE parent (id int, at timestamptz, v int);
CREATE FOREIGN TABLE child (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) INHERITS (parent) SERVER contime;
INSERT INTO child VALUES (1, '2026-01-01', 7);
INSERT INTO parent VALUES (1, '2026-01-01', 1);
SELECT tgname FROM pg_trigger WHERE tgrelid = 'parent'::regclass;
ALTER TABLE parent RENAME TO parents;
ALTER TABLE parents ADD COLUMN note text;
ALTER TABLE ONLY parents RENAME TO parent;
SELECT v FROM child;
ALTER FOREIGN TABLE child NO INHERIT parent;
ALTER FOREIGN TABLE child INHERIT parent;
SELECT v FROM child;

-- It does not depend on it, nor on another table that it inherits from.
CREATE FOREIGN TABLE bound (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) INHERITS (parent) SERVER contime OPTIONS (events 'parent');
SELECT contime.add_source('child', 'parent');
TRUNCATE child;
SELECT contime.add_source('child', 'parent');
CREATE FOREIGN TABLE bound (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum'), note text) SERVER contime OPTIONS (events 'parent');
ALTER FOREIGN TABLE bound INHERIT parent;
CREATE TABLE between () INHERITS (parent);
ALTER FOREIGN TABLE bound INHERIT between;
CREATE TABLE under (id int, at timestamptz, v int, note text);
ALTER FOREIGN TABLE bound INHERIT under;
ALTER TABLE under INHERIT parent;
ALTER FOREIGN TABLE bound NO INHERIT under;
DROP TABLE between, under;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'parent'::regclass;
DROP FOREIGN TABLE bound;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'parent'::regclass;

-- One table as the parent and the event table of another.
CREATE FOREIGN TABLE bound (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'parent');
SELECT pg_get_triggerdef(oid) ~ ('''' || 'bound'::regclass::oid || '''') AS of_bound FROM pg_trigger WHERE tgrelid = 'parent'::regclass;
DROP TABLE parent CASCADE;

-- contime.tables shows only tables that the role may read.
CREATE FOREIGN TABLE secret (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO secret VALUES (1, '2026-01-01', 7);
SET ROLE eve;
SELECT "table" FROM contime.tables;
SELECT worker, pid, entered, dropped, memory_bytes, last_pass FROM contime.workers ORDER BY worker;
RESET ROLE;
GRANT SELECT (v) ON secret TO eve;
SET ROLE eve;
SELECT "table", keys FROM contime.tables;
RESET ROLE;
REVOKE SELECT (v) ON secret FROM eve;
GRANT INSERT, UPDATE, DELETE, TRUNCATE ON secret TO eve;
SET ROLE eve;
SELECT "table" FROM contime.tables;
SELECT "table" FROM contime.table_stats();
RESET ROLE;
GRANT pg_monitor TO eve;
SET ROLE eve;
SELECT "table" FROM contime.tables;
SELECT worker, pid IS NOT NULL AS pid, memory_bytes >= 0 AS bytes FROM contime.workers ORDER BY worker;
RESET ROLE;
REVOKE pg_monitor FROM eve;
GRANT pg_read_all_data TO eve;
SET ROLE eve;
SELECT "table" FROM contime.tables;
SELECT count(pid) FROM contime.workers;
RESET ROLE;
REVOKE pg_read_all_data FROM eve;

-- A row of contime.source is part of a definition: visible to all roles, changed by the table's owner.
SET ROLE eve;
SELECT count(*) FROM contime.source;
DELETE FROM contime.source;
INSERT INTO contime.source VALUES ('secret', 'pg_class', 'event', '{}');
RESET ROLE;
DROP FOREIGN TABLE secret;
DROP OWNED BY ann, eve;
DROP ROLE ann, eve;
