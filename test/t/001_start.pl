# Start, stop and restart; too few worker processes; a server that does not preload contime.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('start', 'contime.workers' => 3);

is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT pid) FROM contime.workers'), '3|3', 'each partition has a worker');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'contime%' AND datname IS NOT NULL}),
	'0', 'no process is connected to a database while no table holds data');

# The table is in memory: a restart empties it and sets "since" to a later time; the definition stays.
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 5)});
my $since = $node->safe_psql('postgres', 'SELECT since FROM contime.tables');
isnt($since, '', 'contime.tables shows since when the table holds data');
until_true($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%'}, 'an agent starts with the first data');
$node->safe_psql('postgres', q{CREATE TABLE movement (id int, at timestamptz, n int);
	CREATE FOREIGN TABLE moved (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'movement');
	INSERT INTO movement SELECT i, '2020-01-01', 1 FROM generate_series(1, 100000) i});
$node->safe_psql('postgres', 'SELECT count(*) FROM moved');
until_true($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type LIKE 'contime loader%'}, 'a loader starts with a read');
my $running = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'contime%'});
my $begin = -s $node->logfile;
$node->restart;
my $log = slurp_file($node->logfile, $begin);
unlike($log, qr/FATAL|ERROR|WARNING|PANIC/, "a normal shutdown ends $running processes without a fault in the log");
like($log, qr/database system is shut down/, 'the log shows the shutdown');
is($node->safe_psql('postgres', q{SELECT count(*) FROM account WHERE at = 'infinity'}), '0', 'the table is empty after a restart');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 7)});
is($node->safe_psql('postgres', q{SELECT balance FROM account WHERE at = 'infinity'}), '7', 'it can be written to and read again');
is($node->safe_psql('postgres', "SELECT since > '$since' FROM contime.tables"), 't', 'since is later');
$node->stop('smart');
$node->start;
ok(1, 'the server completes a smart shutdown');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM account'), '0', 'the server starts after an immediate shutdown, and the table is empty');

# Fewer worker slots than needed: the server logs it, and reads and writes work.
$node->stop('fast');
$node->append_conf('postgresql.conf', "max_worker_processes = 1\n");
my $offset = -s $node->logfile;
$node->start;
logged($node, qr/max_worker_processes/, $offset, 'the server log says that max_worker_processes is too small');
$node->safe_psql('postgres', q{INSERT INTO account SELECT i, '2020-01-01', i FROM generate_series(1, 100) i});
is($node->safe_psql('postgres', q{SELECT count(*), sum(balance) FROM account WHERE at = 'infinity'}), '100|5050', 'reading and writing work without all workers');
$node->stop('fast');

# Not preloaded: every use is an error with a hint, and the server stays up.
$node->append_conf('postgresql.conf', "max_worker_processes = 8\nshared_preload_libraries = ''\n");
$node->start;
for my $sql (q{INSERT INTO account VALUES (1, '2020-01-01', 1)}, 'SELECT * FROM account', q{SELECT contime.event(ROW(1, '2020-01-01', 1, NULL)::account)},
	q{SELECT * FROM contime.at(NULL::account, '2020-01-01')}, 'SELECT * FROM contime.tables')
{
	my ($state, $message, $hint) = sqlstate($node, $sql);
	is($state, '55000', "without preload, error 55000: $sql");
	like($hint, qr/shared_preload_libraries/, 'the hint names shared_preload_libraries');
}
$node->stop('fast');

done_testing();
