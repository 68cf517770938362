"""Addresses of the pages about traces."""

from django.urls import path

from traces import (
    dashboard_views,
    export_views,
    list_views,
    price_views,
    reveal_views,
    saved_views,
    span_views,
    storage_views,
    trace_views,
    views,
)

urlpatterns = [
    path("features/<slug:slug>/numbers.csv", dashboard_views.take_away, {"form": "csv"}, name="numbers_csv"),
    path(
        "features/<slug:slug>/numbers.json", dashboard_views.take_away, {"form": "json"}, name="numbers_json"
    ),
    path("prices/", price_views.prices, name="prices"),
    path("traces/", list_views.all_traces, name="traces"),
    path("traces/parts/", list_views.list_parts, name="list_parts"),
    path("traces/suggestions/", list_views.suggestions, name="suggestions"),
    path("traces/wait/", list_views.list_wait, name="list_wait"),
    path("traces/export/", export_views.export_page, name="export"),
    path("traces/export/file/", export_views.export_file, name="export_file"),
    path("traces/export/progress/", export_views.export_progress, name="export_progress"),
    path("searches/", saved_views.searches, name="searches"),
    path("searches/<uuid:id>/", saved_views.change_search, name="change_search"),
    path("features/<slug:slug>/traces/", list_views.feature_traces, name="feature_traces"),
    path("features/<slug:slug>/list/parts/", list_views.list_parts, name="feature_list_parts"),
    path("features/<slug:slug>/list/suggestions/", list_views.suggestions, name="feature_suggestions"),
    path("features/<slug:slug>/list/wait/", list_views.list_wait, name="feature_list_wait"),
    path("features/<slug:slug>/export/", export_views.export_page, name="feature_export"),
    path("features/<slug:slug>/export/file/", export_views.export_file, name="feature_export_file"),
    path("features/<slug:slug>/traces/<str:id>/", trace_views.trace_page, name="trace"),
    path("features/<slug:slug>/traces/<str:id>/spans/<str:span_id>/", span_views.span_raw, name="span"),
    path(
        "features/<slug:slug>/traces/<str:id>/spans/<str:span_id>/prompt/",
        span_views.span_prompt,
        name="span_prompt",
    ),
    path("features/<slug:slug>/traces/<str:id>/reveal/", reveal_views.reveal_page, name="reveal"),
    path("features/<slug:slug>/settings/erase/", reveal_views.erase_page, name="erase"),
    path("storage/", storage_views.storage, name="storage"),
    path("features/<slug:slug>/storage/", storage_views.feature_storage, name="feature_storage"),
    path("features/<slug:slug>/traces/<str:id>/hold/", storage_views.hold_page, name="hold"),
    path("features/<slug:slug>/holds/<uuid:hold>/release/", storage_views.release_page, name="release"),
    path("features/<slug:slug>/start/", views.start, name="start"),
    path("features/<slug:slug>/start/wait/", views.start_wait, name="start_wait"),
]
