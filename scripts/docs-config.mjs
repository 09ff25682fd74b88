// npm run docs:config: writes docs/configuration.md from the settings of all rooms. A test fails when they differ.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { compile, compiled } from './compile.mjs';

compile();
const { configurationTable } = await import(pathToFileURL(compiled('libs/platform/src/config.js')).href);
const { SETTINGS } = await import(pathToFileURL(compiled('apps/config.js')).href);
const docs = join(dirname(dirname(fileURLToPath(import.meta.url))), 'docs');
mkdirSync(docs, { recursive: true });
writeFileSync(join(docs, 'configuration.md'), configurationTable(SETTINGS));
