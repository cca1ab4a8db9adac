-- SELECT ... FOR UPDATE and the like: which queries can lock keys, and what is refused.
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE FOREIGN TABLE purse (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), balance int OPTIONS (rule 'sum')) SERVER contime;
CREATE FOREIGN TABLE pair (a int OPTIONS (key 'true'), b text OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), v int) SERVER contime;
CREATE TABLE owner (name text, purse int, at timestamptz);
INSERT INTO purse SELECT i, '2020-01-01', 10 * i FROM generate_series(1, 5) i;
INSERT INTO pair VALUES (1, 'x', 1, 1), (1, 'y', 1, 2), (2, 'x', 1, 3);
INSERT INTO owner VALUES ('Ada', 1, '2020-02-01'), ('Bob', 2, '2020-02-01'), ('Cy', 9, '2020-02-01');
CREATE VIEW locks AS SELECT relation::regclass AS "table", mode, count(*) FROM pg_locks WHERE locktype = 'tuple' AND pid = pg_backend_pid() GROUP BY 1, 2 ORDER BY 1, 2;

-- One key, several, keys from a join, several key columns, a key that has no row.
BEGIN;
SELECT id, balance FROM purse WHERE id = 1 FOR UPDATE;
SELECT id, balance FROM purse WHERE id = ANY (ARRAY[3, 2, NULL, 3]) FOR NO KEY UPDATE;
SELECT * FROM purse WHERE id = 77 FOR UPDATE;
SELECT id FROM purse WHERE id = NULL FOR UPDATE;
SELECT * FROM locks;
ROLLBACK;
SELECT * FROM locks;
BEGIN;
SELECT name, balance FROM owner o JOIN purse p ON p.id = o.purse AND p.at = o.at ORDER BY name FOR SHARE OF p;
SELECT name, balance FROM owner o LEFT JOIN purse p ON p.id = o.purse AND p.at = o.at ORDER BY name FOR UPDATE OF o;
SELECT * FROM locks;
ROLLBACK;
BEGIN;
SELECT a, b, v FROM pair WHERE a IN (1, 2) AND b IN ('x', 'y') FOR UPDATE;
SELECT * FROM locks;
ROLLBACK;
-- Rows are locked as they are fetched.
BEGIN;
DECLARE c CURSOR FOR SELECT name, p.balance FROM owner o JOIN purse p ON p.id = o.purse WHERE name < 'C' FOR UPDATE OF p;
FETCH 1 FROM c;
SELECT count FROM locks;
FETCH ALL FROM c;
SELECT count FROM locks;
COMMIT;
-- A transaction sees its own events; "now" is at least as late as they are.
BEGIN;
INSERT INTO purse VALUES (1, NULL, 5);
SELECT balance, at >= transaction_timestamp() AS later FROM purse WHERE id = 1 FOR UPDATE;
SELECT balance FROM purse WHERE id = 1 AND at = '2020-06-01' FOR UPDATE;
ROLLBACK;
-- In views, functions, prepared statements; at other isolation levels; under contime.at.
CREATE VIEW wallet AS SELECT id, balance FROM purse;
BEGIN;
SELECT * FROM wallet WHERE id = 3 FOR UPDATE;
SELECT * FROM (SELECT id, balance FROM purse WHERE id = 4 FOR UPDATE) s;
CREATE FUNCTION locked(int) RETURNS int LANGUAGE sql AS 'SELECT balance FROM purse WHERE id = $1 FOR UPDATE';
SELECT locked(5);
PREPARE l(int) AS SELECT balance FROM purse WHERE id = $1 FOR UPDATE;
SET LOCAL plan_cache_mode = force_generic_plan;
EXECUTE l(1);
EXECUTE l(2);
SELECT * FROM locks;
ROLLBACK;
DEALLOCATE l;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT balance FROM purse WHERE id = 1 FOR UPDATE;
SELECT * FROM locks;
COMMIT;
SET contime.at = '2020-01-01';
SELECT * FROM purse WHERE id = 1 FOR UPDATE;
RESET contime.at;
EXPLAIN (COSTS OFF) SELECT * FROM owner o JOIN purse p ON p.id = o.purse FOR UPDATE OF p;
-- A plan that reads all keys, which is an error when it runs, is not chosen, even if the other join methods are disabled.
SET enable_nestloop = off;
SELECT o.*, p.id FROM owner o JOIN purse p ON p.id = o.purse ORDER BY 1 FOR UPDATE OF p;
RESET enable_nestloop;

-- Refused: the key is not known before it is read.
SELECT * FROM purse FOR UPDATE;
SELECT * FROM purse WHERE id > 1 FOR SHARE;
SELECT * FROM pair WHERE a = 1 FOR KEY SHARE;
SELECT * FROM owner o JOIN purse p ON p.id > o.purse FOR UPDATE;
SELECT name, id, balance FROM owner o JOIN purse p ON p.id > o.purse ORDER BY 1, 2 FOR UPDATE OF o;
SELECT * FROM wallet FOR NO KEY UPDATE SKIP LOCKED;
-- A read-only transaction locks nothing.
BEGIN READ ONLY;
SELECT * FROM purse WHERE id = 1 FOR UPDATE;
ROLLBACK;

-- Partitions.
CREATE TABLE everyone (id int, at timestamptz, balance int) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE low (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), balance int OPTIONS (rule 'sum')) SERVER contime;
ALTER TABLE everyone ATTACH PARTITION low FOR VALUES FROM (0) TO (100);
CREATE FOREIGN TABLE high (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), balance int OPTIONS (rule 'sum')) SERVER contime;
ALTER TABLE everyone ATTACH PARTITION high FOR VALUES FROM (100) TO (200);
INSERT INTO everyone VALUES (1, '2020-01-01', 1), (101, '2020-01-01', 2);
BEGIN;
SELECT id, balance FROM everyone WHERE id = 101 FOR UPDATE;
SELECT * FROM locks;
ROLLBACK;
SELECT * FROM everyone FOR UPDATE;

DROP TABLE everyone, owner;
DROP VIEW locks, wallet;
DROP FOREIGN TABLE purse, pair;
