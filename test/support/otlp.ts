/** Reads what OTLP sends over HTTP, as opentelemetry-proto's trace.proto numbers its fields. */

export interface ReceivedSpan {
  name: string;
  traceId: string;
  spanId: string;
  /** Undefined: the first of its trace. */
  parentId: string | undefined;
  /** As SpanKind of the API has it. */
  kind: number;
  /** Milliseconds since 1970, with fractions. */
  startMs: number;
  endMs: number;
  attributes: Record<string, unknown>;
  links: { traceId: string; spanId: string }[];
  /** Names of its events. */
  events: string[];
  failed: boolean;
  /** Of the process that sent it. */
  service: string;
  pid: string;
}

const ERROR = 2;

/** A message's fields: of each number what came under it, in order. */
type Fields = Map<number, (Buffer | bigint)[]>;

function fieldsOf(message: Buffer): Fields {
  const fields: Fields = new Map();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const bytes = (length: number): Buffer => {
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const key = Number(varint());
    const read = { 0: varint, 1: () => bytes(8), 2: () => bytes(Number(varint())), 5: () => bytes(4) }[key & 7];
    if (!read) throw new Error(`protobuf has no wire type ${key & 7}`);
    const number = key >> 3;
    fields.set(number, [...(fields.get(number) ?? []), read()]);
  }
  return fields;
}

const messages = (fields: Fields, number: number): Fields[] =>
  ((fields.get(number) ?? []) as Buffer[]).map((message) => fieldsOf(message));
const bytesOf = (fields: Fields, number: number): Buffer => (fields.get(number)?.[0] ?? Buffer.alloc(0)) as Buffer;
const text = (fields: Fields, number: number): string => bytesOf(fields, number).toString();
const hex = (fields: Fields, number: number): string => bytesOf(fields, number).toString('hex');
const integer = (fields: Fields, number: number): bigint => (fields.get(number)?.[0] ?? 0n) as bigint;
const ms = (fields: Fields, number: number): number => Number(bytesOf(fields, number).readBigUInt64LE()) / 1e6;

/** An AnyValue. */
function anyOf(value: Fields | undefined): unknown {
  if (!value) return undefined;
  if (value.has(1)) return text(value, 1);
  if (value.has(2)) return integer(value, 2) === 1n;
  if (value.has(3)) return Number(BigInt.asIntN(64, integer(value, 3)));
  if (value.has(4)) return bytesOf(value, 4).readDoubleLE();
  return messages(messages(value, 5)[0] ?? new Map(), 1).map(anyOf);
}

function attributesOf(fields: Fields, number: number): Record<string, unknown> {
  return Object.fromEntries(messages(fields, number).map((pair) => [text(pair, 1), anyOf(messages(pair, 2)[0])]));
}

function spanOf(span: Fields, resource: Record<string, unknown>): ReceivedSpan {
  return {
    name: text(span, 5),
    traceId: hex(span, 1),
    spanId: hex(span, 2),
    parentId: hex(span, 4) || undefined,
    kind: Number(integer(span, 6)) - 1,
    startMs: ms(span, 7),
    endMs: ms(span, 8),
    attributes: attributesOf(span, 9),
    links: messages(span, 13).map((link) => ({ traceId: hex(link, 1), spanId: hex(link, 2) })),
    events: messages(span, 11).map((event) => text(event, 2)),
    failed: messages(span, 15).some((status) => Number(integer(status, 3)) === ERROR),
    service: String(resource['service.name']),
    pid: String(resource['service.instance.id']),
  };
}

/** The spans of an ExportTraceServiceRequest. */
export function spansOf(request: Buffer): ReceivedSpan[] {
  return messages(fieldsOf(request), 1).flatMap((ofResource) => {
    const resource = attributesOf(messages(ofResource, 1)[0] ?? new Map(), 1);
    const spans = messages(ofResource, 2).flatMap((ofScope) => messages(ofScope, 2));
    return spans.map((span) => spanOf(span, resource));
  });
}
