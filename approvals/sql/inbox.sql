-- What a person may decide now: each role on each feature reads the first rows of its part of the index
-- request_inbox, so that ten thousand that wait cost as much as ten. The rules are those of may_vote.
WITH held AS (
    SELECT role.content_object_id AS feature_id, substr(permission.codename, 6) AS role,
           role.given_at, role.given_by_id, coalesce(gate.epoch, 1) AS epoch
    FROM features_featurerole role
    JOIN auth_permission permission ON permission.id = role.permission_id
    LEFT JOIN features_gate gate ON gate.feature_id = role.content_object_id
    WHERE role.user_id = %(person)s AND role.content_object_id = ANY(%(features)s)
)
SELECT found.id
FROM held
CROSS JOIN LATERAL (
    SELECT request.id, request.irreversible
    FROM approvals_approvalrequest request
    JOIN approvals_decision decision ON decision.id = request.decision_id
    WHERE request.feature_id = held.feature_id AND request.role = held.role AND request.state = 'pending'
      AND request.expires_at > now() AND decision.epoch = held.epoch
      AND NOT %(person)s = ANY(request.proposers) AND request.editor_id IS DISTINCT FROM %(person)s
      AND held.given_at <= request.created_at
      AND (held.given_by_id IS NULL OR NOT held.given_by_id = ANY(request.proposers))
      AND NOT EXISTS (
          SELECT FROM approvals_vote vote
          WHERE vote.request_id = request.id AND vote.revision = request.revision
            AND vote.person_id = %(person)s AND vote.taken_back_at IS NULL
      )
      AND (%(after)s::uuid IS NULL OR request.irreversible < %(after_irreversible)s
           OR (request.irreversible = %(after_irreversible)s AND request.id > %(after)s::uuid))
    ORDER BY request.irreversible DESC, request.id
    LIMIT %(limit)s
) found
ORDER BY found.irreversible DESC, found.id
LIMIT %(limit)s
