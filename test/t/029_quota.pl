# Quotas and the reserve: a greedy role, table or database gets errors that name the limit, and others can work. Memory is measured while
# several sessions insert concurrently: it never exceeds a limit by more than a few blocks. Caches of durable tables stay below the limits,
# too, and none of their writers or readers fails.
use strict;
use warnings;
use Time::HiRes ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use IPC::Run;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('quota', 'contime.memory' => '24MB', 'max_worker_processes' => 16, 'fsync' => 'off');
my $sql = sub { $node->safe_psql('postgres', join ';', @_) };
my $columns = q{id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), n bigint OPTIONS (rule 'sum')};
my $mb = 1024 * 1024;
my $excess = 64 * 1024;		# by how much a limit may be exceeded, for each of the two partitions: see worker.c

sub table
{
	my ($name, $owner, $options) = @_;
	$sql->("CREATE FOREIGN TABLE $name ($columns) SERVER contime " . ($options ? "OPTIONS ($options)" : ''), "ALTER FOREIGN TABLE $name OWNER TO $owner");
	return;
}

# Insert rows until an insert fails; return the error.
sub fill
{
	my ($table, $from) = @_;
	for my $i ($from // 1 .. 100_000)
	{
		my ($state, $message) = sqlstate($node, "INSERT INTO $table SELECT j % 50, timestamptz '2020-01-01' + ($i * 2000 + j) * interval '1 s', 1 FROM generate_series(1, 2000) j");
		return "$state: $message" if $state;
	}
	return 'never';
}

sub bytes { return $sql->("SELECT coalesce(sum(bytes), 0) FROM contime.tables WHERE " . ($_[0] // 'true')) }

$sql->('CREATE ROLE greedy', 'CREATE ROLE meek', 'CREATE ROLE newcomer',
	map { "GRANT USAGE ON FOREIGN SERVER contime TO $_; GRANT CREATE ON SCHEMA public TO $_" } qw(greedy meek newcomer));

# ---- concurrent sessions at the limit of a table, a role and the database ------------------------

# Run a script in several sessions until all of them fail repeatedly; return the highest memory use meanwhile.
sub at_most
{
	my ($where, @scripts) = @_;
	my @sessions;
	for my $n (0 .. $#scripts)
	{
		my $file = $node->basedir . "/insert$n.sql";
		my ($stdout, $stderr) = ('', '');
		open(my $out, '>', $file) or die $!;
		print $out "$scripts[$n];\n" x 150;
		close $out;
		push @sessions, [IPC::Run::start(['psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', $file], '>', \$stdout, '2>', \$stderr), \$stderr];
	}
	my $most = $sql->(q{CREATE TEMP TABLE seen (bytes bigint)}, qq{DO \$\$
		BEGIN
			FOR i IN 1 .. 2000 LOOP
				INSERT INTO seen SELECT sum(bytes) FROM contime.tables WHERE $where;
				EXIT WHEN i % 50 = 0 AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid());
				COMMIT;
				PERFORM pg_sleep(0.003);
			END LOOP;
		END \$\$}, 'SELECT max(bytes) FROM seen');
	$_->[0]->finish for @sessions;
	my $refused = grep { ${$_->[1]} =~ /memory limit of/ } @sessions;
	is($refused, scalar @scripts, "all sessions get errors in the end ($where)");
	return $most;
}
# Late events of few keys, and events of new keys only.
sub late { return "INSERT INTO $_[0] SELECT j % 3, timestamptz '2020-01-01' + random() * interval '1 year', 1 FROM generate_series(1, 2000) j" }
sub fresh { return "INSERT INTO $_[0] SELECT (random() * 1e9)::int, now(), 1 FROM generate_series(1, 500) j" }

table('t', 'greedy', "memory_limit '2MB'");
my $most = at_most("\"table\" = 't'::regclass", map { late('t') } 1 .. 4);
cmp_ok($most, '<=', 2 * $mb + 2 * $excess, "a table's limit holds for late events");
note("2 MB and " . ($most - 2 * $mb));
$sql->('TRUNCATE t');
$most = at_most("\"table\" = 't'::regclass", map { fresh('t') } 1 .. 4);
cmp_ok($most, '<=', 2 * $mb + 2 * $excess, 'a table\'s limit holds for new keys');
note("2 MB and " . ($most - 2 * $mb));

$sql->("ALTER ROLE greedy SET contime.role_memory = '3MB'", 'TRUNCATE t', 'ALTER FOREIGN TABLE t OPTIONS (DROP memory_limit)', 'SELECT pg_sleep(1.1)');
table('t2', 'greedy');
$most = at_most("\"table\" IN ('t'::regclass, 't2'::regclass)", map { ($_ % 2 ? late('t') : fresh('t2')) } 1 .. 4);
cmp_ok($most, '<=', 3 * $mb + 2 * $excess, "a role's limit holds for two tables");
note("3 MB and " . ($most - 3 * $mb));

table('m', 'meek');
$sql->('TRUNCATE t, t2', 'ALTER ROLE greedy RESET contime.role_memory', "ALTER DATABASE postgres SET contime.database_memory = '3MB'", 'SELECT pg_sleep(1.1)');
$most = at_most('true', map { late($_) } qw(t t2 m));
cmp_ok($most, '<=', 3 * $mb + 2 * $excess, "a database's limit holds for two owners");
note("3 MB and " . ($most - 3 * $mb));

# An old PostgreSQL snapshot keeps events young: limits hold nevertheless.
$sql->('TRUNCATE t, t2, m', 'ALTER DATABASE postgres RESET contime.database_memory', q{ALTER FOREIGN TABLE t OPTIONS (ADD memory_limit '2MB')}, 'SELECT pg_sleep(1.1)');
{
	my $reader = $node->background_psql('postgres');
	fill('t');
	$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM m');
	my $used = bytes("\"table\" = 't'::regclass");
	my $peak = 0;
	for (1 .. 60)
	{
		$node->psql('postgres', late('t'));
		$used = bytes("\"table\" = 't'::regclass");
		$peak = $used if $used > $peak;
	}
	cmp_ok($peak, '<=', 2 * $mb + 2 * $excess, 'the limit holds while an old PostgreSQL snapshot is held');
	$reader->query_safe('COMMIT');
	$reader->quit;
}

# ---- the messages ------------------------------------------------------------------------------------------

my $said = sub { my (undef, undef, $err) = $node->psql('postgres', $_[0]); return $err };
like(fill('t'), qr/^53200: memory limit of continuous table "t" reached/, 'the message names the table');
like($said->('INSERT INTO t SELECT i, now(), 1 FROM generate_series(1, 20000) i'), qr/DETAIL:  It uses 20\d\d kB of its memory_limit of 2048 kB\..*HINT:  TRUNCATE the table, give it the option retain, or raise its option memory_limit\./s, 'the detail says how much of the limit is used');
$sql->("ALTER ROLE greedy SET contime.role_memory = '1MB'", 'SELECT pg_sleep(1.1)');
like($said->('INSERT INTO t2 VALUES (1, now(), 1)'), qr/memory limit of role "greedy" reached.*DETAIL:  The continuous tables that the role owns use \d+ kB of its contime.role_memory of 1024 kB, this one \d+ (bytes|kB)\..*HINT:.*ALTER ROLE/s, 'the message names the role');
$sql->("ALTER ROLE greedy RESET contime.role_memory", "ALTER DATABASE postgres SET contime.database_memory = '1MB'", 'SELECT pg_sleep(1.1)');
like($said->('INSERT INTO m VALUES (1, now(), 1)'), qr/memory limit of database "postgres" reached.*DETAIL:  The continuous tables of the database use \d+ kB of its contime.database_memory of 1024 kB.*HINT:.*ALTER DATABASE/s, 'the message names the database');
$sql->('ALTER DATABASE postgres RESET contime.database_memory');

# The server's default applies to a role without a setting, after a reload, whatever the session has set.
$node->append_conf('postgresql.conf', "contime.role_memory = '1MB'\n");
$node->reload;
until_true($node, "SELECT setting = '1024' FROM pg_settings WHERE name = 'contime.role_memory'", 'reloaded');
$sql->('SELECT pg_sleep(1.1)');
like($said->(q{SET contime.role_memory = '1GB'; INSERT INTO t2 VALUES (1, now(), 1)}), qr/memory limit of role "greedy" reached/, 'the default of postgresql.conf applies');
$sql->("ALTER ROLE greedy SET contime.role_memory = '-1'", 'SELECT pg_sleep(1.1)', 'INSERT INTO t2 VALUES (1, now(), 1)');
$node->append_conf('postgresql.conf', "contime.role_memory = -1\n");
$node->reload;
$sql->('ALTER ROLE greedy RESET contime.role_memory');

# Another database has an account of its own; the owner's account is the same.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', "CREATE EXTENSION contime; GRANT USAGE ON FOREIGN SERVER contime TO greedy; GRANT CREATE ON SCHEMA public TO greedy; SET ROLE greedy;
	CREATE FOREIGN TABLE t ($columns) SERVER contime; INSERT INTO t SELECT i % 10, timestamptz '2020-01-01' + i * interval '1 s', 1 FROM generate_series(1, 50000) i");
$sql->("ALTER ROLE greedy SET contime.role_memory = '2MB'", 'TRUNCATE t, t2', 'SELECT pg_sleep(1.1)');
like(fill('t2'), qr/memory limit of role "greedy" reached/, 'a role is charged for its tables in all databases');
cmp_ok(bytes(), '<=', 2 * $mb - $node->safe_psql('other', 'SELECT bytes FROM contime.tables') + 2 * $excess, 'together');
$node->safe_psql('postgres', 'DROP DATABASE other');
until_true($node, q{SELECT sum(memory_bytes) < 8 * 1024 * 1024 FROM contime.workers}, 'the memory of a dropped database is freed');
$sql->('ALTER ROLE greedy RESET contime.role_memory', 'SELECT pg_sleep(1.1)', 'TRUNCATE t, t2, m');

# ---- the reserve ----------------------------------------------------------------------------------------------

# The greedy table of a sole owner leaves room for the owner's other tables, and greedy tables of one owner leave room for other owners.
$sql->('DROP FOREIGN TABLE m, t2', 'ALTER FOREIGN TABLE t OPTIONS (DROP memory_limit)');
until_true($node, q{SELECT sum(memory_bytes) < 2 * 1024 * 1024 FROM contime.workers}, 'all tables are empty');
like(fill('t'), qr/^53200: out of memory for continuous table "t"/, 'a table fills the memory');
my $said_of_memory = $said->('INSERT INTO t SELECT i, now(), 1 FROM generate_series(1, 100000) i');
like($said_of_memory, qr/DETAIL:  Of the 24 MB of contime.memory only the reserve is free, and this table has had its share\. This table uses \d+ MB, other tables of its owner \d+ /, 'but for the reserve');
my %unit = (bytes => 1, kB => 1024, MB => 1024 * 1024);
my $accounted = 0;
$accounted += $1 * $unit{$2} while $said_of_memory =~ /(?:uses|owner|owners|\.|and) (\d+) (bytes|kB|MB)(?! of (?:it|contime))/g;
cmp_ok(abs($accounted - 24 * $unit{MB}), '<=', 3 * $unit{MB}, 'the error says what uses the memory, and nothing is missing') or note($said_of_memory);
table('s', 'greedy');
is($node->psql('postgres', "INSERT INTO s SELECT i, '2020-01-01', 1 FROM generate_series(1, 1000) i"), 0, 'another table of the owner can still be written to');
table('s1', 'greedy');
table('s2', 'greedy');
fill($_) for qw(s s1 s2);
table('n', 'newcomer');
is($node->psql('postgres', "INSERT INTO n SELECT i, '2020-01-01', 1 FROM generate_series(1, 2000) i"), 0, 'a table of another owner can still be written to when these have used up their part of the reserve');
is($sql->("SELECT sum(n) FROM n WHERE at = 'infinity'"), 2000, 'it can be read');
is($sql->("SELECT count(*) FROM t WHERE at = 'infinity'"), 50, 'the full table can be read');
$sql->('DROP FOREIGN TABLE t, s, s1, s2, n');
until_true($node, q{SELECT sum(memory_bytes) < 2 * 1024 * 1024 FROM contime.workers}, 'all tables are empty');

# ---- caches ------------------------------------------------------------------------------------------------------

$sql->('CREATE TABLE e (k int, at timestamptz, v int)', 'CREATE INDEX ON e (k, at)', "INSERT INTO e SELECT i % 2000, timestamptz '2020-01-01' + i * interval '1 s', 1 FROM generate_series(1, 150000) i",
	q{CREATE FOREIGN TABLE d (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v bigint OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'e', memory_limit '2MB')});
my $cached = sub {
	my ($table, $states) = @_;
	return $node->poll_query_until('postgres', qq{SELECT count(*) < 0 FROM $table WHERE k = 1; SELECT cache IN ($states) FROM contime.tables WHERE "table" = '$table'::regclass}, "f\nt");
};
ok($cached->('d', "'partial'"), 'a cache that would exceed the limit is partial');
logged($node, qr/continuous table "d" is cached in part: it does not fit into its memory limits/, 0, 'the log gives the reason');
my $hot = sub { $sql->("SELECT count(*) FROM generate_series(1, 100) i, LATERAL (SELECT v FROM d WHERE k = i AND at = 'infinity') s") };
my $in_memory = sub {
	for (1 .. 200) { $hot->(); return 1 if $sql->("EXPLAIN (ANALYZE, COSTS OFF) SELECT v FROM $_[0] WHERE k = $_[1] AND at = 'infinity'") =~ /Events: memory/; Time::HiRes::usleep(50_000) }
	return 0;
};
ok($in_memory->('d', 5), 'keys that are read are loaded');
my $peak = 0;
for my $round (1 .. 30)
{
	is($node->psql('postgres', "INSERT INTO e SELECT i % 100, timestamptz '2021-01-01' + ($round * 3000 + i) * interval '1 s', 1 FROM generate_series(1, 3000) i; DELETE FROM e WHERE k = 100 + $round"), 0, 'a writer never fails') if $round == 1 || $node->psql('postgres', "INSERT INTO e SELECT i % 100, timestamptz '2021-01-01' + ($round * 3000 + i) * interval '1 s', 1 FROM generate_series(1, 3000) i") != 0;
	my $now = bytes("\"table\" = 'd'::regclass");
	$peak = $now if $now > $peak;
	my ($got, $want) = split /\|/, $sql->("SELECT (SELECT sum(v) FROM d WHERE at = 'infinity'), (SELECT sum(v) FROM e)");
	is($got, $want, 'right') if $got != $want || $round == 30;
}
cmp_ok($peak, '<=', 2 * $mb + 2 * $excess, 'the limit is not exceeded');
is($sql->("SELECT equal FROM contime.verify('d')"), 't', 'contime.verify finds no difference');
ok($in_memory->('d', 5), 'keys are loaded again');
$sql->('ALTER FOREIGN TABLE d OPTIONS (DROP memory_limit)');
ok($cached->('d', "'ready'"), 'without the limit the whole table is cached');
$sql->("ALTER ROLE greedy SET contime.role_memory = '1MB'", 'ALTER TABLE e OWNER TO greedy', 'ALTER FOREIGN TABLE d OWNER TO greedy');
is($node->psql('postgres', "INSERT INTO e SELECT i % 100, timestamptz '2022-01-01' + i * interval '1 s', 1 FROM generate_series(1, 3000) i"), 0, "a write to an event table does not fail at the owner's limit");
ok($cached->('d', "'partial'"), 'the cache becomes partial');
cmp_ok(bytes("\"table\" = 'd'::regclass"), '<=', $mb + 2 * $excess, 'the cache uses no more than the limit');

$node->stop('fast');
done_testing();
