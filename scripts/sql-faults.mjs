// npm run test:sql-faults [-- --count N --seed S --file PART]: plants faults that are derived from the SQL in libs, one at a time,
// in a copy of the tree, and runs the tests that hold that file until one fails. Prints what was killed and what survived; a
// sample, at least one of each file that has any while the count allows. Exit 1 when a test fails without any fault.
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CopiedTree, root } from './mutants/copied-tree.mjs';
import { faultsOf, testsOf } from './mutants/sql-faults.mjs';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '40' },
    seed: { type: 'string', default: String(randomInt(1, 1_000_000_000)) },
    file: { type: 'string', default: '' },
  },
});
const [count, seed] = [Number(values.count), Number(values.seed)];
if (!(count > 0 && seed > 0)) {
  console.error('counterfoil: --count and --seed must be numbers above 0.');
  process.exit(1);
}

/** The same numbers for the same seed (a linear congruential generator; Numerical Recipes). */
let state = seed % 2 ** 32;
const draw = () => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
};
/** @template T @param {readonly T[]} from @returns {T[]} */
const shuffled = (from) =>
  from
    .map((item) => ({ item, at: draw() }))
    .sort((left, right) => left.at - right.at)
    .map(({ item }) => item);

const files = execFileSync('git', ['ls-files', 'libs/*/src/*.ts'], { cwd: root, encoding: 'utf8' })
  .split('\n')
  .filter((file) => file.includes(values.file) && file.endsWith('.ts') && !file.endsWith('.spec.ts'));
const byFile = shuffled(files)
  .map((file) => shuffled(faultsOf(file, readFileSync(join(root, file), 'utf8'))))
  .filter((faults) => faults.length > 0);
const all = byFile.flat();
// One of each file, then the second of each, and so on.
const sample = [...byFile.flatMap((faults) => faults.map((fault, turn) => ({ fault, turn })))]
  .sort((left, right) => left.turn - right.turn)
  .slice(0, count)
  .map(({ fault }) => fault);
console.log(`seed ${seed}: ${sample.length} of ${all.length} faults in ${byFile.length} files`);

const tree = new CopiedTree();
/** @type {Map<string, boolean>} */
const greens = new Map();
/** Whether a test passes without any fault. @param {string} test */
async function isGreen(test) {
  const known = greens.get(test);
  if (known !== undefined) return known;
  const { verdict, first } = await tree.run(test);
  if (verdict !== 'passed') console.log(`BROKEN    ${test} ${verdict} without any fault: ${first ?? ''}`);
  greens.set(test, verdict === 'passed');
  return verdict === 'passed';
}

const tally = { killed: 0, survived: 0, 'not run': 0 };
for (const { file, rule, line, was, content } of sample) {
  const where = `${file}:${line} ${rule}: ${was}`;
  /** @type {string | undefined} */
  let killer;
  let ran = 0;
  for (const test of testsOf(file)) {
    if (killer !== undefined || !(await isGreen(test))) continue;
    await tree.with(file, content, async () => {
      const { verdict, first } = await tree.run(test);
      ran += verdict === 'did not run' ? 0 : 1;
      if (verdict === 'failed') killer = `${test}: ${first}`;
    });
  }
  const outcome = killer !== undefined ? 'killed' : ran > 0 ? 'survived' : 'not run';
  tally[outcome] += 1;
  console.log(`${outcome.padEnd(9)} ${where}${killer === undefined ? '' : ` (${killer})`}`);
}
console.log(
  `${sample.length} faults: ${Object.entries(tally)
    .map(([name, n]) => `${n} ${name}`)
    .join(', ')}`,
);
process.exit([...greens.values()].every(Boolean) ? 0 : 1);
