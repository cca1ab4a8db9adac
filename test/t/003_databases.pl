# Databases: they can be dropped, renamed and copied while an agent is connected, and under traffic, as without contime;
# their memory is freed, and a database does not see the tables of another.
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
is($node->safe_psql('other', q{SELECT sum(balance) FROM account WHERE at = 'infinity'}), '50000', 'a table of one database has its events');
is($node->safe_psql('postgres', q{SELECT sum(balance) FROM account WHERE at = 'infinity'}), '7', 'a table of the same name in another database has its own');
is($node->safe_psql('postgres', 'SELECT count(*) FROM contime.tables'), '1', 'contime.tables shows its own database');
until_true($node, q{SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%'}, 'each database with data has an agent');
cmp_ok($node->safe_psql('postgres', $used), '>', $empty + 1_000_000, 'memory is used');

# An agent must not block commands on its database.
is($node->psql('postgres', 'CREATE DATABASE copy TEMPLATE other'), 0, 'CREATE DATABASE ... TEMPLATE works while the template has an agent');
is($node->safe_psql('copy', 'SELECT count(*) FROM account'), '0', 'the copy has the definition of the table, but no events');
$node->safe_psql('other', q{INSERT INTO account VALUES (1, '2019-01-01', 0)});
until_true($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%' AND datname = 'other'}, 'a late event makes the launcher start an agent');
is($node->psql('postgres', 'DROP DATABASE other'), 0, 'DROP DATABASE without FORCE works');
until_true($node, "SELECT ($used) < $empty + 1000000", 'the memory of the dropped database is freed');
is($node->safe_psql('postgres', q{SELECT sum(balance) FROM account WHERE at = 'infinity'}), '7', 'the table of the other database is unchanged');

# A role without the right to drop a database has no effect on it.
$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN; CREATE DATABASE third');
isnt($node->psql('postgres', 'SET ROLE stranger; DROP DATABASE third'), 0, 'another role cannot drop the database');
is($node->psql('postgres', 'DROP DATABASE copy'), 0, 'the copy is dropped');

# A renamed database keeps its tables and events.
$node->safe_psql('third', "CREATE EXTENSION contime; $account; INSERT INTO account VALUES (1, '2020-01-01', 3)");
until_true($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'contime agent' AND datname = 'third'}, 'an agent runs');
is($node->psql('postgres', 'ALTER DATABASE third RENAME TO moved'), 0, 'ALTER DATABASE ... RENAME works while the database has an agent');
is($node->safe_psql('moved', q{SELECT sum(balance) FROM account WHERE at = 'infinity'}), '3', 'the table is unchanged');

# A stopped agent blocks DROP DATABASE as any stopped session does, until it continues.
$node->safe_psql('moved', q{INSERT INTO account VALUES (1, '2019-01-01', 0)});
until_true($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'contime agent' AND datname = 'moved'}, 'an agent runs');
my $agent = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'contime agent' AND datname = 'moved'});
stop_process($agent);
is((sqlstate($node, 'DROP DATABASE moved'))[0], '55006', 'DROP DATABASE fails with 55006 while the agent is stopped');
kill 'CONT', $agent;
is($node->safe_psql('moved', q{SELECT sum(balance) FROM account WHERE at = 'infinity'}), '3', 'the table is unchanged');

# While a session is connected, the database can be neither dropped nor copied; the attempt loses no data.
my $writer = $node->background_psql('moved', on_error_stop => 0);
$writer->set_query_timer_restart();
$writer->query_until(qr/started/, q{\echo started
DO $$ BEGIN LOOP INSERT INTO account SELECT i, '2020-01-01', 1 FROM generate_series(1, 100) i; COMMIT; END LOOP; END $$;
});
my $sum = q{SELECT sum(balance) FROM account WHERE at = 'infinity'};
until_true($node, qq{SELECT ($used) > $empty + 1000000}, 'a writer fills the table');
my $before = $node->safe_psql('moved', $sum);
for my $sql ('DROP DATABASE moved', 'CREATE DATABASE other TEMPLATE moved')
{
	is((sqlstate($node, $sql))[0], '55006', "$sql fails with 55006 while a writer is connected");
}
cmp_ok($node->safe_psql('moved', $sum), '>=', $before, 'no event is lost');
is($node->psql('postgres', 'DROP DATABASE moved WITH (FORCE)'), 0, 'DROP DATABASE ... WITH (FORCE) works while a writer is connected');
until_true($node, "SELECT ($used) < $empty + 1000000", 'the memory of the database is freed');
$writer->{run}->kill_kill;
$node->safe_psql('postgres', 'CREATE DATABASE moved');
$node->safe_psql('moved', "CREATE EXTENSION contime; $account");
is($node->safe_psql('moved', 'SELECT count(*) FROM account'), '0', 'a new database of the same name has an empty table');
$node->safe_psql('postgres', 'DROP DATABASE moved');

# A refused DROP DATABASE does not prevent a concurrent DROP TABLE from freeing its memory.
$node->safe_psql('postgres', 'CREATE DATABASE fourth');
$node->safe_psql('fourth', "CREATE EXTENSION contime; $account");
$node->safe_psql('fourth', q{INSERT INTO account SELECT i % 1000, timestamptz '2020-01-01' + i * interval '1 minute', 1, 'some text' FROM generate_series(1, 50000) i});
my $dropper = $node->background_psql('fourth');
$dropper->query_safe('BEGIN; DROP FOREIGN TABLE account');
is((sqlstate($node, 'DROP DATABASE fourth'))[0], '55006', 'DROP DATABASE fails with 55006 during a DROP FOREIGN TABLE');
$dropper->query_safe('COMMIT');
until_true($node, "SELECT ($used) < $empty + 1000000", 'the memory of the dropped table is freed');
$dropper->quit;
$node->safe_psql('postgres', 'DROP DATABASE fourth');

# DROP EXTENSION CASCADE frees all memory.
$node->safe_psql('postgres', q{INSERT INTO account SELECT i % 1000, timestamptz '2020-01-01' + i * interval '1 minute', 1, 'some text' FROM generate_series(1, 50000) i});
cmp_ok($node->safe_psql('postgres', $used), '>', $empty + 1_000_000, 'memory is used');
$node->safe_psql('postgres', 'DROP EXTENSION contime CASCADE');
$node->safe_psql('postgres', 'CREATE EXTENSION contime');
until_true($node, "SELECT ($used) < $empty + 1000000", 'DROP EXTENSION CASCADE frees the memory');
until_true($node, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'contime agent%'}, 'the agent exits');
$node->safe_psql('postgres', 'DROP EXTENSION contime');
$node->stop('fast');

done_testing();
