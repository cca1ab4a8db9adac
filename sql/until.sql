-- until(condition): wait, within bounds, until it holds. Included by scripts that wait for the workers; drop it in the end.
CREATE PROCEDURE until(condition text) LANGUAGE plpgsql AS $$
DECLARE
    done boolean;
BEGIN
    FOR i IN 1 .. 600 LOOP
        EXECUTE 'SELECT ' || condition INTO done;
        IF done THEN
            RETURN;
        END IF;
        COMMIT;
        PERFORM pg_sleep(0.05);
    END LOOP;
    RAISE 'waited in vain for %', condition;
END $$;
