# pg_upgrade, by copies and by links, of a server with durable tables: it restores definitions without contime's hooks, so event tables
# have no triggers and durable tables no dependencies at first. Answers are right all the time; agents bind the tables again by themselves.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $old = contime_node('old', 'max_prepared_transactions' => 2, 'max_wal_senders' => 0, 'fsync' => 'off');
my $bin = $old->config_data('--bindir');
$old->safe_psql('postgres', q{
	CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN; GRANT USAGE ON FOREIGN SERVER contime TO ann; CREATE SCHEMA anns AUTHORIZATION ann;
	CREATE SCHEMA ledger; CREATE SCHEMA archive;
	CREATE TABLE ledger.movement (id int PRIMARY KEY, "the account" int, at timestamptz, amount int);
	INSERT INTO ledger.movement SELECT i, i % 5, timestamptz '2026-01-01' + i * interval '1 hour', i FROM generate_series(1, 500) i;
	CREATE FOREIGN TABLE balance (account bigint OPTIONS (key 'true', source '"the account"'), at timestamptz OPTIONS (time 'true'),
		total bigint OPTIONS (rule 'sum', source 'amount')) SERVER contime OPTIONS (events 'ledger.movement');
	CREATE TABLE transfer (giver int, taker int, at timestamptz, amount int) PARTITION BY RANGE (at);
	CREATE TABLE transfer_1 PARTITION OF transfer FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
	CREATE TABLE transfer_2 PARTITION OF transfer DEFAULT;
	INSERT INTO transfer SELECT i % 3, i % 4, timestamptz '2026-01-01' + i * interval '1 hour', i FROM generate_series(1, 1000) i;
	CREATE TABLE counted (k int, at timestamptz, v int);
	INSERT INTO counted VALUES (1, '2026-01-10', 1000000);
	CREATE FOREIGN TABLE stock (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
	SELECT contime.add_source('stock', 'transfer', '{"k": "giver", "v": "-amount"}');
	SELECT contime.add_source('stock', 'transfer', '{"k": "taker", "v": "amount"}');
	SELECT contime.add_source('stock', 'counted', kind => 'snapshot');
	INSERT INTO account VALUES (1, '2026-01-01', 1)});
my $pair = sub { my ($name) = @_; return qq{CREATE TABLE anns.${name}_events (k int, at timestamptz, v int); CREATE INDEX ON anns.${name}_events (k, at);
	INSERT INTO anns.${name}_events SELECT i % 7, timestamptz '2026-01-01' + i * interval '1 hour', i FROM generate_series(1, 100) i;
	CREATE FOREIGN TABLE anns.$name (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v bigint OPTIONS (rule 'sum')) SERVER contime OPTIONS (events '${name}_events');} };
$old->safe_psql('postgres', join('', map { $pair->($_) } qw(called awaited denied)), extra_params => [ '-U', 'ann' ]);
$old->safe_psql('postgres', 'CREATE DATABASE elsewhere; CREATE DATABASE without');
$old->safe_psql('elsewhere', 'CREATE EXTENSION contime; CREATE SCHEMA anns; ' . $pair->('quiet'));
my @tables = ('balance', 'stock', map { "anns.$_" } qw(called awaited denied));

my $states = q{SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM (
	SELECT 'b', account, total FROM balance WHERE at = '2026-01-15' UNION ALL SELECT 's', k, v FROM stock WHERE at IN ('2026-01-09', '2026-01-15', '2026-03-01')
	UNION ALL SELECT 'c', k, v FROM anns.called WHERE at = '2026-01-04' UNION ALL SELECT 'a', k, v FROM anns.awaited WHERE at = '2026-01-04') x};
my $want = $old->safe_psql('postgres', $states);
like($want, qr/\(b,3,.*\(s,1,/, 'there are states');
until_cached($old, $_) for @tables;

# What each continuous table depends on, and the triggers of event tables and their partitions.
my $bindings = q{SELECT string_agg(line, E'\n' ORDER BY line COLLATE "C") FROM (
	SELECT format('%s reads %s', objid::regclass, refobjid::regclass) AS line FROM pg_depend JOIN pg_class c ON c.oid = objid
		WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype = 'n' AND relkind = 'f'
	UNION ALL SELECT format('%s has %s, %s, %s', tgrelid::regclass, rtrim(tgname, '0123456789'), tgtype, tgenabled) FROM pg_trigger WHERE tgisinternal AND tgfoid = 'contime.capture'::regproc
	UNION ALL SELECT format('%s: %s depends on %s (%s)', tgrelid::regclass, rtrim(tgname, '0123456789'), refobjid::regclass, deptype) FROM pg_depend JOIN pg_trigger t ON t.oid = objid
		WHERE classid = 'pg_trigger'::regclass AND refclassid = 'pg_class'::regclass AND tgfoid = 'contime.capture'::regproc) x};
my $bound = $old->safe_psql('postgres', $bindings);
my $bound_elsewhere = $old->safe_psql('elsewhere', $bindings);
like($bound, qr/stock reads transfer\n.*transfer_2 has/s, 'and bindings');

sub upgraded
{
	my ($name, @mode) = @_;
	my $new = PostgreSQL::Test::Cluster->new($name);

	$old->stop if -e $old->data_dir . '/postmaster.pid';
	$new->init;
	$new->append_conf('postgresql.conf', "$_\n") for "shared_preload_libraries = 'contime'", "contime.memory = '64MB'", "timezone = 'UTC'", 'max_prepared_transactions = 2',
		'contime.workers = 1', 'max_wal_senders = 0', 'fsync = off';
	chdir $new->basedir or die;
	command_ok([ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bin, '-B', $bin, '-s', $new->host, '-p', $old->port, '-P', $new->port, @mode ],
		"$name: pg_upgrade @mode");
	return $new;
}

sub sqlstate_in { my ($node, $db, $sql) = @_; my (undef, undef, $err) = $node->psql($db, "\\set VERBOSITY verbose\n$sql"); return ($err =~ /ERROR:\s+(\w{5}): (.*)/)[0] // '' }

# Notices that the statement brings to a session that listens.
sub notices_of
{
	my ($node, $sql) = @_;
	my $listener = $node->background_psql('postgres');
	my $heard = '';

	$listener->query_safe('LISTEN contime');
	$node->safe_psql('postgres', $sql);
	for (1 .. 600)
	{
		$heard .= $listener->query_safe('SELECT pg_sleep(0.1)');
		last if $heard =~ /"events": 1/;
	}
	$listener->quit;
	return $heard;
}

# What holds once all is bound.
sub check_whole
{
	my ($node, $name) = @_;

	is($node->safe_psql('postgres', $bindings), $bound, "$name: triggers and dependencies are as they were");
	until_cached($node, $_) for @tables;
	is($node->safe_psql('postgres', $states), $want, "$name: memory gives the same states");
	like($node->safe_psql('postgres', "SELECT DISTINCT v.answered_from, v.equal FROM unnest('{@{[join ',', @tables]}}'::regclass[]) t, contime.verify(t) v"), qr/\Amemory\|t\z/, "$name: caches are equal to the event tables");
	like(notices_of($node, q{INSERT INTO ledger.movement VALUES (1001, 3, '2026-01-02', 5)}), qr/"table": "public.balance", "from": "2026-01-02T00:00:00.*"events": 1/, "$name: a late event gives a notice");
	is($node->safe_psql('postgres', q{SELECT total FROM balance WHERE account = 3 AND at = '2026-01-02'}),
		$node->safe_psql('postgres', q{SELECT sum(amount) FROM ledger.movement WHERE "the account" = 3 AND at <= '2026-01-02'}), "$name: and counts");
	$node->safe_psql('postgres', 'DELETE FROM ledger.movement WHERE id = 1001');
	is($node->safe_psql('postgres', q{SELECT DISTINCT contime.repair(ftrelid) FROM pg_foreign_table t JOIN pg_foreign_server s ON s.oid = t.ftserver WHERE s.srvname = 'contime'}), 'f',
		"$name: contime.repair of every table finds nothing to do");
	is(sqlstate_in($node, 'postgres', 'DROP TABLE ledger.movement'), '2BP01', "$name: the event table is not dropped alone");
	is(sqlstate_in($node, 'postgres', 'DROP TABLE counted'), '2BP01', "$name: nor one that was added");
	$node->safe_psql('postgres', q{ALTER TABLE ledger.movement RENAME TO movements; ALTER TABLE ledger.movements RENAME amount TO sum; ALTER TABLE transfer RENAME amount TO quantity;
		ALTER TABLE ledger.movements SET SCHEMA archive; CREATE TABLE transfer_3 PARTITION OF transfer FOR VALUES FROM ('2027-01-01') TO ('2027-02-01')});
	is($node->safe_psql('postgres', $states), $want, "$name: renamed, all follows");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_trigger WHERE tgrelid = 'transfer_3'::regclass AND tgisinternal AND tgname LIKE '!contime%'}), '3', "$name: a new partition is captured");
	is(sqlstate_in($node, 'postgres', q{ALTER TABLE archive.movements DROP COLUMN sum}), '42703', "$name: a column that a source needs is not dropped");
	$node->safe_psql('postgres', 'DROP TABLE archive.movements CASCADE');
	is($node->safe_psql('postgres', q{SELECT to_regclass('balance') IS NULL}), 't', "$name: DROP CASCADE takes the continuous table, too");
	$node->safe_psql('postgres', 'DROP FOREIGN TABLE anns.called');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_trigger WHERE tgrelid = 'anns.called_events'::regclass}), '0', "$name: a continuous table takes its triggers along");
	return;
}

# By copies. At first no agent can start: there is no room for its process.
my $new = upgraded('copied');
ok(-e $new->data_dir . '/pg_stat/contime.upgraded', 'pg_upgrade leaves a mark');
$new->append_conf('slots.conf', "max_worker_processes = 3\n");
$new->append_conf('postgresql.conf', "include_if_exists = 'slots.conf'\n");
$new->start;
is($new->safe_psql('postgres', $states), $want, 'event tables give the same states at once');
is($new->safe_psql('postgres', $bindings), '', 'while nothing is bound');
$new->safe_psql('postgres', q{INSERT INTO anns.called_events VALUES (0, '2026-01-04', 1000)});
is($new->safe_psql('postgres', q{SELECT v FROM anns.called WHERE k = 0 AND at = '2026-01-04'}), $new->safe_psql('postgres', q{SELECT sum(v) FROM anns.called_events WHERE k = 0 AND at <= '2026-01-04'}), 'a row that nobody captures counts');
$new->safe_psql('postgres', q{DELETE FROM anns.called_events WHERE v = 1000});

# contime.repair().
my $repair = sub { my ($table, $role) = @_; my ($status, $out, $err) = $new->psql('postgres', "\\set VERBOSITY verbose\nSELECT contime.repair('$table')", extra_params => [ '-U', $role ]); return "$out$err" };
$new->safe_psql('postgres', 'GRANT USAGE ON SCHEMA anns TO bob; GRANT SELECT ON anns.called, anns.called_events TO bob; REVOKE SELECT ON anns.denied_events FROM ann');
like($repair->('anns.called', 'bob'), qr/ERROR:  42501: must be owner of foreign table called/, 'contime.repair: another role is refused');
is($new->safe_psql('postgres', $bindings), '', 'contime.repair: and changes nothing');
is($repair->('anns.called', 'ann'), 't', 'contime.repair: the owner repairs the table');
my @bound_called = grep { /anns\.called/ } split /\n/, $bound;
is($new->safe_psql('postgres', $bindings), join("\n", @bound_called), 'contime.repair: dependencies and triggers of this table are as they were');
is($repair->('anns.called', 'ann'), 'f', 'contime.repair: a second call returns false');
is($new->safe_psql('postgres', $bindings), join("\n", @bound_called), 'contime.repair: a second call changes nothing');
like($repair->('anns.denied', 'ann'), qr/ERROR:  42501: permission denied for table denied_events/, 'contime.repair: an owner without SELECT on the event table is refused');
like($repair->('anns.denied', $ENV{PGUSER} // getpwuid($<)), qr/ERROR:  42501: permission denied for table denied_events/, 'contime.repair: so is a superuser, since the owner binds the table');
like($repair->('account', getpwuid($<)), qr/f.*NOTICE:  00000: continuous table "account" is in memory: it has no event tables, and so nothing to repair/s, 'contime.repair: a table in memory has nothing to repair');
like($repair->('counted', getpwuid($<)), qr/ERROR:  42809/, 'contime.repair: an ordinary table is refused');
like($repair->('99999999', getpwuid($<)), qr/ERROR:  42P01/, 'contime.repair: an unknown OID is refused');
is(sqlstate_in($new, 'postgres', q{BEGIN READ ONLY; SELECT contime.repair('anns.called')}), '25006', 'contime.repair: a read-only transaction is refused');

# With room for agents, the others come back by themselves; a lock that is held is not waited for long.
$new->safe_psql('postgres', q{BEGIN; INSERT INTO anns.awaited_events VALUES (0, '2026-02-01', 70707); PREPARE TRANSACTION 'writer'});
$new->append_conf('slots.conf', "max_worker_processes = 20\n");
$new->restart;
ok($new->poll_query_until('elsewhere', "SELECT ($bindings) = '$bound_elsewhere'"), 'the agent binds a table that no session has read');
logged($new, qr/LOG:  continuous table "quiet" is bound to its event tables again/, 0, 'the agent logs the table that it has bound');
logged($new, qr/LOG:  continuous table "denied" cannot be bound to its event tables again: permission denied for table denied_events/, 0, 'the agent logs the table that it cannot bind');
ok($new->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pg_depend WHERE objid IN ('balance'::regclass, 'anns.called'::regclass) AND deptype = 'n' AND refobjid IN ('ledger.movement'::regclass, 'anns.called_events'::regclass)}), 'the agent binds tables beside the locked one');
logged($new, qr/LOG:  continuous table "awaited" cannot be bound to its event tables again: canceling statement due to lock timeout/, 0, 'the agent gives up waiting for the lock');
is($new->safe_psql('postgres', q{SELECT count(*) FROM pg_trigger WHERE tgrelid = 'anns.awaited_events'::regclass}), '0', 'the locked event table has no triggers');
is($new->safe_psql('postgres', $states), $want, 'event tables give the same states meanwhile');
ok(-e $new->data_dir . '/pg_stat/contime.upgraded', 'the mark stays while a table is to be tried again');
my $count = q{SELECT v FROM anns.awaited WHERE k = 0 AND at = '2026-02-01'};
my $before = $new->safe_psql('postgres', $count);
$new->safe_psql('postgres', q{COMMIT PREPARED 'writer'});
is($new->safe_psql('postgres', $count), $before + 70707, 'a row that was written meanwhile counts');
ok($new->poll_query_until('postgres', q{SELECT count(*) = 3 FROM pg_trigger WHERE tgrelid = 'anns.awaited_events'::regclass}), 'the agent binds the table when the lock is free');
until_cached($new, 'anns.awaited');
is($new->safe_psql('postgres', $count), $before + 70707, 'memory gives the same state');
$new->safe_psql('postgres', q{DELETE FROM anns.awaited_events WHERE v = 70707; GRANT SELECT ON anns.denied_events TO ann});

# One that could not be bound asks again when it is read.
$new->safe_psql('postgres', 'SELECT count(*) FROM anns.denied');
until_cached($new, 'anns.denied');
for (1 .. 1800) { last if !-e $new->data_dir . '/pg_stat/contime.upgraded'; select undef, undef, undef, 0.1 }
ok(!-e $new->data_dir . '/pg_stat/contime.upgraded', 'the launcher removes the mark when all databases are done');
$new->restart;
check_whole($new, 'copied');
$new->stop('fast');

# By links, after which the old server cannot be used any more.
# Without the mark no database is visited: tables are bound when they are read.
$new = upgraded('linked', '--link');
unlink $new->data_dir . '/pg_stat/contime.upgraded' or die;
$new->start;
is($new->safe_psql('postgres', $bindings), '', 'linked: nothing is bound before a read');
is($new->safe_psql('postgres', $states . q{; SELECT count(*) > 0 FROM anns.denied}), "$want\nt", 'linked: event tables give the same states at once');
ok($new->poll_query_until('postgres', "SELECT ($bindings) = '$bound'"), 'linked: the agent binds the tables that were read');
is($new->safe_psql('elsewhere', $bindings), '', 'linked: and none of another database');
check_whole($new, 'linked');
$new->stop('fast');

done_testing();
