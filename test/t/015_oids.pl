# OIDs are reused: a new table that gets the OID of a dropped one has none of its events.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

# The OID counter is set close to its end, so that it continues at the lowest OIDs.
my $node = contime_node('oids', 'autovacuum' => 'off');
my $oid = $node->safe_psql('postgres', q{SELECT 'account'::regclass::oid});
$node->stop('fast');
$node->command_ok([ 'pg_resetwal', '-o', '4294967290', $node->data_dir ], 'the OID counter is close to its end');
$node->start;

# Make the next relation get this OID: large objects advance the counter.
sub count_up
{
	my ($next) = @_;
	$node->safe_psql('postgres', "DO \$\$ BEGIN FOR i IN 1 .. 10000 LOOP IF lo_create(0) = $next - 1 THEN RETURN; END IF; END LOOP; RAISE 'no'; END \$\$");
	return;
}

my $rows = q{SELECT count(*), sum(balance) FROM account WHERE at = 'infinity'};
my $fill = q{INSERT INTO account SELECT i, '2020-01-01', 1 FROM generate_series(1, 100) i;};

# The table is dropped while workers are stopped, so that the old events are still in memory.
$node->safe_psql('postgres', $fill);
is($node->safe_psql('postgres', $rows), '100|100', 'the table has events');
my @workers = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM contime.workers');
kill 'STOP', @workers;
$node->safe_psql('postgres', 'DROP FOREIGN TABLE account');
$node->safe_psql('postgres', 'VACUUM pg_class');
count_up($oid);
$node->safe_psql('postgres', $account);
is($node->safe_psql('postgres', q{SELECT 'account'::regclass::oid}), $oid, 'a new table gets the same OID');
is($node->safe_psql('postgres', $rows), '0|', 'the new table is empty');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 5)});
is($node->safe_psql('postgres', $rows), '1|5', 'the new table has its own event');
kill 'CONT', @workers;
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'its event enters');
until_true($node, 'SELECT sum(memory_bytes) < 1024 * 1024 FROM contime.workers', 'the memory of the dropped table is freed');
is($node->safe_psql('postgres', $rows), '1|5', 'the new table still has its own event');
$node->safe_psql('postgres', 'BEGIN; DROP FOREIGN TABLE account; ROLLBACK');
is($node->safe_psql('postgres', $rows), '1|5', 'also after a DROP that is rolled back');

$node->stop('fast');

done_testing();
