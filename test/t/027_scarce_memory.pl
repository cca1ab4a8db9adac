# Where memory is scarce: what has just been loaded is not what makes room.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

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

# Key 0 has more events than fit, 1 to 1000 few each.
$sql->('CREATE TABLE told (id int, k int, at timestamptz, n int)', 'CREATE INDEX ON told (k, at)',
	"INSERT INTO told SELECT i, i % 1000 + 1, timestamptz '2026-01-01' + i * interval '1 s', 1 FROM generate_series(1, 200000) i",
	"INSERT INTO told SELECT 1000000 + i, 0, timestamptz '2026-01-01' + i * interval '1 s', 1 FROM generate_series(1, 1000000) i",
	"INSERT INTO told VALUES (0, 2000, '2026-01-01', 5), (0, 2000, '2026-01-01', 7)",
	"CREATE FOREIGN TABLE state (id int OPTIONS (event_id 'true'), k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n bigint OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'told')");
$node->safe_psql('postgres', 'VACUUM ANALYZE told');

$sql->('SELECT n FROM state WHERE k = 1');
ok($becomes->('state', 'partial'), 'what does not fit is cached in part, and nobody need read it meanwhile for that');

$node->stop('fast');
done_testing();
