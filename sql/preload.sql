-- Without shared_preload_libraries: a plain error and a hint, never a crash.
SHOW shared_preload_libraries;
CREATE EXTENSION contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE account (
    id int         OPTIONS (key 'true'),
    at timestamptz OPTIONS (time 'true'),
    v  int         OPTIONS (rule 'sum')
) SERVER contime;
INSERT INTO account VALUES (1, '2020-01-01', 1);
\echo :SQLSTATE
SELECT * FROM account;
\echo :SQLSTATE
SELECT contime.event(ROW(1, '2020-01-01', 1)::account);
\echo :SQLSTATE
SELECT * FROM contime.at(NULL::account, '2020-01-01');
\echo :SQLSTATE
SELECT * FROM contime.tables;
\echo :SQLSTATE
SELECT * FROM contime.workers;
\echo :SQLSTATE
TRUNCATE account;
\echo :SQLSTATE
-- The definition can still be dropped.
DROP FOREIGN TABLE account;
DROP EXTENSION contime;
