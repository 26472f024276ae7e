# Two commands, `make demo` and `make test`. Each sets itself up (scripts/setup) in .venv, inside this checkout.

.PHONY: help demo test clean

help:
	@echo 'make demo    the demo on http://127.0.0.1:5000 (PORT=8000 make demo for another port)'
	@echo 'make test    ruff, mypy --strict and the tests'
	@echo 'make clean   remove what the two have made'
	@echo 'PYTHON=python3.13 make test    with another interpreter than python3'

demo:
	@scripts/setup demo
	@.venv/bin/python -m examples.demo

test:
	@scripts/setup test
	.venv/bin/python -m ruff check
	.venv/bin/python -m mypy --strict
	.venv/bin/python -m pytest -n 2 --dist loadfile

clean:
	rm -rf .venv .artifacts .hypothesis .mypy_cache .pytest_cache .ruff_cache instance
