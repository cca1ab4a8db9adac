# Processes are killed, terminated or restarted at random under load: the server always recovers by itself, and afterwards the table
# is empty (after a crash or a restart) or complete, never partial. An unlogged table, written in the same transactions, is emptied
# by a crash, too; its rows name the server start under which they were written, so the two tables must always agree.
# CT_CYCLES: number of deaths (200 under make soak); CT_SEED repeats a run.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use IPC::Run;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $cycles = $ENV{CT_CYCLES} // 15;
my $seed = srand($ENV{CT_SEED} // int(rand(2**31)));
note("seed $seed, $cycles cycles");

my $node = contime_node('deaths', 'restart_after_crash' => 'on', 'contime.memory' => '32MB', 'autovacuum' => 'off',
	'checkpoint_timeout' => '1h', 'log_statement' => 'none');
$node->safe_psql('postgres', 'CREATE UNLOGGED TABLE ledger (n bigint, server timestamptz DEFAULT pg_postmaster_start_time())');
$node->safe_psql('postgres', 'CREATE SEQUENCE compared');
my $differ = q{(SELECT coalesce(sum(balance), 0) FROM account WHERE at = 'infinity') - (SELECT coalesce(sum(n), 0) FROM ledger WHERE server = pg_postmaster_start_time())};

# Clients write to both tables, roll back now and then, empty both, and compare; they reconnect when the connection is lost.
my $dir = PostgreSQL::Test::Utils::tempdir;
append_to_file("$dir/client.sql", qq{
\\o /dev/null
DO \$\$
DECLARE
	rows int; differ bigint;
BEGIN
	LOOP
		rows := 1 + random() * 200;
		BEGIN
			INSERT INTO account SELECT random() * 50, timestamptz '2020-01-01' + random() * interval '1 day', 1, CASE WHEN random() < 0.1 THEN repeat('x', 30) END FROM generate_series(1, rows);
			INSERT INTO ledger VALUES (rows);
			IF random() < 0.1 THEN
				RAISE 'rolled back' USING ERRCODE = 'CT000';
			END IF;
		EXCEPTION WHEN SQLSTATE 'CT000' OR out_of_memory THEN NULL;
		END;
		COMMIT;
		differ := $differ;
		IF differ <> 0 THEN
			RAISE LOG 'WRONG by %', differ;
		END IF;
		PERFORM nextval('compared');
		COMMIT;
		IF random() < 0.002 THEN
			TRUNCATE account, ledger;
			COMMIT;
		END IF;
	END LOOP;
END \$\$;
});
my $psql = sprintf q{PGAPPNAME=client psql -X -q -h '%s' -p %d -d postgres -f '%s/client.sql'}, $node->host, $node->port, $dir;
my @clients = map { IPC::Run::start([ 'sh', '-c', "while [ ! -e '$dir/stop' ]; do $psql >>'$dir/log' 2>&1; sleep 0.05; done" ]) } 1 .. 3;

# Wait until a query returns true, also while the server recovers; or die.
sub wait_for
{
	my ($query, $what) = @_;
	return if $node->poll_query_until('postgres', $query);
	die "seed $seed: waited in vain for $what";
}

sub pick { return $_[ rand @_ ] }
sub pids_of { return split /\n/, $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $_[0]") }
my %victims = (
	'client' => q{application_name = 'client'},
	'worker' => q{backend_type = 'contime worker'},
	'launcher' => q{backend_type = 'contime launcher'},
	'agent' => q{backend_type = 'contime agent'},
	'checkpointer' => q{backend_type = 'checkpointer'});

my $serving = q{SELECT (SELECT count(*) = 2 AND bool_and(pid IS NOT NULL AND last_pass > now() - interval '30 s') FROM contime.workers)
	AND EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'contime launcher')};
my ($wrong, $partial) = (0, 0);
my %count;
for my $cycle (1 .. $cycles)
{
	wait_for(q{SELECT count(*) >= 20 FROM ledger WHERE server = pg_postmaster_start_time()}, 'traffic');
	my $now = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
	my $how = pick('KILL', 'KILL', 'SEGV', 'TERM', 'TERM', 'INT', 'STOP', 'restart');
	my $whom = $how eq 'INT' ? 'client' : $how eq 'STOP' ? 'worker' : $how eq 'restart' ? pick('fast', 'immediate') : pick(sort keys %victims);
	$whom = 'worker' if $how eq 'TERM' && $whom eq 'checkpointer';
	my $empties = $how =~ /KILL|SEGV|STOP|restart/;
	$count{"$how $whom"}++;

	if ($how eq 'restart')
	{
		$node->stop($whom);
		$node->start;
	}
	else
	{
		my $pid = pick(pids_of($victims{$whom})) // next;

		# Stopped for a while, then killed: perhaps in the middle of a change, while others wait for it.
		if ($how eq 'STOP')
		{
			kill 'STOP', $pid;
			wait_for(q{SELECT clock_timestamp() > } . "timestamptz '$now' + " . int(rand(100)) . q{ * interval '1 ms'}, 'the clock');
			$how = 'KILL';
		}
		my $offset = -s $node->logfile;
		kill($how, $pid) or next;
		if ($empties)
		{
			eval { $node->wait_for_log(qr/database system is ready to accept connections/, $offset); 1 } or die "seed $seed: no recovery from $how of a $whom";
		}
		else
		{
			wait_for("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)", "the end of a $whom") if $how eq 'TERM';
		}
	}
	wait_for($serving, 'workers and launcher');
	$wrong += $node->safe_psql('postgres', "SELECT ($differ) <> 0") eq 't';
	next if !$empties;
	my $after = $node->safe_psql('postgres', q{SELECT max(since) FROM contime.tables WHERE "table" = 'account'::regclass});
	$partial++ if $after ne '' && $node->safe_psql('postgres', "SELECT timestamptz '$after' < '$now'") eq 't';
}
is($wrong, 0, 'the table was always complete');
is($partial, 0, 'after a crash or a restart "since" was later');
note(join ', ', map { "$_: $count{$_}" } sort keys %count);

# The clients disconnect, and all accepted events enter. (If the table is in quarantine, a restart ends that.)
$node->restart;
wait_for(q{SELECT count(*) >= 20 FROM ledger WHERE server = pg_postmaster_start_time()}, 'traffic');
append_to_file("$dir/stop", '');
$node->poll_query_until('postgres', q{SELECT count(pg_terminate_backend(pid)) = 0 FROM pg_stat_activity WHERE application_name = 'client'}) or die;
$_->finish for @clients;
until_true($node, 'SELECT coalesce(sum(recent + young), 0) = 0 FROM contime.tables', 'all events enter');
is($node->safe_psql('postgres', "SELECT $differ"), '0', 'the table agrees with the ordinary one');
my $log = slurp_file($node->logfile);
is(() = $log =~ /LOG:  WRONG by/g, 0, 'no client found a difference');
cmp_ok($node->safe_psql('postgres', 'SELECT last_value FROM compared'), '>', 20 * $cycles, 'the clients compared often');
is(() = $log =~ /PANIC:/g, 0, 'no PANIC');
$node->safe_psql('postgres', 'DROP FOREIGN TABLE account');
until_true($node, q{SELECT sum(memory_bytes) < 1024 * 1024 FROM contime.workers}, 'all memory is freed');
$node->stop('fast');

done_testing();
