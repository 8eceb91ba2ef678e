"""The wire contract, version 1: values and bytes, nothing else.

Every record that goes over Kafka is one frozen value here, valid once constructed from bytes. All amounts are integers
of fen (1/100 yuan), all times integer milliseconds since the epoch, UTC. Readers ignore fields that they don't know.
The JSON Schema and AsyncAPI files under `schemas/published/` are generated from this code by `schemas.documents`.
"""
