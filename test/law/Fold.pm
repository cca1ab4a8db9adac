# Fold.pm: the law as plain SQL: the effect of an event on a state, and the columns of a state between events. Used by law.pl and durable.pl.
#
# A table is a hash: name; time (its type) and at (its column); key (the names of its key columns); state, a list of columns with
# name, type, bit, and rule, initial, lower, upper, scale, interpolate, rate as they are declared; order, the order of events e of
# an instant. Events are rows with the columns of the table and kind (0 finish, 1 event, 2 snapshot), nul (the bits of columns that
# an event makes NULL) and cols (of those that a snapshot sets).
package Fold;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(create_fold shown tie_order);

# The order of events of an instant up to their content, by option ties and the event id as an expression, if there is one.
sub tie_order
{
	my ($ties, $id) = @_;
	return 'e.kind, ' unless $id;
	return ($ties // 'kind') eq 'event_id' ? "$id NULLS FIRST, e.kind, " : "e.kind, $id NULLS LAST, ";
}

sub quote { return defined $_[0] ? "'$_[0]'" : 'NULL' }

# Create the aggregate NAME_fold over rows of this type, to be called in the order of events; it returns a NAME_state.
sub create_fold
{
	my ($s, $t, $rows) = @_;
	my ($name, @state) = ($t->{name}, @{ $t->{state} });
	my %does = (
		last => sub { 'e.%1$s' },
		sum => sub {
			my $c = shift;
			my $exactly = $c->{rate} || $c->{type} =~ /^(real|double precision)$/ ? '::numeric' : '';
			my $sum = 'coalesce(x.%1$s, ' . quote($c->{initial} // 0) . ")$exactly + e.%1\$s$exactly";
			$sum = "greatest($sum, $c->{lower})" if defined $c->{lower};
			$sum = "least($sum, $c->{upper})" if defined $c->{upper};
			return $sum;
		},
		min => sub { 'least(coalesce(x.%1$s, ' . quote($_[0]{initial}) . '), e.%1$s)' },
		first => sub { 'coalesce(x.%1$s, e.%1$s)' },
		max => sub { 'greatest(coalesce(x.%1$s, ' . quote($_[0]{initial}) . '), e.%1$s)' });

	# For a linear column also the instant at which it was set; for a column with a rate its value at the last event, and that event's instant.
	my @linear = grep { $_->{interpolate} } @state;
	my @moving = grep { $_->{rate} } @state;
	$s->run("CREATE TYPE ${name}_state AS (present boolean, "
		  . join(', ', map { "$_->{name} " . ($_->{rate} ? 'numeric' : $_->{type}) } @state)
		  . join('', map { ", $_->{name}_set $t->{time}" } @linear) . ", moved $t->{time})");
	$s->run("CREATE FUNCTION ${name}_step(x ${name}_state, e $rows) RETURNS ${name}_state LANGUAGE plpgsql AS \$\$ BEGIN
	IF e.kind = 0 THEN RETURN NULL; END IF;                 -- finish: no row
	IF x.present IS NULL THEN                               -- a new life, from initial
		x := ROW(true, " . join(', ', map { quote($_->{initial}) } @state) . ', NULL' x @linear . ", e.$t->{at})::${name}_state;
	END IF;\n"
	  . join('', map { "\tx.$_->{name} := " . moved($t, $_, 'x', "e.$t->{at}") . ";\n" } @moving)
	  . "	x.moved := e.$t->{at};
	IF e.kind = 1 THEN                                      -- an event: NULL is unchanged\n"
	  . join('', map {
			sprintf "\t\tx.%1\$s := CASE WHEN e.nul & $_->{bit} <> 0 THEN NULL WHEN e.%1\$s IS NULL THEN x.%1\$s ELSE "
			  . $does{ $_->{rule} // 'last' }->($_) . " END;\n", $_->{name} } @state)
	  . "	ELSE                                                -- a snapshot: NULL is NULL\n"
	  . join('', map { sprintf "\t\tx.%1\$s := CASE WHEN e.cols & $_->{bit} <> 0 THEN e.%1\$s ELSE x.%1\$s END;\n", $_->{name} } @state)
	  . "	END IF;\n"
	  . join('', map { "\tIF e.$_->{name} IS NOT NULL THEN x.$_->{name}_set := e.$t->{at}; END IF;\n" } @linear)
	  . "	RETURN x;
END \$\$");
	$s->run("CREATE AGGREGATE ${name}_fold($rows) (SFUNC = ${name}_step, STYPE = ${name}_state)");
	return;
}

# The time from one instant to another, in seconds or ticks.
sub time_between
{
	my ($t, $from, $to) = @_;
	return $t->{time} eq 'bigint' ? "($to - $from)::numeric" : "extract(epoch FROM $to - $from)";
}

# The exact value of a column with a rate at an instant.
sub moved
{
	my ($t, $c, $x, $at) = @_;
	return "$x.$c->{name} + coalesce($x.$c->{rate}, 0)::numeric * " . time_between($t, "$x.moved", $at);
}

# The columns at an instant after state s, which has the key columns as well. At an infinite instant there is no next event, and a
# column with a rate has its value at the last event.
sub shown
{
	my ($t, $at, $unbounded) = @_;
	my @shown;
	for my $c (@{ $t->{state} })
	{
		my ($name, $type) = ($c->{name}, $c->{type});
		my $scale = $c->{scale} // ($type =~ /,\s*(\d+)\)/ ? $1 : 0);
		if ($c->{rate}) { push @shown, 'round(' . ($unbounded ? "s.$name" : moved($t, $c, 's', $at)) . ", $scale)::$type AS $name" }
		elsif ($c->{interpolate} && !$unbounded)
		{
			# The line ends at the next event that sets the column; before a finish, or NULL, the value is constant.
			my $next = join ' AND ', map({ "e.$_ = s.$_" } split /, /, $t->{key}), "e.$t->{at} > $at",
			  "(e.kind = 0 OR e.$name IS NOT NULL OR (CASE e.kind WHEN 1 THEN e.nul ELSE e.cols END) & $c->{bit} <> 0)";
			push @shown, "coalesce((SELECT round(s.$name\::numeric + (n.$name\::numeric - s.$name\::numeric) * 1.000000000000000000000000 * "
			  . time_between($t, "s.${name}_set", $at) . ' / ' . time_between($t, "s.${name}_set", "n.$t->{at}") . ", $scale)::$type
				FROM (SELECT e.* FROM $t->{name}_events e WHERE $next ORDER BY e.$t->{at}, $t->{order} LIMIT 1) n), s.$name) AS $name";
		}
		else { push @shown, "s.$name" }
	}
	return join ', ', @shown;
}

1;
