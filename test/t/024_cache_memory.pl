# Caches of durable tables and the memory budget: of one that does not fit a part is there, one that is not read makes room for another and
# comes back, tables in memory keep room, and no write to an event table ever fails for it. (More about parts: 026_partial_cache.pl.)
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('cache_memory', 'contime.memory' => '32MB');
my $sql = sub { $node->safe_psql('postgres', join ';', @_) };
my $cache = sub { $sql->(qq{SELECT coalesce((SELECT cache FROM contime.tables WHERE "table" = '$_[0]'::regclass), 'none')}) };
my $loaded = sub {
	my ($table) = @_;
	$sql->("SELECT count(*) FROM $table");
	return $node->poll_query_until('postgres', qq{SELECT cache IN ('ready', 'partial') FROM contime.tables WHERE "table" = '$table'::regclass}, 't');
};
my $equal = sub {
	my ($table, $events) = @_;
	return $sql->("SELECT (SELECT array_agg(row(k, v) ORDER BY k) FROM $table WHERE at = 'infinity') = (SELECT array_agg(row(k, v) ORDER BY k) FROM (SELECT k, sum(v)::bigint AS v FROM $events GROUP BY k) x)");
};

$sql->(map { "CREATE TABLE $_ (k int, at timestamptz, v bigint)" } qw(held small other large));
$sql->("INSERT INTO $_->[0] SELECT i % 1000, timestamptz '2026-01-01' + i * interval '1 s', i FROM generate_series(1, $_->[1]) i") for [ held => 20_000 ], [ small => 650_000 ], [ other => 650_000 ], [ large => 1_200_000 ];
$sql->(map { "CREATE FOREIGN TABLE ${_}_state (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v bigint OPTIONS (rule 'sum')) SERVER contime OPTIONS (events '$_')" } qw(held small other large));

# One that nobody reads, and a transaction that has.
$loaded->('held_state');
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; SELECT count(*) FROM held_state');

$loaded->('small_state');
is($cache->('small_state'), 'ready', 'a table is cached');
is($equal->('small_state', 'small'), 't', 'and right');

# What was read within five seconds does not go.
$sql->('SELECT pg_sleep(6)', 'SELECT count(*) FROM other_state');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM other_state WHERE k = 1; SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'other_state'::regclass}, "1\nt"), 'another takes its place');
is($cache->('small_state'), 'none', 'since it was not read');
is($cache->('held_state'), 'ready', 'but for one that is in use');
$holder->quit;
$sql->('DROP TABLE held CASCADE');
is($equal->($_ . '_state', $_), 't', "$_ is right") for qw(small other);

$loaded->('large_state');
is($cache->('large_state'), 'partial', 'of what does not fit there is a part');
logged($node, qr/continuous table "large_state" is cached in part: it does not fit into contime\.memory/, 0, 'the log says why');
is($equal->('large_state', 'large'), 't', 'and all of it is read from the heap');

# What was evicted comes back.
$sql->('SELECT pg_sleep(6)');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM small_state WHERE k = 1; SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'small_state'::regclass}, "1\nt"), 'the first is read, and comes back');
is($equal->('small_state', 'small'), 't', 'and right');

# While who has it grow goes on.
is($sql->(q{BEGIN}, q{INSERT INTO small SELECT i % 1000, timestamptz '2027-01-01' + i * interval '1 s', i FROM generate_series(1, 400000) i},
	q{INSERT INTO account SELECT i % 100, timestamptz '2020-01-01' + i * interval '1 s', 0 FROM generate_series(1, 10000) i}, q{SELECT count(*) FROM small}, q{ROLLBACK}),
	1050000, 'a table in memory finds room beside one that grows');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM small_state WHERE k = 1; SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'small_state'::regclass}, "1\nt"), 'which is there again when it has not grown');

# It grows until memory is full: no write fails, and no answer is wrong.
$sql->("INSERT INTO small SELECT i % 1000, timestamptz '2027-01-01' + i * interval '1 s', i FROM generate_series(1, 300000) i") for 1 .. 4;
is($equal->('small_state', 'small'), 't', 'what outgrew memory is right, ' . $cache->('small_state'));
$loaded->('small_state');
is($cache->('small_state'), 'partial', 'and has a part in memory');
is($equal->('small_state', 'small'), 't', 'and is right');
ok($node->poll_query_until('postgres', q{SELECT sum(bytes) <= 24 * 1024 * 1024 FROM contime.tables}), 'a quarter of the memory is given back');
$sql->("INSERT INTO account SELECT i % 100, timestamptz '2020-01-01' + i * interval '1 s', 1 FROM generate_series(1, 100000) i");
is($sql->("SELECT sum(balance) FROM account WHERE at = 'infinity'"), 100000, 'a table in memory finds room');

$node->stop('fast');
done_testing();
