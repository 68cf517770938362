-- Votes on a feature's requests of a time, by person; those that were taken back are no votes.
SELECT vote.person_id, count(*) FILTER (WHERE vote.vote = 'approve') AS approved,
       count(*) FILTER (WHERE vote.vote = 'reject') AS rejected,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM vote.at - request.created_at)) AS median
FROM approvals_vote vote
JOIN approvals_approvalrequest request ON request.id = vote.request_id
WHERE request.feature_id = %(feature)s AND request.created_at >= %(start)s AND request.created_at < %(end)s
  AND vote.taken_back_at IS NULL
GROUP BY vote.person_id
ORDER BY count(*) DESC
LIMIT 50
