"""What people type into the pages of features, people and keys. Rules stand in services; forms parse and keep
the typed text."""

from django import forms

from features.errors import ClearanceError
from features.models import SCOPES

SCOPE_WORDS = {
    "ingest": "send traces and logs",
    "read": "read traces and metrics by the API",
    "decide": "ask before acting, report outcomes, switch tools off",
    "evaluate": "report feedback, eval runs and imported grades",
    "rollout": "ask which variant a unit of traffic gets",
}


# What a role may do today; rooms to come add to it.
ROLE_WORDS = {
    "lead": ("Lead", "gives roles, makes and revokes keys"),
    "approver": ("Approver", "answers what the agent asks to do"),
    "reviewer": ("Reviewer", "grades the weekly sample"),
    "on_call": ("On-call", "finds requests, stops the agent's tools"),
    "viewer": ("Viewer", "reads everything of the feature"),
}


class Form(forms.Form):
    """A form that can carry a service's refusal to the field that it names."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.label_suffix = ""

    def refuse(self, error: ClearanceError) -> None:
        """Show a ClearanceError beside its field, or above the form when it names none."""
        self.add_error(error.field if error.field in self.fields else None, str(error))


class FeatureForm(Form):
    """Registering a feature."""

    name = forms.CharField(
        label="Name",
        max_length=120,
        help_text="As people say it, such as Billing agent.",
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    slug = forms.CharField(
        label="Slug",
        max_length=63,
        help_text="Stands in addresses and on the command line, and never changes: small letters, digits and "
        "single dashes, such as billing-agent.",
        widget=forms.TextInput({"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    task = forms.CharField(
        label="Task",
        max_length=400,
        help_text="One sentence that defines the job, such as: Resolve tier-1 billing tickets.",
        widget=forms.TextInput({"autocomplete": "off"}),
    )


class KeyForm(Form):
    """Making a key."""

    label = forms.CharField(
        label="What it is for",
        max_length=120,
        required=False,
        help_text="The program and where it runs, such as: worker in staging.",
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    days = forms.ChoiceField(
        label="It opens",
        choices=[
            ("", "until it is revoked"),
            ("7", "for 7 days"),
            ("30", "for 30 days"),
            ("90", "for 90 days"),
            ("365", "for a year"),
        ],
        required=False,
    )
    scopes = forms.MultipleChoiceField(
        label="It may",
        choices=[(scope, SCOPE_WORDS[scope]) for scope in SCOPES],
        error_messages={"required": "Choose at least one.", "invalid_choice": "There is no such scope."},
    )


class RevokeForm(Form):
    """Revoking a key, confirmed by its name."""

    confirm = forms.CharField(
        label="The start of the key",
        max_length=16,
        widget=forms.TextInput({"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )


class RoleForm(Form):
    """Giving a role on a feature."""

    login = forms.CharField(
        label="Login",
        max_length=64,
        help_text="Of somebody who has an account here.",
        widget=forms.TextInput({"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    role = forms.ChoiceField(label="Role", choices=[(role, words) for role, (words, _) in ROLE_WORDS.items()])
