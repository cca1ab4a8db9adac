# If a transaction commits captured rows that did not reach the cache, readers and the worker must notice it and invalidate the cache,
# so that no answer is wrong, after COMMIT as well as after COMMIT PREPARED. The test loses rows on purpose (contime.debug_skip_flush, a
# build with assertions). Transactions that are rolled back or in progress must not invalidate the cache.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

plan skip_all => 'no build with assertions: CT_ASSERTIONS is not set' unless $ENV{CT_ASSERTIONS};

my $node = contime_node('unflushed', install_path => $ENV{CT_ASSERTIONS}, 'contime.workers' => 1, 'max_prepared_transactions' => 5, 'fsync' => 'off');
my $sql = sub { $node->safe_psql('postgres', join ';', @_) };
$sql->(q{CREATE TABLE e (id serial PRIMARY KEY, k int, at timestamptz, v int)},
	q{CREATE FOREIGN TABLE s (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v bigint OPTIONS (rule 'sum', initial '0')) SERVER contime OPTIONS (events 'e')},
	q{INSERT INTO e (k, at, v) SELECT i % 10, '2026-01-01', i FROM generate_series(1, 1000) i},
	q{CREATE FUNCTION asked() RETURNS text LANGUAGE plpgsql AS $$
		DECLARE line text; place text; answer bigint; BEGIN
			FOR line IN EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM s WHERE k = 1 AND at = 'infinity' LOOP
				place := coalesce(substring(line FROM 'Events: (.*)'), place);
			END LOOP;
			RETURN (SELECT CASE WHEN (SELECT v FROM s WHERE k = 1 AND at = 'infinity') = sum(v) THEN 'right' ELSE 'WRONG' END FROM e WHERE k = 1) || ', ' || place;
		END $$});
my $insert = q{INSERT INTO e (k, at, v) VALUES (1, '2026-01-01', 7), (2, '2026-01-01', 7)};
my @lose = ('SET contime.debug_skip_flush = on', 'BEGIN', $insert);
my $ready = sub { until_cached($node, 's'); is($sql->('SELECT asked()'), 'right, memory', "$_[0]: answered from memory at first") };
my ($worker) = $sql->('SELECT pid FROM contime.workers');

# A reader notices them, since the worker is stopped. Transactions in progress do not matter.
$ready->('committed');
stop_process($worker);
my $log = -s $node->logfile;
my $writer = $node->background_psql('postgres');
$writer->query_safe(join ';', @lose);
is($sql->('SELECT asked()'), 'right, memory', 'while the transaction is in progress, others read from memory');
my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($old->query_safe('SELECT asked()'), 'right, memory', 'so does a PostgreSQL snapshot that is held');
$writer->query_safe('COMMIT');
is($old->query_safe('SELECT asked()'), 'right, memory', 'the held snapshot still reads from memory after the commit');
is($sql->('SELECT asked()'), 'right, event tables', 'a new snapshot sees the lost rows and invalidates the cache');
logged($node, qr/cache of continuous table "s" is invalidated: a transaction has committed rows that did not reach it/, $log, 'the log gives the reason');
is($old->query_safe('SELECT asked()'), 'right, event tables', 'the held snapshot is right without the cache');
$old->query_safe('COMMIT');
$old->quit;
kill 'CONT', $worker;

# No backend reads: the worker notices them.
$ready->('found by the worker');
$log = -s $node->logfile;
$sql->(@lose, 'COMMIT');
logged($node, qr/cache of relation \d+ of database \d+ is invalidated: a transaction has committed rows that did not reach it/, $log, 'the worker invalidates the cache');

# After a rollback the cache stays.
$ready->('rolled back');
$sql->(@lose, 'ROLLBACK');
$sql->('SET contime.debug_skip_flush = on', 'BEGIN', $insert, 'SELECT FROM e WHERE id = 1 FOR UPDATE', 'ROLLBACK');
is($sql->('SELECT asked()'), 'right, memory', 'after a ROLLBACK: from memory');
$node->psql('postgres', "BEGIN; INSERT INTO e (k, at, v) SELECT 1, '2026-01-01', 10 / (50 - i) FROM generate_series(1, 100) i");
$sql->(q{DO $$ BEGIN BEGIN INSERT INTO e (k, at, v) SELECT 1, '2026-01-01', 10 / (50 - i) FROM generate_series(1, 100) i; EXCEPTION WHEN division_by_zero THEN NULL; END; INSERT INTO e (k, at, v) VALUES (1, '2026-01-01', 1); END $$});
is($sql->('SELECT asked()'), 'right, memory', 'after an error: from memory');
$writer->query_safe(join ';', 'BEGIN', $insert);
my ($pid) = $writer->query_safe('SELECT pg_backend_pid()');
$sql->("SELECT pg_terminate_backend($pid, 30000)");
is($sql->('SELECT asked()'), 'right, memory', 'after a session was terminated: from memory');

# Transactions in two phases.
for my $end ('ROLLBACK', 'COMMIT')
{
	$sql->(@lose, "PREPARE TRANSACTION 'p'");
	is($sql->('SELECT asked()'), 'right, memory', 'prepared: from memory');
	$sql->("$end PREPARED 'p'");
	is($sql->('SELECT asked()'), $end eq 'COMMIT' ? 'right, event tables' : 'right, memory', "$end PREPARED");
}

# More transactions than the cache can note: rows of the others are added one by one.
$ready->('many');
my @writers = map { $node->background_psql('postgres') } 1 .. 9;
$_->query_safe(join ';', @lose) for @writers;
$sql->(q{INSERT INTO e (k, at, v) SELECT i % 3, '2026-01-01', i FROM generate_series(1, 100) i}, 'UPDATE e SET v = v + 1 WHERE k = 1 AND v < 100');
is($sql->('SELECT asked()'), 'right, memory', 'many transactions, without a note: from memory');
$_->query_safe('ROLLBACK') for @writers;
$_->quit for @writers;
is($sql->('SELECT asked()'), 'right, memory', 'many transactions, after the others were rolled back: from memory');
is($sql->("SELECT answered_from, equal FROM contime.verify('s')"), 'memory|t', 'contime.verify finds no difference');

$node->stop('fast');
done_testing();
