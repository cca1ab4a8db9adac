-- Plans: estimates, caching of slices, parallel workers.
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE FOREIGN TABLE account (
    id      int         OPTIONS (key 'true'),
    at      timestamptz OPTIONS (time 'true'),
    balance int         OPTIONS (rule 'sum')
) SERVER contime;
CREATE TABLE movement (id int, at timestamptz, balance int);
CREATE FOREIGN TABLE ledger (
    id      int         OPTIONS (key 'true'),
    at      timestamptz OPTIONS (time 'true'),
    balance int         OPTIONS (rule 'sum')
) SERVER contime OPTIONS (events 'movement');
INSERT INTO account SELECT i % 2000, timestamptz '2020-01-01' + i * interval '1 minute', i FROM generate_series(0, 9999) i;
INSERT INTO movement SELECT i % 2000, timestamptz '2020-01-01' + i * interval '1 minute', i FROM generate_series(0, 9999) i;
CREATE TABLE orders AS
SELECT i AS n, i % 3000 AS account, timestamptz '2020-01-10' + (i % 20) * interval '1 hour' AS placed_at FROM generate_series(1, 6000) i;
ANALYZE movement, orders;
-- The planner's estimates: rows and cost of the plan's top node.
CREATE FUNCTION expected(query text, OUT rows float, OUT cost float) LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
    rows := plan->0->'Plan'->>'Plan Rows';
    cost := plan->0->'Plan'->>'Total Cost';
END $$;

-- Rows: the number of keys, times the instants; also of joins.
SELECT rows FROM expected('SELECT * FROM account WHERE at = ''2020-02-01''');
SELECT rows FROM expected('SELECT * FROM account WHERE at IN (''2020-02-01'', ''2020-02-02'')');
SELECT rows FROM expected('SELECT * FROM account WHERE at = ''2020-02-01'' AND id = 1');
SELECT rows FROM expected('SELECT * FROM account WHERE at = ''2020-02-01'' AND id IN (1, 2, 3)');
SELECT rows FROM expected('SELECT * FROM ledger WHERE at = ''2020-02-01''');
SELECT rows FROM expected('SELECT * FROM orders o JOIN account a ON a.id = o.account AND a.at = o.placed_at');
SELECT rows FROM expected('SELECT * FROM orders o JOIN ledger a ON a.id = o.account AND a.at = o.placed_at');
SELECT rows FROM expected('SELECT * FROM orders o JOIN account a ON a.at = o.placed_at WHERE o.n <= 10 AND a.id = 1') WHERE rows BETWEEN 5 AND 20;
SELECT rows / 2000 FROM expected('SELECT * FROM orders o JOIN account a ON a.at = o.placed_at');
-- Functions: the number of keys, and of their events; of a range of instants a share, as core assumes one; the instants of a series, if known.
SELECT rows, call FROM unnest(ARRAY[
    'at(NULL::account, now())', 'at(NULL::account, now(), 7)', 'at(NULL::ledger, now())',
    'history(NULL::account, 7, ''-infinity'', ''infinity'')', 'history(NULL::account, ''-infinity'', ''infinity'')', 'history(NULL::ledger, ''-infinity'', ''infinity'')',
    'events(NULL::account, 7, ''-infinity'', ''infinity'')', 'history(NULL::account, ''-infinity'', now())', 'history(NULL::account, now() - interval ''1 day'', now())',
    'history(NULL::account, now(), NULL)', 'history(NULL::account, now(), now())', 'history(NULL::account, NULL, NULL)',
    'history(NULL::account, 7, NULL, NULL)', 'history(NULL::account, 7, ''-infinity'', NULL, newest_first => true)', 'history(NULL::account, NULL::int, NULL, NULL)',
    'events(NULL::account, 7, NULL, ''infinity'')', 'history(NULL::account, 7, ''2021-01-01'', ''2020-01-01'', ''{balance}'')',
    'series(NULL::account, 7, ''2020-01-01'', ''2020-01-02'', ''1 hour'')', 'series(NULL::account, 7, now(), now() - interval ''1 day'', ''-1 minute'')',
    'series(NULL::account, 7, ''2020-01-01'', ''2021-01-01'', ''1 month'')', 'series(NULL::account, 7, ''2020-01-02'', ''2020-01-01'', ''1 hour'')',
    'series(NULL::account, 7, ''2020-01-01'', ''2020-01-02'', ''0 s'')', 'series(NULL::account, 7, clock_timestamp(), ''2020-01-02'', ''1 hour'')']) call,
    LATERAL expected('SELECT * FROM contime.' || call);
SELECT rows FROM expected('SELECT contime.series(NULL::account, 7, ''2020-01-01'', ''2020-01-02'', ''1 hour'')');
SELECT rows FROM expected('SELECT * FROM orders o, contime.at(NULL::account, o.placed_at, o.account)');
-- More rows cost more, an event table more than memory, and a LIMIT makes a function in a select list cheap.
SELECT a.cost < b.cost AND b.cost < c.cost AND d.cost < c.cost / 100
    FROM expected('SELECT * FROM contime.history(NULL::account, 7, ''-infinity'', ''infinity'')') a, expected('SELECT * FROM contime.history(NULL::account, ''-infinity'', ''infinity'')') b,
    expected('SELECT contime.history(NULL::ledger, ''-infinity'', ''infinity'')') c, expected('SELECT contime.history(NULL::account, ''-infinity'', ''infinity'') LIMIT 10') d;
SELECT a.cost * 2 < b.cost FROM expected('SELECT contime.since(NULL::account, o.account, o.placed_at) FROM orders o') a, expected('SELECT contime.since(NULL::ledger, o.account, o.placed_at) FROM orders o') b;
SELECT rows FROM expected('SELECT * FROM contime.at(NULL::orders, now())');
-- A role that may not read a table gets no estimates from it.
CREATE ROLE regress_contime_stranger;
SET ROLE regress_contime_stranger;
SELECT rows FROM expected('SELECT * FROM contime.at(NULL::account, now())');
RESET ROLE;
GRANT SELECT (id) ON account TO regress_contime_stranger;
SET ROLE regress_contime_stranger;
SELECT rows FROM expected('SELECT * FROM contime.at(NULL::account, now())');
RESET ROLE;
REVOKE SELECT (id) ON account FROM regress_contime_stranger;
DROP ROLE regress_contime_stranger;
-- ANALYZE samples the states of now; the time column is treated as unique.
ANALYZE account, ledger;
SELECT tablename, attname, n_distinct FROM pg_stats WHERE tablename IN ('account', 'ledger') AND attname <> 'balance' ORDER BY 1, 2;
SELECT rows FROM expected('SELECT * FROM orders o JOIN account a ON a.id = o.account AND a.at = o.placed_at');
SELECT rows FROM expected('SELECT * FROM orders o JOIN ledger a ON a.id = o.account AND a.at = o.placed_at');
SELECT rows / 2000 FROM expected('SELECT * FROM orders o JOIN account a ON a.at = o.placed_at');
SELECT rows FROM expected('SELECT id FROM account WHERE at = ''2020-02-01'' AND balance < 0');

-- A generic plan costs no more than custom plans, and is kept.
PREPARE lookup(int, timestamptz) AS SELECT * FROM account WHERE id = $1 AND at = $2;
SET plan_cache_mode = force_generic_plan;
SELECT cost AS generic FROM expected('EXECUTE lookup(1, ''2020-02-01'')') \gset
SET plan_cache_mode = force_custom_plan;
SELECT cost AS custom FROM expected('EXECUTE lookup(1, ''2020-02-01'')') \gset
RESET plan_cache_mode;
SELECT :generic = :custom AS same;
EXECUTE lookup(1, '2020-02-01') \g /dev/null
EXECUTE lookup(1, '2020-02-01') \g /dev/null
EXECUTE lookup(1, '2020-02-01') \g /dev/null
EXECUTE lookup(1, '2020-02-01') \g /dev/null
EXECUTE lookup(1, '2020-02-01') \g /dev/null
EXECUTE lookup(1, '2020-02-01') \g /dev/null
EXECUTE lookup(1, '2020-02-01') \g /dev/null
SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = 'lookup';

-- With LIMIT a whole slice is too expensive; a slice that is read repeatedly is kept.
EXPLAIN (COSTS OFF) SELECT o.n, a.balance FROM account a JOIN orders o ON o.account = a.id WHERE a.at = '2020-02-01' LIMIT 1;
SELECT l.cost < s.cost / 100 AS early_stop
FROM expected('SELECT * FROM account WHERE at = ''2020-02-01'' LIMIT 1') l, expected('SELECT * FROM account WHERE at = ''2020-02-01''') s;
EXPLAIN (COSTS OFF) SELECT count(*) FROM orders o JOIN account a ON a.at = o.placed_at;
EXPLAIN (COSTS OFF) SELECT count(*) FROM orders o JOIN ledger l ON l.id = o.account WHERE l.at = '2020-02-01';
EXPLAIN (COSTS OFF) SELECT count(*) FROM orders o JOIN ledger l ON l.id = o.account WHERE l.at = '2020-02-01' AND o.n = 1;

-- An as-of join below a FULL JOIN, on either side: a reconciliation of two ledgers.
CREATE TABLE statement (account int, placed_at timestamptz, amount int);
INSERT INTO statement VALUES (1, '2020-01-10 01:00', 8002), (1, '2020-01-11', 1), (5000, '2020-01-10', 5);
EXPLAIN (COSTS OFF) SELECT * FROM (orders o JOIN account a ON a.id = o.account AND a.at = o.placed_at) FULL JOIN statement s ON s.account = a.id AND s.placed_at = a.at;
SELECT o.n, a.at, a.balance, s.* FROM (orders o JOIN account a ON a.id = o.account AND a.at = o.placed_at AND o.n IN (1, 3001)) FULL JOIN statement s ON s.account = a.id AND s.placed_at = a.at ORDER BY 1, 2, 4, 5;
SELECT o.n, a.at, a.balance, s.* FROM statement s FULL JOIN (orders o JOIN account a ON a.id = o.account AND a.at = o.placed_at AND o.n IN (1, 3001)) ON s.account = a.id AND s.placed_at = a.at ORDER BY 1, 2, 4, 5;
SELECT s.*, a.at, a.balance, l.at, l.balance FROM (statement s LEFT JOIN account a ON a.id = s.account AND a.at = s.placed_at) FULL JOIN (statement t JOIN ledger l ON l.id = t.account AND l.at = t.placed_at) ON l.id = a.id AND l.at = a.at ORDER BY 1, 2, 6;
DROP TABLE statement;

-- Parallel workers share the keys at an instant, and look up keys in joins; not in event tables.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT count(*), sum(balance) FROM account WHERE at = '2020-01-05';
SELECT count(*), sum(balance) FROM account WHERE at = '2020-01-05';
EXPLAIN (COSTS OFF) SELECT count(*), sum(balance) FROM orders JOIN account ON id = account AND at = placed_at;
SELECT count(*), sum(balance) FROM orders JOIN account ON id = account AND at = placed_at;
EXPLAIN (COSTS OFF) SELECT count(*) FROM account;
EXPLAIN (COSTS OFF) SELECT count(*) FROM ledger WHERE at = '2020-02-01';
-- Repeated reads within one statement, after writes of the same transaction.
SET enable_material = off;
SET enable_memoize = off;
EXPLAIN (COSTS OFF)
SELECT t, c FROM generate_series(1, 3) t LEFT JOIN (SELECT count(*) AS c FROM account WHERE at = '2020-02-01') s ON c > t;
BEGIN;
INSERT INTO account VALUES (2000, '2020-01-01', 1), (2001, '2020-01-01', 1);
SELECT count(*) FROM account WHERE at = '2020-02-01';
SELECT t, (SELECT count(*) FROM account WHERE at = '2020-02-01' AND balance > t) FROM generate_series(0, 30000, 10000) t;
SELECT t, c FROM generate_series(1, 3) t LEFT JOIN (SELECT count(*) AS c FROM account WHERE at = '2020-02-01') s ON c > t;
ROLLBACK;
SELECT count(*) FROM account WHERE at = '2020-02-01';
SET parallel_leader_participation = off;
SELECT count(*), sum(balance) FROM account WHERE at IN ('2020-01-05', '2020-02-01');
RESET ALL;
-- "Now" is at least as late as the session's own events without a time, also in a parallel worker.
CREATE FUNCTION balance_now(int) RETURNS int LANGUAGE plpgsql STABLE PARALLEL SAFE AS
'BEGIN RETURN (SELECT balance FROM account WHERE id = $1); END';
BEGIN;
INSERT INTO account SELECT 3000 + i % 2, NULL, 1 FROM generate_series(1, 100000) i;
-- PostgreSQL 16 renamed the setting.
SELECT name AS parallel_mode FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \gset
SET LOCAL :parallel_mode = on;
SELECT balance_now(3000), balance_now(3001);
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SELECT sum(balance), count(DISTINCT at) FROM account WHERE id >= 3000;
COMMIT;
-- A worker's read of now is inside a function, where no condition from outside can be pushed down.
CREATE FUNCTION everything() RETURNS SETOF account LANGUAGE plpgsql PARALLEL SAFE AS 'BEGIN RETURN QUERY SELECT * FROM account; END';
SET :parallel_mode = on;
SELECT count(*) FROM everything() WHERE at = '2020-02-01';
RESET :parallel_mode;

DROP FUNCTION everything, expected;
DROP FOREIGN TABLE account, ledger;
DROP TABLE movement, orders;
