# Events that arrive by logical replication: rows that the subscriber copies initially and applies later, in transactions of any
# size and streamed, change the states as they change the event table, although ordinary triggers do not fire there.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->append_conf('postgresql.conf', "timezone = 'UTC'\nlogical_decoding_work_mem = '64kB'\n");
$publisher->start;
my $subscriber = contime_node('subscriber', 'max_prepared_transactions' => 10);

my $tables = q{
	CREATE TABLE movement (id int PRIMARY KEY, account int, at timestamptz, amount int, note text);
	CREATE TABLE parted (id int, account int, at timestamptz, amount int, PRIMARY KEY (id, account)) PARTITION BY LIST (account);
	CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
	CREATE TABLE parted_2 PARTITION OF parted DEFAULT;
};
$_->safe_psql('postgres', $tables) for $publisher, $subscriber;
$publisher->safe_psql('postgres', q{INSERT INTO movement SELECT i, i % 7, timestamptz '2026-01-01' + i * interval '1 minute', i FROM generate_series(1, 5000) i;
	CREATE PUBLICATION events FOR TABLE movement, parted});
$subscriber->safe_psql('postgres', q{
	CREATE FOREIGN TABLE balance (account int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
		amount bigint OPTIONS (rule 'sum'), most int OPTIONS (rule 'max', source 'amount'), n int OPTIONS (rule 'sum', source '1'), note text) SERVER contime OPTIONS (events 'movement');
	SELECT contime.add_source('balance', 'parted', '{"most": "amount", "n": "1", "note": null}');
	CREATE VIEW event AS SELECT account, at, amount FROM movement UNION ALL SELECT account, at, amount FROM parted});

# Count differences to plain SQL over the rows that have arrived, in one snapshot, at six instants.
my $differences = q{
	WITH t AS MATERIALIZED (SELECT timestamptz '2026-01-01' + i * interval '900 minutes' AS at FROM generate_series(0, 5) i)
	SELECT count(*) FILTER (WHERE want::text IS DISTINCT FROM got::text), count(*) > 20 FROM
		(SELECT e.account, t.at, sum(amount)::bigint AS amount, max(amount) AS most, count(*) AS n FROM t JOIN event e ON e.at <= t.at GROUP BY 1, 2) want
		FULL JOIN (SELECT b.account, b.at, b.amount, b.most, b.n FROM t JOIN balance b ON b.at = t.at) got USING (account, at)};
sub agree
{
	my ($what) = @_;
	$publisher->wait_for_catchup('events');
	my ($want, $got) = map { $_->safe_psql('postgres', q{SELECT count(*), sum(id), sum(amount), sum(account), sum(extract(epoch FROM at))
		FROM (SELECT id, account, at, amount FROM movement UNION ALL SELECT * FROM parted) x}) } $publisher, $subscriber;
	is($got, $want, "$what: the rows are those of the publisher");
	is($subscriber->safe_psql('postgres', $differences), '0|t', "$what: the states are those of plain SQL over the rows");
	until_cached($subscriber, 'balance');
	is($subscriber->safe_psql('postgres', $differences), '0|t', "$what: also when the table is cached");
	return;
}

$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION events CONNECTION '" . $publisher->connstr . " dbname=postgres' PUBLICATION events WITH (streaming = on, two_phase = on)");
$subscriber->wait_for_subscription_sync($publisher, 'events');
agree('copied');
$publisher->safe_psql('postgres', q{
	INSERT INTO movement VALUES (6001, 1, '2026-01-02', 10), (6002, 8, '2026-01-02', 20);
	INSERT INTO parted SELECT i, i % 3, timestamptz '2026-01-01' + i * interval '7 minutes', -i FROM generate_series(1, 500) i});
agree('inserted');
my $old = $subscriber->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $before = $old->query_safe(q{SELECT string_agg(b::text, ' ' ORDER BY account) FROM balance b WHERE at = '2026-01-03'});
$publisher->safe_psql('postgres', q{
	UPDATE movement SET amount = -amount WHERE id % 5 = 0;
	UPDATE movement SET at = at + interval '1 day', account = 9 WHERE id % 11 = 0;
	UPDATE movement SET note = 'no source' WHERE id % 3 = 0;
	DELETE FROM movement WHERE id % 7 = 0;
	UPDATE parted SET account = account + 1 WHERE id % 2 = 0;
	DELETE FROM parted WHERE id % 13 = 0});
agree('updated and deleted');
is($old->query_safe(q{SELECT string_agg(b::text, ' ' ORDER BY account) FROM balance b WHERE at = '2026-01-03'}), $before, 'an older PostgreSQL snapshot sees the same states as before');
$old->query_safe('COMMIT');
$old->quit;
$publisher->safe_psql('postgres', q{
	BEGIN;
	INSERT INTO movement SELECT i, i % 7, timestamptz '2026-01-01' + i * interval '1 second', 1 FROM generate_series(10000, 30000) i;
	SAVEPOINT s;
	UPDATE movement SET amount = 5 WHERE id > 10000;
	ROLLBACK TO s;
	DELETE FROM movement WHERE id > 20000;
	COMMIT;
	BEGIN;
	INSERT INTO movement SELECT i, i % 7, timestamptz '2026-01-01', 1 FROM generate_series(40000, 60000) i;
	ROLLBACK});
agree('streamed');
$publisher->safe_psql('postgres', 'TRUNCATE movement; INSERT INTO movement SELECT i, i % 10, timestamptz \'2026-01-01\' + i * interval \'1 minute\', i FROM generate_series(1, 1000) i');
agree('truncated');

# Triggers that do fire on the subscriber, and write to the event table while one of its rows, or a row of another table, is applied;
# several kinds.
$_->safe_psql('postgres', 'CREATE TABLE prompt (id int PRIMARY KEY)') for $publisher, $subscriber;
$publisher->safe_psql('postgres', 'INSERT INTO prompt VALUES (1), (2); CREATE PUBLICATION prompts FOR TABLE prompt');
$subscriber->safe_psql('postgres', q{
	CREATE FUNCTION upsert() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
	BEGIN
		IF pg_trigger_depth() = 1 THEN
			INSERT INTO movement VALUES (70000 + new.id % 5, 1, '2026-01-01', 1), (71000 + new.id, 2, '2026-01-01', 2) ON CONFLICT (id) DO UPDATE SET amount = movement.amount + 1;
			MERGE INTO parted USING (VALUES (80000 + new.id % 5), (81000 + new.id)) n(id) ON parted.id = n.id
				WHEN MATCHED THEN UPDATE SET amount = parted.amount + 1 WHEN NOT MATCHED THEN INSERT VALUES (n.id, n.id % 3, '2026-01-01', 1);
		END IF;
		RETURN NULL;
	END $$;
	CREATE TRIGGER upsert AFTER INSERT ON prompt FOR EACH ROW EXECUTE FUNCTION upsert();
	ALTER TABLE prompt ENABLE ALWAYS TRIGGER upsert;
	CREATE TRIGGER upsert AFTER INSERT OR UPDATE ON movement FOR EACH ROW EXECUTE FUNCTION upsert();
	ALTER TABLE movement ENABLE ALWAYS TRIGGER upsert});
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION prompts CONNECTION '" . $publisher->connstr . " dbname=postgres' PUBLICATION prompts");
$subscriber->wait_for_subscription_sync($publisher, 'prompts');
$publisher->safe_psql('postgres', q{
	INSERT INTO prompt SELECT generate_series(3, 20);
	BEGIN; INSERT INTO movement VALUES (2001, 3, '2026-01-01', 5), (2002, 3, '2026-01-01', 5); UPDATE movement SET amount = 6 WHERE id IN (2001, 17); INSERT INTO prompt VALUES (30); COMMIT});
$publisher->wait_for_catchup($_) for 'events', 'prompts';
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM movement WHERE id >= 70000'), 28, 'the triggers fired when rows were applied');
is($subscriber->safe_psql('postgres', $differences), '0|t', 'the states contain the rows that they wrote');
is($subscriber->safe_psql('postgres', "SELECT answered_from, equal FROM contime.verify('balance')"), 'memory|t', 'reads are answered from memory, before and afterwards');
$_->stop('fast') for $subscriber, $publisher;

done_testing();
