-- The newest that wait for other people: of another role, proposed or edited by this person, or voted on already.
-- It looks at the 500 newest of a feature alone: this part of the page tells, it is no list to work through.
SELECT request.id
FROM unnest(%(features)s::uuid[]) AS feature (id)
CROSS JOIN LATERAL (
    SELECT * FROM approvals_approvalrequest waiting
    WHERE waiting.feature_id = feature.id AND waiting.state = 'pending' AND waiting.expires_at > now()
    ORDER BY waiting.id DESC
    LIMIT 500
) request
JOIN approvals_decision decision ON decision.id = request.decision_id
LEFT JOIN features_gate gate ON gate.feature_id = request.feature_id
WHERE decision.epoch = coalesce(gate.epoch, 1)
  AND (%(person)s = ANY(request.proposers) OR request.editor_id = %(person)s
       OR NOT EXISTS (
           SELECT FROM features_featurerole role
           JOIN auth_permission permission ON permission.id = role.permission_id
           WHERE role.user_id = %(person)s AND role.content_object_id = request.feature_id
             AND permission.codename = 'role_' || request.role
             AND role.given_at <= request.created_at
             AND (role.given_by_id IS NULL OR NOT role.given_by_id = ANY(request.proposers))
       )
       OR EXISTS (
           SELECT FROM approvals_vote vote
           WHERE vote.request_id = request.id AND vote.revision = request.revision
             AND vote.person_id = %(person)s AND vote.taken_back_at IS NULL
       ))
ORDER BY request.id DESC
LIMIT %(limit)s
