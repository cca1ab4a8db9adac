-- Durable tables with several sources; how names in sources are resolved; event tables of all kinds.
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- ---- contime.add_source ------------------------------------------------------------------

CREATE TABLE transfer (id int PRIMARY KEY, from_account int, to_account int, made_at timestamptz NOT NULL, amount numeric(12,2), note text);
INSERT INTO transfer SELECT i, i % 5, (i * 7 + 1) % 6, '2026-01-01'::timestamptz + i * interval '1 hour', i, 'n' || i FROM generate_series(1, 100) i;
CREATE TABLE counted (account smallint, at timestamptz, balance int);
CREATE TABLE closed (account text, at timestamptz, balance int);
CREATE FOREIGN TABLE account (
    id      bigint        OPTIONS (key 'true'),
    at      timestamptz   OPTIONS (time 'true'),
    balance numeric(12,2) OPTIONS (rule 'sum', initial '0'),
    note    text,
    last    int
) SERVER contime;
SELECT contime.add_source('transfer', 'transfer');
\echo :SQLSTATE
SELECT contime.add_source('account', 'transfer', '{"id": "from_account"}');
\echo :SQLSTATE
SELECT contime.add_source('account', 'transfer', '{"at": "made_at", "amount": "amount"}');
\echo :SQLSTATE
SELECT contime.add_source('account', 'transfer', '{"at": "made_at", "balance": 1}');
\echo :SQLSTATE
SELECT contime.add_source('account', 'transfer', '["at"]');
\echo :SQLSTATE
SELECT contime.add_source('account', 'transfer', '{"at": "made_at"}', 'deposit');
\echo :SQLSTATE
SELECT contime.add_source('account', 'transfer', '{"at": "made_at", "balance": "amount + random()"}');
\echo :SQLSTATE
SELECT contime.add_source('account', 'transfer', '{"at": "made_at", "balance": "xmin::text::int"}');
\echo :SQLSTATE
SELECT contime.add_source('account', 'transfer', '{"at": "made_at", "note": "transfer::text"}');
\echo :SQLSTATE
SELECT contime.add_source('account', 'contime.workers');
\echo :SQLSTATE
SELECT contime.add_source('account', 'closed', '{"id": "account::int", "balance": "balance"}', 'finish');
\echo :SQLSTATE
SELECT contime.add_source('account', 'counted', '{"id": "account", "balance": null}', 'snapshot');
\echo :SQLSTATE
SELECT contime.add_source('account', 'transfer', '{"id": "from_account", "at": "made_at", "balance": "-amount", "note": null, "last": "id"}');
SELECT contime.add_source('account', 'transfer', '{"id": "to_account", "at": "made_at", "balance": "amount", "last": "id"}');
SELECT contime.add_source('account', 'transfer', '{"id": "to_account", "at": "made_at", "balance": "amount", "last": "id"}');
\echo :SQLSTATE
SELECT contime.add_source('account', 'counted', '{"id": "account"}', 'snapshot');
SELECT contime.add_source('account', 'closed', '{"id": "account::int"}', kind => 'finish');
SELECT * FROM contime.source ORDER BY events, columns;

-- They are found by the index on contime.source, and all of them are in it.
BEGIN;
SELECT seq_scan, coalesce(idx_scan, 0) AS idx_scan FROM pg_stat_xact_user_tables WHERE relid = 'contime.source'::regclass \gset before_
ALTER FOREIGN TABLE account ALTER COLUMN note OPTIONS (rule 'last');
SELECT seq_scan = :before_seq_scan AS unread, idx_scan > :before_idx_scan AS by_index FROM pg_stat_xact_user_tables WHERE relid = 'contime.source'::regclass;
ALTER TABLE counted RENAME COLUMN balance TO other;
SET LOCAL enable_seqscan = off;
SELECT events, kind, columns->>'balance' AS balance FROM contime.source WHERE state = 'account'::regclass ORDER BY events, columns;
ROLLBACK;
SELECT indexdef FROM pg_indexes WHERE tablename IN ('transfer', 'counted', 'closed') ORDER BY 1;

SELECT id, balance, note, last FROM account WHERE at = '2026-01-03' ORDER BY id;
SELECT id, sum(amount), max(last) FROM (SELECT from_account AS id, -amount AS amount, id AS last FROM transfer WHERE made_at <= '2026-01-03'
    UNION ALL SELECT to_account, amount, id FROM transfer WHERE made_at <= '2026-01-03') x GROUP BY 1 ORDER BY 1;
SELECT count(*), sum(balance) FROM account WHERE at IN ('2026-01-01 12:30', '2026-01-02', '2026-01-04');
SELECT balance FROM account WHERE id = 5 AND at = '2026-01-03';
INSERT INTO counted VALUES (3, '2026-01-02 00:30', 1000);
INSERT INTO closed VALUES ('4', '2026-01-02 12:00', 7), (NULL, '2026-01-02 12:00', 7), ('1', NULL, 7);
SELECT id, balance, note, last FROM account WHERE at = '2026-01-02 00:30' ORDER BY id;
SELECT id, balance, note, last FROM account WHERE at = '2026-01-02 12:00' ORDER BY id;
SELECT id, balance, note, last FROM account WHERE at = '2026-01-02 13:00' ORDER BY id;
SELECT during, (state).balance, (state).note FROM contime.history(NULL::account, 3, '2026-01-02', '2026-01-02 04:00');
-- Both sides of an UPDATE, in one transaction.
BEGIN;
UPDATE transfer SET amount = amount + 1000, to_account = 9 WHERE id = 1;
SELECT id, balance FROM account WHERE id IN (1, 2, 9) AND at = '2026-01-01 01:00' ORDER BY id;
ROLLBACK;
-- Renamed tables and columns are followed.
ALTER TABLE transfer RENAME COLUMN amount TO sum;
ALTER TABLE transfer RENAME COLUMN note TO remark;
ALTER FOREIGN TABLE account RENAME COLUMN last TO "last transfer";
ALTER TABLE transfer RENAME TO transfers;
SELECT * FROM contime.source ORDER BY events, columns;
SELECT * FROM account WHERE id = 2 AND at = '2026-01-03';
ALTER TABLE transfers DROP COLUMN sum;
\echo :SQLSTATE
DROP TABLE counted;
\echo :SQLSTATE
INSERT INTO account VALUES (1, now(), 1);
\echo :SQLSTATE
SELECT contime.drop_source('account', 'loose');
SELECT contime.drop_source('account', 'counted');
SELECT contime.drop_source('account', 'counted');
\echo :SQLSTATE
DROP TABLE counted;
SELECT balance FROM account WHERE id = 3 AND at = '2026-01-02 00:30';
BEGIN;
DROP FOREIGN TABLE account;
SELECT count(*) FROM contime.source;
ROLLBACK;
SELECT count(*) FROM contime.source;
CREATE ROLE sources_other;
SET ROLE sources_other;
SELECT contime.drop_source('account', 'transfers');
\echo :SQLSTATE
SELECT count(*) FROM contime.source;
INSERT INTO contime.source VALUES ('account', 'transfers', 'event', '{}');
\echo :SQLSTATE
RESET ROLE;
DROP ROLE sources_other;
-- Beside the option events; without any source the table is a table in memory.
CREATE FOREIGN TABLE given (from_account int OPTIONS (key 'true'), made_at timestamptz OPTIONS (time 'true'), n int OPTIONS (rule 'sum', source '1')) SERVER contime OPTIONS (events 'transfers');
SELECT contime.add_source('given', 'transfers', '{"from_account": "to_account", "n": "100"}');
SELECT from_account, n FROM given WHERE made_at = '2026-01-02' ORDER BY 1;
SELECT contime.drop_source('account', 'transfers'), contime.drop_source('account', 'closed');
INSERT INTO account VALUES (1, '2026-01-01', 1);
SELECT balance FROM account;
SELECT contime.add_source('account', 'closed', '{"id": "account::int"}', kind => 'finish');
\echo :SQLSTATE
DROP TABLE transfers CASCADE;
DROP FOREIGN TABLE account;
DROP TABLE closed;
SELECT * FROM contime.source;

-- ---- names in sources ------------------------------------------------------------------------

CREATE SCHEMA tools;
CREATE FUNCTION tools.cents(numeric) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT ($1 * 100)::bigint';
CREATE TABLE sale (k int, at timestamptz, price numeric(10,2));
INSERT INTO sale VALUES (1, '2026-01-01', 1.25), (1, '2026-01-02', 2);
SET search_path = public, tools;
CREATE FOREIGN TABLE takings (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
    cents bigint OPTIONS (rule 'sum', source 'cents(price)'), price numeric(10,2), loss numeric(10,2) OPTIONS (rule 'sum', source '-price')) SERVER contime OPTIONS (events 'sale');
SELECT attname, attfdwoptions FROM pg_attribute WHERE attrelid = 'takings'::regclass AND attnum > 2 ORDER BY attnum;
RESET search_path;
-- A reader needs no privileges on functions that a source uses, and cannot make the owner run another function.
REVOKE ALL ON FUNCTION tools.cents(numeric) FROM PUBLIC;
CREATE ROLE sources_reader;
GRANT SELECT ON takings TO sources_reader;
CREATE SCHEMA trap AUTHORIZATION sources_reader;
SET ROLE sources_reader;
CREATE FUNCTION trap.minus(numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE EXCEPTION 'caught: %', current_user; END $$;
CREATE FUNCTION trap.is(int, int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE EXCEPTION 'caught: %', current_user; END $$;
CREATE OPERATOR trap.- (rightarg = numeric, function = trap.minus);
CREATE OPERATOR trap.= (leftarg = int, rightarg = int, function = trap.is);
CREATE FUNCTION trap.cents(numeric) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 0::bigint';
SET search_path = trap, pg_catalog;
SELECT cents, price, loss FROM public.takings WHERE k OPERATOR(pg_catalog.=) 1;
\c -
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET ROLE sources_reader;
SET search_path = trap, pg_catalog;
SELECT cents, price, loss FROM public.takings WHERE k OPERATOR(pg_catalog.=) 1;
SELECT cents, price, loss FROM contime.at(NULL::public.takings, 'infinity', 1);
RESET ROLE;
RESET search_path;
DROP SCHEMA trap CASCADE;
DROP TABLE sale CASCADE;
DROP SCHEMA tools CASCADE;
DROP ROLE sources_reader;

-- ---- keys: equality is that of the key's type and collation ------------------------------------

CREATE COLLATION sources_ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE reading (i numeric, c char(5), n varchar(20), ci text COLLATE sources_ci, t timestamp, v int);
INSERT INTO reading SELECT 1 + i % 3 * 0.2, (ARRAY['a', 'a  ', 'b'])[1 + i % 3], 'k' || i % 2, (ARRAY['x', 'X', 'y'])[1 + i % 3], timestamp '2026-01-01' + i * interval '0.3 s', i
FROM generate_series(1, 12) i;
CREATE FOREIGN TABLE by_int (i int OPTIONS (key 'true'), t timestamptz OPTIONS (time 'true', source 't AT TIME ZONE ''UTC'''), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'reading');
CREATE FOREIGN TABLE by_char (c char(5) OPTIONS (key 'true'), t timestamptz OPTIONS (time 'true', source 't AT TIME ZONE ''UTC'''), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'reading');
CREATE FOREIGN TABLE by_text (c text OPTIONS (key 'true', source 'c'), n name OPTIONS (key 'true'), t timestamptz OPTIONS (time 'true', source 't AT TIME ZONE ''UTC'''), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'reading');
CREATE FOREIGN TABLE by_ci (ci text OPTIONS (key 'true') COLLATE "C", t timestamptz OPTIONS (time 'true', source 't AT TIME ZONE ''UTC'''), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'reading');
CREATE FOREIGN TABLE by_second (s timestamp(0) OPTIONS (key 'true', source 't'), t timestamptz OPTIONS (time 'true', source 't AT TIME ZONE ''UTC'''), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'reading');
-- (Since PostgreSQL 17, AT TIME ZONE is shown without parentheses of its own.)
SELECT replace(indexdef, '((t AT TIME ZONE ''UTC''::text))', '(t AT TIME ZONE ''UTC''::text)') AS indexdef FROM pg_indexes WHERE tablename = 'reading' ORDER BY 1;
SELECT i, v, (SELECT v FROM by_int b WHERE b.i = a.i) FROM by_int a ORDER BY 1;
SELECT c, v, (SELECT v FROM by_char b WHERE b.c = a.c) FROM by_char a ORDER BY 1;
SELECT c, n, v, (SELECT v FROM by_text b WHERE b.c = a.c AND b.n = a.n) FROM by_text a ORDER BY 1, 2;
SELECT ci, v, (SELECT v FROM by_ci b WHERE b.ci = a.ci) FROM by_ci a ORDER BY 1;
SELECT s, v, (SELECT v FROM by_second b WHERE b.s = a.s) FROM by_second a ORDER BY 1;
DROP TABLE reading CASCADE;
DROP COLLATION sources_ci;

-- ---- event tables of all kinds ---------------------------------------------------------------------

-- Partitions, some with other attribute numbers, that are attached and detached.
CREATE TABLE measured (gone int, station int, tick bigint, value numeric(8,2)) PARTITION BY LIST (station);
ALTER TABLE measured DROP COLUMN gone;
CREATE TABLE measured_1 (value numeric(8,2), x text, tick bigint, station int);
ALTER TABLE measured_1 DROP COLUMN x;
CREATE TABLE measured_2 PARTITION OF measured FOR VALUES IN (2);
ALTER TABLE measured ATTACH PARTITION measured_1 FOR VALUES IN (1);
CREATE FOREIGN TABLE station (station int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'), value numeric(8,2) OPTIONS (interpolate 'linear'), n int OPTIONS (rule 'sum', source '1')) SERVER contime OPTIONS (events 'measured');
SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'measured%' ORDER BY 1;
INSERT INTO measured SELECT 1 + i % 2, i * 10, i * i FROM generate_series(1, 20) i;
SELECT station, tick, value, n FROM station WHERE tick IN (5, 25, 100, 1000) ORDER BY 1, 2;
ALTER TABLE measured DETACH PARTITION measured_1;
SELECT station, value, n FROM station ORDER BY 1;
INSERT INTO measured_1 VALUES (1, 5, 1);
ALTER TABLE measured ATTACH PARTITION measured_1 FOR VALUES IN (1);
SELECT station, tick, value, n FROM station WHERE tick IN (5, 25) ORDER BY 1, 2;
DROP TABLE measured CASCADE;

-- A column with a rate and an interpolated one, compared with a table in memory.
CREATE UNLOGGED TABLE seen (ship text, at timestamptz, km numeric(9,3), speed numeric(9,6), draught float8);
CREATE FOREIGN TABLE ship (ship text OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), km numeric(9,3) OPTIONS (rate 'speed'), speed numeric(9,6),
    draught float8 OPTIONS (interpolate 'linear', scale '2')) SERVER contime OPTIONS (events 'seen');
CREATE FOREIGN TABLE ship_in_memory (ship text OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), km numeric(9,3) OPTIONS (rate 'speed'), speed numeric(9,6),
    draught float8 OPTIONS (interpolate 'linear', scale '2')) SERVER contime;
INSERT INTO seen SELECT (ARRAY['Ada', 'Bob'])[1 + i % 2], timestamptz '2026-01-01' + i * interval '7 min', CASE WHEN i % 5 = 0 THEN i END, CASE WHEN i % 3 = 0 THEN (i % 7 - 3) / 1000.0 END, CASE WHEN i % 4 < 2 THEN i % 9 / 2.0 END
FROM generate_series(1, 200) i;
INSERT INTO ship_in_memory SELECT * FROM seen;
SELECT count(*) FROM (SELECT * FROM ship JOIN generate_series(timestamptz '2026-01-01', '2026-01-02', '11 min') g(at) USING (at) EXCEPT SELECT * FROM ship_in_memory JOIN generate_series(timestamptz '2026-01-01', '2026-01-02', '11 min') g(at) USING (at)) x;
SELECT count(*) FROM ship JOIN generate_series(timestamptz '2026-01-01', '2026-01-02', '11 min') g(at) USING (at);
SELECT count(*) FROM (SELECT * FROM contime.history(NULL::ship, 'Ada', '2026-01-01', '2026-01-02') EXCEPT SELECT during, state::text::ship FROM contime.history(NULL::ship_in_memory, 'Ada', '2026-01-01', '2026-01-02')) x;
DROP TABLE seen CASCADE;
DROP FOREIGN TABLE ship_in_memory;

-- Children by inheritance; generated columns and domains are columns like others.
CREATE DOMAIN score AS int CHECK (value < 100);
CREATE TABLE play (who varchar(10), at timestamptz, points score, twice int GENERATED ALWAYS AS (points * 2) STORED);
CREATE TABLE away_play (town text) INHERITS (play);
CREATE FOREIGN TABLE player (who text OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), points bigint OPTIONS (rule 'sum'), twice bigint OPTIONS (rule 'sum'), best score OPTIONS (rule 'max', source 'points')) SERVER contime OPTIONS (events 'play');
INSERT INTO play VALUES ('Ada', '2026-01-01', 3), ('Bob', '2026-01-01', 4);
INSERT INTO away_play VALUES ('Ada', '2026-01-02', 5, DEFAULT, 'Ulm');
SELECT who, points, twice, best FROM player ORDER BY who;
ALTER TABLE away_play NO INHERIT play;
SELECT who, points, twice, best FROM player ORDER BY who;
-- A row that is not a valid event is an error that names the row and its table.
INSERT INTO play VALUES ('Cleo', '-infinity', 5);
SELECT points FROM player WHERE who = 'Cleo' AND at = 'infinity';
DROP TABLE play, away_play CASCADE;
DROP DOMAIN score;
CREATE TEMP TABLE passing (k int, at timestamptz);
CREATE FOREIGN TABLE lasting (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime OPTIONS (events 'pg_temp.passing');
\echo :SQLSTATE

-- ---- a cursor is used after the subtransaction in which it read -------------------------------------------

CREATE TABLE tally (k int, at timestamptz, v int);
INSERT INTO tally SELECT i % 1500, timestamptz '2026-01-01' + i * interval '1 s', 1 FROM generate_series(1, 4500) i;
CREATE FOREIGN TABLE total (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'tally');
BEGIN;
DECLARE c CURSOR FOR SELECT k, v FROM total WHERE at = '2026-02-01';
SAVEPOINT s;
FETCH 1 FROM c;
DELETE FROM tally;
ROLLBACK TO s;
FETCH 1 FROM c;
DELETE FROM tally;
FETCH 1 FROM c;
SAVEPOINT s;
MOVE 1400 FROM c;
ANALYZE tally;
RELEASE s;
FETCH 1 FROM c;
SELECT count(*) FROM total;
COMMIT;
-- A table's cached description is invalidated while it is being read.
INSERT INTO tally SELECT i % 10, timestamptz '2026-01-01' + i * interval '1 s', 1 FROM generate_series(1, 40) i;
CREATE FUNCTION disturb() RETURNS int LANGUAGE plpgsql AS $$ BEGIN ANALYZE tally; PERFORM count(*) FROM total; RETURN 0; END $$;
SELECT sum(t.v + disturb()) FROM generate_series(0, 9) g(k) JOIN LATERAL (SELECT v FROM total WHERE k = g.k AND at = '2026-02-01') t ON true;
DROP FUNCTION disturb;
DROP TABLE tally CASCADE;
-- A function in a source that writes to the event table, and by an error there breaks the cache that is being written.
CREATE TABLE tally (k int, at bigint, v numeric);
CREATE FUNCTION write_more(v numeric) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    IF v = 7 THEN INSERT INTO public.tally VALUES (2, 5, -1); END IF; END $$;
CREATE FUNCTION same(v numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
    ASSERT v > 0; PERFORM public.write_more(v); RETURN v; END $$;
CREATE FOREIGN TABLE total (k int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), v numeric(12,2) OPTIONS (rule 'sum', initial '0')) SERVER contime;
SELECT contime.add_source('total', 'tally', '{"v": "same(v)"}');
INSERT INTO tally VALUES (1, 1, 1);
SELECT k, v FROM total;
DO $$ BEGIN FOR i IN 1 .. 1000 LOOP
    EXIT WHEN (SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'total'::regclass);
    PERFORM pg_sleep(0.01), count(*) FROM total;
    COMMIT;
END LOOP; END $$;
INSERT INTO tally VALUES (1, 3, 1), (1, 4, 7), (1, 5, 3);
SELECT v FROM total WHERE k = 1;
DROP TABLE tally CASCADE;
DROP FUNCTION same, write_more;
-- Since PostgreSQL 18 generated columns can be virtual. No source can use them, but their expressions can be sources.
DO $$
DECLARE
    definition text := 'CREATE FOREIGN TABLE doubled (k int OPTIONS (key ''true'', source %L), at bigint OPTIONS (time ''true'', source %L),'
        ' v int OPTIONS (rule ''sum'', source %L)) SERVER contime OPTIONS (events ''computed'')';
    asked record;
BEGIN
    IF current_setting('server_version_num')::int < 180000 THEN
        RETURN;
    END IF;
    EXECUTE 'CREATE TABLE computed (k int, at bigint, v int, k2 int GENERATED ALWAYS AS (k * 2) VIRTUAL,'
        ' at2 bigint GENERATED ALWAYS AS (at * 2) VIRTUAL, v2 int GENERATED ALWAYS AS (v * 2))';
    FOR asked IN SELECT * FROM (VALUES ('k2', 'k2', 'at', 'v'), ('at2', 'k', 'at2 + 1', 'v'), ('v2', 'k', 'at', 'v + v2')) c(name, k, at, v) LOOP
        BEGIN
            EXECUTE format(definition, asked.k, asked.at, asked.v);
            RAISE 'a source used %', asked.name;
        EXCEPTION WHEN feature_not_supported THEN
            ASSERT SQLERRM = format('a source cannot use virtual generated column "%s" of table "computed"', asked.name);
        END;
    END LOOP;
    EXECUTE format(definition, 'k * 2', 'at * 2', 'v * 2');
    EXECUTE 'INSERT INTO computed VALUES (1, 1, 1), (1, 2, 2), (2, 1, 5)';
    ASSERT (SELECT array_agg(v ORDER BY k) = '{6,10}' FROM doubled);
    ASSERT (SELECT v = 2 FROM doubled WHERE k = 2 AND at = 3);
    EXECUTE 'DROP FOREIGN TABLE doubled';
    EXECUTE 'DROP TABLE computed';
END $$;
