# OIDs come back: a new table that gets the OID of one that was dropped has nothing of it.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

# The counter is set shortly before its end, so that it comes round to the lowest OIDs again.
my $node = contime_node('oids', 'autovacuum' => 'off');
my $oid = $node->safe_psql('postgres', q{SELECT 'account'::regclass::oid});
$node->stop('fast');
$node->command_ok([ 'pg_resetwal', '-o', '4294967290', $node->data_dir ], 'the counter is near its end');
$node->start;

# Have the next relation get this OID: large objects count up to it.
sub count_up
{
	my ($next) = @_;
	$node->safe_psql('postgres', "DO \$\$ BEGIN FOR i IN 1 .. 10000 LOOP IF lo_create(0) = $next - 1 THEN RETURN; END IF; END LOOP; RAISE 'no'; END \$\$");
	return;
}

my $rows = q{SELECT count(*), sum(balance) FROM account WHERE at = 'infinity'};
my $fill = q{INSERT INTO account SELECT i, '2020-01-01', 1 FROM generate_series(1, 100) i;};

# Dropped while workers do not work: the old events are still there.
$node->safe_psql('postgres', $fill);
is($node->safe_psql('postgres', $rows), '100|100', 'a table');
my @workers = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM contime.workers');
kill 'STOP', @workers;
$node->safe_psql('postgres', 'DROP FOREIGN TABLE account');
$node->safe_psql('postgres', 'VACUUM pg_class');
count_up($oid);
$node->safe_psql('postgres', $account);
is($node->safe_psql('postgres', q{SELECT 'account'::regclass::oid}), $oid, 'its OID comes back');
is($node->safe_psql('postgres', $rows), '0|', 'the new table is empty');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 5)});
is($node->safe_psql('postgres', $rows), '1|5', 'and has what is its own');
kill 'CONT', @workers;
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'its events enter');
until_true($node, 'SELECT sum(memory_bytes) < 1024 * 1024 FROM contime.workers', 'those of the old one are freed');
is($node->safe_psql('postgres', $rows), '1|5', 'it keeps what is its own');
$node->safe_psql('postgres', 'BEGIN; DROP FOREIGN TABLE account; ROLLBACK');
is($node->safe_psql('postgres', $rows), '1|5', 'also when a DROP is rolled back');

$node->stop('fast');

done_testing();
