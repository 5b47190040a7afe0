# Environment for one machine with or without an NVIDIA GPU (the driver comes from the host):
#   docker build -t ganformer .
#   docker run --rm --gpus all -v "$PWD/results:/work/results" ganformer snakemake --cores all
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends git g++ \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /work
# Dependencies first: they change less often than the code, so that Docker's cache keeps them.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir -p ganformer ops && touch ganformer/__init__.py ops/__init__.py \
    && pip install --no-cache-dir -c constraints.txt -e .
COPY . .
RUN pip install --no-cache-dir --no-deps -e .

ENV OMP_NUM_THREADS=1
CMD ["snakemake", "--cores", "all"]
