-- DDL: columns are added and dropped, tables are dropped, and privileges apply to SELECT and to the functions.
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE FOREIGN TABLE account (
    id      int         OPTIONS (key 'true'),
    at      timestamptz OPTIONS (time 'true') DEFAULT '2020-01-05',
    balance int         OPTIONS (rule 'sum', initial '0'),
    owner   text
) SERVER contime;
INSERT INTO account VALUES (1, '2020-01-01', 10, 'Ada');

-- DEFAULT on key, time and event id columns
INSERT INTO account (id, balance) VALUES (1, 5);
SELECT * FROM account WHERE at IN ('2020-01-04', '2020-01-05') ORDER BY at;

-- ADD COLUMN: its value in the past is initial
ALTER FOREIGN TABLE account ADD COLUMN rating int OPTIONS (rule 'max', initial '3'), ADD COLUMN note text;
SELECT * FROM account WHERE at = '2020-01-06';
INSERT INTO account VALUES (1, '2020-01-03', 1, NULL, 7, 'late'), (2, '2020-01-03', 1, 'Grace', 1, NULL);
SELECT * FROM account WHERE at IN ('2020-01-02', '2020-01-06') ORDER BY id, at;
SELECT during, (state).* FROM contime.history(NULL::account, 1, '-infinity', 'infinity');
-- rolled back, it is gone
BEGIN;
ALTER FOREIGN TABLE account ADD COLUMN brief int OPTIONS (rule 'sum');
INSERT INTO account (id, at, brief) VALUES (1, '2020-01-06', 1);
SELECT * FROM account WHERE id = 1 AND at = '2020-01-06';
ROLLBACK;
SELECT * FROM account WHERE id = 1 AND at = '2020-01-06';
-- added again, it does not have the earlier events
ALTER FOREIGN TABLE account ADD COLUMN brief int OPTIONS (rule 'sum');
SELECT * FROM account WHERE id = 1 AND at = '2020-01-06';
-- DROP COLUMN, and one of the same name again
ALTER FOREIGN TABLE account DROP COLUMN note;
SELECT * FROM account WHERE at = '2020-01-06' ORDER BY id;
INSERT INTO account VALUES (1, '2020-01-07', 1, 'Byron', 8);
ALTER FOREIGN TABLE account ADD COLUMN note int;
SELECT * FROM account WHERE at = '2020-01-07' ORDER BY id;
SELECT contime.snapshot(ROW(2, '2020-01-08', 100, 'Hopper', NULL, NULL, 5)::account);
SELECT * FROM account WHERE at = '2020-01-08' ORDER BY id;

-- Names can be chosen freely.
ALTER FOREIGN TABLE account RENAME TO konto;
ALTER FOREIGN TABLE konto RENAME COLUMN balance TO saldo;
CREATE SCHEMA bank;
ALTER FOREIGN TABLE konto SET SCHEMA bank;
SELECT id, saldo FROM bank.konto WHERE at = '2020-01-08' ORDER BY id;
SELECT id, saldo FROM contime.at(NULL::bank.konto, '2020-01-08', 1);
SELECT contime.event(ROW(1, '2020-01-09', 1, NULL, NULL, NULL, NULL)::bank.konto, set_null => '{owner}');
SELECT "table" FROM contime.tables;

-- What cannot be changed while the table has data.
ALTER FOREIGN TABLE bank.konto ALTER COLUMN saldo OPTIONS (SET rule 'max');
\echo :SQLSTATE
ALTER FOREIGN TABLE bank.konto ALTER COLUMN saldo OPTIONS (ADD lower '0');
\echo :SQLSTATE
ALTER FOREIGN TABLE bank.konto ALTER COLUMN saldo OPTIONS (SET initial '1');
\echo :SQLSTATE
ALTER FOREIGN TABLE bank.konto ALTER COLUMN saldo TYPE bigint;
\echo :SQLSTATE
ALTER FOREIGN TABLE bank.konto ALTER COLUMN id TYPE bigint;
\echo :SQLSTATE
ALTER FOREIGN TABLE bank.konto ALTER COLUMN owner OPTIONS (ADD key 'true');
\echo :SQLSTATE
ALTER FOREIGN TABLE bank.konto ALTER COLUMN id OPTIONS (DROP key);
\echo :SQLSTATE
ALTER FOREIGN TABLE bank.konto ADD COLUMN more int OPTIONS (key 'true');
\echo :SQLSTATE
ALTER FOREIGN TABLE bank.konto ADD COLUMN more text OPTIONS (event_id 'true');
\echo :SQLSTATE
ALTER FOREIGN TABLE bank.konto DROP COLUMN id;
\echo :SQLSTATE
ALTER FOREIGN TABLE bank.konto DROP COLUMN at;
\echo :SQLSTATE
ALTER FOREIGN TABLE bank.konto ALTER COLUMN saldo SET DEFAULT 3;
\echo :SQLSTATE
ALTER FOREIGN TABLE bank.konto ALTER COLUMN saldo SET NOT NULL;
\echo :SQLSTATE
ALTER FOREIGN TABLE bank.konto ADD CHECK (saldo > 0);
\echo :SQLSTATE
ALTER FOREIGN TABLE bank.konto ADD COLUMN more int OPTIONS (rule 'average');
\echo :SQLSTATE
ALTER FOREIGN TABLE bank.konto ADD COLUMN more int DEFAULT 3;
\echo :SQLSTATE
SELECT * FROM bank.konto WHERE at = '2020-01-09' ORDER BY id;
-- It can be when the table is empty.
TRUNCATE bank.konto;
ALTER FOREIGN TABLE bank.konto ALTER COLUMN saldo OPTIONS (SET rule 'max', SET initial '1');
ALTER FOREIGN TABLE bank.konto ALTER COLUMN saldo TYPE bigint;
INSERT INTO bank.konto (id, at, saldo) VALUES (1, '2020-01-01', -5000000000);
SELECT id, saldo FROM bank.konto WHERE at = '2020-01-01';

-- A table that is dropped in any way and created again is empty.
DROP SCHEMA bank CASCADE;
SELECT * FROM contime.tables;
CREATE FOREIGN TABLE account (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO account VALUES (1, '2020-01-01', 1);
BEGIN;
DROP FOREIGN TABLE account;
ROLLBACK;
SELECT * FROM account WHERE at = '2020-01-01';
BEGIN;
DROP FOREIGN TABLE account;
CREATE FOREIGN TABLE account (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
SELECT * FROM account WHERE at = '2020-01-01';
INSERT INTO account VALUES (1, '2020-01-01', 7);
COMMIT;
SELECT * FROM account WHERE at = '2020-01-01';

-- Created, filled and rolled back.
BEGIN;
CREATE FOREIGN TABLE brief (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO brief VALUES (1, '2020-01-01', 1);
SELECT * FROM brief WHERE at = '2020-01-01';
ROLLBACK;
SELECT * FROM contime.tables WHERE "table" <> 'account'::regclass;

-- Privileges.
CREATE ROLE regress_contime_reader;
CREATE ROLE regress_contime_writer;
CREATE ROLE regress_contime_column;
GRANT SELECT ON account TO regress_contime_reader;
GRANT INSERT ON account TO regress_contime_writer;
GRANT SELECT (id, at) ON account TO regress_contime_column;
GRANT INSERT (id, at) ON account TO regress_contime_column;
SET ROLE regress_contime_reader;
SELECT * FROM account WHERE at = '2020-01-01';
SELECT * FROM contime.at(NULL::account, '2020-01-01');
SELECT * FROM contime.history(NULL::account, 1, '2020-01-01', '2020-01-02');
INSERT INTO account VALUES (1, '2020-01-01', 1);
\echo :SQLSTATE
SELECT contime.event(ROW(1, '2020-01-01', 1)::account);
\echo :SQLSTATE
SELECT contime.snapshot(ROW(1, '2020-01-01', 1)::account);
\echo :SQLSTATE
SELECT contime.finish(ROW(1, '2020-01-01', 1)::account);
\echo :SQLSTATE
TRUNCATE account;
\echo :SQLSTATE
SET ROLE regress_contime_writer;
INSERT INTO account VALUES (1, '2020-01-02', 1);
SELECT contime.event(ROW(1, '2020-01-02', 1)::account);
SELECT contime.snapshot(ROW(1, '2020-01-02', 1)::account);
\echo :SQLSTATE
SELECT * FROM account WHERE at = '2020-01-01';
\echo :SQLSTATE
SELECT * FROM contime.at(NULL::account, '2020-01-01');
\echo :SQLSTATE
SELECT * FROM contime.at(NULL::account, '2020-01-01', 1);
\echo :SQLSTATE
SELECT * FROM contime.history(NULL::account, 1, '2020-01-01', '2020-01-02');
\echo :SQLSTATE
SET ROLE regress_contime_column;
SELECT id, at FROM account WHERE at = '2020-01-01';
SELECT id, v FROM account WHERE at = '2020-01-01';
\echo :SQLSTATE
SELECT id FROM contime.at(NULL::account, '2020-01-01');
\echo :SQLSTATE
INSERT INTO account (id, at) VALUES (1, '2020-01-03');
INSERT INTO account (id, at, v) VALUES (1, '2020-01-03', 1);
\echo :SQLSTATE
SELECT contime.event(ROW(1, '2020-01-03', NULL)::account);
SELECT contime.event(ROW(1, '2020-01-03', 1)::account);
\echo :SQLSTATE
RESET ROLE;
GRANT UPDATE, DELETE, TRUNCATE ON account TO regress_contime_writer;
SET ROLE regress_contime_writer;
SELECT contime.snapshot(ROW(1, '2020-01-04', 50)::account);
SELECT contime.finish(ROW(1, '2020-01-06', NULL)::account);
RESET ROLE;
SELECT during, (state).v FROM contime.history(NULL::account, 1, '-infinity', 'infinity');
-- A SECURITY DEFINER function reads as its owner.
CREATE FUNCTION peek() RETURNS TABLE (v int) LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT v FROM contime.at(NULL::account, '2020-01-01') $$;
SET ROLE regress_contime_writer;
SELECT * FROM peek();
TRUNCATE account;
RESET ROLE;
SELECT count(*) FROM account;
DROP FUNCTION peek();

-- A partition of an ordinary table, and inheritance.
CREATE TABLE both_ (id int, at timestamptz, v int) PARTITION BY LIST (id);
CREATE TABLE both_ordinary PARTITION OF both_ FOR VALUES IN (1);
ALTER TABLE both_ ATTACH PARTITION account FOR VALUES IN (2);
INSERT INTO both_ VALUES (1, '2020-01-01', 1), (2, '2020-01-01', 2);
SELECT * FROM account WHERE at = '2020-01-02';
ALTER TABLE both_ DETACH PARTITION account;
DROP TABLE both_;

-- DROP EXTENSION CASCADE drops its tables.
INSERT INTO account VALUES (1, '2020-01-01', 1);
DROP EXTENSION contime;
\echo :SQLSTATE
BEGIN;
DROP EXTENSION contime CASCADE;
ROLLBACK;
SELECT * FROM account WHERE id = 1 AND at = '2020-01-02';
DROP EXTENSION contime CASCADE;
SELECT count(*) FROM pg_foreign_table;
CREATE EXTENSION contime;
SELECT * FROM contime.tables;
DROP EXTENSION contime;
-- In a database without the extension, other tables are not affected.
CREATE TABLE ordinary (id int) PARTITION BY LIST (id);
CREATE TABLE ordinary_1 PARTITION OF ordinary FOR VALUES IN (1);
ALTER TABLE ordinary ADD COLUMN more int;
ALTER TABLE ordinary DETACH PARTITION ordinary_1 CONCURRENTLY;
TRUNCATE ordinary_1;
DROP TABLE ordinary, ordinary_1;

-- An ADD COLUMN that was written to and rolled back does not prevent another one.
CREATE EXTENSION contime;
CREATE FOREIGN TABLE narrow (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO narrow VALUES (1, '2020-01-01', 1), (2, '2020-01-01', 2);
BEGIN;
ALTER FOREIGN TABLE narrow ADD COLUMN w int OPTIONS (rule 'max', initial '5');
INSERT INTO narrow SELECT i, '2020-01-02', 1, 7 FROM generate_series(1, 9) i;
SELECT id, v, w FROM narrow WHERE at = '2020-01-03' AND id < 3 ORDER BY id;
ROLLBACK;
INSERT INTO narrow SELECT i, '2020-01-02', 10 FROM generate_series(1, 9) i;
SELECT contime.snapshot(ROW(2, '2020-01-02', 3)::narrow);
SELECT id, v FROM narrow WHERE at = '2020-01-03' AND id < 4 ORDER BY id;
ALTER FOREIGN TABLE narrow ADD COLUMN w int OPTIONS (rule 'max', initial '5');
INSERT INTO narrow VALUES (1, '2020-01-03', 1, 8);
SELECT id, v, w FROM narrow WHERE at = '2020-01-03' AND id < 4 ORDER BY id;
DROP EXTENSION contime CASCADE;

DROP ROLE regress_contime_reader, regress_contime_writer, regress_contime_column;
