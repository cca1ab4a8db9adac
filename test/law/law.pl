#!/usr/bin/perl
# law.pl: checks the law of contime with random transactions.
#
#   For every snapshot S, key k and instant T, the row of a continuous table at
#   (k, T) is the fold, in the order of the law, of the events of k at or before T
#   that S can see.
#
# Several sessions write the same events into a continuous table and, in the same
# transactions, into an ordinary table: inserts, COPY, events that set to NULL,
# full and partial snapshots, finishes, exact copies, conflicting events, ties;
# with savepoints, rollbacks, exception blocks, in two phases, at every isolation
# level, on one table or two in one transaction; one session after the other, so
# that a seed gives the same script again, or all concurrently.
# Each session often reads both tables in one statement, and so under one
# PostgreSQL snapshot, the ordinary table through the reference fold below, and
# compares. At the end the test waits until all events have entered and are frozen,
# and compares again; then it writes the same events in another order to a new
# table, which must give the same states, recent and frozen.
#
#   CT_SEED=n     the seed; printed, so that a failure can be repeated
#   CT_ROUNDS=n   rounds, each with new tables (default 30)
#   CT_ROUND=n    start with this round, which has a seed of its own
#   CT_STEPS=n    steps in a round (default 150)
#
# The statements of the first round with a difference are written to law-script.sql.
# Uses psql and the server of PGHOST, PGPORT and so on; writes TAP to standard output.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Fold;
use Session;
$| = 1;

# ---- random values -------------------------------------------------------------------

my $seed = $ENV{CT_SEED} // int(time() * 7919 + $$) % 1_000_000_000;
my $rounds = $ENV{CT_ROUNDS} // 30;
my $steps = $ENV{CT_STEPS} // 150;
print "# CT_SEED=$seed CT_ROUNDS=$rounds CT_STEPS=$steps\n";

sub pick { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }
sub quote { return defined $_[0] ? "'$_[0]'" : 'NULL' }

my @words = ('', 'a', 'B', 'b', 'ä', 'zebra', 'Zebra', 'x' x 40, 'y' x 3000);
my %values = (
	'bigint' => sub { int(rand(41)) - 20 },
	'int' => sub { int(rand(41)) - 20 },
	'smallint' => sub { int(rand(41)) - 20 },
	'text' => sub { pick(@words) },
	'boolean' => sub { pick('t', 'f') },
	'uuid' => sub { sprintf '%08x-0000-4000-8000-%012x', pick(0, 1, 0x7fffffff, 0x80000000), int rand 3 },
	'double precision' => sub { pick('0', '-0', '1.5', 'NaN', '-Infinity', '3e-300') },
	'jsonb' => sub { pick('{}', 'null', '[1, 2]', '{"a": 1}', '{"a": {"b": "c"}}') },
	'int[]' => sub { pick('{}', '{1}', '{1,NULL,3}') },
	'interval' => sub { pick('1 day', '24 hours', '-3 minutes') },
	'timestamptz' => sub { sprintf '2020-05-%02d 12:00:00+00', 1 + int rand 28 },
	'timestamp' => sub { sprintf '2020-05-%02d 12:00:00', 1 + int rand 28 },
	'date' => sub { sprintf '2020-05-%02d', 1 + int rand 28 },
	'span' => sub { pick('1 day', '24 hours', '-3 minutes', '1 month -1 day 00:00:00.000001', '-1 month') },
	'tenths' => sub { (int(rand(401)) - 200) / 10 },
	'word' => sub { pick(grep { length $_ < 10 } @words) });

sub value
{
	my $type = shift;
	if ($type =~ /^numeric\((\d+),\s*(\d+)\)$/)
	{
		my ($digits, $scale) = ($1 - $2, $2);
		$digits = 2 unless chance(0.05) && $digits > 20;
		my $whole = join '', map { int rand 10 } 1 .. ($digits > 20 ? $digits - 2 : $digits);
		return (chance(0.5) ? '-' : '') . $whole . ($scale ? '.' . join('', map { int rand 10 } 1 .. $scale) : '');
	}
	return $values{$type}->();
}

# ---- the tables ------------------------------------------------------------------------
# A continuous table, the ordinary table with the same events, and the reference: the effect of each
# event on a state (the functions are written out per table, so they stay plain SQL).

my @specs = (
	{
		keys => [ [ 'k', 'int' ] ],
		time => 'timestamptz',
		id => 'text',
		columns => [
			{ name => 's', type => 'bigint', rule => 'sum' },
			{ name => 'b', type => 'numeric(12,2)', rule => 'sum', initial => '10', lower => '-5', upper => '100' },
			{ name => 'lo', type => 'int', rule => 'min' },
			{ name => 'hi', type => 'numeric(10,3)', rule => 'max', initial => '1.5' },
			{ name => 'fi', type => 'text', rule => 'first' },
			{ name => 'l', type => 'text', rule => 'last' },
			{ name => 'n', type => 'int', rule => 'last', initial => '7' } ]
	},
	{
		keys => [ [ 'k', 'text' ], [ 'm', 'bigint' ] ],
		time => 'bigint',
		id => undef,
		columns => [
			{ name => 'x', type => 'numeric(36,6)', rule => 'sum', initial => '0' },
			{ name => 'y', type => 'int', rule => 'sum', lower => '0', initial => '3' },
			{ name => 'z', type => 'smallint', rule => 'max' },
			{ name => 'w', type => 'timestamptz', rule => 'min' },
			{ name => 'f', type => 'double precision', rule => 'last' },
			{ name => 'j', type => 'jsonb', rule => 'last', initial => '{}' } ]
	},
	{
		keys => [ [ 'k', 'uuid' ] ],
		time => 'timestamptz',
		id => 'bigint',
		columns => [
			{ name => 'u', type => 'smallint', rule => 'sum', upper => '9', initial => '0' },
			{ name => 'v', type => 'numeric(18,4)', rule => 'sum', initial => '-2.5' },
			{ name => 'a', type => 'int[]', rule => 'last' },
			{ name => 'c', type => 'int', rule => 'first' },
			{ name => 'q', type => 'boolean', rule => 'last' },
			{ name => 'd', type => 'numeric(30,0)', rule => 'min', initial => '5' } ]
	},
	{
		keys => [ [ 'k', 'int' ] ],
		time => 'timestamptz',
		id => 'text',
		columns => [
			{ name => 'f', type => 'double precision', values => 'tenths', rule => 'sum', scale => 2 },
			{ name => 'g', type => 'real', values => 'tenths', rule => 'sum', scale => 1, initial => '0.5', lower => '-5', upper => '9.5' },
			{ name => 'h', type => 'real', values => 'tenths', rule => 'min', scale => 3 },
			{ name => 'i', type => 'interval', values => 'span', rule => 'sum' },
			{ name => 'j', type => 'interval', values => 'span', rule => 'sum', initial => '1 month 1 day 01:00:00' },
			{ name => 'p', type => 'date', rule => 'min' },
			{ name => 'q', type => 'timestamp', rule => 'max', initial => '2020-05-14 12:00:00' },
			{ name => 'l', type => 'text', rule => 'min' },
			{ name => 'w', type => 'varchar(9)', values => 'word', rule => 'max', initial => 'a' } ]
	},
	{
		keys => [ [ 'k', 'int' ] ],
		time => 'timestamptz',
		id => 'text',
		columns => [
			{ name => 'e', type => 'double precision', values => 'tenths', rule => 'last', scale => 1, interpolate => 'linear' },
			{ name => 'g', type => 'int', rule => 'last', interpolate => 'linear', initial => '3' },
			{ name => 'p', type => 'numeric(18,3)', values => 'tenths', rule => 'last', rate => 'v', initial => '0' },
			{ name => 'v', type => 'numeric(9,6)', values => 'tenths', rule => 'last' },
			{ name => 's', type => 'bigint', rule => 'sum' } ]
	},
	{
		keys => [ [ 'k', 'int' ] ],
		time => 'bigint',
		id => undef,
		columns => [
			{ name => 'p', type => 'numeric(18,1)', values => 'tenths', rule => 'sum', rate => 'v' },
			{ name => 'v', type => 'numeric(9,2)', values => 'tenths', rule => 'sum', initial => '0.05' },
			{ name => 'q', type => 'bigint', rule => 'sum', rate => 'u', initial => '5' },
			{ name => 'u', type => 'smallint', rule => 'last', initial => '-1' },
			{ name => 'e', type => 'numeric(8,2)', values => 'tenths', rule => 'last', interpolate => 'linear' } ]
	});

sub create
{
	my ($s, $spec, $name) = @_;
	my @all = (
		(map { { name => $_->[0], type => $_->[1], options => "key 'true'" } } @{ $spec->{keys} }),
		{ name => 'at', type => $spec->{time}, options => "time 'true'" },
		@{ $spec->{columns} },
		($spec->{id} ? { name => 'id', type => $spec->{id}, options => "event_id 'true'" } : ()));
	my $t = { %$spec, name => $name, plain => "${name}_plain", all => \@all };
	my $bit = 1;
	for my $column (@all)
	{
		$column = { %$column, bit => $bit };
		$bit *= 2;
		$column->{options} //= join ', ', map { "$_ '$column->{$_}'" }
		  grep { defined $column->{$_} } qw(rule initial lower upper scale interpolate rate);
	}
	my @state = grep { $_->{rule} || $_->{name} eq 'id' } @all;
	my @keys = map { $_->[0] } @{ $spec->{keys} };
	$t->{state} = \@state;
	$t->{between} = grep { $_->{interpolate} || $_->{rate} } @state;
	$t->{names} = join ', ', map { $_->{name} } @all;
	$t->{key} = join ', ', @keys;
	$t->{at} = 'at';
	my $id = ($spec->{id} // '') eq 'text' ? 'id COLLATE "C"' : 'id';
	$t->{order} = tie_order($spec->{ties}, $spec->{id} && "e.$id") . 'row(' . join(', ', map { "e.$_->{name}" } @state) . ') USING *<, e.nul, e.cols';
	$t->{identity} = !$spec->{id} ? undef : $spec->{by_key} ? "$t->{key}, $id" : "$t->{key}, at, kind, $id";

	$s->run("CREATE FOREIGN TABLE $name ("
		  . join(', ', map { "$_->{name} $_->{type} OPTIONS ($_->{options})" } @all)
		  . ') SERVER contime' . options($spec->{ties} ? "ties '$spec->{ties}'" : (), $spec->{by_key} ? "identity 'key'" : ()));
	$s->run("CREATE TABLE $t->{plain} (" . join(', ', map { "$_->{name} $_->{type}" } @all)
		  . ', kind int, nul bigint, cols bigint)');
	reference($s, $t);
	return $t;
}

sub options { return @_ ? ' OPTIONS (' . join(', ', @_) . ')' : '' }

sub reference
{
	my ($s, $t) = @_;
	my ($name, $plain) = ($t->{name}, $t->{plain});
	create_fold($s, $t, $plain);

	# One event of each identity; the state after each event; the last state of each instant.
	$s->run("CREATE VIEW ${name}_events AS " . ($t->{identity}
	  ? "SELECT * FROM $plain WHERE id IS NULL UNION ALL
		 (SELECT DISTINCT ON ($t->{identity}) * FROM $plain e WHERE id IS NOT NULL
		  ORDER BY $t->{identity}, at, $t->{order})"
	  : "SELECT * FROM $plain"));
	$s->run("CREATE VIEW ${name}_steps AS
	SELECT $t->{key}, at, lead(at) OVER (PARTITION BY $t->{key} ORDER BY at) AS until, (state).*
	FROM (SELECT DISTINCT ON ($t->{key}, at) $t->{key}, at, state
		  FROM (SELECT $t->{key}, at, row_number() OVER sorted AS n, ${name}_fold(ROW(e.*)::$plain) OVER sorted AS state
				FROM ${name}_events e
				WINDOW sorted AS (PARTITION BY $t->{key} ORDER BY at, $t->{order} ROWS UNBOUNDED PRECEDING)) folded
		  ORDER BY $t->{key}, at, n DESC) steps");
}

# ---- events -----------------------------------------------------------------------------

sub instant
{
	my ($t, $n) = @_;
	$n //= int rand 30;
	return $t->{time} eq 'bigint' ? $n - 10 : sprintf "2020-01-01 00:%02d:00.%06d+00", $n / 2, $n % 2;
}

sub key
{
	my ($t, $n) = @_;
	$n //= int rand $t->{nkeys};
	return map { $_->[1] eq 'text' ? ('', 'k', 'K', 'ü' x 20)[ $n % 4 ] : $_->[1] eq 'uuid'
		  ? sprintf('%08x-0000-4000-8000-000000000000', $n) : $n - 2 } @{ $t->{keys} };
}

# A random event: { kind, v => { column => value or undef }, nul, cols }.
sub event
{
	my $t = shift;
	if (@{ $t->{past} } && chance(0.15))
	{
		my $old = pick(@{ $t->{past} });
		return $old if chance(0.5);				# an exact copy
		my $new = event($t);					# or other contents with that identity
		return $new if $new->{kind} != $old->{kind};
		$new = { %$new, v => { %{ $new->{v} } } };
		$new->{v}{$_} = $old->{v}{$_} for map({ $_->[0] } @{ $t->{keys} }), 'at', $t->{id} ? 'id' : ();
		if ($t->{id} && $new->{partial})
		{
			my $bit = $t->{state}[-1]{bit};
			$new->{cols} = defined $new->{v}{id} ? $new->{cols} | $bit : $new->{cols} & ~$bit;
		}
		return $new;
	}
	my $kind = chance(0.12) ? 2 : chance(0.08) ? 0 : 1;
	my ($nul, $cols, %v) = (0, 0);
	my $partial = $kind == 2 && chance(0.5);
	my @keys = key($t);
	$v{ $_->[0] } = shift @keys for @{ $t->{keys} };
	$v{at} = instant($t);
	for my $c (@{ $t->{state} })
	{
		my ($name, $is_id) = ($c->{name}, $c->{name} eq 'id');
		$v{$name} = undef;
		if ($is_id)
		{
			$v{id} = $c->{type} eq 'text' ? pick('a', 'b', 'B', 'é', 'long' x 10) : pick(-1, 0, 1, 5_000_000_000)
			  if chance(0.7);
			# If a partial snapshot has an id, it names that column, too.
			$cols |= $c->{bit} if $kind == 2 && (!$partial || defined $v{id});
			next;
		}
		if ($kind == 1)
		{
			if (chance(0.07)) { $nul |= $c->{bit} }
			elsif (chance(0.5)) { $v{$name} = value($c->{values} // $c->{type}) }
		}
		elsif ($kind == 2 && (!$partial || chance(0.5)))
		{
			$cols |= $c->{bit};
			next if chance(0.2);
			$v{$name} = value($c->{values} // $c->{type});
			$v{$name} = $c->{lower} if defined $c->{lower} && $v{$name} < $c->{lower};
			$v{$name} = $c->{upper} if defined $c->{upper} && $v{$name} > $c->{upper};
		}
	}
	my @named = grep { $cols & $_->{bit} && $_->{name} ne 'id' } @{ $t->{state} };
	return event($t) if $partial && !@named;
	my $e = { kind => $kind, v => \%v, nul => $nul, cols => $cols, partial => $partial,
		columns => [ map { $_->{name} } @named ],
		set_null => [ map { $_->{name} } grep { $nul & $_->{bit} } @{ $t->{state} } ] };
	push @{ $t->{past} }, $e;
	return $e;
}

sub row { my ($t, $e) = @_; return join ', ', map { quote($e->{v}{ $_->{name} }) } @{ $t->{all} } }

# The statements that record events in both tables.
sub record_plain
{
	my ($t, @events) = @_;
	return "INSERT INTO $t->{plain} VALUES "
	  . join(', ', map { '(' . row($t, $_) . ", $_->{kind}, $_->{nul}, $_->{cols})" } @events);
}

sub record_call
{
	my ($t, $e) = @_;
	my $state = 'ROW(' . row($t, $e) . ")::$t->{name}";
	return "SELECT contime.finish($state)" if $e->{kind} == 0;
	return "SELECT contime.event($state" . (@{ $e->{set_null} } ? ", set_null => '{" . join(',', @{ $e->{set_null} }) . "}'" : '') . ')'
	  if $e->{kind} == 1;
	return "SELECT contime.snapshot($state" . ($e->{partial} ? ", columns => '{" . join(',', @{ $e->{columns} }) . "}'" : '') . ')';
}

sub copy_value
{
	my $value = shift // return '\N';
	$value =~ s/\\/\\\\/g;
	return $value;
}

sub record
{
	my ($t, $count, $no_copy) = @_;
	my @events = map { event($t) } 1 .. $count // 1 + int rand 6;
	my @simple = grep { $_->{kind} == 1 && !$_->{nul} } @events;
	my @calls = grep { !($_->{kind} == 1 && !$_->{nul}) } @events;
	my @sql;
	if (@simple)
	{
		my $how = int rand($no_copy ? 3 : 4);
		my $columns = $t->{names};
		if ($how == 0)
		{
			push @sql, record_plain($t, @simple),
			  "INSERT INTO $t->{name} ($columns) VALUES " . join(', ', map { '(' . row($t, $_) . ')' } @simple);
		}
		elsif ($how == 1)	# one statement for both
		{
			push @sql, 'WITH w AS (' . record_plain($t, @simple) . " RETURNING *) INSERT INTO $t->{name} SELECT $columns FROM w";
		}
		elsif ($how == 2) { push @sql, record_plain($t, @simple), map { record_call($t, $_) } @simple }
		else
		{
			push @sql, "COPY $t->{name} ($columns) FROM STDIN;\n"
			  . join('', map { my $e = $_; join("\t", map { copy_value($e->{v}{ $_->{name} }) } @{ $t->{all} }) . "\n" } @simple)
			  . "\\.\n", record_plain($t, @simple);
		}
	}
	push @sql, record_plain($t, @calls), map { record_call($t, $_) } @calls if @calls;
	return @sql;
}

# Statements, separated by semicolons; the data of COPY ends with \.
sub script { return join "\n", map { /\\\.\n$/ ? $_ : "$_;" } @_ }

# ---- comparisons ---------------------------------------------------------------------------

my ($comparisons, $differences, $tests, $failed) = (0, 0, 0, 0);

sub ok
{
	my ($good, $name) = @_;
	$tests++;
	$failed++ unless $good;
	print $good ? '' : 'not ', "ok $tests - $name\n";
}

# A query that returns "comparisons|differences|one of the differences".
sub difference_sql
{
	my ($t, $want, $got, $on) = @_;
	return "SELECT count(*), count(*) FILTER (WHERE want::text IS DISTINCT FROM got::text),
	  (array_agg('want ' || coalesce(want::text, 'no row') || ' got ' || coalesce(got::text, 'no row'))
	   FILTER (WHERE want::text IS DISTINCT FROM got::text))[1]
	FROM ($want) want FULL JOIN ($got) got ON " . join(' AND ', map { "want.$_ = got.$_" } split(', ', $on));
}

sub literal { my ($t, @instants) = @_; return join ', ', map { "'$_'::$t->{time}" } @instants }

# Every key at these instants; the continuous table is read by one of many forms of queries.
sub slices_sql
{
	my ($t, @instants) = @_;
	my ($name, $key) = ($t->{name}, $t->{key});
	my $state = join ', ', map { $_->{name} } @{ $t->{state} };
	my $probe = '(SELECT unnest(ARRAY[' . literal($t, @instants) . ']) AS at)';
	my $at = $t->{time} eq 'bigint' ? 'at_tick' : 'at';
	my @all = map { my @k = key($t, $_); '(' . join(', ', map { quote($_) . '::' . $t->{keys}[0][1] } $k[0]) . ')' } 0 .. $t->{nkeys} - 1;
	my @shapes = (
		sub { "SELECT $key, at, $state FROM $name WHERE at = ANY(ARRAY[" . literal($t, @instants) . '])' },
		sub { "SELECT $key, at, $state FROM $name WHERE at IN (" . literal($t, @instants) . ')' },
		sub { join ' UNION ALL ', map { "SELECT $key, at, $state FROM $name WHERE at = " . literal($t, $_) } @instants },
		sub { "SELECT $key, c.at, $state FROM $probe p JOIN $name c ON c.at = p.at" },
		sub { "SELECT $key, c.at, $state FROM $probe p, contime.$at(NULL::$name, p.at) c" },
		@{ $t->{keys} } > 1 ? () : (
			sub { "SELECT c.$key, c.at, $state FROM $probe p CROSS JOIN (VALUES " . join(', ', @all) . ") all_keys(k) JOIN $name c ON c.k = all_keys.k AND c.at = p.at" },
			sub { "SELECT c.$key, c.at, $state FROM $probe p CROSS JOIN (VALUES " . join(', ', @all) . ") all_keys(k) CROSS JOIN LATERAL contime.$at(NULL::$name, p.at, all_keys.k) c" }));
	return difference_sql($t,
		"SELECT $key, p.at, " . shown($t, 'p.at') . " FROM $probe p JOIN ${name}_steps s ON s.at <= p.at AND (s.until > p.at OR s.until IS NULL) WHERE present",
		pick(@shapes)->(), "$key, at");
}

# Reads of now: queries that name no instant. A logical clock is at the newest tick that the snapshot sees.
sub now_sql
{
	my ($t, $session) = @_;
	my $state = join ', ', map { $_->{name} } @{ $t->{state} };
	my $ticks = $t->{time} eq 'bigint';
	my $now = $ticks ? "(SELECT max(at) FROM $t->{name}_events)"
	  : $session->{level} && $session->{level} ne 'READ COMMITTED' ? 'transaction_timestamp()' : 'statement_timestamp()';
	my ($at, $tick) = $ticks && chance(0.7) ? ("$now AS at, ", 'at, ') : ('', '');
	return difference_sql($t,
		"SELECT $t->{key}, $at" . shown($t, $now) . " FROM $t->{name}_steps s WHERE at <= $now AND (until > $now OR until IS NULL) AND present",
		"SELECT $t->{key}, $tick$state FROM $t->{name}", $t->{key});
}

# (If columns change between events, the rows of a history are not simply the reference's steps.)
sub has_histories { return !$_[0]{between} }

# The name and the type of a table's range function, and the values that mean an open end: NULL or, of timestamps, infinity.
sub history_of
{
	my ($t) = @_;
	return $t->{time} eq 'bigint' ? ('history_tick', 'int8range', 'NULL', 'NULL')
	  : ('history', 'tstzrange', map { pick('NULL', quote($_)) } '-infinity', 'infinity');
}

# A history as a relation: `nth` counts the rows of a key in their order.
sub history_rows
{
	my ($t, @args) = @_;
	my ($function) = history_of($t);
	my $key = join ', ', map { "(state).$_->[0]" } @{ $t->{keys} };
	my $state = join ', ', map { "(state).$_->{name}" } @{ $t->{state} };
	return "SELECT (state).at AS starts, during, row_number() OVER (PARTITION BY $key ORDER BY n) AS nth, $key, $state"
	  . " FROM contime.$function(" . join(', ', "NULL::$t->{name}", @args) . ') WITH ORDINALITY h (during, state, n)';
}

# Some of the columns, or undef for all; and the option that says so.
sub some_columns
{
	my ($t) = @_;
	return (undef, ()) if chance(0.5);
	my @some = grep { chance(0.5) } map { $_->{name} } @{ $t->{state} };
	return (\@some, 'columns => ' . quote('{' . join(',', @some) . '}'));
}

# The history of a key, or of all keys: the reference's steps in [from, to), with equal neighbours merged. Either end may be open.
sub history_sql
{
	my ($t, $n) = @_;
	my ($name, $key) = ($t->{name}, $t->{key});
	my ($from, $to) = sort { $a <=> $b } int(rand 31) - 1, int(rand 32);
	$to++ if $from == $to;
	($from, $to) = (0, 59) if chance(0.3);
	my (undef, $range, $open_from, $open_to) = history_of($t);
	my ($least, $greatest) = map { quote($_) . "::$t->{time}" } $t->{time} eq 'bigint' ? qw(-9223372036854775808 9223372036854775807) : qw(-infinity infinity);
	($from, $to) = map { quote($t->{time} eq 'bigint' ? $_ - 10 : sprintf '2020-01-01 %s%02d:%02d:00+00',
			$_ < 0 ? ('', 0, 0) : ('', $_ / 60, $_ % 60)) . "::$t->{time}" } $from, $to;
	my ($got_from, $got_to) = ($from, $to);
	($from, $got_from) = ($least, $open_from) if chance(0.3);
	($to, $got_to) = ($greatest, $open_to) if chance(0.3);
	my $k = defined $n ? quote((key($t, $n))[0]) . '::' . $t->{keys}[0][1] : undef;
	my $of = defined $k ? "$key = $k" : 'true';
	my ($some, @options) = defined $k ? some_columns($t) : ();
	my $backward = defined $k && chance(0.5);
	push @options, 'newest_first => ' . ($backward ? 'true' : pick('false', 'NULL')) if defined $k && ($backward || chance(0.2));
	my %shown = map { $_ => 1 } $some ? @$some : map { $_->{name} } @{ $t->{state} };
	my @shown = grep { $shown{ $_->{name} } } @{ $t->{state} };
	my $compared = join ', ', 'true', map { $_->{name} } @shown;
	my $state = join ', ', map { $shown{ $_->{name} } ? $_->{name} : "NULL::$_->{type} AS $_->{name}" } @{ $t->{state} };
	my $all = join ', ', map { $_->{name} } @{ $t->{state} };
	return difference_sql($t,
		"SELECT min(starts) AS starts, $range(min(starts), nullif(max(ends), $greatest)) AS during,
			row_number() OVER (PARTITION BY $key ORDER BY min(starts)" . ($backward ? ' DESC' : '') . ") AS nth, $key, $state
		 FROM (SELECT *, sum(fresh::int) OVER (PARTITION BY $key ORDER BY starts) AS run
			   FROM (SELECT greatest(at, $from) AS starts, least(until, $to) AS ends, $key, $all,
							lag(until) OVER w IS DISTINCT FROM at OR NOT row($compared) *= lag(row($compared)) OVER w AS fresh
					 FROM ${name}_steps WHERE $of AND present AND at < $to AND (until > $from OR until IS NULL)
					 WINDOW w AS (PARTITION BY $key ORDER BY at)) cut) runs
		 GROUP BY $key, run" . join('', map { $_->{type} =~ /^json$/ ? ", $_->{name}::text" : ", $_->{name}" } @shown),
		history_rows($t, $k // (), $got_from, $got_to, @options), "$key, starts");
}

# A key's history from the latest to the earliest is the other one backward, also where columns change between events.
sub backward_sql
{
	my ($t, $n) = @_;
	my ($from, $to) = map { quote($t->{time} eq 'bigint' ? $_ - 10 : sprintf '2020-01-01 00:%02d:30+00', $_) } sort { $a <=> $b } int(rand 31), int(rand 31);
	my (undef, undef, $open_from, $open_to) = history_of($t);
	my @args = (quote((key($t, $n))[0]) . '::' . $t->{keys}[0][1], chance(0.4) ? $open_from : $from, chance(0.4) ? $open_to : $to);
	my (undef, @columns) = some_columns($t);
	my $state = join ', ', $t->{key}, map { $_->{name} } @{ $t->{state} };
	return difference_sql($t, "SELECT starts, during, 1 + count(*) OVER () - nth AS nth, $state FROM (" . history_rows($t, @args, @columns) . ') h',
		history_rows($t, @args, @columns, 'newest_first => true'), "$t->{key}, starts");
}

# The latest event of each key (of a table with one key column), and of all keys.
sub latest_sql
{
	my ($t) = @_;
	my ($name, $key) = ($t->{name}, $t->{key});
	my $latest = $t->{time} eq 'bigint' ? 'contime.latest_tick' : 'contime.latest';
	my ($want, $got) = ("SELECT 0 AS one, max(at) FROM ${name}_events", "SELECT 0 AS one, $latest(NULL::$name)");
	return difference_sql($t, $want, $got, 'one') if @{ $t->{keys} } > 1 || chance(0.3);
	return difference_sql($t, "SELECT $key, max(at) FROM ${name}_events GROUP BY $key",
		"SELECT $key, $latest(NULL::$name, $key) FROM (SELECT DISTINCT $key FROM ${name}_events) k", $key);
}

# A comparison is { what, sql }.
sub compare
{
	my ($session, $what, $sql) = @_;
	return tally($session, { what => $what, sql => $sql }, $session->run($sql));
}

sub tally
{
	my ($session, $check, $line) = @_;
	my ($compared, $different, $example) = split /\|/, ($line // ''), 3;
	die "$session->{name}: $check->{what}: no answer to $check->{sql}\n" unless defined $different;
	$comparisons += $compared;
	return 1 unless $different;
	if (!$differences)
	{
		open my $file, '>', 'law-script.sql' or die "law-script.sql: $!";
		print $file @Session::script, "-- $session->{name}: $check->{what}: $line\n";
		close $file;
		print "# by: $check->{sql}\n";
	}
	$differences += $different;
	print "# $session->{name}: $check->{what}: $different of $compared differ: ", substr($example, 0, 600), "\n";
	return 0;
}

# One of many comparisons.
sub some_check
{
	my ($t, $session) = @_;
	my $kind = rand();
	return { what => 'now', sql => now_sql($t, $session) } if $kind < 0.15;
	return { what => 'history', sql => history_sql($t, @{ $t->{keys} } == 1 && chance(0.6) ? int rand $t->{nkeys} : undef) } if $kind < 0.4 && has_histories($t);
	return { what => 'history backward', sql => backward_sql($t, int rand $t->{nkeys}) } if $kind < 0.4 && @{ $t->{keys} } == 1;
	return { what => 'latest', sql => latest_sql($t) } if $kind < 0.48;
	return { what => 'slices', sql => slices_sql($t, map { instant($t) } 1 .. 1 + int rand 4) };
}

sub compare_all
{
	my ($t, $session, $when) = @_;
	my $before = $differences;
	my @instants = map { instant($t, $_) } 0 .. 29;
	compare($session, $when, slices_sql($t, splice @instants, 0, 6)) while @instants;
	compare($session, $when, now_sql($t, $session));
	compare($session, $when, latest_sql($t));
	if (has_histories($t))
	{
		compare($session, $when, history_sql($t, $_)) for undef, @{ $t->{keys} } == 1 ? 0 .. $t->{nkeys} - 1 : ();
	}
	elsif (@{ $t->{keys} } == 1)
	{
		compare($session, $when, backward_sql($t, $_)) for 0 .. $t->{nkeys} - 1;
	}
	return $differences == $before;
}

# ---- steps --------------------------------------------------------------------------------

my @sessions;
my @prepared;	# names of transactions
my $failures = 0;

# A session's next step: its statements, and what they compare.
sub step
{
	my ($tables, $s) = @_;
	my $dice = rand();
	my $t = pick(@$tables);
	my $check = some_check($t, $s);
	return outside($tables, $t, $s, $check, $dice) unless $s->{level};
	return record($t, undef, $s->{level} eq 'SERIALIZABLE') if $dice < 0.40;
	return ($check) if $dice < 0.65;
	return 'SAVEPOINT p' . $s->{savepoints}++ if $dice < 0.73;
	if ($dice < 0.81)
	{
		return ($check) unless $s->{savepoints};
		my $to = int rand $s->{savepoints};
		my $back = chance(0.7);
		$s->{savepoints} = $to + $back;
		return $back ? "ROLLBACK TO p$to" : "RELEASE p$to";
	}
	if ($dice < 0.86)	# an exception block: all of its events count, or none
	{
		my @sql = record($t, 2, 1);
		s/^SELECT /PERFORM / for @sql;
		push @sql, "RAISE 'on purpose'" if chance(0.6);
		return 'DO $block$ BEGIN' . "\n" . script(@sql) . "\nEXCEPTION WHEN raise_exception THEN NULL; END \$block\$";
	}
	if ($dice < 0.89 && !$s->{cursor} && !$s->{savepoints})
	{
		$s->{cursor} = { what => 'cursor', sql => slices_sql($t, map { instant($t) } 1 .. 3) };
		return "DECLARE c NO SCROLL CURSOR FOR $s->{cursor}{sql}";
	}
	return fetch($s, 'CLOSE c') if $dice < 0.92 && $s->{cursor} && !$s->{savepoints};
	return finish_transaction($tables, $s, $dice < 0.97 ? 'COMMIT' : 'ROLLBACK');
}

# No transaction is open.
sub outside
{
	my ($tables, $t, $s, $check, $dice) = @_;
	if ($dice < 0.45)
	{
		$s->{level} = pick('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'REPEATABLE READ', 'SERIALIZABLE');
		$s->{savepoints} = 0;
		return ("BEGIN ISOLATION LEVEL $s->{level}", chance(0.5) ? some_check($t, $s) : ());	# takes the snapshot
	}
	if ($dice < 0.55 && @prepared)
	{
		my $name = splice @prepared, int rand @prepared, 1;
		return (chance(0.7) ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$name'";
	}
	return ('BEGIN', map({ record($_) } chance(0.5) ? $t : @$tables), 'COMMIT') if $dice < 0.75;
	return ($check);
}

# The cursor sees what its snapshot sees, which is older than that of other statements.
sub fetch
{
	my ($s, @then) = @_;
	my $cursor = delete $s->{cursor};
	return @then unless $cursor && !$s->{savepoints};
	return ({ what => 'cursor', sql => 'FETCH ALL FROM c', of => $cursor->{sql} }, @then);
}

my $serial = 0;

sub finish_transaction
{
	my ($tables, $s, $how) = @_;
	my @step = (fetch($s), chance(0.5) ? some_check(pick(@$tables), $s) : ());
	if ($how eq 'COMMIT' && @prepared < 5 && chance(0.2))
	{
		$how = "PREPARE TRANSACTION 'law " . ++$serial . "'";
	}
	$s->{level} = undef;
	return (@step, $how);
}

# Run these steps, each [ session, step ], concurrently; roll back a transaction that cannot be serialized.
sub run_steps
{
	my @steps = @_;
	for (@steps)
	{
		my ($s, @parts) = @$_;
		$s->send(map { ref $_ ? $_->{sql} : $_ } @parts);
	}
	for (@steps)
	{
		my ($s, @parts) = @$_;
		my @lines = $s->receive;
		my @answers;
		push @answers, shift @lines while @lines && $lines[0] !~ /(ERROR|FATAL|PANIC):/;
		my @checks = grep { ref $_ } @parts;
		push @prepared, $1 if !@lines && $parts[-1] =~ /^PREPARE TRANSACTION '(.*)'/;
		if (@lines)
		{
			die "$s->{name}: $s->{sql}\n" . join("\n", @lines) . "\n" unless $lines[0] =~ /ERROR: +40001:/;
			$failures++;
			$#checks = $#answers;
			$s->{level} = $s->{cursor} = undef;
			$s->run('ROLLBACK');
		}
		tally($s, $_, shift @answers) for @checks;
	}
}

# ---- a round ------------------------------------------------------------------------------

# Wait, up to a limit, until all events have entered and are frozen.
sub wait_frozen
{
	my ($s, $t) = @_;
	for (1 .. 600)
	{
		my ($left) = $s->run("SELECT coalesce(sum(recent + young), 0) FROM contime.tables WHERE \"table\" = '$t->{name}'::regclass");
		return 1 if $left == 0;
		select undef, undef, undef, 0.05;
	}
	return 0;
}

sub accounted
{
	my ($s, $t) = @_;
	my ($line) = $s->run("SELECT (SELECT count(*) FROM $t->{plain}), coalesce(sum(recent + young + frozen + duplicates + conflicts), 0),
		coalesce(sum(duplicates + conflicts), 0), "
		. ($t->{identity} ? "(SELECT count(*) - count(DISTINCT ($t->{identity})) FROM $t->{plain} WHERE id IS NOT NULL)" : '0')
		. " FROM contime.tables WHERE \"table\" = '$t->{name}'::regclass");
	my ($inserted, $kept, $dropped, $copies) = split /\|/, $line;
	print "# $t->{name}: $inserted inserted, $kept accounted for; $copies copies, $dropped of them dropped\n"
	  if $inserted != $kept || $dropped != $copies;
	return $inserted == $kept && $dropped == $copies;
}

my $settings = "SET client_min_messages = error; SET timezone = 'UTC'";
my $admin = Session->new('admin', $settings);
@sessions = map { Session->new("session $_", $settings) } 1 .. 4;
$admin->run('CREATE EXTENSION IF NOT EXISTS contime');

sub round
{
	my $round = shift;
	srand($seed + $round);
	my $deep = ($round - 1) / @specs % 2;	# every second cycle of rounds begins with a longer history
	my $at_once = $round % 3 == 0;
	my @tables = map {
		my $spec = $specs[ ($round - 1 + $_) % @specs ];
		create($admin, { %$spec, nkeys => pick(1, 3, 4), past => [], ties => $spec->{id} && pick(undef, 'kind', 'event_id'), by_key => $spec->{id} && chance(0.4) }, "law_${round}_$_")
	} 0 .. chance(0.4);
	my $before = $differences;

	for my $t (@tables)
	{
		$admin->run('BEGIN', record($t, 150), 'COMMIT') for 1 .. $deep * 10;
	}
	for (my $n = 0; $n < $steps;)
	{
		my @who = $at_once ? grep { chance(0.7) } @sessions : pick(@sessions);
		run_steps(map { [ $_, step(\@tables, $_) ] } @who);
		$n += @who;
	}
	for my $s (grep { $_->{level} } @sessions)
	{
		run_steps([ $s, finish_transaction(\@tables, $s, chance(0.7) ? 'COMMIT' : 'ROLLBACK') ]);
	}
	$admin->run((chance(0.7) ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$_'") for splice @prepared;
	ok($differences == $before, "round $round: concurrent sessions find no difference");
	ended($round, $_) for @tables;
}

# All transactions on a table have ended.
sub ended
{
	my ($round, $t) = @_;
	ok(compare_all($t, $admin, 'all ended'), "round $round: no difference when all transactions have ended");
	ok(wait_frozen($admin, $t), "round $round: all events enter and freeze");
	ok(accounted($admin, $t), "round $round: the counters account for every committed event");
	ok(compare_all($t, $admin, 'frozen'), "round $round: no difference when all events are frozen");

	# The committed events again, in another order, some of them rolled back first.
	$admin->run("DROP VIEW $t->{name}_steps, $t->{name}_events; DROP AGGREGATE $t->{name}_fold($t->{plain}); DROP FUNCTION $t->{name}_step; DROP TYPE $t->{name}_state");
	my $again = create($admin, { %$t }, "$t->{name}_again");
	my @committed = read_plain($admin, $t);
	for (my $i = @committed - 1; $i > 0; $i--)
	{
		my $j = int rand($i + 1);
		@committed[ $i, $j ] = @committed[ $j, $i ];
	}
	while (my @some = splice @committed, 0, 1 + int rand 40)
	{
		my @sql = (record_plain($again, @some), map { record_call($again, $_) } @some);
		run_steps([ pick(@sessions), chance(0.2) ? ('BEGIN', @sql, 'ROLLBACK') : (), 'BEGIN', @sql, 'COMMIT' ]);
	}
	ok(same_states($admin, $t, $again), "round $round: the permuted history gives the same states");
	ok(compare_all($again, $admin, 'permuted'), "round $round: no difference for the permuted history");
	ok(wait_frozen($admin, $again) && same_states($admin, $t, $again), "round $round: the permuted history gives the same states when frozen");
	ok(accounted($admin, $again), "round $round: the counters account for every event of the permuted history");
	$admin->run("DROP FOREIGN TABLE $t->{name}, $again->{name} CASCADE; DROP TABLE $t->{plain}, $again->{plain} CASCADE");
}

# The committed events of the ordinary table, as event() makes them.
sub read_plain
{
	my ($s, $t) = @_;
	my @events;
	my $columns = join ', ', map { "encode(convert_to($_->{name}::text, 'UTF8'), 'hex')" } @{ $t->{all} };
	for my $line ($s->run("SELECT concat_ws('|', kind, nul, cols), " . join(', ', map { "coalesce($_, '-')" } split /, (?=encode)/, $columns) . " FROM $t->{plain}"))
	{
		my ($kind, $nul, $cols, @values) = split /\|/, $line, -1;
		my %v;
		$v{ $_->{name} } = do { my $hex = shift @values; $hex eq '-' ? undef : pack('H*', $hex) } for @{ $t->{all} };
		my @named = grep { $cols & $_->{bit} && $_->{name} ne 'id' } @{ $t->{state} };
		push @events, { kind => $kind, nul => $nul, cols => $cols, v => \%v,
			partial => scalar(grep { !($cols & $_->{bit}) } @{ $t->{state} }),
			columns => [ map { $_->{name} } @named ],
			set_null => [ map { $_->{name} } grep { $nul & $_->{bit} } @{ $t->{state} } ] };
	}
	return @events;
}

# Do two continuous tables have the same rows at every instant of the domain?
sub same_states
{
	my ($s, $t, $other) = @_;
	my $instants = literal($t, map { instant($t, $_) } 0 .. 29);
	my ($a, $b) = map { "SELECT $_->{key}, at, " . join(', ', map { $_->{name} } @{ $t->{state} })
		  . " FROM $_->{name} WHERE at = ANY(ARRAY[$instants])" } $t, $other;
	return compare($s, 'permuted', difference_sql($t, $a, $b, "$t->{key}, at"));
}

for my $round ($ENV{CT_ROUND} // 1 .. $rounds)
{
	round($round);
	@Session::script = ();
}
$_->quit for @sessions, $admin;
print "1..$tests\n";
print "# $Session::statements statements, $failures of them not serializable; $comparisons comparisons, $differences differences (CT_SEED=$seed)\n";
exit($failed || $differences ? 1 : 0);
