-- Around a table: PostgreSQL's usual features, used with continuous tables.
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE FOREIGN TABLE account (
    id      int           OPTIONS (key 'true'),
    at      timestamptz   OPTIONS (time 'true'),
    balance numeric(9, 2) OPTIONS (rule 'sum', initial '0'),
    owner   text
) SERVER contime;
COMMENT ON FOREIGN TABLE account IS 'what everybody has';
CREATE TABLE orders (n int, account int, placed_at timestamptz);
INSERT INTO account VALUES (1, '2020-01-01', 10, 'Ada'), (2, '2020-01-01', 20, 'Bob'), (1, '2020-01-03', -3, NULL);
INSERT INTO orders VALUES (1, 1, '2020-01-02'), (2, 1, '2020-01-04'), (3, 2, '2019-01-01');

-- The definition.
\d+ account

-- Views take conditions on the time from outside.
CREATE VIEW rich AS SELECT id, at, balance FROM account WHERE balance > 8;
CREATE VIEW rich_now AS SELECT id, balance FROM account WHERE balance > 8;
SELECT * FROM rich WHERE at = '2020-01-02' ORDER BY id;
SELECT n, balance FROM orders JOIN rich ON id = account AND at = placed_at ORDER BY n;
SELECT * FROM rich_now;
-- Through a security barrier constants are pushed down, and joins are not.
CREATE VIEW guarded WITH (security_barrier) AS SELECT * FROM account WHERE owner = 'Ada';
SELECT * FROM guarded WHERE at = '2020-01-02';
SELECT * FROM guarded WHERE at = '2020-01-02' AND balance < 100;
SELECT n, balance FROM orders JOIN guarded ON id = account AND at = placed_at;
SELECT n, balance FROM orders, LATERAL (SELECT * FROM account WHERE owner = 'Ada' AND id = account AND at = placed_at) a ORDER BY n;
-- A materialised view keeps the states of its last refresh.
CREATE MATERIALIZED VIEW closing AS SELECT * FROM account WHERE at = '2020-01-02';
SELECT * FROM closing ORDER BY id;
INSERT INTO account VALUES (2, '2020-01-02', 5, NULL);
SELECT * FROM closing ORDER BY id;
REFRESH MATERIALIZED VIEW closing;
SELECT * FROM closing ORDER BY id;
CREATE TABLE copied AS SELECT * FROM account WHERE at IN ('2020-01-01', '2020-01-03');
SELECT count(*) FROM copied;

-- Cursors, also backward and WITH HOLD; they do not see what is written after they are opened.
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id, balance FROM account WHERE at = '2020-01-03' ORDER BY id;
FETCH 1 FROM c;
INSERT INTO account VALUES (2, '2020-01-03', 100, NULL), (3, '2020-01-03', 100, NULL);
FETCH ALL FROM c;
FETCH BACKWARD ALL FROM c;
DECLARE h CURSOR WITH HOLD FOR SELECT id, balance FROM account WHERE at = '2020-01-03' ORDER BY id;
COMMIT;
FETCH ALL FROM h;
CLOSE h;

-- PL/pgSQL: variables, loops, dynamic SQL, exceptions.
DO $$
DECLARE
    t timestamptz;
    total numeric;
    row account;
BEGIN
    FOR t IN SELECT generate_series(timestamptz '2020-01-01', '2020-01-03', '1 day') LOOP
        SELECT sum(balance) INTO total FROM account WHERE at = t;
        RAISE NOTICE '% %', t::date, total;
    END LOOP;
    SELECT * INTO row FROM account WHERE id = 1 AND at = t;
    RAISE NOTICE '%', row;
    EXECUTE 'SELECT * FROM account WHERE id = $1 AND at = $2' INTO row USING 2, t;
    RAISE NOTICE '%', row;
    BEGIN
        INSERT INTO account VALUES (1, '2020-01-01', 1000, NULL);
        RAISE EXCEPTION 'no';
    EXCEPTION WHEN raise_exception THEN
        SELECT * INTO row FROM account WHERE id = 1 AND at = t;
        RAISE NOTICE '%', row;
    END;
END $$;

-- Triggers see events, as RETURNING does; they can change or drop them.
CREATE TABLE log (what text, id int, at timestamptz, balance numeric, owner text);
CREATE FUNCTION on_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.balance < 0 THEN RETURN NULL; END IF;
    NEW.owner := upper(NEW.owner);
    RETURN NEW;
END $$;
CREATE FUNCTION after_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO log VALUES (TG_WHEN || ' ' || TG_LEVEL, NEW.id, NEW.at, NEW.balance, NEW.owner);
    RETURN NULL;
END $$;
CREATE FUNCTION after_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO log (what, balance) SELECT TG_WHEN || ' ' || TG_LEVEL, sum(balance) FROM account WHERE at = '2020-02-01';
    RETURN NULL;
END $$;
CREATE TRIGGER before_row BEFORE INSERT ON account FOR EACH ROW EXECUTE FUNCTION on_event();
CREATE TRIGGER after_row AFTER INSERT ON account FOR EACH ROW EXECUTE FUNCTION after_event();
CREATE TRIGGER after_statement AFTER INSERT ON account EXECUTE FUNCTION after_statement();
INSERT INTO account VALUES (1, '2020-02-01', 1, 'Eve'), (1, '2020-02-01', -1, 'Eve') RETURNING *;
SELECT * FROM account WHERE id = 1 AND at = '2020-02-01';
COPY account FROM stdin;
2	2020-02-01	1	Dan
2	2020-02-01	-1	Dan
\.
SELECT * FROM log;
DROP TRIGGER before_row ON account;
DROP TRIGGER after_row ON account;
DROP TRIGGER after_statement ON account;
-- RETURNING shows the time that was set for a NULL.
WITH e AS (INSERT INTO account VALUES (4, NULL, 1, NULL) RETURNING *)
SELECT id, at = now() OR at > now() AS stamped, balance FROM e;
-- ON CONFLICT DO NOTHING: there are no constraints that could conflict.
INSERT INTO account VALUES (4, '2020-01-01', 1, NULL) ON CONFLICT DO NOTHING;
SELECT balance FROM account WHERE id = 4;
INSERT INTO account VALUES (4, '2020-01-01', 1, NULL) ON CONFLICT (id) DO NOTHING;
INSERT INTO account VALUES (4, '2020-01-01', 1, NULL) ON CONFLICT (id) DO UPDATE SET balance = 0;
-- Rows of other tables are locked, those of a continuous one need not be.
SELECT n, balance FROM orders o JOIN account a ON id = account AND at = placed_at ORDER BY n FOR UPDATE OF o;
UPDATE orders SET n = n + balance FROM account a WHERE id = account AND at = placed_at RETURNING n, balance;
DELETE FROM orders USING account a WHERE id = account AND at = placed_at AND balance > 8 RETURNING n;

-- Features that PostgreSQL has for its own tables only, and UPDATE and DELETE.
UPDATE account SET balance = 0 WHERE at = '2020-01-01';
DELETE FROM account WHERE id = 1 AND at = now();
MERGE INTO account a USING orders o ON a.id = o.account WHEN NOT MATCHED THEN INSERT VALUES (o.account, now(), 0, NULL);
CREATE INDEX ON account (id);
ALTER TABLE account ADD PRIMARY KEY (id);
ALTER TABLE account ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON account USING (owner = current_user);
-- MERGE can read a continuous table.
MERGE INTO orders o USING (SELECT * FROM account WHERE at = '2020-01-02') a ON a.id = o.account
WHEN MATCHED THEN UPDATE SET n = a.balance WHEN NOT MATCHED THEN INSERT VALUES (0, a.id, a.at);
SELECT * FROM orders ORDER BY account, n;

-- Partitioned: each partition a continuous table.
CREATE TABLE flock (tenant int, id int, at timestamptz, sheep int) PARTITION BY LIST (tenant);
CREATE FOREIGN TABLE flock_1 (tenant int OPTIONS (key 'true'), id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), sheep int OPTIONS (rule 'sum')) SERVER contime;
CREATE FOREIGN TABLE flock_2 (tenant int OPTIONS (key 'true'), id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), sheep int OPTIONS (rule 'sum')) SERVER contime;
ALTER TABLE flock ATTACH PARTITION flock_1 FOR VALUES IN (1);
ALTER TABLE flock ATTACH PARTITION flock_2 FOR VALUES IN (2);
INSERT INTO flock VALUES (1, 1, '2020-01-01', 5), (2, 1, '2020-01-01', 7), (2, 2, '2020-01-02', 9);
COPY flock FROM stdin;
1	2	2020-01-01	11
2	2	2020-01-03	-4
\.
INSERT INTO flock VALUES (3, 1, '2020-01-01', 5);
INSERT INTO flock_1 VALUES (2, 1, '2020-01-01', 5);
SELECT contime.event(ROW(2, 1, '2020-01-01', 5)::flock_1);
SELECT contime.snapshot(ROW(1, 1, '2020-01-01', 5)::flock_1);
COPY flock_1 FROM stdin;
2	1	2020-01-01	5
\.
SELECT * FROM flock WHERE at = '2020-01-03' ORDER BY tenant, id;
SELECT * FROM flock WHERE at IN ('2020-01-01', '2020-01-03') AND id = 2 ORDER BY tenant, at;
-- Pruned by the planner, by the executor, and row by row.
EXPLAIN (COSTS OFF) SELECT * FROM flock WHERE tenant = 2 AND id = 1 AND at = '2020-01-03';
PREPARE herd(int) AS SELECT * FROM flock WHERE tenant = $1 AND at = '2020-01-03' ORDER BY id;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE herd(2);
EXECUTE herd(2);
RESET plan_cache_mode;
CREATE TABLE visits (tenant int, id int, at timestamptz);
INSERT INTO visits VALUES (1, 1, '2020-01-02'), (2, 2, '2020-01-03'), (3, 1, '2020-01-03');
ANALYZE visits;
-- (PostgreSQL 18 shows rows with decimals.)
CREATE FUNCTION loops_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ' || query LOOP
        RETURN NEXT regexp_replace(line, 'actual rows=[0-9.]+ ', '');
    END LOOP;
END $$;
SELECT loops_of('SELECT v.tenant, f.sheep FROM visits v JOIN flock f USING (tenant, id, at)');
DROP FUNCTION loops_of;
SELECT v.tenant, f.sheep FROM visits v LEFT JOIN flock f USING (tenant, id, at) ORDER BY 1;
-- Partition by partition.
SET enable_partitionwise_join = on;
SET enable_partitionwise_aggregate = on;
EXPLAIN (COSTS OFF) SELECT a.tenant, sum(b.sheep - a.sheep) FROM flock a JOIN flock b USING (tenant, id)
WHERE a.at = '2020-01-02' AND b.at = '2020-01-03' GROUP BY a.tenant;
SELECT a.tenant, sum(b.sheep - a.sheep) FROM flock a JOIN flock b USING (tenant, id)
WHERE a.at = '2020-01-02' AND b.at = '2020-01-03' GROUP BY a.tenant ORDER BY 1;
RESET enable_partitionwise_join;
RESET enable_partitionwise_aggregate;
-- A condition on the time is required as for a single table.
SELECT * FROM (SELECT * FROM flock LIMIT 1) f WHERE at = '2020-01-01';
SELECT * FROM flock WHERE at < '2020-01-03';
-- Row-level security of the parent; a role that may read only through the parent sees the rows that the policy allows.
CREATE ROLE regress_contime_shepherd;
ALTER TABLE flock ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON flock USING (tenant = 1);
GRANT SELECT, INSERT ON flock TO regress_contime_shepherd;
SET ROLE regress_contime_shepherd;
SELECT * FROM flock WHERE at = '2020-01-03' ORDER BY id;
SELECT sum(sheep) FROM flock;
SELECT v.tenant, f.sheep FROM (VALUES (1, 1, timestamptz '2020-01-03'), (2, 2, '2020-01-03')) v (tenant, id, at) LEFT JOIN flock f USING (tenant, id, at);
INSERT INTO flock VALUES (2, 1, '2020-01-01', 5);
INSERT INTO flock SELECT i, 3, '2020-01-01', 5 FROM generate_series(1, 2) i;
INSERT INTO flock VALUES (1, 3, '2020-01-01', 5), (1, 3, NULL, 5);
SELECT sum(sheep) FROM flock;
SELECT * FROM flock_1;
RESET ROLE;
DROP TABLE flock, visits;
DROP ROLE regress_contime_shepherd;

DROP TABLE copied, log, orders;
DROP FOREIGN TABLE account CASCADE;
DROP FUNCTION on_event, after_event, after_statement;
