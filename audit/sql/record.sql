-- The record and its one way in. Everything here belongs to audit_owner, who cannot log in; the application may read
-- and call the two functions, nothing else.
CREATE TABLE audit.record (
    number bigint PRIMARY KEY CHECK (number > 0),
    at timestamptz NOT NULL,
    actor_kind text NOT NULL CHECK (actor_kind IN ('person', 'key', 'system', 'operator')),
    actor text NOT NULL,
    session text NOT NULL,
    action text NOT NULL CHECK (action ~ '^[a-z][a-z_]*\.[a-z][a-z_]*$'),
    feature text NOT NULL,
    subject_type text NOT NULL,
    subject text NOT NULL,
    -- Canonical JSON (RFC 8785), kept as the text that was hashed.
    payload text NOT NULL,
    payload_hash bytea NOT NULL CHECK (length(payload_hash) = 32),
    previous bytea NOT NULL CHECK (length(previous) = 32),
    hash bytea NOT NULL CHECK (length(hash) = 32)
);
-- Read by the audit page: a feature's records, a subject's records.
CREATE INDEX record_feature ON audit.record (feature, number);
CREATE INDEX record_subject ON audit.record (subject_type, subject, number);

-- The one row that every append locks: the number and hash of the newest record.
CREATE TABLE audit.head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    hash bytea NOT NULL
);
INSERT INTO audit.head (number, at, hash) VALUES (0, '-infinity', decode(repeat('00', 32), 'hex'));

CREATE TABLE audit.checkpoint (
    size bigint PRIMARY KEY CHECK (size > 0),
    root bytea NOT NULL CHECK (length(root) = 32),
    at text NOT NULL,
    key_id text NOT NULL,
    signature bytea NOT NULL CHECK (length(signature) = 64)
);

-- One field of what is hashed: its length in bytes, then itself, so that no two records spell the same bytes.
CREATE FUNCTION audit.field(value text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT SET search_path = audit, pg_temp AS $$
    SELECT pg_catalog.int4send(pg_catalog.octet_length(pg_catalog.convert_to(value, 'UTF8')))
        || pg_catalog.convert_to(value, 'UTF8')
$$;

-- Appends a record and returns its number and hash. It holds the head's row until the caller's transaction ends: call
-- it last. Times never run backwards, whatever the clock does.
CREATE FUNCTION audit.append(
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

-- Stores a signed checkpoint of the first `size` records; never an older or a longer one than there is.
CREATE FUNCTION audit.add_checkpoint(size bigint, root bytea, at text, key_id text, signature bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = audit, pg_temp AS $$
BEGIN
    IF size > (SELECT h.number FROM audit.head h) THEN
        RAISE EXCEPTION 'there are fewer than % records', size;
    END IF;
    IF EXISTS (SELECT FROM audit.checkpoint c WHERE c.size >= add_checkpoint.size) THEN
        RAISE EXCEPTION 'a checkpoint of % records or more is stored', size;
    END IF;
    INSERT INTO audit.checkpoint VALUES (size, root, at, key_id, signature);
END
$$;

REVOKE ALL ON ALL TABLES IN SCHEMA audit FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA audit FROM PUBLIC;
GRANT SELECT ON audit.record, audit.head, audit.checkpoint TO clearance_app, clearance_read;
GRANT EXECUTE ON FUNCTION audit.append(text, text, text, text, text, text, text, text) TO clearance_app;
GRANT EXECUTE ON FUNCTION audit.add_checkpoint(bigint, bytea, text, text, bytea) TO clearance_app;
