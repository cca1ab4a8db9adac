-- Ordinary tables to compare with: the flights, and the change that each made at two airports.
CREATE TABLE flight (
    flight         int PRIMARY KEY,
    scheduled_at   timestamptz,
    delay_minutes  int,
    distance_miles int,
    origin         text,
    destination    text
);
\copy flight FROM 'data/flights.csv' CSV HEADER

CREATE TABLE flown AS
    SELECT flight, origin, destination, scheduled_at + delay_minutes * interval '1 minute' AS departed,
           scheduled_at + delay_minutes * interval '1 minute' + distance_miles * interval '7.2 seconds' AS arrived
    FROM flight;
CREATE VIEW movement AS
    SELECT origin AS code, departed AS at, -1 AS planes, 1 AS movements, flight || '-D' AS movement FROM flown
    UNION ALL
    SELECT destination, arrived, 1, 1, flight || '-A' FROM flown;

-- The same events in random order, in 20 lots.
CREATE TABLE lot AS
    SELECT row_number() OVER (ORDER BY hashtextextended(movement, 2001)) AS turn, 0 AS lot, * FROM movement;
UPDATE lot SET lot = turn % 20;

-- The continuous table: a row for every airport at every instant.
CREATE EXTENSION contime;
CREATE FOREIGN TABLE airport (
    code      text        OPTIONS (key 'true'),
    at        timestamptz OPTIONS (time 'true'),
    planes    bigint      OPTIONS (rule 'sum', initial '0'),
    movements bigint      OPTIONS (rule 'sum', initial '0'),
    movement  text        OPTIONS (event_id 'true')
) SERVER contime;
