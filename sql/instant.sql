-- Which instants a query reads by its conditions, and which one without any.
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE FOREIGN TABLE account (
    id      int         OPTIONS (key 'true'),
    at      timestamptz OPTIONS (time 'true'),
    balance int         OPTIONS (rule 'sum')
) SERVER contime;
CREATE FOREIGN TABLE frame (
    id int    OPTIONS (key 'true'),
    at bigint OPTIONS (time 'true'),
    x  int
) SERVER contime;
CREATE TABLE orders (n int, account int, placed_at timestamptz);
CREATE FOREIGN TABLE meter (
    id    int         OPTIONS (key 'true'),
    at    timestamptz OPTIONS (time 'true'),
    value int         OPTIONS (interpolate 'linear')
) SERVER contime;
INSERT INTO account VALUES (1, '2020-01-01', 10), (1, '2020-01-03', 5), (2, '2020-01-02', 7);
INSERT INTO frame VALUES (1, 10, 1), (1, 20, 2);
INSERT INTO meter VALUES (1, '2020-01-01', 100), (1, '2020-01-03', 300);
INSERT INTO orders VALUES (1, 1, '2020-01-01 12:00'), (2, 1, '2020-01-04'), (3, 2, NULL);

-- Equalities in an OR, and IS NOT DISTINCT FROM.
SELECT * FROM account WHERE at = '2020-01-01' OR at = '2020-01-03' ORDER BY id, at;
SELECT * FROM account WHERE (at = '2020-01-02' AND id = 2) OR (id = 1 AND '2020-01-03' = at) ORDER BY id;
SELECT * FROM account WHERE at IS NOT DISTINCT FROM '2020-01-02' ORDER BY id;
SELECT * FROM account WHERE at IS NOT DISTINCT FROM DATE '2020-01-03' OR at = '2020-01-02' ORDER BY id, at;
SELECT n, balance FROM orders JOIN account ON at IS NOT DISTINCT FROM placed_at AND id = account ORDER BY n;
SELECT n, balance FROM orders LEFT JOIN account ON at IS NOT DISTINCT FROM placed_at AND id = account ORDER BY n;
SELECT n, at, balance FROM orders JOIN account ON id = account AND (at = placed_at OR at = placed_at - interval '1 day') ORDER BY n, at;
PREPARE either(timestamptz, timestamptz) AS
SELECT * FROM account WHERE at IS NOT DISTINCT FROM $1 OR at = $2 ORDER BY id, at;
EXECUTE either('2020-01-01', NULL);
EXECUTE either(NULL, '2020-01-01');
EXECUTE either(NULL, NULL);
SET plan_cache_mode = force_generic_plan;
EXECUTE either('2020-01-01', NULL);
EXECUTE either(NULL, NULL);
EXPLAIN (COSTS OFF) EXECUTE either(NULL, NULL);
RESET plan_cache_mode;
SELECT * FROM account WHERE at IS DISTINCT FROM '2020-01-01';
SELECT * FROM account WHERE at = '2020-01-01' OR balance > 3;
SELECT n, balance FROM orders LEFT JOIN account ON id = account WHERE at IS NOT DISTINCT FROM placed_at;

-- contime.at: another instant than now.
PREPARE unbound AS SELECT * FROM account ORDER BY id;
CREATE FUNCTION balances() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT sum(balance) FROM account';
CREATE FUNCTION balances_then() RETURNS bigint LANGUAGE plpgsql STABLE SET contime.at = '2020-01-01' AS
'BEGIN RETURN (SELECT sum(balance) FROM account); END';
SET plan_cache_mode = force_generic_plan;
SELECT id, balance FROM account ORDER BY id;
SET contime.at = '2020-01-02 00:00';
SHOW contime.at;
SELECT * FROM account ORDER BY id;
SELECT * FROM account WHERE at = '2020-01-03' ORDER BY id;
EXECUTE unbound;
SELECT balances(), balances_then();
SELECT value FROM meter;
EXPLAIN (COSTS OFF) SELECT * FROM account WHERE id = 1;
EXPLAIN (COSTS OFF) SELECT * FROM account WHERE at = now();
-- contime.at does not apply to logical clocks.
SELECT id, x FROM frame;
EXPLAIN (COSTS OFF) SELECT * FROM frame;
-- The setting is an instant, not a text: a change of the timezone does not change it.
SET timezone = 'America/New_York';
SELECT * FROM account ORDER BY id;
SET contime.at = '2020-01-02 19:00';
SET timezone = 'UTC';
SHOW contime.at;
SET contime.at = 'infinity';
SELECT * FROM account ORDER BY id;
SET contime.at = 'soon';
SET contime.at = '';
EXPLAIN (COSTS OFF) EXECUTE unbound;
BEGIN;
SET LOCAL contime.at = '2020-01-01';
EXECUTE unbound;
DECLARE c CURSOR FOR SELECT id, balance FROM account UNION ALL SELECT id, balance FROM account WHERE id = 1;
FETCH 1 FROM c;
RESET contime.at;
FETCH ALL FROM c;
COMMIT;
SELECT balances(), balances_then();
RESET plan_cache_mode;
-- Writing is refused under contime.at.
SET contime.at = '2020-01-02';
INSERT INTO account VALUES (1, '2020-01-01', 1);
INSERT INTO frame SELECT 1, 1, 1 WHERE false;
COPY account FROM stdin;
1	2020-01-01	1
\.
SELECT contime.event(ROW(1, '2020-01-01', 1)::account);
SELECT contime.snapshot(ROW(1, '2020-01-01', 1)::account);
SELECT contime.finish(ROW(1, '2020-01-01', NULL)::account);
TRUNCATE account;
EXPLAIN (COSTS OFF) INSERT INTO account VALUES (1, '2020-01-01', 1);
INSERT INTO orders VALUES (4, 1, '2020-01-01');
RESET contime.at;
SELECT sum(balance) FROM account;

-- contime.require_instant: reads without an instant are refused.
CREATE VIEW balance_now AS SELECT id, balance FROM account WHERE at = now();
SET contime.require_instant = on;
SELECT * FROM account;
EXECUTE unbound;
SELECT balances();
SELECT x FROM frame WHERE id = 1;
SELECT n FROM orders WHERE EXISTS (SELECT FROM account a WHERE a.id = orders.account);
SELECT * FROM account WHERE at = '2020-01-03' ORDER BY id;
SELECT * FROM balance_now ORDER BY id;
SELECT id, balance FROM contime.at(NULL::account, '2020-01-03') ORDER BY id;
SELECT count(*) FROM contime.history(NULL::account, 1, '2020-01-01', '2020-02-01');
INSERT INTO account VALUES (3, '2020-01-01', 1);
RESET contime.require_instant;
SELECT count(*) FROM account;

DROP VIEW balance_now;
DROP FUNCTION balances, balances_then;
DROP TABLE orders;
DROP FOREIGN TABLE account, frame, meter;

-- A read of a logical clock that names no tick is at the newest tick that the snapshot sees, and shows it.
CREATE FOREIGN TABLE world (
    id int OPTIONS (key 'true'),
    tick bigint OPTIONS (time 'true'),
    v int OPTIONS (rule 'sum'),
    speed int,
    pos int OPTIONS (rate 'speed')
) SERVER contime;
SELECT *, contime.latest_tick(NULL::world) FROM world;
SELECT max(tick) FROM world;
INSERT INTO world VALUES (1, 10, 5, 2, 0), (2, 20, 1, 1, 0), (3, -7, 1, NULL, NULL);
SELECT *, contime.latest_tick(NULL::world) FROM world ORDER BY id;
SELECT id, v FROM world ORDER BY id;
SELECT id, pos FROM world WHERE pos > 10;
SELECT max(tick) FROM world;
SELECT w FROM world w WHERE id = 2;
EXPLAIN (COSTS OFF) SELECT * FROM world WHERE id = 2;
-- own writes, until they are rolled back
BEGIN;
INSERT INTO world VALUES (1, 33, 1);
SELECT id, tick, v, pos FROM world ORDER BY id;
SAVEPOINT s;
INSERT INTO world VALUES (4, 44, 1);
SELECT id, tick, v, pos FROM world ORDER BY id;
SELECT id, tick FROM world WHERE id = 2 FOR UPDATE;
ROLLBACK TO s;
SELECT id, tick, v, pos FROM world ORDER BY id;
ROLLBACK;
SELECT id, tick, v, pos FROM world ORDER BY id;
-- the command that writes does not see its own events
INSERT INTO world SELECT id, tick + 1, v FROM world WHERE id < 3;
SELECT id, tick, v FROM world ORDER BY id;
-- an old snapshot
PREPARE whole AS SELECT id, tick, v FROM world ORDER BY id;
BEGIN ISOLATION LEVEL REPEATABLE READ;
EXECUTE whole;
INSERT INTO world VALUES (2, 30, 1);
EXECUTE whole;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
EXECUTE whole;
COMMIT;
-- the newest event ends a life; two tables in one statement; a snapshot that is repeated
SELECT contime.finish(ROW(2, 50, NULL, NULL, NULL)::world);
EXECUTE whole;
CREATE FOREIGN TABLE other_world (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), eid int OPTIONS (event_id 'true'), v int) SERVER contime OPTIONS (identity 'key');
INSERT INTO other_world VALUES (1, 9, 1, 1), (1, 11, 2, 2), (1, 15, 1, 1);
SELECT w.tick AS w, o.tick AS o, o.v FROM world w JOIN other_world o USING (id);
-- rows of an event table, cached or not, and when the newest is deleted
CREATE TABLE step (id int, t bigint, v int);
CREATE FOREIGN TABLE walk (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true', source 't'), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'step');
SELECT * FROM walk;
INSERT INTO step VALUES (1, 5, 1), (2, 7, 2), (1, NULL, 4);
SELECT * FROM walk ORDER BY id;
DO $$ BEGIN WHILE (SELECT cache FROM contime.tables WHERE "table" = 'walk'::regclass) IS DISTINCT FROM 'ready' LOOP PERFORM count(*) FROM walk; PERFORM pg_sleep(0.01); COMMIT; END LOOP; END $$;
SELECT * FROM walk ORDER BY id;
INSERT INTO step VALUES (1, 9, 1);
SELECT * FROM walk ORDER BY id;
DELETE FROM step WHERE t = 9;
SELECT * FROM walk ORDER BY id;
BEGIN;
DELETE FROM step WHERE t = 7;
SELECT * FROM walk ORDER BY id;
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM walk ORDER BY id;
COMMIT;

DEALLOCATE whole;
DROP FOREIGN TABLE world, other_world, walk;
DROP TABLE step;
