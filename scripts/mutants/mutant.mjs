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
