-- What a superuser prepares for sqlsmith: a role that may log in and use the server, and whose statements end.
CREATE EXTENSION contime;
CREATE ROLE smith LOGIN;
ALTER ROLE smith SET statement_timeout = '2s';
ALTER ROLE smith SET lock_timeout = '1s';
ALTER ROLE smith SET work_mem = '1MB';
GRANT USAGE ON FOREIGN SERVER contime TO smith;
GRANT CREATE ON SCHEMA public TO smith;
