# A standby refuses continuous tables with 55000 until it is promoted.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "shared_preload_libraries = 'contime'\ncontime.memory = '64MB'\n");
$primary->start;
$primary->safe_psql('postgres', "CREATE EXTENSION contime; $account");
$primary->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 5)});
$primary->backup('copy');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);

for my $sql ('SELECT * FROM account', q{SELECT * FROM contime.at(NULL::account, '2020-01-01')}, q{SELECT * FROM contime.history(NULL::account, 1, '2020-01-01', '2020-01-02')})
{
	my ($state, $message, $hint) = sqlstate($standby, $sql);
	is($state, '55000', "on a standby, error 55000: $sql");
	isnt($hint, '', "with a hint: $hint");
}
is($primary->safe_psql('postgres', 'SELECT balance FROM account'), '5', 'the primary returns the state');

$standby->promote;
is($standby->safe_psql('postgres', 'SELECT count(*) FROM account'), '0', 'the table is empty on the promoted standby');
$standby->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 6)});
is($standby->safe_psql('postgres', 'SELECT balance FROM account'), '6', 'the table can be written to and read there');
until_true($standby, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'the workers enter and freeze events there');
$standby->stop('fast');
$primary->stop('fast');

done_testing();
