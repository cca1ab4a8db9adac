-- Durable tables: the rows of an ordinary table are the events.
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE TABLE movement (
    id      bigint        PRIMARY KEY,
    account int           NOT NULL,
    at      timestamptz   NOT NULL,
    amount  numeric(18,2),
    owner   text
);
INSERT INTO movement
SELECT i, i % 10, '2026-01-01'::timestamptz + (i * 7919 % 1000) * interval '1 hour', i % 7 - 3, CASE WHEN i % 5 = 0 THEN 'o' || i END
FROM generate_series(1, 1000) i;

-- ---- the definition -------------------------------------------------------------------

CREATE FOREIGN TABLE bad (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), amount int OPTIONS (source 'amount')) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), x int) SERVER contime OPTIONS (events 'movement');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), x int OPTIONS (source 'nothing')) SERVER contime OPTIONS (events 'movement');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), x int OPTIONS (source 'amount, owner')) SERVER contime OPTIONS (events 'movement');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), x int OPTIONS (source 'amount FROM movement')) SERVER contime OPTIONS (events 'movement');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), x int OPTIONS (source '(SELECT 1)')) SERVER contime OPTIONS (events 'movement');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), x int OPTIONS (source 'random()')) SERVER contime OPTIONS (events 'movement');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), x date OPTIONS (source 'amount')) SERVER contime OPTIONS (events 'movement');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime OPTIONS (events 'nothing');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime OPTIONS (events 'movement_pkey');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime OPTIONS (events 'movement', retain '1 day');
\echo :SQLSTATE
CREATE FOREIGN TABLE account (
    id      bigint        OPTIONS (key 'true', source 'account'),
    at      timestamptz   OPTIONS (time 'true'),
    balance numeric(18,2) OPTIONS (rule 'sum', source 'amount', initial '0'),
    owner   text,
    last    bigint        OPTIONS (event_id 'true', source 'id')
) SERVER contime OPTIONS (events 'movement');
-- The index was created with the first table; the second table uses it.
SELECT indexdef FROM pg_indexes WHERE tablename = 'movement' ORDER BY indexdef;
CREATE FOREIGN TABLE spent (
    account bigint        OPTIONS (key 'true'),
    at      timestamptz   OPTIONS (time 'true'),
    total   numeric(18,2) OPTIONS (rule 'sum', source 'CASE WHEN amount < 0 THEN -amount END'),
    biggest numeric(18,2) OPTIONS (rule 'max', source 'greatest(-amount, 0)')
) SERVER contime OPTIONS (events 'public.movement');
SELECT count(*) FROM pg_indexes WHERE tablename = 'movement';

-- ---- states, beside plain SQL -------------------------------------------------------------

-- Differences between every account's state and the fold of its rows, at the instant of each row and between.
CREATE VIEW differences AS
SELECT t, id, a.balance, a.owner, a.last, b.*
FROM (SELECT at AS t FROM movement UNION SELECT at + interval '30 minutes' FROM movement) i
CROSS JOIN LATERAL (SELECT * FROM account WHERE at = t) a
LEFT JOIN LATERAL (SELECT sum(amount) AS b1, (array_agg(owner ORDER BY at DESC, m.id DESC) FILTER (WHERE owner IS NOT NULL))[1] AS b2,
                          (array_agg(m.id ORDER BY at DESC, m.id DESC))[1] AS b3
                   FROM movement m WHERE m.account = a.id AND m.at <= t) b ON true
WHERE (a.balance, a.owner, a.last) IS DISTINCT FROM (b1, b2, b3);
SELECT count(*) FROM differences;
SELECT id, balance, owner, last FROM account WHERE at = '2026-01-20' ORDER BY id LIMIT 3;
SELECT id, balance FROM account WHERE id = 3 AND at = '2026-01-10';
SELECT * FROM account WHERE id = 30 AND at = '2026-01-10';
SELECT * FROM spent WHERE account = 3 AND at = '2026-02-10';
SELECT m.id, a.balance FROM movement m JOIN account a ON a.id = m.account AND a.at = m.at WHERE m.id < 4 ORDER BY 1;
SELECT lower(during), (state).balance FROM contime.history(NULL::account, 3, '2026-01-01', '2026-01-03');
SELECT count(*) FROM contime.at(NULL::account, '2026-01-20');

-- The planner knows the number of keys.
ANALYZE movement;
DO $$ DECLARE j json; BEGIN EXECUTE 'EXPLAIN (FORMAT JSON) SELECT id, balance FROM account' INTO j; RAISE NOTICE 'rows: %', j->0->'Plan'->'Plan Rows'; END $$;

-- ---- the rows change ------------------------------------------------------------------------

INSERT INTO movement VALUES (2000, 11, '2026-01-05', 100, 'eleven');
UPDATE movement SET amount = amount + 1000, at = at - interval '1 day' WHERE id = 13;
DELETE FROM movement WHERE account = 4 AND id % 3 = 0;
SELECT count(*) FROM differences;
SELECT id, balance, owner FROM account WHERE id = 11 AND at = '2026-01-05';
BEGIN;
DELETE FROM movement WHERE account = 11;
SELECT count(*) FROM account WHERE id = 11;
SAVEPOINT s;
INSERT INTO movement VALUES (2001, 11, '2026-01-06', 7, NULL);
SELECT balance, owner FROM account WHERE id = 11;
ROLLBACK TO s;
TRUNCATE movement;
SELECT count(*) FROM account;
ROLLBACK;
SELECT count(*) FROM differences;
-- A row without a key or a time is not an event.
CREATE TABLE loose (k int, t timestamptz, v int);
CREATE FOREIGN TABLE tight (k int OPTIONS (key 'true'), t timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'loose');
INSERT INTO loose VALUES (NULL, '2026-01-01', 1), (1, '2026-01-01', 2), (NULL, NULL, 3), (1, NULL, 4);
SELECT k, v FROM tight;
SELECT k, v FROM tight WHERE k = 1;
DROP TABLE loose CASCADE;

-- ---- errors -------------------------------------------------------------------------------------

INSERT INTO account (id, at, balance) VALUES (1, now(), 1);
\echo :SQLSTATE
SELECT contime.event(ROW(1, now(), 1, NULL, NULL)::account);
SELECT contime.snapshot(ROW(1, now(), 1, NULL, NULL)::account);
SELECT contime.finish(ROW(1, now(), NULL, NULL, NULL)::account);
TRUNCATE account;
\echo :SQLSTATE
UPDATE account SET balance = 1;
\echo :SQLSTATE
DELETE FROM account WHERE id = 1;
\echo :SQLSTATE

-- ---- DDL on the event table -----------------------------------------------------------------------

DROP VIEW differences;
DROP TABLE movement;
\echo :SQLSTATE
ALTER TABLE movement DROP COLUMN amount;
\echo :SQLSTATE
-- A column is renamed: options and sources follow.
ALTER TABLE movement RENAME COLUMN amount TO sum;
ALTER TABLE movement RENAME COLUMN owner TO "the owner";
SELECT attname, attfdwoptions FROM pg_attribute WHERE attrelid = 'account'::regclass AND attnum > 0 ORDER BY attnum;
SELECT attname, attfdwoptions FROM pg_attribute WHERE attrelid = 'spent'::regclass AND attnum > 0 ORDER BY attnum;
SELECT balance, owner FROM account WHERE id = 11 AND at = '2026-01-05';
ALTER TABLE movement RENAME COLUMN sum TO amount;
ALTER TABLE movement RENAME COLUMN "the owner" TO owner;
ALTER FOREIGN TABLE account RENAME COLUMN owner TO holder;
ALTER FOREIGN TABLE account RENAME COLUMN holder TO owner;
SELECT balance, owner FROM account WHERE id = 11 AND at = '2026-01-05';
ALTER TABLE movement ALTER COLUMN at TYPE text;
ALTER TABLE movement ADD COLUMN note text;
ALTER TABLE movement DROP COLUMN note;
ALTER TABLE movement RENAME TO movements;
SELECT ftoptions FROM pg_foreign_table WHERE ftrelid = 'account'::regclass;
CREATE SCHEMA ledger;
ALTER TABLE movements SET SCHEMA ledger;
SELECT ftoptions FROM pg_foreign_table WHERE ftrelid = 'account'::regclass;
SELECT balance FROM account WHERE id = 11 AND at = '2026-01-05';
ALTER SCHEMA ledger RENAME TO "the ledger";
SELECT ftoptions FROM pg_foreign_table WHERE ftrelid = 'account'::regclass;
SELECT balance FROM account WHERE id = 11 AND at = '2026-01-05';
ALTER SCHEMA "the ledger" RENAME TO ledger;
ALTER FOREIGN TABLE account SET SCHEMA ledger;
SELECT ftoptions FROM pg_foreign_table WHERE ftrelid = 'ledger.account'::regclass;
ALTER TABLE ledger.movements SET SCHEMA public;
ALTER FOREIGN TABLE ledger.account SET SCHEMA public;
ALTER TABLE movements RENAME TO movement;
SELECT balance FROM account WHERE id = 11 AND at = '2026-01-05';
-- A source that names the table before a column, and one with the schema, too: both follow.
CREATE FOREIGN TABLE spelt (
    id     bigint        OPTIONS (key 'true', source 'movement.account'),
    at     timestamptz   OPTIONS (time 'true'),
    amount numeric(18,2) OPTIONS (rule 'sum', source '-public.movement.amount')
) SERVER contime OPTIONS (events 'movement');
SELECT contime.add_source('spelt', 'movement', '{"id": "movement.account", "amount": "2 * public.movement.amount"}');
CREATE VIEW spelt_out AS
SELECT attname || ': ' || option AS option FROM pg_attribute, unnest(attfdwoptions) option WHERE attrelid = 'spelt'::regclass AND option LIKE 'source=%'
UNION ALL SELECT key || ': ' || value FROM contime.source, jsonb_each_text(columns) WHERE state = 'spelt'::regclass AND key <> 'at' ORDER BY 1;
SELECT * FROM spelt_out;
SELECT amount FROM spelt WHERE id = 11 AND at = '2026-01-05';
ALTER TABLE movement RENAME TO movements;
SELECT * FROM spelt_out;
SELECT amount FROM spelt WHERE id = 11 AND at = '2026-01-05';
ALTER FOREIGN TABLE spelt ALTER amount OPTIONS (SET source '-public.movements.amount'), ALTER id OPTIONS (SET source 'movements.account');
ALTER TABLE movements SET SCHEMA ledger;
SELECT amount FROM spelt WHERE id = 11 AND at = '2026-01-05';
ALTER FOREIGN TABLE spelt ALTER amount OPTIONS (SET source '-ledger.movements.amount');
ALTER SCHEMA ledger RENAME TO book;
SELECT amount FROM spelt WHERE id = 11 AND at = '2026-01-05';
ALTER SCHEMA book RENAME TO ledger;
ALTER TABLE ledger.movements SET SCHEMA public;
ALTER TABLE movements RENAME TO movement;
SELECT amount FROM spelt WHERE id = 11 AND at = '2026-01-05';
SELECT * FROM spelt_out;
DROP VIEW spelt_out;
DROP FOREIGN TABLE spelt;
-- Another event table, or none.
CREATE TABLE other (LIKE movement INCLUDING INDEXES);
ALTER FOREIGN TABLE account OPTIONS (SET events 'other');
SELECT count(*) FROM account;
DROP TABLE other;
\echo :SQLSTATE
ALTER FOREIGN TABLE account OPTIONS (SET events 'movement');
DROP TABLE other;
SELECT balance FROM account WHERE id = 11 AND at = '2026-01-05';

-- ---- privileges ---------------------------------------------------------------------------------------

CREATE ROLE durable_owner;
CREATE ROLE durable_reader;
GRANT USAGE ON FOREIGN SERVER contime TO durable_owner;
GRANT CREATE ON SCHEMA public TO durable_owner;
SET ROLE durable_owner;
CREATE FOREIGN TABLE mine (account bigint OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), amount numeric(18,2) OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'movement');
\echo :SQLSTATE
RESET ROLE;
GRANT SELECT, TRIGGER ON movement TO durable_owner;
SET ROLE durable_owner;
CREATE FOREIGN TABLE mine (account bigint OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), amount numeric(18,2) OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'movement');
GRANT SELECT ON mine TO durable_reader;
SET ROLE durable_reader;
SELECT amount FROM mine WHERE account = 11;
SELECT count(*) FROM movement;
RESET ROLE;
REVOKE SELECT ON movement FROM durable_owner;
SET ROLE durable_reader;
SELECT amount FROM mine WHERE account = 11;
\echo :SQLSTATE
RESET ROLE;
GRANT SELECT ON movement TO durable_owner;
ALTER TABLE movement ENABLE ROW LEVEL SECURITY;
SET ROLE durable_reader;
SELECT amount FROM mine WHERE account = 11;
\echo :SQLSTATE
RESET ROLE;
ALTER TABLE movement DISABLE ROW LEVEL SECURITY;
-- An index is not created for a role that does not own the event table.
DROP INDEX movement_account_at_idx;
DROP FOREIGN TABLE mine;
SET ROLE durable_owner;
CREATE FOREIGN TABLE mine (account bigint OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), amount numeric(18,2) OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'movement');
\echo :SQLSTATE
RESET ROLE;
DROP FOREIGN TABLE account, spent;
REVOKE ALL ON movement FROM durable_owner;
DROP TABLE movement;
DROP SCHEMA ledger;
REVOKE ALL ON FOREIGN SERVER contime FROM durable_owner;
REVOKE CREATE ON SCHEMA public FROM durable_owner;
DROP ROLE durable_owner, durable_reader;
