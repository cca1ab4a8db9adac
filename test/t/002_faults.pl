# Processes die: of a terminated worker, launcher or agent nothing is noticed; after kill -9 of
# anything that holds shared memory the server recovers, empty and saying so.
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
is($node->safe_psql('postgres', $state), '10|1000', 'loaded');

# Terminated ones come back; the state stays.
my $pids = $node->safe_psql('postgres', 'SELECT string_agg(pid::text, $$,$$) FROM contime.workers');
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM contime.workers');
until_true($node, "SELECT count(*) = 2 AND bool_and(pid > 0 AND NOT pid = ANY (ARRAY[$pids])) FROM contime.workers", 'terminated workers are replaced');
is($node->safe_psql('postgres', $state), '10|1000', 'nothing is lost');
$node->safe_psql('postgres', q{INSERT INTO account SELECT i % 10, '2020-01-01', 1 FROM generate_series(1, 100) i});
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'the new workers enter and freeze');
is($node->safe_psql('postgres', $state), '10|1100', 'old and new events are there');
is($node->safe_psql('postgres', 'SELECT recent + young + frozen + duplicates + conflicts FROM contime.tables'), '1100', 'each once');

my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'contime launcher'});
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
until_true($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'contime launcher' AND pid <> $pid", 'a terminated launcher is replaced');

# An agent is replaced when there is something for it to do: here, a late event.
until_true($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%'}, 'there is an agent');
$pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%'});
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2019-01-01', 0)});
until_true($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%' AND pid <> $pid", 'a terminated agent is replaced');
is($node->safe_psql('postgres', $state), '10|1100', 'and nothing is lost');

# A worker terminated again and again while sessions write.
my $writer = $node->background_psql('postgres', on_error_stop => 0);
for my $i (1 .. 20)
{
	$writer->query_safe("INSERT INTO account SELECT i % 10, timestamptz '2020-02-01' + i * interval '1 minute', 1 FROM generate_series(1, 100) i");
	$node->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM contime.workers WHERE pid > 0');
}
$writer->quit;
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'everything enters at last');
is($node->safe_psql('postgres', $state), '10|3100', 'workers terminated at any moment lose and double nothing');
is($node->safe_psql('postgres', 'SELECT recent + young + frozen FROM contime.tables'), '3101', 'as counted');

# A backend terminated in its transaction leaves nothing.
my $victim = $node->background_psql('postgres', on_error_stop => 0);
$victim->query_safe(q{BEGIN; INSERT INTO account VALUES (1, '2020-03-01', 1000000)});
my $victim_pid = $victim->query_safe('SELECT pg_backend_pid()');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($victim_pid)");
until_true($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $victim_pid)", 'the backend is gone');
$victim->{run}->kill_kill if $victim->{run};
is($node->safe_psql('postgres', $state), '10|3100', 'and left nothing');

# kill -9: all of shared memory goes, contime's tables restart empty, with a new "since".
for my $kind ('backend', 'worker', 'agent')
{
	$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 1)});
	until_true($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%'}, 'an agent is there');
	my $since = $node->safe_psql('postgres', 'SELECT since FROM contime.tables');
	my $idle = $node->background_psql('postgres', on_error_stop => 0);
	$pid =
		$kind eq 'backend' ? $idle->query_safe('SELECT pg_backend_pid()')
	  : $kind eq 'worker' ? $node->safe_psql('postgres', 'SELECT min(pid) FROM contime.workers')
	  : $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%'});
	my $offset = -s $node->logfile;
	kill 'KILL', $pid;
	logged($node, qr/database system is ready to accept connections/, $offset, "kill -9 of a $kind: recovered");
	$idle->{run}->kill_kill if $idle->{run};
	until_true($node, 'SELECT true', 'connections are accepted');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM account WHERE at = 'infinity'}), '0', 'the table is empty');
	$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 3)});
	is($node->safe_psql('postgres', $state), '1|3', 'and works');
	is($node->safe_psql('postgres', "SELECT since > '$since' FROM contime.tables"), 't', 'it remembers since then');
	until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'the workers work');
}
$node->stop('fast');

done_testing();
