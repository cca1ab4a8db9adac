# Durable tables and their event tables: pg_dump and restore, a copy of the database, changes of owners.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('durable_dump', 'max_prepared_transactions' => 2);
$node->safe_psql('postgres', q{
	CREATE SCHEMA ledger;
	CREATE FUNCTION ledger.cents(numeric) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT ($1 * 100)::bigint';
	CREATE TABLE ledger.movement (id int PRIMARY KEY, "the account" int, at timestamptz, amount numeric(12,2));
	INSERT INTO ledger.movement SELECT i, i % 5, timestamptz '2026-01-01' + i * interval '1 hour', i FROM generate_series(1, 500) i;
	SET search_path = ledger, public;
	CREATE FOREIGN TABLE public.balance (account bigint OPTIONS (key 'true', source '"the account"'), at timestamptz OPTIONS (time 'true'),
		cents bigint OPTIONS (rule 'sum', source 'cents(amount)'), last int OPTIONS (source 'id')) SERVER contime OPTIONS (events 'ledger.movement');
	CREATE TABLE public.transfer (giver int, taker int, at timestamptz, amount int) PARTITION BY RANGE (at);
	CREATE TABLE public.transfer_1 PARTITION OF public.transfer FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
	CREATE TABLE public.transfer_2 PARTITION OF public.transfer DEFAULT;
	INSERT INTO public.transfer SELECT i % 3, i % 4, timestamptz '2026-01-01' + i * interval '1 hour', i FROM generate_series(1, 1000) i;
	CREATE TABLE public.count (k int, at timestamptz, v int);
	INSERT INTO public.count VALUES (1, '2026-01-10', 1000000);
	CREATE FOREIGN TABLE public.stock (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
	SELECT contime.add_source('stock', 'transfer', '{"k": "giver", "v": "-amount"}');
	SELECT contime.add_source('stock', 'transfer', '{"k": "taker", "v": "amount"}');
	SELECT contime.add_source('stock', 'count', kind => 'snapshot')});

# The output of pg_dump without the lines with the random token of psql's restricted mode.
sub dumped { return join '', grep { !/^\\(un)?restrict / } map { "$_\n" } split /\n/, slurp_file($_[0]) }
my $states = q{SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM (
	SELECT 'b', account, cents, last FROM balance WHERE at = '2026-01-15' UNION ALL SELECT 's', k, v, 0 FROM stock WHERE at IN ('2026-01-09', '2026-01-15', '2026-03-01')) x};
my $want = $node->safe_psql('postgres', $states);
like($want, qr/\(b,3,.*\(s,1,/, 'the tables have states');

my $file = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '--no-sync', '-f', $file, $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-f', $file, $node->connstr('restored') ], 'restored');
is($node->safe_psql('restored', $states), $want, 'the restored tables have the same states');
my $again = $node->basedir . '/again.sql';
command_ok([ 'pg_dump', '--no-sync', '-f', $again, $node->connstr('restored') ], 'pg_dump of what was restored');
is(dumped($again), dumped($file), 'both dumps are equal');
my $custom = $node->basedir . '/dump.custom';
command_ok([ 'pg_dump', '--no-sync', '-Fc', '-f', $custom, $node->connstr('postgres') ], 'pg_dump in custom format');
$node->safe_psql('postgres', 'CREATE DATABASE parallel');
command_ok([ 'pg_restore', '-j', '2', '-e', '-d', $node->connstr('parallel'), $custom ], 'pg_restore with two jobs');
is($node->safe_psql('parallel', $states), $want, 'the restored tables have the same states');

# The restored tables have the same dependencies as created ones.
sub bound
{
	my ($db) = @_;
	is((sqlstate_in($db, 'DROP TABLE ledger.movement'))[0], '2BP01', "$db: the event table cannot be dropped without the continuous table");
	is((sqlstate_in($db, 'DROP TABLE count'))[0], '2BP01', "$db: nor can an added event table");
	$node->safe_psql($db, 'ALTER TABLE ledger.movement RENAME TO movements; ALTER TABLE ledger.movements RENAME COLUMN amount TO sum; ALTER TABLE transfer RENAME COLUMN amount TO quantity');
	is($node->safe_psql($db, $states), $want, "$db: states are the same after the event table was renamed");
	$node->safe_psql($db, q{DELETE FROM ledger.movements WHERE id % 2 = 0; UPDATE transfer SET quantity = 1});
	isnt($node->safe_psql($db, $states), $want, "$db: a new row of the event table is an event");
	$node->safe_psql($db, q{DROP TABLE count CASCADE});
	is($node->safe_psql($db, q{SELECT count(*) FROM contime.source}), '0', "$db: dropping the continuous table drops its rows of contime.source");
}
sub sqlstate_in { my ($db, $sql) = @_; my (undef, undef, $err) = $node->psql($db, "\\set VERBOSITY verbose\n$sql"); return $err =~ /ERROR:\s+(\w{5}): (.*)/ }
bound('restored');
$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE parallel');
is($node->safe_psql('copied', $states), $want, 'a copy of the database has the same states');
bound('copied');
is($node->safe_psql('parallel', $states), $want, 'changes in the copy do not affect the original');

# Changes of owners.
$node->safe_psql('postgres', q{CREATE ROLE ann; CREATE ROLE bob; GRANT USAGE ON FOREIGN SERVER contime TO ann; GRANT CREATE ON SCHEMA public TO ann, bob;
	GRANT SELECT ON count TO PUBLIC; GRANT TRIGGER ON count TO ann;
	SET ROLE ann;
	CREATE TABLE event (k int, at timestamptz, v int); INSERT INTO event VALUES (1, '2026-01-01', 1);
	CREATE FOREIGN TABLE state (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'event');
	GRANT SELECT ON state TO bob});
my $state = "SET ROLE bob; SELECT v FROM state";
is($node->safe_psql('postgres', $state), '1', 'another role reads the durable table');
$node->safe_psql('postgres', 'ALTER FOREIGN TABLE state OWNER TO bob');
is(($node->psql('postgres', $state))[0], 3, 'the read fails if the owner may not read the event table');
$node->safe_psql('postgres', 'REASSIGN OWNED BY ann TO bob');
is($node->safe_psql('postgres', $state), '1', 'REASSIGN OWNED: the new owner reads');
$node->safe_psql('postgres', 'ALTER FOREIGN TABLE state OWNER TO ann; GRANT SELECT, TRIGGER ON event TO ann');
is($node->safe_psql('postgres', 'SELECT v FROM state'), '1', 'it can be read when its owner was granted SELECT on the event table');
my (undef, undef, $error) = $node->psql('postgres', 'DROP OWNED BY bob');
like($error, qr/other objects depend on|cannot be dropped/, 'DROP OWNED of the event table needs CASCADE');
$node->safe_psql('postgres', 'DROP OWNED BY bob CASCADE; DROP OWNED BY ann; DROP ROLE ann, bob');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname IN ('event', 'state')}), '0', 'with CASCADE it drops both tables');
is($node->safe_psql('postgres', $states), $want, 'other tables have the same states');

# Events of prepared transactions survive a crash, and count when they are committed.
$node->safe_psql('postgres', q{BEGIN; INSERT INTO ledger.movement VALUES (1000, 3, '2026-01-02', 5); PREPARE TRANSACTION 'p'});
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', $states), $want, 'states are the same after a crash');
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
is($node->safe_psql('postgres', q{SELECT cents FROM balance WHERE account = 3 AND at = '2026-01-02'}),
	$node->safe_psql('postgres', q{SELECT sum(ledger.cents(amount)) FROM ledger.movement WHERE "the account" = 3 AND at <= '2026-01-02'}), 'the state contains the events of the prepared transaction');
$node->safe_psql('postgres', 'DROP EXTENSION contime CASCADE');
is($node->safe_psql('postgres', 'SELECT count(*) FROM ledger.movement'), '501', 'DROP EXTENSION keeps the event tables');
$node->stop('fast');

done_testing();
