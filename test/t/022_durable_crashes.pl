# Random crashes under a load of transfers over a durable table: a backend, a worker, another process of the server or the
# postmaster is killed, sometimes again during recovery. A transfer is a row that two sources make an event of two accounts, the
# giver and the taker; rows are also corrected (updated in every column) and deleted, by transactions of one statement
# or several, with savepoints, in two phases, some of them rolled back.
#
# Each client records which transactions it began and which were acknowledged, that is, whose COMMIT returned. Clients change
# different rows, so it is known which rows there must be. After each crash
#   - every acknowledged transaction is there, and no other, except the one of each client that was in progress: that one is there
#     completely, or not at all; a prepared transaction is still prepared, and its changes are not in the state;
#   - the continuous table agrees with plain SQL over the rows in the same snapshot, at random instants, for all accounts at once and
#     one by one, right after the start and once its cache is ready; and at every instant the total is unchanged.
# Readers check the latter all the time.
#
# Then the same with synchronous_commit = off, when crashes do lose acknowledged transactions: the test must notice that.
#
#   CT_SEED=n      the seed of the clients' transactions and of the crashes; printed
#   CT_CRASHES=n   number of crashes (default 40; 500 under make soak)
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use IO::Select;
use Time::HiRes;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $seed = srand($ENV{CT_SEED} // int(rand(2**31)));
my $crashes = $ENV{CT_CRASHES} // 40;
my ($clients, $accounts, $minutes) = (4, 20, 1000);
note("CT_SEED=$seed CT_CRASHES=$crashes");

my $node = contime_node('durable_crashes', 'restart_after_crash' => 'on', 'contime.memory' => '32MB', 'autovacuum' => 'off', 'shared_buffers' => '16MB',
	'max_prepared_transactions' => 100, 'log_statement' => 'none', 'log_min_error_statement' => 'panic', 'synchronous_commit' => 'on', 'checkpoint_timeout' => '1h');
$node->safe_psql('postgres', q{
	DROP FOREIGN TABLE account;
	CREATE TABLE transfer (id bigint PRIMARY KEY, giver int NOT NULL, taker int NOT NULL, at timestamptz NOT NULL, amount int NOT NULL, note text);
	CREATE FOREIGN TABLE account (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
		balance bigint OPTIONS (rule 'sum', initial '0'), n bigint OPTIONS (rule 'sum'), most int OPTIONS (rule 'max')) SERVER contime;
	SELECT contime.add_source('account', 'transfer', '{"id": "giver", "balance": "-amount", "n": "1", "most": null}');
	SELECT contime.add_source('account', 'transfer', '{"id": "taker", "balance": "amount", "n": "1", "most": "amount"}');
	CREATE VIEW event AS SELECT giver AS id, at, -amount AS balance, NULL::int AS most FROM transfer UNION ALL SELECT taker, at, amount, amount FROM transfer;
	CREATE FUNCTION must(boolean, what text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN IF $1 IS NOT TRUE THEN RAISE 'WRONG: %', what; END IF; END $$});

sub pick { return $_[ rand @_ ] }
sub chance { return rand() < $_[0] }
sub instant { my $m = shift // int rand $minutes; return sprintf '2020-01-01 %02d:%02d+00', $m / 60, $m % 60 }

# Raise an error unless continuous and plain table agree at these instants, and the total at each of them is 0.
sub must_agree
{
	my ($what, @instants) = @_;
	my %once = map { $_ => 1 } @instants;
	@instants = sort keys %once;
	my $t = 'ARRAY[' . join(', ', map { "'$_'::timestamptz" } @instants) . ']';
	my $state = 'a.id, a.at, a.balance, a.n, a.most';
	my $got = pick(
		"SELECT $state FROM account a WHERE a.at = ANY ($t)",
		"SELECT $state FROM unnest($t) t, contime.at(NULL::account, t) a",
		"SELECT $state FROM unnest($t) t CROSS JOIN generate_series(1, $accounts) k JOIN account a ON a.id = k AND a.at = t",
		"SELECT k AS id, t AS at, ((h).state).balance, ((h).state).n, ((h).state).most FROM unnest($t) t, generate_series(1, $accounts) k, contime.history(NULL::account, k, t, t + interval '1 us') h");
	return "SELECT must(count(*) FILTER (WHERE want IS DISTINCT FROM got) = 0 AND sum((got).balance) IS NOT DISTINCT FROM CASE WHEN count(*) > 0 THEN 0 END, '$what: ' ||
		coalesce(string_agg(concat(want, ' ', got), ', ') FILTER (WHERE want IS DISTINCT FROM got), 'total ' || sum((got).balance)))
	FROM (SELECT e.id, t AS at, sum(balance)::bigint AS balance, count(*) AS n, max(most) AS most FROM unnest($t) t JOIN event e ON e.at <= t GROUP BY e.id, t) want
		FULL JOIN ($got) got ON got.id = want.id AND got.at = want.at";
}

# ---- the clients' transactions --------------------------------------------------------------

# For each client: the rows that must exist, which of them a prepared transaction has changed, and the changes of such transactions.
my @states = map { { rows => {}, held => {}, prepared => {} } } 1 .. $clients;
my $serial = 0;

sub row { return [ 1 + int rand $accounts, 1 + int rand $accounts, instant(), 1 + int rand 30, pick('', 'late', 'x' x 200) ] }
sub values_of { my ($id, @row) = @_; return "($id, " . join(', ', map { "'$_'" } @row) . ')' }

# Return a statement that changes $rows, except rows held by a prepared transaction; record in $changes the new content of each changed row (undef: deleted).
sub change
{
	my ($client, $rows, $held, $changes) = @_;
	my $dice = rand;
	my @there = grep { !$held->{$_} } sort keys %$rows;
	if (@there > 100 || (@there > 10 && $dice < 0.15))
	{
		my @gone = map { pick(@there) } 1 .. (@there > 100 ? 50 : 1 + int rand 4);
		for (@gone) { delete $rows->{$_}; $changes->{$_} = undef }
		return 'DELETE FROM transfer WHERE id IN (' . join(', ', @gone) . ');';
	}
	if (@there && $dice < 0.45)
	{
		my $id = pick(@there);
		my $column = int rand 5;
		my $row = [ @{ $rows->{$id} } ];
		$row->[$column] = row()->[$column];
		$rows->{$id} = $changes->{$id} = $row;
		return "INSERT INTO transfer VALUES @{[ values_of($id, @$row) ]} ON CONFLICT (id) DO UPDATE SET " . (qw(giver taker at amount note))[$column] . ' = excluded.' . (qw(giver taker at amount note))[$column] . ';' if chance(0.2);
		return 'UPDATE transfer SET ' . (qw(giver taker at amount note))[$column] . " = '$row->[$column]' WHERE id = $id;";
	}
	my %new = map { ++$serial * $clients + $client => row() } 1 .. pick(1, 1, 1, 2, 5, 20);
	$rows->{$_} = $changes->{$_} = $new{$_} for keys %new;
	return "COPY transfer FROM STDIN;\n" . join('', map { join("\t", $_, @{ $new{$_} }) . "\n" } sort keys %new) . '\.' if chance(0.2);
	return 'INSERT INTO transfer VALUES ' . join(', ', map { values_of($_, @{ $new{$_} }) } sort keys %new) . ';';
}

# Return a script of transactions, and the changes of each. Transactions in two phases have a name, and may be left prepared.
sub write_script
{
	my ($client, $file) = @_;
	my $state = $states[$client];
	my %rows = %{ $state->{rows} };
	my %held = %{ $state->{held} };
	my @transactions;
	my $sql = "\\set ON_ERROR_STOP on\n\\pset tuples_only on\n\\o /dev/null\n";
	for my $n (0 .. 249)
	{
		my $transaction = { changes => {} };
		my ($changes, $how) = ($transaction->{changes}, rand);
		my %before = $how >= 0.4 && $how < 0.65 ? %rows : ();
		$sql .= "\\echo begin $n\n";
		if ($how < 0.4)
		{
			$sql .= change($client, \%rows, \%held, $changes) . "\n";
		}
		else
		{
			$sql .= 'BEGIN' . pick('', ' ISOLATION LEVEL REPEATABLE READ') . ";\n";
			for (1 .. 1 + int rand 4)
			{
				$sql .= change($client, \%rows, \%held, $changes) . "\n";
				next unless chance(0.3);
				my %undone = %rows;
				$sql .= "SAVEPOINT s;\n" . change($client, \%undone, \%held, {}) . "\n" . (chance(0.3) ? must_agree('own', instant()) . ";\n" : '') . "ROLLBACK TO s;\n";
			}
			if ($how < 0.5)
			{
				$sql .= "ROLLBACK;\n";
				$transaction->{changes} = {};
				%rows = %before;
			}
			elsif ($how < 0.65)
			{
				my $gid = $transaction->{gid} = 'transaction ' . ++$serial;
				$sql .= "PREPARE TRANSACTION '$gid';\n\\echo prepared $n\n";
				if (chance(0.1))
				{
					$transaction->{left} = 1;
					$held{$_} = 1 for keys %$changes;
					%rows = %before;
				}
				else
				{
					$sql .= "COMMIT PREPARED '$gid';\n";
				}
			}
			else
			{
				$sql .= "COMMIT;\n";
			}
		}
		$sql .= "\\echo ack $n\n";
		push @transactions, $transaction;
	}
	append_to_file($file, $sql);
	return @transactions;
}

sub hold
{
	my ($state, $transaction) = @_;
	$state->{prepared}{ $transaction->{gid} } = $transaction->{changes};
	$state->{held}{$_} = 1 for keys %{ $transaction->{changes} };
}

sub apply
{
	my ($rows, $changes) = @_;
	for (keys %$changes)
	{
		if ($changes->{$_}) { $rows->{$_} = $changes->{$_} }
		else { delete $rows->{$_} }
	}
}

# ---- a crash ----------------------------------------------------------------------------

my %victims = (
	client => q{application_name = 'client'}, reader => q{application_name = 'reader'}, worker => q{backend_type = 'contime worker'},
	launcher => q{backend_type = 'contime launcher'}, agent => q{backend_type = 'contime agent'},
	checkpointer => q{backend_type = 'checkpointer'}, walwriter => q{backend_type = 'walwriter'});
my @targets = (('client') x 6, 'reader', ('worker') x 5, 'launcher', 'agent', 'agent', 'checkpointer', 'walwriter', ('postmaster') x 3, 'postmaster, twice', 'immediate');
my $data = $node->data_dir;

sub wait_until
{
	my ($condition, $what) = @_;
	for (1 .. 18000)
	{
		return if $condition->();
		Time::HiRes::usleep(10_000);
	}
	die "seed $seed: waited in vain for $what";
}

# Kill -9 the postmaster, and wait until all its processes are gone: each of them keeps the shared memory.
sub kill_postmaster
{
	my $pid = (slurp_file("$data/postmaster.pid") =~ /^(\d+)/)[0];
	kill 'KILL', $pid;
	wait_until(sub { !kill(0, $pid) && !grep { (readlink("$_/cwd") // '') eq $data } glob '/proc/[0-9]*' }, 'the end of the server');
	$node->{_pid} = undef;
}

# Return a process of this kind; a client, if there is none; or the checkpointer, if all clients have completed.
sub victim
{
	my $whom = shift;
	my $pid;
	wait_until(sub { ($pid) = split /\n/, $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $victims{$whom} OR $victims{client} OR $victims{checkpointer}
		ORDER BY CASE WHEN $victims{$whom} THEN 0 WHEN $victims{client} THEN 1 ELSE 2 END, random()"); defined $pid }, "a $whom to kill");
	return $pid;
}

# Make the server crash, and wait until it accepts connections again.
sub crash
{
	my ($whom, $pid) = @_;
	if ($whom eq 'immediate')
	{
		$node->stop('immediate');
		$node->start;
		return;
	}
	if ($whom =~ /postmaster/)
	{
		kill_postmaster();
		if ($whom =~ /twice/)
		{
			my $offset = -s $node->logfile;
			system('pg_ctl', 'start', '-W', '-s', '-D', $data, '-l', $node->logfile) == 0 or die 'pg_ctl';
			wait_until(sub { substr(slurp_file($node->logfile), $offset) =~ /not properly shut down/ }, 'a recovery');
			kill_postmaster();
		}
		$node->start;
		return;
	}
	my $offset = -s $node->logfile;
	$pid = victim($whom) until kill 'KILL', $pid;	# the chosen process may have exited meanwhile
	eval { $node->wait_for_log(qr/database system is ready to accept connections/, $offset); 1 } or die "seed $seed: no recovery from the death of a $whom";
	$node->poll_query_until('postgres', 'SELECT true') or die "seed $seed: no connection";
}

sub psql { my ($name, $file) = @_; return "PGAPPNAME=$name exec psql -X -q -h '" . $node->host . "' -p " . $node->port . " -d postgres -f '$file' 2>&1" }

my ($acknowledged, $doubtful, $doubtful_in, $survived, $read) = (0) x 5;
my %count;

# Run clients until a process is killed; return the errors they found.
sub cycle
{
	my $dir = PostgreSQL::Test::Utils::tempdir;
	my (@transactions, @out, %client_of, @wrong);
	my $select = IO::Select->new;
	my $whom = pick(@targets);
	$count{$whom}++;

	for my $client (0 .. $clients)		# the last client is the reader
	{
		my $file = "$dir/$client.sql";
		if ($client < $clients)
		{
			push @transactions, [ write_script($client, $file) ];
		}
		else
		{
			append_to_file($file, "\\set ON_ERROR_STOP on\n\\pset tuples_only on\n" . join '', map {
				"BEGIN ISOLATION LEVEL " . pick('REPEATABLE READ', 'READ COMMITTED') . ";\n"
				  . join('', map { must_agree('reader', map { instant() } 1 .. 1 + int rand 3) . ";\n" } 1 .. 1 + int rand 3) . "COMMIT;\n\\echo read\n" } 1 .. 200);
		}
		open my $from, '-|', psql($client < $clients ? 'client' : 'reader', $file) or die "psql: $!";
		$client_of{$from} = $client;
		$out[$client] = '';
		$select->add($from);
	}
	my $drain = sub {
		my @ready = $select->can_read(120) or die "seed $seed: no client says anything";
		for my $from (@ready)
		{
			next if sysread $from, $out[ $client_of{$from} ], 65536, length $out[ $client_of{$from} ];
			$select->remove($from);
			close $from;
		}
	};
	# Wait for a random time; the process to kill is chosen before.
	my $made = sub { return scalar(() = "@out[0 .. $clients - 1]" =~ /^ack /mg) };
	$drain->() while grep { !/^begin/ } @out[ 0 .. $clients - 1 ];
	my $pid = $victims{$whom} ? victim($whom) : undef;
	my $enough = $made->() + rand(chance(0.3) ? 400 : 50);
	$drain->() while $select->count && $made->() < $enough;
	crash($whom, $pid);
	$drain->() while $select->count;
	$read += () = $out[$clients] =~ /^read$/mg;
	push @wrong, grep { /(ERROR|FATAL|PANIC): / && !/terminating connection|the database system is/ } map { split /\n/ } @out;

	# Check first of all, as soon as the server accepts connections.
	my @instants = ('2030-01-01', map { instant() } 1 .. 4);
	my (undef, $answer, $error) = $node->psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ;\n" . join(";\n", map { must_agree("after $whom", @instants) } 1 .. 2) . ";\n"
		  . "SELECT 'gid', gid FROM pg_prepared_xacts;\nSELECT 'row', id, giver, taker, to_char(at, 'YYYY-MM-DD HH24:MI+00'), amount, note FROM transfer;\nCOMMIT;\n");
	return "$whom: $error" if $error;
	my %there = map { $_ => {} } 0 .. $clients - 1;
	my %gids;
	for (split /\n/, $answer)
	{
		my ($what, $id, @row) = split /\|/, $_, -1;
		$gids{$id} = 1 if ($what // '') eq 'gid';
		$there{ $id % $clients }{$id} = \@row if ($what // '') eq 'row';
	}
	# (A prepared transaction may have written before the cache captured rows, so the loader waits for its end.)
	my $end_all = chance(0.6);
	push @wrong, remembered($_, $transactions[$_], $out[$_], \%gids, $there{$_}, $end_all) for 0 .. $clients - 1;
	if ($end_all)
	{
		until_cached($node, 'account');
		(undef, undef, $error) = $node->psql('postgres', must_agree("cached after $whom", @instants));
		push @wrong, $error if $error;
		my $verified = $node->safe_psql('postgres', q{SELECT answered_from, equal FROM contime.verify('account')});
		push @wrong, "verified: $verified" if $verified ne 'memory|t';
	}
	return map { "$whom: $_" } @wrong;
}

sub text { my $rows = shift; return join "\n", map { join '|', $_, @{ $rows->{$_} } } sort keys %$rows }

# Check that the rows that this client recorded are there, and no others.
sub remembered
{
	my ($client, $transactions, $out, $gids, $there, $end_all) = @_;
	my $state = $states[$client];
	my $rows = $state->{rows};
	my @wrong;
	my ($begun, $prepared, $last) = (-1, -1, -1);
	$begun = $1 while $out =~ /^begin (\d+)$/mg;
	$prepared = $1 while $out =~ /^prepared (\d+)$/mg;
	$last = $1 while $out =~ /^ack (\d+)$/mg;
	for my $transaction (@$transactions[ 0 .. $last ])
	{
		$acknowledged++;
		if ($transaction->{left}) { hold($state, $transaction) }
		else { apply($rows, $transaction->{changes}) }
	}
	my $doubt = $begun > $last ? $transactions->[$begun] : undef;
	my $alternative;
	if ($doubt)
	{
		$doubtful++;
		if ($doubt->{gid} && $gids->{ $doubt->{gid} }) { hold($state, $doubt) }
		elsif ($doubt->{gid} && $prepared == $begun)
		{
			push @wrong, "$doubt->{gid} was prepared and is gone" if $doubt->{left};
			apply($rows, $doubt->{changes});	# so it was committed
		}
		elsif (!$doubt->{gid})
		{
			$alternative = {%$rows};
			apply($alternative, $doubt->{changes});
		}
	}
	my ($want, $got) = (text($rows), text($there));
	if ($alternative && $got ne $want && $got eq text($alternative))
	{
		$state->{rows} = $rows = $alternative;
		$want = $got;
		$doubtful_in++;
	}
	if ($want ne $got)
	{
		my %want = map { $_ => 1 } split /\n/, $want;
		my %got = map { $_ => 1 } split /\n/, $got;
		my @lost = grep { !$got{$_} } sort keys %want;
		my @appeared = grep { !$want{$_} } sort keys %got;
		push @wrong, 'client ' . $client . ': lost ' . @lost . ' rows (' . ($lost[0] // '') . '), appeared ' . @appeared . ' (' . ($appeared[0] // '') . ')';
	}

	# Prepared transactions must still be prepared; end some of them now.
	for my $gid (sort keys %{ $state->{prepared} })
	{
		$survived++;
		push @wrong, "$gid was prepared and is gone" unless $gids->{$gid};
		next if !$gids->{$gid} || (!$end_all && chance(0.5));
		my $commit = chance(0.6);
		$node->safe_psql('postgres', ($commit ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid'");
		my $changes = delete $state->{prepared}{$gid};
		apply($rows, $changes) if $commit;
		delete $state->{held}{$_} for keys %$changes;
	}
	return @wrong;
}

my $done = 0;
my @wrong;
@wrong = cycle() while !@wrong && $done++ < $crashes;
is(join("\n", @wrong), '', "no difference after $crashes crashes") or diag("CT_SEED=$seed");
note("$acknowledged transactions were acknowledged, $doubtful in doubt, $doubtful_in of which were found; $survived times one that was prepared still was; $read reads meanwhile");
note(join ', ', map { "$_: $count{$_}" } sort keys %count);
cmp_ok($acknowledged, '>', 20 * $crashes, 'enough transactions were acknowledged');
for my $m (0 .. $minutes / 100 - 1)
{
	my $check = must_agree('in the end', map { instant($m * 100 + $_ * 10) } 0 .. 9);
	is(($node->psql('postgres', $check))[0], 0, "the tables agree in the end, from minute @{[ $m * 100 ]}");
}

# The same checks must notice lost transactions.
$node->safe_psql('postgres', $_) for q{ALTER SYSTEM SET synchronous_commit = off}, q{ALTER SYSTEM SET wal_writer_delay = '10s'}, 'SELECT pg_reload_conf()';
@targets = ('client');
@wrong = ();
for (1 .. 20)
{
	@wrong = cycle();
	last if @wrong;
}
like($wrong[0], qr/^client: client \d: lost \d+ rows/, 'with synchronous_commit = off a lost transaction is noticed');
$node->stop('fast');
done_testing();
