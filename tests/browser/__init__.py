"""The demo, driven from outside: by real Chromium, and by plain HTTP."""
