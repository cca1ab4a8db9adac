-- Types: keys, values of any type with the rule last, numbers up to 36 digits, instants up to both ends of time.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';

-- ---- keys -----------------------------------------------------------------------
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (value > 0);

CREATE FOREIGN TABLE k2 (k smallint OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime;
INSERT INTO k2 VALUES (-32768, '2020-01-01', 1), (32767, '2020-01-01', 2), (0, '2020-01-01', 3);
SELECT k, v FROM k2 WHERE at = '2020-01-01' ORDER BY k;
SELECT v FROM k2 WHERE k = -32768::bigint AND at = '2020-01-01';
SELECT (contime.at(NULL::k2, '2020-01-01', -32768)).v;
SELECT v FROM k2 WHERE k = 70000 AND at = '2020-01-01';

CREATE FOREIGN TABLE ktext (k text OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime;
INSERT INTO ktext VALUES ('', '2020-01-01', 1), ('a', '2020-01-01', 2), ('a ', '2020-01-01', 3), ('A', '2020-01-01', 4), (repeat('long', 200), '2020-01-01', 5);
SELECT left(k, 10) AS k, length(k), v FROM ktext WHERE at = '2020-01-01' ORDER BY v;
SELECT v FROM ktext WHERE k = 'a ' AND at = '2020-01-01';
SELECT v FROM ktext WHERE k = 'a '::varchar AND at = '2020-01-01';
SELECT (contime.at(NULL::ktext, '2020-01-01', 'a')).v;
SELECT (contime.at(NULL::ktext, '2020-01-01', repeat('long', 200))).v;
INSERT INTO ktext VALUES (repeat('long', 1000), '2020-01-01', 6);
\echo :SQLSTATE

CREATE FOREIGN TABLE kbpchar (k char(5) OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO kbpchar VALUES ('a', '2020-01-01', 1), ('a  ', '2020-01-01', 2);
SELECT k, v FROM kbpchar WHERE at = '2020-01-01';
SELECT v FROM kbpchar WHERE k = 'a    ' AND at = '2020-01-01';
SELECT v FROM kbpchar WHERE k = 'a'::bpchar AND at = '2020-01-01';

CREATE FOREIGN TABLE kuuid (k uuid OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime;
INSERT INTO kuuid VALUES ('00000000-0000-0000-0000-000000000001', '2020-01-01', 1);
SELECT * FROM kuuid WHERE k = '00000000-0000-0000-0000-000000000001' AND at = '2020-01-01';

CREATE FOREIGN TABLE kenum (k mood OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime;
INSERT INTO kenum VALUES ('happy', '2020-01-01', 1), ('sad', '2020-01-01', 2);
SELECT k, v FROM kenum WHERE at = '2020-01-01' ORDER BY k;
SELECT v FROM kenum WHERE k = 'happy' AND at = '2020-01-01';
SELECT v FROM kenum WHERE k = 'ok' AND at = '2020-01-01';

CREATE FOREIGN TABLE kdate (k date OPTIONS (key 'true'), b boolean OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), p positive OPTIONS (key 'true'), v int) SERVER contime;
INSERT INTO kdate VALUES ('2020-01-01', true, '2020-01-01', 3, 1), ('2020-01-01', false, '2020-01-01', 3, 2);
SELECT * FROM kdate WHERE at = '2020-01-01' ORDER BY v;
SELECT v FROM kdate WHERE k = '2020-01-01' AND b AND p = 3 AND at = '2020-01-01';
SELECT v FROM kdate WHERE k = '2020-01-01' AND NOT b AND p = 3 AND at = '2020-01-01';
INSERT INTO kdate VALUES ('2020-01-01', true, '2020-01-01', -3, 1);
\echo :SQLSTATE

-- ---- last of anything -------------------------------------------------------------
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN word AS text CHECK (value <> 'forbidden');
CREATE FOREIGN TABLE anything (
    id  int         OPTIONS (key 'true'),
    at  timestamptz OPTIONS (time 'true'),
    bo  boolean,
    c   "char",
    i2  smallint    OPTIONS (initial '-2'),
    f4  real,
    f8  float8      OPTIONS (initial 'NaN'),
    num numeric     OPTIONS (initial '1.500'),
    t   text        OPTIONS (initial 'it''s'),
    vc  varchar(3),
    bp  char(3),
    ba  bytea,
    na  name,
    d   date,
    ti  time,
    tz  timetz,
    ts  timestamp,
    iv  interval    OPTIONS (initial '1 month 2 days'),
    u   uuid,
    j   json,
    jb  jsonb,
    arr int[]       OPTIONS (initial '{1,2}'),
    ta  text[],
    p   pair,
    ps  pair[],
    w   word,
    m   mood,
    r   int4range,
    mr  int4multirange,
    pt  point,
    ip  inet,
    b   bit(3),
    vb  varbit,
    x   xml
) SERVER contime;
INSERT INTO anything (id, at) VALUES (1, '2020-01-01');
\x on
SELECT * FROM anything WHERE at = '2020-01-01';
INSERT INTO anything VALUES (1, '2020-01-02', true, 'c', 2, 1.5, '-Infinity', 1e100, repeat('t', 5), 'abc', 'a', '\x00ff', 'name', '2020-01-01',
    '12:00', '12:00+01', '2020-01-01 12:00', '-1 day', '00000000-0000-0000-0000-000000000002', '{"a":  1}', '{"a":  1}', '{{1,2},{3,NULL}}',
    '{"a b",NULL}', '(1,"x y")', '{"(1,a)","(,)"}', 'word', 'ok', '[1,5)', '{[1,2),[4,6)}', '(1,2)', '::1', B'101', B'1', '<a/>');
SELECT * FROM anything WHERE at = '2020-01-02';
\x off
SELECT count(*) FROM contime.history(NULL::anything, 1, '-infinity', 'infinity');
INSERT INTO anything (id, at, w) VALUES (1, '2020-01-03', 'forbidden');
\echo :SQLSTATE
-- toasted and compressed values are copied whole
CREATE TABLE toasted (t text);
INSERT INTO toasted VALUES (repeat('compressible ', 10000)), ((SELECT string_agg(md5(i::text), '') FROM generate_series(1, 3000) i));
INSERT INTO anything (id, at, t) SELECT 1 + row_number() OVER (ORDER BY length(t)), '2020-01-01', t FROM toasted;
DROP TABLE toasted;
SELECT id, length(t), md5(t) FROM anything WHERE at = '2020-01-01' AND id IN (2, 3) ORDER BY id;
SELECT (SELECT md5(string_agg(md5(i::text), '')) FROM generate_series(1, 3000) i), md5(repeat('compressible ', 10000));
-- values that are equal but have different bytes are kept as they were written
INSERT INTO anything (id, at, num, iv) VALUES (4, '2020-01-01', 1.0, '24 hours'), (4, '2020-01-02', 1.00, '1 day');
SELECT during, (state).num, (state).iv FROM contime.history(NULL::anything, 4, '-infinity', 'infinity');

-- ---- numbers ------------------------------------------------------------------------
CREATE FOREIGN TABLE num (
    id int          OPTIONS (key 'true'),
    at timestamptz  OPTIONS (time 'true'),
    s2 smallint     OPTIONS (rule 'sum'),
    s4 int          OPTIONS (rule 'sum', lower '-2147483648', upper '2147483647'),
    s8 bigint       OPTIONS (rule 'sum'),
    n5 numeric(5,2) OPTIONS (rule 'sum', lower '-999.99', upper '0.5', initial '-0.25'),
    nx numeric(36,0)  OPTIONS (rule 'sum'),
    ny numeric(36,36) OPTIONS (rule 'sum'),
    lo numeric(18,9)  OPTIONS (rule 'min', initial '3'),
    hi bigint         OPTIONS (rule 'max'),
    t1 timestamptz    OPTIONS (rule 'min'),
    t2 timestamptz    OPTIONS (rule 'max', initial '2020-01-01')
) SERVER contime;
INSERT INTO num (id, at) VALUES (1, '2020-01-01');
INSERT INTO num VALUES (1, '2020-01-02', 32767, 2147483647, 9223372036854775807, 0.1, 999999999999999999999999999999999999, 0.999999999999999999999999999999999999,
    -0.000000001, -9223372036854775808, '2020-06-01', '2020-06-01');
INSERT INTO num VALUES (1, '2020-01-03', -1, 2147483647, -1, 0.66, -1, -0.000000000000000000000000000000000001,
    123456789.123456789, 9223372036854775807, 'infinity', 'infinity');
INSERT INTO num VALUES (1, '2020-01-04', -32767, -2147483648, -9223372036854775808, -999.99, -999999999999999999999999999999999998, -0.999999999999999999999999999999999998,
    -999999999.999999999, 0, '-infinity', '-infinity');
\x on
SELECT * FROM num WHERE at IN ('2020-01-01', '2020-01-02', '2020-01-03', '2020-01-04') ORDER BY at;
\x off
-- partial sums may leave the range if the sum comes back into it
INSERT INTO num (id, at, s2, s8, nx) SELECT 2, timestamptz '2020-01-01' + i * interval '1 day', 32767, 9223372036854775807, 999999999999999999999999999999999999
    FROM generate_series(1, 400) i;
SELECT s2 FROM num WHERE id = 2 AND at = '2021-06-01';
\echo :SQLSTATE
SELECT s8 FROM num WHERE id = 2 AND at = '2021-06-01';
\echo :SQLSTATE
SELECT nx FROM num WHERE id = 2 AND at = '2021-06-01';
\echo :SQLSTATE
INSERT INTO num (id, at, s2, s8, nx) SELECT 2, timestamptz '2020-01-01 12:00' + i * interval '1 day', -32767, -9223372036854775807, -999999999999999999999999999999999999
    FROM generate_series(1, 400) i;
INSERT INTO num (id, at, s2, s8, nx) VALUES (2, '2021-05-31', 1, 1, 1);
SELECT s2, s8, nx FROM num WHERE id = 2 AND at = '2021-06-01';
-- values are rounded to the column's scale before anything else
INSERT INTO num (id, at, n5) VALUES (3, '2020-01-01', -1.005), (3, '2020-01-02', 0.004);
SELECT n5 FROM num WHERE id = 3 AND at = '2020-01-02';
INSERT INTO num (id, at, n5) VALUES (3, '2020-01-01', 1000);
\echo :SQLSTATE
-- NaN and infinity where only the order matters
INSERT INTO num (id, at, lo) VALUES (4, '2020-01-01', 'NaN');
SELECT lo FROM num WHERE id = 4 AND at = '2020-01-01';

-- ---- time ------------------------------------------------------------------------------
CREATE FOREIGN TABLE eon (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO eon VALUES (1, '4714-11-24 00:00:00+00 BC', 1), (1, '294276-12-31 23:59:59.999999+00', 1), (1, '1970-01-01', 1);
SELECT at, v FROM eon WHERE at IN ('-infinity', '4714-11-24 00:00:00+00 BC', '1999-12-31 23:59:59.999999', '294276-12-31 23:59:59.999998', '294276-12-31 23:59:59.999999', 'infinity') ORDER BY at;
SELECT during, (state).v FROM contime.history(NULL::eon, 1, '-infinity', 'infinity');
SELECT at, v FROM eon WHERE at = date '2000-01-01';
SELECT at, v FROM eon WHERE at = timestamp '2000-01-01 12:00';
SELECT at, v FROM eon WHERE at IN (SELECT '2000-01-01'::timestamptz);
CREATE FOREIGN TABLE ticks (id int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
INSERT INTO ticks VALUES (1, -9223372036854775807, 1), (1, 9223372036854775806, 1), (1, 0, 1), (2, -9223372036854775808, 1), (2, 9223372036854775807, 1);
SELECT id, tick, v FROM ticks WHERE tick IN (-9223372036854775808, -9223372036854775807, -1, 0, 9223372036854775805, 9223372036854775806, 9223372036854775807) ORDER BY id, tick;
SELECT during, (state).v FROM contime.history_tick(NULL::ticks, 1, -9223372036854775808, 9223372036854775807);
SELECT during, (state).v FROM contime.history_tick(NULL::ticks, 2, -9223372036854775808, 9223372036854775807);
SELECT id, tick, v FROM ticks ORDER BY id;

-- ---- event ids -----------------------------------------------------------------------------
CREATE FOREIGN TABLE ids (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v text, e bigint OPTIONS (event_id 'true')) SERVER contime;
INSERT INTO ids VALUES (1, '2020-01-01', 'minus one', -1), (1, '2020-01-01', 'five', 5), (1, '2020-01-01', 'ten', 10);
SELECT v, e FROM ids WHERE at = '2020-01-01';
INSERT INTO ids VALUES (1, '2020-01-01', 'no id', NULL);
SELECT v, e FROM ids WHERE at = '2020-01-01';
CREATE FOREIGN TABLE idt (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v text, e text OPTIONS (event_id 'true')) SERVER contime;
INSERT INTO idt VALUES (1, '2020-01-01', 'ten', '10'), (1, '2020-01-01', 'five', '5'), (1, '2020-01-01', 'upper', 'Z'), (1, '2020-01-01', 'lower', 'a');
SELECT v, e FROM idt WHERE at = '2020-01-01';
CREATE FOREIGN TABLE idu (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v text, e uuid OPTIONS (event_id 'true')) SERVER contime;
INSERT INTO idu VALUES (1, '2020-01-01', 'f', 'ffffffff-0000-0000-0000-000000000000'), (1, '2020-01-01', '0', '00000000-0000-0000-0000-000000000000');
SELECT v, e FROM idu WHERE at = '2020-01-01';

DROP FOREIGN TABLE k2, ktext, kbpchar, kuuid, kenum, kdate, anything, num, eon, ticks, ids, idt, idu;
