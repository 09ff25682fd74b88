import { InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { Telemetry } from '#platform/telemetry.js';

/** Traces this process until `telemetry` is shut down, and keeps its spans in place of sending them. `sampleRatio` as TelemetryOptions has it. */
export function keepSpans(sampleRatio = 1, exporter = new InMemorySpanExporter()) {
  const spanProcessor = new SimpleSpanProcessor({ exporter });
  const telemetry = Telemetry.start({ otlpEndpoint: undefined, sampleRatio, serviceName: 'test', spanProcessor });
  return { exporter, telemetry };
}

/** The same while the tests of a file, or of a `describe`, run; each test begins with no span. */
export function keepSpansOfTests(sampleRatio = 1): InMemorySpanExporter {
  const exporter = new InMemorySpanExporter();
  let telemetry: Telemetry;
  beforeAll(() => {
    telemetry = keepSpans(sampleRatio, exporter).telemetry;
  });
  beforeEach(() => exporter.reset());
  afterAll(() => telemetry.shutdown());
  return exporter;
}
