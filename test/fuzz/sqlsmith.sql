-- Run by a superuser before sqlsmith: a role that may log in and use the server, with a statement_timeout.
CREATE EXTENSION contime;
CREATE ROLE smith LOGIN;
ALTER ROLE smith SET statement_timeout = '2s';
ALTER ROLE smith SET lock_timeout = '1s';
ALTER ROLE smith SET work_mem = '1MB';
GRANT USAGE ON FOREIGN SERVER contime TO smith;
GRANT CREATE ON SCHEMA public TO smith;
