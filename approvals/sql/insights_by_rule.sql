-- The same by action, policy version and the first reason's code: which rule held it.
SELECT request.action, version.number AS policy, decision.reasons -> 0 ->> 'code' AS code,
       count(*) AS held,
       count(*) FILTER (WHERE request.state = 'approved' AND request.revision = 1) AS as_asked,
       count(*) FILTER (WHERE request.revision > 1) AS edited,
       count(*) FILTER (WHERE request.state = 'rejected') AS rejected
FROM approvals_approvalrequest request
JOIN approvals_decision decision ON decision.id = request.decision_id
LEFT JOIN features_policyversion version ON version.id = decision.policy_id
WHERE request.feature_id = %(feature)s AND request.created_at >= %(start)s AND request.created_at < %(end)s
GROUP BY 1, 2, 3
ORDER BY held DESC, 1, 2 DESC, 3
LIMIT 50
