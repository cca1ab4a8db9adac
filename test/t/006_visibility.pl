# Entering and freezing while old PostgreSQL snapshots are held: events stay young as long as some snapshot does not
# see them, answers do not change, and no process waits for another.
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
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'all events freeze');

# An old PostgreSQL snapshot: events that commit now enter, but stay young.
my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($old->query_safe($sum), '10|1000', 'an old PostgreSQL snapshot sees the first events');
my $history = q{SELECT md5(string_agg(h::text, ' ' ORDER BY during)) FROM contime.history(NULL::account, 1, '-infinity', 'infinity') h};
my $before = $old->query_safe($history);
$node->safe_psql('postgres', q{INSERT INTO account SELECT i % 20, timestamptz '2019-12-31 23:00' + i * interval '1 minute', 1 FROM generate_series(1, 1000) i});
until_true($node, 'SELECT recent = 0 FROM contime.tables', 'late events enter although a snapshot does not see them');
is($node->safe_psql('postgres', 'SELECT young, frozen FROM contime.tables'), '1000|1000', 'they are young');
is($old->query_safe($sum), '10|1000', 'the old PostgreSQL snapshot still sees the first events only');
is($old->query_safe($history), $before, 'contime.history under that snapshot is unchanged, too');
is($node->safe_psql('postgres', $sum), '20|2000', 'a new PostgreSQL snapshot sees all events');
$old->query_safe('COMMIT');
until_true($node, 'SELECT young = 0 FROM contime.tables', 'they freeze when the old snapshot is gone');
is($old->query_safe($sum), '20|2000', 'the session\'s next snapshot sees all events');
$old->quit;

# An idle writer delays its own events only.
my $idle = $node->background_psql('postgres');
$idle->query_safe(q{BEGIN; INSERT INTO account VALUES (1, '2020-02-01', 1000000)});
$node->safe_psql('postgres', q{INSERT INTO account SELECT i % 10, '2020-02-01', 1 FROM generate_series(1, 100) i});
until_true($node, 'SELECT recent = 0 FROM contime.tables', 'events of other transactions enter; contime.tables does not count uncommitted ones as recent');
is($node->safe_psql('postgres', $sum), '20|2100', 'events of other transactions are visible');
$idle->query_safe('ROLLBACK');
$idle->quit;

# So does a prepared transaction; its events are visible as soon as it is committed.
$node->safe_psql('postgres', q{BEGIN; INSERT INTO account VALUES (1, '2020-02-01', 500); SAVEPOINT s; INSERT INTO account VALUES (1, '2020-02-01', 70); PREPARE TRANSACTION 'p'});
is($node->safe_psql('postgres', $sum), '20|2100', 'events of a prepared transaction are not visible');
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
is($node->safe_psql('postgres', $sum), '20|2670', 'after COMMIT PREPARED its events are visible, those of subtransactions included');

# The catalog_xmin of an abandoned logical slot does not keep events young.
$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('forgotten', 'pgoutput')});
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-02-02', 0)});
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'all events freeze');
is($node->safe_psql('postgres', 'SELECT recent + young + frozen FROM contime.tables'), '2103', 'each event is counted once');

# More subtransactions than a PostgreSQL snapshot holds (64 per backend), some of them rolled back.
$node->safe_psql('postgres', q{DO $$ BEGIN
	FOR i IN 1 .. 300 LOOP
		BEGIN
			INSERT INTO account VALUES (50, timestamptz '2020-01-01' + i * interval '1 second', 1);
			IF i % 3 = 0 THEN RAISE 'no'; END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$});
is($node->safe_psql('postgres', q{SELECT balance FROM account WHERE id = 50 AND at = 'infinity'}), '200', 'the committed subtransactions\' events are visible, the others\' are not');
my $many = $node->background_psql('postgres');
$many->query_safe(q{BEGIN; DO $$ BEGIN
	FOR i IN 1 .. 200 LOOP
		BEGIN
			INSERT INTO account VALUES (51, timestamptz '2020-01-01' + i * interval '1 second', 1);
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$});
is($node->safe_psql('postgres', q{SELECT count(*) FROM account WHERE id = 51 AND at = 'infinity'}), '0', 'events of a transaction in progress with overflowed subtransactions are not visible to others');
is($many->query_safe(q{SELECT balance FROM account WHERE id = 51 AND at = 'infinity'}), '200', 'they are visible to their own transaction');
$many->query_safe('COMMIT');
$many->quit;
is($node->safe_psql('postgres', q{SELECT balance FROM account WHERE id = 51 AND at = 'infinity'}), '200', 'they are visible after the commit');
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'and freeze');
is($node->safe_psql('postgres', q{SELECT balance FROM account WHERE id = 51 AND at = 'infinity'}), '200', 'the state is unchanged then');

# An exported snapshot: a transaction that imports it sees the same events as the exporting one, but neither that one's own
# events nor events committed later, whether these are recent, young or could be frozen.
my $owner = $node->background_psql('postgres');
$owner->query_safe(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1});
my $exported = $owner->query_safe('SELECT pg_export_snapshot()');
$before = $owner->query_safe($sum);
$owner->query_safe(q{SAVEPOINT s; INSERT INTO account VALUES (1, '2020-02-03', 5000), (60, '2020-02-03', 5000); RELEASE s});
my $with_own = $owner->query_safe('SELECT pg_export_snapshot()');
$node->safe_psql('postgres', q{INSERT INTO account SELECT i % 100, '2019-06-01', 1 FROM generate_series(1, 1000) i});
my $import = sub { my ($name) = @_; $node->safe_psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '$name'; $sum; COMMIT") };
is($import->($exported), $before, 'a transaction with an imported snapshot sees the exporter\'s committed events');
is($import->($with_own), $before, 'it does not see events that the exporter wrote itself');
until_true($node, q{SELECT recent = 0 FROM contime.tables}, 'events that others committed have entered');
is($import->($exported), $before, 'the imported snapshot does not see events that entered later');
isnt($owner->query_safe($sum), $before, 'the exporter sees its own events');
$owner->query_safe('COMMIT');
$owner->quit;
is($node->safe_psql('postgres', $sum), '100|14070', 'after the exporter\'s commit all events are visible');
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'and freeze');

# SERIALIZABLE, and a table that a restart has just emptied, so that it has no keys. The first event of a key is
# written after a scan began and before the scan reads that key.
$node->safe_psql('postgres', 'CREATE TABLE other (n int)');
$node->restart;
my $skew = $node->background_psql('postgres', on_error_stop => 0);
$skew->query_safe(q{BEGIN ISOLATION LEVEL SERIALIZABLE; DECLARE c CURSOR FOR
	SELECT n, (SELECT balance FROM account WHERE id = n AND at = '2020-02-01') FROM generate_series(1, 2) n});
is($skew->query_safe('FETCH 1 FROM c'), '1|', 'the first key has no state');
$node->safe_psql('postgres', q{BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM other; INSERT INTO account VALUES (2, '2020-01-01', 1); COMMIT});
is($skew->query_safe('FETCH 1 FROM c'), '2|', 'the event that was written since is not visible');
$skew->query('INSERT INTO other VALUES (1)');
like($skew->{stderr}, qr/could not serialize access/, 'but the conflict with its writer is found');
$skew->quit;
$node->stop('fast');

done_testing();
