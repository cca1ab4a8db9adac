# Entering and freezing beside old PostgreSQL snapshots: events stay young as long as somebody may not
# see them, answers do not change, and nothing waits for anybody.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('visibility', 'max_prepared_transactions' => 2, 'wal_level' => 'logical');
my $sum = q{SELECT count(*), sum(balance) FROM account WHERE at = 'infinity'};

$node->safe_psql('postgres', q{INSERT INTO account SELECT i % 10, timestamptz '2020-01-01' + i * interval '1 minute', 1 FROM generate_series(1, 1000) i});
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'everything froze');

# An old snapshot: what commits now enters, but stays young.
my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($old->query_safe($sum), '10|1000', 'the old PostgreSQL snapshot');
my $history = q{SELECT md5(string_agg(h::text, ' ' ORDER BY during)) FROM contime.history(NULL::account, 1, '-infinity', 'infinity') h};
my $before = $old->query_safe($history);
$node->safe_psql('postgres', q{INSERT INTO account SELECT i % 20, timestamptz '2019-12-31 23:00' + i * interval '1 minute', 1 FROM generate_series(1, 1000) i});
until_true($node, 'SELECT recent = 0 FROM contime.tables', 'late events enter though somebody does not see them');
is($node->safe_psql('postgres', 'SELECT young, frozen FROM contime.tables'), '1000|1000', 'they are young');
is($old->query_safe($sum), '10|1000', 'the old PostgreSQL snapshot sees what it saw');
is($old->query_safe($history), $before, 'in history, too');
is($node->safe_psql('postgres', $sum), '20|2000', 'a new one sees all');
$old->query_safe('COMMIT');
until_true($node, 'SELECT young = 0 FROM contime.tables', 'they freeze when it has ended');
is($old->query_safe($sum), '20|2000', 'and are seen');
$old->quit;

# An idle writer holds up its own events only.
my $idle = $node->background_psql('postgres');
$idle->query_safe(q{BEGIN; INSERT INTO account VALUES (1, '2020-02-01', 1000000)});
$node->safe_psql('postgres', q{INSERT INTO account SELECT i % 10, '2020-02-01', 1 FROM generate_series(1, 100) i});
until_true($node, 'SELECT recent = 0 FROM contime.tables', 'others enter; what is not committed is not counted');
is($node->safe_psql('postgres', $sum), '20|2100', 'others are seen');
$idle->query_safe('ROLLBACK');
$idle->quit;

# A prepared transaction, too; committed later, it is there at once.
$node->safe_psql('postgres', q{BEGIN; INSERT INTO account VALUES (1, '2020-02-01', 500); SAVEPOINT s; INSERT INTO account VALUES (1, '2020-02-01', 70); PREPARE TRANSACTION 'p'});
is($node->safe_psql('postgres', $sum), '20|2100', 'prepared is not committed');
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
is($node->safe_psql('postgres', $sum), '20|2670', 'committed it is there, subtransactions included');

# A forgotten logical slot's catalog_xmin does not keep anything young.
$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('forgotten', 'pgoutput')});
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-02-02', 0)});
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'everything froze in the end');
is($node->safe_psql('postgres', 'SELECT recent + young + frozen FROM contime.tables'), '2103', 'each once');

# Many subtransactions, more than a snapshot holds (64 per backend): some aborted.
$node->safe_psql('postgres', q{DO $$ BEGIN
	FOR i IN 1 .. 300 LOOP
		BEGIN
			INSERT INTO account VALUES (50, timestamptz '2020-01-01' + i * interval '1 second', 1);
			IF i % 3 = 0 THEN RAISE 'no'; END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$});
is($node->safe_psql('postgres', q{SELECT balance FROM account WHERE id = 50 AND at = 'infinity'}), '200', 'subtransactions beyond what a PostgreSQL snapshot holds');
my $many = $node->background_psql('postgres');
$many->query_safe(q{BEGIN; DO $$ BEGIN
	FOR i IN 1 .. 200 LOOP
		BEGIN
			INSERT INTO account VALUES (51, timestamptz '2020-01-01' + i * interval '1 second', 1);
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$});
is($node->safe_psql('postgres', q{SELECT count(*) FROM account WHERE id = 51 AND at = 'infinity'}), '0', 'in progress with overflowed subtransactions: unseen');
is($many->query_safe(q{SELECT balance FROM account WHERE id = 51 AND at = 'infinity'}), '200', 'but by itself');
$many->query_safe('COMMIT');
$many->quit;
is($node->safe_psql('postgres', q{SELECT balance FROM account WHERE id = 51 AND at = 'infinity'}), '200', 'committed: seen');
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'and frozen');
is($node->safe_psql('postgres', q{SELECT balance FROM account WHERE id = 51 AND at = 'infinity'}), '200', 'still the same');

# An exported snapshot: who imports it sees what its owner saw, neither the owner's own events nor what
# committed since; entered, frozen as far as others go, or not.
my $owner = $node->background_psql('postgres');
$owner->query_safe(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1});
my $exported = $owner->query_safe('SELECT pg_export_snapshot()');
$before = $owner->query_safe($sum);
$owner->query_safe(q{SAVEPOINT s; INSERT INTO account VALUES (1, '2020-02-03', 5000), (60, '2020-02-03', 5000); RELEASE s});
my $with_own = $owner->query_safe('SELECT pg_export_snapshot()');
$node->safe_psql('postgres', q{INSERT INTO account SELECT i % 100, '2019-06-01', 1 FROM generate_series(1, 1000) i});
my $import = sub { my ($name) = @_; $node->safe_psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '$name'; $sum; COMMIT") };
is($import->($exported), $before, 'an exported snapshot shows what its owner saw');
is($import->($with_own), $before, 'but nothing of what its owner wrote');
until_true($node, q{SELECT recent = 0 FROM contime.tables}, 'what others committed entered');
is($import->($exported), $before, 'nor what has entered since');
isnt($owner->query_safe($sum), $before, 'its owner sees his own');
$owner->query_safe('COMMIT');
$owner->quit;
is($node->safe_psql('postgres', $sum), '100|14070', 'after the commit everything is there');
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'and frozen');

# SERIALIZABLE, and a table of which nothing is known yet: a restart has made it empty. The first event of
# a key comes between a scan's beginning and its look at that key.
$node->safe_psql('postgres', 'CREATE TABLE other (n int)');
$node->restart;
my $skew = $node->background_psql('postgres', on_error_stop => 0);
$skew->query_safe(q{BEGIN ISOLATION LEVEL SERIALIZABLE; DECLARE c CURSOR FOR
	SELECT n, (SELECT balance FROM account WHERE id = n AND at = '2020-02-01') FROM generate_series(1, 2) n});
is($skew->query_safe('FETCH 1 FROM c'), '1|', 'nothing is there');
$node->safe_psql('postgres', q{BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM other; INSERT INTO account VALUES (2, '2020-01-01', 1); COMMIT});
is($skew->query_safe('FETCH 1 FROM c'), '2|', 'what came since is not seen');
$skew->query('INSERT INTO other VALUES (1)');
like($skew->{stderr}, qr/could not serialize access/, 'but it was met');
$skew->quit;
$node->stop('fast');

done_testing();
