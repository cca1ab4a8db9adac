# Databases: dropping, renaming and copying one works while an agent is there, and beside traffic as it does without contime;
# memory comes back, and tables of one database are not another's.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('databases');
my $used = 'SELECT sum(memory_bytes) FROM contime.workers';

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', "CREATE EXTENSION contime; $account");
my $empty = $node->safe_psql('postgres', $used);
$node->safe_psql('other', q{INSERT INTO account SELECT i % 1000, timestamptz '2020-01-01' + i * interval '1 minute', 1, 'some text' FROM generate_series(1, 50000) i});
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 7)});
is($node->safe_psql('other', q{SELECT sum(balance) FROM account WHERE at = 'infinity'}), '50000', 'one database');
is($node->safe_psql('postgres', q{SELECT sum(balance) FROM account WHERE at = 'infinity'}), '7', 'another');
is($node->safe_psql('postgres', 'SELECT count(*) FROM contime.tables'), '1', 'contime.tables shows its own database');
until_true($node, q{SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%'}, 'an agent for each');
cmp_ok($node->safe_psql('postgres', $used), '>', $empty + 1_000_000, 'memory is taken');

# The agent must not be in the way.
is($node->psql('postgres', 'CREATE DATABASE copy TEMPLATE other'), 0, 'CREATE DATABASE ... TEMPLATE of a database with an agent');
is($node->safe_psql('copy', 'SELECT count(*) FROM account'), '0', 'the copy has the definition, not the events');
$node->safe_psql('other', q{INSERT INTO account VALUES (1, '2019-01-01', 0)});
until_true($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%' AND datname = 'other'}, 'a late event brings the agent back');
is($node->psql('postgres', 'DROP DATABASE other'), 0, 'plain DROP DATABASE works');
until_true($node, "SELECT ($used) < $empty + 1000000", 'its memory came back');
is($node->safe_psql('postgres', q{SELECT sum(balance) FROM account WHERE at = 'infinity'}), '7', 'the other database has what it had');

# Who may not drop it does not disturb it.
$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN; CREATE DATABASE third');
isnt($node->psql('postgres', 'SET ROLE stranger; DROP DATABASE third'), 0, 'a stranger drops nothing');
is($node->psql('postgres', 'DROP DATABASE copy'), 0, 'the copy is dropped');

# Renamed, it is the same database.
$node->safe_psql('third', "CREATE EXTENSION contime; $account; INSERT INTO account VALUES (1, '2020-01-01', 3)");
until_true($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'contime agent' AND datname = 'third'}, 'an agent is there');
is($node->psql('postgres', 'ALTER DATABASE third RENAME TO moved'), 0, 'ALTER DATABASE ... RENAME of a database with an agent');
is($node->safe_psql('moved', q{SELECT sum(balance) FROM account WHERE at = 'infinity'}), '3', 'has what it had');

# An agent that is stopped is in the way like any session that is, no longer.
$node->safe_psql('moved', q{INSERT INTO account VALUES (1, '2019-01-01', 0)});
until_true($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'contime agent' AND datname = 'moved'}, 'an agent is there');
my $agent = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'contime agent' AND datname = 'moved'});
stop_process($agent);
is((sqlstate($node, 'DROP DATABASE moved'))[0], '55006', 'DROP DATABASE of a database whose agent is stopped');
kill 'CONT', $agent;
is($node->safe_psql('moved', q{SELECT sum(balance) FROM account WHERE at = 'infinity'}), '3', 'which has what it had');

# While somebody is connected it can be neither dropped nor copied; it loses nothing by the attempt.
my $writer = $node->background_psql('moved', on_error_stop => 0);
$writer->set_query_timer_restart();
$writer->query_until(qr/started/, q{\echo started
DO $$ BEGIN LOOP INSERT INTO account SELECT i, '2020-01-01', 1 FROM generate_series(1, 100) i; COMMIT; END LOOP; END $$;
});
my $sum = q{SELECT sum(balance) FROM account WHERE at = 'infinity'};
until_true($node, qq{SELECT ($used) > $empty + 1000000}, 'it is written to');
my $before = $node->safe_psql('moved', $sum);
for my $sql ('DROP DATABASE moved', 'CREATE DATABASE other TEMPLATE moved')
{
	is((sqlstate($node, $sql))[0], '55006', "$sql beside a writer");
}
cmp_ok($node->safe_psql('moved', $sum), '>=', $before, 'it has what it had and more');
is($node->psql('postgres', 'DROP DATABASE moved WITH (FORCE)'), 0, 'DROP DATABASE ... WITH (FORCE) beside a writer');
until_true($node, "SELECT ($used) < $empty + 1000000", 'its memory came back');
$writer->{run}->kill_kill;
$node->safe_psql('postgres', 'CREATE DATABASE moved');
$node->safe_psql('moved', "CREATE EXTENSION contime; $account");
is($node->safe_psql('moved', 'SELECT count(*) FROM account'), '0', 'another of its name has nothing');
$node->safe_psql('postgres', 'DROP DATABASE moved');

# A DROP DATABASE that is refused does not keep a DROP TABLE that is under way from giving its memory back.
$node->safe_psql('postgres', 'CREATE DATABASE fourth');
$node->safe_psql('fourth', "CREATE EXTENSION contime; $account");
$node->safe_psql('fourth', q{INSERT INTO account SELECT i % 1000, timestamptz '2020-01-01' + i * interval '1 minute', 1, 'some text' FROM generate_series(1, 50000) i});
my $dropper = $node->background_psql('fourth');
$dropper->query_safe('BEGIN; DROP FOREIGN TABLE account');
is((sqlstate($node, 'DROP DATABASE fourth'))[0], '55006', 'DROP DATABASE beside a DROP TABLE');
$dropper->query_safe('COMMIT');
until_true($node, "SELECT ($used) < $empty + 1000000", 'the memory of the table came back');
$dropper->quit;
$node->safe_psql('postgres', 'DROP DATABASE fourth');

# DROP EXTENSION CASCADE gives everything back.
$node->safe_psql('postgres', q{INSERT INTO account SELECT i % 1000, timestamptz '2020-01-01' + i * interval '1 minute', 1, 'some text' FROM generate_series(1, 50000) i});
cmp_ok($node->safe_psql('postgres', $used), '>', $empty + 1_000_000, 'memory is taken again');
$node->safe_psql('postgres', 'DROP EXTENSION contime CASCADE');
$node->safe_psql('postgres', 'CREATE EXTENSION contime');
until_true($node, "SELECT ($used) < $empty + 1000000", 'DROP EXTENSION CASCADE gives the memory back');
until_true($node, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%'}, 'and its agent leaves');
$node->safe_psql('postgres', 'DROP EXTENSION contime');
$node->stop('fast');

done_testing();
