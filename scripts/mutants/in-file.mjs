/**
 * Mutants of one file that one spec must catch.
 * @param {string} file @param {string} spec @param {[name: string, search: string, replace: string][]} changes
 * @returns {import('./table.mjs').Mutant[]}
 */
export function inFile(file, spec, changes) {
  return changes.map(([name, search, replace]) => ({ name, file, search, replace, specs: [spec] }));
}
