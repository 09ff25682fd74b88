// npm run docs:events: writes docs/events.md from the catalogue of events, and the shape of each version that has none yet
// beside its golden file. A shape that is there is never rewritten: events of that version lie in somebody's log.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { compile, compiled } from './compile.mjs';

compile();
/** @param {string} name */
const library = (name) => import(pathToFileURL(compiled(`libs/outbox/src/${name}.js`)).href);
const [{ CATALOGUE }, { shapeOf }, { eventsPage }] = await Promise.all(
  ['log/catalogue', 'log/event-schema', 'log/events-page'].map(library),
);
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const golden = join(root, 'test', 'golden', 'events');

/** @type {Record<string, unknown>} */
const examples = {};
for (const [type, schema] of Object.entries(CATALOGUE)) {
  for (const [index, { data }] of schema.versions.entries()) {
    const name = join(golden, `${type}.v${index + 1}`);
    if (!existsSync(`${name}.json`)) fail(`${name}.json is needed: an event of that version, as the log holds it`);
    examples[type] = JSON.parse(readFileSync(`${name}.json`, 'utf8')).data;
    const shape = shapeOf(data);
    const kept = `${name}.shape.json`;
    if (!existsSync(kept)) writeFileSync(kept, `${JSON.stringify(shape, null, 2)}\n`);
    else if (!isDeepStrictEqual(JSON.parse(readFileSync(kept, 'utf8')), shape))
      fail(`version ${index + 1} of ${type} has changed: add a version instead`);
  }
}
writeFileSync(join(root, 'docs', 'events.md'), eventsPage(examples));

/** @param {string} message @returns {never} */
function fail(message) {
  console.error(`counterfoil: ${message}`);
  process.exit(1);
}
