"""The pages of the approvals' room."""

from django.urls import path

from approvals import policy_views, privilege_page, views

urlpatterns = [
    path("approvals/<uuid:request_id>/", views.approval, name="approval"),
    path("approvals/<uuid:request_id>/vote", views.cast_vote, name="vote"),
    path("decisions/<uuid:decision_id>/", views.decision, name="decision"),
    path("features/<slug:slug>/policy/try/", policy_views.try_page, name="policy_try"),
    path("features/<slug:slug>/policy/replay/", policy_views.replay_page, name="policy_replay"),
    path("features/<slug:slug>/privilege/", privilege_page.privilege_page, name="privilege"),
    path("features/<slug:slug>/kill", views.stop_tools, name="stop_tools"),
    path("features/<slug:slug>/restore", views.restore_tools, name="restore_tools"),
]
