# Wire.pm: a small PostgreSQL client that implements the protocol itself. Used by ddl.pl and TAP tests.
#
# Unlike psql it sends any text unchanged, returns every field of an error (SQLSTATE, and the
# file and line that raised it), and can leave a statement running in one session while it
# uses another, or close the connection while a statement runs.
package Wire;
use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;
use Time::HiRes;

# Open a session of a role, with settings in the form of the server's command line; undef if the server does not answer.
sub new
{
	my ($class, $name, $role, $database, %settings) = @_;
	my $path = "$ENV{PGHOST}/.s.PGSQL." . ($ENV{PGPORT} // 5432);
	my $socket = IO::Socket::UNIX->new(Peer => $path) or return undef;
	my $options = join ' ', map { "-c $_=$settings{$_}" } sort keys %settings;
	my $self = bless { name => $name, socket => $socket, buffer => '', status => '', pid => 0, heard => '' }, $class;
	my $start = pack('N', 196608) . join("\0", 'user', $role, 'database', $database, 'options', $options, 'application_name', $name) . "\0\0";

	$self->put(pack('N', 4 + length $start) . $start);
	my $answer = $self->receive(30);
	return $answer->{gone} || $answer->{late} || $answer->{fatal} ? undef : $self;
}

sub put
{
	my ($self, $bytes) = @_;
	local $SIG{PIPE} = 'IGNORE';
	syswrite $self->{socket}, $bytes;
	return;
}

sub message { my ($self, $type, $body) = @_; return $self->put($type . pack('N', 4 + length $body) . $body) }

# The simple protocol; with the rows for a COPY FROM stdin, or undef: the client aborts the COPY.
sub send
{
	my ($self, $sql, $rows) = @_;
	@$self{qw(sql rows)} = ($sql, $rows);
	return $self->message('Q', "$sql\0");
}

# The extended protocol: an unnamed statement with parameters as text; at most so many rows are fetched.
sub send_extended
{
	my ($self, $sql, $values, $most) = @_;
	@$self{qw(sql rows)} = ($sql, undef);
	$self->message('P', "\0$sql\0" . pack('n', 0));
	$self->message('B', "\0\0" . pack('nn', 0, scalar @$values) . join('', map { defined $_ ? pack('N', length $_) . $_ : pack('N', 0xffffffff) } @$values) . pack('n', 0));
	$self->message('D', "P\0");
	$self->message('E', "\0" . pack('N', $most));
	return $self->message('S', '');
}

# Return the next message; or nothing, if it did not come in time ('late') or the connection is closed ('gone').
sub next_message
{
	my ($self, $until) = @_;

	while (1)
	{
		my $have = length $self->{buffer};
		if ($have >= 5)
		{
			my ($type, $length) = unpack 'aN', $self->{buffer};
			if ($have > $length)
			{
				my $body = substr $self->{buffer}, 5, $length - 4;
				substr($self->{buffer}, 0, $length + 1) = '';
				return ($type, $body);
			}
		}
		my $left = $until - Time::HiRes::time();
		return 'late' if $left <= 0 || !IO::Select->new($self->{socket})->can_read($left);
		my $got = sysread $self->{socket}, $self->{buffer}, 65536, $have;
		return 'gone' if !$got;
	}
}

# Read until the server is ready, and return {state, message, file, line, fatal} of the first error, if any; whether there was a
# warning; the number of rows and the first row; or that the server was late or has gone. Payloads of notices are added to {heard}.
sub receive
{
	my ($self, $seconds) = @_;
	my $until = Time::HiRes::time() + $seconds;
	my %answer = (rows => 0);

	while (1)
	{
		my ($type, $body) = $self->next_message($until);
		return { %answer, $type => 1 } if !defined $body;
		if ($type eq 'Z')
		{
			$self->{status} = $body;
			return \%answer;
		}
		elsif ($type eq 'E' && !exists $answer{state})
		{
			my %field = map { /^(.)(.*)$/s ? ($1, $2) : () } split /\0/, $body;
			@answer{qw(state message file line fatal)} = (@field{qw(C M F L)}, $field{V} =~ /FATAL|PANIC/ ? 1 : 0);
		}
		elsif ($type eq 'N' && $body =~ /\0?VWARNING\0/)
		{
			$answer{warning} = 1;
		}
		elsif ($type eq 'D' && $answer{rows}++ == 0)
		{
			$answer{first} = first_row($body);
		}
		elsif ($type eq 'G')
		{
			$self->message('d', $self->{rows}) if defined $self->{rows};
			$self->message(defined $self->{rows} ? ('c', '') : ('f', "no more\0"));
		}
		elsif ($type eq 'A')
		{
			$self->{heard} .= (unpack 'x4Z*Z*', $body)[1] . "\n";
		}
		elsif ($type eq 'K')
		{
			($self->{pid}) = unpack 'N', $body;
		}
	}
}

sub first_row
{
	my ($body) = @_;
	my ($n) = unpack 'n', $body;
	my $at = 2;
	my @row;
	for (1 .. $n)
	{
		my $length = unpack 'N', substr $body, $at, 4;
		$at += 4;
		push(@row, undef), next if $length == 0xffffffff;
		push @row, substr $body, $at, $length;
		$at += $length;
	}
	return \@row;
}

sub close { my $self = shift; return CORE::close($self->{socket}) }

1;
