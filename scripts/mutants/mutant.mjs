/**
 * One textual change that must make every spec of its own fail. `search` must occur exactly once in the file, white space
 * aside. `specs` may name `libs/…/*.spec.ts` (pure, under a second) and `test/….test.ts` (brings the private servers up).
 *
 * @typedef {{ name: string, file: string, search: string, replace: string, specs: string[] }} Mutant
 */

/** @param {string} file @param {string[]} specs @returns {(name: string, search: string, replace: string, only?: string[]) => Mutant} */
export function mutantsOf(file, specs) {
  return (name, search, replace, only = specs) => ({ name, file, search, replace, specs: only });
}

/**
 * Mutants of one file that one spec must catch.
 * @param {string} file @param {string} spec @param {[name: string, search: string, replace: string][]} changes
 * @returns {Mutant[]}
 */
export function inFile(file, spec, changes) {
  return changes.map(([name, search, replace]) => ({ name, file, search, replace, specs: [spec] }));
}

/** Undefined when it cannot be. @param {string} source @param {Mutant} mutant @returns {string | undefined} */
export function plant(source, { search, replace }) {
  // The formatter may break lines, so any white space will do where there is some.
  const pattern = search
    .trim()
    .split(/\s+/)
    .map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
    .join('\\s+');
  const found = [...source.matchAll(new RegExp(pattern, 'g'))];
  const [first] = found;
  if (found.length !== 1 || !first) return undefined;
  return source.slice(0, first.index) + replace + source.slice(first.index + first[0].length);
}
