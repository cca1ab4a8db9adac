# Privileges: every object of the extension and of its users, used by every kind of role.
#
# The matrix below has the expected results: a row for each statement, a column for each role. Each cell is run in a transaction of its
# own, which is rolled back. Every member of the extension must be named by a row: a new member makes the test fail until it has one.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../fuzz";
use Contime;
use Wire;

# The roles: owner: owns the tables, has USAGE on the server and CREATE on the schema
#            member: member of owner that inherits its privileges
#            select, insert, update, delete: only that privilege on all tables; column: SELECT (id, at) only
#            none: CONNECT only.  read, write, stats: members of pg_read_all_data, pg_write_all_data, pg_read_all_stats
# The cells: ok; - permission denied (42501); skip: a warning, and no effect; rows=N; t or f; another SQLSTATE.
my $matrix = q{
# -- a table in memory                      owner   member  select  column  insert  update  delete  none    read    write   stats
SELECT                                      ok      ok      ok      -       -       -       -       -       ok      -       -
SELECT then                                 ok      ok      ok      -       -       -       -       -       ok      -       -
SELECT of columns                           ok      ok      ok      ok      -       -       -       -       ok      -       -
SELECT of keys then                         ok      ok      ok      ok      -       -       -       -       ok      -       -
as-of join                                  ok      ok      ok      -       -       -       -       -       ok      -       -
EXPLAIN                                     ok      ok      ok      -       -       -       -       -       ok      -       -
EXPLAIN of columns                          ok      ok      ok      ok      -       -       -       -       ok      -       -
EXPLAIN ANALYZE                             ok      ok      ok      -       -       -       -       -       ok      -       -
EXPLAIN INSERT                              ok      ok      -       -       ok      -       -       -       -       ok      -
COPY TO                                     ok      ok      ok      -       -       -       -       -       ok      -       -
contime.at                                  ok      ok      ok      -       -       -       -       -       ok      -       -
contime.at by key                           ok      ok      ok      -       -       -       -       -       ok      -       -
contime.at_tick                             ok      ok      ok      -       -       -       -       -       ok      -       -
contime.at_tick by key                      ok      ok      ok      -       -       -       -       -       ok      -       -
contime.history                             ok      ok      ok      -       -       -       -       -       ok      -       -
contime.history by key                      ok      ok      ok      -       -       -       -       -       ok      -       -
contime.history_tick                        ok      ok      ok      -       -       -       -       -       ok      -       -
contime.history_tick by key                 ok      ok      ok      -       -       -       -       -       ok      -       -
contime.series                              ok      ok      ok      -       -       -       -       -       ok      -       -
contime.series_tick                         ok      ok      ok      -       -       -       -       -       ok      -       -
contime.since                               ok      ok      ok      -       -       -       -       -       ok      -       -
contime.since_tick                          ok      ok      ok      -       -       -       -       -       ok      -       -
contime.latest                              ok      ok      ok      -       -       -       -       -       ok      -       -
contime.latest by key                       ok      ok      ok      -       -       -       -       -       ok      -       -
contime.latest_tick                         ok      ok      ok      -       -       -       -       -       ok      -       -
contime.latest_tick by key                  ok      ok      ok      -       -       -       -       -       ok      -       -
contime.events                              ok      ok      ok      -       -       -       -       -       ok      -       -
contime.events_tick                         ok      ok      ok      -       -       -       -       -       ok      -       -
contime.reconciliations                     ok      ok      ok      -       -       -       -       -       ok      -       -
contime.reconciliations_tick                ok      ok      ok      -       -       -       -       -       ok      -       -
INSERT                                      ok      ok      -       -       ok      -       -       -       -       ok      -
INSERT SELECT                               ok      ok      -       -       -       -       -       -       -       -       -
COPY FROM                                   ok      ok      -       -       ok      -       -       -       -       ok      -
contime.event                               ok      ok      -       -       ok      -       -       -       -       ok      -
contime.snapshot                            ok      ok      -       -       -       ok      -       -       -       ok      -
contime.finish                              ok      ok      -       -       -       -       ok      -       -       ok      -
UPDATE                                      0A000   0A000   0A000   0A000   0A000   0A000   0A000   0A000   0A000   0A000   0A000
DELETE                                      0A000   0A000   0A000   0A000   0A000   0A000   0A000   0A000   0A000   0A000   0A000
TRUNCATE                                    ok      ok      -       -       -       -       -       -       -       -       -
ANALYZE                                     ok      ok      skip    skip    skip    skip    skip    skip    skip    skip    skip
LOCK                                        42809   42809   42809   42809   42809   42809   42809   42809   42809   42809   42809
ADD COLUMN                                  ok      ok      -       -       -       -       -       -       -       -       -
ALTER options                               ok      ok      -       -       -       -       -       -       -       -       -
RENAME COLUMN                               ok      ok      -       -       -       -       -       -       -       -       -
RENAME                                      ok      ok      -       -       -       -       -       -       -       -       -
OWNER TO none                               -       -       -       -       -       -       -       -       -       -       -
CREATE TRIGGER                              ok      ok      -       -       -       -       -       -       -       -       -
COMMENT                                     ok      ok      -       -       -       -       -       -       -       -       -
DROP                                        ok      ok      -       -       -       -       -       -       -       -       -
# -- a durable table                        owner   member  select  column  insert  update  delete  none    read    write   stats
durable: SELECT                             ok      ok      ok      -       -       -       -       -       ok      -       -
durable: SELECT of columns                  ok      ok      ok      ok      -       -       -       -       ok      -       -
durable: SELECT then                        ok      ok      ok      -       -       -       -       -       ok      -       -
durable: contime.at                         ok      ok      ok      -       -       -       -       -       ok      -       -
durable: contime.history                    ok      ok      ok      -       -       -       -       -       ok      -       -
durable: contime.events                     ok      ok      ok      -       -       -       -       -       ok      -       -
durable: contime.reconciliations            ok      ok      ok      -       -       -       -       -       ok      -       -
durable: EXPLAIN ANALYZE                    ok      ok      ok      -       -       -       -       -       ok      -       -
durable: contime.verify                     ok      ok      ok      -       -       -       -       -       ok      -       -
durable: INSERT                             55000   55000   -       -       55000   -       -       -       -       55000   -
durable: contime.event                      55000   55000   -       -       55000   -       -       -       -       55000   -
durable: contime.snapshot                   55000   55000   -       -       -       55000   -       -       -       55000   -
durable: contime.finish                     55000   55000   -       -       -       -       55000   -       -       55000   -
durable: TRUNCATE                           55000   55000   -       -       -       -       -       -       -       -       -
durable: ANALYZE                            ok      ok      skip    skip    skip    skip    skip    skip    skip    skip    skip
durable: add_source                         ok      ok      -       -       -       -       -       -       -       -       -
durable: drop_source                        ok      ok      -       -       -       -       -       -       -       -       -
durable: repair                             ok      ok      -       -       -       -       -       -       -       -       -
durable: ALTER options                      ok      ok      -       -       -       -       -       -       -       -       -
# -- its event table                        owner   member  select  column  insert  update  delete  none    read    write   stats
events: SELECT                              ok      ok      -       -       -       -       -       -       ok      -       -
events: INSERT                              ok      ok      -       -       ok      -       -       -       -       ok      -
events: INSERT of none                      ok      ok      -       -       ok      -       -       -       -       ok      -
events: UPDATE                              ok      ok      -       -       -       ok      -       -       -       ok      -
events: DELETE                              ok      ok      -       -       -       -       ok      -       -       ok      -
events: TRUNCATE                            ok      ok      -       -       -       -       -       -       -       -       -
events: RENAME                              ok      ok      -       -       -       -       -       -       -       -       -
events: ALTER TYPE                          ok      ok      -       -       -       -       -       -       -       -       -
events: trigger of contime.capture          -       -       -       -       -       -       -       -       -       -       -
events: trigger of contime.source_changed   -       -       -       -       -       -       -       -       -       -       -
events: bind                                ok      ok      -       -       -       -       -       -       -       -       -
# -- views                   owner   member  select  column  insert  update  delete  none    read    write   stats
contime.tables                              rows=3  rows=3  rows=3  rows=3  rows=0  rows=0  rows=0  rows=0  rows=3  rows=0  rows=3
contime.table_stats                         rows=3  rows=3  rows=3  rows=3  rows=0  rows=0  rows=0  rows=0  rows=3  rows=0  rows=3
contime.workers                             rows=0  rows=0  rows=0  rows=0  rows=0  rows=0  rows=0  rows=0  rows=0  rows=0  rows=2
contime.worker_stats                        rows=0  rows=0  rows=0  rows=0  rows=0  rows=0  rows=0  rows=0  rows=0  rows=0  rows=2
contime.source                              ok      ok      ok      ok      ok      ok      ok      ok      ok      ok      ok
contime.source: INSERT                      -       -       -       -       -       -       -       -       -       ok      -
contime.source: UPDATE                      -       -       -       -       -       -       -       -       -       ok      -
contime.source: DELETE                      -       -       -       -       -       -       -       -       -       ok      -
contime.source: TRUNCATE                    -       -       -       -       -       -       -       -       -       -       -
contime.source: TRIGGER                     -       -       -       -       -       -       -       -       -       -       -
contime.version                             ok      ok      ok      ok      ok      ok      ok      ok      ok      ok      ok
contime.tables: INSERT                      55000   55000   55000   55000   55000   55000   55000   55000   55000   55000   55000
# -- the extension                          owner   member  select  column  insert  update  delete  none    read    write   stats
schema: CREATE TABLE                        -       -       -       -       -       -       -       -       -       -       -
schema: CREATE FUNCTION                     -       -       -       -       -       -       -       -       -       -       -
schema: RENAME                              -       -       -       -       -       -       -       -       -       -       -
server: CREATE FOREIGN TABLE                ok      ok      -       -       -       -       -       -       -       -       -
server: OPTIONS                             -       -       -       -       -       -       -       -       -       -       -
server: DROP                                -       -       -       -       -       -       -       -       -       -       -
server: IMPORT FOREIGN SCHEMA               HV00P   HV00P   -       -       -       -       -       -       -       -       -
wrapper: CREATE SERVER                      -       -       -       -       -       -       -       -       -       -       -
wrapper: OWNER                              -       -       -       -       -       -       -       -       -       -       -
extension: UPDATE                           -       -       -       -       -       -       -       -       -       -       -
extension: DROP                             -       -       -       -       -       -       -       -       -       -       -
extension: ADD                              -       -       -       -       -       -       -       -       -       -       -
# -- internal functions: has the role EXECUTE?          owner   member  select  column  insert  update  delete  none    read    write   stats
contime.check_library                       f       f       f       f       f       f       f       f       f       f       f
contime.fdw_handler                         f       f       f       f       f       f       f       f       f       f       f
contime.fdw_validator                       f       f       f       f       f       f       f       f       f       f       f
contime.at_support                          f       f       f       f       f       f       f       f       f       f       f
contime.range_support                       f       f       f       f       f       f       f       f       f       f       f
contime.series_support                      f       f       f       f       f       f       f       f       f       f       f
contime.capture                             f       f       f       f       f       f       f       f       f       f       f
contime.source_changed                      f       f       f       f       f       f       f       f       f       f       f
# -- settings                               owner   member  select  column  insert  update  delete  none    read    write   stats
SET contime.at                              ok      ok      ok      ok      ok      ok      ok      ok      ok      ok      ok
SET contime.require_instant                 ok      ok      ok      ok      ok      ok      ok      ok      ok      ok      ok
SET contime.memory                          55P02   55P02   55P02   55P02   55P02   55P02   55P02   55P02   55P02   55P02   55P02
SET contime.workers                         55P02   55P02   55P02   55P02   55P02   55P02   55P02   55P02   55P02   55P02   55P02
};

my $row = q{ROW(1, '2026-01-05', 1, NULL)};
my $instants = q{'2026-01-01', '2026-02-01'};

# The statement of each row, and the members of the extension that it uses. A statement that begins with may: returns t or f,
# one with rows: the number of rows.
my %statement = (
	'SELECT' => 'SELECT * FROM account',
	'SELECT then' => q{SELECT * FROM account WHERE id = 1 AND at = '2026-01-03'},
	'SELECT of columns' => 'SELECT id FROM account',
	'SELECT of keys then' => q{SELECT id, at FROM account WHERE at = '2026-01-03'},
	'as-of join' => q{SELECT a.balance FROM (VALUES (timestamptz '2026-01-03')) t(at) JOIN account a ON a.at = t.at},
	'EXPLAIN' => 'EXPLAIN SELECT * FROM account',
	'EXPLAIN of columns' => 'EXPLAIN SELECT id FROM account',
	'EXPLAIN ANALYZE' => 'EXPLAIN ANALYZE SELECT * FROM account',
	'EXPLAIN INSERT' => q{EXPLAIN INSERT INTO account (id, at, balance) VALUES (1, '2026-01-05', 1)},
	'COPY TO' => 'COPY (SELECT * FROM account) TO STDOUT',
	'contime.at' => [ q{SELECT * FROM contime.at(NULL::account, '2026-01-03')}, 'function contime.at(anyelement,timestamp with time zone)' ],
	'contime.at by key' => [ q{SELECT * FROM contime.at(NULL::account, '2026-01-03', 1)}, 'function contime.at(anyelement,timestamp with time zone,anycompatible)' ],
	'contime.at_tick' => [ 'SELECT * FROM contime.at_tick(NULL::frame, 3)', 'function contime.at_tick(anyelement,bigint)' ],
	'contime.at_tick by key' => [ 'SELECT * FROM contime.at_tick(NULL::frame, 3, 1)', 'function contime.at_tick(anyelement,bigint,anycompatible)' ],
	'contime.history' => [ "SELECT * FROM contime.history(NULL::account, $instants)", 'function contime.history(anyelement,timestamp with time zone,timestamp with time zone)' ],
	'contime.history by key' => [ "SELECT * FROM contime.history(NULL::account, 1, $instants)", 'function contime.history(anyelement,anycompatible,timestamp with time zone,timestamp with time zone,name[],boolean)' ],
	'contime.history_tick' => [ 'SELECT * FROM contime.history_tick(NULL::frame, 0, 5)', 'function contime.history_tick(anyelement,bigint,bigint)' ],
	'contime.history_tick by key' => [ 'SELECT * FROM contime.history_tick(NULL::frame, 1, 0, 5)', 'function contime.history_tick(anyelement,anycompatible,bigint,bigint,name[],boolean)' ],
	'contime.series' => [ "SELECT * FROM contime.series(NULL::account, 1, $instants, '1 day')", 'function contime.series(anyelement,anycompatible,timestamp with time zone,timestamp with time zone,interval)' ],
	'contime.series_tick' => [ 'SELECT * FROM contime.series_tick(NULL::frame, 1, 0, 5, 1)', 'function contime.series_tick(anyelement,anycompatible,bigint,bigint,bigint)' ],
	'contime.since' => [ q{SELECT contime.since(NULL::account, 1, '2026-01-03')}, 'function contime.since(anyelement,anycompatible,timestamp with time zone)' ],
	'contime.since_tick' => [ 'SELECT contime.since_tick(NULL::frame, 1, 3)', 'function contime.since_tick(anyelement,anycompatible,bigint)' ],
	'contime.latest' => [ 'SELECT contime.latest(NULL::account)', 'function contime.latest(anyelement)' ],
	'contime.latest by key' => [ 'SELECT contime.latest(NULL::account, 1)', 'function contime.latest(anyelement,anycompatible)' ],
	'contime.latest_tick' => [ 'SELECT contime.latest_tick(NULL::frame)', 'function contime.latest_tick(anyelement)' ],
	'contime.latest_tick by key' => [ 'SELECT contime.latest_tick(NULL::frame, 1)', 'function contime.latest_tick(anyelement,anycompatible)' ],
	'contime.events' => [ "SELECT * FROM contime.events(NULL::account, 1, $instants)", 'function contime.events(anyelement,anycompatible,timestamp with time zone,timestamp with time zone)' ],
	'contime.events_tick' => [ 'SELECT * FROM contime.events_tick(NULL::frame, 1, 0, 5)', 'function contime.events_tick(anyelement,anycompatible,bigint,bigint)' ],
	'contime.reconciliations' => [ 'SELECT * FROM contime.reconciliations(NULL::account)', 'function contime.reconciliations(anyelement,bigint)' ],
	'contime.reconciliations_tick' => [ 'SELECT * FROM contime.reconciliations_tick(NULL::frame)', 'function contime.reconciliations_tick(anyelement,bigint)' ],
	'INSERT' => q{INSERT INTO account (id, at, balance) VALUES (1, '2026-01-05', 1)},
	'INSERT SELECT' => q{INSERT INTO account (id, at, balance) SELECT id, at, balance FROM account WHERE at = '2026-01-03'},
	'COPY FROM' => 'COPY account (id, at, balance) FROM STDIN',
	'contime.event' => [ "SELECT contime.event($row\::account)", 'function contime.event(anyelement,name[])' ],
	'contime.snapshot' => [ "SELECT contime.snapshot($row\::account)", 'function contime.snapshot(anyelement,name[])' ],
	'contime.finish' => [ "SELECT contime.finish(ROW(1, '2026-01-05', NULL, NULL)::account)", 'function contime.finish(anyelement)' ],
	'UPDATE' => 'UPDATE account SET balance = 1',
	'DELETE' => 'DELETE FROM account',
	'TRUNCATE' => 'TRUNCATE account',
	'ANALYZE' => 'ANALYZE account',
	'LOCK' => 'LOCK TABLE account IN ACCESS SHARE MODE',
	'ADD COLUMN' => 'ALTER FOREIGN TABLE account ADD COLUMN more int',
	'ALTER options' => q{ALTER FOREIGN TABLE account OPTIONS (ADD notify 'off')},
	'RENAME COLUMN' => 'ALTER FOREIGN TABLE account RENAME COLUMN note TO remark',
	'RENAME' => 'ALTER FOREIGN TABLE account RENAME TO accounts',
	'OWNER TO none' => 'ALTER FOREIGN TABLE account OWNER TO none_',
	'CREATE TRIGGER' => 'CREATE TRIGGER t BEFORE INSERT ON account FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()',
	'COMMENT' => q{COMMENT ON FOREIGN TABLE account IS 'x'},
	'DROP' => 'DROP FOREIGN TABLE account',
	'durable: SELECT' => 'SELECT * FROM ledger',
	'durable: SELECT of columns' => 'SELECT id FROM ledger',
	'durable: SELECT then' => q{SELECT * FROM ledger WHERE at = '2026-01-03'},
	'durable: contime.at' => q{SELECT * FROM contime.at(NULL::ledger, '2026-01-03')},
	'durable: contime.history' => "SELECT * FROM contime.history(NULL::ledger, 1, $instants)",
	'durable: contime.events' => "SELECT * FROM contime.events(NULL::ledger, 1, $instants)",
	'durable: contime.reconciliations' => 'SELECT * FROM contime.reconciliations(NULL::ledger)',
	'durable: EXPLAIN ANALYZE' => 'EXPLAIN ANALYZE SELECT * FROM ledger',
	'durable: contime.verify' => [ q{SELECT * FROM contime.verify('ledger')}, 'function contime.verify(regclass)' ],
	'durable: INSERT' => q{INSERT INTO ledger (id, at) VALUES (1, '2026-01-05')},
	'durable: contime.event' => q{SELECT contime.event(ROW(1, '2026-01-05', 1)::ledger)},
	'durable: contime.snapshot' => q{SELECT contime.snapshot(ROW(1, '2026-01-05', 1)::ledger)},
	'durable: contime.finish' => q{SELECT contime.finish(ROW(1, '2026-01-05', NULL)::ledger)},
	'durable: TRUNCATE' => 'TRUNCATE ledger',
	'durable: ANALYZE' => 'ANALYZE ledger',
	'durable: add_source' => [ q{SELECT contime.add_source('empty', 'movement', '{}', 'snapshot')}, 'function contime.add_source(regclass,regclass,jsonb,text)' ],
	'durable: drop_source' => [ q{SELECT contime.drop_source('empty', 'more')}, 'function contime.drop_source(regclass,regclass)' ],
	'durable: repair' => [ q{SELECT contime.repair('ledger')}, 'function contime.repair(regclass)' ],
	'durable: ALTER options' => q{ALTER FOREIGN TABLE ledger OPTIONS (ADD notify 'off')},
	'events: SELECT' => 'SELECT * FROM movement',
	'events: INSERT' => q{INSERT INTO movement VALUES (1, '2026-01-05', 5)},
	'events: INSERT of none' => 'INSERT INTO movement SELECT 1, now(), 1 WHERE false',
	'events: UPDATE' => 'UPDATE movement SET amount = 5',
	'events: DELETE' => 'DELETE FROM movement',
	'events: TRUNCATE' => 'TRUNCATE movement',
	'events: RENAME' => 'ALTER TABLE movement RENAME TO movements',
	'events: ALTER TYPE' => 'ALTER TABLE movement ALTER COLUMN amount TYPE bigint',
	'events: trigger of contime.capture' => 'CREATE TRIGGER t AFTER INSERT ON movement FOR EACH ROW EXECUTE FUNCTION contime.capture()',
	'events: trigger of contime.source_changed' => 'CREATE TRIGGER t AFTER INSERT ON movement FOR EACH ROW EXECUTE FUNCTION contime.source_changed()',
	'events: bind' => q{CREATE FOREIGN TABLE other (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), amount int) SERVER contime OPTIONS (events 'movement')},
	'contime.tables' => [ q{rows: SELECT * FROM contime.tables WHERE "table"::text IN ('account', 'ledger', 'frame')}, 'view contime.tables' ],
	'contime.table_stats' => [ q{rows: SELECT * FROM contime.table_stats() WHERE "table"::text IN ('account', 'ledger', 'frame')}, 'function contime.table_stats()' ],
	'contime.workers' => [ 'rows: SELECT * FROM contime.workers', 'view contime.workers' ],
	'contime.worker_stats' => [ 'rows: SELECT * FROM contime.worker_stats()', 'function contime.worker_stats()' ],
	'contime.source' => [ 'SELECT * FROM contime.source', 'table contime.source' ],
	'contime.source: INSERT' => q{INSERT INTO contime.source SELECT 'account', 'movement', 'event', '{}' WHERE false},
	'contime.source: UPDATE' => q{UPDATE contime.source SET kind = 'event' WHERE false},
	'contime.source: DELETE' => 'DELETE FROM contime.source WHERE false',
	'contime.source: TRUNCATE' => 'TRUNCATE contime.source',
	'contime.source: TRIGGER' => 'CREATE TRIGGER t BEFORE INSERT ON contime.source FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()',
	'contime.tables: INSERT' => 'INSERT INTO contime.tables DEFAULT VALUES',
	'schema: CREATE TABLE' => [ 'CREATE TABLE contime.x (id int)', 'schema contime' ],
	'schema: CREATE FUNCTION' => 'CREATE FUNCTION contime.at(anyelement, timestamptz, int) RETURNS int LANGUAGE sql AS $$SELECT 1$$',
	'schema: RENAME' => 'ALTER SCHEMA contime RENAME TO other',
	'server: CREATE FOREIGN TABLE' => [ q{CREATE FOREIGN TABLE other (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true')) SERVER contime}, 'server contime' ],
	'server: OPTIONS' => q{ALTER SERVER contime OPTIONS (ADD x 'y')},
	'server: DROP' => 'DROP SERVER contime CASCADE',
	'server: IMPORT FOREIGN SCHEMA' => 'IMPORT FOREIGN SCHEMA public FROM SERVER contime INTO shop',
	'wrapper: CREATE SERVER' => [ 'CREATE SERVER other FOREIGN DATA WRAPPER contime_fdw', 'foreign-data wrapper contime_fdw' ],
	'wrapper: OWNER' => 'ALTER FOREIGN DATA WRAPPER contime_fdw OWNER TO CURRENT_USER',
	'extension: UPDATE' => 'ALTER EXTENSION contime UPDATE',
	'extension: DROP' => 'DROP EXTENSION contime CASCADE',
	'extension: ADD' => 'ALTER EXTENSION contime ADD FOREIGN TABLE account',
	'contime.version' => [ 'SELECT contime.version()', 'function contime.version()' ],
	'contime.check_library' => [ q{may: 'contime.check_library(text)'}, 'function contime.check_library(text)' ],
	'contime.fdw_handler' => [ q{may: 'contime.fdw_handler()'}, 'function contime.fdw_handler()' ],
	'contime.fdw_validator' => [ q{may: 'contime.fdw_validator(text[], oid)'}, 'function contime.fdw_validator(text[],oid)' ],
	'contime.at_support' => [ q{may: 'contime.at_support(internal)'}, 'function contime.at_support(internal)' ],
	'contime.range_support' => [ q{may: 'contime.range_support(internal)'}, 'function contime.range_support(internal)' ],
	'contime.series_support' => [ q{may: 'contime.series_support(internal)'}, 'function contime.series_support(internal)' ],
	'contime.capture' => [ q{may: 'contime.capture()'}, 'function contime.capture()' ],
	'contime.source_changed' => [ q{may: 'contime.source_changed()'}, 'function contime.source_changed()', 'trigger changed on contime.source' ],
	'SET contime.at' => q{SET contime.at = '2026-01-01'},
	'SET contime.require_instant' => 'SET contime.require_instant = on',
	'SET contime.memory' => q{SET contime.memory = '1GB'},
	'SET contime.workers' => 'SET contime.workers = 5',
);

my @roles = qw(owner member select column insert update delete none read write stats);
my $node = contime_node('privileges', 'contime.workers' => 2);
my $made = q{
	CREATE SCHEMA shop;
	CREATE ROLE owner_ LOGIN; CREATE ROLE member_ LOGIN IN ROLE owner_;
	CREATE ROLE select_ LOGIN; CREATE ROLE column_ LOGIN; CREATE ROLE insert_ LOGIN; CREATE ROLE update_ LOGIN; CREATE ROLE delete_ LOGIN; CREATE ROLE none_ LOGIN;
	CREATE ROLE read_ LOGIN IN ROLE pg_read_all_data; CREATE ROLE write_ LOGIN IN ROLE pg_write_all_data; CREATE ROLE stats_ LOGIN IN ROLE pg_read_all_stats;
	GRANT USAGE ON FOREIGN SERVER contime TO owner_; GRANT CREATE, USAGE ON SCHEMA shop TO owner_; GRANT USAGE ON SCHEMA shop TO PUBLIC;
	DROP FOREIGN TABLE account;
	SET SESSION AUTHORIZATION owner_; SET search_path = shop;
	CREATE FOREIGN TABLE account (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), balance bigint OPTIONS (rule 'sum'), note text) SERVER contime;
	CREATE FOREIGN TABLE frame (id int OPTIONS (key 'true'), at bigint OPTIONS (time 'true'), x int) SERVER contime;
	CREATE TABLE movement (id int, at timestamptz, amount int);
	CREATE TABLE more (id int, at timestamptz, amount int);
	CREATE FOREIGN TABLE ledger (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), amount bigint OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'movement');
	CREATE FOREIGN TABLE empty (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), amount bigint) SERVER contime;
	SELECT contime.add_source('empty', 'more');
	INSERT INTO account (id, at, balance) VALUES (1, '2026-01-01', 5), (2, '2026-01-02', 5);
	INSERT INTO frame VALUES (1, 1, 5);
	INSERT INTO movement VALUES (1, '2026-01-01', 5), (2, '2026-01-02', 5);
	GRANT SELECT ON account, frame, ledger, empty TO select_; GRANT SELECT (id, at) ON account, frame, ledger, empty TO column_;
	GRANT INSERT ON account, frame, ledger, empty, movement TO insert_; GRANT UPDATE ON account, frame, ledger, empty, movement TO update_; GRANT DELETE ON account, frame, ledger, empty, movement TO delete_;
	SELECT * FROM ledger;
};
$node->safe_psql('postgres', $made);
local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;

# Return the cell of a row for a role.
sub cell
{
	my ($session, $sql) = @_;
	my $rows = $sql =~ s/^rows: //;
	$sql = "SELECT pg_catalog.has_function_privilege($sql, 'EXECUTE')" if my $may = $sql =~ s/^may: //;
	$session->send('BEGIN');
	$session->receive(30);
	$session->send($sql, "3\t2026-01-05\t1\n");
	my $answer = $session->receive(30);
	$session->send('ROLLBACK');
	$session->receive(30);
	return 'gone' if $answer->{gone} || $answer->{late};
	return $answer->{state} eq '42501' ? '-' : $answer->{state} if $answer->{state};
	return $rows ? "rows=$answer->{rows}" : $may ? $answer->{first}[0] : $answer->{warning} ? 'skip' : 'ok';
}

my (@expected, %named);
for my $line (grep { /\S/ && !/^#/ } split /\n/, $matrix)
{
	my ($name, @cells) = split /\s\s+/, $line;
	die "no statement for $name" if !$statement{$name} || @cells != @roles;
	push @expected, [ $name, @cells ];
	my (undef, @members) = ref $statement{$name} ? @{ $statement{$name} } : ();
	$named{$_} = 1 for @members;
}
is(join(', ', grep { my $name = $_; !grep { $_->[0] eq $name } @expected } sort keys %statement), '', 'each statement has a row in the matrix');

# Reads come first, as a superuser: contime.tables shows an empty cache to no role.
$node->safe_psql('postgres', 'SELECT count(*) FROM shop.ledger');
until_true($node, q{SELECT count(*) = 3 FROM contime.tables WHERE "table" IN ('shop.account'::regclass, 'shop.ledger'::regclass, 'shop.frame'::regclass)}, 'all three tables hold data');
my %session = map { $_ => Wire->new($_, "${_}_", 'postgres', 'search_path' => 'shop') // die "no session of $_" } @roles;
for my $row (@expected)
{
	my ($name, @cells) = @$row;
	my $sql = ref $statement{$name} ? $statement{$name}[0] : $statement{$name};
	my @got = map { cell($session{$_}, $sql) } @roles;
	is(sprintf('%-42s' . ' %-7s' x @got, $name, @got), sprintf('%-42s' . ' %-7s' x @cells, $name, @cells), $name);
}
$_->close for values %session;

# Each member of the extension must be named by a row. (Since PostgreSQL 17 the row types of tables are members, too.)
my $members = $node->safe_psql('postgres', q{SELECT o.type || ' ' || replace(o.identity, 'pg_catalog.', '') FROM pg_catalog.pg_depend d, pg_catalog.pg_extension e, pg_catalog.pg_identify_object(d.classid, d.objid, 0) o
	WHERE e.extname = 'contime' AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e' AND NOT EXISTS (SELECT FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type element ON element.oid = t.typelem
		WHERE d.classid = 'pg_catalog.pg_type'::regclass AND t.oid = d.objid AND (t.typrelid <> 0 OR element.typrelid <> 0))});
is(join("\n", grep { !$named{$_} } split /\n/, $members), '', 'the matrix names every member of the extension');

# Another database: tables of this one cannot be used there, by name, OID or view, whatever rights the role has here.
$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
$node->safe_psql('elsewhere', 'CREATE EXTENSION contime');
is($node->safe_psql('elsewhere', 'SELECT count(*) FROM contime.tables'), '0', 'contime.tables shows tables of its own database only');
my $oid = $node->safe_psql('postgres', q{SELECT 'shop.ledger'::regclass::oid});
for my $call ("contime.verify($oid)", "contime.add_source($oid, $oid)", "contime.drop_source($oid, $oid)", "contime.repair($oid)")
{
	my (undef, undef, $error) = $node->psql('elsewhere', "\\set VERBOSITY verbose\nSELECT $call");
	like($error, qr/ERROR:  42(P01|809):/, "in another database $call fails");
}
my @messages = split /\n/, $node->safe_psql('postgres', 'LISTEN contime');
is(scalar(@messages), 0, 'nothing is sent for rolled back transactions');

$node->stop('fast');
done_testing();
