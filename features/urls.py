"""Addresses of the features' pages and of sign-in."""

from django.urls import include, path

from features import audit_page, csp_report, notices_page, people_page, policy_draft_views, policy_page, views

urlpatterns = [
    path("", views.board, name="features"),
    path("favicon.ico", views.favicon),
    path("audit/", audit_page.audit, name="audit"),
    path("audit/<int:number>/proof.json", audit_page.proof, name="audit_proof"),
    path("audit/export.csv", audit_page.export, {"form": "csv"}, name="audit_csv"),
    path("audit/export.jsonl", audit_page.export, {"form": "jsonl"}, name="audit_jsonl"),
    path("notices/", notices_page.notices, name="notices"),
    path("accounts/", include("features.identity.urls")),
    path("csp-report/", csp_report.csp_report, name="csp_report"),
    # Before the slugs: no feature can be named "new", see traces/urls.py for the rest below a feature.
    path("features/new/", views.register_feature, name="feature_new"),
    path("features/<slug:slug>/", views.overview, name="feature"),
    path("features/<slug:slug>/policy/", policy_page.policy, name="policy"),
    path(
        "features/<slug:slug>/policy/<int:number>/clearance.toml", policy_page.policy_file, name="policy_file"
    ),
    path("features/<slug:slug>/policy/draft/", policy_draft_views.draft, name="policy_draft"),
    path("features/<slug:slug>/policy/draft/check/", policy_draft_views.check, name="policy_draft_check"),
    path(
        "features/<slug:slug>/policy/proposals/<uuid:proposal>/",
        policy_draft_views.proposal,
        name="policy_proposal",
    ),
    path("features/<slug:slug>/people/", people_page.people, name="people"),
    path("features/<slug:slug>/people/take/", people_page.take, name="people_take"),
    path("features/<slug:slug>/settings/", views.settings, name="settings"),
    path("features/<slug:slug>/settings/keys/", views.make_key, name="key_new"),
    path("features/<slug:slug>/settings/keys/<str:prefix>/rotate/", views.rotate, name="key_rotate"),
    path("features/<slug:slug>/settings/keys/<str:prefix>/revoke/", views.revoke, name="key_revoke"),
]
