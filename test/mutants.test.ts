import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';
import { plant } from '../scripts/mutants/mutant.mjs';
import { HELD_BY } from '../scripts/mutants/sql-faults.mjs';
import { MUTANTS } from '../scripts/mutants/table.mjs';
import { MUTANTS as OF_HISTORIES } from './histories/mutants.js';
import { MUTANTS as OF_CAMPAIGNS } from './outbox-campaign/mutants.js';

const ROOT = join(import.meta.dirname, '..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const { compilerOptions } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile).config;
const { options } = ts.convertCompilerOptionsFromJson(compilerOptions, ROOT);

/** What the compiler makes of a source of ours; other files as they are. */
function compiled(file: string): string {
  const source = /^dist\/(.*)\.js$/.exec(file)?.[1];
  if (source === undefined) return read(file);
  // One file by itself does not know that its package is of modules.
  const module = { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler };
  const compilerOptions = { ...options, ...module, noEmit: false, sourceMap: false };
  return ts.transpileModule(read(`${source}.ts`), { compilerOptions, fileName: join(ROOT, `${source}.ts`) }).outputText;
}

test('every planted bug quotes the source as it is, once', () => {
  expect(MUTANTS.length).toBeGreaterThan(300);
  expect(MUTANTS.filter((mutant) => plant(read(mutant.file), mutant) === undefined).map(({ name }) => name)).toEqual(
    [],
  );
});

test('those of the campaigns quote what the compiler makes of it', () => {
  const changes = [...OF_HISTORIES, ...OF_CAMPAIGNS].flatMap(({ name, changes }) =>
    changes.map((change) => ({ name, ...change })),
  );
  expect(changes.length).toBeGreaterThan(10);
  const stale = changes.filter(({ file, search }) => compiled(file).split(search).length !== 2);
  expect(stale.map(({ name, file }) => `${name}: ${file}`)).toEqual([]);
});

test('the files that SQL faults are planted in, and the tests that hold them, are there', () => {
  const files = execFileSync('git', ['ls-files'], { cwd: ROOT, encoding: 'utf8' }).split('\n');
  for (const [pattern, tests] of HELD_BY) {
    expect(
      files.filter((file) => pattern.test(file)),
      String(pattern),
    ).not.toEqual([]);
    for (const name of tests) expect(files).toContain(`test/${name}.test.ts`);
  }
});
