# FrostLite: from a folder of photos to labels on live frames. `make` prints the targets.

# The last part of a path; it may have spaces in it. Recipes take paths from their environment, quoted.
SPACE := $(subst ,, )
last = $(subst |,$(SPACE),$(notdir $(patsubst %/,%,$(subst $(SPACE),|,$(1)))))

DATA     ?= sample
RUN      ?= runs/$(call last,$(DATA))
NAMED    := $(BACKBONE)
BACKBONE ?= efficientnet-lite0
MODEL    ?= $(RUN)/export/best.tflite
SOURCE   ?= 0
TOLERANCE ?= 1.0
# Minutes that `make train` may search for the best model; empty: no search.
MINUTES  ?=
# The share of answers that `make train` lets be wrong, with 95 % confidence; empty: no promise.
PROMISE  ?=
# Empty: int8, and others where it does not pass.
SCHEME   ?=
# Pictures for the self-test of a bundle; empty: of the run that MODEL lies in. WHEELS=1: install without a network.
PICTURES ?=
WHEELS   ?=
# Photos of any kind, for the int8 file of `make backbone`; empty: it is float16.
CALIBRATION ?=
ON_PI    := "$${FROSTLITE_HOME:-$$HOME/frostlite}/frostlite"
WITH_SYSTEMD := [ -d /run/systemd/system ] || { echo "no systemd runs there, so there is no service" >&2; exit 2; };
WEIGHTS  ?= imagenet

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.10 python3.13 python3 python,\
	$(shell command -v $(name) >/dev/null 2>&1 && $(name) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null && echo $(name))))
# OpenCV with windows where there is a screen and the library it needs, else without.
OPENCV ?= $(if $(DISPLAY)$(WAYLAND_DISPLAY),$(if $(shell ldconfig -p 2>/dev/null | grep libGL.so.1),desktop,headless),headless)
PY := .venv/bin/python
CACHE := $(or $(FROSTLITE_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/frostlite)

# Recipes read these as "$$PI": what is in them is no command.
export PI DATA RUN MODEL SOURCE WEIGHTS PICTURES CALIBRATION MINUTES PROMISE

.DEFAULT_GOAL := help
.PHONY: help setup demo pictures backbone train doctor exercise dropout-study convert live bench bench-peers bundle deploy pi-named pi-status pi-logs pi-bench \
	test test-pi lint clean constraints

help: ## print the targets
	@echo "FrostLite: photos in, live labels out. Variables: DATA RUN BACKBONE MODEL SOURCE PI"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: .venv/setup ## make .venv with all that training and conversion need

.venv/python:
	@test -n "$(PYTHON)" || { echo "expected Python 3.10 to 3.13, found: $$(python3 --version 2>&1 || echo none)" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "expected the venv module, found none; try: sudo apt install $$(basename $(PYTHON))-venv" >&2; exit 2; }
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv && touch $@

.venv/setup: .venv/python pyproject.toml constraints.txt
	@echo "installing packages (OpenCV: $(OPENCV)); the first time takes a few minutes"
	@$(PY) -m pip install -q -c constraints.txt -e '.[$(OPENCV),train]'
	@touch $@

.venv/dev: .venv/setup
	@$(PY) -m pip install -q -c constraints.txt -e '.[$(OPENCV),train,dev]'
	@touch $@

demo: .venv/setup ## the whole way on a drawn sample: train, quantize, prove, and a video to look at (DATA=horses-or-humans for the real one)
	@$(PY) frostlite.py demo --data "$$DATA" --out "$$RUN" --backbone $(BACKBONE) --tolerance $(TOLERANCE) $(if $(SCHEME),--scheme $(SCHEME))
	@echo "         make live RUN='$$RUN'  (the same; SOURCE=1 for the second one)"

pictures: .venv/dev ## the pictures of the README, from a run of `make demo` (wants chromium and its driver)
	@test -f "$$RUN/demo.png" || $(MAKE) --no-print-directory demo
	@$(PY) -m tests.bench.pictures "$$RUN" docs/pictures

train: .venv/setup ## DATA=photos: train a classifier on a folder of photos (MINUTES=10: the best that ten minutes find)
	@$(PY) -m train --data "$$DATA" --out "$$RUN" $(if $(MINUTES),--minutes "$$MINUTES" $(if $(NAMED),--backbone $(BACKBONE)),--backbone $(BACKBONE)) $(if $(PROMISE),--promise "$$PROMISE")

doctor: .venv/setup ## DATA=photos: what is wrong with the photos, and what to do
	@$(PY) -m train --data "$$DATA" --doctor --backbone $(BACKBONE)

exercise: DATA = horses-or-humans
exercise: RUN = runs/exercise
exercise: .venv/setup ## the course's exercise: InceptionV3 at mixed7, 150 px, Dense 1024, dropout, without views and with (WEIGHTS=file.h5)
	@for way in '' -views; do $(PY) -m train --data "$$DATA" --out "$$RUN$$way" --backbone inception-v3 --weights "$$WEIGHTS" \
		--cut mixed7 --size 150 --unit-inputs --head flatten --dense 1024 --dropout 0.2 --output sigmoid \
		--optimizer rmsprop --learning-rate 1e-4 --batch 32 --epochs 100 --patience 0 --stop-at-train-accuracy 1 \
		$${way:+--augment 1 --augmentation light=off colour=off blur=off} || exit; done
	@$(PY) -m train.sidebyside "$$RUN" "$$RUN-views"

dropout-study: .venv/setup ## DATA=photos: the same head without and with dropout, side by side
	@$(PY) -m train --study dropout --data "$$DATA" --out "$$RUN-dropout" --backbone $(BACKBONE) \
		--dense 1024 --dropout 0.5 --epochs 20 --learning-rate 1e-3

convert: .venv/setup ## quantize the run (SCHEME=all, TOLERANCE=0.5), prove its accuracy, choose the file; status 3: too few pictures to tell (ACCEPT=undecided)
	@$(PY) -m convert "$$RUN" --tolerance $(TOLERANCE) $(if $(SCHEME),--scheme $(SCHEME)) $(if $(ACCEPT),--accept $(ACCEPT))

bench-peers: .venv/dev ## time the run against OpenCV DNN, ONNX Runtime, tflite-runtime and Keras
	@$(PY) -m tests.bench.peers "$$RUN"

live: .venv/setup ## classify what the camera sees (SOURCE=0, clip.mp4, folder)
	@$(PY) -m edge run "$$MODEL" --source "$$SOURCE" $(if $(filter desktop,$(OPENCV)),--window)

bench: .venv/setup ## time the model on this machine: stages, threads, cold start, memory
	@$(PY) -m edge bench "$$MODEL"

backbone: .venv/setup ## dist/BACKBONE.tflite, features alone, to be taught on the device (CALIBRATION=photos: int8)
	@$(PY) -m convert.backbone $(BACKBONE) $(if $(CALIBRATION),--calibration-dir "$$CALIBRATION") --out dist/$(BACKBONE).tflite

bundle: .venv/setup ## pack MODEL with all that a Raspberry Pi needs (WHEELS=1: for one without a network)
	@$(PY) -m convert.bundle "$$MODEL" $(if $(PICTURES),--pictures "$$PICTURES") $(if $(filter-out 0,$(WHEELS)),--wheels)

deploy: .venv/setup pi-named bundle ## PI=user@host: install MODEL there as a service, or update it
	@name=$$(basename -- "$$MODEL") && edge/pi/deploy.sh "$$PI" "dist/frostlite-$${name%.*}.tar.gz"

pi-named:
	@case "$$PI" in "" | -*) echo "error: PI: expected user@host, found '$$PI'" >&2; exit 2 ;; esac

pi-status: pi-named ## PI=user@host: what runs there
	@ssh -- "$$PI" '$(ON_PI) selftest; $(WITH_SYSTEMD) systemctl status --no-pager frostlite'

pi-logs: pi-named ## PI=user@host: what the service says, live
	@ssh -- "$$PI" '$(WITH_SYSTEMD) journalctl -u frostlite -n 50 -f'

pi-bench: .venv/setup pi-named ## PI=user@host: time the model there; the figures and a picture of them come home
	@mkdir -p dist
	@ssh -- "$$PI" '$(ON_PI) bench --json' > dist/.pi-bench.json && mv dist/.pi-bench.json dist/pi-bench.json
	@$(PY) -m convert.bench_chart dist/pi-bench.json dist/pi-bench.png

test: .venv/dev ## run the tests
	@$(PY) -m pytest -q -n 2 --dist loadfile

test-pi: .venv/setup ## the bundle on emulated Raspberry Pi userlands, against this machine (root; ROWS=… for some)
	@test -f "$$MODEL" || $(MAKE) --no-print-directory train convert
	@$(PY) tests/pi/arm.py $(ROWS) --model "$$MODEL" $(if $(PICTURES),--pictures "$$PICTURES")

lint: .venv/dev ## check style and types
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

constraints: .venv/dev ## resolve all dependencies anew, for every Python
	@$(PY) -m pip install -q uv
	@.venv/bin/uv pip compile -q pyproject.toml --all-extras --universal --upgrade --python-version 3.10 --no-annotate --no-header -o constraints.txt

clean: ## remove what was built here (not your runs)
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
