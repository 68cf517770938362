"""The pages of the reviews' room."""

from django.urls import path

from reviews import (
    calibration_views,
    difference_views,
    grading_views,
    queue_views,
    rubric_views,
    sample_views,
    week_views,
)

urlpatterns = [
    path("reviews/", queue_views.reviews, name="reviews"),
    path("reviews/<uuid:sample_id>/next", queue_views.next_review, name="next_review"),
    path("reviews/items/<uuid:review_id>/", grading_views.review, name="review"),
    path("reviews/items/<uuid:review_id>/draft", grading_views.review_draft, name="review_draft"),
    path("reviews/items/<uuid:review_id>/submit", grading_views.review_submit, name="review_submit"),
    path("reviews/items/<uuid:review_id>/skip", grading_views.review_skip, name="review_skip"),
    path("reviews/items/<uuid:review_id>/flag", grading_views.review_flag, name="review_flag"),
    path("reviews/items/<uuid:review_id>/take-back", grading_views.review_take_back, name="review_take_back"),
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
    path("features/<slug:slug>/reviews/", week_views.feature_reviews, name="feature_reviews"),
    path("features/<slug:slug>/reviews/draw", week_views.draw_sample, name="draw_sample"),
    path("features/<slug:slug>/reviews/<uuid:sample_id>/", sample_views.sample_page, name="sample"),
    path("features/<slug:slug>/reviews/<uuid:sample_id>/close", sample_views.close, name="close_sample"),
    path(
        "features/<slug:slug>/reviews/<uuid:sample_id>/export.csv",
        sample_views.take_away,
        {"form": "csv"},
        name="sample_csv",
    ),
    path(
        "features/<slug:slug>/reviews/<uuid:sample_id>/export.json",
        sample_views.take_away,
        {"form": "json"},
        name="sample_json",
    ),
    path(
        "features/<slug:slug>/reviews/<uuid:sample_id>/differences/",
        difference_views.differences,
        name="differences",
    ),
]
