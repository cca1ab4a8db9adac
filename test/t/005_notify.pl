# What is announced on the channel "contime", and what contime.reconciliations() replays: late events once they have
# committed, nothing that changed nothing, keys only on request, few and short notices whatever the load; and when
# what was known is lost, that.
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

# What the listener was told since, as decoded JSON; waits for at least one notice that fits.
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

# An uncommitted one says nothing; committed, it does.
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN; INSERT INTO account VALUES (1, '2020-01-05', 100)});
$node->safe_psql('postgres', q{INSERT INTO account VALUES (2, '2019-01-05', 100)});	# another key, in order, not yet read there
$writer->query_safe('COMMIT');
my $notice = hear(from('2020-01-05'), 'a late event is announced');
is($notice->{table}, 'public.account', 'the table is named') or diag(explain($notice));
ok(exists $notice->{to}, 'the end of the range is there');
cmp_ok($notice->{events} // 0, '>=', 1, 'the events are counted');
ok(exists $notice->{seq}, 'and numbered');
ok(!exists $notice->{key}, 'the key is not told to everyone');
is(replayed(0), '1|2020-01-05||1|f', 'from the beginning: who may read the table is told the key');
is(replayed($notice->{seq}), '', 'since that notice: nothing');

# A snapshot ends the effect.
$node->safe_psql('postgres', q{SELECT contime.snapshot(ROW(3, '2020-02-01', 5, NULL)::account)});
$node->safe_psql('postgres', q{INSERT INTO account VALUES (3, '2020-03-01', 1)});
until_true($node, $quiet, 'entered');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO account VALUES (3, '2020-01-15', 1)});
my $next = hear(from('2020-01-15'), 'announced');
like($next->{to} // '', qr/^2020-02-01/, 'the range ends at the snapshot');
cmp_ok($next->{seq}, '>', $notice->{seq}, 'numbers grow');
is(replayed($notice->{seq}), '3|2020-01-15|2020-02-01|1|f', 'what is replayed is what was sent');

# An event after everything that is known and read is no news: of this and a later late one, only the latter comes.
until_true($node, $quiet, 'entered');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO account VALUES (4, '9000-01-01', 1)});
until_true($node, $quiet, 'entered');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (3, '2020-01-16', 1)});
hear(from('2020-01-16'), 'the late one is announced');
is(scalar(grep { from('9000')->($_) } @heard), 0, 'the one in order was not');
is(scalar(@heard), 1, 'nor anything else');

# A burst is coalesced: far fewer notices than events, all events in them, not more than ten commits a second.
until_true($node, $quiet, 'entered');
(@heard, @arrived) = ();
my $began = time;
for my $day (1 .. 20)
{
	$node->safe_psql('postgres', qq{INSERT INTO account SELECT 1 + i % 50, timestamptz '2020-01-02' + i * interval '1 second', 1 FROM generate_series(1, 5000) i});
}
until_true($node, $quiet, 'entered');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2019-12-31', 1)});
hear(from('2019-12-31'), 'the last of a burst is announced');
my $seconds = time - $began;
my $events = 0;
$events += $_->{events} // 0 for @heard;
cmp_ok($events, '>=', 90000, "late events were counted: $events");
cmp_ok(scalar(@heard), '<=', 10 * $seconds + 2, sprintf('coalesced into %d in %.1f seconds', scalar(@heard), $seconds));

# A table that keeps quiet, but replays.
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE silent (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime OPTIONS (notify 'off')});
$node->safe_psql('postgres', q{INSERT INTO silent VALUES (1, '2020-01-10', 1), (1, '2020-01-20', 2)});
until_true($node, $quiet, 'entered');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO silent VALUES (1, '2020-01-15', 1)});
until_true($node, $quiet, 'entered');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2019-12-30', 1)});
hear(from('2019-12-30'), 'one table is heard');
is(scalar(grep { $_->{table} =~ /silent/ } @heard), 0, 'the other keeps quiet');
is(replayed(0, 'silent'), '', 'a value that was held anyway is no change');
$node->safe_psql('postgres', q{INSERT INTO silent VALUES (1, '2020-01-02', 7)});
until_true($node, $quiet, 'entered');
is(replayed(0, 'silent'), '1|2020-01-02|2020-01-10|1|f', 'what it does not say it still replays');

# Keys, where the table says so: one notice for each, or one for all of too many, or one that would be too long.
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE named (region text OPTIONS (key 'true'), day date OPTIONS (key 'true'),
	at timestamptz OPTIONS (time 'true'), n int OPTIONS (rule 'sum')) SERVER contime OPTIONS (notify 'key')});
$node->safe_psql('postgres', q{INSERT INTO named SELECT 'r' || i, '2020-01-01', '2020-01-10', 1 FROM generate_series(1, 300) i});
$node->safe_psql('postgres', q{INSERT INTO named VALUES (E'a "quoted"\n\\\\ one', '2020-01-02', '2020-01-10', 1), (repeat(E'\x01', 1900), '2020-01-02', '2020-01-10', 1)});
until_true($node, $quiet, 'entered');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO named VALUES ('r1', '2020-01-01', '2020-01-05', 1), ('r2', '2020-01-01', '2020-01-06', 1)});
is_deeply(hear(from('2020-01-05'), 'by key')->{key}, {region => 'r1', day => '2020-01-01'}, 'the key is told');
is_deeply(hear(from('2020-01-06'), 'by key')->{key}, {region => 'r2', day => '2020-01-01'}, 'each for itself');
$node->safe_psql('postgres', q{INSERT INTO named VALUES (E'a "quoted"\n\\\\ one', '2020-01-02', '2020-01-07', 1)});
is(hear(from('2020-01-07'), 'a key to be quoted')->{key}{region}, "a \"quoted\"\n\\ one", 'is');
until_true($node, $quiet, 'entered');
$node->safe_psql('postgres', q{INSERT INTO named VALUES (repeat(E'\x01', 1900), '2020-01-02', '2020-01-08', 1)});
ok(!exists hear(from('2020-01-08'), 'a key whose JSON is too long')->{key}, 'is left out');
until_true($node, $quiet, 'entered');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO named SELECT 'r' || i, '2020-01-01', '2020-01-04', 1 FROM generate_series(1, 300) i});
until_true($node, $quiet, 'entered');
$node->safe_psql('postgres', q{INSERT INTO named VALUES ('r1', '2020-01-01', '2020-01-01', 1)});
is_deeply(hear(from('2020-01-01'), 'after many')->{key} // {region => 'r1', day => '2020-01-01'}, {region => 'r1', day => '2020-01-01'}, 'the last one');
my %named = map { ($_->{key}{region} => 1) } grep { $_->{key} } @heard;
ok(keys(%named) == 300 || (grep { !exists $_->{key} } @heard), 'of many keys each is told, or one notice for all');

# What wins over its twin is told when both have committed, though an old snapshot keeps them from being decided.
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE once (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int, ev int OPTIONS (event_id 'true')) SERVER contime});
$node->safe_psql('postgres', q{INSERT INTO once VALUES (1, '2020-01-01', 5, 1), (1, '2020-02-01', 0, 2)});
until_true($node, $quiet, 'entered');
my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($old->query_safe(q{SELECT v FROM once WHERE at = '2020-01-15'}), '5', 'an old snapshot');
$node->safe_psql('postgres', q{INSERT INTO once VALUES (1, '2020-01-01', 4, 1)});
$next = hear(sub { $_[0]{table} eq 'public.once' }, 'a twin that wins is told at once');
like($next->{from} . $next->{to}, qr/^2020-01-01.*2020-02-01/, 'its range');
is($node->safe_psql('postgres', 'SELECT recent FROM contime.tables WHERE "table" = \'once\'::regclass'), '1', 'though it still waits');
is($old->query_safe(q{SELECT v FROM once WHERE at = '2020-01-15'}), '5', 'and the old snapshot sees the other');
$old->query_safe('COMMIT');

# Who reads an instant with an old snapshot after something has entered there that was no news: he tells it.
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE future (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime});
$node->safe_psql('postgres', q{INSERT INTO future VALUES (1, '2020-01-01', 5)});
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$old->query_safe('SELECT count(*) FROM pg_class');
$node->safe_psql('postgres', q{INSERT INTO future VALUES (1, '2030-01-01', 6)});
until_true($node, $quiet, 'entered');
is(replayed(0, 'future'), '', 'nobody has read there');
is($old->query_safe(q{SELECT v FROM future WHERE at = '2030-01-02'}), '5', 'an old snapshot reads there');
is(replayed(0, 'future'), '1|2030-01-02|2030-01-02|0|f', 'what he read has changed');
hear(sub { $_[0]{table} eq 'public.future' && $_[0]{from} =~ /^2030-01-02/ }, 'and that is announced');
$old->query_safe('COMMIT');
$old->quit;

# TRUNCATE is announced when it has committed; numbers go on, and those of before are known as such.
@heard = ();
my $before = $node->safe_psql('postgres', 'SELECT max(seq) FROM contime.reconciliations(NULL::account)');
$node->safe_psql('postgres', 'BEGIN; TRUNCATE account; ROLLBACK; BEGIN; TRUNCATE account; COMMIT');
$next = hear(sub { $_[0]{reset} }, 'a reset is announced');
is($next->{table}, 'public.account', 'of the table');
ok(!defined $next->{from} && !defined $next->{to}, 'at all instants');
cmp_ok($next->{seq}, '>', $before, 'numbers go on');
is(replayed($_), '|||' . '|t', "a number of before ($_) is told so") for $before, 0;
is(replayed($next->{seq}), '', 'the number of the reset is not');
is(replayed('9000000000000000'), '|||' . '|t', 'nor is one that has not been');
is(scalar(grep { $_->{reset} } @heard), 1, 'that was rolled back is not announced');

# The ring is bounded: what it has lost is admitted, what is left is replayed.
$node->safe_psql('postgres', q{INSERT INTO account SELECT i, '2020-01-10', 1 FROM generate_series(1, 60000) i});
until_true($node, $quiet, 'entered');
$before = $node->safe_psql('postgres', 'SELECT max(seq) FROM contime.reconciliations(NULL::account)');
$node->safe_psql('postgres', q{INSERT INTO account SELECT i, '2020-01-05', 1 FROM generate_series(1, 60000) i});
until_true($node, $quiet, 'entered');
my ($resets, $lost) = split /\|/, $node->safe_psql('postgres', qq{SELECT count(*), max(seq) FROM contime.reconciliations(NULL::account, since => $before) WHERE reset});
is($resets, 1, 'what was overwritten is admitted');
my ($left, $newest) = split /\|/, $node->safe_psql('postgres', qq{SELECT count(*), max(seq) FROM contime.reconciliations(NULL::account, since => $lost) WHERE NOT reset});
cmp_ok($left, '>', 10000, "$left are left");
is($left, $newest - $lost, 'all there have been since');
is($node->safe_psql('postgres', qq{SELECT count(*) FROM contime.reconciliations(NULL::account, since => $lost) WHERE reset}), '0', 'and from there nothing is lost');
is(replayed(0, 'future'), '||||t', 'another table knows that it lost one');

# Nothing is told without SELECT.
my ($state) = sqlstate($node, 'CREATE ROLE nobody; SET ROLE nobody; SELECT * FROM contime.reconciliations(NULL::account)');
is($state, '42501', 'needs SELECT');

cmp_ok((sort { $b <=> $a } @length)[0], '<', 8000, 'every payload is short');

# After a restart nothing is known, and whoever asks, or listens when the table is first used again, is told so.
my $last = $node->safe_psql('postgres', 'SELECT max(seq) FROM contime.reconciliations(NULL::account)');
$writer->quit;
$listener->quit;
$node->restart;
is(replayed($_), '||||t', "after a restart: lost ($_)") for $last, 0;
$listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN contime');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 10), (1, '2020-01-10', 1)});
$next = hear(sub { $_[0]{reset} }, 'a reset is announced');
cmp_ok($next->{seq}, '>', $last, 'numbers are not given twice');
is(replayed($last), '||||t', 'that is lost');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-05', 10)});
hear(from('2020-01-05'), 'on it goes');
is(replayed($next->{seq}), '1|2020-01-05||1|f', 'and is replayed');

$listener->quit;
$node->stop('fast');

done_testing();
