# Contime.pm: functions shared by the TAP tests: a server with contime preloaded, a table, and waiting for conditions.
package Contime;
use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes;

our @EXPORT = qw(contime_node until_true until_cached sqlstate logged stop_process stop_in_change $account);

# A continuous table.
our $account = q{CREATE FOREIGN TABLE account (
	id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
	balance bigint OPTIONS (rule 'sum', initial '0'), note text) SERVER contime};

# Start a server with these settings, the extension and the table; install_path is where its programs are.
sub contime_node
{
	my ($name, %settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, install_path => delete $settings{install_path});
	$node->init;
	%settings = ('shared_preload_libraries' => 'contime', 'contime.memory' => '64MB', 'timezone' => 'UTC', %settings);
	$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'\n") for keys %settings;
	$node->start;
	$node->safe_psql('postgres', "CREATE EXTENSION contime; $account");
	return $node;
}

# Wait until a query returns 't', within the framework's limit (180 seconds).
sub until_true
{
	my ($node, $query, $what) = @_;
	return ok($node->poll_query_until('postgres', $query), $what);
}

# Make a durable table cached: read it until it is, within the framework's limit.
sub until_cached
{
	my ($node, $table) = @_;
	$node->poll_query_until('postgres', qq{SELECT count(*) >= 0 FROM $table; SELECT cache = 'ready' FROM contime.tables WHERE "table" = '$table'::regclass}, "t\nt") or die "no cache of $table";
	return;
}

# Return SQLSTATE, message and hint of a statement that must fail.
sub sqlstate
{
	my ($node, $sql) = @_;
	my (undef, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	my ($state, $message) = $err =~ /ERROR:\s+(\w{5}): (.*)/;
	my ($hint) = $err =~ /HINT:\s+(.*)/;
	return ($state // '', $message // '', $hint // '');
}

# True if the log matches, from this offset on; waits, within a limit.
sub logged
{
	my ($node, $pattern, $offset, $what) = @_;
	return ok(eval { $node->wait_for_log($pattern, $offset // 0); 1 }, $what);
}

# Stop a process, and wait until it is stopped.
sub stop_process
{
	my ($pid) = @_;
	kill 'STOP', $pid;
	for (1 .. 10000)
	{
		return if slurp_file("/proc/$pid/stat") =~ /\) T /;
		Time::HiRes::usleep(100);
	}
	die "process $pid does not stop";
}

# Stop worker 0 while it is changing its partition, so that the partition's lock stays held. A session must keep it busy. Return its pid.
sub stop_in_change
{
	my ($node) = @_;
	my $pid = $node->safe_psql('postgres', 'SELECT pid FROM contime.workers WHERE worker = 0');
	my $probe = $node->background_psql('postgres', on_error_stop => 0);
	my $caught = 0;

	$probe->query_safe(q{SET statement_timeout = '300ms'});
	for my $try (1 .. 5000)
	{
		stop_process($pid);
		$probe->{stderr} = '';
		$probe->query('SELECT count(*) FROM contime.tables');
		$caught = $probe->{stderr} =~ /canceling statement due to statement timeout/;
		note("caught in its change at try $try") if $caught;
		last if $caught;
		kill 'CONT', $pid;
	}
	$probe->{stderr} = '';
	$probe->quit;
	die 'the worker was never caught in its change' if !$caught;
	return $pid;
}

1;
