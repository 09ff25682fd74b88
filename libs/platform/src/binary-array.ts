/**
 * Array parameters in PostgreSQL's binary format: `pg` sends a Buffer as binary, and building one is 5–15 times cheaper
 * than the escaped text of a JS array. Layout: dimensions, has-null flag, element oid, then for the
 * one dimension its length and lower bound, then each element as int32 length (-1: null) and bytes.
 */
const HEADER_BYTES = 20;
const OID = { bool: 16, bytea: 17, int8: 20, int2: 21, int4: 23, text: 25, timestamptz: 1184 } as const;
const POSTGRES_EPOCH_MS = 946_684_800_000; // 2000-01-01T00:00:00Z

function header(buffer: Buffer, oid: number, length: number, hasNull: boolean): void {
  buffer.writeInt32BE(1, 0);
  buffer.writeInt32BE(hasNull ? 1 : 0, 4);
  buffer.writeInt32BE(oid, 8);
  buffer.writeInt32BE(length, 12);
  buffer.writeInt32BE(1, 16);
}

function fixedWidth<T>(
  values: readonly (T | null | undefined)[],
  oid: number,
  width: number,
  write: (view: DataView, offset: number, value: T) => void,
): Buffer {
  let nulls = 0;
  for (const value of values) if (value === null || value === undefined) nulls += 1;
  const buffer = Buffer.allocUnsafe(HEADER_BYTES + 4 * values.length + width * (values.length - nulls));
  header(buffer, oid, values.length, nulls > 0);
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  let offset = HEADER_BYTES;
  for (const value of values) {
    if (value === null || value === undefined) {
      view.setInt32(offset, -1);
      offset += 4;
    } else {
      view.setInt32(offset, width);
      write(view, offset + 4, value);
      offset += 4 + width;
    }
  }
  return buffer;
}

/** A DataView wraps what does not fit into its bytes. */
function unwrapped<T>(value: T, wrapped: T): T {
  if (value !== wrapped) throw new RangeError(`${value} does not fit`);
  return wrapped;
}

function setInt8(view: DataView, offset: number, value: bigint): void {
  view.setBigInt64(offset, unwrapped(value, BigInt.asIntN(64, value)));
}

export function int8Array(values: readonly (bigint | null | undefined)[]): Buffer {
  return fixedWidth<bigint>(values, OID.int8, 8, setInt8);
}

export function int2Array(values: readonly number[]): Buffer {
  return fixedWidth<number>(values, OID.int2, 2, (view, offset, value) =>
    view.setInt16(offset, unwrapped(value, (value << 16) >> 16)),
  );
}

export function int4Array(values: readonly number[]): Buffer {
  return fixedWidth<number>(values, OID.int4, 4, (view, offset, value) =>
    view.setInt32(offset, unwrapped(value, value | 0)),
  );
}

export function boolArray(values: readonly boolean[]): Buffer {
  return fixedWidth<boolean>(values, OID.bool, 1, (view, offset, value) => view.setInt8(offset, value ? 1 : 0));
}

/** Milliseconds since 1970 → timestamptz[]. */
export function timestamptzArray(valuesMs: readonly (number | null | undefined)[]): Buffer {
  return fixedWidth<number>(valuesMs, OID.timestamptz, 8, (view, offset, value) =>
    setInt8(view, offset, BigInt(value - POSTGRES_EPOCH_MS) * 1_000n),
  );
}

export function textArray(values: readonly (string | null | undefined)[]): Buffer {
  let bytes = HEADER_BYTES;
  let hasNull = false;
  for (const value of values) {
    if (value === null || value === undefined) hasNull = true;
    else bytes += Buffer.byteLength(value);
    bytes += 4;
  }
  const buffer = Buffer.allocUnsafe(bytes);
  header(buffer, OID.text, values.length, hasNull);
  let offset = HEADER_BYTES;
  for (const value of values) {
    if (value === null || value === undefined) {
      buffer.writeInt32BE(-1, offset);
      offset += 4;
      continue;
    }
    const written = buffer.write(value, offset + 4);
    buffer.writeInt32BE(written, offset);
    offset += 4 + written;
  }
  return buffer;
}

export function byteaArray(values: readonly Buffer[]): Buffer {
  const buffer = Buffer.allocUnsafe(HEADER_BYTES + values.reduce((sum, value) => sum + 4 + value.length, 0));
  header(buffer, OID.bytea, values.length, false);
  let offset = HEADER_BYTES;
  for (const value of values) {
    buffer.writeInt32BE(value.length, offset);
    value.copy(buffer, offset + 4);
    offset += 4 + value.length;
  }
  return buffer;
}
