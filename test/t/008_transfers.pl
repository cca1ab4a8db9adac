# Bank transfers between 1,000 accounts at random, mostly late instants: in one statement, in several, with savepoints, in two
# phases, at every isolation level, a tenth of them rolled back. Meanwhile readers read all accounts, at an instant and at
# infinity, at once and key by key, by state and by history, and again in the same transaction: in no snapshot and at no instant
# may the total change. The workers enter and freeze events, and are terminated now and then.
#
# Then transfers between a few accounts, with event ids: each transfer is written repeatedly, in three variants. The same
# variant must win for both accounts; a variant that would win over it is always rolled back.
#
# Then transfers between accounts that are new, get finished, or were rolled back, so that keys appear and disappear during scans.
#
# On a build with assertions visibility is then violated on purpose, in three ways. The same readers must notice each of them.
#
#   CT_SEED=n        the seed of pgbench; printed
#   CT_TRANSFERS=n   at least so many transfers (default 50,000)
#   CT_READS=n       at least so many totals are read (default 5,000)
#   CT_ASSERTIONS    where a PostgreSQL with such a build is (set by test/run.sh)
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $seed = $ENV{CT_SEED} // int(rand(1_000_000_000));
my $transfers = $ENV{CT_TRANSFERS} // 50_000;
my $reads = $ENV{CT_READS} // 5_000;
my ($accounts, $writers, $readers) = (1000, 8, 4);
my $total = 100 * $accounts;

note("CT_SEED=$seed CT_TRANSFERS=$transfers CT_READS=$reads");

# ---- the clients' scripts ----------------------------------------------------------

my $at = q{'2020-01-01'::timestamptz + :minute * interval '1 minute'};
my $draw = qq{\\set a random(1, $accounts)
\\set b random(1, $accounts)
\\set minute random(1, 10000)
\\set amount random(1, 30)
};

# For each script: its weight and its SQL.
my %write = (
	at_once => [ 40, qq{INSERT INTO account VALUES (:a, $at, -:amount), (:b, $at, :amount);} ],
	two_statements => [ 10, qq{BEGIN;
INSERT INTO account VALUES (:a, $at, -:amount);
INSERT INTO account VALUES (:b, $at, :amount);
COMMIT;} ],
	savepoints => [ 20, qq{BEGIN;
SAVEPOINT outer_one;
INSERT INTO account VALUES (:a, $at, -:amount);
SAVEPOINT inner_one;
INSERT INTO account VALUES (:b, $at, 1000000);
ROLLBACK TO inner_one;
INSERT INTO account VALUES (:b, $at, :amount);
RELEASE outer_one;
SAVEPOINT last_one;
INSERT INTO account VALUES (:a, $at, 1000000);
ROLLBACK TO last_one;
COMMIT;} ],
	two_phases => [ 5, qq{BEGIN;
INSERT INTO account VALUES (:a, $at, -:amount);
INSERT INTO account VALUES (:b, $at, :amount);
PREPARE TRANSACTION 'client :client_id';
COMMIT PREPARED 'client :client_id';} ],
	repeatable => [ 5, qq{BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT balance FROM account WHERE id = :a AND at = $at;
INSERT INTO account VALUES (:b, $at, :amount);
INSERT INTO account VALUES (:a, $at, -:amount);
COMMIT;} ],
	serializable => [ 5, qq{BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT a.balance + b.balance FROM account a, account b WHERE a.id = :a AND b.id = :b;
INSERT INTO account VALUES (:b, $at, :amount);
INSERT INTO account VALUES (:a, $at, -:amount);
COMMIT;} ],
	many_keys => [ 5, qq{INSERT INTO account SELECT 1 + (:a + i * :b) % $accounts, $at, CASE WHEN i % 2 = 0 THEN :amount ELSE -:amount END
FROM generate_series(1, 10) i;} ],
	undone => [ 10, qq{BEGIN;
INSERT INTO account VALUES (:a, $at, 1000000);
INSERT INTO account VALUES (:b, $at, :amount);
ROLLBACK;} ]);
my %events = (many_keys => 10, undone => 0);	# that remain, of a script; 2 of the others

my $sum = "SELECT must(sum(balance) = $total AND count(*) = $accounts";
my $hash = q{hashtextextended(string_agg(a::text, ' ' ORDER BY at, id), 0)};
my $instants = qq{at IN ($at, 'infinity')};

# For each script: its weight, how many totals it reads, and its SQL.
my %read = (
	instant => [ 3, 2, qq{$sum, 'read ' || sum(balance)) FROM account WHERE at = $at;
$sum, 'at ' || sum(balance)) FROM contime.at(NULL::account, 'infinity');} ],
	now => [ 1, 1, qq{$sum, 'now ' || sum(balance)) FROM account;} ],
	key_by_key => [ 1, 1, qq{$sum, 'key by key ' || sum(balance)) FROM generate_series(1, $accounts) k JOIN account a ON a.id = k AND a.at = $at;} ],
	history => [ 1, 1, qq{$sum, 'history ' || sum(balance))
FROM (SELECT ((h).state).balance FROM generate_series(1, $accounts) k, contime.history(NULL::account, k, $at, $at + interval '1 us') h) x;} ],
	histories => [ 1, 2, qq{$sum, 'histories ' || sum(balance))
FROM (SELECT ((h).state).balance FROM contime.history(NULL::account, $at, $at + interval '1 us') h) x;
$sum, 'histories, row by row ' || sum(balance))
FROM (SELECT ((h).state).balance FROM (SELECT contime.history(NULL::account, $at, $at + interval '1 us') h OFFSET 0) h) x;} ],
	# A history begins with the state at its start, ends with the state at its end, and is repeatable.
	one_history => [ 1, 0, qq{BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT hashtextextended(string_agg(h::text, ' ' ORDER BY during), 0) AS first FROM contime.history(NULL::account, :a, $at, '2021-01-01') h \\gset
SELECT must((array_agg((h).state.balance ORDER BY during DESC))[1] = (SELECT balance FROM account WHERE id = :a AND at = 'infinity')
	AND (array_agg((h).state.balance ORDER BY during))[1] = (SELECT balance FROM account WHERE id = :a AND at = $at), 'ends of a history')
FROM contime.history(NULL::account, :a, $at, '2021-01-01') h;
SELECT must(hashtextextended(string_agg(h::text, ' ' ORDER BY during), 0) = :first, 'history not repeatable') FROM contime.history(NULL::account, :a, $at, '2021-01-01') h;
COMMIT;} ],
	repeatable => [ 2, 3, qq{BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT $hash AS first FROM account a WHERE $instants \\gset
$sum, 'repeatable ' || sum(balance)) FROM account WHERE at = $at;
\\sleep 5 ms
$sum, 'repeatable, again ' || sum(balance)) FROM account WHERE at = $at;
SELECT must($hash = :first, 'not repeatable') FROM account a WHERE $instants;
$sum, 'repeatable, key by key ' || sum(balance)) FROM generate_series(1, $accounts) k JOIN account a ON a.id = k AND a.at = $at;
COMMIT;} ],
	serializable => [ 1, 2, qq{BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
$sum, 'serializable ' || sum(balance)) FROM account WHERE at = $at;
$sum, 'serializable, at the end ' || sum(balance)) FROM account WHERE at = 'infinity';
COMMIT;} ],
	# Half of the session's own transfer, which only this session sees.
	own => [ 1, 3, qq{BEGIN;
INSERT INTO account VALUES (:a, $at, :amount);
SELECT must(sum(balance) = $total + :amount, 'own half ' || sum(balance)) FROM account WHERE at = $at;
SAVEPOINT s;
INSERT INTO account VALUES (:b, $at, -:amount);
$sum, 'own whole ' || sum(balance)) FROM account WHERE at = $at;
ROLLBACK TO s;
SELECT must(sum(balance) = $total + :amount, 'own half, again ' || sum(balance)) FROM account WHERE at = 'infinity';
ROLLBACK;} ]);

# ---- running them -----------------------------------------------------------------

# A pgbench of these scripts; each client runs so many, drawn by weight.
sub start
{
	my ($node, $name, $clients, $times, $scripts, $how) = @_;
	my $run = { name => $name, out => '', err => '', times => $clients * $times };
	my @files;
	for my $script (sort keys %$scripts)
	{
		my $file = $node->basedir . "/$name-$script.sql";
		open my $sql, '>', $file or die "$file: $!";
		print $sql $how // $draw, $scripts->{$script}[-1], "\n";
		close $sql;
		push @files, '-f', "$file\@$scripts->{$script}[0]";
	}
	$run->{process} = IPC::Run::start(
		[ 'pgbench', '-n', '-c', $clients, '-j', 1, '-t', $times, "--random-seed=$seed", '--max-tries=1000', '--verbose-errors', @files,
			$node->connstr('postgres') ], '<', \undef, '>', \$run->{out}, '2>', \$run->{err});
	return $run;
}

# Wait for them, and terminate the workers every few seconds; return how many were terminated.
sub finish
{
	my ($node, @runs) = @_;
	my $terminated = 0;
	my $last = time;
	while (grep { $_->{process}->pumpable } @runs)
	{
		$_->{process}->pump_nb for grep { $_->{process}->pumpable } @runs;
		select undef, undef, undef, 0.1;
		next if time - $last < 3;
		$terminated += $node->safe_psql('postgres', 'SELECT count(pg_terminate_backend(pid)) FROM contime.workers WHERE pid > 0');
		$last = time;
	}
	$_->{process}->finish for @runs;
	return $terminated;
}

# How often each script completed.
sub done
{
	my $run = shift;
	my %done;
	$done{$1} = $2 while $run->{out} =~ m{SQL script \d+: .*/$run->{name}-(\w+)\.sql\n.*\n - (\d+) transactions}g;
	return %done;
}

# The first error that a reader reported.
sub complaint
{
	my $run = shift;
	my @errors = grep { !/could not serialize|retr/ } $run->{err} =~ /ERROR: +(.*)/g;
	return $errors[0] // '';
}

my $prepare = qq{INSERT INTO account SELECT i, '2020-01-01', 100 FROM generate_series(1, $accounts) i};
my %settings = ('max_connections' => 40, 'max_prepared_transactions' => 20, 'contime.memory' => $transfers > 100_000 ? '512MB' : '64MB');

sub node
{
	my ($name, @how) = @_;
	my $node = contime_node($name, %settings, @how);
	$node->safe_psql('postgres', q{CREATE FUNCTION must(boolean, what text) RETURNS void LANGUAGE plpgsql AS
		$$ BEGIN IF $1 IS NOT TRUE THEN RAISE '%', what; END IF; END $$});
	$node->safe_psql('postgres', $prepare);
	return $node;
}

# ---- the total stays --------------------------------------------------------------------

my $node = node('transfers');

# A tenth is rolled back; a reader's script reads 1.8 totals on average. The numbers have a margin, since scripts are drawn at random.
my @runs = (
	start($node, 'writer', $writers, int($transfers / 0.9 / $writers * 1.01) + 20, \%write),
	start($node, 'reader', $readers, int($reads / 1.8 / $readers * 1.02) + 20, \%read));
my $terminated = finish($node, @runs);
my ($write, $read) = map { { done($_) } } @runs;
my ($made, $totals, $left) = (0, 0, $accounts);
for my $script (keys %write)
{
	$made += $write->{$script} if $events{$script} // 1;
	$left += $write->{$script} * ($events{$script} // 2);
}
$totals += $read->{$_} * $read{$_}[1] for keys %read;
note("$made transfers, $write->{undone} undone; $totals totals read; $terminated workers terminated meanwhile");
note("$_->{name}: $1") for grep { $_->{out} =~ /number of (transactions retried: .*)/ } @runs;

for my $run (@runs)
{
	is(($run->{process}->results)[0], 0, "no $run->{name} got an error") or diag(substr($run->{err}, 0, 2000));
	like($run->{out}, qr{actually processed: $run->{times}/$run->{times}}, "each $run->{name} completed its transactions");
}
cmp_ok($made, '>=', $transfers, 'enough transfers were made');
cmp_ok($totals, '>=', $reads, 'enough totals were read, all of them right');
until_true($node, 'SELECT recent = 0 AND young = 0 FROM contime.tables', 'all events enter and freeze');
is($node->safe_psql('postgres', 'SELECT frozen FROM contime.tables'), $left, 'the number of frozen events is twice the number of transfers');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT s::text, ' ') FROM (
	SELECT sum(balance) AS s FROM generate_series(timestamptz '2020-01-01', '2020-01-08', '97 minutes') t JOIN account a ON a.at = t GROUP BY t) totals}),
	$total, 'the total is the same at every instant');

# ---- repeated events ---------------------------------------------------------

# (Contents are compared column by column, so the same variant wins for both accounts. An ordinary table gets the same rows.)
my $few = 20;
my $tellings = int($transfers / 5);
$total = 100 * $few;
$node->safe_psql('postgres', qq{CREATE FOREIGN TABLE told (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), variant int,
	balance bigint OPTIONS (rule 'sum', initial '0'), n bigint OPTIONS (event_id 'true')) SERVER contime;
	CREATE UNLOGGED TABLE plain (LIKE told);
	INSERT INTO told SELECT i, '2020-01-01', NULL, 100 FROM generate_series(1, $few) i});
my $recall = qq{\\set n random(1, @{[ 1 + int($tellings / 4) ]})
\\set a 1 + (:n * 7919) % $few
\\set b 1 + (:a + :n % @{[ $few - 1 ]}) % $few
\\set minute 1 + (:n * 31) % 10000
\\set variant random(1, 3)
\\set amount :variant * 10
};
my $legs = "VALUES (:a, $at, :variant, -:amount, :n), (:b, $at, :variant, :amount, :n)";
my %tell = (
	once => [ 7, qq{WITH w AS (INSERT INTO plain $legs RETURNING *) INSERT INTO told SELECT * FROM w;} ],
	twice => [ 1, qq{BEGIN;
INSERT INTO plain $legs;
INSERT INTO told $legs;
SAVEPOINT s;
INSERT INTO told VALUES (:b, $at, 0, 1000000, :n);
ROLLBACK TO s;
INSERT INTO told $legs;
COMMIT;} ],
	undone => [ 2, qq{BEGIN;
INSERT INTO told VALUES (:a, $at, 0, 1000000, :n);
INSERT INTO told $legs;
ROLLBACK;} ]);
my %hear = map { my @script = @{ $read{$_} }; $script[-1] =~ s/\baccount\b/told/g; $script[-1] =~ s/\b$accounts\b/$few/g; $script[-1] =~ s/\b@{[ 100 * $accounts ]}\b/$total/g; ($_ => \@script) }
  grep { $_ ne 'own' } keys %read;

@runs = (
	start($node, 'teller', $writers, int($tellings / $writers), \%tell, $recall),
	start($node, 'hearer', $readers, int($reads / 5 / $readers), \%hear, $draw =~ s/\b$accounts\b/$few/gr));
finish($node, @runs);
is(($_->{process}->results)[0], 0, "no $_->{name} got an error") or diag(substr($_->{err}, 0, 2000)) for @runs;
until_true($node, q{SELECT recent = 0 AND young = 0 FROM contime.tables WHERE "table" = 'told'::regclass}, 'all events enter and freeze');
my %told = done($runs[0]);
is($node->safe_psql('postgres', q{SELECT frozen + duplicates + conflicts FROM contime.tables WHERE "table" = 'told'::regclass}),
	$few + 2 * $told{once} + 4 * $told{twice}, 'each event is counted as frozen, duplicate or conflict');
is($node->safe_psql('postgres', q{WITH first AS (SELECT DISTINCT ON (id, at, n) * FROM plain ORDER BY id, at, n, variant)
	SELECT (SELECT count(*) FROM first) || ' ' || (SELECT count(*) FROM told WHERE at = 'infinity') || ' ' ||
		(SELECT count(*) FROM generate_series(timestamptz '2020-01-01', '2020-01-08', '97 minutes') t JOIN told ON told.at = t
		 WHERE balance <> 100 + (SELECT coalesce(sum(f.balance), 0) FROM first f WHERE f.id = told.id AND f.at <= t))}),
	$node->safe_psql('postgres', q{SELECT frozen - 20 FROM contime.tables WHERE "table" = 'told'::regclass}) . " $few 0", 'the first variant of each transfer has won');
# ---- keys that appear and disappear ----------------------------------------------------------

my $openings = int($transfers / 10);
$node->safe_psql('postgres', $Contime::account =~ s/account/till/r);
my $anybody = $draw =~ s/\b$accounts\b/1000000000/gr;
my $pair = "(:a, $at, -:amount), (:b, $at, :amount)";
my %open = (
	opened => [ 5, qq{INSERT INTO till VALUES $pair;} ],
	finished => [ 2, qq{BEGIN;
INSERT INTO till VALUES $pair;
SELECT contime.finish(ROW(k, $at + interval '1 hour', NULL, NULL)::till) FROM unnest(ARRAY[:a, :b]) k;
COMMIT;} ],
	never => [ 3, qq{BEGIN;
INSERT INTO till SELECT :a + i * 7919, $at, 1 FROM generate_series(1, 50) i;
ROLLBACK;} ]);
my $none = 'SELECT must(coalesce(sum(balance), 0) = 0';
my %look = (
	instant => [ 2, qq{$none, 'new read ' || sum(balance)) FROM till WHERE at = $at;} ],
	many_instants => [ 3, qq{SELECT must(coalesce(every(total = 0), true), 'new read of many: ' || string_agg(total::text, ' '))
FROM (SELECT sum(balance) AS total FROM till WHERE at = ANY (ARRAY(SELECT $at + i * interval '7 minutes' FROM generate_series(1, 40) i)) GROUP BY at) x;} ],
	twice => [ 1, qq{BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT coalesce($hash, 0) AS first FROM till a WHERE $instants \\gset
\\sleep 5 ms
$none, 'new repeatable ' || sum(balance)) FROM till WHERE at = 'infinity';
SELECT must(coalesce($hash, 0) = :first, 'new not repeatable') FROM till a WHERE $instants;
COMMIT;} ]);
@runs = (
	start($node, 'opener', $writers, int($openings / $writers), \%open, $anybody),
	start($node, 'looker', $readers, int($reads / 20 / $readers), \%look));
finish($node, @runs);
is(($_->{process}->results)[0], 0, "no $_->{name} got an error") or diag(substr($_->{err}, 0, 2000)) for @runs;
until_true($node, q{SELECT recent = 0 AND young = 0 FROM contime.tables WHERE "table" = 'till'::regclass}, 'all events enter and freeze');
my %opened = done($runs[0]);
is($node->safe_psql('postgres', q{SELECT frozen FROM contime.tables WHERE "table" = 'till'::regclass}),
	2 * $opened{opened} + 4 * $opened{finished}, 'the number of events is that of the committed transfers');

$node->stop('fast');

# ---- visibility violated on purpose ------------------------------------------------------------

$total = 100 * $accounts;
SKIP:
{
	skip 'no build with assertions: CT_ASSERTIONS is not set', 7 unless $ENV{CT_ASSERTIONS};
	$node = node('broken', install_path => $ENV{CT_ASSERTIONS});
	for my $how (qw(exact no_snapshot enter_early freeze_early))
	{
		$node->safe_psql('postgres', "ALTER SYSTEM SET contime.debug_visibility = $how");
		$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
		$node->poll_query_until('postgres', "SELECT current_setting('contime.debug_visibility') = '$how'");
		$node->safe_psql('postgres', "TRUNCATE account; $prepare");
		@runs = (
			start($node, 'writer', $writers, 300, \%write),
			start($node, 'reader', $readers, 60, \%read));
		finish($node, @runs);
		my $complaint = complaint($runs[1]);
		if ($how eq 'exact')
		{
			is($complaint, '', 'with assertions and exact visibility the readers find no error');
			next;
		}
		isnt(($runs[1]{process}->results)[0], 0, "$how: a reader fails");
		like($complaint, qr/^(read|at|now|key by key|history|histories|ends of|not repeat|repeat|serializable|own) ?/, "and reports: $complaint");
	}
	$node->stop('fast');
}

done_testing();
