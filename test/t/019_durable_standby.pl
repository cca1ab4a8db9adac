# A durable table is read on a standby from the replayed event tables; after promotion everything works. After recovery to a point in
# time it is as it was then, even if its event tables were corrected, truncated and added to it later.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1, has_archiving => 1);
$primary->append_conf('postgresql.conf', "shared_preload_libraries = 'contime'\ncontime.memory = '64MB'\ntimezone = 'UTC'\nmax_prepared_transactions = 5\n");
$primary->start;
$primary->safe_psql('postgres', "CREATE EXTENSION contime; $account");
$primary->safe_psql('postgres', q{
	CREATE TABLE movement (id int PRIMARY KEY, account int, at timestamptz, amount numeric(12,2));
	INSERT INTO movement SELECT i, i % 5, timestamptz '2026-01-01' + i * interval '1 hour', i FROM generate_series(1, 1000) i;
	CREATE FOREIGN TABLE balance (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
		amount numeric(12,2) OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'movement');
	CREATE UNLOGGED TABLE draft (account int, at timestamptz, amount int);
	CREATE FOREIGN TABLE planned (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), amount int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'draft');
	INSERT INTO draft VALUES (1, '2026-01-01', 1)});
is($primary->safe_psql('postgres', 'SELECT amount FROM planned'), '1', 'a durable table over an unlogged event table can be read');
$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;

my $differences = q{SELECT count(*) FROM (SELECT account, sum(amount) FROM movement WHERE at <= '2026-01-20' GROUP BY 1
	EXCEPT SELECT account, amount FROM balance WHERE at = '2026-01-20') x};
sub agree
{
	my ($node, $when) = @_;
	is($node->safe_psql('postgres', $differences), '0', "$when: the states are those of plain SQL over the rows");
	my $sum = q{FROM movement WHERE account = 3 AND at <= '2026-02-01'};
	is($node->safe_psql('postgres', q{SELECT amount FROM balance WHERE account = 3 AND at = '2026-02-01'}), $node->safe_psql('postgres', "SELECT sum(amount) $sum"), "$when: the state of a key");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM contime.history(NULL::balance, 3, '2026-01-01', '2026-02-01')}),
		$node->safe_psql('postgres', q{SELECT count(*) FROM movement WHERE account = 3 AND at < '2026-02-01'}), "$when: the history of a key");
}
$primary->wait_for_catchup($standby);
agree($standby, 'standby');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM contime.at(NULL::balance, '2026-01-20')}), '5', 'contime.at works on a standby');
$primary->safe_psql('postgres', q{UPDATE movement SET amount = -amount WHERE id % 7 = 0; DELETE FROM movement WHERE id % 11 = 0; INSERT INTO movement VALUES (2000, 8, '2026-01-01', 3)});
$primary->wait_for_catchup($standby);
agree($standby, 'after more changes');
$primary->safe_psql('postgres', q{ALTER TABLE movement RENAME COLUMN amount TO sum; ALTER TABLE movement ADD COLUMN note text; ALTER TABLE movement RENAME COLUMN sum TO amount});
$primary->wait_for_catchup($standby);
agree($standby, 'after DDL');

is((sqlstate($standby, 'SELECT * FROM account'))[0], '55000', 'a table in memory is refused on a standby');
is((sqlstate($standby, q{SELECT * FROM contime.at(NULL::account, '2020-01-01')}))[0], '55000', 'functions on it are refused, too');
is((sqlstate($standby, 'SELECT * FROM planned'))[0], '0A000', 'core refuses to read an unlogged event table on a standby');
is((sqlstate($standby, q{SELECT contime.event(ROW(1, now(), 1)::balance)}))[0], '25006', 'contime.event on a durable table is refused');
is((sqlstate($standby, q{SELECT contime.add_source('balance', 'draft')}))[0], '55000', 'contime.add_source is refused on a standby');

$standby->promote;
agree($standby, 'promoted');
$standby->safe_psql('postgres', q{INSERT INTO movement VALUES (3000, 3, '2026-01-02', 1000); INSERT INTO account VALUES (1, '2020-01-01', 6)});
agree($standby, 'promoted and written to');
is($standby->safe_psql('postgres', 'SELECT balance FROM account'), '6', 'a table in memory works after promotion');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM planned'), '0', 'an unlogged event table is empty after promotion');
$standby->stop('fast');

my $then = q{SELECT array_agg(row(account, amount) ORDER BY account) FROM balance WHERE at = '2026-01-20'};
$primary->safe_psql('postgres', q{INSERT INTO movement VALUES (4000, 1, '2026-01-03', 44)});
my $states = $primary->safe_psql('postgres', $then);
$primary->safe_psql('postgres', $_) for q{BEGIN; UPDATE movement SET amount = 5 WHERE id = 4000; PREPARE TRANSACTION 'under way'}, q{SELECT pg_create_restore_point('then')},
	q{COMMIT PREPARED 'under way'}, q{DELETE FROM movement WHERE id % 2 = 0}, q{TRUNCATE movement}, q{INSERT INTO movement VALUES (1, 1, '2026-01-01', 1)}, q{DROP TABLE movement CASCADE}, q{SELECT pg_switch_wal()};
$primary->stop('fast');
my $recovered = PostgreSQL::Test::Cluster->new('recovered');
$recovered->init_from_backup($primary, 'copy', has_restoring => 1, standby => 0);
$recovered->append_conf('postgresql.conf', "recovery_target_name = 'then'\nrecovery_target_timeline = 'current'\nrecovery_target_action = 'promote'\n");
$recovered->start;
$recovered->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
agree($recovered, 'recovered to a point in time');
is($recovered->safe_psql('postgres', $then), $states, 'states are as they were at the recovery target');
$recovered->safe_psql('postgres', q{COMMIT PREPARED 'under way'});
is($recovered->safe_psql('postgres', q{SELECT amount FROM balance WHERE account = 1 AND at = '2026-01-20'}), $recovered->safe_psql('postgres', q{SELECT sum(amount) FROM movement WHERE account = 1 AND at <= '2026-01-20'}),
	'a transaction that was prepared then can be committed or rolled back');
until_cached($recovered, 'balance');
like($recovered->safe_psql('postgres', q{SELECT * FROM contime.verify('balance')}), qr/^memory\|.*\|t$/, 'contime.verify finds memory equal to the event table');
agree($recovered, 'from there');
$recovered->stop('fast');

done_testing();
