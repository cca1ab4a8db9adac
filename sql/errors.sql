-- Bad input: every error has its SQLSTATE and a hint, and leaves no event.
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- ---- definitions ---------------------------------------------------------------

-- neither a key nor a time: a table that can be completed, so long as nobody uses it
CREATE FOREIGN TABLE bare (id int, at timestamptz, v int) SERVER contime;
SELECT * FROM bare;
\echo :SQLSTATE
ALTER FOREIGN TABLE bare ALTER id OPTIONS (key 'true'), ALTER at OPTIONS (time 'true');
SELECT * FROM bare;
DROP FOREIGN TABLE bare;
-- no key
CREATE FOREIGN TABLE bad (at timestamptz OPTIONS (time 'true'), v int) SERVER contime;
\echo :SQLSTATE
-- no time
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), v int) SERVER contime;
\echo :SQLSTATE
-- two time columns
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), too timestamptz OPTIONS (time 'true')) SERVER contime;
\echo :SQLSTATE
-- two event id columns
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), e text OPTIONS (event_id 'true'), f text OPTIONS (event_id 'true')) SERVER contime;
\echo :SQLSTATE
-- a time column of another type
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at date OPTIONS (time 'true'), v int) SERVER contime;
\echo :SQLSTATE
-- keys whose equality does not mean the same bytes
CREATE FOREIGN TABLE bad (id float8 OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id numeric OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id jsonb OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime;
\echo :SQLSTATE
-- unknown options: the hint lists the valid ones
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (colour 'red')) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime OPTIONS (colour 'red');
\echo :SQLSTATE
CREATE SERVER other FOREIGN DATA WRAPPER contime_fdw OPTIONS (colour 'red');
\echo :SQLSTATE
-- unknown rule
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'average')) SERVER contime;
\echo :SQLSTATE
-- not a boolean
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'perhaps'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime;
\echo :SQLSTATE
-- rules that do not fit the type
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v text OPTIONS (rule 'sum')) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v timestamptz OPTIONS (rule 'sum')) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v numeric OPTIONS (rule 'sum')) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v numeric(37,2) OPTIONS (rule 'max')) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v float8 OPTIONS (rule 'sum')) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v boolean OPTIONS (rule 'min')) SERVER contime;
\echo :SQLSTATE
-- bounds only for a sum, in order, with initial between
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'last', lower '0')) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum', lower '5', upper '1')) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum', lower '5', initial '1')) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum', lower '5')) SERVER contime;
\echo :SQLSTATE
-- an initial value that is not one of the type
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum', initial 'much')) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v date OPTIONS (initial 'someday')) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v numeric(10,2) OPTIONS (rule 'sum', initial 'NaN')) SERVER contime;
\echo :SQLSTATE
-- options that contradict each other
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true', rule 'sum'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true', initial 'now'), v int) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id bigint OPTIONS (key 'true', time 'true'), v int) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), e text OPTIONS (event_id 'true', rule 'sum')) SERVER contime;
\echo :SQLSTATE
-- not implemented yet
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime OPTIONS (events 'movement');
\echo :SQLSTATE
-- DEFAULT, GENERATED, CHECK and NOT NULL on a state column
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int DEFAULT 3) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int, w int GENERATED ALWAYS AS (v + 1) STORED) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int CHECK (v > 0)) SERVER contime;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int NOT NULL) SERVER contime;
\echo :SQLSTATE
-- a temporary table
CREATE FOREIGN TABLE pg_temp.bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime;
\echo :SQLSTATE
-- none of these tables exists
SELECT count(*) FROM pg_foreign_table;

-- a role without USAGE on the server
CREATE ROLE regress_contime_nobody;
GRANT CREATE ON SCHEMA public TO regress_contime_nobody;
SET ROLE regress_contime_nobody;
CREATE FOREIGN TABLE bad (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime;
\echo :SQLSTATE
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM regress_contime_nobody;

-- ---- writing --------------------------------------------------------------------

CREATE FOREIGN TABLE tank (
    id    int         OPTIONS (key 'true'),
    at    timestamptz OPTIONS (time 'true'),
    level int         OPTIONS (rule 'sum', lower '0', upper '10', initial '5'),
    total smallint    OPTIONS (rule 'sum'),
    exact numeric(6,2) OPTIONS (rule 'sum'),
    label text
) SERVER contime;
CREATE FOREIGN TABLE ticking (
    id   int    OPTIONS (key 'true'),
    tick bigint OPTIONS (time 'true'),
    v    int
) SERVER contime;

-- NULL key
INSERT INTO tank VALUES (NULL, '2020-01-01', 1);
\echo :SQLSTATE
SELECT contime.event(ROW(NULL, '2020-01-01', 1, NULL, NULL, NULL)::tank);
\echo :SQLSTATE
SELECT contime.finish(ROW(NULL, '2020-01-01', NULL, NULL, NULL, NULL)::tank);
\echo :SQLSTATE
-- infinite time
INSERT INTO tank VALUES (1, 'infinity', 1);
\echo :SQLSTATE
INSERT INTO tank VALUES (1, '-infinity', 1);
\echo :SQLSTATE
-- NULL time of a logical clock, and in COPY
INSERT INTO ticking VALUES (1, NULL, 1);
\echo :SQLSTATE
\set SHOW_CONTEXT never
COPY tank FROM STDIN;
1	2020-01-01 00:00:00+00	1	\N	\N	before the bad one
1	\N	1	\N	\N	\N
\.
\set SHOW_CONTEXT errors
\echo :SQLSTATE
SELECT * FROM tank WHERE at = 'infinity';
-- a snapshot needs an instant, too
SELECT contime.snapshot(ROW(1, NULL, 1)::ticking);
\echo :SQLSTATE
-- a snapshot outside the bounds
SELECT contime.snapshot(ROW(1, '2020-01-01', 11, NULL, NULL, NULL)::tank);
\echo :SQLSTATE
SELECT contime.snapshot(ROW(1, '2020-01-01', -1, NULL, NULL, NULL)::tank, columns => '{level}');
\echo :SQLSTATE
-- NaN and infinity in a sum
INSERT INTO tank (id, at, exact) VALUES (1, '2020-01-01', 'NaN');
\echo :SQLSTATE
INSERT INTO tank (id, at, exact) VALUES (1, '2020-01-01', 'Infinity');
\echo :SQLSTATE
-- set_null and columns with names that are not allowed there
SELECT contime.event(ROW(1, '2020-01-01', 1, NULL, NULL, NULL)::tank, set_null => '{colour}');
\echo :SQLSTATE
SELECT contime.event(ROW(1, '2020-01-01', 1, NULL, NULL, NULL)::tank, set_null => '{id}');
\echo :SQLSTATE
SELECT contime.event(ROW(1, '2020-01-01', 1, NULL, NULL, NULL)::tank, set_null => '{at}');
\echo :SQLSTATE
SELECT contime.event(ROW(1, '2020-01-01', 1, NULL, NULL, NULL)::tank, set_null => '{level}');
\echo :SQLSTATE
SELECT contime.snapshot(ROW(1, '2020-01-01', 1, NULL, NULL, NULL)::tank, columns => '{colour}');
\echo :SQLSTATE
SELECT contime.snapshot(ROW(1, '2020-01-01', 1, NULL, NULL, NULL)::tank, columns => '{id}');
\echo :SQLSTATE
SELECT contime.event(ROW(1, '2020-01-01', 1, NULL, NULL, NULL)::tank, set_null => ARRAY[NULL]::name[]);
\echo :SQLSTATE
-- a row of something else
SELECT contime.event(ROW(1, 2));
\echo :SQLSTATE
SELECT contime.event(1);
\echo :SQLSTATE
SELECT contime.event(NULL::tank);
\echo :SQLSTATE
CREATE TABLE ordinary (id int, at timestamptz, v int);
SELECT contime.event(ROW(1, '2020-01-01', 1)::ordinary);
\echo :SQLSTATE
SELECT * FROM contime.at(NULL::ordinary, '2020-01-01');
\echo :SQLSTATE
SELECT * FROM contime.history(NULL::ordinary, 1, '2020-01-01', '2020-01-02');
\echo :SQLSTATE
-- commands that cannot change a continuous table
UPDATE tank SET level = 3;
\echo :SQLSTATE
DELETE FROM tank WHERE id = 1;
\echo :SQLSTATE
MERGE INTO tank USING (VALUES (1)) v(id) ON tank.id = v.id WHEN NOT MATCHED THEN INSERT VALUES (v.id, '2020-01-01', 1);
\echo :SQLSTATE
-- none of these statements left an event
SELECT * FROM tank WHERE at = 'infinity';
SELECT * FROM ticking;

-- ---- reading --------------------------------------------------------------------

INSERT INTO tank (id, at, level, total, exact) VALUES
    (1, '2020-01-01', 1, 30000, 9999.99), (2, '2020-01-01', 1, 1, 1);
INSERT INTO tank (id, at, total) VALUES (1, '2020-01-02', 30000);
INSERT INTO tank (id, at, exact) VALUES (1, '2020-01-03', 0.01);
-- a sum out of its type's range: an error when that key is read at such an instant, until it is corrected
SELECT total FROM tank WHERE id = 1 AND at = '2020-01-01';
SELECT total FROM tank WHERE id = 1 AND at = '2020-01-02';
\echo :SQLSTATE
SELECT * FROM contime.at(NULL::tank, '2020-01-02', 1);
\echo :SQLSTATE
SELECT * FROM tank WHERE id = 2 AND at = '2020-01-02';
INSERT INTO tank (id, at, total) VALUES (1, '2020-01-02', -40000);
SELECT total FROM tank WHERE id = 1 AND at = '2020-01-02';
SELECT exact FROM tank WHERE id = 1 AND at = '2020-01-03';
\echo :SQLSTATE
-- columns of a history
SELECT * FROM contime.history(NULL::tank, 2, NULL, NULL, columns => '{nothing}');
\echo :SQLSTATE
SELECT * FROM contime.history(NULL::tank, 2, NULL, NULL, columns => '{total, NULL}');
\echo :SQLSTATE
SELECT * FROM contime.history(NULL::tank, 2, NULL, NULL, columns => '{ctid}');
\echo :SQLSTATE
-- functions of the other kind of clock
SELECT * FROM contime.at_tick(NULL::tank, 5);
\echo :SQLSTATE
SELECT * FROM contime.at(NULL::ticking, '2020-01-01');
\echo :SQLSTATE
SELECT * FROM contime.history(NULL::ticking, 1, '2020-01-01', '2020-01-02');
\echo :SQLSTATE
-- a key that is not a value of its type
SELECT * FROM contime.at(NULL::tank, '2020-01-01', 'one'::text);
\echo :SQLSTATE
-- several key columns need SELECT
CREATE FOREIGN TABLE shelf (hall int OPTIONS (key 'true'), place int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n int) SERVER contime;
SELECT * FROM contime.at(NULL::shelf, '2020-01-01', 1);
\echo :SQLSTATE
SELECT * FROM contime.history(NULL::shelf, 1, '2020-01-01', '2020-01-02');
\echo :SQLSTATE
-- conditions on the time column that name no instant
SELECT * FROM tank WHERE at >= '2020-01-01' AND at < '2020-01-02';
\echo :SQLSTATE
SELECT * FROM tank WHERE at BETWEEN '2020-01-01' AND '2020-01-02';
\echo :SQLSTATE
-- the usual ways to find the latest row up to an instant
SELECT level FROM tank WHERE id = 1 AND at <= '2020-01-01' ORDER BY at DESC LIMIT 1;
\echo :SQLSTATE
SELECT DISTINCT ON (id) id, level FROM tank WHERE '2020-01-01' > at ORDER BY id, at DESC;
SELECT g, t.level FROM generate_series(timestamptz '2020-01-01', '2020-01-02', '1 day') g
LEFT JOIN LATERAL (SELECT level FROM tank WHERE id = 1 AND at <= g ORDER BY at DESC LIMIT 1) t ON true;
SELECT level FROM tank WHERE id = 1 AND at <= '2020-01-01' ORDER BY at LIMIT 1;
SELECT level FROM tank WHERE id = 1 AND at <= '2020-01-01' ORDER BY at DESC;
SELECT level FROM tank WHERE id = 1 AND at > '2019-01-01' AND at <= '2020-01-01' ORDER BY at DESC LIMIT 1;
CREATE FOREIGN TABLE lap (id int OPTIONS (key 'true'), "Tick" bigint OPTIONS (time 'true'), v int) SERVER contime;
SELECT v FROM lap WHERE id = 1 AND "Tick" <= 5 ORDER BY "Tick" DESC LIMIT 1;
SELECT v FROM lap WHERE "Tick" BETWEEN 1 AND 5;
SET plan_cache_mode = force_generic_plan;
PREPARE either(bool) AS SELECT v FROM lap WHERE id = 1 AND ($1 OR "Tick" = 5);
EXECUTE either(true);
RESET plan_cache_mode;
DROP FOREIGN TABLE lap;
SELECT * FROM tank WHERE at <> '2020-01-01';
\echo :SQLSTATE
SELECT * FROM tank WHERE at IS NULL;
\echo :SQLSTATE
SELECT * FROM tank WHERE at::date = '2020-01-01';
\echo :SQLSTATE
SELECT * FROM tank WHERE at + interval '1 day' = '2020-01-01';
\echo :SQLSTATE
SELECT * FROM tank WHERE at = '2020-01-01' OR id = 1;
\echo :SQLSTATE
SELECT * FROM tank WHERE at = clock_timestamp();
\echo :SQLSTATE
SELECT count(*) FROM tank a JOIN tank b ON a.at = b.at;
\echo :SQLSTATE
SELECT * FROM tank a FULL JOIN (VALUES (timestamptz '2020-01-01')) v(t) ON a.at = v.t;
\echo :SQLSTATE
SELECT * FROM tank a LEFT JOIN (VALUES (timestamptz '2020-01-01')) v(t) ON a.at = v.t;
\echo :SQLSTATE
-- the time column without a condition, in a query where a condition from outside could not be pushed down
SELECT * FROM (SELECT * FROM tank LIMIT 10) t WHERE at = '2020-01-01';
\echo :SQLSTATE
SELECT max(at) FROM (SELECT DISTINCT at FROM tank) t;
\echo :SQLSTATE

DROP FOREIGN TABLE tank, ticking, shelf;
DROP TABLE ordinary;
DROP ROLE regress_contime_nobody;
