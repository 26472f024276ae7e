"""Section 4.3.2: the settings in a file of their own."""

SECRET_KEY = "XXXXXXXXXX"
