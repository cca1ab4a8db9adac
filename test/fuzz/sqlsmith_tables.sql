-- Tables for sqlsmith's queries: with each rule and kind of clock, in memory, durable, partitions, and views on them.
CREATE FOREIGN TABLE account (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), balance bigint OPTIONS (rule 'sum', initial '0'),
	ratio numeric(12,2) OPTIONS (rule 'sum', lower '0', upper '1000'), note text, seen date OPTIONS (rule 'max')) SERVER contime;
INSERT INTO account SELECT i % 7, timestamptz '2026-01-01' + i * interval '1 hour', i, i, 'x' || i, date '2026-01-01' + i FROM generate_series(1, 200) i;
CREATE FOREIGN TABLE frame (name text OPTIONS (key 'true') COLLATE "C", part int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'),
	x float8 OPTIONS (scale '3', interpolate 'linear'), y float8 OPTIONS (scale '3', rate 'v'), v float8 OPTIONS (scale '3'), tags int[], doc jsonb) SERVER contime;
INSERT INTO frame SELECT 'n' || i % 3, i % 2, i, i, i, 1, ARRAY[i], jsonb_build_object('i', i) FROM generate_series(1, 100) i;
CREATE TABLE movement (id int, at timestamptz, amount int, note text);
INSERT INTO movement SELECT i % 5, timestamptz '2026-01-01' + i * interval '1 hour', i, 'x' FROM generate_series(1, 300) i;
CREATE FOREIGN TABLE ledger (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), amount bigint OPTIONS (rule 'sum'), note text) SERVER contime OPTIONS (events 'movement');
CREATE TABLE parted (id int, at timestamptz, s int) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE parted_1 (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), s int OPTIONS (rule 'sum')) SERVER contime;
ALTER TABLE parted ATTACH PARTITION parted_1 FOR VALUES FROM (0) TO (100);
INSERT INTO parted SELECT i % 4, timestamptz '2026-01-01' + i * interval '1 hour', i FROM generate_series(1, 50) i;
CREATE TABLE seen (id int, at timestamptz, n bigint);
INSERT INTO seen SELECT i % 7, timestamptz '2026-01-01' + i * interval '3 hours', i FROM generate_series(1, 60) i;
CREATE VIEW then_account AS SELECT * FROM account WHERE at = '2026-01-05';
CREATE VIEW then_ledger AS SELECT * FROM ledger WHERE at = '2026-01-05';
CREATE VIEW as_of AS SELECT s.id, s.at, s.n, a.balance, l.amount FROM seen s LEFT JOIN account a ON a.id = s.id AND a.at = s.at LEFT JOIN ledger l ON l.id = s.id AND l.at = s.at;
CREATE VIEW changes AS SELECT during, (state).* FROM contime.history(NULL::account, 1, '2026-01-01', '2026-01-09');
