# AVATAR in a container: docker build -t avatar .                         one NVIDIA card (docs/deploy.md)
#                        docker build -t avatar:cpu --build-arg VARIANT=cpu .    no card
# The page is reachable from outside the container, so AVATAR_AUTH must be set.
ARG VARIANT=gpu

FROM python:3.12-slim-bookworm AS base-cpu
ENV REQUIREMENTS=requirements.txt

# The wheels bring CUDA's libraries; Triton, which vLLM compiles kernels with, wants a C compiler and Python's headers.
FROM nvidia/cuda:13.0.1-runtime-ubuntu24.04 AS base-gpu
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 python3-venv python3-dev gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH REQUIREMENTS=requirements-gpu.txt

FROM base-${VARIANT}
WORKDIR /app
COPY requirements.txt requirements-voice.txt requirements-gpu.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check -r $REQUIREMENTS
COPY . .
RUN useradd --create-home --uid 10001 avatar && install -d -m 700 -o avatar -g avatar /data /weights
USER avatar
ENV AVATAR_HOST=0.0.0.0 AVATAR_DATA=/data AVATAR_WEIGHTS=/weights PYTHONUNBUFFERED=1
RUN python -m avatar.weights fetch bundled
VOLUME ["/data", "/weights"]
EXPOSE 7860
# the first start builds the page in seconds; engines warm behind it
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
ENTRYPOINT ["python", "app.py"]
