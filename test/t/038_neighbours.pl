# Neighbours: contime, preloaded first and last among other extensions with hooks, gives the same answers, and they see its statements. With PostGIS, a
# geometry is the value of a column. An extension that is not installed is skipped.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my ($sharedir) = run_command([ 'pg_config', '--sharedir' ]);
my ($libdir) = run_command([ 'pg_config', '--pkglibdir' ]);
sub is_installed { my $name = shift; return -e "$libdir/$name.so" || -e "$sharedir/extension/$name.control" }

my @wanted = qw(pg_stat_statements auto_explain pgaudit pg_cron pg_qualstats pg_wait_sampling);
my @others = grep { is_installed($_) } @wanted;
for my $name (@wanted)
{
	SKIP: { skip "$name is not installed", 1 if !is_installed($name); pass("$name is installed") }
}
my %has = map { $_ => 1 } @others;
my %settings = (
	pg_stat_statements => { 'pg_stat_statements.track' => 'all' },
	auto_explain => { 'auto_explain.log_min_duration' => '0', 'auto_explain.log_analyze' => 'on', 'auto_explain.log_nested_statements' => 'on' },
	pgaudit => { 'pgaudit.log' => 'all', 'pgaudit.log_relation' => 'on' },
	pg_cron => { 'cron.database_name' => 'postgres', 'cron.use_background_workers' => 'on' },
	pg_qualstats => { 'pg_qualstats.sample_rate' => '1', 'pg_qualstats.resolve_oids' => 'on' },
	pg_wait_sampling => { 'pg_wait_sampling.profile_period' => '1ms' });

my $work = q{
	CREATE TABLE movement (id int, at timestamptz, v int);
	CREATE FOREIGN TABLE durable (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'movement');
	INSERT INTO account SELECT i % 10, timestamptz '2026-01-01' + i * interval '1 min', i, 'n' || i FROM generate_series(1, 1000) i;
	INSERT INTO movement SELECT i % 10, timestamptz '2026-01-01' + i * interval '1 min', i FROM generate_series(1, 1000) i;
	UPDATE movement SET v = v + 1 WHERE id = 3;
	DELETE FROM movement WHERE id = 4;
	PREPARE balance(int, timestamptz) AS SELECT balance FROM account WHERE id = $1 AND at = $2;
	BEGIN; SAVEPOINT s; INSERT INTO account VALUES (1, '2026-01-01', 1000000); ROLLBACK TO s; COMMIT;
	ALTER TABLE movement RENAME TO motion};
my $answers = q{
	EXECUTE balance(5, '2026-01-01 10:00');
	SELECT sum(balance) FROM account WHERE at = '2026-01-01 08:00';
	SELECT string_agg(id || ':' || v, ' ' ORDER BY id) FROM durable WHERE at = '2026-01-01 12:00';
	SELECT count(*), sum((state).balance) FROM contime.history(NULL::account, 7, '2026-01-01', '2026-01-02');
	SELECT sum(a.balance) FROM generate_series(timestamptz '2026-01-01', '2026-01-02', '1 h') g(t) JOIN account a ON a.at = g.t AND a.id = 3;
	SELECT count(*) FROM (SELECT id, v FROM durable WHERE at = '2026-01-02' EXCEPT SELECT id, sum(v) FROM motion GROUP BY id) x;
	SELECT balance FROM account WHERE id = 1 AND at = '2026-01-02' FOR UPDATE;
	SELECT mismatches FROM (SELECT count(*) AS mismatches FROM contime.verify('durable') v WHERE v IS NULL) x};

# Start a server that preloads these libraries, and run the statements. Returns it and the answers.
sub run_work
{
	my ($name, @preload) = @_;
	my $node = contime_node($name, 'max_worker_processes' => 20, (map { %{ $settings{$_} // {} } } @preload), 'shared_preload_libraries' => join(',', @preload));
	$node->safe_psql('postgres', "CREATE EXTENSION $_") for grep { $_ ne 'contime' && -e "$sharedir/extension/$_.control" } @preload;
	return ($node, $node->safe_psql('postgres', "$work; $answers"));
}

my ($alone, $want) = run_work('alone', 'contime');
like($want, qr/^\d+\n\d+\n0:/, 'contime alone gives answers');
$alone->stop('fast');

my %node;
for my $order ([ 'first', 'contime', @others ], [ 'last', @others, 'contime' ])
{
	my ($place, @preload) = @$order;
	($node{$place}, my $got) = run_work("contime_$place", @preload);
	is($got, $want, "contime $place: the answers are the same");
	$node{$place}->safe_psql('postgres', q{SELECT cron.schedule('tick', '* * * * *', $$INSERT INTO account VALUES (77, now(), 1)$$)}) if $has{pg_cron};
}
for my $place (sort keys %node)
{
	my $node = $node{$place};
	until_cached($node, 'durable');
	SKIP:
	{
		skip 'pg_stat_statements is not installed', 1 if !$has{pg_stat_statements};
		is($node->safe_psql('postgres', q{SELECT calls > 0 AND rows > 0 FROM pg_stat_statements WHERE query LIKE 'SELECT sum(balance) FROM account WHERE at =%'}), 't',
			"contime $place: pg_stat_statements counts a read");
	}
	SKIP:
	{
		skip 'auto_explain is not installed', 1 if !$has{auto_explain};
		logged($node, qr/Foreign Scan on account.*Instant: /s, 0, "contime $place: auto_explain logs the plan of a scan");
	}
	SKIP:
	{
		skip 'pgaudit is not installed', 1 if !$has{pgaudit};
		logged($node, qr/AUDIT: SESSION,\d+,\d+,READ,SELECT,FOREIGN TABLE,public\.account/, 0, "contime $place: pgaudit logs a read");
	}
	SKIP:
	{
		skip 'pg_cron is not installed', 1 if !$has{pg_cron};
		until_true($node, q{SELECT EXISTS (SELECT FROM account WHERE id = 77)}, "contime $place: a job of pg_cron, which runs each minute, writes an event");
	}
	SKIP:
	{
		skip 'pg_qualstats is not installed', 1 if !$has{pg_qualstats};
		is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM pg_qualstats() WHERE lrelid = 'motion'::regclass OR lrelid = 'account'::regclass}), 't',
			"contime $place: pg_qualstats sees conditions on a continuous table");
	}
	SKIP:
	{
		skip 'pg_wait_sampling is not installed', 1 if !$has{pg_wait_sampling};
		until_true($node, q{SELECT count(*) > 0 FROM pg_wait_sampling_profile p JOIN contime.workers w USING (pid)}, "contime $place: pg_wait_sampling samples the workers");
	}
	$node->stop('fast');
	unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|XX000|TRAP:/, "contime $place: no crash and no internal error");
}

# Geometries.
SKIP:
{
	skip 'PostGIS is not installed', 4 if !is_installed('postgis');
	my $node = contime_node('postgis');
	$node->safe_psql('postgres', q{
		CREATE EXTENSION postgis;
		CREATE FOREIGN TABLE vessel (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), position geometry(Point, 4326), area geometry) SERVER contime;
		CREATE TABLE fix (id int, at timestamptz, position geometry(Point, 4326), area geometry);
		INSERT INTO fix SELECT i % 7, timestamptz '2026-01-01' + i * interval '1 min', ST_SetSRID(ST_MakePoint(i % 180, i % 90), 4326), ST_Buffer(ST_MakePoint(i, i), 1 + i % 3) FROM generate_series(1, 500) i;
		INSERT INTO vessel SELECT * FROM fix ORDER BY md5(at::text)});
	my $plain = q{(SELECT DISTINCT ON (id) id, position, area FROM fix WHERE at <= '2026-01-01 04:00' ORDER BY id, fix.at DESC)};
	is($node->safe_psql('postgres', qq{SELECT count(*), bool_and(ST_Equals(v.position, p.position) AND ST_OrderingEquals(v.area, p.area) AND ST_SRID(v.position) = 4326)
		FROM vessel v JOIN $plain p USING (id) WHERE v.at = '2026-01-01 04:00'}), '7|t', 'the geometries at an instant are those of the last events');
	is($node->safe_psql('postgres', q{SELECT v.id FROM vessel v WHERE v.at = '2026-01-01 04:00' ORDER BY v.position <-> ST_SetSRID(ST_MakePoint(0, 0), 4326), id LIMIT 1}),
		$node->safe_psql('postgres', qq{SELECT id FROM $plain p ORDER BY position <-> ST_SetSRID(ST_MakePoint(0, 0), 4326), id LIMIT 1}), 'the nearest one');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM contime.history(NULL::vessel, 3, '2026-01-01', '2026-01-02')}), $node->safe_psql('postgres', 'SELECT count(*) FROM fix WHERE id = 3'), 'a history of geometries');
	is((sqlstate($node, q{INSERT INTO vessel VALUES (1, now(), ST_SetSRID(ST_MakePoint(1, 1), 3857))}))[0], '22023', 'the type of the column is checked');
	$node->stop('fast');
}

done_testing();
