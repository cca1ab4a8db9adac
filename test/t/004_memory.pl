# The memory budget: at the smallest setting, writers are refused when it is used up; what was accepted stays and is served,
# also while workers are stopped; what is rolled back, truncated, dropped or not retained any more comes back.
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

# Rows in small transactions until one is refused.
my ($accepted, $state, $message, $hint) = (0);
for my $i (1 .. 2000)
{
	($state, $message, $hint) = sqlstate($node,
		"INSERT INTO account SELECT j % 100, timestamptz '2020-01-01' + ($i * 1000 + j) * interval '1 second', 1, repeat('n', 100) FROM generate_series(1, 1000) j");
	last if $state ne '';
	$accepted += 1000;
}
is($state, '53200', 'the memory budget is reached');
like($hint, qr/contime\.memory/, 'the hint names the setting');
cmp_ok($accepted, '>', 0, "after $accepted rows");
is($node->safe_psql('postgres', $sum), $accepted, 'what was accepted is served');
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'it enters and freezes though memory is short');
is($node->safe_psql('postgres', $sum), $accepted, 'and is served');
is($node->safe_psql('postgres', 'SELECT recent + young + frozen FROM contime.tables'), $accepted, 'and accounted for');

# Other sessions read, and late events do not break anything, whatever their fate.
($state) = sqlstate($node, q{INSERT INTO account SELECT j, '2019-01-01', 1 FROM generate_series(0, 99) j});
like($state, qr/^(53200)?$/, "late events are accepted or refused, state '$state'");
$accepted += 100 if $state eq '';
is($node->safe_psql('postgres', $sum), $accepted, 'all or nothing');

# TRUNCATE gives it back.
$node->safe_psql('postgres', 'TRUNCATE account');
is($node->safe_psql('postgres', $sum), 0, 'truncated');
my $half = int($accepted / 2);
until_true($node, 'SELECT coalesce(sum(bytes), 0) < 100000 FROM contime.tables', 'the old events leave');
my $again = "INSERT INTO account SELECT j % 100, timestamptz '2020-01-01' + j * interval '1 second', 1, repeat('n', 100) FROM generate_series(1, $half) j";
until_true($node, 'SELECT (SELECT sum(memory_bytes) FROM contime.workers) < 2 * 1024 * 1024', 'their memory, too');
$node->safe_psql('postgres', $again);
is($node->safe_psql('postgres', $sum), $half, 'the room can be used again');

# So does a rollback, over and over: many times the budget passes through.
for my $i (1 .. 6)
{
	$node->safe_psql('postgres', 'TRUNCATE account');
	until_true($node, 'SELECT coalesce(sum(bytes), 0) < 100000 AND (SELECT sum(memory_bytes) FROM contime.workers) < 2 * 1024 * 1024 FROM contime.tables', 'empty');
	$node->safe_psql('postgres', "BEGIN; $again; ROLLBACK");
	until_true($node, 'SELECT coalesce(sum(bytes), 0) < 100000 AND (SELECT sum(memory_bytes) FROM contime.workers) < 2 * 1024 * 1024 FROM contime.tables', 'rolled back, it leaves');
}
$node->safe_psql('postgres', $again);
is($node->safe_psql('postgres', $sum), $half, 'and after all that the room is still there');

# While the workers are stopped everything stays recent; the budget holds, and what was accepted is served and enters later.
my $empty = 'SELECT sum(memory_bytes) < 2 * 1024 * 1024 FROM contime.workers';
$node->safe_psql('postgres', 'TRUNCATE account');
until_true($node, $empty, 'empty again');
my @workers = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM contime.workers');
kill 'STOP', @workers;
($accepted, $state) = (0, '');
for my $i (1 .. 2000)
{
	($state, $message, $hint) = sqlstate($node, "INSERT INTO account SELECT j % 100, timestamptz '2020-01-01' + ($i * 1000 + j) * interval '1 second', 1, repeat('n', 100) FROM generate_series(1, 1000) j");
	last if $state ne '';
	$accepted += 1000;
}
is($state, '53200', 'the memory budget is reached while workers are stopped');
cmp_ok($accepted, '>', 0, "after $accepted rows");
is($node->safe_psql('postgres', $sum), $accepted, 'what was accepted is served');
($state) = sqlstate($node, q{BEGIN; SAVEPOINT s; INSERT INTO account SELECT j, '2020-01-01', 1, repeat('n', 1000) FROM generate_series(1, 10000) j; ROLLBACK TO s; COMMIT});
is($state, '53200', 'a writer is refused');
is($node->safe_psql('postgres', $sum), $accepted, 'and leaves nothing');
kill 'CONT', @workers;
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'it enters and freezes when they go on');
is($node->safe_psql('postgres', $sum), $accepted, 'and is served');
is($node->safe_psql('postgres', 'SELECT frozen FROM contime.tables'), $accepted, 'each once');

# DROP gives it back, committed and not when rolled back; so does retention.
$node->safe_psql('postgres', 'BEGIN; DROP FOREIGN TABLE account; ROLLBACK');
is($node->safe_psql('postgres', $sum), $accepted, 'a DROP that is rolled back gives up nothing');
$node->safe_psql('postgres', 'DROP FOREIGN TABLE account');
until_true($node, $empty, 'DROP gives everything back');
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE game (unit int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'),
	score bigint OPTIONS (rule 'sum'), note text) SERVER contime OPTIONS (retain '1000')});
my ($refused, $batches) = (0, 0);
while ($batches < 60 && $refused < 600)
{
	# The budget several times over. A writer that is faster than retention is refused, waits until there is room, and writes the batch again.
	($state) = sqlstate($node, "INSERT INTO game SELECT j % 10, $batches * 1000 + j % 1000, 1, repeat('n', 100) FROM generate_series(1, $half / 10) j");
	last if $state !~ /^(53200)?$/;
	if ($state eq '') { $batches++; next }
	$refused++;
	until_true($node, "SELECT coalesce((SELECT frozen < $half / 5 FROM contime.tables), true)", 'refused, later there is room again');
}
my $played = $batches * int($half / 10);
is("$batches $state", '60 ', 'with retention each batch is accepted in the end');
cmp_ok($played, '>', 2 * $half, "$played rows played, $refused times refused");
is($node->safe_psql('postgres', 'SELECT sum(score) FROM game'), $played, 'and everything counts');

# Events that were rolled back do not count against a limit, though the worker drops them a little later.
$node->safe_psql('postgres', 'DROP FOREIGN TABLE game');
until_true($node, $empty, 'all is empty');
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
	SELECT sum(score) FROM limited WHERE at = 'infinity'}), 8000, 'what is rolled back makes room within a memory_limit');
$node->stop('fast');

done_testing();
