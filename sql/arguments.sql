-- Every function with unusual arguments: an error of its own or a result, never an internal error.
\set VERBOSITY terse
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA arguments;
SET search_path = arguments;
CREATE FOREIGN TABLE account (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO account VALUES (1, '2026-01-01', 7), (2, '2026-01-01', 8);
CREATE FOREIGN TABLE game (id text OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
CREATE FOREIGN TABLE twofold (a int OPTIONS (key 'true'), b int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime;
CREATE TABLE movement (id int, at timestamptz, v int);
CREATE FOREIGN TABLE durable (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'movement');
CREATE DOMAIN checked AS account CHECK ((value).v < 0);
CREATE DOMAIN twice AS checked;
CREATE TYPE pair AS (a int, at timestamptz);
CREATE DOMAIN pair_domain AS pair;
CREATE TYPE mood AS ENUM ('good');
CREATE TABLE plain (id int, at timestamptz, v int);
CREATE INDEX plain_id ON plain (id);
CREATE VIEW seen AS SELECT * FROM account;
CREATE MATERIALIZED VIEW held AS SELECT 1 AS id;
CREATE SEQUENCE counter;
CREATE TABLE parted (id int, at timestamptz, v int) PARTITION BY LIST (id);
CREATE FOREIGN TABLE part PARTITION OF parted (id OPTIONS (key 'true'), at OPTIONS (time 'true')) FOR VALUES IN (1) SERVER contime;
CREATE TABLE texts (t text);
CREATE FOREIGN DATA WRAPPER other;
CREATE SERVER other FOREIGN DATA WRAPPER other;
CREATE FOREIGN TABLE remote (id int, at timestamptz, v int) SERVER other;

CREATE TABLE outcome (statement text, state text, message text);
CREATE PROCEDURE try(statement text) LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE statement;
        INSERT INTO outcome VALUES (statement, '00000', '');
    EXCEPTION WHEN OTHERS THEN
        INSERT INTO outcome VALUES (statement, SQLSTATE, SQLERRM);
    END;
END $$;

-- First arguments of every kind for all functions that take a row, in FROM and in a select list.
CREATE VIEW rows AS SELECT * FROM (VALUES ('NULL::account'), ('ROW(1, ''2026-01-01'', -1)::account'), ('(SELECT a FROM account a WHERE false)'), ('NULL::checked'), ('NULL::twice'),
    ('NULL::pair'), ('NULL::pair_domain'), ('ROW(1, now())::pair'), ('NULL::int'), ('1'), ('NULL::text'), ('''x''::text'), ('NULL'), ('NULL::mood'), ('NULL::plain'), ('NULL::seen'), ('NULL::held'),
    ('NULL::parted'), ('NULL::part'), ('NULL::remote'), ('NULL::account[]'), ('ARRAY[NULL::account]'), ('NULL::record'), ('ROW(1, now(), 1)'), ('ROW()'), ('NULL::pg_class'), ('NULL::contime.source'),
    ('NULL::contime.tables'), ('NULL::game'), ('NULL::twofold'), ('NULL::durable'), ('NULL::int4range'), ('NULL::int4multirange'), ('NULL::regclass'), ('NULL::jsonb'), ('NULL::anyelement'),
    ('NULL::internal'), ('NULL::void'), ('NULL::"any"'), ('''2026-01-01''::timestamptz'), ('NULL::contime.at')) v (r);
CREATE VIEW calls AS SELECT replace(c, '$', r) AS call, c AS form FROM rows, (VALUES
    ('contime.event($)'), ('contime.event($, NULL)'), ('contime.event($, ''{}'')'), ('contime.event($, ''{v}'')'), ('contime.event($, ''{id}'')'), ('contime.event($, ''{nothing, NULL}'')'), ('contime.event($, ''{{v,v},{v,v}}'')'), ('contime.event($, ''{ctid}'')'),
    ('contime.snapshot($)'), ('contime.snapshot($, ''{}'')'), ('contime.snapshot($, ''{v}'')'), ('contime.snapshot($, ''{tableoid}'')'), ('contime.finish($)'),
    ('contime.at($, NULL)'), ('contime.at($, now())'), ('contime.at($, ''infinity'')'), ('contime.at($, ''-infinity'', 1)'), ('contime.at($, now(), NULL)'), ('contime.at($, now(), ''1'')'), ('contime.at($, now(), 1.5)'),
    ('contime.at($, now(), ''x''::text)'), ('contime.at($, now(), ROW(1, 2))'), ('contime.at($, now(), ARRAY[1])'), ('contime.at($, now(), 99999999999999)'), ('contime.at($, now(), NULL::checked)'), ('contime.at($, now(), NULL::account)'),
    ('contime.at_tick($, 1)'), ('contime.at_tick($, NULL)'), ('contime.at_tick($, 1, ''k''::text)'), ('contime.at_tick($, 1, NULL::mood)'), ('contime.at_tick($, 9223372036854775807, ''k'')'),
    ('contime.history($, now(), now())'), ('contime.history($, NULL, NULL)'), ('contime.history($, 1, ''-infinity'', ''infinity'')'), ('contime.history($, 1, ''infinity'', ''-infinity'')'), ('contime.history($, now(), now(), now())'), ('contime.history($, 1, NULL, NULL, ''{v}'', true)'), ('contime.history($, 1, NULL, NULL, ''{{v,id},{at,v}}'', NULL)'), ('contime.history($, 1, NULL, NULL, columns => ''{nothing}'')'), ('contime.history_tick($, ''k''::text, NULL, NULL, ''{NULL}'')'),
    ('contime.history_tick($, 0, 9223372036854775807)'), ('contime.history_tick($, ''k''::text, -9223372036854775808, 9)'),
    ('contime.series($, 1, now(), now(), ''1 day'')'), ('contime.series($, 1, now(), now(), ''0'')'), ('contime.series($, 1, ''-infinity'', now(), ''1 day'')'), ('contime.series($, 1, now(), now(), NULL)'), ('contime.series($, NULL, now(), now(), ''-1 day'')'),
    ('contime.series($, 1, ''294276-12-31'', ''294276-12-31 23:59'', ''1 year'')'), ('contime.series_tick($, ''k''::text, 1, 2, 0)'), ('contime.series_tick($, ''k''::text, 9223372036854775800, 9223372036854775807, 9)'),
    ('contime.since($, 1, now())'), ('contime.since($, NULL, NULL)'), ('contime.since_tick($, ''k''::text, 1)'),
    ('contime.latest($)'), ('contime.latest($, 1)'), ('contime.latest($, NULL)'), ('contime.latest($, ''x''::text)'), ('contime.latest_tick($)'), ('contime.latest_tick($, ''k''::text)'),
    ('contime.events($, 1, now(), now())'), ('contime.events($, 1, now(), ''-infinity'')'), ('contime.events($, 1, ''-infinity'', ''infinity'')'), ('contime.events_tick($, ''k''::text, 1, NULL)'),
    ('contime.reconciliations($)'), ('contime.reconciliations($, NULL)'), ('contime.reconciliations($, -1)'), ('contime.reconciliations_tick($, 9223372036854775807)')) f (c);
SELECT count(*) > 2000 AS many FROM calls;
CREATE TABLE statements AS
    SELECT 'SELECT ' || call AS statement FROM calls
    UNION ALL SELECT 'SELECT * FROM ' || call FROM calls WHERE form !~ 'event\(|snapshot|finish'
    UNION ALL SELECT 'SELECT * FROM ' || call || ' AS x (id int, at timestamptz, v int)' FROM calls WHERE form ~ 'at\(|series\('
    UNION ALL SELECT 'SELECT CASE WHEN true THEN ' || call || ' END' FROM calls WHERE form ~ 'now|1\)'
    UNION ALL SELECT 'SELECT (' || call || ').*' FROM calls WHERE form ~ 'at\(|history|reconc'
    UNION ALL SELECT 'EXPLAIN SELECT * FROM ' || call FROM calls WHERE form !~ 'event\(|snapshot|finish'
    UNION ALL SELECT 'SELECT * FROM ROWS FROM (' || call || ', generate_series(1, 2)) WITH ORDINALITY' FROM calls WHERE form ~ 'at|history'
    UNION ALL SELECT 'SELECT count(*) FROM plain WHERE EXISTS (SELECT FROM ' || call || ')' FROM calls WHERE form ~ 'at\(';
DO $$
DECLARE
    s text;
BEGIN
    FOR s IN SELECT statement FROM statements LOOP
        CALL try(s);
    END LOOP;
END $$;
SELECT count(*) > 5000 AS many, count(*) FILTER (WHERE state = 'XX000') AS internal, count(*) FILTER (WHERE state = '00000') > 400 AS answered FROM outcome;
SELECT state, min(message), count(*) FROM outcome WHERE state LIKE 'XX%' GROUP BY 1, message ORDER BY 1, 2;
SELECT DISTINCT state FROM outcome WHERE state !~ '^(00000|22|23|42|0A|55)' ORDER BY 1;
TRUNCATE outcome;

-- Every function that takes a key, a range or an option, with literals that have no type and a text key; and the same prepared,
-- with parameters that have no type.
CREATE FOREIGN TABLE named (id text OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO named VALUES ('k', '2026-01-01', 7), ('k', '2026-01-03', 1), ('7', '2026-01-01', 8);
INSERT INTO game VALUES ('k', 5, 7), ('k', 8, 1), ('7', 5, 8);
CREATE FUNCTION pairs() RETURNS TABLE (nr bigint, call text, args text[]) LANGUAGE sql AS $$
    SELECT row_number() OVER (), v.* FROM (VALUES
    ('contime.at(NULL::named, $)', ARRAY['2026-01-02']), ('contime.at(NULL::named, $, $)', ARRAY['2026-01-02', 'k']),
    ('contime.history(NULL::named, $, $)', ARRAY['2026-01-02', '2026-01-04']), ('contime.history(NULL::named, $, $, $)', ARRAY['k', '2026-01-02', '2026-01-04']),
    ('contime.history(NULL::named, $, $, $, $)', ARRAY['k', '2026-01-02', '2026-01-04', '{v}']), ('contime.history(NULL::named, $, $, $, $, $)', ARRAY['k', '-infinity', 'infinity', '{v}', 'true']),
    ('contime.history(NULL::named, $, $, $, newest_first => $)', ARRAY['k', '2026-01-02', '2026-01-04', 'on']), ('contime.history(NULL::named, $, $, $, columns => $)', ARRAY['7', NULL, NULL, '{}']),
    ('contime.history("table" => NULL::named, key => $, "from" => $, "to" => $)', ARRAY['k', '2026-01-02', NULL]), ('contime.history("to" => $, "from" => $, "table" => NULL::named)', ARRAY[NULL, NULL]),
    ('contime.series(NULL::named, $, $, $, $)', ARRAY['k', '2026-01-02', '2026-01-04', '1 day']), ('contime.since(NULL::named, $, $)', ARRAY['k', '2026-01-02']),
    ('contime.latest(NULL::named)', ARRAY[]::text[]), ('contime.latest(NULL::named, $)', ARRAY['k']), ('contime.events(NULL::named, $, $, $)', ARRAY['k', '2026-01-02', NULL]),
    ('contime.at_tick(NULL::game, $)', ARRAY['7']), ('contime.at_tick(NULL::game, $, $)', ARRAY['7', 'k']), ('contime.history_tick(NULL::game, $, $)', ARRAY['7', '9']),
    ('contime.history_tick(NULL::game, $, $, $)', ARRAY['7', '0', '9']), ('contime.history_tick(NULL::game, $, $, $, $)', ARRAY['k', '0', NULL, '{v}']),
    ('contime.history_tick(NULL::game, $, $, $, $, $)', ARRAY['k', NULL, '9', NULL, 't']), ('contime.history_tick(NULL::game, $, $, $, newest_first => $)', ARRAY['k', '0', '9', 't']),
    ('contime.series_tick(NULL::game, $, $, $, $)', ARRAY['k', '7', '9', '1']), ('contime.since_tick(NULL::game, $, $)', ARRAY['k', '7']), ('contime.latest_tick(NULL::game)', ARRAY[]::text[]),
    ('contime.latest_tick(NULL::game, $)', ARRAY['k']), ('contime.events_tick(NULL::game, $, $, $)', ARRAY['k', '0', '9']), ('contime.reconciliations(NULL::named, $)', ARRAY['0']),
    ('contime.reconciliations(NULL::named)', ARRAY[]::text[]), ('contime.reconciliations_tick(NULL::game, since => $)', ARRAY['0']),
    ('contime.snapshot(ROW($, $, $)::named)', ARRAY['k', '2026-01-05', '3']), ('contime.snapshot(ROW($, $, $)::named, $)', ARRAY['k', '2026-01-05', '3', '{v}']),
    ('contime.event(ROW($, $, $)::named)', ARRAY['k', '2026-01-06', '3']), ('contime.event(ROW($, $, NULL)::named, set_null => $)', ARRAY['k', '2026-01-06', '{v}']), ('contime.finish(ROW($, $, NULL)::named)', ARRAY['k', '2026-01-07'])) v
$$;
CREATE FUNCTION spell(call text, args text[], literals boolean) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. cardinality(args) LOOP
        call := regexp_replace(call, '\$(?!\d)', CASE WHEN literals THEN quote_nullable(args[i]) ELSE '$' || i END);
    END LOOP;
    RETURN call;
END $$;
DO $do$
DECLARE
    p record;
BEGIN
    FOR p IN SELECT * FROM pairs() LOOP
        EXECUTE format('PREPARE p%s AS SELECT x FROM %s x', p.nr, spell(p.call, p.args, false));
    END LOOP;
END $do$;
CREATE FUNCTION direct(n bigint) RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE (SELECT format('SELECT to_jsonb(x) FROM %s x', spell(call, args, true)) FROM pairs() WHERE nr = n);
END $$;
CREATE FUNCTION prepared(n bigint) RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
DECLARE
    r record;
    a text[] := (SELECT args FROM pairs() WHERE nr = n);
BEGIN
    FOR r IN EXECUTE format('EXECUTE p%s%s', n, CASE WHEN a <> '{}' THEN '(' || (SELECT string_agg(quote_nullable(x), ', ' ORDER BY i) FROM unnest(a) WITH ORDINALITY u (x, i)) || ')' END) LOOP
        RETURN NEXT to_jsonb(r) -> 'x';
    END LOOP;
END $$;
SET plan_cache_mode = force_generic_plan;
-- (When a notice comes depends on the worker.)
SELECT nr, call FROM pairs() WHERE call !~ 'reconciliations' AND ARRAY(SELECT direct(nr)) IS DISTINCT FROM ARRAY(SELECT prepared(nr)) ORDER BY nr;
RESET plan_cache_mode;
SELECT nr, CASE WHEN call ~ 'reconciliations' THEN cardinality(ARRAY(SELECT prepared(nr))) * 0 ELSE cardinality(ARRAY(SELECT prepared(nr))) END AS rows, call FROM pairs() ORDER BY nr;
DEALLOCATE ALL;
DROP FOREIGN TABLE named;
DROP FUNCTION pairs, spell, direct, prepared;

-- Relations of every kind, given by OID.
CREATE VIEW relations AS SELECT * FROM (VALUES ('0'), ('1'), ('4294967295'), ('NULL'), ('''account'''), ('''durable'''), ('''movement'''), ('''plain'''), ('''plain_id'''), ('''counter'''), ('''seen'''), ('''held'''), ('''pair'''), ('''parted'''),
    ('''part'''), ('''remote'''), ('''pg_class'''), ('''pg_class_oid_index'''), ('(SELECT reltoastrelid FROM pg_class WHERE relname = ''texts'')'), ('''contime.source'''), ('''contime.tables'''), ('''pg_stat_activity'''), ('''information_schema.tables''')) v (r);
DO $$
DECLARE
    s text;
BEGIN
    FOR s IN SELECT format('SELECT contime.verify(%s)', r) FROM relations
        UNION ALL SELECT format('SELECT * FROM contime.verify(%s)', r) FROM relations
        UNION ALL SELECT format('SELECT contime.repair(%s)', r) FROM relations
        UNION ALL SELECT format('SELECT contime.add_source(%s, %s)', a.r, b.r) FROM relations a, relations b
        UNION ALL SELECT format('SELECT contime.add_source(%s, ''plain'', ''{"v": "1"}'', ''event'')', r) FROM relations
        UNION ALL SELECT format('SELECT contime.drop_source(%s, %s)', a.r, b.r) FROM relations a, relations b
    LOOP
        CALL try(s || ' FROM plain LIMIT 1');
        CALL try(s);
    END LOOP;
END $$;
SELECT count(*) > 2000 AS many, count(*) FILTER (WHERE state = 'XX000') AS internal FROM outcome;
SELECT state, statement, message FROM outcome WHERE state LIKE 'XX%' ORDER BY 2 LIMIT 20;
SELECT DISTINCT state FROM outcome WHERE state !~ '^(00000|22|42|0A|55)' ORDER BY 1;
SELECT contime.verify(0);
SELECT contime.verify(4294967295);
SELECT contime.verify('plain_id');
SELECT contime.add_source('account', 0);
SELECT contime.add_source(0, 'movement');
SELECT contime.drop_source('durable', 0);
SELECT contime.drop_source(0, 0);
SELECT contime.repair(0);
SELECT contime.repair('movement');
SELECT contime.repair('durable');
SELECT contime.repair('account');
SELECT * FROM contime.at(NULL::checked, now());
SELECT contime.at(NULL::pair, now());
SELECT * FROM contime.at(NULL::int, now());
SELECT contime.source_changed();
SELECT contime.capture();
TRUNCATE outcome;

-- Where functions may be called, and by which roles.
CREATE OPERATOR @@@ (LEFTARG = anyelement, RIGHTARG = timestamptz, FUNCTION = contime.at);
CREATE FUNCTION inlined(account, timestamptz) RETURNS SETOF account LANGUAGE sql STABLE AS 'SELECT * FROM contime.at($1, $2)';
CREATE FUNCTION inlined_any(anyelement, timestamptz) RETURNS SETOF anyelement LANGUAGE sql STABLE AS 'SELECT contime.at($1, $2)';
CREATE FUNCTION since_any(anyelement) RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT contime.since($1, 1, ''infinity'')';
DO $do$
DECLARE
    s text;
BEGIN
    FOREACH s IN ARRAY ARRAY[
        $s$SELECT NULL::account @@@ now()$s$, $s$SELECT NULL::int @@@ now()$s$, $s$SELECT NULL::checked @@@ now()$s$, $s$SELECT ROW(1, 2) @@@ now()$s$,
        $s$SELECT * FROM inlined(NULL, 'infinity')$s$, $s$SELECT inlined(NULL, 'infinity')$s$, $s$SELECT * FROM inlined_any(NULL::account, now())$s$, $s$SELECT inlined_any(1, now())$s$,
        $s$SELECT inlined_any(NULL::checked, now())$s$, $s$SELECT since_any(NULL::account)$s$, $s$SELECT since_any(1)$s$, $s$SELECT since_any(NULL::pair)$s$, $s$SELECT since_any(x) FROM account x$s$,
        $s$SELECT contime.event(a) FROM account a$s$, $s$SELECT contime.event(p) FROM plain p$s$, $s$SELECT contime.event(ROW(p.*)::account) FROM plain p$s$, $s$SELECT contime.event(s::account) FROM seen s$s$,
        $s$SELECT contime.event(jsonb_populate_record(NULL::account, '{"id": 3, "at": "2026-01-01", "v": 1}'))$s$, $s$SELECT contime.event(jsonb_populate_record(NULL::checked, '{"id": 3, "at": "2026-01-01", "v": -1}'))$s$,
        $s$SELECT contime.event(ROW(1, '2026-01-01', 5)::checked)$s$, $s$SELECT contime.event(ROW(1, '2026-01-01', -5)::checked)$s$, $s$SELECT contime.event(x.*) FROM (SELECT 1, now(), 2) x$s$,
        $s$SELECT contime.event(VARIADIC ARRAY[NULL::account])$s$, $s$SELECT contime.at(VARIADIC ARRAY[NULL::account], now())$s$, $s$SELECT contime.event(state => NULL::account)$s$,
        $s$SELECT contime.at(instant => now(), "table" => NULL::account)$s$, $s$SELECT contime.at(instant => now(), key => 1, "table" => NULL::account)$s$, $s$SELECT * FROM contime.series("to" => now(), "from" => now(), step => '1 day', key => 1, "table" => NULL::account)$s$,
        $s$CREATE TABLE c1 (a int CHECK (contime.since(NULL::account, a, now()) IS NULL)); INSERT INTO c1 VALUES (1), (50); DROP TABLE c1$s$,
        $s$CREATE TABLE c2 (a int CHECK (contime.since(NULL::pair, a, now()) IS NULL)); INSERT INTO c2 VALUES (1)$s$, $s$CREATE TABLE c3 (a int DEFAULT contime.at(NULL::account, now()))$s$,
        $s$CREATE TABLE c4 (a timestamptz DEFAULT contime.since(NULL::account, 1, now())); INSERT INTO c4 DEFAULT VALUES; DROP TABLE c4$s$,
        $s$CREATE TABLE c5 (a int, b timestamptz GENERATED ALWAYS AS (contime.since(NULL::account, a, now())) STORED)$s$, $s$CREATE INDEX ON plain (contime.since(NULL::account, id, at))$s$,
        $s$CREATE INDEX ON plain (id) WHERE contime.since(NULL::account, id, at) IS NULL$s$, $s$SELECT id FROM plain GROUP BY id HAVING contime.at(NULL::account, now()) IS NULL$s$,
        $s$SELECT sum((contime.at(NULL::account, now())).v)$s$, $s$SELECT contime.at(NULL::account, now()) FROM plain ORDER BY contime.at(NULL::account, now())$s$, $s$SELECT coalesce(contime.at(NULL::account, now()))$s$,
        $s$SELECT contime.at(contime.at(NULL::account, now()), now())$s$, $s$SELECT contime.since(contime.at(NULL::account, now()), 1, now())$s$, $s$VALUES (contime.at(NULL::account, now()))$s$,
        $s$SELECT * FROM plain WHERE at = contime.since(NULL::account, id, at)$s$, $s$UPDATE plain SET at = contime.since(NULL::account, id, at)$s$, $s$SELECT * FROM plain LIMIT contime.since(NULL::account, 1, now())$s$,
        $s$SELECT * FROM account LIMIT (SELECT count(*) FROM contime.at(NULL::account, now()))$s$, $s$SELECT contime.since(NULL::account, 1, now()) OVER ()$s$, $s$CALL contime.at(NULL::account, now())$s$,
        $s$SELECT contime.at_support(NULL)$s$, $s$SELECT contime.range_support(contime.at_support(NULL))$s$, $s$SELECT contime.fdw_handler()$s$, $s$SELECT contime.fdw_validator(NULL, 0)$s$,
        $s$SELECT contime.fdw_validator('{rule=sum}', 0)$s$, $s$SELECT contime.fdw_validator('{rule}', 'pg_attribute'::regclass)$s$, $s$SELECT contime.fdw_validator('{{a,b},{c,d}}', 1249)$s$, $s$SELECT contime.fdw_validator('{NULL}', 1249)$s$,
        $s$SELECT array_agg(contime.source_changed())$s$, $s$DO $d$ DECLARE r account; BEGIN PERFORM contime.event(r); END $d$$s$, $s$DO $d$ DECLARE r record; BEGIN r := ROW(1, now(), 1); PERFORM contime.event(r); END $d$$s$,
        $s$DO $d$ DECLARE r account := ROW(1, now(), 1); BEGIN ALTER FOREIGN TABLE part ADD COLUMN z int; PERFORM contime.event(r); END $d$$s$,
        $s$DO $d$ DECLARE r part := ROW(1, now(), 1); BEGIN ALTER TABLE parted ALTER COLUMN v TYPE text; PERFORM contime.event(r); END $d$$s$,
        $s$DO $d$ DECLARE r part := ROW(1, now(), 1); BEGIN ALTER TABLE parted DROP COLUMN v; PERFORM contime.event(r); END $d$$s$,
        $s$SELECT * FROM contime.tables t, contime.workers w, contime.at(NULL::account, now()) a$s$, $s$SELECT contime.table_stats()$s$, $s$SELECT (contime.worker_stats()).*$s$, $s$SELECT CASE WHEN true THEN contime.table_stats() END$s$
    ] LOOP
        CALL try(s);
    END LOOP;
END $do$;
SELECT count(*) FILTER (WHERE state LIKE 'XX%') AS internal, count(*) FILTER (WHERE state = '00000') > 15 AS answered FROM outcome;
SELECT statement, message FROM outcome WHERE state LIKE 'XX%' ORDER BY 1;
SELECT DISTINCT state FROM outcome WHERE state !~ '^(00000|22|23|42|0A|55|39)' ORDER BY 1;

-- A row type whose table was dropped.
CREATE FUNCTION gone() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    s text := 'SELECT * FROM contime.at(NULL::vanished, now())';
BEGIN
    CREATE FOREIGN TABLE vanished (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime;
    EXECUTE s;
    DROP FOREIGN TABLE vanished;
    EXECUTE s;
END $$;
SELECT gone();
PREPARE p AS SELECT * FROM contime.at(NULL::twofold, now());
EXECUTE p;
DROP FOREIGN TABLE twofold;
EXECUTE p;
SELECT v, count(*) > 0 AS any FROM account WHERE at = 'infinity' AND id = 2 GROUP BY v;
DROP SCHEMA arguments CASCADE;
DROP FOREIGN DATA WRAPPER other CASCADE;
