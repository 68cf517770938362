"""The weekly sample of requests, its grading by people, and how far its figures can be trusted."""
