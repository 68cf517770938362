"""Who somebody is: sign-in by password, passkey, code or the organisation's provider; sessions; fresh proof."""
