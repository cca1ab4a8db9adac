# Scarce memory: a cache that has just been loaded is not evicted at once; a key that does not fit does not displace others; and a key
# with two rows of one event id gives no wrong answer and does not make the loader load the table repeatedly.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;
use Time::HiRes;

my $node = contime_node('scarce_memory', 'contime.memory' => '32MB');
my $sql = sub { $node->safe_psql('postgres', join ';', @_) };
my $becomes = sub {
	my ($table, $cache) = @_;
	return $node->poll_query_until('postgres', qq{SELECT cache = '$cache' FROM contime.tables WHERE "table" = '$table'::regclass}, 't');
};
my $from = sub {
	my ($key) = @_;
	return $sql->("EXPLAIN (ANALYZE, COSTS OFF) SELECT n FROM state WHERE k = $key AND at = 'infinity'") =~ /Events: (.*)/ ? $1 : '';
};

# Key 0 has too many events to fit; keys 1 to 1000 have a few each.
$sql->('CREATE TABLE told (id int, k int, at timestamptz, n int)', 'CREATE INDEX ON told (k, at)',
	"INSERT INTO told SELECT i, i % 1000 + 1, timestamptz '2026-01-01' + i * interval '1 s', 1 FROM generate_series(1, 200000) i",
	"INSERT INTO told SELECT 1000000 + i, 0, timestamptz '2026-01-01' + i * interval '1 s', 1 FROM generate_series(1, 1000000) i",
	"INSERT INTO told VALUES (0, 2000, '2026-01-01', 5), (0, 2000, '2026-01-01', 7)",
	"CREATE FOREIGN TABLE state (id int OPTIONS (event_id 'true'), k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n bigint OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'told')");
$node->safe_psql('postgres', 'VACUUM ANALYZE told');

$sql->('SELECT n FROM state WHERE k = 1');
ok($becomes->('state', 'partial'), 'a table that does not fit becomes partial, without further reads');

# A hundred of the small keys are read all the time, and sometimes the key that does not fit.
my $settled = 0;
for (1 .. 200)
{
	$sql->("SELECT count(*) FROM generate_series(1, 100) i, state WHERE k = i");
	last if $settled >= 30;
	$sql->("SELECT n FROM state WHERE k = 0");
	$settled = $from->(1 + $_ % 100) eq 'memory' ? $settled + 1 : 0;
}
is($settled, 30, 'the key that does not fit does not displace the others');
is($from->(0), 'event tables', 'it is read from the event tables');
is($sql->("SELECT n FROM state WHERE k = 0 AND at = 'infinity'"), 1000000, 'right');

# Events that enter at instants that were not read make no notice. A read of them with an older PostgreSQL snapshot, which does
# not see these events, makes it.
my $told = sub {
	my ($key, $at, $read) = @_;
	my $shell = '\\! psql -XAtq -d postgres -c';
	my $out = $node->safe_psql('postgres', join "\n", 'SELECT max(seq) AS seq FROM contime.reconciliations(NULL::state) \gset', 'BEGIN ISOLATION LEVEL REPEATABLE READ;', 'SELECT 1;',
		qq{$shell "INSERT INTO told VALUES (2000000 + $key, $key, '$at', 1)"},
		qq{$shell "DO 'BEGIN FOR i IN 1 .. 1000 LOOP EXIT WHEN (SELECT recent = 0 FROM contime.tables); PERFORM pg_sleep(0.05); END LOOP; END'"},
		$read, 'COMMIT;', q{SELECT (key).k, during @> '2027-03-01'::timestamptz, reset FROM contime.reconciliations(NULL::state, :seq);});
	return $out =~ s/^1\n//r;
};
is($told->(3000, '2027-01-01', "SELECT count(*) FROM state WHERE k = 3000 AND at = '2027-03-01';"), "0\n3000|t|f", 'a read of one key makes a notice');
is($told->(3001, '2027-04-01', "SELECT count(*) FROM state WHERE at = '2027-05-01';"), "1003\n|t|t", 'a read of all keys makes a notice');
is($told->(3002, '2027-06-01', "SELECT 2;"), '2', 'without a read there is no notice');

# Workers would invalidate the cache at their next pass; they are stopped, as the reads must not depend on them.
my @workers = split /\n/, $sql->("SELECT pid FROM contime.workers");
kill 'STOP', @workers;
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if $from->(2000) eq 'memory' || $sql->('SELECT cache FROM contime.tables') eq 'refused';
	Time::HiRes::usleep(100_000);
}
$sql->('DELETE FROM told WHERE k = 2000 AND n = 5');
is($sql->('SELECT n FROM state WHERE k = 2000'), 7, 'after one of two rows with one event id is deleted, the state is that of the other');
kill 'CONT', @workers;

$node->stop('fast');
done_testing();
