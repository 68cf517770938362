"""What is kept but must not be read from the database is sealed under keys that are not in it."""

import base64

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings


def cipher() -> MultiFernet:
    """Fernet (AES-128-CBC and HMAC-SHA256, https://github.com/fernet/spec): the first key seals, all open."""
    keys = [base64.urlsafe_b64encode(bytes.fromhex(key)) for key in settings.VAULT_KEYS]
    return MultiFernet([Fernet(key) for key in keys])
