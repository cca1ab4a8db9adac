# Partial caches of durable tables. A table several times as large as contime.memory, some keys of which are read again and again, while
# writers write late events to all keys, in transactions with savepoints and rollbacks: every answer is that of plain SQL over the rows in the
# same statement; keys that are read are loaded, and others are evicted. Then keys of every type, keys without rows, and a key that does not
# fit; notices of changes of keys that are not loaded; a cache that becomes too large, and whole again when it shrinks; two databases.
#
#   CT_SEED=n      the seed of the writers and of the queries; printed
#   CT_WRITES=n    transactions of each of the three writers, in each of two rounds (default 600)
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use IPC::Run;
use Time::HiRes;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $seed = srand($ENV{CT_SEED} // int(rand(2**31)));
my $writes = $ENV{CT_WRITES} // 600;
my ($keys, $rows, $hot) = (4000, 300_000, 40);
note("CT_SEED=$seed CT_WRITES=$writes");

my $node = contime_node('partial_cache', 'contime.memory' => '12MB', 'max_worker_processes' => 16, 'autovacuum' => 'off', 'fsync' => 'off', 'log_statement' => 'none',
	'log_lock_waits' => 'on', 'deadlock_timeout' => '20ms');
my $sql = sub { $node->safe_psql('postgres', join ';', @_) };

# Return where a read of a key is answered from.
my $asked = q{CREATE FUNCTION asked(query text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE line text;
	BEGIN
		FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
			IF line LIKE '%Events: %' THEN RETURN substring(line FROM 'Events: (.*)'); END IF;
		END LOOP;
	END $$};
my $state = q{v bigint OPTIONS (rule 'sum'), n bigint OPTIONS (rule 'sum', source '1'), hi int OPTIONS (rule 'max', source 'v'), note text};

# ---- a second database, whose cache is loaded first ----------------------------------------------

$node->safe_psql('postgres', 'CREATE DATABASE second');
my $most = 320_000;		# of nearly all the memory that caches may use
my $second = sub { $node->safe_psql('second', join ';', @_) };
$second->('CREATE EXTENSION contime', $asked, 'CREATE TABLE m (id int PRIMARY KEY, k int, at timestamptz, v int)',
	qq{INSERT INTO m SELECT i, i % 1000, timestamptz '2020-01-01' + i * interval '1 s', i FROM generate_series(1, $most) i},
	q{CREATE FOREIGN TABLE s (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v bigint OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'm')});
my $second_is = sub {
	my ($states, $what) = @_;
	return ok($node->poll_query_until('second', qq{SELECT count(*) < 0 FROM s WHERE k = 1 AND at = '2021-01-01'; SELECT cache IN ($states) FROM contime.tables WHERE "table" = 's'::regclass}, "f\nt"), $what);
};
my $second_is_right = sub {
	is($second->(q{SELECT count(*) FILTER (WHERE s.v IS DISTINCT FROM m.v) FROM (SELECT k, sum(v)::bigint AS v FROM m GROUP BY k) m
		FULL JOIN (SELECT k, v FROM s WHERE at = 'infinity') s USING (k)}), 0, "$_[0]: a second database's slice");
	is($second->(q{SELECT count(*) FROM (SELECT k, sum(v)::bigint AS v FROM m GROUP BY k) m LEFT JOIN s ON s.k = m.k AND s.at = '2021-01-01' WHERE s.v IS DISTINCT FROM m.v}), 0, 'each key of it');
	is($second->(q{SELECT equal FROM contime.verify('s')}), 't', 'contime.verify finds no difference');
};
$second_is->("'ready'", 'a table that fits is cached');

# ---- the table ------------------------------------------------------------------------------------

# No two rows have the same instant.
$sql->($asked, 'CREATE SEQUENCE ids', q{CREATE FUNCTION instant(id bigint, second float8) RETURNS timestamptz LANGUAGE sql IMMUTABLE
		AS $$ SELECT timestamptz '2100-01-01' + floor(second)::int * interval '1 minute' + id * interval '1 us' $$},
	q{CREATE TABLE e (id bigint PRIMARY KEY DEFAULT nextval('ids'), k int, at timestamptz, v int, note text)},
	qq{INSERT INTO e SELECT i, i % $keys, instant(i, i::bigint * 7919 % 1000), i % 101 - 50, 'n' || i || repeat('x', 90) FROM generate_series(1, $rows) i},
	qq{INSERT INTO e SELECT 10000000 + i, $keys + 100, instant(10000000 + i, i % 1000), 1, 'l' || i || repeat('y', 90) FROM generate_series(1, 100000) i},
	"SELECT setval('ids', $rows)",
	"CREATE FOREIGN TABLE s (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), $state) SERVER contime OPTIONS (events 'e')",
	'VACUUM ANALYZE e');

# Return how many of these keys are in memory; the query names the keys.
sub in_memory
{
	my $list = join ', ', @_;
	return $sql->("SELECT count(*) FROM unnest(ARRAY[$list]) k WHERE asked(format('SELECT * FROM s WHERE k = %s AND at = ''2100-01-01''', k)) = 'memory'");
}

# Read these keys repeatedly, running the given code in between, until so many of them are in memory.
sub until_in_memory
{
	my ($what, $least, $between, @list) = @_;
	my $n = 0;
	for (1 .. 600)
	{
		$between->();
		$n = in_memory(@list);
		last if $n >= $least;
	}
	cmp_ok($n, '>=', $least, $what);
	return;
}

my @hot = 1 .. $hot;
sub cold { return $hot + 1 + int rand($keys - $hot - 1) }

my $becomes_partial = sub {
	ok($node->poll_query_until('postgres', q{SELECT count(*) < 0 FROM s WHERE k = 1 AND at = '2100-01-01'; SELECT cache = 'partial' FROM contime.tables WHERE "table" = 's'::regclass}, "f\nt"), 'a table that does not fit is cached in part');
};
$becomes_partial->();
logged($node, qr/continuous table "s" is cached in part: it does not fit into contime\.memory/, 0, 'the log gives the reason');
until_in_memory('keys that are read are loaded', $hot, sub { }, @hot);

# The table of the second database is read, too, so that its cache is not evicted at once.
my $key = $keys - 1;
until_in_memory('another key that is read is loaded', 1, sub { }, $key);
my $gone = 0;
for (1 .. 100)
{
	in_memory(@hot, map { cold() } 1 .. 200);
	$second->(q{SELECT FROM s WHERE k = 1 AND at = '2021-01-01'});
	$gone = $_ % 5 == 0 && in_memory($key) == 0;
	last if $gone;
}
ok($gone, 'it is evicted when other keys are read');
until_in_memory('keys that are read again and again stay loaded', 0.9 * $hot, sub { }, @hot);
until_in_memory('the evicted key is loaded again', 1, sub { }, $key);
$second_is->("'partial'", 'the cache of another database became partial, too');
$second_is_right->('in part');

# ---- the writers ---------------------------------------------------------------------

# Each writer changes rows of its own, so that no two writers wait for each other.
$sql->(q{CREATE PROCEDURE change(me int, keys int, hot int) LANGUAGE plpgsql AS $$
	DECLARE
		key int := CASE WHEN random() < 0.4 THEN 1 + random() * hot WHEN random() < 0.05 THEN keys + random() * 10 ELSE random() * keys END;
		old bigint := (SELECT id FROM e WHERE k = key AND id % 3 = me ORDER BY random() LIMIT 1);
		what float8 := random();
	BEGIN
		IF what < 0.4 THEN
			INSERT INTO e (id, k, at, v, note)
			SELECT id, CASE WHEN i % 5 = 4 THEN key + i ELSE key END, instant(id, random() * 1200), random() * 100 - 50, 'late ' || id
			FROM (SELECT i, nextval('ids') * 3 + me + 1000000 AS id FROM generate_series(1, 1 + (random() * 12)::int) i) x;
		ELSIF what < 0.55 THEN
			UPDATE e SET v = v + 7, note = 'changed' WHERE id = old;
		ELSIF what < 0.65 THEN
			UPDATE e SET k = random() * keys WHERE id = old;
		ELSIF what < 0.75 THEN
			UPDATE e SET at = instant(id, random() * 1200) WHERE k = key AND id % 3 = me AND id % 7 = 1;
		ELSIF what < 0.95 THEN
			DELETE FROM e WHERE id = old;
		ELSE
			DELETE FROM e WHERE k = key AND id % 3 = me;
		END IF;
	END $$},
	q{CREATE PROCEDURE write(me int, keys int, hot int, n int, seed float8) LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM setseed(seed);
		FOR i IN 1 .. n LOOP
			FOR j IN 1 .. 1 + random() * 2 LOOP
				CALL change(me, keys, hot);
				BEGIN
					CALL change(me, keys, hot);
					IF random() < 0.5 THEN RAISE EXCEPTION 'undone' USING ERRCODE = 'P0099'; END IF;
				EXCEPTION WHEN SQLSTATE 'P0099' THEN NULL;
				END;
			END LOOP;
			IF random() < 0.15 THEN ROLLBACK; ELSE COMMIT; END IF;
		END LOOP;
	END $$});

my @writers;
sub start_writers
{
	@writers = map { my $w = { out => '' };
		$w->{process} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
			'-c', sprintf('CALL write(%d, %d, %d, %d, %f)', $_, $keys, $hot, $writes, rand) ], '<', \undef, '>', \$w->{out}, '2>', \$w->{out});
		$w } 0 .. 2;
	return;
}

sub writers_are_done
{
	$_->{process}->pump_nb for grep { $_->{process}->pumpable } @writers;
	return !grep { $_->{process}->pumpable } @writers;
}

# No writer may get an error.
sub end_writers
{
	my $what = shift;
	my @bad = grep { !$_->{process}->finish || $_->{out} ne '' } @writers;
	is(join('', map { $_->{out} } @bad), '', $what);
	return;
}

# ---- the queries, and the right answers ------------------------------------------------------------

# A session whose queries each have the framework's time limit.
sub session
{
	my $session = $node->background_psql(@_);
	$session->set_query_timer_restart();
	return $session;
}

my $reader = session('postgres');
my ($differences, $compared) = (0, 0);
sub ask
{
	my ($want, $got) = @_;
	my $query = "SELECT count(*) FILTER (WHERE w IS DISTINCT FROM g), count(w), min(concat(w, ' ', g)) FILTER (WHERE w IS DISTINCT FROM g) FROM ($want) w FULL JOIN ($got) g USING (k, at)";
	my ($bad, $n, $first) = split /\|/, $reader->query_safe($query), 3;
	$differences += $bad;
	$compared += $n;
	diag("$bad of $n differ, as $first: $query") if $bad;
	return;
}

# The history of a key, by plain SQL, and since which instant its state holds.
my $states = 'SELECT k, at, sum(v) OVER so_far AS v, count(*) OVER so_far AS n, max(v) OVER so_far AS hi, note FROM e WINDOW so_far AS (PARTITION BY k ORDER BY at)';
my $columns = 's.k, s.at, s.v, s.n, s.hi, s.note';
my @instants = map { sprintf "timestamptz '2100-01-01' + interval '%d s'", $_ } 0, 20_000, 35_000, 61_000, 90_000;
sub instant { return $instants[ rand @instants ] }

sub compare
{
	my @k = map { rand() < 0.5 ? $hot[ rand @hot ] : rand() < 0.1 ? $keys + int rand 20 : cold() } 1 .. 5;
	my $k = $k[0];
	my ($list, $t, $ts) = (join(', ', @k), instant(), join(', ', map { instant() } 1 .. 3));
	my $key = "FROM e WHERE k = $k";
	my $then = "(SELECT DISTINCT k FROM unnest(ARRAY[$list]) k) k CROSS JOIN (SELECT DISTINCT t FROM unnest(ARRAY[$ts]) t) t";
	my $want = "SELECT e.k, t AS at, sum(v)::bigint AS v, count(*) AS n, max(v) AS hi, (array_agg(note ORDER BY e.at DESC))[1] AS note FROM $then JOIN e ON e.k = k.k AND e.at <= t GROUP BY e.k, t";
	my $which = int rand 9;

	if ($which == 0) { ask($want, "SELECT $columns FROM $then JOIN s ON s.k = k.k AND s.at = t") }
	elsif ($which == 1) { ask($want, "SELECT $columns FROM s WHERE k IN ($list) AND at = ANY (ARRAY[$ts])") }
	elsif ($which == 2) { ask($want, "SELECT $columns FROM $then CROSS JOIN LATERAL contime.at(NULL::s, t, k.k) s") }
	elsif ($which == 3)
	{
		ask("SELECT * FROM ($states) x WHERE k = $k", "SELECT $k AS k, lower(during) AS at, (state).v, (state).n, (state).hi, (state).note FROM contime.history(NULL::s, $k, '-infinity', 'infinity')");
	}
	elsif ($which == 4)
	{
		my $g = "'2100-01-01', '2100-01-01 20:00', '37 min'";
		ask("SELECT $k AS k, t AS at, sum(v)::bigint AS v, count(*) AS n, max(v) AS hi, (array_agg(note ORDER BY at DESC))[1] AS note FROM generate_series(timestamptz $g) t JOIN e ON k = $k AND e.at <= t GROUP BY t",
			"SELECT $columns FROM contime.series(NULL::s, $k, $g) s");
	}
	elsif ($which == 5) { ask("SELECT k, max(at) AS at $key AND at <= $t GROUP BY k", "SELECT k, at FROM (SELECT $k AS k, contime.since(NULL::s, $k, $t) AS at) x WHERE at IS NOT NULL") }
	elsif ($which == 6)
	{
		ask("SELECT k, at, v::bigint, 1::bigint AS n, v AS hi, note $key AND at >= $t", "SELECT (event).k, (event).at, (event).v, (event).n, (event).hi, (event).note FROM contime.events(NULL::s, $k, $t, 'infinity')");
	}
	elsif ($which == 7) { ask("SELECT k, at, $k AS v FROM (SELECT $k AS k, $t AS at) x WHERE EXISTS (SELECT $key AND e.at <= x.at)", "SELECT s.k, s.at, $k AS v FROM s WHERE k = $k AND at = $t") }
	else
	{
		return if rand() < 0.7;
		ask("SELECT k, $t AS at, sum(v)::bigint AS v, count(*) AS n, max(v) AS hi, (array_agg(note ORDER BY at DESC))[1] AS note FROM e WHERE at <= $t GROUP BY k", "SELECT $columns FROM s WHERE at = $t");
	}
	return;
}

# Within one snapshot, repeated reads return the same.
sub repeat
{
	my $k = rand() < 0.5 ? $hot[ rand @hot ] : cold();
	$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	for (1 .. 5)
	{
		compare();
		ask("SELECT * FROM ($states) x WHERE k = $k", "SELECT $k AS k, lower(during) AS at, (state).v, (state).n, (state).hi, (state).note FROM contime.history(NULL::s, $k, '-infinity', 'infinity')");
	}
	$reader->query_safe('COMMIT');
	return;
}

sub is_verified
{
	my $what = shift;
	my ($where, $events, $equal) = split /\|/, $sql->("SELECT * FROM contime.verify('s')");
	is($equal, 't', "$what: memory and event table have the same $events events");
	return $events;
}

sub all_is_right
{
	my $what = shift;
	is($sql->(qq{SELECT count(*) FROM (SELECT k, sum(v)::bigint AS v, count(*) AS n, max(v) AS hi FROM e GROUP BY k) w FULL JOIN (SELECT k, v, n, hi FROM s WHERE at = 'infinity') g USING (k) WHERE w IS DISTINCT FROM g}), 0, "$what: a slice");
	is($sql->(qq{SELECT count(*) FROM (SELECT k, sum(v)::bigint AS v, count(*) AS n, max(v) AS hi FROM e GROUP BY k) w LEFT JOIN LATERAL (SELECT k, v, n, hi FROM s WHERE s.k = w.k AND at = '2101-01-01') g USING (k) WHERE w IS DISTINCT FROM g}), 0, 'the same key by key');
	return;
}

sub write_and_compare
{
	my $what = shift;
	start_writers();
	until (writers_are_done())
	{
		rand() < 0.1 ? repeat() : compare();
	}
	end_writers("$what: no writer got an error");
	compare() for 1 .. 20;
	is($differences, 0, "$what: all answers were right");
	return;
}

write_and_compare('while keys come and go');
all_is_right('while keys come and go');
until_in_memory('keys that are read are in memory', 0.9 * $hot, sub { }, @hot);
cmp_ok(is_verified('in part'), '>', 0, 'contime.verify compared some events');
$second_is_right->('afterwards');

# Writers may make the loader give up a table that does not fit, while it is loaded.
sub restart
{
	$reader->quit;
	$node->restart;
	$reader = session('postgres');
	return;
}
restart();
write_and_compare('while it is loaded');
restart();
note("$compared rows compared");

# ---- notices of changes of keys that are not loaded ------------------------------------------------------------

# No instant after this has been read since the server started.
my $early = '2100-01-01';
$becomes_partial->();

# Return which ranges of a key have changed after $seq, once there is a change.
my $seq;
my $told = sub {
	my $k = shift;
	my $rows = "contime.reconciliations(NULL::s, since => $seq) WHERE (key).k = $k";
	$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM $rows") or return 'nothing';
	return $sql->("SELECT range_agg(during) FROM $rows");
};
my $since_now = sub { $seq = $sql->('SELECT coalesce(max(seq), 0) FROM contime.reconciliations(NULL::s)') };
my $row = sub {
	my ($k, $at, $v) = @_;
	return "INSERT INTO e (id, k, at, v, note) VALUES (nextval('ids') * 3 + 1000000, $k, '$at', $v, 'told')";
};

$since_now->();
$sql->($row->(3333, '2100-03-01', 1), 'BEGIN', $row->(3333, '2100-01-01 04:00', 1), 'ROLLBACK', 'BEGIN', 'SAVEPOINT s', $row->(3333, '2100-01-01 04:30', 1), 'ROLLBACK TO s', $row->(3333, '2100-01-01 05:00', 1), 'COMMIT');
is($told->(3333), '{["2100-01-01 05:00:00+00",)}', 'a late event of a key that is not loaded is noticed from its instant on; one after all events and reads is not noticed');
$since_now->();
$sql->($row->(3333, '2100-03-02', 1), $row->(3333, '2100-01-01 06:00', 1));
is($told->(3333), '{["2100-01-01 06:00:00+00",)}', 'the same for the next late event');
$since_now->();
$sql->(q{UPDATE e SET v = v + 1 WHERE k = 3333 AND at = '2100-01-01 05:00'});
is($told->(3333), '{["2100-01-01 05:00:00+00",)}', 'an UPDATE of an event is noticed from its instant on');
$since_now->();
$sql->(q{DELETE FROM e WHERE k = 3333 AND at = '2100-01-01 06:00'});
is($told->(3333), '{["2100-01-01 06:00:00+00",)}', 'a DELETE of an event is noticed from its instant on');
$since_now->();
$sql->(q{SELECT FROM s WHERE k = 3334 AND at = '2100-04-02'}, $row->(3335, '2100-04-01', 1));
is($told->(3335), '{["2100-04-01 00:00:00+00",)}', 'an event after all others is noticed if a later instant was read');
all_is_right('after these notices');
is_verified('after these notices');

# ---- one key that does not fit -----------------------------------------------------------------------------

for (1 .. 3)
{
	is($sql->("SELECT v, n, hi FROM s WHERE k = $keys + 100 AND at = '2100-02-01'"), '100000|100000|1', 'the state of a key that does not fit is right');
	in_memory(@hot);
}
is(in_memory($keys + 100), 0, 'that key is never loaded');
until_in_memory('other keys are', 0.9 * $hot, sub { in_memory($keys + 100) }, @hot);
is($sql->(qq{SELECT count(*), bool_and(v = n) FROM contime.history(NULL::s, $keys + 100, '-infinity', 'infinity') h CROSS JOIN LATERAL (SELECT (h.state).v, (h.state).n) x}), '100000|t', 'the history of that key is right');

# ---- memory that others free --------------------------------------------------------------------------------

$reader->quit;
$sql->('DROP TABLE e CASCADE');
$second_is->("'ready'", 'when a table is dropped, the table of another database is cached as a whole');
$second_is_right->('as a whole');
my $entered = sub { $node->poll_query_until('second', 'SELECT sum(recent) = 0 FROM contime.tables') or die 'nothing enters' };
for my $step (1 .. 20)
{
	my $n = $most + $step * 10_000;
	$second->(qq{INSERT INTO m SELECT i, i % 1000, timestamptz '2020-02-01' + i * interval '1 s', i FROM generate_series($n - 9999, $n) i});
	$second->(q{SELECT FROM s WHERE k = 1 AND at = '2021-01-01'});
	$entered->();
	last if $second->(q{SELECT cache <> 'ready' FROM contime.tables}) eq 't';
}
$second_is->("'partial'", 'a cache that becomes too large becomes partial');
$second_is_right->('grown');

# A transaction uses the cache until it has shrunk, and the loader has tried to lock it. Nobody reads the table until the loader has left;
# then reads of a loaded key, which no loader has to load, make another one start.
my $loaded = '';
for (1 .. 600)
{
	$loaded = $second->(q{SELECT asked('SELECT * FROM s WHERE k = 1 AND at = ''2021-01-01''')});
	last if $loaded eq 'memory';
}
is($loaded, 'memory', 'a key of it is loaded');
my $logged = -s $node->logfile;
my $user = session('second');
$user->query_safe(q{BEGIN; SELECT FROM s WHERE k = 1 AND at = '2021-01-01'});
for my $step (reverse 1 .. 40)
{
	my $n = $most - 200_000 + $step * 10_000;
	$second->("DELETE FROM m WHERE id > $n");
	$entered->();
}
$node->poll_query_until('second', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'contime loader' AND datname = 'second'}) or die 'the loader does not leave';
is($second->(q{SELECT cache FROM contime.tables}), 'partial', 'without reads it stays partial');
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	$second->(q{SELECT FROM s WHERE k = 1 AND at = '2021-01-01'});
	last if slurp_file($node->logfile, $logged) =~ /still waiting for AccessExclusiveLock/;
	Time::HiRes::usleep(100_000);
}
is($second->('SELECT cache FROM contime.tables'), 'partial', 'it stays partial as long as it cannot be loaded again');
$user->query_safe('COMMIT');
$user->quit;
$second_is->("'ready'", 'it is loaded as a whole when it has shrunk');
$second_is_right->('shrunk');
$node->stop('fast');

# ---- keys of every type ------------------------------------------------------------------------------------------

SKIP:
{
	skip 'no build with assertions: CT_ASSERTIONS is not set', 1 unless $ENV{CT_ASSERTIONS};

	# No cache has all keys, and keys are evicted when others are loaded.
	$node = contime_node('kinds', install_path => $ENV{CT_ASSERTIONS}, 'contime.debug_partial' => 'on', 'contime.debug_validate' => 'on', 'autovacuum' => 'off', 'fsync' => 'off', 'log_statement' => 'none');
	my %kinds = (
		int => [ 'k int' => 'a' ],
		text => [ 'k text' => 'b' ],
		uuid => [ 'k uuid' => 'md5(b)::uuid' ],
		date => [ 'k date' => "date '2020-01-01' + a" ],
		bpchar => [ 'k char(40)' => 'b' ],
		two => [ 'k int' => 'a % 5', 'l text' => 'b' ],
		short => [ 'k text' => q{substr(repeat('0123456789', 12), 1, 115) || b} ],		# 126 bytes with their lengths
		long => [ 'k text' => q{repeat('long', 40) || b} ],
		longer => [ 'k int' => 'a', 'l text' => q{repeat(b, 30)} ]);
	my %names;
	$sql->($asked, 'CREATE TABLE x (id int PRIMARY KEY, a int, b text, at timestamptz, v int)',
		q{INSERT INTO x SELECT i, i % 40, 'k' || lpad((i % 40)::text, 5, '0'), timestamptz '2020-01-01' + (i * 7 % 1009) * interval '1 h', i % 13 - 6 FROM generate_series(1, 1000) i});
	for my $kind (sort keys %kinds)
	{
		my @columns = @{ $kinds{$kind} };
		my $definition = '';
		while (my ($column, $source) = splice @columns, 0, 2)
		{
			my ($name, $type) = split ' ', $column;
			push @{ $names{$kind} }, [ $name, "($source)::$type" ];
			$definition .= "$column OPTIONS (key 'true', source '" . $source =~ s/'/''/gr . "'), ";
		}
		$sql->("CREATE FOREIGN TABLE x_$kind ($definition at timestamptz OPTIONS (time 'true'), v bigint OPTIONS (rule 'sum'), n bigint OPTIONS (rule 'sum', source '1')) SERVER contime OPTIONS (events 'x')");
	}

	# Count the states that differ from plain SQL at these instants, for a selection of keys of which one has no rows.
	my $instants = q{unnest(ARRAY[timestamptz '2019-01-01', '2020-01-05', '2020-01-20 10:30', '2020-02-01', '2021-01-01']) t};
	my $unequal = sub {
		my $kind = shift;
		my ($list, $as, $same) = map { my $how = $_; join $_->[0], map { $how->[1]->(@$_) } @{ $names{$kind} } }
			[ ', ', sub { $_[0] } ], [ ', ', sub { "$_[1] AS $_[0]" } ], [ ' AND ', sub { "s.$_[0] = w.$_[0]" } ];
		return $sql->("WITH rows AS (SELECT $as, at, v FROM (SELECT a, b, at, v FROM x UNION ALL SELECT 77, 'k00077', NULL, NULL) x)
			SELECT count(*) FROM (SELECT $list, t, sum(v) FILTER (WHERE at <= t)::bigint AS v, count(*) FILTER (WHERE at <= t) AS n FROM rows CROSS JOIN $instants GROUP BY $list, t) w
			LEFT JOIN x_$kind s ON $same AND s.at = w.t WHERE coalesce(s.n, 0) <> w.n OR s.v IS DISTINCT FROM w.v");
	};
	my $where = sub {
		my ($kind, $a) = @_;
		my $b = sprintf 'k%05d', $a;
		my ($condition) = $sql->("SELECT concat_ws(' AND ', " . join(', ', map { "format('$_->[0] = %L', $_->[1])" } @{ $names{$kind} }) . ") FROM (SELECT $a AS a, '$b' AS b) x");
		return $sql->(sprintf 'SELECT asked(%s)', "\$q\$SELECT * FROM x_$kind WHERE $condition AND at = '2020-02-01'\$q\$");
	};
	my %of = map { $_ => /^long/ ? 'event tables' : 'memory' } keys %kinds;
	for my $kind (sort keys %kinds)
	{
		$node->poll_query_until('postgres', qq{SELECT count(*) < 0 FROM x_$kind; SELECT cache = 'partial' FROM contime.tables WHERE "table" = 'x_$kind'::regclass}, "f\nt") or die "x_$kind is not cached in part";
		my $from = '';
		for (1 .. 300)
		{
			$from = $where->($kind, 7);
			last if $from eq 'memory' || ($of{$kind} ne 'memory' && $_ == 5);
		}
		is($from, $of{$kind}, "a key of kind $kind is read from where it should be");
		for (1 .. 300)
		{
			$from = $where->($kind, 77);
			last if $from eq 'memory' || ($of{$kind} ne 'memory' && $_ == 5);
		}
		is($from, $of{$kind}, 'and so is a key without rows');
	}
	my $serial = 2000;
	my @writes = (
		q{INSERT INTO x SELECT SERIAL + i, i % 40, 'k' || lpad((i % 40)::text, 5, '0'), '2019-12-31', 3 FROM generate_series(1, 60) i},
		'UPDATE x SET v = v + 1 WHERE id % 11 = 3', q{UPDATE x SET a = 77, b = 'k00077' WHERE id % 40 = 7 AND id < 500}, q{UPDATE x SET at = at - interval '3 days' WHERE a < 5},
		'DELETE FROM x WHERE a = 9', 'BEGIN; DELETE FROM x WHERE id < 300; ROLLBACK', 'BEGIN; SAVEPOINT s; UPDATE x SET v = 100, a = a + 1; ROLLBACK TO s; UPDATE x SET v = v - 1 WHERE id % 3 = 0; COMMIT',
		'DELETE FROM x WHERE a = 77', 'BEGIN; INSERT INTO x SELECT SERIAL + 100, 77, \'k00077\', \'2020-01-10\', 1; DELETE FROM x WHERE a = 77; INSERT INTO x SELECT SERIAL + 101, 77, \'k00077\', \'2020-01-11\', 1; COMMIT');
	for my $write (@writes)
	{
		my @kind = sort keys %kinds;
		$unequal->($kind[ rand @kind ]);
		$serial += 1000;
		$sql->($write =~ s/SERIAL/$serial/gr);
		is(join(' ', map { "$_:" . $unequal->($_) } @kind), join(' ', map { "$_:0" } @kind), 'each kind is right after ' . substr($write, 0, 40));
	}
	is($sql->(qq{SELECT string_agg(equal::text, ' ') FROM contime.tables t CROSS JOIN LATERAL contime.verify(t."table") WHERE cache IS NOT NULL}), join(' ', ('true') x keys %kinds), 'contime.verify finds no difference');
	$node->stop('fast');
}
done_testing();
