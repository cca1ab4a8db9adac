# Workers are stopped, also in the middle of a change: a session that needs the lock of a stopped worker waits, can be cancelled
# meanwhile, and gets an error after some seconds; other sessions continue; no answer is wrong, and no event is lost.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('backpressure');
my $busy = q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waiter' AND state = 'active'};
$node->safe_psql('postgres', 'CREATE TABLE ledger (n bigint)');

# Adds 1000 to each of 20 keys in each transaction, and counts it in an ordinary table.
my $writer = $node->background_psql('postgres', on_error_stop => 0);
$writer->set_query_timer_restart();
sub start_writer
{
	$writer->{stderr} = '';
	$writer->query_until(qr/started/, q{\echo started
DO $$ BEGIN LOOP
	INSERT INTO account SELECT i % 20, timestamptz '2020-01-01' + (random() * 1000000)::int * interval '1 second', 1 FROM generate_series(1, 20000) i;
	INSERT INTO ledger VALUES (20000);
	IF (SELECT sum(n) FROM ledger) % 2000000 = 0 THEN TRUNCATE account; DELETE FROM ledger; END IF;
	COMMIT;
END LOOP; END $$;
\echo ended
});
	return;
}
sub is_whole
{
	my ($what) = @_;
	return is($node->safe_psql('postgres', q{SELECT coalesce((SELECT sum(balance) FROM account WHERE at = 'infinity'), 0) - coalesce((SELECT sum(n) FROM ledger), 0)}), '0', $what);
}

start_writer();
my $worker = stop_in_change($node);
is($node->safe_psql('postgres', q{SET statement_timeout = '5s'; SELECT count(*), bool_and(memory_bytes > 0) FROM contime.workers}), '2|t', 'contime.workers does not wait for it');

# The keys of that partition, and of the other one.
my (@stuck, @free);
for my $key (0 .. 19)
{
	my ($state) = sqlstate($node, "SET statement_timeout = '200ms'; BEGIN; INSERT INTO account VALUES ($key, '2020-01-01', 1000000); ROLLBACK");
	push @{ $state eq '57014' ? \@stuck : \@free }, $key;
}
cmp_ok(scalar @stuck, '>', 0, 'writes to keys of the stopped partition wait until statement_timeout: ' . join(' ', @stuck));
cmp_ok(scalar @free, '>', 0, 'writes to other keys do not wait: ' . join(' ', @free));
# Two sessions wait without a statement_timeout: the writer, and this one.
my $patient = $node->background_psql('postgres', on_error_stop => 0);
$patient->set_query_timer_restart();
$patient->query_until(qr/waiting/, "\\set VERBOSITY verbose\n\\echo waiting\nSELECT contime.finish(ROW($stuck[0], '2020-01-01', NULL, NULL)::account);\n\\echo ended\n");

my $some = "SELECT balance % 1000 FROM account WHERE id = $free[0] AND at = 'infinity'";
is($node->safe_psql('postgres', $some), '0', 'a key of the other partition can be read');
my $began = time;
for my $key (@stuck)
{
	my ($code, $out, $err) = $node->psql('postgres', "SET statement_timeout = '200ms'; SELECT balance % 1000 FROM account WHERE id = $key AND at = 'infinity'");
	ok($err =~ /statement timeout/ || $out eq '0', "reading key $key gives the right state or a timeout");
}
# (Reads take no lock: one succeeds if the worker was stopped with the lock, but between two changes.)
my (undef, $sum, $error) = $node->psql('postgres', q{SET statement_timeout = '200ms'; SELECT coalesce((SELECT sum(balance) FROM account WHERE at = 'infinity'), 0) - coalesce((SELECT sum(n) FROM ledger), 0)});
ok($error =~ /statement timeout/ || $sum eq '0', 'a read of all keys gives the right states or a timeout');
cmp_ok(time - $began, '<', 5 + @stuck, 'the timeouts were in time');

# Sessions are cancelled and terminated at each place where they can wait.
for my $sql ("INSERT INTO account VALUES ($stuck[0], '2020-01-01', 1)", "COPY account FROM PROGRAM 'echo $stuck[0],2020-01-01,1,x' CSV",
	"SELECT contime.event(ROW($stuck[0], '2020-01-01', 1, NULL)::account)", q{SELECT sum(balance) FROM account WHERE at = 'infinity'},
	q{SELECT * FROM contime.tables})
{
	for my $signal ('cancel', 'terminate')
	{
		my $waiter = $node->background_psql('postgres', on_error_stop => 0);
		my $pid = $waiter->query_safe(q{SET application_name = 'waiter'; SELECT pg_backend_pid()});
		$waiter->query_until(qr/waiting/, "\\echo waiting\n$sql;\n");
		$node->poll_query_until('postgres', "SELECT ($busy) = 1") or die 'it does not wait';
		$began = time;
		$node->safe_psql('postgres', "SELECT pg_${signal}_backend($pid)");
		my $ended = $signal eq 'cancel' ? "SELECT ($busy) = 0" : "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)";
		$node->poll_query_until('postgres', $ended) or die 'it goes on';
		cmp_ok(time - $began, '<', 5, "$signal ends the wait of: $sql");
		if ($signal eq 'cancel') { $waiter->quit }
		else { $waiter->{run}->kill_kill }
	}
}

# Without statement_timeout a session waits for some seconds, and then gets an error.
$writer->query_until(qr/ended/, '');
like($writer->{stderr}, qr/partition 0 of the continuous tables does not answer/, 'a waiting writer gets an error');
$patient->query_until(qr/ended/, '');
like($patient->{stderr}, qr/55P03.*HINT:.*stopped process/s, 'another session that waits gets error 55P03 with a hint');
$patient->quit;

# A worker that continues has lost no event; one that was terminated meanwhile completes its change first.
kill 'CONT', $worker;
is_whole('no event is lost when the worker continues');
start_writer();
$worker = stop_in_change($node);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($worker)");
kill 'CONT', $worker;
until_true($node, "SELECT pid <> $worker FROM contime.workers WHERE worker = 0", 'a terminated worker is replaced');
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'});
$writer->query_until(qr/ended/, '');
is_whole('no event is lost or counted twice when the worker was terminated');
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'all events enter');
is_whole('the states are right then');

$writer->quit;
$node->stop('fast');

done_testing();
