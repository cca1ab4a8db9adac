-- Two-phase commit (needs max_prepared_transactions).
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE FOREIGN TABLE account (
    id      int         OPTIONS (key 'true'),
    at      timestamptz OPTIONS (time 'true'),
    balance int         OPTIONS (rule 'sum', initial '0')
) SERVER contime;
CREATE FUNCTION prepared_balance(account_id int) RETURNS int LANGUAGE sql VOLATILE AS
$$ SELECT balance FROM account WHERE id = account_id AND at = '2020-06-01' $$;

BEGIN;
INSERT INTO account VALUES (9, '2020-01-01', 1);
PREPARE TRANSACTION 'one';
BEGIN;
INSERT INTO account VALUES (9, '2020-01-01', 10);
PREPARE TRANSACTION 'two';
SELECT prepared_balance(9);
COMMIT PREPARED 'one';
ROLLBACK PREPARED 'two';
SELECT prepared_balance(9);

DROP FOREIGN TABLE account CASCADE;
DROP FUNCTION prepared_balance;
