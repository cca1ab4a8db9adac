#!/usr/bin/perl
# ddl.pl: random DDL and function calls by hostile roles.
#
# Each round begins with valid continuous tables, in memory and durable, partitions, event tables, views, domains
# and functions that belong to a role with CREATE on its schemas and USAGE on the server only. Then four
# sessions (two of that role, one of another that may create databases, one that may only read) and sometimes
# a superuser run statements of the grammar below: most of them valid, the others with one invalid part, or with
# a word removed, doubled or replaced. They run one after the other, or in all sessions concurrently; in
# transactions, savepoints, prepared statements and cursors; some connections are closed abruptly.
#
# A statement may succeed or fail, but
#
#	* no process of the server crashes, no assertion fails, no process panics;
#	* no statement raises XX000 (internal error), to a client or in the log;
#	* no statement finds that a catalog row is gone which it had not locked ("cache lookup failed");
#	* code of the hostile roles runs as one of them, never as the superuser who reads one of their tables,
#	  nor as a background process (fuzz.probe() raises ZZ999 then);
#	* no statement runs longer than its timeout, or cannot be cancelled.
#
#	CT_SEED=n        the seed; printed, so that a failure can be repeated (as far as timing allows)
#	CT_DDL=n         number of statements (default 4000)
#	CT_ROUND=n       start with this round, which has a seed of its own
#	CT_FAULTS=n      continue until so many kinds of faults were found (default 8)
#	CT_LOG=file      the server's log; needs log_error_verbosity = verbose and log_line_prefix = '%b[%p] '
#	CT_SHOW=1        show every statement and its result
#
# For the first fault of each kind the last statements are printed as a script; those of its whole round are written to
# ddl-script.sql. At the end the test prints the number of statements, the share that succeeded, and the SQLSTATEs of the others.
# The server is the one that PGHOST and PGPORT name, on a build with assertions.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Time::HiRes;
use Wire;
$| = 1;

my $seed = $ENV{CT_SEED} // int(time() * 7919 + $$) % 1_000_000_000;
my $most = $ENV{CT_DDL} // 4000;
my $most_faults = $ENV{CT_FAULTS} // 8;
my $per_round = 500;
my $database = $ENV{PGDATABASE} // 'postgres';
my $superuser = $ENV{PGUSER} // 'postgres';
# PostgreSQL 16 renamed the setting.
my $parallel_mode = `psql --version` =~ / 15\b/ ? "force_parallel_mode" : "debug_parallel_query";
my $slow = $ENV{CT_VALGRIND} ? 20 : 1;
print "# CT_SEED=$seed CT_DDL=$most\n";

sub pick { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }

# ---- the grammar -----------------------------------------------------------------------
# A slot <name> has valid values and odd ones. All slots of a statement get valid values; in some statements
# one slot gets an odd one.

my @odd_texts = (
	"''", "' '", "'*'", "'t.*'", "'id, at'", "'count(*)'", "'sum(s) OVER ()'", "'generate_series(1, 3)'", "'(SELECT 1)'", "'DISTINCT id'",
	"'id AS x'", "'id HAVING true'", "'id FOR UPDATE'", "'id INTO x'", "'id UNION SELECT 1'", "'id LIMIT 1'", "'id WHERE true'", "'\$1'", "'id; SELECT 1'",
	"'id -- '", "'/* id'", "'id /* */'", "'NULL'", "'nosuch'", "'fuzz.isok(id)::int'", "'ctid::text'", "'tableoid::int'", "'e1'", "'e1.*'", "'(e1).id'",
	"'row(id, at)'", "'array[id]'", "'''13''::fuzz.checked::int'", "'''{13}''::fuzz.checked[]'", "'(1, 2)::fuzz.pair'", "'random()::int'", "'now()'",
	"'CURRENT OF c'", "'TABLE e1'", "'VALUES (1)'", "'DEFAULT'", "'id::fuzz.color'", "'id COLLATE \"C\"'", "'1/0'", "'fuzz.raises(1)'", "'grouping(id)'",
	"'id = ANY (SELECT 1)'", "'EXISTS (TABLE e1)'", "'xmin::text'", "'merge_action()'", "'current_user'", "'pg_sleep(1)'", "'\"\"'", "'U&\"\\0000\"'", "E'\\\\'",
	"'1e400'", "'99999999999999999999'", "'-1'", "'true'", "'infinity'", "'NaN'", "'2026-02-30'", "'13'", "'{1,2}'", "'(1,2)'", "'\x{c3}\x{a9}'",
	"repeat('(', 10000)", "long", "deep");

my %grammar = (
	memory => [ [qw(m1 m2 m3 m4 n1)], [qw(e1 v1 nosuch pg_class contime.source contime.tables d1 pm seq)] ],
	durable => [ [qw(d1 d2 d3 d4 n2)], [qw(e1 m1 v1 nosuch pg_class contime.source pm)] ],
	continuous => [ [qw(m1 m2 m3 m4 d1 d2 d3 d4 n1 n2 pm_1)], [qw(e1 v1 pm nosuch contime.source pg_type fuzz2.x seq i1 pair)] ],
	events => [ [qw(e1 e2 e3 e2_1 e2_2 e4)], [qw(m1 d1 v1 nosuch pg_class contime.source temp_e un pm pm_1 i1 fuzz2.x)] ],
	relation => [ [qw(m1 m2 m3 m4 d1 d2 d3 d4 e1 e2 e3 e2_1 e4 pm pm_1 v1 v2 n1 n2)], [qw(nosuch pg_class contime.source contime.tables contime.workers temp_e seq i1 mv)] ],
	new => [ [qw(n1 n2 n3 n4)], [qw(m1 e1 v1 contime.x pg_catalog.x pg_temp.x fuzz2.n1 "" nosuch.x)] ],
	column => [ [qw(id at s b l c x y)], [qw(ctid tableoid nosuch "" xmin k "........pg.dropped.2........")] ],
	key => [ [qw(1 2 3 7)], [ "NULL", "'x'", "1.5", "'13'::fuzz.checked", "ROW(1, 2)", "'{}'", "99999999999", "-1", "'\x{c3}\x{a9}'", "repeat('x', 3000)", "fuzz.isok(1)" ] ],
	time => [ [ "'2026-01-01'", "'2026-02-01'", "'2026-03-01 12:00+02'", "now()", "NULL" ], [ "'infinity'", "'-infinity'", "'4714-11-24 00:00:00+00 BC'", "'294276-12-31'", "5", "'x'", "true" ] ],
	instant => [ [ "'2026-01-01'", "'2026-02-01'", "now()", "'infinity'" ], [ "NULL", "'-infinity'", "'294276-12-31'", "5::bigint", "'x'", "clock_timestamp()", "(SELECT max(at) FROM e1)" ] ],
	number => [ [qw(1 -1 0 5 10 100)], [ "NULL", "'NaN'", "9223372036854775807", "-9223372036854775808", "1e30", "13", "'x'", "0.001" ] ],
	text => [ [ "'a'", "'b'", "NULL" ], [ "repeat('x', 100000)", "5", "E'\\\\'", "''" ] ],
	type => [
		[ 'int', 'bigint', 'text', 'numeric(12,2)', 'timestamptz', 'uuid', 'date', 'fuzz.checked', 'fuzz.color', 'smallint', 'boolean', 'jsonb', 'interval', 'varchar(5)' ],
		[ 'numeric', 'float8', 'fuzz.pair', 'fuzz.checked[]', 'fuzz.deep', 'fuzz.spans', 'int4range', 'record', 'anyelement', 'void', 'e1', 'm1', 'bit(0)', 'char', '"char"', 'name', 'regclass', 'xml', 'oid',
			'cstring', 'internal', 'numeric(1000,500)', 'numeric(3,-5)', 'fuzz.mood', 'nosuch', 'int[]', 'bpchar', 'bytea', 'text COLLATE "C"', 'serial', 'trigger', 'pg_node_tree', 'unknown', 'contime.source', 'contime.tables' ] ],
	columnoption => [
		[ "key 'true'", "time 'true'", "rule 'sum'", "rule 'last'", "rule 'min'", "rule 'max'", "initial '0'", "lower '0'", "upper '100'", "scale '2'", "interpolate 'linear'", "rate 'b'", "event_id 'true'", "source 'id'", "source 's + 1'" ],
		[ ( map { "source $_" } grep { /^'/ } @odd_texts ), ( map { "initial $_" } grep { /^'/ } @odd_texts ), "rate 'id'", "rate 's'", "rate ''", "rate 'nosuch'", "scale '-1'", "scale '16'", "scale '99999999999'",
			"key 'maybe'", "key '0'", "rule ''", "rule 'nosuch'", "nosuch 'x'", "\"\" 'x'", "lower 'NaN'", "upper 'x'", "lower '13'", "upper '1e99'", "event_id 'false'", "events 'e1'", "interpolate 'x'" ] ],
	tableoption => [
		[ "notify 'key'", "notify 'on'", "notify 'off'", "retain '7 days'", "too_late 'ignore'", "bad_rows 'ignore'", "bad_rows 'error'", "ties 'event_id'", "ties 'kind'", "identity 'key'", "events 'e1'", "events 'e2'", "events 'fuzz.e3'" ],
		[ "events ''", "events 'm1'", "events 'd1'", "events 'v1'", "events 'pg_class'", "events 'contime.source'", "events 'nosuch'", "events 'a.b.c.d'", "events 'temp_e'", "events 'pg_temp.temp_e'", "events 'e2_1'", "events '\"'",
			"events 'pm'", "events 'n1'", "events 'mv'", "events 'seq'", "retain '-1'", "retain 'x'", "retain '1000000000 years'", "retain '9223372036854775807'", "retain ''", "notify 'x'", "too_late ''", "bad_rows 'x'", "ties 'id'", "identity 'id'", "nosuch 'x'", "key 'true'", "memory_limit '1kB'",
			"memory_limit '-1'", "memory_limit 'x'", "memory_limit '99999TB'" ] ],
	change => [ [ 'SET ', 'ADD ', 'DROP ' ], [ '', 'nosuch ' ] ],
	dropped => [ [qw(initial lower upper rule source rate key time scale interpolate event_id notify events retain ties identity)], [ 'nosuch', '""' ] ],
	constraint => [ [ '', 'NULL', 'DEFAULT 1', "DEFAULT now()" ], [ 'NOT NULL', 'CHECK (fuzz.isok(1))', 'GENERATED ALWAYS AS (1) STORED', 'GENERATED ALWAYS AS IDENTITY', 'PRIMARY KEY', 'DEFAULT fuzz.raises(1)', "DEFAULT nextval('fuzz.seq')", 'COLLATE "nosuch"', 'REFERENCES e1', 'UNIQUE' ] ],
	server => [ ['contime'], [ 'nosuch', 'plain' ] ],
	mapping => [
		[ "'{}'", "'{\"s\": \"id\"}'", "'{\"s\": \"s * 2\", \"l\": null}'", "'{\"id\": \"id\", \"at\": \"at\", \"s\": \"-s\"}'" ],
		[ "'[]'", "'null'", "'5'", "'\"x\"'", "'{\"nosuch\": \"id\"}'", "'{\"\": \"id\"}'", "'{\"s\": 5}'", "'{\"s\": {}}'", "'{\"s\": [\"id\"]}'", "'{\"s\": true}'", "NULL", "'{\"id\": null}'", "'{\"s\": \"id\", \"s\": \"*\"}'",
			"'{\"ctid\": \"id\"}'", "'{\"........pg.dropped.3........\": \"id\"}'", "jsonb_build_object('s', <oddtext>)", "jsonb_build_object('id', <oddtext>)", "jsonb_build_object('at', <oddtext>)", "jsonb_build_object(repeat('k', 1000), 'id')",
			"(SELECT jsonb_object_agg('c' || i, 'id') FROM generate_series(1, 2000) i)" ] ],
	oddtext => [ [ map { $_ eq 'long' ? "repeat('id + ', 30000) || '1'" : $_ eq 'deep' ? "repeat('(', 2000) || '1' || repeat(')', 2000)" : $_ } @odd_texts ], ["NULL::text"] ],
	kind => [ [ "'event'", "'snapshot'", "'finish'" ], [ "'x'", "''", 'NULL', "repeat('x', 100)" ] ],
	regclass => [ [ map { "'$_'" } qw(m1 m2 d1 d2 d3 d4 n1 n2) ], [ '0', '1', '4294967295', 'NULL', "'e1'", "'v1'", "'pg_class'", "'contime.source'", "'pm'", "'i1'", "'seq'", "'e2'", "'pair'", "-1::oid::regclass" ] ],
	eventclass => [ [ map { "'$_'" } qw(e1 e2 e3 e4) ], [ '0', '1', 'NULL', "'m1'", "'d1'", "'v1'", "'pg_class'", "'contime.source'", "'pm'", "'mv'", "'e2_1'", "'seq'", "'i1'", "'temp_e'" ] ],
	nulltable => [ [ map { "NULL::$_" } qw(m1 m2 m3 d1 d2 d3 d4 n1) ], [ 'NULL', '1', 'NULL::fuzz.pair', 'NULL::fuzz.checked', 'NULL::fuzz.deep', 'NULL::e1', 'NULL::v1', 'NULL::int', 'NULL::record', 'ROW(1, now(), 2)', 'NULL::contime.source', 'NULL::fuzz.of_m1', 'NULL::pm', "''::text", 'NULL::mv', 'ROW(1)::fuzz.pair', 'NULL::pg_class', 'NULL::m1[]' ] ],
	rowof => [
		[ "ROW(<key>, <time>, <number>, <number>, <text>)::m1", "ROW('a', <key>, <number>, <number>)::m2", "ROW(<key>, <time>, <number>, <text>)::m3", "ROW(<key>, <time>, <number>)::m4" ],
		[ "NULL::m1", "NULL", "ROW(1)", "ROW(<key>, <time>, <number>, <number>, <text>)::d1", "ROW(<key>, <time>, <number>, <number>, <text>)::e1", "(1, 2)::fuzz.pair", "'13'::fuzz.checked", "5", "jsonb_populate_record(NULL::m1, '{\"id\": 1, \"s\": null}')",
			"ROW(<key>, <time>, 1)::fuzz.of_m1", "(SELECT m1 FROM m1 LIMIT 1)", "NULL::v1", "ROW(<key>, <time>, <number>, <number>, <text>)::pm", "''::text", "ROW(NULL, NULL, NULL, NULL, NULL)::m1" ] ],
	names => [ [ "'{}'", "'{s}'", "'{l}'", "'{s,l}'" ], [ 'NULL', "'{NULL}'", "'{{s},{l}}'", "'{nosuch}'", "'{id}'", "'{at}'", "'{s,s}'", "'{\"\"}'", "'[5:6]={s,l}'", "'{ctid}'", "(SELECT array_agg('c' || i) FROM generate_series(1, 3000) i)::name[]" ] ],
	step => [ [ "'1 day'", "'1 hour'" ], [ "'0'", "'-1 day'", 'NULL', "'1 microsecond'", "'178000000 years'", "'1 month -30 days'" ] ],
	tick => [ [qw(0 1 5 100)], [ 'NULL', '9223372036854775807', '-9223372036854775808', "'x'", '1.5' ] ],
	role => [ [qw(fuzz_evil fuzz_second fuzz_reader)], [ 'PUBLIC', 'CURRENT_USER', $superuser, 'nosuch', 'pg_read_all_data', 'pg_monitor', 'NONE' ] ],
	privilege => [ [qw(SELECT INSERT UPDATE DELETE TRUNCATE TRIGGER ALL)], [ 'SELECT (id)', 'INSERT (s)', 'UPDATE (nosuch)', 'USAGE', 'EXECUTE', 'REFERENCES (id)' ] ],
	behaviour => [ [ '', 'CASCADE', 'RESTRICT' ], [] ],
	columns => [
		[ "id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), s bigint OPTIONS (rule 'sum')", "id int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), s numeric(12,2) OPTIONS (rule 'sum', initial '0', lower '0')",
			"id text OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), s <type> OPTIONS (<columnoption>), l text", "id <type> OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), s int", "id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), s int OPTIONS (<columnoption>, <columnoption>) <constraint>" ],
		[ '', "id int", "at timestamptz OPTIONS (time 'true')", "id int OPTIONS (key 'true')", "id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')", "id int OPTIONS (key 'true'), at <type> OPTIONS (time 'true'), s int",
			"LIKE e1", "id int OPTIONS (key 'true', time 'true')", "id int OPTIONS (key 'true'), a timestamptz OPTIONS (time 'true'), b timestamptz OPTIONS (time 'true')",
			( join ', ', "id int OPTIONS (key 'true')", "at timestamptz OPTIONS (time 'true')", map { "c$_ int" } 1 .. 70 ), "id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), s int, CHECK (fuzz.isok(s))" ] ],
	bound => [ [ 'FOR VALUES FROM (100) TO (200)', 'FOR VALUES FROM (0) TO (100)', 'DEFAULT' ], [ "FOR VALUES IN (1)", "FOR VALUES FROM (fuzz.isok(1)::int) TO (5)", 'FOR VALUES WITH (MODULUS 2, REMAINDER 0)', "FOR VALUES FROM ('x') TO (MAXVALUE)", 'FOR VALUES FROM (5) TO (5)' ] ],
	condition => [
		[ "at = <instant>", "id = <key> AND at = <instant>", "at IN (<instant>, <instant>)", "id = <key>", "true", "at = ANY (ARRAY[<instant>]::timestamptz[])" ],
		[ "at > <instant>", "at BETWEEN <instant> AND <instant>", "at IS NULL", "at <> <instant>", "id = at", "(at = <instant> OR id = <key>)", "at::date = '2026-01-01'", "fuzz.isok(id)", "at = (SELECT at FROM e1 LIMIT 1)", "ctid = '(0,1)'", "tableoid = 5", "id IN (SELECT id FROM m1)", "at = m1.at", "id = \$1" ] ],
	list => [ [ '*', 'count(*)', 'id, s', 'id' ], [ 'm1', 'ctid', 'tableoid::regclass', 'xmin', 'nosuch', 'fuzz.isok(id)', 'id / 0', '(contime.history(NULL::m1, id, now(), now())).*', 'sum(s) OVER (ORDER BY at)', 'at + at', 'fuzz.raises(id)' ] ],
	lock => [ [ 'ACCESS SHARE', 'ROW EXCLUSIVE', 'SHARE', 'ACCESS EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE' ], [ 'NOSUCH' ] ],
	setting => [
		[ "contime.at = '2026-01-15'", "contime.at = ''", 'contime.require_instant = on', 'contime.require_instant = off', "search_path = fuzz, public", 'enable_nestloop = off', 'enable_hashjoin = off', 'work_mem = 64', "timezone = 'Asia/Kolkata'", "datestyle = 'German'", 'plan_cache_mode = force_generic_plan',
			'parallel_setup_cost = 0', "$parallel_mode = on", 'constraint_exclusion = on', 'row_security = off', 'row_security = on', "default_transaction_isolation = 'serializable'", "default_transaction_isolation = 'read committed'", 'enable_partitionwise_join = on', 'jit = off', 'session_replication_role = origin' ],
		[ "contime.at = 'x'", "contime.at = 'infinity'", "contime.at = '-infinity'", "contime.at = '5'", "contime.at = '9999999999999999999'", "contime.at = 'now'", "contime.nosuch = 5", 'contime.memory = 5', 'contime.workers = 99', 'contime.debug_visibility = exact', 'session_replication_role = replica', "search_path = ''", "search_path = contime, fuzz",
			"search_path = pg_temp, fuzz, contime", 'contime.debug_partial = on', 'default_transaction_read_only = on', "contime.at = ' '", "contime.role_memory = '1kB'", "contime.database_memory = '0'" ] ],
	internal => [
		[qw(contime.fdw_handler contime.fdw_validator contime.at_support contime.range_support contime.series_support contime.source_changed contime.capture contime.table_stats contime.worker_stats contime.verify contime.since contime.events contime.at contime.at_tick contime.history contime.history_tick contime.series contime.series_tick contime.since_tick contime.latest contime.latest_tick contime.events_tick contime.reconciliations contime.reconciliations_tick contime.add_source contime.drop_source contime.event contime.snapshot contime.finish)],
		[qw(contime.nosuch contime.x)] ],
	arguments => [ [ '', 'NULL', 'NULL, NULL', 'NULL, NULL, NULL', "NULL::internal", "'{}', 0", "'{key=true}', 1249", "ARRAY['key=true'], 3118", '<regclass>', '<nulltable>, <instant>', '<nulltable>, <key>, <instant>, <instant>', '<nulltable>, <tick>', '<rowof>', '<rowof>, <names>' ], [ '1, 2, 3, 4, 5, 6', 'VARIADIC ARRAY[1]', '*', '<oddtext>' ] ],
	timing => [ [ 'BEFORE INSERT', 'AFTER INSERT', 'AFTER UPDATE', 'AFTER DELETE', 'BEFORE TRUNCATE', 'AFTER INSERT OR UPDATE OR DELETE', 'AFTER TRUNCATE' ], [ 'INSTEAD OF INSERT', 'AFTER UPDATE OF id' ] ],
	level => [ [ 'FOR EACH ROW', 'FOR EACH STATEMENT' ], [ 'REFERENCING NEW TABLE AS nt FOR EACH STATEMENT' ] ],
	triggerfunction => [ [ 'fuzz.trig()', 'fuzz.writes()' ], [ 'contime.capture()', 'contime.source_changed()', "contime.capture('x')", 'fuzz.nosuch()', 'suppress_redundant_updates_trigger()' ] ],
	write => [
		[ "INSERT INTO m1 (id, at, s) VALUES (<key>, <time>, <number>)", "INSERT INTO m1 SELECT i, '2026-01-01'::timestamptz + i * interval '1 hour', i, i, 'x' FROM generate_series(1, 50) i", "INSERT INTO m2 (k, k2, at) VALUES ('a', <key>, <tick>)", "INSERT INTO m3 (id, at, c) VALUES (<key>, <time>, <number>)",
			"INSERT INTO e1 VALUES (<key>, <time>, <number>, <number>, <text>)", "INSERT INTO e1 SELECT i % 7, '2026-01-01'::timestamptz + i * interval '1 hour', i, i, 'x' FROM generate_series(1, 60) i", "UPDATE e1 SET s = <number> WHERE id = <key>", "DELETE FROM e1 WHERE id = <key>",
			"INSERT INTO e2 VALUES (<key>, <time>, <number>)", "UPDATE e2 SET id = id + 1 WHERE id = <key>", "DELETE FROM e2 WHERE id = <key>", "INSERT INTO e3 VALUES (<key>, <time>, <number>) ON CONFLICT (id, at) DO UPDATE SET s = excluded.s", "INSERT INTO e4 VALUES (<key>, <time>, <number>)",
			"MERGE INTO e1 USING e3 ON e1.id = e3.id WHEN MATCHED THEN UPDATE SET s = 5 WHEN NOT MATCHED THEN INSERT VALUES (e3.id, e3.at, e3.s, 0, 'm')", "WITH d AS (DELETE FROM e1 WHERE id = <key> RETURNING *) INSERT INTO e1 SELECT * FROM d", "INSERT INTO pm VALUES (<key>, <time>, <number>)" ],
		[ "UPDATE m1 SET s = 1", "DELETE FROM m1", "UPDATE d1 SET s = 1", "INSERT INTO d1 (id, at) VALUES (1, now())", "INSERT INTO m1 (id, at, s) VALUES (1, now(), 1) ON CONFLICT DO NOTHING", "INSERT INTO m1 (id) VALUES (1) RETURNING *", "INSERT INTO contime.source VALUES ('m1', 'e1', 'event', '{}')", "DELETE FROM contime.source", "UPDATE contime.source SET columns = '{}'",
			"MERGE INTO m1 USING e1 ON false WHEN NOT MATCHED THEN INSERT (id, at) VALUES (1, now())", "INSERT INTO v1 DEFAULT VALUES", "INSERT INTO contime.tables DEFAULT VALUES", "INSERT INTO m1 DEFAULT VALUES", "INSERT INTO e1 SELECT (m1.*).* FROM m1", "INSERT INTO e1 (id) SELECT repeat('1', 5)::int FROM m1" ] ],
	query => [
		[ "SELECT <list> FROM <continuous> WHERE <condition>", "SELECT * FROM <continuous> ORDER BY 1 LIMIT 5", "SELECT * FROM contime.at(<nulltable>, <instant>)", "SELECT * FROM contime.at(<nulltable>, <instant>, <key>)", "SELECT * FROM contime.history(<nulltable>, <key>, <instant>, <instant>)", "SELECT * FROM contime.history(<nulltable>, <key>, <instant>, NULL, columns => <names>, newest_first => true)", "SELECT contime.history(<nulltable>, <key>, NULL, <instant>, <names>, true) LIMIT 2", "SELECT * FROM contime.history(<nulltable>, <instant>, <instant>) LIMIT 5",
			"SELECT * FROM contime.series(<nulltable>, <key>, <instant>, '2026-02-01', <step>) LIMIT 10", "SELECT contime.since(<nulltable>, <key>, <instant>)", "SELECT contime.latest(<nulltable>, <key>), contime.latest(<nulltable>)", "SELECT * FROM contime.events(<nulltable>, <key>, <instant>, <instant>) LIMIT 5", "SELECT * FROM contime.reconciliations(<nulltable>, <tick>) LIMIT 5", "SELECT * FROM contime.at_tick(<nulltable>, <tick>) LIMIT 5",
			"SELECT * FROM contime.history_tick(NULL::m2, <tick>, <tick>)", "SELECT * FROM contime.verify(<regclass>)", "SELECT * FROM contime.tables", "SELECT * FROM contime.workers", "SELECT * FROM v1", "SELECT * FROM v2 LIMIT 3", "SELECT e1.id, m1.s FROM e1 JOIN m1 ON m1.id = e1.id AND m1.at = e1.at LIMIT 9", "SELECT e.id, d.s FROM e1 e LEFT JOIN d1 d ON d.id = e.id AND d.at = e.at LIMIT 9",
			"SELECT * FROM contime.source", "SELECT count(*) FROM pm WHERE at = <instant>", "SELECT fuzz.reads(<key>)" ],
		[ "SELECT <internal>(<arguments>)", "SELECT * FROM <internal>(<arguments>)", "SELECT m1.*::text FROM m1", "SELECT * FROM m1 FULL JOIN d1 USING (at)", "SELECT * FROM m1 TABLESAMPLE SYSTEM (5)", "SELECT * FROM m1 FOR UPDATE", "SELECT * FROM ONLY m1", "SELECT contime.history(<nulltable>, <key>, <instant>, <instant>) FROM e1", "SELECT m1 FROM m1 WHERE m1 = m1", "SELECT * FROM LATERAL contime.at(NULL::m1, now()) a JOIN m1 ON m1.at = a.at",
			"SELECT DISTINCT ON (at) * FROM m1", "SELECT * FROM m1 WHERE at = now() UNION SELECT * FROM m1", "TABLE <relation>", "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r, m1 WHERE i < 5) TABLE r" ] ],
	# Statements of the superuser: those for which core itself evaluates no code of the role.
	plaintable => [ [ map { "NULL::$_" } qw(m1 m2 m3 m4 d1 d2 d3 d4 n1 n2) ], [ 'NULL::e1', 'NULL::pm', 'NULL::pg_class', 'NULL::contime.source', 'NULL::text' ] ],
	privileged => [
		[ 'SELECT * FROM <continuous> LIMIT 5', 'EXPLAIN SELECT * FROM <continuous>', 'EXPLAIN ANALYZE SELECT count(*) FROM <continuous>', 'ANALYZE <continuous>', 'SELECT * FROM contime.at(<plaintable>, now())', 'SELECT * FROM contime.verify(<regclass>)', 'SELECT * FROM contime.tables', 'SELECT * FROM contime.workers',
			'ALTER TABLE <events> RENAME TO swapped', 'ALTER TABLE IF EXISTS swapped RENAME TO e1', 'ALTER TABLE <events> RENAME COLUMN s TO s2', 'ALTER TABLE <events> RENAME COLUMN s2 TO s', 'ALTER FOREIGN TABLE <continuous> OWNER TO fuzz_second', 'ALTER FOREIGN TABLE <continuous> OWNER TO fuzz_evil', 'REASSIGN OWNED BY fuzz_second TO fuzz_evil', 'REFRESH MATERIALIZED VIEW mv',
			'SELECT * FROM contime.history(NULL::m1, 1, now(), now())', "COMMENT ON FOREIGN TABLE <continuous> IS 'x'", 'DROP INDEX i1', 'ALTER SCHEMA fuzz2 RENAME TO fuzz3', 'ALTER SCHEMA fuzz3 RENAME TO fuzz2', 'ANALYZE', 'GRANT SELECT ON <continuous> TO fuzz_reader', 'VACUUM', 'CHECKPOINT', 'SELECT count(pg_get_viewdef(oid)) FROM pg_class WHERE relkind = \'v\'' ], [] ],
);

# The kinds of statements, with their weights.
my @kinds = (
	[ 30, '<write>' ], [ 30, '<query>' ],
	[ 6, 'EXPLAIN <query>' ], [ 2, 'EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF) <query>' ], [ 1, 'EXPLAIN <write>' ],
	[ 8, 'CREATE FOREIGN TABLE <new> (<columns>) SERVER <server>' ], [ 5, 'CREATE FOREIGN TABLE <new> (<columns>) SERVER <server> OPTIONS (<tableoption>)' ],
	[ 3, "CREATE FOREIGN TABLE <new> (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), s bigint OPTIONS (rule 'sum', source <oddsource>)) SERVER contime OPTIONS (events '<events>')" ],
	[ 2, 'CREATE FOREIGN TABLE <new> PARTITION OF pm <bound> SERVER <server> OPTIONS (<tableoption>)' ], [ 1, 'CREATE FOREIGN TABLE <new> (<columns>) INHERITS (<relation>) SERVER contime' ], [ 1, 'CREATE TABLE <new> PARTITION OF e2 <bound>' ],
	[ 1, 'CREATE TABLE <new> () INHERITS (<relation>)' ], [ 1, 'CREATE TABLE <new> (LIKE <relation> INCLUDING ALL)' ], [ 2, 'CREATE TABLE <new> AS <query>' ], [ 1, 'SELECT * INTO <new> FROM <relation> LIMIT 2' ], [ 1, 'CREATE TABLE IF NOT EXISTS <new> OF fuzz.pair' ],
	[ 1, 'IMPORT FOREIGN SCHEMA fuzz FROM SERVER <server> INTO fuzz' ],
	[ 5, 'ALTER FOREIGN TABLE <continuous> ADD COLUMN <column> <type> OPTIONS (<columnoption>)' ], [ 3, 'ALTER FOREIGN TABLE <continuous> ADD COLUMN <column> <type> <constraint>' ], [ 3, 'ALTER FOREIGN TABLE <continuous> DROP COLUMN <column> <behaviour>' ],
	[ 4, 'ALTER FOREIGN TABLE <continuous> ALTER COLUMN <column> OPTIONS (<change><columnoption>)' ], [ 2, 'ALTER FOREIGN TABLE <continuous> ALTER COLUMN <column> OPTIONS (DROP <dropped>)' ], [ 4, 'ALTER FOREIGN TABLE <continuous> OPTIONS (<change><tableoption>)' ], [ 2, 'ALTER FOREIGN TABLE <continuous> OPTIONS (DROP <dropped>)' ],
	[ 3, 'ALTER FOREIGN TABLE <continuous> ALTER COLUMN <column> TYPE <type>' ], [ 1, 'ALTER FOREIGN TABLE <continuous> ALTER COLUMN <column> SET NOT NULL' ], [ 1, 'ALTER FOREIGN TABLE <continuous> ALTER COLUMN <column> SET DEFAULT fuzz.isok(1)::int' ], [ 1, 'ALTER FOREIGN TABLE <continuous> ADD CHECK (fuzz.isok(id)) NOT VALID' ],
	[ 3, 'ALTER TABLE <relation> RENAME COLUMN <column> TO <column>' ], [ 1, 'ALTER TABLE <relation> RENAME TO <new>' ], [ 0.2, 'ALTER TABLE <relation> SET SCHEMA fuzz2' ], [ 0.2, 'ALTER TABLE <relation> OWNER TO <role>' ], [ 1, 'ALTER TABLE <relation> NO INHERIT <relation>' ], [ 1, 'ALTER TABLE <relation> INHERIT <relation>' ],
	[ 3, 'ALTER TABLE <events> ADD COLUMN <column> <type> <constraint>' ], [ 3, 'ALTER TABLE <events> DROP COLUMN <column> <behaviour>' ], [ 3, 'ALTER TABLE <events> ALTER COLUMN <column> TYPE <type> USING NULL' ], [ 1, 'ALTER TABLE <events> ALTER COLUMN <column> SET STORAGE EXTERNAL' ], [ 1, 'ALTER TABLE <events> SET UNLOGGED' ], [ 1, 'ALTER TABLE <events> SET LOGGED' ],
	[ 1, 'ALTER TABLE <events> ENABLE ROW LEVEL SECURITY' ], [ 1, 'ALTER TABLE <events> FORCE ROW LEVEL SECURITY' ], [ 1, 'ALTER TABLE <events> DISABLE ROW LEVEL SECURITY' ], [ 2, 'ALTER TABLE <events> DISABLE TRIGGER ALL' ], [ 1, 'ALTER TABLE <events> ENABLE TRIGGER USER' ], [ 1, 'ALTER TABLE <events> REPLICA IDENTITY FULL' ],
	[ 2, 'ALTER TABLE e2 ATTACH PARTITION <relation> <bound>' ], [ 2, 'ALTER TABLE e2 DETACH PARTITION <events>' ], [ 2, 'ALTER TABLE e2 DETACH PARTITION <events> CONCURRENTLY' ], [ 1, 'ALTER TABLE e2 DETACH PARTITION <events> FINALIZE' ], [ 1, 'ALTER TABLE pm ATTACH PARTITION <continuous> <bound>' ], [ 1, 'ALTER TABLE pm DETACH PARTITION <continuous>' ],
	[ 3, 'TRUNCATE <relation> <behaviour>' ], [ 1, 'TRUNCATE <relation>, <relation> RESTART IDENTITY' ], [ 2, 'DROP FOREIGN TABLE <continuous> <behaviour>' ], [ 1, 'DROP TABLE <events> <behaviour>' ], [ 0.2, 'DROP TABLE IF EXISTS <new>, <relation>' ], [ 1, 'DROP VIEW v1 <behaviour>' ],
	[ 0.2, 'DROP DOMAIN fuzz.checked <behaviour>' ], [ 0.2, 'DROP TYPE fuzz.pair <behaviour>' ], [ 0.2, 'DROP FUNCTION fuzz.isok(int) <behaviour>' ], [ 0.2, 'DROP SCHEMA fuzz2 <behaviour>' ], [ 1, 'CREATE SCHEMA fuzz2' ], [ 1, 'CREATE SCHEMA contime' ], [ 1, 'CREATE SCHEMA fuzz3 CREATE TABLE t (id int) CREATE VIEW v AS SELECT 1' ],
	[ 1, 'DROP EXTENSION contime <behaviour>' ], [ 1, 'DROP SERVER <server> <behaviour>' ], [ 1, 'ALTER SERVER <server> OPTIONS (<change><tableoption>)' ], [ 1, 'CREATE SERVER plain FOREIGN DATA WRAPPER contime_fdw' ], [ 1, 'CREATE USER MAPPING FOR <role> SERVER <server> OPTIONS (<columnoption>)' ], [ 0.2, 'DROP OWNED BY CURRENT_USER <behaviour>' ],
	[ 1, 'CREATE EXTENSION contime' ], [ 1, 'ALTER EXTENSION contime UPDATE' ], [ 1, 'ALTER EXTENSION contime ADD TABLE <relation>' ], [ 1, 'ALTER EXTENSION contime DROP FUNCTION contime.capture()' ],
	[ 6, 'SELECT contime.add_source(<regclass>, <eventclass>, <mapping>, <kind>)' ], [ 3, 'SELECT contime.add_source(<regclass>, <eventclass>)' ], [ 4, 'SELECT contime.drop_source(<regclass>, <eventclass>)' ], [ 4, 'SELECT contime.verify(<regclass>)' ],
	[ 5, 'SELECT contime.event(<rowof>)' ], [ 3, 'SELECT contime.event(<rowof>, <names>)' ], [ 5, 'SELECT contime.snapshot(<rowof>, <names>)' ], [ 3, 'SELECT contime.finish(<rowof>)' ], [ 5, 'SELECT <internal>(<arguments>)' ],
	[ 2, 'CREATE INDEX ON <events> (<column>, at)' ], [ 1, 'CREATE INDEX i1 ON <events> (fuzz.isok(id))' ], [ 1, 'DROP INDEX i1' ], [ 1, 'CREATE INDEX CONCURRENTLY ON <events> (id)' ], [ 1, 'REINDEX TABLE <events>' ], [ 2, 'CLUSTER <events>' ], [ 1, 'VACUUM FULL <events>' ], [ 1, 'VACUUM <relation>' ],
	[ 3, 'ANALYZE <relation>' ], [ 1, 'ANALYZE <relation> (<column>)' ], [ 1, 'CREATE STATISTICS ON id, s FROM <relation>' ], [ 2, 'LOCK TABLE <relation> IN <lock> MODE' ], [ 1, 'LOCK TABLE <relation> IN <lock> MODE NOWAIT' ],
	[ 2, 'COPY <relation> TO STDOUT' ], [ 4, 'COPY <relation> FROM STDIN' ], [ 2, 'COPY <relation> (<column>, at) FROM STDIN' ], [ 1, 'COPY e1 FROM STDIN WITH (FREEZE)' ], [ 1, 'COPY (<query>) TO STDOUT' ], [ 1, 'COPY e1 FROM STDIN WHERE fuzz.isok(id)' ],
	[ 2, 'CREATE VIEW <new> AS <query>' ], [ 1, 'CREATE OR REPLACE VIEW v2 AS SELECT <list> FROM <continuous> WHERE <condition>' ], [ 1, 'CREATE MATERIALIZED VIEW <new> AS <query>' ], [ 1, 'REFRESH MATERIALIZED VIEW mv' ], [ 1, 'CREATE RULE r AS ON INSERT TO <relation> DO INSTEAD <query>' ],
	[ 3, 'CREATE TRIGGER zz <timing> ON <relation> <level> EXECUTE FUNCTION <triggerfunction>' ], [ 1, 'DROP TRIGGER zz ON <relation>' ], [ 1, 'CREATE CONSTRAINT TRIGGER zz AFTER INSERT ON <events> DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION <triggerfunction>' ], [ 1, 'CREATE TEMP TABLE temp_e AS SELECT * FROM e1 LIMIT 1' ],
	[ 1, 'CREATE TRIGGER t AFTER TRUNCATE ON temp_e FOR EACH STATEMENT EXECUTE FUNCTION contime.source_changed()' ], [ 1, 'TRUNCATE temp_e' ], [ 1, 'CREATE POLICY p ON <relation> USING (fuzz.isok(1))' ], [ 1, 'CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION fuzz.trig()' ],
	[ 2, 'GRANT <privilege> ON <relation> TO <role>' ], [ 1, 'REVOKE <privilege> ON <relation> FROM <role> CASCADE' ], [ 1, 'GRANT EXECUTE ON FUNCTION contime.capture() TO <role>' ], [ 1, 'SET ROLE <role>' ], [ 1, 'RESET ROLE' ], [ 1, 'SET SESSION AUTHORIZATION <role>' ], [ 0.2, 'REASSIGN OWNED BY fuzz_evil TO <role>' ],
	[ 4, 'SET <setting>' ], [ 2, 'SET LOCAL <setting>' ], [ 2, 'RESET ALL' ], [ 1, 'DISCARD ALL' ], [ 1, 'DISCARD PLANS' ], [ 1, 'ALTER ROLE <role> SET <setting>' ], [ 1, 'ALTER ROLE fuzz_evil RESET ALL' ], [ 1, 'ALTER ROLE fuzz_evil SUPERUSER' ],
	[ 2, 'PREPARE p AS <query>' ], [ 1, 'PREPARE p AS <write>' ], [ 1, 'PREPARE p (int, timestamptz) AS SELECT * FROM m1 WHERE id = $1 AND at = $2' ], [ 4, 'EXECUTE p' ], [ 1, "EXECUTE p (1, '2026-01-01')" ], [ 1, 'EXPLAIN EXECUTE p' ], [ 1, 'DEALLOCATE ALL' ],
	[ 4, 'DECLARE c SCROLL CURSOR FOR <query>' ], [ 2, 'DECLARE c CURSOR WITH HOLD FOR <query>' ], [ 4, 'FETCH 3 FROM c' ], [ 1, 'FETCH BACKWARD ALL FROM c' ], [ 1, 'CLOSE ALL' ], [ 1, 'UPDATE e1 SET s = 1 WHERE CURRENT OF c' ], [ 1, 'MOVE LAST c' ],
	[ 12, 'BEGIN' ], [ 3, 'BEGIN ISOLATION LEVEL REPEATABLE READ' ], [ 2, 'BEGIN ISOLATION LEVEL SERIALIZABLE' ], [ 12, 'COMMIT' ], [ 6, 'ROLLBACK' ], [ 5, 'SAVEPOINT a' ], [ 3, 'ROLLBACK TO a' ], [ 2, 'RELEASE a' ], [ 1, "PREPARE TRANSACTION 'fuzz'" ], [ 1, "ROLLBACK PREPARED 'fuzz'" ], [ 1, "COMMIT PREPARED 'fuzz'" ], [ 1, 'COMMIT AND CHAIN' ],
	[ 2, 'LISTEN contime' ], [ 1, 'NOTIFY contime, \'{"table": "x"}\'' ], [ 1, 'UNLISTEN *' ], [ 1, "LOAD 'contime'" ], [ 2, "COMMENT ON FOREIGN TABLE <continuous> IS 'x'" ], [ 1, "SECURITY LABEL ON TABLE <relation> IS 'x'" ], [ 1, "SELECT pg_catalog.lo_unlink(0)" ],
	[ 1, 'DO $$ BEGIN <query>; EXCEPTION WHEN others THEN NULL; END $$' ], [ 3, 'DO $$ DECLARE r record; BEGIN FOR r IN <query> LOOP <write>; END LOOP; END $$' ], [ 2, 'DO $$ DECLARE r record; BEGIN FOR r IN SELECT * FROM d1 LOOP TRUNCATE e1; END LOOP; END $$' ], [ 2, 'DO $$ BEGIN FOR i IN 1..20 LOOP BEGIN <write>; RAISE division_by_zero; EXCEPTION WHEN others THEN NULL; END; END LOOP; END $$' ],
	[ 1, 'ALTER DOMAIN fuzz.checked ADD CONSTRAINT more CHECK (VALUE < 1000)' ], [ 1, 'ALTER DOMAIN fuzz.checked DROP CONSTRAINT more' ], [ 1, 'ALTER DOMAIN fuzz.checked ADD CONSTRAINT bad CHECK (fuzz.raises(VALUE) > 0) NOT VALID' ], [ 1, 'ALTER DOMAIN fuzz.checked DROP CONSTRAINT IF EXISTS bad' ],
	[ 1, "ALTER TYPE fuzz.color ADD VALUE IF NOT EXISTS 'blue'" ], [ 1, 'ALTER TYPE fuzz.pair ADD ATTRIBUTE z int CASCADE' ], [ 1, 'ALTER TYPE fuzz.pair RENAME ATTRIBUTE a TO aa CASCADE' ], [ 1, 'CREATE OR REPLACE FUNCTION fuzz.isok(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$SELECT fuzz.probe() AND $1 <> 13$$' ],
	[ 1, 'ALTER FUNCTION fuzz.isok(int) VOLATILE' ], [ 1, 'CREATE OPERATOR CLASS fuzz.ops DEFAULT FOR TYPE fuzz.checked USING btree AS OPERATOR 1 <' ], [ 1, 'CREATE CAST (int AS fuzz.color) WITH INOUT AS IMPLICIT' ], [ 1, 'CREATE FUNCTION fuzz.mine(<nulltype>) RETURNS int LANGUAGE sql AS $$SELECT 1$$' ],
	[ 2, 'CREATE DATABASE fuzz_x TEMPLATE <template>' ], [ 1, 'CREATE DATABASE fuzz_x OWNER <template>' ], [ 1, 'CREATE DATABASE fuzz_x <template> = <template>' ], [ 1, 'DROP DATABASE <template>' ], [ 1, 'DROP DATABASE fuzz_x (FORCE)' ], [ 1, 'ALTER DATABASE <template> CONNECTION LIMIT <template>' ], [ 1, 'ALTER DATABASE <template> WITH IS_TEMPLATE <template>' ],
	[ 1, 'ALTER DATABASE <template> SET TABLESPACE <template>' ], [ 1, 'ALTER DATABASE <template> RENAME TO <template>' ], [ 1, 'ALTER DATABASE <template> OWNER TO <role>' ], [ 1, 'ALTER DATABASE <template> REFRESH COLLATION VERSION' ], [ 1, 'CREATE PUBLICATION fuzz_p FOR TABLE <relation>' ], [ 1, "CREATE SUBSCRIPTION fuzz_s CONNECTION '' PUBLICATION p WITH (connect = false)" ],
	[ 1, 'CREATE AGGREGATE fuzz.agg(int) (SFUNC = int4pl, STYPE = int)' ], [ 1, "CREATE TYPE <new> AS (a int, b m1)" ], [ 1, "CREATE DOMAIN fuzz.probed AS <type> CHECK (fuzz.probe())" ], [ 1, "CREATE TABLE un (LIKE e1)" ], [ 1, 'ALTER TABLE <relation> ADD FOREIGN KEY (id) REFERENCES e3 (id) ON DELETE CASCADE' ],
	[ 10, '<privileged>' ],
);
$grammar{oddsource} = [ [ map { "'$_'" } 'id', 's', 's + 1' ], [ grep { /^E?'/ } @odd_texts ] ];
$grammar{nulltype} = [ [qw(m1 d1 e1 fuzz.checked)], [ 'anyelement', 'fuzz.m1' ] ];
$grammar{template} = [ [ 'template1', 'template0', $database, 'fuzz_x' ], [ '5', '1.5', '-1', 'true', "''", 'DEFAULT', '"nosuch"', 'nosuch', "'x'", '99999999999', 'int' ] ];
my $weights = 0;
$weights += $_->[0] for @kinds;

# The number of slots of the statement so far, and which of them is odd (0: none).
my ($slots, $odd) = (0, 0);

sub fill
{
	my ($text, $depth) = @_;
	$text =~ s{<(\w+)>}{
		my ($valid, $others) = @{ $grammar{$1} // die "no slot $1" };
		my $from = ++$slots == $odd && @$others ? $others : $valid;
		$depth > 6 ? 'NULL' : fill(pick(@$from), $depth + 1)}ge;
	return $text;
}

# Remove, double or replace a word.
sub garble
{
	my @words = split / /, shift;
	my $i = int rand @words;
	my $how = int rand 3;

	splice @words, $i, 1 if $how == 0;
	splice @words, $i, 0, $words[$i] if $how == 1;
	@words[ $i, int rand @words ] = ($words[ int rand @words ], $words[$i]) if $how == 2;
	return join ' ', @words;
}

sub template
{
	my $at = rand $weights;
	for my $kind (@kinds)
	{
		return $kind->[1] if ($at -= $kind->[0]) < 0;
	}
	return $kinds[-1][1];
}

# Return a statement, and whether the superuser runs it.
sub statement
{
	my $template = template();
	($slots, $odd) = (0, 0);
	fill($template, 0);
	$odd = chance(0.4) ? 1 + int rand($slots + 1) : 0;
	$slots = 0;
	my $sql = fill($template, 0);
	my $privileged = $template eq '<privileged>';
	$sql = garble($sql) if !$privileged && chance(0.04);
	return ($sql, $privileged);
}

my @rows = ("1\t2026-01-01\t5\t5\tx\n2\t2026-01-02\t5\t5\tx\n", '', "1\n", "\\N\t\\N\t\\N\t\\N\t\\N\n", "1\t2026-01-01\n", "x\ty\tz\n", "1\t2026-01-01\t5\n2\t2026-05-01\t7\n", "\0\1\2\n", "\\.\n", undef);

# ---- sessions --------------------------------------------------------------------------------

my %timeouts = (lock_timeout => 40 * $slow, statement_timeout => 2000 * $slow, search_path => 'fuzz,public');
my @names = ([ 'evil', 'fuzz_evil' ], [ 'evil2', 'fuzz_evil' ], [ 'second', 'fuzz_second' ], [ 'reader', 'fuzz_reader' ]);
my (%session, @script, %count, %faults);
my ($statements, $refused, $log_at) = (0, 0, -s($ENV{CT_LOG} // '') // 0);

# Connect to the server, within five minutes: it may be recovering.
sub session
{
	my ($name, $role, %settings) = @_;
	for my $try (1 .. 3000)
	{
		my $s = Wire->new($name, $role, $database, %settings);
		return $s if $s;
		Time::HiRes::usleep(100_000);
	}
	fault('the server is gone', 'no connection');
	finish();
}

sub session_of
{
	my ($name) = @_;
	return $session{$name} if $session{$name};
	my ($role) = map { $_->[1] } grep { $_->[0] eq $name } @names;
	return $session{$name} = session($name, $role // $superuser, %timeouts);
}

# Run a statement that must succeed, as the superuser or in a new session of a role.
sub must
{
	my ($sql, $role) = @_;
	my $s = session('setup', $role // $superuser, search_path => 'fuzz,public');
	$s->send($sql);
	my $answer = $s->receive(60 * $slow);
	$s->close;
	return $answer;
}

# ---- faults -----------------------------------------------------------------------------------

# Report the first fault of each kind, with the last statements as a script.
sub fault
{
	my ($kind, $what) = @_;
	$kind =~ s/\b\d+\b/N/g;
	return if $faults{$kind}++;
	print "not ok - $kind\n";
	print "# $_\n" for split /\n/, $what;
	print "# CT_SEED=$seed, statement $statements; the last of them:\n";
	my $from = @script > 14 ? @script - 14 : 0;
	print map { length > 600 ? substr($_, 0, 600) . "...\n" : $_ } @script[ $from .. $#script ];
	open my $file, '>', 'ddl-script.sql' or return;
	print $file @script;
	close $file;
	return;
}

# XX000 that core itself raises for concurrent DDL, with or without extensions; and XX000 raised by the role's own code.
sub is_core
{
	my ($file, $message, $sql) = @_;
	return 0 if $message =~ /runs as/;
	return 1 if ($file // '') eq 'pl_exec.c';

	# A server without contime does the same: CREATE DOMAIN e AS int; PREPARE p AS SELECT NULL::e; DROP DOMAIN e CASCADE; EXECUTE p
	# (or an open cursor); and BEGIN; ALTER DOMAIN d DROP CONSTRAINT c; SAVEPOINT a; CREATE VIEW v AS SELECT 1.
	return 1 if ($file // '') =~ /^(lsyscache|tupdesc)\.c$/ && $message =~ /^cache lookup failed for type \d+$/;
	# A domain's check may run in the leader of a parallel plan: CREATE MATERIALIZED VIEW m AS SELECT a::d FROM big. And ALTER DOMAIN opens
	# relations that another session may just have dropped.
	return 1 if ($file // '') eq 'xact.c' && $message =~ /^cannot start commands during a parallel operation/;
	return 1 if ($file // '') eq 'relation.c' && $message =~ /^could not open relation/ && ($sql // '') =~ /^ALTER DOMAIN/;
	return 1 if ($file // '') eq 'inval.c' && $message =~ /^cannot start a subtransaction when there are unprocessed inval messages/;
	return $message =~ /^tuple (concurrently (updated|deleted)|already updated by self)/;
}

# Read the new part of the log, with messages of the server and of background processes.
sub read_log
{
	my $name = $ENV{CT_LOG} or return;
	return if (-s $name // 0) <= $log_at;
	open my $log, '<', $name or return;
	seek $log, $log_at, 0;
	my @lines = <$log>;
	$log_at = tell $log;
	close $log;
	my @bad;
	for my $i (0 .. $#lines)
	{
		local $_ = $lines[$i];
		my ($location) = ($lines[ $i + 1 ] // '') =~ /LOCATION:\s+(.*)/;
		($location) = ($lines[ $i + 2 ] // '') =~ /LOCATION:\s+(.*)/ if !$location;
		fault("assertion: $1", $_) if /TRAP: (.*)/;
		fault("crash: signal $1 of " . (/^[^\]]*\]\s*LOG:.*?([a-z ]+) \(PID/ ? $1 : 'a process'), $_) if /was terminated by signal (\d+)/ && $1 != 15;
		fault("panic: $1", $_) if /PANIC: (.*)/;
		next if /^client backend/;
		fault('in the background: ' . ($location // '') . ": $1", $_) if /(?:ERROR|FATAL|WARNING):\s+((?:XX000|ZZ999).*)/ && !is_core($location =~ /(\S+\.c)/ ? $1 : '', $1);
	}
	return;
}

# The kind of a statement: its first words, and the functions of contime that it calls.
sub gist
{
	my ($sql) = @_;
	my ($words) = $sql =~ /^\s*((?:[A-Z]+\s+){0,3})/;
	my %called = map { $_ => 1 } $sql =~ /\b(contime\.\w+)/g;
	$words =~ s/\s+$//;
	return join ' ', $words, sort keys %called;
}

# Check that the result of a session's statement is allowed.
sub judge
{
	my ($s, $answer) = @_;
	my $state = $answer->{state} // ($answer->{late} ? 'late' : $answer->{gone} ? 'gone' : 'OK');
	my $message = $answer->{message} // '';

	$count{$state}++;
	print "# $s->{name}: ", substr($s->{sql}, 0, 300), "\n#   $state $message\n" if $ENV{CT_SHOW};
	if ($answer->{late})
	{
		must("SELECT pg_cancel_backend($s->{pid})");
		my $after = $s->receive(20 * $slow);
		fault("hangs: $s->{sql}", 'it was not cancelled within 20 seconds') if $after->{late};
		fault("goes on: $s->{sql}", 'longer than its timeout') if !$after->{late} && !$s->{own_timeout};
		must("SELECT pg_terminate_backend($s->{pid})") if $after->{late};
		$session{ $s->{name} } = undef if $after->{late} || $after->{gone};
		return;
	}
	if ($answer->{gone} || $answer->{fatal})
	{
		$s->close;
		$session{ $s->{name} } = undef;
		session('probe', $superuser)->close;
	}
	fault("$state at $answer->{file}:$answer->{line}: $message (" . gist($s->{sql}) . ')', $s->{sql})
	  if ($state =~ /^XX|^ZZ999/ || $message =~ /cache lookup failed/) && !is_core($answer->{file}, $message, $s->{sql});
	return;
}

# ---- rounds ------------------------------------------------------------------------------------

sub roles
{
	must(q{CREATE EXTENSION IF NOT EXISTS contime});
	for my $role (map { "fuzz_$_" } qw(evil second reader))
	{
		must("CREATE ROLE $role LOGIN");
		must("GRANT USAGE ON FOREIGN SERVER contime TO $role") if $role ne 'fuzz_reader';
		must("GRANT CREATE ON DATABASE $database TO $role");
	}
	must('ALTER ROLE fuzz_second CREATEDB');
	return;
}

my @tables = (
	q{CREATE FUNCTION fuzz.probe() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN
		IF current_user NOT LIKE 'fuzz\_%' THEN RAISE 'runs as %', current_user USING ERRCODE = 'ZZ999'; END IF; RETURN true; END$$},
	q{CREATE FUNCTION fuzz.isok(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$SELECT fuzz.probe() AND $1 IS DISTINCT FROM 13$$},
	q{CREATE FUNCTION fuzz.raises(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN IF fuzz.probe() THEN RAISE 'raised'; END IF; RETURN 1; END$$},
	q{CREATE FUNCTION fuzz.twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS $$SELECT CASE WHEN fuzz.probe() THEN $1 * 2 END$$},
	q{CREATE FUNCTION fuzz.trig() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM fuzz.probe(); RETURN coalesce(NEW, OLD); END$$},
	q{CREATE FUNCTION fuzz.writes() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF pg_trigger_depth() < 3 THEN INSERT INTO fuzz.e3 VALUES (5, now(), 1) ON CONFLICT (id, at) DO UPDATE SET s = 7; DELETE FROM fuzz.e1 WHERE id = 6; END IF; RETURN NULL; END$$},
	q{CREATE DOMAIN fuzz.checked AS int CHECK (fuzz.isok(VALUE))}, q{CREATE TYPE fuzz.color AS ENUM ('red', 'green')}, q{CREATE TYPE fuzz.pair AS (a int, b fuzz.checked)}, q{CREATE DOMAIN fuzz.deep AS fuzz.checked[] CHECK (fuzz.probe())},
	q{CREATE TYPE fuzz.spans AS RANGE (SUBTYPE = fuzz.checked)}, q{CREATE SEQUENCE seq},
	q{CREATE FOREIGN TABLE m1 (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), s bigint OPTIONS (rule 'sum', initial '0'), b numeric(12,2) OPTIONS (rule 'sum', lower '0', upper '1000'), l text) SERVER contime OPTIONS (notify 'key')},
	q{CREATE FOREIGN TABLE m2 (k text OPTIONS (key 'true') COLLATE "C", k2 int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), x float8 OPTIONS (scale '3', interpolate 'linear')) SERVER contime OPTIONS (retain '1000', too_late 'ignore')},
	q{CREATE FOREIGN TABLE m3 (id fuzz.checked OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), c fuzz.checked OPTIONS (initial '3'), l text) SERVER contime OPTIONS (notify 'key')},
	q{CREATE FOREIGN TABLE m4 (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), s fuzz.checked OPTIONS (rule 'sum', initial '1', lower '0', upper '50')) SERVER contime},
	q{CREATE TABLE e1 (id int, at timestamptz, s int, b numeric(12,2), l text)}, q{CREATE TABLE e2 (id int, at timestamptz, s int) PARTITION BY RANGE (id)}, q{CREATE TABLE e2_1 PARTITION OF e2 FOR VALUES FROM (0) TO (3)}, q{CREATE TABLE e2_2 PARTITION OF e2 DEFAULT},
	q{CREATE TABLE e3 (id int, at timestamptz, s int, PRIMARY KEY (id, at))}, q{CREATE TABLE e4 (id fuzz.checked, at timestamptz, s int)},
	q{INSERT INTO e1 SELECT i % 5, '2026-01-01'::timestamptz + i * interval '1 hour', i, i, 'x' FROM generate_series(1, 100) i}, q{INSERT INTO e2 SELECT i % 5, '2026-01-01'::timestamptz + i * interval '1 hour', i FROM generate_series(1, 40) i},
	q{INSERT INTO e4 SELECT i % 5, '2026-01-01'::timestamptz + i * interval '1 hour', i FROM generate_series(1, 40) i},
	q{CREATE FOREIGN TABLE d1 (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), s bigint OPTIONS (rule 'sum', initial '0'), b numeric(12,2), l text) SERVER contime OPTIONS (events 'e1')},
	q{CREATE FOREIGN TABLE d2 (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), s bigint OPTIONS (rule 'sum', source 'fuzz.twice(s)')) SERVER contime OPTIONS (events 'e2')},
	q{CREATE FOREIGN TABLE d3 (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), s bigint OPTIONS (rule 'sum')) SERVER contime}, q{SELECT contime.add_source('d3', 'e1', '{"s": "s"}')}, q{SELECT contime.add_source('d3', 'e3', '{"s": "-s"}')},
	q{CREATE FOREIGN TABLE d4 (id fuzz.checked OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), s fuzz.checked OPTIONS (source 's', initial '1')) SERVER contime OPTIONS (events 'e4', notify 'key')},
	q{CREATE TABLE pm (id int, at timestamptz, s int) PARTITION BY RANGE (id)}, q{CREATE FOREIGN TABLE pm_1 (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), s int) SERVER contime}, q{ALTER TABLE pm ATTACH PARTITION pm_1 FOR VALUES FROM (0) TO (5)},
	q{CREATE VIEW v1 AS SELECT id, s FROM m1}, q{CREATE VIEW v2 AS SELECT id, s FROM d1 WHERE at = '2026-01-02'}, q{CREATE MATERIALIZED VIEW mv AS SELECT id, s FROM d2}, q{CREATE DOMAIN fuzz.of_m1 AS m1}, q{CREATE INDEX i1 ON e1 (l)},
	q{CREATE FUNCTION fuzz.reads(int) RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER AS $$SELECT s FROM fuzz.m1 WHERE id = $1$$},
	q{INSERT INTO m1 SELECT i % 5, '2026-01-01'::timestamptz + i * interval '1 hour', i, i, 'x' FROM generate_series(1, 60) i}, q{GRANT SELECT ON m1, d1, v1 TO fuzz_reader}, q{GRANT USAGE ON SCHEMA fuzz TO PUBLIC}, q{GRANT ALL ON m2, e1, d2 TO fuzz_second});
my %unmade;

# Create the objects of a round, or those that are missing; errors for existing ones are ignored.
sub make_tables
{
	my ($first) = @_;
	my $s = session('setup', 'fuzz_evil', %timeouts);
	for my $sql (@tables)
	{
		next if !$first && $sql =~ /^INSERT|^GRANT/ && chance(0.5);
		push @script, "-- setup\n$sql;\n";
		$s->send($sql);
		my $answer = $s->receive(60 * $slow);
		return if $answer->{gone} || $answer->{late};
		$s->{name} = 'setup';
		fault("$answer->{state} at $answer->{file}:$answer->{line}: $answer->{message}", $sql) if ($answer->{state} // '') =~ /^XX|^ZZ999/ && !is_core($answer->{file}, $answer->{message});
		print "# not made: $answer->{message}: $sql\n" if $first && $answer->{state} && !$unmade{$sql}++;
	}
	$s->close;
	return;
}

sub begin_round
{
	my ($round) = @_;
	srand($seed + $round * 7919);
	@script = ();
	$_ && $_->close for values %session;
	%session = ();
	for my $gid ('fuzz') { must("ROLLBACK PREPARED '$gid'") }
	for my $s (qw(fuzz fuzz2 fuzz3))
	{
		my $answer;
		# Closed sessions may still hold locks.
		for my $try (1 .. 30)
		{
			$answer = must("DROP SCHEMA IF EXISTS $s CASCADE");
			last if !$answer->{state} && !$answer->{late} && !$answer->{gone};
			$answer->{$_} //= '' for qw(state file line message);
			fault("$answer->{state} at $answer->{file}:$answer->{line}: $answer->{message}", "DROP SCHEMA $s CASCADE") if $answer->{state} =~ /^XX/;
			Time::HiRes::usleep(100_000);
		}
		fault("schema $s is not dropped: $answer->{message}", '') if $answer->{state} || $answer->{late} || $answer->{gone};
	}
	must('DROP DATABASE IF EXISTS fuzz_x');
	must("DROP OWNED BY $_->[1]") for @names[ 1 .. 3 ];
	must("ALTER ROLE $_->[1] RESET ALL") for @names[ 1 .. 3 ];
	must('CREATE SCHEMA fuzz AUTHORIZATION fuzz_evil');
	must('CREATE SCHEMA fuzz2 AUTHORIZATION fuzz_evil');
	must("GRANT USAGE ON FOREIGN SERVER contime TO fuzz_evil, fuzz_second; GRANT CREATE ON DATABASE $database TO fuzz_evil, fuzz_second");
	make_tables(1);
	must(q{GRANT CREATE ON SCHEMA fuzz TO fuzz_second}, 'fuzz_evil');
	return;
}

sub send_one
{
	my ($name, $sql) = @_;
	my $s = session_of($name);

	$s->{own_timeout} = 1 if $sql =~ /timeout|RESET|DISCARD/;
	push @script, "-- $name\n$sql;\n";
	$statements++;
	if ($sql =~ /^SELECT/ && chance(0.05))
	{
		$s->send_extended($sql, [], pick(0, 1, 3));
	}
	else
	{
		$s->send($sql, pick(@rows));
	}
	return $s;
}

# In a failed transaction mostly ROLLBACK is useful.
sub mended
{
	my ($s, $sql) = @_;
	return $s->{status} eq 'E' && chance(0.7) ? pick('ROLLBACK', 'ROLLBACK', 'ROLLBACK TO a', 'COMMIT') : $s->{status} eq 'T' && chance(0.08) ? pick('COMMIT', 'ROLLBACK') : chance(0.02) ? 'RESET ALL' : $sql;
}

# Core runs functions in a view as the role that reads it, and the hostile roles may have created a view of any name.
sub is_safe
{
	my ($sql) = @_;
	my $s = session_of('superuser');
	$s->send(q{SELECT coalesce(pg_catalog.string_agg(c.relname, '|'), '') FROM pg_catalog.pg_class c, pg_catalog.pg_namespace n WHERE n.oid = c.relnamespace AND n.nspname = 'fuzz' AND c.relkind = 'v'});
	my $answer = $s->receive(20 * $slow);
	my $views = $answer->{first} ? $answer->{first}[0] : 'pg_catalog';
	return $views eq '' || $sql !~ /\b(?:$views)\b/;
}

sub step
{
	my ($sql, $privileged) = statement();
	return if $privileged && !is_safe($sql);
	my $name = $privileged ? 'superuser' : pick(('evil') x 5, ('evil2') x 4, 'second', chance(0.5) ? 'reader' : 'evil');
	my @sent = send_one($name, $privileged ? $sql : mended(session_of($name), $sql));

	if (chance(0.1))
	{
		for my $other (grep { $_ ne $name && chance(0.6) } map { $_->[0] } @names)
		{
			my ($another, $theirs) = statement();
			push @sent, send_one($other, mended(session_of($other), $another)) if !$theirs;
		}
	}
	if (chance(0.003))
	{
		(my $broken = pop @sent)->close;
		push @script, "-- $broken->{name}: broken off\n";
		$session{ $broken->{name} } = undef;
	}
	judge($_, $_->receive(20 * $slow)) for @sent;
	read_log();
	return;
}

sub finish
{
	my @states = sort { $count{$b} <=> $count{$a} } keys %count;
	my $n = $statements || 1;
	splice @states, 24 if @states > 24;
	print '# ', join(', ', map { sprintf '%s %.1f%%', $_, 100 * $count{$_} / $n } @states), "\n";
	print '# faults: ', join('; ', map { "$_ ($faults{$_})" } sort keys %faults), "\n" if %faults;
	printf "%d statements, %d faults (CT_SEED=%d)\n", $statements, scalar keys %faults, $seed;
	exit(%faults ? 1 : 0);
}

# Check the test itself: run by the superuser the probe must raise, and the fault must be noticed.
sub check_probe
{
	my $answer = must('SELECT fuzz.isok(1)');
	return if ($answer->{state} // '') eq 'ZZ999';
	fault('the probe does not see a superuser', $answer->{message} // '');
	return;
}

roles();
for (my $round = $ENV{CT_ROUND} // 0; $statements < $most && keys(%faults) < $most_faults; $round++)
{
	begin_round($round);
	check_probe();
	for (my $end = $statements + $per_round; $statements < $end && $statements < $most && keys(%faults) < $most_faults;)
	{
		step();
		make_tables(0) if chance(0.02);
	}
}
Time::HiRes::sleep(0.5);
read_log();
finish();
