# Each goal sets up what it needs in build/: a virtual environment an interpreter, made again only when
# something it is made from has changed. The work is in .ci/*.py; this file gives it names.
#
#   PYTHON=...    the interpreter to use (default: the first supported one found)
#   PYTHONS=...   those that test-all and fuzz use (default: every supported one found) and test-flavours
#                 (default: the newest one)
#   ARGS=...      arguments of the demo, of pytest, of the benchmarks, or of pythons
#   CC, CFLAGS    the C compiler and flags to add

PYTHON ?=
PYTHONS ?=
ARGS ?=
export PYTHON

run = @sh .ci/python .ci

.PHONY: help demo test test-all test-flavours test-cpython test-arm64 fuzz asan valgrind pythons bench \
	check format clean

help:
	@echo 'make demo           run the demonstration; ARGS="--help" lists its options'
	@echo 'make test           run the test suite; ARGS="-k word" goes to pytest'
	@echo 'make test-all       run the suite on every supported Python found'
	@echo 'make test-flavours  run it with -X dev, -X importtime, -X perf, a fixed hash seed, and the JIT'
	@echo 'make fuzz           thousands of random programs and damaged pickles on each Python; takes hours'
	@echo 'make asan           run the suite with AddressSanitizer and UBSan'
	@echo 'make valgrind       run the suite in valgrind; takes hours'
	@echo 'make test-cpython   run the tests of CPython itself in tasklets'
	@echo 'make test-arm64     run the suite on an emulated aarch64, with pickles that travel; takes hours'
	@echo 'make pythons        bring further Pythons into build/; ARGS="--debug" debug builds, too'
	@echo 'make bench          run the benchmarks'
	@echo 'make check          format, layers, warnings as errors, stubs'
	@echo 'make format         format the Python files'
	@echo 'make clean          remove all that these commands made'
	@echo 'Variables: PYTHON, PYTHONS (of test-all, fuzz, test-flavours), ARGS, CC, CFLAGS'

# -P: the checkout's pickletask/ has no compiled core and must not hide the installed one.
demo:
	$(run)/env.py -- python -P -m pickletask demo $(ARGS)

test:
	$(run)/env.py --asserts --extras test -- pytest $(ARGS)

test-all:
	$(run)/test_all.py --pythons '$(PYTHONS)' $(ARGS)

fuzz: export PICKLETASK_FUZZ = 1
fuzz:
	$(run)/test_all.py --pythons '$(PYTHONS)' -rP tests/test_differential.py tests/test_corruption.py $(ARGS)

asan:
	$(run)/test_tool.py asan $(ARGS)

valgrind:
	$(run)/test_tool.py valgrind $(ARGS)

test-arm64:
	$(run)/arm64.py $(ARGS)

test-flavours:
	$(run)/test_all.py --flavours all --pythons '$(PYTHONS)' $(ARGS)

test-cpython: export PICKLETASK_TEST_CPYTHON = 1
test-cpython:
	$(run)/env.py --asserts --extras test -- pytest -rP tests/test_cpython.py $(ARGS)

pythons:
	$(run)/pythons.py $(ARGS)

bench:
	$(run)/env.py --extras bench -- python -P benchmarks/run.py $(ARGS)

check:
	$(run)/env.py --asserts --extras check -- python .ci/check.py $(ARGS)

format:
	$(run)/env.py --asserts --extras check -- ruff check --quiet --fix .
	$(run)/env.py --asserts --extras check -- ruff format .

clean:
	rm -rf build dist *.egg-info pickletask/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
