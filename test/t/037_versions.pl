# Versions: an update to a made-up next version, 0.2.1, gives the same objects as its installation, and keeps tables, views and events;
# a library that is older than the SQL objects is an error with a hint, one that is newer works.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use File::Path qw(make_path);
use FindBin;
use lib $FindBin::RealBin;
use Contime;

# A copy of the server's programs for this test: files are links, but the library is a file of its own.
my %dir = map { my ($path) = run_command([ 'pg_config', "--$_" ]); ($_ => $path) } qw(bindir pkglibdir sharedir);
my $copy = PostgreSQL::Test::Utils::tempdir_short;
for my $path (values %dir)
{
	make_path("$copy$path");
	system_or_bail('cp', '-al', "$path/.", "$copy$path");
}
my $library = "$copy$dir{pkglibdir}/contime.so";
my $scripts = "$copy$dir{sharedir}/extension";
my $old = slurp_file($library);
my $next = $old =~ s/\x000\.2\.0\x00/\x000.2.1\x00/gr;
isnt($next, $old, 'the library has its version');

# Install a file as `make install` does: a running server keeps the old one.
sub install
{
	my ($path, $content) = @_;
	unlink $path;
	append_to_file($path, $content);
	chmod 0755, $path;
	return;
}

# Restart the server with a library.
my $node;
sub restart_with { $node->stop('fast'); install($library, shift); $node->start; return }

my $addition = q{
CREATE FUNCTION contime.made_up() RETURNS text AS 'MODULE_PATHNAME', 'contime_version' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION contime.made_up() IS 'a function of the next version';
CREATE VIEW contime.made_up_tables AS SELECT "table", keys FROM contime.tables;
COMMENT ON VIEW contime.made_up_tables IS 'a view of the next version';
GRANT SELECT ON contime.made_up_tables TO PUBLIC;
};
my $script = slurp_file("$scripts/contime--0.2.0.sql");
my $fresh = $script =~ s/check_library\('0\.2\.0'\)/check_library('0.2.1')/r;
isnt($fresh, $script, 'the script checks the library');

install($library, $old);
$node = contime_node('versions', install_path => "$copy$dir{bindir}/..");
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(updated created);

# Tables of each kind, and views and functions over the functions of contime.
my $objects = q{
	CREATE TABLE movement (id int, at timestamptz, v int);
	CREATE FOREIGN TABLE durable (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'movement');
	CREATE FOREIGN TABLE added (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
	SELECT contime.add_source('added', 'movement', '{"v": "2 * v"}');
	CREATE FOREIGN TABLE memory (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
	CREATE FOREIGN TABLE ticking (id int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime;
	CREATE VIEW past AS SELECT id, v FROM contime.at(NULL::memory, '2026-01-01 12:00');
	CREATE VIEW changes AS SELECT lower(during) AS since, (state).v FROM contime.history(NULL::memory, 1, NULL, NULL, columns => '{v}');
	CREATE VIEW sizes AS SELECT "table", keys FROM contime.tables;
	CREATE FUNCTION latest() RETURNS bigint BEGIN ATOMIC SELECT contime.latest_tick(NULL::ticking); END;
	INSERT INTO movement VALUES (1, '2026-01-01', 5), (2, '2026-01-01', 6);
	INSERT INTO memory VALUES (1, '2026-01-01', 7), (1, '2026-01-02', 1);
	INSERT INTO ticking VALUES (1, 10, 7)};
my $states = q{SELECT (SELECT string_agg(id || ':' || v, ' ' ORDER BY id, v) FROM (SELECT id, v FROM durable UNION ALL SELECT id, v FROM added) x),
	(SELECT v FROM past), (SELECT string_agg(v::text, ' ' ORDER BY since) FROM changes), (SELECT v FROM memory), (SELECT v FROM ticking), latest()};
my $kept = '1:5 1:10 2:6 2:12|7|7 8|8|7|10';
my $restarted = '1:5 1:10 2:6 2:12|||||';

# What the extension consists of, object by object.
my $members = q{
	SELECT format('%s %s', pg_describe_object(classid, objid, 0), CASE classid
		WHEN 'pg_proc'::regclass THEN (SELECT format('%s %s %s%s%s%s %s %s', pg_get_function_arguments(oid), pg_get_function_result(oid), provolatile, proisstrict,
			prosecdef, proparallel, prosrc, (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(proacl) a)) FROM pg_proc WHERE oid = objid)
		WHEN 'pg_class'::regclass THEN (SELECT format('%s %s %s', (SELECT string_agg(format('%s %s', attname, atttypid::regtype), ', ' ORDER BY attnum)
			FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0), CASE relkind WHEN 'v' THEN pg_get_viewdef(oid) END,
			(SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(relacl) a)) FROM pg_class c WHERE oid = objid) END)
		|| ': ' || coalesce(obj_description(objid, classid::regclass::name), 'no comment')
	FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'contime') AND deptype = 'e' ORDER BY 1};

sub in_db { my ($db, $sql) = @_; return $node->safe_psql($db, $sql) }

# SQLSTATE, detail and hint of a statement that fails.
sub failure
{
	my ($db, $sql) = @_;
	my (undef, undef, $err) = $node->psql($db, "\\set VERBOSITY verbose\n$sql");
	my @found = ($err =~ /ERROR:\s+(\w{5}):/, $err =~ /DETAIL:\s+(.*)/, $err =~ /HINT:\s+(.*)/);
	return join '|', @found;
}

my $stale = '55000|The library has version 0.2.0, the SQL objects have version 0.2.1.|Restart the server, so that it loads the library that is installed.'
	. ' If its version stays the same, install the library of version 0.2.1 or a later one.';

in_db('updated', "CREATE EXTENSION contime; $objects");
is(in_db('updated', $states), $kept, 'the old version');
is(in_db('updated', 'SELECT contime.version()'), '0.2.0', 'its library');

# The next version is installed, but the server was not restarted.
install("$scripts/contime--0.2.1.sql", $fresh . $addition);
install("$scripts/contime--0.2.0--0.2.1.sql", "SELECT contime.check_library('0.2.1');\n$addition");
install($library, $next);
is(failure('updated', q{ALTER EXTENSION contime UPDATE TO '0.2.1'}), $stale, 'an update with the old library loaded');
is(failure('created', q{CREATE EXTENSION contime VERSION '0.2.1'}), $stale, 'an installation with the old library loaded');
is(in_db('created', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'contime'}), '0', 'it leaves nothing');
is(in_db('updated', $states), $kept, 'the tables are as they were');

# The new library works with the old objects.
restart_with($next);
is(in_db('updated', 'SELECT contime.version()'), '0.2.1', 'the new library is loaded');
is(in_db('updated', $states), $restarted, 'it reads tables of the old version');
in_db('updated', q{INSERT INTO memory VALUES (1, '2026-01-01', 7), (1, '2026-01-02', 1); INSERT INTO ticking VALUES (1, 10, 7)});
is(in_db('updated', $states), $kept, 'and writes them');

# The update.
in_db('updated', q{ALTER EXTENSION contime UPDATE TO '0.2.1'});
is(in_db('updated', $states), $kept, 'an update keeps tables, views, functions and events');
is(in_db('updated', 'SELECT contime.made_up(), count(*) FROM contime.made_up_tables'), '0.2.1|4', 'the new objects work');
in_db('created', "CREATE EXTENSION contime VERSION '0.2.1'; $objects");
is(in_db('created', $states), $kept, 'an installation of the new version');
is(in_db('updated', $members), in_db('created', $members), 'the updated extension has the objects of the installed one');
unlike(in_db('updated', $members), qr/: no comment$/m, 'each object has a comment');
my %dump;
for my $db (qw(updated created))
{
	my ($out) = run_command([ 'pg_dump', '--no-sync', $node->connstr($db) ]);
	$dump{$db} = join "\n", grep { !/^\\(un)?restrict / } split /\n/, $out;
}
is($dump{updated}, $dump{created}, 'dumps of both are equal');

# Back to the old library: an error with a hint, until the new one is back. Event tables can be written.
restart_with($old);
is(failure('updated', 'SELECT * FROM memory'), $stale, 'a library older than the objects: a read');
is(failure('updated', q{INSERT INTO memory VALUES (1, '2026-01-03', 1)}), $stale, 'a write');
is(failure('updated', q{SELECT * FROM durable}), $stale, 'a read of a durable table');
in_db('updated', q{INSERT INTO movement VALUES (1, '2026-01-03', 1)});
restart_with($next);
is(in_db('updated', $states), '1:6 1:12 2:6 2:12|||||', 'the new library again');
restart_with($old);
in_db('updated', 'DROP EXTENSION contime CASCADE');
is(in_db('updated', q{SELECT count(*) FROM movement}), '3', 'the extension can be dropped with the old library; the event table stays');
$node->stop('fast');

done_testing();
