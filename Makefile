# contime: tables with a row for every instant
#
#   make try       a demonstration on a throwaway server; installs what is missing first (Debian 12, as root)
#   make test      every test; installs what is missing, too
#   make test-versions  tests with PostgreSQL 17 and 18 in roots of Debian stable and testing, which it makes under build/roots
#   make           builds for the PostgreSQL of PG_CONFIG; make install installs it there
#                  (PG=17, with any target: for that version of Debian's packages)
#   make unit      the engine's unit tests, compiled without PostgreSQL
#   make tsan      readers beside a writer, under ThreadSanitizer
#   make fuzz      the fuzz targets for FUZZ_SECONDS each (needs clang)
#   make soak      long runs of the randomised tests: the law for SOAK_ROUNDS rounds, for durable tables for SOAK_STATEMENTS
#                  statements, SOAK_TRANSFERS bank transfers, SOAK_QUERIES random queries, SOAK_CRASHES crashes,
#                  SOAK_DDL statements of hostile roles, SOAK_SECONDS of sqlsmith (which it installs)
#   make valgrind  the regression scripts on a server under valgrind
#   make lint      the style rules that can be checked automatically
#   make rooms     prints the rooms of src/ and which other rooms each includes
#   make bench     benchmarks compared with an ordinary table, and of the engine; SUITE=sql or engine for one (bench/README.md)
#   make deb       Debian packages of the last commit, in build/deb: one for each version of PostgreSQL installed for development
#   make test-deb  installs that package in a new root of Debian 12, uses it, removes it in several orders (as root)
#   make dist      contime-<version>.zip of the last commit, as PGXN wants it
#
# try, test, soak and valgrind leave nothing running and install nothing into
# the server on this machine: they work on a private copy of it under /tmp.

ifdef PG
PG_CONFIG = /usr/lib/postgresql/$(PG)/bin/pg_config
export PG PG_CONFIG
endif
PG_CONFIG ?= pg_config
EXTENSION = contime
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" contime.control)
MODULE_big = contime
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
DATA = $(wildcard sql/contime--*.sql)
PG_CPPFLAGS = -Isrc -DCONTIME_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
SHLIB_LINK = -lxxhash

REGRESS = basics errors transactions prepared locking types rules ties identity explain instant travel plans around stats memory quota retain reconcile series durable sources cache partitions shape nested beneath oversize bad_rows owner members arguments ddl
REGRESS_OPTS = --inputdir=. --load-extension=contime
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation
# make installcheck runs on a server that is there: only the scripts that its settings allow. The others are printed, each with the reason.
ifneq ($(filter installcheck,$(MAKECMDGOALS)),)
override REGRESS := $(shell PG_CONFIG='$(PG_CONFIG)' test/installcheck.sh regress $(REGRESS))
override ISOLATION := $(shell PG_CONFIG='$(PG_CONFIG)' test/installcheck.sh isolation $(ISOLATION))
REGRESS_OPTS := --inputdir=. --no-locale --encoding=UTF8 $(if $(filter preload,$(REGRESS)),,--load-extension=contime)
endif
EXTRA_CLEAN = $(filter-out build/roots,$(wildcard build/*)) test/output contime-*.zip

# Extensions that test/t/038_neighbours.pl preloads beside contime.
NEIGHBOURS = pgaudit cron pg-qualstats pg-wait-sampling postgis-3

# Clients with which test/t/039_clients.pl runs the programs of docs/clients.md; test/clients/install.sh installs those of npm.
CLIENTS = python3-psycopg python3-psycopg2 pgbouncer libpostgresql-jdbc-java default-jdk-headless

FUZZ_SECONDS ?= 60
SOAK_ROUNDS ?= 500
SOAK_STATEMENTS ?= 100000
SOAK_TRANSFERS ?= 1000000
SOAK_QUERIES ?= 7000
SOAK_CRASHES ?= 500
SOAK_DDL ?= 200000
SOAK_SECONDS ?= 600

all:

# ---- with a server's development files: PGXS --------------------------------

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(and $(PGXS),$(wildcard $(PGXS))),)
override with_llvm = no		# nothing of contime is worth inlining into a query
ifneq ($(findstring --enable-cassert,$(shell $(PG_CONFIG) --configure)),)
PG_CPPFLAGS += -DCT_ASSERTIONS
endif
include $(PGXS)
ENGINE_OBJS = $(filter src/engine/%,$(OBJS))
$(ENGINE_OBJS): $(wildcard src/engine/*.h)
$(filter-out $(ENGINE_OBJS),$(OBJS)): $(filter-out src/engine/%,$(wildcard src/*.h src/*/*.h)) src/engine/engine.h
# Objects are of one version of PostgreSQL.
$(OBJS): build/version
build/version: FORCE
	@mkdir -p build
	@echo '$(MAJORVERSION)' | cmp -s - $@ || echo '$(MAJORVERSION)' >$@
FORCE:
else
all install installcheck:
	@echo 'no PostgreSQL development files found by "$(PG_CONFIG) --pgxs"; "make try" installs them, or set PG_CONFIG' >&2; exit 1
clean:
	rm -rf $(EXTRA_CLEAN) contime.so $(OBJS)
endif

# ---- targets that install what is missing first -------------------------------

try:
	@test/setup.sh
	@$(MAKE) --no-print-directory -s -j"$$(nproc)" all
	@test/try.sh

test:
	@test/setup.sh clang-format $(NEIGHBOURS:%=postgresql-$(or $(PG),15)-%) $(CLIENTS)
	@test/clients/install.sh
	@$(MAKE) --no-print-directory -s -j"$$(nproc)" all
	@test/run.sh $(SUITES)

test-versions:
	@test/roots.sh test

soak:
	@test/setup.sh sqlsmith
	@$(MAKE) --no-print-directory -s -j"$$(nproc)" all
	@CT_ROUNDS=$(SOAK_ROUNDS) CT_STATEMENTS=$(SOAK_STATEMENTS) CT_TRANSFERS=$(SOAK_TRANSFERS) CT_READS=$$(($(SOAK_TRANSFERS) / 10)) CT_TAP='008*.pl' test/run.sh law tap
	@CT_QUERIES=$(SOAK_QUERIES) test/run.sh planner
	@CT_DDL=$(SOAK_DDL) test/run.sh ddl
	@CT_SECONDS=$(SOAK_SECONDS) test/run.sh sqlsmith
	@CT_CYCLES=200 CT_DDL_ROUNDS=10 CT_TAP='01[34]*.pl' test/run.sh tap
	@CT_CRASHES=$(SOAK_CRASHES) CT_TAP='022*.pl' test/run.sh tap

valgrind:
	@test/setup.sh valgrind
	@$(MAKE) --no-print-directory -s -j"$$(nproc)" all
	@CT_VALGRIND=1 test/run.sh regress

unit:
	@test/run.sh unit

# (Without address randomisation, with which ThreadSanitizer fails on some systems.)
tsan:
	@mkdir -p build/unit
	@gcc -std=gnu11 -O1 -g -Wall -Wextra -Werror -Wno-tsan -fsanitize=thread -DCT_THREADS -DCT_ASSERTIONS -Isrc -Itest/unit -o build/unit/tsan \
		test/unit/unit_readers.c test/unit/oracle.c src/engine/*.c -Wl,--wrap=ct_alloc -lcmocka -lxxhash
	@CT_SECONDS=$${CT_SECONDS:-10} TSAN_OPTIONS="suppressions=test/tsan.supp history_size=7" setarch -R build/unit/tsan

fuzz:
	@test/fuzz/run.sh $(FUZZ_SECONDS)

# The engine is compiled with the flags of the extension, if they are known.
bench:
	@test/setup.sh
	@[ '$(SUITE)' = engine ] || $(MAKE) --no-print-directory -s -j"$$(nproc)" all
	@ENGINE_CFLAGS='$(if $(PGXS),$(CFLAGS))' bench/run.sh $(SUITE)

# ---- the sources -----------------------------------------------------------------

lint:
	@test/lint.sh

rooms:
	@test/rooms.sh

dist:
	git archive --format=zip --prefix=contime-$(EXTVERSION)/ -o contime-$(EXTVERSION).zip HEAD

deb:
	@test/setup.sh debhelper dpkg-dev fakeroot postgresql-server-dev-all
	@debian/build.sh

test-deb: deb
	@test/setup.sh debootstrap
	@test/deb.sh

.PHONY: try test test-versions FORCE bench soak valgrind unit tsan fuzz lint rooms dist deb test-deb
