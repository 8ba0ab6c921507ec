# Skycue from its wheel, for a server without a GPU. NOT TESTED: written where no Docker is.
#   make wheel && docker build -t skycue .
#   docker run -p 8000:8000 -v /data:/data:ro -v skycue-state:/home/skycue/state -e SKYCUE_TOKEN=... skycue
# The volume `skycue-state` outlives the container: uploads, answers, models and jobs are in it.
# For kuberay.yaml, with Ray and the CUDA build of torch:
#   docker build --build-arg EXTRAS=ray --build-arg TORCH_INDEX=https://pypi.org/simple -t skycue:0.1-ray .
FROM python:3.11-slim

# Of the wheel, by commas; pyproject.toml lists them.
ARG EXTRAS=serve,cloud
# Where torch comes from besides the package index: its default build brings 3 GB of CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# KubeRay asks by wget whether a container is well.
RUN apt-get update && apt-get install --yes --no-install-recommends wget && rm -r /var/lib/apt/lists/*

COPY constraints.txt dist/skycue-*.whl /tmp/skycue/
RUN pip install --no-cache-dir --constraint /tmp/skycue/constraints.txt --extra-index-url "$TORCH_INDEX" torch \
    && pip install --no-cache-dir --constraint /tmp/skycue/constraints.txt "$(ls /tmp/skycue/*.whl)[$EXTRAS]" \
    && rm -r /tmp/skycue

RUN useradd --create-home skycue
USER skycue
WORKDIR /home/skycue
# Made before it is a volume, so that it belongs to the user above.
RUN mkdir state
VOLUME /home/skycue/state
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v1/health')"]
ENTRYPOINT ["skycue"]
CMD ["serve", "/data", "--host", "0.0.0.0", "--port", "8000", "--state", "/home/skycue/state"]
