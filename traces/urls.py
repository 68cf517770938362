"""Addresses of the pages about traces."""

from django.urls import path

from traces import reveal_views, span_views, trace_views, views

urlpatterns = [
    path("traces/", views.all_traces, name="traces"),
    path("features/<slug:slug>/traces/", views.feature_traces, name="feature_traces"),
    path("features/<slug:slug>/traces/<str:id>/", trace_views.trace_page, name="trace"),
    path("features/<slug:slug>/traces/<str:id>/spans/<str:span_id>/", span_views.span_raw, name="span"),
    path(
        "features/<slug:slug>/traces/<str:id>/spans/<str:span_id>/prompt/",
        span_views.span_prompt,
        name="span_prompt",
    ),
    path("features/<slug:slug>/traces/<str:id>/reveal/", reveal_views.reveal_page, name="reveal"),
    path("features/<slug:slug>/settings/erase/", reveal_views.erase_page, name="erase"),
    path("features/<slug:slug>/start/", views.start, name="start"),
    path("features/<slug:slug>/start/wait/", views.start_wait, name="start_wait"),
]
