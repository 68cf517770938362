"""The pages of the approvals' room."""

from django.urls import path

from approvals import views

urlpatterns = [
    path("approvals/<uuid:request_id>/", views.approval, name="approval"),
    path("approvals/<uuid:request_id>/vote", views.cast_vote, name="vote"),
    path("decisions/<uuid:decision_id>/", views.decision, name="decision"),
    path("features/<slug:slug>/kill", views.stop_tools, name="stop_tools"),
    path("features/<slug:slug>/restore", views.restore_tools, name="restore_tools"),
]
