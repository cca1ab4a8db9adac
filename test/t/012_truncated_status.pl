# Workers are stopped for so long that the commit log is truncated, so that it is no longer known whether earlier transactions
# committed. A statement that needs such an event gets an error, never a wrong answer; everything else works.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

# The next transactions are the last of the first file of the commit log: after a few thousand more the file can be removed.
my $node = contime_node('forgotten', 'autovacuum' => 'off');
$node->stop('fast');
truncate $node->data_dir . '/pg_xact/0000', 262144 or die $!;
$node->command_ok([ 'pg_resetwal', '-x', '1047000', $node->data_dir ], 'far on');
$node->start;
(my $other = $account) =~ s/TABLE account/TABLE other/;
$node->safe_psql('postgres', $other);
$node->safe_psql('postgres', q{INSERT INTO other SELECT i, '2020-01-01', 1 FROM generate_series(1, 100) i});
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'workers work');

my @workers = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM contime.workers');
kill 'STOP', @workers;
$node->safe_psql('postgres', q{INSERT INTO account SELECT i, '2020-01-01', 1 FROM generate_series(1, 100) i});
$node->safe_psql('postgres', q{BEGIN; INSERT INTO account SELECT i, '2020-01-01', 1000 FROM generate_series(1, 100) i; ROLLBACK});
my $sum = q{SELECT sum(balance) FROM account WHERE at = 'infinity'};
is($node->safe_psql('postgres', $sum), '100', 'without workers answers are right');

my $offset = -s $node->logfile;
$node->safe_psql('postgres', q{ALTER DATABASE template0 ALLOW_CONNECTIONS true});
$node->safe_psql('postgres', q{DO $$ BEGIN FOR i IN 1 .. 3000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$});
$node->safe_psql($_, 'VACUUM FREEZE') for qw(template0 template1 postgres);
ok(!-e $node->data_dir . '/pg_xact/0000', 'the commit log is truncated');
$node->safe_psql('postgres', q{INSERT INTO other SELECT i, '2020-01-01', 1 FROM generate_series(1, 100) i});

my ($state, $message, $hint) = sqlstate($node, $sum);
is($state, 'XX001', 'a read that needs such events fails with XX001');
like($message, qr/status of transaction \d+ is no longer known/, 'the message gives the reason');
like($hint, qr/TRUNCATE/, 'the hint suggests TRUNCATE');

kill 'CONT', @workers;
logged($node, qr/WARNING:  status of transaction \d+ is no longer known/, $offset, 'the workers log a warning');
until_true($node, q{SELECT recent = 0 AND young = 0 AND frozen = 200 FROM contime.tables WHERE "table" = 'other'::regclass}, 'the workers process other events');
is($node->safe_psql('postgres', q{SELECT sum(balance) FROM other WHERE at = 'infinity'}), '200', 'another table can be read');
is($node->safe_psql('postgres', 'SELECT string_agg(pid::text, $$ $$) FROM contime.workers'), "@workers", 'no worker was replaced');
($state) = sqlstate($node, $sum);
is($state, 'XX001', 'a later read of the table fails, too');
$node->safe_psql('postgres', q{TRUNCATE account; INSERT INTO account VALUES (1, '2020-01-01', 7)});
is($node->safe_psql('postgres', $sum), '7', 'after TRUNCATE the table can be used');
until_true($node, q{SELECT recent = 0 AND young = 0 FROM contime.tables WHERE "table" = 'account'::regclass}, 'its new events enter and freeze');
my $log = slurp_file($node->logfile, $offset);
my $logged = () = $log =~ /WARNING:  fate/g;
cmp_ok($logged, '<=', 2, 'the warning was logged at most once by each worker');
$node->stop('fast');

done_testing();
