-- The search document of each settled trace, partitioned by the day on which the trace started. `terms` holds the
-- words of `document` and one lexeme `=key:value` for each thing that can be asked of a trace, so that a whole query
-- is one probe of one index. Equality is without regard to case: lexemes are in small letters.
CREATE EXTENSION IF NOT EXISTS btree_gin;

CREATE TABLE search_document (
    trace_id bytea NOT NULL CHECK (length(trace_id) = 16),
    feature_id uuid NOT NULL REFERENCES features_feature (id),
    day date NOT NULL,
    started_at timestamptz NOT NULL,
    worked_ns bigint NOT NULL,           -- duration without the time spent waiting for a person
    tokens bigint NOT NULL,              -- in and out
    cost_usd numeric(20, 10),            -- NULL: unknown
    terms tsvector NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (trace_id, feature_id, day)
) PARTITION BY RANGE (day);

-- The newest that match, when many do.
CREATE INDEX search_document_by_time ON search_document (feature_id, started_at DESC, trace_id DESC);
-- Those that match, when few do.
CREATE INDEX search_document_terms ON search_document USING gin (feature_id, terms);

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
