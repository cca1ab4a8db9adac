-- Every airport at 100 instants, by plain SQL over the raw flights (and the correction) and by the continuous table.
CREATE TEMP TABLE instant AS
    SELECT lo + i * (hi - lo) / 99 AS at
    FROM (SELECT min(at) AS lo, max(at) AS hi FROM movement) span, generate_series(0, 99) i;

CREATE TEMP TABLE plain AS
    SELECT i.at, m.code, sum(m.planes)::bigint AS planes, sum(m.movements)::bigint AS movements
    FROM instant i JOIN (SELECT code, at, planes, movements FROM movement UNION ALL
                         SELECT code, at, planes, movements FROM correction) m ON m.at <= i.at
    GROUP BY i.at, m.code;

CREATE TEMP TABLE continuous AS
    SELECT i.at, a.code, a.planes, a.movements FROM instant i JOIN airport a ON a.at = i.at;

SELECT count(*) AS states, count(*) FILTER (WHERE p IS DISTINCT FROM c) AS differences
FROM plain p FULL JOIN continuous c USING (at, code) \gset
\echo :states 'states of airports compared at 100 instants with plain SQL over the raw flights:'
\echo :differences differences
