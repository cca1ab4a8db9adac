-- Statements on an event table in triggers and functions of other statements on it: each captured row reaches the cache; a read
-- while one of these statements runs uses the event tables, and later reads use memory again, in the same transaction.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\getenv abs_srcdir PG_ABS_SRCDIR
\set until :abs_srcdir '/sql/until.sql'
\i :until

CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE step (id int PRIMARY KEY, k int NOT NULL, at timestamptz, v int,
    owner int REFERENCES parent ON DELETE CASCADE, other int REFERENCES parent ON DELETE SET NULL, cause int REFERENCES step ON DELETE CASCADE);
CREATE FOREIGN TABLE total (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v bigint OPTIONS (rule 'sum', initial '0'),
    others bigint OPTIONS (rule 'sum', initial '0', source 'other')) SERVER contime OPTIONS (events 'step');

-- Whether total agrees with plain SQL, and where the read is answered from.
CREATE FUNCTION place() RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; result text;
BEGIN
    FOR line IN EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM total WHERE k = 1 AND at = 'infinity' LOOP
        result := coalesce(substring(line FROM 'Events: (.*)'), result);
    END LOOP;
    RETURN result;
END $$;
CREATE FUNCTION verdict() RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    SELECT CASE WHEN t.* IS DISTINCT FROM s.* THEN format('WRONG: %s where the rows say %s', t, s) ELSE 'right' END INTO STRICT result
    FROM (SELECT sum(v)::bigint AS v, sum(others)::bigint AS others FROM total WHERE at = 'infinity') t,
        (SELECT coalesce(sum(v), 0)::bigint AS v, coalesce(sum(other), 0)::bigint AS others FROM step) s;
    RETURN result || ', ' || place();
END $$;

-- Triggers run the statements in settings: nested.<timing>_<level>_<depth>, with the row, if there is one, as $1.
CREATE FUNCTION nest() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE doing text := current_setting(lower(format('nested.%s_%s_%s', TG_WHEN, TG_LEVEL, pg_trigger_depth())), true);
    note text;
BEGIN
    IF doing <> '' AND TG_LEVEL = 'ROW' THEN EXECUTE doing USING coalesce(new, old);
    ELSIF doing <> '' THEN EXECUTE doing;
    END IF;
    IF current_setting('nested.look', true) = 'on' THEN
        RAISE NOTICE '% % %, depth %: %', lower(TG_WHEN), lower(TG_OP), lower(TG_LEVEL), pg_trigger_depth(), verdict();
    END IF;
    RETURN coalesce(new, old);
END $$;
CREATE TRIGGER nest_before BEFORE INSERT OR UPDATE OR DELETE ON step FOR EACH ROW EXECUTE FUNCTION nest();
CREATE TRIGGER nest_row AFTER INSERT OR UPDATE OR DELETE ON step FOR EACH ROW EXECUTE FUNCTION nest();
CREATE TRIGGER nest_statement AFTER INSERT OR UPDATE OR DELETE ON step FOR EACH STATEMENT EXECUTE FUNCTION nest();

-- Statements that fire several kinds of BEFORE STATEMENT triggers.
CREATE TABLE kind (name text PRIMARY KEY, statement text);
INSERT INTO kind VALUES
    ('on conflict', $$INSERT INTO step VALUES (1000 + ($1).id % 2, 1, '2026-01-01', 100) ON CONFLICT (id) DO UPDATE SET v = step.v + 1$$),
    ('merge', $$MERGE INTO step USING (SELECT 2000 + ($1).id % 2 AS id UNION ALL SELECT 2002) n ON step.id = n.id
        WHEN MATCHED AND step.v > 5 THEN DELETE WHEN MATCHED THEN UPDATE SET v = step.v + 3 WHEN NOT MATCHED THEN INSERT (id, k, at, v) VALUES (n.id, 2, '2026-01-01', 4)$$),
    ('writable parts', $$WITH i AS (INSERT INTO step VALUES (nextval('ids'), 1, '2026-01-01', 7) RETURNING 1), u AS (UPDATE step SET v = v + 1 WHERE id < 100 AND id % 3 = 0 RETURNING 1),
        d AS (DELETE FROM step WHERE id = currval('ids') - 1 RETURNING 1) SELECT count(*) FROM i, u, d$$),
    ('foreign keys', $$DELETE FROM parent WHERE id = ($1).id % 4$$),
    ('exception', $$DO 'BEGIN BEGIN INSERT INTO step VALUES (nextval(''ids''), 1, ''2026-01-01'', 50) ON CONFLICT (id) DO UPDATE SET v = 0; RAISE division_by_zero;
        EXCEPTION WHEN division_by_zero THEN INSERT INTO step VALUES (nextval(''ids''), 1, ''2026-01-01'', 3) ON CONFLICT (id) DO UPDATE SET v = 0; END; END'$$);
CREATE SEQUENCE ids START 10000;

CREATE PROCEDURE prepare() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('nested.' || p, '', false) FROM unnest('{before_row_1,after_row_1,after_row_2,after_statement_1,after_statement_2}'::text[]) p;
    SET nested.look = off;
    DELETE FROM step;
    INSERT INTO parent SELECT generate_series(0, 5) ON CONFLICT DO NOTHING;
    INSERT INTO step SELECT i, i % 3, '2026-01-01', i, i % 6, (i + 1) % 6 FROM generate_series(0, 20) i;
    INSERT INTO step SELECT 100 + i, i % 3, '2026-01-02', i, NULL, NULL, i FROM generate_series(0, 20) i;
    COMMIT;
    CALL until($c$ (SELECT count(*) FROM total) >= 0 AND (SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'total'::regclass) $c$);
END $$;

-- ---- one statement of each kind, and reads after it in the transaction -----------------------------------
CALL prepare();
BEGIN;
INSERT INTO step VALUES (1, 1, '2026-01-01', 1), (31, 1, '2026-01-01', 1) ON CONFLICT (id) DO UPDATE SET v = step.v + 1;
SELECT verdict();
MERGE INTO step USING (VALUES (1), (2), (32)) n(id) ON step.id = n.id WHEN MATCHED AND n.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET v = 0
    WHEN NOT MATCHED THEN INSERT (id, k, at, v) VALUES (n.id, 1, '2026-01-01', 9);
SELECT verdict();
WITH i AS (INSERT INTO step VALUES (33, 1, '2026-01-01', 1) RETURNING 1), u AS (UPDATE step SET v = v + 1 WHERE id = 7 RETURNING 1), d AS (DELETE FROM step WHERE id = 8 RETURNING 1)
SELECT count(*) FROM i, u, d;
SELECT verdict();
DELETE FROM parent WHERE id IN (2, 3);
SELECT verdict();
COPY step (id, k, at, v) FROM STDIN;
40	1	2026-01-01	1
41	1	2026-01-01	2
\.
SELECT verdict();
SAVEPOINT a;
INSERT INTO step VALUES (1, 1, '2026-01-01', 1) ON CONFLICT (id) DO UPDATE SET v = 1 / 0;
ROLLBACK TO a;
SELECT verdict();
COMMIT;
SELECT verdict();

-- ---- each kind of statement at each place -------------------------------------------------------------------
-- The outer statement is a plain one, of several rows. The result shows what is wrong after it, and what is not in memory.
CREATE PROCEDURE try(place text, what text, outside text, INOUT tried int) LANGUAGE plpgsql AS $$
DECLARE
    within text;
    after text;
    doing text := (SELECT CASE WHEN place LIKE '%statement%' THEN replace(statement, '($1).id', '1') ELSE statement END FROM kind WHERE name = what);
BEGIN
    CALL prepare();
    IF place LIKE '%_2' THEN
        PERFORM set_config('nested.after_row_1', $i$UPDATE step SET v = v + 1 WHERE id IN (($1).id - 1, 110)$i$, false);
    END IF;
    PERFORM set_config('nested.' || place, doing, false);
    EXECUTE outside;
    within := verdict();
    COMMIT;
    after := verdict();
    IF (within, after) IS DISTINCT FROM ('right, memory', 'right, memory') THEN
        RAISE WARNING '% in % of %: %; after COMMIT %', what, place, outside, within, after;
    END IF;
    tried := tried + 1;
END $$;
DO $$
DECLARE
    place text;
    what text;
    outside text;
    tried int := 0;
BEGIN
    FOREACH place IN ARRAY '{before_row_1,after_row_1,after_row_2,after_statement_1,after_statement_2}'::text[] LOOP
        FOREACH outside IN ARRAY ARRAY[$i$INSERT INTO step VALUES (51, 1, '2026-01-01', 10), (52, 1, '2026-01-01', 20), (53, 2, '2026-01-01', 30)$i$,
            'UPDATE step SET v = v + 1000 WHERE id IN (101, 102, 103)', 'DELETE FROM step WHERE id IN (104, 105, 106)', 'DELETE FROM parent WHERE id = 5',
            $i$INSERT INTO step VALUES (101, 1, '2026-01-01', 10), (54, 1, '2026-01-01', 20) ON CONFLICT (id) DO UPDATE SET v = 7$i$] LOOP
            -- (Core does not let a BEFORE ROW trigger change rows that its statement is about to change.)
            FOR what IN SELECT name FROM kind WHERE place <> 'before_row_1' OR outside LIKE 'INSERT%' AND name IN ('on conflict', 'exception') ORDER BY name LOOP
                CALL try(place, what, outside, tried);
            END LOOP;
        END LOOP;
    END LOOP;
    RAISE NOTICE '% tried', tried;
END $$;

-- ---- reads while a statement runs ----------------------------------------------------------------------------
-- Reads use the event tables, and are right, until the outer statement is over.
CALL prepare();
SELECT set_config('nested.after_row_1', (SELECT statement FROM kind WHERE name = 'on conflict'), false) <> '' AS nested;
SET nested.look = on;
BEGIN;
INSERT INTO step VALUES (51, 1, '2026-01-01', 10), (52, 1, '2026-01-01', 20);
SET nested.look = off;
SELECT verdict();
-- A trigger of another table that reads after that reads from memory.
CREATE TABLE elsewhere (i int);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% of %: %', lower(TG_WHEN), TG_TABLE_NAME, verdict(); RETURN new; END $$;
CREATE TRIGGER look AFTER INSERT ON elsewhere FOR EACH ROW EXECUTE FUNCTION look();
INSERT INTO elsewhere VALUES (1);
COMMIT;
-- Rows of a foreign key's deletes are not captured yet when the trigger of the parent fires.
CALL prepare();
CREATE TRIGGER zz_look AFTER DELETE ON parent FOR EACH ROW EXECUTE FUNCTION look();
SET nested.look = on;
DELETE FROM parent WHERE id = 1;
SET nested.look = off;
DROP TRIGGER zz_look ON parent;
SELECT verdict();

-- ---- functions that write while a statement runs ----------------------------------------------------------------
-- A function that the statement's own plan calls is at the same depth of triggers as the statement.
CREATE FUNCTION written(i int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO step VALUES (60 + i, 1, '2026-01-01', 1), (61 + i, 1, '2026-01-01', 1) ON CONFLICT (id) DO UPDATE SET v = step.v + 1;
    RAISE NOTICE 'row %: %', i, verdict();
    RETURN i;
END $$;
CALL prepare();
BEGIN;
INSERT INTO step SELECT 200 + written(i), 1, '2026-01-01', 1000 FROM generate_series(1, 3) i;
SELECT verdict();
COMMIT;
-- A function that writes, and reads, in a query that does not write.
SELECT written(10), written(11);
-- An error within such a function, caught inside the statement and outside.
BEGIN;
DO $$
BEGIN
    INSERT INTO step SELECT 300 + written(i), 1, '2026-01-01', 1000 / (3 - i) FROM generate_series(1, 3) i;
EXCEPTION WHEN division_by_zero THEN
    RAISE NOTICE 'caught: %', verdict();
END $$;
INSERT INTO step VALUES (400, 1, '2026-01-01', 5);
SELECT verdict();
COMMIT;

-- ---- deferred triggers, two continuous tables, partitions ----------------------------------------------------------
CREATE FOREIGN TABLE total_too (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v bigint OPTIONS (rule 'sum', initial '0'))
    SERVER contime OPTIONS (events 'step');
CREATE CONSTRAINT TRIGGER nest_deferred AFTER INSERT ON step DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION nest();
CALL prepare();
CALL until($c$ (SELECT count(*) FROM total_too) >= 0 AND (SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'total_too'::regclass) $c$);
BEGIN;
INSERT INTO step VALUES (501, 1, '2026-01-01', 10), (502, 1, '2026-01-01', 20);
SELECT set_config('nested.after_row_1', (SELECT statement FROM kind WHERE name = 'merge'), false) <> '' AS nested;
COMMIT;
SELECT verdict(), (SELECT sum(v) FROM total_too WHERE at = 'infinity') = (SELECT sum(v) FROM step) AS right;
SET nested.after_row_1 = '';
DROP TRIGGER nest_deferred ON step;
DROP FOREIGN TABLE total_too;

CREATE TABLE piece (id int, k int, at timestamptz, v int, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
CREATE TABLE piece_1 PARTITION OF piece FOR VALUES IN (1);
CREATE TABLE piece_2 PARTITION OF piece DEFAULT;
CREATE FOREIGN TABLE pieces (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v bigint OPTIONS (rule 'sum', initial '0')) SERVER contime OPTIONS (events 'piece');
CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() > 2 THEN RETURN NULL; END IF;
    INSERT INTO piece_1 VALUES (new.id + 10, 1, '2026-01-01', 1) ON CONFLICT (id, k) DO UPDATE SET v = piece_1.v + 1;
    UPDATE piece p SET k = 3 - k WHERE id = new.id - 1 AND NOT EXISTS (SELECT FROM piece q WHERE q.id = p.id AND q.k = 3 - p.k);
    MERGE INTO piece USING (VALUES (new.id + 5, 2)) n(id, k) ON piece.id = n.id AND piece.k = n.k WHEN MATCHED THEN UPDATE SET v = piece.v * 2 WHEN NOT MATCHED THEN INSERT VALUES (n.id, n.k, '2026-01-01', 3);
    RETURN NULL;
END $$;
CREATE TRIGGER break AFTER INSERT ON piece FOR EACH ROW EXECUTE FUNCTION break();
CALL until($c$ (SELECT count(*) FROM pieces) >= 0 AND (SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'pieces'::regclass) $c$);
INSERT INTO piece SELECT i, i % 3, '2026-01-01', i FROM generate_series(1, 6) i;
INSERT INTO piece_2 SELECT i, 2, '2026-01-01', i FROM generate_series(7, 9) i ON CONFLICT (id, k) DO UPDATE SET v = 0;
SELECT (SELECT array_agg((k, v) ORDER BY k) FROM pieces WHERE at = 'infinity') = (SELECT array_agg((k, v) ORDER BY k) FROM (SELECT k, sum(v)::bigint AS v FROM piece GROUP BY k) p) AS right,
    (SELECT cache FROM contime.tables WHERE "table" = 'pieces'::regclass);
SELECT * FROM contime.verify('total');
DROP FOREIGN TABLE total, pieces;
DROP TABLE parent, step, kind, elsewhere, piece;
DROP SEQUENCE ids;
DROP FUNCTION place, verdict, nest, look, written, break;
DROP PROCEDURE prepare, try, until;
