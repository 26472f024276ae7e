"""DESIGN §6, the fine print, sentence by sentence: each docstring holds the words that its test shows."""
