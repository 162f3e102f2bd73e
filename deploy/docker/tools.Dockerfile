# What is not served: train, evaluate, export, publish, score many photos, roll out. Mount a folder at /work.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
COPY deploy/docker/install /install/
COPY deploy/docker/requirements /install/requirements
RUN /install/install packages tools
WORKDIR /source
COPY . .
RUN /install/install scenery

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="scenery-tools" \
      org.opencontainers.image.description="Train, evaluate, export and roll out models; score many photos" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /venv /venv
WORKDIR /work
USER 65534:65534
ENV PATH=/venv/bin:$PATH HOME=/tmp
ENTRYPOINT ["scenery"]
