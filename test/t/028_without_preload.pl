# A server that does not preload contime: event tables can be written like any table, and every other use of contime is an error. A server
# that preloads it again answers from the rows written meanwhile. Also in single-user mode, with and without preload, and in binary upgrade mode.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use IPC::Run;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('without', 'max_prepared_transactions' => 2, 'wal_level' => 'logical');
$node->safe_psql('postgres', q{
	CREATE TABLE owner (id int PRIMARY KEY);
	INSERT INTO owner SELECT generate_series(1, 20);
	CREATE TABLE movement (id int PRIMARY KEY, account int REFERENCES owner ON DELETE CASCADE ON UPDATE CASCADE, at timestamptz, amount int);
	INSERT INTO movement SELECT i, 1 + i % 20, timestamptz '2026-01-01' + i * interval '1 hour', i FROM generate_series(1, 400) i;
	CREATE TABLE parted (id int, account int, at timestamptz, amount int) PARTITION BY LIST (account);
	CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
	CREATE TABLE parted_2 PARTITION OF parted DEFAULT;
	INSERT INTO parted SELECT i, 1 + i % 3, timestamptz '2026-01-01' + i * interval '1 hour', i FROM generate_series(1, 100) i;
	CREATE TABLE emptied (account int, at timestamptz, amount int);
	INSERT INTO emptied VALUES (1, '2026-01-01', 1000000);
	CREATE FOREIGN TABLE balance (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), amount bigint OPTIONS (rule 'sum'),
		n int OPTIONS (rule 'sum', source '1')) SERVER contime OPTIONS (events 'movement');
	SELECT contime.add_source('balance', 'parted', '{"n": "1"}');
	SELECT contime.add_source('balance', 'emptied', '{"n": "1"}');
	CREATE FOREIGN TABLE dropped (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), amount bigint OPTIONS (rule 'sum')) SERVER contime;
	SELECT contime.add_source('dropped', 'parted');
	CREATE FOREIGN TABLE other (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), amount bigint OPTIONS (rule 'sum')) SERVER contime;
	SELECT contime.add_source('other', 'movement');
	CREATE VIEW event AS SELECT account, at, amount FROM movement UNION ALL SELECT account, at, amount FROM parted UNION ALL TABLE emptied;
	CREATE TABLE noted (n int)});

# Count differences to plain SQL over the rows, at six instants.
my $differences = q{
	WITH t AS MATERIALIZED (SELECT timestamptz '2026-01-01' + i * interval '80 hours' AS at FROM generate_series(0, 5) i)
	SELECT count(*) FILTER (WHERE want::text IS DISTINCT FROM got::text), count(*) > 20 FROM
		(SELECT e.account, t.at, sum(amount)::bigint AS amount, count(*) AS n FROM t JOIN event e ON e.at <= t.at GROUP BY 1, 2) want
		FULL JOIN (SELECT b.account, b.at, b.amount, b.n FROM t JOIN balance b ON b.at = t.at) got USING (account, at)};

sub agree
{
	my ($what) = @_;
	is($node->safe_psql('postgres', $differences), '0|t', "$what: the states are those of plain SQL over the rows");
	until_cached($node, 'balance');
	is($node->safe_psql('postgres', $differences), '0|t', "$what: also when the table is cached");
	is($node->safe_psql('postgres', q{SELECT equal FROM contime.verify('balance')}), 't', "$what: contime.verify finds no difference");
	return;
}

sub restart_with
{
	my ($libraries) = @_;
	$node->stop('fast');
	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$libraries'\n");
	$node->start;
	return;
}

agree('before');
$node->safe_psql('postgres', q{BEGIN; INSERT INTO movement VALUES (1001, 1, '2026-01-02', 7); PREPARE TRANSACTION 'p'});
restart_with('');

# Each kind of write, with and without rows.
my @writes = (
	q{INSERT INTO movement VALUES (1000, 1, '2026-01-02', 5)},
	q{INSERT INTO movement SELECT i, 2, timestamptz '2026-01-03', 1 FROM generate_series(2000, 8000) i},
	q{INSERT INTO movement SELECT 1, 1, now(), 1 WHERE false},
	q{INSERT INTO movement VALUES (1000, 1, '2026-01-02', 5) ON CONFLICT (id) DO UPDATE SET amount = 6},
	q{MERGE INTO movement m USING (VALUES (1000), (9000)) v (id) ON m.id = v.id WHEN MATCHED THEN UPDATE SET amount = 8 WHEN NOT MATCHED THEN INSERT VALUES (v.id, 3, '2026-01-04', 9)},
	q{UPDATE movement SET amount = amount + 1 WHERE account = 3},
	q{UPDATE movement SET amount = 1 WHERE false},
	q{DELETE FROM movement WHERE account = 4},
	q{DELETE FROM movement WHERE false},
	q{COPY movement FROM '/dev/null'},
	q{COPY movement FROM PROGRAM 'echo 9001,5,2026-01-05,10' WITH (FORMAT csv)},
	q{DELETE FROM owner WHERE id = 6},
	q{UPDATE owner SET id = 107 WHERE id = 7},
	q{UPDATE parted SET account = 1 + account % 3},
	q{UPDATE parted_1 SET amount = 3},
	q{WITH gone AS (DELETE FROM parted WHERE id % 7 = 0 RETURNING *) INSERT INTO movement SELECT 10000 + id, account, at, amount FROM gone},
	q{BEGIN; SAVEPOINT s; DELETE FROM parted; ROLLBACK TO s; INSERT INTO parted VALUES (1, 9, '2026-01-06', 2); COMMIT},
	q{COMMIT PREPARED 'p'},
	q{TRUNCATE emptied},
	q{BEGIN; TRUNCATE movement CASCADE; ROLLBACK},
	q{INSERT INTO emptied VALUES (2, '2026-01-01', 77)},
	q{VACUUM (FULL) movement},
	q{CLUSTER movement USING movement_pkey},
	q{CREATE TABLE parted_9 PARTITION OF parted FOR VALUES IN (19); INSERT INTO parted VALUES (1, 19, '2026-01-06', 2)},
	q{ANALYZE movement, parted, emptied});
for my $write (@writes)
{
	my ($rc, undef, $err) = $node->psql('postgres', $write);
	is($rc, 0, "without preload this works: $write") or diag($err);
}

# Every use of contime itself is error 55000.
for my $sql ('SELECT * FROM balance', q{SELECT * FROM balance WHERE account = 1 AND at = '2026-01-02'}, 'EXPLAIN SELECT * FROM balance',
	'SELECT * FROM event e JOIN balance b ON b.account = e.account AND b.at = e.at', 'SELECT count(*) FROM balance, movement',
	'TRUNCATE balance', q{INSERT INTO balance VALUES (1, now(), 1)}, 'ANALYZE balance', q{SELECT * FROM contime.at(NULL::balance, now())},
	q{SELECT contime.at(NULL::balance, now(), 1)}, q{SELECT * FROM contime.history(NULL::balance, 1, now(), now())},
	q{SELECT * FROM contime.series(NULL::balance, 1, now(), now(), '1 day')}, q{SELECT contime.since(NULL::balance, 1, now())},
	q{SELECT * FROM contime.events(NULL::balance, 1, now(), now())}, q{SELECT * FROM contime.reconciliations(NULL::balance)},
	q{SELECT contime.event(ROW(1, now(), 1, 1)::balance)}, q{SELECT contime.snapshot(ROW(1, now(), 1, 1)::balance)},
	q{SELECT contime.finish(ROW(1, now(), 1, 1)::balance)}, q{SELECT * FROM contime.verify('balance')}, 'SELECT * FROM contime.tables',
	'SELECT * FROM contime.workers', q{SELECT contime.add_source('balance', 'movement')}, q{SELECT contime.drop_source('balance', 'parted')}, q{SELECT contime.repair('balance')},
	q{DELETE FROM contime.source WHERE state = 'balance'::regclass}, q{UPDATE contime.source SET kind = 'finish'},
	q{CREATE FOREIGN TABLE new (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime},
	q{ALTER FOREIGN TABLE balance ALTER COLUMN n OPTIONS (SET source '2')}, q{DO $$ DECLARE c CURSOR FOR SELECT * FROM balance; BEGIN OPEN c; END $$})
{
	my ($state, $message, $hint) = sqlstate($node, $sql);
	is($state, '55000', "without preload, error 55000: $sql");
	like($hint, qr/shared_preload_libraries/, 'the hint names shared_preload_libraries');
}
is((sqlstate($node, 'IMPORT FOREIGN SCHEMA public FROM SERVER contime INTO public'))[0], 'HV00P', 'IMPORT FOREIGN SCHEMA is refused');
is((sqlstate($node, 'UPDATE balance SET n = 1'))[0], '0A000', 'UPDATE of a continuous table is refused');

# What PostgreSQL does alone works.
$node->safe_psql('postgres', q{DROP FOREIGN TABLE dropped; ALTER TABLE emptied ADD COLUMN note text; ALTER TABLE noted ADD COLUMN m int});
is($node->safe_psql('postgres', q{LOAD 'contime'; INSERT INTO movement VALUES (1002, 1, '2026-01-02', 5); DROP FOREIGN TABLE other; SELECT 1}), '1', 'an event table can be written to after LOAD');
is((sqlstate($node, 'DROP TABLE movement'))[0], '2BP01', 'an event table cannot be dropped without the continuous table');
is($node->safe_psql('postgres', 'SELECT count(*) FROM contime.source'), '4', 'rows of contime.source stay when their table is dropped');
restart_with('contime');

# Rows of a partition that was created meanwhile are not captured until an agent has bound the table again.
is($node->safe_psql('postgres', $differences), '0|t', 'with preload again: the states are those of plain SQL');
agree('again');

# A row of contime.source whose table was dropped is not dumped, and does not apply to a table that gets its OID.
my ($all) = run_command([ 'pg_dump', $node->connstr('postgres') ]);
my ($rows) = $all =~ /COPY contime\.source .*?\n(.*?)\\\.\n/s;
is(join('', map { (split /\t/)[0] . "\n" } sort split /\n/, $rows // ''), "public.balance\npublic.balance\n", 'rows of dropped tables are not dumped');
$node->safe_psql('postgres', q{INSERT INTO contime.source SELECT max(oid)::int + 100 + i, 'movement', 'event', '{}' FROM pg_class, generate_series(0, 5) i GROUP BY i});
$node->safe_psql('postgres', join ';', map { qq{CREATE FOREIGN TABLE t$_ (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime} } 1 .. 60);
is($node->safe_psql('postgres', q{SELECT count(*) < 10, count(*) FILTER (WHERE state::oid IN (SELECT oid FROM pg_class WHERE relname LIKE 't%')) FROM contime.source}),
	't|0', 'a table that gets the OID does not get its sources');
$node->safe_psql('postgres', join ';', map { "DROP FOREIGN TABLE t$_" } 1 .. 60);

# Single-user mode: there is shared memory, but no worker and no agent.
sub single
{
	my ($libraries, $sql, @options) = @_;
	my $out = '';
	my $in = join '', map { "$_\n" } @$sql;
	my $run = IPC::Run::run([ 'postgres', '--single', @options, '-D', $node->data_dir, '-c', "shared_preload_libraries=$libraries", 'postgres' ],
		'<', \$in, '>&', \$out, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return ($run, $out);
}
$node->stop('fast');
my @commands = (
	q{INSERT INTO movement VALUES (3, 8, '2026-01-02', 5) ON CONFLICT DO NOTHING}, q{UPDATE movement SET amount = amount + 2 WHERE account = 8}, q{DELETE FROM movement WHERE account = 9},
	q{INSERT INTO movement SELECT 1 WHERE false}, q{COPY movement FROM '/dev/null'}, q{TRUNCATE emptied}, q{VACUUM movement});
my @reads = (
	q{SELECT count(*) FROM balance WHERE at = '2026-01-15'}, q{SELECT count(*) FROM contime.at(NULL::balance, '2026-01-15')}, q{SELECT count(*) FROM contime.tables},
	q{SELECT count(*) FROM contime.workers}, q{SELECT equal FROM contime.verify('balance')}, q{ANALYZE balance}, q{EXPLAIN ANALYZE SELECT * FROM balance},
	q{INSERT INTO account VALUES (1, '2026-01-01', 5)}, q{SELECT balance FROM account WHERE at = '2026-01-02'}, q{SELECT contime.event(ROW(2, '2026-01-01', 5, NULL)::account)},
	q{SELECT count(*) FROM contime.reconciliations(NULL::account)}, q{TRUNCATE account}, q{INSERT INTO account SELECT i, '2026-01-01', 1 FROM generate_series(1, 100000) i},
	q{SELECT contime.drop_source('balance', 'emptied')}, q{SELECT contime.add_source('balance', 'emptied', '{"n": "1"}')},
	q{CREATE FOREIGN TABLE made (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime}, q{DROP FOREIGN TABLE made},
	q{CREATE DATABASE made}, q{DROP DATABASE made});
my $alive = q{SELECT 'alive ' || 'still' AS it};
my ($run, $out) = single('contime', [ @commands, @reads, $alive ]);
ok($run && $out =~ /it = "alive still"/, 'single-user mode ends without a crash') or diag($out);
unlike($out, qr/ERROR|PANIC|FATAL/, 'there is no error');
like($out, qr/equal = "t"/, 'contime.verify works there');
($run, $out) = single('', [ @commands, @reads, "LOAD 'contime'", @commands, @reads, $alive ]);
ok($run && $out =~ /it = "alive still"/, 'single-user mode without preload ends without a crash') or diag($out);
unlike($out, qr/PANIC|FATAL|ERROR:  (?!contime must be loaded|relation "made"|foreign table "made")/, 'only uses of contime are errors');

# Binary upgrade mode, as pg_upgrade starts servers.
($run, $out) = single('contime', [ @commands, @reads, q{CREATE FOREIGN TABLE made (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime}, $alive ], '-b');
ok($run && $out =~ /it = "alive still"/, 'binary upgrade mode ends without a crash') or diag($out);
unlike($out, qr/PANIC|FATAL|ERROR:  XX/, 'there is no internal error');
$node->start;
agree('in the end');
$node->stop('fast');

done_testing();
