# Notices on the channel "contime", and their replay by contime.reconciliations(): late events are announced when they have
# committed; an event that changes no state is not; keys are sent only on request; notices stay few and short under load;
# and the loss of earlier notices is reported.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use Time::HiRes qw(time);
use Contime;

my $node = contime_node('notify');
my $quiet = 'SELECT coalesce(sum(recent), 0) = 0 FROM contime.tables';

$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 10), (1, '2020-01-10', 1)});
until_true($node, $quiet, 'entered');

my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN contime');

# Notices that the listener received since the last call, as decoded JSON; waits for at least one that matches.
my (@heard, @length, @arrived);
sub hear
{
	my ($fits, $what) = @_;
	for (1 .. 600)
	{
		my $out = $listener->query_safe('SELECT 1');
		while ($out =~ /Asynchronous notification "contime" with payload "(\{.*\})"/g)
		{
			push @length, length $1;
			push @arrived, time;
			push @heard, decode_json($1);
		}
		my ($hit) = grep { $fits->($_) } @heard;
		if ($hit) { pass($what); return $hit }
		select undef, undef, undef, 0.02;
	}
	fail($what);
	diag(explain(\@heard));
	return {};
}

sub from { my ($pattern) = @_; return sub { ($_[0]{from} // '') =~ /^$pattern/ } }

# Rows of reconciliations() as key|from|to|events|reset.
sub replayed
{
	my ($since, $table) = @_;
	$table //= 'account';
	return $node->safe_psql('postgres', qq{SELECT (key).id, lower(during)::date, upper(during)::date, events, reset
		FROM contime.reconciliations(NULL::$table, since => $since)});
}

# A late event is announced when it has committed, not before.
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN; INSERT INTO account VALUES (1, '2020-01-05', 100)});
$node->safe_psql('postgres', q{INSERT INTO account VALUES (2, '2019-01-05', 100)});	# another key, in order, not yet read there
$writer->query_safe('COMMIT');
my $notice = hear(from('2020-01-05'), 'a committed late event is announced');
is($notice->{table}, 'public.account', 'the notice names the table') or diag(explain($notice));
ok(exists $notice->{to}, 'the notice has the end of the range');
cmp_ok($notice->{events} // 0, '>=', 1, 'the notice counts the events');
ok(exists $notice->{seq}, 'the notice has a number');
ok(!exists $notice->{key}, 'the notice does not contain the key');
is(replayed(0), '1|2020-01-05||1|f', 'reconciliations(0) returns the change with its key');
is(replayed($notice->{seq}), '', 'reconciliations after the number of that notice returns no row');

# The effect of an event ends at a snapshot.
$node->safe_psql('postgres', q{SELECT contime.snapshot(ROW(3, '2020-02-01', 5, NULL)::account)});
$node->safe_psql('postgres', q{INSERT INTO account VALUES (3, '2020-03-01', 1)});
until_true($node, $quiet, 'entered');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO account VALUES (3, '2020-01-15', 1)});
my $next = hear(from('2020-01-15'), 'announced');
like($next->{to} // '', qr/^2020-02-01/, 'the range ends at the snapshot');
cmp_ok($next->{seq}, '>', $notice->{seq}, 'the number of the next notice is greater');
is(replayed($notice->{seq}), '3|2020-01-15|2020-02-01|1|f', 'reconciliations returns the same range as the notice');

# An event after all events and reads is not announced: of this one and a later late one, only the late one is.
until_true($node, $quiet, 'entered');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO account VALUES (4, '9000-01-01', 1)});
until_true($node, $quiet, 'entered');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (3, '2020-01-16', 1)});
hear(from('2020-01-16'), 'the late event is announced');
is(scalar(grep { from('9000')->($_) } @heard), 0, 'the event that came in order is not');
is(scalar(@heard), 1, 'there is no other notice');

# A burst is coalesced: far fewer notices than events, which they count together, and at most ten commits a second.
until_true($node, $quiet, 'entered');
(@heard, @arrived) = ();
my $began = time;
for my $day (1 .. 20)
{
	$node->safe_psql('postgres', qq{INSERT INTO account SELECT 1 + i % 50, timestamptz '2020-01-02' + i * interval '1 second', 1 FROM generate_series(1, 5000) i});
}
until_true($node, $quiet, 'entered');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2019-12-31', 1)});
hear(from('2019-12-31'), 'the last event of a burst is announced');
my $seconds = time - $began;
my $events = 0;
$events += $_->{events} // 0 for @heard;
cmp_ok($events, '>=', 90000, "the notices count all late events: $events");
cmp_ok(scalar(@heard), '<=', 10 * $seconds + 2, sprintf('coalesced into %d in %.1f seconds', scalar(@heard), $seconds));

# With notify 'off' no notice is sent, but changes can be replayed.
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE silent (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime OPTIONS (notify 'off')});
$node->safe_psql('postgres', q{INSERT INTO silent VALUES (1, '2020-01-10', 1), (1, '2020-01-20', 2)});
until_true($node, $quiet, 'entered');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO silent VALUES (1, '2020-01-15', 1)});
until_true($node, $quiet, 'entered');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2019-12-30', 1)});
hear(from('2019-12-30'), 'the other table\'s change is announced');
is(scalar(grep { $_->{table} =~ /silent/ } @heard), 0, 'the table with notify \'off\' sends no notice');
is(replayed(0, 'silent'), '', 'an event that sets the value held already is no change');
$node->safe_psql('postgres', q{INSERT INTO silent VALUES (1, '2020-01-02', 7)});
until_true($node, $quiet, 'entered');
is(replayed(0, 'silent'), '1|2020-01-02|2020-01-10|1|f', 'reconciliations returns changes of the table with notify \'off\'');

# With notify 'key': one notice for each key, or one without a key if there are too many or it would be too long.
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE named (region text OPTIONS (key 'true'), day date OPTIONS (key 'true'),
	at timestamptz OPTIONS (time 'true'), n int OPTIONS (rule 'sum')) SERVER contime OPTIONS (notify 'key')});
$node->safe_psql('postgres', q{INSERT INTO named SELECT 'r' || i, '2020-01-01', '2020-01-10', 1 FROM generate_series(1, 300) i});
$node->safe_psql('postgres', q{INSERT INTO named VALUES (E'a "quoted"\n\\\\ one', '2020-01-02', '2020-01-10', 1), (repeat(E'\x01', 1900), '2020-01-02', '2020-01-10', 1)});
until_true($node, $quiet, 'entered');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO named VALUES ('r1', '2020-01-01', '2020-01-05', 1), ('r2', '2020-01-01', '2020-01-06', 1)});
is_deeply(hear(from('2020-01-05'), 'by key')->{key}, {region => 'r1', day => '2020-01-01'}, 'the notice contains the key');
is_deeply(hear(from('2020-01-06'), 'by key')->{key}, {region => 'r2', day => '2020-01-01'}, 'each key has its own notice');
$node->safe_psql('postgres', q{INSERT INTO named VALUES (E'a "quoted"\n\\\\ one', '2020-01-02', '2020-01-07', 1)});
is(hear(from('2020-01-07'), 'a key to be quoted')->{key}{region}, "a \"quoted\"\n\\ one", 'is');
until_true($node, $quiet, 'entered');
$node->safe_psql('postgres', q{INSERT INTO named VALUES (repeat(E'\x01', 1900), '2020-01-02', '2020-01-08', 1)});
ok(!exists hear(from('2020-01-08'), 'a key whose JSON is too long')->{key}, 'a key that is too long is left out of the notice');
until_true($node, $quiet, 'entered');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO named SELECT 'r' || i, '2020-01-01', '2020-01-04', 1 FROM generate_series(1, 300) i});
until_true($node, $quiet, 'entered');
$node->safe_psql('postgres', q{INSERT INTO named VALUES ('r1', '2020-01-01', '2020-01-01', 1)});
is_deeply(hear(from('2020-01-01'), 'after many')->{key} // {region => 'r1', day => '2020-01-01'}, {region => 'r1', day => '2020-01-01'}, 'the last change of many keys is announced');
my %named = map { ($_->{key}{region} => 1) } grep { $_->{key} } @heard;
ok(keys(%named) == 300 || (grep { !exists $_->{key} } @heard), 'each of many keys has a notice, or one notice without a key covers all');

# An event that wins over its duplicate is announced when both have committed, although an old snapshot delays the decision.
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE once (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int, ev int OPTIONS (event_id 'true')) SERVER contime});
$node->safe_psql('postgres', q{INSERT INTO once VALUES (1, '2020-01-01', 5, 1), (1, '2020-02-01', 0, 2)});
until_true($node, $quiet, 'entered');
my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($old->query_safe(q{SELECT v FROM once WHERE at = '2020-01-15'}), '5', 'an old PostgreSQL snapshot sees the first event');
$node->safe_psql('postgres', q{INSERT INTO once VALUES (1, '2020-01-01', 4, 1)});
$next = hear(sub { $_[0]{table} eq 'public.once' }, 'the duplicate that wins is announced at once');
like($next->{from} . $next->{to}, qr/^2020-01-01.*2020-02-01/, 'the notice has its range');
is($node->safe_psql('postgres', 'SELECT recent FROM contime.tables WHERE "table" = \'once\'::regclass'), '1', 'the duplicate still waits for the decision');
is($old->query_safe(q{SELECT v FROM once WHERE at = '2020-01-15'}), '5', 'the old PostgreSQL snapshot still sees the first event');
$old->query_safe('COMMIT');

# An event entered at an instant that no backend had read, so it was not announced. A backend that then reads the instant
# with an old snapshot, which does not see the event, adds the notice.
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE future (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime});
$node->safe_psql('postgres', q{INSERT INTO future VALUES (1, '2020-01-01', 5)});
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$old->query_safe('SELECT count(*) FROM pg_class');
$node->safe_psql('postgres', q{INSERT INTO future VALUES (1, '2030-01-01', 6)});
until_true($node, $quiet, 'entered');
is(replayed(0, 'future'), '', 'an event at an instant that was not read is not announced');
is($old->query_safe(q{SELECT v FROM future WHERE at = '2030-01-02'}), '5', 'an old PostgreSQL snapshot reads the instant without the event');
is(replayed(0, 'future'), '1|2030-01-02|2030-01-02|0|f', 'reconciliations then returns the instant that was read');
hear(sub { $_[0]{table} eq 'public.future' && $_[0]{from} =~ /^2030-01-02/ }, 'and it is announced');
$old->query_safe('COMMIT');
$old->quit;

# TRUNCATE is announced when it has committed; the numbers continue, and numbers of earlier notices get a reset.
@heard = ();
my $before = $node->safe_psql('postgres', 'SELECT max(seq) FROM contime.reconciliations(NULL::account)');
$node->safe_psql('postgres', 'BEGIN; TRUNCATE account; ROLLBACK; BEGIN; TRUNCATE account; COMMIT');
$next = hear(sub { $_[0]{reset} }, 'TRUNCATE is announced as a reset');
is($next->{table}, 'public.account', 'the notice names the table');
ok(!defined $next->{from} && !defined $next->{to}, 'the notice covers all instants');
cmp_ok($next->{seq}, '>', $before, 'its number is greater than earlier ones');
is(replayed($_), '|||' . '|t', "reconciliations after an earlier number ($_) returns a reset") for $before, 0;
is(replayed($next->{seq}), '', 'reconciliations after the number of the reset returns no row');
is(replayed('9000000000000000'), '|||' . '|t', 'reconciliations after a number that was never given returns a reset');
is(scalar(grep { $_->{reset} } @heard), 1, 'a TRUNCATE that is rolled back is not announced');

# The ring is bounded: lost notices are reported, the others are replayed.
$node->safe_psql('postgres', q{INSERT INTO account SELECT i, '2020-01-10', 1 FROM generate_series(1, 60000) i});
until_true($node, $quiet, 'entered');
$before = $node->safe_psql('postgres', 'SELECT max(seq) FROM contime.reconciliations(NULL::account)');
$node->safe_psql('postgres', q{INSERT INTO account SELECT i, '2020-01-05', 1 FROM generate_series(1, 60000) i});
until_true($node, $quiet, 'entered');
my ($resets, $lost) = split /\|/, $node->safe_psql('postgres', qq{SELECT count(*), max(seq) FROM contime.reconciliations(NULL::account, since => $before) WHERE reset});
is($resets, 1, 'overwritten notices are reported by one reset');
my ($left, $newest) = split /\|/, $node->safe_psql('postgres', qq{SELECT count(*), max(seq) FROM contime.reconciliations(NULL::account, since => $lost) WHERE NOT reset});
cmp_ok($left, '>', 10000, "$left notices are left");
is($left, $newest - $lost, 'these are all notices since the last one lost');
is($node->safe_psql('postgres', qq{SELECT count(*) FROM contime.reconciliations(NULL::account, since => $lost) WHERE reset}), '0', 'reconciliations after the last one lost returns no reset');
is(replayed(0, 'future'), '||||t', 'another table whose notice was overwritten returns a reset');

# reconciliations needs SELECT.
my ($state) = sqlstate($node, 'CREATE ROLE nobody; SET ROLE nobody; SELECT * FROM contime.reconciliations(NULL::account)');
is($state, '42501', 'reconciliations without SELECT fails with 42501');

cmp_ok((sort { $b <=> $a } @length)[0], '<', 8000, 'every payload fits into NOTIFY');

# After a restart earlier notices are lost: reconciliations says so, and listeners are notified when the table is first used again.
my $last = $node->safe_psql('postgres', 'SELECT max(seq) FROM contime.reconciliations(NULL::account)');
$writer->quit;
$listener->quit;
$node->restart;
is(replayed($_), '||||t', "after a restart, reconciliations after $_ returns a reset") for $last, 0;
$listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN contime');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 10), (1, '2020-01-10', 1)});
$next = hear(sub { $_[0]{reset} }, 'a reset is announced when the table is first written to');
cmp_ok($next->{seq}, '>', $last, 'its number is greater than all before the restart');
is(replayed($last), '||||t', 'reconciliations after the last number before the restart returns a reset');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-05', 10)});
hear(from('2020-01-05'), 'on it goes');
is(replayed($next->{seq}), '1|2020-01-05||1|f', 'reconciliations after the reset returns the next change');

$listener->quit;
$node->stop('fast');

done_testing();
