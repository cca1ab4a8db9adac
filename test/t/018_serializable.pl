# SERIALIZABLE transactions at full speed. Two accounts may not be overdrawn together: each transaction reads both and takes from
# one, at a random instant of the past, and notes if they are overdrawn. Under SERIALIZABLE they never are. Under REPEATABLE READ
# they soon are, which the test must see, or it proves nothing. Clients that use keys of their own never fail.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $seed = $ENV{CT_SEED} // time;
diag "CT_SEED=$seed";
my $node = contime_node('serializable', 'max_pred_locks_per_transaction' => 256);
my $dir = PostgreSQL::Test::Utils::tempdir;

sub script
{
	my ($name, $text) = @_;
	append_to_file("$dir/$name", $text);
	return "$dir/$name";
}

# Output of pgbench with 4 clients at an isolation level.
sub pgbench
{
	my ($level, $transactions, @options) = @_;
	local $ENV{PGOPTIONS} = "-c default_transaction_isolation=$level";
	my ($out, $err) = run_command(['pgbench', '-h', $node->host, '-p', $node->port, '-n', '-c', 4, '-j', 2, '-t', $transactions,
		"--random-seed=$seed", @options, 'postgres']);
	return "$out\n$err";
}

my $withdraw = script('withdraw', q{
\set pair random(1, 2) * 2
\set which random(0, 1)
\set n random(1, 100)
\set minute random(0, 100000)
BEGIN;
SELECT coalesce(sum(balance), 0) AS total FROM account WHERE id IN (:pair, :pair + 1) AND at = 'infinity' \gset
\if :total < 0
INSERT INTO overdrawn VALUES (:pair, :total);
\endif
\if :total >= :n
INSERT INTO account VALUES (:pair + :which, timestamptz '2020-01-01' + :minute * interval '1 minute', -:n);
\else
INSERT INTO account VALUES (:pair + :which, timestamptz '2020-01-01' + :minute * interval '1 minute', :n);
\endif
COMMIT;
});
my $overdrawn = 'SELECT count(*) > 0 FROM overdrawn';
$node->safe_psql('postgres', 'CREATE TABLE overdrawn (pair int, total bigint)');

my $report = pgbench('serializable', 500, '--max-tries=1000', '-f', $withdraw);
like($report, qr{transactions actually processed: 2000/2000}, 'all transactions succeed after retries');
like($report, qr{retried: [1-9]}, 'some of them failed first');
is($node->safe_psql('postgres', $overdrawn), 'f', 'no transaction found an overdrawn pair');
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'all events freeze');
is($node->safe_psql('postgres', q{SELECT min(sum) >= 0 FROM (SELECT sum(balance) FROM account WHERE at = 'infinity' GROUP BY id / 2) pair}), 't', 'no pair is overdrawn in the end');
is($node->safe_psql('postgres', 'SELECT frozen FROM contime.tables'), '2000', 'each event is counted once');

# The same under REPEATABLE READ, until a pair is overdrawn.
for (my $tries = 0; $tries < 20 && $node->safe_psql('postgres', $overdrawn) eq 'f'; $tries++)
{
	pgbench('repeatable\ read', 500, '-f', $withdraw);
}
is($node->safe_psql('postgres', $overdrawn), 't', 'under REPEATABLE READ a pair gets overdrawn');

# Clients with keys of their own have no conflicts.
my $own = script('own', q{
\set key 100 + :client_id
BEGIN;
SELECT sum(balance) FROM account WHERE id = :key AND at = 'infinity';
SELECT sum(balance) FROM contime.at(NULL::account, '2020-02-01', :key::int);
INSERT INTO account VALUES (:key, '2020-01-01', 1), (:key + 1000, '2020-01-01', 1);
COMMIT;
});
$report = pgbench('serializable', 500, '-f', $own);
like($report, qr{transactions actually processed: 2000/2000}, 'all transactions on keys of their own succeed');
like($report, qr{failed transactions: 0 }, 'none of them had to be retried');

# If transactions are serializable by default, the loader's transaction must not take part in conflicts.
$node->safe_psql('postgres', q{
	CREATE TABLE limits (n int);
	INSERT INTO limits VALUES (1);
	CREATE TABLE movement (item int, at timestamptz, n int);
	INSERT INTO movement SELECT i, '2020-01-01', i FROM generate_series(1, 1000) i;
	CREATE FOREIGN TABLE stock (item int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'movement');
	ALTER DATABASE postgres SET default_transaction_isolation = serializable});
my $writer = $node->background_psql('postgres', on_error_stop => 0);
$writer->query_safe('BEGIN; SELECT n FROM limits');
$node->safe_psql('postgres', 'UPDATE limits SET n = 2');
{
	local $ENV{PGOPTIONS} = '-c default_transaction_isolation=read\ committed';
	until_cached($node, 'stock');
}
$writer->query(q{INSERT INTO movement VALUES (1, '2020-01-02', 1); COMMIT});
is($node->safe_psql('postgres', 'SELECT count(*) FROM movement WHERE item = 1'), 2, 'a writer does not fail because of the loader');
$writer->quit;
$node->stop('fast');

done_testing();
