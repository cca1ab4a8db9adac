-- Option identity 'key': an event id is unique for its key, whatever its instant; of several events the first counts.
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- ---- a retry ----------------------------------------------------------------------
-- An event without a time gets the clock's: by default a retry is another event.
CREATE FOREIGN TABLE twice (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n int OPTIONS (rule 'sum'), eid uuid OPTIONS (event_id 'true')) SERVER contime;
CREATE FOREIGN TABLE once (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n int OPTIONS (rule 'sum'), eid uuid OPTIONS (event_id 'true')) SERVER contime OPTIONS (identity 'key');
INSERT INTO twice VALUES (1, NULL, 10, '00000000-0000-0000-0000-000000000001'), (1, NULL, 5, '00000000-0000-0000-0000-000000000002'), (2, NULL, 1, '00000000-0000-0000-0000-000000000001');
INSERT INTO once VALUES (1, NULL, 10, '00000000-0000-0000-0000-000000000001'), (1, NULL, 5, '00000000-0000-0000-0000-000000000002'), (2, NULL, 1, '00000000-0000-0000-0000-000000000001');
INSERT INTO twice VALUES (1, NULL, 10, '00000000-0000-0000-0000-000000000001');
INSERT INTO once VALUES (1, NULL, 10, '00000000-0000-0000-0000-000000000001');
SELECT (SELECT n FROM twice WHERE id = 1 AND at = 'infinity') AS twice, (SELECT n FROM once WHERE id = 1 AND at = 'infinity') AS once;
SELECT id, n FROM once WHERE at = 'infinity' ORDER BY id;
-- In one statement, in one transaction, with a savepoint.
BEGIN;
INSERT INTO once SELECT 3, NULL, 1, '00000000-0000-0000-0000-000000000003' FROM generate_series(1, 5);
SAVEPOINT s;
INSERT INTO once VALUES (3, NULL, 1, '00000000-0000-0000-0000-000000000003'), (3, NULL, 1, '00000000-0000-0000-0000-000000000004');
SELECT n FROM once WHERE id = 3 AND at = 'infinity';
ROLLBACK TO s;
SELECT n FROM once WHERE id = 3 AND at = 'infinity';
COMMIT;
SELECT n FROM once WHERE id = 3 AND at = 'infinity';
SELECT count(*) FROM contime.events(NULL::once, 3, '-infinity', 'infinity');

-- ---- which one counts ---------------------------------------------------------------
CREATE FOREIGN TABLE purse (id int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), coins int OPTIONS (rule 'sum'), eid text OPTIONS (event_id 'true')) SERVER contime OPTIONS (identity 'key');
INSERT INTO purse VALUES (1, 0, 1, NULL), (1, 0, 1, NULL), (1, 50, 10, 'a');
SELECT at, coins FROM purse WHERE id = 1 AND at IN (10, 20, 30, 40, 50, 60) ORDER BY at;
INSERT INTO purse VALUES (1, 60, 10, 'a'); -- later: nothing changes
SELECT at, coins FROM purse WHERE id = 1 AND at IN (10, 20, 30, 40, 50, 60) ORDER BY at;
INSERT INTO purse VALUES (1, 30, 100, 'a'); -- earlier, and another content: that counts
SELECT at, coins FROM purse WHERE id = 1 AND at IN (10, 20, 30, 40, 50, 60) ORDER BY at;
SELECT contime.finish(ROW(1, 30, NULL, 'a')::purse); -- a finish sorts before an event
SELECT at, coins FROM purse WHERE id = 1 AND at IN (10, 20, 30, 40, 50, 60) ORDER BY at;
SELECT kind, (event).at, (event).coins, (event).eid FROM contime.events_tick(NULL::purse, 1, 0, 100);
SELECT during, (state).coins FROM contime.history_tick(NULL::purse, 1, 0, 100);
SELECT contime.latest_tick(NULL::purse, 1);
-- Each of two keys has its own.
INSERT INTO purse VALUES (2, 5, 7, 'a'), (2, 4, 7, 'b'), (2, 6, 7, 'b');
SELECT id, coins FROM purse WHERE at = 100 ORDER BY id;
-- With ties 'event_id' the same ones count.
CREATE FOREIGN TABLE pouch (id int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), coins int OPTIONS (rule 'sum'), eid text OPTIONS (event_id 'true')) SERVER contime OPTIONS (identity 'key', ties 'event_id');
INSERT INTO pouch VALUES (1, 10, 5, 'b'), (1, 10, 9, 'a'), (1, 20, 5, 'b');
SELECT contime.finish(ROW(1, 10, NULL, 'a')::pouch), contime.snapshot(ROW(1, 10, 40, 'c')::pouch);
SELECT kind, (event).at, (event).coins, (event).eid FROM contime.events_tick(NULL::pouch, 1, 0, 100);
-- What was counted, once everyone sees it.
CREATE PROCEDURE settled(name text) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		EXIT WHEN (SELECT sum(recent + young) FROM contime.tables WHERE "table" = name::regclass) = 0;
		COMMIT;
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
CALL settled('purse');
SELECT sum(frozen) AS frozen, sum(duplicates) AS duplicates, sum(conflicts) AS conflicts FROM contime.tables WHERE "table" = 'purse'::regclass;
SELECT at, coins FROM purse WHERE id = 1 AND at IN (10, 20, 30, 40, 50, 60) ORDER BY at;
INSERT INTO purse VALUES (1, 70, 5, 'a');
SELECT count(*) FROM purse WHERE id = 1 AND at = 100;

-- ---- many copies, in any order ---------------------------------------------------------
-- 2,000 events of 500 ids, beside the same in an ordinary table; as they come, and settled.
CREATE TABLE plain (id int, at bigint, coins int, eid text COLLATE "C");
INSERT INTO plain SELECT h % 3, (h / 3) % 1000, (h / 7) % 100, 'e' || (h / 11) % 500 FROM generate_series(1, 2000) i, LATERAL (SELECT abs(hashint4(i)) AS h) r;
CREATE FOREIGN TABLE many (id int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), coins int OPTIONS (rule 'sum'), eid text OPTIONS (event_id 'true')) SERVER contime OPTIONS (identity 'key');
CREATE VIEW differences AS
	SELECT count(*) FROM (SELECT id, t, sum(coins) FROM generate_series(0, 1000, 20) t,
		LATERAL (SELECT DISTINCT ON (id, eid) * FROM plain ORDER BY id, eid, at, coins) p WHERE p.at <= t GROUP BY 1, 2) want
	FULL JOIN (SELECT id, t, coins FROM generate_series(0, 1000, 20) t JOIN many m ON m.at = t) got USING (id, t) WHERE want.sum IS DISTINCT FROM got.coins;
INSERT INTO many SELECT * FROM plain WHERE at > 300;
SELECT count > 0 AS some FROM differences;
INSERT INTO many SELECT * FROM plain WHERE at <= 300;
SELECT count FROM differences;
CALL settled('many');
SELECT count FROM differences;
SELECT sum(frozen) = (SELECT count(DISTINCT (id, eid)) FROM plain) AS one_of_each, sum(frozen + duplicates + conflicts) FROM contime.tables WHERE "table" = 'many'::regclass;

-- ---- retention: ids of events that are folded are forgotten ----------------------------------
CREATE FOREIGN TABLE brief (id int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), coins int OPTIONS (rule 'sum'), eid int OPTIONS (event_id 'true')) SERVER contime OPTIONS (identity 'key', retain '1000');
INSERT INTO brief SELECT 1, i, 1, i FROM generate_series(1, 500) i;
INSERT INTO brief VALUES (1, 900, 1, 1), (1, 901, 1, 2), (1, 902, 1, 600);
SELECT coins FROM brief WHERE id = 1;
INSERT INTO brief VALUES (1, 2000, 1, 2000);
DO $$ BEGIN
	FOR i IN 1 .. 600 LOOP
		EXIT WHEN (SELECT sum(folded) FROM contime.tables WHERE "table" = 'brief'::regclass) >= 490;
		COMMIT;
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
SELECT coins FROM brief WHERE id = 1;
INSERT INTO brief VALUES (1, 2001, 1, 1), (1, 2002, 1, 2000);
SELECT coins FROM brief WHERE id = 1;

-- ---- the option -----------------------------------------------------------------------
ALTER FOREIGN TABLE purse OPTIONS (SET identity 'instant'); -- refused: there are events
\echo :SQLSTATE
TRUNCATE purse;
ALTER FOREIGN TABLE purse OPTIONS (SET identity 'instant');
INSERT INTO purse VALUES (1, 50, 10, 'a'), (1, 60, 10, 'a');
SELECT coins FROM purse WHERE id = 1 AND at = 100;
ALTER FOREIGN TABLE purse OPTIONS (SET identity 'key'); -- refused
\echo :SQLSTATE
TRUNCATE purse;
BEGIN;
ALTER FOREIGN TABLE purse OPTIONS (SET identity 'key');
INSERT INTO purse VALUES (1, 50, 10, 'a'), (1, 60, 10, 'a');
SELECT coins FROM purse WHERE id = 1 AND at = 100;
ROLLBACK;
SELECT count(*) FROM purse WHERE at = 100;
INSERT INTO purse VALUES (1, 50, 10, 'a'), (1, 60, 10, 'a');
SELECT coins FROM purse WHERE id = 1 AND at = 100;
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), v int, eid int OPTIONS (event_id 'true')) SERVER contime OPTIONS (identity 'id');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), v int) SERVER contime OPTIONS (identity 'key');
\echo :SQLSTATE
-- Over an event table: its constraints are the place for that.
CREATE TABLE movement (id int, "hall no" int, at bigint, v int, eid int);
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), "hall no" int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), v int, eid int OPTIONS (event_id 'true')) SERVER contime OPTIONS (identity 'key', events 'movement');
\echo :SQLSTATE
CREATE FOREIGN TABLE later (id int OPTIONS (key 'true'), "hall no" int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), v int, eid int OPTIONS (event_id 'true')) SERVER contime OPTIONS (identity 'key');
SELECT contime.add_source('later', 'movement');
\echo :SQLSTATE
CREATE FOREIGN TABLE over (id int OPTIONS (key 'true'), "hall no" int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), v int, eid int OPTIONS (event_id 'true')) SERVER contime OPTIONS (events 'movement');
ALTER FOREIGN TABLE over OPTIONS (ADD identity 'key');
\echo :SQLSTATE
ALTER FOREIGN TABLE over OPTIONS (ADD identity 'instant');
DROP FOREIGN TABLE brief, once, twice, purse, pouch, many, later, over CASCADE;
DROP TABLE plain, movement;
DROP PROCEDURE settled;
