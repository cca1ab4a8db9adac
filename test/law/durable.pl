#!/usr/bin/perl
# durable.pl: checks the law of contime for durable tables with random statements.
#
#   For every snapshot S, key k and instant T, the row of a continuous table at (k, T) is the fold, in the
#   order of the law, of the rows of its event tables that S can see.
#
# Several sessions change event tables in every way: INSERT, COPY, UPDATE, DELETE, TRUNCATE, MERGE, ON CONFLICT, by
# statement, function, foreign key, trigger of another table, and with triggers that change the row; rows that have equal
# duplicates; several kinds of change in one statement; with statements inside the triggers of others, to depth 3, before and after
# rows and statements; with savepoints, exception blocks, triggers and functions that read the state while the statement runs,
# cursors that stay open, at every isolation level, in two phases; one after the other, or concurrently. Sometimes, when all
# transactions have ended (one may have taken its PostgreSQL snapshot before), there is DDL: columns are added and dropped, tables are
# rewritten, renamed, detached and attached, triggers are disabled. The server crashes in between. Sessions often fold the rows
# that they see by plain SQL and compare, in one statement and so under one snapshot, with the continuous table, which is read from
# the event tables, while its cache is loading, or from its cache. In some rounds there are rows that cannot be
# events: NaN, infinite times, snapshots outside the bounds. They count nowhere, or are an error for each read of their key and of no other.
#
#   CT_SEED=n         the seed; printed, so that a failure can be repeated
#   CT_STATEMENTS=n   approximate number of statements (default 5000)
#   CT_ROUND=n        only this round, which has a seed of its own
#   CT_BALLAST=n      so many megabytes of memory are used by another table, so that caches have little
#   CT_BAD_ROWS=x     error, ignore or none: what a row that cannot be an event does, instead of a random choice
#   CT_BY_KEY=1       most reads name a key: only these are answered from partial caches
#
# The statements of the first round with a difference are written to durable-script.sql. Uses psql, pg_ctl, and
# the server of PGHOST and PGDATA; writes TAP to standard output.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Fold;
use Session;
$| = 1;

my $seed = $ENV{CT_SEED} // int(time() * 7919 + $$) % 1_000_000_000;
my $limit = $ENV{CT_STATEMENTS} // 5000;
my ($ballast, $by_key) = @ENV{qw(CT_BALLAST CT_BY_KEY)};
print "# CT_SEED=$seed CT_STATEMENTS=$limit", $ballast ? " CT_BALLAST=$ballast" : '', $by_key ? " CT_BY_KEY=$by_key" : '', "\n";

sub pick { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }
sub quote { return defined $_[0] ? "'$_[0]'" : 'NULL' }

# ---- the tables ------------------------------------------------------------------------
# For each: the event table, and its columns with their values and types; the continuous table's columns, with their sources;
# other event tables, and other statements that change events.

my $ids;	# number of them in this round
my $bad;	# option bad_rows in this round; undef: there are no bad rows
my $bad_rows = 0;
sub nan { return $bad && chance(0.01) }
sub deep { return $ids > 1000 }
sub tenths { return (int(rand(401)) - 200) / 10 }

my @specs = (
	{
		what => 'a primary key, a foreign one, a trigger that changes rows',
		before => [ 'CREATE TABLE %s_parent (id int PRIMARY KEY)', 'INSERT INTO %s_parent SELECT generate_series(0, 9)' ],
		events => 'CREATE TABLE %1$s (id bigint PRIMARY KEY, account int, at timestamptz, amount numeric(12,2), owner text, memo varchar(9),
			parent int REFERENCES %1$s_parent ON DELETE CASCADE ON UPDATE CASCADE, second int REFERENCES %1$s_parent ON DELETE SET NULL ON UPDATE CASCADE)',
		more => [ q{CREATE FUNCTION %s_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF new.amount > 15 THEN new.amount := 15 - new.amount; new.account := 3 - new.account; END IF;
				IF new.amount < -19 THEN RETURN NULL; END IF;
				RETURN new; END $$},
			'CREATE TRIGGER change BEFORE INSERT OR UPDATE ON %1$s FOR EACH ROW EXECUTE FUNCTION %1$s_change()',
			q{CREATE FUNCTION %1$s_others() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				UPDATE %1$s SET amount = amount + 1 WHERE account = new.account AND id %% 5 = new.id %% 5 AND id <> new.id;
				DELETE FROM %1$s WHERE account = new.account AND id %% 5 = (new.id + 1) %% 5;
				RETURN NULL; END $$},
			q{CREATE TRIGGER others AFTER INSERT OR UPDATE ON %1$s FOR EACH ROW WHEN (new.memo = 'c' AND pg_trigger_depth() = 0) EXECUTE FUNCTION %1$s_others()} ],
		others => [
			sub { sprintf 'DELETE FROM %s_parent WHERE id = %d', $_[0]{events}, rand 10 },
			sub { sprintf 'UPDATE %s_parent SET id = %d WHERE id = %d', $_[0]{events}, rand 10, rand 10 },
			(sub { sprintf 'INSERT INTO %s_parent SELECT generate_series(0, 9) ON CONFLICT DO NOTHING', $_[0]{events} }) x 2 ],
		values => [
			[ id => sub { int rand $ids }, 'bigint' ],
			[ account => sub { chance(0.02) ? undef : int rand 4 }, 'int' ],
			[ at => sub { chance(0.02) ? undef : moment() }, 'timestamptz' ],
			[ amount => sub { nan() ? 'NaN' : chance(0.1) ? undef : (int(rand(4001)) - 2000) / 100 }, 'numeric' ],
			[ owner => sub { chance(0.6) ? undef : pick('', 'Ada', 'ä', 'y' x 3000) }, 'text' ],
			[ memo => sub { pick('a', 'b', 'c') }, 'varchar' ],
			[ parent => sub { chance(0.8) ? undef : int rand 9 }, 'int' ],
			[ second => sub { chance(0.8) ? undef : int rand 9 }, 'int' ] ],
		conflict => 'id',
		time => 'timestamptz',
		columns => [
			{ name => 'k', type => 'bigint', key => 1, source => 'account' },
			{ name => 'at', type => 'timestamptz', time => 1 },
			{ name => 'balance', type => 'numeric(12,2)', rule => 'sum', initial => '0', source => 'amount' },
			{ name => 'held', type => 'numeric(12,2)', rule => 'sum', initial => '5', lower => '-20', upper => '50', source => '-amount' },
			{ name => 'owner', type => 'text', rule => 'last' },
			{ name => 'hi', type => 'numeric(12,2)', rule => 'max', source => 'CASE WHEN amount > 0 THEN amount END' },
			{ name => 'n', type => 'int', rule => 'sum', source => 'coalesce(parent, 1) + coalesce(second, 0)' } ],
		bad => "at = '-infinity' OR balance = 'NaN'"
	},
	{
		what => 'partitions, event ids',
		events => 'CREATE TABLE %1$s (part int, name text, hall int, tick bigint, v smallint, note text, eid text) PARTITION BY LIST (part)',
		more => [ 'CREATE TABLE %s_0 PARTITION OF %1$s FOR VALUES IN (0)',
			'CREATE TABLE %s_1 (eid text, gone int, part int, name text, v smallint, note text, tick bigint, hall int)',
			'ALTER TABLE %s_1 DROP COLUMN gone', 'ALTER TABLE %1$s ATTACH PARTITION %1$s_1 FOR VALUES IN (1)',
			'CREATE TABLE %s_2 PARTITION OF %1$s DEFAULT' ],
		values => [
			[ part => sub { int rand 4 }, 'int' ],
			[ name => sub { pick('', 'k', 'K', 'ü' x 20) }, 'text' ],
			[ hall => sub { int rand 2 }, 'int' ],
			[ tick => sub { instant('bigint') }, 'bigint' ],
			[ v => sub { chance(0.1) ? undef : int(rand(41)) - 20 }, 'smallint' ],
			[ note => sub { chance(0.5) ? undef : pick('a', 'B', 'b') }, 'text' ],
			[ eid => sub { chance(0.3) ? undef : pick('a', 'b', 'B', 'é') }, 'text' ] ],
		also => { 0 => {}, 1 => {} },
		time => 'bigint',
		columns => [
			{ name => 'hall', type => 'bigint', key => 1 },
			{ name => 'name', type => 'text', key => 1 },
			{ name => 'tick', type => 'bigint', time => 1 },
			{ name => 's', type => 'bigint', rule => 'sum', source => 'v' },
			{ name => 'lo', type => 'int', rule => 'min', source => 'v' },
			{ name => 'note', type => 'text', rule => 'last' },
			{ name => 'x', type => 'int', rule => 'last', initial => '7', source => 'v * 2' },
			{ name => 'eid', type => 'text', id => 1 } ]
	},
	{
		what => 'inheritance, dropped and generated columns, domains',
		events => 'CREATE TABLE %s (gone int, who varchar(9), seen timestamp, gone2 text, a int, b int GENERATED ALWAYS AS (a * 3) STORED, d %1$s_domain, id int PRIMARY KEY)',
		before => [ 'CREATE DOMAIN %s_domain AS int CHECK (value < 1000)' ],
		more => [ 'ALTER TABLE %s DROP COLUMN gone, DROP COLUMN gone2', 'CREATE TABLE %s_child (extra int) INHERITS (%1$s)' ],
		values => [
			[ who => sub { pick('Ada', 'ada', 'Bob ', 'Bob') }, 'varchar' ],
			[ seen => sub { chance(0.02) ? undef : moment() =~ s/\+00$//r }, 'timestamp' ],
			[ a => sub { chance(0.1) ? undef : int(rand(41)) - 20 }, 'int' ],
			[ d => sub { chance(0.1) ? undef : int rand 999 }, 'int' ],
			[ id => sub { int rand $ids }, 'bigint' ] ],
		conflict => 'id',
		time => 'timestamptz',
		columns => [
			{ name => 'who', type => 'text COLLATE "C"', key => 1 },
			{ name => 'at', type => 'timestamptz', time => 1, source => q{seen AT TIME ZONE 'UTC'} },
			{ name => 'b', type => 'bigint', rule => 'sum', source => 'b' },
			{ name => 'd', type => 'numeric(6,1)', rule => 'min', initial => '900.5' },
			{ name => 'l', type => 'text', rule => 'last', source => q{who || '!'} } ],
		bad => "at = '-infinity'"
	},
	{
		what => 'transfers, counts and closings',
		events => 'CREATE TABLE %s (id int PRIMARY KEY, giver int, taker int, at timestamptz, amount numeric(10,2), note text)',
		more => [ 'CREATE TABLE %s_counts (id int PRIMARY KEY, account int, at timestamptz, amount numeric(10,2))',
			'CREATE TABLE %s_closings (account smallint, at timestamptz)' ],
		values => [
			[ id => sub { int rand $ids }, 'int' ],
			[ giver => sub { chance(0.1) ? undef : int rand 4 }, 'int' ],
			[ taker => sub { chance(0.1) ? undef : int rand 5 }, 'int' ],
			[ at => sub { moment() }, 'timestamptz' ],
			[ amount => sub { nan() ? 'NaN' : chance(0.1) ? undef : int(rand(4001)) / 100 }, 'numeric' ],
			[ note => sub { chance(0.6) ? undef : pick('a', 'b') }, 'text' ] ],
		conflict => 'id',
		also => {
			counts => { conflict => 'id', values => [
				[ id => sub { int rand 10 }, 'int' ],
				[ account => sub { int rand 5 }, 'int' ],
				[ at => sub { moment() }, 'timestamptz' ],
				[ amount => sub { nan() ? pick('NaN', 200000, -200000) : chance(0.2) ? undef : int(rand(4001)) / 100 }, 'numeric' ] ] },
			closings => { values => [
				[ account => sub { int rand 5 }, 'smallint' ],
				[ at => sub { moment() }, 'timestamptz' ] ] } },
		sources => [
			{ events => '%s', kind => 'event', map => { k => 'giver', balance => '-amount', n => '1' } },
			{ events => '%s', kind => 'event', map => { k => 'taker', balance => 'amount', n => undef, note => undef } },
			{ events => '%s_counts', kind => 'snapshot', map => { k => 'account', balance => 'amount', n => undef, note => undef } },
			{ events => '%s_closings', kind => 'finish', map => { k => 'account', balance => undef, n => undef, note => undef } } ],
		time => 'timestamptz',
		columns => [
			{ name => 'k', type => 'bigint', key => 1 },
			{ name => 'at', type => 'timestamptz', time => 1 },
			{ name => 'balance', type => 'numeric(12,2)', rule => 'sum', initial => '3', lower => '-100000', upper => '100000' },
			{ name => 'note', type => 'text', rule => 'last' },
			{ name => 'n', type => 'int', rule => 'sum' } ],
		bad => "at = '-infinity' OR balance = 'NaN' OR kind = 2 AND balance NOT BETWEEN -100000 AND 100000"
	},
	{
		what => 'twins, unlogged',
		events => 'CREATE UNLOGGED TABLE %s (k int, at timestamptz, v int, memo text)',
		values => [
			[ k => sub { int rand 2 }, 'int' ],
			[ at => sub { instant('timestamptz', int rand 6) }, 'timestamptz' ],
			[ v => sub { 1 + int rand 2 }, 'int' ],
			[ memo => sub { chance(0.9) ? undef : 'x' x 20 }, 'text' ] ],
		time => 'timestamptz',
		columns => [
			{ name => 'k', type => 'int', key => 1 },
			{ name => 'at', type => 'timestamptz', time => 1 },
			{ name => 's', type => 'bigint', rule => 'sum', source => 'v' },
			{ name => 'n', type => 'bigint', rule => 'sum', source => '1' },
			{ name => 'b', type => 'smallint', rule => 'sum', lower => '0', upper => '5', initial => '1', source => 'CASE v WHEN 1 THEN 1 ELSE -1 END' },
			{ name => 'v', type => 'int', rule => 'last' } ]
	},
	{
		what => 'between events, event ids, a foreign key to itself',
		events => 'CREATE TABLE %1$s (id int PRIMARY KEY, k int, at timestamptz, heat float8, g int, place float8, v numeric(9,6), s int, cause int REFERENCES %1$s ON DELETE CASCADE)',
		more => [ 'CREATE TABLE %s_counts (k int, at timestamptz, heat float8, place float8)', 'CREATE TABLE %s_closings (k int, at timestamptz)' ],
		values => [
			[ id => sub { int rand $ids }, 'int' ],
			[ k => sub { int rand 3 }, 'int' ],
			[ at => sub { moment() }, 'timestamptz' ],
			[ heat => sub { nan() ? pick('NaN', 'infinity', 1e18) : chance(0.4) ? undef : tenths() }, 'float8' ],
			[ g => sub { chance(0.6) ? undef : int rand 30 }, 'int' ],
			[ place => sub { chance(0.6) ? undef : tenths() }, 'float8' ],
			[ v => sub { chance(0.6) ? undef : tenths() }, 'numeric' ],
			[ s => sub { int rand 5 }, 'int' ],
			[ cause => sub { chance(0.93) ? undef : int rand $ids }, 'int' ] ],
		conflict => 'id',
		also => {
			counts => { values => [
				[ k => sub { int rand 3 }, 'int' ],
				[ at => sub { moment() }, 'timestamptz' ],
				[ heat => sub { nan() ? 'NaN' : chance(0.3) ? undef : tenths() }, 'float8' ],
				[ place => sub { chance(0.3) ? undef : tenths() }, 'float8' ] ] },
			closings => { values => [
				[ k => sub { int rand 3 }, 'int' ],
				[ at => sub { moment() }, 'timestamptz' ] ] } },
		sources => [
			{ events => '%s', kind => 'event', map => { k => 'k', heat => 'heat', g => 'g', place => 'place', v => 'v', s => 's', id => 'id' } },
			{ events => '%s_counts', kind => 'snapshot', map => { k => 'k', heat => 'heat', g => undef, place => 'place', v => undef, s => undef, id => undef } },
			{ events => '%s_closings', kind => 'finish', map => { k => 'k', heat => undef, g => undef, place => undef, v => undef, s => undef, id => undef } } ],
		time => 'timestamptz',
		columns => [
			{ name => 'k', type => 'int', key => 1 },
			{ name => 'at', type => 'timestamptz', time => 1 },
			{ name => 'heat', type => 'double precision', rule => 'last', scale => 1, interpolate => 'linear' },
			{ name => 'g', type => 'int', rule => 'last', interpolate => 'linear', initial => '3' },
			{ name => 'place', type => 'numeric(18,3)', rule => 'last', rate => 'v', initial => '0' },
			{ name => 'v', type => 'numeric(9,6)', rule => 'last' },
			{ name => 's', type => 'bigint', rule => 'sum' },
			{ name => 'id', type => 'int', id => 1 } ],
		bad => "at = '-infinity' OR heat >= 1e17"
	});

# Child tables and partitions are written to directly, too.
$specs[2]{also} = { child => { values => $specs[2]{values} } };
for my $n (0, 1)
{
	$specs[1]{also}{$n} = { values => [ map { $_->[0] eq 'part' ? [ part => sub { $n }, 'int' ] : $_ } @{ $specs[1]{values} } ] };
}

# There are few instants, so that some have several events.
sub instant
{
	my ($type, $n) = @_;
	$n //= int rand 30;
	return $type eq 'bigint' ? $n - 10 : sprintf '2020-01-01 00:%02d:00.%06d+00', $n / 2, $n % 2;
}

# One of them, or in rounds with bad rows one that is infinite; 'infinity' makes a row no event.
sub moment { return $bad && chance(0.006) ? pick('infinity', '-infinity') : instant('timestamptz') }

sub create
{
	my ($s, $spec, $name) = @_;
	my $t = { %$spec, name => $name, events => "${name}_e" };
	my @columns = @{ $t->{columns} };
	my $bit = 1;
	for (@columns)
	{
		$_ = { %$_, bit => $bit };
		$bit *= 2;
		$t->{at} = $_->{name} if $_->{time};
		($t->{id}, $t->{collate}) = ($_->{name}, $_->{type} eq 'text' ? ' COLLATE "C"' : '') if $_->{id};
	}
	$t->{columns} = \@columns;
	$t->{keys} = [ grep { $_->{key} } @columns ];
	$t->{state} = [ grep { !$_->{key} && !$_->{time} } @columns ];
	$t->{key} = join ', ', map { $_->{name} } @{ $t->{keys} };
	$t->{names} = join ', ', map { $_->{name} } @{ $t->{state} };
	$t->{between} = grep { $_->{interpolate} || $_->{rate} } @columns;
	$t->{ties} = $t->{id} && pick(undef, 'kind', 'event_id');
	$t->{order} = tie_order($t->{ties}, $t->{id} && "e.$t->{id}$t->{collate}") . 'row(' . join(', ', map { "e.$_->{name}" } @{ $t->{state} }) . ') USING *<, e.nul, e.cols';
	$s->run(map { sprintf $_, $t->{events} } @{ $spec->{before} // [] }, $spec->{events}, @{ $spec->{more} // [] });
	$s->run(binding($t, $name));
	$t->{reads} = [$name];
	$t->{targets} = [ { %$t }, map { { name => $name, events => "$t->{events}_$_", %{ $t->{also}{$_} } } } sort keys %{ $t->{also} // {} } ];
	reference($s, $t);
	asking($s, $t);
	probes($s, $t);
	return $t;
}

# The statements that create a continuous table of this name over the event tables.
sub binding
{
	my ($t, $name) = @_;
	my @options = ($t->{sources} ? () : "events '$t->{events}'", $bad ? "bad_rows '$bad'" : (), $t->{ties} ? "ties '$t->{ties}'" : ());
	my @sql = ("CREATE FOREIGN TABLE $name (" . join(', ', map { declaration($_, !$t->{sources}) } @{ $t->{columns} })
		  . ') SERVER contime' . (@options ? ' OPTIONS (' . join(', ', @options) . ')' : ''));
	for my $source (@{ $t->{sources} // [] })
	{
		my ($map, $from) = ($source->{map}, sprintf $source->{events}, $t->{events});
		my $columns = join ', ', map { "\"$_\": " . (defined $map->{$_} ? "\"$map->{$_}\"" : 'null') } sort keys %$map;
		push @sql, "SELECT contime.add_source('$name', '$from', '{$columns}', '$source->{kind}')";
	}
	return @sql;
}

sub options { return @_ ? ' OPTIONS (' . join(', ', @_) . ')' : '' }

sub declaration
{
	my ($c, $sources) = @_;
	my @options = (
		($c->{key} ? "key 'true'" : $c->{time} ? "time 'true'" : $c->{id} ? "event_id 'true'" : ()),
		map({ "$_ '$c->{$_}'" } grep { defined $c->{$_} } qw(rule initial lower upper scale interpolate rate)),
		$sources && defined $c->{source} ? 'source ' . "'" . $c->{source} =~ s/'/''/gr . "'" : ());
	my ($type, $collation) = $c->{type} =~ /^(.*?)( COLLATE .*)?$/;
	return "$c->{name} $type" . (@options ? ' OPTIONS (' . join(', ', @options) . ')' : '') . ($collation // '');
}

# The fold in SQL: which rows are events, and their effect on a state.
sub reference
{
	my ($s, $t) = @_;
	my $name = $t->{name};
	my $identity = join ', ', $t->{key}, $t->{at}, 'kind', $t->{id} // ();
	my $sources = $t->{sources} // [ { events => '%s', kind => 'event', map => {} } ];
	my %kinds = (finish => 0, event => 1, snapshot => 2);

	$s->run("CREATE VIEW ${name}_rows AS " . join ' UNION ALL ', map {
			my $source = $_;
			my $cols = 0;
			my @exprs = map {
				my $c = $_;
				my $expr = exists $source->{map}{ $c->{name} } ? $source->{map}{ $c->{name} } : $c->{source} // $c->{name};
				$cols |= $c->{bit} if defined $expr && ($c->{id} || !$c->{key} && !$c->{time});
				'(' . ($expr // 'NULL') . ")::$c->{type} AS $c->{name}" =~ s/(::\S+)( COLLATE "C")/$1/r
			} @{ $t->{columns} };
			'SELECT ' . join(', ', @exprs) . ", $kinds{ $source->{kind} } AS kind, " . ($source->{kind} eq 'snapshot' ? $cols : 0)
			  . '::bigint AS cols, 0::bigint AS nul FROM ' . sprintf($source->{events}, $t->{events}) } @$sources);
	my $has_place = "$t->{at} IS NOT NULL AND " . join ' AND ', map { "$_->{name} IS NOT NULL" } @{ $t->{keys} };
	$has_place .= " AND $t->{at} <> 'infinity'" if $t->{time} eq 'timestamptz';
	my $is_event = "$has_place AND (" . ($t->{bad} // 'false') . ') IS NOT TRUE';
	$s->run("CREATE VIEW ${name}_bad AS SELECT * FROM ${name}_rows e WHERE $has_place AND (" . ($t->{bad} // 'false') . ')');
	$s->run("CREATE VIEW ${name}_events AS SELECT * FROM ${name}_rows e WHERE $is_event" . ($t->{id}
		  ? " AND $t->{id} IS NULL UNION ALL (SELECT DISTINCT ON ($identity) * FROM ${name}_rows e WHERE $is_event AND $t->{id} IS NOT NULL ORDER BY "
			. "$t->{key}, $t->{at}, kind, $t->{id}, row($t->{names}) USING *<, cols)" : ''));
	create_fold($s, $t, "${name}_events");
}

# ---- comparisons ---------------------------------------------------------------------------

# A query that returns "compared|different|one of the differences".
sub difference
{
	my ($t, $want, $got, $at) = @_;
	return "SELECT count(*), count(*) FILTER (WHERE want::text IS DISTINCT FROM got::text),
	  (array_agg('want ' || coalesce(want::text, 'no row') || ' got ' || coalesce(got::text, 'no row')) FILTER (WHERE want::text IS DISTINCT FROM got::text))[1]
	FROM ($want) want FULL JOIN ($got) got ON " . join ' AND ', map { "want.$_ = got.$_" } split(', ', $t->{key}), $at // 'at';
}

# Every key's state at the instants of the relation p(at).
sub reference_at
{
	my ($t, $p) = @_;
	return is_error($t) ? reference_or_error($t, $p) : reference_state($t, $p);
}

# Are bad rows an error for reads of the table?
sub is_error { return $_[0]{bad} && ($bad // '') eq 'error' }

# Every key's state as text, or that it is an error: the key has a bad row at or before the instant, or, where it matters, behind it.
sub reference_or_error
{
	my ($t, $p) = @_;
	my $linear = grep { $_->{interpolate} } @{ $t->{state} };
	my ($s, $b) = map { my $of = $_; join ' AND ', map { "$of.$_->{name} = k.$_->{name}" } @{ $t->{keys} } } qw(s b);
	return 'SELECT ' . join(', ', map { "k.$_->{name}" } @{ $t->{keys} }) . ", p.at, CASE WHEN EXISTS (SELECT FROM $t->{name}_bad b WHERE $b"
	  . ($linear ? '' : " AND b.$t->{at} <= p.at") . ") THEN 'bad' WHEN s.at IS NOT NULL THEN ROW(" . join(', ', map { "s.$_->{name}" } @{ $t->{state} })
	  . ")::text END AS state FROM $p CROSS JOIN " . all_keys($t) . ' LEFT JOIN (' . reference_state($t, $p) . ") s ON $s AND s.at = p.at";
}

sub all_keys { return "(SELECT DISTINCT $_[0]{key} FROM $_[0]{name}_rows WHERE " . join(' AND ', map { "$_->{name} IS NOT NULL" } @{ $_[0]{keys} }) . ') k' }

# A function that reads one key, and says so when that is an error.
sub asking
{
	my ($s, $t) = @_;
	my @keys = @{ $t->{keys} };
	my $n = @keys;
	$s->run("CREATE FUNCTION $t->{name}_ask(which text, " . join(', ', map({ $_->{type} =~ s/ COLLATE.*//r } @keys), $t->{time}) . ") RETURNS text LANGUAGE plpgsql STABLE AS \$\$
		DECLARE answer text;
		BEGIN
			EXECUTE format('SELECT ROW(" . join(', ', map { "c.$_->{name}" } @{ $t->{state} }) . ")::text FROM %I c WHERE "
		  . join(' AND ', map({ "c.$keys[ $_ - 1 ]{name} = \$$_" } 1 .. $n), "c.$t->{at} = \$" . ($n + 1)) . "', which) INTO answer USING "
		  . join(', ', map { '$' . ($_ + 1) } 1 .. $n + 1) . ";
			RETURN answer;
		EXCEPTION WHEN numeric_value_out_of_range OR datetime_field_overflow OR check_violation THEN
			RETURN 'bad';
		END \$\$");
	return;
}

sub read_or_error
{
	my ($t, $p, $name) = @_;
	$name //= pick(@{ $t->{reads} });
	my $keys = join ', ', map { "k.$_->{name}" } @{ $t->{keys} };
	return "SELECT $keys, p.at, $t->{name}_ask('$name', $keys, p.at) AS state FROM $p CROSS JOIN " . all_keys($t);
}

sub reference_state
{
	my ($t, $p) = @_;
	my $key = join ', ', map { "e.$_->{name}" } @{ $t->{keys} };
	return "SELECT $t->{key}, s.instant AS at, " . shown($t, 's.instant')
	  . " FROM (SELECT $t->{key}, at AS instant, (state).* FROM (SELECT $key, p.at, $t->{name}_fold(e ORDER BY e.$t->{at}, $t->{order}) AS state"
	  . " FROM $p JOIN $t->{name}_events e ON e.$t->{at} <= p.at GROUP BY $key, p.at) folded) s WHERE present";
}

# The same from the continuous table, by one of many forms of queries.
sub read_at
{
	my ($t, $p, $array, $shape) = @_;
	return read_or_error($t, $p) if is_error($t);
	my ($name, $at, $from) = (pick(@{ $t->{reads} }), $t->{at}, "contime." . ($t->{time} eq 'bigint' ? 'at_tick' : 'at'));
	my $columns = join ', ', map({ "c.$_->{name}" } @{ $t->{keys} }), "c.$at AS at", map { "c.$_->{name}" } @{ $t->{state} };
	my $join = join ' AND ', map { "c.$_->{name} = k.$_->{name}" } @{ $t->{keys} };
	my @shapes = (
		"SELECT $columns FROM $name c WHERE $at = ANY ($array)",
		"SELECT $columns FROM $p JOIN $name c ON c.$at = p.at",
		"SELECT $columns FROM $p, $from(NULL::$name, p.at) c",
		"SELECT $columns FROM $p CROSS JOIN (SELECT DISTINCT $t->{key} FROM $t->{name}_events) k JOIN $name c ON $join AND c.$at = p.at",
		(@{ $t->{keys} } > 1 ? () : "SELECT $columns FROM $p CROSS JOIN (SELECT DISTINCT $t->{key} FROM $t->{name}_events) k CROSS JOIN LATERAL $from(NULL::$name, p.at, k.$t->{key}) c"));
	# A partial cache only answers queries that name a key.
	return $shapes[ $shape // ($by_key && chance(0.8) ? 3 + int rand(@shapes - 3) : rand @shapes) ];
}

sub slices
{
	my ($t, @instants) = @_;
	my $array = 'ARRAY[' . join(', ', map { "'$_'::$t->{time}" } @instants) . ']';
	my $p = "(SELECT unnest($array) AS at) p";
	return difference($t, reference_at($t, $p), read_at($t, $p, $array));
}

# Every key's history, of all keys together or one by one, compared at some instants.
sub histories
{
	my ($t, @instants) = @_;
	my $p = '(SELECT unnest(ARRAY[' . join(', ', map { "'$_'::$t->{time}" } @instants) . ']) AS at) p';
	my ($tick, $from, $to) = $t->{time} eq 'bigint' ? ('_tick', -10, 20) : ('', "'2020-01-01'", "'2020-01-01 00:15'");
	($from, $to) = (pick($from, 'NULL'), pick($to, 'NULL')) if chance(0.4);
	my ($of, $key) = chance($by_key ? 0.2 : 0.5) ? ('', '(h.state).')
	  : (" CROSS JOIN (SELECT DISTINCT $t->{key} FROM $t->{name}_events) k", 'k.');
	my $option = $of && chance(0.5) ? pick(', newest_first => true', ', columns => ' . quote('{' . join(',', map { $_->{name} } @{ $t->{state} }) . '}')) : '';
	return difference($t, reference_at($t, $p), "SELECT " . join(', ', map { "$key$_->{name}" } @{ $t->{keys} }) . ', p.at, ' . join(', ', map { "(h.state).$_->{name}" } @{ $t->{state} })
		  . " FROM $p$of JOIN LATERAL contime.history$tick(NULL::@{[ pick(@{ $t->{reads} }) ]}, " . ($of ? "k.$t->{key}, " : '') . "$from, $to$option) h ON h.during @> p.at");
}

# Reads of now: no instant is named. A logical clock is at the newest tick. Only a query at the top level may show it (alone), as a
# condition on it outside would be refused: it binds no instant.
sub now
{
	my ($t, $alone) = @_;
	my $from = pick(@{ $t->{reads} });
	my ($p, $at) = $t->{time} ne 'bigint' ? ("(SELECT '2020-01-02'::timestamptz AS at) p", "'2020-01-02'::timestamptz")
	  : ("(SELECT max($t->{at}) AS at FROM $t->{name}_events) p", $alone ? $t->{at} : "(SELECT contime.latest_tick(NULL::$from))");
	my ($first) = split ', ', $t->{key};
	return difference($t, reference_at($t, $p), "SELECT $t->{key}, $at AS at, $t->{names} FROM $from c", $alone ? $first : 'at');
}

# (If columns change between events, a history has no rows for these changes, and their value now is not that at the last event.)
sub has_histories { return @{ $_[0]{keys} } == 1 && !$_[0]{between} && !is_error($_[0]) }

sub some_check
{
	my $t = shift;
	my %instants = map { instant($t->{time}) => 1 } 1 .. 1 + int rand 3;
	my @instants = sort keys %instants;
	return chance(0.15) && !$t->{between} && !is_error($t) ? now($t) : chance(0.2) && has_histories($t) ? histories($t, @instants) : slices($t, @instants);
}

# Functions and triggers that compare while a statement runs; they raise an error if there is a difference.
sub probes
{
	my ($s, $t) = @_;
	my $name = $t->{name};
	my $array = "ARRAY['" . instant($t->{time}, 9) . "', '" . instant($t->{time}, 29) . "']::$t->{time}\[]";
	my $p = "(SELECT unnest($array) AS at) p";
	for my $volatility (qw(volatile stable))
	{
		$s->run("CREATE FUNCTION ${name}_$volatility() RETURNS int LANGUAGE plpgsql $volatility AS \$\$
		DECLARE r record; BEGIN
			FOR r IN " . difference($t, reference_at($t, $p), read_at($t, $p, $array, $volatility eq 'stable' ? 0 : 3)) . " LOOP
				IF r.count > 0 AND r.array_agg IS NOT NULL THEN RAISE EXCEPTION 'LAW: %', r; END IF;
			END LOOP;
			RETURN 0;
		END \$\$");
	}
	$s->run("CREATE FUNCTION ${name}_trigger() RETURNS trigger LANGUAGE plpgsql AS \$\$
		BEGIN IF current_setting('law.probe', true) = 'on' THEN PERFORM ${name}_volatile(), ${name}_stable(); END IF; RETURN coalesce(new, old); END \$\$");
	# A trigger copies rows of this table to the event table.
	my $first = $t->{values}[0][0];
	$s->run("CREATE TABLE ${name}_feed (" . join(', ', map { "$_->[0] $_->[2]" } @{ $t->{values} }) . ')',
		"CREATE FUNCTION ${name}_feed() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
			IF TG_OP <> 'INSERT' THEN DELETE FROM $t->{events} WHERE $first = old.$first; END IF;
			IF TG_OP <> 'DELETE' THEN INSERT INTO $t->{events} (" . columns($t) . ') VALUES (' . join(', ', map { "new.$_->[0]" } @{ $t->{values} }) . ")"
		  . ($t->{conflict} ? ' ON CONFLICT DO NOTHING' : '') . "; END IF;
			RETURN new; END \$\$",
		"CREATE CONSTRAINT TRIGGER feed AFTER INSERT OR UPDATE OR DELETE ON ${name}_feed " . pick('', 'DEFERRABLE INITIALLY DEFERRED')		# at COMMIT
		  . " FOR EACH ROW EXECUTE FUNCTION ${name}_feed()");
	$s->run("CREATE TRIGGER aaa AFTER INSERT OR UPDATE OR DELETE ON $_ FOR EACH ROW EXECUTE FUNCTION ${name}_trigger()",
		"CREATE TRIGGER zzz BEFORE UPDATE OR DELETE ON $_ FOR EACH ROW EXECUTE FUNCTION ${name}_trigger()")
	  for map { $_->{events} } grep { $_->{what} || $t->{what} !~ /^partitions/ } @{ $t->{targets} };		# (partitions have them already)
	for my $target (@{ $t->{targets} })
	{
		for my $when ('BEFORE', 'AFTER')
		{
			$s->run("CREATE TRIGGER nest_statement_$when $when INSERT OR UPDATE OR DELETE ON $target->{events} FOR EACH STATEMENT EXECUTE FUNCTION law_nest()");
			$s->run("CREATE TRIGGER nest_row_$when $when INSERT OR UPDATE OR DELETE ON $target->{events} FOR EACH ROW EXECUTE FUNCTION law_nest()")
			  if $target->{what} || $t->{what} !~ /^partitions/;
		}
	}
}

my ($comparisons, $differences, $tests, $failed, $refused, $crashes) = (0) x 6;

sub ok
{
	my ($good, $what) = @_;
	$tests++;
	$failed++ unless $good;
	print $good ? '' : 'not ', "ok $tests - $what\n";
}

sub tally
{
	my ($s, $line) = @_;
	my ($compared, $different, $example) = split /\|/, $line, 3;
	$comparisons += $compared;
	report($s, "$different of $compared differ: $example") if $different;
}

sub report
{
	my ($s, $what) = @_;
	if (!$differences++)
	{
		open my $file, '>', 'durable-script.sql' or die "durable-script.sql: $!";
		print $file @Session::script;
		close $file;
		print "# by: $s->{sql}\n";
	}
	print "# $s->{name}: ", substr($what, 0, 800), "\n";
}

# ---- steps --------------------------------------------------------------------------------

sub row { my $t = shift; return [ map { $_->[1]->() } @{ $t->{values} } ] }
sub first_row { my $t = shift; return [ map { $_->[0] eq 'cause' ? undef : $_->[1]->() } @{ $t->{values} } ] }		# whose cause could be there?
sub literal { return '(' . join(', ', map { quote($_) } @{ $_[0] }) . ')' }
sub columns { return join ', ', map { $_->[0] } @{ $_[0]{values} } }

# Rows as a relation v, of the event table's types.
sub values_of
{
	my ($t, @rows) = @_;
	return '(SELECT ' . join(', ', map { "$_->[0]::$_->[2] AS $_->[0]" } @{ $t->{values} }) . ' FROM (VALUES '
	  . join(', ', map { literal($_) } @rows) . ') v(' . columns($t) . ')) v';
}

# A condition that is true for some rows.
sub some_rows
{
	my $t = shift;
	my ($name, $value) = @{ pick(@{ $t->{values} }) };
	my $v = $value->();
	return 'true' if chance(0.02);
	return "$name IS NULL" unless defined $v;
	return "ctid = (SELECT ctid FROM $t->{events} OFFSET " . int(rand 20) . ' LIMIT 1)' if chance(0.15);		# one row, whatever its twins
	return "$name = " . quote($v) if chance(0.7);
	return "$name < " . quote($v);
}

sub insert
{
	my $t = shift;
	my @rows = map { row($t) } 1 .. 1 + int rand 6;
	my $into = "$t->{events} (" . columns($t) . ')';
	my $values = 'VALUES ' . join ', ', map { literal($_) } @rows;
	my $conflict = '';
	if ($t->{conflict})
	{
		my ($name) = @{ pick(@{ $t->{values} }) };
		$conflict = " ON CONFLICT ($t->{conflict}) DO " . (chance(0.5) ? 'NOTHING' : "UPDATE SET $name = excluded.$name");
	}
	my $how = rand;
	return "INSERT INTO $into SELECT " . columns($t) . " FROM $t->{events} WHERE " . some_rows($t) . " LIMIT 5$conflict" if $how < 0.1;
	return "COPY $into FROM STDIN;\n" . join('', map { join("\t", map { $_ // '\N' } @$_) . "\n" } @rows) . "\\.\n" if $how < 0.25;
	if ($how < 0.4)		# a function compares while the row is inserted
	{
		return "INSERT INTO $into SELECT * FROM " . values_of($t, @rows) . " WHERE $t->{name}_" . pick('volatile', 'stable') . "() = 0$conflict";
	}
	return "INSERT INTO $into $values$conflict";
}

# SET of an UPDATE or MERGE: another value, a shifted one, or the same row.
sub set
{
	my $t = shift;
	my ($name, $value) = @{ pick(grep { $_->[0] ne ($t->{conflict} // '') } @{ $t->{values} }) };
	return chance(0.2) ? "$name = e.$name" : "$name = " . quote($value->());
}

sub change
{
	my $t = pick(@{ $_[0]{targets} });
	return pick(@{ $t->{others} })->($t) if $t->{others} && chance(0.15);
	return feed($t) if $t->{what} && chance(0.08);
	my $how = rand;
	return insert($t) if $how < 0.5;
	return "UPDATE $t->{events} e SET " . set($t) . ' WHERE ' . some_rows($t) if $how < 0.75;
	return "DELETE FROM $t->{events} WHERE " . some_rows($t) if $how < 0.88;
	return "TRUNCATE $t->{events}" if $how < 0.9;
	return "MERGE INTO $t->{events} e USING " . values_of($t, map { row($t) } 1 .. 3) . " ON e.$t->{values}[0][0] = v.$t->{values}[0][0] AND e.$t->{values}[1][0] = v.$t->{values}[1][0]"
	  . ' WHEN MATCHED AND ' . (chance(0.5) ? 'true' : 'false') . ' THEN UPDATE SET ' . set($t) . ' WHEN MATCHED THEN DELETE'
	  . ' WHEN NOT MATCHED THEN INSERT (' . columns($t) . ') VALUES (' . join(', ', map { "v.$_->[0]" } @{ $t->{values} }) . ')';
}

# Changes of several kinds in one statement.
sub several
{
	my $t = pick(@{ $_[0]{targets} });
	my @parts;
	while (@parts < 2 || (@parts < 4 && chance(0.5)))
	{
		my $part = change({ targets => [$t] });
		push @parts, $part if $part =~ /^(INSERT|UPDATE|DELETE)/;
	}
	return 'WITH ' . join(', ', map { "w$_ AS ($parts[$_] RETURNING 1)" } 1 .. $#parts) . " $parts[0]";
}

# What triggers do in the rest of this transaction, by their depth; at most so many statements.
sub nest
{
	my ($t) = @_;
	my @set = ('budget = ' . (1 + int rand 12), 'plain = ' . (chance(0.3) ? 'on' : 'off'));
	for my $depth (1 .. 3)
	{
		my $change = '';
		if (chance($depth == 1 ? 0.95 : 0.7))
		{
			do { $change = chance(0.3) ? several($t) : change($t) } until $change !~ /^(COPY|TRUNCATE)/;
		}
		push @set, "do_$depth = '" . $change =~ s/'/''/gr . "'", "when_$depth = '" . pick(('AFTER ROW') x 5, ('AFTER STATEMENT') x 2, 'BEFORE ROW', 'BEFORE STATEMENT') . "'";
	}
	return map { "SET LOCAL law.$_" } @set;
}

sub feed
{
	my $t = shift;
	my ($feed, $first) = ("$t->{name}_feed", $t->{values}[0]);
	my $how = rand;
	return "INSERT INTO $feed (" . columns($t) . ') VALUES ' . join ', ', map { literal(row($t)) } 1 .. 1 + int rand 3 if $how < 0.6;
	return "UPDATE $feed e SET " . set($t) . " WHERE $first->[0] = " . quote($first->[1]->()) if $how < 0.8;
	return "DELETE FROM $feed WHERE $first->[0] < " . quote($first->[1]->());
}

# A change and a comparison in one statement: RETURNING compares, or another part of the statement does,
# or a function makes the change.
sub change_and_check
{
	my $t = shift;
	my $change;
	do { $change = change($t) } until $change =~ /^(INSERT|UPDATE|DELETE)/;
	return "$change RETURNING $t->{name}_" . pick('volatile', 'stable') . '()' if chance(0.2) && !deep();		# for each row
	return "SELECT law_write(\$write\$$change\$write\$), $t->{name}_volatile(), $t->{name}_stable()" if chance(0.15);
	return 'SELECT c.* FROM (' . some_check($t) . ") c, law_write(\$write\$$change\$write\$)" if chance(0.3);
	return "WITH w AS ($change RETURNING 1), x AS (SELECT count(*) FROM w) " . some_check($t);
}

my (@sessions, @prepared);
my ($gid, $at_once) = (0, 0);

# A session's next step: statements, some of which are comparisons ({ sql }).
sub step
{
	my ($tables, $s) = @_;
	my $t = pick(@$tables);
	my $dice = rand;
	my $check = { sql => some_check($t) };

	if (!$s->{level})
	{
		return ($check) if $dice < 0.15;
		return (chance(0.2) ? several($t) : change($t), $check) if $dice < 0.3;
		return (splice(@prepared, rand @prepared, 1), $check) if $dice < 0.4 && @prepared;
		my ($other) = grep { $_->{exported} && $_->{level} } @sessions;
		if ($other && chance(0.5))
		{
			$s->{level} = 'REPEATABLE READ';
			return ("BEGIN ISOLATION LEVEL $s->{level}", "SET TRANSACTION SNAPSHOT '$other->{exported}'", $check);
		}
		$s->{level} = pick('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE');
		return ("BEGIN ISOLATION LEVEL $s->{level}", 'SELECT pg_export_snapshot()', $check) if $s->{level} eq 'REPEATABLE READ' && chance(0.3);
		return ("BEGIN ISOLATION LEVEL $s->{level}", 'SET LOCAL law.probe = ' . (chance(0.15) && !deep() ? 'on' : 'off'),
			chance(0.05) ? 'SET LOCAL session_replication_role = replica' : (), chance(0.5) && !deep() ? nest($t) : (), chance(0.5) ? $check : ());
	}
	return (nest($t), change($t), $check) if $dice < 0.1 && !deep();
	return (chance(0.15) ? several($t) : change($t), chance(0.6) ? $check : ()) if $dice < 0.4;
	return ($check) if $dice < 0.5;
	return ({ sql => change_and_check($t) }, chance(0.5) ? $check : ()) if $dice < 0.6;
	return ('SAVEPOINT a', change($t), $check, pick('ROLLBACK TO a', 'RELEASE a', 'ROLLBACK TO a; RELEASE a', 'SAVEPOINT b'), $check) if $dice < 0.72;
	return ("DO \$\$ BEGIN BEGIN " . change_sql($t) . '; ' . (chance(0.5) ? 'RAISE division_by_zero; ' : '') . "EXCEPTION WHEN division_by_zero THEN NULL; END; " . change_sql($t) . "; END \$\$", $check)
	  if $dice < 0.8;
	if ($dice < 0.88)		# a cursor sees the state at its DECLARE
	{
		return (change($t), close_cursors($s)) if $s->{cursor};
		$s->{cursor} = pick('checks', 'checks', 'hold', ('both') x ($s->{level} ne 'READ COMMITTED' || !$at_once));
		return (declare_both($t), change($t), $check) if $s->{cursor} eq 'both';
		return ('DECLARE c CURSOR' . ($s->{cursor} eq 'hold' ? ' WITH HOLD' : '') . ' FOR ' . some_check($t), change($t));
	}
	if ($dice < 0.9)		# rows are locked before they change; more subtransactions than a PostgreSQL snapshot lists
	{
		return ("SELECT FROM $t->{events} WHERE " . some_rows($t) . ' FOR ' . pick('UPDATE', 'NO KEY UPDATE', 'SHARE', 'KEY SHARE'), change($t), $check) if chance(0.8) || deep();
		return ('SET LOCAL law.probe = off', "DO \$\$ BEGIN FOR i IN 1 .. 70 LOOP BEGIN " . change_sql($t)
			  . '; IF i % 3 = 0 THEN RAISE division_by_zero; END IF; EXCEPTION WHEN division_by_zero OR unique_violation THEN NULL; END; END LOOP; END $$', $check);
	}
	if ($dice < 0.915 && $t->{what} =~ /partition/)
	{
		my $n = int rand 2;
		return ("ALTER TABLE $t->{events} DETACH PARTITION $t->{events}_$n", $check, "ALTER TABLE $t->{events} ATTACH PARTITION $t->{events}_$n FOR VALUES IN ($n)", $check);
	}
	return finish($s, $check);
}

# Two cursors with one snapshot, one on the rows and one on the states; their rows are compared when they are closed.
sub declare_both
{
	my $t = shift;
	my @instants = (instant($t->{time}, int rand 15), instant($t->{time}, 15 + int rand 15));
	my $array = 'ARRAY[' . join(', ', map { "'$_'::$t->{time}" } @instants) . ']';
	my $p = "(SELECT unnest($array) AS at) p";
	return ("DECLARE want CURSOR FOR SELECT 'want: ' || x::text FROM (" . reference_at($t, $p) . ') x',
		"DECLARE got CURSOR FOR SELECT 'got: ' || x::text FROM (" . read_at($t, $p, $array) . ') x',
		'FETCH 2 FROM want', 'FETCH 1 FROM got');
}

sub close_cursors
{
	my $s = shift;
	my $which = $s->{cursor} // '';
	$s->{cursor} = undef;
	return $which eq 'both' ? ('FETCH ALL FROM got', 'FETCH ALL FROM want', 'CLOSE want', 'CLOSE got') : $which ? ({ sql => 'FETCH 1 FROM c' }, 'CLOSE c') : ();
}

# A change made by PL/pgSQL.
sub change_sql
{
	my $t = shift;
	my $change;
	do { $change = change($t) } until $change !~ /^COPY/;
	return $change;
}

sub finish
{
	my ($s, $check) = @_;
	my $how = chance(0.85) || @prepared > 2 || $s->{exported} ? pick('ROLLBACK', ('COMMIT') x 3) : "PREPARE TRANSACTION 'law " . ++$gid . "'";
	my $held = ($s->{cursor} // '') eq 'hold' && $how eq 'COMMIT';		# WITH HOLD: its rows are stored at COMMIT
	my @before = $held ? () : close_cursors($s);
	my @after = $held ? close_cursors($s) : ();
	$s->{level} = $s->{exported} = undef;
	return (@before, $how, @after, $check);
}

# Errors that sessions may cause for each other, or that a random statement may raise.
my %expected = map { $_ => 1 } qw(40001 40P01 55P03 23505 21000 23503 23514 27000 55006 22023);

sub compare_fetched
{
	my ($s, $fetched) = @_;
	my ($want, $got) = map { my $which = $_; join "\n", sort map { s/^\w+: //r } @{ $fetched->{$which} // [] } } qw(want got);
	$comparisons++;
	report($s, "cursors: want $want got $got") if $want ne $got;
}

sub run_steps
{
	my @steps = @_;
	$_->[0]->send(map { ref $_ ? $_->{sql} : $_ } @{ $_->[1] }) for @steps;
	for (@steps)
	{
		my ($s, $parts) = @$_;
		my @lines = $s->receive;
		my ($error) = grep { /(ERROR|FATAL|PANIC):/ } @lines;
		tally($s, $_) for grep { /^\d+\|\d+\|/ } @lines;
		/^([0-9A-F]{8}-[0-9A-F]{8}-\d+)$/ and $s->{exported} = $1 for @lines;
		/^(want|got): / && push @{ $s->{fetched}{$1} }, $_ for @lines;
		my ($prepare) = map { /^PREPARE TRANSACTION ('.*')/ ? $1 : () } @$parts;
		my $fetched = $error || grep({ $_ eq 'CLOSE got' } @$parts) ? delete $s->{fetched} : undef;
		if (!$error)
		{
			compare_fetched($s, $fetched) if $fetched;
			push @prepared, map { "$_ PREPARED $prepare" } chance(0.6) ? 'COMMIT' : 'ROLLBACK' if $prepare;
			next;
		}
		my ($state) = $error =~ /(?:ERROR|FATAL|PANIC): +(\w{5}):/;
		my $late = $error =~ /could not import the requested snapshot/;		# the transaction that exported it has ended
		my $replan = $error =~ /does not match that when preparing the plan/;		# PL/pgSQL's own, after DDL changed the type of a column of NEW
		if (!$expected{$state} && !$late && !$replan || grep { /(ERROR: +(XX|P0001)|FATAL: |PANIC: )/ } @lines) { report($s, join ' / ', @lines) }
		$refused++;
		# The statements after it failed, too, or ran in transactions of their own.
		if ($prepare && !grep { /25P02|$state/ } grep { /PREPARE/ } @lines)
		{
			my ($there) = $s->run("ROLLBACK; SELECT count(*) FROM pg_prepared_xacts WHERE gid = $prepare");
			push @prepared, "ROLLBACK PREPARED $prepare" if $there;
		}
		my ($again) = grep { !ref $_ && /PREPARED '/ } @$parts;
		$s->{level} = $s->{cursor} = $s->{exported} = undef;
		$s->run('ROLLBACK', 'CLOSE ALL');
		if ($again)
		{
			my ($id) = $again =~ /('.*')/;
			my ($there) = $s->run("SELECT count(*) FROM pg_prepared_xacts WHERE gid = $id");
			push @prepared, $again if $there;
		}
	}
}

# ---- rounds --------------------------------------------------------------------------------

my $settings = "SET client_min_messages = error; SET timezone = 'UTC'; SET lock_timeout = '100ms'; SET law.probe = off";
my $admin = Session->new('admin', $settings);
@sessions = map { Session->new("session $_", $settings) } 1 .. 4;
$admin->run('CREATE EXTENSION IF NOT EXISTS contime',
	"CREATE OR REPLACE FUNCTION law_write(change text) RETURNS int LANGUAGE plpgsql AS 'BEGIN EXECUTE change; RETURN 0; END'",
	# A trigger that runs the statement in a setting, see nest(). Some of these fail; the trigger catches the error.
	q{CREATE OR REPLACE FUNCTION law_nest() RETURNS trigger LANGUAGE plpgsql AS $nest$
	DECLARE
		depth int := pg_trigger_depth();
		change text := current_setting('law.do_' || depth, true);
		still int := nullif(current_setting('law.budget', true), '');
	BEGIN
		IF change <> '' AND still > 0 AND current_setting('law.when_' || depth, true) = TG_WHEN || ' ' || TG_LEVEL THEN
			PERFORM set_config('law.budget', (still - 1)::text, true);
			IF current_setting('law.plain', true) = 'on' THEN
				EXECUTE change;
			ELSE
				BEGIN
					EXECUTE change;
					IF still % 4 = 1 THEN RAISE division_by_zero; END IF;
				EXCEPTION WHEN division_by_zero OR unique_violation OR foreign_key_violation OR cardinality_violation OR triggered_data_change_violation OR check_violation THEN
					PERFORM set_config('law.budget', (still - 1)::text, true);
				END;
			END IF;
		END IF;
		RETURN CASE WHEN TG_OP = 'DELETE' THEN old ELSE new END;
	END $nest$});
ballast();

# Use memory, so that caches have to be evicted.
sub ballast
{
	return unless $ballast;
	$admin->run(q{CREATE FOREIGN TABLE IF NOT EXISTS ballast (k int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v text) SERVER contime});
	my $n = 0;
	while (($admin->run('SELECT sum(memory_bytes) / 1024.0 / 1024 FROM contime.workers'))[0] < $ballast)
	{
		$admin->run("INSERT INTO ballast SELECT $n + i, '2020-01-01', repeat('x', 1000) FROM generate_series(1, 100) i");
		$n += 100;
	}
}

# Read keys of a partial cache, so that some are loaded; later comparisons then read them from memory.
sub have_keys
{
	my ($t, $name) = @_;
	my $at = $t->{time} eq 'bigint' ? '5' : "'2020-01-01 00:05'";
	my $keys = join ', ', map { $_->{name} } @{ $t->{keys} };
	my $join = join ' AND ', map { "c.$_->{name} = k.$_->{name}" } @{ $t->{keys} };
	my $read = is_error($t) ? 'SELECT count(state) FROM (' . read_or_error($t, "(SELECT $at" . "::$t->{time} AS at) p", $name) . ') x'
	  : "SELECT count(*) FROM (SELECT DISTINCT $keys FROM $t->{name}_events) k JOIN $name c ON $join AND c.$t->{at} = $at";
	for (1 .. 3)
	{
		$admin->run($read);
		select undef, undef, undef, 0.03;
	}
}

# Read these tables and wait until their caches are ready or refused; memory must then agree with the event tables.
# No session may be in a transaction.
my ($ready, $partial, $kept, $refused_caches, $vain) = (0) x 5;
sub settle
{
	for (map { my $t = $_; map { [ $t, $_ ] } @{ $t->{reads} } } @_)
	{
		my ($t, $name) = @$_;
		my $state = '';
		for (1 .. 1000)
		{
			($state) = $admin->run("SELECT cache FROM contime.tables WHERE \"table\" = '$name'::regclass");
			last if ($state // '') =~ /ready|partial|refused/;
			$admin->run(is_error($t) ? tolerant("PERFORM FROM $name LIMIT 1") : "SELECT FROM $name LIMIT 1");
			select undef, undef, undef, 0.005;
		}
		have_keys($t, $name) if $state eq 'partial';
		my ($from, $events, $equal) = split /\|/, ($admin->run("SELECT * FROM contime.verify('$name')"))[0];
		report($admin, "contime.verify('$name'): $from, $events events differ") if $equal ne 't';
		if ($state eq 'partial') { $partial++; $kept += $events }
		elsif ($from eq 'memory') { $ready++ }
		elsif ($state =~ /refused/) { $refused_caches++ }
		else { $vain++ }
	}
}

# Core does not start again (could not create file: File exists) after an immediate stop if the creation of an unlogged relation has reached the
# WAL on disk and its rollback has not: recovery creates its init fork again, beside the empty main fork that the rollback has left until the
# next checkpoint. Plain PostgreSQL does so, too. A rollback is not flushed, but a commit is, with everything before it.
sub flush_wal
{
	$admin->run('BEGIN', 'SET LOCAL synchronous_commit = on', q{SELECT pg_logical_emit_message(true, 'law', 'flush')}, 'COMMIT');
	return;
}

sub crash
{
	$crashes++;
	my $mode = pick('immediate', 'fast');
	flush_wal() if $mode eq 'immediate';
	system('pg_ctl', 'restart', '-s', '-w', '-m', $mode, '-D', $ENV{PGDATA}, '-l', "$ENV{PGDATA}/../server.log") == 0
	  or die "the server does not start\n";
	for ($admin, @sessions)
	{
		$_->quit;
		$_->connect;
	}
	ballast();
}

# ---- between transactions --------------------------------------------------------------------
# DDL on an event table while no transaction that has written to it or read it is open. Each returns groups of statements
# (or of functions that return them), with a comparison after each group; a statement that is not possible for a table is in a block that ignores the error.

# (The trigger feed may be deferred. Its errors are to be raised in the block, and not at COMMIT.)
sub tolerant { return map { "DO \$ddl\$ BEGIN $_; SET CONSTRAINTS ALL IMMEDIATE; EXCEPTION WHEN OTHERS THEN IF SQLSTATE LIKE 'XX%' THEN RAISE; END IF; END \$ddl\$" } @_ }

my @ddl = (
	sub { my $e = shift; [ "ALTER TABLE $e ADD COLUMN added int" ], [ "UPDATE $e SET added = 1" ], [ "ALTER TABLE $e DROP COLUMN added" ] },
	sub {		# rewritten, twice
		my $e = shift;
		[ "ALTER TABLE $e ADD COLUMN added float8 DEFAULT random()" ], [ "ALTER TABLE $e ALTER COLUMN added TYPE text" ], [ "ALTER TABLE $e DROP COLUMN added" ];
	},
	sub {		# (a view would prevent it)
		my ($e, $t) = @_;
		my ($c, undef, $type) = @{ pick(@{ $t->{values} }) };
		my %other = (int => 'bigint', smallint => 'int', bigint => 'numeric', numeric => 'numeric(14,1)', text => 'varchar', varchar => 'text', timestamptz => 'timestamptz(3)', float8 => 'numeric');
		[ sub {
			$admin->run('BEGIN', "DROP VIEW $t->{name}_rows CASCADE", "DROP TYPE $t->{name}_state CASCADE", tolerant("ALTER TABLE $e ALTER COLUMN $c TYPE " . ($other{$type} // 'text')));
			reference($admin, $t);
			$admin->run('COMMIT');
		} ];
	},
	sub {
		my ($e, $t) = @_;
		[ 'BEGIN', tolerant(change_sql($t)), "ALTER TABLE $e ADD COLUMN added float8 DEFAULT random()", tolerant(change_sql($t)), 'ROLLBACK' ];
	},
	sub { my $e = shift; [ "VACUUM FULL $e" ], [ "VACUUM (FREEZE) $e" ] },
	sub { my $e = shift; [ "VACUUM $e" ], [ "ANALYZE $e", "REINDEX TABLE $e" ] },
	sub {
		my $e = shift;
		map { [ "CLUSTER $e USING $_" ] }
		  $admin->run("SELECT indexrelid::regclass FROM pg_index WHERE indrelid = '$e'::regclass AND indpred IS NULL AND indexprs IS NULL LIMIT 1");
	},
	sub { my $e = shift; [ tolerant("ALTER TABLE $e SET UNLOGGED") ], [ tolerant("ALTER TABLE $e SET LOGGED") ] },
	sub {
		my $e = shift;
		[ "ALTER TABLE $e RENAME TO renamed" ], [ 'DELETE FROM renamed WHERE ctid = (SELECT max(ctid) FROM renamed)', "ALTER TABLE renamed RENAME TO $e" ];
	},
	sub {
		my $e = shift;
		[ 'CREATE SCHEMA elsewhere', "ALTER TABLE $e SET SCHEMA elsewhere" ], [ "ALTER TABLE elsewhere.$e SET SCHEMA public", 'DROP SCHEMA elsewhere' ];
	},
	sub {
		my ($e, $t) = @_;
		my $c = pick(@{ $t->{values} })->[0];
		[ "ALTER TABLE $e RENAME COLUMN $c TO renamed" ], [ "ALTER TABLE $e RENAME COLUMN renamed TO $c" ];
	},
	sub {
		my ($e, $t) = @_;
		[ tolerant("ALTER TABLE $e DISABLE TRIGGER ALL") ], [ tolerant(change_sql($t), "DELETE FROM $e WHERE " . some_rows($t)) ],
		  [ tolerant("ALTER TABLE $e ENABLE TRIGGER ALL") ], [ tolerant(change_sql($t)) ];
	},
	sub {		# contime's own triggers, if there are any
		my ($e, $t) = @_;
		my @do = map {
			tolerant("EXECUTE (SELECT format('$_', tgrelid::regclass, tgname) FROM pg_trigger WHERE tgrelid = '$e'::regclass AND tgfoid::regproc::text LIKE 'contime.%' LIMIT 1)")
		} 'DROP TRIGGER %2$I ON %1$s', 'ALTER TABLE %1$s DISABLE TRIGGER %2$I';
		map { [ $_, tolerant(change_sql($t)) ] } @do;
	},
	sub {
		my ($e, $t) = @_;
		[ 'SET session_replication_role = replica', tolerant(change_sql($t), change_sql($t)), 'RESET session_replication_role' ];
	},
	sub { my ($e, $t) = @_; [ "TRUNCATE $e" ], [ tolerant(change_sql($t)) ] },
	sub {		# add another continuous table over the same events, or drop all but the first
		my ($e, $t) = @_;
		my ($first, $other) = @{ $t->{reads} };
		return [ sub { $t->{reads} = [$first] }, "DROP FOREIGN TABLE $other" ] if $other;
		$other = "$t->{name}_other";
		my $commit = chance(0.7);
		[ 'BEGIN', tolerant(change_sql($t)), binding($t, $other), tolerant(change_sql($t)), sub {
			$t->{reads} = [$other];
			tally($admin, $admin->run(some_check($t)));
			$admin->run($commit ? 'COMMIT' : 'ROLLBACK');
			$t->{reads} = [ $first, $commit ? $other : () ];
		} ];
	},
	sub { my $e = shift; [ 'BEGIN', "TRUNCATE $e", 'ROLLBACK' ] });

my %ddl_of = (
	partitions => [
		sub {
			my $e = shift;
			[ "ALTER TABLE $e DETACH PARTITION ${e}_0" ], [ "UPDATE ${e}_0 SET v = v + 1 WHERE v < 5", "DELETE FROM ${e}_0 WHERE v > 10" ],
			  [ "ALTER TABLE $e ATTACH PARTITION ${e}_0 FOR VALUES IN (0)" ];
		},
		sub {
			my $e = shift;
			[ "ALTER TABLE $e DETACH PARTITION ${e}_1", "ALTER TABLE ${e}_1 RENAME TO ${e}_old", "CREATE TABLE ${e}_1 PARTITION OF $e FOR VALUES IN (1)" ],
			  [ "INSERT INTO $e (part, name, hall, tick, v, note, eid) SELECT part, name, hall, tick, v, note, eid FROM ${e}_old LIMIT 20" ], [ "DROP TABLE ${e}_old" ];
		},
		sub {
			my $e = shift;
			[ "CREATE TABLE ${e}_5 (LIKE $e)", "INSERT INTO ${e}_5 (part, name, hall, tick, v, note, eid) SELECT 5, name, hall, tick, v, note, eid FROM $e LIMIT 50",
				"ALTER TABLE $e ATTACH PARTITION ${e}_5 FOR VALUES IN (5)" ], [ "TRUNCATE ${e}_5" ], [ "DROP TABLE ${e}_5" ];
		} ],
	inheritance => [
		sub {
			my $e = shift;
			[ "ALTER TABLE ${e}_child NO INHERIT $e" ], [ "UPDATE ${e}_child SET a = a + 1" ], [ "ALTER TABLE ${e}_child INHERIT $e" ];
		},
		sub {
			my $e = shift;
			[ "CREATE TABLE other_child () INHERITS ($e)", "INSERT INTO other_child (who, seen, a, d, id) SELECT who, seen, a, d, id FROM ONLY $e LIMIT 5" ],
			  [ 'DROP TABLE other_child' ];
		} ],
	transfers => [
		sub {
			my ($e, $t) = @_;
			[ 'BEGIN', "SELECT contime.drop_source('$t->{name}', '$e')", grep({ /'$e'/ } binding($t, $t->{name})), 'COMMIT' ];
		} ]);

# All sessions end their transactions; then there is so much DDL. One may have taken its PostgreSQL snapshot before, and compares afterwards.
sub pause
{
	my ($tables, $ddl) = @_;
	run_steps([ $_, [ finish($_, { sql => some_check(pick(@$tables)) }) ] ]) for grep { $_->{level} } @sessions;
	$admin->run($_) for splice @prepared;
	settle(@$tables) if chance(0.6);
	tally($admin, $_) for $admin->run(map { some_check($_) } @$tables);
	ddl($tables) for 1 .. $ddl;
}

sub ddl
{
	my $tables = shift;
	my $t = pick(@$tables);
	my ($special) = map { $t->{what} =~ /$_/ ? $ddl_of{$_} : () } sort keys %ddl_of;
	my @groups = ($special && chance(0.4) ? pick(@$special) : pick(@ddl))->($t->{events}, $t);
	my $early = pick(@sessions);
	my $snapshot = chance(0.6);
	if ($snapshot)
	{
		$early->run('BEGIN ISOLATION LEVEL ' . pick('REPEATABLE READ', 'SERIALIZABLE'), 'SELECT 1');
		$early->{level} = 'REPEATABLE READ';
	}
	$admin->run('SET lock_timeout = 0');
	for my $group (@groups)
	{
		ref $_ ? $_->() : $admin->run($_) for @$group;
		settle($t) if chance(0.5);
		run_steps([ $early, [ { sql => some_check($t) } ] ]) if $early->{level} && chance(0.3);
		if ($early->{level})
		{
			# It has locks now, for which DDL would wait.
			run_steps([ $early, [ { sql => some_check($t) }, 'ROLLBACK' ] ]);
			$early->{level} = undef;
		}
		tally($admin, $_) for $admin->run(some_check($t), some_check($t));
	}
	$admin->run("SET lock_timeout = '100ms'");
}

sub compare_all
{
	my ($t, $what) = @_;
	my $before = $differences;
	tally($admin, $_) for $admin->run($t->{between} || is_error($t) ? () : now($t, 1), slices($t, map { instant($t->{time}, $_) } 0 .. 14), slices($t, map { instant($t->{time}, $_) } 15 .. 29),
		has_histories($t) ? histories($t, map { instant($t->{time}, $_) } 0 .. 29) : ());
	ok($differences == $before, $what);
}

sub round
{
	my $round = shift;
	srand($seed + $round);
	$at_once = $round % 3 == 0;
	$ids = $round % 4 == 2 ? 3000 : 150;
	$bad = $ENV{CT_BAD_ROWS} // pick('none', 'none', 'ignore', 'error');
	$bad = undef if $bad eq 'none';
	my @tables = map { create($admin, $specs[ ($round + $_) % @specs ], "durable_${round}_$_") } 0 .. chance(0.4);
	my $before = $differences;

	if (deep())		# a longer history
	{
		for my $t (map { @{ $_->{targets} } } @tables)
		{
			$admin->run("INSERT INTO $t->{events} (" . columns($t) . ') VALUES ' . join(', ', map { literal(first_row($t)) } 1 .. 300) . ($t->{conflict} ? ' ON CONFLICT DO NOTHING' : '')) for 1 .. ($t->{what} ? 8 : 1);
		}
	}
	settle(@tables) if chance(0.7);
	for (my $n = 0; $n < 100;)
	{
		my @who = $at_once ? grep { chance(0.7) } @sessions : pick(@sessions);
		run_steps(map { [ $_, [ step(\@tables, $_) ] ] } @who);
		$n += @who;
		crash() if chance(0.004);
		pause(\@tables, pick(0, 1, 2, 3)) if chance(0.04);
	}
	run_steps([ $_, [ finish($_, { sql => some_check($tables[0]) }) ] ]) for grep { $_->{level} } @sessions;
	ok($differences == $before, "round $round: concurrent sessions find no difference");
	crash() if @prepared && chance(0.1);
	$admin->run($_) for splice @prepared;
	compare_all($_, "round $round: $_->{what}, no difference when all transactions have ended") for @tables;
	settle(@tables);
	$bad_rows += ($admin->run("SELECT count(*) FROM $_->{name}_bad"))[0] for @tables;
	compare_all($_, "round $round: $_->{what}, no difference when cached") for @tables;
	$admin->run("SET lock_timeout = 0", map({ "DROP TABLE IF EXISTS $_->{events} CASCADE" } map { @{ $_->{targets} } } @tables),
		map({; "DROP FOREIGN TABLE IF EXISTS $_->{name}, $_->{name}_other CASCADE", "DROP TABLE $_->{name}_feed", "DROP FUNCTION $_->{name}_feed" } @tables), "SET lock_timeout = '100ms'");
}

for (my $round = $ENV{CT_ROUND} // 1; $Session::statements < $limit; $round++)
{
	round($round);
	@Session::script = ();
	last if $ENV{CT_ROUND};
}
$_->quit for @sessions, $admin;
print "1..$tests\n";
print "# $Session::statements statements, $refused failed as they may; $crashes restarts; $comparisons comparisons, $differences differences; $bad_rows bad rows in the end; a cache was ready $ready times, partial $partial ($kept events), refused $refused_caches, neither $vain (CT_SEED=$seed)\n";
exit($failed || $differences ? 1 : 0);
