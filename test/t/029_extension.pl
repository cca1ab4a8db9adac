# The extension owns its schema: a database is dumped and restored, by a superuser and by its owner, and upgraded with pg_upgrade.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('extension');
sub dumped { return join '', grep { !/^\\(un)?restrict / } map { "$_\n" } split /\n/, slurp_file($_[0]) }
sub in_db { my ($db, $sql) = @_; return $node->safe_psql($db, $sql) }
sub sqlstate_in { my ($db, $sql) = @_; my (undef, undef, $err) = $node->psql($db, "\\set VERBOSITY verbose\n$sql"); return $err =~ /ERROR:\s+(\w{5}):/ ? $1 : 'none' }

my $tables = q{
	CREATE TABLE movement (id int, at timestamptz, v int);
	CREATE FOREIGN TABLE durable (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'movement');
	CREATE FOREIGN TABLE added (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
	SELECT contime.add_source('added', 'movement', '{"v": "2 * v"}');
	INSERT INTO movement VALUES (1, '2026-01-01', 5), (2, '2026-01-01', 6);
	CREATE FOREIGN TABLE memory (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
	INSERT INTO memory VALUES (1, '2026-01-01', 7)};
my $states = q{SELECT string_agg(id || ':' || v, ' ' ORDER BY id, v) FROM (SELECT id, v FROM durable UNION ALL SELECT id, v FROM added) x};
my $want = '1:5 1:10 2:6 2:12';

# Dump the database as a superuser, and restore it into a new one.
$node->safe_psql('postgres', 'CREATE DATABASE created');
in_db('created', "CREATE EXTENSION contime; $tables");
is(in_db('created', $states), $want, "states");
my $file = $node->basedir . "/created.sql";
command_ok([ 'pg_dump', '--no-sync', '-f', $file, $node->connstr('created') ], "pg_dump");
like(slurp_file($file), qr/CREATE EXTENSION IF NOT EXISTS contime WITH SCHEMA pg_catalog/, "the dump names the schema of the control file");
unlike(slurp_file($file), qr/CREATE SCHEMA contime/, "the dump does not create the schema contime itself");
$node->safe_psql('postgres', "CREATE DATABASE created_again");
command_ok([ 'psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-f', $file, $node->connstr("created_again") ], "restored");
is(in_db('created_again', $states), $want, "the restored tables have the same states");
my $again = $node->basedir . "/created.again.sql";
command_ok([ 'pg_dump', '--no-sync', '-f', $again, $node->connstr("created_again") ], "pg_dump of what was restored");
is(dumped($again), dumped($file), "both dumps are equal");
my $parallel = $node->basedir . "/created.dir";
command_ok([ 'pg_dump', '--no-sync', '-Fd', '-j', '2', '-f', $parallel, $node->connstr('created') ], "pg_dump in parallel");
$node->safe_psql('postgres', "CREATE DATABASE created_parallel");
command_ok([ 'pg_restore', '-j', '2', '-e', '-d', $node->connstr("created_parallel"), $parallel ], "pg_restore with two jobs");
is(in_db('created_parallel', $states), $want, "the restored tables have the same states");
in_db('created_again', 'DROP EXTENSION contime CASCADE');
is(in_db('created_again', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'contime'}), '0', "DROP EXTENSION leaves no object");

# Privileges that were granted or revoked are dumped, as they differ from the extension's own.
in_db('created', q{CREATE ROLE reader; GRANT EXECUTE ON FUNCTION contime.source_changed() TO reader; REVOKE SELECT ON contime.source FROM PUBLIC});
my ($dump) = run_command([ 'pg_dump', $node->connstr('created') ]);
like($dump, qr/GRANT ALL ON FUNCTION contime\.source_changed\(\) TO reader/, 'a granted privilege is dumped');
like($dump, qr/REVOKE SELECT ON TABLE contime\.source FROM PUBLIC/, 'a revoked privilege is dumped');
in_db('created', q{REVOKE EXECUTE ON FUNCTION contime.source_changed() FROM reader; GRANT SELECT ON contime.source TO PUBLIC});

# The owner of a database, who is no superuser, dumps it.
$node->safe_psql('postgres', 'CREATE ROLE host LOGIN; CREATE DATABASE hosted OWNER host');
in_db('hosted', 'CREATE EXTENSION contime; GRANT USAGE ON FOREIGN SERVER contime TO host; GRANT CREATE ON SCHEMA public TO host');
in_db('hosted', "SET ROLE host; $tables");
my $hosted = $node->basedir . '/hosted.sql';
command_ok([ 'pg_dump', '--no-sync', '-U', 'host', '-f', $hosted, $node->connstr('hosted') ], 'pg_dump by the owner of the database');
like(slurp_file($hosted), qr/COPY contime\.source .*\npublic\.added/, 'the dump has the rows of contime.source');

# The schema exists before the extension.
$node->safe_psql('postgres', 'CREATE ROLE eve LOGIN; CREATE DATABASE prepared; GRANT CREATE ON DATABASE prepared TO eve');
in_db('prepared', q{SET ROLE eve; CREATE SCHEMA contime; CREATE FUNCTION contime.at(anyelement, timestamptz, int) RETURNS SETOF anyelement LANGUAGE sql AS 'SELECT $1'});
for my $command ('CREATE EXTENSION contime', 'CREATE EXTENSION IF NOT EXISTS contime', 'CREATE EXTENSION contime SCHEMA pg_catalog', 'CREATE EXTENSION contime CASCADE')
{
	is(sqlstate_in('prepared', $command), '42P06', "$command: refused if the schema exists");
}
is(sqlstate_in('prepared', 'CREATE EXTENSION contime SCHEMA contime'), '0A000', 'refused if the existing schema is named');
is(in_db('prepared', q{SELECT count(*) FROM pg_extension WHERE extname = 'contime'}), '0', 'no extension is left');
is(in_db('prepared', q{SELECT count(*) FROM pg_foreign_data_wrapper}), '0', 'no foreign data wrapper is left');
is(sqlstate_in('created', 'SET ROLE eve; CREATE FUNCTION contime.at(anyelement, timestamptz, int) RETURNS int LANGUAGE sql AS $$SELECT 1$$'), '42501', 'another role cannot create functions in the extension\'s schema');
in_db('created', 'ALTER DATABASE created OWNER TO eve');
is(sqlstate_in('created', 'SET ROLE eve; CREATE TABLE contime.mine (a int)'), '42501', 'the owner of the database cannot create tables in it');
is(sqlstate_in('created', 'SET ROLE eve; ALTER SCHEMA contime RENAME TO mine'), '42501', 'nor rename it');
is(sqlstate_in('created', 'SET ROLE eve; DROP SCHEMA contime CASCADE'), '42501', 'nor drop it');
is(sqlstate_in('created', 'ALTER EXTENSION contime SET SCHEMA public'), '0A000', 'the extension cannot be moved to another schema');

# An extension that another session created or dropped is known in this session.
my $session = $node->background_psql('prepared');
$session->query_safe('SET client_min_messages = warning; CREATE FOREIGN DATA WRAPPER plain; CREATE SERVER plain FOREIGN DATA WRAPPER plain; CREATE FOREIGN TABLE remote (id int) SERVER plain; ALTER FOREIGN TABLE remote RENAME TO remotes');
in_db('prepared', "DROP SCHEMA contime CASCADE; CREATE EXTENSION contime; $tables");
is($session->query_safe($states), $want, 'an extension that another session has created');
$session->query_safe(q{ALTER TABLE movement RENAME COLUMN v TO w});
in_db('prepared', "DROP EXTENSION contime CASCADE; DROP TABLE movement; CREATE EXTENSION contime; $tables");
is($session->query_safe($states), $want, 'an extension that was dropped and created again');
$session->query_safe(q{ALTER TABLE movement RENAME COLUMN v TO w; BEGIN; DROP EXTENSION contime CASCADE; CREATE EXTENSION contime; ROLLBACK});
is($session->query_safe($states), $want, 'an extension whose DROP was rolled back');
$session->query_safe('INSERT INTO movement VALUES (3, now(), 1); DROP FOREIGN TABLE added');
is($session->query_safe('SELECT count(*) FROM contime.source'), '0', 'its table contime.source is the new one');
$session->quit;

# pg_upgrade starts servers in which contime does nothing: definitions and event tables must be there afterwards, and an ALTER connects them again.
$node->stop('fast');
my $new = PostgreSQL::Test::Cluster->new('upgraded');
$new->init;
$new->append_conf('postgresql.conf', "shared_preload_libraries = 'contime'\ncontime.memory = '64MB'\ntimezone = 'UTC'\n");
my $bindir = $node->config_data('--bindir');
chdir $new->basedir or die;
command_ok([ 'pg_upgrade', '-d', $node->data_dir, '-D', $new->data_dir, '-b', $bindir, '-B', $bindir, '-s', $new->host, '-p', $node->port, '-P', $new->port ], 'pg_upgrade');
$new->start;
is($new->safe_psql('created', $states), $want, "the states are the same");
$new->safe_psql('created', q{INSERT INTO movement VALUES (2, '2026-01-02', 1)});
is($new->safe_psql('created', $states), '1:5 1:10 2:7 2:14', "the states contain rows written afterwards");
$new->safe_psql('created', q{ALTER FOREIGN TABLE durable OPTIONS (ADD notify 'off'); ALTER FOREIGN TABLE added OPTIONS (ADD notify 'off')});
is(($new->psql('created', 'DROP TABLE movement'))[0], 3, "the event table cannot be dropped without the continuous table");
is($new->safe_psql('created', q{SELECT extnamespace::regnamespace, count(*) FROM pg_extension e JOIN pg_depend d ON refobjid = e.oid AND deptype = 'e'
	WHERE extname = 'contime' AND classid = 'pg_namespace'::regclass GROUP BY 1}), 'pg_catalog|1', "the extension owns its schema");
$new->stop('fast');

done_testing();
