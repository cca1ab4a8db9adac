# A generation that was replaced must not become valid again while the workers have not freed it yet: events that a cache held before
# DDL on its event table must not reappear when the next cache is replaced.
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

# Workers are stopped, so that no generation is freed.
my @workers = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM contime.workers');
stop_process($_) for @workers;
$node->safe_psql('postgres', 'ALTER TABLE e DETACH PARTITION e0; DELETE FROM e0 WHERE k > 1');
until_cached($node, 'd');
is($node->safe_psql('postgres', 'SELECT count(*) FROM d'), 0, 'after DETACH the partition\'s events are gone');
$node->safe_psql('postgres', 'ALTER TABLE e ATTACH PARTITION e0 FOR VALUES IN (0)');
until_cached($node, 'd');
is($node->safe_psql('postgres', 'SELECT sum(v) FROM d'), 1, 'after ATTACH the state is that of the remaining rows');
is($node->safe_psql('postgres', q{SELECT * FROM contime.verify('d')}), 'memory|1|t', 'the reads are answered from memory');
kill 'CONT', @workers;
until_true($node, q{SELECT equal FROM contime.verify('d')}, 'contime.verify finds no difference after the workers continued');
$node->stop('fast');

done_testing();
