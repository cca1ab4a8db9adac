# contime on the official image of PostgreSQL:
#   docker build -t contime --build-arg PG_MAJOR=17 .
#   docker run -e POSTGRES_PASSWORD=secret -p 127.0.0.1:5432:5432 contime
#   docker run … contime -c contime.memory=2GB        (shared memory of all continuous tables)
ARG PG_MAJOR=17

FROM postgres:${PG_MAJOR}-bookworm AS build
ARG PG_MAJOR
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev libxxhash-dev make "postgresql-server-dev-${PG_MAJOR}" \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /contime
COPY Makefile contime.control ./
COPY sql sql
COPY src src
RUN make -j "$(nproc)" && make install DESTDIR=/installed

FROM postgres:${PG_MAJOR}-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends libxxhash0 \
 && rm -rf /var/lib/apt/lists/* \
 && printf "shared_preload_libraries = 'contime'\ncontime.memory = '256MB'\n" >>/usr/share/postgresql/postgresql.conf.sample \
 && echo 'CREATE EXTENSION contime;' >/docker-entrypoint-initdb.d/contime.sql
COPY --from=build /installed /
