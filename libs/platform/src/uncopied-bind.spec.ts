import { PassThrough } from 'node:stream';
import pg from 'pg';
import { expect, test } from 'vitest';
import { bindUncopied } from './uncopied-bind.js';

/** What a connection writes for a Bind, piece by piece. */
function written(values: unknown[], options: { uncopied: boolean }): Buffer[] {
  const parts: Buffer[] = [];
  const stream = new PassThrough();
  stream.write = (part: Buffer) => parts.push(part) > 0;
  const connection = new pg.Connection({ stream } as never);
  if (options.uncopied) bindUncopied(connection);
  const valueMapper = (value: unknown) => (Buffer.isBuffer(value) || value === null ? value : String(value));
  connection.bind({ portal: '', statement: 'write-group', values, valueMapper } as never, false);
  return parts;
}

const LONG = Buffer.alloc(300_000, 'long');

test('a long Bind is the driver’s, byte for byte', () => {
  const values = [LONG, 42n, Buffer.alloc(0), Buffer.from('ж'), -1n, LONG];
  const uncopied = Buffer.concat(written(values, { uncopied: true }));
  expect(uncopied.equals(Buffer.concat(written(values, { uncopied: false })))).toBe(true);
});

test('long parameters are sent as they are, without a copy', () => {
  const parts = written([Buffer.from('short'), LONG, 42n], { uncopied: true });
  expect(parts.some((part) => part === LONG)).toBe(true);
  expect(parts.filter((part) => part !== LONG).reduce((sum, { length }) => sum + length, 0)).toBeLessThan(100);
});

test.each([
  ['short ones', [Buffer.from('short'), 42n]],
  ['what the driver has to convert', [LONG, null, 'text']],
])('%s are the driver’s, in one message', (_name, values) => {
  const parts = written(values, { uncopied: true });
  expect(parts).toHaveLength(1);
  expect(parts).toEqual(written(values, { uncopied: false }));
});
