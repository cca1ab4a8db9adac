# Agents and loaders run code of table owners: code that fails, is slow or never ends affects only its own table. Agents and loaders
# disconnect for a command that needs the database to itself, but not for a command that is refused.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use Contime;

my $node = contime_node('guests');

$node->safe_psql('postgres', q{
	CREATE ROLE evil LOGIN; CREATE ROLE maker LOGIN CREATEDB; GRANT USAGE ON FOREIGN SERVER contime TO evil;
	CREATE SCHEMA den AUTHORIZATION evil;
	CREATE TABLE den.mood (state text); ALTER TABLE den.mood OWNER TO evil; INSERT INTO den.mood VALUES ('good')});
$node->safe_psql('postgres', q{
	CREATE FUNCTION den.checked(x int) RETURNS boolean LANGUAGE plpgsql AS $$
	DECLARE mood text;
	BEGIN
	  SELECT state INTO mood FROM den.mood;
	  IF current_setting('application_name') <> '' OR mood = 'good' THEN RETURN true; END IF;
	  IF mood = 'bad' THEN RAISE 'in a bad mood'; END IF;
	  IF mood = 'slow' THEN PERFORM pg_sleep(3600); END IF;
	  LOOP
	    BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN END;
	  END LOOP;
	END $$;
	CREATE DOMAIN den.mean AS int CHECK (den.checked(VALUE));
	CREATE FUNCTION den.kept(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM den.checked(x); RETURN x; END $$},
	extra_params => ['-U', 'evil']);

# A table of this owner, with keys in its notices; its code behaves as den.mood says when its definition is read.
sub mean_table
{
	my ($name) = @_;
	$node->safe_psql('postgres', qq{CREATE FOREIGN TABLE den.$name (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
		v den.mean OPTIONS (rule 'sum', initial '3')) SERVER contime OPTIONS (notify 'key');
		INSERT INTO den.$name VALUES (1, '2026-01-02', 1)}, extra_params => ['-U', 'evil']);
}
sub mood { my ($mood) = @_; $node->safe_psql('postgres', "UPDATE den.mood SET state = '$mood'") }
sub late { my ($table) = @_; $node->safe_psql('postgres', "INSERT INTO $table VALUES (1, '2026-01-01', 1)") }
sub pid_of { my ($type) = @_; return $node->safe_psql('postgres', "SELECT coalesce(min(pid), 0) FROM pg_stat_activity WHERE backend_type = 'contime $type' AND datname = 'postgres'") }

my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN contime');
my @heard;

# Wait for a notice of a table, and return its decoded JSON.
sub hear
{
	my ($table, $what) = @_;
	for (1 .. 1200)
	{
		my $out = $listener->query_safe('SELECT 1');
		push @heard, map { decode_json($_) } $out =~ /Asynchronous notification "contime" with payload "(\{.*\})"/g;
		my ($hit) = grep { $_->{table} eq $table } @heard;
		@heard = grep { $_ != ($hit // 0) } @heard;
		if ($hit) { pass($what); return $hit }
		select undef, undef, undef, 0.05;
	}
	fail($what);
	diag(explain(\@heard));
	return {};
}

$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2026-01-02', 1)});
mean_table('good');
until_true($node, 'SELECT coalesce(sum(recent), 0) = 0 FROM contime.tables', 'entered');
late('den.good');
is(hear('den.good', 'a notice')->{key}{id}, 1, 'the notice has its key');
my $agent = pid_of('agent');

# Code that raises an error.
my $offset = -s $node->logfile;
mood('bad');
mean_table('failing');
until_true($node, 'SELECT coalesce(sum(recent), 0) = 0 FROM contime.tables', 'entered');
late('den.failing');
late('account');
is(hear('den.failing', 'a notice of a table whose code raises')->{key}, undef, 'the notice is sent without its key');
hear('public.account', 'and of another one');
$node->safe_psql('postgres', q{INSERT INTO den.failing VALUES (1, '2025-06-01', 1)});
hear('den.failing', 'the next one');
is(pid_of('agent'), $agent, 'the same agent still runs');
is(() = slurp_file($node->logfile, $offset) =~ /notices with keys of continuous table "failing" cannot be sent: in a bad mood/g, 1, 'the error is logged once');

# Code that is slow: other tables' notices are delayed by no more than the time limit, and the agent continues.
mood('slow');
mean_table('slow');
until_true($node, 'SELECT coalesce(sum(recent), 0) = 0 FROM contime.tables', 'entered');
late('den.slow');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2025-01-01', 1)});
hear('public.account', 'a notice beside one whose code sleeps');
is(hear('den.slow', 'which comes')->{key}, undef, 'the notice is sent without its key');
is(pid_of('agent'), $agent, 'the same agent still runs');
logged($node, qr/user-made code of continuous table "slow" took too long/, $offset, 'the log says that the code took too long');
$node->safe_psql('postgres', q{INSERT INTO den.slow VALUES (1, '2024-01-01', 1)});
is(hear('den.slow', 'the next one')->{key}, undef, 'the code is not run again for the next notice');

# Code that cannot be cancelled: the agent exits, and the next agent does not run the code.
mood('stubborn');
mean_table('stubborn');
until_true($node, 'SELECT coalesce(sum(recent), 0) = 0 FROM contime.tables', 'entered');
$offset = -s $node->logfile;
late('den.stubborn');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2024-01-01', 1)});
hear('public.account', 'a notice beside one whose code cannot be cancelled');
is(hear('den.stubborn', 'which comes')->{key}, undef, 'the notice is sent without its key');
logged($node, qr/user-made code of continuous table "?\w+"? took too long/, $offset, 'the log says that the code took too long');

# The same for the loader.
$node->safe_psql('postgres', q{CREATE TABLE den.e (id int, at timestamptz, v int); CREATE INDEX ON den.e (id, at);
	CREATE FOREIGN TABLE den.durable (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum', source 'den.kept(v) + den.kept(0)')) SERVER contime OPTIONS (events 'e');
	INSERT INTO den.e VALUES (1, '2026-01-01', 1)}, extra_params => ['-U', 'evil']);
$node->safe_psql('postgres', q{CREATE TABLE e (id int, at timestamptz, v int);
	CREATE FOREIGN TABLE durable (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'e');
	INSERT INTO e VALUES (1, '2026-01-01', 1)});
is($node->safe_psql('postgres', 'SELECT v FROM den.durable WHERE id = 1'), 1, 'the durable table is read from its event table');
until_cached($node, 'durable');
pass('another durable table is cached');
until_true($node, q{SELECT count(*) > 0 FROM contime.tables WHERE "table" = 'den.durable'::regclass AND cache = 'refused'}, 'a table whose code never ends is refused');
is($node->safe_psql('postgres', 'SELECT v FROM den.durable WHERE id = 1'), 1, 'and still read from its event table');

# A slow source that calls only core's functions is stopped, too.
$node->safe_psql('postgres', q{CREATE TABLE long (id int, at timestamptz, v int); INSERT INTO long SELECT i, '2026-01-01', i FROM generate_series(1, 5000) i; CREATE INDEX ON long (id, at);
	CREATE FOREIGN TABLE lengthy (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (source 'length(repeat(v::text, 20000000))')) SERVER contime OPTIONS (events 'long');
	SELECT v FROM lengthy WHERE id = 1});
until_true($node, q{SELECT count(*) > 0 FROM contime.tables WHERE "table" = 'lengthy'::regclass AND cache = 'refused'}, 'a table whose expressions are slow is refused');

# Agents do not disconnect for commands that core refuses.
$node->safe_psql('postgres', q{INSERT INTO account VALUES (2, '2026-01-01', 1)});
until_true($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'contime agent' AND datname = 'postgres'}, 'an agent');
$agent = pid_of('agent');
my @refused = ('CREATE DATABASE x TEMPLATE postgres', 'CREATE DATABASE x TEMPLATE 5', 'CREATE DATABASE x TEMPLATE 1.5', 'CREATE DATABASE x TEMPLATE = 5 ENCODING 7',
	'CREATE DATABASE postgres', 'CREATE DATABASE x TEMPLATE nosuch', 'ALTER DATABASE postgres RENAME TO y', 'DROP DATABASE postgres', 'ALTER DATABASE postgres SET TABLESPACE pg_global');
$node->psql('postgres', join(";\n", (@refused) x 100), on_error_stop => 0, extra_params => ['-U', 'maker', '-d', 'template1']);
is(pid_of('agent'), $agent, 'the same agent runs after refused commands');
is($node->safe_psql('postgres', 'SELECT count(*) FROM account'), 2, 'the server did not restart');

# Agents disconnect for commands that can be executed.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', "CREATE EXTENSION contime; $account; INSERT INTO account VALUES (1, now(), 1)");
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'contime agent' AND datname = 'other'}) or die;
is(($node->psql('postgres', 'CREATE DATABASE third TEMPLATE other'))[0], 0, 'CREATE DATABASE ... TEMPLATE');
is(($node->psql('postgres', 'ALTER DATABASE other RENAME TO fourth'))[0], 0, 'RENAME');
is(($node->psql('postgres', 'DROP DATABASE fourth'))[0], 0, 'DROP DATABASE');
$listener->quit;
$node->stop('fast');

done_testing();
