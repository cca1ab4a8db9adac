# 036_installcheck.pl: make installcheck on servers that are as a distribution starts them: what their settings do not allow is skipped, and
# printed with the reason; the rest passes.
#
# All scripts take one to two minutes, too long for this suite, and the suites regress and isolation run them anyway. So this runs those
# whose result could depend on a setting: max_prepared_transactions, contime.memory, and the name of the database.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use IPC::Run;
use FindBin;

my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
my $tree = PostgreSQL::Test::Utils::tempdir();
system_or_bail('cp', '-r', map({ "$FindBin::RealBin/../../$_" } qw(Makefile sql expected test)), $tree);

# Run make installcheck. Return its exit code and all output.
sub installcheck
{
	my ($node, @variables) = @_;
	my $output = '';
	local @ENV{qw(PGHOST PGPORT)} = ($node->host, $node->port);
	delete local $ENV{MAKEFLAGS};
	IPC::Run::run([ 'make', '-C', $tree, "PG_CONFIG=$pg_config", 'installcheck', @variables ], '>', \$output, '2>&1');
	return ($? >> 8, $output);
}

my $node = PostgreSQL::Test::Cluster->new('plain');
$node->init;
$node->start;
my ($code, $output) = installcheck($node);
is($code, 0, 'a server that does not preload contime: make installcheck passes') or diag($output);
like($output, qr/^# regress, skipped: all scripts but preload: the server does not have contime in shared_preload_libraries$/m, 'the reason is printed');
like($output, qr/^# isolation, skipped: all scripts: the server does not have contime/m, 'for both suites');
like($output, qr/^test preload +\.\.\. ok/m, 'one script runs');
like($output, qr/ All 1 tests passed/, 'and no other');

my @some = ('REGRESS=prepared transactions memory quota', 'ISOLATION=prepared subtransactions own-command');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'contime'");
$node->restart;
($code, $output) = installcheck($node, @some);
is($code, 0, 'a server that preloads contime and has no other setting: make installcheck passes') or diag($output);
like($output, qr/^# \Q$_\E$/m, "skipped: $_")
  for 'regress, skipped: prepared: max_prepared_transactions is 0, the script needs 2',
  'isolation, skipped: prepared: max_prepared_transactions is 0, the script needs 1',
  'isolation, skipped: subtransactions: max_prepared_transactions is 0, the script needs 1';
like($output, qr/^test $_ +\.\.\. ok/m, "$_ passes") for qw(transactions memory quota own-command);
unlike($output, qr/^test (prepared|subtransactions) /m, 'nothing else runs');

$node->append_conf('postgresql.conf', 'max_prepared_transactions = 2');
$node->restart;
($code, $output) = installcheck($node, 'REGRESS=prepared', 'ISOLATION=prepared');
is($code, 0, 'with max_prepared_transactions: it passes') or diag($output);
unlike($output, qr/skipped/, 'nothing is skipped');
is(scalar(() = $output =~ /^test prepared +\.\.\. ok/mg), 2, 'both scripts run');

$node->stop;
($code, $output) = installcheck($node, 'REGRESS=prepared', 'ISOLATION=prepared');
isnt($code, 0, 'without a server it fails');
like($output, qr/could not connect|connection to server/, 'and says why');
done_testing();
