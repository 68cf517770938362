"""All addresses: health, the machine interface, and each room's pages."""

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from approvals import api as approvals_api
from features import health
from reviews import api as reviews_api
from traces import api

handler400 = "features.views.bad_request"
handler403 = "features.views.forbidden"
handler404 = "features.views.not_found"
handler500 = "features.views.server_error"

urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/traces", api.TraceList.as_view()),
    path("api/v1/traces/<str:trace_id>", api.TraceDetail.as_view()),
    path("api/v1/traces/<str:trace_id>/feedback", api.Feedback.as_view()),
    path("api/v1/features/<slug:slug>/metrics", api.Metrics.as_view()),
    path("api/v1/decisions", approvals_api.Decisions.as_view()),
    path("api/v1/decisions/<uuid:decision_id>", approvals_api.one_decision),
    path("api/v1/decisions/<uuid:decision_id>/execute", approvals_api.execute_when_ready),
    path("api/v1/decisions/<uuid:decision_id>/withdraw", approvals_api.Withdraw.as_view()),
    path("api/v1/executions/<uuid:execution_id>/outcome", approvals_api.Outcome.as_view()),
    path("api/v1/features/<slug:slug>/kill", approvals_api.Kill.as_view(), name="api_kill"),
    path("api/v1/features/<slug:slug>/samples/<str:week>", reviews_api.SampleOfWeek.as_view()),
    path("api/v1/features/<slug:slug>/judge-grades", reviews_api.JudgeGrades.as_view()),
    path(".well-known/jwks.json", approvals_api.public_keys),
    path("", include("features.urls")),
    path("", include("traces.urls")),
    path("", include("approvals.urls")),
    path("", include("reviews.urls")),
]
