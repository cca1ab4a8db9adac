# Attacks by a role that may log in, create in its own schema, and use the server contime: on privileges, on the server, and on other roles.
#
# attack.probe() is code of the attacker that writes to the server log which role it runs as. It is called by an SQL function that is
# declared immutable, and is reached by the check of a domain, a cast, an operator, or a function of a source. In whatever process
# contime runs that code, it must run as the owner of the continuous table and as no other role. Code that core evaluates for a
# statement is not tested here: the statements of other roles contain no value of the attacker's types.
#
# Each attack is a subtest of its own, so that a failed run shows which ones succeed.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes;
use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../fuzz";
use Contime;
use Wire;

my $node = contime_node('attacks', 'max_connections' => 30, 'restart_after_crash' => 'on', 'wal_level' => 'logical', 'max_wal_senders' => 4, 'max_prepared_transactions' => 2,
	'max_worker_processes' => 16, 'log_autovacuum_min_duration' => '0', 'autovacuum_naptime' => '1s',
	'log_line_prefix' => '%b: ',
	$ENV{CT_ASSERTIONS} ? (install_path => $ENV{CT_ASSERTIONS}) : ());
my $only = $ENV{CT_ONLY};
my $me = $node->safe_psql('postgres', 'SELECT current_user');

# ---- helpers -------------------------------------------------------------------------

sub attack
{
	my ($name, $code) = @_;
	return if $only && $name !~ /$only/;
	my $offset = -s $node->logfile;
	subtest $name => sub {
		eval { $code->($offset); 1 } or fail("died: $@");
		ok($node->poll_query_until('postgres', 'SELECT true'), 'the server answers');
		my $log = since($offset);
		my @lines = map { substr $_, 0, 300 } split /\n/, $log;
		is(join('; ', grep { /TRAP: |was terminated by signal|PANIC: / } @lines), '', 'nothing crashed');
		is(join('; ', grep { /XX000: / } @lines), '', 'nothing raised XX000');
	};
	return;
}

sub since { my ($offset) = @_; return slurp_file($node->logfile, $offset) }

# Return the roles that the attacker's code ran as since then.
sub ran_as
{
	my ($offset) = @_;
	my %users = map { $_ => 1 } since($offset) =~ /LOG: +(?:00000: )?ATTACK runs as (\w+)/g;
	return join ' ', sort keys %users;
}

# Run SQL as a role; errors are not fatal. Return its output and its errors.
sub as
{
	my ($role, $sql, $database) = @_;
	my (undef, $out, $err) = $node->psql($database // 'postgres', $sql, extra_params => [ '-U', $role ], on_error_stop => 0, timeout => 60);
	return ($out // '', $err // '');
}

# True if a query returns true within so many seconds. (An attack that succeeds must not take three minutes to do so.)
sub soon
{
	my ($query, $seconds) = @_;
	for (1 .. ($seconds // 15) * 20)
	{
		return 1 if (eval { $node->safe_psql('postgres', $query) } // '') eq 't';
		Time::HiRes::usleep(50_000);
	}
	return 0;
}

# The same in a new session, without a psql process: return the result of one string of statements, see Wire.pm.
sub ask
{
	my ($role, $sql, $database) = @_;
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	my $session = Wire->new('attack', $role, $database // 'postgres') // return { gone => 1 };
	$session->send($sql);
	my $answer = $session->receive(60);
	$session->close;
	# After a crash wait for the recovery, so that the next attack finds a server.
	$node->poll_query_until('postgres', 'SELECT true') if $answer->{gone};
	return $answer;
}
# A session that listens; and whether it receives a matching notice within so many seconds.
sub listener
{
	local @ENV{qw(PGHOST PGPORT)} = ($node->host, $node->port);
	my $session = Wire->new('listener', $me, 'postgres') // die 'no listener';
	$session->send('LISTEN contime');
	$session->receive(30);
	return $session;
}
sub hears
{
	my ($session, $pattern, $seconds) = @_;
	for (1 .. $seconds * 50)
	{
		$session->send('SELECT 1');
		return 0 if $session->receive(30)->{gone};
		return 1 if $session->{heard} =~ $pattern;
		Time::HiRes::usleep(20_000);
	}
	return 0;
}
sub state_of
{
	my $answer = ask(@_);
	return $answer->{state} // ($answer->{gone} ? 'crash' : $answer->{late} ? 'late' : 'ok');
}

$node->safe_psql('postgres', q{
	ALTER SYSTEM SET log_error_verbosity = verbose; SELECT pg_reload_conf();
	CREATE ROLE evil LOGIN; CREATE ROLE good LOGIN; CREATE SCHEMA attack AUTHORIZATION evil; CREATE SCHEMA good AUTHORIZATION good;
	GRANT USAGE ON FOREIGN SERVER contime TO evil, good; GRANT CREATE ON DATABASE postgres TO evil});

my $arms = q{
	SET check_function_bodies = off; SET search_path = attack;
	CREATE FUNCTION attack.probe() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$BEGIN RAISE LOG 'ATTACK runs as %', current_user;
		BEGIN EXECUTE 'ALTER ROLE evil SUPERUSER'; EXCEPTION WHEN others THEN NULL; END; RETURN true; END$$;
	CREATE FUNCTION attack.isok(anyelement) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT attack.probe()';
	CREATE FUNCTION attack.same(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT CASE WHEN attack.probe() THEN $1 END';
	CREATE DOMAIN attack.dint AS int CHECK (attack.isok(VALUE)); CREATE DOMAIN attack.dtext AS text CHECK (attack.isok(VALUE));
	CREATE DOMAIN attack.dnum AS numeric(12,2) CHECK (attack.isok(VALUE)); CREATE DOMAIN attack.ddate AS date CHECK (attack.isok(VALUE));
	CREATE DOMAIN attack.dstamp AS timestamptz CHECK (attack.isok(VALUE)); CREATE DOMAIN attack.dspan AS interval CHECK (attack.isok(VALUE));
	CREATE DOMAIN attack.dfloat AS float8 CHECK (attack.isok(VALUE)); CREATE DOMAIN attack.djson AS jsonb CHECK (attack.probe());
	CREATE DOMAIN attack.ddint AS attack.dint;
	CREATE TYPE attack.pair AS (a attack.dint, b text); CREATE DOMAIN attack.dpair AS attack.pair CHECK (attack.probe());
	CREATE DOMAIN attack.darray AS attack.dint[] CHECK (attack.probe()); CREATE TYPE attack.span AS RANGE (SUBTYPE = attack.dint);
	CREATE TYPE attack.color AS ENUM ('red', 'green'); CREATE DOMAIN attack.dcolor AS attack.color CHECK (attack.probe());
	CREATE FUNCTION attack.color_of(text) RETURNS attack.color LANGUAGE sql IMMUTABLE AS $$SELECT CASE WHEN attack.probe() THEN attack.color 'red' END$$;
	CREATE FUNCTION attack.color_of(int) RETURNS attack.color LANGUAGE sql IMMUTABLE AS $$SELECT CASE WHEN attack.probe() THEN attack.color 'red' END$$;
	CREATE CAST (text AS attack.color) WITH FUNCTION attack.color_of(text) AS IMPLICIT;
	CREATE CAST (int AS attack.color) WITH FUNCTION attack.color_of(int) AS IMPLICIT;
	CREATE FUNCTION attack.plus(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT CASE WHEN attack.probe() THEN $1 + $2 END';
	CREATE OPERATOR attack.+ (LEFTARG = int, RIGHTARG = int, FUNCTION = attack.plus);
	GRANT USAGE ON SCHEMA attack TO PUBLIC};
as('evil', $arms);

# The probe must work: run by the superuser, it reports so.
attack 'the probe' => sub {
	my ($offset) = @_;
	as($me, 'SELECT attack.isok(1)');
	is(ran_as($offset), $me, 'the probe reports the superuser');
	is($node->safe_psql('postgres', q{SELECT rolsuper FROM pg_roles WHERE rolname = 'evil'}), 't', 'it would have made a superuser');
	$node->safe_psql('postgres', 'ALTER ROLE evil NOSUPERUSER');
};

# After code that reaches the probe: it ran as the owner only (and at all, if it must have), and no role has become a superuser.
sub only_as_owner
{
	my ($offset, $what, $must) = @_;
	my $ran = ran_as($offset);
	my $ok = $must ? $ran eq 'evil' : $ran eq '' || $ran eq 'evil';
	ok($ok, $what) or diag("ran as: $ran");
	is($node->safe_psql('postgres', q{SELECT rolsuper FROM pg_roles WHERE rolname = 'evil'}), 'f', "$what: no superuser") or $node->safe_psql('postgres', 'ALTER ROLE evil NOSUPERUSER');
	return;
}

# ---- 1.1: code of one role must not run as another -------------------------------------------------------------

# Definitions of the column v that call the probe, each also over an event table whose column v is of an ordinary type.
my %ways = (
	'domain over int' => [ "attack.dint OPTIONS (initial '3')", "attack.dint OPTIONS (initial '3')", 'int' ],
	'domain over text' => [ "attack.dtext OPTIONS (initial 'x')", 'attack.dtext', 'text' ],
	'domain over numeric, with bounds' => [ "attack.dnum OPTIONS (rule 'sum', initial '3', lower '0', upper '100')", "attack.dnum OPTIONS (rule 'sum', lower '0')", 'numeric' ],
	'domain over date' => [ "attack.ddate OPTIONS (rule 'max', initial '2026-01-01')", "attack.ddate OPTIONS (rule 'max')", 'date' ],
	'domain over timestamptz' => [ "attack.dstamp OPTIONS (rule 'min', initial '2026-01-01 00:00+00')", 'attack.dstamp', 'timestamptz' ],
	'domain over interval' => [ "attack.dspan OPTIONS (rule 'sum', initial '1 day')", "attack.dspan OPTIONS (rule 'sum')", 'interval' ],
	'domain over float8' => [ "attack.dfloat OPTIONS (rule 'sum', scale '2', upper '5')", "attack.dfloat OPTIONS (scale '2', interpolate 'linear', initial '0')", 'float8' ],
	'domain over jsonb' => [ "attack.djson OPTIONS (initial '{}')", 'attack.djson', 'jsonb' ],
	'domain over a domain' => [ "attack.ddint OPTIONS (rule 'sum', upper '9')", 'attack.ddint', 'int' ],
	'array of a domain' => [ "attack.dint[] OPTIONS (initial '{1,2}')", "attack.dint[] OPTIONS (initial '{1}')", 'int[]' ],
	'domain over an array' => [ "attack.darray OPTIONS (initial '{1}')", 'attack.darray', 'int[]' ],
	'composite of a domain' => [ "attack.pair OPTIONS (initial '(1,x)')", "attack.pair OPTIONS (source 'ROW(v, NULL)::attack.pair')", 'int' ],
	'domain over a composite' => [ "attack.dpair OPTIONS (initial '(1,x)')", "attack.dpair OPTIONS (source 'ROW(v, NULL)::attack.dpair')", 'int' ],
	'range over a domain' => [ "attack.span OPTIONS (initial '[1,5)')", "attack.span OPTIONS (source 'attack.span(v, v + 1)')", 'int' ],
	'multirange over a domain' => [ "attack.span_multirange OPTIONS (initial '{[1,5)}')", "attack.span_multirange OPTIONS (source '''{[1,2)}''::attack.span_multirange')", 'int' ],
	'domain over an enum' => [ "attack.dcolor OPTIONS (initial 'red')", 'attack.dcolor', 'attack.color' ],
	'cast by a function' => [ "attack.color OPTIONS (initial 'red')", 'attack.color', 'int' ],
	'function in a source' => [ 'int', "int OPTIONS (source 'attack.same(v)')", 'int' ],
	'operator in a source' => [ 'int', "int OPTIONS (source 'v OPERATOR(attack.+) 1')", 'int' ],
	'array literal in a source' => [ 'int', "int OPTIONS (source '(''{1,2}''::attack.dint[])[1] + v')", 'int' ],
	'composite literal in a source' => [ 'int', "int OPTIONS (source '(''(1,x)''::attack.pair).a + v')", 'int' ],
	'domain literal in a source' => [ 'int', "int OPTIONS (source '''13''::attack.dint + v')", 'int' ],
	'range literal in a source' => [ 'int', "int OPTIONS (source 'lower(''[1,5)''::attack.span) + v')", 'int' ],
	'cast literal in a source' => [ 'attack.color', "attack.color OPTIONS (source '''x''::text::attack.color')", 'int' ],
);
my %value = (int => '5', text => "'x'", numeric => '5', date => "'2026-01-01'", timestamptz => "'2026-01-01'", interval => "'1 hour'", float8 => '1.5', jsonb => "'{}'", 'int[]' => "'{1}'", 'attack.color' => "'red'");

# Statements of a superuser on a table of the attacker's. (Each in a session of its own, which has no definition cached.)
my @looks = ('SELECT * FROM attack.t', q{SELECT * FROM attack.t WHERE at = '2026-01-05'}, q{SELECT id FROM attack.t WHERE id = 1 AND at = '2026-01-05'}, 'EXPLAIN SELECT * FROM attack.t', 'EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM attack.t', 'ANALYZE attack.t',
	q{SELECT * FROM contime.at(NULL::attack.t, '2026-01-05')}, q{SELECT * FROM contime.at(NULL::attack.t, '2026-01-05', 1)}, q{SELECT * FROM contime.history(NULL::attack.t, 1, '2026-01-01', '2026-02-01')}, q{SELECT * FROM contime.events(NULL::attack.t, 1, '2026-01-01', '2026-02-01')},
	q{SELECT * FROM contime.series(NULL::attack.t, 1, '2026-01-01', '2026-01-03', '1 day')}, q{SELECT contime.since(NULL::attack.t, 1, '2026-01-05')}, 'SELECT * FROM contime.reconciliations(NULL::attack.t)', 'SELECT * FROM contime.tables',
	q{SELECT * FROM contime.verify('attack.t')}, q{COMMENT ON FOREIGN TABLE attack.t IS 'x'}, 'COPY (SELECT * FROM attack.t) TO STDOUT', 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM attack.t; FETCH ALL FROM c; COMMIT',
	q{PREPARE p AS SELECT * FROM attack.t WHERE at = '2026-01-05'; EXECUTE p}, 'BEGIN; SAVEPOINT a; SELECT * FROM attack.t; ROLLBACK', 'GRANT SELECT ON attack.t TO good');
my @changes = ('ALTER FOREIGN TABLE attack.t ADD COLUMN more int', 'ALTER FOREIGN TABLE attack.t RENAME COLUMN more TO less', 'ALTER FOREIGN TABLE attack.t DROP COLUMN less', q{ALTER FOREIGN TABLE attack.t OPTIONS (ADD notify 'key')}, q{ALTER FOREIGN TABLE attack.t OPTIONS (SET notify 'off')}, 'ALTER FOREIGN TABLE attack.t ALTER COLUMN w SET STATISTICS 5',
	'ALTER FOREIGN TABLE attack.t RENAME TO t2', 'ALTER FOREIGN TABLE attack.t2 RENAME TO t', 'CREATE SCHEMA other; ALTER FOREIGN TABLE attack.t SET SCHEMA other; ALTER FOREIGN TABLE other.t SET SCHEMA attack; DROP SCHEMA other', 'ALTER SCHEMA attack RENAME TO attacks; ALTER SCHEMA attacks RENAME TO attack',
	'ALTER FOREIGN TABLE attack.t ALTER COLUMN w OPTIONS (ADD initial \'1\')', 'ALTER FOREIGN TABLE attack.t ALTER COLUMN w OPTIONS (DROP initial)');
my @event_changes = ('ALTER TABLE attack.e RENAME TO e2', 'ALTER TABLE attack.e2 RENAME TO e', 'ALTER TABLE attack.e RENAME COLUMN w TO w2', 'ALTER TABLE attack.e RENAME COLUMN w2 TO w', 'ALTER TABLE attack.e ADD COLUMN z int', 'ALTER TABLE attack.e DROP COLUMN z', 'ALTER TABLE attack.e ALTER COLUMN w TYPE bigint',
	'CREATE INDEX i ON attack.e (w)', 'DROP INDEX attack.i', 'DROP INDEX attack.e_id_at_idx', 'ANALYZE attack.e', 'CLUSTER attack.e USING ei', 'VACUUM FULL attack.e', 'TRUNCATE attack.e', q{INSERT INTO attack.e SELECT 1, '2026-01-03', 1, NULL}, q{UPDATE attack.e SET w = 2}, q{DELETE FROM attack.e WHERE w = 2}, 'REINDEX TABLE attack.e', 'ALTER TABLE attack.e SET UNLOGGED', 'ALTER TABLE attack.e SET LOGGED');

sub make
{
	my ($way, $durable, $key) = @_;
	my ($memory, $over, $type) = @{ $ways{$way} };
	$key //= 'int';
	as($me, 'DROP FOREIGN TABLE IF EXISTS attack.t; DROP TABLE IF EXISTS attack.e CASCADE; ALTER ROLE evil NOSUPERUSER');
	return as('evil', $durable
		? "CREATE TABLE attack.e (id $key, at timestamptz, w int, v $type); INSERT INTO attack.e SELECT 1, '2026-01-01', 1, $value{$type} FROM generate_series(1, 3); CREATE INDEX ei ON attack.e (id, at);
			CREATE FOREIGN TABLE attack.t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), w int, v $over) SERVER contime OPTIONS (events 'e', notify 'key')"
		: "CREATE FOREIGN TABLE attack.t (id $key OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), w int, v $memory) SERVER contime; INSERT INTO attack.t (id, at, w) VALUES (1, '2026-01-01', 1), (1, '2026-01-05', 1)");
}

# (ALTER SCHEMA and other commands fail on a table that holds data: the test is about the role that the code runs as.)
for my $way (sort keys %ways)
{
	for my $durable (0, 1)
	{
		next if !$durable && $way =~ /in a source|by a function/;
		my $kind = $durable ? 'durable' : 'memory';
		attack "1.1 $way, $kind" => sub {
			my $before = -s $node->logfile;
			my (undef, $error) = make($way, $durable);
			is($error =~ /(ERROR.*)/ ? $1 : '', '', 'made') or return;
			only_as_owner($before, 'CREATE');
			my $offset = -s $node->logfile;
			for my $sql (@looks, $durable ? (@changes, @event_changes) : @changes)
			{
				my $at = -s $node->logfile;
				ask($me, $sql);
				my $ran = ran_as($at);
				ok($ran eq '' || $ran eq 'evil', $sql) or diag("ran as $ran");
				as($me, 'ALTER ROLE evil NOSUPERUSER') if $ran ne '' && $ran ne 'evil';
			}
			like(ran_as($offset) . ran_as($before), qr/evil/, 'the probe was called') if !$durable || $way !~ /array literal|cast literal|composite literal|range literal/;
		};
	}
}

# Keys and times of such types.
my %keys = (
	'key: domain over int' => [ 'attack.dint', '1' ], 'key: domain over text' => [ 'attack.dtext', "'x'" ], 'key: enum with a cast from text' => [ 'attack.color', "'red'" ], 'key: domain over an enum' => [ 'attack.dcolor', "'red'" ], 'key: domain over a domain' => [ 'attack.ddint', '1' ]);
for my $way (sort keys %keys)
{
	my ($type, $key) = @{ $keys{$way} };
	attack "1.1 $way" => sub {
		as($me, 'DROP FOREIGN TABLE IF EXISTS attack.t; DROP TABLE IF EXISTS attack.e CASCADE; ALTER ROLE evil NOSUPERUSER');
		my (undef, $error) = as('evil', "CREATE FOREIGN TABLE attack.t (id $type OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), w int, name attack.dtext OPTIONS (event_id 'true')) SERVER contime OPTIONS (notify 'key');
			INSERT INTO attack.t (id, at, w) VALUES ($key, '2026-01-01', 1), ($key, '2026-01-05', 1)");
		is($error =~ /(ERROR.*)/ ? $1 : '', '', 'made');
		my $offset = -s $node->logfile;
		# A literal without a type gets the key's type, and contime reads it; in an operator core does.
		ask($me, $_) for "SELECT * FROM contime.at(NULL::attack.t, '2026-01-05', $key)", "SELECT * FROM contime.at(NULL::attack.t, '2026-01-05', $key\::text)", "SELECT * FROM contime.history(NULL::attack.t, $key, '2026-01-01', '2026-02-01')", "SELECT contime.since(NULL::attack.t, $key, '2026-01-05')",
			"SELECT * FROM contime.events(NULL::attack.t, $key, '2026-01-01', '2026-02-01')", "SELECT * FROM contime.series(NULL::attack.t, $key, '2026-01-01', '2026-01-03', '1 day')", 'SELECT * FROM contime.reconciliations(NULL::attack.t)', 'SELECT * FROM attack.t', q{SELECT * FROM attack.t WHERE at = '2026-01-05'}, 'ANALYZE attack.t';
		only_as_owner($offset, 'reads by a superuser');
		my $at = -s $node->logfile;
		my (undef, undef) = as('evil', "INSERT INTO attack.t (id, at, w) VALUES ($key, '2026-01-02', 1)");
		Time::HiRes::sleep(0.5);
		only_as_owner($at, 'a late event, and its notice with the key');
	};
}

# Processes of the server.
attack '1.1 the agent, which announces a key' => sub {
	make('domain over int', 0);
	as('evil', q{ALTER FOREIGN TABLE attack.t OPTIONS (ADD notify 'key')});
	my $offset = -s $node->logfile;
	my $listener = listener();
	as('evil', q{INSERT INTO attack.t (id, at, w) VALUES (1, '2026-01-02', 2)});
	ok(hears($listener, qr/attack\.t.*"key"/, 10), 'announced, with its key');
	$listener->close;
	only_as_owner($offset, 'the agent');
};
for my $way ('domain over int', 'function in a source', 'array literal in a source', 'range over a domain', 'composite of a domain', 'cast by a function')
{
	attack "1.1 the loader: $way" => sub {
		make($way, 1);
		my $offset = -s $node->logfile;
		as('evil', 'SELECT count(*) FROM attack.t');
		ok(soon(q{SELECT coalesce(bool_or(cache = 'ready'), false) FROM contime.tables WHERE "table" = 'attack.t'::regclass}), 'loaded');
		only_as_owner($offset, 'the loader');
	};
}
attack '1.1 autovacuum' => sub {
	make('function in a source', 1);
	my $offset = -s $node->logfile;
	as('evil', q{CREATE INDEX ON attack.e (attack.same(v)); ALTER TABLE attack.e SET (autovacuum_analyze_threshold = 1, autovacuum_vacuum_threshold = 1); INSERT INTO attack.e SELECT i, '2026-01-01', 1, 1 FROM generate_series(1, 500) i; DELETE FROM attack.e WHERE id > 10});
	ok(soon(q{SELECT last_autoanalyze IS NOT NULL FROM pg_stat_all_tables WHERE relid = 'attack.e'::regclass}, 60), 'it ran');
	only_as_owner($offset, 'autovacuum');
};
attack '1.1 pg_dump and pg_restore by a superuser' => sub {
	for my $way (sort keys %ways)
	{
		for my $durable ($way =~ /in a source|by a function/ ? 1 : (0, 1))
		{
			make($way, $durable);
			my $file = $node->basedir . '/attack.dump';
			my $offset = -s $node->logfile;
			$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS restored');
			$node->safe_psql('postgres', 'CREATE DATABASE restored');
			IPC::Run::run([ 'pg_dump', '-Fc', '-f', $file, '--exclude-table-data=*', $node->connstr('postgres') ], '2>', \my $error);
			IPC::Run::run([ 'pg_restore', '-d', $node->connstr('restored'), $file ], '2>', \$error);
			as($me, 'SELECT count(*) FROM attack.t', 'restored');
			my $ran = ran_as($offset);
			ok($ran eq '' || $ran eq 'evil', "$way, durable $durable") or diag("ran as $ran");
			as($me, 'ALTER ROLE evil NOSUPERUSER');
		}
	}
};
attack '1.1 REASSIGN OWNED, by a superuser' => sub {
	make('domain over int', 0);
	my $offset = -s $node->logfile;
	as($me, 'CREATE ROLE heir; REASSIGN OWNED BY evil TO heir; ALTER SCHEMA attack OWNER TO heir');
	is(ran_as($offset), '', 'nothing runs when owners change');
	as($me, 'REASSIGN OWNED BY heir TO evil; DROP ROLE heir');
};
attack '1.1 an event trigger of the superuser that looks at new tables' => sub {
	as($me, q{CREATE FUNCTION looks() RETURNS event_trigger LANGUAGE plpgsql AS $$DECLARE r record; BEGIN FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
		IF r.object_type = 'foreign table' THEN BEGIN EXECUTE format('SELECT * FROM %s', r.object_identity); EXCEPTION WHEN others THEN NULL; END; END IF; END LOOP; END$$;
		CREATE EVENT TRIGGER looks ON ddl_command_end EXECUTE FUNCTION looks()});
	my $offset = -s $node->logfile;
	make('domain over int', 0);
	only_as_owner($offset, 'in an event trigger');
	as($me, 'DROP EVENT TRIGGER looks; DROP FUNCTION looks()');
};
attack '1.1 logical apply' => sub {
	make('function in a source', 1);
	as($me, q{ALTER TABLE attack.e REPLICA IDENTITY FULL; CREATE DATABASE publisher});
	as($me, q{CREATE SCHEMA attack; CREATE TABLE attack.e (id int, at timestamptz, w int, v int); CREATE PUBLICATION p FOR TABLE attack.e; SELECT pg_create_logical_replication_slot('s', 'pgoutput')}, 'publisher');
	as('evil', 'SELECT * FROM attack.t');
	my $offset = -s $node->logfile;
	my $connstr = $node->connstr('publisher') =~ s/'/''/gr;
	as($me, "CREATE SUBSCRIPTION s CONNECTION '$connstr' PUBLICATION p WITH (create_slot = false, slot_name = 's', copy_data = false)");
	as($me, q{INSERT INTO attack.e SELECT i, '2026-01-01', 1, i FROM generate_series(1, 50) i}, 'publisher');
	ok(soon('SELECT count(*) >= 50 FROM attack.e', 30), 'applied');
	only_as_owner($offset, 'the apply worker');
	as($me, 'DROP SUBSCRIPTION s');
	as($me, 'DROP DATABASE publisher');
};
attack '1.1 a view and a function of a superuser over the table' => sub {
	make('domain over int', 0);
	my $offset = -s $node->logfile;
	as($me, q{CREATE VIEW mine AS SELECT * FROM attack.t; SELECT * FROM mine; CREATE MATERIALIZED VIEW kept AS SELECT id, w FROM attack.t; REFRESH MATERIALIZED VIEW kept;
		CREATE FUNCTION definer() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM attack.t'; GRANT SELECT ON mine TO PUBLIC; GRANT EXECUTE ON FUNCTION definer() TO PUBLIC});
	as('good', 'SELECT * FROM mine; SELECT definer()');
	only_as_owner($offset, 'views and functions');
	as($me, 'DROP VIEW mine; DROP MATERIALIZED VIEW kept; DROP FUNCTION definer()');
};
attack '1.1 parallel workers, of code that may not run there' => sub {
	my $mode = $node->safe_psql('postgres', q{SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')});
	for my $way ('domain over int', 'domain over an array', 'composite of a domain')
	{
		make($way, 0);
		as('evil', q{INSERT INTO attack.t (id, at, w) SELECT i, '2026-01-01', i FROM generate_series(1, 3000) i; GRANT SELECT ON attack.t TO good});
		for my $role ('evil', 'good', $me)
		{
			my $offset = -s $node->logfile;
			for my $sql ('SELECT count(*), sum(w) FROM attack.t', q{SELECT count(*) FROM attack.t WHERE at = '2026-01-05'}, q{SELECT id, v FROM attack.t WHERE at = '2026-01-05'}, 'EXPLAIN (ANALYZE) SELECT sum(w) FROM attack.t GROUP BY id')
			{
				is(state_of($role, "SET $mode = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; $sql"), 'ok', "$way, $role: $sql");
			}
			only_as_owner($offset, "$way, $role");
		}
	}
};
attack '1.1 another role, without privileges, is not the one either' => sub {
	make('domain over int', 0);
	as('evil', 'GRANT SELECT, INSERT ON attack.t TO good');
	my $offset = -s $node->logfile;
	as('good', 'SELECT * FROM attack.t; EXPLAIN SELECT * FROM attack.t');
	only_as_owner($offset, 'the reader good');
};
attack '1.1 the restricted operation: nothing of the session is changed, and no role is taken' => sub {
	as($me, 'DROP FOREIGN TABLE IF EXISTS attack.t; DROP TABLE IF EXISTS attack.e CASCADE');
	as('evil', q{CREATE FUNCTION attack.wild() RETURNS boolean LANGUAGE plpgsql AS $$DECLARE how text; BEGIN
			FOREACH how IN ARRAY ARRAY['SET ROLE none', 'RESET ROLE', 'SET SESSION AUTHORIZATION DEFAULT', 'SET search_path = attack', 'CREATE TEMP TABLE hidden (id int)', 'PREPARE hidden AS SELECT 1', 'LISTEN hidden', 'SET LOCAL ROLE ' || session_user,
				'DECLARE hidden CURSOR WITH HOLD FOR SELECT attack.probe()', 'SET CONSTRAINTS ALL DEFERRED'] LOOP
			BEGIN EXECUTE how; RAISE LOG 'ATTACK runs as % after %, path %', current_user, how, current_setting('search_path'); EXCEPTION WHEN others THEN RAISE LOG 'ATTACK refused %: %', how, sqlerrm; END; END LOOP; RETURN true; END$$;
		CREATE FUNCTION attack.wilder(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT attack.wild()'; CREATE DOMAIN attack.wild AS int CHECK (attack.wilder(VALUE));
		CREATE FOREIGN TABLE attack.t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v attack.wild OPTIONS (initial '3')) SERVER contime});
	my $offset = -s $node->logfile;
	my ($out) = as($me, q{SELECT * FROM attack.t; SELECT current_user || ' ' || session_user || ' ' || current_setting('search_path') || ' ' || (SELECT count(*) FROM pg_prepared_statements) || ' ' || (SELECT count(*) FROM pg_cursors) || ' ' || (SELECT count(*) FROM pg_listening_channels()) || ' ' || (to_regclass('pg_temp.hidden') IS NULL)});
	like($out, qr/^$me $me "\$user", public 0 0 0 true$/m, 'the session has its role, settings and objects of before');
	only_as_owner($offset, 'the code that tried to change the session');
	unlike(since($offset), qr/ATTACK runs as \S+ after (RESET ROLE|SET SESSION|CREATE TEMP|PREPARE|LISTEN|DECLARE)/, 'what a security-restricted operation forbids is refused');
};

# ---- 1.2: sources and RENAME -------------------------------------------------------------------

attack '1.2 an error in a source does not block RENAME' => sub {
	as($me, 'DROP FOREIGN TABLE IF EXISTS attack.t; DROP TABLE IF EXISTS attack.e CASCADE; DROP TABLE IF EXISTS good.e CASCADE');
	as('good', q{CREATE TABLE good.e (id int, at timestamptz, v int); CREATE INDEX ON good.e (id, at); INSERT INTO good.e VALUES (1, '2026-01-01', 5); GRANT SELECT, TRIGGER ON good.e TO evil; GRANT USAGE ON SCHEMA good TO evil});
	as('evil', q{CREATE FUNCTION attack.later(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'; CREATE DOMAIN attack.later AS int CHECK (attack.later(VALUE));
		CREATE FOREIGN TABLE attack.t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (source 'v + (''{1}''::attack.later[])[1]')) SERVER contime OPTIONS (events 'good.e');
		CREATE OR REPLACE FUNCTION attack.later(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RAISE 'not any more'; END$$});
	is(state_of('good', 'ALTER TABLE good.e RENAME TO e2'), 'ok', 'RENAME TO');
	is(state_of('good', 'ALTER TABLE good.e2 RENAME COLUMN v TO amount'), 'ok', 'RENAME COLUMN');
	is(state_of('good', 'ALTER TABLE good.e2 RENAME TO e; ALTER TABLE good.e RENAME COLUMN amount TO v'), 'ok', 'and back');
	is(state_of($me, 'ALTER SCHEMA good RENAME TO better; ALTER SCHEMA better RENAME TO good'), 'ok', 'RENAME of the schema');
	is(state_of('good', q{INSERT INTO good.e VALUES (2, '2026-01-01', 5); UPDATE good.e SET v = 6; DELETE FROM good.e}), 'ok', 'writes to the event table');
	is(state_of('good', 'DROP TABLE good.e CASCADE'), 'ok', 'DROP CASCADE');
};

attack '1.2 nor other DDL of the event table' => sub {
	as($me, 'DROP FOREIGN TABLE IF EXISTS attack.t; DROP TABLE IF EXISTS good.e CASCADE; DROP TYPE IF EXISTS attack.later CASCADE; DROP FUNCTION IF EXISTS attack.later(int) CASCADE');
	as('good', q{CREATE TABLE good.e (id int, at timestamptz, v int); CREATE INDEX ON good.e (id, at); INSERT INTO good.e VALUES (1, '2026-01-01', 5); GRANT SELECT, TRIGGER ON good.e TO evil; GRANT USAGE ON SCHEMA good TO evil});
	as('evil', q{CREATE FUNCTION attack.later(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'; CREATE DOMAIN attack.later AS int CHECK (attack.later(VALUE));
		CREATE FOREIGN TABLE attack.t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v attack.later OPTIONS (initial '1')) SERVER contime OPTIONS (events 'good.e');
		CREATE OR REPLACE FUNCTION attack.later(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RAISE 'not any more'; END$$});
	is(state_of('good', $_), 'ok', $_) for 'ALTER TABLE good.e ADD COLUMN more int', 'ALTER TABLE good.e DROP COLUMN more', 'CREATE INDEX i ON good.e (v)', 'DROP INDEX good.i', 'CLUSTER good.e USING e_id_at_idx', 'ANALYZE good.e', 'ALTER TABLE good.e ENABLE TRIGGER USER', 'TRUNCATE good.e', 'ALTER TABLE good.e RENAME TO e2', 'ALTER TABLE good.e2 RENAME TO e', 'DROP TABLE good.e CASCADE';
};

# ---- 1.3, 2.5: schemas and tables with the names of contime's -----------------------------------------------

attack '1.3 CREATE EXTENSION into a schema somebody prepared' => sub {
	as($me, 'CREATE DATABASE trap; GRANT CREATE ON DATABASE trap TO evil');
	as('evil', q{CREATE SCHEMA contime; CREATE FUNCTION contime.at(anyelement, timestamptz, int) RETURNS SETOF anyelement LANGUAGE sql AS 'SELECT $1'; CREATE TABLE contime.source (x text)}, 'trap');
	my $state = state_of($me, 'CREATE EXTENSION contime', 'trap');
	is($state, '42P06', 'is refused');
	is(state_of($me, 'CREATE EXTENSION contime SCHEMA contime', 'trap') eq 'ok' ? 1 : 0, 0, 'whatever schema is named');
	is(state_of($me, 'CREATE EXTENSION contime SCHEMA public', 'trap') eq 'ok' ? 1 : 0, 0, 'another, too');
	as($me, 'DROP DATABASE trap');
};
my %shapes = (
	'other columns' => 'CREATE TABLE contime.source (state oid, events text); INSERT INTO contime.source SELECT oid, relname FROM pg_class', 'two columns' => 'CREATE TABLE contime.source (state oid, events oid); INSERT INTO contime.source SELECT oid, oid FROM pg_class',
	'short columns' => 'CREATE TABLE contime.source (state oid, events oid, kind bool, columns "char"); INSERT INTO contime.source SELECT oid, oid, true, 1::text::"char" FROM pg_class', 'numbers for texts' => 'CREATE TABLE contime.source (state oid, events oid, kind bigint, columns bigint); INSERT INTO contime.source SELECT oid, oid, 123456789, -1 FROM pg_class', 'one column' => q{CREATE TABLE contime.source (x oid); INSERT INTO contime.source SELECT oid FROM pg_class}, 'no column' => 'CREATE TABLE contime.source ()', 'a dropped one' => q{CREATE TABLE contime.source (a int, state oid, events oid, kind text, columns jsonb); INSERT INTO contime.source SELECT oid::int, oid, oid, 'x', '{}' FROM pg_class; ALTER TABLE contime.source DROP COLUMN a},
	'view' => 'CREATE VIEW contime.source AS SELECT 1 AS state', 'sequence' => 'CREATE SEQUENCE contime.source', 'composite type' => 'CREATE TYPE contime.source AS (state oid)', 'partitioned' => 'CREATE TABLE contime.source (state oid, events oid, kind text, columns jsonb) PARTITION BY LIST (state)',
	'NULLs' => 'CREATE TABLE contime.source (state oid, events oid, kind text, columns jsonb); INSERT INTO contime.source VALUES (NULL, NULL, NULL, NULL), (1, 1, \'x\', \'[]\')', 'texts' => q{CREATE TABLE contime.source (state int8, events int8, kind int, columns int); INSERT INTO contime.source SELECT oid::int8, 1, 1, 1 FROM pg_class},
	'materialized view' => 'CREATE MATERIALIZED VIEW contime.source AS SELECT 1', 'index' => 'CREATE TABLE x (a int); CREATE TABLE contime.y (a int); CREATE INDEX source ON contime.y (a)', 'its own rows' => q{CREATE TABLE contime.source (state oid, events oid, kind text, columns text); INSERT INTO contime.source SELECT oid, oid, 'zzz', 'x' FROM pg_class});
for my $shape (sort keys %shapes)
{
	attack "2.5 contime.source of another shape: $shape" => sub {
		as($me, 'DROP DATABASE IF EXISTS foreign_');
		as($me, 'CREATE DATABASE foreign_; GRANT CREATE ON DATABASE foreign_ TO evil');
		as($me, q{CREATE FOREIGN DATA WRAPPER plain; CREATE SERVER plain FOREIGN DATA WRAPPER plain; CREATE SERVER contime FOREIGN DATA WRAPPER plain; CREATE FOREIGN TABLE f (a int) SERVER plain; CREATE FOREIGN TABLE g (a int) SERVER contime; CREATE TABLE h (a int)}, 'foreign_');
		# With rows that belong to these tables, or may be mistaken for theirs.
		as('evil', "CREATE SCHEMA contime; $shapes{$shape}", 'foreign_');
		is(state_of($me, $_, 'foreign_'), 'ok', $_) for 'ALTER FOREIGN TABLE f ADD COLUMN b int', 'ALTER TABLE h RENAME TO k', 'ALTER SCHEMA public RENAME TO p; ALTER SCHEMA p RENAME TO public', 'DROP FOREIGN TABLE f', 'DROP FOREIGN TABLE g', 'DROP TABLE k', 'DROP SERVER plain', 'DROP SERVER contime CASCADE', 'DROP SCHEMA contime CASCADE';
		as($me, 'DROP DATABASE foreign_');
	};
}
attack '2.5 a wrapper and a server with our names' => sub {
	as($me, 'DROP DATABASE IF EXISTS foreign_');
	as($me, 'CREATE DATABASE foreign_');
	as($me, q{CREATE FOREIGN DATA WRAPPER contime_fdw; CREATE SERVER contime FOREIGN DATA WRAPPER contime_fdw; CREATE FOREIGN TABLE f (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime OPTIONS (events 'e'); CREATE TABLE e (id int)}, 'foreign_');
	isnt(state_of($me, $_, 'foreign_'), 'crash', $_) for 'SELECT * FROM f', 'ALTER FOREIGN TABLE f ADD COLUMN b int', 'ANALYZE f', 'TRUNCATE f', 'ALTER TABLE e RENAME TO e2', 'INSERT INTO e2 VALUES (1)', 'DROP FOREIGN TABLE f', 'DROP EXTENSION IF EXISTS contime';
	is(state_of($me, 'DROP SERVER contime', 'foreign_'), 'ok', 'DROP SERVER drops all of it');
	as($me, 'DROP DATABASE foreign_');
};
attack '2.5 a table in memory that INHERITS does not make its parent an event table' => sub {
	as($me, 'DROP FOREIGN TABLE IF EXISTS attack.t; DROP TABLE IF EXISTS attack.parent CASCADE');
	as('evil', q{CREATE TABLE attack.parent (id int, at timestamptz, v int); CREATE FOREIGN TABLE attack.t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) INHERITS (attack.parent) SERVER contime; INSERT INTO attack.t VALUES (1, '2026-01-01', 1)});
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_trigger WHERE tgrelid = 'attack.parent'::regclass}), '0', 'no triggers');
	is(state_of('evil', $_), 'ok', $_) for q{INSERT INTO attack.parent VALUES (1, '2026-01-01', 1)}, 'UPDATE ONLY attack.parent SET v = 2', 'ALTER TABLE attack.parent ADD COLUMN w int', 'ALTER TABLE attack.parent RENAME COLUMN w TO z', 'ALTER TABLE attack.parent RENAME TO parent2', 'ALTER TABLE attack.parent2 RENAME TO parent', 'TRUNCATE ONLY attack.parent', 'ALTER FOREIGN TABLE attack.t NO INHERIT attack.parent', 'DROP TABLE attack.parent', 'SELECT * FROM attack.t';
};

# ---- 1.5, 2.1: hooks run before core's checks ----------------------------------------------------

attack '1.5 a CREATE DATABASE that core refuses disturbs no one' => sub {
	as($me, 'CREATE ROLE maker LOGIN CREATEDB');
	as($me, q{INSERT INTO account VALUES (1, '2020-01-01', 10), (1, '2020-01-10', 1)});
	as($me, q{INSERT INTO account VALUES (1, '2020-01-05', 10)});
	my $pids = q{SELECT coalesce(string_agg(backend_type || pid, ' ' ORDER BY backend_type, pid), '') FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type IN ('contime agent', 'contime loader')};
	make('function in a source', 1);
	as('evil', 'SELECT * FROM attack.t');
	ok(soon(q{SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type = 'contime agent'}), 'there is an agent');
	my $agent = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type = 'contime agent'});
	for my $sql ('CREATE DATABASE mine TEMPLATE postgres', 'CREATE DATABASE mine TEMPLATE "postgres" OWNER nosuch', 'CREATE DATABASE mine TEMPLATE postgres ENCODING nosuch', 'CREATE DATABASE postgres TEMPLATE postgres', 'ALTER DATABASE postgres RENAME TO mine', 'DROP DATABASE postgres', 'DROP DATABASE postgres WITH (FORCE)', 'ALTER DATABASE postgres CONNECTION LIMIT 5', 'ALTER DATABASE postgres SET TABLESPACE pg_default')
	{
		my $again = "$sql;\n" x 20;
		as('maker', $again);
		is($node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type = 'contime agent'}), $agent, $sql);
	}
	as($me, 'DROP ROLE maker');
};
attack '2.1 odd nodes' => sub {
	for my $sql ('CREATE DATABASE x TEMPLATE 5', 'CREATE DATABASE x TEMPLATE 1.5', 'CREATE DATABASE x TEMPLATE -1', 'CREATE DATABASE x TEMPLATE 99999999999', 'CREATE DATABASE x TEMPLATE true', 'CREATE DATABASE x TEMPLATE DEFAULT', q{CREATE DATABASE x TEMPLATE ''}, 'CREATE DATABASE x TEMPLATE = 5 OWNER = 6', 'CREATE DATABASE x OWNER 5',
		'CREATE DATABASE x ENCODING 6 TEMPLATE 5', 'CREATE DATABASE x LC_COLLATE 5', 'CREATE DATABASE x TABLESPACE 5', 'CREATE DATABASE x TEMPLATE 5 TEMPLATE 6', 'CREATE DATABASE x nosuch 5', 'CREATE DATABASE x STRATEGY 5', 'CREATE DATABASE x OID 5', 'CREATE DATABASE x IS_TEMPLATE 5', 'CREATE DATABASE x ALLOW_CONNECTIONS nosuch', 'CREATE DATABASE x CONNECTION LIMIT -5',
		'ALTER DATABASE postgres CONNECTION LIMIT -99', 'ALTER DATABASE postgres TABLESPACE 5', 'ALTER DATABASE postgres IS_TEMPLATE 5', 'ALTER DATABASE nosuch IS_TEMPLATE true', 'ALTER DATABASE nosuch SET TABLESPACE x', 'ALTER DATABASE nosuch RENAME TO y', 'DROP DATABASE nosuch', 'DROP DATABASE IF EXISTS nosuch', 'DROP DATABASE ""', 'DROP DATABASE nosuch (FORCE, FORCE)',
		q{CREATE FOREIGN TABLE attack.x (id int OPTIONS (key 'true')) SERVER nosuch}, q{CREATE FOREIGN TABLE attack.x (id int OPTIONS (key '')) SERVER contime OPTIONS (events '')}, q{CREATE FOREIGN TABLE attack.x () SERVER contime OPTIONS (events '.')}, q{CREATE FOREIGN TABLE attack.x () SERVER contime OPTIONS (events 'a.b.c.d.e')},
		'ALTER TABLE nosuch RENAME TO x', 'ALTER TABLE nosuch RENAME COLUMN a TO b', 'ALTER SCHEMA nosuch RENAME TO x', 'ALTER TABLE nosuch.x SET SCHEMA y', 'ALTER TABLE a.b.c.d RENAME TO x', 'ALTER TYPE nosuch RENAME ATTRIBUTE a TO b', 'ALTER VIEW nosuch RENAME COLUMN a TO b', 'ALTER FUNCTION nosuch() RENAME TO x', 'ALTER CAST', 'ALTER DOMAIN attack.dint RENAME CONSTRAINT nosuch TO x',
		'ALTER TRIGGER nosuch ON nosuch RENAME TO x', 'ALTER POLICY p ON nosuch RENAME TO x', 'ALTER RULE r ON nosuch RENAME TO x', 'ALTER INDEX nosuch RENAME TO x', 'ALTER SEQUENCE nosuch RENAME TO x', 'ALTER TYPE attack.pair RENAME ATTRIBUTE b TO c CASCADE', 'ALTER TYPE attack.pair RENAME ATTRIBUTE c TO b', 'ALTER TABLE attack.nosuch NO INHERIT x', 'ALTER TABLE other.db.x.y ADD COLUMN z int',
		'TRUNCATE nosuch', 'TRUNCATE a.b.c.d', 'TRUNCATE attack.t, nosuch', 'DROP TABLE a.b.c.d.e', 'DROP TABLE nosuch, attack.t', 'DROP FOREIGN TABLE nosuch', 'DROP FOREIGN TABLE IF EXISTS a.b.c', 'DROP TABLE IF EXISTS nosuch.x CASCADE', 'DROP VIEW nosuch', 'DROP OWNED BY nosuch', 'DROP TYPE nosuch', 'DROP FUNCTION nosuch(int)', 'DROP AGGREGATE nosuch(*)', 'DROP OPERATOR + (NONE, int)', 'DROP CAST (int AS nosuch)',
		'ALTER TABLE attack.e ATTACH PARTITION nosuch DEFAULT', 'ALTER TABLE nosuch DETACH PARTITION nosuch CONCURRENTLY', 'ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE pg_default', 'IMPORT FOREIGN SCHEMA x FROM SERVER nosuch INTO y', 'CREATE SCHEMA AUTHORIZATION nosuch CREATE TABLE x (a int)', 'CREATE TABLE attack.x (a int) INHERITS (nosuch)', 'CREATE TABLE attack.x PARTITION OF nosuch DEFAULT')
	{
		my $state = state_of('evil', $sql);
		unlike($state, qr/^(crash|XX)/, $sql);
	}
};
for my $sql ('CREATE DATABASE x TEMPLATE 5', 'CREATE DATABASE x TEMPLATE 1.5', 'CREATE DATABASE x TEMPLATE int')
{
	attack "2.1 $sql, by a role that may not" => sub { is(state_of('evil', $sql) =~ /^(42501|42601|3D000|22023)$/ ? 1 : 0, 1, 'is refused') };
}

# ---- 2.3: sources that are not one expression over the row --------------------------------------------------------

my @not_one = ('*', 'e.*', '(e).*', 'e', '(e.*)::text', 'count(*)', 'count(v)', 'sum(v)', 'max(v) FILTER (WHERE true)', 'string_agg(v::text, \',\' ORDER BY v)', 'percentile_cont(0.5) WITHIN GROUP (ORDER BY v)', 'sum(v) OVER ()', 'row_number() OVER (ORDER BY v)', 'rank() OVER w WINDOW w AS (ORDER BY v)', 'generate_series(1, 3)', 'unnest(array[1])', '(generate_series(1, 3)) + 1',
	'(SELECT 1)', '(SELECT v)', 'EXISTS (SELECT 1)', 'v IN (SELECT 1)', 'v = ANY (SELECT 1)', 'ARRAY(SELECT 1)', 'ROW(v) = (SELECT 1)', 'v, w', 'v, ', 'DISTINCT v', 'ALL v', 'DISTINCT ON (v) v', 'v HAVING true', 'v GROUP BY v', 'v AS x', 'v x', 'v FOR UPDATE', 'v FOR SHARE OF e NOWAIT', 'v INTO x', 'INTO x v', 'WITH x AS (SELECT 1) SELECT v', 'v UNION SELECT 1', 'v UNION ALL VALUES (1)', 'v INTERSECT SELECT 1', 'v EXCEPT SELECT 1',
	'VALUES (1)', 'TABLE e', 'SELECT v', 'v FROM e', 'v WHERE true', 'v ORDER BY 1', 'v LIMIT 1', 'v OFFSET 0', 'v FETCH FIRST 1 ROW ONLY', '$1', '$0', '$99999', 'v + $1', 'CURRENT OF c', 'DEFAULT', 'v; SELECT 1', 'v;', ';', ';v', '-- v', '/* v */', '/* v', 'v -- ', '', ' ', "\t\n", 'v /*', '(', ')', '((v)', 'v)', "'", '"', '$$', '$$v', 'E\'\\\'', 'U&\'\\', 'nosuch', 'e.nosuch', 'x.y.z.v', 'nosuch(v)', 'v::nosuch', 'v::text::nosuch[]',
	'ctid', 'xmin', 'tableoid', 'e.ctid', 'cmin::text', 'old.v', 'new.v', 'excluded.v', 'now()', 'random()', 'clock_timestamp()', 'current_user', 'current_timestamp', 'localtime', 'current_schema', 'session_user', 'currval(\'x\')', 'nextval(\'x\')', 'pg_sleep(1)', 'current_setting(\'x\')', 'txid_current()', 'grouping(v)', 'v COLLATE "nosuch"', 'v COLLATE "C"', 'xmlparse(document v)', 'contime.event(NULL::attack.x)', 'contime.capture()', 'pg_advisory_lock(1)',
	'NULL', '1/0', 'v := 5', 'v = 5;', '1e999', '99999999999999999999999999999999', 'true', '\'x\'', 'row()', 'array[]', 'case when v then 1 end', 'v IS DOCUMENT', 'v BETWEEN SYMMETRIC 1 AND (SELECT 2)', 'OVERLAPS', 'LATERAL v', 'ONLY v', 'VARIADIC v', 'nullif(v, (SELECT 1))', 'coalesce((TABLE e), 1)', '(VALUES (1))', '((((SELECT 1))))', 'merge_action()', 'extract(epoch from (SELECT now()))', 'v OPERATOR(pg_catalog.+) sum(v)', 'abs(sum(v))');
# Some of these are expressions over the row, though odd ones: they may be accepted.
my %may = map { $_ => 1 } ('ALL v', 'NULL', '1/0', 'v -- ', 'true', 'case when v then 1 end', 'v COLLATE "C"', 'row()', '99999999999999999999999999999999', '1e999', 'v ', "'x'", 'v BETWEEN SYMMETRIC 1 AND 2', 'v = 5;');
attack '2.3 CREATE: what is not one expression over the row' => sub {
	as($me, 'DROP FOREIGN TABLE IF EXISTS attack.t; DROP TABLE IF EXISTS attack.e CASCADE');
	as('evil', 'CREATE TABLE attack.e (id int, at timestamptz, v int, w int)');
	for my $text (@not_one)
	{
		(my $quoted = $text) =~ s/'/''/g;
		my $state = state_of('evil', "CREATE FOREIGN TABLE attack.x (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (source '$quoted')) SERVER contime OPTIONS (events 'e')");
		$may{$text} ? unlike($state, qr/crash|XX/, "source '$text'") : unlike($state, qr/^(crash|XX|ok)/, "source '$text'");
		as($me, 'DROP FOREIGN TABLE IF EXISTS attack.x') if $state eq 'ok';
	}
};
attack '2.3 add_source: what is not one expression over the row' => sub {
	as($me, 'DROP FOREIGN TABLE IF EXISTS attack.t; DROP TABLE IF EXISTS attack.e CASCADE');
	as('evil', q{CREATE TABLE attack.e (id int, at timestamptz, v int, w int); CREATE FOREIGN TABLE attack.t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime});
	for my $text (@not_one)
	{
		(my $quoted = $text) =~ s/'/''/g;
		my $state = state_of('evil', "BEGIN; SELECT contime.add_source('attack.t', 'attack.e', jsonb_build_object('v', '$quoted')); ROLLBACK");
		$may{$text} ? unlike($state, qr/crash|XX/, "'$text'") : unlike($state, qr/^(crash|XX|ok)/, "'$text'");
	}
	for my $columns (q{'[]'}, q{'null'}, q{'5'}, q{'{"v": 5}'}, q{'{"v": {}}'}, q{'{"v": ["v"]}'}, q{'{"v": true}'}, q{'{"nosuch": "v"}'}, q{'{"": "v"}'}, q{'{"id": null}'}, q{'{"ctid": "v"}'}, q{jsonb_build_object(repeat('k', 1000), 'v')}, q{'{"v": "\u0001"}'})
	{
		unlike(state_of('evil', "BEGIN; SELECT contime.add_source('attack.t', 'attack.e', $columns); ROLLBACK"), qr/^(crash|XX|ok)/, "columns $columns");
	}
};
attack '2.3 long and deep sources' => sub {
	as($me, 'DROP FOREIGN TABLE IF EXISTS attack.t; DROP TABLE IF EXISTS attack.e CASCADE');
	as('evil', q{CREATE TABLE attack.e (id int, at timestamptz, v int, w int); CREATE FOREIGN TABLE attack.t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime});
	for my $text (q{repeat('(', 10000)}, q{repeat('(', 10000) || 'v' || repeat(')', 10000)}, q{repeat('v + ', 250000) || 'v'}, q{repeat('v + ', 5000) || 'v'}, q{repeat(' ', 1000000) || 'v'}, q{'v' || repeat('[1]', 10000)}, q{repeat('-', 2) || repeat('x', 1000000)}, q{repeat('/*', 10000)}, q{repeat('CASE WHEN true THEN ', 5000) || 'v' || repeat(' END', 5000)}, q{repeat('NOT ', 20000) || 'true'},
		q{repeat('(SELECT ', 5000) || '1' || repeat(')', 5000)}, q{'''' || repeat('x', 1000000) || ''''}, q{repeat('- ', 50000) || 'v'}, q{'v = ANY (ARRAY[' || repeat('v, ', 30000) || 'v])'}, q{'coalesce(' || repeat('v, ', 30000) || 'v)'}, q{'v' || repeat('::int::text', 5000) || '::int'})
	{
		my $state = state_of('evil', "BEGIN; SELECT contime.add_source('attack.t', 'attack.e', jsonb_build_object('v', $text)); ROLLBACK");
		unlike($state, qr/^(crash|XX)/, $text);
	}
};

# ---- 2.6: statements that could raise XX000 ---------------------------------------------------------------------------------

attack '2.6 functions with what is no table' => sub {
	make('domain over int', 0);
	my @not_tables = ('NULL::attack.pair', 'NULL::attack.dpair', 'NULL::attack.dint', 'NULL::attack.dtext', 'NULL::int', 'NULL::text', q{''::text}, 'NULL::record', 'ROW(1, 2)', 'NULL::attack.t[]', 'NULL::attack.color', 'NULL::attack.span', 'NULL::pg_class', 'NULL::contime.tables', 'NULL::contime.source', 'NULL', q{'x'}, 'NULL::void', 'NULL::cstring', 'NULL::attack.of_t', '1', 'ARRAY[1]');
	as('evil', 'CREATE DOMAIN attack.of_t AS attack.t');
	for my $table (@not_tables)
	{
		for my $call ("contime.at($table, now())", "contime.at($table, now(), 1)", "contime.at_tick($table, 5)", "contime.at_tick($table, 5, 1)", "contime.history($table, now(), now())", "contime.history($table, 1, now(), now())", "contime.history_tick($table, 1, 2)", "contime.series($table, 1, now(), now(), '1 day')", "contime.since($table, 1, now())", "contime.events($table, 1, now(), now())", "contime.reconciliations($table)", "contime.event($table)", "contime.snapshot($table)", "contime.finish($table)")
		{
			my $state = state_of('evil', "SELECT * FROM $call");
			unlike($state, qr/^(crash|XX)/, "$call") if $state =~ /^(crash|XX)/;
			$state = state_of('evil', "SELECT $call");
			unlike($state, qr/^(crash|XX)/, "SELECT $call") if $state =~ /^(crash|XX)/;
		}
	}
	pass('all tried');
};
attack '2.6 OIDs of what is not there' => sub {
	for my $oid ('0', '1', '4294967295', '1259', "'pg_class'", "'pg_class_oid_index'", "'attack.pair'", "'contime.source'", "'contime.tables'", "-1::oid", "NULL")
	{
		unlike(state_of('evil', "SELECT * FROM $_"), qr/^(crash|XX)/, $_) for "contime.verify($oid)", "contime.repair($oid)", "contime.add_source($oid, $oid)", "contime.drop_source($oid, $oid)", "contime.add_source('attack.t', $oid)", "contime.drop_source('attack.t', $oid)";
	}
	as('evil', 'CREATE TABLE attack.gone (a int)');
	my $gone = $node->safe_psql('postgres', q{SELECT 'attack.gone'::regclass::oid});
	as('evil', 'DROP TABLE attack.gone');
	unlike(state_of('evil', "SELECT contime.$_"), qr/^(crash|XX)/, $_) for "verify($gone)", "repair($gone)", "add_source($gone, $gone)", "drop_source($gone, $gone)";
};
attack '2.6 internal functions, by hand' => sub {
	for my $call ('contime.source_changed()', 'contime.capture()', 'contime.fdw_handler()', q{contime.fdw_validator('{x=y}', 0)}, q{contime.fdw_validator('{key=true}', 1249)}, q{contime.fdw_validator(NULL, 0)}, q{contime.fdw_validator('{{a,b},{c,d}}', 3118)}, q{contime.fdw_validator('{}', 4294967295)}, q{contime.fdw_validator('{novalue}', 1249)}, q{contime.fdw_validator('{NULL}', 1249)}, 'contime.at_support(NULL)', 'contime.range_support(NULL)', 'contime.series_support(NULL)', 'contime.table_stats()', 'contime.worker_stats()')
	{
		unlike(state_of('evil', "SELECT $call"), qr/^(crash|XX)/, $call);
	}
};
attack '1.4 trigger functions where they do not belong' => sub {
	make('domain over int', 0);
	for my $function (qw(contime.source_changed contime.capture))
	{
		for my $when ('AFTER INSERT ON x FOR EACH STATEMENT', 'AFTER TRUNCATE ON x FOR EACH STATEMENT', 'BEFORE INSERT ON x FOR EACH ROW', 'AFTER INSERT OR UPDATE OR DELETE ON x FOR EACH ROW', 'BEFORE TRUNCATE ON x FOR EACH STATEMENT', 'BEFORE INSERT OR UPDATE OR DELETE ON x FOR EACH STATEMENT', 'AFTER UPDATE ON x REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT')
		{
			for my $columns ('a text', 'state oid', 'state oid, events oid, kind text, columns jsonb', '')
			{
				my $state = state_of('evil', "CREATE TEMP TABLE x ($columns); CREATE TRIGGER t $when EXECUTE FUNCTION $function(); INSERT INTO x SELECT FROM generate_series(1, 2); UPDATE x SET " . ($columns ? ($columns =~ /^(\w+)/)[0] . ' = NULL' : 'nosuch = 1') . "; TRUNCATE x; DROP TABLE x");
				unlike($state, qr/^(crash|XX)/, "$function $when ($columns)") if $state =~ /^(crash|XX)/;
			}
		}
	}
	pass('all tried');
	# Attacks on a table of another role: no effect.
	my $oid = $node->safe_psql('postgres', q{SELECT 'account'::regclass::oid});
	my $holder = $node->background_psql('postgres');
	$holder->query_safe('BEGIN; SELECT count(*) FROM account');
	unlike(state_of('evil', "SET lock_timeout = '500ms'; CREATE TEMP TABLE x (state oid, events oid, kind text, columns jsonb); CREATE TRIGGER t AFTER INSERT ON x FOR EACH ROW EXECUTE FUNCTION contime.source_changed(); INSERT INTO x VALUES ($oid, $oid, 'event', '{}')"), qr/^(crash|XX|55P03|ok)/, 'no lock is taken on a table of another');
	$holder->quit;
};
attack '2.6 many TRUNCATEs in one transaction, and contime.tables' => sub {
	make('function in a source', 1);
	my $truncates = "SAVEPOINT a; TRUNCATE account; TRUNCATE attack.e;\n" x 100;
	unlike(state_of($me, "BEGIN; $truncates SELECT * FROM contime.tables; SELECT * FROM contime.workers; ROLLBACK"), qr/^(crash|XX)/, 'contime.tables');
	unlike(state_of($me, "BEGIN; " . ("TRUNCATE account;\n" x 100) . "SELECT * FROM contime.tables; SELECT * FROM account; ROLLBACK"), qr/^(crash|XX)/, 'without savepoints');
};

# ---- 4.3: an error of one table does not affect others ------------------------------------------------------------------

my %bad = (
	'a check that fails now' => q{CREATE OR REPLACE FUNCTION attack.turn(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false'},
	'a function that raises' => q{CREATE OR REPLACE FUNCTION attack.turn(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RAISE 'spoilt'; END$$},
	'a function that sleeps' => q{CREATE OR REPLACE FUNCTION attack.turn(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN PERFORM pg_sleep(3600); RETURN true; END$$},
	'a function that loops' => q{CREATE OR REPLACE FUNCTION attack.turn(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN LOOP NULL; END LOOP; END$$},
	'a function that is not cancelled' => q{CREATE OR REPLACE FUNCTION attack.turn(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN LOOP BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END$$},
	'a function that eats memory' => q{CREATE OR REPLACE FUNCTION attack.turn(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$DECLARE t text := 'x'; BEGIN WHILE length(t) < 100000000 LOOP t := t || t; END LOOP; RAISE 'enough'; END$$},
	'a function that recurses' => q{CREATE OR REPLACE FUNCTION attack.turn(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN attack.turn($1); END$$},
	'a function that needs a table' => q{CREATE OR REPLACE FUNCTION attack.turn(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN (SELECT count(*) >= 0 FROM attack.t); END$$},
	'a function that exits subtransactions' => q{CREATE OR REPLACE FUNCTION attack.turn(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN BEGIN RAISE 'x'; EXCEPTION WHEN others THEN NULL; END; RAISE 'spoilt'; END$$},
	'a new constraint' => q{ALTER DOMAIN attack.turn ADD CONSTRAINT never CHECK (VALUE > 1000)},
	'a function that is gone' => q{DROP FUNCTION attack.turn(int) CASCADE; DROP TYPE IF EXISTS attack.turn CASCADE},
);
for my $how (sort keys %bad)
{
	attack "4.3 $how" => sub {
		as($me, 'DROP FOREIGN TABLE IF EXISTS attack.t; DROP TABLE IF EXISTS attack.e CASCADE; DROP TYPE IF EXISTS attack.turn CASCADE; DROP FUNCTION IF EXISTS attack.turn(int) CASCADE; DROP TABLE IF EXISTS good.m CASCADE; DROP FOREIGN TABLE IF EXISTS good.d');
		as('evil', q{CREATE FUNCTION attack.turn(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'; CREATE DOMAIN attack.turn AS int CHECK (attack.turn(VALUE));
			CREATE FOREIGN TABLE attack.t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), w int, v attack.turn OPTIONS (initial '3')) SERVER contime OPTIONS (notify 'key');
			CREATE TABLE attack.e (id int, at timestamptz, v int); CREATE FOREIGN TABLE attack.d (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v attack.turn OPTIONS (initial '3')) SERVER contime OPTIONS (events 'e');
			INSERT INTO attack.e VALUES (1, '2026-01-01', 1); INSERT INTO attack.t (id, at, w) VALUES (1, '2026-01-01', 1), (1, '2026-01-05', 1)});
		$node->safe_psql('postgres', q{TRUNCATE account; INSERT INTO account VALUES (1, '2020-01-01', 10), (1, '2020-02-01', 10)});
		my $listener = listener();
		$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-15', 10)});
		soon(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type = 'contime agent'});
		# (So that the next change is not combined with the reset for TRUNCATE in one notice.)
		hears($listener, qr/account/, 10);
		$listener->{heard} = '';
		my $agent = $node->safe_psql('postgres', q{SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type = 'contime agent'});

		# The definition begins to fail after a cache is wanted and a notice is due: no process has read it since it was created.
		my $offset = -s $node->logfile;
		my $answer = ask('evil', "SELECT * FROM attack.d; INSERT INTO attack.t (id, at, w) VALUES (1, '2026-01-02', 5); $bad{$how}");
		is($answer->{message} // '', '', 'turned');
		# (Until one of them has tried, according to the log.)
		for (1 .. 100) { last if since($offset) =~ /^contime (agent|loader): +(ERROR|WARNING|LOG):(?!  load of continuous table)/m; Time::HiRes::usleep(50_000) }

		# Notices of other tables.
		$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-10', 10)});
		# (The reset for TRUNCATE may be in the same notice, which then covers all instants.)
		ok(hears($listener, qr/account"[^}]*(2020-01-10|"events": [1-9][^}]*"reset": true)/, 30), 'the notice of another table comes');
		# Caches of other tables.
		as('good', q{CREATE TABLE good.m (id int, at timestamptz, v int); INSERT INTO good.m VALUES (1, '2026-01-01', 1); CREATE FOREIGN TABLE good.d (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime OPTIONS (events 'm'); SELECT * FROM good.d});
		my $ready = 0;
		for (1 .. 300) { $ready = $node->safe_psql('postgres', q{SELECT count(*) FROM contime.tables WHERE "table" = 'good.d'::regclass AND cache = 'ready'}); last if $ready; as('good', 'SELECT * FROM good.d'); Time::HiRes::usleep(100_000) }
		is($ready, '1', 'the cache of another table is loaded');
		Time::HiRes::sleep(2);
		# (PL/pgSQL can catch a cancellation: then the process that runs the code has to exit.)
		is($node->safe_psql('postgres', q{SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type = 'contime agent'}), $agent, 'the agent is the same') if $how ne 'a function that is not cancelled';
		my @lines = grep { /^contime (agent|loader): +(ERROR|WARNING|LOG): / && !/load of continuous table/ } split /\n/, since($offset);
		my @unnamed = grep { /ERROR/ && !/"(attack\.)?[td]"|attack\.[td]\b/ } @lines;
		is(join('; ', map { substr $_, 0, 200 } @unnamed), '', 'each logged error names its table');
		cmp_ok(scalar(grep { /"(attack\.)?t"|attack\.t\b/ } @lines), '<=', 1, 'the log has at most one line about the table in memory');
		cmp_ok(scalar(grep { /"(attack\.)?d"|attack\.d\b/ } @lines), '<=', 1, 'and at most one about the durable table');
		unlike(since($offset), qr/contime (agent|loader)" \(PID \d+\) exited with exit code 1/, 'no process ended') if $how ne 'a function that is not cancelled';
		$listener->close;
	};
}

$node->stop('fast');
done_testing();
