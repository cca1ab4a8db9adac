-- The layout of a table in memory follows a rollback: a column that was added and written to does not prevent another one after the rollback.
CREATE FOREIGN TABLE account (id int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), n bigint OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO account SELECT i, 10, i FROM generate_series(1, 8) i;
-- One definition after the other, each written to, read and rolled back, by transaction or by savepoint.
CREATE PROCEDURE tried(definition text, value text) LANGUAGE plpgsql AS $$
DECLARE seen text;
BEGIN
	BEGIN
		EXECUTE 'ALTER FOREIGN TABLE account ADD COLUMN c ' || definition;
		EXECUTE format('INSERT INTO account (id, at, n, c) SELECT i, 20, 1, %s FROM generate_series(1, 8) i', value);
		EXECUTE 'SELECT string_agg(DISTINCT c::text, '','') FROM account WHERE at = 30' INTO seen;
		RAISE NOTICE '%: %', definition, seen;
		RAISE EXCEPTION USING ERRCODE = 'P0009';
	EXCEPTION WHEN SQLSTATE 'P0009' THEN
	END;
END $$;
CALL tried('int', '7');
CALL tried('text', '''seven''');
CALL tried('bigint OPTIONS (rule ''sum'', initial ''5'')', '7');
CALL tried('bigint OPTIONS (rule ''sum'', initial ''6'')', '7');
CALL tried('bigint OPTIONS (rule ''max'')', '7');
CALL tried('numeric(30,4) OPTIONS (rule ''sum'')', '7.5');
CALL tried('numeric(30,2) OPTIONS (rule ''sum'')', '7.5');
CALL tried('float8 OPTIONS (rule ''sum'', scale ''3'')', '7.125');
CALL tried('float8 OPTIONS (rule ''sum'', scale ''1'')', '7.1');
CALL tried('interval OPTIONS (rule ''sum'')', '''1 day''');
CALL tried('int[]', '''{1,2}''');
CALL tried('jsonb OPTIONS (initial ''{}'')', '''{"a": 1}''');
CALL tried('bigint OPTIONS (rule ''sum'', lower ''0'', upper ''9'')', '70');
CALL tried('float8 OPTIONS (interpolate ''linear'', scale ''2'')', '2.5');
SELECT sum(n), count(*) FROM account WHERE at = 30;
-- In one transaction: a column is added, rolled back to a savepoint, and another one is added.
BEGIN;
SAVEPOINT s;
ALTER FOREIGN TABLE account ADD COLUMN c text OPTIONS (initial 'old'), ADD COLUMN d int;
INSERT INTO account VALUES (1, 20, 100, 'x', 1), (2, 20, 100, 'y', 2);
SELECT id, n, c, d FROM account WHERE id < 4 AND at = 30 ORDER BY id;
ROLLBACK TO s;
ALTER FOREIGN TABLE account ADD COLUMN c bigint OPTIONS (rule 'sum', initial '3');
SELECT id, n, c FROM account WHERE id < 4 AND at = 30 ORDER BY id;
INSERT INTO account VALUES (1, 21, 1000, 4), (3, 21, 1000, 5);
SELECT id, n, c FROM account WHERE id < 4 AND at = 30 ORDER BY id;
ROLLBACK;
SELECT id, n FROM account WHERE id < 4 AND at = 30 ORDER BY id;
-- A column that is kept, and was not written to: it is read as if there had been no other.
ALTER FOREIGN TABLE account ADD COLUMN c text OPTIONS (initial 'new');
SELECT id, n, c FROM account WHERE id < 4 AND at = 30 ORDER BY id;
SELECT lower(during), (state).c FROM contime.history_tick(NULL::account, 1, 0, 40);
INSERT INTO account VALUES (1, 20, 1, 'written');
SELECT id, n, c FROM account WHERE id < 4 AND at = 30 ORDER BY id;
-- Written to and committed, the column holds data; column d can be added again.
ALTER FOREIGN TABLE account ALTER COLUMN c TYPE varchar;
ALTER FOREIGN TABLE account ADD COLUMN d bytea;
INSERT INTO account VALUES (2, 20, 1, 'and', '\x01');
SELECT id, n, c, d FROM account WHERE id < 4 AND at = 30 ORDER BY id;
-- A column with a rate cannot be added to a table with events, even after a rollback.
BEGIN;
ALTER FOREIGN TABLE account ADD COLUMN e int;
INSERT INTO account (id, at, e) VALUES (1, 30, 1), (2, 30, 2), (3, 30, 3), (4, 30, 4);
ROLLBACK;
ALTER FOREIGN TABLE account ADD COLUMN e float8 OPTIONS (rate 'f', scale '2'), ADD COLUMN f float8 OPTIONS (scale '2');
-- A column is added and dropped after another one was rolled back.
ALTER FOREIGN TABLE account ADD COLUMN e text;
ALTER FOREIGN TABLE account DROP COLUMN e;
INSERT INTO account (id, at, n, c) VALUES (4, 30, 1, 'four');
SELECT id, n, c, d FROM account WHERE id = 4 AND at = 30;
-- A table without events can have any columns, whatever a rolled back transaction did.
CREATE FOREIGN TABLE game (name text OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), v float8 OPTIONS (scale '2')) SERVER contime;
BEGIN;
ALTER FOREIGN TABLE game ALTER COLUMN v TYPE text, ALTER COLUMN v OPTIONS (DROP scale), ALTER COLUMN name TYPE int;
INSERT INTO game VALUES (1, 1, 'text'), (2, 1, 'text'), (3, 1, 'text'), (4, 1, 'text');
SELECT * FROM game WHERE at = 5 ORDER BY name;
ROLLBACK;
BEGIN;
ALTER FOREIGN TABLE game ADD COLUMN no int OPTIONS (key 'true'), ADD COLUMN x float8 OPTIONS (rate 'v', scale '2', rule 'sum'), ALTER COLUMN v OPTIONS (SET scale '3');
INSERT INTO game VALUES ('a', 1, 2.5, 1, 0), ('b', 1, 2.5, 2, 0), ('c', 1, 2.5, 3, 0), ('d', 1, 2.5, 4, 0);
SELECT name, no, v, x FROM game WHERE at = 5 ORDER BY name;
ROLLBACK;
SELECT name, v FROM game WHERE at = 5 ORDER BY name;
INSERT INTO game VALUES ('a', 1, 2.25), ('b', 1, 2.25), ('c', 1, 2.25), ('e', 1, 2.25);
SELECT name, v FROM game WHERE at = 5 ORDER BY name;
-- Rolled back and repeated many times.
DO $$
BEGIN
	FOR i IN 1 .. 50 LOOP
		BEGIN
			EXECUTE format('ALTER FOREIGN TABLE account ADD COLUMN g %s', (ARRAY['int', 'text', 'numeric(10,2) OPTIONS (rule ''sum'')'])[1 + i % 3]);
			INSERT INTO account (id, at, g) SELECT k, 50, 1 FROM generate_series(1, 8) k;
			RAISE EXCEPTION USING ERRCODE = 'P0009';
		EXCEPTION WHEN SQLSTATE 'P0009' THEN
		END;
	END LOOP;
END $$;
SELECT sum(n), count(*) FROM account WHERE at = 60;
SELECT count(*) FROM account a, contime.at_tick(NULL::account, 60) b WHERE a.at = 60 AND a.id = b.id AND (a.n, a.c, a.d) IS NOT DISTINCT FROM (b.n, b.c, b.d);
DROP FOREIGN TABLE account, game;
DROP PROCEDURE tried;
