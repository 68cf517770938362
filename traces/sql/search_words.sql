-- What counts as a word of a text, for those who write search documents and those who ask: a run of letters and
-- digits. PostgreSQL's parser alone takes "kb-12" for "kb" and "-12", drops what looks like a tag, and keeps addresses
-- whole; with punctuation turned into spaces first, a part is found as well as the whole.
CREATE FUNCTION search_plain(said text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN translate(said, E'!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~', '                                ');

-- Of a document: its words with their places.
CREATE FUNCTION search_words(said text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN to_tsvector('simple'::regconfig, search_plain(said));

-- Of what is looked for: the words in this order; the last one may go on.
CREATE FUNCTION search_phrase(said text, prefix boolean) RETURNS tsquery
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN CASE WHEN prefix AND numnode(phraseto_tsquery('simple'::regconfig, search_plain(said))) > 0
            THEN (phraseto_tsquery('simple'::regconfig, search_plain(said))::text || ':*')::tsquery
            ELSE phraseto_tsquery('simple'::regconfig, search_plain(said)) END;

-- The slowest and the dearest without reading all.
CREATE INDEX search_document_by_worked ON search_document (feature_id, worked_ns DESC, trace_id DESC);
CREATE INDEX search_document_by_cost ON search_document (feature_id, cost_usd DESC, trace_id DESC)
    WHERE cost_usd IS NOT NULL;
