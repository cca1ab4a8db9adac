# pg_dump and restore keep the definition of a continuous table in memory, but not its events. pg_dump writes
# the options of columns in statements of their own, after CREATE.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('dump');
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE stock (
	item text OPTIONS (key 'true'), hall int OPTIONS (key 'true'), tick bigint OPTIONS (time 'true') DEFAULT 0,
	pieces numeric(10,2) OPTIONS (rule 'sum', initial '5', lower '0', upper '100'), label text OPTIONS (initial 'it''s new'),
	movement bigint OPTIONS (event_id 'true')) SERVER contime OPTIONS (notify 'off', ties 'event_id', identity 'key')});
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE ship (
	id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), x float8 OPTIONS (rate 'speed of x', scale '2', initial '0.5'),
	"speed of x" numeric(6,2) OPTIONS (rule 'sum'), depth int OPTIONS (interpolate 'linear'), at_sea interval OPTIONS (rule 'sum', initial '1 day'),
	log text OPTIONS (rule 'max') COLLATE "C") SERVER contime});
$node->safe_psql('postgres', q{COMMENT ON FOREIGN TABLE stock IS 'what is where'; CREATE VIEW full_shelves AS SELECT item, hall FROM stock WHERE pieces > 50});
$node->safe_psql('postgres', q{INSERT INTO stock VALUES ('nut', 1, 10, 50, NULL, 1), ('nut', 1, 20, 50, NULL, 2)});

# The output of pg_dump without the lines with the random token of psql's restricted mode (\restrict, since 15.14).
sub dumped { return join '', grep { !/^\\(un)?restrict / } map { "$_\n" } split /\n/, slurp_file($_[0]) }

my $file = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '--no-sync', '-f', $file, $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
my ($out, $err) = run_command([ 'psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-f', $file, $node->connstr('restored') ]);
is($err, '', 'restored, without errors and notices');
my $again = $node->basedir . '/again.sql';
command_ok([ 'pg_dump', '--no-sync', '-f', $again, $node->connstr('restored') ], 'pg_dump of the restored database');
is(dumped($again), dumped($file), 'both dumps are equal');
is($node->safe_psql('restored', 'SELECT count(*) FROM stock'), '0', 'the restored table has no events');
$node->safe_psql('restored', q{INSERT INTO stock VALUES ('nut', 1, 10, 50, NULL, 1), ('nut', 1, 10, 50, NULL, 1), ('nut', 1, 30, 500, NULL, 2)});
is($node->safe_psql('restored', q{SELECT pieces, label FROM stock WHERE tick = 10}), q{55.00|it's new}, 'with its rules and ids');
is($node->safe_psql('restored', q{SELECT pieces FROM stock}), '100.00', 'the restored table has the bounds');
$node->safe_psql('restored', q{INSERT INTO ship VALUES (1, '2020-01-01 00:00:00', 10, 1.25, 0, '1 hour', 'a'), (1, '2020-01-01 00:00:10', NULL, NULL, 10, NULL, 'B')});
is($node->safe_psql('restored', q{SELECT x, depth, at_sea, log FROM ship WHERE at = '2020-01-01 00:00:05'}), '16.25|5|1 day 01:00:00|a', 'the restored table has columns that change between events');

# pg_dump --include-foreign-data is refused, whatever its application_name and query; COPY by other programs works.
my $refused = qr/cannot dump the rows of continuous table "\w+" as data/;
for my $way ([], ['--inserts'])
{
	for my $name ('pg_dump', 'nightly')
	{
		local $ENV{PGAPPNAME} = $name;
		command_fails_like([ 'pg_dump', '--no-sync', '-f', $again, '--include-foreign-data=contime', @$way, $node->connstr('postgres') ],
			$refused, "pg_dump @$way of foreign data, named $name, is refused");
	}
}
$node->safe_psql('restored', q{CREATE TABLE hit (id int, at bigint, n int); CREATE FOREIGN TABLE tally (id int OPTIONS (key 'true'),
	at bigint OPTIONS (time 'true'), n int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'hit'); INSERT INTO hit VALUES (1, 1, 1)});
command_fails_like([ 'pg_dump', '--no-sync', '-f', $again, '--include-foreign-data=contime', '-t', 'tally', $node->connstr('restored') ],
	qr/Its events are rows of its event tables/, 'for a durable table the hint names the event tables');
command_ok([ 'pg_dump', '--no-sync', '-f', $again, $node->connstr('restored') ], 'a dump without foreign data works');
is($node->safe_psql('restored', 'COPY (SELECT id, n FROM tally) TO STDOUT; COPY (SELECT id, n FROM tally WHERE at = 0) TO STDOUT'), "1\t1", 'COPY of a query works');

# A definition without options, as pg_dump first writes it, gets a notice (not while a dump is restored), is refused when the table is used, and can be completed.
my (undef, undef, $error) = $node->psql('restored', q{CREATE FOREIGN TABLE incomplete (id int, at timestamptz, v int) SERVER contime});
like($error, qr/^psql:\S+ NOTICE:  continuous table "incomplete" cannot be used yet\n.*DETAIL:.*\n.*HINT:.*ALTER FOREIGN TABLE/s, 'there is a notice for a definition without any option');
(undef, undef, $error) = $node->psql('restored', 'SELECT * FROM incomplete');
like($error, qr/has no key/, 'an incomplete definition is refused when it is used');
$node->safe_psql('restored', q{ALTER FOREIGN TABLE incomplete ALTER COLUMN id OPTIONS (key 'true')});
(undef, undef, $error) = $node->psql('restored', q{INSERT INTO incomplete VALUES (1, '2020-01-01', 1)});
like($error, qr/has no time/, 'still');
$node->safe_psql('restored', q{ALTER FOREIGN TABLE incomplete ALTER COLUMN at OPTIONS (time 'true')});
$node->safe_psql('restored', q{INSERT INTO incomplete VALUES (1, '2020-01-01', 1)});
is($node->safe_psql('restored', 'SELECT v FROM incomplete'), '1', 'the completed definition works');
$node->stop('fast');

done_testing();
