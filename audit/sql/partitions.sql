-- The record in partitions of a million, so that old ones can be archived and dropped whole. What is there moves as it
-- is: no number, no hash changes. A partition is made by the append that first needs it: no job can be late.
ALTER TABLE audit.record RENAME TO record_before;
ALTER INDEX audit.record_pkey RENAME TO record_before_pkey;
ALTER INDEX audit.record_feature RENAME TO record_before_feature;
ALTER INDEX audit.record_subject RENAME TO record_before_subject;

CREATE TABLE audit.record (LIKE audit.record_before INCLUDING CONSTRAINTS, PRIMARY KEY (number))
    PARTITION BY RANGE (number);
CREATE INDEX record_feature ON audit.record (feature, number);
CREATE INDEX record_subject ON audit.record (subject_type, subject, number);
REVOKE ALL ON audit.record FROM PUBLIC;
GRANT SELECT ON audit.record TO clearance_app, clearance_read;

-- How many records a partition holds.
CREATE FUNCTION audit.partition_size() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1000000::bigint';
GRANT EXECUTE ON FUNCTION audit.partition_size() TO clearance_app;

-- Makes the partition of a record's number, unless it is there.
CREATE FUNCTION audit.make_partition(number bigint) RETURNS void
LANGUAGE plpgsql SET search_path = audit, pg_temp AS $$
DECLARE
    size bigint := audit.partition_size();
    part bigint := (number - 1) / size;
    child text := 'record_' || lpad(part::text, 6, '0');
BEGIN
    IF to_regclass('audit.' || child) IS NULL THEN
        EXECUTE format('CREATE TABLE audit.%I PARTITION OF audit.record FOR VALUES FROM (%s) TO (%s)',
                       child, part * size + 1, (part + 1) * size + 1);
        EXECUTE format('REVOKE ALL ON audit.%I FROM PUBLIC', child);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION audit.make_partition(bigint) FROM PUBLIC;

SELECT audit.make_partition(n) FROM generate_series(1, (SELECT h.number + 1 FROM audit.head h),
    audit.partition_size()) n;
INSERT INTO audit.record SELECT * FROM audit.record_before;
DROP TABLE audit.record_before;

-- What was archived and dropped: the first `size` records, the hash and time of their last, and the roots of the full
-- subtrees over them, the largest first, from which the tree goes on (RFC 9162, 2.1). At most one row.
CREATE TABLE audit.archived (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    size bigint NOT NULL,
    hash bytea NOT NULL,
    at text NOT NULL,
    subtrees bytea[] NOT NULL
);
REVOKE ALL ON audit.archived FROM PUBLIC;
GRANT SELECT ON audit.archived TO clearance_app, clearance_read;

CREATE OR REPLACE FUNCTION audit.append(
    actor_kind text, actor text, session text, action text, feature text, subject_type text, subject text, payload text,
    OUT number bigint, OUT hash bytea
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = audit, pg_temp AS $$
DECLARE
    newest audit.head;
    moment timestamptz;
    digest bytea;
BEGIN
    IF octet_length(payload) > 65536 OR json_typeof(payload::json) <> 'object' THEN
        RAISE EXCEPTION 'the payload must be a JSON object of at most 64 KiB';
    END IF;
    SELECT * INTO STRICT newest FROM audit.head FOR UPDATE;
    number := newest.number + 1;
    IF number % audit.partition_size() = 1 THEN
        PERFORM audit.make_partition(number);
    END IF;
    moment := greatest(clock_timestamp(), newest.at);
    digest := sha256(convert_to(payload, 'UTF8'));
    hash := sha256(
        audit.field(number::text)
        || audit.field(to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
        || audit.field(actor_kind) || audit.field(actor) || audit.field(session) || audit.field(action)
        || audit.field(feature) || audit.field(subject_type) || audit.field(subject)
        || digest || newest.hash
    );
    INSERT INTO audit.record VALUES (
        number, moment, actor_kind, actor, session, action, feature, subject_type, subject, payload, digest,
        newest.hash, hash
    );
    UPDATE audit.head h SET number = append.number, at = moment, hash = append.hash;
END
$$;
