# Processes die. Terminating a worker, the launcher or an agent has no effect on answers; after kill -9 of a
# process that is attached to shared memory the server recovers, and tables are empty with a new "since".
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('faults', 'restart_after_crash' => 'on');
my $state = q{SELECT count(*), sum(balance) FROM account WHERE at = 'infinity'};

$node->safe_psql('postgres', q{INSERT INTO account SELECT i % 10, timestamptz '2020-01-01' + i * interval '1 minute', 1 FROM generate_series(1, 1000) i});
is($node->safe_psql('postgres', $state), '10|1000', 'the table has the loaded events');

# Terminated processes are replaced; the states stay.
my $pids = $node->safe_psql('postgres', 'SELECT string_agg(pid::text, $$,$$) FROM contime.workers');
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM contime.workers');
until_true($node, "SELECT count(*) = 2 AND bool_and(pid > 0 AND NOT pid = ANY (ARRAY[$pids])) FROM contime.workers", 'terminated workers are replaced');
is($node->safe_psql('postgres', $state), '10|1000', 'the states are unchanged');
$node->safe_psql('postgres', q{INSERT INTO account SELECT i % 10, '2020-01-01', 1 FROM generate_series(1, 100) i});
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'the new workers enter and freeze the events');
is($node->safe_psql('postgres', $state), '10|1100', 'the states contain old and new events');
is($node->safe_psql('postgres', 'SELECT recent + young + frozen + duplicates + conflicts FROM contime.tables'), '1100', 'each event is counted once');

my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'contime launcher'});
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
until_true($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'contime launcher' AND pid <> $pid", 'a terminated launcher is replaced');

# The launcher starts an agent again only when the agent has work: here, a late event.
until_true($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%'}, 'an agent runs');
$pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%'});
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2019-01-01', 0)});
until_true($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%' AND pid <> $pid", 'a terminated agent is replaced');
is($node->safe_psql('postgres', $state), '10|1100', 'the states are unchanged');

# A worker is terminated repeatedly while sessions write.
my $writer = $node->background_psql('postgres', on_error_stop => 0);
for my $i (1 .. 20)
{
	$writer->query_safe("INSERT INTO account SELECT i % 10, timestamptz '2020-02-01' + i * interval '1 minute', 1 FROM generate_series(1, 100) i");
	$node->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM contime.workers WHERE pid > 0');
}
$writer->quit;
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'all events enter and freeze');
is($node->safe_psql('postgres', $state), '10|3100', 'no event is lost or counted twice');
is($node->safe_psql('postgres', 'SELECT recent + young + frozen FROM contime.tables'), '3101', 'contime.tables counts each event once');

# A backend that is terminated in its transaction leaves no events.
my $victim = $node->background_psql('postgres', on_error_stop => 0);
$victim->query_safe(q{BEGIN; INSERT INTO account VALUES (1, '2020-03-01', 1000000)});
my $victim_pid = $victim->query_safe('SELECT pg_backend_pid()');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($victim_pid)");
until_true($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $victim_pid)", 'the backend has exited');
$victim->{run}->kill_kill if $victim->{run};
is($node->safe_psql('postgres', $state), '10|3100', 'its events are not visible');

# kill -9: shared memory is reset, and contime's tables restart empty, with a new "since".
for my $kind ('backend', 'worker', 'agent')
{
	$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 1)});
	until_true($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%'}, 'an agent runs');
	my $since = $node->safe_psql('postgres', 'SELECT since FROM contime.tables');
	my $idle = $node->background_psql('postgres', on_error_stop => 0);
	$pid =
		$kind eq 'backend' ? $idle->query_safe('SELECT pg_backend_pid()')
	  : $kind eq 'worker' ? $node->safe_psql('postgres', 'SELECT min(pid) FROM contime.workers')
	  : $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%'});
	my $offset = -s $node->logfile;
	kill 'KILL', $pid;
	logged($node, qr/database system is ready to accept connections/, $offset, "kill -9 of a $kind: the server recovers");
	$idle->{run}->kill_kill if $idle->{run};
	until_true($node, 'SELECT true', 'connections are accepted');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM account WHERE at = 'infinity'}), '0', 'the table is empty');
	$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 3)});
	is($node->safe_psql('postgres', $state), '1|3', 'the table can be written to and read');
	is($node->safe_psql('postgres', "SELECT since > '$since' FROM contime.tables"), 't', '"since" is later than before the crash');
	until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'the workers enter and freeze events');
}
$node->stop('fast');

done_testing();
