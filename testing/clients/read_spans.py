"""The packages `opentelemetry-proto` and `opentelemetry-semantic-conventions` as judges of what a site sends.

Reads requests of OTLP, one in each of the files, and prints their spans as JSON.
"""

import json
import sys

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes

NAMES = {value for of in (gen_ai_attributes, error_attributes) for value in vars(of).values() if isinstance(value, str)}
METRICS = {value for value in vars(gen_ai_metrics).values() if isinstance(value, str)}
PROVIDERS = {it.value for it in gen_ai_attributes.GenAiProviderNameValues}
OPERATIONS = {it.value for it in gen_ai_attributes.GenAiOperationNameValues}


def attributes(of):
    def value(any_value):
        kind = any_value.WhichOneof("value")
        assert kind is not None, "a value without a kind"
        return getattr(any_value, kind)

    found = {it.key: value(it.value) for it in of}
    assert len(found) == len(of), "a name twice"
    return found


def read(path):
    request = ExportTraceServiceRequest()
    with open(path, "rb") as file:
        body = file.read()
    request.ParseFromString(body)
    # Nothing of it is what the package does not know.
    assert request.SerializeToString() and len(request.SerializeToString()) == len(body)
    assert MessageToDict(request)
    for of_resource in request.resource_spans:
        resource = attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                found = attributes(span.attributes)
                for name in found:
                    assert name in NAMES or name.startswith("isonomy."), name
                assert found["gen_ai.operation.name"] in OPERATIONS, found
                assert found["gen_ai.provider.name"] in PROVIDERS, found
                assert len(span.trace_id) == 16 and len(span.span_id) == 8
                yield {
                    "resource": resource,
                    "schema": of_scope.schema_url,
                    "name": span.name,
                    "kind": Span.SpanKind.Name(span.kind),
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "nanos": span.end_time_unix_nano - span.start_time_unix_nano,
                    "start": span.start_time_unix_nano,
                    "status": Status.StatusCode.Name(span.status.code),
                    "attributes": found,
                }


metrics, *files = sys.argv[1:]
for name in metrics.split(","):
    assert name in METRICS, name
print(json.dumps([span for path in files for span in read(path)]))
