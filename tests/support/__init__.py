"""What tests of different rooms share."""
