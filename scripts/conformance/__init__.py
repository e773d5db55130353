"""Test suites of Kafka's clients against a cluster of the reference broker.

A suite (`librdkafka`, `rust_rdkafka`, `kcat`) names its tests and says what became of them; `cluster` starts what they run
against; `results` keeps what they said, `reasons` knows what is expected of them, and `ledger` writes both down.
"""
