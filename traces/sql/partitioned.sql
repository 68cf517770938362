-- Spans and log events, partitioned by day. Trace first in the key: one trace is found by one probe a partition;
-- the feature in every key: a key of one feature can never shadow another's spans.
CREATE TABLE span (
    trace_id bytea NOT NULL CHECK (length(trace_id) = 16),
    span_id bytea NOT NULL CHECK (length(span_id) = 8),
    feature_id uuid NOT NULL REFERENCES features_feature (id),
    day date NOT NULL,
    started_at timestamptz NOT NULL,
    duration_ns bigint NOT NULL CHECK (duration_ns >= 0),
    kind text NOT NULL,
    name text NOT NULL,
    status text NOT NULL,
    calls_model boolean NOT NULL,
    model text,
    input_tokens bigint,
    output_tokens bigint,
    tool_name text,
    body_hash bytea NOT NULL,
    -- The whole span in the vocabulary, as msgspec wrote it: json keeps its keys' order and its numbers as they came.
    body json NOT NULL,
    PRIMARY KEY (trace_id, span_id, feature_id, day)
) PARTITION BY RANGE (day);

-- span_id is '' for a record of the trace as a whole: NULL cannot stand in a key.
CREATE TABLE log_event (
    trace_id bytea NOT NULL CHECK (length(trace_id) = 16),
    span_id bytea NOT NULL CHECK (length(span_id) IN (0, 8)),
    feature_id uuid NOT NULL REFERENCES features_feature (id),
    day date NOT NULL,
    event_name text NOT NULL,
    observed_ns bigint NOT NULL,
    body_hash bytea NOT NULL,
    body json NOT NULL,
    PRIMARY KEY (trace_id, span_id, event_name, observed_ns, body_hash, feature_id, day)
) PARTITION BY RANGE (day);

-- Makes the day partitions of both tables for [first, last]; those that exist stay. Made apart and then attached:
-- CREATE TABLE ... PARTITION OF would lock out inserts. SECURITY DEFINER, because the application owns nothing.
CREATE FUNCTION ensure_partitions(first date, last date) RETURNS integer
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
        FOREACH parent IN ARRAY ARRAY['span', 'log_event'] LOOP
            child := parent || '_' || to_char(d, 'YYYYMMDD');
            CONTINUE WHEN to_regclass(format('public.%I', child)) IS NOT NULL;
            EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', child, parent);
            EXECUTE format('ALTER TABLE public.%I ADD CONSTRAINT in_day CHECK (day >= %L AND day < %L)', child, d, d + 1);
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
