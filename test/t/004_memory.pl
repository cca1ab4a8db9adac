# The smallest contime.memory: writes fail when it is used up; accepted events stay and can be read, also while workers are
# stopped; memory of events that are rolled back, truncated, dropped or folded is freed.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $probe = contime_node('probe');
my $smallest = $probe->safe_psql('postgres', q{SELECT min_val || unit FROM pg_settings WHERE name = 'contime.memory'});
$probe->stop('fast');
note("contime.memory = $smallest");

my $node = contime_node('memory', 'contime.memory' => $smallest);
my $sum = q{SELECT coalesce(sum(balance), 0) FROM account WHERE at = 'infinity'};

# Write rows in small transactions until one fails.
my ($accepted, $state, $message, $hint) = (0);
for my $i (1 .. 2000)
{
	($state, $message, $hint) = sqlstate($node,
		"INSERT INTO account SELECT j % 100, timestamptz '2020-01-01' + ($i * 1000 + j) * interval '1 second', 1, repeat('n', 100) FROM generate_series(1, 1000) j");
	last if $state ne '';
	$accepted += 1000;
}
is($state, '53200', 'a write fails with 53200 when memory is used up');
like($hint, qr/contime\.memory/, 'the hint names contime.memory');
cmp_ok($accepted, '>', 0, "$accepted rows were accepted before");
is($node->safe_psql('postgres', $sum), $accepted, 'all accepted rows can be read');
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'workers enter and freeze them although memory is short');
is($node->safe_psql('postgres', $sum), $accepted, 'all accepted rows can be read afterwards');
is($node->safe_psql('postgres', 'SELECT recent + young + frozen FROM contime.tables'), $accepted, 'contime.tables counts each of them once');

# A transaction of late events is accepted or refused as a whole.
($state) = sqlstate($node, q{INSERT INTO account SELECT j, '2019-01-01', 1 FROM generate_series(0, 99) j});
like($state, qr/^(53200)?$/, "late events are accepted or fail with 53200: state '$state'");
$accepted += 100 if $state eq '';
is($node->safe_psql('postgres', $sum), $accepted, 'all of them are visible or none');

# TRUNCATE frees the memory.
$node->safe_psql('postgres', 'TRUNCATE account');
is($node->safe_psql('postgres', $sum), 0, 'truncated');
my $half = int($accepted / 2);
until_true($node, 'SELECT coalesce(sum(bytes), 0) < 100000 FROM contime.tables', 'the truncated events are removed');
my $again = "INSERT INTO account SELECT j % 100, timestamptz '2020-01-01' + j * interval '1 second', 1, repeat('n', 100) FROM generate_series(1, $half) j";
until_true($node, 'SELECT (SELECT sum(memory_bytes) FROM contime.workers) < 2 * 1024 * 1024', 'their memory is freed');
$node->safe_psql('postgres', $again);
is($node->safe_psql('postgres', $sum), $half, 'the freed memory can be used again');

# A rollback frees memory, too: the transactions together need many times the budget.
for my $i (1 .. 6)
{
	$node->safe_psql('postgres', 'TRUNCATE account');
	until_true($node, 'SELECT coalesce(sum(bytes), 0) < 100000 AND (SELECT sum(memory_bytes) FROM contime.workers) < 2 * 1024 * 1024 FROM contime.tables', 'empty');
	$node->safe_psql('postgres', "BEGIN; $again; ROLLBACK");
	until_true($node, 'SELECT coalesce(sum(bytes), 0) < 100000 AND (SELECT sum(memory_bytes) FROM contime.workers) < 2 * 1024 * 1024 FROM contime.tables', 'events of a rolled back transaction are removed');
}
$node->safe_psql('postgres', $again);
is($node->safe_psql('postgres', $sum), $half, 'afterwards the memory can be used again');

# While the workers are stopped all events stay recent; the limit holds, and accepted events can be read and enter later.
my $empty = 'SELECT sum(memory_bytes) < 2 * 1024 * 1024 FROM contime.workers';
$node->safe_psql('postgres', 'TRUNCATE account');
until_true($node, $empty, 'the table is empty, and its memory freed');
my @workers = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM contime.workers');
kill 'STOP', @workers;
($accepted, $state) = (0, '');
for my $i (1 .. 2000)
{
	($state, $message, $hint) = sqlstate($node, "INSERT INTO account SELECT j % 100, timestamptz '2020-01-01' + ($i * 1000 + j) * interval '1 second', 1, repeat('n', 100) FROM generate_series(1, 1000) j");
	last if $state ne '';
	$accepted += 1000;
}
is($state, '53200', 'a write fails with 53200 when memory is used up while workers are stopped');
cmp_ok($accepted, '>', 0, "$accepted rows were accepted before");
is($node->safe_psql('postgres', $sum), $accepted, 'all accepted rows can be read');
($state) = sqlstate($node, q{BEGIN; SAVEPOINT s; INSERT INTO account SELECT j, '2020-01-01', 1, repeat('n', 1000) FROM generate_series(1, 10000) j; ROLLBACK TO s; COMMIT});
is($state, '53200', 'another write fails with 53200');
is($node->safe_psql('postgres', $sum), $accepted, 'the failed write left no events');
kill 'CONT', @workers;
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'workers enter and freeze the events when they continue');
is($node->safe_psql('postgres', $sum), $accepted, 'all accepted rows can be read afterwards');
is($node->safe_psql('postgres', 'SELECT frozen FROM contime.tables'), $accepted, 'contime.tables counts each of them once');

# DROP frees memory when it commits, not when it is rolled back; retention frees memory, too.
$node->safe_psql('postgres', 'BEGIN; DROP FOREIGN TABLE account; ROLLBACK');
is($node->safe_psql('postgres', $sum), $accepted, 'a DROP that is rolled back loses no events');
$node->safe_psql('postgres', 'DROP FOREIGN TABLE account');
until_true($node, $empty, 'DROP gives everything back');
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE game (unit int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'),
	score bigint OPTIONS (rule 'sum'), note text) SERVER contime OPTIONS (retain '1000')});
my ($refused, $batches) = (0, 0);
while ($batches < 60 && $refused < 600)
{
	# Write several times the budget. A writer that is faster than retention gets 53200, waits until memory is freed, and writes
	# the batch again.
	($state) = sqlstate($node, "INSERT INTO game SELECT j % 10, $batches * 1000 + j % 1000, 1, repeat('n', 100) FROM generate_series(1, $half / 10) j");
	last if $state !~ /^(53200)?$/;
	if ($state eq '') { $batches++; next }
	$refused++;
	until_true($node, "SELECT coalesce((SELECT frozen < $half / 5 FROM contime.tables), true)", 'memory is freed after a refused write');
}
my $played = $batches * int($half / 10);
is("$batches $state", '60 ', 'with retention each batch is accepted eventually');
cmp_ok($played, '>', 2 * $half, "$played rows were accepted, $refused writes were refused");
is($node->safe_psql('postgres', 'SELECT sum(score) FROM game'), $played, 'every accepted event is part of the state');

# Events that were rolled back do not count against a limit, although the worker drops them later.
$node->safe_psql('postgres', 'DROP FOREIGN TABLE game');
until_true($node, $empty, 'all tables are empty');
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE limited (unit int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
	score bigint OPTIONS (rule 'sum', initial '0')) SERVER contime OPTIONS (memory_limit '1MB')});
is($node->safe_psql('postgres', q{DO $$ BEGIN
	FOR i IN 1 .. 20 LOOP
		BEGIN
			INSERT INTO limited SELECT j % 10, '2020-01-01', 1 FROM generate_series(1, 8000) j;
			RAISE EXCEPTION USING errcode = 'P9999';
		EXCEPTION WHEN SQLSTATE 'P9999' THEN NULL;
		END;
	END LOOP; END $$;
	INSERT INTO limited SELECT j % 10, '2020-01-01', 1 FROM generate_series(1, 8000) j;
	SELECT sum(score) FROM limited WHERE at = 'infinity'}), 8000, 'rolled back events make room within a memory_limit');
$node->stop('fast');

done_testing();
