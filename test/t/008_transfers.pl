# Bank transfers at random instants, late ones too, by many sessions at once, some rolled back,
# while others read: at no instant, in no snapshot, may money appear or vanish. Meanwhile the workers
# enter and freeze, and are terminated now and then.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $node = contime_node('transfers', 'max_connections' => 40);
my $dir = $node->basedir;

$node->safe_psql('postgres', q{INSERT INTO account SELECT i, '2020-01-01', 100 FROM generate_series(1, 50) i});
$node->safe_psql('postgres', q{CREATE FUNCTION must(boolean, what text) RETURNS void LANGUAGE plpgsql AS
	$$ BEGIN IF $1 IS NOT TRUE THEN RAISE '%', what; END IF; END $$});

sub script
{
	my ($name, $sql) = @_;
	open my $file, '>', "$dir/$name.sql" or die $!;
	print $file $sql;
	close $file;
	return "$dir/$name.sql";
}

my $at = q{'2020-01-01'::timestamptz + :minute * interval '1 minute'};
my $set = q{\set a random(1, 50)
\set b random(1, 50)
\set minute random(1, 1000)
\set amount random(1, 30)
};
my $transfer = script('transfer', $set . qq{INSERT INTO account VALUES (:a, $at, -:amount), (:b, $at, :amount);\n});
my $two = script('two', $set . qq{BEGIN;
INSERT INTO account VALUES (:a, $at, -:amount);
SAVEPOINT s;
INSERT INTO account VALUES (:b, $at, 1000000);
ROLLBACK TO s;
INSERT INTO account VALUES (:b, $at, :amount);
COMMIT;
});
my $undone = script('undone', $set . qq{BEGIN;
INSERT INTO account VALUES (:a, $at, 1000000);
ROLLBACK;
});
my $read = script('read', $set . qq{SELECT must(sum(balance) = 5000, 'read ' || sum(balance)) FROM account WHERE at = $at;
SELECT must(sum(balance) = 5000, 'at ' || sum(balance)) FROM contime.at(NULL::account, 'infinity');
});
my $repeat = script('repeat', $set . qq{BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT hashtextextended(string_agg(a::text, ' ' ORDER BY at, id), 0) AS first FROM account a WHERE at IN ($at, 'infinity') \\gset
SELECT must(sum(balance) = 5000, 'repeatable ' || sum(balance)) FROM account WHERE at = $at;
SELECT must(hashtextextended(string_agg(a::text, ' ' ORDER BY at, id), 0) = :first, 'not repeatable') FROM account a WHERE at IN ($at, 'infinity');
COMMIT;
});

my ($out, $err);
my $bench = IPC::Run::start(
	[ 'pgbench', '-n', '-c', 8, '-j', 2, '-t', 1500, '-f', "$transfer\@4", '-f', "$two\@3", '-f', "$undone\@1", '-f', "$read\@2", '-f', "$repeat\@2",
		$node->connstr('postgres') ], '>', \$out, '2>', \$err);
my $terminated = 0;
while ($bench->pumpable)
{
	$terminated += $node->safe_psql('postgres', 'SELECT count(pg_terminate_backend(pid)) FROM contime.workers WHERE pid > 0');
	$bench->pump_nb;
	select undef, undef, undef, 0.2;
}
$bench->finish;
is(($bench->results)[0], 0, 'nobody saw money appear or vanish') or diag($err);
like($out, qr{number of transactions actually processed: 12000/12000}, 'all transactions were made');
note("$terminated workers terminated meanwhile");
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'everything entered and froze');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT s::text, ' ') FROM (
	SELECT sum(balance) AS s FROM generate_series(timestamptz '2020-01-01', '2020-01-02', '7 minutes') t JOIN account a ON a.at = t GROUP BY t) totals}),
	'5000', 'at every instant the total is what it was');
$node->stop('fast');

done_testing();
