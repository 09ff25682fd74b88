// npm run test:mutants [-- <part of a name, file or spec>…]: plants the bugs of scripts/mutants/table.mjs one at a time in a
// copy of the tree and runs their specs. Exit 1 when a spec stays green beside its bug, or when a bug cannot be planted.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CopiedTree, root } from './mutants/copied-tree.mjs';
import { plant } from './mutants/mutant.mjs';
import { MUTANTS } from './mutants/table.mjs';

const wanted = process.argv.slice(2);
const mutants = MUTANTS.filter(
  ({ name, file, specs }) =>
    wanted.length === 0 || wanted.some((part) => [name, file, ...specs].some((text) => text.includes(part))),
);

const tree = new CopiedTree();
let problems = 0;
/** @param {string} line */
const complain = (line) => {
  problems += 1;
  console.log(line);
};

// Before anything runs: a stale quotation is found in a moment.
const plants = mutants.map((mutant) => {
  const planted = plant(readFileSync(join(root, mutant.file), 'utf8'), mutant);
  if ('stale' in planted) complain(`STALE     ${mutant.name}: ${mutant.file}: ${planted.stale}`);
  return { mutant, source: 'source' in planted ? planted.source : '' };
});

for (const spec of problems > 0 ? [] : new Set(mutants.flatMap(({ specs }) => specs))) {
  const { verdict, first } = await tree.run(spec);
  if (verdict !== 'passed') complain(`BROKEN    ${spec} ${verdict} without any mutant: ${first ?? ''}`);
}

let caught = 0;
for (const { mutant, source } of problems > 0 ? [] : plants) {
  await tree.with(mutant.file, source, async () => {
    for (const spec of mutant.specs) {
      const { verdict, first } = await tree.run(spec);
      const where = `${mutant.name} (${mutant.file}), ${spec}`;
      if (verdict === 'passed') complain(`SURVIVED  ${where}`);
      else if (verdict === 'did not run') complain(`STALE     ${where}: the mutant does not run: ${first}`);
      else {
        caught += 1;
        console.log(`caught    ${where}: ${first}`);
      }
    }
  });
}

const files = new Set(mutants.map(({ file }) => file)).size;
console.log(`${mutants.length} mutants of ${files} files: ${caught} proofs, ${problems} problems.`);
process.exit(problems > 0 || mutants.length === 0 ? 1 : 0);
