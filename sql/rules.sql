-- Rules: every rule on every type that it accepts, compared with folds of the same events in plain SQL.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';

-- A pseudorandom number from 0 to below - 1 that depends on the arguments only.
CREATE FUNCTION pick(n int, salt text, below int) RETURNS int LANGUAGE sql IMMUTABLE AS
$$ SELECT (('x' || substr(md5(n || salt), 1, 7))::bit(28)::int % below) $$;
CREATE PROCEDURE until_frozen() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 600 LOOP
        IF (SELECT coalesce(sum(recent + young), 0) = 0 FROM contime.tables) THEN
            RETURN;
        END IF;
        COMMIT;
        PERFORM pg_sleep(0.05);
    END LOOP;
    RAISE 'events stay young';
END $$;

-- The events of a continuous table t are in an ordinary table t_events beside it: kind 0 is a finish, 1 an event (nul: the columns
-- it makes NULL), 2 a snapshot (cols: of these columns, NULL: of all), v the row. This records them in an order of its own.
CREATE PROCEDURE record(t text, v_type text, ordering text) LANGUAGE plpgsql AS $$
DECLARE
    e record;
BEGIN
    FOR e IN EXECUTE format('SELECT n, kind, nul, cols FROM %I_events ORDER BY %s', v_type, ordering) LOOP
        EXECUTE format(CASE WHEN e.kind = 0 THEN 'SELECT contime.finish(ROW((v).*)::%1$I) FROM %2$I_events WHERE n = %3$s'
            WHEN e.kind = 2 THEN 'SELECT contime.snapshot(ROW((v).*)::%1$I, columns => %5$L) FROM %2$I_events WHERE n = %3$s'
            WHEN e.nul <> '{}' THEN 'SELECT contime.event(ROW((v).*)::%1$I, set_null => %4$L) FROM %2$I_events WHERE n = %3$s'
            ELSE 'INSERT INTO %1$I SELECT (v).* FROM %2$I_events WHERE n = %3$s' END, t, v_type, e.n, e.nul, e.cols);
    END LOOP;
END $$;

-- Complete the events of t: which columns are made NULL, and which a snapshot names. One event of a kind at one instant.
CREATE PROCEDURE complete(t text, VARIADIC columns text[]) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('UPDATE %I_events SET
        nul = ARRAY(SELECT c FROM unnest($1) c WHERE kind = 1 AND to_jsonb(v) ->> c IS NULL AND pick(n, ''nul'' || c, 9) = 0),
        cols = CASE WHEN kind = 2 AND pick(n, ''partial'', 2) = 0 THEN
            (SELECT array_agg(c) FROM unnest($1) c WHERE pick(n, ''cols'' || c, 2) = 0) END', t) USING columns;
END $$;

-- The effect of an event on a column: set to NULL, unchanged, or `then` by its rule; a snapshot sets the column.
CREATE FUNCTION does(kind int, nul name[], cols name[], c name, old anyelement, new anyelement, "then" anyelement) RETURNS anyelement
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN kind = 2 THEN CASE WHEN cols IS NULL OR c = ANY(cols) THEN new ELSE old END
        WHEN c = ANY(nul) THEN NULL WHEN new IS NULL THEN old ELSE "then" END $$;

-- ---- sum, min, max ------------------------------------------------------------------------

CREATE FOREIGN TABLE gauge (
    id int            OPTIONS (key 'true'),
    at timestamptz    OPTIONS (time 'true'),
    a  float8         OPTIONS (rule 'sum', scale '2'),
    b  real           OPTIONS (rule 'sum', scale '1', lower '-5', upper '20.5', initial '0.3'),
    c  float8         OPTIONS (rule 'min', scale '3', initial '7.5'),
    d  real           OPTIONS (rule 'max', scale '2'),
    e  float8         OPTIONS (scale '1', initial '-0.05'),
    f  interval       OPTIONS (rule 'sum'),
    g  interval       OPTIONS (rule 'sum', initial '1 month -2 days 03:04:05.000006'),
    h  date           OPTIONS (rule 'min'),
    i  date           OPTIONS (rule 'max', initial '2020-02-29'),
    j  timestamp      OPTIONS (rule 'min', initial '2020-02-29 12:00'),
    k  timestamptz    OPTIONS (rule 'max'),
    l  text           OPTIONS (rule 'min') COLLATE "C",
    m  varchar(5)     OPTIONS (rule 'max', initial 'M') COLLATE "POSIX",
    o  numeric(36,18) OPTIONS (rule 'sum', lower '-10000000000000000', initial '0.5'),
    p  bigint         OPTIONS (rule 'sum', upper '10')
) SERVER contime;
CREATE TABLE gauge_events (n int PRIMARY KEY, kind int, nul name[], cols name[], v gauge);
INSERT INTO gauge_events (n, kind, v)
    SELECT DISTINCT ON (r.id, r.at, kind) n, kind, ROW(r.*)::gauge
    FROM generate_series(1, 400) n,
    LATERAL (SELECT CASE WHEN pick(n, 'kind', 20) = 0 THEN 0 WHEN pick(n, 'kind', 20) < 4 THEN 2 ELSE 1 END AS kind) k,
    LATERAL (SELECT pick(n, 'id', 3) AS id, timestamptz '2020-01-01' + pick(n, 'at', 120) * interval '1 hour' AS at,
        CASE WHEN pick(n, 'a?', 2) = 0 THEN (pick(n, 'a', 20001) - 10000) / 1000.0 END AS a,
        CASE WHEN pick(n, 'b?', 2) = 0 THEN pick(n, 'b', 255) / 10.0 - 5 END AS b,
        CASE WHEN pick(n, 'c?', 3) = 0 THEN (pick(n, 'c', 200001) - 100000) / 10000.0 END AS c,
        CASE WHEN pick(n, 'd?', 3) = 0 THEN (pick(n, 'd', 20001) - 10000) / 1000.0 END AS d,
        CASE WHEN pick(n, 'e?', 3) = 0 THEN (pick(n, 'e', 2001) - 1000) / 100.0 END AS e,
        CASE WHEN pick(n, 'f?', 2) = 0 THEN make_interval(0, pick(n, 'fm', 5) - 2, 0, pick(n, 'fd', 50) - 25, 0, 0, pick(n, 'fs', 200001) / 1000.0 - 100) END AS f,
        CASE WHEN pick(n, 'g?', 2) = 0 THEN make_interval(0, pick(n, 'gm', 5) - 2, 0, pick(n, 'gd', 50) - 25) END AS g,
        CASE WHEN pick(n, 'h?', 3) = 0 THEN date '2020-01-01' + pick(n, 'h', 100) - 50 END AS h,
        CASE WHEN pick(n, 'i?', 3) = 0 THEN date '2020-01-01' + pick(n, 'i', 200) - 50 END AS i,
        CASE WHEN pick(n, 'j?', 3) = 0 THEN timestamp '2020-01-01' + pick(n, 'j', 3000) * interval '1 hour' END AS j,
        CASE WHEN pick(n, 'k?', 3) = 0 THEN timestamptz '1999-01-01' + pick(n, 'k', 30000) * interval '1 hour' END AS k,
        CASE WHEN pick(n, 'l?', 3) = 0 THEN (ARRAY['', 'a', 'B', 'b', 'ä', 'zebra', 'Zebra', repeat('y', 3000)])[1 + pick(n, 'l', 8)] END AS l,
        CASE WHEN pick(n, 'm?', 3) = 0 THEN (ARRAY['', 'a', 'B', 'ab', 'ö', 'Zebra'])[1 + pick(n, 'm', 6)] END AS m,
        CASE WHEN pick(n, 'o?', 2) = 0 THEN (pick(n, 'o', 2001) - 1000) * 9876543219876.321987654321987654 END AS o,
        CASE WHEN pick(n, 'p?', 2) = 0 THEN pick(n, 'p', 15) - 5 END AS p) r
    WHERE kind <> 2 OR (coalesce(r.o >= -10000000000000000, true) AND coalesce(r.p <= 10, true))
    ORDER BY r.id, r.at, kind, n;
CALL complete('gauge', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'o', 'p');
SELECT count(*) > 200 AS many, count(*) FILTER (WHERE kind = 0) > 5 AS finishes, count(*) FILTER (WHERE cols IS NOT NULL) > 5 AS partial,
    count(*) FILTER (WHERE nul <> '{}') > 20 AS set_null FROM gauge_events;
CALL record('gauge', 'gauge', 'md5(n::text)');

-- The reference: the row of a key at an instant.
CREATE FUNCTION gauge_at(key int, instant timestamptz) RETURNS SETOF gauge LANGUAGE plpgsql AS $$
DECLARE
    x gauge;
    v gauge;
    r record;
BEGIN
    FOR r IN SELECT * FROM gauge_events WHERE (gauge_events.v).id = key AND (gauge_events.v).at <= instant ORDER BY (gauge_events.v).at, kind LOOP
        IF r.kind = 0 THEN
            x := NULL;
            CONTINUE;
        ELSIF x.id IS NULL THEN
            x := ROW(key, instant, NULL, 0.3, 7.5, NULL, -0.1, NULL, '1 month -2 days 03:04:05.000006', NULL, '2020-02-29', '2020-02-29 12:00', NULL, NULL, 'M', 0.5, NULL)::gauge;
        END IF;
        v := r.v;
        v.a := round(v.a::numeric, 2);
        v.b := round(v.b::numeric, 1);
        v.c := round(v.c::numeric, 3);
        v.d := round(v.d::numeric, 2);
        v.e := round(v.e::numeric, 1);
        x.a := does(r.kind, r.nul, r.cols, 'a', x.a, v.a, (coalesce(x.a, 0)::numeric + v.a::numeric)::float8);
        x.b := does(r.kind, r.nul, r.cols, 'b', x.b, v.b, least(greatest(coalesce(x.b, 0.3)::numeric + v.b::numeric, -5), 20.5)::real);
        x.c := does(r.kind, r.nul, r.cols, 'c', x.c, v.c, least(coalesce(x.c, 7.5), v.c));
        x.d := does(r.kind, r.nul, r.cols, 'd', x.d, v.d, greatest(x.d, v.d));
        x.e := does(r.kind, r.nul, r.cols, 'e', x.e, v.e, v.e);
        x.f := does(r.kind, r.nul, r.cols, 'f', x.f, v.f, coalesce(x.f, '0') + v.f);
        x.g := does(r.kind, r.nul, r.cols, 'g', x.g, v.g, coalesce(x.g, '1 month -2 days 03:04:05.000006') + v.g);
        x.h := does(r.kind, r.nul, r.cols, 'h', x.h, v.h, least(x.h, v.h));
        x.i := does(r.kind, r.nul, r.cols, 'i', x.i, v.i, greatest(coalesce(x.i, '2020-02-29'), v.i));
        x.j := does(r.kind, r.nul, r.cols, 'j', x.j, v.j, least(coalesce(x.j, '2020-02-29 12:00'), v.j));
        x.k := does(r.kind, r.nul, r.cols, 'k', x.k, v.k, greatest(x.k, v.k));
        x.l := does(r.kind, r.nul, r.cols, 'l', x.l::text, v.l::text, least(x.l COLLATE "C", v.l COLLATE "C"));
        x.m := does(r.kind, r.nul, r.cols, 'm', x.m::text, v.m::text, greatest(coalesce(x.m, 'M')::text COLLATE "C", v.m COLLATE "C"));
        x.o := does(r.kind, r.nul, r.cols, 'o', x.o, v.o, greatest(coalesce(x.o, 0.5) + v.o, -10000000000000000));
        x.p := does(r.kind, r.nul, r.cols, 'p', x.p, v.p, least(coalesce(x.p, 0) + v.p, 10));
    END LOOP;
    IF x.id IS NOT NULL THEN
        RETURN NEXT x;
    END IF;
END $$;
CREATE TABLE gauge_instants AS
    SELECT t FROM generate_series(timestamptz '2019-12-31 12:00', '2020-01-07', '2 hours 30 minutes') t;
CREATE TABLE gauge_wanted AS SELECT w.* FROM gauge_instants, generate_series(0, 2) key, gauge_at(key, t) w;
CREATE VIEW gauge_differences AS
    SELECT wanted::text AS wanted, got::text AS got FROM gauge_wanted wanted
    FULL JOIN (SELECT g.* FROM gauge_instants JOIN gauge g ON g.at = t) got ON got.id = wanted.id AND got.at = wanted.at
    WHERE wanted::text IS DISTINCT FROM got::text;
SELECT count(*) FROM gauge_differences;
-- the same when all events have entered
CALL until_frozen();
SELECT count(*) FROM gauge_differences;
-- and with the events in another order
TRUNCATE gauge;
BEGIN;
CALL record('gauge', 'gauge', 'md5(''again'' || n)');
SELECT count(*) FROM gauge_differences;
COMMIT;
CALL until_frozen();
SELECT count(*) FROM gauge_differences;
SELECT count(*) > 100 AS many FROM gauge_wanted;

-- Floats: the scale says how many decimal digits are kept; a float is converted to the shortest decimal that represents it.
CREATE FOREIGN TABLE floats (
    id int         OPTIONS (key 'true'),
    at timestamptz OPTIONS (time 'true'),
    r  real        OPTIONS (rule 'sum', scale '3'),
    d0 float8      OPTIONS (rule 'sum', scale '0'),
    d2 float8      OPTIONS (rule 'sum', scale '2'),
    d15 float8     OPTIONS (rule 'max', scale '15')
) SERVER contime;
INSERT INTO floats SELECT 1, timestamptz '2020-01-01' + i * interval '1 second', 0.1, 0.5, 0.1, 0.1 FROM generate_series(1, 10) i;
SELECT r, d0, d2, d15 FROM floats WHERE id = 1 AND at = '2020-01-02';
SELECT sum(0.1::float8) AS plain FROM generate_series(1, 10);
INSERT INTO floats VALUES (2, '2020-01-01', -0.0005, -0.5, -1.005, -0.000000000000001), (2, '2020-01-02', -0.0004999, -0.49, -0.0049, 1e-300),
    (2, '2020-01-03', '-0', '-0', '-0', '-0'), (2, '2020-01-04', 123456.789, 123456789012345678, 1234567890123456, 999.999999999999);
SELECT at, r, d0, d2, d15 FROM floats WHERE id = 2 AND at IN ('2020-01-01', '2020-01-02', '2020-01-03', '2020-01-04') ORDER BY at;
-- every double with at most so many digits is returned as it was written
SELECT contime.snapshot(ROW(3, timestamptz '2020-01-01' + i * interval '1 second', i / 1000.0, i * 1e12, i / 100.0, i / 1000.0)::floats) IS NULL AS "void"
    FROM generate_series(-500, 500, 7) i LIMIT 1 OFFSET 142;
SELECT count(*) FROM generate_series(-500, 500, 7) i
    JOIN floats f ON f.id = 3 AND f.at = timestamptz '2020-01-01' + i * interval '1 second'
    WHERE (f.r, f.d0, f.d2, f.d15) IS DISTINCT FROM ((i / 1000.0)::real, i * 1e12::float8, (i / 100.0)::float8, (i / 1000.0)::float8);
-- sums beyond 18 digits
INSERT INTO floats (id, at, d0, d2) SELECT 4, timestamptz '2020-01-01' + i * interval '1 second', 999999999999999900, 9999999999999998 FROM generate_series(1, 1000) i;
SELECT d0, d2 FROM floats WHERE id = 4 AND at = '2020-01-02';
-- copies are recognised by the value that is kept
CREATE FOREIGN TABLE copies (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v float8 OPTIONS (rule 'sum', scale '1'), e int OPTIONS (event_id 'true')) SERVER contime;
INSERT INTO copies VALUES (1, '2020-01-01', 0.11, 1), (1, '2020-01-01', 0.1, 1), (1, '2020-01-01', 0.14, 1);
SELECT v FROM copies WHERE at = '2020-01-01';
INSERT INTO copies VALUES (1, '2020-01-02', -0.04, 2), (1, '2020-01-02', 0.04, 2), (1, '2020-01-02', '-0', 2);
CALL until_frozen();
SELECT duplicates, conflicts FROM contime.tables WHERE "table" = 'copies'::regclass;
-- a value that does not fit is refused when it is written
INSERT INTO floats (id, at, d0) VALUES (5, '2020-01-01', 1e18);
\echo :SQLSTATE
INSERT INTO floats (id, at, d2) VALUES (5, '2020-01-01', -9999999999999999.99);
\echo :SQLSTATE
INSERT INTO floats (id, at, d15) VALUES (5, '2020-01-01', 1000);
\echo :SQLSTATE
INSERT INTO floats (id, at, r) VALUES (5, '2020-01-01', 'NaN');
\echo :SQLSTATE
INSERT INTO floats (id, at, d2) VALUES (5, '2020-01-01', '-Infinity');
\echo :SQLSTATE
INSERT INTO floats (id, at, d15) VALUES (5, '2020-01-01', 'Infinity');
\echo :SQLSTATE
INSERT INTO gauge (id, at, e) VALUES (5, '2020-01-01', 'NaN');
\echo :SQLSTATE
SELECT contime.snapshot(ROW(5, '2020-01-01', NULL, NULL, 1e17, NULL)::floats);
\echo :SQLSTATE
SELECT contime.snapshot(jsonb_populate_record(NULL::gauge, '{"id": 5, "at": "2020-01-01", "b": 20.51}'), columns => '{b}') IS NOT NULL AS rounded;
SELECT contime.snapshot(jsonb_populate_record(NULL::gauge, '{"id": 5, "at": "2020-01-01", "b": 20.6}'), columns => '{b}');
\echo :SQLSTATE
SELECT b FROM gauge WHERE id = 5 AND at = '2020-01-01';
SELECT count(*) FROM floats WHERE id = 5 AND at = 'infinity';

-- Intervals: months, days and microseconds are added apart, each within its range.
CREATE FOREIGN TABLE spans (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), v interval OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO spans VALUES (1, 1, '1 month'), (1, 2, '30 days'), (1, 3, '-24 hours'), (1, 4, '1 day'), (1, 5, '-1 month -31 days 24:00');
SELECT tick, v FROM spans WHERE id = 1 AND tick IN (1, 2, 3, 4, 5) ORDER BY tick;
SELECT during, (state).v FROM contime.history_tick(NULL::spans, 1, 0, 10);
INSERT INTO spans VALUES (2, 1, '178956970 years 7 months'), (2, 2, '1 month'), (2, 3, '-1 month'), (3, 1, '-2147483648 days'), (3, 2, '-1 day'), (4, 1, '2562047788:00:54.775807'), (4, 2, '00:00:00.000001');
SELECT v FROM spans WHERE id = 2 AND tick = 1;
SELECT v FROM spans WHERE id = 2 AND tick = 2;
\echo :SQLSTATE
SELECT v FROM spans WHERE id = 2 AND tick = 3;
SELECT v FROM spans WHERE id = 3 AND tick = 1;
SELECT v FROM spans WHERE id = 3 AND tick = 2;
\echo :SQLSTATE
SELECT v FROM spans WHERE id = 4 AND tick = 2;
\echo :SQLSTATE

-- Infinite dates and times are the least and the greatest.
INSERT INTO gauge (id, at, h, i, j, k) VALUES (6, '2020-01-01', 'infinity', '-infinity', 'infinity', '-infinity'), (6, '2020-01-02', '5874897-12-31', '4713-01-01 BC', '294276-12-31 23:59:59.999999', '4713-01-01 BC'),
    (6, '2020-01-03', '-infinity', 'infinity', '-infinity', 'infinity'), (6, '2020-01-04', '4713-01-01 BC', '5874897-12-31', '4713-01-01 BC', '294276-12-31 23:59:59.999999');
SELECT at, h, i, j, k FROM gauge WHERE id = 6 AND at IN ('2020-01-01', '2020-01-02', '2020-01-03', '2020-01-04') ORDER BY at;

-- ---- interpolate ---------------------------------------------------------------------------

CREATE FOREIGN TABLE probe (
    id int            OPTIONS (key 'true'),
    at timestamptz    OPTIONS (time 'true'),
    a  int            OPTIONS (interpolate 'linear'),
    b  numeric(36,10) OPTIONS (interpolate 'linear', initial '0.5'),
    c  float8         OPTIONS (interpolate 'linear', scale '3', initial '-1.5'),
    d  real           OPTIONS (rule 'last', interpolate 'linear', scale '1'),
    e  numeric        OPTIONS (interpolate 'step'),
    f  text
) SERVER contime;
CREATE TABLE probe_events (n int PRIMARY KEY, kind int, nul name[], cols name[], v probe);
INSERT INTO probe_events (n, kind, v)
    SELECT DISTINCT ON (r.id, r.at, kind) n, kind, ROW(r.*)::probe
    FROM generate_series(1, 300) n,
    LATERAL (SELECT CASE WHEN pick(n, 'kind', 20) = 0 THEN 0 WHEN pick(n, 'kind', 20) < 4 THEN 2 ELSE 1 END AS kind) k,
    LATERAL (SELECT pick(n, 'id', 3) AS id, timestamptz '2020-01-01' + pick(n, 'at', 100) * interval '1 hour' + pick(n, 'us', 2) * interval '1 microsecond' AS at,
        CASE WHEN pick(n, 'a?', 3) = 0 THEN pick(n, 'a', 21) - 10 END AS a,
        CASE WHEN pick(n, 'b?', 3) = 0 THEN (pick(n, 'b', 2001) - 1000) * 98765432109876543210987.6543210987 END AS b,
        CASE WHEN pick(n, 'c?', 3) = 0 THEN (pick(n, 'c', 200001) - 100000) / 10000.0 END AS c,
        CASE WHEN pick(n, 'd?', 3) = 0 THEN (pick(n, 'd', 2001) - 1000) / 100.0 END AS d,
        CASE WHEN pick(n, 'e?', 3) = 0 THEN pick(n, 'e', 10) END AS e,
        CASE WHEN pick(n, 'f?', 3) = 0 THEN 'f' || pick(n, 'f', 10) END AS f) r
    ORDER BY r.id, r.at, kind, n;
CALL complete('probe', 'a', 'b', 'c', 'd', 'e', 'f');
CALL record('probe', 'probe', 'md5(n::text)');

-- Exactly (a * (whole - part) + b * part) / whole, rounded half away from zero to a scale.
CREATE FUNCTION between_(a numeric, b numeric, part numeric, whole numeric, scale int) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT sign(n) * div(2 * abs(n) + whole, 2 * whole) * ('1e-' || scale)::numeric
    FROM trunc((a * (whole - part) + b * part) * ('1e' || scale)::numeric) n $$;
CREATE FUNCTION microseconds(timestamptz) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT trunc(extract(epoch FROM $1) * 1000000) $$;
CREATE FUNCTION touches(e probe_events, c name) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE e.kind WHEN 0 THEN true WHEN 1 THEN c = ANY(e.nul) OR to_jsonb(e.v) ->> c IS NOT NULL ELSE e.cols IS NULL OR c = ANY(e.cols) END $$;
-- A column's value: between those of the event that set it last and the next one that sets it; a finish and a NULL hold it.
CREATE FUNCTION probe_value(key int, instant timestamptz, c name, scale int, initial numeric) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    e probe_events;
    a numeric;
    b numeric;
    since timestamptz;
BEGIN
    SELECT * INTO e FROM probe_events p WHERE (v).id = key AND (v).at <= instant AND touches(p, c) ORDER BY (v).at DESC, kind DESC LIMIT 1;
    IF NOT FOUND OR e.kind = 0 THEN
        RETURN initial;
    END IF;
    a := round((to_jsonb(e.v) ->> c)::numeric, scale);
    since := (e.v).at;
    SELECT * INTO e FROM probe_events p WHERE (v).id = key AND (v).at > instant AND touches(p, c) ORDER BY (v).at, kind LIMIT 1;
    b := round((to_jsonb(e.v) ->> c)::numeric, scale);
    IF NOT FOUND OR e.kind = 0 OR b IS NULL THEN
        RETURN a;
    END IF;
    RETURN between_(a, b, microseconds(instant) - microseconds(since), microseconds((e.v).at) - microseconds(since), scale);
END $$;
CREATE FUNCTION probe_at(key int, instant timestamptz) RETURNS SETOF probe LANGUAGE sql AS $$
    SELECT key, instant, probe_value(key, instant, 'a', 0, NULL)::int, probe_value(key, instant, 'b', 10, 0.5)::numeric(36,10), probe_value(key, instant, 'c', 3, -1.5)::float8,
        probe_value(key, instant, 'd', 1, NULL)::real,
        (SELECT CASE WHEN kind > 0 THEN (v).e END FROM probe_events p WHERE (v).id = key AND (v).at <= instant AND touches(p, 'e') ORDER BY (v).at DESC, kind DESC LIMIT 1),
        (SELECT CASE WHEN kind > 0 THEN (v).f END FROM probe_events p WHERE (v).id = key AND (v).at <= instant AND touches(p, 'f') ORDER BY (v).at DESC, kind DESC LIMIT 1)
    FROM (SELECT kind FROM probe_events WHERE (v).id = key AND (v).at <= instant ORDER BY (v).at DESC, kind DESC LIMIT 1) last WHERE kind <> 0 $$;
CREATE TABLE probe_instants AS
    SELECT generate_series(timestamptz '2019-12-31 23:00', '2020-01-05 12:00', '47 minutes 11.000007 seconds') AS t UNION SELECT DISTINCT (v).at FROM probe_events;
CREATE TABLE probe_wanted AS SELECT w.* FROM probe_instants, generate_series(0, 2) key, probe_at(key, t) w;
CREATE VIEW probe_differences AS
    SELECT wanted::text AS wanted, got::text AS got FROM probe_wanted wanted
    FULL JOIN (SELECT p.* FROM probe_instants JOIN probe p ON p.at = t) got ON got.id = wanted.id AND got.at = wanted.at
    WHERE wanted::text IS DISTINCT FROM got::text;
SELECT count(*) FROM probe_differences;
CALL until_frozen();
SELECT count(*) FROM probe_differences;
TRUNCATE probe;
BEGIN;
CALL record('probe', 'probe', 'md5(''again'' || n)');
SELECT count(*) FROM probe_differences;
COMMIT;
CALL until_frozen();
SELECT count(*) FROM probe_differences;
SELECT count(*) > 200 AS many FROM probe_wanted;

-- By hand: half away from zero; a NULL and a finish hold the value; an event that does not set the column is on the line.
CREATE FOREIGN TABLE ramp (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), v int OPTIONS (interpolate 'linear'), w numeric(4,1) OPTIONS (interpolate 'linear', initial '7'), note text) SERVER contime;
INSERT INTO ramp VALUES (1, 0, 0, 0), (1, 4, 2, -2), (1, 8, 0, NULL);
INSERT INTO ramp VALUES (1, 6, NULL, 0, 'seen');
SELECT tick, v, w FROM ramp WHERE id = 1 AND tick = ANY (ARRAY(SELECT generate_series(-1, 9))) ORDER BY tick;
SELECT during, (state).v, (state).w FROM contime.history_tick(NULL::ramp, 1, 1, 100);
INSERT INTO ramp VALUES (2, 0, 0), (2, 10, 10);
SELECT contime.event(ROW(2, 20, NULL, NULL, NULL)::ramp, set_null => '{v}');
INSERT INTO ramp VALUES (2, 30, 30);
SELECT contime.finish(ROW(2, 40, NULL, NULL, NULL)::ramp);
INSERT INTO ramp VALUES (2, 50, NULL, NULL, 'a new life');
INSERT INTO ramp VALUES (2, 60, 60), (2, 70, 70);
SELECT tick, v, w, note FROM ramp WHERE id = 2 AND tick = ANY (ARRAY(SELECT generate_series(5, 75, 5))) ORDER BY tick;
-- a late event changes the line on both sides, and its rollback restores it
BEGIN;
INSERT INTO ramp VALUES (1, 2, 10);
SELECT tick, v FROM ramp WHERE id = 1 AND tick IN (1, 2, 3) ORDER BY tick;
ROLLBACK;
SELECT tick, v FROM ramp WHERE id = 1 AND tick IN (1, 2, 3) ORDER BY tick;
-- a snapshot of other columns does not set it; one that names it does
SELECT contime.snapshot(ROW(1, 5, NULL, 4, NULL)::ramp, columns => '{w}');
SELECT contime.snapshot(ROW(1, 7, 9, NULL, NULL)::ramp, columns => '{v}');
SELECT tick, v, w FROM ramp WHERE id = 1 AND tick IN (4, 5, 6, 7, 8) ORDER BY tick;
-- if two events set the column at one instant, the line before ends at the first one, and the line after begins at the last one
INSERT INTO ramp VALUES (3, 0, 0), (3, 10, 10);
SELECT contime.snapshot(ROW(3, 10, 20, NULL, NULL)::ramp);
INSERT INTO ramp VALUES (3, 20, 0);
SELECT tick, v FROM ramp WHERE id = 3 AND tick IN (5, 10, 15) ORDER BY tick;
-- the ends of the clock
INSERT INTO ramp VALUES (4, -9223372036854775808, -2147483648, -999.9), (4, 9223372036854775807, 2147483647, 999.9);
SELECT tick, v, w FROM ramp WHERE id = 4 AND tick IN (-9223372036854775808, -9223372036854775807, -1, 0, 4611686018427387904, 9223372036854775806, 9223372036854775807) ORDER BY tick;
-- "now" does not look ahead; a named instant does
INSERT INTO probe (id, at, a, e) VALUES (9, now() - interval '1 hour', 0, 1), (9, now() + interval '1 hour', 1000, 2);
SELECT a, e FROM probe WHERE id = 9;
SELECT a BETWEEN 490 AND 510 AS on_the_line, e FROM probe WHERE id = 9 AND at = now();
SELECT a, e FROM probe WHERE id = 9 AND at = 'infinity';
INSERT INTO probe (id, at, a) VALUES (9, now() - interval '1 minute', 7);
SELECT a FROM probe WHERE id = 9;

-- ---- rate -----------------------------------------------------------------------------------

CREATE FOREIGN TABLE ship (
    id int           OPTIONS (key 'true'),
    at timestamptz   OPTIONS (time 'true'),
    vx numeric(8,3),
    x  numeric(12,2) OPTIONS (rate 'vx'),
    y  float8        OPTIONS (rule 'sum', scale '2', rate 'vy', initial '10'),
    vy real          OPTIONS (rule 'sum', scale '4', initial '0.5'),
    z  bigint        OPTIONS (rule 'last', rate 'vy'),
    name text
) SERVER contime;
CREATE TABLE ship_events (n int PRIMARY KEY, kind int, nul name[], cols name[], v ship);
INSERT INTO ship_events (n, kind, v)
    SELECT DISTINCT ON (r.id, r.at, kind) n, kind, ROW(r.*)::ship
    FROM generate_series(1, 300) n,
    LATERAL (SELECT CASE WHEN pick(n, 'kind', 20) = 0 THEN 0 WHEN pick(n, 'kind', 20) < 4 THEN 2 ELSE 1 END AS kind) k,
    LATERAL (SELECT pick(n, 'id', 3) AS id, timestamptz '2020-01-01' + pick(n, 'at', 100) * interval '10 minutes' + pick(n, 'us', 2) * interval '1 microsecond' AS at,
        CASE WHEN pick(n, 'vx?', 3) = 0 THEN (pick(n, 'vx', 20001) - 10000) / 1000.0 END AS vx,
        CASE WHEN pick(n, 'x?', 3) = 0 THEN (pick(n, 'x', 20001) - 10000) / 100.0 END AS x,
        CASE WHEN pick(n, 'y?', 3) = 0 THEN (pick(n, 'y', 20001) - 10000) / 1000.0 END AS y,
        CASE WHEN pick(n, 'vy?', 3) = 0 THEN (pick(n, 'vy', 20001) - 10000) / 100000.0 END AS vy,
        CASE WHEN pick(n, 'z?', 3) = 0 THEN pick(n, 'z', 21) - 10 END AS z,
        CASE WHEN pick(n, 'name?', 3) = 0 THEN 'name ' || pick(n, 'name', 10) END AS name) r
    ORDER BY r.id, r.at, kind, n;
CALL complete('ship', 'vx', 'x', 'y', 'vy', 'z', 'name');
CALL record('ship', 'ship', 'md5(n::text)');

-- The reference moves exactly, from event to event, and rounds its result. NULL stays NULL, and a rate of NULL counts as 0.
CREATE FUNCTION ship_at(key int, instant timestamptz) RETURNS SETOF ship LANGUAGE plpgsql AS $$
DECLARE
    s ship;
    v ship;
    x numeric;
    y numeric;
    z numeric;
    vy numeric;
    dt numeric;
    r record;
BEGIN
    FOR r IN SELECT e.* FROM (SELECT * FROM ship_events UNION ALL SELECT NULL, 3, '{}', '{}', ROW(key, instant, NULL, NULL, NULL, NULL, NULL, NULL)::ship) e
        WHERE (e.v).id = key AND (e.v).at <= instant ORDER BY (e.v).at, kind LOOP
        v := r.v;
        dt := (microseconds(v.at) - microseconds(s.at)) * 0.000001;
        x := x + coalesce(s.vx * dt, 0);
        y := y + coalesce(vy * dt, 0);
        z := z + coalesce(vy * dt, 0);
        s.at := v.at;
        IF r.kind = 3 AND s.id IS NOT NULL THEN
            s.x := round(x, 2);
            s.y := round(y, 2);
            s.vy := vy;
            s.z := round(z);
            RETURN NEXT s;
        END IF;
        IF r.kind = 0 THEN
            s := NULL;
            CONTINUE;
        ELSIF s.id IS NULL THEN
            s := ROW(key, v.at, NULL, NULL, NULL, NULL, NULL, NULL)::ship;
            x := NULL; y := 10; z := NULL; vy := 0.5;
        END IF;
        v.y := round(v.y::numeric, 2);
        v.vy := round(v.vy::numeric, 4);
        s.vx := does(r.kind, r.nul, r.cols, 'vx', s.vx, v.vx, v.vx);
        x := does(r.kind, r.nul, r.cols, 'x', x, v.x, v.x);
        y := does(r.kind, r.nul, r.cols, 'y', y, v.y::numeric, coalesce(y, 10) + v.y::numeric);
        vy := does(r.kind, r.nul, r.cols, 'vy', vy, v.vy::numeric, coalesce(vy, 0.5) + v.vy::numeric);
        z := does(r.kind, r.nul, r.cols, 'z', z, v.z::numeric, v.z::numeric);
        s.name := does(r.kind, r.nul, r.cols, 'name', s.name, v.name, v.name);
    END LOOP;
END $$;
CREATE TABLE ship_instants AS
    SELECT generate_series(timestamptz '2019-12-31 23:50', '2020-01-01 18:00', '17 minutes 11.000007 seconds') AS t UNION SELECT DISTINCT (v).at FROM ship_events;
CREATE TABLE ship_wanted AS SELECT w.* FROM ship_instants, generate_series(0, 2) key, ship_at(key, t) w;
CREATE VIEW ship_differences AS
    SELECT wanted::text AS wanted, got::text AS got FROM ship_wanted wanted
    FULL JOIN (SELECT s.* FROM ship_instants JOIN ship s ON s.at = t) got ON got.id = wanted.id AND got.at = wanted.at
    WHERE wanted::text IS DISTINCT FROM got::text;
SELECT count(*) FROM ship_differences;
CALL until_frozen();
SELECT count(*) FROM ship_differences;
TRUNCATE ship;
BEGIN;
CALL record('ship', 'ship', 'md5(''again'' || n)');
SELECT count(*) FROM ship_differences;
COMMIT;
CALL until_frozen();
SELECT count(*) FROM ship_differences;
SELECT count(*) > 200 AS many FROM ship_wanted;

-- By hand, in ticks: the position is set, increased, constant, NULL, and ended by a finish.
CREATE FOREIGN TABLE frame (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), x int OPTIONS (rule 'sum', rate 'vx'), vx numeric(6,2) OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO frame VALUES (1, 0, 0, 0.25), (1, 10, 100, NULL), (1, 20, NULL, -0.5);
SELECT tick, x, vx FROM frame WHERE id = 1 AND tick = ANY (ARRAY(SELECT generate_series(-1, 24))) ORDER BY tick;
SELECT contime.snapshot(ROW(1, 30, 7, NULL)::frame, columns => '{x}');
SELECT contime.event(ROW(1, 40, NULL, NULL)::frame, set_null => '{vx}');
SELECT contime.event(ROW(1, 50, NULL, 1)::frame, set_null => '{x}');
INSERT INTO frame VALUES (1, 60, 1, NULL);
SELECT contime.finish(ROW(1, 70, NULL, NULL)::frame);
INSERT INTO frame VALUES (1, 80, 3, NULL);
SELECT tick, x, vx FROM frame WHERE id = 1 AND tick = ANY (ARRAY(SELECT generate_series(25, 85, 5))) ORDER BY tick;
-- without a condition the newest tick is read; at infinity the column has its value at the last event
INSERT INTO frame VALUES (2, 0, 5, 2), (2, 10, NULL, 1);
SELECT id, tick, x, vx FROM frame ORDER BY id;
SELECT id, x FROM frame ORDER BY id;
SELECT x FROM frame WHERE id = 2 AND tick = 9223372036854775807;
-- outside the range of its type: an error when it is read there
SELECT x FROM frame WHERE id = 2 AND tick = 715827884;
SELECT x FROM frame WHERE id = 2 AND tick = 2147483647;
\echo :SQLSTATE
-- a late change of the rate changes all later positions; rolled back, none
BEGIN;
INSERT INTO frame VALUES (2, 5, NULL, 10);
SELECT tick, x FROM frame WHERE id = 2 AND tick IN (5, 10, 20) ORDER BY tick;
ROLLBACK;
SELECT tick, x FROM frame WHERE id = 2 AND tick IN (5, 10, 20) ORDER BY tick;
SELECT during, (state).x, (state).vx FROM contime.history_tick(NULL::frame, 2, 3, 20);
SELECT t.n, f.x FROM (VALUES (1, 4), (2, 8), (3, 12)) t(n, tick) JOIN frame f ON f.id = 2 AND f.tick = t.tick ORDER BY n;
-- rates and columns with a rate refuse values that cannot be computed with
INSERT INTO ship (id, at, vx) VALUES (5, '2020-01-01', 'NaN');
\echo :SQLSTATE
INSERT INTO ship (id, at, x) VALUES (5, '2020-01-01', 'NaN');
\echo :SQLSTATE
INSERT INTO ship (id, at, vy) VALUES (5, '2020-01-01', 'Infinity');
\echo :SQLSTATE
INSERT INTO probe (id, at, b) VALUES (5, '2020-01-01', 'NaN');
\echo :SQLSTATE
INSERT INTO probe (id, at, c) VALUES (5, '2020-01-01', '-Infinity');
\echo :SQLSTATE

-- ---- what is refused ---------------------------------------------------------------------------

-- The columns that all these definitions have.
\set bad 'CREATE FOREIGN TABLE bad (id int OPTIONS (key \'true\'), at timestamptz OPTIONS (time \'true\'), '
\set end ') SERVER contime'
-- scale: of floats, 0 to 15
:bad v float8 OPTIONS (rule 'sum') :end;
\echo :SQLSTATE
:bad v real OPTIONS (rule 'min') :end;
\echo :SQLSTATE
:bad v real OPTIONS (rule 'sum', scale '16') :end;
\echo :SQLSTATE
:bad v real OPTIONS (rule 'sum', scale '-1') :end;
\echo :SQLSTATE
:bad v real OPTIONS (rule 'sum', scale 'two') :end;
\echo :SQLSTATE
:bad v real OPTIONS (rule 'sum', scale '') :end;
\echo :SQLSTATE
:bad v numeric(10,2) OPTIONS (rule 'sum', scale '2') :end;
\echo :SQLSTATE
:bad v int OPTIONS (scale '2') :end;
\echo :SQLSTATE
:bad v float8 OPTIONS (rule 'sum', scale '2', initial 'NaN') :end;
\echo :SQLSTATE
:bad v float8 OPTIONS (rule 'sum', scale '2', initial '1e17') :end;
\echo :SQLSTATE
:bad v float8 OPTIONS (rule 'sum', scale '2', upper 'Infinity') :end;
\echo :SQLSTATE
:bad v float8 OPTIONS (rule 'sum', scale '2', lower '1', initial '0.994') :end;
\echo :SQLSTATE
-- interval: only sums, and no bounds
:bad v interval OPTIONS (rule 'min') :end;
\echo :SQLSTATE
:bad v interval OPTIONS (rule 'sum', lower '0') :end;
\echo :SQLSTATE
:bad v interval OPTIONS (rule 'sum', upper '1 day') :end;
\echo :SQLSTATE
:bad v interval OPTIONS (rule 'sum', initial 'long') :end;
\echo :SQLSTATE
-- sums of types that cannot be added
:bad v date OPTIONS (rule 'sum') :end;
\echo :SQLSTATE
:bad v timestamp OPTIONS (rule 'sum') :end;
\echo :SQLSTATE
:bad v text OPTIONS (rule 'sum') COLLATE "C" :end;
\echo :SQLSTATE
-- min and max of other types, and of text in another order than that of its bytes
:bad v time OPTIONS (rule 'max') :end;
\echo :SQLSTATE
:bad v uuid OPTIONS (rule 'max') :end;
\echo :SQLSTATE
:bad v char(3) OPTIONS (rule 'max') COLLATE "C" :end;
\echo :SQLSTATE
CREATE COLLATION other (provider = libc, locale = 'C.UTF-8');
:bad v text OPTIONS (rule 'max') COLLATE other :end;
\echo :SQLSTATE
DROP COLLATION other;
:bad v date OPTIONS (rule 'max', initial 'today') :end;
\echo :SQLSTATE
:bad v date OPTIONS (rule 'max', lower '2020-01-01') :end;
\echo :SQLSTATE
-- interpolate: of rule last, on numbers
:bad v int OPTIONS (interpolate 'smooth') :end;
\echo :SQLSTATE
:bad v int OPTIONS (rule 'sum', interpolate 'linear') :end;
\echo :SQLSTATE
:bad v int OPTIONS (rule 'max', interpolate 'step') :end;
\echo :SQLSTATE
:bad v text OPTIONS (interpolate 'linear') :end;
\echo :SQLSTATE
:bad v timestamptz OPTIONS (interpolate 'linear') :end;
\echo :SQLSTATE
:bad v text OPTIONS (interpolate 'step') :end;
\echo :SQLSTATE
:bad v numeric OPTIONS (interpolate 'linear') :end;
\echo :SQLSTATE
:bad v numeric(37,2) OPTIONS (interpolate 'linear') :end;
\echo :SQLSTATE
:bad v float8 OPTIONS (interpolate 'linear') :end;
\echo :SQLSTATE
:bad v numeric(10,2) OPTIONS (interpolate 'linear', initial 'NaN') :end;
\echo :SQLSTATE
:bad e int OPTIONS (event_id 'true', interpolate 'linear') :end;
\echo :SQLSTATE
-- rate: names another state column that holds its value from event to event
:bad x int OPTIONS (rate 'v') :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'x') :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'V'), v int :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'id') :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'at') :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'e'), e int OPTIONS (event_id 'true') :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'v'), v int OPTIONS (rule 'max') :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'v'), v int OPTIONS (rule 'sum', lower '0') :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'v'), v int OPTIONS (interpolate 'linear') :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'v'), v int OPTIONS (rate 'a'), a int :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'v', rule 'min'), v int :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'v', rule 'sum', upper '9'), v int :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'v', interpolate 'linear'), v int :end;
\echo :SQLSTATE
-- on types that can be moved and multiplied by a time
:bad x text OPTIONS (rate 'v'), v int :end;
\echo :SQLSTATE
:bad x timestamptz OPTIONS (rate 'v'), v interval :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'v'), v text :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'v'), v interval OPTIONS (rule 'sum') :end;
\echo :SQLSTATE
:bad x numeric OPTIONS (rate 'v'), v int :end;
\echo :SQLSTATE
:bad x numeric(19,2) OPTIONS (rate 'v'), v int :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'v'), v numeric :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'v'), v numeric(20,2) OPTIONS (rule 'sum') :end;
\echo :SQLSTATE
:bad x float8 OPTIONS (rate 'v'), v int :end;
\echo :SQLSTATE
:bad x int OPTIONS (rate 'v'), v float8 :end;
\echo :SQLSTATE
-- that cannot overflow, however far and often they go
:bad x numeric(18,15) OPTIONS (rate 'v'), v bigint OPTIONS (rule 'sum') :end;
\echo :SQLSTATE
:bad x numeric(18,18) OPTIONS (rate 'v'), v numeric(17,1) OPTIONS (rule 'sum') :end;
\echo :SQLSTATE
:bad x numeric(18,18) OPTIONS (rate 'v'), v bigint :end;
DROP FOREIGN TABLE bad;
:bad v int OPTIONS (time 'true', scale '2') :end;
\echo :SQLSTATE
SELECT count(*) FROM pg_class WHERE relname = 'bad';

-- ---- changes of the definition -------------------------------------------------------------------

-- Options of a table that holds data cannot be changed.
SELECT count(*) FROM ship_differences;
DROP VIEW gauge_differences, ship_differences;
DROP TABLE gauge_events, ship_events;
ALTER FOREIGN TABLE floats ALTER COLUMN d2 OPTIONS (SET scale '3');
\echo :SQLSTATE
ALTER FOREIGN TABLE gauge ALTER COLUMN e OPTIONS (DROP scale);
\echo :SQLSTATE
ALTER FOREIGN TABLE gauge ALTER COLUMN g OPTIONS (SET initial '1 month -2 days 03:04:05.000007');
\echo :SQLSTATE
ALTER FOREIGN TABLE gauge ALTER COLUMN g OPTIONS (SET initial '1 month -1 days 03:04:05.000006');
\echo :SQLSTATE
ALTER FOREIGN TABLE gauge ALTER COLUMN m TYPE varchar(5) COLLATE "C";
\echo :SQLSTATE
ALTER FOREIGN TABLE probe ALTER COLUMN a OPTIONS (SET interpolate 'step');
\echo :SQLSTATE
ALTER FOREIGN TABLE probe ALTER COLUMN e OPTIONS (DROP interpolate);
ALTER FOREIGN TABLE frame ALTER COLUMN x OPTIONS (DROP rate);
\echo :SQLSTATE
ALTER FOREIGN TABLE ship ALTER COLUMN x OPTIONS (SET rate 'vy');
\echo :SQLSTATE
ALTER FOREIGN TABLE ship ADD COLUMN u int OPTIONS (rate 'vx');
\echo :SQLSTATE
ALTER FOREIGN TABLE ship ADD COLUMN u int OPTIONS (rate 'vu'), ADD COLUMN vu int;
\echo :SQLSTATE
-- columns can be added: in the past they have the initial value
ALTER FOREIGN TABLE frame ADD COLUMN s float8 OPTIONS (rule 'sum', scale '2', initial '1.5'), ADD COLUMN i interval OPTIONS (rule 'sum', initial '1 month 1 day 00:00:01'),
    ADD COLUMN l int OPTIONS (interpolate 'linear', initial '6'), ADD COLUMN t text OPTIONS (rule 'max', initial 'm') COLLATE "C";
SELECT tick, x, s, i, l, t FROM frame WHERE id = 2 AND tick = 4;
INSERT INTO frame VALUES (2, 4, NULL, NULL, 0.25, '1 day', 10, 'z');
INSERT INTO frame (id, tick, l) VALUES (2, 6, 20);
SELECT tick, x, s, i, l, t FROM frame WHERE id = 2 AND tick IN (3, 4, 5) ORDER BY tick;
SELECT tick, x, s, i, l, t FROM frame WHERE id = 1 AND tick = 85;
-- a rate cannot be dropped before the column that uses it, but after it, or with it
ALTER FOREIGN TABLE ship DROP COLUMN vx;
\echo :SQLSTATE
ALTER FOREIGN TABLE ship ALTER COLUMN vx TYPE text;
\echo :SQLSTATE
SELECT id, vx, vy FROM ship WHERE at = '2020-01-01 10:00' ORDER BY id;
ALTER FOREIGN TABLE ship DROP COLUMN x;
SELECT id, vx, vy FROM ship WHERE at = '2020-01-01 10:00' ORDER BY id;
INSERT INTO ship (id, at, vx) VALUES (2, '2020-01-01 09:59', 1.125);
SELECT id, vx FROM ship WHERE id = 2 AND at = '2020-01-01 10:00';
ALTER FOREIGN TABLE ship DROP COLUMN vx;
ALTER FOREIGN TABLE ship DROP COLUMN y, DROP COLUMN z, DROP COLUMN vy;
SELECT * FROM ship WHERE at = '2020-01-01 10:00' ORDER BY id;
-- RENAME of a rate changes the option
ALTER FOREIGN TABLE frame RENAME COLUMN vx TO "speed of x";
SELECT tick, x, "speed of x" FROM frame WHERE id = 2 AND tick = 20;
INSERT INTO frame (id, tick, "speed of x") VALUES (2, 19, 100);
SELECT tick, x, "speed of x" FROM frame WHERE id = 2 AND tick = 20;
SELECT attname, attfdwoptions FROM pg_attribute WHERE attrelid = 'frame'::regclass AND attname = 'x';
-- also in tables that inherit it
CREATE TABLE moving (id int, tick bigint, x int, v int);
CREATE FOREIGN TABLE moving_frame (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), x int OPTIONS (rate 'v'), v int) INHERITS (moving) SERVER contime;
ALTER TABLE moving RENAME COLUMN v TO w;
INSERT INTO moving_frame VALUES (1, 0, 0, 2);
SELECT x, w FROM moving_frame WHERE tick = 5;
DROP FOREIGN TABLE moving_frame;
DROP TABLE moving;
-- options of an empty table can be changed
TRUNCATE frame;
ALTER FOREIGN TABLE frame ALTER COLUMN x OPTIONS (DROP rate, SET rule 'last'), ALTER COLUMN "speed of x" OPTIONS (SET rule 'max'), ALTER COLUMN l OPTIONS (SET interpolate 'step');
INSERT INTO frame (id, tick, x, "speed of x", l) VALUES (1, 0, 1, 1, 0), (1, 10, 2, 2, 10);
SELECT tick, x, "speed of x", l FROM frame WHERE tick = 5;

DROP VIEW probe_differences;
DROP FUNCTION gauge_at, ship_at, probe_at, probe_value, touches, between_, microseconds, does, pick;
DROP TABLE gauge_instants, gauge_wanted, probe_events, probe_instants, probe_wanted, ship_instants, ship_wanted;
DROP FOREIGN TABLE gauge, floats, copies, spans, probe, ramp, ship, frame;
DROP PROCEDURE until_frozen, record, complete;

-- ---- first ----------------------------------------------------------------------------------

CREATE FOREIGN TABLE origin (
    id     int         OPTIONS (key 'true'),
    at     timestamptz OPTIONS (time 'true'),
    place  text        OPTIONS (rule 'first'),
    amount numeric     OPTIONS (rule 'first'),
    data   jsonb       OPTIONS (rule 'first'),
    level  float8      OPTIONS (rule 'first', scale '1'),
    times  int         OPTIONS (rule 'sum')
) SERVER contime;
INSERT INTO origin VALUES (1, '2020-01-03', 'Rome', NULL, '{"n": 3}', 0.3, 1), (1, '2020-01-05', 'Oslo', 5, '{"n": 5}', 0.5, 1);
SELECT * FROM origin WHERE id = 1 AND at = '2020-01-04';
SELECT * FROM origin WHERE id = 1 AND at = '2020-01-06';
-- A late event that is now the first one changes the value.
INSERT INTO origin VALUES (1, '2020-01-01', 'Paris', 1.25, NULL, NULL, 1);
SELECT during, (state).place, (state).amount, (state).data, (state).level, (state).times
    FROM contime.history(NULL::origin, 1, '2020-01-01', '2020-02-01');
-- NULL and a snapshot set the value; after a finish the next event is the first one.
SELECT contime.event(ROW(1, '2020-01-07', NULL, NULL, NULL, NULL, NULL)::origin, set_null => '{place}');
INSERT INTO origin VALUES (1, '2020-01-08', 'Bern', 8, NULL, NULL, 1);
SELECT contime.snapshot(ROW(1, '2020-01-09', 'Lima', 9, NULL, NULL, NULL)::origin, columns => '{place,amount}');
INSERT INTO origin VALUES (1, '2020-01-10', 'Kyiv', 10, NULL, NULL, 1);
SELECT contime.finish(ROW(1, '2020-01-11', NULL, NULL, NULL, NULL, NULL)::origin);
INSERT INTO origin VALUES (1, '2020-01-12', 'Riga', 12, NULL, 1.2, 1);
SELECT lower(during), (state).place, (state).amount, (state).data, (state).level, (state).times
    FROM contime.history(NULL::origin, 1, '2020-01-06', '2020-02-01');
-- Many events, compared with the first event of each life.
INSERT INTO origin SELECT 2, timestamptz '2020-01-01' + n * interval '1 minute', 'p' || n, n, NULL, n / 10.0, 1
    FROM generate_series(1, 3000) n ORDER BY md5(n::text);
SELECT count(*) AS wrong FROM generate_series(1, 3000, 7) n
    JOIN origin o ON o.id = 2 AND o.at = timestamptz '2020-01-01' + n * interval '1 minute'
    WHERE (o.place, o.amount, o.level, o.times) IS DISTINCT FROM ('p1', 1, 0.1, n);
-- In a durable table the first row may be deleted.
CREATE TABLE visit (id int, at timestamptz, place text);
CREATE FOREIGN TABLE visitor (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), place text OPTIONS (rule 'first'))
    SERVER contime OPTIONS (events 'visit');
INSERT INTO visit VALUES (1, '2020-01-01', 'a'), (1, '2020-01-02', 'b'), (1, '2020-01-03', 'c');
SELECT place FROM visitor WHERE id = 1 AND at = '2020-01-04';
DELETE FROM visit WHERE place = 'a';
SELECT place FROM visitor WHERE id = 1 AND at = '2020-01-04';
UPDATE visit SET at = '2020-01-05' WHERE place = 'b';
SELECT place FROM visitor WHERE id = 1 AND at = '2020-01-06';
CREATE FOREIGN TABLE refused (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'first', initial '1')) SERVER contime;
CREATE FOREIGN TABLE refused (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'first', lower '1')) SERVER contime;
CREATE FOREIGN TABLE refused (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'first', interpolate 'linear')) SERVER contime;
DROP FOREIGN TABLE origin, visitor;
DROP TABLE visit;
