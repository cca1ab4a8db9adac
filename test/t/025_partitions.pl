# Caches of partitioned event tables: rows that arrive by replication, in the parent or in partitions, and are moved
# between them; a partition that is being detached; a dump.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $publisher = contime_node('publisher', 'wal_level' => 'logical', 'max_wal_senders' => 4, 'max_replication_slots' => 4);
my $subscriber = contime_node('subscriber', 'wal_retrieve_retry_interval' => '10ms');

# The subscriber has other partitions, with their columns in another order.
my $events = 'CREATE TABLE reading (id int, sensor int, at timestamptz, value int, PRIMARY KEY (id, sensor)) PARTITION BY LIST (sensor)';
my $state = q{CREATE FOREIGN TABLE sensor (sensor int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
	total bigint OPTIONS (rule 'sum', source 'value')) SERVER contime OPTIONS (events 'reading')};
$publisher->safe_psql('postgres', "$events; CREATE TABLE reading_1 PARTITION OF reading FOR VALUES IN (1); CREATE TABLE reading_2 PARTITION OF reading DEFAULT");
$subscriber->safe_psql('postgres', "$events;
	CREATE TABLE reading_1 (value int, gone int, at timestamptz, sensor int NOT NULL, id int NOT NULL);
	ALTER TABLE reading_1 DROP COLUMN gone;
	ALTER TABLE reading ATTACH PARTITION reading_1 FOR VALUES IN (1);
	CREATE TABLE reading_2 PARTITION OF reading DEFAULT PARTITION BY LIST (sensor);
	CREATE TABLE reading_22 PARTITION OF reading_2 FOR VALUES IN (2);
	CREATE TABLE reading_23 PARTITION OF reading_2 DEFAULT;
	$state");

# Read the table until it is cached: a refused load is retried after a read.
sub cached
{
	my ($node, $what) = @_;
	ok($node->poll_query_until('postgres', q{SELECT count(*) >= 0 FROM sensor; SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'sensor'::regclass}, "t\nt"), $what);
	return;
}

# contime.verify finds all events in memory, and the states are those of plain SQL.
sub verified
{
	my ($node, $want, $what) = @_;
	is($node->safe_psql('postgres', 'SELECT answered_from, events, equal FROM contime.verify($$sensor$$)'), $want, "$what: contime.verify finds no difference");
	is($node->safe_psql('postgres', q{SELECT sensor, total FROM sensor WHERE at = 'infinity' ORDER BY sensor}),
		$node->safe_psql('postgres', 'SELECT sensor, sum(value) FROM reading GROUP BY sensor ORDER BY sensor'), "$what: the states are those of plain SQL");
	return;
}

for my $root ('true', 'false')
{
	my $via = $root eq 'true' ? 'by the parent' : 'by partitions';
	$publisher->safe_psql('postgres', "TRUNCATE reading; CREATE PUBLICATION p FOR TABLE reading WITH (publish_via_partition_root = $root)");
	$subscriber->safe_psql('postgres', 'TRUNCATE reading; CREATE SUBSCRIPTION s CONNECTION $$' . $publisher->connstr . ' dbname=postgres$$ PUBLICATION p');
	$subscriber->wait_for_subscription_sync($publisher, 's');
	cached($subscriber, "$via: in memory");
	$publisher->safe_psql('postgres', q{INSERT INTO reading SELECT i, i % 3 + 1, timestamptz '2026-01-01' + i % 40 * interval '1 hour', i FROM generate_series(1, 300) i});
	$publisher->wait_for_catchup('s');
	verified($subscriber, 'memory|300|t', "$via, INSERT");
	$publisher->safe_psql('postgres', 'UPDATE reading SET value = -value, at = at - interval $$30 minutes$$ WHERE id % 7 = 0; DELETE FROM reading WHERE id % 11 = 0; UPDATE reading SET sensor = sensor % 3 + 1 WHERE id % 5 = 0');
	$publisher->wait_for_catchup('s');
	verified($subscriber, 'memory|273|t', "$via, UPDATE and DELETE");
	$publisher->safe_psql('postgres', 'TRUNCATE reading_1');
	$publisher->wait_for_catchup('s');
	my $left = $publisher->safe_psql('postgres', 'SELECT count(*) FROM reading');
	is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM reading'), $left, "$via: TRUNCATE of a partition is replicated") unless $root eq 'true';
	cached($subscriber, "$via: in memory again");
	verified($subscriber, 'memory|' . $subscriber->safe_psql('postgres', 'SELECT count(*) FROM reading') . '|t', "$via, TRUNCATE");
	$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION s');
	$publisher->safe_psql('postgres', 'DROP PUBLICATION p');
}

# A partition that is being detached: new snapshots do not see it, and the event table is not loaded before the DETACH has ended.
$publisher->safe_psql('postgres', "TRUNCATE reading; $state; DROP TABLE reading_2; CREATE TABLE reading_2 PARTITION OF reading FOR VALUES IN (2);
	INSERT INTO reading VALUES (1, 1, '2026-01-01', 1), (2, 2, '2026-01-01', 2)");
cached($publisher, 'in memory');
my $reader = $publisher->background_psql('postgres');
$reader->query_safe('BEGIN; SELECT total FROM sensor');
my ($status, $out, $error) = $publisher->psql('postgres', "SET lock_timeout = '200ms'; ALTER TABLE reading DETACH PARTITION reading_2 CONCURRENTLY", on_error_stop => 0);
like($error, qr/lock timeout/, 'DETACH CONCURRENTLY waits for a reader');
$publisher->safe_psql('postgres', 'INSERT INTO reading_2 VALUES (3, 2, $$2026-01-02$$, 3)');
is($publisher->safe_psql('postgres', 'SELECT sensor, total FROM sensor'), '1|1', 'new PostgreSQL snapshots do not see the partition\'s events');
is($publisher->safe_psql('postgres', 'SELECT answered_from, events, equal FROM contime.verify($$sensor$$)'), 'event tables|1|t', 'reads use the event tables meanwhile');
$reader->quit;
$publisher->safe_psql('postgres', 'ALTER TABLE reading DETACH PARTITION reading_2 FINALIZE');
cached($publisher, 'in memory when it is over');
$publisher->safe_psql('postgres', 'INSERT INTO reading_2 VALUES (4, 2, $$2026-01-02$$, 3)');
verified($publisher, 'memory|1|t', 'detached');
is($publisher->safe_psql('postgres', 'SELECT count(*) FROM pg_trigger WHERE tgrelid = $$reading_2$$::regclass'), 0, 'the detached partition has no trigger of contime\'s');

# A restored event table is captured, too, whether partitions are attached before or after the continuous table is created.
$publisher->safe_psql('postgres', 'ALTER TABLE reading ATTACH PARTITION reading_2 FOR VALUES IN (2); CREATE DATABASE restored');
my $file = $publisher->basedir . '/dump.sql';
command_ok([ 'pg_dump', '--no-sync', '-f', $file, $publisher->connstr('postgres') ], 'pg_dump');
command_ok([ 'psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-f', $file, $publisher->connstr('restored') ], 'restored');
is($publisher->safe_psql('restored', 'SELECT tgrelid::regclass, count(*) FROM pg_trigger WHERE tgisinternal AND tgname LIKE $$!contime%$$ GROUP BY 1 ORDER BY 1'),
	"reading|2\nreading_1|3\nreading_2|3", 'with triggers');

done_testing();
