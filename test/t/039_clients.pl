# Clients: the programs in docs/clients.md do what the page says. Each block of code runs in a new database with the table of the page's first
# block; its output must be the block below it. Programs whose client is not installed are skipped with the reason. CT_ACCEPT=file
# writes the page with the output of this run to that file. One server listens on 127.0.0.1, as JDBC cannot use its socket.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use IPC::Run;
use FindBin;
use lib $FindBin::RealBin;
use Contime;

my $modules = ($ENV{CT_CLIENTS} // "$FindBin::RealBin/../../build/clients") . '/node_modules';
my $jar = '/usr/share/java/postgresql.jar';
my ($pgbouncer) = grep { -x } '/usr/sbin/pgbouncer', '/usr/bin/pgbouncer';
my $seconds = 60;		# a program's limit

my $node = contime_node('clients', 'listen_addresses' => '127.0.0.1', 'fsync' => 'off', 'max_worker_processes' => 40);
my $dir = PostgreSQL::Test::Utils::tempdir;
my $user = $node->safe_psql('postgres', 'SELECT current_user');
my @address = ('127.0.0.1', $node->port);
symlink $modules, "$dir/node_modules" or die $!;

# ---- the page ------------------------------------------------------------------------------------

# Its blocks: [heading, language, code, the output below it]; and the text before each output.
my $page = slurp_file("$FindBin::RealBin/../../docs/clients.md");
my (@blocks, $heading, $setup);
while ($page =~ /^(?:\#\# (?<heading>[^\n]*)|```(?<language>\w+)\n(?<code>.*?)^```\n(?:\n```text\n(?<output>.*?)^```\n)?)/gms)
{
	if (defined $+{heading}) { $heading = $+{heading}; next; }
	if (!defined $setup) { $setup = $+{code}; next; }
	die "a block without output below '$heading'" if !defined $+{output};
	push @blocks, { heading => $heading, language => $+{language}, code => $+{code}, output => $+{output}, at => $-[0], end => $+[0] };
}

# ---- how a block is run --------------------------------------------------------------------------

sub write_file
{
	my ($file, $text) = @_;
	open(my $out, '>', $file) or die "$file: $!";
	print $out $text;
	close $out or die $!;
	return $file;
}

# True if a command succeeds.
sub works { return eval { IPC::Run::run([@_], '>', \my $out, '2>', \my $err, IPC::Run::timeout($seconds)) } }

# True if Node.js is at least 20.19, which TypeORM asks for; the programs use its global "crypto", which 18 does not have.
sub node_is_new
{
	my $version = '';
	eval { IPC::Run::run(['node', '-p', 'process.versions.node'], '>', \$version, '2>', \my $err, IPC::Run::timeout($seconds)) } or return 0;
	return $version =~ /^(\d+)\.(\d+)/ && ($1 > 20 || ($1 == 20 && $2 >= 19));
}

# What is missing to run a program, or undef.
sub missing
{
	my ($block) = @_;
	my ($language, $code) = @$block{qw(language code)};
	if ($language eq 'js')
	{
		return 'no Node.js' if !works('node', '--version');
		return 'Node.js is older than 20.19' if !node_is_new();
		my ($absent) = grep { !-d "$modules/$_" } $code =~ /^import .* from '([\w-]+)/mg;
		return defined $absent ? "no npm package $absent" : undef;
	}
	if ($language eq 'java')
	{
		return !works('javac', '-version') ? 'no JDK' : !-e $jar ? 'no JDBC driver' : undef;
	}
	if ($language eq 'python')
	{
		return 'no pgbouncer' if $code =~ /PGBOUNCER_URL/ && !$pgbouncer;
		my ($module) = $code =~ /^import (psycopg\w*)/m;
		return works('/usr/bin/python3', '-c', "import $module") ? undef : "no Python module $module";
	}
	return;
}

# Replace Grafana's macros as Grafana does.
sub expand
{
	my ($sql) = @_;
	my ($from, $to) = ("'2026-11-20T10:00:00Z'", "'2026-11-20T12:00:00Z'");
	$sql =~ s/\$__timeFrom\(\)/$from/g;
	$sql =~ s/\$__timeTo\(\)/$to/g;
	$sql =~ s/\$__timeFilter\((\w+)\)/$1 BETWEEN $from AND $to/g;
	$sql =~ s/\$__interval/30m/g;
	return $sql;
}

# The command for a program, which is written to a file if need be, and its input.
sub command
{
	my ($language, $code, $database) = @_;
	return (['node', write_file("$dir/$database.mjs", $code)], '') if $language eq 'js';
	return (['java', '-cp', $jar, write_file("$dir/$database.java", $code)], '') if $language eq 'java';
	return (['/usr/bin/python3', write_file("$dir/$database.py", $code)], '') if $language eq 'python';
	return (['psql', '-X', '-q'], expand($code)) if $language =~ /^(?:sql|psql|grafana)$/;
	die "how does one run $language?";
}

# Run it, and return what it prints, errors included.
sub output_of
{
	my ($block, $database) = @_;
	my ($command, $input) = command(@$block{qw(language code)}, $database);
	my $output = '';
	local %ENV = (%ENV, TZ => 'UTC', PGTZ => 'UTC', PGHOST => $address[0], PGPORT => $address[1], PGUSER => $user, PGDATABASE => $database,
		DATABASE_URL => "postgres://$user\@$address[0]:$address[1]/$database",
		PGBOUNCER_URL => "postgres://$user\@$address[0]:" . ($address[2] // 0) . "/$database",
		JDBC_URL => "jdbc:postgresql://$address[0]:$address[1]/$database?user=$user", NO_COLOR => 1);
	delete @ENV{qw(PGAPPNAME FORCE_COLOR)};
	eval { IPC::Run::run($command, '<', \$input, '>&', \$output, IPC::Run::timeout($seconds)); 1 } or $output .= "$@\n";
	$output =~ s/[ \t]+$//mg;
	return $output;
}

# Start pgbouncer in transaction mode with one connection to the server for each database.
sub start_pgbouncer
{
	$address[2] = PostgreSQL::Test::Cluster::get_free_port();
	write_file("$dir/users.txt", qq{"$user" ""\n});
	my $settings = write_file("$dir/pgbouncer.ini", <<"END");
[databases]
* = host=$address[0] port=$address[1]
[pgbouncer]
listen_addr = $address[0]
listen_port = $address[2]
unix_socket_dir =
auth_type = trust
auth_file = $dir/users.txt
pool_mode = transaction
default_pool_size = 1
END
	return IPC::Run::start([$pgbouncer, $settings], '<', \undef, '>&', "$dir/pgbouncer.log");
}

# ---- run all -------------------------------------------------------------------------------------

my ($bouncer, $accepted, $copied, $n) = (undef, '', 0, 0);
for my $block (@blocks)
{
	my $database = 'client' . ++$n;
	my $title = "$block->{heading}: the program in $block->{language} prints what the page shows";
	my $output = $block->{output};
  SKIP:
	{
		if (my $reason = missing($block))
		{
			note("skipped: $block->{heading}: $reason");
			skip($reason, 1);
		}
		if ($block->{code} =~ /PGBOUNCER_URL/)
		{
			$bouncer //= start_pgbouncer();
			for (1 .. 100)
			{
				last if works('psql', '-X', '-q', '-h', $address[0], '-p', $address[2], '-c', '', 'postgres');
				Time::HiRes::usleep(100_000);
			}
		}
		$node->safe_psql('postgres', "CREATE DATABASE $database");
		$node->safe_psql($database, $setup);
		$output = output_of($block, $database);
		is($output, $block->{output}, $title);
	}
	$accepted .= substr($page, $copied, $block->{at} - $copied) . "```$block->{language}\n$block->{code}```\n\n```text\n$output```\n";
	$copied = $block->{end};
}
if ($bouncer)
{
	$bouncer->signal('TERM');
	$bouncer->finish;
}
write_file($ENV{CT_ACCEPT}, $accepted . substr($page, $copied)) if $ENV{CT_ACCEPT};
cmp_ok($n, '>', 15, 'the page has programs');
$node->stop;
done_testing();
