-- DDSketch's bucket of a value, as traces/histogram.py has it (-1: zero). One expression, so that the planner
-- writes it into the query.
CREATE FUNCTION sketch_bucket(value bigint) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN value <= 0 THEN -1
                ELSE ceil(ln(value::double precision) / 0.020000666706669435::double precision)::integer END
$$;

-- What was settled before there were rollups is computed like what is settled now.
INSERT INTO dirty_minute (feature_id, minute)
SELECT DISTINCT feature_id, date_trunc('minute', started_at, 'UTC') FROM trace
ON CONFLICT DO NOTHING;
