# The image of the service: `docker build --tag tablestakes .`
#
#   docker run --read-only --publish 127.0.0.1:50051:50051 --volume tablestakes:/var/lib/tablestakes tablestakes
#
# A build that must not depend on a tag gives the digest that it looked up:
#
#   docker build --build-arg BASE=python:3.14.6-slim-trixie@sha256:… .
# checkov:skip=CKV_DOCKER_7:the tag is in BASE, a full version
ARG BASE=python:3.14.6-slim-trixie

FROM ${BASE} AS build
WORKDIR /src
# Each wheel by its hash, and nothing that has to be compiled.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all:
COPY requirements/build.lock requirements/image.lock requirements/
RUN python -m venv --without-pip /opt/tablestakes \
    && python -m pip --python /opt/tablestakes/bin/python install --require-hashes --no-deps -r requirements/image.lock \
    && python -m pip install --require-hashes --no-deps -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY alembic alembic
COPY generated generated
COPY server server
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
    && python -m pip --python /opt/tablestakes/bin/python install --no-deps --no-index /wheel/*.whl

FROM ${BASE}
ARG VERSION=unversioned
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Tablestakes" \
      org.opencontainers.image.description="Protobuf-defined CRUD over SQLAlchemy, served by async gRPC" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Nothing that installs is left, and the folder of the embedded database is the only place to write to.
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
    && mkdir /var/lib/tablestakes \
    && chown 65532:65532 /var/lib/tablestakes
COPY --from=build /opt/tablestakes /opt/tablestakes
# The network of a container is its own: what is not published is reached by nobody outside.
ENV PATH=/opt/tablestakes/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    TABLESTAKES_LISTEN=0.0.0.0:50051 \
    TABLESTAKES_INSECURE=true \
    TABLESTAKES_METRICS_LISTEN=0.0.0.0:9464
USER 65532:65532
WORKDIR /var/lib/tablestakes
VOLUME /var/lib/tablestakes
EXPOSE 50051 9464
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["tablestakes", "health"]
# No shell in between: the service is the first process, and SIGTERM reaches it.
ENTRYPOINT ["tablestakes"]
CMD ["serve"]
