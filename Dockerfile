# syntax=docker/dockerfile:1
# CPU:   docker build -t dpdrun .
# CUDA:  docker build -t dpdrun:cuda --build-arg BASE=pytorch/pytorch:2.9.1-cuda12.8-cudnn9-runtime .
#        --build-arg PIP_ARGS=... passes options to pip, such as the index of PyTorch's CPU-only builds (a smaller image).
# Run:   mkdir -p runs && docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/runs:/job/runs" dpdrun \
#            train recipes/quickstart.yaml
#        (on GPUs add: --gpus all --shm-size=8g)
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ARG PIP_ARGS=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# A virtual environment that sees the base image's packages: a CUDA base brings its own torch, which must stay.
RUN python3 -m venv --system-site-packages /opt/dpdrun
# Dependencies first: this layer is rebuilt only when they change, not with every edit of the package.
# The versions are those of development, but for torch: a CUDA base has its own.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir dpdrun && touch dpdrun/__init__.py \
    && grep -vE '^(torch|triton|nvidia|cuda)' constraints.txt > pinned.txt \
    && /opt/dpdrun/bin/pip install ${PIP_ARGS} -c pinned.txt '.[plots]' \
    && /opt/dpdrun/bin/pip uninstall --yes dpdrun
COPY dpdrun ./dpdrun
RUN /opt/dpdrun/bin/pip install --no-deps .

FROM ${BASE}
LABEL org.opencontainers.image.title="dpdrun" \
      org.opencontainers.image.description="Train Transformers for RF power-amplifier modelling and predistortion" \
      org.opencontainers.image.licenses="Apache-2.0"
# torch.compile needs a compiler; without one dpdrun trains all the same, on a GPU slower.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/dpdrun /opt/dpdrun
# Any user may run it (docker run --user): runs and caches are writable for all.
RUN useradd --create-home --uid 10001 dpdrun && install -d -m 1777 /job /job/runs /var/cache/dpdrun
WORKDIR /job
COPY cli.py ./
COPY recipes ./recipes
ENV PATH=/opt/dpdrun/bin:$PATH PYTHONUNBUFFERED=1 HOME=/var/cache/dpdrun DPDRUN_CACHE=/var/cache/dpdrun \
    TORCHINDUCTOR_CACHE_DIR=/var/cache/dpdrun/inductor MPLCONFIGDIR=/var/cache/dpdrun/matplotlib
USER 10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["dpdrun"]
CMD ["--help"]
