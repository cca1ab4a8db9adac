-- All ways to read a table give the same states: SELECT, contime.at, contime.history, joins.
BEGIN;
SELECT no_plan();

CREATE FOREIGN TABLE account (
    id      int           OPTIONS (key 'true'),
    at      timestamptz   OPTIONS (time 'true'),
    balance numeric(12,2) OPTIONS (rule 'sum', lower '-50', initial '3'),
    owner   text,
    ref     bigint        OPTIONS (event_id 'true')
) SERVER contime;
INSERT INTO account
    SELECT i % 7, timestamptz '2020-01-01' + (i * 7919 % 1000) * interval '1 minute', i % 13 - 6.25, CASE WHEN i % 5 = 0 THEN 'owner ' || i END, i % 300
    FROM generate_series(1, 1000) i;
SELECT contime.snapshot(ROW(i % 7, timestamptz '2020-01-01' + i * interval '97 minutes', i, 'snapshot', NULL)::account) FROM generate_series(1, 10) i;
SELECT contime.finish(ROW(3, '2020-01-01 05:00', NULL, NULL, NULL)::account);

CREATE VIEW probe AS SELECT timestamptz '2020-01-01' + i * interval '43 minutes' AS t FROM generate_series(0, 25) i;
CREATE TEMP TABLE by_join AS SELECT a.* FROM probe JOIN account a ON a.at = t;

SELECT cmp_ok((SELECT count(*) FROM by_join), '>', 100::bigint, 'there are more than 100 states to compare');
SELECT set_eq('TABLE by_join', 'SELECT a.* FROM probe, contime.at(NULL::account, t) a', 'contime.at of every key gives the states of the join');
SELECT set_eq('TABLE by_join', 'SELECT a.* FROM probe, generate_series(0, 6) k, contime.at(NULL::account, t, k) a', 'contime.at of each key gives the states of the join');
SELECT set_eq('TABLE by_join', 'SELECT a.* FROM probe, generate_series(0, 6) k, LATERAL (SELECT * FROM account WHERE id = k AND at = t) a', 'SELECT of one key at one instant gives the states of the join');
SELECT set_eq('TABLE by_join', 'SELECT a.* FROM probe JOIN LATERAL (SELECT * FROM account WHERE at = t) a ON true', 'SELECT of every key at one instant gives the states of the join');
SELECT set_eq('TABLE by_join', 'SELECT a.* FROM generate_series(0, 6) k JOIN probe ON true JOIN account a ON a.id = k AND a.at = t', 'a join on key and instant gives the states of the join on the instant');
SELECT set_eq('TABLE by_join', 'SELECT * FROM account WHERE at = ANY (ARRAY(SELECT t FROM probe))', '= ANY of an array gives the states of the join');
SELECT set_eq('SELECT id, at, balance, owner, ref FROM by_join',
    $$SELECT k, t, (h.state).balance, (h.state).owner, (h.state).ref
      FROM generate_series(0, 6) k CROSS JOIN contime.history(NULL::account, k, '2019-01-01', '2021-01-01') h JOIN probe ON t <@ h.during$$,
    'the states of contime.history are those of the join');
SELECT is_empty(
    $$SELECT k, during FROM (SELECT k, during, state, lag(during) OVER w AS before, lag(state) OVER w AS was
        FROM generate_series(0, 6) k, contime.history(NULL::account, k, '-infinity', 'infinity') WINDOW w AS (PARTITION BY k ORDER BY during)) h
      WHERE isempty(during) OR NOT before << during OR (upper(before) = lower(during)
        AND ((was).balance, (was).owner, (was).ref) IS NOT DISTINCT FROM ((state).balance, (state).owner, (state).ref))$$,
    'the ranges of contime.history do not overlap, and adjacent rows have different states');
SELECT is_empty($$SELECT 1 FROM contime.history(NULL::account, 1, '-infinity', 'infinity') WHERE (state).at IS DISTINCT FROM lower(during)$$,
    'the time column of contime.history is the start of the range');
SELECT results_eq('SELECT id, balance, owner, ref FROM account ORDER BY id',
    'SELECT id, balance, owner, ref FROM contime.at(NULL::account, now()) ORDER BY id', 'SELECT without an instant gives the states of contime.at now');

SELECT * FROM finish();
ROLLBACK;
