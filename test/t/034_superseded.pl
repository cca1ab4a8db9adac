# A generation that another one has superseded is not in force again, though the workers have not freed it yet: what a
# cache held before DDL on its event table must not come back when the cache that followed it is replaced.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('superseded');
$node->safe_psql('postgres', q{CREATE TABLE e (part int, k int, at timestamptz, v int) PARTITION BY LIST (part);
	CREATE TABLE e0 PARTITION OF e FOR VALUES IN (0); CREATE INDEX ON e (k, at);
	CREATE FOREIGN TABLE d (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v bigint OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'e');
	INSERT INTO e SELECT 0, i, '2026-01-01', 1 FROM generate_series(1, 3) i});
until_cached($node, 'd');
is($node->safe_psql('postgres', 'SELECT sum(v) FROM d'), 3, 'cached');

# Nobody frees anything from here on.
my @workers = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM contime.workers');
stop_process($_) for @workers;
$node->safe_psql('postgres', 'ALTER TABLE e DETACH PARTITION e0; DELETE FROM e0 WHERE k > 1');
until_cached($node, 'd');
is($node->safe_psql('postgres', 'SELECT count(*) FROM d'), 0, 'without the partition');
$node->safe_psql('postgres', 'ALTER TABLE e ATTACH PARTITION e0 FOR VALUES IN (0)');
until_cached($node, 'd');
is($node->safe_psql('postgres', 'SELECT sum(v) FROM d'), 1, 'with it again');
is($node->safe_psql('postgres', q{SELECT * FROM contime.verify('d')}), 'memory|1|t', 'from memory');
kill 'CONT', @workers;
until_true($node, q{SELECT equal FROM contime.verify('d')}, 'and when the workers go on');
$node->stop('fast');

done_testing();
