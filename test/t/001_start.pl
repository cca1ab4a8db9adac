# Starting, stopping and starting again; too few workers; no preload.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('start', 'contime.workers' => 3);

is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT pid) FROM contime.workers'), '3|3', 'every partition has its worker');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'contime%' AND datname IS NOT NULL}),
	'0', 'no process is connected to a database while nothing holds data');

# The table is in memory: a restart empties it and renews "since"; the definition stays.
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 5)});
my $since = $node->safe_psql('postgres', 'SELECT since FROM contime.tables');
isnt($since, '', 'the table remembers since some time');
until_true($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%'}, 'an agent came with the first data');
$node->restart('fast');
is($node->safe_psql('postgres', q{SELECT count(*) FROM account WHERE at = 'infinity'}), '0', 'empty after a restart');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 7)});
is($node->safe_psql('postgres', q{SELECT balance FROM account WHERE at = 'infinity'}), '7', 'and in use again');
is($node->safe_psql('postgres', "SELECT since > '$since' FROM contime.tables"), 't', 'since is later');
$node->stop('smart');
$node->start;
ok(1, 'a smart shutdown is not held up');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM account'), '0', 'starts after an immediate shutdown');

# Fewer worker slots than wanted: logged, and what can work does.
$node->stop('fast');
$node->append_conf('postgresql.conf', "max_worker_processes = 1\n");
my $offset = -s $node->logfile;
$node->start;
logged($node, qr/max_worker_processes/, $offset, 'too few max_worker_processes are logged');
$node->safe_psql('postgres', q{INSERT INTO account SELECT i, '2020-01-01', i FROM generate_series(1, 100) i});
is($node->safe_psql('postgres', q{SELECT count(*), sum(balance) FROM account WHERE at = 'infinity'}), '100|5050', 'reading and writing work without all workers');
$node->stop('fast');

# No preload at all: errors with a hint, and the server lives.
$node->append_conf('postgresql.conf', "max_worker_processes = 8\nshared_preload_libraries = ''\n");
$node->start;
for my $sql (q{INSERT INTO account VALUES (1, '2020-01-01', 1)}, 'SELECT * FROM account', q{SELECT contime.event(ROW(1, '2020-01-01', 1, NULL)::account)},
	q{SELECT * FROM contime.at(NULL::account, '2020-01-01')}, 'SELECT * FROM contime.tables')
{
	my ($state, $message, $hint) = sqlstate($node, $sql);
	is($state, '55000', "without preload: $sql");
	like($hint, qr/shared_preload_libraries/, 'and the hint says what to do');
}
$node->stop('fast');

done_testing();
