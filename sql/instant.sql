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
