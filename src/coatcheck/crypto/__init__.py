"""Keys and sealing. Nothing here is our own cryptography: it puts together what ``cryptography`` offers."""
