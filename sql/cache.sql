-- Durable tables in memory: loaded after a read, updated when rows are written, invalidated when in doubt.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\getenv abs_srcdir PG_ABS_SRCDIR
\set until :abs_srcdir '/sql/until.sql'
\i :until

CREATE TABLE movement (
    id      bigint        PRIMARY KEY,
    account int           NOT NULL,
    at      timestamptz,
    amount  numeric(18,2),
    owner   text,
    note    text
);
INSERT INTO movement
SELECT i, i % 10, '2026-01-01'::timestamptz + (i * 7919 % 1000) * interval '1 hour', i % 7 - 3, CASE WHEN i % 5 = 0 THEN 'o' || i END
FROM generate_series(1, 1000) i;
CREATE FOREIGN TABLE account (
    id      int           OPTIONS (key 'true', source 'account'),
    at      timestamptz   OPTIONS (time 'true'),
    balance numeric(18,2) OPTIONS (rule 'sum', source 'amount', initial '0'),
    owner   text
) SERVER contime OPTIONS (events 'movement');

-- Where a read is answered from, and whether it agrees with plain SQL.
CREATE FUNCTION asked(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; result text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
        result := coalesce(substring(line FROM 'Events: (.*)'), result);
    END LOOP;
    RETURN result;
END $$;
CREATE FUNCTION unequal() RETURNS SETOF record LANGUAGE sql AS $$
SELECT k, t, a.balance, m.balance FROM generate_series(0, 20) k CROSS JOIN generate_series('2025-12-31'::timestamptz, '2026-02-20', '1 day 7 hours') t
CROSS JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS balance, count(*) AS events FROM movement m WHERE m.account = k AND m.at <= t) m
LEFT JOIN account a ON a.id = k AND a.at = t
WHERE a.balance IS DISTINCT FROM CASE WHEN m.events > 0 THEN m.balance END
$$;
CREATE FUNCTION differ() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM unequal() AS d(k int, t timestamptz, ours numeric, theirs numeric)';
CREATE VIEW cache AS SELECT "table", keys, recent + young + frozen AS events, cache FROM contime.tables;
CREATE PROCEDURE loaded() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM count(*) FROM account;
    COMMIT;
    CALL until($c$ (SELECT cache IN ('ready', 'refused') FROM contime.tables WHERE "table" = 'account'::regclass) $c$);
END $$;

-- ---- loading ------------------------------------------------------------------------------

SELECT asked('SELECT * FROM account WHERE id = 3');
CALL loaded();
SELECT * FROM cache;
SELECT asked('SELECT * FROM account WHERE id = 3'), asked('SELECT * FROM account'), asked('SELECT * FROM account WHERE id = 11');
SELECT differ();
SELECT * FROM contime.verify('account');
-- Planning a read locks the event table, too.
BEGIN;
EXPLAIN (COSTS OFF) SELECT * FROM account WHERE id = 3;
SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'movement'::regclass;
COMMIT;
-- The triggers are internal: they are neither shown nor dumped.
SELECT count(*) AS triggers, bool_and(tgisinternal) AS internal, bool_and(tgenabled = 'A') AS always FROM pg_trigger WHERE tgrelid = 'movement'::regclass;
SELECT tgname AS trigger FROM pg_trigger WHERE tgrelid = 'movement'::regclass AND tgtype & 1 = 1 \gset
\set VERBOSITY sqlstate
DROP TRIGGER :"trigger" ON movement;
\set VERBOSITY default
\echo :SQLSTATE
CREATE TRIGGER mine AFTER INSERT ON movement FOR EACH ROW EXECUTE FUNCTION contime.capture();
INSERT INTO movement VALUES (0, 3, '2026-01-01', 1);
\echo :SQLSTATE
DROP TRIGGER mine ON movement;
CALL loaded();

-- ---- every way to write ---------------------------------------------------------------------

INSERT INTO movement VALUES (2001, 3, '2026-01-03', 100), (2002, 11, '2026-01-03', 5), (2003, 3, NULL, 7);
UPDATE movement SET amount = amount + 1000 WHERE id % 100 = 7;
UPDATE movement SET account = 12 WHERE id = 13;
UPDATE movement SET at = at + interval '10 days' WHERE id = 14;
UPDATE movement SET at = '2026-01-05' WHERE id = 2003;
UPDATE movement SET at = NULL WHERE id = 15;
UPDATE movement SET note = 'nothing that counts' WHERE id < 100;
DELETE FROM movement WHERE id % 50 = 1;
INSERT INTO movement VALUES (2001, 3, '2026-01-03', 50) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount;
INSERT INTO movement VALUES (2001, 3, '2026-01-03', 60) ON CONFLICT (id) DO NOTHING;
MERGE INTO movement m USING (VALUES (2002, 1), (2010, 2), (17, 3)) v(id, n) ON v.id = m.id
WHEN MATCHED AND n = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET amount = n WHEN NOT MATCHED THEN INSERT VALUES (v.id, 10, '2026-01-09', n);
COPY movement (id, account, at, amount) FROM stdin (FORMAT csv);
2020,4,2026-01-08 12:00,1.5
2021,4,2026-01-08 12:00,1.5
\.
SELECT asked('SELECT * FROM account WHERE id = 4');
SELECT differ();
SELECT * FROM contime.verify('account');

-- In one transaction, and after its rollback.
BEGIN;
DELETE FROM movement WHERE account = 5;
SELECT differ();
SAVEPOINT s;
INSERT INTO movement SELECT 3000 + i, 5, '2026-01-10', i FROM generate_series(1, 10) i;
UPDATE movement SET amount = amount * 2 WHERE id > 3005;
SELECT differ();
ROLLBACK TO s;
SELECT differ();
INSERT INTO movement VALUES (3001, 5, '2026-01-10', 1);
SELECT differ();
SELECT asked('SELECT * FROM account WHERE id = 5');
ROLLBACK;
SELECT differ();

-- Three equal rows, one of which is deleted.
INSERT INTO movement VALUES (4001, 6, '2026-01-11', 9), (4002, 6, '2026-01-11', 9), (4003, 6, '2026-01-11', 9);
DELETE FROM movement WHERE id = 4002;
SELECT differ();
CALL until($c$ (SELECT recent = 0 FROM contime.tables WHERE "table" = 'account'::regclass) $c$);
SELECT differ();
SELECT * FROM contime.verify('account');

-- ---- while a statement runs ---------------------------------------------------------------------

-- Rows that are in the heap and not in memory yet are visible to functions and triggers.
CREATE FUNCTION look(k int) RETURNS numeric LANGUAGE sql VOLATILE AS 'SELECT balance FROM account WHERE id = k AND at = ''infinity''';
CREATE FUNCTION look_plain(k int) RETURNS numeric LANGUAGE sql VOLATILE AS 'SELECT sum(amount) FROM movement WHERE account = k';
INSERT INTO movement SELECT 5000 + i, 8, '2026-03-01', 1000000 FROM generate_series(1, 3) i RETURNING id, look(8) = look_plain(8) AS same, look(8) > 1000000 AS sees_it;
CREATE FUNCTION look_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'after row %: %', NEW.id, look(9) = look_plain(9);
    RETURN NULL;
END $$;
CREATE TRIGGER aaa AFTER INSERT ON movement FOR EACH ROW EXECUTE FUNCTION look_after();
INSERT INTO movement SELECT 5100 + i, 9, '2026-03-01', 1000000 FROM generate_series(1, 2) i;
DROP TRIGGER aaa ON movement;
SELECT differ();

-- A parallel worker does not know that such a statement is running.
CREATE FUNCTION look_safe(k int) RETURNS text LANGUAGE plpgsql PARALLEL SAFE AS $$
BEGIN
    RAISE NOTICE 'read as plain SQL does: %', look(k) = look_plain(k);
    RETURN asked('SELECT balance FROM account WHERE id = ' || k);
END $$;
-- PostgreSQL 16 renamed the setting.
SELECT name AS parallel_mode FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \gset
CREATE FUNCTION look_beside() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    mode text := (SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query'));
BEGIN
    PERFORM set_config(mode, 'on', true);
    PERFORM look_safe(9);
    PERFORM set_config(mode, 'off', true);
    RETURN NULL;
END $$;
SELECT look_safe(9);
SET :parallel_mode = on;
SELECT look_safe(9);
RESET :parallel_mode;
CREATE TRIGGER aaa AFTER INSERT ON movement FOR EACH ROW EXECUTE FUNCTION look_beside();
INSERT INTO movement SELECT 5200 + i, 9, '2026-03-01', 1000000 FROM generate_series(1, 2) i;
DROP TRIGGER aaa ON movement;
SELECT differ();

-- A foreign key deletes rows after the statement that caused it seems to be over: no statement triggers are fired for them then.
CREATE TABLE box (id int PRIMARY KEY);
CREATE TABLE bag (id int PRIMARY KEY, box int);
CREATE TABLE part (item int, at timestamptz, n int, box int REFERENCES box ON DELETE CASCADE, bag int REFERENCES bag ON DELETE CASCADE);
ALTER TABLE bag ADD FOREIGN KEY (box) REFERENCES box ON DELETE CASCADE;
CREATE FOREIGN TABLE stock (item int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'part');
INSERT INTO box VALUES (1);
INSERT INTO bag VALUES (1, 1);
INSERT INTO part VALUES (1, '2026-01-01', 10, NULL, NULL), (1, '2026-01-01', 20, 1, NULL), (1, '2026-01-01', 30, NULL, 1);
SELECT n FROM stock WHERE item = 1;
CALL until($c$ (SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'stock'::regclass) $c$);
CREATE FUNCTION look_at_stock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'stock is %, parts are %', (SELECT n FROM stock WHERE item = 1), (SELECT sum(n) FROM part WHERE item = 1);
    RETURN NULL;
END $$;
CREATE TRIGGER zzz AFTER DELETE ON bag FOR EACH ROW EXECUTE FUNCTION look_at_stock();
BEGIN;
DELETE FROM box;
SELECT n, asked('SELECT * FROM stock WHERE item = 1') FROM stock WHERE item = 1;
COMMIT;
SELECT n, asked('SELECT * FROM stock WHERE item = 1') FROM stock WHERE item = 1;
DROP TABLE part, bag, box CASCADE;
DROP FUNCTION look_at_stock;

-- ---- DDL ------------------------------------------------------------------------------------------

-- DDL that may change rows, or their meaning, makes the loader load them again; rolled back, it has no effect.
BEGIN;
TRUNCATE movement;
INSERT INTO movement VALUES (1, 1, '2026-01-01', 1);
SELECT count(*), asked('SELECT * FROM account') FROM account;
ROLLBACK;
SELECT count(*), asked('SELECT * FROM account') FROM account;
SELECT differ();
ALTER TABLE movement ALTER amount TYPE numeric(20,3);
SELECT asked('SELECT * FROM account');
SELECT differ();
CALL loaded();
ALTER TABLE movement RENAME amount TO value;
ALTER TABLE movement RENAME value TO amount;
ALTER TABLE movement DISABLE TRIGGER ALL;
UPDATE movement SET amount = 0 WHERE account = 1;
CALL loaded();
SELECT cache FROM cache;
SELECT differ();
ALTER TABLE movement ENABLE TRIGGER ALL;
CALL loaded();
SELECT cache FROM cache;
SET session_replication_role = replica;
UPDATE movement SET amount = 1 WHERE account = 1;
RESET session_replication_role;
SELECT differ();
ALTER FOREIGN TABLE account ADD COLUMN first text OPTIONS (source 'note');
SELECT asked('SELECT * FROM account');
CALL loaded();
SELECT id, first FROM account WHERE id = 2;
VACUUM FULL movement;
CLUSTER movement USING movement_pkey;
SELECT asked('SELECT * FROM account');
SELECT differ();

-- The owner of an event table may disable and enable all of its triggers: rows are captured all the same.
CREATE ROLE regress_disabler;
CREATE TABLE noted (n int);
CREATE TABLE count (id int, at timestamptz, n int);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO noted VALUES (NEW.n); RETURN NEW; END';
CREATE TRIGGER note AFTER INSERT ON count FOR EACH ROW EXECUTE FUNCTION note();
CREATE FOREIGN TABLE counter (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'count');
ALTER TABLE count OWNER TO regress_disabler;
ALTER TABLE noted OWNER TO regress_disabler;
CREATE PROCEDURE counter_cached() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM count(*) FROM counter;
    COMMIT;
    CALL until($c$ (SELECT cache IN ('ready', 'refused') FROM contime.tables WHERE "table" = 'counter'::regclass) $c$);
END $$;
CREATE VIEW counted AS SELECT (SELECT n FROM counter WHERE id = 1) AS n, (SELECT sum(n) FROM count) AS rows, (SELECT count(*) FROM noted) AS noted,
    asked('SELECT * FROM counter WHERE id = 1'), (SELECT string_agg(DISTINCT tgenabled::text, '') FROM pg_trigger WHERE tgrelid = 'count'::regclass AND tgisinternal) AS capture;
INSERT INTO count VALUES (1, '2026-01-01', 1);
CALL counter_cached();
SET ROLE regress_disabler;
ALTER TABLE count DISABLE TRIGGER ALL;
INSERT INTO count VALUES (1, '2026-01-01', 2);
RESET ROLE;
SELECT * FROM counted;
SET ROLE regress_disabler;
ALTER TABLE IF EXISTS count ENABLE TRIGGER ALL;
RESET ROLE;
CALL counter_cached();
SET ROLE regress_disabler;
INSERT INTO count VALUES (1, '2026-01-01', 4);
RESET ROLE;
SELECT * FROM counted;
-- One that has other system triggers is core's matter, and so is a role that does not own it.
ALTER TABLE count ADD CONSTRAINT late UNIQUE (n) DEFERRABLE;
SELECT tgname AS trigger FROM pg_trigger WHERE tgrelid = 'count'::regclass AND tgname LIKE '!contime_row%' \gset
SET ROLE regress_disabler;
\set VERBOSITY sqlstate
ALTER TABLE count DISABLE TRIGGER ALL;
ALTER TABLE count DROP CONSTRAINT late, DISABLE TRIGGER ALL;
ALTER TABLE count DROP CONSTRAINT late;
ALTER TABLE count DISABLE TRIGGER :"trigger";
\set VERBOSITY default
ALTER TABLE movement DISABLE TRIGGER ALL;
-- A superuser disables the capture, too: the event table answers until it is enabled again, be it by the owner.
RESET ROLE;
CALL counter_cached();
ALTER TABLE count DISABLE TRIGGER ALL;
INSERT INTO count VALUES (1, '2026-01-01', 8);
CALL counter_cached();
SELECT * FROM counted;
SET ROLE regress_disabler;
ALTER TABLE count ADD COLUMN note text;
ALTER TABLE count ENABLE TRIGGER ALL;
RESET ROLE;
CALL counter_cached();
INSERT INTO count VALUES (1, '2026-01-01', 16);
SELECT * FROM counted;
-- Firing in replicas only, and only elsewhere: neither captures what this session writes.
ALTER TABLE count ENABLE REPLICA TRIGGER :"trigger";
INSERT INTO count VALUES (1, '2026-01-01', 32);
CALL counter_cached();
SELECT * FROM counted;
ALTER TABLE count ENABLE TRIGGER :"trigger";
ALTER TABLE count ENABLE TRIGGER ALL;
CALL counter_cached();
SET session_replication_role = replica;
INSERT INTO count VALUES (1, '2026-01-01', 64);
RESET session_replication_role;
SELECT * FROM counted;
ALTER TABLE count DISABLE TRIGGER :"trigger";
INSERT INTO count VALUES (1, '2026-01-01', 128);
SELECT n, rows, noted, capture FROM counted;
ALTER TABLE count ENABLE ALWAYS TRIGGER :"trigger";
INSERT INTO count VALUES (1, '2026-01-01', 256);
SELECT n, rows, noted, capture FROM counted;
SELECT equal FROM contime.verify('counter');
DROP VIEW counted;
DROP TABLE count CASCADE;
DROP TABLE noted;
DROP FUNCTION note;
DROP ROLE regress_disabler;

-- ---- what cannot be cached ---------------------------------------------------------------------------

-- Rows that are not valid events: an error for readers, not for writers.
INSERT INTO movement VALUES (6000, 1, '-infinity', 1);
SELECT id, balance FROM account WHERE id = 1 AND at = 'infinity';
\echo :SQLSTATE
SELECT asked('SELECT * FROM account WHERE id = 2');
DELETE FROM movement WHERE id = 6000;

-- Two rows of one identity: only one counts, until it is deleted.
CREATE FOREIGN TABLE named (
    id    int           OPTIONS (key 'true', source 'account'),
    at    timestamptz   OPTIONS (time 'true'),
    total numeric(18,2) OPTIONS (rule 'sum', source 'amount'),
    name  text          OPTIONS (event_id 'true', source 'coalesce(note, id::text)')
) SERVER contime OPTIONS (events 'movement');
SELECT count(*) > 0 AS there FROM named;
CALL until($c$ (SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'named'::regclass) $c$);
INSERT INTO movement (id, account, at, amount, note) VALUES (7001, 20, '2026-01-01', 1, 'same'), (7002, 20, '2026-01-01', 2, 'same');
SELECT total FROM named WHERE id = 20;
DELETE FROM movement WHERE id = 7001;
SELECT total FROM named WHERE id = 20;
CALL until($c$ (SELECT recent = 0 OR cache <> 'ready' FROM contime.tables WHERE "table" = 'named'::regclass) $c$);
SELECT total FROM named WHERE id = 20;

-- A table that its owner may not read any more is refused, and not retried continually.
CREATE TABLE visit (guest int, at timestamptz, n int);
CREATE FOREIGN TABLE guest (id int OPTIONS (key 'true', source 'guest'), at timestamptz OPTIONS (time 'true'), n int OPTIONS (rule 'sum'))
SERVER contime OPTIONS (events 'visit');
CREATE ROLE regress_keeper;
GRANT SELECT, TRIGGER ON visit TO regress_keeper;
ALTER FOREIGN TABLE guest OWNER TO regress_keeper;
INSERT INTO visit VALUES (1, '2026-01-01', 1);
SELECT n FROM guest;
CALL until($c$ (SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'guest'::regclass) $c$);
REVOKE SELECT ON visit FROM regress_keeper;
ALTER TABLE visit DISABLE TRIGGER ALL;
CALL until($c$ (SELECT cache = 'refused' FROM contime.tables WHERE "table" = 'guest'::regclass) $c$);
SELECT n FROM guest;
GRANT SELECT ON visit TO regress_keeper;
SELECT n FROM guest;
SELECT cache FROM contime.tables WHERE "table" = 'guest'::regclass;
-- A reason for a refusal that has gone is not remembered.
ALTER TABLE visit DISABLE TRIGGER ALL;
SELECT n FROM guest;
CALL until($c$ (SELECT cache = 'refused' FROM contime.tables WHERE "table" = 'guest'::regclass) $c$);
ALTER TABLE visit ENABLE TRIGGER ALL;
SELECT n FROM guest;
CALL until($c$ (SELECT cache IN ('ready', 'refused') FROM contime.tables WHERE "table" = 'guest'::regclass) $c$);
SELECT cache FROM contime.tables WHERE "table" = 'guest'::regclass;
DROP TABLE visit CASCADE;
DROP ROLE regress_keeper;

-- COPY FREEZE writes rows that are visible to all snapshots at once.
BEGIN;
TRUNCATE movement;
COPY movement (id, account, at, amount) FROM stdin (FREEZE, FORMAT csv);
1,1,2026-01-01,5
\.
COMMIT;
SELECT differ();

-- ---- functions that sources call ----------------------------------------------------------------------

-- They run as the owner, and the search_path of writers and readers does not change what their names mean.
CREATE TABLE title (account int, at timestamptz, name text);
CREATE FUNCTION tidied(name text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN lower(name); END';
CREATE FOREIGN TABLE titled (id int OPTIONS (key 'true', source 'account'), at timestamptz OPTIONS (time 'true'), name text OPTIONS (source 'tidied(name)'))
SERVER contime OPTIONS (events 'title');
CREATE SCHEMA theirs;
CREATE FUNCTION theirs.lower(name text) RETURNS text LANGUAGE sql AS $$ SELECT 'read by ' || current_user $$;
INSERT INTO title VALUES (1, '2026-01-01', 'ADA');
SET search_path = theirs, public, pg_catalog;
SELECT lower('x') LIKE 'read by %' AS shadowed, id, name FROM titled;
CALL until($c$ (SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'titled'::regclass) $c$);
INSERT INTO title VALUES (2, '2026-01-01', 'BOB');
UPDATE title SET name = 'EVE' WHERE account = 1;
SELECT id, name, asked('SELECT * FROM titled WHERE id = 2') FROM titled ORDER BY id;
RESET search_path;
SELECT * FROM contime.verify('titled');
DROP TABLE title CASCADE;
DROP FUNCTION tidied;
DROP SCHEMA theirs CASCADE;

-- ---- several sources, and none --------------------------------------------------------------------

CREATE TABLE correction (account int NOT NULL, at timestamptz NOT NULL, amount numeric(18,2));
SELECT contime.add_source('account', 'correction', '{"id": "account", "balance": "amount", "owner": null, "first": null}', 'snapshot');
CALL loaded();
INSERT INTO correction VALUES (1, '2026-01-02', 77);
SELECT balance, asked('SELECT * FROM account WHERE id = 1') FROM account WHERE id = 1;
DELETE FROM correction;
SELECT balance, asked('SELECT * FROM account WHERE id = 1') FROM account WHERE id = 1;
SELECT contime.drop_source('account', 'correction');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'correction'::regclass;
DROP FOREIGN TABLE account, named;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'movement'::regclass;
DROP TABLE movement, correction;
DROP FUNCTION asked, differ, unequal, look, look_plain, look_after, look_safe, look_beside;
DROP VIEW cache;
DROP PROCEDURE loaded;
DROP PROCEDURE until;
