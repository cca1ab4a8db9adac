# Caches of durable tables and contime.memory: a table that does not fit is cached in part, a cache that is not read makes room for another
# and is loaded again later, tables in memory keep room, and no write to an event table fails for lack of memory. (More: 026_partial_cache.pl.)
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

# A table that nobody reads, and a transaction that has read another.
$loaded->('held_state');
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; SELECT count(*) FROM held_state');

$loaded->('small_state');
is($cache->('small_state'), 'ready', 'a table is cached');
is($equal->('small_state', 'small'), 't', 'its states are right');

# A cache that was read within the last five seconds is not evicted.
$sql->('SELECT pg_sleep(6)', 'SELECT count(*) FROM other_state');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM other_state WHERE k = 1; SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'other_state'::regclass}, "1\nt"), 'another cache is loaded');
is($cache->('small_state'), 'none', 'a cache that was not read is evicted for it');
is($cache->('held_state'), 'ready', 'a cache that a transaction uses is not');
$holder->quit;
$sql->('DROP TABLE held CASCADE');
is($equal->($_ . '_state', $_), 't', "states of $_ are right") for qw(small other);

$loaded->('large_state');
is($cache->('large_state'), 'partial', 'a table that does not fit is cached in part');
logged($node, qr/continuous table "large_state" is cached in part: it does not fit into contime\.memory/, 0, 'the log gives the reason');
is($equal->('large_state', 'large'), 't', 'its states are right');

# An evicted cache is loaded again.
$sql->('SELECT pg_sleep(6)');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM small_state WHERE k = 1; SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'small_state'::regclass}, "1\nt"), 'a table that is read again is cached again');
is($equal->('small_state', 'small'), 't', 'its states are right');

# A transaction that makes the cache grow continues if the cache is evicted.
is($sql->(q{BEGIN}, q{INSERT INTO small SELECT i % 1000, timestamptz '2027-01-01' + i * interval '1 s', i FROM generate_series(1, 400000) i},
	q{INSERT INTO account SELECT i % 100, timestamptz '2020-01-01' + i * interval '1 s', 0 FROM generate_series(1, 10000) i}, q{SELECT count(*) FROM small}, q{ROLLBACK}),
	1050000, 'a table in memory can be written to while the cache of another grows');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM small_state WHERE k = 1; SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'small_state'::regclass}, "1\nt"), 'the cache is loaded again after the rollback');

# The event table grows until memory is full: no write fails, and no answer is wrong.
$sql->("INSERT INTO small SELECT i % 1000, timestamptz '2027-01-01' + i * interval '1 s', i FROM generate_series(1, 300000) i") for 1 .. 4;
is($equal->('small_state', 'small'), 't', 'states of a table larger than memory are right, ' . $cache->('small_state'));
$loaded->('small_state');
is($cache->('small_state'), 'partial', 'the cache is partial then');
is($equal->('small_state', 'small'), 't', 'its states are right');
ok($node->poll_query_until('postgres', q{SELECT sum(bytes) <= 24 * 1024 * 1024 FROM contime.tables}), 'a quarter of the memory is freed');
$sql->("INSERT INTO account SELECT i % 100, timestamptz '2020-01-01' + i * interval '1 s', 1 FROM generate_series(1, 100000) i");
is($sql->("SELECT sum(balance) FROM account WHERE at = 'infinity'"), 100000, 'a table in memory can still be written to');

$node->stop('fast');
done_testing();
