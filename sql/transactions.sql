-- Transactions: events that were rolled back are gone, and a transaction's own events are seen by its later commands.
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE FOREIGN TABLE account (
    id      int         OPTIONS (key 'true'),
    at      timestamptz OPTIONS (time 'true'),
    balance int         OPTIONS (rule 'sum', initial '0')
) SERVER contime;
CREATE FUNCTION balance(account_id int) RETURNS int LANGUAGE sql VOLATILE AS
$$ SELECT balance FROM account WHERE id = account_id AND at = '2020-06-01' $$;

-- Own writes, at once; rollback leaves nothing.
BEGIN;
INSERT INTO account VALUES (1, '2020-01-01', 10);
SELECT balance(1);
INSERT INTO account VALUES (1, '2020-01-02', 1), (1, '2019-12-31', 100);
SELECT balance(1), (SELECT balance FROM account WHERE id = 1 AND at = '2020-01-01') AS earlier;
ROLLBACK;
SELECT balance(1);

-- Savepoints.
BEGIN;
INSERT INTO account VALUES (2, '2020-01-01', 1);
SAVEPOINT a;
INSERT INTO account VALUES (2, '2020-01-02', 10);
SAVEPOINT b;
INSERT INTO account VALUES (2, '2020-01-03', 100);
SELECT balance(2);
ROLLBACK TO b;
SELECT balance(2);
INSERT INTO account VALUES (2, '2020-01-04', 1000);
RELEASE a;
SELECT balance(2);
SAVEPOINT c;
SELECT contime.finish(ROW(2, '2020-01-05', NULL)::account);
SELECT balance(2);
ROLLBACK TO c;
SELECT contime.snapshot(ROW(2, '2020-01-01', 50000)::account);
SELECT balance(2);
ROLLBACK TO c;
COMMIT;
SELECT balance(2);

-- Exception blocks.
DO $$
BEGIN
    INSERT INTO account VALUES (3, '2020-01-01', 1);
    BEGIN
        INSERT INTO account VALUES (3, '2020-01-02', 10);
        PERFORM 1 / 0;
    EXCEPTION WHEN division_by_zero THEN
        INSERT INTO account VALUES (3, '2020-01-03', 100);
    END;
    BEGIN
        INSERT INTO account VALUES (3, '2020-01-04', 1000);
    EXCEPTION WHEN OTHERS THEN
        RAISE;
    END;
END $$;
SELECT balance(3);

-- A statement that fails leaves no event.
INSERT INTO account SELECT 4, '2020-01-01', 1 / (3 - n) FROM generate_series(1, 5) n;
SELECT balance(4);
BEGIN;
INSERT INTO account VALUES (4, '2020-01-01', 7);
INSERT INTO account VALUES (4, 'infinity', 7);
COMMIT;
SELECT balance(4);

-- A command does not see what it writes itself.
INSERT INTO account VALUES (5, '2020-01-01', 1);
INSERT INTO account SELECT id, '2020-01-02', balance FROM account WHERE id = 5 AND at = '2020-06-01';
SELECT balance(5);
WITH w AS (INSERT INTO account VALUES (5, '2020-01-03', 100) RETURNING id)
SELECT w.id, a.balance FROM w JOIN account a ON a.id = w.id AND a.at = '2020-06-01';
SELECT balance(5);
SELECT balance(5) AS before, contime.event(ROW(5, '2020-01-04', 1000)::account), balance(5) AS after;

-- RETURNING shows the event, triggers see it and may change it.
INSERT INTO account VALUES (6, '2020-01-01', 5) RETURNING *;
CREATE FUNCTION doubled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.balance := NEW.balance * 2;
    RETURN NEW;
END $$;
CREATE TRIGGER doubled BEFORE INSERT ON account FOR EACH ROW EXECUTE FUNCTION doubled();
INSERT INTO account VALUES (6, '2020-01-02', 5) RETURNING balance;
SELECT balance(6);
DROP TRIGGER doubled ON account;
CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '% %', TG_OP, NEW;
    RETURN NULL;
END $$;
CREATE TRIGGER told AFTER INSERT ON account FOR EACH ROW EXECUTE FUNCTION told();
INSERT INTO account VALUES (6, '2020-01-03', 1), (6, '2020-01-04', 1);
DROP TRIGGER told ON account;
SELECT balance(6);

-- A cursor keeps its snapshot.
BEGIN;
INSERT INTO account VALUES (7, '2020-01-01', 1);
DECLARE c CURSOR FOR SELECT balance FROM account WHERE id = 7 AND at = '2020-06-01';
INSERT INTO account VALUES (7, '2020-01-02', 10);
FETCH c;
SELECT balance(7);
COMMIT;

-- REPEATABLE READ: "now" is the start of the transaction, and its own late events are seen.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM account;
INSERT INTO account VALUES (8, '2020-01-01', 1);
SELECT id, balance, at = transaction_timestamp() AS "at the start" FROM account WHERE id = 8;
COMMIT;

INSERT INTO account VALUES (9, '2020-01-01', 1);

-- TRUNCATE is transactional.
BEGIN;
TRUNCATE account;
SELECT count(*) FROM account;
INSERT INTO account VALUES (1, '2020-01-01', 3);
SELECT balance(1), balance(9);
ROLLBACK;
SELECT balance(1), balance(9);
BEGIN;
SAVEPOINT a;
TRUNCATE account;
ROLLBACK TO a;
SELECT balance(9);
INSERT INTO account VALUES (9, '2020-01-03', 100);
COMMIT;
SELECT balance(9);
BEGIN;
INSERT INTO account VALUES (9, '2020-01-03', 100);
TRUNCATE account;
INSERT INTO account VALUES (9, '2020-01-04', 4);
TRUNCATE account;
INSERT INTO account VALUES (9, '2020-01-05', 5);
COMMIT;
SELECT balance(1), balance(9);

-- A read-only transaction cannot write.
BEGIN READ ONLY;
SELECT balance(9);
INSERT INTO account VALUES (9, '2020-01-04', 4);
ROLLBACK;
BEGIN READ ONLY;
SELECT contime.event(ROW(9, '2020-01-04', 4)::account);
ROLLBACK;

DROP FOREIGN TABLE account CASCADE;
