"""The pages of the reviews' room."""

from django.urls import path

from reviews import calibration_views, rubric_views

urlpatterns = [
    path("features/<slug:slug>/reviews/rubric/", rubric_views.rubric, name="rubric"),
    path("features/<slug:slug>/reviews/rubric/draft/", rubric_views.rubric_draft, name="rubric_draft"),
    path("features/<slug:slug>/reviews/rubric/check", rubric_views.rubric_check, name="rubric_check"),
    path("features/<slug:slug>/reviews/gold/", calibration_views.gold, name="gold"),
    path(
        "features/<slug:slug>/reviews/gold/<uuid:gold_id>/retire",
        calibration_views.gold_retire,
        name="gold_retire",
    ),
    path("features/<slug:slug>/reviews/judges/", calibration_views.judges, name="judges"),
]
