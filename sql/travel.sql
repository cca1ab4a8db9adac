-- Where contime.at applies, and where it must not: level 9 is the state of the past, 1 is the state of now.
SET client_min_messages = warning;
CREATE ROLE regress_guard;
CREATE ROLE regress_traveller;
GRANT regress_guard, regress_traveller TO CURRENT_USER;
CREATE SCHEMA travel;
GRANT ALL ON SCHEMA travel TO regress_guard, regress_traveller;
GRANT USAGE ON FOREIGN SERVER contime TO regress_guard;
SET search_path = travel;
RESET client_min_messages;

SET ROLE regress_guard;
CREATE FOREIGN TABLE clearance (
    id    int         OPTIONS (key 'true'),
    at    timestamptz OPTIONS (time 'true'),
    level int
) SERVER contime;
CREATE FOREIGN TABLE tick (
    id    int    OPTIONS (key 'true'),
    at    bigint OPTIONS (time 'true'),
    level int
) SERVER contime;
GRANT SELECT ON clearance, tick TO regress_traveller;
INSERT INTO clearance SELECT i, '2020-01-01', 9 FROM generate_series(1, 100) i;
INSERT INTO clearance SELECT i, '2020-02-01', 1 FROM generate_series(1, 100) i;
INSERT INTO tick VALUES (1, 1, 9), (1, 2, 1);

-- ---- views and functions -----------------------------------------------------
CREATE VIEW owned AS SELECT id, level FROM clearance;
CREATE VIEW invoked WITH (security_invoker) AS SELECT id, level FROM clearance;
CREATE VIEW barrier WITH (security_barrier) AS SELECT id, level FROM clearance;
CREATE VIEW pinned AS SELECT id, level FROM clearance WHERE at = now();
CREATE FUNCTION invoker_sql() RETURNS int LANGUAGE sql STABLE AS 'SELECT max(level) FROM clearance';
CREATE FUNCTION invoker_rows() RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT level FROM clearance WHERE id = 1';
CREATE FUNCTION invoker_plpgsql() RETURNS int LANGUAGE plpgsql STABLE AS
'BEGIN RETURN (SELECT max(level) FROM clearance); END';
CREATE FUNCTION definer_sql() RETURNS int LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT max(level) FROM clearance';
CREATE FUNCTION definer_rows() RETURNS SETOF int LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT level FROM clearance WHERE id = 1';
CREATE FUNCTION definer_plpgsql() RETURNS int LANGUAGE plpgsql STABLE SECURITY DEFINER AS
'BEGIN RETURN (SELECT max(level) FROM clearance); END';
CREATE FUNCTION definer_invoker() RETURNS int LANGUAGE plpgsql STABLE SECURITY DEFINER AS
'BEGIN RETURN invoker_plpgsql() * 10 + invoker_sql(); END';
CREATE FUNCTION definer_view() RETURNS int LANGUAGE plpgsql STABLE SECURITY DEFINER AS
'BEGIN RETURN (SELECT max(level) FROM invoked) * 10 + (SELECT max(level) FROM owned); END';
CREATE FUNCTION definer_set() RETURNS int LANGUAGE plpgsql STABLE SECURITY DEFINER SET contime.at = '2020-01-15' AS
'BEGIN RETURN (SELECT max(level) FROM clearance); END';
CREATE FUNCTION definer_named() RETURNS int LANGUAGE plpgsql STABLE SECURITY DEFINER AS
'BEGIN RETURN (SELECT max(level) FROM contime.at(NULL::clearance, ''2020-01-15'')); END';
CREATE FUNCTION definer_query(query text) RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER AS
'BEGIN RETURN QUERY EXECUTE query; END';
CREATE FUNCTION definer_cursor() RETURNS refcursor LANGUAGE plpgsql SECURITY DEFINER AS
'DECLARE c refcursor := ''opened''; BEGIN OPEN c FOR SELECT level FROM clearance WHERE id = 1; RETURN c; END';
CREATE FUNCTION definer_catches() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS
'BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN RETURN (SELECT max(level) FROM clearance); END';
CREATE TABLE book (id int, level int);
GRANT ALL ON book TO regress_traveller;
CREATE FUNCTION note_invoker() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN NEW.level := (SELECT max(level) FROM clearance); RETURN NEW; END';
CREATE FUNCTION note_definer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
'BEGIN NEW.level := (SELECT max(level) FROM clearance); RETURN NEW; END';
CREATE TRIGGER note BEFORE INSERT ON book FOR EACH ROW EXECUTE FUNCTION note_invoker();
CREATE FUNCTION definer_trigger() RETURNS SETOF book LANGUAGE sql SECURITY DEFINER AS
'INSERT INTO book VALUES (1, 0) RETURNING *';

RESET ROLE;
CREATE VIEW contexts AS
SELECT 'statement' AS context, (SELECT max(level) FROM clearance) AS level
UNION ALL SELECT 'owner''s view', (SELECT max(level) FROM owned)
UNION ALL SELECT 'invoker''s view', (SELECT max(level) FROM invoked)
UNION ALL SELECT 'barrier view', (SELECT max(level) FROM barrier)
UNION ALL SELECT 'view with at = now()', (SELECT max(level) FROM pinned)
UNION ALL SELECT 'invoker sql', invoker_sql()
UNION ALL SELECT 'invoker sql inlined', (SELECT max(l) FROM invoker_rows() l)
UNION ALL SELECT 'invoker plpgsql', invoker_plpgsql()
UNION ALL SELECT 'definer sql', definer_sql()
UNION ALL SELECT 'definer sql rows', (SELECT max(l) FROM definer_rows() l)
UNION ALL (SELECT 'definer sql rows, selected', definer_rows())
UNION ALL SELECT 'definer plpgsql', definer_plpgsql()
UNION ALL SELECT 'definer calls invoker', definer_invoker()
UNION ALL SELECT 'definer reads views', definer_view()
UNION ALL SELECT 'definer with SET', definer_set()
UNION ALL SELECT 'definer names an instant', definer_named()
UNION ALL SELECT 'definer after an error', definer_catches()::int
UNION ALL SELECT 'logical clock', (SELECT level FROM tick);
GRANT SELECT ON contexts TO regress_traveller;
SET ROLE regress_traveller;
SELECT * FROM contexts;
SET contime.at = '2020-01-15';
SELECT * FROM contexts;
BEGIN;
SELECT definer_cursor();
FETCH ALL FROM opened;
COMMIT;
INSERT INTO book VALUES (1, 0) RETURNING *;
SELECT * FROM definer_trigger();
RESET ROLE;
SET ROLE regress_guard;
DROP TRIGGER note ON book;
CREATE TRIGGER note BEFORE INSERT ON book FOR EACH ROW EXECUTE FUNCTION note_definer();
SET ROLE regress_traveller;
INSERT INTO book VALUES (1, 0) RETURNING *;
-- The attacker's own function is invoked within the guard's.
CREATE FUNCTION mine() RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT max(level) FROM clearance); END';
SELECT definer_query('SELECT travel.mine()::text');
-- The same prepared statement, planned under one setting and run under the other.
PREPARE plain AS SELECT max(level) FROM clearance;
PREPARE defined AS SELECT definer_sql(), definer_plpgsql();
SET plan_cache_mode = force_generic_plan;
EXECUTE plain;
EXECUTE defined;
RESET contime.at;
EXECUTE plain;
EXECUTE defined;
SET contime.at = '2020-01-15';
EXECUTE plain;
EXECUTE defined;
RESET plan_cache_mode;
-- EXPLAIN shows it.
EXPLAIN (COSTS OFF) SELECT level FROM clearance WHERE id = 1;
SELECT definer_query('EXPLAIN (COSTS OFF) SELECT level FROM travel.clearance WHERE id = 1');
SELECT replace(definer_query('EXPLAIN (COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF) SELECT level FROM travel.clearance WHERE id = 1'), 'rows=1.00', 'rows=1') AS definer_query;
SELECT definer_query('EXPLAIN (COSTS OFF) SELECT level FROM travel.clearance WHERE id = 1 AND at = ''2020-01-15''');
SELECT definer_query('EXPLAIN (COSTS OFF) SELECT level FROM travel.tick WHERE id = 1');
RESET contime.at;
SELECT definer_query('EXPLAIN (COSTS OFF) SELECT level FROM travel.clearance WHERE id = 1');

-- ---- a time column that escapes: the instant of contime.at is the condition -----
RESET ROLE;
SET ROLE regress_guard;
CREATE FUNCTION rows_of(int) RETURNS SETOF clearance LANGUAGE plpgsql STABLE AS 'BEGIN RETURN QUERY SELECT * FROM clearance WHERE id = $1; END';
CREATE FUNCTION definer_rows_of(int) RETURNS SETOF clearance LANGUAGE plpgsql STABLE SECURITY DEFINER AS 'BEGIN RETURN QUERY SELECT * FROM travel.clearance WHERE id = $1; END';
CREATE VIEW newest AS SELECT * FROM clearance ORDER BY id DESC LIMIT 2;
SELECT * FROM (SELECT * FROM clearance ORDER BY id LIMIT 2) s;
SELECT * FROM newest;
SELECT * FROM rows_of(1);
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM clearance WHERE id IN (1, 2);
ROLLBACK;
SET contime.at = '2020-01-15';
SELECT * FROM (SELECT * FROM clearance ORDER BY id LIMIT 2) s;
SELECT * FROM newest;
SELECT * FROM newest WHERE at = '2020-02-15';
SELECT * FROM rows_of(1);
EXPLAIN (COSTS OFF) SELECT * FROM (SELECT * FROM clearance ORDER BY id LIMIT 2) s;
PREPARE escaping AS SELECT * FROM (SELECT * FROM clearance ORDER BY id LIMIT 2) s;
SET plan_cache_mode = force_generic_plan;
EXECUTE escaping;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM clearance WHERE id IN (1, 2);
FETCH 1 FROM c;
SET LOCAL contime.at = '2020-02-15';
FETCH ALL FROM c;
EXECUTE escaping;
COMMIT;
EXECUTE escaping;
-- Where an outer query has a condition on the time, the query names the instants itself: contime.at must not replace them.
CREATE VIEW shielded WITH (security_barrier) AS SELECT * FROM clearance WHERE level > 0;
SELECT * FROM shielded s JOIN (VALUES (1, timestamptz '2020-02-15'), (2, '2020-01-15')) v (id, at) USING (id, at);
SELECT * FROM shielded WHERE at IN (SELECT timestamptz '2020-02-15' - i * interval '1 month' FROM generate_series(0, 1) i);
SELECT * FROM (SELECT * FROM clearance ORDER BY id LIMIT 2) s JOIN clearance c USING (id, at);
SELECT max(at) FROM (SELECT id, at FROM clearance ORDER BY id LIMIT 2) s HAVING max(at) > '2020-02-01';
SELECT 1 WHERE timestamptz '2020-02-15' NOT IN (SELECT at FROM clearance WHERE id = 1);
WITH s AS MATERIALIZED (SELECT * FROM clearance ORDER BY id LIMIT 2) SELECT * FROM s WHERE at > '2020-02-01';
SELECT * FROM (SELECT * FROM clearance ORDER BY id LIMIT 2) s, LATERAL (SELECT 1 FROM generate_series(1, 2) i WHERE s.at > '2020-02-01' LIMIT 1) l;
-- Other conditions do not matter, nor do the wrappers that web frameworks put around a query.
SELECT * FROM shielded WHERE id = 1;
WITH pgrst_source AS (SELECT clearance.* FROM clearance WHERE id = 1 LIMIT 5 OFFSET 0)
SELECT pg_catalog.count(s), coalesce(json_agg(s), '[]') FROM (SELECT * FROM pgrst_source) s;
SELECT coalesce(json_agg("root"), '[]') FROM (SELECT row_to_json((SELECT e FROM (SELECT "base"."id", "base"."at", "base"."level") e)) AS "root" FROM (SELECT * FROM clearance WHERE id = 1 LIMIT 5) AS "base") AS "_root";
DROP VIEW shielded;
SELECT * FROM clearance WHERE at > '2020-01-01';
-- A logical clock, a policy and a SECURITY DEFINER function are read now, and refused as without the setting.
SELECT * FROM (SELECT * FROM tick LIMIT 2) s;
SELECT * FROM definer_rows_of(1);
-- A plan that was made under the setting is not run without it.
RESET contime.at;
EXECUTE escaping;
EXPLAIN (COSTS OFF) EXECUTE escaping;
RESET plan_cache_mode;
DEALLOCATE escaping;
SELECT * FROM rows_of(1);
DROP FUNCTION rows_of, definer_rows_of;
DROP VIEW newest;
RESET ROLE;
SET ROLE regress_traveller;

-- Under contime.at only a SECURITY DEFINER function can write.
RESET ROLE;
SET ROLE regress_guard;
CREATE FUNCTION writes() RETURNS void LANGUAGE sql AS
'INSERT INTO travel.clearance VALUES (200, ''2020-01-01'', 9), (200, ''2020-02-01'', 1)';
CREATE FUNCTION writes_definer() RETURNS void LANGUAGE sql SECURITY DEFINER AS
'INSERT INTO travel.clearance VALUES (201, ''2020-01-01'', 9), (201, ''2020-02-01'', 1)';
CREATE FUNCTION tells_definer() RETURNS void LANGUAGE sql SECURITY DEFINER AS
'SELECT contime.event(ROW(202, ''2020-02-01'', 1)::travel.clearance)';
CREATE FUNCTION truncates_definer() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'TRUNCATE travel.tick';
SET contime.at = '2020-01-15';
SELECT writes();
SELECT writes_definer(), tells_definer(), truncates_definer();
SELECT id, level FROM clearance WHERE id > 199 AND at = '2020-03-01' ORDER BY id;
SELECT count(*) FROM tick;
-- contime.require_instant applies everywhere.
SET contime.require_instant = on;
SELECT definer_sql();
SELECT max(level) FROM pinned;
RESET contime.require_instant;
RESET contime.at;

-- ---- parallel plans -------------------------------------------------------------
ALTER FUNCTION invoker_plpgsql PARALLEL SAFE;
ALTER FUNCTION definer_plpgsql PARALLEL SAFE;
ALTER FUNCTION definer_sql PARALLEL SAFE;
CREATE FUNCTION definer_count(OUT level int, OUT n int) RETURNS SETOF record LANGUAGE plpgsql STABLE SECURITY DEFINER AS
'BEGIN RETURN QUERY SELECT c.level, count(*)::int FROM clearance c WHERE id <= 100 GROUP BY c.level; END';
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET ROLE regress_traveller;
SET contime.at = '2020-01-15';
EXPLAIN (COSTS OFF) SELECT level, count(*) FROM clearance WHERE id <= 100 GROUP BY level;
SELECT level, count(*) FROM clearance WHERE id <= 100 GROUP BY level;
SELECT * FROM definer_count();
SELECT definer_query('EXPLAIN (COSTS OFF) SELECT level, count(*) FROM travel.clearance WHERE id <= 100 GROUP BY level');
SET parallel_leader_participation = off;
SELECT level, count(*) FROM clearance WHERE id <= 100 GROUP BY level;
SELECT * FROM definer_count();
-- PostgreSQL 16 renamed the setting.
SELECT name AS parallel_mode FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \gset
SET :parallel_mode = on;
SELECT invoker_plpgsql(), definer_plpgsql(), definer_sql();
RESET :parallel_mode;
RESET parallel_leader_participation;
RESET contime.at;

-- ---- policies -----------------------------------------------------------------------
-- A role sees a document if its level now is at least the document's.
RESET ROLE;
SET ROLE regress_guard;
CREATE TABLE doc (n int PRIMARY KEY, lvl int, account int DEFAULT 1);
INSERT INTO doc VALUES (1, 1), (2, 9);
CREATE TABLE part (n int, lvl int, account int DEFAULT 1) PARTITION BY LIST (n);
CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part2 PARTITION OF part FOR VALUES IN (2);
INSERT INTO part VALUES (1, 1), (2, 9);
GRANT ALL ON doc, part TO regress_traveller;
GRANT SELECT ON owned, invoked, barrier, pinned TO regress_traveller;
ALTER TABLE doc ENABLE ROW LEVEL SECURITY;
ALTER TABLE part ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION has(int) RETURNS boolean LANGUAGE plpgsql STABLE AS
'BEGIN RETURN EXISTS (SELECT FROM clearance WHERE id = 1 AND level >= $1); END';
CREATE FUNCTION has_sql(int) RETURNS boolean LANGUAGE sql STABLE AS
'SELECT EXISTS (SELECT FROM travel.clearance WHERE id = 1 AND level >= $1)';
CREATE FUNCTION has_inlined(int) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT travel.has($1)';
CREATE FUNCTION has_definer(int) RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER AS
'BEGIN RETURN EXISTS (SELECT FROM clearance WHERE id = 1 AND level >= $1); END';
CREATE FUNCTION has_pinned(int) RETURNS boolean LANGUAGE plpgsql STABLE AS
'BEGIN RETURN EXISTS (SELECT FROM clearance WHERE id = 1 AND level >= $1 AND at = now()); END';
CREATE TABLE whole (id int, at timestamptz, level int) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE whole1 (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), level int) SERVER contime;
ALTER TABLE whole ATTACH PARTITION whole1 FOR VALUES FROM (1) TO (2);
INSERT INTO whole VALUES (1, '2020-01-01', 9), (1, '2020-02-01', 1);
GRANT SELECT ON whole TO regress_traveller;
CREATE FUNCTION has_set(bound int) RETURNS boolean LANGUAGE plpgsql STABLE SET contime.at = '2020-01-15' AS
'BEGIN RETURN has(bound); END';
CREATE FUNCTION level_of(key int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
'BEGIN RETURN (SELECT max(level) FROM clearance WHERE id = key); END';
CREATE FUNCTION levels() RETURNS SETOF int LANGUAGE plpgsql STABLE AS
'BEGIN RETURN QUERY SELECT level FROM clearance WHERE id = 1; END';
CREATE FUNCTION at_most(int, int) RETURNS boolean LANGUAGE plpgsql STABLE AS
'BEGIN RETURN $1 <= (SELECT level FROM clearance WHERE id = $2); END';
CREATE OPERATOR <=@ (FUNCTION = at_most, LEFTARG = int, RIGHTARG = int);

-- Each policy in turn: what it shows of both tables, now and under contime.at.
-- contime.at does not apply to a sub-select of a policy, which shows 1 in the last
-- columns. It applies to a function that a policy calls, inlined or not, which shows
-- 1,2: unless the function is SECURITY DEFINER or says "at = now()".
RESET ROLE;
CREATE FUNCTION shows(condition text, OUT doc text, OUT part text, OUT doc_then text, OUT part_then text)
LANGUAGE plpgsql AS $$
DECLARE
    q text := 'SELECT string_agg(n::text, '','' ORDER BY n) FROM ';
BEGIN
    SET LOCAL ROLE regress_guard;
    EXECUTE 'CREATE POLICY p ON doc FOR SELECT USING (' || condition || ')';
    EXECUTE 'CREATE POLICY p ON part FOR SELECT USING (' || condition || ')';
    SET LOCAL ROLE regress_traveller;
    EXECUTE q || 'doc' INTO doc;
    EXECUTE q || 'part' INTO part;
    SET LOCAL contime.at = '2020-01-15';
    EXECUTE q || 'doc' INTO doc_then;
    EXECUTE q || 'part' INTO part_then;
    SET LOCAL contime.at = '';
    SET LOCAL ROLE regress_guard;
    DROP POLICY p ON doc;
    DROP POLICY p ON part;
    RESET ROLE;
END $$;
CREATE TABLE conditions (n serial, condition text);
INSERT INTO conditions (condition) VALUES
('EXISTS (SELECT FROM clearance c WHERE c.id = account AND c.level >= lvl)'),
('account IN (SELECT c.id FROM clearance c WHERE c.level >= lvl)'),
('account IN (SELECT c.id FROM clearance c WHERE c.level >= 9) OR lvl = 1'),
('lvl <= (SELECT c.level FROM clearance c WHERE c.id = 1)'),
('lvl <= ALL (SELECT c.level FROM clearance c WHERE c.id = 1)'),
('(SELECT EXISTS (SELECT FROM (SELECT level FROM clearance WHERE id = account OFFSET 0) c WHERE c.level >= lvl))'),
('EXISTS (WITH c AS (SELECT level FROM clearance WHERE id = 1) SELECT FROM c WHERE c.level >= lvl)'),
('EXISTS (WITH c AS MATERIALIZED (SELECT level FROM clearance WHERE id = 1) SELECT FROM c WHERE c.level >= lvl)'),
('EXISTS (WITH RECURSIVE r AS (SELECT level, 1 AS i FROM clearance WHERE id = 1 UNION ALL SELECT c.level, i + 1 FROM r, clearance c WHERE c.id = 1 AND i < 2) SELECT FROM r WHERE level >= lvl)'),
('EXISTS (SELECT FROM clearance c WHERE c.id = 1 GROUP BY c.id HAVING max(c.level) >= lvl)'),
('EXISTS (SELECT level FROM clearance WHERE id = 1 AND level >= lvl UNION ALL SELECT level FROM clearance WHERE id = 2 AND level >= lvl)'),
('EXISTS (SELECT FROM generate_series(1, 1) g, LATERAL (SELECT level FROM clearance WHERE id = g) c WHERE c.level >= lvl)'),
('EXISTS (SELECT FROM generate_series(1, 1) g LEFT JOIN clearance c ON c.id = g WHERE c.level >= lvl)'),
('(SELECT max((SELECT level FROM clearance WHERE id = 1)) FROM generate_series(1, 1)) >= lvl'),
('EXISTS (SELECT FROM owned c WHERE c.id = account AND c.level >= lvl)'),
('EXISTS (SELECT FROM invoked c WHERE c.id = account AND c.level >= lvl)'),
('EXISTS (SELECT FROM barrier c WHERE c.id = account AND c.level >= lvl)'),
('EXISTS (SELECT FROM pinned c WHERE c.id = account AND c.level >= lvl)'),
('EXISTS (SELECT FROM invoker_rows() l WHERE l >= lvl)'),
('EXISTS (SELECT FROM (VALUES ((SELECT level FROM clearance WHERE id = 1))) c (l) WHERE l >= lvl)'),
('EXISTS (SELECT FROM ROWS FROM (invoker_rows(), levels()) AS c (a, b) WHERE greatest(a, b) >= lvl)'),
('EXISTS (SELECT FROM levels() l WHERE l >= lvl)'),
('EXISTS (SELECT FROM (SELECT levels() AS l) c WHERE l >= lvl)'),
('has(lvl)'),
('has_sql(lvl)'),
('has_inlined(lvl)'),
('has_definer(lvl)'),
('has_pinned(lvl)'),
('EXISTS (SELECT FROM definer_rows() l WHERE l >= lvl)'),
('EXISTS (SELECT FROM whole c WHERE c.id = account AND c.level >= lvl)'),
('has_set(lvl)'),
('lvl <= level_of(1)'),
('lvl <=@ account'),
('EXISTS (SELECT FROM generate_series(1, 1) g WHERE has_sql(lvl))'),
('lvl <= definer_plpgsql()'),
('EXISTS (SELECT FROM contime.at(NULL::clearance, ''2020-01-15'', 1) c WHERE c.level >= lvl)');
SELECT n, s.*, condition FROM conditions, LATERAL shows(condition) s ORDER BY n;

-- The policy applies in every way to read its table.
SET ROLE regress_guard;
CREATE POLICY r ON doc FOR SELECT USING (EXISTS (SELECT FROM clearance c WHERE c.id = account AND c.level >= lvl));
CREATE POLICY r ON part FOR SELECT USING (lvl <= (SELECT c.level FROM clearance c WHERE c.id = account));
CREATE VIEW doc_invoked WITH (security_invoker) AS SELECT * FROM doc;
GRANT SELECT ON doc_invoked TO regress_traveller;
SET ROLE regress_traveller;
CREATE FUNCTION my_docs() RETURNS SETOF doc LANGUAGE sql STABLE AS 'SELECT * FROM travel.doc';
CREATE FUNCTION my_parts(int DEFAULT 0) RETURNS SETOF part LANGUAGE sql STABLE AS 'SELECT * FROM travel.part WHERE n > $1';
CREATE FUNCTION my_docs_atomic() RETURNS SETOF doc STABLE BEGIN ATOMIC SELECT * FROM my_docs(); END;
CREATE FUNCTION my_docs_plpgsql() RETURNS SETOF doc LANGUAGE plpgsql STABLE AS 'BEGIN RETURN QUERY SELECT * FROM travel.doc; END';
CREATE FUNCTION my_count() RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN (SELECT count(*) FROM travel.part); END';
CREATE FUNCTION seen(doc) RETURNS int LANGUAGE sql STABLE AS 'SELECT level FROM travel.clearance WHERE id = $1.account';
CREATE VIEW my_view AS SELECT * FROM doc UNION ALL SELECT * FROM part;
PREPARE docs AS SELECT n FROM doc UNION ALL SELECT n FROM part;
SET plan_cache_mode = force_generic_plan;
SET contime.at = '2020-01-15';
EXECUTE docs;
SELECT n FROM my_docs();
SELECT n FROM my_parts();
SELECT n FROM my_docs_atomic();
SELECT n FROM my_docs_plpgsql();
SELECT my_count();
SELECT n FROM my_view;
SELECT n FROM doc_invoked;
SELECT doc FROM (SELECT * FROM doc) doc;
SELECT n FROM doc WHERE EXISTS (SELECT FROM part p WHERE p.n = doc.n OR p.n > 1);
WITH d AS MATERIALIZED (SELECT * FROM doc) SELECT count(*) FROM d;
SELECT (SELECT count(*) FROM doc), ARRAY(SELECT n FROM part);
SELECT n FROM clearance c JOIN doc ON c.id = doc.account WHERE c.at = '2020-01-15';
-- The session's other reads follow contime.at, in the same query too.
SELECT n, seen(doc), (SELECT level FROM clearance WHERE id = account), mine() FROM doc;
SELECT n, c.level FROM doc JOIN clearance c ON c.id = account;
SELECT n FROM doc WHERE EXISTS (SELECT FROM clearance c WHERE c.id = account AND c.level >= 9);
SELECT n FROM my_docs() d WHERE seen(d) = 9;
COPY doc TO stdout;
COPY (SELECT n FROM part) TO stdout;
CREATE TEMP TABLE mine AS SELECT * FROM doc;
SELECT n FROM mine;
BEGIN;
DECLARE c CURSOR FOR SELECT n FROM doc;
FETCH ALL FROM c;
COMMIT;
-- (Since PostgreSQL 17, EXPLAIN shows EXISTS before a subplan.)
CREATE FUNCTION my_plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
        RETURN NEXT replace(line, 'EXISTS(SubPlan', '(SubPlan');
    END LOOP;
END $$;
SELECT my_plan('(COSTS OFF, VERBOSE) SELECT n, (SELECT level FROM clearance WHERE id = account) FROM doc');
SELECT my_plan('(COSTS OFF) SELECT n FROM my_docs()');
EXPLAIN (COSTS OFF) SELECT n FROM part;
SET :parallel_mode = on;
SELECT n FROM doc;
SELECT n FROM part;
RESET ROLE;
ALTER FUNCTION has PARALLEL SAFE;
ALTER TABLE doc SET (parallel_workers = 2);
ALTER TABLE part1 SET (parallel_workers = 2);
ALTER TABLE part2 SET (parallel_workers = 2);
SET ROLE regress_traveller;
EXPLAIN (COSTS OFF) SELECT n FROM part;
SELECT n FROM doc;
SELECT n FROM part;
SET parallel_leader_participation = off;
SELECT n FROM doc;
SELECT n FROM part;
RESET parallel_leader_participation;
RESET :parallel_mode;
RESET contime.at;
EXECUTE docs;
SET contime.at = '2020-01-15';
EXECUTE docs;
-- A plan made for a role without policies is not used for another role.
SET ROLE regress_guard;
PREPARE inlined AS SELECT n FROM my_docs() ORDER BY n;
EXECUTE inlined;
SET ROLE regress_traveller;
EXECUTE inlined;
DEALLOCATE inlined;
-- An inlined function is replaced.
CREATE OR REPLACE FUNCTION my_docs() RETURNS SETOF doc LANGUAGE sql STABLE AS 'SELECT * FROM travel.doc WHERE n > 1';
SELECT n FROM my_docs_atomic();
PREPARE inlined AS SELECT n FROM my_docs();
EXECUTE inlined;
CREATE OR REPLACE FUNCTION my_docs() RETURNS SETOF doc LANGUAGE sql STABLE AS 'SELECT * FROM travel.doc WHERE n < 3';
EXECUTE inlined;
RESET contime.at;
RESET plan_cache_mode;

-- The planner inlines no function later than the hook: it replaces v.x by 1, ends a recursion by CASE.
CREATE FUNCTION my_nth(int) RETURNS SETOF doc LANGUAGE sql STABLE AS 'SELECT * FROM travel.doc WHERE n >= $1';
CREATE FUNCTION my_depth(int) RETURNS SETOF bigint LANGUAGE sql STABLE AS
'SELECT CASE WHEN $1 <= 0 THEN (SELECT count(*) FROM travel.doc) ELSE (SELECT max(d) FROM travel.my_depth($1 - 1) d) END';
SET contime.at = '2020-01-15';
SELECT w.n FROM (SELECT 1 AS x) v, LATERAL (SELECT n FROM my_nth(CASE WHEN v.x = 2 THEN random()::int ELSE 1 END)) w;
SELECT w.n FROM (SELECT 1 AS x) v, LATERAL (SELECT n FROM my_nth(CASE WHEN v.x = 2 THEN (SELECT 0) ELSE 1 END)) w;
SELECT v.n, w FROM doc v, my_nth(v.n) w;
SELECT * FROM my_depth(0);
SELECT * FROM my_depth(3);
EXPLAIN (COSTS OFF) SELECT * FROM my_nth(random()::int);
-- An error while an inlined function is planned leaves no state behind.
CREATE FUNCTION broken_of(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1 / $1; END';
BEGIN;
SAVEPOINT s;
SELECT n FROM my_nth(broken_of(0));
ROLLBACK TO s;
SELECT n FROM doc;
SELECT level FROM clearance WHERE id = 1;
COMMIT;
DROP TABLE mine;

-- Policies of what is written.
RESET contime.at;
RESET ROLE;
CREATE FUNCTION tries(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n int;
BEGIN
    SET LOCAL ROLE regress_traveller;
    SET LOCAL contime.at = '2020-01-15';
    EXECUTE command;
    GET DIAGNOSTICS n = ROW_COUNT;
    RAISE EXCEPTION USING errcode = 'ZZ000', message = format('%s rows', n);
EXCEPTION WHEN sqlstate 'ZZ000' OR insufficient_privilege OR with_check_option_violation THEN
    RETURN sqlerrm;
END $$;
SET ROLE regress_guard;
CREATE VIEW checked AS SELECT * FROM doc WHERE EXISTS (SELECT FROM clearance c WHERE c.id = account AND c.level >= lvl)
    WITH CHECK OPTION;
CREATE TABLE loose (n int PRIMARY KEY, lvl int, account int);
INSERT INTO loose VALUES (1, 1, 1), (2, 9, 1);
CREATE VIEW barred WITH (security_barrier) AS SELECT * FROM loose WHERE EXISTS (SELECT FROM clearance c WHERE c.id = account AND c.level >= lvl);
CREATE VIEW checked_function AS SELECT * FROM loose WHERE has_definer(lvl) WITH CHECK OPTION;
GRANT ALL ON checked, barred, checked_function TO regress_traveller;
DROP POLICY r ON doc;
DROP POLICY r ON part;
CREATE POLICY s ON doc FOR SELECT USING (true);
CREATE POLICY s ON part FOR SELECT USING (true);
CREATE POLICY i ON doc FOR INSERT WITH CHECK (EXISTS (SELECT FROM clearance c WHERE c.id = account AND c.level >= lvl));
CREATE POLICY i ON part FOR INSERT WITH CHECK (has_definer(lvl));
CREATE POLICY u ON doc FOR UPDATE USING (lvl <= (SELECT c.level FROM clearance c WHERE c.id = account)) WITH CHECK (has_definer(lvl));
CREATE POLICY u ON part FOR UPDATE USING (EXISTS (SELECT FROM clearance c WHERE c.id = account AND c.level >= lvl)) WITH CHECK (lvl <= (SELECT c.level FROM clearance c WHERE c.id = account));
CREATE POLICY d ON doc FOR DELETE USING (has_definer(lvl));
CREATE POLICY d ON part FOR DELETE USING (account IN (SELECT c.id FROM clearance c WHERE c.level >= lvl));
RESET ROLE;
SELECT command, tries(command) FROM unnest(ARRAY[
'INSERT INTO doc VALUES (3, 1)',
'INSERT INTO doc VALUES (3, 9)',
'INSERT INTO part VALUES (2, 1)',
'INSERT INTO part VALUES (2, 9)',
'INSERT INTO doc SELECT n + 2, lvl FROM part',
'WITH w AS (INSERT INTO doc VALUES (3, 9) RETURNING n) SELECT * FROM w',
'UPDATE doc SET account = account',
'UPDATE part SET account = account',
'UPDATE doc SET lvl = 9',
'UPDATE part SET lvl = 9',
'UPDATE part SET n = 2, lvl = 9 WHERE n = 1',
'WITH w AS (UPDATE part SET account = account RETURNING n) SELECT * FROM w',
'DELETE FROM doc',
'DELETE FROM part',
'DELETE FROM doc USING part WHERE part.lvl = doc.lvl',
'INSERT INTO doc VALUES (1, 1) ON CONFLICT (n) DO UPDATE SET lvl = 9',
'INSERT INTO doc VALUES (2, 1) ON CONFLICT (n) DO UPDATE SET lvl = 1',
'INSERT INTO doc VALUES (1, 1) ON CONFLICT (n) DO UPDATE SET lvl = 1',
'INSERT INTO doc VALUES (3, 9) ON CONFLICT DO NOTHING',
'MERGE INTO doc USING part ON doc.n = part.n WHEN MATCHED AND doc.n = 2 THEN UPDATE SET lvl = 1',
'MERGE INTO doc USING part ON doc.n = part.n WHEN MATCHED AND doc.n = 1 THEN UPDATE SET lvl = 9',
'MERGE INTO doc USING part ON doc.n = part.n WHEN MATCHED AND doc.n = 2 THEN DELETE',
'MERGE INTO doc USING part ON doc.n = part.n + 8 WHEN NOT MATCHED THEN INSERT VALUES (part.n + 8, part.lvl)',
'MERGE INTO part USING doc ON doc.n = part.n WHEN MATCHED AND doc.n = 2 THEN UPDATE SET lvl = 1',
'MERGE INTO part USING doc ON doc.n = part.n WHEN MATCHED AND doc.n = 1 THEN UPDATE SET lvl = 9',
'MERGE INTO part USING doc ON doc.n = part.n WHEN MATCHED AND doc.n = 2 THEN DELETE',
'MERGE INTO part USING doc ON doc.n = part.n + 8 WHEN NOT MATCHED THEN INSERT VALUES (doc.n, doc.lvl)',
'INSERT INTO checked VALUES (3, 9)',
'INSERT INTO checked VALUES (3, 1)',
'UPDATE checked SET lvl = 9 WHERE n = 1',
'INSERT INTO checked_function VALUES (3, 9)',
'UPDATE checked_function SET lvl = 9 WHERE n = 1',
'UPDATE barred SET account = 1',
'DELETE FROM barred'
]) command;

SET client_min_messages = warning;
RESET search_path;
DROP SCHEMA travel CASCADE;
REVOKE USAGE ON FOREIGN SERVER contime FROM regress_guard;
DROP ROLE regress_guard, regress_traveller;
