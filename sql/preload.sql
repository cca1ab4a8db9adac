-- Without shared_preload_libraries: a plain error and a hint, never a crash.
-- (What becomes of a table whose server is started without it: test/t/001_start.pl.)
SHOW shared_preload_libraries;
LOAD 'contime';
CREATE EXTENSION contime;
\echo :SQLSTATE
SELECT count(*) FROM pg_extension WHERE extname = 'contime';
