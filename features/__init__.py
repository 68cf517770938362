"""Job and blast radius: features, people and their roles, API keys. Knows `audit`, and no room above it."""
