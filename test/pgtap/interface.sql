-- The SQL interface: its objects, their volatility and parallel safety, and privileges.
BEGIN;
SELECT no_plan();

SELECT has_extension('contime');
SELECT has_schema('contime');
SELECT is((SELECT extversion FROM pg_extension WHERE extname = 'contime'), '0.2.0', 'the version is that of the control file');

-- Exactly these functions.
SELECT set_eq(
    $$SELECT p.oid::regprocedure::text FROM pg_proc p WHERE pronamespace = 'contime'::regnamespace$$,
    ARRAY['contime.version()', 'contime.check_library(text)', 'contime.fdw_handler()', 'contime.fdw_validator(text[],oid)', 'contime.event(anyelement,name[])',
          'contime.snapshot(anyelement,name[])', 'contime.finish(anyelement)',
          'contime.at(anyelement,timestamp with time zone)', 'contime.at(anyelement,timestamp with time zone,anycompatible)',
          'contime.at_tick(anyelement,bigint)', 'contime.at_tick(anyelement,bigint,anycompatible)',
          'contime.history(anyelement,anycompatible,timestamp with time zone,timestamp with time zone,name[],boolean)',
          'contime.history_tick(anyelement,anycompatible,bigint,bigint,name[],boolean)',
          'contime.history(anyelement,timestamp with time zone,timestamp with time zone)', 'contime.history_tick(anyelement,bigint,bigint)',
          'contime.series(anyelement,anycompatible,timestamp with time zone,timestamp with time zone,interval)',
          'contime.series_tick(anyelement,anycompatible,bigint,bigint,bigint)',
          'contime.since(anyelement,anycompatible,timestamp with time zone)', 'contime.since_tick(anyelement,anycompatible,bigint)',
          'contime.latest(anyelement)', 'contime.latest(anyelement,anycompatible)', 'contime.latest_tick(anyelement)', 'contime.latest_tick(anyelement,anycompatible)',
          'contime.events(anyelement,anycompatible,timestamp with time zone,timestamp with time zone)',
          'contime.events_tick(anyelement,anycompatible,bigint,bigint)',
          'contime.at_support(internal)', 'contime.range_support(internal)', 'contime.series_support(internal)',
          'contime.reconciliations(anyelement,bigint)', 'contime.reconciliations_tick(anyelement,bigint)',
          'contime.add_source(regclass,regclass,jsonb,text)', 'contime.drop_source(regclass,regclass)', 'contime.repair(regclass)', 'contime.source_changed()',
          'contime.capture()', 'contime.verify(regclass)',
          'contime.table_stats()', 'contime.worker_stats()'],
    'the schema has exactly these functions');
SELECT set_eq(
    $$SELECT relname::text FROM pg_class WHERE relnamespace = 'contime'::regnamespace AND relkind IN ('r', 'v', 'm', 'f', 'S')$$,
    ARRAY['tables', 'workers', 'source'], 'the schema has exactly these views and tables');
SELECT has_view('contime', 'tables', 'contime.tables is a view');
SELECT has_view('contime', 'workers', 'contime.workers is a view');

-- Every object has a comment.
SELECT is_empty(
    $$SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'contime'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL$$,
    'every function has a comment');
SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class WHERE relnamespace = 'contime'::regnamespace AND relkind IN ('v', 'r') AND obj_description(oid, 'pg_class') IS NULL$$,
    'every view and table has a comment');
SELECT isnt((SELECT obj_description(oid, 'pg_foreign_server') FROM pg_foreign_server WHERE srvname = 'contime'), NULL, 'the server has a comment');
SELECT isnt((SELECT obj_description(oid, 'pg_foreign_data_wrapper') FROM pg_foreign_data_wrapper WHERE fdwname = 'contime_fdw'), NULL, 'the foreign data wrapper has a comment');

-- Every object belongs to the extension.
SELECT is_empty(
    $$SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'contime'::regnamespace AND NOT EXISTS
        (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')$$,
    'every function is a member of the extension');

-- Volatility: functions that write are volatile, those that read stable (the same answer throughout a statement).
SELECT volatility_is('contime', f, ARRAY['anyelement', 'name[]'], 'volatile') FROM unnest(ARRAY['event', 'snapshot']::name[]) f;
SELECT volatility_is('contime', 'finish', ARRAY['anyelement'], 'volatile');
SELECT volatility_is('contime', 'at', ARRAY['anyelement', 'timestamp with time zone'], 'stable');
SELECT volatility_is('contime', 'at', ARRAY['anyelement', 'timestamp with time zone', 'anycompatible'], 'stable');
SELECT volatility_is('contime', 'history', ARRAY['anyelement', 'anycompatible', 'timestamp with time zone', 'timestamp with time zone', 'name[]', 'boolean'], 'stable');
SELECT volatility_is('contime', 'at_tick', ARRAY['anyelement', 'bigint'], 'stable');
SELECT volatility_is('contime', 'history_tick', ARRAY['anyelement', 'anycompatible', 'bigint', 'bigint', 'name[]', 'boolean'], 'stable');
SELECT is_empty(
    $$SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'contime'::regnamespace AND proname IN ('event', 'snapshot', 'finish') AND proparallel <> 'u'$$,
    'functions that write are PARALLEL UNSAFE');
SELECT is_empty(
    $$SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'contime'::regnamespace AND prosecdef$$,
    'no function is SECURITY DEFINER');

-- Privileges.
CREATE ROLE nobody_in_particular;
SELECT ok(has_schema_privilege('nobody_in_particular', 'contime', 'USAGE'), 'everybody may use the schema');
SELECT ok(NOT has_schema_privilege('nobody_in_particular', 'contime', 'CREATE'), 'other roles may not create objects in the schema');
SELECT ok(NOT has_server_privilege('nobody_in_particular', 'contime', 'USAGE'), 'USAGE on the server is not granted to everybody');
SELECT ok(has_table_privilege('nobody_in_particular', 'contime.tables', 'SELECT'), 'everybody may read contime.tables');
SELECT ok(has_table_privilege('nobody_in_particular', 'contime.workers', 'SELECT'), 'everybody may read contime.workers');

-- Settings.
SELECT is((SELECT context FROM pg_settings WHERE name = 'contime.memory'), 'postmaster', 'contime.memory can be set at server start only');
SELECT is((SELECT boot_val || coalesce(unit, '') FROM pg_settings WHERE name = 'contime.memory'), '256MB', 'contime.memory is 256MB by default');
SELECT is((SELECT context FROM pg_settings WHERE name = 'contime.workers'), 'postmaster', 'contime.workers can be set at server start only');
SELECT is((SELECT boot_val FROM pg_settings WHERE name = 'contime.workers'), '2', 'contime.workers is 2 by default');
SELECT is_empty(
    $$SELECT name FROM pg_settings WHERE name LIKE 'contime.%' AND (short_desc IS NULL OR short_desc = '')$$, 'every setting has a description');
SELECT throws_ok('SET contime.no_such_setting = 1', '42602', NULL, 'other settings with the prefix contime are refused');
SELECT is((SELECT count(*) FROM contime.workers), current_setting('contime.workers')::bigint, 'each partition has a worker');

SELECT * FROM finish();
ROLLBACK;
