-- A feature's requests of a time, by action: how they ended, and how long people took. Time to decide is of what
-- people decided; expiries have none.
SELECT request.action,
       count(*) AS held,
       count(*) FILTER (WHERE request.state = 'approved') AS approved,
       count(*) FILTER (WHERE request.revision > 1) AS edited,
       count(*) FILTER (WHERE request.state = 'rejected') AS rejected,
       count(*) FILTER (WHERE request.state = 'expired') AS expired,
       count(*) FILTER (WHERE request.state IN ('withdrawn', 'superseded')) AS ended,
       count(*) FILTER (WHERE request.state = 'pending') AS pending,
       count(*) FILTER (WHERE request.state IN ('approved', 'rejected')) AS decided,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM request.decided_at - request.created_at))
           FILTER (WHERE request.state IN ('approved', 'rejected')) AS median,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM request.decided_at - request.created_at))
           FILTER (WHERE request.state IN ('approved', 'rejected')) AS p95
FROM approvals_approvalrequest request
WHERE request.feature_id = %(feature)s AND request.created_at >= %(start)s AND request.created_at < %(end)s
GROUP BY request.action
ORDER BY held DESC, request.action
