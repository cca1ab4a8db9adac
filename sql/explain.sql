-- EXPLAIN shows what was bound: the key, and the instants.
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE FOREIGN TABLE account (
    id      int         OPTIONS (key 'true'),
    at      timestamptz OPTIONS (time 'true'),
    balance int         OPTIONS (rule 'sum')
) SERVER contime;
CREATE FOREIGN TABLE shelf (
    hall  int         OPTIONS (key 'true'),
    place text        OPTIONS (key 'true'),
    at    timestamptz OPTIONS (time 'true'),
    boxes int         OPTIONS (rule 'sum')
) SERVER contime;
CREATE TABLE orders (n int, account int, placed_at timestamptz);
INSERT INTO account SELECT i, '2020-01-01', i FROM generate_series(1, 1000) i;
INSERT INTO orders SELECT i, i, '2020-01-01 12:00' FROM generate_series(1, 100) i;
ANALYZE orders;

EXPLAIN (COSTS OFF) SELECT * FROM account;
EXPLAIN (COSTS OFF) SELECT * FROM account WHERE id = 42;
EXPLAIN (COSTS OFF) SELECT * FROM account WHERE at = '2020-01-01';
EXPLAIN (COSTS OFF) SELECT * FROM account WHERE at = '2020-01-01' AND id = 42;
EXPLAIN (COSTS OFF) SELECT * FROM account WHERE at = '2020-01-01' AND id IN (42, 43);
EXPLAIN (COSTS OFF) SELECT * FROM account WHERE at IN ('2020-01-01', '2020-01-02') AND balance > 3;
EXPLAIN (COSTS OFF) SELECT * FROM account WHERE at = now() - interval '1 hour';
EXPLAIN (COSTS OFF) SELECT * FROM account WHERE at = (SELECT max(placed_at) FROM orders);
EXPLAIN (COSTS OFF) SELECT * FROM shelf WHERE hall = 1 AND at = '2020-01-01';
EXPLAIN (COSTS OFF) SELECT * FROM shelf WHERE hall = 1 AND place = 'a' AND at = '2020-01-01';
EXPLAIN (COSTS OFF) SELECT o.n, a.balance FROM orders o JOIN account a ON a.id = o.account AND a.at = o.placed_at;
EXPLAIN (COSTS OFF) SELECT o.n, a.balance FROM orders o LEFT JOIN account a ON a.id = o.account AND a.at = o.placed_at;
EXPLAIN (COSTS OFF) SELECT g.t, a.balance FROM generate_series(timestamptz '2020-01-01', '2020-01-02', '1 hour') g(t) JOIN account a ON a.at = g.t AND a.id = 42;
EXPLAIN (COSTS OFF) SELECT a.id, b.balance - a.balance FROM account a JOIN account b ON b.id = a.id WHERE a.at = '2020-01-01' AND b.at = '2020-01-02';
EXPLAIN (VERBOSE, COSTS OFF) SELECT balance FROM account WHERE at = '2020-01-01' AND id = 42;
EXPLAIN (COSTS OFF, FORMAT json) SELECT balance FROM account WHERE at = '2020-01-01' AND id = 42;
EXPLAIN (COSTS OFF) INSERT INTO account VALUES (1, '2020-01-01', 1);
PREPARE p(timestamptz) AS SELECT balance FROM account WHERE at = $1 AND id = 42;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE p('2020-01-01');
RESET plan_cache_mode;
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT o.n, a.balance FROM orders o JOIN account a ON a.id = o.account AND a.at = o.placed_at;
-- The answer is the same with every join method.
SET enable_nestloop = off;
SELECT count(*), sum(balance) FROM orders o JOIN account a ON a.id = o.account AND a.at = o.placed_at;
RESET enable_nestloop;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT count(*), sum(balance) FROM orders o JOIN account a ON a.id = o.account AND a.at = o.placed_at;

DROP TABLE orders;
DROP FOREIGN TABLE account, shelf;
