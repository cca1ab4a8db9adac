# Session.pm: psql, driven statement by statement. Used by law.pl and durable.pl.
package Session;
use strict;
use warnings;
use IPC::Open2;

our ($statements, @script) = (0);

# A session with these settings, which are also made after each reconnect.
sub new
{
	my ($class, $name, $settings) = @_;
	my $self = bless { name => $name, settings => $settings }, $class;
	$self->connect;
	return $self;
}

sub connect
{
	my $self = shift;
	$self->{pid} = open2($self->{out}, $self->{in}, 'exec psql -X -q -A -t -v VERBOSITY=verbose 2>&1');
	$self->{in}->autoflush(1);
	$self->{serial} = 0;
	$self->{level} = $self->{cursor} = $self->{fetched} = $self->{exported} = undef;
	$self->run($self->{settings});
}

sub send
{
	my ($self, @sql) = @_;
	my $sql = join '', map { /(;|\\\.\n)\s*$/ ? "$_\n" : "$_;\n" } @sql;	# the data of COPY end with \.
	push @script, "-- $self->{name}\n$sql";
	$self->{sql} = $sql;
	$statements += @sql;
	my $in = $self->{in};
	print $in "$sql\\echo mark-", ++$self->{serial}, "\n";
}

# Return the lines that psql printed.
sub receive
{
	my $self = shift;
	my ($out, @lines) = ($self->{out});
	local $SIG{ALRM} = sub { die "$self->{name}: no answer within 120 seconds to: $self->{sql}\n" };
	alarm 120;
	while (1)
	{
		my $line = <$out>;
		die "$self->{name}: the session is gone after: $self->{sql}\n@lines" unless defined $line;
		chomp $line;
		last if $line eq "mark-$self->{serial}";
		push @lines, $line;
	}
	alarm 0;
	return grep { $_ ne '' } @lines;
}

# Run statements and return the lines they print. An error is fatal.
sub run
{
	my ($self, @sql) = @_;
	$self->send(@sql);
	my @lines = $self->receive;
	die "$self->{name}: $self->{sql}\n" . join("\n", @lines) . "\n" if grep { /(ERROR|FATAL|PANIC):/ } @lines;
	return @lines;
}

sub quit
{
	my $self = shift;
	close $self->{in};
	close $self->{out};
	waitpid $self->{pid}, 0;
}

1;
