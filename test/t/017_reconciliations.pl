# If a state that was read is another one now, contime.reconciliations() after that read returns its key and instant, and a
# notice covers the instant: checked for random transactions of several sessions that commit in any order (also while workers
# are stopped, so that they find many transactions at once), and readers with new and with old PostgreSQL snapshots.
# CT_SEED repeats a run; CT_ROUNDS sets its length.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use List::Util qw(shuffle);
use Contime;

my $seed = $ENV{CT_SEED} // int(rand(2**31));
my $rounds = $ENV{CT_ROUNDS} // 50;
srand($seed);
diag("CT_SEED=$seed CT_ROUNDS=$rounds");

my $last = 12;		# instants are 0 .. $last
my @keys = (1 .. 3);
my $node = contime_node('reconciliations');
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE t (
	id int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), s bigint OPTIONS (rule 'sum', initial '0'),
	c bigint OPTIONS (rule 'sum', initial '1', lower '0', upper '4'), l int, x numeric(9,3) OPTIONS (interpolate 'linear'),
	p numeric(9,3) OPTIONS (rate 'v'), v int, ev int OPTIONS (event_id 'true')) SERVER contime});

sub one_in { return int(rand($_[0])) == 0 }
sub pick { return $_[int(rand(@_))] }

# Return a statement that writes one event of a random kind. (The range of a change of a line begins at the previous event that
# sets the column, where the value is unchanged; so the test must know whether x is set.)
my $touches_line;
sub event
{
	my ($id, $at, $ev) = (pick(@keys), int(rand($last + 1)), one_in(3) ? 'NULL' : 1 + int(rand(2)));
	my %value = (s => sub { int(rand(7)) - 3 }, c => sub { int(rand(9)) - 4 }, l => sub { int(rand(2)) },
		x => sub { int(rand(5)) }, p => sub { int(rand(5)) }, v => sub { int(rand(3)) - 1 });
	my @columns = qw(s c l x p v);
	my @row = map { one_in(3) ? $value{$_}->() : 'NULL' } @columns;
	my $row = "ROW($id, $at, " . join(', ', @row) . ", $ev)::t";
	my $kind = int(rand(10));
	$touches_line = $kind <= 3 || $row[3] ne 'NULL';
	return "SELECT contime.finish(ROW($id, $at, NULL, NULL, NULL, NULL, NULL, NULL, $ev)::t)" if $kind == 0;
	return "SELECT contime.snapshot(ROW($id, $at, 1, 2, 0, 3, 1, 1, $ev)::t)" if $kind == 1;
	return "SELECT contime.snapshot($row, columns => '{" . pick('l', 'x', 's,l') . "}')" if $kind == 2;
	if ($kind == 3)
	{
		my @null = grep { $row[$_] eq 'NULL' } 0 .. 5;
		return "SELECT contime.event($row, set_null => '{" . (@null ? $columns[pick(@null)] : '') . "}')";
	}
	return "INSERT INTO t VALUES ($id, $at, " . join(', ', @row) . ", $ev)";
}

# All states at these instants, by key and instant.
sub answers
{
	my ($session, @instants) = @_;
	my %answer = map { my $id = $_; map { ("$id\@$_" => '-') } @instants } @keys;
	my $list = join ', ', @instants;
	for (split /\n/, $session->query_safe("SELECT id || '\@' || at || '=' || t::text FROM t WHERE at IN ($list)"))
	{
		$answer{$1} = $2 if /^(\S+?)=(.*)/;
	}
	return \%answer;
}

my @session = map { $node->background_psql('postgres') } 0 .. 4;
my $main = $session[0];
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN contime');
my @heard;

# Wait until a query of the main session returns true.
sub wait_for
{
	my ($query) = @_;
	for (1 .. 1200)
	{
		return if $main->query_safe($query) eq 't';
		select undef, undef, undef, 0.02;
	}
	die "waited in vain for $query";
}

# Stop the workers at a moment when none of them holds a lock.
my @workers;
END { kill CONT => @workers }
sub stop_workers
{
	my @pids = @workers = split /\n/, $main->query_safe('SELECT pid FROM contime.workers');
	for (1 .. 100)
	{
		kill STOP => @pids;
		my ($status) = $node->psql('postgres', q{SET statement_timeout = '500ms'; BEGIN; INSERT INTO t (id, at, s) SELECT i, 0, 0 FROM generate_series(101, 120) i; ROLLBACK});
		return @pids if $status == 0;
		kill CONT => @pids;
	}
	die 'the workers always hold a lock';
}

# The number of the newest reconciliation; 0 if nothing has changed yet, as before the first event of the first round.
sub newest_seq { return $main->query_safe('SELECT coalesce(max(seq), 0) FROM contime.reconciliations_tick(NULL::t)') }

# Arguments: the final states, and for each read its number, instants and answers.
my ($compared, $changed, $uncovered, $unheard, $lost) = (0, 0, 0, 0, 0);
sub check
{
	my ($round, $final, @reads) = @_;
	for my $read (@reads)
	{
		my %told;
		for (split /\n/, $main->query_safe("SELECT (key).id, coalesce(lower(during), -1), coalesce(upper(during), 1000), reset
				FROM contime.reconciliations_tick(NULL::t, since => $read->{seq})"))
		{
			my ($id, $from, $to, $reset) = split /\|/;
			$lost++ if $reset eq 't';
			next if $reset eq 't';
			$told{"$id\@$_"} = 1 for grep { $_ >= $from && $_ < $to } 0 .. $last;
		}
		my %heard;
		for my $notice (grep { $_->{seq} > $read->{seq} } @heard)
		{
			$heard{$_} = 1 for grep { $_ >= ($notice->{from} // -1) && $_ < ($notice->{to} // 1000) } 0 .. $last;
		}
		for my $at (sort keys %{$read->{answer}})
		{
			$compared++;
			next if $read->{answer}{$at} eq $final->{$at};
			$changed++;
			my ($instant) = $at =~ /@(.*)/;
			$unheard++ if $read->{listened} && !$heard{$instant};
			next if $told{$at};
			$uncovered++;
			diag("round $round, $read->{who}, $at: read $read->{answer}{$at}, is $final->{$at}") if $uncovered <= 5;
		}
	}
}

my ($quiet_rounds, $idle, $needless) = (0, 0, 0);
for my $round (1 .. $rounds)
{
	my @script;
	my @reads;
	$main->query_safe('TRUNCATE t');
	$main->query_safe(event()) for 1 .. int(rand(8));
	wait_for('SELECT coalesce(sum(recent + young), 0) = 0 FROM contime.tables');
	wait_for(q{SELECT count(*) = 0 FROM contime.reconciliations_tick(NULL::t) WHERE reset AND seq = 0});

	# One writer that waits after each event: every change is reported, and nothing that did not change.
	if (one_in(3))
	{
		$quiet_rounds++;
		my $before = answers($main, 0 .. $last);
		for (1 .. 5)
		{
			my $seq = newest_seq();
			my $event = event();
			# The last one certainly changes nothing, if a key has a row: it adds 0 to a sum.
			my ($shown) = grep { $before->{$_} ne '-' } sort keys %$before;
			($event, $touches_line) = ("INSERT INTO t (id, at, s) VALUES ($1, $2, 0)", 0) if $_ == 5 && $shown && $shown =~ /^(.*)@(.*)$/;
			$main->query_safe($event);
			wait_for('SELECT coalesce(sum(recent + young), 0) = 0 FROM contime.tables');
			my $after = answers($main, 0 .. $last);
			my $told = $main->query_safe("SELECT count(*) FROM contime.reconciliations_tick(NULL::t, since => $seq)");
			check($round, $after, {who => $event, seq => $seq, answer => $before});
			if (!$touches_line && !grep { $before->{$_} ne $after->{$_} } keys %$before)
			{
				$idle++;
				next if $told == 0;
				$needless++;
				diag("round $round: $event changed nothing, but $told were told");
			}
			$before = $after;
		}
		next;
	}

	# Transactions of one event each, for one key, that commit in another order than they began in, before any event enters.
	if (one_in(2))
	{
		my @stopped = stop_workers();
		my @event = map { my $at = int(rand($last + 1)); one_in(4) ? "SELECT contime.finish(ROW(1, $at, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::t)"
			: "INSERT INTO t (id, at, " . join(') VALUES (1, ' . $at . ', ', @{pick(['c', pick(-9, 9)], ['l', pick(0, 1)], ['x', pick(0, 3)], ['v', pick(0, 1)], ['l, ev', pick(0, 1) . ', 1'])}) . ')' } 1 .. 2 + int(rand(2));
		my @who = (1 .. @event);
		for my $i (@who)
		{
			$session[$i]->query_safe('BEGIN');
			$session[$i]->query_safe($event[$i - 1]);
		}
		my $seq = newest_seq();
		for my $i (one_in(2) ? reverse @who : shuffle(@who))
		{
			push @reads, {who => 'a reader of ' . join('; ', @event), seq => $seq, answer => answers($main, 0 .. $last)};
			$session[$i]->query_safe('COMMIT');
		}
		kill CONT => @stopped;
		wait_for('SELECT coalesce(sum(recent + young), 0) = 0 FROM contime.tables');
		check($round, answers($main, 0 .. $last), @reads);
		next;
	}

	my @stopped = one_in(2) ? stop_workers() : ();
	push @reads, {who => 'before', seq => newest_seq(), answer => answers($main, 0 .. int(rand($last + 1)))} if one_in(2);

	# Session 4 holds a snapshot from the start of the round, and the newest number of then; sessions 1 to 3 write, commit and roll back in turns.
	my $old = one_in(2);
	my $old_seq = newest_seq();
	$session[4]->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class') if $old;
	my @open = (0) x 4;
	for (1 .. 4 + int(rand(16)))
	{
		my $i = pick(1 .. 3);
		if (!$open[$i]) { $session[$i]->query_safe('BEGIN'); $open[$i] = 1 }
		$session[$i]->query_safe(event());
		if (one_in(2)) { $session[$i]->query_safe(one_in(6) ? 'ROLLBACK' : 'COMMIT'); $open[$i] = 0 }
		if (one_in(4))
		{
			my $seq = newest_seq();
			push @reads, {who => 'a reader', seq => $seq, answer => answers($main, 0 .. int(rand($last + 1)))};
		}
		if (@stopped && one_in(4)) { kill CONT => @stopped; @stopped = () }
		if ($old && one_in(5))
		{
			push @reads, {who => 'an old snapshot', seq => $old_seq, answer => answers($session[4], pick(0 .. $last), pick(0 .. $last))};
		}
	}
	kill CONT => @stopped if @stopped;
	$session[$_]->query_safe('COMMIT') for grep { $open[$_] } 1 .. 3;
	if ($old)
	{
		push @reads, {who => 'an old snapshot at the end', seq => $old_seq, answer => answers($session[4], 0 .. $last)};
		$session[4]->query_safe('COMMIT');
	}
	wait_for('SELECT coalesce(sum(recent + young), 0) = 0 FROM contime.tables');

	# When the newest number has been received, every notice has been sent.
	my $newest = newest_seq();
	for (1 .. 1200)
	{
		my $out = $listener->query_safe('SELECT 1');
		push @heard, decode_json($1) while $out =~ /Asynchronous notification "contime" with payload "(\{.*\})"/g;
		last if $newest == 0 || grep { $_->{seq} >= $newest } @heard;
		select undef, undef, undef, 0.05;
	}
	ok((grep { $_->{seq} >= $newest } @heard), "round $round: the newest notice was received") if $newest > 0 && ($round == $rounds || !grep { $_->{seq} >= $newest } @heard);
	$_->{listened} = 1 for @reads;
	check($round, answers($main, 0 .. $last), @reads);
}
diag("$compared answers compared, $changed had changed; $quiet_rounds rounds of single events, $idle of them without effect");
is($lost, 0, 'no reset was returned');
is($uncovered, 0, 'every answer that changed is covered by the reconciliations (CT_SEED=' . $seed . ')');
is($unheard, 0, 'every answer that changed is covered by a notice');
is($needless, 0, 'an event that changes nothing gives no notice');
cmp_ok($changed, '>', $rounds, 'enough answers changed');
cmp_ok($idle, '>', 0, 'some events changed no state');

$_->quit for @session, $listener;
$node->stop('fast');
done_testing();
