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

/**
 * The source with its bug, or why there is no place for it. The formatter breaks lines and sets commas at their ends, so neither
 * counts.
 * @param {string} source @param {{ search: string, replace: string }} mutant
 * @returns {{ source: string } | { stale: string }}
 */
export function plant(source, { search, replace }) {
  const found = [...source.matchAll(patternOf(search))];
  const [first] = found;
  if (!first) return { stale: `"${search}" is nowhere; ${nearestLine(source, search)}` };
  if (found.length > 1) {
    const lines = found.map(({ index }) => source.slice(0, index).split('\n').length);
    return { stale: `"${search}" is there more than once, at lines ${lines.join(', ')}` };
  }
  return { source: source.slice(0, first.index) + replace + source.slice(first.index + first[0].length) };
}

const TOKEN = /[\w$]+|[^\w$\s]/g;

/** @param {string} search @returns {RegExp} */
function patternOf(search) {
  const tokens = [...search.matchAll(TOKEN)];
  const parts = tokens.map(({ 0: token }, place) => {
    const before = tokens[place - 1]?.[0];
    if (before === undefined) return escaped(token);
    const areWords = /[\w$]$/.test(before) && /^[\w$]/.test(token);
    const comma = /[)\]}]/.test(token) ? ',?\\s*' : '';
    return `${areWords ? '\\s+' : '\\s*'}${comma}${escaped(token)}`;
  });
  return new RegExp(parts.join(''), 'g');
}

/** @param {string} token */
function escaped(token) {
  return token.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}

/** The line that has most of the quotation's words: what has become of it. @param {string} source @param {string} search */
function nearestLine(source, search) {
  const words = new Set(search.match(/[\w$]+/g));
  const lines = source.split('\n');
  const shared = lines.map((line) => new Set(line.match(/[\w$]+/g)).intersection(words).size);
  const most = Math.max(...shared);
  if (most === 0) return 'no line has a word of it';
  const place = shared.indexOf(most);
  return `the nearest is line ${place + 1}: ${lines[place]?.trim()}`;
}
