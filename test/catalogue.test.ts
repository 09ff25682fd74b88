import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { CATALOGUE, type EventType, readEvent } from '#outbox/log/catalogue.js';
import { type EventSchema, shapeOf } from '#outbox/log/event-schema.js';
import { eventsPage } from '#outbox/log/events-page.js';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const GOLDEN = join(ROOT, 'test/golden/events');

const golden = (name: string) => JSON.parse(readFileSync(join(GOLDEN, name), 'utf8'));
const current = (type: string) => CATALOGUE[type as EventType].versions.at(-1) as EventSchema<unknown>['versions'][0];

/** Every version that there ever was: what the log of an old installation holds. */
const VERSIONS = Object.entries(CATALOGUE).flatMap(([type, { versions }]) =>
  versions.map(({ data }, index) => ({ type, version: index + 1, data, name: `${type}.v${index + 1}` })),
);

test('every version has its golden file and its shape, and there are no others', () => {
  const expected = VERSIONS.flatMap(({ name }) => [`${name}.json`, `${name}.shape.json`]);
  expect(readdirSync(GOLDEN).sort()).toEqual(expected.sort());
});

test('the index of patterns counts them', () => {
  const text = `${Object.keys(CATALOGUE).length} types, ${VERSIONS.length} versions`;
  expect(readFileSync(join(ROOT, 'docs/patterns.md'), 'utf8')).toContain(text);
});

describe.each(VERSIONS)('$type, version $version', ({ type, version, data, name }) => {
  const event = golden(`${name}.json`);

  test('is what it was when it was first written', () => {
    // Changed on purpose? Events of this version lie in logs: add a version to the catalogue instead.
    expect(shapeOf(data)).toEqual(golden(`${name}.shape.json`));
  });

  test('has a golden file that is one', () => {
    expect(event).toMatchObject({ type, version });
    expect(data.parse(event.data)).toEqual(event.data);
  });

  test('is read as what is written today', () => {
    const read = readEvent({
      merchantId: 1n,
      xid: 1n,
      seq: 1n,
      type,
      version,
      occurredAtMs: Date.parse(event.occurred_at),
      traceContext: undefined,
      data: JSON.stringify(event.data),
    });
    expect(read.version).toBe(CATALOGUE[type as EventType].version);
    expect(current(type).data.parse(read.data)).toEqual(read.data);
  });

  test('takes no field that it does not name, and misses none', () => {
    const shape = shapeOf(data) as { properties: object; required: string[]; additionalProperties: boolean };
    expect(shape.additionalProperties).toBe(false);
    expect([...shape.required].sort()).toEqual(Object.keys(shape.properties).sort());
  });
});

test('docs/events.md is generated from the catalogue', () => {
  const examples = Object.fromEntries(
    Object.entries(CATALOGUE).map(([type, { version }]) => [type, golden(`${type}.v${version}.json`).data]),
  );
  // npm run docs:events
  expect(readFileSync(join(ROOT, 'docs/events.md'), 'utf8')).toBe(eventsPage(examples));
});
