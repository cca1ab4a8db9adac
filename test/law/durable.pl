#!/usr/bin/perl
# durable.pl: the law of contime, tried at random on durable tables.
#
#   For every snapshot S, key k and instant T, the row of a continuous table at (k, T) is the fold, in the
#   order of the law, of the rows of its event tables that S can see.
#
# Several sessions change event tables in all the ways there are: INSERT, COPY, UPDATE, DELETE, TRUNCATE, MERGE,
# ON CONFLICT, with savepoints, exception blocks, triggers and functions that look at the state while the statement
# runs, partitions that are detached and attached, at every isolation level, in two phases; one after the other,
# or all at once. The server crashes in between. Again and again a session folds the rows that it sees
# by plain SQL and compares, in one statement and so under one snapshot, with what the continuous table says.
#
#   CT_SEED=n         the seed; printed, so that a failure can be had again
#   CT_STATEMENTS=n   how many statements, roughly (default 2500)
#   CT_ROUND=n        only this round, which has a seed of its own
#
# What the sessions did in the first round with a difference goes to durable-script.sql. Uses psql, pg_ctl, and
# the server that PGHOST and PGDATA name; TAP on standard output.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Session;
$| = 1;

my $seed = $ENV{CT_SEED} // int(time() * 7919 + $$) % 1_000_000_000;
my $limit = $ENV{CT_STATEMENTS} // 2500;
print "# CT_SEED=$seed CT_STATEMENTS=$limit\n";

sub pick { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }
sub quote { return defined $_[0] ? "'$_[0]'" : 'NULL' }

# ---- the tables ------------------------------------------------------------------------
# Of each: the event table, and its columns with their values and types; the continuous table's columns, with their sources.

my @specs = (
	{
		what => 'a primary key',
		events => 'CREATE TABLE %s (id bigint PRIMARY KEY, account int, at timestamptz, amount numeric(12,2), owner text)',
		values => [
			[ id => sub { int rand 150 }, 'bigint' ],
			[ account => sub { chance(0.02) ? undef : int rand 4 }, 'int' ],
			[ at => sub { chance(0.02) ? undef : instant('timestamptz') }, 'timestamptz' ],
			[ amount => sub { chance(0.1) ? undef : (int(rand(4001)) - 2000) / 100 }, 'numeric' ],
			[ owner => sub { chance(0.6) ? undef : pick('', 'Ada', 'ä', 'y' x 3000) }, 'text' ] ],
		conflict => 'id',
		time => 'timestamptz',
		columns => [
			{ name => 'k', type => 'bigint', key => 1, source => 'account' },
			{ name => 'at', type => 'timestamptz', time => 1 },
			{ name => 'balance', type => 'numeric(12,2)', rule => 'sum', initial => '0', source => 'amount' },
			{ name => 'held', type => 'numeric(12,2)', rule => 'sum', initial => '5', lower => '-20', upper => '50', source => '-amount' },
			{ name => 'owner', type => 'text', rule => 'last' },
			{ name => 'hi', type => 'numeric(12,2)', rule => 'max', source => 'CASE WHEN amount > 0 THEN amount END' },
			{ name => 'n', type => 'int', rule => 'sum', source => '1' } ]
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
			[ seen => sub { chance(0.02) ? undef : substr instant('timestamptz'), 0, 26 }, 'timestamp' ],
			[ a => sub { chance(0.1) ? undef : int(rand(41)) - 20 }, 'int' ],
			[ d => sub { chance(0.1) ? undef : int rand 999 }, 'int' ],
			[ id => sub { int rand 150 }, 'bigint' ] ],
		conflict => 'id',
		time => 'timestamptz',
		columns => [
			{ name => 'who', type => 'text COLLATE "C"', key => 1 },
			{ name => 'at', type => 'timestamptz', time => 1, source => q{seen AT TIME ZONE 'UTC'} },
			{ name => 'b', type => 'bigint', rule => 'sum', source => 'b' },
			{ name => 'd', type => 'numeric(6,1)', rule => 'min', initial => '900.5' },
			{ name => 'l', type => 'text', rule => 'last', source => q{who || '!'} } ]
	},
	{
		what => 'transfers, counts and closings',
		events => 'CREATE TABLE %s (id int PRIMARY KEY, giver int, taker int, at timestamptz, amount numeric(10,2), note text)',
		more => [ 'CREATE TABLE %s_counts (id int PRIMARY KEY, account int, at timestamptz, amount numeric(10,2))',
			'CREATE TABLE %s_closings (account smallint, at timestamptz)' ],
		values => [
			[ id => sub { int rand 150 }, 'int' ],
			[ giver => sub { chance(0.1) ? undef : int rand 4 }, 'int' ],
			[ taker => sub { chance(0.1) ? undef : int rand 5 }, 'int' ],
			[ at => sub { instant('timestamptz') }, 'timestamptz' ],
			[ amount => sub { chance(0.1) ? undef : int(rand(4001)) / 100 }, 'numeric' ],
			[ note => sub { chance(0.6) ? undef : pick('a', 'b') }, 'text' ] ],
		conflict => 'id',
		also => {
			counts => { conflict => 'id', values => [
				[ id => sub { int rand 10 }, 'int' ],
				[ account => sub { int rand 5 }, 'int' ],
				[ at => sub { instant('timestamptz') }, 'timestamptz' ],
				[ amount => sub { chance(0.2) ? undef : int(rand(4001)) / 100 }, 'numeric' ] ] },
			closings => { values => [
				[ account => sub { int rand 5 }, 'smallint' ],
				[ at => sub { instant('timestamptz') }, 'timestamptz' ] ] } },
		sources => [
			{ events => '%s', kind => 'event', map => { k => 'giver', balance => '-amount', n => '1' } },
			{ events => '%s', kind => 'event', map => { k => 'taker', balance => 'amount', n => undef, note => undef } },
			{ events => '%s_counts', kind => 'snapshot', map => { k => 'account', balance => 'amount', n => undef, note => undef } },
			{ events => '%s_closings', kind => 'finish', map => { k => 'account', balance => undef, n => undef, note => undef } } ],
		time => 'timestamptz',
		columns => [
			{ name => 'k', type => 'bigint', key => 1 },
			{ name => 'at', type => 'timestamptz', time => 1 },
			{ name => 'balance', type => 'numeric(12,2)', rule => 'sum', initial => '3' },
			{ name => 'note', type => 'text', rule => 'last' },
			{ name => 'n', type => 'int', rule => 'sum' } ]
	});

$specs[2]{also} = { child => { values => $specs[2]{values} } };

# Instants are few, so that events meet at some.
sub instant
{
	my ($type, $n) = @_;
	$n //= int rand 30;
	return $type eq 'bigint' ? $n - 10 : sprintf '2020-01-01 00:%02d:00.%06d+00', $n / 2, $n % 2;
}

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
		$t->{id} = $_->{name} if $_->{id};
	}
	$t->{keys} = [ grep { $_->{key} } @columns ];
	$t->{state} = [ grep { !$_->{key} && !$_->{time} } @columns ];
	$t->{key} = join ', ', map { $_->{name} } @{ $t->{keys} };
	$t->{names} = join ', ', map { $_->{name} } @{ $t->{state} };
	$t->{order} = "e.$t->{at}, e.kind, " . ($t->{id} ? "e.$t->{id} COLLATE \"C\" NULLS LAST, " : '')
	  . 'row(' . join(', ', map { "e.$_->{name}" } @{ $t->{state} }) . ') USING *<, e.cols';
	$s->run(map { sprintf $_, $t->{events} } @{ $spec->{before} // [] }, $spec->{events}, @{ $spec->{more} // [] });
	$s->run("CREATE FOREIGN TABLE $name (" . join(', ', map { declaration($_, !$t->{sources}) } @columns)
		  . ') SERVER contime' . ($t->{sources} ? '' : " OPTIONS (events '$t->{events}')"));
	for my $source (@{ $t->{sources} // [] })
	{
		my ($map, $from) = ($source->{map}, sprintf $source->{events}, $t->{events});
		$s->run("SELECT contime.add_source('$name', '$from', '{" . join(', ', map { "\"$_\": " . (defined $map->{$_} ? "\"$map->{$_}\"" : 'null') } sort keys %$map)
			  . "}', '$source->{kind}')");
	}
	$t->{targets} = [ { %$t }, map { { name => $name, events => "$t->{events}_$_", %{ $t->{also}{$_} } } } sort keys %{ $t->{also} // {} } ];
	reference($s, $t, @columns);
	probes($s, $t);
	return $t;
}

sub declaration
{
	my ($c, $sources) = @_;
	my @options = (
		($c->{key} ? "key 'true'" : $c->{time} ? "time 'true'" : $c->{id} ? "event_id 'true'" : ()),
		map({ "$_ '$c->{$_}'" } grep { defined $c->{$_} } qw(rule initial lower upper)),
		$sources && defined $c->{source} ? 'source ' . "'" . $c->{source} =~ s/'/''/gr . "'" : ());
	my ($type, $collation) = $c->{type} =~ /^(.*?)( COLLATE .*)?$/;
	return "$c->{name} $type" . (@options ? ' OPTIONS (' . join(', ', @options) . ')' : '') . ($collation // '');
}

# The fold, in SQL: which rows are events, and what one does to a state.
sub reference
{
	my ($s, $t, @columns) = @_;
	my ($name, @state) = ($t->{name}, @{ $t->{state} });
	my %does = (
		last => sub { 'e.%1$s' },
		sum => sub {
			my $c = shift;
			my $sum = 'coalesce(x.%1$s, ' . quote($c->{initial} // 0) . ') + e.%1$s';
			$sum = "greatest($sum, $c->{lower})" if defined $c->{lower};
			$sum = "least($sum, $c->{upper})" if defined $c->{upper};
			return $sum;
		},
		min => sub { 'least(coalesce(x.%1$s, ' . quote($_[0]{initial}) . '), e.%1$s)' },
		max => sub { 'greatest(coalesce(x.%1$s, ' . quote($_[0]{initial}) . '), e.%1$s)' });
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
			} @columns;
			'SELECT ' . join(', ', @exprs) . ", $kinds{ $source->{kind} } AS kind, " . ($source->{kind} eq 'snapshot' ? $cols : 0)
			  . '::bigint AS cols FROM ' . sprintf($source->{events}, $t->{events}) } @$sources);
	my $is_event = "$t->{at} IS NOT NULL AND " . join ' AND ', map { "$_->{name} IS NOT NULL" } @{ $t->{keys} };
	$s->run("CREATE VIEW ${name}_events AS SELECT * FROM ${name}_rows e WHERE $is_event" . ($t->{id}
		  ? " AND $t->{id} IS NULL UNION ALL (SELECT DISTINCT ON ($identity) * FROM ${name}_rows e WHERE $is_event AND $t->{id} IS NOT NULL ORDER BY "
			. "$t->{key}, $t->{at}, kind, $t->{id}, row($t->{names}) USING *<, cols)" : ''));
	$s->run("CREATE TYPE ${name}_state AS (present boolean, " . join(', ', map { "$_->{name} $_->{type}" } @state) . ')');
	$s->run("CREATE FUNCTION ${name}_step(x ${name}_state, e ${name}_events) RETURNS ${name}_state LANGUAGE plpgsql AS \$\$ BEGIN
	IF e.kind = 0 THEN RETURN NULL; END IF;                 -- finish: no row
	IF x.present IS NULL THEN                               -- a new life, from initial
		x := ROW(true, " . join(', ', map { quote($_->{initial}) } @state) . ")::${name}_state;
	END IF;
	IF e.kind = 1 THEN                                      -- an event: NULL is unchanged\n"
	  . join('', map { sprintf "\t\tx.%1\$s := CASE WHEN e.%1\$s IS NULL THEN x.%1\$s ELSE " . $does{ $_->{rule} // 'last' }->($_) . " END;\n", $_->{name} } @state)
	  . "	ELSE                                                -- a snapshot: NULL is NULL\n"
	  . join('', map { sprintf "\t\tx.%1\$s := CASE WHEN e.cols & $_->{bit} <> 0 THEN e.%1\$s ELSE x.%1\$s END;\n", $_->{name} } @state)
	  . "	END IF;
	RETURN x;
END \$\$");
	$s->run("CREATE AGGREGATE ${name}_fold(${name}_events) (SFUNC = ${name}_step, STYPE = ${name}_state)");
}

# ---- comparisons ---------------------------------------------------------------------------

# A query that gives "compared|different|one of them".
sub difference
{
	my ($t, $want, $got) = @_;
	return "SELECT count(*), count(*) FILTER (WHERE want::text IS DISTINCT FROM got::text),
	  (array_agg('want ' || coalesce(want::text, 'no row') || ' got ' || coalesce(got::text, 'no row')) FILTER (WHERE want::text IS DISTINCT FROM got::text))[1]
	FROM ($want) want FULL JOIN ($got) got ON " . join ' AND ', map { "want.$_ = got.$_" } split(', ', $t->{key}), 'at';
}

# Every key's state at the instants of the relation p(at).
sub reference_at
{
	my ($t, $p) = @_;
	my $key = join ', ', map { "e.$_->{name}" } @{ $t->{keys} };
	return "SELECT $t->{key}, at, " . join(', ', map { "(state).$_->{name}" } @{ $t->{state} })
	  . " FROM (SELECT $key, p.at, $t->{name}_fold(e ORDER BY $t->{order}) AS state FROM $p JOIN $t->{name}_events e ON e.$t->{at} <= p.at GROUP BY $key, p.at) folded"
	  . ' WHERE (state).present';
}

# The same of the continuous table, in one of many shapes.
sub read_at
{
	my ($t, $p, $array, $shape) = @_;
	my ($name, $at, $from) = ($t->{name}, $t->{at}, "contime." . ($t->{time} eq 'bigint' ? 'at_tick' : 'at'));
	my $columns = join ', ', map({ "c.$_->{name}" } @{ $t->{keys} }), "c.$at AS at", map { "c.$_->{name}" } @{ $t->{state} };
	my $join = join ' AND ', map { "c.$_->{name} = k.$_->{name}" } @{ $t->{keys} };
	my @shapes = (
		"SELECT $columns FROM $name c WHERE $at = ANY ($array)",
		"SELECT $columns FROM $p JOIN $name c ON c.$at = p.at",
		"SELECT $columns FROM $p, $from(NULL::$name, p.at) c",
		"SELECT $columns FROM $p CROSS JOIN (SELECT DISTINCT $t->{key} FROM $t->{name}_events) k JOIN $name c ON $join AND c.$at = p.at",
		(@{ $t->{keys} } > 1 ? () : "SELECT $columns FROM $p CROSS JOIN (SELECT DISTINCT $t->{key} FROM $t->{name}_events) k CROSS JOIN LATERAL $from(NULL::$name, p.at, k.$t->{key}) c"));
	return $shapes[ $shape // rand @shapes ];
}

sub slices
{
	my ($t, @instants) = @_;
	my $array = 'ARRAY[' . join(', ', map { "'$_'::$t->{time}" } @instants) . ']';
	my $p = "(SELECT unnest($array) AS at) p";
	return difference($t, reference_at($t, $p), read_at($t, $p, $array));
}

# Every key's history, all at once or one by one, looked at here and there.
sub histories
{
	my ($t, @instants) = @_;
	my $p = '(SELECT unnest(ARRAY[' . join(', ', map { "'$_'::$t->{time}" } @instants) . ']) AS at) p';
	my ($tick, $from, $to) = $t->{time} eq 'bigint' ? ('_tick', -10, 20) : ('', "'2020-01-01'", "'2020-01-01 00:15'");
	my ($of, $key) = chance(0.5) ? ('', '(h.state).')
	  : (" CROSS JOIN (SELECT DISTINCT $t->{key} FROM $t->{name}_events) k", 'k.');
	return difference($t, reference_at($t, $p), "SELECT " . join(', ', map { "$key$_->{name}" } @{ $t->{keys} }) . ', p.at, ' . join(', ', map { "(h.state).$_->{name}" } @{ $t->{state} })
		  . " FROM $p$of JOIN LATERAL contime.history$tick(NULL::$t->{name}, " . ($of ? "k.$t->{key}, " : '') . "$from, $to) h ON h.during @> p.at");
}

# After everything: no instant is named.
sub now
{
	my $t = shift;
	my $latest = $t->{time} eq 'bigint' ? '9223372036854775807' : "'2020-01-02'::timestamptz";
	return difference($t, reference_at($t, "(SELECT $latest AS at) p"),
		"SELECT $t->{key}, $latest AS at, $t->{names} FROM $t->{name} c");
}

sub some_check
{
	my $t = shift;
	my %instants = map { instant($t->{time}) => 1 } 1 .. 1 + int rand 3;
	my @instants = sort keys %instants;
	return chance(0.15) ? now($t) : chance(0.2) && @{ $t->{keys} } == 1 ? histories($t, @instants) : slices($t, @instants);
}

# Functions and triggers that compare in the midst of a statement; they raise an error when something differs.
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
	$s->run("CREATE TRIGGER aaa AFTER INSERT OR UPDATE OR DELETE ON $_ FOR EACH ROW EXECUTE FUNCTION ${name}_trigger()",
		"CREATE TRIGGER zzz BEFORE UPDATE OR DELETE ON $_ FOR EACH ROW EXECUTE FUNCTION ${name}_trigger()") for map { $_->{events} } @{ $t->{targets} };
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
sub literal { return '(' . join(', ', map { quote($_) } @{ $_[0] }) . ')' }
sub columns { return join ', ', map { $_->[0] } @{ $_[0]{values} } }

# Rows as a relation v, of the event table's types.
sub values_of
{
	my ($t, @rows) = @_;
	return '(SELECT ' . join(', ', map { "$_->[0]::$_->[2] AS $_->[0]" } @{ $t->{values} }) . ' FROM (VALUES '
	  . join(', ', map { literal($_) } @rows) . ') v(' . columns($t) . ')) v';
}

# A condition that some rows meet.
sub some_rows
{
	my $t = shift;
	my ($name, $value) = @{ pick(@{ $t->{values} }) };
	my $v = $value->();
	return "$name IS NULL" unless defined $v;
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
	if ($how < 0.4)		# a function looks while it is inserted
	{
		return "INSERT INTO $into SELECT * FROM " . values_of($t, @rows) . " WHERE $t->{name}_" . pick('volatile', 'stable') . "() = 0$conflict";
	}
	return "INSERT INTO $into $values$conflict";
}

# SET of an UPDATE or MERGE: another value, one moved, or the row as it was.
sub set
{
	my $t = shift;
	my ($name, $value) = @{ pick(grep { $_->[0] ne ($t->{conflict} // '') } @{ $t->{values} }) };
	return chance(0.2) ? "$name = e.$name" : "$name = " . quote($value->());
}

sub change
{
	my $t = pick(@{ $_[0]{targets} });
	my $how = rand;
	return insert($t) if $how < 0.5;
	return "UPDATE $t->{events} e SET " . set($t) . ' WHERE ' . some_rows($t) if $how < 0.75;
	return "DELETE FROM $t->{events} WHERE " . some_rows($t) if $how < 0.88;
	return "TRUNCATE $t->{events}" if $how < 0.9;
	return "MERGE INTO $t->{events} e USING " . values_of($t, map { row($t) } 1 .. 3) . " ON e.$t->{values}[0][0] = v.$t->{values}[0][0] AND e.$t->{values}[1][0] = v.$t->{values}[1][0]"
	  . ' WHEN MATCHED AND ' . (chance(0.5) ? 'true' : 'false') . ' THEN UPDATE SET ' . set($t) . ' WHEN MATCHED THEN DELETE'
	  . ' WHEN NOT MATCHED THEN INSERT (' . columns($t) . ') VALUES (' . join(', ', map { "v.$_->[0]" } @{ $t->{values} }) . ')';
}

# A change and a comparison in one statement.
sub change_and_check
{
	my $t = shift;
	my $change;
	do { $change = change($t) } until $change =~ /^(INSERT|UPDATE|DELETE)/;
	return "WITH w AS ($change RETURNING 1), x AS (SELECT count(*) FROM w) " . some_check($t);
}

my (@sessions, @prepared);
my $gid = 0;

# What a session does next: statements, some of which are comparisons ({ sql }).
sub step
{
	my ($tables, $s) = @_;
	my $t = pick(@$tables);
	my $dice = rand;
	my $check = { sql => some_check($t) };

	if (!$s->{level})
	{
		return ($check) if $dice < 0.15;
		return (change($t), $check) if $dice < 0.3;
		return (splice(@prepared, rand @prepared, 1), $check) if $dice < 0.4 && @prepared;
		$s->{level} = pick('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE');
		return ("BEGIN ISOLATION LEVEL $s->{level}", 'SET LOCAL law.probe = ' . (chance(0.15) ? 'on' : 'off'), chance(0.5) ? $check : ());
	}
	return (change($t), chance(0.6) ? $check : ()) if $dice < 0.4;
	return ($check) if $dice < 0.5;
	return ({ sql => change_and_check($t) }, chance(0.5) ? $check : ()) if $dice < 0.6;
	return ('SAVEPOINT a', change($t), $check, pick('ROLLBACK TO a', 'RELEASE a', 'ROLLBACK TO a; RELEASE a', 'SAVEPOINT b'), $check) if $dice < 0.72;
	return ("DO \$\$ BEGIN BEGIN " . change_sql($t) . '; ' . (chance(0.5) ? 'RAISE division_by_zero; ' : '') . "EXCEPTION WHEN division_by_zero THEN NULL; END; " . change_sql($t) . "; END \$\$", $check)
	  if $dice < 0.8;
	if ($dice < 0.85)		# a cursor sees what was there when it was declared
	{
		if ($s->{cursor})
		{
			$s->{cursor} = undef;
			return (change($t), { sql => 'FETCH 1 FROM c' }, 'CLOSE c');
		}
		$s->{cursor} = 1;
		return ('DECLARE c CURSOR FOR ' . some_check($t), change($t));
	}
	if ($dice < 0.87 && $t->{events} && $t->{what} =~ /partition/)
	{
		my $n = int rand 2;
		return ("ALTER TABLE $t->{events} DETACH PARTITION $t->{events}_$n", $check, "ALTER TABLE $t->{events} ATTACH PARTITION $t->{events}_$n FOR VALUES IN ($n)", $check);
	}
	return finish($s, $check);
}

# A change as PL/pgSQL has it.
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
	my @cursor = $s->{cursor} ? 'CLOSE c' : ();
	$s->{level} = $s->{cursor} = undef;
	return (@cursor, pick('ROLLBACK', ('COMMIT') x 3), $check) if chance(0.85) || @prepared > 2;
	$gid++;
	return (@cursor, "PREPARE TRANSACTION 'law $gid'", $check);
}

# Errors that the sessions bring upon each other, or that a random statement may have.
my %expected = map { $_ => 1 } qw(40001 40P01 55P03 23505 21000 23514 55006);

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
		my ($prepare) = map { /^PREPARE TRANSACTION ('.*')/ ? $1 : () } @$parts;
		if (!$error)
		{
			push @prepared, map { "$_ PREPARED $prepare" } chance(0.6) ? 'COMMIT' : 'ROLLBACK' if $prepare;
			next;
		}
		my ($state) = $error =~ /(?:ERROR|FATAL|PANIC): +(\w{5}):/;
		if (!$expected{$state}) { report($s, join ' / ', @lines) }
		$refused++;
		# What came after it failed too, or was done on its own.
		if ($prepare && !grep { /25P02|$state/ } grep { /PREPARE/ } @lines)
		{
			my ($there) = $s->run("ROLLBACK; SELECT count(*) FROM pg_prepared_xacts WHERE gid = $prepare");
			push @prepared, "ROLLBACK PREPARED $prepare" if $there;
		}
		my ($again) = grep { !ref $_ && /PREPARED '/ } @$parts;
		$s->{level} = $s->{cursor} = undef;
		$s->run('ROLLBACK');
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
$admin->run('CREATE EXTENSION IF NOT EXISTS contime');

sub crash
{
	$crashes++;
	system('pg_ctl', 'restart', '-s', '-w', '-m', pick('immediate', 'fast'), '-D', $ENV{PGDATA}, '-l', "$ENV{PGDATA}/../server.log") == 0
	  or die "the server does not start\n";
	for ($admin, @sessions)
	{
		$_->quit;
		$_->connect;
	}
}

sub compare_all
{
	my ($t, $what) = @_;
	my $before = $differences;
	tally($admin, $_) for $admin->run(now($t), slices($t, map { instant($t->{time}, $_) } 0 .. 14), slices($t, map { instant($t->{time}, $_) } 15 .. 29),
		@{ $t->{keys} } == 1 ? histories($t, map { instant($t->{time}, $_) } 0 .. 29) : ());
	ok($differences == $before, $what);
}

sub round
{
	my $round = shift;
	srand($seed + $round);
	my $at_once = $round % 3 == 0;
	my @tables = map { create($admin, $specs[ ($round + $_) % @specs ], "durable_${round}_$_") } 0 .. chance(0.4);
	my $before = $differences;

	for (my $n = 0; $n < 100;)
	{
		my @who = $at_once ? grep { chance(0.7) } @sessions : pick(@sessions);
		run_steps(map { [ $_, [ step(\@tables, $_) ] ] } @who);
		$n += @who;
		crash() if chance(0.004);
	}
	run_steps([ $_, [ finish($_, { sql => some_check($tables[0]) }) ] ]) for grep { $_->{level} } @sessions;
	ok($differences == $before, "round $round: sessions beside each other");
	crash() if @prepared && chance(0.1);
	$admin->run($_) for splice @prepared;
	compare_all($_, "round $round: $_->{what}, all transactions ended") for @tables;
	$admin->run("SET lock_timeout = 0", map({ "DROP TABLE IF EXISTS $_->{events} CASCADE" } map { @{ $_->{targets} } } @tables), map({ "DROP FOREIGN TABLE IF EXISTS $_->{name} CASCADE" } @tables), "SET lock_timeout = '100ms'");
}

for (my $round = $ENV{CT_ROUND} // 1; $Session::statements < $limit; $round++)
{
	round($round);
	@Session::script = ();
	last if $ENV{CT_ROUND};
}
$_->quit for @sessions, $admin;
print "1..$tests\n";
print "# $Session::statements statements, $refused failed as they may; $crashes restarts; $comparisons comparisons, $differences differences (CT_SEED=$seed)\n";
exit($failed || $differences ? 1 : 0);
