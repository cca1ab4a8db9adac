# 035_loading.pl: how far the load of a cache is, and what the log says of it.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Contime;
use Test::More;

my $node = contime_node('loading');

# The loader stops at row 2,500 of 4,000 until it gets a lock. Its own session does not wait for a lock that it has.
$node->safe_psql('postgres', q{
	CREATE FUNCTION gate(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN
		WHILE i = 2500 AND NOT pg_catalog.pg_try_advisory_xact_lock_shared(42) LOOP
			PERFORM pg_catalog.pg_sleep(0.01);
		END LOOP;
		RETURN i;
	END $$;
	CREATE TABLE movement (id int, at timestamptz, v int);
	INSERT INTO movement SELECT i % 10, '2026-01-01', i FROM generate_series(1, 4000) i;
	ANALYZE movement;
	CREATE FOREIGN TABLE balance (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
		v bigint OPTIONS (rule 'sum', source 'public.gate(v)')) SERVER contime OPTIONS (events 'movement');
	CREATE PROCEDURE until(condition text) LANGUAGE plpgsql AS $$
	DECLARE
		done boolean;
	BEGIN
		FOR i IN 1 .. 700 LOOP
			EXECUTE 'SELECT ' || condition INTO done;
			EXIT WHEN done;
			COMMIT;
			PERFORM pg_sleep(0.01);
		END LOOP;
	END $$;
});
my $offset = -s $node->logfile;
my $shown = $node->safe_psql('postgres', q{
	SELECT pg_advisory_lock(42);
	SELECT sum(v) FROM balance;
	CALL until('(SELECT rows_loaded >= 2000 FROM contime.tables WHERE "table" = ''balance''::regclass)');
	SELECT cache, rows_loaded, rows_to_load, rows_per_second BETWEEN 1 AND 1000000 FROM contime.tables WHERE "table" = 'balance'::regclass;
	SELECT pg_advisory_unlock(42);
});
is((split /\n/, $shown)[1], 8002000, 'the event tables are read');
is((split /\n/, $shown)[2], 'loading|2000|4000|t', 'rows read, of how many, and at what rate');
until_true($node, q{SELECT cache = 'ready' FROM contime.tables WHERE "table" = 'balance'::regclass}, 'the load goes on');
is($node->safe_psql('postgres', q{SELECT rows_loaded, rows_to_load, rows_per_second FROM contime.tables WHERE "table" = 'balance'::regclass}), '||', 'then nothing is shown');
logged($node, qr/load of continuous table "balance" begins: about 4000 rows\n[^\n]*CONTEXT:  database "postgres"/, $offset, 'the log says when it began, and of which database the table is');
logged($node, qr/load of continuous table "balance" has ended: all keys are cached.*It has read 4000 rows in \d+\.\d+ s/s, $offset, 'and when it ended');

# Two rows with one identity.
$node->safe_psql('postgres', q{
	CREATE FOREIGN TABLE named (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), name text OPTIONS (event_id 'true', source '1')) SERVER contime OPTIONS (events 'movement');
	SELECT count(*) FROM named;
});
logged($node, qr/load of continuous table "named" has ended: two events have one identity/, $offset, 'a load that is in vain');

# A source that raises an error.
$node->safe_psql('postgres', q{
	CREATE FOREIGN TABLE failing (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (source '1 / (v - 3500)')) SERVER contime OPTIONS (events 'movement');
	SELECT count(*) FROM failing WHERE id = 1;
});
logged($node, qr/load of continuous table "failing" has ended: division by zero.*It has read 3000 rows/s, $offset, 'one that fails');
is($node->safe_psql('postgres', q{SELECT rows_loaded FROM contime.tables WHERE "table" = 'failing'::regclass}), '', 'is not shown any more');

# Rows that cannot be events: those that the load meets and those that are written, ten in all; nothing of this is sent to who writes.
$node->safe_psql('postgres', q{
	CREATE TABLE reading (id int, at timestamptz, v float8);
	INSERT INTO reading VALUES (1, '2026-01-01', 1), (2, '2026-01-01', 'NaN');
	CREATE FOREIGN TABLE sensor (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v float8 OPTIONS (rule 'sum', scale '1')) SERVER contime OPTIONS (events 'reading', bad_rows 'ignore');
});
until_cached($node, 'sensor');
logged($node, qr/row \(0,2\) of table "reading" cannot be an event of continuous table "sensor": column "v" of continuous table "sensor" cannot sum NaN or infinity.*DETAIL:  Key \(id\)=\(2\), time 2026-01-01 00:00:00\+00\./s, $offset, 'a bad row that is loaded');
my (undef, undef, $said) = $node->psql('postgres', q{SET client_min_messages = debug1; INSERT INTO reading SELECT 3, '-infinity', i FROM generate_series(1, 30) i});
unlike($said, qr/cannot be an event/, 'the writer is not told');
logged($node, qr/row \(0,3\) of table "reading" cannot be an event of continuous table "sensor": time of an event cannot be infinite.*DETAIL:  Key \(id\)=\(3\), time -infinity\./s, $offset, 'one that is written');
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset);
is(scalar(() = $log =~ /of table "reading" cannot be an event/g), 10, 'the first ten are logged');
is($node->safe_psql('postgres', q{SELECT bad_rows FROM contime.tables WHERE "table" = 'sensor'::regclass}), 31, 'and all are counted');
$node->stop;
done_testing();
