#!/usr/bin/perl
#
# fuzz.pl
#	  Random queries over continuous tables, compared with ordinary ones.
#
# The ordinary tables hold a row for every instant of a small domain, so each
# query has a known answer.  A continuous table must give the same rows, or
# refuse the query cleanly: SQLSTATE 0A000 with a hint.  Anything else, above
# all an internal error of the planner, counts as wrong.  Each query runs under
# several planner settings, and in several wrappers: prepared with a generic
# plan, as a cursor, in a function.
#
#	  fuzz.pl [--seed N] [--queries N] [--unprotected] [--verbose]
#
# Connects as psql does (PGHOST, PGPORT, PGDATABASE, PGUSER) and works in the
# schemas contime_fuzz_c and contime_fuzz_o, which it drops first.  With
# --unprotected, which needs a build with assertions, queries that should be
# refused are answered; the run fails unless it finds wrong answers.
#
# A query text is run for both kinds of tables: they have the same names in two
# schemas, and search_path selects one.  Views named "..._now" read
# without a condition on the time: the last instant, or that of contime.at.
# Tables "..._d" and one partition are durable: ordinary tables hold their events.
#
# At the end it prints how many queries were accepted, refused and wrong; a run
# in which fewer than half of the accepted ones returned rows fails, too.
use strict;
use warnings;
use Getopt::Long;
use IPC::Open2;

my $seed = time ^ $$;
my $queries = 300;
my $unprotected = 0;
my $verbose = 0;
my $show;
GetOptions(
	'seed=i' => \$seed,
	'queries=i' => \$queries,
	'unprotected' => \$unprotected,
	'verbose' => \$verbose,
	'show' => \$show) or die "usage: fuzz.pl [--seed N] [--queries N] [--unprotected] [--verbose]\n";

my $INSTANTS = 10;    # the domain: instants 0 .. 9
my $IDS = 4;

# ---- psql ------------------------------------------------------------------

my ($out, $in, $pid);

sub start_psql
{
	$pid = open2($out, $in, 'psql -X -q -A -t -v ON_ERROR_STOP=0 2>&1')
	  or die "cannot run psql: $!\n";
	ask('\set VERBOSITY verbose
		SET client_min_messages = error;
		SET timezone = \'UTC\';
		SET statement_timeout = \'10s\';');
	ask('SET contime.debug_unprotected = on;') if $unprotected;
}

# Run SQL and return the lines it prints.
sub ask
{
	my ($sql) = @_;
	my @lines;

	print $in "$sql\n;\n\\echo --done--\n";
	while (my $line = <$out>)
	{
		chomp $line;
		return @lines if $line eq '--done--';
		push @lines, $line;
	}
	die "psql has gone: the server may have crashed\n" . join("\n", @lines) . "\n";
}

# Rows in a canonical order, or the error.
sub answer
{
	my @lines = ask(@_);
	my @error = grep { /^(psql:.*)?(ERROR|FATAL|PANIC):/ } @lines;

	return { error => $error[0], text => join("\n", @lines) } if @error;
	return { rows => join("\n", sort @lines) };
}

# ---- tables ------------------------------------------------------------------

sub pick { return $_[ int rand @_ ]; }
sub chance { return rand() < $_[0]; }

# Instants as literals, by the kind of clock.
sub literal
{
	my ($clock, $instant) = @_;

	return $clock eq 'tick' ? "$instant"
	  : sprintf "'2026-03-%02d 00:00+00'::timestamptz", $instant + 1;
}

sub make_tables
{
	my $c = 'contime_fuzz_c';
	my $o = 'contime_fuzz_o';

	answer("DROP SCHEMA IF EXISTS $c, $o CASCADE");
	must("CREATE SCHEMA $c; CREATE SCHEMA $o;");
	for my $clock ('tick', 'day')
	{
		my $type = $clock eq 'tick' ? 'bigint' : 'timestamptz';
		my $columns = 'id %s, at %s, v int %s, w int %s';
		my $continuous = sprintf "id bigint OPTIONS (key 'true'), at $type OPTIONS (time 'true'),"
		  . " v int OPTIONS (rule 'sum', initial '0'), w int";
		my $ordinary = "id bigint, at $type, v int, w int";

		for my $name ('a', 'b', 'd', 'p1', 'p2')
		{
			make_pair($clock, "${clock}_$name", $continuous, $ordinary,
				$name eq 'p1' ? [ 1, 2 ] : $name eq 'p2' ? [ 3, 4 ] : [ 1 .. $IDS ],
				$name =~ /^(d|p2)$/);
		}
		make_sources($clock, $type);
		make_views($clock);
	}
	must("ANALYZE $o." . pick('tick_x', 'day_x'));
}

# A continuous table, and an ordinary one with its expected rows at every instant.
sub make_pair
{
	my ($clock, $name, $continuous, $ordinary, $ids, $durable) = @_;
	my @events;
	my %used;

	for (1 .. 10)
	{
		my ($id, $at) = (pick(@$ids), int rand $INSTANTS);
		next if $used{"$id $at"}++;
		push @events, sprintf "(%d, %s, %s, %s)", $id, literal($clock, $at),
		  chance(0.3) ? 'NULL::int' : int(rand 5) - 1, chance(0.4) ? 'NULL::int' : int rand 4;
	}
	my $events = join ', ', @events;
	my $instants = join ', ', map { '(' . literal($clock, $_) . ')' } 0 .. $INSTANTS - 1;

	must("CREATE TABLE contime_fuzz_c.${name}_events ($ordinary);
		  INSERT INTO contime_fuzz_c.${name}_events VALUES $events;
		  CREATE FOREIGN TABLE contime_fuzz_c.$name ($continuous) SERVER contime"
		. ($durable ? " OPTIONS (events '${name}_events');"
			: "; INSERT INTO contime_fuzz_c.$name SELECT * FROM contime_fuzz_c.${name}_events;"));
	must("
		  CREATE TABLE contime_fuzz_o.$name ($ordinary);
		  INSERT INTO contime_fuzz_o.$name
		  SELECT e.id, i.at, coalesce(sum(e.v), 0),
				 (array_agg(e.w ORDER BY e.at DESC) FILTER (WHERE e.w IS NOT NULL))[1]
		  FROM (VALUES $events) e(id, at, v, w), (VALUES $instants) i(at)
		  WHERE e.at <= i.at GROUP BY e.id, i.at;");
}

# Ordinary tables with instants to join with; the same in both schemas.
sub make_sources
{
	my ($clock, $type) = @_;

	for my $name ('x', 'y')
	{
		my @rows = map {
			my $t = literal($clock, int rand $INSTANTS);
			my $s = literal($clock, int rand $INSTANTS);
			my $r = literal($clock, int rand $INSTANTS);
			sprintf "(%d, %s, %s, ARRAY[%s, %s], %d)", 1 + int rand $IDS,
			  (chance(0.1) ? 'NULL' : $t), $s, $t, $r, int rand 4;
		} 1 .. 8;
		my $u = $clock eq 'tick' ? 'int' : pick('date', 'timestamp');

		for my $schema ('contime_fuzz_c', 'contime_fuzz_o')
		{
			must("CREATE TABLE $schema.${clock}_$name (id int, t $type, u $u, ts $type\[], k int);
				  INSERT INTO $schema.${clock}_$name
				  SELECT id, t, u::$u, ts, k
				  FROM (VALUES " . join(', ', @rows) . ") r(id, t, u, ts, k);
				  " . ($name eq 'x' ? "CREATE INDEX ON $schema.${clock}_$name (id);" : ''));
		}
	}
}

sub make_views
{
	my ($clock) = @_;
	my $last = literal($clock, $INSTANTS - 1);

	for my $name ('a', 'b', 'd')
	{
		must("CREATE VIEW contime_fuzz_c.${clock}_${name}_now AS
			  SELECT id, v, w FROM contime_fuzz_c.${clock}_$name;
			  CREATE VIEW contime_fuzz_o.${clock}_${name}_now AS
			  SELECT id, v, w FROM contime_fuzz_o.${clock}_$name WHERE at = "
			. ($clock eq 'tick' ? $last
				: "coalesce(nullif(current_setting('contime.at'), '')::timestamptz, $last)") . ';');
	}
	for my $schema ('contime_fuzz_c', 'contime_fuzz_o')
	{
		must("SET search_path = $schema;
			  CREATE VIEW ${clock}_view AS SELECT id, at, v, w FROM ${clock}_a WHERE v > 0;
			  CREATE VIEW ${clock}_barrier WITH (security_barrier) AS
			  SELECT id, at, v, w FROM ${clock}_a WHERE w IS NOT NULL;
			  CREATE VIEW ${clock}_both AS
			  SELECT id, at, v, w FROM ${clock}_a UNION ALL SELECT id, at, w, v FROM ${clock}_b;
			  CREATE VIEW ${clock}_mixed AS
			  SELECT id, at, v, w FROM ${clock}_a
			  UNION ALL SELECT id::bigint, t, k, k FROM ${clock}_x WHERE t IS NOT NULL;
			  CREATE TABLE ${clock}_part (LIKE ${clock}_x) PARTITION BY LIST (id);
			  DROP TABLE ${clock}_part;
			  CREATE TABLE ${clock}_part (id bigint, at "
			  . ($clock eq 'tick' ? 'bigint' : 'timestamptz') . ", v int, w int)
			  PARTITION BY LIST (id);
			  ALTER TABLE ${clock}_part ATTACH PARTITION ${clock}_p1 FOR VALUES IN (1, 2);
			  ALTER TABLE ${clock}_part ATTACH PARTITION ${clock}_p2 FOR VALUES IN (3, 4);
			  CREATE TABLE ${clock}_p3 PARTITION OF ${clock}_part DEFAULT;
			  INSERT INTO ${clock}_p3 SELECT 5, at, v, w FROM contime_fuzz_o.${clock}_p1 WHERE id = 1;
			  CREATE VIEW ${clock}_joined AS
			  SELECT a.id, a.at, a.v, b.w FROM ${clock}_a a JOIN ${clock}_b b ON a.id = b.id AND a.at = b.at;
			  CREATE FUNCTION ${clock}_inline(bigint) RETURNS TABLE (id bigint, at "
			  . ($clock eq 'tick' ? 'bigint' : 'timestamptz') . ", v int, w int)
			  LANGUAGE sql STABLE AS 'SELECT id, at, v, w FROM $schema.${clock}_b WHERE id <> \$1';");
	}
}

sub must
{
	my $answer = answer(@_);

	die "setup failed: $answer->{text}\n" if $answer->{error};
}

# ---- random queries ------------------------------------------------------------

# A relation in a FROM clause is { sql, columns }, a column { sql, kind, needs }.
# Kinds: id, time, array (of times), value.  needs: a time column that still
# wants a condition to bind it.

my $clock;
my $aliases;

sub column { my ($sql, $kind, $needs) = @_; return { sql => $sql, kind => $kind, needs => $needs }; }
sub of_kind { my ($kind, @columns) = @_; return grep { $_->{kind} eq $kind } @columns; }

sub constant { return literal($clock, int rand $INSTANTS); }

sub base_relation
{
	my @arrays = of_kind('array', @_);
	my $alias = 't' . ++$aliases;
	my $which = rand;
	my @table = (
		column("$alias.id", 'id'), column("$alias.at", 'time', 1),
		column("$alias.v", 'value'), column("$alias.w", 'value'));

	if (@arrays && $which < 0.2)
	{
		return { sql => 'LATERAL unnest(' . pick(@arrays)->{sql} . ") $alias(t)",
			columns => [ column("$alias.t", 'time') ] };
	}
	if ($which < 0.45)
	{
		my $name = pick('a', 'b', 'd', 'view', 'barrier', 'both', 'mixed', 'part', 'part', 'joined');

		return { sql => "${clock}_$name $alias", columns => \@table };
	}
	if ($which < 0.48)
	{
		return { sql => "${clock}_inline(" . int(rand 5) . ") $alias", columns => \@table };
	}
	if ($which < 0.55)
	{
		my $name = pick('a', 'b', 'd');

		return { sql => "${clock}_${name}_now $alias", columns => [ @table[ 0, 2, 3 ] ] };
	}
	if ($which < 0.62)
	{
		my $series = $clock eq 'tick' ? 'generate_series(0::bigint, 9, 3)'
		  : "generate_series('2026-03-01'::timestamptz, '2026-03-10', '3 days')";

		return { sql => "$series AS $alias(t)", columns => [ column("$alias.t", 'time') ] };
	}
	return {
		sql => "${clock}_" . pick('x', 'y') . " $alias",
		columns => [
			column("$alias.id", 'id'), column("$alias.t", 'time'), column("$alias.u", 'time'),
			column("$alias.ts", 'array'), column("$alias.k", 'value') ]
	};
}

# An expression for an instant within the domain.
sub time_expression
{
	my @times = map { $_->{sql} } of_kind('time', @_);
	my $which = rand;

	return constant() if !@times || $which < 0.25;
	return pick(@times) if $which < 0.8;
	return sprintf "coalesce(%s, %s)", pick(@times), constant() if $which < 0.87;
	return sprintf "greatest(%s, %s)", pick(@times), pick(@times) if $which < 0.94;
	return $clock eq 'tick'
	  ? sprintf('(%s + 1) %% 10', pick(@times))
	  : sprintf("least(%s + '1 day'::interval, %s)", pick(@times), literal($clock, 9));
}

# A condition that binds a time column, mostly.
sub binding
{
	my ($time, @columns) = @_;
	my @others = grep { $_ != $time } @columns;
	my @arrays = of_kind('array', @others);
	my $which = rand;

	return "$time->{sql} = " . time_expression(@others) if $which < 0.65;
	return time_expression(@others) . " = $time->{sql}" if $which < 0.7;
	return "$time->{sql} IS NOT DISTINCT FROM " . time_expression(@others) if $which < 0.74;
	return "$time->{sql} IN (" . constant() . ', ' . constant() . ')' if $which < 0.78;
	return "$time->{sql} = ANY (" . pick(@arrays)->{sql} . ')' if @arrays && $which < 0.83;
	return "$time->{sql} = (SELECT max(t) FROM ${clock}_x)" if $which < 0.85;
	return "($time->{sql} = " . time_expression(@others) . " OR $time->{sql} = "
	  . time_expression(@others) . ')' if $which < 0.88;
	return "$time->{sql} IN (" . subselect('time', @columns) . ')' if $which < 0.95;
	return "($time->{sql} = " . constant() . ' AND ' . filter(@others) . ')';
}

# Any other condition.
our $nesting = 0;

sub filter
{
	return 'true' if $nesting > 5;
	local $nesting = $nesting + 1;
	my @columns = @_;
	my @ids = map { $_->{sql} } of_kind('id', @columns);
	my @values = map { $_->{sql} } of_kind('value', @columns);
	my @times = map { $_->{sql} } of_kind('time', @columns);
	my $which = rand;

	return sprintf '%s = %s', pick(@ids), pick(@ids) if @ids > 1 && $which < 0.35;
	return sprintf '%s = %d', pick(@ids), 1 + int rand 4 if @ids && $which < 0.45;
	return sprintf '%s IN (%d, %s)', pick(@ids), 1 + int rand 4, pick(@ids, 'NULL', 3)
	  if @ids && $which < 0.47;
	return sprintf '%s = ANY (%s)', pick(@ids), pick("'{1, 2, 2, 9000000000}'", 'ARRAY[1, 3]', "'{}'")
	  if @ids && $which < 0.5;
	return sprintf '%s %s %d', pick(@values), pick('<', '=', '>='), int rand 4 if @values && $which < 0.6;
	return sprintf '%s %s %s', pick(@values), pick('<', '=', '<>'), pick(@values) if @values && $which < 0.65;
	return sprintf '%s IS %s', pick(@values, @ids), pick('NULL', 'NOT NULL') if @values && @ids && $which < 0.7;
	return sprintf '%s = %s', pick(@times), pick(@times) if @times && $which < 0.8;
	return sprintf '%s %s %s', pick(@times), pick('<', '<>', '>='), time_expression(@columns)
	  if @times && $which < 0.83;
	return sprintf '(%s OR %s)', filter(@columns), filter(@columns) if $which < 0.87;
	return sprintf '(%s) = (%s)', "$1.*", "$2.*"
	  if $which < 0.88 && join(' ', map { $_->{sql} } @columns) =~ /\b(t\d+)\.at.*\b(t\d+)\.at/;
	return pick('EXISTS', 'NOT EXISTS') . ' (' . subselect(undef, @columns) . ')' if $which < 0.94;
	return pick(@ids) . pick(' IN (', ' NOT IN (') . subselect('id', @columns) . ')' if @ids;
	return 'true';
}

# A small subquery in a condition, which returns a column of that kind.
sub subselect
{
	my ($kind, @outer) = @_;
	my $rel = chance(0.3) ? join_relation(0, @outer) : base_relation(@outer);
	my @columns = @{ $rel->{columns} };
	my ($result) = $kind ? map { $_->{sql} } of_kind($kind, @columns) : '1';
	my $visible = chance(0.7) ? [ @columns, @outer ] : \@columns;

	$result = $kind eq 'time' ? constant() : 1 + int rand 4 if !defined $result;
	return "SELECT $result FROM $rel->{sql} WHERE " . conditions(\@columns, 1, @$visible);
}

# A conjunction.  Each time column among @$mine that needs a binding gets one
# with this probability; a table without one would be read "now".
sub conditions
{
	my ($mine, $probability, @columns) = @_;
	my @atoms;

	for my $time (grep { $_->{needs} } @$mine)
	{
		next if !chance($probability);
		push @atoms, binding($time, @columns);
		$time->{needs} = 0;
	}
	push @atoms, filter(@columns) while chance(0.4);
	return @atoms ? join(' AND ', @atoms) : 'true';
}

sub join_relation
{
	my ($depth, @outer) = @_;
	my $left = relation($depth - 1, @outer);
	my $lateral = chance(0.2);
	my $right = relation($depth - 1, $lateral ? (@{ $left->{columns} }, @outer) : @outer);
	my @columns = (@{ $left->{columns} }, @{ $right->{columns} });
	my $type = pick('JOIN', 'JOIN', 'JOIN', 'LEFT JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN', ',');
	my @mine = $type =~ /LEFT/ ? @{ $right->{columns} }
	  : $type =~ /RIGHT/ ? @{ $left->{columns} }
	  : $type =~ /FULL/ ? () : @columns;

	# A condition above may bind a time column that the join does not bind.
	@mine = () if chance(0.3) || $type eq ',';
	return { sql => "$left->{sql} CROSS JOIN $right->{sql}", columns => \@columns } if $type eq ',';
	return {
		sql => "($left->{sql} $type $right->{sql} ON " . conditions(\@mine, 0.85, @columns) . ')',
		columns => \@columns
	};
}

sub relation
{
	my ($depth, @outer) = @_;
	my $which = rand;

	return base_relation(@outer) if $depth <= 0 || $which < 0.4;
	return join_relation($depth, @outer) if $which < 0.8;
	return subquery($depth, @outer);
}

# A subquery in FROM, perhaps with a clause that prevents pulling it up.
sub subquery
{
	my ($depth, @outer) = @_;
	my $inner = relation($depth - 1, @outer);
	my @inner = @{ $inner->{columns} };
	my $alias = 's' . ++$aliases;
	my @columns;
	my @select;
	my $where = conditions(\@inner, 0.5, @inner, @outer);
	my @hidden;

	for my $i (0 .. $#inner)
	{
		push(@hidden, $inner[$i]), next if $inner[$i]{kind} eq 'array' || chance(0.2);
		push @select, "$inner[$i]{sql} AS c$i";
		push @columns, column("$alias.c$i", $inner[$i]{kind}, $inner[$i]{needs});
	}
	if (!@columns)
	{
		push @select, '1 AS c0';
		push @columns, column("$alias.c0", 'value');
	}

	$where .= ' AND ' . conditions(\@hidden, 1, @inner, @outer);

	my $list = join ', ', @select;
	my $positions = join ', ', 1 .. @select;
	my $sql = "SELECT $list FROM $inner->{sql} WHERE $where";
	my $fence = rand;
	if ($fence < 0.08) { $sql .= " ORDER BY $positions LIMIT 3"; }
	elsif ($fence < 0.14) { $sql = "SELECT DISTINCT $list FROM $inner->{sql} WHERE $where"; }
	elsif ($fence < 0.2) { $sql .= ' OFFSET 0'; }
	elsif ($fence < 0.28) { $sql .= " GROUP BY $positions"; }
	elsif ($fence < 0.33) { $sql .= pick(' UNION ALL ', ' UNION ', ' EXCEPT ') . $sql; }
	elsif ($fence < 0.38) { $sql = "WITH q AS " . pick('MATERIALIZED ', '') . "($sql) SELECT * FROM q"; }
	return { sql => 'LATERAL (' . $sql . ") $alias", columns => \@columns } if @outer;
	return { sql => "($sql) $alias", columns => \@columns };
}

# A query that reads at least one continuous table at bound instants.
sub query
{
	my $sql;

	do { $sql = any_query(); }
	  while ($sql !~ /_(a|b|d|view|barrier|both|mixed|part|joined|inline\(\d+\)) [tz]\d*\b/);
	$sql =~ s/\btrue AND |(?<!ON) AND true\b//g;
	return $sql;
}

sub any_query
{
	$clock = pick('tick', 'day');
	$aliases = 0;

	my $rel = relation(pick(1, 2, 2, 3, 3, 4));
	my @columns = @{ $rel->{columns} };
	my @shown = grep { $_->{kind} ne 'array' && chance(0.7) } @columns;
	@shown = ($columns[0]) if !@shown;
	my $shown = join ', ', map { $_->{sql} } @shown;
	my $from = "FROM $rel->{sql} WHERE " . conditions(\@columns, 1, @columns);
	my $which = rand;

	return "SELECT $shown $from" if $which < 0.5;
	return "SELECT $shown, $1 $from" if $which < 0.55 && $shown =~ /\b(t\d+)\./;
	return "WITH RECURSIVE q(c, n) AS (SELECT $columns[0]{sql}, 1 $from UNION SELECT c, n + 1 FROM q"
	  . ($shown[0]{kind} eq 'time' && chance(0.7)
		? " JOIN ${clock}_a z ON z.at = q.c AND z.id = 1" : '')
	  . " WHERE n < 3) SELECT * FROM q" if $which < 0.57 && $columns[0] == $shown[0];
	return "SELECT count(*) $from" if $which < 0.65;
	return "SELECT DISTINCT $shown $from" if $which < 0.72;
	return "SELECT $shown, count(*) $from GROUP BY $shown" if $which < 0.79;
	return "SELECT $shown, sum(count(*)) OVER () $from GROUP BY GROUPING SETS (($shown), ())" if $which < 0.83;
	return "SELECT $shown $from ORDER BY " . join(', ', 1 .. @shown) . ' LIMIT 5' if $which < 0.9;
	return "WITH q AS " . pick('', 'MATERIALIZED ') . "(SELECT $shown $from) SELECT q.* FROM q"
	  if $which < 0.95;
	return "SELECT $shown, (SELECT count(*) FROM ${clock}_a z WHERE z.at = " . time_expression(@columns)
	  . (chance(0.5) ? ' AND z.id = 2' : '') . ") $from";
}

# ---- fixed cases ----------------------------------------------------------------

# Queries that must be answered, and queries that must be refused, under all
# settings.  T stands for a literal.
my %cases = (
	accepted => [
		'SELECT * FROM day_a WHERE at = T',
		'SELECT * FROM day_a WHERE T = at AND id = 2::smallint',
		'SELECT * FROM day_a WHERE at IN (T, T + \'1 day\', NULL)',
		'SELECT * FROM day_a WHERE at = T OR at = T + \'1 day\'',
		'SELECT * FROM day_a WHERE at IS NOT DISTINCT FROM T',
		'SELECT * FROM day_a WHERE at IS NOT DISTINCT FROM (SELECT NULL::timestamptz)',
		'SELECT * FROM day_a WHERE NOT (at, id) IS DISTINCT FROM (T, 2)',
		'SELECT * FROM day_a WHERE at IS NOT DISTINCT FROM T OR DATE \'2026-03-05\' IS NOT DISTINCT FROM at',
		'SELECT * FROM day_x x JOIN day_a a ON a.at IS NOT DISTINCT FROM x.t AND a.id = x.id',
		'SELECT * FROM day_x x LEFT JOIN day_a a ON a.at IS NOT DISTINCT FROM x.t OR a.at = T',
		'SELECT * FROM day_x x JOIN day_y y USING (id) JOIN day_a a ON a.at = x.t OR a.at = y.t',
		'SELECT * FROM day_x x WHERE NOT EXISTS (SELECT FROM day_a a WHERE a.at IS NOT DISTINCT FROM x.t)',
		'SELECT * FROM day_a WHERE (id, at) IN ((1, T), (2, T + \'1 day\'))',
		'SELECT * FROM day_a WHERE at = T AND at >= T AND at <> T + \'1 day\' AND at IS NOT NULL',
		'SELECT * FROM day_a WHERE NOT (at <> T)',
		'SELECT * FROM day_a WHERE at = DATE \'2026-03-04\'',
		'SELECT * FROM day_a WHERE TIMESTAMP \'2026-03-04\' = at',
		'SELECT * FROM day_a WHERE at = ANY (\'{2026-03-04, 2026-03-05}\'::date[])',
		'SELECT * FROM day_a WHERE at = (SELECT max(t) FROM day_x)',
		'SELECT * FROM day_a WHERE at IN (SELECT t FROM day_x)',
		'SELECT * FROM day_a WHERE (id, at) IN (SELECT id, t FROM day_x)',
		'SELECT * FROM day_a a WHERE EXISTS (SELECT FROM day_x x WHERE x.t = a.at AND x.id = a.id)',
		'SELECT * FROM day_x x WHERE EXISTS (SELECT FROM day_a a WHERE a.at = x.t AND a.id = x.id)',
		'SELECT * FROM day_x x WHERE NOT EXISTS (SELECT FROM day_a a WHERE a.at = x.t AND a.id = x.id)',
		'SELECT * FROM day_x x WHERE x.id NOT IN (SELECT a.id FROM day_a a WHERE a.at = x.t)',
		'SELECT x.id, EXISTS (SELECT FROM day_a a WHERE a.at = x.t AND a.id = x.id) FROM day_x x',
		'SELECT x.id, (SELECT v FROM day_a a WHERE a.at = x.t AND a.id = x.id) FROM day_x x',
		'SELECT * FROM day_x x JOIN day_a a ON a.at = x.t AND a.id = x.id',
		'SELECT * FROM day_x x LEFT JOIN day_a a ON a.at = x.t AND a.id = x.id',
		'SELECT * FROM day_x x JOIN day_a a ON a.at = ANY (x.ts)',
		'SELECT * FROM day_x x JOIN day_a a ON a.at = x.t OR a.at = x.u',
		'SELECT * FROM day_x x, LATERAL (SELECT * FROM day_a a WHERE a.at = x.t ORDER BY id LIMIT 1) l',
		'SELECT * FROM day_x x JOIN (day_a a JOIN day_b b USING (id, at)) ON x.t = a.at',
		'SELECT * FROM day_x x JOIN day_a a ON a.at = x.t JOIN day_b b ON b.at = a.at JOIN day_p1 p ON p.at = b.at',
		'SELECT a.id, b.v - a.v FROM day_a a JOIN day_b b USING (id) WHERE a.at = T AND b.at = T + \'1 day\'',
		'SELECT * FROM day_part p JOIN day_x x ON p.at = x.t AND p.id = x.id',
		'SELECT * FROM (day_x x JOIN day_a a ON a.at = x.t AND a.id = x.id) FULL JOIN day_x y ON y.id = a.id AND y.u = a.at',
		'SELECT * FROM day_x y FULL JOIN (day_x x JOIN day_a a ON a.at = x.t AND a.id = x.id) ON y.id = a.id AND y.u = a.at',
		'SELECT * FROM (day_x x LEFT JOIN day_a a ON a.at = x.t) FULL JOIN (day_x y JOIN day_b b ON b.at = y.t) USING (id)',
		'SELECT * FROM (day_x x JOIN day_a a ON a.at = x.t) FULL JOIN day_x y USING (id) JOIN day_b b ON b.at = coalesce(x.t, y.t)',
		'SELECT * FROM day_part p WHERE p.at IN (SELECT t FROM day_x)',
		'SELECT * FROM day_both u JOIN day_x x ON u.at = x.t',
		'SELECT * FROM day_barrier WHERE at = T',
		'SELECT * FROM day_d WHERE at = T OR at = T + \'1 day\'',
		'SELECT * FROM day_x x LEFT JOIN day_d d ON d.at = x.t AND d.id = x.id',
		'SELECT * FROM (SELECT id, at, count(*) FROM day_a GROUP BY id, at) s WHERE at = T',
		'SELECT id, at FROM day_a GROUP BY id, at HAVING at = T',
		'SELECT max(at), max(v) FROM day_a WHERE at = T',
		'SELECT count(*), sum(v) FROM day_a_now',
		'SELECT * FROM day_x x JOIN day_a_now a ON a.id = x.id',
		'WITH RECURSIVE r(t, n) AS (SELECT T, 0 UNION ALL SELECT t + \'1 day\', n + 1 FROM r WHERE n < 3)'
		  . ' SELECT * FROM r LEFT JOIN day_a a ON a.at = r.t',
	],
	refused => [
		'SELECT * FROM day_a WHERE at > T',
		'SELECT * FROM day_a WHERE at BETWEEN T AND T',
		'SELECT * FROM day_a WHERE at <> T',
		'SELECT * FROM day_a WHERE at IS NULL',
		'SELECT * FROM day_a WHERE at::date = \'2026-03-04\'',
		'SELECT * FROM day_a WHERE at + \'1 day\' = T',
		'SELECT * FROM day_a WHERE at = T OR id = 1',
		'SELECT * FROM day_a WHERE at IS DISTINCT FROM T',
		'SELECT * FROM day_a a LEFT JOIN day_x x ON a.at IS NOT DISTINCT FROM x.t',
		'SELECT * FROM day_x x LEFT JOIN day_a a ON a.id = x.id WHERE a.at IS NOT DISTINCT FROM x.t',
		'SELECT * FROM day_a WHERE at = clock_timestamp()',
		'SELECT * FROM day_a a WHERE a IS DISTINCT FROM NULL',
		'SELECT * FROM day_a a JOIN day_b b ON a.at = b.at',
		'SELECT * FROM day_a a LEFT JOIN day_x x ON a.at = x.t',
		'SELECT * FROM day_a a FULL JOIN day_x x ON a.at = x.t',
		'SELECT * FROM day_d a FULL JOIN day_x x ON a.at = x.t',
		'SELECT * FROM day_a a WHERE NOT EXISTS (SELECT FROM day_x x WHERE x.t = a.at)',
		'SELECT * FROM day_x x JOIN day_a a ON a.at > x.t',
		'SELECT * FROM day_a a, LATERAL (SELECT x.id FROM day_x x WHERE x.t = a.at LIMIT 1) l',
		'SELECT * FROM (SELECT * FROM day_a LIMIT 3) s WHERE at = T',
		'SELECT * FROM (SELECT DISTINCT id, at FROM day_a) s JOIN day_x x ON s.at = x.t',
		'SELECT * FROM (SELECT *, row_number() OVER () FROM day_a) s WHERE at = T',
		'SELECT * FROM day_barrier b JOIN day_x x ON b.at = x.t',
		'WITH q AS MATERIALIZED (SELECT * FROM day_a) SELECT * FROM q WHERE at = T',
		'SELECT at FROM day_a UNION SELECT at FROM day_b',
		'SELECT * FROM day_x WHERE t > ALL (SELECT at FROM day_a WHERE id = 1)',
	]);

# ---- settings and wrappers -------------------------------------------------------

my @settings = (
	'',
	'SET enable_nestloop = off;',
	'SET enable_nestloop = off; SET enable_hashjoin = off;',
	'SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;',
	'SET join_collapse_limit = 1; SET from_collapse_limit = 1;',
	'SET geqo_threshold = 2; SET geqo_effort = 1;',
	'SET enable_partitionwise_join = on; SET enable_partitionwise_aggregate = on;',
	'SET enable_memoize = off; SET enable_hashagg = off; SET enable_sort = off;',
	'SET join_collapse_limit = 2; SET from_collapse_limit = 2; SET geqo_threshold = 2;',
	'SET cpu_operator_cost = 0; SET cpu_tuple_cost = 1;',
	'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;',
	'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;'
	  . ' SET parallel_leader_participation = off; SET enable_hashjoin = off; SET enable_mergejoin = off;',
	q{DO $$ BEGIN PERFORM set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query'); END $$;});

my @dresses = (
	sub { return "$_[0];"; },
	sub {
		return "PREPARE p AS $_[0]; SET plan_cache_mode = force_generic_plan;
				EXECUTE p; DEALLOCATE p;";
	},
	\&with_parameters,
	sub { return "BEGIN; DECLARE c CURSOR FOR $_[0]; FETCH ALL FROM c; COMMIT;"; },
	sub {
		return "CREATE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE plpgsql AS \$\$
				DECLARE r record; BEGIN FOR r IN $_[0] LOOP RETURN NEXT r::text; END LOOP; END \$\$;
				SELECT * FROM pg_temp.f(); DROP FUNCTION pg_temp.f();";
	});

# Instants become parameters, under a generic plan or custom ones.
sub with_parameters
{
	my ($sql) = @_;
	my $instant = $sql =~ /::timestamptz/ ? qr/'[^']*'::timestamptz/ : qr/(?<== )\d\b/;
	my $type = $sql =~ /::timestamptz/ ? 'timestamptz' : 'bigint';
	my @values;

	$sql =~ s/($instant)/push @values, $1; '$' . @values/ge;
	return "$sql;" if !@values;
	return 'SET plan_cache_mode = ' . (@values % 2 ? 'force_generic_plan' : 'force_custom_plan')
	  . '; PREPARE p(' . join(', ', map { $type } @values) . ") AS $sql;"
	  . ' EXECUTE p(' . join(', ', @values) . '); DEALLOCATE p;';
}

sub run
{
	my ($schema, $setting, $dress, $sql, $travel) = @_;
	my $answer = answer("RESET ALL; SET search_path = $schema; SET timezone = 'UTC';"
		  . " SET statement_timeout = '10s'; SET client_min_messages = error;"
		  . ($unprotected ? 'SET contime.debug_unprotected = on;' : '')
		  . ($travel ? "SET contime.at = $travel;" : '')
		  . " $setting\n" . $dress->($sql));

	ask('ROLLBACK; DEALLOCATE ALL; DROP FUNCTION IF EXISTS pg_temp.f();') if $answer->{error};
	return $answer;
}

# ---- the run -----------------------------------------------------------------------

my $random = 0;       # random queries that were accepted,
my $with_rows = 0;    # and returned rows
my %count = (accepted => 0, refused => 0, wrong => 0, skipped => 0);

sub judge
{
	my ($expected, $got) = @_;

	return 'skipped' if $expected->{error};
	return $got->{rows} eq $expected->{rows} ? 'accepted' : 'wrong' if !$got->{error};
	return 'skipped' if $got->{error} =~ /57014/;
	return 'refused' if $got->{error} =~ /0A000/ && $got->{text} =~ /^HINT: /m
	  && $got->{text} =~ /contime\.|continuous table/;
	return 'wrong';
}

sub report
{
	my ($setting, $sql, $expected, $got) = @_;

	print "WRONG under [$setting]\n$sql\n";
	if ($expected->{error}) { print "expected $expected->{text}\n\n"; return; }
	if ($got->{error}) { print "got $got->{text}\n\n"; return; }

	my %difference;
	$difference{$_}++ for split /\n/, $expected->{rows};
	$difference{$_}-- for split /\n/, $got->{rows};
	my @missing = grep { $difference{$_} > 0 } sort keys %difference;
	my @extra = grep { $difference{$_} < 0 } sort keys %difference;
	print "missing: @missing[0 .. ($#missing < 4 ? $#missing : 4)]\n";
	print "extra: @extra[0 .. ($#extra < 4 ? $#extra : 4)]\n\n";
}

srand $seed;
print "seed $seed\n";
start_psql();
make_tables();

for my $expectation ($unprotected ? () : sort keys %cases)
{
	for my $sql (@{ $cases{$expectation} })
	{
		my $literal = "'2026-03-04'::timestamptz";

		(my $text = $sql) =~ s/\bT\b/$literal/g;
		my $expected = run('contime_fuzz_o', '', $dresses[0], $text);
		for my $setting (@settings)
		{
			my $got = run('contime_fuzz_c', $setting, $dresses[0], $text);
			my $verdict = judge($expected, $got);

			$verdict = 'wrong' if $verdict ne $expectation && $verdict ne 'skipped';
			$count{$verdict}++;
			report($setting, "$text\n(to be $expectation)", $expected, $got)
			  if $verdict eq 'wrong';
		}
	}
}

for my $number (1 .. $queries)
{
	my $sql = query();
	my $setting = $number % 2 ? '' : $settings[ int rand @settings ];
	my $dress = chance(0.75) ? $dresses[0] : $dresses[ int rand @dresses ];

	my $travel = $clock eq 'day' && chance(0.3) ? constant() =~ s/::timestamptz//r : undef;

	print "$number: [$setting] $sql\n" if $show;
	my $expected = run('contime_fuzz_o', '', $dress, $sql, $travel);
	my $got = $expected->{error} ? $expected
	  : run('contime_fuzz_c', $setting, $dress, $sql, $travel);
	my $verdict = judge($expected, $got);
	$count{$verdict}++;
	$random++ if $verdict eq 'accepted';
	$with_rows++ if $verdict eq 'accepted' && $expected->{rows} =~ /[^|\n0]/;
	report($setting, $sql, $expected, $got) if $verdict eq 'wrong' && !$unprotected;
	print "$number $verdict: $sql\n" if $verbose;
	print "  $got->{text}\n" if $verbose && $got->{error};

	# An accepted query must return the same rows with every plan.
	next if $verdict ne 'accepted' || $unprotected;
	for my $other (map { $settings[ int rand @settings ] } 1 .. 3)
	{
		$got = run('contime_fuzz_c', $other, $dresses[0], $sql, $travel);
		next if $dress == $dresses[-1];
		$verdict = judge($expected, $got);
		next if $verdict ne 'wrong';
		$count{wrong}++;
		report($other, $sql, $expected, $got);
	}
}

ask('DROP SCHEMA contime_fuzz_c, contime_fuzz_o CASCADE') if !$count{wrong};
close $in;
waitpid $pid, 0;
print "seed $seed, $count{skipped} skipped, $with_rows of $random random ones had rows\n";
print "$count{accepted} accepted, $count{refused} refused, $count{wrong} wrong\n";
exit(($count{wrong} > 0) != $unprotected || 2 * $with_rows < $random);
