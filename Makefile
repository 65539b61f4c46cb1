# make demo: a video from a sentence. make app: the web page. make test: everything that is tested.
PYTHON ?= python3
PROMPT ?= a person walks forward and turns left

bin = .venv/bin

.PHONY: demo app test lint clean

demo: .venv/installed
	@mkdir -p out
	$(bin)/motionmamba generate "$(PROMPT)" --out out/demo.mp4

app: .venv/installed-app
	$(bin)/motionmamba app

# the page by itself: its browser, drawn by software, takes all cores
test: .venv/installed-dev
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/pytest --ignore tests/app/test_app_page.py
	$(bin)/pytest -n 0 tests/app/test_app_page.py

lint: .venv/installed-dev
	$(bin)/ruff check --fix
	$(bin)/ruff format

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(bin)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/installed-app: pyproject.toml | .venv/bin/python
	$(bin)/pip install --quiet --disable-pip-version-check --editable '.[app]'
	@touch $@ .venv/installed

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(bin)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ .venv/installed

clean:
	rm -rf .venv out
