# DDL under load: sessions write and read without a pause while the table is altered, truncated, renamed, dropped and created
# again, in transactions that commit or roll back. An ordinary table, written in the same transactions, has the expected total.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $rounds = $ENV{CT_DDL_ROUNDS} // 1;
my $node = contime_node('ddl', 'max_prepared_transactions' => 2, 'deadlock_timeout' => '100ms');
my $make = q{CREATE FOREIGN TABLE account (
	id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
	hits bigint OPTIONS (rule 'sum', initial '0'), note text) SERVER contime;
	GRANT SELECT, INSERT ON account TO app;};
$node->safe_psql('postgres', qq{
	DROP FOREIGN TABLE account;
	CREATE ROLE app;
	CREATE SCHEMA elsewhere;
	GRANT USAGE ON SCHEMA elsewhere TO app;
	CREATE SCHEMA support;
	GRANT USAGE ON SCHEMA support TO app;
	CREATE TABLE support.ledger (n bigint);
	CREATE TABLE support.stop ();
	CREATE TABLE support.result (client int, rounds int, wrong int, missed int, unexpected text);
	CREATE SEQUENCE support.progress;
	GRANT ALL ON support.ledger, support.stop, support.result, support.progress TO app;
	ALTER DATABASE postgres SET search_path = public, support;
	$make});

# Each round writes to both tables, or rolls back, and compares them in one statement. It is expected that the table or a column is
# sometimes missing, or may not be used (missed), and that a reader that locks in another order meets a deadlock; any other error
# is a failure. (The row type of a function is not locked while a query is planned: if a column was dropped meanwhile, core reports
# 42804, or cannot find the type's name.)
my $client = q{
DO $$
DECLARE
	rounds int := 0; wrong int := 0; missed int := 0; unexpected text; differ bigint; state text;
BEGIN
	WHILE EXISTS (SELECT FROM pg_class WHERE relname = 'stop') LOOP
		rounds := rounds + 1;
		BEGIN
			INSERT INTO account (id, at, hits) SELECT i, timestamptz '2020-01-01' + random() * interval '1 day', 1 FROM generate_series(1, 20) i;
			INSERT INTO ledger VALUES (20);
			IF rounds % 7 = 0 THEN
				RAISE 'rolled back' USING ERRCODE = 'CT000';
			END IF;
		EXCEPTION
			WHEN SQLSTATE 'CT000' THEN NULL;
			WHEN OTHERS THEN
				missed := missed + 1;
				IF SQLSTATE NOT IN ('42P01', '42703', '3F000', '42501', '42883') THEN
					unexpected := concat(unexpected, 'write ', SQLSTATE, ' ', SQLERRM, '; ');
				END IF;
		END;
		COMMIT;
		BEGIN
			IF rounds % 2 = 0 THEN
				SELECT (SELECT coalesce(sum(hits), 0) FROM account WHERE at = 'infinity') - (SELECT coalesce(sum(n), 0) FROM ledger) INTO differ;
			ELSE
				SELECT (SELECT coalesce(sum(hits), 0) FROM contime.at(NULL::account, 'infinity')) - (SELECT coalesce(sum(n), 0) FROM ledger) INTO differ;
			END IF;
			IF differ <> 0 THEN
				wrong := wrong + 1;
			END IF;
		EXCEPTION
			WHEN OTHERS THEN
				missed := missed + 1;
				IF SQLSTATE NOT IN ('42P01', '42703', '42704', '3F000', '42501', '42883', '42804', '40P01') AND SQLERRM <> 'cache lookup failed for type 0' THEN
					unexpected := concat(unexpected, 'read ', SQLSTATE, ' ', SQLERRM, '; ');
				END IF;
		END;
		COMMIT;
		PERFORM nextval('progress');
	END LOOP;
	INSERT INTO result VALUES (pg_backend_pid(), rounds, wrong, missed, unexpected);
END $$;
\echo ended
};
my @clients = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 3;
$_->set_query_timer_restart() for @clients;
$clients[2]->query_safe('SET ROLE app');
$_->query_until(qr/started/, "\\echo started\n$client") for @clients;

# Let each session make a round or two.
sub go_on
{
	my $from = $node->safe_psql('postgres', 'SELECT last_value FROM progress');
	$node->poll_query_until('postgres', "SELECT last_value > $from + 12 FROM progress") or die 'traffic has stopped';
	return;
}

my @commands = (
	[ 'TRUNCATE', 'TRUNCATE account, ledger' ],
	[ 'TRUNCATE, rolled back', q{BEGIN; TRUNCATE account, ledger; INSERT INTO account VALUES (99, '2020-01-01', 1000); ROLLBACK} ],
	[ 'TRUNCATE, to a savepoint', q{BEGIN; SAVEPOINT s; TRUNCATE account; INSERT INTO account VALUES (99, '2020-01-01', 1000); ROLLBACK TO s; INSERT INTO account VALUES (1, '2020-01-01', 5); INSERT INTO ledger VALUES (5); COMMIT} ],
	[ 'TRUNCATE twice', q{BEGIN; TRUNCATE account, ledger; INSERT INTO account VALUES (99, '2020-01-01', 1000); TRUNCATE account; INSERT INTO account VALUES (1, '2020-01-01', 5); INSERT INTO ledger VALUES (5); COMMIT} ],
	[ 'TRUNCATE, prepared', q{BEGIN; TRUNCATE account, ledger; INSERT INTO account VALUES (1, '2020-01-01', 5); INSERT INTO ledger VALUES (5); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'} ],
	[ 'TRUNCATE, prepared and rolled back', q{BEGIN; TRUNCATE account, ledger; INSERT INTO account VALUES (99, '2020-01-01', 1000); PREPARE TRANSACTION 'p'; ROLLBACK PREPARED 'p'} ],
	[ 'ADD COLUMN', q{ALTER FOREIGN TABLE account ADD COLUMN extra int OPTIONS (rule 'sum'); INSERT INTO account (id, at, extra) VALUES (1, '2020-01-01', 7)} ],
	[ 'DROP COLUMN', 'ALTER FOREIGN TABLE account DROP COLUMN extra' ],
	[ 'ADD COLUMN, rolled back', q{BEGIN; ALTER FOREIGN TABLE account ADD COLUMN other int OPTIONS (rule 'sum'); ROLLBACK} ],
	[ 'DROP COLUMN, rolled back', q{BEGIN; ALTER FOREIGN TABLE account DROP COLUMN hits; INSERT INTO account VALUES (98, '2020-01-01', 'x'); ROLLBACK} ],
	[ 'RENAME', 'ALTER FOREIGN TABLE account RENAME TO renamed', 'ALTER FOREIGN TABLE renamed RENAME TO account' ],
	[ 'RENAME COLUMN', 'ALTER FOREIGN TABLE account RENAME hits TO blows', 'ALTER FOREIGN TABLE account RENAME blows TO hits' ],
	[ 'SET SCHEMA', 'ALTER FOREIGN TABLE account SET SCHEMA elsewhere', 'ALTER FOREIGN TABLE elsewhere.account SET SCHEMA public' ],
	[ 'RENAME SCHEMA', 'ALTER SCHEMA public RENAME TO formerly', 'ALTER SCHEMA formerly RENAME TO public' ],
	[ 'REVOKE, GRANT', 'REVOKE INSERT ON account FROM app', 'REVOKE SELECT ON account FROM app', 'GRANT SELECT, INSERT ON account TO app' ],
	[ 'DROP, rolled back', 'BEGIN; DROP FOREIGN TABLE account; ROLLBACK' ],
	[ 'DROP and CREATE, rolled back', "BEGIN; DROP FOREIGN TABLE account; $make INSERT INTO account VALUES (99, '2020-01-01', 1000); ROLLBACK" ],
	[ 'DROP and CREATE at once', "BEGIN; DROP FOREIGN TABLE account; TRUNCATE ledger; $make INSERT INTO account VALUES (1, '2020-01-01', 5); INSERT INTO ledger VALUES (5); COMMIT" ],
	[ 'DROP', 'BEGIN; DROP FOREIGN TABLE account; TRUNCATE ledger; COMMIT', $make ],
	[ 'DROP EXTENSION, rolled back', 'BEGIN; DROP EXTENSION contime CASCADE; ROLLBACK' ],
	[ 'DROP and CREATE EXTENSION, rolled back', "BEGIN; DROP EXTENSION contime CASCADE; CREATE EXTENSION contime; $make INSERT INTO account VALUES (99, '2020-01-01', 1000); ROLLBACK" ],
	[ 'DROP and CREATE EXTENSION', "BEGIN; DROP EXTENSION contime CASCADE; TRUNCATE ledger; CREATE EXTENSION contime; $make COMMIT" ]);

for my $round (1 .. $rounds)
{
	for my $command (@commands)
	{
		my ($name, @steps) = @$command;
		my $failed = '';

		for my $sql (@steps)
		{
			my ($code, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 1);
			# A command that locks in another order than the clients may be the victim of a deadlock; it is retried.
			($code, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 1) while $err =~ /deadlock detected/;
			$failed .= $err if $code != 0;
			go_on();
		}
		is($failed, '', "round $round: $name");
	}
}

# A transaction that creates, fills and reads its own table, and rolls back, leaves nothing.
for my $i (1 .. 20)
{
	my $got = $node->safe_psql('postgres', q{
		BEGIN;
		CREATE FOREIGN TABLE mine (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v bigint OPTIONS (rule 'sum')) SERVER contime;
		INSERT INTO mine SELECT i % 10, timestamptz '2020-01-01' + i * interval '1 second', 1 FROM generate_series(1, 1000) i;
		SAVEPOINT s;
		INSERT INTO mine SELECT i % 10, '2020-01-02', 1000 FROM generate_series(1, 10) i;
		ROLLBACK TO s;
		SELECT sum(v), count(*) FROM mine WHERE at = 'infinity';
		TRUNCATE mine;
		INSERT INTO mine VALUES (1, '2020-01-01', 1);
		SELECT sum(v), count(*) FROM mine WHERE at = 'infinity';
		ROLLBACK});
	is($got, "1000|10\n1|1", "states of a table created in the same transaction, $i") if $i == 1 || $got ne "1000|10\n1|1";
}

$node->safe_psql('postgres', 'DROP TABLE stop');
$_->query_until(qr/ended/, '') for @clients;
$_->quit for @clients;
is($node->safe_psql('postgres', 'SELECT sum(wrong), string_agg(unexpected, $$ $$) FROM result'), '0|', 'every answer was right');
is($node->safe_psql('postgres', 'SELECT count(*) = 3 AND bool_and(rounds > 50), bool_or(missed > 0) FROM result'), 't|t', 'each session made many rounds');
note($node->safe_psql('postgres', 'SELECT rounds, missed FROM result'));
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'all events enter');
is($node->safe_psql('postgres', q{SELECT (SELECT coalesce(sum(hits), 0) FROM account WHERE at = 'infinity') - (SELECT coalesce(sum(n), 0) FROM ledger)}), '0', 'the table has the same total as the ordinary one');
$node->safe_psql('postgres', 'DROP FOREIGN TABLE account');
until_true($node, q{SELECT sum(memory_bytes) < 1024 * 1024 FROM contime.workers}, 'all memory is freed');
$node->stop('fast');

done_testing();
