# A late event that changed the past is announced on the channel "contime", after its commit; one
# that changed nothing that could have been read is not.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use Contime;

my $node = contime_node('notify');
my $quiet = 'SELECT recent = 0 FROM contime.tables';

$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2020-01-01', 10), (1, '2020-01-10', 1)});
until_true($node, $quiet, 'entered');

my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN contime');

# What the listener was told since, as decoded JSON; waits for at least one notice that fits.
my @heard;
sub hear
{
	my ($fits, $what) = @_;
	for (1 .. 600)
	{
		my $out = $listener->query_safe('SELECT 1');
		push @heard, decode_json($1) while $out =~ /Asynchronous notification "contime" with payload "(\{.*\})"/g;
		my ($hit) = grep { $fits->($_) } @heard;
		if ($hit) { pass($what); return $hit }
		select undef, undef, undef, 0.05;
	}
	fail($what);
	diag(explain(\@heard));
	return {};
}

# An uncommitted one says nothing; committed, it does.
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN; INSERT INTO account VALUES (1, '2020-01-05', 100)});
$node->safe_psql('postgres', q{INSERT INTO account VALUES (2, '2019-01-05', 100)});	# another key, in order, not yet read there
$writer->query_safe('COMMIT');
my $notice = hear(sub { ($_[0]{from} // '') =~ /^2020-01-05/ }, 'a late event is announced');
is($notice->{table}, 'public.account', 'the table is named') or diag(explain($notice));
ok(exists $notice->{to}, 'the end of the range is there');
cmp_ok($notice->{events} // 0, '>=', 1, 'the events are counted');
ok(exists $notice->{seq}, 'and numbered');
ok(!exists $notice->{key}, 'the key is not told to everyone');

# A snapshot ends the effect.
$node->safe_psql('postgres', q{SELECT contime.snapshot(ROW(3, '2020-02-01', 5, NULL)::account)});
$node->safe_psql('postgres', q{INSERT INTO account VALUES (3, '2020-03-01', 1)});
until_true($node, $quiet, 'entered');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO account VALUES (3, '2020-01-15', 1)});
$notice = hear(sub { ($_[0]{from} // '') =~ /^2020-01-15/ }, 'announced');
like($notice->{to} // '', qr/^2020-02-01/, 'the range ends at the snapshot');

# An event after everything that is known and read is no news: of this and a later late one, only the latter comes.
until_true($node, $quiet, 'entered');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO account VALUES (4, '9000-01-01', 1)});
until_true($node, $quiet, 'entered');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (3, '2020-01-16', 1)});
hear(sub { ($_[0]{from} // '') =~ /^2020-01-16/ }, 'the late one is announced');
is(scalar(grep { ($_->{from} // '') =~ /^9000/ } @heard), 0, 'the one in order was not');

# A burst is coalesced: far fewer notices than events, all events in them.
until_true($node, $quiet, 'entered');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO account SELECT 1, timestamptz '2020-01-02' + i * interval '1 second', 1 FROM generate_series(1, 5000) i});
until_true($node, $quiet, 'entered');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2019-12-31', 1)});
hear(sub { ($_[0]{from} // '') =~ /^2019-12-31/ }, 'the last of a burst is announced');
my $events = 0;
$events += $_->{events} // 0 for @heard;
is($events, 5001, 'every late event was counted in a notice');
cmp_ok(scalar(@heard), '<', 500, 'coalesced into ' . scalar(@heard));

# A table that keeps quiet.
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE silent (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int) SERVER contime OPTIONS (notify 'off')});
$node->safe_psql('postgres', q{INSERT INTO silent VALUES (1, '2020-01-10', 1)});
until_true($node, 'SELECT sum(recent) = 0 FROM contime.tables', 'entered');
@heard = ();
$node->safe_psql('postgres', q{INSERT INTO silent VALUES (1, '2020-01-01', 1)});
until_true($node, 'SELECT sum(recent) = 0 FROM contime.tables', 'entered');
$node->safe_psql('postgres', q{INSERT INTO account VALUES (1, '2019-12-30', 1)});
hear(sub { ($_[0]{from} // '') =~ /^2019-12-30/ }, 'one table is heard');
is(scalar(grep { $_->{table} =~ /silent/ } @heard), 0, 'the other keeps quiet');

$writer->quit;
$listener->quit;
$node->stop('fast');

done_testing();
