# pgbench's own load, with pgbench_history as the event table: at any instant balances are those of plain SQL, while the load
# runs, after the postmaster is killed, and after a restore.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $seconds = $ENV{CT_SECONDS} // 6;
my $node = contime_node('durable_pgbench', 'fsync' => 'on', 'max_connections' => 30);
$node->command_ok([ 'pgbench', '-i', '-q', '-s', '1', 'postgres' ], 'pgbench -i');
my $bind = q{
	CREATE FOREIGN TABLE account_at (aid int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true', source 'mtime AT TIME ZONE ''UTC'''),
		balance bigint OPTIONS (rule 'sum', initial '0', source 'delta'), n bigint OPTIONS (rule 'sum', source '1')) SERVER contime OPTIONS (events 'pgbench_history');
	CREATE FOREIGN TABLE teller_at (tid int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true', source 'mtime AT TIME ZONE ''UTC'''),
		balance bigint OPTIONS (rule 'sum', initial '0', source 'delta')) SERVER contime OPTIONS (events 'pgbench_history');
	CREATE FOREIGN TABLE branch_at (bid int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true', source 'mtime AT TIME ZONE ''UTC'''),
		balance bigint OPTIONS (rule 'sum', initial '0', source 'delta')) SERVER contime OPTIONS (events 'pgbench_history')};
$node->safe_psql('postgres', $bind);

# Count differences in one snapshot: to the balances that pgbench keeps, and of all keys at instants of the past.
my $compare = q{
	WITH now AS (
		SELECT 'account', aid AS id, b.balance AS want, a.balance AS got FROM account_at a FULL JOIN (SELECT aid, abalance AS balance FROM pgbench_accounts WHERE aid IN (SELECT aid FROM pgbench_history)) b USING (aid)
		UNION ALL SELECT 'teller', tid, b.balance, coalesce(a.balance, 0) FROM teller_at a RIGHT JOIN (SELECT tid, tbalance AS balance FROM pgbench_tellers) b USING (tid)
		UNION ALL SELECT 'branch', bid, b.balance, coalesce(a.balance, 0) FROM branch_at a RIGHT JOIN (SELECT bid, bbalance AS balance FROM pgbench_branches) b USING (bid)),
	instant AS (SELECT mtime AT TIME ZONE 'UTC' AS at FROM (SELECT mtime, row_number() OVER (ORDER BY mtime) AS i, count(*) OVER () AS n FROM pgbench_history) h WHERE i % (n / 5 + 1) = 0),
	past AS (
		SELECT 'account', at, aid AS id, delta AS want, balance AS got FROM instant i CROSS JOIN LATERAL
			(SELECT * FROM (SELECT aid, sum(delta) AS delta FROM pgbench_history WHERE mtime AT TIME ZONE 'UTC' <= i.at GROUP BY aid) h
				FULL JOIN (SELECT aid, balance FROM contime.at(NULL::account_at, i.at)) a USING (aid)) x
		UNION ALL SELECT 'teller', at, tid, sum(delta), t.balance FROM instant i CROSS JOIN LATERAL
			(SELECT tid, sum(delta) AS delta FROM pgbench_history WHERE mtime AT TIME ZONE 'UTC' <= i.at GROUP BY tid) h LEFT JOIN teller_at t USING (tid, at) GROUP BY at, tid, t.balance)
	SELECT (SELECT count(*) FROM now WHERE want IS DISTINCT FROM got) + (SELECT count(*) FROM past WHERE want IS DISTINCT FROM got), (SELECT count(*) FROM past) > 0};

# (The state "now" is that at the start of the statement, but rows of its snapshot may have later timestamps; infinity is after all of them.)
$compare =~ s/FROM (account|teller|branch)_at a (FULL|RIGHT)/FROM (SELECT * FROM $1_at WHERE at = 'infinity') a $2/g;

sub agrees
{
	my ($when, $db) = @_;
	my $out = $node->safe_psql($db // 'postgres', $compare);
	is($out, '0|t', "$when: no differences");
}

# Run the clients; they must write some rows.
sub load
{
	my ($out, $err) = ('', '');
	my $h = IPC::Run::start([ 'pgbench', '-n', '-c', '4', '-j', '1', '-T', $seconds, '-h', $node->host, '-p', $node->port, 'postgres' ], '<', \undef, '>', \$out, '2>', \$err);
	until_true($node, 'SELECT count(*) > 100 + ' . $_[0] . ' FROM pgbench_history', 'pgbench runs');
	return ($h, \$out, \$err);
}
my ($h, $out, $err) = load(0);
agrees("under load, $_") for 1 .. 3;
$h->finish;
like($$out, qr/transactions actually processed/, 'pgbench completed');
agrees('after the load');

# Two dumps of one snapshot would differ under load, so they are made after it.
my $file = $node->basedir . '/pgbench.sql';
command_ok([ 'pg_dump', '--no-sync', '-f', $file, $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-f', $file, $node->connstr('restored') ], 'restored');
agrees('after a restore', 'restored');

my $rows = $node->safe_psql('postgres', 'SELECT count(*) FROM pgbench_history');
($h, $out, $err) = load($rows);
my ($postmaster) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
$node->kill9;
$h->finish;
# Until the postmaster's process is reaped it seems alive, and its children keep the shared memory until they notice its end.
my $data = $node->data_dir;
for (1 .. 1800)
{
	last unless kill(0, $postmaster) || grep { (readlink("$_/cwd") // '') eq $data } glob '/proc/[0-9]*';
	Time::HiRes::usleep(100_000);
}
$node->start;
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM pgbench_history'), '>', $rows, 'rows were written before the postmaster was killed');
agrees('after kill -9 of the postmaster');
$node->stop('fast');

done_testing();
