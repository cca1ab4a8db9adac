-- Which of the events at one instant comes first: by kind, or with option ties 'event_id' by event id.
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- ---- an audit table --------------------------------------------------------------
-- Rows are written and deleted in transactions stamped now(), as a trigger of an audit records them: up to five of a row at
-- one instant, and the last one counts. 400 answers: is the row there, and with which body?
CREATE TABLE audit (seq bigint PRIMARY KEY, row_id int, at timestamptz, op text, body text);
INSERT INTO audit SELECT row_number() OVER (ORDER BY at, random), row_id, at, op, CASE WHEN op <> 'delete' THEN 'body ' || random END
FROM (SELECT r AS row_id, timestamptz '2026-03-01' + t * interval '1 hour' AS at, (ARRAY['insert', 'delete'])[1 + (h >> 8 & 1)] AS op, h AS random
	  FROM generate_series(1, 40) r, generate_series(1, 10) t, generate_series(1, 5) n, hashint4(r * 1000 + t * 10 + n) h WHERE n <= 1 + (r + t) % 5) e;
CREATE VIEW answers AS
	SELECT DISTINCT ON (row_id, at) row_id, at, CASE WHEN op <> 'delete' THEN body END AS body FROM audit ORDER BY row_id, at, seq DESC;
SELECT count(*), count(body) AS alive FROM answers;

-- In memory: the order of arrival does not matter.
CREATE FOREIGN TABLE by_kind (row_id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), body text, seq bigint OPTIONS (event_id 'true')) SERVER contime;
CREATE FOREIGN TABLE by_id (row_id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), body text, seq bigint OPTIONS (event_id 'true')) SERVER contime OPTIONS (ties 'event_id');
SELECT count(CASE op WHEN 'delete' THEN contime.finish(ROW(row_id, at, NULL, seq)::by_kind)::text ELSE contime.snapshot(ROW(row_id, at, body, seq)::by_kind)::text END),
	count(CASE op WHEN 'delete' THEN contime.finish(ROW(row_id, at, NULL, seq)::by_id)::text ELSE contime.snapshot(ROW(row_id, at, body, seq)::by_id)::text END)
FROM (SELECT * FROM audit ORDER BY md5(seq::text)) a;
-- Over the audit table.
CREATE FOREIGN TABLE over_kind (row_id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), body text, seq bigint OPTIONS (event_id 'true')) SERVER contime;
CREATE FOREIGN TABLE over_id (row_id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), body text, seq bigint OPTIONS (event_id 'true')) SERVER contime OPTIONS (ties 'event_id');
SELECT contime.add_source(t::regclass, 'audit', '{"row_id": "CASE WHEN op <> ''delete'' THEN row_id END"}', kind => 'snapshot'),
	contime.add_source(t::regclass, 'audit', '{"row_id": "CASE WHEN op = ''delete'' THEN row_id END", "body": null}', kind => 'finish')
FROM unnest('{over_kind,over_id}'::text[]) t;

CREATE FUNCTION wrong(name text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM answers a LEFT JOIN %I t ON t.row_id = a.row_id AND t.at = a.at WHERE a.body IS DISTINCT FROM t.body', name) INTO n;
	RETURN n;
END $$;
-- Without the option, finishes come first. From memory, from the rows of the event table, and from a cache of them.
SELECT wrong('by_kind') AS by_kind, wrong('over_kind') AS over_kind, wrong('by_id') AS by_id, wrong('over_id') AS over_id;
CREATE PROCEDURE cached(names text[]) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		PERFORM wrong(n) FROM unnest(names) n;
		EXIT WHEN (SELECT count(*) FROM contime.tables WHERE "table"::text = ANY (names) AND cache = 'ready') = cardinality(names);
		COMMIT;
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
CALL cached('{over_kind,over_id}');
SELECT "table", cache FROM contime.tables WHERE "table"::text LIKE 'over%' ORDER BY 1;
SELECT wrong('over_kind') AS over_kind, wrong('over_id') AS over_id;
-- A change of the past, of the cache as it is read.
BEGIN;
UPDATE audit SET seq = -seq WHERE seq % 3 = 0;
SELECT wrong('over_id');
DELETE FROM audit WHERE seq % 2 = 0;
SELECT wrong('over_id');
ROLLBACK;
SELECT wrong('over_id');

-- ---- the order itself -------------------------------------------------------------
-- By id; without one first; the same id by kind. Each is one event: the kind is part of its identity.
CREATE FOREIGN TABLE purse (id int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), coins int OPTIONS (rule 'sum'), eid text OPTIONS (event_id 'true')) SERVER contime OPTIONS (ties 'event_id');
INSERT INTO purse VALUES (1, 10, 1, 'b'), (1, 10, 1, 'b'), (1, 10, 2, NULL), (1, 10, 4, 'd'), (1, 10, 8, 'B'), (1, 11, 16, NULL);
SELECT contime.snapshot(ROW(1, 10, 100, 'b')::purse), contime.finish(ROW(1, 10, NULL, 'b')::purse), contime.finish(ROW(1, 10, NULL, NULL)::purse);
SELECT kind, (event).at, (event).coins, (event).eid FROM contime.events_tick(NULL::purse, 1, 0, 20);
SELECT at, coins FROM purse WHERE id = 1 AND at IN (10, 11) ORDER BY at;
ALTER FOREIGN TABLE purse OPTIONS (SET ties 'kind'); -- refused
\echo :SQLSTATE
ALTER FOREIGN TABLE purse OPTIONS (DROP ties); -- refused
\echo :SQLSTATE
TRUNCATE purse;
ALTER FOREIGN TABLE purse OPTIONS (SET ties 'kind');
INSERT INTO purse VALUES (1, 10, 1, 'b'), (1, 10, 1, 'b'), (1, 10, 2, NULL), (1, 10, 4, 'd'), (1, 10, 8, 'B'), (1, 11, 16, NULL);
SELECT contime.snapshot(ROW(1, 10, 100, 'b')::purse), contime.finish(ROW(1, 10, NULL, 'b')::purse), contime.finish(ROW(1, 10, NULL, NULL)::purse);
SELECT kind, (event).at, (event).coins, (event).eid FROM contime.events_tick(NULL::purse, 1, 0, 20);
SELECT at, coins FROM purse WHERE id = 1 AND at IN (10, 11) ORDER BY at;
ALTER FOREIGN TABLE purse OPTIONS (SET ties 'event_id'); -- refused
\echo :SQLSTATE
-- Leaving out the default, or giving it, changes nothing.
ALTER FOREIGN TABLE purse OPTIONS (DROP ties);
ALTER FOREIGN TABLE purse OPTIONS (ADD ties 'kind');
SELECT at, coins FROM purse WHERE id = 1 AND at IN (10, 11) ORDER BY at;

-- ---- rolled back ------------------------------------------------------------------
-- Events that were written in another order and rolled back are in nobody's way, whether they are still in memory or not.
TRUNCATE purse;
CREATE PROCEDURE tried(ties text) LANGUAGE plpgsql AS $$
DECLARE seen text;
BEGIN
	BEGIN
		EXECUTE format('ALTER FOREIGN TABLE purse OPTIONS (SET ties %L)', ties);
		INSERT INTO purse SELECT i, 10, 1, 'b' FROM generate_series(1, 20) i;
		PERFORM contime.finish(ROW(i, 10, NULL, 'a')::purse), contime.finish(ROW(i, 10, NULL, 'c')::purse) FROM generate_series(1, 20) i;
		SELECT count(*) INTO seen FROM purse WHERE at = 10;
		RAISE NOTICE '%: %', ties, seen;
		RAISE EXCEPTION USING ERRCODE = 'P0009';
	EXCEPTION WHEN SQLSTATE 'P0009' THEN
	END;
	SELECT count(*) INTO seen FROM purse WHERE at = 10;
	RAISE NOTICE 'rolled back: %', seen;
END $$;
CALL tried('event_id');
CALL tried('kind');
CALL tried('event_id');
SELECT count(*) FROM purse WHERE at = 10;
INSERT INTO purse VALUES (1, 10, 1, 'b');
SELECT contime.finish(ROW(1, 10, NULL, 'c')::purse);
SELECT id, coins FROM purse WHERE at = 10;
CALL tried('event_id'); -- refused: the table has events
\echo :SQLSTATE
TRUNCATE purse;
BEGIN;
SAVEPOINT s;
ALTER FOREIGN TABLE purse OPTIONS (SET ties 'event_id');
INSERT INTO purse SELECT i, 10, 1, 'b' FROM generate_series(1, 20) i;
ROLLBACK TO s;
ALTER FOREIGN TABLE purse OPTIONS (SET ties 'event_id');
INSERT INTO purse VALUES (1, 10, 5, 'b');
SELECT contime.finish(ROW(1, 10, NULL, 'c')::purse);
SELECT id, coins FROM purse WHERE at = 10;
ALTER FOREIGN TABLE purse OPTIONS (SET ties 'kind'); -- refused
ROLLBACK TO s;
INSERT INTO purse VALUES (1, 10, 6, 'b');
SELECT contime.finish(ROW(1, 10, NULL, 'c')::purse);
COMMIT;
SELECT id, coins FROM purse WHERE at = 10;

-- ---- over an event table the option may change: the cache is made anew ------------------------
ALTER FOREIGN TABLE over_kind OPTIONS (ADD ties 'event_id');
SELECT wrong('over_kind');
CALL cached('{over_kind}');
SELECT wrong('over_kind');
BEGIN;
ALTER FOREIGN TABLE over_kind OPTIONS (DROP ties);
SELECT wrong('over_kind');
ROLLBACK;
SELECT wrong('over_kind');
ALTER FOREIGN TABLE over_kind OPTIONS (SET ties 'kind');
SELECT wrong('over_kind');

-- ---- refused ----------------------------------------------------------------------
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), v int) SERVER contime OPTIONS (ties 'id');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), v int OPTIONS (ties 'kind')) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), v int) SERVER contime OPTIONS (ties 'event_id');
\echo :SQLSTATE
TRUNCATE purse;
ALTER FOREIGN TABLE purse OPTIONS (SET ties 'event_id');
ALTER FOREIGN TABLE purse DROP COLUMN eid;
\echo :SQLSTATE
ALTER FOREIGN TABLE purse ALTER COLUMN eid OPTIONS (DROP event_id);
INSERT INTO purse VALUES (1, 10, 1, 'b');
\echo :SQLSTATE
DROP FOREIGN TABLE purse, by_kind, by_id, over_kind, over_id;
DROP TABLE audit CASCADE;
DROP PROCEDURE cached, tried;
DROP FUNCTION wrong;
