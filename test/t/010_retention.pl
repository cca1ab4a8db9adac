# Retention while sessions read and write: an answer is right or an error, even if the retained instant moves meanwhile; events
# that were in time when written are kept; ALTER takes effect when its transaction commits, also after PREPARE.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('retention', 'max_prepared_transactions' => 2);
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE game (unit int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true'),
	score bigint OPTIONS (rule 'sum', initial '0')) SERVER contime OPTIONS (retain '100')});
my $from = q{(SELECT retained_tick FROM contime.tables WHERE "table" = 'game'::regclass)};

sub until_from { return until_true($node, "SELECT $from = $_[0]", "retained from $_[0] on") }
sub score { return "SELECT score FROM game WHERE unit = 1 AND tick = $_[0]" }

# An old PostgreSQL snapshot: the states it sees stay right, but it can read back no further than others.
$node->safe_psql('postgres', q{INSERT INTO game SELECT unit, i, 1 FROM generate_series(1, 1000) unit, generate_series(1, 20) i});
my $old = $node->background_psql('postgres', on_error_stop => 0);
$old->set_query_timer_restart();
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($old->query_safe(score(10)), '10', 'an old PostgreSQL snapshot reads a state');
$node->safe_psql('postgres', q{INSERT INTO game SELECT unit, i, 1000 FROM generate_series(1, 1000) unit, generate_series(1, 200) i});
until_from(100);
is($old->query_safe(score(150)), '20', 'its state is unchanged: events that it does not see are not folded');
is($node->safe_psql('postgres', score(150)), '150020', 'other sessions see all events');
$old->query(score(10));
like($old->{stderr}, qr/instant 10 is older than what continuous table "game" retains/, 'it cannot read an instant that is older than what is retained');
$old->{stderr} = '';
$old->query('ROLLBACK');
until_true($node, q{SELECT folded >= 50000 FROM contime.tables WHERE "table" = 'game'::regclass}, 'the events are folded when the old snapshot is gone');
is($node->safe_psql('postgres', score(150)), '150020', 'the state is unchanged');

# A scan of an instant that was retained when it began returns right rows, or fails.
$old->query_safe('BEGIN; DECLARE c CURSOR FOR SELECT count(*) OVER (ROWS CURRENT ROW), score FROM game WHERE tick = 120');
is($old->query_safe('FETCH 1 FROM c'), '1|120020', 'a scan begins');
$node->safe_psql('postgres', q{INSERT INTO game VALUES (1, 400, 1)});
until_from(300);
$old->query('FETCH ALL FROM c');
like($old->{stderr}, qr/instant 120 is older/, 'it fails when its instant is no longer retained');
$old->{stderr} = '';
$old->query('ROLLBACK');

# An event that a transaction wrote in time is kept, and counts where it should.
my $writer = $node->background_psql('postgres', on_error_stop => 0);
$writer->set_query_timer_restart();
$writer->query_safe(q{BEGIN; INSERT INTO game VALUES (1, 310, 7000000)});
$node->safe_psql('postgres', q{INSERT INTO game VALUES (1, 1000, 1)});
until_from(900);
is($writer->query_safe(score(950)), '7200021', 'a writer sees its own event at an instant that is no longer retained for others');
is($node->safe_psql('postgres', score(950)), '200021', 'other sessions do not see it before the commit');
$writer->query_safe('COMMIT');
is($node->safe_psql('postgres', score(950)), '7200021', 'after the commit they do');
until_true($node, q{SELECT recent = 0 AND young = 0 FROM contime.tables WHERE "table" = 'game'::regclass}, 'the event enters');
is($node->safe_psql('postgres', score(950)), '7200021', 'the state contains it');
is((sqlstate($node, score(899)))[0], '22003', 'an older instant is still refused');
is((sqlstate($node, 'INSERT INTO game VALUES (1, 899, 1)'))[0], '22003', 'writing there is refused, too');

# A reader follows a writer, and reads at the earliest retained instant.
$node->safe_psql('postgres', q{TRUNCATE game; INSERT INTO game SELECT 1, i, 1 FROM generate_series(1, 1000) i});
until_from(900);
$writer->query_until(qr/started/, q{\echo started
DO $$ BEGIN FOR i IN 1001 .. 6000 LOOP INSERT INTO game VALUES (1, i, 1); COMMIT; IF i % 10 = 0 THEN PERFORM pg_sleep(0.005); END IF; END LOOP; END $$;
});
my $counts = $node->safe_psql('postgres', q{
	CREATE FUNCTION watch() RETURNS TABLE (answered int, refused int, wrong int, moved boolean) LANGUAGE plpgsql VOLATILE AS $$
	DECLARE
		edge  bigint := (SELECT retained_tick FROM contime.tables WHERE "table" = 'game'::regclass);
		first bigint := edge;
		t     bigint;
		got   bigint;
	BEGIN
		answered := 0; refused := 0; wrong := 0;
		WHILE refused < 100 OR edge < first + 2000 LOOP
			edge := (SELECT retained_tick FROM contime.tables WHERE "table" = 'game'::regclass);
			t := edge - 2 + (random() * 20)::int;
			BEGIN
				got := (SELECT score FROM game WHERE unit = 1 AND tick = t);
				answered := answered + 1;
				IF got IS DISTINCT FROM t THEN wrong := wrong + 1; END IF;
			EXCEPTION WHEN numeric_value_out_of_range THEN
				refused := refused + 1;
			END;
		END LOOP;
		moved := edge > first;
		RETURN NEXT;
	END $$;
	SELECT answered > 100, refused >= 100, wrong, moved FROM watch()});
is($counts, 't|t|0|t', 'every answer at the earliest retained instant is right or refused');
$writer->quit;

# ALTER in a prepared transaction takes effect at COMMIT PREPARED, even if no session uses the table afterwards.
$node->safe_psql('postgres', q{TRUNCATE game; INSERT INTO game SELECT 1, i, 1 FROM generate_series(1, 1000) i});
until_from(900);
$node->safe_psql('postgres', q{BEGIN; ALTER FOREIGN TABLE game OPTIONS (SET retain '10'); INSERT INTO game VALUES (1, 1001, 1); PREPARE TRANSACTION 'p'});
is($node->safe_psql('postgres', "SELECT $from"), '900', 'a prepared ALTER has no effect yet');
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
until_from(991);
$node->safe_psql('postgres', q{BEGIN; ALTER FOREIGN TABLE game OPTIONS (SET retain '1'); INSERT INTO game VALUES (1, 1002, 1); PREPARE TRANSACTION 'p'});
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'p'});
my $ended = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
until_true($node, qq{SELECT min(last_pass) > timestamptz '$ended' + interval '1.5 s' FROM contime.workers}, 'every worker has made a pass since');
is($node->safe_psql('postgres', "SELECT $from"), '991', 'an ALTER that was rolled back has no effect');
$node->safe_psql('postgres', q{INSERT INTO game VALUES (1, 1003, 1)});
until_from(993);
is($node->safe_psql('postgres', score(1003)), '1002', 'each event counts once');

# New workers continue with retention.
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM contime.workers');
$node->safe_psql('postgres', q{INSERT INTO game SELECT 1, i, 1 FROM generate_series(1004, 3000) i});
until_from(2990);
is($node->safe_psql('postgres', score(3000)), '2999', 'the state is right after the workers were replaced');
$old->quit;
$node->stop('fast');

done_testing();
