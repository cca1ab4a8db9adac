# A superuser restores a dump: while the tables belong to the superuser, no code of their later owners is run; and the tables are
# restored even if that code fails.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('restore');
$node->safe_psql('postgres', q{CREATE ROLE evil LOGIN; GRANT USAGE ON FOREIGN SERVER contime TO evil; CREATE SCHEMA den AUTHORIZATION evil;
	CREATE TABLE note (fails boolean); INSERT INTO note VALUES (false); GRANT SELECT ON note TO evil;
	CREATE ROLE bob LOGIN; CREATE SCHEMA bobs AUTHORIZATION bob; GRANT USAGE ON SCHEMA bobs TO evil});
$node->safe_psql('postgres', q{CREATE TABLE bobs.e (id int, at timestamptz, v int); CREATE INDEX ON bobs.e (id, at); GRANT SELECT, TRIGGER ON bobs.e TO evil; INSERT INTO bobs.e VALUES (1, '2026-01-01', 10)},
	extra_params => ['-U', 'bob']);
$node->safe_psql('postgres', q{
	CREATE FUNCTION den.look(x int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'seen by %', current_user; RETURN NOT (SELECT fails FROM public.note); END $$;
	CREATE DOMAIN den.evil AS int CHECK (den.look(VALUE));
	CREATE TABLE den.e (id int, at timestamptz, v int); CREATE INDEX ON den.e (id, at);
	CREATE TABLE den.parent (id int, at timestamptz NOT NULL DEFAULT now(), v den.evil);
	CREATE FOREIGN TABLE den.t (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true') DEFAULT now(), v den.evil OPTIONS (rule 'sum', initial '3', lower '1', upper '9'))
		SERVER contime OPTIONS (notify 'key');
	CREATE FOREIGN TABLE den.d (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum', source 'v + cardinality(''{4}''::den.evil[])'))
		SERVER contime OPTIONS (events 'e');
	SELECT contime.add_source('den.d', 'den.e', '{"v": "v + cardinality(''{5}''::den.evil[])"}');
	SELECT contime.add_source('den.d', 'bobs.e', '{"v": "v + cardinality(''{5}''::den.evil[])"}');
	ALTER FOREIGN TABLE den.t ALTER v SET STATISTICS 7, ALTER v SET (n_distinct = 5), ALTER v SET STORAGE plain;
	ALTER FOREIGN TABLE den.d ALTER v SET STATISTICS 7, ALTER v SET (n_distinct = 5);
	ALTER FOREIGN TABLE den.t ALTER at SET DEFAULT now() + '1 s';
	COMMENT ON FOREIGN TABLE den.t IS 't'; COMMENT ON COLUMN den.d.v IS 'v';
	CREATE STATISTICS den.stats ON id, v FROM den.e;
	GRANT SELECT ON den.t, den.d TO PUBLIC;
	INSERT INTO den.e VALUES (1, '2026-01-01', 1)}, extra_params => ['-U', 'evil']);
my $dump = $node->basedir . '/dump.sql';
is(system('pg_dump', '-f', $dump, $node->connstr('postgres')), 0, 'pg_dump');

my $restored = slurp_file($dump);
for my $fails ('true', 'false')
{
	my $database = "restored_$fails";
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	(my $sql = $restored) =~ s/^(INSERT INTO public\.note|COPY public\.note.*\n)f/$1 . ($fails eq 'true' ? 't' : 'f')/me;
	append_to_file("$dump.$fails", $sql);
	my (undef, $out, $err) = $node->psql($database, "\\i $dump.$fails", on_error_stop => 0);
	unlike($err, qr/seen by (?!evil)/, "the note says $fails: the code has the rights of its owner only");
	unlike($err, qr/ERROR/, 'and there is no error') if $fails eq 'false';
	is($node->safe_psql($database, q{SELECT string_agg(relname || ' ' || relowner::regrole, ', ' ORDER BY relname) FROM pg_class WHERE relkind = 'f' AND relnamespace = 'den'::regnamespace}),
		'd evil, t evil', 'the tables belong to it');
}
is($node->safe_psql('restored_false', q{SELECT v FROM den.d WHERE id = 1}), 15, 'the restored table has its events');
$node->stop('fast');

done_testing();
