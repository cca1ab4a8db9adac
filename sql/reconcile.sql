-- Changes of the past, replayed: keys and ranges, by both clocks; and errors.
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE FOREIGN TABLE game (
    match text   OPTIONS (key 'true'),
    team  int    OPTIONS (key 'true'),
    tick  bigint OPTIONS (time 'true'),
    score int    OPTIONS (rule 'sum'),
    coach text
) SERVER contime OPTIONS (notify 'key');
CREATE FOREIGN TABLE room (
    name    text        OPTIONS (key 'true'),
    at      timestamptz OPTIONS (time 'true'),
    celsius float8      OPTIONS (scale '1', interpolate 'linear'),
    lit     boolean
) SERVER contime OPTIONS (retain '10 years');
CREATE PROCEDURE entered() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 600 LOOP
        IF (SELECT coalesce(sum(recent), 0) = 0 FROM contime.tables) THEN
            RETURN;
        END IF;
        COMMIT;
        PERFORM pg_sleep(0.05);
    END LOOP;
    RAISE 'waited in vain';
END $$;

-- A new table has lost no notice.
SELECT * FROM contime.reconciliations_tick(NULL::game);
INSERT INTO game VALUES ('final', 1, 10, 1, 'Ada'), ('final', 1, 20, 1, 'Bob'), ('final', 2, 10, 0, 'Eve');
CALL entered();
SELECT * FROM contime.reconciliations_tick(NULL::game);

-- A sum changes until it is set, a last value until the next one; the range is that of the column that changes longest.
INSERT INTO game VALUES ('final', 1, 15, NULL, 'Cyd');
CALL entered();
INSERT INTO game VALUES ('final', 2, 5, 3);
CALL entered();
SELECT key, (key).team, during, events, reset FROM contime.reconciliations_tick(NULL::game);
SELECT max(seq) AS seq FROM contime.reconciliations_tick(NULL::game) \gset
SELECT contime.snapshot(ROW('final', 2, 7, 1, 'Eve')::game);
CALL entered();
INSERT INTO game VALUES ('final', 2, 6, 3);
CALL entered();
SELECT seq > :seq AS later, key, during, events FROM contime.reconciliations_tick(NULL::game, since => :seq);

-- An event that changes no state: no notice.
SELECT max(seq) AS seq FROM contime.reconciliations_tick(NULL::game) \gset
INSERT INTO game VALUES ('final', 1, 12, 0, 'Ada');
SELECT contime.event(ROW('final', 2, 6, NULL, NULL)::game, set_null => '{coach}');
CALL entered();
SELECT count(*) FROM contime.reconciliations_tick(NULL::game, since => :seq);

-- NULLs and finishes; the events of one transaction.
SELECT contime.event(ROW('final', 1, 16, NULL, NULL)::game, set_null => '{coach}');
CALL entered();
SELECT contime.finish(ROW('final', 1, 18, NULL, NULL)::game);
CALL entered();
SELECT key, during, events FROM contime.reconciliations_tick(NULL::game, since => :seq);
SELECT max(seq) AS seq FROM contime.reconciliations_tick(NULL::game) \gset
INSERT INTO game VALUES ('final', 1, 11, NULL, 'Dan'), ('final', 2, 1, 1, NULL), ('final', 2, 2, 1, NULL);
CALL entered();
SELECT key, range_agg(during), sum(events) FROM contime.reconciliations_tick(NULL::game, since => :seq) GROUP BY key ORDER BY key;

-- An interpolated column changes from the previous event that sets it.
INSERT INTO room VALUES ('attic', now() - interval '4 hours', 20.0, true), ('attic', now() - interval '1 hour', 21.0, NULL);
CALL entered();
INSERT INTO room VALUES ('attic', now() - interval '2 hours', 19.0, NULL);
CALL entered();
SELECT (key).name, justify_interval(upper(during) - lower(during)) BETWEEN '2:59' AND '3:01' AS from_then_on, events, reset
    FROM contime.reconciliations(NULL::room);

-- After TRUNCATE earlier notices are lost.
SELECT max(seq) AS seq FROM contime.reconciliations_tick(NULL::game) \gset
TRUNCATE game;
SELECT seq > :seq AS later, key, during, events, reset FROM contime.reconciliations_tick(NULL::game, since => :seq);

-- Errors.
SELECT * FROM contime.reconciliations(NULL::game);
SELECT * FROM contime.reconciliations_tick(NULL::room);
SELECT * FROM contime.reconciliations(1);
-- NULL is the beginning, as 0 is.
SELECT (SELECT count(*) FROM contime.reconciliations(NULL::room, NULL)) = (SELECT count(*) FROM contime.reconciliations(NULL::room, 0)) AS same;
ALTER FOREIGN TABLE game OPTIONS (SET notify 'everyone');
ALTER FOREIGN TABLE game OPTIONS (SET notify 'off');
CREATE ROLE regress_reader;
GRANT SELECT (name, at) ON room TO regress_reader;
SET ROLE regress_reader;
SELECT * FROM contime.reconciliations(NULL::room);
RESET ROLE;
GRANT SELECT ON room TO regress_reader;
SET ROLE regress_reader;
SELECT count(*) FROM contime.reconciliations(NULL::room);
RESET ROLE;
CREATE TABLE step (id int, at timestamptz, n int);
CREATE FOREIGN TABLE walk (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'step');
-- Changes of a durable table are known while it is in memory; before that, a reset says that everything may have changed.
SELECT during, reset FROM contime.reconciliations(NULL::walk);
CREATE PROCEDURE in_memory() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 600 LOOP
        EXIT WHEN (SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'walk'::regclass);
        COMMIT;
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;
INSERT INTO step VALUES (1, '2026-01-01', 1), (1, '2026-01-03', 2), (2, '2026-01-01', 3);
CALL in_memory();
SELECT count(*) AS keys FROM walk;
SELECT max(seq) AS loaded FROM contime.reconciliations(NULL::walk) \gset
BEGIN;
UPDATE step SET n = 5 WHERE n = 1;
DELETE FROM step WHERE id = 2;
COMMIT;
CALL entered();
SELECT (key).id, during, reset FROM contime.reconciliations(NULL::walk, :loaded) ORDER BY id;
-- A call locks the event table until the end of the transaction, as any read does.
BEGIN;
SELECT count(*) FROM contime.reconciliations(NULL::walk, :loaded);
SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'step'::regclass;
COMMIT;
DROP PROCEDURE in_memory;
DROP FOREIGN TABLE game, room, walk;
DROP TABLE step;
DROP ROLE regress_reader;
DROP PROCEDURE entered;
