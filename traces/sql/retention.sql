-- What is held stays when its day goes: copies with the columns of their originals, not partitioned, read by union.
-- Whoever adds a column to span or log_event adds it here and makes the views anew (a test compares them).
CREATE TABLE held_span (LIKE span INCLUDING ALL);
CREATE TABLE held_log_event (LIKE log_event INCLUDING ALL);
CREATE VIEW all_span AS SELECT * FROM span UNION ALL SELECT * FROM held_span;
CREATE VIEW all_log_event AS SELECT * FROM log_event UNION ALL SELECT * FROM held_log_event;

-- Search documents of held traces whose day is gone: as the default partition they are found by every search, and
-- a held trace that is settled again is written here by itself.
CREATE TABLE search_document_held PARTITION OF search_document DEFAULT;

-- How many days are kept at least, written by the owner's role when it migrates: the application can drop no
-- younger day, whatever it is told.
CREATE TABLE retention_floor (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    days integer NOT NULL CHECK (days >= 1)
);
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON retention_floor FROM clearance_app;

-- Makes the day partitions for [first, last]; those that exist stay. Made apart and then attached: CREATE TABLE ...
-- PARTITION OF would lock out inserts. What is held of such a day moves from the default partition into it.
-- SECURITY DEFINER, because the application owns nothing.
CREATE OR REPLACE FUNCTION ensure_partitions(first date, last date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    made integer := 0;
    d date;
    parent text;
    child text;
BEGIN
    IF last - first > 4000 THEN
        RAISE EXCEPTION 'a range of % days is too long', last - first;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('ensure_partitions'));
    FOR d IN SELECT generate_series(first, last, interval '1 day')::date LOOP
        FOREACH parent IN ARRAY ARRAY['span', 'log_event', 'search_document'] LOOP
            child := parent || '_' || to_char(d, 'YYYYMMDD');
            CONTINUE WHEN to_regclass(format('public.%I', child)) IS NOT NULL;
            EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', child, parent);
            EXECUTE format('ALTER TABLE public.%I ADD CONSTRAINT in_day CHECK (day >= %L AND day < %L)', child, d, d + 1);
            IF parent = 'search_document' THEN
                EXECUTE format('WITH moved AS (DELETE FROM public.search_document_held WHERE day = %L RETURNING *) '
                               'INSERT INTO public.%I SELECT * FROM moved', d, child);
            END IF;
            EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                           parent, child, d, d + 1);
            EXECUTE format('ALTER TABLE public.%I DROP CONSTRAINT in_day', child);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
REVOKE EXECUTE ON FUNCTION ensure_partitions(date, date) FROM PUBLIC;

-- Drops one day of one table after copying what is held of it, in one transaction: nothing that is held is ever
-- gone. Answers with NULLs where there is no such partition. Most is copied before the parent is locked, the rest and
-- the drop take a moment. Who waits for that lock makes inserts wait behind: the caller sets lock_timeout, and tries
-- again after 55P03 (lock_not_available).
CREATE FUNCTION drop_partition(parent text, d date, OUT rows_gone bigint, OUT bytes_freed bigint, OUT rows_held bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    kept_days integer;
    child text := parent || '_' || to_char(d, 'YYYYMMDD');
    is_held text := 'EXISTS (SELECT FROM public.hold h WHERE h.trace_id = s.trace_id '
                    'AND h.feature_id = s.feature_id AND h.released_at IS NULL)';
    copied bigint;
BEGIN
    IF parent NOT IN ('span', 'log_event', 'search_document') THEN
        RAISE EXCEPTION '% has no days', parent;
    END IF;
    SELECT days INTO kept_days FROM public.retention_floor;
    -- A day more than the retention: bodies in hand at midnight, clocks that differ.
    IF kept_days IS NULL OR d >= today - kept_days - 1 THEN
        RAISE EXCEPTION 'the day % is kept: the retention is % days', d, kept_days USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('ensure_partitions'));
    IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(format('public.%I', child))
                   AND inhparent = format('public.%I', parent)::regclass) THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT count(*) FROM public.%I', child) INTO rows_gone;
    bytes_freed := pg_total_relation_size(format('public.%I', child)::regclass);
    rows_held := 0;
    IF parent <> 'search_document' THEN
        EXECUTE format('INSERT INTO public.%I SELECT * FROM public.%I s WHERE %s ON CONFLICT DO NOTHING',
                       'held_' || parent, child, is_held);
        GET DIAGNOSTICS rows_held = ROW_COUNT;
    END IF;
    EXECUTE format('LOCK TABLE ONLY public.%I IN ACCESS EXCLUSIVE MODE', parent);
    -- From here on no hold is placed until this transaction ends (traces/holds.py takes it shared). Not waited for:
    -- whoever has it may be waiting for the table.
    IF NOT pg_try_advisory_xact_lock(hashtext('retention')) THEN
        RAISE EXCEPTION 'a hold is being placed' USING ERRCODE = 'lock_not_available';
    END IF;
    IF parent = 'search_document' THEN
        EXECUTE format('CREATE TEMP TABLE held_document ON COMMIT DROP AS SELECT * FROM public.%I s WHERE %s',
                       child, is_held);
        EXECUTE format('DROP TABLE public.%I', child);
        EXECUTE 'INSERT INTO public.search_document SELECT * FROM pg_temp.held_document';
        GET DIAGNOSTICS rows_held = ROW_COUNT;
        DROP TABLE pg_temp.held_document;
    ELSE
        EXECUTE format('INSERT INTO public.%I SELECT * FROM public.%I s WHERE %s ON CONFLICT DO NOTHING',
                       'held_' || parent, child, is_held);
        GET DIAGNOSTICS copied = ROW_COUNT;
        rows_held := rows_held + copied;
        EXECUTE format('DROP TABLE public.%I', child);
    END IF;
    rows_gone := rows_gone - rows_held;
END
$$;
REVOKE EXECUTE ON FUNCTION drop_partition(text, date) FROM PUBLIC;
