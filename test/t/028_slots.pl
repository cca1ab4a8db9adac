# One role cannot use up the slots for tables with events: only its own transaction gets an error, other roles' tables get slots, durable
# tables can be read without one, and a rollback frees slots.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

# With 64 MB there are 10,240 slots, of which one role can take half.
my $node = contime_node('slots', 'max_locks_per_transaction' => 512, 'max_prepared_transactions' => 2);
my $columns = q{(k int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), n bigint OPTIONS (rule 'sum'))};
my $many = sub { my ($from, $to, $sql) = @_; return "DO \$\$ BEGIN FOR i IN $from .. $to LOOP EXECUTE format('$sql', i); END LOOP; END \$\$" };
my $fill = sub { my ($from, $to) = @_; return $many->($from, $to, 'INSERT INTO m%s VALUES (1, 1, 1)') };

# Fill tables, each in a subtransaction of its own, until one fails; set slots.full to their number.
my $fill_all = q{DO $$ DECLARE i int := 0; BEGIN LOOP i := i + 1; BEGIN EXECUTE format('INSERT INTO m%s VALUES (1, 1, 1)', i);
	EXCEPTION WHEN program_limit_exceeded THEN PERFORM set_config('slots.full', i::text, false); EXIT; END; END LOOP; END $$};

$node->safe_psql('postgres', 'CREATE ROLE greedy LOGIN; CREATE ROLE other LOGIN; CREATE DATABASE elsewhere; GRANT ALL ON SCHEMA public TO greedy; GRANT USAGE ON FOREIGN SERVER contime TO greedy');
$node->safe_psql('elsewhere', 'CREATE EXTENSION contime; GRANT ALL ON SCHEMA public TO other; GRANT USAGE ON FOREIGN SERVER contime TO other');

# Event tables, plain and partitioned, and durable tables over them, compared with plain SQL.
my $durable = qq{
	CREATE TABLE e (id int, k int, at bigint, n bigint); CREATE INDEX ON e (k, at);
	CREATE TABLE p (k int, at bigint, n bigint) PARTITION BY RANGE (at); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100); CREATE INDEX ON p (k, at);
	INSERT INTO e SELECT i, i % 10, i, 1 FROM generate_series(1, 90) i; INSERT INTO p SELECT i % 10, i, 1 FROM generate_series(1, 90) i;
	CREATE FOREIGN TABLE de $columns SERVER contime OPTIONS (events 'e'); CREATE FOREIGN TABLE dp $columns SERVER contime OPTIONS (events 'p');
	CREATE FOREIGN TABLE m $columns SERVER contime};
my $wrong = q{SELECT (SELECT count(*) FROM (SELECT k, n FROM de WHERE at = 1000) d FULL JOIN (SELECT k, sum(n) AS n FROM e GROUP BY k) e USING (k, n) WHERE d IS NULL OR e IS NULL)
	+ (SELECT count(*) FROM (SELECT k, n FROM dp WHERE at = 1000) d FULL JOIN (SELECT k, sum(n) AS n FROM p GROUP BY k) e USING (k, n) WHERE d IS NULL OR e IS NULL)};
my @ddl = ('TRUNCATE e', 'ALTER TABLE e ALTER id TYPE bigint', 'ALTER TABLE e ADD extra int', 'TRUNCATE p1', 'CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200)',
	'ALTER TABLE p DETACH PARTITION p1; ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (100)', 'DROP TABLE p1', 'CLUSTER e USING e_k_at_idx');
$node->safe_psql('postgres', $durable, extra_params => [ '-U', 'greedy' ]);
$node->safe_psql('elsewhere', $durable, extra_params => [ '-U', 'other' ]);

# Everything that another role does, in one psql; reports what went wrong.
my $works = sub {
	my ($database, $role, $memory, $what) = @_;
	my @sql = ($wrong);
	push @sql, 'BEGIN', $_, $wrong, 'INSERT INTO e (id, k, at, n) VALUES (1000, 3, 95, 7)', $wrong, 'ROLLBACK', $wrong for @ddl;
	push @sql, 'BEGIN', 'TRUNCATE e', 'INSERT INTO e (id, k, at, n) SELECT i, i % 7, i, 2 FROM generate_series(1, 50) i', 'COMMIT', $wrong;
	push @sql, 'TRUNCATE m', 'INSERT INTO m VALUES (1, 1, 1)', 'SELECT n - 1 FROM m WHERE at = 5', "CREATE FOREIGN TABLE mine $columns SERVER contime", 'INSERT INTO mine VALUES (1, 1, 1)',
		'TRUNCATE mine', 'INSERT INTO mine VALUES (1, 1, 1)', 'SELECT n - 1 FROM mine WHERE at = 5', 'DROP FOREIGN TABLE mine' if $memory;
	my ($ret, $out, $err) = $node->psql($database, join(";\n", @sql) . ';', extra_params => [ '-U', $role ], on_error_stop => 0);
	$out =~ s/^0\n?//mg;
	is("$out$err", '', $what);
	return;
};

# Durable tables of the other role, and of greedy, are cached before.
$node->poll_query_until($_, q{SELECT count(*) >= 0 FROM de; SELECT count(*) >= 0 FROM dp; SELECT count(*) = 2 FROM contime.tables WHERE cache = 'ready'}, "t\nt\nt") or die for qw(postgres elsewhere);

# Tables without events take no slot.
my $greedy = $node->background_psql('postgres', extra_params => [ '-U', 'greedy' ], on_error_stop => 0);
$greedy->query_safe('BEGIN');
$greedy->query_safe($many->(1, 11000, "CREATE FOREIGN TABLE m%s (k int OPTIONS (key ''true''), at bigint OPTIONS (time ''true''), n bigint OPTIONS (rule ''sum'')) SERVER contime"));
$works->('elsewhere', 'other', 1, 'with 11,000 empty tables in a transaction another role can work');
$works->('postgres', 'greedy', 1, 'and so can the role itself');
$greedy->query_safe('COMMIT');

# Tables with events: only the transaction that wants too many gets an error.
$greedy->query_safe('BEGIN');
$greedy->query_safe($fill_all);
my $full = $greedy->query_safe(q{SELECT current_setting('slots.full')::int});
ok($full > 5000 && $full < 5130, "a role can have half of the slots: $full");
is(join('|', (sqlstate($node, "SET ROLE greedy; INSERT INTO m11000 VALUES (1, 1, 1)"))[ 0, 1 ]), '54000|too many continuous tables with data', 'the next table fails with 54000');
$works->('elsewhere', 'other', 1, 'another role can work');
$works->('postgres', 'greedy', 0, 'the role itself can use ordinary tables');
$greedy->query_safe('ROLLBACK');
is($node->safe_psql('postgres', $fill->(6000, 10900) . '; SELECT 1'), '1', 'after a rollback the role can fill as many other tables');
$node->safe_psql('postgres', $many->(6000, 10900, 'DROP FOREIGN TABLE m%s'));
$works->('postgres', 'greedy', 1, 'after dropping them the role can work again');

# A prepared transaction keeps its slots until it is rolled back.
$greedy->query_safe('BEGIN');
$greedy->query_safe($fill_all);
$greedy->query_safe(q{PREPARE TRANSACTION 'greedy'});
$works->('elsewhere', 'other', 1, 'during a prepared transaction another role can work');
$greedy->query_safe(q{ROLLBACK PREPARED 'greedy'});

# Subtransactions that TRUNCATE and write, committed or rolled back.
$node->safe_psql('postgres', 'INSERT INTO m VALUES (2, 1, 5)');
my $before = $node->safe_psql('postgres', 'SELECT k, n FROM m WHERE at = 10');
$greedy->query_safe('BEGIN');
$greedy->query_safe(q{DO $$ BEGIN FOR i IN 1 .. 5000 LOOP BEGIN TRUNCATE m; INSERT INTO m VALUES (1, 1, i); IF i % 2 = 0 THEN RAISE EXCEPTION USING ERRCODE = 'P0009'; END IF; EXCEPTION WHEN SQLSTATE 'P0009' THEN END; END LOOP; END $$});
is($greedy->query_safe('SELECT k, n FROM m WHERE at = 10'), '1|4999', 'the state after 5,000 subtransactions with TRUNCATE');
$works->('elsewhere', 'other', 1, 'during this transaction another role can work');
my @nested = map { "SAVEPOINT s$_; TRUNCATE m; INSERT INTO m VALUES (1, 1, $_)" } 1 .. 200;
$greedy->query_safe(join(';', @nested));
is($node->safe_psql('postgres', 'SELECT count(*) > 0 FROM contime.tables'), 't', 'contime.tables works with 200 generations of unknown status');
is($greedy->query_safe("ROLLBACK TO s$_; SELECT n FROM m WHERE at = 10"), $_ == 1 ? 4999 : $_ - 1, "the state after ROLLBACK TO savepoint $_") for 150, 1;
$greedy->query_safe('ROLLBACK');
is($node->safe_psql('postgres', 'SELECT k, n FROM m WHERE at = 10'), $before, 'the state after ROLLBACK is that of before');

# DROP, repeatedly rolled back, and then committed.
$greedy->query_safe('BEGIN');
$greedy->query_safe(q{DO $$ BEGIN FOR i IN 1 .. 200 LOOP BEGIN DROP FOREIGN TABLE m; RAISE EXCEPTION USING ERRCODE = 'P0009'; EXCEPTION WHEN SQLSTATE 'P0009' THEN END; END LOOP; END $$});
is($greedy->query_safe('SELECT k, n FROM m WHERE at = 10'), $before, 'the state after DROPs that were rolled back is that of before');
$greedy->query_safe('DROP FOREIGN TABLE m');
$greedy->query_safe('COMMIT');
$works->('elsewhere', 'other', 1, 'another role can still work');
$greedy->quit;

# All slots are freed: only tables with events are left, without the dropped one.
until_true($node, q{SELECT count(*) FILTER (WHERE cache IS NULL) = 0 FROM contime.tables WHERE keys > 0}, 'no slot of a dropped or empty table is left');
$node->stop('fast');

done_testing();
