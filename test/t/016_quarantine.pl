# A fault that repeats does not crash the server in a loop: after two workers have crashed while they changed the events of a
# table, workers leave this table alone. It can still be read and written, and so can other tables. Other crashes do not count.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('quarantine', 'restart_after_crash' => 'on');
(my $other = $account) =~ s/TABLE account/TABLE other/;
$node->safe_psql('postgres', $other);
my $alone = qr/WARNING:  workers of contime no longer change relation \d+ of database \d+/;

# Kill -9, while worker 0 changes the table, the worker itself or a backend.
sub crash
{
	my ($whom) = @_;
	my $writer = $node->background_psql('postgres', on_error_stop => 0);
	my $victim = $writer->query_safe('SELECT pg_backend_pid()');
	$writer->query_until(qr/started/, q{\echo started
DO $$ BEGIN LOOP INSERT INTO account SELECT i % 20, '2020-01-01', 1 FROM generate_series(1, 20000) i; COMMIT; TRUNCATE account; COMMIT; END LOOP; END $$;
});
	my $worker = stop_in_change($node);
	my $offset = -s $node->logfile;
	kill 'KILL', $whom eq 'worker' ? $worker : $victim;
	kill 'CONT', $worker;
	logged($node, qr/database system is ready to accept connections/, $offset, "kill -9 of a $whom: the server recovers");
	$node->poll_query_until('postgres', 'SELECT true') or die;
	$writer->{run}->kill_kill;
	return;
}

sub enters
{
	my ($table) = @_;
	$node->safe_psql('postgres', "INSERT INTO $table SELECT i, '2020-01-01', 1 FROM generate_series(1, 100) i");
	return until_true($node, qq{SELECT recent = 0 AND young = 0 FROM contime.tables WHERE "table" = '$table'::regclass}, "events of $table enter");
}

crash('backend') for 1 .. 2;
enters('account');
crash('worker');
enters('account');
unlike(slurp_file($node->logfile), $alone, 'after one crash of a worker the table is not in quarantine');
# (A worker that is killed with the lock, but right before or after its change, does not count.)
for (1 .. 4) { crash('worker'); last if slurp_file($node->logfile) =~ $alone }
like(slurp_file($node->logfile), $alone, 'after two crashes of workers the log says that workers no longer change the table');
$node->safe_psql('postgres', q{INSERT INTO account SELECT i, '2020-01-01', 1 FROM generate_series(1, 100) i});
enters('other');
is($node->safe_psql('postgres', q{SELECT recent FROM contime.tables WHERE "table" = 'account'::regclass}), '100', 'events of the table stay recent');
is($node->safe_psql('postgres', q{SELECT count(*), sum(balance) FROM account WHERE at = 'infinity'}), '100|100', 'the table can be written to and read');
$node->safe_psql('postgres', 'TRUNCATE account');
is($node->safe_psql('postgres', q{SELECT count(*) FROM account}), '0', 'the table can be truncated');
$node->restart;
enters('account');
$node->stop('fast');

done_testing();
