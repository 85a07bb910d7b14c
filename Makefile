PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

unexport PYTHONDONTWRITEBYTECODE # pytest keeps its rewritten asserts: 8 s of each worker

.PHONY: run run-gpu voice test check campaign

run: $(VENV)/.run                     ## install once, then serve http://127.0.0.1:7860
	$(BIN)/python app.py

run-gpu: $(VENV)/.gpu                 ## the same with the engines of one NVIDIA card: vLLM, F5-TTS, Whisper
	$(BIN)/python app.py

voice: $(VENV)/.voice                 ## once: a natural English voice (torch, pocket-tts and its weights)
	$(BIN)/python -m avatar.weights fetch pocket-tts-en

# More at a time than there are cores, for half of their time is waiting: fast ones four, slow ones three files, and
# those that measure alone. What is skipped, for want of a browser say, is listed with its reason.
test: $(VENV)/.dev                    ## all tests, real engines and browser included, and their coverage
	$(BIN)/python -m avatar.weights fetch bundled
	$(BIN)/python -m pytest -m "not slow" -n 4 --cov --cov-report=
	$(BIN)/python -m pytest -m "slow and not alone" -n 3 --dist loadfile --no-loadscope-reorder -rs \
	  --cov --cov-append --cov-report=
	$(BIN)/python -m pytest -m alone -rs --cov --cov-append --cov-report=term --cov-fail-under=80 tests/test_browser_real.py

check: $(VENV)/.dev                   ## format, lint, types and the fast tests, under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow" -n 4

campaign: $(VENV)/.dev                ## make campaign NAME=...: one long test at full size
	$(BIN)/python -m pytest -s -m campaign -k "$(NAME)" tests/campaigns

$(VENV)/.run: requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("AVATAR needs Python 3.11 or newer. Name one: make run PYTHON=python3.12")'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV) # one that broke off has no pip
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.voice: requirements-voice.txt $(VENV)/.run
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-voice.txt
	touch $@

$(VENV)/.gpu: requirements-gpu.txt requirements-voice.txt $(VENV)/.run
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-gpu.txt
	touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt
	touch $@
