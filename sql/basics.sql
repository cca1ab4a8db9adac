-- A tour of the SQL interface: what a new user does first, with the results.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';

CREATE FOREIGN TABLE account (
    id       bigint        OPTIONS (key 'true'),
    at       timestamptz   OPTIONS (time 'true'),
    balance  numeric(18,2) OPTIONS (rule 'sum', initial '0'),
    owner    text
) SERVER contime;

-- An empty table has no row at any instant.
SELECT * FROM account;
SELECT * FROM account WHERE at = '2020-01-01';
SELECT * FROM contime.at(NULL::account, '2020-01-01');
SELECT * FROM contime.history(NULL::account, 42, '-infinity', 'infinity');

-- Events, out of order: before the first there is no row, an event at T is part of T.
INSERT INTO account (id, at, balance) VALUES (42, '2020-01-03 10:00', -10);
INSERT INTO account VALUES (42, '2020-01-01 10:00', 100, 'Ada'), (7, '2020-01-02', 5, 'Grace');
SELECT * FROM account WHERE id = 42 AND at = '2020-01-01 09:59:59.999999';
SELECT * FROM account WHERE id = 42 AND at = '2020-01-01 10:00';
SELECT * FROM account WHERE id = 42 AND at = '2020-01-02';
SELECT * FROM account WHERE id = 42 AND at = '2020-01-03 09:59:59.999999';
SELECT * FROM account WHERE id = 42 AND at = '2020-01-03 10:00';

-- Several instants: each a slice.
SELECT * FROM account WHERE at IN ('2020-01-03', '2020-01-01 12:00', '2020-01-03') ORDER BY at, id;
SELECT * FROM account WHERE at = ANY (ARRAY['2020-01-02', '2020-01-04']::timestamptz[]) AND id = 42 ORDER BY at;
SELECT * FROM account WHERE at = 'infinity' ORDER BY id;
SELECT * FROM account WHERE at = '-infinity';
SELECT * FROM account WHERE at = NULL;

-- The functions.
SELECT * FROM contime.at(NULL::account, '2020-01-02') ORDER BY id;
SELECT * FROM contime.at(NULL::account, '2020-01-03 10:00', 42);
SELECT * FROM contime.at(NULL::account, '2020-01-03 10:00', 43);
SELECT * FROM contime.at(NULL::account, NULL);
SELECT * FROM contime.at(NULL::account, '2020-01-03', NULL::bigint);
SELECT during, (state).* FROM contime.history(NULL::account, 42, '-infinity', 'infinity');
SELECT during, (state).at, (state).balance FROM contime.history(NULL::account, 42, '2020-01-02', '2020-01-03 10:00:01');
SELECT * FROM contime.history(NULL::account, 42, '2020-01-02', '2020-01-02');
SELECT * FROM contime.history(NULL::account, 42, '2019-01-01', '2019-01-02');

-- COPY, and writing by functions.
COPY account FROM STDIN;
42	2020-01-05 00:00:00+00	1.5	\N
8	2020-01-05 00:00:00+00	\N	Barbara
\.
COPY account (id, at, owner) FROM STDIN (FORMAT csv);
8,2020-01-06 00:00:00+00,Liskov
\.
SELECT contime.event(ROW(42, '2020-01-06', 1000, NULL)::account);
SELECT contime.event(ROW(42, '2020-01-07', NULL, NULL)::account, set_null => '{owner}');
SELECT contime.event(jsonb_populate_record(NULL::account, '{"id": 9, "at": "2020-01-05", "balance": 3}'));
SELECT * FROM account WHERE at = '2020-01-10' ORDER BY id;

-- A NULL in an event leaves the column as it is; a rule that is applied to NULL starts from initial.
SELECT contime.event(ROW(42, '2020-01-08', NULL, NULL)::account, set_null => '{balance}');
SELECT * FROM account WHERE id = 42 AND at = '2020-01-08';
INSERT INTO account VALUES (42, '2020-01-09', -3, 'Ada');
SELECT * FROM account WHERE id = 42 AND at = '2020-01-09';

-- A snapshot is authoritative: late events before it end at it.
SELECT contime.snapshot(ROW(42, '2020-01-10', 500, NULL)::account);
SELECT contime.snapshot(ROW(42, '2020-01-11', 600, 'not named')::account, columns => '{balance}');
INSERT INTO account VALUES (42, '2020-01-09 12:00', 1000000, 'Late');
INSERT INTO account VALUES (42, '2020-01-12', 1, NULL);
SELECT during, (state).balance, (state).owner FROM contime.history(NULL::account, 42, '2020-01-08', '2020-02-01');

-- A partial snapshot of a key that has no events yet begins its life; the other columns have their initial values.
SELECT contime.snapshot(ROW(11, '2020-01-10', NULL, 'Edsger')::account, columns => '{owner}');
SELECT * FROM account WHERE id = 11 AND at = '2020-01-10';

-- finish ends a life; a later event begins a new one; history has a gap.
SELECT contime.finish(ROW(42, '2020-01-20', NULL, NULL)::account);
SELECT * FROM account WHERE id = 42 AND at = '2020-01-20';
INSERT INTO account (id, at, balance) VALUES (42, '2020-01-25', 7);
SELECT during, (state).balance, (state).owner FROM contime.history(NULL::account, 42, '2020-01-11', '2020-02-01');
SELECT o.n, a.balance FROM (VALUES (1, timestamptz '2020-01-19'), (2, '2020-01-21'), (3, '2020-01-26')) o(n, at)
    LEFT JOIN account a ON a.id = 42 AND a.at = o.at ORDER BY o.n;

-- The order at one instant: finish, events, snapshots.
SELECT contime.snapshot(ROW(100, '2020-01-01', 10, 'snapshot')::account);
INSERT INTO account VALUES (100, '2020-01-01', 5, 'event');
SELECT contime.finish(ROW(100, '2020-01-01', NULL, NULL)::account);
SELECT * FROM account WHERE id = 100 AND at = '2020-01-01';
INSERT INTO account VALUES (101, '2020-01-01', 5, 'a life'), (101, '2020-01-02', 1, NULL);
SELECT contime.finish(ROW(101, '2020-01-02', NULL, NULL)::account);
SELECT * FROM account WHERE id = 101 AND at = '2020-01-02';

-- Without event ids there are no duplicates; events of one instant are ordered by content.
INSERT INTO account VALUES (102, '2020-01-01', 5, 'b'), (102, '2020-01-01', 5, 'b'), (102, '2020-01-01', 5, 'a');
SELECT * FROM account WHERE id = 102 AND at = '2020-01-01';

-- Now: events in the future are not part of the state.
INSERT INTO account VALUES (200, '2020-01-01', 1, 'past'), (200, '9000-01-01', 1, 'future');
SELECT id, balance, owner FROM account WHERE id = 200;
SELECT a.at = statement_timestamp() AS "at is now" FROM account a WHERE id = 200;
SELECT id, balance, owner FROM account WHERE id = 200 AND at = now();
SELECT id, balance, owner FROM account WHERE id = 200 AND at = 'infinity';

-- A NULL time is the current time, strictly increasing in a session; a read of now sees these events.
INSERT INTO account VALUES (201, NULL, NULL, 'first');
INSERT INTO account VALUES (201, NULL, NULL, 'second');
SELECT owner FROM account WHERE id = 201;
INSERT INTO account SELECT 202, NULL, 1, 'n' || n FROM generate_series(1, 100) n;
SELECT balance, owner FROM account WHERE id = 202;
SELECT count(*), count(DISTINCT during) FROM contime.history(NULL::account, 202, '-infinity', 'infinity');
BEGIN;
INSERT INTO account VALUES (203, NULL, 1, 'stamped');
SELECT balance, owner, at >= now() AS "not before the transaction" FROM account WHERE id = 203;
COMMIT;

-- Joins on the time column: as-of, gap filling, two slices.
CREATE TABLE orders (n int, account bigint, placed_at timestamptz);
INSERT INTO orders VALUES (1, 42, '2020-01-01 10:00'), (2, 42, '2020-01-04'), (3, 7, '2020-01-04'), (4, 7, '2020-01-01'), (5, 42, '2020-01-22');
SELECT o.n, o.placed_at, a.balance FROM orders o JOIN account a ON a.id = o.account AND a.at = o.placed_at ORDER BY o.n;
SELECT o.n, a.balance FROM orders o LEFT JOIN account a ON a.id = o.account AND a.at = o.placed_at ORDER BY o.n;
SELECT g.t, a.balance FROM generate_series(timestamptz '2020-01-01', '2020-01-06', '1 day') g(t)
    JOIN account a ON a.at = g.t AND a.id = 42 ORDER BY g.t;
SELECT a.id, b.balance - a.balance AS gained FROM account a JOIN account b ON b.id = a.id
    WHERE a.at = '2020-01-02' AND b.at = '2020-01-09' ORDER BY a.id;
SELECT g.t, count(*), sum(balance) FROM generate_series(timestamptz '2020-01-01', '2020-01-05', '2 days') g(t)
    JOIN account a ON a.at = g.t GROUP BY g.t ORDER BY g.t;

-- Prepared, in views, in functions.
PREPARE then_(timestamptz, bigint) AS SELECT balance FROM account WHERE id = $2 AND at = $1;
EXECUTE then_('2020-01-02', 42);
EXECUTE then_('2020-01-03 10:00', 42);
SET plan_cache_mode = force_generic_plan;
EXECUTE then_('2020-01-09', 42);
EXECUTE then_('2020-01-02', 7);
RESET plan_cache_mode;
CREATE VIEW owners AS SELECT id, owner, at FROM account WHERE owner IS NOT NULL;
SELECT * FROM owners WHERE at = '2020-01-06' ORDER BY id;
CREATE FUNCTION balance_then(bigint, timestamptz) RETURNS numeric LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT balance FROM account WHERE id = $1 AND at = $2);
END $$;
SELECT balance_then(42, '2020-01-02'), balance_then(42, '2020-01-09'), balance_then(43, '2020-01-09');
SELECT id, (SELECT a.balance FROM account a WHERE a.id = o.account AND a.at = o.placed_at) AS balance
    FROM orders o, LATERAL (SELECT o.n AS id) x ORDER BY 1;

-- Every rule, with bounds and initial values.
CREATE FOREIGN TABLE sensor (
    name    text        OPTIONS (key 'true'),
    at      timestamptz OPTIONS (time 'true'),
    total   int         OPTIONS (rule 'sum'),
    tank    int         OPTIONS (rule 'sum', lower '0', upper '10', initial '5'),
    lowest  int         OPTIONS (rule 'min'),
    highest int         OPTIONS (rule 'max', initial '0'),
    latest  int         OPTIONS (rule 'last', initial '-1'),
    label   text
) SERVER contime;
INSERT INTO sensor (name, at, label) VALUES ('s', '2020-01-01', 'new');
INSERT INTO sensor VALUES
    ('s', '2020-01-02', 1, 100, 3, -3, 3, NULL),
    ('s', '2020-01-03', 1, -4, 7, 7, 7, NULL),
    ('s', '2020-01-04', 1, -100, -2, 2, 2, NULL),
    ('s', '2020-01-05', 1, 3, 0, 0, 0, NULL);
SELECT * FROM sensor WHERE at IN ('2020-01-01', '2020-01-02', '2020-01-03', '2020-01-04', '2020-01-05') ORDER BY at;
-- A late event among clamped ones changes only the states that it must.
INSERT INTO sensor (name, at, tank) VALUES ('s', '2020-01-02 12:00', -8);
SELECT at, tank FROM sensor WHERE at IN ('2020-01-02', '2020-01-02 12:00', '2020-01-03', '2020-01-04', '2020-01-05') ORDER BY at;
-- Set every column to NULL, and continue from there.
SELECT contime.event(ROW('s', '2020-01-06', NULL, NULL, NULL, NULL, NULL, NULL)::sensor,
                     set_null => '{total,tank,lowest,highest,latest,label}');
SELECT * FROM sensor WHERE at = '2020-01-06';
INSERT INTO sensor VALUES ('s', '2020-01-07', 2, 2, 2, -2, 2, 'back');
SELECT * FROM sensor WHERE at = '2020-01-07';
-- A full snapshot of NULLs is a row of NULLs.
SELECT contime.snapshot(ROW('s', '2020-01-08', NULL, NULL, NULL, NULL, NULL, NULL)::sensor);
SELECT * FROM sensor WHERE at = '2020-01-08';

-- A logical clock.
CREATE FOREIGN TABLE world (
    body   int    OPTIONS (key 'true'),
    tick   bigint OPTIONS (time 'true'),
    x      int    OPTIONS (rule 'sum', initial '0')
) SERVER contime;
INSERT INTO world VALUES (1, 10, 1), (1, 20, 1), (2, 15, 7), (1, -5, 1);
SELECT * FROM world ORDER BY body;
SELECT * FROM world WHERE tick = 15 ORDER BY body;
SELECT * FROM world WHERE tick = 15::int ORDER BY body;
SELECT * FROM contime.at_tick(NULL::world, 14) ORDER BY body;
SELECT * FROM contime.at_tick(NULL::world, 10, 1);
SELECT during, (state).* FROM contime.history_tick(NULL::world, 1, -100, 100);
SELECT t, w.x FROM generate_series(0, 20, 10) t JOIN world w ON w.tick = t AND w.body = 1 ORDER BY t;

-- Event ids: copies count once, in whatever order they arrive; of different contents one wins by content.
CREATE FOREIGN TABLE stock (
    item     text        OPTIONS (key 'true'),
    at       timestamptz OPTIONS (time 'true'),
    pieces   int         OPTIONS (rule 'sum', initial '0'),
    movement text        OPTIONS (event_id 'true')
) SERVER contime;
INSERT INTO stock VALUES ('nut', '2020-01-01', 5, 'm1'), ('nut', '2020-01-01', 5, 'm1'), ('nut', '2020-01-01', 5, 'm2');
INSERT INTO stock VALUES ('nut', '2020-01-01', 5, 'm1'), ('nut', '2020-01-02', 5, 'm1');
SELECT * FROM stock WHERE at IN ('2020-01-01', '2020-01-02') ORDER BY at;
INSERT INTO stock VALUES ('bolt', '2020-01-01', 9, 'm1'), ('bolt', '2020-01-01', 3, 'm1'), ('bolt', '2020-01-01', 6, 'm1');
SELECT * FROM stock WHERE item = 'bolt' AND at = '2020-01-01';
INSERT INTO stock VALUES ('bolt', '2020-01-01', 1, NULL), ('bolt', '2020-01-01', 1, NULL);
SELECT * FROM stock WHERE item = 'bolt' AND at = '2020-01-01';

-- Several keys.
CREATE FOREIGN TABLE shelf (
    hall  int         OPTIONS (key 'true'),
    at    timestamptz OPTIONS (time 'true'),
    place text        OPTIONS (key 'true'),
    boxes int         OPTIONS (rule 'sum')
) SERVER contime;
INSERT INTO shelf VALUES (1, '2020-01-01', 'a', 1), (1, '2020-01-01', 'b', 2), (2, '2020-01-01', 'a', 4);
SELECT * FROM shelf WHERE hall = 1 AND place = 'a' AND at = '2020-01-01';
SELECT * FROM shelf WHERE place = 'a' AND at = '2020-01-01' ORDER BY hall;
SELECT * FROM contime.at(NULL::shelf, '2020-01-01') ORDER BY hall, place;

DROP VIEW owners;
DROP FUNCTION balance_then;
DROP TABLE orders;
DROP FOREIGN TABLE account, sensor, world, stock, shelf;
