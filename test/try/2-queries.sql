\echo
\echo '-- The busiest airports in the 24 hours before noon on Valentine''s Day: two slices of one table, joined.'
SELECT a.code, a.movements - b.movements AS movements, a.planes - b.planes AS gained
FROM airport a JOIN airport b ON b.code = a.code
WHERE a.at = '2001-02-14 12:00' AND b.at = '2001-02-13 12:00'
ORDER BY movements DESC, code LIMIT 7;

\echo '-- Half an hour at Dallas/Fort Worth: each state, with the time during which it held.'
SELECT during, (state).planes, (state).movements, (state).movement
FROM contime.history(NULL::airport, 'DFW', '2001-02-14 12:00', '2001-02-14 12:30');

\echo '-- An as-of join: the state of each flight''s destination when it landed (planes gained since New Year).'
SELECT f.flight, f.origin, f.destination, f.arrived, a.planes, a.movements
FROM flown f JOIN airport a ON a.code = f.destination AND a.at = f.arrived
WHERE f.flight IN (101, 2001, 9999, 15000, 20000) ORDER BY f.flight;

\echo '-- The plan: the key and the instant are bound by the join.'
EXPLAIN (COSTS OFF)
SELECT f.flight, a.planes FROM flown f JOIN airport a ON a.code = f.destination AND a.at = f.arrived;
