# C functions that end a statement early: SPI_execute() with a limit stops an INSERT … RETURNING after so many rows, and PostgreSQL
# then fires no AFTER STATEMENT trigger (PL/Perl, PL/Python and PL/Tcl have such limits). Rows of these statements must reach the cache,
# too. The test compiles such a function.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $dir = PostgreSQL::Test::Utils::tempdir;
my ($include) = map { chomp; $_ } `@{[ $ENV{PG_CONFIG} // 'pg_config' ]} --includedir-server`;
append_to_file("$dir/limited.c", q{
#include "postgres.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(limited);

Datum
limited(PG_FUNCTION_ARGS)
{
	int64		processed;

	SPI_connect();
	SPI_execute(text_to_cstring(PG_GETARG_TEXT_PP(0)), false, PG_GETARG_INT64(1));
	processed = (int64) SPI_processed;
	SPI_finish();
	PG_RETURN_INT64(processed);
}
});
system_or_bail('gcc', '-fPIC', '-shared', "-I$include", '-o', "$dir/limited.so", "$dir/limited.c");

my $node = contime_node('spi', 'fsync' => 'off');
my $sql = sub { $node->safe_psql('postgres', join ';', @_) };
$sql->("CREATE FUNCTION limited(text, bigint) RETURNS bigint LANGUAGE c AS '$dir/limited.so', 'limited'",
	q{CREATE TABLE e (id serial PRIMARY KEY, k int, at timestamptz, v int)},
	q{CREATE FOREIGN TABLE s (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v bigint OPTIONS (rule 'sum', initial '0')) SERVER contime OPTIONS (events 'e')},
	q{INSERT INTO e (k, at, v) SELECT i % 3, '2026-01-01', i FROM generate_series(1, 30) i},
	q{CREATE FUNCTION asked() RETURNS text LANGUAGE plpgsql AS $$
		DECLARE line text; place text; BEGIN
			FOR line IN EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM s WHERE k = 1 AND at = 'infinity' LOOP
				place := coalesce(substring(line FROM 'Events: (.*)'), place);
			END LOOP;
			RETURN (SELECT CASE WHEN (SELECT v FROM s WHERE k = 1 AND at = 'infinity') = sum(v) THEN 'right' ELSE 'WRONG' END FROM e WHERE k = 1) || ', ' || place;
		END $$},
	q{CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		PERFORM limited('UPDATE e SET v = v + 1 WHERE k = 1 RETURNING 1', 2); RETURN NULL; END $$});
until_cached($node, 's');
my $statement = q{SELECT limited($i$INSERT INTO e (k, at, v) SELECT 1, '2026-01-01', i FROM generate_series(10, 20) i RETURNING 1$i$, 3)};
is($sql->($statement), 3, 'an INSERT stops after three rows');
is($sql->('SELECT asked()'), 'right, memory', 'these rows are in the cache');
is($sql->('BEGIN', $statement, 'SELECT asked()', 'COMMIT'), "3\nright, memory", 'they are visible in the same transaction');
$sql->('CREATE TRIGGER more AFTER INSERT ON e FOR EACH ROW EXECUTE FUNCTION more()');
is($sql->('BEGIN', $statement, 'SELECT asked()', 'COMMIT', 'SELECT asked()'), "3\nright, memory\nright, memory", 'so are rows of such a statement in a trigger');
is($sql->("SELECT answered_from, equal FROM contime.verify('s')"), 'memory|t', 'contime.verify finds no difference');

$node->stop('fast');
done_testing();
