# syntax=docker/dockerfile:1
# CPU:   docker build -t dpdrun .
# CUDA:  docker build -t dpdrun:cuda --build-arg BASE=pytorch/pytorch:2.9.1-cuda12.8-cudnn9-runtime .
#        To pin a base for good, append its digest: BASE=python:3.12-slim-bookworm@sha256:...
#        --build-arg PIP_ARGS=... passes options to pip, such as the index of PyTorch's CPU-only builds (a smaller image);
#        REVISION, CREATED and SOURCE go into the labels: --build-arg REVISION="$(git rev-parse HEAD)"
# Run:   mkdir -p runs && docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/runs:/job/runs" dpdrun \
#            train recipes/quickstart.yaml
#        on GPUs: docker run --gpus all --shm-size=8g --ulimit memlock=-1 ... dpdrun:cuda train RECIPE --processes 4
#        The main process is dpdrun itself, which takes SIGTERM and passes it on: `docker stop --time 60` saves and ends
#        with exit code 75. compose.yaml and docs/deploy.md have the rest.
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
ARG PIP_ARGS=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# A virtual environment that sees the base image's packages: a CUDA base brings its own torch, which must stay.
RUN python3 -m venv --system-site-packages /opt/dpdrun
# Dependencies first: this layer is rebuilt only when they change, not with every edit of the package.
# A file that is not one of requirements.lock is refused, wherever it comes from. torch is not in it, and has no hash:
# a CUDA base has its own, and PIP_ARGS may name another index; its version is that of constraints.txt where it is missing.
COPY constraints.txt requirements.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/dpdrun/bin/pip install ${PIP_ARGS} --require-hashes --no-deps -r requirements.lock \
    && if ! /opt/dpdrun/bin/python -c 'import torch'; then \
        /opt/dpdrun/bin/pip install ${PIP_ARGS} "$(grep '^torch==' constraints.txt)"; fi
COPY pyproject.toml README.md LICENSE ./
COPY dpdrun ./dpdrun
COPY recipes ./recipes
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/dpdrun/bin/pip install ${PIP_ARGS} --no-deps --no-build-isolation .

FROM ${BASE}
# torch.compile needs a compiler; without one dpdrun trains all the same, on a GPU slower.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
# Any user may run it (docker run --user): runs and caches are writable for all, and nothing else needs to be.
RUN useradd --create-home --uid 10001 dpdrun && install -d -m 1777 /job /job/runs /var/cache/dpdrun
COPY --from=build /opt/dpdrun /opt/dpdrun
WORKDIR /job
COPY cli.py ./
COPY recipes ./recipes
ENV PATH=/opt/dpdrun/bin:$PATH PYTHONUNBUFFERED=1 HOME=/var/cache/dpdrun XDG_CACHE_HOME=/var/cache/dpdrun \
    DPDRUN_CACHE=/var/cache/dpdrun TORCHINDUCTOR_CACHE_DIR=/var/cache/dpdrun/inductor \
    TRITON_CACHE_DIR=/var/cache/dpdrun/triton MPLCONFIGDIR=/var/cache/dpdrun/matplotlib
USER 10001
STOPSIGNAL SIGTERM
# By the heartbeat of the newest run: a run that hangs becomes unhealthy.
HEALTHCHECK --interval=60s --timeout=30s --start-period=300s --retries=3 \
    CMD ["dpdrun", "health", "runs", "--max-age", "300"]
ENTRYPOINT ["dpdrun"]
CMD ["--help"]
# Last, since they change with every build.
ARG BASE
ARG VERSION=0.2.0
ARG REVISION=unknown
ARG CREATED=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="dpdrun" \
      org.opencontainers.image.description="Train Transformers for RF power-amplifier modelling and predistortion" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE}"
