"""The pages of the approvals' room."""

from django.urls import path

from approvals import (
    decision_views,
    history_views,
    inbox_views,
    policy_views,
    privilege_page,
    request_views,
    stop_views,
)

urlpatterns = [
    path("approvals/", inbox_views.approvals, name="approvals"),
    path("approvals/mine/", history_views.my_decisions, name="my_decisions"),
    path("approvals/away/", history_views.away, name="away"),
    path("approvals/away/end", history_views.away_end, name="away_end"),
    path("approvals/wait/", inbox_views.approvals_wait, name="approvals_wait"),
    path("features/<slug:slug>/approvals/", inbox_views.approvals, name="feature_approvals"),
    path("features/<slug:slug>/approvals/insights/", history_views.insights_page, name="insights"),
    path("features/<slug:slug>/approvals/insights.csv", history_views.insights_csv, name="insights_csv"),
    path("features/<slug:slug>/approvals/wait/", inbox_views.approvals_wait, name="feature_approvals_wait"),
    path("approvals/<uuid:request_id>/", request_views.approval, name="approval"),
    path("approvals/<uuid:request_id>/wait/", request_views.approval_wait, name="approval_wait"),
    path("approvals/<uuid:request_id>/vote", request_views.cast_vote, name="vote"),
    path("approvals/<uuid:request_id>/take-back", request_views.take_vote_back, name="take_back"),
    path("approvals/<uuid:request_id>/edit", request_views.edit_request, name="edit_request"),
    path("approvals/<uuid:request_id>/hand-over", request_views.hand_request_over, name="hand_over"),
    path("decisions/<uuid:decision_id>/", decision_views.decision, name="decision"),
    path("features/<slug:slug>/decisions/", decision_views.decisions, name="decisions"),
    path("executions/<uuid:execution_id>/", decision_views.execution, name="execution"),
    path("executions/<uuid:execution_id>/settle", decision_views.settle_execution, name="settle"),
    path("features/<slug:slug>/policy/try/", policy_views.try_page, name="policy_try"),
    path("features/<slug:slug>/policy/replay/", policy_views.replay_page, name="policy_replay"),
    path("features/<slug:slug>/privilege/", privilege_page.privilege_page, name="privilege"),
    path("stops/", stop_views.stops, name="stops"),
    path("features/<slug:slug>/stops/", stop_views.stops, name="feature_stops"),
    path("kill", stop_views.stop_house, name="stop_house"),
    path("restore", stop_views.restore_house, name="restore_house"),
    path("features/<slug:slug>/kill", stop_views.stop_tools, name="stop_tools"),
    path("features/<slug:slug>/restore", stop_views.restore_tools, name="restore_tools"),
]
