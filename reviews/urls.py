"""The pages of the reviews' room."""

from django.urls import path

from reviews import calibration_views, grading_views, queue_views, rubric_views

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
]
