"""The demo that ``make demo`` runs: a page on which cookies and sessions can be tried out and watched."""
